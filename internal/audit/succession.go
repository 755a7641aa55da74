package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A council ends, and others go on with its records. Its own log says so in the last
// entry that it has (package event, council-sealed), and the log of each successor says
// of every record it took over where it stood before (taken-over). With a bundle of each
// the auditor follows a record from before the day to after it.

func (s *claimed) sealing(ev *record.Event) error {
	e, err := event.ParseSealed(ev.Body)
	if err != nil {
		return err
	}
	e.On, e.Plan = strings.Clone(e.On), strings.Clone(e.Plan)
	for i, x := range e.Successors {
		e.Successors[i].Council, e.Successors[i].KeyID = name.Council(strings.Clone(string(x.Council))), strings.Clone(x.KeyID)
	}
	s.sealed = &e
	return nil
}

func (s *claimed) takes(ev *record.Event) error {
	e, err := event.ParseTakenOver(ev.Body)
	if err != nil {
		return err
	}
	e.From = name.Council(strings.Clone(string(e.From)))
	for _, list := range [][]name.Record{e.Of, e.Records} {
		for i, r := range list {
			list[i] = name.Record(strings.Clone(string(r)))
		}
	}
	s.taken = &e
	return nil
}

func (s *claimed) takesEarlier(ev *record.Event) error {
	e, err := event.ParseTakenEarlier(ev.Body)
	if err != nil {
		return err
	}
	e.From, e.By = name.Council(strings.Clone(string(e.From))), name.Council(strings.Clone(string(e.By)))
	for _, list := range [][]name.Record{e.Of, e.Through, e.Records} {
		for i, r := range list {
			list[i] = name.Record(strings.Clone(string(r)))
		}
	}
	s.earlier = &e
	return nil
}

func (s *claimed) leavesCase(ev *record.Event) error {
	h, err := event.ParseHandoverSucceeded(ev.Body)
	if err != nil {
		return err
	}
	h.Partner, h.Ref, h.Notice, h.Due = name.Council(strings.Clone(string(h.Partner))), strings.Clone(h.Ref), strings.Clone(h.Notice), strings.Clone(h.Due)
	h.State = strings.Clone(h.State)
	for i, x := range h.To {
		h.To[i].Council = name.Council(strings.Clone(string(x.Council)))
		for j, r := range x.Records {
			h.To[i].Records[j] = name.Record(strings.Clone(string(r)))
		}
	}
	s.left = &h
	return nil
}

// judgeLeft judges what the council said of a handover of its as it ended: it goes on with
// successors that the seal names.
func (v *verifier) judgeLeft(s *claimed, seal *event.Sealed) {
	t, h := v.on(CheckSuccession), s.left
	var to []name.Council
	for _, x := range h.To {
		if _, ok := seal.To(x.Council); !ok {
			t.failEntry(s.index, "says that a handover goes on with a council which is no successor", "")
			return
		}
		to = append(to, x.Council)
	}
	t.pass(1)
	v.say(CheckSuccession, "Entry %d says that the handover %s with %s, which was %s, goes on with %s.", s.index, h.Case.String()[:8], h.Partner, h.State, listOf(to))
}

// A HandedCase is a handover that the council leaves to successors, as entry Entry says.
type HandedCase struct {
	event.HandoverSucceeded
	Entry uint64
}

// Handovers returns the handovers that the council leaves to its successors, of each what was
// said last, in the order of the log.
func (h *Handed) Handovers() (out []HandedCase) {
	last := map[event.CaseID]uint64{}
	for i := range h.v.events {
		if s := &h.v.events[i]; s.left != nil && s.by == h.v.council {
			last[s.left.Case] = s.index
		}
	}
	for i := range h.v.events {
		if s := &h.v.events[i]; s.left != nil && s.by == h.v.council && last[s.left.Case] == s.index {
			out = append(out, HandedCase{*s.left, s.index})
		}
	}
	return out
}

// judgeSealed judges that a log which is sealed has no entry after that, and tells what the
// council said of its agreements as it ended, and what those who received say that they keep.
func (v *verifier) judgeSealed() {
	var seal *event.Sealed
	for i := range v.events {
		if v.events[i].sealed != nil {
			seal = v.events[i].sealed
		}
	}
	for i := range v.foreign {
		if k := v.foreign[i].keeps; k != nil && k.From == v.council {
			v.keptFor(v.foreign[i].by, k)
		}
	}
	for i := range v.events {
		s := &v.events[i]
		switch {
		case s.goesOn != nil:
			v.judgeGoesOn(s, seal)
		case s.left != nil && seal != nil:
			v.judgeLeft(s, seal)
		case s.sealed != nil && v.main.Origin == "":
			v.on(CheckSuccession).skip(1)
		case s.sealed != nil && s.index != v.main.Size-1:
			v.on(CheckSuccession).failEntry(s.index, "says that it is the last entry, and the log has more", "")
		case s.sealed != nil:
			v.on(CheckSuccession).pass(1)
			var to []string
			for _, x := range s.sealed.Successors {
				to = append(to, fmt.Sprintf("%s (key %s, %s)", x.Council, x.KeyID, count(int(x.Records), "record")))
			}
			v.say(CheckSuccession, "Entry %d is the last of %s: on %s it is succeeded by %s.", s.index, v.council, s.sealed.On, strings.Join(to, ", "))
		case s.taken != nil:
			v.judgeTaken(s)
		case s.earlier != nil:
			v.judgeEarlier(s)
		}
	}
}

// judgeGoesOn judges what the council said of an agreement of its own that ended with it: it
// speaks of the log before it, and of the day and of successors that the seal names, too. A
// plan may have been mended before the log was sealed, so that the two may differ: that is said.
func (v *verifier) judgeGoesOn(s *claimed, seal *event.Sealed) {
	t, g := v.on(CheckSuccession), s.goesOn
	if g.Agreement.Council() != v.council {
		t.failEntry(s.index, "says of an agreement of another council that it ends with this one", "")
		return
	}
	if g.End > s.index {
		t.failEntry(s.index, "says that what went under the agreement ends with an entry that comes after it", "")
		return
	}
	t.pass(1)
	v.say(CheckSuccession, "Entry %d says that %s, version %d, ends with %s on %s, and that %s what went under it.", s.index, g.Agreement, g.Version, v.council, g.On, takeOver(g.To))
	if seal == nil {
		return
	}
	strangers := slices.DeleteFunc(slices.Clone(g.To), func(c name.Council) bool { _, ok := seal.To(c); return ok })
	if g.On != seal.On || len(strangers) > 0 {
		v.say(CheckSuccession, "The last entry says otherwise of the day, or of who takes over.")
	}
}

func takeOver(to []name.Council) string {
	switch len(to) {
	case 0:
		return "nobody takes over any of"
	case 1:
		return string(to[0]) + " takes over some of"
	}
	return listOf(to) + " take over some of"
}

func listOf(cs []name.Council) string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = string(c)
	}
	return strings.Join(out, " and ")
}

// keptFor tells what a receiver says that it keeps of a council that has ended.
func (v *verifier) keptFor(by name.Council, k *event.Kept) {
	var under []string
	for _, g := range k.Under {
		under = append(under, fmt.Sprintf("%s (version %d)", g.Agreement, g.Version))
	}
	v.on(CheckSuccession).pass(1)
	v.say(CheckSuccession, "%s says that it keeps %s of %s under %s, version %d, as they were at entry %d, until they come under %s, and not beyond %s.",
		by, count(int(min(k.Records, 1<<40)), "record"), v.council, k.Agreement, k.Version, k.Cursor, strings.Join(under, " and "), k.Until)
}

// judgeTaken judges what an event says of the records of this log that it names.
func (v *verifier) judgeTaken(s *claimed) {
	t, here := v.on(CheckSuccession), 0
	for i, at := range s.taken.At {
		if at >= s.index {
			t.failEntry(s.index, "names as taken over an entry that does not stand before it", "")
			return
		}
		j, ok := slices.BinarySearchFunc(v.records, at, func(f fact, at uint64) int { return cmpUint(f.index, at) })
		if !ok {
			continue
		}
		if v.records[j].record != s.taken.Records[i].Bytes() {
			t.failEntry(at, fmt.Sprintf("is not the record that entry %d says was taken over there", s.index), "")
			continue
		}
		here++
	}
	t.pass(here)
	v.say(CheckSuccession, "Entry %d says that %s came from %s, whose log was sealed at %s; here stand %s of them. A bundle of that council shows them as they were (--origin).",
		s.index, count(len(s.taken.Of), "record"), s.taken.From, count(int(s.taken.Size), "entry"), number(here))
}

// A step is where a record of this log was, as an event says: one step before something.
type step struct {
	record name.Record // here
	at     name.Council
}

// steps returns the id that records of this log had at councils, by all events but those from
// one on.
func (v *verifier) steps(until uint64) map[step]name.Record {
	out := map[step]name.Record{}
	for i := range v.events {
		s := &v.events[i]
		switch {
		case s.index >= until:
		case s.taken != nil:
			for j, r := range s.taken.Records {
				out[step{r, s.taken.From}] = s.taken.Of[j]
			}
		case s.earlier != nil:
			for j, r := range s.earlier.Records {
				out[step{r, s.earlier.From}] = s.earlier.Of[j]
			}
		}
	}
	return out
}

// judgeEarlier judges that what an event says of where records were still earlier goes on from
// where other events, before it, say that they came from.
func (v *verifier) judgeEarlier(s *claimed) {
	t, here, had := v.on(CheckSuccession), 0, v.steps(s.index)
	for i, r := range s.earlier.Records {
		switch through, ok := had[step{r, s.earlier.By}]; {
		case !ok: // the event that says so is not in this bundle, since its record is not
		case through != s.earlier.Through[i]:
			t.failEntry(s.index, fmt.Sprintf("says that a record was another record of %s than an entry before it says", s.earlier.By), "")
			return
		default:
			here++
		}
	}
	t.pass(here)
	v.say(CheckSuccession, "Entry %d says that %s came to %s from %s, whose log was sealed at %s, by entry %d of the log of %s; of %s the way to there is in this bundle. A bundle of each council shows the steps (--origin).",
		s.index, count(len(s.earlier.Of), "record"), s.earlier.By, s.earlier.From, count(int(s.earlier.Size), "entry"), s.earlier.Said, s.earlier.By, number(here))
}

// A Handed is a bundle of a log that is sealed, as its council hands it to a successor.
type Handed struct {
	Report *Report
	Sealed event.Sealed
	Size   uint64    // entries of the log; the last is the seal
	Root   tlog.Hash //
	// Witnesses are the councils, other than the one that ended, that cosigned the log at Size.
	Witnesses []name.Council
	v         *verifier
}

// A HandedRecord is one record in it, all of whose fields are there.
type HandedRecord struct {
	Entry   uint64
	View    *record.View
	Token   []byte
	Content []byte // canonical JSON of the record
}

// ReadHanded verifies a bundle of a council that has ended. The error wraps [ErrBundle]
// when it is no bundle, a check of it failed, the log is not sealed in it, or a key that
// the auditor did not give was believed for want of another. Every record that Each then
// hands out stands in the log, and was said by the council.
func ReadHanded(r io.ReaderAt, size int64, o Options) (*Handed, error) {
	v, err := examine(r, size, o)
	if err != nil {
		return nil, err
	}
	h := &Handed{Report: v.report(), Size: v.main.Size, Root: v.main.Root, v: v}
	if !h.Report.OK() {
		var failed []string
		for _, c := range h.Report.Checks {
			if c.Result == Failed {
				failed = append(failed, c.Name)
			}
		}
		return h, fmt.Errorf("%w: it does not verify: %s", ErrBundle, strings.Join(failed, ", "))
	}
	for _, check := range []string{CheckCheckpoint, CheckInclusion, CheckRecordSignatures, CheckEventSignatures} {
		if check == CheckRecordSignatures && v.counts.Records == 0 {
			continue
		}
		if c, ok := h.Report.Check(check); !ok || c.Result != OK || c.NotDone > 0 {
			return h, fmt.Errorf("%w: the check %s could not be made in full", ErrBundle, check)
		}
	}
	unknown := map[name.Council]bool{} // whose keys stand in the file alone
	for _, k := range h.Report.Keys {
		if k.Source == FromFile {
			unknown[k.Council] = true
		}
	}
	if unknown[v.council] {
		return h, fmt.Errorf("%w: the keys of %s come from the file alone", ErrBundle, v.council)
	}
	n := len(v.events)
	if n == 0 || v.events[n-1].sealed == nil {
		return h, fmt.Errorf("%w: the last entry of the log, which names the successors, is not in it", ErrBundle)
	}
	h.Sealed = *v.events[n-1].sealed
	for _, w := range v.witnessed {
		if w.Size == h.Size && !unknown[w.Witness] && !slices.Contains(h.Witnesses, w.Witness) {
			h.Witnesses = append(h.Witnesses, w.Witness)
		}
	}
	return h, nil
}

// Earlier returns where records of the council were before it took them over, as events of its
// log say that are in the bundle, in the order of the log.
func (h *Handed) Earlier() (out []HandedEarlier) {
	for i := range h.v.events {
		switch s := &h.v.events[i]; {
		case s.by != h.v.council:
		case s.taken != nil:
			e := s.taken
			out = append(out, HandedEarlier{TakenEarlier: event.TakenEarlier{
				From: e.From, Size: e.Size, Root: e.Root, By: h.v.council, Said: s.index, Of: e.Of, Versions: e.Versions, Entries: e.Entries, Through: e.Records,
			}, Here: e.Records})
		case s.earlier != nil:
			e := *s.earlier
			out = append(out, HandedEarlier{TakenEarlier: e, Here: e.Records})
		}
	}
	return out
}

// A HandedEarlier is a step further back, of records that are Here[i] at the council which hands
// over. Records is not for use: it is for the council that takes over to fill in.
type HandedEarlier struct {
	event.TakenEarlier
	Here []name.Record
}

// Each calls f with every record in the bundle, in the order of the log, until f returns
// an error, which it returns. A record of which a field is withheld, or that is a deletion,
// is an error wrapping ErrBundle.
func (h *Handed) Each(f func(HandedRecord) error) error {
	var failed error
	err := h.v.eachRecord(func(index uint64, t *record.Token, view *record.View) {
		switch {
		case failed != nil:
		case view.Op != record.Put || view.Withheld > 0:
			failed = fmt.Errorf("%w: entry %d is not handed over whole", ErrBundle, index)
		default:
			failed = f(HandedRecord{Entry: index, View: view, Token: t.Bytes(), Content: strictjson.Canonical(view.Body)})
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// An OriginFile is a bundle of a council that has ended: see [Options.Origins].
type OriginFile struct {
	File io.ReaderAt
	Size int64
}

// judgeOrigins follows every record that the bundle says was taken over into the bundles of
// councils that have ended which the auditor gave, one behind the other.
func (v *verifier) judgeOrigins(o Options) error {
	if len(o.Origins) == 0 {
		return nil
	}
	now := map[uint64]*record.View{} // by entry
	if err := v.eachRecord(func(index uint64, _ *record.Token, view *record.View) { now[index] = view }); err != nil {
		return err
	}
	var files []*verifier
	for _, f := range o.Origins {
		before, err := examine(f.File, f.Size, Options{Trust: o.Trust, Standards: o.Standards, Parallel: o.Parallel})
		if err != nil {
			return err
		}
		files = append(files, before)
	}
	for _, before := range files {
		if err := v.follow(before, files, now); err != nil {
			return err
		}
	}
	return nil
}

// sealOf returns the entry by which the log of a bundle was sealed, nil where it is not in it.
func (v *verifier) sealOf() *event.Sealed {
	for i := range v.events {
		if v.events[i].sealed != nil && v.main.Origin != "" && v.events[i].index == v.main.Size-1 {
			return v.events[i].sealed
		}
	}
	return nil
}

// follow follows what was taken over from one council, by us or by a council between of which
// files has a bundle, too.
func (v *verifier) follow(before *verifier, files []*verifier, now map[uint64]*record.View) error {
	t, r := v.on(CheckSuccession), before.report()
	for _, c := range r.Checks {
		if c.Result == Failed {
			t.fail("origin "+string(before.council), "does not verify: the check "+c.Name+" fails in it", "")
		}
	}
	for _, k := range r.Keys {
		if k.Source == FromFile && k.Council == before.council {
			t.skip(1)
			v.say(CheckSuccession, "The keys of %s come from its file alone.", before.council)
			break
		}
	}
	if !r.OK() {
		return nil
	}
	seal := before.sealOf()
	if seal == nil {
		t.fail("origin "+string(before.council), "does not hold the entry by which the log was sealed", "")
		return nil
	}
	_, direct := seal.To(v.council)
	further := slices.ContainsFunc(v.events, func(s claimed) bool { return s.earlier != nil && s.earlier.From == before.council })
	if !direct && !further {
		t.fail("origin "+string(before.council), "names other successors than "+string(v.council), "")
		return nil
	}
	then := map[uint64]*record.View{}
	if err := before.eachRecord(func(index uint64, _ *record.Token, view *record.View) { then[index] = view }); err != nil {
		return err
	}
	if direct {
		v.followTaken(before, now, then)
	}
	if further {
		return v.followEarlier(before, seal, files, now, then)
	}
	return nil
}

// followEarlier follows what came from one council through another.
func (v *verifier) followEarlier(before *verifier, seal *event.Sealed, files []*verifier, now, then map[uint64]*record.View) error {
	t := v.on(CheckSuccession)
	here := map[name.Record]bool{}
	for _, view := range now {
		here[view.Record] = true
	}
	for i := range v.events {
		s := &v.events[i]
		e := s.earlier
		if e == nil || e.From != before.council {
			continue
		}
		j := slices.IndexFunc(files, func(f *verifier) bool { return f.council == e.By })
		if j < 0 {
			t.skip(1)
			v.say(CheckSuccession, "What entry %d says of %s is followed only with the file of %s, too.", s.index, e.From, e.By)
			continue
		}
		between := map[uint64]*record.View{}
		if err := files[j].eachRecord(func(index uint64, _ *record.Token, view *record.View) { between[index] = view }); err != nil {
			return err
		}
		v.followThrough(before, seal, files[j], s, here, then, between)
	}
	return nil
}

// followThrough follows what one event says of the way from one council through another.
func (v *verifier) followThrough(before *verifier, seal *event.Sealed, by *verifier, s *claimed, here map[name.Record]bool, then, between map[uint64]*record.View) {
	t, e := v.on(CheckSuccession), s.earlier
	k := slices.IndexFunc(by.events, func(c claimed) bool { return c.index == e.Said && c.taken != nil && c.by == e.By })
	switch _, named := seal.To(e.By); {
	case !named:
		t.fail("origin "+string(before.council), "names other successors than "+string(e.By), "")
		return
	case e.Size != before.main.Size || e.Root != before.main.Root:
		t.failEntry(s.index, "names another state of the log of "+string(before.council)+" than the one under which it was sealed", "")
		return
	case k < 0 || by.events[k].taken.From != e.From || by.events[k].taken.Size != e.Size || by.events[k].taken.Root != e.Root:
		t.failEntry(s.index, fmt.Sprintf("says what entry %d of the log of %s does not say in the file of it", e.Said, e.By), "")
		return
	}
	followed, missing := v.followSteps(s, by.events[k].taken, here, then, between)
	t.pass(followed)
	t.skip(missing)
	v.say(CheckSuccession, "%s followed on, by way of the log of %s, into the log of %s, which was sealed at %s for %s.", was(followed, "record"), e.By, before.council, count(int(before.main.Size), "entry"), e.By)
	if missing > 0 {
		v.say(CheckSuccession, "Of %s the file of %s does not show how it was.", count(missing, "record"), before.council)
	}
}

// followSteps holds each record of an event about earlier steps against what the council between
// says of it, and against the log that it was in. between has the records that the file of the
// council between shows: a version that it took over and has changed since is not among them.
func (v *verifier) followSteps(s *claimed, said *event.TakenOver, here map[name.Record]bool, then, between map[uint64]*record.View) (followed, missing int) {
	t, e := v.on(CheckSuccession), s.earlier
	for j, r := range e.Records {
		if !here[r] {
			continue // not what this bundle was asked to cover
		}
		k := slices.Index(said.Of, e.Of[j])
		was := then[e.Entries[j]]
		switch {
		case k < 0 || said.Records[k] != e.Through[j] || said.Entries[k] != e.Entries[j] || said.Versions[k] != e.Versions[j]:
			t.failEntry(s.index, fmt.Sprintf("says of a record what entry %d of the log of %s does not say of it", e.Said, e.By), "")
		case was == nil:
			missing++
		case was.Record != e.Of[j] || was.Version != e.Versions[j]:
			t.failEntry(s.index, fmt.Sprintf("says that a record stood at entry %d of the log of %s, and another stands there", e.Entries[j], e.From), "")
		default:
			is := between[said.At[k]]
			switch {
			case is == nil:
				followed++
			case is.Standard != was.Standard:
				t.failEntry(s.index, fmt.Sprintf("speaks of a record that was of another standard at %s than at %s", e.From, e.By), "")
			case !agree(was.Body, is.Body, was.Withheld+is.Withheld > 0):
				t.failEntry(s.index, fmt.Sprintf("speaks of a record that %s took over as something else than it was at %s", e.By, e.From), "")
			default:
				followed++
			}
		}
	}
	return followed, missing
}

// followTaken follows what was taken over from one council by us.
func (v *verifier) followTaken(before *verifier, now, then map[uint64]*record.View) {
	t := v.on(CheckSuccession)
	followed, missing := 0, 0
	for i := range v.events {
		s := &v.events[i]
		if s.taken == nil || s.taken.From != before.council {
			continue
		}
		if s.taken.Size != before.main.Size || s.taken.Root != before.main.Root {
			t.failEntry(s.index, "names another state of the log of "+string(before.council)+" than the one under which it was sealed", "")
			continue
		}
		for j, entry := range s.taken.Entries {
			was, is := then[entry], now[s.taken.At[j]]
			switch {
			case is == nil:
				// Not what this bundle was asked to cover.
			case was == nil:
				missing++
			case was.Record != s.taken.Of[j] || was.Version != s.taken.Versions[j]:
				t.failEntry(s.index, fmt.Sprintf("says that a record stood at entry %d of the log of %s, and another stands there", entry, before.council), "")
			case was.Standard != is.Standard:
				t.failEntry(s.taken.At[j], "is of another standard than the record it was taken over from", "")
			case !agree(was.Body, is.Body, was.Withheld+is.Withheld > 0):
				t.failEntry(s.taken.At[j], "says something else than the record it was taken over from", "")
			default:
				followed++
			}
		}
	}
	t.pass(followed)
	t.skip(missing)
	v.say(CheckSuccession, "%s followed into the log of %s, which was sealed at %s for %s.", was(followed, "record"), before.council, count(int(before.main.Size), "entry"), v.council)
	if missing > 0 {
		v.say(CheckSuccession, "Of %s the file of %s does not show how it was.", count(missing, "record"), before.council)
	}
}

// agree reports whether two views of a record say the same wherever both show something.
// Where something is withheld, an array may lack elements, and is not compared.
func agree(a, b any, withheld bool) bool {
	x, ok := a.(map[string]any)
	y, also := b.(map[string]any)
	if !ok || !also {
		_, array := a.([]any)
		return array && withheld || string(strictjson.Canonical(a)) == string(strictjson.Canonical(b))
	}
	for k, v := range x {
		w, there := y[k]
		if there && !agree(v, w, withheld) || !there && !withheld {
			return false
		}
	}
	for k := range y {
		if _, there := x[k]; !there && !withheld {
			return false
		}
	}
	return true
}
