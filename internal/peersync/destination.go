package peersync

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A destination is how a footprint is reached to bring records there under an
// agreement: our own replica, or whichever member answers. What it says of the
// footprint is no older than the call.
type destination interface {
	// state returns the sequence number that the last page of the agreement left,
	// and the standards of the agreement's line that the footprint has adopted.
	state(ctx context.Context, f *ledger.Feed) (destinationState, error)
	// holdings says which of these records of ours stand there, and how. With sure set
	// no member is believed alone: what only one says stands there does, and where two
	// do not say the same the holding is the zero one.
	holdings(ctx context.Context, f *ledger.Feed, rs []name.Record, sure bool) (map[name.Record]holding, error)
	// count counts our live records of the agreement's line there.
	count(ctx context.Context, f *ledger.Feed) (int, error)
	// records lists some of them, none when there are none.
	records(ctx context.Context, f *ledger.Feed) ([]name.Record, error)
	// contribute offers entries that move the sequence number from since to next. It
	// returns who answered.
	contribute(ctx context.Context, f *ledger.Feed, since, next uint64, entries []footprint.Entry) (footprint.Receipt, name.Council, error)
	// settled returns once what became of entries is certain: our own replica has
	// applied it, or a majority has cosigned that they stand in the log.
	settled(ctx context.Context, f *ledger.Feed, entries []footprint.Entry, got footprint.Receipt) error
}

type destinationState struct {
	sequence  uint64
	standards []name.Standard
}

// A holding is a record as a footprint holds it.
type holding struct {
	entry tlog.Hash
	token [sha256.Size]byte // digest of it, with the disclosures that stand there
}

func lineOf(f *ledger.Feed) name.StandardLine { return f.Terms().Agreement().Standard }

// ownReplica is the destination that a replica of our own is. A member uses it for
// councils outside, too: of is whose records are meant.
type ownReplica struct {
	f  *footprint.Footprint
	of name.Council
}

// catchUp waits until our replica has everything that was decided before the call.
func (o ownReplica) catchUp(ctx context.Context) error {
	at, err := o.f.Latest(ctx)
	if err == nil {
		err = o.f.Await(ctx, at)
	}
	return err
}

func (o ownReplica) state(ctx context.Context, f *ledger.Feed) (st destinationState, err error) {
	if err := o.catchUp(ctx); err != nil {
		return st, err
	}
	return o.stateHere(f.Agreement, lineOf(f))
}

func (o ownReplica) stateHere(a name.Agreement, line name.StandardLine) (st destinationState, err error) {
	for _, s := range o.f.Standards() {
		if s.Line() == line {
			st.standards = append(st.standards, s)
		}
	}
	st.sequence, err = o.f.ContributedBy(o.of, a)
	return st, err
}

func (o ownReplica) holdings(_ context.Context, _ *ledger.Feed, rs []name.Record, _ bool) (map[name.Record]holding, error) {
	out := map[name.Record]holding{}
	for _, r := range rs {
		h, err := o.f.Record(o.of, r)
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

func (o ownReplica) count(_ context.Context, f *ledger.Feed) (int, error) {
	return o.countHere(lineOf(f))
}

func (o ownReplica) countHere(line name.StandardLine) (total int, err error) {
	counts, err := o.f.Counts()
	for std, n := range counts[o.of] {
		if std.Line() == line {
			total += int(n)
		}
	}
	return total, err
}

func (o ownReplica) records(ctx context.Context, f *ledger.Feed) ([]name.Record, error) {
	if err := o.catchUp(ctx); err != nil {
		return nil, err
	}
	return o.recordsHere(lineOf(f))
}

func (o ownReplica) recordsHere(line name.StandardLine) (out []name.Record, err error) {
	l, err := o.f.Records(0, partItems, func(h *footprint.Held) bool {
		return h.View.Council == o.of && h.View.Standard.Line() == line
	})
	for _, h := range l.Records {
		out = append(out, h.View.Record)
	}
	return out, err
}

func (o ownReplica) contribute(ctx context.Context, f *ledger.Feed, since, next uint64, entries []footprint.Entry) (footprint.Receipt, name.Council, error) {
	got, err := o.f.Contribute(ctx, f.Agreement, since, next, entries...)
	return got, o.of, err
}

func (o ownReplica) settled(ctx context.Context, _ *ledger.Feed, _ []footprint.Entry, got footprint.Receipt) error {
	return o.f.Await(ctx, got.Position)
}
