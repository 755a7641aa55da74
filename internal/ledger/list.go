package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Badger's iterators end where a part of a table cannot be read, as if there were no more. So a list is
// not believed before the tables it was read from have been looked at: when it is closed, each
// part of a table that may hold a key between the first and the last that was walked is held against its
// checksum. What cannot be read is an error of the view, and the ledger stops: what is
// wrong is named, and served around, when it is opened again.

// A list walks the keys under a prefix.
type list struct {
	*badger.Iterator
	v        *View
	prefix   []byte
	from, to []byte // the first and the last key that were looked at; nil for the ends of the prefix
	reverse  bool
	closed   bool
}

type listOption func(*badger.IteratorOptions)

// keysOnly: values are not read ahead.
func keysOnly(o *badger.IteratorOptions) { o.PrefetchValues = false }

// backward walks from the last key to the first.
func backward(o *badger.IteratorOptions) { o.Reverse = true }

// list returns what walks the keys under a prefix. It has to be closed; what could not be read is
// noted in the view then.
func (v *View) list(prefix []byte, options ...listOption) *list {
	o := badger.DefaultIteratorOptions
	for _, set := range options {
		set(&o)
	}
	if !o.Reverse {
		o.Prefix = prefix
	}
	return &list{Iterator: v.txn.NewIterator(o), v: v, prefix: prefix, reverse: o.Reverse}
}

// Seek moves to the first key that is not before one, or backward not behind it.
func (it *list) Seek(key []byte) {
	it.from = bytes.Clone(key)
	it.Iterator.Seek(key)
}

// Valid reports whether there is a key here.
func (it *list) Valid() bool { return it.ValidForPrefix(it.prefix) }

// Close ends the walk.
func (it *list) Close() {
	if it.closed {
		return
	}
	it.closed = true
	if it.Valid() {
		it.to = it.Item().KeyCopy(nil)
	}
	it.Iterator.Close()
	first, last := it.from, it.to
	if it.reverse {
		first, last = it.to, it.from
	}
	if len(first) == 0 {
		first = it.prefix
	}
	if last == nil {
		last = append(bytes.Clone(it.prefix), bytes.Repeat([]byte{0xff}, 64)...)
	}
	it.v.fail(it.v.l.whole(first, last))
}

// fail keeps the first error of a list that the view's function has no way to return.
func (v *View) fail(err error) {
	if v.err == nil {
		v.err = err
	}
}

// walk is the function walk, with the check of a list.
func (v *View) walk(prefix []byte, f func(key, value []byte) error) error {
	it := v.list(prefix)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		if err := f(it.Item().KeyCopy(nil), b); err != nil {
			return err
		}
	}
	return nil
}

// whole returns an error, once the ledger has stopped, when a part of a table that may hold keys from first to
// last cannot be read.
func (l *Ledger) whole(first, last []byte) error {
	if l.watch == nil {
		return nil
	}
	flaw, err := l.watch.Check(l.db, first, last, l.o.Now())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if flaw == nil {
		return nil
	}
	return l.spoiled(fmt.Errorf("%s", flaw))
}

// spoiled stops the ledger, since a part of a table that was whole when the store was opened cannot be
// read: the store would leave it out, and its next compaction lose it for good.
func (l *Ledger) spoiled(err error) error {
	err = fmt.Errorf("%w: %w: %w; the node stops, and names what is missing when it is started again", ErrStorage, ErrDamaged, err)
	l.fail(err)
	return err
}

// Scrub reads every table of the store against its checksums. The error wraps ErrDamaged when a part of one
// cannot be read any more; the ledger has stopped then.
func (l *Ledger) Scrub() error {
	if !l.viewing.TryRLock() {
		return ErrClosed
	}
	defer l.viewing.RUnlock()
	if l.watch == nil || l.db.IsClosed() {
		return nil
	}
	l.watch.Forget()
	// By letter, so that lists do not wait for all of it.
	for _, c := range slices.Sorted(maps.Keys(losses)) {
		if err := l.whole([]byte{c}, []byte{c + 1}); err != nil {
			return err
		}
	}
	return nil
}

// value is valueOf for a view: what is not found is not believed before the tables have been looked at.
func (v *View) value(key []byte) ([]byte, error) {
	b, err := valueOf(v.txn, key)
	if err != nil {
		err = v.l.unread(key, err)
	}
	return b, err
}

// unread looks at why a key was not read, and stops the ledger when a table is damaged: the store finds nothing in a
// part of a table that it cannot read, as if there were nothing.
func (l *Ledger) unread(key []byte, err error) error {
	if l.watch == nil || !errors.Is(err, ErrStorage) && !errors.Is(err, ErrNotFound) {
		return err
	}
	if bad := l.whole(key, key); bad != nil {
		return bad
	}
	return err
}
