package councils

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func day(t *testing.T, s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// How many councils there were of each type, as is known from elsewhere: 353
// before April 2019, 343, 339, 333, and 317 since April 2023.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		on                                      string
		all, county, district, unitary, met, lo int
	}{
		{"2019-03-31", 353, 27, 201, 55, 36, 32},
		{"2019-04-01", 343, 26, 192, 55, 36, 32},
		{"2020-03-31", 343, 26, 192, 55, 36, 32},
		{"2020-04-01", 339, 25, 188, 56, 36, 32},
		{"2021-04-01", 333, 24, 181, 58, 36, 32},
		{"2023-03-31", 333, 24, 181, 58, 36, 32},
		{"2023-04-01", 317, 21, 164, 62, 36, 32},
		{"2026-11-22", 317, 21, 164, 62, 36, 32},
		{"2027-03-31", 317, 21, 164, 62, 36, 32},
		{"2027-04-01", 307, 20, 153, 64, 36, 32},
	} {
		n := map[Type]int{}
		for _, x := range At(day(t, c.on)) {
			n[x.Type]++
		}
		want := map[Type]int{County: c.county, District: c.district, Unitary: c.unitary, MetropolitanDistrict: c.met, LondonBorough: c.lo, CityOfLondon: 1, IslesOfScilly: 1}
		if !maps.Equal(n, want) {
			t.Errorf("%s: got %v, want %v", c.on, n, want)
		}
		if got := len(At(day(t, c.on))); got != c.all {
			t.Errorf("%s: %d councils, want %d", c.on, got, c.all)
		}
	}
	if len(All()) != 367 || len(Regions()) != 9 {
		t.Errorf("%d councils in %d regions", len(All()), len(Regions()))
	}
}

// Every reorganisation from 2019 to 2023: who went when, and into what.
func TestReorganisations(t *testing.T) {
	for _, c := range []struct {
		until string
		into  string // name of the successors, by code
		gone  string
	}{
		{"2019-03-31", "Bournemouth, Christchurch and Poole", "Bournemouth, Christchurch, Poole"},
		{"2019-03-31", "Dorset Council", "Dorset County, East Dorset, North Dorset, Purbeck, West Dorset, Weymouth and Portland"},
		{"2019-03-31", "East Suffolk", "Suffolk Coastal, Waveney"},
		{"2019-03-31", "West Suffolk", "Forest Heath, St Edmundsbury"},
		{"2019-03-31", "Somerset West and Taunton", "Taunton Deane, West Somerset"},
		{"2020-03-31", "Buckinghamshire", "Aylesbury Vale, Buckinghamshire County, Chiltern, South Bucks, Wycombe"},
		{"2021-03-31", "North Northamptonshire+West Northamptonshire", "Northamptonshire"},
		{"2021-03-31", "North Northamptonshire", "Corby, East Northamptonshire, Kettering, Wellingborough"},
		{"2021-03-31", "West Northamptonshire", "Daventry, Northampton, South Northamptonshire"},
		{"2023-03-31", "Cumberland+Westmorland and Furness", "Cumbria"},
		{"2023-03-31", "Cumberland", "Allerdale, Carlisle, Copeland"},
		{"2023-03-31", "Westmorland and Furness", "Barrow-in-Furness, Eden, South Lakeland"},
		{"2023-03-31", "North Yorkshire", "Craven, Hambleton, Harrogate, North Yorkshire, Richmondshire, Ryedale, Scarborough, Selby"},
		{"2023-03-31", "Somerset", "Mendip, Sedgemoor, Somerset, Somerset West and Taunton, South Somerset"},
	} {
		var gone []string
		for _, x := range All() {
			var into []string
			for _, s := range x.Successors {
				n, ok := ByGSS(s)
				if !ok {
					t.Fatalf("%s was succeeded by %s, which is not in the list", x.Name, s)
				}
				into = append(into, n.Name)
			}
			if len(into) > 0 && x.Until == c.until && strings.Join(into, "+") == c.into {
				gone = append(gone, x.Name)
			}
		}
		if got := strings.Join(gone, ", "); got != c.gone {
			t.Errorf("into %s on %s: got %s, want %s", c.into, c.until, got, c.gone)
		}
	}
}

func TestRows(t *testing.T) {
	seen := map[string]bool{}
	prefix := map[Type]string{County: "E10", District: "E07", MetropolitanDistrict: "E08", Unitary: "E06", LondonBorough: "E09", CityOfLondon: "E09", IslesOfScilly: "E06"}
	for _, c := range All() {
		if c.GSS == "" { // planned
			if c.Type != Unitary || c.From <= "2026" || !slices.Contains(Regions(), c.Region) {
				t.Errorf("%+v", c)
			}
			continue
		}
		for _, code := range append([]string{c.GSS}, c.Former...) {
			if len(code) != 9 || seen[code] {
				t.Errorf("%s: code %q is none, or is there twice", c.Name, code)
			}
			seen[code] = true
		}
		if !slices.Contains(Types(), c.Type) || !strings.HasPrefix(c.GSS, prefix[c.Type]) {
			t.Errorf("%s: code %s does not fit type %q", c.Name, c.GSS, c.Type)
		}
		if (c.Until == "") != (len(c.Successors)+len(c.Next) == 0) || c.Until != "" && c.From > c.Until {
			t.Errorf("%+v", c)
		}
	}
	for code, want := range map[string]string{"E06000066": "Somerset, South West", "E10000007": "Derbyshire, East Midlands", "E10000019": "Lincolnshire, East Midlands",
		"E08000016": "Barnsley, Yorkshire and The Humber", "E08000038": "Barnsley, Yorkshire and The Humber", "E06000048": "Northumberland, North East", "E09000001": "City of London, London"} {
		if c, ok := ByGSS(code); !ok || c.Name+", "+c.Region != want {
			t.Errorf("%s: got %s, %s, want %s", code, c.Name, c.Region, want)
		}
	}
	if c, ok := ByGSS("E07000998"); ok {
		t.Errorf("a code nobody has is %s", c.Name)
	}
}

// Surrey's twelve give way to two on 1 April 2027, of which the county is both's.
func TestPlanned(t *testing.T) {
	next := map[string]int{}
	for _, c := range All() {
		for _, n := range c.Next {
			next[n]++
		}
		if len(c.Next) > 0 && c.Until != "2027-03-31" {
			t.Errorf("%+v", c)
		}
	}
	if surrey, _ := ByGSS("E10000030"); next["East Surrey"] != 6 || next["West Surrey"] != 7 || !slices.Equal(surrey.Next, []string{"East Surrey", "West Surrey"}) {
		t.Errorf("%v", next)
	}
	if c, ok := ByGSS(""); ok {
		t.Errorf("no code is %s", c.Name)
	}
	for _, text := range []string{"", "name\n", "name,type,region,from,follows\nX,unitary,London,2027-04-31,E07000207\n", "name,type,region,from,follows\nX,unitary,London,2027-04-01,E07009999\n", "name,type,region,from,follows\nX,unitary,London,2030-04-01,E07000004\n"} {
		if _, err := plan(All(), text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestBadList(t *testing.T) {
	for _, text := range []string{"", "gss,name\n", header + "\nE06\n"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestTypeOf: the series of a code says the kind of a council as the list does, and of one that
// is not in it.
func TestTypeOf(t *testing.T) {
	for _, c := range All() {
		if c.GSS == "" {
			continue
		}
		if by := series[c.GSS[:3]]; by != c.Type && c.Type != CityOfLondon && c.Type != IslesOfScilly {
			t.Errorf("%s is a %s, and by its code a %s", c.Name, c.Type, by)
		}
	}
	for code, want := range map[string]Type{"E07000998": District, "E10000999": County, "E09000001": CityOfLondon, "E06000053": IslesOfScilly, "E07": "", "": "", "S12000033": ""} {
		if got, ok := TypeOf(code); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", code, got, ok)
		}
	}
}
