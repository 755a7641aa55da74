package event

import (
	"fmt"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// maxRetention bounds what one event says was deleted; who deletes more logs more.
const maxRetention = 1000

// A Retention says that a receiver deleted records because the time was over for which an
// agreement lets it keep them. It is the receiver's word, addressed to who sent them. Body:
//
//	{"agreement":"northmoor.gov.uk/people","entries":[3,7],"from":"northmoor.gov.uk",
//	 "received":[1764547200,1764547200],"version":1}
type Retention struct {
	Agreement name.Agreement
	Version   uint64       // of the agreement whose term was over
	From      name.Council // whose log the entries are of
	Entries   []uint64     // log indexes of the versions that were held, ascending
	// Received says of each entry when it came, in seconds since 1970: what the term is
	// counted from, unless that is a date in the record.
	Received []uint64
}

// ReceivedAt returns when the entry at place i of Entries came.
func (r Retention) ReceivedAt(i int) time.Time { return time.Unix(int64(r.Received[i]), 0).UTC() }

// Body returns the body of a [KindRetention].
func (r Retention) Body() map[string]any {
	return map[string]any{
		"agreement": string(r.Agreement), "version": Number(r.Version), "from": string(r.From),
		"entries": indexList(r.Entries), "received": indexList(r.Received),
	}
}

// ParseRetention reads the body of a [KindRetention]. The error wraps [ErrBody].
func ParseRetention(body map[string]any) (Retention, error) {
	r := read(KindRetention, body)
	out := Retention{Agreement: r.agreement("agreement"), Version: r.version("version"), From: r.council("from")}
	out.Entries, out.Received = r.pairs("entries", "received")
	for i, n := range out.Entries {
		if i > 0 && n <= out.Entries[i-1] {
			r.wrong("entries", "does not ascend")
		}
	}
	for _, at := range out.Received {
		if at > MaxSeconds {
			r.wrong("received", "is not seconds since 1970")
		}
	}
	if len(out.Entries) == 0 || len(out.Entries) > maxRetention {
		r.wrong("entries", fmt.Sprintf("has not from 1 to %d elements", maxRetention))
	}
	return out, r.done()
}
