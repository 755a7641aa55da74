package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The disclosure index says who was let have what. Everything in it follows from the log,
// but who is named in what others sent, which follows from what is held, and is written in
// the transaction of what it follows from:
//
//	T v                                       version of the index, one byte
//	T d entry8 event8                         bits8: of the 64 entries from entry on, those that an event let out
//	T c entry8 event8                         bits8: those that a footprint said it holds, refuses or no longer holds
//	T p to 0 agreement 0 seconds8 event8      kind1: what was let out to a council under an agreement, by time
//	T h from 0 agreement 0 entry8 event8      bits8: of another council's log, those that we said we hold
//	T w record16 event8                       empty: a withdrawal of the record
//	T n key16 record16                        empty: a version of the record names a person, see person.go
//	T o … T q …                               who is named in what others sent, see heldperson.go
//
// An entry of another log than ours, a footprint's, stands under T p alone. A batch of
// a thousand entries that stand beside each other in the log takes sixteen keys, and to
// find who had one entry takes a walk over the events that let out its 64.
//
// disclosureIndex rises with each change of this. An index of another version, or none,
// is made anew when the ledger is opened.
const disclosureIndex byte = 3

var keyDisclosureIndex = []byte("Tv")

// What kind of event an entry under T p is of.
const (
	letCopy      byte = 'd' // records, or withdrawals of some, were copied
	letAnswer    byte = 'a' // a question was answered with records
	letCounts    byte = 'c' // a question was answered with counts
	letFootprint byte = 'f' // records of a footprint were copied
	letPut       byte = 'p' // open fields went into a footprint without an agreement
)

const bucketSize = 64

func bucketPrefix(prefix string, entry uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), entry-entry%bucketSize)
}

func heldPrefix(from name.Council, a name.Agreement) []byte {
	return append(append(append(append([]byte("Th"), from...), 0), a...), 0)
}

func flowPrefix(to name.Council, a name.Agreement) []byte {
	return append(append(append(append([]byte("Tp"), to...), 0), a...), 0)
}

func takenBackKey(r [16]byte, at uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("Tw"), r[:]...), at)
}

// indexEvent writes what the disclosure index has of an event. A body that is not one of
// its kind is left out of it: nobody could say what it let out.
func indexEvent(set func(key, value []byte), at uint64, issued int64, kind string, body map[string]any) {
	flow := func(kind byte, to name.Council, a name.Agreement) {
		key := binary.BigEndian.AppendUint64(flowPrefix(to, a), uint64(issued))
		set(binary.BigEndian.AppendUint64(key, at), []byte{kind})
	}
	entries := func(prefix string, list []uint64) {
		bits := map[uint64]uint64{}
		for _, n := range list {
			bits[n/bucketSize] |= 1 << (n % bucketSize)
		}
		for n, b := range bits {
			set(binary.BigEndian.AppendUint64(bucketPrefix(prefix, n*bucketSize), at), binary.BigEndian.AppendUint64(nil, b))
		}
	}
	switch kind {
	case event.KindDisclosure:
		if d, err := event.ParseDisclosure(body); err == nil {
			flow(letCopy, d.To, d.Agreement)
			entries("Td", d.Entries)
		}
	case event.KindAnswer:
		a, err := event.ParseAnswer(body)
		switch {
		case err != nil:
		case a.Outcome == event.OutcomeCounted:
			flow(letCounts, a.To, a.Agreement)
		case a.Outcome == event.OutcomeFound:
			flow(letAnswer, a.To, a.Agreement)
			if a.Footprint == "" {
				entries("Td", a.Entries)
			}
		}
	case event.KindFootprintDisclosure:
		if d, err := event.ParseFootprintDisclosure(body); err == nil {
			flow(letFootprint, d.To, d.Agreement)
		}
	case event.KindFootprintPut:
		if p, err := event.ParseFootprintPut(body); err == nil {
			flow(letPut, p.Footprint, "")
			entries("Td", p.Entries)
		}
	case event.KindFootprintContributed:
		if c, err := event.ParseFootprintContributed(body); err == nil {
			said := slices.Concat(c.Held, c.Withdrawn)
			for _, no := range c.Refused {
				said = append(said, no.Entry)
			}
			entries("Tc", said)
		}
	case event.KindReceipt:
		if r, err := event.ParseReceipt(body); err == nil {
			entries(string(heldPrefix(r.From, r.Agreement)), r.Held)
		}
	case event.KindWithdrawal, event.KindErasureOrder:
		if w, err := event.ParseTakenBack(kind, body); err == nil {
			set(takenBackKey(w.Record.Bytes(), at), []byte{})
		}
	}
}

// indexedKinds are those of which indexEvent writes something.
var indexedKinds = []string{
	event.KindDisclosure, event.KindAnswer, event.KindFootprintDisclosure, event.KindFootprintPut, event.KindFootprintContributed, event.KindWithdrawal, event.KindErasureOrder, event.KindReceipt,
}

// indexChunk is about how many keys of the index are written in one transaction.
const indexChunk = 5_000

// RebuildDisclosures makes the disclosure index anew from the log, as it was written
// entry by entry, and from what is held. Meanwhile what is written goes on to be entered,
// and who asks may be told too little. What a crash interrupts is done when the ledger is opened.
func (l *Ledger) RebuildDisclosures(ctx context.Context) error {
	err := l.rebuildDisclosures(ctx)
	if err != nil {
		err = fmt.Errorf("build the disclosure index: %w", err)
	}
	return err
}

func (l *Ledger) rebuildDisclosures(ctx context.Context) error {
	var size uint64
	err := l.do(ctx, true, func(t *tx) error { // alone: what is dropped is of entries before size
		size = l.w.next
		had := false
		err := l.db.View(func(txn *badger.Txn) error {
			o := badger.DefaultIteratorOptions
			o.PrefetchValues, o.Prefix = false, []byte("T")
			it := txn.NewIterator(o)
			defer it.Close()
			it.Rewind()
			had = it.Valid()
			return nil
		})
		if err != nil || !had {
			return err
		}
		t.remove(keyDisclosureIndex)
		return l.dropPrefixes([]byte("T"))
	})
	if err != nil {
		return err
	}
	at := uint64(0)
	for at < size {
		sets := map[string][]byte{}
		set := func(k, v []byte) { sets[string(k)] = v }
		err := l.View(func(v *View) (err error) {
			at, err = v.indexFrom(ctx, at, size, set, func() bool { return len(sets) >= indexChunk })
			return err
		})
		if err != nil {
			return err
		}
		// A single event of many entries may have more keys than one transaction takes.
		var chunk [][2][]byte
		for k, v := range sets {
			chunk = append(chunk, [2][]byte{[]byte(k), v})
		}
		for part := range slices.Chunk(chunk, 2*indexChunk) {
			err := l.do(ctx, false, func(t *tx) error {
				for _, kv := range part {
					t.set(kv[0], kv[1])
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if err := l.rebuildHeld(ctx); err != nil {
		return err
	}
	return l.do(ctx, false, func(t *tx) error {
		t.set(keyDisclosureIndex, []byte{disclosureIndex})
		return nil
	})
}

// indexFrom enters what follows from the entries of the log from one on, until it is
// full, and returns the entry after the last. Where no standard names persons only events
// are looked at.
func (v *View) indexFrom(ctx context.Context, at, size uint64, set func(k, val []byte), full func() bool) (uint64, error) {
	persons := slices.ContainsFunc(v.l.standardList(), func(k *knownStandard) bool { return len(k.std.Persons()) > 0 })
	next, closeAll := v.merged(indexedKinds, at)
	defer closeAll()
	for i, ok := next(); at < size; at++ {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		if full() {
			return at, nil
		}
		for ok && i < at {
			i, ok = next()
		}
		switch {
		case ok && i == at:
			ev, _, err := v.Event(at)
			if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
				continue // it is named where it is read
			}
			if err != nil {
				return at, err
			}
			indexEvent(set, at, ev.IssuedAt, ev.Kind, ev.Body)
		case persons:
			if err := v.indexPersons(at, set); err != nil {
				return at, err
			}
		case !ok:
			return size, nil
		default:
			at = i - 1
		}
	}
	return size, nil
}

// merged returns what walks the events of several kinds in the order of the log, from an
// index on, and what ends the walk.
func (v *View) merged(kinds []string, from uint64) (next func() (uint64, bool), end func()) {
	var its []*list
	for _, k := range kinds {
		it := v.list(eventKindPrefix(k), keysOnly)
		it.Seek(eventKindKey(k, from))
		its = append(its, it)
	}
	next = func() (uint64, bool) {
		var first *list
		for _, it := range its {
			if it.Valid() && (first == nil || indexAtEnd(it) < indexAtEnd(first)) {
				first = it
			}
		}
		if first == nil {
			return 0, false
		}
		i := indexAtEnd(first)
		first.Next()
		return i, true
	}
	return next, func() {
		for _, it := range its {
			it.Close()
		}
	}
}

// openDisclosures builds the disclosure index when it is not of this version.
func (l *Ledger) openDisclosures(ctx context.Context) error {
	var have []byte
	err := l.db.View(func(txn *badger.Txn) (err error) {
		have, err = valueOf(txn, keyDisclosureIndex)
		return err
	})
	switch {
	case err == nil && bytes.Equal(have, []byte{disclosureIndex}):
		return nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	if n := l.Size(); n > 0 {
		l.o.Log.Info("the disclosure index is built from the log", "entries", n)
	}
	return l.RebuildDisclosures(ctx)
}

// A Logged is what the log says of one version of a record of ours without showing it.
type Logged struct {
	Index    uint64
	Record   name.Record
	Version  uint64
	Standard name.Standard
	At       time.Time // UTC
	Deleted  bool      // it says that the record was deleted
	Erased   bool      // nothing more is kept of it, see [Ledger.Erase]
	previous uint64
}

// Logged returns what the log says of the record version at an index. ErrNotFound when
// the entry is no record.
func (v *View) Logged(index uint64) (Logged, error) {
	raw, err := v.raw(index)
	if err != nil {
		return Logged{}, err
	}
	if raw[0] == kindEvent {
		return Logged{}, fmt.Errorf("entry %d is not a record: %w", index, ErrNotFound)
	}
	p, err := placeOf(raw)
	if err != nil {
		return Logged{}, fmt.Errorf("entry %d: %w", index, err)
	}
	return v.l.logged(index, p)
}

func (l *Ledger) logged(index uint64, p place) (Logged, error) {
	std, _, err := l.tables(p.standard, 0)
	if err != nil {
		return Logged{}, fmt.Errorf("entry %d: %w: %w", index, ErrDamaged, err)
	}
	return Logged{
		Index: index, Record: name.RecordFrom(p.record), Version: p.version, Standard: std.name,
		At: time.Unix(p.issuedAt, 0).UTC(), Deleted: p.deletion, Erased: p.erased, previous: p.prevIndex,
	}, nil
}

// Versions calls f with every version of a record of ours, the newest first, until f
// returns false. ErrNotFound when there is no such record.
func (v *View) Versions(r name.Record, f func(Logged) bool) error {
	h, err := v.head(r)
	if err != nil {
		return err
	}
	for at := h.index; ; {
		g, err := v.Logged(at)
		if err == nil && g.Record != r {
			err = fmt.Errorf("entry %d: %w: is another record's", at, ErrDamaged)
		}
		if err != nil || !f(g) || g.Version <= 1 {
			return err
		}
		if g.previous >= at {
			return fmt.Errorf("entry %d: %w: follows a later one", at, ErrDamaged)
		}
		at = g.previous
	}
}

// IsVersion reports whether an entry is a version of a record of ours that stands in our
// log, erased or not. One that is not was signed by somebody else, or in a part of our log
// that was lost. It takes as long as the record has versions after it.
func (v *View) IsVersion(r name.Record, entry tlog.Hash) (is bool, err error) {
	var bad error
	err = v.Versions(r, func(g Logged) bool {
		var h tlog.Hash
		if h, bad = v.leaf(g.Index); bad == nil {
			is = h == tlog.Leaf(entry)
		}
		return bad == nil && !is
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return is, errors.Join(err, bad)
}

// SetBack reports whether our log went on from an old copy once: see [Ledger.Continue].
func (v *View) SetBack() (is bool) {
	v.Events(event.KindContinued, 0, func(uint64) bool { is = true; return false })
	return is
}

// LetOut returns the log indexes of the events that said that an entry of our log was
// about to leave, ascending.
func (v *View) LetOut(entry uint64) ([]uint64, error) { return v.bucket("Td", entry) }

// Contributed returns the log indexes of the events that say what a footprint made of an
// entry of our log, ascending.
func (v *View) Contributed(entry uint64) ([]uint64, error) { return v.bucket("Tc", entry) }

// ReceiptedBy returns the log indexes of our receipts that say that we hold an entry of
// another council's log under an agreement, ascending.
func (v *View) ReceiptedBy(from name.Council, a name.Agreement, entry uint64) ([]uint64, error) {
	return v.bucket(string(heldPrefix(from, a)), entry)
}

func (v *View) bucket(prefix string, entry uint64) (out []uint64, err error) {
	err = v.walk(bucketPrefix(prefix, entry), func(key, value []byte) error {
		if len(value) != 8 || len(key) != len(prefix)+16 {
			return fmt.Errorf("%w: disclosure index", ErrDamaged)
		}
		if binary.BigEndian.Uint64(value)>>(entry%bucketSize)&1 == 1 {
			out = append(out, binary.BigEndian.Uint64(key[len(key)-8:]))
		}
		return nil
	})
	return out, err
}

// TakenBack returns the log indexes of the withdrawals of a record of ours, ascending.
func (v *View) TakenBack(r name.Record) (out []uint64, err error) {
	id := r.Bytes()
	err = v.walk(append([]byte("Tw"), id[:]...), func(key, _ []byte) error {
		out = append(out, binary.BigEndian.Uint64(key[len(key)-8:]))
		return nil
	})
	return out, err
}

// A Flow is one event that let something out, as the disclosure index has it.
type Flow struct {
	At        time.Time // when it was logged, UTC
	Index     uint64    // of the event
	To        name.Council
	Agreement name.Agreement // "" for what went into a footprint without one
}

// Before orders flows by time, and by log index at one time.
func (f Flow) Before(g Flow) bool {
	return f.At.Before(g.At) || f.At.Equal(g.At) && f.Index < g.Index
}

// Flows calls fn with the events that let something out to a council, "" for all, under
// an agreement, "" for all, by time, from after on but without it, until fn returns false.
// It reads what it hands on, and a little for each council and agreement.
func (v *View) Flows(to name.Council, under name.Agreement, after Flow, fn func(Flow) bool) error {
	prefix := []byte("Tp")
	if to != "" {
		prefix = append(append(prefix, to...), 0)
	}
	it := v.list(prefix, keysOnly)
	defer it.Close()
	type stream struct {
		prefix []byte
		flow   Flow // its tail is in front
		ahead  []Flow
	}
	more := func(s *stream) error {
		for it.Seek(flowKey(s.prefix, s.flow)); it.Valid() && len(s.ahead) < 64; it.Next() {
			k := it.Item().Key()
			if !bytes.HasPrefix(k, s.prefix) {
				break
			}
			if len(k) != len(s.prefix)+16 {
				return fmt.Errorf("%w: disclosure index", ErrDamaged)
			}
			g := s.flow
			g.At = time.Unix(int64(binary.BigEndian.Uint64(k[len(s.prefix):])), 0).UTC()
			g.Index = binary.BigEndian.Uint64(k[len(s.prefix)+8:])
			if s.flow.Before(g) {
				s.ahead = append(s.ahead, g)
			}
		}
		return nil
	}
	var all []*stream
	for it.Rewind(); it.Valid(); {
		parts := bytes.SplitN(it.Item().Key()[2:], []byte{0}, 3)
		if len(parts) != 3 {
			return fmt.Errorf("%w: disclosure index", ErrDamaged)
		}
		s := &stream{flow: Flow{At: after.At, Index: after.Index, To: name.Council(parts[0]), Agreement: name.Agreement(parts[1])}}
		s.prefix = flowPrefix(s.flow.To, s.flow.Agreement)
		past := bytes.Clone(s.prefix)
		past[len(past)-1] = 1
		if under != "" && under != s.flow.Agreement { // of each council one agreement is looked for
			past = flowPrefix(s.flow.To, under)
			if under < s.flow.Agreement {
				past = append(append([]byte("Tp"), s.flow.To...), 1)
			}
			it.Seek(past)
			continue
		}
		all = append(all, s)
		if under != "" {
			past = append(append([]byte("Tp"), s.flow.To...), 1)
		}
		it.Seek(past)
	}
	for _, s := range all {
		if err := more(s); err != nil {
			return err
		}
	}
	for {
		var first *stream
		for _, s := range all {
			if len(s.ahead) > 0 && (first == nil || s.ahead[0].Before(first.ahead[0])) {
				first = s
			}
		}
		if first == nil {
			return nil
		}
		g := first.ahead[0]
		if first.ahead, first.flow = first.ahead[1:], g; len(first.ahead) == 0 {
			if err := more(first); err != nil {
				return err
			}
		}
		if !fn(g) {
			return nil
		}
	}
}

// flowKey is the key in front of the first flow after one: at its own place, since an
// event that stands there is passed over.
func flowKey(prefix []byte, f Flow) []byte {
	var sec uint64
	if !f.At.IsZero() {
		sec = uint64(max(0, f.At.Unix()))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(bytes.Clone(prefix), sec), f.Index)
}

// ReceiptFor returns the signed receipt by which a council says what it made of an entry
// of a feed, record or withdrawal; nil when there is none.
func (v *View) ReceiptFor(f *Feed, from name.Council, entry uint64) (found []byte, err error) {
	it := v.list(numKey4('r', f.number))
	defer it.Close()
	for it.Seek(receiptKey(f.number, entry+1)); it.Valid(); it.Next() {
		if k := it.Item().Key(); string(k[13:]) != string(from) {
			continue
		}
		jws, err := it.Item().ValueCopy(nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStorage, err)
		}
		if s := since(jws); s <= entry {
			return jws, nil
		}
	}
	return nil, nil
}

// FeedOf returns the feed of one version of an agreement, open or closed; nil when there
// never was one here.
func (l *Ledger) FeedOf(a name.Agreement, version uint64) *Feed {
	var found *Feed
	for _, f := range l.Feeds() {
		if f.Agreement == a && a != "" && uint64(f.Version) == version && (found == nil || found.closed) {
			found = f
		}
	}
	return found
}
