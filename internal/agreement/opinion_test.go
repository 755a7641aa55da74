package agreement

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/opinion"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Two evaluators that share no code decide alike: what Keep lets travel the second opinion
// lets leave, and one disclosure more it stops.
func TestSecondOpinionOfFields(t *testing.T) {
	stopped := 0
	for seed := range uint64(rounds(600)) {
		r := rand.New(rand.NewPCG(seed, 7))
		std := makeStandard(t, anySchema, randomClasses(r)...)
		a := simple("true", randomFields(r, std)...)
		terms, err := a.Compile(std)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		second := secondTerms(t, a, terms)
		for range 3 {
			body := randomBody(r, 0).(map[string]any)
			whole := wholeToken(t, terms, body)
			say := func(what string, err error) {
				t.Helper()
				w, _ := json.Marshal(body)
				t.Fatalf("seed %d: %s: %v\nclasses %v\nfields %q\nrecord %s", seed, what, err, std.Manifest().Classes, a.Fields, w)
			}
			var left []string // places that stay behind
			var kept []string
			tok, err := whole.Present(func(p string, shell bool) bool {
				if !terms.Keep(p, shell) {
					left = append(left, p)
					return false
				}
				kept = append(kept, p)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := second.Record(tok.Bytes(), body); err != nil {
				say("what the agreement lets travel is stopped", err)
			}
			// The first evaluator with a fault: one place more, and what is above it.
			if len(left) == 0 {
				continue
			}
			one := left[r.IntN(len(left))]
			tok, err = whole.Present(func(p string, shell bool) bool {
				return p == one || strings.HasPrefix(one, p+"/") || slices.Contains(kept, p)
			})
			if err != nil {
				t.Fatal(err)
			}
			if shows, err := tok.View(); err != nil || len(terms.Excess(shows.Body)) == 0 {
				continue // an empty container above what is agreed
			}
			err = second.Record(tok.Bytes(), body)
			if d, ok := errors.AsType[*opinion.Disagreement](err); !ok || d.Rule != opinion.RuleField {
				say("one place more, "+one+", leaves", err)
			}
			stopped++
			// A token of another record.
			other := wholeToken(t, terms, map[string]any{"a": "another", "b": body["b"], "c": body["c"], "x/y": body["x/y"]})
			tok, _ = other.Present(terms.Keep)
			if shows, _ := tok.View(); shows.Body["a"] != nil && !same(shows.Body["a"], body["a"]) {
				if second.Record(tok.Bytes(), body) == nil {
					say("a token of another record leaves", nil)
				}
			}
		}
	}
	if stopped < 100 {
		t.Fatalf("only %d faults were tried", stopped)
	}
}

func same(a, b any) bool {
	return string(strictjson.Canonical(a)) == string(strictjson.Canonical(b))
}

func secondTerms(t testing.TB, a *Agreement, terms *Terms) *opinion.Terms {
	t.Helper()
	text, err := opinion.Read(a.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	second, err := text.For(terms.std)
	if err != nil {
		t.Fatal(err)
	}
	return second
}

func wholeToken(t testing.TB, terms *Terms, body map[string]any) *record.Token {
	t.Helper()
	claims := record.Claims{Council: "a.example", IssuedAt: 1, Standard: terms.std.Name(),
		Integrity: "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", Record: name.RecordFrom([16]byte{1}), Version: 1, Op: record.Put}
	d, err := record.Build(claims, strings.Repeat("k", 43), terms.std.Layout(), body, record.Seed{1})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Expressions made at random, on records made at random, come out the same in both.
func TestSecondOpinionOfRows(t *testing.T) {
	tried, yes, unsure := 0, 0, 0
	for seed := range uint64(rounds(3000)) {
		r := rand.New(rand.NewPCG(seed, 8))
		text := randomRows(r, 4)
		f, err := ParseFilter(text)
		if err != nil {
			continue // it cannot be signed
		}
		second := secondRows(t, text)
		if second == nil {
			t.Fatalf("seed %d: %s\ncan be signed, and the second opinion cannot read it", seed, text)
		}
		for range 4 {
			body := rowBody(r)
			first, sure := f.Match(body)
			if got := second.Picks(body); got && !sure {
				// CEL has no answer to double(record["n"]) or string(record["n"]) where it
				// has one to double(record.n). What it does not pick does not leave.
				unsure++
			} else if got != first {
				b, _ := json.Marshal(body)
				t.Fatalf("seed %d: %s\non %s: the second opinion says %v, the first %v", seed, text, b, got, first)
			}
			tried++
			if first {
				yes++
			}
		}
	}
	if tried < rounds(1000) || yes < tried/20 || unsure > tried/50 {
		t.Fatalf("%d were tried, %d came out true, and of %d the first was not sure", tried, yes, unsure)
	}
}

// TestSecondOpinionOfElements: where a macro goes through something that has no elements, both
// say no: were one to say yes, one record would stop all that is shared under the agreement.
func TestSecondOpinionOfElements(t *testing.T) {
	for _, rows := range []string{
		"record.a.all(c, false)", "!record.a.exists(c, true)", "record.a.filter(c, true) == []", "record.a.map(c, c) == []", "!record.a.exists_one(c, true)",
	} {
		f, err := ParseFilter(rows)
		if err != nil {
			t.Fatal(err)
		}
		for a, want := range map[string]bool{`""`: false, `"x"`: false, "0": false, "null": false, "[]": true, "{}": true} {
			body := decode(t, `{"a":`+a+`}`)
			first, _ := f.Match(body)
			if second := secondRows(t, rows).Picks(body); first != want || second != want {
				t.Errorf("%s of %s: the first says %v, the second %v, want %v", rows, a, first, second, want)
			}
		}
	}
}

func secondRows(t *testing.T, rows string) *opinion.Text {
	t.Helper()
	text, err := opinion.Read(strictjson.Canonical(map[string]any{"rows": rows, "standard": "standards.example/made@1", "starts": "2026-01-01"}))
	if err != nil {
		return nil
	}
	return text
}

func FuzzSecondOpinionOfRows(f *testing.F) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 9))
		b, _ := json.Marshal(rowBody(r))
		f.Add(randomRows(r, 4), string(b))
	}
	f.Add(`record.s.matches('^a+$')`, `{"s":"aaa"}`)
	f.Add(`r"\d" == '\\d' && """a"b""" != ''`, `{}`)
	f.Fuzz(func(t *testing.T, text, rec string) {
		filter, err := ParseFilter(text)
		second := secondRows(t, text)
		if err != nil {
			return // who reads more does no harm: it cannot be signed
		}
		if second == nil {
			t.Fatalf("%q can be signed, and the second opinion cannot read it", text)
		}
		v, err := strictjson.Decode([]byte(rec), strictjson.Limits{})
		body, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		first, sure := filter.Match(body)
		if got := second.Picks(body); got != first && (sure || first) {
			t.Fatalf("%s: the second opinion says %v, the first %v", text, got, first)
		}
	})
}

func rowBody(r *rand.Rand) map[string]any {
	pick := func(of ...any) any { return of[r.IntN(len(of))] }
	m := map[string]any{}
	text := func() any {
		return pick("", "open", "Open", " a é ", "closed", "2026-03-01", "12", "1.5", "true", "2026-03-01T10:00:00Z", "90m")
	}
	num := func() any {
		return pick(json.Number("0"), json.Number("3"), json.Number("-3"), json.Number("3.0"), json.Number("2.5"), json.Number("9007199254740991"), json.Number("1e3"))
	}
	list := func() any {
		l := []any{}
		for range r.IntN(4) {
			l = append(l, pick(text(), num(), true, nil, map[string]any{"s": text(), "n": num()}))
		}
		return l
	}
	for _, f := range []struct {
		key string
		of  func() any
	}{{"s", text}, {"t", text}, {"n", num}, {"m", num}, {"l", list}, {"b", func() any { return pick(true, false) }},
		{"o", func() any { return map[string]any{"s": text(), "n": num(), "l": list()} }}, {"z", func() any { return pick(nil, text(), num(), list(), true) }}} {
		if r.IntN(8) > 0 {
			m[f.key] = f.of()
		}
	}
	return m
}

// randomRows writes an expression, mostly one that comes out as true or false.
func randomRows(r *rand.Rand, depth int) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	var boolean, text, number, list, any func(d int, v string) string
	any = func(d int, v string) string {
		switch r.IntN(6) {
		case 0:
			return text(d-1, v)
		case 1:
			return number(d-1, v)
		case 2:
			return list(d-1, v)
		case 3:
			return pick("null", "true", "false", "record.gone", "record.z", "record.o", "{'s': 1}", "[]", "timestamp(record.s)", "duration(record.s)", "duration('90m')", "timestamp('2026-03-01T10:00:00Z')")
		case 4:
			if v != "" {
				return pick(v, v+".s", v+".n")
			}
		}
		return pick("record.z", "record.s", "record.n", "record.o.s", "record['n']", "record.o['l']", "record.l[0]", "record.l[0].s")
	}
	text = func(d int, v string) string {
		if d <= 0 {
			return pick("record.s", "record.t", "'open'", `"closed"`, "'2026-03-01'", "record.o.s", `r'a\d'`, `'\x41\u00e9\101'`, "'''a'b'''", "record.z")
		}
		switch r.IntN(7) {
		case 0:
			return text(d-1, v) + " + " + text(d-1, v)
		case 1:
			return text(d-1, v) + "." + pick("lowerAscii", "upperAscii", "trim") + "()"
		case 2:
			return text(d-1, v) + fmt.Sprintf(".substring(%d)", r.IntN(4))
		case 3:
			return text(d-1, v) + fmt.Sprintf(".substring(%d, %d)", r.IntN(3), r.IntN(5))
		case 4:
			return "string(" + any(d-1, v) + ")"
		case 5:
			return "(" + boolean(d-1, v) + " ? " + text(d-1, v) + " : " + text(d-1, v) + ")"
		}
		return text(0, v)
	}
	number = func(d int, v string) string {
		if d <= 0 {
			return pick("record.n", "record.m", "0", "3", "-3", "2.5", "1e3", "0x1F", ".5", "record.o.n", "9223372036854775807", "-9223372036854775808", "3.0")
		}
		switch r.IntN(6) {
		case 0, 1:
			return "(" + number(d-1, v) + pick(" + ", " - ", " * ", " / ", " % ") + number(d-1, v) + ")"
		case 2:
			return pick("size(", "int(", "double(") + any(d-1, v) + ")"
		case 3:
			return "-" + number(d-1, v)
		case 4:
			return list(d-1, v) + ".size()"
		}
		return number(0, v)
	}
	list = func(d int, v string) string {
		if d <= 0 || v != "" {
			return pick("record.l", "record.o.l", "[1, 2.5, 'open', null]", "['open', 'closed',]", "record.o", "record.z", "[[1], [], {'a': 1}]")
		}
		switch r.IntN(5) {
		case 0:
			return list(d-1, v) + ".filter(x, " + boolean(d-1, "x") + ")"
		case 1:
			return list(d-1, v) + ".map(x, " + any(d-1, "x") + ")"
		case 2:
			return list(d-1, v) + ".map(x, " + boolean(d-1, "x") + ", " + any(d-1, "x") + ")"
		case 3:
			return list(d-1, v) + " + " + list(d-1, v)
		}
		return list(0, v)
	}
	boolean = func(d int, v string) string {
		if d <= 0 {
			return pick("record.b", "true", "false", "has(record.s)", "has(record.o.n)", "record.s == 'open'", "record.n > 2", "record.z == null", "has(record.z)", "record.s != ''")
		}
		switch r.IntN(13) {
		case 0:
			return "(" + boolean(d-1, v) + " && " + boolean(d-1, v) + ")"
		case 1:
			return "(" + boolean(d-1, v) + " || " + boolean(d-1, v) + ")"
		case 2:
			return "!" + boolean(d-1, v)
		case 3:
			return "(" + any(d-1, v) + pick(" == ", " != ") + any(d-1, v) + ")"
		case 4:
			return "(" + number(d-1, v) + pick(" < ", " <= ", " > ", " >= ", " == ") + number(d-1, v) + ")"
		case 5:
			return "(" + text(d-1, v) + pick(" < ", " <= ", " > ", " >= ", " == ") + text(d-1, v) + ")"
		case 6:
			return "(" + any(d-1, v) + " in " + list(d-1, v) + ")"
		case 7:
			return text(d-1, v) + "." + pick("contains", "startsWith", "endsWith") + "(" + text(d-1, v) + ")"
		case 8:
			return text(d-1, v) + ".matches('" + pick("^o.*n$", "[0-9]+", "(?i)OPEN", "^$") + "')"
		case 9, 10:
			if v == "" {
				return list(d-1, v) + "." + pick("all", "exists", "exists_one") + "(x, " + boolean(d-1, "x") + ")"
			}
			return "(" + pick(v, v+".s", v+".n") + pick(" == ", " < ", " != ") + any(d-1, v) + ")"
		case 11:
			return "(" + boolean(d-1, v) + " ? " + boolean(d-1, v) + " : " + boolean(d-1, v) + ")"
		}
		return pick("bool(", "dyn(") + any(d-1, v) + ") == true"
	}
	return boolean(depth, "")
}

// BenchmarkSecondOpinion is what a second opinion on one record costs: 18 fields, of which
// 12 leave, and rows that compare two of them.
func BenchmarkSecondOpinion(b *testing.B) {
	body := map[string]any{}
	var fields []name.Field
	for i := range 18 {
		k := fmt.Sprintf("field%02d", i)
		body[k] = fmt.Sprintf("a value of some length, %d", i)
		if i < 12 {
			fields = append(fields, name.Field("/"+k))
		}
	}
	std := makeStandard(b, anySchema)
	a := simple(`record.field00 != "x" && record.field01.startsWith("a")`, fields...)
	terms, err := a.Compile(std)
	if err != nil {
		b.Fatal(err)
	}
	second := secondTerms(b, a, terms)
	tok, err := wholeToken(b, terms, body).Present(terms.Keep)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := second.Record(tok.Bytes(), body); err != nil {
			b.Fatal(err)
		}
	}
}
