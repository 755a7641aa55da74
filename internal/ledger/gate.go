package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What the gate counts lies beside the records and is written in their
// transactions:
//
//	y standard4   since8 seen8 valid8 unjudged8: first offers in that version, and
//	              records that the gate came to no verdict on; without the last
//	              when there is none
//	z standard4   what offers broke: JSON, see gateErrors
//	Y id16        digest8 bytes8: an offer that was refused and not taken since, by
//	              what it broke and by the bytes first offered. What broke nothing
//	              was not judged. Older ones are without the last 8
//	Z             count8: how many of these there are
//
// A first offer is the first time that a record comes to the gate. A record is
// known by its natural key, and one that has none that can be read by its
// sender's reference, or else by its bytes. So an offer is a first one when no
// version of the record was ever logged and no mark of it stands under Y. A
// mark goes when the record is taken: from then on the log knows it. When what
// is taken are the very bytes that were first offered, they were valid all
// along, whatever they met then, and count so. An offer that was not judged is
// no first offer yet: the first that gets a verdict is.
//
// While no mark stands anywhere, which is the rule, none is looked for.

// A Refused is an offer that the gate did not take.
type Refused struct {
	Key       string // natural key as standard.Key spells it; "" when the record has none that can be read
	Reference string // the sender's own; may be ""
	Offered   []byte // as it came; only hashed
	Problems  []standard.Problem
}

// gateRefusal is what an offer of a refused record carries.
type gateRefusal struct {
	ids    [][16]byte
	keyed  bool // ids[0] is a record's id
	broken []errorKey
	digest [8]byte // of broken; zero when it was not judged
	bytes  [8]byte // of what was offered
}

func (g *gateRefusal) unjudged() bool { return g.digest == [8]byte{} }

// A mark is what is kept of an offer that was refused.
type mark struct{ digest, bytes [8]byte }

func decodeMark(v []byte) (m mark) {
	copy(m.digest[:], v)
	if len(v) == 16 {
		copy(m.bytes[:], v[8:])
	}
	return m
}

func (m mark) encode() []byte { return append(m.digest[:], m.bytes[:]...) }

func (m mark) unjudged() bool { return m.digest == [8]byte{} }

func offeredDigest(raw []byte) (d [8]byte) {
	h := sha256.Sum256(raw)
	copy(d[:], h[:])
	return d
}

type errorKey struct {
	Rule  string
	Field name.Field
}

// OfferRefused prepares the count of a refused offer. It goes to Submit in its
// place among the others, since what is a first offer depends on what came
// before. It makes no entry in the log, and its Result means nothing.
// ErrNotFound when the standard is not adopted.
func (l *Ledger) OfferRefused(std name.Standard, r Refused) (*Offer, error) {
	known, err := l.known(std)
	if err != nil {
		return nil, err
	}
	g := &gateRefusal{}
	switch {
	case r.Key != "":
		g.keyed = true
		g.ids = append(g.ids, l.o.Keys.RecordID(std.Line(), r.Key).Bytes())
		if r.Reference != "" {
			g.ids = append(g.ids, referenceID(std, r.Reference))
		}
	case r.Reference != "":
		g.ids = append(g.ids, referenceID(std, r.Reference))
	default:
		g.ids = append(g.ids, hashID("bytes", std, r.Offered))
	}
	if len(r.Offered) > 0 {
		g.bytes = offeredDigest(r.Offered)
	}
	if standard.Unjudged(r.Problems) {
		return &Offer{std: known, refused: g}, nil
	}
	places := known.places()
	for _, p := range r.Problems {
		g.broken = append(g.broken, errorKey{ruleOf(p.Rule), places.Fold(p.Pointer)})
	}
	slices.SortFunc(g.broken, func(a, b errorKey) int {
		if a.Field != b.Field {
			return slices.Compare([]byte(a.Field), []byte(b.Field))
		}
		return slices.Compare([]byte(a.Rule), []byte(b.Rule))
	})
	g.broken = slices.Compact(g.broken)
	h := sha256.New()
	for _, e := range g.broken {
		fmt.Fprintf(h, "%s\x00%s\x00", e.Rule, e.Field)
	}
	copy(g.digest[:], h.Sum(nil))
	return &Offer{std: known, refused: g}, nil
}

// ruleOf keeps a rule's name to letters that a statement may hold: rules come
// from schemas, and vocabularies may add their own.
func ruleOf(rule string) string {
	b := []byte(rule)
	b = b[:min(len(b), 60)]
	for i, c := range b {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if c != '$' && c != '_' {
				b[i] = '-'
			}
		}
	}
	if len(b) == 0 {
		return "other"
	}
	return string(b)
}

// As says under which reference its sender knows the record, "" when there is
// none, and which bytes were offered. An offer that was refused under that
// reference before then counts as the same record's, and with those bytes as
// this very offer.
func (o *Offer) As(reference string, offered []byte) *Offer {
	o.reference, o.offered = reference, offered
	return o
}

func referenceID(std name.Standard, reference string) [16]byte {
	return hashID("reference", std, []byte(reference))
}

func hashID(kind string, std name.Standard, b []byte) [16]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", kind, std.Line())
	h.Write(b)
	return [16]byte(h.Sum(nil)[:16])
}

func markKey(id [16]byte) []byte { return append([]byte{'Y'}, id[:]...) }

var keyMarks = []byte("Z")

// places returns the places of the standard, worked out when first asked for.
func (k *knownStandard) places() *measure.Places {
	k.once.Do(func() { k.where = measure.PlacesOf(k.std) })
	return k.where
}

// A gateCount is what a batch leaves of one version's counters.
type gateCount struct {
	since       int64
	seen, valid uint64
	unjudged    uint64      // records that no verdict came to, and that were not taken since
	errors      *gateErrors // nil while the batch refused nothing
}

// gateErrors is what offers broke. Rules and places are the standard's own, so
// that there are only so many; past maxGateErrors they are counted together.
type gateErrors struct {
	Counts []measure.Error `json:"counts"` // in the order they first came
	Other  int             `json:"other"`

	at map[errorKey]int
}

const maxGateErrors = 400

// add counts one more and returns by how many bytes the stored form may grow.
func (e *gateErrors) add(k errorKey) (grows int) {
	if e.at == nil {
		e.at = make(map[errorKey]int, len(e.Counts))
		for i, c := range e.Counts {
			e.at[errorKey{c.Rule, c.Field}] = i
		}
	}
	i, ok := e.at[k]
	switch {
	case ok:
		e.Counts[i].Count++
	case len(e.Counts) < maxGateErrors:
		e.at[k] = len(e.Counts)
		e.Counts = append(e.Counts, measure.Error{Rule: k.Rule, Field: k.Field, Count: 1})
		return 2*(len(k.Rule)+len(k.Field)) + 64 // as JSON, with room for escapes
	default:
		e.Other++
	}
	return 1
}

// gate returns the counters of a version as the batches under way leave them.
func (l *Ledger) gate(b *batch, std uint32) (*gateCount, error) {
	if c := b.gate[std]; c != nil {
		return c, nil
	}
	v, err := l.lookup(b, numKey4('y', std))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	c, err := decodeGate(v)
	if err != nil {
		return nil, err
	}
	if b.gate == nil {
		b.gate = map[uint32]*gateCount{}
	}
	b.gate[std] = c
	b.bytes += 64
	return c, nil
}

func decodeGate(v []byte) (*gateCount, error) {
	switch len(v) {
	case 0:
		return &gateCount{}, nil
	case 24, 32:
		c := &gateCount{since: int64(binary.BigEndian.Uint64(v)), seen: binary.BigEndian.Uint64(v[8:]), valid: binary.BigEndian.Uint64(v[16:])}
		if len(v) == 32 {
			c.unjudged = binary.BigEndian.Uint64(v[24:])
		}
		return c, nil
	}
	return nil, fmt.Errorf("%w: counters of the gate have %d bytes", ErrDamaged, len(v))
}

// storeGate puts the counters that the batch moved among its writes.
func (b *batch) storeGate() error {
	for std, c := range b.gate {
		if c.since == 0 {
			continue // looked at, and nothing counted
		}
		v := binary.BigEndian.AppendUint64(make([]byte, 0, 32), uint64(c.since))
		v = binary.BigEndian.AppendUint64(v, c.seen)
		v = binary.BigEndian.AppendUint64(v, c.valid)
		if c.unjudged > 0 {
			v = binary.BigEndian.AppendUint64(v, c.unjudged)
		}
		b.sets[string(numKey4('y', std))] = v
		if c.errors != nil {
			e, err := marshal(c.errors)
			if err != nil {
				return err
			}
			b.sets[string(numKey4('z', std))] = e
		}
	}
	return nil
}

// marksOf returns which of some ids are marked, and with what.
func (l *Ledger) marksOf(b *batch, ids ...[16]byte) (found [][16]byte, marks []mark, err error) {
	if l.w.marks == 0 {
		return nil, nil, nil
	}
	for _, id := range ids {
		v, err := l.lookup(b, markKey(id))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		found, marks = append(found, id), append(marks, decodeMark(v))
	}
	return found, marks, nil
}

// marksOfOffer returns the marks that a valid offer's record stands under.
func (l *Ledger) marksOfOffer(b *batch, o *Offer) (ids [][16]byte, marks []mark, err error) {
	if l.w.marks == 0 {
		return nil, nil, nil
	}
	ids = [][16]byte{o.record}
	if o.reference != "" {
		ids = append(ids, referenceID(o.std.name, o.reference))
	}
	return l.marksOf(b, ids...)
}

// unmark takes away marks of a record that was taken.
func (l *Ledger) unmark(b *batch, ids [][16]byte) {
	for _, id := range ids {
		b.set(markKey(id), nil)
	}
	l.moveMarks(b, -len(ids))
}

func (l *Ledger) moveMarks(b *batch, d int) {
	if d == 0 {
		return
	}
	l.w.marks = max(0, l.w.marks+d)
	b.sets[string(keyMarks)] = binary.BigEndian.AppendUint64(nil, uint64(l.w.marks))
}

// countTaken counts a valid offer that made a new record, of which those marks
// stood.
func (c *gateCount) countTaken(b *batch, marks []mark, offered []byte) {
	if c.since == 0 {
		c.since = b.iat
	}
	judged := slices.IndexFunc(marks, func(m mark) bool { return !m.unjudged() })
	switch {
	case judged < 0:
		c.seen++
		c.valid++
	case slices.ContainsFunc(marks, func(m mark) bool { return len(offered) > 0 && m.bytes == offeredDigest(offered) }):
		c.valid++
	}
}

// gateOf returns the counters that an offer moves by the marks of its record;
// nil when it moves none.
func (l *Ledger) gateOf(b *batch, o *Offer, marks []mark) (*gateCount, error) {
	if !slices.ContainsFunc(marks, mark.unjudged) {
		return nil, nil
	}
	return l.gate(b, o.std.number)
}

// settle takes back that a record was not judged, of which those marks stood.
func (c *gateCount) settle(marks []mark) {
	if c.unjudged > 0 && slices.ContainsFunc(marks, mark.unjudged) {
		c.unjudged--
	}
}

// prepareRefused counts a refused offer. It changes the batch only when it
// succeeds.
func (l *Ledger) prepareRefused(b *batch, o *Offer) error {
	g := o.refused
	before := false
	if g.keyed {
		_, err := l.lookup(b, headKey(g.ids[0]))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		// What the batch itself makes has no head yet.
		before = err == nil || b.touched[g.ids[0]]
	}
	marked, marks, err := l.marksOf(b, g.ids...)
	if err != nil {
		return err
	}
	again, err := l.repeated(b, o)
	if err != nil {
		return err
	}
	c, err := l.gate(b, o.std.number)
	if err != nil {
		return err
	}
	errs, size := c.errors, 0
	if errs == nil {
		errs = &gateErrors{}
		v, err := l.lookup(b, numKey4('z', o.std.number))
		if err == nil {
			err = unmarshal(v, errs)
			size = len(v)
		} else if errors.Is(err, ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
	}

	// From here on nothing can fail.
	o.rememberRefused(b)
	o.result = Result{Repeated: again}
	c.errors = errs
	if c.since == 0 {
		c.since = b.iat
	}
	judged := slices.ContainsFunc(marks, func(m mark) bool { return !m.unjudged() })
	next := mark{g.digest, g.bytes}
	switch {
	case g.unjudged() && len(marked) > 0:
		return nil // as before, or known for what it broke
	case g.unjudged():
		c.unjudged++
	default:
		c.settle(marks)
		if !before && !judged {
			c.seen++
		}
		for _, m := range marks {
			if !m.unjudged() {
				next.bytes = m.bytes // those first offered
			}
		}
	}
	same := func(m mark) bool { return m.digest == g.digest }
	if !slices.ContainsFunc(marks, same) {
		for _, k := range g.broken {
			size += errs.add(k)
		}
	}
	b.bytes += size
	fresh := 0
	for _, id := range g.ids {
		i := slices.Index(marked, id)
		if i < 0 {
			fresh++
		}
		if i < 0 || !same(marks[i]) {
			b.set(markKey(id), next.encode())
		}
	}
	l.moveMarks(b, fresh)
	return nil
}

// loadMarks reads how many marks there are.
func (l *Ledger) loadMarks(txn *badger.Txn) error {
	v, err := valueOf(txn, keyMarks)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil && len(v) != 8 {
		err = fmt.Errorf("%w: count of marks has %d bytes", ErrDamaged, len(v))
	}
	if err == nil {
		l.w.marks = int(binary.BigEndian.Uint64(v))
	}
	return err
}

// A Gate is what the gate counted for one version of a standard.
type Gate struct {
	Since       time.Time // when the counting began; zero when nothing came
	Seen, Valid int       // first offers, and those of them that were taken, then or as the same bytes since
	Unjudged    int       // records that the gate came to no verdict on, and did not take since
	// Errors says what refused offers broke, each rule and place once for as
	// long as one record goes on breaking the same; in the order they first came.
	Errors []measure.Error
	Other  int // of rules and places past the first 400
	Held   int // offers held back now
}

// Gate returns what the gate counted for a version of a standard; ErrNotFound
// when it is not adopted.
func (v *View) Gate(std name.Standard) (g Gate, err error) {
	k, err := v.l.known(std)
	if err != nil {
		return g, err
	}
	b, err := v.value(numKey4('y', k.number))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return g, err
	}
	c, err := decodeGate(b)
	if err != nil {
		return g, err
	}
	if c.since != 0 {
		g.Since, g.Seen, g.Valid, g.Unjudged = time.Unix(c.since, 0).UTC(), int(c.seen), int(c.valid), int(c.unjudged)
	}
	var e gateErrors
	if b, err = v.value(numKey4('z', k.number)); err == nil {
		err = unmarshal(b, &e)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return g, err
	}
	g.Errors, g.Other = e.Counts, e.Other
	g.Held = v.countHeld(numKey4('x', k.number))
	return g, nil
}

// Survey calls f with the log index of every live record of one version of a
// standard, in order, and with its version, checked against the log; nil when
// it is damaged on disk. It reads on all cores; f is called from one goroutine.
func (v *View) Survey(ctx context.Context, std name.Standard, f func(index uint64, ver *Version)) error {
	k, err := v.l.known(std)
	if err != nil {
		return err
	}
	type read struct {
		index uint64
		raw   []byte
		leaf  tlog.Hash
		ver   *Version
		err   error
	}
	var chunk []*read
	size := 0
	flush := func() error {
		onAllCores(len(chunk), 1, func(i int) {
			if r := chunk[i]; r.err == nil {
				r.ver, r.err = v.l.rebuild(r.index, r.raw, r.leaf)
			}
		})
		for _, r := range chunk {
			if errors.Is(r.err, ErrStorage) {
				return r.err
			}
			f(r.index, r.ver)
		}
		chunk, size = chunk[:0], 0
		return ctx.Err()
	}
	it := v.list(numKey4('s', k.number), keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		r := &read{index: indexAtEnd(it)}
		if r.raw, r.err = v.raw(r.index); r.err == nil {
			r.leaf, r.err = v.leaf(r.index)
		}
		size += len(r.raw)
		if chunk = append(chunk, r); len(chunk) == readChunk || size > readBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// Items calls fn with the log index of every record that a feed lets out now,
// in order, until fn returns false.
func (v *View) Items(f *Feed, fn func(index uint64) bool) error {
	it := v.list(numKey4('f', f.number))
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		kind, _, err := decodeItem(b)
		if err != nil {
			return err
		}
		if kind == itemPut && !fn(indexAtEnd(it)) {
			return nil
		}
	}
	return nil
}
