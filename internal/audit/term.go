package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// What a receiver says it deleted at the end of the time for which it may keep it is held
// against the term of the agreement that it names, by the receiver's own word of when the
// record came: too early is a fault, since the sender counts on the copy, and so is too
// late. A term that is counted from a date in the record is not compared, which is said.

// termSlack is how much later than its term a record may be deleted. A node looks each hour,
// and waits for a day when its clock has leapt.
const termSlack = 48 * time.Hour

// maxNamed bounds the entries that one sentence of a report names.
const maxNamed = 10

// inForceFrom returns from when a text bound its parties, as far as is shown: an amendment
// with a shorter term has what was held before deleted when it comes into force, and not
// before.
func (p *paper) inForceFrom(at time.Time) time.Time {
	from := p.doc.Starts.Time()
	for _, signed := range p.at(at).Signed {
		if signed.After(from) {
			from = signed
		}
	}
	if p.takesOver.After(from) {
		from = p.takesOver
	}
	return from
}

// inTime judges when a receiver deleted what it names in e, entry by entry.
func (s *sharing) inTime(e *claimed, t *tally) bool {
	p := s.v.papers[agreementID{e.agreement, int(e.version)}]
	if p == nil {
		return true
	}
	term, at, good := p.doc.Term(), time.Unix(e.issuedAt, 0), true
	if term.Kept != "" && term.Field != "" {
		if s.undated == nil {
			s.undated = map[name.Council]int{}
		}
		s.undated[e.by] += len(e.entries)
		return true
	}
	for i, index := range e.entries {
		over := term.Over(time.Time{}, time.Unix(int64(e.receivedAt[i]), 0))
		switch {
		case over.IsZero():
			t.failEntry(index, fmt.Sprintf("was deleted by %s as if its term were over, and version %d of the agreement has none", e.by, e.version), "")
		case at.Before(over.Add(-skew)):
			t.failEntry(index, fmt.Sprintf("was deleted too early by %s: on %s, and the agreement keeps it until %s", e.by, day(at), day(over)), "")
		case at.After(later(over, p.inForceFrom(at)).Add(termSlack)):
			t.failEntry(index, fmt.Sprintf("was deleted too late by %s: on %s, and the agreement kept it until %s", e.by, day(at), day(over)), "")
		default:
			continue
		}
		good = false
	}
	return good
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// signs notes when a receiver first signed for records: the same version sent again does
// not renew the term.
func (r *receiver) signs(v *verifier, e *claimed) {
	for _, index := range e.entries {
		i, ok := v.recordAt(index)
		if !ok {
			continue
		}
		if r.since == nil {
			r.since = make([]int64, len(v.records))
		}
		if r.since[i] == 0 || e.issuedAt < r.since[i] {
			r.since[i] = e.issuedAt
		}
	}
}

// overdue returns the log indexes of what a receiver signed for under the covered agreement,
// whose term was over when the file was made, and of which it has not said that it is
// deleted; ascending. Of a record the newest version that it signed for counts.
func (s *sharing) overdue(r *receiver) (out []uint64) {
	v, made := s.v, s.v.doc.Created
	var p *paper
	for _, q := range v.covered {
		if q.at(made).InForce() && slices.Contains(q.doc.To, r.council) {
			p = q
		}
	}
	if p == nil || r.all || r.since == nil {
		return nil
	}
	term := p.doc.Term()
	if term.Kept == "" || term.Field != "" {
		return nil
	}
	newest := map[[16]byte]int{}
	for i, at := range r.since {
		if at > 0 {
			newest[v.records[i].record] = i // they ascend
		}
	}
	for id, i := range newest {
		taken := false
		for k, w := range r.takenBack {
			taken = taken || k.record == id && w > v.records[i].index
		}
		over := later(term.Over(time.Time{}, time.Unix(r.since[i], 0)), p.inForceFrom(made))
		if !taken && !r.atTerm[v.records[i].index] && made.After(over.Add(termSlack)) {
			out = append(out, v.records[i].index)
		}
	}
	slices.Sort(out)
	return out
}

// sayRetained says what receivers deleted at the end of its term, and of what that is
// missing.
func (s *sharing) sayRetained() {
	for _, c := range sortedCouncils(s.retained) {
		s.v.say(CheckReceipts, "%s signed that it deleted %s, since the time was over for which it may keep them.", c, count(s.retained[c], "record"))
		if n := s.undated[c]; n > 0 {
			s.v.say(CheckReceipts, "Whether that was in time is not compared for %s: the term is counted from a date in the record.", number(n))
		}
	}
	for _, c := range sortedCouncils(s.receivers) {
		late := s.overdue(s.receivers[c])
		if len(late) == 0 {
			continue
		}
		var named []string
		for _, index := range late[:min(len(late), maxNamed)] {
			named = append(named, fmt.Sprint(index))
		}
		if len(late) > maxNamed {
			named = append(named, "…")
		}
		s.v.say(CheckReceipts, "For %s the term of the agreement was over, and no word by %s that it deleted them is in the file: entries %s.", count(len(late), "record"), c, strings.Join(named, ", "))
	}
}
