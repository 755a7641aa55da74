package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A council that has its records in one major of a standard, and a partner that
// wants them in the next, are helped by the mapping that the publisher ships
// with the next: for each live record of the older major the node keeps one of
// the newer. What is made is offered at the gate and written like any other
// record, with classes, agreements and withholding of its own.
//
// The maker follows the node's own log from a durable cursor. It may do a piece
// of work twice, after a crash, and then changes nothing, since an offer that
// says what is there makes no version.

// A maker makes records by mappings.
type maker struct {
	n *Node

	mu      sync.Mutex // held while a page is worked off; guards what follows
	at      map[name.StandardLine]place
	allowed map[[2]name.Standard]string // why records of the one may not be mapped to the other; "" when they may
}

// A place is how far a mapping has been followed, which runs ahead of the
// cursor on disk while nothing is found to do.
type place struct {
	standard name.Standard
	cursor   uint64
}

// madeReference is what a made record that is held back goes by, before the id
// of the record that it would be made from.
const madeReference = "made from "

// retryMaking is how long the maker waits when it could not do its work.
const retryMaking = 30 * time.Second

// keep makes what there is to make until ctx ends.
func (k *maker) keep(ctx context.Context) {
	for ctx.Err() == nil {
		changed := k.n.ledger.Changed()
		more, failed := false, false
		for _, m := range k.n.ledger.Mapped() {
			r, err := k.step(ctx, m.Line())
			if err != nil && ctx.Err() == nil {
				k.n.log.Error("make records by a mapping", "standard", m.Standard, "error", err.Error())
				failed = true
			}
			more = more || err == nil && !r.Done
		}
		if more {
			continue
		}
		if failed {
			changed = nil // what failed would fail again at once
		}
		t := time.NewTimer(retryMaking)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// step does one page of the work there is for a line.
func (k *maker) step(ctx context.Context, line name.StandardLine) (*ServeReply, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.n.ledger.Mapped()
	i := slices.IndexFunc(all, func(m ledger.Mapped) bool { return m.Line() == line })
	if i < 0 {
		return &ServeReply{Done: true}, nil
	}
	m := all[i]
	out := &ServeReply{Standard: m.Standard, From: m.Source()}
	if m.Ending {
		return out, k.unmake(ctx, m, out)
	}
	return out, k.follow(ctx, m, out)
}

// follow makes records of what changed since the cursor.
func (k *maker) follow(ctx context.Context, m ledger.Mapped, out *ServeReply) error {
	to, err := k.n.ledger.Standard(m.Standard)
	if err != nil {
		return err
	}
	mapping, ok := to.Mapping(m.From)
	if !ok { // it was there when it began
		return fmt.Errorf("%s ships no mapping from major %d", m.Standard, m.From)
	}
	from := m.Cursor
	if p, ok := k.at[m.Line()]; ok && p.standard == m.Standard {
		from = max(from, p.cursor)
	}
	var changes []ledger.RecordChange
	var next uint64
	err = k.n.ledger.View(func(v *ledger.View) (err error) {
		cp, _ := v.Checkpoint()
		out.Size = cp.Size
		changes, next, err = v.ChangesOf(m.Source(), m.Line(), from)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Version == nil {
			continue
		}
		if err := k.allow(c.Version.Standard, to); err != nil {
			return err
		}
	}

	made := k.makeAll(ctx, to, mapping, changes)
	if err := ctx.Err(); err != nil {
		return err
	}
	var offers []*ledger.Offer
	for _, p := range made {
		if p.old != nil {
			offers = append(offers, p.old)
		}
		if p.offer != nil {
			offers = append(offers, p.offer)
		}
	}
	if len(offers) > 0 {
		if err := k.n.ledger.Write(ctx, offers...); err != nil {
			return err
		}
	}
	var held []ledger.Held
	var taken []string
	for i := range made {
		p := &made[i]
		ref := madeReference + string(changes[i].Record)
		if err := k.settle(p, out); err != nil {
			return err
		}
		if len(p.problems) == 0 {
			taken = append(taken, ref)
			continue
		}
		out.Refused++
		h := ledger.Held{Standard: m.Standard, Reference: ref, At: k.n.now().Unix(), Problems: p.problems}
		if len(p.raw) <= k.n.cfg.Limits.RecordBytes {
			h.Offered = p.raw
		}
		held = append(held, h)
	}
	if err := k.n.ledger.Hold(ctx, m.Standard, held, taken); err != nil {
		return err
	}
	out.Cursor, out.Done = next, next >= out.Size
	if len(changes) > 0 || next > m.Cursor+cursorEvery {
		// Where nothing was to do the place is kept in memory alone: to write it
		// down is an entry's worth of disk, and wakes this maker again.
		if err := k.n.ledger.Followed(ctx, m, next); err != nil {
			return err
		}
	}
	k.at[m.Line()] = place{m.Standard, next}
	return nil
}

// cursorEvery is how many entries may be looked at anew after a restart.
const cursorEvery = 50_000

// A making is what one change of a record leads to.
type making struct {
	old      *ledger.Offer // deletes what was made before, where that is another record
	offer    *ledger.Offer
	raw      []byte
	problems []standard.Problem
}

// makeAll maps and judges the changed records on all cores.
func (k *maker) makeAll(ctx context.Context, to *standard.Standard, mapping *standard.Mapping, changes []ledger.RecordChange) []making {
	out := make([]making, len(changes))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(k.n.cfg.Limits.Workers(), max(1, len(changes)/16)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(changes) || ctx.Err() != nil {
					return
				}
				out[i] = k.make(to, mapping, changes[i])
			}
		})
	}
	wg.Wait()
	return out
}

func (k *maker) make(to *standard.Standard, mapping *standard.Mapping, c ledger.RecordChange) (p making) {
	if c.Err != nil {
		p.problems = []standard.Problem{{Rule: "damaged", Detail: c.Err.Error(), Fix: "restore the record it is made from, or offer that again"}}
		return p
	}
	drop := func() *ledger.Offer { return k.n.ledger.OfferDelete(c.Made).MadeFrom(c.Record) }
	if c.Version == nil {
		if c.Made != "" {
			p.offer = drop()
		}
		return p
	}
	if why := k.allowed[[2]name.Standard{c.Version.Standard.Name(), to.Name()}]; why != "" {
		p.problems = []standard.Problem{{Rule: standard.RuleMappingClass, Detail: why, Fix: "ask the standard's publisher to mend the mapping"}}
		return p
	}
	v, err := mapping.Apply(c.Version.Body)
	if err != nil {
		var fault *standard.Problem
		if !errors.As(err, &fault) {
			fault = &standard.Problem{Rule: "mapping", Detail: "cannot be mapped"}
		}
		p.problems = []standard.Problem{*fault}
		return p
	}
	// Through its bytes, as anything else that comes to the gate.
	p.raw = strictjson.Canonical(v)
	if p.offer, p.problems = k.n.gate(to, p.raw); p.offer == nil {
		return p
	}
	p.offer.MadeFrom(c.Record)
	if c.Made != "" && c.Made != p.offer.Record() {
		p.old = drop()
	}
	return p
}

// settle counts what became of the offers of one making.
func (k *maker) settle(p *making, out *ServeReply) error {
	for _, o := range []*ledger.Offer{p.old, p.offer} {
		if o == nil {
			continue
		}
		r, err := o.Result()
		switch {
		case errors.Is(err, ledger.ErrByHand) && o == p.offer && p.raw != nil:
			p.problems = append(p.problems, standard.Problem{
				Rule:   "mapping",
				Detail: "a record with this key is there already, written by hand or made from another record; it was left as it is",
				Fix:    "delete the one or the other",
			})
		case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrConflict):
			// What was to be deleted is gone, or somebody has taken it over.
		case err != nil:
			return err
		case r.Outcome == ledger.Deleted:
			out.Deleted++
		case r.Outcome != ledger.Unchanged:
			out.Made++
		}
	}
	return nil
}

// unmake deletes what was made.
func (k *maker) unmake(ctx context.Context, m ledger.Mapped, out *ServeReply) error {
	var offers []*ledger.Offer
	var refs []string
	err := k.n.ledger.View(func(v *ledger.View) error {
		err := v.Made(m.Line(), func(made, source name.Record) bool {
			offers = append(offers, k.n.ledger.OfferDelete(made).MadeFrom(source))
			return len(offers) < offerChunk
		})
		if err != nil || len(offers) > 0 {
			return err
		}
		return v.Held(func(h ledger.Held) bool {
			if h.Standard == m.Standard && strings.HasPrefix(h.Reference, madeReference) {
				refs = append(refs, h.Reference)
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	if len(offers) == 0 {
		if err := k.n.ledger.Hold(ctx, m.Standard, nil, refs); err != nil {
			return err
		}
		delete(k.at, m.Line())
		out.Done, out.Ended = true, true
		return k.n.ledger.Unmapped(ctx, m.Line())
	}
	if err := k.n.ledger.Write(ctx, offers...); err != nil {
		return err
	}
	for _, o := range offers {
		if _, err := o.Result(); err != nil {
			return err
		}
		out.Deleted++
	}
	return nil
}

// allow finds out whether records of one version may be mapped to another.
func (k *maker) allow(from, to *standard.Standard) error {
	pair := [2]name.Standard{from.Name(), to.Name()}
	if _, known := k.allowed[pair]; known {
		return nil
	}
	why := ""
	for _, p := range to.CheckMapping(from) {
		if p.Rule == standard.RuleMappingClass {
			why = p.Detail
			break
		}
	}
	k.allowed[pair] = why
	return nil
}

// ServeRequest asks that records of one major of a standard are kept in another
// too, made by the mapping that the other ships; or, with Stop, no longer.
type ServeRequest struct {
	Standard string `json:"standard"`       // publisher/name@2, or a version of it
	From     *int   `json:"from,omitempty"` // the major they are made from; default: the only one there is a mapping from
	Stop     bool   `json:"stop,omitempty"` // delete what was made
}

// ServeReply says what one call did. Where it is not Done, the call is made
// again; a running node goes on by itself too.
type ServeReply struct {
	Standard name.Standard     `json:"standard"`
	From     name.StandardLine `json:"from"`
	Made     int               `json:"made"` // records written in this call
	Deleted  int               `json:"deleted"`
	Refused  int               `json:"refused"` // held back at the gate in this call
	Cursor   uint64            `json:"cursor"`  // log index followed to, of Size
	Size     uint64            `json:"size"`
	Done     bool              `json:"done"`
	Ended    bool              `json:"ended,omitempty"`
	Advice   []Problem         `json:"advice,omitempty"` // what the mapping cannot do
}

// serveStandard begins or ends to make records by a mapping and does a page of
// the work.
func (n *Node) serveStandard(ctx context.Context, in ServeRequest) (*ServeReply, error) {
	to, err := n.standardNamed(in.Standard)
	if err != nil {
		return nil, err
	}
	line := to.Name().Line()
	if in.Stop {
		all := n.ledger.Mapped()
		i := slices.IndexFunc(all, func(m ledger.Mapped) bool { return m.Line() == line })
		if i < 0 {
			return nil, fail(NotFound, "stile standard list", "no records of %s are made by a mapping", line)
		}
		if err := n.ledger.Unmap(ctx, line); err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
		r, err := n.maker.step(ctx, line)
		if err == nil {
			r.Standard, r.From = all[i].Standard, all[i].Source()
		}
		return r, err
	}
	from, err := mappingFrom(to, in.From)
	if err != nil {
		return nil, err
	}
	source := name.StandardLine{Name: to.Name().Name, Major: from}
	served := slices.ContainsFunc(n.ledger.Mapped(), func(m ledger.Mapped) bool {
		return m.Standard == to.Name() && m.From == from && !m.Ending
	})
	if served { // and was checked then; each further page asks here again
		r, err := n.maker.step(ctx, line)
		if err == nil {
			r.Standard, r.From = to.Name(), source
		}
		return r, err
	}
	var advice, wrong []standard.Problem
	seen := false
	for _, s := range n.ledger.Standards() {
		if s.Name().Line() != source {
			continue
		}
		seen = true
		for _, p := range to.CheckMapping(s) {
			if p.Rule == standard.RuleMappingClass {
				wrong = append(wrong, p)
			} else {
				advice = append(advice, p)
			}
		}
	}
	switch {
	case !seen:
		return nil, fail(NotFound, "stile standard adopt "+source.String(), "no version of %s is adopted here", source)
	case len(wrong) > 0:
		return nil, &Error{
			Kind: Refused, Problems: problemsOf(wrong), Try: "ask " + string(to.Name().Name.Publisher()) + " to mend the mapping",
			Message: fmt.Sprintf("the mapping of %s would show more than %s allows; nothing is made by it", to.Name(), source),
		}
	}
	if err := n.ledger.Map(ctx, to.Name(), from); err != nil {
		return nil, fail(Conflict, "stile standard serve "+line.String()+" --stop", "%v", err)
	}
	r, err := n.maker.step(ctx, line)
	if err == nil {
		r.Standard, r.From, r.Advice = to.Name(), source, problemsOf(advice)
	}
	return r, err
}

func mappingFrom(to *standard.Standard, from *int) (int, error) {
	majors := to.Mappings()
	var words []string
	for _, m := range majors {
		words = append(words, fmt.Sprint(m))
	}
	switch {
	case len(majors) == 0:
		return 0, fail(NotFound, "ask "+string(to.Name().Name.Publisher())+", who publishes it, for one", "%s ships no mapping from an older major", to.Name())
	case from == nil && len(majors) > 1:
		return 0, fail(Usage, "name one with --from", "%s ships mappings from majors %s", to.Name(), strings.Join(words, ", "))
	case from == nil:
		return majors[0], nil
	case !slices.Contains(majors, *from):
		return 0, fail(NotFound, "stile standard show "+to.Name().String(), "%s ships no mapping from major %d; it does from %s", to.Name(), *from, strings.Join(words, ", "))
	}
	return *from, nil
}

// MappedReply says how records of a standard are made by a mapping.
type MappedReply struct {
	From    name.StandardLine `json:"from"`
	Since   time.Time         `json:"since"`
	Made    int               `json:"made"`    // records that there are by it; not counted in a list
	Refused int               `json:"refused"` // held back at the gate; not counted in a list
	Behind  bool              `json:"behind,omitempty"`
	Ending  bool              `json:"ending,omitempty"`
}

// mappedReply returns how records of a version are made; nil when they are not.
// To count them reads a line for each.
func (n *Node) mappedReply(std name.Standard, count bool) (*MappedReply, error) {
	for _, m := range n.ledger.Mapped() {
		if m.Standard != std {
			continue
		}
		r := &MappedReply{From: m.Source(), Since: time.Unix(m.Since, 0).UTC(), Ending: m.Ending}
		if !count {
			return r, nil
		}
		return r, n.ledger.View(func(v *ledger.View) error {
			err := v.Made(m.Line(), func(_, _ name.Record) bool { r.Made++; return true })
			if err != nil {
				return err
			}
			cs, _, err := v.ChangesOf(m.Source(), m.Line(), m.Cursor)
			if err != nil {
				return err
			}
			r.Behind = len(cs) > 0 || m.Ending
			return v.Held(func(h ledger.Held) bool {
				if h.Standard == std && strings.HasPrefix(h.Reference, madeReference) {
					r.Refused++
				}
				return true
			})
		})
	}
	return nil, nil
}
