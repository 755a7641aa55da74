package event

import (
	"errors"
	"strings"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// MaxChain is the most signed events that an Onward holds, and that a PassedOn does.
const MaxChain = 500

// An Onward says under which agreements a council passes on what others let it have: it is
// the proof that goes with every record that is passed on under Agreement, once for all of
// them. Texts are the events that say where each earlier agreement stands, as their councils
// signed them: proposals, signatures, and what was said since; the first agreement's first.
// Body:
//
//	{"agreement":"saltby.gov.uk/on","origin":"northmoor.gov.uk/people","texts":["eyJ…","eyJ…"],"version":1}
type Onward struct {
	Agreement name.Agreement // under which records are passed on
	Version   uint64         // of it
	Origin    name.Agreement // under which they came
	Texts     []string       // compact JWS
}

// Body returns the body of a [KindOnward].
func (o Onward) Body() map[string]any {
	return map[string]any{"agreement": string(o.Agreement), "version": Number(o.Version), "origin": string(o.Origin), "texts": textList(o.Texts)}
}

// ParseOnward reads the body of a [KindOnward]. The error wraps [ErrBody]. The texts are not
// looked at.
func ParseOnward(body map[string]any) (Onward, error) {
	r := read(KindOnward, body)
	o := Onward{Agreement: r.agreement("agreement"), Version: r.version("version"), Origin: r.agreement("origin"), Texts: namesOf(r, "texts", "a signed event", MaxChain, aJWS)}
	return o, r.done()
}

// A PassedOn says that a record of another council goes on under an agreement, as its
// council signed it. It stands in the log of who passes on, and the record itself, with the
// disclosures that may go, travels beside it. Body:
//
//	{"agreement":"saltby.gov.uk/on","before":[],"chain":4,"entry":7,"hash":"…","origin":"northmoor.gov.uk/people",
//	 "record":"…","record_version":2,"version":1}
type PassedOn struct {
	Agreement     name.Agreement
	Version       uint64 // of the agreement
	Chain         uint64 // log index of the KindOnward that proves that it may go
	Origin        name.Agreement
	Entry         uint64 // where it stands in the log of who sent it under Origin
	Record        name.Record
	RecordVersion uint64
	Hash          tlog.Hash // SHA-256 of the record's signing input
	Before        []string  // the PassedOn of those before, compact JWS, the first first; none in the first step
}

// Body returns the body of a [KindPassedOn].
func (p PassedOn) Body() map[string]any {
	return map[string]any{
		"agreement": string(p.Agreement), "version": Number(p.Version), "chain": Number(p.Chain), "origin": string(p.Origin), "entry": Number(p.Entry),
		"record": string(p.Record), "record_version": Number(p.RecordVersion), "hash": p.Hash.String(), "before": textList(p.Before),
	}
}

// ParsePassedOn reads the body of a [KindPassedOn]. The error wraps [ErrBody]. What stands
// before is not looked at.
func ParsePassedOn(body map[string]any) (PassedOn, error) {
	r := read(KindPassedOn, body)
	p := PassedOn{
		Agreement: r.agreement("agreement"), Version: r.version("version"), Chain: r.index("chain"), Origin: r.agreement("origin"), Entry: r.index("entry"),
		Record: named(r, "record", "the id of a record", name.ParseRecord), RecordVersion: r.index("record_version"), Hash: r.hash("hash"),
		Before: namesOf(r, "before", "a signed event", MaxChain, aJWS),
	}
	return p, r.done()
}

// MaxGone is the most versions that an OnwardGone names, and the most entries of an
// OnwardDeleted.
const MaxGone = 400

// Why nothing that went on by an agreement may be kept any longer.
const (
	OverEnded    = "ended"    // the agreement is over
	OverNarrower = "narrower" // the text in force does not let it go on so
)

// An OnwardGone is the word of the council that issued records to one that was given them by
// another: it may keep them no longer. It says that to nobody but who asked, and of nothing but
// what who asked named. Body:
//
//	{"agreement":"northmoor.gov.uk/people","since":0,"to":"hexwell.gov.uk","under":"saltby.gov.uk/on","version":1,
//	 "versions":[{"hash":"…","known":true,"record":"…","since":1796083200}]}
//
// or, of everything that went on by an agreement:
//
//	{"agreement":"northmoor.gov.uk/people","known":true,"over":"ended","since":1796083200,"to":"hexwell.gov.uk",
//	 "under":"saltby.gov.uk/on","version":1,"versions":[]}
type OnwardGone struct {
	Agreement name.Agreement // of the council that says so: the first of those by which they went on
	Version   uint64         // of its text that stands or, when none does, stood last
	To        name.Council   // who asked
	Under     name.Agreement // by which they went on: the second
	Over      string         // why all of them are to go: OverEnded or OverNarrower; "" for Versions alone
	Since     int64          // of Over, Unix seconds; 0 where that is ""
	Known     bool           // of Over: who passed them on has known for more than a day, by its own signature
	Versions  []GoneVersion  // none with Over
}

// A GoneVersion is a version of a record that was taken back, erased or replaced.
type GoneVersion struct {
	Record name.Record
	Hash   tlog.Hash // SHA-256 of its signing input
	Since  int64     // Unix seconds
	// Known: who passed it on signed more than a day ago that it deleted it, or holds a later one.
	Known bool
}

// Body returns the body of a [KindOnwardGone].
func (o OnwardGone) Body() map[string]any {
	versions := make([]any, len(o.Versions))
	for i, g := range o.Versions {
		m := map[string]any{"record": string(g.Record), "hash": g.Hash.String(), "since": Number(uint64(g.Since))}
		if g.Known {
			m["known"] = true
		}
		versions[i] = m
	}
	out := map[string]any{
		"agreement": string(o.Agreement), "version": Number(o.Version), "to": string(o.To), "under": string(o.Under),
		"since": Number(uint64(o.Since)), "versions": versions,
	}
	if o.Over != "" {
		out["over"] = o.Over
	}
	if o.Known {
		out["known"] = true
	}
	return out
}

// ParseOnwardGone reads the body of a [KindOnwardGone]. The error wraps [ErrBody].
func ParseOnwardGone(body map[string]any) (OnwardGone, error) {
	r := read(KindOnwardGone, body)
	o := OnwardGone{
		Agreement: r.agreement("agreement"), Version: r.version("version"), To: r.council("to"), Under: r.agreement("under"),
		Since: int64(r.seconds("since")), Known: r.flagIf("known"),
	}
	if r.has("over") {
		o.Over = r.oneOf("over", OverEnded, OverNarrower)
	}
	r.objects("versions", MaxGone, func(r *reader) {
		o.Versions = append(o.Versions, GoneVersion{
			Record: named(r, "record", "the id of a record", name.ParseRecord), Hash: r.hash("hash"), Since: int64(r.seconds("since")), Known: r.flagIf("known"),
		})
	})
	switch {
	case o.Over == "" && (o.Since != 0 || o.Known):
		r.wrong("since", "is of nothing")
	case (o.Over == "") == (len(o.Versions) == 0):
		r.wrong("versions", "is empty, or is not where everything is to go")
	}
	return o, r.done()
}

// An OnwardDeleted says that a council deleted, by the word of the council that issued them,
// what another had passed on to it and had not taken back. It is addressed to both. Body:
//
//	{"agreement":"northmoor.gov.uk/people","entries":[7],"from":"saltby.gov.uk","known":1,"under":"saltby.gov.uk/on","word":"eyJ…"}
type OnwardDeleted struct {
	Agreement name.Agreement // of the council that issued them
	Under     name.Agreement // by which they came here
	From      name.Council   // who passed them on to here
	Word      string         // the OnwardGone, as that council signed it: a compact JWS
	Entries   []uint64       // where what is deleted stood in the log of From, ascending, at most MaxGone
	// Known is of how many of Entries From had known for more than a day that they had to go, as
	// the word says; 0 where another had passed them on to From.
	Known uint64
}

// Body returns the body of a [KindOnwardDeleted].
func (o OnwardDeleted) Body() map[string]any {
	return map[string]any{"agreement": string(o.Agreement), "under": string(o.Under), "from": string(o.From), "word": o.Word, "entries": indexList(o.Entries), "known": Number(o.Known)}
}

// ParseOnwardDeleted reads the body of a [KindOnwardDeleted]. The error wraps [ErrBody]. The
// word is not looked at.
func ParseOnwardDeleted(body map[string]any) (OnwardDeleted, error) {
	r := read(KindOnwardDeleted, body)
	o := OnwardDeleted{
		Agreement: r.agreement("agreement"), Under: r.agreement("under"), From: r.council("from"),
		Word: named(r, "word", "a signed event", aJWS), Entries: r.indexes("entries"), Known: r.number("known", MaxGone),
	}
	for i := range o.Entries {
		if i > 0 && o.Entries[i] <= o.Entries[i-1] {
			r.wrong("entries", "does not ascend")
		}
	}
	if n := len(o.Entries); n == 0 || n > MaxGone {
		r.wrong("entries", "is empty, or has too many elements")
	} else if o.Known > uint64(n) {
		r.wrong("known", "is more than there are entries")
	}
	return o, r.done()
}

func aJWS(s string) (string, error) {
	if s == "" || len(s) > MaxSigned || strings.Count(s, ".") != 2 {
		return "", errors.New("no compact JWS")
	}
	return s, nil
}
