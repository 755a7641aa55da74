package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A sink is a footprint that our records flow into.
type sink struct {
	name    name.Council
	in      inlet
	own     *replica      // nil where others keep it
	wake    chan struct{} // buffered: agreements have changed
	confirm chan struct{} // buffered: something waits for the members to confirm it

	mu    sync.Mutex // guards what follows
	flows map[name.Agreement]flow
}

func (s *sink) begin(c name.Council, in inlet) {
	s.name, s.in = c, in
	s.wake, s.confirm = make(chan struct{}, 1), make(chan struct{}, 1)
	s.flows = map[name.Agreement]flow{}
}

// An inlet is how a footprint is reached to bring records there under an
// agreement: by our own replica, or through a member that answers. What it says of
// the footprint is no older than the call.
type inlet interface {
	// number returns what the last page of the agreement moved the footprint's
	// number to.
	number(ctx context.Context, f *ledger.Feed) (uint64, error)
	standards(ctx context.Context, f *ledger.Feed) ([]name.Standard, error)
	// holds says which of these records of ours stand there, and how.
	holds(ctx context.Context, f *ledger.Feed, rs []name.Record) (map[name.Record]holding, error)
	// held counts our live records of the agreement's line there.
	held(ctx context.Context, f *ledger.Feed) (int, error)
	// ours lists some of our live records of the agreement's line there, none
	// when there are none.
	ours(ctx context.Context, f *ledger.Feed) ([]name.Record, error)
	contribute(ctx context.Context, f *ledger.Feed, since, cursor uint64, entries []footprint.Entry) (footprint.Receipt, error)
	// settled returns once what became of entries is certain: our own replica has
	// applied it, or a majority has cosigned that they stand in the log.
	settled(ctx context.Context, f *ledger.Feed, entries []footprint.Entry, got footprint.Receipt) error
}

// A holding is a record as a footprint holds it.
type holding struct {
	entry tlog.Hash
	token [sha256.Size]byte // digest of it, with the disclosures that stand there
}

func lineOf(f *ledger.Feed) name.StandardLine { return f.Terms().Agreement().Standard }

// kept is the inlet of a replica of our own, and answers members for contributors
// outside: of is whose records are meant.
type kept struct {
	f  *footprint.Footprint
	of name.Council
}

func (k kept) level(ctx context.Context) error {
	at, err := k.f.Latest(ctx)
	if err == nil {
		err = k.f.Await(ctx, at)
	}
	return err
}

func (k kept) number(ctx context.Context, f *ledger.Feed) (uint64, error) {
	if err := k.level(ctx); err != nil {
		return 0, err
	}
	return k.f.ContributedBy(k.of, f.Agreement)
}

func (k kept) standards(context.Context, *ledger.Feed) ([]name.Standard, error) {
	return k.f.Standards(), nil
}

func (k kept) holds(_ context.Context, _ *ledger.Feed, rs []name.Record) (map[name.Record]holding, error) {
	out := map[name.Record]holding{}
	for _, r := range rs {
		h, err := k.f.Record(k.of, r)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[r] = holding{h.Token.Entry(), sha256.Sum256(h.Token.Bytes())}
	}
	return out, nil
}

func (k kept) held(_ context.Context, f *ledger.Feed) (int, error) { return k.count(lineOf(f)) }

func (k kept) count(line name.StandardLine) (total int, err error) {
	counts, err := k.f.Counts()
	for std, n := range counts[k.of] {
		if std.Line() == line {
			total += int(n)
		}
	}
	return total, err
}

func (k kept) ours(ctx context.Context, f *ledger.Feed) ([]name.Record, error) {
	if err := k.level(ctx); err != nil {
		return nil, err
	}
	return k.list(lineOf(f))
}

func (k kept) list(line name.StandardLine) (out []name.Record, err error) {
	l, err := k.f.Records(0, flowItems, func(h *footprint.Held) bool {
		return h.View.Council == k.of && h.View.Standard.Line() == line
	})
	for _, h := range l.Records {
		out = append(out, h.View.Record)
	}
	return out, err
}

func (k kept) contribute(ctx context.Context, f *ledger.Feed, since, cursor uint64, entries []footprint.Entry) (footprint.Receipt, error) {
	return k.f.Contribute(ctx, f.Agreement, since, cursor, entries...)
}

func (k kept) settled(ctx context.Context, _ *ledger.Feed, _ []footprint.Entry, got footprint.Receipt) error {
	return k.f.Await(ctx, got.Position)
}

// sinks are the footprints that our records flow into and that others keep.
type sinks struct {
	mu  sync.Mutex // guards what follows
	all map[name.Council]*sink
}

func (s *sinks) stir() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.all {
		k.stir()
	}
}

func (s *sinks) at(c name.Council) *sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[c]
}

// keepSending brings our records to footprints that others keep until ctx ends.
func (n *Node) keepSending(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		for _, f := range n.ledger.Feeds() {
			if f.Agreement == "" || f.Mode() != agreement.Replicate {
				continue
			}
			for _, c := range f.To {
				if n.sinks.at(c) != nil || n.keepsFootprint(c) || !n.isFootprint(c) {
					continue
				}
				s := &sink{}
				s.begin(c, &through{n: n, name: c})
				n.sinks.put(c, s)
				wg.Go(func() { n.sendTo(ctx, s) })
			}
		}
		pause(ctx, time.Second)
	}
}

// sendTo brings records to a footprint for as long as others keep it.
func (n *Node) sendTo(ctx context.Context, s *sink) {
	defer n.sinks.put(s.name, nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if n.keepsFootprint(s.name) {
				cancel() // its own replica takes over
			}
			pause(ctx, time.Second)
		}
	}()
	n.keepFlowing(ctx, s)
}

func (s *sinks) put(c name.Council, k *sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[name.Council]*sink{}
	}
	if k == nil {
		delete(s.all, c)
	} else {
		s.all[c] = k
	}
}

// inTurn returns the members of a footprint, those there is a connection to first,
// who are likely to answer; among them another stands first at each turn.
func inTurn(members, connected []name.Council, turn int) []name.Council {
	turn %= max(len(members), 1)
	members = slices.Concat(members[turn:], members[:turn])
	slices.SortStableFunc(members, func(a, b name.Council) int {
		x, y := slices.Contains(connected, a), slices.Contains(connected, b)
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	return members
}
