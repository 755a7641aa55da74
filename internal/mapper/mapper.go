// Package mapper keeps records of one major of a standard made from those of
// another, by the mapping that the publisher ships.
//
// A council that has its records in one major of a standard, and a partner that
// wants them in the next, are helped by the mapping that the publisher ships
// with the next: for each live record of the older major the node keeps one of
// the newer. What is made is offered at the gate and written like any other
// record, with classes, agreements and withholding of its own.
//
// A Mapper follows the node's own log from a durable cursor. It may do a piece
// of work twice, after a crash, and then changes nothing, since an offer that
// says what is there makes no version.
package mapper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Options say what a Mapper works with. All are required.
type Options struct {
	Ledger *ledger.Ledger
	// Gate judges a record of a standard, given as its bytes. It returns an offer or
	// what is wrong.
	Gate func(std *standard.Standard, record []byte) (*ledger.Offer, []standard.Problem)
	Now  func() time.Time
	Log  *slog.Logger

	Workers     int // goroutines that map and judge at once
	RecordBytes int // a record that is larger is held back without its bytes
}

// A Mapper makes records by mappings. Its methods may be called concurrently.
type Mapper struct {
	o Options

	mu      sync.Mutex // held while a page is worked off; guards what follows
	at      map[name.StandardLine]position
	allowed map[[2]name.Standard]string // why records of the one may not be mapped to the other; "" when they may
}

// New returns a Mapper, which does nothing by itself before Run.
func New(o Options) *Mapper {
	return &Mapper{o: o, at: map[name.StandardLine]position{}, allowed: map[[2]name.Standard]string{}}
}

// A position is how far a mapping has been followed, which runs ahead of the
// cursor on disk while nothing is found to do.
type position struct {
	standard name.Standard
	cursor   uint64
}

// Reference is what a made record that is held back goes by, before the id
// of the record that it would be made from.
const Reference = "made from "

// retry is how long a Mapper waits when it could not do its work.
const retry = 30 * time.Second

// Run makes what there is to make until ctx ends.
func (k *Mapper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := k.o.Ledger.Changed()
		more, failed := false, false
		for _, m := range k.o.Ledger.Mapped() {
			r, err := k.Step(ctx, m.Line())
			if err != nil && ctx.Err() == nil {
				k.o.Log.Error("make records by a mapping", "standard", m.Standard, "error", err.Error())
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
		t := time.NewTimer(retry)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// Step does one page of the work there is for a line, and says what it did. It is
// done where there is none.
func (k *Mapper) Step(ctx context.Context, line name.StandardLine) (*api.ServeReply, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.o.Ledger.Mapped()
	i := slices.IndexFunc(all, func(m ledger.Mapped) bool { return m.Line() == line })
	if i < 0 {
		return &api.ServeReply{Done: true}, nil
	}
	m := all[i]
	out := &api.ServeReply{Standard: m.Standard, From: m.Source()}
	if m.Ending {
		return out, k.unmake(ctx, m, out)
	}
	return out, k.follow(ctx, m, out)
}

// follow makes records of what changed since the cursor.
func (k *Mapper) follow(ctx context.Context, m ledger.Mapped, out *api.ServeReply) error {
	to, err := k.o.Ledger.Standard(m.Standard)
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
	err = k.o.Ledger.View(func(v *ledger.View) (err error) {
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
		if err := k.o.Ledger.Write(ctx, offers...); err != nil {
			return err
		}
	}
	var held []ledger.Held
	var passed []string
	for i := range made {
		p := &made[i]
		ref := Reference + string(changes[i].Record)
		if err := k.settle(p, out); err != nil {
			return err
		}
		if len(p.problems) == 0 {
			passed = append(passed, ref)
			continue
		}
		out.Refused++
		h := ledger.Held{Standard: m.Standard, Reference: ref, At: k.o.Now().Unix(), Problems: p.problems}
		if len(p.raw) <= k.o.RecordBytes {
			h.Offered = p.raw
		}
		held = append(held, h)
	}
	if err := k.o.Ledger.Hold(ctx, m.Standard, held, passed); err != nil {
		return err
	}
	out.Cursor, out.Done = next, next >= out.Size
	if len(changes) > 0 || next > m.Cursor+cursorEvery {
		// Where nothing was to do the place is kept in memory alone: to write it
		// down is an entry's worth of disk, and wakes this Mapper again.
		if err := k.o.Ledger.Followed(ctx, m, next); err != nil {
			return err
		}
	}
	k.at[m.Line()] = position{m.Standard, next}
	return nil
}

// deleteChunk is how many made records are deleted at once.
const deleteChunk = 500

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
func (k *Mapper) makeAll(ctx context.Context, to *standard.Standard, mapping *standard.Mapping, changes []ledger.RecordChange) []making {
	out := make([]making, len(changes))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(k.o.Workers, max(1, len(changes)/16)) {
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

func (k *Mapper) make(to *standard.Standard, mapping *standard.Mapping, c ledger.RecordChange) (p making) {
	if c.Err != nil {
		p.problems = []standard.Problem{{Rule: "damaged", Detail: c.Err.Error(), Fix: "restore the record it is made from, or offer that again"}}
		return p
	}
	drop := func() *ledger.Offer { return k.o.Ledger.OfferDelete(c.Made).MadeFrom(c.Record) }
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
	if p.offer, p.problems = k.o.Gate(to, p.raw); p.offer == nil {
		return p
	}
	p.offer.MadeFrom(c.Record)
	if c.Made != "" && c.Made != p.offer.Record() {
		p.old = drop()
	}
	return p
}

// settle counts what became of the offers of one making.
func (k *Mapper) settle(p *making, out *api.ServeReply) error {
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
func (k *Mapper) unmake(ctx context.Context, m ledger.Mapped, out *api.ServeReply) error {
	var offers []*ledger.Offer
	var refs []string
	err := k.o.Ledger.View(func(v *ledger.View) error {
		err := v.Made(m.Line(), func(made, source name.Record) bool {
			offers = append(offers, k.o.Ledger.OfferDelete(made).MadeFrom(source))
			return len(offers) < deleteChunk
		})
		if err != nil || len(offers) > 0 {
			return err
		}
		return v.Held(func(h ledger.Held) bool {
			if h.Standard == m.Standard && strings.HasPrefix(h.Reference, Reference) {
				refs = append(refs, h.Reference)
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	if len(offers) == 0 {
		if err := k.o.Ledger.Hold(ctx, m.Standard, nil, refs); err != nil {
			return err
		}
		delete(k.at, m.Line())
		out.Done, out.Ended = true, true
		return k.o.Ledger.Unmapped(ctx, m.Line())
	}
	if err := k.o.Ledger.Write(ctx, offers...); err != nil {
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
func (k *Mapper) allow(from, to *standard.Standard) error {
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

// Rewind sets the durable cursor of a line back to the start, as if the program had
// stopped each time after the records were written and before the cursor was: what
// is then done again changes nothing. The error is ledger.ErrNotFound when nothing
// is made for the line.
func (k *Mapper) Rewind(ctx context.Context, line name.StandardLine) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.at, line)
	for _, m := range k.o.Ledger.Mapped() {
		if m.Line() == line {
			return k.o.Ledger.Followed(ctx, m, 0)
		}
	}
	return ledger.ErrNotFound
}
