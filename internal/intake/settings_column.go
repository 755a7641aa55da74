package intake

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const maxAlso = 200 // headings under also, in all columns together

// columnSettings are those of one entry of columns.
var columnSettings = []setting{
	{key: "to", wants: "a place in the record, as a JSON Pointer",
		doc: "Where the cell goes. Objects on the way are made. A part that is a number, counted from 0 without a gap, makes an array; its elements without a value are left out.",
		shown: example{"columns:\n  - {to: /site/name, from: Name}\n  - {to: /contacts/0/email, from: Mail 1}\n  - {to: /contacts/1/email, from: Mail 2}",
			"Name,Mail 1,Mail 2\nOld mill,,b@example.org\n", `{"contacts":[{"email":"b@example.org"}],"site":{"name":"Old mill"}}`},
		check: func(k *checking) {
			if text := k.c.root.add(k.col.To, &place{column: k.col}); text != "" {
				k.bad("%s", text)
			}
		}},
	{key: "from", wants: "a heading, or a list of those the column may have", absent: "`position` must be given",
		doc:   "The column, by its heading. Of a list, the first that the file has is taken.",
		shown: example{"columns:\n  - {to: /reference, from: [Reference, Ref]}\nignore: [Name]", abc, `{"reference":"A1"}`},
		check: func(k *checking) {
			if (len(k.col.From) == 0) == (k.col.Position == 0) {
				k.under("", "want from, the column's heading, or position, its place from 1")
			}
			if len(k.col.From) > 0 && k.c.headless() {
				k.bad("the file has no headings (header_row: 0): want position")
			}
			for _, h := range k.col.From {
				if fold(h) == "" {
					k.bad("a blank heading names no column: want position")
				}
			}
			if len(k.col.From) > maxListed {
				k.bad("more than %d", maxListed)
			}
		}},
	{key: "position", wants: fmt.Sprintf("a number from 1 to %d", maxColumns), absent: "`from` must be given",
		doc:   "The column by its place, for headings that are blank, wrong, or there twice.",
		shown: example{"columns:\n  - {to: /first, position: 1}\n  - {to: /second, position: 2}", "Name,Name\nOld mill,The mill\n", `{"first":"Old mill","second":"The mill"}`},
		check: func(k *checking) {
			if k.col.Position < 0 || k.col.Position > maxColumns {
				k.bad("want 1 to %d", maxColumns)
			}
		}},
	{key: "type", wants: "string, number, integer, boolean, date, date-time or json", absent: "string",
		doc: "What the cell holds. Numbers keep the digits they were written with; see `decimal`, `thousands` and `currency`. A boolean is true, false, yes, no, y or n. " +
			"A date is written to the record as 2024-04-03, a date-time as 2024-04-03T09:05:00+01:00. A cell of type json is JSON, read as strictly as a record is.",
		shown: example{"columns:\n  - {to: /area, from: Area, type: number}\n  - {to: /live, from: Live, type: boolean}\n  - {to: /more, from: More, type: json}", "Area,Live,More\n0.50,Yes,\"{\"\"a\"\": [1]}\"\n",
			`{"area":0.50,"live":true,"more":{"a":[1]}}`},
		check: func(k *checking) {
			if k.col.Type == "" {
				k.col.Type = typeString
			}
			k.oneOf(k.col.Type, typeString, typeNumber, typeInteger, typeBoolean, typeDate, typeDateTime, typeJSON)
			if !k.col.dated() && (len(k.col.Formats) > 0 || k.col.Zone != "" || k.col.Years != 0 || k.col.Epoch != "") {
				k.bad("formats, zone, years and epoch are for date and date-time")
			}
		}},
	{key: "years", wants: "the first of a hundred years, such as 1950", absent: "a format with `yy` is refused",
		doc:   "What two-digit years stand for.",
		shown: example{"columns:\n  - {to: /born, from: Born, type: date, formats: [dd/mm/yy], years: 1930}", "Born\n03/04/29\n03/04/30\n", "{\"born\":\"2029-04-03\"}\n{\"born\":\"1930-04-03\"}"},
		check: func(k *checking) {
			if k.col.Years != 0 && (k.col.Years < 1000 || k.col.Years > 2900) {
				k.bad("want the first of a hundred years, such as 1950")
			}
		}},
	{key: "epoch", wants: "a day as yyyy-mm-dd, or 1904", absent: "1899-12-30, as spreadsheets on Windows count",
		doc:   "The day from which the format `serial` counts. Old spreadsheets from a Mac count from 1904-01-01, some databases from 1970-01-01.",
		shown: example{"columns:\n  - {to: /added, from: Added, type: date, formats: [serial], epoch: 1904}", "Added\n43923\n", `{"added":"2024-04-03"}`},
		check: func(k *checking) {
			switch k.col.epoch = defaultEpoch; k.col.Epoch {
			case "":
			case "1904":
				k.col.epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
			default:
				day, err := time.Parse(time.DateOnly, k.col.Epoch)
				if err != nil || day.Year() < 1000 {
					k.bad("want a day such as 1970-01-01, or 1904")
					return
				}
				k.col.epoch = day
			}
			if k.col.Epoch != "" && !slices.Contains(k.col.Formats, "serial") {
				k.bad("is for the format serial")
			}
		}},
	{key: "formats", wants: "a list of at most 16 ways to write a date", absent: "yyyy-mm-dd, or yyyy-mm-ddTHH:MM:SSZ for a date-time",
		doc: "How dates are written in the file, tried in order. Two formats that read the same text as different dates are refused, so that no date is a guess. A date may have a time of day, if it is 00:00:00.",
		shown: example{"columns:\n  - {to: /added, from: Added, type: date, formats: [dd/mm/yyyy, d mon yyyy]}", "Added\n03/04/2024\n3 Apr 2024\n4-3-24\n",
			"{\"added\":\"2024-04-03\"}\n{\"added\":\"2024-04-03\"}\nrow 4: /added: not a date written as dd/mm/yyyy or d mon yyyy"},
		check: checkFormats},
	{key: "zone", wants: "a time zone such as Europe/London, or UTC", absent: "times must say theirs",
		doc:   "The time zone of times that do not say theirs. A time in the hour that a clock repeats, or leaves out, is refused.",
		shown: example{"columns:\n  - {to: /at, from: At, type: date-time, formats: [\"dd/mm/yyyy HH:MM\"], zone: Europe/London}", "At\n03/07/2024 09:05\n", `{"at":"2024-07-03T09:05:00+01:00"}`},
		check: func(k *checking) {
			k.col.zone = time.UTC
			if k.col.Zone != "" {
				zone, ok := zoneNamed(k.col.Zone)
				if !ok {
					k.bad("not known: want such as Europe/London or UTC")
					return
				}
				k.col.zone = zone
			} else if k.col.Type == typeDateTime && slices.ContainsFunc(k.col.formats, func(f *dateFormat) bool { return !f.zoned }) {
				k.bad("must be given for times that do not say theirs, such as Europe/London")
			}
		}},
	{key: "decimals", wants: "a number from 0 to 20", absent: "a number keeps all it was written with",
		doc:   "Rounds a number to at most this many decimals, half away from zero.",
		shown: example{"columns:\n  - {to: /area, from: Area, type: number, decimals: 2}", "Area\n0.425\n1.5\n", "{\"area\":0.43}\n{\"area\":1.5}"},
		check: func(k *checking) {
			if d := k.col.Decimals; d != nil && (k.col.Type != typeNumber || *d < 0 || *d > 20) {
				k.bad("want 0 to 20, for type number")
			}
		}},
	{key: "also", wants: "a list of headings, with `join`", absent: "one column fills the place",
		doc:   fmt.Sprintf("Further columns whose cells that are not blank are joined to the first, in the order given. At most %d in a mapping.", maxAlso),
		shown: example{"columns:\n  - {to: /notes, from: Note, also: [Further note], join: \"; \"}", "Note,Further note\nWet,Steep\n,Steep\n", "{\"notes\":\"Wet; Steep\"}\n{\"notes\":\"Steep\"}"},
		check: func(k *checking) {
			col := k.col
			if len(col.Also) > 0 && (col.Type != typeString || col.Split != "" || col.Join == "" || col.Optional || k.c.headless()) || len(col.Also) == 0 && col.Join != "" {
				k.bad("want join, the text to put between; the columns must have headings, be of type string, not split and not optional")
			}
			// One column joined to itself ten thousand times is a short file
			// that makes an endless record.
			if k.c.alsos += len(col.Also); k.c.alsos > maxAlso {
				k.bad("more than %d in the mapping", maxAlso)
				col.Also = nil
			}
		}},
	{key: "join", wants: "a text of at most 100 bytes", absent: "`also` may not be given",
		doc:   "What stands between the cells of `also`.",
		shown: example{"columns:\n  - {to: /address, from: Street, also: [Town], join: \", \"}", "Street,Town\n1 High Street,Northmoor\n", `{"address":"1 High Street, Northmoor"}`},
		check: func(k *checking) {
			if len(k.col.Join) > 100 {
				k.bad("longer than 100 bytes")
				k.col.Join = ""
			}
		}},
	{key: "split", wants: "a text", absent: "the cell is one value",
		doc:   "Parts a cell into a list, at each occurrence of this text. Blank parts are left out; each part is read by `values`, `words` and `type`.",
		shown: example{"columns:\n  - {to: /needs, from: Needs, split: \"|\"}", "Needs\nstep-free | ground floor\n", `{"needs":["step-free","ground floor"]}`}},
	{key: "escape", wants: "one character", absent: "there is none",
		doc:   "With `split`: this character says that the one behind it stands for itself.",
		shown: example{"columns:\n  - {to: /needs, from: Needs, split: \"|\", escape: \"\\\\\"}", "Needs\na\\|b|c\n", `{"needs":["a|b","c"]}`},
		check: func(k *checking) {
			if e := k.col.Escape; e != "" && (k.col.Split == "" || len(e) != 1 || strings.Contains(k.col.Split, e)) {
				k.bad("want one character, with split, and not one of its characters")
				k.col.Escape = ""
			}
		}},
	{key: "values", wants: "cells, each with text, a number, true, false or null", absent: "there are none",
		doc:   "What certain cells stand for. Other cells are read by the settings that follow.",
		shown: example{"columns:\n  - {to: /type, from: Type, values: {Full: full permission, Out: outline permission, none: null}}", "Type\nFULL\nother\nNone\n", "{\"type\":\"full permission\"}\n{\"type\":\"other\"}\n{\"type\":null}"},
		check: checkValues},
	{key: "words", wants: "a list of texts", absent: "there are none",
		doc:   "The words that the place may hold. A cell that is one of them but for letter case, spaces and marks becomes that word; any other is read as if this were absent.",
		shown: example{"columns:\n  - {to: /status, from: Status, words: [permissioned, not permissioned]}", "Status\nPermissioned\nNOT-PERMISSIONED\nlapsed\n", "{\"status\":\"permissioned\"}\n{\"status\":\"not permissioned\"}\n{\"status\":\"lapsed\"}"},
		check: func(k *checking) {
			k.col.words = make(map[string]string, len(k.col.Words))
			for _, w := range k.col.Words {
				if bare(w) == "" {
					continue // marks alone are like nothing but themselves
				}
				if old, twice := k.col.words[bare(w)]; twice && old != w {
					k.bad("%q and %q differ in letter case, spaces or marks alone", old, w)
				}
				k.col.words[bare(w)] = w
			}
			if len(k.col.Words) > 0 && k.col.Type != typeString {
				k.bad("is for columns of type string")
			}
			k.short(k.col.Words)
		}},
	{key: "replace", wants: "texts, each with the text that stands in its place", absent: "there are none",
		doc:   "Puts one text for another wherever it stands in a cell, once through: what was put is not looked at again.",
		shown: example{"columns:\n  - {to: /page, from: Page, replace: {/doc/: /id/}}", "Page\nhttps://example.org/doc/A1\n", `{"page":"https://example.org/id/A1"}`},
		check: func(k *checking) {
			if len(k.col.Replace) == 0 {
				return
			}
			var pairs []string
			for _, old := range sortedKeys(k.col.Replace) {
				if old == "" || len(k.col.Replace[old]) > 100 {
					k.bad("want texts that are not blank, each with at most 100 bytes to put there")
				}
				pairs = append(pairs, old, k.col.Replace[old])
			}
			if len(pairs) > 200 {
				k.bad("more than 100")
				return
			}
			k.col.replacer = strings.NewReplacer(pairs...)
		}},
	{key: "letters", wants: "upper or lower", absent: "letters stay as they are",
		doc:   "Writes all letters of a text in capitals, or in small letters.",
		shown: example{"columns:\n  - {to: /postcode, from: Postcode, letters: upper}", "Postcode\nnb2 2pp\n", `{"postcode":"NB2 2PP"}`},
		check: func(k *checking) { k.oneOf(k.col.Letters, "", "upper", "lower") }},
	{key: "pattern", wants: patternNames(), absent: "the cell is read whole",
		doc:   "The cell holds two numbers, written as the pattern says; `part` says which of them is meant. To convert a place as well, see Coordinates.",
		shown: example{"columns:\n  - {to: /longitude, from: Point, type: number, pattern: point, part: x}\n  - {to: /latitude, from: Point, type: number, pattern: point, part: y}", "Point\nPOINT(-1.5491 53.8008)\n", `{"latitude":53.8008,"longitude":-1.5491}`},
		check: func(k *checking) {
			if k.col.Pattern == "" {
				return
			}
			if k.col.pattern = patternNamed(k.col.Pattern); k.col.pattern == nil {
				k.bad("want %s", patternNames())
			}
		}},
	{key: "part", wants: "the name of one of the pattern's parts", absent: "`pattern` may not be given",
		doc:   "Which of the two numbers of `pattern` is meant.",
		shown: example{"columns:\n  - {to: /latitude, from: Place, type: number, pattern: named-degrees, part: latitude}", "Place\nLatitude: 53.8008 Longitude: -1.5491\n", `{"latitude":53.8008}`},
		check: func(k *checking) {
			switch p := k.col.pattern; {
			case p == nil && k.col.Part != "" && k.col.Pattern == "":
				k.bad("is for a column with a pattern")
			case p != nil && !slices.Contains(p.parts[:], k.col.Part):
				k.bad("want %s or %s, the parts of the pattern %s", p.parts[0], p.parts[1], p.name)
			}
		}},
	{key: "blank", wants: "a list of cells", absent: "the mapping's `blank` alone",
		doc:   "Cells of this column that mean nothing, beside those of the mapping.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\n  - {to: /deliverable, from: Deliverable, blank: [\"no\"]}", "Ref,Deliverable\nA1,No\nA2,yes\n", "{\"reference\":\"A1\"}\n{\"deliverable\":\"yes\",\"reference\":\"A2\"}"},
		check: func(k *checking) {
			k.col.blank = foldSet(k.col.Blank)
			for cell := range k.col.blank {
				if _, both := k.col.Values[cell]; both {
					k.bad("a cell stands under values as well: want one of the two")
				}
			}
			k.short(k.col.Blank)
		}},
	{key: "empty", wants: "omit, null or text", absent: "omit",
		doc:   "What a blank cell becomes: nothing, null, or the empty text.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\n  - {to: /decision, from: Decision, empty: \"null\"}", "Ref,Decision\nA1,\n", `{"decision":null,"reference":"A1"}`},
		check: func(k *checking) {
			k.oneOf(k.col.Empty, "", "omit", "null", "text")
			if k.col.Empty == "text" && k.col.Type != typeString {
				k.bad("text is for columns of type string")
			}
		}},
	{key: "required", wants: "true or false", absent: "false",
		doc:   "A blank cell is refused.",
		shown: example{"columns:\n  - {to: /reference, from: Ref, required: true}\n  - {to: /name, from: Name}", "Ref,Name\n,Old mill\n", "row 2: /reference: the cell is blank"}},
	{key: "optional", wants: "true or false", absent: "false",
		doc:   "The file may be without the column. Otherwise it is refused as a whole, since a heading that changed would lose its column in silence.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\n  - {to: /ward, from: Ward, optional: true}\nignore: [Name]", abc, `{"reference":"A1"}`},
		check: func(k *checking) {
			if k.col.Required && k.col.Optional {
				k.bad("the column is required as well: want one of the two")
			}
		}},
	{key: "fill_down", wants: "true or false", absent: "false",
		doc: "A blank cell has the value of the last cell above it that was not blank, as merged cells of a sheet come out. Where a row between them could not be taken apart the cell is refused: its value may have stood there.",
		shown: example{"columns:\n  - {to: /ward, from: Ward, fill_down: true}\n  - {to: /name, from: Name}", "Ward,Name\nHeath,Old mill\n,Tram depot\nMoor,Barn\n",
			"{\"name\":\"Old mill\",\"ward\":\"Heath\"}\n{\"name\":\"Tram depot\",\"ward\":\"Heath\"}\n{\"name\":\"Barn\",\"ward\":\"Moor\"}"}},
	{key: "identifier", wants: "true or false", absent: "true for the standard's key, for `reference`, and where a word of the heading or of the place is id, ref, reference, number, code, uprn, usrn, toid or urn",
		doc:   "The text tells one thing from another, so a cell in powers of ten (1.00023E+11) is refused: a spreadsheet has written it so, and different numbers look the same. In other texts such cells are noted.",
		shown: example{"columns:\n  - {to: /uprn, from: UPRN}\n  - {to: /notes, from: Notes, identifier: false}", "UPRN,Notes\n1.00023E+11,1.5E+03\n", "row 2: /uprn: the number is written in powers of ten, and its digits are lost"},
		check: func(k *checking) {
			if k.col.Identifier != nil && k.col.Type != typeString {
				k.bad("is for columns of type string; a number in powers of ten is refused in any case")
			}
		}},
	{key: "keep_spaces", wants: "true or false", absent: "false",
		doc:   "Keeps the white space around a cell, which is otherwise taken off.",
		shown: example{"columns:\n  - {to: /text, from: Text, keep_spaces: true}", "Text\n\" a \"\n", `{"text":" a "}`}},
	{key: "strip", wants: "characters", absent: "only white space is taken off",
		doc:   "Further characters that are taken off both ends of a cell.",
		shown: example{"columns:\n  - {to: /name, from: Name, strip: \"*\"}", "Name\n* Old mill *\n", `{"name":"Old mill"}`}},
}

func checkFormats(k *checking) {
	col := k.col
	if len(col.Formats) > 16 {
		k.bad("more than 16")
		col.Formats = nil
	}
	switch {
	case !col.dated():
		return
	case len(col.Formats) > 0:
	case col.Type == typeDate:
		col.Formats = []string{"yyyy-mm-dd"}
	default:
		col.Formats = []string{"yyyy-mm-ddTHH:MM:SSZ"}
	}
	for _, text := range col.Formats {
		f, err := parseDateFormat(text, col.Years, col.epoch)
		if err != nil {
			k.bad("%v", err)
			continue
		}
		for _, other := range col.formats {
			if s := clash(f, other) + clash(other, f); s != "" {
				k.bad("%q and %q read the same text as different dates: keep the one the file is in", other.text, f.text)
			}
		}
		col.formats = append(col.formats, f)
	}
}

// checkValues holds the values of a mapping that a program made to what is
// asked of those read from a file.
func checkValues(k *checking) {
	if len(k.col.Values) > maxListed {
		k.bad("more than %d", maxListed)
		return
	}
	folded := make(Values, len(k.col.Values))
	for cell, v := range k.col.Values {
		if !isScalar(v) {
			k.bad("want text, a number, true, false or null")
		}
		if _, twice := folded[fold(cell)]; twice {
			k.bad("the same cell stands there twice")
		}
		folded[fold(cell)] = v
	}
	k.col.Values = folded
}
