package intake

import (
	"fmt"
	"strings"
	"time"
)

// A setting is one thing that a mapping file may say: what it means, how it is
// checked, and an example that a test runs. The reference in docs/mapping.md is
// made from the settings, so that what a person reads is what the program does.
type setting struct {
	key    string // as it stands in the file
	wants  string // what stands there, in a few words
	absent string // what holds without it; "" when it must be given
	doc    string // what it means
	shown  example

	// check says what is wrong with the setting, and makes it ready for use;
	// nil when the kind of value that YAML asks for says it all.
	check func(k *checking)
}

// An example is a mapping, a file and the records that come of it.
type example struct {
	mapping string // below the lines "mapping" and "standard"
	file    string
	gives   string // a record a line, or "row N: place: what is wrong"
}

// A checking is one run over the settings of a mapping, or of one of its
// columns or coordinates.
type checking struct {
	c     *compiled
	col   *column // nil above the columns
	xy    *coordinates
	at    string // the key of what is being checked, such as columns.3
	key   string // the setting being checked
	fault func(key, format string, args ...any)
}

// bad reports a fault of the setting being checked.
func (k *checking) bad(format string, args ...any) { k.under(k.key, format, args...) }

// under reports a fault of another setting beside it.
func (k *checking) under(key, format string, args ...any) {
	switch {
	case k.at == "":
		k.fault(key, format, args...)
	case key == "":
		k.fault(k.at, format, args...)
	default:
		k.fault(k.at+"."+key, format, args...)
	}
}

// run checks every setting of a table.
func (k *checking) run(table []setting) {
	for i := range table {
		if k.key = table[i].key; table[i].check != nil {
			table[i].check(k)
		}
	}
}

// oneOf wants a text to be one of a list.
func (k *checking) oneOf(got string, want ...string) {
	for _, w := range want {
		if got == w {
			return
		}
	}
	k.bad("want %s", listed(want))
}

// listed is "a, b or c", without what is blank.
func listed(words []string) string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	if len(out) == 1 {
		return out[0]
	}
	return strings.Join(out[:len(out)-1], ", ") + " or " + out[len(out)-1]
}

const exampleHead = "mapping: 1\nstandard: standards.example/site@1\n"

const referenceHead = `# Mapping files

A mapping file says what the columns of a CSV file, or of a sheet, mean: where each goes in the record, how numbers and dates
are written, and what stands for nothing. It is YAML, written once for each source and kept beside it. Nothing is guessed when a file is read:
what the mapping does not declare is refused, with the row, the heading and the rule.

    stile check register.csv --standard brownfield-site --draft-mapping register.yaml    # a draft to begin with
    stile check register.csv --mapping register.yaml                                     # what would be refused
    stile import register.csv --mapping register.yaml

This page is made from the program itself, and a test compares the two; every example is run by a test. In the examples the lines

    mapping: 1
    standard: standards.example/site@1

stand at the top. Headings, and the cells under ` + "`values`, `words` and `blank`" + `, are compared with the white space around them taken off, every run of
white space inside made one space, and letters in lower case.

A cell goes through these steps, in this order: ` + "`guarded`, `strip` and the spaces around it, `blank`, `fill_down`, `also`, `split`, `values`, `replace`, `pattern`, `letters`, `words`, `type`" + `.
`

// Reference returns docs/mapping.md: every setting of a mapping, what it means
// and an example, made from the settings themselves.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceHead)
	section := func(title, lead string, table []setting) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, lead)
		for _, s := range table {
			s.print(&b)
		}
	}
	section("The file", "These stand at the left.", fileSettings)
	section("A column", "Each entry of `columns` says where the cells of one column go.", columnSettings)
	section("Coordinates", fmt.Sprintf("Each entry of `coordinates` takes the two numbers of a place. What has to be converted between the national grid (OSGB36) and longitude and latitude (WGS84) "+
		"is converted by the seven-parameter transformation that Ordnance Survey publishes, without its grid of shifts: the place is within %d metres on land.", GridAccuracy), coordinateSettings)
	b.WriteString("\n## How dates are written\n\nA format of `formats` is made of these, and of `T`, spaces and marks that stand for themselves:\n\n| part | is |\n|---|---|\n")
	for _, t := range dateTokens {
		fmt.Fprintf(&b, "| `%s` | %s |\n", t.text, t.says)
	}
	b.WriteString("\n## Patterns\n\nTwo numbers in one cell, by the name that `pattern` gives them:\n\n| pattern | parts | example |\n|---|---|---|\n")
	for _, p := range patterns {
		fmt.Fprintf(&b, "| `%s` | `%s`, `%s` | `%s` |\n", p.name, p.parts[0], p.parts[1], p.shows)
	}
	fmt.Fprintf(&b, "\n## Limits\n\nA mapping file has at most %d kB, %d columns, %d coordinates, %d constants, %d headings under `also` in all, and %d texts in one list. "+
		"What one row makes is held to the limits of a record while it is made: a mapping that copies a cell over and over ends in a refused row that says so.\n",
		maxMapping>>10, maxColumns, maxCoordinates, maxConstants, maxAlso, maxListed)
	return []byte(b.String())
}

func (s *setting) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\nWants %s. ", s.key, s.doc, s.wants)
	if s.absent == "" {
		b.WriteString("Must be given.\n")
	} else {
		fmt.Fprintf(b, "When absent: %s.\n", s.absent)
	}
	fence := func(kind, text string) {
		fmt.Fprintf(b, "\n```%s\n%s\n```\n", kind, strings.TrimRight(text, "\n"))
	}
	fence("yaml", s.shown.mapping)
	fence("", s.shown.file)
	b.WriteString("\ngives\n")
	fence("", s.shown.gives)
}

// zoneNamed returns a time zone by its name in the IANA list.
func zoneNamed(s string) (*time.Location, bool) {
	zone, err := time.LoadLocation(s)
	return zone, err == nil && s != "Local"
}
