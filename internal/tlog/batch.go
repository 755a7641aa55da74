package tlog

import (
	"fmt"
	"slices"
)

// MaxBatch is the largest number of indices in one batch proof.
const MaxBatch = 1 << 16

// ProveBatch returns the batch proof of the entries at the given indices in the
// tree of the given size; the package comment gives its form. It reads each tile it
// touches once, and hashes each of their nodes at most once.
//
// The error wraps [ErrIndex] unless indices are strictly increasing, below
// size <= MaxSize, and 1 to [MaxBatch] in number; [ErrTile] on a tile of the
// wrong length; or else the reader's error.
func ProveBatch(r TileReader, indices []uint64, size uint64) ([]Hash, error) {
	if err := checkBatch(indices, size); err != nil {
		return nil, fmt.Errorf("prove batch: %w", err)
	}
	p := batchProver{tiles: newTiles(r, size)}
	if err := p.walk(0, size, indices); err != nil {
		return nil, fmt.Errorf("prove batch: %w", err)
	}
	return p.out, nil
}

type batchProver struct {
	tiles *tiles
	out   []Hash
}

func (p *batchProver) walk(lo, hi uint64, asked []uint64) error {
	if len(asked) == 0 {
		h, err := p.tiles.subtree(lo, hi)
		p.out = append(p.out, h)
		return err
	}
	if hi-lo == 1 {
		return nil
	}
	mid := lo + split(hi-lo)
	i, _ := slices.BinarySearch(asked, mid)
	if err := p.walk(lo, mid, asked[:i]); err != nil {
		return err
	}
	return p.walk(mid, hi, asked[i:])
}

// VerifyBatch checks that entries[i] stands at indices[i], for every i, in the
// tree of the given size and root. It takes time for about len(entries) times
// the height of the tree, whatever the proof, and allocates next to nothing.
//
// The error wraps [ErrIndex] under the conditions of [ProveBatch] or when
// entries and indices differ in number, and [ErrProof] when hashes are missing
// or left over or the root is another. On any error nothing is proved about any
// entry.
func VerifyBatch(entries []Hash, indices []uint64, size uint64, root Hash, path []Hash) error {
	if len(entries) != len(indices) {
		return fmt.Errorf("verify batch: %w: %d entries for %d indices", ErrIndex, len(entries), len(indices))
	}
	if err := checkBatch(indices, size); err != nil {
		return fmt.Errorf("verify batch: %w", err)
	}
	v := batchVerifier{rest: path}
	got, ok := v.walk(0, size, indices, entries)
	if !ok || len(v.rest) != 0 || got != root {
		return fmt.Errorf("verify batch: %w: %d indices in a log of %d, %d hashes", ErrProof, len(indices), size, len(path))
	}
	return nil
}

type batchVerifier struct{ rest []Hash }

// walk returns the hash of leaves [lo, hi), or false when the proof is too
// short. It goes down only where an index was asked, so a hostile size costs
// 63 steps an index and no more.
func (v *batchVerifier) walk(lo, hi uint64, asked []uint64, entries []Hash) (Hash, bool) {
	if len(asked) == 0 {
		if len(v.rest) == 0 {
			return Hash{}, false
		}
		h := v.rest[0]
		v.rest = v.rest[1:]
		return h, true
	}
	if hi-lo == 1 {
		return Leaf(entries[0]), true // indices increase, so there is just one
	}
	mid := lo + split(hi-lo)
	i, _ := slices.BinarySearch(asked, mid)
	l, ok := v.walk(lo, mid, asked[:i], entries[:i])
	if !ok {
		return Hash{}, false
	}
	r, ok := v.walk(mid, hi, asked[i:], entries[i:])
	if !ok {
		return Hash{}, false
	}
	return node(l[:], r[:]), true
}

func checkBatch(indices []uint64, size uint64) error {
	if size > MaxSize {
		return fmt.Errorf("%w: size %d", ErrIndex, size)
	}
	// With no index asked the proof would be the bare root, which proves
	// nothing of anything: an empty batch is the caller's mistake.
	if len(indices) == 0 || len(indices) > MaxBatch {
		return fmt.Errorf("%w: %d indices, want 1 to %d", ErrIndex, len(indices), MaxBatch)
	}
	for i, x := range indices {
		if x >= size {
			return fmt.Errorf("%w: index %d in a log of %d", ErrIndex, x, size)
		}
		if i > 0 && x <= indices[i-1] {
			return fmt.Errorf("%w: index %d follows %d", ErrIndex, x, indices[i-1])
		}
	}
	return nil
}
