package bundle

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What is kept of a record that another council sent has no signature of its own, unless
// it was asked for, and no proof of its place: both were checked when it came, against
// the checkpoint that is kept. So the proof is asked for when a bundle is made.

// HeldOptions are what a bundle of what others sent needs besides.
type HeldOptions struct {
	// Prove returns the checked batch proof of entries of a log at a checkpoint, from
	// whoever keeps that log; nil while the node does not run.
	Prove func(ctx context.Context, log name.Council, at tlog.Checkpoint, entries []tlog.Hash, indexes []uint64) ([]tlog.Hash, error)
	// Most is how many entries it proves at once.
	Most int
	// Cosign returns our cosignature of a checkpoint, nil when there is none.
	Cosign func(*ledger.KnownLog) ([]byte, error)
}

// Shown says what went into a holder's bundle.
type Shown struct {
	Entries  int
	Unproved int   // of them, those that nobody proved
	Because  error // why not
}

// Held writes a bundle of what this council holds of a source, as a stranger can check
// it: the records, the notices of their council about the agreement, and our receipts.
// covers names the agreement, and may narrow it to receipts of some time and to a sample.
func Held(ctx context.Context, o Options, h HeldOptions, v *ledger.View, w io.Writer, src *ledger.Source, covers audit.Covers) (out Shown, err error) {
	if v.PassedOn(src) {
		return out, ErrPassedOn
	}
	b := &heldBundler{bundler: bundler{o: o, v: v, stds: map[name.Standard]bool{}, who: map[name.Council]bool{o.Council: true, src.From: true}}, h: h, src: src, committing: map[string]bool{}}
	head := audit.Header{Council: src.From, Holder: o.Council, Created: o.Now().UTC().Truncate(time.Second), Covers: covers}
	if b.w, err = audit.NewWriter(w, head); err != nil {
		return out, err
	}
	taken, receipts, err := b.receipts(covers)
	if err != nil {
		return out, err
	}
	if covers.Sample.Size > 0 {
		taken = covers.Sample.Draw(taken)
	}
	if err := b.records(taken); err != nil {
		return out, err
	}
	if len(b.es) == 0 {
		return out, ErrEmpty
	}
	if err := b.committed(covers); err != nil {
		return out, err
	}
	if err := b.notices(); err != nil {
		return out, err
	}
	known := o.Ledger.Known(src.From)
	if out, err = b.prove(ctx, known); err != nil {
		return out, err
	}
	if err := b.said(receipts); err != nil {
		return out, err
	}
	signed := known.Note
	if line, err := h.Cosign(known); err != nil {
		return out, err
	} else if line != nil {
		signed = append(slices.Clone(signed), line...)
	}
	if err := b.w.AddCheckpoint(signed, nil); err != nil {
		return out, err
	}
	if err := b.vouch(); err != nil {
		return out, err
	}
	return out, b.w.Close()
}

type heldBundler struct {
	bundler
	h      HeldOptions
	src    *ledger.Source
	es     []audit.Entry
	hashes map[uint64]tlog.Hash

	committing map[string]bool // events of members that are in
}

// receipts returns the entries that our receipts of the time covered say we took,
// ascending, and where the receipts stand in our log.
func (b *heldBundler) receipts(c audit.Covers) (taken, at []uint64, err error) {
	for _, kind := range []string{event.KindReceipt, event.KindRetention} {
		b.v.Events(kind, 0, func(i uint64) bool {
			var ev *record.Event
			if ev, _, err = b.v.Event(i); err != nil {
				return false
			}
			if kind == event.KindRetention {
				r, perr := event.ParseRetention(ev.Body)
				if perr == nil && r.From == b.src.From && r.Agreement == b.src.Agreement {
					at = append(at, i)
				}
				return true
			}
			r, perr := event.ParseReceipt(ev.Body)
			when := time.Unix(ev.IssuedAt, 0)
			if perr != nil || r.From != b.src.From || r.Agreement != b.src.Agreement || when.Before(c.Since) || !c.Until.IsZero() && !when.Before(c.Until) {
				return true
			}
			taken, at = append(taken, r.Held...), append(at, i)
			return true
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.Sort(taken)
	return slices.Compact(taken), at, nil
}

// records takes in what is held of the entries taken. What is damaged cannot be shown,
// and the receipts still count it.
func (b *heldBundler) records(taken []uint64) error {
	b.hashes = map[uint64]tlog.Hash{}
	if b.v.Hides(b.src) {
		return ledger.ErrUnread
	}
	return b.v.Holdings(b.src, 0, func(h *ledger.Holding, err error) bool {
		if err != nil {
			b.o.Log.Error("record left out of a bundle", "error", err.Error())
			return true
		}
		if _, ok := slices.BinarySearch(taken, h.Index); ok {
			b.es = append(b.es, audit.Entry{Index: h.Index, Token: h.Token.Bytes()})
			b.hashes[h.Index] = h.Token.Entry()
			b.stds[h.View.Standard], b.who[h.View.Council] = true, true
		}
		return true
	})
}

// committed takes in the words by which the sender committed to what it permitted, so
// that it is seen whether this is all. Part of what is held is held against nothing.
func (b *heldBundler) committed(c audit.Covers) error {
	if c.Sample.Size > 0 || !c.Since.IsZero() || !c.Until.IsZero() {
		return nil
	}
	if err := b.contradiction(); err != nil {
		return err
	}
	at, jws, err := b.v.Commitment(b.src)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	t, ev, err := record.ParseEvent(jws)
	if err != nil {
		return err
	}
	if at.By != "" {
		said, err := event.ParseFootprintCheckpoint(ev.Body)
		if err != nil {
			return err
		}
		if err := b.member(at.By, jws); err != nil {
			return err
		}
		return b.gone(said.Size, true)
	}
	says, err := event.ParseAgreementCheckpoint(ev.Body)
	if err != nil {
		return err
	}
	b.es = append(b.es, audit.Entry{Index: at.Entry, Token: jws})
	b.hashes[at.Entry] = t.Entry()
	return b.gone(says.Size, false)
}

// member takes in what a member of the footprint that sends committed to, once.
func (b *heldBundler) member(by name.Council, jws []byte) error {
	if b.committing[string(jws)] {
		return nil
	}
	b.committing[string(jws)] = true
	b.who[by] = true
	return b.w.AddEvent(by, jws)
}

// contradiction takes in two commitments of members that cannot both be true.
func (b *heldBundler) contradiction() error {
	at, jws, err := b.v.Contradiction(b.src)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	for i := range at {
		if err == nil && at[i].By != "" {
			err = b.member(at[i].By, jws[i])
		}
	}
	return err
}

// gone takes in what a commitment to a size of the log counts and is not held any more, with the words by
// which the sender took it back; not those of a footprint's contributors, each of which says
// under an agreement of its own what it takes back, so that nothing in the file would tie
// it to an entry.
func (b *heldBundler) gone(size uint64, shared bool) error {
	var list []audit.Gone
	shown := map[uint64]bool{}
	whole, err := b.v.Gone(b.src, func(g ledger.Gone) error {
		if g.Event != nil && !shared && !shown[g.By] {
			t, _, err := record.ParseEvent(g.Event)
			if err != nil {
				return err
			}
			shown[g.By] = true
			b.es = append(b.es, audit.Entry{Index: g.By, Token: g.Event})
			b.hashes[g.By] = t.Entry()
		}
		if g.Index < size {
			list = append(list, goneLine(g))
		}
		return nil
	})
	if err != nil || !whole {
		return err // more went than is remembered: none of it can be shown to be all
	}
	return b.w.SetGone(list)
}

func goneLine(g ledger.Gone) audit.Gone {
	out := audit.Gone{Entry: g.Index, By: g.By, Record: g.Record, Hash: g.Hash, Why: api.GoneNewer}
	switch {
	case g.By == 0:
		out.Why = api.GoneNotHeld
	case g.Erased:
		out.Why = api.GoneErased
	case g.Event != nil:
		out.Why = api.GoneTakenBack
	}
	if g.Was != nil {
		out.Version, out.Digest, out.Fields = g.Was.Version, g.Was.Entry, g.Was.Fields
	}
	return out
}

// notices takes in what the sender said to us of the agreement, and that it has ended. Of a footprint the
// members speak, each in its own log.
func (b *heldBundler) notices() error {
	shared := len(b.o.Keepers(b.src.From)) > 0
	for _, s := range b.o.Ledger.Sources() {
		if s.Agreement != "" || s.From != b.src.From && !shared {
			continue
		}
		err := b.v.ReceivedEvents(s, func(index uint64, jws []byte) error {
			t, ev, err := record.ParseEvent(jws)
			switch {
			case err != nil:
				return err
			case s.From == b.src.From && ev.Kind == event.KindSealed: // it is about all its agreements
			case event.AgreementOf(ev.Body) != b.src.Agreement:
				return nil
			case s.From != b.src.From:
				return b.w.AddEvent(s.From, jws)
			}
			b.es = append(b.es, audit.Entry{Index: index, Token: slices.Clone(jws)})
			b.hashes[index] = t.Entry()
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(b.es, func(x, y audit.Entry) int { return cmp.Compare(x.Index, y.Index) })
	return nil
}

// prove writes the entries in chunks, with the proofs that can be had.
func (b *heldBundler) prove(ctx context.Context, known *ledger.KnownLog) (out Shown, err error) {
	b.es = slices.DeleteFunc(b.es, func(e audit.Entry) bool { return e.Index >= known.Size })
	for len(b.es) > 0 {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		n, size := 0, 0
		for n < len(b.es) && n < b.h.Most && size <= bundleChunkBytes {
			size += len(b.es[n].Token)
			n++
		}
		chunk := b.es[:n]
		b.es = b.es[n:]
		out.Entries += n
		var hashes, proof []tlog.Hash
		var at []uint64
		for _, e := range chunk {
			hashes, at = append(hashes, b.hashes[e.Index]), append(at, e.Index)
		}
		proved := false
		if b.h.Prove != nil && out.Because == nil { // who does not answer once is not asked for each
			proof, out.Because = b.h.Prove(ctx, b.src.From, known.Checkpoint(), hashes, at)
			proved = out.Because == nil
		}
		if proved {
			err = b.w.AddEntries(chunk, proof)
		} else {
			out.Unproved += n
			err = b.w.AddUnproved(chunk)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// said writes the texts of the agreement, and what we said of it, in the order of our log.
func (b *heldBundler) said(receipts []uint64) error {
	a := b.src.Agreement
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
	at := slices.Clone(receipts)
	var failed error
	for _, kind := range append([]string{event.KindHoldingsKept}, agreement.Kinds()...) {
		b.v.Events(kind, 0, func(i uint64) bool {
			var ev *record.Event
			if ev, _, failed = b.v.Event(i); failed == nil && event.AgreementOf(ev.Body) == a {
				at = append(at, i)
			}
			return failed == nil
		})
		if failed != nil {
			return failed
		}
	}
	slices.Sort(at)
	for _, i := range slices.Compact(at) {
		_, jws, err := b.v.Event(i)
		if err == nil {
			err = b.w.AddEvent(b.o.Council, jws)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
