package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// create makes a file that is not there yet, for its owner alone: reports and
// rejects may hold personal data.
func create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write file: %w", err)
	}
	return f, nil
}

// A report is the file of --report: every refusal, and what else is to be known
// of the files, in a form for spreadsheets (.csv), programs (.json) or people.
type report struct {
	f    *os.File
	w    *bufio.Writer
	form string
	csv  *sheet
	json *stream
	err  error
}

func newReport(im *importer) (*report, error) {
	f, err := create(im.report)
	if err != nil {
		return nil, err
	}
	r := &report{f: f, w: bufio.NewWriter(f), form: strings.ToLower(filepath.Ext(im.report))}
	switch r.form {
	case ".csv":
		r.csv = newSheet(r.w)
		head := []string{"file", "row", "line", "reference", "column", "place", "rule", "what is wrong", "how to mend it"}
		if im.values {
			head = append(head, "value")
		}
		r.csv.row(head...)
	case ".json":
		r.json = &stream{w: r.w}
	}
	return r, nil
}

func (r *report) row(x refusedRow) {
	switch {
	case r.csv != nil:
		for _, p := range x.Problems {
			cells := []string{x.File, strconv.Itoa(x.Row), strconv.Itoa(x.Line), x.Reference, p.Column, p.Pointer, p.Rule, p.Detail, p.Fix}
			if p.Value != "" {
				cells = append(cells, p.Value)
			}
			r.csv.row(cells...)
		}
	case r.json != nil:
		r.json.add(x)
	default:
		name.Fprintf(r.w, "%s", name.Lines(strings.TrimPrefix(string(x.text()), "stile: ")))
	}
}

// summary writes what stands in a report beside the refused rows: the reasons
// that many share, files that could not be read, notes, and keys that came
// twice.
func (r *report) summary(t *tally, complete bool) {
	switch {
	case r.json != nil:
		r.json.end(t.summary(complete))
	case r.csv != nil:
		for _, b := range t.broke {
			r.csv.row(b.File, "", lineText(b.Line), "", "", "", b.Rule, b.Detail, b.Fix)
		}
		for _, n := range t.noted {
			r.csv.row("", "", "", "", "", "", "note", n, "")
		}
		for _, d := range t.seen.twice {
			r.csv.row(d.File, strconv.Itoa(d.Row), "", d.Reference, "", "", "same-key", d.String(), "")
		}
	default:
		for _, b := range t.broke {
			name.Fprintf(r.w, "%s: %s\n    to mend it: %s\n", b.File, b.Detail, b.Fix)
		}
		for _, g := range t.grouped() {
			name.Fprintf(r.w, "%s at %q: %s\n", plural(g.Rows, "row", "rows"), g.Pointer, cmp.Or(g.Detail, inWords(g.Rule)))
		}
		for _, n := range t.noted {
			name.Fprintf(r.w, "note: %s\n", n)
		}
		for _, d := range t.seen.twice {
			name.Fprintf(r.w, "note: %s\n", d.String())
		}
	}
}

func lineText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// close ends the report; more than once does no harm.
func (r *report) close() error {
	if r.f == nil {
		return r.err
	}
	if r.csv != nil {
		r.err = r.csv.close()
	}
	if r.json != nil && !r.json.ended {
		r.json.end(nil)
	}
	r.err = errors.Join(r.err, r.w.Flush(), r.f.Sync(), r.f.Close())
	r.f = nil
	if r.err != nil {
		r.err = fmt.Errorf("write report: %w", r.err)
	}
	return r.err
}

// rejects is the file of --rejects: the refused rows, as they came, so that
// they can be mended and imported the same way.
//
// Rows of CSV are copied from the source by their lines, once all is known:
// what was wrong may have been the bytes themselves. Rows of a sheet become a
// workbook, and records of JSON lines of NDJSON.
type rejects struct {
	im     *importer
	f      *os.File
	w      *bufio.Writer
	source string // CSV: the file to copy from
	first  int    // CSV: line of the first row below the headings
	ranges []lineRange
	open   bool // the last range waits for where the next row starts
	lost   int  // rows whose bytes are not at hand
	sheet  *intake.RowWriter
	err    error
}

type lineRange struct{ from, to int } // to is the first line after it

func newRejects(im *importer) (*rejects, error) {
	f, err := create(im.rejects)
	if err != nil {
		return nil, err
	}
	return &rejects{im: im, f: f, w: bufio.NewWriter(f), first: math.MaxInt}, nil
}

// begin is told of the file that the rows are of, once it is open.
func (r *rejects) begin(from *intake.Reader) error {
	if r.sheet != nil || from.Sheet() == "" {
		return nil
	}
	var err error
	r.sheet, err = intake.NewRowWriter(from, filepath.Dir(r.im.rejects))
	return err
}

func (r *rejects) row(row intake.Row, refused bool) {
	if r.sheet != nil {
		if refused && r.err == nil {
			r.err = r.sheet.Row(row)
		}
		return
	}
	if r.im.mapping == nil {
		if !refused {
			return
		}
		text := bytes.TrimSpace(row.Text)
		if len(text) == 0 {
			r.lost++
			return
		}
		// One record to a line: line ends inside a record are white space
		// between its parts, since a JSON string cannot hold them. A record
		// that is not JSON may have them anywhere; it is broken already.
		r.w.Write(bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r"), []byte(" ")), []byte("\n"), []byte(" ")))
		r.w.WriteByte('\n')
		return
	}
	r.first = min(r.first, row.Line)
	if r.open {
		r.ranges[len(r.ranges)-1].to = row.Line
		r.open = false
	}
	if refused {
		r.ranges = append(r.ranges, lineRange{row.Line, math.MaxInt})
		r.open = true
	}
}

// finish writes what was put off, and closes the file.
func (r *rejects) finish() error {
	err := r.err
	switch {
	case r.sheet != nil:
		err = errors.Join(err, r.sheet.Close(r.w))
	case r.im.mapping != nil && r.source != "":
		err = r.copyLines()
	}
	if err = errors.Join(err, r.w.Flush(), r.f.Sync(), r.close()); err != nil {
		return fmt.Errorf("write rejects: %w", err)
	}
	if r.im.tally.refused == 0 {
		if err := os.Remove(r.im.rejects); err != nil {
			return fmt.Errorf("remove the rejects, of which there are none: %w", err)
		}
	}
	if r.lost > 0 {
		r.im.say("note: %s too long to be kept and not in %s", plural(r.lost, "refused row is", "refused rows are"), r.im.rejects)
	}
	return nil
}

func (r *rejects) close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}

// copyLines copies the headings and the refused rows, byte for byte.
func (r *rejects) copyLines() error {
	in, err := os.Open(r.source)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := lineReader{r: bufio.NewReaderSize(in, 64<<10), unit: 1}
	if enc := r.im.mapping.Encoding; strings.HasPrefix(enc, "utf-16") {
		lines.unit, lines.big = 2, enc == "utf-16be"
		if head, _ := lines.r.Peek(2); enc == "utf-16" && bytes.Equal(head, []byte{0xFE, 0xFF}) {
			lines.big = true
		}
	}
	next := 0
	for n := 1; ; n++ {
		for next < len(r.ranges) && n >= r.ranges[next].to {
			next++
		}
		keep := n < r.first || (next < len(r.ranges) && n >= r.ranges[next].from)
		w := io.Discard
		if keep {
			w = r.w
		}
		if more, err := lines.copy(w); err != nil || !more {
			return err
		}
	}
}

// A lineReader copies lines that end with LF, CRLF or CR, as intake counts
// them, in bytes or in the two-byte units of UTF-16.
type lineReader struct {
	r    *bufio.Reader
	unit int
	big  bool
	buf  [2]byte
}

func (l *lineReader) copy(w io.Writer) (more bool, err error) {
	for {
		u, b, err := l.take()
		if err != nil {
			return false, ignoreEOF(err)
		}
		if _, err := w.Write(b); err != nil {
			return false, err
		}
		if u == '\n' {
			return true, nil
		}
		if u != '\r' {
			continue
		}
		if u, ok := l.peek(); ok && u == '\n' {
			_, b, err := l.take()
			if err != nil {
				return false, err
			}
			if _, err := w.Write(b); err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

func (l *lineReader) take() (u uint16, b []byte, err error) {
	u, _ = l.peek()
	b = l.buf[:l.unit]
	n, err := io.ReadFull(l.r, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return u, b[:n], nil // half a unit at the end
	}
	return u, b, err
}

func (l *lineReader) peek() (uint16, bool) {
	b, err := l.r.Peek(l.unit)
	switch {
	case err != nil:
		return 0, false
	case l.unit == 1:
		return uint16(b[0]), true
	case l.big:
		return uint16(b[0])<<8 | uint16(b[1]), true
	}
	return uint16(b[1])<<8 | uint16(b[0]), true
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// rejectable says why refused rows could not be written to one file.
func rejectable(im *importer, files []string) error {
	switch {
	case im.rejects == "":
		return nil
	case len(files) > 1:
		return failure(node.Usage, "import one file at a time", "--rejects takes the refused rows of one file, and %d were named", len(files))
	case im.mapping != nil && files[0] == "-":
		return misused("--rejects copies rows from the file, which standard input does not allow: name a file")
	case im.mapping != nil && filepath.Ext(im.rejects) != ".xlsx" && isWorkbook(files[0]):
		return misused("the refused rows of a workbook are a workbook: --rejects wants a name that ends in .xlsx")
	case im.mapping != nil && im.mapping.FillsDown():
		// Alone in a file of rejects it would be filled from another row.
		return failure(node.Usage, "see what is refused with --report, and mend the rows in the file", "the mapping has fill_down, so a refused row cannot stand without the rows above it: --rejects is of no use")
	}
	return nil
}

// isWorkbook reports whether a file is XLSX or ODS, by its first bytes.
func isWorkbook(file string) bool {
	head, err := headOf(file)
	if err != nil {
		return false
	}
	format, _ := intake.Recognise(head, intake.CSV, true)
	return format == intake.XLSX || format == intake.ODS
}
