package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// A Shared store is one that several machines of a council keep alike, of which
// one at a time opens the ledger in it: whichever leads. Reads are of this
// machine's own copy; a transaction is handed to Commit, which has every
// machine write it.
type Shared struct {
	Replica *Replica // opened with ReplicaOptions.Council
	// Commit returns once a majority of the machines has the writes on disk and
	// this machine's copy has them too. After an error it is not known whether
	// they will come to be there, and the ledger takes no more: whoever opened
	// it closes it, and opens it anew where the lead is by then.
	Commit func(Writes) error
}

// Writes are what a ledger has its store do, whole or not at all: either sets
// and deletions in one transaction, or prefixes to drop.
type Writes struct {
	Set  map[string][]byte // by key; a nil value deletes
	Drop [][]byte          // prefixes of keys whose bytes leave the files on disk too
}

// store writes one transaction.
func (l *Ledger) store(groups ...map[string][]byte) error {
	if s := l.o.Shared; s != nil {
		n := 0
		for _, g := range groups {
			n += len(g)
		}
		all := make(map[string][]byte, n)
		for _, g := range groups {
			for k, v := range g {
				all[k] = v
			}
		}
		if n == 0 {
			return nil
		}
		return s.Commit(Writes{Set: all})
	}
	return writeAll(l.db, groups...)
}

// writeAll writes one transaction into a store of this machine.
func writeAll(db *badger.DB, groups ...map[string][]byte) error {
	txn := db.NewTransaction(true)
	defer txn.Discard()
	n := 0
	for _, sets := range groups {
		for k, v := range sets {
			var err error
			if v == nil {
				err = txn.Delete([]byte(k))
			} else {
				err = txn.SetEntry(&badger.Entry{Key: []byte(k), Value: v})
			}
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// dropPrefixes removes every version of every key under the prefixes from the
// files on disk, the write-ahead log included. Nothing may be in flight beside it.
func (l *Ledger) dropPrefixes(prefixes ...[]byte) error {
	var err error
	if s := l.o.Shared; s != nil {
		err = s.Commit(Writes{Drop: prefixes})
	} else {
		err = l.db.DropPrefix(prefixes...)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// councilPrefix is before every key of a replica in whose store a council's own
// ledger stands too. No key of a ledger begins with it.
var councilPrefix = []byte{1}

var errForeign = errors.New("not a write of a council's ledger")

// Write takes what a ledger wrote into the transaction. It refuses keys that are
// not a ledger's.
func (t *ReplicaTx) Write(w Writes) error {
	if !t.r.o.Council || len(w.Drop) > 0 {
		return errForeign
	}
	for k, v := range w.Set {
		if !IsKey([]byte(k)) {
			return errForeign
		}
		// Not counted: its size was bounded by the ledger, for this transaction.
		t.sets[k] = v
	}
	return nil
}

// Drop does what a ledger asks its store to drop. It may be done again after a
// crash. It is called by who calls Apply, and not while an Apply runs.
func (r *Replica) Drop(w Writes) error {
	if !r.o.Council || len(w.Set) > 0 || slices.ContainsFunc(w.Drop, func(p []byte) bool { return !IsKey(p) }) {
		return errForeign
	}
	if p := r.failed.Load(); p != nil {
		return *p
	}
	if !r.viewing.TryRLock() {
		return ErrClosed
	}
	defer r.viewing.RUnlock()
	if r.closed.Load() {
		return ErrClosed
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.db.DropPrefix(w.Drop...); err != nil {
		err = fmt.Errorf("%w: %w", ErrStorage, err)
		r.failed.CompareAndSwap(nil, &err)
		return err
	}
	return nil
}

// IsKey reports whether a key, or a prefix of keys, is one of a council's ledger
// and not of the replica it stands in.
func IsKey(key []byte) bool { return len(key) > 0 && !bytes.HasPrefix(key, councilPrefix) }
