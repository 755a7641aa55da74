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
// clocks that jump. In the end the council that shares ends as well. What it lets one of them
// pass on goes on from there to the other, who is given none of the rest, nor of the records
// of the one in the middle.
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
	own   []string           // of those of the middle, which are
	kind  *kind              // all of one kind
	owed  bool               // what may be passed on has ended, and comes again after the next look
	cases []*byHand
	blind string // what is being asked for by a hidden value; w.mu guards it
	id    *age.X25519Identity
	more  string         // that stands behind a value, so that a record is large
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

const (
	everyMode = "every mode"
	byFirst   = "onward, by the first" // only what it came under withholds it
)

func (p plant) ofRows(mode string) bool {
	return p.rows || p.mode == everyMode && (mode == "replicate" || mode == "private-lookup" || mode == "handover")
}

// planted reports whether the gate of a mode has a fault.
func (l *Whole) planted(mode string) bool {
	return l.plant.mode == mode || l.plant.mode == everyMode && mode != "origin" && mode != byFirst
}

// further reports whether there is a council that passes on: where something else is planted
// there is not, so that one way alone leads to the one who receives it.
func (l *Whole) further() bool {
	return l.plant.mode == "" || l.planted("onward") || l.planted(byFirst)
}

// middle is the council that passes on, and last the one to which.
func (l *Whole) middle() *Council { return l.councils[2] }
func (l *Whole) last() *Council   { return l.councils[1] }

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
	if p.mode != "" { // what is planted is to go every way
		l.mu.Lock()
		l.ways = nil
		clear(l.asks)
		l.mu.Unlock()
	}
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
	l.kind = kinds[l.rng.IntN(len(kinds))]
	for range 3 {
		l.own = append(l.own, l.canary("/reference"))
	}
	if seed%2 == 1 && p.mode == "" || l.planted("footprint") {
		l.pool()
	}
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
	l.write(l.middle(), l.kind, l.own)
	if l.further() {
		l.chain(l.kind)
	}
	l.settle()
	return l
}

// canary makes a value that stands nowhere else.
func (l *Whole) canary(place string) string {
	l.counter++
	return fmt.Sprint(canaryWord, " ", place, " ", l.counter, ".")
}

// chain has an agreement concluded by which something may be passed on, and one by which it
// is; or one that is there made to follow it.
func (l *Whole) chain(k *kind) {
	l.t.Helper()
	l.conclude("origin", k)
	p := l.some(func(p *pact) bool { return p.mode == "onward" })
	if p == nil {
		l.conclude("onward", k)
		return
	}
	all := func() { // have signed the newest
		if p.current() != p.terms[len(p.terms)-1] {
			l.last().up()
			l.await("the text has come", func() bool { return l.signs(l.last(), p) })
		}
	}
	all()
	if l.version(p) {
		all()
	}
}

// live has the world live for a while, and looks at everything.
func (l *Whole) live(steps int) {
	l.t.Helper()
	if l.owed {
		l.owed = false
		l.chain(l.kind)
	}
	if heavy {
		l.busy()
	}
	for range steps {
		l.step()
		l.sound()
	}
	l.check()
}

// newest returns the agreement of a mode that was concluded last; nil when it is over.
func (l *Whole) newest(mode string) *pact {
	for _, p := range slices.Backward(l.pacts) {
		if p.mode == mode {
			if p.over {
				return nil
			}
			return p
		}
	}
	return nil
}

// conclude has an agreement of a mode proposed, and signed by all. That of mode origin is one
// to replicate whose receiver may pass on, and that of mode onward the one by which it does.
func (l *Whole) conclude(mode string, k *kind) {
	l.t.Helper()
	if mode == "onward" && l.newest("origin") == nil {
		return // chain does it
	}
	n := 1
	for _, p := range l.pacts {
		if p.mode == mode {
			n++
		}
	}
	from := l.councils[0].Name
	if mode == "onward" || mode == "contribute" {
		from = l.middle().Name
	}
	p := &pact{name: name.Agreement(fmt.Sprintf("%s/%s-%d", from, mode, n)), from: from, mode: mode, kind: k}
	for _, c := range l.councils[1:] {
		if l.rng.IntN(2) == 0 {
			p.to = append(p.to, c.Name)
		}
	}
	if p.pooled() {
		p.to = []name.Council{fens}
	} else if mode == "onward" {
		p.to = []name.Council{l.last().Name}
	} else if mode == "origin" || l.plant.mode != "" && !l.planted(mode) { // what is planted is the only way to the one
		p.to = []name.Council{l.middle().Name}
	} else if len(p.to) == 0 || mode == "handover" || mode == "break-glass" || l.planted(mode) {
		p.to = []name.Council{l.councils[1].Name}
	}
	l.pacts = append(l.pacts, p)
	l.mu.Lock()
	l.o.pacts[p.name] = p
	l.mu.Unlock()
	l.copying(p)
	if !l.version(p) {
		l.fail("%s cannot be signed", p.name)
	}
	for _, to := range l.o.receivers(p) {
		if l.council(to).up(); p.current() == nil { // of a footprint, most are enough
			l.await("the text has come", func() bool { return l.signs(l.council(to), p) })
		}
	}
}

// version has the next version of an agreement proposed: narrower, wider or other. It reports
// false where its sender cannot sign it.
func (l *Whole) version(p *pact) bool {
	l.t.Helper()
	c := &clause{version: len(p.terms) + 1, fields: []string{"/reference"}, signed: map[name.Council]bool{}, votes: map[name.Council]bool{}, halted: map[name.Council]bool{}}
	if p.mode == "onward" {
		if c.origin = l.newest("origin"); c.origin == nil {
			return false
		}
	}
	for _, f := range p.kind.fields() {
		if c.origin != nil && !listed(c.origin.current().onward, f) && (len(p.terms) == 0 || l.rng.IntN(12) > 0) {
			continue // else it may not be signed
		}
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
	if p.mode == "onward" {
		filters = p.kind.narrowing()
		if !l.planted(p.mode) {
			filters = append(filters, all, all, all)
		}
	}
	c.rule = filters[l.rng.IntN(len(filters))]
	if l.plant.mode != "" && p.mode == "origin" {
		c.rule = filters[1] // which leaves enough to go on
	} else if l.plant.mode != "" && p.mode == "onward" {
		if c.rule = all; l.plant.rows {
			c.rule = filters[0] // fewer than the first
		}
	}
	signed, rows, further := c.fields, c.rule.cel, []string(nil)
	if p.mode == "origin" {
		c.onward, further = l.goesOn(p, c)
		signed = c.fields
	}
	if p.mode == "aggregate" {
		c.rule, rows = all, "true" // else no group is large
	}
	if l.planted(p.mode) && l.plant.ofRows(p.mode) {
		rows = "true"
		if p.mode == "aggregate" { // the oracle's rows leave too few for any group
			c.rule, c.fields, signed = filter{cel: "false", fn: func(*kind, map[string]any) bool { return false }}, []string{"/town"}, []string{"/town"}
		}
	} else if l.planted(p.mode) {
		without := "/ward"
		if p.mode == "aggregate" {
			without = "/town"
		}
		c.fields = slices.DeleteFunc(slices.Clone(c.fields), func(f string) bool { return f == without })
		signed = append(slices.Clone(c.fields), without)
	} else if p.mode == "onward" && l.planted(byFirst) && !listed(c.fields, "/ward") {
		c.fields = append(c.fields, "/ward")
		signed = c.fields
	}
	parties := append([]name.Council{p.from}, p.to...)
	var roles, contacts strings.Builder
	for _, c := range parties {
		fmt.Fprintf(&roles, "  %s: controller\n", c)
		fmt.Fprintf(&contacts, "  %s: dpo@%s\n", c, c)
	}
	head := "mode: " + p.mode
	kept := "P9Y"
	if p.copied() {
		head = "mode: replicate"
	}
	if c.origin != nil {
		head += "\norigin: " + string(c.origin.name)
	}
	if len(further) > 0 {
		head += fmt.Sprintf("\nonward:\n  to: [%s]\n  fields: [%s]", l.last().Name, strings.Join(further, ", "))
	}
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
	l.tell("%s proposes %s version %d to %v: %s of %v, further %v", p.from, p.name, c.version, p.to, c.rule.cel, c.fields, c.onward)
	from := l.council(p.from)
	from.up()
	l.mu.Lock()
	p.terms = append(p.terms, c)
	l.o.agreed(p, p.from)
	l.mu.Unlock()
	in := node.AgreementRequest{Document: []byte(doc)}
	if c.origin == nil || l.plant.mode != "" {
		call(from, from.node.Agreements().Sign, in)
		return true
	}
	// Its sender cannot sign what the first does not let go on. While that is suspended nobody
	// asks, and nothing goes.
	first := c.origin.current()
	_, err := try(from, from.node.Agreements().Sign, in)
	switch {
	case err != nil:
		l.mu.Lock()
		p.terms = p.terms[:len(p.terms)-1]
		l.mu.Unlock()
		if c.within(first) {
			l.fail("%s cannot sign %s version %d: %v", p.from, p.name, c.version, err)
		}
		l.tell("%s cannot sign that", p.from)
		l.deeds["too wide to pass on"]++
	case !c.within(first) && !first.paused:
		l.breach("%s signs %s version %d, which lets more go on than may", p.from, p.name, c.version)
	}
	return err == nil
}

// goesOn returns which fields of a clause may be passed on, as the oracle has it and as it
// is signed.
func (l *Whole) goesOn(p *pact, c *clause) (onward, signed []string) {
	if c.version > 1 && l.plant.mode == "" && l.rng.IntN(6) == 0 {
		return nil, nil
	}
	for _, f := range c.fields {
		switch one := f + "/" + p.kind.one; {
		case f == "/"+p.kind.person && !slices.Contains(onward, one) && l.rng.IntN(2) == 0:
			onward = append(onward, one) // a part of it
		case f == "/reference" || l.rng.IntN(3) > 0:
			onward = append(onward, f)
		}
	}
	if l.plant.mode == "" {
		return onward, onward
	}
	if !listed(c.fields, "/ward") {
		c.fields = append(c.fields, "/ward")
	}
	onward = slices.DeleteFunc(onward, func(f string) bool { return f == "/ward" })
	return onward, append(slices.Clone(onward), "/ward")
}

func joined(list []name.Council) string {
	var out []string
	for _, c := range list {
		out = append(out, string(c))
	}
	return strings.Join(out, ", ")
}

// copying has the lines over which records are copied under an agreement be slow, mostly.
func (l *Whole) copying(p *pact) {
	if p.copied() && !p.pooled() {
		l.slowly(l.council(p.from), 4)
	}
}

// signs has a council sign the newest version of an agreement, if it has come.
func (l *Whole) signs(c *Council, p *pact) bool {
	l.t.Helper()
	newest := p.terms[len(p.terms)-1]
	in := node.AgreementRequest{Name: string(p.name), Version: newest.version}
	if _, err := try(c, c.node.Agreements().Show, in); err != nil {
		return false
	}
	l.copying(p)
	l.tell("%s signs %s version %d", c.Name, p.name, newest.version)
	l.mu.Lock()
	l.o.agreed(p, c.Name)
	l.mu.Unlock()
	call(c, c.node.Agreements().Sign, in)
	return true
}

// put has the sender write records of a kind, new or changed.
func (l *Whole) put(k *kind, n int) {
	l.t.Helper()
	first := l.rng.IntN(k.keys)
	var keys []string
	for i := range n {
		keys = append(keys, l.slots[k][(first+i)%k.keys])
	}
	l.write(l.councils[0], k, keys)
}

// large has what f writes be of several small pages.
func (l *Whole) large(f func()) {
	l.more = strings.Repeat(long, 3) // six make a page
	f()
	l.more = ""
}

// busy has the sender write all that there may be of a kind over slow lines, and some of it
// again while that is copied; where nothing is heavy it writes all there may be.
func (l *Whole) busy() {
	l.t.Helper()
	k := kinds[0]
	if !heavy {
		l.put(k, k.keys)
		return
	}
	l.tell("the lines from %s are slow", l.councils[0].Name)
	l.linesFrom(l.councils[0], slowLine)
	l.large(func() { l.put(k, k.keys) })
	for range 2 {
		time.Sleep(time.Duration(500+l.rng.IntN(1500)) * time.Millisecond)
		l.put(k, 1+l.rng.IntN(4))
	}
}

// write has a council write records of a kind.
func (l *Whole) write(from *Council, k *kind, keys []string) {
	l.t.Helper()
	from.up()
	in := node.PutRequest{Standard: string(k.name) + "@1"}
	for i, key := range keys {
		notes := []any{}
		for i := range l.rng.IntN(3) {
			notes = append(notes, l.canary(fmt.Sprintf("/%s/%d", k.list, i)))
		}
		town := 900000 + l.rng.IntN(2) // of which there are many, so that they can be counted
		body := map[string]any{
			"reference": key, "town": fmt.Sprint(canaryWord, " /town ", town, "."), "level": json.Number(fmt.Sprint(l.rng.IntN(4))),
			"ward":   "XYZ"[l.rng.IntN(3):][:1] + " " + l.canary("/ward"),
			k.person: map[string]any{k.one: l.canary("/" + k.person + "/" + k.one), k.two: l.canary("/" + k.person + "/" + k.two)},
			k.list:   notes, k.last: l.canary("/"+k.last) + l.more,
		}
		if from != l.councils[0] {
			body["town"] = l.canary("/town") // which is nobody else's
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
	l.tell("%s writes %v of %s", from.Name, shorts(keys), k.name)
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
	if it := l.lives(kinds[l.rng.IntN(len(kinds))]); it != nil {
		l.removeItem(it, erase)
	}
}

func (l *Whole) removeItem(it *item, erase bool) {
	l.t.Helper()
	from, k := l.councils[0], it.kind
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
		{2, l.busy},
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
		{7, l.between},
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
