package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// StandardRequest names an adopted standard: publisher/name@version, or a
// line publisher/name@1, or publisher/name for the newest.
type StandardRequest struct {
	Name string `json:"name"`
}

// An Obligation is the law by which councils have to hold or send records of a standard.
type Obligation struct {
	Statute string `json:"statute"`
	From    string `json:"from,omitempty"` // day since which it holds, as 2006-01-02
}

// StandardReply describes an adopted standard.
type StandardReply struct {
	Name        name.Standard     `json:"name"`
	Title       string            `json:"title"`
	Description string            `json:"description,omitempty"`
	Status      string            `json:"status"`
	Integrity   string            `json:"integrity"`
	Key         []string          `json:"key"`
	Classes     map[string]string `json:"classes,omitempty"`
	Records     int               `json:"records"` // live records of ours
	Obligation  *Obligation       `json:"obligation,omitempty"`
	Source      []string          `json:"source,omitempty"`
	Waived      []string          `json:"waived,omitempty"` // rules of lint that its publisher broke, waived when it was adopted
	// Mappings are the majors whose records can be made into records of it.
	Mappings []int `json:"mappings,omitempty"`
	// Mapped says how records of it are made from those of an older major.
	Mapped *MappedReply `json:"mapped,omitempty"`
}

// StandardArchiveReply is a standard as its archive.
type StandardArchiveReply struct {
	Archive []byte `json:"archive"`
}

// AdoptRequest names a version of a standard: its archive (zip or tar.gz), or a
// name. publisher/name@1.2.0 is what is adopted here, stands in the directory or
// comes with Stile, in this order; publisher/name@1, publisher/name and the name
// alone are the newest there is, live before any other status.
type AdoptRequest struct {
	Archive     []byte `json:"archive,omitempty"`
	Name        string `json:"name,omitempty"`
	EvenRetired bool   `json:"even_retired,omitempty"` // adopt what its publisher has retired

	// Waive names rules of lint whose errors are no reason not to adopt it. Only
	// those that no record can tell may be waived, such as required-twice. Each
	// must be needed; they are logged with the adoption.
	Waive []string `json:"waive,omitempty"`
}

// AdoptReply says what was adopted.
type AdoptReply struct {
	Name    name.Standard `json:"name"`
	Title   string        `json:"title"`
	Already bool          `json:"already,omitempty"` // the same was adopted before
	Advice  []Problem     `json:"advice,omitempty"`  // what its publisher might mend
	Waived  []string      `json:"waived,omitempty"`
}

// AdoptPreview says what it would mean to adopt a version of a standard.
type AdoptPreview struct {
	Name      name.Standard `json:"name"`
	Title     string        `json:"title"`
	Publisher name.Council  `json:"publisher"`
	Licence   string        `json:"licence,omitempty"`
	Origin    string        `json:"origin"`            // adopted, directory, shipped or file
	Status    string        `json:"status"`            // today, by the directory, else by its manifest
	History   []StatusStep  `json:"history,omitempty"` // as the directory has it
	Integrity string        `json:"integrity"`
	Adopted   bool          `json:"adopted,omitempty"` // the same is adopted already

	// Older is the version it is compared with: the newest adopted one before it
	// in its line, else of its name; nil when none is.
	Older *name.Standard `json:"older,omitempty"`
	// Later is the first version of it that is adopted here and comes after it; nil for none.
	Later      *name.Standard `json:"later,omitempty"`
	Difference *Difference    `json:"difference,omitempty"`
	Version    *Problem       `json:"version,omitempty"` // the number does not tell the difference
	Records    int            `json:"records"`           // live records of ours in the line of Older
	// Means lists what will mean this version, where it is named so: its line,
	// the standard's name, or both. An import may name it that way.
	Means      []string          `json:"means,omitempty"`
	Agreements []AgreementEffect `json:"agreements,omitempty"`
	Mapped     *MappedReply      `json:"mapped,omitempty"` // how records of its line are made now
	Mappings   []MappingPreview  `json:"mappings,omitempty"`
	Advice     []Problem         `json:"advice,omitempty"`
	Costs      []ExampleCost     `json:"costs,omitempty"` // of its valid examples
}

// An ExampleCost is what it costs to check an example, in steps: a measure that
// is the same on every machine.
type ExampleCost struct {
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
	Steps int    `json:"steps"`
	Limit int    `json:"limit"` // the steps that a record of this size may take
	// UnjudgedAt is about how large a record like it is, in bytes, when it would
	// not be judged any more; 0 when one of every size that is read is.
	UnjudgedAt int `json:"unjudged_at,omitempty"`
}

// AgreementEffect says what a version of a standard means for an agreement.
type AgreementEffect struct {
	Agreement name.Agreement    `json:"agreement"`
	Standard  name.StandardLine `json:"standard"`
	Sends     bool              `json:"sends"`           // we are the one who sends
	Other     bool              `json:"other,omitempty"` // it is over another major: nothing of this one leaves under it
	Stops     bool              `json:"stops,omitempty"` // no record of the version would leave under it
	Because   []string          `json:"because,omitempty"`
}

// MappingPreview says what a version makes of records of an older major.
type MappingPreview struct {
	From     int       `json:"from"`
	Steps    []string  `json:"steps"`
	Problems []Problem `json:"problems,omitempty"` // against the newest adopted version of that major
}

// AgainstRequest asks how the node's own records of one version, or line, would
// fare under another version, a page at a time.
type AgainstRequest struct {
	From   string       `json:"from"` // publisher/name@1.0.0, or a line publisher/name@1
	To     AdoptRequest `json:"to"`
	Cursor Cursor       `json:"cursor,omitempty"`
	Limit  int          `json:"limit,omitempty"` // records looked at; default and at most 1000
}

// AgainstReply counts a page of records.
type AgainstReply struct {
	From     string        `json:"from"`
	To       name.Standard `json:"to"`
	Mapped   bool          `json:"mapped,omitempty"` // what the mapping of To makes of each record was judged, not the record
	Total    int           `json:"total"`            // live records there are to judge, of all pages
	Examined int           `json:"examined"`
	Valid    int           `json:"valid"`
	Failed   int           `json:"failed"`

	// NotJudged counts records that no verdict was come to on, since that would
	// cost more than a record may. They are neither valid nor failed.
	NotJudged int `json:"not_judged,omitempty"`

	Damaged int          `json:"damaged,omitempty"` // on disk, and not judged
	Faults  []FaultCount `json:"faults"`            // most records first
	Cursor  Cursor       `json:"cursor,omitempty"`
}

// FaultCount is how many records break a rule at a field.
type FaultCount struct {
	Field   string        `json:"field"` // "*" stands for an element of a list; "" is the whole record
	Rule    string        `json:"rule"`
	Detail  string        `json:"detail"` // in the standard's words
	Records int           `json:"records"`
	IDs     []name.Record `json:"ids"` // some of them
}

// ServeRequest asks that records of one major of a standard are kept in another
// too, made by the mapping that the other ships; or, with Stop, no longer.
type ServeRequest struct {
	Standard string `json:"standard"`       // publisher/name@2, or a version of it
	From     *int   `json:"from,omitempty"` // the major they are made from; default: the only one there is a mapping from
	Stop     bool   `json:"stop,omitempty"` // delete what was made
}

// ServeReply says what one call did. Where it is not Done, the call is made
// again; a running node goes on by itself too.
type ServeReply struct {
	Standard name.Standard     `json:"standard"`
	From     name.StandardLine `json:"from"`
	Made     int               `json:"made"` // records written in this call
	Deleted  int               `json:"deleted"`
	Refused  int               `json:"refused"` // held back at the gate in this call
	Cursor   uint64            `json:"cursor"`  // log index followed to, of Size
	Size     uint64            `json:"size"`
	Done     bool              `json:"done"`
	Ended    bool              `json:"ended,omitempty"`
	Advice   []Problem         `json:"advice,omitempty"` // what the mapping cannot do
}

// MappedReply says how records of a standard are made by a mapping.
type MappedReply struct {
	From    name.StandardLine `json:"from"`
	Since   time.Time         `json:"since"`
	Made    int               `json:"made"`    // records that there are by it; not counted in a list
	Refused int               `json:"refused"` // held back at the gate; not counted in a list
	Behind  bool              `json:"behind,omitempty"`
	Ending  bool              `json:"ending,omitempty"`
}

// PublishedReply is one version of a standard as the directory has it.
type PublishedReply struct {
	Name    name.Standard `json:"name"`
	Body    name.Council  `json:"body"`
	Status  string        `json:"status"`  // today
	History []StatusStep  `json:"history"` // and what comes
	Bytes   int64         `json:"bytes"`
	Held    bool          `json:"held"`    // the archive is here
	Adopted bool          `json:"adopted"` // by this node
}

// StatusStep is a standard's coming into a status.
type StatusStep struct {
	Status string `json:"status"`
	On     string `json:"on"` // a day, such as 2027-04-01
}

// A Level is the part of a version number that a change of a standard asks to
// raise: "patch", "minor" or "major" (semver.org 2.0.0 sections 6 to 8).
type Level string

// A Difference is what changed from one version of a standard to another.
type Difference struct {
	From    name.Standard `json:"from"`
	To      name.Standard `json:"to"`
	Needs   Level         `json:"needs"`   // the least step of the version number that the changes ask for
	Changes []Change      `json:"changes"` // the gravest first, then by pointer; empty, not nil, when nothing changed
}

// A Change is one difference between two versions, in words.
type Change struct {
	Pointer string `json:"pointer"` // the field, as name.Field spells it; "" is the whole record; "standard.yaml#/key" and the like for the manifest
	What    string `json:"what"`    // such as "must now be given"
	Level   Level  `json:"level"`
	Why     string `json:"why,omitempty"` // what follows from it, when that is not plain
}
