package ledger_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

func gate(t testing.TB, l *ledger.Ledger, std name.Standard) (g ledger.Gate) {
	t.Helper()
	err := l.View(func(v *ledger.View) (err error) {
		g, err = v.Gate(std)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func submit(t testing.TB, l *ledger.Ledger, offers ...*ledger.Offer) {
	t.Helper()
	if err := l.Write(t.Context(), offers...); err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, l *ledger.Ledger, std name.Standard, r ledger.Refused) *ledger.Offer {
	t.Helper()
	o, err := l.OfferRefused(std, r)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func breaks(pointerAndRule ...string) (ps []standard.Problem) {
	for i := 0; i < len(pointerAndRule); i += 2 {
		ps = append(ps, standard.Problem{Pointer: pointerAndRule[i], Rule: pointerAndRule[i+1]})
	}
	return ps
}

// A record's first offer is counted once, whatever becomes of it after.
func TestFirstOffers(t *testing.T) {
	std := parish(t, "1.0.0")
	dir, keys := t.TempDir(), ring(t)
	l := open(t, dir, keys)
	adopt(t, l, std)
	valid := func(ref, as string) *ledger.Offer {
		o, err := l.Offer(std, item(ref, "A", "x"))
		if err != nil {
			t.Fatal(err)
		}
		return o.As(as, nil)
	}
	bad := func(ref, as string, broken ...string) *ledger.Offer {
		key := ""
		if ref != "" {
			key = `["` + ref + `"]`
		}
		return refused(t, l, std.Name(), ledger.Refused{Key: key, Reference: as, Offered: []byte(ref + as), Problems: breaks(broken...)})
	}
	check := func(what string, seen, taken int) {
		t.Helper()
		if g := gate(t, l, std.Name()); g.Seen != seen || g.Valid != taken {
			t.Errorf("%s: %d seen and %d valid, want %d and %d", what, g.Seen, g.Valid, seen, taken)
		}
	}
	check("nothing came", 0, 0)
	if g := gate(t, l, std.Name()); !g.Since.IsZero() {
		t.Errorf("nothing came, and counted since %v", g.Since)
	}
	submit(t, l, valid("1", ""))
	check("one valid", 1, 1)
	submit(t, l, valid("1", ""), bad("1", "", "/ward", "type"))
	check("the same again, valid and not", 1, 1)
	submit(t, l, bad("2", "", "/ward", "type"), bad("2", "", "/ward", "type"), valid("2", ""))
	check("refused, refused, taken, in one run", 2, 1)
	submit(t, l, valid("3", ""), bad("3", "", "/ward", "type"))
	check("taken, then refused, in one run", 3, 2)
	submit(t, l, bad("", "row 4", "", "required"))
	check("no key, but a reference", 4, 2)
	l.Close()
	l = open(t, dir, keys)
	submit(t, l, valid("4", "row 4"))
	check("taken under that reference, after the ledger was opened again", 4, 2)
	submit(t, l, bad("", "", "", "syntax"), bad("", "", "", "syntax"))
	check("neither key nor reference: known by its bytes", 5, 2)
	r := put(t, l, std, item("5", "A", "x"))
	remove(t, l, r.Record)
	put(t, l, std, item("5", "A", "x"))
	check("put, deleted, put again", 6, 3)

	g := gate(t, l, std.Name())
	want := []measure.Error{{Rule: "type", Field: "/ward", Count: 3}, {Rule: "required", Field: "", Count: 1}, {Rule: "syntax", Field: "", Count: 1}}
	if !slices.Equal(g.Errors, want) || g.Other != 0 {
		t.Errorf("errors %+v and %d other, want %+v", g.Errors, g.Other, want)
	}
	// Taken since, it counts anew; broken in another way, it counts for that.
	submit(t, l, valid("1", ""), bad("1", "", "/ward", "type"), bad("1", "", "/ward", "type", "/reference", "pattern"))
	if g = gate(t, l, std.Name()); g.Errors[0].Count != 5 || g.Errors[3] != (measure.Error{Rule: "pattern", Field: "/reference", Count: 1}) {
		t.Errorf("errors %+v", g.Errors)
	}
}

// A record that was refused and is taken as the very bytes that it came as was
// valid when it was first offered; one that was mended was not.
func TestFirstOffersOfTheSameBytes(t *testing.T) {
	std := parish(t, "1.0.0")
	dir, keys := t.TempDir(), ring(t)
	l := open(t, dir, keys)
	adopt(t, l, std)
	valid := func(ref, bytes string) *ledger.Offer {
		o, err := l.Offer(std, item(ref, "A", "x"))
		if err != nil {
			t.Fatal(err)
		}
		return o.As("", []byte(bytes))
	}
	bad := func(ref, bytes string, broken ...string) *ledger.Offer {
		return refused(t, l, std.Name(), ledger.Refused{Key: `["` + ref + `"]`, Offered: []byte(bytes), Problems: breaks(broken...)})
	}
	unjudged := func(ref, bytes string) *ledger.Offer { return bad(ref, bytes, "", standard.RuleBudget) }
	check := func(what string, seen, taken, open int) {
		t.Helper()
		if g := gate(t, l, std.Name()); g.Seen != seen || g.Valid != taken || g.Unjudged != open {
			t.Errorf("%s: %d seen, %d valid and %d not judged, want %d, %d and %d", what, g.Seen, g.Valid, g.Unjudged, seen, taken, open)
		}
	}
	submit(t, l, bad("1", "one", "/ward", "type"), valid("1", "one"))
	check("refused, then taken as it was", 1, 1, 0)
	submit(t, l, bad("2", "two", "/ward", "type"), valid("2", "two, mended"))
	check("refused, then taken mended", 2, 1, 0)
	submit(t, l, bad("3", "three", "/ward", "type"), bad("3", "three, worse", "/ward", "enum"), valid("3", "three"))
	check("refused, refused as other bytes, taken as it first was", 3, 2, 0)
	submit(t, l, unjudged("4", "four"), unjudged("4", "four"))
	check("not judged, twice", 3, 2, 1)
	l.Close()
	l = open(t, dir, keys)
	check("opened again", 3, 2, 1)
	submit(t, l, valid("4", "four"))
	check("not judged, then taken", 4, 3, 0)
	submit(t, l, unjudged("5", "five"), bad("5", "five", "/ward", "type"))
	check("not judged, then refused", 5, 3, 0)
	submit(t, l, unjudged("5", "five"), valid("5", "five, mended"))
	check("refused, not judged, then taken mended", 5, 3, 0)
	submit(t, l, unjudged("1", "one, changed"))
	check("a new version that is not judged", 5, 3, 1)
	submit(t, l, valid("1", "one"))
	check("and the old one once more", 5, 3, 0)
	for _, e := range gate(t, l, std.Name()).Errors {
		if e.Rule == standard.RuleBudget {
			t.Errorf("not being judged is counted as an error: %+v", e)
		}
	}
}

// Nothing of the record's own stands in the counters: neither a name that the
// standard does not have, nor a rule that is none.
func TestGateKeepsNoNames(t *testing.T) {
	std := parish(t, "1.0.0")
	l := open(t, "", ring(t))
	adopt(t, l, std)
	submit(t, l, refused(t, l, std.Name(), ledger.Refused{Key: `["1"]`, Problems: breaks(
		"/Kezia Sandhu", "additionalProperties", "/scores/17", "type", "/scores/2/Kezia", "type", "/ward", "born 1970!", "not a pointer", "")}))
	want := []measure.Error{
		{Rule: "other", Field: "", Count: 1}, {Rule: "additionalProperties", Field: "/*", Count: 1}, {Rule: "type", Field: "/scores/*", Count: 1},
		{Rule: "type", Field: "/scores/*/*", Count: 1}, {Rule: "born------", Field: "/ward", Count: 1},
	}
	if g := gate(t, l, std.Name()); !slices.Equal(g.Errors, want) {
		t.Errorf("got %+v\nwant %+v", g.Errors, want)
	}
}

// However many rules are broken, the counters stay small.
func TestGateErrorsAreBounded(t *testing.T) {
	std := parish(t, "1.0.0")
	l := open(t, "", ring(t))
	adopt(t, l, std)
	for i := range 9 {
		var ps []standard.Problem
		for j := range 50 {
			ps = append(ps, standard.Problem{Pointer: "/ward", Rule: fmt.Sprintf("r%c%c", 'a'+i, 'A'+j)})
		}
		submit(t, l, refused(t, l, std.Name(), ledger.Refused{Key: fmt.Sprintf("[%d]", i), Problems: ps}))
	}
	g := gate(t, l, std.Name())
	sum := g.Other
	for _, e := range g.Errors {
		sum += e.Count
	}
	if len(g.Errors) > 400 || sum != 9*46 { // five signs between Z and a fold to one
		t.Errorf("%d listed, %d in all", len(g.Errors), sum)
	}
}

// Whatever comes in whatever order, the counters are those of a plain list.
func TestGateAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		std := parish(t, "1.0.0")
		dir, keys := t.TempDir(), ring(t)
		l := open(t, dir, keys)
		adopt(t, l, std)
		taken, marked := map[string]bool{}, map[string]string{}
		var seen, valid int
		broken := map[measure.Error]int{}
		var offers []*ledger.Offer
		for range 300 {
			n := rng.IntN(12)
			key, ref := fmt.Sprintf("[%q]", fmt.Sprint(n)), fmt.Sprintf("row %d", n)
			hasRef := rng.IntN(2) == 0
			if rng.IntN(2) == 0 {
				o, err := l.Offer(std, map[string]any{"reference": fmt.Sprint(n), "ward": json.Number(fmt.Sprint(rng.IntN(3)))})
				if err != nil {
					t.Fatal(err)
				}
				if hasRef {
					o.As(ref, nil)
				}
				if !taken[key] {
					_, a := marked[key]
					_, b := marked[ref]
					if !a && !(b && hasRef) {
						seen, valid = seen+1, valid+1
					}
				}
				taken[key] = true
				delete(marked, key)
				if hasRef {
					delete(marked, ref)
				}
				offers = append(offers, o)
			} else {
				r := ledger.Refused{Problems: breaks("/ward", []string{"type", "enum"}[rng.IntN(2)])}
				var ids []string
				if rng.IntN(3) > 0 {
					r.Key = key
					ids = append(ids, key)
				}
				if hasRef || r.Key == "" {
					r.Reference = ref
					ids = append(ids, ref)
				}
				before, same := taken[r.Key], false
				for _, id := range ids {
					d, ok := marked[id]
					before, same = before || ok, same || ok && d == r.Problems[0].Rule
				}
				if !before {
					seen++
				}
				if !same {
					broken[measure.Error{Rule: r.Problems[0].Rule, Field: "/ward"}]++
				}
				for _, id := range ids {
					marked[id] = r.Problems[0].Rule
				}
				offers = append(offers, refused(t, l, std.Name(), r))
			}
			if rng.IntN(20) == 0 {
				submit(t, l, offers...)
				offers = nil
				if rng.IntN(4) == 0 {
					l.Close()
					l = open(t, dir, keys)
				}
			}
		}
		submit(t, l, offers...)
		g := gate(t, l, std.Name())
		got := map[measure.Error]int{}
		for _, e := range g.Errors {
			got[measure.Error{Rule: e.Rule, Field: e.Field}] = e.Count
		}
		if g.Seen != seen || g.Valid != valid || !reflect.DeepEqual(got, broken) {
			t.Fatalf("seed %d: got %d seen, %d valid, broken %v; want %d, %d, %v", seed, g.Seen, g.Valid, got, seen, valid, broken)
		}
		l.Close()
	}
}

// Counting costs no transaction of its own: a run of offers is one.
func TestGateTransactions(t *testing.T) {
	std := parish(t, "1.0.0")
	l := open(t, "", ring(t))
	adopt(t, l, std)
	before := l.Transactions()
	var offers []*ledger.Offer
	for i := range 40 {
		o, err := l.Offer(std, item(fmt.Sprint(i), "A", "x"))
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o, refused(t, l, std.Name(), ledger.Refused{Key: fmt.Sprintf("[\"bad %d\"]", i), Problems: breaks("/ward", "type")}))
	}
	submit(t, l, offers...)
	if n := l.Transactions() - before; n != 1 {
		t.Errorf("%d transactions, want 1", n)
	}
}

// A survey sees every live record of its version once, in the order of the log.
func TestSurvey(t *testing.T) {
	std := parish(t, "1.0.0")
	l := open(t, "", ring(t))
	adopt(t, l, std)
	var offers []*ledger.Offer
	for i := range 2500 {
		o, err := l.Offer(std, item(fmt.Sprint(i), "A", "x"))
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o)
	}
	submit(t, l, offers...)
	r := put(t, l, std, item("7", "B", "x"))
	put(t, l, std, item("8", "B", "x"))
	remove(t, l, r.Record)
	n, last := 0, uint64(0)
	err := l.View(func(v *ledger.View) error {
		return v.Survey(t.Context(), std.Name(), func(index uint64, ver *ledger.Version) {
			if ver == nil || ver.Index != index || index < last {
				t.Fatalf("entry %d after %d: %+v", index, last, ver)
			}
			n, last = n+1, index
		})
	})
	if err != nil || n != 2499 {
		t.Errorf("%d records, %v", n, err)
	}
}

// Counters of many standards with long names fill a batch like anything else,
// and no transaction grows beyond what the store takes.
func TestGateFitsTransactions(t *testing.T) {
	var props []string
	for i := range 290 {
		props = append(props, fmt.Sprintf(`"%0440d":{}`, i))
	}
	l := open(t, "", ring(t), asANode)
	var offers []*ledger.Offer
	for v := range 30 {
		std, err := standard.Load(fstest.MapFS{
			"standard.yaml": {Data: fmt.Appendf(nil, "name: standards.example/long\nversion: 1.0.%d\ntitle: Long\nstatus: live\nkey: [/id]\n", v)},
			"schema.json":   {Data: []byte(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"},` + strings.Join(props, ",") + `}}`)},
		})
		if err != nil {
			t.Fatal(err)
		}
		adopt(t, l, std)
		for _, rule := range []string{"type", "enum"} {
			r := ledger.Refused{Key: fmt.Sprintf("[%d]", v)}
			for i := range 290 {
				r.Problems = append(r.Problems, standard.Problem{Pointer: fmt.Sprintf("/%0440d", i), Rule: rule})
			}
			offers = append(offers, refused(t, l, std.Name(), r))
		}
	}
	submit(t, l, offers...) // open says so when the ledger fails
	for _, s := range l.Standards() {
		if g := gate(t, l, s.Name()); len(g.Errors) != 400 || g.Other != 180 {
			t.Fatalf("%s: %d listed and %d other", s.Name(), len(g.Errors), g.Other)
		}
	}
}

// What was waived stands in the event that the adoption is in the log, and is
// known after the ledger was opened again.
func TestAdoptionKeepsWaivers(t *testing.T) {
	std := parish(t, "1.0.0")
	dir, keys := t.TempDir(), ring(t)
	l := open(t, dir, keys)
	if err := l.Adopt(t.Context(), std, "required-twice"); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, dir, keys)
	if got := l.Waived(std.Name()); !slices.Equal(got, []string{"required-twice"}) {
		t.Errorf("waived: %q", got)
	}
	err := l.View(func(v *ledger.View) error {
		found := 0
		v.Events(event.KindStandardAdopted, 0, func(i uint64) bool {
			e, _, err := v.Event(i)
			if err != nil {
				t.Error(err)
				return false
			}
			found++
			if !reflect.DeepEqual(e.Body["waived"], []any{"required-twice"}) {
				t.Errorf("the event says %v", e.Body)
			}
			return true
		})
		if found != 1 {
			t.Errorf("%d events", found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
