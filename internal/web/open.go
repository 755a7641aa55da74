package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/schemas/councils"
)

// How long what was read for a page is shown.
const (
	registerLasts = 10 * time.Second
	registerMost  = time.Minute
)

// A fresh value is read from the whole node, and anybody may ask for it as often as they
// like. Whoever asks for one that is older than registerLasts has it read anew; others are
// shown the last meanwhile, unless it is older than registerMost.
type fresh[T any] struct {
	mu      sync.Mutex // guards what follows, and lets one reader read
	last    T
	at      time.Time
	reading bool // it is being read anew
}

func (f *fresh[T]) now(at time.Time, read func() (T, error)) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	age := at.Sub(f.at)
	if !f.at.IsZero() && (age < registerLasts || f.reading && age < registerMost) {
		return f.last, nil
	}
	if f.at.IsZero() || age >= registerMost {
		v, err := read()
		if err == nil {
			f.last, f.at = v, at
		}
		return v, err
	}
	f.reading = true // whoever comes meanwhile is shown the last
	f.mu.Unlock()
	v, err := read()
	f.mu.Lock()
	f.reading = false
	if err == nil {
		f.last, f.at = v, at
	}
	return v, err
}

// openRegisters are the registers of what councils have, by id, each with when it was read
// last.
type openRegisters struct {
	s   *site
	ids []string
	of  map[string]*fresh[*registers.Table]
}

func newOpenRegisters(s *site) (*openRegisters, error) {
	o := &openRegisters{s: s, of: map[string]*fresh[*registers.Table]{}}
	for _, d := range registers.All() {
		o.ids = append(o.ids, d.ID)
		o.of[d.ID] = &fresh[*registers.Table]{}
	}
	for _, id := range s.Registers {
		if id != AllRegisters && !slices.Contains(o.ids, id) {
			return nil, fmt.Errorf("web.registers: there is no register %q; there are %s", id, strings.Join(o.ids, ", "))
		}
	}
	return o, nil
}

// read returns a register, nil where this node has not adopted its standard.
func (o *openRegisters) read(ctx context.Context, d registers.Description) (*registers.Table, error) {
	return o.of[d.ID].now(o.s.Now(), func() (*registers.Table, error) {
		return registers.Read(ctx, o.s.Node, d, o.s.Now())
	})
}

// sees reports whether whoever asks is shown a register: everybody those that the council
// shows to everybody, and a person who may list records all of them.
func (q *request) sees(id string) bool {
	return slices.Contains(q.Registers, AllRegisters) || slices.Contains(q.Registers, id) || q.may("records/list")
}

// seen are the registers with a line that whoever asks is shown.
func (q *request) seen() (all []*registers.Table, err error) {
	for _, d := range registers.All() {
		if !q.sees(d.ID) {
			continue
		}
		t, err := q.open.read(q.public(), d)
		if err != nil {
			return nil, err
		}
		if t != nil && len(t.Rows) > 0 {
			all = append(all, t)
		}
	}
	return all, nil
}

func (q *request) openList() error {
	all, err := q.seen()
	if err != nil {
		return err
	}
	return q.render("open", page{Title: q.say("open.title"), Public: true, Data: map[string]any{"Registers": all, "Ending": "", "At": "/open/", "Licence": q.Licence, "More": q.who == nil && !slices.Contains(q.Registers, AllRegisters)}})
}

// openPage is how many lines of a register stand on one page.
const openPage = 100

// An openTable is a register as a page shows it.
type openTable struct {
	*registers.Table
	Shown        []registers.Row
	Of           int // lines in which Q stands
	Q            string
	From, Upto   int
	Next, Before string
	Hexes        *hexMap
	Files        [][2]string // address and name
	Static       bool
	Licence      registers.Licence
}

func (q *request) openOne() error {
	asked := q.r.PathValue("register")
	if asked == "catalogue.jsonld" {
		all, err := q.seen()
		if err != nil {
			return err
		}
		p, err := q.publication()
		if err != nil {
			return err
		}
		return q.download("application/ld+json", asked, registers.Catalogue(p, "", all))
	}
	id, _, file := strings.Cut(asked, ".")
	i := slices.IndexFunc(registers.All(), func(d registers.Description) bool { return d.ID == id })
	if i < 0 {
		return &node.Error{Kind: node.NotFound, Message: q.say("open.none-such")}
	}
	if !q.sees(id) && q.who == nil {
		return q.to("/sign-in?next=" + path("open", id))
	}
	t, err := q.table(registers.All()[i])
	if err != nil {
		return err
	}
	if file {
		p, err := q.publication()
		if err != nil {
			return err
		}
		b, ok := t.Files(p)[asked]
		if !ok {
			return &node.Error{Kind: node.NotFound, Message: q.say("open.none-such")}
		}
		kind := "application/json"
		switch {
		case strings.HasSuffix(asked, ".csv"):
			kind = "text/csv; charset=utf-8"
		case strings.HasSuffix(asked, ".csv-metadata.json"):
			kind = "application/csvm+json"
		}
		return q.download(kind, asked, b)
	}
	from, _ := strconv.Atoi(q.form("from"))
	shown := openRows(t, q.form("q"), from, openPage)
	shown.Hexes, shown.Licence = q.mapOf(t), q.Licence
	if t.HasInterface() {
		shown.Files = append(shown.Files, [2]string{registers.InterfaceID, registers.InterfaceTitle})
	}
	return q.render("open-one", page{Title: q.english("open", t.Title), Public: true, Wide: true, Back: "/open", Data: shown})
}

// table is a register that whoever asks is shown.
func (q *request) table(d registers.Description) (*registers.Table, error) {
	if !q.sees(d.ID) {
		return nil, &node.Error{Kind: node.Refused, Message: q.say("open.none-such")}
	}
	t, err := q.open.read(q.public(), d)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, &node.Error{Kind: node.NotFound, Message: q.say("open.not-adopted")}
	}
	return t, nil
}

// publication says where the node shows its registers.
func (q *request) publication() (registers.Publication, error) {
	us, err := q.us()
	return registers.Publication{Us: us, Base: q.origin() + "/open", Live: true, Licence: q.Licence}, err
}

// us is the council as its directory has it, with where anybody may ask it.
func (q *request) us() (registers.Agent, error) {
	m, err := q.Node.Councils().Show(q.public(), node.MemberNameRequest{})
	us := registers.AgentOf(m, q.Contact)
	us.Title = cmp.Or(q.Title, us.Title)
	return us, err
}

// services is the register that is offered by the interface of Open Referral UK.
func (q *request) services() (*registers.Table, error) {
	all := registers.All()
	return q.table(all[slices.IndexFunc(all, func(d registers.Description) bool { return d.HasInterface() })])
}

// openInterface answers which interface it is.
func (q *request) openInterface() error {
	if _, err := q.services(); err != nil {
		return err
	}
	return q.answer(registers.Interface())
}

// openReferrals answers a page of what the interface lists.
func openReferrals(call string) func(*request) error {
	return func(q *request) error {
		t, err := q.services()
		if err != nil {
			return err
		}
		page, err := t.List(call, q.r.URL.Query(), q.Postcodes)
		if err != nil {
			return err
		}
		return q.answer(page)
	}
}

// openReferralOne answers one of them.
func openReferralOne(call string) func(*request) error {
	return func(q *request) error {
		t, err := q.services()
		if err != nil {
			return err
		}
		one := t.One(call, q.r.PathValue("id"))
		if one == nil {
			return &node.Error{Kind: node.NotFound, Message: "there is nothing by that id"}
		}
		return q.answer(one)
	}
}

// answer sends JSON to a program. A program in a page of somebody else may read it, as Open
// Referral UK demands; a browser that is told so sends no cookie for it to be read with.
func (q *request) answer(b []byte) error {
	h := q.w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, err := q.w.Write(b)
	return err
}

// openRows picks the lines in which a text stands, and of those at most so many.
func openRows(t *registers.Table, text string, from, most int) *openTable {
	o := &openTable{Table: t, Q: text}
	text = strings.ToLower(text)
	var found []registers.Row
	for _, r := range t.Rows {
		if text == "" || strings.Contains(strings.ToLower(r.Text()), text) {
			found = append(found, r)
		}
	}
	o.Of = len(found)
	o.From = min(max(from, 0), o.Of)
	o.Upto = min(o.From+most, o.Of)
	o.Shown = found[o.From:o.Upto]
	if o.Upto < o.Of {
		o.Next = strconv.Itoa(o.Upto)
	}
	if o.From > 0 {
		o.Before = strconv.Itoa(max(0, o.From-most))
	}
	for _, file := range []string{t.ID + ".csv", t.ID + ".csv-metadata.json", t.ID + ".json"} {
		_, ending, _ := strings.Cut(file, ".")
		o.Files = append(o.Files, [2]string{file, map[string]string{"csv": "CSV", "csv-metadata.json": "CSVW", "json": "JSON"}[ending]})
	}
	if file := t.FormFile(); file != "" {
		o.Files = append(o.Files, [2]string{file, t.FormTitle()})
	}
	return o
}

// hexWords is what the keys of the messages on a register's map begin with.
func hexWords(r *registers.Table) string {
	if r.MapWhere != "" {
		return "open.need"
	}
	return "open.hex"
}

// HexState is the message on a council of the map.
func (o *openTable) HexState(state string) string { return hexWords(o.Table) + "." + state }

// mapOf draws a register on the map of councils; nil where it has none.
func (t *tongue) mapOf(r *registers.Table) *hexMap {
	if r.Map == "" {
		return nil
	}
	stands, members, others := map[string]bool{}, map[string]bool{}, []councils.Council(nil)
	code := func(gss string) string { // the code that the list has it under, or its own
		if c, ok := councils.ByGSS(gss); ok {
			return c.GSS
		}
		return gss
	}
	for _, gss := range r.Members {
		members[code(gss)] = true
		if _, ok := councils.ByGSS(gss); !ok {
			others = append(others, councils.Council{GSS: gss, Name: r.Named(gss)})
		}
	}
	slices.SortFunc(others, func(a, b councils.Council) int { return strings.Compare(a.Name, b.Name) })
	off := map[string]bool{}
	for _, gss := range r.Mapped() {
		stands[code(gss)] = true
		if _, ok := councils.ByGSS(gss); !ok && !members[gss] {
			off[gss] = true
		}
	}
	m := t.hexes(r.Made, stands, members, others, hexWords(r))
	m.Off = len(off)
	return &m
}

// english says a text of a register, by its English words, in the language of the page.
// Each has a message whose key is made of them.
func (t *tongue) english(area, text string) string {
	return t.say(area + "." + keyOf(text))
}

// keyOf makes the part of a key out of English words: letters and digits, the rest as -.
func keyOf(text string) string {
	parts := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	if len(parts) > 8 {
		parts = parts[:8]
	}
	return strings.Join(parts, "-")
}
