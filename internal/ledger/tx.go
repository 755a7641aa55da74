package ledger

import (
	"encoding/binary"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// A tx is what a job may do to the store: its reads see the batches before
// it, its writes join the batch when the job returns nil.
type tx struct {
	l       *Ledger
	b       *batch
	sets    map[string][]byte
	entries []*pending
	after   []func()
	feeds   map[uint32]feedDelta
	seals   bool // its entry is the last there is
	free    bool // it may write entries while the log is held: see [Ledger.Continue]
}

func (t *tx) lookup(key []byte) ([]byte, error) {
	if v, ok := t.sets[string(key)]; ok {
		if v == nil {
			return nil, ErrNotFound
		}
		return v, nil
	}
	return t.l.lookup(t.b, key)
}

// staged returns what the batches under way write under a key: nil for what they
// delete, false for nothing.
func (t *tx) staged(key []byte) ([]byte, bool) {
	if v, ok := t.sets[string(key)]; ok {
		return v, true
	}
	if v, ok := t.b.sets[string(key)]; ok {
		return v, true
	}
	if q := t.l.w.inflight; q != nil {
		v, ok := q.sets[string(key)]
		return v, ok
	}
	return nil, false
}

func (t *tx) set(key, value []byte) { t.sets[string(key)] = value }
func (t *tx) remove(key []byte)     { t.sets[string(key)] = nil }

// event puts an event into the log. Its token is there once the batch is
// signed.
func (t *tx) event(kind string, body map[string]any) *pending {
	p := &pending{index: t.l.w.next, event: &record.Event{
		Council: t.l.o.Council, IssuedAt: t.b.iat, Kind: kind, Body: body,
	}}
	t.l.w.next++
	t.entries = append(t.entries, p)
	indexEvent(t.set, p.index, p.event.IssuedAt, kind, body)
	return p
}

// feed moves a feed's counters.
func (t *tx) feed(n uint32, d feedDelta) {
	if t.feeds == nil {
		t.feeds = map[uint32]feedDelta{}
	}
	t.feeds[n] = t.feeds[n].plus(d)
}

// size is about what the job adds to the transaction.
func (t *tx) size() int {
	n := 0
	for k, v := range t.sets {
		n += writeSize([]byte(k), v)
	}
	for _, p := range t.entries {
		n += 300 + len(strictjson.Canonical(p.event.Body))*4/3
	}
	return n
}

func (t *tx) merge(size int) {
	for k, v := range t.sets {
		t.b.sets[k] = v
	}
	t.b.bytes += size
	t.b.entries = append(t.b.entries, t.entries...)
	t.b.after = append(t.b.after, t.after...)
	for n, d := range t.feeds {
		t.l.moveFeed(t.b, n, d)
	}
}

func (d feedDelta) plus(e feedDelta) feedDelta {
	return feedDelta{d.records + e.records, max(d.end, e.end)}
}

// moveFeed adds to a feed's counters and stores them with the batch.
func (l *Ledger) moveFeed(b *batch, n uint32, d feedDelta) {
	b.feeds[n] = b.feeds[n].plus(d)
	l.mu.RLock()
	f := l.feeds[n]
	l.mu.RUnlock()
	if q := l.w.inflight; q != nil {
		// The batch in flight may or may not have been counted in yet: count
		// from the stored numbers instead, which lookup sees in either case.
		if v, ok := q.sets[string(numKey4('g', n))]; ok {
			f = f.withCounters(v)
		}
	}
	f = f.with(b.feeds[n])
	b.set(numKey4('g', n), f.counters())
}

func (f *Feed) counters() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(f.Records))
	return binary.BigEndian.AppendUint64(b, f.End)
}

func (f *Feed) withCounters(b []byte) *Feed {
	g := *f
	if len(b) == 16 {
		g.Records = int(binary.BigEndian.Uint64(b))
		g.End = binary.BigEndian.Uint64(b[8:])
	}
	return &g
}

func (f *Feed) with(d feedDelta) *Feed {
	g := *f
	g.Records += d.records
	g.End = max(g.End, d.end)
	return &g
}
