package registers

import (
	"slices"
	"testing"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestHeld: of ourselves it is always known whether a standard is held, of others where
// something is agreed, and a text that names no standard is none.
func TestHeld(t *testing.T) {
	tree, ok := lineOf("s.example/trees@1.2.0")
	if line, same := lineOf("s.example/trees@1"); !ok || !same || line != tree {
		t.Errorf("%v, %v", tree, line)
	}
	for _, bad := range []string{"", "trees", "s.example/trees", "s.example/trees@x"} {
		if line, ok := lineOf(bad); ok {
			t.Errorf("%q names %v", bad, line)
		}
	}
	h := &held{us: "a.gov.uk", asked: map[holding]bool{}, known: map[holding]bool{{"b.gov.uk", tree}: true, {"c.gov.uk", tree}: false}}
	for c, want := range map[name.Council][2]bool{"a.gov.uk": {false, true}, "b.gov.uk": {true, true}, "c.gov.uk": {false, true}, "d.gov.uk": {false, false}} {
		if held, agreed, err := h.from(t.Context(), node.Operations{}, c, tree); err != nil || [2]bool{held, agreed} != want {
			t.Errorf("%s: %v %v %v, want %v", c, held, agreed, err, want)
		}
	}
	d := described("charter")
	i := slices.IndexFunc(d.Groups, func(g Group) bool { return g.And == "Standard" })
	tab := &Table{Description: d}
	for c, valid := range map[name.Council]string{"a.gov.uk": "12", "b.gov.uk": "", "c.gov.uk": "0"} {
		cells := make([][]string, len(d.Columns))
		cells[tab.at("Product")], cells[tab.at("Standard")], cells[tab.at("Valid records")] = []string{"Acre"}, []string{"s.example/trees@1"}, []string{"900"}
		if valid != "" {
			cells[tab.at("Held valid")] = []string{valid}
		}
		tab.Rows = append(tab.Rows, Row{Council: c, Cells: cells})
	}
	if c := tab.count(d.Groups[i]); len(c.Lines) != 1 || !slices.Equal(c.Lines[0].Councils, []name.Council{"a.gov.uk"}) {
		t.Errorf("only what a node counted counts: %+v", c.Lines)
	}
}
