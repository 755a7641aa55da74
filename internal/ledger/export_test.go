package ledger

import (
	"bytes"
	"context"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/node/name"
)

// MatchInSteps makes a ledger match so many records in one go, and call f before each.
func MatchInSteps(records int, f func()) func(*Options) {
	return func(o *Options) { o.matchChunk, o.matching = records, f }
}

// Indexes returns the fields that there is an index of, and whether it is built.
func (l *Ledger) Indexes() map[name.Field]bool {
	out := map[name.Field]bool{}
	for _, x := range l.indexList() {
		out[x.field] = x.ready()
	}
	return out
}

// Postings returns how many keys the indexes have.
func (l *Ledger) Postings() (n int) {
	l.db.View(func(txn *badger.Txn) error {
		return walk(txn, []byte("v"), func(_, _ []byte) error { n++; return nil })
	})
	return n
}

// EraseUpTo erases a record and stops before anything leaves the files.
func (l *Ledger) EraseUpTo(ctx context.Context, r name.Record) error {
	_, err := l.eraseRecord(ctx, r, "asked for", false)
	return err
}

// Seed returns the seed of a version, and the bytes under the key of the sixteen entries
// that it is of.
func (l *Ledger) Seed(index uint64) (seed, block []byte, err error) {
	err = l.View(func(v *View) error {
		raw, err := v.stored(index)
		if err != nil {
			return err
		}
		r, err := decodeStoredRecord(raw)
		if err != nil {
			return err
		}
		seed = r.seed[:]
		block, err = valueOf(v.txn, entryKey(index&^(blockSize-1)))
		return err
	})
	return bytes.Clone(seed), block, err
}

// BreakStorage makes every later commit fail.
func (l *Ledger) BreakStorage() error { return l.db.Close() }

// Alter opens the store in dir, which no ledger may have open, and writes what
// f makes of every value: nil leaves one as it is. It returns how many changed.
func Alter(dir string, f func(key, value []byte) []byte) (n int, err error) {
	db, beside, err := openStore(Options{Dir: dir, Log: discard()})
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := closeStore(db, beside); err == nil {
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

// DisclosureIndex returns every key and value of the disclosure index.
func (l *Ledger) DisclosureIndex() map[string]string {
	out := map[string]string{}
	l.db.View(func(txn *badger.Txn) error {
		return walk(txn, []byte("T"), func(k, v []byte) error { out[string(k)] = string(v); return nil })
	})
	return out
}

// ParseErasures reads a list of erasures.
func ParseErasures(b []byte) (*Erasures, error) {
	l := &Erasures{of: "northmoor.gov.uk", set: map[erasedVersion]bool{}}
	return l, l.parse(b)
}

// Bytes is how the list is written.
func (l *Erasures) Bytes() []byte { return l.bytes() }

// CommitmentPrefix is that of the keys under which the commitments of a source are kept.
func CommitmentPrefix(s *Source) []byte { return numKey4('0', s.number) }

// GonePrefix is that of the keys under which what has gone is kept.
func GonePrefix(s *Source) []byte { return gonePrefix(s.number) }

// FillGone makes a source remember as many as have gone as it may.
func (l *Ledger) FillGone(ctx context.Context, s *Source) error {
	return l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		c.Gone = maxGone
		return t.source(c)
	})
}

// CountKeys counts the keys under a prefix.
func (l *Ledger) CountKeys(prefix []byte) (n int) {
	err := l.View(func(v *View) error {
		return v.walk(prefix, func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		panic(err)
	}
	return n
}
