package ledger

import (
	"reflect"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/ristretto/v2/z"
)

// bulk is from how many keys on a transaction is part of a large import.
const bulk = 1000

// builderPool returns Badger's pool of the memory in which tables are built, nil
// when this version of Badger has none under the name we know.
//
// The pool keeps the buffers of up to eight builders for the next table, of up
// to 400 MB each, and they only grow: whichever has once served the flush of a
// memtable keeps the size for it. An import of 300,000 records took 1.5 GB, and
// most of it stayed while idle. There is no option for it and the field is not
// exported, so it is read by reflection. It is never written: Badger's own
// goroutines use it from the moment when the store is open.
func builderPool(db *badger.DB) *z.AllocatorPool {
	f := reflect.ValueOf(db).Elem().FieldByName("allocPool")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*z.AllocatorPool]() {
		return nil
	}
	return *(**z.AllocatorPool)(f.Addr().UnsafePointer())
}

// freeBuilders gives back the memory of table builders that wait for their next
// table. The store must be open.
func freeBuilders(db *badger.DB) {
	pool := builderPool(db)
	for range 8 { // it holds no more
		pool.Get(512, "").Release() // a nil pool makes one
	}
}
