package agreement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// MaxSteps is the most further steps that an agreement can permit.
const MaxSteps = 5

// An Onward is what an agreement lets its receivers pass on. The zero Onward, of an
// agreement without the headings, lets nothing.
//
// A record that is passed on stays what it was: a token that its own council signed, of
// which the one who passes it on leaves disclosures out. It goes under an agreement of its
// own, whose heading origin names this one; that is a further step, and the next receiver
// passes on in a second only where its agreement has these headings, too. Every agreement on
// the way bounds what goes, so that nobody can permit more than was permitted to them.
type Onward struct {
	To     []Reach          // who may be given it
	Under  []name.Agreement // the agreements of the next step; none named is any that names this one as its origin
	Fields []name.Field     // at most; each within the fields that travel
	Steps  int              // further steps, 1 to MaxSteps; 0, where the heading is empty, is one
}

// A Reach is one entry of onward/to: a council, or all that have a role in the directory,
// such as "any regulator".
type Reach string

// reaches are the entries that are no council, and the roles of the directory they stand for.
var reaches = map[Reach]string{"any council": "council", "any standards body": "standards-body", "any auditor": "auditor", "any regulator": "regulator"}

// parseReach reads an entry of onward/to.
func parseReach(s string) (Reach, error) {
	if _, ok := reaches[Reach(s)]; ok {
		return Reach(s), nil
	}
	if strings.HasPrefix(s, "any ") {
		return "", fmt.Errorf(`want a council, or "any council", "any regulator", "any auditor" or "any standards body"`)
	}
	c, err := name.ParseCouncil(s)
	return Reach(c), err
}

// Permits reports whether anything may be passed on.
func (o Onward) Permits() bool { return len(o.To) > 0 }

// said reports whether one of the headings is filled in.
func (o Onward) said() bool {
	return len(o.To) > 0 || len(o.Under) > 0 || len(o.Fields) > 0 || o.Steps > 0
}

// Reaches reports whether a council, with the role that it has in the directory, is among
// those that may be given what is passed on.
func (o Onward) Reaches(c name.Council, role string) bool {
	return slices.ContainsFunc(o.To, func(r Reach) bool {
		named, any := reaches[r]
		return r == Reach(c) || any && named == role
	})
}

// Deep returns how many further steps there may be; 0 where nothing may be passed on.
func (o Onward) Deep() int {
	if !o.Permits() {
		return 0
	}
	return max(o.Steps, 1)
}

// Passes reports whether the mode is one in which what is received may be passed on, and in
// which what was received is: the receiver keeps a copy, and nobody lets records out one by one.
func (w Way) Passes() bool { return w.Copied && !w.ByHand }

// OnwardWords says in plain words what the receivers may pass on; "" where they get no
// record.
func (a *Agreement) OnwardWords() string {
	o := a.Onward
	switch {
	case !a.Way().Shows():
		return ""
	case !o.Permits():
		return "nothing of it: onward sharing is forbidden, and the nodes of others refuse what was passed on"
	}
	under := "an agreement whose origin names this one"
	if len(o.Under) > 0 {
		under = listed(o.Under, "or")
	}
	steps := "in one further step and no more"
	if n := o.Deep(); n > 1 {
		steps = fmt.Sprintf("in at most %d further steps, where the agreement of each permits the next", n)
	}
	return fmt.Sprintf("to %s, under %s, %s, with these fields at most: %s. Each further receiver's node checks this text and its signatures; what is taken back here is taken back there",
		listed(o.To, "or"), under, steps, strings.Join(texts(o.Fields), ", "))
}

// OriginWords says in plain words where the records come from that travel; "" where they
// are the sender's own.
func (a *Agreement) OriginWords() string {
	if a.Origin == "" {
		return ""
	}
	return fmt.Sprintf("records that %s itself holds under %s, and none of its own, as far as that agreement permits it. Each stays signed by %s, and is taken back as soon as %s takes it back or that agreement is not in force",
		a.From, a.Origin, a.Origin.Council(), a.Origin.Council())
}

func listed[T ~string](in []T, word string) string {
	all := texts(in)
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " " + word + " " + all[len(all)-1]
}

func setSteps(a *Agreement, v value) error {
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 1 || n > MaxSteps || strconv.Itoa(n) != v.text {
		return fmt.Errorf("want a whole number from 1 to %d", MaxSteps)
	}
	a.Onward.Steps = n
	return nil
}

// checkOnward says what is wrong with the headings about passing on, as far as no standard
// has to be known.
func (a *Agreement) checkOnward(say func(key, rule, detail, fix string)) {
	o := a.Onward
	if o.said() && !a.Way().Passes() {
		say("onward", RuleMode, fmt.Sprintf("is for a mode in which the receiver keeps a copy of every record that matches, and the mode is %s", a.Mode), "remove onward, or change the mode")
		return
	}
	if o.said() && !o.Permits() {
		say("onward/to", RuleEmpty, "is empty, and other headings of onward are not", "name who may be given the records, or remove the others")
	}
	if o.Permits() && len(o.Fields) == 0 {
		say("onward/fields", RuleEmpty, "is empty", "list the fields that may be passed on: only those that the further receivers need")
	}
	for _, r := range o.To {
		if Reach(a.From) == r {
			say("onward/to", RuleForm, fmt.Sprintf("%s is the sender", r), "name those who may be given its records by others")
		}
	}
	for _, n := range o.Under {
		if n.Council() == a.From {
			say("onward/under", RuleForm, fmt.Sprintf("%s is an agreement of the sender", n), "name agreements of those who pass on: each begins with its sender")
		}
	}
	for _, f := range o.Fields {
		if !slices.ContainsFunc(a.Fields, func(g name.Field) bool { return f.Under(g) }) {
			say("onward/fields", RuleForm, fmt.Sprintf("%s does not travel under this agreement", shown(f)), "list only what is among fields, or part of it")
		}
	}
	if a.Origin == "" {
		return
	}
	switch from := a.Origin.Council(); {
	case !a.Way().Passes():
		say("origin", RuleMode, fmt.Sprintf("is for a mode in which the receiver keeps a copy of every record that matches, and the mode is %s", a.Mode), "remove origin, or change the mode")
	case a.Origin == a.Name || from == a.From:
		say("origin", RuleForm, "is an agreement under which the sender sends", "name the agreement under which it received the records")
	case slices.Contains(a.To, from):
		say("to", RuleForm, fmt.Sprintf("%s is the council that the records came from", from), "remove it")
	}
}

// checkOnwardFields holds what may be passed on to the standard, as checkFields does what
// travels.
func (a *Agreement) checkOnwardFields(std *standard.Standard) (ps []Problem) {
	if !a.Onward.Permits() {
		return nil
	}
	say := func(_, rule, detail, fix string) {
		ps = append(ps, Problem{Pointer: "/onward/fields", Rule: rule, Detail: detail, Fix: fix})
	}
	b := *a
	b.Fields = a.Onward.Fields
	if len(b.Fields) > 0 { // that it is empty is said already
		b.checkFields(std, say)
	}
	return ps
}

// onward compares what two texts let receivers pass on, and whose records travel.
func (d *differ) onward() {
	was, is := d.old.Onward, d.new.Onward
	switch {
	case was.Permits() && !is.Permits():
		d.say(narrower, "onward sharing is no longer permitted; what was passed on is taken back")
		return
	case !was.Permits() && is.Permits():
		d.say(wider, "onward sharing is permitted %s", d.new.OnwardWords())
		return
	case !is.Permits():
		return
	}
	d.list("onward receiver", texts(was.To), texts(is.To))
	d.fields("onward field", was.Fields, is.Fields)
	switch {
	case len(was.Under) > 0 && len(is.Under) == 0:
		d.say(wider, "onward sharing may be under any agreement whose origin is this one, no longer only %s", listed(was.Under, "or"))
	case len(was.Under) == 0 && len(is.Under) > 0:
		d.say(narrower, "onward sharing may be only under %s", listed(is.Under, "or"))
	default:
		d.list("onward agreement", texts(was.Under), texts(is.Under))
	}
	switch o, n := was.Deep(), is.Deep(); {
	case n > o:
		d.say(wider, "onward steps are now %d, were %d", n, o)
	case n < o:
		d.say(narrower, "onward steps are now %d, were %d", n, o)
	}
}

// origin compares whose records travel.
func (d *differ) origin() {
	whose := func(a *Agreement) string {
		if a.Origin == "" {
			return string(a.From) + "'s own"
		}
		return "those held under " + string(a.Origin)
	}
	if d.old.Origin != d.new.Origin {
		d.say(changed, "the records are now %s, were %s", whose(d.new), whose(d.old))
	}
}

// onward looks at what may be passed on.
func (l *linter) onward() {
	o := l.a.Onward
	if !o.Permits() {
		return
	}
	for _, r := range o.To {
		if _, any := reaches[r]; any && l.personal() {
			l.warn("onward/to", LintOnward, fmt.Sprintf("is %q, so that who may be given records about people is not known when this is signed", r), "name the councils, or say under purpose why it cannot be known")
			break
		}
	}
	for _, f := range o.Fields {
		if c := l.std.Class(f); c == standard.Special || c == standard.Criminal {
			l.warn("onward/fields", LintOnward, fmt.Sprintf("lets %s data, %s, be passed on", className(c), shown(f)), "leave it out, or name under lawful_basis the condition that the further receivers meet")
			break
		}
	}
	if o.Deep() > 1 {
		l.say(standard.SeverityNote, "onward/steps", LintOnward, fmt.Sprintf("lets records go %d steps further", o.Deep()), "one step is what a person who asks can still be told of with ease")
	}
	if len(o.Under) == 0 {
		l.say(standard.SeverityNote, "onward/under", LintOnward, "is empty: any agreement whose origin is this one will do", "name the agreement, so that its purpose is known to the sender")
	}
}

func className(c standard.Class) string {
	if c == standard.Criminal {
		return "criminal offence"
	}
	return "special category"
}
