package document

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of [Read]. A paper that people sign is far below each; a file that is not is
// refused before it costs more.
const (
	MaxFile     = 16 << 20  // bytes of the file
	maxUnpacked = 32 << 20  // bytes of all that is unpacked of it
	maxParts    = 5000      // files in it
	maxDepth    = 200       // elements one in another
	maxToken    = 256 << 10 // bytes of one tag or run of text
	maxBlock    = 64 << 10  // bytes of one paragraph or cell; what follows is left out
	maxBlocks   = 20000     // paragraphs, headings, items, and cells of tables
)

// Read reads a document: Office Open XML, OpenDocument or, when it is neither, text in
// UTF-8 as Markdown. It tells them by what they are, not by a name.
//
// It takes what stands there for people to read: not what was deleted and is kept to be
// tracked, no hidden text of Word, no remark in the margin, no header or footer of pages, no
// picture. Styles decide what a heading is. An archive that unpacks to more than 32 MB, XML
// with a document type or entities of its own, and nesting beyond 200 are refused. Every error
// wraps [ErrRead] and tells no text of the document.
func Read(b []byte) (*Document, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrRead, MaxFile)
	}
	d, err := read(b, maxUnpacked)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRead, err)
	}
	return d, nil
}

func read(b []byte, unpacked int64) (*Document, error) {
	if bytes.HasPrefix(b, []byte("PK\x03\x04")) || bytes.HasPrefix(b, []byte("PK\x05\x06")) {
		a, err := openArchive(b, unpacked)
		if err != nil {
			return nil, err
		}
		word, err := a.wordPart()
		switch {
		case err != nil:
			return nil, err
		case word != "":
			return readDOCX(a, word)
		case a.parts["content.xml"] != nil:
			return readODT(a)
		}
		return nil, errors.New("is an archive, and holds neither a Word nor an OpenDocument text")
	}
	switch {
	case bytes.HasPrefix(b, []byte("\xD0\xCF\x11\xE0")):
		return nil, errors.New("is a Word document of before 2007, or locked by a password: save it as .docx or .odt without one")
	case bytes.HasPrefix(b, []byte("%PDF-")):
		return nil, errors.New("is a PDF, which has no headings to go by: ask for the .docx or .odt that it was made from")
	case bytes.HasPrefix(b, []byte(`{\rtf`)):
		return nil, errors.New("is in Rich Text Format: save it as .docx or .odt")
	}
	b = bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF"))
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return nil, errors.New("is neither .docx nor .odt, and no text in UTF-8 either")
	}
	return readMD(string(b))
}

// An archive is a zip file of which no more than a fixed number of bytes is unpacked,
// whatever its directory claims.
type archive struct {
	parts map[string]*zip.File
	left  int64
}

var errUnpacked = errors.New("unpacks to more than a document may")

func openArchive(b []byte, unpacked int64) (*archive, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, errors.New("the archive breaks off or is damaged")
	}
	if len(z.File) > maxParts {
		return nil, fmt.Errorf("the archive has more than %d parts", maxParts)
	}
	a := &archive{parts: map[string]*zip.File{}, left: unpacked}
	for _, f := range z.File {
		if a.parts[f.Name] != nil {
			return nil, errors.New("the archive has a part twice")
		}
		a.parts[f.Name] = f
	}
	return a, nil
}

// Read takes from what may still be unpacked.
type unpacking struct {
	a  *archive
	in io.Reader
}

func (u unpacking) Read(p []byte) (int, error) {
	if u.a.left <= 0 {
		return 0, errUnpacked
	}
	n, err := u.in.Read(p[:min(int64(len(p)), u.a.left)])
	u.a.left -= int64(n)
	return n, err
}

// bounded stops in the middle of a token that is too long, which the decoder would
// otherwise gather whole.
type bounded struct {
	*bufio.Reader
	left int
	err  error
}

var errToken = fmt.Errorf("has a tag or a run of text of more than %d bytes", maxToken)

func (r *bounded) ReadByte() (byte, error) {
	if r.left--; r.left < 0 {
		r.err = errToken
		return 0, errToken
	}
	c, err := r.Reader.ReadByte()
	if err != nil && err != io.EOF {
		r.err = err
	}
	return c, err
}

// walk goes through a part: open is called at each element, with the names of those
// around it, and says whether to go into it; text with what stands in it; end at its
// end.
type walker struct {
	open func(e xml.StartElement, around []string) (into bool)
	text func(s string, around []string)
	end  func(local string, around []string)
}

func (a *archive) walk(name string, w walker) error {
	f := a.parts[name]
	in, err := f.Open()
	if err != nil {
		return fmt.Errorf("its part %s cannot be unpacked", name)
	}
	defer in.Close()
	src := &bounded{Reader: bufio.NewReaderSize(unpacking{a, in}, 32<<10)}
	dec := xml.NewDecoder(src)
	dec.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not in UTF-8") }
	var around []string
	skip := 0 // depth of the element that is passed over, 0 for none
	for {
		src.left = maxToken
		t, err := dec.RawToken()
		switch {
		case err == io.EOF && len(around) == 0:
			return nil
		case src.err != nil:
			if errors.Is(src.err, errUnpacked) || errors.Is(src.err, errToken) {
				return src.err
			}
			return fmt.Errorf("its part %s is damaged", name)
		case err != nil:
			return fmt.Errorf("its part %s is no whole XML", name)
		}
		switch t := t.(type) {
		case xml.Directive:
			return fmt.Errorf("its part %s has a document type, which no word processor writes", name)
		case xml.StartElement:
			if len(around) == maxDepth {
				return errors.New("is nested too deep")
			}
			if skip == 0 && !w.open(t, around) {
				skip = len(around) + 1
			}
			around = append(around, t.Name.Local)
		case xml.EndElement:
			if len(around) == 0 || around[len(around)-1] != t.Name.Local {
				return fmt.Errorf("its part %s is no whole XML", name)
			}
			around = around[:len(around)-1]
			if skip == 0 && w.end != nil {
				w.end(t.Name.Local, around)
			}
			if skip == len(around)+1 {
				skip = 0
			}
		case xml.CharData:
			if skip == 0 && w.text != nil {
				w.text(string(t), around)
			}
		}
	}
}

func attr(e xml.StartElement, local string) string {
	for _, a := range e.Attr {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// A gatherer collects blocks, and counts them for their places.
type gatherer struct {
	doc    Document
	count  int // of blocks and cells
	paras  int
	tables int
	table  *Block
	deep   int // tables one in another; the inner ones are text of a cell
	cell   *strings.Builder
}

var errBlocks = fmt.Errorf("has more than %d paragraphs", maxBlocks)

func (g *gatherer) full() bool { return g.count > maxBlocks }

// block adds a block, or its text to the cell that it stands in.
func (g *gatherer) block(b Block) {
	g.count++
	b.Text = strings.TrimSpace(b.Text)
	if g.full() || b.Kind != Table && b.Text == "" {
		return
	}
	if g.cell != nil {
		if g.cell.Len() > 0 {
			g.cell.WriteByte('\n')
		}
		g.cell.WriteString(b.Text)
		return
	}
	if b.Place == "" {
		g.paras++
		b.Place = fmt.Sprintf("paragraph %d", g.paras)
	}
	g.doc.Blocks = append(g.doc.Blocks, b)
}

func (g *gatherer) openTable() {
	if g.deep++; g.deep == 1 {
		g.tables++
		g.table = &Block{Kind: Table, Place: fmt.Sprintf("table %d", g.tables)}
	}
}

func (g *gatherer) openRow() {
	if g.deep == 1 && !g.full() {
		g.count++
		g.table.Rows = append(g.table.Rows, nil)
	}
}

func (g *gatherer) openCell() {
	if g.deep == 1 {
		g.count++
		g.cell = &strings.Builder{}
	}
}

func (g *gatherer) closeCell() {
	if g.deep == 1 && g.cell != nil {
		if n := len(g.table.Rows); n > 0 && !g.full() {
			g.table.Rows[n-1] = append(g.table.Rows[n-1], cut(g.cell.String()))
		}
		g.cell = nil
	}
}

func (g *gatherer) closeTable() {
	if g.deep--; g.deep == 0 && len(g.table.Rows) > 0 {
		g.doc.Blocks = append(g.doc.Blocks, *g.table)
	}
}

// done returns what was gathered. The title is the first block when it stands there
// as one.
func (g *gatherer) done() (*Document, error) {
	if g.full() {
		return nil, errBlocks
	}
	return &g.doc, nil
}

// cut keeps a text to what one block may have.
func cut(s string) string {
	if len(s) <= maxBlock {
		return s
	}
	return strings.ToValidUTF8(s[:maxBlock], "") + " […]"
}
