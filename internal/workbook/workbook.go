// Package workbook reads the cells of spreadsheet files: XLSX (ECMA-376, also
// its strict form, and XLSM, whose macros are left alone) and ODS
// (OpenDocument 1.2 and 1.3), a row at a time.
//
// What a cell holds is told as the file has it and as little as possible is
// made of it:
//
//   - A formula is never worked out. The value that the spreadsheet kept beside
//     it is taken, and the cell says that it came from one.
//   - A number keeps the decimal digits it is stored with, rounded to the
//     fifteen that spreadsheets hold and show, without a detour over a binary
//     float: 1.1000000000000001 is 1.1. Powers of ten are written out.
//   - A number is a date when its number format is one of dates or times, in
//     XLSX by the workbook's date system, 1900 or 1904.
//   - An error such as #REF! is an error, never a text.
//
// # Hostile files
//
// A file is untrusted. All it unpacks to, its sheets, rows, cells, texts and
// the directory of the archive are held to [Limits]; memory is bounded by the
// table of shared texts and one row. Nothing outside the file is read, document
// types and entities of one's own are refused, and no part of it is run. A file
// that breaks off or does not hold together is an [*Error], never a short
// answer. Reading stops when the io.ReaderAt returns an error, which a caller
// may use to stop it.
package workbook

import (
	"fmt"
	"io"
)

// A Kind is what a cell holds.
type Kind uint8

// The kinds of cells.
const (
	Text    Kind = iota + 1 // Cell.Text is the text
	Number                  // digits, with a point before decimals and perhaps a minus
	Date                    // yyyy-mm-dd
	Moment                  // yyyy-mm-ddTHH:MM:SS, of a time zone that the file does not tell
	Time                    // HH:MM:SS; of a duration the hours may be more than 23
	Bool                    // TRUE or FALSE
	Failure                 // an error that the spreadsheet shows, such as #REF!
	Unknown                 // a formula beside which no value is kept; Text is ""
)

// A Cell is one cell that is not empty.
type Cell struct {
	Column int // from 0
	Kind   Kind
	Text   string

	// Code is the number with the leading zeros that its number format shows,
	// such as 00712, and "" when it shows none. A person who sees it takes it
	// for a code.
	Code string

	Formula bool // the value was kept beside a formula
	Percent bool // the number is shown as a percentage: 0.25 as 25%
	Long    bool // a whole number of more than 15 digits, of which a spreadsheet keeps 15
	Hidden  bool // a time of day that the format does not show was left off
}

// A Row is a row with at least one cell.
type Row struct {
	Number int    // as the spreadsheet counts, from 1
	Cells  []Cell // ascending by Column; used again by the next call of Next
	Hidden bool   // by a filter or by hand
}

// A Sheet is one table of a workbook.
type Sheet struct {
	Name   string
	Hidden bool

	part string // XLSX: in the archive
}

// Limits on what is read. A zero field means the default that stands beside it.
type Limits struct {
	Unzipped int64 // bytes that all parts unpack to: 2 GiB
	Texts    int64 // bytes of the shared texts of an XLSX workbook: 128 MiB
	Sheets   int   // 1,000
	Rows     int   // the highest row number: 1,048,576
	Columns  int   // 16,384
	Cells    int   // not empty, of one sheet: 100,000,000
	CellLen  int   // bytes of one cell: 1 MiB
}

func (l Limits) orDefault() Limits {
	or := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	if l.Unzipped <= 0 {
		l.Unzipped = 2 << 30
	}
	if l.Texts <= 0 {
		l.Texts = 128 << 20
	}
	or(&l.Sheets, 1000)
	or(&l.Rows, 1<<20)
	or(&l.Columns, 1<<14)
	or(&l.Cells, 100_000_000)
	or(&l.CellLen, 1<<20)
	return l
}

// An Error says why a workbook cannot be read, or not to its end. It holds
// nothing of the cells; a sheet or part may be named.
type Error struct {
	Detail string // what is wrong
	Fix    string // what to do about it
}

func (e *Error) Error() string { return "read workbook: " + e.Detail }

const saveAgain = "open the file in a spreadsheet and save it again, as XLSX or ODS"

func damaged(format string, args ...any) *Error {
	return &Error{Detail: fmt.Sprintf(format, args...), Fix: saveAgain}
}

func tooLarge(format string, args ...any) *Error {
	return &Error{Detail: fmt.Sprintf(format, args...), Fix: "split the workbook, or save the sheet as CSV"}
}

// A Book is an open workbook. Its methods are for one goroutine at a time.
type Book struct {
	lim    Limits
	zip    *archive
	ods    bool
	sheets []Sheet
	empty  []bool // ODS: sheets without a cell

	texts *texts // XLSX
	looks []look // XLSX: number formats by style
	y1904 bool   // XLSX
}

// Open reads what a workbook says of itself, down to its sheets and shared
// texts. The error is an [*Error], or that of r. size is the file's length in
// bytes. Where the file is an archive and no workbook the Error says what it
// seems to be.
func Open(r io.ReaderAt, size int64, lim Limits) (*Book, error) {
	b := &Book{lim: lim.orDefault()}
	var err error
	if b.zip, err = openArchive(r, size, b.lim.Unzipped); err != nil {
		return nil, err
	}
	switch kind := b.zip.kind(); kind {
	case "xlsx":
		err = b.openXLSX()
	case "ods":
		b.ods = true
		err = b.openODS()
	default:
		err = notWorkbook(kind)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func notWorkbook(kind string) *Error {
	switch kind {
	case "xlsb":
		return &Error{Detail: "the file is a workbook in Excel's binary form (XLSB)", Fix: "save it as an Excel workbook (.xlsx), or as CSV UTF-8"}
	case "docx":
		return &Error{Detail: "the file is a text document, not a spreadsheet", Fix: "put the table into a spreadsheet, and save it as XLSX or CSV"}
	case "pptx":
		return &Error{Detail: "the file is a presentation, not a spreadsheet", Fix: "ask for the table as XLSX or CSV"}
	case "numbers":
		return &Error{Detail: "the file is a Numbers document", Fix: "export it from Numbers as Excel (.xlsx) or CSV"}
	case "locked":
		return &Error{Detail: "the file is protected by a password", Fix: "save a copy without the password"}
	case "stile":
		return &Error{Detail: "the file is a bundle of Stile's, not a spreadsheet", Fix: "stile verify FILE checks a bundle"}
	}
	return &Error{Detail: "the file is a zip archive and no workbook", Fix: "unpack it, and name the file inside"}
}

// Format returns "XLSX" or "ODS".
func (b *Book) Format() string {
	if b.ods {
		return "ODS"
	}
	return "XLSX"
}

// Sheets returns the sheets in the workbook's order; those without cells, such
// as charts, are left out.
func (b *Book) Sheets() []Sheet { return b.sheets }

// Empty reports whether a sheet has no cell at all. The error is that of Rows
// and Next.
func (b *Book) Empty(sheet int) (bool, error) {
	if b.ods {
		return b.empty[sheet], nil
	}
	rows, err := b.Rows(sheet)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	_, err = rows.Next()
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// Rows starts reading a sheet.
func (b *Book) Rows(sheet int) (*Rows, error) {
	r := &Rows{book: b}
	var err error
	if b.ods {
		r.next, r.close, err = b.odsRows(r, sheet)
	} else {
		r.next, r.close, err = b.xlsxRows(r, sheet)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Rows reads the rows of one sheet.
type Rows struct {
	book   *Book
	next   func() (Row, error)
	close  func()
	end    error
	cells  []Cell
	count  int
	merged int
}

// Next returns the next row with a cell in it, and io.EOF after the last. Any
// other error ends the sheet for good: an [*Error], or that of the io.ReaderAt.
func (r *Rows) Next() (Row, error) {
	if r.end != nil {
		return Row{}, r.end
	}
	row, err := r.next()
	if err == nil {
		if r.count += len(row.Cells); r.count > r.book.lim.Cells {
			err = tooLarge("a sheet has more than %d cells", r.book.lim.Cells)
		}
	}
	if err != nil {
		r.end = err
		return Row{}, err
	}
	return row, nil
}

// Merged returns how many cells of the sheet are several put together; complete
// after the last row. Only the first of those put together has a value.
func (r *Rows) Merged() int { return r.merged }

// Close ends reading before the last row.
func (r *Rows) Close() {
	r.close()
	if r.end == nil {
		r.end = io.EOF
	}
}
