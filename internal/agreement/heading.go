package agreement

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/workday"
	"github.com/stile-exchange/stile/node/name"
)

// A value is what stands under a heading, whichever notation it came in: a
// text, a list of texts, or a table of texts by name.
type value struct {
	text  string
	list  []string
	table map[string]string
}

func (v value) empty() bool { return v.text == "" && len(v.list) == 0 && len(v.table) == 0 }

type kind int

const (
	isText kind = iota
	isNumber
	isList
	isTable
)

// String names the kind as it is asked for in an error.
func (k kind) String() string {
	return [...]string{"a text", "a number", "a list", "a table of council: text"}[k]
}

// A heading is one row of the table that everything here is driven by: the
// readers and printers of YAML and JSON, the check for empty headings, the
// draft and the comparison of two versions.
type heading struct {
	key  string // "lawful_basis/article_6" stands one level down
	kind kind
	// optional headings may be empty in a signed agreement, and are then left
	// out of the canonical bytes.
	optional bool
	// identity headings say which agreement this is; no document lacks one.
	identity bool
	ask      string // guidance: one line, plain English, our own words
	get      func(*Agreement) value
	set      func(*Agreement, value) error // of a value that is not empty
}

// headings is in the order of the printed document.
var headings = []heading{
	{key: "agreement", identity: true, ask: "The sending council's domain, a slash and a short name.",
		get: func(a *Agreement) value { return value{text: string(a.Name)} },
		set: func(a *Agreement, v value) (err error) { a.Name, err = name.ParseAgreement(v.text); return err }},
	{key: "version", kind: isNumber, identity: true, ask: "1 for the first; one higher for each amendment.",
		get: func(a *Agreement) value { return value{text: strconv.Itoa(a.Version)} },
		set: setVersion},
	{key: "from", identity: true, ask: "The council that sends the records.",
		get: func(a *Agreement) value { return value{text: string(a.From)} },
		set: func(a *Agreement, v value) (err error) { a.From, err = name.ParseCouncil(v.text); return err }},
	{key: "to", kind: isList, identity: true, ask: "The council or councils that receive them.",
		get: func(a *Agreement) value { return value{list: texts(a.To)} },
		set: func(a *Agreement, v value) (err error) {
			a.To, err = names(v.list, MaxParties, name.ParseCouncil)
			return err
		}},
	{key: "mode", identity: true,
		ask: ModeWords(true) + ".",
		get: func(a *Agreement) value { return value{text: string(a.Mode)} },
		set: func(a *Agreement, v value) error {
			a.Mode = Mode(v.text)
			return oneOf(v.text, Modes()...)
		}},
	{key: "standard", identity: true, ask: "The standard and its major version.",
		get: func(a *Agreement) value { return value{text: a.Standard.String()} },
		set: func(a *Agreement, v value) (err error) {
			a.Standard, err = name.ParseStandardLine(v.text)
			return err
		}},
	{key: "origin", optional: true, ask: "Only where the sender passes on what it received itself: the agreement under which it holds the records. Left empty, they are its own.",
		get: func(a *Agreement) value { return value{text: string(a.Origin)} },
		set: func(a *Agreement, v value) (err error) { a.Origin, err = name.ParseAgreement(v.text); return err }},
	{key: "rows", ask: `Which records travel, as a CEL condition on "record", such as record.ward == "Northgate". Write "true" for all of them.`,
		get: func(a *Agreement) value { return value{text: a.Rows} },
		set: func(a *Agreement, v value) error {
			if len(v.text) > MaxRows {
				return fmt.Errorf("longer than %d bytes", MaxRows)
			}
			a.Rows = v.text
			return nil
		}},
	{key: "fields", kind: isList, ask: "Which fields travel: only those the purpose needs. Fields the standard calls open are always listed, since they stand in clear in every record.",
		get: func(a *Agreement) value { return value{list: texts(a.Fields)} },
		set: func(a *Agreement, v value) (err error) {
			a.Fields, err = names(v.list, MaxFields, name.ParseField)
			return err
		}},
	{key: "match", kind: isList, optional: true, ask: "Lookup only: the fields a partner may ask by.",
		get: func(a *Agreement) value { return value{list: texts(a.Match)} },
		set: func(a *Agreement, v value) (err error) {
			a.Match, err = names(v.list, MaxFields, name.ParseField)
			return err
		}},
	{key: "due", optional: true, ask: "Handover only: within what time of an offer the receiver has to take over, such as 15 working days (with England's bank holidays) or 10 days. Both nodes show the day.",
		get: func(a *Agreement) value { return value{text: a.Due} },
		set: func(a *Agreement, v value) error {
			if _, err := workday.Parse(v.text); err != nil {
				return err
			}
			a.Due = v.text
			return nil
		}},
	{key: "most", optional: true, ask: `How many records go to each receiver at most, such as "500 in all", "50 a day" or "500 in all, 50 a day". Where records are asked for: how many questions are answered a day.`,
		get: func(a *Agreement) value { return value{text: a.Most.String()} },
		set: setMost},
	{key: "onward/to", kind: isList, optional: true, ask: "To whom a receiver may pass records on: councils, or any council, any regulator, any auditor, any standards body of the directory. Left empty, onward sharing is forbidden.",
		get: func(a *Agreement) value { return value{list: texts(a.Onward.To)} },
		set: func(a *Agreement, v value) (err error) {
			a.Onward.To, err = names(v.list, MaxParties, parseReach)
			return err
		}},
	{key: "onward/under", kind: isList, optional: true, ask: "Under which agreements of those who pass on. Left empty, any whose origin names this one.",
		get: func(a *Agreement) value { return value{list: texts(a.Onward.Under)} },
		set: func(a *Agreement, v value) (err error) {
			a.Onward.Under, err = names(v.list, MaxParties, name.ParseAgreement)
			return err
		}},
	{key: "onward/fields", kind: isList, optional: true, ask: "Which of the fields may be passed on at most: only those that the further receivers need, and what the standard calls open.",
		get: func(a *Agreement) value { return value{list: texts(a.Onward.Fields)} },
		set: func(a *Agreement, v value) (err error) {
			a.Onward.Fields, err = names(v.list, MaxFields, name.ParseField)
			return err
		}},
	{key: "onward/steps", kind: isNumber, optional: true, ask: "In how many further steps at most, where the agreement of each permits the next. Left empty, one.",
		get: func(a *Agreement) value {
			if a.Onward.Steps == 0 {
				return value{}
			}
			return value{text: strconv.Itoa(a.Onward.Steps)}
		},
		set: setSteps},
	text("purpose", "What the receiver will do with the records, and what good it does.",
		func(a *Agreement) *string { return &a.Purpose }),
	text("necessity", "Why this cannot be done without the records, with fewer of them, or with fewer fields.",
		func(a *Agreement) *string { return &a.Necessity }),
	text("data_items", "The fields in words a resident would use, and whom they are about.",
		func(a *Agreement) *string { return &a.DataItems }),
	text("lawful_basis/article_6", "The point of UK GDPR article 6(1), such as 6(1)(e) public task. Where nothing is about a person, say so.",
		func(a *Agreement) *string { return &a.LawfulBasis.Article6 }),
	text("lawful_basis/legal_power", "The Act and section that gives each council the power to share this.",
		func(a *Agreement) *string { return &a.LawfulBasis.LegalPower }),
	optional(text("lawful_basis/special_condition", "Only for special category data: the point of article 9(2) and the condition in Schedule 1 to the Data Protection Act 2018.",
		func(a *Agreement) *string { return &a.LawfulBasis.SpecialCondition })),
	optional(text("lawful_basis/criminal_condition", "Only for criminal offence data: the article 10 authority or the Schedule 1 condition relied on.",
		func(a *Agreement) *string { return &a.LawfulBasis.CriminalCondition })),
	text("dpia", "Reference and date of the data protection impact assessment, or who decided that none is needed and why.",
		func(a *Agreement) *string { return &a.DPIA }),
	{key: "roles", kind: isTable, ask: "For each party: controller, joint controller or processor.",
		get: func(a *Agreement) value { return value{table: table(a.Roles)} },
		set: setRoles},
	{key: "contacts", kind: isTable, ask: "For each party: its data protection officer or whoever answers for this sharing, by job title and address.",
		get: func(a *Agreement) value { return value{table: table(a.Contacts)} },
		set: setContacts},
	text("rights_contact", "Where a person asks to see, correct or erase their record or complains, and which party answers.",
		func(a *Agreement) *string { return &a.RightsContact }),
	{key: "subject_questions", optional: true,
		ask: "Write answered where each party answers the others when a person has asked one of them who was given their records: what it holds of a record that went under this agreement, and to whom it gave it. Left empty, it does not.",
		get: func(a *Agreement) value { return value{text: a.Subjects} },
		set: func(a *Agreement, v value) error {
			a.Subjects = v.text
			return oneOf(v.text, SubjectsAnswered)
		}},
	text("accuracy", "How each party checks the records, and how a correction reaches the others.",
		func(a *Agreement) *string { return &a.Accuracy }),
	{key: "retention", ask: "How long the receiver keeps a record: P6Y is six years, P90D ninety days. Its node then deletes it by itself, and says so to the sender.",
		get: func(a *Agreement) value { return value{text: string(a.Retention)} },
		set: func(a *Agreement, v value) (err error) { a.Retention, err = ParseDuration(v.text); return err }},
	{key: "retention_from", optional: true,
		ask: "What that time is counted from: receipt (the day on which the receiver got this version of the record; also when left empty), a field with a date that travels, such as /closed_on, or end (the record is kept until the agreement ends; retention is then P0D).",
		get: func(a *Agreement) value { return value{text: a.RetentionFrom} },
		set: setRetentionFrom},
	text("disposal", "How records are destroyed when that time is up, and how it is shown. The node destroys its own copies; say here what people do with what it cannot reach: paper, exports, other systems.",
		func(a *Agreement) *string { return &a.Disposal }),
	text("security", "Who in the receiving council may see the records, how they are protected, and who tells whom, how soon, after a breach.",
		func(a *Agreement) *string { return &a.Security }),
	date("review", "The day by which the parties look at this agreement again. Nothing travels from that day on, until all of them have renewed it or signed a new version.",
		func(a *Agreement) *Date { return &a.Review }),
	date("starts", "The first day the agreement is in force.",
		func(a *Agreement) *Date { return &a.Starts }),
	optional(date("ends", "The first day it is no longer in force. Leave empty for an agreement without an end.",
		func(a *Agreement) *Date { return &a.Ends })),
	text("exit", "How a party leaves, with what notice, and what becomes of the records it holds.",
		func(a *Agreement) *string { return &a.Exit }),
}

func text(key, ask string, at func(*Agreement) *string) heading {
	return heading{key: key, ask: ask,
		get: func(a *Agreement) value { return value{text: *at(a)} },
		set: func(a *Agreement, v value) error { *at(a) = v.text; return nil }}
}

func date(key, ask string, at func(*Agreement) *Date) heading {
	return heading{key: key, ask: ask,
		get: func(a *Agreement) value { return value{text: string(*at(a))} },
		set: func(a *Agreement, v value) (err error) { *at(a), err = ParseDate(v.text); return err }}
}

func optional(h heading) heading { h.optional = true; return h }

func setVersion(a *Agreement, v value) error {
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 1 || n > MaxVersion || strconv.Itoa(n) != v.text {
		return fmt.Errorf("want a whole number from 1 to %d", MaxVersion)
	}
	a.Version = n
	return nil
}

func setRoles(a *Agreement, v value) error {
	a.Roles = make(map[name.Council]Role, len(v.table))
	for k, t := range v.table {
		c, err := name.ParseCouncil(k)
		if err != nil {
			return err
		}
		if err := oneOf(t, "", Controller, JointController, Processor); err != nil {
			return err
		}
		a.Roles[c] = Role(t)
	}
	return nil
}

func setContacts(a *Agreement, v value) error {
	a.Contacts = make(map[name.Council]string, len(v.table))
	for k, t := range v.table {
		c, err := name.ParseCouncil(k)
		if err != nil {
			return err
		}
		a.Contacts[c] = t
	}
	return nil
}

// read fills a from values by heading key, in every heading that is there, and
// says everything that is wrong with them; where gives the place of a heading
// for an error, such as "line 3".
func (a *Agreement) read(values map[string]value, where func(key string) string) error {
	var errs []error
	say := func(key string, err error) {
		errs = append(errs, fmt.Errorf("%w: %s%s: %w", ErrDocument, where(key), key, err))
	}
	broken := false // an identity heading; then what follows from it means nothing
	for _, h := range headings {
		v := values[h.key]
		if v.empty() {
			if h.identity {
				say(h.key, errors.New("is missing or empty"))
				broken = true
			}
			continue
		}
		if err := v.wellFormed(); err != nil {
			say(h.key, err)
		} else if err := h.set(a, v); err != nil {
			say(h.key, err)
			broken = broken || h.identity
		}
	}
	if broken {
		return errors.Join(errs...)
	}
	if a.Name.Council() != a.From {
		say("agreement", fmt.Errorf("must begin with the sender, %s", a.From))
	}
	for _, c := range a.To {
		if c == a.From {
			say("to", fmt.Errorf("%s is the sender", c))
		}
	}
	return errors.Join(errs...)
}

func (v value) wellFormed() error {
	if err := textForm(v.text); err != nil {
		return err
	}
	for _, s := range v.list {
		if err := textForm(s); err != nil {
			return err
		}
	}
	if len(v.table) > MaxParties+1 {
		return fmt.Errorf("more than %d entries", MaxParties+1)
	}
	for k, s := range v.table {
		if err := errors.Join(textForm(k), textForm(s)); err != nil {
			return err
		}
	}
	return nil
}

// textForm holds texts to one spelling that every notation carries unharmed
// and every screen shows alike: no controls but the line feed, no space at the
// end of a line or around the whole, nothing invisible. Direction overrides
// are refused because with them two signers can be shown different sentences.
func textForm(s string) error {
	if len(s) > MaxText {
		return fmt.Errorf("longer than %d bytes", MaxText)
	}
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8")
	}
	if s != tidy(s) {
		return errors.New("has spaces around it or at the end of a line, tabs, or invisible characters")
	}
	for _, r := range s {
		if r != '\n' && unwelcome(r) {
			return fmt.Errorf("has the character %U, which may not stand in an agreement", r)
		}
	}
	return nil
}

func unwelcome(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs) || r&0xFFFE == 0xFFFE
}

// What word processors leave behind, and what we make of it.
var tidier = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", " ",
	"\u00ad", "", "\u200b", "", "\ufeff", "", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n")

// tidy brings the text of a YAML document to the form that textForm asks for,
// as far as that changes no word.
func tidy(s string) string {
	s = strings.TrimSpace(tidier.Replace(s))
	if !strings.Contains(s, "\n") {
		return s
	}
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRightFunc(l, unicode.IsSpace)
	}
	return strings.Join(lines, "\n")
}

func oneOf[T ~string](s string, allowed ...T) error {
	var words []string
	for _, w := range allowed {
		if s == string(w) {
			return nil
		}
		if w != "" {
			words = append(words, string(w))
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(words, ", "))
}

// names parses each text of a list and refuses one that comes twice.
func names[T ~string](list []string, most int, parse func(string) (T, error)) ([]T, error) {
	if len(list) > most {
		return nil, fmt.Errorf("more than %d entries", most)
	}
	out := make([]T, 0, len(list))
	seen := make(map[T]bool, len(list))
	for _, s := range list {
		n, err := parse(s)
		if err != nil {
			return nil, err
		}
		if seen[n] {
			return nil, fmt.Errorf("%q comes twice", string(n))
		}
		seen[n] = true
		out = append(out, n)
	}
	return out, nil
}

func texts[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func table[K, V ~string](in map[K]V) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[string(k)] = string(v)
	}
	return out
}
