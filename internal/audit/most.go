package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// What went to each receiver under a text that bounds how much may go is counted again from
// the logged disclosures (see agreement.Most): records in all, and versions in a day. An entry
// that is not in the file, or was erased, may have been a record or a withdrawal: it counts
// for neither, so that a bound that was kept is never called broken.

// nearMidnight is how near to the end of a day an event may be issued whose records were
// counted for the day beside it: it is counted before it is signed, on another core.
const nearMidnight = 5 * time.Second

// wentTo is under which text something went to whom.
type wentTo struct {
	under agreementID
	to    name.Council
}

// went is how much that was.
type went struct {
	records map[[16]byte]bool
	days    map[int64]int // by day since 1970, UTC: versions
	last    map[int64]uint64
	unknown int    // entries that are not here
	at      uint64 // the newest disclosure
}

// count counts one disclosure, of which records are here and unknown are not.
func (s *sharing) count(d *claimed, records [][16]byte, unknown int) {
	p := s.v.papers[agreementID{d.agreement, int(d.version)}]
	if p == nil || !p.doc.Most.Bounds() {
		return
	}
	k := wentTo{agreementID{d.agreement, int(d.version)}, d.to}
	w := s.went[k]
	if w == nil {
		w = &went{records: map[[16]byte]bool{}, days: map[int64]int{}, last: map[int64]uint64{}}
		if s.went == nil {
			s.went = map[wentTo]*went{}
		}
		s.went[k] = w
	}
	for _, r := range records {
		w.records[r] = true
	}
	w.unknown += unknown
	w.at = d.index
	at := time.Unix(d.issuedAt, 0)
	if day := at.Unix() / 86400; at.Add(nearMidnight).Unix()/86400 == day && at.Add(-nearMidnight).Unix()/86400 == day {
		w.days[day] += len(records)
		w.last[day] = d.index
	}
}

// judgeMost compares what went with the bounds.
func (s *sharing) judgeMost() {
	t := s.v.on(CheckInForce)
	keys := make([]wentTo, 0, len(s.went))
	for k := range s.went {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b wentTo) int {
		return strings.Compare(fmt.Sprintf("%s %09d %s", a.under.name, a.under.version, a.to), fmt.Sprintf("%s %09d %s", b.under.name, b.under.version, b.to))
	})
	for _, k := range keys {
		w, most, good := s.went[k], s.v.papers[k.under].doc.Most, true
		if most.All > 0 && len(w.records) > most.All {
			t.failEntry(w.at, fmt.Sprintf("is the last of disclosures of %s to %s under version %d, which lets %d go in all", count(len(w.records), "record"), k.to, k.under.version, most.All), "")
			good = false
		}
		for _, day := range sortedDays(w.days) {
			if most.Day > 0 && w.days[day] > most.Day {
				t.failEntry(w.last[day], fmt.Sprintf("is the last of disclosures of %s to %s on %s under version %d, which lets %d go in a day", count(w.days[day], "version"), k.to, time.Unix(day*86400, 0).UTC().Format(time.DateOnly), k.under.version, most.Day), "")
				good = false
			}
		}
		if !good {
			continue
		}
		t.pass(1)
		s.v.say(CheckInForce, "No more went to %s under version %d than it lets go (%s).", k.to, k.under.version, most)
		if w.unknown > 0 {
			s.v.say(CheckInForce, "Not counted there, since what they were is not in the file: %s.", count(w.unknown, "entry"))
		}
	}
}

func sortedDays(m map[int64]int) (out []int64) {
	for d := range m {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}
