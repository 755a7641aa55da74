package ledger

import (
	"github.com/dgraph-io/badger/v4"
)

// Transactions returns how many transactions the store has committed.
func (l *Ledger) Transactions() uint64 { return l.db.MaxVersion() }

// BreakStorage makes every later commit fail.
func (l *Ledger) BreakStorage() error { return l.db.Close() }

// Alter opens the store in dir, which no ledger may have open, and writes what
// f makes of every value: nil leaves one as it is. It returns how many changed.
func Alter(dir string, f func(key, value []byte) []byte) (n int, err error) {
	db, err := openBadger(Options{Dir: dir, Log: discard()})
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()
	return n, db.Update(func(txn *badger.Txn) error {
		return walk(txn, nil, func(k, v []byte) error {
			if w := f(k, v); w != nil {
				n++
				return txn.Set(k, w)
			}
			return nil
		})
	})
}
