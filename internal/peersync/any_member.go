package peersync

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// anyMember is the destination that a footprint is which others keep.
type anyMember struct {
	s         *Syncer
	footprint name.Council
	turn      atomic.Uint32 // moves who is asked first
}

// ask puts a question to the members, one after the other, until one answers it.
func (m *anyMember) ask(ctx context.Context, f *ledger.Feed, q inwardAsk) (a inwardAnswer, err error) {
	if err := m.s.o.Directory.Exchange(m.s.o.Now()); err != nil {
		return a, err
	}
	q.Footprint, q.Agreement, q.Digest = m.footprint, f.Agreement, f.Digest.String()
	b, err := json.Marshal(q)
	if err != nil || len(b) > maxInward {
		return a, errors.Join(err, fmt.Errorf("internal error: a page of %d bytes", len(b)))
	}
	err = m.s.eachMember(ctx, m.footprint, int(m.turn.Load()), func(c name.Council) (err error) {
		if a, err = m.askMember(ctx, c, b, q); err == nil && a.Refused != "" {
			err = errors.New(a.Refused)
		}
		return err
	})
	return a, err
}

func (m *anyMember) askMember(ctx context.Context, c name.Council, b []byte, q inwardAsk) (a inwardAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, inwardWithin+inwardTimeout)
	defer cancel()
	st, err := m.s.o.Network.Open(ctx, c, inwardProtocol)
	if err != nil {
		return a, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	bw := bufio.NewWriter(st)
	st.SetDeadline(time.Now().Add(inwardWithin + inwardTimeout))
	if err := errors.Join(wire.WriteFrame(bw, b), bw.Flush()); err != nil {
		st.Reset()
		return a, err
	}
	if b, err = wire.ReadFrame(bufio.NewReader(st), maxInwardAnswer); err != nil {
		st.Reset()
		return a, err
	}
	return parseInwardAnswer(b, q)
}

func (m *anyMember) state(ctx context.Context, f *ledger.Feed) (st destinationState, err error) {
	a, err := m.ask(ctx, f, inwardAsk{Ask: inwardState})
	st.sequence = a.Cursor
	for _, s := range a.Standards {
		std, err := name.ParseStandard(s)
		if err != nil {
			return st, err
		}
		st.standards = append(st.standards, std)
	}
	return st, err
}

func (m *anyMember) holdings(ctx context.Context, f *ledger.Feed, rs []name.Record) (map[name.Record]holding, error) {
	a, err := m.ask(ctx, f, inwardAsk{Ask: inwardHolds, Records: rs})
	out := map[name.Record]holding{}
	for _, h := range a.Holds {
		out[h.Record] = holding{h.Entry, [32]byte(h.Token)}
	}
	return out, err
}

func (m *anyMember) count(ctx context.Context, f *ledger.Feed) (int, error) {
	a, err := m.ask(ctx, f, inwardAsk{Ask: inwardState})
	return a.Held, err
}

func (m *anyMember) records(ctx context.Context, f *ledger.Feed) ([]name.Record, error) {
	a, err := m.ask(ctx, f, inwardAsk{Ask: inwardList})
	return a.Records, err
}

func (m *anyMember) contribute(ctx context.Context, f *ledger.Feed, since, next uint64, entries []footprint.Entry) (footprint.Receipt, error) {
	q := inwardAsk{Ask: inwardPage, Since: since, Cursor: next}
	for _, e := range entries {
		q.Tokens = append(q.Tokens, string(e.Token))
	}
	a, err := m.ask(ctx, f, q)
	out := footprint.Receipt{Position: a.Position}
	for _, o := range a.Outcomes {
		out.Outcomes = append(out.Outcomes, footprint.Outcome{Code: o.Code, Entry: o.Entry, Rule: o.Rule})
	}
	return out, err
}

// settled believes no member alone: what it said was taken must stand in the log
// under a checkpoint that more than half of the members, by the directory, cosigned.
func (m *anyMember) settled(ctx context.Context, f *ledger.Feed, entries []footprint.Entry, got footprint.Receipt) error {
	at := map[uint64]tlog.Hash{}
	for i, o := range got.Outcomes {
		if o.Code == footprint.Refused {
			continue
		}
		entry, err := judge.Entry(entries[i].Token)
		if err != nil {
			return fmt.Errorf("internal error: %w", err)
		}
		if was, ok := at[o.Entry]; ok && was != entry {
			return fmt.Errorf("%w: two entries at one place", judge.ErrLied)
		}
		at[o.Entry] = entry
	}
	if len(at) == 0 {
		return nil
	}
	q := inwardAsk{Ask: inwardProof, Indexes: slices.Sorted(maps.Keys(at))}
	var hashes []tlog.Hash
	for _, i := range q.Indexes {
		hashes = append(hashes, at[i])
	}
	a, err := m.ask(ctx, f, q)
	if err != nil {
		return err
	}
	return m.s.checkInward(m.footprint, a, hashes, q.Indexes)
}

// checkInward checks the proof that entries stand in a footprint's log.
func (s *Syncer) checkInward(fp name.Council, a inwardAnswer, entries []tlog.Hash, indexes []uint64) error {
	l, err := s.o.Judge.Log(fp)
	if err != nil {
		return err
	}
	cp, err := l.Open([]byte(a.Checkpoint))
	if err != nil {
		return err
	}
	return judge.Proved(cp, entries, indexes, a.Inclusion)
}
