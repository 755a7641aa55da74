package follow

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

// canned is a stream whose other side has said all it will.
type canned struct{ io.Reader }

func (canned) Write(b []byte) (int, error) { return len(b), nil }
func (canned) Close() error                { return nil }
func (canned) CloseWrite() error           { return nil }
func (canned) SetDeadline(time.Time) error { return nil }
func (canned) Reset() error                { return nil }

// Whatever a mirror answers, what is taken is no longer than was asked for, and
// a mirror cannot keep us reading without giving anything.
func FuzzFileParts(f *testing.F) {
	parts := func(list ...*wirepb.FilePart) (out []byte) {
		for _, p := range list {
			b, err := proto.Marshal(p)
			if err != nil {
				f.Fatal(err)
			}
			out = wire.AppendFrame(out, b)
		}
		return out
	}
	f.Add(parts(&wirepb.FilePart{Content: []byte("abc")}, &wirepb.FilePart{Content: []byte("def"), Last: true}))
	f.Add(parts(&wirepb.FilePart{Missing: true, Last: true}))
	f.Add(parts(&wirepb.FilePart{}, &wirepb.FilePart{}))
	f.Add(parts(&wirepb.FilePart{Content: make([]byte, 200), Last: true}))
	f.Add([]byte{0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, answer []byte) {
		const max = 100
		st := canned{bytes.NewReader(answer)}
		s := &fileStream{st, bufio.NewReader(st), bufio.NewWriter(st)}
		b, missing, err := s.file("metadata/timestamp.json", max, time.Now)
		if len(b) > max || missing && b != nil || err != nil && b != nil {
			t.Fatalf("%d bytes, missing: %v, %v", len(b), missing, err)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, tufdir.ErrMissing) {
			t.Fatalf("%v", err)
		}
	})
}
