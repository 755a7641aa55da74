// Package agreement says who may receive which rows and fields of a standard,
// why, on what legal basis and until when.
//
// One YAML document is both the data sharing agreement that people sign and
// the configuration that nodes obey, so the two cannot drift apart. Nothing is
// shared without one: every question this package is asked is answered no
// until an agreement says yes.
//
// # The document
//
// Its headings, in the order [Agreement.YAML] prints them:
//
//	agreement       council/name; the council is the sender
//	version         1, 2, 3…; an amendment is a new document one higher
//	from            the council that sends
//	to              the councils that receive, at least one
//	mode            replicate, lookup, private-lookup, aggregate, handover or break-glass: see Way
//	standard        publisher/name@major
//	origin          the agreement under which the sender holds the records; empty: they are its own
//	rows            CEL over the whole record; "true" means every record
//	fields          JSON Pointers that travel; "*" is every element of an array
//	match           lookup and private-lookup: fields a partner may ask by
//	due             handover only: within what time of an offer, such as "15 working days"
//	most            how many records go to a receiver at most, in all and a day: see Most
//	onward          what receivers may pass on, nothing where it is empty: to, under, fields, steps: see Onward
//	purpose         what the sharing is for
//	necessity       why it cannot be done with less
//	data_items      the fields in words, and whom they are about
//	lawful_basis    article_6, legal_power, special_condition, criminal_condition
//	dpia            the impact assessment, or why there is none
//	roles           each party: controller, joint controller or processor
//	contacts        each party's data protection officer or equivalent
//	rights_contact  where a person goes with a request or a complaint
//	subject_questions  answered, where each party tells the others to whom it gave records that went between them
//	accuracy        how errors are found, corrected and passed on
//	retention       how long the receiver keeps a record, ISO 8601 duration: see Kept
//	retention_from  what that is counted from: receipt (also when left empty), a field with a date, or end
//	disposal        how it is then destroyed
//	security        who may see it, how it is protected, who is told of a breach
//	review          date of the next review; what travels stops then, unless all parties renewed it
//	starts          first day in force
//	ends            first day no longer in force; empty means open-ended
//	exit            how either side leaves, and what becomes of the data
//
// Dates are ISO 8601 days and turn at midnight UTC. An agreement without an
// end is common between councils and is allowed; one without a review is not.
//
// # Rows
//
// rows is an expression of the Common Expression Language (cel-spec) that comes
// out as true or false, over one variable, record: the whole record, whether
// its fields travel or not. A number that is written as an integer is an int,
// any other a double, and numbers compare across the two; null is null; dates
// are texts and compare as ISO 8601 orders them, or through timestamp. There
// are the operators and macros of CEL, has, size, contains, startsWith,
// endsWith, matches with a pattern written out, lowerAscii, upperAscii, trim,
// substring, and the conversions int, double, string, bool, timestamp and
// duration. There is no clock, no time zone and no list but of constants;
// macros nest twice. Members of an object come in the order of their names.
//
// The same filter on the same record comes out the same on every machine. Any
// error means no: a field that is not there, unlike types, more than some ten
// milliseconds of work. As everywhere in CEL, what cannot change the outcome is
// no error: record.gone == "x" || true is true.
//
// # Where the headings come from
//
// Information Commissioner's Office, "Data sharing: a code of practice",
// chapter "Data sharing agreements", a statutory code under section 121 of the
// Data Protection Act 2018 in force since 5 October 2021, which the
// Commissioner and the courts must take into account (section 127). It asks an
// agreement to say: the purpose, and why sharing is needed for it (purpose,
// necessity); who takes part and how to reach their data protection officers
// (from, to, contacts); whether controllers act together (roles; UK GDPR
// article 26 makes an arrangement compulsory then); the data items
// (data_items, fields, rows); the lawful basis and, for a public body, the
// power relied on (article_6, legal_power); special category and criminal
// offence data and the condition met (special_condition for article 9,
// criminal_condition for article 10); how people exercise their rights
// (rights_contact); and information governance: accuracy, retention and
// deletion, security, review, and what happens when sharing ends (accuracy,
// retention, disposal, security, review, exit). The impact assessment (dpia) is
// the code's first recommended step, and article 35's duty where risk is high.
//
// # Canonical bytes
//
// What is signed is not the YAML, whose layout means nothing, but the RFC 8785
// JSON of the same headings: an object with every heading as a member, texts as
// strings, version as a number, lists as arrays, lawful_basis, roles and
// contacts as objects. The optional headings origin, match, due, most, onward, subject_questions,
// retention_from, ends, special_condition and criminal_condition are left out when empty; all others are always there.
// onward is an object of those of its headings that are not empty; steps is a number.
// Rule for change: a heading added later must be left out when empty, so that
// old bytes keep their digest. Beginning of an example:
//
//	{"accuracy":"…","agreement":"northmoor.gov.uk/people-moving-to-saltby","contacts":{…
package agreement

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// ErrDocument is wrapped by every error of [Parse] and [ParseCanonical].
var ErrDocument = errors.New("agreement cannot be read")

// Limits on a document, in bytes unless said otherwise. An agreement is read
// by people: one that reaches these is not.
const (
	MaxDocument = 128 << 10 // the YAML or the canonical bytes
	MaxText     = 8 << 10   // one heading
	MaxRows     = 2000      // the row filter
	MaxFields   = 500       // entries in fields, and in match
	MaxParties  = 100       // entries in to
	MaxVersion  = event.MaxVersion
)

// A Role is a party's part under UK GDPR articles 4(7), 4(8) and 26.
type Role string

// The roles.
const (
	Controller      Role = "controller"
	JointController Role = "joint controller"
	Processor       Role = "processor"
)

// A Date is a day as ISO 8601 writes it, "2026-12-01", or "" when not stated.
type Date string

// ParseDate reads a day of the years 2000 to 2999.
func ParseDate(s string) (Date, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil || len(s) != len(time.DateOnly) || s[0] != '2' {
		return "", fmt.Errorf("want a date such as 2026-12-01, not %.20q", s)
	}
	return Date(s), nil
}

// Time returns midnight UTC at which the day begins; the zero time when the
// date is not stated.
func (d Date) Time() time.Time {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return time.Time{}
	}
	return t
}

// An Agreement is the document; see the package comment for its headings. One
// that came from [Parse] or [ParseCanonical] is well formed but may lack
// headings and may not fit its standard: [Agreement.Check] says so. Treat it as
// immutable; then it is safe for concurrent use.
type Agreement struct {
	Name     name.Agreement
	Version  int
	From     name.Council
	To       []name.Council
	Mode     Mode
	Standard name.StandardLine
	Origin   name.Agreement // "": the records are the sender's own

	Rows   string       // CEL
	Fields []name.Field // in the order written
	Match  []name.Field
	Due    string // such as "15 working days", see package workday; "" is none
	Most   Most   // the zero Most is no bound
	Onward Onward // the zero Onward lets nothing be passed on

	Purpose       string
	Necessity     string
	DataItems     string
	LawfulBasis   Basis
	DPIA          string
	Roles         map[name.Council]Role
	Contacts      map[name.Council]string
	RightsContact string
	Subjects      string // SubjectsAnswered, or "" where questions about a person are not answered
	Accuracy      string
	Retention     Duration
	RetentionFrom string // "" and "receipt", a JSON Pointer, or "end": see Kept
	Disposal      string
	Security      string
	Review        Date
	Starts        Date
	Ends          Date // "" is open-ended
	Exit          string
}

// A Basis is what makes the sharing lawful, under UK GDPR.
type Basis struct {
	Article6          string // the point of article 6(1), such as "6(1)(e) public task"
	LegalPower        string // the Act and section that lets the council do this
	SpecialCondition  string // article 9(2), with the DPA 2018 Schedule 1 condition
	CriminalCondition string // article 10, with the DPA 2018 Schedule 1 condition
}

// Parties returns the councils that sign: from, then to in the order written.
func (a *Agreement) Parties() []name.Council {
	return append([]name.Council{a.From}, a.To...)
}

// Party reports whether c is one of the parties.
func (a *Agreement) Party(c name.Council) bool {
	for _, p := range a.Parties() {
		if p == c {
			return true
		}
	}
	return false
}

// InForce reports whether the agreement is in force at the instant now, given
// the parties that have signed this very document. If not, the text says why
// in words, such as "awaiting saltby.gov.uk's signature", "starts 2026-12-01"
// or "ended 2027-01-01"; if so it is empty.
//
// Every party must have signed: a receiver of several is bound to what all of
// them know. Endings, suspensions and later versions are not in the document;
// [State] knows them.
func (a *Agreement) InForce(now time.Time, signed map[name.Council]bool) (bool, string) {
	if a.Ends != "" && !now.Before(a.Ends.Time()) {
		return false, "ended " + string(a.Ends)
	}
	var waiting []string
	for _, c := range a.Parties() {
		if !signed[c] {
			waiting = append(waiting, string(c))
		}
	}
	switch {
	case len(waiting) == 1:
		return false, "awaiting " + waiting[0] + "'s signature"
	case len(waiting) > 1:
		last := len(waiting) - 1
		return false, "awaiting the signatures of " + strings.Join(waiting[:last], ", ") + " and " + waiting[last]
	case a.Starts == "":
		return false, "has no start date" // such a document cannot pass Check, but fail closed
	case now.Before(a.Starts.Time()):
		return false, "starts " + string(a.Starts)
	}
	return true, ""
}
