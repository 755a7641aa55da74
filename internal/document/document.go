// Package document writes and reads papers as people pass them round: word
// processor files, web pages and plain text. It knows headings, paragraphs, lists
// and tables, and nothing of what they say.
//
// What it writes is the same bytes for the same document: no clock, no random
// number, no order of a map. It writes
//
//	docx   Office Open XML (ECMA-376): Word and what reads its files
//	odt    OpenDocument 1.3 (ISO/IEC 26300): LibreOffice and others
//	html   one page with its style, of no script and no address to fetch from
//	pdf    PDF with its fonts in it, see [Unprintable]
//	md     Markdown
//
// and reads docx, odt and md. What is read comes from anybody: see [Read].
package document

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrRead is wrapped by every error of [Read].
var ErrRead = errors.New("document cannot be read")

// A Format is a form that a document is written in, by the ending of its file.
type Format string

// The formats.
const (
	DOCX Format = "docx"
	ODT  Format = "odt"
	HTML Format = "html"
	PDF  Format = "pdf"
	MD   Format = "md"
)

// Formats returns every format that documents are written in.
func Formats() []Format { return []Format{DOCX, ODT, HTML, PDF, MD} }

// A Kind is what a block is.
type Kind int

// The kinds of a block.
const (
	Paragraph Kind = iota
	Heading        // of its Level, 1 the highest
	Item           // of a list
	Table          // of Rows
)

// A Block is one piece of a document, in the order of reading. A text may have line
// feeds in it, which are breaks of the line.
type Block struct {
	Kind  Kind
	Level int    // of a Heading, from 1 to 6
	Text  string // of all but a Table
	// Rows are the rows of a Table, each as many texts. The first is its headings.
	Rows [][]string
	// Place says where the block stands in a file that was read, such as
	// "paragraph 12" or "line 40".
	Place string
}

// A Document is what is written and read.
type Document struct {
	Title    string // also the first line
	Subject  string // one line for what describes the file; may be empty
	Language string // BCP 47, such as en-GB
	Blocks   []Block
}

// Add adds a paragraph; an empty one is left out.
func (d *Document) Add(text string) { d.add(Block{Kind: Paragraph, Text: text}) }

// Heading adds a heading.
func (d *Document) Heading(level int, text string) {
	d.add(Block{Kind: Heading, Level: level, Text: text})
}

// Item adds an item of a list.
func (d *Document) Item(text string) { d.add(Block{Kind: Item, Text: text}) }

// Table adds a table, whose first row is its headings.
func (d *Document) Table(rows ...[]string) {
	if len(rows) > 0 {
		d.Blocks = append(d.Blocks, Block{Kind: Table, Rows: rows})
	}
}

func (d *Document) add(b Block) {
	if strings.TrimSpace(b.Text) != "" {
		d.Blocks = append(d.Blocks, b)
	}
}

// Write writes the document in a format. Rows of a table that are shorter than its
// first are filled up.
func (d *Document) Write(w io.Writer, f Format) error {
	var err error
	switch f {
	case DOCX:
		err = d.writeDOCX(w)
	case ODT:
		err = d.writeODT(w)
	case HTML:
		err = d.writeHTML(w)
	case PDF:
		err = d.writePDF(w)
	case MD:
		err = d.writeMD(w)
	default:
		err = fmt.Errorf("no format %q", string(f))
	}
	if err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

// wide returns the rows of a table, each as wide as the widest.
func (b Block) wide() (rows [][]string, columns int) {
	for _, r := range b.Rows {
		columns = max(columns, len(r))
	}
	for _, r := range b.Rows {
		r = slices.Clone(r)
		for len(r) < columns {
			r = append(r, "")
		}
		rows = append(rows, r)
	}
	return rows, columns
}

// level keeps the level of a heading within those that there are.
func (b Block) level() int { return min(max(b.Level, 1), 6) }
