package agreement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

func guardsOf(t testing.TB, rows string) (out []string) {
	t.Helper()
	r, err := compileRows(rows)
	if err != nil {
		t.Fatalf("%s: %v", rows, err)
	}
	for _, g := range r.guards {
		var pins []string
		for _, p := range g {
			pins = append(pins, fmt.Sprintf("%s=%c%s%v", p.Field, p.Value.kind, p.Value.text, p.Value.number))
		}
		out = append(out, strings.Join(pins, " "))
	}
	return out
}

// TestGuards: what a filter cannot do without is found in its tree.
func TestGuards(t *testing.T) {
	for _, c := range []struct {
		rows string
		want []string
	}{
		{`record.ward == "X"`, []string{"/ward=sX0"}},
		{`"X" == record.ward`, []string{"/ward=sX0"}},
		{`record["odd/key"].x == 1.0`, []string{"/odd~1key/x=n1"}},
		{`record.n == -1 && record.flag`, []string{"/n=n-1", "/flag=t0"}},
		{`record.ward in ["X", "Y"] && record.n > 3`, []string{"/ward=sX0 /ward=sY0"}},
		{`record.ward == "X" || record.ward == "Y" && record.n == 2`, []string{"/ward=sX0 /ward=sY0"}},
		{`record.ward == "X" || record.town == null`, []string{"/ward=sX0 /town=00"}},
		{`record.ward == "X" || record.n > 3`, nil},
		{`!(record.ward == "X")`, nil},
		{`record.ward != "X"`, nil},
		{`record.ward == record.town`, nil},
		{`record.tags[0] == "x"`, nil},
		{`record["*"] == "x"`, nil},
		{`"x" in record.tags`, nil},
		{`record.ward in []`, nil},
		{`record.tags.exists(e, e == "x")`, nil},
		{`has(record.ward) && record.ward == "X"`, []string{"/ward=sX0"}},
		{`record.flag ? record.ward == "X" : false`, nil},
		{`true`, nil},
	} {
		if got := guardsOf(t, c.rows); !slices.Equal(got, c.want) {
			t.Errorf("%s: guards %q, want %q", c.rows, got, c.want)
		}
	}
}

// TestGuardsNeverHideARecord: a record of which a guard holds nothing does not match,
// and what is read of a record's bytes decides as the whole record does. Tried with
// random filters and records, among them those whose fields are absent, of another
// kind, or equal across kinds of number.
func TestGuardsNeverHideARecord(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[rng.IntN(len(of))] }
	values := []string{`"X"`, `"Y"`, `""`, "1", "1.0", "1e0", "2", "-0.0", "0", "9007199254740991", "true", "false", "null"}
	constant := func() string {
		if v := one(values...); v != "1e0" {
			return v
		}
		return "1.5"
	}
	place := func() string {
		return one("record.a", "record.b", `record["c"]`, "record.d.e", `record.d["f"]`, "record.list[0]", "record.d")
	}
	var filter func(depth int) string
	filter = func(depth int) string {
		if depth == 0 || rng.IntN(4) == 0 {
			switch rng.IntN(8) {
			case 0:
				return constant() + " == " + place()
			case 1:
				return place() + " in [" + constant() + ", " + constant() + "]"
			case 2:
				return place() + " != " + constant()
			case 3:
				return "has(record.a)"
			case 4:
				return place() + " == true"
			case 5:
				return "record.list.exists(e, e == " + constant() + ")"
			default:
				return place() + " == " + constant()
			}
		}
		a, b := filter(depth-1), filter(depth-1)
		switch rng.IntN(6) {
		case 0:
			return "!(" + a + ")"
		case 1, 2:
			return "(" + a + " || " + b + ")"
		case 3:
			return "(record.b == true ? " + a + " : " + b + ")"
		default:
			return "(" + a + " && " + b + ")"
		}
	}
	guarded, matched := 0, 0
	for range 400 {
		text := filter(3)
		r, err := compileRows(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(r.guards) > 0 {
			guarded++
		}
		for range 60 {
			var members []string
			for _, k := range []string{"a", "b", "c"} {
				if rng.IntN(5) > 0 {
					members = append(members, fmt.Sprintf("%q:%s", k, one(values...)))
				}
			}
			if rng.IntN(5) > 0 {
				members = append(members, fmt.Sprintf(`"d":{"e":%s,"f":%s}`, one(values...), one(values...)))
			}
			if rng.IntN(5) > 0 {
				members = append(members, fmt.Sprintf(`"list":[%s,{"k":%s}]`, one(values...), one(values...)))
			}
			rec := decode(t, "{"+strings.Join(members, ",")+"}")
			yes, err := r.eval(rec)
			yes = yes && err == nil
			part, err := r.members(strictjson.Canonical(rec), strictjson.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.eval(part)
			if got = got && err == nil; got != yes {
				t.Fatalf("%s on %v: %v, on what it reads of it %v", text, rec, yes, got)
			}
			if !yes {
				continue
			}
			matched++
			for _, g := range r.guards {
				if !slices.ContainsFunc(g, func(p Pin) bool {
					v, ok := ScalarAt(rec, p.Field)
					return ok && v == p.Value
				}) {
					t.Fatalf("%s matches %v, of which its guard %v holds nothing", text, rec, g)
				}
			}
		}
	}
	if guarded < 50 || matched < 500 {
		t.Errorf("%d filters of 400 had a guard, %d records matched: too few to say anything", guarded, matched)
	}
}

func TestScalarBytes(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []string{`""`, `"t"`, `"1"`, "1", "0", "true", "false", "null", "1.5"} {
		v, ok := ScalarOf(decode(t, `{"v":`+s+`}`)["v"])
		if !ok || seen[string(v.Bytes())] {
			t.Errorf("%s has no bytes of its own", s)
		}
		seen[string(v.Bytes())] = true
	}
	rec := decode(t, `{"v":1.0,"w":-0.0,"x":{"y":[1]}}`)
	if v, _ := ScalarAt(rec, "/v"); string(v.Bytes()) != string(number(1).Bytes()) {
		t.Error("1.0 is not 1")
	}
	if v, _ := ScalarAt(rec, "/w"); string(v.Bytes()) != string(number(0).Bytes()) {
		t.Error("-0.0 is not 0")
	}
	for _, f := range []name.Field{"/gone", "/v/y", "/x", "/x/y"} {
		if _, ok := ScalarAt(rec, f); ok {
			t.Errorf("%s has a scalar", f)
		}
	}
}
