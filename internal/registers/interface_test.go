package registers

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node"
)

// offered is a register of three services, translated as they are when records are read.
func offered(t *testing.T) *Table {
	t.Helper()
	tab := &Table{Description: described("service-directory"), form: translation.Shipped("open-referral-uk")}
	for i, text := range []string{
		`{"id":"11111111-1111-4111-8111-111111111111","council":"E07000998","name":"Lunch club","status":"active","minimum_age":60,"topics":["older people","food"],"languages":["cy"],
			"organisation":{"name":"Acre"},"places":[{"name":"Hall","postcode":"NM1 2AB","latitude":52.0,"longitude":0.1},{"name":"Annexe","postcode":"NM1 9ZZ","latitude":52.01,"longitude":0.1}]}`,
		`{"id":"22222222-2222-4222-8222-222222222222","council":"E07000998","name":"Youth club","status":"active","minimum_age":11,"maximum_age":18,"topics":["young people","food"],"organisation":{"name":"Bay"},
			"places":[{"name":"Barn","postcode":"NM2 1AA","latitude":52.1,"longitude":0.1},{"name":"Anywhere","postcode":"NM3 3CC"}]}`,
		`{"id":"33333333-3333-4333-8333-333333333333","council":"E07000998","name":"Advice line","status":"active","organisation":{"name":"Acre"}}`,
	} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		tab.formed = append(tab.formed, tab.form.Out(v, tab.known(v, 1, time.Date(2026, 11, 1+i, 9, 0, 0, 0, time.UTC))))
	}
	return tab
}

type page struct {
	Total    int              `json:"total_items"`
	Pages    int              `json:"total_pages"`
	Contents []map[string]any `json:"contents"`
}

// lists asks the interface.
func (t *Table) lists(test *testing.T, call, query string) (p page) {
	test.Helper()
	asked, err := url.ParseQuery(query)
	if err != nil {
		test.Fatal(err)
	}
	b, err := t.List(call, asked, nil)
	if err != nil {
		test.Fatalf("%s?%s: %v", call, query, err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		test.Fatal(err)
	}
	return p
}

// TestSearched: services are found by text, term, age, time and place, and what records do not
// hold is refused.
func TestSearched(t *testing.T) {
	tab := offered(t)
	terms := tab.lists(t, "taxonomy_terms", "").Contents
	term := func(name string) string {
		i := slices.IndexFunc(terms, func(m map[string]any) bool { return m["name"] == name })
		if i < 0 {
			t.Fatalf("no term is called %q: %v", name, terms)
		}
		return terms[i]["id"].(string)
	}
	for query, want := range map[string]string{
		"":                                                "Lunch club, Youth club, Advice line",
		"search=ACRE":                                     "Lunch club, Advice line",
		"taxonomy_term_id=" + term("food"):                "Lunch club, Youth club",
		"taxonomy_id=x":                                   "",
		"minimum_age=18":                                  "Lunch club",
		"minimum_age=11":                                  "Lunch club, Youth club",
		"maximum_age=18":                                  "Youth club",
		"maximum_age=17.5":                                "",
		"modified_after=2026-11-02":                       "Youth club, Advice line",
		"modified_after=2026-11-02T09:00:01Z":             "Advice line",
		"postcode=nm12ab&proximity=500":                   "Lunch club",
		"postcode=NM1+2AB&proximity=11000":                "Lunch club",
		"postcode=NM1+2AB&proximity=11200":                "Lunch club, Youth club", // a tenth of a degree north is 11.1 km
		"postcode=NM1+2AB&proximity=11200&search=bay":     "Youth club",
		"taxonomy_id=" + terms[0]["taxonomy_id"].(string): "Lunch club, Youth club",
		"per_page=1&page=3":                               "Advice line",
	} {
		var names []string
		for _, s := range tab.lists(t, "services", query).Contents {
			names = append(names, s["name"].(string))
		}
		if got := strings.Join(names, ", "); got != want {
			t.Errorf("services?%s are %q, want %q", query, got, want)
		}
	}
	for query, names := range map[string]string{
		"day=monday": "day", "start_time=09:00": "start_time", "colour=red": "services", "minimum_age=old": "minimum_age", "minimum_age=NaN": "minimum_age", "modified_after=soon": "modified_after", "full=maybe": "full",
		"postcode=NM1+2AB": "proximity", "proximity=5": "postcode", "postcode=NM3+3CC&proximity=5": "postcode", "postcode=ZZ1+1ZZ&proximity=5": "postcode", "postcode=NM1+2AB&proximity=-5": "proximity", "page=0": "page", "per_page=x": "per_page",
	} {
		asked, _ := url.ParseQuery(query)
		_, err := tab.List("services", asked, nil)
		if e, ok := errors.AsType[*node.Error](err); !ok || e.Kind != node.Usage || !strings.Contains(e.Message, names) || strings.Contains(e.Message, "ZZ1") {
			t.Errorf("services?%s: %v", query, err)
		}
	}
}

// TestWhole: a service stands whole in a list unless it is asked for otherwise, and each list
// shows one by its id as it lists it.
func TestWhole(t *testing.T) {
	tab := offered(t)
	first := func(call, query string) map[string]any { return tab.lists(t, call, query).Contents[0] }
	whole, flat := first("services", ""), first("services", "full=false")
	if whole["languages"] == nil || flat["languages"] != nil || flat["service_at_locations"] != nil || flat["name"] != whole["name"] || flat["organization"] == nil {
		t.Errorf("whole %v, flat %v", whole, flat)
	}
	p := tab.lists(t, "services", "minimal=true")
	if m := p.Contents[0]; p.Total != 3 || p.Pages != 1 || len(m) != 2 || m["id"] != whole["id"] || m["modified_date"] != "2026-11-01T09:00:00Z" {
		t.Errorf("minimal: %v", p)
	}
	p = tab.lists(t, "service_at_locations", "")
	if p.Total != 4 {
		t.Errorf("%d services at places, want 4", p.Total)
	}
	at := p.Contents[0]
	if s, _ := at["service"].(map[string]any); s["name"] != "Lunch club" || s["service_at_locations"] != nil || at["location"].(map[string]any)["name"] != "Hall" {
		t.Errorf("a service at a place: %v", at)
	}
	if near := tab.lists(t, "service_at_locations", "postcode=NM1+2AB&proximity=500"); near.Total != 1 || near.Contents[0]["id"] != at["id"] {
		t.Errorf("places within 500 metres: %v", near)
	}
	if tab.formed[0].(map[string]any)["service_at_locations"].([]any)[0].(map[string]any)["service"] != nil {
		t.Error("an answer was written into the register")
	}
	taxonomy := first("taxonomies", "")
	names := []string{}
	for _, term := range tab.lists(t, "taxonomy_terms", "").Contents {
		names = append(names, term["name"].(string))
		if term["taxonomy_id"] != taxonomy["id"] || term["taxonomy"] != taxonomy["name"] || term["description"] == nil {
			t.Errorf("the term %v is of the taxonomy %v", term, taxonomy)
		}
	}
	if !slices.Equal(names, []string{"food", "older people", "young people"}) {
		t.Errorf("terms are %q", names)
	}
	for _, call := range Lists() {
		listed := first(call, "")
		var one map[string]any
		if err := json.Unmarshal(tab.One(call, listed["id"].(string)), &one); err != nil || one["id"] != listed["id"] {
			t.Errorf("%s/%s: %v, %v", call, listed["id"], one, err)
		}
		if tab.One(call, "none") != nil || tab.One(call, "") != nil {
			t.Errorf("%s has one that is not there", call)
		}
		if (one["taxonomy_terms"] != nil) != (call == "taxonomies") {
			t.Errorf("%s: terms are told by a taxonomy alone: %v", call, one)
		}
	}
	none := &Table{Description: tab.Description, form: tab.form}
	for _, call := range Lists() {
		if p := none.lists(t, call, ""); p.Total != 0 || p.Contents == nil || p.Pages != 1 {
			t.Errorf("of no service, %s: %+v", call, p)
		}
	}
}

// TestAsPublished: what each call lists, whole and flat, and what it shows of one, keeps the
// schema that Open Referral UK publishes for it.
func TestAsPublished(t *testing.T) {
	root := cmp.Or(os.Getenv("STILE_DATA"), "../../../shared/data")
	read := func(file string) *fstest.MapFile {
		b, err := os.ReadFile(filepath.Join(root, "open-referral-uk/schema", file))
		if err != nil {
			t.Skipf("the published data is not here (set STILE_DATA): %v", err)
		}
		return &fstest.MapFile{Data: b}
	}
	schema := func(file string) *standard.Standard {
		s, err := standard.Load(fstest.MapFS{
			"standard.yaml": {Data: []byte("name: a.example/x\nversion: 1.0.0\ntitle: X\nstatus: draft\nkey: [/id]\nclasses: {/id: open}\n")},
			"schema.json":   read(file), "schemas/taxonomy_term.json": read("taxonomy_term.json"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tab := offered(t)
	for _, c := range []struct{ call, query, listed, shown string }{
		{"services", "", "compiled/service_list.json", "compiled/service.json"},
		{"services", "full=false", "compiled/service_list.json", "compiled/service.json"},
		{"service_at_locations", "", "compiled/service_at_location_list.json", "compiled/service_at_location.json"},
		{"service_at_locations", "full=false", "compiled/service_at_location_list.json", "compiled/service_at_location.json"},
		{"taxonomies", "", "taxonomy.json", "taxonomy.json"},
		{"taxonomy_terms", "", "taxonomy_term.json", "taxonomy_term.json"},
	} {
		listed, shown := schema(c.listed), schema(c.shown)
		held := func(s *standard.Standard, text []byte) {
			t.Helper()
			v, err := strictjson.Decode(text, strictjson.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if problems := s.Validate(v); len(problems) > 0 {
				t.Errorf("%s?%s: %+v in %s", c.call, c.query, problems, text)
			}
		}
		for _, one := range tab.lists(t, c.call, c.query).Contents {
			text, err := json.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			held(listed, text)
			held(shown, tab.One(c.call, one["id"].(string)))
		}
	}
}

// TestPostcodes: a list of postcodes says where those lie that no place here has, however they
// are written; what is no such list is refused by line and column, without what stands there.
func TestPostcodes(t *testing.T) {
	p, err := ReadPostcodes(strings.NewReader("\ufeffpcd,pcds,doterm,lat,long\nNM9 9ZZ,NM9 9ZZ,,52.0,0.1\nNM1 2AB,NM1 2AB,199901,52.1,0.1\nZZ99 9ZZ,ZZ99 9ZZ,,99.999999,0.0\n"))
	if err != nil {
		t.Fatal(err)
	}
	asked, _ := url.ParseQuery("postcode=nm99zz&proximity=500")
	b, err := offered(t).List("services", asked, p)
	if err != nil || !strings.Contains(string(b), "Lunch club") || strings.Contains(string(b), "Youth club") {
		t.Errorf("near a postcode of the list: %v, %s", err, b)
	}
	// The list is believed before the places.
	asked, _ = url.ParseQuery("postcode=NM1+2AB&proximity=500")
	if b, err = offered(t).List("services", asked, p); err != nil || !strings.Contains(string(b), "Youth club") || strings.Contains(string(b), "Lunch club") {
		t.Errorf("near a postcode of both: %v, %s", err, b)
	}
	for _, code := range []string{"ZZ999ZZ", "", "NM1", "NM1 2AC", "\u00e9M12AB", "NM12ABCDEF"} {
		if _, _, ok := p.Lies(code); ok {
			t.Errorf("%q lies somewhere", code)
		}
	}
	for text, want := range map[string]string{
		"": "no CSV table", "a,b\n": "line 1", "postcode,latitude,longitude\nNM1 2AB,north,0\n": "line 2: column 2", "postcode,latitude,longitude\nNM1 2AB,52,200\n": "line 2: column 3",
		"postcode,latitude,longitude\nSecret!,52,0\n": "line 2: column 1", "postcode,latitude,longitude\nNM1 2AB,52\n": "line 2",
	} {
		if _, err := ReadPostcodes(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Secret") || strings.Contains(err.Error(), "north") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
