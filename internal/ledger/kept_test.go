package ledger_test

import (
	"errors"
	"path/filepath"
	"slices"
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
// What a successor takes back, or erases, goes from the disk before it has a receipt, also
// where its record never came; and by nobody else's word.
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
	canaries := []string{newCanary(), newCanary(), newCanary(), newCanary(), newCanary()}
	for i, x := range []string{"ref-0", "ref-1", "ref-2", "ref-3", "ref-4"} {
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
		if err == nil && (said.Records != 5 || said.Until != "2027-05-01" || said.From != a.From || len(said.Under) != 1 || said.Under[0].Agreement != b.Name) {
			t.Errorf("the log says %+v", said)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	late := put(t, old, std, item("ref-5", "X", "late")).Record
	if err := send(old, asItIs); !errors.Is(err, ledger.ErrStale) {
		t.Errorf("something more came of a council that has ended: %v", err)
	}
	orderedToo(t, old, to, feeds[old], append(slices.Clone(ids[3:]), late))
	if found := onDisk(t, dir, canaries...); source(old).Records != 3 || len(found[canaries[3]])+len(found[canaries[4]]) > 0 || len(found[canaries[0]]) == 0 {
		t.Errorf("after orders of the council that ends %d are kept, and on the disk is %v", source(old).Records, found)
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

	// The third is erased by the successor before it ever came from there.
	erased := put(t, next, std, item("ref-2", "X", "f")).Record
	if err := next.Write(t.Context(), next.OfferDelete(erased)); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Erase(t.Context(), erased, "request", false); err != nil {
		t.Fatal(err)
	}
	was[erased] = ids[2]
	back := func(d *ledger.Delivery) {
		lie(d)
		for i := range d.Withdrawn {
			d.Withdrawn[i].Former = was[d.Withdrawn[i].Record]
		}
	}
	if n := source(old).Records; n != 2 {
		t.Fatalf("%d are kept", n)
	}
	if err := send(next, back); err != nil {
		t.Fatal(err)
	}
	if found := onDisk(t, dir, canaries...); source(old).Records != 1 || len(found[canaries[2]]) > 0 || len(found[canaries[0]]) == 0 {
		t.Errorf("after an order of the successor %d are kept, and on the disk is %v", source(old).Records, found)
	}
	err = to.View(func(v *ledger.View) error {
		var last *event.Receipt
		v.EventsBack(event.KindReceipt, func(i uint64) bool {
			r, _, err := ledger.ReadEvent(v, i, event.KindReceipt, event.ParseReceipt)
			if err != nil {
				t.Error(err)
			} else if r.From == a.From {
				last = r
			}
			return err == nil && last == nil
		})
		if last == nil || len(last.Deleted) != 1 || last.Reason != "taken back by east.gov.uk under east.gov.uk/items" {
			t.Errorf("the receipt: %+v", last)
		}
		_, err := v.Became(ids[2])
		return err
	})
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("what was taken back has become something: %v", err)
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

// orderedToo: until its ledger is sealed a council orders those who keep what it let go of to
// erase it: the order is outstanding until they have receipted it. What they refuse is answered,
// and named, until it is ordered again or settled.
func orderedToo(t *testing.T, old, to *ledger.Ledger, f *ledger.Feed, ids []name.Record) {
	t.Helper()
	if _, err := old.OpenNotices(t.Context(), saltby); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(old.CloseFeed(t.Context(), f.Agreement, f.Digest), old.KeptThere(t.Context(), f, saltby, event.Kept{Records: 5})); err != nil {
		t.Fatal(err)
	}
	erase := func(r name.Record, orders int) {
		t.Helper()
		did, err := old.Erase(t.Context(), r, "request", false)
		if err != nil {
			t.Fatal(err)
		}
		if len(did.Orders) != orders || orders > 0 && !slices.Equal(did.Orders[0].To, []name.Council{saltby}) {
			t.Errorf("ordered %+v, want %d", did.Orders, orders)
		}
	}
	outstanding, refused := 0, []ledger.RefusedOrder{}
	look := func() {
		t.Helper()
		outstanding, refused = 0, nil
		err := old.View(func(v *ledger.View) error {
			p, err := v.Partner(f, saltby)
			if err != nil {
				return err
			}
			err = v.Outstanding(f, p, func(uint64, name.Record) bool { outstanding++; return true })
			return errors.Join(err, v.RefusedOrders(f, saltby, func(o ledger.RefusedOrder) bool { refused = append(refused, o); return true }))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// deliver has the notices read, those that no says are refused, and takes in the receipt.
	deliver := func(no bool) *event.Receipt {
		t.Helper()
		src, err := to.OpenSource(t.Context(), old.Council(), "")
		if err != nil {
			t.Fatal(err)
		}
		notices, err := old.Notices(saltby)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range readFeed(t, old, notices, src.Cursor) {
			d := &ledger.Delivery{Checkpoint: p.Checkpoint, Cursor: p.Cursor, Live: p.Live}
			for _, it := range p.Items {
				under, may, live, err := to.MayOrder(old.Council(), it.Token)
				if err != nil || !may || live || under != f.Agreement {
					t.Errorf("it may not order that: %t %t %s %v", may, live, under, err)
				}
				if no {
					d.Refused = append(d.Refused, ledger.Refusal{From: old.Council(), Agreement: under, Index: it.Index, Rule: "not so"})
				} else {
					d.Events = append(d.Events, it)
				}
			}
			if err := meet(t.Context(), old, to, p); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Receive(t.Context(), src, d); err != nil {
				t.Fatal(err)
			}
		}
		var r *event.Receipt
		var jws []byte
		err = to.View(func(v *ledger.View) (err error) {
			v.EventsBack(event.KindReceipt, func(i uint64) bool {
				r, jws, err = ledger.ReadEvent(v, i, event.KindReceipt, event.ParseReceipt)
				return false
			})
			return err
		})
		if err == nil {
			err = old.OrdersReceipted(t.Context(), f, saltby, r, jws)
		}
		if err != nil {
			t.Fatal(err)
		}
		look()
		return r
	}

	for _, r := range ids {
		remove(t, old, r)
	}
	erase(ids[0], 1)
	erase(ids[0], 0)
	if look(); outstanding != 1 {
		t.Errorf("%d orders are outstanding, want 1", outstanding)
	}
	if r := deliver(false); len(r.Deleted) != 1 || len(r.Refused) != 0 || outstanding != 0 {
		t.Errorf("receipted %+v, %d outstanding", r, outstanding)
	}

	erase(ids[1], 1)
	if r := deliver(true); len(r.Deleted) != 0 || len(r.Refused) != 1 || outstanding != 0 || len(refused) != 1 || refused[0].Record != ids[1] || refused[0].Rule != "not so" {
		t.Errorf("refused by %+v: %+v, %d outstanding", r, refused, outstanding)
	}
	erase(ids[1], 1) // once more
	if look(); outstanding != 1 || len(refused) != 0 {
		t.Errorf("ordered again %d are outstanding, refused %+v", outstanding, refused)
	}
	if r := deliver(false); len(r.Deleted) != 1 || outstanding != 0 || len(refused) != 0 {
		t.Errorf("receipted %+v, %d outstanding, refused %+v", r, outstanding, refused)
	}

	erase(ids[2], 1) // which it never had
	if deliver(true); len(refused) != 1 {
		t.Errorf("refused: %+v", refused)
	}
	if _, err := old.SettleRefused(t.Context(), event.GivenUp{Agreement: f.Agreement, Council: saltby, Outstanding: 1, Reason: "looked into"}); err != nil {
		t.Fatal(err)
	}
	if look(); outstanding != 0 || len(refused) != 0 {
		t.Errorf("once it is settled %d are outstanding, refused %+v", outstanding, refused)
	}
	erase(ids[2], 0)
}

// TestKeptTwice: where a successor ends in its turn, and its record goes on as that of another,
// both ids that a record had lead to what it is now, also once nothing of the councils between
// is left here.
func TestKeptTwice(t *testing.T) {
	councils := []name.Council{"northmoor.gov.uk", "east.gov.uk", "shire.gov.uk"}
	ours, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	to := open(t, "", ours, func(o *ledger.Options) { o.Council = saltby })
	std := parish(t, "1.0.0")
	adopt(t, to, std)
	a := sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name")
	var ids []name.Record
	var last *ledger.Source
	for i, c := range councils {
		k, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		l := open(t, "", k, func(o *ledger.Options) { o.Council = c })
		adopt(t, l, std)
		doc, err := agreement.Parse([]byte(strings.ReplaceAll(string(a.YAML()), string(a.From), string(c))))
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			keep := ledger.Keeping{Until: time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC), Under: []ledger.KeptForPart{{Council: c, Agreement: doc.Name, Version: 1}}}
			if err := to.Keep(t.Context(), last, 1, keep); err != nil {
				t.Fatal(err)
			}
		}
		f := openFeed(t, l, doc)
		ids = append(ids, put(t, l, std, item("ref-0", "X", "a")).Record)
		source, err := to.OpenSource(t.Context(), c, doc.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range readFeed(t, l, f, 0) {
			d, err := delivery(p)
			if err != nil {
				t.Fatal(err)
			}
			for j := range d.Puts {
				if i > 0 {
					d.Puts[j].Former = ids[i-1]
				}
			}
			if err := meet(t.Context(), l, to, p); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Receive(t.Context(), source, d); err != nil {
				t.Fatal(err)
			}
		}
		if last != nil {
			if last, err = to.OpenSource(t.Context(), councils[i-1], last.Agreement); err == nil {
				err = to.End(t.Context(), last, "all has come")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if last, err = to.OpenSource(t.Context(), c, doc.Name); err != nil {
			t.Fatal(err)
		}
	}
	err = to.View(func(v *ledger.View) error {
		for i, id := range ids[:2] {
			b, err := v.Became(id)
			if err != nil || b.Source.From != councils[2] || b.Record != ids[2] || b.Was.Council != councils[i] || b.Was.Record != id {
				t.Errorf("%s of %s became %+v %v", id, councils[i], b, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
