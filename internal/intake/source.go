package intake

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// An encoding is how a file spells characters as bytes.
type encoding string

const (
	encUTF8    encoding = "utf-8"
	enc1252    encoding = "windows-1252"
	encUTF16   encoding = "utf-16" // with a byte order mark, which says which
	encUTF16LE encoding = "utf-16le"
	encUTF16BE encoding = "utf-16be"
)

// A source is a window onto a file that slides forward: buf[start:end] is what
// has been read and not yet taken. It hands out UTF-8 whatever the file is in.
// Bytes the declared encoding does not have come through as 0xFF, which no
// UTF-8 has, so that the row they stand in is found to be at fault and no
// other.
type source struct {
	r     io.Reader
	enc   encoding
	buf   []byte
	start int
	end   int
	line  int   // of the file, at start
	limit int   // bytes of the longest row
	err   error // io.EOF or what the reader said, once seen

	raw     []byte // undecoded bytes carried over, at most 3
	scratch []byte // what is being decoded
	twin    twin
}

// newSource starts reading r, and holds the byte order mark at its start
// against the declared encoding. Where none is declared ("") the mark says it,
// and a file without one is UTF-8.
func newSource(r io.Reader, enc encoding, limit int) (*source, error) {
	s := &source{r: r, enc: enc, buf: make([]byte, 64<<10), line: 1, limit: limit}
	var head [4]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	b := head[:n]
	found, mark := encoding(""), 0
	switch {
	case bytes.HasPrefix(b, []byte{0xEF, 0xBB, 0xBF}):
		found, mark = encUTF8, 3
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		found, mark = encUTF16LE, 2
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		found, mark = encUTF16BE, 2
	}
	switch {
	case found == "" && enc == encUTF16:
		return nil, &FileError{Rule: RuleEncoding, Detail: "the file was declared as utf-16 and has no byte order mark",
			Fix: "set encoding: utf-16le or encoding: utf-16be"}
	case found == "":
	case enc == "":
		s.enc = found // nothing was declared, and the file says what it is in
	case enc == encUTF16 && found != encUTF8:
		s.enc = found
	case found != enc:
		return nil, &FileError{Rule: RuleEncoding, Detail: "the file was declared as " + string(enc) +
			" and begins with the byte order mark of " + string(found), Fix: "set encoding: " + string(found)}
	}
	if s.enc == "" {
		s.enc = encUTF8
	}
	s.r = io.MultiReader(bytes.NewReader(b[mark:]), r)
	return s, nil
}

// window returns what has been read and not yet taken.
func (s *source) window() []byte { return s.buf[s.start:s.end] }

// take moves the window's start forward by n bytes.
func (s *source) take(n int) {
	b := s.buf[s.start : s.start+n]
	s.line += bytes.Count(b, []byte{'\n'})
	if bytes.IndexByte(b, '\r') >= 0 {
		s.line += bytes.Count(b, []byte{'\r'}) - bytes.Count(b, []byte("\r\n"))
	}
	s.start += n
}

// full reports whether the window holds the longest row and its line end.
func (s *source) full() bool { return s.end-s.start >= s.limit+2 }

// more widens the window at its end, by at least a byte, and reports whether it
// could. It cannot at the end of the file, after an error, and when full.
func (s *source) more() bool {
	if s.err != nil || s.full() {
		return false
	}
	if s.start > 0 && s.end > len(s.buf)/2 {
		copy(s.buf, s.buf[s.start:s.end])
		s.end -= s.start
		s.start = 0
	}
	// A decoder may write three bytes for each it reads.
	if len(s.buf)-s.end < 4<<10 {
		grown := make([]byte, 2*len(s.buf))
		copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	for range 100 {
		var n int
		if s.enc == encUTF8 {
			n, s.err = s.r.Read(s.buf[s.end:])
		} else {
			n, s.err = s.decode(s.buf[s.end:])
		}
		s.end += n
		if n > 0 || s.err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// failed returns the error of the reader, when it was not the end of the file.
func (s *source) failed() error {
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	return nil
}

// skipLine takes everything up to and with the next line end, in bounded
// memory, and reports whether there was one.
func (s *source) skipLine() bool {
	for {
		w := s.window()
		if i := bytes.IndexByte(w, '\n'); i >= 0 {
			s.take(i + 1)
			return true
		}
		s.take(len(w))
		if !s.more() {
			return false
		}
	}
}

// decode fills dst with UTF-8 made from what it reads.
func (s *source) decode(dst []byte) (int, error) {
	if len(s.scratch) < len(dst)/3 {
		s.scratch = make([]byte, len(dst)/3)
	}
	in := s.scratch[:len(dst)/3]
	k := copy(in, s.raw)
	n, err := s.r.Read(in[k:])
	in = in[:k+n]
	eof := errors.Is(err, io.EOF)
	out := dst[:0]
	if s.enc == enc1252 {
		s.raw = s.raw[:0]
		for _, c := range in {
			s.twin.add(c)
			if c < 0x80 {
				out = append(out, c)
			} else if r := windows1252(c); r != 0 {
				out = utf8.AppendRune(out, r)
			} else {
				out = append(out, 0xFF)
			}
		}
		return len(out), err
	}
	unit := func(i int) rune {
		if s.enc == encUTF16BE {
			return rune(in[i])<<8 | rune(in[i+1])
		}
		return rune(in[i+1])<<8 | rune(in[i])
	}
	i := 0
units:
	for ; i+1 < len(in); i += 2 {
		u := unit(i)
		switch {
		case u < 0xD800 || u > 0xDFFF:
			out = utf8.AppendRune(out, u)
		case u < 0xDC00 && i+3 < len(in):
			if low := unit(i + 2); low >= 0xDC00 && low <= 0xDFFF {
				out = utf8.AppendRune(out, 0x10000+(u-0xD800)<<10+(low-0xDC00))
				i += 2
				continue
			}
			out = append(out, 0xFF)
		case u < 0xDC00 && !eof:
			break units // its other half has not been read yet
		default:
			out = append(out, 0xFF)
		}
	}
	if eof && i < len(in) {
		out = append(out, 0xFF) // half a unit at the end of the file
		i = len(in)
	}
	s.raw = append(s.raw[:0], in[i:]...)
	return len(out), err
}

// windows1252 returns the character of a byte from 0x80, or 0 for the five
// that the code page leaves undefined. From 0xA0 it is ISO 8859-1.
func windows1252(c byte) rune {
	if c >= 0xA0 {
		return rune(c)
	}
	return [32]rune{
		0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
		0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
	}[c-0x80]
}

// A twin watches the bytes of a windows-1252 file for the sign that it is
// UTF-8 after all: that all bytes from 0x80 form UTF-8 sequences, which
// hardly happens by chance.
type twin struct {
	seq   [4]byte
	n     int // bytes of a sequence not yet complete
	whole int // sequences that were UTF-8
	other bool
}

func (t *twin) add(c byte) {
	if t.other || (c < 0x80 && t.n == 0) {
		return
	}
	t.seq[t.n] = c
	t.n++
	if !utf8.FullRune(t.seq[:t.n]) {
		return
	}
	if r, size := utf8.DecodeRune(t.seq[:t.n]); r == utf8.RuneError || size != t.n {
		t.other = true
	}
	t.whole++
	t.n = 0
}

// utf8Twin reports, at the end of a windows-1252 file, whether it would have
// read as UTF-8 too and is not plain ASCII.
func (s *source) utf8Twin() bool {
	return s.enc == enc1252 && s.twin.whole > 0 && !s.twin.other && s.twin.n == 0
}
