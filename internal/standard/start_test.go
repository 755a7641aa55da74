package standard

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func startDir(t testing.TB, s Start) fstest.MapFS {
	t.Helper()
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for p, b := range files {
		out[p] = &fstest.MapFile{Data: b}
	}
	return out
}

// rules lists which rules lint names, without notes.
func rules(fs []Finding) (out []string) {
	for _, f := range fs {
		if f.Severity != SeverityNote && !slices.Contains(out, f.Rule) {
			out = append(out, f.Rule)
		}
	}
	slices.Sort(out)
	return out
}

// What a new standard leaves open is what only a person can decide: the words,
// and how each field is to be handled.
func TestStartLeavesDecisionsOnly(t *testing.T) {
	s := Start{Name: "standards.example/tree-preservation", Title: `Tree: "order"`}
	std, fs := Lint(startDir(t, s))
	if got := strings.Join(rules(fs), " "); std == nil || got != "no-classes no-words" {
		t.Errorf("nothing given: %s\n%s", got, listFindings(fs))
	}
	if got := std.Manifest(); got.Title != s.Title || got.Name.String() != "standards.example/tree-preservation@0.1.0" || got.Status != Draft {
		t.Errorf("got %+v", got)
	}

	s.Example = []byte(`{"ref": "T-1", "height": 12.5, "stems": 2, "gone": null, "felled": false, "seen": [{"on": "2026-01-01", "by": "x"}, {"on": "2026-01-02"}], "at": {"lat": 51, "lon": -1.5}, "tags": []}`)
	fsys := startDir(t, s)
	const want = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Tree: \"order\"",
  "type": "object",
  "required": ["ref", "height", "stems", "gone", "felled", "seen", "at", "tags"],
  "properties": {
    "ref": {
      "type": "string"
    },
    "height": {
      "type": "number"
    },
    "stems": {
      "type": "integer"
    },
    "gone": {},
    "felled": {
      "type": "boolean"
    },
    "seen": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["on"],
        "properties": {
          "on": {
            "type": "string"
          },
          "by": {
            "type": "string"
          }
        }
      }
    },
    "at": {
      "type": "object",
      "required": ["lat", "lon"],
      "properties": {
        "lat": {
          "type": "integer"
        },
        "lon": {
          "type": "number"
        }
      }
    },
    "tags": {
      "type": "array"
    }
  }
}
`
	if got := string(fsys["schema.json"].Data); got != want {
		t.Errorf("got %s", got)
	}
	std, fs = Lint(fsys)
	if got := strings.Join(rules(fs), " "); std == nil || got != "no-classes no-words" {
		t.Errorf("an example given: %s\n%s", got, listFindings(fs))
	}
	if k := std.Manifest().Key; len(k) != 1 || k[0] != "/ref" {
		t.Errorf("key %v", k)
	}
	if valid, invalid := std.Examples(); len(valid) != 1 || len(invalid) != 1 {
		t.Errorf("%d, %d examples", len(valid), len(invalid))
	}

	for _, bad := range []string{``, `[]`, `{"a":1,"a":2}`} {
		s.Example = []byte(bad)
		if _, err := s.Files(); err == nil {
			t.Errorf("%q is taken for a record", bad)
		}
	}
}

// A published schema is kept byte for byte, and what the manifest needs is
// guessed from it.
func TestStartFromPublished(t *testing.T) {
	root := filepath.Dir(data(t, "digital-planning"))
	for file, want := range map[string]string{
		"open-referral-uk/schema/compiled/service.json": "/id",
		"360giving/schema/360-giving-schema.json":       "/id",
		"waste-services/schemas/service.schema.json":    "/id",
		"open311-georeport/service.json":                "/service_code",
		"ocds/schema/release-schema.json":               "/id",
		"digital-planning/schemas/application.json":     "/metadata/id",
	} {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		fsys := startDir(t, Start{Name: "standards.example/x", Title: "X", Schema: b})
		if string(fsys["schema.json"].Data) != string(b) {
			t.Errorf("%s: changed", file)
		}
		std, fs := Lint(fsys)
		if std == nil {
			t.Errorf("%s:\n%s", file, listFindings(fs))
			continue
		}
		if k := std.Manifest().Key; string(k[0]) != want {
			t.Errorf("%s: key %v, want %s", file, k, want)
		}
	}
	// What is no schema is kept too, and lint says so.
	if _, fs := Lint(startDir(t, Start{Name: "standards.example/x", Title: "X", Schema: []byte("a: b")})); fs[0].Rule != "json" {
		t.Errorf("got %s", listFindings(fs))
	}
}

func FuzzStart(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null},[2.5]]}`))
	f.Fuzz(func(t *testing.T, example []byte) {
		files, err := Start{Name: "standards.example/x", Title: "X", Example: example}.Files()
		if err != nil {
			return
		}
		fsys := fstest.MapFS{}
		for p, b := range files {
			fsys[p] = &fstest.MapFile{Data: b}
		}
		std, err := Load(fsys)
		if err != nil {
			t.Fatalf("%v\n%s", err, files["schema.json"])
		}
		if ps := std.Validate(std.valid[0].Record); ps != nil && ps[0].Rule != "budget" {
			t.Errorf("its own example is refused: %+v\n%s", ps, files["schema.json"])
		}
	})
}
