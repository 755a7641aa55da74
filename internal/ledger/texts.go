package ledger

import (
	"context"
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Text is the newest version of a record of ours of which the text is kept, whether the
// record is there still or was deleted.
type Text struct {
	Logged
	Last Logged // its newest version, which may be a deletion
	Body []byte // JSON as it lies on disk, not checked against the log; valid during the call
	Lim  strictjson.Limits
}

// Texts calls f with the newest text of every record of a line that has one, in the order
// of record ids, until f returns false. A record that cannot be read goes to the node's
// own log and is left out: what f decides by it, it checks with [View.Version].
func (l *Ledger) Texts(ctx context.Context, line name.StandardLine, f func(Text) bool) error {
	numbers := l.numbersOf(line)
	for from := []byte{'h'}; ; {
		var heads []name.Record
		err := l.View(func(v *View) error {
			o := badger.DefaultIteratorOptions
			o.Prefix = []byte{'h'}
			it := v.txn.NewIterator(o)
			defer it.Close()
			for it.Seek(from); it.Valid() && len(heads) < 1000; it.Next() {
				key := it.Item().KeyCopy(nil)
				from = append(key, 0)
				b, err := it.Item().ValueCopy(nil)
				if err != nil {
					return err
				}
				if h, err := decodeHead(b); err == nil && len(key) == 17 && slices.Contains(numbers, h.standard) {
					heads = append(heads, name.RecordFrom([16]byte(key[1:])))
				}
			}
			if !it.Valid() {
				from = nil
			}
			return nil
		})
		if err != nil {
			return err
		}
		more := true
		err = l.View(func(v *View) error {
			for _, r := range heads {
				if err := ctx.Err(); err != nil {
					return err
				}
				t, ok, err := v.text(r)
				if errors.Is(err, ErrDamaged) {
					l.o.Log.Error("record left out of an erasure by rule", "error", err.Error())
					continue
				}
				if err != nil {
					return err
				}
				if ok && !f(t) {
					more = false
					return nil
				}
			}
			return nil
		})
		if err != nil || !more || from == nil {
			return err
		}
	}
}

// text returns the newest text of a record; false when none is kept.
func (v *View) text(r name.Record) (t Text, ok bool, err error) {
	first := true
	err = v.Versions(r, func(g Logged) bool {
		if first {
			t.Last, first = g, false
		}
		if g.Deleted || g.Erased {
			return true
		}
		t.Logged, ok = g, true
		return false
	})
	if err != nil || !ok {
		return t, false, err
	}
	s, _, err := v.storedRecord(t.Index)
	if err != nil {
		return t, false, err
	}
	t.Body, t.Lim = s.body, bodyLimits
	return t, true, nil
}
