package event

import (
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An AgreementCheckpoint says what an agreement permitted one receiver when the log had
// Size entries: so many records, which are the leaves of a tree with that root, each as
// [github.com/stile-exchange/stile/internal/agreement.Permitted] spells it, in the order
// of the log. Whoever was given those records, and whoever sees the log, comes to the
// same two numbers or knows that something was left out or added. Body:
//
//	{"agreement":"northmoor.gov.uk/people","count":3,"root":"…","size":9,"to":"saltby.gov.uk","version":1}
type AgreementCheckpoint struct {
	Agreement name.Agreement
	Version   uint64 // of the agreement, whose text says which records and fields
	To        name.Council
	Size      uint64 // of the log; the event itself stands at Size or later
	Count     uint64
	Root      tlog.Hash
}

// Body returns the body of a [KindAgreementCheckpoint].
func (c AgreementCheckpoint) Body() map[string]any {
	return map[string]any{
		"agreement": string(c.Agreement), "version": Number(c.Version), "to": string(c.To),
		"size": Number(c.Size), "count": Number(c.Count), "root": c.Root.String(),
	}
}

// ParseAgreementCheckpoint reads the body of a [KindAgreementCheckpoint]. The error
// wraps [ErrBody].
func ParseAgreementCheckpoint(body map[string]any) (AgreementCheckpoint, error) {
	r := read(KindAgreementCheckpoint, body)
	c := AgreementCheckpoint{
		Agreement: r.agreement("agreement"), Version: r.version("version"), To: r.council("to"),
		Size: r.index("size"), Count: r.index("count"), Root: r.hash("root"),
	}
	if c.Count > c.Size {
		r.wrong("count", "is more than the log has entries")
	}
	return c, r.done()
}
