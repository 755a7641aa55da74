package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A holding is used when somebody looked at what it says: it was shown, listed
// with its fields, or exported. That is marked once for each version, in a
// transaction of its own that covers a whole page of a list:
//
//	u source4 record16   index8: the version last used, by its place in the sender's log
//	U "name@version"     count8: versions ever used, by their standard
//	U 0 source4 field    day8, since 1970: when the field was looked at last, of any holding;
//	                     of an empty field, when all of a holding was
//	U 1 source4          day8: since when fields are marked
//
// The mark of a record goes with it, when it is withdrawn or its agreement ends;
// the count stays, and so do the days.

func usedKey(source uint32, r [16]byte) []byte { return append(numKey4('u', source), r[:]...) }

func usedCountKey(std name.Standard) []byte { return append([]byte("U"), std.String()...) }

func usedFieldKey(source uint32, f name.Field) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{'U', 0}, source), f...)
}

func usedSinceKey(source uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'U', 1}, source) }

// A Use says that somebody looked at a holding.
type Use struct {
	Record   name.Record
	Index    uint64 // in the sender's log: which version
	Standard name.Standard
}

// MarkUsed marks holdings of a source as used in the version that was looked at, and the
// fields of them that were: nil is all. It writes nothing when all are marked, fields by the
// day, and passes over what is not held in that version any more.
func (l *Ledger) MarkUsed(ctx context.Context, s *Source, fields []name.Field, used ...Use) error {
	if len(used) == 0 {
		return nil
	}
	if fields == nil {
		fields = []name.Field{""}
	}
	day := dayOf(l.o.Now())
	marked := func(lookup func([]byte) ([]byte, error), h Use) (bool, error) {
		b, err := lookup(usedKey(s.number, h.Record.Bytes()))
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return err == nil && len(b) == 8 && binary.BigEndian.Uint64(b) == h.Index, err
	}
	var todo []Use
	var unread []name.Field
	err := l.View(func(v *View) error {
		for _, h := range used {
			done, err := marked(func(k []byte) ([]byte, error) { return v.value(k) }, h)
			if err != nil {
				return err
			}
			if !done {
				todo = append(todo, h)
			}
		}
		for _, f := range fields {
			b, err := v.value(usedFieldKey(s.number, f))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if len(b) != 8 || int64(binary.BigEndian.Uint64(b)) < day {
				unread = append(unread, f)
			}
		}
		return nil
	})
	if err != nil || len(todo)+len(unread) == 0 {
		return err
	}
	err = l.do(ctx, false, func(t *tx) error {
		if len(unread) > 0 {
			if _, err := t.lookup(usedSinceKey(s.number)); errors.Is(err, ErrNotFound) {
				t.set(usedSinceKey(s.number), binary.BigEndian.AppendUint64(nil, uint64(day)))
			} else if err != nil {
				return err
			}
		}
		for _, f := range unread {
			t.set(usedFieldKey(s.number, f), binary.BigEndian.AppendUint64(nil, uint64(day)))
		}
		more := map[name.Standard]uint64{}
		for _, h := range todo {
			id := h.Record.Bytes()
			index, _, had, err := t.held(s, id)
			if err != nil {
				return err
			}
			done, err := marked(t.lookup, h)
			if err != nil {
				return err
			}
			if done || !had || index != h.Index {
				continue
			}
			t.set(usedKey(s.number, id), binary.BigEndian.AppendUint64(nil, h.Index))
			more[h.Standard]++
		}
		for std, n := range more {
			b, err := t.lookup(usedCountKey(std))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if len(b) == 8 {
				n += binary.BigEndian.Uint64(b)
			}
			t.set(usedCountKey(std), binary.BigEndian.AppendUint64(nil, n))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark what was used of %s: %w", s.From, err)
	}
	return nil
}

// Used reports whether a holding was used in the version at a log index.
func (v *View) Used(s *Source, r name.Record, index uint64) (bool, error) {
	b, err := v.value(usedKey(s.number, r.Bytes()))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && len(b) == 8 && binary.BigEndian.Uint64(b) == index, err
}

// EverUsed returns how many versions of holdings in a version of a standard were
// ever used, those that are gone too.
func (v *View) EverUsed(std name.Standard) (int, error) {
	b, err := v.value(usedCountKey(std))
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return int(binary.BigEndian.Uint64(b)), nil
}

// A Reading says what was looked at of what came from a source.
type Reading struct {
	Records int       // of those that are held, that were looked at in some version
	Since   time.Time // from when the days of Fields are kept; zero: not yet
	// Fields says on what day each was looked at last, by UTC, and of an empty field when all of
	// a record was.
	Fields map[name.Field]time.Time
}

// Reading returns what was looked at of a source. It reads a mark of each record that was.
func (v *View) Reading(s *Source) (r Reading, err error) {
	r.Fields = map[name.Field]time.Time{}
	marks := v.list(numKey4('u', s.number), keysOnly)
	for marks.Rewind(); marks.Valid(); marks.Next() {
		r.Records++
	}
	marks.Close()
	day := func(b []byte) time.Time {
		if len(b) != 8 {
			return time.Time{}
		}
		return time.Unix(0, 0).UTC().AddDate(0, 0, int(binary.BigEndian.Uint64(b)))
	}
	b, err := v.value(usedSinceKey(s.number))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return r, err
	}
	r.Since = day(b)
	prefix := usedFieldKey(s.number, "")
	return r, v.walk(prefix, func(key, value []byte) error {
		r.Fields[name.Field(key[len(prefix):])] = day(value)
		return nil
	})
}
