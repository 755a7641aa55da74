package ledger

import (
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// LiveAt returns the log indexes of the records of one version of a standard
// that were live when the log had size entries: for each the newest version
// before that, ascending. It reads what was logged since, and none of the
// records that did not change. ErrNotFound when the standard is not adopted or
// the log never had so many entries.
func (v *View) LiveAt(std name.Standard, size uint64) (out []uint64, err error) {
	k, err := v.l.known(std)
	if err != nil {
		return nil, err
	}
	if size > v.cp.Size {
		return nil, fmt.Errorf("log of %d entries: %w", size, ErrNotFound)
	}
	it := v.list(numKey4('s', k.number), keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid() && indexAtEnd(it) < size; it.Next() {
		out = append(out, indexAtEnd(it))
	}
	// A record that was changed or deleted since stands in the index no more, or
	// later: go back from its first change.
	seen := map[[16]byte]bool{}
	for i := size; i < v.cp.Size; i++ {
		raw, err := v.raw(i)
		if err != nil {
			return nil, err
		}
		if raw[0] == kindEvent {
			continue
		}
		p, err := placeOf(raw)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		if seen[p.record] {
			continue
		}
		seen[p.record] = true
		if p.version == 1 {
			continue
		}
		at := p.prevIndex
		if raw, err = v.raw(at); err != nil {
			return nil, err
		}
		if p, err = placeOf(raw); err != nil {
			return nil, fmt.Errorf("entry %d: %w", at, err)
		}
		if at < size && !p.deletion && p.standard == k.number {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return out, nil
}

// CheckpointAt returns the checkpoint of the log when it had size entries, with
// the root that the tiles give, signed again by the log's key alone: an Ed25519
// signature of the same text is the same. It says that the log stood there; that
// the council said what is in it, the newest checkpoint says. ErrNotFound when it
// never had so many, or size is 0.
func (v *View) CheckpointAt(size uint64) (tlog.Checkpoint, []byte, error) {
	if size == 0 || size > v.cp.Size {
		return tlog.Checkpoint{}, nil, fmt.Errorf("log of %d entries: %w", size, ErrNotFound)
	}
	tree, err := tlog.OpenTree(size, v)
	if err != nil {
		return tlog.Checkpoint{}, nil, fmt.Errorf("%w: log: %w", ErrDamaged, err)
	}
	cp := tlog.Checkpoint{Origin: v.cp.Origin, Size: size, Root: tree.Root()}
	note, err := tlog.SignCheckpoint(cp, v.l.o.Keys.Log.Signer(), v.l.o.Keys.Log.Also()...)
	return cp, note, err
}
