package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Feed is what one agreement lets out, in log order: for every record that
// ever matched, either its newest version or the withdrawal that followed. A
// newer item of a record takes the place of the older, so a feed read from the
// start is a first copy and a feed read from a cursor is everything since.
//
// A notices feed holds instead the events addressed to one council:
// agreements proposed to it and signatures it needs.
//
// Where nothing is copied, in modes lookup and aggregate, it holds the records
// that match, for questions to be answered from: see [Ledger.Answer].
//
// A Feed is immutable; the ledger replaces it as it grows.
type Feed struct {
	Agreement name.Agreement // "" for a notices feed
	Version   int            // of the agreement
	Digest    agreement.Digest
	To        []name.Council // who may read it
	Records   int            // live records in it
	End       uint64         // one past the last item's log index
	Ready     bool           // existing records have been matched

	number uint32
	closed bool
	over   time.Time // when it was closed; zero where an earlier version did
	mark   watermark // while it is not ready
	line   name.StandardLine
	doc    *agreement.Agreement
	std    name.Standard    // the version terms is compiled for
	terms  *agreement.Terms // nil for notices
	byStd  *sync.Map        // name.Standard to *agreement.Terms, nil where there are none; and see passage

	passing *passing // of a feed of what we hold from others; see passing.go
}

// takes reports whether a record belongs in the feed.
func (f *Feed) takes(std *standard.Standard, body any) bool {
	if f.closed || f.onward() {
		return false
	}
	t := f.termsFor(std)
	return t != nil && t.Match(body)
}

// copied reports whether the feed is followed by partners: its records are copied,
// or it is of notices.
func (f *Feed) copied() bool { return f.doc == nil || f.Copied() }

// termsFor returns what the agreement means for one version of its standard:
// nil when it lets nothing of that version out, because it is of another line
// or calls open what the agreement does not list.
func (f *Feed) termsFor(std *standard.Standard) *agreement.Terms {
	if f.terms == nil || f.line != std.Name().Line() {
		return nil
	}
	if t, ok := f.byStd.Load(std.Name()); ok {
		return t.(*agreement.Terms)
	}
	t, err := f.doc.Compile(std)
	if err != nil {
		t = nil
	}
	f.byStd.Store(std.Name(), t)
	return t
}

// Terms returns the agreement compiled for the version of the standard that
// was the newest when the feed was opened; nil for a notices feed.
func (f *Feed) Terms() *agreement.Terms { return f.terms }

// Progress returns how far matching has come while the feed is not ready.
func (f *Feed) Progress() Progress { return f.mark.Progress }

// Closed reports that the feed lets nothing more out.
func (f *Feed) Closed() bool { return f.closed }

// ClosedAt returns when the feed was closed; zero when it was not, or that is not known.
func (f *Feed) ClosedAt() time.Time { return f.over }

type storedFeed struct {
	Agreement []byte         `json:"agreement,omitempty"` // canonical bytes; not as JSON, which would be respelled
	Standard  name.Standard  `json:"standard,omitzero"`   // the version the terms were compiled with
	To        []name.Council `json:"to"`
	Ready     bool           `json:"ready"`
	Closed    bool           `json:"closed"`
	Over      time.Time      `json:"over,omitzero"` // when it was closed
	// Indexed is set with Ready in modes lookup and aggregate. Earlier versions
	// kept nothing of them and called that ready.
	Indexed bool     `json:"indexed,omitempty"`
	Passing *passing `json:"passing,omitempty"`
}

func (l *Ledger) loadFeeds(txn *badger.Txn) error {
	return walk(txn, []byte("F"), func(key, value []byte) error {
		var s storedFeed
		if err := unmarshal(value, &s); err != nil {
			return err
		}
		f := &Feed{number: binary.BigEndian.Uint32(key[1:]), To: s.To, Ready: s.Ready, closed: s.Closed, over: s.Over}
		if s.Agreement != nil {
			a, err := agreement.ParseCanonical(s.Agreement)
			if err != nil {
				return fmt.Errorf("read feed %d: %w: %w", f.number, ErrDamaged, err)
			}
			if err := l.compile(f, a, s.Standard); err != nil {
				return fmt.Errorf("read feed %d: %w", f.number, err)
			}
			f.Ready = f.Ready && (f.copied() || s.Indexed)
		}
		if f.passing = s.Passing; f.passing != nil {
			if err := f.passing.read(f.doc); err != nil {
				return fmt.Errorf("read feed %d: %w", f.number, err)
			}
		}
		if !f.Ready && !f.closed && !f.onward() {
			if err := l.loadWatermark(txn, f); err != nil {
				return err
			}
		}
		if b, err := valueOf(txn, numKey4('g', f.number)); err == nil {
			f = f.withCounters(b)
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		l.addFeed(f)
		return nil
	})
}

// loadWatermark reads how far a feed is matched. One that an earlier version was matching
// has no watermark: it begins anew, and enters what it finds once.
func (l *Ledger) loadWatermark(txn *badger.Txn, f *Feed) error {
	b, err := valueOf(txn, watermarkKey(f.number))
	if errors.Is(err, ErrNotFound) {
		f.mark.upTo, f.mark.again = l.tree.Size(), true
		return l.store(l.tree, map[string][]byte{string(watermarkKey(f.number)): f.mark.encode()})
	}
	if err == nil {
		f.mark, err = decodeWatermark(b)
	}
	return err
}

func (l *Ledger) compile(f *Feed, a *agreement.Agreement, std name.Standard) error {
	k, err := l.known(std)
	if err != nil {
		return err
	}
	if f.terms, err = a.Compile(k.std); err != nil {
		return err
	}
	f.doc, f.std, f.line, f.byStd = a, std, a.Standard, new(sync.Map)
	f.Agreement, f.Version, f.Digest = a.Name, a.Version, a.Digest()
	return nil
}

func (f *Feed) store() ([]byte, error) {
	s := storedFeed{To: f.To, Ready: f.Ready, Closed: f.closed, Over: f.over, Indexed: f.Ready && !f.copied(), Passing: f.passing}
	if f.doc != nil {
		s.Agreement, s.Standard = f.doc.Canonical(), f.std
	}
	return marshal(s)
}

// Feeds returns the feeds as they are now.
func (l *Ledger) Feeds() []*Feed {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.feeds)
}

// Idle reports whether nothing stands in a feed from a cursor on, as far as is known without
// reading it: never while records are still being matched, nor of what is passed on.
func (l *Ledger) Idle(f *Feed, cursor uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.feeds[f.number]
	return g.Ready && !g.onward() && g.End <= cursor
}

// FeedsOf returns the feeds of an agreement, those of all its texts, as they are now.
func (l *Ledger) FeedsOf(a name.Agreement) (fs []*Feed) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, n := range l.feedsOf[a] {
		fs = append(fs, l.feeds[n])
	}
	return fs
}

// addFeed takes a feed in, whose number is the next. l.mu is held, or nobody reads yet.
func (l *Ledger) addFeed(f *Feed) {
	l.feeds = append(slices.Clone(l.feeds), f)
	if l.feedsOf == nil {
		l.feedsOf = map[name.Agreement][]uint32{}
	}
	l.feedsOf[f.Agreement] = append(l.feedsOf[f.Agreement], f.number)
}

// Feed returns the open feed of one text of an agreement, ErrNotFound when
// there is none.
func (l *Ledger) Feed(a name.Agreement, d agreement.Digest) (*Feed, error) {
	for _, f := range l.FeedsOf(a) {
		if f.Digest == d && !f.closed {
			return f, nil
		}
	}
	return nil, fmt.Errorf("agreement %s: %w", a, ErrNotFound)
}

// OpenFeed keeps the index of an agreement from now on and returns; the records there are
// already are matched behind, see [Ledger.AwaitFeed]. Opening a feed again does nothing.
func (l *Ledger) OpenFeed(ctx context.Context, a *agreement.Agreement) error {
	std, err := l.StandardOf(a.Standard)
	if err != nil {
		return err
	}
	err = l.do(ctx, true, func(t *tx) error {
		for _, g := range l.FeedsOf(a.Name) {
			if g.Digest == a.Digest() {
				return nil
			}
		}
		f := &Feed{number: uint32(len(l.Feeds())), To: a.To, mark: watermark{upTo: l.w.next}}
		if err := l.compile(f, a, std.Name()); err != nil {
			return err
		}
		if !f.onward() { // nothing of ours is matched
			t.set(watermarkKey(f.number), f.mark.encode())
		}
		return t.newFeed(f)
	})
	if err != nil {
		return fmt.Errorf("open feed of %s: %w", a.Name, err)
	}
	select {
	case l.unmatched <- struct{}{}:
	default:
	}
	return nil
}

// CloseFeed stops letting anything out under an agreement. What partners hold
// they delete when they learn of the end; an index to answer from is deleted
// here. Closing it again does nothing.
func (l *Ledger) CloseFeed(ctx context.Context, a name.Agreement, d agreement.Digest) error {
	if err := l.do(ctx, true, func(t *tx) error { return t.closeFeed(a, d) }); err != nil {
		return err
	}
	return l.DropIndexes(ctx)
}

func (t *tx) closeFeed(a name.Agreement, d agreement.Digest) error {
	for _, f := range t.l.Feeds() {
		if f.Agreement == a && f.Digest == d {
			if f.closed {
				return nil
			}
			t.remove(watermarkKey(f.number))
			now := t.l.o.Now().UTC()
			return t.changeFeed(f.number, func(g *Feed) { g.closed, g.over = true, now })
		}
	}
	return fmt.Errorf("agreement %s: %w", a, ErrNotFound)
}

// Supersede withdraws from the feed of an agreement's new text what its old
// text let out and the new one does not, then closes the old feed. A crash in
// between leaves it to be done again.
//
// The new feed may be read only when Supersede has returned: until then it
// lacks withdrawals, some of them at indexes that a reader would have passed.
//
// Where either text lets nothing be copied there is nothing to withdraw: the old
// feed is closed, and partners delete what they hold when they learn of it.
func (l *Ledger) Supersede(ctx context.Context, old, now *Feed) error {
	if !old.copied() || !now.copied() {
		return l.CloseFeed(ctx, old.Agreement, old.Digest)
	}
	positions, err := l.feedPositions(old)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(positions, 500) {
		err := l.do(ctx, false, func(t *tx) error { return t.supersede(chunk, now) })
		if err != nil {
			return fmt.Errorf("supersede %s version %d: %w", old.Agreement, old.Version, err)
		}
	}
	// What has come into the old feed since, with the closing.
	err = l.do(ctx, true, func(t *tx) error {
		if positions, err = l.feedPositions(old); err != nil {
			return err
		}
		if err := t.supersede(positions, now); err != nil {
			return err
		}
		return t.closeFeed(old.Agreement, old.Digest)
	})
	if err != nil {
		return fmt.Errorf("supersede %s version %d: %w", old.Agreement, old.Version, err)
	}
	return nil
}

// A feedPosition is where one record stands in a feed.
type feedPosition struct {
	record [16]byte
	membership
}

func (l *Ledger) feedPositions(f *Feed) (out []feedPosition, err error) {
	err = l.View(func(v *View) error {
		return v.walk(numKey4('m', f.number), func(key, value []byte) error {
			m, err := decodeMembership(value)
			out = append(out, feedPosition{[16]byte(key[5:]), m})
			return err
		})
	})
	return out, err
}

func (t *tx) supersede(positions []feedPosition, now *Feed) error {
	for _, p := range positions {
		if _, err := t.lookup(memberKey(now.number, p.record)); err == nil {
			continue
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		if taken, err := now.taken(t.lookup, name.RecordFrom(p.record)); err != nil {
			return err
		} else if taken && p.kind == itemPut {
			continue // what was taken over stays; an order to erase it goes on
		}
		index := p.index
		if p.kind == itemPut {
			index = t.event(event.KindWithdrawal, withdrawalBody(now, name.RecordFrom(p.record), WithdrawnNoMatch, p.index)).index
		}
		t.set(feedItemKey(now.number, index), encodeItem(itemWithdraw, p.record))
		t.set(memberKey(now.number, p.record), membership{itemWithdraw, index}.encode())
		t.feed(now.number, feedDelta{end: index + 1})
	}
	return nil
}

// newFeed and changeFeed run in a job that is alone, so that Ledger.feeds is
// up to date.
func (t *tx) newFeed(f *Feed) error {
	b, err := f.store()
	if err != nil {
		return err
	}
	t.set(numKey4('F', f.number), b)
	t.after = append(t.after, func() {
		t.l.addFeed(f)
		t.l.takers = newTakers(t.l.feeds)
		t.l.standards.gen++
	})
	return nil
}

func (t *tx) changeFeed(number uint32, change func(*Feed)) error {
	f := *t.l.Feeds()[number]
	change(&f)
	b, err := f.store()
	if err != nil {
		return err
	}
	t.set(numKey4('F', number), b)
	t.after = append(t.after, func() {
		g := *t.l.feeds[number]
		change(&g)
		t.l.feeds = slices.Clone(t.l.feeds)
		t.l.feeds[number] = &g
		t.l.takers = newTakers(t.l.feeds)
		t.l.standards.gen++
	})
	return nil
}
