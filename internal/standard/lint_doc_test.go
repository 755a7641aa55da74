package standard

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every rule that lint can name stands in the page for those who write
// standards, and the page names no other.
func TestLintRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/writing-standards.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## What lint says")
	table, _, _ = strings.Cut(table, "With `--previous`")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(table, -1) {
		listed[m[1]] = true
	}
	files, err := filepath.Glob("lint*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	named := map[string]bool{"version": true, "name": true} // of the command, with --previous
	for _, x := range []string{"licence", "source", "measures"} {
		named["no-"+x] = true
	}
	// The rule is the word before the detail: the fourth argument of l.add, the
	// third of d.add, or a field.
	add := regexp.MustCompile(`add\((?:Severity\w+|sev), (?:[^"\n]|"[^"\n]*")*?"([a-z-]{3,})", (?:fmt|"|f\.|err|f\b|errNot|p\.)`)
	field := regexp.MustCompile(`Rule: "([a-z-]+)"|f\.Rule, f\.Detail = "([a-z-]+)"`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, re := range []*regexp.Regexp{add, field} {
			for _, m := range re.FindAllStringSubmatch(string(b), -1) {
				named[m[1]+strings.Join(m[2:], "")] = true
			}
		}
	}
	for r := range named {
		if !listed[r] {
			t.Errorf("%s is not in docs/writing-standards.md", r)
		}
	}
	for r := range listed {
		if !named[r] {
			t.Errorf("%s is in docs/writing-standards.md, but no rule is called so", r)
		}
	}
}
