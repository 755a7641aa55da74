package hooks

import (
	"context"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A CloudEvent is a change as CloudEvents 1.0 writes it, in JSON. Its id is the cursor
// after it: who sends it back as Last-Event-ID, or as after, gets what comes next.
type CloudEvent struct {
	SpecVersion string         `json:"specversion" enum:"1.0"`
	ID          string         `json:"id"`
	Source      string         `json:"source" doc:"the council whose node says so, as a URL"`
	Type        string         `json:"type" doc:"uk.stile. and the type of the change"`
	Time        time.Time      `json:"time"`
	Subject     string         `json:"subject,omitempty" doc:"the record, where it is one, or the agreement"`
	ContentType string         `json:"datacontenttype" enum:"application/json"`
	Data        api.FeedChange `json:"data"`
}

// TypePrefix begins the type of every event.
const TypePrefix = "uk.stile."

// NewEvent makes a change that a council's node tells of into an event.
func NewEvent(council name.Council, c api.FeedChange) CloudEvent {
	e := CloudEvent{SpecVersion: "1.0", ID: c.Cursor, Source: "https://" + string(council), Type: TypePrefix + c.Type, Time: c.At, ContentType: "application/json", Data: c}
	switch {
	case len(c.Records) == 1:
		e.Subject = string(c.Records[0].Record)
	case c.Agreement != "":
		e.Subject = string(c.Agreement)
	}
	return e
}

// Sees reports whether a change is for whoever the context names.
func Sees(ctx context.Context, c api.FeedChange) bool {
	may := func(op string, on access.On) bool { return access.Allowed(access.From(ctx), op, on) == nil }
	switch {
	case c.Type == api.ChangeAgreement:
		return may("agreements/list", access.On{}) || may("changes/read", access.On{Standard: c.Standard, AnySide: true})
	case strings.HasPrefix(c.Type, "received."):
		return c.Standard != "" && may("changes/read", access.On{Standard: c.Standard, From: c.Council})
	}
	return c.Standard != "" && may("changes/read", access.On{Standard: c.Standard})
}
