package registers

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A csvwCheck holds a metadata document, and the files that it describes, against the rules of
// W3C CSV on the Web: Metadata Vocabulary for Tabular Data (V) and Model for Tabular Data (M),
// both of 17 December 2015. What it does not know it calls a fault, so that nothing of ours
// goes unlooked at. TestCSVWCheck holds it against the W3C's own tests.
type csvwCheck struct {
	read   func(url string) ([]byte, error)
	faults []string
}

func (c *csvwCheck) fault(place, format string, args ...any) {
	c.faults = append(c.faults, place+": "+fmt.Sprintf(format, args...))
}

// csvwFaults returns what is wrong, each by a pointer into the document or a row of a file.
func csvwFaults(document []byte, read func(url string) ([]byte, error)) []string {
	c := &csvwCheck{read: read}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || d.More() {
		return []string{"/: no JSON object"} // V section 4
	}
	c.context(m["@context"])
	inherited := map[string]any{"null": "", "datatype": "string"}
	if tables, group := m["tables"]; group { // V section 5.3
		own := c.tableProperties("")
		delete(own, "url")
		own["tables"] = func(string, any) {}
		c.object("", m, "TableGroup", own, true)
		list, _ := tables.([]any)
		if len(list) == 0 {
			c.fault("/tables", "has to be a list that is not empty")
		}
		for i, t := range list {
			c.table("/tables/"+strconv.Itoa(i), t, inherit(inherited, m))
		}
	} else {
		c.table("", m, inherited)
	}
	return c.faults
}

// context checks V section 5.2.
func (c *csvwCheck) context(v any) {
	const address = "http://www.w3.org/ns/csvw"
	if v == address {
		return
	}
	list, _ := v.([]any)
	if len(list) != 2 || list[0] != address {
		c.fault("/@context", "has to be %s, or that and an object", address)
		return
	}
	m, _ := list[1].(map[string]any)
	if len(m) == 0 {
		c.fault("/@context/1", "has to be an object with @base or @language")
	}
	for key, v := range m {
		switch text, _ := v.(string); {
		case key == "@language" && language.MatchString(text), key == "@base" && text != "":
		default:
			c.fault("/@context/1/"+key, "is not allowed so")
		}
	}
}

var (
	language = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)                                 // BCP 47, roughly
	variable = regexp.MustCompile(`^([A-Za-z0-9]|%[0-9A-Fa-f]{2})(\.?([A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*$`) // V section 5.6: RFC 6570 varname, not with _ first
	prefixed = regexp.MustCompile(`^([a-z]+):[^/\s]\S*$`)
	absolute = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://\S+$`)
)

// Prefixes and terms of the context http://www.w3.org/ns/csvw that common properties use.
var (
	csvwPrefixes = strings.Fields("cc csvw ctag dc dcat dcterms foaf gr grddl ical ma oa og org owl prov qb rdf rdfa rdfs rev rif rr schema sd sioc skos skosxl v vcard void wdr wrds xhv xml xsd")
	csvwTerms    = strings.Fields("TableGroup Table Schema Column Dialect Direction Transformation Row Cell Datatype ForeignKey NumericFormat TableReference UriTemplate boolean date dateTime integer number string anyURI")
)

// object checks the names of an object's properties, and each by its own function; V sections
// 5.1, 5.7 and 5.8. Inherited properties may stand there where inherits is set.
func (c *csvwCheck) object(at string, m map[string]any, kind string, own map[string]func(at string, v any), inherits bool) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v, place := m[key], at+"/"+key
		text, isText := v.(string)
		switch {
		case key == "@context" && at == "":
		case key == "@id":
			if !isText || strings.HasPrefix(text, "_:") {
				c.fault(place, "has to be an address")
			}
		case key == "@type":
			if v != any(kind) {
				c.fault(place, "has to be %s", kind)
			}
		case own[key] != nil:
			own[key](place, v)
		case inherits && key == "datatype":
			c.is(place, c.datatype(place, v))
		case inherits && inheritedProperties[key] != nil:
			if !inheritedProperties[key](c, place, v) {
				c.fault(place, "has no allowed value")
			}
		case absolute.MatchString(key), prefixed.MatchString(key) && slices.Contains(csvwPrefixes, key[:strings.IndexByte(key, ':')]):
			c.common(place, v)
		default:
			c.fault(place, "is not defined")
		}
	}
}

// common checks the value of a common property; V section 5.8.2.
func (c *csvwCheck) common(at string, v any) {
	if list, ok := v.([]any); ok {
		for i, item := range list {
			c.common(at+"/"+strconv.Itoa(i), item)
		}
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	value, literal := m["@value"]
	if _, nested := value.(map[string]any); nested || literal && len(m) > 2 {
		c.fault(at+"/@value", "stands with one other property at most, and is a plain value")
	}
	for key, v := range m {
		place := at + "/" + key
		text, isText := v.(string)
		switch {
		case key == "@value":
		case key == "@language":
			if !literal || v != nil && !language.MatchString(text) {
				c.fault(place, "belongs to a @value, and is a language")
			}
		case key == "@id":
			if !isText || strings.HasPrefix(text, "_:") {
				c.fault(place, "has to be an address")
			}
		case key == "@type":
			before, _, _ := strings.Cut(text, ":")
			if !slices.Contains(csvwTerms, text) && !absolute.MatchString(text) && !(prefixed.MatchString(text) && slices.Contains(csvwPrefixes, before)) {
				c.fault(place, "has to be a term, a prefixed name or an address")
			}
		case strings.HasPrefix(key, "@"):
			c.fault(place, "is not allowed here")
		case literal:
			c.fault(place, "stands beside a @value")
		default:
			c.common(place, v)
		}
	}
}

// inheritedProperties are those of V section 5.7 but for datatype, each with whether a value is
// allowed.
var inheritedProperties = map[string]func(c *csvwCheck, at string, v any) bool{
	"aboutUrl": isText, "propertyUrl": isText, "valueUrl": isText, "default": isText, "ordered": isBool, "required": isBool,
	"lang":      func(_ *csvwCheck, _ string, v any) bool { s, _ := v.(string); return language.MatchString(s) },
	"separator": func(_ *csvwCheck, _ string, v any) bool { s, ok := v.(string); return v == nil || ok && s != "" },
	"textDirection": func(_ *csvwCheck, _ string, v any) bool {
		s, _ := v.(string)
		return slices.Contains(strings.Fields("ltr rtl auto inherit"), s)
	},
	"null": func(_ *csvwCheck, _ string, v any) bool {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		return !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok })
	},
}

func isText(_ *csvwCheck, _ string, v any) bool { _, ok := v.(string); return ok }
func isBool(_ *csvwCheck, _ string, v any) bool { _, ok := v.(bool); return ok }

// parses are the datatypes that are looked at here, with whether a text is one; M section 6.4.
var parses = map[string]func(text, format string) bool{
	"string":  func(string, string) bool { return true },
	"number":  func(text, _ string) bool { _, err := strconv.ParseFloat(text, 64); return err == nil },
	"integer": func(text, _ string) bool { return regexp.MustCompile(`^[+-]?[0-9]+$`).MatchString(text) },
	"boolean": func(text, format string) bool {
		if format == "" {
			return slices.Contains([]string{"true", "1", "false", "0"}, text)
		}
		yes, no, _ := strings.Cut(format, "|")
		return text == yes || text == no
	},
	"date": func(text, format string) bool { _, err := time.Parse(dateFormats[format], text); return err == nil },
}

var dateFormats = map[string]string{"": "2006-01-02", "yyyy-MM-dd": "2006-01-02", "M/d/yyyy": "1/2/2006"}

// typeOf returns the base and the format of a datatype; V section 5.11.
func typeOf(v any) (base, format string) {
	if m, ok := v.(map[string]any); ok {
		base, format = "string", ""
		if b, ok := m["base"].(string); ok {
			base = b
		}
		format, _ = m["format"].(string)
		return base, format
	}
	base, _ = v.(string)
	return base, ""
}

// datatype checks V section 5.11.
func (c *csvwCheck) datatype(at string, v any) bool {
	base, format := typeOf(v)
	if parses[base] == nil {
		return false
	}
	m, ok := v.(map[string]any)
	if !ok {
		return true
	}
	c.object(at, m, "Datatype", map[string]func(string, any){
		"base": func(string, any) {},
		"format": func(at string, v any) {
			_, known := dateFormats[format]
			if _, ok := v.(string); !ok || base == "boolean" && !regexp.MustCompile(`^[^|]+\|[^|]+$`).MatchString(format) || base == "date" && !known || base != "boolean" && base != "date" {
				c.fault(at, "is no format of %s that is looked at", base)
			}
		},
	}, false)
	if id, _ := m["@id"].(string); strings.HasPrefix(id, "http://www.w3.org/2001/XMLSchema#") {
		c.fault(at+"/@id", "is a built-in datatype")
	}
	return true
}

// tableProperties are those of V section 5.4, but for the schema.
func (c *csvwCheck) tableProperties(at string) map[string]func(string, any) {
	return map[string]func(string, any){
		"url":         func(at string, v any) { c.is(at, isText(c, at, v)) },
		"dialect":     c.dialect,
		"tableSchema": func(string, any) {},
		"tableDirection": func(at string, v any) {
			s, _ := v.(string)
			c.is(at, slices.Contains([]string{"rtl", "ltr", "auto"}, s))
		},
		"suppressOutput": func(at string, v any) { c.is(at, isBool(c, at, v)) },
	}
}

func (c *csvwCheck) is(at string, ok bool) {
	if !ok {
		c.fault(at, "has no allowed value")
	}
}

// dialect checks V section 5.9.
func (c *csvwCheck) dialect(at string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fault(at, "has to be an object")
		return
	}
	text := func(at string, v any) { c.is(at, isText(c, at, v)) }
	orNull := func(at string, v any) { c.is(at, v == nil || isText(c, at, v)) }
	yes := func(at string, v any) { c.is(at, isBool(c, at, v)) }
	count := func(at string, v any) {
		n, ok := v.(json.Number)
		i, err := n.Int64()
		c.is(at, ok && err == nil && i >= 0)
	}
	c.object(at, m, "Dialect", map[string]func(string, any){
		"commentPrefix": orNull, "delimiter": text, "doubleQuote": yes, "header": yes, "headerRowCount": count, "quoteChar": orNull,
		"skipBlankRows": yes, "skipColumns": count, "skipInitialSpace": yes, "skipRows": count,
		"encoding": func(at string, v any) {
			s, _ := v.(string)
			c.is(at, slices.Contains([]string{"utf-8", "us-ascii", "iso-8859-1"}, strings.ToLower(s)))
		},
		"lineTerminators": func(at string, v any) {
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			c.is(at, !slices.ContainsFunc(list, func(v any) bool { return !isText(c, at, v) }))
		},
		"trim": func(at string, v any) {
			s, _ := v.(string)
			c.is(at, isBool(c, at, v) || slices.Contains([]string{"true", "false", "start", "end"}, s))
		},
	}, false)
}

// inherit is what stands above, and what an object says itself; V section 5.7.
func inherit(above, m map[string]any) map[string]any {
	out := maps.Clone(above)
	for key, v := range m {
		if inheritedProperties[key] != nil || key == "datatype" {
			out[key] = v
		}
	}
	return out
}

// table checks V sections 5.4 and 5.5, and the file of the table.
func (c *csvwCheck) table(at string, v any, above map[string]any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fault(at, "has to be an object")
		return
	}
	c.object(at, m, "Table", c.tableProperties(at), true)
	url, _ := m["url"].(string)
	if url == "" {
		c.fault(at+"/url", "is missing")
	}
	at += "/tableSchema"
	schema, ok := m["tableSchema"].(map[string]any)
	if !ok {
		c.fault(at, "has to be an object here")
		return
	}
	above = inherit(inherit(above, m), schema)
	columns, _ := schema["columns"].([]any)
	names, virtual := map[string]int{}, false
	var effective []map[string]any
	for i, v := range columns {
		at := at + "/columns/" + strconv.Itoa(i)
		column, ok := v.(map[string]any)
		if !ok {
			c.fault(at, "has to be an object")
			continue
		}
		c.object(at, column, "Column", map[string]func(string, any){
			"name": func(at string, v any) {
				n, _ := v.(string)
				if _, twice := names[n]; twice || !variable.MatchString(n) {
					c.fault(at, "has to be a name that no other column has, of letters, digits, _ and %%")
				}
				names[n] = i
			},
			"titles":         func(at string, v any) { c.is(at, titles(v) != nil) },
			"virtual":        func(at string, v any) { c.is(at, isBool(c, at, v)) },
			"suppressOutput": func(at string, v any) { c.is(at, isBool(c, at, v)) },
		}, true)
		is := column["virtual"] == true
		if virtual && !is {
			c.fault(at+"/virtual", "columns of the file come first")
		}
		virtual = virtual || is
		if !is {
			effective = append(effective, inherit(above, column))
		}
	}
	var key []int
	c.object(at, schema, "Schema", map[string]func(string, any){
		"columns": func(at string, v any) { _, ok := v.([]any); c.is(at, ok) },
		"primaryKey": func(at string, v any) { // V section 5.1.4
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, v := range list {
				n, _ := v.(string)
				i, ok := names[n]
				if !ok {
					c.fault(at, "names no column")
				}
				key = append(key, i)
			}
		},
	}, true)
	if len(c.faults) == 0 {
		c.rows(url, columns, effective, key)
	}
}

// titles are the titles of a column; nil where they are not allowed; V section 5.1.6.
func titles(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil
			}
			all = append(all, s)
		}
		return all
	case map[string]any:
		var all []string
		for lang, item := range v {
			in := titles(item)
			if _, nested := item.(map[string]any); nested || in == nil || !language.MatchString(lang) {
				return nil
			}
			all = append(all, in...)
		}
		return all
	}
	return nil
}

// rows checks a file: its headings (M section 8, V section 5.5.1), its cells (M section 6.4)
// and its primary key (M section 4.5, V section 5.5).
func (c *csvwCheck) rows(url string, columns []any, effective []map[string]any, key []int) {
	b, err := c.read(url)
	if err != nil {
		c.fault(url, "%v", err)
		return
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) == 0 {
		c.fault(url, "no table: %v", err)
		return
	}
	if len(rows[0]) != len(effective) {
		c.fault(url+" row 1", "%d headings, and %d columns are described", len(rows[0]), len(effective))
		return
	}
	for i, heading := range rows[0] {
		column := columns[i].(map[string]any)
		if v, ok := column["titles"]; ok && !slices.Contains(titles(v), heading) {
			c.fault(url+" row 1", "heading %d is none of its titles", i+1)
		}
	}
	seen := map[string]int{}
	for n, row := range rows[1:] {
		place := fmt.Sprintf("%s row %d", url, n+2)
		for i, cell := range row {
			c.cell(fmt.Sprintf("%s, %s", place, rows[0][i]), cell, effective[i])
		}
		var parts []string
		for _, i := range key {
			parts = append(parts, row[i])
		}
		if before := seen[strings.Join(parts, "\x00")]; key != nil && before > 0 {
			c.fault(place, "has the primary key of row %d", before)
		}
		seen[strings.Join(parts, "\x00")] = n + 2
	}
}

// cell checks M section 6.4, steps 5 to 8.
func (c *csvwCheck) cell(at, cell string, column map[string]any) {
	nulls, ok := column["null"].([]any)
	if !ok {
		nulls = []any{column["null"]}
	}
	null := func(text string) bool { return slices.Contains(nulls, any(text)) }
	items := []string{cell}
	separator, _ := column["separator"].(string)
	if separator != "" {
		if items = nil; cell != "" {
			items = strings.Split(cell, separator)
		}
	}
	if column["required"] == true && (len(items) == 0 || separator == "" && null(cell)) {
		c.fault(at, "is required")
	}
	base, format := typeOf(column["datatype"])
	for _, item := range items {
		if !null(item) && !parses[base](item, format) {
			c.fault(at, "is no %s", base)
		}
	}
}

// TestCSVWCheck holds the check against tests of the W3C's suite, as many as concern what our
// metadata have: each that is to pass passes, and each that is to be refused, or ignored with a
// warning, is found at the place that it is about.
func TestCSVWCheck(t *testing.T) {
	const dir = "testdata/w3c-csvw"
	b, err := os.ReadFile(filepath.Join(dir, "tests.csv"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(tests) < 60 {
		t.Fatalf("%d tests, %v", len(tests), err)
	}
	for _, test := range tests[1:] {
		id, kind, place := test[0], test[1], test[2]
		document, err := os.ReadFile(filepath.Join(dir, id+"-metadata.json"))
		if err != nil {
			t.Fatal(err)
		}
		faults := csvwFaults(document, func(url string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, filepath.Base(url))) })
		if kind == "positive" {
			if len(faults) > 0 {
				t.Errorf("%s is to pass: %q", id, faults)
			}
		} else if !slices.ContainsFunc(faults, func(f string) bool { before, _, _ := strings.Cut(f, ": "); return strings.Contains(before, place) }) {
			t.Errorf("%s (%s) is to be found at %s: %q", id, kind, place, faults)
		}
	}
}

// TestCSVW: the metadata of each register, empty and filled with values of all kinds, and the
// files that they describe, keep the rules of CSV on the Web.
func TestCSVW(t *testing.T) {
	check := func(tab *Table) (document string) {
		t.Helper()
		tab.Counts = nil
		for _, g := range tab.Groups {
			tab.Counts = append(tab.Counts, tab.count(g))
		}
		files := tab.Files(Publication{Licence: Licence{Address: "https://l.example/1"}})
		document = string(files[tab.ID+".csv-metadata.json"])
		for _, f := range csvwFaults([]byte(document), func(url string) ([]byte, error) {
			if b := files[url]; b != nil {
				return b, nil
			}
			return nil, fmt.Errorf("there is no such file")
		}) {
			t.Errorf("%s: %s", tab.ID, f)
		}
		return document
	}
	kinds := [][]string{{"2027-01-31"}, {"-5"}, {"yes"}, {"=1+1"}, nil, {"a", "b"}, {"-1", "7"}, {"a; b", "c"}, {" two\nlines, \"quoted\" "}, {"017"}}
	for _, d := range All() {
		tab := &Table{Description: d, Us: "a.gov.uk", Made: time.Unix(0, 0)}
		if d.Standard != "" {
			tab.Std = name.Standard{Name: name.StandardName("standards.stile.example/" + d.Standard)}
		}
		check(tab)
		for i := range kinds {
			row := Row{Cells: make([][]string, len(d.Columns))}
			if d.Standard != "" {
				row.Council, row.Record = "a.gov.uk", name.Record(fmt.Sprint("r", i))
			}
			for j := range row.Cells {
				row.Cells[j] = kinds[(i+j)%len(kinds)]
			}
			tab.Rows = append(tab.Rows, row)
		}
		if document := check(tab); !strings.Contains(document, `"primaryKey"`) {
			t.Errorf("%s: rows that differ have no key", d.ID)
		}
		tab.Rows = append(tab.Rows, tab.Rows[0])
		if document := check(tab); strings.Contains(document, `"primaryKey"`) {
			t.Errorf("%s: rows that are alike have a key", d.ID)
		}
	}
	// A column of one kind is told as that.
	for i, want := range []string{`"datatype": "date"`, `"datatype": "integer"`, `"format": "yes|no"`, `"datatype": "string"`, `"datatype": "string"`, `"separator": "; "`, `"datatype": "integer"`, `"datatype": "string"`} {
		tab := &Table{Description: Description{ID: "one", Columns: []Column{{Title: "Of one kind"}}}, Rows: []Row{{Cells: [][]string{kinds[i]}}}}
		document := check(tab)
		if !strings.Contains(document, want) || strings.Contains(document, "separator") != (i == 5 || i == 6) {
			t.Errorf("%q: %s", kinds[i], document)
		}
	}
}
