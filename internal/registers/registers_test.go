package registers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
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
		if d.Chart != "" && tab.at(d.Chart) < 0 {
			t.Errorf("%s: no column is called %q", d.ID, d.Chart)
		}
		if d.made != nil {
			continue
		}
		stds, err := catalogue.Shipped(d.Standard)
		if err != nil || len(stds) == 0 {
			t.Fatalf("%s: %v", d.ID, err)
		}
		for _, c := range d.Columns {
			if class := stds[0].Class(name.Field(c.Pointer)); class != standard.Open {
				t.Errorf("%s: %s is %s in %s", d.ID, c.Pointer, class, d.Standard)
			}
			filled := false
			for _, e := range examples(stds[0]) {
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
	members := []node.MemberReply{{GSS: "E1", Role: "council"}, {GSS: "E2", Role: "council"}, {GSS: "E3", Role: "council"}, {GSS: "E4", Role: "auditor"}}
	for _, g := range d.Groups {
		t.Counts = append(t.Counts, t.count(g, members))
	}
	return t
}

// TestCounts: a value is counted once for each record, with who says so; years are in
// their order, and who has least comes first, those with nothing among them.
func TestCounts(t *testing.T) {
	tab := table()
	said := func(c Count) (s []string) {
		for _, l := range c.Lines {
			s = append(s, l.Value+" "+string(rune('0'+l.Records))+" "+l.Names())
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
	bars := tab.Bars()
	if len(bars) != 5 || bars[0].Quarter != "2026 Q4" || bars[4].Quarter != "2027 Q4" || bars[0].Records != 1 || bars[2].Records != 0 {
		t.Errorf("bars: %+v", bars)
	}
}

// TestWrite: what a council says is text, in a page and in a spreadsheet, and each file
// that the catalogue names is there.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "open")
	if err := Write(dir, "https://a.gov.uk/open/", "", []*Table{table()}); err != nil {
		t.Fatal(err)
	}
	read := func(file string) string {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if page := read("tools.html"); strings.Contains(page, "Bay<script>") || !strings.Contains(page, "Bay&lt;script&gt;") || !strings.Contains(page, "<rect") {
		t.Errorf("the page has a script of a record, or no chart:\n%s", page)
	}
	if sheet := read("tools.csv"); !strings.Contains(sheet, "'=Bay") {
		t.Errorf("a formula: %s", sheet)
	}
	var meta struct {
		URL         string
		TableSchema struct{ Columns []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(read("tools.csv-metadata.json")), &meta); err != nil || meta.URL != "tools.csv" || len(meta.TableSchema.Columns) != 5 {
		t.Errorf("%+v, %v", meta, err)
	}
	var cat struct {
		Sets []struct {
			Files []struct {
				URL string `json:"dcat:downloadURL"`
			} `json:"dcat:distribution"`
		} `json:"dcat:dataset"`
	}
	if err := json.Unmarshal([]byte(read("catalogue.jsonld")), &cat); err != nil || len(cat.Sets) != 1 || len(cat.Sets[0].Files) != 2 {
		t.Fatalf("%+v, %v", cat, err)
	}
	for _, f := range cat.Sets[0].Files {
		read(strings.TrimPrefix(f.URL, "https://a.gov.uk/open/"))
	}
	read("index.html")
	if err := Write(dir, "", "", nil); err == nil {
		t.Error("it writes over what is there")
	}
}
