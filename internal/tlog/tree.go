package tlog

import (
	"bytes"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
)

// edge makes the compact range that a Tree keeps; it holds no state.
var edge = &compact.RangeFactory{Hash: nodeSlice}

// A Tree is the right edge of a log in memory: what is needed to append to it
// and to name its root, some 60 KiB at most whatever the size of the log. The
// zero Tree is an empty log. A Tree must not be used concurrently.
type Tree struct {
	peaks *compact.Range // roots of the perfect subtrees, nil when empty
	// partial holds the unfinished tile of each level, nil when its width
	// would be 0. No other Tree or Tile shares its memory.
	partial [tileLevels][]byte
}

// OpenTree rebuilds the edge of a log of the given size from its tiles.
//
// It reads the partial tile and the last full tile of each level. It returns an
// error wrapping [ErrTile] when one has the wrong length or is not what the
// level above it says. Nothing on disk vouches for the newest hashes of the top
// tiles, so the caller must still compare Root with a checkpoint it trusts; the
// full tiles further left are not read, see [CheckTiles].
func OpenTree(size uint64, r TileReader) (*Tree, error) {
	if size > MaxSize {
		return nil, fmt.Errorf("open tree: %w: size %d", ErrIndex, size)
	}
	t := new(Tree)
	if size == 0 {
		return t, nil
	}
	c := newTiles(r, size)
	for level := range tileLevels {
		n := size >> (level * TileHeight) // hashes at this level
		if n == 0 {
			break
		}
		if n%TileWidth != 0 {
			b, err := c.tile(level, n/TileWidth)
			if err != nil {
				return nil, fmt.Errorf("open tree: %w", err)
			}
			t.partial[level] = append(make([]byte, 0, TileBytes), b...)
		}
		// A full tile is pinned by one hash of the level above. Only the last
		// one is checked here: it is the one a torn write could have spoiled,
		// and the others have been so since an earlier start.
		if n >= TileWidth {
			if err := c.checkFull(level, n/TileWidth-1); err != nil {
				return nil, fmt.Errorf("open tree: %w", err)
			}
		}
	}
	ids := compact.RangeNodes(0, size, nil)
	peaks := make([][]byte, len(ids))
	for i, id := range ids {
		h, err := c.node(id)
		if err != nil {
			return nil, fmt.Errorf("open tree: %w", err)
		}
		peaks[i] = h[:]
	}
	var err error
	if t.peaks, err = edge.NewRange(0, size, peaks); err != nil {
		panic("internal error: " + err.Error()) // RangeNodes and NewRange count alike
	}
	return t, nil
}

// checkFull compares the root of a full tile with its hash one level up.
func (c *tiles) checkFull(level int, index uint64) error {
	b, err := c.tile(level, index)
	if err != nil {
		return err
	}
	above, err := c.tile(level+1, index/TileWidth)
	if err != nil {
		return err
	}
	root, i := perfect(b), int(index%TileWidth)*HashSize
	if !bytes.Equal(root[:], above[i:i+HashSize]) {
		return fmt.Errorf("%w: %s does not hash to what %s holds", ErrTile,
			tilePath(level, index, TileWidth), tilePath(level+1, index/TileWidth, len(above)/HashSize))
	}
	return nil
}

// CheckTiles reads every tile of a log of the given size, compares each full
// tile with the level above it, and returns the root they make. If that root is
// the one of a trusted checkpoint, every tile is as it was when that checkpoint
// was signed. It holds two tiles in memory at a time, and returns an error wrapping
// [ErrTile] that names the first tile found wrong.
func CheckTiles(size uint64, r TileReader) (Hash, error) {
	t, err := OpenTree(size, r)
	if err != nil {
		return Hash{}, fmt.Errorf("check tiles: %w", err)
	}
	for level := range tileLevels {
		full := size >> ((level + 1) * TileHeight)
		c := newTiles(r, size)
		for i := range full {
			if i%TileWidth == 0 {
				c = newTiles(r, size) // a new tile above; drop the old ones
			}
			if err := c.checkFull(level, i); err != nil {
				return Hash{}, fmt.Errorf("check tiles: %w", err)
			}
			delete(c.cache, tileID{level, i})
		}
	}
	return t.Root(), nil
}

// Size returns the number of entries.
func (t *Tree) Size() uint64 {
	if t.peaks == nil {
		return 0
	}
	return t.peaks.End()
}

// Root returns the Merkle tree hash of all entries; of none, [EmptyRoot].
func (t *Tree) Root() Hash {
	if t.Size() == 0 {
		return EmptyRoot()
	}
	h, err := t.peaks.GetRootHash(nil)
	if err != nil {
		panic("internal error: " + err.Error()) // the range begins at 0
	}
	return Hash(h)
}

// Clone returns a copy that shares no memory with t that either may change: a
// writer appends to the clone, and keeps it once the tiles are on disk.
func (t *Tree) Clone() *Tree {
	c := new(Tree)
	for i, p := range t.partial {
		if p != nil {
			c.partial[i] = append(make([]byte, 0, TileBytes), p...)
		}
	}
	if t.peaks != nil {
		// A range rewrites its list of hashes in place, never a hash.
		var err error
		c.peaks, err = edge.NewRange(0, t.peaks.End(), append([][]byte(nil), t.peaks.Hashes()...))
		if err != nil {
			panic("internal error: " + err.Error())
		}
	}
	return c
}

// Append adds entries to the log and returns the tiles to write: every tile
// whose content changed, whole, by level and then index. A full tile is
// returned once, when it fills; at most one tile of a level is partial, its
// last. Written over the tiles of the earlier size they hold all that proofs at
// the new size need. The caller owns the returned tiles.
func (t *Tree) Append(entries []Hash) (changed []Tile) {
	if uint64(len(entries)) > MaxSize-t.Size() {
		panic("internal error: log is full")
	}
	if t.peaks == nil {
		t.peaks = edge.NewEmptyRange(0)
	}
	var full [tileLevels][]Tile
	var touched [tileLevels]bool // the partial tile of the level has grown
	visit := func(id compact.NodeID, h []byte) {
		if id.Level%TileHeight != 0 {
			return // within a tile: recomputed from its bottom row when needed
		}
		l := id.Level / TileHeight
		p := t.partial[l]
		if p == nil {
			p = make([]byte, 0, TileBytes)
		}
		p = append(p, h...)
		if len(p) < TileBytes {
			t.partial[l], touched[l] = p, true
			return
		}
		full[l] = append(full[l], Tile{Level: int(l), Index: id.Index / TileWidth, Data: p})
		t.partial[l], touched[l] = nil, false // p is the caller's now
	}
	for i := range entries {
		h := Leaf(entries[i])
		if err := t.peaks.Append(h[:], visit); err != nil {
			panic("internal error: " + err.Error())
		}
	}
	for l := range tileLevels {
		changed = append(changed, full[l]...)
		if touched[l] {
			changed = append(changed, Tile{
				Level: l,
				Index: t.Size() >> ((l + 1) * TileHeight),
				Data:  bytes.Clone(t.partial[l]),
			})
		}
	}
	return changed
}
