package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// drafts are agreements that somebody is still writing: one YAML document each, in the
// data folder. Nobody else has them.
type drafts struct{ dir string }

func newDrafts(data string) *drafts { return &drafts{filepath.Join(data, "drafts")} }

func (d *drafts) file(n string) (string, error) {
	a, err := name.ParseAgreement(n)
	if err != nil {
		return "", &node.Error{Kind: node.NotFound, Message: "there is no such draft"}
	}
	return filepath.Join(d.dir, url.PathEscape(string(a))+".yaml"), nil
}

func (d *drafts) list() (out []string, err error) {
	files, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		if bare, ok := strings.CutSuffix(f.Name(), ".yaml"); ok {
			if n, uerr := url.PathUnescape(bare); uerr == nil {
				out = append(out, n)
			}
		}
	}
	return out, err
}

func (d *drafts) read(n string) ([]byte, error) {
	file, err := d.file(n)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &node.Error{Kind: node.NotFound, Message: "there is no such draft"}
	}
	return b, err
}

func (d *drafts) write(n string, b []byte) error {
	file, err := d.file(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	return people.WriteFile(file, b)
}

func (d *drafts) drop(n string) error {
	file, err := d.file(n)
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (q *request) draftNew() error { return q.draftStart(nil) }

func (q *request) draftStart(f faults) error {
	standards, err := q.Node.Standards().List(q.ctx())
	if err != nil {
		return err
	}
	members, err := q.Node.Councils().List(q.ctx())
	if err != nil {
		return err
	}
	var std, to []option
	for _, s := range standards {
		o := opt(s.Name.Line(), s.Title+" ("+s.Name.Line().String()+")")
		if !slices.Contains(std, o) {
			std = append(std, o)
		}
	}
	for _, m := range members {
		if !m.Self {
			to = append(to, opt(m.Council, m.Council))
		}
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("draft-new", page{Title: q.say("draft.new"), Back: "/agreements", Faults: f, Status: status, Data: map[string]any{
		"Standards": std, "Councils": to, "Name": q.form("name"), "To": q.form("to"), "Standard": q.form("standard"),
	}})
}

// draftBegin makes a draft: an empty one, or a next version of an agreement.
func (q *request) draftBegin() error {
	if amend := q.form("amend"); amend != "" {
		a, err := q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: amend})
		if err != nil {
			return err
		}
		doc, err := agreement.Parse([]byte(a.Document))
		if err != nil {
			return err
		}
		doc.Version++
		if err := q.drafts.write(amend, doc.YAML()); err != nil {
			return err
		}
		return q.to(path("drafts", amend))
	}
	var f faults
	n, err := name.ParseAgreement(string(q.Council) + "/" + q.form("name"))
	if err != nil {
		f = append(f, fault{"name", q.say("draft.name-wrong")})
	}
	to, err := name.ParseCouncil(q.form("to"))
	if err != nil {
		f = append(f, fault{"to", q.say("draft.to-wrong")})
	}
	line, err := name.ParseStandardLine(q.form("standard"))
	if err != nil {
		f = append(f, fault{"standard", q.say("draft.standard-wrong")})
	}
	if len(f) == 0 {
		if _, err := q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: string(n)}); err == nil {
			f = append(f, fault{"name", q.say("draft.name-taken")})
		}
	}
	if len(f) > 0 {
		return q.draftStart(f)
	}
	std, err := q.standard(line.String())
	if err != nil {
		return err
	}
	if err := q.drafts.write(string(n), agreement.Draft(n, []name.Council{to}, std)); err != nil {
		return err
	}
	return q.to(path("drafts", n))
}

// draft reads the draft that the path names, and its standard.
func (q *request) draft() (*agreement.Agreement, *standard.Standard, error) {
	b, err := q.drafts.read(q.named())
	if err != nil {
		return nil, nil, err
	}
	a, err := agreement.Parse(b)
	if err != nil {
		return nil, nil, &node.Error{Kind: node.Invalid, Message: err.Error()}
	}
	std, err := q.standard(a.Standard.String())
	return a, std, err
}

// draftOne shows the task list of a draft.
func (q *request) draftOne() error {
	a, std, err := q.draft()
	if err != nil {
		return err
	}
	problems := a.Check(std)
	var tasks []task
	left := 0
	for _, p := range parts {
		if p.Key == "onward" && !a.Way().Passes() && !slices.ContainsFunc(p.Headings, func(key string) bool { return headingText(a, key) != "" }) {
			continue // nothing is passed on in such a mode
		}
		wrong := 0
		for _, pr := range problems {
			if belongs(pr.Pointer, p.Headings) {
				wrong++
			}
		}
		t := task{Text: q.say("part." + p.Key), To: path("drafts", a.Name, "part", p.Key), Hint: q.say("part." + p.Key + "-hint")}
		if wrong > 0 {
			t.State, t.Colour = q.say("state.to-do"), "blue"
			left++
		} else {
			t.State = q.say("state.done")
		}
		tasks = append(tasks, t)
	}
	return q.render("draft", page{Title: string(a.Name), Back: "/agreements", Data: map[string]any{
		"A": a, "Tasks": tasks, "Left": left, "Done": len(tasks) - left, "Of": len(tasks), "Problems": problems, "Path": path("drafts", a.Name),
	}})
}

// entries reads a list that is typed with one entry on a line, or with commas between.
func entries(text string) (out []string) {
	for _, e := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ',' }) {
		if e = strings.TrimSpace(e); e != "" {
			out = append(out, e)
		}
	}
	return out
}

// withOpen adds to typed fields those of an agreement that are open: they travel, chosen or not.
func withOpen(list []string, a *agreement.Agreement, std *standard.Standard) []string {
	for _, f := range a.Fields {
		if std.Class(f) == standard.Open && !slices.Contains(list, string(f)) {
			list = append(list, string(f))
		}
	}
	return list
}

func belongs(pointer string, headings []string) bool {
	pointer = strings.TrimPrefix(pointer, "/")
	return slices.ContainsFunc(headings, func(h string) bool { return pointer == h || strings.HasPrefix(pointer, h+"/") })
}

// A control is one heading of a form.
type control struct {
	Key, Label, Hint, Value string
	Rows                    int
	Fields                  []fieldChoice // of the heading fields
	Councils                []partyChoice // of roles and contacts
}

type fieldChoice struct {
	Place   name.Field
	Title   string
	Class   standard.Class
	Chosen  bool
	Ignored bool // open: it travels in any case
}

type partyChoice struct {
	Council name.Council
	Value   string
}

func partOf(key string) (int, bool) {
	i := slices.IndexFunc(parts, func(p struct {
		Key      string
		Headings []string
	}) bool {
		return p.Key == key
	})
	return i, i >= 0
}

func (q *request) draftPart() error {
	a, std, err := q.draft()
	if err != nil {
		return err
	}
	return q.showPart(a, std, nil)
}

func (q *request) showPart(a *agreement.Agreement, std *standard.Standard, f faults) error {
	i, ok := partOf(q.r.PathValue("part"))
	if !ok {
		return &node.Error{Kind: node.NotFound, Message: "there is no such part"}
	}
	var controls []control
	for _, key := range parts[i].Headings {
		if key == "match" && !a.Way().ByMatch || key == "due" && !a.Way().Moves {
			continue
		}
		bare := strings.ReplaceAll(key, "/", "-")
		c := control{Key: bare, Label: q.say("heading." + bare), Hint: q.say("heading." + bare + "-hint"), Value: headingText(a, key), Rows: 4}
		switch key {
		case "rows", "onward/to", "onward/under":
			c.Rows = 3
		case "origin", "onward/steps", "retention", "starts", "ends", "review", "due", "most":
			c.Rows = 1
		case "fields":
			for _, p := range intake.Places(std) {
				c.Fields = append(c.Fields, fieldChoice{p.To, p.Title, std.Class(p.To), slices.Contains(a.Fields, p.To), std.Class(p.To) == standard.Open})
			}
			for _, g := range a.Fields { // what is agreed and stands in no list
				if !slices.ContainsFunc(c.Fields, func(x fieldChoice) bool { return x.Place == g }) {
					c.Fields = append(c.Fields, fieldChoice{Place: g, Class: std.Class(g), Chosen: true})
				}
			}
		case "roles":
			for _, p := range a.Parties() {
				c.Councils = append(c.Councils, partyChoice{p, string(a.Roles[p])})
			}
		case "contacts":
			for _, p := range a.Parties() {
				c.Councils = append(c.Councils, partyChoice{p, a.Contacts[p]})
			}
		}
		controls = append(controls, c)
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("draft-part", page{Title: q.say("part." + parts[i].Key), Back: path("drafts", a.Name), Faults: f, Status: status, Data: map[string]any{
		"A": a, "Controls": controls, "AskMode": parts[i].Key == "data", "Roles": []option{opt("", "–"), opt("controller", q.say("role.controller")), opt("joint controller", q.say("role.joint")), opt("processor", q.say("role.processor"))}, "Modes": q.modes(),
	}})
}

func (q *request) modes() (out []option) {
	for _, m := range agreement.Modes() {
		out = append(out, opt(m, q.say("mode."+modeWord(m))))
	}
	return out
}

// draftKeep keeps one part of a draft. What is wrong with it is told beside its field,
// and what was typed is kept on the page.
func (q *request) draftKeep() error {
	a, std, err := q.draft()
	if err != nil {
		return err
	}
	i, ok := partOf(q.r.PathValue("part"))
	if !ok {
		return &node.Error{Kind: node.NotFound, Message: "there is no such part"}
	}
	// The document is built again from all its headings, so that one reader judges it.
	doc := map[string]any{"agreement": string(a.Name), "version": a.Version, "from": string(a.From), "to": texts(a.To), "mode": string(a.Mode), "standard": a.Standard.String()}
	if i == 1 && q.form("mode") != "" {
		doc["mode"] = q.form("mode")
	}
	basis, onward := map[string]any{}, map[string]any{}
	for j, p := range parts {
		for _, key := range p.Headings {
			bare := strings.ReplaceAll(key, "/", "-")
			text := headingText(a, key)
			if j == i {
				text = strings.ReplaceAll(q.form(bare), "\r\n", "\n")
			}
			switch key {
			case "fields":
				list := texts(a.Fields)
				if j == i {
					list = withOpen(slices.Clone(q.r.Form["fields"]), a, std)
				}
				doc[key] = list
			case "match":
				list := texts(a.Match)
				if j == i {
					list = strings.Fields(text)
				}
				if len(list) > 0 {
					doc[key] = list
				}
			case "roles", "contacts":
				table := map[string]string{}
				for _, c := range a.Parties() {
					v := string(a.Roles[c])
					if key == "contacts" {
						v = a.Contacts[c]
					}
					if j == i {
						v = q.form(key + "-" + string(c))
					}
					table[string(c)] = v
				}
				doc[key] = table
			case "origin":
				if text := strings.TrimSpace(text); text != "" {
					doc[key] = text
				}
			case "onward/to", "onward/under", "onward/fields":
				list := entries(text)
				if key == "onward/fields" && j == i && len(list) > 0 {
					list = withOpen(list, a, std)
				}
				if len(list) > 0 {
					onward[strings.TrimPrefix(key, "onward/")] = list
				}
			case "onward/steps":
				if text := strings.TrimSpace(text); text != "" {
					onward["steps"] = text
				}
			default:
				if b, ok := strings.CutPrefix(key, "lawful_basis/"); ok {
					basis[b] = text
				} else {
					doc[key] = text
				}
			}
		}
	}
	doc["lawful_basis"] = basis
	// What no part of the form asks stays as it was brought.
	for key, text := range map[string]string{"retention_from": a.RetentionFrom, "subject_questions": a.Subjects} {
		if text != "" {
			doc[key] = text
		}
	}
	if len(onward) > 0 {
		doc["onward"] = onward
	}
	b, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	changed, err := agreement.Parse(b)
	if err != nil {
		// The text names lines of a document that nobody sees here; the heading is what
		// a person can mend.
		f := faults{}
		for _, key := range parts[i].Headings {
			if strings.Contains(err.Error(), strings.TrimPrefix(key, "lawful_basis/")) {
				f = append(f, fault{strings.ReplaceAll(key, "/", "-"), q.node(readable(err.Error(), key))})
			}
		}
		if len(f) == 0 {
			f = faults{{strings.ReplaceAll(parts[i].Headings[0], "/", "-"), q.node(err.Error())}}
		}
		return q.showPart(a, std, f)
	}
	if err := q.drafts.write(string(a.Name), changed.YAML()); err != nil {
		return err
	}
	var f faults
	for _, p := range changed.Check(std) {
		if belongs(p.Pointer, parts[i].Headings) && p.Rule != agreement.RuleEmpty {
			key := strings.TrimPrefix(p.Pointer, "/")
			for _, h := range parts[i].Headings {
				if key == h || strings.HasPrefix(key, h+"/") {
					key = strings.ReplaceAll(h, "/", "-")
					break
				}
			}
			f = append(f, fault{key, q.node(fmt.Sprintf("%s. %s", p.Detail, p.Fix))})
		}
	}
	if len(f) > 0 {
		return q.showPart(changed, std, f)
	}
	return q.done(path("drafts", a.Name), "kept")
}

// readable takes the line of the document out of an error, and leaves what is wrong.
func readable(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, strings.TrimPrefix(key, "lawful_basis/")) {
			if i := strings.LastIndex(line, key+": "); i >= 0 {
				return line[i+len(key)+2:]
			}
			return line
		}
	}
	return text
}

func (q *request) draftPreview() error {
	b, err := q.drafts.read(q.named())
	if err != nil {
		return err
	}
	a, _, err := q.draft()
	if err != nil {
		return err
	}
	return q.check(b, a, path("drafts", a.Name)+"/sign", path("drafts", a.Name), true)
}

func (q *request) draftSign() error {
	b, err := q.drafts.read(q.named())
	if err != nil {
		return err
	}
	a, _, err := q.draft()
	if err != nil {
		return err
	}
	return q.sign(node.AgreementRequest{Document: b}, a, path("drafts", a.Name))
}

func (q *request) draftDrop() error {
	if err := q.drafts.drop(q.named()); err != nil {
		return err
	}
	return q.done("/agreements", "dropped")
}
