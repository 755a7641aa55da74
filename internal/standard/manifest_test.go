package standard

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

func TestManifest(t *testing.T) {
	m, err := parseManifest([]byte(`
name: standards.example/housing-need
version: 1.2.0
title: Housing need referral
description: >
  Plain words.
licence: OGL-UK-3.0
source: https://example.org/law
status: live
key: [/reference, /council/code]
classes:
  /district: open
  /applicant: personal
  /applicant/nino: special
  /household/*/name: personal
measures: {fresh_within: P7D}
resources:
  https://example.org/other.json: more/other.json
`))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name.String() != "standards.example/housing-need@1.2.0" || m.Status != Live || m.Description != "Plain words." ||
		len(m.Source) != 1 || m.Formats != Assertion || m.Measures.FreshWithin != (Duration{Days: 7}) ||
		m.Key[1] != "/council/code" || m.Classes["/applicant/nino"] != Special || m.Resources["https://example.org/other.json"] != "more/other.json" {
		t.Errorf("got %+v", m)
	}
}

func TestManifestRefuses(t *testing.T) {
	for _, c := range []struct{ name, change, with, want string }{
		{"an empty file", manifest, "", "empty"},
		{"an unknown heading", "title: Test", "title: Test\ncolour: blue", "line 4: field colour not found"},
		{"a heading twice", "title: Test", "title: Test\ntitle: Other", "already defined"},
		{"two documents", "title: Test", "title: Test\n---\nx: 1", "more than one"},
		{"no name", "name: standards.example/test", "", "standard"},
		{"a bad name", "standards.example/test", "../etc", "standard"},
		{"another's version", "1.0.0", "1.0", "version"},
		{"a version with more", "1.0.0", "1.0.0-rc1", "version"},
		{"no title", "title: Test", "", "title"},
		{"a long title", "title: Test", "title: " + strings.Repeat("x", 9000), "text is over"},
		{"no status", "status: draft", "", "status"},
		{"a new status", "status: draft", "status: final", "status"},
		{"no key", "key: [/id]", "", "key"},
		{"a key that is no pointer", "[/id]", "[id]", "key"},
		{"a key of all", `[/id]`, `[""]`, "whole record"},
		{"a key of every element", "[/id]", "[/a/*]", "every element"},
		{"a key twice", "[/id]", "[/id, /id]", "twice"},
		{"too many keys", "[/id]", "[/a,/b,/c,/d,/e,/f,/g,/h,/i]", "1 to 8"},
		{"an unknown class", "status: draft", "status: draft\nclasses: {/a: secret}", "secret"},
		{"a class at no pointer", "status: draft", "status: draft\nclasses: {a: open}", "Pointer"},
		{"a bad escape", "status: draft", "status: draft\nclasses: {/a~2: open}", "field"},
		{"open below personal", "status: draft", "status: draft\nclasses: {/a: personal, /a/b/c: open}", "open"},
		{"open below elements", "status: draft", "status: draft\nclasses: {/a/*: internal, /a/*/b: open}", "open"},
		{"a bad duration", "status: draft", "status: draft\nmeasures: {fresh_within: 7 days}", "duration"},
		{"an unknown measure", "status: draft", "status: draft\nmeasures: {fresh: P7D}", "fresh"},
		{"a bad format", "status: draft", "status: draft\nformat: maybe", "assertion"},
		{"not a map", manifest, "- a\n", "unmarshal"},
		{"an alias bomb", manifest, "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nname: *e\n", ""},
		{"too long", manifest, "#" + strings.Repeat("x", maxManifest), "over"},
	} {
		_, err := parseManifest([]byte(strings.Replace(manifest, c.change, c.with, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if err != nil && len(err.Error()) > 4000 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
	// Every fault is told at once.
	_, err := parseManifest([]byte("name: x\nversion: y\nstatus: z\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("got %v, want five faults", err)
	}
}

// What may be open, where.
func TestOpenPlaces(t *testing.T) {
	for _, c := range []struct {
		classes map[name.Field]Class
		ok      bool
	}{
		{map[name.Field]Class{"/a": Open}, true},
		{map[name.Field]Class{"/a/b": Open}, true}, // the container is not named and is in clear for it
		{map[name.Field]Class{"/a": Open, "/a/b": Personal}, true},
		{map[name.Field]Class{"": Personal, "/a": Open}, true}, // the root is in clear whatever its class
		{map[name.Field]Class{"": Open, "/a": Internal}, true},
		{map[name.Field]Class{"/a": Internal, "/a/b": Open}, false},
		{map[name.Field]Class{"/a": Open, "/a/b": Personal, "/a/b/c": Open}, false},
		{map[name.Field]Class{"/ab": Internal, "/a": Open}, true},
	} {
		if err := checkClasses(c.classes); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.classes, err)
		}
	}
}

func TestLayout(t *testing.T) {
	s := mustLoad(t, fstest.MapFS{
		"schema.json": {Data: []byte(`{}`)},
		"standard.yaml": {Data: []byte(manifest + `classes:
  /district: open
  /applicant: personal
  /applicant/name: personal
  /applicant/contact/email: special
  /household/*/name: personal
  /plan: open
  /plan/owner: personal
  /a~1b: open
  /site/point/lat: open
`)},
	})
	l := s.Layout()
	if l.Open || !l.Shell() || l.Members == nil || l.Elements != nil {
		t.Errorf("root %+v", l)
	}
	at := func(f string) *Layout {
		x := l
		for _, tok := range name.Field(f).Tokens() {
			if tok == "*" {
				x = x.Element()
			} else {
				x = x.Member(tok)
			}
		}
		return x
	}
	for _, c := range []struct {
		f         string
		open      bool
		shell     bool
		separable bool
		class     Class
	}{
		{"/district", true, true, true, Open},
		{"/applicant", false, false, true, Personal},
		{"/applicant/name", false, false, true, Personal},
		{"/applicant/phone", false, false, true, Personal}, // its siblings are decided one by one, so it is too
		{"/applicant/contact/email", false, false, true, Special},
		{"/applicant/contact/email/x", false, false, false, Special},
		{"/unnamed", false, false, true, Personal},
		{"/unnamed/x", false, false, false, Personal},
		{"/household", false, false, true, Personal},
		{"/household/*", false, false, true, Personal},
		{"/household/*/name", false, false, true, Personal},
		{"/household/*/name/first", false, false, false, Personal},
		{"/household/x", false, false, false, Personal}, // elements are named, members are not
		{"/plan", true, true, true, Open},
		{"/plan/owner", false, false, true, Personal},
		{"/plan/colour", true, true, true, Open},
		{"/plan/colour/shade", true, true, false, Open}, // in clear, but only with the whole of colour
		{"/a~1b", true, true, true, Open},
		{"/site", false, true, true, Personal}, // a shell: something in it is open
		{"/site/point", false, true, true, Personal},
		{"/site/point/lat", true, true, true, Open},
		{"/site/point/lon", false, false, true, Personal},
	} {
		x := at(c.f)
		if x == nil || x.Open != c.open || x.Shell() != c.shell {
			t.Errorf("%s: open %v, shell %v; want %v, %v", c.f, x.Open, x.Shell(), c.open, c.shell)
		}
		if got := l.Separable(name.Field(c.f)); got != c.separable {
			t.Errorf("%s: separable %v", c.f, got)
		}
		if got := s.Class(name.Field(c.f)); got != c.class {
			t.Errorf("%s: class %s, want %s", c.f, got, c.class)
		}
		// The two tables are one truth.
		if (s.Class(name.Field(c.f)) == Open) != x.Open {
			t.Errorf("%s: class and layout disagree", c.f)
		}
	}
	if !l.Separable("") {
		t.Error("the whole record is not separable")
	}
	hand := &Layout{Members: map[string]*Layout{"a": {Open: true}}}
	if hand.Member("b").Open || !hand.Member("a").Member("c").Open || hand.Element() == nil || !hand.Shell() {
		t.Error("a layout written by hand does not work")
	}
}

func TestDuration(t *testing.T) {
	start := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in   string
		want string // the instant after start; "" refused
	}{
		{"P7D", "2026-02-07T12:00:00Z"},
		{"P2W", "2026-02-14T12:00:00Z"},
		{"P1M", "2026-03-03T12:00:00Z"}, // there is no 31 February
		{"P1Y2M3DT4H5M6S", "2027-04-03T16:05:06Z"},
		{"PT36H", "2026-02-02T00:00:00Z"},
		{"P0D", "2026-01-31T12:00:00Z"},
		{"", ""}, {"P", ""}, {"PT", ""}, {"P1", ""}, {"7D", ""}, {"P1DT", ""}, {"PT1D", ""}, {"P1H", ""}, {"P1W1D", ""},
		{"P1D1Y", ""}, {"P-1D", ""}, {"P1.5D", ""}, {"P999999D", ""}, {"p7d", ""}, {"P7D ", ""}, {"P1D2D", ""}, {"P" + strings.Repeat("1", 50) + "D", ""},
	} {
		d, err := ParseDuration(c.in)
		if (err == nil) != (c.want != "") {
			t.Errorf("ParseDuration(%q) = %+v, %v", c.in, d, err)
			continue
		}
		if err != nil {
			continue
		}
		if got := d.After(start).Format(time.RFC3339); got != c.want {
			t.Errorf("%s after %s is %s, want %s", c.in, start, got, c.want)
		}
		if got := d.String(); got != c.in && c.in != "P0D" {
			t.Errorf("%s prints as %s", c.in, got)
		}
	}
	if !(Duration{}).IsZero() || (Duration{}).String() != "" {
		t.Error("the zero duration is something")
	}
}
