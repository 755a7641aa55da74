package intake

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
)

var update = flag.Bool("update", false, "write docs/mapping.md anew")

// Every example of the reference gives what it says.
func TestSettingExamples(t *testing.T) {
	for _, table := range []struct {
		name     string
		settings []setting
	}{{"file", fileSettings}, {"column", columnSettings}, {"coordinates", coordinateSettings}} {
		for _, s := range table.settings {
			t.Run(table.name+" "+s.key, func(t *testing.T) {
				if s.shown.mapping == "" || s.doc == "" || s.wants == "" {
					t.Fatal("is not described, or has no example")
				}
				if !strings.Contains(s.shown.mapping, s.key+":") && s.key != "mapping" && s.key != "standard" {
					t.Errorf("the example does not use it:\n%s", s.shown.mapping)
				}
				got, notes := run(t, s.shown.mapping, s.shown.file)
				if want := strings.TrimSpace(s.shown.gives); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				for _, n := range notes {
					if !strings.Contains(n, "powers of ten") {
						t.Errorf("note: %s", n)
					}
				}
			})
		}
	}
}

// run reads a file through a mapping and prints what came of its rows as the
// reference does.
func run(t *testing.T, mapping, file string) (string, []string) {
	t.Helper()
	m, err := ParseMapping([]byte(exampleHead + mapping))
	if err != nil {
		t.Fatal(err)
	}
	rd, err := Open(strings.NewReader(file), Options{Format: CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		row, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, "\n"), rd.Notes()
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Record != nil {
			out = append(out, string(strictjson.Canonical(row.Record)))
		}
		for _, p := range row.Problems {
			ref := ""
			if row.Reference != "" {
				ref = " (" + row.Reference + ")"
			}
			out = append(out, fmt.Sprintf("row %d%s: %s: %s", row.Number, ref, p.Pointer, p.Detail))
		}
	}
}

// Every key that YAML takes is a setting of the reference, and the other way
// round.
func TestSettingsAreAll(t *testing.T) {
	for _, c := range []struct {
		of       any
		settings []setting
	}{{Mapping{}, fileSettings}, {Column{}, columnSettings}, {Coordinates{}, coordinateSettings}} {
		var keys, have []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(c.of)) {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			keys = append(keys, key)
		}
		for _, s := range c.settings {
			have = append(have, s.key)
		}
		slices.Sort(keys)
		slices.Sort(have)
		if !slices.Equal(keys, have) {
			t.Errorf("%T has the keys\n%q\nand the settings describe\n%q", c.of, keys, have)
		}
	}
}

// docs/mapping.md is what the settings say. To write it anew:
// go test ./internal/intake -run TestReference -update
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "mapping.md")
	want := Reference()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("docs/mapping.md is not what the settings say: go test ./internal/intake -run TestReference -update")
	}
}
