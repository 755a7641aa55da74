// Package paper turns an agreement into the paper that a governance officer knows, and
// such a paper into a draft of an agreement.
//
// The paper has the sections of the Information Commissioner's data sharing code, in the
// order of its chapter "Data sharing agreements". The government said on 16 June 2026
// (written statement HCWS117) that it will develop standardised data sharing agreements;
// where their headings have other words, [Fill] knows the words of the code, of common
// templates and its own. docs/standard-agreement.md is the table of them.
package paper

import (
	"regexp"
	"strings"
)

// A section is a part of the paper: what the code asks, and which headings of an
// agreement answer it.
type section struct {
	title string
	asks  string // the code's question, in its words, for the table and to be recognised
	lines []line
}

// A line is one heading of the agreement as the paper names it, and how other papers do.
type line struct {
	key    string
	title  string
	others []string // as match makes them: lower case, no number before, no mark
}

// sections is in the order of the paper.
var sections = []section{
	{"Parties", "Which other organisations will be involved in the data sharing?", []line{
		{"agreement", "Name of the agreement", []string{"agreement name", "agreement reference", "reference", "reference number", "dsa reference"}},
		{"version", "Version", []string{"version number", "document version"}},
		{"from", "Council that sends", []string{"sender", "sending organisation", "disclosing organisation", "data provider", "discloser", "disclosing party", "provider of the data"}},
		{"to", "Councils that receive", []string{"receiver", "receivers", "recipient", "recipients", "receiving organisation", "receiving organisations", "data recipient", "data recipients", "receiving party"}},
		{"contacts", "Contacts", []string{"data protection officers", "data protection officer", "contact details", "key contacts", "points of contact", "organisational contacts", "information governance contacts", "single point of contact"}},
	}},
	{"Purpose", "What is the purpose of the data sharing initiative?", []line{
		{"purpose", "Purpose of the sharing", []string{"purpose", "purposes", "purpose of data sharing", "purpose of the data sharing", "purpose and objectives", "aims", "objectives", "aims and objectives", "purpose or objective of the information sharing", "purpose of the agreement", "benefits", "purpose and benefits", "purpose of sharing", "intended outcomes"}},
		{"necessity", "Why it is necessary", []string{"necessity", "necessity and proportionality", "why is it necessary", "why sharing is necessary", "justification", "need for sharing", "proportionality", "data minimisation"}},
	}},
	{"Who decides", "Are we sharing data along with another controller?", []line{
		{"roles", "Parts of the parties", []string{"roles", "roles and responsibilities", "controllers", "data controllers", "joint controllers", "controllership", "controller and processor roles", "data controller relationships"}},
	}},
	{"Data", "What data items are we going to share?", []line{
		{"data_items", "The data in words", []string{"data items", "data to be shared", "data being shared", "information to be shared", "what data will be shared", "data items to be shared", "description of the data", "personal data to be shared", "data specification", "data fields", "types of data", "categories of data", "categories of personal data", "data subjects", "data items and data subjects"}},
		{"standard", "Standard of the records", []string{"data standard", "standard"}},
		{"origin", "Agreement that the records were received under", nil},
		{"mode", "Way of sharing", []string{"mode", "method of sharing", "how data will be shared", "how will the data be shared", "frequency and method of transfer", "method of transfer", "transfer method"}},
		{"rows", "Which records travel", []string{"rows", "selection", "cohort", "scope of records", "which records"}},
		{"fields", "Fields that travel", []string{"fields"}},
		{"match", "Fields that are asked by", nil},
		{"due", "Within what time a case is taken over", nil},
		{"most", "How many records go at most", []string{"volume", "volumes", "data volumes", "volume of data", "frequency and volume", "number of records"}},
		{"onward/to", "To whom records may be passed on", []string{"onward sharing", "onward disclosure", "further sharing", "onward transfer", "sharing with third parties", "third party sharing", "further disclosure", "onward transfers"}},
		{"onward/under", "Under which agreement", nil},
		{"onward/fields", "Fields that may be passed on at most", nil},
		{"onward/steps", "How many further steps", nil},
	}},
	{"Lawful basis", "What is our lawful basis for sharing?", []line{
		{"lawful_basis/article_6", "Lawful basis under article 6", []string{"lawful basis", "legal basis", "article 6", "article 6 condition", "lawful basis for processing", "lawful basis for sharing", "legal basis for sharing", "uk gdpr article 6", "article 6 lawful basis", "lawful basis under uk gdpr", "legal basis for processing"}},
		{"lawful_basis/legal_power", "Power to share", []string{"legal power", "legal powers", "legal gateway", "legal gateways", "statutory powers", "power to share", "statutory power", "powers", "vires", "statutory gateway", "legislation", "legal framework"}},
	}},
	{"Special category and criminal offence data", "Is there any special category data, sensitive data or criminal offence data?", []line{
		{"lawful_basis/special_condition", "Condition for special category data", []string{"special category data", "special categories", "special category condition", "article 9", "article 9 condition", "special categories of personal data", "condition for processing special category data", "special category data and sensitive data"}},
		{"lawful_basis/criminal_condition", "Condition for criminal offence data", []string{"criminal offence data", "criminal convictions", "criminal offence condition", "article 10", "criminal convictions data", "criminal data", "law enforcement"}},
	}},
	{"Access and individual rights", "What about access and individual rights?", []line{
		{"rights_contact", "Where a person goes with a request or complaint", []string{"individual rights", "data subject rights", "subject rights", "rights of individuals", "access and rights", "data subjects rights", "subject access", "subject access requests", "individuals rights", "complaints", "rights requests", "rights and complaints", "freedom of information"}},
		{"subject_questions", "Whether parties tell each other who was given a person's records", []string{"subject questions", "questions about a person", "assistance with subject access"}},
	}},
	{"Information governance", "What information governance arrangements should we have?", []line{
		{"dpia", "Impact assessment", []string{"dpia", "data protection impact assessment", "data protection impact assessments", "impact assessment", "dpia reference"}},
		{"accuracy", "Accuracy", []string{"data quality", "accuracy of data", "data accuracy", "data quality and accuracy", "quality", "accuracy of the data", "correction"}},
		{"retention", "How long records are kept", []string{"retention", "retention period", "data retention", "retention of data", "retention schedule", "retention and deletion", "retention and disposal", "storage limitation", "length of retention"}},
		{"retention_from", "What that is counted from", []string{"retention start", "retention trigger"}},
		{"disposal", "Deletion", []string{"disposal", "destruction", "data destruction", "secure disposal", "deletion of data", "data disposal", "disposal of data", "deletion and destruction"}},
		{"security", "Security and breaches", []string{"security", "information security", "data security", "security measures", "technical and organisational measures", "breach management", "data breaches", "personal data breaches", "breaches", "security of data", "storage and security", "security and storage", "security incidents", "breach reporting"}},
	}},
	{"Start, review and end", "What further details should we include?", []line{
		{"starts", "First day in force", []string{"start date", "commencement", "effective date", "commencement date", "effective from", "starts"}},
		{"review", "Date of review", []string{"review", "review date", "review of the agreement", "date of next review", "review arrangements", "next review"}},
		{"ends", "First day no longer in force", []string{"end date", "expiry date", "ends", "effective to", "expiry"}},
		{"exit", "How a party leaves", []string{"termination", "termination of the agreement", "exit", "ending the agreement", "withdrawal", "closure of the agreement", "exit arrangements", "termination and exit"}},
	}},
}

var numbered = regexp.MustCompile(`^(?:(?:section|part|clause|schedule|appendix|annex)\s+)?(?:[0-9]+[.)]?(?:[0-9]+[.)]?)*|[a-z][.)]|\(?[ivx]+[.)])\s+`)

// match makes of a heading of any paper the form in which headings are compared.
func match(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	s = numbered.ReplaceAllString(s, "")
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\'', '’', '?', ':', '.', '*', '"', '“', '”', '(', ')':
			return -1
		case '-', '–', '—', '/', '_':
			return ' '
		case '&':
			return '+'
		}
		return r
	}, s)
	s = strings.ReplaceAll(strings.ReplaceAll(s, "+", "and"), ",", "")
	for _, article := range []string{"the ", "our "} {
		s = strings.TrimPrefix(s, article)
	}
	return strings.Join(strings.Fields(s), " ")
}

// A place is what a heading of a paper means to us: a heading of the agreement, or a
// section that holds several.
type place struct {
	key     string // "" for a section
	section string
}

// places is every heading that is known, as match makes it.
var places = func() map[string]place {
	m := map[string]place{}
	put := func(s string, p place) {
		if _, there := m[match(s)]; !there {
			m[match(s)] = p
		}
	}
	for _, s := range sections {
		for _, l := range s.lines {
			put(l.title, place{l.key, s.title})
			put(l.key, place{l.key, s.title})
			for _, o := range l.others {
				put(o, place{l.key, s.title})
			}
		}
	}
	// The code's questions and our own sections: what stands below one without a heading
	// of its own is of the first heading that takes any text.
	first := map[string]string{
		"Purpose": "purpose", "Data": "data_items", "Lawful basis": "lawful_basis/article_6", "Access and individual rights": "rights_contact",
		"Special category and criminal offence data": "lawful_basis/special_condition", "Information governance": "security",
	}
	for _, s := range sections {
		put(s.asks, place{first[s.title], s.title})
		put(s.title, place{first[s.title], s.title})
	}
	// The draft of the code said it in fewer words, and is what many templates took over.
	put("Is there any special category data or sensitive data?", place{"lawful_basis/special_condition", "Special category and criminal offence data"})
	put("Background", place{section: "Purpose"})
	put("Introduction", place{section: "Purpose"})
	return m
}()
