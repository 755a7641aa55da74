package footprint

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// An agreement lets a footprint keep a record for a time, as it lets any receiver. When
// that is over only a clock and the agreement's text can tell, and applying has neither.
// So each member says by an event which entries may be kept no longer, by its own clock and
// the text that it signed; once a majority of the members has said it of an entry, every
// member erases the record, as after a withdrawal. These events are the receipt. No member's
// fast clock deletes anything alone, and no contributor is needed.
//
//	T index8   when a page was taken, at8 of the command's clock, by the page's first entry
//	x index8   who has said that an entry may be kept no longer: JSON, councils

// RuleNotOver refuses an event about the end of terms that is about nothing that is held.
const RuleNotOver = "none of the entries is the newest version of a record that came under that agreement"

func takenKey(page uint64) string { return "T" + string(binary.BigEndian.AppendUint64(nil, page)) }

func overKey(entry uint64) string { return "x" + string(binary.BigEndian.AppendUint64(nil, entry)) }

// expire applies what a member says of terms that are over.
func (a *applier) expire(c *checked) (Outcome, error) {
	if n, ok, err := a.seen(c.token.Entry()); err != nil || ok {
		return Outcome{Code: Duplicate, Entry: n}, err
	}
	if a.s.format() < 2 {
		return refused(RuleWaits), nil
	}
	e, err := event.ParseFootprintExpired(c.event.Body)
	if err != nil || e.Footprint != a.name {
		return refused("expired"), nil
	}
	any := false
	for _, index := range e.Entries {
		h, key, ok, err := a.under(index, e.Agreement)
		if err != nil {
			return Outcome{}, err
		}
		if !ok {
			continue
		}
		any = true
		var said []name.Council
		raw, err := a.t.Lookup(overKey(index))
		if err == nil {
			err = json.Unmarshal(raw, &said)
		}
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return Outcome{}, err
		}
		if !slices.Contains(said, c.event.Council) {
			said = append(said, c.event.Council)
		}
		n := 0
		for _, m := range said {
			if a.s.members[m] != nil {
				n++
			}
		}
		if n < a.s.majority() {
			if err := setJSON(a.t, overKey(index), said); err != nil {
				return Outcome{}, err
			}
			continue
		}
		a.t.Remove(overKey(index))
		if err := a.takeBack(key, h); err != nil {
			return Outcome{}, err
		}
	}
	if !any {
		return refused(RuleNotOver), nil
	}
	return a.append(c, storedEvent, 0), nil
}

// under returns the head of the record whose newest version is an entry, if it came under
// an agreement and is kept.
func (a *applier) under(index uint64, by name.Agreement) (h head, key string, ok bool, err error) {
	raw, err := a.t.Entry(index)
	if errors.Is(err, ledger.ErrNotFound) {
		return h, "", false, nil
	}
	if err != nil {
		return h, "", false, err
	}
	kept, err := decodeStored(raw)
	if err != nil || kept.kind != storedRecord {
		return h, "", false, err
	}
	page, err := a.t.Lookup(pageKey(index - kept.ordinal))
	if err != nil {
		return h, "", false, notThere(err)
	}
	if p, err := decodePage(page); err != nil || p.group.agreement != by {
		return h, "", false, err
	}
	t, err := record.Parse(kept.token)
	if err != nil {
		return h, "", false, err
	}
	v, err := t.View()
	if err != nil {
		return h, "", false, err
	}
	key = headKey(v.Council, v.Record)
	if raw, err = a.t.Lookup(key); err != nil {
		return h, "", false, notThere(err)
	}
	h, err = decodeHead(raw)
	return h, key, err == nil && h.index == index && h.state != headWithdrawn, err
}

func notThere(err error) error {
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	return err
}

// A Taken is the newest version of a record that the footprint holds under an agreement.
type Taken struct {
	Index    uint64
	Received time.Time      // when its page was taken
	Body     map[string]any // what of it is seen; nil of a version that says it was deleted
	Said     bool           // this member has said that it may be kept no longer
}

// TakenUnder calls fn with each record that came under an agreement of a contributor, until fn
// returns false. One of which it is not known since when it is here is left out.
func (f *Footprint) TakenUnder(c name.Council, by name.Agreement, fn func(Taken) bool) error {
	var bad error
	err := f.fsm.view(func(v *ledger.ReplicaView) error {
		return v.Walk("h"+string(c)+"\x00", func(_ string, raw []byte) bool {
			h, err := decodeHead(raw)
			if err != nil || h.state == headWithdrawn {
				bad = err
				return err == nil
			}
			e, err := entryAt(v, h.index)
			if err != nil || e.View == nil {
				return true // damaged, or erased by an order: it is named where it is read
			}
			page, err := v.Lookup(pageKey(e.page))
			if err != nil {
				return true
			}
			p, err := decodePage(page)
			if err != nil || p.group.agreement != by {
				return true
			}
			at, err := viewNumber(v, takenKey(e.page))
			if err != nil || at == 0 {
				return true
			}
			t := Taken{Index: h.index, Received: time.Unix(int64(at), 0).UTC(), Body: e.View.Body}
			if raw, err := v.Lookup(overKey(h.index)); err == nil {
				var said []name.Council
				t.Said = json.Unmarshal(raw, &said) == nil && slices.Contains(said, f.o.Self)
			}
			return fn(t)
		})
	})
	return errors.Join(err, bad)
}

// Expire says that entries which came under an agreement may be kept no longer by the text of that
// version. They go once a majority of the members has said so.
func (f *Footprint) Expire(ctx context.Context, by name.Agreement, version int, entries []uint64) error {
	_, err := f.say(ctx, event.KindFootprintExpired, event.FootprintExpired{Footprint: f.o.Name, Agreement: by, Version: uint64(version), Entries: entries}.Body())
	if r, ok := errors.AsType[*Refusal](err); ok && r.Rule == RuleNotOver {
		return nil // they have gone meanwhile
	}
	return err
}

// A Flow is an agreement under which a council contributes.
type Flow struct {
	From      name.Council
	Agreement name.Agreement
}

// Flows returns the agreements under which anything was contributed, sorted.
func (f *Footprint) Flows() (out []Flow, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		return v.Walk("f", func(key string, _ []byte) bool {
			if c, a, ok := strings.Cut(key[1:], "\x00"); ok && a != "" {
				out = append(out, Flow{name.Council(c), name.Agreement(a)})
			}
			return true
		})
	})
	return out, err
}
