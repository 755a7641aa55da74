package web_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node/name"
)

// A register is written as files, alone and merged with another's, with several agreements
// in force: every link of its pages and of its catalogue leads to a file or a place that is
// there, and the proofs verify.
func TestExportLinks(t *testing.T) {
	h := open(t, true, nil)
	ctx := t.Context()
	own, err := web.MakeRegister(ctx, h.node.Operations, registers.Agent{Council: northmoor, Title: "Northmoor District Council", GSS: "E07000998", Role: "council", Contact: "data@northmoor.gov.uk"}, h.clock())
	if err != nil {
		t.Fatal(err)
	}
	if len(own.Flows) != 2 || !own.Flows[1].Suspended || own.Flows[0].Suspended {
		t.Fatalf("the register has %d flows, want 2 of which one is suspended", len(own.Flows))
	}
	proofs := map[name.Agreement][]byte{}
	for _, f := range own.Flows {
		if proofs[f.Agreement], err = web.RegisterProof(ctx, h.node.Operations, f.Agreement, own.Made); err != nil {
			t.Fatal(err)
		}
	}
	// What another council publishes of the same agreements.
	theirs := *own
	theirs.Council, theirs.Title = saltby, hostile
	b := bytes.ReplaceAll(theirs.JSON(), []byte(`"sends": true`), []byte(`"sends": false`))
	other, err := web.ParseRegister(b)
	if err != nil {
		t.Fatal(err)
	}
	const base = "https://data.example/sharing"
	for _, rs := range [][]*web.Register{{own}, {own, other}} {
		dir := filepath.Join(t.TempDir(), "out")
		if err := web.ExportRegister(dir, "", base+"/", rs, proofs); err != nil {
			t.Fatal(err)
		}
		read := func(file string) string {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		leads := func(from, to string) {
			t.Helper()
			file, place, _ := strings.Cut(to, "#")
			if file == "" {
				file = from
			}
			if text := read(file); place != "" && strings.Count(text, `id="`+place+`"`) != 1 {
				t.Errorf("%s: the link to %s leads nowhere, or to two places", from, to)
			}
		}
		links := 0
		for _, page := range []string{"index.html", "cy.html"} {
			text := read(page)
			for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
				leads(page, html.UnescapeString(m[1]))
				links++
			}
			if strings.Contains(text, "<script") || strings.Contains(text, "<img") {
				t.Errorf("%s holds markup that a council wrote", page)
			}
		}
		if links < 20 {
			t.Errorf("%d links were followed", links)
		}
		var catalogue struct {
			ID       string `json:"@id"`
			Datasets []struct {
				ID    string `json:"@id"`
				Files []struct {
					URL string `json:"dcat:downloadURL"`
				} `json:"dcat:distribution"`
				Publisher struct {
					Name string `json:"foaf:name"`
				} `json:"dct:publisher"`
				Contact struct {
					Name string `json:"vcard:fn"`
					Box  string `json:"vcard:hasEmail"`
				} `json:"dcat:contactPoint"`
				Themes []any `json:"dcat:theme"`
				Areas  []struct {
					ID string `json:"@id"`
				} `json:"dct:spatial"`
			} `json:"dcat:dataset"`
		}
		if err := json.Unmarshal([]byte(read("register.jsonld")), &catalogue); err != nil {
			t.Fatal(err)
		}
		for _, d := range catalogue.Datasets {
			if d.Contact.Name == "" || d.Publisher.Name == "" || len(d.Themes) == 0 {
				t.Errorf("%s: a data library reads whom to ask %+v, who publishes it %+v, what it is about %v", d.ID, d.Contact, d.Publisher, d.Themes)
			}
			if d.Publisher.Name == "Northmoor District Council" && (d.Contact.Box != "mailto:data@northmoor.gov.uk" || len(d.Areas) != 1 || d.Areas[0].ID != "http://statistics.data.gov.uk/id/statistical-geography/E07000998") {
				t.Errorf("%s: whom to ask is %+v, its areas %v", d.ID, d.Contact, d.Areas)
			}
		}
		addresses := []string{catalogue.ID}
		for _, d := range catalogue.Datasets {
			addresses = append(addresses, d.ID)
			for _, f := range d.Files {
				addresses = append(addresses, f.URL)
			}
		}
		if len(addresses) != 1+2*len(rs)+3 {
			t.Errorf("the catalogue has %d addresses", len(addresses))
		}
		for _, a := range addresses {
			to, ok := strings.CutPrefix(a, base+"/")
			if !ok {
				t.Errorf("the address %s does not begin with the base", a)
			}
			leads("register.jsonld", to)
		}
		if rows, err := csv.NewReader(strings.NewReader(read("register.csv"))).ReadAll(); err != nil || len(rows) != 1+2*len(rs) {
			t.Errorf("the table has %d rows: %v", len(rows), err)
		}
		for _, m := range regexp.MustCompile(`"proof": "([^"]*)"`).FindAllStringSubmatch(read("register.json"), -1) {
			leads("register.json", m[1])
		}
	}
	report, err := audit.Verify(bytes.NewReader(proofs[moving]), int64(len(proofs[moving])), audit.Options{Parallel: 1})
	if err != nil || report.Counts.Records != 0 {
		t.Errorf("the proof holds records, or cannot be read: %v", err)
	}
}
