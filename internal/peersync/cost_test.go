package peersync_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// TestCopyBytes: a record of 830 bytes, of which an agreement lets 12 of 18 fields out,
// costs at most 1,000 bytes on the wire in a first copy, proof, receipt and all. As text
// the tokens alone would have 2,200.
func TestCopyBytes(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		std := planningStandard(t)
		a := terms(t, northmoor, "items", 1, func(a *agreement.Agreement) {
			a.Standard, a.Rows = std.Name().Line(), "true"
			a.Fields = nil
			for _, f := range []string{"reference", "organisation", "district", "address", "postcode", "longitude", "latitude", "applicationType", "status", "description", "decision", "decisionDate"} {
				a.Fields = append(a.Fields, "/"+name.Field(f))
			}
		}, saltby)
		n := w.runWith(northmoor, std, time.Now, a)
		const records = 1000
		var offers []*ledger.Offer
		for i := range records {
			v, err := strictjson.Decode(generate.PlanningApplication(1, i), strictjson.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			o, err := n.ledger.Offer(std, v.(map[string]any))
			if err != nil {
				t.Fatal(err)
			}
			offers = append(offers, o)
		}
		if err := n.ledger.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
		var sent atomic.Int64
		w.world.OnWrite(func(x wire.Write) wire.Fault {
			sent.Add(int64(len(x.Data)))
			return wire.None
		})
		s := w.runWith(saltby, std, time.Now, a)
		w.await("the first copy is there", func() bool { return s.source(planning).Records == records })
		synctest.Wait()
		if each := sent.Load() / records; each > 1000 {
			t.Errorf("%d bytes for each record", each)
		}
	})
}

func planningStandard(t testing.TB) *standard.Standard {
	t.Helper()
	s, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLiveSyncs: one record, put while a partner reads along, is one synced transaction
// of the sender before it leaves and one of the receiver before it is seen; the receipt
// is another of the sender's, behind both.
func TestLiveSyncs(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("first", "X"))
		w.await("it is in step", func() bool { return s.holds(planning, 1) })
		synctest.Wait()
		from, to := n.ledger.Transactions(), s.ledger.Transactions()
		var left, acked atomic.Uint64
		w.world.OnWrite(func(x wire.Write) wire.Fault {
			if x.From == northmoor {
				left.CompareAndSwap(0, n.ledger.Transactions())
			} else {
				acked.CompareAndSwap(0, s.ledger.Transactions())
			}
			return wire.None
		})
		n.put(item("second", "X"))
		synctest.Wait()
		if len(s.held(planning)) != 2 {
			t.Fatal("the second record is not there")
		}
		if got := left.Load() - from; got != 1 {
			t.Errorf("it left after %d transactions of the sender", got)
		}
		if got := acked.Load() - to; got != 1 {
			t.Errorf("it was acknowledged after %d transactions of the receiver", got)
		}
		if got := n.ledger.Transactions() - from; got != 2 {
			t.Errorf("in the end the sender has committed %d transactions", got)
		}
		if got := s.ledger.Transactions() - to; got != 1 {
			t.Errorf("in the end the receiver has committed %d transactions", got)
		}
	})
}
