package footprint

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Who was a member held what the others shared, and holds it until its node says, in
// an event of its own in the footprint's log, that it has deleted the replica. What is
// withdrawn meanwhile it is ordered to erase as well: the withdrawal, which its
// contributor signed, is the order, and an event by which the former member says that it
// carried it out is the receipt. That a member left is itself such an order: to say that
// all withdrawals before are carried out there. So a replica that was behind when it was
// let go is waited for, too.
//
// A former member keeps its place in what is replicated:
//
//	o council          former: JSON, see storedFormer
//	O council 0 index8 an order that is not receipted: at8, of the log entry at index8

// The rules about former members.
const (
	RuleNoOrder = "no order to that former member is outstanding"
	RuleDeleted = "the former member has said before that it deleted its replica"
)

type storedFormer struct {
	storedMember
	Left uint64       `json:"left"` // log index of the entry by which it left
	By   name.Council `json:"by"`   // who proposed that
	At   int64        `json:"at"`   // unix seconds, as carried in the command
	// Deleted is the log index of its receipt for the whole replica plus one; 0 for none.
	Deleted uint64 `json:"deleted,omitempty"`
}

type former struct {
	storedFormer
	m *member // its keys
}

func newFormer(s storedFormer) (*former, error) {
	m, err := newMember(s.storedMember)
	return &former{s, m}, err
}

func (s *state) loadFormers(v *ledger.ReplicaView) error {
	var bad error
	err := v.Walk("o", func(key string, value []byte) bool {
		var sf storedFormer
		var fm *former
		if bad = json.Unmarshal(value, &sf); bad == nil {
			if fm, bad = newFormer(sf); bad == nil {
				s.formers[name.Council(key[1:])] = fm
			}
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}

func orderKey(c name.Council, index uint64) string {
	return "O" + string(c) + "\x00" + string(binary.BigEndian.AppendUint64(nil, index))
}

// leaves makes a member a former one, by the entry that is being applied.
func (a *applier) leaves(c, by name.Council) {
	m := a.s.members[c]
	if m == nil || a.machines || a.s.format() < 2 {
		return
	}
	a.setFormer(c, &former{storedFormer{m.storedMember, a.t.Next(), by, a.at, 0}, m})
	setNumber(a.t, orderKey(c, a.t.Next()), uint64(a.at))
}

// order has every former member erase what the entry that is being applied withdraws, if
// the oldest of it stood in the log while it was a member.
func (a *applier) order(oldest uint64) {
	for _, c := range slices.Sorted(maps.Keys(a.s.formers)) {
		if fm := a.s.formers[c]; fm.Deleted == 0 && oldest < fm.Left {
			setNumber(a.t, orderKey(c, a.t.Next()), uint64(a.at))
		}
	}
}

func (a *applier) setFormer(c name.Council, fm *former) {
	if fm == nil && a.s.formers[c] == nil {
		return
	}
	a.s.formers = maps.Clone(a.s.formers)
	if fm == nil {
		delete(a.s.formers, c)
		a.t.Remove("o" + string(c))
		return
	}
	a.s.formers[c] = fm
	b, err := json.Marshal(fm.storedFormer)
	if err != nil {
		panic("internal error: a former member does not print: " + err.Error())
	}
	a.t.Set("o"+string(c), b)
}

// receipted applies a former member's receipt.
func (a *applier) receipted(c name.Council, e memberEvent, kind string) string {
	fm := *a.s.formers[c]
	switch {
	case fm.Deleted > 0:
		return RuleDeleted
	case kind == event.KindFootprintDiscarded:
		fm.Deleted = a.t.Next() + 1
		a.setFormer(c, &fm)
		return ""
	}
	any := false
	for _, index := range e.erased.Orders {
		if _, err := a.t.Lookup(orderKey(c, index)); err == nil {
			a.t.Remove(orderKey(c, index))
			any = true
		}
	}
	if !any {
		return RuleNoOrder
	}
	return ""
}

// A Former is a council that was a member, and what it was ordered since and has not
// receipted.
type Former struct {
	Council name.Council `json:"council"`
	Left    uint64       `json:"left"`              // log index of the entry by which it left
	By      name.Council `json:"by"`                // who proposed that
	At      time.Time    `json:"at"`                // when it left
	Deleted *uint64      `json:"deleted,omitempty"` // log index of its receipt for its whole replica
	Orders  []uint64     `json:"orders,omitempty"`  // log indexes of what it has not receipted, sorted
	Oldest  time.Time    `json:"oldest,omitzero"`   // of them
}

// Formers returns the former members, sorted by council.
func (f *Footprint) Formers() (out []Former, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		s := f.fsm.state.Load()
		for _, c := range slices.Sorted(maps.Keys(s.formers)) {
			fm := s.formers[c]
			o := Former{Council: c, Left: fm.Left, By: fm.By, At: time.Unix(fm.At, 0).UTC()}
			if fm.Deleted > 0 {
				at := fm.Deleted - 1
				o.Deleted = &at
			} else if err := eachOrder(v, c, func(index uint64, at time.Time) bool {
				o.Orders = append(o.Orders, index)
				if o.Oldest.IsZero() || at.Before(o.Oldest) {
					o.Oldest = at
				}
				return true
			}); err != nil {
				return err
			}
			out = append(out, o)
		}
		return nil
	})
	return out, err
}

// eachOrder calls fn with the orders that a former member has not receipted, in log order.
func eachOrder(v *ledger.ReplicaView, c name.Council, fn func(index uint64, at time.Time) bool) error {
	var bad error
	prefix := "O" + string(c) + "\x00"
	err := v.Walk(prefix, func(key string, value []byte) bool {
		k, r := reader{b: []byte(strings.TrimPrefix(key, prefix))}, reader{b: value}
		index, at := k.uint64(), r.uint64()
		if k.bad || r.bad {
			bad = ledger.ErrDamaged
			return false
		}
		return fn(index, time.Unix(int64(at), 0).UTC())
	})
	return errors.Join(err, bad)
}

// Awaited returns the former members that have not said that they deleted their replica.
func (f *Footprint) Awaited() []name.Council { return f.fsm.state.Load().awaited() }

// Orders are what a member answers to a former one. The former member checks each
// itself: it is signed by the council whose record it withdraws.
type orders struct {
	Incarnation string       `json:"incarnation"` // of the replica that they are for
	By          name.Council `json:"by"`
	Left        uint64       `json:"left"`
	Next        uint64       `json:"next"` // up to where withdrawals from before it left were given
	Orders      []oneOrder   `json:"orders"`
}

type oneOrder struct {
	Index uint64 `json:"index"`
	Token []byte `json:"token"`
}

// Bounds of one answer; more comes with the next.
const (
	maxOrders     = 500
	maxOrderBytes = 512 << 10
	maxScanned    = 20_000
)

// ordersFor returns what a former member has to erase: from an index on what was
// withdrawn before it left, and then what it has not receipted since.
func (f *Footprint) ordersFor(c name.Council, fm *former, from uint64) ([]byte, error) {
	out := orders{Incarnation: fm.Incarnation, By: fm.By, Left: fm.Left, Next: max(from, fm.Left), Orders: []oneOrder{}}
	room := maxOrderBytes
	err := f.fsm.view(func(v *ledger.ReplicaView) error {
		give := func(index uint64) (bool, error) {
			e, err := entryAt(v, index)
			if err != nil || e.Event == nil || e.Event.Kind != event.KindWithdrawal {
				return true, err
			}
			t := e.Token.Bytes()
			if room -= len(t); room < 0 || len(out.Orders) == maxOrders {
				return false, nil
			}
			out.Orders = append(out.Orders, oneOrder{index, t})
			return true, nil
		}
		end := min(fm.Left, v.Checkpoint().Size)
		for i := from; i < end; i++ {
			more, err := give(i)
			if err != nil {
				return err
			}
			if !more || i == from+maxScanned {
				out.Next = i
				return nil
			}
		}
		var bad error
		err := eachOrder(v, c, func(index uint64, _ time.Time) (more bool) {
			if index == fm.Left {
				return true
			}
			more, bad = give(index)
			return more && bad == nil
		})
		return errors.Join(err, bad)
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// mayBring reports whether a group is what a former member may have put into the log: one receipt.
func (f *Footprint) mayBring(fm *former, g group) bool {
	if fm == nil || g.contributor != fm.m.entry.Council || g.agreement != "" || len(g.entries) != 1 || len(g.entries[0].Attachment) > 0 {
		return false
	}
	c := &checked{offered: g.entries[0]}
	c.parse()
	return c.rule == "" && c.event != nil && (c.event.Kind == event.KindFootprintErased || c.event.Kind == event.KindFootprintDiscarded)
}

// former returns the keys of a former member as of a member; nil when there is none.
func (s *state) former(c name.Council) *member {
	fm := s.formers[c]
	if fm == nil {
		return nil
	}
	m := *fm.m
	m.Document = fm.Document
	return &m
}

// awaited returns the former members that have not said that they deleted their replica
// and do not contribute from outside, sorted.
func (s *state) awaited() (out []name.Council) {
	for _, c := range slices.Sorted(maps.Keys(s.formers)) {
		if s.formers[c].Deleted == 0 && s.outside[c] == nil {
			out = append(out, c)
		}
	}
	return out
}
