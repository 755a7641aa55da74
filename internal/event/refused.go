package event

import "github.com/stile-exchange/stile/node/name"

// What a council asked for and did not get.
const (
	RefusedQuestion = "question" // an answer to a question
	RefusedCopy     = "copy"     // a feed of records
	RefusedRecord   = "record"   // a record of a feed that it may have: it does not match, or is damaged
)

// A Refused says how often in one hour a council asked for something and was refused it
// for one reason. It is logged once the hour is over. Body:
//
//	{"agreement":"northmoor.gov.uk/people","by":"saltby.gov.uk","hour":495000,"rule":"too-often","times":12,"what":"question"}
type Refused struct {
	By        name.Council   // who asked
	What      string         // one of the constants above
	Rule      string         // the code of the refusal, at most 64 bytes
	Agreement name.Agreement // under which it may ask; "" where there is none
	Hour      uint64         // hours since 1970-01-01T00:00Z
	Times     uint64         // at least 1
}

// Body returns the body of a [KindRefused].
func (f Refused) Body() map[string]any {
	body := map[string]any{"by": string(f.By), "what": f.What, "rule": f.Rule, "hour": Number(f.Hour), "times": Number(f.Times)}
	if f.Agreement != "" {
		body["agreement"] = string(f.Agreement)
	}
	return body
}

// ParseRefused reads the body of a [KindRefused]. The error wraps [ErrBody].
func ParseRefused(body map[string]any) (Refused, error) {
	r := read(KindRefused, body)
	f := Refused{
		By: r.council("by"), What: r.oneOf("what", RefusedQuestion, RefusedCopy, RefusedRecord), Rule: r.textOf("rule", 1, 64),
		Hour: r.number("hour", 1<<31-1), Times: r.index("times"),
	}
	if r.has("agreement") {
		f.Agreement = r.agreement("agreement")
	}
	if f.Times == 0 {
		r.wrong("times", "is not at least 1")
	}
	return f, r.done()
}
