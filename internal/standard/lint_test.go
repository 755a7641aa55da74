package standard

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf16"

	"github.com/stile-exchange/stile/schemas"
)

func wide(s string) []byte {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

// good is a standard of which lint has nothing to say.
func good() fstest.MapFS {
	return fstest.MapFS{
		"standard.yaml": {Data: []byte(`name: standards.example/test
version: 1.0.0
title: Test
description: One test.
licence: OGL-UK-3.0
source: https://standards.example/law
status: live
key: [/id]
classes:
  /id: open
  /person: personal
  /person/name: personal
measures: {fresh_within: P7D}
`)},
		"schema.json": {Data: []byte(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["id"],
  "properties": {
    "id": {"type": "string", "title": "Reference"},
    "person": {"title": "Person", "$ref": "#/$defs/person"}
  },
  "additionalProperties": false,
  "$defs": {
    "person": {"type": "object", "properties": {"name": {"type": "string", "title": "Name"}}, "additionalProperties": false}
  }
}
`)},
		"examples/valid/a.json":   {Data: []byte(`{"id": "1", "person": {"name": "A"}}`)},
		"examples/invalid/b.json": {Data: []byte(`{}`)},
	}
}

// Each thing that lint looks for, found in a standard that is otherwise good:
// with its severity, its place and a fix.
func TestLintFinds(t *testing.T) {
	const y, j = "standard.yaml", "schema.json"
	for _, c := range []struct {
		name              string
		file, change, new string // change: "" sets the file; new: "" with change "" removes it
		sev               Severity
		rule, at          string
		line              int
		detail            string
	}{
		{"no manifest", y, "", "", SeverityError, "files", "", 0, "standard.yaml"},
		{"no schema", j, "", "", SeverityError, "files", "", 0, "schema.json"},
		{"an unknown heading", y, "title: Test", "title: Test\ncolour: blue", SeverityError, "manifest", "", 4, "field colour is not a heading"},
		{"a bad status", y, "status: live", "status: final", SeverityError, "manifest", "/status", 7, "final"},
		{"a bad class", y, "/id: open", "/id: secret", SeverityError, "manifest", "/classes/~1id", 10, "secret"},
		{"several faults at once", y, "title: Test", "title: ''", SeverityError, "manifest", "/title", 3, "empty"},
		{"open below personal", y, "/person/name: personal", "/person/name: open", SeverityError, "manifest", "/classes", 9, "/person"},
		{"no description", y, "description: One test.\n", "", SeverityWarning, "no-words", "", 0, "description"},
		{"no licence", y, "licence: OGL-UK-3.0\n", "", SeverityNote, "no-licence", "", 0, "licence"},
		{"no source", y, "source: https://standards.example/law\n", "", SeverityNote, "no-source", "", 0, "source"},
		{"no measures", y, "measures: {fresh_within: P7D}\n", "", SeverityNote, "no-measures", "", 0, "fresh"},
		{"live below 1", y, "1.0.0", "0.3.0", SeverityWarning, "status", "/status", 7, "0.3.0"},
		{"retired", y, "status: live", "status: retired", SeverityNote, "status", "/status", 7, "retired"},
		{"a draft of 1.0.0", y, "status: live", "status: draft", SeverityNote, "status", "/status", 7, "draft"},
		{"a field without a class", y, "  /person: personal\n  /person/name: personal\n", "", SeverityWarning, "no-class", "/classes", 9, "/person"},
		{"a class of nothing", y, "/person/name:", "/person/nmae:", SeverityWarning, "class-of-nothing", "/classes/~1person~1nmae", 12, "/person/nmae"},
		{"no classes at all", y, "classes:\n  /id: open\n  /person: personal\n  /person/name: personal\n", "", SeverityWarning, "no-classes", "", 0, "personal"},
		{"a person in the open", j, `"id": {"type"`, `"nino": {"title":"N","type":"string"}, "id": {"type"`, SeverityWarning, "open-person", "/classes/~1nino", 10, "nino"},
		{"a key not required", j, `"required": ["id"],`, ``, SeverityWarning, "key-optional", "/key/0", 8, "/id"},
		{"a key that is not there", y, "key: [/id]", "key: [/reference]", SeverityError, "key-unknown", "/key/0", 8, "/reference"},
		{"a key that is a group", y, "key: [/id]", "key: [/person]", SeverityError, "key-not-single", "/key/0", 8, "a group of fields"},
		{"a key of any type", j, `"id": {"type": "string", `, `"id": {`, SeverityNote, "key-type", "/key/0", 8, "does not say"},

		{"a mapping that is none", "mappings/0.yaml", "", "steps:\n- jump: /a\n", SeverityError, "mapping", "", 2, "jump"},
		{"a mapping of a major to come", "mappings/3.yaml", "", "steps: []\n", SeverityError, "mapping", "", 0, "older major"},

		{"UTF-8 with a mark", j, "", "\ufeff{}", SeverityError, "encoding", "", 0, "byte order mark"},
		{"UTF-16", j, "", string(wide(`{"required":["a","a"]}`)), SeverityError, "encoding", "", 0, "UTF-16"},
		{"UTF-16 and what else is wrong", j, "", string(wide(`{"required":["a","a"]}`)), SeverityError, "required-twice", "/required/1", 1, "twice"},
		{"YAML", j, "", "type: object\n", SeverityError, "json", "", 1, "YAML"},
		{"XML", j, "", "<xs:schema/>", SeverityError, "json", "", 1, "XML"},
		{"not JSON", j, "", "{\n\"a\": 1,\n}", SeverityError, "json", "", 3, "syntax"},
		{"a name twice", j, "", "{\n\"a\": 1,\n\"a\": 2}", SeverityError, "json", "/a", 3, "duplicate"},
		{"a list", j, "", "[]", SeverityError, "not-a-schema", "", 0, "object"},
		{"a schema of a list", j, "", `{"type":"array","items":{"type":"object"}}`, SeverityError, "not-a-record", "/type", 1, "a list"},
		{"a schema of a list", j, "", "---\ntype: object", SeverityError, "json", "", 1, "YAML"},
		{"an interface", j, "", `{"swagger":"2.0","definitions":{"a":{}}}`, SeverityError, "not-a-schema", "", 0, "OpenAPI"},
		{"a table schema", j, "", `{"fields":[{"name":"a"}]}`, SeverityError, "not-a-schema", "", 0, "columns"},
		{"nothing asked", j, "", `{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"a":{"type":"object"}}}`, SeverityError, "asks-nothing", "", 0, "every record"},
		{"another dialect", j, "draft/2020-12", "draft/2031-01", SeverityError, "unknown-draft", "/$schema", 2, "no draft"},
		{"no dialect", j, `  "$schema": "https://json-schema.org/draft/2020-12/schema",` + "\n", "", SeverityWarning, "no-draft", "", 0, "2020-12"},
		{"the meta-schema", j, `"type": "string", "title": "Reference"`, `"type": "strin", "title": "Reference"`, SeverityError, "meta-schema", "/properties/id/type", 6, "must be one of"},
		{"required twice", j, `["id"]`, `["id", "id"]`, SeverityError, "required-twice", "/required/1", 4, `"id"`},
		{"required and forbidden", j, `["id"]`, `["id", "ref"]`, SeverityError, "required-forbidden", "/required/1", 4, "no record"},
		{"an empty enum", j, `"title": "Reference"`, `"title": "Reference", "enum": []`, SeverityError, "empty-enum", "/properties/id/enum", 6, "empty"},
		{"an enum of another type", j, `"title": "Reference"`, `"title": "Reference", "enum": [1]`, SeverityError, "enum-type", "/properties/id/enum", 6, "text"},
		{"an enum with a repeat", j, `"title": "Reference"`, `"title": "Reference", "enum": ["1", "1"]`, SeverityWarning, "enum-twice", "/properties/id/enum", 6, "twice"},
		{"a number beyond 2^53", j, `"title": "Name"`, `"title": "Name", "enum": ["A", 9007199254740993]`, SeverityError, "large-number", "/$defs/person/properties/name/enum/1", 11, "2^53"},
		{"a limit beyond 2^53", j, `"title": "Name"`, `"title": "Name", "maximum": 9223372036854775807`, SeverityWarning, "large-number", "/$defs/person/properties/name/maximum", 11, "2^53"},
		{"limits crossed", j, `"title": "Name"`, `"title": "Name", "minLength": 5, "maxLength": 4`, SeverityError, "nothing-between", "/$defs/person/properties/name/minLength", 11, "no value"},
		{"a keyword of another type", j, `"title": "Name"`, `"title": "Name", "minItems": 5`, SeverityWarning, "idle-keyword", "/$defs/person/properties/name/minItems", 11, "never applies"},
		{"a misspelt keyword", j, `"title": "Name"`, `"title": "Name", "maxlength": 5`, SeverityWarning, "unknown-keyword", "/$defs/person/properties/name/maxlength", 11, "maxLength"},
		{"a keyword of another draft", j, `"title": "Name"`, `"title": "Name", "additionalItems": false`, SeverityWarning, "other-draft", "/$defs/person/properties/name/additionalItems", 11, "2020-12"},
		{"beside a reference", j, "", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"id":{"$ref":"#/definitions/x","maxLength":3}},"definitions":{"x":{}}}`, SeverityWarning, "beside-ref", "/properties/id", 1, "maxLength"},
		{"an unknown format", j, `"title": "Name"`, `"title": "Name", "format": "postcode"`, SeverityWarning, "unknown-format", "/$defs/person/properties/name/format", 11, "postcode"},
		{"a long pattern", j, `"title": "Name"`, `"title": "Name", "pattern": "` + strings.Repeat("a", 15<<10) + `"`, SeverityError, "pattern", "/$defs/person/properties/name/pattern", 11, "over 4096 bytes"},
		{"a pattern of another dialect", j, `"title": "Name"`, `"title": "Name", "pattern": "^a\\Z"`, SeverityError, "pattern", "/$defs/person/properties/name/pattern", 11, "escape"},
		{"a pattern that refers back", j, `"title": "Name"`, `"title": "Name", "pattern": "^(a)\\1$"`, SeverityWarning, "pattern-slow", "/$defs/person/properties/name/pattern", 11, "refers back"},
		{"a pattern that runs away", j, `"title": "Name"`, `"title": "Name", "pattern": "^A(([a-z]+)+)x\\2$"`, SeverityError, "pattern-runs-away", "/$defs/person/properties/name/pattern", 11, "without end"},
		{"a reference to nothing", j, `"$ref": "#/$defs/person"`, `"$ref": "#/$defs/persons"`, SeverityError, "reference", "/properties/person/$ref", 7, "nothing at that place"},
		{"a reference to no anchor", j, `"$ref": "#/$defs/person"`, `"$ref": "#person"`, SeverityError, "reference", "/properties/person/$ref", 7, "$anchor"},
		{"a reference out", j, `"$ref": "#/$defs/person"`, `"$ref": "https://standards.example/person.json"`, SeverityError, "reference", "/properties/person/$ref", 7, "not in the folder"},
		{"a reference to a name", j, `"$ref": "#/$defs/person"`, `"$ref": "urn:example:person"`, SeverityError, "reference", "/properties/person/$ref", 7, "not in the folder"},
		{"a dead reference that nothing uses", j, `"$defs": {`, `"$defs": {"x": {"$ref": "other.json"},`, SeverityWarning, "reference", "/$defs/x/$ref", 10, "not in the folder"},
		{"a ring", j, `"$defs": {`, `"$ref": "#/$defs/r", "$defs": {"r": {"$ref": "#"},`, SeverityError, "endless", "", 0, "nothing but itself"},
		{"an open group", j, `"additionalProperties": false,`, ``, SeverityNote, "open-group", "", 0, "the record itself"},
		{"a field without words", j, `, "title": "Name"`, ``, SeverityNote, "no-words", "", 0, "name"},
		{"no valid example", "examples/valid/a.json", "", "", SeverityWarning, "no-examples", "", 0, "no example"},
		{"an example that is refused", "examples/valid/a.json", "", `{"id":1}`, SeverityError, "example", "/id", 1, "must be text"},
		{"an example without a key", "examples/valid/a.json", "", `{"id":true,"id":1}`, SeverityError, "example", "", 0, "cannot be read"},
		{"a bad example that is good", "examples/invalid/b.json", "", `{"id":"1"}`, SeverityError, "example", "", 0, "is valid"},
	} {
		fsys := good()
		switch {
		case c.change == "" && c.new == "":
			delete(fsys, c.file)
		case c.change == "":
			fsys[c.file] = &fstest.MapFile{Data: []byte(c.new)}
		default:
			old := string(fsys[c.file].Data)
			if !strings.Contains(old, c.change) {
				t.Fatalf("%s: %q is not in %s", c.name, c.change, c.file)
			}
			fsys[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(old, c.change, c.new, 1))}
		}
		if c.rule == "open-person" {
			fsys[y] = &fstest.MapFile{Data: []byte(strings.Replace(string(fsys[y].Data), "/id: open", "/nino: open\n  /id: open", 1))}
		}
		s, fs := Lint(fsys)
		i := slices.IndexFunc(fs, func(f Finding) bool {
			return f.Severity == c.sev && f.Rule == c.rule && f.Pointer == c.at && (c.line == 0 || f.Line == c.line) && strings.Contains(f.Detail, c.detail)
		})
		if i < 0 {
			t.Errorf("%s: not found among\n%s", c.name, listFindings(fs))
			continue
		}
		for _, f := range fs {
			if f.Detail == "" || f.Fix == "" {
				t.Errorf("%s: without words: %+v", c.name, f)
			}
		}
		_, err := Load(fsys)
		if (s == nil) != (err != nil) {
			t.Errorf("%s: lint gives %v, load %v", c.name, s, err)
		}
		if err != nil && fs[0].Severity != SeverityError {
			t.Errorf("%s: refused by load (%v), but lint has no error", c.name, err)
		}
	}
}

func listFindings(fs []Finding) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, "\t%s %s:%d %q [%s] %.300s\n", f.Severity, f.File, f.Line, f.Pointer, f.Rule, f.Detail)
	}
	return b.String()
}

func TestLintGood(t *testing.T) {
	if s, fs := Lint(good()); s == nil || len(fs) > 0 {
		t.Errorf("got %v,\n%s", s, listFindings(fs))
	}
	s := mustLoad(t, good())
	if s2, fs := LintArchive(s.Archive()); s2 == nil || len(fs) > 0 {
		t.Errorf("archive: got %v,\n%s", s2, listFindings(fs))
	}
	if s, fs := LintArchive([]byte("no archive")); s != nil || len(fs) != 1 || fs[0].Severity != SeverityError {
		t.Errorf("no archive: got %v, %v", s, fs)
	}
	for _, n := range schemas.Names() {
		if _, fs := Lint(schemas.FS(n)); len(fs) > 0 && fs[0].Severity == SeverityError {
			t.Errorf("%s:\n%s", n, listFindings(fs))
		}
	}
}

// Everything is told at once, and much of a kind as a number.
func TestLintTellsAll(t *testing.T) {
	fsys := good()
	fsys["schema.json"] = &fstest.MapFile{Data: []byte(`{
"$schema": "https://json-schema.org/draft/2020-12/schema",
"type": "object", "required": ["id", "id"],
"properties": {
"id": {"$ref": "nowhere.json"},
"a": {"enum": []},
"b": {"pattern": "("},
"c": {"type": "strin"},
"d": {"format": "postcode"}` + func() string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, ",\n\"e%d\": {\"$ref\": \"#/$defs/e%d\"}", i, i)
		}
		return b.String()
	}() + `}}`)}
	fsys["standard.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(fsys["standard.yaml"].Data), "status: live", "status: alive", 1))}
	_, fs := Lint(fsys)
	for _, rule := range []string{"manifest", "required-twice", "reference", "empty-enum", "pattern", "unknown-format"} {
		if !slices.ContainsFunc(fs, func(f Finding) bool { return f.Rule == rule }) {
			t.Errorf("no %s among\n%s", rule, listFindings(fs))
		}
	}
	if !slices.ContainsFunc(fs, func(f Finding) bool { return f.Detail == "… and 31 more like it" }) || len(fs) > 40 {
		t.Errorf("got %d findings\n%s", len(fs), listFindings(fs))
	}
}

func TestCheckFolder(t *testing.T) {
	s := mustLoad(t, good()) // test 1.0.0
	for at, ok := range map[string]bool{
		"": true, ".": true, "test": true, "/home/me/anything": true, "my-release-of-it": true,
		"standards/test/1.0.0": true, "test@1.0.0": true, "test-1.0.0.zip": true, "a/test-v1.0.0.tar.gz": true,
		"standards/test/1.0.1": false, "standards/other/1.0.0": false, "other@1.0.0": false, "test-2.0.0.zip": false, "x/test@1.0.1/": false,
	} {
		if f := s.CheckFolder(at); (f == nil) != ok {
			t.Errorf("%q: got %+v", at, f)
		}
	}
}

// Whatever stands in the folder, lint ends soon and says why the standard is
// refused.
func TestLintHostile(t *testing.T) {
	rep := strings.Repeat
	for name, schema := range map[string]string{
		"10 MB":           `{"$comment":"` + rep("x", 10<<20) + `"}`,
		"10 000 deep":     rep(`{"not":`, 10_000) + `{}` + rep(`}`, 10_000),
		"a 15 KB pattern": `{"pattern":"` + rep("a", 15<<10) + `"}`,
		"60 000 patterns": `{"anyOf":[` + rep(`{"pattern":"("},`, 10_000) + `{}]}`,
		"references that double": `{"$ref":"#/$defs/d0","$defs":{` + func() string {
			var b strings.Builder
			for i := range 60 {
				fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
			}
			return b.String()
		}() + `"d60":{"type":"object"}}}`,
		"thousands that run away": `{"anyOf":[` + func() string {
			var b strings.Builder
			for i := range 2000 {
				fmt.Fprintf(&b, `{"pattern":"x(?=(a+)+%d$)"},`, i)
			}
			return b.String()
		}() + `{}]}`,
		"thousands of dead references": `{"anyOf":[` + rep(`{"$ref":"#/a/b/c"},`, 3_000) + `{}]}`,
		"a pointer of 3 MB":            `{"$ref":"#/` + rep("a/", 1<<20) + `"}`,
		"too many objects":             `{"examples":[` + rep(`{},`, 61_000) + `{}]}`,
	} {
		fsys := good()
		fsys["schema.json"] = &fstest.MapFile{Data: []byte(schema)}
		start := time.Now()
		_, fs := Lint(fsys)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: took %v", name, took)
		}
		if len(fs) == 0 || fs[0].Severity != SeverityError || len(fs) > 100 {
			t.Errorf("%s: got %d findings\n%s", name, len(fs), listFindings(fs[:min(3, len(fs))]))
		}
		for _, f := range fs {
			if len(f.Detail)+len(f.Pointer)+len(f.Fix) > 5000 {
				t.Errorf("%s: a finding of %d bytes: %.200s", name, len(f.Detail)+len(f.Pointer)+len(f.Fix), f.Detail)
			}
		}
	}
}

func FuzzLint(f *testing.F) {
	for _, fsys := range []fstest.MapFS{good(), sample()} {
		f.Add(fsys["standard.yaml"].Data, fsys["schema.json"].Data, []byte(`{"id":"1"}`))
	}
	f.Add([]byte("classes: {/a/*/b: open}\nkey: [/a]"), []byte(`{"$id":"urn:x","$ref":"#a","items":[{"$anchor":"a"}],"required":[1,"a","a"]}`), []byte("[]"))
	f.Fuzz(func(t *testing.T, manifest, schema, example []byte) {
		fsys := fstest.MapFS{"standard.yaml": {Data: manifest}, "schema.json": {Data: schema}, "schemas/x.json": {Data: schema}, "examples/valid/a.json": {Data: example}}
		s, fs := Lint(fsys)
		_, err := Load(fsys)
		if (s == nil) != (err != nil) {
			t.Errorf("lint gives %v, load %v", s != nil, err)
		}
		if err != nil && (len(fs) == 0 || fs[0].Severity != SeverityError) {
			t.Errorf("load: %v; lint:\n%s", err, listFindings(fs))
		}
	})
}

// Lint is about linear in a standard's fields and classes: a schema of thousands
// takes a moment, not minutes.
func TestLintOfManyFields(t *testing.T) {
	fsys := good()
	var schema, classes strings.Builder
	schema.WriteString(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["id"],"properties":{"id":{"type":"string"}`)
	for i := range 4000 {
		fmt.Fprintf(&schema, `,"p%d":{"type":"string","minLength":%d}`, i, i%7)
		if i < 1000 {
			fmt.Fprintf(&classes, "  /p%d: internal\n", i)
		}
	}
	schema.WriteString(`}}`)
	fsys["schema.json"] = &fstest.MapFile{Data: []byte(schema.String())}
	fsys["standard.yaml"] = &fstest.MapFile{Data: []byte(manifest + "classes:\n  /id: open\n" + classes.String())}
	fsys["examples/valid/a.json"] = &fstest.MapFile{Data: []byte(`{"id":"1"}`)}
	start := time.Now()
	s, found := Lint(fsys)
	took := time.Since(start)
	if s == nil || slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == SeverityError }) {
		t.Errorf("%+v", found)
	}
	t.Logf("linted in %v", took)
	if took > 20*time.Second { // half a second on a quiet machine; it was 41
		t.Errorf("took %v", took)
	}
}

// A publisher hears what an example costs, and how large a record like it may
// grow before it is judged no longer.
func TestLintTellsCost(t *testing.T) {
	fsys := good()
	fsys["schema.json"] = &fstest.MapFile{Data: []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["id"],
		"properties":{"id":{"type":"string"},"list":{"type":"array","items":{"anyOf":[` + strings.Repeat(`{"type":"string","pattern":"a.*b.*c.*d$"},`, 60) + `{"type":"string"}]}}}}`)}
	fsys["examples/valid/a.json"] = &fstest.MapFile{Data: []byte(`{"id":"1","list":["abcabcabcabcabcabcabcabc"]}`)}
	s, found := Lint(fsys)
	if s == nil {
		t.Fatalf("%+v", found)
	}
	costs := s.Costs()
	if len(costs) != 1 || costs[0].Steps == 0 || costs[0].Steps > costs[0].Limit || costs[0].UnjudgedAt == 0 {
		t.Fatalf("%+v", costs)
	}
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Rule == "dear" && strings.Contains(f.Detail, "kB would not be judged") }) {
		t.Errorf("no word of it: %+v", found)
	}
	// And so it is: half of that is judged, that is not.
	list := make([]any, costs[0].UnjudgedAt/27)
	for i := range list {
		list[i] = "abcabcabcabcabcabcabcabc"
	}
	if ps := s.Validate(map[string]any{"id": "1", "list": list}); !Unjudged(ps) {
		t.Errorf("as large: %d problems", len(ps))
	}
	if ps := s.Validate(map[string]any{"id": "1", "list": list[:len(list)/3]}); ps != nil {
		t.Errorf("a third: %+v", ps[:1])
	}
}
