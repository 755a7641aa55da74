package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A refusedRow is one row that was not taken, in the importer's own report.
type refusedRow struct {
	File      string           `json:"file"`
	Row       int              `json:"row"`
	Line      int              `json:"line"`
	Reference string           `json:"reference,omitempty"`
	Problems  []refusedProblem `json:"problems"`
}

// A refusedProblem adds the value, which is there only when it was asked for.
type refusedProblem struct {
	intake.Problem
	Value string `json:"value,omitempty"`
}

// shownRows is how many refused rows, and how many reasons, the terminal
// shows.
const shownRows = 10

// A tally counts what became of the rows and writes the reports.
type tally struct {
	im      *importer
	seen    *seenKeys
	bar     *bar
	rows    int
	refused int // rows
	open    int // rows that no verdict came to
	broken  int // files that could not be read to their end
	counts  map[node.Outcome]int
	gone    int // withdrawals

	repeated int // refused rows that the source was refused before, in the same bytes
	deleted  int // records that the source does not have any more
	absent   int // such records that were not deleted, for there are too many

	mapped map[reason]int // faults of the mapping itself, with the rows they refuse

	shown   []refusedRow
	reasons map[reason]int
	broke   []brokenFile
	noted   []string

	report  *report
	rejects *rejects
	stream  *stream // of --json
}

// A reason is what many refused rows may have in common.
type reason struct{ pointer, rule, detail string }

// maxReasons bounds the memory that a file of endlessly different mistakes
// can cost.
const maxReasons = 1000

type brokenFile struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func newTally(im *importer) (*tally, error) {
	t := &tally{im: im, bar: &bar{}}
	t.startOver()
	var err error
	if im.rejects != "" {
		if t.rejects, err = newRejects(im); err != nil {
			return nil, err
		}
	}
	if im.report != "" {
		if t.report, err = newReport(im); err != nil {
			if t.rejects != nil {
				t.rejects.close()
				os.Remove(im.rejects)
			}
			return nil, err
		}
	}
	if im.json {
		t.stream = &stream{w: im.out}
	}
	return t, nil
}

// startOver forgets the counts of the check that comes before an import of all
// or nothing.
func (t *tally) startOver() {
	t.seen = newSeenKeys()
	t.rows, t.refused, t.open, t.broken, t.gone = 0, 0, 0, 0, 0
	t.counts = map[node.Outcome]int{}
	t.reasons, t.mapped = map[reason]int{}, map[reason]int{}
	t.shown, t.broke, t.noted = nil, nil, nil
}

func (t *tally) close() {
	t.bar.stop()
	if t.report != nil {
		t.report.close()
	}
	if t.rejects != nil {
		t.rejects.close()
	}
	if t.stream != nil && !t.stream.ended {
		t.end(false)
	}
}

// take counts a batch whose outcome is known.
func (t *tally) take(file string, r *intake.Reader, b *batch) {
	for o, n := range b.reply.Counts {
		t.counts[o] += n
	}
	t.gone += b.reply.Withdrawn
	not := b.reply.NotTaken
	for i, row := range b.rows {
		t.rows++
		if k := b.reply.Keys[i]; k != (node.KeyDigest{}) {
			t.seen.again(file, row.Number, k, func() string { return t.called(r, b.read(r, i)) })
		}
		if len(not) == 0 || not[0].At != i {
			if t.rejects != nil {
				t.rejects.row(row, false)
			}
			continue
		}
		res := not[0]
		not = not[1:]
		row = b.read(r, i)
		problems := row.Problems
		if len(problems) == 0 {
			if res.Outcome == node.NotJudged {
				t.leave(file, row, res.PutResult)
				continue
			}
			problems = r.Explain(row, foundProblems(res.Problems))
		}
		if res.Repeated {
			t.repeated++
		}
		if t.rejects != nil {
			t.rejects.row(row, true)
		}
		t.refuse(file, row, t.called(r, row), problems)
	}
}

// called is what the sender calls a row; "" where that may be about a person and nobody asked
// for values.
func (t *tally) called(r *intake.Reader, row intake.Row) string {
	if t.im.values || r.Nameable() {
		return row.Reference
	}
	return ""
}

// leave counts a row that no verdict came to: it was not taken, and is not wrong
// as far as anybody knows.
func (t *tally) leave(file string, row intake.Row, res node.PutResult) {
	t.open++
	if t.rejects != nil {
		t.rejects.row(row, true)
	}
	if note := fmt.Sprintf("%s row %d was not judged: to check it takes more work than a record of its size may cause; nothing is known to be wrong with it", file, row.Number); len(t.noted) < shownRows {
		t.noted = append(t.noted, note)
	}
}

func (t *tally) refuse(file string, row intake.Row, called string, problems []intake.Problem) {
	t.refused++
	x := refusedRow{File: file, Row: row.Number, Line: row.Line, Reference: called}
	for _, p := range problems {
		t.count(wild(p.Pointer), p.Rule, p.Detail)
		if t.im.ofMapping(p) {
			// It is the same in every row, and told once.
			why := reason{p.Pointer, p.Rule, p.Detail}
			if t.mapped[why]++; t.mapped[why] > 1 {
				continue
			}
		}
		rp := refusedProblem{Problem: p}
		if t.im.values {
			rp.Value = p.Value
		}
		x.Problems = append(x.Problems, rp)
	}
	if len(x.Problems) == 0 {
		return
	}
	if len(t.shown) < shownRows {
		t.shown = append(t.shown, x)
	}
	if t.report != nil {
		t.report.row(x)
	}
	if t.stream != nil {
		t.stream.add(x)
	}
}

// placeless are the rules that a member breaks which the standard has no place for.
var placeless = []string{"additionalProperties", "unevaluatedProperties"}

// ofMapping reports whether a problem is the mapping's and no row's: a constant
// that the standard does not take, or a column for which it has no place.
func (im *importer) ofMapping(p intake.Problem) bool {
	if im.mapping == nil {
		return false
	}
	if slices.Contains(placeless, p.Rule) && slices.ContainsFunc(im.mapping.Columns, func(c intake.Column) bool { return string(c.To) == p.Pointer }) {
		return true
	}
	if p.Column != "" {
		return false
	}
	for to := range im.mapping.Constants {
		if name.Field(p.Pointer).Under(to) {
			return true
		}
	}
	return false
}

// faultsOfMapping tells of constants that the standard does not take, and of places
// that it does not have.
func (t *tally) faultsOfMapping() []string {
	var out []string
	for why, n := range t.mapped {
		if slices.Contains(placeless, why.rule) {
			out = append(out, fmt.Sprintf("the mapping puts a column at %s, and the standard has no such place: it refuses %s", why.pointer, plural(n, "row", "rows")))
			continue
		}
		out = append(out, fmt.Sprintf("the mapping's constant at %s %s: it refuses %s", why.pointer, cmp.Or(why.detail, inWords(why.rule)), plural(n, "row", "rows")))
	}
	slices.Sort(out)
	return out
}

func (t *tally) count(pointer, rule, detail string) {
	why := reason{pointer, rule, detail}
	if _, known := t.reasons[why]; !known && len(t.reasons) >= maxReasons {
		why = reason{"", "…", "for other reasons"}
	}
	t.reasons[why]++
}

// wild puts "*" for the places in arrays, so that the same fault in the first
// and in the third element counts as one.
func wild(pointer string) string {
	toks := strings.Split(pointer, "/")
	for i, t := range toks {
		if t != "" && strings.Trim(t, "0123456789") == "" {
			toks[i] = "*"
		}
	}
	return strings.Join(toks, "/")
}

func (t *tally) brokenFile(file string, e *intake.FileError) {
	t.broken++
	b := brokenFile{File: file, Line: e.Line, Rule: e.Rule, Detail: e.Detail, Fix: e.Fix}
	if e.Rule == intake.RuleSheet && len(e.Found) > 0 {
		b.Detail += fmt.Sprintf("; they are %q", e.Found)
	} else if len(e.Found) > 0 {
		b.Detail += fmt.Sprintf("; the headings found are %q", e.Found)
	}
	t.broke = append(t.broke, b)
}

func (t *tally) note(text string) { t.noted = append(t.noted, text) }

func (t *tally) notes(file string, notes []string) {
	for _, n := range notes {
		if n = file + ": " + n; !slices.Contains(t.noted, n) {
			t.noted = append(t.noted, n)
		}
	}
}

// foundProblems are what a node told, in the form that a standard finds them.
func foundProblems(in []node.Problem) (out []standard.Problem) {
	for _, p := range in {
		out = append(out, standard.Problem(p))
	}
	return out
}

// outcomes in the order they are printed.
func (t *tally) outcomes() []node.Outcome {
	if t.im.dryRun || t.nothingKept() {
		return []node.Outcome{node.Valid}
	}
	return []node.Outcome{node.Created, node.Changed, node.Unchanged}
}

// nothingKept: all or nothing was asked for, and it was nothing.
func (t *tally) nothingKept() bool {
	return t.im.all && !t.im.dryRun && !t.im.writing && (t.refused+t.open > 0 || t.broken > 0)
}

// finish prints what became of everything and returns an error when something
// was refused.
func (t *tally) finish(files int) error {
	t.bar.stop()
	var err error
	t.noted = append(t.faultsOfMapping(), t.noted...)
	if t.report != nil {
		t.report.summary(t, true)
		err = t.report.close()
	}
	if t.rejects != nil && err == nil {
		err = t.rejects.finish()
	}
	if t.stream != nil {
		t.end(true)
	} else {
		t.print()
	}
	if err != nil {
		return err
	}
	if t.absent > 0 {
		return t.held()
	}
	if t.refused == t.repeated && t.broken == 0 {
		if t.open > 0 {
			return failure(node.Failed, "stile standard lint says what in the standard is dear; tell its publisher, and offer the rows again when that is mended", "%s of %s not judged, and not kept",
				number(t.open), plural(t.rows, "row was", "rows were"))
		}
		return nil
	}
	return t.verdict()
}

// partly prints what is known of an import that ends before its time, and
// returns err.
func (t *tally) partly(err error) error {
	t.bar.stop()
	if t.report != nil {
		t.report.summary(t, false)
	}
	if t.rejects != nil {
		err = errors.Join(err, t.rejects.finish())
	}
	if t.stream == nil && t.rows > 0 {
		t.print()
	}
	return err
}

func (t *tally) verdict() error {
	var what []string
	if t.refused > 0 {
		were := "were"
		if t.refused == 1 {
			were = "was"
		}
		what = append(what, fmt.Sprintf("%s of %s %s refused", number(t.refused), plural(t.rows, "row", "rows"), were))
	}
	if t.broken > 0 {
		what = append(what, plural(t.broken, "file", "files")+" could not be read to the end")
	}
	msg := strings.Join(what, " and ")
	try := "mend the rows at their source and run it again; --report FILE writes every reason down"
	if t.im.report != "" {
		try = "mend the rows that " + t.im.report + " lists at their source, and run it again"
	}
	if t.im.rejects != "" && t.refused > 0 {
		try = "mend " + t.im.rejects + " and import that"
	}
	if t.refused == 0 {
		try = "mend the file, or ask for it again"
		if f := t.broke[0].Fix; f != "" {
			try = f
		}
	}
	switch {
	case t.nothingKept():
		msg += ": nothing was kept, as --all-or-nothing asks"
	case !t.im.dryRun && t.rows > t.refused+t.open:
		msg += "; " + plural(t.rows-t.refused-t.open, "good one was", "good ones were") + " kept"
	}
	return failure(node.Invalid, try, "%s", msg)
}

// print tells a person what became of the rows: the counts and the reasons that
// many rows share first, to standard output, and then at most ten of the rows,
// and what else is to be known, to standard error.
func (t *tally) print() {
	im := t.im
	verb := "read"
	if im.dryRun {
		verb = "checked, nothing written"
	}
	im.printf("%s %s, in %s\n", plural(t.rows, "row", "rows"), verb, im.std.Name)
	s := newTable("", "#")
	for _, o := range t.outcomes() {
		s.add(string(o), number(t.counts[o]))
	}
	s.add("refused", number(t.refused))
	if im.source != "" && t.refused > 0 {
		s.add("of these refused before", number(t.repeated))
	}
	if im.complete {
		s.add("deleted", number(t.deleted))
	}
	if t.open > 0 {
		s.add("not judged", number(t.open))
	}
	if t.gone > 0 {
		s.add("withdrawn from partners", number(t.gone))
	}
	s.write(im.out, "  ")
	if len(t.reasons) > 0 && t.refused > 1 {
		im.printf("refused because\n")
		r := newTable("#ROWS", "AT", "WHAT IS WRONG")
		for _, w := range t.byCount() {
			p := w.pointer
			if p == "" {
				p = "(row)"
			}
			r.add(number(t.reasons[w]), p, cmp.Or(w.detail, inWords(w.rule)))
		}
		r.write(im.out, "  ")
		if more := len(t.reasons) - shownRows; more > 0 {
			im.printf("  and %s\n", plural(more, "other reason", "other reasons"))
		}
	}

	for _, b := range t.broke {
		where := b.File
		if b.Line > 0 {
			where = fmt.Sprintf("%s line %d", b.File, b.Line)
		}
		im.say("%s: %s", where, b.Detail)
		if b.Fix != "" {
			im.hint("    to mend it: %s\n", b.Fix)
		}
	}
	for _, x := range t.shown {
		im.hint("%s", x.text())
	}
	if more := t.refused - len(t.shown); more > 0 && len(t.shown) == shownRows {
		hint := "; --report FILE writes them all down"
		if im.report != "" {
			hint = "; they are all in " + im.report
		}
		im.say("… and %s%s", plural(more, "more refused row", "more refused rows"), hint)
	}
	for _, n := range t.noted {
		im.say("note: %s", n)
	}
	for _, d := range t.seen.twice[:min(len(t.seen.twice), shownRows)] {
		im.say("note: %s", d)
	}
	if more := len(t.seen.twice) + t.seen.more - shownRows; more > 0 {
		im.say("note: … and %s", plural(more, "more row with the key of an earlier one", "more rows with the key of an earlier one"))
	}
}

func (t *tally) byCount() []reason {
	var all []reason
	for w := range t.reasons {
		all = append(all, w)
	}
	slices.SortFunc(all, func(x, y reason) int {
		if d := t.reasons[y] - t.reasons[x]; d != 0 {
			return d
		}
		return strings.Compare(x.pointer+"\x00"+x.rule+"\x00"+x.detail, y.pointer+"\x00"+y.rule+"\x00"+y.detail)
	})
	return all[:min(len(all), shownRows)]
}

// inWords is a rule in plain words, for one that came without.
func inWords(rule string) string {
	words := map[string]string{
		"required": "must be filled in", "type": "is of another kind than is wanted", "enum": "is none of the allowed values", "const": "is not the one allowed value",
		"pattern": "is not written as the standard wants", "format": "is not written as the standard wants", "additionalProperties": "has no place in the standard",
		"unevaluatedProperties": "has no place in the standard", "oneOf": "fits none of the alternatives, or several", "anyOf": "fits none of the alternatives",
		"not": "is what the standard forbids", "minLength": "is too short", "maxLength": "is too long", "minimum": "is too small", "maximum": "is too large",
		"exclusiveMinimum": "is too small", "exclusiveMaximum": "is too large", "multipleOf": "has more decimals than is allowed", "minItems": "has too few entries",
		"maxItems": "has too many entries", "uniqueItems": "has an entry twice", "contains": "lacks an entry that must be there", "dependentRequired": "lacks what must come with it",
		"if": "does not go with the other fields", "then": "does not go with the other fields", "else": "does not go with the other fields",
	}[rule]
	return cmp.Or(words, "fails "+rule)
}

// text is a refused row as the terminal shows it.
func (x refusedRow) text() name.Lines {
	var b strings.Builder
	ref := ""
	if x.Reference != "" {
		ref = " (" + x.Reference + ")"
	}
	name.Fprintf(&b, "stile: %s row %d%s:\n", x.File, x.Row, ref)
	for _, p := range x.Problems {
		line := fmt.Sprintf("refused at %q: fails %q", p.Pointer, p.Rule)
		line += ": " + cmp.Or(p.Detail, inWords(p.Rule))
		if p.Column != "" {
			line += fmt.Sprintf(" (column %q)", p.Column)
		}
		if p.Value != "" {
			line += fmt.Sprintf(": the value is %q", p.Value)
		}
		name.Fprintf(&b, "    %s\n", line)
		if p.Fix != "" {
			name.Fprintf(&b, "        to mend it: %s\n", p.Fix)
		}
	}
	return name.Lines(b.String())
}

// end closes the document of --json.
func (t *tally) end(complete bool) { t.stream.end(t.summary(complete)) }

// summary is what a report says beside the refused rows.
func (t *tally) summary(complete bool) map[string]any {
	counts := map[string]int{"refused": t.refused}
	if t.open > 0 {
		counts["not judged"] = t.open
	}
	for _, o := range t.outcomes() {
		counts[string(o)] = t.counts[o]
	}
	if t.im.source != "" {
		counts["refused before"], counts["deleted"], counts["absent"] = t.repeated, t.deleted, t.absent
	}
	some := func(list any, n int) any {
		if n == 0 {
			return []any{}
		}
		return list
	}
	return map[string]any{
		"standard": t.im.std.Name, "dry_run": t.im.dryRun, "complete": complete, "rows": t.rows, "counts": counts,
		"kept": !t.im.dryRun && !t.nothingKept(), "withdrawn": t.gone,
		"broken_files": some(t.broke, len(t.broke)), "notes": some(t.noted, len(t.noted)), "same_key": some(t.seen.twice, len(t.seen.twice)), "same_key_more": t.seen.more,
		"reasons": some(t.grouped(), len(t.reasons)),
	}
}

// A group is what many refused rows have in common, in a report.
type group struct {
	Rows    int    `json:"rows"`
	Pointer string `json:"pointer"`
	Rule    string `json:"rule"`
	Detail  string `json:"detail"`
}

// grouped are the reasons, the commonest first.
func (t *tally) grouped() []group {
	var out []group
	for _, w := range t.byCount() {
		out = append(out, group{t.reasons[w], w.pointer, w.rule, w.detail})
	}
	return out
}

// A stream writes one JSON document whose long part, the refused rows, goes
// out as it comes.
type stream struct {
	w     io.Writer
	n     int
	ended bool
}

func (s *stream) add(x refusedRow) {
	sep := ",\n    "
	if s.n == 0 {
		sep = "{\n  \"refused_rows\": [\n    "
	}
	s.n++
	fmt.Fprintf(s.w, "%s%s", sep, compactJSON(x))
}

func (s *stream) end(rest map[string]any) {
	s.ended = true
	if s.n == 0 {
		fmt.Fprint(s.w, "{\n  \"refused_rows\": [")
	} else {
		fmt.Fprint(s.w, "\n  ")
	}
	fmt.Fprint(s.w, "]")
	keys := make([]string, 0, len(rest))
	for k := range rest {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(s.w, ",\n  %q: %s", k, compactJSON(rest[k]))
	}
	fmt.Fprint(s.w, "\n}\n")
}

func compactJSON(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(name.JSON(&b))
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("internal error: print JSON: " + err.Error())
	}
	return []byte(strings.TrimRight(b.String(), "\n"))
}
