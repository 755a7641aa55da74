package simtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// row makes a record for a test of the oracle, each value of which is a canary of that number.
func row(from name.Council, k *kind, number int, letter string, size int) (*item, map[string]any) {
	value := func(place string) string { return fmt.Sprint(canaryWord, " ", place, " ", number, ".") }
	return &item{from: from, kind: k, key: value("/reference")}, map[string]any{
		"reference": value("/reference"), "town": value("/town"), "level": json.Number(fmt.Sprint(size)), "ward": letter + " " + value("/ward"),
		k.person: map[string]any{k.one: value("/" + k.person + "/" + k.one)}, k.list: []any{}, k.last: value("/" + k.last),
	}
}

// TestOracleOnward: what the oracle says of a value at the one to whom it was passed on. The
// texts let town go on and not ward, of rows of ward X; each case changes one thing.
func TestOracleOnward(t *testing.T) {
	const a, m, c = name.Council("a.example"), name.Council("m.example"), name.Council("c.example")
	k := kinds[1]
	type world struct {
		o           *oracle
		first, next *pact
		in          *item
		body        map[string]any
	}
	sign := func(w *world, p *pact, x clause) {
		x.version, x.signed, x.votes, x.halted = len(p.terms)+1, map[name.Council]bool{}, map[name.Council]bool{}, map[name.Council]bool{}
		p.terms = append(p.terms, &x)
		w.o.agreed(p, p.from)
		w.o.agreed(p, p.to[0])
	}
	f := k.narrowing()
	first := clause{fields: []string{"/reference", "/ward", "/town"}, rule: f[0], onward: []string{"/reference", "/town"}}
	next := clause{fields: []string{"/reference", "/town"}, rule: all}
	with := func(x clause, edit func(*clause)) clause { edit(&x); return x }
	again := func(w *world) { // the record is written anew, with other values
		_, w.body = row(a, k, 9, "X", 1)
		w.o.write(w.in, w.body)
	}
	for _, tc := range []struct {
		what        string
		first, next clause
		then        func(*world)
		want        string // the values that may be at c
		must        string // those that are there for certain
	}{
		{"as it is", first, next, nil, "/reference 1, /town 1", "/reference 1, /town 1"},
		{"a field of the first may go on that the second does not list", first, with(next, func(x *clause) { x.fields = []string{"/reference"} }), nil, "/reference 1", "/reference 1"},
		{"a field of the second may not go on by the first", with(first, func(x *clause) { x.onward = []string{"/reference"} }), next, nil, "", ""},
		{"nothing may", with(first, func(x *clause) { x.onward = nil }), next, nil, "", ""},
		{"the rows of the second", first, with(next, func(x *clause) { x.rule = f[1] }), nil, "/reference 1, /town 1", "/reference 1, /town 1"},
		{"rows that read what did not come", first, with(next, func(x *clause) { x.rule = f[2] }), nil, "", ""},
		{"the first is suspended by its council", first, next, func(w *world) { w.first.terms[0].halted[a] = true; again(w) }, "/reference 1, /town 1", ""},
		{"the first is suspended in the middle", first, next, func(w *world) { w.first.terms[0].halted[m] = true; again(w) }, "/reference 1, /town 1", ""},
		{"the second is suspended in the middle", first, next, func(w *world) { w.next.terms[0].halted[m] = true; again(w) }, "/reference 1, /town 1", ""},
		{"the first is over", first, next, func(w *world) { w.first.over = true; w.o.rest() }, "", ""},
		{"the second is over", first, next, func(w *world) { w.next.over = true; w.o.rest() }, "", ""},
		{"the first lets less go on", first, next, func(w *world) {
			sign(w, w.first, with(first, func(x *clause) { x.onward = []string{"/reference"} }))
			w.o.rest()
		}, "", ""},
		{"the first picks other rows", first, next, func(w *world) {
			sign(w, w.first, with(first, func(x *clause) { x.rule = f[2] }))
			w.o.rest()
		}, "/reference 2, /town 2", ""}, // which is not in the middle for certain before it is written again
		{"the first picks more rows", first, next, func(w *world) {
			sign(w, w.first, with(first, func(x *clause) { x.rule = all }))
			w.o.rest()
		}, "/reference 1, /reference 2, /town 1, /town 2", "/reference 1, /town 1"},
		{"it is corrected", first, next, func(w *world) { again(w); w.o.rest() }, "/reference 9, /town 9", "/reference 9, /town 9"},
		{"it is corrected, and while that is on its way the second lists more", first, with(next, func(x *clause) { x.fields = []string{"/reference"} }), func(w *world) {
			again(w)
			sign(w, w.next, with(next, func(x *clause) { x.origin = w.first }))
		}, "/reference 1, /reference 9, /town 1, /town 9", "/reference 9, /town 9"},
		{"it is corrected, and when that has come the second lists more", first, with(next, func(x *clause) { x.fields = []string{"/reference"} }), func(w *world) {
			again(w)
			w.o.rest()
			sign(w, w.next, with(next, func(x *clause) { x.origin = w.first }))
		}, "/reference 9, /town 9", "/reference 9, /town 9"},
		{"it leaves the rows", first, next, func(w *world) {
			_, body := row(a, k, 9, "Y", 1)
			w.o.write(w.in, body)
			w.o.rest()
		}, "", ""},
		{"it is deleted", first, next, func(w *world) { w.o.write(w.in, nil); w.o.rest() }, "", ""},
		{"it is erased", first, next, func(w *world) { w.o.erase(w.in); w.o.rest() }, "", ""},
	} {
		w := &world{o: newOracle()}
		w.first = &pact{name: "a.example/first", from: a, to: []name.Council{m}, mode: "origin", kind: k}
		w.next = &pact{name: "m.example/next", from: m, to: []name.Council{c}, mode: "onward", kind: k}
		w.o.pacts[w.first.name], w.o.pacts[w.next.name] = w.first, w.next
		found := map[canary]string{}
		put := func(it *item, body map[string]any) {
			for _, x := range canariesOf(body) {
				found[x] = "here"
			}
			w.o.write(it, body)
		}
		sign(w, w.first, tc.first)
		tc.next.origin = w.first
		sign(w, w.next, tc.next)
		w.in, w.body = row(a, k, 1, "X", 1)
		put(w.in, w.body)
		out, body := row(a, k, 2, "Y", 2)
		put(out, body)
		own, body := row(m, k, 3, "X", 1) // of the middle, which no text is about
		put(own, body)
		if tc.then != nil {
			tc.then(w)
		}
		for _, x := range canariesOf(w.body) {
			found[x] = "here"
		}
		beyond := w.o.beyond(c, found, func(p *pact) bool { return p == w.next })
		said := func(list func(canary) bool) string {
			var out []string
			for x := range found {
				if list(x) {
					out = append(out, x.place+" "+x.number)
				}
			}
			slices.Sort(out)
			return strings.Join(out, ", ")
		}
		if got := said(func(x canary) bool { return !slices.Contains(beyond, x) }); got != tc.want {
			t.Errorf("%s: there may be %q, want %q", tc.what, got, tc.want)
		}
		must := w.o.must(c)
		if got := said(func(x canary) bool { return must[x] }); got != tc.must {
			t.Errorf("%s: there must be %q, want %q", tc.what, got, tc.must)
		}
	}
}
