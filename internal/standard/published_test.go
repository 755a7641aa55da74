package standard

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A published standard is taken as its publisher wrote it: only a manifest is
// added. Each of these must load and take every example of its own.
var published = []struct {
	name     string
	schema   string            // under the data folder
	others   map[string]string // address to file; an address that ends in .json alone goes to schemas/
	examples []string          // files or folders
	records  func(v any) []any // what in an example is a record; nil: the example
	formats  Formats           // as its publisher means them; "" asserted
}{
	{name: "digital planning application", schema: "digital-planning/schemas/application.json", examples: []string{"digital-planning/examples/application"}},
	{name: "digital planning pre-application", schema: "digital-planning/schemas/preApplication.json", examples: []string{"digital-planning/examples/preApplication"}},
	{name: "digital planning enforcement", schema: "digital-planning/schemas/enforcement.json", examples: []string{"digital-planning/examples/enforcement"}},
	{name: "digital planning prototype", schema: "digital-planning/prototype/schema.json", examples: []string{"digital-planning/prototype/examples"}},
	{
		// The funder writes 05/06/2014 where the schema notes date-time.
		name: "360Giving package", formats: Annotation, schema: "360giving/schema/360-giving-package-schema.json",
		others:   map[string]string{"https://raw.githubusercontent.com/ThreeSixtyGiving/standard/1.4.2/schema/360-giving-schema.json": "360giving/schema/360-giving-schema.json"},
		examples: []string{"360giving/grants/wolfson-379.json"},
	},
	{
		name: "360Giving grant", formats: Annotation, schema: "360giving/schema/360-giving-schema.json", examples: []string{"360giving/grants/wolfson-379.json"},
		records: func(v any) []any { return v.(map[string]any)["grants"].([]any) },
	},
	{
		name: "OCDS release", schema: "ocds/schema/release-schema.json", examples: []string{"ocds/sample-1.1"},
		records: func(v any) []any { return v.(map[string]any)["releases"].([]any) },
	},
	{
		name: "OCDS release package", schema: "ocds/schema/release-package-schema.json",
		others:   map[string]string{"release-schema.json": "ocds/schema/release-schema.json"},
		examples: []string{"ocds/sample-1.1"},
	},
	{
		name: "OCDS record package", schema: "ocds/schema/record-package-schema.json",
		others: map[string]string{
			"record-schema.json": "ocds/schema/record-schema.json", "release-schema.json": "ocds/schema/release-schema.json",
			"versioned-release-validation-schema.json": "ocds/schema/versioned-release-validation-schema.json",
		},
		examples: []string{"ocds/sample-1.1/record"},
	},
	{name: "Open Referral UK service", schema: "open-referral-uk/schema/compiled/service.json", examples: []string{"open-referral-uk/examples/service_full.json"}},
	{name: "Open Referral UK organization", schema: "open-referral-uk/schema/compiled/organization.json", examples: []string{"open-referral-uk/examples/organization_full.json"}},
	{name: "Open Referral UK service at location", schema: "open-referral-uk/schema/compiled/service_at_location.json", examples: []string{"open-referral-uk/examples/service_at_location_full.json"}},
	{
		name: "Open Referral UK service, in its parts", schema: "open-referral-uk/schema/service.json",
		others: map[string]string{
			"organization.json": "open-referral-uk/schema/organization.json", "service_area.json": "open-referral-uk/schema/service_area.json",
			"schedule.json": "open-referral-uk/schema/schedule.json", "attribute.json": "open-referral-uk/schema/attribute.json",
			"service_at_location.json": "open-referral-uk/schema/service_at_location.json", "location.json": "open-referral-uk/schema/location.json",
			"address.json": "open-referral-uk/schema/address.json", "accessibility.json": "open-referral-uk/schema/accessibility.json",
			"taxonomy_term.json": "open-referral-uk/schema/taxonomy_term.json", "organization_identifier.json": "open-referral-uk/schema/organization_identifier.json",
			"cost_option.json": "open-referral-uk/schema/cost_option.json", "contact.json": "open-referral-uk/schema/contact.json",
			"funding.json": "open-referral-uk/schema/funding.json", "language.json": "open-referral-uk/schema/language.json",
			"phone.json": "open-referral-uk/schema/phone.json",
		},
		examples: []string{"open-referral-uk/examples/service_full.json"},
	},
}

// publishedDir packs one of them with a manifest.
func publishedDir(t testing.TB, root, schema string, others map[string]string, formats Formats) fstest.MapFS {
	read := func(p string) *fstest.MapFile {
		b, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		return &fstest.MapFile{Data: b}
	}
	fsys := pack("")
	fsys["schema.json"] = read(schema)
	more := ""
	if formats != "" {
		more = "format: " + string(formats) + "\n"
	}
	resources := ""
	for addr, p := range others {
		if !strings.Contains(addr, ":") {
			fsys["schemas/"+addr] = read(p)
			continue
		}
		if resources == "" {
			resources = "resources:\n"
		}
		file := "more/" + filepath.Base(p)
		fsys[file] = read(p)
		resources += "  " + addr + ": " + file + "\n"
	}
	fsys["standard.yaml"] = &fstest.MapFile{Data: []byte(manifest + more + resources)}
	return fsys
}

func publishedExamples(t testing.TB, root string, paths []string) map[string]any {
	out := map[string]any{}
	for _, p := range paths {
		err := filepath.WalkDir(filepath.Join(root, p), func(f string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(f) != ".json" || strings.Contains(f, "record") != strings.Contains(p, "record") {
				return err
			}
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 4 << 20})
			if err != nil {
				t.Errorf("%s: %v", f, err)
				return nil
			}
			out[f] = v
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestPublished(t *testing.T) {
	root := filepath.Dir(data(t, "digital-planning"))
	for _, p := range published {
		t.Run(p.name, func(t *testing.T) {
			start := time.Now()
			s, err := Load(publishedDir(t, root, p.schema, p.others, p.formats))
			if err != nil {
				t.Fatal(err)
			}
			loaded := time.Since(start)
			n := 0
			var longest time.Duration
			for f, v := range publishedExamples(t, root, p.examples) {
				records := []any{v}
				if p.records != nil {
					records = p.records(v)
				}
				for _, r := range records {
					n++
					start := time.Now()
					ps := s.Validate(r)
					longest = max(longest, time.Since(start))
					if len(ps) > 0 {
						t.Fatalf("%s: %+v", filepath.Base(f), ps[:min(3, len(ps))])
					}
					if ps := s.ValidateVisible(r); len(ps) > 0 {
						t.Fatalf("%s, visible: %+v", filepath.Base(f), ps[:min(3, len(ps))])
					}
				}
			}
			if n == 0 && p.examples != nil {
				t.Error("no example")
			}
			t.Logf("loaded in %v; %d records, the slowest in %v", loaded, n, longest)
		})
	}
}

// BenchmarkPublished judges the examples of published standards, and loads
// their schemas.
func BenchmarkPublished(b *testing.B) {
	root := filepath.Dir(data(b, "digital-planning"))
	for _, p := range published {
		fsys := publishedDir(b, root, p.schema, p.others, p.formats)
		s, err := Load(fsys)
		if err != nil {
			b.Fatal(err)
		}
		var records []any
		for _, v := range publishedExamples(b, root, p.examples) {
			if p.records != nil {
				records = append(records, p.records(v)...)
			} else {
				records = append(records, v)
			}
		}
		b.Run("load/"+p.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Load(fsys); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("validate/"+p.name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				if ps := s.Validate(records[i%len(records)]); ps != nil {
					b.Fatal(ps)
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
