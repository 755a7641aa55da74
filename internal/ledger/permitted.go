package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What an agreement permits a receiver is committed in the log now and then, as a count
// and a root: see package agreement for what they are of, and event.AgreementCheckpoint.
// The sender counts what its feed holds, in the view of the very page that brings the
// receiver to the end of it. The receiver counts what came, see copied.go.
//
// It is counted anew each time, since members of the set go as well as come. That reads
// and rebuilds every record of the feed, as sending it does, so it is done seldom: the
// rule is [CheckpointDue].

// A Sum is what a set of permitted records comes to.
type Sum struct {
	Size  uint64    `json:"size"` // of the sender's log
	Count uint64    `json:"count"`
	Root  tlog.Hash `json:"root"`
}

// Timing of agreement-checkpoints.
const (
	sumFirst = time.Minute // after a receiver has come to the end, of a feed that none was made for yet
	sumEvery = time.Hour   // between two, at least,
	sumShare = 100         // and this many times as long as the last one took
)

// CheckpointDue returns when the next agreement-checkpoint of a feed is due for a partner
// that has come to its end since a time; never, the zero time, while nothing was entered
// since the last.
func CheckpointDue(f *Feed, p Partner, live time.Time) time.Time {
	switch {
	case f.byHand(), f.onward(): // what people let out one by one, or is passed on, is in the log, one by one
		return time.Time{}
	case f.Agreement == "" || f.End == 0 || f.End <= p.Summed.Size:
		return time.Time{}
	}
	return NextCheckpoint(p.SummedAt, p.SummedIn, live)
}

// NextCheckpoint returns when what an agreement permits is counted again for a receiver
// that has come to its end since live. last is when that was done last, zero for never, and
// took how long it took.
func NextCheckpoint(last time.Time, took time.Duration, live time.Time) time.Time {
	first := live.Add(sumFirst)
	if last.IsZero() {
		return first
	}
	if at := last.Add(max(sumEvery, sumShare*took)); at.After(first) {
		return at
	}
	return first
}

// PageSummed reads a feed from a cursor on, as [Ledger.Page] does, and hands the page to
// use. If use returns true, then the feed as it stands at the page's checkpoint is
// counted and an agreement-checkpoint logged for the receiver and sent to it among the
// notices. For that the page must be live, and its cursor that checkpoint.
func (l *Ledger) PageSummed(ctx context.Context, f *Feed, to name.Council, cursor uint64, use func(*Page) bool) error {
	began := l.o.Now()
	var sum Sum
	wanted := false
	err := l.View(func(v *View) error {
		p, err := v.page(f, to, cursor, span{most: MaxPageBytes})
		if err != nil {
			return err
		}
		if wanted = use(p); !wanted {
			return nil
		}
		if !p.Live || p.Cursor != p.Checkpoint.Size || len(p.Damaged) > 0 {
			return fmt.Errorf("internal error: a page that does not end the feed is counted")
		}
		sum, err = v.permitted(ctx, f, nil)
		return err
	})
	if err == nil && wanted {
		err = l.logSum(ctx, f, to, sum, began)
	}
	if err != nil {
		return fmt.Errorf("count what %s permits: %w", f.Agreement, err)
	}
	return nil
}

func (l *Ledger) logSum(ctx context.Context, f *Feed, to name.Council, sum Sum, began time.Time) error {
	if _, err := l.OpenNotices(ctx, to); err != nil {
		return err
	}
	return l.do(ctx, false, func(t *tx) error {
		if l.Feeds()[f.number].closed {
			return nil // it is over
		}
		p := t.event(event.KindAgreementCheckpoint, event.AgreementCheckpoint{
			Agreement: f.Agreement, Version: uint64(f.Version), To: to, Size: sum.Size, Count: sum.Count, Root: sum.Root,
		}.Body())
		if err := t.address(p.index, []name.Council{to}); err != nil {
			return err
		}
		return t.partner(f, to, func(p *Partner) {
			p.Summed, p.SummedAt = sum, l.o.Now().UTC()
			p.SummedIn = p.SummedAt.Sub(began)
		})
	})
}

// permitted counts what a feed holds, and hands each member to f, which may be nil, in
// the order of the log.
func (v *View) permitted(ctx context.Context, f *Feed, fn func(agreement.Permitted)) (Sum, error) {
	type want struct {
		index uint64
		raw   []byte
		leaf  tlog.Hash
		is    agreement.Permitted
		hash  tlog.Hash
		err   error
	}
	var wants []*want
	var tally tlog.Tally
	flush := func() error {
		onAllCores(len(wants), 16, func(i int) {
			w := wants[i]
			if w.err == nil {
				if w.is, w.err = v.l.permittedAt(f, w.index, w.raw, w.leaf); w.err == nil {
					w.hash = w.is.Hash()
				}
			}
		})
		for _, w := range wants {
			if w.err != nil {
				return w.err
			}
			tally.Add(w.hash)
			if fn != nil {
				fn(w.is)
			}
		}
		wants = wants[:0]
		return ctx.Err()
	}
	o := badger.DefaultIteratorOptions
	o.Prefix = numKey4('f', f.number)
	it := v.txn.NewIterator(o)
	defer it.Close()
	size := 0
	for it.Rewind(); it.Valid(); it.Next() {
		val, err := it.Item().ValueCopy(nil)
		if err != nil {
			return Sum{}, fmt.Errorf("%w: %w", ErrStorage, err)
		}
		kind, _, err := decodeItem(val)
		if err != nil {
			return Sum{}, err
		}
		if kind != itemPut {
			continue
		}
		w := &want{index: indexAtEnd(it)}
		if w.raw, w.err = v.raw(w.index); w.err == nil {
			w.leaf, w.err = v.leaf(w.index)
		}
		size += len(w.raw)
		if wants = append(wants, w); len(wants) == readChunk || size > readBytes {
			if err := flush(); err != nil {
				return Sum{}, err
			}
			size = 0
		}
	}
	if err := flush(); err != nil {
		return Sum{}, err
	}
	return Sum{v.cp.Size, tally.Size(), tally.Root()}, nil
}

// permittedAt returns a record of a feed as a member of what is permitted. As for what
// leaves, the filter is asked again.
func (l *Ledger) permittedAt(f *Feed, index uint64, raw []byte, leaf tlog.Hash) (agreement.Permitted, error) {
	var places []string
	ver, err := l.rebuildPart(index, raw, leaf, func(ver *Version) (keeper, error) {
		terms := f.termsFor(ver.Standard)
		if terms == nil || !terms.Match(ver.Body) {
			return nil, fmt.Errorf("%w: stands in a feed it does not match", ErrDamaged)
		}
		return func(pointer string, shell bool) bool {
			keep := terms.Keep(pointer, shell)
			if keep {
				places = append(places, pointer)
			}
			return keep
		}, nil
	})
	if err != nil {
		return agreement.Permitted{}, err
	}
	return agreement.Permitted{
		Index: index, Record: ver.Claims.Record, Version: ver.Claims.Version, Entry: ver.Token.Entry(), Fields: agreement.FieldsOf(places),
	}, nil
}

// AgreementCheckpoints returns the log indexes of what was committed under an agreement,
// ascending, with what each says.
func (v *View) AgreementCheckpoints(a name.Agreement) (at []uint64, out []event.AgreementCheckpoint, err error) {
	v.Events(event.KindAgreementCheckpoint, 0, func(i uint64) bool {
		var c event.AgreementCheckpoint
		c, _, err = ReadEvent(v, i, event.KindAgreementCheckpoint, event.ParseAgreementCheckpoint)
		if errors.Is(err, ErrDamaged) {
			err = nil // it is named where it is read
			return true
		}
		if err == nil && c.Agreement == a {
			at, out = append(at, i), append(out, c)
		}
		return err == nil
	})
	return slices.Clip(at), out, err
}
