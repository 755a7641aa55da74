package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// ErrFrame is wrapped by every refusal of a frame's form: too long, or its
// length not in the shortest form. The stream cannot be read on.
var ErrFrame = errors.New("bad frame")

// readStep is how much memory a frame is given before any of it has arrived. A
// length is a claim: a council that announces 8 MiB on each of many streams and
// sends nothing must not make us reserve them.
const readStep = 64 << 10

// ReadFrame reads one frame of at most limit bytes and returns its body, which
// may be empty. It returns io.EOF where the stream ends between frames and
// io.ErrUnexpectedEOF where it ends inside one. Other errors wrap [ErrFrame] or
// come from r.
func ReadFrame(r *bufio.Reader, limit int) ([]byte, error) {
	return ReadFrameInto(r, nil, limit)
}

// ReadFrameInto is [ReadFrame] with a buffer to use again: the body is in
// buf[:0] if it fits there, in a larger one if not, and is valid as long as the
// caller leaves that buffer alone. On error it returns nil.
func ReadFrameInto(r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	n, err := readLength(r, limit)
	if err != nil {
		return nil, err
	}
	buf = buf[:0]
	for len(buf) < n {
		if len(buf) == cap(buf) {
			// Double what has arrived, so that memory follows the bytes received
			// and copying stays linear.
			grown := make([]byte, len(buf), min(n, len(buf)+max(len(buf), readStep)))
			copy(grown, buf)
			buf = grown
		}
		part := buf[len(buf):min(n, cap(buf))]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("read frame: %w", inside(err))
		}
		buf = buf[:len(buf)+len(part)]
	}
	return buf, nil
}

func readLength(r *bufio.Reader, limit int) (int, error) {
	var n uint64
	for shift := 0; ; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			if shift == 0 && err == io.EOF {
				return 0, io.EOF
			}
			return 0, fmt.Errorf("read frame: %w", inside(err))
		}
		n |= uint64(c&0x7f) << shift
		switch {
		case n > uint64(limit), shift > 0 && shift >= bits.Len(uint(limit)):
			return 0, fmt.Errorf("%w: longer than %d bytes", ErrFrame, limit)
		case c == 0 && shift > 0:
			// A last group of zero adds nothing: the same length would have two
			// spellings.
			return 0, fmt.Errorf("%w: length not in its shortest form", ErrFrame)
		case c < 0x80:
			return int(n), nil
		}
	}
}

// inside turns the end of the stream, met inside a frame, into the error that
// says so.
func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteFrame writes body as one frame. It does not flush w.
func WriteFrame(w *bufio.Writer, body []byte) error {
	if _, err := w.Write(binary.AppendUvarint(w.AvailableBuffer(), uint64(len(body)))); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// AppendFrame appends body as one frame to dst.
func AppendFrame(dst, body []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(body))), body...)
}
