package node

import (
	"context"
	"fmt"
	"github.com/stile-exchange/stile/internal/agreement"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/standard"
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
	if out.Partners, err = n.explain.Partners(false); err != nil {
		return nil, err
	}
	now := n.now()
	for _, st := range n.book.Current(now) {
		if !st.InForce() {
			out.Agreements = append(out.Agreements, n.reply(st))
			continue
		}
		out.Warnings = append(out.Warnings, dates(st.Agreement, now)...)
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

// soon is how long before a date an officer is told of it.
const soon = 30 * 24 * time.Hour

// dates says which dates of an agreement in force are near or past.
func dates(a *agreement.Agreement, now time.Time) (out []string) {
	if a.Review != "" && now.After(a.Review.Time()) {
		out = append(out, fmt.Sprintf("agreement %s was due for review on %s", a.Name, a.Review))
	} else if a.Review != "" && a.Review.Time().Sub(now) < soon {
		out = append(out, fmt.Sprintf("agreement %s is due for review on %s, %s", a.Name, a.Review, inDays(a.Review.Time().Sub(now))))
	}
	if a.Ends != "" && a.Ends.Time().Sub(now) < soon {
		out = append(out, fmt.Sprintf("agreement %s ends on %s, %s: what was shared under it is then deleted", a.Name, a.Ends, inDays(a.Ends.Time().Sub(now))))
	}
	return out
}

// inDays says how far away an instant is, in whole days begun.
func inDays(d time.Duration) string {
	if n := int(d.Hours()/24) + 1; n > 1 {
		return fmt.Sprintf("in %d days", n)
	}
	return "tomorrow or sooner"
}
