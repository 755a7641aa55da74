package audit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A council commits in its log to what an agreement permitted a receiver at some size of
// the log, by number and root: see event.AgreementCheckpoint. Whoever has all that was
// disclosed comes to the same two. So it is seen that a file holds everything up to
// there; that the council should not have permitted more, or less, only its own records
// show: see Run.

// memberUnder returns a record as a member of what a text permits.
func memberUnder(t *record.Token, view *record.View, index uint64, terms *agreement.Terms) (tlog.Hash, error) {
	var places []string
	_, err := t.Narrow(func(pointer string, shell bool) bool {
		keep := terms.Keep(pointer, shell)
		if keep {
			places = append(places, pointer)
		}
		return keep
	})
	if err != nil {
		return tlog.Hash{}, err
	}
	return agreement.Permitted{Index: index, Record: view.Record, Version: view.Version, Entry: t.Entry(), Fields: agreement.FieldsOf(places)}.Hash(), nil
}

// countSteps bounds the work of comparing commitments: records looked at, over all of
// them. The newest are compared first.
const countSteps = 100_000_000

// judgeComplete holds what the file has of an agreement against what the council
// committed to.
func (s *sharing) judgeComplete() {
	v, t := s.v, s.v.on(CheckComplete)
	all := "the file holds " + number(v.counts.Entries) + " of them"
	if v.main.Origin != "" {
		all = fmt.Sprintf("the log has %s and the file holds %s", count(int(v.main.Size), "entry"), number(v.counts.Entries))
	}
	commitments, twice := s.commitments()
	switch {
	case v.covers.Agreement == "":
		v.say(CheckComplete, "%s Nobody signed the choice: that nothing was left out of it "+
			"can be seen only in the log itself, at the council.", sentence(all))
		return
	case v.covers.Sample.Size > 0 || !v.covers.Since.IsZero() || !v.covers.Until.IsZero():
		v.say(CheckComplete, "The file says that it holds part of what went under the agreement, so it was not held against what the council committed to.")
		t.skip(len(commitments))
		return
	case len(commitments) == 0 && twice == 0:
		v.say(CheckComplete, "%s The council has not committed to what the agreement permitted at any size of its log. Nobody signed the choice: that nothing was left out of it "+
			"can be seen only in the log itself, at the council.", sentence(all))
		return
	}
	type outcome struct{ newest, fine, unknown int }
	steps, said := 0, map[name.Council]bool{}
	by := map[name.Council]*outcome{}
	for _, c := range slices.Backward(commitments) {
		o := by[c.to]
		if o == nil {
			o = &outcome{newest: -1}
			by[c.to] = o
		}
		if steps += len(v.records); steps > countSteps {
			t.skip(1)
			v.counted(c, nil, "the file is too large to count every commitment again, and newer ones were")
			o.unknown++
			continue
		}
		got, counted, lost, ok := s.permittedAt(c)
		switch {
		case !ok || lost > 0:
			t.skip(1)
			o.unknown++
			if lost > 0 {
				s.goneSince(c, counted, v.counted(c, nil, count(lost, "record version")+" that it may count were erased since"))
			} else {
				v.counted(c, nil, fmt.Sprintf("the text of version %d, or the standard of a record, is not in the file", c.version))
			}
			if !said[c.to] && lost > 0 {
				said[c.to] = true
				v.say(CheckComplete, "For the commitment at entry %d it cannot be said: %s that it may count were erased since.", c.index, count(lost, "record version"))
			}
		case got.Size() != c.entry || got.Root() != c.root:
			v.counted(c, &got, "the file holds other records than the council committed to")
			t.failEntry(c.index, fmt.Sprintf("commits to %s that the agreement permitted %s at %s, root %s, and the file holds %s, root %s",
				count(int(c.entry), "record"), c.to, count(int(c.size), "entry"), c.root, number(int(got.Size())), got.Root()), "")
		default:
			t.pass(1)
			now := v.counted(c, &got, "")
			s.goneSince(c, counted, now)
			o.fine++
			if o.newest < 0 {
				o.newest = 1
				v.say(CheckComplete, "Complete up to checkpoint %d: %s that version %d permitted %s at %s of the log, root matches (committed to at entry %d).",
					c.size, count(int(c.entry), "record"), c.version, c.to, count(int(c.size), "entry"), c.index)
				v.sayGone(now)
				if after := s.after(c); after > 0 {
					v.say(CheckComplete, "Of %s in the file that came later no commitment says yet that they are all.", count(after, "record version"))
				}
			}
		}
	}
	for _, c := range sortedCouncils(by) {
		if o := by[c]; o.fine > 1 {
			v.say(CheckComplete, "So it is at %s before it for %s.", count(o.fine-1, "checkpoint"), c)
		}
	}
	if t.ok > 0 {
		v.say(CheckComplete, "That the council should have permitted these and no others only its own records show: stile audit run, at the council.")
	}
}

// counted keeps how a commitment compares with what the file holds: got is what was
// counted, nil where that cannot be; why says what is amiss, "" when they are alike. They
// are told in the order of the log, and come newest first.
func (v *verifier) counted(c *claimed, got *tlog.Tally, why string) *api.AuditedCheckpoint {
	a := api.AuditedCheckpoint{
		Entry: c.index, By: c.speaker(), To: c.to, Version: int(c.version), Size: c.size, Result: string(OK),
		Committed: api.AuditedSum{Count: c.entry, Root: c.root.String()},
	}
	if why != "" {
		a.Result, a.Because = string(Failed), []string{why}
	}
	if got != nil {
		a.Counted = api.AuditedSum{Count: got.Size(), Root: got.Root().String()}
	} else {
		a.Result = string(NotDone)
	}
	v.commits = append(v.commits, a)
	return &v.commits[len(v.commits)-1]
}

// speaker returns the member of a footprint that commits, "" for the council that sends.
func (c *claimed) speaker() name.Council {
	if c.kind == event.KindFootprintCheckpoint {
		return c.by
	}
	return ""
}

// committedAt says where a commitment stands.
func (c *claimed) committedAt() string {
	if c.speaker() != "" {
		return place(eventsPath(c.by), c.line)
	}
	return fmt.Sprintf("entry %d", c.index)
}

// sentence begins a text with a capital letter and ends it.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if c := s[0]; c >= 'a' && c <= 'z' {
		s = string(c-'a'+'A') + s[1:]
	}
	return s + "."
}

// commitments returns what the council committed to under the agreement covered, in the
// order of its log. What it said twice of one size, and not alike, has failed.
func (s *sharing) commitments() (out []*claimed, twice int) {
	v := s.v
	type at struct {
		to            name.Council
		version, size uint64
	}
	seen := map[at]*claimed{}
	for i := range v.events {
		e := &v.events[i]
		if e.kind != event.KindAgreementCheckpoint || e.agreement != v.covers.Agreement {
			continue
		}
		if e.size > e.index {
			v.on(CheckComplete).failEntry(e.index, "commits to more of the log than there was", "")
			twice++
			continue
		}
		k := at{e.to, e.version, e.size}
		if was := seen[k]; was != nil && (was.entry != e.entry || was.root != e.root) {
			v.on(CheckComplete).failEntry(e.index, fmt.Sprintf("commits to another count or root at %s than entry %d does", count(int(e.size), "entry"), was.index), "")
			twice++
			continue
		}
		seen[k] = e
		out = append(out, e)
	}
	return out, twice
}

// memberCommitments returns what the members of a footprint that sends committed to under
// the agreement covered, each in its own log, ascending by the size of the footprint's. A
// commitment to a size counts where the checkpoint that a majority of them cosigned covers
// it. Two that say different things of one size cannot both be true, and the later has
// failed.
func (s *sharing) memberCommitments() (out []*claimed) {
	v, t := s.v, s.v.on(CheckComplete)
	for i := range v.foreign {
		e := &v.foreign[i]
		at := place(eventsPath(e.by), e.line)
		switch {
		case e.kind != event.KindFootprintCheckpoint || e.agreement != v.covers.Agreement:
			continue
		case e.from != v.council || !slices.Contains(v.ring.footprints[v.council].members, e.by):
			t.fail(at, "commits for a footprint that is another, or that its council does not keep", "")
			continue
		case v.main.Origin == "" || e.size > v.main.Size:
			t.skip(1)
			v.say(CheckComplete, "%s commits to what was permitted at %s, which no checkpoint here covers that a majority of the members cosigned.", at, count(int(e.size), "entry"))
			continue
		}
		if j := slices.IndexFunc(out, func(o *claimed) bool {
			return o.to == e.to && o.version == e.version && o.size == e.size && (o.entry != e.entry || o.root != e.root || o.signers != e.signers)
		}); j >= 0 {
			t.fail(at, fmt.Sprintf("commits to something else at %s than %s does at %s: a member of the footprint lied", count(int(e.size), "entry"), out[j].by, out[j].committedAt()), "")
			continue
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b *claimed) int { return cmpUint(a.size, b.size) })
	return out
}

// permittedAt counts what the file shows that was permitted a receiver when the log had a
// size: of each record the newest version that was disclosed to it under that text, and
// not taken back; counted are their places in the file. lost is how many that may count were erased; ok is false when the text
// is not here, or the standard of a record.
func (s *sharing) permittedAt(c *claimed) (got tlog.Tally, counted []int, lost int, ok bool) {
	v, r := s.v, s.receivers[c.to]
	i := slices.IndexFunc(v.covered, func(p *paper) bool { return p.doc.Name == c.agreement && uint64(p.doc.Version) == c.version })
	if i < 0 || r == nil && c.entry > 0 {
		return got, nil, 0, i >= 0 && c.entry == 0
	}
	if r == nil {
		return got, nil, 0, true
	}
	for index := range s.erased {
		if index < c.size {
			lost++
		}
	}
	newest := map[[16]byte]int{} // in v.records
	for n := range v.records {
		f := &v.records[n]
		if f.index >= c.size {
			break
		}
		if f.put && get(r.sent, n) && s.under[n]&(1<<i) != 0 {
			newest[f.record] = n
		}
	}
	for n := range v.events {
		e := &v.events[n]
		if e.index >= c.size {
			break
		}
		if e.kind != event.KindWithdrawal || e.agreement != c.agreement || e.version != c.version {
			continue
		}
		if at, there := newest[e.record.Bytes()]; there && e.index > v.records[at].index {
			delete(newest, e.record.Bytes())
		}
	}
	counted = slices.Sorted(maps.Values(newest))
	for _, n := range counted {
		f := &v.records[n]
		if len(f.members) <= i || f.members[i] == (tlog.Hash{}) {
			return got, counted, lost, false
		}
		got.Add(f.members[i])
	}
	return got, counted, lost, true
}

// after counts the versions in the file that went to a receiver later than a commitment
// reaches.
func (s *sharing) after(c *claimed) (n int) {
	r := s.receivers[c.to]
	for i := range s.v.records {
		if r != nil && s.v.records[i].index >= c.size && get(r.sent, i) {
			n++
		}
	}
	return n
}
