package ledger

import (
	"reflect"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/ristretto/v2/z"
)

// dropAllocators makes Badger give the memory in which it builds a table back
// when the table is built. It reports whether it could.
//
// Badger keeps the buffers of up to eight builders for the next table, of up to
// 400 MB each, and they only grow: whichever has once served a memtable's flush
// keeps the size of one. An import of 300,000 records took 1.5 GB, held while
// idle. There is no option for it; a store without the pool is one that Badger
// itself provides for (the methods of a nil pool make and free). The field is
// not exported, so it is set by reflection, before anything is written.
func dropAllocators(db *badger.DB) bool {
	f := reflect.ValueOf(db).Elem().FieldByName("allocPool")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*z.AllocatorPool]() {
		return false
	}
	p := (**z.AllocatorPool)(f.Addr().UnsafePointer())
	pool := *p
	*p = nil
	pool.Release()
	return true
}
