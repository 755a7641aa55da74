package tlog

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
)

// TestWhole: a tree in memory has the roots and paths of a log with the same
// entries, and every path leads to the root from its own entry and place alone.
func TestWhole(t *testing.T) {
	if got := NewWhole(nil).Root(); got != EmptyRoot() {
		t.Errorf("root of nothing: %s", got)
	}
	for _, size := range []int{1, 2, 3, 4, 5, 7, 8, 9, 100, 255, 256, 257, 400, 1000} {
		entries, leaves := make([]Hash, size), make([]Hash, size)
		for i := range entries {
			entries[i] = sha256.Sum256([]byte{byte(i), byte(i >> 8)})
			leaves[i] = Leaf(entries[i])
		}
		var tree Tree
		r := newMemory()
		r.write(tree.Append(entries))
		w := NewWhole(leaves)
		if w.Size() != size || w.Root() != tree.Root() {
			t.Fatalf("size %d: root %s, want %s", size, w.Root(), tree.Root())
		}
		var tally Tally
		for i, e := range entries {
			if tally.Size() != uint64(i) {
				t.Fatalf("size %d: a tally of %d", i, tally.Size())
			}
			tally.Add(e)
		}
		if tally.Root() != tree.Root() {
			t.Errorf("size %d: a tally has root %s, want %s", size, tally.Root(), tree.Root())
		}
		for _, i := range []int{0, 1, size / 2, size - 1} {
			if i >= size {
				continue
			}
			path := w.Path(i)
			if want, err := Inclusion(r, uint64(i), uint64(size)); err != nil || !slices.Equal(path, want) {
				t.Errorf("size %d: path of %d differs, %v", size, i, err)
			}
			if root, err := PathRoot(entries[i], uint64(i), uint64(size), path); err != nil || root != tree.Root() {
				t.Errorf("size %d: path of %d leads to %s, %v", size, i, root, err)
			}
			if root, err := PathRoot(entries[(i+1)%size], uint64(i), uint64(size), path); size > 1 && (err != nil || root == tree.Root()) {
				t.Errorf("size %d: path of %d leads another entry to the root, %v", size, i, err)
			}
			if _, err := PathRoot(entries[i], uint64(i), uint64(size), append(path, Hash{})); !errors.Is(err, ErrProof) {
				t.Errorf("size %d: a longer path: %v", size, err)
			}
		}
	}
	if _, err := PathRoot(Hash{}, 3, 3, nil); !errors.Is(err, ErrIndex) {
		t.Errorf("a place outside: %v", err)
	}
}
