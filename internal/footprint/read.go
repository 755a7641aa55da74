package footprint

import (
	"fmt"
	"strings"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Held entry is one entry of the footprint's ledger as this member holds it.
type Held struct {
	Index    uint64 // in the footprint's log
	Position uint64 // of the replica it was read from: its mark
	// Token is without a signature of a record: see [Footprint.Sealed].
	Token  *record.Token
	View   *record.View  // of a record
	Event  *record.Event // or an event
	Erased bool          // withdrawn: only its place in the log is left

	page uint64 // log index of the first entry of its page: see Sealed
}

// Record returns the newest version of a council's record that the footprint
// holds, read here. It returns ledger.ErrNotFound when there is none or it was
// withdrawn, ledger.ErrDamaged when it does not hash to its leaf.
func (f *Footprint) Record(c name.Council, r name.Record) (*Held, error) {
	var out *Held
	err := f.fsm.view(func(v *ledger.ReplicaView) error {
		raw, err := v.Lookup(headKey(c, r))
		if err != nil {
			return fmt.Errorf("record %s: %w", r, err)
		}
		h, err := decodeHead(raw)
		if err != nil {
			return err
		}
		if h.state == headWithdrawn {
			return fmt.Errorf("record %s was withdrawn: %w", r, ledger.ErrNotFound)
		}
		out, err = entryAt(v, h.index)
		return err
	})
	return out, err
}

// Entries calls fn with the entries from an index on, in order, until fn
// returns false.
func (f *Footprint) Entries(from uint64, fn func(*Held) bool) error {
	return f.fsm.view(func(v *ledger.ReplicaView) error {
		for i := from; i < v.Checkpoint().Size; i++ {
			e, err := entryAt(v, i)
			if err != nil {
				return err
			}
			if !fn(e) {
				return nil
			}
		}
		return nil
	})
}

func entryAt(v *ledger.ReplicaView, index uint64) (*Held, error) {
	leaf, raw, err := v.Entry(index)
	if err != nil {
		return nil, err
	}
	e := &Held{Index: index, Position: v.Applied()}
	if raw == nil {
		e.Erased = true
		return e, nil
	}
	kept, err := decodeStored(raw)
	if err != nil {
		return nil, err
	}
	e.page = index - kept.ordinal
	if kept.kind == storedRecord {
		if e.Token, err = record.Parse(kept.token); err == nil {
			e.View, err = e.Token.View()
		}
	} else {
		e.Token, e.Event, err = record.ParseEvent(kept.token)
	}
	if err != nil || tlog.Leaf(e.Token.Entry()) != leaf {
		return nil, fmt.Errorf("entry %d: %w: does not hash to its leaf in the log", index, ledger.ErrDamaged)
	}
	return e, nil
}

// Proof returns the proof that an entry is in the ledger, at the newest
// checkpoint that counts (c2sp.org/tlog-proof). It verifies with the members'
// witness keys. It returns ledger.ErrNotFound when no checkpoint that counts
// covers the entry yet.
func (f *Footprint) Proof(index uint64) (tlog.Proof, error) {
	cp, signed := f.cosigned.best()
	if index >= cp.Size {
		return tlog.Proof{}, fmt.Errorf("proof of entry %d: the newest checkpoint covers %d: %w", index, cp.Size, ledger.ErrNotFound)
	}
	p := tlog.Proof{Index: index, Checkpoint: signed}
	err := f.fsm.view(func(v *ledger.ReplicaView) (err error) {
		p.Path, err = tlog.Inclusion(v, index, cp.Size)
		return err
	})
	return p, err
}

// Counts returns how many live records of each council and standard the
// footprint holds.
func (f *Footprint) Counts() (map[name.Council]map[name.Standard]uint64, error) {
	out := map[name.Council]map[name.Standard]uint64{}
	var bad error
	err := f.fsm.view(func(v *ledger.ReplicaView) error {
		return v.Walk("n", func(key string, value []byte) bool {
			c, std, _ := strings.Cut(key[1:], "\x00")
			var n name.Standard
			if n, bad = name.ParseStandard(std); bad != nil || len(value) != 8 {
				return false
			}
			if out[name.Council(c)] == nil {
				out[name.Council(c)] = map[name.Standard]uint64{}
			}
			r := reader{b: value}
			out[name.Council(c)][n] = r.uint64()
			return true
		})
	})
	if err == nil {
		err = bad
	}
	return out, err
}
