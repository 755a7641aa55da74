package peersync

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// anyMember is the destination that a footprint is which others keep.
type anyMember struct {
	s         *Syncer
	footprint name.Council
	turn      atomic.Uint32 // moves who is asked first
}

// question begins a question about an agreement.
func (m *anyMember) question(f *ledger.Feed) *wirepb.Contribution {
	return &wirepb.Contribution{
		Version: wirepb.ContributeVersion, Footprint: string(m.footprint), Agreement: string(f.Agreement), AgreementDigest: f.Digest[:],
	}
}

// ask puts a question to the members, one after the other, until one answers it and
// what it says is good.
func (m *anyMember) ask(ctx context.Context, q *wirepb.Contribution, good func(by name.Council, a *wirepb.ContributionAnswer) error) error {
	if err := errors.Join(m.s.o.Directory.Exchange(m.s.o.Now()), m.s.o.Ledger.Allowed(m.footprint)); err != nil {
		return err
	}
	return m.s.eachMember(ctx, m.footprint, int(m.turn.Load()), func(c name.Council) error {
		a, err := m.askMember(ctx, c, q)
		if err == nil {
			err = good(c, a)
		}
		return err
	})
}

func (m *anyMember) askMember(ctx context.Context, c name.Council, q *wirepb.Contribution) (*wirepb.ContributionAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, contributeWithin+contributeFrame)
	defer cancel()
	st, err := m.s.o.Network.Open(ctx, c, wirepb.ContributeProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(m.s.o.Now().Add(contributeWithin + contributeFrame))
	if err := wirepb.WriteContribution(bufio.NewWriter(st), q); err != nil {
		st.Reset()
		return nil, err
	}
	a, err := wirepb.ReadContributionAnswer(bufio.NewReader(st), q)
	if errors.Is(err, wirepb.ErrFrame) {
		err = fmt.Errorf("%w: %w", judge.ErrLied, err)
	}
	if err != nil {
		st.Reset()
		return nil, err
	}
	if a.GetCode() != "" {
		return nil, errors.New(limit(a.GetReason(), 300))
	}
	return a, nil
}

func (m *anyMember) askState(ctx context.Context, f *ledger.Feed) (st *wirepb.ContributionAnswer_State, err error) {
	q := m.question(f)
	q.Ask = &wirepb.Contribution_State_{State: &wirepb.Contribution_State{}}
	err = m.ask(ctx, q, func(_ name.Council, a *wirepb.ContributionAnswer) error { st = a.GetState(); return nil })
	return st, err
}

func (m *anyMember) state(ctx context.Context, f *ledger.Feed) (out destinationState, err error) {
	st, err := m.askState(ctx, f)
	out.sequence = st.GetSequence()
	for _, s := range st.GetStandards() {
		std, err := name.ParseStandard(s)
		if err != nil {
			return out, err
		}
		out.standards = append(out.standards, std)
	}
	return out, err
}

func (m *anyMember) count(ctx context.Context, f *ledger.Feed) (int, error) {
	st, err := m.askState(ctx, f)
	return int(st.GetHeld()), err
}

func (m *anyMember) holdings(ctx context.Context, f *ledger.Feed, rs []name.Record, sure bool) (map[name.Record]holding, error) {
	h := &wirepb.Contribution_Holdings{}
	for _, r := range rs {
		h.Records = append(h.Records, string(r))
	}
	q := m.question(f)
	q.Ask = &wirepb.Contribution_Holdings_{Holdings: h}
	out := map[name.Record]holding{}
	answered, all := 0, len(m.s.o.Footprints.Members(m.footprint))
	errMore := errors.New("it says what stands there, which more members have to say")
	err := m.ask(ctx, q, func(_ name.Council, a *wirepb.ContributionAnswer) error {
		for _, h := range a.GetHoldings().GetList() {
			r, is := name.Record(h.GetRecord()), holding{tlog.Hash(h.GetEntry()), [32]byte(h.GetDigest())}
			if was, told := out[r]; told && was != is {
				is = holding{}
			}
			out[r] = is
		}
		if answered++; sure && answered <= all/2 {
			return errMore
		}
		return nil
	})
	return out, err
}

// records asks more than half of the members, and lists what any of them has: that
// nothing is left there is not believed of one.
func (m *anyMember) records(ctx context.Context, f *ledger.Feed) (out []name.Record, err error) {
	q := m.question(f)
	q.Ask = &wirepb.Contribution_Records_{Records: &wirepb.Contribution_Records{}}
	answered, all := 0, len(m.s.o.Footprints.Members(m.footprint))
	errMore := errors.New("it says that nothing is left, which more members have to say")
	err = m.ask(ctx, q, func(_ name.Council, a *wirepb.ContributionAnswer) error {
		for _, r := range a.GetRecords().GetList() {
			out = append(out, name.Record(r))
		}
		if answered++; len(out) == 0 && answered <= all/2 {
			return errMore
		}
		return nil
	})
	return out, err
}

func (m *anyMember) contribute(ctx context.Context, f *ledger.Feed, since, next uint64, entries []footprint.Entry) (footprint.Receipt, name.Council, error) {
	var by name.Council
	got, err := footprint.Offer(entries, func(es []footprint.Entry) (footprint.Receipt, error) {
		got, who, err := m.page(ctx, f, since, next, es)
		if err == nil && by != "" && who != by {
			err = fmt.Errorf("%s answers for what %s refused", who, by) // no member's word counts for another's
		}
		by = who
		return got, err
	})
	return got, by, err
}

// page seals entries as a page and brings it once.
func (m *anyMember) page(ctx context.Context, f *ledger.Feed, since, next uint64, entries []footprint.Entry) (out footprint.Receipt, by name.Council, err error) {
	page := &wirepb.Contribution_Page{Since: since, Next: next}
	for _, e := range entries {
		page.Tokens = append(page.Tokens, e.Token)
	}
	seal, err := footprint.SealPage(m.s.o.Keys.Record, m.footprint, m.s.o.Self, f.Agreement, since, next, entries)
	if err != nil {
		return out, by, err
	}
	page.Seal = seal.Signature
	if page.Key, err = base64.RawURLEncoding.DecodeString(seal.Key); err != nil {
		return out, by, fmt.Errorf("internal error: %w", err)
	}
	q := m.question(f)
	q.Ask = &wirepb.Contribution_Page_{Page: page}
	err = m.ask(ctx, q, func(c name.Council, a *wirepb.ContributionAnswer) error {
		by = c
		got := a.GetOutcomes()
		out = footprint.Receipt{Position: got.GetPosition()}
		for _, o := range got.GetList() {
			one := footprint.Outcome{Entry: o.GetEntry(), Rule: o.GetRule()}
			for _, pair := range codes {
				if pair.wire == o.GetCode() {
					one.Code = pair.code
				}
			}
			out.Outcomes = append(out.Outcomes, one)
		}
		return nil
	})
	return out, by, err
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
	indexes := slices.Sorted(maps.Keys(at))
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hashes[i] = at[x]
	}
	q := m.question(f)
	q.Ask = &wirepb.Contribution_Proof_{Proof: &wirepb.Contribution_Proof{Indexes: indexes}}
	return m.ask(ctx, q, func(by name.Council, a *wirepb.ContributionAnswer) error {
		return m.s.settledBy(ctx, m.footprint, by, a.GetProof(), hashes, indexes)
	})
}

// settledBy checks the proof of a member that entries stand in a footprint's log.
func (s *Syncer) settledBy(ctx context.Context, fp, by name.Council, p *wirepb.ContributionAnswer_Proof, entries []tlog.Hash, indexes []uint64) error {
	l, err := s.o.Judge.Log(fp)
	if err != nil {
		return err
	}
	head, err := l.Extend(ctx, judge.Told{Checkpoint: p.GetCheckpoint(), By: by, MetWith: "a receipt for contributions"})
	if err != nil {
		return err
	}
	return judge.Proved(head.Checkpoint, entries, indexes, p.GetInclusion())
}
