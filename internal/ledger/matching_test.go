package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// steps lets matching do one step at a time.
type steps struct{ wait, went chan struct{} }

func newSteps() *steps { return &steps{make(chan struct{}), make(chan struct{})} }

// take is called by the ledger before a step.
func (s *steps) take() {
	s.went <- struct{}{}
	<-s.wait
}

func writeItems(t testing.TB, l *ledger.Ledger, std *standard.Standard, bodies ...map[string]any) {
	t.Helper()
	var offers []*ledger.Offer
	for _, b := range bodies {
		o, err := l.Offer(std, b)
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o)
	}
	if err := l.Write(t.Context(), offers...); err != nil {
		t.Fatal(err)
	}
}

func references(t testing.TB, p *ledger.Page) (out []string) {
	t.Helper()
	for _, it := range p.Items {
		tok, err := record.Parse(it.Token)
		if err != nil {
			t.Fatal(err)
		}
		v, err := tok.View()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v.Body["reference"].(string))
	}
	return out
}

// TestMatchingBehind: an agreement is opened at once; while its records are matched a
// reader gets those that are, then the rest, and is not told that there is no more
// before there is no more. A ledger that is closed in the middle goes on where it was.
func TestMatchingBehind(t *testing.T) {
	for _, rows := range []string{`record.ward == "X"`, `record.ward.startsWith("X")`} {
		dir, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
		s := newSteps()
		l := open(t, dir, r, ledger.MatchInSteps(10, s.take))
		adopt(t, l, std)
		var all []map[string]any
		for i := range 60 {
			all = append(all, item(fmt.Sprintf("%02d", i), string(rune('X'+i%2)), "n"))
		}
		writeItems(t, l, std, all...)
		a := sharing(t, "items", 1, rows, "/ward")
		if err := l.OpenFeed(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		<-s.went // it has returned, and nothing is matched
		f, err := l.Feed(a.Name, a.Digest())
		if err != nil || f.Ready {
			t.Fatalf("feed is ready before its records are matched: %v", err)
		}
		p, err := l.Page(f, 0)
		if err != nil || len(p.Items) > 0 || p.Live || p.Cursor != 0 {
			t.Fatalf("before anything is matched a page has %d items, live %v, cursor %d: %v", len(p.Items), p.Live, p.Cursor, err)
		}
		// Written meanwhile: it is in the feed, and not read before its turn.
		writeItems(t, l, std, item("60", "X", "n"))
		if p, _ := l.Page(f, 0); len(p.Items) > 0 || p.Live || p.Cursor != 0 {
			t.Fatal("what is written while records are matched is read before them")
		}
		s.wait <- struct{}{}
		<-s.went
		s.wait <- struct{}{}
		<-s.went // two steps are done: twenty records are looked at
		p, err = l.Page(f, 0)
		if err != nil || len(p.Items) != 10 || p.Live {
			t.Fatalf("after two steps of ten a page has %d items, live %v: %v", len(p.Items), p.Live, err)
		}
		got, cursor := references(t, p), p.Cursor
		f, _ = l.Feed(a.Name, a.Digest())
		if pr := f.Progress(); pr.Examined != 20 || pr.Of < 60 {
			t.Fatalf("progress %+v after twenty of sixty", pr)
		}
		// A record that was read changes, one that was not is deleted, one that was not
		// stops to match: all in their order, whatever matching has come to.
		writeItems(t, l, std, item("00", "X", "again"), item("40", "Y", "n"))
		key, err := std.Key(all[50])
		if err != nil {
			t.Fatal(err)
		}
		remove(t, l, r.RecordID(std.Name().Line(), key))

		closed := make(chan error)
		go func() { closed <- l.Close() }()
		s.wait <- struct{}{}
		for done := false; !done; {
			select {
			case <-s.went:
				s.wait <- struct{}{}
			case err := <-closed:
				if done = true; err != nil {
					t.Fatal(err)
				}
			}
		}
		l = open(t, dir, r)
		if err := l.AwaitFeed(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if f, err = l.Feed(a.Name, a.Digest()); err != nil {
			t.Fatal(err)
		}
		for _, p := range readFeed(t, l, f, cursor) {
			got = append(got, references(t, p)...)
		}
		count := map[string]int{}
		for _, ref := range got {
			count[ref]++
		}
		want := map[string]int{"00": 2, "60": 1} // read, then changed; written meanwhile
		for i := 2; i < 60; i += 2 {
			if i != 40 && i != 50 {
				want[fmt.Sprintf("%02d", i)] = 1
			}
		}
		if !maps.Equal(count, want) {
			t.Errorf("%s: a reader got %v, want %v", rows, count, want)
		}
		if f.Records != 29 {
			t.Errorf("%s: the feed counts %d records, want 29", rows, f.Records)
		}
		if built := l.Indexes(); rows == `record.ward == "X"` && !built["/ward"] {
			t.Errorf("the index of the ward is not built: %v", built)
		}
		checkWhole(t, l)
	}
}

// TestIndexNeverChangesWhatMatches: agreements of every shape, opened at any time, some
// matched by index, some by walking, some building the index, with records of every kind
// that come, change and go meanwhile: each feed holds what its filter picks of a scan.
func TestIndexNeverChangesWhatMatches(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 9))
		dir, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
		l := open(t, dir, r, ledger.MatchInSteps(7, func() {}))
		adopt(t, l, std)
		values := []any{"X", "Y", "Z", nil, true, false, json.Number("1"), json.Number("1.0"), json.Number("2"), []any{"X"}, map[string]any{"k": "X"}}
		filters := []string{
			`record.ward == "X"`, `record.ward in ["X", "Y"]`, `record.ward == 1`, `record.ward == 1.0`, `record.ward == null`,
			`record.ward == true`, `record.ward == "X" && record.name == "Y"`, `record.name in ["X", 1, null] && record.ward != "Z"`,
			`record.ward == "X" || record.name == "X"`, `record.ward == "X" || record.ward.k == "X"`, `record.ward.k == "X"`,
			`record.ward != "X"`, `!(record.ward == "X")`, `true`, `has(record.phone) && record.phone == "X"`, `size(record) == 3`,
			`record.ward && record.name == "X"`, `record["ward"] == "Y" && (record.name == "X" || record.name == "Z")`,
		}
		var mu sync.Mutex
		body := func() map[string]any {
			mu.Lock()
			defer mu.Unlock()
			b := map[string]any{"reference": fmt.Sprint(rng.IntN(60))}
			for _, k := range []string{"ward", "name", "phone"} {
				if rng.IntN(6) > 0 {
					b[k] = values[rng.IntN(len(values))]
				}
			}
			return b
		}
		write := func() {
			var offers []*ledger.Offer
			for range 1 + len(body())%3*4 {
				b := body()
				if len(b) == 1 {
					key, err := std.Key(b)
					if err != nil {
						t.Error(err)
						return
					}
					offers = append(offers, l.OfferDelete(r.RecordID(std.Name().Line(), key)))
					continue
				}
				o, err := l.Offer(std, b)
				if err != nil {
					t.Error(err)
					return
				}
				offers = append(offers, o)
			}
			if err := l.Write(context.Background(), offers...); err != nil {
				t.Error(err)
			}
		}
		for range 20 {
			write()
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					write()
				}
			})
		}
		var opened []name.Agreement
		for n := range 14 {
			mu.Lock()
			rows := filters[rng.IntN(len(filters))]
			wait := rng.IntN(3) > 0
			mu.Unlock()
			a := sharing(t, fmt.Sprintf("a-%d", n), 1, rows, "/ward", "/name", "/phone")
			if err := l.OpenFeed(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if opened = append(opened, a.Name); wait {
				if err := l.AwaitFeed(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
		}
		stop()
		wg.Wait()
		if seed%2 == 1 { // what is not matched yet is matched by the next
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, dir, r)
		}
		for _, f := range l.Feeds() {
			if err := l.AwaitFeed(t.Context(), f.Terms().Agreement()); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.Feeds()) != len(opened) {
			t.Fatalf("%d feeds, want %d", len(l.Feeds()), len(opened))
		}
		checkWhole(t, l)
		l.Close()
	}
}

// TestNewVersionInTheBatch: a version that does not match, written in the batch in which
// matching enters the one before, keeps that one out.
func TestNewVersionInTheBatch(t *testing.T) {
	r, std := ring(t), parish(t, "1.0.0")
	for range 20 {
		s := newSteps()
		l := open(t, "", r, ledger.MatchInSteps(10, s.take))
		adopt(t, l, std)
		writeItems(t, l, std, item("a", "X", "n"), item("b", "X", "n"))
		a := sharing(t, "items", 1, `record.ward == "X"`, "/ward")
		if err := l.OpenFeed(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		<-s.went
		var wg sync.WaitGroup
		wg.Go(func() { s.wait <- struct{}{} })
		for _, ref := range []string{"a", "b"} {
			wg.Go(func() { writeItems(t, l, std, item(ref, "Y", "n")) })
		}
		wg.Wait()
		if err := l.AwaitFeed(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		checkWhole(t, l)
	}
}

// TestIndexReadsNoMore: once a field has an index, an agreement that takes two records of
// two hundred looks at two, and the index has a key for each value and batch, not for each
// record.
func TestIndexReadsNoMore(t *testing.T) {
	std, looked := parish(t, "1.0.0"), 0
	l := open(t, "", ring(t), ledger.MatchInSteps(1, func() { looked++ }))
	adopt(t, l, std)
	var all []map[string]any
	for i := range 200 {
		all = append(all, item(fmt.Sprint(i), fmt.Sprint("W", i%100), fmt.Sprint("N", i%100)))
	}
	writeItems(t, l, std, all...)
	for _, c := range []struct {
		rows string
		want int
	}{
		{`record.ward == "W1"`, 200}, // builds the index
		{`record.ward == "W2"`, 2},
		{`record.ward in ["W3", "W4"] && record.name != "x"`, 4},
		{`record.ward == "none"`, 0},
		{`record.name == "N5" && record.ward == "W5"`, 2}, // one index is enough, so none is built
		{`record.name == "N6"`, 200},
		{`record.name == "N7" || record.ward == "W8"`, 4},
	} {
		looked = 0
		openFeed(t, l, sharing(t, fmt.Sprint("a-", len(l.Feeds())), 1, c.rows, "/ward"))
		if looked != c.want {
			t.Errorf("%s: looked at %d records, want %d", c.rows, looked, c.want)
		}
	}
	before := l.Postings()
	all = nil
	for i := range 200 {
		all = append(all, item(fmt.Sprint("more-", i), fmt.Sprint("W", i%10), "N1"))
	}
	writeItems(t, l, std, all...)
	if n := l.Postings() - before; n != 11 {
		t.Errorf("a batch of 200 records with ten wards and one name wrote %d postings, want 11", n)
	}
	checkWhole(t, l)
}

// TestFewAreFound: of twenty records among more and more, found by an index, no more
// are read than twenty.
func TestFewAreFound(t *testing.T) {
	for _, size := range []int{100, 400, 1600} {
		std, looked := parish(t, "1.0.0"), 0
		l := open(t, "", ring(t), ledger.MatchInSteps(1, func() { looked++ }))
		adopt(t, l, std)
		openFeed(t, l, sharing(t, "first", 1, `record.ward == "other"`, "/ward")) // builds the index
		var all []map[string]any
		for i := range size {
			all = append(all, item(fmt.Sprint(i), fmt.Sprint("W", i%(size/20)), "N"))
		}
		writeItems(t, l, std, all...)
		looked = 0
		f := openFeed(t, l, sharing(t, "few", 1, `record.ward == "W1"`, "/ward"))
		if p, err := l.Page(f, 0); err != nil || len(p.Items) != 20 || looked != 20 {
			t.Errorf("among %d records %d were looked at: %v", size, looked, err)
		}
	}
}
