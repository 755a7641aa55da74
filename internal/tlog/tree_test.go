package tlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	sumdb "golang.org/x/mod/sumdb/tlog"
)

// entry returns the made-up entry i: distinct, and the same in every run.
func entry(i uint64) (h Hash) {
	binary.BigEndian.PutUint64(h[:], i)
	return h
}

func entries(lo, hi uint64) []Hash {
	hs := make([]Hash, 0, hi-lo)
	for i := lo; i < hi; i++ {
		hs = append(hs, entry(i))
	}
	return hs
}

// memory keeps tiles as a ledger does: the newest content of each, by place. It
// counts reads.
type memory struct {
	tiles map[tileID][]byte
	reads map[tileID]int
}

func newMemory() *memory { return &memory{map[tileID][]byte{}, map[tileID]int{}} }

func (m *memory) write(ts []Tile) {
	for _, t := range ts {
		m.tiles[tileID{t.Level, t.Index}] = t.Data
	}
}

func (m *memory) Tile(level int, index uint64, width int) ([]byte, error) {
	id := tileID{level, index}
	m.reads[id]++
	b, ok := m.tiles[id]
	if !ok || len(b) < width*HashSize {
		return nil, fs.ErrNotExist
	}
	return b[:width*HashSize], nil
}

func (m *memory) clone() *memory {
	c := newMemory()
	for id, b := range m.tiles {
		c.tiles[id] = bytes.Clone(b)
	}
	return c
}

// oracle is the same log held by golang.org/x/mod/sumdb/tlog, which shares no
// code with this package.
type oracle struct{ hashes []sumdb.Hash }

func (o *oracle) ReadHashes(ix []int64) ([]sumdb.Hash, error) {
	out := make([]sumdb.Hash, len(ix))
	for i, x := range ix {
		out[i] = o.hashes[x]
	}
	return out, nil
}

func (o *oracle) add(t testing.TB, i uint64) {
	e := entry(i)
	hs, err := sumdb.StoredHashes(int64(i), e[:], o)
	if err != nil {
		t.Fatal(err)
	}
	o.hashes = append(o.hashes, hs...)
}

func (o *oracle) root(t testing.TB, size uint64) Hash {
	h, err := sumdb.TreeHash(int64(size), o)
	if err != nil {
		t.Fatal(err)
	}
	return Hash(h)
}

// grow appends entries up to size to tree, in one batch, and to m.
func grow(tree *Tree, m *memory, size uint64) {
	m.write(tree.Append(entries(tree.Size(), size)))
}

func build(size uint64) (*Tree, *memory) {
	tree, m := new(Tree), newMemory()
	grow(tree, m, size)
	return tree, m
}

func TestHashesAreThoseOfTheLibrary(t *testing.T) {
	a, b := entry(1), entry(2)
	if got, want := Leaf(a), rfc6962.DefaultHasher.HashLeaf(a[:]); !bytes.Equal(got[:], want) {
		t.Errorf("Leaf = %x, want %x", got, want)
	}
	if got, want := node(a[:], b[:]), rfc6962.DefaultHasher.HashChildren(a[:], b[:]); !bytes.Equal(got[:], want) {
		t.Errorf("node = %x, want %x", got, want)
	}
	if got, want := EmptyRoot(), rfc6962.DefaultHasher.EmptyRoot(); !bytes.Equal(got[:], want) {
		t.Errorf("EmptyRoot = %x, want %x", got, want)
	}
}

// Every size from 0 to 700, grown one by one: the root is the oracle's, and a
// tree opened from the tiles is the tree that wrote them.
func TestRootAtEverySize(t *testing.T) {
	tree, m, o := new(Tree), newMemory(), new(oracle)
	if got := tree.Root(); got != EmptyRoot() {
		t.Errorf("root of nothing = %v", got)
	}
	for size := uint64(1); size <= 700; size++ {
		o.add(t, size-1)
		grow(tree, m, size)
		if got, want := tree.Root(), o.root(t, size); got != want {
			t.Fatalf("size %d: root %v, want %v", size, got, want)
		}
		opened, err := OpenTree(size, m)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if opened.Size() != size || opened.Root() != tree.Root() {
			t.Fatalf("size %d: opened tree has size %d root %v, want root %v", size, opened.Size(), opened.Root(), tree.Root())
		}
	}
}

// In whatever batches the entries come, and through whatever restarts, the
// tiles at the end are the same bytes: those sumdb cuts from its own hashes.
func TestTilesDoNotDependOnBatches(t *testing.T) {
	const size = 66_000 // past one full tile of level 1
	o := new(oracle)
	for i := range uint64(size) {
		o.add(t, i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	tree, m := new(Tree), newMemory()
	for tree.Size() < size {
		grow(tree, m, min(size, tree.Size()+1+rng.Uint64N(1+rng.Uint64N(4000))))
		if rng.IntN(3) == 0 {
			var err error
			if tree, err = OpenTree(tree.Size(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := tree.Root(), o.root(t, size); got != want {
		t.Errorf("root %v, want %v", got, want)
	}
	want := 0
	for _, st := range sumdb.NewTiles(TileHeight, 0, size) {
		full := m.tiles[tileID{st.L, uint64(st.N)}]
		data, err := sumdb.ReadTileData(st, o)
		if err != nil {
			t.Fatal(err)
		}
		if st.W < TileWidth && len(full) > len(data) {
			continue // a narrower version of a tile that has grown since
		}
		want++
		if !bytes.Equal(full, data) {
			t.Errorf("tile %s differs", st.Path())
		}
	}
	if len(m.tiles) != want {
		t.Errorf("%d tiles written, want %d", len(m.tiles), want)
	}
	if root, err := CheckTiles(size, m); err != nil || root != tree.Root() {
		t.Errorf("CheckTiles = %v, %v, want %v", root, err, tree.Root())
	}
}

// Append returns each changed tile once, and only those: a commit's writes.
func TestAppendReturnsOnlyWhatChanged(t *testing.T) {
	for _, c := range []struct {
		from, to uint64
		want     string // level/index:width
	}{
		{0, 1, "0/0:1"},
		{0, 255, "0/0:255"},
		{0, 256, "0/0:256 1/0:1"},
		{255, 256, "0/0:256 1/0:1"},
		{256, 257, "0/1:1"},
		{300, 300, ""},
		{300, 1300, "0/1:256 0/2:256 0/3:256 0/4:256 0/5:20 1/0:5"},
		{65535, 65536, "0/255:256 1/0:256 2/0:1"},
		{65535, 65537, "0/255:256 0/256:1 1/0:256 2/0:1"},
	} {
		tree, _ := build(c.from)
		var got []byte
		for _, tile := range tree.Append(entries(c.from, c.to)) {
			got = fmt.Appendf(got, " %d/%d:%d", tile.Level, tile.Index, tile.Width())
		}
		if string(bytes.TrimSpace(got)) != c.want {
			t.Errorf("append %d..%d: tiles%s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// A clone and the tree it came from, and the tiles handed out, share nothing.
func TestCloneAndTilesStandAlone(t *testing.T) {
	tree, m := build(1000)
	kept := m.clone()
	root := tree.Root()
	a, b := tree.Clone(), tree.Clone()
	for _, tile := range a.Append(entries(5000, 9000)) {
		clear(tile.Data)
	}
	grow(b, m, 3000)
	if tree.Size() != 1000 || tree.Root() != root {
		t.Errorf("appending to clones moved the tree to size %d root %v", tree.Size(), tree.Root())
	}
	want, _ := build(3000)
	if b.Root() != want.Root() {
		t.Errorf("clone: root %v, want %v", b.Root(), want.Root())
	}
	for _, tile := range tree.Append(entries(1000, 1100)) {
		clear(tile.Data)
	}
	tree.Append(entries(1100, 3000))
	if tree.Root() != want.Root() {
		t.Errorf("after its tiles were cleared: root %v, want %v", tree.Root(), want.Root())
	}
	if got, err := OpenTree(1000, kept); err != nil || got.Root() != root {
		t.Errorf("tiles of the old size: %v, %v", got, err)
	}
}

// Altering any byte of an edge tile is seen when the tree is opened, or else
// changes its root; altering any other tile is seen by CheckTiles.
func TestAlteredTilesAreSeen(t *testing.T) {
	for _, size := range []uint64{1, 255, 256, 257, 5000, 65536, 66000} {
		tree, m := build(size)
		rng := rand.New(rand.NewPCG(size, 3))
		whole := 0
		for id, data := range m.tiles {
			at, bit := rng.IntN(len(data)), byte(1)<<rng.IntN(8)
			data[at] ^= bit
			full := len(data) == TileBytes
			// At the edge, opening alone must see it.
			if edge := !full || id.index+1 == size>>((id.level+1)*TileHeight); edge {
				opened, err := OpenTree(size, m)
				if err == nil && opened.Root() == tree.Root() {
					t.Errorf("size %d: edge tile %d/%d altered and not seen on opening", size, id.level, id.index)
				}
				if full && !errors.Is(err, ErrTile) {
					t.Errorf("size %d: full edge tile %d/%d altered: %v, want ErrTile", size, id.level, id.index, err)
				}
			}
			if whole++; whole < 20 || id.level > 0 { // all of them would take a minute
				root, err := CheckTiles(size, m)
				if err == nil && root == tree.Root() {
					t.Errorf("size %d: tile %d/%d altered and not seen", size, id.level, id.index)
				}
				if err != nil && !errors.Is(err, ErrTile) {
					t.Errorf("size %d: %v, want ErrTile", size, err)
				}
			}
			data[at] ^= bit
		}
		if root, err := CheckTiles(size, m); err != nil || root != tree.Root() {
			t.Errorf("size %d, put right again: %v, %v", size, root, err)
		}
	}
}

// A reader that answers with too much, too little or an error is not believed.
type reader func(level int, index uint64, width int) ([]byte, error)

func (r reader) Tile(level int, index uint64, width int) ([]byte, error) {
	return r(level, index, width)
}

func TestReaderThatMisbehaves(t *testing.T) {
	_, m := build(1000)
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		r    reader
		want error
	}{
		"short": {func(l int, i uint64, w int) ([]byte, error) {
			b, err := m.Tile(l, i, w)
			return b[:len(b)-1], err
		}, ErrTile},
		"long":  {func(int, uint64, int) ([]byte, error) { return make([]byte, TileBytes+HashSize), nil }, ErrTile},
		"empty": {func(int, uint64, int) ([]byte, error) { return nil, nil }, ErrTile},
		"error": {func(int, uint64, int) ([]byte, error) { return nil, boom }, boom},
	} {
		_, err := OpenTree(1000, c.r)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: OpenTree: %v, want %v", name, err, c.want)
		}
		if _, err = Inclusion(c.r, 3, 1000); !errors.Is(err, c.want) {
			t.Errorf("%s: Inclusion: %v, want %v", name, err, c.want)
		}
		if _, err = Consistency(c.r, 3, 1000); !errors.Is(err, c.want) {
			t.Errorf("%s: Consistency: %v, want %v", name, err, c.want)
		}
		if _, err = ProveBatch(c.r, []uint64{3, 500}, 1000); !errors.Is(err, c.want) {
			t.Errorf("%s: ProveBatch: %v, want %v", name, err, c.want)
		}
	}
	if _, err := OpenTree(MaxSize+1, m); !errors.Is(err, ErrIndex) {
		t.Errorf("size past the largest: %v, want ErrIndex", err)
	}
}

func TestHashText(t *testing.T) {
	h := entry(7)
	if got, err := ParseHash(h.String()); err != nil || got != h {
		t.Errorf("ParseHash(%s) = %v, %v", h, got, err)
	}
	for _, s := range []string{"", "AAAA", h.String() + "\n", h.String()[:42] + "B=", h.String()[:43], "\n" + h.String()[:43]} {
		if _, err := ParseHash(s); !errors.Is(err, ErrHash) {
			t.Errorf("ParseHash(%q): %v, want ErrHash", s, err)
		}
	}
	hs := entries(3, 9)
	if got, err := SplitHashes(JoinHashes(hs)); err != nil || len(got) != 6 || got[5] != hs[5] {
		t.Errorf("SplitHashes = %v, %v", got, err)
	}
	if _, err := SplitHashes(make([]byte, 33)); !errors.Is(err, ErrHash) {
		t.Errorf("33 bytes: %v, want ErrHash", err)
	}
}
