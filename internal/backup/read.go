package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

// A Reader reads the plain text of a backup, which may be hostile. It holds no more of it in
// memory than one frame, and of a frame no more than was there.
type Reader struct {
	in     *bufio.Reader
	sum    hash.Hash
	header Header
	kind   byte // of the frame that was read and not used yet; 0 for none
	body   []byte
	total  []byte // the sum before that frame, where it is the end
	key    []byte // of the last pair
	pairs  []byte // what is left of a K frame
	ledger bool   // it has begun
	short  bool   // a K frame was shorter than pairBytes: there is no other
	path   string
	files  int
	err    error
}

// NewReader reads the header of a backup. The error wraps ErrDamaged or ErrNewer.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(in.in, first); err != nil {
		return nil, torn(err)
	}
	in.sum.Write(first)
	if string(first) != magic {
		if bytes.HasPrefix(first, []byte("stile backup ")) {
			return nil, ErrNewer
		}
		return nil, damaged("it does not begin as a backup")
	}
	if err := in.read(); err != nil {
		return nil, err
	}
	if in.kind != 'H' || len(in.body) > maxHeader {
		return nil, damaged("it has no header")
	}
	var err error
	if in.header, err = decodeHeader(in.body); err != nil {
		return nil, err
	}
	return in, in.read()
}

// torn says that the file ended, or what was wrong with reading it.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends before its end")
	}
	return damaged("%v", err)
}

// Header returns what the backup is of.
func (r *Reader) Header() Header { return r.header }

// read reads the next frame.
func (r *Reader) read() error {
	r.total = r.sum.Sum(nil)
	var head [5]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return torn(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return damaged("a part of it has %d bytes", n)
	}
	r.sum.Write(head[:])
	// What is not there takes no memory, whatever the length says.
	var b bytes.Buffer
	if n <= 2*pairBytes {
		b.Grow(int(n))
	}
	if m, err := io.CopyN(&b, r.in, int64(n)); err != nil || m != int64(n) {
		return torn(err)
	}
	r.kind, r.body = head[0], b.Bytes()
	r.sum.Write(r.body)
	return nil
}

// Pair returns the next key of the ledger and its value, false after the last. They are the
// reader's until its next method is called. The error wraps ErrDamaged.
func (r *Reader) Pair() (key, value []byte, ok bool, err error) {
	if r.err != nil {
		return nil, nil, false, r.err
	}
	if len(r.pairs) == 0 {
		if r.kind == 'S' && !r.ledger && r.header.Of == OfFolder && len(r.body) == 0 {
			r.ledger = true
			if err := r.read(); err != nil {
				r.err = err
				return nil, nil, false, err
			}
		}
		if r.kind != 'K' {
			return nil, nil, false, nil
		}
		if !r.ledger || r.short || len(r.body) == 0 {
			return nil, nil, false, r.fail("keys of a ledger stand where none belong")
		}
		r.pairs, r.short = r.body, len(r.body) < pairBytes
	}
	size := len(r.pairs)
	if len(r.body)-size >= pairBytes {
		return nil, nil, false, r.fail("a part is longer than it must be")
	}
	if key, ok = r.bytes(); ok {
		value, ok = r.bytes()
	}
	switch {
	case !ok:
		return nil, nil, false, r.fail("a key of the ledger cannot be read")
	case bytes.Compare(key, r.key) <= 0:
		return nil, nil, false, r.fail("keys of the ledger do not ascend")
	}
	r.key = append(r.key[:0], key...)
	if len(r.pairs) == 0 {
		// key and value stay what they are: each frame has memory of its own.
		if err := r.read(); err != nil {
			r.err = err
			return nil, nil, false, err
		}
	}
	return key, value, true, nil
}

// bytes reads a length and so many bytes of what is left of a K frame.
func (r *Reader) bytes() ([]byte, bool) {
	n, size := binary.Uvarint(r.pairs)
	if size <= 0 || n > uint64(len(r.pairs)-size) || len(binary.AppendUvarint(nil, n)) != size {
		return nil, false
	}
	b := r.pairs[size : size+int(n)]
	r.pairs = r.pairs[size+int(n):]
	return b, true
}

func (r *Reader) fail(format string, args ...any) error {
	r.err = damaged(format, args...)
	return r.err
}

// End reads the end, after all pairs: without an error the backup is whole.
func (r *Reader) End() error {
	switch {
	case r.err != nil:
		return r.err
	case r.kind != 'E' || r.header.Of == OfFolder && !r.ledger:
		return r.fail("a part stands where it does not belong")
	case !bytes.Equal(r.body, r.total):
		return r.fail("its bytes are not those that were written")
	}
	_, err := r.in.ReadByte()
	switch {
	case err == nil:
		return r.fail("something stands after its end")
	case !errors.Is(err, io.EOF):
		r.err = torn(err)
	}
	return r.err
}

// File returns the path of the next file and its content, which is to be read to its end
// before another method is called, and io.EOF after the last. Any other error wraps
// ErrDamaged.
func (r *Reader) File() (path string, content io.Reader, err error) {
	switch {
	case r.err != nil:
		return "", nil, r.err
	case r.kind == 'S' || r.kind == 'E' || r.ledger:
		return "", nil, io.EOF
	case r.kind != 'F':
		return "", nil, r.fail("a part stands where it does not belong")
	}
	path = string(r.body)
	if err := checkPath(r.header.Of, path); err != nil {
		r.err = err
		return "", nil, err
	}
	if path <= r.path {
		return "", nil, r.fail("its files are not in order, or one stands there twice")
	}
	if r.files++; r.files > maxFiles {
		return "", nil, r.fail("it holds more than %d files", maxFiles)
	}
	r.path = path
	if err := r.read(); err != nil {
		r.err = err
		return "", nil, err
	}
	return path, &fileReader{r: r}, nil
}

// A fileReader reads the D frames of one file.
type fileReader struct {
	r    *Reader
	b    []byte
	last bool
}

func (f *fileReader) Read(p []byte) (int, error) {
	for len(f.b) == 0 {
		switch {
		case f.r.err != nil:
			return 0, f.r.err
		case f.r.kind != 'D':
			return 0, io.EOF
		case f.last || len(f.r.body) == 0 || len(f.r.body) > fileBytes:
			return 0, f.r.fail("a file is not written as it must be")
		}
		f.b, f.last = f.r.body, len(f.r.body) < fileBytes
		if err := f.r.read(); err != nil {
			f.r.err = err
			return 0, err
		}
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}
