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
	return (&Agreement{Name: n, Version: 1, From: n.Council(), To: to, Mode: DraftMode(false)}).Draft(std, nil, nil)
}

// Draft returns a document as the function Draft does, with what the agreement says
// already. Remarks are printed as comments, a line each: some under the heading whose key
// they are listed by, before what stands there, and rest at the end of the document.
func (a *Agreement) Draft(std *standard.Standard, remarks map[string][]string, rest []string) []byte {
	given := *a
	a = &given
	a.Standard = std.Name().Line()
	roles, contacts := maps.Clone(a.Roles), maps.Clone(a.Contacts)
	a.Roles, a.Contacts = map[name.Council]Role{}, map[name.Council]string{}
	for _, c := range a.Parties() {
		a.Roles[c], a.Contacts[c] = roles[c], contacts[c]
	}
	for _, f := range openFields("", std.Layout()) {
		if !slices.ContainsFunc(a.Fields, func(g name.Field) bool { return f.Under(g) }) && a.Way().Shows() {
			a.Fields = append(slices.Clip(a.Fields), f)
		}
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
		for _, r := range remarks[h.key] {
			fmt.Fprintf(&b, "%*s# %s\n", pad, "", oneLine(r))
		}
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
	for i, r := range rest {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "# %s\n", oneLine(r))
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
		if f == "" || offers[f] == standard.Open || !std.Layout().Separable(f) || slices.Contains(a.Fields, f) {
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
