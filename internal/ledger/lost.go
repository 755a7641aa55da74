package ledger

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A Lost record is a version of one of our own records that is not in our log any more,
// since this folder was set back, and that another council still held and gave back:
// with the fields that it was given, and no others. That it stood in our log is the word
// of who held it.
type Lost struct {
	By    name.Council
	Index uint64 // in our log as it was
	View  *record.View
}

const lostLetter = '2'

func lostKey(index uint64, by name.Council) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{lostLetter}, index), by...)
}

// KeepLost keeps a record of ours that a council gave back, at most once for each place
// in the log and council. The error is of a token that is no record of ours, or is of a
// place that was not lost to that council.
func (l *Ledger) KeepLost(ctx context.Context, by name.Council, index uint64, token []byte) error {
	h := l.Halted()
	if h == nil {
		return fmt.Errorf("keep a lost record: %w", ErrNotFound)
	}
	ok := false
	for _, n := range h.Newer {
		// Of a fork it is not known from where on the two differ.
		ok = ok || n.By == by && index < n.Size && (index >= h.Size || n.Fork)
	}
	if !ok {
		return fmt.Errorf("entry %d was not lost to %s", index, by)
	}
	if _, err := l.seeLost(token); err != nil {
		return err
	}
	return l.do(ctx, false, func(t *tx) error {
		t.set(lostKey(index, by), token)
		return nil
	})
}

func (l *Ledger) seeLost(token []byte) (*record.View, error) {
	t, err := record.Parse(token)
	if err != nil {
		return nil, fmt.Errorf("a lost record: %w", err)
	}
	v, err := t.View()
	if err != nil {
		return nil, fmt.Errorf("a lost record: %w", err)
	}
	if v.Council != l.o.Council {
		return nil, fmt.Errorf("a lost record: it is not one of ours")
	}
	return v, nil
}

// Lost calls f with the lost records that were given back, in the order of the log as it
// was and from a place on, until f returns false.
func (v *View) Lost(from uint64, f func(Lost) bool) error {
	it := v.list([]byte{lostLetter})
	defer it.Close()
	for it.Seek(lostKey(from, "")); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		token, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: read lost records: %w", ErrStorage, err)
		}
		if len(key) < 9 {
			return fmt.Errorf("%w: a lost record's key is short", ErrDamaged)
		}
		view, err := v.l.seeLost(token)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if !f(Lost{name.Council(key[9:]), binary.BigEndian.Uint64(key[1:]), view}) {
			return nil
		}
	}
	return nil
}

// CountLost returns how many lost records were given back.
func (v *View) CountLost() (n int) {
	it := v.list([]byte{lostLetter}, keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}

// ForgetLost erases the lost records that were given back, from the files on disk too.
func (l *Ledger) ForgetLost(ctx context.Context) error { return l.drop(ctx, []byte{lostLetter}) }
