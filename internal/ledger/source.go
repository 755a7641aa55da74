package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Source is one feed of another council that this node copies, and how far
// it has come. It is immutable; the ledger replaces it. What is known of the
// council's log is not here: see [KnownLog].
type Source struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement,omitempty"`  // "" for notices
	Digest    string         `json:"digest,omitempty"`     // of the agreement's text the copy is of
	Cursor    uint64         `json:"cursor"`               // next log index wanted
	TakenBack uint64         `json:"taken_back,omitempty"` // withdrawals before this index were carried out while the agreement was suspended; see Withdrawn
	// What went ahead of the copy: entries from the one index to before the other were
	// given, and the cursor is before both. 0 while nothing goes ahead.
	AheadFrom uint64 `json:"ahead_from,omitempty"`
	AheadTo   uint64 `json:"ahead_to,omitempty"`

	Records   int       `json:"records"` // held
	Offered   int       `json:"offered"` // records the sender said the feed holds
	Refused   int       `json:"refused,omitempty"`
	Withdrawn int       `json:"withdrawn,omitempty"`
	AtTerm    int       `json:"at_term,omitempty"`   // deleted here since their term was over
	AtTermAt  time.Time `json:"at_term_at,omitzero"` // the last time
	LastAt    time.Time `json:"last_at,omitzero"`    // of the last delivery
	Sweep     bool      `json:"sweep,omitempty"`     // something of an earlier text of the agreement may still be held
	Receipts  []uint64  `json:"receipts,omitempty"`  // log indexes here of the last receipts, which may not have got through
	Ended     bool      `json:"ended,omitempty"`     // the agreement is over and everything was deleted

	// Kept: its council has ended, and what is held is kept as it is until it comes from the
	// successors; nil for any other. See kept.go.
	Kept *Keeping `json:"kept,omitempty"`

	// Unread: the folder was set back, and the feed has not been read to its end since. What
	// is held may have been taken back; see [View.Hides].
	Unread bool `json:"unread,omitempty"`

	// Ending: everything is being deleted. Nothing is kept any more.
	Ending bool `json:"ending,omitempty"`
	// Generation grows with each Restart. A holding has that of when it was
	// last given.
	Generation uint32 `json:"generation,omitempty"`

	// Older is how many of Records came under an earlier text. Came is how many versions came
	// on a day, of an agreement that bounds how many go: see most.go; and of notices how often
	// it was said on a day that orders among them were refused, see obey.go.
	Older   int   `json:"older,omitempty"`
	Came    int   `json:"came,omitempty"`
	CameDay int64 `json:"came_day,omitempty"` // since 1970
	// Bounded: its sender gave withdrawals alone last, since the bound is reached.
	Bounded bool `json:"bounded,omitempty"`
	// Stopped: its sender gave withdrawals alone last, and no bound is the reason: the agreement
	// is suspended or, of one that passes on, that under which it came to its sender.
	Stopped bool `json:"stopped,omitempty"`

	// Whether what came is all that its sender committed to, and nothing else: see
	// copied.go.
	Apart    int       `json:"apart,omitempty"`     // items that came and are not held
	Sums     []Sum     `json:"sums,omitempty"`      // what came, at sizes of which the sender's word is not here yet
	Told     []ToldSum `json:"told,omitempty"`      // what the sender committed to, at sizes that were not counted yet
	Compared *Compared `json:"compared,omitempty"`  // the newest comparison
	Differs  *Compared `json:"differs,omitempty"`   // the first since the last that came out equal; nil while all is well
	Gone     int       `json:"gone,omitempty"`      // members of what was committed to that have gone: see gone.go
	GoneLost uint64    `json:"gone_lost,omitempty"` // the last entry by which more went than is remembered
	Unproved time.Time `json:"unproved,omitzero"`   // since when something came that no comparison has covered

	// Tracing is what came of asking the council that issued what was passed on; nil while that
	// was not to be asked. See recall.go.
	Tracing *Tracing `json:"tracing,omitempty"`

	number uint32
}

// lateReceipts is how many of a source's receipts are repeated when a stream
// begins anew: those of the batches a sender has under way, and one that it was
// just keeping.
const lateReceipts = 4

// Restart makes the next delivery start from the beginning, because another
// text of the agreement is in force and has a feed of its own. What is held
// stays until that feed replaces or withdraws it, or has been read to its end
// and did neither.
func (l *Ledger) Restart(ctx context.Context, s *Source, digest string) error {
	err := l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		had := c.commitments()
		c.restart(digest)
		t.keepCommitments(c, had)
		return t.source(c)
	})
	if err != nil {
		return err
	}
	return l.forgetGone(ctx, s)
}

// Rewind makes the next delivery start from the beginning, because the same feed
// gives more than it did. What is held stays, and nothing is erased for not being
// given again.
func (l *Ledger) Rewind(ctx context.Context, s *Source, digest string) error {
	if err := l.do(ctx, false, func(t *tx) error { return t.rewind(s, digest) }); err != nil {
		return err
	}
	return l.forgetGone(ctx, s)
}

func (t *tx) rewind(s *Source, digest string) error {
	c, err := t.current(s)
	if err != nil {
		return err
	}
	c.Cursor, c.TakenBack, c.Digest, c.Receipts = 0, 0, digest, nil
	c.AheadFrom, c.AheadTo = 0, 0
	had := c.commitments()
	c.forgetSums()
	t.keepCommitments(c, had)
	return t.source(c)
}

func (s *Source) restart(digest string) {
	s.Cursor, s.TakenBack, s.Digest, s.Ended, s.Receipts = 0, 0, digest, false, nil
	s.AheadFrom, s.AheadTo, s.Kept = 0, 0, nil
	s.Ending, s.Generation, s.Sweep = false, s.Generation+1, s.Sweep || s.Records > 0
	s.Older = s.Records
	s.forgetSums()
}

// WithdrawnTo returns the first log index of which no withdrawal was carried out
// yet. While an agreement is suspended it runs ahead of the cursor.
func (s *Source) WithdrawnTo() uint64 { return max(s.Cursor, s.TakenBack) }

// aheadFor returns where the next of what goes ahead is wanted, of which the first stands at
// from.
func (s *Source) aheadFor(from uint64) uint64 {
	if from == s.AheadFrom {
		return s.AheadTo
	}
	return from
}

// Wants returns the first log index that a delivery may have: what is suspended and what
// goes ahead have cursors of their own.
func (s *Source) Wants(d *Delivery) uint64 {
	switch {
	case d.Suspended:
		return s.WithdrawnTo()
	case d.Ahead:
		return s.aheadFor(d.AheadFrom)
	}
	return s.Cursor
}

// advance moves the cursor that a delivery has. A copy that has come to where what went
// ahead begins goes on behind that. What a sender does not go on with, since it gives all
// in order, is forgotten, and comes again.
func (s *Source) advance(d *Delivery) {
	if d.Suspended {
		s.TakenBack = d.Cursor
		return
	}
	s.Offered = d.Offered
	s.AheadFrom, s.AheadTo = d.AheadFrom, s.aheadFor(d.AheadFrom)
	switch {
	case d.Ahead:
		s.AheadTo = d.Cursor
	case d.AheadFrom > 0 && d.Cursor >= d.AheadFrom:
		s.Cursor = s.AheadTo
		s.AheadFrom, s.AheadTo = 0, 0
	default:
		s.Cursor = d.Cursor
	}
}

func (l *Ledger) loadSources(txn *badger.Txn) (old []oldSource, err error) {
	err = walk(txn, []byte("S"), func(key, value []byte) error {
		var o oldSource
		if err := unmarshal(value, &o); err != nil {
			return err
		}
		if o.Size > 0 {
			old = append(old, o)
		}
		s := &Source{number: binary.BigEndian.Uint32(key[1:])}
		if err := unmarshal(value, s); err != nil {
			return err
		}
		l.sources = append(l.sources, s)
		return nil
	})
	return old, err
}

// Sources returns the feeds of other councils that were ever copied here.
func (l *Ledger) Sources() []*Source {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.sources)
}

// Source returns one of them, ErrNotFound when nothing ever came.
func (l *Ledger) Source(from name.Council, a name.Agreement) (*Source, error) {
	for _, s := range l.Sources() {
		if s.From == from && s.Agreement == a {
			return s, nil
		}
	}
	return nil, fmt.Errorf("copy of %s from %s: %w", a, from, ErrNotFound)
}

// OpenSource makes the place that deliveries of a feed go to.
func (l *Ledger) OpenSource(ctx context.Context, from name.Council, a name.Agreement) (*Source, error) {
	if s, err := l.Source(from, a); err == nil {
		return s, nil
	}
	err := l.do(ctx, true, func(t *tx) error {
		if _, err := l.Source(from, a); err == nil {
			return nil
		}
		s := &Source{From: from, Agreement: a, number: uint32(len(l.Sources()))}
		return t.source(s)
	})
	if err != nil {
		return nil, err
	}
	return l.Source(from, a)
}

// source stores a source and makes it the one readers see.
func (t *tx) source(s *Source) error {
	b, err := marshal(s)
	if err != nil {
		return err
	}
	t.set(numKey4('S', s.number), b)
	t.after = append(t.after, func() {
		t.l.sources = slices.Clone(t.l.sources)
		if int(s.number) == len(t.l.sources) {
			t.l.sources = append(t.l.sources, s)
		} else {
			t.l.sources[s.number] = s
		}
	})
	return nil
}

// current reads the source as the batches under way leave it.
func (t *tx) current(s *Source) (*Source, error) {
	b, err := t.lookup(numKey4('S', s.number))
	if err != nil {
		return nil, err
	}
	c := &Source{number: s.number}
	return c, unmarshal(b, c)
}

var errStopWalk = errors.New("stop")

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	return b, nil
}

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: stored state: %w", ErrDamaged, err)
	}
	return nil
}

// checkEvent reads a stored event and checks it against its leaf.
func checkEvent(jws []byte, leaf tlog.Hash) (*record.Token, *record.Event, error) {
	t, ev, err := record.ParseEvent(jws)
	if err != nil || tlog.Leaf(t.Entry()) != leaf {
		return nil, nil, fmt.Errorf("%w: does not hash to its leaf in the log", ErrDamaged)
	}
	return t, ev, nil
}
