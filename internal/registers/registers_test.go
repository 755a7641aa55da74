package registers

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
	"github.com/stile-exchange/stile/schemas/councils"
)

// TestDescribed: each register lists open fields of a standard that comes with Stile, and
// groups and draws by columns that it has.
func TestDescribed(t *testing.T) {
	for _, d := range All() {
		tab := &Table{Description: d}
		for _, g := range d.Groups {
			if g.Column != "" && tab.at(g.Column) < 0 {
				t.Errorf("%s: no column is called %q", d.ID, g.Column)
			}
		}
		for _, g := range d.Groups {
			for _, also := range []string{g.And, g.Where, g.Soon} {
				if also != "" && tab.at(also) < 0 {
					t.Errorf("%s: no column is called %q", d.ID, also)
				}
			}
		}
		for _, shown := range slices.Concat([]string{d.Chart, d.Map, d.Links, d.State}, d.Under, d.Key) {
			if shown != "" && tab.at(shown) < 0 {
				t.Errorf("%s: no column is called %q", d.ID, shown)
			}
		}
		if d.made != nil {
			continue
		}
		stds, err := catalogue.Shipped(d.Standard)
		if err != nil || len(stds) == 0 {
			t.Fatalf("%s: %v", d.ID, err)
		}
		std := stds[0] // the newest, which has every field
		for _, c := range d.Columns {
			if c.Pointer == "" {
				if d.also == nil {
					t.Errorf("%s: nothing says what stands in %q", d.ID, c.Title)
				}
				continue
			}
			if class := std.Class(name.Field(c.Pointer)); class != standard.Open {
				t.Errorf("%s: %s is %s in %s", d.ID, c.Pointer, class, d.Standard)
			}
			filled := false
			for _, e := range examples(std) {
				filled = filled || len(values(e, strings.Split(c.Pointer, "/")[1:])) > 0
			}
			if !filled && c.Pointer != "/reference" {
				t.Errorf("%s: no example of %s has anything at %s", d.ID, d.Standard, c.Pointer)
			}
		}
	}
}

func examples(s *standard.Standard) (all []any) {
	valid, _ := s.Examples()
	for _, e := range valid {
		var v any
		if json.Unmarshal(e.Text, &v) == nil {
			all = append(all, v)
		}
	}
	return all
}

func table() *Table {
	d := Description{
		ID: "tools", Title: "Tools", Standard: "digital-tool", Chart: "Ends",
		Columns: []Column{{"Product", "/product"}, {"Ends", "/ends"}, {"For", "/for"}},
		Groups:  []Group{{Title: "By product", Column: "Product"}, {Title: "By year", Column: "Ends", Length: 4}, {Title: "Least first", Column: "For", Every: true}},
	}
	row := func(c name.Council, product, ends string, whom ...string) Row {
		return Row{Council: c, Record: "r", Cells: [][]string{{product}, {ends}, whom}}
	}
	t := &Table{Description: d, Us: "a.gov.uk", Made: time.Unix(0, 0).UTC(), Rows: []Row{
		row("a.gov.uk", "Acre", "2027-01-31", "E1"), row("b.gov.uk", "Acre", "2027-11-30", "E1", "E2"), row("b.gov.uk", "=Bay<script>", "2026-12-01"),
	}}
	t.Members, t.titles = []string{"E1", "E2", "E3"}, map[string]string{"E2": "East", "E3": "West"}
	for _, g := range d.Groups {
		t.Counts = append(t.Counts, t.count(g))
	}
	return t
}

// TestCounts: a value is counted once for each record, with who says so; years are in
// their order, and who has least comes first, those with nothing among them.
func TestCounts(t *testing.T) {
	tab := table()
	said := func(c Count) (s []string) {
		for _, l := range c.Lines {
			s = append(s, l.Value+" "+string(rune('0'+l.Records))+" "+strings.Join(l.names(), ", "))
		}
		return s
	}
	for i, want := range [][]string{
		{"Acre 2 a.gov.uk, b.gov.uk", "=Bay<script> 1 b.gov.uk"},
		{"2026 1 b.gov.uk", "2027 2 a.gov.uk, b.gov.uk"},
		{"E3 0 ", "E2 1 b.gov.uk", "not said 1 b.gov.uk", "E1 2 a.gov.uk, b.gov.uk"},
	} {
		if got := said(tab.Counts[i]); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tab.Counts[i].Title, got, want)
		}
	}
	if got, want := tab.Counts[2].Lines[0].Title(), "West (E3)"; got != want {
		t.Errorf("a council that no list names is called %q, want %q as in the directory", got, want)
	}
	bars := tab.Bars()
	if len(bars) != 5 || bars[0].Quarter != "2026 Q4" || bars[4].Quarter != "2027 Q4" || bars[0].Records != 1 || bars[2].Records != 0 {
		t.Errorf("bars: %+v", bars)
	}
}

// TestEach: of a record with a list, each item makes a line, one without it one line, and a
// pair of values counts who has a number above zero.
func TestEach(t *testing.T) {
	tab := &Table{Description: Description{
		Each: "/standards", Columns: []Column{{"Product", "/product"}, {"Standard", "/standards/*/standard"}, {"Valid", "/standards/*/valid"}},
		Groups: []Group{{Title: "pairs", Column: "Product", And: "Standard", Where: "Valid"}},
	}}
	for council, text := range map[name.Council]string{
		"a.gov.uk": `{"product":"Acre","standards":[{"standard":"s/trees@1","valid":3},{"standard":"s/roads@1","valid":0}]}`,
		"b.gov.uk": `{"product":"Acre","standards":[{"standard":"s/trees@1","valid":9}]}`,
		"c.gov.uk": `{"product":"Bay"}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		tab.Rows = append(tab.Rows, tab.rows(council, "r", v)...)
	}
	if len(tab.Rows) != 4 {
		t.Errorf("%d lines: %v", len(tab.Rows), tab.Rows)
	}
	c := tab.count(tab.Groups[0])
	if len(c.Lines) != 1 || c.Lines[0].Value != "Acre: s/trees@1" || !slices.Equal(c.Lines[0].Councils, []name.Council{"a.gov.uk", "b.gov.uk"}) {
		t.Errorf("%+v", c.Lines)
	}
}

// TestFiles: what a council says is text in a spreadsheet too, and each file that the
// catalogue names is there.
func TestFiles(t *testing.T) {
	tab := table()
	files := tab.Files(Publication{})
	if sheet := string(files["tools.csv"]); !strings.Contains(sheet, "'=Bay") {
		t.Errorf("a formula: %s", sheet)
	}
	var meta struct {
		URL         string
		TableSchema struct {
			Columns []struct{ Name, Datatype, Separator string }
		}
	}
	if err := json.Unmarshal(files["tools.csv-metadata.json"], &meta); err != nil || meta.URL != "tools.csv" || len(meta.TableSchema.Columns) != 5 {
		t.Errorf("%+v, %v", meta, err)
	}
	kinds := map[string]string{}
	for _, c := range meta.TableSchema.Columns {
		kinds[c.Name] = c.Datatype + c.Separator
	}
	if want := map[string]string{"council": "string", "record": "string", "product": "string", "ends": "date", "for": "string; "}; !maps.Equal(kinds, want) {
		t.Errorf("columns are %v, want %v", kinds, want)
	}
	var cat struct {
		Context map[string]any `json:"@context"`
		Sets    []struct {
			Files []struct {
				URL string `json:"dcat:downloadURL"`
			} `json:"dcat:distribution"`
		} `json:"dcat:dataset"`
	}
	if err := json.Unmarshal(Catalogue(Publication{Us: Agent{Council: "a.gov.uk"}, Base: "https://a.gov.uk/open"}, ".html", []*Table{tab}), &cat); err != nil || len(cat.Sets) != 1 || len(cat.Sets[0].Files) != 2 {
		t.Fatalf("%+v, %v", cat, err)
	}
	for _, address := range []string{"dcat:downloadURL", "dcat:mediaType", "dct:conformsTo", "foaf:homepage"} {
		if term, _ := cat.Context[address].(map[string]any); term["@type"] != "@id" || term["@id"] != address {
			t.Errorf("%s is a text to who reads the catalogue as a graph: %v", address, cat.Context[address])
		}
	}
	// Whatever it names by an address has a class beside it, as the shapes of DCAT-AP want.
	var graph map[string]any
	if err := json.Unmarshal(Catalogue(Publication{Us: Agent{Council: "a.gov.uk"}, Base: "https://a.gov.uk/open", Licence: Licence{Address: "https://l.example/1"}}, ".html", []*Table{tab}), &graph); err != nil {
		t.Fatal(err)
	}
	delete(graph, "@context")
	named := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if v["@id"] != nil {
				named++
				if v["@type"] == nil {
					t.Errorf("of what class is %v?", v["@id"])
				}
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	if walk(graph); named < 15 {
		t.Errorf("%d things are named by an address", named)
	}
	for _, licence := range []string{"", "https://l.example/1"} {
		p := Publication{Base: "https://a.gov.uk/open", Licence: Licence{Address: licence}}
		for file, said := range map[string]int{"tools.csv-metadata.json": 1, "tools.json": 1, "catalogue.jsonld": 4} { // the catalogue, a set, two files
			text := tab.Files(p)[file]
			if text == nil {
				text = Catalogue(p, ".html", []*Table{tab})
			}
			n := strings.Count(string(text), `"https://l.example/1"`)
			if licence == "" && (n > 0 || strings.Contains(string(text), "licen")) || licence != "" && n != said {
				t.Errorf("%s with the licence %q says it %d times: %s", file, licence, n, text)
			}
		}
	}
	for _, f := range cat.Sets[0].Files {
		if files[strings.TrimPrefix(f.URL, "https://a.gov.uk/open/")] == nil {
			t.Errorf("the catalogue names %s", f.URL)
		}
	}
}

// TestNumbersStay: a whole number below nought is no formula, and its column is one of numbers.
func TestNumbersStay(t *testing.T) {
	tab := &Table{Description: Description{ID: "sums", Columns: []Column{{Title: "Sum"}}}, Rows: []Row{{Cells: texts("-5")}, {Cells: texts("7")}}}
	if sheet := string(tab.CSV()); sheet != "sum\n-5\n7\n" {
		t.Errorf("%q", sheet)
	}
	if m := string(tab.Metadata(Licence{})); !strings.Contains(m, `"datatype": "integer"`) {
		t.Error(m)
	}
	tab.Rows = append(tab.Rows, Row{Cells: texts("-5+cmd")})
	if sheet := string(tab.CSV()); !strings.HasSuffix(sheet, "'-5+cmd\n") {
		t.Errorf("a formula: %q", sheet)
	}
}

// TestTally: a position is held by more than half of a kind when it is, districts are no
// safeguarding authorities, and nobody counts twice.
func TestTally(t *testing.T) {
	kind := map[name.Council]councils.Type{"a.gov.uk": councils.Unitary, "b.gov.uk": councils.Unitary, "c.gov.uk": councils.District}
	of := map[councils.Type]int{councils.Unitary: 3, councils.District: 4}
	say := func(c name.Council, position string) Row {
		return Row{Council: c, Cells: texts("v2", "body.example", position)}
	}
	got := map[string]string{}
	for _, r := range tally([]Row{say("a.gov.uk", "support"), say("a.gov.uk", "support"), say("b.gov.uk", "support"), say("c.gov.uk", "support"), say("region.example", "oppose"), say("new.example", "oppose")}, kind, of, map[name.Council]councils.Type{"a.gov.uk": councils.Unitary, "c.gov.uk": councils.District, "new.example": ""}) {
		got[one(r.Cells[2])+", "+one(r.Cells[3])] = one(r.Cells[4]) + "/" + one(r.Cells[5]) + " " + one(r.Cells[7])
	}
	want := map[string]string{"support, all councils": "3/7 no", "support, safeguarding authorities": "2/3 yes", "support, unitary": "2/3 yes", "support, district": "1/4 no",
		"support, councils of the directory": "2/3 yes", "oppose, councils of the directory": "1/3 no", "support, safeguarding authorities of the directory": "1/1 yes"}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestMet: a law asks for records from its day on, and only of the kinds of council that it
// names; of a council whose kind is not known it asks them.
func TestMet(t *testing.T) {
	education := schemas.Duty{From: "2014-09-01", NotOn: []string{string(councils.District)}}
	for _, c := range []struct {
		law     schemas.Duty
		records int
		kind    councils.Type
		today   string
		want    string
	}{
		{education, 0, councils.Unitary, "2026-11-30", "not yet"},
		{education, 0, "", "2026-11-30", "not yet"},
		{education, 0, councils.District, "2026-11-30", "not of our kind of council"},
		{education, 3, councils.District, "2026-11-30", "yes"},
		{education, 0, councils.Unitary, "2014-08-31", "not asked for yet"},
		{schemas.Duty{Pending: true}, 0, councils.Unitary, "2026-11-30", "not asked for yet"},
	} {
		if got := met(c.law, c.records, c.kind, c.today); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestTotals: counts are added up over councils, and what is suppressed is in no sum.
func TestTotals(t *testing.T) {
	said := func(c name.Council, group, heads, suppressed string) Row {
		return Row{Council: c, Cells: texts("2026", "sex", group, "all", heads, suppressed)}
	}
	var got []string
	for _, r := range totals([]Row{said("a.gov.uk", "female", "60", "no"), said("b.gov.uk", "female", "120", "no"), said("a.gov.uk", "male", "20", "no"), said("b.gov.uk", "male", "", "yes"), said("a.gov.uk", "other", "", "yes"),
		{Council: "a.gov.uk", Cells: texts("2026", "age", "under 30", "all", "107", "no")}, {Council: "a.gov.uk", Cells: texts("2026", "age", "over 30", "all", "293", "no")}}) {
		var cells []string
		for _, vs := range r.Cells {
			cells = append(cells, one(vs))
		}
		got = append(got, strings.Join(cells, ","))
	}
	slices.Sort(got)
	want := []string{"2026,age,all,over 30,293,73%,1,0", "2026,age,all,under 30,107,27%,1,0", "2026,sex,all,female,180,,2,0", "2026,sex,all,male,20,,1,1", "2026,sex,all,other,,,0,1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSoon: what ends on a day gone by or after a year does not count as ending soon, nor
// what did not flow towards the goal, and a register says how far from its goal it is.
func TestSoon(t *testing.T) {
	tab := &Table{Made: time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC), Description: Description{Goal: Goal{15, "2030"},
		Columns: []Column{{Title: "Product"}, {Title: "Ends"}, {Title: "Records"}}}}
	for _, r := range [][]string{{"Acre", "2026-11-28", "1"}, {"Acre", "2026-11-29", "0"}, {"Bay", "2027-11-28", "2"}, {"Bay", "2027-11-29", "2"}, {"Cob", "", "0"}} {
		tab.Rows = append(tab.Rows, Row{Council: "a.gov.uk", Cells: texts(r...)})
	}
	soon := tab.count(Group{Column: "Product", Soon: "Ends"})
	if len(soon.Lines) != 2 || soon.Lines[0].Records != 1 || soon.Lines[1].Records != 1 {
		t.Errorf("soon: %+v", soon.Lines)
	}
	tab.Counts = []Count{tab.count(Group{Column: "Product", Where: "Records"})}
	if n := tab.Reached(); n != 2 {
		t.Errorf("%d of the goal are reached, want 2", n)
	}
	var told struct{ Goal map[string]any }
	if err := json.Unmarshal(tab.JSON(Licence{}), &told); err != nil || told.Goal["reached"] != 2.0 || told.Goal["of"] != 15.0 || told.Goal["by"] != "2030" {
		t.Errorf("%v, %v", told, err)
	}
}

// TestNeeds: what councils state is counted and nothing else. A challenge is no need where
// there was help in its service, or when it is over; nor is a standard of which a record was
// counted in any version. Most needs come first, then least help.
func TestNeeds(t *testing.T) {
	row := func(c name.Council, cells ...string) Row { return Row{Council: c, Cells: texts(cells...)} }
	statement := func(gss, std string, records int) node.AdoptionRow {
		s, err := name.ParseStandard(std)
		if err != nil {
			t.Fatal(err)
		}
		return node.AdoptionRow{GSS: gss, Statement: node.Statement{Standard: s, Records: records}}
	}
	told := evidence{
		help: []Row{{Cells: [][]string{{"E1", "E2"}, {"adult-social-care"}}}, row("r.gov.uk", "E1", "housing")},
		challenges: []Row{
			row("a.gov.uk", "E1", "Housing", "idea", "", "C-1"),           // helped
			row("a.gov.uk", "E1", "planning", "beta", "", "C-2"),          // a need
			row("b.gov.uk", "E2", "Adult social care", "alpha", "", "D1"), // helped
			row("b.gov.uk", "E2", "", "discovery", "2026-12-24", "D2"),    // a need: it ends later
			row("b.gov.uk", "E2", "waste", "idea", "2026-11-01", "D3"),    // over
			row("b.gov.uk", "E2", "waste", "live", "", "D4"),              // over
		},
		assents: []Row{
			row("c.gov.uk", "E3", "same-problem", "a.gov.uk", "C-1"), // a need
			row("c.gov.uk", "E3", "takes-part", "b.gov.uk", "D9"),    // a need, of which more is not known
			row("c.gov.uk", "E3", "not-here", "a.gov.uk", "C-2"),
			row("c.gov.uk", "E3", "same-problem", "b.gov.uk", "D4"), // over
			row("a.gov.uk", "E1", "same-problem", "b.gov.uk", "D1"), // helped
		},
		statements: []node.AdoptionRow{
			statement("E2", "s.example/duty@1.0.0", 0), statement("E2", "s.example/duty@2.0.0", 5), statement("E3", "s.example/duty@1.0.0", 0), statement("E3", "s.example/habit@1.0.0", 0), statement("", "s.example/duty@1.0.0", 0),
			statement("E07000997", "s.example/duty@1.0.0", 0), // a district, which the law does not ask
		},
		laws: map[name.StandardName][]schemas.Duty{"s.example/duty": {{From: "2020-01-01", NotOn: []string{string(councils.District)}}}, "s.example/habit": {{Pending: true}}},
	}
	var got []string
	for _, r := range told.rows(map[string]string{"E1": "East", "E4": "North", "E0": "Up"}, "2026-11-29") {
		var cells []string
		for _, vs := range r.Cells {
			cells = append(cells, one(vs))
		}
		got = append(got, strings.Join(cells, ","))
	}
	want := []string{"E3,E3,0,2,1,1,4,0", "E07000997,E07000997,0,0,0,1,1,0", "E2,E2,1,0,0,0,1,1", "East,E1,1,0,0,0,1,2", "Up,E0,0,0,0,0,0,0", "North,E4,0,0,0,0,0,0"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if rows := (&evidence{}).rows(map[string]string{"E1": "East"}, "2026-11-29"); rows != nil {
		t.Errorf("of nothing: %v", rows)
	}
	tab := &Table{Description: described("needs"), Rows: told.rows(nil, "2026-11-29")}
	if mapped := tab.Mapped(); !slices.Equal(mapped, []string{"E3", "E07000997", "E2", "E1"}) {
		t.Errorf("the map has %v", mapped)
	}
}

// A set is what ckanext-dcat (profiles euro_dcat_ap_base and base) and data.gov.uk's guidance on
// DCAT read of a set of data.
type set struct {
	ID         string `json:"@id"`
	Identifier string `json:"dct:identifier"`
	Title      string `json:"dct:title"`
	Text       string `json:"dct:description"`
	Publisher  struct {
		Name string `json:"foaf:name"`
		Box  string `json:"foaf:mbox"`
		Home struct {
			ID string `json:"@id"`
		} `json:"foaf:homepage"`
		Kind struct {
			ID string `json:"@id"`
		} `json:"dct:type"`
	} `json:"dct:publisher"`
	Contact struct {
		Type []string `json:"@type"`
		Name string   `json:"vcard:fn"`
		Box  string   `json:"vcard:hasEmail"`
		Page string   `json:"vcard:hasURL"`
	} `json:"dcat:contactPoint"`
	Keywords []string `json:"dcat:keyword"`
	Themes   []struct {
		ID     string `json:"@id"`
		Label  string `json:"skos:prefLabel"`
		Scheme string `json:"skos:inScheme"`
	} `json:"dcat:theme"`
	Areas []struct {
		ID    string `json:"@id"`
		Label string `json:"rdfs:label"`
	} `json:"dct:spatial"`
	Licence struct {
		ID    string `json:"@id"`
		Title string `json:"dct:title"`
	} `json:"dct:license"`
	Files []struct {
		Format struct {
			Type  []string `json:"@type"`
			Label string   `json:"rdfs:label"`
		} `json:"dct:format"`
	} `json:"dcat:distribution"`
}

// TestHarvested: a catalogue tells a harvester, of each set of data, whom to ask, what it is
// about, of which areas, and who publishes it, and an address is told as one.
func TestHarvested(t *testing.T) {
	tools := table()
	tools.Lead = "Which tools there are."
	tools.Std, tools.codes, tools.titles = name.Standard{Name: "standards.stile.example/digital-tool"}, map[name.Council]string{"a.gov.uk": "E07000998", "b.gov.uk": "no code/1"}, map[string]string{"E07000998": "Aston"}
	duties := &Table{Description: described("obligations"), Us: "a.gov.uk", Rows: []Row{{Cells: texts("x")}}}
	shares := &Table{Description: described("adoption"), Us: "a.gov.uk", Rows: []Row{{Cells: texts("x")}}}
	read := func(contact string) (all []set) {
		p := Publication{Base: "https://a.gov.uk/open", Licence: Licence{"https://l.example/1", "Licence 1"}, Us: Agent{Council: "a.gov.uk", Title: "Aston Council", GSS: "E07000998", Role: "council", Contact: contact}}
		var c struct {
			Context map[string]any `json:"@context"`
			Sets    []set          `json:"dcat:dataset"`
		}
		if err := json.Unmarshal(Catalogue(p, ".html", []*Table{tools, duties, shares}), &c); err != nil || len(c.Sets) != 3 {
			t.Fatalf("%d sets, %v", len(c.Sets), err)
		}
		for _, address := range []string{"vcard:hasEmail", "vcard:hasURL", "foaf:mbox", "skos:inScheme"} {
			if term, _ := c.Context[address].(map[string]any); term["@type"] != "@id" {
				t.Errorf("%s is a text to who reads the catalogue as a graph", address)
			}
		}
		return c.Sets
	}
	sets := read("data@a.gov.uk")
	for _, s := range sets {
		if !strings.HasPrefix(s.Identifier, "https://a.gov.uk/open/") || s.Title == "" || s.Text == "" || s.Licence.ID == "" || s.Licence.Title != "Licence 1" {
			t.Errorf("%s has not what data.gov.uk asks for: %+v", s.ID, s)
		}
		if p := s.Publisher; p.Name != "Aston Council" || p.Box != "mailto:data@a.gov.uk" || p.Home.ID != "https://a.gov.uk" || p.Kind.ID != "http://purl.org/adms/publishertype/LocalAuthority" {
			t.Errorf("%s is published by %+v", s.ID, p)
		}
		if c := s.Contact; c.Name != "Aston Council" || c.Box != "mailto:data@a.gov.uk" || c.Page != "" || !slices.Contains(c.Type, "vcard:Kind") {
			t.Errorf("%s: whom to ask is %+v", s.ID, c)
		}
		if len(s.Themes) == 0 || len(s.Keywords) == 0 || strings.Contains(strings.Join(s.Keywords, ""), ",") {
			t.Errorf("%s is about %v, %q", s.ID, s.Themes, s.Keywords)
		}
		for _, theme := range s.Themes {
			if theme.Label == "" || theme.ID != theme.Scheme+"/"+theme.ID[strings.LastIndexByte(theme.ID, '/')+1:] {
				t.Errorf("%s: the theme %+v", s.ID, theme)
			}
		}
		for i, f := range s.Files {
			if f.Format.Label != []string{"CSV", "JSON"}[i] || !slices.Contains(f.Format.Type, "dct:IMT") {
				t.Errorf("%s: CKAN would call a file %+v", s.ID, f.Format)
			}
		}
	}
	if got := sets[0].Themes[0].ID; got != "http://publications.europa.eu/resource/authority/data-theme/TECH" {
		t.Errorf("tools are about %s", got)
	}
	// Of the tools only what one council has is told, since the other has no code; the duties
	// are ours, and the shares are counted over all.
	for i, want := range []string{"Aston", "Aston Council", ""} {
		if got := sets[i].Areas; want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0].ID != "http://statistics.data.gov.uk/id/statistical-geography/E07000998" || got[0].Label != want) {
			t.Errorf("%s is of %+v, want %q", sets[i].ID, got, want)
		}
	}
	for contact, want := range map[string]string{"": "https://a.gov.uk", "https://a.gov.uk/ask": "https://a.gov.uk/ask", "javascript://a": "https://a.gov.uk", "the digital team": "https://a.gov.uk", "Ann <ann@a.gov.uk>": "https://a.gov.uk"} {
		if s := read(contact)[0]; s.Contact.Page != want || s.Contact.Box != "" || s.Publisher.Box != "" {
			t.Errorf("with the contact %q one asks at %+v", contact, s.Contact)
		}
	}
}

// TestAbout: what each register is about is known.
func TestAbout(t *testing.T) {
	for _, d := range All() {
		tab := &Table{Description: d}
		if d.Standard != "" {
			tab.Std.Name = name.StandardName("standards.stile.example/" + d.Standard)
		}
		if s := tab.Subject(); len(s.Themes) == 0 || len(s.Keywords) == 0 {
			t.Errorf("%s is about nothing", d.ID)
		}
		for _, of := range d.About {
			if !slices.Contains(schemas.Subjects(), of) {
				t.Errorf("%s is made of records of %s, which does not come with Stile", d.ID, of)
			}
		}
		if (d.made != nil) != (len(d.About) > 0) {
			t.Errorf("%s: About is for registers that are made", d.ID)
		}
	}
}
