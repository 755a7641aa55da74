package intake_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node/name"
)

// TestInForm: a text is in somebody else's form where its records stand where that has them.
func TestInForm(t *testing.T) {
	for text, want := range map[string]bool{
		`{"releases":[]}`: true, `{"uri":{"a":[1]},"releases":[{"ocid":"a"}]}`: true, ` {"releases" : [ {}, `: true,
		`[]`: false, `[{"releases":[]}]`: false, `{"releases":{}}`: false, `{"contents":[]}`: false, `{}`: false, ``: false, `{"releases":`: false, `{"releases`: false,
	} {
		if got, err := intake.InForm(strings.NewReader(text), translation.Shipped("ocds")); err != nil || got != want {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
	if _, err := intake.InForm(failing{}, translation.Shipped("ocds")); err == nil {
		t.Error("a file that cannot be read is in no form, and nobody is told why")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestNDJSON(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "{\"id\":1,\"x\":[true]}\n{\"id\":2}\n", "1/1 1 {\"id\":1,\"x\":[true]}\n2/2 2 {\"id\":2}\n"},
		{"no line end at the end", "{\"id\":1}", "1/1 1 {\"id\":1}\n"},
		{"CRLF, blank lines and a mark", "\ufeff{\"id\":1}\r\n\r\n  \n{\"id\":2}\r\n", "1/1 1 {\"id\":1}\n4/4 2 {\"id\":2}\n"},
		{"bad lines keep their number and the others", "{\"id\":1}\n{\"id\":1,\"id\":2}\nnot json\n[1]\n{\"n\":1e10000000}\n{\"id\":6}\n{\"id\":",
			"1/1 1 {\"id\":1}\n2/2  !duplicate-key@/id\n3/3  !syntax\n4/4  !shape\n5/5  !number@/n\n6/6 6 {\"id\":6}\n7/7  !syntax@/id\n"},
		{"not UTF-8", "{\"id\":\"\xff\"}\n", "1/1  !utf-8@/id\n"},
		{"NaN", "{\"id\":NaN}\n", "1/1  !number@/id\n"},
		{"deep", strings.Repeat("[", 100000) + "\n{\"id\":2}\n", "1/1  !depth\n2/2 2 {\"id\":2}\n"},
		{"empty", "", ""},
	} {
		rows, _, err := readAll(t, c.in, intake.Options{Format: intake.NDJSON, Reference: []name.Field{"/id"}})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := cutPointers(show(rows)); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// cutPointers shortens the pointer of a place that is very deep.
func cutPointers(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		if i := strings.Index(line, "@/0/0"); i >= 0 {
			line = line[:i] + "\n"
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		name, in string
		at       name.Field
		want     string
		err      string // rule of the FileError that ends the file
	}{
		{name: "an array", in: "[ {\"id\":1}, {\"id\":2,\n\"s\":\"]},{\\\"\"}\n]\n", want: "1/1 1 {\"id\":1}\n2/1 2 {\"id\":2,\"s\":\"]},{\\\"\"}\n"},
		{name: "an empty array", in: "[]"},
		{name: "one record", in: "\n{\"id\":1}", want: "1/2 1 {\"id\":1}\n"},
		{name: "inside", in: `{"meta":{"n":[1,{"grants":[]}]},"grants":[{"id":1}],"more":[{"id":9}]}`, at: "/grants", want: "1/1 1 {\"id\":1}\n"},
		{name: "deeper inside", in: `{"a":{"x":1,"b~/":[{"id":1},{"id":2}]},"z":null}`, at: "/a/b~0~1", want: "1/1 1 {\"id\":1}\n2/1 2 {\"id\":2}\n"},
		{name: "a bad record keeps the others", in: `[{"id":1},{"id":2,"id":2},7,{"id":4}]`, want: "1/1 1 {\"id\":1}\n2/1  !duplicate-key@/id\n3/1  !shape\n4/1 4 {\"id\":4}\n"},
		{name: "brackets that do not pair", in: `[{"id":1},{"id":[2},{"id":3}]`, want: "1/1 1 {\"id\":1}\n2/1  !syntax@/id\n3/1  !truncated\n"},
		{name: "cut off between records", in: `[{"id":1},`, want: "1/1 1 {\"id\":1}\n2/1  !truncated\n"},
		{name: "cut off after a record", in: `[{"id":1}`, want: "1/1 1 {\"id\":1}\n2/1  !truncated\n"},
		{name: "cut off in a record", in: "[{\"id\":1},\n{\"id\":\"", want: "1/1 1 {\"id\":1}\n2/2  !truncated\n"},
		{name: "a lone record cut off", in: `{"id":1`, want: "1/1  !truncated\n"},
		{name: "no comma", in: `[{"id":1} {"id":2}]`, want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleSyntax},
		{name: "two commas", in: `[{"id":1},,{"id":2}]`, want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleSyntax},
		{name: "a comma at the end", in: `[{"id":1},]`, want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleSyntax},
		{name: "more after the end", in: `[{"id":1}] x`, want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleTrailingData},
		{name: "records after one another", in: "{\"id\":1}\n{\"id\":2}", want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleTrailingData},
		{name: "a word", in: "null", err: strictjson.RuleSyntax},
		{name: "empty", in: " ", err: intake.RuleShape},
		{name: "NUL", in: "\x00", err: strictjson.RuleSyntax},
		{name: "UTF-16", in: utf16le("\ufeff[]"), err: intake.RuleEncoding},
		{name: "nothing at the place", in: `{"a":1}`, at: "/grants", err: intake.RuleShape},
		{name: "no object to look in", in: `[1]`, at: "/grants", err: intake.RuleShape},
		{name: "no array at the place", in: `{"grants":{"id":1}}`, at: "/grants", err: intake.RuleShape},
		{name: "an object without members", in: `{}`, at: "/grants", err: intake.RuleShape},
		{name: "the place twice", in: `{"grants":[{"id":1}],"grants":[{"id":2}]}`, at: "/grants", want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleDuplicateKey},
		{name: "the way to the place twice", in: `{"a":{"b":[]},"a":{"b":[{"id":1}]}}`, at: "/a/b", err: strictjson.RuleDuplicateKey},
		{name: "cut off around the array", in: `{"grants":[{"id":1}],"x":`, at: "/grants", want: "1/1 1 {\"id\":1}\n", err: intake.RuleTruncated},
		{name: "more after what is around the array", in: `{"grants":[{"id":1}]}]`, at: "/grants", want: "1/1 1 {\"id\":1}\n", err: strictjson.RuleTrailingData},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, _, err := readAll(t, c.in, intake.Options{Format: intake.JSON, At: c.at, Reference: []name.Field{"/id"}})
			var fe *intake.FileError
			switch {
			case c.err == "" && err != nil:
				t.Errorf("got %v", err)
			case c.err != "" && (!errors.As(err, &fe) || fe.Rule != c.err):
				t.Errorf("got %v, want a FileError of rule %s", err, c.err)
			}
			if got := show(rows); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestJSONLongRecord(t *testing.T) {
	long := `{"id":2,"x":"` + strings.Repeat("]", 2<<20) + `"}`
	for _, f := range []struct {
		format intake.Format
		in     string
	}{{intake.JSON, `[{"id":1},` + long + `,{"id":3}]`}, {intake.NDJSON, "{\"id\":1}\n" + long + "\n{\"id\":3}\n"}} {
		rd, err := intake.Open(strings.NewReader(f.in), intake.Options{Format: f.format, Reference: []name.Field{"/id"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			row, err := rd.Next()
			if err != nil {
				break
			}
			s := row.Reference
			for _, p := range row.Problems {
				s += "!" + p.Rule
			}
			got = append(got, s)
		}
		if want := []string{"1", "!size", "3"}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", f.format, got, want)
		}
	}
}

// Options that are at odds are refused before a row is read.
func TestOptions(t *testing.T) {
	for _, o := range []intake.Options{
		{},
		{Format: "xml"},
		{Format: intake.CSV},
		{Format: intake.CSV, Mapping: mapping(t, three), At: "/a"},
		{Format: intake.JSON, Mapping: mapping(t, three)},
		{Format: intake.NDJSON, At: "/a"},
		{Format: intake.CSV, Mapping: &intake.Mapping{}},
	} {
		file := "[]"
		if o.Format == intake.CSV {
			file = "A,B,C\n"
		}
		if _, err := intake.Open(strings.NewReader(file), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// Every line that is not blank is one row, and reads as the strict reader
// reads it.
func FuzzNDJSON(f *testing.F) {
	f.Add([]byte("{\"id\":1}\n\n{\"id\":2,\"id\":3}\r\n[]"))
	f.Add([]byte("\ufeff{}\n\x00\n{\"a\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF}) {
			return
		}
		rows, _, err := readAll(t, string(b), intake.Options{Format: intake.NDJSON})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for line := range bytes.Lines(bytes.TrimPrefix(b, []byte("\ufeff"))) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			want, err := strictjson.Decode(line, strictjson.Limits{})
			obj, isObj := want.(map[string]any)
			if got := rows[i].Record; isObj && err == nil && !reflect.DeepEqual(got, obj) {
				t.Fatalf("line %q: got %v, want %v", line, got, obj)
			} else if (!isObj || err != nil) && got != nil {
				t.Fatalf("line %q was read as %v", line, got)
			}
			i++
		}
		if i != len(rows) {
			t.Fatalf("%d rows of %d lines", len(rows), i)
		}
	})
}

// Whatever the strict reader accepts whole is read the same element by
// element.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`[{"a":1},{"b":"]\""}]`), "")
	f.Add([]byte(`{"x":[1],"grants":[{}]}`), "/grants")
	f.Add([]byte(`[{"a":1}{]`), "")
	f.Fuzz(func(t *testing.T, b []byte, place string) {
		at, err := name.ParseField(place)
		if err != nil {
			return
		}
		rows, _, err := readAll(t, string(b), intake.Options{Format: intake.JSON, At: at})
		whole, wholeErr := strictjson.Decode(b, strictjson.Limits{})
		if wholeErr != nil {
			return
		}
		list, ok := whole.([]any)
		if place != "" {
			if list, ok = lookup(whole, at).([]any); !ok {
				if err == nil {
					t.Fatalf("%q has no array at %q and was read", b, place)
				}
				return
			}
		} else if obj, isObj := whole.(map[string]any); isObj {
			list, ok = []any{obj}, true
		}
		if !ok {
			return
		}
		if err != nil || len(rows) != len(list) {
			t.Fatalf("%q: %d rows and %v, want %d", b, len(rows), err, len(list))
		}
		for i, v := range list {
			if obj, isObj := v.(map[string]any); isObj && !reflect.DeepEqual(rows[i].Record, obj) {
				t.Fatalf("%q: row %d is %v, want %v", b, i, rows[i].Record, v)
			}
			if !json.Valid(rows[i].Text) {
				t.Fatalf("%q: row %d is %q", b, i, rows[i].Text)
			}
		}
	})
}

// lookup walks members only: a way through an array is no way to records.
func lookup(v any, at name.Field) any {
	for _, tok := range at.Tokens() {
		obj, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = obj[tok]
	}
	return v
}
