package name

import (
	"errors"
	"strings"
	"testing"
)

func TestGrammar(t *testing.T) {
	parse := map[string]func(string) (string, error){
		"council":   func(s string) (string, error) { v, err := ParseCouncil(s); return string(v), err },
		"record":    func(s string) (string, error) { v, err := ParseRecord(s); return string(v), err },
		"standard":  func(s string) (string, error) { v, err := ParseStandard(s); return v.String(), err },
		"line":      func(s string) (string, error) { v, err := ParseStandardLine(s); return v.String(), err },
		"agreement": func(s string) (string, error) { v, err := ParseAgreement(s); return string(v), err },
		"field":     func(s string) (string, error) { v, err := ParseField(s); return string(v), err },
		"issuer":    func(s string) (string, error) { v, err := ParseIssuer(s); return v.Issuer(), err },
	}
	for _, c := range []struct {
		kind, in string
		ok       bool
	}{
		{"council", "northmoor.gov.uk", true},
		{"council", "Northmoor.gov.uk", false},
		{"council", "northmoor", false},
		{"council", "northmoor..uk", false},
		{"council", "-a.uk", false},
		{"council", "a/b.uk", false},
		{"council", "../etc.uk", false},
		{"council", strings.Repeat("a.", 130) + "uk", false},
		{"record", "aaaaaaaaaaaaaaaaaaaaaaaaaa", true},
		{"record", "aaaaaaaaaaaaaaaaaaaaaaaaab", false}, // set bits past the 128th
		{"record", "AAAAAAAAAAAAAAAAAAAAAAAAAA", false},
		{"record", "aaaa", false},
		{"record", "aaaaaaaaaaaaaaaaaaaaaaaa\n\n", false},
		{"standard", "standards.example/housing-need@1.2.0", true},
		{"standard", "standards.example/housing-need@1.2", false},
		{"standard", "standards.example/housing-need@01.2.0", false},
		{"standard", "standards.example/../x@1.2.0", false},
		{"standard", "housing-need@1.2.0", false},
		{"line", "standards.example/housing-need@1", true},
		{"line", "standards.example/housing-need@1.0", false},
		{"agreement", "northmoor.gov.uk/people", true},
		{"agreement", "northmoor.gov.uk/people/x", false},
		{"agreement", "northmoor.gov.uk", false},
		{"field", "", true},
		{"field", "/a/*/b~1c", true},
		{"field", "a", false},
		{"field", "/a~2", false},
		{"field", "/a\x00", false},
		{"field", "/" + strings.Repeat("a", MaxFieldLen), false},
		{"field", strings.Repeat("/a", MaxFieldDepth+1), false},
		{"issuer", "https://northmoor.gov.uk", true},
		{"issuer", "http://northmoor.gov.uk", false},
	} {
		got, err := parse[c.kind](c.in)
		if (err == nil) != c.ok || (c.ok && got != c.in) {
			t.Errorf("%s %q: got %q, %v; want ok=%v", c.kind, c.in, got, err, c.ok)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s %q: error %v does not wrap ErrInvalid", c.kind, c.in, err)
		}
	}
}

func TestRecordBytes(t *testing.T) {
	b := [16]byte{0, 1, 2, 253, 254, 255}
	r := RecordFrom(b)
	if p, err := ParseRecord(string(r)); err != nil || p.Bytes() != b {
		t.Fatalf("ParseRecord(%q) = %v, %v", r, p, err)
	}
}

func TestFieldUnder(t *testing.T) {
	for _, c := range []struct {
		f, g Field
		want bool
	}{
		{"/a/b", "/a", true}, {"/a", "/a", true}, {"/ab", "/a", false}, {"/a", "/a/b", false}, {"/a", "", true},
	} {
		if got := c.f.Under(c.g); got != c.want {
			t.Errorf("%q under %q = %v, want %v", c.f, c.g, got, c.want)
		}
	}
	if got := Field("/a~1b/*").Tokens(); len(got) != 2 || got[0] != "a/b" || got[1] != "*" {
		t.Errorf("Tokens = %q", got)
	}
	if got := Field("/x").Child("a/b~"); got != "/x/a~1b~0" {
		t.Errorf("Child = %q", got)
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"northmoor.gov.uk", "standards.example/a@1.0.0", "/a/*", "aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseCouncil(s); err == nil && string(v) != s {
			t.Errorf("council %q printed as %q", s, v)
		}
		if v, err := ParseRecord(s); err == nil && RecordFrom(v.Bytes()) != Record(s) {
			t.Errorf("record %q does not come back", s)
		}
		if v, err := ParseStandard(s); err == nil && v.String() != s {
			t.Errorf("standard %q printed as %q", s, v)
		}
		if v, err := ParseStandardLine(s); err == nil && v.String() != s {
			t.Errorf("line %q printed as %q", s, v)
		}
		if v, err := ParseField(s); err == nil {
			var back Field
			for _, tok := range v.Tokens() {
				back = back.Child(tok)
			}
			if string(back) != s {
				t.Errorf("field %q came back as %q", s, back)
			}
		}
	})
}
