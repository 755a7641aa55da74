package examine_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/stile-exchange/stile/internal/ledger/examine"
)

// TestCompactedTableIsNoDamage: Badger cuts the file of a table that it has compacted to nothing before it removes it.
// A watch that still lists the table, and finds an empty file, says that nothing is damaged; one whose store still has
// the table says that it is.
func TestCompactedTableIsNoDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(down bool) *badger.DB { // down: at its end what level 0 has goes to the last level
		t.Helper()
		db, err := badger.Open(badger.DefaultOptions(dir).WithCompactL0OnClose(down).WithCompression(options.ZSTD).WithLogger(nil).WithMetricsEnabled(false))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	for part := range 2 { // a table each
		db := open(part == 0)
		err := db.Update(func(txn *badger.Txn) error {
			for i := range 100 {
				if err := txn.Set(binary.BigEndian.AppendUint32([]byte{byte('a' + part)}, uint32(i)), make([]byte, 100)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := open(false)
	defer db.Close()
	w, now := examine.NewWatch(examine.Options{Dir: dir}), time.Unix(1e9, 0)
	if flaw, err := w.Check(db, nil, []byte("b"), now); flaw != nil || err != nil {
		t.Fatal(flaw, err)
	}
	before := db.Tables()
	if err := db.Flatten(1); err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, i := range before {
		if slices.ContainsFunc(db.Tables(), func(k badger.TableInfo) bool { return k.ID == i.ID }) {
			continue
		}
		gone++
		if err := os.WriteFile(filepath.Join(dir, table(i.ID)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if gone == 0 {
		t.Fatal("nothing was compacted")
	}
	if flaw, err := w.Check(db, nil, nil, now.Add(time.Second)); flaw != nil || err != nil {
		t.Errorf("a table that was compacted: %v, %v", flaw, err)
	}
	path := filepath.Join(dir, table(db.Tables()[0].ID))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[:len(b)/2])
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if flaw, err := w.Check(db, nil, nil, now.Add(time.Minute)); flaw == nil || err != nil {
		t.Errorf("a table of the store that is damaged: %v, %v", flaw, err)
	}
	// The store reads on through its map what somebody has removed, and the check ends.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if flaw, err := w.Check(db, nil, nil, now.Add(time.Hour)); flaw != nil || err != nil {
		t.Errorf("a table whose file is removed: %v, %v", flaw, err)
	}
}

func table(id uint64) string { return fmt.Sprintf("%06d.sst", id) }
