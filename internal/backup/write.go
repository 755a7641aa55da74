package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
)

// A Writer writes the plain text of a backup: a header, files, the ledger, the end.
type Writer struct {
	w     *bufio.Writer
	sum   hash.Hash
	of    string
	path  string // of the last file
	began bool   // the ledger
	pairs []byte
	err   error
}

// NewWriter begins a backup with its header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	b, err := h.encode()
	if err != nil {
		return nil, err
	}
	if _, err := decodeHeader(b); err != nil {
		return nil, err
	}
	sum := sha256.New()
	out := &Writer{w: bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10), sum: sum, of: h.Of}
	if _, err := out.w.WriteString(magic); err != nil {
		return nil, err
	}
	out.frame('H', b)
	return out, out.err
}

func (w *Writer) frame(kind byte, body []byte) {
	if w.err != nil {
		return
	}
	if len(body) > maxFrame {
		w.err = fmt.Errorf("a part of %d bytes is longer than a backup can hold", len(body))
		return
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	if _, w.err = w.w.Write(head); w.err == nil {
		_, w.err = w.w.Write(body)
	}
}

// Pair writes a key of the ledger and its value. Keys ascend, and all come after the last
// file.
func (w *Writer) Pair(key, value []byte) error {
	w.beginLedger()
	w.pairs = binary.AppendUvarint(w.pairs, uint64(len(key)))
	w.pairs = append(w.pairs, key...)
	w.pairs = binary.AppendUvarint(w.pairs, uint64(len(value)))
	w.pairs = append(w.pairs, value...)
	if len(w.pairs) >= pairBytes {
		w.frame('K', w.pairs)
		w.pairs = w.pairs[:0]
	}
	return w.err
}

func (w *Writer) beginLedger() {
	if !w.began && w.of == OfFolder {
		w.began = true
		w.frame('S', nil)
	}
}

// File writes a file: what write writes to the writer that it is given. Paths ascend.
func (w *Writer) File(path string, write func(io.Writer) error) error {
	if err := checkPath(w.of, path); err != nil {
		return fmt.Errorf("the file %q cannot stand in a backup", path)
	}
	if path <= w.path || w.began {
		return fmt.Errorf("internal error: %q is written out of order", path)
	}
	w.path = path
	w.frame('F', []byte(path))
	c := &chunks{w: w}
	if err := write(c); err != nil {
		return err
	}
	if len(c.b) > 0 {
		w.frame('D', c.b)
	}
	return w.err
}

// chunks makes D frames of what is written.
type chunks struct {
	w *Writer
	b []byte
}

func (c *chunks) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), fileBytes-len(c.b))
		c.b, p = append(c.b, p[:k]...), p[k:]
		if len(c.b) == fileBytes {
			c.w.frame('D', c.b)
			c.b = c.b[:0]
		}
	}
	return n, c.w.err
}

// Close writes the end.
func (w *Writer) Close() error {
	if w.beginLedger(); len(w.pairs) > 0 {
		w.frame('K', w.pairs)
	}
	if w.err != nil {
		return w.err
	}
	if err := w.w.Flush(); err != nil {
		return err
	}
	w.frame('E', w.sum.Sum(nil))
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}
