package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stile-exchange/stile/internal/wire"
)

func TestFrame(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	sizes := []int{0, 1, 127, 128, 16383, 16384, 65536, 70000, 1 << 20}
	for _, n := range sizes {
		if err := wire.WriteFrame(w, bytes.Repeat([]byte{byte(n)}, n)); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	// However the bytes come in.
	for _, from := range []io.Reader{bytes.NewReader(out.Bytes()), iotest.OneByteReader(bytes.NewReader(out.Bytes())), iotest.DataErrReader(bytes.NewReader(out.Bytes()))} {
		r := bufio.NewReader(from)
		var buf []byte
		for _, n := range sizes {
			var err error
			buf, err = wire.ReadFrameInto(r, buf, 1<<20)
			if err != nil || !bytes.Equal(buf, bytes.Repeat([]byte{byte(n)}, n)) {
				t.Fatalf("frame of %d bytes: got %d bytes, %v", n, len(buf), err)
			}
		}
		if _, err := wire.ReadFrame(r, 1<<20); err != io.EOF {
			t.Errorf("at the end: %v, want EOF", err)
		}
	}
}

func TestFrameExample(t *testing.T) {
	const want = "\x05stile" // as the package comment has it
	if got := string(wire.AppendFrame(nil, []byte("stile"))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFrameRefused(t *testing.T) {
	for _, c := range []struct {
		why  string
		in   string
		want error
	}{
		{"one byte over", "\x81\x01" + strings.Repeat("x", 129), wire.ErrFrame},
		{"length over 64 bits", strings.Repeat("\xff", 10) + "\x7f", wire.ErrFrame},
		{"length without end", strings.Repeat("\x80", 30), wire.ErrFrame},
		{"zero in two bytes", "\x80\x00", wire.ErrFrame},
		{"five in two bytes", "\x85\x00stile", wire.ErrFrame},
		{"five in ten bytes", "\x85" + strings.Repeat("\x80", 8) + "\x00stile", wire.ErrFrame},
		{"cut in the length", "\x80", io.ErrUnexpectedEOF},
		{"no body", "\x05", io.ErrUnexpectedEOF},
		{"cut in the body", "\x05stil", io.ErrUnexpectedEOF},
	} {
		if b, err := wire.ReadFrame(bufio.NewReader(strings.NewReader(c.in)), 128); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: got %q, %v, want %v", c.why, b, err, c.want)
		}
	}
}

// A length is only a claim: memory follows what arrives.
func TestFrameClaimedLength(t *testing.T) {
	claim := wire.AppendFrame(nil, make([]byte, 8<<20))[:100]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	wire.ReadFrame(bufio.NewReaderSize(bytes.NewReader(claim), 64), 8<<20)
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 128<<10 {
		t.Errorf("100 bytes of a frame of 8 MiB took %d bytes of memory", allocated)
	}
}

// What is accepted is printed back byte for byte.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x05stile\x00\x80\x01"), 16)
	f.Add([]byte("\x80\x00"), 1<<20)
	f.Add(bytes.Repeat([]byte{0xff}, 12), 1<<30)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		if limit < 0 {
			return
		}
		r := bufio.NewReader(bytes.NewReader(in))
		var back, buf []byte
		for {
			var err error
			buf, err = wire.ReadFrameInto(r, buf, limit)
			if err == io.EOF {
				if !bytes.Equal(back, in) {
					t.Fatalf("read %x, printed back %x", in, back)
				}
				return
			}
			if err != nil {
				if !bytes.HasPrefix(in, back) {
					t.Fatalf("read %x, printed back %x", in, back)
				}
				return
			}
			if len(buf) > limit {
				t.Fatalf("%d bytes, limit %d", len(buf), limit)
			}
			back = wire.AppendFrame(back, buf)
		}
	})
}
