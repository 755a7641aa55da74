// Package registers makes registers for the public out of a node's own records, those that
// partners sent it, and those of footprints it keeps: what stands where, counted by what
// people ask. One description says what a register is; every one is read, counted, drawn
// and written in the same way. It shows no field but those that a standard calls open.
package registers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

// A Table is a register as it stands.
type Table struct {
	Description
	Std    name.Standard // zero for one that is not of records
	Made   time.Time
	Us     name.Council
	Rows   []Row
	Counts []Count // one for each group
	// Members are the GSS codes of the directory's councils, where a map or a group asks.
	Members []string
	titles  map[string]string       // of them by code, as the directory has them
	codes   map[name.Council]string // GSS codes of the directory's members that have one
	Left    int                     // records left out, since no proof of them holds or they cannot be read
	// Audits are those of what the register counts; nil where it has none.
	Audits *Audits

	form *translation.Translation // of Form; nil where there is none
	// formed are the records in that form, in the order in which they were read.
	formed []any
}

// A Row is a record, or a line that is made of several.
type Row struct {
	Council name.Council // who says so
	Record  name.Record
	Entry   string     // where the record stands, such as "12 of the log of northmoor.gov.uk"; "" of a line made of several
	Cells   [][]string // by column; of a list each value
}

// Text is what stands in the row.
func (r Row) Text() string {
	var b strings.Builder
	b.WriteString(string(r.Council))
	for _, vs := range r.Cells {
		b.WriteByte('\n')
		b.WriteString(strings.Join(vs, "; "))
	}
	return b.String()
}

// Mapped are the values in the column of the map; nil where there is none.
func (t *Table) Mapped() (all []string) {
	if t.Map == "" {
		return nil
	}
	for _, r := range t.Rows {
		if t.MapWhere != "" && (len(r.Cells[t.at(t.MapWhere)]) == 0 || r.Cells[t.at(t.MapWhere)][0] == "0") {
			continue
		}
		all = append(all, r.Cells[t.at(t.Map)]...)
	}
	return all
}

// A Count is how many records there are of each value of a group.
type Count struct {
	Group
	Lines []Line
}

// A Line is one value of a group.
type Line struct {
	Value    string
	Name     string // of the council whose code the value is; "" for others
	Records  int
	Councils []name.Council // who say so, sorted
}

// Title is the value as a page shows it.
func (l Line) Title() string {
	if l.Name == "" {
		return l.Value
	}
	return l.Name + " (" + l.Value + ")"
}

// Read makes a register from what a node holds. It returns nil where the node has not
// adopted its standard.
func Read(ctx context.Context, o node.Operations, d Description, now time.Time) (*Table, error) {
	us, err := o.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return nil, err
	}
	t := &Table{Description: d, Made: now.UTC().Truncate(time.Second), Us: us.Council}
	members, err := o.Councils().List(ctx)
	if err != nil {
		return nil, err
	}
	t.titles, t.codes = map[string]string{}, map[name.Council]string{}
	for _, m := range members {
		if m.GSS == "" {
			continue
		}
		t.codes[m.Council] = m.GSS
		if m.Role == string(node.RoleCouncil) {
			t.Members = append(t.Members, m.GSS)
			t.titles[m.GSS] = m.Title
		}
	}
	if d.made != nil {
		if t.Rows, err = d.made(ctx, o, now); err != nil {
			return nil, err
		}
	} else if ok, err := t.read(ctx, o); !ok {
		return nil, err
	} else if d.also != nil {
		if err := d.also(ctx, o, t); err != nil {
			return nil, err
		}
	}
	if d.audited {
		if t.Audits, err = ReadAudits(ctx, o, now); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(t.Rows, func(a, b Row) int {
		if d.ordered {
			return 0
		}
		return cmp.Or(strings.Compare(string(a.Council), string(b.Council)), slices.CompareFunc(a.Cells, b.Cells, slices.Compare), strings.Compare(string(a.Record), string(b.Record)))
	})
	for _, g := range d.Groups {
		t.Counts = append(t.Counts, t.count(g))
	}
	return t, nil
}

func (t *Table) read(ctx context.Context, o node.Operations) (bool, error) {
	a, err := o.Standards().Archive(ctx, node.StandardRequest{Name: t.Standard})
	if missing(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	std, err := standard.LoadArchive(a.Archive)
	if err != nil {
		return false, err
	}
	t.Std = std.Name()
	t.Columns = slices.Clone(t.Columns)
	for i, c := range t.Columns {
		if c.Pointer != "" && !std.Classified(name.Field(c.Pointer)) {
			t.Columns[i].Pointer = "" // a later version of the standard has it, and says its class
			continue
		}
		if c.Pointer != "" && std.Class(name.Field(c.Pointer)) != standard.Open {
			return false, fmt.Errorf("register %s: %s is not open in %s", t.ID, c.Pointer, t.Std)
		}
	}
	if t.Form != "" {
		t.form = translation.Shipped(t.Form)
		for _, p := range t.form.Ours() {
			if std.Class(name.Field(p)) != standard.Open {
				return false, fmt.Errorf("register %s: %s, which %s has, is not open in %s", t.ID, p, t.form.Title, t.Std)
			}
		}
	}
	seen := map[string]bool{}
	take := func(c name.Council, r name.Record, log name.Council, entry uint64, body []byte, good bool, version uint64, issued time.Time) {
		key := string(c) + " " + string(r)
		if seen[key] || len(body) == 0 {
			return
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var v any
		if !good || d.Decode(&v) != nil {
			t.Left++
			return
		}
		seen[key] = true
		if t.form != nil {
			t.formed = append(t.formed, t.form.Out(v, t.known(v, version, issued)))
		}
		for _, row := range t.rows(c, r, v) {
			row.Entry = fmt.Sprintf("%d of the log of %s", entry, log)
			t.Rows = append(t.Rows, row)
		}
	}
	status, err := o.Status(ctx)
	if err != nil {
		return false, err
	}
	sources := []name.Council{""}
	for _, p := range status.Partners {
		if p.Direction == "from" && p.Mode == "" && !slices.Contains(sources, p.Council) {
			sources = append(sources, p.Council)
		}
	}
	line := t.Std.Line().String()
	for _, from := range sources {
		for in := (node.ListRequest{Standard: line, From: from, Bodies: true, Limit: 1000}); ; {
			page, err := o.Records().List(ctx, in)
			if from != "" && missing(err) {
				break // the agreement is in force, and nothing has come yet
			}
			if err != nil {
				return false, err
			}
			t.Left += len(page.Damaged)
			for _, r := range page.Records {
				if r.Op != "delete" {
					take(r.Council, r.Record, cmp.Or(r.PassedBy, r.Council), r.Index, r.Body, from == "" || r.Proof == "log" || r.Proof == "signature", r.Version, r.IssuedAt)
				}
			}
			if in.Cursor = page.Cursor; in.Cursor == "" {
				break
			}
		}
	}
	footprints, err := o.Footprints().List(ctx)
	if err != nil {
		return false, err
	}
	for _, f := range footprints {
		if f.Machines != nil || !slices.ContainsFunc(f.Standards, func(s name.Standard) bool { return s.Line() == t.Std.Line() }) {
			continue
		}
		for in := (node.FootprintListRequest{Name: string(f.Name), Standard: line, Bodies: true, Limit: 1000}); ; {
			page, err := o.Footprints().Records(ctx, in)
			if err != nil {
				return false, err
			}
			t.Left += len(page.Damaged)
			for _, r := range page.Records {
				take(r.Council, r.Record, f.Name, r.Entry, r.Body, true, r.Version, r.IssuedAt) // members let nothing in that its council did not sign
			}
			if in.Cursor = page.Cursor; in.Cursor == "" {
				break
			}
		}
	}
	return true, nil
}

func missing(err error) bool {
	e, ok := errors.AsType[*node.Error](err)
	return ok && e.Kind == node.NotFound
}

// known is what a form may say of a record beside what stands in it.
func (t *Table) known(record any, version uint64, issued time.Time) map[string]any {
	known := map[string]any{"version": json.Number(strconv.FormatUint(version, 10)), "issued": issued.UTC().Format(time.RFC3339)}
	m, _ := record.(map[string]any)
	if gss, ok := m["council"].(string); ok {
		known["council-name"] = t.called(gss)
	}
	return known
}

// Named is a council's name with its GSS code, as the list of England's councils or the
// directory has it; where neither does, the code.
func (t *Table) Named(gss string) string { return Line{Value: gss, Name: t.called(gss)}.Title() }

// entries says of each line where the record stands that it is made of.
func entries(_ context.Context, _ node.Operations, t *Table) error {
	for i := range t.Rows {
		t.Rows[i].Cells[t.at(entry)] = []string{t.Rows[i].Entry}
	}
	return nil
}

// authorities puts beside the GSS code of each deciding authority its name, which no record has.
func authorities(_ context.Context, _ node.Operations, t *Table) error {
	code, called := t.at("Deciding authority"), t.at("Name of deciding authority")
	for _, r := range t.Rows {
		for _, gss := range r.Cells[code] {
			if n := t.called(gss); n != "" {
				r.Cells[called] = append(r.Cells[called], n)
			}
		}
	}
	return nil
}

// called is the name of a council by its GSS code; "" where neither the list of England's
// councils nor the directory has it.
func (t *Table) called(gss string) string {
	c, _ := councils.ByGSS(gss)
	return cmp.Or(c.Name, t.titles[gss])
}

// rows are the lines that a record makes: one, or one for each item of a list.
func (t *Table) rows(c name.Council, r name.Record, v any) (rows []Row) {
	items := []any{nil}
	if t.Each != "" {
		if list := within(v, strings.Split(t.Each, "/")[1:]); len(list) > 0 {
			items = list
		}
	}
	for _, item := range items {
		row := Row{Council: c, Record: r}
		for _, col := range t.Columns {
			from, pointer := v, col.Pointer
			if pointer == "" {
				row.Cells = append(row.Cells, nil)
				continue
			}
			if rest, ok := strings.CutPrefix(pointer, t.Each+"/*"); ok && t.Each != "" {
				from, pointer = item, rest
			}
			row.Cells = append(row.Cells, values(from, strings.Split(pointer, "/")[1:]))
		}
		rows = append(rows, row)
	}
	return rows
}

// within is the list at a pointer; nil where none is.
func within(v any, pointer []string) []any {
	for _, step := range pointer {
		m, _ := v.(map[string]any)
		v = m[step]
	}
	list, _ := v.([]any)
	return list
}

// values are what stands at a pointer, whose * means each item of a list.
func values(v any, pointer []string) []string {
	switch v := v.(type) {
	case []any:
		if len(pointer) > 0 && pointer[0] == "*" {
			pointer = pointer[1:]
		}
		var all []string
		for _, item := range v {
			all = append(all, values(item, pointer)...)
		}
		return all
	case map[string]any:
		if len(pointer) == 0 {
			return nil
		}
		return values(v[pointer[0]], pointer[1:])
	case nil:
		return nil
	case bool:
		if v {
			return []string{"yes"}
		}
		return []string{"no"}
	}
	return []string{fmt.Sprint(v)}
}

// at is which column has a title.
func (t *Table) at(title string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Title == title })
}

// soon reports whether one of some days lies between the day on which the register was made
// and the same day a year later.
func (t *Table) soon(days []string) bool {
	from, until := t.Made.Format(time.DateOnly), t.Made.AddDate(1, 0, 0).Format(time.DateOnly)
	return slices.ContainsFunc(days, func(d string) bool { return from <= d && d < until })
}

// Reached is how many different values the first group has; of the goal, where there is one.
func (t *Table) Reached() int {
	n := 0
	for _, l := range t.Counts[0].Lines {
		if l.Value != Unsaid {
			n++
		}
	}
	return n
}

// Unsaid stands for a value that a record does not have.
const Unsaid = "not said"

// Words are those that registers use of themselves, which no council wrote: a page says them
// in its own language.
func Words() []string {
	words := []string{"yes", "no", Unsaid, notYet, "not asked for yet", otherKinds, "all", "directory", "type", "region", "members", "England",
		"councils of the directory", "all councils", "safeguarding authorities", "safeguarding authorities of the directory"}
	for _, t := range councils.Types() {
		words = append(words, string(t))
	}
	return words
}

func (t *Table) count(g Group) Count {
	lines := map[string]*Line{}
	line := func(v string) *Line {
		if lines[v] == nil {
			lines[v] = &Line{Value: v}
			if g.Every || g.Councils {
				lines[v].Name = t.called(v)
			}
		}
		return lines[v]
	}
	if g.Every {
		for _, gss := range t.Members {
			line(gss)
		}
	}
	for _, r := range t.Rows {
		vs := []string{string(r.Council)}
		if g.Column != "" {
			vs = slices.Compact(slices.Sorted(slices.Values(r.Cells[t.at(g.Column)])))
		}
		if len(vs) == 0 {
			vs = []string{Unsaid}
		}
		if g.Where != "" {
			if n := r.Cells[t.at(g.Where)]; len(n) == 0 || n[0] == "0" {
				continue
			}
		}
		if g.Soon != "" && !t.soon(r.Cells[t.at(g.Soon)]) {
			continue
		}
		if g.And != "" {
			also := r.Cells[t.at(g.And)]
			if len(also) == 0 {
				continue
			}
			for i := range vs {
				vs[i] += ": " + strings.Join(also, ", ")
			}
		}
		if g.Length > 0 {
			for i, v := range vs {
				if len(v) > g.Length && v != Unsaid {
					vs[i] = v[:g.Length]
				}
			}
			vs = slices.Compact(vs)
		}
		for _, v := range vs {
			l := line(v)
			l.Records++
			if r.Council != "" && !slices.Contains(l.Councils, r.Council) {
				l.Councils = append(l.Councils, r.Council)
			}
		}
	}
	c := Count{Group: g}
	for _, l := range lines {
		slices.Sort(l.Councils)
		c.Lines = append(c.Lines, *l)
	}
	slices.SortFunc(c.Lines, func(a, b Line) int {
		by := cmp.Compare(b.Records, a.Records)
		if g.Every {
			by = -by
		}
		if g.Length > 0 {
			by = 0 // in the order of time
		}
		return cmp.Or(by, strings.Compare(a.Value, b.Value))
	})
	return c
}
