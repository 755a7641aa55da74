package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A Severity says how much a condition matters.
type Severity string

// The severities, the gravest first.
const (
	Critical Severity = "critical" // something has stopped, or is not as a promise says
	Warning  Severity = "warning"  // somebody has to act, or will have to soon
	Notice   Severity = "notice"   // good to know
)

// A Condition is one thing about a node that somebody should know of. What is fine is
// no condition.
type Condition struct {
	Name     string   `json:"name"` // stable: see docs/operating.md
	Severity Severity `json:"severity"`
	// Council and Agreement are what it is about; "" where that is the node itself. The
	// council may be a footprint.
	Council   name.Council   `json:"council,omitempty"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Text      string         `json:"text"`            // one plain sentence, without a full stop
	Cause     string         `json:"cause,omitempty"` // why it is so, as far as is known
	Try       string         `json:"try"`             // what to do about it
	Since     time.Time      `json:"since,omitzero"`  // zero: not known
	// Accepted: the configuration says that somebody has decided to live with it, so
	// that it is a notice whatever it would be.
	Accepted bool `json:"accepted,omitempty"`
}

// Same reports whether two conditions are one, seen at two times.
func (c Condition) Same(d Condition) bool {
	return c.Name == d.Name && c.Council == d.Council && c.Agreement == d.Agreement
}

// Worst returns the gravest severity of some conditions; "" when there are none.
func Worst(cs []Condition) Severity {
	for _, s := range []Severity{Critical, Warning, Notice} {
		for _, c := range cs {
			if c.Severity == s {
				return s
			}
		}
	}
	return ""
}
