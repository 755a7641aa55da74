package standard

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// withhold returns v without some of its members and elements, as a partner
// sees a record; containers stay, be they empty.
func withhold(r *rand.Rand, v any, share float64) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for _, k := range sortedKeys(v) {
			if r.Float64() >= share {
				m[k] = withhold(r, v[k], share)
			}
		}
		return m
	case []any:
		a := []any{}
		for _, e := range v {
			if r.Float64() >= share {
				a = append(a, withhold(r, e, share))
			}
		}
		return a
	}
	return v
}

// For every valid record, no part of it may be called wrong. The suite's 2 000
// valid cases use every keyword there is, and more ways to use them than any
// standard.
func TestVisibleNeverBlamesWithholding(t *testing.T) {
	cases, remotes := suite(t)
	notMet := readNotMet(t)
	r := rand.New(rand.NewPCG(9901, 6902))
	engines := map[string]*engine{}
	checked := 0
	for _, c := range cases {
		if !c.valid || notMet[c.key] != "" {
			continue
		}
		v, err := strictjson.Decode(c.data, strictjson.Limits{})
		if err != nil {
			continue
		}
		e, ok := engines[c.draft+string(c.schema)]
		if !ok {
			if e, err = suiteEngine(c, remotes); err != nil {
				t.Errorf("%s: %v", c.key, err)
				continue
			}
			engines[c.draft+string(c.schema)] = e
		}
		for _, share := range []float64{0, 0.2, 0.5, 0.9, 1} {
			part := withhold(r, v, share)
			checked++
			if got := e.judge(part, true); !got.valid || got.spent || got.broken {
				t.Errorf("%s\n\tof %s\n\tpart %s\n\tis blamed: %v (spent %v, broken %v)", c.key, c.data, strictjson.Canonical(part), got.err, got.spent, got.broken)
			}
		}
	}
	if checked < 8000 {
		t.Errorf("only %d parts", checked)
	}
}

func TestVisibleOfStandards(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range shipped(t) {
		valid, _ := s.Examples()
		for _, e := range valid {
			for range 200 {
				part := withhold(r, e.Record, r.Float64())
				if ps := s.ValidateVisible(part); ps != nil {
					t.Errorf("%s: %s is blamed: %+v", s.Name(), strictjson.Canonical(part), ps)
				}
			}
		}
	}
}

func TestVisibleOfPublished(t *testing.T) {
	root := filepath.Dir(data(t, "digital-planning"))
	r := rand.New(rand.NewPCG(3, 4))
	for _, p := range published {
		s, err := Load(publishedDir(t, root, p.schema, p.others, p.formats))
		if err != nil {
			t.Fatal(err)
		}
		for f, v := range publishedExamples(t, root, p.examples) {
			for range 10 {
				if ps := s.ValidateVisible(withhold(r, v, r.Float64())); ps != nil && p.records == nil {
					t.Errorf("%s: a part of %s is blamed: %+v", p.name, f, ps[0])
				}
			}
		}
	}
}

// What stands in plain sight and is wrong is said.
func TestVisibleSeesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ schema, part, want string }{
		{`{"required":["a"],"properties":{"a":{"type":"integer"}}}`, `{}`, ""},
		{`{"required":["a"],"properties":{"a":{"type":"integer"}}}`, `{"a":"x"}`, "/a type"},
		{`{"properties":{"a":{"enum":["x"]}}}`, `{"a":"y"}`, "/a enum"},
		{`{"properties":{"a":{"enum":[{"b":1}]}}}`, `{"a":{}}`, ""}, // b may be withheld
		{`{"properties":{"a":{"enum":[{"b":1}]}}}`, `{"a":3}`, "/a enum"},
		{`{"properties":{"a":{"const":[1,2]}}}`, `{"a":[2]}`, ""},
		{`{"properties":{"a":{"const":[1,2]}}}`, `{"a":null}`, "/a const"},
		{`{"properties":{"a":{"format":"date"}}}`, `{"a":"soon"}`, "/a format"},
		{`{"properties":{"a":{"pattern":"^x"}}}`, `{"a":"y"}`, "/a pattern"},
		{`{"properties":{"a":{"minimum":5}}}`, `{"a":4}`, "/a minimum"},
		{`{"properties":{"a":{"minLength":5}}}`, `{"a":"b"}`, "/a minLength"},
		{`{"additionalProperties":false,"properties":{"a":{}}}`, `{"b":1}`, "/b additionalProperties"},
		{`{"propertyNames":{"maxLength":1}}`, `{"bb":1}`, "/bb propertyNames"},
		{`{"maxProperties":1}`, `{"a":1,"b":1}`, " maxProperties"},
		{`{"minProperties":2}`, `{"a":1}`, ""},
		{`{"properties":{"a":{"maxItems":1,"minItems":1}}}`, `{"a":[]}`, ""},
		{`{"properties":{"a":{"maxItems":1}}}`, `{"a":[1,2]}`, "/a maxItems"},
		{`{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[{},{}]}`, ""}, // told apart by what is withheld
		{`{"properties":{"a":{"items":{"type":"string"}}}}`, `{"a":[1]}`, "/a/0 type"},
		{`{"properties":{"a":{"prefixItems":[{"type":"string"},{"type":"integer"}],"items":false}}}`, `{"a":[1]}`, ""}, // the first may be withheld
		{`{"properties":{"a":{"contains":{"const":1}}}}`, `{"a":[]}`, ""},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, ""},
		{`{"dependentSchemas":{"a":{"required":["b"]}}}`, `{"a":1}`, ""},
		{`{"if":{"required":["a"]},"then":{"properties":{"b":{"const":1}}},"else":{"properties":{"b":{"const":2}}}}`, `{"b":1}`, ""},
		{`{"not":{"required":["a"]}}`, `{"a":1}`, ""},
		{`{"anyOf":[{"required":["a"],"properties":{"b":{"const":1}}},{"properties":{"b":{"const":2}}}]}`, `{"b":3}`, ""},
		{`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1,"b":1}`, ""},
		{`{"unevaluatedProperties":false,"anyOf":[{"required":["x"],"properties":{"a":{}}},true]}`, `{"a":1}`, ""},
		{`{"allOf":[{"properties":{"a":{"$ref":"#/$defs/s"}}}],"$defs":{"s":{"type":"string"}}}`, `{"a":1}`, "/a type"},
		{`{"patternProperties":{"^n":{"type":"number"}}}`, `{"n1":"x"}`, "/n1 type"},
		{`{"properties":{"a":false}}`, `{"a":1}`, "/a false"},
		{`{"type":"object"}`, `[]`, " type"},
	} {
		s := mustLoad(t, pack(c.schema))
		v, err := strictjson.Decode([]byte(c.part), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range s.ValidateVisible(v) {
			got += p.Pointer + " " + p.Rule
		}
		if got != c.want {
			t.Errorf("%s with %s: got %q, want %q", c.schema, c.part, got, c.want)
		}
	}
}
