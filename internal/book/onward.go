package book

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A Chain is under which agreements an agreement of ours passes on what we hold, with what
// proves it.
type Chain struct {
	Agreements agreement.Chain // the first first; the agreement itself last
	Texts      []string        // what the parties of the earlier ones signed, compact JWS
	Roles      map[name.Council]string
	// Why says in words why nothing may be passed on; "" when it may. Waits is set with it
	// where what was passed on stays: an earlier agreement is suspended for now, or what we said
	// of it ourselves is being logged.
	Why   string
	Waits bool
	// Logging is set with Waits where it is the latter, so that a moment later it is over.
	Logging bool
}

// sum names what is proved.
func (c *Chain) sum() string {
	h := sha256.New()
	for _, t := range c.Texts {
		h.Write([]byte(t + "\n"))
	}
	for _, c := range slices.Sorted(maps.Keys(c.Roles)) {
		h.Write([]byte(string(c) + " "))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Chain finds under which agreements one of ours, whose origin is another, passes on at an
// instant.
func (b *Book) Chain(doc *agreement.Agreement, now time.Time) (*Chain, error) {
	c := &Chain{Agreements: agreement.Chain{doc}, Roles: map[name.Council]string{}}
	for _, to := range doc.To {
		c.Roles[to] = b.o.Role(to)
	}
	st, ok := b.Status(doc.Origin, now)
	switch {
	case !ok:
		c.Why = fmt.Sprintf("%s is not known here", doc.Origin)
		return c, nil
	case !slices.Contains(st.Agreement.To, b.o.Self):
		c.Why = fmt.Sprintf("we receive nothing under %s", doc.Origin)
		return c, nil
	case b.o.Footprints.Is(st.Agreement.From):
		c.Why = fmt.Sprintf("what comes from a footprint, as under %s, is not passed on", doc.Origin)
		return c, nil
	case !st.InForce():
		c.Why, c.Waits = fmt.Sprintf("%s is not in force: %s", doc.Origin, st.Why), st.Phase == agreement.Suspended
		return c, nil
	}
	origin := st.Agreement
	var earlier []string
	if origin.Origin != "" {
		src, err := b.o.Ledger.Source(origin.From, origin.Name)
		if err == nil && src.Stopped {
			c.Why, c.Waits = fmt.Sprintf("%s gives nothing new under %s: %s, or an agreement before it, is not in force", origin.From, origin.Name, origin.Origin), true
			return c, nil
		}
		if earlier, err = b.shown(st.Agreement); err != nil {
			return nil, err
		}
	}
	own, err := b.signed(st.Agreement)
	if err != nil {
		return nil, err
	}
	c.Texts = append(earlier, own...)
	// Read from what will be shown, so that who receives comes to the same.
	state := agreement.NewState()
	for _, jws := range c.Texts {
		_, ev, err := record.ParseEvent([]byte(jws))
		if err == nil {
			err = state.Apply(ev.Council, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0))
		}
		if err != nil {
			c.Why = "what its parties signed of an earlier agreement cannot be put together"
			return c, nil
		}
	}
	for a := doc; a.Origin != "" && len(c.Agreements) <= agreement.MaxSteps+1; {
		st, ok := state.Status(a.Origin, now)
		if !ok || !st.InForce() {
			c.Why = fmt.Sprintf("%s is not shown to be in force", a.Origin)
			if a == doc {
				// We know that it is: what we said ourselves is taken in before it is logged,
				// and this was gathered in between.
				c.Waits, c.Logging = true, true
				b.mu.Lock()
				delete(b.proofs, origin.Ref())
				b.mu.Unlock()
			}
			return c, nil
		}
		a = st.Agreement
		c.Agreements = append(agreement.Chain{a}, c.Agreements...)
	}
	c.Why = c.Agreements.Judge(doc.To, b.o.Role)
	return c, nil
}

// signed returns what was signed about a text of an agreement, that says where it stands: of
// each council in the order of its log, the sender's first.
func (b *Book) signed(doc *agreement.Agreement) (out []string, err error) {
	ref := doc.Ref()
	b.mu.Lock()
	heard, known := b.heard, b.proofs[ref]
	b.mu.Unlock()
	if known.texts != nil && known.heard == heard {
		return known.texts, nil
	}
	by := map[name.Council][]string{}
	take := func(jws []byte) error {
		_, ev, err := record.ParseEvent(jws)
		if err != nil {
			return err
		}
		if ev.Kind == event.KindAgreementCounter || !slices.Contains(agreement.Kinds(), ev.Kind) || !doc.Party(ev.Council) {
			return nil
		}
		if r, ok := agreement.RefOf(ev.Kind, ev.Body); ok && r == ref {
			by[ev.Council] = append(by[ev.Council], string(jws))
		}
		return nil
	}
	err = b.o.Ledger.View(func(v *ledger.View) error {
		var own []uint64
		for _, k := range agreement.Kinds() {
			v.Events(k, 0, func(i uint64) bool { own = append(own, i); return true })
		}
		slices.Sort(own)
		for _, i := range own {
			_, jws, err := v.Event(i)
			if err == nil {
				err = take(jws)
			}
			if err != nil {
				return err
			}
		}
		for _, src := range b.o.Ledger.Sources() {
			if src.Agreement != "" || !doc.Party(src.From) {
				continue
			}
			if err := v.ReceivedEvents(src, func(_ uint64, jws []byte) error { return take(jws) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range doc.Parties() {
		out = append(out, by[c]...)
	}
	b.mu.Lock()
	b.proofs[ref] = provedAt{heard, out}
	b.mu.Unlock()
	return out, nil
}

// A provedAt is what was signed about a text, and how many events were taken in then: it is
// gathered anew only when there are more.
type provedAt struct {
	heard int
	texts []string
}

// shown returns what the sender of an agreement whose origin is another showed last of those
// before it.
func (b *Book) shown(doc *agreement.Agreement) (texts []string, err error) {
	src, err := b.o.Ledger.Source(doc.From, doc.Name)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = b.o.Ledger.View(func(v *ledger.View) error {
		return v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
			_, ev, err := record.ParseEvent(jws)
			if err != nil || ev.Kind != event.KindOnward {
				return err
			}
			if o, err := event.ParseOnward(ev.Body); err == nil && o.Agreement == doc.Name {
				texts = o.Texts
			}
			return nil
		})
	})
	return texts, err
}

// pass sees to it that a feed of ours passes on what it may and nothing else.
func (b *Book) pass(ctx context.Context, f *ledger.Feed, now time.Time) error {
	passes, is := f.Onward()
	if !is || f.Closed() {
		return nil
	}
	st, ok := b.Status(f.Agreement, now)
	if !ok || st.Digest != f.Digest || !st.InForce() {
		return nil // what has to be taken back when it is over is by that
	}
	c, err := b.Chain(st.Agreement, now)
	switch {
	case err != nil:
		return err
	case c.Why == "":
		return b.o.Ledger.PassOn(ctx, f, c.Agreements, c.Texts, c.sum(), c.Roles)
	case c.Waits && (f.Ready || c.Logging):
		return nil // nothing travels meanwhile, see package peersync
	case passes != nil || f.Records > 0:
		b.o.Log.Info("what was passed on is taken back", "agreement", f.Agreement, "because", c.Why)
	case f.Ready:
		return nil
	}
	// A new text under which nothing may go on takes the place of the one before all the same,
	// so that what went on under that comes back.
	return b.o.Ledger.StopPassing(ctx, f)
}

// PassesNothing says in words why nothing is passed on under an agreement of ours whose origin
// is another; "" where it is, or where the agreement is not such a one.
func (b *Book) PassesNothing(doc *agreement.Agreement, now time.Time) (string, error) {
	if doc.Origin == "" || doc.From != b.o.Self {
		return "", nil
	}
	c, err := b.Chain(doc, now)
	if err != nil {
		return "", err
	}
	return c.Why, nil
}
