package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// MeasureRequest asks for compliance statements.
type MeasureRequest struct {
	// Standard names a standard, a line or a version of one; empty is every
	// adopted one that has records, offers or agreements.
	Standard string `json:"standard,omitempty"`
	Publish  bool   `json:"publish,omitempty"` // issue the statements as records
}

// MeasureReply holds the statements, by standard and version.
type MeasureReply struct {
	Statements []Statement `json:"statements"`
	Published  []PutResult `json:"published,omitempty"` // what became of each, in the same order
}

// CharterRequest asks what is held of the records that come from a product.
type CharterRequest struct {
	Tool    string   `json:"tool"`              // reference of a digital tool of ours
	Sources []string `json:"sources,omitempty"` // that the product is; empty: the feeds that name the tool
	Publish bool     `json:"publish,omitempty"` // say so in our supplier statement on the product
}

// CharterReply is what is held, by source.
type CharterReply struct {
	Product   string         `json:"product"`
	Supplier  string         `json:"supplier"`
	Counts    []CharterCount `json:"counts"`
	Published *PutResult     `json:"published,omitempty"`
}

// CharterCount is what a node counted of one source of records.
type CharterCount struct {
	Standard name.StandardLine `json:"standard"`
	Source   string            `json:"source"`
	At       time.Time         `json:"at"`                // UTC, whole seconds
	LogSize  uint64            `json:"log_size"`          // entries of our log when it was counted
	Valid    int               `json:"held_valid"`        // live records that came from it, each read against the log
	Held     int               `json:"held_back"`         // offers of it that were refused when it last made them, and not taken since
	Damaged  int               `json:"damaged,omitempty"` // live records that cannot be read on disk: in none of the counts
}

// A Statement is what a council says of itself and one version of a standard, as
// the standard standards.stile.example/compliance-statement has it. The zero
// value of a count means none.
type Statement struct {
	Council    name.Council  `json:"council"`       // whose records, and who signs it
	GSS        string        `json:"gss,omitempty"` // its ONS code, when the directory has one
	Standard   name.Standard `json:"standard"`
	ComputedOn string        `json:"computed_on"` // the day of ComputedAt, UTC: with Standard the record's key
	ComputedAt time.Time     `json:"computed_at"` // UTC, whole seconds
	// CountedSince is when the node began to count offers of this standard; Offers
	// and Errors are since then. Equal to ComputedAt when none came.
	CountedSince time.Time `json:"counted_since"`

	Records int             `json:"records"`           // live records
	Damaged int             `json:"damaged,omitempty"` // of those, unreadable on disk: in no figure below
	Offers  StatementOffers `json:"first_offers"`
	Held    int             `json:"held_back"` // offers held back now
	Errors  StatementErrors `json:"errors"`
	// Fields says of every place that the standard names how many live records
	// fill it; by place.
	Fields    []StatementField    `json:"fields"`
	Freshness *StatementFreshness `json:"freshness,omitempty"` // nil when the standard does not say
	Partners  StatementPartners   `json:"partners"`
	Received  StatementReceived   `json:"received"`

	Checkpoint StatementCheckpoint `json:"checkpoint"` // of the council's log, that it was counted at
}

// StatementOffers counts first offers: the first time that a record, known by its
// natural key or else by its sender's reference, came to the gate.
type StatementOffers struct {
	Seen  int `json:"seen"`
	Valid int `json:"valid"` // of those, taken as they came

	// NotJudged counts records that the gate came to no verdict on, because that
	// would have cost more than a record may, and that were not taken since. They
	// are not among Seen, and in no error.
	NotJudged int `json:"not_judged,omitempty"`
}

// StatementErrors counts what offers broke, each rule and place once for as long as
// the same record goes on breaking the same.
type StatementErrors struct {
	Listed []StatementError `json:"listed"` // the most frequent, at most 40
	Other  int              `json:"other"`  // all further ones together
}

// A StatementError is how often one rule failed at one place.
type StatementError struct {
	Rule  string     `json:"rule"`  // JSON Schema keyword, or a rule of the reader
	Field name.Field `json:"field"` // "" is the whole record
	Count int        `json:"count"`
}

// A StatementField is how many live records fill a place.
type StatementField struct {
	Field  name.Field `json:"field"`
	Filled int        `json:"filled"`
}

// StatementFreshness counts the records that changed within the time that the
// standard asks for.
type StatementFreshness struct {
	Within string `json:"within"` // ISO 8601, as in the standard's manifest
	Fresh  int    `json:"fresh"`
}

// StatementPartners says how far the records went out. A record that goes to two
// partners counts twice.
type StatementPartners struct {
	Served       int `json:"served"`       // councils that agreements in force let receive
	Offered      int `json:"offered"`      // live records that these let out
	Delivered    int `json:"delivered"`    // of those, sent in their present version
	Acknowledged int `json:"acknowledged"` // of those, covered by the partner's signed receipt
}

// StatementReceived says what of this standard other councils' records are held
// here, and whether anybody looked.
type StatementReceived struct {
	Records  int `json:"records"`   // held now
	Used     int `json:"used"`      // of those, shown, listed or exported in their present version
	EverUsed int `json:"ever_used"` // versions used since counting began, withdrawn ones too
}

// A StatementCheckpoint is a state of a log.
type StatementCheckpoint struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"` // base64
}

// AdoptionRequest asks who complies with what, from the statements held here.
type AdoptionRequest struct {
	Standard string    `json:"standard,omitempty"` // name, line, version or last part of a name; empty is every one
	At       time.Time `json:"at,omitzero"`        // the day, to its end; default now
}

// An Adoption says who complies with what, as of one day.
type Adoption struct {
	At      string             `json:"at"`      // the day, UTC: statements up to its end count
	Members int                `json:"members"` // of role council
	Rows    []AdoptionRow      `json:"rows"`    // by council, then standard and version
	Shares  []AdoptionShare    `json:"standards"`
	Types   []AdoptionGroup    `json:"types"`   // by standard, then type of council
	Regions []AdoptionGroup    `json:"regions"` // by standard, then region
	Trend   []AdoptionPoint    `json:"trend"`   // by standard, then day
	Refused []RefusedStatement `json:"refused"` // statements that count for nothing, and why
}

// An AdoptionRow is a council's newest statement about one version of a standard.
type AdoptionRow struct {
	Council   name.Council `json:"council"`
	Title     string       `json:"title,omitempty"`
	GSS       string       `json:"gss,omitempty"`    // as the directory has it
	Region    string       `json:"region,omitempty"` // and what the list of councils says of it
	Type      string       `json:"type,omitempty"`
	Member    bool         `json:"member"` // of role council in the directory
	Statement Statement    `json:"statement"`
	Record    name.Record  `json:"record"` // of the statement
}

// An AdoptionShare says how many councils have records in a standard, of the
// members and of all in England. An English council is counted by the code that
// the directory gives it, once.
type AdoptionShare struct {
	Standard name.StandardName `json:"standard"`
	Councils int               `json:"councils"` // with records, members or not
	Adopting int               `json:"adopting"` // members with records
	Members  int               `json:"members"`
	English  int               `json:"english"` // English councils with records
	England  int               `json:"england"` // English councils on that day
}

// An AdoptionGroup says the same of one type of council or of one region.
type AdoptionGroup struct {
	Standard name.StandardName `json:"standard"`
	Group    string            `json:"group"`
	Adopting int               `json:"adopting"`
	Members  int               `json:"members"` // that are in the group
	England  int               `json:"england"`
}

// An AdoptionPoint is how a standard stood at the end of a day on which somebody
// made a statement.
type AdoptionPoint struct {
	Standard name.StandardName `json:"standard"`
	Day      string            `json:"day"`
	Councils int               `json:"councils"` // with records
	Records  int               `json:"records"`
	Seen     int               `json:"first_offers_seen"`
	Valid    int               `json:"first_offers_valid"`
	Dated    int               `json:"dated"` // records in versions that ask for freshness
	Fresh    int               `json:"fresh"`
	Served   int               `json:"partners_served"`
}

// A RefusedStatement is a statement that counts for nothing.
type RefusedStatement struct {
	Issuer   name.Council `json:"issuer"` // who signed it
	Record   name.Record  `json:"record"`
	Index    uint64       `json:"entry"` // in the issuer's log
	IssuedAt time.Time    `json:"issued_at"`
	Because  string       `json:"because"`
}
