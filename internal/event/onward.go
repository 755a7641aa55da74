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

func aJWS(s string) (string, error) {
	if s == "" || len(s) > MaxSigned || strings.Count(s, ".") != 2 {
		return "", errors.New("no compact JWS")
	}
	return s, nil
}
