package registers

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// between stands between the values of a list in a cell of a CSV file.
const between = "; "

// Metadata returns what describes the CSV file: one table of W3C CSV on the Web
// (https://www.w3.org/TR/2015/REC-tabular-metadata-20151217/), called and placed so that who
// has the file finds it (Model for Tabular Data, section 5.3). It tells of the file as it
// stands: of what kind all cells of a column are, and by which columns its rows are told
// apart, where they are. It has no foreign keys: a record may name one that is not listed
// here, and then a file with them would be invalid.
func (t *Table) Metadata(l Licence) []byte {
	var columns []any
	heads := t.heads()
	first := len(heads) - len(t.Columns)
	for i, h := range heads {
		c := map[string]any{"name": h, "titles": h, "datatype": "string"}
		if i < first { // council and record, which each row has
			c["required"] = true
		} else {
			t.describe(i-first, c)
		}
		columns = append(columns, c)
	}
	schema := map[string]any{"columns": columns}
	if key := t.key(); key != nil {
		schema["primaryKey"] = key
	}
	described := map[string]any{
		"@context": []any{"http://www.w3.org/ns/csvw", map[string]string{"@language": "en"}}, "@type": "Table", "url": t.ID + ".csv",
		"dc:title": t.Title, "dc:description": t.Lead, "dc:publisher": string(t.Us), "dc:modified": map[string]string{"@value": t.Made.Format(time.RFC3339), "@type": "xsd:dateTime"},
		"dialect": map[string]any{"encoding": "utf-8", "delimiter": ",", "quoteChar": `"`, "doubleQuote": true, "header": true, "lineTerminators": "\n", "trim": false},
		"null":    "", "tableSchema": schema,
	}
	if words := t.Subject().Keywords; words != nil {
		described["dcat:keyword"] = words
	}
	if l.Address != "" {
		described["dc:license"] = map[string]string{"@id": l.Address}
	}
	return indented(described)
}

// heads are the headings of the table in files, which are the names of its columns, too:
// letters, digits and _.
func (t *Table) heads() []string {
	var heads []string
	if t.Standard != "" {
		heads = append(heads, "council", "record")
	}
	for _, c := range t.Columns {
		heads = append(heads, strings.ToLower(strings.NewReplacer(" ", "_", "%", "_percent").Replace(c.Title)))
	}
	return heads
}

// key are the headings of columns that together differ in each row; nil where those that are
// to do so do not.
func (t *Table) key() (key []string) {
	heads := t.heads()
	first := len(heads) - len(t.Columns)
	key = slices.Clone(heads[:first])
	for _, title := range t.Key {
		key = append(key, heads[first+t.at(title)])
	}
	seen := map[string]bool{}
	for _, r := range t.Rows {
		parts := []string{string(r.Council), string(r.Record)}
		if first == 0 {
			parts = nil
		}
		for _, title := range t.Key {
			parts = append(parts, strings.Join(r.Cells[t.at(title)], between))
		}
		row := strings.Join(parts, "\x00")
		if seen[row] {
			return nil
		}
		seen[row] = true
	}
	if len(key) == 0 {
		return nil
	}
	return key
}

// whole reports whether a text is a whole number, as it is written: 017 is a reference.
func whole(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && strconv.Itoa(n) == text
}

// describe says of a column what its cells are in the file as it stands: the kind of value
// that all of them have, where they are lists, and the field that they come from. Where a
// value itself has what stands between others in it, the cells are told as texts and not as
// lists, which nobody could take apart.
func (t *Table) describe(column int, c map[string]any) {
	date, number, yes, filled, list, apart := true, true, true, false, false, true
	for _, r := range t.Rows {
		list = list || len(r.Cells[column]) > 1
		for _, v := range r.Cells[column] {
			_, err := time.Parse(time.DateOnly, v)
			date = date && err == nil
			number = number && whole(v)
			yes = yes && (v == "yes" || v == "no")
			apart = apart && v != "" && !strings.Contains(v, between)
			filled = true
		}
	}
	if list && apart {
		c["separator"] = between
	}
	switch {
	case !filled || list && !apart:
	case date:
		c["datatype"] = "date"
	case number:
		c["datatype"] = "integer"
	case yes:
		c["datatype"] = map[string]string{"base": "boolean", "format": "yes|no"}
	}
	if t.Standard != "" && t.Columns[column].Pointer != "" {
		c["propertyUrl"] = "https://" + t.Std.String() + "#" + t.Columns[column].Pointer
	}
}
