package agreement

import (
	"slices"
	"strings"
	"testing"
)

// TestMost: a bound has one spelling; a higher one, or none, is wider; and what it means
// for the records there are is said.
func TestMost(t *testing.T) {
	for _, s := range []string{"500 in all", "50 a day", "500 in all, 50 a day"} {
		if m, err := ParseMost(s); err != nil || m.String() != s {
			t.Errorf("%q is read as %q, %v", s, m, err)
		}
	}
	for _, s := range []string{"", "0 a day", "050 a day", "50", "a day", "50 a day, 500 in all", "5 a day, 5 a day", "5 in all, 5 in all", "-1 a day", "1000000001 in all", "5  a day", "5 in all,1 a day"} {
		if m, err := ParseMost(s); err == nil {
			t.Errorf("%q is read as %q", s, m)
		}
	}
	at := func(s string, mode Mode) *Agreement {
		a := &Agreement{Mode: mode}
		if s != "" {
			if err := setMost(a, value{text: s}); err != nil {
				t.Fatal(err)
			}
		}
		return a
	}
	for _, c := range []struct{ old, new, want string }{
		{"5 in all", "", "wider: most is no longer 5 in all"},
		{"", "5 a day", "narrower: most is now 5 a day"},
		{"9 in all, 5 a day", "10 in all, 4 a day", "wider: most is now 10 in all, was 9|narrower: most is now 4 a day, was 5"},
		{"5 a day", "5 a day", ""},
	} {
		if got := strings.Join(Diff(at(c.old, Replicate), at(c.new, Replicate)), "|"); got != c.want {
			t.Errorf("from %q to %q: %q, want %q", c.old, c.new, got, c.want)
		}
	}
	if got := at("100 in all, 30 a day", Replicate).Bounded(120); got != "at most 100 records go to each receiver in all: 20 of these stay here; at most 30 go in a day: the first copy takes 4 days" {
		t.Error(got)
	}
	var rules []string
	for _, a := range []*Agreement{at("5 in all", Lookup), at("5 in all, 6 a day", Replicate), at("6 a day", Lookup), at("6 in all, 6 a day", Replicate)} {
		a.checkMost(func(key, rule, _, _ string) { rules = append(rules, key+" "+rule) })
	}
	if want := []string{"most mode", "most form"}; !slices.Equal(rules, want) {
		t.Errorf("refused %v, want %v", rules, want)
	}
}
