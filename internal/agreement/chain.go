package agreement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Chain is the agreements by which a record goes from its own council to a receiver: the
// first is that of its council, and each other names the one before it as its origin. It is
// what is judged when a record is passed on, by who passes it on and by who receives it,
// each for itself.
type Chain []*Agreement

// The rules of onward sharing that are broken, in words. Each names what a reader finds in
// the texts.
const (
	RuleOnwardNone     = "onward sharing: an earlier agreement does not permit it"
	RuleOnwardTo       = "onward sharing: an earlier agreement does not name this receiver"
	RuleOnwardUnder    = "onward sharing: an earlier agreement names another agreement for it"
	RuleOnwardSteps    = "onward sharing: more steps than an earlier agreement permits"
	RuleOnwardField    = "onward sharing: a field that an earlier agreement does not let go on"
	RuleOnwardRow      = "onward sharing: a row that an earlier agreement does not pick"
	RuleOnwardOrigin   = "onward sharing: the agreements do not follow one another"
	RuleOnwardInForce  = "onward sharing: an earlier agreement is not in force"
	RuleOnwardStandard = "onward sharing: an earlier agreement is about another standard"
)

// Judge says by which rule nothing may go to councils by the chain; "" when it may. Whether
// the agreements are in force is not asked here: that is no property of the texts. role
// gives the role that a council has in the directory, "" for one that is not in it.
func (c Chain) Judge(to []name.Council, role func(name.Council) string) (rule string) {
	if len(c) < 2 || c[0].Origin != "" {
		return RuleOnwardOrigin
	}
	last := c[len(c)-1]
	for i, a := range c[:len(c)-1] {
		next := c[i+1]
		switch o := a.Onward; {
		case next.Origin != a.Name || !slices.Contains(a.To, next.From) || !a.Way().Passes() || !next.Way().Passes():
			return RuleOnwardOrigin
		case next.Standard != a.Standard:
			return RuleOnwardStandard
		case !o.Permits():
			return RuleOnwardNone
		case len(o.Under) > 0 && !slices.Contains(o.Under, next.Name):
			return RuleOnwardUnder
		case len(c)-1-i > o.Deep():
			return RuleOnwardSteps
		}
		// Everybody further on has to be named, also who passes on in between.
		further := slices.Clone(to)
		for _, b := range c[i+2:] {
			further = append(further, b.From)
		}
		for _, r := range further {
			if r == c[0].From || !a.Onward.Reaches(r, role(r)) {
				return RuleOnwardTo
			}
		}
		for _, f := range last.Fields {
			if !slices.ContainsFunc(a.Onward.Fields, func(g name.Field) bool { return f.Under(g) }) {
				return RuleOnwardField
			}
		}
	}
	return ""
}

// HeldBack says in words what each earlier agreement lets its receiver have and does not let
// go on, however wide the later ones are; nothing for one that lets all of it go on.
func (c Chain) HeldBack() (out []string) {
	for i, a := range c[:len(c)-1] {
		var stays []string
		for _, f := range a.Fields {
			if slices.ContainsFunc(a.Onward.Fields, func(g name.Field) bool { return f.Under(g) }) {
				continue
			}
			what := shown(f)
			if parts := slices.DeleteFunc(slices.Clone(a.Onward.Fields), func(g name.Field) bool { return !g.Under(f) }); len(parts) > 0 {
				what += " but for " + listed(parts, "and")
			}
			stays = append(stays, what)
		}
		if len(stays) > 0 {
			out = append(out, fmt.Sprintf("%s lets %s have these and does not let them go on: %s", a.Name, c[i+1].From, strings.Join(stays, ", ")))
		}
	}
	return out
}

// A Passage is a Chain compiled for one version of its standard. It may be used concurrently.
type Passage struct {
	last    *Terms
	earlier []*Terms // with the fields that may go on, and of the rows what can be seen behind the last
	rows    []*Terms
}

// Compile returns what the chain means for records of one version of its standard. It fails
// as [Agreement.Compile] does.
func (c Chain) Compile(std *standard.Standard) (*Passage, error) {
	last := c[len(c)-1]
	p := new(Passage)
	var err error
	if p.last, err = last.Compile(std); err != nil {
		return nil, err
	}
	for _, a := range c[:len(c)-1] {
		b := *a
		b.Fields = a.Onward.Fields
		t, err := b.Compile(std)
		if err != nil {
			return nil, err
		}
		p.earlier = append(p.earlier, t)
		b.Fields = last.Fields
		if t, err = b.Compile(std); err != nil {
			return nil, err
		}
		p.rows = append(p.rows, t)
	}
	return p, nil
}

// Keep decides on one disclosure as [Terms.Keep] does: it goes on where every agreement of
// the chain lets it.
func (p *Passage) Keep(pointer string, shell bool) bool {
	return p.last.Keep(pointer, shell) && !slices.ContainsFunc(p.earlier, func(t *Terms) bool { return !t.Keep(pointer, shell) })
}

// Match reports whether the last agreement picks what the one who passes on holds of a
// record. That the earlier ones pick it, it was told when it received it.
func (p *Passage) Match(held any) bool { return p.last.Match(held) }

// Beyond is [Terms.Beyond] for all agreements of the chain. It may be called on a nil
// Passage, which lets nothing through.
func (p *Passage) Beyond(std *standard.Standard, body map[string]any) (rule, pointer string) {
	if p == nil {
		return (*Terms)(nil).Beyond(std, body)
	}
	if rule, pointer = p.last.Beyond(std, body); rule != "" {
		return rule, pointer
	}
	for i, t := range p.earlier {
		if extra := t.Excess(body); len(extra) > 0 {
			return RuleOnwardField, extra[0]
		}
		if r := p.rows[i]; r.RowsCheckable() && !r.Match(body) {
			return RuleOnwardRow, ""
		}
	}
	return "", ""
}
