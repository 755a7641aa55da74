package ledger_test

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	sumdb "golang.org/x/mod/sumdb/tlog"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
)

// TestReadByOthers: the programs of the Go checksum database, which share no code with
// ours, read a ledger's checkpoint, verify both of its signatures, and verify that each
// record stands under it and that it extends what was there before.
func TestReadByOthers(t *testing.T) {
	r := ring(t)
	l := open(t, "", r)
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	log, err := note.NewVerifier(r.Log.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	record, err := fnote.NewECDSAVerifier(r.Record.Public().CheckpointVerifierKey(council))
	if err != nil {
		t.Fatal(err)
	}
	read := func(signed []byte) sumdb.Tree {
		t.Helper()
		n, err := note.Open(signed, note.VerifierList(log, record))
		if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 {
			t.Fatalf("%+v, %v", n, err)
		}
		lines := strings.Split(n.Text, "\n")
		size, err := strconv.ParseInt(lines[1], 10, 64)
		root, berr := base64.StdEncoding.DecodeString(lines[2])
		if err != nil || berr != nil || lines[0] != council.Origin() {
			t.Fatalf("%q", n.Text)
		}
		return sumdb.Tree{N: size, Hash: sumdb.Hash(root)}
	}
	hashes := func(hs []tlog.Hash) (out []sumdb.Hash) {
		for _, h := range hs {
			out = append(out, sumdb.Hash(h))
		}
		return out
	}
	var before sumdb.Tree
	for round := range 3 {
		for i := range 40 {
			put(t, l, std, item(fmt.Sprint(round, i), "X", "n"))
		}
		err := l.View(func(v *ledger.View) error {
			_, signed := v.Checkpoint()
			now := read(signed)
			for i := range now.N {
				entry, _, err := v.Entry(uint64(i))
				if err != nil {
					return err
				}
				path, err := tlog.Inclusion(v, uint64(i), uint64(now.N))
				if err != nil {
					return err
				}
				if err := sumdb.CheckRecord(hashes(path), now.N, now.Hash, i, sumdb.RecordHash(entry[:])); err != nil {
					t.Errorf("entry %d of %d: %v", i, now.N, err)
				}
			}
			if before.N > 0 {
				path, err := tlog.Consistency(v, uint64(before.N), uint64(now.N))
				if err != nil {
					return err
				}
				if err := sumdb.CheckTree(hashes(path), now.N, now.Hash, before.N, before.Hash); err != nil {
					t.Errorf("from %d to %d: %v", before.N, now.N, err)
				}
			}
			before = now
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
