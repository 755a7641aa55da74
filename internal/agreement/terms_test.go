package agreement

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// makeStandard makes a standard of classes: "pointer: class" lines.
func makeStandard(t testing.TB, schema string, classes ...string) *standard.Standard {
	t.Helper()
	manifest := "name: standards.example/made\nversion: 1.0.0\ntitle: Made\nstatus: live\nkey: [/id]\nclasses:\n"
	for _, c := range classes {
		manifest += "  " + c + "\n"
	}
	if len(classes) == 0 {
		manifest = strings.Replace(manifest, "classes:\n", "", 1)
	}
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": &fstest.MapFile{Data: []byte(manifest)},
		"schema.json":   &fstest.MapFile{Data: []byte(schema)},
	})
	if err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	return s
}

const anySchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}`

// simple returns a complete agreement over the standard that makeStandard makes.
func simple(rows string, fields ...name.Field) *Agreement {
	return &Agreement{
		Name: "a.example/x", Version: 1, From: "a.example", To: []name.Council{"b.example"}, Mode: Replicate,
		Standard: name.StandardLine{Name: "standards.example/made", Major: 1}, Rows: rows, Fields: fields,
		Purpose: "p1", Necessity: "p2", DataItems: "p3", DPIA: "p4", RightsContact: "p5", Accuracy: "p6",
		LawfulBasis: Basis{Article6: "6(1)(e)", LegalPower: "an Act"}, Retention: "P1Y", Disposal: "p7", Security: "p8", Exit: "p9",
		Roles:    map[name.Council]Role{"a.example": Controller, "b.example": Controller},
		Contacts: map[name.Council]string{"a.example": "one", "b.example": "two"},
		Starts:   "2026-01-01", Review: "2026-06-01",
	}
}

func compile(t testing.TB, a *Agreement, std *standard.Standard) *Terms {
	t.Helper()
	terms, err := a.Compile(std)
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

func TestMatch(t *testing.T) {
	terms := compile(t, parsed(t), loadStandard(t, "housing-need/1.0.0"))
	for rec, want := range map[string]bool{
		`{"moved_to":"E07000999","status":"received"}`: true,
		`{"moved_to":"E07000999","status":"closed"}`:   false,
		`{"moved_to":"E07000998","status":"received"}`: false,
		`{"moved_to":"E07000999"}`:                     false,
		`{"moved_to":["E07000999"],"status":"x"}`:      false,
		`{}`: false,
	} {
		if got := terms.Match(decode(t, rec)); got != want {
			t.Errorf("%s: %v, want %v", rec, got, want)
		}
	}
	every := compile(t, parsed(t, `record.moved_to == "E07000999" && record.status != "closed"`, "true"), loadStandard(t, "housing-need/1.0.0"))
	for _, deleted := range []any{nil, map[string]any(nil), []any{}, "x"} {
		if terms.Match(deleted) || every.Match(deleted) {
			t.Errorf("%#v matches", deleted)
		}
	}
	if !every.Match(map[string]any{}) {
		t.Error(`rows: "true" does not match everything`)
	}
}

func TestKeepAndExcess(t *testing.T) {
	terms := compile(t, parsed(t), loadStandard(t, "housing-need/1.0.0"))
	for _, c := range []struct {
		pointer string
		shell   bool
		want    bool
	}{
		{"/reference", false, true},
		{"/nino", false, false},
		{"/applicant", true, true},
		{"/applicant", false, false}, // not a container, or one with nothing named below
		{"/applicant/name", false, true},
		{"/applicant/date_of_birth", false, false},
		{"/applicant/contact", true, true},
		{"/applicant/contact/email", false, true},
		{"/household", true, true},
		{"/household/0", true, true},
		{"/household/12", true, true},
		{"/household/0", false, false},
		{"/household/01/name", false, false}, // not an index
		{"/household/x/name", false, false},
		{"/household/0/name", false, true},
		{"/household/0/pregnant", false, false},
		{"/support_needs", false, true},
		{"/support_needs/0", false, true},
		{"/referencex", false, false},
		{"", true, true},
		{"", false, false},
	} {
		if got := terms.Keep(c.pointer, c.shell); got != c.want {
			t.Errorf("Keep(%q, %v) = %v, want %v", c.pointer, c.shell, got, c.want)
		}
	}
	for visible, want := range map[string][]string{
		`{"reference":"x","applicant":{"name":"n","contact":{"email":"e"}}}`: nil,
		`{"applicant":{},"household":[{},{}]}`:                               nil,
		`{"nino":"x"}`:                                                       {"/nino"},
		`{"criminal":{"mappa_level":1}}`:                                     {"/criminal"},
		`{"criminal":{}}`:                                                    {"/criminal"},
		`{"applicant":{"date_of_birth":"d","name":"n"}}`:                     {"/applicant/date_of_birth"},
		`{"applicant":"a name"}`:                                             {"/applicant"},
		`{"household":[{"name":"n"},{"pregnant":true},{"date_of_birth":"d","pregnant":1}]}`: {"/household/1/pregnant", "/household/2/date_of_birth", "/household/2/pregnant"},
		`{"household":[["x"]]}`: {"/household/0/0"},
		`{"a/b~c":1}`:           {"/a~1b~0c"},
	} {
		if got := terms.Excess(decode(t, visible)); !slices.Equal(got, want) {
			t.Errorf("Excess(%s) = %q, want %q", visible, got, want)
		}
	}
	if got := terms.Excess("text"); !slices.Equal(got, []string{""}) {
		t.Errorf("Excess of a text = %q", got)
	}
	if got := terms.Excess(nil); got != nil {
		t.Errorf("Excess of a deletion = %q", got)
	}
}

func TestTermsAtOnce(t *testing.T) {
	terms := compile(t, parsed(t), loadStandard(t, "housing-need/1.0.0"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := parsed(t).Compile(terms.std); err != nil {
				t.Error(err)
			}
			rec := map[string]any{"moved_to": "E07000999", "status": []any{"received", "closed"}[i%2], "nino": "x"}
			for range 300 {
				if got := terms.Match(rec); got != (i%2 == 0) {
					t.Errorf("record %d: %v", i, got)
				}
				if len(terms.Excess(rec)) != 1 || len(terms.Present(rec)) != 2 || len(terms.Explain(rec)) != 5 {
					t.Errorf("record %d is presented otherwise", i)
				}
			}
		})
	}
	wg.Wait()
}

// In mode aggregate nothing travels, whatever the fields say.
func TestAggregateKeepsNothing(t *testing.T) {
	terms := compile(t, parsed(t, "mode: replicate", "mode: aggregate"), loadStandard(t, "housing-need/1.0.0"))
	rec := decode(t, `{"reference":"x","status":"y"}`)
	if terms.Keep("/reference", false) || len(terms.Present(rec)) != 0 || terms.RowsCheckable() {
		t.Error("a record leaves in mode aggregate")
	}
	if got := terms.Excess(rec); len(got) != 2 {
		t.Errorf("Excess = %q", got)
	}
}

// An open place speaks for what is open below it, not for what is withheld there.
func TestOpenDoesNotBringWhatIsWithheldBelow(t *testing.T) {
	std := makeStandard(t, anySchema, `"": open`, `/workingNotes: internal`)
	a := simple("true", "")
	a.Standard = std.Name().Line()
	terms := compile(t, a, std)
	rec := decode(t, `{"reference":"x","name":"y","workingNotes":"owner","deep":{"a":[1]}}`)
	if terms.Keep("/workingNotes", false) {
		t.Error("working notes travel with an open record")
	}
	got := terms.Present(rec)
	if _, ok := got["workingNotes"]; ok || len(got) != 3 {
		t.Errorf("Present = %v", got)
	}
	if e := terms.Excess(rec); !slices.Equal(e, []string{"/workingNotes"}) {
		t.Errorf("Excess = %q", e)
	}
	a = simple("true", "", "/workingNotes")
	a.Standard = std.Name().Line()
	terms = compile(t, a, std)
	if !terms.Keep("/workingNotes", false) || terms.Excess(rec) != nil {
		t.Error("working notes were agreed and stay")
	}
}

func TestRowsCheckable(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	for rows, want := range map[string]bool{
		`true`:                           true,
		`record.moved_to == "E07000999"`: true,
		`record.nino == "AB123456C"`:     false,
		`record.moved_to == "x" || record.nino == "y"`:                                      false,
		`record.applicant.name == "x"`:                                                      true,
		`record.applicant.contact.email == "x"`:                                             true,
		`record.applicant.date_of_birth < "2000-01-01"`:                                     false,
		`record.applicant == record.consent`:                                                false, // not all of the applicant
		`has(record.applicant.name)`:                                                        true,
		`has(record.applicant)`:                                                             false, // careful
		`record.household.exists(h, h.relationship == "child")`:                             true,
		`record.household.exists(h, h.pregnant == true)`:                                    false,
		`record.household[0].name == "x"`:                                                   true,
		`size(record.household) > 2`:                                                        false, // careful
		`record.household.filter(h, h.name == "x").size() == 1`:                             false, // careful: gathers whole elements
		`"mental-health" in record.support_needs`:                                           true,
		`record.support_needs.exists(n, n == "pregnancy")`:                                  true,
		`record.support_needs[0] == "pregnancy"`:                                            true,
		`record["moved_to"] == "x"`:                                                         true,
		`record.exists(k, k == "nino")`:                                                     false,
		`record[record.status] == "x"`:                                                      false,
		`record.consent.how == "online" && size(record.consent) == 2`:                       true,
		`record.household.all(h, has(h.name) && h.name != "")`:                              true,
		`record.household.all(h, record.applicant.name == h.name)`:                          true,
		`record.household.exists(h, record.household.exists(g, g.name == h.date_of_birth))`: false,
	} {
		a := parsed(t)
		a.Rows = rows
		if got := compile(t, a, std).RowsCheckable(); got != want {
			t.Errorf("%s: %v, want %v", rows, got, want)
		}
	}
}

// What a receiver works out on the visible part is what the sender worked out
// on the whole, whenever RowsCheckable says so.
func TestCheckableRowsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	conds := []string{`record.a == "x"`, `record.b.c == "x"`, `record.l.exists(i, i.k == "x")`, `has(record.b.c)`, `record.l.all(i, i.m == "x" || i.k == "y")`,
		`record.l[0].k == "x"`, `record.b == record.d`, `"x" in record.s`, `size(record.s) > 1`, `!has(record.d)`, `record.l.exists(i, has(i.m))`}
	places := []name.Field{"/a", "/b", "/b/c", "/b/e", "/l", "/l/*", "/l/*/k", "/l/*/m", "/s", "/d"}
	classes := []string{"/a: personal", "/b: personal", "/b/c: personal", "/b/e: internal", "/l: personal", "/l/*: personal", "/l/*/k: personal", "/l/*/m: special", "/s: internal", "/d: open"}
	std := makeStandard(t, anySchema, classes...)
	checked := 0
	for range rounds(2000) {
		fields := []name.Field{"/d"}
		for _, p := range places {
			if p != "/d" && r.IntN(2) == 0 {
				fields = append(fields, p)
			}
		}
		a := simple(conds[r.IntN(len(conds))]+[]string{" && ", " || "}[r.IntN(2)]+conds[r.IntN(len(conds))], fields...)
		terms := compile(t, a, std)
		if !terms.RowsCheckable() {
			continue
		}
		checked++
		for range 5 {
			rec := randomRecord(r, 0).(map[string]any)
			if whole, seen := terms.Match(rec), terms.Match(terms.Present(rec)); whole != seen {
				j, _ := json.Marshal(rec)
				t.Fatalf("%s with %q: %v on the whole, %v on the visible part of\n%s", a.Rows, fields, whole, seen, j)
			}
		}
	}
	if checked < rounds(150) {
		t.Errorf("only %d of the filters were checkable", checked)
	}
}

// randomRecord makes records that fit the layout above, mostly.
func randomRecord(r *rand.Rand, _ int) any {
	word := func() any { return []any{"x", "y", json.Number("1"), nil}[r.IntN(4)] }
	maybe := func(m map[string]any, k string, v any) {
		if r.IntN(4) > 0 {
			m[k] = v
		}
	}
	m := make(map[string]any)
	maybe(m, "a", word())
	b := make(map[string]any)
	maybe(b, "c", word())
	maybe(b, "e", word())
	maybe(m, "b", b)
	l := make([]any, 0)
	for range r.IntN(3) {
		e := make(map[string]any)
		maybe(e, "k", word())
		maybe(e, "m", word())
		l = append(l, e)
	}
	maybe(m, "l", l)
	maybe(m, "s", []any{word(), word()})
	maybe(m, "d", word())
	return m
}

func TestCompileRefuses(t *testing.T) {
	std := makeStandard(t, anySchema, "/open: open", "/part: personal", "/part/name: internal", "/list: personal", "/list/*: personal", "/list/*/x: special")
	for _, c := range []struct {
		a    *Agreement
		want string
	}{
		{simple("true", "/open"), ""},
		{simple("true", "/open", "/part"), ""},
		{simple("true", "/open", "/part/name", "/list/*/x"), ""},
		{simple("true", "/open", "/other"), ""}, // the standard does not name it; the schema allows it
		{simple("true", "/part"), "/open is open in the standard"},
		{simple("", "/open"), "is empty"},
		{simple("record.x", "/open"), "true or false"},
		{simple("true"), "is empty"},
		{simple("true", "", "/open"), "whole record"},
		{simple("true", "/open", "/other/below"), "cannot be shared without what is around it"},
		{simple("true", "/open", "/part/name/below"), "cannot be shared"},
		{simple("true", "/open/below"), "cannot be shared"},
		{simple("true", "/open", "/list/0/x"), "cannot be shared"},
		{simple("true", "/open", "/part/*"), "cannot be shared"},
	} {
		_, err := c.a.Compile(std)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q %q: %v, want %q", c.a.Rows, c.a.Fields, err, c.want)
		}
	}
	other := simple("true", "/open")
	other.Standard.Major = 2
	if _, err := other.Compile(std); err == nil || !strings.Contains(err.Error(), "standards.example/made@2, not standards.example/made@1") {
		t.Errorf("another major line: %v", err)
	}
	// An aggregate lets no token travel, so it need not list what stands in one.
	agg := simple("true")
	agg.Mode = Aggregate
	if _, err := agg.Compile(std); err != nil {
		t.Error(err)
	}
}

func TestNumberedMemberBesideEveryElement(t *testing.T) {
	std := makeStandard(t, anySchema, "/m: personal", "/m/*: personal", "/m/3: personal", "/m/*/x: personal")
	if _, err := simple("true", "/m/*", "/m/3").Compile(std); err == nil || !strings.Contains(err.Error(), "/m/3 is one of the elements") {
		t.Errorf("clash: %v", err)
	}
}

func TestLegalConditions(t *testing.T) {
	std := makeStandard(t, anySchema, "/id: internal", "/plain: internal", "/who: personal", "/person: personal", "/person/health: special", "/crime: criminal")
	const special, criminal, art6 = "/lawful_basis/special_condition", "/lawful_basis/criminal_condition", "/lawful_basis/article_6"
	for _, c := range []struct {
		why  string
		edit func(*Agreement)
		want []string
	}{
		{"personal only", func(a *Agreement) { a.Fields = []name.Field{"/who"} }, nil},
		{"special field", func(a *Agreement) { a.Fields = []name.Field{"/person/health"} }, []string{special}},
		{"special field below an agreed one", func(a *Agreement) { a.Fields = []name.Field{"/person"} }, []string{special}},
		{"criminal field", func(a *Agreement) { a.Fields = []name.Field{"/crime"} }, []string{criminal}},
		{"both", func(a *Agreement) { a.Fields = []name.Field{"/crime", "/person"} }, []string{special, criminal}},
		{"picked by health", func(a *Agreement) { a.Rows = `record.person.health == "x"` }, []string{special}},
		{"picked by the whole person", func(a *Agreement) { a.Rows = `record.person == record.id` }, []string{special}},
		{"asked by crime", func(a *Agreement) { a.Mode, a.Match = Lookup, []name.Field{"/crime"} }, []string{criminal}},
		{"stated", func(a *Agreement) {
			a.Fields = []name.Field{"/crime", "/person"}
			a.LawfulBasis.SpecialCondition, a.LawfulBasis.CriminalCondition = "9(2)(g)", "Schedule 1 paragraph 6"
		}, nil},
		{"stated without a point", func(a *Agreement) {
			a.Fields, a.LawfulBasis.SpecialCondition = []name.Field{"/person"}, "yes"
		}, []string{special}},
		{"stated without need", func(a *Agreement) { a.LawfulBasis.SpecialCondition = "9(2)(g), since the list itself tells" }, nil},
		{"no point of article 6", func(a *Agreement) { a.Fields, a.LawfulBasis.Article6 = []name.Field{"/who"}, "public task" }, []string{art6}},
		{"recognised legitimate interests", func(a *Agreement) { a.Fields, a.LawfulBasis.Article6 = []name.Field{"/who"}, "Article 6(1)(ea)" }, nil},
		{"nothing about people", func(a *Agreement) {
			a.Fields, a.LawfulBasis.Article6 = []name.Field{"/plain"}, "Not personal data."
		}, nil},
	} {
		a := simple("true", "/id")
		c.edit(a)
		var got []string
		for _, p := range a.Check(std) {
			got = append(got, p.Pointer)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

func TestCheckForm(t *testing.T) {
	std := makeStandard(t, anySchema, "/id: internal")
	for _, c := range []struct {
		why     string
		edit    func(*Agreement)
		pointer string
		rule    string
	}{
		{"one joint controller", func(a *Agreement) { a.Roles["a.example"] = JointController }, "/roles", RuleForm},
		{"processors only", func(a *Agreement) { a.Roles["a.example"], a.Roles["b.example"] = Processor, Processor }, "/roles", RuleForm},
		{"a role is missing", func(a *Agreement) { delete(a.Roles, "b.example") }, "/roles/b.example", RuleEmpty},
		{"a role is empty", func(a *Agreement) { a.Roles["b.example"] = "" }, "/roles/b.example", RuleEmpty},
		{"a stranger", func(a *Agreement) { a.Contacts["c.example"] = "x" }, "/contacts/c.example", RuleParties},
		{"a contact to be confirmed", func(a *Agreement) { a.Contacts["b.example"] = "tbc" }, "/contacts/b.example", RuleEmpty},
		{"match without lookup", func(a *Agreement) { a.Match = []name.Field{"/id"} }, "/match", RuleMode},
		{"lookup without match", func(a *Agreement) { a.Mode = Lookup }, "/match", RuleEmpty},
		{"asked by the whole record", func(a *Agreement) { a.Mode, a.Match = Lookup, []name.Field{""} }, "/match", RuleForm},
		{"a copy kept for no time", func(a *Agreement) { a.Retention = "P0D" }, "/retention", RuleForm},
		{"another standard", func(a *Agreement) { a.Standard.Major = 3 }, "/standard", RuleStandard},
	} {
		a := simple("true", "/id")
		c.edit(a)
		ps := a.Check(std)
		if len(ps) != 1 || ps[0].Pointer != c.pointer || ps[0].Rule != c.rule || ps[0].Detail == "" || ps[0].Fix == "" {
			t.Errorf("%s: %+v", c.why, ps)
		}
	}
	a := simple("true", "/id")
	a.Mode, a.Match, a.Retention = Lookup, []name.Field{"/id"}, "P0D"
	if ps := a.Check(std); len(ps) != 0 {
		t.Errorf("a lookup that keeps nothing: %+v", ps)
	}
}

func TestUnknownFields(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	for f, want := range map[name.Field]string{
		"/refrence":             `write "reference"`,
		"/nosuch":               "take the name",
		"/applicant/nmae":       `write "name"`,
		"/household/*/birthday": "take the name",
		"/reference":            "",
		"/applicant/contact":    "",
		"/household/*/pregnant": "",
		"/homeless_on":          "",
		"/criminal/mappa_level": "",
		"/consent":              "",
	} {
		a := parsed(t)
		a.LawfulBasis.CriminalCondition = "Schedule 1"
		a.Fields = []name.Field{f}
		fix := ""
		for _, p := range a.Check(std) {
			if p.Rule == RuleUnknown {
				fix = p.Fix
			}
		}
		if (want == "") != (fix == "") || !strings.Contains(fix, want) {
			t.Errorf("%s: %q, want %q", f, fix, want)
		}
	}
	a := parsed(t)
	a.Rows = `record.movedto == "E07000999"`
	if ps := a.Check(std); len(ps) != 1 || ps[0].Pointer != "/rows" || ps[0].Rule != RuleUnknown {
		t.Errorf("rows with a slip: %+v", ps)
	}

	// Doubt is no problem.
	for schema, certain := range map[string]bool{
		`{"properties":{"status":{}}}`:                                                                             true, // a slip
		`{"properties":{"other":{}}}`:                                                                              false,
		`{"properties":{"other":{}},"additionalProperties":false}`:                                                 true,
		`{"properties":{"other":{}},"additionalProperties":{"type":"string"}}`:                                     false,
		`{"properties":{"other":{}},"patternProperties":{"^s":{}},"additionalProperties":false}`:                   false,
		`{"properties":{"other":{}},"unevaluatedProperties":false}`:                                                true,
		`{"allOf":[{"properties":{"other":{}},"additionalProperties":false}]}`:                                     true,
		`{"anyOf":[{"properties":{"other":{}},"additionalProperties":false},{}]}`:                                  false,
		`{"anyOf":[{"properties":{"statas":{}}},{"properties":{"other":{}}}]}`:                                     false,
		`{"$ref":"#/definitions/a","definitions":{"a":{"properties":{"o":{}},"additionalProperties":false}}}`:      true,
		`{"$ref":"#/definitions/a","definitions":{"a":{"properties":{"kids":{"$ref":"#/definitions/a"}}}}}`:        false,
		`{"properties":{"other":{}},"additionalProperties":false,"$ref":"#/definitions/a","definitions":{"a":{}}}`: false,
		`{"if":{"properties":{"stotus":{}}},"then":{"properties":{"statas":{}}}}`:                                  false,
	} {
		s := schema
		std := makeStandard(t, strings.Replace(s, "{", `{"$schema":"http://json-schema.org/draft-07/schema#",`, 1), "/id: internal")
		a := simple("true", "/statas")
		got := slices.ContainsFunc(a.Check(std), func(p Problem) bool { return p.Rule == RuleUnknown })
		if got != certain {
			t.Errorf("%s: certain %v, want %v", s, got, certain)
		}
	}
}

// benchmarks

const planning = `{"reference":"26/0001/PA","district":"E07000998","status":"decided","applicationType":"full","uprn":"100023336956",
	"address":"1 High Street","postcode":"NB1 1AA","receivedDate":"2026-01-02","validDate":"2026-01-03","decision":"granted","decisionDate":"2026-03-01",
	"latitude":52.1,"longitude":-1.5,"organisation":"northmoor.gov.uk","description":"Single storey extension","applicantName":"A","applicantEmail":"a@example.org","caseOfficer":"B"}`

// What every record written costs, counted so that it holds on any machine.
func TestMatchAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	terms, rec := planningTerms(t, `record.district == "E07000998"`)
	if n := testing.AllocsPerRun(100, func() { terms.Match(rec) }); n > 6 {
		t.Errorf("Match allocates %v times, want at most 6", n)
	}
	if n := testing.AllocsPerRun(100, func() { terms.Keep("/address", false) }); n != 0 {
		t.Errorf("Keep allocates %v times", n)
	}
}

func planningTerms(b testing.TB, rows string) (*Terms, map[string]any) {
	std := loadStandard(b, "planning-application/1.0.0")
	a := parsed(b)
	a.Standard, a.Rows = std.Name().Line(), rows
	a.Fields = append(openFields("", std.Layout()), "/uprn", "/address", "/postcode", "/description", "/validDate")
	return compile(b, a, std), decode(b, planning)
}

func BenchmarkMatch(b *testing.B) {
	for _, rows := range []string{
		`record.district == "E07000998"`,
		`record.district == "E07000998" && record.status in ["decided", "received"] && record.latitude > 52`,
		`record.district.matches("^E0700")`,
		`true`,
	} {
		b.Run(rows, func(b *testing.B) {
			terms, rec := planningTerms(b, rows)
			if !terms.Match(rec) {
				b.Fatal("does not match")
			}
			b.ReportAllocs()
			for b.Loop() {
				terms.Match(rec)
			}
		})
	}
}

func BenchmarkKeepRecord(b *testing.B) { // the fifteen disclosures of one record
	terms, rec := planningTerms(b, `true`)
	var pointers []string
	for k := range rec {
		pointers = append(pointers, "/"+k)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range pointers {
			terms.Keep(p, false)
		}
	}
}

func BenchmarkExcess(b *testing.B) {
	terms, rec := planningTerms(b, `true`)
	seen := terms.Present(rec)
	b.ReportAllocs()
	for b.Loop() {
		if terms.Excess(seen) != nil {
			b.Fatal("excess")
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	std := loadStandard(b, "planning-application/1.0.0")
	a := parsed(b)
	a.Standard, a.Rows = std.Name().Line(), `record.district == "E07000998" && record.status in ["decided", "received"]`
	a.Fields = openFields("", std.Layout())
	for b.Loop() {
		if _, err := a.Compile(std); err != nil {
			b.Fatal(err)
		}
	}
}
