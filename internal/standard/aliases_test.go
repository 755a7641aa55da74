package standard

import (
	"strings"
	"testing"
)

const aliased = "name: standards.example/x\nversion: 1.0.0\ntitle: X\nstatus: draft\nkey: [/reference]\n"

// Aliases and synonyms are read as they stand, and what cannot be one is named
// with its place.
func TestAliases(t *testing.T) {
	m, err := parseManifest([]byte(aliased + "aliases:\n  /reference: Ref\n  /at/x: [GeoX, X]\nsynonyms:\n  /status: {Live: open, N/A: \"\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Aliases["/at/x"]; len(got) != 2 || got[1] != "X" || m.Aliases["/reference"][0] != "Ref" {
		t.Errorf("aliases %q", m.Aliases)
	}
	if got := m.Synonyms["/status"]; got["Live"] != "open" || len(got) != 2 {
		t.Errorf("synonyms %q", m.Synonyms)
	}
	for text, want := range map[string]string{
		"aliases: {reference: Ref}\n":                             "want a JSON Pointer",
		"aliases: {\"\": Ref}\n":                                  "aliases names the whole record",
		"synonyms: {\"\": {a: b}}\n":                              "synonyms names the whole record",
		"aliases: {/a: [" + strings.Repeat("x", 300) + "]}\n":     "over 200 bytes",
		"aliases: {/a: [" + strings.Repeat("x, ", 5000) + "x]}\n": "over 5000 names",
		"synonyms: {/a: [x]}\n":                                   "cannot unmarshal",
	} {
		if _, err := parseManifest([]byte(aliased + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
}
