package tlog

import (
	"errors"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	sumdb "golang.org/x/mod/sumdb/tlog"
)

func fromOracle(p []sumdb.Hash) []Hash {
	out := make([]Hash, len(p))
	for i := range p {
		out[i] = Hash(p[i])
	}
	return out
}

func toOracle(p []Hash) []sumdb.Hash {
	out := make([]sumdb.Hash, len(p))
	for i := range p {
		out[i] = sumdb.Hash(p[i])
	}
	return out
}

// For every size to 600 and every index a path is the oracle's, hash for hash.
func TestInclusionAgreesWithSumdb(t *testing.T) {
	const top = 600
	tree, m, o := new(Tree), newMemory(), new(oracle)
	for size := uint64(1); size <= top; size++ {
		o.add(t, size-1)
		grow(tree, m, size)
		root := tree.Root()
		for i := range size {
			if size > 40 && i > 3 && i < size-3 && i%17 != size%17 {
				continue // all of them would take minutes and show nothing more
			}
			got, err := Inclusion(m, i, size)
			if err != nil {
				t.Fatalf("size %d index %d: %v", size, i, err)
			}
			want, err := sumdb.ProveRecord(int64(size), int64(i), o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, fromOracle(want)) {
				t.Fatalf("size %d index %d: path differs from sumdb's", size, i)
			}
			if err := VerifyInclusion(entry(i), i, size, root, got); err != nil {
				t.Fatalf("size %d index %d: %v", size, i, err)
			}
		}
	}
}

func TestConsistencyAgreesWithSumdb(t *testing.T) {
	const top = 600
	tree, m, o := new(Tree), newMemory(), new(oracle)
	roots := []Hash{EmptyRoot()}
	for size := uint64(1); size <= top; size++ {
		o.add(t, size-1)
		grow(tree, m, size)
		roots = append(roots, tree.Root())
		for from := range size + 1 {
			if size > 40 && from > 3 && from < size-3 && from%17 != size%17 {
				continue
			}
			got, err := Consistency(m, from, size)
			if err != nil {
				t.Fatalf("from %d to %d: %v", from, size, err)
			}
			if from > 0 { // sumdb has no proof from the empty tree
				want, err := sumdb.ProveTree(int64(size), int64(from), o)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, fromOracle(want)) {
					t.Fatalf("from %d to %d: proof differs from sumdb's", from, size)
				}
			} else if len(got) != 0 {
				t.Fatalf("from 0 to %d: %d hashes, want none", size, len(got))
			}
			if err := VerifyConsistency(from, roots[from], size, roots[size], got); err != nil {
				t.Fatalf("from %d to %d: %v", from, size, err)
			}
			bad := roots[from]
			bad[0] ^= 1
			if err := VerifyConsistency(from, bad, size, roots[size], got); !errors.Is(err, ErrProof) {
				t.Fatalf("from %d to %d, altered old root: %v, want ErrProof", from, size, err)
			}
		}
	}
}

// Large logs at random: both verifiers accept what we prove, and the cost is a
// few tiles.
func TestProofsInLargeLogs(t *testing.T) {
	size := uint64(300_000)
	tree, m := build(size)
	root := tree.Root()
	rng := rand.New(rand.NewPCG(5, 8))
	for range 300 {
		i, from := rng.Uint64N(size), 1+rng.Uint64N(size-1)
		clear(m.reads)
		path, err := Inclusion(m, i, size)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.reads); n > 6 {
			t.Fatalf("index %d: read %d tiles, want at most two of each of 3 levels", i, n)
		}
		if err := sumdb.CheckRecord(toOracle(path), int64(size), sumdb.Hash(root), int64(i), sumdb.Hash(Leaf(entry(i)))); err != nil {
			t.Fatalf("index %d: %v", i, err)
		}
		old, _ := OpenTree(from, m)
		path, err = Consistency(m, from, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := sumdb.CheckTree(toOracle(path), int64(size), sumdb.Hash(root), int64(from), sumdb.Hash(old.Root())); err != nil {
			t.Fatalf("from %d: %v", from, err)
		}
		if err := VerifyConsistency(from, old.Root(), size, root, path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInclusionRefuses(t *testing.T) {
	tree, m := build(100)
	root := tree.Root()
	path, _ := Inclusion(m, 41, 100)
	check := func(name string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	check("another entry", VerifyInclusion(entry(42), 41, 100, root, path), ErrProof)
	check("another index", VerifyInclusion(entry(41), 40, 100, root, path), ErrProof)
	// A path does not pin the size by itself, only where it changes the shape;
	// size and root come from one checkpoint.
	check("another size", VerifyInclusion(entry(41), 41, 129, root, path), ErrProof)
	check("another root", VerifyInclusion(entry(41), 41, 100, Hash{}, path), ErrProof)
	check("cut", VerifyInclusion(entry(41), 41, 100, root, path[:len(path)-1]), ErrProof)
	check("padded", VerifyInclusion(entry(41), 41, 100, root, append(slices.Clone(path), Hash{})), ErrProof)
	check("index = size", VerifyInclusion(entry(41), 100, 100, root, path), ErrIndex)
	check("size too large", VerifyInclusion(entry(41), 41, MaxSize+1, root, path), ErrIndex)
	_, err := Inclusion(m, 100, 100)
	check("prove index = size", err, ErrIndex)
	_, err = Consistency(m, 100, 99)
	check("prove backwards", err, ErrIndex)
	check("verify backwards", VerifyConsistency(100, root, 99, root, nil), ErrIndex)
	check("fork", VerifyConsistency(100, root, 100, Hash{}, nil), ErrProof)
	check("from a made-up nothing", VerifyConsistency(0, Hash{1}, 100, root, nil), ErrProof)
}

// batchOf returns k distinct indices below size, in order.
func batchOf(rng *rand.Rand, k int, size uint64) []uint64 {
	set := map[uint64]bool{}
	for len(set) < k {
		set[rng.Uint64N(size)] = true
	}
	out := make([]uint64, 0, k)
	for i := range set {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

func entriesAt(indices []uint64) []Hash {
	hs := make([]Hash, len(indices))
	for i, x := range indices {
		hs[i] = entry(x)
	}
	return hs
}

// reference is the definition of a batch proof in the package comment, word
// for word, over leaves held in memory.
func reference(lo, hi uint64, asked map[uint64]bool) (proof []Hash) {
	any := false
	for i := lo; i < hi; i++ {
		any = any || asked[i]
	}
	if !any {
		return []Hash{referenceRoot(lo, hi)}
	}
	if hi-lo == 1 {
		return nil
	}
	mid := uint64(1)
	for mid*2 < hi-lo {
		mid *= 2
	}
	return append(reference(lo, lo+mid, asked), reference(lo+mid, hi, asked)...)
}

func referenceRoot(lo, hi uint64) Hash {
	if hi-lo == 1 {
		e := entry(lo)
		return Hash(sumdb.RecordHash(e[:]))
	}
	mid := uint64(1)
	for mid*2 < hi-lo {
		mid *= 2
	}
	return Hash(sumdb.NodeHash(sumdb.Hash(referenceRoot(lo, lo+mid)), sumdb.Hash(referenceRoot(lo+mid, hi))))
}

// Every subset of small logs, and random subsets of every size to 600: the
// proof is the one the definition gives, and it verifies.
func TestBatchIsAsSpecified(t *testing.T) {
	tree, m := new(Tree), newMemory()
	rng := rand.New(rand.NewPCG(13, 21))
	try := func(size uint64, indices []uint64) {
		t.Helper()
		got, err := ProveBatch(m, indices, size)
		if err != nil {
			t.Fatalf("size %d indices %v: %v", size, indices, err)
		}
		asked := map[uint64]bool{}
		for _, x := range indices {
			asked[x] = true
		}
		if want := reference(0, size, asked); !slices.Equal(got, want) {
			t.Fatalf("size %d indices %v: %d hashes, not those of the definition (%d)", size, indices, len(got), len(want))
		}
		if err := VerifyBatch(entriesAt(indices), indices, size, tree.Root(), got); err != nil {
			t.Fatalf("size %d indices %v: %v", size, indices, err)
		}
	}
	for size := uint64(1); size <= 600; size++ {
		grow(tree, m, size)
		if size <= 10 {
			for set := uint64(1); set < 1<<size; set++ {
				var indices []uint64
				for s := set; s != 0; s &= s - 1 {
					indices = append(indices, uint64(bits.TrailingZeros64(s)))
				}
				try(size, indices)
			}
		}
		for range 3 {
			try(size, batchOf(rng, 1+rng.IntN(int(size)), size))
		}
	}
}

// The example of the package comment.
func TestBatchExample(t *testing.T) {
	tree, m := build(7)
	indices := []uint64{1, 4, 5}
	got, err := ProveBatch(m, indices, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := []Hash{referenceRoot(0, 1), referenceRoot(2, 4), referenceRoot(6, 7)}
	if !slices.Equal(got, want) || len(JoinHashes(got)) != 96 {
		t.Errorf("proof %v, want %v", got, want)
	}
	if err := VerifyBatch(entriesAt(indices), indices, 7, tree.Root(), got); err != nil {
		t.Error(err)
	}
}

// A batch of one holds just the hashes of the RFC 6962 path.
func TestBatchOfOneIsAnInclusionProof(t *testing.T) {
	const size = 5000
	_, m := build(size)
	for i := uint64(0); i < size; i += 37 {
		path, _ := Inclusion(m, i, size)
		batch, err := ProveBatch(m, []uint64{i}, size)
		if err != nil {
			t.Fatal(err)
		}
		order := func(a, b Hash) int { return slices.Compare(a[:], b[:]) }
		slices.SortFunc(path, order)
		slices.SortFunc(batch, order)
		if !slices.Equal(path, batch) {
			t.Fatalf("index %d: %d hashes, the path has %d", i, len(batch), len(path))
		}
	}
}

// What ProveBatch costs, as counts: each touched tile read once.
func TestBatchReadsEachTileOnce(t *testing.T) {
	const size = 200_000
	tree, m := build(size)
	rng := rand.New(rand.NewPCG(34, 55))
	for name, indices := range map[string][]uint64{
		"scattered": batchOf(rng, 1000, size),
		"in a row":  batchOf(rng, 1000, 1000),
	} {
		clear(m.reads)
		proof, err := ProveBatch(m, indices, size)
		if err != nil {
			t.Fatal(err)
		}
		need := map[tileID]bool{}
		for _, i := range indices {
			need[tileID{0, i >> 8}] = true
		}
		for id, n := range m.reads {
			if n != 1 {
				t.Errorf("%s: tile %d/%d read %d times", name, id.level, id.index, n)
			}
			if id.level == 0 && !need[id] && id.index != size>>8 {
				t.Errorf("%s: tile 0/%d read, and holds nothing that was asked", name, id.index)
			}
		}
		t.Logf("%s: %d tiles read for 1000 entries in %d, proof of %d hashes", name, len(m.reads), size, len(proof))
		if err := VerifyBatch(entriesAt(indices), indices, size, tree.Root(), proof); err != nil {
			t.Error(err)
		}
	}
}

func TestBatchRefuses(t *testing.T) {
	const size = 700
	tree, m := build(size)
	root := tree.Root()
	ix := []uint64{3, 4, 300, 699}
	es := entriesAt(ix)
	proof, err := ProveBatch(m, ix, size)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]uint64{
		"none":          {},
		"unsorted":      {4, 3, 300, 699},
		"twice":         {3, 3, 300, 699},
		"out of range":  {3, 4, 300, 700},
		"far away":      {3, 4, 300, 1 << 63},
		"one too many":  {3, 4, 5, 300, 699},
		"a shorter ask": {3, 4, 300},
	} {
		if err := VerifyBatch(es, bad, size, root, proof); !errors.Is(err, ErrIndex) {
			t.Errorf("verify %s: %v, want ErrIndex", name, err)
		}
		if _, err := ProveBatch(m, bad, size); len(bad) == len(ix) && !errors.Is(err, ErrIndex) {
			t.Errorf("prove %s: %v, want ErrIndex", name, err)
		}
	}
	long := make([]uint64, MaxBatch+1)
	for i := range long {
		long[i] = uint64(i)
	}
	if _, err := ProveBatch(m, long, MaxSize); !errors.Is(err, ErrIndex) {
		t.Errorf("more than MaxBatch: %v, want ErrIndex", err)
	}
	for i := range proof {
		bad := slices.Clone(proof)
		bad[i][31] ^= 1
		if err := VerifyBatch(es, ix, size, root, bad); !errors.Is(err, ErrProof) {
			t.Errorf("hash %d altered: %v, want ErrProof", i, err)
		}
		if err := VerifyBatch(es, ix, size, root, slices.Delete(slices.Clone(proof), i, i+1)); !errors.Is(err, ErrProof) {
			t.Errorf("hash %d missing: %v, want ErrProof", i, err)
		}
		if err := VerifyBatch(es, ix, size, root, slices.Insert(slices.Clone(proof), i, proof[i])); !errors.Is(err, ErrProof) {
			t.Errorf("hash %d twice: %v, want ErrProof", i, err)
		}
	}
	if err := VerifyBatch(es, ix, size, root, append(slices.Clone(proof), Hash{})); !errors.Is(err, ErrProof) {
		t.Errorf("hash left over: %v, want ErrProof", err)
	}
	for i := range es {
		bad := slices.Clone(es)
		bad[i][0] ^= 1
		if err := VerifyBatch(bad, ix, size, root, proof); !errors.Is(err, ErrProof) {
			t.Errorf("entry %d altered: %v, want ErrProof", i, err)
		}
	}
	es[0], es[1] = es[1], es[0]
	if err := VerifyBatch(es, ix, size, root, proof); !errors.Is(err, ErrProof) {
		t.Errorf("entries exchanged: %v, want ErrProof", err)
	}
}
