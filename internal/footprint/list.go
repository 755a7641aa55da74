package footprint

import (
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
)

// A Listing is a page of the live records that the footprint holds.
type Listing struct {
	Records  []*Held // in the order of the log, each in its newest version
	Next     uint64  // where the next page begins; 0 when there is none
	Position uint64  // of the replica it was read from
	Damaged  []uint64
}

// Records lists live records whose newest version stands at an index of the log
// or after it, at most limit of those that match says yes to. An entry that does
// not hash to its leaf is left out and named.
func (f *Footprint) Records(from uint64, limit int, match func(*Held) bool) (out Listing, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		out.Position = v.Applied()
		for i := from; i < v.Checkpoint().Size; i++ {
			e, err := entryAt(v, i)
			if errors.Is(err, ledger.ErrDamaged) {
				out.Damaged = append(out.Damaged, i)
				continue
			}
			if err != nil {
				return err
			}
			if e.View == nil || e.View.Op != record.Put || !match(e) {
				continue
			}
			raw, err := v.Lookup(headKey(e.View.Council, e.View.Record))
			if err != nil {
				return fmt.Errorf("record at entry %d: %w", i, err)
			}
			if h, err := decodeHead(raw); err != nil || h.index != i || h.state != headLive {
				if err != nil {
					return err
				}
				continue
			}
			if len(out.Records) == limit {
				out.Next = i
				return nil
			}
			out.Records = append(out.Records, e)
		}
		return nil
	})
	return out, err
}

// ProveEntries proves that entries, by their ascending indexes, stand in the log
// at a size: a batch proof, see package tlog.
func (f *Footprint) ProveEntries(indexes []uint64, size uint64) (proof []tlog.Hash, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		proof, err = tlog.ProveBatch(v, indexes, size)
		return err
	})
	return proof, err
}

// Consistency proves that the log at a later size extends the log at an earlier
// one.
func (f *Footprint) Consistency(from, to uint64) (proof []tlog.Hash, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		proof, err = tlog.Consistency(v, from, to)
		return err
	})
	return proof, err
}
