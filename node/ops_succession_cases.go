package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/byhand"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/succession"
	"github.com/stile-exchange/stile/node/name"
)

// What becomes of handovers when this council ends. A record that it took over is its own from
// then on, so that the plan shares it out; and who takes the records of a case carries the case on.

// carriedOn returns the handovers that somebody carries on when we end, and who takes their
// records by the plan.
func (n *Node) carriedOn(share succession.Share) (out []event.HandoverSucceeded, err error) {
	cases, gone, err := n.byhand.Ending()
	if err != nil {
		return nil, err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		for _, c := range cases {
			h := event.HandoverSucceeded{CarriedCase: c.CarriedCase}
			here := false
			for _, it := range c.Items {
				id, to, err := n.takes(v, c, it, share)
				if err != nil {
					return err
				}
				if at, ok := gone[id]; ok && c.State == event.CarriedClosed && at.After(c.Began) {
					continue // we have handed it on since, and are not responsible any more
				}
				if here = here || id != ""; to == "" {
					continue
				}
				i := slices.IndexFunc(h.To, func(x event.CarriedTo) bool { return x.Council == to })
				if i < 0 {
					i, h.To = len(h.To), append(h.To, event.CarriedTo{Council: to})
				}
				if !slices.Contains(h.To[i].Records, id) {
					h.To[i].Records = append(h.To[i].Records, id)
				}
			}
			if c.State == event.CarriedClosed && !here {
				continue // nothing is left of it
			}
			slices.SortFunc(h.To, func(a, b event.CarriedTo) int { return strings.Compare(string(a.Council), string(b.Council)) })
			out = append(out, h)
		}
		return nil
	})
	return out, err
}

// takes returns the record of ours that an item of a case is, or will be when we end, "" where
// nothing of it is here; and who takes it, "" where nothing decides.
func (n *Node) takes(v *ledger.View, c byhand.Ending, it event.Item, share succession.Share) (id name.Record, to name.Council, err error) {
	none := func(err error) (name.Record, name.Council, error) {
		if errors.Is(err, ledger.ErrStorage) {
			return "", "", err
		}
		return "", "", nil
	}
	id = it.Record
	if !c.Ours {
		if c.State == event.CarriedOffered {
			return none(nil) // nothing of it is here
		}
		h, err := n.takenIn(v, c.Partner, it)
		if err != nil {
			return none(err)
		}
		std, key := n.keyed(h)
		if std == nil {
			return it.Record, "", nil
		}
		id = n.keys.RecordID(std.Name().Line(), key)
		if _, err := v.Current(id); errors.Is(err, ledger.ErrNotFound) {
			return id, share(std.Name().Name, h.View.Body), nil
		}
	}
	ver, err := v.Current(id)
	if err != nil || ver.Claims.Op != record.Put || ver.Body == nil {
		return none(err)
	}
	return id, share(ver.Claims.Standard.Name, ver.Body), nil
}

// takenIn returns what we hold of an item that a partner handed over.
func (n *Node) takenIn(v *ledger.View, from name.Council, it event.Item) (*ledger.Holding, error) {
	src, err := n.ledger.Source(from, it.Agreement)
	if err != nil {
		return nil, err
	}
	return v.Holding(src, it.Record)
}

// keyed returns the standard of what is held, and the key that it shows; nil where it shows none.
func (n *Node) keyed(h *ledger.Holding) (*standard.Standard, string) {
	std, err := n.ledger.Standard(h.View.Standard)
	if err != nil || h.View.Body == nil {
		return nil, ""
	}
	key, err := std.Key(h.View.Body)
	if err != nil {
		return nil, ""
	}
	return std, key
}

// maxOwned is how many records are put at once.
const maxOwned = 200

// ownTaken puts the records that we took over in handovers, and that are not among our own by
// their key, among these, or only says how many; left says in words of which that cannot be.
func (n *Node) ownTaken(ctx context.Context, share succession.Share, only bool) (put int, left []string, err error) {
	for _, src := range n.ledger.Sources() {
		if src.Agreement == "" || src.Ended || src.Records == 0 || !n.moves(src.Agreement) {
			continue
		}
		t := &owning{n: n, only: only, share: share}
		err := n.ledger.View(func(v *ledger.View) error { return t.all(ctx, v, src) })
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil {
			return 0, nil, err
		}
		put += t.put
		if t.left > 0 {
			left = append(left, fmt.Sprintf("%d of the records that we took over from %s under %s cannot be put among our own records, and go to no successor: what came of them does not pass our gate, shows no key, or is nobody's by the plan. Put them in as ours before (stile record put), or have %s offer them to whom they belong", t.left, src.From, src.Agreement, src.From))
		}
	}
	return put, left, nil
}

// An owning is records that were taken over on their way among our own.
type owning struct {
	n         *Node
	only      bool
	share     succession.Share
	put, left int

	of      name.Standard
	waiting []Offered
}

func (t *owning) all(ctx context.Context, v *ledger.View, src *ledger.Source) (err error) {
	var failed error
	err = v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
		if errors.Is(err, ledger.ErrStorage) {
			failed = err
			return false
		}
		if err != nil { // damaged, which status says
			t.left++
			return true
		}
		std, key := t.n.keyed(h)
		if std == nil {
			t.left++
			return true
		}
		switch ver, err := v.Current(t.n.keys.RecordID(std.Name().Line(), key)); {
		case errors.Is(err, ledger.ErrStorage):
			failed = err
			return false
		case err == nil && ver.Claims.Op == record.Put:
			return true
		}
		if t.share(std.Name().Name, h.View.Body) == "" {
			t.left++
			return true
		}
		if t.of != std.Name() || len(t.waiting) == maxOwned {
			if failed = t.flush(ctx); failed != nil {
				return false
			}
			t.of = std.Name()
		}
		t.waiting = append(t.waiting, Offered{Record: strictjson.Canonical(h.View.Body)})
		return true
	})
	return errors.Join(err, failed)
}

func (t *owning) flush(ctx context.Context) error {
	if len(t.waiting) == 0 {
		return nil
	}
	r, err := t.n.gate.Put(ctx, PutRequest{Standard: t.of.String(), Records: t.waiting, DryRun: t.only})
	if err != nil {
		return err
	}
	for _, x := range r.Results {
		if len(x.Problems) > 0 || x.Outcome == "" || x.Outcome == NotJudged {
			t.left++
		} else {
			t.put++
		}
	}
	t.waiting = nil
	return nil
}
