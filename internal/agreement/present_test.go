package agreement

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// For random standards, agreements and records: what a real token shows after
// Keep is what Present says, holds nothing that Excess finds, holds every
// agreed value, and holds no value that is neither agreed nor open.
func TestPresentedTokensHoldNoExcess(t *testing.T) {
	for seed := range uint64(rounds(800)) {
		r := rand.New(rand.NewPCG(seed, 1))
		std := makeStandard(t, anySchema, randomClasses(r)...)
		a := simple("true", randomFields(r, std)...)
		terms, err := a.Compile(std)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 4 {
			body := randomBody(r, 0).(map[string]any)
			seen := throughToken(t, std.Layout(), body, terms.Keep)
			say := func(format string, args ...any) {
				t.Helper()
				w, _ := json.Marshal(body)
				s, _ := json.Marshal(seen)
				t.Fatalf("seed %d: %s\nclasses %v\nfields %q\nrecord %s\nseen   %s", seed, fmt.Sprintf(format, args...), std.Manifest().Classes, a.Fields, w, s)
			}
			if e := terms.Excess(seen); e != nil {
				say("excess %q", e)
			}
			if p := terms.Present(body); string(strictjson.Canonical(p)) != string(strictjson.Canonical(seen)) {
				say("Present says %s", strictjson.Canonical(p))
			}
			// By an independent rule, value by value; arrays are compared
			// only as wholes, since withheld elements leave no gap.
			leaves(body, "", func(f name.Field, v any) {
				if slices.Contains(f.Tokens(), "0") {
					return // "*" may or may not meet it; see place
				}
				want := permitted(a.Fields, std, f)
				got, ok := at(seen, f.Tokens())
				if has := ok && string(strictjson.Canonical(got)) == string(strictjson.Canonical(v)); has != want {
					say("%s is there %v, want %v", f, has, want)
				}
			})
			// Without the agreement there is nothing but excess or what is open.
			whole := throughToken(t, std.Layout(), body, func(string, bool) bool { return true })
			if len(terms.Excess(whole)) == 0 && len(strictjson.Canonical(whole)) != len(strictjson.Canonical(seen)) {
				say("the whole record is no excess")
			}
		}
	}
}

// permitted is the rule in one sentence: a value travels if it is open, or a
// withheld field at or above it is agreed.
func permitted(fields []name.Field, std *standard.Standard, f name.Field) bool {
	if std.Class(f) == standard.Open {
		return true
	}
	return slices.ContainsFunc(fields, func(g name.Field) bool {
		return f.Under(g) && std.Class(g) != standard.Open
	})
}

func throughToken(t *testing.T, l *standard.Layout, body map[string]any, keep func(string, bool) bool) map[string]any {
	t.Helper()
	claims := record.Claims{Council: "a.example", IssuedAt: 1, Standard: name.Standard{Name: "standards.example/made", Version: name.Version{Major: 1}},
		Integrity: "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", Record: name.RecordFrom([16]byte{1}), Version: 1, Op: record.Put}
	d, err := record.Build(claims, strings.Repeat("k", 43), l, body, record.Seed{1})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := d.Seal(make([]byte, 64)).Present(keep)
	if err != nil {
		t.Fatal(err)
	}
	back, err := record.Parse(tok.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	v, err := back.View()
	if err != nil {
		t.Fatal(err)
	}
	return v.Body
}

var letters = []string{"a", "b", "c"}

// randomClasses names random places; none is open below one that is not.
func randomClasses(r *rand.Rand) []string {
	named := map[name.Field]standard.Class{}
	for range r.IntN(10) {
		f := name.Field("")
		for range 1 + r.IntN(3) {
			if r.IntN(4) == 0 && f != "" {
				f = f.Child("*")
			} else {
				f = f.Child(letters[r.IntN(3)])
			}
		}
		named[f] = []standard.Class{standard.Open, standard.Internal, standard.Personal, standard.Special}[r.IntN(4)]
	}
	if r.IntN(6) == 0 {
		named[""] = standard.Open
	}
	var out []string
	for f, c := range named {
		if c == standard.Open {
			for g, d := range named {
				if f != g && f.Under(g) && d != standard.Open {
					c = d // what nothing but its class is wrong with
				}
			}
			named[f] = c
		}
	}
	for f, c := range named {
		// A second look, now that some are closed.
		for g, d := range named {
			if c == standard.Open && f != g && f.Under(g) && d != standard.Open {
				c = standard.Personal
			}
		}
		out = append(out, fmt.Sprintf("%q: %s", string(f), c))
	}
	slices.Sort(out)
	return out
}

func randomFields(r *rand.Rand, std *standard.Standard) []name.Field {
	fields := openFields("", std.Layout())
	var walk func(f name.Field, l *standard.Layout)
	walk = func(f name.Field, l *standard.Layout) {
		if f != "" && r.IntN(3) == 0 && !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
		for k, m := range l.Members {
			walk(f.Child(k), m)
		}
		if l.Elements != nil {
			walk(f.Child("*"), l.Elements)
		}
	}
	walk("", std.Layout())
	for _, k := range letters {
		if f := name.Field("").Child(k); r.IntN(3) == 0 && !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		fields = append(fields, "/a")
	}
	return fields
}

// randomBody makes values of every kind at every place, whatever the layout
// has there, empty containers and members named like indexes among them.
func randomBody(r *rand.Rand, depth int) any {
	kind := r.IntN(8)
	if depth == 0 {
		kind = 0
	} else if depth > 4 {
		kind = 5
	}
	switch {
	case kind < 3:
		m := make(map[string]any)
		for _, k := range append(letters, "0", "x/y") {
			if r.IntN(3) > 0 || (depth == 0 && k != "0") {
				m[k] = randomBody(r, depth+1)
			}
		}
		return m
	case kind < 5:
		l := make([]any, 0)
		for range r.IntN(3) {
			l = append(l, randomBody(r, depth+1))
		}
		return l
	}
	return []any{"v", json.Number("1"), true, nil}[r.IntN(4)]
}

// leaves calls fn for every scalar that has no array above it.
func leaves(v any, f name.Field, fn func(name.Field, any)) {
	switch c := v.(type) {
	case map[string]any:
		for k, m := range c {
			leaves(m, f.Child(k), fn)
		}
	case []any:
	default:
		fn(f, v)
	}
}

func at(v any, toks []string) (any, bool) {
	for _, tok := range toks {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[tok]; !ok {
			return nil, false
		}
	}
	return v, true
}
