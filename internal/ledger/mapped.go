package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Mapped says that for each live record of an older line of a standard this
// ledger keeps a record of a newer one, made by the mapping that the newer
// version ships. Who makes them reads [View.ChangesOf] from Cursor on, offers
// what the mapping makes of each and moves the cursor.
type Mapped struct {
	Standard name.Standard `json:"standard"`         // the records that are made
	From     int           `json:"from"`             // the major they are made from
	Since    int64         `json:"since"`            // unix seconds
	Cursor   uint64        `json:"cursor"`           // log index: every change before it has been followed
	Ending   bool          `json:"ending,omitempty"` // what was made is being deleted
}

// Line returns the line that the records are made in.
func (m Mapped) Line() name.StandardLine { return m.Standard.Line() }

// Source returns the line that they are made from.
func (m Mapped) Source() name.StandardLine {
	return name.StandardLine{Name: m.Standard.Name, Major: m.From}
}

func (m Mapped) body(on bool) map[string]any {
	return event.StandardMapped{Standard: m.Standard, From: m.From, On: on}.Body()
}

func mappedKey(l name.StandardLine) []byte { return append([]byte{'j'}, l.String()...) }

// madeKey and makesKey tie a made record and the one it is made from.
func madeKey(l name.StandardLine, made [16]byte) []byte {
	return append(madePrefix('J', l), made[:]...)
}

func makesKey(l name.StandardLine, source [16]byte) []byte {
	return append(madePrefix('l', l), source[:]...)
}

func madePrefix(letter byte, l name.StandardLine) []byte {
	return append(append([]byte{letter}, l.String()...), 0)
}

func (l *Ledger) loadMapped(txn *badger.Txn) error {
	return walk(txn, []byte("j"), func(_, value []byte) error {
		var m Mapped
		if err := unmarshal(value, &m); err != nil {
			return err
		}
		l.mapped = append(l.mapped, m)
		return nil
	})
}

// Mapped returns what is made by mappings, by standard.
func (l *Ledger) Mapped() []Mapped {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mapped
}

func (l *Ledger) mappedLine(line name.StandardLine) (Mapped, bool) {
	all := l.Mapped()
	i := slices.IndexFunc(all, func(m Mapped) bool { return m.Line() == line })
	if i < 0 {
		return Mapped{}, false
	}
	return all[i], true
}

// keepMapped writes m and puts it into the list.
func (t *tx) keepMapped(m Mapped, drop bool) error {
	key := mappedKey(m.Line())
	if drop {
		t.remove(key)
	} else {
		b, err := marshal(m)
		if err != nil {
			return err
		}
		t.set(key, b)
	}
	t.after = append(t.after, func() {
		list := slices.DeleteFunc(slices.Clone(t.l.mapped), func(o Mapped) bool { return o.Line() == m.Line() })
		if !drop {
			list = append(list, m)
		}
		slices.SortFunc(list, func(a, b Mapped) int { return strings.Compare(a.Line().String(), b.Line().String()) })
		t.l.mapped = list
	})
	return nil
}

// Map begins to keep records of an adopted standard that are made from those of
// an older major, and logs that. Said again of the same version it does
// nothing; of another version of the line, or another major, everything is made
// anew from there.
func (l *Ledger) Map(ctx context.Context, std name.Standard, from int) error {
	if _, err := l.known(std); err != nil {
		return err
	}
	return l.do(ctx, true, func(t *tx) error {
		m := Mapped{Standard: std, From: from, Since: t.b.iat}
		if old, ok := l.mappedLine(std.Line()); ok {
			if old.Ending || old.From != from {
				return fmt.Errorf("map %s from %d: %w: what was made from major %d is still there or being deleted", std, from, ErrConflict, old.From)
			}
			if old.Standard == std {
				return nil
			}
			m.Since = old.Since
		}
		t.event(event.KindStandardMapped, m.body(true))
		return t.keepMapped(m, false)
	})
}

// Unmap ends what Map began, and logs that. What was made is to be deleted by
// who made it, [View.Made] lists it; [Ledger.Unmapped] says that it is done. It
// returns ErrNotFound when nothing is made in the line.
func (l *Ledger) Unmap(ctx context.Context, line name.StandardLine) error {
	return l.do(ctx, true, func(t *tx) error {
		m, ok := l.mappedLine(line)
		if !ok {
			return fmt.Errorf("no records of %s are made by a mapping: %w", line, ErrNotFound)
		}
		if m.Ending {
			return nil
		}
		m.Ending = true
		t.event(event.KindStandardMapped, m.body(false))
		return t.keepMapped(m, false)
	})
}

// Unmapped forgets a mapping that has ended. It is an ErrConflict while made
// records are left.
func (l *Ledger) Unmapped(ctx context.Context, line name.StandardLine) error {
	return l.do(ctx, true, func(t *tx) error {
		m, ok := l.mappedLine(line)
		if !ok {
			return nil
		}
		left := false
		err := l.db.View(func(txn *badger.Txn) error {
			return walk(txn, madePrefix('J', line), func(_, _ []byte) error { left = true; return errStopWalk })
		})
		if err != nil && err != errStopWalk {
			return err
		}
		if left || !m.Ending {
			return fmt.Errorf("forget the mapping of %s: %w: records made by it are left", line, ErrConflict)
		}
		return t.keepMapped(m, true)
	})
}

// Followed moves the cursor of a mapping. It does nothing when the mapping has
// been begun anew or ended since m was read, or the cursor moved.
func (l *Ledger) Followed(ctx context.Context, m Mapped, cursor uint64) error {
	return l.do(ctx, true, func(t *tx) error {
		now, ok := l.mappedLine(m.Line())
		if !ok || now.Ending || now.Standard != m.Standard || now.Cursor != m.Cursor {
			return nil
		}
		now.Cursor = cursor
		return t.keepMapped(now, false)
	})
}

// MadeFrom says that the offer is what a mapping makes of another record of the
// council, or the deletion of that. It fails with [ErrByHand] when the record it
// is about is live and was not made from that record: what somebody wrote is
// not overwritten.
//
// An offer that does not say so, of a record that was made, takes the record
// over: it is no longer kept by the mapping. To delete one so is an ErrConflict,
// for it would come back.
func (o *Offer) MadeFrom(source name.Record) *Offer {
	o.source, o.made = source.Bytes(), true
	return o
}

// Record returns which record the offer is about.
func (o *Offer) Record() name.Record { return name.RecordFrom(o.record) }

// ErrByHand: a record that a mapping would make is there already, and not by
// that mapping.
var ErrByHand = fmt.Errorf("%w: the record is there already and was not made by the mapping", ErrConflict)

// tie checks an offer against what ties its record to another, before anything
// is changed. old is the head of the record if had. ties says that the line has
// records made by a mapping; without it there is nothing to look at.
func (l *Ledger) tie(b *batch, o *Offer, line name.StandardLine, old head, had bool) (ties bool, err error) {
	if _, ties = l.mappedLine(line); !ties {
		if o.made {
			return false, fmt.Errorf("no records of %s are made by a mapping: %w", line, ErrConflict)
		}
		return false, nil
	}
	source, err := l.lookup(b, madeKey(line, o.record))
	switch {
	case errors.Is(err, ErrNotFound):
		if o.made && had && old.live {
			return true, fmt.Errorf("record %s: %w", o.Record(), ErrByHand)
		}
	case err != nil:
		return true, err
	case o.made && !bytes.Equal(source, o.source[:]):
		return true, fmt.Errorf("record %s: %w", o.Record(), ErrByHand)
	case !o.made && o.remove:
		return true, fmt.Errorf("record %s: %w: a mapping keeps it, made from record %s; delete that one, or stop serving %s",
			o.Record(), ErrConflict, name.RecordFrom([16]byte(source)), line)
	}
	return true, nil
}

// tied writes what ties the record of an offer that succeeded to another.
func (l *Ledger) tied(b *batch, o *Offer, line name.StandardLine) error {
	made := madeKey(line, o.record)
	if o.made && !o.remove {
		b.set(made, bytes.Clone(o.source[:]))
		b.set(makesKey(line, o.source), bytes.Clone(o.record[:]))
		return nil
	}
	source, err := l.lookup(b, made)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	b.set(made, nil)
	// The source may have been told to make another record meanwhile.
	key := makesKey(line, [16]byte(source))
	if v, err := l.lookup(b, key); err == nil && bytes.Equal(v, o.record[:]) {
		b.set(key, nil)
	}
	return nil
}

// A RecordChange is what became of one record of a line.
type RecordChange struct {
	Index   uint64 // of its newest version
	Record  name.Record
	Version *Version    // nil when the record was deleted, or with Err
	Made    name.Record // what a mapping made of it before; "" for nothing
	Err     error       // the record is damaged on disk
}

// Caps on one page of changes.
const (
	maxChanges      = 500
	maxChangesBytes = 8 << 20
	maxChangesScan  = 200_000 // entries looked at
)

// ChangesOf returns records of a line that changed at or after a log index, in
// the order of their newest change, each as it is now, and the index to go on
// from. At the size of the log there are no more. made is the line whose
// records a mapping makes of them.
func (v *View) ChangesOf(line, made name.StandardLine, from uint64) (out []RecordChange, next uint64, err error) {
	next = from
	size, scanned := 0, 0
	for index := from; index < v.cp.Size; index++ {
		if len(out) == maxChanges || size >= maxChangesBytes || scanned == maxChangesScan {
			return out, index, nil
		}
		scanned++
		next = index + 1
		b, err := v.stored(index)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) || err == nil && (len(b) < 42 || b[0] != kindRecord && b[0] != kindRestored) {
			continue // one that is damaged is told where it is read
		}
		if err != nil {
			return nil, 0, fmt.Errorf("entry %d: %w", index, err)
		}
		std, _, err := v.l.tables(binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:]))
		if err != nil || std.name.Line() != line {
			continue
		}
		about := [16]byte(b[26:42])
		size += len(b)
		h, err := v.head(name.RecordFrom(about))
		if err != nil {
			return nil, 0, err
		}
		if h.index != index {
			continue // it changed again, and comes later
		}
		c := RecordChange{Index: index, Record: name.RecordFrom(about)}
		if h.live {
			if c.Version, c.Err = v.Version(index); errors.Is(c.Err, ErrStorage) {
				return nil, 0, c.Err
			}
		}
		m, err := v.value(makesKey(made, about))
		if err == nil && len(m) == 16 {
			c.Made = name.RecordFrom([16]byte(m))
		} else if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, 0, err
		}
		out = append(out, c)
	}
	return out, max(next, v.cp.Size), nil
}

// Made calls f with the records of a line that a mapping made, and what each
// was made from, until f returns false.
func (v *View) Made(line name.StandardLine, f func(made, source name.Record) bool) error {
	prefix := madePrefix('J', line)
	err := v.walk(prefix, func(key, value []byte) error {
		if len(key) != len(prefix)+16 || len(value) != 16 {
			return fmt.Errorf("%w: made record has %d bytes", ErrDamaged, len(key)+len(value))
		}
		if !f(name.RecordFrom([16]byte(key[len(prefix):])), name.RecordFrom([16]byte(value))) {
			return errStopWalk
		}
		return nil
	})
	if err == errStopWalk {
		return nil
	}
	return err
}

// MadeFrom returns which record of ours a record was made from by a mapping.
func (v *View) MadeFrom(std *standard.Standard, r name.Record) (name.Record, bool) {
	b, err := v.value(madeKey(std.Name().Line(), r.Bytes()))
	if err != nil || len(b) != 16 {
		return "", false
	}
	return name.RecordFrom([16]byte(b)), true
}

// MadeOf returns the records of ours that mappings made of one.
func (v *View) MadeOf(r name.Record) (out []name.Record) {
	for _, m := range v.l.Mapped() {
		if b, err := v.value(makesKey(m.Line(), r.Bytes())); err == nil && len(b) == 16 {
			out = append(out, name.RecordFrom([16]byte(b)))
		}
	}
	return out
}
