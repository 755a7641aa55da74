package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A new feed holds what is written from then on, and the records there are already are
// matched behind. Matching goes up the log. How far it has come is stored in the
// transaction of what it found: the watermark, a log index. Of the records whose newest
// version stands before it every one that matches is in the feed, so a reader may read
// that far, and a restart goes on from there. What stands at the watermark or later is
// not read yet, though some of it is in the feed: the cursor of a reader would pass what
// matching has still to find.

// Progress says how far the matching of the records there were has come.
type Progress struct {
	Examined int // records looked at
	Of       int // records there are to look at, about
}

// A watermark is what is stored while a feed is being matched.
type watermark struct {
	matched uint64
	// upTo is the length of the log when the feed was opened: what is written from then
	// on is not for matching to find, or it would run after those who write.
	upTo uint64
	// again: an earlier version may have entered some already, without a watermark.
	again bool
	Progress
}

func watermarkKey(feed uint32) []byte { return numKey4('B', feed) }

func (w watermark) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, w.matched)
	b = binary.BigEndian.AppendUint64(b, w.upTo)
	b = binary.BigEndian.AppendUint64(b, uint64(w.Examined))
	b = binary.BigEndian.AppendUint64(b, uint64(w.Of))
	if w.again {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeWatermark(b []byte) (w watermark, err error) {
	if len(b) != 33 {
		return w, fmt.Errorf("%w: watermark of %d bytes", ErrDamaged, len(b))
	}
	w.matched, w.upTo = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	w.Examined, w.Of = int(binary.BigEndian.Uint64(b[16:])), int(binary.BigEndian.Uint64(b[24:]))
	w.again = b[32] == 1
	return w, nil
}

// horizon returns the log index before which a feed may be read.
func (v *View) horizon(f *Feed) (uint64, error) {
	b, err := v.value(watermarkKey(f.number))
	if errors.Is(err, ErrNotFound) {
		return math.MaxUint64, nil
	}
	if err != nil {
		return 0, err
	}
	w, err := decodeWatermark(b)
	return w.matched, err
}

// Readied returns a channel that is closed when a feed has become ready. Take it before
// looking at the feeds.
func (l *Ledger) Readied() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.readied
}

// AwaitFeed waits until the records there were are matched against the agreement whose
// feed was opened.
func (l *Ledger) AwaitFeed(ctx context.Context, a *agreement.Agreement) error {
	for {
		readied := l.Readied()
		f, err := l.Feed(a.Name, a.Digest())
		if err != nil || f.Ready {
			return err
		}
		select {
		case <-readied:
		case <-l.done:
			return l.closedErr()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	matchChunk  = 20_000           // records looked at in one go
	enterKeys   = 10_000           // written in one transaction
	matchAgain  = 10 * time.Second // after the disk was full
	readSegment = 16 * blockSize   // records that a core takes at a time
)

// match is the goroutine that matches, one feed after the other, until the ledger closes.
func (l *Ledger) match() {
	defer close(l.matched)
	for {
		var f *Feed
		for _, g := range l.Feeds() {
			if !g.Ready && !g.closed && !g.onward() {
				f = g
				break
			}
		}
		var again <-chan time.Time
		if f != nil {
			err := l.matchFeed(f.number)
			if err == nil {
				continue
			}
			if errors.Is(err, ErrClosed) || l.failed.Load() != nil {
				return
			}
			l.o.Log.Error("matching stopped and is tried again", "agreement", f.Agreement, "error", err.Error())
			t := time.NewTimer(matchAgain)
			defer t.Stop()
			again = t.C
		}
		select {
		case <-l.unmatched:
		case <-again:
		case <-l.closed:
			return
		}
	}
}

// matchFeed matches the records there are against a feed until it is ready or closed.
func (l *Ledger) matchFeed(number uint32) error {
	f := l.Feeds()[number]
	// By index, when every record is in one that the filter cannot do without.
	var found []uint64
	byIndex := false
	err := l.View(func(v *View) error {
		for _, g := range f.terms.Guards() {
			at, ok, err := v.picked(f.line, g, f.mark.matched)
			if err != nil {
				return err
			}
			if ok && (!byIndex || len(at) < len(found)) {
				found, byIndex = at, true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	mark := f.mark
	if byIndex {
		found = found[:sort.Search(len(found), func(i int) bool { return found[i] >= mark.upTo })]
		mark.Of = mark.Examined + len(found)
		for chunk := range slices.Chunk(found, l.o.matchChunk) {
			mark.Examined += len(chunk)
			mark.matched = chunk[len(chunk)-1] + 1
			if over, err := l.matchChunk(f, chunk, mark, nil); over || err != nil {
				return err
			}
		}
		return l.ready(number)
	}
	// By walking, which builds the indexes that there should have been.
	building, err := l.indexesOf(f)
	if err != nil {
		return err
	}
	from, upTo := mark.matched, mark.upTo
	for _, x := range building {
		from, upTo = min(from, x.built), max(upTo, x.from)
	}
	for {
		var chunk []uint64
		more := false
		err := l.View(func(v *View) error {
			left, err := v.countFrom(f.line)
			v.current(l.numbersOf(f.line), from, func(index uint64) bool {
				if index >= upTo {
					return false
				}
				if more = len(chunk) == l.o.matchChunk; !more {
					chunk = append(chunk, index)
				}
				return !more
			})
			mark.Of = max(mark.Examined+len(chunk), left)
			return err
		})
		if err != nil {
			return err
		}
		if len(chunk) > 0 {
			mark.Examined += len(chunk)
			from = chunk[len(chunk)-1] + 1
			mark.matched = max(mark.matched, from)
			if over, err := l.matchChunk(f, chunk, mark, building); over || err != nil {
				return err
			}
		}
		if !more {
			break
		}
	}
	for _, x := range building {
		if err := l.do(context.Background(), false, func(t *tx) error { return t.built(x.number, math.MaxUint64) }); err != nil {
			return err
		}
	}
	return l.ready(number)
}

// countFrom returns how many live records a line has.
func (v *View) countFrom(line name.StandardLine) (n int, err error) {
	all, err := v.Count()
	for s, c := range all {
		if s.Line() == line {
			n += c
		}
	}
	return n, err
}

// ready marks a feed as matched.
func (l *Ledger) ready(number uint32) error {
	return l.do(context.Background(), true, func(t *tx) error {
		if l.Feeds()[number].closed {
			return nil
		}
		t.remove(watermarkKey(number))
		t.after = append(t.after, func() {
			close(l.readied)
			l.readied = make(chan struct{})
		})
		return t.changeFeed(number, func(g *Feed) { g.Ready = true })
	})
}

// indexed is how many fields of one filter an index is made of, the first ones.
const indexed = 3

// indexesOf returns the indexes that a feed's filter can use and that are not built yet,
// making those that are not there.
func (l *Ledger) indexesOf(f *Feed) (building []*valueIndex, err error) {
	var fields []name.Field
	for _, g := range f.terms.Guards() {
		for _, field := range g.Fields() {
			if !slices.Contains(fields, field) && len(fields) < indexed {
				fields = append(fields, field)
			}
		}
	}
	missing := func() (out []name.Field) {
		for _, field := range fields {
			if l.indexFor(f.line, field) == nil {
				out = append(out, field)
			}
		}
		return out
	}
	if len(missing()) > 0 {
		err := l.do(context.Background(), true, func(t *tx) error {
			for i, field := range missing() {
				x := &valueIndex{number: uint32(len(l.indexList()) + i), line: f.line, field: field, from: l.w.next}
				if err := t.index(x); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, field := range fields {
		if x := l.indexFor(f.line, field); !x.ready() {
			building = append(building, x)
		}
	}
	return building, nil
}

// built moves how far an index is built.
func (t *tx) built(number uint32, to uint64) error {
	x := *t.l.indexList()[number]
	x.built = max(x.built, to)
	return t.index(&x)
}

// matchChunk looks at records and enters those that match into the feed, which is matched
// up to mark then. It adds them to the indexes that are being built. over says that the
// feed was closed meanwhile.
func (l *Ledger) matchChunk(f *Feed, chunk []uint64, mark watermark, building []*valueIndex) (over bool, err error) {
	l.o.matching()
	var all []name.Field
	for _, x := range building {
		all = append(all, x.field)
	}
	members := tops(all)
	type looked struct {
		hit    *candidate
		fields map[string]any
	}
	out := make([]looked, len(chunk))
	err = l.sift(chunk, func(i int, r *storedRecord, std *knownStandard) error {
		at := chunk[i]
		if at >= f.mark.matched && at < f.mark.upTo {
			c, err := l.candidate(f, at, r, std)
			if err != nil {
				return err
			}
			out[i].hit = c
		}
		if len(members) > 0 {
			var err error
			out[i].fields, err = strictjson.Members(r.body, members, bodyLimits)
			return err
		}
		return nil
	}, func(i int, err error) {
		// It cannot be shared, and must not hold up the rest.
		l.o.Log.Error("record left out of an agreement", "agreement", f.Agreement, "error", err.Error())
	})
	if err != nil {
		return false, err
	}
	if len(building) > 0 {
		p := postings{}
		for i, at := range chunk {
			for _, x := range building {
				if out[i].fields != nil && at >= x.built && at < x.from {
					p.add(x, out[i].fields, at)
				}
			}
		}
		err := l.do(context.Background(), false, func(t *tx) error {
			p.write(l, t.set)
			for _, x := range building {
				if err := t.built(x.number, chunk[len(chunk)-1]+1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	var hits []*candidate
	for _, o := range out {
		if o.hit != nil {
			hits = append(hits, o.hit)
		}
	}
	for {
		n, keys := 0, 0
		for n < len(hits) && keys < enterKeys {
			keys += 3 + len(hits[n].asked)/askedKeyLen
			n++
		}
		now := mark
		if n < len(hits) {
			now.matched = hits[n].index
		}
		if over, err := l.enter(f, hits[:n], now); over || err != nil || n == len(hits) {
			return over, err
		}
		hits = hits[n:]
	}
}

// A candidate is a record that a feed that is being matched takes.
type candidate struct {
	index    uint64
	record   [16]byte
	standard uint32
	asked    []byte // see Ledger.askedKeys
}

// candidate matches a stored record against a feed, without making its token: what is
// found here is only where to look, and what leaves is matched again. nil: no match.
func (l *Ledger) candidate(f *Feed, index uint64, r *storedRecord, std *knownStandard) (*candidate, error) {
	t := f.termsFor(std.std)
	if f.closed || t == nil {
		return nil, nil
	}
	if yes, err := t.MatchBytes(r.body, bodyLimits); !yes || err != nil {
		return nil, err
	}
	c := &candidate{index: index, record: r.record, standard: r.standard}
	if !f.copied() {
		body, err := strictjson.Decode(r.body, bodyLimits)
		if err != nil {
			return nil, err
		}
		m, _ := body.(map[string]any)
		c.asked = l.askedKeys(f, std.std, m)
	}
	return c, nil
}

// enter puts records that match into a feed that is being matched, unless a newer version
// has taken their place, and moves its watermark.
func (l *Ledger) enter(f *Feed, hits []*candidate, mark watermark) (over bool, err error) {
	err = l.do(context.Background(), false, func(t *tx) error {
		if over = l.Feeds()[f.number].closed; over {
			return nil // it would be left behind
		}
		added, end := 0, uint64(0)
		err := l.db.View(func(txn *badger.Txn) error {
			there := func(key []byte) (bool, error) {
				if v, ok := t.staged(key); ok {
					return v != nil, nil
				}
				_, err := txn.Get(key)
				switch {
				case errors.Is(err, badger.ErrKeyNotFound):
					return false, nil
				case err != nil:
					return false, fmt.Errorf("%w: %w", ErrStorage, err)
				}
				return true, nil
			}
			for _, h := range hits {
				if lets, err := f.lets(t.lookup, name.RecordFrom(h.record)); err != nil {
					return err
				} else if !lets {
					continue
				}
				// A newer version takes this away from where current versions stand
				// at once, and its head only when the batch is signed.
				if current, err := there(standardIndexKey(h.standard, h.index)); err != nil {
					return err
				} else if !current {
					continue
				}
				// So nobody has written the record since the feed was opened, and
				// matching looks at it once.
				if f.mark.again {
					if in, err := there(memberKey(f.number, h.record)); in || err != nil {
						if err != nil {
							return err
						}
						continue
					}
				}
				t.set(feedItemKey(f.number, h.index), encodeItem(itemPut, h.record))
				t.set(memberKey(f.number, h.record), membership{itemPut, h.index}.encode())
				if f.copied() {
					end = h.index + 1
				} else {
					askedUnder(f, h.record, nil, h.asked, t.set)
				}
				added++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if added > 0 {
			t.feed(f.number, feedDelta{records: added, end: end})
		}
		t.set(watermarkKey(f.number), mark.encode())
		t.after = append(t.after, func() {
			g := *l.feeds[f.number]
			g.mark = mark
			l.feeds = slices.Clone(l.feeds)
			l.feeds[f.number] = &g
		})
		return nil
	})
	return over, err
}

// sift hands stored records to each, on all cores, in no order. What is wrong with one
// goes to bad; the error is that of the disk. each keeps nothing of what it is given.
func (l *Ledger) sift(indexes []uint64, each func(i int, r *storedRecord, std *knownStandard) error, bad func(i int, err error)) error {
	var next atomic.Int64
	var mu sync.Mutex
	var failed error
	work := func(v *View) error {
		for {
			from := int(next.Add(1)-1) * readSegment
			if from >= len(indexes) {
				return nil
			}
			for i := from; i < min(from+readSegment, len(indexes)); i++ {
				r, std, err := v.storedRecord(indexes[i])
				if err == nil {
					err = each(i, r, std)
				}
				if errors.Is(err, ErrStorage) {
					return err
				}
				if err != nil {
					mu.Lock()
					bad(i, fmt.Errorf("entry %d: %w: %w", indexes[i], ErrDamaged, err))
					mu.Unlock()
				}
			}
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(indexes)+readSegment-1)/readSegment) {
		wg.Go(func() {
			if err := l.View(work); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

// storedRecord reads a record as it lies on disk, without asking the log whether it is
// the one that was logged.
func (v *View) storedRecord(index uint64) (*storedRecord, *knownStandard, error) {
	raw, err := v.raw(index)
	if err != nil {
		return nil, nil, err
	}
	r, err := decodeStoredRecord(raw)
	if err != nil {
		return nil, nil, err
	}
	std, _, err := v.l.tables(r.standard, r.key)
	return r, std, err
}

// Bodies hands the body of every live record of a line, as it lies on disk, to f: on all
// cores, in no order, with the log index of its version. It is not checked against the
// log, and f keeps nothing of it. What is wrong with one, or that f finds wrong, is left
// out and goes to the node's own log.
func (l *Ledger) Bodies(ctx context.Context, line name.StandardLine, f func(index uint64, body []byte, lim strictjson.Limits) error) error {
	var all []uint64
	err := l.View(func(v *View) error {
		v.current(l.numbersOf(line), 0, func(index uint64) bool { all = append(all, index); return true })
		return nil
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(all, matchChunk) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := l.sift(chunk, func(i int, r *storedRecord, _ *knownStandard) error { return f(chunk[i], r.body, bodyLimits) }, func(i int, err error) {
			l.o.Log.Error("record left out of a count", "error", err.Error())
		})
		if err != nil {
			return err
		}
	}
	return nil
}
