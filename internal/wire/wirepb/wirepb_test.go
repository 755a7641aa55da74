package wirepb_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

func batch(items, size int) *wirepb.Frame {
	b := &wirepb.Batch{
		Checkpoint: []byte("northmoor.gov.uk/stile\n9\n"), Consistency: make([]byte, 64), Inclusion: make([]byte, 96),
		Cursor: uint64(items) + 1, Records: uint64(items), Live: true,
	}
	for i := range items {
		b.Items = append(b.Items, &wirepb.Item{Index: uint64(i) + 1, Record: bytes.Repeat([]byte("t"), size)})
	}
	return &wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: b}}
}

func hello(h *wirepb.Hello) *wirepb.Frame { return &wirepb.Frame{Kind: &wirepb.Frame_Hello{Hello: h}} }

func frames() []*wirepb.Frame {
	return []*wirepb.Frame{
		hello(&wirepb.Hello{Version: 1, Feed: "northmoor.gov.uk/people-moving-to-saltby", AgreementDigest: make([]byte, 32), Cursor: 7, TreeSize: 9}),
		hello(&wirepb.Hello{Version: 1, Feed: "notices"}),
		batch(0, 0),
		batch(3, 2000),
		{Kind: &wirepb.Frame_Ack{Ack: &wirepb.Ack{Cursor: 4, Receipt: []byte("a.b.c"), Cosignature: []byte("— saltby.gov.uk AAAA\n"), Held: 3}}},
		{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: "agreement", Reason: "the agreement has ended"}}},
	}
}

func TestRoundTrip(t *testing.T) {
	var wireBytes bytes.Buffer
	w := wirepb.NewWriter(&wireBytes)
	for _, f := range append(frames(), batch(300, 20000)) { // the last beyond the buffers that are kept
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	r := wirepb.NewReader(&wireBytes)
	for i, want := range append(frames(), batch(300, 20000)) {
		got, err := r.Read()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if !proto.Equal(got, want) {
			t.Errorf("frame %d came back different", i)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %v, want EOF", err)
	}
}

// A frame goes out in one Write, so that a stream that breaks between two writes
// never has half of one.
func TestOneWrite(t *testing.T) {
	n := counter(0)
	if err := wirepb.NewWriter(&n).Write(batch(500, 2000)); err != nil {
		t.Fatal(err)
	}
	if n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c++; return len(b), nil }

func TestRefused(t *testing.T) {
	with := func(change func(*wirepb.Batch)) *wirepb.Frame {
		f := batch(2, 10)
		change(f.GetBatch())
		return f
	}
	for _, c := range []struct {
		why   string
		frame *wirepb.Frame
	}{
		{"no kind", &wirepb.Frame{}},
		{"version 0", hello(&wirepb.Hello{Feed: "notices"})},
		{"short digest", hello(&wirepb.Hello{Version: 1, AgreementDigest: make([]byte, 31)})},
		{"long feed", hello(&wirepb.Hello{Version: 1, Feed: strings.Repeat("f", wirepb.MaxText+1)})},
		{"text not UTF-8", hello(&wirepb.Hello{Version: 1, Feed: "\xff"})},
		{"long reason", &wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Reason: strings.Repeat("r", wirepb.MaxText+1)}}}},
		{"part of a hash in consistency", with(func(b *wirepb.Batch) { b.Consistency = b.Consistency[1:] })},
		{"part of a hash in inclusion", with(func(b *wirepb.Batch) { b.Inclusion = b.Inclusion[1:] })},
		{"same index twice", with(func(b *wirepb.Batch) { b.Items[1].Index = 1 })},
		{"descending", with(func(b *wirepb.Batch) { b.Items[0].Index = 3 })},
		{"cursor behind", with(func(b *wirepb.Batch) { b.Cursor = 2 })},
		{"too many items", batch(wirepb.MaxItems+1, 0)},
		{"too long", batch(1, wirepb.MaxFrame)},
	} {
		t.Run(c.why, func(t *testing.T) {
			var out bytes.Buffer
			if err := wirepb.NewWriter(&out).Write(c.frame); !errors.Is(err, wirepb.ErrFrame) || out.Len() > 0 {
				t.Errorf("written: %v and %d bytes, want ErrFrame and none", err, out.Len())
			}
			body, _ := proto.Marshal(c.frame) // a partner who writes it all the same
			if body == nil {
				body = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte("\x08\x01\x12\x01\xff"))
			}
			if _, err := wirepb.NewReader(bytes.NewReader(wire.AppendFrame(nil, body))).Read(); !errors.Is(err, wirepb.ErrFrame) {
				t.Errorf("read: %v, want ErrFrame", err)
			}
		})
	}
}

// A frame full of empty items must not be unfolded into memory before it is
// refused.
func TestEmptyItems(t *testing.T) {
	item := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil)
	items := bytes.Repeat(item, (wirepb.MaxFrame-16)/len(item))
	body := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), items)
	framed := wire.AppendFrame(nil, body)
	r := wirepb.NewReader(bytes.NewReader(framed))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := r.Read()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, wirepb.ErrFrame) {
		t.Errorf("%v, want ErrFrame", err)
	}
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 4*wirepb.MaxFrame {
		t.Errorf("refusing %d bytes took %d bytes of memory", len(framed), allocated)
	}
}

// A newer partner's fields are passed over.
func TestUnknownField(t *testing.T) {
	body, _ := proto.Marshal(batch(1, 10))
	body = protowire.AppendVarint(protowire.AppendTag(body, 900, protowire.VarintType), 7)
	got, err := wirepb.NewReader(bytes.NewReader(wire.AppendFrame(nil, body))).Read()
	if err != nil || !proto.Equal(got, batch(1, 10)) {
		t.Errorf("got %v", err)
	}
}

func TestTruncated(t *testing.T) {
	var out bytes.Buffer
	if err := wirepb.NewWriter(&out).Write(batch(3, 100)); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < out.Len(); n++ {
		if _, err := wirepb.NewReader(bytes.NewReader(out.Bytes()[:n])).Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v, want ErrUnexpectedEOF", n, err)
		}
	}
}

func TestHashes(t *testing.T) {
	got, err := wirepb.Hashes(append(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)...))
	if err != nil || len(got) != 2 || got[1][31] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := wirepb.Hashes(make([]byte, 33)); err == nil {
		t.Error("33 bytes are no hashes")
	}
}

// The generated files are what the pinned plugin makes of the .proto files.
func TestGenerated(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("protoc is not installed (Debian package protobuf-compiler): cannot generate again")
	}
	dir := t.TempDir()
	if out, err := exec.Command("./generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	// protoc writes its own version into the file; that alone may differ.
	version := regexp.MustCompile(`(?m)^// \s*protoc\s+v.*\n`)
	for _, file := range []string{"sync", "directory", "lookup", "contribute", "log"} {
		var text [2]string
		for i, path := range []string{filepath.Join(dir, "internal/wire/wirepb", file+".pb.go"), file + ".pb.go"} {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text[i] = version.ReplaceAllString(string(b), "")
		}
		if text[0] != text[1] {
			t.Errorf("%s.pb.go is not what %s.proto generates: run go generate ./internal/wire/wirepb", file, file)
		}
	}
}

// What is accepted has one meaning: written again and read, it is the same.
func FuzzRead(f *testing.F) {
	for _, fr := range frames() {
		body, _ := proto.Marshal(fr)
		f.Add(wire.AppendFrame(nil, body))
	}
	f.Add([]byte{0})
	f.Add([]byte{0x80, 0x80, 0x80, 0x04})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := wirepb.NewReader(bytes.NewReader(data))
		for {
			got, err := r.Read()
			if err != nil {
				return
			}
			var out bytes.Buffer
			if err := wirepb.NewWriter(&out).Write(got); err != nil {
				t.Fatalf("accepted and not writable: %v", err)
			}
			again, err := wirepb.NewReader(&out).Read()
			if err != nil || !proto.Equal(got, again) {
				t.Fatalf("changed when written again: %v", err)
			}
		}
	})
}

// BenchmarkBatch asks what a batch of 512 records costs to write and to read.
func BenchmarkBatch(b *testing.B) {
	const items, size = 512, 2000
	f := batch(items, size)
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"write", func() func() error {
			w := wirepb.NewWriter(io.Discard)
			return func() error { return w.Write(f) }
		}()},
		{"read", func() func() error {
			body, _ := proto.Marshal(f)
			r := wirepb.NewReader(repeat{wire.AppendFrame(nil, body), new(int)})
			return func() error { _, err := r.Read(); return err }
		}()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(items * size)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*items/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// repeat reads the same bytes for ever.
type repeat struct {
	b  []byte
	at *int
}

func (r repeat) Read(b []byte) (int, error) {
	n := copy(b, r.b[*r.at:])
	*r.at = (*r.at + n) % len(r.b)
	return n, nil
}
