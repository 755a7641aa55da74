package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A traced record is one that is looked for: the canaries of all its versions, their
// seeds, and parts of the blocks that they were stored in.
type traced struct {
	id       name.Record
	entries  []uint64
	canaries []string
	bytes    [][]byte
}

func (x *traced) take(t *testing.T, l *ledger.Ledger, r ledger.Result) {
	t.Helper()
	x.id, x.entries = r.Record, append(x.entries, r.Index)
	seed, block, err := l.Seed(r.Index)
	if err != nil {
		t.Fatal(err)
	}
	x.bytes = append(x.bytes, seed)
	if len(block) > 2000 { // from the middle of the texts, which are compressed
		x.bytes = append(x.bytes, block[len(block)-200:len(block)-100])
	}
}

// inFiles returns what of a record is found in the files of a folder.
func (x *traced) inFiles(t *testing.T, dir string) (found []string) {
	t.Helper()
	for c, where := range onDisk(t, dir, x.canaries...) {
		found = append(found, fmt.Sprintf("canary %d in %v", slices.Index(x.canaries, c), where))
	}
	err := ledgertest.Raw(dir, func(b []byte, where string) {
		for i, want := range x.bytes {
			if bytes.Contains(b, want) {
				found = append(found, fmt.Sprintf("part %d in %s", i, where))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestErasedIsGoneFromDisk: nothing of what an erased record said in any version is in
// a file of its council or of a partner, the seeds of its salts neither; the log is
// what it was, its entries prove themselves, and the records beside it are untouched.
func TestErasedIsGoneFromDisk(t *testing.T) {
	dir, there := t.TempDir(), t.TempDir()
	keys := ring(t)
	from, to := open(t, dir, keys), receiver(t, there)
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name"))

	// Records 0 to 63 come together, and lie in blocks; two are then changed alone.
	all := make([]traced, 64)
	var offers []*ledger.Offer
	body := func(i int) map[string]any {
		all[i].canaries = append(all[i].canaries, newCanary())
		return item(fmt.Sprint("ref-", i), "X", all[i].canaries[len(all[i].canaries)-1])
	}
	for i := range all {
		o, err := from.Offer(std, body(i))
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o)
	}
	if err := from.Write(t.Context(), offers...); err != nil {
		t.Fatal(err)
	}
	for i, o := range offers {
		r, err := o.Result()
		if err != nil {
			t.Fatal(err)
		}
		all[i].take(t, from, r)
	}
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{20, 21} {
		all[i].take(t, from, put(t, from, std, body(i)))
	}
	// One that is so long that it lies in parts.
	long := body(22)
	long["name"] = long["name"].(string) + strings.Repeat("-", 900<<10)
	all[22].take(t, from, put(t, from, std, long))
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	if found := onDisk(t, there, all[20].canaries...); len(found) != 2 {
		t.Fatalf("%d of 2 canaries are found at the partner, so the test proves nothing", len(found))
	}
	for _, i := range []int{20, 22} {
		if found := all[i].inFiles(t, dir); len(found) < len(all[i].entries) {
			t.Fatalf("of record %d only %v is found, so the test proves nothing", i, found)
		}
	}

	size := from.Size()
	hashes := logged(t, from)
	if _, err := from.Erase(t.Context(), all[20].id, "asked for", false); !errors.Is(err, ledger.ErrLive) {
		t.Errorf("erasing a record that is there: %v", err)
	}
	gone := []int{20, 21, 22, 23, 40}
	for _, i := range gone {
		remove(t, from, all[i].id)
	}
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	before := from.Size()
	would, err := from.Erase(t.Context(), all[20].id, "", true)
	if err != nil || len(would.Versions) != 2 || len(would.Orders) != 1 || from.Size() != before {
		t.Fatalf("what it would do: %+v, %v", would, err)
	}
	for _, i := range gone {
		did, err := from.Erase(t.Context(), all[i].id, "asked for", false)
		if err != nil {
			t.Fatal(err)
		}
		if len(did.Versions) != len(all[i].entries) || len(did.Orders) != 1 || did.Orders[0].Index == 0 || len(did.Events) != 1 {
			t.Errorf("record %d: %+v", i, did)
		}
		if found := all[i].inFiles(t, dir); len(found) > 0 {
			t.Errorf("record %d is erased, and %v", i, found)
		}
	}
	// Once more, it does nothing.
	before = from.Size()
	if did, err := from.Erase(t.Context(), all[20].id, "asked for", false); err != nil || len(did.Versions)+len(did.Orders)+len(did.Events) > 0 || from.Size() != before {
		t.Errorf("erased again: %+v, %v", did, err)
	}

	check := func(l *ledger.Ledger) {
		t.Helper()
		now := logged(t, l)
		if !slices.Equal(now[:size], hashes) {
			t.Error("the log is another")
		}
		err := l.View(func(v *ledger.View) error {
			for i, x := range all {
				erased := slices.Contains(gone, i)
				for n, at := range x.entries {
					ver, err := v.Version(at)
					switch {
					case erased && !errors.Is(err, ledger.ErrErased):
						t.Errorf("version %d of record %d is erased: %v", n+1, i, err)
					case !erased && err != nil:
						t.Errorf("version %d of record %d: %v", n+1, i, err)
					case !erased && !strings.HasPrefix(ver.Body["name"].(string), x.canaries[n]):
						t.Errorf("version %d of record %d is another's", n+1, i)
					}
				}
				var vs []ledger.Logged
				if err := v.Versions(x.id, func(g ledger.Logged) bool { vs = append(vs, g); return true }); err != nil {
					return err
				}
				want := len(x.entries)
				if erased {
					want++ // its deletion
				}
				if len(vs) != want || vs[len(vs)-1].Index != x.entries[0] || vs[len(vs)-1].Erased != erased || vs[0].Deleted != erased {
					t.Errorf("versions of record %d: %+v", i, vs)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	check(from)
	var said []event.Erasure
	err = from.View(func(v *ledger.View) (err error) {
		v.Events(event.KindErasure, 0, func(i uint64) bool {
			var e event.Erasure
			e, _, err = ledger.ReadEvent(v, i, event.KindErasure, event.ParseErasure)
			said = append(said, e)
			return err == nil
		})
		return err
	})
	if err != nil || len(said) != len(gone) || said[0].Record != all[20].id || !slices.Equal(said[0].Entries, all[20].entries) {
		t.Errorf("the log says %+v, %v", said, err)
	}

	// The order goes the way of a withdrawal, and is outstanding until it is receipted.
	outstanding := func() (n int) {
		err := from.View(func(v *ledger.View) error {
			p, err := v.Partner(f, saltby)
			if err != nil {
				return err
			}
			return v.Outstanding(f, p, func(index uint64, _ name.Record) bool {
				if ev, _, err := v.Event(index); err != nil || ev.Kind != event.KindErasureOrder {
					t.Errorf("outstanding: %v, %v", ev, err)
				}
				n++
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := outstanding(); n != len(gone) {
		t.Errorf("%d orders are outstanding, want %d", n, len(gone))
	}
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	for _, i := range gone {
		if found := onDisk(t, there, all[i].canaries...); len(found) > 0 {
			t.Errorf("record %d is erased, and %v at the partner", i, found)
		}
	}
	if got := holdings(t, to, council, "northmoor.gov.uk/items"); len(got) != len(all)-len(gone) {
		t.Errorf("the partner holds %d records, want %d", len(got), len(all)-len(gone))
	}

	// It can be opened again, and it can come back.
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	from = open(t, dir, keys)
	check(from)
	r := put(t, from, std, item("ref-20", "X", "again"))
	if r.Version != 4 || r.Outcome != ledger.Created {
		t.Errorf("it came back as %+v", r)
	}
	ver, err := current(t, from, r.Record)
	if err != nil {
		t.Fatal(err)
	}
	err = from.View(func(v *ledger.View) error {
		deletion, err := v.Before(ver)
		if err != nil {
			return err
		}
		if deletion.Claims.Op != record.Delete {
			t.Errorf("before it stands %+v", deletion.Claims)
		}
		if _, err := v.Before(deletion); !errors.Is(err, ledger.ErrErased) {
			t.Errorf("before the deletion: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestErasureIsFinishedAtStart: what a crash kept from leaving the files leaves them when
// the ledger is opened.
func TestErasureIsFinishedAtStart(t *testing.T) {
	dir := t.TempDir()
	keys := ring(t)
	l := open(t, dir, keys)
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	x := traced{canaries: []string{newCanary()}}
	x.take(t, l, put(t, l, std, item("ref", "X", x.canaries[0])))
	remove(t, l, x.id)
	if err := l.EraseUpTo(t.Context(), x.id); err != nil {
		t.Fatal(err)
	}
	if found := x.inFiles(t, dir); len(found) == 0 {
		t.Fatal("it has left the files already, so the test proves nothing")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, keys)
	if found := x.inFiles(t, dir); len(found) > 0 {
		t.Errorf("after the start %v", found)
	}
}

// logged returns what stands in the log for each entry, checked against its leaf.
func logged(t *testing.T, l *ledger.Ledger) (out []tlog.Hash) {
	t.Helper()
	err := l.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		for i := range cp.Size {
			entry, _, err := v.Entry(i)
			if err != nil {
				return err
			}
			out = append(out, entry)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCorrectedIsGoneFromDisk: what a record said before a correction is in no file of the
// receiver after Purge, however often it was corrected, and what it says now is held.
func TestCorrectedIsGoneFromDisk(t *testing.T) {
	dir := t.TempDir()
	from := open(t, "", ring(t))
	to := receiver(t, dir)
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name"))
	for versions := 2; versions <= 4; versions++ {
		ref := fmt.Sprint("ref-", versions)
		var said []string
		for range versions {
			said = append(said, newCanary())
			put(t, from, std, item(ref, "X", said[len(said)-1]))
			if err := copyFeed(t.Context(), from, to, f); err != nil {
				t.Fatal(err)
			}
		}
		if found := onDisk(t, dir, said...); len(found) != versions {
			t.Fatalf("%d of %d canaries are found before, so the test proves nothing", len(found), versions)
		}
		if err := to.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := onDisk(t, dir, said...)
		if len(found) != 1 || found[said[versions-1]] == nil {
			t.Errorf("of %d versions found: %v", versions, found)
		}
		if got := holdings(t, to, council, "northmoor.gov.uk/items")[ref]; !strings.Contains(got, said[versions-1]) {
			t.Errorf("after %d versions it is held as %.60s", versions, got)
		}
	}
}

// TestErasedWhileATextTakesAnothersPlace: an agreement has two open feeds until its new text has
// taken the place of the old; a record that stood in both is erased, and ordered in both.
func TestErasedWhileATextTakesAnothersPlace(t *testing.T) {
	l := open(t, "", ring(t))
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	first := openFeed(t, l, sharing(t, "items", 1, "true", "/ward", "/name"))
	second := openFeed(t, l, sharing(t, "items", 2, "true", "/ward"))
	r := put(t, l, std, item("ref-1", "X", newCanary()))
	remove(t, l, r.Record)
	did, err := l.Erase(t.Context(), r.Record, "asked for", false)
	if err != nil || len(did.Orders) != 2 || did.Orders[0].Index == did.Orders[1].Index {
		t.Fatalf("%+v, %v", did, err)
	}
	for i, f := range []*ledger.Feed{first, second} {
		err := l.View(func(v *ledger.View) error {
			at, withdrawn, err := v.InFeed(f, r.Record)
			if err != nil || !withdrawn || at != did.Orders[i].Index {
				t.Errorf("in the feed of version %d at %d, withdrawn %v, want at %d: %v", f.Version, at, withdrawn, did.Orders[i].Index, err)
			}
			ev, _, err := v.Event(at)
			if err != nil {
				return err
			}
			if o, err := event.ParseErasureOrder(ev.Body); err != nil || o.Version != uint64(f.Version) {
				t.Errorf("the order is %+v, %v", o, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
