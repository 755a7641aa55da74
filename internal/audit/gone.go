package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What a commitment counts goes on changing behind it: a record gets a newer version, is
// deleted, taken back or erased. What has gone since is named, with the entry of the log
// that did it, so that nobody takes it for something that was left out.

// gone notes a record version that has gone since a commitment.
func gone(c *api.AuditedCheckpoint, index uint64, r name.Record, number uint64, why string, by uint64) {
	if c.Gone++; c.Gone <= maxListedMembers {
		c.GoneSince = append(c.GoneSince, api.AuditedGone{Entry: index, Record: r, Version: number, Why: why, By: by})
	}
}

// takenSince returns by which entry each record was first taken back since a commitment.
func (r *runner) takenSince(c event.AgreementCheckpoint) map[name.Record]uint64 {
	out := map[name.Record]uint64{}
	for _, w := range r.withdrawn {
		if _, ok := out[w.record]; !ok && w.at >= c.Size && w.version == c.Version {
			out[w.record] = w.at
		}
	}
	return out
}

// goneBy returns why a version that counted at a commitment counts no more, and the entry
// that did it; "" when it counts still.
func (r *runner) goneBy(v *version, taken map[name.Record]uint64) (why string, by uint64) {
	if v.next != never {
		at, _ := slices.BinarySearchFunc(r.versions, v.next, func(v version, index uint64) int { return cmp.Compare(v.index, index) })
		if next := &r.versions[at]; !next.put && !next.erased {
			return api.GoneDeleted, v.next
		}
	}
	if by, ok := taken[v.record]; ok {
		return api.GoneTakenBack, by
	}
	if v.next != never {
		return api.GoneNewer, v.next
	}
	return "", 0
}

// goneSince notes in out what of the records counted at a commitment, by their places in
// the file, has gone since, as far as the file shows it; and what was erased.
func (s *sharing) goneSince(c *claimed, counted []int, out *api.AuditedCheckpoint) {
	v := s.v
	next, taken := map[[16]byte]int{}, map[[16]byte]uint64{}
	for n := range v.records {
		f := &v.records[n]
		if _, ok := next[f.record]; !ok && f.index >= c.size {
			next[f.record] = n
		}
	}
	for n := range v.events {
		e := &v.events[n]
		if e.index < c.size || e.kind != event.KindWithdrawal || e.agreement != c.agreement || e.version != c.version {
			continue
		}
		if _, ok := taken[e.record.Bytes()]; !ok {
			taken[e.record.Bytes()] = e.index
		}
	}
	for _, n := range counted {
		f := &v.records[n]
		at, newer := next[f.record]
		by, back := taken[f.record]
		switch {
		case newer && !v.records[at].put:
			gone(out, f.index, name.RecordFrom(f.record), f.version, api.GoneDeleted, v.records[at].index)
		case back:
			gone(out, f.index, name.RecordFrom(f.record), f.version, api.GoneTakenBack, by)
		case newer:
			gone(out, f.index, name.RecordFrom(f.record), f.version, api.GoneNewer, v.records[at].index)
		}
	}
	erased := make([]uint64, 0, len(s.erased))
	for index := range s.erased {
		if index < c.size {
			erased = append(erased, index)
		}
	}
	slices.Sort(erased)
	for _, index := range erased {
		by := s.erasedBy[index]
		at, _ := slices.BinarySearchFunc(v.events, by, func(e claimed, index uint64) int { return cmpUint(e.index, index) })
		gone(out, index, v.events[at].record, 0, api.GoneErased, by)
	}
}

// sayGone says in words what has gone since a commitment, by why.
func (v *verifier) sayGone(c *api.AuditedCheckpoint) {
	if c.Gone == 0 {
		return
	}
	by := map[string]int{}
	for _, g := range c.GoneSince {
		by[g.Why]++
	}
	var parts []string
	for _, why := range []string{api.GoneNewer, api.GoneDeleted, api.GoneTakenBack, api.GoneErased, api.GoneNotHeld} {
		if n := by[why]; n > 0 {
			parts = append(parts, number(n)+" "+why)
		}
	}
	of := ""
	if c.Gone > len(c.GoneSince) {
		of = fmt.Sprintf(" of the first %s", number(len(c.GoneSince)))
	}
	v.say(CheckComplete, "Of them %s gone since:%s %s. stile audit run names each.", have(c.Gone), of, strings.Join(parts, ", "))
}

// have says "1 has" or "2 have".
func have(n int) string { return number(n) + " " + hasOrHave(n) }

func hasOrHave(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}
