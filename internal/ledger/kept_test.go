package ledger_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// TestKept: what is held of a council that has ended is kept as it is. Only the record of a
// successor that may be the same takes the place of one, and leaves nothing of it on the
// disk; one that a lying successor says was another's, or was never held, takes none. Who
// says nothing of what it took over has sent all when its copy is whole and holds something.
func TestKept(t *testing.T) {
	const east = name.Council("east.gov.uk")
	ours, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := keys.Generate(east)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "ledger")
	old, next := open(t, "", ring(t)), open(t, "", theirs, func(o *ledger.Options) { o.Council = east })
	to := open(t, dir, ours, func(o *ledger.Options) { o.Council = saltby })
	std := parish(t, "1.0.0")
	adopt(t, old, std)
	adopt(t, next, std)
	adopt(t, to, std)
	a := sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name")
	b, err := agreement.Parse([]byte(strings.ReplaceAll(string(a.YAML()), string(a.From), string(east))))
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[*ledger.Ledger]*ledger.Feed{old: openFeed(t, old, a), next: openFeed(t, next, b)}
	source := func(l *ledger.Ledger) *ledger.Source {
		t.Helper()
		s, err := to.OpenSource(t.Context(), l.Council(), feeds[l].Agreement)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// send brings what is new, as change leaves it.
	send := func(l *ledger.Ledger, change func(*ledger.Delivery)) error {
		t.Helper()
		var errs []error
		for _, p := range readFeed(t, l, feeds[l], source(l).Cursor) {
			d, err := delivery(p)
			if err != nil {
				t.Fatal(err)
			}
			change(d)
			if err := meet(t.Context(), l, to, p); err != nil {
				t.Fatal(err)
			}
			_, err = to.Receive(t.Context(), source(l), d)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	asItIs := func(*ledger.Delivery) {}
	var ids []name.Record
	canaries := []string{newCanary(), newCanary(), newCanary()}
	for i, x := range []string{"ref-0", "ref-1", "ref-2"} {
		ids = append(ids, put(t, old, std, item(x, "X", canaries[i])).Record)
	}
	if err := send(old, asItIs); err != nil {
		t.Fatal(err)
	}
	until := time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC)
	k := ledger.Keeping{Until: until, Under: []ledger.KeptForPart{{Council: east, Agreement: b.Name, Version: 1}}}
	if err := to.Keep(t.Context(), source(old), 1, k); err != nil {
		t.Fatal(err)
	}
	kept := source(old).Kept
	if kept == nil || kept.Done() || kept.String() != "kept until it comes from east.gov.uk, at the latest until 2027-05-01" {
		t.Fatalf("kept: %v", kept)
	}
	err = to.View(func(v *ledger.View) error {
		said, _, err := ledger.ReadEvent(v, kept.Event, event.KindHoldingsKept, event.ParseKept)
		if err == nil && (said.Records != 3 || said.Until != "2027-05-01" || said.From != a.From || len(said.Under) != 1 || said.Under[0].Agreement != b.Name) {
			t.Errorf("the log says %+v", said)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, old, std, item("ref-3", "X", "late"))
	if err := send(old, asItIs); !errors.Is(err, ledger.ErrStale) {
		t.Errorf("something more came of a council that has ended: %v", err)
	}

	was := map[name.Record]name.Record{} // what the successor says, by its own ids
	lie := func(d *ledger.Delivery) {
		for i := range d.Puts {
			d.Puts[i].Former = was[d.Puts[i].Record]
		}
		d.Live = false
	}
	for x, of := range map[string]name.Record{"ref-0": ids[1], "ref-7": ids[2], "ref-8": "aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		was[put(t, next, std, item(x, "X", "b")).Record] = of
	}
	if err := send(next, lie); err != nil {
		t.Fatal(err)
	}
	if n := len(holdings(t, to, a.From, a.Name)); n != 3 {
		t.Errorf("a successor that lies has left %d of 3", n)
	}

	now := put(t, next, std, item("ref-1", "X", "c")).Record
	was[now] = ids[1]
	if err := send(next, lie); err != nil {
		t.Fatal(err)
	}
	if n := len(holdings(t, to, a.From, a.Name)); n != 2 || source(old).Records != 2 {
		t.Errorf("%d are kept, want 2", n)
	}
	err = to.View(func(v *ledger.View) error {
		b, err := v.Became(ids[1])
		if err == nil && (b.Record != now || b.Source.From != east || b.Was.Council != a.From || b.Was.Version != 1) {
			t.Errorf("it became %+v", b)
		}
		if err == nil {
			r, _, rerr := ledger.ReadEvent(v, b.Was.Event, event.KindReceipt, event.ParseReceipt)
			if err = rerr; err == nil && (len(r.Deleted) != 1 || r.Deleted[0] != b.Was.Entry || r.Reason != "goes on as a record of east.gov.uk under east.gov.uk/items") {
				t.Errorf("the receipt: %+v", r)
			}
		}
		if _, none := v.Became(ids[0]); !errors.Is(none, ledger.ErrNotFound) {
			t.Errorf("one that is kept became something: %v", none)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := onDisk(t, dir, canaries...); len(found[canaries[1]]) > 0 || len(found[canaries[0]]) == 0 {
		t.Errorf("on the disk: %v", found)
	}

	whole := func(of ...name.Council) func(*ledger.Delivery) {
		return func(d *ledger.Delivery) { d.TookOver = of }
	}
	put(t, next, std, item("ref-9", "X", "d"))
	if err := send(next, whole(saltby)); err != nil || source(old).Kept.Done() {
		t.Errorf("all has come of another council: %v %v", err, source(old).Kept)
	}
	put(t, next, std, item("ref-9", "X", "e"))
	if err := send(next, func(d *ledger.Delivery) { d.AnyOver = true }); err != nil || !source(old).Kept.Done() {
		t.Errorf("who does not know of it has sent all: %v %v", err, source(old).Kept)
	}
	if err := to.End(t.Context(), source(old), "all has come"); err != nil {
		t.Fatal(err)
	}
	if s := source(old); s.Kept != nil || !s.Ended || len(holdings(t, to, a.From, a.Name)) != 0 {
		t.Errorf("after the end: %+v", s)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if found := onDisk(t, dir, canaries...); len(found) > 0 {
		t.Errorf("still on the disk: %v", found)
	}
}
