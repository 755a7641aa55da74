package export_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/stile-exchange/stile/internal/export"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/workbook"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

const siteSchema = `{"type":"object","required":["reference"],"properties":{
	"reference":{"type":"string","minLength":1},
	"note":{"type":["string","null"]},
	"area":{"type":"number"},
	"homes":{"type":["integer","null"]},
	"live":{"type":"boolean"},
	"added":{"type":"string","format":"date"},
	"tags":{"type":"array","items":{"type":"string"}},
	"counts":{"type":"array","items":{"type":"integer"}},
	"contact":{"type":"object","properties":{"name":{"type":"string"},"phone":{"type":"string"}}},
	"history":{"type":"array","items":{"type":"object"}},
	"any":{},
	"longitude":{"type":"number"},"latitude":{"type":"number"},"easting":{"type":"number"},"northing":{"type":"number"}}}`

func site(t testing.TB, schema string) *standard.Standard {
	t.Helper()
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/site\nversion: 1.0.0\ntitle: Site\nstatus: draft\nkey: [/reference]\nclasses: {/reference: open}\n")},
		"schema.json":   {Data: []byte(schema)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return std
}

func decode(t testing.TB, text string) export.Record {
	t.Helper()
	v, err := strictjson.Decode([]byte(text), strictjson.Limits{})
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return export.Record{ID: "aaaaaaaaaaaaaaaaaaaaaaaaaa", Text: []byte(text), Body: v.(map[string]any)}
}

func written(t testing.TB, f export.Format, std *standard.Standard, texts ...string) ([]byte, []string) {
	t.Helper()
	var b bytes.Buffer
	w, err := export.New(&b, f, std)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if err := w.Write(decode(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.Notes()
}

// readBack imports a CSV file through the draft of a mapping for it, as a
// person would who has nothing but the file.
func readBack(t testing.TB, std *standard.Standard, file []byte) []string {
	t.Helper()
	s, err := intake.Look(bytes.NewReader(file), "")
	if err != nil {
		t.Fatal(err)
	}
	draft := s.Draft(std)
	m, err := intake.ParseMapping(draft)
	if err != nil {
		t.Fatalf("%v\n%s", err, draft)
	}
	rd, err := intake.Open(bytes.NewReader(file), intake.Options{Format: intake.CSV, Mapping: m, Reference: std.Manifest().Key})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		row, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Record == nil {
			t.Fatalf("row %d: %+v\n%s", row.Number, row.Problems, file)
		}
		out = append(out, string(strictjson.Canonical(row.Record)))
	}
}

// Every kind of value that a record may hold.
var hard = []string{
	`{"reference":"A1"}`,
	`{"reference":"A2","note":"","tags":[]}`,
	`{"reference":"A3","note":null,"homes":null}`,
	`{"reference":"A4","note":"null","tags":["null"]}`,
	`{"reference":"=1+1","note":"=HYPERLINK(\"http://evil.example\")"}`,
	`{"reference":"A6","note":"-5","area":-5,"homes":-3,"tags":["-5"],"counts":[-5]}`,
	`{"reference":"A7","note":"+44 20","contact":{"name":"@home","phone":"+44"}}`,
	`{"reference":"A8","note":"'quoted'","tags":["'","''"]}`,
	`{"reference":"A9","note":" spaced ","tags":[" a ","b"]}`,
	`{"reference":"A10","note":"two\nlines, \"marks\"; and\ttabs"}`,
	`{"reference":"A11","tags":["a|b","c\\d","[e]","\\"]}`,
	`{"reference":"A12","tags":["[first]","x"],"counts":[1,2,3]}`,
	`{"reference":"A13","tags":["",null],"counts":[]}`,
	`{"reference":"A14","area":0.10,"homes":12,"live":false,"added":"2026-02-28"}`,
	`{"reference":"A15","area":1e5,"counts":[1]}`,
	`{"reference":"A16","history":[{"a":1},{"b":[null,true]}],"any":{"x":[1,2]}}`,
	`{"reference":"A17","any":"text","history":[]}`,
	`{"reference":"A18","any":"null"}`,
	`{"reference":"A19","any":null}`,
	`{"reference":"A20","any":-7,"note":"ünïcode 😀 \u200b"}`,
	`{"reference":"A21","contact":{"name":"Jo"}}`,
	`{"reference":"A22","note":"\n","tags":["\n"]}`,
	`{"reference":"A23","note":"N/A","tags":["N/A","-"]}`,
	`{"reference":"1E3","note":"00123","any":"00123"}`,
	`{"reference":"A25","note":"1,234.50","contact":{"name":"TRUE","phone":"2026-01-01"}}`,
}

// What goes out as CSV comes back in as it was, through the draft of a mapping.
func TestCSVComesBack(t *testing.T) {
	std := site(t, siteSchema)
	file, notes := written(t, export.CSV, std, hard...)
	if len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	compare(t, hard, readBack(t, std, file))
}

func compare(t *testing.T, want, got []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d of %d records came back", len(got), len(want))
	}
	for i := range want {
		if w := string(strictjson.Canonical(decode(t, want[i]).Body)); got[i] != w {
			t.Errorf("record %d:\ngot  %s\nwant %s", i, got[i], w)
		}
	}
}

// The same for records that nobody has thought of.
func TestCSVComesBackRandom(t *testing.T) {
	std := site(t, siteSchema)
	rnd := rand.New(rand.NewPCG(1, 2))
	var texts []string
	for i := range 500 {
		texts = append(texts, randomRecord(rnd, i))
	}
	file, _ := written(t, export.CSV, std, texts...)
	compare(t, texts, readBack(t, std, file))
}

func randomText(rnd *rand.Rand) string {
	letters := []string{"a", "B", "é", " ", "|", "\\", "'", "\"", ",", ";", "=", "-", "+", "@", "[", "]", "\n", "\t", "null", "0", "1", "{", "}", "_x0041_"}
	var b strings.Builder
	for range rnd.IntN(6) {
		b.WriteString(letters[rnd.IntN(len(letters))])
	}
	return b.String()
}

func randomRecord(rnd *rand.Rand, i int) string {
	rec := map[string]any{"reference": fmt.Sprintf("R%d", i)}
	maybe := func(k string, v any) {
		if rnd.IntN(2) == 0 {
			rec[k] = v
		}
	}
	maybe("note", randomText(rnd))
	maybe("area", json.Number(fmt.Sprintf("%.2f", rnd.Float64()*100-50)))
	maybe("homes", json.Number(fmt.Sprint(rnd.IntN(100))))
	maybe("live", rnd.IntN(2) == 0)
	list := make([]any, rnd.IntN(4))
	for j := range list {
		list[j] = randomText(rnd)
	}
	maybe("tags", list)
	maybe("any", randomText(rnd))
	maybe("contact", map[string]any{"name": randomText(rnd), "phone": randomText(rnd)})
	return string(strictjson.Canonical(rec))
}

// The shipped standards' own examples go out and come back.
func TestExamplesComeBack(t *testing.T) {
	for i, fsys := range schemas.All() {
		std, err := standard.Load(fsys)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		valid, _ := std.Examples()
		for _, e := range valid {
			texts = append(texts, string(e.Text))
		}
		if len(texts) == 0 {
			t.Errorf("%s has no valid example", schemas.Names()[i])
			continue
		}
		file, notes := written(t, export.CSV, std, texts...)
		if len(notes) > 0 {
			t.Errorf("%s: notes %q", std.Name(), notes)
		}
		compare(t, texts, readBack(t, std, file))
	}
}

// No cell of a text begins with what a spreadsheet takes for a formula.
func TestFormulas(t *testing.T) {
	file, _ := written(t, export.CSV, site(t, siteSchema), hard...)
	all, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{"area": true, "homes": true, "counts": true, "any": true, "latitude": true, "longitude": true}
	for _, row := range all[1:] {
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) && !numbers[all[0][i]] {
				t.Errorf("under %s: %q", all[0][i], cell)
			}
		}
	}
}

// What a format cannot hold is counted, and never dropped in silence.
func TestNotes(t *testing.T) {
	std := site(t, siteSchema)
	_, notes := written(t, export.CSV, std, `{"reference":"A","extra":1}`, `{"reference":"B","contact":{}}`, `{"reference":"C","note":"a\r\nb\u0001"}`, `{"reference":"D","area":"much"}`)
	for _, want := range []string{"2 records have members", "1 texts have line ends", "1 texts hold control", "1 values are of another kind"} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("no %q in %q", want, notes)
		}
	}
	_, notes = written(t, export.Parquet, std, `{"reference":"A","note":null,"area":0.12345678901234567890}`)
	for _, want := range []string{"1 numbers have more digits", "1 values are null"} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("no %q in %q", want, notes)
		}
	}
}

func TestNDJSON(t *testing.T) {
	file, _ := written(t, export.NDJSON, site(t, siteSchema), hard...)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		got = append(got, string(strictjson.Canonical(decode(t, line).Body)))
	}
	compare(t, hard, got)
}

func TestGeoJSON(t *testing.T) {
	std := site(t, siteSchema)
	file, notes := written(t, export.GeoJSON, std, `{"reference":"A","longitude":-1.5491,"latitude":53.8008}`, `{"reference":"B","easting":429939,"northing":433828}`, `{"reference":"C"}`)
	var got struct {
		Type     string
		Features []struct {
			Type, ID   string
			Geometry   *struct{ Coordinates []float64 }
			Properties map[string]any
		}
	}
	if err := json.Unmarshal(file, &got); err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	if got.Type != "FeatureCollection" || len(got.Features) != 3 || got.Features[2].Geometry != nil || got.Features[0].Properties["reference"] != "A" || len(notes) != 1 {
		t.Fatalf("%s %q", file, notes)
	}
	for i, want := range [][]float64{{-1.5491, 53.8008}, {-1.546932, 53.799899}} {
		if c := got.Features[i].Geometry.Coordinates; math.Abs(c[0]-want[0]) > 1e-6 || math.Abs(c[1]-want[1]) > 1e-6 {
			t.Errorf("feature %d at %v, want %v", i, c, want)
		}
	}
	point := site(t, `{"type":"object","required":["reference"],"properties":{"reference":{"type":"string"},"point":{"type":"string"},"geometry":{"type":"object"}}}`)
	file, _ = written(t, export.GeoJSON, point, `{"reference":"A","point":"POINT(-1.5 53.8)"}`, `{"reference":"B","geometry":{"type":"Polygon","coordinates":[[[0,1],[1,1],[1,0],[0,1]]]}}`)
	if err := json.Unmarshal(file, new(any)); err != nil || !bytes.Contains(file, []byte(`"coordinates":[-1.5,53.8]`)) || !bytes.Contains(file, []byte(`"geometry":{"coordinates":[[[0,1]`)) {
		t.Errorf("%v %s", err, file)
	}
	if _, err := export.New(io.Discard, export.GeoJSON, site(t, `{"type":"object","properties":{"reference":{"type":"string"}}}`)); err == nil || !strings.Contains(err.Error(), "have no place") {
		t.Errorf("a standard without places: %v", err)
	}
}

func TestParquet(t *testing.T) {
	std := site(t, siteSchema)
	file, _ := written(t, export.Parquet, std, hard...)
	r := parquet.NewGenericReader[any](bytes.NewReader(file))
	defer r.Close()
	if r.NumRows() != int64(len(hard)) {
		t.Fatalf("%d rows", r.NumRows())
	}
	type row struct {
		Reference *string  `parquet:"reference,optional"`
		Area      *float64 `parquet:"area,optional"`
		Homes     *int64   `parquet:"homes,optional"`
		Live      *bool    `parquet:"live,optional"`
		Tags      []string `parquet:"tags,list,optional"`
		Name      *string  `parquet:"contact/name,optional"`
		History   *string  `parquet:"history,optional"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range rows {
		body := decode(t, hard[i]).Body
		if *got.Reference != body["reference"] {
			t.Errorf("row %d is %s", i, *got.Reference)
		}
		if a, ok := body["area"].(json.Number); ok {
			if f, _ := a.Float64(); got.Area == nil || *got.Area != f {
				t.Errorf("row %d: area %v, want %s", i, got.Area, a)
			}
		} else if got.Area != nil {
			t.Errorf("row %d has an area", i)
		}
		if c, ok := body["contact"].(map[string]any); ok && *got.Name != c["name"] {
			t.Errorf("row %d: name %v", i, *got.Name)
		}
		if h, ok := body["history"]; ok && *got.History != string(strictjson.Canonical(h)) {
			t.Errorf("row %d: history %v", i, *got.History)
		}
		if tags, ok := body["tags"].([]any); ok && body["reference"] != "A13" {
			if len(tags) != len(got.Tags) {
				t.Errorf("row %d: tags %q, want %q", i, got.Tags, tags)
			}
			for j := range min(len(tags), len(got.Tags)) {
				if tags[j] != got.Tags[j] {
					t.Errorf("row %d: tags %q, want %q", i, got.Tags, tags)
				}
			}
		}
	}
}

// The description of a CSV file names each column as it stands in the file.
func TestMetadata(t *testing.T) {
	std := site(t, siteSchema)
	file, _ := written(t, export.CSV, std, hard[0])
	heads, err := csv.NewReader(bytes.NewReader(file)).Read()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Context string `json:"@context"`
		URL     string
		Table   struct {
			Columns []struct{ Name, Titles, Datatype, Separator string }
			Key     []string `json:"primaryKey"`
		} `json:"tableSchema"`
	}
	if err := json.Unmarshal(export.Metadata(std, "my sites.csv", "northmoor.gov.uk", time.Unix(0, 0)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Context != "http://www.w3.org/ns/csvw" || doc.URL != "my%20sites.csv" || len(doc.Table.Columns) != len(heads) || doc.Table.Key[0] != "reference" {
		t.Errorf("%+v", doc)
	}
	for i, c := range doc.Table.Columns {
		if c.Titles != heads[i] {
			t.Errorf("column %d is %q in the file and %q in its description", i, heads[i], c.Titles)
		}
		if c.Titles == "tags" && (c.Separator != "|" || c.Datatype != "string") || c.Titles == "area" && c.Datatype != "decimal" {
			t.Errorf("column %+v", c)
		}
	}
}

// A file of many records takes no more memory than one of few: what each
// format holds on to is measured between 2,000 records and 40,000.
func TestMemory(t *testing.T) {
	std := site(t, siteSchema)
	rec := decode(t, `{"reference":"A1","note":"`+strings.Repeat("some words ", 20)+`","area":1.25,"tags":["a","b"],"longitude":-1.5,"latitude":53.8}`)
	for _, f := range []export.Format{export.CSV, export.NDJSON, export.GeoJSON, export.XLSX} {
		w, err := export.New(io.Discard, f, std)
		if err != nil {
			t.Fatal(err)
		}
		heap := func(n int) uint64 {
			for range n {
				if err := w.Write(rec); err != nil {
					t.Fatal(err)
				}
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		few := heap(2_000)
		if many := heap(38_000); many > few+1<<20 {
			t.Errorf("%s: %d bytes after 2,000 records, %d after 40,000", f, few, many)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestXLSXParts(t *testing.T) {
	file, _ := written(t, export.XLSX, site(t, siteSchema), hard...)
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("<f>")) {
			t.Errorf("%s holds a formula", f.Name)
		}
	}
	w, err := export.New(io.Discard, export.XLSX, site(t, siteSchema))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(decode(t, `{"reference":"A","note":"`+strings.Repeat("x", 40_000)+`"}`)); err == nil || !strings.Contains(err.Error(), "longer than the 32767 characters") || strings.Contains(err.Error(), "xxx") {
		t.Errorf("a long text: %v", err)
	}
}

func TestFormatOf(t *testing.T) {
	for file, want := range map[string]export.Format{"a.csv": export.CSV, "a.CSV": export.CSV, "b.jsonl": export.NDJSON, "c.geojson": export.GeoJSON, "d.parquet": export.Parquet, "e.xlsx": export.XLSX, "f.txt": "", "g": ""} {
		if got, ok := export.FormatOf(file); got != want && ok {
			t.Errorf("%s: %q, %v", file, got, ok)
		}
	}
}

// How fast do planning applications go out?
func BenchmarkExport(b *testing.B) {
	std, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		b.Fatal(err)
	}
	valid, _ := std.Examples()
	rec := decode(b, string(valid[0].Text))
	rec.ID = name.Record("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	for _, f := range export.Formats() {
		b.Run(string(f), func(b *testing.B) {
			w, err := export.New(io.Discard, f, std)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := w.Write(rec); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// A sheet has the cells of the CSV file, as a reader of workbooks finds them.
func TestXLSXCells(t *testing.T) {
	std := site(t, siteSchema)
	rnd := rand.New(rand.NewPCG(3, 4))
	texts := append([]string(nil), hard...)
	for i := range 200 {
		texts = append(texts, randomRecord(rnd, i))
	}
	sheet, _ := written(t, export.XLSX, std, texts...)
	file, _ := written(t, export.CSV, std, texts...)
	want, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	book, err := workbook.Open(bytes.NewReader(sheet), int64(len(sheet)), workbook.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := book.Rows(0)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for i := range want {
		row, err := rows.Next()
		if err != nil {
			t.Fatalf("row %d: %v", i+1, err)
		}
		got := make([]string, len(want[0]))
		for _, c := range row.Cells {
			got[c.Column] = c.Text
			if c.Formula {
				t.Errorf("row %d holds a formula", i+1)
			}
			if c.Kind == workbook.Number { // digits behind the last that says something may be gone
				a, b := new(big.Rat), new(big.Rat)
				a.SetString(c.Text)
				if _, ok := b.SetString(want[i][c.Column]); ok && a.Cmp(b) == 0 {
					got[c.Column] = want[i][c.Column]
				}
			}
		}
		for j := range got {
			if got[j] != want[i][j] {
				t.Errorf("row %d, %s: got %q, want %q", i+1, want[0][j], got[j], want[i][j])
			}
		}
	}
	if _, err := rows.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last row: %v", err)
	}
}

// Any text in any column comes back from CSV as it was, but for what Notes
// tells of.
func FuzzComesBack(f *testing.F) {
	std := site(f, siteSchema)
	for _, s := range []string{"", "null", "'", "=1", " a", "a|b", "[", "\\", "\ufeff", "a\nb", "N/A", "1.5E+11", "\"", ";"} {
		f.Add(s, "x")
		f.Add("x", s)
	}
	f.Fuzz(func(t *testing.T, note, tag string) {
		text := string(strictjson.Canonical(map[string]any{"reference": "A", "note": note, "tags": []any{tag, "b"}, "any": tag, "contact": map[string]any{"name": tag}}))
		if _, err := strictjson.Decode([]byte(text), strictjson.Limits{}); err != nil {
			return // no record
		}
		file, notes := written(t, export.CSV, std, text)
		if len(notes) == 0 {
			compare(t, []string{text}, readBack(t, std, file))
		}
	})
}
