package simtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestWorlds runs a few worlds that are the same each time, and one that is new.
func TestWorlds(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	for _, seed := range []uint64{1, rand.Uint64()} { // make soak runs more
		run(t, seed, false)
	}
}

// TestSoak runs new worlds for as long as STILE_SOAK says, such as 1h.
func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("STILE_SOAK"))
	if err != nil {
		t.Skip("STILE_SOAK is no duration; make soak runs this")
	}
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < d && !t.Failed(); {
		run(t, rand.Uint64(), rand.IntN(2) == 0)
	}
}

// TestFootprintWorlds runs worlds in which three councils keep a footprint, into
// which a fourth brings records and out of which it copies.
func TestFootprintWorlds(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	run(t, 1, true) // more of them: TestWhole, TestSoak
}

func run(t *testing.T, seed uint64, footprint bool) {
	t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 2 + int(seed%3)
			if footprint {
				n = keepers + 1
			}
			w := New(t, seed, n)
			if footprint {
				w.form(string(caseName) + "@1")
			}
			for range 2 {
				for range 45 {
					w.Step()
				}
				w.Check()
			}
			t.Log(w.count())
		})
	})
}

// TestClockJump: an end that passes because the clock is set is noticed within a
// minute or so, and what was held under the agreement is deleted.
func TestClockJump(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 1, 2)
		from, to := w.councils[0], w.councils[1]
		w.agree(from, to, "cases-0", 6)
		w.write(from, 3)
		time.Sleep(time.Minute)
		if len(to.holdings(from.Name)) == 0 {
			t.Fatal("nothing came to be held")
		}
		time.Sleep(10*time.Minute + 7*time.Second) // nothing else is about to happen
		w.jump.Store(int64(11 * 365 * 24 * time.Hour))
		time.Sleep(70 * time.Second)
		if n := len(to.holdings(from.Name)); n > 0 {
			t.Errorf("%d records are held a minute after the end", n)
		}
	})
}

// agree brings an agreement over all rows into force.
func (w *World) agree(from, to *Council, slug string, fields int) *text {
	w.t.Helper()
	nm := name.Agreement(string(from.Name) + "/" + slug)
	x := w.text(nm, 1, from.Name, []name.Council{to.Name})
	for len(x.fields) != fields || x.rule.cel != "true" {
		x = w.text(nm, 1, from.Name, []name.Council{to.Name})
	}
	w.texts[nm] = []*text{x}
	w.say(from.Name, event.KindAgreementProposal, agreement.Proposal{Agreement: x.doc}.Body())
	w.say(from.Name, event.KindAgreementSignature, agreement.Signature{Ref: x.doc.Ref()}.Body())
	call(from, from.node.Agreements().Sign, node.AgreementRequest{Document: x.doc.YAML()})
	time.Sleep(time.Minute)
	w.sign(to)
	w.lines(wire.Link{}) // what a test has planned does not wait
	return x
}
