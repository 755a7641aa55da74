package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

// TestTranslationsAsPublished: what the registers of contracts and services are written as
// in the form of others is valid by the schemas that those publish, and what they publish as
// an example comes in as a record that our standard takes.
func TestTranslationsAsPublished(t *testing.T) {
	ocds, services := published(t, "ocds"), published(t, "open-referral-uk")
	dir := t.TempDir()
	at := func(file string) string { return filepath.Join(dir, file) }
	run := func(code int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if got := Main(t.Context(), env{in: strings.NewReader(""), out: &out, err: &errs}, append(args, "--data", at("n"))); got != code {
			t.Fatalf("stile %v: exit %d, want %d\n%s%s", args, got, code, &out, &errs)
		}
		return out.String()
	}
	run(0, "init", "--council", "northmoor.gov.uk", "--gss", "E07000998", "--title", "Northmoor District Council")
	for _, std := range []string{"contract", "service-directory"} {
		run(0, "standard", "adopt", std)
		s, err := standard.Load(schemas.FS(std + "/1.0.0"))
		if err != nil {
			t.Fatal(err)
		}
		var lines bytes.Buffer
		valid, _ := s.Examples()
		for _, e := range valid {
			lines.Write(strictjson.Canonical(e.Record))
			lines.WriteByte('\n')
		}
		if err := os.WriteFile(at(std+".ndjson"), lines.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		run(0, "import", at(std+".ndjson"), "--standard", std)
	}
	run(0, "register", "export", "--out", at("public"), "--base", "https://northmoor.gov.uk/sharing")

	file := func(path string) *fstest.MapFile {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return &fstest.MapFile{Data: b}
	}
	load := func(key, schema string, beside map[string]string) *standard.Standard {
		t.Helper()
		fsys := fstest.MapFS{"schema.json": file(schema), "standard.yaml": {Data: []byte("name: standards.example/x\nversion: 1.0.0\ntitle: X\nstatus: draft\nkey: [" + key + "]\n")}}
		for name, path := range beside {
			fsys["schemas/"+name] = file(path)
		}
		s, err := standard.Load(fsys)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	decoded := func(b []byte) map[string]any {
		t.Helper()
		v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 4 << 20, Values: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return v.(map[string]any)
	}
	valid := func(s *standard.Standard, what string, v any) {
		t.Helper()
		if problems := s.Validate(v); len(problems) > 0 {
			t.Errorf("%s: %+v", what, problems[:min(5, len(problems))])
		}
	}
	pack := decoded(file(at("public/open/contracts.ocds.json")).Data)
	valid(load("/uri", filepath.Join(ocds, "schema", "release-package-schema.json"), map[string]string{"release-schema.json": filepath.Join(ocds, "schema", "release-schema.json")}), "release package", pack)
	release := load("/id", filepath.Join(ocds, "schema", "release-schema.json"), nil)
	for _, r := range pack["releases"].([]any) {
		valid(release, "release", r)
	}
	list := decoded(file(at("public/open/service-directory.open-referral-uk.json")).Data)
	full := load("/id", filepath.Join(services, "schema", "compiled", "service.json"), nil)
	short := load("/id", filepath.Join(services, "schema", "compiled", "service_list.json"), nil)
	for _, s := range list["contents"].([]any) {
		valid(full, "service", s)
		valid(short, "service of a list", s)
	}
	if n, m := len(pack["releases"].([]any)), len(list["contents"].([]any)); n != 3 || m != 3 {
		t.Errorf("%d releases and %d services, want 3 of each", n, m)
	}
	published := decoded(file(filepath.Join(services, "examples", "service_list.json")).Data)
	for member := range published {
		if _, ok := list[member]; !ok {
			t.Errorf("a list of services has %q, and ours has not", member)
		}
	}

	// In: the compiled release of OCDS's sample. Its company number and code are written as
	// numbers of a spreadsheet, which our standard does not take.
	record := decoded(file(filepath.Join(ocds, "sample-1.1", "record", "ocds-213czf-000-00001.json")).Data)
	compiled := record["records"].([]any)[0].(map[string]any)["compiledRelease"]
	b, err := json.Marshal(map[string]any{"version": "1.1", "releases": []any{compiled}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		text []byte
		code int
		want string
	}{
		{"as-it-stands.json", b, 5, `refused    1`},
		{"mended.json", bytes.ReplaceAll(b, []byte(`.0"`), []byte(`"`)), 0, `created    1`},
	} {
		if err := os.WriteFile(at(c.file), c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := run(c.code, "import", at(c.file), "--translation", "ocds"); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s", c.file, out)
		}
	}
	if out := run(0, "record", "show", "ocds-213czf-000-00001", "--standard", "contract"); !strings.Contains(out, `"company": "11111111"`) || !strings.Contains(out, `"extension_to": "2011-12-31"`) || !strings.Contains(out, `"value": 11000000`) || !strings.Contains(out, `"council": "E09000003"`) {
		t.Errorf("the sample came in as %s", out)
	}
	// And the one service that Open Referral UK publishes in full: it has one place, at 100
	// degrees north, whose accessibility is told in a sentence.
	one := file(filepath.Join(services, "examples", "service_full.json")).Data
	mended := strings.NewReplacer(`"latitude": 100`, `"latitude": 52.5`, `"longitude": 101`, `"longitude": -1.5`, `"ABC 1234"`, `"NM1 1AA"`, `"1234567"`, `"01234567"`).Replace(string(one))
	if err := os.WriteFile(at("service.json"), []byte(`{"contents": [`+mended+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "import", at("service.json"), "--translation", "open-referral-uk", "--set", "/council=E07000998")
	if out := run(0, "record", "show", "ac148810-d857-441c-9679-408f346de14b", "--standard", "service-directory"); !strings.Contains(out, `"address": "1-30 Main Street"`) || strings.Contains(out, "accessible") || !strings.Contains(out, `"company": "01234567"`) {
		t.Errorf("the service came in as %s", out)
	}
}
