package intake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/workbook"
)

// headLen is how much of a file is looked at to tell what it is, in bytes.
const headLen = 4096

// A Source is a file that can be read from any place, as the archives that
// spreadsheets are must be. Size is its length in bytes, or -1 when it cannot
// be read so after all.
type Source interface {
	io.Reader
	io.ReaderAt
	Size() int64
}

// Recognise tells from the first bytes of a file which format it is in,
// whatever its name says; declared is what the name, or a person, says, and is
// believed as far as the bytes allow, and "" when nothing is said; mapped is
// whether there is a mapping, which no JSON has. An archive is XLSX until it is
// opened. The error names a kind of file that is not read, with a way on.
func Recognise(head []byte, declared Format, mapped bool) (Format, *FileError) {
	head = head[:min(len(head), headLen)]
	if what, fix := foreign(head); what != "" {
		return "", &FileError{Rule: RuleFormat, Detail: "the file is " + what, Fix: fix}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		if i := bytes.Index(head, []byte("mimetypeapplication/vnd.oasis.opendocument.spreadsheet")); i == 30 || declared == ODS {
			return ODS, nil
		}
		return XLSX, nil
	case looksJSON(head):
		if declared == NDJSON || declared == JSON {
			return declared, nil
		}
		return JSON, nil
	case declared == XLSX, declared == ODS, mapped && len(head) > 0:
		return CSV, nil
	}
	return declared, nil
}

const saveAs = "open it in a spreadsheet and save it as an Excel workbook (.xlsx), as ODS, or as CSV UTF-8"

// foreign says what a file is that is neither text, JSON nor a workbook, and
// what to do about it.
func foreign(head []byte) (what, fix string) {
	const unpack = "unpack it, and name the file inside"
	for _, m := range []struct{ magic, what, fix string }{
		{"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "", ""}, // see compound
		{"\x09\x00\x04\x00", "a workbook of an old Excel (.xls, BIFF)", saveAs},
		{"\x09\x02\x06\x00", "a workbook of an old Excel (.xls, BIFF)", saveAs},
		{"\x09\x04\x06\x00", "a workbook of an old Excel (.xls, BIFF)", saveAs},
		{"\x09\x08\x08\x00", "a workbook of an old Excel (.xls, BIFF)", saveAs},
		{"\x09\x08\x10\x00", "a workbook of an old Excel (.xls, BIFF)", saveAs},
		{"\x1F\x8B", "packed by gzip", "gunzip it, and name the file that comes out"},
		{"BZh", "packed by bzip2", unpack},
		{"\xFD7zXZ\x00", "packed by xz", unpack},
		{"\x28\xB5\x2F\xFD", "packed by zstd", unpack},
		{"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", unpack},
		{"Rar!\x1A", "a RAR archive", unpack},
		{"%PDF-", "a PDF document", "ask for the table itself, as XLSX or CSV"},
		{"{\\rtf", "a text document (RTF)", "ask for the table itself, as XLSX or CSV"},
		{"PAR1", "a Parquet file", "convert it to CSV or NDJSON"},
		{"SQLite format 3\x00", "an SQLite database", "export the table as CSV"},
		{"\x00\x01\x00\x00Standard ", "an Access database", "export the table as CSV"},
		{"\x89PNG", "a picture", "ask for the table itself, as XLSX or CSV"},
		{"\xFF\xD8\xFF", "a picture", "ask for the table itself, as XLSX or CSV"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) && m.what != "" {
			return m.what, m.fix
		} else if m.what == "" && bytes.HasPrefix(head, []byte(m.magic)) {
			return compound(head), saveAs
		}
	}
	// Markup, in whatever encoding: what is looked for is ASCII.
	text := strings.ToLower(string(bytes.ReplaceAll(head, []byte{0}, nil)))
	text = strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(text, "\ufeff"), "\xff\xfe"), "\xfe\xff"), "\ufffd \t\r\n")
	switch {
	case strings.HasPrefix(text, "mime-version:"):
		return "a saved web page (MHTML), as some systems write in place of a workbook", saveAs
	case !strings.HasPrefix(text, "<"):
		return "", ""
	case strings.Contains(text, "urn:schemas-microsoft-com:office:spreadsheet") && !strings.Contains(text, "<html"):
		return "a workbook in the XML of Excel 2003", saveAs
	case strings.Contains(text, "office:document"):
		return "a flat OpenDocument file", saveAs
	}
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<body", "<table", "<meta", "<style", "<title", "<div", "<script"} {
		if strings.HasPrefix(text, tag) || strings.HasPrefix(text, "<?xml") && strings.Contains(text, tag) || strings.HasPrefix(text, "<!--") && strings.Contains(text, tag) {
			return "a web page (HTML), as some systems write in place of a workbook", saveAs + "; or ask the system for CSV"
		}
	}
	if strings.HasPrefix(text, "<?xml") {
		return "XML", "ask for the records as CSV, XLSX or JSON"
	}
	return "", ""
}

// compound tells what an OLE compound file is by the names in its directory.
func compound(head []byte) string {
	utf16 := func(s string) []byte {
		b := make([]byte, 0, 2*len(s))
		for i := range len(s) {
			b = append(b, s[i], 0)
		}
		return b
	}
	switch {
	case bytes.Contains(head, utf16("EncryptedPackage")):
		return "a workbook protected by a password"
	case bytes.Contains(head, utf16("WordDocument")):
		return "an old Word document"
	case bytes.Contains(head, utf16("Workbook")), bytes.Contains(head, utf16("Book")):
		return "a workbook of an old Excel (.xls, BIFF)"
	}
	return "a workbook of an old Excel (.xls, BIFF), or one protected by a password"
}

// directoryOf returns the directory of an OLE compound file, which may stand
// anywhere in it.
func directoryOf(head []byte, in io.Reader) []byte {
	at, ok := in.(Source)
	if !ok || at.Size() < 0 || len(head) < 52 || !bytes.HasPrefix(head, []byte("\xD0\xCF\x11\xE0")) {
		return nil
	}
	shift := min(binary.LittleEndian.Uint16(head[30:]), 20)
	b := make([]byte, headLen)
	n, _ := at.ReadAt(b, (int64(binary.LittleEndian.Uint32(head[48:]))+1)<<shift)
	return b[:n]
}

// looksJSON reports whether a text begins as JSON does. A heading may well
// begin with a bracket.
func looksJSON(head []byte) bool {
	b := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF")), " \t\r\n")
	if len(b) < 1 || b[0] != '{' && b[0] != '[' {
		return false
	}
	next := bytes.TrimLeft(b[1:], " \t\r\n")
	return len(next) == 0 && len(b) > 0 && len(head) < headLen || len(next) > 0 && bytes.IndexByte([]byte(`"{[]}`), next[0]) >= 0
}

// open looks at the first bytes of a file and starts reading it as what it is.
func (r *Reader) open(in io.Reader) error {
	declared, err := ParseFormat(string(r.o.Format))
	if err != nil {
		return err
	}
	head := make([]byte, headLen)
	n, err := io.ReadFull(in, head)
	var broken error // of the reader; it comes up again behind what it gave
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		broken = err
	}
	head = head[:n]
	if dir := directoryOf(head, in); dir != nil {
		return &FileError{Rule: RuleFormat, Detail: "the file is " + compound(append(dir, head...)), Fix: saveAs}
	}
	format, foreign := Recognise(head, declared, r.o.Mapping != nil)
	if foreign != nil {
		return foreign
	}
	rest := io.MultiReader(bytes.NewReader(head), in)
	if broken != nil {
		rest = io.MultiReader(bytes.NewReader(head), failed{broken})
	}
	r.o.Format = format
	switch format {
	case JSON, NDJSON:
		if r.o.Mapping != nil {
			if declared == format {
				return fmt.Errorf("read %s: a mapping is for CSV and sheets", format)
			}
			return &FileError{Rule: RuleFormat, Detail: "the file is JSON, which takes no mapping", Fix: "leave the mapping off, and name the standard"}
		}
		if r.o.At != "" && format == NDJSON {
			return errors.New("read ndjson: there is no place inside NDJSON to read from")
		}
		err = r.openJSON(rest)
	case CSV, XLSX, ODS:
		switch {
		case r.o.Mapping == nil:
			return &FileError{Rule: RuleFormat, Detail: fmt.Sprintf("the file is %s: a mapping must say what its columns mean", titles[format]), Fix: "draft one with stile check FILE --standard STANDARD --draft-mapping mapping.yaml"}
		case r.o.At != "":
			return fmt.Errorf("read %s: there is no place inside it to read from", titles[format])
		case format == CSV && r.o.Sheet != "":
			return &FileError{Rule: RuleFormat, Detail: "the file is CSV, which has no sheets", Fix: "leave the sheet off"}
		case format == CSV:
			err = r.openCSV(rest)
		default:
			err = r.openSheet(rest, in)
		}
	}
	if err == nil && r.o.Format != declared && !(declared == ODS && r.o.Format == XLSX || declared == XLSX && r.o.Format == ODS) {
		r.notes = append([]string{fmt.Sprintf("the file is %s, though its name or --format says %s", titles[r.o.Format], titles[declared])}, r.notes...)
	}
	return err
}

// failed is a reader that has only an error left.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// titles are what people call the formats.
var titles = map[Format]string{JSON: "JSON", NDJSON: "NDJSON", CSV: "CSV", XLSX: "XLSX", ODS: "ODS"}

// maxSpool is how large a workbook may be that cannot be read from any place,
// but comes through a pipe, in bytes.
const maxSpool = 64 << 20

// book opens the workbook that in is; rest is the same from its start.
func book(rest, in io.Reader, lim workbook.Limits) (*workbook.Book, error) {
	at, ok := in.(Source)
	if ok && at.Size() >= 0 {
		return workbook.Open(at, at.Size(), lim)
	}
	b, err := io.ReadAll(io.LimitReader(rest, maxSpool+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSpool {
		return nil, &workbook.Error{Detail: fmt.Sprintf("a workbook that comes through a pipe may have %d MiB", maxSpool>>20), Fix: "name the file instead"}
	}
	return workbook.Open(bytes.NewReader(b), int64(len(b)), lim)
}

// inBook turns the error of a workbook into that of a file.
func inBook(err error) error {
	var own *workbook.Error
	if errors.As(err, &own) {
		return &FileError{Rule: RuleFormat, Detail: own.Detail, Fix: own.Fix}
	}
	return err
}

// shortText is a text from a file, short and safe to print.
func shortText(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return cut(visible(s))
}
