package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// TestThirdParty: a schema that somebody else publishes becomes a standard by a manifest
// alone. An example of its publisher is taken, and one that is broken is refused, at the
// place that was broken.
func TestThirdParty(t *testing.T) {
	root := os.Getenv("STILE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	for _, c := range []struct {
		folder, schema, example string
		at                      string // list of records in the example; "": it is one
		broken                  string // text of the example, and what is written for it
		as                      string
		rule, place             string
	}{
		{"ocds", "ocds/schema/release-schema.json", "ocds/sample-1.1/ocds-213czf-000-00001-05-contract.json", "releases",
			`"initiationType": "tender"`, `"initiationType": "guess"`, "enum", "/initiationType"},
		{"open-referral-uk", "open-referral-uk/schema/compiled/service.json", "open-referral-uk/examples/service_full.json", "",
			`"status": "active"`, `"status": "open"`, "enum", "/status"},
		{"grants", "360giving/schema/360-giving-schema.json", "360giving/grants/wolfson-379.json", "grants",
			`"currency"`, `"currencies"`, "required", "/currency"},
		{"digital-planning/enforcement", "digital-planning/schemas/enforcement.json", "", "", "", "", "", ""},
	} {
		t.Run(c.folder, func(t *testing.T) {
			read := func(path string) []byte {
				b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
				if err != nil {
					t.Skipf("the published data is not here (set STILE_DATA): %v", err)
				}
				return b
			}
			manifest, err := os.ReadFile(filepath.Join(filepath.FromSlash(c.folder), "standard.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := standard.Load(fstest.MapFS{"standard.yaml": {Data: manifest}, "schema.json": {Data: read(c.schema)}})
			if err != nil {
				t.Fatal(err)
			}
			if c.example == "" {
				return
			}
			text := string(read(c.example))
			if problems := s.Validate(first(t, text, c.at)); len(problems) > 0 {
				t.Errorf("the publisher's example is refused: %+v", problems[:min(3, len(problems))])
			}
			broken := strings.Replace(text, c.broken, c.as, 1)
			if broken == text {
				t.Fatalf("the example has no %s", c.broken)
			}
			problems := s.Validate(first(t, broken, c.at))
			if len(problems) != 1 || problems[0].Rule != c.rule || problems[0].Pointer != c.place {
				t.Errorf("a broken example: %+v, want only %s at %s", problems, c.rule, c.place)
			}
		})
	}
}

// first is the first record of a text.
func first(t *testing.T, text, at string) any {
	t.Helper()
	v, err := strictjson.Decode([]byte(text), strictjson.Limits{Bytes: 4 << 20, Values: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if at == "" {
		return v
	}
	list, _ := v.(map[string]any)[at].([]any)
	if len(list) == 0 {
		t.Fatalf("there is no list %q", at)
	}
	return list[0]
}
