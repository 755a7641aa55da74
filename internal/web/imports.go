package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// uploads are files that somebody brought and has not taken in yet: in the data folder,
// for whoever brought them alone. They go once they are taken in or forgotten, and
// after a day.
type uploads struct {
	dir    string
	random io.Reader
	mu     sync.Mutex // one judges at a time: a large file takes a while
}

const uploadsLast = 24 * time.Hour

func newUploads(data string, random io.Reader) *uploads {
	return &uploads{dir: filepath.Join(data, "uploads"), random: random}
}

// An upload is one such file.
type upload struct {
	ID       string `json:"id"`
	Person   string `json:"person"`
	Name     string `json:"name"`
	Standard string `json:"standard"`
	Mapping  string `json:"mapping,omitempty"` // YAML
	// Form is the id of the translation by which a JSON file is read, "" of one that holds
	// records of the standard, and Set what a file in that form does not say.
	Form   string    `json:"form,omitempty"`
	Set    []string  `json:"set,omitempty"`
	At     time.Time `json:"at"`
	Size   int64     `json:"size"`
	Result *judged   `json:"result,omitempty"` // of the dry run; nil before it
}

// judged is what a dry run, or an import, came to. It holds no value.
type judged struct {
	Rows      int      `json:"rows"`
	Good      int      `json:"good"`
	Refused   int      `json:"refused"`
	Created   int      `json:"created,omitempty"`
	Changed   int      `json:"changed,omitempty"`
	Unchanged int      `json:"unchanged,omitempty"`
	Withdrawn int      `json:"withdrawn,omitempty"`
	Groups    []group  `json:"groups,omitempty"`
	Broken    string   `json:"broken,omitempty"` // why the file could not be read to its end
	Fix       string   `json:"fix,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	Taken     bool     `json:"taken,omitempty"`
}

// translation returns how the file is translated; nil where it is not.
func (u *upload) translation() (*translation.Translation, error) {
	t := translation.Shipped(u.Form)
	if t == nil {
		return nil, nil
	}
	return t.Saying(u.Set)
}

// Said is what the file does not say at a place of the record.
func (u *upload) Said(at string) string {
	for _, set := range u.Set {
		if place, text, _ := strings.Cut(set, "="); place == at {
			return text
		}
	}
	return ""
}

func (u *uploads) file(id, ending string) (string, error) {
	if len(id) != 26 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", &node.Error{Kind: node.NotFound, Message: "there is no such file"}
	}
	return filepath.Join(u.dir, id+ending), nil
}

func (u *uploads) read(id, person string) (*upload, error) {
	file, err := u.file(id, ".json")
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, &node.Error{Kind: node.NotFound, Message: "there is no such file"}
	}
	var one upload
	if err := json.Unmarshal(b, &one); err != nil {
		return nil, err
	}
	if one.Person != person { // whether it is there is no business of anybody else
		return nil, &node.Error{Kind: node.NotFound, Message: "there is no such file"}
	}
	return &one, nil
}

func (u *uploads) write(one *upload) error {
	b, err := json.Marshal(one)
	if err != nil {
		return err
	}
	return people.WriteFile(filepath.Join(u.dir, one.ID+".json"), b)
}

func (u *uploads) drop(id string) error {
	for _, ending := range []string{"", ".json"} {
		file, err := u.file(id, ending)
		if err != nil {
			return err
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sweep deletes what nobody came back for.
func (u *uploads) sweep(now time.Time) {
	files, _ := os.ReadDir(u.dir)
	for _, f := range files {
		if st, err := f.Info(); err == nil && now.Sub(st.ModTime()) > uploadsLast {
			os.Remove(filepath.Join(u.dir, f.Name()))
		}
	}
}

func (q *request) standardOptions() ([]option, error) {
	all, err := q.Node.Standards().List(q.ctx())
	if err != nil {
		return nil, err
	}
	var out []option
	for _, s := range all {
		o := opt(s.Name.Line(), s.Title+" ("+s.Name.Line().String()+")")
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out, nil
}

func (q *request) importForm() error { return q.showImport(nil, 0) }

func (q *request) showImport(f faults, status int) error {
	std, err := q.standardOptions()
	if err != nil {
		return err
	}
	return q.render("import", page{Title: q.say("import.title"), Faults: f, Status: status, Data: map[string]any{"Standards": std, "Standard": q.form("standard")}})
}

func (q *request) importUpload() error {
	f, head, err := q.r.FormFile("file")
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return large
	}
	if err != nil {
		return q.showImport(faults{{"file", q.say("import.no-file")}}, 422)
	}
	defer f.Close()
	line, err := name.ParseStandardLine(q.form("standard"))
	if err != nil {
		return q.showImport(faults{{"standard", q.say("draft.standard-wrong")}}, 422)
	}
	q.uploads.sweep(q.Now())
	if err := os.MkdirAll(q.uploads.dir, 0o700); err != nil {
		return err
	}
	id, err := q.People.Code(16)
	if err != nil {
		return err
	}
	one := &upload{ID: id, Person: q.who.ID, Name: head.Filename, Standard: line.String(), At: q.Now().UTC(), Size: head.Size}
	file, err := q.uploads.file(id, "")
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	format, foreign := q.format(one, file)
	if foreign != nil {
		q.uploads.drop(id)
		return q.showImport(faults{{"file", q.node(foreign.Detail + ". " + foreign.Fix)}}, 422)
	}
	if format.Tabular() {
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		std, err := q.standard(one.Standard)
		if err != nil {
			return err
		}
		sample, err := intake.Look(in, "")
		if fe, ok := errors.AsType[*intake.FileError](err); ok {
			q.uploads.drop(id)
			return q.showImport(faults{{"file", q.node(fe.Detail + ". " + fe.Fix)}}, 422)
		} else if err != nil {
			return err
		}
		one.Mapping = string(sample.Draft(std))
	} else if err := q.guessForm(one, file, format); err != nil {
		return err
	}
	if err := q.uploads.write(one); err != nil {
		return err
	}
	return q.to(path("imports", id))
}

func (q *request) format(one *upload, file string) (intake.Format, *intake.FileError) {
	declared, _ := intake.FormatOf(one.Name)
	head := make([]byte, 4096)
	if f, err := os.Open(file); err == nil {
		n, _ := io.ReadFull(f, head)
		head = head[:n]
		f.Close()
	}
	format, foreign := intake.Recognise(head, declared, declared.Tabular())
	if foreign != nil {
		return "", foreign
	}
	return format, nil
}

// theCouncil is the place of a record that says whose it is.
const theCouncil = name.Field("/council")

// guessForm drafts how a JSON file is read: in the form of another data standard where its
// records stand where those of that have them. Where that form has no place for the council,
// it is ours.
func (q *request) guessForm(one *upload, file string, format intake.Format) error {
	line, err := name.ParseStandardLine(one.Standard)
	if err != nil {
		return err
	}
	for _, id := range translation.ShippedFor(line) {
		t := translation.Shipped(id)
		if t.Theirs(string(theCouncil)) == "" {
			us, err := q.Node.Councils().Show(q.ctx(), node.MemberNameRequest{})
			if err != nil {
				return err
			}
			if us.GSS != "" {
				one.Set = []string{string(theCouncil) + "=" + us.GSS}
			}
		}
		if format != intake.JSON {
			continue
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		is, err := intake.InForm(in, t)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
		if is {
			one.Form = id
			return nil
		}
	}
	return nil
}

// unsaid are the places that every record needs and that a file in another form may not say:
// those for which one of the forms has no place, and the council.
func unsaid(std *standard.Standard) (places []name.Field) {
	for _, p := range intake.Places(std) {
		if !p.Required || p.List || p.Type != "string" {
			continue
		}
		for _, id := range translation.ShippedFor(std.Name().Line()) {
			if p.To == theCouncil || translation.Shipped(id).Theirs(string(p.To)) == "" {
				places = append(places, p.To)
				break
			}
		}
	}
	return places
}

// column is one heading of the file, on the page where it is mapped.
type column struct {
	Heading string
	Cells   []string
	To      string
}

func (q *request) importOne() error {
	one, err := q.uploads.read(q.r.PathValue("id"), q.who.ID)
	if err != nil {
		return err
	}
	return q.showUpload(one, nil)
}

func (q *request) showUpload(one *upload, f faults) error {
	file, err := q.uploads.file(one.ID, "")
	if err != nil {
		return err
	}
	std, err := q.standard(one.Standard)
	if err != nil {
		return err
	}
	data := map[string]any{"U": one, "Path": path("imports", one.ID), "Standard": std.Manifest().Title}
	status := http.StatusOK
	if len(f) > 0 {
		status = http.StatusUnprocessableEntity
	}
	if one.Mapping != "" {
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		sample, err := intake.Look(in, "")
		if err != nil {
			return err
		}
		m, merr := intake.ParseMapping([]byte(one.Mapping))
		var columns []column
		for i, h := range sample.Headings {
			c := column{Heading: h}
			for _, r := range sample.Rows[:min(3, len(sample.Rows))] {
				if i < len(r) {
					c.Cells = append(c.Cells, r[i])
				}
			}
			if m != nil {
				for _, mc := range m.Columns {
					if slices.ContainsFunc(mc.From, func(s string) bool { return sameHeading(s, h) }) {
						c.To = string(mc.To)
					}
				}
			}
			columns = append(columns, c)
		}
		places := []option{opt("", q.say("columns.ignore"))}
		for _, p := range intake.Places(std) {
			text := strings.TrimPrefix(string(p.To), "/")
			if p.Required {
				text += " (" + q.say("columns.required") + ")"
			}
			places = append(places, opt(p.To, text))
		}
		data["Columns"], data["Places"], data["Mapping"] = columns, places, one.Mapping
		if merr != nil && len(f) == 0 {
			data["MappingWrong"] = merr.Error()
		}
		if merr != nil {
			return q.render("upload", page{Title: one.Name, Back: "/imports", Wide: true, Faults: f, Status: status, Data: data})
		}
	}
	if ids := translation.ShippedFor(std.Name().Line()); one.Mapping == "" && len(ids) > 0 {
		forms := []option{opt("", q.say("forms.own"))}
		for _, id := range ids {
			forms = append(forms, opt(id, translation.Shipped(id).Title))
		}
		var places []option
		for _, at := range unsaid(std) {
			places = append(places, opt(at, strings.TrimPrefix(string(at), "/")))
		}
		data["Forms"], data["Asked"] = forms, places
	}
	if one.Result == nil {
		if one.Result, err = q.judge(q.ctx(), one, std, true, nil); err != nil {
			return err
		}
		if err := q.uploads.write(one); err != nil {
			return err
		}
	}
	data["Result"] = one.Result
	return q.render("upload", page{Title: one.Name, Back: "/imports", Wide: true, Faults: f, Status: status, Data: data})
}

func sameHeading(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// importColumns takes what the page says of each column into the mapping.
func (q *request) importColumns() error {
	one, err := q.uploads.read(q.r.PathValue("id"), q.who.ID)
	if err != nil {
		return err
	}
	file, err := q.uploads.file(one.ID, "")
	if err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	sample, err := intake.Look(in, "")
	if err != nil {
		return err
	}
	std, err := q.standard(one.Standard)
	if err != nil {
		return err
	}
	m, err := intake.ParseMapping([]byte(one.Mapping))
	if err != nil {
		if m, err = intake.ParseMapping(sample.Draft(std)); err != nil {
			m = &intake.Mapping{Version: intake.MappingVersion, Standard: std.Name().Line(), Encoding: sample.Encoding, Delimiter: sample.Delimiter}
		}
	}
	places := intake.Places(std)
	var columns []intake.Column
	var ignore []string
	var f faults
	taken := map[name.Field]bool{}
	for i, h := range sample.Headings {
		to := name.Field(q.form(fmt.Sprintf("column-%d", i)))
		at := slices.IndexFunc(places, func(p intake.Place) bool { return p.To == to })
		if to == "" || at < 0 {
			if strings.TrimSpace(h) != "" {
				ignore = append(ignore, h)
			}
			continue
		}
		if taken[to] {
			f = append(f, fault{fmt.Sprintf("column-%d", i), q.say("columns.twice", strings.TrimPrefix(string(to), "/"))})
			continue
		}
		taken[to] = true
		c := intake.Column{To: to, From: intake.Headings{h}, Required: places[at].Required}
		for _, before := range m.Columns { // what the draft knows of how it is written stays
			if before.To == to {
				c, c.From = before, intake.Headings{h}
			}
		}
		if places[at].Type != "string" && c.Type == "" {
			c.Type = places[at].Type
		}
		columns = append(columns, c)
	}
	m.Columns, m.Ignore = columns, ignore
	m.Coordinates = slices.DeleteFunc(m.Coordinates, func(c intake.Coordinates) bool { return taken[c.Longitude] || taken[c.Easting] })
	one.Mapping, one.Result = string(m.YAML()), nil
	if len(f) == 0 {
		if _, err := intake.ParseMapping([]byte(one.Mapping)); err != nil {
			f = append(f, fault{"column-0", q.node(err.Error())})
		}
	}
	if len(f) > 0 {
		return q.showUpload(one, f)
	}
	if err := q.uploads.write(one); err != nil {
		return err
	}
	return q.to(path("imports", one.ID))
}

// upload returns the file that the address names, of whoever asks, and its standard.
func (q *request) upload() (*upload, *standard.Standard, error) {
	one, err := q.uploads.read(q.r.PathValue("id"), q.who.ID)
	if err != nil {
		return nil, nil, err
	}
	std, err := q.standard(one.Standard)
	return one, std, err
}

// importAs takes in which form the page says that the file is, and what it does not say.
func (q *request) importAs() error {
	one, std, err := q.upload()
	if err != nil {
		return err
	}
	form := q.form("form")
	if one.Mapping != "" || form != "" && !slices.Contains(translation.ShippedFor(std.Name().Line()), form) {
		return q.showUpload(one, faults{{"form", q.say("forms.wrong")}})
	}
	one.Form, one.Set, one.Result = form, nil, nil
	for i, at := range unsaid(std) {
		if text := q.form(fmt.Sprintf("set-%d", i)); text != "" {
			one.Set = append(one.Set, string(at)+"="+text)
		}
	}
	if err := q.uploads.write(one); err != nil {
		return err
	}
	return q.to(path("imports", one.ID))
}

// batch is how many rows are offered at a time.
const batch = 1000

// judge offers the rows of a file to the node, which judges them, and in earnest keeps
// them. Each is called with every row that was refused.
func (q *request) judge(ctx context.Context, one *upload, std *standard.Standard, dry bool, each func(r *intake.Reader, row intake.Row, ps []intake.Problem) error) (*judged, error) {
	q.uploads.mu.Lock()
	defer q.uploads.mu.Unlock()
	file, err := q.uploads.file(one.ID, "")
	if err != nil {
		return nil, err
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	format, foreign := q.format(one, file)
	if foreign != nil {
		return &judged{Broken: foreign.Detail, Fix: foreign.Fix}, nil
	}
	var m *intake.Mapping
	if one.Mapping != "" {
		if m, err = intake.ParseMapping([]byte(one.Mapping)); err != nil {
			return &judged{Broken: err.Error()}, nil
		}
	}
	form, err := one.translation()
	if err != nil {
		return nil, err
	}
	out := &judged{Taken: !dry}
	broken := func(err error) (*judged, error) {
		fe, ok := errors.AsType[*intake.FileError](err)
		if !ok {
			return nil, err
		}
		out.Broken, out.Fix = fe.Detail, fe.Fix
		if fe.Line > 0 {
			out.Broken = fmt.Sprintf("line %d: %s", fe.Line, fe.Detail)
		}
		return out, nil
	}
	r, err := intake.Open(in, intake.Options{Format: format, Mapping: m, Translation: form, Reference: std.Manifest().Key, Private: func(f name.Field) bool { return std.Class(f).AboutPerson() }, Limits: strictjson.DefaultLimits()})
	if err != nil {
		return broken(err)
	}
	var groups grouping
	var rows []intake.Row
	offer := func() error {
		put := node.PutRequest{Standard: std.Name().String(), DryRun: dry, Hold: !dry}
		for _, row := range rows {
			o := node.Offered{Row: row.Number, Reference: row.Reference}
			o.Record, o.Problems = r.Offered(row)
			put.Records = append(put.Records, o)
		}
		reply, err := q.Node.Records().Put(ctx, put)
		if err != nil {
			return err
		}
		for i, res := range reply.Results {
			row := rows[i]
			out.Rows++
			out.Withdrawn += res.Withdrawn
			if len(res.Problems) == 0 {
				out.Good++
				switch res.Outcome {
				case node.Created:
					out.Created++
				case node.Changed:
					out.Changed++
				case node.Unchanged:
					out.Unchanged++
				}
				continue
			}
			out.Refused++
			problems := row.Problems
			if len(problems) == 0 {
				problems = r.Explain(row, res.Problems)
			}
			called := row.Reference
			if called == "" || !r.Nameable() {
				called = q.say("import.row", row.Number)
			}
			for _, p := range problems {
				place := p.Pointer
				switch {
				case p.Column != "" && form != nil:
					place = p.Column + " (" + p.Pointer + ")"
				case p.Column != "":
					place = p.Column
				}
				groups.add(node.Problem{Pointer: place, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix}, called)
			}
			if each != nil {
				if err := each(r, row, problems); err != nil {
					return err
				}
			}
		}
		rows = rows[:0]
		return nil
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			if len(rows) > 0 {
				if oerr := offer(); oerr != nil {
					return nil, oerr
				}
			}
			out.Groups = groups.sorted()
			return broken(err)
		}
		if rows = append(rows, row); len(rows) == batch {
			if err := offer(); err != nil {
				return nil, err
			}
		}
	}
	if len(rows) > 0 {
		if err := offer(); err != nil {
			return nil, err
		}
	}
	out.Notes = r.Notes()
	out.Groups = groups.sorted()
	return out, nil
}

// importTake takes the good rows in; what was refused is held.
func (q *request) importTake() error {
	one, err := q.uploads.read(q.r.PathValue("id"), q.who.ID)
	if err != nil {
		return err
	}
	if one.Result != nil && one.Result.Taken {
		return q.to(path("imports", one.ID))
	}
	std, err := q.standard(one.Standard)
	if err != nil {
		return err
	}
	if one.Result, err = q.judge(q.ctx(), one, std, false, nil); err != nil {
		return err
	}
	q.Log.Info("a person imported a file", "person", q.who.ID, "standard", one.Standard, "good", one.Result.Good, "refused", one.Result.Refused)
	if err := q.uploads.write(one); err != nil {
		return err
	}
	return q.done(path("imports", one.ID), "taken")
}

func (q *request) importForget() error {
	one, err := q.uploads.read(q.r.PathValue("id"), q.who.ID)
	if err != nil {
		return err
	}
	if err := q.uploads.drop(one.ID); err != nil {
		return err
	}
	return q.done("/imports", "forgotten")
}

// importMend sends the rows that were refused, as they came, with what is wrong with
// each: to whoever brought them, and to nobody else.
func (q *request) importMend() error {
	one, std, err := q.upload()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	first := true
	_, err = q.judge(q.ctx(), one, std, true, func(r *intake.Reader, row intake.Row, ps []intake.Problem) error {
		var says []string
		for _, p := range ps {
			at := p.Column
			if at == "" {
				at = p.Pointer
			}
			says = append(says, fmt.Sprintf("%s: %s; %s", at, p.Detail, p.Fix))
		}
		if one.Mapping == "" {
			b.Write(bytes.TrimSpace(row.Text))
			b.WriteByte('\n')
			return nil
		}
		if first {
			w.Write(append(slices.Clone(r.Headings()), "What is wrong"))
			first = false
		}
		cells := slices.Clone(row.Cells)
		for len(cells) < len(r.Headings()) {
			cells = append(cells, "")
		}
		return w.Write(append(cells, strings.Join(says, " | ")))
	})
	if err != nil {
		return err
	}
	w.Flush()
	if one.Mapping == "" {
		return q.download("application/x-ndjson", "to-mend.ndjson", b.Bytes())
	}
	return q.download("text/csv; charset=utf-8", "to-mend.csv", b.Bytes())
}
