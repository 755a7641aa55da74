package measure

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

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

// An Adoption says who complies with what, as of one day.
type Adoption struct {
	At      string         `json:"at"`      // the day, UTC: statements up to its end count
	Members int            `json:"members"` // of role council
	Rows    []AdoptionRow  `json:"rows"`    // by council, then standard and version
	Shares  []Adopters     `json:"standards"`
	Types   []Group        `json:"types"`   // by standard, then type
	Regions []Group        `json:"regions"` // by standard, then region
	Trend   []TrendPoint   `json:"trend"`   // by standard, then day
	Refused []RefusedGiven `json:"refused"` // statements that count for nothing, and why
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

// Adopters say how many councils have records in a standard, of the members and
// of all in England. An English council is counted by the code that the
// directory gives it, once.
type Adopters struct {
	Standard name.StandardName `json:"standard"`
	Councils int               `json:"councils"` // with records, members or not
	Adopting int               `json:"adopting"` // members with records
	Members  int               `json:"members"`
	English  int               `json:"english"` // English councils with records
	England  int               `json:"england"` // English councils on that day
}

// A Group says the same of one type of council or of one region.
type Group struct {
	Standard name.StandardName `json:"standard"`
	Group    string            `json:"group"`
	Adopting int               `json:"adopting"`
	Members  int               `json:"members"` // that are in the group
	England  int               `json:"england"`
}

// A TrendPoint is how a standard stood at the end of a day on which somebody
// made a statement.
type TrendPoint struct {
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

// A RefusedGiven is a statement that counts for nothing.
type RefusedGiven struct {
	Given
	Because string `json:"because"`
}

// MaxTrend is how many days a trend goes back, the newest kept.
const MaxTrend = 400

// Adopt gathers statements into who complies with what at the end of the day of
// at. Only standards that want is true of count; nil is all.
func Adopt(given []Given, members []Member, at time.Time, want func(name.Standard) bool) *Adoption {
	a := &Adoption{At: at.UTC().Format(time.DateOnly), Rows: []AdoptionRow{}, Shares: []Adopters{}, Types: []Group{}, Regions: []Group{},
		Trend: []TrendPoint{}, Refused: []RefusedGiven{}}
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
	points := map[string][]TrendPoint{}
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
	slices.SortStableFunc(a.Trend, func(x, y TrendPoint) int { return strings.Compare(string(x.Standard), string(y.Standard)) })
	for _, g := range state.all() {
		m := who[g.Issuer]
		row := AdoptionRow{Council: g.Issuer, Title: m.Title, GSS: m.GSS, Member: m.Counts, Statement: *g.Statement, Record: g.Record}
		if c, ok := councils.ByGSS(m.GSS); ok {
			row.Region, row.Type = c.Region, string(c.Type)
		}
		a.Rows = append(a.Rows, row)
	}
	a.share(members, at)
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

func (n newest) points(day string) (out []TrendPoint) {
	by := map[name.StandardName]*TrendPoint{}
	for _, byStandard := range n {
		has := map[name.StandardName]bool{}
		for std, g := range byStandard {
			p := by[std.Name]
			if p == nil {
				p = &TrendPoint{Standard: std.Name, Day: day}
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
func (a *Adoption) share(members []Member, at time.Time) {
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
	adopting := map[name.StandardName]map[name.Council]AdoptionRow{}
	for _, r := range a.Rows {
		if adopting[r.Statement.Standard.Name] == nil {
			adopting[r.Statement.Standard.Name] = map[name.Council]AdoptionRow{}
		}
		if r.Statement.Records > 0 {
			adopting[r.Statement.Standard.Name][r.Council] = r
		}
	}
	for _, std := range sortedKeys(adopting) {
		s := Adopters{Standard: std, Councils: len(adopting[std]), Members: a.Members, England: len(england)}
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
		group := func(key func(councils.Council) string, order []string) (out []Group) {
			by := map[string]*Group{}
			for _, k := range order {
				by[k] = &Group{Standard: std, Group: k}
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
