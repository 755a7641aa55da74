package simtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
	"unsafe"

	"filippo.io/age"

	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/metrics"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
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

// some returns an agreement that f takes; nil when there is none.
func (l *Whole) some(f func(*pact) bool) *pact {
	var list []*pact
	for _, p := range l.pacts {
		if !p.over && f(p) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[l.rng.IntN(len(list))]
}

func (l *Whole) party(p *pact) *Council {
	all := append([]name.Council{p.from}, p.to...)
	return l.council(all[l.rng.IntN(len(all))])
}

// change has somebody say something about an agreement.
func (l *Whole) change(what string) {
	l.t.Helper()
	p := l.some(func(p *pact) bool {
		switch what {
		case "propose":
			return len(p.terms) < 4 && p.current() == p.terms[len(p.terms)-1] && len(p.current().halted) == 0
		case "sign":
			return p.current() != p.terms[len(p.terms)-1]
		}
		return p.current() != nil
	})
	if p == nil {
		return
	}
	c := l.party(p)
	if what == "propose" {
		l.version(p)
		l.deeds["amended"]++
		return
	}
	c.up()
	if what == "sign" {
		if c.Name != p.from && !p.terms[len(p.terms)-1].signed[c.Name] {
			l.signs(c, p)
		}
		return
	}
	now := p.current()
	in := node.AgreementRequest{Name: string(p.name), Version: now.version, Reason: what}
	r, err := try(c, c.node.Agreements().Show, in)
	if err != nil {
		return
	}
	switch what {
	case "suspend":
		if !r.InForce || now.halted[c.Name] {
			return
		}
		time.Sleep(2 * time.Second) // what is said in one second has no order
		l.tell("%s suspends %s version %d", c.Name, p.name, now.version)
		call(c, c.node.Agreements().Suspend, in)
		l.mu.Lock()
		now.halted[c.Name] = true
		l.mu.Unlock()
	case "renew":
		if !r.InForce {
			return
		}
		in.Review = "2004-06-01"
		l.tell("%s renews %s version %d", c.Name, p.name, now.version)
		if _, err := try(c, c.node.Agreements().Renew, in); err != nil {
			return
		}
	case "end":
		if l.planted(p.mode) || l.rng.IntN(2) == 0 {
			return
		}
		time.Sleep(2 * time.Second)
		l.tell("%s ends %s version %d", c.Name, p.name, now.version)
		call(c, c.node.Agreements().End, in)
		l.mu.Lock()
		p.over = true
		if c.Name == p.from {
			for _, t := range p.terms {
				t.shut = true
			}
		}
		l.mu.Unlock()
		defer l.conclude(p.mode, p.kind)
		l.settle() // a new one can be signed when the old one is known to be over
	}
	l.deeds[what]++
}

// resumeAll takes every suspension back.
func (l *Whole) resumeAll() {
	l.t.Helper()
	for _, p := range l.pacts {
		now := p.current()
		if now == nil || p.over {
			continue
		}
		for _, by := range slices.Sorted(maps.Keys(now.halted)) {
			c := l.council(by)
			c.up()
			time.Sleep(2 * time.Second)
			l.tell("%s resumes %s version %d", by, p.name, now.version)
			l.mu.Lock()
			delete(now.halted, by)
			l.o.grantAll()
			l.mu.Unlock()
			call(c, c.node.Agreements().Resume, node.AgreementRequest{Name: string(p.name), Version: now.version})
		}
	}
}

// ask has a partner ask a question, of whichever mode.
func (l *Whole) ask(p *pact, c *Council, key string, show bool) {
	l.t.Helper()
	c.up()
	if p.mode == "aggregate" {
		l.mu.Lock()
		l.o.counted(p, c.Name)
		l.mu.Unlock()
		by := p.terms[len(p.terms)-1].fields
		if l.planted(p.mode) {
			by = []string{"/town"}
		}
		l.tell("%s asks for counts under %s", c.Name, p.name)
		got, err := try(c, c.node.Questions().Count, node.AggregateRequest{Agreement: string(p.name), Because: "a plan", By: by})
		if err == nil {
			l.look(c, "answers", got, p.name)
			l.deeds["counts"]++
			for _, g := range got.Groups {
				if g.Count < leastCounted {
					l.breach("%s is told of a group of %d", c.Name, g.Count)
				}
			}
		}
		return
	}
	l.tell("%s asks under %s, and to be shown: %v", c.Name, p.name, show)
	l.mu.Lock()
	there := l.o.asked(p, c.Name, key)
	if p.mode == "private-lookup" && !show {
		l.blind = key
	}
	l.mu.Unlock()
	got, err := try(c, c.node.Questions().Ask, node.LookupRequest{Agreement: string(p.name), Field: "/reference", Value: key, Because: "a case", Case: "C/1", Show: show && p.mode == "private-lookup"})
	l.mu.Lock()
	l.blind = ""
	l.mu.Unlock()
	if err != nil {
		return
	}
	l.look(c, "answers", got, p.name)
	if !there && (len(got.Records) > 0 || got.Held) {
		l.breach("%s was answered under %s of a record that no text picks", c.Name, p.name)
	}
	l.deeds[p.mode]++
}

// askSomething has a partner ask for a record that may be asked for or not.
func (l *Whole) askSomething() {
	p := l.some(func(p *pact) bool { return p.mode == "lookup" || p.mode == "private-lookup" || p.mode == "aggregate" })
	if p == nil {
		return
	}
	l.ask(p, l.council(p.to[l.rng.IntN(len(p.to))]), l.slots[p.kind][l.rng.IntN(p.kind.keys)], l.rng.IntN(2) == 0)
}

// offer has the sender offer some records to be taken over, or give some urgently.
func (l *Whole) offer(urgent bool) {
	l.t.Helper()
	mode := "handover"
	if urgent {
		mode = "break-glass"
	}
	p := l.some(func(p *pact) bool { return p.mode == mode })
	if p == nil {
		return
	}
	from := l.councils[0]
	from.up()
	to := p.to[l.rng.IntN(len(p.to))]
	x := &byHand{urgent: urgent, to: to, keys: map[string]*pact{}, state: "offered"}
	in := node.CaseRequest{Partner: to, Because: "moved", By: "Jo"}
	for _, p := range l.pacts { // across all standards
		if p.mode != mode || p.over || !slices.Contains(p.to, to) {
			continue
		}
		for range 1 + l.rng.IntN(3) {
			if it := l.lives(p.kind); it != nil && x.keys[it.key] == nil {
				x.keys[it.key] = p
				in.Records = append(in.Records, string(from.ring.RecordID(name.StandardLine{Name: p.kind.name, Major: 1}, fmt.Sprintf("[%q]", it.key))))
			}
		}
	}
	do := from.node.Handovers().Offer
	if urgent {
		do = from.node.Urgent().Give
	}
	r, err := try(from, do, in)
	if err != nil {
		return // none of them may go
	}
	l.look(from, "answers", r)
	l.tell("%s offers or gives %v to %s, urgently: %v, as %s", from.Name, shorts(slices.Sorted(maps.Keys(x.keys))), to, urgent, r.Case[:8])
	x.id = r.Case
	l.cases = append(l.cases, x)
}

// decide has somebody answer a case, take it back or end it.
func (l *Whole) decide() {
	l.t.Helper()
	if len(l.cases) == 0 {
		return
	}
	x := l.cases[l.rng.IntN(len(l.cases))]
	from, to := l.councils[0], l.council(x.to)
	in := node.CaseRequest{Case: x.id, By: "Sam", Because: "seen"}
	switch {
	case x.urgent && x.state == "offered":
		from.up()
		if l.rng.IntN(4) == 0 {
			if _, err := try(from, from.node.Urgent().Refuse, in); err == nil {
				x.state = "over"
			}
			return
		}
		l.agreeTo(x)
	case x.urgent && x.state == "out" && l.rng.IntN(2) == 0:
		from.up()
		l.tell("%s ends %s", from.Name, x.id[:8])
		if _, err := try(from, from.node.Urgent().End, in); err == nil {
			l.mu.Lock()
			x.state = "over"
			l.outs()
			l.mu.Unlock()
			l.deeds["urgent ended"]++
		}
	case !x.urgent && x.state == "offered":
		switch l.rng.IntN(6) {
		case 0:
			from.up()
			if _, err := try(from, from.node.Handovers().Withdraw, in); err == nil {
				l.tell("%s withdraws %s", from.Name, x.id[:8])
				x.state = "over"
			}
		case 1:
			to.up()
			if _, err := try(to, to.node.Handovers().Decline, in); err == nil {
				l.tell("%s declines %s", to.Name, x.id[:8])
				x.state = "over"
			}
		default:
			l.agreeTo(x)
		}
	}
}

// agreeTo has a second person approve what was given urgently, or the receiver accept what it
// was offered.
func (l *Whole) agreeTo(x *byHand) {
	l.t.Helper()
	from, to := l.councils[0], l.council(x.to)
	in := node.CaseRequest{Case: x.id, By: "Sam", Because: "seen"}
	if x.urgent {
		l.tell("%s approves %s", from.Name, x.id[:8])
		l.letOut(x, "approved", func() error { _, err := try(from, from.node.Urgent().Approve, in); return err })
		return
	}
	to.up()
	if _, err := try(to, to.node.Handovers().Show, node.CaseRequest{Case: x.id}); err != nil {
		return // it has not come
	}
	l.tell("%s accepts %s", to.Name, x.id[:8])
	l.letOut(x, "accepted", func() error { _, err := try(to, to.node.Handovers().Accept, in); return err })
}

// letOut notes that the records of a case may go from now on, and has somebody say so; and
// that they may not, where the node of whoever says it refuses.
func (l *Whole) letOut(x *byHand, deed string, say func() error) {
	l.mu.Lock()
	may, kept := l.o.copies()
	x.state = "out"
	x.until = time.Now().Add(24 * time.Hour)
	for key, p := range x.keys {
		l.o.letOut(p, x.to, key)
	}
	l.mu.Unlock()
	if say() == nil {
		l.deeds[deed]++
		return
	}
	l.mu.Lock()
	x.state = "over"
	l.o.may, l.o.kept = may, kept
	l.outs()
	l.mu.Unlock()
}

// outs has only those records out by hand that a case lets out still. w.mu is held.
func (l *Whole) outs() {
	for _, p := range l.pacts {
		p.out = nil
	}
	for _, x := range l.cases {
		if x.state == "out" {
			for key, p := range x.keys {
				l.o.letOut(p, x.to, key)
			}
		}
	}
}

// away has a partner, or the sender, be away for a month in which others go on.
func (l *Whole) away() {
	l.t.Helper()
	c := l.councils[l.rng.IntN(len(l.councils))]
	l.tell("%s is away for a month", c.Name)
	c.halt()
	if c != l.councils[0] {
		l.put(kinds[0], 1+l.rng.IntN(4))
		l.remove(l.rng.IntN(2) == 0)
	}
	l.later(30*24*time.Hour, c)
	if c != l.councils[0] {
		l.put(kinds[1], 1)
		time.Sleep(20 * time.Second)
	}
	c.up()
	l.deeds["month away"]++
}

// later lets a long time pass in which no node runs: while one does, its store looks at the
// time so often that a day costs many seconds of a processor. All but those that are away
// run afterwards.
func (l *Whole) later(d time.Duration, away ...*Council) {
	l.t.Helper()
	for _, c := range l.councils {
		c.halt()
	}
	time.Sleep(d)
	for _, c := range l.councils {
		if !slices.Contains(away, c) {
			c.start()
		}
	}
}

// skew has a clock be some minutes wrong, as far as is tolerated, and set right.
func (l *Whole) skew() {
	l.t.Helper()
	c := l.councils[l.rng.IntN(len(l.councils))]
	by := time.Duration(l.rng.IntN(240)-120) * time.Second
	l.tell("the clock of %s is %v off", c.Name, by)
	c.skew.Store(int64(by))
	l.put(kinds[0], 1)
	time.Sleep(20 * time.Second)
	l.askSomething()
	c.skew.Store(0)
	l.deeds["clock off"]++
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

// ask1 looks at what a running partner answers to whoever looks at its pages.
func (l *Whole) ask1(c *Council) {
	if c.node == nil {
		return
	}
	for _, r := range c.holdings(l.councils[0].Name) {
		l.look(c, fmt.Sprintf("answers, version %d of %s under %s", r.Version, r.Record, r.Agreement), r, r.Agreement)
	}
}

// look looks for values in anything that a council answers, of what came to it under an
// agreement.
func (l *Whole) look(c *Council, where string, v any, under ...name.Agreement) {
	l.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		l.fail("%v", err)
	}
	found := map[canary]string{}
	scan(b, func(x canary) { found[x] = where })
	l.judge(c.Name, found, under...)
}

// judge notes what is at a council and may not be, by any agreement or by those that are
// named.
func (l *Whole) judge(at name.Council, found map[canary]string, under ...name.Agreement) {
	kind := func(where string) string { return strings.TrimSuffix(strings.Fields(where)[0], ",") }
	l.mu.Lock()
	wrong := l.o.beyond(at, found, under)
	for x, where := range found {
		if from := l.o.owner[x]; from != at && from != "" {
			l.seen[kind(where)]++
		}
	}
	for _, x := range wrong {
		l.wrong[kind(found[x])]++
	}
	for _, nm := range under {
		if p := l.o.pacts[nm]; p != nil && len(found) > 0 {
			l.seen["by "+p.mode] += len(found)
			l.wrong["by "+p.mode] += len(wrong)
		}
	}
	l.mu.Unlock()
	for _, x := range wrong {
		l.breach("%s %s of %s is at %s, which may not have it: %s", x.place, x.number, l.councils[0].Name, at, found[x])
	}
}

// sound fails the test if anything was noted that may not be, but for what was planted.
func (l *Whole) sound() {
	l.t.Helper()
	if l.plant == (plant{}) {
		l.World.sound()
	}
}

// press has a mode let out what it does, of all records that there are.
func (l *Whole) press(mode string) {
	l.t.Helper()
	for _, k := range kinds {
		l.put(k, k.keys)
	}
	p := l.some(func(p *pact) bool { return p.mode == mode })
	to := l.council(p.to[0])
	switch mode {
	case "replicate":
		time.Sleep(10 * time.Second)
	case "aggregate":
		l.ask(p, to, "", false)
	case "lookup", "private-lookup":
		for _, key := range l.slots[p.kind] {
			l.ask(p, to, key, true)
		}
	case "handover", "break-glass":
		for range 6 {
			l.offer(mode == "break-glass")
			time.Sleep(10 * time.Second)
		}
		for _, x := range l.cases {
			l.agreeTo(x)
		}
		time.Sleep(10 * time.Second)
	}
	l.ask1(to)
}

// tap looks for values in every frame, taken apart as far as it is packed.
func (l *Whole) tap(wr wire.Write) wire.Fault {
	found := map[canary]string{}
	add := func(b []byte) { scan(b, func(x canary) { found[x] = "wire " + string(wr.Protocol) }) }
	add(wr.Data)
	var under []name.Agreement // that the stream is about
	switch {
	case wr.Protocol == wirepb.Protocol:
		f, err := wirepb.NewReader(bytes.NewReader(wr.Data)).Read()
		if err != nil {
			l.breach("%s sends what is no frame: %v", wr.From, err)
			break
		}
		l.mu.Lock()
		if f.GetHello() != nil {
			l.feeds[wr.Stream] = f.GetHello().GetFeed()
		}
		feed := l.feeds[wr.Stream]
		l.mu.Unlock()
		if f.GetBatch() == nil {
			break
		}
		under = append(under, name.Agreement(feed))
		add(f.GetBatch().GetTable())
		for _, it := range f.GetBatch().GetItems() {
			add(it.GetEvent())
			if len(it.GetRecord()) == 0 {
				continue
			}
			token, err := unpacked(f.GetBatch().GetTable(), it.GetRecord())
			if err != nil {
				l.breach("%s sends entry %d to %s: %v", wr.From, it.GetIndex(), wr.To, err)
			}
			add(token)
		}
	case wr.Protocol == wirepb.LookupProtocol && wr.Opener && wr.Serial == 0:
		q, err := wirepb.ReadQuestion(bufio.NewReader(bytes.NewReader(wr.Data)))
		if err == nil {
			_, ev, err := record.ParseEvent(q.GetEvent())
			if err == nil {
				l.mu.Lock()
				l.feeds[wr.Stream] = string(event.AgreementOf(ev.Body))
				l.mu.Unlock()
			}
		}
	case wr.Protocol == wirepb.LookupProtocol && !wr.Opener:
		l.mu.Lock()
		under = append(under, name.Agreement(l.feeds[wr.Stream]))
		l.mu.Unlock()
		a, err := wirepb.ReadAnswer(bufio.NewReader(bytes.NewReader(wr.Data)))
		if err != nil {
			l.breach("%s sends what is no answer: %v", wr.From, err)
			break
		}
		for _, e := range a.GetEntries() {
			add(e.GetToken())
		}
		add(a.GetEvent())
		add(a.GetCounts().GetToken())
	}
	l.judge(wr.To, found, under...)
	l.mu.Lock()
	blind, fault := l.blind, l.fault
	l.mu.Unlock()
	if blind != "" && wr.Protocol == wirepb.LookupProtocol && wr.To == l.councils[0].Name {
		for x := range found {
			if strings.Contains(blind, " "+x.number+".") {
				l.breach("%s is told about whom it is asked", wr.To)
			}
		}
	}
	if fault == nil {
		return wire.None
	}
	return fault(wr)
}

// settle heals everything, waits until every word has arrived, and has the oracle take back
// what is permitted no more.
func (l *Whole) settle() {
	l.t.Helper()
	l.mu.Lock()
	l.fault = nil
	l.mu.Unlock()
	for i, c := range l.councils {
		for _, other := range l.councils[:i] {
			l.net.Heal(c.Name, other.Name)
			l.net.SetLink(c.Name, other.Name, wire.Link{})
			l.net.SetLink(other.Name, c.Name, wire.Link{})
		}
		c.up()
	}
	l.resumeAll()
	why := ""
	start := time.Now()
	for {
		synctest.Wait()
		l.sound()
		if why = l.restless(); why == "" {
			break
		}
		if time.Since(start) > patience {
			l.fail("the world does not come to rest: %s", why)
		}
		time.Sleep(2 * time.Second)
	}
	// A time that is over, or nearly, is over by far.
	l.mu.Lock()
	soon := slices.ContainsFunc(l.cases, func(x *byHand) bool {
		return x.urgent && x.state == "out" && x.until.Before(time.Now().Add(2*time.Hour))
	})
	l.mu.Unlock()
	if soon {
		l.later(4 * time.Hour)
		time.Sleep(3 * time.Minute)
		l.await("all is in step", func() bool { return l.restless() == "" })
	}
	l.mu.Lock()
	for _, x := range l.cases {
		if x.urgent && x.state == "out" && x.until.Before(time.Now()) {
			x.state = "over"
			l.deeds["urgent over"]++
		}
	}
	l.outs()
	l.o.rest()
	l.mu.Unlock()
	l.tell("at rest")
}

// restless returns what has not arrived yet; "" when all has.
func (l *Whole) restless() string {
	for _, c := range l.councils {
		s, err := c.node.Status(l.t.Context())
		if err != nil {
			l.fail("%s: status: %v", c.Name, err)
		}
		for _, p := range s.Partners {
			if p.Outstanding > 0 || !p.InStep {
				return fmt.Sprintf("%s: %s %s under %s is %q, %d outstanding", c.Name, p.Direction, p.Council, p.Agreement, p.Behind, p.Outstanding)
			}
		}
	}
	for _, p := range l.pacts {
		now := p.current()
		if now == nil {
			continue
		}
		for _, c := range append([]name.Council{p.from}, p.to...) {
			r, err := try(l.council(c), l.council(c).node.Agreements().Show, node.AgreementRequest{Name: string(p.name), Version: now.version})
			if err != nil || r.InForce == p.over {
				return fmt.Sprintf("%s says of %s version %d that it is in force: %v, %q, %v", c, p.name, now.version, r.InForce, r.Why, err)
			}
		}
	}
	for _, x := range l.cases {
		if x.state != "out" {
			continue
		}
		from, to := l.councils[0], l.council(x.to)
		show := func(c *Council) string {
			do := c.node.Handovers().Show
			if x.urgent {
				do = c.node.Urgent().Show
			}
			r, _ := try(c, do, node.CaseRequest{Case: x.id})
			return r.State
		}
		if a, b := show(from), show(to); a != b || a == "accepted" {
			return fmt.Sprintf("case %s is %s and %s", x.id[:8], a, b)
		}
	}
	return ""
}

// inside returns a part of a node that it keeps to itself.
func inside[T any](n *node.Node, field string) *T {
	return *(**T)(unsafe.Pointer(reflect.ValueOf(n).Elem().FieldByName(field).UnsafeAddr()))
}

// check comes to rest and looks at everything that each partner has.
func (l *Whole) check() {
	l.t.Helper()
	l.settle()
	for _, p := range slices.Clone(l.pacts) { // questions that are answered for certain
		if !p.over && (p.mode == "aggregate" || strings.HasSuffix(p.mode, "lookup")) {
			if it := l.lives(p.kind); it != nil {
				l.ask(p, l.council(p.to[0]), it.key, true)
			}
		}
	}
	l.mu.Lock()
	l.o.rest()
	l.mu.Unlock()
	for _, c := range l.councils {
		if err := inside[ledger.Ledger](c.node, "ledger").Purge(l.t.Context()); err != nil {
			l.fail("purge %s: %v", c.Name, err)
		}
	}
	for _, c := range l.councils[1:] {
		l.replies(c)
		l.metrics(c)
		l.bundlesOf(c)
		copied := l.backup(c)
		c.halt()
		for where, dir := range map[string]string{"files": c.dir, "backup": copied} {
			found := l.raw(dir, where)
			l.judge(c.Name, found)
			l.mu.Lock()
			for x := range l.o.must(c.Name) {
				if found[x] == "" {
					l.broken = append(l.broken, fmt.Sprintf("%s %s is held by %s and not found in its %s, so that to look proves nothing", x.place, x.number, c.Name, where))
				}
			}
			l.mu.Unlock()
		}
		if err := os.RemoveAll(copied); err != nil {
			l.fail("%v", err)
		}
		c.start()
	}
	l.sound()
}

// succeed has the council that shares end. Its partners keep what they took over and nothing
// else; its successor has what its records say, and nothing of what they said before.
func (l *Whole) succeed() {
	l.t.Helper()
	from := l.councils[0]
	l.heir.start()
	l.tell("%s ends, and %s follows it", from.Name, l.heir.Name)
	l.mu.Lock()
	for _, p := range l.pacts {
		p.over = true
		for _, c := range p.terms {
			c.shut = true
		}
	}
	l.mu.Unlock()
	call(from, from.node.Successions().Seal, node.SuccessionRequest{Plan: fmt.Appendf(nil, "succession: end\non: %s\nbegins: [%s]\nends: [{council: %s, to: %s}]\n",
		time.Now().AddDate(0, 0, 1).Format(time.DateOnly), l.heir.Name, from.Name, l.heir.Name)})
	l.await("the last entry is cosigned, and the partners have deleted what they held", func() bool {
		s, err := from.node.Successions().Show(l.t.Context())
		return err == nil && len(s.Witnesses) > 0 && len(s.Unreceived) == 0
	})
	l.check()
	lives := 0
	l.mu.Lock()
	for _, it := range l.o.items {
		if it.body != nil {
			lives++
			for _, x := range canariesOf(it.body) {
				l.o.permit(l.heir.Name, x, "")
			}
		}
	}
	l.mu.Unlock()
	got := call(l.heir, l.heir.node.Successions().TakeOver, node.TakeOverRequest{From: from.Name})
	if got.Taken != lives || len(got.Left) > 0 {
		l.breach("%s has %d records and %s took over %+v", from.Name, lives, l.heir.Name, got)
	}
	l.heir.halt()
	found := l.raw(l.heir.dir, "files")
	l.judge(l.heir.Name, found)
	if len(found) < lives {
		l.breach("%d values are found at %s, which has %d records", len(found), l.heir.Name, lives)
	}
	l.deeds["succeeded"]++
	l.sound()
}

// raw returns the values in all files of a folder.
func (l *Whole) raw(dir, where string) map[canary]string {
	l.t.Helper()
	found := map[canary]string{}
	err := ledgertest.Raw(dir, func(b []byte, file string) {
		scan(b, func(x canary) { found[x] = where + " " + file })
	})
	if err != nil {
		l.fail("%v", err)
	}
	return found
}

// replies looks through what a partner tells its own people.
func (l *Whole) replies(c *Council) {
	l.t.Helper()
	from := l.councils[0].Name
	s, err := c.node.Status(l.t.Context())
	if err != nil {
		l.fail("%v", err)
	}
	l.look(c, "answers", s)
	for i, r := range c.holdings(from) {
		l.look(c, "answers", r)
		if i > 2 {
			continue
		}
		l.look(c, "answers", call(c, c.node.Records().Show, node.RecordRequest{Record: string(r.Record), From: from}))
		l.look(c, "answers", call(c, c.node.Why, node.WhyRequest{From: true, Partner: string(from), Record: string(r.Record)}))
	}
	for _, do := range []func(context.Context) ([]node.CaseReply, error){c.node.Handovers().List, c.node.Urgent().List} {
		list, err := do(l.t.Context())
		if err != nil {
			l.fail("%v", err)
		}
		l.look(c, "answers", list)
	}
}

// metrics looks through what a council tells whoever watches it.
func (l *Whole) metrics(c *Council) {
	l.t.Helper()
	h, err := inside[metrics.Monitor](c.node, "metrics").Handler()
	if err != nil {
		l.fail("%v", err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if b := w.Body.Bytes(); !bytes.Contains(b, []byte("stile_")) {
		l.fail("metrics of %s: %s", c.Name, b)
	} else if bytes.Contains(b, []byte(canaryWord)) {
		l.breach("a metric of %s holds a value", c.Name)
	}
}

// bundlesOf looks through what a partner could hand to an auditor: nothing of it is another's.
func (l *Whole) bundlesOf(c *Council) {
	l.t.Helper()
	for _, p := range l.pacts {
		got, err := try(c, c.node.Bundle, node.BundleRequest{Agreement: string(p.name)})
		if err == nil && len(l.valuesIn(got.Bundle)) > 0 {
			l.breach("%s makes a bundle of %s, which is not its own, with values", c.Name, p.name)
		}
	}
	for _, k := range kinds {
		got, err := try(c, c.node.Bundle, node.BundleRequest{Standard: string(k.name) + "@1", Full: true})
		if err == nil && len(l.valuesIn(got.Bundle)) > 0 {
			l.breach("%s makes a bundle of its own records, with values of another", c.Name)
		}
	}
}

// backup makes a backup of a council, and a folder of it.
func (l *Whole) backup(c *Council) (dir string) {
	l.t.Helper()
	write := func(keys bool) []byte {
		var b bytes.Buffer
		if _, err := c.node.Backup(l.t.Context(), node.BackupRequest{Recipients: l.id.Recipient().String(), Keys: keys}, &b); err != nil {
			l.fail("back up %s: %v", c.Name, err)
		}
		return b.Bytes()
	}
	folder, keys := write(false), write(true)
	in, err := age.Decrypt(bytes.NewReader(folder), l.id)
	if err != nil {
		l.fail("%v", err)
	}
	b, err := io.ReadAll(in)
	if err != nil {
		l.fail("%v", err)
	}
	found := map[canary]string{}
	scan(b, func(x canary) { found[x] = "backup, decrypted" })
	l.judge(c.Name, found)
	c.lives++
	dir = filepath.Join(l.dir, fmt.Sprint(c.Name, "-backup-", c.lives))
	if _, err := backup.Restore(l.t.Context(), bytes.NewReader(folder), bytes.NewReader(keys), []age.Identity{l.id}, dir, time.Now(), ""); err != nil {
		l.fail("restore %s: %v", c.Name, err)
	}
	return dir
}
