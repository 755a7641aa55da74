package standard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/node/name"
)

// versions packs two versions of a standard.
func versions(t testing.TB, from, to string) (a, b *Standard) {
	t.Helper()
	return mustLoad(t, pack(from)), mustLoad(t, pack(to))
}

// What changed in a schema, as "level pointer: words", gravest first.
func TestCompareSchemas(t *testing.T) {
	const open = `"type":"object","properties":{"id":{"type":"string"}%s}`
	obj := func(more string) string { return "{" + fmt.Sprintf(open, more) + "}" }
	closed := func(more string) string { return "{" + fmt.Sprintf(open, more) + `,"additionalProperties":false}` }
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"nothing but order", `{"type":"object","title":"x"}`, `{"title":"x","type":"object"}`, []string{"patch schema.json: is written differently"}},
		{"a title", `{"title":"x"}`, `{"title":"y"}`, []string{"patch : its title or description is reworded"}},
		{"another draft", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`, `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}`,
			[]string{"patch : the schema was written in JSON Schema draft 7 and is in 2020-12"}},
		{"a part moved to $defs", obj(`,"a":{"type":"string","maxLength":3}`), `{"type":"object","properties":{"id":{"type":"string"},"a":{"allOf":[{"type":"string"},{"$ref":"#/$defs/m"}]}},"$defs":{"m":{"maxLength":3}}}`,
			[]string{"patch schema.json: is written differently"}},

		{"a field added to a closed group", closed(""), closed(`,"a":{}`), []string{"minor /a: is new (personal)"}},
		{"a field added to an open group", obj(""), obj(`,"a":{}`), []string{"minor /a: is new (personal)"}},
		{"a field removed from a closed group", closed(`,"a":{}`), closed(""), []string{"major /a: is no longer a field"}},
		{"a field removed from an open group", obj(`,"a":{}`), obj(""), []string{"major /a: is no longer described"}},
		{"a field renamed", closed(`,"houseNumber":{"type":"integer"}`), closed(`,"house_number":{"type":"integer"}`),
			[]string{`major /houseNumber: is no longer a field; perhaps it is now called "house_number"`, "minor /house_number: is new (personal)"}},
		{"a field new and required", closed(""), `{"type":"object","properties":{"id":{"type":"string"},"a":{}},"required":["a"],"additionalProperties":false}`,
			[]string{"major /a: is new and must be given"}},
		{"now required", obj(`,"a":{}`), `{"type":"object","properties":{"id":{"type":"string"},"a":{}},"required":["a"]}`, []string{"major /a: must now be given"}},
		{"no longer required", `{"required":["a"]}`, `{}`, []string{"minor /a: need no longer be given"}},
		{"closed", obj(""), closed(""), []string{"major : may no longer hold fields that the standard does not name"}},
		{"opened", closed(""), obj(""), []string{"minor : may now hold fields that the standard does not name"}},

		{"a type narrowed", obj(`,"a":{"type":["string","null"]}`), obj(`,"a":{"type":"string"}`), []string{"major /a: was text or empty (null) and must now be text"}},
		{"a type widened", obj(`,"a":{"type":"string"}`), obj(`,"a":{"type":["string","null"]}`), []string{"minor /a: may now also be empty (null)"}},
		{"a type exchanged", obj(`,"a":{"type":"string"}`), obj(`,"a":{"type":"integer"}`), []string{"major /a: was text and must now be a whole number"}},
		{"integer to number", obj(`,"a":{"type":"integer"}`), obj(`,"a":{"type":"number"}`), []string{"minor /a: may now also be a number"}},
		{"number to integer", obj(`,"a":{"type":"number"}`), obj(`,"a":{"type":"integer"}`), []string{"major /a: was a number and must now be a whole number"}},
		{"a type added", obj(`,"a":{}`), obj(`,"a":{"type":"string"}`), []string{"major /a: must now be text"}},
		{"a type removed", obj(`,"a":{"type":"string"}`), obj(`,"a":{}`), []string{"minor /a: may now be anything"}},

		{"enum values", obj(`,"a":{"enum":["x","y",1.0]}`), obj(`,"a":{"enum":["y","z",1]}`), []string{"major /a: no longer takes: x", "minor /a: now also takes: z"}},
		{"an enum where none was", obj(`,"a":{}`), obj(`,"a":{"enum":["y"]}`), []string{"major /a: must now be one of: y"}},
		{"an enum gone", obj(`,"a":{"enum":["y"]}`), obj(`,"a":{}`), []string{"minor /a: is no longer bound to a list"}},
		{"a const to an enum", obj(`,"a":{"const":"y"}`), obj(`,"a":{"enum":["y","z"]}`), []string{"minor /a: now also takes: z"}},
		{"enum with types that do not matter", obj(`,"a":{"type":"string","enum":["x"]}`), obj(`,"a":{"type":["string","null"],"enum":["x"]}`), []string{"patch schema.json: is written differently"}},

		{"a longer minimum", obj(`,"a":{"minLength":1}`), obj(`,"a":{"minLength":2}`), []string{"major /a: must now hold at least 2 characters; it was 1"}},
		{"a maximum where none was", obj(`,"a":{}`), obj(`,"a":{"maxLength":9}`), []string{"major /a: may now hold at most 9 characters"}},
		{"a maximum gone", obj(`,"a":{"maxItems":9}`), obj(`,"a":{}`), []string{"minor /a: may now list any number; it was at most 9 entries"}},
		{"number ends", obj(`,"a":{"minimum":1,"maximum":9}`), obj(`,"a":{"exclusiveMinimum":1,"maximum":10}`),
			[]string{"major /a: its least value was 1 and is 1 itself excluded", "minor /a: its greatest value was 9 and is 10"}},
		{"draft 4 ends", `{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true}`, `{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1}`,
			[]string{"minor : its least value was 1 itself excluded and is 1"}},
		{"finer multiples", obj(`,"a":{"multipleOf":0.1}`), obj(`,"a":{"multipleOf":0.01}`), []string{"minor /a: need no longer be a multiple of 0.1"}},
		{"coarser multiples", obj(`,"a":{"multipleOf":1}`), obj(`,"a":{"multipleOf":10}`), []string{"major /a: must now be a multiple of 10"}},
		{"a pattern added", obj(`,"a":{}`), obj(`,"a":{"pattern":"^a"}`), []string{"major /a: must now fit the pattern ^a"}},
		{"a pattern gone", obj(`,"a":{"pattern":"^a"}`), obj(`,"a":{}`), []string{"minor /a: need no longer fit the pattern ^a"}},
		{"a pattern changed", obj(`,"a":{"pattern":"^a"}`), obj(`,"a":{"pattern":"^[ab]"}`), []string{"major /a: cannot tell whether the pattern ^[ab] takes all that ^a did"}},
		{"a format added", obj(`,"a":{}`), obj(`,"a":{"format":"date"}`), []string{"major /a: must now be in the format date"}},
		{"a format changed", obj(`,"a":{"format":"date"}`), obj(`,"a":{"format":"date-time"}`), []string{"major /a: must now be in the format date-time; it was date"}},
		{"repeats", obj(`,"a":{"uniqueItems":true}`), obj(`,"a":{}`), []string{"minor /a: may now list a thing twice"}},
		{"elements", obj(`,"a":{"items":{"type":"string"}}`), obj(`,"a":{"items":{"type":"string","maxLength":4}}`), []string{"major /a/*: may now hold at most 4 characters"}},
		{"draft 7 positions to 2020-12", `{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":false}`, `{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[{"type":"string"},{}],"items":false}`,
			[]string{"minor /1: may now be given", "patch : the schema was written"}},
		{"forbidden", obj(`,"a":{}`), obj(`,"a":false`), []string{"major /a: may no longer be given"}},

		{"needed by another", obj(`,"a":{}`), `{"type":"object","properties":{"id":{"type":"string"},"a":{}},"dependentRequired":{"id":["a"]}}`, []string{`major /a: must now be given when "id" is`}},
		{"a condition new", `{}`, `{"if":{"required":["a"]},"then":{"required":["b"]}}`, []string{"major : is now judged by more: a condition"}},
		{"a condition gone", `{"not":{"required":["a"]}}`, `{}`, []string{"minor : is now judged by less: what it rules out"}},
		{"a condition that differs", `{"if":{"required":["a"]},"then":{"required":["b"]}}`, `{"if":{"required":["c"]},"then":{"required":["b"]}}`, []string{"major : cannot tell whether it takes all that it did"}},
		{"a condition that leads elsewhere", `{"if":{"properties":{"a":{"const":"x"}}},"then":{"required":["b"]}}`, `{"if":{"properties":{"a":{"const":"x"}}},"then":{}}`, []string{`minor /b: when a is "x": need no longer be given`}},

		{"a form more", obj(`,"a":{"anyOf":[{"type":"string"},{"type":"null"}]}`), obj(`,"a":{"anyOf":[{"type":"string"},{"type":"null"},{"type":"integer"}]}`), []string{"minor /a: may take one more form (anyOf): a whole number"}},
		{"a form gone", obj(`,"a":{"anyOf":[{"type":"string"},{"type":"null"}]}`), obj(`,"a":{"anyOf":[{"type":"string"}]}`), []string{"major /a: one of its forms (anyOf) is gone: empty (null)"}},
		{"a form of one that is apart", obj(`,"a":{"oneOf":[{"type":"string"}]}`), obj(`,"a":{"oneOf":[{"type":"string"},{"type":"null"}]}`), []string{"minor /a: may take one more form (oneOf): empty (null)"}},
		{"a form of one that may overlap", obj(`,"a":{"oneOf":[{"minimum":1}]}`), obj(`,"a":{"oneOf":[{"minimum":1},{"maximum":5}]}`),
			[]string{"major /a: cannot tell whether a record could now fit two of its forms", "minor /a: may take one more form (oneOf): one of 2"}},
		{"inside a form that has a mark", `{"oneOf":[{"properties":{"type":{"const":"a"},"n":{"type":"integer"}},"required":["type"],"type":"object"},{"properties":{"type":{"const":"b"}},"required":["type"],"type":"object"}]}`,
			`{"oneOf":[{"properties":{"type":{"const":"b"}},"required":["type"],"type":"object"},{"properties":{"type":{"const":"a"},"n":{"type":["integer","null"]}},"required":["type"],"type":"object"}]}`,
			[]string{`minor /n: in the form where type is "a": may now also be empty (null)`}},
		{"recursion", `{"properties":{"c":{"items":{"$ref":"#"}},"n":{"type":"integer"}}}`, `{"properties":{"c":{"items":{"$ref":"#"}},"n":{"type":"string"}}}`, []string{"major /n: was a whole number and must now be text"}},
	} {
		from, to := versions(t, c.from, c.to)
		d := Compare(from, to)
		var got []string
		for _, ch := range d.Changes {
			got = append(got, fmt.Sprintf("%s %s: %s", ch.Level, ch.Pointer, ch.What))
		}
		ok := len(got) == len(c.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", c.name, strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
		}
		if len(Compare(from, from).Changes) != 0 || len(Compare(to, to).Changes) != 0 {
			t.Errorf("%s: differs from itself", c.name)
		}
	}
}

// What changed in a manifest.
func TestCompareManifests(t *testing.T) {
	const schema = `{"properties":{"id":{"type":"string"},"d":{},"p":{"properties":{"n":{},"m":{}}},"l":{"items":{"properties":{"n":{}}}}}}`
	for _, c := range []struct {
		from, to string // after the manifest's first lines
		want     []string
	}{
		{"classes: {/d: personal}\n", "classes: {/d: open}\n", []string{"major /d: was personal and is open"}},
		{"classes: {/d: special}\n", "classes: {/d: personal}\n", []string{"major /d: was special and is personal"}},
		{"classes: {/d: open}\n", "classes: {/d: personal}\n", []string{"minor /d: was open and is personal"}},
		{"classes: {/p: internal}\n", "classes: {/p: special}\n", []string{"minor /p: was internal and is special"}},
		{"classes: {/p: personal, /p/n: personal}\n", "classes: {/p: special, /p/n: special}\n", []string{"minor /p: was personal and is special"}},
		{"", "classes: {/d: personal}\n", []string{"patch standard.yaml: is written differently"}},
		{"classes: {/p/n: personal}\n", "classes: {/p: personal}\n", []string{"major /p/n: can no longer be disclosed by itself"}},
		{"classes: {\"/l/*/n\": personal}\n", "", []string{"major /l/*/n: can no longer be disclosed by itself"}},
		{"", "classes: {/p/n: personal}\n", []string{"minor /p/n: can now be disclosed by itself"}},
		{"measures: {fresh_within: P7D}\n", "measures: {fresh_within: P1D}\n", []string{"minor standard.yaml#/measures/fresh_within: records are to be renewed within P1D; it was P7D"}},
		{"", "format: annotation\n", []string{"minor standard.yaml#/format: formats are no longer checked"}},
		{"format: annotation\n", "", []string{"major standard.yaml#/format: formats are now checked"}},
		{"licence: OGL-UK-3.0\n", "", []string{"minor standard.yaml#/licence: the licence was OGL-UK-3.0 and is not said"}},
		{"", "source: https://example.org\n", []string{"patch standard.yaml#/source"}},
		{"", "# a remark\n", []string{"patch standard.yaml: is written differently"}},
	} {
		load := func(more string) *Standard {
			fsys := pack(schema)
			fsys["standard.yaml"] = &fstest.MapFile{Data: []byte(manifest + more)}
			return mustLoad(t, fsys)
		}
		d := Compare(load(c.from), load(c.to))
		var got []string
		for _, ch := range d.Changes {
			got = append(got, fmt.Sprintf("%s %s: %s", ch.Level, ch.Pointer, ch.What))
		}
		ok := len(got) == len(c.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%q to %q: got\n\t%s\nwant\n\t%s", c.from, c.to, strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
		}
	}
}

// A new field has no class that it moved from.
func TestCompareNewOpenField(t *testing.T) {
	a, b := pack(`{"properties":{"id":{}},"additionalProperties":false}`), pack(`{"properties":{"id":{},"d":{}},"additionalProperties":false}`)
	b["standard.yaml"] = &fstest.MapFile{Data: []byte(manifest + "classes: {/d: open}\n")}
	d := Compare(mustLoad(t, a), mustLoad(t, b))
	if d.Needs != Minor || len(d.Changes) != 1 || d.Changes[0].What != "is new (open)" {
		t.Errorf("got %+v", d)
	}
}

// Whatever reading the schemas says, an example that is refused is breaking.
func TestCompareTriesExamples(t *testing.T) {
	a, b := pack(`{"properties":{"id":{"pattern":"^a"}}}`), pack(`{"properties":{"id":{"pattern":"^[ab]"}}}`)
	a["examples/valid/one.json"] = &fstest.MapFile{Data: []byte(`{"id":"ab"}`)}
	a["examples/invalid/two.json"] = &fstest.MapFile{Data: []byte(`{"id":"ba"}`)}
	d := Compare(mustLoad(t, a), mustLoad(t, b))
	if len(d.Changes) != 3 || d.Changes[1].What != "examples/invalid/two.json of 1.0.0 is now valid" {
		t.Errorf("got %+v", d.Changes)
	}
	d = Compare(mustLoad(t, a), mustLoad(t, pack(`{"properties":{"id":{"pattern":"^c"}}}`)))
	if i := len(d.Changes); d.Needs != Major || i < 2 || d.Changes[1].Pointer != "/id" || !strings.HasPrefix(d.Changes[1].What, "examples/valid/one.json of 1.0.0 is refused") {
		t.Errorf("got %+v", d.Changes)
	}
}

// A mapping is part of a version too.
func TestCompareMappings(t *testing.T) {
	with := func(text string) *Standard {
		fsys := pack(`{}`)
		if text != "" {
			fsys["mappings/0.yaml"] = &fstest.MapFile{Data: []byte(text)}
		}
		return mustLoad(t, fsys)
	}
	none, one, other := with(""), with("steps: [{remove: /a}]\n"), with("steps: [{remove: /b}]\n")
	for _, c := range []struct {
		from, to *Standard
		want     Level
	}{{none, one, Minor}, {one, other, Minor}, {one, none, Major}} {
		if d := Compare(c.from, c.to); len(d.Changes) != 1 || d.Needs != c.want || VersionProblem(d) == nil {
			t.Errorf("got %+v, want one %s change", d, c.want)
		}
	}
}

func TestDifferenceProblem(t *testing.T) {
	at := func(v string) name.Standard {
		n, err := name.ParseStandard("standards.example/test@" + v)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		from, to string
		needs    Level
		want     string // the version it should have; "" it is large enough
	}{
		{"1.2.3", "1.2.4", Patch, ""},
		{"1.2.3", "1.2.4", Minor, "1.3.0"},
		{"1.2.3", "1.3.0", Minor, ""},
		{"1.2.3", "1.3.0", Major, "2.0.0"},
		{"1.2.3", "2.0.0", Major, ""},
		{"1.2.3", "3.1.4", Major, ""},
		{"1.2.3", "1.2.3", Patch, "1.2.4"},
		{"1.2.3", "1.1.9", Patch, "1.2.4"},
		{"0.2.3", "0.2.4", Minor, ""},
		{"0.2.3", "0.2.4", Major, "0.3.0"},
		{"0.2.3", "0.3.0", Major, ""},
		{"0.2.3", "1.0.0", Major, ""},
	} {
		d := &Difference{From: at(c.from), To: at(c.to), Needs: c.needs, Changes: []Change{{Level: c.needs}}}
		p := VersionProblem(d)
		switch {
		case c.want == "" && p != nil:
			t.Errorf("%s to %s, %s: got %v", c.from, c.to, c.needs, p)
		case c.want != "" && (p == nil || !strings.Contains(p.Fix, c.want)):
			t.Errorf("%s to %s, %s: got %v, want %s", c.from, c.to, c.needs, p, c.want)
		}
	}
	d := &Difference{From: at("1.0.0"), To: at("1.0.0"), Needs: Patch}
	if p := VersionProblem(d); p != nil {
		t.Errorf("the same: got %v", p)
	}
	d.To.Name = "standards.example/other"
	if p := VersionProblem(d); p == nil || p.Rule != "name" {
		t.Errorf("another's: got %v", p)
	}
}

// Published schemas against each other: whatever the pair, an end in
// reasonable time, and none differs from itself.
func TestComparePublished(t *testing.T) {
	root := filepath.Dir(data(t, "digital-planning"))
	var all []*Standard
	for _, p := range published {
		if testing.Short() && len(all) == 4 {
			break
		}
		all = append(all, mustLoad(t, publishedDir(t, root, p.schema, p.others, p.formats)))
	}
	for i, s := range all {
		if d := Compare(s, s); len(d.Changes) > 0 {
			t.Errorf("%s differs from itself: %+v", published[i].name, d.Changes[:1])
		}
		if i%4 != 1 {
			continue
		}
		d := Compare(all[0], s)
		if d.Needs != Major {
			t.Errorf("%s to %s: %s", published[0].name, published[i].name, d.Needs)
		}
	}
	// One field more, deep in the largest: it is found, and nothing else.
	b, err := os.ReadFile(filepath.Join(root, published[0].schema))
	if err != nil {
		t.Fatal(err)
	}
	const at = `"type": "object"`
	text := strings.Replace(string(b), at, at+`, "maxProperties": 99`, 1)
	if text == string(b) {
		t.Fatal("the schema is not as it was")
	}
	d := Compare(all[0], mustLoad(t, pack(text)))
	if len(d.Changes) == 0 || d.Needs != Major || !strings.Contains(d.Changes[0].What, "at most 99") {
		t.Errorf("got %d changes, %+v", len(d.Changes), d.Changes[:min(3, len(d.Changes))])
	}
	for _, c := range d.Changes {
		if !strings.Contains(c.What, "99") {
			t.Errorf("also %+v", c)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(`{"type":"object"}`, `{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"not":{}}]}}}`)
	f.Add(`{"oneOf":[{"const":1},{"enum":[2]}],"items":[{}],"dependencies":{"a":["b"]}}`, `{"if":{},"then":{"required":["x"]},"unevaluatedProperties":false}`)
	f.Fuzz(func(t *testing.T, x, y string) {
		a, err := Load(pack(x))
		if err != nil {
			return
		}
		b, err := Load(pack(y))
		if err != nil {
			return
		}
		if d := Compare(a, a); len(d.Changes) > 0 {
			t.Errorf("differs from itself: %+v", d.Changes)
		}
		d := Compare(a, b)
		for _, c := range d.Changes {
			if c.What == "" || rank(c.Level) < 0 || rank(c.Level) > rank(d.Needs) {
				t.Errorf("got %+v", c)
			}
		}
		VersionProblem(d)
	})
}
