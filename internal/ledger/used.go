package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/node/name"
)

// A holding is used when somebody looked at what it says: it was shown, listed
// with its fields, or exported. That is marked once for each version, in a
// transaction of its own that covers a whole page of a list:
//
//	u source4 record16   index8: the version last used, by its place in the sender's log
//	U "name@version"     count8: versions ever used, by their standard
//
// The mark of a record goes with it, when it is withdrawn or its agreement ends;
// the count stays.

func usedKey(source uint32, r [16]byte) []byte { return append(numKey4('u', source), r[:]...) }

func usedCountKey(std name.Standard) []byte { return append([]byte("U"), std.String()...) }

// A Use says that somebody looked at a holding.
type Use struct {
	Record   name.Record
	Index    uint64 // in the sender's log: which version
	Standard name.Standard
}

// MarkUsed marks holdings of a source as used in the version that was looked at.
// It writes nothing when all are marked, and passes over what is not held in
// that version any more.
func (l *Ledger) MarkUsed(ctx context.Context, s *Source, used ...Use) error {
	marked := func(lookup func([]byte) ([]byte, error), h Use) (bool, error) {
		b, err := lookup(usedKey(s.number, h.Record.Bytes()))
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return err == nil && len(b) == 8 && binary.BigEndian.Uint64(b) == h.Index, err
	}
	var todo []Use
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
		return nil
	})
	if err != nil || len(todo) == 0 {
		return err
	}
	err = l.do(ctx, false, func(t *tx) error {
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
