package standard

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

var update = flag.Bool("update", false, "write docs/standards-table.md")

// An offer is one published schema document and what makes it a standard.
type offer struct {
	File     string                        `yaml:"file"`
	As       *struct{ Address, At string } `yaml:"as"`
	Key      []string                      `yaml:"key"`
	Classes  map[string]string             `yaml:"classes"`
	Format   string                        `yaml:"format"`
	Beside   []string                      `yaml:"beside"`
	Address  map[string]string             `yaml:"address"`
	Examples []string                      `yaml:"examples"`
	Record   string                        `yaml:"record"`
}

func offers(t testing.TB) (out []offer) {
	b, err := os.ReadFile("testdata/published.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// dir packs an offer as a standard: a manifest, and every document as it is.
func (o offer) dir(t testing.TB, root string) fstest.MapFS {
	read := func(p string) *fstest.MapFile {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
		if err != nil {
			t.Fatal(err)
		}
		return &fstest.MapFile{Data: b}
	}
	m := map[string]any{
		"name": "standards.example/" + o.slug(), "version": "1.0.0", "title": path.Base(o.File), "description": "As its publisher wrote it.",
		"status": "candidate", "key": o.Key, "licence": "its publisher's", "source": "its publisher",
	}
	if o.Key == nil {
		m["key"] = []string{"/id"}
	}
	if o.Classes != nil {
		m["classes"] = o.Classes
	}
	if o.Format != "" {
		m["format"] = o.Format
	}
	fsys := fstest.MapFS{"schema.json": read(o.File)}
	resources := map[string]string{}
	if o.As != nil {
		file := "schemas/" + path.Base(o.File)
		fsys[file] = fsys["schema.json"]
		fsys["schema.json"] = &fstest.MapFile{Data: fmt.Appendf(nil, `{"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "%s#%s"}`+"\n", o.As.Address, o.As.At)}
		resources[o.As.Address] = file
	}
	for _, pattern := range o.Beside {
		for _, p := range globbed(t, root, pattern) {
			if !strings.HasSuffix(p, "/openapi.json") {
				fsys["schemas/"+path.Base(p)] = read(p)
			}
		}
	}
	for addr, p := range o.Address {
		resources[addr] = "more/" + path.Base(p)
		fsys["more/"+path.Base(p)] = read(p)
	}
	if len(resources) > 0 {
		m["resources"] = resources
	}
	b, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	fsys["standard.yaml"] = &fstest.MapFile{Data: b}
	return fsys
}

func (o offer) slug() string {
	s := plainName(strings.TrimSuffix(path.Base(o.File), path.Ext(o.File)))
	return strings.Trim(strings.ReplaceAll(s, "--", "-"), "-")
}

// globbed lists files under root by a pattern; one that matches nothing fails
// the test.
func globbed(t testing.TB, root, pattern string) (out []string) {
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s matches nothing (%v)", pattern, err)
	}
	for _, f := range files {
		rel, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out
}

// records returns the publisher's own examples, one by one.
func (o offer) records(t testing.TB, root string) (out []any) {
	for _, pattern := range o.Examples {
		for _, p := range globbed(t, root, pattern) {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
			if err != nil {
				t.Fatal(err)
			}
			v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 4 << 20})
			if err != nil {
				t.Errorf("%s: %v", p, err)
				continue
			}
			at := []any{v}
			for _, tok := range name.Field(o.Record).Tokens() {
				var next []any
				for _, v := range at {
					if list, ok := v.([]any); ok && tok == "*" {
						next = append(next, list...)
					} else if obj, ok := v.(map[string]any); ok && obj[tok] != nil {
						next = append(next, obj[tok])
					}
				}
				at = next
			}
			out = append(out, at...)
		}
	}
	return out
}

// schemasIn finds every document under root that describes data: JSON that has
// the looks of a schema, YAML and XSD.
func schemasIn(t testing.TB, root string) (out []string) {
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			// The suite tests an engine; the others hold examples.
			if rel == "json-schema-test-suite" || d.Name() == "valid" || d.Name() == "invalid" {
				return fs.SkipDir
			}
			return nil
		}
		switch path.Ext(rel) {
		case ".xsd", ".yaml", ".yml":
			if d.Name() != "LA-codes.yml" && d.Name() != "standard.yaml" { // a list of codes; a manifest
				out = append(out, rel)
			}
		case ".json":
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			b, _ = decodeText(b)
			var m map[string]json.RawMessage
			if json.Unmarshal(b, &m) != nil {
				return nil
			}
			for _, k := range []string{"$schema", "swagger", "openapi", "definitions", "$defs", "fields", "properties"} {
				if m[k] != nil {
					out = append(out, rel)
					return nil
				}
			}
			if m["items"] != nil && m["type"] != nil {
				out = append(out, rel)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every published schema is adopted through a manifest, its bytes untouched, or
// refused with reasons; docs/standards-table.md says which.
func TestStandardsTable(t *testing.T) {
	root := filepath.Dir(data(t, "digital-planning"))
	all := offers(t)
	for _, f := range schemasIn(t, root) {
		if !slices.ContainsFunc(all, func(o offer) bool { return o.File == f }) {
			t.Errorf("%s is not in testdata/published.yaml", f)
		}
	}
	var b strings.Builder
	rows, adopted := 0, 0
	var table strings.Builder
	for _, o := range all {
		r := o.row(t, root)
		rows++
		if r.adopted {
			adopted++
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s | %s |\n", r.file, r.draft, r.size, map[bool]string{true: "adopted", false: "refused"}[r.adopted], r.why, r.examples, r.steps)
	}
	fmt.Fprintf(&b, `# Published schemas as standards

%d schema documents that others publish, each offered to Stile as its publisher wrote it, with a manifest that names a key and classes.
%d can be adopted; %d are refused, with what `+"`stile standard lint`"+` tells their publisher first. Made by

    go test ./internal/standard -run TestStandardsTable -update

and compared by the same test without `+"`-update`"+`. The manifests are in `+"`internal/standard/testdata/published.yaml`"+`. *Own examples* says how many of the
publisher's own examples pass, record by record. *Steps* bounds what the dearest of them costs; a record may spend 1,000,000, and more with its own size.
Of one that is adopted, the gravest thing that lint would still tell is named, if it is more than a note.

| document | draft | size | | how, or why not | own examples valid | steps |
|---|---|---|---|---|---|---|
%s`, rows, adopted, rows-adopted, table.String())

	const out = "../../docs/standards-table.md"
	if *update {
		if err := os.WriteFile(out, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		was := strings.Split(string(have), "\n")
		for i, line := range strings.Split(b.String(), "\n") {
			if i >= len(was) || was[i] != line {
				t.Fatalf("docs/standards-table.md is not what the schemas give; the first line that differs is\n%s\nTry: go test ./internal/standard -run TestStandardsTable -update", line)
			}
		}
		t.Fatal("docs/standards-table.md has lines that the schemas do not give")
	}
}

type tableRow struct {
	file, draft, size, why, examples, steps string
	adopted                                 bool
}

func (o offer) row(t *testing.T, root string) tableRow {
	fsys := o.dir(t, root)
	raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(o.File)))
	if err != nil {
		t.Fatal(err)
	}
	if o.As == nil && !bytes.Equal(fsys["schema.json"].Data, raw) {
		t.Errorf("%s: changed", o.File)
	}
	s, found := Lint(fsys)
	var errs, warns []Finding
	for _, f := range found {
		switch f.Severity {
		case SeverityError:
			errs = append(errs, f)
			if f.Detail == "" || f.Fix == "" || len(f.Detail) > 2500 {
				t.Errorf("%s: a reason nobody can act on: %+v", o.File, f)
			}
		case SeverityWarning:
			if f.Rule != "no-examples" && f.Rule != "no-class" && f.Rule != "no-draft" {
				warns = append(warns, f)
			}
		}
	}
	r := tableRow{file: o.File, draft: draftOf(raw), size: sizeWords(len(raw)), adopted: s != nil && len(errs) == 0, examples: "–", steps: "–"}
	if o.As != nil {
		r.file += " (" + o.As.At + ")"
	}
	cell := func(f Finding) string {
		at := f.Pointer
		if at != "" {
			at = "`" + clipText(strings.ReplaceAll(at, "|", "\\|"), 80) + "` "
		}
		return at + strings.ReplaceAll(clipText(f.Detail, 220), "|", "\\|")
	}
	if !r.adopted {
		if len(errs) == 0 {
			t.Errorf("%s: refused without a reason", o.File)
		}
		var why []string
		for _, f := range errs[:min(2, len(errs))] {
			why = append(why, cell(f))
		}
		if n := len(errs) - 2; n > 0 {
			why = append(why, fmt.Sprintf("%d more", n))
		}
		r.why = strings.Join(why, "; ") + ". To do: " + errs[0].Fix
	} else {
		how := "by itself"
		if n := len(fsys) - 2; n > 0 {
			how = fmt.Sprintf("with %s beside it", count(n, "document"))
		}
		if o.As != nil {
			how = "by a schema.json of one line that refers into it"
		}
		if o.Format != "" {
			how += ", format as a remark"
		}
		if len(warns) > 0 {
			how += ". " + cell(warns[0])
			if n := len(warns) - 1; n > 0 {
				how += fmt.Sprintf(" (and %s)", count(n, "more warning"))
			}
		}
		r.why = how
	}
	records := o.records(t, root)
	if s == nil || len(records) == 0 {
		if len(records) > 0 {
			r.examples = fmt.Sprintf("%d not tried", len(records))
		}
		return r
	}
	valid, steps := 0, 0
	reasons := map[string]int{}
	for _, rec := range records {
		got := s.engine.judge(rec, false)
		steps = max(steps, got.steps)
		ps := s.Validate(rec)
		if ps == nil {
			valid++
		} else {
			reasons[fmt.Sprintf("%s: %s", ps[0].Pointer, ps[0].Rule)]++
		}
	}
	r.examples = fmt.Sprintf("%d of %d", valid, len(records))
	if len(reasons) > 0 {
		r.examples += " (" + clipText(slices.Sorted(maps.Keys(reasons))[0], 100) + ")"
	}
	for _, b := range []int{1000, 5000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, maxSteps} {
		if steps <= b {
			r.steps = "under " + thousands(b)
			break
		}
	}
	return r
}

func draftOf(raw []byte) string {
	text, called := decodeText(raw)
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		return "–"
	}
	var uri string
	if err := json.Unmarshal(m["$schema"], &uri); err != nil {
		if called != "" {
			return "none; " + called
		}
		return "none named"
	}
	if d, ok := dialectOf(uri); ok {
		return d.String()
	}
	return clip(uri)
}

func sizeWords(n int) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d kB", (n+500)/1000)
}

func thousands(n int) string {
	if n >= 1_000_000 {
		return fmt.Sprintf("%d,%03d,%03d", n/1_000_000, n/1000%1000, n%1000)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
