package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A log that was set back to an old copy goes on by an entry that says so (package
// event, log-continued). It is the council's word; what it names is held against what the
// log key signed, what receivers and witnesses saw, and the checkpoints that the auditor
// brings from them.

// maxParts is how many entries of a bundle may say that the log was set back.
const maxParts = 100

// A part is what an entry says was lost: what stood from that entry on, up to size.
type part struct {
	size    uint64 // 0: nothing is known to be lost
	root    tlog.Hash
	note    string
	agreed  []name.Council
	unasked []name.Council
	others  []string // witnesses that are no councils
}

func (s *claimed) continued(ev *record.Event) error {
	c, err := event.ParseContinued(ev.Body)
	if err != nil {
		return err
	}
	p := &part{note: strings.Clone(c.LostNote)}
	if c.Lost != nil {
		p.size, p.root = c.Lost.Size, c.Lost.Root
	}
	for _, x := range c.Agreed {
		p.agreed = append(p.agreed, name.Council(strings.Clone(string(x))))
	}
	for _, x := range c.Unasked {
		p.unasked = append(p.unasked, name.Council(strings.Clone(string(x))))
	}
	for _, x := range c.Witnesses {
		p.others = append(p.others, strings.Clone(x))
	}
	s.lost = p
	return nil
}

// lostAt reports whether a size of the log is one that it had before it was set back, and
// has no more as it was then: by the entry that says so.
func (v *verifier) lostAt(size uint64) *claimed {
	for i := range v.events {
		if s := &v.events[i]; s.lost != nil && size > s.index && size <= s.lost.size {
			return s
		}
	}
	return nil
}

// logSigned opens a checkpoint by any key that the council's log had.
func (v *verifier) logSigned(signed []byte) (tlog.Checkpoint, bool) {
	for _, k := range v.ring.verifiers(v.council, UseLog) {
		if cp, _, err := tlog.OpenCheckpoint(signed, v.council.Origin(), k.v); err == nil {
			return cp, true
		}
	}
	return tlog.Checkpoint{}, false
}

// judgeContinued judges the entries that say that the log was set back.
func (v *verifier) judgeContinued() {
	t, n := v.on(CheckHistory), 0
	for i := range v.events {
		s := &v.events[i]
		if s.lost == nil {
			continue
		}
		if n++; n > maxParts {
			t.failEntry(s.index, fmt.Sprintf("says that the log was set back, after %d others", maxParts), "")
			continue
		}
		if rule := v.unfit(s); rule != "" {
			t.failEntry(s.index, rule, "")
			continue
		}
		v.say(CheckHistory, "%s", s.sayLost(v.council))
	}
	for i, signed := range v.brought {
		v.judgeBrought(fmt.Sprintf("checkpoint %d that you gave", i+1), signed)
	}
}

// unfit says why what an entry names as lost cannot be; "" when it can.
func (v *verifier) unfit(s *claimed) string {
	p := s.lost
	if p.size == 0 {
		return ""
	}
	if root, ok := v.roots[p.size]; ok && root == p.root {
		return fmt.Sprintf("names as lost a head of %s that is of this very log", count(int(p.size), "entry"))
	}
	if p.note == "" {
		return ""
	}
	if len(v.ring.verifiers(v.council, UseLog)) == 0 {
		return ""
	}
	switch cp, ok := v.logSigned([]byte(p.note)); {
	case !ok:
		return "shows for what was lost a checkpoint that the log did not sign"
	case cp.Size != p.size || cp.Root != p.root:
		return fmt.Sprintf("names %s as lost and shows a checkpoint of %d", count(int(p.size), "entry"), cp.Size)
	}
	return ""
}

// sayLost says in words what was lost and who agreed.
func (s *claimed) sayLost(c name.Council) string {
	p := s.lost
	var b strings.Builder
	fmt.Fprintf(&b, "Entry %d: %s says that its log was set back to an old copy. ", s.index, c)
	switch {
	case p.size == 0:
		b.WriteString("What was lost is not known.")
	case p.size > s.index:
		fmt.Fprintf(&b, "Entries %d to %d, as they were before, are no part of it any more, up to a head with root %s", s.index, p.size-1, p.root)
		if p.note != "" {
			b.WriteString(" that its log key signed")
		}
		b.WriteString(".")
	default:
		fmt.Fprintf(&b, "Another history of %s, with root %s, was given up.", count(int(p.size), "entry"), p.root)
	}
	if len(p.agreed) > 0 {
		fmt.Fprintf(&b, " By its word %s held it, and agreed.", councils(p.agreed))
	} else {
		b.WriteString(" It names nobody who agreed.")
	}
	if len(p.unasked) > 0 {
		fmt.Fprintf(&b, " Not heard were %s: a person took the risk.", councils(p.unasked))
	}
	if len(p.others) > 0 {
		fmt.Fprintf(&b, " Passed over were %s that are no councils.", count(len(p.others), "witness"))
	}
	return b.String()
}

// judgeBrought holds a checkpoint that the auditor has from somebody else against this log.
func (v *verifier) judgeBrought(place string, signed []byte) {
	t := v.on(CheckHistory)
	if len(v.ring.verifiers(v.council, UseLog)) == 0 || v.main.Origin == "" {
		t.skip(1)
		return
	}
	cp, ok := v.logSigned(signed)
	if !ok {
		t.fail(place, "is not signed by the log of "+string(v.council), "")
		return
	}
	here, known := v.roots[cp.Size]
	s := v.lostAt(cp.Size)
	switch {
	case known && here == cp.Root || cp.Size == 0:
		t.pass(1)
		v.say(CheckHistory, "The %s, of %s, is of this log.", place, count(int(cp.Size), "entry"))
	case s != nil && cp.Size == s.lost.size && cp.Root != s.lost.root:
		t.fail(place, fmt.Sprintf("is another head of %s than the one that entry %d names as lost", count(int(cp.Size), "entry"), s.index), "")
	case s != nil:
		t.pass(1)
		v.say(CheckHistory, "The %s, of %s, falls into what entry %d says was lost.", place, count(int(cp.Size), "entry"), s.index)
	case known:
		t.fail(place, fmt.Sprintf("has another root at %s than the checkpoint here: the log told two stories", count(int(cp.Size), "entry")), "")
	default:
		// A witness dates it. What was cosigned before the log was set back was lost, too.
		for i := range v.events {
			e := &v.events[i]
			if e.lost != nil && cp.Size > e.lost.size && cp.Size > e.index && v.cosignedBefore(signed, time.Unix(e.issuedAt, 0).Add(-skew)) {
				t.fail(place, fmt.Sprintf("was cosigned at %s before entry %d, which names no more than %d as lost", count(int(cp.Size), "entry"), e.index, e.lost.size), "")
				return
			}
		}
		t.skip(1)
		v.say(CheckHistory, "Whether the %s, of %s, is of this log cannot be told from the file.", place, count(int(cp.Size), "entry"))
	}
}

// cosignedBefore reports whether a witness of the council's log cosigned a checkpoint
// before a time, by the witness's clock.
func (v *verifier) cosignedBefore(signed []byte, before time.Time) bool {
	for _, w := range v.ring.councils(UseWitness) {
		if w == v.council {
			continue
		}
		for _, k := range v.ring.verifiers(w, UseWitness) {
			for _, l := range v.ring.verifiers(v.council, UseLog) {
				_, n, err := tlog.OpenCheckpoint(signed, v.council.Origin(), l.v, k.v)
				if err != nil {
					continue
				}
				if slices.ContainsFunc(tlog.Cosignatures(n, k.v), func(c tlog.Cosignature) bool { return c.Time.Before(before) }) {
					return true
				}
			}
		}
	}
	return false
}

func names(n int) string {
	if n == 1 {
		return "1 receipt names"
	}
	return count(n, "receipt") + " name"
}
