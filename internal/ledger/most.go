package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/name"
)

// How many records leave under an agreement that bounds it, see [agreement.Most], is
// counted for each receiver, in the transaction in which it is logged that they are about
// to leave. Which records have gone stands under
//
//	0 g feed4 council 0 record16   empty
//
// and how many, and how many of the day, in [Partner]. What is read for a receiver ends
// where the bound does.

func leftKey(feed uint32, to name.Council, r [16]byte) []byte {
	key := binary.BigEndian.AppendUint32([]byte("0g"), feed)
	return append(append(append(key, to...), 0), r[:]...)
}

// ErrMost: more would leave than the agreement lets leave.
var ErrMost = errors.New("more than the agreement lets go")

// dayOf numbers days in UTC.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// DayGone returns how many record versions were logged as about to leave on the day of now.
func (p Partner) DayGone(now time.Time) int {
	if p.Day == dayOf(now) {
		return p.OnDay
	}
	return 0
}

// Waits says in words why nothing more than withdrawals goes to a council now: the bound
// of an agreement is reached. It is "" where there is room.
func (p Partner) Waits(m agreement.Most, now time.Time) string {
	switch {
	case m.All > 0 && p.Gone >= m.All:
		return fmt.Sprintf("the agreement lets %d records go in all, and they have gone", m.All)
	case m.Day > 0 && p.DayGone(now) >= m.Day:
		return fmt.Sprintf("the agreement lets %d go in a day, and they have gone today: the rest waits for tomorrow (UTC)", m.Day)
	}
	return ""
}

// A headroom is what may still be read of a feed for one receiver.
type headroom struct {
	v        *View
	f        *Feed
	to       name.Council
	all, day int // left; -1 is no bound
}

// roomFor returns what may be read of a feed for a receiver; nil where there is no bound. Of
// a feed with one nothing is read for nobody in particular.
func (v *View) roomFor(f *Feed, to name.Council) (*headroom, error) {
	if f.doc == nil || !f.doc.Most.Bounds() {
		return nil, nil
	}
	if to == "" {
		return nil, fmt.Errorf("agreement %s: %w: it is not counted who gets it", f.Agreement, ErrMost)
	}
	p, err := v.Partner(f, to)
	if err != nil {
		return nil, err
	}
	r, m := &headroom{v: v, f: f, to: to, all: -1, day: -1}, f.doc.Most
	if m.All > 0 {
		r.all = max(0, m.All-p.Gone)
	}
	if m.Day > 0 {
		r.day = max(0, m.Day-p.DayGone(v.l.o.Now()))
	}
	return r, nil
}

// takes reports whether one more version of a record may be read, and counts it.
func (r *headroom) takes(id name.Record) (bool, error) {
	if r == nil {
		return true, nil
	}
	fresh := false
	if r.all >= 0 {
		_, err := r.v.value(leftKey(r.f.number, r.to, id.Bytes()))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		fresh = err != nil
	}
	if r.day == 0 || fresh && r.all == 0 {
		return false, nil
	}
	if r.day > 0 {
		r.day--
	}
	if fresh {
		r.all--
	}
	return true, nil
}

// leaves counts what is about to leave under an agreement with a bound. ErrMost when that
// is more than may.
func (t *tx) leaves(f *Feed, to name.Council, items []PageItem) error {
	if !f.doc.Most.Bounds() {
		return nil
	}
	m, now := f.doc.Most, t.l.o.Now()
	n, fresh := 0, 0
	for _, it := range items {
		if !it.IsRecord() {
			continue
		}
		tok, err := it.Record()
		if err != nil {
			return err
		}
		v, err := tok.View()
		if err != nil {
			return err
		}
		n++
		key := leftKey(f.number, to, v.Record.Bytes())
		if _, err := t.lookup(key); errors.Is(err, ErrNotFound) {
			t.set(key, []byte{})
			fresh++
		} else if err != nil {
			return err
		}
	}
	var over error
	err := t.partner(f, to, func(p *Partner) {
		p.OnDay, p.Day = p.DayGone(now)+n, dayOf(now)
		p.Gone += fresh
		if n > 0 && (m.Day > 0 && p.OnDay > m.Day || m.All > 0 && p.Gone > m.All) {
			over = fmt.Errorf("disclose under %s to %s: %w", f.Agreement, to, ErrMost)
		}
	})
	return errors.Join(err, over)
}

// RuleMost refuses a record beyond what the agreement lets go: see [agreement.Most].
const RuleMost = "beyond-most"

// within takes out of a delivery the records beyond what the agreement lets go, and
// refuses them.
func (t *tx) within(c *Source, d *Delivery) (*Delivery, error) {
	if !d.Most.Bounds() || len(d.Puts) == 0 {
		return d, nil
	}
	out := *d
	out.Puts, out.Refused, out.Given = nil, append([]Refusal(nil), d.Refused...), append([]Given(nil), d.Given...)
	if today := dayOf(t.l.o.Now()); c.CameDay != today {
		c.CameDay, c.Came = today, 0
	}
	held := c.Records - c.Older
	for _, p := range d.Puts {
		id := p.Record.Bytes()
		was, _, had, err := t.held(c, id)
		if err != nil {
			return nil, err
		}
		older := false
		if had {
			if older, err = t.older(c, was); err != nil {
				return nil, err
			}
		}
		fresh := !had || older
		if had && was >= p.Index { // it is here
			if out.Puts = append(out.Puts, p); fresh {
				held++
			}
			continue
		}
		if d.Most.All > 0 && fresh && held >= d.Most.All || d.Most.Day > 0 && c.Came >= 2*d.Most.Day {
			out.Refused = append(out.Refused, Refusal{From: c.From, Agreement: c.Agreement, Index: p.Index, Rule: RuleMost, At: t.l.o.Now().UTC()})
			if p.Hash != [32]byte{} {
				out.Given = append(out.Given, Given{Index: p.Index, Record: p.Record, Hash: p.Hash})
			}
			continue
		}
		if c.Came++; fresh {
			held++
		}
		out.Puts = append(out.Puts, p)
	}
	return &out, nil
}

// older reports whether what is held at a place came under a text before this one.
func (t *tx) older(c *Source, index uint64) (bool, error) {
	at, err := t.lookup(positionKey('P', c.number, index))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && len(at) >= 20 && binary.BigEndian.Uint32(at[16:]) != c.Generation, err
}
