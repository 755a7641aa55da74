package measure

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

// Given is a statement as a record: what its token says beside the statement.
type Given struct {
	Issuer    name.Council `json:"issuer"` // who signed it
	Record    name.Record  `json:"record"`
	Index     uint64       `json:"entry"` // in the issuer's log
	IssuedAt  time.Time    `json:"issued_at"`
	Statement *Statement   `json:"-"`
}

// skew is how far the clocks of a node and of those who read may differ.
const skew = 5 * time.Minute

// Read reads a statement that a council issued, and refuses one that it cannot
// have meant: it speaks for another council, or of a time or a log later than
// it stands in. An error wraps [ErrStatement] and holds no value.
func Read(g Given, body map[string]any) (Given, error) {
	s, err := Parse(body)
	switch {
	case err != nil:
	case s.Council != g.Issuer:
		err = fmt.Errorf("%w: it speaks for another council than the one that signed it", ErrStatement)
	case s.ComputedAt.After(g.IssuedAt.Add(skew)):
		err = fmt.Errorf("%w: it says that it was computed after it was signed", ErrStatement)
	case s.Checkpoint.Size > g.Index:
		err = fmt.Errorf("%w: it says that it was computed of a later log than it stands in", ErrStatement)
	}
	g.Statement = s
	return g, err
}

// A Member is what adoption asks the directory about a council.
type Member struct {
	Council name.Council
	Title   string
	GSS     string // ONS code; "" when the directory gives none
	Counts  bool   // it has the role council: it is among those who could adopt
}

// Refused says that a statement counts for nothing, and why.
func (g Given) Refused(because string) api.RefusedStatement {
	return api.RefusedStatement{Issuer: g.Issuer, Record: g.Record, Index: g.Index, IssuedAt: g.IssuedAt, Because: because}
}

// MaxTrend is how many days a trend goes back, the newest kept.
const MaxTrend = 400

// Adopt gathers statements into who complies with what at the end of the day of
// at. Only standards that want is true of count; nil is all.
func Adopt(given []Given, members []Member, at time.Time, want func(name.Standard) bool) *api.Adoption {
	a := &api.Adoption{At: at.UTC().Format(time.DateOnly), Rows: []api.AdoptionRow{}, Shares: []api.AdoptionShare{}, Types: []api.AdoptionGroup{}, Regions: []api.AdoptionGroup{},
		Trend: []api.AdoptionPoint{}, Refused: []api.RefusedStatement{}}
	who := map[name.Council]Member{}
	for _, m := range members {
		who[m.Council] = m
		if m.Counts {
			a.Members++
		}
	}
	given = slices.DeleteFunc(slices.Clone(given), func(g Given) bool {
		return g.Statement.ComputedOn > a.At || want != nil && !want(g.Statement.Standard)
	})
	slices.SortFunc(given, func(x, y Given) int {
		if c := x.Statement.ComputedAt.Compare(y.Statement.ComputedAt); c != 0 {
			return c
		}
		return cmp.Compare(x.Index, y.Index)
	})
	state := newest{}
	var days []string
	points := map[string][]api.AdoptionPoint{}
	for i, g := range given {
		state.take(g)
		if day := g.Statement.ComputedOn; i+1 == len(given) || given[i+1].Statement.ComputedOn != day {
			days = append(days, day)
			points[day] = state.points(day)
		}
	}
	for _, day := range days[max(0, len(days)-MaxTrend):] {
		a.Trend = append(a.Trend, points[day]...)
	}
	slices.SortStableFunc(a.Trend, func(x, y api.AdoptionPoint) int { return strings.Compare(string(x.Standard), string(y.Standard)) })
	for _, g := range state.all() {
		m := who[g.Issuer]
		row := api.AdoptionRow{Council: g.Issuer, Title: m.Title, GSS: m.GSS, Member: m.Counts, Statement: *g.Statement, Record: g.Record}
		if c, ok := councils.ByGSS(m.GSS); ok {
			row.Region, row.Type = c.Region, string(c.Type)
		}
		a.Rows = append(a.Rows, row)
	}
	share(a, members, at)
	return a
}

// newest is the newest statement of every council about every version.
type newest map[name.Council]map[name.Standard]Given

func (n newest) take(g Given) {
	if n[g.Issuer] == nil {
		n[g.Issuer] = map[name.Standard]Given{}
	}
	n[g.Issuer][g.Statement.Standard] = g
}

func (n newest) all() (out []Given) {
	for _, byStandard := range n {
		for _, g := range byStandard {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(x, y Given) int {
		if c := strings.Compare(string(x.Issuer), string(y.Issuer)); c != 0 {
			return c
		}
		s, t := x.Statement.Standard, y.Statement.Standard
		if c := strings.Compare(string(s.Name), string(t.Name)); c != 0 {
			return c
		}
		return s.Version.Compare(t.Version)
	})
	return out
}

func (n newest) points(day string) (out []api.AdoptionPoint) {
	by := map[name.StandardName]*api.AdoptionPoint{}
	for _, byStandard := range n {
		has := map[name.StandardName]bool{}
		for std, g := range byStandard {
			p := by[std.Name]
			if p == nil {
				p = &api.AdoptionPoint{Standard: std.Name, Day: day}
				by[std.Name] = p
			}
			s := g.Statement
			p.Records += s.Records
			p.Seen += s.Offers.Seen
			p.Valid += s.Offers.Valid
			p.Served += s.Partners.Served
			if s.Freshness != nil {
				p.Dated += s.Records
				p.Fresh += s.Freshness.Fresh
			}
			has[std.Name] = has[std.Name] || s.Records > 0
		}
		for std, yes := range has {
			if yes {
				by[std].Councils++
			}
		}
	}
	for _, std := range sortedKeys(by) {
		out = append(out, *by[std])
	}
	return out
}

// share counts, for each standard, who has records in it.
func share(a *api.Adoption, members []Member, at time.Time) {
	england := councils.At(at)
	present := map[string]councils.Council{} // by its code of now
	for _, c := range england {
		present[c.GSS] = c
	}
	english := func(gss string) (councils.Council, bool) {
		c, ok := councils.ByGSS(gss)
		if ok {
			c, ok = present[c.GSS]
		}
		return c, ok
	}
	adopting := map[name.StandardName]map[name.Council]api.AdoptionRow{}
	for _, r := range a.Rows {
		if adopting[r.Statement.Standard.Name] == nil {
			adopting[r.Statement.Standard.Name] = map[name.Council]api.AdoptionRow{}
		}
		if r.Statement.Records > 0 {
			adopting[r.Statement.Standard.Name][r.Council] = r
		}
	}
	for _, std := range sortedKeys(adopting) {
		s := api.AdoptionShare{Standard: std, Councils: len(adopting[std]), Members: a.Members, England: len(england)}
		here := map[string]bool{} // English councils by code
		for _, r := range adopting[std] {
			if r.Member {
				s.Adopting++
			}
			if c, ok := english(r.GSS); ok {
				here[c.GSS] = true
			}
		}
		s.English = len(here)
		a.Shares = append(a.Shares, s)
		group := func(key func(councils.Council) string, order []string) (out []api.AdoptionGroup) {
			by := map[string]*api.AdoptionGroup{}
			for _, k := range order {
				by[k] = &api.AdoptionGroup{Standard: std, Group: k}
			}
			for _, c := range england {
				by[key(c)].England++
				if here[c.GSS] {
					by[key(c)].Adopting++
				}
			}
			for _, m := range members {
				if c, ok := english(m.GSS); ok && m.Counts {
					by[key(c)].Members++
				}
			}
			for _, k := range order {
				out = append(out, *by[k])
			}
			return out
		}
		var types []string
		for _, t := range councils.Types() {
			types = append(types, string(t))
		}
		a.Types = append(a.Types, group(func(c councils.Council) string { return string(c.Type) }, types)...)
		a.Regions = append(a.Regions, group(func(c councils.Council) string { return c.Region }, councils.Regions())...)
	}
}
