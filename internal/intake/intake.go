// Package intake turns the files people have, CSV, XLSX, ODS, NDJSON and JSON,
// into the records a standard asks for, one row at a time.
//
// A file that is not what its name says is recognised by its first bytes, and
// read as what it is or refused with a way on; see [Recognise].
//
// Nothing is guessed in silence. What a CSV file's columns mean, how it is
// encoded and how it writes dates and numbers stands in a [Mapping], a YAML
// file that a data officer writes once for each source. A row that cannot be
// read as declared becomes a [Row] with problems, in its place and with its
// number, and reading goes on with the next; so a caller can keep the good
// rows, or none, and lose nothing without knowing.
//
// Memory is bounded by the longest row, not by the file.
//
// # Where values may appear
//
// A problem names the row, the sender's own reference, the heading, the JSON
// Pointer and the rule, and has the offending cell in a field of its own,
// [Problem.Value], which is never marshalled. Only the importer's own report
// prints it, to the person who brought the file. The reference is a value, too:
// where it may be about a person, see [Reader.Nameable], a report tells the row
// by its number alone.
//
// # JSON
//
// Format [JSON] is one text: an array of records, one record alone, or a
// larger text with the array at [Options].At. Format [NDJSON] is one record to a
// line; blank lines are passed over. Every record is read by package
// strictjson. A UTF-8 byte order mark at the start of a file is passed over.
//
// # CSV
//
// RFC 4180, with a declared delimiter. Rows end with LF, CRLF or CR. A cell
// whose first character is a quotation mark runs to the closing one and may
// hold line ends, which are all read as LF; anything after the closing mark
// but a delimiter or the end of the row makes the row a problem. A quotation
// mark anywhere else in a cell stands for itself. When a quotation mark is
// never closed, or not within the limit of one row, that row is a problem and
// reading goes on with the line below it. Rows whose cells are all blank are
// passed over. A row with fewer cells than there are headings, or with more
// of which one is not blank, is a problem.
//
// # XLSX and ODS
//
// See package workbook for what a cell is. One sheet is read: the one that is
// named, or the only one that holds anything. Its rows go through a Mapping as
// those of CSV do, but that a cell that is a date or a number is read as one,
// however the mapping says that the file writes them.
package intake

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node/name"
)

// A Format is how a file holds its records.
type Format string

// The formats read today.
const (
	JSON   Format = "json"   // one text: an array, one record, or an array inside
	NDJSON Format = "ndjson" // one record to a line
	CSV    Format = "csv"    // rows, read through a Mapping
	XLSX   Format = "xlsx"   // a sheet, read through a Mapping
	ODS    Format = "ods"    // a sheet, read through a Mapping
)

// ParseFormat reads a format as users type it.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case JSON, NDJSON, CSV, XLSX, ODS:
		return f, nil
	}
	return "", fmt.Errorf("read format %q: want %s", s, formats)
}

const formats = "json, ndjson, csv, xlsx or ods"

// Tabular reports whether a format has columns, which a mapping must explain.
func (f Format) Tabular() bool { return f == CSV || f == XLSX || f == ODS }

// FormatOf returns the format that a file's name stands for, by its ending:
// .json and .geojson, .ndjson and .jsonl, .csv, .tsv, .tab and .txt, .xlsx, .xlsm,
// .xltx, .xls and .ods. The file itself may turn out to be something else.
func FormatOf(file string) (Format, bool) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".json", ".geojson":
		return JSON, true
	case ".ndjson", ".jsonl":
		return NDJSON, true
	case ".csv", ".tsv", ".tab", ".txt":
		return CSV, true
	case ".xlsx", ".xlsm", ".xltx", ".xltm", ".xls":
		return XLSX, true
	case ".ods", ".ots":
		return ODS, true
	}
	return "", false
}

// Options say how to read a file.
type Options struct {
	Format  Format     // what the file's name or a person says; the file's bytes have the last word
	Mapping *Mapping   // what the columns mean; CSV, XLSX and ODS need it and nothing else takes it
	Sheet   string     // of a workbook: a sheet by name, or by its place from 1; "" is what the mapping says
	At      name.Field // JSON only: the array of records inside the text; "" is the text itself
	// Translation makes records of a standard of what JSON and NDJSON hold in somebody else's
	// form; nil: they hold records of the standard. At is then the place of its list, where it
	// is "".
	Translation *translation.Translation
	Reference   []name.Field // what the sender knows a record by, for reports; the standard's key
	// Private says of a place of the record that its values may be about a person, and so are
	// no name for a row; nil: of none.
	Private func(name.Field) bool
	Limits  strictjson.Limits // of one record; Bytes is also the longest row of a CSV file
}

// A Problem says why a row could not be taken.
type Problem struct {
	Pointer string `json:"pointer"`          // RFC 6901, in the record; "" is the whole row
	Column  string `json:"column,omitempty"` // heading as it stands in the file, or the place in somebody else's form; "" when none is meant
	Rule    string `json:"rule"`             // one of the Rule constants, of strictjson's, or a JSON Schema keyword
	Detail  string `json:"detail"`           // what is wrong, without the value
	Fix     string `json:"fix,omitempty"`    // what to do about it

	// Value is the cell or the JSON value that is meant, cut short. It may be
	// personal data and is for the importer's own report alone.
	Value string `json:"-"`
}

// The rules of this package that a Problem or a FileError can name.
const (
	RuleEncoding  = "encoding"          // bytes that the declared encoding does not have
	RuleControl   = "control-character" // a control character other than tab and line end
	RuleSize      = "size"              // a row or record over the limit
	RuleQuotes    = "quotes"            // quotation marks that do not pair
	RuleColumns   = "columns"           // a row with more or fewer cells than headings
	RuleHeadings  = "headings"          // headings that are missing, or twice there
	RuleRequired  = "required"          // a blank cell where the mapping wants one filled
	RuleNumber    = "number"            // not a number as the mapping writes them
	RuleInteger   = "integer"           // not a whole number
	RuleBoolean   = "boolean"           // neither yes nor no
	RuleDate      = "date"              // not a date in any declared format
	RuleDateTime  = "date-time"         // not a time in any declared format
	RulePowers    = "powers-of-ten"     // an identifier whose digits a spreadsheet has lost
	RulePattern   = "pattern"           // not written as the declared pattern
	RulePlace     = "place"             // two numbers that are no place in Britain, or one without the other
	RuleText      = "string-length"     // text over the limit
	RuleTruncated = "truncated"         // the file ends in the middle of a record
	RuleKey       = "key"               // a key that cannot be told from another by sight, or that a spreadsheet has ruined
	RuleDelimiter = "delimiter"         // cells parted by something else than the mapping says
	RuleTotals    = "totals"            // a row of sums
	RuleFormat    = "format"            // a file that is in a format that is not read, or damaged
	RuleSheet     = "sheet"             // no telling which sheet of a workbook is meant
	RuleCell      = "cell"              // a cell of a sheet that holds an error, or no value at all
	RuleShape     = "shape"             // a record that is not a JSON object, or a text without the array
)

// A FileError says why a file as a whole cannot be read, or not to its end.
// Its text, and Detail, name headings of the mapping and nothing from the file.
// Fix may suggest a heading of the file that is like one of the mapping's.
type FileError struct {
	Rule   string // one of the Rule constants
	Detail string // what is wrong
	Fix    string // what to do about it
	Line   int    // 1 is the first; 0 when no line is meant

	// Found are the headings that stand in the file, when Rule is
	// RuleHeadings, and the sheets, when it is RuleSheet. A heading row that is not one may hold personal data, so
	// they are for the importer's own report alone.
	Found []string
}

func (e *FileError) Error() string {
	s := "read file: "
	if e.Line > 0 {
		s = fmt.Sprintf("read file: line %d: ", e.Line)
	}
	return s + e.Detail
}

// Raw is one row as it stands in the file, not yet read.
type Raw struct {
	Number int // as a person counts: a spreadsheet's row, the line of NDJSON, the place in a JSON array, from 1
	Line   int // line of the file where the row starts, from 1

	text   []byte   // JSON: the bytes of the record
	other  bool     // JSON: the text is in somebody else's form
	cells  []string // CSV: one for each cell in the file
	bad    *Problem // why it could not be taken apart
	traits []trait  // XLSX, ODS: one for each cell
	torn   []int    // columns whose value above is not known
}

// Size returns how many bytes the row takes as it stands.
func (r Raw) Size() int {
	n := len(r.text)
	for _, c := range r.cells {
		n += len(c)
	}
	return n
}

// Text returns the bytes of a JSON record as they stand in the file, for whoever
// reads it himself; nil of another row, of one that could not be taken apart, and of
// one in somebody else's form.
func (r Raw) Text() []byte {
	if r.bad != nil || r.cells != nil || r.other {
		return nil
	}
	return r.text
}

// A Row is one row, read.
type Row struct {
	Number    int            // as a person counts, see Raw
	Line      int            // line of the file where the row starts, from 1
	Reference string         // what the sender calls it; "" when unreadable
	Record    map[string]any // as strictjson.Decode gives it; nil when there are Problems
	Problems  []Problem      // none: the row was read

	// Partial is what could be read of a CSV row that has Problems: the record
	// without the cells in question. It is for the standard to judge, so that
	// a person is told everything at once, and is never a record.
	Partial map[string]any

	Text  []byte   // JSON: the bytes of the record; CSV: the line, when it could not be taken apart
	Cells []string // CSV: the cells as they stand in the file, those that fill_down asks for filled

	torn   []int   // columns that would be filled from a row that could not be read
	traits []trait // XLSX, ODS: one for each cell
}

// A Reader reads the rows of one file.
//
// Scan and Next may be called by one goroutine at a time. Read may be called
// concurrently, with Scan as well: taking a file into rows is one goroutine's
// work, reading the rows that of as many as there are processors.
type Reader struct {
	o     Options
	in    *source
	scan  func() (Raw, error)
	plan  *plan // of the mapping, onto the headings of this file; CSV only
	table *table
	sheet *sheet // XLSX, ODS
	above above  // what fill_down fills with
	notes []string
	end   error // what Scan returns from now on
}

// Open starts reading a file. The first bytes are read, and of tables the rows
// down to the headings. A workbook is read in place when r is a [Source], and
// else taken into memory, up to 64 MiB. It returns a [*FileError] when the file as a whole
// cannot be read as declared, and another error when reading r fails or the
// options are at odds.
func Open(r io.Reader, o Options) (*Reader, error) {
	if o.Limits.Bytes <= 0 {
		o.Limits.Bytes = strictjson.DefaultLimits().Bytes
	}
	if o.Limits.Values <= 0 {
		o.Limits.Values = strictjson.DefaultLimits().Values
	}
	if o.Limits.StringLen <= 0 {
		o.Limits.StringLen = strictjson.DefaultLimits().StringLen
	}
	rd := &Reader{o: o}
	if err := rd.open(r); err != nil {
		return nil, err
	}
	return rd, nil
}

// Format returns what the file turned out to be.
func (r *Reader) Format() Format { return r.o.Format }

// Nameable reports whether a report may call rows by their references. It may not where a part
// of the reference is a value that may be about a person: a row then has its number, and the
// reference serves to tell offers of one record from those of another.
func (r *Reader) Nameable() bool {
	switch {
	case r.o.Private == nil:
		return true
	case r.plan != nil:
		return !r.plan.private
	}
	return !slices.ContainsFunc(r.o.Reference, r.o.Private)
}

// Sheet returns the name of the sheet that is read, and "" of other files.
func (r *Reader) Sheet() string {
	if r.sheet == nil {
		return ""
	}
	return r.sheet.name
}

// Scan returns the next row as it stands in the file, and io.EOF after the
// last. A row that could not be taken apart is returned as a row; Read then
// says why. Any other error than io.EOF ends the file for good: a [*FileError]
// when the rest cannot be read as declared, or the error of the io.Reader. The
// Raw keeps its meaning after later calls.
func (r *Reader) Scan() (Raw, error) {
	if r.end != nil {
		return Raw{}, r.end
	}
	raw, err := r.scan()
	switch {
	case err != nil:
		r.end = err
		r.lastNotes()
	case r.plan != nil && len(r.plan.filled) > 0:
		r.above.fill(r.plan, &raw)
	}
	raw.other = r.o.Translation != nil
	return raw, err
}

// Read reads a row that Scan returned. It may be called concurrently.
func (r *Reader) Read(raw Raw) Row {
	row := Row{Number: raw.Number, Line: raw.Line, Text: raw.text, Cells: raw.cells, torn: raw.torn, traits: raw.traits}
	switch {
	case raw.bad != nil:
		row.Problems = []Problem{*raw.bad}
		if r.plan != nil {
			row.Reference = r.plan.reference(raw.cells)
		}
	case r.plan != nil:
		r.plan.read(&row)
	default:
		r.readJSON(&row)
	}
	return row
}

// Next is Scan and then Read.
func (r *Reader) Next() (Row, error) {
	raw, err := r.Scan()
	if err != nil {
		return Row{}, err
	}
	return r.Read(raw), nil
}

// Headings returns the headings of a table as they stand in it, and nil for
// other formats.
func (r *Reader) Headings() []string {
	if r.table == nil {
		return nil
	}
	return r.table.headings
}

// Notes returns what a person should know of the file beside its problems,
// such as headings that the mapping does not name; complete after the last
// row. Headings come from the file: the notes are for the importer's own
// report.
func (r *Reader) Notes() []string { return append(slices.Clip(r.notes), r.plan.notes()...) }

func (r *Reader) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *Reader) lastNotes() {
	if r.table != nil && len(r.table.filled) > 0 {
		slices.Sort(r.table.filled)
		for _, i := range r.table.filled {
			r.note("column %d has cells and no heading, and is not in the mapping: it was left out", i+1)
		}
	}
	if r.table != nil {
		r.table.folded.note(r)
	}
	if r.table != nil && r.table.blank > 0 {
		r.note("%s blank and passed over", count(r.table.blank, "row was", "rows were"))
	}
	if r.sheet != nil {
		r.sheet.notes(r)
		return
	}
	if r.in.utf8Twin() {
		r.note("every accented letter of this file is also valid UTF-8: if letters look wrong, set encoding: utf-8 in the mapping")
	}
}

// Explain turns what the standard has against a record, or against what could
// be read of one (Row.Partial), into problems of its row: each with the heading
// it came from and, for the importer's own report, the value. What follows from
// a problem the row already has is left out. It may be called concurrently.
func (r *Reader) Explain(row Row, problems []standard.Problem) []Problem {
	var out []Problem
	for _, p := range problems {
		if told(row, p) {
			continue
		}
		q := Problem{Pointer: p.Pointer, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix}
		if t := r.o.Translation; t != nil {
			q.Column = t.Theirs(p.Pointer)
		}
		if r.plan != nil {
			r.plan.locate(&q, row)
		} else if v, ok := lookup(row.Record, p.Pointer); ok {
			q.Value = scalarText(v)
		}
		out = append(out, q)
	}
	return out
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
