package ledger_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// newCanary returns a text to put into a field and to look for in the
// receiver's files: random, so that no compression hides it.
func newCanary() string { return rand.Text() + rand.Text() }

// onDisk returns which of the canaries stand in the files in dir, and where.
func onDisk(t testing.TB, dir string, canaries ...string) map[string][]string {
	t.Helper()
	// In a disclosure, which is base64, the value may begin at any of three
	// places within a group of three bytes.
	of := map[string]string{}
	for _, c := range canaries {
		for shift := range 3 {
			enc := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + c))
			of[enc[4:len(enc)-4]] = c
		}
		of[c] = c
	}
	out := map[string][]string{}
	err := ledgertest.Raw(dir, func(b []byte, where string) {
		for text, c := range of {
			if bytes.Contains(b, []byte(text)) && !slices.Contains(out[c], where) {
				out[c] = append(out[c], where)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWithdrawnIsGoneFromDisk: a withdrawn record is in no file of the
// receiver, not in a table, the write-ahead log or the value log.
func TestWithdrawnIsGoneFromDisk(t *testing.T) {
	dir := t.TempDir()
	from := open(t, "", ring(t))
	to := receiver(t, dir)
	adopt(t, from, parish(t, "1.0.0"))
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name"))

	const n = 8
	secrets := make([]string, n)
	var ids [n]name.Record
	write := func(i int, ward string) {
		nm := secrets[i]
		if i == n-1 {
			// Longer than what Badger keeps in its tables.
			nm += strings.Repeat("-", 900<<10)
		}
		ids[i] = put(t, from, parish(t, "1.0.0"), item(fmt.Sprint("ref-", i), ward, nm)).Record
	}
	for i := range n {
		secrets[i] = newCanary()
		write(i, "X")
	}
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	if found := onDisk(t, dir, secrets...); len(found) != n {
		t.Fatalf("only %d of %d canaries are found while they are held, so the test proves nothing", len(found), n)
	}
	// Some are in tables by now, some in the write-ahead log, and one was
	// changed: the version before goes too.
	write(2, "X")
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	gone := []int{0, 2, n - 1}
	for _, i := range gone {
		if i == 2 {
			remove(t, from, ids[i])
		} else {
			write(i, "Y")
		}
		if err := copyFeed(t.Context(), from, to, f); err != nil {
			t.Fatal(err)
		}
		if found := onDisk(t, dir, secrets[i]); len(found) > 0 {
			t.Errorf("record %d was withdrawn and stands in %v", i, found)
		}
	}
	if got := holdings(t, to, council, "northmoor.gov.uk/items"); len(got) != n-len(gone) {
		t.Errorf("%d records are held, want %d", len(got), n-len(gone))
	}
	write(0, "X") // and back again
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	if got := holdings(t, to, council, "northmoor.gov.uk/items"); !strings.HasPrefix(got["ref-0"], "3 ") {
		t.Errorf("after it came back: %.40s", got["ref-0"])
	}

	// The end takes all of it.
	s, err := to.Source(council, "northmoor.gov.uk/items")
	if err != nil {
		t.Fatal(err)
	}
	if err := to.End(t.Context(), s, "the pilot is over"); err != nil {
		t.Fatal(err)
	}
	if found := onDisk(t, dir, secrets...); len(found) > 0 {
		t.Errorf("the agreement is over and records stand in %v", found)
	}
	if got := holdings(t, to, council, "northmoor.gov.uk/items"); len(got) != 0 {
		t.Errorf("held after the end: %v", got)
	}
	// What was on its way when it ended is not kept behind it.
	s, err = to.Source(council, "northmoor.gov.uk/items")
	if err != nil {
		t.Fatal(err)
	}
	write(3, "X")
	p, err := from.Page(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := delivery(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := meet(t.Context(), from, to, p); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Receive(t.Context(), s, d); err == nil || len(onDisk(t, dir, secrets[3])) > 0 {
		t.Errorf("kept after the end: %v", err)
	}
}

// TestReceiveIsOrdered: a delivery is kept once, and only where it belongs.
func TestReceiveIsOrdered(t *testing.T) {
	from, to := open(t, "", ring(t)), receiver(t, "")
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, "true", "/ward", "/name"))
	for i := range 5 {
		put(t, from, std, item(fmt.Sprint(i), "X", "n"))
	}
	s, err := to.OpenSource(t.Context(), council, f.Agreement)
	if err != nil {
		t.Fatal(err)
	}
	p, err := from.Page(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := delivery(p)
	if err != nil {
		t.Fatal(err)
	}
	if jws, err := to.Receive(t.Context(), s, d); !errors.Is(err, ledger.ErrUnplaced) {
		t.Errorf("a delivery whose checkpoint was not met: %d bytes of receipt, %v", len(jws), err)
	}
	if err := meet(t.Context(), from, to, p); err != nil {
		t.Fatal(err)
	}
	jws, err := to.Receive(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		t.Fatal(err)
	}
	r, err := event.ParseReceipt(ev.Body)
	if err != nil || len(r.Held) != 5 || r.From != council || r.Cursor != p.Cursor || r.Size != p.Checkpoint.Size || r.Root != p.Checkpoint.Root {
		t.Errorf("receipt %+v, %v", r, err)
	}
	before := holdings(t, to, council, f.Agreement)
	if _, err := to.Receive(t.Context(), s, d); err == nil {
		t.Error("the same delivery was kept twice")
	}
	// One that was checked before the copy was restarted.
	s, err = to.Source(council, f.Agreement)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Restart(t.Context(), s, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Receive(t.Context(), s, d); err == nil {
		t.Error("a delivery under the text before was kept")
	}
	if s, err = to.Source(council, f.Agreement); err != nil {
		t.Fatal(err)
	}
	if got := holdings(t, to, council, f.Agreement); !maps.Equal(got, before) {
		t.Errorf("held %v, want %v", got, before)
	}
	if _, err := to.Receive(t.Context(), s, d); err != nil { // from the start again
		t.Fatal(err)
	}
	if got := holdings(t, to, council, f.Agreement); !maps.Equal(got, before) {
		t.Errorf("held %v, want %v", got, before)
	}
}

// TestSweep: what was held under a text that had ended, and is not given again
// under the one that is in force, is erased once that is read to its end.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	from := open(t, "", ring(t))
	to := receiver(t, dir)
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	first := sharing(t, "items", 1, `record.ward != "Z"`, "/ward", "/name")
	f := openFeed(t, from, first)
	gone, stays := newCanary(), newCanary()
	put(t, from, std, item("gone", "Y", gone))
	put(t, from, std, item("stays", "X", stays))
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	if err := from.CloseFeed(t.Context(), first.Name, first.Digest()); err != nil {
		t.Fatal(err)
	}
	f = openFeed(t, from, sharing(t, "items", 2, `record.ward == "X"`, "/ward", "/name"))
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	if got := holdings(t, to, council, f.Agreement); len(got) != 1 || got["stays"] == "" {
		t.Errorf("held: %v", got)
	}
	if found := onDisk(t, dir, gone, stays); len(found[gone]) > 0 || len(found[stays]) == 0 {
		t.Errorf("on disk: %v", found)
	}
	said := 0
	err := to.View(func(v *ledger.View) error {
		v.Events(event.KindReceipt, 0, func(i uint64) bool {
			ev, _, err := v.Event(i)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := event.ParseReceipt(ev.Body); err != nil || len(r.Deleted) == 1 {
				said++
			}
			return true
		})
		return nil
	})
	if err != nil || said != 1 {
		t.Errorf("the deletion is logged %d times, %v", said, err)
	}
	if s, err := to.Source(council, f.Agreement); err != nil || s.Sweep {
		t.Errorf("still to be swept: %+v, %v", s, err)
	}
}

// TestReadingWhileErasing: who reads while records are erased sees them or does
// not, and nothing damaged.
func TestReadingWhileErasing(t *testing.T) {
	from, to := open(t, "", ring(t)), receiver(t, t.TempDir())
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	for i := range 40 {
		put(t, from, std, item(fmt.Sprint("ref-", i), "X", "n"))
	}
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	s, err := to.Source(council, f.Agreement)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := to.View(func(v *ledger.View) error {
					return errors.Join(
						v.Holdings(s, 0, func(_ *ledger.Holding, err error) bool {
							if err != nil {
								t.Errorf("holding: %v", err)
							}
							return true
						}),
						v.StoredHoldings(s, 0, func(k ledger.StoredHolding, err error) bool {
							if _, terr := k.Token(); err != nil || terr != nil {
								t.Errorf("kept: %v, %v", err, terr)
							}
							return true
						}))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 12 {
		put(t, from, std, item(fmt.Sprint("ref-", i), "Y", "n"))
		if err := copyFeed(t.Context(), from, to, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.End(t.Context(), s, "over"); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	if now, err := to.Source(council, f.Agreement); err != nil || !now.Ended || now.Ending || now.Records != 0 {
		t.Errorf("after the end: %+v, %v", now, err)
	}
}
