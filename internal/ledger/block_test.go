package ledger

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stile-exchange/stile/examples/generate"
)

// sixteen returns entries as a batch of records stores them.
func sixteen(t testing.TB) []packed {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var all []packed
	for i := range blockSize {
		body := generate.PlanningApplication(1, i)
		head := make([]byte, 138)
		for j := range head {
			head[j] = byte(r.Uint32())
		}
		head[0] = kindRecord
		all = append(all, packed{append(head, body...), len(head)})
	}
	return all
}

// TestBlock: what goes into a block comes out again, at well under half the
// size; a run of another length and one that is too large are no block.
func TestBlock(t *testing.T) {
	var codec blockCodec
	all := sixteen(t)
	all[3].entry = all[3].entry[:all[3].text] // a delete has no body
	plain := 0
	for _, e := range all {
		plain += len(e.entry)
	}
	b := codec.encode(all)
	if len(b) == 0 || len(b) > plain*2/5 {
		t.Errorf("%d bytes for %d", len(b), plain)
	}
	got, err := codec.decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if !bytes.Equal(got[i], e.entry) {
			t.Errorf("entry %d is %d bytes %q, want %d", i, len(got[i]), got[i], len(e.entry))
		}
	}
	if codec.encode(all[1:]) != nil {
		t.Error("fifteen entries are a block")
	}
	all[0] = packed{make([]byte, blockBytes), 0}
	if codec.encode(all) != nil {
		t.Error("a block is larger than is read back")
	}
}

// TestBlockErasesOne: a block in which one entry has nothing in its place says the
// others as before, and no byte of that one.
func TestBlockErasesOne(t *testing.T) {
	var codec blockCodec
	all := sixteen(t)
	secret := []byte("officer@secret.example")
	all[7].entry = append(all[7].entry, secret...)
	before := codec.encode(all)
	entries, err := codec.decode(before)
	if err != nil || !bytes.Contains(entries[7], secret) {
		t.Fatal("the entry is not there to begin with", err)
	}
	all[7] = packed{}
	entries, err = codec.decode(codec.encode(all))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if !bytes.Equal(entries[i], e.entry) || bytes.Contains(entries[i], secret) {
			t.Errorf("entry %d is %d bytes, want %d", i, len(entries[i]), len(e.entry))
		}
	}
}

// FuzzBlock: no bytes make a reader of blocks panic or take more memory than a
// block may.
func FuzzBlock(f *testing.F) {
	var codec blockCodec
	f.Add(codec.encode(sixteen(f)))
	f.Add([]byte{kindBlock})
	f.Add(bytes.Repeat([]byte{kindBlock}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := codec.decode(b)
		if err != nil {
			return
		}
		n := 0
		for _, e := range entries {
			n += len(e)
		}
		if n > blockBytes {
			t.Errorf("%d bytes", n)
		}
	})
}
