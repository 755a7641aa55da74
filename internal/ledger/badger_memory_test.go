package ledger

import (
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// A version of Badger that keeps its builders' memory elsewhere has to be
// looked at again.
func TestFreeBuilders(t *testing.T) {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pool := builderPool(db)
	if pool == nil {
		t.Fatal("Badger has no pool of allocators any more: measure again what an import of 300,000 records takes")
	}
	used := pool.Get(1<<20, "")
	pool.Return(used)
	freeBuilders(db)
	if again := pool.Get(512, ""); again == used {
		t.Error("the pool gives memory out that it should have given back")
	} else {
		again.Release()
	}
}

// TestLetGo: the tables of a store are found, each but once, and can be read after
// their pages are gone.
func TestLetGo(t *testing.T) {
	o := badger.DefaultOptions(t.TempDir()).WithLogger(nil)
	db, err := badger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	key := func(i int) []byte { return []byte{byte(i >> 8), byte(i)} }
	wb := db.NewWriteBatch()
	for i := range 1000 {
		if err := wb.Set(key(i), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := wb.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // writes the table in memory out
		t.Fatal(err)
	}
	if db, err = badger.Open(o); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := tablesOf(db)
	if len(tables) == 0 || len(tables) != len(db.Tables()) {
		t.Fatalf("%d tables are found of %d: measure again what an import of 300,000 records takes", len(tables), len(db.Tables()))
	}
	for _, x := range tables {
		x.DecrRef()
	}
	letGo(db)
	err = db.View(func(txn *badger.Txn) error {
		for i := range 1000 {
			if v, err := valueOf(txn, key(i)); err != nil || len(v) != 100 {
				t.Fatalf("key %d: %d bytes, %v", i, len(v), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
