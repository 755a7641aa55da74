package intake

import (
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/node/name"
)

const (
	maxConstants = 2000 // places under constants
	maxListed    = 2000 // texts in one list of a mapping
)

// abc is the file of most examples.
const abc = "Ref,Name\nA1,Old mill\n"

// fileSettings are those at the left of a mapping file, in the order a person
// writes them.
var fileSettings = []setting{
	{key: "mapping", wants: "the number 1", doc: "The version of the format of mapping files.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\n  - {to: /name, from: Name}", abc, `{"name":"Old mill","reference":"A1"}`},
		check: func(k *checking) {
			switch v := k.c.m.Version; {
			case v == 0:
				k.bad("must be given: this Stile writes version %d", MappingVersion)
			case v != MappingVersion:
				k.bad("the file is of version %d and this Stile reads %d", v, MappingVersion)
			}
		}},
	{key: "standard", wants: "a standard and its major version", doc: "The standard that the records are in.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\nignore: [Name]", abc, `{"reference":"A1"}`},
		check: func(k *checking) {
			if k.c.m.Standard == (name.StandardLine{}) {
				k.bad("must be given: the standard the rows are mapped to, such as standards.example/housing-need@1")
			}
		}},
	{key: "encoding", wants: "utf-8, windows-1252, utf-16, utf-16le or utf-16be", absent: "utf-8",
		doc:   "How the file spells letters as bytes. Spreadsheets on Windows write windows-1252 unless they are told otherwise, and utf-16 for \"Unicode text\". Sheets (XLSX, ODS) have no encoding.",
		shown: example{"encoding: utf-8\ncolumns:\n  - {to: /name, from: Name}\nignore: [Ref]", "Ref,Name\nA1,Café\n", `{"name":"Café"}`},
		check: func(k *checking) {
			k.oneOf(k.c.m.Encoding, "", string(encUTF8), string(enc1252), string(encUTF16), string(encUTF16LE), string(encUTF16BE))
		}},
	{key: "delimiter", wants: `"," ";" "|" or "\t"`, absent: "a comma",
		doc:   "What stands between the cells of a CSV file.",
		shown: example{"delimiter: \";\"\ncolumns:\n  - {to: /name, from: Name}\nignore: [Ref]", "Ref;Name\nA1;Mill, old\n", `{"name":"Mill, old"}`},
		check: func(k *checking) {
			if !slices.Contains([]string{"", ",", ";", "\t", "|"}, k.c.m.Delimiter) {
				k.bad(`want one of "," ";" "|" or "\t"`)
			}
		}},
	{key: "sheet", wants: "a sheet's name, or its place from 1", absent: "the only sheet that is shown and holds anything",
		doc:   "Which sheet of a workbook (XLSX, ODS) is read. `--sheet` on the command line goes before it; a CSV file has none.",
		shown: example{"sheet: Register\ncolumns:\n  - {to: /name, from: Name}\nignore: [Ref]", abc, `{"name":"Old mill"}`}},
	{key: "header_row", wants: fmt.Sprintf("a row from 1 to %d, or 0", maxTitleRows), absent: "1",
		doc:   "The row with the headings; what stands above it is passed over. 0 says that the file has no headings: columns are named by `position`.",
		shown: example{"header_row: 2\ncolumns:\n  - {to: /name, from: Name}\nignore: [Ref]", "Register of sites,\nRef,Name\nA1,Old mill\n", `{"name":"Old mill"}`},
		check: func(k *checking) {
			if h := k.c.m.HeaderRow; h != nil && (*h < 0 || *h > maxTitleRows) {
				k.bad("want 0 to %d", maxTitleRows)
			}
		}},
	{key: "header_find", wants: "a list of headings", absent: "`header_row` holds",
		doc:   "Instead of `header_row`: the headings stand in the first row that has all of these, for sources whose title rows come and go.",
		shown: example{"header_find: [Ref, Name]\ncolumns:\n  - {to: /name, from: Name}\nignore: [Ref]", "Printed on Monday,\n,\nRef,Name\nA1,Old mill\n", `{"name":"Old mill"}`},
		check: func(k *checking) {
			if k.c.m.HeaderRow != nil && len(k.c.m.HeaderFind) > 0 {
				k.bad("header_row is given as well: want one of the two")
			}
			k.short(k.c.m.HeaderFind)
		}},
	{key: "reference", wants: "a heading", absent: "the standard's key",
		doc:   "What the sender knows a row by, for reports. It need not be mapped. Where it is mapped to a place that is about a person, reports name rows by number alone.",
		shown: example{"reference: Ref\ncolumns:\n  - {to: /count, from: Name, type: integer}\nignore: [Ref]", abc, "row 2 (A1): /count: not a whole number"}},
	{key: "decimal", wants: `"." or ","`, absent: `"."`,
		doc:   "What stands before the decimals of every number of the file.",
		shown: example{"delimiter: \";\"\ndecimal: \",\"\ncolumns:\n  - {to: /area, from: Area, type: number}", "Area\n2,50\n2.50\n", "{\"area\":2.50}\nrow 3: /area: not a number"},
		check: func(k *checking) {
			if !slices.Contains([]string{"", ".", ","}, k.c.m.Decimal) {
				k.bad(`want "." or ","`)
			}
		}},
	{key: "thousands", wants: `"." or "," or " " or "'"`, absent: "there is none, and 1,234 is refused",
		doc: "What may stand between the thousands of a number. A number with such marks must have them at every third digit.",
		shown: example{"thousands: \",\"\ncolumns:\n  - {to: /amount, from: Amount, type: number}", "Amount\n\"1,234.50\"\n\"1.234,50\"\n",
			"{\"amount\":1234.50}\nrow 3: /amount: not a number"},
		check: func(k *checking) {
			if m := k.c.m; !slices.Contains([]string{"", ".", ",", " ", "'"}, m.Thousands) || (m.Thousands != "" && m.Thousands == m.decimal()) {
				k.bad(`want "." or "," or " " or "'", and not the decimal mark`)
			}
		}},
	{key: "currency", wants: "£, €, $, GBP, EUR or USD, or a list of them", absent: "£; [] for none",
		doc: "Signs and codes that may stand before or behind a number and are taken off. All amounts of one file are then in one currency, or the record says elsewhere which. " +
			"However it is set, numbers are read as finance systems write them: brackets round a number, or a minus behind it, make it negative.",
		shown: example{"thousands: \",\"\ncurrency: [£, GBP]\ncolumns:\n  - {to: /amount, from: Amount, type: number}", "Amount\n\"£1,234.50\"\n(250.00)\n250.00-\nGBP 12\n€12\n",
			"{\"amount\":1234.50}\n{\"amount\":-250.00}\n{\"amount\":-250.00}\n{\"amount\":12}\nrow 6: /amount: not a number"},
		check: func(k *checking) {
			for _, c := range k.c.m.Currency {
				k.oneOf(c, currencies...)
			}
		}},
	{key: "blank", wants: "a list of cells", absent: "only blank cells mean nothing",
		doc:   "Cells that mean nothing, in every column.",
		shown: example{"blank: [N/A, \"-\"]\ncolumns:\n  - {to: /reference, from: Ref}\n  - {to: /name, from: Name}", "Ref,Name\nA1,n/a\nA2,-\n", "{\"reference\":\"A1\"}\n{\"reference\":\"A2\"}"},
		check: func(k *checking) { k.short(k.c.m.Blank) }},
	{key: "guarded", wants: "true or false", absent: "false",
		doc: "The cells are as `stile export records` writes them: a `'` at the start of a text is taken off and what is left is the text as it stands, be it blank; `null` is null; " +
			"a cell that begins with `[` in a column that is split is a JSON array. The guard keeps spreadsheets from taking a text that begins with = + - @ for a formula.",
		shown: example{"guarded: true\ncolumns:\n  - {to: /reference, from: Ref}\n  - {to: /name, from: Name}", "Ref,Name\nA1,'=1+1\nA2,null\nA3,'\n",
			"{\"name\":\"=1+1\",\"reference\":\"A1\"}\n{\"name\":null,\"reference\":\"A2\"}\n{\"name\":\"\",\"reference\":\"A3\"}"}},
	{key: "short_rows", wants: "true or false", absent: "false",
		doc:   "Rows may leave off blank cells at their end. Otherwise a row with too few cells is refused.",
		shown: example{"short_rows: true\ncolumns:\n  - {to: /reference, from: Ref}\n  - {to: /name, from: Name}", "Ref,Name\nA1\n", `{"reference":"A1"}`}},
	{key: "columns", wants: "a list, see below", absent: "`coordinates` must be given",
		doc:   "Where each column goes.",
		shown: example{"columns:\n  - {to: /site/reference, from: Ref}\n  - {to: /site/name, from: Name}", abc, `{"site":{"name":"Old mill","reference":"A1"}}`},
		check: func(k *checking) {
			switch {
			case len(k.c.m.Columns) == 0 && len(k.c.m.Coordinates) == 0:
				k.bad("must be given: where each column goes")
			case len(k.c.m.Columns) > maxColumns:
				k.bad("more than %d", maxColumns)
			}
		}},
	{key: "coordinates", wants: "a list, see below", absent: "there are none",
		doc: "Where the two numbers of a place go, converted if need be.",
		shown: example{"coordinates:\n  - {x: GeoX, y: GeoY, are: osgb36, longitude: /longitude, latitude: /latitude, decimals: 4}", "GeoX,GeoY\n429939,433828\n",
			`{"latitude":53.7999,"longitude":-1.5469}`},
		check: func(k *checking) {
			if len(k.c.m.Coordinates) > maxCoordinates {
				k.bad("more than %d", maxCoordinates)
			}
		}},
	{key: "constants", wants: "places, each with text, a number, true, false or null", absent: "there are none",
		doc:   "What stands in every record, whatever the row says.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\nconstants: {/organisation: local-authority:NBR, /live: true}\nignore: [Name]", abc, `{"live":true,"organisation":"local-authority:NBR","reference":"A1"}`},
		check: func(k *checking) {
			if len(k.c.m.Constants) > maxConstants {
				k.bad("more than %d", maxConstants)
			}
		}},
	{key: "ignore", wants: "a list of headings; \"\" for columns without one", absent: "a heading that nothing names is left out with a note",
		doc:   "Headings that are left out on purpose.",
		shown: example{"columns:\n  - {to: /name, from: Name}\nignore: [Ref]", abc, `{"name":"Old mill"}`},
		check: func(k *checking) { k.short(k.c.m.Ignore) }},
}

// short holds a list of texts to its limit.
func (k *checking) short(list []string) {
	if len(list) > maxListed {
		k.bad("more than %d", maxListed)
	}
}
