package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Partners says, for every agreement in force and every other party, how far
// the exchange is. With withheld set it counts withheld fields, which reads
// every holding.
func (x *Explainer) Partners(withheld bool) ([]api.PartnerReply, error) {
	return x.partners(x.o.Agreements.Standing(x.o.Now()), withheld)
}

// PartnersOf is Partners for those under one agreement. It costs what that agreement has.
func (x *Explainer) PartnersOf(a name.Agreement, withheld bool) ([]api.PartnerReply, error) {
	st, ok := x.o.Agreements.Status(a, x.o.Now())
	if !ok {
		return nil, nil
	}
	return x.partners([]agreement.Status{st}, withheld)
}

func (x *Explainer) partners(standing []agreement.Status, withheld bool) ([]api.PartnerReply, error) {
	s, connected := x.o.Running()
	var out []api.PartnerReply
	err := x.o.Ledger.View(func(v *ledger.View) error {
		for _, st := range standing {
			a, open := st.Agreement, st.InForce() || st.Phase == agreement.Suspended
			if a.From == x.o.Self {
				// Feeds that are over stay listed until the partner says that
				// everything is deleted.
				for _, f := range x.o.Ledger.FeedsOf(a.Name) {
					if f.Digest != st.Digest {
						continue
					}
					for _, c := range a.To {
						p, err := x.sendingTo(v, f, c, st, s, slices.Contains(connected, c))
						if err != nil {
							return err
						}
						if x.o.Footprints.Is(c) {
							x.unconfirmed(&p)
						}
						if err := refused(v, f, c, &p); err != nil {
							return err
						}
						if open && !st.InForce() {
							p.InStep, p.Suspended = false, true
							if !p.Over {
								p.Behind = st.Why
							}
						}
						if open || p.Outstanding > 0 || p.Kept != nil || p.Refusals > 0 {
							out = append(out, p)
						}
					}
				}
				left, err := x.leftOut(v, st, connected)
				if err != nil {
					return err
				}
				out = append(out, left...)
			} else if open && (slices.Contains(a.To, x.o.Self) || x.o.AsksFor(a) != "") {
				p, err := x.receivingFrom(v, a, s, slices.Contains(connected, a.From), withheld)
				if err != nil {
					return err
				}
				if !st.InForce() {
					p.InStep, p.Suspended, p.Behind = false, true, st.Why
				}
				out = append(out, p)
			} else if src, err := x.o.Ledger.Source(a.From, a.Name); err == nil && src.Kept != nil {
				out = append(out, x.keptFrom(src))
			} else if f := x.o.Footprints.Replica(a.From); open && f != nil {
				for _, c := range a.To {
					p, err := x.outOfFootprint(f, s, st, c, slices.Contains(connected, c))
					if err != nil {
						return err
					}
					out = append(out, p)
				}
			}
		}
		return nil
	})
	for i := range out {
		if why := x.stopped(out[i].Council); why != "" {
			out[i].InStep, out[i].Suspended, out[i].Behind = false, false, why
		}
	}
	return out, err
}

// leftOut returns the receivers of earlier texts of an agreement of ours under which
// nothing is copied to them any more, by whatever change, for as long as they have not
// said that they deleted what they hold.
func (x *Explainer) leftOut(v *ledger.View, now agreement.Status, connected []name.Council) (out []api.PartnerReply, err error) {
	a, stands := now.Agreement, now.InForce() || now.Phase == agreement.Suspended
	for _, f := range x.o.Ledger.FeedsOf(a.Name) {
		if f.Digest == now.Digest || !f.Closed() || !f.Copied() {
			continue
		}
		moves := f.Terms().Agreement().Way().Moves
		for _, c := range f.To {
			goesOn := stands && slices.Contains(a.To, c) && a.Way().Copied
			p, err := v.Partner(f, c)
			if err != nil {
				return nil, err
			}
			if moves {
				r := api.PartnerReply{
					Council: c, Agreement: f.Agreement, Direction: "to", Connected: slices.Contains(connected, c),
					Offered: f.Records, Held: p.Held, LastAt: p.LastAck,
				}
				if goesOn || !p.Awaited() {
					continue
				}
				if err := x.taken(v, f, p, &r, fmt.Sprintf("version %d is over", f.Version)); err != nil {
					return nil, err
				}
				if err := refused(v, f, c, &r); err != nil {
					return nil, err
				}
				if r.Outstanding > 0 || r.Refusals > 0 {
					out = append(out, r)
				}
				continue
			}
			if goesOn || p.Held == 0 || p.Done || !p.Awaited() {
				continue
			}
			why := fmt.Sprintf("version %d is over", f.Version)
			switch {
			case stands && !slices.Contains(a.To, c):
				why = fmt.Sprintf("version %d leaves it out", a.Version)
			case stands:
				why = fmt.Sprintf("version %d lets nothing be copied", a.Version)
			}
			if left, _ := x.left(c); left != "" && !x.o.Footprints.Is(c) {
				why += ", " + left
			}
			r := api.PartnerReply{
				Council: c, Agreement: f.Agreement, Direction: "to", Connected: slices.Contains(connected, c),
				Offered: f.Records, Held: p.Held, Outstanding: p.Held, LastAt: p.LastAck, Over: true,
				Behind: fmt.Sprintf("%s, and it has not said that it deleted %s", why, plural(p.Held, "record")),
			}
			if at := f.ClosedAt(); !at.IsZero() {
				r.OldestHours = x.o.Now().Sub(at).Hours()
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// left says in words that a council is no member of the directory any more, and since
// when, as far as that is known; "" when it is one, or will be.
func (x *Explainer) left(c name.Council) (why string, at time.Time) {
	m, ok := x.o.Directory.Member(c)
	switch now := x.o.Now(); {
	case !ok:
		return "it is not in the directory any more", at
	case m.ActiveAt(now) || now.Before(m.ValidFrom):
		return "", at
	}
	return fmt.Sprintf("its membership ended on %s", m.Ended.Format(time.DateOnly)), m.Ended
}

// owes makes all that a council holds outstanding when it has left the directory: no
// withdrawal reaches it, and it has not said that it deleted anything.
func (x *Explainer) owes(r *api.PartnerReply, p ledger.Partner) {
	why, at := x.left(r.Council)
	if why == "" || p.Held == 0 || p.Done || x.o.Footprints.Is(r.Council) {
		return
	}
	r.Outstanding, r.Over = max(r.Outstanding, p.Held), true
	r.Behind = fmt.Sprintf("%s, and it has not said that it deleted %s", why, plural(p.Held, "record"))
	if !at.IsZero() {
		r.OldestHours = max(r.OldestHours, x.o.Now().Sub(at).Hours())
	}
}

func (x *Explainer) sendingTo(v *ledger.View, f *ledger.Feed, c name.Council, st agreement.Status, s *peersync.Syncer, connected bool) (api.PartnerReply, error) {
	p, err := v.Partner(f, c)
	if err != nil {
		return api.PartnerReply{}, err
	}
	r := api.PartnerReply{
		Council: c, Agreement: f.Agreement, Direction: "to", Connected: connected,
		Offered: f.Records, Held: p.Held, Refused: p.Refused, LastAt: p.LastAck,
		BehindEntries: f.End - min(f.End, p.Cursor),
	}
	if r.AtTerm, r.AtTermAt, err = x.atTerm(v, f.Agreement, c); err != nil {
		return r, err
	}
	if !st.Agreement.Way().Copied {
		r.Mode, r.Behind, r.BehindEntries = string(st.Agreement.Mode), x.gone(c), 0
		if x.o.Footprints.Is(c) {
			r.Behind = ""
		}
		if !f.Ready {
			r.Behind = matching(f)
		}
		r.InStep = r.Behind == ""
		if st.Agreement.Way().Answers == agreement.AnswersCounts {
			r.CountBudget = ledger.MaxCountsAgreement
			if r.Spent, err = v.CountsThisYear(f.Agreement); err != nil {
				return r, err
			}
		}
		r.Asked, err = v.QuestionsToday(f.Digest, c)
		return r, err
	}
	if !p.SummedAt.IsZero() {
		r.Counted = &api.CountReply{Size: p.Summed.Size, Count: p.Summed.Count, Root: p.Summed.Root.String(), At: p.SummedAt}
	}
	if err := x.waiting(v, f, p, &r, false); err != nil {
		return r, err
	}
	if !p.Awaited() {
		r.Outstanding, r.Erasures, r.OldestHours = 0, 0, 0
		r.Behind = fmt.Sprintf("a person gave up its receipts on %s", p.GivenUp.Format(time.DateOnly))
		return r, nil
	}
	if st.Phase == agreement.Suspended {
		x.owes(&r, p)
		return r, nil // the caller says by whom
	}
	if p.Kept != nil {
		r.InStep, r.Over, r.Outstanding, r.OldestHours, r.BehindEntries = true, true, 0, 0, 0
		r.Kept = &api.KeptReply{Council: c, Agreement: f.Agreement, Records: int(p.Kept.Records), Until: p.Kept.Until}
		for _, g := range p.Kept.Under {
			r.Kept.For = append(r.Kept.For, g.Council)
		}
		r.Behind = keptWords(r.Kept)
		return r, x.waiting(v, f, p, &r, true)
	}
	if !st.InForce() {
		if st.Agreement.Way().Moves && len(st.Awaiting) > 0 {
			// It never was in force. What went by an earlier text is asked of by that.
			r.Outstanding, r.Erasures, r.OldestHours = 0, 0, 0
			return r, nil
		}
		if st.Agreement.Way().Moves {
			return r, x.taken(v, f, p, &r, "the agreement is over ("+st.Why+")")
		}
		if r.Outstanding, r.OldestHours = 0, 0; p.Held > 0 {
			r.Outstanding, r.Over = p.Held, true
			r.Behind = fmt.Sprintf("the agreement is over (%s) and it has not said that it deleted %s", st.Why, plural(p.Held, "record"))
			if at := f.ClosedAt(); !at.IsZero() {
				r.OldestHours = x.o.Now().Sub(at).Hours()
			}
		}
		return r, nil
	}
	if x.o.Footprints.Is(c) {
		x.intoFootprint(&r, s, f, p)
		return r, nil
	}
	if nothing, err := x.o.Agreements.PassesNothing(st.Agreement, x.o.Now()); err != nil {
		return r, err
	} else if nothing != "" && p.TakenBack >= f.End {
		// Withdrawals alone travel, and all have: what is left of the feed waits, or is over.
		if chain, _ := f.Onward(); chain == nil {
			r.InStep, r.BehindEntries = true, 0
		} else {
			r.Behind = nothing
		}
		x.owes(&r, p)
		return r, nil
	}
	switch {
	case !f.Ready:
		r.Behind, r.Moving = matching(f), s != nil
	case p.Cursor >= f.End:
		r.InStep = true
	case p.Waits(st.Agreement.Most, x.o.Now()) != "":
		r.Behind, r.Bounded = p.Waits(st.Agreement.Most, x.o.Now()), true
	case s != nil && s.Full(c):
		r.Behind, r.Full = "its disk is nearly full, and it keeps nothing that we send", true
	case x.gone(c) != "":
		r.Behind = x.gone(c)
	case s == nil:
		r.Behind = "this node is not running"
	case !connected && p.LastAck.IsZero():
		r.Behind = "it has never been connected"
	case !connected:
		r.Behind = fmt.Sprintf("it is not connected; it last answered %s", p.LastAck.UTC().Format(time.DateTime+" MST"))
	case !s.Serving(c, f.Agreement):
		r.Behind = "it is connected and has not asked for this agreement's records"
	default:
		r.Behind, r.Moving = onTheirWay(p.Held, f.Records, p.AheadFrom > 0), true
	}
	x.owes(&r, p)
	return r, nil
}

// taken says what is outstanding of a council that took records over under a text that is over:
// they stay with it, and go by an order to erase them.
func (x *Explainer) taken(v *ledger.View, f *ledger.Feed, p ledger.Partner, r *api.PartnerReply, why string) error {
	err := x.waiting(v, f, p, r, true)
	if r.BehindEntries = 0; r.Erasures > 0 {
		r.Behind = fmt.Sprintf("%s, and it has not said that it erased %s", why, plural(r.Erasures, "record"))
	}
	return err
}

// waiting says how many withdrawals a council has not receipted, or orders to erase alone, and
// since when the oldest of them waits.
func (x *Explainer) waiting(v *ledger.View, f *ledger.Feed, p ledger.Partner, r *api.PartnerReply, orders bool) error {
	r.Outstanding, r.Erasures, r.OldestHours = 0, 0, 0
	oldest := time.Time{}
	err := v.Outstanding(f, p, func(index uint64, _ name.Record) bool {
		ev, _, err := v.Event(index)
		erases := err == nil && ev.Kind == event.KindErasureOrder
		if orders && !erases {
			return true
		}
		r.Outstanding++
		if err == nil && oldest.IsZero() {
			oldest = time.Unix(ev.IssuedAt, 0)
		}
		if erases {
			r.Erasures++
		}
		return true
	})
	if !oldest.IsZero() {
		r.OldestHours = x.o.Now().Sub(oldest).Hours()
	}
	return err
}

// mostRefused is how many orders that were refused are named of one receiver.
const mostRefused = 20

// refused says which orders to erase a council has refused.
func refused(v *ledger.View, f *ledger.Feed, c name.Council, r *api.PartnerReply) error {
	return v.RefusedOrders(f, c, func(o ledger.RefusedOrder) bool {
		if r.Refusals++; len(r.RefusedOrders) < mostRefused {
			r.RefusedOrders = append(r.RefusedOrders, api.RefusedOrder{Record: o.Record, Entry: o.Index, Rule: o.Rule, Pointer: o.Pointer, At: o.At})
		}
		return true
	})
}

// keptFrom says what we keep of a council that has ended.
func (x *Explainer) keptFrom(src *ledger.Source) api.PartnerReply {
	k := &api.KeptReply{Council: x.o.Self, Agreement: src.Agreement, Records: src.Records, For: src.Kept.For(), Until: src.Kept.Until.Format(time.DateOnly)}
	return api.PartnerReply{
		Council: src.From, Agreement: src.Agreement, Direction: "from", Held: src.Records, Proved: src.Records, Offered: src.Offered, LastAt: src.LastAt,
		InStep: true, Over: true, Kept: k, Behind: keptWords(k),
	}
}

// keptWords says in words what is kept, and until when.
func keptWords(k *api.KeptReply) string {
	var who []string
	for _, c := range k.For {
		who = append(who, string(c))
	}
	return fmt.Sprintf("the agreement is over, and %s kept until it comes from %s, at the latest until %s", plural(k.Records, "record"), strings.Join(who, " and "), k.Until)
}

func (x *Explainer) receivingFrom(v *ledger.View, a *agreement.Agreement, s *peersync.Syncer, connected, withheld bool) (api.PartnerReply, error) {
	r := api.PartnerReply{Council: a.From, Agreement: a.Name, Direction: "from", Connected: connected}
	// Asked first: of a copy that was in step then, the numbers that are read afterwards are
	// of all that came.
	var l peersync.Link
	begun := false
	if s != nil {
		l, begun = s.From(a.From, a.Name)
	}
	src, err := x.o.Ledger.Source(a.From, a.Name)
	if err == nil {
		r.Offered, r.Held, r.Refused, r.LastAt, r.Proved = src.Offered, src.Records, src.Refused, src.LastAt, src.Records
		r.BehindEntries = uint64(max(0, src.Offered-src.Records-src.Refused-src.AtTerm))
		r.AtTerm, r.AtTermAt = src.AtTerm, src.AtTermAt
		r.Counted, r.Differs = counted(src.Compared), counted(src.Differs)
		if !x.o.Footprints.Is(a.From) && !a.Way().ByHand {
			r.UncountedSince = src.Unproved
		}
		if withheld {
			err := v.HiddenToo(src, 0, func(h *ledger.Holding, err error) bool {
				if err == nil {
					r.Withheld += h.View.Withheld
				}
				return true
			})
			if err != nil {
				return r, err
			}
		}
	}
	if r.Behind = x.gone(a.From); r.Behind != "" {
		return r, nil
	}
	if !a.Way().Copied {
		r.Mode, r.InStep = string(a.Mode), true
		return r, nil
	}
	if s == nil {
		r.Behind = "this node is not running"
		return r, nil
	}
	if x.o.Footprints.Is(a.From) {
		r.Connected = l.Connected
	}
	switch {
	case !begun:
		r.Behind, r.Moving = "the copy has not begun", true
	case l.Problem != "":
		r.Behind = l.Problem
	case l.Live && l.Connected:
		r.InStep, r.Behind = true, ""
	case src != nil && src.Bounded && l.Connected:
		r.Behind, r.Bounded = fmt.Sprintf("as much has come as the agreement lets come: %s", a.Most), true
	case l.Connected:
		r.Behind, r.Moving = onTheirWay(r.Held, r.Offered, src != nil && src.AheadFrom > 0), true
	default:
		r.Behind = "it is not connected"
	}
	return r, nil
}

// onTheirWay says that a copy is under way: how many records are held of how many, and
// whether what changes meanwhile goes ahead of the rest.
func onTheirWay(held, of int, ahead bool) string {
	if !ahead {
		return "records are on their way"
	}
	return fmt.Sprintf("records are on their way, %d of %d are there; what changes now goes ahead of the rest", held, of)
}

// counted says what came of comparing what a sender committed to with what came.
func counted(c *ledger.Compared) *api.CountReply {
	if c == nil {
		return nil
	}
	r := &api.CountReply{Size: c.Sender.Size, Count: c.Sender.Count, Root: c.Sender.Root.String(), Entry: c.Entry, By: c.By, At: c.At, Twice: c.Twice}
	if !c.Twice {
		r.Came, r.CameRoot = c.Ours.Count, c.Ours.Root.String()
	}
	return r
}

// atTerm returns how many records a receiver has said that it deleted at the end of their
// term, under any text of an agreement, and when it last did.
func (x *Explainer) atTerm(v *ledger.View, a name.Agreement, c name.Council) (n int, last time.Time, err error) {
	for _, f := range x.o.Ledger.FeedsOf(a) {
		if !slices.Contains(f.To, c) {
			continue
		}
		p, err := v.Partner(f, c)
		if err != nil {
			return 0, last, err
		}
		if n += p.AtTerm; p.AtTermAt.After(last) {
			last = p.AtTermAt
		}
	}
	return n, last, nil
}

// matching says in words how far the records already here are matched for a feed.
func matching(f *ledger.Feed) string {
	p := f.Progress()
	if p.Of == 0 {
		return "the records already here wait to be matched"
	}
	return fmt.Sprintf("the records already here are being matched: %d of %d looked at", p.Examined, p.Of)
}
