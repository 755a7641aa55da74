// Package opinion is the second opinion on what leaves: it decides again, from the signed
// text of an agreement and from the very bytes that are about to be sent, whether a record
// may go to a council. It is written apart from package agreement, which decides first, and
// imports none of it: it reads the text itself ([Read]), has its own reader and evaluator of
// the row language (rows.go, values.go), puts the disclosures of a token together itself
// (token.go), and walks what they show by rules of its own (fields.go). A fault in one of
// the two is therefore no fault in the other, and they are compared record by record in
// tests and before every record that leaves.
//
// # What is decided
//
// An agreement lets a record go to a council at an instant when all of this holds:
//
//   - the council is named in "to", the day is not before "starts", and before "ends";
//   - the record's standard is of the agreement's line;
//   - the expression "rows" is true of the whole record, without an error;
//   - each value that the token shows stands at, or below, a place in "fields". A place that
//     the standard leaves in clear speaks only for what is in clear below it; a place that
//     the standard withholds speaks for all below it. A container that is shown empty may
//     stand above a place in "fields";
//   - each value that the token shows is in the whole record at that place, and nothing in
//     the token is without a place.
//
// Whether the agreement is signed, suspended or ended early is not asked here: that is no
// property of the text. Nor is what the mode lets leave, which the table of modes alone says
// (docs/modes.md): whoever asks looks there at the same moment, and names [RuleMode].
//
// # What it takes for granted
//
// The whole record is as the ledger gave it, and the layout as the standard has it. SHA-256,
// base64 and the reader of JSON are those that all of the house uses.
package opinion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Disagreement says why a record may not leave. It names the rule and the place, never a
// value.
type Disagreement struct {
	Rule  string // one of the Rule constants
	Place string // RFC 6901 pointer; "" is the whole record
}

func (d *Disagreement) Error() string {
	if d.Place == "" {
		return "second opinion: " + d.Rule
	}
	return fmt.Sprintf("second opinion: %s at %q", d.Rule, d.Place)
}

// The rules that a [Disagreement] can name.
const (
	RuleText     = "the agreement's text cannot be read here"
	RuleTo       = "the agreement does not name the council"
	RuleDay      = "the agreement is not in force on this day"
	RuleMode     = "nothing leaves so in the agreement's mode"
	RuleStandard = "the record is not of the agreement's standard"
	RuleRows     = "the rows do not pick the record"
	RuleField    = "the fields do not hold this place"
	RuleToken    = "the token cannot be put together"
	RuleOnward   = "an earlier agreement does not let it go on"
	RuleOther    = "the token shows what the record does not say"
)

// Rules returns every rule.
func Rules() []string {
	return []string{RuleText, RuleTo, RuleDay, RuleMode, RuleStandard, RuleRows, RuleField, RuleToken, RuleOther, RuleOnward}
}

// A Text is an agreement as it is read here. It may be used concurrently.
type Text struct {
	to           []string
	line         name.StandardLine
	starts, ends string // "2026-12-01"; "" is open
	fields       []name.Field
	rows         node

	name, origin string // of agreements; origin is "" where the records are the sender's own
	further      onward
}

// Read reads the canonical bytes of an agreement, which is what its parties sign. The error
// is a [*Disagreement] with RuleText: then nothing may leave.
func Read(canonical []byte) (*Text, error) {
	t, err := read(canonical)
	if err != nil {
		return nil, &Disagreement{Rule: RuleText, Place: err.Error()}
	}
	return t, nil
}

func read(canonical []byte) (*Text, error) {
	v, err := strictjson.Decode(canonical, strictjson.Limits{})
	if err != nil {
		return nil, errors.New("not JSON")
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	t := new(Text)
	text := func(key string) string { s, _ := doc[key].(string); return s }
	if t.line, err = name.ParseStandardLine(text("standard")); err != nil {
		return nil, errors.New("/standard")
	}
	if t.rows, err = parseRows(text("rows")); err != nil {
		return nil, errors.New("/rows")
	}
	t.starts, t.ends = text("starts"), text("ends")
	list := func(key string) (out []string) {
		all, _ := doc[key].([]any)
		for _, e := range all {
			s, ok := e.(string)
			if !ok {
				return nil
			}
			out = append(out, s)
		}
		return out
	}
	t.to = list("to")
	for _, s := range list("fields") {
		t.fields = append(t.fields, name.Field(s))
	}
	return t, t.pass(doc)
}

// Terms is a text beside one version of its standard. It may be used concurrently.
type Terms struct {
	*Text
	places *place
}

// For returns the terms for one version of a standard, or a [*Disagreement] with
// RuleStandard where it is of another line.
func (t *Text) For(std *standard.Standard) (*Terms, error) {
	if std.Name().Line() != t.line {
		return nil, &Disagreement{Rule: RuleStandard}
	}
	return &Terms{Text: t, places: lay(t.fields, std.Layout())}, nil
}

// May reports, as a [*Disagreement], what keeps a council from having anything at an
// instant; nil when nothing does.
func (t *Text) May(to name.Council, now time.Time) error {
	day := now.UTC().Format(time.DateOnly)
	switch {
	case !slices.Contains(t.to, string(to)):
		return &Disagreement{Rule: RuleTo}
	case t.starts == "" || day < t.starts || t.ends != "" && day >= t.ends:
		return &Disagreement{Rule: RuleDay}
	}
	return nil
}

// Picks reports whether the rows pick a whole record, as strictjson decodes it. An
// expression that has no answer does not.
func (t *Text) Picks(whole map[string]any) bool {
	if whole == nil {
		return false
	}
	r := run{record: whole}
	v, err := t.rows(&r)
	return err == nil && v == true
}

// Record reports, as a [*Disagreement], what keeps a token of a record from leaving; nil when
// nothing does. token is what is to be sent, an SD-JWT; whole the whole record. Neither is
// changed.
func (t *Terms) Record(token []byte, whole map[string]any) error {
	if !t.Picks(whole) {
		return &Disagreement{Rule: RuleRows}
	}
	s, err := open(token)
	if err != nil {
		return &Disagreement{Rule: RuleToken}
	}
	if s.standard == "" {
		return &Disagreement{Rule: RuleToken}
	}
	if std, err := name.ParseStandard(s.standard); err != nil || std.Line() != t.line {
		return &Disagreement{Rule: RuleStandard}
	}
	w := walk{shown: s}
	// The root itself is always there, be it empty.
	if len(s.body) > 0 && !w.object(s.body, whole, t.places, t.places.all, t.places.clear, false) && !(len(w.where) == 0 && w.rule == RuleField) {
		return &Disagreement{Rule: w.rule, Place: w.pointer()}
	}
	if s.used != len(s.parts) {
		return &Disagreement{Rule: RuleToken} // a disclosure without a place
	}
	return nil
}

// same reports whether two values as strictjson decodes them are one.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i, v := range a {
			if !same(v, b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && a == b
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}
