package document

import (
	"archive/zip"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// A part is a file of an archive. The time of a part is left out, so that the
// same document is the same bytes.
type part struct{ name, text string }

func writeParts(w io.Writer, parts []part) error {
	z := zip.NewWriter(w)
	for _, p := range parts {
		h := &zip.FileHeader{Name: p.name, Method: zip.Deflate}
		if p.name == "mimetype" { // OpenDocument part 2, section 3.3: first, and as it is
			h.Method = zip.Store
		}
		f, err := z.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(f, p.text)
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}

// escaped is a text as XML and HTML carry it. What XML 1.0 cannot carry becomes U+FFFD.
func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

const docxNS = `http://schemas.openxmlformats.org/wordprocessingml/2006/main`

// writeDOCX writes the five parts without which no reader opens the file, and its
// title (ECMA-376 part 1, 11.3, and part 2).
func (d *Document) writeDOCX(w io.Writer) error {
	var b strings.Builder
	b.WriteString(xml.Header + `<w:document xmlns:w="` + docxNS + `"><w:body>`)
	para := func(style, text string) {
		b.WriteString(`<w:p>`)
		if style != "" {
			b.WriteString(`<w:pPr><w:pStyle w:val="` + style + `"/></w:pPr>`)
		}
		for i, line := range strings.Split(text, "\n") {
			b.WriteString(`<w:r>`)
			if i > 0 {
				b.WriteString(`<w:br/>`)
			}
			b.WriteString(`<w:t xml:space="preserve">` + escaped(line) + `</w:t></w:r>`)
		}
		b.WriteString(`</w:p>`)
	}
	para("Title", d.Title)
	for _, bl := range d.Blocks {
		switch bl.Kind {
		case Heading:
			para(fmt.Sprintf("Heading%d", bl.level()), bl.Text)
		case Item:
			para("ListBullet", bl.Text)
		case Table:
			rows, columns := bl.wide()
			b.WriteString(`<w:tbl><w:tblPr><w:tblStyle w:val="TableGrid"/><w:tblW w:w="5000" w:type="pct"/></w:tblPr><w:tblGrid>`)
			for range columns {
				fmt.Fprintf(&b, `<w:gridCol w:w="%d"/>`, 9000/columns)
			}
			b.WriteString(`</w:tblGrid>`)
			for i, r := range rows {
				b.WriteString(`<w:tr>`)
				if i == 0 {
					b.WriteString(`<w:trPr><w:tblHeader/></w:trPr>`)
				}
				for _, c := range r {
					b.WriteString(`<w:tc><w:tcPr><w:tcW w:w="0" w:type="auto"/></w:tcPr>`)
					style := ""
					if i == 0 {
						style = "TableHeading"
					}
					para(style, c)
					b.WriteString(`</w:tc>`)
				}
				b.WriteString(`</w:tr>`)
			}
			b.WriteString(`</w:tbl>`)
			para("", "")
		default:
			para("", bl.Text)
		}
	}
	b.WriteString(`<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1134" w:right="1134" w:bottom="1134" w:left="1134" w:header="708" w:footer="708" w:gutter="0"/></w:sectPr></w:body></w:document>`)

	return writeParts(w, []part{
		{"[Content_Types].xml", xml.Header + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>` +
			`<Override PartName="/word/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/>` +
			`<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>`},
		{"_rels/.rels", xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
			`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>` +
			`<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>`},
		{"word/_rels/document.xml.rels", xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
			`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>`},
		{"word/document.xml", b.String()},
		{"word/styles.xml", d.docxStyles()},
		{"docProps/core.xml", xml.Header + `<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/">` +
			`<dc:title>` + escaped(d.Title) + `</dc:title><dc:subject>` + escaped(d.Subject) + `</dc:subject><dc:language>` + escaped(d.Language) + `</dc:language></cp:coreProperties>`},
	})
}

func (d *Document) docxStyles() string {
	var b strings.Builder
	b.WriteString(xml.Header + `<w:styles xmlns:w="` + docxNS + `"><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Arial" w:hAnsi="Arial" w:cs="Arial"/><w:sz w:val="22"/><w:lang w:val="` +
		escaped(d.Language) + `"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing w:after="120"/></w:pPr></w:pPrDefault></w:docDefaults>` +
		`<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>`)
	style := func(id, name, props, run string) {
		b.WriteString(`<w:style w:type="paragraph" w:styleId="` + id + `"><w:name w:val="` + name + `"/><w:basedOn w:val="Normal"/><w:pPr>` + props + `</w:pPr><w:rPr>` + run + `</w:rPr></w:style>`)
	}
	style("Title", "Title", "", `<w:b/><w:sz w:val="40"/>`)
	for i := 1; i <= 6; i++ {
		style(fmt.Sprintf("Heading%d", i), fmt.Sprintf("heading %d", i),
			fmt.Sprintf(`<w:keepNext/><w:spacing w:before="240" w:after="80"/><w:outlineLvl w:val="%d"/>`, i-1), fmt.Sprintf(`<w:b/><w:sz w:val="%d"/>`, 34-2*i))
	}
	style("ListBullet", "List Bullet", `<w:ind w:left="360"/>`, "")
	style("TableHeading", "Table Heading", "", `<w:b/>`)
	b.WriteString(`<w:style w:type="table" w:styleId="TableGrid"><w:name w:val="Table Grid"/><w:tblPr><w:tblBorders>`)
	for _, side := range []string{"top", "left", "bottom", "right", "insideH", "insideV"} {
		b.WriteString(`<w:` + side + ` w:val="single" w:sz="4" w:space="0" w:color="808080"/>`)
	}
	b.WriteString(`</w:tblBorders></w:tblPr></w:style></w:styles>`)
	return b.String()
}

const odtMedia = "application/vnd.oasis.opendocument.text"

// writeODT writes an OpenDocument text.
func (d *Document) writeODT(w io.Writer) error {
	const spaces = ` xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"` +
		` xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"` +
		` xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"`
	var b strings.Builder
	b.WriteString(xml.Header + `<office:document-content` + spaces + ` office:version="1.3"><office:automatic-styles>` +
		`<style:style style:name="Cell" style:family="table-cell"><style:table-cell-properties fo:border="0.5pt solid #808080" fo:padding="0.1cm"/></style:style>` +
		`</office:automatic-styles><office:body><office:text>`)
	// White space goes by the rules of XML: more than one space is written as such.
	inner := func(text string) string {
		var out strings.Builder
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				out.WriteString(`<text:line-break/>`)
			}
			run := 0
			for _, r := range line {
				if r != ' ' {
					run = 0
					out.WriteString(escaped(string(r)))
					continue
				}
				if run++; run == 1 && out.Len() > 0 {
					out.WriteByte(' ')
				} else {
					out.WriteString(`<text:s/>`)
				}
			}
		}
		return out.String()
	}
	b.WriteString(`<text:p text:style-name="Title">` + inner(d.Title) + `</text:p>`)
	listed := false
	for i, bl := range d.Blocks {
		if bl.Kind == Item && !listed {
			b.WriteString(`<text:list>`)
		}
		listed = bl.Kind == Item
		switch bl.Kind {
		case Heading:
			fmt.Fprintf(&b, `<text:h text:style-name="Heading_20_%d" text:outline-level="%d">%s</text:h>`, bl.level(), bl.level(), inner(bl.Text))
		case Item:
			b.WriteString(`<text:list-item><text:p>` + inner(bl.Text) + `</text:p></text:list-item>`)
			if i+1 == len(d.Blocks) || d.Blocks[i+1].Kind != Item {
				b.WriteString(`</text:list>`)
			}
		case Table:
			rows, columns := bl.wide()
			fmt.Fprintf(&b, `<table:table table:name="Table%d"><table:table-column table:number-columns-repeated="%d"/>`, i+1, columns)
			for j, r := range rows {
				if j == 0 {
					b.WriteString(`<table:table-header-rows>`)
				}
				b.WriteString(`<table:table-row>`)
				for _, c := range r {
					b.WriteString(`<table:table-cell table:style-name="Cell"><text:p>` + inner(c) + `</text:p></table:table-cell>`)
				}
				b.WriteString(`</table:table-row>`)
				if j == 0 {
					b.WriteString(`</table:table-header-rows>`)
				}
			}
			b.WriteString(`</table:table>`)
		default:
			b.WriteString(`<text:p text:style-name="Standard">` + inner(bl.Text) + `</text:p>`)
		}
	}
	b.WriteString(`</office:text></office:body></office:document-content>`)

	var s strings.Builder
	s.WriteString(xml.Header + `<office:document-styles` + spaces + ` office:version="1.3"><office:styles>` +
		`<style:style style:name="Standard" style:family="paragraph"><style:paragraph-properties fo:margin-bottom="0.2cm"/></style:style>` +
		`<style:style style:name="Title" style:family="paragraph"><style:text-properties fo:font-size="20pt" fo:font-weight="bold"/></style:style>`)
	for i := 1; i <= 6; i++ {
		fmt.Fprintf(&s, `<style:style style:name="Heading_20_%d" style:display-name="Heading %d" style:family="paragraph" style:default-outline-level="%d">`+
			`<style:paragraph-properties fo:margin-top="0.4cm" fo:margin-bottom="0.1cm" fo:keep-with-next="always"/><style:text-properties fo:font-size="%dpt" fo:font-weight="bold"/></style:style>`, i, i, i, 17-i)
	}
	s.WriteString(`</office:styles></office:document-styles>`)
	return writeParts(w, []part{
		{"mimetype", odtMedia},
		{"META-INF/manifest.xml", xml.Header + `<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.3">` +
			`<manifest:file-entry manifest:full-path="/" manifest:version="1.3" manifest:media-type="` + odtMedia + `"/>` +
			`<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="styles.xml" manifest:media-type="text/xml"/>` +
			`<manifest:file-entry manifest:full-path="meta.xml" manifest:media-type="text/xml"/></manifest:manifest>`},
		{"content.xml", b.String()},
		{"styles.xml", s.String()},
		{"meta.xml", xml.Header + `<office:document-meta` + spaces + ` office:version="1.3"><office:meta><dc:title>` + escaped(d.Title) + `</dc:title><dc:subject>` + escaped(d.Subject) +
			`</dc:subject><dc:language>` + escaped(d.Language) + `</dc:language></office:meta></office:document-meta>`},
	})
}
