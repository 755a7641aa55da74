package tlog

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

const million = 1_000_000

// bigLog is a log of a million entries, built once for all benchmarks.
var bigLog = sync.OnceValues(func() (*Tree, *memory) {
	tree, m := new(Tree), newMemory()
	for tree.Size() < million {
		grow(tree, m, min(million, tree.Size()+4000))
	}
	return tree, m
})

// How many entries a second does the tree take, at one a commit and at a
// thousand, root included?
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			tree, _ := build(100_000)
			es := entries(0, uint64(batch))
			b.ReportAllocs()
			for b.Loop() {
				tree.Append(es)
				tree.Root()
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// What does it cost to prove a thousand entries in a million, far apart (one
// tile each) and in a row (four tiles)?
func BenchmarkProveBatch(b *testing.B) {
	_, m := bigLog()
	for _, c := range batches() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var hashes int
			for b.Loop() {
				p, err := ProveBatch(m, c.indices, million)
				if err != nil {
					b.Fatal(err)
				}
				hashes = len(p)
			}
			b.ReportMetric(float64(b.N*len(c.indices))/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(hashes*HashSize)/float64(len(c.indices)), "proof-B/entry")
		})
	}
}

func BenchmarkVerifyBatch(b *testing.B) {
	tree, m := bigLog()
	root := tree.Root()
	for _, c := range batches() {
		b.Run(c.name, func(b *testing.B) {
			p, err := ProveBatch(m, c.indices, million)
			if err != nil {
				b.Fatal(err)
			}
			es := entriesAt(c.indices)
			b.ReportAllocs()
			for b.Loop() {
				if err := VerifyBatch(es, c.indices, million, root, p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(es))/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// What does a start cost?
func BenchmarkOpenTree(b *testing.B) {
	_, m := bigLog()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenTree(million, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInclusion(b *testing.B) {
	_, m := bigLog()
	rng := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inclusion(m, rng.Uint64N(million), million); err != nil {
			b.Fatal(err)
		}
	}
}

type benchBatch struct {
	name    string
	indices []uint64
}

func batches() []benchBatch {
	row := make([]uint64, 1000)
	third := make([]uint64, 1000) // about the rows an agreement lets through
	for i := range row {
		row[i] = 500_000 + uint64(i)
		third[i] = 500_000 + uint64(i)*10/3
	}
	return []benchBatch{
		{"scattered", batchOf(rand.New(rand.NewPCG(8, 8)), 1000, million)},
		{"one-in-three", third},
		{"in-a-row", row},
	}
}
