package document

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// Unprintable returns the characters of the document for which the fonts of a PDF
// have no sign, in order: they know Latin, Greek and Cyrillic. Each is printed by its
// number, as U+4E2D, since a question mark in its place would be another text.
func (d *Document) Unprintable() []rune {
	var out []rune
	var p printer
	for _, b := range d.Blocks {
		for _, s := range append([]string{d.Title, b.Text}, slices.Concat(b.Rows...)...) {
			for _, r := range s {
				if r != '\n' && !p.has(r) && !slices.Contains(out, r) {
					out = append(out, r)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

type printer struct {
	pdf  *fpdf.Fpdf
	font *sfnt.Font
	buf  sfnt.Buffer
	seen map[rune]bool
}

func (p *printer) has(r rune) bool {
	if p.font == nil {
		f, err := sfnt.Parse(goregular.TTF)
		if err != nil {
			panic("internal error: read font: " + err.Error())
		}
		p.font, p.seen = f, map[rune]bool{}
	}
	has, known := p.seen[r]
	if !known {
		i, err := p.font.GlyphIndex(&p.buf, r)
		has = err == nil && i != 0 && r >= ' '
		p.seen[r] = has
	}
	return has
}

func (p *printer) text(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || p.has(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "U+%04X", r)
		}
	}
	return b.String()
}

const lineHeight = 5.2 // millimetres, of the 10.5 point text

func (d *Document) writePDF(w io.Writer) error {
	pdf := fpdf.New("P", "mm", "A4", "")
	p := &printer{pdf: pdf}
	// A date would make two prints of one text two files.
	epoch := time.Unix(0, 0).UTC()
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(epoch)
	pdf.SetModificationDate(epoch)
	pdf.SetTitle(d.Title, true)
	pdf.SetSubject(d.Subject, true)
	pdf.SetLang(d.Language)
	pdf.SetMargins(20, 18, 20)
	pdf.SetAutoPageBreak(true, 20)
	pdf.AddUTF8FontFromBytes("go", "", goregular.TTF)
	pdf.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	pdf.AliasNbPages("{pages}")
	pdf.SetFooterFunc(func() {
		pdf.SetY(-14)
		pdf.SetFont("go", "", 8)
		pdf.CellFormat(0, 5, fmt.Sprintf("%s   %d of {pages}", p.text(d.Title), pdf.PageNo()), "", 0, "L", false, 0, "")
	})
	pdf.AddPage()
	write := func(style string, size, height float64, text string) {
		pdf.SetFont("go", style, size)
		pdf.MultiCell(0, height, p.text(text), "", "L", false)
	}
	write("B", 18, 8, d.Title)
	for _, b := range d.Blocks {
		switch b.Kind {
		case Heading:
			pdf.Ln(3)
			if pdf.GetY() > 255 {
				pdf.AddPage() // no heading alone at the foot of a page
			}
			size := float64(16 - 1.5*float64(b.level()))
			write("B", size, size/2, b.Text)
			pdf.Ln(1)
		case Item:
			pdf.SetFont("go", "", 10.5)
			pdf.CellFormat(5, lineHeight, "•", "", 0, "L", false, 0, "")
			pdf.SetLeftMargin(25)
			pdf.SetX(25)
			write("", 10.5, lineHeight, b.Text)
			pdf.SetLeftMargin(20)
			pdf.SetX(20)
		case Table:
			p.table(b)
			pdf.Ln(2)
		default:
			write("", 10.5, lineHeight, b.Text)
			pdf.Ln(1.5)
		}
	}
	return pdf.Output(w)
}

// table prints a table row by row, each as high as its highest cell.
func (p *printer) table(b Block) {
	rows, columns := b.wide()
	if columns == 0 {
		return
	}
	width := 170 / float64(columns)
	for i, r := range rows {
		style := ""
		if i == 0 {
			style = "B"
		}
		p.pdf.SetFont("go", style, 9)
		cells := make([][]string, columns)
		high := 1
		for j, c := range r {
			for _, line := range strings.Split(p.text(c), "\n") {
				cells[j] = append(cells[j], p.pdf.SplitText(line, width-2)...)
				if line == "" {
					cells[j] = append(cells[j], "")
				}
			}
			high = max(high, len(cells[j]))
		}
		// A row that is higher than a page is printed in pieces.
		const most = 50
		for from := 0; from < high; from += most {
			lines := min(most, high-from)
			height := float64(lines)*4.4 + 1.5
			if p.pdf.GetY()+height > 277 {
				p.pdf.AddPage()
				p.pdf.SetFont("go", style, 9)
			}
			y := p.pdf.GetY()
			for j := range cells {
				x := 20 + float64(j)*width
				p.pdf.Rect(x, y, width, height, "D")
				for k := from; k < min(from+lines, len(cells[j])); k++ {
					p.pdf.SetXY(x, y+.7+float64(k-from)*4.4)
					p.pdf.CellFormat(width, 4.4, cells[j][k], "", 0, "L", false, 0, "")
				}
			}
			p.pdf.SetXY(20, y+height)
		}
	}
}
