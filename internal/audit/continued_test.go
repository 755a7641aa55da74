package audit

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// head signs a checkpoint of northmoor's log that need not be one, cosigned by saltby.
func (w *town) head(size uint64, root tlog.Hash) []byte {
	w.t.Helper()
	return w.headBy(w.rings[northmoor], size, root)
}

func (w *town) headBy(r *keys.Ring, size uint64, root tlog.Hash) []byte {
	w.t.Helper()
	cp := tlog.Checkpoint{Origin: northmoor.Origin(), Size: size, Root: root}
	signed, err := tlog.SignCheckpoint(cp, r.Log.Signer())
	w.must(err)
	line, _, err := tlog.Cosign(cp, w.rings[saltby].Log.Cosigner())
	w.must(err)
	v, err := tlog.ParseWitnessKey(w.rings[saltby].Log.CosignerVerifier())
	w.must(err)
	signed, err = tlog.AddCosignature(signed, line, v)
	w.must(err)
	return signed
}

// A log that was set back says so, and the report says in words what was lost and who
// agreed. What the entry names is held against what the log key signed and what others
// hold; a range that does not fit fails.
func TestContinued(t *testing.T) {
	one, two := tlog.Hash{1}, tlog.Hash{2}
	stranger, err := keys.Generate(northmoor) // who takes its name
	if err != nil {
		t.Fatal(err)
	}
	// build makes a bundle of a log that went on at the index that it returns.
	build := func(t *testing.T, c func(w *town, at uint64) event.Continued) (*town, uint64, []byte) {
		w := newTown(t)
		w.live(6)
		w.checkpoint(true)
		w.now += 3600 // so that what was cosigned just now was cosigned before
		at := w.tree.Size()
		w.event(event.KindContinued, c(w, at).Body())
		w.checkpoint(false)
		return w, at, w.bundle(4)
	}
	honest := func(w *town, at uint64) event.Continued {
		return event.Continued{
			Because: "a disk was lost", Lost: &event.Head{Size: at + 5, Root: one}, LostNote: string(w.head(at+5, one)),
			Agreed: []name.Council{saltby}, Unasked: []name.Council{"otherby.gov.uk"},
		}
	}
	w, at, b := build(t, honest)
	r := verify(t, b, Options{Trust: w.trust()})
	c, _ := r.Check(CheckHistory)
	for _, want := range []string{
		"says that its log was set back to an old copy", "as they were before, are no part of it any more", "that its log key signed",
		"By its word saltby.gov.uk held it, and agreed", "Not heard were otherby.gov.uk: a person took the risk",
	} {
		if !strings.Contains(c.Detail, want) {
			t.Errorf("it does not say %q:\n%s", want, c.Detail)
		}
	}
	if c.Failed != 0 || !r.OK() {
		t.Errorf("%+v", c)
	}

	for nm, f := range map[string]struct {
		edit func(*town, uint64, *event.Continued)
		want string
	}{
		"a checkpoint of another size": {func(w *town, at uint64, c *event.Continued) { c.LostNote = string(w.head(at+9, one)) }, "as lost and shows a checkpoint of"},
		"with another root":            {func(w *town, at uint64, c *event.Continued) { c.LostNote = string(w.head(at+5, two)) }, "as lost and shows a checkpoint of"},
		"signed by another": {func(w *town, at uint64, c *event.Continued) {
			c.LostNote = string(w.headBy(stranger, at+5, one))
		}, "a checkpoint that the log did not sign"},
		"a head of this log": {func(w *town, at uint64, c *event.Continued) {
			c.Lost, c.LostNote = &event.Head{Size: at, Root: w.tree.Root()}, ""
		}, "that is of this very log"},
	} {
		w, _, b := build(t, func(w *town, at uint64) event.Continued {
			c := honest(w, at)
			f.edit(w, at, &c)
			return c
		})
		c, _ := verify(t, b, Options{Trust: w.trust()}).Check(CheckHistory)
		if c.Failed != 1 || !strings.Contains(c.Failures[0].Rule, f.want) {
			t.Errorf("%s: %+v", nm, c)
		}
	}

	for nm, f := range map[string]struct {
		note []byte
		fail string // "" passes
		say  string
	}{
		"the lost head":                  {w.head(at+5, one), "", "falls into what entry"},
		"one within":                     {w.head(at+2, two), "", "falls into what entry"},
		"one of this log":                {w.notes[0].note, "", "is of this log"},
		"another head of the same size":  {w.head(at+5, two), "than the one that entry", ""},
		"one beyond, cosigned before it": {w.head(at+9, two), "names no more than", ""},
		"one of before, another history": {w.head(at, two), "told two stories", ""},
		"signed by another":              {w.headBy(stranger, at+5, one), "is not signed by the log", ""},
	} {
		c, _ := verify(t, b, Options{Trust: w.trust(), Brought: [][]byte{f.note}}).Check(CheckHistory)
		switch {
		case f.fail == "" && (c.Failed != 0 || !strings.Contains(c.Detail, f.say)):
			t.Errorf("%s: %+v", nm, c)
		case f.fail != "" && (c.Failed != 1 || !strings.Contains(c.Failures[0].Rule, f.fail)):
			t.Errorf("%s: %+v", nm, c)
		}
	}
}
