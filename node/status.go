package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// maxRefusalsShown bounds the refusals a status shows.
const maxRefusalsShown = 20

func (n *Node) status(ctx context.Context, _ Empty) (*StatusReply, error) {
	n.mu.Lock()
	s, since := n.sync, n.since
	n.mu.Unlock()
	out := &StatusReply{
		Council: n.cfg.Council, Running: s != nil, Version: n.o.Version, Addresses: n.Addresses(),
		Records: map[string]int{},
	}
	out.Quarantines, out.Accusations = n.stops()
	if s != nil {
		out.Since, out.Links = since, each(s.Pulling(), func(l peersync.Link) Link { return Link(l) })
	}
	err := n.ledger.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		out.LogSize, out.LogRoot = cp.Size, cp.Root.String()
		counts, err := v.Count()
		if err != nil {
			return err
		}
		for std, count := range counts {
			out.Records[std.String()] = count
		}
		out.Held = v.HeldCount()
		ws, err := v.Cosigned()
		if err != nil {
			return err
		}
		for _, w := range ws {
			out.Witnesses = append(out.Witnesses, WitnessReply{Council: w.Witness, Size: w.Checkpoint.Size})
		}
		for _, src := range n.ledger.Sources() {
			out.Holdings += src.Records
			err := v.Refusals(src, func(r ledger.Refusal) bool { out.Refusals = append(out.Refusals, Refusal(r)); return true })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out.Refusals, func(a, b Refusal) int { return b.At.Compare(a.At) })
	out.Refusals = out.Refusals[:min(len(out.Refusals), maxRefusalsShown)]
	if out.Partners, err = n.partners(false); err != nil {
		return nil, err
	}
	now := n.now()
	for _, st := range n.book.Standing(now) {
		if !st.InForce() {
			out.Agreements = append(out.Agreements, n.reply(st))
		}
		if r := st.Agreement.Review; st.InForce() && r != "" && now.After(r.Time()) {
			out.Warnings = append(out.Warnings, fmt.Sprintf("agreement %s was due for review on %s", st.Agreement.Name, r))
		}
	}
	if n.cfg.PassphraseFile == "" {
		out.Warnings = append(out.Warnings, "the keys are not encrypted: whoever can read the folder keys/ can speak for the council")
	}
	out.Warnings = append(out.Warnings, n.replicas.Warnings()...)
	h := n.follower.View().Health(now)
	out.Directory = DirectoryHealth{State: string(h.State), Expires: h.Expires, Days: h.DaysLeft, Text: h.String()}
	if h.State != tufdir.Fresh {
		out.Warnings = append(out.Warnings, h.String())
	}
	for _, s := range n.ledger.Standards() {
		if p, ok := n.follower.View().Standard(s.Name()); ok && p.Extra.StatusOn(now) == standard.Retired {
			on := p.Extra.History[len(p.Extra.History)-1].On
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s was retired by its publisher on %s", s.Name(), on.Format(time.DateOnly)))
		}
	}
	for _, r := range n.follower.View().Refused() {
		out.Warnings = append(out.Warnings, "part of the directory is not believed: "+r.Error())
	}
	out.DiskBytes, err = n.ledger.DiskBytes()
	return out, err
}

// partners says, for every agreement in force and every other party, how far
// the exchange is. With withheld set it counts withheld fields, which reads
// every holding.
func (n *Node) partners(withheld bool) ([]PartnerReply, error) {
	n.mu.Lock()
	s, net := n.sync, n.net
	n.mu.Unlock()
	var connected []name.Council
	if net != nil {
		connected = net.Connected()
	}
	now := n.now()
	var out []PartnerReply
	err := n.ledger.View(func(v *ledger.View) error {
		for _, st := range n.book.Standing(now) {
			a, open := st.Agreement, st.InForce() || st.Phase == agreement.Suspended
			if a.From == n.cfg.Council {
				// Feeds that are over stay listed until the partner says that
				// everything is deleted.
				for _, f := range n.ledger.Feeds() {
					if f.Agreement != a.Name || f.Digest != st.Digest {
						continue
					}
					for _, c := range a.To {
						p, err := n.sendingTo(v, f, c, st, s, slices.Contains(connected, c))
						if err != nil {
							return err
						}
						if n.replicas.Is(c) {
							n.unconfirmed(&p)
						}
						if open && !st.InForce() {
							p.InStep, p.Suspended, p.Behind = false, true, st.Why
						}
						if open || p.Outstanding > 0 {
							out = append(out, p)
						}
					}
				}
			} else if open && (slices.Contains(a.To, n.cfg.Council) || n.asker.AsksFor(a) != "") {
				p, err := n.receivingFrom(v, a, s, slices.Contains(connected, a.From), withheld)
				if err != nil {
					return err
				}
				if !st.InForce() {
					p.InStep, p.Suspended, p.Behind = false, true, st.Why
				}
				out = append(out, p)
			} else if r := n.replicas.At(a.From); open && r != nil {
				for _, c := range a.To {
					out = append(out, n.outOfFootprint(r, s, st, c, slices.Contains(connected, c)))
				}
			}
		}
		return nil
	})
	for i := range out {
		if why := n.stopWords(out[i].Council); why != "" {
			out[i].InStep, out[i].Suspended, out[i].Behind = false, false, why
		}
	}
	return out, err
}

func (n *Node) sendingTo(v *ledger.View, f *ledger.Feed, c name.Council, st agreement.Status, s *peersync.Syncer, connected bool) (PartnerReply, error) {
	p, err := v.Partner(f, c)
	if err != nil {
		return PartnerReply{}, err
	}
	r := PartnerReply{
		Council: c, Agreement: f.Agreement, Direction: "to", Connected: connected,
		Offered: f.Records, Held: p.Held, Refused: p.Refused, LastAt: p.LastAck,
		BehindEntries: f.End - min(f.End, p.Cursor),
	}
	if !st.Agreement.Way().Copied {
		r.Mode, r.Behind, r.BehindEntries = string(st.Agreement.Mode), n.gone(c), 0
		if n.replicas.Is(c) {
			r.Behind = ""
		}
		if !f.Ready {
			r.Behind = matching(f)
		}
		r.InStep = r.Behind == ""
		r.Asked, err = v.QuestionsToday(f.Digest, c)
		return r, err
	}
	oldest := time.Time{}
	err = v.Outstanding(f, p, func(index uint64, _ name.Record) bool {
		r.Outstanding++
		if ev, _, err := v.Event(index); err == nil && oldest.IsZero() {
			oldest = time.Unix(ev.IssuedAt, 0)
		}
		return true
	})
	if err != nil {
		return r, err
	}
	if !oldest.IsZero() {
		r.OldestHours = n.now().Sub(oldest).Hours()
	}
	if st.Phase == agreement.Suspended {
		return r, nil // the caller says by whom
	}
	if !st.InForce() {
		if r.Outstanding, r.OldestHours = 0, 0; p.Held > 0 {
			r.Outstanding = p.Held
			r.Behind = fmt.Sprintf("the agreement is over (%s) and it has not said that it deleted %s", st.Why, plural(p.Held, "record"))
		}
		return r, nil
	}
	if n.replicas.Is(c) {
		n.intoFootprint(&r, s, f, p)
		return r, nil
	}
	switch {
	case !f.Ready:
		r.Behind = matching(f)
	case p.Cursor >= f.End:
		r.InStep = true
	case n.gone(c) != "":
		r.Behind = n.gone(c)
	case s == nil:
		r.Behind = "this node is not running"
	case !connected && p.LastAck.IsZero():
		r.Behind = "it has never been connected"
	case !connected:
		r.Behind = fmt.Sprintf("it is not connected; it last answered %s", p.LastAck.UTC().Format(time.DateTime+" MST"))
	case !s.Serving(c, f.Agreement):
		r.Behind = "it is connected and has not asked for this agreement's records"
	default:
		r.Behind = "records are on their way"
	}
	return r, nil
}

func (n *Node) receivingFrom(v *ledger.View, a *agreement.Agreement, s *peersync.Syncer, connected, withheld bool) (PartnerReply, error) {
	r := PartnerReply{Council: a.From, Agreement: a.Name, Direction: "from", Connected: connected}
	src, err := n.ledger.Source(a.From, a.Name)
	if err == nil {
		r.Offered, r.Held, r.Refused, r.LastAt, r.Verified = src.Offered, src.Records, src.Refused, src.LastAt, src.Records
		r.BehindEntries = uint64(max(0, src.Offered-src.Records-src.Refused))
		if src.Verified < src.Cursor {
			if r.Verified, err = v.HoldingsBefore(src, src.Verified); err != nil {
				return r, err
			}
		}
		if withheld {
			err := v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
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
	if r.Behind = n.gone(a.From); r.Behind != "" {
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
	l, begun := s.From(a.From, a.Name)
	if n.replicas.Is(a.From) {
		r.Connected = l.Connected
	}
	switch {
	case !begun:
		r.Behind = "the copy has not begun"
	case l.Problem != "":
		r.Behind = l.Problem
	case l.Live && l.Connected:
		r.InStep, r.Behind = true, ""
	case l.Connected:
		r.Behind = "records are on their way"
	default:
		r.Behind = "it is not connected"
	}
	return r, nil
}

// expiredWords says what has become of a directory that is not to be relied on.
func expiredWords(s tufdir.State) string {
	if s == tufdir.Empty {
		return "has not been fetched yet"
	}
	return "has expired"
}

// gone says in words why nothing can be exchanged with a council by the
// directory, and who has taken over; "" when something can.
func (n *Node) gone(c name.Council) string {
	now := n.now()
	if err := n.directory.Exchange(now); err != nil {
		return err.Error()
	}
	m, ok := n.directory.Member(c)
	switch {
	case !ok:
		return "it is not in the directory"
	case now.Before(m.ValidFrom):
		return fmt.Sprintf("its membership begins on %s", m.ValidFrom.Format(time.DateOnly))
	case m.ActiveAt(now):
		return ""
	case len(m.Successors) == 0:
		return fmt.Sprintf("its membership ended on %s", m.Ended.Format(time.DateOnly))
	}
	var who []string
	for _, s := range m.Successors {
		who = append(who, string(s))
	}
	return fmt.Sprintf("its membership ended on %s; %s has taken over: agree with it", m.Ended.Format(time.DateOnly), strings.Join(who, " and "))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
