package agreement

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Draft returns a document to fill in: the headings with a line of guidance
// each, the fields that the standard leaves open listed, the others that it
// names offered as comments with their class, and all else empty. The sender is
// the council that the agreement is named after. [Parse] reads the draft;
// [Agreement.Check] then lists what is still to be written.
func Draft(n name.Agreement, to []name.Council, std *standard.Standard) []byte {
	a := &Agreement{Name: n, Version: 1, From: n.Council(), To: to, Mode: DraftMode(false), Standard: std.Name().Line(),
		Roles: map[name.Council]Role{}, Contacts: map[name.Council]string{}}
	for _, c := range a.Parties() {
		a.Roles[c], a.Contacts[c] = "", ""
	}
	if f := openFields("", std.Layout()); len(f) > 0 {
		a.Fields = f
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Data sharing agreement for %s (%s).\n", oneLine(std.Manifest().Title), std.Name())
	b.WriteString("# An empty heading keeps it from being signed. Where one does not apply, say why.\n")
	group := ""
	for _, h := range headings {
		key, pad := h.key, 0
		if g, sub, ok := strings.Cut(h.key, "/"); ok {
			key, pad = sub, 2
			if g != group {
				fmt.Fprintf(&b, "\n%s:\n", g)
			}
			group = g
		} else {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%*s# %s\n", pad, "", h.ask)
		v := h.get(a)
		if h.key == "fields" {
			a.draftFields(&b, std)
			continue
		}
		if v.empty() {
			v = value{} // "match:", not "match: []"
		}
		printEntry(&b, pad, key, v)
	}
	return b.Bytes()
}

// draftFields prints the open fields, and every other place that the standard
// gives a class or a schema's top level names, to be chosen from.
func (a *Agreement) draftFields(b *bytes.Buffer, std *standard.Standard) {
	b.WriteString("fields:\n")
	for _, f := range a.Fields {
		printItem(b, 2, string(f))
	}
	offers := maps.Clone(std.Manifest().Classes)
	if offers == nil {
		offers = make(map[name.Field]standard.Class)
	}
	for _, f := range topLevel(std) {
		offers[f] = std.Class(f)
	}
	for _, f := range slices.Sorted(maps.Keys(offers)) {
		if f == "" || offers[f] == standard.Open || !std.Layout().Separable(f) {
			continue
		}
		fmt.Fprintf(b, "  # - %s   (%s)\n", oneLine(string(f)), offers[f])
	}
}

// oneLine keeps a text from outside within the comment it is printed in.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unwelcome(r) {
			return ' '
		}
		return r
	}, s)
}
