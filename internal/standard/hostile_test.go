package standard

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// soon is what a hostile validation may take, with room for a busy machine and
// the race detector. On a quiet one they end in 30 to 150 ms.
const soon = 3 * time.Second

// Schemas that no one may load: each refused at once and with a reason.
func TestHostileSchemasRefused(t *testing.T) {
	rep := func(s string, n int) string { return strings.Repeat(s, n) }
	defs := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, format, i, i+1)
		}
		return b.String()
	}
	chain := func(n int, link string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":`+link+`,`, i, i+1, i+1)
		}
		return b.String()
	}
	for _, c := range []struct{ name, schema, want string }{
		{"not json", `{`, "syntax"},
		{"not an object", `[]`, "not a JSON Schema"},
		{"a duplicate key", `{"type":"object","type":"string"}`, "duplicate-key"},
		{"a huge exponent", `{"maximum":1e10000000}`, "number"},
		{"a tiny exponent", `{"multipleOf":1e-10000000}`, "number"},
		{"a long number", `{"maximum":` + rep("9", 100_000) + `}`, "number"},
		{"too large", `{"$comment":"` + rep("x", 10<<20) + `"}`, "larger"},
		{"10 000 deep", rep(`{"not":`, 10_000) + `{}` + rep(`}`, 10_000), "depth"},
		{"10 000 deep in an annotation", `{"default":` + rep(`[`, 10_000) + rep(`]`, 10_000) + `}`, "depth"},
		{"too many schemas", `{"anyOf":[` + rep(`{"a":1},`, 13_000) + `{}]}`, "schemas"},
		{"too many objects", `{"examples":[` + rep(`{},`, 61_000) + `{}]}`, "objects"},
		{"too many $id", `{"$defs":{` + defs(600, `"d%d":{"$id":"https://x.example/%d"}`) + `}}`, "$id"},
		{"too many odd references", `{"components":{` + defs(300, `"c%d":{"minLength":%d}`) + `},"anyOf":[` + defs(300, `{"$ref":"#/components/c%d","title":"%d"}`) + `]}`, "under $defs"},
		{"an enum without end", `{"enum":[` + rep(`1,`, 10_001) + `2]}`, "enum"},
		{"a 15 KB pattern", `{"pattern":"` + rep("a", 15<<10) + `"}`, "pattern is over"},
		{"a pattern that multiplies", `{"pattern":"(abcdefghijklmnopqrstuvwxyz){1000}"}`, "repeats too much"},
		{"a pattern of another dialect", `{"pattern":"^a\\Z"}`, "escape"},
		{"a broken pattern", `{"pattern":"("}`, "regular expression"},
		{"a broken pattern of names", `{"patternProperties":{"[":{}}}`, "regular expression"},
		{"itself", `{"$ref":"#"}`, "itself without end"},
		{"itself by a ring", `{"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"$ref":"#/$defs/a"}}}`, "itself without end"},
		{"a chain of references", `{"$ref":"#/$defs/d0","$defs":{` + defs(400, `"d%d":{"$ref":"#/$defs/d%d"}`) + `,"d400":{}}}`, "schemas judge one value"},
		{"a chain in draft 4", `{"$schema":"http://json-schema.org/draft-04/schema#","$ref":"#/definitions/d0","definitions":{` + defs(400, `"d%d":{"$ref":"#/definitions/d%d"}`) + `,"d400":{}}}`, "schemas judge one value"},
		{"allOf doubles", `{"$ref":"#/$defs/d0","$defs":{` + chain(40, `{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`) + `"d40":{"type":"object"}}}`, "as often as it is referred to"},
		{"anyOf doubles and fails by type", `{"$ref":"#/$defs/d0","$defs":{` + chain(40, `{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`) + `"d40":{"type":"string"}}}`, "as often as it is referred to"},
		{"anyOf doubles and fails by false", `{"$ref":"#/$defs/d0","$defs":{` + chain(40, `{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`) + `"d40":false}}`, "as often as it is referred to"},
		{"oneOf doubles", `{"$ref":"#/$defs/d0","$defs":{` + chain(40, `{"oneOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`) + `"d40":{"const":1}}}`, "as often as it is referred to"},
		{"if doubles", `{"$ref":"#/$defs/d0","$defs":{` + chain(40, `{"if":{"$ref":"#/$defs/d%d"},"then":{"$ref":"#/$defs/d%d"}}`) + `"d40":true}}`, "as often as it is referred to"},
		{"not doubles", `{"$ref":"#/$defs/d0","$defs":{` + chain(40, `{"not":{"$ref":"#/$defs/d%d"},"anyOf":[{"$ref":"#/$defs/d%d"},true]}`) + `"d40":true}}`, "as often as it is referred to"},
		{"draft 4 references double", `{"$schema":"http://json-schema.org/draft-04/schema#","$ref":"#/definitions/d0","definitions":{` + chain(40, `{"allOf":[{"$ref":"#/definitions/d%d"},{"$ref":"#/definitions/d%d"}]}`) + `"d40":{}}}`, "as often as it is referred to"},
		{"a file", `{"$ref":"file:///etc/passwd"}`, "nothing is fetched"},
		{"a relative file", `{"$ref":"../../../../etc/passwd"}`, "nothing is fetched"},
		{"the network", `{"$ref":"https://standards.example/other.json"}`, "nothing is fetched"},
		{"the machine itself", `{"$ref":"http://169.254.169.254/latest/meta-data"}`, "nothing is fetched"},
		{"a meta-schema elsewhere", `{"$schema":"https://standards.example/meta.json"}`, "nothing is fetched"},
		{"a meta-schema that is itself", `{"$schema":"stile://standard/schema.json"}`, ""},
		{"an empty reference target", `{"$ref":"#/nowhere"}`, "not found"},
		{"a wrong type", `{"type":"strin"}`, "metaschema"},
		{"a type that is a number", `{"type":1}`, "metaschema"},
		{"two anchors of one name", `{"$defs":{"a":{"$anchor":"x"},"b":{"$anchor":"x"}}}`, "duplicate anchor"},
		{"a wrong address", `{"$ref":"http://[::1"}`, ""},
		{"a zero multiple", `{"multipleOf":0}`, "metaschema"},
	} {
		start := time.Now()
		s, err := Load(pack(c.schema))
		took := time.Since(start)
		if err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if err != nil && (len(err.Error()) > maxErrorText+200 || strings.Contains(err.Error(), "root:x:")) {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
		if took > 10*time.Second {
			t.Errorf("%s: took %v", c.name, took)
		}
	}
}

// A schema at the caps loads, if slowly, and still judges.
func TestSchemaAtTheCaps(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"properties":{`)
	for i := range maxSchemas - 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"p%d":{"minLength":%d}`, i, i%7)
	}
	b.WriteString(`}}`)
	start := time.Now()
	s := mustLoad(t, pack(b.String()))
	t.Logf("%d schemas load in %v", maxSchemas, time.Since(start))
	if ps := s.Validate(map[string]any{"p6": "short"}); len(ps) != 1 || ps[0].Rule != "minLength" {
		t.Errorf("got %+v", ps)
	}
}

// A name that stands twice where it should once is taken as once, in every draft.
func TestNamesTwice(t *testing.T) {
	for _, draft := range []string{"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"} {
		s := mustLoad(t, pack(`{"$schema":"`+draft+`","required":["a","a"],"properties":{"required":{"enum":["a","b"]},"b":{"required":["c","c"]}}}`))
		if ps := s.Validate(map[string]any{"b": map[string]any{}}); len(ps) != 2 || ps[0].Pointer != "/a" || ps[1].Pointer != "/b/c" {
			t.Errorf("%s: %+v", draft, ps)
		}
		// What only looks like the keyword is left as it is.
		if ps := s.Validate(map[string]any{"a": 1, "required": "b"}); ps != nil {
			t.Errorf("%s: %+v", draft, ps)
		}
	}
}

// Schemas that load, and records, that together would run for hours: each ends
// within the budget, in one goroutine, and the standard goes on.
func TestHostileValidationsEnd(t *testing.T) {
	rep := strings.Repeat
	// Each of n forms at each of depth levels asks for the next level in n forms.
	forms := func(depth, n int) string {
		var b strings.Builder
		for i := range depth {
			fmt.Fprintf(&b, `"d%d":{"anyOf":[%s]},`, i, strings.TrimSuffix(rep(fmt.Sprintf(`{"required":["a"],"properties":{"a":{"$ref":"#/$defs/d%d"}}},`, i+1), n), ","))
		}
		return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s"d%d":{"type":"string"}}}`, b.String(), depth)
	}
	longString := `"` + rep("a", 200_000) + `!"`
	deep := rep(`{"a":`, 40) + `1` + rep(`}`, 40)
	for _, c := range []struct{ name, schema, record string }{
		{"members double at each level", `{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}]}`, deep},
		{"names double at each level", `{"allOf":[{"patternProperties":{"a":{"$ref":"#"}}},{"patternProperties":{"^a":{"$ref":"#"}}}]}`, deep},
		{"dependent schemas double", `{"dependentSchemas":{"a":{"properties":{"a":{"$ref":"#"}}}},"properties":{"a":{"$ref":"#"}}}`, deep},
		{"unevaluated doubles", `{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}],"unevaluatedProperties":false}`, deep},
		{"dynamic references double", `{"$dynamicAnchor":"n","allOf":[{"properties":{"a":{"$dynamicRef":"#n"}}},{"properties":{"a":{"$dynamicRef":"#n"}}}]}`, deep},
		{"recursive references double", `{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"allOf":[{"properties":{"a":{"$recursiveRef":"#"}}},{"properties":{"a":{"$recursiveRef":"#"}}}]}`, deep},
		{"wide by long", `{"items":{"anyOf":[` + rep(`{"type":"string"},`, 5000) + `{"type":"null"}]}}`, `[` + rep(`1,`, 90_000) + `1]`},
		{"wide enums by long", `{"items":{"anyOf":[` + rep(`{"enum":[[1,2,3,4,5,6,7,8,9,[1,2,3]]]},`, 500) + `{"type":"null"}]}}`, `[` + rep(`[1,2,3,4,5,6,7,8,9,[1,2]],`, 5000) + `1]`},
		{"many names by many patterns", `{"patternProperties":{` + func() string {
			var b strings.Builder
			for i := range 2000 {
				fmt.Fprintf(&b, `"x%d(a|b)*c":{},`, i)
			}
			return b.String()
		}() + `"y":{}}}`, func() string {
			var b strings.Builder
			b.WriteByte('{')
			for i := range 20_000 {
				fmt.Fprintf(&b, `"name%d":1,`, i)
			}
			return b.String() + `"z":1}`
		}()},
		{"unique arrays of arrays", `{"items":{"uniqueItems":true,"items":{"uniqueItems":true}}}`, `[` + rep(`[`+rep(`[1,2,3],[3,2,1],`, 20)+`0],`, 400) + `0]`},
		{"forms of forms", forms(12, 4), `{"a":` + rep(`{"a":`, 11) + `1` + rep(`}`, 12)},
		{"conditions at each level", `{"if":{"properties":{"a":{"$ref":"#"}}},"then":{"properties":{"a":{"$ref":"#"}}},"else":{"properties":{"a":{"$ref":"#"}}}}`, deep},
		{"contains at each level", `{"contains":{"$ref":"#"},"items":{"$ref":"#"}}`, rep(`[1,`, 50) + `1` + rep(`]`, 50)},
		{"a backtracking pattern", `{"pattern":"^(?=(a+)+$)x"}`, longString},
		{"a backtracking pattern of words", `{"pattern":"^(?!x)(([a-z])+.)+[A-Z]([a-z])+$"}`, longString},
		{"a back reference", `{"pattern":"^(a*)*\\1b$"}`, longString},
		{"a large program by a long text", `{"pattern":"(a|b|c|d|e){900}[^z]{900}z"}`, longString},
		{"a huge equal constant", `{"items":{"const":[` + rep(`1,`, 20_000) + `2]}}`, `[` + rep(`[`+rep(`1,`, 900)+`2],`, 90) + `0]`},
	} {
		s, err := Load(pack(c.schema))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		v, err := strictjson.Decode([]byte(c.record), strictjson.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		before := runtime.NumGoroutine()
		for _, visible := range []bool{false, true} {
			start := time.Now()
			got := s.engine.judge(v, visible)
			took := time.Since(start)
			if took > soon {
				t.Errorf("%s: took %v", c.name, took)
			}
			// By count, which is the same on every machine: it came to an end
			// within the budget or was ended.
			if !got.spent && got.steps > got.limit || got.broken {
				t.Errorf("%s: %d steps of %d, and not ended; broken %v", c.name, got.steps, got.limit, got.broken)
			}
			t.Logf("%s: valid %v, spent %v, told %v: %d of %d steps, %v", c.name, got.valid, got.spent, got.err != nil, got.steps, got.limit, took)
		}
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%s: %d goroutines left", c.name, n-before)
		}
		if ps := s.Validate(nil); len(ps) == 1 && ps[0].Rule == "engine" {
			t.Errorf("%s: the standard is broken for the next record: %+v", c.name, ps)
		}
	}
}

// The engine calls itself for every schema of a chain at every level of a
// record. At both caps at once it must not run out of stack, which no recover
// would catch.
func TestLongestChainInDeepestRecord(t *testing.T) {
	const links = maxChain - 2
	var schema strings.Builder
	schema.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range links / 2 { // an allOf and a $ref are two links
		fmt.Fprintf(&schema, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"}]},`, i, i+1)
	}
	fmt.Fprintf(&schema, `"d%d":{"properties":{"a":{"$ref":"#/$defs/d0"}}}}}`, links/2)
	s := mustLoad(t, pack(schema.String()))
	v, err := strictjson.Decode([]byte(strings.Repeat(`{"a":`, 64)+`1`+strings.Repeat(`}`, 64)), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if ps := s.Validate(v); ps != nil {
		t.Errorf("got %+v", ps)
	}
}

// Records that are hostile to an ordinary standard.
func TestHostileRecordsEnd(t *testing.T) {
	s := mustLoad(t, pack(`{
		"type": ["object", "array"], "uniqueItems": true, "propertyNames": {"pattern": "^[a-z]+$"},
		"properties": {"n": {"type": "number", "multipleOf": 0.01, "minimum": -1e300}, "s": {"type": "string", "format": "email", "maxLength": 10}},
		"items": {"type": ["array", "number", "object"]}
	}`))
	nested := func(n int) any { // every tree of brackets, all of one hash to a careless one
		var gen func(n int) []any
		gen = func(n int) []any {
			if n == 0 {
				return []any{[]any{}}
			}
			var out []any
			for i := range n {
				for _, a := range gen(i) {
					for _, b := range gen(n - 1 - i) {
						out = append(out, append([]any{a}, b.([]any)...))
					}
				}
			}
			return out
		}
		return gen(n)
	}
	long := make([]any, maxUnique+1)
	for i := range long {
		long[i] = json.Number(fmt.Sprint(i))
	}
	for name, v := range map[string]any{
		"not a record":    json.Number("1e308"),
		"a tiny number":   map[string]any{"n": json.Number("1e-308")},
		"bracket trees":   nested(8), // 1430 distinct arrays
		"a long list":     long,
		"a long name":     map[string]any{strings.Repeat("N", 1<<20): 1},
		"a long text":     map[string]any{"s": strings.Repeat("@", 1<<20)},
		"a foreign type":  map[string]any{"n": struct{}{}, "s": 7 + 1i},
		"a Go float":      map[string]any{"n": 1e300},
		"a Go int":        map[string]any{"n": 12},
		"a bad number":    map[string]any{"n": json.Number("twelve")},
		"a huge exponent": map[string]any{"n": json.Number("1e10000000")}, // never past the door
		"nil":             nil,
	} {
		start := time.Now()
		ps := s.Validate(v)
		if took := time.Since(start); took > soon {
			t.Errorf("%s: took %v", name, took)
		}
		checkProblems(t, ps)
		if len(ps) > 0 && (len(ps[0].Pointer) > 200 || ps[0].Rule == "engine") {
			t.Errorf("%s: %.300v", name, ps[0])
		}
		switch name {
		case "a tiny number", "a Go float", "a Go int", "bracket trees":
			if ok := ps == nil; ok == (name == "a tiny number") {
				t.Errorf("%s: %+v", name, ps)
			}
		default:
			if ps == nil {
				t.Errorf("%s: is valid", name)
			}
		}
	}
}

// Concurrent use: more callers than machines, with a runaway among them.
func TestValidationAtOnce(t *testing.T) {
	s := mustLoad(t, pack(`{"properties":{"n":{"type":"integer"},"a":{"pattern":"^(a*)*\\1b$"}}}`))
	runaway := map[string]any{"a": strings.Repeat("a", 3000)}
	done := make(chan string)
	for i := range 16 {
		go func() {
			switch i % 4 {
			case 0:
				if ps := s.Validate(runaway); len(ps) != 1 || ps[0].Rule != "budget" {
					done <- fmt.Sprintf("runaway: %+v", ps)
					return
				}
			case 1:
				for range 200 {
					if ps := s.Validate(map[string]any{"n": "x"}); len(ps) != 1 || ps[0].Rule != "type" {
						done <- fmt.Sprintf("wrong: %+v", ps)
						return
					}
				}
			case 2:
				for range 200 {
					if ps := s.ValidateVisible(map[string]any{"n": json.Number("1")}); ps != nil {
						done <- fmt.Sprintf("visible: %+v", ps)
						return
					}
				}
			default:
				for range 200 {
					if ps := s.Validate(map[string]any{"n": json.Number("1.0")}); ps != nil {
						done <- fmt.Sprintf("right: %+v", ps)
						return
					}
				}
			}
			done <- ""
		}()
	}
	for range 16 {
		if msg := <-done; msg != "" {
			t.Error(msg)
		}
	}
}
