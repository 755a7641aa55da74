package ledger_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const fens = name.Council("fens.example")

func replica(t testing.TB, dir string) *ledger.Replica {
	t.Helper()
	r, err := ledger.OpenReplica(ledger.ReplicaOptions{Dir: dir, Name: fens})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// apply writes n entries at a position, each of size bytes.
func apply(t testing.TB, r *ledger.Replica, position uint64, n, size int) {
	t.Helper()
	err := r.Apply(position, func(tx *ledger.ReplicaTx) error {
		for i := range n {
			var h tlog.Hash
			binary.BigEndian.PutUint64(h[:], position)
			binary.BigEndian.PutUint64(h[8:], uint64(i))
			at := tx.Append(h, bytes.Repeat([]byte{byte(position), byte(i)}, size/2))
			tx.Set(fmt.Sprint("where ", position, " ", i), binary.BigEndian.AppendUint64(nil, at))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplica: a position is applied once, a failed one not at all, and what
// was applied is there after opening again.
func TestReplica(t *testing.T) {
	dir := t.TempDir()
	r := replica(t, dir)
	for p := range uint64(5) {
		apply(t, r, 10+p, 100, 200)
	}
	want := r.Checkpoint()
	ran := false
	for _, p := range []uint64{0, 3, 14} {
		if err := r.Apply(p, func(*ledger.ReplicaTx) error { ran = true; return nil }); err != nil || ran {
			t.Errorf("position %d was applied again: %v", p, err)
		}
	}
	// As much as may be written at once is taken, with the tiles of a full page of entries.
	full := replica(t, t.TempDir())
	defer full.Close()
	if err := full.Apply(1, func(tx *ledger.ReplicaTx) error {
		for i := range 2000 {
			tx.Append(tlog.Hash{byte(i), byte(i >> 8)}, nil)
		}
		for i := 0; ledger.MaxReplicaWrite-tx.Bytes() > 1<<10; i++ {
			tx.Set(fmt.Sprint("much", i), make([]byte, min(1<<16, ledger.MaxReplicaWrite-tx.Bytes()-1<<9)))
		}
		return nil
	}); err != nil {
		t.Error("the most that may be written at once:", err)
	}
	boom := errors.New("no")
	if err := r.Apply(15, func(tx *ledger.ReplicaTx) error { tx.Append(tlog.Hash{9}, nil); return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if err := r.Apply(15, func(tx *ledger.ReplicaTx) error {
		tx.Set("big", make([]byte, ledger.MaxReplicaWrite/8))
		for i := range 9 {
			tx.Set(fmt.Sprint("big", i), make([]byte, ledger.MaxReplicaWrite/8))
		}
		return nil
	}); err == nil {
		t.Error("more than a transaction holds was applied")
	}
	if r.Checkpoint() != want || r.Applied() != 14 {
		t.Errorf("at %+v, position %d", r.Checkpoint(), r.Applied())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = replica(t, dir)
	if r.Checkpoint() != want || r.Applied() != 14 || want.Size != 500 {
		t.Errorf("opened at %+v, position %d, want %+v", r.Checkpoint(), r.Applied(), want)
	}
	err := r.View(func(v *ledger.ReplicaView) error {
		root, err := tlog.CheckTiles(500, v)
		if err != nil || root != want.Root {
			t.Errorf("tiles: %v, %v", root, err)
		}
		leaf, kept, err := v.Entry(499)
		if err != nil || len(kept) != 200 || leaf == (tlog.Hash{}) {
			t.Errorf("entry 499: %d bytes, %v", len(kept), err)
		}
		if _, _, err := v.Entry(500); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("entry 500: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplicaStream: what is streamed and loaded is the same, byte by byte; an
// altered, cut or lengthened stream is not loaded, nor another footprint's.
func TestReplicaStream(t *testing.T) {
	r := replica(t, t.TempDir())
	apply(t, r, 7, 300, 100)
	if err := r.Apply(8, func(tx *ledger.ReplicaTx) error { tx.EraseEntry(3); return nil }); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := r.WriteTo(&b); err != nil || int(n) != b.Len() {
		t.Fatalf("wrote %d of %d, %v", n, b.Len(), err)
	}
	load := func(rd io.Reader, nm name.Council) (*ledger.Replica, error) {
		return ledger.LoadReplica(ledger.ReplicaOptions{Dir: filepath.Join(t.TempDir(), "r"), Name: nm}, rd)
	}
	for _, in := range []bool{false, true} {
		got, err := ledger.LoadReplica(ledger.ReplicaOptions{Dir: filepath.Join(t.TempDir(), "r"), Name: fens, InMemory: in}, bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if _, err := got.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), b.Bytes()) {
			t.Errorf("loaded another replica (%v)", err)
		}
		if err := got.Close(); err != nil {
			t.Error(err)
		}
	}
	for what, bad := range map[string][]byte{
		"cut":        b.Bytes()[:b.Len()-1],
		"cut early":  b.Bytes()[:b.Len()/2],
		"lengthened": append(bytes.Clone(b.Bytes()), 0),
		"altered":    flip(b.Bytes(), b.Len()/2),
		"head":       flip(b.Bytes(), 3),
		"empty":      nil,
	} {
		if _, err := load(bytes.NewReader(bad), fens); !errors.Is(err, ledger.ErrStream) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := load(bytes.NewReader(b.Bytes()), "wolds.example"); !errors.Is(err, ledger.ErrStream) {
		t.Errorf("another footprint's: %v", err)
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

// TestReplicaErase: an erased entry's bytes leave the files, its leaf stays.
func TestReplicaErase(t *testing.T) {
	dir := t.TempDir()
	r := replica(t, dir)
	secret := []byte("Ada Secretsurname of 4 Mill Lane")
	var at uint64
	if err := r.Apply(1, func(tx *ledger.ReplicaTx) error { at = tx.Append(tlog.Hash{1}, secret); return nil }); err != nil {
		t.Fatal(err)
	}
	apply(t, r, 2, 50, 100)
	was := r.Checkpoint()
	if err := r.Apply(3, func(tx *ledger.ReplicaTx) error { tx.EraseEntry(at); return nil }); err != nil {
		t.Fatal(err)
	}
	// A crash before Erase: the next opening finds it still to be done.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = replica(t, dir)
	if n, err := r.Erase(); n != 1 || err != nil {
		t.Fatalf("erased %d, %v", n, err)
	}
	if n, err := r.Erase(); n != 0 || err != nil {
		t.Errorf("erased %d more, %v", n, err)
	}
	if r.Checkpoint() != was {
		t.Error("the tree changed")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if bytes.Contains(b, secret) {
			t.Errorf("%s still holds it", filepath.Base(p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzReplicaStream: no stream makes the reader panic, and one that is taken is
// written back byte for byte.
func FuzzReplicaStream(f *testing.F) {
	r, err := ledger.OpenReplica(ledger.ReplicaOptions{Name: fens, InMemory: true})
	if err != nil {
		f.Fatal(err)
	}
	if err := r.Apply(1, func(tx *ledger.ReplicaTx) error { tx.Append(tlog.Hash{1}, []byte("x")); return nil }); err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	if err := r.Close(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := ledger.LoadReplica(ledger.ReplicaOptions{Name: fens, InMemory: true}, bytes.NewReader(in))
		if err != nil {
			return
		}
		defer r.Close()
		var out bytes.Buffer
		if _, err := r.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), in) {
			t.Errorf("taken and written otherwise: %v", err)
		}
	})
}

// BenchmarkReplicaGrowth: does applying cost more as the ledger grows? Batches of
// 500 entries of 1 kB; the metric is of the last tenth.
func BenchmarkReplicaGrowth(b *testing.B) {
	for _, size := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for range b.N {
				r := replica(b, b.TempDir())
				var last time.Time
				for p := range size / 500 {
					if p == size/500*9/10 {
						last = time.Now()
					}
					apply(b, r, uint64(p+1), 500, 1000)
				}
				b.ReportMetric(float64(time.Since(last).Microseconds())/float64(size/500/10)/1000, "ms/batch")
				n, err := r.DiskBytes()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n)/float64(size), "bytes/entry")
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
