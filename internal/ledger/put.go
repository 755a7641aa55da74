package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Outcome says what became of an offer.
type Outcome string

// The outcomes of an offer.
const (
	Created   Outcome = "created"   // version 1, or the first after a delete
	Changed   Outcome = "changed"   // a new version
	Unchanged Outcome = "unchanged" // the same body under the same standard: no new version
	Deleted   Outcome = "deleted"
)

// A Result says where an offer ended up.
type Result struct {
	Record    name.Record
	Version   uint64
	Index     uint64 // log index of that version
	Outcome   Outcome
	Withdrawn int // feeds the record left by this change

	// Repeated: the gate refused the origin these very bytes before, and did again.
	Repeated bool
}

// An Offer is a change of one record, ready to be written: validated by the
// caller, keyed and matched against the agreements' row filters.
type Offer struct {
	remove   bool
	std      *knownStandard
	record   [16]byte
	body     map[string]any
	canon    []byte
	digest   [16]byte
	expect   uint64 // version the record must be at; 0 for any
	anew     bool   // it makes a version although nothing changes
	absent   bool   // the record must not be there
	feedsGen int
	match    map[uint32]bool   // by feed; nil for a delete
	asked    map[uint32][]byte // by feed: see Ledger.askedKeys; nil for none
	persons  []byte            // see Ledger.personKeys; nil for none
	source   [16]byte          // see MadeFrom
	made     bool
	// reference is the sender's own name for the record; "" when not given.
	reference string
	offered   []byte       // as it came; nil when not given
	refused   *gateRefusal // the gate did not take it: it is only counted
	run       Run          // of the origin that offered it; see Within

	result Result
	err    error
}

// A record of at most these bytes and this depth, with no name that SD-JWT
// might have a use for, always makes a token.
const (
	plainBytes = 32 << 10 // an array of digits, each hidden by itself, grows some fiftyfold
	plainDepth = 16
)

// plain reports whether v is no deeper than depth and no member's name starts
// with "_" or ".".
func plain(v any, depth int) bool {
	if depth == 0 {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if k != "" && (k[0] == '_' || k[0] == '.') || !plain(e, depth-1) {
				return false
			}
		}
	case []any:
		for _, e := range v {
			if !plain(e, depth-1) {
				return false
			}
		}
	}
	return true
}

// Offer prepares a valid record of an adopted standard. It does not validate.
// The error is a *standard.Problem when the record has no natural key, a
// *record.Refusal when no token can be made of it, ErrNotFound when the
// standard is not adopted. Offer keeps body.
func (l *Ledger) Offer(std *standard.Standard, body map[string]any) (*Offer, error) {
	return l.OfferCanonical(std, body, strictjson.Canonical(body))
}

// OfferCanonical is [Ledger.Offer] for whoever has the canonical form of body at hand, as
// [strictjson.DecodeCanonical] gives it. It keeps both.
func (l *Ledger) OfferCanonical(std *standard.Standard, body map[string]any, canonical []byte) (*Offer, error) {
	key, err := std.Key(body)
	if err != nil {
		return nil, err
	}
	known, err := l.known(std.Name())
	if err != nil {
		return nil, err
	}
	o := &Offer{std: known, record: l.o.Keys.RecordID(std.Name().Line(), key).Bytes(), body: body}
	o.canon, o.persons = canonical, l.personKeys(std, body)
	if len(o.canon) > plainBytes || !plain(body, plainDepth) {
		// The writer gives out the record's place in the log before its token
		// is made, so that nothing may go wrong with that: try it here, with
		// the longest claims there can be.
		_, err := record.Build(record.Claims{
			Council: l.o.Council, IssuedAt: record.MaxIssued, Standard: std.Name(), Integrity: std.Integrity(),
			Record: name.RecordFrom(o.record), Version: 1<<53 - 1, Prev: tlog.Hash{1}, Op: record.Put,
		}, l.key, std.Layout(), body, record.Seed{})
		if err != nil {
			return nil, err
		}
	}
	h := sha256.New()
	h.Write([]byte(known.integrity))
	h.Write([]byte{0})
	h.Write(o.canon)
	copy(o.digest[:], h.Sum(nil))
	l.matchOffer(o)
	return o, nil
}

// OfferDelete prepares the deletion of a record.
func (l *Ledger) OfferDelete(r name.Record) *Offer {
	return &Offer{remove: true, record: r.Bytes()}
}

// At makes the offer fail with ErrConflict unless the record is at this
// version when its turn comes.
func (o *Offer) At(version uint64) *Offer { o.expect = version; return o }

// Anew makes the offer a new version of the record although nothing in it has changed, so that it is sent once
// more to whoever gets the record.
func (o *Offer) Anew() *Offer { o.anew = true; return o }

// Absent makes the offer fail with ErrConflict where the record is there when its turn
// comes; one that was deleted is not.
func (o *Offer) Absent() *Offer { o.absent = true; return o }

// Result returns what became of the offer, once it has been written.
func (o *Offer) Result() (Result, error) { return o.result, o.err }

// matchOffer evaluates the row filters of the feeds there are now.
func (l *Ledger) matchOffer(o *Offer) {
	l.mu.RLock()
	feeds, takers, gen := l.feeds, l.takers, l.standards.gen
	l.mu.RUnlock()
	o.feedsGen, o.match, o.asked = gen, nil, nil
	for _, n := range takers.of(o.std.name.Line(), o.body) {
		f := feeds[n]
		if f.takes(o.std.std, o.body) {
			if o.match == nil {
				o.match = map[uint32]bool{}
			}
			o.match[f.number] = true
			if keys := l.askedKeys(f, o.std.std, o.body); len(keys) > 0 {
				if o.asked == nil {
					o.asked = map[uint32][]byte{}
				}
				o.asked[f.number] = keys
			}
		}
	}
}

// A Pending is a run of offers on its way to disk.
type Pending struct {
	l *Ledger
	j *job
}

// Submit queues offers, to be written in order behind those submitted before.
// One offer's error does not touch the others.
func (l *Ledger) Submit(ctx context.Context, offers []*Offer) (*Pending, error) {
	j := &job{offers: offers}
	if err := l.send(ctx, j); err != nil {
		return nil, err
	}
	return &Pending{l, j}, nil
}

// Wait returns when every offer is durable or refused; see Offer.Result. Its
// own error means that the outcome of all of them is unknown.
func (p *Pending) Wait(ctx context.Context) error { return p.l.wait(ctx, p.j) }

// Write submits offers and waits.
func (l *Ledger) Write(ctx context.Context, offers ...*Offer) error {
	p, err := l.Submit(ctx, offers)
	if err != nil {
		return err
	}
	return p.Wait(ctx)
}

// prepare gives an offer its version, its place in the log and its effects on
// the indexes. It changes the batch only when it succeeds.
func (l *Ledger) prepare(b *batch, o *Offer) error {
	if o.refused != nil {
		return l.prepareRefused(b, o)
	}
	var old head
	had := false
	raw, err := l.lookup(b, headKey(o.record))
	switch {
	case err == nil:
		if old, err = decodeHead(raw); err != nil {
			return err
		}
		had = true
	case !errors.Is(err, ErrNotFound):
		return err
	}
	id := name.RecordFrom(o.record)
	if o.expect != 0 && (!had || old.version != o.expect) {
		return fmt.Errorf("record %s: %w: it is at version %d, not %d", id, ErrConflict, old.version, o.expect)
	}
	if o.absent && had && old.live {
		return fmt.Errorf("record %s: %w: it is there already, at version %d", id, ErrConflict, old.version)
	}
	var marked [][16]byte // by refused offers of the record
	var marks []mark
	if o.remove {
		if !had || !old.live {
			return fmt.Errorf("record %s: %w", id, ErrNotFound)
		}
		l.mu.RLock()
		o.std = l.standards.list[old.standard]
		l.mu.RUnlock()
	}
	line := o.std.name.Line()
	ties, err := l.tie(b, o, line, old, had)
	if err != nil {
		return err
	}
	if !o.remove {
		if marked, marks, err = l.marksOfOffer(b, o); err != nil {
			return err
		}
		if had && old.live && !o.anew && old.digest == o.digest && old.standard == o.std.number {
			if c, err := l.gateOf(b, o, marks); err != nil {
				return err
			} else if c != nil {
				c.settle(marks)
			}
			l.unmark(b, marked)
			o.remember(b)
			o.result = Result{Record: id, Version: old.version, Index: old.index, Outcome: Unchanged}
			if ties {
				return l.tied(b, o, line)
			}
			return nil
		}
		l.mu.RLock()
		stale := o.feedsGen != l.standards.gen
		l.mu.RUnlock()
		if stale { // a feed was opened since the offer was matched
			l.matchOffer(o)
		}
	}
	var seed record.Seed
	if !o.remove {
		if seed, err = l.newSeed(); err != nil {
			return err
		}
	}
	effects, err := l.feedEffects(b, o, old, had)
	if err != nil {
		return err
	}
	counts := map[uint32]uint64{}
	if had && old.live {
		if err := l.count(b, counts, old.standard, -1); err != nil {
			return err
		}
	}
	if !o.remove {
		if err := l.count(b, counts, o.std.number, +1); err != nil {
			return err
		}
	}

	var gate *gateCount
	if !had && !o.made { // so it is no removal, and was offered by somebody
		gate, err = l.gate(b, o.std.number)
	} else {
		gate, err = l.gateOf(b, o, marks)
	}
	if err != nil {
		return err
	}

	if ties {
		if err := l.tied(b, o, line); err != nil {
			return err
		}
	}

	// From here on nothing can fail: the index is taken.
	if gate != nil {
		gate.settle(marks)
		if !had && !o.made {
			gate.countTaken(b, marks, o.offered)
		}
	}
	l.unmark(b, marked)
	p := &pending{
		index: l.w.next,
		stored: &storedRecord{
			op: record.Put, standard: o.std.number, key: l.standards.key, issuedAt: b.iat,
			version: old.version + 1, record: o.record, prev: old.entry, prevIndex: old.index,
			seed: seed, body: o.canon,
		},
		claims: record.Claims{
			Council: l.o.Council, IssuedAt: b.iat, Standard: o.std.name, Integrity: o.std.integrity,
			Record: id, Version: old.version + 1, Prev: old.entry, Op: record.Put,
		},
		body:   o.body,
		layout: o.std.std.Layout(),
		head: head{
			index: l.w.next, version: old.version + 1, standard: o.std.number, live: !o.remove, digest: o.digest,
		},
	}
	o.result = Result{Record: id, Version: p.claims.Version, Index: p.index, Outcome: Changed}
	switch {
	case o.remove:
		p.stored.op, p.claims.Op, p.body = record.Delete, record.Delete, nil
		o.result.Outcome = Deleted
	case !had || !old.live:
		o.result.Outcome = Created
	}
	l.w.next++
	b.entries = append(b.entries, p)
	b.touched[o.record] = true
	if o.remove {
		if o.run.Origin != "" {
			b.set(offeredKey(o.run.Origin, o.record), nil)
		}
	} else {
		o.remember(b)
	}
	if !o.remove {
		for _, x := range l.indexList() {
			if x.line == line {
				b.postings.add(x, o.body, p.index)
				b.bytes += 40
			}
		}
	}
	b.bytes += len(o.canon) + 400
	for std, c := range counts {
		b.sets[string(numKey4('o', std))] = binary.BigEndian.AppendUint64(nil, c)
	}
	for k := range slices.Chunk(o.persons, personKeyLen) {
		b.set(personIndexKey(k, o.record), []byte{})
	}
	if had && old.live {
		b.set(standardIndexKey(old.standard, old.index), nil)
	}
	if !o.remove {
		b.set(standardIndexKey(o.std.number, p.index), bytes.Clone(o.record[:]))
	}
	for _, e := range effects {
		o.result.Withdrawn += l.applyEffect(b, e, p)
	}
	return nil
}

// count puts into counts how many live records of a standard there are after
// one more or less.
func (l *Ledger) count(b *batch, counts map[uint32]uint64, std uint32, d int) error {
	c, known := counts[std]
	if !known {
		v, err := l.lookup(b, numKey4('o', std))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if len(v) == 8 {
			c = binary.BigEndian.Uint64(v)
		}
	}
	counts[std] = c + uint64(d)
	return nil
}

// An effect is what one change of a record does to one feed.
type effect struct {
	feed   *Feed
	had    bool // the record stood in the feed as a put, at was
	was    uint64
	old    *membership
	enters bool
	// Of a feed that records may be asked for by, the keys before and after.
	wasAsked, asked []byte
	// taken: the receiver has taken the record over, and nothing takes it back.
	taken bool
}

func (l *Ledger) feedEffects(b *batch, o *Offer, old head, had bool) ([]effect, error) {
	l.mu.RLock()
	feeds := l.feeds
	l.mu.RUnlock()
	var numbers []uint32
	if had { // a new record stands in no feed
		var err error
		if numbers, err = l.holders(b, old); err != nil {
			return nil, err
		}
		numbers = slices.Clone(numbers)
	}
	for n := range o.match {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var out []effect
	for _, n := range slices.Compact(numbers) {
		f := feeds[n]
		e := effect{feed: f, enters: o.match[f.number], asked: o.asked[f.number]}
		if f.byHand() {
			look := func(key []byte) ([]byte, error) { return l.lookup(b, key) }
			lets, err := f.lets(look, name.RecordFrom(o.record))
			if err != nil {
				return nil, err
			}
			if e.taken, err = f.taken(look, name.RecordFrom(o.record)); err != nil {
				return nil, err
			}
			e.enters = e.enters && lets
		}
		if had {
			raw, err := l.lookup(b, memberKey(f.number, o.record))
			if err == nil {
				m, err := decodeMembership(raw)
				if err != nil {
					return nil, err
				}
				e.old, e.had, e.was = &m, m.kind == itemPut, m.index
				if !f.copied() {
					if e.wasAsked, err = l.lookup(b, askedKey(f.number, o.record)); err != nil && !errors.Is(err, ErrNotFound) {
						return nil, err
					}
				}
			} else if !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
		if e.enters || e.had {
			out = append(out, e)
		}
	}
	return out, nil
}

// applyEffect writes the feed items of one change and returns 1 when the
// record left the feed. Leaving is said by a signed withdrawal in the log.
func (l *Ledger) applyEffect(b *batch, e effect, p *pending) int {
	f := e.feed.number
	if e.old != nil {
		b.set(feedItemKey(f, e.was), nil)
	}
	if !e.feed.copied() {
		l.applyIndex(b, e, p)
		return 0
	}
	if !e.enters && e.taken {
		b.set(memberKey(f, p.stored.record), nil)
		l.moveFeed(b, f, feedDelta{records: -1})
		return 0
	}
	kind, index, d, withdrawn := itemPut, p.index, feedDelta{}, 0
	if e.enters {
		if !e.had {
			d.records = 1
		}
	} else {
		reason := WithdrawnNoMatch
		if p.claims.Op == record.Delete {
			reason = WithdrawnDeleted
		}
		w := &pending{index: l.w.next, event: &record.Event{
			Council: l.o.Council, IssuedAt: b.iat, Kind: event.KindWithdrawal,
			Body: withdrawalBody(e.feed, p.claims.Record, reason, e.was),
		}}
		l.w.next++
		b.entries = append(b.entries, w)
		b.bytes += 1000
		indexEvent(b.set, w.index, b.iat, w.event.Kind, w.event.Body)
		kind, index, withdrawn = itemWithdraw, w.index, 1
		d.records = -1
	}
	d.end = index + 1
	b.set(feedItemKey(f, index), encodeItem(kind, p.stored.record))
	b.set(memberKey(f, p.stored.record), membership{kind, index}.encode())
	l.moveFeed(b, f, d)
	b.items[f] = append(b.items[f], index)
	if withdrawn == 0 {
		b.puts[f] = index + 1
	}
	return withdrawn
}
