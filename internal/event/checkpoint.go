package event

import (
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// MaxSigners is how many members of a footprint a [FootprintCheckpoint] may count.
const MaxSigners = 10_000

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
	c := r.checkpoint()
	return c, r.done()
}

func (r *reader) checkpoint() AgreementCheckpoint {
	c := AgreementCheckpoint{
		Agreement: r.agreement("agreement"), Version: r.version("version"), To: r.council("to"),
		Size: r.index("size"), Count: r.index("count"), Root: r.hash("root"),
	}
	if c.Count > c.Size {
		r.wrong("count", "is more than the log has entries")
	}
	return c
}

// A FootprintCheckpoint is what a member of a footprint says, in its own log, that an
// agreement permitted one receiver of the footprint's records: an [AgreementCheckpoint] of
// which Size is of the footprint's log. Every member comes to the same at one size, since
// nothing but that log and the agreement's text decides it. Body: that of an
// AgreementCheckpoint, and footprint and signers.
type FootprintCheckpoint struct {
	Footprint name.Council
	// Signers is how many members had signed the text in the footprint's log at that size.
	// The records of no others are let out, so that a receiver who knows of fewer signatures
	// has fewer records.
	Signers uint64
	AgreementCheckpoint
}

// Body returns the body of a [KindFootprintCheckpoint].
func (c FootprintCheckpoint) Body() map[string]any {
	body := c.AgreementCheckpoint.Body()
	body["footprint"], body["signers"] = string(c.Footprint), Number(c.Signers)
	return body
}

// ParseFootprintCheckpoint reads the body of a [KindFootprintCheckpoint]. The error wraps
// [ErrBody].
func ParseFootprintCheckpoint(body map[string]any) (FootprintCheckpoint, error) {
	r := read(KindFootprintCheckpoint, body)
	c := FootprintCheckpoint{Footprint: r.council("footprint"), Signers: r.number("signers", MaxSigners), AgreementCheckpoint: r.checkpoint()}
	return c, r.done()
}
