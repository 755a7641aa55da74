package agreement

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

func decode(t testing.TB, s string) map[string]any {
	t.Helper()
	v, err := strictjson.Decode([]byte(s), strictjson.Limits{Bytes: 8 << 20, StringLen: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

const sample = `{"district":"E07000998","n":5,"big":9007199254740991,"half":0.5,"one":1.0,"exp":1e2,"neg":-0,
	"flag":true,"gone":null,"name":"Anna Brown","date":"2026-11-02","when":"2026-11-02T10:00:00Z",
	"items":[{"k":"a","n":1},{"k":"b","n":2}],"tags":["x","y"],"map":{"b":1,"a":2},"empty":[],"none":"","odd key":"v"}`

func TestRowsMeaning(t *testing.T) {
	rec := decode(t, sample)
	for _, c := range []struct {
		rows string
		want bool // false also stands for an error
	}{
		{`true`, true},
		{`false`, false},
		{`record.district == "E07000998"`, true},
		{`record.district == "E07000999"`, false},
		{`record["odd key"] == "v"`, true},
		{`record.n == 5`, true},
		{`record.n == 5.0`, true},
		{`record.n < 5.5`, true},
		{`record.n + 1 == 6`, true},
		{`record.n / 2 == 2`, true}, // an int stays one
		{`record.one == 1`, true},
		{`record.half < 1`, true},
		{`record.half * 2.0 == record.one`, true},
		{`record.exp == 100`, true},
		{`record.neg == 0`, true},
		{`record.big == 9007199254740991`, true},
		{`record.n in [1, 3, 5]`, true},
		{`record.one in [1, 3, 5]`, true},
		{`record.n in [1.0, 5.0]`, true},
		{`record.items in ["a"]`, false},
		{`record.map in ["a"]`, false},
		{`"x" in record.tags`, true},
		{`"a" in record.map`, true},
		{`record.gone == null`, true},
		{`record.n == null`, false},
		{`record.flag == true`, true},
		{`record.flag && true`, true},
		{`has(record.flag)`, true},
		{`has(record.nothing)`, false},
		{`!has(record.nothing)`, true},
		{`has(record.gone)`, true},
		{`record.date >= "2026-01-01" && record.date < "2027-01-01"`, true},
		{`timestamp(record.when) > timestamp("2026-01-01T00:00:00Z")`, true},
		{`timestamp(record.when) - timestamp("2026-11-02T00:00:00Z") == duration("10h")`, true},
		{`record.name.startsWith("Anna") && record.name.endsWith("n") && record.name.contains("Br")`, true},
		{`record.name.lowerAscii() == "anna brown" && record.name.upperAscii().trim().substring(0, 4) == "ANNA"`, true},
		{`record.name.matches("^[A-Z][a-z]+ [A-Z]")`, true},
		{`record.name.matches("^x")`, false},
		{`record.items.exists(i, i.k == "b" && i.n == 2)`, true},
		{`record.items.all(i, i.n < 3)`, true},
		{`record.items.exists_one(i, i.n == 1)`, true},
		{`record.items.filter(i, i.n > 1).size() == 1`, true},
		{`record.items.map(i, i.k) == ["a", "b"]`, true},
		{`record.items[0].k == "a"`, true},
		{`record.items[7].k == "a"`, false},
		{`record.empty.all(i, false)`, true},
		{`size(record.items) == 2 && size(record.name) == 10 && size(record.map) == 2`, true},
		{`record.map.map(k, k) == ["a", "b"]`, true}, // members in the order of names
		{`record.map.map(k, record.map[k]) == [2, 1]`, true},
		{`record.map == {"a": 2, "b": 1}`, true},
		{`record.items == [{"k": "a", "n": 1}, {"k": "b", "n": 2.0}]`, true},
		{`int("7") == 7 && string(record.n) == "5" && double(record.n) == 5.0 && bool("true")`, true},
		// errors
		{`record.none.all(c, c == "x")`, false}, // a text has no elements, and an empty one is no empty list
		{`!record.none.exists(c, true)`, false},
		{`record.none.filter(c, true).size() == 0`, false},
		{`record.none.map(c, c).size() == 0`, false},
		{`record.items.all(i, record.none.all(c, true))`, false},
		{`record.nothing == "x"`, false},
		{`record.nothing != "x"`, false},
		{`!(record.nothing == "x")`, false},
		{`record.district.nothing == "x"`, false},
		{`record.n > "a"`, false},
		{`record.n && true`, false},
		{`record.n / 0 == 1`, false},
		{`int(record.name) == 1`, false},
		{`record.big * record.big > 0`, false}, // overflow
		{`record.n.startsWith("5")`, false},
		{`record.n.matches("5")`, false},
		{`record.n in [1, -2, 3 + 2]`, true},
		{`timestamp(record.when) in [timestamp("2026-11-02T10:00:00Z")]`, true},
		{`record.n == 1` + strings.Repeat(` || record.n == 1`, 60) + ` || record.n == 5`, true},
		{`record.n == 5` + strings.Repeat(` && record.n == 5`, 60), true},
		// CEL's own rule: what makes no difference is no error
		{`record.nothing == "x" || record.n == 5`, true},
		{`record.nothing == "x" && record.n == 6`, false},
	} {
		r, err := compileRows(c.rows)
		if err != nil {
			t.Errorf("%s: %v", c.rows, err)
			continue
		}
		for range 3 {
			got, err := r.eval(rec)
			if (got && err == nil) != c.want {
				t.Errorf("%s = %v, %v; want %v", c.rows, got, err, c.want)
			}
		}
	}
}

func TestRowsRefused(t *testing.T) {
	for _, c := range []struct{ rows, want string }{
		{``, "column"},
		{`record.`, "column"},
		{`"E07000999"`, "must come out as true or false, not string"},
		{`record.flag`, "must come out as true or false, not dyn"},
		{`1`, "not int"},
		{`other.x == 1`, "undeclared reference"},
		{`now() > timestamp("2026-01-01T00:00:00Z")`, "undeclared reference"},
		{`record.when.getFullYear() == 2026`, "getFullYear is not available"},
		{`timestamp(record.when).getHours("Europe/London") == 1`, "getHours is not available"},
		{`record.a.replace("", record.b) == ""`, "replace is not available"},
		{`record.tags.join(",") == ""`, "join is not available"},
		{`"%s".format(["a"]) == ""`, "format is not available"},
		{`record.a.split("").size() > 1`, "split is not available"},
		{`type(record.a) == int`, "type is not available"},
		{`bytes(record.a) == b"x"`, "not available"},
		{`record.a == 1u`, "unsigned"},
		{`google.protobuf.Struct{} == record`, "not available"},
		{`record.a.matches(record.b)`, "pattern written out"},
		{`record.a.matches("` + strings.Repeat("a", maxPattern+1) + `")`, "longer than"},
		{`record.a.matches("(a{1,100}){1,100}")`, "column 18"},
		{`record.a.matches("((a?){30}){30}b")`, "too large"},
		{`record.a.matches("(")`, "column"},
		{`record.a.matches("(?=x)")`, "column"},
		{`record.l.all(a, record.l.all(b, record.l.all(c, a == b)))`, "nesting"},
		{`record.l.all(record, record == 1)`, `"record" is the whole record`},
		{`timestamp("yesterday") == record.t`, "column"},
		{`optional.none() == 1`, "column"},
		{`[record.a, record.b].exists(x, x == 1)`, "constants only"},
		{`record.l.map(a, [a, a]) == record.x`, "constants only"},
		{`record.l.map(a, [a]) == record.x`, "constants only"},
		{`{"x": record.a}.x == 1`, "constants only"},
		{strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), ""},
		{strings.Repeat("!", 300) + "true", ""},
		{strings.Repeat("[", 400), "recursion"},
		{strings.Repeat("{", 400), "recursion"},
		{"record" + strings.Repeat(".a", 900) + " == 1", ""},
		{"record" + strings.Repeat("[0]", 600) + " == 1", ""},
		{strings.Repeat("[record].exists(x,", 60) + "true" + strings.Repeat(")", 60), ""},
		{"true" + strings.Repeat(" ? true : true", 120), ""},
		{strings.Repeat("a?", 900), "limit"},
		{"\"" + strings.Repeat("\\U0001F600", 190), "column"},
		{strings.Repeat("x", MaxRows+1), "longer than"},
		{"record.a == \"\xff\"", ""},
	} {
		start := time.Now()
		_, err := compileRows(c.rows)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%.60s: took %v to judge", c.rows, d)
		}
		if c.want == "" {
			continue // refused or not, it ended
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v; want %q", c.rows, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: an error of several lines: %v", c.rows, err)
		}
	}
}

// Filters that would run for minutes or fill the memory, on records as large
// as they come. Each ended in 9 to 40 s or not at all with CEL's own prices.
func TestRowsEndSoon(t *testing.T) {
	var list []any
	for range 90_000 {
		list = append(list, "a")
	}
	long := strings.Repeat("a", 256<<10)
	rec := map[string]any{"l": list, "s": long, "sb": long[:128<<10] + "b", "m": map[string]any{"l": list, "s": long}}
	for _, rows := range []string{
		`record.l.all(a, record.l.all(b, a == b))`,
		`record.l.exists(a, record.l.exists(b, a + b == "b"))`,
		`record.l.map(a, record.l.map(b, record.s + record.s)).size() > 2`,
		`record.l.map(a, record.s + record.s).size() > 2`,
		`record.l.filter(a, "b" in record.l).size() > 2`,
		`record.l.filter(a, a in record.l).size() > 2`,
		`record.l.exists(a, record.l == record.l.map(b, b))`,
		`record.l.exists(a, record.m != record.m)`,
		`record.l.exists(a, record.s.contains("` + strings.Repeat("a", 100) + `b"))`,
		`record.l.exists(a, record.s.contains(record.sb))`,
		`record.l.exists(a, record.s < record.sb)`,
		`record.l.exists(a, record.s.lowerAscii() == "x")`,
		`record.l.exists(a, size(record.s) == 1)`,
		`record.l.exists(a, record.s.trim().substring(1) == "")`,
		`record.l.exists(a, record.s.matches("(a?){40}b"))`,
		`record.l.exists(a, (a + "").matches("(a?){40}b"))`,
		`record.s.matches("(a?){40}b")`,
		`record.l.map(a, record.l + record.l + record.l).size() > 3`,
		`(record.l` + strings.Repeat(" + record.l", 30) + `).exists(a, a == "b")`,
		`record.l.map(a, record) == record.l.map(a, record)`,
		`record.l.map(a, record.l) == record.l.map(a, record.l)`,
		`record in record.l.map(a, record)`,
		`record.l.map(a, record.l.map(b, b)) == record.l.map(a, record.l.map(b, b))`,
		`record.l.filter(a, true) == record.l.filter(a, true)`,
		`record.l.filter(a, true).map(a, a) == record.l.filter(a, true).map(a, a)`,
		`record.m.exists(k, record.l.exists(a, record.m[k] == a))`,
		`string(record.s) == record.s` + strings.Repeat(` && (record.s + record.s) != ""`, 40),
		`int(record.s) == 1 || double(record.s) == 1.0`,
		`record.l.map(a, record.l + record.l).map(b, b + b).size() == 1`,
	} {
		r, err := compileRows(rows)
		if err != nil {
			t.Errorf("%.80s: %v", rows, err)
			continue
		}
		limit := 500 * time.Millisecond
		if raceEnabled {
			limit *= 20
		}
		var d time.Duration
		var yes bool
		for range 5 { // the machine may have been busy with something else
			start := time.Now()
			yes, err = r.eval(rec)
			if d = time.Since(start); d < limit {
				break
			}
		}
		if d >= limit {
			t.Errorf("%.80s: took %v", rows, d)
		}
		if testing.Verbose() {
			fmt.Printf("%10v %v %.40v  %.90s\n", d.Round(time.Microsecond), yes, err, rows)
		}
	}
}

func TestReads(t *testing.T) {
	for _, c := range []struct {
		rows           string
		values, walked []name.Field
	}{
		{`true`, nil, nil},
		{`record.a == "x"`, []name.Field{"/a"}, nil},
		{`record.a.b == "x" && record["c/d"].e < 1`, []name.Field{"/a/b", "/c~1d/e"}, nil},
		{`has(record.a.b)`, []name.Field{"/a/b"}, nil},
		{`record.l[0].x == 1`, []name.Field{"/l/*/x"}, nil},
		{`record.l.exists(i, i.x == 1)`, []name.Field{"/l/*/x"}, []name.Field{"/l/*"}},
		{`record.l.exists(i, i == 1)`, []name.Field{"/l/*"}, []name.Field{"/l/*"}},
		{`record.l.exists(i, i.m.exists(j, j.y == i.x && j.z == record.q))`,
			[]name.Field{"/l/*/m/*/y", "/l/*/m/*/z", "/l/*/x", "/q"}, []name.Field{"/l/*", "/l/*/m/*"}},
		{`record.l.filter(i, i.x == 1).exists(j, j.secret == 2)`, []name.Field{"/l/*", "/l/*/x"}, []name.Field{"/l/*"}},
		{`record.l.map(i, i.x).exists(j, j == 2)`, []name.Field{"/l/*/x"}, []name.Field{"/l/*"}},
		{`record == record`, []name.Field{""}, nil},
		{`record.exists(k, k == "a")`, []name.Field{"/*"}, []name.Field{"/*"}},
		{`record[record.k] == 1`, []name.Field{"", "/k"}, nil},
		{`record["*"] == 1`, []name.Field{""}, nil},
		{`(record.t == 1 ? record.a : record.b).c == 1`, []name.Field{"/a", "/b", "/t"}, nil},
		{`dyn(record.a).b == 1`, []name.Field{"/a"}, nil},
		{`size(record.a) == 1 || "x" in record.b || record.c.startsWith("y")`, []name.Field{"/a", "/b", "/c"}, nil},
		{`record.l.all(i, record.l.all(i, i.b == 1) && i.a == 1)`, []name.Field{"/l/*/a", "/l/*/b"}, []name.Field{"/l/*"}},
	} {
		r, err := compileRows(c.rows)
		if err != nil {
			t.Errorf("%s: %v", c.rows, err)
			continue
		}
		if !slices.Equal(r.values, c.values) || !slices.Equal(r.walked, c.walked) {
			t.Errorf("%s reads %q, walks %q; want %q, %q", c.rows, r.values, r.walked, c.values, c.walked)
		}
	}
}

// The result is the same on every run, whatever order Go's maps take.
func TestRowsAreDeterministic(t *testing.T) {
	m := make(map[string]any)
	for i := range 50 {
		m[fmt.Sprintf("k%02d", i)] = fmt.Sprint(i)
	}
	rec := map[string]any{"m": m}
	r, err := compileRows(`record.m.map(k, k)[0] == "k00" && record.m.filter(k, record.m[k] != "0")[0] == "k01"`)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if yes, err := r.eval(rec); !yes || err != nil {
			t.Fatalf("%v, %v", yes, err)
		}
	}
}

// Whatever the text, compiling and evaluating end without a panic.
func FuzzRows(f *testing.F) {
	for _, s := range []string{`record.n == 5`, `record.items.exists(i, i.k == "b")`, `record.name.matches("^A")`, `has(record.x) || record.tags == ["x"]`} {
		f.Add(s)
	}
	rec := decode(f, sample)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := compileRows(s)
		if err != nil {
			return
		}
		yes, err := r.eval(rec)
		for range 2 {
			again, err2 := r.eval(rec)
			if again != yes || (err == nil) != (err2 == nil) {
				t.Fatalf("%q: %v %v, then %v %v", s, yes, err, again, err2)
			}
		}
		if parts, err := split(r); err == nil {
			all := true
			for _, p := range parts {
				y, err := p.rows.eval(rec)
				all = all && y && err == nil
			}
			if all != (yes && err == nil) && yes {
				t.Fatalf("%q matches, but not all of its parts do", s)
			}
		}
	})
}
