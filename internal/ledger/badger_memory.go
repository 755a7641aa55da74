package ledger

import (
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// What the store takes of the memory that the process may take, Options.Memory. At
// the default, 256 MiB: 16 MiB of tables' indexes, 32 MiB of blocks that were
// read, and one table in memory that is written to beside one that is being written out,
// each of 24 MiB with some 7 of room, and each with as much in a mapped log file.
//
// A table in memory is never smaller: Badger takes 15% of it in one transaction,
// and one job may need 3.25 MiB. Below leastMemory, which no configuration file may name,
// it is a quarter of the memory: for hundreds of stores in one process, none of which is
// given a large job. One that is ends with an error, and loses nothing.
func sized(o badger.Options, memory int64) badger.Options {
	if memory == 0 {
		memory = 256 << 20
	}
	table := min(max(memory/16, 24<<20), 64<<20)
	if memory < leastMemory {
		table = memory / 4
	}
	return o.
		WithMemTableSize(table).
		WithNumMemtables(1).
		WithIndexCacheSize(min(memory/16, 1<<30)).
		WithBlockCacheSize(min(memory/8, 4<<30))
}

// leastMemory is the least that package config lets a file name, in bytes.
const leastMemory = 96 << 20

// bulk is from how many keys on a transaction is part of a large import.
const bulk = 1000

// A tidier gives memory back to the system while and after much is written. The
// zero value is ready for use.
type tidier struct {
	mu    sync.Mutex
	bulks int
	quiet *time.Timer
	over  bool
}

const (
	letGoEvery = 4               // large transactions
	quietAfter = 2 * time.Second // without one, the import is over
)

// wrote is told of each large transaction.
func (t *tidier) wrote(db *badger.DB) {
	freeBuilders(db)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bulks++; t.bulks%letGoEvery == 0 {
		letGo(db)
	}
	switch {
	case t.over:
	case t.quiet == nil:
		t.quiet = time.AfterFunc(quietAfter, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if !t.over {
				letGo(db)
				debug.FreeOSMemory()
			}
		})
	default:
		t.quiet.Reset(quietAfter)
	}
}

// stop returns when nothing of the store is touched any more.
func (t *tidier) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.quiet != nil {
		t.quiet.Stop()
	}
}

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

// letGo takes the pages of the store's tables out of this process. They stay in
// the system's cache of files, which is the system's to take, and are mapped again when
// they are read.
//
// Badger maps each table whole and writes it through the mapping, so that all that
// was ever written, and read, would count as the process's: 130 MiB after
// 300,000 records. Tables can be reached by reflection alone; where they are not
// where we know them, nothing is done.
func letGo(db *badger.DB) {
	for _, t := range tablesOf(db) {
		if t.MmapFile != nil && t.Fd != nil && len(t.Data) > 0 {
			unmapPages(t.Data)
		}
		t.DecrRef() // of an error the store tells when it reads
	}
}

// tablesOf returns the store's tables, each with a reference that keeps it from being
// deleted; nil when they are not found.
func tablesOf(db *badger.DB) (out []*table.Table) {
	lc := reflect.ValueOf(db).Elem().FieldByName("lc")
	if lc.Kind() != reflect.Pointer || lc.IsNil() {
		return nil
	}
	levels := lc.Elem().FieldByName("levels")
	if levels.Kind() != reflect.Slice {
		return nil
	}
	for i := range levels.Len() {
		l := levels.Index(i)
		if l.Kind() != reflect.Pointer || l.IsNil() {
			return nil
		}
		mu, tables := l.Elem().FieldByName("RWMutex"), l.Elem().FieldByName("tables")
		if !mu.IsValid() || mu.Type() != reflect.TypeFor[sync.RWMutex]() || !tables.IsValid() || tables.Type() != reflect.TypeFor[[]*table.Table]() {
			return nil
		}
		lock := (*sync.RWMutex)(mu.Addr().UnsafePointer())
		lock.RLock()
		for _, t := range *(*[]*table.Table)(tables.Addr().UnsafePointer()) {
			t.IncrRef()
			out = append(out, t)
		}
		lock.RUnlock()
	}
	return out
}
