package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node/name"
)

func (r *Reader) openJSON(in io.Reader) error {
	src, err := newSource(in, encUTF8, r.o.Limits.Bytes)
	if err != nil {
		var fe *FileError
		if errors.As(err, &fe) {
			fe.Detail = "JSON must be UTF-8, and the file begins with another byte order mark"
			fe.Fix = "save the file as UTF-8"
		}
		return err
	}
	r.in = src
	if r.o.Translation != nil && r.o.At == "" {
		r.o.At = name.Field(r.o.Translation.List)
	}
	if r.o.Format == NDJSON {
		r.scan = (&lines{src: src}).next
	} else {
		r.scan = (&elements{src: src, at: r.o.At.Tokens(), where: r.o.At}).next
	}
	return nil
}

func (r *Reader) readJSON(row *Row) {
	v, err := strictjson.Decode(row.Text, r.o.Limits)
	if err != nil {
		row.Problems = []Problem{jsonProblem(err)}
		return
	}
	rec, ok := v.(map[string]any)
	if !ok {
		row.Problems = []Problem{{Rule: RuleShape, Detail: "a record must be a JSON object, and this is not one",
			Fix: "put each record in braces, with its members named"}}
		return
	}
	if t := r.o.Translation; t != nil {
		var problems []translation.Problem
		rec, problems = t.In(v)
		for _, p := range problems {
			row.Problems = append(row.Problems, Problem{Pointer: p.Ours, Column: p.Theirs, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix})
		}
	}
	row.Reference = reference(rec, r.o.Reference)
	if len(row.Problems) > 0 {
		row.Partial = rec
		return
	}
	if p := ruined(rec, r.o.Reference); p != nil {
		row.Problems = []Problem{*p}
		return
	}
	row.Record = rec
}

// jsonProblem is what the strict reader has against a record.
func jsonProblem(err error) Problem {
	var se *strictjson.Error
	if !errors.As(err, &se) {
		panic("internal error: strict reader: " + err.Error())
	}
	return Problem{Pointer: se.Pointer, Rule: se.Rule, Detail: jsonDetail(se), Fix: se.Fix}
}

// jsonDetail says where in the record's own bytes the fault is, which an
// editor can go to.
func jsonDetail(e *strictjson.Error) string {
	what := map[string]string{
		strictjson.RuleSize:         "the record is longer than the limit",
		strictjson.RuleDepth:        "nested too deep",
		strictjson.RuleValues:       "too many values in one record",
		strictjson.RuleString:       "a text is longer than the limit",
		strictjson.RuleNumber:       "not a number that can be held exactly",
		strictjson.RuleUTF8:         "not UTF-8",
		strictjson.RuleBOM:          "a byte order mark inside the file",
		strictjson.RuleSurrogate:    "half of a surrogate pair",
		strictjson.RuleDuplicateKey: "the same member twice",
		strictjson.RuleTrailingData: "more after the end of the record",
		strictjson.RuleSyntax:       "not JSON",
	}[e.Rule]
	if what == "" {
		what = "refused"
	}
	return fmt.Sprintf("%s (byte %d of the record)", what, e.Offset)
}

// reference returns what the sender calls a record: the values at the given
// places, parted by a space. It is "" when one is missing.
func reference(rec map[string]any, at []name.Field) string {
	var parts []string
	for _, f := range at {
		v, ok := lookup(rec, string(f))
		if !ok {
			return ""
		}
		t := scalarText(v)
		if t == "" {
			return ""
		}
		parts = append(parts, t)
	}
	return strings.Join(parts, " ")
}

// lookup returns the value at an RFC 6901 pointer.
func lookup(v any, pointer string) (any, bool) {
	for _, tok := range name.Field(pointer).Tokens() {
		switch c := v.(type) {
		case map[string]any:
			m, ok := c[tok]
			if !ok {
				return nil, false
			}
			v = m
		case []any:
			i := 0
			if tok == "" || len(tok) > 6 {
				return nil, false
			}
			for _, d := range tok {
				if d < '0' || d > '9' {
					return nil, false
				}
				i = i*10 + int(d-'0')
			}
			if i >= len(c) {
				return nil, false
			}
			v = c[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// scalarText returns a scalar as a person writes it, cut short, and "" for
// objects, arrays and null.
func scalarText(v any) string {
	switch t := v.(type) {
	case string:
		return cut(t)
	case json.Number:
		return cut(t.String())
	case bool:
		if t {
			return "true"
		}
		return "false"
	}
	return ""
}

// lines reads NDJSON: a record to a line.
type lines struct{ src *source }

func (l *lines) next() (Raw, error) {
	s := l.src
	seen := 0
	for {
		w := s.window()
		if i := bytes.IndexByte(w[seen:], '\n'); i >= 0 {
			line := s.line
			text := bytes.TrimSpace(w[:seen+i])
			if len(text) == 0 {
				s.take(seen + i + 1)
				seen = 0
				continue
			}
			raw := Raw{Number: line, Line: line, text: bytes.Clone(text)}
			s.take(seen + i + 1)
			return raw, nil
		}
		seen = len(w)
		if s.full() {
			raw := Raw{Number: s.line, Line: s.line, bad: tooLong(s.limit, "record")}
			s.skipLine()
			return raw, nil
		}
		if s.more() {
			continue
		}
		if err := s.failed(); err != nil {
			return Raw{}, fmt.Errorf("read ndjson: line %d: %w", s.line, err)
		}
		// The last line may do without a line end. One that was cut off in
		// the middle is found out by the strict reader.
		text := bytes.TrimSpace(w)
		if len(text) == 0 {
			return Raw{}, io.EOF
		}
		raw := Raw{Number: s.line, Line: s.line, text: bytes.Clone(text)}
		s.take(len(w))
		return raw, nil
	}
}

func tooLong(limit int, what string) *Problem {
	return &Problem{Rule: RuleSize, Detail: fmt.Sprintf("the %s is longer than %d bytes", what, limit),
		Fix: "send large texts and pictures by address, not inside the " + what}
}
