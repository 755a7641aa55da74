package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// TestExpire: while nothing may be signed by the clock nothing is deleted at the end of its
// term either, and nothing says that it was. By a clock that is right it is deleted and
// receipted; the same version sent again is not stored anew, and a new version is.
func TestExpire(t *testing.T) {
	now, wrong := time.Unix(1_800_000_000, 0), ""
	k, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	from := open(t, "", ring(t))
	to := open(t, "", k, func(o *ledger.Options) {
		o.Council, o.Now = saltby, func() time.Time { return now }
		o.Clock = func(time.Time, time.Time) string { return wrong }
	})
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name"))
	term := agreement.Term{Kept: "P3D"}
	source := func() *ledger.Source {
		t.Helper()
		s, err := to.Source(from.Council(), f.Agreement)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// send brings what the feed has from a cursor on, as the exchange does.
	send := func(cursor uint64) {
		t.Helper()
		for _, p := range readFeed(t, from, f, cursor) {
			d, err := delivery(p)
			if err != nil {
				t.Fatal(err)
			}
			for i := range d.Puts {
				d.Puts[i].Term = term
			}
			if err := meet(t.Context(), from, to, p); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Receive(t.Context(), source(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	anew := func() {
		t.Helper()
		if err := to.Restart(t.Context(), source(), f.Digest.String()); err != nil {
			t.Fatal(err)
		}
		send(0)
	}
	held := func(want int) []ledger.Kept {
		t.Helper()
		var list []ledger.Kept
		err := to.View(func(v *ledger.View) error {
			return v.Kept(source(), func(k ledger.Kept) bool { list = append(list, k); return true })
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != want || len(holdings(t, to, from.Council(), f.Agreement)) != want {
			t.Fatalf("%d are held, want %d", len(list), want)
		}
		return list
	}
	// said returns how many entries our log says were deleted at the end of their term.
	said := func() (n int) {
		t.Helper()
		err := to.View(func(v *ledger.View) error {
			v.Events(event.KindRetention, 0, func(i uint64) bool {
				var ev *record.Event
				if ev, _, err = v.Event(i); err != nil {
					return false
				}
				r, perr := event.ParseRetention(ev.Body)
				if err = perr; err != nil {
					return false
				}
				n += len(r.Entries)
				return true
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	put(t, from, std, item("ref-0", "X", "a"))
	put(t, from, std, item("ref-1", "X", "b"))
	if _, err := to.OpenSource(t.Context(), from.Council(), f.Agreement); err != nil {
		t.Fatal(err)
	}
	anew()
	list := held(2)

	now, wrong = now.Add(72*time.Hour), "it is three days fast"
	if err := to.Expire(t.Context(), source(), 1, list, from.Council()); !errors.Is(err, ledger.ErrClock) {
		t.Errorf("by a wrong clock: %v", err)
	}
	held(2)
	if n := said(); n != 0 {
		t.Errorf("the log says that %d were deleted, by a wrong clock", n)
	}

	wrong = ""
	if err := to.Expire(t.Context(), source(), 1, list, from.Council()); err != nil {
		t.Fatal(err)
	}
	held(0)
	if n := said(); n != 2 {
		t.Errorf("the log says that %d were deleted, want 2", n)
	}
	anew()
	held(0)
	if n := source().AtTerm; n != 2 {
		t.Errorf("after all was sent again %d count as deleted at their term, want 2", n)
	}
	put(t, from, std, item("ref-0", "X", "c"))
	send(source().Cursor)
	if list = held(1); !list[0].Received.Equal(now) {
		t.Errorf("the new version is held since %v, want %v", list[0].Received, now)
	}
	anew()
	held(1)
}
