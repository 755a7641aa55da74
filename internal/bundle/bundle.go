// Package bundle gathers from a node's ledger what an auditor is to be handed, and
// writes it as a .stile file; package audit has the format and reads it back.
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrPassedOn: what is held was passed on by who sent it, and its own council's log, in which
// it stands, is not known here.
var ErrPassedOn = errors.New("what is held was passed on, and no bundle is made of that")

// ErrEmpty: there is nothing to put into the bundle.
var ErrEmpty = errors.New("there is nothing to put into the bundle")

// Options say whose bundles are made, and where what stands in them comes from.
// All are required.
type Options struct {
	Council name.Council
	Ledger  *ledger.Ledger
	// Texts returns every text of an agreement, with how it stands.
	Texts func(name.Agreement) []agreement.Status
	// Keepers returns the members of a footprint; none for any other council.
	Keepers func(name.Council) []name.Council
	// Member returns what the directory says of a council, and Evidence the signed
	// files of the directory that say it.
	Member   func(name.Council) (directory.Member, bool)
	Evidence func(...name.Council) (map[string][]byte, error)
	Now      func() time.Time
	Log      *slog.Logger
}

// Agreement writes a bundle of everything of ours that concerns an agreement:
// each version of a record that was disclosed, with the fields that were disclosed
// of it, what was taken back, and what the partners signed. It returns how many entries
// are in it.
//
// covers names the agreement and may narrow it, to what was logged in some time and to
// a sample of the records.
func Agreement(ctx context.Context, o Options, v *ledger.View, w io.Writer, st agreement.Status, covers audit.Covers) (entries int, err error) {
	b, err := begin(o, v, w, covers, false)
	if err != nil {
		return 0, err
	}
	indices, err := b.underAgreement(st, covers)
	if err == nil {
		err = b.write(ctx, indices, st)
	}
	return b.count, err
}

// Records writes a bundle of the newest versions of records of ours, by their ids
// or all of a standard. Each has its open fields, or with full all of them.
func Records(ctx context.Context, o Options, v *ledger.View, w io.Writer, covers audit.Covers, full bool) (entries int, err error) {
	b, err := begin(o, v, w, covers, full)
	if err != nil {
		return 0, err
	}
	indices, err := b.chosen(covers)
	if err == nil {
		err = b.write(ctx, indices, agreement.Status{})
	}
	return b.count, err
}

// HandOver writes a bundle of chosen entries of ours, all of whose fields are in it: what a
// council that has ended hands to one that follows it. With them go the events that say where
// the records were before we took them over.
func HandOver(ctx context.Context, o Options, v *ledger.View, w io.Writer, indices []uint64) (entries int, err error) {
	b, err := begin(o, v, w, audit.Covers{}, true)
	if err != nil {
		return 0, err
	}
	origins, err := b.origins(indices)
	if err != nil {
		return 0, err
	}
	indices = slices.Concat(indices, origins)
	slices.Sort(indices)
	err = b.write(ctx, slices.Compact(indices), agreement.Status{})
	return b.count, err
}

// Statement writes a bundle of a compliance statement and of the entries that it
// was counted from: the live records of its standard at its checkpoint. The bundle
// covers the statement; its other entries are what an auditor needs to count again.
func Statement(ctx context.Context, o Options, v *ledger.View, w io.Writer, ver *ledger.Version, s *measure.Statement, live []uint64, full bool) (entries int, err error) {
	b, err := begin(o, v, w, audit.Covers{Records: []name.Record{ver.Claims.Record}}, full)
	if err != nil {
		return 0, err
	}
	if err := b.entries(ctx, append(live, ver.Index)); err != nil {
		return 0, err
	}
	b.stds[s.Standard] = true // there may be no record of it
	now, _ := v.Checkpoint()
	if cp, note, err := v.CheckpointAt(s.Checkpoint.Size); err == nil {
		var proof []tlog.Hash
		if cp.Size < now.Size {
			if proof, err = tlog.Consistency(v, cp.Size, now.Size); err != nil {
				return 0, err
			}
		}
		if err := b.w.AddCheckpoint(note, proof); err != nil {
			return 0, err
		}
	} else if !errors.Is(err, ledger.ErrNotFound) { // a size that never was: for the auditor to see
		return 0, err
	}
	if err := b.context(agreement.Status{}); err != nil {
		return 0, err
	}
	return b.count, b.w.Close()
}

// A bundler gathers what a bundle is to hold while one view of the ledger is
// open.
type bundler struct {
	o     Options
	v     *ledger.View
	w     *audit.Writer
	keep  func(pointer string, shell bool) bool // which disclosures of a record go in; nil: as under says
	under map[uint64][]*agreement.Terms         // the texts that an entry was disclosed under
	stds  map[name.Standard]bool
	who   map[name.Council]bool
	count int
}

func begin(o Options, v *ledger.View, w io.Writer, covers audit.Covers, full bool) (*bundler, error) {
	b := &bundler{o: o, v: v, stds: map[name.Standard]bool{}, who: map[name.Council]bool{o.Council: true}}
	b.keep = func(string, bool) bool { return full }
	var err error
	b.w, err = audit.NewWriter(w, audit.Header{Council: o.Council, Created: o.Now().UTC().Truncate(time.Second), Covers: covers})
	return b, err
}

// write writes entries and what they are checked against, and ends the bundle.
func (b *bundler) write(ctx context.Context, indices []uint64, st agreement.Status) error {
	if len(indices) == 0 {
		return ErrEmpty
	}
	if err := b.entries(ctx, indices); err != nil {
		return err
	}
	if err := b.context(st); err != nil {
		return err
	}
	return b.w.Close()
}

// chosen returns the log indices of the newest versions that covers asks for.
func (b *bundler) chosen(c audit.Covers) (out []uint64, err error) {
	for _, id := range c.Records {
		ver, err := b.v.Current(id)
		if err != nil {
			return nil, err
		}
		out = append(out, ver.Index)
	}
	if len(c.Records) == 0 {
		err = b.v.Scan(c.Standard, 0, func(ver *ledger.Version, err error) bool {
			if err == nil { // what is damaged cannot be shown; the log still counts it
				out = append(out, ver.Index)
			}
			return true
		})
	}
	origins, ferr := b.origins(out)
	out = append(out, origins...)
	slices.Sort(out)
	return slices.Compact(out), errors.Join(err, ferr)
}

// origins returns the events that say where the records at some entries were before they were
// taken over from councils that have ended.
func (b *bundler) origins(indices []uint64) (out []uint64, err error) {
	for _, i := range indices {
		g, err := b.v.Logged(i)
		if err == nil && g.Record != "" {
			var said []uint64
			said, err = b.v.CameBy(g.Record)
			out = append(out, said...)
		}
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// underAgreement returns the log indices of everything of ours that concerns
// an agreement: what was proposed and signed, every version that was
// disclosed, the disclosures, and what was taken back. Of an entry goes in what the
// texts that it was disclosed under let out, and not what another text would.
func (b *bundler) underAgreement(st agreement.Status, covers audit.Covers) ([]uint64, error) {
	a := st.Agreement
	std, err := b.o.Ledger.StandardOf(a.Standard)
	if err != nil {
		return nil, err
	}
	texts := map[uint64]*agreement.Terms{}
	for _, t := range b.o.Texts(a.Name) {
		of, err := b.o.Ledger.StandardOf(t.Agreement.Standard)
		if err != nil {
			return nil, err
		}
		terms, err := t.Agreement.Compile(of)
		if err != nil {
			// A later version of the line may have open fields that a text made before does not
			// list: nothing of that version went under it, and what went was of an earlier one.
			for _, earlier := range slices.Backward(b.o.Ledger.Standards()) { // ascending versions
				if earlier.Name().Line() != t.Agreement.Standard {
					continue
				}
				if older, oerr := t.Agreement.Compile(earlier); oerr == nil {
					terms, err = older, nil
					break
				}
			}
		}
		if err != nil {
			return nil, err
		}
		texts[uint64(t.Agreement.Version)] = terms
	}
	b.keep, b.under = nil, map[uint64][]*agreement.Terms{}
	if a.Origin != "" {
		b.stds[std.Name()] = true // no record of ours names it
	}
	set, disclosed := map[uint64]bool{}, map[uint64]bool{}
	kinds := append([]string{event.KindWithdrawal, event.KindErasureOrder, event.KindDisclosure, event.KindAnswer, event.KindStandardAdopted, event.KindFootprintConfirmed, event.KindAgreementCheckpoint, event.KindReceiptByCall, event.KindOnward, event.KindOnwardGone, event.KindAgreementSucceeded}, agreement.Kinds()...)
	for _, kind := range kinds {
		var failed error
		b.v.Events(kind, 0, func(i uint64) bool {
			ev, _, err := b.v.Event(i)
			if err != nil {
				failed = err
				return false
			}
			switch {
			case kind == event.KindStandardAdopted:
				if adopted, err := event.ParseStandardAdopted(ev.Body); err == nil && adopted.Standard == std.Name() {
					set[i] = true
				}
			case event.AgreementOf(ev.Body) == a.Name:
				if narrowed(ev, covers) {
					return true
				}
				set[i] = true
				if kind == event.KindOnward {
					b.whoSigned(ev)
				}
				version, entries, err := letOut(ev)
				if err != nil {
					failed = fmt.Errorf("entry %d: %w", i, err)
					return false
				}
				for _, at := range entries {
					disclosed[at] = true
					if t := texts[version]; t != nil && !slices.Contains(b.under[at], t) {
						b.under[at] = append(b.under[at], t)
					}
				}
			}
			return true
		})
		if failed != nil {
			return nil, failed
		}
	}
	if err := b.saidOfCases(a.Name, set); err != nil {
		return nil, err
	}
	if err := b.draw(disclosed, set, covers.Sample); err != nil {
		return nil, err
	}
	out := make([]uint64, 0, len(set))
	for i := range set {
		out = append(out, i)
	}
	slices.Sort(out)
	return out, nil
}

// whoSigned has the keys of those put into the file who signed the agreements before ours.
func (b *bundler) whoSigned(ev *record.Event) {
	o, err := event.ParseOnward(ev.Body)
	if err != nil {
		return
	}
	for _, text := range o.Texts {
		if _, said, err := record.ParseEvent([]byte(text)); err == nil {
			b.who[said.Council] = true
		}
	}
}

// narrowed reports whether an event is left out for the time it was logged at: of the
// agreement's own life nothing is, or nobody could tell what it allowed.
func narrowed(ev *record.Event, covers audit.Covers) bool {
	switch ev.Kind {
	case event.KindDisclosure, event.KindAnswer, event.KindWithdrawal:
		at := time.Unix(ev.IssuedAt, 0)
		return at.Before(covers.Since) || !covers.Until.IsZero() && !at.Before(covers.Until)
	}
	return false
}

// draw moves what was disclosed into set: all of it, or what the sample draws of the
// records, and then all that is no record or was erased.
func (b *bundler) draw(disclosed, set map[uint64]bool, sample audit.Sample) error {
	erased := map[uint64]bool{}
	if sample.Size > 0 {
		by, err := b.erasures()
		if err != nil {
			return err
		}
		for at := range by {
			erased[at] = true
		}
	}
	var records []uint64
	for i := range disclosed {
		if sample.Size > 0 && !erased[i] {
			_, _, err := b.v.Event(i)
			if errors.Is(err, ledger.ErrNotFound) {
				records = append(records, i)
				continue
			}
			if err != nil {
				return err
			}
		}
		set[i] = true
	}
	if sample.Size > 0 {
		for _, i := range sample.Draw(records) {
			set[i] = true
		}
	}
	return nil
}

// letOut returns which entries of our log an event says were let out, and under which
// version of the agreement that it names; none where it does not speak of that.
func letOut(ev *record.Event) (version uint64, entries []uint64, err error) {
	switch ev.Kind {
	case event.KindDisclosure:
		d, err := event.ParseDisclosure(ev.Body)
		return d.Version, d.Entries, err
	case event.KindAnswer:
		a, err := event.ParseAnswer(ev.Body)
		if a.Footprint != "" {
			return 0, nil, err // these are entries of its log
		}
		return a.Version, a.Entries, err
	}
	return 0, nil, nil
}

// withTheLogsOwn adds to ascending indexes the entries that are about our log itself: those
// that say that it was set back, by which who holds an older checkpoint sees that it is no
// other log, and the one by which it was sealed, since the council has ended.
func (b *bundler) withTheLogsOwn(indices []uint64) []uint64 {
	out := slices.Clone(indices)
	for _, kind := range []string{event.KindContinued, event.KindSealed} {
		b.v.Events(kind, 0, func(i uint64) bool {
			out = append(out, i)
			return true
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// entries writes entries in chunks, each with its proof at the view's checkpoint.
func (b *bundler) entries(ctx context.Context, indices []uint64) error {
	indices, err := b.withoutErased(b.withTheLogsOwn(indices))
	if err != nil {
		return err
	}
	cp, _ := b.v.Checkpoint()
	var es []audit.Entry
	var at []uint64
	size := 0
	flush := func() error {
		if len(es) == 0 {
			return nil
		}
		proof, err := tlog.ProveBatch(b.v, at, cp.Size)
		if err != nil {
			return err
		}
		err = b.w.AddEntries(es, proof)
		b.count += len(es)
		es, at, size = nil, nil, 0
		return err
	}
	for _, i := range indices {
		if err := ctx.Err(); err != nil {
			return err
		}
		token, err := b.entry(i)
		if errors.Is(err, ledger.ErrDamaged) {
			b.o.Log.Error("entry left out of a bundle", "error", err.Error())
			continue
		}
		if err != nil {
			return err
		}
		es, at, size = append(es, audit.Entry{Index: i, Token: token}), append(at, i), size+len(token)
		if len(es) == audit.MaxChunk || size > bundleChunkBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// erasures returns the versions that were erased, each with the event that says so.
func (b *bundler) erasures() (by map[uint64]uint64, err error) {
	by = map[uint64]uint64{}
	b.v.Events(event.KindErasure, 0, func(i uint64) bool {
		var e event.Erasure
		e, _, err = ledger.ReadEvent(b.v, i, event.KindErasure, event.ParseErasure)
		for _, at := range e.Entries {
			by[at] = i
		}
		return err == nil
	})
	return by, err
}

// withoutErased puts in the place of versions that were erased the events that say so.
func (b *bundler) withoutErased(indices []uint64) (out []uint64, err error) {
	by, err := b.erasures()
	if err != nil || len(by) == 0 {
		return indices, err
	}
	for _, i := range indices {
		if at, erased := by[i]; erased {
			i = at
		}
		out = append(out, i)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// bundleChunkBytes ends a chunk of a bundle before its limit is near: one more
// token has at most 4 MiB.
const bundleChunkBytes = 4 << 20

func (b *bundler) entry(i uint64) ([]byte, error) {
	ver, err := b.v.Version(i)
	if errors.Is(err, ledger.ErrNotFound) {
		_, jws, err := b.v.Event(i)
		return jws, err
	}
	if err != nil {
		return nil, err
	}
	b.stds[ver.Claims.Standard] = true
	keep := b.keep
	if keep == nil {
		keep = func(pointer string, shell bool) bool {
			return slices.ContainsFunc(b.under[i], func(t *agreement.Terms) bool { return t.Keep(pointer, shell) })
		}
	}
	t, err := ver.Token.Present(keep)
	if err != nil {
		return nil, err
	}
	return t.Bytes(), nil
}

// context writes what the entries are checked against.
func (b *bundler) context(st agreement.Status) error {
	cp, note := b.v.Checkpoint()
	if err := b.w.AddCheckpoint(note, nil); err != nil {
		return err
	}
	cosigned, err := b.v.Cosigned()
	if err != nil {
		return err
	}
	if st.Agreement != nil {
		// A checkpoint can have no more than so many signatures: first those of who is concerned.
		slices.SortStableFunc(cosigned, func(x, y ledger.Cosigned) int {
			switch p, q := st.Agreement.Party(x.Witness), st.Agreement.Party(y.Witness); {
			case p == q:
				return 0
			case p:
				return -1
			}
			return 1
		})
	}
	for _, c := range cosigned {
		b.who[c.Witness] = true
		var proof []tlog.Hash // of one size with the main one: the writer joins the signatures
		if c.Checkpoint.Size < cp.Size {
			if proof, err = tlog.Consistency(b.v, c.Checkpoint.Size, cp.Size); err != nil {
				return err
			}
		}
		if err := b.w.AddCheckpoint(c.Note, proof); err != nil {
			return err
		}
	}
	if st.Agreement != nil {
		if err := b.fromOthers(st); err != nil {
			return err
		}
	}
	return b.vouch()
}

// vouch writes the standards, and what says whose keys are whose.
func (b *bundler) vouch() error {
	for s := range b.stds {
		std, err := b.o.Ledger.Standard(s)
		if err != nil {
			return err
		}
		if err := b.w.AddStandard(std); err != nil {
			return err
		}
	}
	who := slices.Collect(maps.Keys(b.who))
	files, err := b.o.Evidence(who...)
	if err != nil {
		return err
	}
	if err := b.w.AddDirectory(files); err != nil {
		return err
	}
	for c := range b.who {
		if m, ok := b.o.Member(c); ok {
			if err := b.w.AddMember(m.YAML()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fromOthers writes the agreement's versions and what the partners said: their
// signatures and their receipts.
func (b *bundler) fromOthers(st agreement.Status) error {
	a := st.Agreement.Name
	for _, v := range b.o.Texts(a) {
		if err := b.w.AddAgreement(v.Agreement); err != nil {
			return err
		}
		for _, c := range v.Agreement.Parties() {
			b.who[c] = true
			for _, m := range b.o.Keepers(c) {
				b.who[m] = true // they cosign its receipts
			}
		}
	}
	for _, src := range b.o.Ledger.Sources() {
		if src.Agreement != "" {
			continue
		}
		err := b.v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
			_, ev, err := record.ParseEvent(jws)
			if err != nil || event.AgreementOf(ev.Body) != a {
				return err
			}
			b.who[src.From] = true // no party, where it holds what a party passed on
			return b.w.AddEvent(src.From, jws)
		})
		if err != nil {
			return err
		}
	}
	if err := b.heardOfCases(a); err != nil {
		return err
	}
	var failed error
	b.v.Events(event.KindAnswer, 0, func(i uint64) bool {
		failed = b.asked(a, i)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	for _, f := range b.o.Ledger.Feeds() {
		if f.Agreement != a {
			continue
		}
		for _, to := range f.To {
			var failed error
			err := b.v.Receipts(f, to, func(jws []byte) bool {
				if _, ev, err := record.ParseEvent(jws); err == nil {
					if r, err := event.ParseReceipt(ev.Body); err == nil && r.All {
						return true // came among the notices
					}
				}
				failed = b.w.AddEvent(to, jws)
				return failed == nil
			})
			if err = errors.Join(err, failed); err != nil {
				return err
			}
		}
	}
	return nil
}

// asked writes the question that an answer of ours is to, as the asker signed it,
// and its receipt.
func (b *bundler) asked(a name.Agreement, index uint64) error {
	answer, _, err := ledger.ReadEvent(b.v, index, event.KindAnswer, event.ParseAnswer)
	if err != nil || answer.Agreement != a {
		return err
	}
	q, err := b.v.Answered(answer.To, answer.ID)
	if err != nil {
		return err
	}
	b.who[answer.To] = true
	for _, jws := range [][]byte{q.Asked, q.Receipt} {
		if jws != nil {
			err = errors.Join(err, b.w.AddEvent(answer.To, jws))
		}
	}
	return err
}
