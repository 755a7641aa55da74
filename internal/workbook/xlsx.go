package workbook

import (
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
)

// maxParts is the longest token and the most entries of the parts that say
// what a workbook has.
const (
	maxToken   = 1 << 20
	maxStyles  = 100_000
	maxFormats = 20_000
)

// openXLSX reads the workbook's sheets, styles and shared texts.
func (b *Book) openXLSX() error {
	main := "xl/workbook.xml"
	if !b.zip.has(main) {
		main = ""
		rels, err := b.relations("_rels/.rels", "")
		if err != nil {
			return err
		}
		for _, r := range rels {
			if r.kind == "officeDocument" {
				main = r.target
			}
		}
		if main == "" || !strings.Contains(main, "workbook") || !b.zip.has(main) {
			return notWorkbook("")
		}
	}
	dir := path.Dir(main)
	rels, err := b.relations(path.Join(dir, "_rels", path.Base(main)+".rels"), dir)
	if err != nil {
		return err
	}
	if err := b.sheetsOf(main, rels); err != nil {
		return err
	}
	b.looks = []look{{}}
	b.texts = &texts{}
	for _, r := range rels {
		switch r.kind {
		case "styles":
			err = b.styles(r.target)
		case "sharedStrings":
			err = b.sharedTexts(r.target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A relation is an entry of a .rels part: what a part has to do with another.
type relation struct{ kind, target string }

func (b *Book) relations(part, dir string) (map[string]relation, error) {
	out := map[string]relation{}
	err := b.elements(part, func(e xml.StartElement, p *xmlPart) error {
		if e.Name.Local != "Relationship" || strings.EqualFold(attr(e, "TargetMode"), "External") {
			return nil
		}
		if len(out) > maxFormats {
			return tooLarge("the workbook has more than %d parts", maxFormats)
		}
		target := strings.ReplaceAll(attr(e, "Target"), `\`, "/")
		if strings.HasPrefix(target, "/") {
			target = path.Clean(target)[1:]
		} else {
			target = path.Join(dir, target)
		}
		out[attr(e, "Id")] = relation{kind: path.Base(attr(e, "Type")), target: target}
		return nil
	})
	return out, err
}

// elements calls f for every element of a part.
func (b *Book) elements(part string, f func(xml.StartElement, *xmlPart) error) error {
	p, err := b.zip.xml(part, maxToken)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		t, err := p.token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e, ok := t.(xml.StartElement); ok {
			if err := f(e, p); err != nil {
				return err
			}
		}
	}
}

func (b *Book) sheetsOf(main string, rels map[string]relation) error {
	return b.elements(main, func(e xml.StartElement, p *xmlPart) error {
		switch e.Name.Local {
		case "workbookPr":
			b.y1904 = isTrue(attr(e, "date1904"))
		case "sheet":
			if len(p.open) < 2 || p.open[len(p.open)-2] != "sheets" {
				return nil
			}
			id := ""
			for _, a := range e.Attr { // r:id, whatever its prefix; sheetId is another
				if a.Name.Local == "id" {
					id = a.Value
				}
			}
			rel, ok := rels[id]
			if !ok {
				return damaged("the workbook is damaged: it names a sheet that is not there")
			}
			if rel.kind != "worksheet" {
				return nil // a chart, or a dialogue
			}
			if len(b.sheets) == b.lim.Sheets {
				return tooLarge("the workbook has more than %d sheets", b.lim.Sheets)
			}
			state := attr(e, "state")
			b.sheets = append(b.sheets, Sheet{Name: attr(e, "name"), Hidden: state == "hidden" || state == "veryHidden", part: rel.target})
		}
		return nil
	})
}

// styles reads which number format each style has.
func (b *Book) styles(part string) error {
	formats := map[int]look{}
	b.looks = nil
	err := b.elements(part, func(e xml.StartElement, p *xmlPart) error {
		parent := ""
		if n := len(p.open); n > 1 {
			parent = p.open[n-2]
		}
		switch {
		case e.Name.Local == "numFmt" && parent == "numFmts":
			if len(formats) > maxFormats {
				return tooLarge("the workbook has more than %d number formats", maxFormats)
			}
			if id, err := strconv.Atoi(attr(e, "numFmtId")); err == nil {
				formats[id] = lookOf(attr(e, "formatCode"))
			}
		case e.Name.Local == "xf" && parent == "cellXfs":
			if len(b.looks) > maxStyles {
				return tooLarge("the workbook has more than %d styles", maxStyles)
			}
			id, _ := strconv.Atoi(attr(e, "numFmtId"))
			l, own := formats[id]
			if !own {
				l = builtIn(id)
			}
			b.looks = append(b.looks, l)
		}
		return nil
	})
	if len(b.looks) == 0 {
		b.looks = []look{{}}
	}
	return err
}

// texts are the texts that cells share, one after the other.
type texts struct {
	blocks [][]byte
	at     []span
}

type span struct{ block, from, to uint32 }

const blockSize = 1 << 20

func (t *texts) add(s string) {
	n := len(t.blocks) - 1
	if n < 0 || len(t.blocks[n])+len(s) > cap(t.blocks[n]) {
		t.blocks = append(t.blocks, make([]byte, 0, max(blockSize, len(s))))
		n++
	}
	from := len(t.blocks[n])
	t.blocks[n] = append(t.blocks[n], s...)
	t.at = append(t.at, span{uint32(n), uint32(from), uint32(from + len(s))})
}

func (t *texts) text(i int) (string, bool) {
	if i < 0 || i >= len(t.at) {
		return "", false
	}
	s := t.at[i]
	return string(t.blocks[s.block][s.from:s.to]), true
}

// sharedTexts reads the table of texts. What stands beside a text to say how it
// is pronounced is left out.
func (b *Book) sharedTexts(part string) error {
	total := int64(0)
	return b.elements(part, func(e xml.StartElement, p *xmlPart) error {
		if e.Name.Local != "si" || len(p.open) != 2 {
			return nil
		}
		s, err := richText(p, b.lim.CellLen)
		if err != nil {
			return err
		}
		if total += int64(len(s)) + 12; total > b.lim.Texts {
			return tooLarge("the texts of the workbook are more than %d MiB", b.lim.Texts>>20)
		}
		b.texts.add(s)
		return nil
	})
}

// richText returns the text of an element made of t, or of r with t inside,
// that was just opened.
func richText(p *xmlPart, limit int) (string, error) {
	var s strings.Builder
	for depth := len(p.open); len(p.open) >= depth; {
		t, err := p.token()
		if err != nil {
			return "", whole(err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "t":
			text, err := p.text(limit)
			if err != nil {
				return "", err
			}
			if s.WriteString(text); s.Len() > limit {
				return "", tooLarge("a cell of the workbook is longer than %d bytes", limit)
			}
		case "rPh", "phoneticPr":
			if err := p.skip(); err != nil {
				return "", err
			}
		}
	}
	return unescape(s.String()), nil
}

// unescape reads the characters that XML cannot have and XLSX writes as
// _xHHHH_ (ECMA-376 part 1, 22.9.2.19). Line ends are LF.
func unescape(s string) string {
	if strings.Contains(s, "_x") {
		var out strings.Builder
		for i := 0; i < len(s); {
			if n := len("_x000D_"); s[i] == '_' && i+n <= len(s) && s[i+1] == 'x' && s[i+n-1] == '_' {
				if c, err := strconv.ParseUint(s[i+2:i+n-1], 16, 16); err == nil && (c < 0xD800 || c > 0xDFFF) {
					out.WriteRune(rune(c))
					i += n
					continue
				}
			}
			out.WriteByte(s[i])
			i++
		}
		s = out.String()
	}
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return s
}
