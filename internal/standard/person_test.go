package standard

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/strictjson"
)

func withPersons(persons string) fstest.MapFS {
	return fstest.MapFS{
		"standard.yaml": {Data: []byte(`name: standards.example/case
version: 1.0.0
title: Case
status: live
key: [/reference]
classes: {/reference: internal, /nhs: personal, /staff: open}
persons: ` + persons + "\n")},
		"schema.json": {Data: []byte(`{"type":"object"}`)},
	}
}

// A record names the persons whose numbers stand where its standard says so, and a number
// is found however it is spelled.
func TestPersonsIn(t *testing.T) {
	s, err := Load(withPersons(`{/nhs: nhs-number, /others/*/nhs: nhs-number, /mail: email}`))
	if err != nil {
		t.Fatal(err)
	}
	v, err := strictjson.Decode([]byte(`{"nhs":"943 476-5919","others":[{"nhs":9434765870},{"nhs":null},{"nhs":[1]},{"nhs":""},7,{"nhs":"943 476-5919"}],
		"mail":"Ann-Marie@example.org","name":"Kezia"}`), strictjson.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	body := v.(map[string]any)
	want := []Person{{"email", "Ann-Marie@example.org"}, {"nhs-number", "943 476-5919"}, {"nhs-number", "9434765870"}}
	if got := s.PersonsIn(body); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for _, x := range []struct {
		p    Person
		want bool
	}{
		{Person{"nhs-number", "9434765919"}, true},
		{Person{"nhs-number", " 943-476 5870 "}, true},
		{Person{"nino", "9434765919"}, false},
		{Person{"nhs-number", "943476591"}, false},
		{Person{"email", "ann-marie@EXAMPLE.org"}, true},
		{Person{"email", "annmarie@example.org"}, false},
		{Person{"nhs-number", ""}, false},
	} {
		if got := s.Names(body, x.p); got != x.want {
			t.Errorf("%v: %v", x.p, got)
		}
	}
}

// A number that names a person is personal, and each scheme has a plain name.
func TestPersonsOfManifest(t *testing.T) {
	for persons, want := range map[string]string{
		`{/staff: staff-number}`: "is open",
		`{/reference: ref}`:      "is internal",
		`{/nhs: NHS}`:            "scheme",
		`{/nhs: ""}`:             "scheme",
		`{"": nino}`:             "want a place",
		`{/*: nino}`:             "want a place",
		`{nhs: nino}`:            "",
	} {
		_, err := Load(withPersons(persons))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", persons, err, want)
		}
	}
}
