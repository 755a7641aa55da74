package agreement

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// The reasons for which State.Apply refuses an event.
var (
	// ErrNotParty: the council may not say this about the agreement.
	ErrNotParty = errors.New("council is not a party to the agreement")
	// ErrConflict: it contradicts what is already known, such as another digest.
	ErrConflict = errors.New("event contradicts the agreement")
	// ErrUnsignable: the document lacks headings.
	ErrUnsignable = errors.New("agreement is incomplete")
	// ErrTooMany: the council has spoken of too many agreements nobody proposed.
	ErrTooMany = errors.New("too many events about agreements that are not known")
)

// MaxHalts is how often a party may suspend or resume one text. After as many the text
// stays suspended by that party, whatever it says of resuming: what can be said without
// end costs every partner memory, and to believe no more of it is the safe side. A new
// version begins anew, and ending is always heard.
const MaxHalts = 500

// maxWaiting bounds, for each council, the events kept about documents that
// have not been seen.
const maxWaiting = 256

// State is what ledgers have said about agreements: which documents were
// proposed, who signed, suspended, resumed and ended what. It decides whether
// an agreement is in force.
//
// It is a pure fold: the same events give the same State. The events of one
// council must come in the order of its ledger; how the ledgers of several
// councils are interleaved makes no difference, so that a signature may arrive
// before the document it signs. Such an event is kept, and judged when the
// document comes. (A council with more than 256 events waiting is the
// exception: the next is refused, and must be applied again later.)
//
// A State is not safe for concurrent use. The zero State is not ready; see
// [NewState].
type State struct {
	agreements map[name.Agreement]map[int]*version
	waiting    map[name.Agreement]map[int][]saying
	waits      map[name.Council]int
	countering map[name.Council]int // counter-proposals among what waits
}

// A version is one document and all that was said of it.
type version struct {
	doc      *Agreement
	ref      Ref
	proposed time.Time
	signed   map[name.Council]time.Time
	notices  map[name.Council][]notice // in the order of each council's ledger
	heard    map[told]bool             // which notices those are
	halts    map[name.Council]int      // how often each suspended or resumed it
	ending   map[name.Council]int      // where in its notices each has said that it ends
	renewed  map[name.Council][]Renewed
	counters map[name.Council]Countered // what each would sign instead; nil for none
}

// told is a notice and who said it.
type told struct {
	by     name.Council
	kind   string
	at     int64
	reason string
}

type notice struct {
	kind string
	Notice
}

// A saying is an event about a document that is not known yet.
type saying struct {
	council name.Council
	kind    string
	ref     Ref
	notice  Notice
	review  Date    // of a renewal
	counter Counter // of a counter-proposal
	at      time.Time
}

// NewState returns a State that knows nothing.
func NewState() *State {
	return &State{
		agreements: make(map[name.Agreement]map[int]*version),
		waiting:    make(map[name.Agreement]map[int][]saying),
		waits:      make(map[name.Council]int),
		countering: make(map[name.Council]int),
	}
}

// Apply takes in one event from the ledger of council, whose signature and
// place in the ledger the caller has checked; at is when the council says it
// was made. body is as strictjson decodes it.
//
// An event that repeats what is known changes nothing and is no error. Errors
// wrap [ErrEvent], [ErrNotParty], [ErrConflict], [ErrUnsignable] or
// [ErrTooMany], and then the State is unchanged. Kinds of other packages are an
// error wrapping ErrEvent.
func (s *State) Apply(council name.Council, kind string, body any, at time.Time) error {
	err := s.apply(council, kind, body, at)
	if err != nil {
		return fmt.Errorf("apply %s of %s: %w", kind, council, err)
	}
	return nil
}

func (s *State) apply(council name.Council, kind string, body any, at time.Time) error {
	e := saying{council: council, kind: kind, at: at.UTC()}
	switch kind {
	case event.KindAgreementProposal:
		p, err := ParseProposal(body)
		if err != nil {
			return err
		}
		return s.propose(council, p.Agreement, e.at)
	case event.KindAgreementSignature:
		sig, err := ParseSignature(body)
		if err != nil {
			return err
		}
		e.ref = sig.Ref
	case event.KindAgreementSuspend, event.KindAgreementResume, event.KindAgreementEnd:
		n, err := ParseNotice(body)
		if err != nil {
			return err
		}
		e.ref, e.notice = n.Ref, n
	case event.KindAgreementRenewal:
		r, err := ParseRenewal(body)
		if err != nil {
			return err
		}
		e.ref, e.review = r.Ref, r.Review
	case event.KindAgreementCounter:
		c, err := ParseCounter(body)
		if err != nil {
			return err
		}
		e.ref, e.counter = c.Ref, c
	default:
		return fmt.Errorf("%w: unknown kind %.40q", ErrEvent, kind)
	}
	if v := s.agreements[e.ref.Agreement][e.ref.Version]; v != nil {
		return v.hear(e)
	}
	if s.waits[council] >= maxWaiting || kind == event.KindAgreementCounter && s.countering[council] >= maxCounters {
		return ErrTooMany
	}
	if kind == event.KindAgreementCounter {
		s.countering[council]++
	}
	s.waits[council]++
	if s.waiting[e.ref.Agreement] == nil {
		s.waiting[e.ref.Agreement] = make(map[int][]saying)
	}
	s.waiting[e.ref.Agreement][e.ref.Version] = append(s.waiting[e.ref.Agreement][e.ref.Version], e)
	return nil
}

// propose takes in a document. Only the sender proposes, so that the order of
// one ledger settles which document a version number stands for.
func (s *State) propose(council name.Council, doc *Agreement, at time.Time) error {
	if council != doc.From {
		return fmt.Errorf("%w: only %s proposes %s", ErrNotParty, doc.From, doc.Name)
	}
	versions := s.agreements[doc.Name]
	if v := versions[doc.Version]; v != nil {
		if v.ref != doc.Ref() {
			return fmt.Errorf("%w: version %d of %s is another document; propose a higher version", ErrConflict, doc.Version, doc.Name)
		}
		return nil
	}
	for n := range versions {
		if n > doc.Version {
			return fmt.Errorf("%w: version %d of %s came before", ErrConflict, n, doc.Name)
		}
	}
	if versions == nil {
		versions = make(map[int]*version)
		s.agreements[doc.Name] = versions
	}
	v := &version{doc: doc, ref: doc.Ref(), proposed: at,
		signed:  make(map[name.Council]time.Time),
		notices: make(map[name.Council][]notice),
		heard:   make(map[told]bool),
		halts:   make(map[name.Council]int),
		ending:  make(map[name.Council]int),
		renewed: make(map[name.Council][]Renewed)}
	versions[doc.Version] = v
	for _, e := range s.waiting[doc.Name][doc.Version] {
		s.waits[e.council]--
		if e.kind == event.KindAgreementCounter {
			s.countering[e.council]--
		}
		// What does not fit the document is dropped, as it would have been
		// refused in its turn.
		_ = v.hear(e)
	}
	delete(s.waiting[doc.Name], doc.Version)
	return nil
}

// hear takes in what a council says of a known document.
func (v *version) hear(e saying) error {
	switch {
	case !v.doc.Party(e.council):
		return fmt.Errorf("%w: %s", ErrNotParty, v.doc.Name)
	case e.ref != v.ref:
		return fmt.Errorf("%w: version %d of %s has another digest", ErrConflict, v.ref.Version, v.doc.Name)
	}
	if e.kind == event.KindAgreementSignature {
		if missing := v.doc.Incomplete(); len(missing) > 0 {
			return fmt.Errorf("%w: %s", ErrUnsignable, strings.Join(missing, ", "))
		}
		if _, ok := v.signed[e.council]; !ok {
			v.signed[e.council] = e.at
		}
		return nil
	}
	if e.kind == event.KindAgreementCounter {
		return v.counter(e.council, e.counter, e.at)
	}
	if e.kind == event.KindAgreementRenewal {
		return v.renew(e.council, e.review, e.at)
	}
	if e.kind == event.KindAgreementResume && v.halts[e.council] == 0 {
		return fmt.Errorf("%w: %s has not suspended %s", ErrConflict, e.council, v.doc.Name)
	}
	if e.kind == event.KindAgreementEnd {
		v.ends(e)
		return nil
	}
	t := told{e.council, e.kind, e.notice.At.Unix(), e.notice.Reason}
	if v.heard[t] {
		return nil // news travels more than one way
	}
	if v.halts[e.council] >= MaxHalts {
		return fmt.Errorf("%w: %s has suspended and resumed %s %d times, and it stays suspended", ErrTooMany, e.council, v.doc.Name, MaxHalts)
	}
	v.halts[e.council]++
	v.heard[t] = true
	v.notices[e.council] = append(v.notices[e.council], notice{e.kind, e.notice})
	return nil
}

// ends takes in that a party ends the document. Of several endings that a party has
// announced the first to come is all that ever matters, so that one is kept.
func (v *version) ends(e saying) {
	n := notice{e.kind, e.notice}
	i, ok := v.ending[e.council]
	if !ok {
		v.ending[e.council] = len(v.notices[e.council])
		v.notices[e.council] = append(v.notices[e.council], n)
		return
	}
	was := &v.notices[e.council][i]
	if cmp.Or(n.At.Compare(was.At), cmp.Compare(n.Reason, was.Reason)) < 0 {
		*was = n
	}
}

// A Phase is where a document stands in its life, in one word.
type Phase string

// The phases.
const (
	Proposed   Phase = "proposed"   // not signed by all
	Waiting    Phase = "waiting"    // signed, starts later
	InForce    Phase = "in force"   // records travel
	Suspended  Phase = "suspended"  // by a party, for now, or by its date of review
	Ended      Phase = "ended"      // by a party or its own date
	Superseded Phase = "superseded" // a later version took its place
)

// A Status says where one version of an agreement stands at an instant.
type Status struct {
	Agreement *Agreement
	Digest    Digest
	Phase     Phase
	Why       string                     // why it is not in force, in words; "" when it is
	Proposed  time.Time                  // as claimed by the sender
	Signed    map[name.Council]time.Time // as claimed by each; never nil
	Awaiting  []name.Council             // parties that have not signed
	// Suspensions are those that stand at that instant, whatever the phase, by
	// party.
	Suspensions []Suspension
	// Endings are those that have come by that instant, the first first.
	Endings []Ending
	// Review is the date of review that counts at that instant: that of the text, or
	// the latest to which all parties have renewed it. Renewals are what each party has
	// said of it last.
	Review   Date
	Renewals []Renewed
}

// A Suspension is a party's word that the agreement is suspended, not taken back.
type Suspension struct {
	By     name.Council
	Since  time.Time
	Reason string
}

// An Ending is a party's word that the agreement is over.
type Ending struct {
	By     name.Council
	At     time.Time
	Reason string
}

// InForce reports whether records may travel.
func (s Status) InForce() bool { return s.Phase == InForce }

// Names returns every agreement that was proposed, sorted.
func (s *State) Names() []name.Agreement { return slices.Sorted(maps.Keys(s.agreements)) }

// Proposed yields the agreements of which a council has proposed a version that was
// never signed by all, in no order.
func (s *State) Proposed(by name.Council) iter.Seq[name.Agreement] {
	return func(yield func(name.Agreement) bool) {
		for n, versions := range s.agreements {
			for _, v := range versions {
				if v.doc.From == by && len(v.signed) < len(v.doc.Parties()) {
					if !yield(n) {
						return
					}
					break
				}
			}
		}
	}
}

// Versions returns the status of every version of an agreement at the instant
// now, the highest first; nil when none was proposed.
func (s *State) Versions(n name.Agreement, now time.Time) []Status {
	var out []Status
	by := 0 // the version that took over, 0 for none
	for _, nr := range slices.Backward(slices.Sorted(maps.Keys(s.agreements[n]))) {
		v := s.agreements[n][nr]
		st := v.status(now)
		if by != 0 && st.Phase != Ended {
			st.Phase, st.Why = Superseded, fmt.Sprintf("superseded by version %d", by)
		}
		if by == 0 && v.tookOver(now) {
			by = nr
		}
		out = append(out, st)
	}
	return out
}

// Status returns the version of an agreement that stands at the instant now: the one
// in force, or the one that would be if nobody had suspended it. When none does it is
// the highest that was proposed.
func (s *State) Status(n name.Agreement, now time.Time) (Status, bool) {
	all := s.Versions(n, now)
	if len(all) == 0 {
		return Status{}, false
	}
	for _, st := range all {
		if st.stands() {
			return st, true
		}
	}
	return all[0], true
}

func (s Status) stands() bool { return s.Phase == InForce || s.Phase == Suspended }

// Current returns what there is to know of an agreement at the instant now, the
// highest version first: those that wait, for signatures or for their first day, then
// the one that stands or, when none does, the one that ended last.
func (s *State) Current(n name.Agreement, now time.Time) (out []Status) {
	all := s.Versions(n, now)
	stands := slices.IndexFunc(all, Status.stands)
	for i, st := range all {
		switch {
		case st.Phase == Proposed || st.Phase == Waiting:
			out = append(out, st)
		case i == stands || stands < 0 && st.Phase == Ended:
			return append(out, st)
		}
	}
	return out
}

// InForce returns the agreements in force at the instant now, sorted by name,
// at most one version of each.
func (s *State) InForce(now time.Time) []*Agreement {
	var out []*Agreement
	for _, n := range s.Names() {
		if st, ok := s.Status(n, now); ok && st.InForce() {
			out = append(out, st.Agreement)
		}
	}
	return out
}

// Suspended returns the text of an agreement that would be in force at the instant
// now if nobody had suspended it; nil when there is none. What was shared under it
// is still taken back.
func (s *State) Suspended(n name.Agreement, now time.Time) *Agreement {
	for _, st := range s.Versions(n, now) {
		if st.Phase == Suspended {
			return st.Agreement
		}
	}
	return nil
}

// Find returns the document that was proposed under a version.
func (s *State) Find(n name.Agreement, version int) (*Agreement, bool) {
	if v := s.agreements[n][version]; v != nil {
		return v.doc, true
	}
	return nil, false
}

// FindText returns the document that was proposed under a version, if it is the one that r
// is about.
func (s *State) FindText(r Ref) (*Agreement, bool) {
	if v := s.agreements[r.Agreement][r.Version]; v != nil && v.ref == r {
		return v.doc, true
	}
	return nil, false
}

// NextChange returns the first instant after now at which something may come
// into force, end, be suspended or be resumed without another event; false when
// there is none.
func (s *State) NextChange(now time.Time) (time.Time, bool) {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, versions := range s.agreements {
		for _, v := range versions {
			consider(v.doc.Starts.Time())
			consider(v.doc.Ends.Time())
			consider(v.doc.Review.Time())
			for _, said := range v.renewed {
				for _, r := range said {
					consider(r.At)
					consider(r.Review.Time())
				}
			}
			for _, notices := range v.notices {
				for _, n := range notices {
					consider(n.At)
				}
			}
		}
	}
	return next, !next.IsZero()
}

func (v *version) status(now time.Time) Status {
	st := Status{Agreement: v.doc, Digest: v.ref.Digest, Phase: InForce, Proposed: v.proposed, Signed: maps.Clone(v.signed)}
	signed := make(map[name.Council]bool, len(v.signed))
	for _, c := range v.doc.Parties() {
		if _, ok := v.signed[c]; ok {
			signed[c] = true
		} else {
			st.Awaiting = append(st.Awaiting, c)
		}
	}
	ok, why := v.doc.InForce(now, signed)
	if !ok {
		st.Why = why
		switch {
		case v.doc.Ends != "" && !now.Before(v.doc.Ends.Time()):
			st.Phase = Ended
		case len(st.Awaiting) > 0:
			st.Phase = Proposed
		default:
			st.Phase = Waiting
		}
	}
	if st.Endings = v.endings(now); len(st.Endings) > 0 && st.Phase != Ended {
		first := st.Endings[0]
		st.Phase, st.Why = Ended, fmt.Sprintf("ended %s by %s: %s", first.At.Format(time.DateOnly), first.By, first.Reason)
	}
	if st.Suspensions = v.suspensions(now); len(st.Suspensions) > 0 && st.Phase == InForce {
		var by []string
		for _, s := range st.Suspensions {
			by = append(by, fmt.Sprintf("%s since %s: %s", s.By, s.Since.Format(time.DateOnly), s.Reason))
		}
		st.Phase, st.Why = Suspended, "suspended by "+strings.Join(by, " and ")
	}
	st.Review, _ = v.review(now)
	st.Renewals = v.renewals(now)
	if why := v.reviewStop(now); why != "" && (st.Phase == InForce || st.Phase == Suspended) {
		if st.Why != "" {
			why = st.Why + "; and " + why
		}
		st.Phase, st.Why = Suspended, why
	}
	return st
}

// tookOver reports whether the version has taken the place of earlier ones:
// all have signed it and its first day has come. That it has ended or is
// suspended since brings none of them back, or a receiver could restore an
// earlier and wider version by ending a later one. Only the sender can withdraw
// it before its first day, and so keep the earlier one; a receiver that does so
// ends the sharing. Times are as claimed, and no council can reorder the
// ledger of another, so nothing here hangs on who was first.
func (v *version) tookOver(now time.Time) bool {
	starts := v.doc.Starts.Time()
	if v.doc.Starts == "" || now.Before(starts) || (v.doc.Ends != "" && v.doc.Ends <= v.doc.Starts) {
		return false
	}
	for _, c := range v.doc.Parties() {
		if _, ok := v.signed[c]; !ok {
			return false
		}
	}
	return !slices.ContainsFunc(v.notices[v.doc.From], func(n notice) bool {
		return n.kind == event.KindAgreementEnd && !n.At.After(starts)
	})
}

// endings returns the endings that have come, the first first.
func (v *version) endings(now time.Time) (out []Ending) {
	for c, notices := range v.notices {
		for _, n := range notices {
			if n.kind == event.KindAgreementEnd && !now.Before(n.At) {
				out = append(out, Ending{c, n.At, n.Reason})
			}
		}
	}
	slices.SortFunc(out, func(a, b Ending) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.By, b.By), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// suspensions returns those whose last word by now is that the agreement is
// suspended, sorted by party.
func (v *version) suspensions(now time.Time) (out []Suspension) {
	for _, c := range slices.Sorted(maps.Keys(v.notices)) {
		var last notice
		for _, n := range v.notices[c] {
			if n.kind != event.KindAgreementEnd && !now.Before(n.At) {
				last = n
			}
		}
		if v.halts[c] >= MaxHalts {
			if last.kind == "" { // none has come yet
				last = v.notices[c][0]
			}
			out = append(out, Suspension{c, last.At, fmt.Sprintf("it was suspended and resumed %d times, and stays suspended: propose a new version", MaxHalts)})
			continue
		}
		if last.kind == event.KindAgreementSuspend {
			out = append(out, Suspension{c, last.At, last.Reason})
		}
	}
	return out
}
