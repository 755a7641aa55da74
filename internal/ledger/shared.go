package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
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

// store writes one transaction, after which the log is tree.
func (l *Ledger) store(tree *tlog.Tree, groups ...map[string][]byte) error {
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
	if l.beside == nil || !slices.ContainsFunc(groups, func(g map[string][]byte) bool { return len(g) > 0 }) {
		return l.storeAll(groups...)
	}
	commit := l.beside.next()
	groups = append(groups, map[string][]byte{string(keyCommit): binary.BigEndian.AppendUint64(nil, commit)})
	if err := l.storeAll(groups...); err != nil {
		return err
	}
	// On disk, whole. Killed here, the store holds one transaction more than the second places say,
	// which nobody was told of.
	if err := l.beside.vital.wrote(l.db, commit, groups...); err != nil {
		return err
	}
	return l.beside.write(signed{commit: commit, size: tree.Size(), root: tree.Root()})
}

func (l *Ledger) storeAll(groups ...map[string][]byte) error {
	n, err := writeAll(l.db, groups...)
	if err == nil && n >= bulk {
		l.tidy.wrote(l.db)
	}
	return err
}

// writeAll writes one transaction into a store of this machine and returns how
// many keys it had.
func writeAll(db *badger.DB, groups ...map[string][]byte) (int, error) {
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
				return 0, fmt.Errorf("write: %w", err)
			}
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	if err := txn.Commit(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	return n, nil
}

// dropPrefixes removes every version of every key under the prefixes from the
// files on disk, the write-ahead log included. Nothing may be in flight beside it.
func (l *Ledger) dropPrefixes(prefixes ...[]byte) error {
	l.copying.Lock()
	defer l.copying.Unlock()
	l.dropped.Add(1)
	var err error
	if s := l.o.Shared; s != nil {
		err = s.Commit(Writes{Drop: prefixes})
	} else {
		err = l.db.DropPrefix(prefixes...)
		if !l.o.InMemory && slices.ContainsFunc(prefixes, func(p []byte) bool { return losses[p[0]] != remade }) {
			// What is dropped may stand in tables that were put aside as damaged.
			err = errors.Join(err, os.RemoveAll(filepath.Join(l.o.Dir, asideName)))
		}
		if err == nil && l.beside != nil && slices.ContainsFunc(prefixes, func(p []byte) bool { return isVital[p[0]] }) {
			err = l.beside.vital.renew(l.db, l.beside.next()-1)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// CheckLedger reports whether the ledger that stands in the replica's store is one
// that a council's keys wrote, without opening it.
func (r *Replica) CheckLedger(c name.Council, ring *keys.Ring) error {
	return r.View(func(v *ReplicaView) error {
		_, _, err := (&Ledger{o: Options{Council: c, Keys: ring}, db: r.db}).loadLog(v.txn)
		return err
	})
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
	if err := r.hold(); err != nil {
		return err
	}
	defer r.viewing.RUnlock()
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

// fileLetter begins the keys of files that machines keep alike beside the ledger.
const fileLetter = 'X'

// Files calls f with every file that stands beside the ledger, by its path.
func (s *Shared) Files(f func(path string, content []byte) error) error {
	return s.Replica.View(func(v *ReplicaView) error {
		return walk(v.txn, []byte{fileLetter}, func(key, value []byte) error {
			return f(string(key[1:]), bytes.Clone(value))
		})
	})
}

// WriteFiles has every machine write files beside the ledger: content by path, nil for a
// file that is gone. All of it is written, or nothing.
func (s *Shared) WriteFiles(files map[string][]byte) error {
	w := Writes{Set: make(map[string][]byte, len(files))}
	for path, content := range files {
		w.Set[string(fileLetter)+path] = content
	}
	return s.Commit(w)
}

// Alone makes the store of a council's machines that of its ledger alone: what the
// replica kept in it, and files beside the ledger, are dropped.
func Alone(o ReplicaOptions) error {
	if o.Log == nil {
		o.Log = discard()
	}
	db, beside, err := openStore(Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey, Log: o.Log})
	if err != nil {
		return err
	}
	return errors.Join(db.DropPrefix(councilPrefix, []byte{fileLetter}), closeStore(db, beside))
}
