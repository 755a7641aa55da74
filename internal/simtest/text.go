package simtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// caseStandards returns a made-up standard with something of everything: open,
// internal and personal fields, nested and in an array. Its second major has no
// /secret and no /person/phone, and ships a mapping from the first.
func caseStandards(t testing.TB) (one, two *standard.Standard) {
	t.Helper()
	const manifest = `
name: standards.example/case
version: %d.0.0
title: Case
status: live
key: [/reference]
classes:
  /reference: open
  /ward: internal
  /count: internal
  /person/name: personal
  /notes/*: personal
`
	const schema = `{
	"type": "object", "required": ["reference", "ward", "count", "person", "notes"%s],
	"properties": {
		"reference": {"type": "string"}, "ward": {"type": "string"}, "count": {"type": "integer"},
		"person": {"type": "object", "properties": {"name": {"type": "string"}%s}},
		"notes": {"type": "array", "items": {"type": "string"}}%s
	}
}`
	text := `{"type": "string"}`
	one, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte(fmt.Sprintf(manifest, 1) + "  /person/phone: personal\n  /secret: special\n")},
		"schema.json":   {Data: fmt.Appendf(nil, schema, `, "secret"`, `, "phone": `+text, `, "secret": `+text)},
	})
	if err != nil {
		t.Fatal(err)
	}
	two, err = standard.Load(fstest.MapFS{
		"standard.yaml":   {Data: fmt.Appendf(nil, manifest, 2)},
		"schema.json":     {Data: fmt.Appendf(nil, schema, "", "", "")},
		"mappings/1.yaml": {Data: []byte("steps:\n  - remove: /secret\n  - remove: /person/phone\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return one, two
}

const caseName = name.StandardName("standards.example/case")

// canaryWord begins every text value of a record, and nothing else.
const canaryWord = "CANARY"

// long makes a record a large part of a small page, though it leaves with nobody: all that
// stands behind a secret.
var long = strings.Repeat("x", 1600)

// body makes a record, every text of which names its place and the body.
func (w *World) body(ref string) map[string]any {
	w.counter++
	canary := func(place string) string { return fmt.Sprint(canaryWord, " ", place, " ", w.counter, ".") }
	notes := []any{}
	for i := range w.rng.IntN(3) {
		notes = append(notes, canary(fmt.Sprint("/notes/", i)))
	}
	return map[string]any{
		"reference": ref, "ward": string("XYZ"[w.rng.IntN(3)]), "count": json.Number(fmt.Sprint(w.rng.IntN(6))),
		"person": map[string]any{"name": canary("/person/name"), "phone": canary("/person/phone")},
		"notes":  notes, "secret": canary("/secret"),
	}
}

// A rule is a row filter, in CEL and in Go.
type rule struct {
	cel   string
	reads string // the one member of a body that it reads; "" for none
	fn    func(body map[string]any) bool
}

var rules = []rule{
	{`record.ward == "X"`, "ward", func(b map[string]any) bool { return b["ward"] == "X" }},
	{`record.ward != "Z"`, "ward", func(b map[string]any) bool { return b["ward"] != "Z" }},
	{`record.count > 2`, "count", func(b map[string]any) bool { n, _ := b["count"].(json.Number).Int64(); return n > 2 }},
	{`record.notes.size() > 0`, "notes", func(b map[string]any) bool { return len(b["notes"].([]any)) > 0 }},
	{`true`, "", func(b map[string]any) bool { return true }},
}

// picks reports whether the rule picks a record, or what is shown of one: it picks
// none that it cannot read.
func (r rule) picks(body map[string]any) bool {
	return body != nil && (r.reads == "" || body[r.reads] != nil) && r.fn(body)
}

// Nobody ever agrees to /secret.
var fieldSets = [][]name.Field{
	{"/reference", "/ward", "/count", "/person/name", "/person/phone", "/notes/*"},
	{"/reference", "/ward", "/person/name"},
	{"/reference", "/ward", "/notes/*"},
	{"/reference", "/count"},
	{"/reference", "/person"},
}

// What may be counted by: nobody counts by what is about people.
var countSets = [][]name.Field{{"/ward"}, {"/ward", "/count"}, {"/reference", "/ward"}}

// What may be agreed of records that the mapping makes.
var mappedSets = fieldSets[1:4]

// A text is one version of an agreement, and what it means in Go.
type text struct {
	doc    *agreement.Agreement
	rule   rule
	fields []name.Field
	major  int // of the standard
}

// text makes a document that can be signed.
func (w *World) text(nm name.Agreement, version int, from name.Council, to []name.Council) *text {
	x := &text{rule: rules[w.rng.IntN(len(rules))], fields: fieldSets[w.rng.IntN(len(fieldSets))], major: 1}
	var b strings.Builder
	fmt.Fprintf(&b, "agreement: %s\nversion: %d\nfrom: %s\nto: [", nm, version, from)
	for i, c := range to {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(c))
	}
	mode := "mode: replicate"
	if strings.HasSuffix(string(nm), "-2") {
		mode = "mode: lookup\nmatch: [/reference]"
	}
	if strings.HasSuffix(string(nm), "-3") {
		mode, x.fields = "mode: aggregate", countSets[w.rng.IntN(len(countSets))]
	}
	if strings.HasSuffix(string(nm), "-4") {
		x.major, x.fields = 2, mappedSets[w.rng.IntN(len(mappedSets))]
	}
	fmt.Fprintf(&b, "]\n%s\nstandard: %s@%d\nrows: '%s'\nfields: [", mode, caseName, x.major, x.rule.cel)
	for i, f := range x.fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(f))
	}
	b.WriteString(`]
purpose: To see what holds.
necessity: Nothing else shows it.
data_items: Made-up cases.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Local Government Act 1972, section 111
  special_condition: none, nothing special is shared
dpia: Screened.
rights_contact: dpo@example.org
accuracy: Corrections follow at once.
retention: P1Y
disposal: Deleted.
security: Tests only.
review: 2000-06-01
starts: 2000-01-01
ends: 2010-01-01
exit: At once.
roles:
`)
	for _, c := range append([]name.Council{from}, to...) {
		fmt.Fprintf(&b, "  %s: controller\n", c)
	}
	b.WriteString("contacts:\n")
	for _, c := range append([]name.Council{from}, to...) {
		fmt.Fprintf(&b, "  %s: dpo@%s\n", c, c)
	}
	var err error
	if x.doc, err = agreement.Parse([]byte(b.String())); err != nil {
		w.fail("%v in\n%s", err, &b)
	}
	return x
}

// covers reports whether one of the fields is, or is above, a place.
func covers(fields []name.Field, place string) bool {
	for _, f := range fields {
		if p := strings.Split(place, "/"); matches(strings.Split(string(f), "/"), p) {
			return true
		}
	}
	return false
}

func matches(field, place []string) bool {
	if len(place) < len(field) {
		return false
	}
	for i, tok := range field {
		if tok != "*" && tok != place[i] {
			return false
		}
	}
	return true
}

// seen returns what of a body the text lets its receivers see, as JSON with
// sorted members.
func (x *text) seen(body map[string]any) string {
	b, err := json.Marshal(x.narrow(body))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// narrow returns what of a body, or of what is shown of one, the text lets its
// receivers see.
func (x *text) narrow(body map[string]any) map[string]any {
	out := map[string]any{"reference": body["reference"]}
	for _, k := range []string{"ward", "count"} {
		if covers(x.fields, "/"+k) && body[k] != nil {
			out[k] = body[k]
		}
	}
	person := map[string]any{}
	for _, k := range []string{"name", "phone"} {
		all, _ := body["person"].(map[string]any)
		if covers(x.fields, "/person/"+k) && all[k] != nil {
			person[k] = all[k]
		}
	}
	if len(person) > 0 {
		out["person"] = person
	}
	if covers(x.fields, "/notes/0") && body["notes"] != nil {
		out["notes"] = body["notes"]
	}
	return out
}
