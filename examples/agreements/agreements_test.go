package agreements_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/agreements"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// Every template is complete: it can be signed, a reviewer has nothing to ask, and the
// filter of its rows picks an example of its standard.
func TestTemplates(t *testing.T) {
	all := agreements.Templates()
	if len(all) < 10 {
		t.Fatalf("%d templates, want ten at the least", len(all))
	}
	today := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for _, tpl := range all {
		a, err := agreement.Parse(tpl.Document)
		if err != nil {
			t.Errorf("%s: %v", tpl.Name, err)
			continue
		}
		std, err := standard.Load(schemas.FS(a.Standard.Name.Slug() + "/1.0.0"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Lint(std, today) {
			if f.Severity != standard.SeverityNote {
				t.Errorf("%s: %s %s: %s %s", tpl.Name, f.Pointer, f.Rule, f.Severity, f.Detail)
			}
		}
		terms, err := a.Compile(std)
		if err != nil {
			t.Errorf("%s: %v", tpl.Name, err)
			continue
		}
		picked := 0
		valid, _ := std.Examples()
		for _, e := range valid {
			if m, ok := e.Record.(map[string]any); ok && terms.Match(m) {
				picked++
			}
		}
		if picked == 0 {
			t.Errorf("%s: its rows pick none of the %d examples of %s", tpl.Name, len(valid), std.Name())
		}
	}
}

// A draft of a template is between the parties that are named, throughout.
func TestFor(t *testing.T) {
	for _, tpl := range agreements.Templates() {
		doc := tpl.For("one.example", []string{"two.example", "three.example"}, []string{"E06000001", "E06000002"}, "ours", "2027-01-01", "2028-01-01")
		a, err := agreement.Parse(doc)
		if err != nil {
			t.Fatalf("%s: %v\n%s", tpl.Name, err, doc)
		}
		if a.Name != "one.example/ours" || len(a.To) != 2 || len(a.Contacts) != 3 || a.Starts != "2027-01-01" || a.Review != "2028-01-01" {
			t.Errorf("%s: %s", tpl.Name, a.YAML())
		}
		for _, old := range []string{agreements.Sender, agreements.Receiver, agreements.ReceiverGSS} {
			if strings.Contains(string(doc), old) {
				t.Errorf("%s still speaks of %s:\n%s", tpl.Name, old, doc)
			}
		}
		if strings.Contains(string(tpl.Document), agreements.ReceiverGSS) && !strings.Contains(a.Rows, `in ["E06000001", "E06000002"]`) {
			t.Errorf("%s: rows %s", tpl.Name, a.Rows)
		}
	}
}
