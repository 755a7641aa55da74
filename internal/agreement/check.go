package agreement

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Problem is one thing that keeps an agreement from being signed. Pointer
// names the heading, such as "/lawful_basis/article_6" or "/roles/saltby.gov.uk";
// Rule is one of the Rule constants of this package.
type Problem = standard.Problem

// The rules that a Problem can name.
const (
	RuleEmpty     = "empty"     // a heading that must be filled in is not
	RuleForm      = "form"      // filled in with something that cannot be meant
	RuleParties   = "parties"   // a table does not speak of the parties, of all and of them alone
	RuleDates     = "dates"     // dates in the wrong order
	RuleStandard  = "standard"  // the agreement speaks of another standard
	RuleRows      = "rows"      // the row filter cannot be used
	RuleUnknown   = "unknown"   // the standard has no such field
	RuleSeparable = "separable" // the field cannot be shared without more than it
	RuleOpen      = "open"      // an open field travels in any case and is not listed
	RuleMode      = "mode"      // a heading that the mode does not allow
	RuleGrouping  = "grouping"  // aggregate: records cannot be counted by the field
)

// Check returns everything that keeps the agreement from being signed, in the
// order of the headings; nil when it can be. std must be a version of the
// standard the agreement names. A warning is not given: what is not refused is
// for people to judge.
//
// Check asks for a condition under article 9 when special category data, and
// under article 10 when criminal offence data, is among the agreed fields, the
// match fields, or the fields that rows goes by: to be told that a person was
// picked by a condition on their health is to be told of their health.
func (a *Agreement) Check(std *standard.Standard) []Problem {
	ps := a.checkHeadings()
	t, terms := a.terms(std)
	for _, p := range terms {
		if !slices.ContainsFunc(ps, func(q Problem) bool { return q.Pointer == p.Pointer && q.Rule == p.Rule && q.Rule == RuleEmpty }) {
			ps = append(ps, p)
		}
	}
	if t != nil {
		ps = append(ps, a.checkBasis(std, t)...)
		// Not among the terms: an agreement signed before this was asked for must
		// still be read. Whoever counts asks again.
		ps = append(ps, a.checkGroups(std)...)
		ps = append(ps, a.checkRetentionField(std)...)
		ps = append(ps, a.checkOnwardFields(std)...)
	}
	order := func(p Problem) int {
		return slices.IndexFunc(headings, func(h heading) bool {
			return p.Pointer == "/"+h.key || strings.HasPrefix(p.Pointer, "/"+h.key+"/")
		})
	}
	slices.SortStableFunc(ps, func(x, y Problem) int { return cmp.Compare(order(x), order(y)) })
	return ps
}

// Incomplete returns the headings that must be filled in and are empty, such
// as "lawful_basis/article_6" or "roles/saltby.gov.uk", in order. It is the
// part of Check that needs no standard and never changes its mind, so that
// every node which replays a ledger decides alike; see [State].
func (a *Agreement) Incomplete() []string {
	var out []string
	for _, h := range headings {
		v := h.get(a)
		switch {
		case h.kind == isTable && !v.empty():
			for _, c := range a.Parties() {
				if v.table[string(c)] == "" {
					out = append(out, h.key+"/"+string(c))
				}
			}
		case v.empty() && !h.optional && !(h.key == "fields" && a.Way().Grouped):
			out = append(out, h.key)
		}
	}
	return out
}

// placeholders are what people write to say that they have not written yet.
var placeholders = regexp.MustCompile(`(?i)^[\pP\pS\s]*(tb[acd]|todo|to ?do|to be (confirmed|agreed|decided|added)|n ?/? ?a|none|nil|not applicable|xx+|placeholder|lorem ipsum.*)?[\pP\pS\s]*$`)

// The points of UK GDPR articles 6(1) and 9(2); 6(1)(ea), recognised legitimate
// interests, is of the Data (Use and Access) Act 2025, section 70.
var (
	article6 = regexp.MustCompile(`\b6 ?\(1\) ?\((a|b|c|d|e|ea|f)\)`)
	article9 = regexp.MustCompile(`\b9 ?\(2\) ?\([a-j]\)`)
)

func (a *Agreement) checkHeadings() []Problem {
	var ps []Problem
	say := func(key, rule, detail, fix string) {
		ps = append(ps, Problem{Pointer: "/" + key, Rule: rule, Detail: detail, Fix: fix})
	}
	for _, key := range a.Incomplete() {
		h, ok := headingFor(key)
		if !ok { // an entry of a table
			table, _, _ := strings.Cut(key, "/")
			h, _ = headingFor(table)
		}
		say(key, RuleEmpty, "is empty", h.ask)
	}
	for _, h := range headings {
		v := h.get(a)
		if h.kind == isText && !h.identity && v.text != "" && placeholders.MatchString(v.text) {
			say(h.key, RuleEmpty, "says nothing yet; where it does not apply, say why", h.ask)
		}
	}
	a.checkTable("roles", table(a.Roles), say)
	a.checkTable("contacts", table(a.Contacts), say)
	a.checkRoles(say)

	a.checkMode(say)
	if a.Ends != "" && a.Starts != "" && a.Ends <= a.Starts {
		say("ends", RuleDates, "is not after it starts", "give a later day, or leave it empty for an agreement without an end")
	}
	if a.Review != "" && a.Starts != "" && a.Review <= a.Starts {
		say("review", RuleDates, "is not after it starts", "give the day by which the parties look at it again")
	}
	if a.Review != "" && a.Ends != "" && a.Review > a.Ends {
		say("review", RuleDates, "is after it ends", "review it at the latest when it ends")
	}
	return ps
}

// checkTable holds a table to the parties.
func (a *Agreement) checkTable(key string, t map[string]string, say func(key, rule, detail, fix string)) {
	h, _ := headingFor(key)
	for _, c := range slices.Sorted(maps.Keys(t)) {
		switch {
		case !a.Party(name.Council(c)):
			say(key+"/"+c, RuleParties, "is not a party to this agreement", "remove it, or add it to the receivers")
		case t[c] != "" && placeholders.MatchString(t[c]):
			say(key+"/"+c, RuleEmpty, "says nothing yet", h.ask)
		}
	}
}

func (a *Agreement) checkRoles(say func(key, rule, detail, fix string)) {
	var joint, answerable int
	for _, c := range a.Parties() {
		switch a.Roles[c] {
		case JointController:
			joint++
			answerable++
		case Controller:
			answerable++
		case "":
			return // reported as empty
		}
	}
	if joint == 1 {
		say("roles", RuleForm, "has one joint controller", "two parties at the least decide jointly (UK GDPR article 26)")
	}
	if answerable == 0 {
		say("roles", RuleForm, "has no controller", "name the party that decides what the records are used for (UK GDPR article 4(7))")
	}
}

// terms compiles what decides on data and returns what is wrong with it. When
// something is, the terms are unfit for use, and nil for another standard.
func (a *Agreement) terms(std *standard.Standard) (*Terms, []Problem) {
	if std.Name().Line() != a.Standard {
		return nil, []Problem{{Pointer: "/standard", Rule: RuleStandard,
			Detail: fmt.Sprintf("is %s, not %s", a.Standard, std.Name().Line()),
			Fix:    "use a version of the standard that the agreement names"}}
	}
	t := &Terms{agreement: a, std: std, layout: std.Layout(), shows: a.Way().Shows()}
	var ps []Problem
	say := func(key, rule, detail, fix string) {
		ps = append(ps, Problem{Pointer: "/" + key, Rule: rule, Detail: detail, Fix: fix})
	}
	known := newKnown(std, say)
	switch r, err := compileRows(a.Rows); {
	case a.Rows == "":
		say("rows", RuleEmpty, "is empty, so no record matches", `write a condition, or "true" for every record`)
	case err != nil:
		say("rows", RuleRows, err.Error(), `write a CEL condition on "record", such as record.ward == "Northgate"`)
	default:
		t.rows, t.every = r, a.Rows == "true"
		if t.parts, err = split(r); err != nil {
			t.parts = []part{{rows: r}} // it can be explained as a whole
		}
		known.check("rows", r.fields())
	}
	a.checkFields(std, say)
	known.check("fields", a.Fields)
	known.check("match", a.Match)
	if slices.Contains(a.Match, "") {
		say("match", RuleForm, "has the whole record", "list the fields a partner may ask by")
	}
	if len(ps) > 0 {
		return t, ps
	}
	t.tree = newFieldTree(a.Fields, t.layout)
	t.checkable = t.rowsCheckable()
	return t, nil
}

func (a *Agreement) checkFields(std *standard.Standard, say func(key, rule, detail, fix string)) {
	l := std.Layout()
	if !a.Way().Grouped && len(a.Fields) == 0 {
		say("fields", RuleEmpty, "is empty", "list the fields that travel")
	}
	for _, f := range a.Fields {
		switch {
		case f == "" && !l.Open:
			say("fields", RuleSeparable, "has the whole record", "list the fields that the purpose needs")
		case !l.Separable(f):
			say("fields", RuleSeparable, fmt.Sprintf("%s cannot be shared without what is around it", f),
				fmt.Sprintf("list %q", string(whole(l, f)))+", or ask the standard's publisher to give it a class of its own")
		}
	}
	if f, ok := clash(a.Fields); ok {
		say("fields", RuleForm, fmt.Sprintf("%s is one of the elements that another entry names by *", f), "keep one of the two")
	}
	if !a.Way().Shows() {
		return // no token travels, so nothing does that stands in it in clear
	}
	for _, f := range openFields("", l) {
		if !slices.ContainsFunc(a.Fields, func(g name.Field) bool { return f.Under(g) }) {
			say("fields", RuleOpen, fmt.Sprintf("%s is open in the standard and stands in clear in every record", shown(f)), fmt.Sprintf("list %q", string(f)))
		}
	}
}

// whole returns the nearest place above f that can be shared by itself.
func whole(l *standard.Layout, f name.Field) name.Field {
	for !l.Separable(f) {
		f = f[:strings.LastIndexByte(string(f), '/')]
	}
	return f
}

// openFields returns the outermost open places, sorted.
func openFields(at name.Field, l *standard.Layout) []name.Field {
	if l.Open {
		return []name.Field{at}
	}
	var out []name.Field
	for k, m := range l.Members {
		out = append(out, openFields(at.Child(k), m)...)
	}
	if l.Elements != nil {
		out = append(out, openFields(at.Child("*"), l.Elements)...)
	}
	slices.Sort(out)
	return out
}

// checkBasis asks for the legal basis that the classes of the fields demand.
func (a *Agreement) checkBasis(std *standard.Standard, t *Terms) []Problem {
	found := a.classes(std, t)
	var ps []Problem
	ask := func(key string, f name.Field, class standard.Class, text, article string) {
		if text != "" {
			return
		}
		h, _ := headingFor(key)
		ps = append(ps, Problem{Pointer: "/" + key, Rule: RuleEmpty,
			Detail: fmt.Sprintf("is empty, and %s is %s data (UK GDPR article %s)", f, class, article), Fix: h.ask})
	}
	if f, ok := found[standard.Special]; ok {
		ask("lawful_basis/special_condition", f, "special category", a.LawfulBasis.SpecialCondition, "9")
		if c := a.LawfulBasis.SpecialCondition; c != "" && !article9.MatchString(c) {
			h, _ := headingFor("lawful_basis/special_condition")
			ps = append(ps, Problem{Pointer: "/lawful_basis/special_condition", Rule: RuleForm,
				Detail: fmt.Sprintf("names no point of article 9(2), and %s is special category data", f), Fix: h.ask})
		}
	}
	if f, ok := found[standard.Criminal]; ok {
		ask("lawful_basis/criminal_condition", f, "criminal offence", a.LawfulBasis.CriminalCondition, "10")
	}
	personal := false
	for _, c := range []standard.Class{standard.Personal, standard.Special, standard.Criminal} {
		_, is := found[c]
		personal = personal || is
	}
	if personal && a.LawfulBasis.Article6 != "" && !article6.MatchString(a.LawfulBasis.Article6) {
		h, _ := headingFor("lawful_basis/article_6")
		ps = append(ps, Problem{Pointer: "/lawful_basis/article_6", Rule: RuleForm,
			Detail: "names no point of article 6(1), and personal data is shared", Fix: h.ask})
	}
	return ps
}

// classes returns, for each class that the agreement touches, one field of it.
// A field brings the classes of all that travels with it.
func (a *Agreement) classes(std *standard.Standard, t *Terms) map[standard.Class]name.Field {
	found := make(map[standard.Class]name.Field)
	note := func(f name.Field) {
		if c := std.Class(f); found[c] == "" {
			found[c] = f
		}
	}
	named := std.Manifest().Classes
	below := slices.Sorted(maps.Keys(named))
	for _, f := range a.Fields {
		note(f)
		for _, g := range below {
			// What is withheld below an open field does not come with it.
			if g.Under(f) && (std.Class(f) != standard.Open || named[g] == standard.Open) {
				note(g)
			}
		}
	}
	var asked []name.Field
	if t.rows != nil {
		asked = t.rows.fields()
	}
	for _, f := range slices.Concat(a.Match, asked) {
		note(f)
		for _, g := range below {
			if g.Under(f) {
				note(g)
			}
		}
	}
	return found
}
