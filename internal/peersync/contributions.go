package peersync

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A council outside brings records into a footprint through a member, whichever
// answers, by the protocol of contribute.proto. What it brings it has signed, and
// the members check that as they do one another's; the member that passes it on
// answers for the agreement being in force.

const (
	contributeFrame  = 30 * time.Second // to read or write one
	contributeWithin = 15 * time.Second // for the work of an answer
)

// codeUnavailable: it cannot be answered at the moment; ask again.
const codeUnavailable = "unavailable"

// serveContribution answers one question of a council outside.
func (s *Syncer) serveContribution(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	st.SetDeadline(s.o.Now().Add(contributeFrame))
	q, err := wirepb.ReadContribution(bufio.NewReader(st))
	if err != nil {
		st.Reset()
		return
	}
	work, cancel := context.WithTimeout(ctx, contributeWithin)
	a, err := s.contribution(work, from, q)
	cancel()
	if rule, ok := errors.AsType[*footprint.Refusal](err); ok {
		a, err = refuseContribution(codeNotNow, rule.Rule), nil
	}
	if err != nil {
		s.o.Log.Info("records for a footprint not passed on", "footprint", q.GetFootprint(), "from", from, "because", err.Error())
		a = refuseContribution(codeUnavailable, "it cannot be passed on now")
		if errors.Is(err, footprint.ErrUnavailable) {
			a.Reason = "no majority of the members answers"
		}
	}
	st.SetDeadline(s.o.Now().Add(contributeFrame))
	if err := wirepb.WriteContributionAnswer(bufio.NewWriter(st), a); err != nil {
		st.Reset()
	}
}

func refuseContribution(code, reason string) *wirepb.ContributionAnswer {
	return &wirepb.ContributionAnswer{Code: code, Reason: limit(reason, wirepb.MaxText)}
}

// contribution answers a question as a member of the footprint. A rule of the
// footprint that refuses it is an error that is a *footprint.Refusal.
func (s *Syncer) contribution(ctx context.Context, from name.Council, q *wirepb.Contribution) (*wirepb.ContributionAnswer, error) {
	refuse := func(code, why string) (*wirepb.ContributionAnswer, error) {
		return refuseContribution(code, why), nil
	}
	if q.GetVersion() < wirepb.ContributeVersion { // a later one has only more to say
		return refuse(codeVersion, fmt.Sprintf("this node speaks version %d", wirepb.ContributeVersion))
	}
	r := s.open(name.Council(q.GetFootprint()))
	if r == nil || !r.member() {
		return refuse(codeNotReady, "no replica of that footprint is open here")
	}
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return refuse(codeDirectory, err.Error())
	}
	if s.o.Ledger.Allowed(from) != nil {
		return refuse(codeQuarantine, "this member has stopped all exchange with you: your node's status says why")
	}
	if m, ok := s.o.Directory.Member(from); !ok || !m.ActiveAt(s.o.Now()) {
		return refuse(codeNoAgree, "you are no member of our directory")
	}
	doc := s.textFrom(from, q, r.name)
	if doc == nil {
		return refuse(codeNoAgree, "no such agreement with you")
	}
	if !slices.Contains(r.f.Contributors(), from) {
		return refuse(codeNotReady, "you may not bring records yet: a majority of the members has to take you in, which their nodes do by themselves")
	}
	o := ownReplica{r.f, from}
	if err := o.catchUp(ctx); err != nil {
		return nil, err
	}
	switch {
	case q.GetState() != nil:
		return stateAnswer(o, doc)
	case q.GetHoldings() != nil:
		return holdingsAnswer(ctx, o, q.GetHoldings().GetRecords())
	case q.GetRecords() != nil:
		return recordsAnswer(o, doc)
	case q.GetProof() != nil:
		return proofAnswer(ctx, r.f, q.GetProof().GetIndexes())
	}
	if err := s.o.Quota.Take(from, quota.Brought, 1); err != nil {
		return refuse(codeNotNow, err.Error())
	}
	page := q.GetPage()
	seal := record.PageSeal{Key: base64.RawURLEncoding.EncodeToString(page.GetKey()), Signature: page.GetSeal()}
	if why := s.beyondPage(r, doc, judge.BroughtPage{Footprint: r.name, Since: page.GetSince(), Next: page.GetNext(), Seal: seal, Tokens: page.GetTokens()}); why != "" {
		return refuse(codeNotNow, why)
	}
	entries := make([]footprint.Entry, len(page.GetTokens()))
	for i, t := range page.GetTokens() {
		entries[i].Token = t
	}
	got, err := r.f.ContributeFor(ctx, from, doc.Name, page.GetSince(), page.GetNext(), seal, entries...)
	if err == nil {
		err = r.f.Await(ctx, got.Position)
	}
	return outcomesAnswer(got), err
}

func stateAnswer(o ownReplica, doc *agreement.Agreement) (*wirepb.ContributionAnswer, error) {
	st, err := o.stateHere(doc.Name, doc.Standard)
	if err != nil {
		return nil, err
	}
	held, err := o.countHere(doc.Standard)
	if err != nil {
		return nil, err
	}
	out := &wirepb.ContributionAnswer_State{Sequence: st.sequence, Held: uint64(held)}
	for _, std := range st.standards {
		out.Standards = append(out.Standards, std.String())
	}
	return &wirepb.ContributionAnswer{Answer: &wirepb.ContributionAnswer_State_{State: out}}, nil
}

func holdingsAnswer(ctx context.Context, o ownReplica, asked []string) (*wirepb.ContributionAnswer, error) {
	rs := make([]name.Record, len(asked))
	for i, r := range asked {
		rs[i] = name.Record(r)
	}
	there, err := o.holdings(ctx, nil, rs, false)
	if err != nil {
		return nil, err
	}
	out := &wirepb.ContributionAnswer_Holdings{}
	for _, r := range rs {
		if h, ok := there[r]; ok {
			out.List = append(out.List, &wirepb.ContributionAnswer_Holding{Record: string(r), Entry: h.entry[:], Digest: h.token[:]})
		}
		delete(there, r) // once, though it is asked about twice
	}
	return &wirepb.ContributionAnswer{Answer: &wirepb.ContributionAnswer_Holdings_{Holdings: out}}, nil
}

func recordsAnswer(o ownReplica, doc *agreement.Agreement) (*wirepb.ContributionAnswer, error) {
	list, err := o.recordsHere(doc.Standard)
	if err != nil {
		return nil, err
	}
	out := &wirepb.ContributionAnswer_Records{}
	for _, r := range list {
		out.List = append(out.List, string(r))
	}
	return &wirepb.ContributionAnswer{Answer: &wirepb.ContributionAnswer_Records_{Records: out}}, nil
}

// proofAnswer waits until a majority has cosigned a checkpoint that covers entries.
func proofAnswer(ctx context.Context, f *footprint.Footprint, indexes []uint64) (*wirepb.ContributionAnswer, error) {
	last := indexes[len(indexes)-1]
	cp, signed := f.Checkpoint()
	for ; cp.Size <= last && ctx.Err() == nil; cp, signed = f.Checkpoint() {
		pause(ctx, 100*time.Millisecond)
	}
	if cp.Size <= last {
		return refuseContribution(codeUnavailable, "no majority has cosigned it yet"), nil
	}
	proof, err := f.ProveEntries(indexes, cp.Size)
	if err != nil {
		return nil, err
	}
	return &wirepb.ContributionAnswer{Answer: &wirepb.ContributionAnswer_Proof_{
		Proof: &wirepb.ContributionAnswer_Proof{Checkpoint: signed, Inclusion: tlog.JoinHashes(proof)},
	}}, nil
}

// codes pairs what a footprint made of an entry with how that is said.
var codes = [...]struct {
	code footprint.Code
	wire wirepb.ContributionAnswer_Outcome_Code
}{
	{footprint.Accepted, wirepb.ContributionAnswer_Outcome_ACCEPTED},
	{footprint.Duplicate, wirepb.ContributionAnswer_Outcome_DUPLICATE},
	{footprint.Refused, wirepb.ContributionAnswer_Outcome_REFUSED},
	{footprint.Again, wirepb.ContributionAnswer_Outcome_AGAIN},
}

func outcomesAnswer(got footprint.Receipt) *wirepb.ContributionAnswer {
	out := &wirepb.ContributionAnswer_Outcomes{Position: got.Position}
	for _, o := range got.Outcomes {
		one := &wirepb.ContributionAnswer_Outcome{Entry: o.Entry, Rule: limit(o.Rule, wirepb.MaxText)}
		for _, c := range codes {
			if c.code == o.Code {
				one.Code = c.wire
			}
		}
		out.List = append(out.List, one)
	}
	return &wirepb.ContributionAnswer{Answer: &wirepb.ContributionAnswer_Outcomes_{Outcomes: out}}
}

// textFrom finds the text of an agreement by which a council may ask about a
// footprint. It need not be in force: what is over is withdrawn.
func (s *Syncer) textFrom(from name.Council, q *wirepb.Contribution, fp name.Council) *agreement.Agreement {
	for _, st := range s.o.Agreements.Texts(name.Agreement(q.GetAgreement()), s.o.Now()) {
		a := st.Agreement
		if bytes.Equal(st.Digest[:], q.GetAgreementDigest()) && a.From == from && slices.Contains(a.To, fp) && a.Way().Copied {
			return a
		}
	}
	return nil
}

// beyondPage says why a page is not passed on; "" for one that is. Withdrawals are
// passed on whatever has become of the agreement.
func (s *Syncer) beyondPage(r *replica, doc *agreement.Agreement, page judge.BroughtPage) string {
	if slices.ContainsFunc(page.Tokens, func(t []byte) bool { return bytes.IndexByte(t, '~') >= 0 }) {
		if now, why := s.o.Agreements.InForce(doc.Name, s.o.Now()); now == nil {
			return why
		} else if now.Digest() != doc.Digest() {
			return fmt.Sprintf("version %d of the agreement is in force", now.Version)
		}
	}
	return s.o.Judge.Brought(doc, r.f.Standard, page)
}
