package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/book"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/succession"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

// Successions are councils that end and councils that follow them.
type Successions struct{ to Operations }

// Successions returns the operations on them.
func (o Operations) Successions() Successions { return Successions{o} }

// Preview says what a plan makes of our records and agreements. It changes nothing.
func (s Successions) Preview(ctx context.Context, in SuccessionRequest) (SuccessionReply, error) {
	return do(ctx, s.to, (*succession.Keeper).Preview, in)
}

// Seal ends our agreements and writes the last entry of our ledger. Nothing is signed after
// it, and nothing takes it back.
func (s Successions) Seal(ctx context.Context, in SuccessionRequest) (SuccessionReply, error) {
	return do(ctx, s.to, (*succession.Keeper).Seal, in)
}

// Show says how our ledger, which is sealed, stands; NotFound when it is not.
func (s Successions) Show(ctx context.Context) (SuccessionReply, error) {
	return do(ctx, s.to, (*succession.Keeper).Show, Empty{})
}

// HandOver writes what one successor takes over into a file.
func (s Successions) HandOver(ctx context.Context, in HandOverRequest) (BundleReply, error) {
	return do(ctx, s.to, (*succession.Keeper).HandOver, in)
}

// TakeOver takes over what such a file holds for us, or fetches it first from the node of
// the council that has ended.
func (s Successions) TakeOver(ctx context.Context, in TakeOverRequest) (TakeOverReply, error) {
	return do(ctx, s.to, (*succession.Keeper).TakeOver, in)
}

func (n *Node) openSuccession() *succession.Keeper {
	return succession.New(succession.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Bundles: n.bundles, Log: n.log, Now: n.now,
		Member: n.standIn, Members: n.standIns, Rehearsal: n.o.stand != nil,
		Ending: n.ending, End: n.endAll, Unreceived: n.unreceived, Put: n.gate.Put, RecordID: n.keys.RecordID,
		Footprints: n.inFootprints, Leave: n.leaveFootprints, Unfinished: n.unfinished, Handovers: n.carriedOn, WithdrawOffers: n.byhand.WithdrawAll, Own: n.ownTaken, Carry: n.byhand.Carry, Dir: filepath.Join(n.cfg.Data, "handover"), Reach: n.reachEnded,
	})
}

// reachEnded returns how to open streams to a council that hands over to us.
func (n *Node) reachEnded(_ context.Context, c name.Council) (open func(context.Context) (wire.Stream, error), done func(), err error) {
	n.mu.Lock()
	net := n.net
	n.mu.Unlock()
	if net == nil {
		return nil, nil, fail(Refused, "stile serve, and ask again", "this node is not running, so that it reaches nobody")
	}
	as, done, ok := n.follower.ReachEnded(c)
	if !ok {
		return nil, nil, fail(NotFound, "stile council list", "the directory has no node of %s", c)
	}
	return func(ctx context.Context) (wire.Stream, error) {
		st, err := net.Open(ctx, as, wirepb.HandOverProtocol)
		if err != nil {
			err = fmt.Errorf("the node of %s cannot be reached: %w", c, err)
		}
		return st, err
	}, done, nil
}

// notOver returns the texts of agreements of ours that are not over.
func (n *Node) notOver() []agreement.Status {
	return slices.DeleteFunc(n.book.Current(n.now()), func(st agreement.Status) bool {
		return !st.Agreement.Party(n.cfg.Council) || st.Phase == agreement.Ended || st.Phase == agreement.Superseded
	})
}

// partnersEnding returns the partners that end, by the directory, and what we have signed with
// their successors.
func (n *Node) partnersEnding() (out []condition.Ending) {
	texts := n.notOver()
	signed := map[name.Agreement]bool{}
	of := map[name.Council][]*agreement.Agreement{}
	for _, st := range texts {
		_, by := st.Signed[n.cfg.Council]
		signed[st.Agreement.Name] = by
		for _, c := range append([]name.Council{st.Agreement.From}, st.Agreement.To...) {
			if c != n.cfg.Council {
				of[c] = append(of[c], st.Agreement)
			}
		}
	}
	for _, c := range slices.Sorted(maps.Keys(of)) {
		m, ok := n.directory.Member(c)
		if !ok || m.Ended.IsZero() {
			continue
		}
		e := condition.Ending{Council: c, On: m.Ended, Successors: m.Successors}
		for _, a := range of[c] {
			missing := slices.ContainsFunc(m.Successors, func(s name.Council) bool {
				b, _, err := a.Novate(c, s, agreement.Date(m.Ended.Format(time.DateOnly)))
				return err != nil || !signed[b.Name]
			})
			if slices.Contains(a.To, c) && len(a.To) > 1 {
				e.Shared = append(e.Shared, a.Name)
			}
			if e.Agreements = append(e.Agreements, a.Name); missing || len(m.Successors) == 0 {
				e.Unsigned = append(e.Unsigned, a.Name)
			}
		}
		out = append(out, e)
	}
	return out
}

func (n *Node) ending() (out []api.EndingAgreement) {
	for _, st := range n.notOver() {
		a := st.Agreement
		out = append(out, api.EndingAgreement{Agreement: a.Name, Version: a.Version, From: a.From, To: a.To, Standard: a.Standard.String()})
	}
	return out
}

// endAll ends our agreements, and what is held under them. Receivers are told first which
// successors go on with what they have.
func (n *Node) endAll(ctx context.Context, e succession.End) error {
	now := n.now().UTC().Truncate(time.Second)
	for _, st := range n.notOver() {
		a := st.Agreement
		if f, err := n.ledger.Feed(a.Name, a.Digest()); err == nil && a.From == n.cfg.Council && f.Copied() {
			to := slices.Sorted(slices.Values(e.To[a.Name]))
			said := event.Succeeded{Agreement: a.Name, Version: uint64(a.Version), On: e.On, End: f.End, To: to}
			if _, _, err := n.ledger.AppendNotice(ctx, event.KindAgreementSucceeded, said.Body(), n.replicas.Addressees(a)...); err != nil {
				return fmt.Errorf("end %s: %w", a.Name, err)
			}
		}
		end := agreement.Notice{Ref: a.Ref(), Reason: e.Because, At: now, By: e.By}.Body()
		if err := n.say(ctx, event.KindAgreementEnd, end, n.replicas.Addressees(a)); err != nil {
			return fmt.Errorf("end %s: %w", a.Name, err)
		}
	}
	if err := n.book.Settle(ctx); err != nil {
		return err
	}
	n.book.Stir()
	return nil
}

// unreceived returns who has said neither that it deleted what it held of ours nor that it
// keeps that for our successors, and who has said the latter.
func (n *Node) unreceived() (out []name.Council, kept []api.KeptReply, err error) {
	partners, err := n.explain.Partners(false)
	for _, p := range partners {
		switch {
		case p.Direction != "to":
		case p.Kept != nil:
			kept = append(kept, *p.Kept)
		case p.Outstanding > 0 || p.Held > 0:
			out = append(out, p.Council)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), kept, err
}

// moves reports whether what goes under an agreement is taken over by who receives it.
func (n *Node) moves(a name.Agreement) bool {
	return slices.ContainsFunc(n.book.Texts(a, n.now()), func(st agreement.Status) bool { return st.Agreement.Way().Moves })
}

// unfinished returns what ends with us and goes to no successor: cases in which people let out
// single records and that are not closed, records that we took over so and that are none of our
// own, and offers that are held back.
func (n *Node) unfinished() (out []string, err error) {
	handovers, err := n.byhand.ListHandovers(context.Background(), Empty{})
	if err != nil {
		return nil, err
	}
	for _, r := range handovers {
		ours, id := r.Direction == "to", r.Case[:8]
		switch {
		case r.State == ledger.CaseOffered && ours:
			out = append(out, fmt.Sprintf("the handover %s is offered to %s and not answered: the offer is withdrawn, and who carries it on makes it anew", id, r.Partner))
		case r.State == ledger.CaseOffered:
			out = append(out, fmt.Sprintf("%s offers us the handover %s, which nobody here has answered, and nobody can afterwards: %s makes it anew to who carries it on", r.Partner, id, r.Partner))
		case r.State == ledger.CaseAccepted && ours:
			out = append(out, fmt.Sprintf("%s has accepted the handover %s and is responsible for it, and its receipts have not all come: what it has not got does not reach it any more, before who carries it on offers it anew", r.Partner, id))
		case r.State == ledger.CaseAccepted:
			out = append(out, fmt.Sprintf("we have accepted the handover %s of %s and are responsible for it, and it is not closed: what has not come does not come any more, before %s offers it to who carries it on", id, r.Partner, r.Partner))
		}
	}
	urgent, err := n.byhand.ListUrgent(context.Background(), Empty{})
	if err != nil {
		return nil, err
	}
	for _, r := range urgent {
		switch ours, id := r.Direction == "to", r.Case[:8]; {
		case r.State == ledger.CaseOut && ours:
			out = append(out, fmt.Sprintf("the urgent disclosure %s to %s is out: end it before (stile urgent end %s), since nobody can log its end afterwards", id, r.Partner, id))
		case r.ToReview:
			out = append(out, fmt.Sprintf("the urgent disclosure %s %s %s has not been reviewed here, and cannot be afterwards", id, r.Direction, r.Partner))
		}
	}
	err = n.ledger.View(func(v *ledger.View) error {
		if held := v.HeldCount(); held > 0 {
			out = append(out, fmt.Sprintf("offers held back at the gate: %d. They are in no ledger and go to nobody: mend or drop them before (stile record held)", held))
		}
		return nil
	})
	return out, err
}

// ended returns what the directory says of the end of a council.
func (n *Node) ended(c name.Council) book.Ended {
	m, ok := n.directory.Member(c)
	if !ok {
		return book.Ended{}
	}
	return book.Ended{On: m.Ended, Successors: m.Successors, Sure: n.directory.Exchange(n.now()) == nil}
}

// follows reports whether one text is the name or the code of a council that has ended by a
// day, and the other the same of one that took over from it: by the directory, or by the
// reference list of England's councils.
func (n *Node) follows(old, successor string, by time.Time) bool {
	if followsByList(old, successor, by) {
		return true
	}
	for _, m := range n.directory.Members() {
		if m.Ended.IsZero() || m.Ended.After(by) || old != string(m.Council) && old != m.GSS {
			continue
		}
		for _, s := range m.Successors {
			to, ok := n.directory.Member(s)
			switch {
			case old == string(m.Council) && successor == string(s):
				return true
			case old == m.GSS && old != "" && ok && successor != "" && successor == to.GSS:
				return true
			}
		}
	}
	return false
}

// followsByList is follows by the reference list alone.
func followsByList(old, successor string, by time.Time) bool {
	c, ok := councils.ByGSS(old)
	return ok && c.GSS == old && c.Until != "" && c.Until < by.Format(time.DateOnly) && slices.Contains(c.Successors, successor)
}

// inFootprints returns the footprints that we are in, and what stands in the way of leaving
// them. A copy on which the end is rehearsed leaves none: it runs nothing.
func (n *Node) inFootprints() (in []api.EndingFootprint, faults []string, err error) {
	in, faults, err = n.replicas.Ending()
	if n.o.stand != nil {
		faults = nil
	}
	return in, faults, err
}

// leaveFootprints leaves all of them, before the ledger is sealed.
func (n *Node) leaveFootprints(ctx context.Context) error {
	if n.o.stand != nil {
		return nil
	}
	return n.replicas.LeaveAll(ctx)
}

// maxFollowed bounds how many councils that have ended one after the other are told of.
const maxFollowed = 16

// endedSince returns, of a council and of those that followed it, which have ended since, by the
// directory: each once, whatever the directory says, those that ended first before the rest.
func (n *Node) endedSince(c name.Council) (out []api.EndedReply) {
	now := n.now()
	for todo, seen := []name.Council{c}, map[name.Council]bool{}; len(todo) > 0 && len(out) < maxFollowed; todo = todo[1:] {
		m, ok := n.directory.Member(todo[0])
		if !ok || seen[todo[0]] || m.Ended.IsZero() || now.Before(m.Ended) || len(m.Successors) == 0 {
			continue
		}
		seen[todo[0]] = true
		out = append(out, api.EndedReply{Council: m.Council, On: m.Ended.UTC().Format(time.DateOnly), Successors: m.Successors})
		todo = append(todo, m.Successors...)
	}
	return out
}

// succeeded puts into a reply where a record of ours was before, and who goes on with it.
func (n *Node) succeeded(v *ledger.View, ver *ledger.Version, r *RecordReply) (err error) {
	f, err := v.Former(ver.Claims.Record)
	switch {
	case err == nil:
		r.Former = &api.FormerReply{Council: f.Council, Record: f.Record, Version: f.Version, Entry: f.Entry, Event: f.Event}
		earlier, err := v.Earlier(ver.Claims.Record)
		if err != nil {
			return err
		}
		for _, f := range earlier {
			r.Earlier = append(r.Earlier, api.FormerReply{Council: f.Council, Record: f.Record, Version: f.Version, Entry: f.Entry, Event: f.Event})
		}
	case !errors.Is(err, ledger.ErrNotFound):
		return err
	}
	if r.Succeeded, err = succession.Succeeded(v, ver); err == nil && r.Succeeded != nil && r.Succeeded.Council != "" {
		r.Succeeded.Then = n.endedSince(r.Succeeded.Council)
	}
	return err
}
