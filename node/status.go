package node

import (
	"context"
	"slices"

	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
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
	out.Halt, out.Damage = n.halted(), n.damaged()
	out.Published = n.logPublished()
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
	passed := n.quota.Refused()
	for _, r := range passed[:min(len(passed), maxRefusalsShown)] {
		out.Shares = append(out.Shares, SharePassed{Council: r.Council, Kind: string(r.Kind), Count: r.Count, Last: r.Last, Why: r.Why})
	}
	if out.Partners, err = n.explain.Partners(false); err != nil {
		return nil, err
	}
	now := n.now()
	for _, st := range n.book.Current(now) {
		if !st.InForce() {
			out.Agreements = append(out.Agreements, n.reply(st))
		}
	}
	h := n.follower.View().Health(now)
	out.Directory = DirectoryHealth{State: string(h.State), Expires: h.Expires, Days: h.DaysLeft, Text: h.String()}
	out.Conditions = n.conditions.Dated(condition.Find(n.facts(out.Partners, condition.ClockOf(n.cfg)), n.cfg.Accepted))
	out.Backup = n.lastBackup()
	out.DiskBytes, err = n.ledger.DiskBytes()
	return out, err
}
