package agreement

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// The rules of a Finding of [Agreement.Lint] beside those of a [Problem].
const (
	LintDPIA        = "dpia"         // neither a reference nor a reason
	LintRetention   = "retention"    // long for what the purpose says, or for no stated reason
	LintAllFields   = "all-fields"   // nothing is left out
	LintAllRows     = "all-rows"     // every record, and they are about people
	LintCondition   = "condition"    // of Schedule 1 to the Data Protection Act 2018 is not named
	LintSpecial     = "special"      // special category or criminal offence data where it is seldom needed
	LintBasis       = "basis"        // a lawful basis that a council seldom has
	LintRecognised  = "recognised"   // a recognised legitimate interest whose condition is not named
	LintPower       = "power"        // no Act or regulation is named
	LintReview      = "review"       // far off, or passed
	LintProcessor   = "processor"    // a processor needs a contract, which this is not
	LintSays        = "says-little"  // too little to judge by
	LintVague       = "vague"        // words that let anything be meant
	LintTwice       = "twice"        // one text under two headings
	LintBreach      = "breach"       // nobody is told of a breach
	LintContact     = "contact"      // nobody can be reached by it
	LintExit        = "exit"         // what becomes of the data is not said
	LintPersonal    = "number"       // a number that names a person travels
	LintOpenEnded   = "open-ended"   // has no end
	LintSubjects    = "subjects"     // an answer to a person rests on other parties
	LintOnward      = "onward"       // what may be passed on, and to whom
	LintBound       = "bound"        // what a bound on how much goes brings with it
	LintNotPersonal = "not-personal" // a basis for personal data where there is none
	LintList        = "list"         // records would be counted by a field that holds a list or an object
	LintNever       = "never"        // rows compare a field with what no record can hold there
)

var (
	reference  = regexp.MustCompile(`[0-9]`)
	noDPIA     = regexp.MustCompile(`(?i)\b(not needed|not required|no dpia|none is needed|no impact assessment|screen(ed|ing))\b`)
	because    = regexp.MustCompile(`(?i)\b(because|since|as no|no personal|not personal|nothing is about|no person|low risk|reason)\b`)
	passing    = regexp.MustCompile(`(?i)\b(one-off|one off|once only|pilot|trial|to verify|to check|checks? whether|verification|urgent|emergency|until the decision|while the application|for the duration of)\b`)
	scheduled  = regexp.MustCompile(`(?i)\b(act|regulations?|statut\w*|schedule|law|code of practice)\b`)
	statute    = regexp.MustCompile(`(?i)\b(act|regulations?|order|measure|sections?|common law)\b`)
	schedule1  = regexp.MustCompile(`(?i)\bsch(edule|\.)? ?1\b`)
	authority  = regexp.MustCompile(`(?i)\b(official authority|article 10|schedule ?1|sch\.? ?1)\b`)
	annex1     = regexp.MustCompile(`(?i)\bannex ?1\b`)
	breach     = regexp.MustCompile(`(?i)\b(breach\w*|incident\w*)\b`)
	reachable  = regexp.MustCompile(`@|[0-9]{5}|https?://`)
	afterwards = regexp.MustCompile(`(?i)\b(delet\w*|return\w*|destroy\w*|destruct\w*|keep\w*|kept|copies|eras\w*)\b`)
	vague      = regexp.MustCompile(`(?i)\b(etc|and so on|any purpose|any other purpose|other purposes|as required|as necessary|as appropriate|where appropriate|business needs)\b`)
	// Points of article 9(2) that the Data Protection Act 2018, section 10, ties to a
	// condition in Schedule 1.
	tied = regexp.MustCompile(`\b9 ?\(2\) ?\([bghij]\)`)
)

// Lint says what a reviewer would: what keeps the agreement from being signed, as
// errors, and what it would be asked about, as warnings and notes, in the order of the
// headings. today is the day of the review. A warning is no refusal: people may know why.
// std must be a version of the standard that the agreement names.
//
// The lawful bases are those of UK GDPR article 6(1) as the Data (Use and Access) Act
// 2025, section 70, left them: (ea), recognised legitimate interests, needs a condition of
// Annex 1, and as (f) is not for what a public authority does in its tasks.
func (a *Agreement) Lint(std *standard.Standard, today time.Time) []standard.Finding {
	var out []standard.Finding
	for _, p := range a.Check(std) {
		out = append(out, standard.Finding{Severity: standard.SeverityError, Pointer: p.Pointer, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix})
	}
	l := &linter{a: a, std: std, today: today, say: func(s standard.Severity, key, rule, detail, fix string) {
		at := "/" + key
		if s == standard.SeverityWarning && slices.ContainsFunc(out, func(f standard.Finding) bool { return f.Severity == standard.SeverityError && f.Pointer == at }) {
			return // it has to be written anew in any case
		}
		out = append(out, standard.Finding{Severity: s, Pointer: at, Rule: rule, Detail: detail, Fix: fix})
	}}
	if t, _ := a.terms(std); t != nil {
		l.found = a.classes(std, t)
		l.data(t)
	}
	l.onward()
	l.basis()
	l.words()
	l.dates()
	order := func(f standard.Finding) int {
		return slices.IndexFunc(headings, func(h heading) bool {
			return f.Pointer == "/"+h.key || strings.HasPrefix(f.Pointer, "/"+h.key+"/")
		})
	}
	slices.SortStableFunc(out, func(x, y standard.Finding) int { return cmp.Compare(order(x), order(y)) })
	return out
}

type linter struct {
	a     *Agreement
	std   *standard.Standard
	today time.Time
	found map[standard.Class]name.Field // by class, one field that the agreement touches
	say   func(s standard.Severity, key, rule, detail, fix string)
}

func (l *linter) warn(key, rule, detail, fix string) {
	l.say(standard.SeverityWarning, key, rule, detail, fix)
}

// personal reports whether anything of the agreement is about people.
func (l *linter) personal() bool {
	for _, c := range []standard.Class{standard.Personal, standard.Special, standard.Criminal} {
		if _, ok := l.found[c]; ok {
			return true
		}
	}
	return false
}

// data looks at rows and fields.
func (l *linter) data(t *Terms) {
	a := l.a
	if a.Rows == "true" && l.personal() && a.Way().Copied {
		l.warn("rows", LintAllRows, "lets every record travel, and they are about people", "pick those that the receiver needs, such as record.moved_to == \"E07000999\", or say under necessity why all are needed and use a mode of less reach")
	}
	if t.rows != nil {
		for _, c := range t.rows.never(l.std) {
			fix := "take the value from the standard: as it stands the condition picks nothing or, where it is to leave out, leaves nothing out"
			if words := newKnown(l.std, nil).allowed(c.field); words != "" {
				fix += "; it has " + words
			}
			l.warn("rows", LintNever, fmt.Sprintf("compares %s with %s, which no record of the standard can hold there", c.field, c.text), fix)
		}
		for _, f := range t.rows.days(l.std) {
			l.warn("rows", LintNever, fmt.Sprintf("reads %s as a time, and it holds a date alone: the condition has no answer", f), fmt.Sprintf(`compare the text of the date, such as record%s >= "2026-04-01"`, strings.ReplaceAll(string(f), "/", ".")))
		}
	}
	if a.Way().Grouped {
		for _, f := range a.Fields {
			if l.holdsList(f) {
				l.warn("fields", LintList, fmt.Sprintf("%s holds a list or an object, and nothing can be counted by it", f), "list a field with one value in each record")
			}
		}
	}
	if m := a.Most; m.All > 0 {
		l.say(standard.SeverityNote, "most", LintBound, fmt.Sprintf("stops all but withdrawals once %d records have gone, corrections of these too", m.All), "set it well above what is expected, and watch the condition bound-reached")
	} else if m.Day > 0 && a.Due != "" {
		l.warn("most", LintBound, "may keep an offer from leaving while its clock runs", "leave it out, or set it well above what is expected")
	}
	if t.tree != nil && a.Way().Shows() {
		top := topLevel(l.std)
		left := 0
		for _, f := range top {
			if !t.tree.covers(f) {
				left++
			}
		}
		if len(top) > 1 && left == 0 && l.personal() {
			l.warn("fields", LintAllFields, fmt.Sprintf("lists all %d fields of the standard", len(top)), "leave out what the purpose can do without (UK GDPR article 5(1)(c))")
		}
	}
	for _, c := range []standard.Class{standard.Special, standard.Criminal} {
		f := l.travelling(c)
		switch way := a.Way(); {
		case f == "" || !way.Shows():
		case way.ByMatch:
			l.warn("fields", LintSpecial, fmt.Sprintf("%s is %s, and stands in every answer to a question", f, classWords(c)), "answer whether there is a record, and ask for the rest in the case itself")
		}
		for _, m := range a.Match {
			if l.std.Class(m) == c {
				l.warn("match", LintSpecial, fmt.Sprintf("%s is %s, and the asker has to state it", m, classWords(c)), "ask by a reference or a number")
			}
		}
	}
	if a.AnswersSubjects() {
		l.say(standard.SeverityNote, "subject_questions", LintSubjects, "lets a party tell the others to whom it gave records, also under its other agreements that say so", "say under rights_contact who answers the person, and how soon (one month: UK GDPR article 12(3))")
	}
	for _, p := range l.std.Manifest().Persons {
		if slices.ContainsFunc(a.Fields, func(g name.Field) bool { return p.Field.Under(g) }) && a.Way().Shows() {
			l.say(standard.SeverityNote, "fields", LintPersonal, fmt.Sprintf("%s, a number that names one person, travels", p.Field), "say under necessity what it is needed for")
		}
	}
}

// holdsList reports whether the standard shows, by an example of its own, that a field holds a
// list or an object.
func (l *linter) holdsList(f name.Field) (list bool) {
	valid, _ := l.std.Examples()
	for _, e := range valid {
		valuesAt(e.Record, f.Tokens(), func(v any) {
			if _, single := Text(v); !single && v != nil {
				list = true
			}
		})
	}
	return list
}

func classWords(c standard.Class) string {
	if c == standard.Criminal {
		return "criminal offence data"
	}
	return "special category data"
}

// travelling returns an agreed field of a class, or one that travels below an agreed one.
func (l *linter) travelling(c standard.Class) name.Field {
	named := l.std.Manifest().Classes
	for _, f := range l.a.Fields {
		if l.std.Class(f) == c {
			return f
		}
		for _, g := range slices.Sorted(maps.Keys(named)) {
			if g.Under(f) && named[g] == c && l.std.Class(f) != standard.Open {
				return g
			}
		}
	}
	return ""
}

// basis looks at what makes the sharing lawful.
func (l *linter) basis() {
	b := l.a.LawfulBasis
	point := ""
	if m := article6.FindStringSubmatch(b.Article6); m != nil {
		point = m[1]
	}
	switch point {
	case "a":
		l.warn("lawful_basis/article_6", LintBasis, "is consent, which a person can withdraw at any time and seldom gives a council freely", "rely on 6(1)(e) public task or 6(1)(c) legal obligation where the law gives the power, and say so to people")
	case "f", "ea":
		l.warn("lawful_basis/article_6", LintBasis, "is not for what a public authority does in performing its tasks (the words after point (f) of UK GDPR article 6(1))", "rely on 6(1)(e) public task or 6(1)(c) legal obligation, or say which party is no public authority")
	}
	if point == "ea" && !annex1.MatchString(b.Article6) {
		l.warn("lawful_basis/article_6", LintRecognised, "names no condition of Annex 1 to the UK GDPR", "name it: a request by a body that needs the data for its public task; national security, public security or defence; an emergency; crime; or safeguarding a vulnerable individual")
	}
	if !l.personal() && point != "" && l.found != nil {
		l.say(standard.SeverityNote, "lawful_basis/article_6", LintNotPersonal, "names a basis for personal data, and no field is classed as personal", "say that nothing is about a person, or look at the classes of the standard again")
	}
	if (point == "c" || point == "e") && b.LegalPower != "" && !statute.MatchString(b.LegalPower) {
		l.warn("lawful_basis/legal_power", LintPower, "names no Act, regulation or rule of law, which 6(1)(c) and (e) need (UK GDPR article 6(3))", "name the Act and section for each council")
	}
	if tied.MatchString(b.SpecialCondition) && !schedule1.MatchString(b.SpecialCondition) {
		l.warn("lawful_basis/special_condition", LintCondition, "names a point of article 9(2) that needs a condition in Schedule 1 to the Data Protection Act 2018 (section 10), and none is named", "add it, such as Schedule 1 paragraph 18 (safeguarding of children and of individuals at risk)")
	}
	if b.CriminalCondition != "" && !authority.MatchString(b.CriminalCondition) {
		l.warn("lawful_basis/criminal_condition", LintCondition, "names neither official authority nor a condition in Schedule 1", "add the one that is met")
	}
	for _, c := range l.a.Parties() {
		if l.a.Roles[c] == Processor {
			l.warn("roles/"+string(c), LintProcessor, "is a processor, which needs a contract under UK GDPR article 28 and not a sharing agreement alone", "name the contract under exit or security, or make it a controller if it decides what the records are used for")
		}
	}
}

// words looks at the texts.
func (l *linter) words() {
	a := l.a
	if d := a.DPIA; d != "" && !reference.MatchString(d) && !(noDPIA.MatchString(d) && because.MatchString(d)) {
		l.warn("dpia", LintDPIA, "gives neither a reference or date of the assessment nor a reason for there being none", "write such as \"DPIA 2026/14 of both councils, signed off 2026-09-30\", or who decided that none is needed, and because of what")
	}
	long := []string{"purpose", "necessity", "data_items", "accuracy", "security", "exit"}
	said := map[string]string{}
	for _, h := range headings {
		if h.kind != isText || h.identity || h.key == "rows" {
			continue
		}
		text := h.get(a).text
		if text == "" {
			continue
		}
		if slices.Contains(long, h.key) && len(strings.Fields(text)) < 4 {
			l.warn(h.key, LintSays, "says too little to be judged", h.ask)
		}
		if slices.Contains([]string{"purpose", "necessity", "data_items", "security"}, h.key) {
			if w := vague.FindString(text); w != "" {
				l.warn(h.key, LintVague, fmt.Sprintf("has the words %q, by which anything can be meant", w), "say what is meant, all of it")
			}
		}
		key := strings.ToLower(text)
		if before := said[key]; before != "" && len(text) > 20 {
			l.warn(h.key, LintTwice, "is the same text as "+before, h.ask)
		}
		said[key] = h.key
	}
	if a.Security != "" && !breach.MatchString(a.Security) {
		l.warn("security", LintBreach, "does not say who tells whom of a breach", "add it, with the time: the Commissioner is told within 72 hours (UK GDPR article 33)")
	}
	if a.Exit != "" && !afterwards.MatchString(a.Exit) {
		l.warn("exit", LintExit, "does not say what becomes of the records", "say who deletes or keeps what; the receiver's node deletes what it holds when the agreement ends")
	}
	for _, c := range a.Parties() {
		if t := a.Contacts[c]; t != "" && !reachable.MatchString(t) {
			l.warn("contacts/"+string(c), LintContact, "has no address or number by which anybody could be reached", "write a job title and an address")
		}
	}
}

// dates looks at how long things last.
func (l *linter) dates() {
	a := l.a
	day := Date(l.today.UTC().Format(time.DateOnly))
	if a.Review != "" && a.Review <= day {
		l.warn("review", LintReview, "has passed: nothing travels from that day on until all parties have renewed it", "name a day to come")
	} else if a.Review != "" && a.Starts != "" && a.Review.Time().After(a.Starts.Time().AddDate(3, 0, 0)) {
		l.warn("review", LintReview, "is more than three years after the agreement starts", "review it at the latest every three years; the code asks for regular reviews")
	}
	if a.Ends != "" && a.Ends <= day {
		l.warn("ends", LintReview, "has passed", "name a day to come, or leave it empty")
	}
	if a.Ends == "" && a.Starts != "" {
		l.say(standard.SeverityNote, "ends", LintOpenEnded, "is empty: the agreement goes on until a party ends it", "name a day where the purpose has an end")
	}
	if a.Retention == "" || a.Retention.Zero() || !a.Way().Copied || !l.personal() {
		return
	}
	kept := a.Retention.After(l.today)
	switch w := passing.FindString(a.Purpose + " " + a.Necessity); {
	case w != "" && kept.After(l.today.AddDate(1, 0, 1)):
		l.warn("retention", LintRetention, fmt.Sprintf("is %s, and the purpose speaks of %q, which is soon over", a.Retention, strings.ToLower(w)), "keep it no longer than the purpose lasts (UK GDPR article 5(1)(e)), or say under disposal which law asks for longer")
	case kept.After(l.today.AddDate(7, 0, 1)) && !scheduled.MatchString(a.Disposal+" "+a.Purpose):
		l.warn("retention", LintRetention, fmt.Sprintf("is %s, and no law or schedule that asks for so long is named", a.Retention), "name it under disposal, or keep it for less long")
	}
}
