package agreement

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// An agreement goes on with a successor in the place of a party, whichever side it is on,
// as a new text that says the same otherwise; and not with itself.
func TestNovate(t *testing.T) {
	a := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01")
	from, to := a.From, a.To[0]
	for _, old := range a.Parties() {
		b, look, err := a.Novate(old, "east.gov.uk", "2027-04-01")
		if err != nil {
			t.Fatal(err)
		}
		if b.Version != 1 || b.Starts != "2027-04-01" || b.Party(old) || !b.Party("east.gov.uk") || b.Rows != a.Rows || b.Name == a.Name {
			t.Errorf("%s: %+v", old, b)
		}
		if old == from && b.Name.Council() != "east.gov.uk" || old == to && b.Name.Council() != from {
			t.Errorf("%s is named %s", old, b.Name)
		}
		if _, there := b.Roles[old]; there || b.Roles["east.gov.uk"] == "" || b.Contacts["east.gov.uk"] == "" {
			t.Errorf("%s: %v %v", old, b.Roles, b.Contacts)
		}
		again, err := Parse(b.YAML())
		if err != nil || again.Digest() != b.Digest() {
			t.Errorf("%s: its text is not read back: %v", old, err)
		}
		if strings.Contains(string(b.YAML()), string(old)) != (len(look) > 0) {
			t.Errorf("%s: to be looked at: %v", old, look)
		}
	}
	for _, c := range [][2]name.Council{{"elsewhere.gov.uk", "east.gov.uk"}, {from, to}, {to, from}, {from, from}} {
		if b, _, err := a.Novate(c[0], c[1], "2027-04-01"); !errors.Is(err, ErrNovate) {
			t.Errorf("%s, now %s: %+v %v", c[0], c[1], b, err)
		}
	}
	two := *a
	two.To = append(slices.Clone(a.To), "fens.gov.uk", "east.gov.uk")
	if b, _, err := two.Novate("fens.gov.uk", "east.gov.uk", "2027-04-01"); err != nil || len(b.To) != 2 {
		t.Errorf("two receivers become one: %+v %v", b, err)
	}
}
