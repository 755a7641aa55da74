package agreement

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

func TestAsked(t *testing.T) {
	std := makeStandard(t, anySchema, "/open: open")
	a := simple("true", "/open")
	a.Mode, a.Match = Lookup, []name.Field{"/nino", "/people/*/id", "/open"}
	terms, err := a.Compile(std)
	if err != nil {
		t.Fatal(err)
	}
	got := terms.Asked(decode(t, `{"nino":"AB","people":[{"id":7},{"id":7},{"id":true},{"id":null},{"id":[]},{"id":""},{}],"open":1.50}`))
	want := []Asked{{"/nino", "AB"}, {"/people/*/id", "7"}, {"/people/*/id", "true"}, {"/open", "1.5"}}
	if !slices.Equal(got, want) {
		t.Errorf("Asked = %v, want %v", got, want)
	}
	many := map[string]any{"nino": strings.Repeat("x", MaxAsked+1)}
	var people []any
	for i := range 200 {
		people = append(people, map[string]any{"id": json.Number(fmt.Sprint(i))})
	}
	many["people"] = people
	if got := terms.Asked(many); len(got) != MaxValues {
		t.Errorf("%d values, want %d", len(got), MaxValues)
	}
	if !a.MayAskBy("/nino") || a.MayAskBy("/people/0/id") || a.MayAskBy("") {
		t.Error("MayAskBy")
	}
	if !terms.AskedCheckable("/open") || terms.AskedCheckable("/nino") {
		t.Error("AskedCheckable")
	}
	a.Mode = Aggregate
	if terms.Asked(many) != nil {
		t.Error("a record can be asked for in mode aggregate")
	}
}

// Records are counted by what the agreement lists and is not about people.
func TestGroupedBy(t *testing.T) {
	std := makeStandard(t, anySchema, "/open: open", "/ward: internal", "/who: personal", "/home: internal", "/home/ill: special", "/list: internal")
	a := simple("true", "/open", "/ward", "/who", "/home", "/list/*")
	a.Mode = Aggregate
	for f, want := range map[name.Field]string{
		"/open": "", "/ward": "", "/who": RuleGrouping, "/home": RuleGrouping, "/list/*": RuleGrouping, "/unlisted": RuleMode,
	} {
		got := ""
		if ps := a.GroupedBy(std, []name.Field{f}); len(ps) > 0 {
			got = ps[0].Rule
		}
		if got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
	rules := func() (out []string) {
		for _, p := range a.Check(std) {
			out = append(out, p.Rule)
		}
		return out
	}
	if !slices.Contains(rules(), RuleGrouping) {
		t.Errorf("it can be signed: %q", rules())
	}
	a.Fields = []name.Field{"/open", "/ward"}
	if slices.Contains(rules(), RuleGrouping) {
		t.Errorf("it cannot be signed: %q", rules())
	}
}

func TestCountsSuppressed(t *testing.T) {
	a := simple("true")
	by := []name.Field{"/d", "/s"}
	tally, id := NewTally(mixed(1), CountThreshold, by), 0
	add := func(n int, rec map[string]any) {
		for range n {
			id++
			if err := tally.Add(fmt.Sprint(id), rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(9, map[string]any{"d": "small", "s": "x"})
	add(9, map[string]any{"d": "small", "s": "y"})
	add(9, map[string]any{"d": "A", "s": "y"})
	add(20, map[string]any{"d": "A", "s": "x"})
	add(30, map[string]any{"d": "A"})
	add(33, map[string]any{"d": "A", "s": nil})
	add(43, map[string]any{"d": json.Number("7"), "s": true})
	add(43, map[string]any{"d": json.Number("8"), "s": true})
	c, err := tally.Counts(a, "2026-11-22", Budget{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range c.Groups {
		row := ""
		for _, s := range g.Of {
			if s == nil {
				row += "- "
			} else {
				row += *s + " "
			}
		}
		got = append(got, strings.TrimSpace(row))
		if g.Count%CountRounding != 0 {
			t.Errorf("%s is shown as %d", row, g.Count)
		}
	}
	// In A one group alone is small, and another is left out with it.
	if want := []string{"7 true", "8 true", "A -"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if strings.Contains(string(strictjson.Canonical(c.Body())), "small") {
		t.Error("a small group is named")
	}
	if err := NewTally(mixed(1), 0, by).Add("x", map[string]any{"d": strings.Repeat("x", MaxGroupText+1)}); !errors.Is(err, ErrGroups) {
		t.Errorf("a long name: %v", err)
	}
	for _, v := range []any{[]any{"a"}, []any{}, map[string]any{}} {
		if err := NewTally(mixed(1), 0, by).Add("x", map[string]any{"d": v}); !errors.Is(err, ErrGroups) {
			t.Errorf("%v is counted as none: %v", v, err)
		}
	}
	for i := range MaxGroups + 1 {
		err = tally.Add("x", map[string]any{"d": fmt.Sprint(i)})
	}
	if !errors.Is(err, ErrGroups) {
		t.Errorf("too many groups: %v", err)
	}
}

// What is counted is never below the threshold, within half of the rounding of the
// truth, and reads back as it was written.
func TestCountsAnyNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a := simple("true")
	for range 300 {
		tally, truth := NewTally(mixed(2), CountThreshold, []name.Field{"/d"}), map[string]int{}
		for i := range r.IntN(300) {
			d := fmt.Sprint("d", r.IntN(12))
			truth[d]++
			if err := tally.Add(fmt.Sprint(i), map[string]any{"d": d}); err != nil {
				t.Fatal(err)
			}
		}
		c, err := tally.Counts(a, "2026-11-22", Budget{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range c.Groups {
			n := truth[*g.Of[0]]
			if n < CountThreshold || g.Count < n-CountNoise-2 || g.Count > n+CountNoise+2 || g.Count%CountRounding != 0 {
				t.Fatalf("%d shown as %d", n, g.Count)
			}
		}
		back, err := ParseCounts(again(t, c.Body()))
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("%+v, %v", back, err)
		}
	}
}

func again(t testing.TB, body map[string]any) any {
	t.Helper()
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const someCounts = `{"agreement":"northmoor.gov.uk/plans","by":["/d"],"day":"2026-11-22","groups":[{"count":15,"of":[null]},{"count":10,"of":["A"]}],"rounded":5,"threshold":10,"total":25,"version":1}`

const someSums = `{"agreement":"northmoor.gov.uk/plans","budget":{"of":150,"spent":7},"by":["/d"],"day":"2026-11-16","groups":[{"count":15,"of":[null],"sums":[-1230]},{"count":10,"of":["A"],"sums":[null]}],"rounded":5,"sums":["/amount"],"threshold":10,"total":25,"version":1}`

func TestParseCountsRefuses(t *testing.T) {
	if _, err := ParseCounts(decode(t, someSums)); err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{
		{`"spent":7`, `"spent":-7`}, {`"of":150`, `"of":0`}, {`[-1230]`, `[-1230,1]`}, {`[-1230]`, `[1.5]`}, {`[-1230]`, `[]`}, {`,"sums":[null]`, ``},
		{`"sums":["/amount"]`, `"sums":[]`}, {`[-1230]`, `["1"]`},
	} {
		if _, err := ParseCounts(decode(t, strings.Replace(someSums, edit[0], edit[1], 1))); !errors.Is(err, ErrCounts) {
			t.Errorf("%s is accepted: %v", edit[1], err)
		}
	}
	if _, err := ParseCounts(decode(t, someCounts)); err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{
		{`"count":15`, `"count":5`}, {`"count":15`, `"count":14`}, {`"total":25`, `"total":26`}, {`"threshold":10`, `"threshold":5`},
		{`"rounded":5`, `"rounded":1`}, {`[null]`, `["A"]`}, {`[null]`, `["B"]`}, {`[null]`, `[1]`}, {`[null]`, `[null,null]`},
		{`"2026-11-22"`, `"today"`}, {`["/d"]`, `["/d","/d"]`}, {`"count":15`, `"count":15,"who":"A"`}, {`"version":1`, `"version":-1`},
	} {
		if _, err := ParseCounts(decode(t, strings.Replace(someCounts, edit[0], edit[1], 1))); !errors.Is(err, ErrCounts) {
			t.Errorf("%s is accepted: %v", edit[1], err)
		}
	}
}

// FuzzParseCounts reads counts as a partner might write them. What is accepted is
// within the rules and has one spelling.
func FuzzParseCounts(f *testing.F) {
	f.Add([]byte(someCounts))
	f.Add([]byte(someSums))
	f.Add([]byte(`{"agreement":"northmoor.gov.uk/plans","by":[],"day":"2026-11-22","groups":[],"rounded":5,"threshold":10,"total":0,"version":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := strictjson.Decode(raw, strictjson.DefaultLimits())
		if err != nil {
			return
		}
		c, err := ParseCounts(v)
		if err != nil {
			return
		}
		for _, g := range c.Groups {
			if g.Count < CountThreshold || g.Count%CountRounding != 0 {
				t.Fatalf("accepted %d", g.Count)
			}
		}
		if back, err := ParseCounts(again(t, c.Body())); err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("read back: %+v, %v", back, err)
		}
	})
}
