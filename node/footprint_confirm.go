package node

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A footprint has no key to sign a receipt with. What stands for one is that its
// members cosigned checkpoints that cover what went in and what was withdrawn: a
// member cosigns only what it has applied, and applying a withdrawal erases the
// record from its replica. So the contributor waits until every council that is a
// member then has cosigned one, and keeps these checkpoints, with the proof that
// its entries are below them, in its own ledger.
//
// What waits is known from our ledger alone: the events KindContributed that no
// KindConfirmed covers.

// KindConfirmed is the event that keeps a footprint's receipt: checkpoints of its
// ledger, of which every member has cosigned one. Body: agreement, footprint,
// members (at that time); held and withdrawn (our log indexes) with held_at and
// withdrawn_at (where they stand in the footprint's ledger, ascending); through (our
// log index of the last KindContributed covered); checkpoints (objects of note,
// held_proof and withdrawn_proof: batch proofs, see package tlog, base64).
const KindConfirmed = "footprint-confirmed"

// maxConfirmed is how many entries one receipt covers, unless one page has more.
const maxConfirmed = 1000

// confirmEvery is how often members are asked whose cosignature is missing, and
// confirmLook how often what is known of them is looked at while something waits.
const (
	confirmEvery = 30 * time.Second
	confirmLook  = 500 * time.Millisecond
)

// maxRecent is more pages than are ever under way at one time.
const maxRecent = 32

// confirms holds what footprints have not confirmed yet, and the last receipts.
type confirms struct {
	mu  sync.Mutex // guards what follows
	all map[confirmKey]*confirming
}

type confirmKey struct {
	footprint name.Council
	agreement name.Agreement
}

type confirming struct {
	waiting   []contribution // in the order of our log
	through   uint64
	recent    []uint64 // the last KindContributed, at most maxRecent
	missing   []name.Council
	confirmed ConfirmedReply // of all receipts; Members, At and Entry of the last
}

// A contribution is what one KindContributed says, as far as it matters here.
type contribution struct {
	index     uint64 // of the event
	size      uint64 // of the footprint's ledger that covers it
	entries   int
	withdrawn int
	at        time.Time
}

// A ConfirmedReply says what all members of a footprint have confirmed.
type ConfirmedReply struct {
	Footprint name.Council   `json:"footprint"`
	Withdrawn int            `json:"withdrawn"` // withdrawals, over all receipts
	Held      int            `json:"held"`      // records taken, over all receipts; each version counts
	Members   []name.Council `json:"members"`   // in the last receipt
	At        time.Time      `json:"at"`        // of the last receipt
	Entry     uint64         `json:"entry"`     // of it in our log
}

// load reads what waits and what was confirmed.
func (c *confirms) load(n *Node) error {
	c.all = map[confirmKey]*confirming{}
	return n.ledger.View(func(v *ledger.View) error {
		for _, kind := range []string{KindConfirmed, KindContributed} {
			var failed error
			v.Events(kind, 0, func(i uint64) bool {
				var ev *record.Event
				if ev, _, failed = v.Event(i); failed == nil {
					c.take(i, ev)
				}
				return failed == nil
			})
			if failed != nil {
				return fmt.Errorf("read receipts of footprints: %w", failed)
			}
		}
		return nil
	})
}

// take takes in one event.
func (c *confirms) take(index uint64, ev *record.Event) {
	text := func(member string) string { s, _ := ev.Body[member].(string); return s }
	k := confirmKey{name.Council(text("footprint")), name.Agreement(text("agreement"))}
	held, withdrawn := entriesOf(ev.Body["held"]), entriesOf(ev.Body["withdrawn"])
	at := time.Unix(ev.IssuedAt, 0).UTC()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.all[k]
	if p == nil {
		p = &confirming{confirmed: ConfirmedReply{Footprint: k.footprint}}
		c.all[k] = p
	}
	switch ev.Kind {
	case KindConfirmed:
		if th := entriesOf([]any{ev.Body["through"]}); len(th) == 1 {
			p.through = max(p.through, th[0])
		}
		r := &p.confirmed
		r.Withdrawn, r.Held, r.At, r.Entry, r.Members = r.Withdrawn+len(withdrawn), r.Held+len(held), at, index, nil
		list, _ := ev.Body["members"].([]any)
		for _, m := range list {
			r.Members = append(r.Members, name.Council(fmt.Sprint(m)))
		}
		p.waiting = slices.DeleteFunc(p.waiting, func(w contribution) bool { return w.index <= p.through })
	case KindContributed:
		if ev.Body["outside"] == true {
			return // we hold no cosignatures of what others keep
		}
		if p.recent = append(p.recent, index); len(p.recent) > maxRecent {
			p.recent = slices.Delete(p.recent, 0, 1)
		}
		places := slices.Concat(entriesOf(ev.Body["at"]), entriesOf(ev.Body["withdrawn_at"]))
		if index > p.through && len(places) > 0 {
			p.waiting = append(p.waiting, contribution{index, slices.Max(places) + 1, len(places), len(withdrawn), at})
			slices.SortFunc(p.waiting, func(x, y contribution) int { return cmp.Compare(x.index, y.index) })
		}
	}
}

func entriesOf(v any) (out []uint64) {
	list, _ := v.([]any)
	for _, e := range list {
		if n, ok := e.(json.Number); ok {
			if i, err := n.Int64(); err == nil && i >= 0 {
				out = append(out, uint64(i))
			}
		}
	}
	return out
}

// of returns what is known of one agreement with a footprint: the withdrawals that
// wait, the oldest, who has not confirmed them, and what was confirmed.
func (c *confirms) of(fp name.Council, a name.Agreement) (waiting int, oldest time.Time, missing []name.Council, confirmed ConfirmedReply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.all[confirmKey{fp, a}]
	if p == nil {
		return
	}
	for _, w := range p.waiting {
		if waiting += w.withdrawn; w.withdrawn > 0 && oldest.IsZero() {
			oldest = w.at
		}
	}
	if waiting > 0 {
		missing = slices.Clone(p.missing)
	}
	return waiting, oldest, missing, p.confirmed
}

// keepConfirming waits for the members to confirm what we brought to a footprint,
// for as long as its replica is open here.
func (n *Node) keepConfirming(ctx context.Context, r *replica) {
	var asked time.Time
	for ctx.Err() == nil {
		ask := n.now().Sub(asked) >= confirmEvery
		waits, err := n.confirm(ctx, r, ask)
		if err != nil && ctx.Err() == nil {
			n.log.Info("a footprint's receipt", "footprint", r.name, "because", err.Error())
		}
		if ask && waits {
			asked = n.now()
		}
		if waits {
			pause(ctx, confirmLook)
		} else {
			asked = n.now() // what comes next is confirmed without being asked for, as a rule
			pause(ctx, listenMost, r.confirm)
		}
	}
}

// confirm writes the receipts that can be written, and reports whether anything
// waits still.
func (n *Node) confirm(ctx context.Context, r *replica, ask bool) (waits bool, err error) {
	n.confirms.mu.Lock()
	var keys []confirmKey
	for k, p := range n.confirms.all {
		if k.footprint == r.name && len(p.waiting) > 0 {
			keys = append(keys, k)
		}
	}
	n.confirms.mu.Unlock()
	for _, k := range keys {
		for more := true; more && err == nil; {
			more, err = n.confirmOne(ctx, r, k, ask)
			ask = ask && more
		}
		waits = waits || n.confirms.waits(k)
	}
	return waits, err
}

func (c *confirms) waits(k confirmKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all[k].waiting) > 0
}

// confirmOne writes the next receipt of an agreement, if every member has cosigned
// what it takes. It reports whether there may be another.
func (n *Node) confirmOne(ctx context.Context, r *replica, k confirmKey, ask bool) (more bool, err error) {
	n.confirms.mu.Lock()
	p := n.confirms.all[k]
	var next []contribution
	total, size := 0, uint64(0)
	for _, w := range p.waiting {
		if total += w.entries; total > maxConfirmed && len(next) > 0 {
			break
		}
		next, size = append(next, w), max(size, w.size)
	}
	n.confirms.mu.Unlock()
	if len(next) == 0 {
		return false, nil
	}
	covers, missing, err := r.f.Covers(ctx, size, ask)
	if err == nil && len(missing) > 0 && len(next) > 1 {
		// Under a steady stream of records a member is always a little behind:
		// then what came first.
		next, size = next[:1], next[0].size
		covers, missing, err = r.f.Covers(ctx, size, false)
	}
	n.confirms.mu.Lock()
	p.missing = missing
	n.confirms.mu.Unlock()
	if err != nil || len(missing) > 0 {
		return false, err
	}
	var held, withdrawn []pair
	err = n.ledger.View(func(v *ledger.View) error {
		for _, w := range next {
			ev, _, err := v.Event(w.index)
			if err != nil {
				return err
			}
			held = append(held, pairs2(ev.Body, "held", "at")...)
			withdrawn = append(withdrawn, pairs2(ev.Body, "withdrawn", "withdrawn_at")...)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if held, withdrawn, err = n.where(r, held, withdrawn); err != nil {
		return false, err
	}
	members := []any{}
	for _, c := range r.f.Councils() {
		members = append(members, string(c))
	}
	notes := []any{}
	for _, c := range covers {
		one := map[string]any{"note": string(c.Note)}
		for member, ps := range map[string][]pair{"held_proof": held, "withdrawn_proof": withdrawn} {
			if len(ps) == 0 {
				continue
			}
			var at []uint64
			for _, p := range ps {
				at = append(at, p.at)
			}
			proof, err := r.f.ProveEntries(at, c.Size)
			if err != nil {
				return false, err
			}
			one[member] = base64.StdEncoding.EncodeToString(tlog.JoinHashes(proof))
		}
		notes = append(notes, one)
	}
	body := map[string]any{
		"agreement": string(k.agreement), "footprint": string(k.footprint), "members": members,
		"through": number(next[len(next)-1].index), "checkpoints": notes,
	}
	body["held"], body["held_at"] = apart(held)
	body["withdrawn"], body["withdrawn_at"] = apart(withdrawn)
	index, _, err := n.ledger.AppendNotice(ctx, KindConfirmed, body)
	if err != nil {
		return false, err
	}
	n.confirms.take(index, &record.Event{Council: n.cfg.Council, Kind: KindConfirmed, IssuedAt: n.now().Unix(), Body: body})
	return true, nil
}

// where looks whether entries stand where they stood in a footprint's ledger, and
// leaves out what does not stand there any more: when a majority was lost for good,
// its end may have gone with it. As nothing else ever changes a place, the last
// one tells of all.
func (n *Node) where(r *replica, held, withdrawn []pair) (_, _ []pair, err error) {
	held, withdrawn = inOrder(held), inOrder(withdrawn)
	there := func(v *ledger.View, p *pair) (bool, error) {
		entry, _, err := v.Entry(p.own)
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrDamaged) {
			return false, nil // it cannot be shown any more
		}
		if err != nil {
			return false, err
		}
		at, ok, err := r.f.Index(entry)
		was := p.at
		p.at = at
		return ok && at == was, err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		last := func(ps []pair) (bool, error) {
			if len(ps) == 0 {
				return true, nil
			}
			return there(v, &pair{ps[len(ps)-1].own, ps[len(ps)-1].at})
		}
		a, err := last(held)
		b, berr := last(withdrawn)
		if err = errors.Join(err, berr); err != nil || a && b {
			return err
		}
		for _, ps := range []*[]pair{&held, &withdrawn} {
			var left []pair
			for _, p := range *ps {
				ok, err := there(v, &p)
				if err != nil {
					return err
				}
				if ok {
					left = append(left, p)
				}
			}
			if lost := len(*ps) - len(left); lost > 0 {
				n.log.Warn("no receipt for entries that a footprint has lost, or that cannot be read here", "footprint", r.name, "entries", lost)
			}
			*ps = left
		}
		return nil
	})
	return held, withdrawn, err
}

// A pair is an entry's place in our log and in the footprint's.
type pair struct{ own, at uint64 }

func pairs2(body map[string]any, own, at string) (out []pair) {
	a, b := entriesOf(body[own]), entriesOf(body[at])
	for i := range min(len(a), len(b)) {
		out = append(out, pair{a[i], b[i]})
	}
	return out
}

// inOrder sorts by place in the footprint's log, each place once.
func inOrder(ps []pair) []pair {
	slices.SortFunc(ps, func(x, y pair) int { return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.own, y.own)) })
	return slices.CompactFunc(ps, func(x, y pair) bool { return x.at == y.at })
}

func apart(ps []pair) (own, at []any) {
	own, at = []any{}, []any{}
	for _, p := range ps {
		own, at = append(own, number(p.own)), append(at, number(p.at))
	}
	return own, at
}

func number(i uint64) json.Number { return json.Number(fmt.Sprint(i)) }

// recall notes the withdrawals that reached a footprint just before this node
// stopped, and that it had no time to note: those logged among or after the last
// KindContributed, several pages being under way at one time.
func (n *Node) recall(ctx context.Context, r *replica) error {
	type missed struct {
		version any
		pairs   []pair
	}
	found := map[name.Agreement]*missed{}
	since := map[name.Agreement]uint64{}
	var recent []uint64
	n.confirms.mu.Lock()
	for k, p := range n.confirms.all {
		if k.footprint == r.name && len(p.recent) > 0 {
			since[k.agreement] = p.recent[0]
			recent = append(recent, p.recent...)
		}
	}
	n.confirms.mu.Unlock()
	for _, f := range n.ledger.Feeds() {
		if _, ok := since[f.Agreement]; !ok && f.Agreement != "" && slices.Contains(f.To, r.name) {
			since[f.Agreement] = 0
		}
	}
	if len(since) == 0 {
		return nil
	}
	err := n.ledger.View(func(v *ledger.View) error {
		noted := map[uint64]bool{}
		for _, i := range recent {
			ev, _, err := v.Event(i)
			if err != nil {
				return err
			}
			for _, own := range entriesOf(ev.Body["withdrawn"]) {
				noted[own] = true
			}
		}
		var failed error
		v.Events(ledger.KindWithdrawal, slices.Min(slices.Collect(maps.Values(since))), func(i uint64) bool {
			ev, jws, err := v.Event(i)
			if err != nil {
				failed = err
				return false
			}
			a, _ := ledger.WithdrawalOf(ev)
			if from, ok := since[a]; !ok || i < from || noted[i] || ev.Body["reason"] != WithdrawnFields && ev.Body["reason"] != WithdrawnOver {
				return true // those of the feed are brought, and noted, again
			}
			t, _, err := record.ParseEvent(jws)
			if err == nil {
				var at uint64
				var there bool
				if at, there, err = r.f.Index(t.Entry()); err == nil && there {
					if found[a] == nil {
						found[a] = &missed{version: ev.Body["version"]}
					}
					found[a].pairs = append(found[a].pairs, pair{i, at})
				}
			}
			failed = err
			return failed == nil
		})
		return failed
	})
	for a, m := range found {
		if err == nil {
			err = n.noteContributed(ctx, &r.sink, a, map[string]any{"version": m.version}, nil, m.pairs, nil)
		}
	}
	return err
}

// noteContributed logs what a footprint took, and waits for its confirmation.
func (n *Node) noteContributed(ctx context.Context, r *sink, a name.Agreement, body map[string]any, held, withdrawn []pair, refused []any) error {
	body["agreement"], body["footprint"], body["refused"] = string(a), string(r.name), refused
	if refused == nil {
		body["refused"] = []any{}
	}
	body["held"], body["at"] = apart(held)
	body["withdrawn"], body["withdrawn_at"] = apart(withdrawn)
	if r.own == nil {
		body["outside"] = true
	}
	index, _, err := n.ledger.AppendNotice(ctx, KindContributed, body)
	if err != nil || r.own == nil {
		return err
	}
	n.confirms.take(index, &record.Event{Council: n.cfg.Council, Kind: KindContributed, IssuedAt: n.now().Unix(), Body: body})
	select {
	case r.confirm <- struct{}{}:
	default:
	}
	return nil
}

// became sorts what a footprint made of what it was offered: the records it holds
// and the withdrawals it took, and what it refused.
func (n *Node) became(r *sink, a name.Agreement, offers []offering, got footprint.Receipt) (held, withdrawn []pair, refused []any) {
	for i, o := range got.Outcomes {
		of := offers[i]
		switch {
		case o.Code == footprint.Refused && of.item:
			refused = append(refused, map[string]any{"entry": number(of.index), "rule": o.Rule})
			n.log.Warn("a footprint refused a record", "footprint", r.name, "agreement", a, "entry", of.index, "rule", o.Rule)
		case o.Code == footprint.Refused:
		case of.put:
			held = append(held, pair{of.index, o.Entry})
		default:
			withdrawn = append(withdrawn, pair{of.said, o.Entry})
		}
	}
	return held, withdrawn, refused
}

// confirmedWords says of withdrawals from a footprint who has not confirmed them.
func (n *Node) confirmedWords(out *PartnerReply) {
	waiting, oldest, missing, _ := n.confirms.of(out.Council, out.Agreement)
	if waiting == 0 || !n.keepsFootprint(out.Council) {
		return // after discarding it nobody asks any more
	}
	out.Outstanding += waiting
	out.OldestHours = max(out.OldestHours, n.now().Sub(oldest).Hours())
	out.Unconfirmed = missing
	if !out.InStep && out.Behind == "" {
		out.Behind = "the agreement is over, and not every member has confirmed what was withdrawn"
	}
}
