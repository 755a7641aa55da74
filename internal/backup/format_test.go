package backup

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func header(of string) Header {
	return Header{Of: of, Council: "northmoor.gov.uk", Made: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Program: "test", LogKey: "northmoor.gov.uk/stile+0+x", Size: 3}
}

// plain writes a backup of some files and pairs.
func plain(t testing.TB, h Header, files map[string]string, order []string, pairs [][2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range order {
		if err := w.File(p, func(w io.Writer) error { _, err := io.WriteString(w, files[p]); return err }); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		if err := w.Pair([]byte(p[0]), []byte(p[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// copied reads a backup and writes what it read.
func copied(in []byte) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, r.Header())
	if err != nil {
		return nil, err
	}
	for {
		path, content, err := r.File()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := w.File(path, func(w io.Writer) error { _, err := io.Copy(w, content); return err }); err != nil {
			return nil, err
		}
	}
	for {
		key, value, ok, err := r.Pair()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if err := w.Pair(key, value); err != nil {
			return nil, err
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

func samples(t testing.TB) [][]byte {
	long := strings.Repeat("0123456789abcdef", fileBytes/16)
	files := map[string]string{"a": "", "b": long, "directory/c": long + "x", "stile.yaml": "council: northmoor.gov.uk\n"}
	order := []string{"a", "b", "directory/c", "stile.yaml"}
	many := [][2]string{{"A", ""}, {"B", long}, {"C", long}, {"D", long + long + long}, {"E", strings.Repeat(long, 5)}, {"F", "x"}}
	return [][]byte{
		plain(t, header(OfFolder), nil, nil, nil),
		plain(t, header(OfFolder), files, order, many),
		plain(t, header(OfFolder), nil, nil, many[:4]),
		plain(t, header(OfKeys), map[string]string{"keys/log.pem": "x", "secrets/web.key": "y"}, []string{"keys/log.pem", "secrets/web.key"}, nil),
	}
}

func TestFormat(t *testing.T) {
	for i, b := range samples(t) {
		got, err := copied(b)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("sample %d: read and written again it is another: %v", i, err)
		}
	}
}

// A backup that is torn anywhere, or of which one byte is another, is refused.
func TestTornOrFlipped(t *testing.T) {
	b := plain(t, header(OfFolder), map[string]string{"a": "some file", "b/c": "another"}, []string{"a", "b/c"}, [][2]string{{"K", "value"}, {"L", "another"}})
	for i := range b {
		if _, err := copied(b[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("torn at byte %d: got %v", i, err)
		}
		flipped := bytes.Clone(b)
		flipped[i] ^= 0x10
		if _, err := copied(flipped); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
			t.Fatalf("byte %d flipped: got %v", i, err)
		}
	}
	if _, err := copied(append(bytes.Clone(b), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("something after the end: got %v", err)
	}
}

func TestHostilePaths(t *testing.T) {
	for _, p := range []string{
		"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", `a\b`, "c:x", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 1025),
		"ledger/000001.vlog", "Ledger/x", "head", "HEAD", "footprints/fens.example/x", "machine", "admin.sock", "restored", "backups.json", "keys/log.pem", "secrets/x", "directory.joining",
	} {
		if err := checkPath(OfFolder, p); !errors.Is(err, ErrDamaged) {
			t.Errorf("the path %q was taken", p)
		}
	}
	for _, p := range []string{"stile.yaml", "keys", "keys/", "keys/../stile.yaml", "ledger/x", "secrets"} {
		if err := checkPath(OfKeys, p); !errors.Is(err, ErrDamaged) {
			t.Errorf("the path %q was taken in a backup of keys", p)
		}
	}
	for _, p := range []string{"stile.yaml", "directory/mirror/metadata/1.root.json", "footprint-backups/fens.example", "quotas.json"} {
		if err := checkPath(OfFolder, p); err != nil {
			t.Errorf("the path %q was refused: %v", p, err)
		}
	}
}

// A length takes no memory that the bytes which are there do not need.
func TestClaimedLength(t *testing.T) {
	b := plain(t, header(OfFolder), nil, nil, nil)
	b = append(b[:len(b)-5-5-32], 'K', 3, 0xff, 0xff, 0xff)
	n := testing.AllocsPerRun(1, func() {
		if _, err := copied(b); !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
	if n > 2000 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReader(f *testing.F) {
	for _, b := range samples(f) {
		if len(b) < 4096 {
			f.Add(b)
		}
	}
	f.Add(plain(f, header(OfFolder), map[string]string{"a": "x"}, []string{"a"}, [][2]string{{"K", "v"}, {"L", ""}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := copied(b)
		if err == nil && !bytes.Equal(got, b) {
			t.Errorf("it was read and is written otherwise:\n%q\n%q", b, got)
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
			t.Errorf("an error that says nothing: %v", err)
		}
	})
}
