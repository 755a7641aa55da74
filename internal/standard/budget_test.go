package standard

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// manyParts is a standard of n schemas, each of which describes one member, put
// together by a keyword, and a class for each member.
func manyParts(t *testing.T, n int, keyword, each string) *Standard {
	t.Helper()
	var parts, classes []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(each, i))
		classes = append(classes, fmt.Sprintf("  /p%d: personal\n", i))
	}
	open, end := "[", "]"
	if keyword == "patternProperties" {
		open, end = "{", "}"
	}
	s, err := load(map[string][]byte{
		"standard.yaml": []byte("name: standards.example/wide\nversion: 1.0.0\ntitle: Wide\nstatus: live\nkey: [/a]\nclasses:\n" + strings.Join(classes, "")),
		"schema.json": []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["a"],"properties":{"a":{"type":"string"}},"` +
			keyword + `":` + open + strings.Join(parts, ",") + end + "}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What lint does for the classes of a standard grows with the standard, not with its
// square: four times the members take about four times the steps.
func TestFindersWorkIsLinear(t *testing.T) {
	for _, c := range []struct{ keyword, each string }{
		{"allOf", `{"properties":{"p%d":{"type":"string"}}}`},
		{"anyOf", `{"properties":{"p%d":{"type":"string"}}}`},
	} {
		steps := func(n int) int {
			s := manyParts(t, n, c.keyword, c.each)
			g, err := s.engine.graph()
			if err != nil {
				t.Fatal(err)
			}
			d := newFinder(g)
			for f := range s.manifest.Classes {
				if _, ok := d.find(f); !ok {
					t.Fatalf("%s: %q is not found", c.keyword, f)
				}
			}
			return maxFound - d.left
		}
		small, large := steps(100), steps(400)
		if small < 100 || large > 5*small {
			t.Errorf("%s: 100 members take %d steps, 400 take %d", c.keyword, small, large)
		}
	}
}

// Where the work would be the square of the schema, as with many patterns and many
// classes, lint gives up at a count and says so.
func TestFinderGivesUpInWords(t *testing.T) {
	s := manyParts(t, 300, "patternProperties", `"^q%d":{"type":"string"}`)
	g, err := s.engine.graph()
	if err != nil {
		t.Fatal(err)
	}
	d := newFinder(g)
	d.left = 20_000
	unknown := 0
	for f := range s.manifest.Classes {
		if _, ok := d.find(f); !ok {
			unknown++
		}
	}
	if d.left > 0 || d.left < -1000 || unknown == 0 || unknown > 100 {
		t.Errorf("after %d places that are not described, %d steps are left", unknown, d.left)
	}
	l := &linter{std: s, graph: g}
	l.fields()
	if slices.ContainsFunc(l.found, func(f Finding) bool { return f.Rule == "not-tried" }) {
		t.Errorf("300 patterns and 300 classes are too many: %v", l.found)
	}
}

// A step of a mapping stops as soon as the record has grown beyond any: one that
// moves a member of every element to the end of a long path would make thirty
// groups for each.
func TestMappingStopsWithinAStep(t *testing.T) {
	for _, verb := range []string{"move: /list/*/a\n    to: /list/*%s", "copy: /list/*/a\n    to: /list/*%s", "add: /list/*%s\n    value: 1"} {
		m, err := parseMapping("mappings/1.yaml", fmt.Appendf(nil, "steps:\n  - "+verb+"\n", strings.Repeat("/b", name.MaxFieldDepth-3)))
		if err != nil {
			t.Fatal(err)
		}
		var list []any
		for range 40_000 {
			list = append(list, map[string]any{"a": "x"})
		}
		b := &build{values: maxMappedValues, text: maxMappedText, visits: maxMappedVisits}
		root, _ := b.clone(map[string]any{"list": list})
		b.do(&m.steps[0], root.(map[string]any))
		if b.values >= 0 || b.values < -name.MaxFieldDepth {
			t.Errorf("%s: stopped %d values beyond what may be made", verb, -b.values)
		}
		if _, err := m.Apply(map[string]any{"list": list}); err == nil || !strings.Contains(err.Error(), "grows beyond any record") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
