package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Verdict says what came of counting one figure of a statement again.
type Verdict string

// The verdicts.
const (
	Agrees  Verdict = "agrees"
	Differs Verdict = "differs"
	Unknown Verdict = "cannot be re-computed"
)

// A Figure is one figure of a compliance statement, counted again.
type Figure struct {
	Name    string  `json:"figure"`            // in words
	Stated  string  `json:"stated"`            // what the statement says
	Counted string  `json:"counted,omitempty"` // what the records here say; "" when they cannot
	Verdict Verdict `json:"verdict"`
	Because string  `json:"because,omitempty"` // why it cannot be re-computed, or what Counted is short of
}

// An AdoptionReport says of every figure of a compliance statement whether the
// records that it speaks of bear it out.
type AdoptionReport struct {
	Council   name.Council       `json:"council"`
	Record    name.Record        `json:"record"` // of the statement
	Entry     uint64             `json:"entry"`  // where the council's log has it
	Statement *measure.Statement `json:"statement"`
	Result    Result             `json:"result"` // Failed when a figure differs or the bundle does not verify
	Figures   []Figure           `json:"figures"`
	Bundle    *Report            `json:"bundle"` // how the bundle itself fared
}

// OK reports whether the bundle verifies and no figure differs.
func (r *AdoptionReport) OK() bool { return r.Result != Failed }

// Adoption verifies a bundle and counts again, from the records in it, the
// figures of each compliance statement in it, in the order of the log. The
// bundle should hold the records as they were at the statement's checkpoint
// (stile export bundle --statement).
//
// Errors are those of [Verify]; one that wraps ErrBundle, too, when there is no
// statement in the bundle.
func Adoption(r io.ReaderAt, size int64, o Options) ([]*AdoptionReport, error) {
	v, err := examine(r, size, o)
	if err != nil {
		return nil, err
	}
	bundle := v.report()
	var out []*AdoptionReport
	err = v.eachRecord(func(index uint64, _ *record.Token, view *record.View) {
		if view.Standard.Name != measure.Standard || view.Op != record.Put || len(out) >= maxStatements {
			return
		}
		ar := &AdoptionReport{Council: v.council, Record: view.Record, Entry: index, Bundle: bundle, Result: bundle.Result}
		g, err := measure.Read(measure.Given{Issuer: view.Council, Record: view.Record, Index: index, IssuedAt: time.Unix(view.IssuedAt, 0)}, view.Body)
		ar.Statement = g.Statement
		if err != nil {
			ar.Result = Failed
			ar.Statement = nil
			ar.Figures = []Figure{{Name: "the statement itself", Verdict: Differs, Because: strings.TrimPrefix(err.Error(), measure.ErrStatement.Error()+": ")}}
		}
		out = append(out, ar)
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w of a compliance statement: there is no statement in it", ErrBundle)
	}
	for _, ar := range out {
		if ar.Statement == nil {
			continue
		}
		if err := v.recount(ar); err != nil {
			return nil, err
		}
		for _, f := range ar.Figures {
			if f.Verdict == Differs {
				ar.Result = Failed
			}
		}
	}
	return out, nil
}

// maxStatements bounds the statements of one bundle that are looked at: each
// is a walk over all records.
const maxStatements = 20

// eachRecord calls f with every record in the bundle that can be read, in the
// order of the file. What cannot be read is a failed check of the bundle.
func (v *verifier) eachRecord(f func(index uint64, t *record.Token, view *record.View)) error {
	for _, file := range v.chunks {
		b, err := readFile(file)
		if err != nil {
			continue
		}
		for len(b) > 0 {
			var e Entry
			e, b, err = cutEntry(b)
			if err != nil || bytes.IndexByte(e.Token, '~') < 0 {
				continue
			}
			t, err := record.Parse(e.Token)
			if err != nil {
				continue
			}
			if view, err := t.View(); err == nil {
				f(e.Index, t, view)
			}
		}
	}
	return nil
}

// recount counts the figures of one statement again.
func (v *verifier) recount(ar *AdoptionReport) error {
	s := ar.Statement
	say := func(name, stated, counted string, verdict Verdict, because string) {
		ar.Figures = append(ar.Figures, Figure{name, stated, counted, verdict, because})
	}
	compare := func(name string, stated, counted int, short string) {
		verdict := Agrees
		switch {
		case stated == counted:
		case short != "":
			verdict = Unknown
		default:
			verdict = Differs
		}
		say(name, number(stated), number(counted), verdict, short)
	}
	v.recountLog(ar, say)

	// Which version of each record is the newest that the statement can know of.
	newest := map[[16]byte]uint64{}
	err := v.eachRecord(func(index uint64, _ *record.Token, view *record.View) {
		if index < s.Checkpoint.Size {
			id := view.Record.Bytes()
			if at, ok := newest[id]; !ok || at < index {
				newest[id] = index
			}
		}
	})
	if err != nil {
		return err
	}
	known := v.standards[s.Standard]
	var filling *measure.Filling
	if known != nil {
		filling = measure.NewFilling(measure.PlacesOf(known.std))
	}
	var live, valid, invalid, unjudged, fresh, partly, younger int
	err = v.eachRecord(func(index uint64, _ *record.Token, view *record.View) {
		if view.Standard != s.Standard || view.Op != record.Put || index >= s.Checkpoint.Size || newest[view.Record.Bytes()] != index {
			return
		}
		live++
		issued := time.Unix(view.IssuedAt, 0)
		if issued.After(s.ComputedAt.Add(skew)) {
			younger++
		}
		if known == nil || known.std.Integrity() != view.Integrity {
			return
		}
		if measure.Fresh(known.std.Manifest().Measures.FreshWithin, issued, s.ComputedAt) {
			fresh++
		}
		if view.Withheld > 0 {
			partly++
			return
		}
		filling.Add(view.Body)
		switch ps := known.std.Validate(view.Body); {
		case len(ps) == 0:
			valid++
		case standard.Unjudged(ps):
			unjudged++
		default:
			invalid++
		}
	})
	if err != nil {
		return err
	}
	compare("live records", s.Records, live, "")
	if s.Damaged > 0 {
		say("damaged records", number(s.Damaged), "", Unknown, "what cannot be read on the council's disk cannot be in the bundle, nor counted in it")
	}
	if younger > 0 {
		say("time of counting", s.ComputedAt.UTC().Format(time.RFC3339), "", Differs, fmt.Sprintf("%s it counted claim to be younger than it", count(younger, "record")))
	}
	noStandard := fmt.Sprintf("standard %s is not in the bundle", s.Standard)
	partial := ""
	if partly > 0 {
		partial = fmt.Sprintf("%s here with fields withheld; a bundle with every field is made with --full", was(partly, "record"))
	}
	switch {
	case known == nil && live > 0:
		say("records that are valid now", "all that are live", "", Unknown, noStandard)
		say("fields filled", count(len(s.Fields), "place"), "", Unknown, noStandard)
		if s.Freshness != nil {
			say("fresh records", number(s.Freshness.Fresh), "", Unknown, noStandard)
		}
	case known != nil:
		// The gate lets nothing else in, so that every live record is.
		switch {
		case invalid > 0:
			say("records that are valid now", "all that are live", number(valid), Differs, "")
		case unjudged > 0:
			say("records that are valid now", "all that are live", number(valid), Unknown, fmt.Sprintf("%s more work to judge than a record may cause", map[bool]string{true: "1 record takes", false: number(unjudged) + " records take"}[unjudged == 1]))
		case partly > 0:
			say("records that are valid now", "all that are live", number(valid), Unknown, partial)
		default:
			say("records that are valid now", "all that are live", number(valid), Agrees, "")
		}
		v.recountFreshness(ar, known, fresh, say)
		recountFields(s, filling, partial, compare, say)
	}
	log := "the log has what was taken, not what was refused"
	say("first offers", number(s.Offers.Seen), "", Unknown, log)
	say("of them valid at once", number(s.Offers.Valid), "", Unknown, log)
	if s.Offers.NotJudged > 0 {
		say("not judged", number(s.Offers.NotJudged), "", Unknown, log)
	}
	say("held back", number(s.Held), "", Unknown, log)
	say("errors by rule and field", count(len(s.Errors.Listed), "kind"), "", Unknown, log)
	sent := "disclosures and receipts are not in this bundle: see that of each agreement"
	say("partners served", number(s.Partners.Served), "", Unknown, sent)
	say("sent to partners", number(s.Partners.Delivered), "", Unknown, sent)
	say("signed for by partners", number(s.Partners.Acknowledged), "", Unknown, sent)
	say("received and looked at", fmt.Sprintf("%s of %s", number(s.Received.Used), number(s.Received.Records)), "", Unknown, "what other councils sent is in their logs, and who looked at it is in none")
	return nil
}

// recountLog compares the checkpoint that the statement names with the log.
func (v *verifier) recountLog(ar *AdoptionReport, say func(name, stated, counted string, verdict Verdict, because string)) {
	s := ar.Statement
	const what = "state of the log"
	stated := fmt.Sprintf("%s, root %s", count(int(s.Checkpoint.Size), "entry"), s.Checkpoint.Root)
	root, ok := v.roots[s.Checkpoint.Size]
	switch {
	case v.main.Origin == "":
		say(what, stated, "", Unknown, "no checkpoint of the log in the bundle holds")
	case s.Checkpoint.Size > v.main.Size:
		say(what, stated, count(int(v.main.Size), "entry"), Differs, "the bundle is of an earlier log than the statement")
	case !ok:
		say(what, stated, "", Unknown, "the bundle has no checkpoint of that size")
	case root.String() != s.Checkpoint.Root:
		say(what, stated, fmt.Sprintf("%s, root %s", count(int(s.Checkpoint.Size), "entry"), root), Differs, "")
	default:
		say(what, stated, stated, Agrees, "")
	}
}

func (v *verifier) recountFreshness(ar *AdoptionReport, k *known, fresh int, say func(name, stated, counted string, verdict Verdict, because string)) {
	s, asks := ar.Statement, k.std.Manifest().Measures.FreshWithin
	const what = "fresh records"
	switch {
	case s.Freshness == nil && asks.IsZero():
	case s.Freshness == nil:
		say(what, "nothing", number(fresh), Differs, "the standard asks for records changed within "+asks.String())
	case s.Freshness.Within != asks.String():
		say(what, number(s.Freshness.Fresh), "", Differs, "it counted by another time than the standard asks for")
	case s.Freshness.Fresh != fresh:
		say(what, number(s.Freshness.Fresh), number(fresh), Differs, "by the times that the records claim")
	default:
		say(what, number(s.Freshness.Fresh), number(fresh), Agrees, "")
	}
}

// recountFields compares how often each place is filled. All that agree are one
// line; each that differs has its own.
func recountFields(s *measure.Statement, f *measure.Filling, partial string, compare func(string, int, int, string), say func(name, stated, counted string, verdict Verdict, because string)) {
	counted := f.Fields()
	agree := 0
	for _, x := range s.Fields {
		i, ok := slices.BinarySearchFunc(counted, x.Field, func(c api.StatementField, at name.Field) int { return strings.Compare(string(c.Field), string(at)) })
		switch {
		case !ok:
			say("filled: "+shownPlace(x.Field), number(x.Filled), "", Differs, "the standard names no such place")
		case counted[i].Filled != x.Filled:
			compare("filled: "+shownPlace(x.Field), x.Filled, counted[i].Filled, partial)
		default:
			agree++
		}
	}
	if missing := len(counted) - len(s.Fields); missing > 0 {
		say("fields filled", count(len(s.Fields), "place"), count(len(counted), "place"), Differs, "it leaves out places that the standard names")
	}
	if agree > 0 && partial == "" {
		say("fields filled", count(agree, "place"), count(agree, "place"), Agrees, "")
	}
}

// shownPlace is a place as the statement names it, cut to what a line takes.
func shownPlace(f name.Field) string {
	if f == "" {
		return "(whole record)"
	}
	if len(f) > 80 {
		return string(f[:80]) + "…"
	}
	return string(f)
}

// JSON returns the report as one indented document, ended by a line feed.
func (r *AdoptionReport) JSON() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return append(b, '\n')
}

// WriteText writes the report for a person to read: the outcome, what differs,
// what agrees, what cannot be said.
func (r *AdoptionReport) WriteText(w io.Writer) error {
	var b strings.Builder
	if r.Statement == nil {
		fmt.Fprintf(&b, "A record of %s that is no possible compliance statement: %s.\n", r.Council, r.Figures[0].Because)
		_, err := io.WriteString(w, b.String())
		return err
	}
	s := r.Statement
	fmt.Fprintf(&b, "Statement of %s about %s, counted %s, entry %d of its log.\n", s.Council, s.Standard, s.ComputedAt.UTC().Format("2 January 2006 15:04:05 MST"), r.Entry)
	differs := 0
	for _, f := range r.Figures {
		if f.Verdict == Differs {
			differs++
		}
	}
	switch {
	case r.Bundle.Result == Failed:
		fmt.Fprintf(&b, "The bundle itself does not verify, so nothing is shown by it: stile verify says why.\n")
	case differs == 1:
		fmt.Fprintf(&b, "1 figure differs from the records.\n")
	case differs > 1:
		fmt.Fprintf(&b, "%d figures differ from the records.\n", differs)
	default:
		fmt.Fprintf(&b, "No figure differs from the records.\n")
	}
	for _, verdict := range []Verdict{Differs, Agrees, Unknown} {
		first := true
		for _, f := range r.Figures {
			if f.Verdict != verdict {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(string(verdict[:1]))+string(verdict[1:]))
				first = false
			}
			line := fmt.Sprintf("  %s: stated %s", f.Name, f.Stated)
			if f.Counted != "" && verdict != Agrees {
				line += ", counted " + f.Counted
			}
			if f.Because != "" && verdict == Unknown {
				line += ", because " + f.Because
			} else if f.Because != "" {
				line += " (" + f.Because + ")"
			}
			fmt.Fprintln(&b, line)
		}
	}
	fmt.Fprintf(&b, "\nThat no record was left out of the bundle, or put in it that was replaced or deleted before the statement, can be seen only in the log itself, at the council.\n")
	_, err := io.WriteString(w, b.String())
	return err
}
