package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
)

// disclosures returns the entries that each disclosure in the log names.
func disclosures(t testing.TB, l *ledger.Ledger) (out [][]uint64) {
	t.Helper()
	err := l.View(func(v *ledger.View) error {
		var err error
		v.Events(event.KindDisclosure, 0, func(i uint64) bool {
			var ev, _, e = v.Event(i)
			if err = e; err != nil {
				return false
			}
			d, e := event.ParseDisclosure(ev.Body)
			if err = e; err != nil || d.To != saltby || slices.Max(d.Entries) >= i {
				t.Errorf("entry %d: %+v, %v", i, d, err)
			}
			out = append(out, d.Entries)
			return true
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDisclosureAhead: what a batch writes into a feed that is followed is logged as
// disclosed in that same transaction, and what was not is logged before it leaves.
func TestDisclosureAhead(t *testing.T) {
	l, std := open(t, "", ring(t)), parish(t, "1.0.0")
	adopt(t, l, std)
	a := sharing(t, "items", 1, `record.ward == "X"`, "/ward")
	f := openFeed(t, l, a)
	cost := func(do func()) uint64 {
		t.Helper()
		before := l.Transactions()
		do()
		return l.Transactions() - before
	}
	var cursor uint64
	var w *ledger.Follower
	send := func() (items int) {
		t.Helper()
		p, err := l.Page(f, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Disclose(t.Context(), f, saltby, p.Items, w); err != nil {
			t.Fatal(err)
		}
		cursor = p.Cursor
		return len(p.Items)
	}

	writeItems(t, l, std, item("a", "X", "n"))
	if n := cost(func() { send() }); n != 1 || len(disclosures(t, l)) != 1 {
		t.Errorf("what nobody follows took %d transactions to disclose, want 1", n)
	}
	w = l.Follow(f, saltby)
	if n := cost(func() {
		writeItems(t, l, std, item("b", "X", "n"), item("c", "Y", "n"), item("d", "X", "n"))
		if got := disclosures(t, l); len(got) != 2 || len(got[1]) != 2 {
			t.Errorf("logged ahead: %v", got)
		}
		if n := send(); n != 2 {
			t.Errorf("%d items, want 2", n)
		}
	}); n != 1 {
		t.Errorf("three records, two of them disclosed, took %d transactions, want 1", n)
	}
	// It is not in the feed: nothing is disclosed.
	if writeItems(t, l, std, item("e", "Y", "n")); len(disclosures(t, l)) != 2 {
		t.Error("what does not match is disclosed")
	}
	// A withdrawal is, and a record that took another place before it was sent is once for each.
	writeItems(t, l, std, item("b", "Y", "n"), item("d", "X", "again"))
	writeItems(t, l, std, item("d", "X", "and again"))
	if n := cost(func() {
		if n := send(); n != 2 {
			t.Errorf("%d items, want 2", n)
		}
	}); n != 0 {
		t.Errorf("what was logged ahead took %d transactions more", n)
	}
	if got := disclosures(t, l); len(got) != 4 || len(got[2]) != 2 || len(got[3]) != 1 {
		t.Errorf("disclosures %v", got)
	}
	// It has stopped: nothing is logged ahead, and what leaves is logged all the same.
	w.Stop()
	writeItems(t, l, std, item("f", "X", "n"))
	if got := disclosures(t, l); len(got) != 4 {
		t.Errorf("logged ahead for nobody: %v", got)
	}
	send()
	if got := disclosures(t, l); len(got) != 5 {
		t.Errorf("disclosures %v", got)
	}
	err := l.View(func(v *ledger.View) error {
		p, err := v.Partner(f, saltby)
		if p.Disclosed != disclosures(t, l)[4][0]+1 {
			t.Errorf("disclosed up to %d", p.Disclosed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// Logged ahead is not leave to go: the agreement ends, or all exchange stops.
	w = l.Follow(f, saltby)
	writeItems(t, l, std, item("g", "X", "n"))
	p, err := l.Page(f, cursor)
	if err != nil || len(p.Items) != 1 {
		t.Fatal(len(p.Items), err)
	}
	if err := l.CloseFeed(t.Context(), a.Name, a.Digest()); err != nil {
		t.Fatal(err)
	}
	if err := l.Disclose(t.Context(), f, saltby, p.Items, w); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("after the end of the agreement: %v", err)
	}
	other := openFeed(t, l, sharing(t, "others", 1, "true", "/ward"))
	w = l.Follow(other, saltby)
	if err := l.Quarantine(t.Context(), saltby, ledger.Quarantine{Fault: event.FaultFork, Reason: "two histories"}); err != nil {
		t.Fatal(err)
	}
	n := len(disclosures(t, l))
	writeItems(t, l, std, item("h", "X", "n"))
	if len(disclosures(t, l)) != n {
		t.Error("a disclosure to a council in quarantine is logged")
	}
	if err := l.Disclose(t.Context(), other, saltby, []ledger.PageItem{{Index: 1}}, w); !errors.Is(err, ledger.ErrQuarantined) {
		t.Errorf("in quarantine: %v", err)
	}
}

// TestFollowersOfALargeBatch: whole batches are logged ahead, some of them not for a stream
// that is far behind; whatever was not is logged when it leaves, each entry once.
func TestFollowersOfALargeBatch(t *testing.T) {
	l, std := open(t, "", ring(t)), parish(t, "1.0.0")
	adopt(t, l, std)
	f := openFeed(t, l, sharing(t, "items", 1, `true`, "/ward"))
	w := l.Follow(f, saltby)
	for n := range 7 {
		var all []map[string]any
		for i := range 900 {
			all = append(all, item(fmt.Sprint(n, "-", i), "X", "n"))
		}
		writeItems(t, l, std, all...)
	}
	sent := map[uint64]int{}
	for cursor, live := uint64(0), false; !live; {
		p, err := l.Page(f, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Disclose(t.Context(), f, saltby, p.Items, w); err != nil {
			t.Fatal(err)
		}
		for _, it := range p.Items {
			sent[it.Index] = 0
		}
		cursor, live = p.Cursor, p.Live
	}
	for _, d := range disclosures(t, l) {
		for _, i := range d {
			sent[i]++
		}
	}
	for i, n := range sent {
		if n != 1 {
			t.Fatalf("entry %d was sent and is logged as disclosed %d times", i, n)
		}
	}
	if len(sent) != 6300 {
		t.Errorf("%d sent, want 6300", len(sent))
	}
}

// TestReceiveMeets: a delivery whose checkpoint extends the one known takes one
// transaction, and one that another stream overtook keeps nothing.
func TestReceiveMeets(t *testing.T) {
	from, std := open(t, "", ring(t)), parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, `true`, "/ward"))
	to := receiver(t, "")
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	met := func(p *ledger.Page) *ledger.Met {
		t.Helper()
		known := to.Known(from.Council()).Size
		proof, err := from.Consistency(known, p.Checkpoint.Size)
		if err != nil {
			t.Fatal(err)
		}
		return &ledger.Met{Log: from.Council(), Checkpoint: p.Checkpoint, Note: p.Note, ProofFrom: known, Proof: proof, Cosign: true}
	}
	next := func() (*ledger.Source, *ledger.Delivery) {
		t.Helper()
		s, err := to.Source(from.Council(), f.Agreement)
		if err != nil {
			t.Fatal(err)
		}
		p, err := from.Page(f, s.Cursor)
		if err != nil {
			t.Fatal(err)
		}
		d, err := delivery(p)
		if err != nil {
			t.Fatal(err)
		}
		d.Met = met(p)
		if !to.Extends(*d.Met) {
			t.Fatal("a checkpoint that extends the one known is not seen to")
		}
		return s, d
	}
	writeItems(t, from, std, item("a", "X", "n"))
	s, d := next()
	before := to.Transactions()
	if _, err := to.Receive(t.Context(), s, d); err != nil {
		t.Fatal(err)
	}
	if n := to.Transactions() - before; n != 1 {
		t.Errorf("a delivery took %d transactions, want 1", n)
	}
	if k := to.Known(from.Council()); k.Checkpoint() != d.Checkpoint || !k.MayCosign(d.Checkpoint) {
		t.Errorf("known: %+v", k)
	}

	writeItems(t, from, std, item("b", "X", "n"))
	s, d = next()
	writeItems(t, from, std, item("c", "X", "n"))
	p, err := from.Page(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Meet(t.Context(), *met(p), nil); err != nil { // another stream
		t.Fatal(err)
	}
	if _, err := to.Receive(t.Context(), s, d); !errors.Is(err, ledger.ErrUnplaced) {
		t.Errorf("overtaken: %v", err)
	}
	if got := holdings(t, to, from.Council(), f.Agreement); len(got) != 1 {
		t.Errorf("held: %v", got)
	}
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	if got := holdings(t, to, from.Council(), f.Agreement); len(got) != 3 {
		t.Errorf("held: %v", got)
	}
}

// TestNothingIsWrittenBack: what a partner answers while a record is written that is
// logged for it ahead stays written. The batch with the record was begun before the one
// with the answer was durable, and is finished after it.
func TestNothingIsWrittenBack(t *testing.T) {
	l, std := open(t, t.TempDir(), ring(t)), parish(t, "1.0.0")
	adopt(t, l, std)
	f := openFeed(t, l, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	defer l.Follow(f, saltby).Stop()
	for round := range uint64(20) {
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			for i := range 5 {
				writeItems(t, l, std, item(fmt.Sprint(round, i), "X", "n"))
			}
		}()
		for i := range uint64(5) {
			cursor := 10*round + i + 1
			if err := l.Acknowledge(t.Context(), f, saltby, ledger.Ack{Since: cursor - 1, Cursor: cursor}); err != nil {
				t.Fatal(err)
			}
			err := l.View(func(v *ledger.View) error {
				p, err := v.Partner(f, saltby)
				if p.Cursor != cursor {
					t.Errorf("the partner is at %d, and it has acknowledged %d", p.Cursor, cursor)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		<-wrote
		err := l.View(func(v *ledger.View) error {
			p, err := v.Partner(f, saltby)
			if p.Cursor != 10*round+5 {
				t.Errorf("the partner was set back to %d, and it has acknowledged %d", p.Cursor, 10*round+5)
			}
			return err
		})
		if err != nil || t.Failed() {
			t.Fatal(err)
		}
	}
}
