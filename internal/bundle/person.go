package bundle

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A Proof says what a bundle about one person is to show.
type Proof struct {
	Records  []name.Record
	Entries  []uint64                  // versions of them, whole, and the events that speak of them
	Under    map[name.Agreement]bool   // the agreements that these events name
	Receipts map[name.Council][][]byte // what receivers signed about them
}

// Person writes a bundle that proves a report about one person: what is held, as it was
// signed, what was let out, taken back and signed for, and the agreements with the
// signatures under them. ErrEmpty when nothing of that is in our log.
func Person(ctx context.Context, o Options, v *ledger.View, w io.Writer, p Proof) (entries int, err error) {
	if len(p.Entries) == 0 {
		return 0, ErrEmpty
	}
	b, err := begin(o, v, w, audit.Covers{Records: slices.Sorted(slices.Values(p.Records))}, true)
	if err != nil {
		return 0, err
	}
	indices := slices.Clone(p.Entries)
	var failed error
	for _, kind := range agreement.Kinds() {
		v.Events(kind, 0, func(i uint64) bool {
			var ev *record.Event
			if ev, _, failed = v.Event(i); failed == nil && p.Under[event.AgreementOf(ev.Body)] {
				indices = append(indices, i)
			}
			return failed == nil
		})
		if failed != nil {
			return 0, failed
		}
	}
	slices.Sort(indices)
	if err := b.entries(ctx, slices.Compact(indices)); err != nil {
		return 0, err
	}
	if err := b.others(p); err != nil {
		return 0, err
	}
	if err := b.context(agreement.Status{}); err != nil {
		return 0, err
	}
	return b.count, b.w.Close()
}

// others writes the texts of agreements and what the parties signed.
func (b *bundler) others(p Proof) error {
	for _, a := range slices.Sorted(maps.Keys(p.Under)) {
		for _, t := range b.o.Texts(a) {
			if err := b.w.AddAgreement(t.Agreement); err != nil {
				return err
			}
			for _, c := range t.Agreement.Parties() {
				b.who[c] = true
				for _, m := range b.o.Keepers(c) {
					b.who[m] = true
				}
			}
		}
	}
	for _, src := range b.o.Ledger.Sources() {
		if src.Agreement != "" {
			continue
		}
		err := b.v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
			_, ev, err := record.ParseEvent(jws)
			if err != nil || !p.Under[event.AgreementOf(ev.Body)] || ev.Kind == event.KindReceipt {
				return err
			}
			return b.w.AddEvent(src.From, jws)
		})
		if err != nil {
			return err
		}
	}
	for _, c := range slices.Sorted(maps.Keys(p.Receipts)) {
		b.who[c] = true
		for _, jws := range p.Receipts[c] {
			if err := b.w.AddEvent(c, jws); err != nil {
				return err
			}
		}
	}
	for a := range p.Under {
		for _, i := range p.Entries {
			ev, _, err := b.v.Event(i)
			if errors.Is(err, ledger.ErrNotFound) || err == nil && ev.Kind != event.KindAnswer {
				continue
			}
			if err == nil {
				err = b.asked(a, i)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
