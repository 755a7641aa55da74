package api

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// Offered is one record offered to the node, with the name its sender knows it
// by.
type Offered struct {
	Row       int             `json:"row,omitempty"`       // in the sender's file, from 1
	Reference string          `json:"reference,omitempty"` // the sender's own
	Record    json.RawMessage `json:"record"`
	// Key is the natural key that the record must have, as a person types it; "" for any.
	Key string `json:"key,omitempty"`
	// IfVersion and IfAbsent have the whole request fail as a Conflict where the record is
	// not at this version, or is there, when its turn comes. They are for a request of one
	// record.
	IfVersion uint64 `json:"if_version,omitempty"`
	IfAbsent  bool   `json:"if_absent,omitempty"`
	// Problems say that the sender's reader could not make a record of it; then
	// Record is what it could make, or null, and the offer is refused and counted.
	Problems []Problem `json:"problems,omitempty"`
}

// PutRequest offers records of one standard, in order.
type PutRequest struct {
	Standard string    `json:"standard"` // publisher/name@version, or @major for the newest adopted
	Records  []Offered `json:"records"`
	DryRun   bool      `json:"dry_run,omitempty"` // validate only
	Hold     bool      `json:"hold,omitempty"`    // keep refused offers, to be listed and mended
	Run      *Run      `json:"run,omitempty"`     // of the source that the records come from; see Records.Begin
}

// PutReply says what became of each record, in the order offered.
type PutReply struct {
	Results []PutResult `json:"results"`
}

// PutResult is what became of one offered record. Outcome is empty when it
// was refused, "not judged" when the gate came to no verdict (then the one
// problem says why, and is no fault of the record), and in a dry run "valid".
type PutResult struct {
	Row       int         `json:"row,omitempty"`
	Reference string      `json:"reference,omitempty"`
	Record    name.Record `json:"record,omitempty"`
	Version   uint64      `json:"version,omitempty"`
	Index     uint64      `json:"entry,omitempty"`
	Outcome   Outcome     `json:"outcome,omitempty"`
	Withdrawn int         `json:"withdrawn,omitempty"` // agreements the record left by this change
	Problems  []Problem   `json:"problems,omitempty"`
	// Repeated: it was refused, and so were the very same bytes when the source
	// last offered them.
	Repeated bool `json:"repeated,omitempty"`
}

// An Outcome is what became of a record.
type Outcome string

// The outcomes of a record. All but NotJudged are of one that was taken.
const (
	Created   Outcome = "created"
	Changed   Outcome = "changed"
	Unchanged Outcome = "unchanged"
	Valid     Outcome = "valid"      // in a dry run
	NotJudged Outcome = "not judged" // not taken, and not known to be wrong
)

// RecordRequest names one record: its id, or a standard and the natural key's
// value, or a standard and JSON array of values. From names the council it is
// held from; empty means our own.
type RecordRequest struct {
	Record   string       `json:"record"`             // id, or the natural key
	Standard string       `json:"standard,omitempty"` // needed for a natural key; publisher/name is enough
	From     name.Council `json:"from,omitempty"`
	// Token: the token is to be one that stands alone, with a signature of its own.
	Token bool `json:"token,omitempty"`
	// IfVersion has a deletion fail as a Conflict where the record is not at this version.
	IfVersion uint64 `json:"if_version,omitempty"`
}

// RecordReply is one version of a record.
type RecordReply struct {
	Council   name.Council   `json:"council"`
	Record    name.Record    `json:"record"`
	Reference string         `json:"reference,omitempty"` // what the council that issued it knows it by: the values of the standard's key, parted by spaces; "" when they are not disclosed
	Standard  name.Standard  `json:"standard"`
	Version   uint64         `json:"version"`
	Op        string         `json:"op"`
	Index     uint64         `json:"entry"` // in the issuer's log
	IssuedAt  time.Time      `json:"issued_at"`
	Received  time.Time      `json:"received,omitzero"`   // of one that is held here: when this version came first, by our own clock; zero where that is not known
	Agreement name.Agreement `json:"agreement,omitempty"` // under which it is held here; empty for our own
	Urgent    bool           `json:"urgent,omitempty"`    // that agreement is for urgent disclosures: it is held for a short time
	// Kept says in words for how long it is kept here, and for whom, where its council has
	// ended and its successors have not sent it yet.
	Kept string `json:"kept,omitempty"`
	// PassedBy is who sent it, and PassedUnder the agreements by which it came, the first that
	// of the council whose record it is, where that council did not send it itself; the entry
	// is then in the log of PassedBy.
	PassedBy    name.Council     `json:"passed_by,omitempty"`
	PassedUnder []name.Agreement `json:"passed_under,omitempty"`
	Withheld    int              `json:"withheld"`            // fields the issuer kept back
	Disclosed   []string         `json:"disclosed,omitempty"` // pointers of the fields that were disclosed one by one
	Body        json.RawMessage  `json:"body,omitempty"`
	Token       string           `json:"token,omitempty"`
	MadeFrom    name.Record      `json:"made_from,omitempty"` // record of ours that a mapping made it from; only where it is shown alone
	// Former says where the record was before, of one that was taken over, by us or by who sent
	// it in the place of what was held here; Succeeded, who goes
	// on with it, where this council has ended. Earlier are the councils, ended before that one,
	// that it came through, the last first. Only where it is shown alone.
	Former    *FormerReply    `json:"former,omitempty"`
	Earlier   []FormerReply   `json:"earlier,omitempty"`
	Succeeded *SucceededReply `json:"succeeded,omitempty"`
	Proof     string          `json:"proof"` // "log": it stands in the log of the council that issued it, under a checkpoint that the council signed; "signature": it carries its council's own; or what is wrong
}

// ListRequest lists records of a standard, a page at a time.
type ListRequest struct {
	Standard string       `json:"standard,omitempty"` // publisher/name, of any version; or with @1 or @1.2.0, of those; empty lists all
	From     name.Council `json:"from,omitempty"`     // held from this council; empty: our own
	Cursor   Cursor       `json:"cursor,omitempty"`
	Limit    int          `json:"limit,omitempty"` // default 100, at most 1000
	Bodies   bool         `json:"bodies,omitempty"`
	// Show are the fields that are looked at, of what others sent; none: all of them. The
	// bodies are whole all the same. See DriftReply.
	Show []name.Field `json:"show,omitempty"`
	// Where picks records of which a CEL expression is true, such as
	// record.status == "open", in the language of an agreement's rows. A page then ends
	// after so many records were looked at, whatever it has found.
	Where string `json:"where,omitempty"`
	// Snapshot has all pages show our own records as they stood when the first was asked
	// for. Without it, and of what others sent, a record that changes meanwhile may come
	// twice. What was deleted or erased meanwhile is left out. It needs a standard.
	Snapshot bool `json:"snapshot,omitempty"`
}

// ListReply is a page of records.
type ListReply struct {
	Records []RecordReply `json:"records"`
	Damaged []string      `json:"damaged,omitempty"` // what was left out because it is damaged on disk
	// Hidden says what was left out because this folder was set back, and the feed that it came
	// by was not read to its end since.
	Hidden []string `json:"hidden,omitempty"`
	Cursor Cursor   `json:"cursor,omitempty"`
	// Unsure are records that Where has no answer for, which were left out.
	Unsure int    `json:"unsure,omitempty"`
	AsOf   uint64 `json:"as_of,omitempty"` // entries of our log then, of a snapshot
}

// HistoryReply is every version of a record, newest first.
// An erased version has the Op "erased".
type HistoryReply struct {
	Versions []RecordReply `json:"versions"`
}

// DeleteReply says what a deletion did.
type DeleteReply struct {
	Record    name.Record `json:"record"`
	Version   uint64      `json:"version"`
	Withdrawn int         `json:"withdrawn"`
}

// EraseRequest names what is to be erased: one record, see RecordRequest, or with Person
// the records about one person.
type EraseRequest struct {
	Record   string `json:"record,omitempty"`
	Standard string `json:"standard,omitempty"`
	Person   string `json:"person,omitempty"` // a number that names a person, see DisclosureRequest
	Scheme   string `json:"scheme,omitempty"` // of that number; needed where two are meant
	Shared   bool   `json:"shared,omitempty"` // records that name other persons too
	Reason   string `json:"reason"`           // logged for good, so it must name nobody; not needed with Try
	Try      bool   `json:"try,omitempty"`    // only say what would be done
}

// EraseReply says what was erased, and who was ordered to erase it; with Try what would be.
type EraseReply struct {
	Try     bool           `json:"try,omitempty"`
	Records []ErasedRecord `json:"records"`
	Held    int            `json:"held"`             // offers held back that went with them
	Shared  []name.Record  `json:"shared,omitempty"` // about the person and others too, and left alone
}

// ErasedRecord is one record of an erasure.
type ErasedRecord struct {
	Record   name.Record    `json:"record"`
	Standard name.Standard  `json:"standard,omitzero"`   // of its oldest version that was erased
	MadeFrom name.Record    `json:"made_from,omitempty"` // it goes since a mapping made it from that one
	Live     bool           `json:"live,omitempty"`      // it was there, and was deleted for it
	Versions int            `json:"versions"`            // whose text was erased; 0 when that was done before
	Entries  []uint64       `json:"entries,omitempty"`   // of the log, of those versions
	Events   []uint64       `json:"events,omitempty"`    // of the log, which say so
	Orders   []ErasureOrder `json:"orders,omitempty"`
	// Former says where it was before, of one that was taken over from a council that has ended:
	// that council's sealed folder, its backups and the files that were handed over hold it
	// still, and nothing here reaches them.
	Former *FormerReply `json:"former,omitempty"`
}

// ErasureOrder is an order to erase what was given of a record under an agreement.
type ErasureOrder struct {
	Agreement name.Agreement `json:"agreement"`
	To        name.Council   `json:"to"`
	Footprint bool           `json:"footprint,omitempty"` // all its members erase it
	Entry     uint64         `json:"entry,omitempty"`     // of the order in the log; 0 with Try
}

// ProofReply is a c2sp.org/tlog-proof file that shows that a record version is
// in the log, and the token it is about.
type ProofReply struct {
	Record  name.Record    `json:"record"`
	Index   uint64         `json:"entry"`
	Token   string         `json:"token"`
	Proof   string         `json:"proof"`
	Witness []name.Council `json:"witnesses"`
}

// A Held is an offer that was held back at the gate.
type Held struct {
	Standard  name.Standard `json:"standard"`
	Reference string        `json:"reference"` // the sender's own
	At        time.Time     `json:"at"`
	Problems  []Problem     `json:"problems"`
	Offered   []byte        `json:"offered,omitempty"` // the bytes as offered; only where asked for
}

// HeldReply lists offers held back at the gate.
type HeldReply struct {
	Held []Held `json:"held"`
}

// BundleRequest asks for an audit bundle. With an agreement it holds what went
// under it and what came back; with records, those; with neither, all records
// of ours of a standard.
type BundleRequest struct {
	Agreement string   `json:"agreement,omitempty"`
	Standard  string   `json:"standard,omitempty"`
	Records   []string `json:"records,omitempty"` // ids
	Full      bool     `json:"full,omitempty"`    // every field, not only the agreed ones; needs no agreement
	// Since and Until bound when the disclosures of Agreement were logged, the second
	// excluded; and of the records in them only Sample are shown, drawn by Seed.
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Sample int       `json:"sample,omitempty"`
	Seed   string    `json:"seed,omitempty"`
	// Held asks for what we hold of others, under Agreement or from From; Since and Until
	// bound when we signed for it.
	Held bool   `json:"held,omitempty"`
	From string `json:"from,omitempty"`
	// Statement asks for a compliance statement of ours and the records that it
	// was counted from: its id, or "newest", of Standard where that is given.
	Statement string `json:"statement,omitempty"`
	// File is where the node writes the bundle: a new file, named from the root of
	// the disk. Without it the bundle comes in the reply, through memory.
	File string `json:"file,omitempty"`
}

// BundleReply is a .stile file, or says what is in the one that was written.
type BundleReply struct {
	Bundle  []byte `json:"bundle,omitempty"` // nil when it went to a file
	Bytes   uint64 `json:"bytes"`
	Entries int    `json:"entries"`
	// Of Held: the entries that their council did not prove now, and why not.
	Unproved int    `json:"unproved,omitempty"`
	Because  string `json:"because,omitempty"`
}

// A Run is one offering of a source's records.
type Run struct {
	Source string `json:"source"`
	Number uint64 `json:"number"` // from 1
}

// SourceRequest begins a run of a source.
type SourceRequest struct {
	Source   string `json:"source"`   // of 1 to 64 bytes
	Standard string `json:"standard"` // as in PutRequest; a source has one
}

// SourceReply is a source of records.
type SourceReply struct {
	Source   string            `json:"source"`
	Standard name.StandardLine `json:"standard"`
	Runs     uint64            `json:"runs"`
	At       time.Time         `json:"at"` // when the newest run began
}

// AbsentReply says what earlier runs of a source offered and the newest did not.
type AbsentReply struct {
	Run     Run `json:"run"`
	Offered int `json:"offered"` // records that the run did offer, refused ones with a key included
	Absent  int `json:"absent"`  // live records that it did not, and that no other source offers
	// Unidentified are rows of the run without a key that could be read: each may
	// be one of the absent.
	Unidentified int           `json:"unidentified"`
	Examples     []name.Record `json:"examples,omitempty"` // at most ten of the absent
}

// DeleteAbsentRequest deletes what a source's newest run did not offer.
type DeleteAbsentRequest struct {
	Run Run `json:"run"`
	// Absent is how many there are, as AbsentReply said. When there are more by
	// now nothing is deleted.
	Absent int `json:"absent"`
}

// DeleteAbsentReply says what became of that.
type DeleteAbsentReply struct {
	Deleted   int `json:"deleted"`
	Withdrawn int `json:"withdrawn"` // agreements that records left by it, all together
}

// EraseDueRequest has the records erased that are due by rules of the configuration.
type EraseDueRequest struct {
	Rule string `json:"rule,omitempty"` // by its name; "" for every rule
	Try  bool   `json:"try,omitempty"`  // only count what would be erased
}

// EraseDueReply says what is due by each rule, and what was erased. It holds no values.
type EraseDueReply struct {
	Try   bool          `json:"try,omitempty"`
	Rules []RuleErasure `json:"rules"`
}

// RuleErasure is what one rule found, and did.
type RuleErasure struct {
	Rule     string            `json:"rule"`
	Standard name.StandardLine `json:"standard"`
	Date     string            `json:"date,omitempty"` // field that the term counts from; "" is when the newest version was logged
	After    string            `json:"after"`
	Records  int               `json:"records"` // of the standard, of which a text is kept
	Undated  int               `json:"undated"` // of them without the date: never due
	Due      int               `json:"due"`
	Years    []DueInYear       `json:"years,omitempty"` // of the dates that the term counts from, ascending
	Erased   int               `json:"erased"`          // records; 0 with Try
	Versions int               `json:"versions"`        // of them
	Orders   int               `json:"orders"`          // given to councils and footprints
}

// DueInYear counts the due records of one year.
type DueInYear struct {
	Year int `json:"year"`
	Due  int `json:"due"`
}
