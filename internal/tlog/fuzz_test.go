package tlog

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// Signatures by northmoor and by a witness pass whatever they are, so that the
// checkpoint behind them is reached. What is accepted prints back the same.
func FuzzOpenCheckpoint(f *testing.F) {
	s, _ := logKey(f, testOrigin)
	ws, _ := witnessKey(f, "saltby.gov.uk")
	for _, size := range []uint64{0, 1, MaxSize} {
		c := Checkpoint{testOrigin, size, entry(size)}
		if size == 0 {
			c.Root = EmptyRoot()
		}
		signed, err := note.Sign(&note.Note{Text: string(c.Body())}, s, ws)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(signed)
	}
	f.Add(readFile(f, "c2sp/cosigned-checkpoint.txt"))
	log, witness := acceptAll{testOrigin, s.KeyHash()}, acceptAll{"saltby.gov.uk", ws.KeyHash()}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, n, err := OpenCheckpoint(b, testOrigin, log, witness)
		if err != nil {
			if n != nil || c != (Checkpoint{}) {
				t.Fatalf("refused and yet returned %+v", c)
			}
			return
		}
		if string(c.Body()) != n.Text || !bytes.HasPrefix(b, append(c.Body(), '\n')) {
			t.Fatalf("accepted %q, prints %q", b, c.Body())
		}
		Cosignatures(n, log, witness)
	})
}

func FuzzParseProof(f *testing.F) {
	f.Add(readFile(f, "oak/test.tlog-proof"))
	f.Add(Proof{Index: 1, Checkpoint: []byte("x\n"), Extra: []byte{}}.Marshal())
	f.Add(Proof{Index: 1<<64 - 1, Path: entries(0, 3), Extra: []byte("extra")}.Marshal())
	_, v := logKey(f, testOrigin)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		if got := p.Marshal(); !bytes.Equal(got, b) {
			t.Fatalf("accepted %q, prints %q", b, got)
		}
		if _, _, err := p.Verify(entry(0), testOrigin, v); err == nil {
			t.Fatal("verified under a key that never signed")
		}
	})
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("tile/0/x001/x234/067")
	f.Add("tile/7/000.p/255")
	f.Fuzz(func(t *testing.T, path string) {
		level, index, width, err := ParseTilePath(path)
		if err != nil {
			return
		}
		if got := tilePath(level, index, width); got != path {
			t.Fatalf("accepted %q, prints %q", path, got)
		}
	})
}

// Arbitrary indices, entries and hashes against a true root: only the true
// entries pass, and only with the one proof. ask is a list of 2-byte indices;
// spoil names bytes to alter in the entries and in the true proof; raw, when it
// is not empty, stands in for the proof altogether.
func FuzzVerifyBatch(f *testing.F) {
	f.Add(uint16(7), []byte{0, 1, 0, 4, 0, 5}, []byte{}, []byte{})
	f.Add(uint16(300), []byte{0, 0, 1, 43}, []byte{0, 0, 1}, []byte{})
	f.Add(uint16(256), []byte{0, 255}, []byte{}, bytes.Repeat([]byte{7}, 8*HashSize))
	f.Add(uint16(1), []byte{0, 0, 0, 0}, []byte{}, []byte{})
	tree, m := new(Tree), newMemory()
	roots := []Hash{EmptyRoot()}
	for size := uint64(1); size <= 600; size++ {
		grow(tree, m, size)
		roots = append(roots, tree.Root())
	}
	f.Fuzz(func(t *testing.T, size16 uint16, ask, spoil, raw []byte) {
		size := uint64(size16) % 601
		var indices []uint64
		for ; len(ask) >= 2; ask = ask[2:] {
			indices = append(indices, uint64(binary.BigEndian.Uint16(ask)))
		}
		es := entriesAt(indices)
		// The memory reader is shared by all runs of this target, and counts.
		proof, proveErr := ProveBatch(reader(func(l int, i uint64, w int) ([]byte, error) {
			return m.tiles[tileID{l, i}][:w*HashSize], nil
		}), indices, size)
		want := slices.Clone(proof)
		if len(raw) > 0 {
			proof = nil
			for ; len(raw) >= HashSize; raw = raw[HashSize:] {
				proof = append(proof, Hash(raw[:HashSize]))
			}
		}
		for ; len(spoil) >= 3; spoil = spoil[3:] {
			at := int(binary.BigEndian.Uint16(spoil))
			if n := len(es) + len(proof); n > 0 {
				if i := at / HashSize % n; i < len(es) {
					es[i][at%HashSize] ^= spoil[2]
				} else {
					proof[i-len(es)][at%HashSize] ^= spoil[2]
				}
			}
		}
		err := VerifyBatch(es, indices, size, roots[size], proof)
		if proveErr != nil && err == nil {
			t.Fatalf("verified what cannot be proved: size %d indices %v", size, indices)
		}
		same := slices.Equal(es, entriesAt(indices)) && slices.Equal(proof, want)
		if proveErr == nil && (err == nil) != same {
			t.Fatalf("size %d indices %v: %v, and the proof is the true one: %v", size, indices, err, same)
		}
	})
}
