package standard

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A manifest, however odd, is read or refused; one that is read comes back
// through an archive as it was.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest))
	f.Add([]byte(manifest + "classes: {/a: open, /a/*/b~1: special}\nmeasures: {fresh_within: P1Y2M}\nsource: [a, b]\nformat: annotation\n"))
	f.Add([]byte("name: &a x\nversion: *a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		if m.Name.Name == "" || m.Title == "" || len(m.Key) == 0 || !m.Status.valid() {
			t.Fatalf("accepted %q as %+v", b, m)
		}
		l := newLayout(m.Classes)
		for f, c := range m.Classes {
			if (c == Open) && !l.Separable(f) && len(f.Tokens()) == 1 {
				t.Fatalf("%q: %s is open and not separable", b, f)
			}
		}
		fsys := pack("{}")
		fsys["standard.yaml"].Data = b
		if s, err := Load(fsys); err == nil {
			s2, err := LoadArchive(s.Archive())
			if err != nil || s2.Name() != s.Name() || !bytes.Equal(s2.Archive(), s.Archive()) {
				t.Fatalf("%q does not come back: %v", b, err)
			}
		}
	})
}

// An archive is loaded or refused; one that is loaded prints as itself.
func FuzzLoadArchive(f *testing.F) {
	s, err := Load(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Archive())
	f.Add([]byte("PK\x05\x06" + string(make([]byte, 18))))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := LoadArchive(b)
		if err != nil {
			return
		}
		a := s.Archive()
		s2, err := LoadArchive(a)
		if err != nil || !bytes.Equal(s2.Archive(), a) || s2.Integrity() != s.Integrity() {
			t.Fatalf("an accepted archive does not come back: %v", err)
		}
	})
}

// A schema and a record, both hostile: refused or judged, never a panic, and
// what is visible of a valid record is never wrong.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"enum":[1,"x"]}},"required":["a"]}`), []byte(`{"a":1.0}`))
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"pattern":"^(?!a)"},{"$ref":"#"}]}}}`), []byte(`"b"`))
	f.Add([]byte(`{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}],"unevaluatedProperties":false}`), []byte(`{"a":{"a":{"a":{}}}}`))
	f.Add([]byte(`{"$schema":"http://json-schema.org/draft-04/schema#","items":[{"multipleOf":0.01}],"additionalItems":{"format":"uri"}}`), []byte(`[0.1,"a:b"]`))
	f.Add([]byte(`{"$dynamicAnchor":"n","prefixItems":[{"$dynamicRef":"#n"}],"contains":{"const":1},"uniqueItems":true}`), []byte(`[[1],1]`))
	f.Fuzz(func(t *testing.T, schema, record []byte) {
		if len(schema) > 4000 {
			return
		}
		s, err := Load(pack(string(schema)))
		if err != nil {
			return
		}
		v, err := strictjson.Decode(record, strictjson.Limits{})
		if err != nil {
			return
		}
		ps := s.Validate(v)
		checkProblems(t, ps)
		for _, p := range ps {
			if p.Rule == "engine" {
				t.Fatalf("the engine breaks on %q with %q", schema, record)
			}
		}
		if visible := s.ValidateVisible(v); ps == nil && visible != nil {
			t.Fatalf("%q with %q is valid, but visible: %+v", schema, record, visible)
		}
		if _, err := json.Marshal(ps); err != nil {
			t.Fatal(err)
		}
	})
}

// A hostile record at a shipped standard.
func FuzzRecord(f *testing.F) {
	all := shipped(f)
	for _, s := range all {
		valid, invalid := s.Examples()
		for _, e := range append(valid, invalid...) {
			f.Add(e.Text)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := strictjson.Decode(b, strictjson.Limits{})
		if err != nil {
			return
		}
		for _, s := range all {
			ps := s.Validate(v)
			checkProblems(t, ps)
			if k, err := s.Key(v); ps == nil && (err != nil || !json.Valid([]byte(k))) {
				t.Fatalf("%q is valid in %s and has no key: %v", b, s.Name(), err)
			}
			s.ValidateVisible(v)
		}
	})
}

// A pattern from outside compiles or not, and never runs on.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{`^\s*[^\S\d]+\p{L}$`, `(?!a)(b)\1`, `[]`, `[^]`, `\cJ\u{1F602}`, `((a*)*)*b`, `a{0,1000}{0,1000}`} {
		f.Add(p, "aaaaaaaaaaaaaaaa b")
	}
	f.Fuzz(func(t *testing.T, src, text string) {
		if p, err := compilePattern(src); err == nil {
			p.try(text, 10_000)
		}
	})
}
