package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
)

func TestDecodeRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		in, rule, pointer string
		offset            int
	}{
		{"", RuleSyntax, "", 0},
		{"   ", RuleSyntax, "", 3},
		{"\xef\xbb\xbf{}", RuleBOM, "", 0},
		{"\xff\xfe{\x00}\x00", RuleUTF8, "", 0},
		{`{"a":"` + "caf\xe9" + `"}`, RuleUTF8, "/a", 9},
		{`{"a":"` + "\xed\xa0\x80" + `"}`, RuleUTF8, "/a", 6}, // a surrogate spelt in UTF-8
		{`{"a":"` + "\xc0\xaf" + `"}`, RuleUTF8, "/a", 6},     // an overlong slash
		{`"\n` + "\xe9" + `"`, RuleUTF8, "", 3},
		{`{"` + "\xe9" + `":1}`, RuleUTF8, "", 2},
		{`["\ud800"]`, RuleSurrogate, "/0", 2},
		{`["\udc00"]`, RuleSurrogate, "/0", 2},
		{`["\ud800\ud800"]`, RuleSurrogate, "/0", 2},
		{`["\ud800x"]`, RuleSurrogate, "/0", 2},
		{`["\ud800\u00"]`, RuleSurrogate, "/0", 2},
		{`{"a":1,"b":2,"a":3}`, RuleDuplicateKey, "/a", 13},
		{`{"a":1,"\u0061":3}`, RuleDuplicateKey, "/a", 7},
		{`{"x":[{},{"k/~":{"a":1,"a":1}}]}`, RuleDuplicateKey, "/x/1/k~1~0/a", 23},
		{`{"":1,"":2}`, RuleDuplicateKey, "/", 6},
		{`{} {}`, RuleTrailingData, "", 3},
		{`1 x`, RuleTrailingData, "", 2},
		{"{}\x00", RuleTrailingData, "", 2},
		{`NaN`, RuleNumber, "", 0},
		{`{"a":Infinity}`, RuleNumber, "/a", 5},
		{`[-Infinity]`, RuleNumber, "/0", 1},
		{`[+1]`, RuleNumber, "/0", 1},
		{`[.5]`, RuleNumber, "/0", 1},
		{`[01]`, RuleNumber, "/0", 1},
		{`[-01]`, RuleNumber, "/0", 1},
		{`[1.]`, RuleSyntax, "/0", 3},
		{`[1.e3]`, RuleSyntax, "/0", 3},
		{`[1e]`, RuleSyntax, "/0", 3},
		{`[1e+]`, RuleSyntax, "/0", 4},
		{`[-]`, RuleNumber, "/0", 1},
		{`-`, RuleSyntax, "", 1},
		{`[0x10]`, RuleSyntax, "", 2},
		{`[1_000]`, RuleSyntax, "", 2},
		{`{"a":1e10000000}`, RuleNumber, "/a", 5},
		{`{"a":1e-10000000}`, RuleNumber, "/a", 5},
		{`{"a":1e309}`, RuleNumber, "/a", 5},
		{`{"a":9.9e308}`, RuleNumber, "/a", 5},
		{`{"a":1e99999999999999999999999}`, RuleNumber, "/a", 5},
		{`{"a":` + strings.Repeat("1", 1000) + `}`, RuleNumber, "/a", 5},
		{`{"a":0.` + strings.Repeat("1", 39) + `}`, RuleNumber, "/a", 5},
		{`5e-324`, RuleNumber, "", 0},
		{`0.1e-308`, RuleNumber, "", 0},
		{`-0.0000000000000000001e-300`, RuleNumber, "", 0},
		{`9007199254740992`, RuleNumber, "", 0},
		{`-9007199254740992`, RuleNumber, "", 0},
		{`9007199254740993`, RuleNumber, "", 0},
		{`10000000000000000`, RuleNumber, "", 0},
		{`1e20`, RuleNumber, "", 0},
		{`9007199254740992.0`, RuleNumber, "", 0},
		{`12345678901234567.5`, RuleNumber, "", 0},
		{`0.09007199254740993e18`, RuleNumber, "", 0},
		{deep(65), RuleDepth, strings.Repeat("/0", 64), 64},
		{strings.Repeat(`{"a":`, 100_000), RuleDepth, strings.Repeat("/a", 64), 320},
		{"[" + strings.Repeat("0,", 100_000) + "0]", RuleValues, "/99999", 199_999},
		{`["` + strings.Repeat("x", 256<<10+1) + `"]`, RuleString, "/0", 256<<10 + 4},
		{`["\n` + strings.Repeat("x", 256<<10) + `"]`, RuleString, "/0", 256<<10 + 5},
		{strings.Repeat(" ", 1<<20) + "1", RuleSize, "", 1 << 20},
		{`{"a":1,}`, RuleSyntax, "", 7},
		{`{,"a":1}`, RuleSyntax, "", 1},
		{`{"a" 1}`, RuleSyntax, "", 5},
		{`{"a":1 "b":2}`, RuleSyntax, "", 7},
		{`{a:1}`, RuleSyntax, "", 1},
		{`{'a':1}`, RuleSyntax, "", 1},
		{`[1,]`, RuleSyntax, "/1", 3},
		{`[1 2]`, RuleSyntax, "", 3},
		{`[,1]`, RuleSyntax, "/0", 1},
		{`]`, RuleSyntax, "", 0},
		{`[1}`, RuleSyntax, "", 2},
		{`{"a":tru}`, RuleSyntax, "/a", 5},
		{`{"a":truex}`, RuleSyntax, "", 9},
		{`{"a":undefined}`, RuleSyntax, "/a", 5},
		{`// comment` + "\n1", RuleSyntax, "", 0},
		{"\"a\nb\"", RuleSyntax, "", 2},
		{"\"\\na\tb\"", RuleSyntax, "", 4},
		{`"\x41"`, RuleSyntax, "", 1},
		{`"\u12g4"`, RuleSyntax, "", 1},
		{`"\u12`, RuleSyntax, "", 1},
		{`"abc`, RuleSyntax, "", 4},
		{`"abc\`, RuleSyntax, "", 5},
		{`"abc\n`, RuleSyntax, "", 6},
		{`{"a":{"b":[1,2`, RuleSyntax, "/a/b", 14},
		{"\u00a01", RuleSyntax, "", 0}, // a no-break space is no JSON space
	} {
		got, err := Decode([]byte(c.in), Limits{})
		shown := c.in
		if len(shown) > 60 {
			shown = shown[:60] + "…"
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Decode(%q) = %v, %v; want rule %q", shown, got, err, c.rule)
			continue
		}
		// What stops in an enclosing container is reported at that container.
		if e.Rule != c.rule || e.Offset != c.offset || e.Pointer != c.pointer || e.Fix == "" {
			t.Errorf("Decode(%q) = %q at %d, %q; want %q at %d, %q", shown, e.Rule, e.Offset, e.Pointer, c.rule, c.offset, c.pointer)
		}
	}
}

func TestDecodeAccepts(t *testing.T) {
	for _, c := range []struct {
		in   string
		want any
	}{
		{`null`, nil},
		{" \t\r\ntrue\n", true},
		{`-0`, json.Number("-0")},
		{`1.50`, json.Number("1.50")},
		{`1E+2`, json.Number("1E+2")},
		{`0e308`, json.Number("0e308")},
		{`1e0000000000000000000000000000000001`, json.Number("1e0000000000000000000000000000000001")},
		{`-0.0e-308`, json.Number("-0.0e-308")},
		{`1e-308`, json.Number("1e-308")},
		{`9007199254740991`, json.Number("9007199254740991")},
		{`-9007199254740991`, json.Number("-9007199254740991")},
		{`9007199254740991.0`, json.Number("9007199254740991.0")},
		{`9.007199254740991e15`, json.Number("9.007199254740991e15")},
		{`"\u0000\"\\\/\b\f\n\r\tA\ud83d\ude02é"`, "\x00\"\\/\b\f\n\r\tA😂é"},
		{`{}`, map[string]any{}},
		{`[ ]`, []any{}},
		{`{"": {"a": [1, "b", null, {"": false}]}}`, map[string]any{"": map[string]any{"a": []any{json.Number("1"), "b", nil, map[string]any{"": false}}}}},
	} {
		got, err := Decode([]byte(c.in), Limits{})
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Decode(%s) = %#v, %v; want %#v", c.in, got, err, c.want)
		}
	}
	if _, err := Decode([]byte(strings.Repeat("[", 64)+strings.Repeat("]", 64)), Limits{}); err != nil {
		t.Errorf("64 levels: %v", err)
	}
	if _, err := Decode([]byte(`[18446744073709551615,1e300]`), Limits{WideNumbers: true}); err != nil {
		t.Errorf("wide numbers: %v", err)
	}
	if _, err := Decode([]byte(`1e10000000`), Limits{WideNumbers: true}); err == nil {
		t.Error("wide numbers took 1e10000000")
	}
}

// An error names places and rules. It must not name what was there.
func TestErrorHoldsNoValue(t *testing.T) {
	for _, in := range []string{
		`{"name":"Zebedee Quartermaine`, `{"name":"Zebedee Quartermaine" x}`, `{"name":Zebedee}`,
		`{"name":"Zebedee\ud800"}`, `{"name":"Zebedee` + "\xff" + `"}`, `{"n":"Zebedee","n":1}`, `["Zebedee"]x`,
	} {
		_, err := Decode([]byte(in), Limits{})
		if err == nil || strings.Contains(err.Error(), "Zebedee") {
			t.Errorf("Decode(%q): error %v", in, err)
		}
	}
}

func TestErrorPointerIsBounded(t *testing.T) {
	k := strings.Repeat("k", 300)
	_, err := Decode([]byte(`{"`+k+`":{"`+k+`":[x]}}`), Limits{})
	var e *Error
	if !errors.As(err, &e) || e.Pointer != "/"+k {
		t.Errorf("got %v, want the nearest ancestor that fits", err)
	}
}

// A hostile text must cost what its bytes cost. With the stack of open
// containers a text of many small objects could otherwise pile up memory.
func TestDecodeIsLinear(t *testing.T) {
	texts := map[string]string{
		"brackets": strings.Repeat("[", 1<<20),
		"exponent": "[" + strings.Repeat("1e308,", 1<<17) + "1]",
		"digits":   strings.Repeat("9", 1<<20),
		"escapes":  `"` + strings.Repeat(`\u0041`, 100_000) + `"`,
		"objects":  "[" + strings.Repeat("{},", 99_998) + "{}]",
	}
	for name, text := range texts {
		allocs := testing.AllocsPerRun(1, func() { _, _ = Decode([]byte(text), Limits{}) })
		if allocs > 210_000 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestDecodeDoesNotAlias(t *testing.T) {
	b := []byte(`{"a":"value"}`)
	v, err := Decode(b, Limits{})
	clear(b)
	if err != nil || v.(map[string]any)["a"] != "value" {
		t.Errorf("got %v, %v", v, err)
	}
}

// same reports whether encoding/json read the same values from a text.
func same(ours, theirs any) bool { return reflect.DeepEqual(ours, theirs) }

func stdlib(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func check(t *testing.T, b []byte) {
	if v, err := Decode(b, Limits{}); true {
		w, printed, werr := DecodeCanonical(b, Limits{})
		if !reflect.DeepEqual(v, w) || !reflect.DeepEqual(err, werr) || err == nil && string(printed) != string(Canonical(v)) {
			t.Fatalf("%q is read as %v, %v and printed as it was read as %q, %v", b, v, err, printed, werr)
		}
		if again, same, err := DecodeCanonical(printed, Limits{}); werr == nil && (err != nil || !reflect.DeepEqual(again, w) || &same[0] != &printed[0]) {
			t.Fatalf("%q is canonical and is printed again", printed)
		}
	}
	v, err := Decode(b, Limits{})
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) || e.Rule == "" || e.Fix == "" || len(e.Pointer) > maxPointer {
			t.Fatalf("Decode(%q): bad error %#v", b, err)
		}
		return
	}
	if !json.Valid(b) {
		t.Fatalf("accepted %q, which encoding/json does not", b)
	}
	if w, err := stdlib(b); err != nil || !same(v, w) {
		t.Fatalf("%q: got %#v, encoding/json has %#v, %v", b, v, w, err)
	}
	c := Canonical(v)
	v2, err := Decode(c, Limits{Bytes: 8 << 20})
	if err != nil || !reflect.DeepEqual(v, v2) {
		t.Fatalf("%q: canonical form %q reads as %#v, %v", b, c, v2, err)
	}
	if c2 := Canonical(v2); !bytes.Equal(c, c2) {
		t.Fatalf("%q: canonical form %q prints as %q", b, c, c2)
	}
	j, err := AppendJCS(nil, v)
	if err != nil {
		t.Fatalf("%q: no RFC 8785 form: %v", b, err)
	}
	v3, err := Decode(j, Limits{Bytes: 8 << 20, WideNumbers: true})
	if err != nil {
		t.Fatalf("%q: RFC 8785 form %q is refused: %v", b, j, err)
	}
	if j2, err := AppendJCS(nil, v3); err != nil || !bytes.Equal(j, j2) {
		t.Fatalf("%q: RFC 8785 form %q prints as %q, %v", b, j, j2, err)
	}
}

var seeds = []string{
	`{"a":[1,-0,1.50,1e2,"x\u00e9\ud83d\ude02",null,true,false,{}]}`, `"\u0000\b"`, `[[],[[]]]`, `{"":""}`,
	`{"a":1,"a":2}`, `1e308`, `1E-308`, `0.1e-308`, "\xef\xbb\xbf1", `"\ud800"`, "\"\xff\"", `9007199254740993`, ` {"z":1 , "é":2,"` + "\U00010000" + `":3,"` + "\uffff" + `":4}`,
}

func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { check(t, b) })
}

// The same properties over a few thousand random texts and their damaged
// copies, so that a plain `go test` walks them too.
func TestRandomTexts(t *testing.T) {
	r := rand.New(rand.NewPCG(8259, 8785))
	atoms := []string{"0", "-0", "1.5", "1e3", "12345678901234567", "-1E-7", `""`, `"a"`, `"\n\"\\"`, `"\u00e9"`, `"\ud83d\ude02"`, "null", "true", "false", `"é😂"`}
	keys := []string{`"a"`, `"b"`, `"\u0061"`, `""`, `"é"`, "\"\U00010000\"", "\"\uffff\"", `"\n"`}
	var gen func(b *strings.Builder, depth int)
	gen = func(b *strings.Builder, depth int) {
		switch k := r.IntN(6); {
		case k == 0 && depth < 6:
			b.WriteByte('[')
			for i := range r.IntN(5) {
				if i > 0 {
					b.WriteString(" , ")
				}
				gen(b, depth+1)
			}
			b.WriteByte(']')
		case k <= 2 && depth < 6:
			b.WriteByte('{')
			for i := range r.IntN(4) {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(keys[r.IntN(len(keys))])
				b.WriteByte(':')
				gen(b, depth+1)
			}
			b.WriteByte('}')
		default:
			b.WriteString(atoms[r.IntN(len(atoms))])
		}
	}
	for range 20_000 {
		var b strings.Builder
		gen(&b, 0)
		text := []byte(b.String())
		check(t, text)
		for range r.IntN(3) {
			text[r.IntN(len(text))] = byte(r.IntN(256))
		}
		check(t, text)
		check(t, text[:r.IntN(len(text)+1)])
	}
}

// record is the shape of the performance lane: 18 members, 826 bytes.
const record = `{"reference":"26/0000000/PA","organisation":"local-authority:NBR","district":"D","uprn":100000000000,"address":"30 Station Road, Eastleigh Vale, SQ3 8CO","postcode":"SQ3 8CO","longitude":-2.203408,"latitude":53.379509,"applicationType":"reserved-matters","status":"in-consultation","description":"Application for the removal of a failing boundary wall and planting of a replacement hedge, including works to one protected tree; also change of use of the ground floor from retail to a dental surgery. Materials to match the existing building; with associated drainage and landscaping; working hours to be agreed before any start on site. Plans numbered 0-100 to 0-107.","receivedDate":"2026-02-16","validDate":"2026-02-23","decision":null,"decisionDate":null,"caseOfficer":"officer-1","applicantName":"Made Up","applicantEmail":"made.up@example.org"}`

// The count is true on every machine: one copy of the text, one map, and one
// box for each value that is not null or a bool.
func TestDecodeAllocations(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	b := []byte(record)
	if n := testing.AllocsPerRun(100, func() { _, _ = Decode(b, Limits{}) }); n > 22 {
		t.Errorf("a record of 18 members takes %v allocations, want at most 22", n)
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	in := []byte(record)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(in, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCanonicalRecord(b *testing.B) {
	in := []byte(record)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DecodeCanonical(in, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonicalRecord(b *testing.B) {
	v, err := Decode([]byte(record), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst = AppendCanonical(dst[:0], v)
	}
}

func BenchmarkStdlibRecord(b *testing.B) {
	in := []byte(record)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := stdlib(in); err != nil {
			b.Fatal(err)
		}
	}
}
