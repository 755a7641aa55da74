package footprint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// What a member does that is one no longer: it asks the members what it is to erase,
// erases it and says so. It asks all that answer, so that no single one can keep an
// order from it. When it left of its own will, the node deletes the whole replica.

// obey asks until the replica is closed.
func (f *Footprint) obey() {
	tick := time.NewTicker(4 * f.o.MarkEvery)
	defer tick.Stop()
	o := obedience{next: map[name.Council]uint64{}}
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
		if f.Machines() || !f.Out() {
			continue
		}
		ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
		err := f.obeyOnce(ctx, &o)
		cancel()
		if err != nil && f.ctx.Err() == nil {
			f.o.Log.Info("orders to a former member", "footprint", f.o.Name, "error", err.Error())
		}
	}
}

// An obedience is how far a former member has come since it was opened.
type obedience struct {
	next    map[name.Council]uint64 // by who answers, up to where it was asked
	receipt []byte                  // signed, and not taken yet
	since   time.Time               // when a member first answered
}

func (f *Footprint) obeyOnce(ctx context.Context, o *obedience) error {
	s := f.fsm.state.Load()
	through, left := true, uint64(0)
	given := map[uint64][]byte{}
	answered := 0
	for _, c := range s.councils() {
		if c == f.o.Self {
			continue
		}
		next, ok := o.next[c]
		if !ok {
			next = f.Size() // below, what was withdrawn was erased when it was applied
		}
		b, err := f.ask(ctx, c, askOrders, binary.BigEndian.AppendUint64(nil, next))
		var got orders
		if err == nil {
			err = decodeStrict(b, &got)
		}
		if err != nil || got.Incarnation != f.folder.id.Incarnation {
			continue // it does not answer, or this replica is not the one that left
		}
		answered++
		o.next[c], left = got.Next, max(left, got.Left)
		through = through && got.Next >= got.Left
		for _, one := range got.Orders {
			given[one.Index] = one.Token
		}
		if got.By == f.o.Self && f.o.Left != nil {
			if o.since.IsZero() {
				o.since = time.Now()
			}
			// The one that is left takes our server out of raft's configuration while
			// this replica is there: without it, it would be one of two.
			if len(s.councils()) > 1 || time.Since(o.since) >= leaveWithin {
				f.o.Left()
			}
			return nil
		}
	}
	if answered == 0 {
		return nil
	}
	f.letGo.Store(true)
	var done []uint64
	for index, token := range given {
		if err := f.carryOut(s, token); err != nil {
			f.o.Log.Warn("an order to a former member is not carried out", "footprint", f.o.Name, "entry", index, "because", err.Error())
			continue
		}
		if index >= left {
			done = append(done, index)
		}
	}
	if err := f.eraseNow(); err != nil {
		return err
	}
	if through && !f.saidLeft {
		done = append(done, left)
	}
	slices.Sort(done)
	if o.receipt == nil && len(done) > 0 {
		jws, err := f.o.Sign(ctx, event.KindFootprintErased, event.FootprintErased{Footprint: f.o.Name, Orders: done}.Body())
		if err != nil {
			return err
		}
		o.receipt = jws
	}
	if o.receipt == nil {
		return nil
	}
	err := f.o.Hub.Bring(ctx, f.o.Name, f.o.Self, s.councils(), o.receipt)
	if _, refused := errors.AsType[*Refusal](err); err == nil || refused {
		f.saidLeft = f.saidLeft || through
		o.receipt = nil
	}
	return err
}

// carryOut marks for erasure every version of a record that a signed withdrawal takes back.
func (f *Footprint) carryOut(s *state, token []byte) error {
	c := &checked{offered: Entry{Token: token}}
	c.parse()
	if c.rule != "" || c.event == nil || c.event.Kind != event.KindWithdrawal {
		return errors.New("it is no withdrawal")
	}
	w, err := event.ParseWithdrawal(c.event.Body)
	if err != nil {
		return errors.New("it is no withdrawal")
	}
	if err := f.signedByMember(s, c); err != nil {
		return err
	}
	var erase []uint64
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		raw, err := v.Lookup(headKey(c.signer(), w.Record))
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		h, err := decodeHead(raw)
		if err != nil {
			return err
		}
		for index := h.index; ; {
			_, raw, err := v.Entry(index)
			if err != nil || raw == nil {
				return err
			}
			kept, err := decodeStored(raw)
			if err != nil {
				return err
			}
			if erase = append(erase, index); kept.before == 0 {
				return nil
			}
			index = kept.before - 1
		}
	})
	if err != nil || len(erase) == 0 {
		return err
	}
	f.fsm.swap.RLock()
	defer f.fsm.swap.RUnlock()
	return f.fsm.replica.MarkErased(erase)
}

// signedByMember checks an event with the keys that its council had here, or has in the directory now.
func (f *Footprint) signedByMember(s *state, c *checked) error {
	by := []*member{s.members[c.signer()], s.outside[c.signer()]}
	if fm := s.formers[c.signer()]; fm != nil {
		by = append(by, fm.m)
	}
	if m, ok := f.o.Directory.Member(c.signer()); ok {
		if m, err := newMember(storedMember{Document: string(m.Bare().YAML())}); err == nil {
			by = append(by, m)
		}
	}
	rule := RuleMember
	for _, m := range by {
		if m == nil {
			continue
		}
		if rule = c.verify(m); rule == "" {
			return nil
		}
	}
	return &Refusal{rule}
}

// eraseNow takes what is marked for erasure off the disk; raft's log follows as after any withdrawal.
func (f *Footprint) eraseNow() error {
	if err := f.forgetLaterIfAny(); err != nil {
		return err
	}
	for {
		if n, err := f.fsm.eraseSome(); n == 0 || err != nil {
			return err
		}
	}
}

// Bring has the members of a footprint, of whom via are some, put a receipt of a former
// member into its log. That it stands there already is no error; the error is a
// Refusal when they do not take it.
func (h *Hub) Bring(ctx context.Context, footprint, self name.Council, via []name.Council, receipt []byte) error {
	g := group{contributor: self, entries: []Entry{{Token: receipt}}}.append(nil)
	ask := func(c name.Council) error {
		b, err := h.ask(ctx, footprint, c, askPut, g, func() {})
		if err != nil {
			return err
		}
		r, err := parseReceipt(b)
		if err != nil || len(r.Outcomes) != 1 {
			return fmt.Errorf("%s: %w: not a receipt for what was offered", c, errUnsure)
		}
		if o := r.Outcomes[0]; o.Code == Refused {
			return &Refusal{o.Rule}
		}
		return nil
	}
	err := errNoLeader
	for _, c := range via {
		if c == self {
			continue
		}
		err = ask(c)
		if to, ok := errors.AsType[*elsewhere](err); ok && to.leader != self {
			err = ask(to.leader)
		}
		if _, refused := errors.AsType[*Refusal](err); err == nil || refused {
			return err
		}
	}
	return err
}
