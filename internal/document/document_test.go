package document_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/document"
)

func sample() *document.Document {
	d := &document.Document{Title: "Data sharing agreement", Subject: "a test", Language: "en-GB"}
	d.Heading(1, "Purpose & <scope>")
	d.Add("To house people.\nSecond line with *stars*, under_scores, [brackets] | bars and back\\slash.")
	d.Add("1. not a list; # not a heading")
	d.Add("- not an item")
	d.Heading(2, "Fields")
	d.Item("name — whose it is")
	d.Item("postcode\nof the home")
	d.Table([]string{"Field", "In words"}, []string{"/applicant/name", "the name | of whom\nit is about"}, []string{"/nino", ""})
	d.Add("Tŷ Caerdydd, Łódź, “quoted”, <script>alert(1)</script>")
	return d
}

// What is written in a form that can be read comes back, block by block.
func TestReadsBack(t *testing.T) {
	for _, f := range []document.Format{document.DOCX, document.ODT, document.MD} {
		var b bytes.Buffer
		if err := sample().Write(&b, f); err != nil {
			t.Fatal(err)
		}
		got, err := document.Read(b.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if got.Title != "Data sharing agreement" {
			t.Errorf("%s: title %q", f, got.Title)
		}
		want := sample().Blocks
		if len(got.Blocks) != len(want) {
			t.Fatalf("%s: %d blocks, want %d: %+v", f, len(got.Blocks), len(want), got.Blocks)
		}
		for i, g := range got.Blocks {
			if g.Place == "" {
				t.Errorf("%s: block %d has no place", f, i)
			}
			g.Place = ""
			if f == document.MD && g.Kind == document.Heading {
				g.Level-- // the title is the first level
			}
			for _, r := range g.Rows { // an empty cell at the end is no text
				for len(r) < 2 {
					r = append(r, "")
				}
			}
			if !reflect.DeepEqual(g, want[i]) {
				t.Errorf("%s: block %d is %+v, want %+v", f, i, g, want[i])
			}
		}
	}
}

// The same document is the same bytes, in every format.
func TestSameBytes(t *testing.T) {
	for _, f := range document.Formats() {
		var a, b bytes.Buffer
		if err := errors.Join(sample().Write(&a, f), sample().Write(&b, f)); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) || a.Len() == 0 {
			t.Errorf("%s: two prints of one document differ", f)
		}
	}
	if err := sample().Write(io.Discard, "rtf"); err == nil {
		t.Error("a format that there is not was written")
	}
}

// Each part of an archive is whole XML, has a type, and every relationship leads to a
// part that is there.
func TestParts(t *testing.T) {
	for _, f := range []document.Format{document.DOCX, document.ODT} {
		var b bytes.Buffer
		if err := sample().Write(&b, f); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		parts := map[string]string{}
		for i, p := range z.File {
			r, err := p.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			parts[p.Name] = string(text)
			if p.Name == "mimetype" {
				if i != 0 || p.Method != zip.Store {
					t.Error("odt: mimetype is not the first part, as it is")
				}
				continue
			}
			for dec := xml.NewDecoder(bytes.NewReader(text)); ; {
				if _, err := dec.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: part %s: %v", f, p.Name, err)
				}
			}
		}
		if f == document.ODT {
			var m struct {
				Entries []struct {
					Path string `xml:"full-path,attr"`
				} `xml:"file-entry"`
			}
			if err := xml.Unmarshal([]byte(parts["META-INF/manifest.xml"]), &m); err != nil || len(m.Entries) != 4 {
				t.Fatalf("manifest: %v, %d entries", err, len(m.Entries))
			}
			for _, e := range m.Entries {
				if e.Path != "/" && parts[e.Path] == "" {
					t.Errorf("the manifest names %s, which is not there", e.Path)
				}
			}
			continue
		}
		for name, text := range parts {
			if !strings.HasSuffix(name, ".rels") {
				continue
			}
			var r struct {
				Relationship []struct {
					Target string `xml:",attr"`
				}
			}
			if err := xml.Unmarshal([]byte(text), &r); err != nil || len(r.Relationship) == 0 {
				t.Fatalf("%s: %v", name, err)
			}
			for _, rel := range r.Relationship {
				if at := path.Join(path.Dir(path.Dir(name)), rel.Target); parts[at] == "" {
					t.Errorf("%s leads to %s, which is not there", name, at)
				}
			}
		}
		for _, want := range []string{"/word/document.xml", "/word/styles.xml", "/docProps/core.xml"} {
			if !strings.Contains(parts["[Content_Types].xml"], `PartName="`+want+`"`) {
				t.Errorf("%s has no type", want)
			}
		}
	}
}

// A page holds no text that a browser would take for more.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Write(&b, document.HTML); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "<script") || !strings.Contains(s, "&lt;script&gt;") || !strings.Contains(s, "<th>Field</th>") {
		t.Errorf("page: %s", s)
	}
}

// A character that the PDF's fonts do not have is printed by its number.
func TestUnprintable(t *testing.T) {
	d := sample()
	if got := d.Unprintable(); got != nil {
		t.Errorf("no sign for %q", got)
	}
	d.Add("中")
	if got := d.Unprintable(); string(got) != "中" {
		t.Errorf("no sign for %q, want 中", got)
	}
	if err := d.Write(io.Discard, document.PDF); err != nil {
		t.Fatal(err)
	}
}

func zipped(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, parts[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const body = `<w:document xmlns:w="x"><w:body>`

// What would cost more than a document is worth is refused, in words that say what.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		what, want string
		file       []byte
	}{
		{"token", "tag or a run of text", zipped(t, "word/document.xml", body+"<w:p><w:r><w:t>"+strings.Repeat("a", 300<<10)+"</w:t></w:r></w:p></w:body></w:document>")},
		{"depth", "nested too deep", zipped(t, "word/document.xml", strings.Repeat("<a>", 300)+strings.Repeat("</a>", 300))},
		{"blocks", "more than 20000 paragraphs", zipped(t, "word/document.xml", body+strings.Repeat("<w:p><w:r><w:t>a</w:t></w:r></w:p>", 20002)+"</w:body></w:document>")},
		{"entities", "document type", zipped(t, "content.xml", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>`)},
		{"entity", "no whole XML", zipped(t, "content.xml", `<x>&b;</x>`)},
		{"open", "no whole XML", zipped(t, "content.xml", `<x><y></x>`)},
		{"twice", "a part twice", zipped(t, "content.xml", "<x/>", "content.xml", "<x/>")},
		{"other archive", "neither a Word", zipped(t, "a.txt", "a")},
		{"cut", "breaks off", zipped(t, "content.xml", "<x/>")[:40]},
		{"old Word", "before 2007", []byte("\xD0\xCF\x11\xE0 rest")},
		{"pdf", "has no headings", []byte("%PDF-1.7")},
		{"rtf", "Rich Text", []byte(`{\rtf1}`)},
		{"binary", "no text in UTF-8", []byte{0xff, 0xfe, 0}},
		{"size", "larger than", make([]byte, document.MaxFile+1)},
	} {
		_, err := document.Read(c.file)
		if !errors.Is(err, document.ErrRead) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// An archive that unpacks to more than it may is refused in the middle of it, whatever
// its directory says.
func TestBomb(t *testing.T) {
	bomb := zipped(t, "word/document.xml", body+strings.Repeat("<w:p></w:p>"+strings.Repeat(" ", 4000), 20)+"</w:body></w:document>")
	if _, err := document.ReadWithin(bomb, 200<<10); err != nil {
		t.Fatal(err)
	}
	if _, err := document.ReadWithin(bomb, 60<<10); err == nil || !strings.Contains(err.Error(), "unpacks to more than") {
		t.Errorf("a bomb: %v", err)
	}
}

// What a person sees is read, and what was struck out or stands in the margin is not.
func TestReadsWhatIsSeen(t *testing.T) {
	docx := zipped(t,
		"word/styles.xml", `<w:styles xmlns:w="x"><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style><w:style w:styleId="Own"><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>`,
		"word/document.xml", body+`<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr><w:r><w:t>Purpose</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">To </w:t></w:r><w:del><w:r><w:delText>sell</w:delText></w:r></w:del><w:ins><w:r><w:t>house</w:t></w:r></w:ins><w:r><w:tab/><w:t>people</w:t></w:r></w:p>
<w:p><w:pPr><w:pStyle w:val="Own"/></w:pPr><w:r><w:t>More</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Review</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>yearly</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl></w:body></w:document>`)
	d, err := document.Read(docx)
	if err != nil {
		t.Fatal(err)
	}
	want := []document.Block{
		{Kind: document.Heading, Level: 1, Text: "Purpose", Place: "paragraph 1"},
		{Text: "To house people", Place: "paragraph 2"},
		{Kind: document.Heading, Level: 2, Text: "More", Place: "paragraph 3"},
		{Kind: document.Table, Rows: [][]string{{"Review", "yearly\ninner"}}, Place: "table 1"},
	}
	if !reflect.DeepEqual(d.Blocks, want) {
		t.Errorf("docx: %+v", d.Blocks)
	}
	d, err = document.Read(zipped(t, "content.xml", `<o:document-content xmlns:o="o" xmlns:t="t"><o:body><o:text><t:tracked-changes><t:p>sell</t:p></t:tracked-changes>
<t:h t:outline-level="2">Purpose</t:h><t:p>To   house<t:s t:c="2"/>people<o:annotation><t:p>why?</t:p></o:annotation></t:p></o:text></o:body></o:document-content>`))
	if err != nil {
		t.Fatal(err)
	}
	want = []document.Block{{Kind: document.Heading, Level: 2, Text: "Purpose", Place: "paragraph 1"}, {Text: "To house  people", Place: "paragraph 2"}}
	if !reflect.DeepEqual(d.Blocks, want) {
		t.Errorf("odt: %+v", d.Blocks)
	}
	d, err = document.Read([]byte("Agreement\n=========\n\nIntro of\ntwo lines.\n\n## **Purpose**\n- one\n* two\n\n| a | b |\n|---|---|\n| c \\| d | `e` |\n"))
	if err != nil || d.Title != "Agreement" {
		t.Fatal(d, err)
	}
	want = []document.Block{
		{Text: "Intro of two lines.", Place: "line 4"},
		{Kind: document.Heading, Level: 2, Text: "Purpose", Place: "line 7"},
		{Kind: document.Item, Text: "one", Place: "line 8"}, {Kind: document.Item, Text: "two", Place: "line 9"},
		{Kind: document.Table, Rows: [][]string{{"a", "b"}, {"c | d", "e"}}, Place: "line 11"},
	}
	if !reflect.DeepEqual(d.Blocks, want) {
		t.Errorf("md: %+v", d.Blocks)
	}
}

// Word in the browser calls the main part document2.xml, and its styles likewise: the
// relationships name both. A workbook has a main part, too, and is no document.
func TestMainPartByItsRelationship(t *testing.T) {
	const types, rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/", `<Relationships xmlns="x"><Relationship Id="a" Type="%" Target="https://example.org/x" TargetMode="External"/><Relationship Id="b" Type="%" Target="@"/></Relationships>`
	rel := func(kind, target string) string {
		return strings.NewReplacer("%", types+kind, "@", target).Replace(rels)
	}
	text := body + `<w:p><w:pPr><w:pStyle w:val="H"/></w:pPr><w:r><w:t>Purpose</w:t></w:r></w:p><w:p><w:pPr><w:rPr><w:vanish/></w:rPr></w:pPr><w:r><w:t>To house</w:t></w:r>` +
		`<w:r><w:rPr><w:vanish/></w:rPr><w:t xml:space="preserve"> and to sell</w:t></w:r><w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t xml:space="preserve"> people</w:t></w:r></w:p></w:body></w:document>`
	styles := `<w:styles xmlns:w="x"><w:style w:styleId="H"><w:name w:val="heading 1"/></w:style></w:styles>`
	for _, target := range []string{"word/document2.xml", "/word/document2.xml", "./word/x/../document2.xml"} {
		d, err := document.Read(zipped(t, "_rels/.rels", rel("officeDocument", target), "word/_rels/document2.xml.rels", rel("styles", "styles2.xml"),
			"word/styles2.xml", styles, "word/document2.xml", text))
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if len(d.Blocks) != 2 || d.Blocks[0].Kind != document.Heading || d.Blocks[1].Text != "To house people" {
			t.Errorf("%s: %+v", target, d.Blocks)
		}
	}
	// One that names a part that is not there is read by the usual name.
	if d, err := document.Read(zipped(t, "_rels/.rels", rel("officeDocument", "word/gone.xml"), "word/document.xml", text)); err != nil || len(d.Blocks) != 2 {
		t.Errorf("the usual name: %v", err)
	}
	if _, err := document.Read(zipped(t, "_rels/.rels", rel("officeDocument", "xl/workbook.xml"), "xl/workbook.xml", "<x/>")); !errors.Is(err, document.ErrRead) {
		t.Errorf("a workbook: %v", err)
	}
	if _, err := document.Read(zipped(t, "_rels/.rels", strings.Repeat("<a>", 300)+strings.Repeat("</a>", 300), "word/document.xml", text)); !errors.Is(err, document.ErrRead) {
		t.Errorf("relationships nested too deep: %v", err)
	}
}

// FuzzRead: no file makes the reader panic, and what it takes can be written in every
// format and, from those that can be read, read again.
func FuzzRead(f *testing.F) {
	for _, form := range []document.Format{document.DOCX, document.ODT, document.MD} {
		var b bytes.Buffer
		if err := sample().Write(&b, form); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("| a\n|-\n\\\n# b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := document.Read(b)
		if err != nil {
			return
		}
		for _, form := range []document.Format{document.DOCX, document.ODT, document.MD, document.HTML} {
			var out bytes.Buffer
			if err := d.Write(&out, form); err != nil {
				t.Fatal(err)
			}
			if form == document.HTML || out.Len() > document.MaxFile {
				continue
			}
			if _, err := document.Read(out.Bytes()); err != nil && !strings.Contains(err.Error(), "more than") {
				t.Errorf("%s: %v", form, err)
			}
		}
	})
}
