package peersync_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// What a council says proves entries of its log is believed once it was checked, and
// nothing else is.
func TestLyingProver(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		s := w.run(saltby, terms(t, northmoor, "items", 1, nil, saltby))
		f := newForger(t, w.rings[northmoor])
		for _, ref := range []string{"one", "two", "three", "four", "five"} {
			f.record(ref, nil)
		}
		stage := w.perform(northmoor, func(x *exchange) { x.drain() })
		at := tlog.Checkpoint{Origin: northmoor.Origin(), Size: f.tree.Size(), Root: f.tree.Root()}
		indexes := []uint64{1, 3}
		entries := []tlog.Hash{f.entries[1], f.entries[3]}
		honest := func(q *wirepb.ProofRequest) *wirepb.Proof {
			proof, err := tlog.ProveBatch(f, q.GetIndexes(), q.GetSecond())
			if err != nil {
				return &wirepb.Proof{Code: "not-here", Reason: err.Error()}
			}
			return &wirepb.Proof{Inclusion: tlog.JoinHashes(proof), Included: true}
		}
		for _, c := range []struct {
			name  string
			prove func(*wirepb.ProofRequest) *wirepb.Proof
			want  string // in the error; "" for none
		}{
			{"honest", honest, ""},
			{"of other entries", func(q *wirepb.ProofRequest) *wirepb.Proof {
				q.Indexes = []uint64{0, 2}
				return honest(q)
			}, "does not prove its log"},
			{"nothing in it", func(*wirepb.ProofRequest) *wirepb.Proof { return &wirepb.Proof{Included: true} }, "does not prove its log"},
			{"of two sizes", func(q *wirepb.ProofRequest) *wirepb.Proof {
				return &wirepb.Proof{Consistency: make([]byte, 32)}
			}, "does not prove its log"},
			{"one hash too many", func(q *wirepb.ProofRequest) *wirepb.Proof {
				p := honest(q)
				p.Inclusion = append(p.Inclusion, make([]byte, 32)...)
				return p
			}, "does not prove its log"},
			{"refused", func(*wirepb.ProofRequest) *wirepb.Proof {
				return &wirepb.Proof{Code: "not-now", Reason: "beyond the share of entries proved"}
			}, "beyond the share of entries proved"},
		} {
			stage.proveBy(c.prove)
			proof, err := s.ProveEntries(t.Context(), northmoor, at, entries, indexes)
			switch {
			case c.want == "" && (err != nil || tlog.VerifyBatch(entries, indexes, at.Size, at.Root, proof) != nil):
				t.Errorf("%s: %v", c.name, err)
			case c.want != "" && (err == nil || proof != nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: proof %v, %v; want %q", c.name, proof != nil, err, c.want)
			}
		}
	})
}

// Who asks for proofs beyond its share is told when it may ask again.
func TestProofsHaveAShare(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		var err error
		if w.quota, err = quota.Open(quota.Options{Partner: func(name.Council) bool { return false }, Now: time.Now}); err != nil {
			t.Fatal(err)
		}
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("one", "X"), item("two", "Y"))
		w.await("the record is there", func() bool { return s.holds(planning, 1) })
		k := s.ledger.Known(northmoor)
		ask := func() error {
			_, err := s.ProveEntries(t.Context(), northmoor, k.Checkpoint(), []tlog.Hash{{}}, []uint64{0})
			return err
		}
		if err := ask(); err == nil || strings.Contains(err.Error(), "beyond the share") {
			t.Errorf("the first time: %v", err)
		}
		if err := w.quota.Take(saltby, quota.Proved, quota.Of(quota.Proved).Stranger-1); err != nil {
			t.Fatal(err)
		}
		if err := ask(); err == nil || !strings.Contains(err.Error(), "beyond the share of entries proved") || !strings.Contains(err.Error(), "; more from 2") {
			t.Errorf("beyond its share: %v", err)
		}
	})
}
