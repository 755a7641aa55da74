// Package councils lists the principal councils of England as reference data:
// names, ONS (GSS) codes, regions and types, with the days on which councils
// came to be and ceased, and who succeeded them.
//
// The list is councils.csv beside this file. It is made by the program in the
// folder generate from a public register (see SOURCE.md, which must travel with
// it), and committed. It says who is a council, not who is a member of an
// exchange: that is the directory's word.
//
// All functions may be called concurrently.
package councils

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed councils.csv
var text string

// What is to come, of which the register knows nothing yet: reorganisations.csv.
//
//go:embed reorganisations.csv
var planned string

// A Type is what kind of council one is, by the powers it has.
type Type string

// The types. District, MetropolitanDistrict and LondonBorough stand below or
// beside another body; a Unitary has all powers of county and district.
const (
	County               Type = "county"
	District             Type = "district"
	MetropolitanDistrict Type = "metropolitan-district"
	Unitary              Type = "unitary"
	LondonBorough        Type = "london-borough"
	CityOfLondon         Type = "city-of-london"
	IslesOfScilly        Type = "isles-of-scilly"
)

// Types returns every type, in the order that reports list them.
func Types() []Type {
	return []Type{County, District, MetropolitanDistrict, Unitary, LondonBorough, CityOfLondon, IslesOfScilly}
}

// A Council is one entry of the list.
type Council struct {
	GSS    string `json:"gss"`    // nine-letter ONS code, such as E06000066; "" where it is not known yet
	Name   string `json:"name"`   // the short name, such as Somerset
	Type   Type   `json:"type"`   //
	Region string `json:"region"` // one of the nine English regions

	// From is the first day, YYYY-MM-DD; "" when it lies before what the
	// source dates, and then the council counts as having been there always.
	From string `json:"from,omitempty"`
	// Until is the last day; "" while the council is there.
	Until string `json:"until,omitempty"`
	// Successors are the codes of the councils that took over, sorted.
	Successors []string `json:"successors,omitempty"`
	// Next are the names of successors whose codes are not known yet.
	Next []string `json:"next,omitempty"`
	// Former are codes that the same council had before, sorted.
	Former []string `json:"former,omitempty"`
}

// At reports whether the council was there on the day of t, in UTC.
func (c Council) At(t time.Time) bool {
	day := t.UTC().Format(time.DateOnly)
	return c.From <= day && (c.Until == "" || day <= c.Until)
}

type table struct {
	all  []Council
	code map[string]int // by code, former ones too
}

var load = sync.OnceValue(func() table {
	list, err := parse(text)
	if err != nil {
		panic("internal error: councils.csv: " + err.Error()) // a test reads it
	}
	if list, err = plan(list, planned); err != nil {
		panic("internal error: reorganisations.csv: " + err.Error()) // a test reads it
	}
	t := table{list, map[string]int{}}
	for i, c := range list {
		for _, code := range append([]string{c.GSS}, c.Former...) {
			if code != "" {
				t.code[code] = i
			}
		}
	}
	return t
})

func parse(text string) (out []Council, err error) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != header {
		return nil, fmt.Errorf("the first row is not %s", header)
	}
	list := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, " ")
	}
	for _, row := range rows[1:] {
		out = append(out, Council{
			GSS: row[0], Name: row[1], Type: Type(row[2]), Region: row[3], From: row[4], Until: row[5],
			Successors: list(row[6]), Former: list(row[7]),
		})
	}
	return out, nil
}

// plan adds the councils that begin by reorganisations, and ends those that they follow
// on the day before.
func plan(list []Council, text string) ([]Council, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != "name,type,region,from,follows" {
		return nil, fmt.Errorf("the first row is not name,type,region,from,follows")
	}
	for _, row := range rows[1:] {
		from, err := time.Parse(time.DateOnly, row[3])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row[0], err)
		}
		for _, code := range strings.Fields(row[4]) {
			i := slices.IndexFunc(list, func(c Council) bool { return c.GSS == code })
			last := from.AddDate(0, 0, -1).Format(time.DateOnly)
			if i < 0 || list[i].Until != "" && list[i].Until != last {
				return nil, fmt.Errorf("%s: %s is no council that ends on %s", row[0], code, last)
			}
			list[i].Until, list[i].Next = last, append(list[i].Next, row[0])
		}
		list = append(list, Council{Name: row[0], Type: Type(row[1]), Region: row[2], From: row[3]})
	}
	slices.SortStableFunc(list, func(a, b Council) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

const header = "gss,name,type,region,from,until,successors,former"

// All returns every council of the list, by name and then by code: those that
// are and those that were.
func All() []Council { return slices.Clone(load().all) }

// ByGSS returns the council that has, or had, an ONS code.
func ByGSS(code string) (Council, bool) {
	t := load()
	i, ok := t.code[code]
	if !ok {
		return Council{}, false
	}
	return t.all[i], true
}

// series are the first three letters of the codes of each type: ONS gives councils of a kind
// codes of one series.
var series = map[string]Type{"E06": Unitary, "E07": District, "E08": MetropolitanDistrict, "E09": LondonBorough, "E10": County}

// TypeOf says what kind of council has a code: by the list, and of one that is not in it,
// such as a council that is made up, by the series of its code.
func TypeOf(code string) (Type, bool) {
	if c, ok := ByGSS(code); ok {
		return c.Type, true
	}
	if len(code) != len("E07000999") {
		return "", false
	}
	t, ok := series[code[:3]]
	return t, ok
}

// At returns the councils that were there on the day of t.
func At(t time.Time) []Council {
	return slices.DeleteFunc(All(), func(c Council) bool { return !c.At(t) })
}

// Regions returns the names of the nine regions, sorted.
func Regions() (out []string) {
	for _, c := range load().all {
		out = append(out, c.Region)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
