package event

import "github.com/stile-exchange/stile/node/name"

// An OpinionsDiffer says that the two evaluators of an agreement differed on what was about
// to leave, and that nothing leaves under this text of it until the node is started again.
// Nothing left. Body:
//
//	{"agreement":"northmoor.gov.uk/people","entry":17,"rule":"the rows do not pick the record","to":"saltby.gov.uk","version":2}
type OpinionsDiffer struct {
	Agreement name.Agreement
	Version   uint64
	To        name.Council
	Entry     uint64 // of the record in the log that it was in: ours, or the footprint's
	Rule      string // in words, at most 100 bytes
}

// Body returns the body of a [KindOpinionsDiffer].
func (o OpinionsDiffer) Body() map[string]any {
	return map[string]any{
		"agreement": string(o.Agreement), "version": Number(o.Version), "to": string(o.To), "entry": Number(o.Entry), "rule": o.Rule,
	}
}

// ParseOpinionsDiffer reads the body of a [KindOpinionsDiffer]. The error wraps [ErrBody].
func ParseOpinionsDiffer(body map[string]any) (OpinionsDiffer, error) {
	r := read(KindOpinionsDiffer, body)
	o := OpinionsDiffer{
		Agreement: r.agreement("agreement"), Version: r.version("version"), To: r.council("to"), Entry: r.index("entry"), Rule: r.textOf("rule", 1, 100),
	}
	return o, r.done()
}
