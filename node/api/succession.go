package api

import "github.com/stile-exchange/stile/node/name"

// SuccessionRequest names a plan of succession; see package succession for its form.
type SuccessionRequest struct {
	Plan []byte `json:"plan"`         // YAML
	By   string `json:"by,omitempty"` // name or pseudonym of the person who seals, which partners read
}

// SuccessionReply says what a plan makes of this council's records, and how far it has come.
type SuccessionReply struct {
	Succession string            `json:"succession"`
	Council    name.Council      `json:"council"` // which ends: this one
	On         string            `json:"on"`      // first day of the successors
	Successors []SuccessorReply  `json:"successors"`
	Nobody     []SharedToNobody  `json:"nobody,omitempty"` // records that the plan gives to nobody: while there is one nothing is sealed
	Stays      int               `json:"stays"`            // records that stay behind: compliance statements, and what a mapping made
	Agreements []EndingAgreement `json:"agreements,omitempty"`
	Handovers  []EndingHandover  `json:"handovers,omitempty"`  // that a successor carries on
	Own        int               `json:"own,omitempty"`        // records taken over in handovers, which are put among our own before it is sealed
	Footprints []EndingFootprint `json:"footprints,omitempty"` // that it is in or brings records into, and leaves before it seals
	Faults     []string          `json:"faults,omitempty"`     // what else stands in the way
	Warnings   []string          `json:"warnings,omitempty"`   // what is lost, or deleted at partners, if it is sealed as things are; nothing of it stands in the way
	Sealed     bool              `json:"sealed,omitempty"`
	Entry      uint64            `json:"entry,omitempty"`      // the last of the log
	Size       uint64            `json:"size,omitempty"`       // of the log then
	Root       string            `json:"root,omitempty"`       // of the log then, base64
	Witnesses  []name.Council    `json:"witnesses,omitempty"`  // have cosigned the log with its last entry
	Unreceived []name.Council    `json:"unreceived,omitempty"` // have not yet said that they deleted what they held, or keep it
	Kept       []KeptReply       `json:"kept,omitempty"`       // what partners keep until it comes from the successors
}

// KeptReply is what a partner keeps of what a council that has ended shared with it, as it is,
// until it comes from the successors.
type KeptReply struct {
	Council   name.Council   `json:"council"`   // who keeps it
	Agreement name.Agreement `json:"agreement"` // under which it was shared
	Records   int            `json:"records"`   // when it said so
	For       []name.Council `json:"for"`       // the successors
	Until     string         `json:"until"`     // the day on which what has not come is deleted
}

// SuccessorReply is what one council takes over.
type SuccessorReply struct {
	Council   name.Council     `json:"council"`
	KeyID     string           `json:"kid,omitempty"` // of its record key, as the directory has it; "" when it is no member yet
	Records   int              `json:"records"`
	Standards []SharedStandard `json:"standards"`
}

// SharedStandard counts records of one version of a standard.
type SharedStandard struct {
	Standard name.Standard `json:"standard"`
	Records  int           `json:"records"`
}

// SharedToNobody counts records of one version of a standard that nobody is given.
type SharedToNobody struct {
	Standard name.Standard `json:"standard"`
	Why      string        `json:"why"`
	Records  int           `json:"records"`
	Examples []name.Record `json:"examples"` // at most ten
}

// EndingFootprint is a footprint that the council leaves before its ledger is sealed, or,
// from outside, brings records into. What is of it there is withdrawn first.
type EndingFootprint struct {
	Footprint name.Council   `json:"footprint"`
	Members   []name.Council `json:"members,omitempty"` // the others; with none it ends, too
	Records   int            `json:"records"`           // of ours that stand there
	Outside   bool           `json:"outside,omitempty"` // the council is no member
}

// EndingAgreement is an agreement of the council that ends. It goes on only where the
// parties sign it anew with a successor.
type EndingAgreement struct {
	Agreement name.Agreement `json:"agreement"`
	Version   int            `json:"version"`
	From      name.Council   `json:"from"`
	To        []name.Council `json:"to"`
	Standard  string         `json:"standard"` // as the agreement names it
}

// EndingHandover is a handover of the council that ends, which goes on with a successor.
type EndingHandover struct {
	Case        string         `json:"case"`
	Direction   string         `json:"direction"` // to: the records are ours; from: the partner's
	Partner     name.Council   `json:"partner"`
	State       string         `json:"state"`       // offered, accepted, or closed, of one that we took over
	Responsible name.Council   `json:"responsible"` // as things stand
	Due         string         `json:"due,omitempty"`
	To          []name.Council `json:"to"`      // with more than one people decide between them
	Records     int            `json:"records"` // by which it was decided; 0 where nothing decides
}

// HandOverRequest asks for what one successor takes over, as a file.
type HandOverRequest struct {
	To   name.Council `json:"to"`
	File string       `json:"file,omitempty"` // as in BundleRequest
}

// TakeOverRequest takes over what a file of a council that has ended holds for this one.
// It names the file, or the council, whose node is then asked for it.
type TakeOverRequest struct {
	File        string       `json:"file,omitempty"`        // path, from the root of the disk, where the node runs
	From        name.Council `json:"from,omitempty"`        // the council that has ended
	Try         bool         `json:"try,omitempty"`         // only say what would be done
	Unwitnessed bool         `json:"unwitnessed,omitempty"` // although no other council has cosigned the sealed log
}

// TakeOverReply says what was taken over.
type TakeOverReply struct {
	From      name.Council     `json:"from"`
	On        string           `json:"on"`
	Size      uint64           `json:"size"` // of the sealed log
	Root      string           `json:"root"`
	Witnesses []name.Council   `json:"witnesses,omitempty"` // have cosigned it
	Records   int              `json:"records"`             // that the council is to take over
	Taken     int              `json:"taken"`
	Already   int              `json:"already,omitempty"` // taken over before
	Left      []LeftBehind     `json:"left,omitempty"`
	Standards []SharedStandard `json:"standards"`
	Events    []uint64         `json:"events,omitempty"`    // of our log, which say so
	Handovers int              `json:"handovers,omitempty"` // that we carry on
	File      string           `json:"file,omitempty"`      // where what was fetched is kept
}

// LeftBehind is a record that was not taken over.
type LeftBehind struct {
	Of     name.Record `json:"of"`               // its id in the sealed log
	Entry  uint64      `json:"entry"`            // there
	Record name.Record `json:"record,omitempty"` // ours that has its key
	Why    string      `json:"why"`              // names a rule, never a value
}

// FormerReply says where a record of ours was before, in the log of a council that has ended.
type FormerReply struct {
	Council name.Council `json:"council"`
	Record  name.Record  `json:"record"` // its id there
	Version uint64       `json:"version"`
	Entry   uint64       `json:"entry"` // of that log
	Event   uint64       `json:"event"` // of ours, that says so
}

// SucceededReply says who goes on with a record of this council, which has ended.
type SucceededReply struct {
	Council name.Council `json:"council"` // "" for nobody: it stays in this ledger alone
	On      string       `json:"on"`
	Entry   uint64       `json:"entry"` // of our log, that says so
	// Then are the councils that have ended since, of those that the record may have gone to, and
	// who followed each, by the directory.
	Then []EndedReply `json:"then,omitempty"`
}

// EndedReply says of a council that it has ended, and who took over.
type EndedReply struct {
	Council    name.Council   `json:"council"`
	On         string         `json:"on"`
	Successors []name.Council `json:"successors"`
}

// RehearsalReply says what came of a succession that was tried on a copy.
type RehearsalReply struct {
	Preview    SuccessionReply  `json:"preview"`
	Successors []RehearsedReply `json:"successors,omitempty"` // none where nothing may be sealed like that
}

// RehearsedReply is what a made-up successor took over.
type RehearsedReply struct {
	Council name.Council `json:"council"`
	TakeOverReply
	Bytes        uint64 `json:"bytes"` // of the file
	Milliseconds int64  `json:"milliseconds"`
}
