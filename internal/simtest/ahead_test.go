package simtest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// TestAheadFails: of what goes ahead of a copy, a record that may not leave, one that is set
// back and one that is lost are noticed.
func TestAheadFails(t *testing.T) {
	if !heavy {
		t.Skip("set STILE_SEEDS")
	}
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 3, 2)
		w.ways = nil
		w.mu.Lock()
		clear(w.asks)
		w.mu.Unlock()
		from, to := w.councils[0], w.councils[1]
		x := w.agree(from, to, "cases-0", 6)
		source := func() *ledger.Source {
			t.Helper()
			src, err := inside[ledger.Ledger](to.node, "ledger").Source(from.Name, x.doc.Name)
			if errors.Is(err, ledger.ErrNotFound) { // nothing was asked yet
				return &ledger.Source{}
			}
			if err != nil {
				t.Fatal(err)
			}
			return src
		}
		copied := func() { // much, of which nothing but the first pages has come
			t.Helper()
			was := source().Cursor
			to.halt() // so that all of it is there when the copy begins
			w.linesFrom(from, slowLine)
			w.write(from, 130)
			to.start()
			w.await("a part of it is there", func() bool { return source().Cursor > was })
		}
		writes := func() { // until some of it goes ahead
			t.Helper()
			w.mu.Lock()
			pages := w.first
			w.mu.Unlock()
			w.await("it went ahead", func() bool {
				w.mu.Lock()
				went := w.first > pages
				w.mu.Unlock()
				if !went {
					w.write(from, 2)
				}
				return went
			})
			w.await("it is there", func() bool { return source().AheadTo > source().AheadFrom })
		}
		ended := func() {
			t.Helper()
			w.lines(wire.Link{})
			w.await("the copy is at its end", func() bool { src := source(); return src.AheadFrom == 0 && src.Cursor > 0 })
			time.Sleep(time.Minute)
		}
		copied()
		writes()
		w.glance()
		ended()
		if got := w.breaches() + w.misheld(to, from.Name); got != "" {
			t.Fatalf("as it is: %s", got)
		}

		copied()
		w.mu.Lock()
		x.fields = []name.Field{"/reference"} // in the model alone
		w.mu.Unlock()
		writes()
		w.mu.Lock()
		x.fields = fieldSets[0]
		w.mu.Unlock()
		if got := w.breaches(); !strings.Contains(got, "ahead of a copy under "+string(x.doc.Name)+": it shows /") {
			t.Errorf("a withheld field is not noticed: %q", got)
		}
		ended()
		w.glance()
		for key := range to.newest {
			to.newest[key]++
			break
		}
		if w.glance(); !strings.Contains(w.breaches(), "and had version") {
			t.Error("a record that is set back is not noticed")
		}
		if got := w.misheld(to, from.Name); got != "" {
			t.Fatalf("before anything is lost: %s", got)
		}

		// The one who asks says that more went ahead to it than did.
		copied()
		writes()
		to.halt()
		w.write(from, 4)
		size := inside[ledger.Ledger](from.node, "ledger").Size()
		w.mu.Lock()
		w.asks[to.Name] = asking{wrong: func(h *wirepb.Hello) {
			if h.AheadFrom > 0 && h.AheadTo < size {
				h.AheadTo = size
			}
		}}
		w.mu.Unlock()
		to.start()
		ended()
		if got := w.misheld(to, from.Name); !strings.Contains(got, "holds under "+string(x.doc.Name)+"\n") {
			t.Errorf("what went ahead and is lost is not noticed: %q", got)
		}
	})
}
