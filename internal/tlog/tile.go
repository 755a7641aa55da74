package tlog

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
)

// The shape of tiles (c2sp.org/tlog-tiles, "Merkle Tree").
const (
	TileHeight = 8                     // tree levels that one tile spans
	TileWidth  = 1 << TileHeight       // hashes in a full tile
	TileBytes  = TileWidth * HashSize  // bytes in a full tile
	tileLevels = 64 / TileHeight       // levels of tiles below MaxSize
	maxIndex   = MaxSize >> TileHeight // the last index of a tile at level 0
)

// ErrTile is wrapped when a tile has the wrong width, or when tiles contradict
// each other: what was stored was altered, or lost in part.
var ErrTile = errors.New("tile is damaged")

// A Tile is up to 256 consecutive hashes of one level of the tree. Hash i of
// the tile at level L, index N is the Merkle tree hash of the 256^L entries
// from (256·N + i)·256^L; at level 0 those are leaf hashes.
type Tile struct {
	Level int    // 0 to 7
	Index uint64 // position within the level
	Data  []byte // 32 bytes a hash, 1 to 256 hashes
}

// Width returns the number of hashes in the tile; 256 is a full tile, which
// never changes again.
func (t Tile) Width() int { return len(t.Data) / HashSize }

// A TileReader reads the tiles of one log.
//
// Tile returns the first width hashes of a tile, exactly 32·width bytes, or an
// error; it never returns fewer. Width is 1 to 256. A reader asked for a width
// narrower than what it holds cuts the tile: hashes once in a tile stay there.
// The caller does not change the returned bytes. A reader that is used
// concurrently must allow it.
type TileReader interface {
	Tile(level int, index uint64, width int) ([]byte, error)
}

// TilePath returns the path of a tile below the log's prefix, such as
// "tile/0/x001/x234/067" or, for a partial tile, "tile/1/000.p/17"
// (c2sp.org/tlog-tiles).
func TilePath(t Tile) string { return tilePath(t.Level, t.Index, t.Width()) }

func tilePath(level int, index uint64, width int) string {
	n := fmt.Sprintf("%03d", index%1000)
	for index >= 1000 {
		index /= 1000
		n = fmt.Sprintf("x%03d/%s", index%1000, n)
	}
	p := "tile/" + strconv.Itoa(level) + "/" + n
	if width != TileWidth {
		p += ".p/" + strconv.Itoa(width)
	}
	return p
}

// ErrPath is wrapped when a path is not that of a tile.
var ErrPath = errors.New("not the path of a tile")

// ParseTilePath reads what TilePath prints and nothing else. The error wraps
// [ErrPath].
func ParseTilePath(path string) (level int, index uint64, width int, err error) {
	bad := fmt.Errorf("%w: %.80q", ErrPath, path)
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok || len(path) > 80 {
		return 0, 0, 0, bad
	}
	l, rest, _ := strings.Cut(rest, "/")
	n, w, partial := strings.Cut(rest, ".p/")
	if level, err = strconv.Atoi(l); err != nil || level < 0 || level >= tileLevels {
		return 0, 0, 0, bad
	}
	width = TileWidth
	if partial {
		if width, err = strconv.Atoi(w); err != nil || width < 1 || width >= TileWidth {
			return 0, 0, 0, bad
		}
	}
	for _, part := range strings.Split(n, "/") {
		d, err := strconv.ParseUint(strings.TrimPrefix(part, "x"), 10, 16)
		if err != nil || d > 999 || index > maxIndex/1000 {
			return 0, 0, 0, bad
		}
		index = index*1000 + d
	}
	// Printing back settles signs, zeros and the place of each "x" in one rule.
	if index > maxIndex || tilePath(level, index, width) != path {
		return 0, 0, 0, bad
	}
	return level, index, width, nil
}

// tileWidth returns how many hashes the tile at level, index holds in a tree of
// the given size; 0 if there is no such tile.
func tileWidth(level int, index, size uint64) int {
	n := size >> (level * TileHeight) // hashes at this level
	if n <= index<<TileHeight {
		return 0
	}
	return int(min(n-index<<TileHeight, TileWidth))
}

// tiles reads the nodes of one tree size out of its tiles, each tile once: a
// proof asks for many nodes of few tiles, and a tile may be a read from disk.
type tiles struct {
	r     TileReader
	size  uint64
	cache map[tileID][]byte
}

type tileID struct {
	level int
	index uint64
}

func newTiles(r TileReader, size uint64) *tiles {
	return &tiles{r: r, size: size, cache: make(map[tileID][]byte)}
}

func (c *tiles) tile(level int, index uint64) ([]byte, error) {
	id := tileID{level, index}
	if b, ok := c.cache[id]; ok {
		return b, nil
	}
	width := tileWidth(level, index, c.size)
	if width == 0 {
		panic(fmt.Sprintf("internal error: tile %d/%d lies outside a tree of size %d", level, index, c.size))
	}
	b, err := c.r.Tile(level, index, width)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", tilePath(level, index, width), err)
	}
	if len(b) != width*HashSize {
		return nil, fmt.Errorf("read %s: %w: %d bytes, want %d", tilePath(level, index, width), ErrTile, len(b), width*HashSize)
	}
	c.cache[id] = b
	return b, nil
}

// node returns the root of a perfect subtree. It reads the one tile in whose
// span the node lies, which is never a level deeper than needed.
func (c *tiles) node(id compact.NodeID) (Hash, error) {
	level, up := int(id.Level/TileHeight), id.Level%TileHeight
	first := id.Index << up // of the hashes below the node, at the tile's level
	b, err := c.tile(level, first>>TileHeight)
	if err != nil {
		return Hash{}, err
	}
	lo := int(first%TileWidth) * HashSize
	return perfect(b[lo : lo+HashSize<<up]), nil
}

// subtree returns the Merkle tree hash of leaves [lo, hi), a range that the
// RFC 6962 recursion from [0, size) comes to.
func (c *tiles) subtree(lo, hi uint64) (Hash, error) {
	n := hi - lo
	if n&(n-1) == 0 {
		up := uint(bits.TrailingZeros64(n))
		return c.node(compact.NewNodeID(up, lo>>up))
	}
	mid := lo + split(n)
	l, err := c.subtree(lo, mid)
	if err != nil {
		return Hash{}, err
	}
	r, err := c.subtree(mid, hi)
	if err != nil {
		return Hash{}, err
	}
	return node(l[:], r[:]), nil
}

// split returns the largest power of two below n, for n > 1: where RFC 6962
// section 2.1 divides n leaves.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }
