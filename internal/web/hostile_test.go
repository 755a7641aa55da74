package web_test

import (
	"archive/zip"
	"bytes"
	"html"
	"io/fs"
	"net/url"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/schemas"
)

// spoilt is an agreement of which a partner wrote every text as hostile.
const spoilt = "northmoor.gov.uk/spoilt"

// spoiled returns it.
func spoiled(t testing.TB) []byte {
	t.Helper()
	a, err := agreement.Parse(people.Agreement())
	if err != nil {
		t.Fatal(err)
	}
	a.Name = spoilt
	for _, text := range []*string{&a.Purpose, &a.Necessity, &a.DataItems, &a.LawfulBasis.LegalPower, &a.DPIA, &a.RightsContact, &a.Accuracy, &a.Disposal, &a.Security, &a.Exit} {
		*text = hostile
	}
	for c := range a.Contacts {
		a.Contacts[c] = hostile
	}
	return a.YAML()
}

// spoiledStandard returns the archive of a standard of which the publisher wrote every text
// as hostile.
func spoiledStandard(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	from := schemas.FS("spend/1.0.0")
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(hostile)
	err := fs.WalkDir(from, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, p)
		if err != nil {
			return err
		}
		switch p {
		case "standard.yaml":
			s := strings.Replace(string(text), "name: standards.stile.example/spend", "name: publisher.example/spend", 1)
			s = strings.Replace(s, "title: Spend over £500", `title: "`+quoted+`"`, 1)
			head, rest, _ := strings.Cut(s, "description: >\n")
			_, rest, _ = strings.Cut(rest, "licence:")
			text = []byte(head + `description: "` + quoted + "\"\nlicence:" + rest)
		case "schema.json":
			lines := strings.Split(string(text), "\n")
			for i, l := range lines {
				for _, key := range []string{"title", "description"} {
					if at := strings.Index(l, `"`+key+`": "`); at >= 0 {
						end := strings.LastIndex(l, `"`)
						if next := strings.Index(l[at+len(key)+5:], `",`); next >= 0 {
							end = at + len(key) + 5 + next
						}
						l = l[:at] + `"` + key + `": "` + quoted + l[end:]
					}
				}
				lines[i] = l
			}
			text = []byte(strings.Join(lines, "\n"))
		}
		w, err := z.Create(p)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What a partner, a publisher, a person or a file says stands on every page exactly as it
// was written, and as text. TestPages looks at the same pages in a browser, where nothing
// may run.
func TestHostileText(t *testing.T) {
	h := open(t, true, nil)
	v := h.enter(hostile, access.Roles()...)
	if _, page := v.get("/home"); !strings.Contains(cut(t, page, "<header", "</header>"), html.EscapeString(hostile)) {
		t.Error("the name of the person is not on the page")
	}
	v.post("/records/purpose", url.Values{"why": {"other"}, "words": {hostile}})
	cell := `"` + strings.ReplaceAll(hostile, `"`, `""`) + `"`
	_, page := v.upload("/imports", "<img src=x onerror=alert(2)>.csv", []byte(cell+",Where\n"+cell+",y\n"), url.Values{"standard": {"standards.stile.example/housing-need@1"}})
	upload := "/imports/" + cut(t, page, `action="/imports/`, "/columns")
	v.post("/drafts/new", url.Values{"name": {"draft"}, "to": {string(saltby)}, "standard": {"standards.stile.example/housing-need@1"}})
	const draft = "/drafts/northmoor.gov.uk/draft"
	v.post(draft+"/part/purpose", url.Values{"purpose": {hostile}, "necessity": {hostile}})

	for at, want := range map[string]struct {
		text  string
		times int // at least
	}{
		"/councils":                        {hostile, 1},
		"/councils/saltby.gov.uk":          {hostile, 2}, // title and heading
		"/home":                            {hostile, 1}, // why the exchange is suspended
		"/agreements":                      {hostile, 1},
		"/agreements/" + spoilt:            {hostile, 10},
		"/register":                        {hostile, 1},
		"/register/" + spoilt:              {hostile, 6},
		"/register?q=onerror":              {hostile, 1},
		"/standards":                       {hostile, 1},
		"/adoption":                        {hostile, 1}, // as one of the standards to choose from
		"/held":                            {hostile, 1},
		"/disclosures":                     {hostile, 2}, // who read what, and what for
		"/admin/keys":                      {hostile, 2},
		"/records":                         {hostile, 1}, // the purpose
		upload:                             {hostile, 2},
		draft + "/part/purpose":            {hostile, 2},
		draft + "/preview":                 {hostile, 2},
		"/agreements/" + spoilt + "/check": {hostile, 5}, "/agreements/" + spoilt + "/counter": {hostile[strings.Index(hostile, "<img"):], 10}, // YAML has quotes of its own
		"/standards/publisher.example/spend@1.0.0": {hostile, 3},
	} {
		status, page := v.get(at)
		if status != 200 {
			t.Errorf("%s: %d", at, status)
		}
		if got := strings.Count(html.UnescapeString(page), want.text); got < want.times {
			t.Errorf("%s: the text stands there %d times as it was written, want %d", at, got, want.times)
		}
		for _, raw := range []string{"<script>alert", "<img", "onerror=alert(2)>{{"} {
			if strings.Contains(page, raw) {
				t.Errorf("%s: holds %s as markup", at, raw)
			}
		}
	}
	// What is given back with an error is no markup either.
	for at, form := range map[string]url.Values{
		"/drafts/new": {"name": {hostile}}, "/records/purpose": {"why": {hostile}, "words": {hostile}}, "/subject": {"person": {hostile}}, "/admin/keys": {"title": {hostile}, "allow": {hostile}, "days": {hostile}},
		"/agreements/" + spoilt + "/counter": {"text": {hostile}},
		"/agreements/" + spoilt + "/renew":   {"until-day": {hostile}, "until-month": {hostile}, "until-year": {hostile}}, "/councils/join": {"code": {hostile}},
	} {
		if status, page := v.post(at, form); status != 422 || strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || !strings.Contains(page, html.EscapeString(hostile)) && at != "/records/purpose" {
			t.Errorf("%s: %d, or the text was not given back as it was typed", at, status)
		}
	}
	if _, page := v.get("/register?q=" + url.QueryEscape(hostile)); strings.Contains(page, "<script>alert") || !strings.Contains(html.UnescapeString(page), hostile) {
		t.Error("what was searched for is not on the page as text")
	}
	// A table of the register is opened by spreadsheets.
	if _, csv := v.get("/register.csv"); strings.Contains(csv, ",=") || strings.Contains(csv, `,"=`) {
		t.Error("a cell begins as a formula does")
	}
}
