package succession

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/bundle"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Options say whose succession it is. All but Rehearsal are required.
type Options struct {
	Self    name.Council
	Ledger  *ledger.Ledger
	Bundles func() bundle.Options
	Log     *slog.Logger
	Now     func() time.Time
	// Member returns what the directory says of a council, and Members all there are.
	Member  func(name.Council) (directory.Member, bool)
	Members func() []directory.Member
	// Ending returns the agreements of ours that are not over, and End ends them, with what
	// is held under them.
	Ending func() []api.EndingAgreement
	End    func(context.Context, End) error
	// Unreceived returns who has said neither that it deleted what it held of ours nor that
	// it keeps that for successors, and who has said the latter.
	Unreceived func() ([]name.Council, []api.KeptReply, error)
	// Put puts records through the gate, and RecordID says which record of ours has a key.
	Put      func(context.Context, api.PutRequest) (*api.PutReply, error)
	RecordID func(line name.StandardLine, key string) name.Record
	// Footprints returns the footprints that we are in, and what stands in the way of leaving
	// them, in words. Leave leaves them all, once agreements have ended; it goes on where it
	// was when it is called again.
	Footprints func() (in []api.EndingFootprint, faults []string, err error)
	Leave      func(ctx context.Context) error
	// Handovers returns the handovers that somebody has to carry on when we end, of each to whom
	// its records go by share, which says whose a record is; to nobody where it is not decided.
	// WithdrawOffers takes back those of ours that were not answered. Own puts records that were
	// taken over in handovers among our own, as far as share gives them to somebody, or only says
	// how many; left says why others are not put.
	Handovers      func(share Share) ([]event.HandoverSucceeded, error)
	WithdrawOffers func(ctx context.Context, because, by string) error
	Own            func(ctx context.Context, share Share, try bool) (put int, left []string, err error)
	// Carry carries a handover on in the place of a council that has ended.
	Carry func(context.Context, event.HandoverCarried) (entry uint64, logged bool, err error)
	// Unfinished returns what people have let out by hand, or taken over so, that goes to no
	// successor, in words.
	Unfinished func() ([]string, error)
	// Dir is the folder of files that are on their way from or to another council.
	Dir string
	// Reach returns how to open streams of /stile/handover/1 to a council, which may have
	// ended, until done is called.
	Reach func(context.Context, name.Council) (open func(context.Context) (wire.Stream, error), done func(), err error)
	// Rehearsal: it is a copy that is tried, so that the day does not matter.
	Rehearsal bool
}

// A Share says by a plan which successor takes a record; "" for nobody.
type Share func(of name.StandardName, body map[string]any) name.Council

// An End is why our agreements end.
type End struct {
	Because, By string // for partners to read, and the person who does it
	On          string // first day of the successors
	// To says of each agreement of ours under which records go, by name, which successors
	// take some of them.
	To map[name.Agreement][]name.Council
}

// A Keeper closes a ledger, and takes over from one that is closed. Its methods may be
// called concurrently.
type Keeper struct {
	o Options

	mu       sync.Mutex
	carrying map[name.Council]bool // whom a file is being sent to
	fetching sync.Mutex            // held while a file is fetched
}

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{o: o, carrying: map[name.Council]bool{}} }

// early is how long before the first day of the successors a ledger may be sealed: what
// is still to be written on the last day is written before.
const early = 36 * time.Hour

// shared is what a plan makes of the records of a ledger at one size.
type shared struct {
	size    uint64
	entries map[name.Council][]uint64
	to      map[name.Agreement][]name.Council // who takes records that go under an agreement of ours
	cases   []event.HandoverSucceeded         // handovers, and who carries them on
	reply   *api.SuccessionReply
}

// Preview says what a plan makes of our records and agreements, and what stands in the
// way. It changes nothing.
func (k *Keeper) Preview(ctx context.Context, in api.SuccessionRequest) (*api.SuccessionReply, error) {
	p, err := k.plan(in.Plan)
	if err != nil {
		return nil, err
	}
	if k.o.Ledger.IsSealed() {
		return k.sealed()
	}
	s, err := k.share(ctx, p)
	if err != nil {
		return nil, err
	}
	return s.reply, nil
}

func (k *Keeper) plan(b []byte) (*Plan, error) {
	p, err := Parse(b)
	if err != nil {
		return nil, api.Fail(api.Invalid, "docs/succession.md says what a plan holds", "%v", err)
	}
	if _, ok := p.Ending(k.o.Self); !ok {
		return nil, api.Fail(api.Refused, "run it on the node of a council that ends", "%s does not end by this plan", k.o.Self)
	}
	return p, nil
}

// share counts what each successor has.
func (k *Keeper) share(ctx context.Context, p *Plan) (*shared, error) {
	sharer, err := p.Sharer(k.o.Self)
	if err != nil {
		return nil, err
	}
	s := &shared{entries: map[name.Council][]uint64{}, to: map[name.Agreement][]name.Council{}, reply: &api.SuccessionReply{
		Succession: p.Name, Council: k.o.Self, On: p.On, Agreements: k.o.Ending(),
	}}
	if s.reply.Footprints, s.reply.Faults, err = k.o.Footprints(); err != nil {
		return nil, err
	}
	counts := map[name.Council]map[name.Standard]int{}
	type group struct {
		of  name.Standard
		why string
	}
	nobody, unused := map[group]*api.SharedToNobody{}, sharer.unused()
	var feeds []*ledger.Feed
	for _, f := range k.o.Ledger.Feeds() {
		if f.Agreement != "" && !f.Closed() && f.Copied() {
			feeds, s.to[f.Agreement] = append(feeds, f), nil
		}
	}
	err = k.o.Ledger.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		s.size = cp.Size
		seen := map[name.StandardName]bool{}
		for _, std := range k.o.Ledger.Standards() {
			of := std.Name().Name
			if seen[of] {
				continue
			}
			seen[of] = true
			var failed error
			err := v.Scan(of, 0, func(ver *ledger.Version, err error) bool {
				if failed = errors.Join(err, ctx.Err()); failed != nil {
					return false
				}
				id := ver.Claims.Record
				if _, made := v.MadeFrom(ver.Standard, id); made || of == measure.Standard {
					s.reply.Stays++
					return true
				}
				to, why := sharer.To(of, ver.Body)
				unused.has(sharer, of, ver.Body)
				if to == "" {
					key := group{ver.Claims.Standard, why}
					x := nobody[key]
					if x == nil {
						x = &api.SharedToNobody{Standard: key.of, Why: why}
						nobody[key] = x
					}
					if x.Records++; len(x.Examples) < 10 {
						x.Examples = append(x.Examples, id)
					}
					return true
				}
				s.entries[to] = append(s.entries[to], ver.Index)
				if failed = s.goesUnder(v, feeds, id, to); failed != nil {
					return false
				}
				if counts[to] == nil {
					counts[to] = map[name.Standard]int{}
				}
				counts[to][ver.Claims.Standard]++
				return true
			})
			if err = errors.Join(err, failed); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, ledger.ErrDamaged) {
		return nil, api.Fail(api.Unverified, "stile doctor", "share the records out: %v", err)
	}
	if err != nil {
		return nil, err
	}
	k.describe(p, s, counts)
	share := func(of name.StandardName, body map[string]any) name.Council {
		to, _ := sharer.To(of, body)
		return to
	}
	if !k.o.Ledger.IsSealed() {
		if err := k.handovers(ctx, s, share); err != nil {
			return nil, err
		}
	}
	unfinished, err := k.o.Unfinished()
	if err != nil {
		return nil, err
	}
	s.reply.Warnings = slices.Concat(unfinished, s.reply.Warnings, unused.words(), k.apart(p, s.reply))
	for _, x := range nobody {
		s.reply.Nobody = append(s.reply.Nobody, *x)
	}
	slices.SortFunc(s.reply.Nobody, func(a, b api.SharedToNobody) int {
		return strings.Compare(a.Standard.String()+" "+a.Why, b.Standard.String()+" "+b.Why)
	})
	return s, nil
}

// handovers finds who carries our handovers on.
func (k *Keeper) handovers(ctx context.Context, s *shared, share Share) (err error) {
	if s.cases, err = k.o.Handovers(share); err != nil {
		return err
	}
	for i := range s.cases {
		h := &s.cases[i]
		if len(h.To) == 0 { // each has it, until people have decided
			for _, x := range s.reply.Successors {
				h.To = append(h.To, event.CarriedTo{Council: x.Council})
			}
		}
		r := api.EndingHandover{Case: h.Case.String(), Direction: "from", Partner: h.Partner, State: h.State, Due: h.Due, Responsible: h.Partner}
		if h.Sends {
			r.Direction = "to"
		}
		if h.Sends == (h.State == event.CarriedOffered) {
			r.Responsible = k.o.Self
		}
		for _, x := range h.To {
			r.To, r.Records = append(r.To, x.Council), r.Records+len(x.Records)
		}
		s.reply.Handovers = append(s.reply.Handovers, r)
	}
	var left []string
	if s.reply.Own, left, err = k.o.Own(ctx, share, true); err != nil {
		return err
	}
	s.reply.Warnings = append(s.reply.Warnings, left...)
	return nil
}

// sayHandovers logs who carries our handovers on, what stands there already left out.
func (k *Keeper) sayHandovers(ctx context.Context, cases []event.HandoverSucceeded) error {
	said := map[event.CaseID]string{}
	err := k.o.Ledger.View(func(v *ledger.View) error {
		all, err := eachHandover(v)
		for _, x := range all {
			said[x.is.Case] = string(strictjson.Canonical(x.is.Body()))
		}
		return err
	})
	for _, h := range cases {
		if err == nil && said[h.Case] != string(strictjson.Canonical(h.Body())) {
			_, _, err = k.o.Ledger.AppendNotice(ctx, event.KindHandoverSucceeded, h.Body())
		}
	}
	return err
}

// A saidOf is a handover and the entry of our log that says who carries it on.
type saidOf struct {
	is    event.HandoverSucceeded
	entry uint64
}

// eachHandover returns what our log says of who carries our handovers on: the last of each.
func eachHandover(v *ledger.View) (out map[event.CaseID]saidOf, err error) {
	out = map[event.CaseID]saidOf{}
	v.Events(event.KindHandoverSucceeded, 0, func(i uint64) bool {
		var h event.HandoverSucceeded
		if h, _, err = ledger.ReadEvent(v, i, event.KindHandoverSucceeded, event.ParseHandoverSucceeded); err == nil {
			out[h.Case] = saidOf{h, i}
		}
		return err == nil
	})
	return out, err
}

// goesUnder notes that a successor takes a record, at the agreements under which it goes.
func (s *shared) goesUnder(v *ledger.View, feeds []*ledger.Feed, id name.Record, to name.Council) error {
	for _, f := range feeds {
		if slices.Contains(s.to[f.Agreement], to) {
			continue
		}
		_, withdrawn, err := v.InFeed(f, id)
		if errors.Is(err, ledger.ErrNotFound) || withdrawn {
			continue
		}
		if err != nil {
			return err
		}
		s.to[f.Agreement] = append(s.to[f.Agreement], to)
	}
	return nil
}

// describe names the successors of ours by a plan, and what each has.
func (k *Keeper) describe(p *Plan, s *shared, counts map[name.Council]map[name.Standard]int) {
	e, _ := p.Ending(k.o.Self)
	var to []name.Council
	for _, c := range p.Begins {
		named := c == e.To || c == e.Rest
		for _, x := range e.Split {
			_, value := x.Values[c]
			_, row := x.Rows[c]
			named = named || value || row
		}
		if named {
			to = append(to, c)
		}
	}
	slices.Sort(to)
	for _, c := range to {
		r := api.SuccessorReply{Council: c, Records: len(s.entries[c]), Standards: sharedStandards(counts[c])}
		if m, ok := k.o.Member(c); ok && len(m.RecordKeys) > 0 {
			r.KeyID = m.RecordKeys[0].ID()
		} else {
			s.reply.Faults = append(s.reply.Faults, fmt.Sprintf("%s is not in the directory, so that its key cannot be named", c))
		}
		s.reply.Successors = append(s.reply.Successors, r)
	}
}

// apart returns where the directory says something else of our end than a plan. Partners go by
// the directory: what they hold they would delete at the seal, and not keep for the successors.
func (k *Keeper) apart(p *Plan, r *api.SuccessionReply) (out []string) {
	if len(r.Agreements) == 0 {
		return nil
	}
	const then = "partners delete what they hold of ours when the ledger is sealed, and keep nothing for the successors"
	us, _ := k.o.Member(k.o.Self)
	if us.Ended.IsZero() {
		return []string{fmt.Sprintf("the directory does not say yet that %s ends on %s: while it does not, %s", k.o.Self, p.On, then)}
	}
	if on := us.Ended.UTC().Format(time.DateOnly); on != p.On {
		out = append(out, fmt.Sprintf("the directory says that %s ends on %s, and the plan says %s: %s", k.o.Self, on, p.On, then))
	}
	for _, x := range r.Successors {
		if x.Records > 0 && !slices.Contains(us.Successors, x.Council) {
			out = append(out, fmt.Sprintf("the directory does not name %s as a successor of %s: while it does not, %s", x.Council, k.o.Self, then))
		}
	}
	return out
}

func sharedStandards(counts map[name.Standard]int) []api.SharedStandard {
	out := []api.SharedStandard{}
	for std, n := range counts {
		out = append(out, api.SharedStandard{Standard: std, Records: n})
	}
	slices.SortFunc(out, func(a, b api.SharedStandard) int { return strings.Compare(a.Standard.String(), b.Standard.String()) })
	return out
}

// Seal ends our agreements and writes the last entry of our ledger: nothing is signed
// after it, for good.
func (k *Keeper) Seal(ctx context.Context, in api.SuccessionRequest) (*api.SuccessionReply, error) {
	p, err := k.plan(in.Plan)
	if err != nil {
		return nil, err
	}
	if k.o.Ledger.IsSealed() {
		return nil, api.Fail(api.Conflict, "stile council succeed PLAN --hand-over DIR", "the ledger is sealed already")
	}
	if now := k.o.Now(); !k.o.Rehearsal && now.Before(p.Day().Add(-early)) {
		return nil, api.Fail(api.Refused, "wait until then; --preview and --rehearse show what it will do", "it is too early: the ledger may be sealed from 36 hours before the %s on", p.On)
	}
	s, err := k.share(ctx, p)
	if err == nil {
		err = fit(s.reply)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, x := range s.reply.Successors {
		names = append(names, string(x.Council))
	}
	end := End{By: in.By, On: p.On, To: s.to, Because: fmt.Sprintf("%s ends, and on %s is succeeded by %s", k.o.Self, p.On, strings.Join(names, ", "))}
	// Who carries a handover on is said before its offer is taken back, which forgets how it stood.
	if err := k.sayHandovers(ctx, s.cases); err != nil {
		return nil, err
	}
	if err := k.o.WithdrawOffers(ctx, end.Because, in.By); err != nil {
		return nil, err
	}
	if err := k.o.End(ctx, end); err != nil {
		return nil, err
	}
	if err := k.o.Leave(ctx); err != nil {
		return nil, err
	}
	// Behind the end of our agreements, so that none of it goes out under one.
	if err := k.own(ctx, p); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if s, err = k.share(ctx, p); err == nil {
			err = fit(s.reply)
		}
		if err != nil {
			return nil, err
		}
		_, err = k.o.Ledger.Seal(ctx, s.last(p), func(entries uint64) error {
			if entries != s.size {
				return errMoved
			}
			return nil
		}, k.partners()...)
		switch {
		case err == nil:
			return k.sealed()
		case !errors.Is(err, errMoved):
			return nil, err
		case try == 20:
			return nil, api.Fail(api.Conflict, "stop what writes records, and seal again", "the ledger changed each time the records were shared out; the agreements have ended")
		}
	}
}

// own puts what we took over in handovers among our records.
func (k *Keeper) own(ctx context.Context, p *Plan) error {
	sharer, err := p.Sharer(k.o.Self)
	if err != nil {
		return err
	}
	_, _, err = k.o.Own(ctx, func(of name.StandardName, body map[string]any) name.Council {
		to, _ := sharer.To(of, body)
		return to
	}, false)
	return err
}

var errMoved = errors.New("the ledger has changed since the records were shared out")

// partners are the councils that are told of the seal: all whom something was addressed to.
func (k *Keeper) partners() (out []name.Council) {
	for _, f := range k.o.Ledger.Feeds() {
		for _, c := range f.To {
			if _, ok := k.o.Member(c); ok && c != k.o.Self {
				out = append(out, c)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// last returns the last entry.
func (s *shared) last(p *Plan) event.Sealed {
	e := event.Sealed{On: p.On, Plan: string(p.JSON())}
	for _, x := range s.reply.Successors {
		e.Successors = append(e.Successors, event.Successor{
			Council: x.Council, KeyID: x.KeyID, Records: uint64(x.Records), Entries: event.EntriesDigest(s.entries[x.Council]),
		})
	}
	return e
}

// fit returns why nothing may be sealed.
func fit(r *api.SuccessionReply) error {
	n := 0
	for _, x := range r.Nobody {
		n += x.Records
	}
	if n > 0 {
		return api.Fail(api.Invalid, "stile council succeed PLAN --preview lists them; change the plan, or the records", "the plan gives %s to nobody", counted(n))
	}
	if len(r.Faults) > 0 {
		return api.Fail(api.Refused, "stile council succeed PLAN --preview", "the ledger cannot be sealed: %s", strings.Join(r.Faults, "; "))
	}
	return nil
}

func counted(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// sealed says how a ledger that is sealed stands.
func (k *Keeper) sealed() (out *api.SuccessionReply, err error) {
	err = k.o.Ledger.View(func(v *ledger.View) error {
		e, index, ok, err := v.Sealed()
		if err != nil || !ok {
			return errors.Join(err, api.Fail(api.NotFound, "stile council succeed PLAN --preview", "the ledger is not sealed"))
		}
		p, err := Parse([]byte(e.Plan))
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		cp, _ := v.Checkpoint()
		out = &api.SuccessionReply{
			Succession: p.Name, Council: k.o.Self, On: e.On, Sealed: true, Entry: index, Size: cp.Size, Root: base64.StdEncoding.EncodeToString(cp.Root[:]),
		}
		for _, x := range e.Successors {
			out.Successors = append(out.Successors, api.SuccessorReply{Council: x.Council, KeyID: x.KeyID, Records: int(x.Records), Standards: []api.SharedStandard{}})
		}
		cosigned, err := v.Cosigned()
		for _, c := range cosigned {
			if c.Checkpoint.Size == cp.Size && c.Checkpoint.Root == cp.Root {
				out.Witnesses = append(out.Witnesses, c.Witness)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Unreceived, out.Kept, err = k.o.Unreceived()
	return out, err
}

// Show says how our ledger, which is sealed, stands.
func (k *Keeper) Show(context.Context, api.Empty) (*api.SuccessionReply, error) { return k.sealed() }

// HandOver writes what one successor takes over into a new file: the newest version of each
// record, whole, with the proof that it stands in our sealed log.
func (k *Keeper) HandOver(ctx context.Context, in api.HandOverRequest) (*api.BundleReply, error) {
	return k.handOver(ctx, in.To, in.File, func(w io.Writer) io.Writer { return w })
}

// handOver writes the file at path, through what around returns.
func (k *Keeper) handOver(ctx context.Context, to name.Council, path string, around func(io.Writer) io.Writer) (*api.BundleReply, error) {
	indices, err := k.entriesFor(ctx, to)
	if err != nil {
		return nil, err
	}
	return k.write(path, func(w io.Writer) (n int, err error) {
		err = k.o.Ledger.View(func(v *ledger.View) (err error) {
			n, err = bundle.HandOver(ctx, k.o.Bundles(), v, around(w), indices)
			return err
		})
		return n, err
	})
}

// entriesFor returns the entries of a sealed ledger that are for a successor, and the last one.
func (k *Keeper) entriesFor(ctx context.Context, to name.Council) (indices []uint64, err error) {
	err = k.o.Ledger.View(func(v *ledger.View) error {
		e, index, ok, err := v.Sealed()
		if err != nil {
			return err
		}
		if !ok {
			return api.Fail(api.Behind, "stile council succeed PLAN --yes seals it", "the ledger is not sealed yet")
		}
		share, ok := e.To(to)
		if !ok {
			return api.Fail(api.NotFound, "stile council succeed PLAN --preview", "%s is no successor of %s", to, k.o.Self)
		}
		p, err := Parse([]byte(e.Plan))
		if err != nil {
			return err
		}
		s, err := k.share(ctx, p)
		if err != nil {
			return err
		}
		if indices = s.entries[to]; event.EntriesDigest(indices) != share.Entries {
			return api.Fail(api.Unverified, "stile doctor", "the records for %s are not those that the last entry names", to)
		}
		indices = append(slices.Clone(indices), index)
		cases, err := eachHandover(v)
		for _, x := range cases {
			if slices.ContainsFunc(x.is.To, func(c event.CarriedTo) bool { return c.Council == to }) {
				indices = append(indices, x.entry)
			}
		}
		return err
	})
	return indices, err
}

func (k *Keeper) write(path string, fill func(io.Writer) (int, error)) (*api.BundleReply, error) {
	if !filepath.IsAbs(path) {
		return nil, api.Fail(api.Usage, "", "the file must be named from the root of the disk")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, api.Fail(api.Conflict, "name another folder, or move the old file away", "%q is there already", path)
	}
	if err != nil {
		return nil, api.Fail(api.Failed, "look at the path again", "hand over: %v", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	n, err := fill(w)
	if err == nil {
		err = errors.Join(w.Flush(), f.Sync())
	}
	size, _ := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return nil, err
	}
	return &api.BundleReply{Entries: n, Bytes: uint64(size)}, nil
}

// Succeeded says who goes on with a record of ours, nil while our ledger is not sealed.
func Succeeded(v *ledger.View, ver *ledger.Version) (*api.SucceededReply, error) {
	e, index, ok, err := v.Sealed()
	if err != nil || !ok {
		return nil, err
	}
	p, err := Parse([]byte(e.Plan))
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	out := &api.SucceededReply{On: e.On, Entry: index}
	s, err := p.Sharer(ver.Claims.Council)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	if _, made := v.MadeFrom(ver.Standard, ver.Claims.Record); !made && ver.Body != nil && ver.Claims.Standard.Name != measure.Standard {
		out.Council, _ = s.To(ver.Claims.Standard.Name, ver.Body)
	}
	return out, nil
}

func hash64(h tlog.Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }
