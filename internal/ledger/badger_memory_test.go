package ledger

import (
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// A version of Badger that keeps its builders' memory elsewhere has to be
// looked at again.
func TestDropAllocators(t *testing.T) {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !dropAllocators(db) {
		t.Error("Badger has no pool of allocators any more: measure again what an import of 300,000 records takes")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
