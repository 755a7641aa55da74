package standard_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

// brownfield returns version 1.0.0 as it comes with Stile and the made-up 2.0.0.
func brownfield(t testing.TB) (one, two *standard.Standard) {
	t.Helper()
	one, err := standard.Load(schemas.FS("brownfield-site/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	two, err = standard.Load(os.DirFS("testdata/mapped/brownfield-site-2.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return one, two
}

// TestMappingOfBrownfield: every valid example of version 1 becomes a valid
// record of version 2 that holds what it should, and the input stays as it was.
func TestMappingOfBrownfield(t *testing.T) {
	one, two := brownfield(t)
	if ps := two.CheckMapping(one); len(ps) > 0 {
		t.Errorf("CheckMapping: %+v", ps)
	}
	m, ok := two.Mapping(1)
	if !ok || m.From() != 1 {
		t.Fatalf("Mapping(1) = %v, %v", m, ok)
	}
	if _, ok := two.Mapping(0); ok {
		t.Error("there is a mapping from major 0")
	}
	valid, _ := one.Examples()
	if len(valid) < 3 {
		t.Fatalf("version 1 has %d valid examples, too few to prove anything", len(valid))
	}
	for _, e := range valid {
		before := string(strictjson.Canonical(e.Record))
		out, err := m.Apply(e.Record)
		if err != nil {
			t.Errorf("%s: %v", e.File, err)
			continue
		}
		if ps := two.Validate(out); len(ps) > 0 {
			t.Errorf("%s, mapped: %+v", e.File, ps)
		}
		if after := string(strictjson.Canonical(e.Record)); after != before {
			t.Errorf("%s: Apply changed its input", e.File)
		}
		old, now := e.Record.(map[string]any), out.(map[string]any)
		if got := now["site"].(map[string]any)["address"]; got != old["siteNameAddress"] {
			t.Errorf("%s: address is %v, want %v", e.File, got, old["siteNameAddress"])
		}
		if _, there := now["workingNotes"]; there {
			t.Errorf("%s: the working notes travel", e.File)
		}
	}

	// An archive of it is the same standard, mapping and all.
	again, err := standard.LoadArchive(two.Archive())
	if err != nil {
		t.Fatal(err)
	}
	if string(again.Archive()) != string(two.Archive()) || fmt.Sprint(again.Mappings()) != "[1]" {
		t.Errorf("the archive lost something: mappings %v", again.Mappings())
	}
}

// dog makes a small standard. classes and schema are lines of YAML and members
// of the schema's properties.
func dog(t testing.TB, version, classes, properties string, more map[string]string) *standard.Standard {
	t.Helper()
	s, err := newDog(version, classes, properties, more)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newDog(version, classes, properties string, more map[string]string) (*standard.Standard, error) {
	files := fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/dog\nversion: " + version + "\ntitle: Dog\nstatus: live\nkey: [/id]\nclasses:\n  /id: open\n" + classes)},
		"schema.json":   {Data: []byte(`{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"},` + properties + `}}`)},
	}
	for p, text := range more {
		files[p] = &fstest.MapFile{Data: []byte(text)}
	}
	return standard.Load(files)
}

const dogOne = `"name":{"type":"string"},"owner":{"type":"object","additionalProperties":false,"properties":{"name":{"type":"string"},"phone":{"type":"string"}}},
"chip":{"type":"integer"},"colour":{"enum":["brown","white"]},"pups":{"type":"array","items":{"type":"object","additionalProperties":false,"properties":{"name":{"type":"string"},"born":{"type":"string"}}}}`

func mapping(steps string) map[string]string {
	return map[string]string{"mappings/1.yaml": "steps:\n" + steps}
}

// TestMappingSteps: what each verb makes of a record.
func TestMappingSteps(t *testing.T) {
	const in = `{"id":"1","name":"Rex","owner":{"name":"Ada","phone":"1"},"chip":900,"colour":"brown","pups":[{"name":"A","born":"2026"},{"name":"B"},7],"nothing":null}`
	for _, c := range []struct{ steps, want string }{
		{"  - move: /name\n    to: /called", `{"called":"Rex","chip":900,"colour":"brown","id":"1","nothing":null,"owner":{"name":"Ada","phone":"1"},"pups":[{"born":"2026","name":"A"},{"name":"B"},7]}`},
		{"  - move: /name\n    to: /name/first\n  - remove: /pups\n  - remove: /owner", `{"chip":900,"colour":"brown","id":"1","name":{"first":"Rex"},"nothing":null}`},
		{"  - copy: /owner\n    to: /owner/copy\n  - remove: /pups\n  - remove: /name", `{"chip":900,"colour":"brown","id":"1","nothing":null,"owner":{"copy":{"name":"Ada","phone":"1"},"name":"Ada","phone":"1"}}`},
		{"  - move: /pups/*/name\n    to: /pups/*/names/first\n  - remove: /owner\n  - remove: /name", `{"chip":900,"colour":"brown","id":"1","nothing":null,"pups":[{"born":"2026","names":{"first":"A"}},{"names":{"first":"B"}},7]}`},
		{"  - add: /pups/*/born\n    value: unknown\n  - remove: /owner\n  - remove: /name", `{"chip":900,"colour":"brown","id":"1","nothing":null,"pups":[{"born":"2026","name":"A"},{"born":"unknown","name":"B"},7]}`},
		{"  - add: /since\n    value: 2026-01-01\n  - add: /id\n    value: other\n  - add: /list\n    value: [1, 2.5, true, null, {a: b}]\n  - remove: /owner\n  - remove: /pups", `{"chip":900,"colour":"brown","id":"1","list":[1,2.5,true,null,{"a":"b"}],"name":"Rex","nothing":null,"since":"2026-01-01"}`},
		{"  - translate: /colour\n    values: {brown: 7}\n  - translate: /name\n    values: {x: y}\n    otherwise: keep\n  - remove: /owner\n  - remove: /pups", `{"chip":900,"colour":7,"id":"1","name":"Rex","nothing":null}`},
		{"  - text: /chip\n  - text: /nothing\n  - text: /absent\n  - move: /absent\n    to: /id\n  - remove: /owner\n  - remove: /pups", `{"chip":"900","colour":"brown","id":"1","name":"Rex","nothing":null}`},
	} {
		m, ok := dog(t, "2.0.0", "", dogOne, mapping(c.steps)).Mapping(1)
		if !ok {
			t.Fatal("no mapping")
		}
		rec, err := strictjson.Decode([]byte(in), strictjson.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Apply(rec)
		if err != nil {
			t.Errorf("%s\n%v", c.steps, err)
			continue
		}
		if got := string(strictjson.Canonical(out)); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.steps, got, c.want)
		}
	}
	for _, c := range []struct{ steps, at, why string }{
		{"  - move: /name\n    to: /id", "/id", "step 1 of mappings/1.yaml (move /name to /id): there is a value already"},
		{"  - move: /name\n    to: /id/x", "/id/x", "something other than a group of fields stands on the way"},
		{"  - move: /name\n    to: /nothing/x", "/nothing/x", "something other than a group of fields stands on the way"},
		{"  - remove: /absent\n  - translate: /colour\n    values: {white: w}", "/colour", "step 2 of mappings/1.yaml"},
		{"  - text: /owner", "/owner", "a list or a group of fields has no text"},
	} {
		m, _ := dog(t, "2.0.0", "", dogOne, mapping(c.steps)).Mapping(1)
		rec, _ := strictjson.Decode([]byte(in), strictjson.DefaultLimits())
		_, err := m.Apply(rec)
		var p *standard.Problem
		if !errors.As(err, &p) || p.Pointer != c.at || !strings.Contains(p.Detail, c.why) {
			t.Errorf("%s\ngot %+v, want %q at %s", c.steps, err, c.why, c.at)
			continue
		}
		for _, value := range []string{"Rex", "Ada", "brown", "900"} {
			if strings.Contains(err.Error(), value) {
				t.Errorf("%s: the error tells a value: %v", c.steps, err)
			}
		}
	}
	// What copies what it copied does not grow without end.
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "  - copy: /owner\n    to: /tmp/a\n  - copy: /owner\n    to: /tmp/b\n  - remove: /owner\n  - move: /tmp\n    to: /owner\n  - remove: /gone%d\n", i)
	}
	m, _ := dog(t, "2.0.0", "", dogOne, mapping(b.String())).Mapping(1)
	rec, _ := strictjson.Decode([]byte(in), strictjson.DefaultLimits())
	if _, err := m.Apply(rec); err == nil || !strings.Contains(err.Error(), "grows beyond any record") {
		t.Errorf("a mapping that doubles: %v", err)
	}
	if _, err := m.Apply([]any{1}); err == nil {
		t.Error("mapped a list")
	}
}

// TestMappingRefused: what is no mapping is refused at load, and told where.
func TestMappingRefused(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"mappings/1.yaml", "", "mapping is empty"},
		{"mappings/1.yaml", "{}", "mapping has no steps"},
		{"mappings/1.yaml", "steps: []\nfrom: 1\n", "field from not found"},
		{"mappings/1.yaml", "steps: []\n---\nsteps: []\n", "more than one YAML document"},
		{"mappings/1.yaml", "steps:\n  - {}\n", "step 1: does nothing"},
		{"mappings/1.yaml", "steps:\n  - remove: /a\n    copy: /b\n", "says copy and remove"},
		{"mappings/1.yaml", "steps:\n  - move: /a\n", `move "/a": wants "to"`},
		{"mappings/1.yaml", "steps:\n  - remove: /a\n    to: /b\n", `remove "/a": has no use for "to"`},
		{"mappings/1.yaml", "steps:\n  - add: /a\n", `add "/a": wants "value"`},
		{"mappings/1.yaml", "steps:\n  - remove: a\n", "want a JSON Pointer"},
		{"mappings/1.yaml", "steps:\n  - remove: ''\n", "want a place in the record"},
		{"mappings/1.yaml", "steps:\n  - remove: /a/*\n", "name a member"},
		{"mappings/1.yaml", "steps:\n  - move: /a/*/b\n    to: /c\n", "a value cannot leave its element"},
		{"mappings/1.yaml", "steps:\n  - move: /a/*/b\n    to: /c/*/b\n", "a value cannot leave its element"},
		{"mappings/1.yaml", "steps:\n  - move: /a\n    to: /a\n", "to the place where it stands"},
		{"mappings/1.yaml", "steps:\n  - add: /a\n    value: 0x10\n", "write it as JSON does"},
		{"mappings/1.yaml", "steps:\n  - add: /a\n    value: .inf\n", "write it as JSON does"},
		{"mappings/1.yaml", "steps:\n  - add: /a\n    value: &x [*x]\n", "value"},
		{"mappings/1.yaml", "steps:\n  - add: /a\n    value: !!binary aGk=\n", "want a JSON value"},
		{"mappings/1.yaml", "steps:\n  - translate: /a\n    values: {b: [1]}\n", "more values than a constant may"},
		{"mappings/1.yaml", "steps:\n  - translate: /a\n    values: {b: c}\n    otherwise: guess\n", "want keep or refuse"},
		{"mappings/1.yaml", "steps:\n  - add: /a\n    value: " + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "\n", "more values than a constant may"},
		{"mappings/1.yaml", "steps:\n" + strings.Repeat("  - remove: /a\n", 501), "over 500 steps"},
		{"mappings/2.yaml", "steps: []\n", "starts from an older major"},
		{"mappings/01.yaml", "steps: []\n", "name a mapping after the major"},
		{"mappings/one.yaml", "steps: []\n", "name a mapping after the major"},
	} {
		_, err := newDog("2.0.0", "", dogOne, map[string]string{c.file: c.text})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s:\n%.80s\ngot %v\nwant %q", c.file, c.text, err, c.want)
		}
	}
}

// TestMappingClasses: a mapping does not bring a value into a place of a more
// open class, whichever way it goes there.
func TestMappingClasses(t *testing.T) {
	one := dog(t, "1.3.0", "  /name: internal\n  /owner: personal\n  /owner/phone: special\n  /chip: internal\n  /colour: open\n  /pups: internal\n", dogOne, nil)
	for _, c := range []struct{ name, classes, props, steps, want string }{
		{"as it was", "  /name: internal\n  /owner: personal\n  /owner/phone: special\n  /chip: internal\n  /colour: open\n  /pups: internal\n", dogOne, " []", ""},
		{"stricter", "  /name: special\n  /owner: criminal\n  /chip: special\n", dogOne, " []", ""},
		{"left in place", "  /name: open\n  /owner/phone: special\n  /chip: internal\n  /pups: internal\n", dogOne, " []", "what is internal at /name of standards.example/dog@1.3.0 would be open"},
		{"a part of what stays", "  /owner: personal\n  /chip: internal\n  /pups: internal\n", dogOne, " []", "what is special at /owner/phone of standards.example/dog@1.3.0 would be personal"},
		{"moved", "  /called: open\n  /owner/phone: special\n", dogOne + `,"called":{"type":"string"}`, "\n  - move: /name\n    to: /called", "what is internal at /name of standards.example/dog@1.3.0 would be open at /called"},
		{"copied", "  /called: open\n  /owner/phone: special\n", dogOne + `,"called":{"type":"string"}`, "\n  - copy: /name\n    to: /called", "at /called"},
		{"moved with its container", "  /holder: internal\n", dogOne + `,"holder":{"type":"object"}`, "\n  - move: /owner\n    to: /holder", "what is special at /owner/phone of standards.example/dog@1.3.0 would be internal at /holder/phone"},
		{"moved twice", "  /called: open\n  /owner/phone: special\n", dogOne + `,"called":{"type":"string"}`, "\n  - move: /name\n    to: /tmp/x\n  - move: /tmp\n    to: /t2\n  - move: /t2/x\n    to: /called", "what is internal at /name of standards.example/dog@1.3.0 would be open at /called"},
		{"moved away, and another in its place", "  /title: internal\n  /name: open\n  /owner/phone: special\n  /pups: internal\n  /chip: internal\n", dogOne + `,"title":{"type":"string"}`, "\n  - move: /name\n    to: /title\n  - copy: /colour\n    to: /name", ""},
		{"translated", "  /called: open\n  /owner/phone: special\n", dogOne + `,"called":{"type":"string"}`, "\n  - translate: /name\n    values: {a: b}\n    otherwise: keep\n  - move: /name\n    to: /called", "at /called"},
		{"below an element", "  /pups: internal\n  /pups/*/name: internal\n  /owner/phone: special\n", dogOne, " []", ""},
		{"taken out", "  /holder: internal\n", `"holder":{"type":"object"}`, "\n  - remove: /name\n  - remove: /owner\n  - move: /chip\n    to: /holder/chip\n  - remove: /colour\n  - remove: /pups", ""},
	} {
		two, err := newDog("2.0.0", c.classes, c.props, map[string]string{"mappings/1.yaml": "steps:" + c.steps + "\n"})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := []string{}
		for _, p := range two.CheckMapping(one) {
			if p.Rule == standard.RuleMappingClass {
				got = append(got, p.Detail)
			}
		}
		text := strings.Join(got, "\n")
		if (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
	// Where the old version lets in what it does not name, that is personal, and
	// may not come to stand in the open.
	open, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/dog\nversion: 1.0.0\ntitle: Dog\nstatus: live\nkey: [/id]\nclasses: {/id: open}\n")},
		"schema.json":   {Data: []byte(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	two := dog(t, "2.0.0", "  /note: open\n", `"note":{"type":"string"}`, map[string]string{"mappings/1.yaml": "steps: []\n"})
	ps := two.CheckMapping(open)
	if len(ps) == 0 || ps[0].Rule != standard.RuleMappingClass || !strings.Contains(ps[0].Detail, "what is personal at /note") {
		t.Errorf("a field that version 1 does not name: %+v", ps)
	}
}

// TestCheckMapping: what cannot work is told before anybody serves by it.
func TestCheckMapping(t *testing.T) {
	one := dog(t, "1.0.0", "", dogOne, map[string]string{
		"examples/valid/rex.json": `{"id":"1","name":"Rex","chip":1,"colour":"brown"}`,
	})
	for _, c := range []struct{ steps, props, rule, at, want string }{
		{"  - remove: /nome\n", dogOne, standard.RuleMappingSource, "mappings/1.yaml#/steps/0", "has nothing there"},
		{"  - move: /name\n    to: /x\n  - remove: /x\n  - remove: /name\n", dogOne, standard.RuleMappingSource, "mappings/1.yaml#/steps/2", "has nothing there"},
		{"  - move: /name\n    to: /title\n", dogOne, standard.RuleMappingTarget, "mappings/1.yaml", "/title, which comes from /name"},
		{"  []\n", `"name":{"type":"string"}`, standard.RuleMappingTarget, "mappings/1.yaml", "has no place for /chip"},
		{"  - add: /since\n    value: 1\n", dogOne, standard.RuleMappingTarget, "mappings/1.yaml#/steps/0", "no place for what is added at /since"},
		{"  - translate: /colour\n    values: {white: white}\n", dogOne, standard.RuleMappingValue, "mappings/1.yaml#/steps/0", "the table lacks what standards.example/dog@1.0.0 allows at /colour: brown"},
		{"  - text: /chip\n", dogOne, standard.RuleMappingExample, "examples/valid/rex.json#/chip", "mapped, is refused: must be a whole number"},
		{"  - move: /id\n    to: /name\n", dogOne, standard.RuleMappingExample, "examples/valid/rex.json#/name", "cannot be mapped: step 1"},
	} {
		two := dog(t, "2.0.0", "", c.props, mapping(c.steps))
		ps := two.CheckMapping(one)
		found := false
		for _, p := range ps {
			found = found || p.Rule == c.rule && p.Pointer == c.at && strings.Contains(p.Detail, c.want)
		}
		if !found {
			t.Errorf("%s\ngot %+v\nwant %s at %s: %s", c.steps, ps, c.rule, c.at, c.want)
		}
	}
	if ps := dog(t, "2.0.0", "", dogOne, nil).CheckMapping(one); ps != nil {
		t.Errorf("without a mapping: %+v", ps)
	}
}

// TestMappingHostile: a mapping or a manifest made to be costly ends soon, when
// it is checked and when it is applied.
func TestMappingHostile(t *testing.T) {
	began := time.Now()
	m, _ := dog(t, "2.0.0", "", dogOne, mapping(strings.Repeat("  - translate: /pups/*\n    values: {a: a}\n", 500))).Mapping(1)
	pups := make([]any, 90_000)
	for i := range pups {
		pups[i] = "a"
	}
	if _, err := m.Apply(map[string]any{"id": "1", "pups": pups}); err == nil || !strings.Contains(err.Error(), "takes more work") {
		t.Errorf("45 000 000 values translated: %v", err)
	}
	t.Logf("applied, and given up, in %v", time.Since(began))

	began = time.Now()
	var classes, props, steps strings.Builder
	for i := range 1900 {
		fmt.Fprintf(&classes, "  /name/p%d: special\n", i)
	}
	for i := range 300 {
		fmt.Fprintf(&props, `,"q%d":{}`, i)
		fmt.Fprintf(&steps, "  - copy: /name\n    to: /q%d/x\n", i)
	}
	for i := range 200 {
		fmt.Fprintf(&steps, "  - copy: /q%d\n    to: /r%d\n", i, i)
	}
	one, err := newDog("1.0.0", classes.String(), `"name":{"type":"object"}`+props.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := newDog("2.0.0", "", dogOne, mapping(steps.String()))
	if err != nil {
		t.Fatal(err)
	}
	refused := false
	for _, p := range two.CheckMapping(one) {
		refused = refused || p.Rule == standard.RuleMappingClass
	}
	if !refused {
		t.Error("a mapping that is too large to check is not refused")
	}
	t.Logf("checked, and given up, in %v", time.Since(began))
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("the check took %v", d)
	}
}

// FuzzMapping: whatever is read as a mapping neither panics nor changes its
// input nor loses its way, and makes canonical JSON of any record.
func FuzzMapping(f *testing.F) {
	if b, err := fs.ReadFile(os.DirFS("testdata/mapped/brownfield-site-2.0.0"), "mappings/1.yaml"); err != nil {
		f.Fatal(err)
	} else {
		f.Add(string(b), `{"siteNameAddress":"x","planningStatus":"permissioned"}`)
	}
	f.Add("steps:\n  - copy: /a/*/b\n    to: /a/*/c/d\n  - text: /a/*\n  - add: /x/*/y\n    value: {z: [1]}\n", `{"a":[{"b":[1,{}]},2],"x":[{}]}`)
	f.Fuzz(func(t *testing.T, text, rec string) {
		s, err := newDog("2.0.0", "", dogOne, map[string]string{"mappings/1.yaml": text})
		if err != nil {
			return
		}
		m, ok := s.Mapping(1)
		if !ok {
			t.Fatal("read, and not there")
		}
		m.Words()
		v, err := strictjson.Decode([]byte(rec), strictjson.DefaultLimits())
		if err != nil {
			return
		}
		before := string(strictjson.Canonical(v))
		out, err := m.Apply(v)
		if after := string(strictjson.Canonical(v)); after != before {
			t.Fatalf("changed its input from %s to %s", before, after)
		}
		if err == nil {
			if again, err := m.Apply(v); err != nil || string(strictjson.Canonical(again)) != string(strictjson.Canonical(out)) {
				t.Fatalf("a second time: %v", err)
			}
		}
		s.CheckMapping(s)
	})
}

// BenchmarkMappingApply is what one brownfield entry costs to map, and to map
// and validate.
func BenchmarkMappingApply(b *testing.B) {
	one, two := brownfield(b)
	m, _ := two.Mapping(1)
	valid, _ := one.Examples()
	for _, judged := range []bool{false, true} {
		b.Run(map[bool]string{false: "Map", true: "MapAndValidate"}[judged], func(b *testing.B) {
			for b.Loop() {
				out, err := m.Apply(valid[0].Record)
				if err != nil || judged && len(two.Validate(out)) > 0 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkCheckMapping is what a mapping costs to check against the version
// before, which happens once.
func BenchmarkCheckMapping(b *testing.B) {
	one, two := brownfield(b)
	for b.Loop() {
		if ps := two.CheckMapping(one); len(ps) > 0 {
			b.Fatal(ps)
		}
	}
}
