package audit

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Walked is one entry of a council's own log, as whoever may see all of it is shown it.
type Walked struct {
	Index  uint64
	Token  []byte      // an event, or a record with every disclosure; nil for one that was erased
	Record name.Record // of one that was erased
}

// A RunOf is what [Run] counts again: an agreement's commitments.
type RunOf struct {
	Agreement name.Agreement
	Texts     []*agreement.Agreement // every version of it
	Standards []*standard.Standard   // every version of its standard in use at the council
	All       bool                   // every commitment, and not the newest for each receiver alone
	// Walk calls f with every entry of the log, in order. That an entry is what the log
	// has is for who walks to check.
	Walk func(ctx context.Context, f func(Walked) error) error
}

// maxListedMembers is how many records of each kind a report lists; all are counted.
const maxListedMembers = 1000

// A version is one version of a record, and under which texts it may go.
type version struct {
	index  uint64
	record name.Record
	next   uint64      // where the record's next version stands; 1<<63 for none
	under  []tlog.Hash // by text: as a member of what that permits; zero where it does not
	number uint64
	erased bool
	put    bool // and no deletion
}

type sent struct {
	at      uint64
	to      name.Council
	version uint64
	entries []uint64
}

// Run counts again, from a council's own records, what an agreement permitted each
// receiver at the sizes of the log at which the council committed to it: of each record
// the newest version there was, if the rows of that text pick it, with the fields that it
// lets out. It compares that with what the council committed to, and with what the log
// says was sent. It asks nothing that the node decides by.
func Run(ctx context.Context, o RunOf) (*api.AuditReply, error) {
	r := &runner{o: o, terms: map[name.Standard][]*agreement.Terms{}, last: map[name.Record]int{}, erasedBy: map[uint64]uint64{}}
	slices.SortFunc(r.o.Texts, func(a, b *agreement.Agreement) int { return a.Version - b.Version })
	for _, std := range o.Standards {
		terms := make([]*agreement.Terms, len(r.o.Texts))
		for i, text := range r.o.Texts {
			if text.Standard == std.Name().Line() {
				terms[i], _ = text.Compile(std) // nil lets nothing out
			}
		}
		r.terms[std.Name()] = terms
	}
	if err := o.Walk(ctx, r.walk); err != nil {
		return nil, err
	}
	out := &api.AuditReply{Agreement: o.Agreement, Checkpoints: []api.AuditedCheckpoint{}}
	newest := map[name.Council]bool{}
	for i := len(r.commitments) - 1; i >= 0; i-- {
		c := r.commitments[i]
		if newest[c.To] && !o.All && r.twice(i) == nil {
			continue
		}
		newest[c.To] = true
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got := r.check(i)
		out.Failed = out.Failed || got.Result == string(Failed)
		out.Checkpoints = append(out.Checkpoints, got)
	}
	slices.Reverse(out.Checkpoints)
	return out, nil
}

type commitment struct {
	event.AgreementCheckpoint
	entry uint64
}

type runner struct {
	o           RunOf
	terms       map[name.Standard][]*agreement.Terms
	versions    []version // by index
	last        map[name.Record]int
	commitments []commitment
	sent        []sent
	withdrawn   []claimedAt
	erasedBy    map[uint64]uint64 // entry of an erased version to that of what says so
}

type claimedAt struct {
	at      uint64
	record  name.Record
	version uint64
}

func (r *runner) walk(w Walked) error {
	switch {
	case w.Token == nil:
		r.add(version{index: w.Index, record: w.Record, erased: true})
		return nil
	case bytes.IndexByte(w.Token, '~') < 0:
		return r.event(w)
	}
	t, err := record.Parse(w.Token)
	if err != nil {
		return fmt.Errorf("entry %d: %w", w.Index, err)
	}
	view, err := t.View()
	if err != nil {
		return fmt.Errorf("entry %d: %w", w.Index, err)
	}
	terms, known := r.terms[view.Standard]
	if !known {
		return nil // of another standard
	}
	v := version{index: w.Index, record: view.Record, number: view.Version, put: view.Op == record.Put, under: make([]tlog.Hash, len(terms))}
	for i, of := range terms {
		if of == nil || view.Op != record.Put || !of.Match(view.Body) {
			continue
		}
		if v.under[i], err = memberUnder(t, view, w.Index, of); err != nil {
			return fmt.Errorf("entry %d: %w", w.Index, err)
		}
	}
	r.add(v)
	return nil
}

const never = 1 << 63

func (r *runner) add(v version) {
	if at, ok := r.last[v.record]; ok {
		r.versions[at].next = v.index
	}
	v.next = never
	r.last[v.record] = len(r.versions)
	r.versions = append(r.versions, v)
}

func (r *runner) event(w Walked) error {
	_, ev, err := record.ParseEvent(w.Token)
	if err != nil {
		return fmt.Errorf("entry %d: %w", w.Index, err)
	}
	if ev.Kind == event.KindErasure {
		e, err := event.ParseErasure(ev.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", w.Index, err)
		}
		for _, index := range e.Entries {
			r.erasedBy[index] = w.Index
		}
		return nil
	}
	if event.AgreementOf(ev.Body) != r.o.Agreement {
		return nil
	}
	switch ev.Kind {
	case event.KindAgreementCheckpoint:
		c, err := event.ParseAgreementCheckpoint(ev.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", w.Index, err)
		}
		r.commitments = append(r.commitments, commitment{c, w.Index})
	case event.KindDisclosure:
		d, err := event.ParseDisclosure(ev.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", w.Index, err)
		}
		r.sent = append(r.sent, sent{w.Index, d.To, d.Version, d.Entries})
	case event.KindWithdrawal, event.KindErasureOrder:
		b, err := event.ParseTakenBack(ev.Kind, ev.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", w.Index, err)
		}
		r.withdrawn = append(r.withdrawn, claimedAt{w.Index, b.Record, b.Version})
	}
	return nil
}

// twice returns another commitment to the same that says something else.
func (r *runner) twice(i int) *commitment {
	c := r.commitments[i]
	for j := range r.commitments {
		if d := &r.commitments[j]; j != i && d.To == c.To && d.Version == c.Version && d.Size == c.Size && (d.Count != c.Count || d.Root != c.Root) {
			return d
		}
	}
	return nil
}

func (r *runner) check(i int) api.AuditedCheckpoint {
	c := r.commitments[i]
	out := api.AuditedCheckpoint{
		Entry: c.entry, To: c.To, Version: int(c.Version), Size: c.Size, Committed: api.AuditedSum{Count: c.Count, Root: c.Root.String()}, Result: string(OK),
	}
	fail := func(because string) {
		out.Result = string(Failed)
		out.Because = append(out.Because, because)
	}
	if d := r.twice(i); d != nil {
		fail(fmt.Sprintf("entry %d commits to another count or root at the same size", d.entry))
	}
	if c.Size > c.entry {
		fail("it commits to more of the log than there was")
	}
	text := slices.IndexFunc(r.o.Texts, func(a *agreement.Agreement) bool { return uint64(a.Version) == c.Version })
	if text < 0 {
		out.Result, out.Because = string(NotDone), append(out.Because, "the text of that version is not here")
		return out
	}
	if !slices.Contains(r.o.Texts[text].To, c.To) {
		fail("that version lets this council receive nothing")
	}
	sentTo := map[uint64]bool{}
	for _, s := range r.sent {
		if s.at < c.entry && s.to == c.To && s.version == c.Version {
			for _, e := range s.entries {
				sentTo[e] = true
			}
		}
	}
	var tally, went tlog.Tally
	taken := r.takenSince(c.AgreementCheckpoint)
	permitted, newestSent := map[name.Record]bool{}, map[name.Record]*version{}
	for n := range r.versions {
		v := &r.versions[n]
		if v.index >= c.Size {
			break
		}
		if sentTo[v.index] {
			newestSent[v.record] = v
		}
		if v.next < c.Size {
			continue
		}
		switch {
		case v.erased:
			if sentTo[v.index] {
				out.Erased++
				gone(&out, v.index, v.record, v.number, api.GoneErased, r.erasedBy[v.index])
			}
		case v.under[text] != tlog.Hash{}:
			tally.Add(v.under[text])
			permitted[v.record] = true
			if why, by := r.goneBy(v, taken); why != "" {
				gone(&out, v.index, v.record, v.number, why, by)
			}
			if sentTo[v.index] {
				went.Add(v.under[text])
				continue
			}
			out.Lacks++
			if len(out.Lacking) < maxListedMembers {
				out.Lacking = append(out.Lacking, api.AuditedRecord{Entry: v.index, Record: v.record, Version: v.number})
			}
		}
	}
	back := map[name.Record]uint64{}
	for _, w := range r.withdrawn {
		if w.at < c.entry && w.version == c.Version {
			back[w.record] = w.at
		}
	}
	for n := range r.versions {
		v := &r.versions[n]
		if v.index >= c.Size {
			break
		}
		if v.erased || newestSent[v.record] != v || permitted[v.record] || back[v.record] > v.index {
			continue
		}
		out.Excess++
		if len(out.Exceeding) < maxListedMembers {
			out.Exceeding = append(out.Exceeding, api.AuditedRecord{Entry: v.index, Record: v.record, Version: v.number})
		}
	}
	out.Counted = api.AuditedSum{Count: tally.Size(), Root: tally.Root().String()}
	if out.Lacks > 0 {
		fail(fmt.Sprintf("the log says of %s that the agreement permits nowhere that it was sent", count(out.Lacks, "record")))
	}
	if out.Excess > 0 {
		fail(fmt.Sprintf("%s sent that the agreement did not permit then, and not taken back", was(out.Excess, "record")))
	}
	switch {
	case tally.Size() == c.Count && tally.Root() == c.Root:
	case out.Erased > 0:
		out.Because = append(out.Because, fmt.Sprintf("%s that it may count were erased since, so that the root cannot be made again", count(out.Erased, "record")))
		if out.Result == string(OK) {
			out.Result = string(NotDone)
		}
	case went.Size() == c.Count && went.Root() == c.Root:
		fail("what it commits to is what was sent, and not what the agreement permits")
	default:
		fail("what it commits to is not what the agreement permits")
	}
	return out
}
