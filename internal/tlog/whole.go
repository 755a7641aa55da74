package tlog

import (
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// A Whole is the tree over a list of entries that somebody has in memory, all of
// them, such as a page. It is that of RFC 6962 section 2.1, as a log's is. It is
// immutable.
type Whole struct{ levels [][]Hash } // leaves first; the last has one hash, or none

// NewWhole returns the tree over leaf hashes: see [Leaf]. It keeps the list.
func NewWhole(leaves []Hash) Whole {
	w := Whole{[][]Hash{leaves}}
	for row := leaves; len(row) > 1; {
		// A node without a sibling moves up as it is. That gives the tree of the
		// RFC, which is cut at the largest power of two each time.
		up := make([]Hash, (len(row)+1)/2)
		for i := range len(row) / 2 {
			up[i] = node(row[2*i][:], row[2*i+1][:])
		}
		if len(row)%2 == 1 {
			up[len(up)-1] = row[len(row)-1]
		}
		w.levels, row = append(w.levels, up), up
	}
	return w
}

// Size returns the number of leaves.
func (w Whole) Size() int { return len(w.levels[0]) }

// Root returns the root; of no leaves, [EmptyRoot].
func (w Whole) Root() Hash {
	top := w.levels[len(w.levels)-1]
	if len(top) == 0 {
		return EmptyRoot()
	}
	return top[0]
}

// Path returns the audit path of the leaf at an index, which is below Size: see
// [Inclusion].
func (w Whole) Path(index int) (path []Hash) {
	for _, row := range w.levels[:len(w.levels)-1] {
		if sibling := index ^ 1; sibling < len(row) {
			path = append(path, row[sibling])
		}
		index /= 2
	}
	return path
}

// PathRoot returns the root of the tree of a size in which an audit path places an
// entry at an index. The error wraps [ErrIndex] unless index < size <= MaxSize, or
// [ErrProof] for a path of another length than there is one.
func PathRoot(entry Hash, index, size uint64, path []Hash) (Hash, error) {
	if size > MaxSize || index >= size {
		return Hash{}, fmt.Errorf("audit path: %w: index %d in a tree of %d", ErrIndex, index, size)
	}
	leaf := Leaf(entry)
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, index, size, leaf[:], byteSlices(path))
	if err != nil || len(root) != HashSize {
		return Hash{}, fmt.Errorf("audit path: %w: index %d in a tree of %d, %d hashes", ErrProof, index, size, len(path))
	}
	return Hash(root), nil
}

// A Tally is the tree over entries that come one after the other, of which it keeps
// none: some 2 KiB however many there are. It is the tree that [Whole] is, and that a
// log is. The zero Tally is ready. It must not be used concurrently.
type Tally struct{ peaks *compact.Range }

// Add appends an entry.
func (t *Tally) Add(entry Hash) {
	if t.peaks == nil {
		t.peaks = edge.NewEmptyRange(0)
	}
	leaf := Leaf(entry)
	if err := t.peaks.Append(leaf[:], nil); err != nil {
		panic("internal error: a range that begins at 0 takes no more: " + err.Error())
	}
}

// Size returns the number of entries.
func (t *Tally) Size() uint64 {
	if t.peaks == nil {
		return 0
	}
	return t.peaks.End()
}

// Root returns the root; of no entries, [EmptyRoot].
func (t *Tally) Root() Hash {
	if t.peaks == nil {
		return EmptyRoot()
	}
	root, err := t.peaks.GetRootHash(nil)
	if err != nil {
		panic("internal error: a range that begins at 0 has no root: " + err.Error())
	}
	return Hash(root)
}
