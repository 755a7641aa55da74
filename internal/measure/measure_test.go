package measure_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

const council = name.Council("northmoor.gov.uk")

func shipped(t testing.TB, dir string) *standard.Standard {
	t.Helper()
	s, err := standard.Load(schemas.FS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// statement returns one that is possible, as a council might make it.
func statement(t testing.TB) *measure.Statement {
	t.Helper()
	std, err := name.ParseStandard("standards.example/pet@1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	return &measure.Statement{
		Council: council, GSS: "E07000998", Standard: std, ComputedOn: "2026-11-22", ComputedAt: now, CountedSince: now.Add(-time.Hour),
		Records: 10, Damaged: 1, Offers: api.StatementOffers{Seen: 12, Valid: 9}, Held: 2,
		Errors:    api.StatementErrors{Listed: []measure.Error{{Rule: "type", Field: "/name", Count: 3}}},
		Fields:    []api.StatementField{{Field: "/id", Filled: 9}, {Field: "/name", Filled: 4}},
		Freshness: &api.StatementFreshness{Within: "P7D", Fresh: 8},
		Partners:  api.StatementPartners{Served: 2, Offered: 20, Delivered: 20, Acknowledged: 19},
		Received:  api.StatementReceived{Records: 5, Used: 4, EverUsed: 7},
		Checkpoint: api.StatementCheckpoint{Origin: council.Origin(), Size: 30,
			Root: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
	}
}

func body(t testing.TB, s *measure.Statement) map[string]any {
	t.Helper()
	b, err := measure.Record(s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := strictjson.Decode(b, strictjson.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// What a node writes fits the shipped standard and is read back as it was.
func TestStatementFitsItsStandard(t *testing.T) {
	std := shipped(t, "compliance-statement/1.0.0")
	if std.Name().Name != measure.Standard {
		t.Fatalf("the shipped standard is %s", std.Name())
	}
	full := statement(t)
	least := statement(t)
	least.GSS, least.Freshness, least.Fields, least.Errors = "", nil, []api.StatementField{}, measure.Top(nil, 0)
	least.Damaged = 0
	for _, s := range []*measure.Statement{full, least} {
		b := body(t, s)
		for _, p := range std.Validate(b) {
			t.Errorf("%v", &p)
		}
		got, err := measure.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(got)
		y, _ := json.Marshal(s)
		if string(x) != string(y) {
			t.Errorf("got  %s\nwant %s", x, y)
		}
	}
	valid, _ := std.Examples()
	for _, e := range valid {
		if _, err := measure.Parse(e.Record.(map[string]any)); err != nil {
			t.Errorf("%s: %v", e.File, err)
		}
	}
}

// What cannot be true in itself is refused, though the schema lets it through.
func TestImpossible(t *testing.T) {
	std := shipped(t, "compliance-statement/1.0.0")
	for want, change := range map[string]func(*measure.Statement){
		"/records":                func(s *measure.Statement) { s.Records = 31 },
		"/damaged":                func(s *measure.Statement) { s.Damaged = 11 },
		"/first_offers/valid":     func(s *measure.Statement) { s.Offers.Valid = 13 },
		"/first_offers/valid is":  func(s *measure.Statement) { s.Offers.Seen, s.Offers.Valid = 100, 31 },
		"/fields has":             func(s *measure.Statement) { s.Fields[1].Filled = 10 },
		"/fields is":              func(s *measure.Statement) { s.Fields[1].Field = "/id" },
		"/freshness":              func(s *measure.Statement) { s.Freshness.Fresh = 10 },
		"/freshness cannot":       func(s *measure.Statement) { s.Freshness.Within = "PT" },
		"/partners/offered":       func(s *measure.Statement) { s.Partners.Offered = 21 },
		"/partners/offered is":    func(s *measure.Statement) { s.Partners.Served = 0 },
		"/partners/delivered":     func(s *measure.Statement) { s.Partners.Delivered = 21 },
		"/partners/acknowledged":  func(s *measure.Statement) { s.Partners.Delivered = 18 },
		"/received/used":          func(s *measure.Statement) { s.Received.Used = 6 },
		"/received/ever_used":     func(s *measure.Statement) { s.Received.EverUsed = 3 },
		"/computed_on":            func(s *measure.Statement) { s.ComputedOn = "2026-11-23" },
		"/counted_since is after": func(s *measure.Statement) { s.CountedSince = s.ComputedAt.Add(time.Second) },
		"/checkpoint":             func(s *measure.Statement) { s.Checkpoint.Origin = "saltby.gov.uk/stile" },
	} {
		s := statement(t)
		change(s)
		b := body(t, s)
		if ps := std.Validate(b); len(ps) > 0 && want != "/freshness cannot" {
			t.Errorf("%s: the schema refuses it: %v", want, &ps[0])
		}
		_, err := measure.Parse(b)
		if !errors.Is(err, measure.ErrStatement) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	for _, text := range []string{`{}`, `{"council":7}`, `{"council":"northmoor.gov.uk","more":1}`, `{"council":"Northmoor"}`} {
		v, _ := strictjson.Decode([]byte(text), strictjson.DefaultLimits())
		if _, err := measure.Parse(v.(map[string]any)); !errors.Is(err, measure.ErrStatement) || strings.Contains(err.Error(), "Northmoor") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// A statement counts only from the council that signed it, and of no later log
// or time than it stands in.
func TestRead(t *testing.T) {
	s := statement(t)
	for want, g := range map[string]measure.Given{
		"":                {Issuer: council, Index: 30, IssuedAt: s.ComputedAt},
		"another council": {Issuer: "saltby.gov.uk", Index: 30, IssuedAt: s.ComputedAt},
		"after it was":    {Issuer: council, Index: 30, IssuedAt: s.ComputedAt.Add(-6 * time.Minute)},
		"a later log":     {Issuer: council, Index: 29, IssuedAt: s.ComputedAt},
	} {
		_, err := measure.Read(g, body(t, s))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	s := statement(f)
	b, err := measure.Record(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"council":"a.b","records":1e9}`))
	std := shipped(f, "compliance-statement/1.0.0")
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := strictjson.Decode(text, strictjson.DefaultLimits())
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		s, err := measure.Parse(m)
		if err != nil || len(std.Validate(m)) > 0 {
			return
		}
		again, err := measure.Record(s)
		if err != nil {
			t.Fatalf("it was read and cannot be written: %v", err)
		}
		if string(again) != string(strictjson.Canonical(m)) {
			t.Fatalf("read  %s\nwrote %s", strictjson.Canonical(m), again)
		}
		measure.Adopt([]measure.Given{{Issuer: s.Council, Statement: s}}, []measure.Member{{Council: s.Council, GSS: s.GSS, Counts: true}}, time.Now(), nil)
	})
}

const petSchema = `{
 "type": "object", "required": ["id"],
 "properties": {
  "id": {"type": "string"},
  "name": {"$ref": "#/$defs/text"},
  "owners": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "kin": {"$ref": "#/properties/owners"}}}},
  "chips": {"type": "object", "additionalProperties": {"type": "object", "properties": {"on": {"type": "string"}}}},
  "pair": {"prefixItems": [{"type": "string"}, {"properties": {"deep": {}}}]}
 },
 "anyOf": [{"properties": {"fur": {}}}, {"$ref": "https://elsewhere.example/x.json"}],
 "if": {"properties": {"id": {"const": "1"}}}, "then": {"properties": {"first": {}}},
 "$defs": {"text": {"type": "string"}}
}`

func pet(t testing.TB, schema string) *standard.Standard {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/pet\nversion: 1.0.0\ntitle: Pet\nstatus: draft\nkey: [/id]\nclasses: {/id: open, /secret/note: personal}\n")},
		"schema.json":   {Data: []byte(schema)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The places are those that the standard names, wherever in the schema it does,
// and nothing that only a record has.
func TestPlaces(t *testing.T) {
	std := pet(t, strings.Replace(petSchema, `, {"$ref": "https://elsewhere.example/x.json"}`, "", 1))
	p := measure.PlacesOf(std)
	list := slices.Clone(p.List())
	slices.Sort(list)
	var shallow []string
	for _, f := range list {
		if len(f.Tokens()) <= 3 {
			shallow = append(shallow, string(f))
		}
	}
	want := "/chips /chips/* /chips/*/on /first /fur /id /name /owners /owners/* /owners/*/kin /owners/*/name /pair /pair/* /pair/*/deep /secret /secret/note"
	if got := strings.Join(shallow, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for pointer, want := range map[string]name.Field{
		"": "", "nonsense": "", "/name": "/name", "/owners/17/name": "/owners/*/name", "/chips/Kezia Sandhu/on": "/chips/*/on",
		"/Kezia Sandhu": "/*", "/name/Kezia": "/name/*", "/owners/0/Kezia/7": "/owners/*/*", "/owners/Kezia": "/owners/*", "/secret/note/x": "/secret/note/*",
	} {
		if got := p.Fold(pointer); got != want {
			t.Errorf("%q folds to %q, want %q", pointer, got, want)
		}
	}
}

// A schema with more places than fit, or that refers to itself, is cut.
func TestPlacesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"}`)
	for i := range 1000 {
		fmt.Fprintf(&b, `,"f%d":{"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}}}`, i)
	}
	b.WriteString(`}}`)
	if n := len(measure.PlacesOf(pet(t, b.String())).List()); n != measure.MaxPlaces {
		t.Errorf("%d places", n)
	}
	for _, f := range measure.PlacesOf(pet(t, `{"type":"object","properties":{"id":{"type":"string"},"next":{"$ref":"#"}},"required":["id"]}`)).List() {
		if len(f.Tokens()) > 8 {
			t.Errorf("%s is too deep", f)
		}
	}
}

func TestFilling(t *testing.T) {
	f := measure.NewFilling(measure.PlacesOf(pet(t, strings.Replace(petSchema, `, {"$ref": "https://elsewhere.example/x.json"}`, "", 1))))
	for _, text := range []string{
		`{"id":"1","name":"","owners":[{"name":""},{"name":"A"},{"name":"B"}],"chips":{"x":{"on":"a"},"y":{"on":"b"}},"other":1}`,
		`{"id":"2","name":null,"owners":[],"chips":{},"pair":[false]}`,
		`{"id":"3","name":"Rex","owners":[{}],"pair":[0,{"deep":0}]}`,
	} {
		v, err := strictjson.Decode([]byte(text), strictjson.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		f.Add(v.(map[string]any))
	}
	got := map[name.Field]int{}
	for _, x := range f.Fields() {
		got[x.Field] = x.Filled
	}
	for field, want := range map[name.Field]int{"/id": 3, "/name": 1, "/owners": 2, "/owners/*": 1, "/owners/*/name": 1, "/chips": 1, "/chips/*/on": 1, "/pair": 2, "/pair/*": 2, "/pair/*/deep": 1, "/fur": 0} {
		if got[field] != want {
			t.Errorf("%s: %d, want %d", field, got[field], want)
		}
	}
	if !slices.IsSortedFunc(f.Fields(), func(a, b api.StatementField) int { return strings.Compare(string(a.Field), string(b.Field)) }) {
		t.Error("fields are not in order")
	}
}

func TestShareAndTop(t *testing.T) {
	for _, c := range []struct {
		part, whole int
		want        float64
	}{{1, 1, 100}, {999, 1000, 99.9}, {99999, 100000, 99.9}, {1, 3, 33.3}, {0, 5, 0}, {29, 100, 29}, {57, 100, 57}} {
		if got, ok := measure.Share(c.part, c.whole); !ok || got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.part, c.whole, got, c.want)
		}
	}
	if _, ok := measure.Share(0, 0); ok {
		t.Error("a share of nothing")
	}
	var list []measure.Error
	for i := range 50 {
		list = append(list, measure.Error{Rule: "r", Field: name.Field(fmt.Sprintf("/%02d", i)), Count: i%7 + 1})
	}
	e := measure.Top(list, 5)
	sum := e.Other
	for _, x := range e.Listed {
		sum += x.Count
	}
	if len(e.Listed) != measure.MaxErrors || e.Listed[0].Count != 7 || e.Listed[0].Field != "/06" || sum != 5+197 {
		t.Errorf("%+v, %d in all", e.Listed[0], sum)
	}
}
