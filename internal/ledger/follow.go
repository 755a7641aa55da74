package ledger

import (
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A Follower is a stream that has read a feed to its end and waits for more. What a
// batch writes into the feed is about to go to it, so the disclosure is logged in that
// same batch: it is durable with the record, and before a byte leaves, without a
// transaction of its own. The event says what was about to leave. When the stream breaks
// at that moment it did not, and is logged again when it does.
type Follower struct {
	l    *Ledger
	feed uint32
	to   name.Council

	logged []uint64 // entries of the feed whose disclosure is durable; guarded by Ledger.mu
}

// Bounds of what is logged ahead. A stream that is further behind is no follower for the
// moment: what goes to it is logged when it goes.
const (
	maxFollowers = 8    // of one batch; each costs whoever writes a signature
	maxAhead     = 4000 // entries for one follower
)

// Follow says that a council has read a feed to its end and waits for more. Stop ends that.
// It is nil where what leaves is bounded, since it is counted when it leaves.
func (l *Ledger) Follow(f *Feed, to name.Council) *Follower {
	if f.doc != nil && f.doc.Most.Bounds() {
		return nil
	}
	w := &Follower{l: l, feed: f.number, to: to}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers = append(slices.Clone(l.followers), w)
	return w
}

// Stop ends that disclosures are logged ahead for the follower. It may be called on nil.
func (w *Follower) Stop() {
	if w == nil {
		return
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	w.l.followers = slices.DeleteFunc(slices.Clone(w.l.followers), func(o *Follower) bool { return o == w })
}

// unlogged returns those of the items whose disclosure was not logged ahead, and forgets
// the others. It may be called on nil.
func (w *Follower) unlogged(items []PageItem) []PageItem {
	if w == nil || len(items) == 0 {
		return items
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	var out []PageItem
	for _, it := range items {
		if _, ok := slices.BinarySearch(w.logged, it.Index); !ok {
			out = append(out, it)
		}
	}
	// What took another place since, and is behind these, does not come any more.
	n, _ := slices.BinarySearch(w.logged, items[len(items)-1].Index+1)
	w.logged = w.logged[n:]
	return out
}

// foresee adds to a batch the disclosures of what it writes into feeds that are followed.
func (l *Ledger) foresee(b *batch) {
	if len(b.items) == 0 {
		return
	}
	l.mu.RLock()
	followers, feeds := l.followers, l.feeds
	l.mu.RUnlock()
	n := 0
	for _, w := range followers {
		items := b.items[w.feed]
		if len(items) == 0 {
			continue
		}
		l.mu.RLock()
		ahead := len(w.logged)
		l.mu.RUnlock()
		if n == maxFollowers || ahead+len(items) > maxAhead {
			continue
		}
		t := &tx{l: l, b: b, sets: map[string][]byte{}}
		if err := t.disclose(feeds[w.feed], w.to, items, b.puts[w.feed], 0); err != nil {
			// It must not go, or that is not known: whoever sends it finds out.
			l.w.next -= uint64(len(t.entries))
			continue
		}
		size := t.size()
		if b.bytes+size > maxJobBytes {
			l.w.next -= uint64(len(t.entries))
			return
		}
		t.after = append(t.after, func() { w.logged = append(w.logged, items...) })
		t.merge(size)
		n++
	}
}

// disclose logs that entries of a feed are about to go to a council. puts is one past the
// last of them that is a record, 0 for none. from is where what goes ahead of the rest
// begins, if they do; otherwise 0.
func (t *tx) disclose(f *Feed, to name.Council, entries []uint64, puts, from uint64) error {
	if err := t.allowed(to); err != nil {
		return err
	}
	t.event(event.KindDisclosure, event.Disclosure{Agreement: f.Agreement, Version: uint64(f.Version), To: to, Entries: entries}.Body())
	if puts == 0 {
		return nil
	}
	return t.partner(f, to, func(p *Partner) {
		switch {
		case from == 0:
			p.Disclosed = max(p.Disclosed, puts)
		case p.AheadSent[0] != from:
			p.AheadSent = [2]uint64{from, puts}
		default:
			p.AheadSent[1] = max(p.AheadSent[1], puts)
		}
	})
}

// disclosed returns the entries of items, and one past the last that is a record.
func disclosed(items []PageItem) (entries []uint64, puts uint64) {
	for _, it := range items {
		entries = append(entries, it.Index)
		if it.IsRecord() {
			puts = it.Index + 1
		}
	}
	return entries, puts
}
