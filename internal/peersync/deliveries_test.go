package peersync_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// streaming returns a node to which every entry comes over a stream, with as many
// good records behind it in the same page; when the agreement is suspended the last
// is one of withdrawals. a is "" for notices.
func streaming(t *testing.T, w *judgetest.World, a name.Agreement, fillers int, suspended bool) judgetest.Give {
	x := &town{t: t, world: wire.NewMemory(), dir: w.Directory, rings: w.Rings}
	h := x.runWith(judgetest.Receiver, w.Standard, w.Now, w.Doc)
	stage := x.answer(judgetest.Sender, func(*exchange) {}, func(feed string) bool { return (feed == "notices") == (a == "") })
	return func(s *judgetest.Sent) judgetest.Verdict {
		b := &wirepb.Batch{Live: true, Withdrawals: suspended && s.Last}
		sent := []*judgetest.Sent{s}
		for range fillers {
			sent = append(sent, w.Filler(s.Log))
		}
		items, table := judgetest.Packed(sent...)
		var indexes []uint64
		for _, it := range items {
			b.Items, indexes = append(b.Items, &wirepb.Item{Index: it.Index, Event: it.Event, Record: it.Record}), append(indexes, it.Index)
		}
		b.Table = table
		b.Checkpoint, b.Inclusion, b.Cursor, b.Records = s.Log.Checkpoint(), s.Log.Inclusion(indexes...), s.Log.Size(), s.Log.Size()
		stage.proveBy(func(q *wirepb.ProofRequest) *wirepb.Proof {
			proof, err := tlog.Consistency(s.Log, q.GetFirst(), q.GetSecond())
			if err != nil {
				return &wirepb.Proof{Code: "shorter"}
			}
			return &wirepb.Proof{Consistency: tlog.JoinHashes(proof)}
		})
		refused := len(h.refusals(judgetest.Sender, a))
		if b.Withdrawals {
			h.book.suspend(w.Doc, true)
		}
		h.Refresh()
		x.world.ResetStreams()
		synctest.Wait()
		// Nothing runs now: no stream takes the delivery that is reset below.
		answered := make(chan error, 1)
		var once sync.Once // and then it is silent
		stage.set(func(x *exchange) {
			once.Do(func() {
				b.ConsistencyFrom = x.hello.GetTreeSize()
				b.Consistency = s.Log.Consistency(b.ConsistencyFrom)
				answered <- x.send(b)
			})
		})
		x.world.ResetStreams()
		h.Retry()
		select {
		case err := <-answered:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Hour):
			t.Fatal("nobody asked for it")
		}
		synctest.Wait()
		src, err := h.ledger.Source(judgetest.Sender, a)
		if err != nil {
			t.Fatal(err)
		}
		came := src.Cursor
		if b.Withdrawals {
			came = src.WithdrawnTo()
		}
		switch {
		case h.ledger.Allowed(judgetest.Sender) != nil, len(h.refusals(judgetest.Sender, a)) > refused:
			return judgetest.Denied
		case came == b.Cursor:
			return judgetest.Kept
		}
		return judgetest.Waits
	}
}

// inBubble runs a case in virtual time.
func inBubble(t *testing.T, run func(*testing.T)) {
	if err := warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, run)
}

// TestDeliveries: every delivery of judgetest over a stream, to a node that runs.
func TestDeliveries(t *testing.T) {
	for _, c := range []struct {
		name string
		path judgetest.Path
		give func(*testing.T, *judgetest.World) judgetest.Give
	}{
		{"feed", judgetest.Path{}, func(t *testing.T, w *judgetest.World) judgetest.Give { return streaming(t, w, w.Doc.Name, 0, false) }},
		{"large page", judgetest.Path{Other: map[string]judgetest.Verdict{
			// What fills the page stands behind the record, and the revoked key said it.
			"a checkpoint with a record key that is revoked from the next entry on": judgetest.Denied,
		}}, func(t *testing.T, w *judgetest.World) judgetest.Give {
			return streaming(t, w, w.Doc.Name, 64, false)
		}},
		{"suspended", judgetest.Path{Suspended: true, Other: map[string]judgetest.Verdict{"a checkpoint with a record key that comes later": judgetest.Waits}}, func(t *testing.T, w *judgetest.World) judgetest.Give { return streaming(t, w, w.Doc.Name, 0, true) }},
		{"notices", judgetest.Path{Events: true}, func(t *testing.T, w *judgetest.World) judgetest.Give { return streaming(t, w, "", 0, false) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.path.Mode, c.path.New, c.path.Around = agreement.Replicate, c.give, inBubble
			judgetest.Run(t, c.path)
		})
	}
}
