package audit

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/tlog"
)

// raw writes an archive file by file, however odd.
func raw(t *testing.T, files map[string][]byte, change func(*zip.FileHeader), more ...zip.FileHeader) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	write := func(h *zip.FileHeader, b []byte) {
		if change != nil {
			change(h)
		}
		f, err := z.CreateHeader(h)
		if err == nil && !strings.HasSuffix(h.Name, "/") {
			_, err = f.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(files)) {
		write(&zip.FileHeader{Name: n, Method: zip.Deflate}, files[n])
	}
	for _, h := range more {
		write(&h, []byte("x"))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestUnreadable: a file that could mean two things, or more than its limits,
// is refused whole, with a reason and nothing half believed.
func TestUnreadable(t *testing.T) {
	w := newTown(t)
	w.live(12)
	good := w.bundle(5)
	files := func() map[string][]byte { return unpack(t, good) }
	with := func(path string, b []byte) []byte {
		f := files()
		f[path] = b
		return repack(t, f)
	}
	without := func(path string) []byte {
		f := files()
		delete(f, path)
		return repack(t, f)
	}
	extra := func(h zip.FileHeader) []byte { return raw(t, files(), nil, h) }
	link := zip.FileHeader{Name: memberPath("otherby.gov.uk")}
	link.SetMode(fs.ModeSymlink | 0o777)
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "", nil},
		{"not a zip", "", []byte("PK, or so it says")},
		{"cut in the middle", "", good[:len(good)/2]},
		{"cut at the end", "", good[:len(good)-3]},
		{"no bundle.json", "bundle.json is missing", without(documentPath)},
		{"another format", "a newer stile-audit", with(documentPath, []byte(`{"format":5}`))},
		{"no format", "", with(documentPath, []byte(`{}`))},
		{"bundle.json that is no JSON", "bundle.json", with(documentPath, []byte(`{`))},
		{"bundle.json spelt otherwise", "one spelling", with(documentPath, append(files()[documentPath], '\n'))},
		{"bundle.json that says more", "one spelling", with(documentPath, bytes.Replace(files()[documentPath], []byte(`"covers":{`), []byte(`"covers":{"all":true,`), 1))},
		{"unknown file", "no file that a bundle", with("README.txt", []byte("hello"))},
		{"unknown file in a known folder", "no file that a bundle", with("entries/0000.json", nil)},
		{"number spelt otherwise", "no file that a bundle", with("entries/00000.ndjson", nil)},
		{"name spelt otherwise", "no file that a bundle", with("directory/Saltby.gov.uk.yaml", nil)},
		{"chunk numbers with a gap", "is missing", with("entries/0099.ndjson", nil)},
		{"proof of no chunk", "proves nothing", with("proofs/0099.bin", nil)},
		{"folder", "not a plain file", extra(zip.FileHeader{Name: "entries/"})},
		{"symbolic link", "not a plain file", extra(link)},
		{"path that leads out", "lead out", extra(zip.FileHeader{Name: "../events/saltby.gov.uk.ndjson"})},
		{"path that leads out further down", "lead out", extra(zip.FileHeader{Name: "events/../../x"})},
		{"absolute path", "lead out", extra(zip.FileHeader{Name: "/bundle.json"})},
		{"path with backslashes", "lead out", extra(zip.FileHeader{Name: `events\x.ndjson`})},
		{"path twice", "is there twice", extra(zip.FileHeader{Name: chunkPath(0)})},
		{"path too long", "lead out", extra(zip.FileHeader{Name: "events/" + strings.Repeat("x", 500)})},
		{"encrypted", "encrypted", raw(t, files(), func(h *zip.FileHeader) { h.Flags |= 1 })},
		{"bomb", "times its size", with(chunkPath(0), bytes.Repeat([]byte{0x20}, 4<<20))},
		{"chunk too large", "unpack to more than", with("proofs/0000.bin", noise(maxProof+1))},
		{"bundle.json too large", "unpack to more than", with(documentPath, noise(maxHeader+1))},
		{"too many files", "", tooMany(t)},
		{"files that overlap", "overlap", overlap(t, good)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Verify(bytes.NewReader(c.b), int64(len(c.b)), Options{})
			if !errors.Is(err, ErrBundle) || !strings.Contains(err.Error(), c.want) || r != nil {
				t.Errorf("Verify = %v, %v; want ErrBundle and %q", r != nil, err, c.want)
			}
			if _, err := Describe(bytes.NewReader(c.b), int64(len(c.b))); !errors.Is(err, ErrBundle) {
				t.Errorf("Describe: %v; want ErrBundle", err)
			}
		})
	}
}

// noise is bytes that do not pack.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

func tooMany(t *testing.T) []byte {
	f := map[string][]byte{}
	for i := range MaxFiles + 1 {
		f[fmt.Sprintf("checkpoints/%d.note", i)] = nil
	}
	return repack(t, f)
}

// overlap makes the table of contents say of two files that they are at the
// same place.
func overlap(t *testing.T, b []byte) []byte {
	b = bytes.Clone(b)
	const header = "PK\x01\x02"
	first := bytes.Index(b, []byte(header))
	second := first + 4 + bytes.Index(b[first+4:], []byte(header))
	// Sizes, checksum and place of the second become those of the first.
	copy(b[second+16:second+28], b[first+16:first+28])
	copy(b[second+42:second+46], b[first+42:first+46])
	return b
}

// TestDamaged: what is wrong inside the archive fails a check, and the rest is
// still looked at.
func TestDamaged(t *testing.T) {
	w := newTown(t)
	w.live(12)
	for _, path := range []string{chunkPath(1), memberPath(saltby), notePath(w.tree.Size()), standardPath(w.std.Name()), agreementPath(moving, 1), eventsPath(saltby), proofPath(2), historyPath(w.notes[0].size)} {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		for n, b := range unpack(t, w.bundle(5)) {
			h := &zip.FileHeader{Name: n, CRC32: crc32.ChecksumIEEE(b), CompressedSize64: uint64(len(b)), UncompressedSize64: uint64(len(b))}
			if n == path {
				h.CRC32 ^= 1
			}
			f, err := z.CreateRaw(h)
			if err == nil {
				_, err = f.Write(b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		z.Close()
		r := verify(t, out.Bytes(), Options{Trust: w.trust()})
		c, _ := r.Check(CheckContents)
		if c.Result != Failed || !slices.ContainsFunc(c.Failures, func(f Failure) bool { return strings.Contains(f.Rule, "damaged") && strings.HasPrefix(f.Place, path) }) {
			t.Errorf("%s damaged: %+v", path, c)
		}
	}
}

// TestNothingAround: bytes before or behind the archive would be read by nobody.
func TestNothingAround(t *testing.T) {
	w := newTown(t)
	w.live(3)
	whole := w.bundle(5)
	for what, b := range map[string][]byte{
		"before":                  append([]byte("x"), whole...),
		"behind":                  append(bytes.Clone(whole), 'x'),
		"a second archive behind": append(bytes.Clone(whole), whole...),
		"comment":                 append(bytes.Clone(whole[:len(whole)-2]), 1, 0, 'x'),
	} {
		if _, err := Verify(bytes.NewReader(b), int64(len(b)), Options{Trust: w.trust()}); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: Verify: %v; want %v", what, err, ErrBundle)
		}
	}
}

// TestDirectoryBound: a table of contents that never ends is given up on before
// it fills the memory.
func TestDirectoryBound(t *testing.T) {
	const n = 200_000
	var b bytes.Buffer
	for range n {
		b.WriteString("PK\x01\x02")
		b.Write(make([]byte, 42))
	}
	dir := b.Len()
	b.WriteString("PK\x05\x06")
	end := make([]byte, 18)
	binary.LittleEndian.PutUint16(end[4:], uint16(n%65536))
	binary.LittleEndian.PutUint16(end[6:], uint16(n%65536))
	binary.LittleEndian.PutUint32(end[8:], uint32(dir))
	b.Write(end)
	_, err := Verify(bytes.NewReader(b.Bytes()), int64(b.Len()), Options{})
	if !errors.Is(err, errDirectory) {
		t.Errorf("Verify: %v; want %v", err, errDirectory)
	}
}

// TestWriterPrintsWhatIsRead: one bundle has one encoding. Whatever is read out of
// one and written again gives the same bytes.
func TestWriterPrintsWhatIsRead(t *testing.T) {
	w := newTown(t)
	w.live(12)
	b := w.bundle(5)
	c, err := open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	read := func(f *zip.File) []byte {
		b, err := readFile(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var out bytes.Buffer
	nw, err := NewWriter(&out, c.doc.Header)
	w.must(err)
	for n, f := range c.chunks {
		var chunk []Entry
		for b := read(f); len(b) > 0; {
			e, rest, err := cutEntry(b)
			w.must(err)
			chunk, b = append(chunk, e), rest
		}
		proof, err := tlog.SplitHashes(read(c.proofs[n]))
		w.must(err)
		w.must(nw.AddEntries(chunk, proof))
	}
	for _, f := range c.notes {
		var proof []tlog.Hash
		if h := c.histories[f.id]; h != nil {
			proof, err = tlog.SplitHashes(read(h))
			w.must(err)
		}
		w.must(nw.AddCheckpoint(read(f.file), proof))
	}
	for _, f := range c.members {
		w.must(nw.AddMember(read(f.file)))
		w.must(nw.AddMember(read(f.file))) // again does nothing
	}
	w.must(nw.AddStandard(w.std))
	w.must(nw.AddAgreement(w.doc))
	for _, e := range w.events {
		w.must(nw.AddEvent(saltby, e))
	}
	w.must(nw.Close())
	if !bytes.Equal(out.Bytes(), b) {
		t.Error("a bundle read and written again has other bytes")
	}
}

func TestWriterRefuses(t *testing.T) {
	w := newTown(t)
	w.live(6)
	signed := w.notes[1].note
	fork := forge(t, w, w.tree.Size())
	for _, c := range []struct {
		name string
		do   func(b *Writer) error
	}{
		{"an empty chunk", func(b *Writer) error { return b.AddEntries(nil, nil) }},
		{"too large a chunk", func(b *Writer) error { return b.AddEntries(make([]Entry, MaxChunk+1), nil) }},
		{"too many bytes", func(b *Writer) error {
			return b.AddEntries([]Entry{{0, make([]byte, MaxChunkBytes)}}, nil)
		}},
		{"entries out of order", func(b *Writer) error { return b.AddEntries([]Entry{{2, nil}, {2, nil}}, nil) }},
		{"another log's checkpoint", func(b *Writer) error {
			return b.AddCheckpoint(bytes.Replace(signed, []byte("northmoor"), []byte("saltby"), 1), nil)
		}},
		{"what is no checkpoint", func(b *Writer) error { return b.AddCheckpoint([]byte("x"), nil) }},
		{"a fork", func(b *Writer) error { b.AddCheckpoint(signed, nil); return b.AddCheckpoint(fork, nil) }},
		{"what is no member", func(b *Writer) error { return b.AddMember([]byte("x")) }},
		{"what is no event", func(b *Writer) error { return b.AddEvent(saltby, []byte("x")) }},
		{"its own events apart from the log", func(b *Writer) error { return b.AddEvent(northmoor, w.include[0]) }},
		{"an event in another's name", func(b *Writer) error { return b.AddEvent("otherby.gov.uk", w.events[0]) }},
		{"no checkpoint", func(b *Writer) error { return b.Close() }},
		{"no consistency proof", func(b *Writer) error {
			b.AddCheckpoint(w.notes[0].note, nil)
			b.AddCheckpoint(signed, nil)
			return b.Close()
		}},
		{"an entry beyond the checkpoint", func(b *Writer) error {
			b.AddEntries([]Entry{{w.tree.Size(), w.include[0]}}, nil)
			b.AddCheckpoint(signed, nil)
			return b.Close()
		}},
		{"two texts of a member", func(b *Writer) error {
			m := w.member(saltby)
			b.AddMember(m.YAML())
			m.Title = "Another"
			return b.AddMember(m.YAML())
		}},
	} {
		b, err := NewWriter(io.Discard, w.header)
		if err != nil {
			t.Fatal(err)
		}
		err = c.do(b)
		if err == nil {
			t.Errorf("a Writer takes %s", c.name)
		}
		if b.Close() == nil {
			t.Errorf("a Writer that was given %s closes well", c.name)
		}
	}
	if _, err := NewWriter(io.Discard, Header{Council: "not a council"}); err == nil {
		t.Error("NewWriter takes a council that is none")
	}
}

// TestCosignaturesAreJoined: the witnesses of one checkpoint come each with a
// note of their own.
func TestCosignaturesAreJoined(t *testing.T) {
	w := newTown(t)
	w.live(6)
	w.checkpoint(false)
	w.checkpoint(true)
	b := w.bundle(50)
	var out []byte
	for _, n := range w.notes[1:] {
		out = n.note
	}
	f := unpack(t, b)
	if got := f[notePath(w.tree.Size())]; !bytes.Equal(got, out) {
		t.Errorf("got note\n%s\nwant\n%s", got, out)
	}
	r := verify(t, b, Options{Trust: w.trust()})
	if !r.OK() || len(r.Witnesses) != 2 {
		t.Errorf("witnesses %+v, want those of both checkpoints\n%s", r.Witnesses, text(r))
	}
	if c, _ := r.Check(CheckTimes); c.NotDone != 0 {
		t.Errorf("times: %+v", c)
	}
}
