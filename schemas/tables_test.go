package schemas_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

var update = flag.Bool("update", false, "write docs/standards.md and docs/standards anew")

// member is one name of a JSON object, in the order in which it stands there.
type member struct {
	name  string
	value json.RawMessage
}

// members reads an object in its own order, which is the order that its author chose.
func members(t *testing.T, raw json.RawMessage) (out []member) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		m := member{name: tok.(string)}
		if err := dec.Decode(&m.value); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// node is what a page tells of a part of a schema.
type node struct {
	Title, Description, Format, Pattern string
	Type                                kinds
	Ref                                 string `json:"$ref"`
	Enum                                []any
	Required                            []string
	Properties, Items                   json.RawMessage
	Defs                                map[string]json.RawMessage `json:"$defs"`
	Minimum, Maximum                    *float64
	MaxLength                           *int
}

// kinds are the types of a value, one or a list in a schema.
type kinds string

func (k *kinds) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*k = kinds(one)
		return nil
	}
	var all []string
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*k = kinds(strings.Join(all, " or "))
	return nil
}

// page writes the page of one standard.
type page struct {
	t    *testing.T
	b    bytes.Buffer
	s    *standard.Standard
	defs map[string]json.RawMessage // by the reference to it
}

func (p *page) read(raw json.RawMessage) (n node) {
	if len(raw) == 0 {
		return n
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		p.t.Fatal(err)
	}
	if n.Ref != "" {
		of := p.read(p.defs[n.Ref])
		title, description := n.Title, n.Description
		n = of
		if title != "" {
			n.Title = title
		}
		if description != "" {
			n.Description = description
		}
	}
	return n
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ")
}

func (n node) words() string {
	switch {
	case len(n.Enum) > 0:
		var all []string
		for _, v := range n.Enum {
			all = append(all, fmt.Sprintf("`%v`", v))
		}
		return strings.Join(all, ", ")
	case n.Format != "":
		return n.Format
	case n.Pattern != "" && n.Pattern != `\S`:
		return "text, `" + cell(n.Pattern) + "`"
	case n.Type == "string":
		return "text"
	case n.Type == "array":
		return "list"
	case n.Minimum != nil && n.Maximum != nil:
		return fmt.Sprintf("%s, %v to %v", n.Type, *n.Minimum, *n.Maximum)
	}
	return string(n.Type)
}

// asked says which laws ask for records of a standard, and what the pages say from which that
// is known.
func asked(m standard.Manifest) (laws, found string) {
	var all []string
	for _, d := range catalogue.Laws(m.Name.Name, m.Obligation) {
		switch {
		case d.Pending:
			all = append(all, d.Statute+" (no day appointed)")
		case d.From == "":
			all = append(all, d.Statute)
		default:
			all = append(all, d.Statute+", since "+d.From)
		}
	}
	for _, d := range schemas.Duties() {
		if d.Standard == string(m.Name.Name) {
			found += fmt.Sprintf("- %s\n  %s (%s, read on %s)\n", cmp.Or(d.Statute, "No law"), d.Says, d.Source, d.Checked)
			if d.Who != "" {
				found += "  " + d.Who + "\n"
			}
		}
	}
	if found != "" {
		found = "\nOf the law:\n\n" + found
	}
	return cmp.Or(strings.Join(all, "; "), "none"), found
}

// headings lists what stands in published forms for the places of a standard.
func headings(of string) string {
	var b strings.Builder
	for i, h := range schemas.Headings(of) {
		if i == 0 {
			b.WriteString("\nHeadings of published forms that are known when a mapping is drafted:\n\n| field | heading | in |\n|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", h.Place, cell(h.Heading), h.Source)
	}
	return b.String()
}

func (p *page) rows(n node, at name.Field) {
	for _, m := range members(p.t, n.Properties) {
		of, here := p.read(m.value), at.Child(m.name)
		need := ""
		if slices.Contains(n.Required, m.name) {
			need = "yes"
		}
		what := of.Title
		if of.Description != "" {
			what += ". " + of.Description
		}
		items := p.read(of.Items)
		words := of.words()
		if of.Type == "array" && items.Type != "object" && len(of.Items) > 0 {
			words = "list of " + items.words()
		}
		fmt.Fprintf(&p.b, "| `%s` | %s | %s | %s | %s |\n", here, cell(what), words, need, p.s.Class(here))
		p.rows(of, here)
		p.rows(items, here.Child("*"))
	}
}

// TestFieldTables keeps docs/standards.md and the pages in docs/standards what the
// standards say of themselves.
func TestFieldTables(t *testing.T) {
	pages := map[string][]byte{}
	var index bytes.Buffer
	index.WriteString("# The standards that come with Stile\n\nMade from the standards themselves by `go test ./schemas -run TestFieldTables -update`. Their publisher, `standards.stile.example`, is made up; the facts are not, and each\npage names its sources. A new node adopts those in bold; `stile standard adopt NAME` takes another into use.\n\n| standard | one record is | key | has to be held or sent by |\n|---|---|---|---|\n")
	all := schemas.Names()
	for i, dir := range all {
		if i+1 < len(all) && path.Dir(all[i+1]) == path.Dir(dir) {
			continue // a page is of the newest version
		}
		s, err := standard.Load(schemas.FS(dir))
		if err != nil {
			t.Fatal(err)
		}
		m, slug := s.Manifest(), path.Dir(dir)
		p := &page{t: t, s: s, defs: map[string]json.RawMessage{}}
		var root node
		if err := json.Unmarshal(s.Schema(), &root); err != nil {
			t.Fatal(err)
		}
		for k, v := range root.Defs {
			p.defs["#/$defs/"+k] = v
		}
		for addr, file := range m.Resources {
			b, err := schemas.FS(dir).Open(file)
			if err != nil {
				t.Fatal(err)
			}
			var of node
			if err := json.NewDecoder(b).Decode(&of); err != nil {
				t.Fatal(err)
			}
			b.Close()
			for k, v := range of.Defs {
				p.defs[addr+"#/$defs/"+k] = v
			}
		}
		var keys []string
		for _, k := range m.Key {
			keys = append(keys, "`"+string(k)+"`")
		}
		law, found := asked(m)
		first, _, _ := strings.Cut(m.Description, ":")
		first, _, _ = strings.Cut(first, ".")
		named := fmt.Sprintf("[%s](standards/%s.md)", slug, slug)
		if slices.Contains(schemas.First(), dir) {
			named = "**" + named + "**"
		}
		fmt.Fprintf(&index, "| %s | %s | %s | %s |\n", named, cell(first), strings.Join(keys, ", "), cell(law))
		fmt.Fprintf(&p.b, "# %s\n\n`%s`\n\n%s\n\nKey: %s.", m.Title, s.Name(), m.Description, strings.Join(keys, ", "))
		fmt.Fprintf(&p.b, " Has to be held or sent by: %s.", law)
		if s.Agreement() != nil {
			fmt.Fprintf(&p.b, "\n\nIts publisher offers one agreement to all: `stile agreement accept %s` signs it for the council that sends, and with `--all` for the one that receives.", slug)
		}
		for _, id := range translation.ShippedFor(s.Name().Line()) {
			fmt.Fprintf(&p.b, "\n\n`stile register export` also writes records of it as %s; `stile import FILE --translation %s` takes them in from that. Which field is which: [translations](../translations.md#%s).", translation.Shipped(id).Title, id, id)
		}
		p.b.WriteString("\n\n| field | what it is | form | needed | class |\n|---|---|---|---|---|\n")
		p.rows(root, "")
		p.b.WriteString("\nSources:\n\n")
		for _, src := range m.Source {
			fmt.Fprintf(&p.b, "- %s\n", src)
		}
		p.b.WriteString(found)
		p.b.WriteString(headings(string(m.Name.Name)))
		pages["standards/"+slug+".md"] = p.b.Bytes()
	}
	pages["standards.md"] = index.Bytes()
	docs := filepath.Join("..", "docs")
	if *update {
		if err := os.RemoveAll(filepath.Join(docs, "standards")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(docs, "standards"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, page := range pages {
			if err := os.WriteFile(filepath.Join(docs, file), page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for file, page := range pages {
		if have, err := os.ReadFile(filepath.Join(docs, file)); err != nil || !bytes.Equal(have, page) {
			t.Errorf("docs/%s is not what the standards say of themselves.\nTry: go test ./schemas -run TestFieldTables -update", file)
		}
	}
}
