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
	b, _, err := two.LeaveOut(to)
	if err != nil || b.Version != a.Version+1 || b.Name != a.Name || b.Party(to) || len(b.To) != 2 || b.Roles[to] != "" || two.Roles[to] == "" {
		t.Errorf("one receiver is left out: %+v %v", b, err)
	}
	for _, c := range []name.Council{from, "elsewhere.gov.uk"} {
		if b, _, err := two.LeaveOut(c); !errors.Is(err, ErrNovate) {
			t.Errorf("left out, and no receiver: %+v %v", b, err)
		}
	}
	if b, _, err := a.LeaveOut(to); !errors.Is(err, ErrNovate) {
		t.Errorf("nobody receives any more: %+v %v", b, err)
	}
}

// TestSameRows: rows go on where nothing but names and codes of councils that ended have
// become those of their successors, each in its place and in lists as sets. Whatever else
// differs is another text.
func TestSameRows(t *testing.T) {
	after := map[string][]string{"E07000001": {"E06000001"}, "E07000002": {"E06000001", "E06000002"}, "old.gov.uk": {"east.gov.uk"}}
	follows := func(old, successor string) bool { return slices.Contains(after[old], successor) }
	for _, x := range []struct {
		was, now string
		same     bool
	}{
		{`record.to == "E07000001"`, `record.to == "E07000001"`, true},
		{`record.to == "E07000001"`, `record.to == "E06000001"`, true},
		{`record.to == 'E07000002' && record.by == "old.gov.uk"`, `record.to == 'E06000002' && record.by == "east.gov.uk"`, true},
		{`record.to in ["E07000001", "E07000002"]`, `record.to in ["E06000001"]`, true},
		{`record.to in ["E07000001","E07000002"] && record.open`, `record.to in ["E06000002", "E06000001", "E07000001"] && record.open`, true},
		{`record.to in ["E07000001", "E07000009"]`, `record.to in ["E07000009", 'E06000001']`, true},
		{`record.to == "E06000001"`, `record.to == "E07000001"`, false},                                     // the other way
		{`record.to == "E07000001"`, `record.to == "E06000002"`, false},                                     // of another
		{`record.to == "E07000001"`, `record.to == "east.gov.uk"`, false},                                   // a code by a name
		{`record.to == "E07000001"`, `record.to != "E06000001"`, false},                                     // not outside of quotes
		{`record.to == "E07000001"`, `record.to  == "E06000001"`, false},                                    // a space
		{`record.to == "E07000001"`, `record.to == "E06000001" || true`, false},                             // more
		{`record.to in ["E07000001"]`, `record.to in ["E06000001", "E06000009"]`, false},                    // one more in a list
		{`record.to in ["E07000001", "E07000009"]`, `record.to in ["E06000001"]`, false},                    // one less
		{`["E07000001", "E07000002"][0] == record.to`, `["E06000002", "E06000001"][0] == record.to`, false}, // a list that is no set
		{`record.to in ["E07000001", record.x]`, `record.to in ["E06000001"]`, false},                       // not of texts alone
		{`record.to == r"E07000001"`, `record.to == r"E06000001"`, false},                                   // other quotes
		{`record.to == "\\x450"`, `record.to == "E06000001"`, false},                                        // an escape
		{`record.to == "E07000001" // "`, `record.to == "E06000001" // "`, false},                           // a comment
		{`record.to == "E07000001`, `record.to == "E06000001`, false},                                       // no end
		{`record.to == """E07000001"""`, `record.to == """E06000001"""`, false},                             // three quotes
		{`record.to == "the E07000001"`, `record.to == "the E06000001"`, false},                             // part of a text
	} {
		a, b := parsed(t), parsed(t)
		b.Rows, a.Rows = x.was, x.now
		if got := a.Holds(b, follows); got != x.same {
			t.Errorf("%s, now %s: the same is %t", x.was, x.now, got)
		}
		if got := a.Holds(b, nil); got != (x.was == x.now) {
			t.Errorf("%s, now %s: where nobody follows the same is %t", x.was, x.now, got)
		}
	}
	a, b := parsed(t), parsed(t)
	if a.Fields = a.Fields[1:]; a.Holds(b, follows) {
		t.Error("fewer fields are the same")
	}
}
