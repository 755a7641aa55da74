package workbook

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"encoding/xml"
	"errors"

	"io"
	"path"
	"strings"
)

// An archive is a zip file of which no more is unpacked than its limit.
type archive struct {
	in    *boundedAt
	parts map[string]*zip.File // by lower-case name: names of parts are compared so
	left  int64                // bytes that may still be unpacked
	limit int64
}

// maxDirectory is how many bytes of a file may be looked at to find out what is
// in the archive: some 50,000 parts.
const maxDirectory = 8 << 20

// boundedAt gives no more bytes than its budget, while there is one, and keeps
// the error of the reader below apart from what a parser makes of it.
type boundedAt struct {
	r      io.ReaderAt
	budget int64 // -1: none
	err    error
}

var errBudget = errors.New("over the budget")

func (b *boundedAt) ReadAt(p []byte, off int64) (int, error) {
	if b.budget >= 0 {
		if b.budget -= int64(len(p)); b.budget < 0 {
			b.budget = 0
			return 0, errBudget
		}
	}
	if off < 0 {
		return 0, zip.ErrFormat // a directory that begins before the file
	}
	n, err := b.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func openArchive(r io.ReaderAt, size, limit int64) (*archive, error) {
	a := &archive{in: &boundedAt{r: r, budget: maxDirectory}, parts: map[string]*zip.File{}, left: limit, limit: limit}
	z, err := zip.NewReader(a.in, size)
	switch {
	case a.in.err != nil:
		return nil, a.in.err
	case errors.Is(err, errBudget):
		return nil, tooLarge("the archive has too many parts")
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return nil, &Error{Detail: "the archive breaks off or is damaged", Fix: "have the file sent again; it was probably cut off on the way"}
	}
	a.in.budget = -1
	for _, f := range z.File {
		key := partKey(f.Name)
		if strings.HasSuffix(key, "/") {
			continue
		}
		if _, twice := a.parts[key]; twice {
			return nil, damaged("the archive has a part twice")
		}
		a.parts[key] = f
	}
	return a, nil
}

func partKey(name string) string {
	return strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(name, `\`, "/"), "/"))
}

func (a *archive) has(name string) bool { return a.parts[partKey(name)] != nil }

// kind tells by the parts of an archive what it is.
func (a *archive) kind() string {
	under := func(prefix string) bool {
		for k := range a.parts {
			if strings.HasPrefix(k, prefix) {
				return true
			}
		}
		return false
	}
	mimetype := ""
	if f := a.parts["mimetype"]; f != nil && f.UncompressedSize64 < 200 {
		if in, err := a.open("mimetype"); err == nil {
			b, _ := io.ReadAll(io.LimitReader(in, 200))
			mimetype = strings.TrimSpace(string(b))
			in.Close()
		}
	}
	switch {
	case a.has("xl/workbook.bin"):
		return "xlsb"
	case a.has("xl/workbook.xml"):
		return "xlsx"
	case strings.HasPrefix(mimetype, "application/vnd.oasis.opendocument.spreadsheet"):
		return "ods"
	case strings.HasPrefix(mimetype, "application/vnd.oasis.opendocument.text"), a.has("word/document.xml"):
		return "docx"
	case strings.HasPrefix(mimetype, "application/vnd.oasis.opendocument.presentation"), a.has("ppt/presentation.xml"):
		return "pptx"
	case a.has("content.xml") && a.has("META-INF/manifest.xml") && mimetype == "":
		return "ods"
	case under("index/") && (a.has("index.zip") || under("index/document.iwa") || under("index/calculationengine")), a.has("index.zip"):
		return "numbers"
	case a.has("[Content_Types].xml"):
		return "xlsx" // a workbook may stand under another name
	}
	return ""
}

// open starts unpacking a part.
func (a *archive) open(name string) (io.ReadCloser, error) {
	f := a.parts[partKey(name)]
	if f == nil {
		return nil, damaged("the workbook is without its part %q", path.Base(name))
	}
	if f.Flags&1 != 0 {
		return nil, notWorkbook("locked")
	}
	in, err := f.Open()
	if err != nil {
		return nil, a.explain(err)
	}
	return &unpacking{a: a, in: in}, nil
}

// explain says what an error met while unpacking means.
func (a *archive) explain(err error) error {
	var own *Error
	var broken flate.CorruptInputError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case a.in.err != nil:
		return a.in.err // the reader's own
	case errors.As(err, &own):
		return own
	case errors.Is(err, zip.ErrAlgorithm):
		return damaged("the workbook is packed in a way that is not known")
	case errors.Is(err, zip.ErrChecksum), errors.Is(err, zip.ErrFormat), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken):
		return &Error{Detail: "the workbook is damaged: a part of it cannot be unpacked", Fix: "have the file sent again, or open it in a spreadsheet and save it again"}
	}
	return &Error{Detail: "the workbook is damaged", Fix: saveAgain}
}

// unpacking is a part being unpacked.
type unpacking struct {
	a  *archive
	in io.ReadCloser
}

func (u *unpacking) Read(p []byte) (int, error) {
	n, err := u.in.Read(p)
	if u.a.left -= int64(n); u.a.left < 0 {
		return 0, tooLarge("the workbook unpacks to more than %d MiB", u.a.limit>>20)
	}
	return n, err
}

func (u *unpacking) Close() error { return u.in.Close() }

// An xmlPart is the XML of a part, token by token. No token is longer than its
// limit, elements close in the order they opened, and there are no document
// types. Names come without their prefix: the parts of a workbook do not mix
// vocabularies in which a name means two things, but for those told apart by
// the caller.
type xmlPart struct {
	a    *archive
	name string
	in   io.ReadCloser
	src  *tokenSource
	dec  *xml.Decoder
	open []string // elements
}

const maxDepth = 256

// tokenSource gives the decoder its bytes and stops it in the middle of a token
// that is too long.
type tokenSource struct {
	r     *bufio.Reader
	left  int
	limit int
	err   error
}

func (s *tokenSource) ReadByte() (byte, error) {
	if s.left--; s.left < 0 {
		s.err = tooLarge("a cell of the workbook is longer than %d bytes", s.limit)
		return 0, s.err
	}
	c, err := s.r.ReadByte()
	if err != nil {
		s.err = err
	}
	return c, err
}

func (s *tokenSource) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

func (a *archive) xml(name string, tokenLen int) (*xmlPart, error) {
	in, err := a.open(name)
	if err != nil {
		return nil, err
	}
	src := &tokenSource{r: bufio.NewReaderSize(in, 64<<10), limit: tokenLen}
	p := &xmlPart{a: a, name: name, in: in, src: src, dec: xml.NewDecoder(src)}
	p.dec.CharsetReader = func(string, io.Reader) (io.Reader, error) {
		return nil, damaged("a part of the workbook is not in UTF-8")
	}
	return p, nil
}

func (p *xmlPart) close() { p.in.Close() }

// token returns the next start, end or text. At the end of the part it returns
// io.EOF, when everything is closed.
func (p *xmlPart) token() (xml.Token, error) {
	for {
		p.src.left = p.src.limit
		t, err := p.dec.RawToken()
		if err != nil {
			switch {
			case errors.Is(err, io.EOF) && len(p.open) == 0:
				return nil, io.EOF
			case p.src.err != nil && !errors.Is(p.src.err, io.EOF):
				return nil, p.a.explain(p.src.err)
			}
			return nil, damaged("the workbook is damaged: its part %q is no whole XML", path.Base(p.name))
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(p.open) == maxDepth {
				return nil, damaged("the workbook is nested too deep")
			}
			p.open = append(p.open, t.Name.Local)
			return t, nil
		case xml.EndElement:
			if len(p.open) == 0 || p.open[len(p.open)-1] != t.Name.Local {
				return nil, damaged("the workbook is damaged: its part %q is no whole XML", path.Base(p.name))
			}
			p.open = p.open[:len(p.open)-1]
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, damaged("a part of the workbook has a document type, which no spreadsheet writes")
		}
	}
}

// skip passes over everything to the end of the element that was just opened.
func (p *xmlPart) skip() error {
	for depth := len(p.open); len(p.open) >= depth; {
		if _, err := p.token(); err != nil {
			return whole(err)
		}
	}
	return nil
}

// text returns all the text inside the element that was just opened, without
// that of the elements named.
func (p *xmlPart) text(limit int, without ...string) (string, error) {
	var b []byte
next:
	for depth := len(p.open); len(p.open) >= depth; {
		t, err := p.token()
		if err != nil {
			return "", whole(err)
		}
		switch t := t.(type) {
		case xml.CharData:
			if len(b)+len(t) > limit {
				return "", tooLarge("a cell of the workbook is longer than %d bytes", limit)
			}
			b = append(b, t...)
		case xml.StartElement:
			for _, w := range without {
				if t.Name.Local == w {
					if err := p.skip(); err != nil {
						return "", err
					}
					continue next
				}
			}
		}
	}
	return string(b), nil
}

// whole makes an error of the end of a part inside an element.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return damaged("the workbook is damaged: a part of it breaks off")
	}
	return err
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func isTrue(s string) bool { return s == "1" || s == "true" }
