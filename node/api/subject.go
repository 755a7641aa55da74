package api

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// SubjectRequest asks for everything that is here about one person. It is the one reply
// that holds values and is not of one record: whoever gets it must be let see them all.
type SubjectRequest struct {
	Person string `json:"person"`           // see DisclosureRequest
	Scheme string `json:"scheme,omitempty"` // see DisclosureRequest
	// AskPartners: the partners under whose agreements records about the person went are asked
	// what they hold of them, and to whom they gave them. Because is why, in words that the
	// logs of both hold.
	AskPartners bool   `json:"ask_partners,omitempty"`
	Because     string `json:"because,omitempty"`
	// Proof is a path from the root of the disk where the node writes a bundle, which must
	// not be there yet: the versions, what the log says of them, and what partners signed.
	// "" writes none.
	Proof string `json:"proof,omitempty"`
}

// SubjectReply is what a council holds about one person, where it came from, and who was
// let have it.
type SubjectReply struct {
	Council    name.Council       `json:"council"`
	Title      string             `json:"title"`
	Made       time.Time          `json:"made"`
	Scheme     string             `json:"scheme"`
	Person     string             `json:"person"`             // as it was asked for
	Checkpoint string             `json:"checkpoint"`         // the signed note of our log that all this is of
	Records    []SubjectRecord    `json:"records"`            // our own
	Received   []SubjectHolding   `json:"received"`           // from others, as they stand here
	Agreements []SubjectAgreement `json:"agreements"`         // those named above, by name and version
	Councils   []SubjectCouncil   `json:"councils"`           // those named above, by name
	Partners   []SubjectPartner   `json:"partners,omitempty"` // what they said, when they were asked, by name and agreement
	Damaged    []string           `json:"damaged,omitempty"`  // what could not be read, without values
	Proved     int                `json:"proved"`             // entries in the bundle
}

// SubjectRecord is one record of our own about the person.
type SubjectRecord struct {
	Record    name.Record   `json:"record"`
	Reference string        `json:"reference,omitempty"`
	Standard  name.Standard `json:"standard"`
	Title     string        `json:"title"` // of the standard
	Deleted   bool          `json:"deleted,omitempty"`
	// Others: it names other persons too, of whom their own rights have to be thought.
	Others bool `json:"others,omitempty"`
	// Former says where the record was before, of one that was taken over from a council that
	// has ended. To whom that council gave it stands in its own ledger, and not below.
	Former    *FormerReply     `json:"former,omitempty"`
	Versions  []SubjectVersion `json:"versions"` // the newest first
	Disclosed []Disclosure     `json:"disclosed"`
}

// SubjectVersion is one version of such a record.
type SubjectVersion struct {
	Version uint64          `json:"version"`
	Entry   uint64          `json:"entry"`
	At      time.Time       `json:"at"`
	Deleted bool            `json:"deleted,omitempty"` // it says that the record was deleted
	Body    json.RawMessage `json:"body,omitempty"`
	Unread  string          `json:"unread,omitempty"` // why there is no body
}

// SubjectHolding is a record about the person that another council sent.
type SubjectHolding struct {
	From      name.Council   `json:"from"`    // whose ledger it came from
	Council   name.Council   `json:"council"` // who issued it
	Agreement name.Agreement `json:"agreement"`
	// Kept says in words for how long it is kept, and for whom, where its council has ended and
	// its successors have not sent it yet.
	Kept      string          `json:"kept,omitempty"`
	Record    name.Record     `json:"record"`
	Reference string          `json:"reference,omitempty"`
	Standard  name.Standard   `json:"standard"`
	Title     string          `json:"title"` // of the standard
	Version   uint64          `json:"version"`
	Entry     uint64          `json:"entry"` // in the log of From
	Issued    time.Time       `json:"issued"`
	Received  time.Time       `json:"received,omitzero"` // by our own log; zero where that does not say
	Receipt   uint64          `json:"receipt,omitempty"` // log index of our receipt
	Withheld  int             `json:"withheld"`          // fields that were kept back
	Others    bool            `json:"others,omitempty"`  // see SubjectRecord
	Body      json.RawMessage `json:"body"`
	Token     string          `json:"token"`               // what its issuer signed, with what was disclosed
	Log       string          `json:"log_known,omitempty"` // the newest signed checkpoint of that log that we know
}

// SubjectAgreement is a text under which something was let out or received.
type SubjectAgreement struct {
	Name     name.Agreement   `json:"name"`
	Version  uint64           `json:"version"`
	From     name.Council     `json:"from"`
	To       []name.Council   `json:"to"`
	Stands   string           `json:"stands"`             // "in force", or what has become of it
	Unknown  bool             `json:"unknown,omitempty"`  // the text is not here
	Headings []SubjectHeading `json:"headings,omitempty"` // what a person should know of it
	Document string           `json:"document,omitempty"` // all of it, YAML
}

// SubjectHeading is one heading of an agreement and what stands there.
type SubjectHeading struct {
	Heading string `json:"heading"` // in words
	Text    string `json:"text"`
}

// SubjectCouncil is a council that is named.
type SubjectCouncil struct {
	Council name.Council `json:"council"`
	Title   string       `json:"title,omitempty"`
}

// What a partner did when it was asked about the records of a person.
const (
	PartnerAnswered = "answered"
	PartnerRefused  = "refused"      // or has not agreed to be asked
	PartnerSilent   = "silent"       // it did not answer, or could not be reached
	PartnerFalse    = "not believed" // its answer did not hold
	PartnerEnded    = "has ended"    // the council is no more: who took over from it has its ledger
)

// SubjectPartner is what one partner said of the records about the person that went between
// it and us under one agreement.
type SubjectPartner struct {
	Council   name.Council   `json:"council"`
	Agreement name.Agreement `json:"agreement"`
	Records   int            `json:"records"`       // that it was asked about
	Says      string         `json:"says"`          // one of the words above
	Why       string         `json:"why,omitempty"` // where it did not answer, in words
	Told      []SubjectTold  `json:"told"`
	Unsaid    uint64         `json:"unsaid,omitempty"`  // times that it gave them to others and says nothing of
	Answers   []string       `json:"answers,omitempty"` // as it signed and logged them
}

// SubjectTold is one thing that a partner said of a record.
type SubjectTold struct {
	Record    name.Record    `json:"record"`
	Says      string         `json:"says"`                // holds, not held, gave, took back, or deleted: taken back, and deleted there
	At        time.Time      `json:"at,omitzero"`         // when it was received, or given
	Agreement name.Agreement `json:"agreement,omitempty"` // "" for public fields
	Version   uint64         `json:"version"`
	To        name.Council   `json:"to,omitempty"` // to whom it was given
	Way       string         `json:"way,omitempty"`
	Fields    []name.Field   `json:"fields,omitempty"`
	Entry     uint64         `json:"entry,omitempty"` // of the disclosure, in the partner's log
}
