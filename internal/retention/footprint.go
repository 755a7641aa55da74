package retention

import (
	"context"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/name"
)

// replica says, as one member of a footprint, what it may keep no longer under the agreements by which
// records come to it. The footprint erases what a majority of its members says.
func (k *Keeper) replica(ctx context.Context, f *footprint.Footprint, now time.Time) error {
	if f.Out() {
		return nil
	}
	flows, err := f.Flows()
	if err != nil {
		return err
	}
	for _, flow := range flows {
		doc := k.into(f.Name(), flow.Agreement, now)
		if doc == nil || doc.Term().Kept == "" {
			continue
		}
		if err := k.flow(ctx, f, flow, doc, now); err != nil {
			return err
		}
	}
	return nil
}

// into returns the text by which records of an agreement are in a footprint: the one that stands, or else
// the newest that was for it.
func (k *Keeper) into(fp name.Council, a name.Agreement, now time.Time) (of *agreement.Agreement) {
	for _, st := range k.o.Agreements.Texts(a, now) {
		if !slices.Contains(st.Agreement.To, fp) {
			continue
		}
		if st.InForce() || st.Phase == agreement.Suspended {
			return st.Agreement
		}
		if of == nil && len(st.Awaiting) == 0 {
			of = st.Agreement
		}
	}
	return of
}

func (k *Keeper) flow(ctx context.Context, f *footprint.Footprint, flow footprint.Flow, doc *agreement.Agreement, now time.Time) error {
	term := doc.Term()
	key := string(f.Name()) + " " + string(flow.From) + " " + string(flow.Agreement) + " " + doc.Digest().String()
	k.mu.Lock()
	next := k.next[key]
	k.mu.Unlock()
	if term.Field == "" && now.Before(next) {
		return nil // nothing that came since is over sooner than what was there
	}
	var over []uint64
	least := term.Over(time.Time{}, now)
	err := f.TakenUnder(flow.From, flow.Agreement, func(t footprint.Taken) bool {
		switch end := term.Over(term.Counted(t.Body), t.Received); {
		case end.After(now):
			if end.Before(least) {
				least = end
			}
		case !t.Said:
			over = append(over, t.Index)
		}
		return len(over) < batch
	})
	if err != nil {
		return err
	}
	if len(over) == 0 {
		k.mu.Lock()
		k.next[key] = least
		k.mu.Unlock()
		return nil
	}
	slices.Sort(over)
	k.o.Log.Info("the time is over for which a footprint may keep records; saying so as a member", "footprint", f.Name(), "agreement", flow.Agreement, "records", len(over))
	return f.Expire(ctx, flow.Agreement, doc.Version, over)
}
