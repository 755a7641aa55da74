package tlog

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ErrIndex is wrapped when an index or a size lies outside the log, or when
// indices are not in order: the question was wrong, not the answer.
var ErrIndex = errors.New("index out of range")

// ErrProof is wrapped when a proof does not show what it should. It may be cut,
// padded, altered, or made for another entry, index or tree; which of them
// cannot be told.
var ErrProof = errors.New("proof does not verify")

// Inclusion returns the audit path of one entry in the tree of the given size
// (RFC 6962 section 2.1.1): from the leaf's sibling up to the root's child.
// It reads at most two tiles a level. The error wraps [ErrIndex] unless
// index < size <= MaxSize, [ErrTile] on a tile of the wrong length, or else the
// reader's error.
func Inclusion(r TileReader, index, size uint64) ([]Hash, error) {
	if size > MaxSize || index >= size {
		return nil, fmt.Errorf("prove inclusion: %w: index %d in a log of %d", ErrIndex, index, size)
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("prove inclusion: %w: %w", ErrIndex, err)
	}
	hs, err := readNodes(r, nodes, size)
	if err != nil {
		return nil, fmt.Errorf("prove inclusion: %w", err)
	}
	return hs, nil
}

// VerifyInclusion checks that entry stands at index in the tree of the given
// size and root, which come from one checkpoint: a path alone does not pin the
// size. The error wraps [ErrIndex] unless index < size <= MaxSize, or [ErrProof].
func VerifyInclusion(entry Hash, index, size uint64, root Hash, path []Hash) error {
	return verifyLeaf(Leaf(entry), index, size, root, path)
}

// verifyLeaf is VerifyInclusion for logs whose entries are not 32 bytes, which
// is to say for the published test vectors.
func verifyLeaf(leaf Hash, index, size uint64, root Hash, path []Hash) error {
	if size > MaxSize || index >= size {
		return fmt.Errorf("verify inclusion: %w: index %d in a log of %d", ErrIndex, index, size)
	}
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], byteSlices(path), root[:])
	if err != nil {
		// The library's text is dropped: it prints the roots as lists of numbers.
		return fmt.Errorf("verify inclusion: %w: index %d in a log of %d, %d hashes", ErrProof, index, size, len(path))
	}
	return nil
}

// Consistency returns the proof that the tree of size to begins with the tree
// of size from (RFC 6962 section 2.1.2). It is empty when from is 0 or equals
// to. The error wraps [ErrIndex] unless from <= to <= MaxSize.
func Consistency(r TileReader, from, to uint64) ([]Hash, error) {
	if to > MaxSize || from > to {
		return nil, fmt.Errorf("prove consistency: %w: from %d to %d", ErrIndex, from, to)
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("prove consistency: %w: %w", ErrIndex, err)
	}
	hs, err := readNodes(r, nodes, to)
	if err != nil {
		return nil, fmt.Errorf("prove consistency: %w", err)
	}
	return hs, nil
}

// VerifyConsistency checks that the log with toRoot begins with the log with
// fromRoot. The error wraps [ErrIndex] unless fromSize <= toSize <= MaxSize, or
// [ErrProof]. Between checkpoints of one size and different roots no proof
// exists: see [Fork].
func VerifyConsistency(fromSize uint64, fromRoot Hash, toSize uint64, toRoot Hash, path []Hash) error {
	if toSize > MaxSize || fromSize > toSize {
		return fmt.Errorf("verify consistency: %w: from %d to %d", ErrIndex, fromSize, toSize)
	}
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, fromSize, toSize, byteSlices(path), fromRoot[:], toRoot[:])
	// From size 0 the library asks nothing of the root, so a made-up one would
	// pass for a log that was once empty.
	if err != nil || (fromSize == 0 && fromRoot != EmptyRoot()) {
		return fmt.Errorf("verify consistency: %w: from %d to %d, %d hashes", ErrProof, fromSize, toSize, len(path))
	}
	return nil
}

// readNodes reads the nodes of a proof and folds those that make up the one
// node which is not perfect.
func readNodes(r TileReader, nodes proof.Nodes, size uint64) ([]Hash, error) {
	c := newTiles(r, size)
	raw := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := c.node(id)
		if err != nil {
			return nil, err
		}
		raw[i] = h[:]
	}
	folded, err := nodes.Rehash(raw, nodeSlice)
	if err != nil {
		return nil, err
	}
	hs := make([]Hash, len(folded))
	for i, b := range folded {
		hs[i] = Hash(b)
	}
	return hs, nil
}
