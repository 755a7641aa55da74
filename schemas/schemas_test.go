package schemas_test

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
	"github.com/stile-exchange/stile/schemas/councils"
)

// Every shipped standard loads, stands under its own name, and its examples do
// what their folder says.
func TestShipped(t *testing.T) {
	for _, dir := range schemas.First() {
		if !slices.Contains(schemas.Names(), dir) {
			t.Errorf("%s does not come with Stile", dir)
		}
	}
	ids, err := os.ReadFile("identifiers.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range schemas.Names() {
		s, err := standard.Load(schemas.FS(dir))
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		m := s.Manifest()
		if got := s.Name().Name.Slug() + "/" + s.Name().Version.String(); got != dir || s.Name().Name.Publisher() != "standards.stile.example" {
			t.Errorf("%s is named %s", dir, s.Name())
		}
		if m.Status != standard.Live || m.Description == "" || len(m.Source) < 2 || m.Licence == "" {
			t.Errorf("%s: manifest %+v", dir, m)
		}
		for _, p := range s.CheckExamples() {
			t.Errorf("%s: %s %s: %s", dir, p.Pointer, p.Rule, p.Detail)
		}
		valid, invalid := s.Examples()
		if len(valid) < 3 || len(invalid) < 4 {
			t.Errorf("%s: %d valid and %d invalid examples", dir, len(valid), len(invalid))
		}
		for _, e := range invalid {
			checkReason(t, s, e)
		}
		if own, err := fs.ReadFile(schemas.FS(dir), "identifiers.json"); err == nil && !bytes.Equal(own, ids) {
			t.Errorf("%s: identifiers.json is not the one that all share", dir)
		}
		again, err := standard.LoadArchive(s.Archive())
		if err != nil || again.Integrity() != s.Integrity() || string(again.Archive()) != string(s.Archive()) {
			t.Errorf("%s: archive does not come back: %v", dir, err)
		}
	}
}

// checkReason reads the reason off an invalid example's file name: the rule, a
// hyphen and the place, its tokens joined by full stops. It must be the only one.
func checkReason(t *testing.T, s *standard.Standard, e standard.Example) {
	rule, place, _ := strings.Cut(strings.TrimSuffix(path.Base(e.File), ".json"), "-")
	pointer := ""
	if place != "" {
		pointer = "/" + strings.ReplaceAll(place, ".", "/")
	}
	ps := s.Validate(e.Record)
	if len(ps) != 1 || ps[0].Rule != rule || ps[0].Pointer != pointer {
		t.Errorf("%s %s: got %+v, want only %s at %q", s.Name(), e.File, ps, rule, pointer)
	}
}

// Every place that a schema names has a class of its own or under a named
// ancestor: personal by oversight and personal by decision must not look alike.
func TestEveryFieldHasAClass(t *testing.T) {
	for _, fsys := range schemas.All() {
		s, err := standard.Load(fsys)
		if err != nil {
			t.Fatal(err)
		}
		classes := s.Manifest().Classes
		valid, _ := s.Examples()
		for _, e := range valid {
			for k := range e.Record.(map[string]any) {
				f := name.Field("").Child(k)
				_, named := classes[f]
				_, all := classes[""]
				if !named && !all {
					t.Errorf("%s: %s has no class", s.Name(), f)
				}
			}
		}
	}
}

// The benchmark's permitted subset must hold every open field of the planning
// standard, since open fields travel in every token.
func TestPlanningOpenFields(t *testing.T) {
	s, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	permitted := []string{"/reference", "/organisation", "/district", "/address", "/postcode", "/longitude", "/latitude", "/applicationType", "/status", "/description", "/decision", "/decisionDate"}
	for f, c := range s.Manifest().Classes {
		if c == standard.Open && !slices.Contains(permitted, string(f)) {
			t.Errorf("%s is open but not in the permitted subset", f)
		}
	}
}

// TestDuties: each duty is of a standard that comes with Stile, names its law and day as the
// manifest does where that names one, and says which page was read, when, and what it says.
func TestDuties(t *testing.T) {
	manifests := map[name.StandardName]standard.Manifest{}
	for _, dir := range schemas.Names() {
		s, err := standard.Load(schemas.FS(dir))
		if err != nil {
			t.Fatal(err)
		}
		manifests[s.Name().Name] = s.Manifest()
	}
	day := func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }
	laws, none, before := map[name.StandardName]int{}, 0, ""
	for _, d := range schemas.Duties() {
		of := name.StandardName(d.Standard)
		m, ok := manifests[of]
		if !ok {
			t.Errorf("no standard is called %s", d.Standard)
		}
		if laws[of] == 0 {
			if law := m.Obligation; law.Statute != "" && (law.Statute != d.Statute || law.From != "" && law.From != d.From) {
				t.Errorf("%s: the manifest says %+v, and the list %+v", d.Standard, law, d)
			}
		}
		if d.From != "" && !day(d.From) || !strings.HasPrefix(d.Source, "https://") || d.Says == "" || !day(d.Checked) {
			t.Errorf("%s: no day or no source: %+v", d.Standard, d)
		}
		if len(d.NotOn) > 0 != (d.Who != "") || slices.ContainsFunc(d.NotOn, func(t string) bool { return !slices.Contains(councils.Types(), councils.Type(t)) }) {
			t.Errorf("%s: asks not all kinds of council, and does not say whom; or one that there is not: %+v", d.Standard, d)
		}
		if d.Statute == "" {
			none++
			if d.From != "" || d.Pending || m.Obligation.Statute != "" {
				t.Errorf("%s: a day without a law, or none beside a law: %+v", d.Standard, d)
			}
		} else {
			laws[of]++
		}
		if d.Standard < before {
			t.Errorf("%s stands after %s", d.Standard, before)
		}
		before = d.Standard
	}
	if len(laws) < 20 || none == 0 || laws["standards.stile.example/service-directory"] != 2 {
		t.Errorf("%d standards with a law, %d without: %v", len(laws), none, laws)
	}
}

// TestSubjects: each standard is filed under themes that there are, and words that a harvester
// keeps as they are.
func TestSubjects(t *testing.T) {
	known := map[string]bool{}
	for _, s := range schemas.Subjects() {
		known[s] = true
	}
	for _, dir := range schemas.Names() {
		standard := "standards.stile.example/" + path.Dir(dir)
		s := schemas.SubjectOf(standard)
		delete(known, standard)
		if len(s.Themes) == 0 || len(s.Themes) > 2 || len(s.Keywords) < 2 || len(s.Keywords) > 5 {
			t.Errorf("%s is about %q, %q", standard, s.Themes, s.Keywords)
		}
		for _, theme := range s.Themes {
			if schemas.Themes()[theme] == "" {
				t.Errorf("%s: there is no theme %q", standard, theme)
			}
		}
		for _, word := range s.Keywords {
			if word == "" || strings.TrimSpace(word) != word || strings.ContainsAny(word, ",;") {
				t.Errorf("%s: the keyword %q", standard, word)
			}
		}
	}
	for s := range known {
		t.Errorf("%s does not come with Stile", s)
	}
	if both := schemas.SubjectOf("standards.stile.example/challenge", "standards.stile.example/challenge-assent"); len(both.Themes) != 2 || len(both.Keywords) != 4 {
		t.Errorf("of two standards: %q", both)
	}
}

// TestHeadings: each heading and word that stands beside a standard is of a place that a
// column can fill, names its source, and says what is not known without it.
func TestHeadings(t *testing.T) {
	alike := func(a, b string) bool {
		bare := func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsLetter(r) || unicode.IsDigit(r) {
					return unicode.ToLower(r)
				}
				return -1
			}, s)
		}
		return bare(a) == bare(b)
	}
	headings, words := 0, 0
	for _, dir := range schemas.Names() {
		s, err := standard.Load(schemas.FS(dir))
		if err != nil {
			t.Fatal(err)
		}
		places := map[string]intake.Place{}
		for _, p := range intake.Places(s) {
			places[string(p.To)] = p
		}
		seen := map[string]bool{}
		of := string(s.Name().Name)
		for _, h := range schemas.Headings(of) {
			p, ok := places[h.Place]
			toks := name.Field(h.Place).Tokens()
			if !ok || h.Heading == "" || !strings.HasPrefix(h.Source, "https://") || seen[h.Place+" "+h.Heading] {
				t.Errorf("%s: no place, no source, or twice: %+v", of, h)
			} else if alike(h.Heading, p.Title) || alike(h.Heading, toks[len(toks)-1]) || alike(h.Heading, strings.Join(toks, "")) {
				t.Errorf("%s: %s is found without the list at %s", of, h.Heading, h.Place)
			}
			seen[h.Place+" "+h.Heading] = true
			headings++
		}
		for _, w := range schemas.Words(of) {
			if !slices.Contains(places[w.Place].Words, w.Means) || w.Word == "" || w.Word == w.Means || !strings.HasPrefix(w.Source, "https://") || seen[w.Place+" = "+w.Word] {
				t.Errorf("%s: the place does not have this word, no source, or twice: %+v", of, w)
			}
			seen[w.Place+" = "+w.Word] = true
			words++
		}
	}
	if headings < 200 || words < 100 {
		t.Errorf("%d headings and %d words", headings, words)
	}
}
