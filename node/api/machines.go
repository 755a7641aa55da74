package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// MachinesReply says how a council's node stands on its machines, as one of them
// sees it.
type MachinesReply struct {
	Data    string       `json:"data"`                // the council's data folder on this machine
	Here    bool         `json:"here"`                // its node runs on this machine
	By      name.Council `json:"served_by,omitempty"` // the machine that leads
	Since   time.Time    `json:"since,omitzero"`
	Problem string       `json:"problem,omitempty"` // why it does not run here, or could not if this machine led
}
