package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// What is held of a council that has ended may be kept until it comes from its successors,
// where agreements with all of them say so: who decides that is package book. It is as it
// was when the agreement ended, and nothing is added to it. Where a record of a successor
// is the same record, as the successor says, it takes the place of the one that is kept, in
// one transaction; and where a successor takes such a record back, or has erased it, the one
// that is kept goes. What the old one has become is remembered:
//
//	0 source4 0xfd record16   by source of the successor and former id: its id now, its council's
//	                          log index and version as it was kept, and our event: record16
//	                          source4 index8 version8 event8
//	0 source4 0xfc record16   by its id now: the ids that it had, record16 each
//
// Where the successor ends in its turn and its record goes on as that of another, what is
// remembered goes over to that one, so that the first id leads to the newest in one step.

// becameMark stands where a commitment of a council has the first byte of its entry.
// wasMark stands there, too.
const (
	becameMark = 0xfd
	wasMark    = 0xfc
)

func becameKey(source uint32, was [16]byte) []byte {
	return append(append(numKey4('0', source), becameMark), was[:]...)
}

func wasKey(source uint32, now [16]byte) []byte {
	return append(append(numKey4('0', source), wasMark), now[:]...)
}

// maxBecame bounds how many former ids a record is found by.
const maxBecame = 16

// became remembers what a record that was kept has become at a source, and what those have that
// had become it.
func (t *tx) became(c, o *Source, k kept, now name.Record, said uint64) error {
	id, old := now.Bytes(), k.record.Bytes()
	b := binary.BigEndian.AppendUint32(slices.Clone(id[:]), o.number)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k.index), k.version)
	t.set(becameKey(c.number, old), binary.BigEndian.AppendUint64(b, said))
	all, err := t.lookup(wasKey(c.number, id))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	all = append(slices.Clone(all), old[:]...)
	earlier, err := t.lookup(wasKey(o.number, old))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	for was := range slices.Chunk(earlier, 16) {
		if len(was) != 16 || len(all) >= 16*maxBecame {
			break
		}
		v, err := t.lookup(becameKey(o.number, [16]byte(was)))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil && len(v) != 44 {
			err = fmt.Errorf("%w: what record %s has become", ErrDamaged, name.RecordFrom([16]byte(was)))
		}
		if err != nil {
			return err
		}
		t.set(becameKey(c.number, [16]byte(was)), append(slices.Clone(id[:]), v[16:]...))
		all = append(all, was...)
	}
	t.set(wasKey(c.number, id), all)
	return nil
}

// A Keeping says for how long and for whom a source is kept. The zero value says nothing.
type Keeping struct {
	Event uint64        `json:"event"` // of ours, that says so
	Until time.Time     `json:"until"`
	Under []KeptForPart `json:"under"`
}

// A KeptForPart is an agreement with one successor.
type KeptForPart struct {
	Council   name.Council   `json:"council"`
	Agreement name.Agreement `json:"agreement"`
	Version   int            `json:"version"`
	Done      bool           `json:"done,omitempty"` // all that comes under it has come
}

// Done reports whether all that comes has come.
func (k *Keeping) Done() bool {
	return !slices.ContainsFunc(k.Under, func(p KeptForPart) bool { return !p.Done })
}

// For returns the successors that it is kept for.
func (k *Keeping) For() (out []name.Council) {
	for _, p := range k.Under {
		out = append(out, p.Council)
	}
	return out
}

// String says it in words.
func (k *Keeping) String() string {
	var who []string
	for _, c := range k.For() {
		who = append(who, string(c))
	}
	return fmt.Sprintf("kept until it comes from %s, at the latest until %s", strings.Join(who, " and "), k.Until.Format(time.DateOnly))
}

func (k *Keeping) names(from name.Council, a name.Agreement) int {
	return slices.IndexFunc(k.Under, func(p KeptForPart) bool { return p.Council == from && p.Agreement == a })
}

// Keep keeps what is held under an agreement that is over, as it is, and says so in our log
// by an event that is addressed to its council. version is that of the text that ended. It
// does nothing where the copy has moved on from s. Nothing is compared any more with what
// the council committed to, since that goes on elsewhere. What a successor has sent before is
// read once more, so that it takes its place and what was taken back goes.
func (l *Ledger) Keep(ctx context.Context, s *Source, version int, k Keeping) error {
	if _, err := l.OpenNotices(ctx, s.From); err != nil {
		return err
	}
	// What was passed on of it is taken back as at any end, also where that agreement is
	// suspended now: it goes on by one that names the successor's as its origin.
	if err := l.originOf(s, func(f *Feed) error { return l.takeBackAll(ctx, f, WithdrawnNoPassing) }); err != nil {
		return fmt.Errorf("take back what was passed on of %s: %w", s.Agreement, err)
	}
	said := event.Kept{
		Agreement: s.Agreement, Version: uint64(version), From: s.From, Cursor: s.Cursor, Records: uint64(s.Records), Until: k.Until.UTC().Format(time.DateOnly),
	}
	for _, p := range k.Under {
		said.Under = append(said.Under, event.GoesOn{Council: p.Council, Agreement: p.Agreement, Version: uint64(p.Version)})
	}
	err := l.View(func(v *View) error {
		var entries []uint64
		err := v.positions(s, 0, func(index uint64, _ name.Record, _ uint32) bool {
			entries = append(entries, index)
			return true
		})
		said.Entries = event.EntriesDigest(entries)
		return err
	})
	var early []*Source // of successors, that something has come from
	for _, p := range k.Under {
		if n, none := l.Source(p.Council, p.Agreement); none == nil && n.Cursor > 0 && !n.Ended && !n.Ending {
			early = append(early, n)
		}
	}
	if err == nil {
		err = l.do(ctx, false, func(t *tx) error {
			c, err := t.current(s)
			if err != nil || !c.at(s) || c.Records != s.Records {
				return err
			}
			for _, n := range early {
				if err := t.rewind(n, n.Digest); err != nil {
					return err
				}
			}
			k.Event = t.event(event.KindHoldingsKept, said.Body()).index
			had := c.commitments()
			c.Kept = &k
			c.forgetSums()
			t.keepCommitments(c, had)
			if err := t.address(k.Event, []name.Council{c.From}); err != nil {
				return err
			}
			return t.source(c)
		})
	}
	for _, n := range append(early, s) {
		if err == nil {
			err = l.forgetGone(ctx, n)
		}
	}
	if err != nil {
		return fmt.Errorf("keep what %s shared: %w", s.From, err)
	}
	return nil
}

// KeptUnder returns the sources that are kept until what they hold comes from a council
// under an agreement.
func (l *Ledger) KeptUnder(from name.Council, a name.Agreement) (out []*Source) {
	for _, s := range l.Sources() {
		if s.Kept != nil && !s.Ended && !s.Ending && s.Kept.names(from, a) >= 0 {
			out = append(out, s)
		}
	}
	return out
}

// A kept is a holding of a source that is kept, which a record takes the place of.
type kept struct {
	source         *Source
	record         name.Record
	index, version uint64
}

// takesPlace finds the holdings whose place what is about to be kept takes: of each, the one
// that its sender says it was. It is not believed where the two are of another line of
// standards, or show another key.
func (l *Ledger) takesPlace(puts []Put, sources []*Source) error {
	return l.View(func(v *View) error {
		for i := range puts {
			p := &puts[i]
			if p.Former == "" {
				continue
			}
			var now *Holding
			for _, s := range sources {
				was, err := v.Holding(s, p.Former)
				if errors.Is(err, ErrStorage) {
					return err
				}
				if err != nil {
					continue
				}
				if now == nil {
					if now, err = decodeHolding(encodeHolding(p)); err == nil {
						err = now.see()
					}
					if err != nil {
						return err
					}
				}
				if l.sameRecord(was, now) {
					p.place = append(p.place, kept{s, p.Former, was.Index, was.Version})
				}
			}
		}
		return nil
	})
}

// sameRecord reports whether nothing that two holdings show says that they are not of one
// record.
func (l *Ledger) sameRecord(a, b *Holding) bool {
	if a.View.Standard.Line() != b.View.Standard.Line() {
		return false
	}
	key := func(h *Holding) (string, bool) {
		std, err := l.Standard(h.View.Standard)
		if err != nil {
			return "", false
		}
		k, err := std.Key(h.View.Body)
		return k, err == nil
	}
	ka, oka := key(a)
	kb, okb := key(b)
	return !oka || !okb || ka == kb
}

// takePlaces takes what was kept out of the store where a record of c has come in its place,
// and says so in our log: one event for each source. Its bytes leave the files with the next
// Purge.
func (t *tx) takePlaces(c *Source, puts []*Put) error {
	type one struct {
		kept
		now name.Record
	}
	of := map[uint32][]one{}
	var order []*Source
	for _, p := range puts {
		for _, k := range p.place {
			if of[k.source.number] == nil {
				order = append(order, k.source)
			}
			of[k.source.number] = append(of[k.source.number], one{k, p.Record})
		}
	}
	for _, s := range order {
		o, err := t.current(s)
		if err != nil {
			return err
		}
		if o.Kept == nil || o.Ended || o.Ending {
			continue
		}
		var gone []one
		for _, k := range of[s.number] {
			id := k.record.Bytes()
			index, _, had, err := t.held(o, id)
			if err != nil && !errors.Is(err, ErrDamaged) {
				return err
			}
			if !had || index != k.index {
				continue
			}
			if err := t.letGo(o, k.record); err != nil {
				return err
			}
			gone = append(gone, k)
		}
		if len(gone) == 0 {
			continue
		}
		var at []uint64
		for _, k := range gone {
			at = append(at, k.index)
		}
		said, err := t.keptNoMore(o, at, fmt.Sprintf("goes on as a record of %s under %s", c.From, c.Agreement))
		if err != nil {
			return err
		}
		for _, k := range gone {
			if err := t.became(c, o, k.kept, k.now, said); err != nil {
				return err
			}
		}
		if err := t.source(o); err != nil {
			return err
		}
	}
	return nil
}

// letGo takes a record that is kept out of the store. Its bytes leave the files with the next
// Purge.
func (t *tx) letGo(o *Source, r name.Record) error {
	id := r.Bytes()
	if err := t.remember(o, id, 0, false, false); err != nil {
		return err
	}
	for _, key := range slots(o.number, id) {
		if _, err := t.lookup(key); err == nil {
			t.set(purgeKey(key), []byte{})
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	_, err := t.blank(o, r)
	return err
}

// keptNoMore says in our log which entries of a source that is kept went, and why. It returns
// where it stands there.
func (t *tx) keptNoMore(o *Source, entries []uint64, why string) (uint64, error) {
	known, err := t.known(o.From)
	if err != nil {
		return 0, err
	}
	var out []Withdrawal
	for _, i := range slices.Sorted(slices.Values(entries)) {
		out = append(out, Withdrawal{Index: i})
	}
	r := receiptOf(o, &Delivery{Checkpoint: known.Checkpoint(), Cursor: o.Cursor, Withdrawn: out}, o.Cursor, nil)
	r.Reason = why
	return t.event(event.KindReceipt, r.Body()).index, nil
}

// takenBackThere deletes what is kept of the records that a successor takes back under s, as it
// says by the ids that they had. It is believed, since it can have all that is kept deleted by
// ending the agreement.
func (l *Ledger) takenBackThere(ctx context.Context, s *Source, ws []Withdrawal, waiting []*Source) error {
	var was []Withdrawal
	for _, w := range ws {
		if w.Former != "" {
			was = append(was, Withdrawal{Record: w.Former, Order: w.Order})
		}
	}
	if len(was) == 0 {
		return nil
	}
	for _, o := range waiting {
		if err := l.eraseKept(ctx, o, was, fmt.Sprintf("taken back by %s under %s", s.From, s.Agreement)); err != nil {
			return err
		}
	}
	return nil
}

// eraseKept deletes records of a source that is kept, as far as they are there, says so in our
// log, and returns when they are out of the files on disk, too. To whom they were passed on has
// been told that they are taken back, and is told where they are to be erased.
func (l *Ledger) eraseKept(ctx context.Context, s *Source, ws []Withdrawal, why string) error {
	err := l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil || c.Kept == nil || c.Ended || c.Ending {
			return err
		}
		var entries []uint64
		for _, w := range ws {
			if err := t.goesBack(c, w.Record, &w); err != nil {
				return err
			}
			index, _, had, err := t.held(c, w.Record.Bytes())
			if err != nil && !errors.Is(err, ErrDamaged) {
				return err
			}
			if !had {
				continue // gone before, or named twice
			}
			if err := t.letGo(c, w.Record); err != nil {
				return err
			}
			entries = append(entries, index)
		}
		if len(entries) == 0 {
			return nil
		}
		c.Withdrawn += len(entries)
		if _, err := t.keptNoMore(c, entries, why); err != nil {
			return err
		}
		return t.source(c)
	})
	if err != nil {
		return err
	}
	return l.Purge(ctx)
}

// allCame notes in what is kept that a successor has sent all that comes under c.
func (t *tx) allCame(c *Source, sources []*Source, of func(name.Council) bool) error {
	for _, s := range sources {
		if !of(s.From) {
			continue
		}
		o, err := t.current(s)
		if err != nil {
			return err
		}
		if o.Kept == nil || o.Ended || o.Ending {
			continue
		}
		i := o.Kept.names(c.From, c.Agreement)
		if i < 0 || o.Kept.Under[i].Done {
			continue
		}
		k := *o.Kept
		k.Under = slices.Clone(k.Under)
		k.Under[i].Done = true
		o.Kept = &k
		if err := t.source(o); err != nil {
			return err
		}
	}
	return nil
}

// A Became says what a record that was held of a council that has ended is now.
type Became struct {
	Source *Source     // of the successor
	Record name.Record // its id there
	Was    Former
}

// Became returns what a record of a council that has ended, and that was held here, is now;
// ErrNotFound where none of that id went on.
func (v *View) Became(was name.Record) (Became, error) {
	sources := v.l.Sources()
	for _, s := range sources {
		if s.Agreement == "" || s.Ended || s.Ending {
			continue
		}
		b, err := v.value(becameKey(s.number, was.Bytes()))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return Became{}, err
		}
		o := 0
		if len(b) == 44 {
			o = int(binary.BigEndian.Uint32(b[16:]))
		}
		if len(b) != 44 || o >= len(sources) {
			return Became{}, fmt.Errorf("%w: what record %s has become", ErrDamaged, was)
		}
		return Became{s, name.RecordFrom([16]byte(b[:16])), Former{
			Council: sources[o].From, Record: was, Entry: binary.BigEndian.Uint64(b[20:]), Version: binary.BigEndian.Uint64(b[28:]), Event: binary.BigEndian.Uint64(b[36:]),
		}}, nil
	}
	return Became{}, fmt.Errorf("what record %s has become: %w", was, ErrNotFound)
}
