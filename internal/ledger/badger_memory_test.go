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
