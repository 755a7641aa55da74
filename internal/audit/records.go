package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// judgeStandards compares standards with what the log says was adopted.
func (v *verifier) judgeStandards() {
	t := v.on(CheckStandards)
	for _, s := range v.events {
		if k := v.standards[s.standard]; s.kind == event.KindStandardAdopted && k != nil && k.std.Integrity() != s.integrity {
			t.failEntry(s.index, "adopted another schema of "+s.standard.String()+" than is here", "")
		}
	}
	fromFile := 0
	for _, k := range v.standards {
		if !k.given {
			fromFile++
		}
	}
	v.say(CheckStandards, "%s made with a schema that is here, by the SHA-256 that the council signed into each.", was(t.ok, "record"))
	if fromFile > 0 {
		v.say(CheckStandards, "%s from this file: that it is what its publisher published was not compared.", was(fromFile, "standard"))
	}
	if t.undone > 0 {
		v.say(CheckStandards, "%s of a standard that is not here.", was(t.undone, "record"))
	}
}

// was says "1 record is" or "2 records are".
func was(n int, thing string) string {
	if n == 1 {
		return count(n, thing) + " is"
	}
	return count(n, thing) + " are"
}

func councils(cs []name.Council) string {
	var s []string
	for _, c := range cs {
		s = append(s, string(c))
	}
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + " and " + s[len(s)-1]
}

// judgeVersions looks at the versions of each record, and for anything that is
// in the log twice.
func (v *verifier) judgeVersions() {
	type last struct {
		version  uint64
		entry    tlog.Hash
		standard name.StandardName
	}
	chains, twice := v.on(CheckVersions), v.on(CheckDuplicates)
	newest := make(map[[16]byte]last, len(v.records))
	seen := make(map[tlog.Hash]struct{}, len(v.records)+len(v.events))
	again := func(h tlog.Hash) bool {
		_, ok := seen[h]
		seen[h] = struct{}{}
		return ok
	}
	const same = "is the same as an entry before it"
	for i := range v.records {
		r := &v.records[i]
		old, ok := newest[r.record]
		switch {
		case again(r.entry):
			twice.failEntry(r.index, same, "")
			continue
		case ok && r.version == old.version:
			twice.failEntry(r.index, "is a second text of a version that stands before it", "")
			continue
		}
		twice.pass(1)
		switch {
		case ok && r.version < old.version:
			chains.failEntry(r.index, "is an earlier version than one that stands before it", "")
		case ok && old.standard != r.standard.Name:
			chains.failEntry(r.index, "is of another standard than the version before it", "")
		case ok && r.version == old.version+1 && r.prev != old.entry:
			chains.failEntry(r.index, "does not name the version before it that stands here", "")
		case ok && r.version == old.version+1, !ok && r.version == 1:
			chains.pass(1)
		default:
			chains.skip(1)
		}
		newest[r.record] = last{r.version, r.entry, r.standard.Name}
	}
	// A council that sends the same once more within a second, since the link broke off,
	// says so in the same words. What went out is no more for that.
	resent := 0
	for i := range v.events {
		ev := &v.events[i]
		switch disclosed := ev.kind == event.KindDisclosure || ev.kind == event.KindFootprintDisclosure; {
		case !again(ev.hash):
			twice.pass(1)
		case disclosed:
			resent++
		default:
			twice.failEntry(ev.index, same, "")
		}
	}
	v.say(CheckVersions, "%s: each is the first, or names by digest the version before it.", count(chains.ok, "record version"))
	if chains.undone > 0 {
		v.say(CheckVersions, "For %s the version before is not in the file.", count(chains.undone, "record version"))
	}
	v.say(CheckDuplicates, "%s, none of them twice.", count(twice.ok, "entry"))
	if resent > 0 {
		v.say(CheckDuplicates, "Besides, %s the same as one before it: the council sent the same once more within a second, as when a link breaks off.", was(resent, "disclosure"))
	}
}

func (v *verifier) sayRecords() {
	n := v.counts.Records
	say := func(check, none, format string, a ...any) {
		if t := v.on(check); t.ok+t.failed+t.undone == 0 {
			v.say(check, "%s", none)
		} else {
			v.say(check, format, a...)
		}
	}
	const noRecord = "There is no record in the file."
	say(CheckRecordSignatures, noRecord, "%s, each signed by %s: with its record key under the checkpoint that the entry stands under, and by itself (ES256) where a token carries a signature.",
		count(v.on(CheckRecordSignatures).ok, "record"), v.council)
	say(CheckEventSignatures, "There is no event in the file.", "%s, each with a valid signature of the council that says it.", count(v.on(CheckEventSignatures).ok, "event"))
	say(CheckTokens, "There is nothing in the file.", "%s in the one form that such tokens have.", count(v.on(CheckTokens).ok, "token"))
	say(CheckDisclosures, noRecord, "In %s, %s disclosed and %s withheld. Every disclosed one is what was signed; what was withheld cannot be read here.",
		count(n, "record"), was(v.counts.Disclosed, "field"), number(v.counts.Withheld))
	say(CheckInclusion, "There is no entry in the file.", "%s shown to be in the log at its checkpoint.", was(v.on(CheckInclusion).ok, "entry"))
	if t := v.on(CheckInclusion); t.undone > 0 {
		v.say(CheckInclusion, "%s not compared with the log, for want of a checkpoint that holds.", was(t.undone, "entry"))
	}
	say(CheckValid, "There is no record in the file that says anything.", "What can be seen of %s obeys its standard. What is withheld was not looked at.", count(v.on(CheckValid).ok, "record"))
	if t := v.on(CheckValid); t.undone > 0 {
		v.say(CheckValid, "For %s the standard is not here.", count(t.undone, "record"))
	}
}

// judgeTimes compares the times that entries claim with those of witnesses and with each
// other. It tells a fraud from a clock that was wrong. Who dates an entry back, so that it
// seems older than it is, is refused when a witness had seen the log without it later
// than that. A time that is later than a witness saw the entry gains nobody anything: the
// clock was ahead, which is noted, and so is a step back, as of a clock that was put right.
// What is noted of an entry, its claimed time does not prove.
func (v *verifier) judgeTimes() {
	t := v.on(CheckTimes)
	// The earliest time at which a witness had seen the log at that size or a larger one:
	// one witness whose clock was ahead is corrected by the next.
	slices.SortFunc(v.witnessed, func(a, b Witnessed) int { return cmpUint(a.Size, b.Size) })
	earliest := make([]time.Time, len(v.witnessed))
	for i := len(earliest) - 1; i >= 0; i-- {
		if earliest[i] = v.witnessed[i].Time; i+1 < len(earliest) && earliest[i+1].Before(earliest[i]) {
			earliest[i] = earliest[i+1]
		}
	}
	var before int64
	var ahead, back odd
	w, r, e, unseen := 0, 0, 0, 0
	for r < len(v.records) || e < len(v.events) {
		var index uint64
		var at int64
		if e == len(v.events) || r < len(v.records) && v.records[r].index < v.events[e].index {
			index, at = v.records[r].index, v.records[r].issuedAt
			r++
		} else {
			index, at = v.events[e].index, v.events[e].issuedAt
			e++
		}
		for w < len(v.witnessed) && v.witnessed[w].Size <= index {
			w++
		}
		claimed := time.Unix(at, 0)
		step := before - at
		if step > int64(skew/time.Second) && step <= int64(farAhead/time.Second) {
			back.add(index, time.Duration(step)*time.Second)
		}
		before = at
		switch {
		case step > int64(farAhead/time.Second):
			t.failEntry(index, "the entry before it claims to be later, by more than receivers take", "")
		case w < len(v.witnessed) && claimed.After(earliest[w].Add(farAhead)):
			t.failEntry(index, "claims to be later than a witness saw it, by more than receivers take", "")
		case w > 0 && claimed.Before(earliest[w-1].Add(-skew)):
			t.failEntry(index, "claims to be earlier than a witness saw the log without it", "")
		case w == len(v.witnessed):
			t.skip(1)
			unseen++
		case claimed.After(earliest[w].Add(skew)):
			t.skip(1)
			ahead.add(index, claimed.Sub(earliest[w]))
		default:
			t.pass(1)
		}
	}
	v.say(CheckTimes, "%s no later than a witness saw the log with it, and no earlier than one saw it without, within %s.", claim(t.ok, "entry"), minutes(skew))
	if ahead.n > 0 {
		v.say(CheckTimes, "Note: %s (%s) later than a witness saw the log with it, by up to %s: the clock of %s was ahead. It was made before the witness saw it, whatever it claims.",
			claim(ahead.n, "entry"), ahead.span(), minutes(ahead.most), v.council)
	}
	if back.n > 0 {
		v.say(CheckTimes, "Note: the times step back %s, by up to %s, at %s, as they do when a clock that was ahead is put right.", times(back.n), minutes(back.most), back.span())
	}
	if unseen > 0 {
		v.say(CheckTimes, "%s newer than any cosigned checkpoint here: for the time of that there is the word of %s alone.", was(unseen, "entry"), v.council)
	}
	v.sayRecords()
}

// farAhead is how far ahead of its own clock a receiver lets a record be: it refuses what
// claims to be of later than that (internal/judge), so that no honest exchange goes on.
const farAhead = 366 * 24 * time.Hour

// An odd is entries whose times are not what they should be, with no fraud in them.
type odd struct {
	n           int
	first, last uint64
	most        time.Duration
}

func (o *odd) add(index uint64, by time.Duration) {
	if o.n == 0 {
		o.first = index
	}
	o.n, o.last, o.most = o.n+1, index, max(o.most, by)
}

// span names the entries.
func (o *odd) span() string {
	if o.n == 1 {
		return fmt.Sprintf("entry %d", o.first)
	}
	return fmt.Sprintf("entries %d to %d", o.first, o.last)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return number(n) + " times"
}

func claim(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " claims a time"
	}
	return count(n, thing) + " claim times"
}

func minutes(d time.Duration) string { return fmt.Sprintf("%d minutes", d/time.Minute) }
