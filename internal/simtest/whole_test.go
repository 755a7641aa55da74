package simtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A Whole is a world in which one council shares records of two standards with two others
// in every mode at once, under random agreements, while all of them live: they write, let
// rows leave a filter, correct, delete and erase, ask, offer, give and approve, narrow,
// widen, suspend, renew and end, are stopped and killed, are away for a month, and have
// clocks that jump. In the end the council that shares ends as well.
//
// An [oracle] says which values may be where. Every other value is looked for, as it comes,
// in each frame on the wire, each line of a log and each error, and in what the partners
// answer; and at rest in all files of their stores, with every version that these have ever
// written and not dropped, in their backups, bundles and metrics.
type Whole struct {
	*World
	o     *oracle            // w.mu guards it
	plant plant              // what the nodes are let do and the oracle does not know of
	heir  *Council           // that succeeds the sender in the end, and is down before
	pacts []*pact            // in order
	slots map[*kind][]string // keys of records
	cases []*byHand
	blind string // what is being asked for by a hidden value; w.mu guards it
	id    *age.X25519Identity
	seen  map[string]int // values of the sender that were found, by the kind of place
	wrong map[string]int // of them, those that may not be there
	deeds map[string]int // what was done, for the summary
}

// A plant is a fault that is put into the gate of a mode: what the parties sign, and so what
// every gate of every node goes by, lets out a field or the rows that the oracle's text
// withholds. The zero plant is none.
type plant struct {
	mode string // or everyMode
	rows bool   // not a field, but every row; of everyMode some have the one, some the other
}

const everyMode = "every mode"

func (p plant) ofRows(mode string) bool {
	return p.rows || p.mode == everyMode && (mode == "replicate" || mode == "private-lookup" || mode == "handover")
}

// planted reports whether the gate of a mode has a fault.
func (l *Whole) planted(mode string) bool { return l.plant.mode == mode || l.plant.mode == everyMode }

// A byHand is a case: an offer of a handover, or an urgent disclosure.
type byHand struct {
	id     string
	urgent bool
	to     name.Council
	keys   map[string]*pact // that it is about, by key
	state  string           // offered or given; then taken, out, or over
	until  time.Time
}

var kinds = []*kind{
	{name: "standards.example/child", person: "person", one: "name", two: "phone", list: "notes", last: "secret", keys: 34},
	{name: "standards.example/home", person: "owner", one: "name", two: "born", list: "rooms", last: "kept", keys: 6},
}

// standard makes the standard of a kind.
func (k *kind) standard(t testing.TB) *standard.Standard {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: fmt.Appendf(nil, `
name: %[1]s
version: 1.0.0
title: Made up
status: live
key: [/reference]
classes:
  /reference: open
  /town: internal
  /level: internal
  /ward: internal
  /%[2]s/%[3]s: personal
  /%[2]s/%[4]s: personal
  /%[5]s/*: personal
  /%[6]s: special
`, k.name, k.person, k.one, k.two, k.list, k.last)},
		"schema.json": {Data: fmt.Appendf(nil, `{
	"type": "object", "required": ["reference", "town", "level", "ward", %q, %q, %q],
	"properties": {
		"reference": {"type": "string"}, "town": {"type": "string"}, "level": {"type": "integer"}, "ward": {"type": "string"},
		%[1]q: {"type": "object", "properties": {%[4]q: {"type": "string"}, %[5]q: {"type": "string"}}},
		%[2]q: {"type": "array", "items": {"type": "string"}}, %[3]q: {"type": "string"}
	}
}`, k.person, k.list, k.last, k.one, k.two)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newWhole founds the world, with all agreements in force and a first few records.
func newWhole(t testing.TB, seed uint64, p plant) *Whole {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	l := &Whole{World: New(t, seed, 4), o: newOracle(), plant: p, slots: map[*kind][]string{}, id: id, seen: map[string]int{}, wrong: map[string]int{}, deeds: map[string]int{}}
	l.net.OnWrite(l.tap)
	l.heir, l.councils = l.councils[3], l.councils[:3]
	t.Cleanup(l.heir.halt)
	for _, k := range kinds {
		s := k.standard(t)
		for _, c := range append([]*Council{l.heir}, l.councils...) {
			call(c, c.node.Standards().Adopt, node.AdoptRequest{Archive: s.Archive()})
		}
		for range k.keys {
			l.slots[k] = append(l.slots[k], l.canary("/reference"))
		}
	}
	l.heir.halt() // nobody agrees anything with it
	l.put(kinds[0], kinds[0].keys/2)
	for _, x := range []struct {
		mode string
		of   []*kind
	}{
		{"replicate", kinds}, {"lookup", kinds[:1]}, {"private-lookup", kinds[1:]}, {"aggregate", kinds[:1]},
		{"handover", kinds}, {"break-glass", kinds[l.rng.IntN(2):][:1]},
	} {
		for _, k := range x.of {
			l.conclude(x.mode, k)
		}
	}
	l.settle()
	return l
}

// canary makes a value that stands nowhere else.
func (l *Whole) canary(place string) string {
	l.counter++
	return fmt.Sprint(canaryWord, " ", place, " ", l.counter, ".")
}

// conclude has an agreement of a mode proposed, and signed by all.
func (l *Whole) conclude(mode string, k *kind) {
	l.t.Helper()
	n := 1
	for _, p := range l.pacts {
		if p.mode == mode {
			n++
		}
	}
	from := l.councils[0].Name
	p := &pact{name: name.Agreement(fmt.Sprintf("%s/%s-%d", from, mode, n)), from: from, mode: mode, kind: k}
	for _, c := range l.councils[1:] {
		if l.rng.IntN(2) == 0 {
			p.to = append(p.to, c.Name)
		}
	}
	if l.plant.mode != "" && !l.planted(mode) { // what is planted is the only way to the one
		p.to = []name.Council{l.councils[2].Name}
	} else if len(p.to) == 0 || mode == "handover" || mode == "break-glass" || l.planted(mode) {
		p.to = []name.Council{l.councils[1].Name}
	}
	l.pacts = append(l.pacts, p)
	l.mu.Lock()
	l.o.pacts[p.name] = p
	l.mu.Unlock()
	l.version(p)
	for _, to := range p.to {
		l.await("the text has come", func() bool { return l.signs(l.council(to), p) })
	}
}

// version has the next version of an agreement proposed: narrower, wider or other.
func (l *Whole) version(p *pact) {
	l.t.Helper()
	c := &clause{version: len(p.terms) + 1, fields: []string{"/reference"}, signed: map[name.Council]bool{}, halted: map[name.Council]bool{}}
	for _, f := range p.kind.fields() {
		if l.rng.IntN(2) == 0 && (p.mode != "aggregate" || f == "/level" || f == "/town") {
			c.fields = append(c.fields, f)
		}
	}
	if p.mode == "aggregate" {
		c.fields = slices.Delete(c.fields, 0, 1) // nobody counts by what tells one from another
		if len(c.fields) == 0 {
			c.fields = []string{"/level"}
		}
	}
	filters := p.kind.filters()
	c.rule = filters[l.rng.IntN(len(filters))]
	signed, rows := c.fields, c.rule.cel
	if p.mode == "aggregate" {
		c.rule, rows = filter{"true", func(*kind, map[string]any) bool { return true }}, "true" // else no group is large
	}
	if l.planted(p.mode) && l.plant.ofRows(p.mode) {
		rows = "true"
		if p.mode == "aggregate" { // the oracle's rows leave too few for any group
			c.rule, c.fields, signed = filter{"false", func(*kind, map[string]any) bool { return false }}, []string{"/town"}, []string{"/town"}
		}
	} else if l.planted(p.mode) {
		without := "/ward"
		if p.mode == "aggregate" {
			without = "/town"
		}
		c.fields = slices.DeleteFunc(slices.Clone(c.fields), func(f string) bool { return f == without })
		signed = append(slices.Clone(c.fields), without)
	}
	parties := append([]name.Council{p.from}, p.to...)
	var roles, contacts strings.Builder
	for _, c := range parties {
		fmt.Fprintf(&roles, "  %s: controller\n", c)
		fmt.Fprintf(&contacts, "  %s: dpo@%s\n", c, c)
	}
	head := "mode: " + p.mode
	kept := "P9Y"
	if p.mode == "lookup" || p.mode == "private-lookup" {
		head += "\nmatch: [/reference]"
	}
	if p.mode == "break-glass" {
		kept = "P1D"
	}
	doc := fmt.Sprintf(`agreement: %s
version: %d
from: %s
to: [%s]
%s
standard: %s@1
rows: '%s'
fields: [%s]
purpose: To see what holds.
necessity: Nothing else shows it.
data_items: Made-up cases.
lawful_basis: {article_6: 6(1)(e) public task, legal_power: "Local Government Act 1972, section 111", special_condition: "none, nothing special is shared"}
dpia: Screened.
rights_contact: dpo@example.org
accuracy: Corrections follow at once.
retention: %s
disposal: Deleted.
security: Tests only.
review: 2003-06-01
starts: 2000-01-01
ends: 2010-01-01
exit: At once.
roles:
%scontacts:
%s`, p.name, c.version, p.from, joined(p.to), head, p.kind.name, rows, strings.Join(signed, ", "), kept, &roles, &contacts)
	l.tell("%s proposes %s version %d to %v: %s of %v", p.from, p.name, c.version, p.to, c.rule.cel, c.fields)
	from := l.council(p.from)
	from.up()
	l.mu.Lock()
	c.signed[p.from] = true
	p.terms = append(p.terms, c)
	l.mu.Unlock()
	call(from, from.node.Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
}

func joined(list []name.Council) string {
	var out []string
	for _, c := range list {
		out = append(out, string(c))
	}
	return strings.Join(out, ", ")
}

// signs has a council sign the newest version of an agreement, if it has come.
func (l *Whole) signs(c *Council, p *pact) bool {
	l.t.Helper()
	newest := p.terms[len(p.terms)-1]
	in := node.AgreementRequest{Name: string(p.name), Version: newest.version}
	if _, err := try(c, c.node.Agreements().Show, in); err != nil {
		return false
	}
	l.tell("%s signs %s version %d", c.Name, p.name, newest.version)
	l.mu.Lock()
	newest.signed[c.Name] = true
	l.o.grantAll()
	l.mu.Unlock()
	call(c, c.node.Agreements().Sign, in)
	return true
}

// put has the sender write records of a kind, new or changed.
func (l *Whole) put(k *kind, n int) {
	l.t.Helper()
	from := l.councils[0]
	from.up()
	in := node.PutRequest{Standard: string(k.name) + "@1"}
	first := l.rng.IntN(k.keys)
	var written []string
	for i := range n {
		key := l.slots[k][(first+i)%k.keys]
		written = append(written, key)
		notes := []any{}
		for i := range l.rng.IntN(3) {
			notes = append(notes, l.canary(fmt.Sprintf("/%s/%d", k.list, i)))
		}
		town := 900000 + l.rng.IntN(2) // of which there are many, so that they can be counted
		body := map[string]any{
			"reference": key, "town": fmt.Sprint(canaryWord, " /town ", town, "."), "level": json.Number(fmt.Sprint(l.rng.IntN(4))),
			"ward":   "XYZ"[l.rng.IntN(3):][:1] + " " + l.canary("/ward"),
			k.person: map[string]any{k.one: l.canary("/" + k.person + "/" + k.one), k.two: l.canary("/" + k.person + "/" + k.two)},
			k.list:   notes, k.last: l.canary("/" + k.last),
		}
		b, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		in.Records = append(in.Records, node.Offered{Row: i + 1, Record: b})
		l.mu.Lock()
		it := l.o.items[key]
		if it == nil {
			it = &item{from: from.Name, kind: k, key: key}
		}
		l.o.write(it, body)
		l.mu.Unlock()
	}
	l.tell("%s writes %v of %s", from.Name, shorts(written), k.name)
	for _, r := range call(from, from.node.Records().Put, in).Results {
		if len(r.Problems) > 0 {
			l.fail("%s wrote a record and was told %+v", from.Name, r)
		}
	}
}

// short returns the number of a key, to tell a story by.
func short(key string) string {
	return strings.TrimSuffix(key[strings.LastIndexByte(key, ' ')+1:], ".")
}

func shorts(keys []string) (out []string) {
	for _, k := range keys {
		out = append(out, short(k))
	}
	return out
}

// lives returns a record that is there; nil when there is none.
func (l *Whole) lives(k *kind) *item {
	var list []*item
	for _, key := range l.slots[k] {
		if it := l.o.items[key]; it != nil && it.body != nil {
			list = append(list, it)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[l.rng.IntN(len(list))]
}

// remove has the sender delete or erase a record.
func (l *Whole) remove(erase bool) {
	l.t.Helper()
	from := l.councils[0]
	k := kinds[l.rng.IntN(len(kinds))]
	it := l.lives(k)
	if it == nil {
		return
	}
	from.up()
	if !erase {
		l.tell("%s deletes %s", from.Name, short(it.key))
		l.mu.Lock()
		l.o.write(it, nil)
		l.mu.Unlock()
		call(from, from.node.Records().Delete, node.RecordRequest{Record: it.key, Standard: string(k.name) + "@1"})
		return
	}
	l.tell("%s erases %s", from.Name, short(it.key))
	call(from, from.node.Records().Erase, node.EraseRequest{Record: it.key, Standard: string(k.name) + "@1", Reason: "request 7"})
	l.mu.Lock()
	l.o.erase(it)
	l.mu.Unlock()
	l.slots[k][slices.Index(l.slots[k], it.key)] = l.canary("/reference")
}

// step does one random thing.
func (l *Whole) step() {
	l.t.Helper()
	c := l.councils[l.rng.IntN(len(l.councils))]
	choices := []struct {
		weight int
		do     func()
	}{
		{30, func() { k := kinds[l.rng.IntN(2)]; l.put(k, 1+l.rng.IntN(min(6, k.keys))) }},
		{2, func() { l.put(kinds[0], kinds[0].keys) }},
		{6, func() { l.remove(false) }},
		{6, func() { l.remove(true) }},
		{9, func() { l.change("propose") }},
		{14, func() { l.change("sign") }},
		{5, func() { l.change("suspend") }},
		{4, l.resumeAll},
		{2, func() { l.change("renew") }},
		{4, func() { l.change("end") }},
		{16, l.askSomething},
		{9, func() { l.offer(false) }},
		{7, func() { l.offer(true) }},
		{20, l.decide},
		{4, func() { l.restart(c) }},
		{4, func() { l.crash(c) }},
		{6, func() { l.link(c) }},
		{5, l.weather},
		{2, l.away},
		{2, l.skew},
		{4, func() { time.Sleep(time.Duration(l.rng.IntN(60)) * time.Second) }},
	}
	total := 0
	for _, x := range choices {
		total += x.weight
	}
	for n := l.rng.IntN(total); ; choices = choices[1:] {
		if n -= choices[0].weight; n < 0 {
			choices[0].do()
			break
		}
	}
	time.Sleep(time.Duration(l.rng.IntN(1500)) * time.Millisecond)
	l.ask1(l.councils[1+l.rng.IntN(2)])
}
