package intake

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// An Outcome is what became of a row.
type Outcome string

// The outcomes.
const (
	New       Outcome = "new"       // a record the ledger did not have
	Changed   Outcome = "changed"   // a new version of a record it had
	Unchanged Outcome = "unchanged" // the same as the version it had; nothing was written
	Refused   Outcome = "refused"   // it has problems
)

// A Refusal is a row that was refused, and why.
type Refusal struct {
	Row       int       `json:"row"`  // as a person counts, see Row.Number
	Line      int       `json:"line"` // of the file
	Reference string    `json:"reference,omitempty"`
	Problems  []Problem `json:"problems"`
}

// A Report says what became of a file: it counts every row and keeps the first
// refusals. It is the importer's own report, for the person who brought the
// file. Its methods are for one goroutine at a time.
type Report struct {
	File     string // as the importer named it
	Format   Format
	Standard string // as the importer named it
	DryRun   bool   // nothing was written
	Stopped  string // why the file was not read to its end; "" when it was

	Rows      int // of every outcome
	New       int
	Changed   int
	Unchanged int
	Refused   int

	Refusals []Refusal // the first that were refused, in the order of the file
	Notes    []string  // see Reader.Notes

	keep   int
	groups map[groupKey]*group
	more   int // problems beyond the kinds that are counted apart
}

// A groupKey is one kind of problem: rows are told together when the same rule
// fails at the same place. Elements of an array are one place.
type groupKey struct{ pointer, column, rule string }

type group struct {
	groupKey
	detail, fix string
	rows        int
	first       int // number of the first such row
	last        int
}

const maxGroups = 500

// NewReport returns an empty report that keeps the first keep refusals; the
// counts are of all rows.
func NewReport(keep int) *Report {
	return &Report{keep: keep, groups: map[groupKey]*group{}}
}

// Add counts a row. problems are those found after the row was read, such as
// Reader.Explain returns; those of the row itself are added to them. A row with
// problems counts as refused, whatever outcome says.
func (p *Report) Add(row Row, outcome Outcome, problems ...Problem) {
	all := row.Problems
	if len(problems) > 0 {
		all = append(slices.Clip(all), problems...)
	}
	if len(all) > 0 {
		outcome = Refused
	}
	p.Rows++
	switch outcome {
	case New:
		p.New++
	case Changed:
		p.Changed++
	case Unchanged:
		p.Unchanged++
	case Refused:
		p.Refused++
	}
	if outcome != Refused {
		return
	}
	if len(p.Refusals) < p.keep {
		p.Refusals = append(p.Refusals, Refusal{Row: row.Number, Line: row.Line, Reference: row.Reference, Problems: all})
	}
	for _, prob := range all {
		k := groupKey{starred(prob.Pointer), prob.Column, prob.Rule}
		g := p.groups[k]
		if g == nil {
			if len(p.groups) >= maxGroups {
				p.more++
				continue
			}
			g = &group{groupKey: k, detail: prob.Detail, fix: prob.Fix, first: row.Number}
			p.groups[k] = g
		}
		if g.last != row.Number { // a list may fail twice in one row
			g.rows++
			g.last = row.Number
		}
	}
}

// starred returns a pointer with the numbers of array elements made "*".
func starred(pointer string) string {
	if !strings.ContainsAny(pointer, "0123456789") {
		return pointer
	}
	toks := strings.Split(pointer, "/")
	for i, t := range toks {
		if _, err := strconv.ParseUint(t, 10, 32); err == nil {
			toks[i] = "*"
		}
	}
	return strings.Join(toks, "/")
}

// kinds returns the kinds of problems, those of most rows first.
func (p *Report) kinds() []*group {
	out := make([]*group, 0, len(p.groups))
	for _, g := range p.groups {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group) int {
		if a.rows != b.rows {
			return b.rows - a.rows
		}
		if a.first != b.first {
			return a.first - b.first
		}
		return strings.Compare(a.pointer+" "+a.rule+" "+a.column, b.pointer+" "+b.rule+" "+b.column)
	})
	return out
}

// WriteText prints the report for a person: counts, the kinds of problems with
// what to do about each, and the first refused rows with the cells in
// question. all names what prints every refused row, such as "--rejects FILE".
//
// It prints values from the file: to the importer's own terminal, and nowhere
// else.
func (p *Report) WriteText(w io.Writer, all string) error {
	b := bufio.NewWriter(w)
	verb := "read"
	if p.DryRun {
		verb = "read, nothing written"
	}
	fmt.Fprintf(b, "%s: %s %s", visible(p.File), count(p.Rows, "row", "rows"), verb)
	if p.Standard != "" {
		fmt.Fprintf(b, ", for %s", p.Standard)
	}
	fmt.Fprintf(b, "\n  %7d new\n  %7d changed\n  %7d unchanged\n  %7d refused\n", p.New, p.Changed, p.Unchanged, p.Refused)
	if p.Stopped != "" {
		fmt.Fprintf(b, "\nThe file was not read to its end: %s\n", visible(p.Stopped))
	}
	if kinds := p.kinds(); len(kinds) > 0 {
		fmt.Fprintf(b, "\nWhy rows were refused\n")
		for _, g := range kinds {
			fmt.Fprintf(b, "  %7d  %s: %s\n", g.rows, where(g.column, g.pointer), said(g.detail, g.rule))
			if g.fix != "" {
				fmt.Fprintf(b, "           to mend it: %s\n", visible(g.fix))
			}
		}
		if p.more > 0 {
			fmt.Fprintf(b, "  and %s of other kinds\n", count(p.more, "problem", "problems"))
		}
	}
	if len(p.Refusals) > 0 {
		fmt.Fprintf(b, "\nRefused rows\n")
		for _, r := range p.Refusals {
			fmt.Fprintf(b, "  row %d%s%s\n", r.Row, lineIf(r), reffed(r.Reference))
			for _, prob := range r.Problems {
				fmt.Fprintf(b, "    %s: %s%s\n", where(prob.Column, prob.Pointer), said(prob.Detail, prob.Rule), valued(prob.Value))
			}
		}
		if more := p.Refused - len(p.Refusals); more > 0 {
			fmt.Fprintf(b, "  and %s; to have them all: %s\n", count(more, "row more", "rows more"), all)
		}
	}
	if len(p.Notes) > 0 {
		fmt.Fprintf(b, "\nNotes\n")
		for _, n := range p.Notes {
			fmt.Fprintf(b, "  %s\n", visible(n))
		}
	}
	return b.Flush()
}

func said(detail, rule string) string { return fmt.Sprintf("%s (%s)", cut(visible(detail)), rule) }

func where(column, pointer string) string {
	switch {
	case column != "" && pointer != "":
		return fmt.Sprintf("%s (%s)", visible(column), visible(pointer))
	case column != "":
		return visible(column)
	case pointer != "":
		return visible(pointer)
	}
	return "the row"
}

func lineIf(r Refusal) string {
	if r.Line == r.Row || r.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", r.Line)
}

func reffed(ref string) string {
	if ref == "" {
		return ""
	}
	return ", " + visible(ref)
}

func valued(v string) string {
	if v == "" {
		return ""
	}
	return ": " + strconv.Quote(v)
}

// visible makes text from a file safe to print: a terminal must not obey it,
// and it stays on one line.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return '\uFFFD'
	}, s)
}

// A shownProblem is a Problem with its value, which Problem itself never
// marshals.
type shownProblem struct {
	Problem
	Value string `json:"value,omitempty"`
}

type shownRefusal struct {
	Refusal
	Problems []shownProblem `json:"problems"`
}

func (r Refusal) json(values bool) shownRefusal {
	j := shownRefusal{Refusal: r, Problems: make([]shownProblem, len(r.Problems))}
	for i, p := range r.Problems {
		j.Problems[i].Problem = p
		if values {
			j.Problems[i].Value = strings.ToValidUTF8(p.Value, "\uFFFD")
		}
	}
	return j
}

// WriteJSON prints the report as one JSON document. Values from the file are
// in it only when values is set: for the importer's own eyes.
func (p *Report) WriteJSON(w io.Writer, values bool) error {
	type kind struct {
		Pointer string `json:"pointer"`
		Column  string `json:"column,omitempty"`
		Rule    string `json:"rule"`
		Detail  string `json:"detail"`
		Fix     string `json:"fix,omitempty"`
		Rows    int    `json:"rows"`
		First   int    `json:"first_row"`
	}
	doc := struct {
		File      string         `json:"file"`
		Format    Format         `json:"format"`
		Standard  string         `json:"standard,omitempty"`
		DryRun    bool           `json:"dry_run"`
		Stopped   string         `json:"stopped,omitempty"`
		Rows      int            `json:"rows"`
		New       int            `json:"new"`
		Changed   int            `json:"changed"`
		Unchanged int            `json:"unchanged"`
		Refused   int            `json:"refused"`
		Reasons   []kind         `json:"reasons"`
		Refusals  []shownRefusal `json:"refusals"`
		Notes     []string       `json:"notes"`
	}{p.File, p.Format, p.Standard, p.DryRun, p.Stopped, p.Rows, p.New, p.Changed, p.Unchanged, p.Refused, []kind{}, []shownRefusal{}, []string{}}
	for _, g := range p.kinds() {
		doc.Reasons = append(doc.Reasons, kind{g.pointer, g.column, g.rule, g.detail, g.fix, g.rows, g.first})
	}
	for _, r := range p.Refusals {
		doc.Refusals = append(doc.Refusals, r.json(values))
	}
	doc.Notes = append(doc.Notes, p.Notes...)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// Rejects writes every refused row to a file that can go back to the supplier:
// for CSV the row as it came, or its line where it could not be taken apart,
// behind columns that say what is wrong; for JSON
// a line of NDJSON with the problems and the record's own text. Unlike a
// Report it keeps nothing in memory. It is for one goroutine at a time.
type Rejects struct {
	csv    *csv.Writer
	json   *bufio.Writer
	width  int
	header []string
}

// NewRejects returns a writer of the rows of r that are refused. Nothing is
// written before the first of them. A CSV file is UTF-8 with a byte order mark,
// so that a spreadsheet reads it rightly; cells are as they came, also those
// that a spreadsheet would take for a formula.
func NewRejects(w io.Writer, r *Reader) *Rejects {
	if r.table == nil {
		return &Rejects{json: bufio.NewWriter(w)}
	}
	return &Rejects{
		csv:    csv.NewWriter(&marked{w: w}),
		header: append([]string{"Row in your file", "What is wrong", "What to do"}, r.Headings()...),
		width:  len(r.Headings()),
	}
}

// marked writes a byte order mark before the first bytes.
type marked struct {
	w    io.Writer
	done bool
}

func (m *marked) Write(b []byte) (int, error) {
	if !m.done {
		if _, err := m.w.Write([]byte("\uFEFF")); err != nil {
			return 0, err
		}
		m.done = true
	}
	return m.w.Write(b)
}

// Add writes a refused row. problems are as in Report.Add.
func (j *Rejects) Add(row Row, problems ...Problem) error {
	all := append(slices.Clip(row.Problems), problems...)
	if j.json != nil {
		line := struct {
			shownRefusal
			Text string `json:"text"`
		}{Refusal{row.Number, row.Line, row.Reference, all}.json(true), string(row.Text)}
		enc := json.NewEncoder(j.json)
		enc.SetEscapeHTML(false)
		return enc.Encode(line)
	}
	if j.header != nil {
		if err := j.csv.Write(j.header); err != nil {
			return err
		}
		j.header = nil
	}
	var wrong, fix []string
	for _, p := range all {
		wrong = append(wrong, where(p.Column, p.Pointer)+": "+visible(p.Detail))
		if p.Fix != "" && !slices.Contains(fix, visible(p.Fix)) {
			fix = append(fix, visible(p.Fix))
		}
	}
	cells := append([]string{strconv.Itoa(row.Number), strings.Join(wrong, "; "), strings.Join(fix, "; ")}, row.Cells...)
	if row.Cells == nil && len(row.Text) > 0 {
		cells = append(cells, strings.ToValidUTF8(string(row.Text), "\uFFFD"))
	}
	return j.csv.Write(cells)
}

// Close writes what is still held back. It does not close the file.
func (j *Rejects) Close() error {
	if j.json != nil {
		return j.json.Flush()
	}
	j.csv.Flush()
	return j.csv.Error()
}
