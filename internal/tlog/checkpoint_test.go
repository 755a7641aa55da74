package tlog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

const testOrigin = "northmoor.gov.uk/stile"

// logKey returns a log's signer and verifier, the same for the same name.
func logKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey := noteKey(t, name)
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ParseLogKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func witnessKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey := noteKey(t, name)
	s, err := fnote.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	v, err := ParseWitnessKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func noteKey(t testing.TB, name string) (skey, vkey string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(seed(name))
	vkey, err := note.NewEd25519VerifierKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, strings.Split(vkey, "+")[1],
		base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...))), vkey
}

func TestCheckpointRoundTrip(t *testing.T) {
	s, v := logKey(t, testOrigin)
	for _, c := range []Checkpoint{
		{testOrigin, 0, EmptyRoot()},
		{testOrigin, 1, entry(1)},
		{testOrigin, MaxSize, entry(2)},
	} {
		signed, err := SignCheckpoint(c, s)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := OpenCheckpoint(signed, testOrigin, v)
		if err != nil || got != c || n.Text != string(c.Body()) {
			t.Errorf("opened %+v, %v, want %+v", got, err, c)
		}
	}
	for name, c := range map[string]Checkpoint{
		"another origin":    {"saltby.gov.uk/stile", 1, entry(1)},
		"too large":         {testOrigin, MaxSize + 1, entry(1)},
		"nothing, rooted":   {testOrigin, 0, entry(1)},
		"no origin":         {"", 1, entry(1)},
		"two-line origin":   {testOrigin + "\nx", 1, entry(1)},
		"origin with a tab": {testOrigin + "\t", 1, entry(1)},
	} {
		if _, err := SignCheckpoint(c, s); err == nil {
			t.Errorf("%s: was signed", name)
		}
	}
}

func TestCheckpointRefuses(t *testing.T) {
	s, v := logKey(t, testOrigin)
	root := entry(1).String()
	text := func(s string) string { return s }
	for name, body := range map[string]string{
		"extension line":     text(testOrigin + "\n7\n" + root + "\nmore\n"),
		"empty extension":    text(testOrigin + "\n7\n" + root + "\n\n"),
		"no root":            text(testOrigin + "\n7\n"),
		"leading zero":       text(testOrigin + "\n07\n" + root + "\n"),
		"plus sign":          text(testOrigin + "\n+7\n" + root + "\n"),
		"minus sign":         text(testOrigin + "\n-7\n" + root + "\n"),
		"underscore":         text(testOrigin + "\n1_0\n" + root + "\n"),
		"hexadecimal":        text(testOrigin + "\n0x7\n" + root + "\n"),
		"past 64 bits":       text(testOrigin + "\n18446744073709551616\n" + root + "\n"),
		"past MaxSize":       text(testOrigin + "\n9223372036854775808\n" + root + "\n"),
		"short root":         text(testOrigin + "\n7\nAAAA\n"),
		"root not canonical": text(testOrigin + "\n7\n" + root[:42] + "B=\n"),
		"root of nothing":    text(testOrigin + "\n0\n" + root + "\n"),
		"origin":             text("saltby.gov.uk/stile\n7\n" + root + "\n"),
		"origin with space":  text(testOrigin + " \n7\n" + root + "\n"),
		"empty origin":       text("\n7\n" + root + "\n"),
	} {
		signed, err := note.Sign(&note.Note{Text: body}, s)
		if err != nil {
			t.Fatal(err)
		}
		c, n, err := OpenCheckpoint(signed, testOrigin, v)
		if !errors.Is(err, ErrCheckpoint) || c != (Checkpoint{}) || n != nil {
			t.Errorf("%s: %+v, %v, want ErrCheckpoint", name, c, err)
		}
	}

	good, err := SignCheckpoint(Checkpoint{testOrigin, 7, entry(1)}, s)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger := logKey(t, "saltby.gov.uk/stile")
	ws, w := witnessKey(t, "saltby.gov.uk")
	onlyWitness, err := note.Sign(&note.Note{Text: string(Checkpoint{testOrigin, 7, entry(1)}.Body())}, ws)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Replace(good, []byte("\n7\n"), []byte("\n8\n"), 1)
	for name, c := range map[string]struct {
		signed []byte
		v      []note.Verifier
	}{
		"no verifier":                 {good, nil},
		"a stranger's key":            {good, []note.Verifier{stranger}},
		"altered":                     {flipped, []note.Verifier{v}},
		"signed by a witness only":    {onlyWitness, []note.Verifier{v, w}},
		"empty":                       {nil, []note.Verifier{v}},
		"a witness's signature wrong": {append(bytes.Clone(good), onlyWitness[bytes.Index(onlyWitness, []byte("— ")):len(onlyWitness)-9]...), []note.Verifier{v, w}},
	} {
		if _, _, err := OpenCheckpoint(c.signed, testOrigin, c.v...); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", name, err)
		}
	}
	if _, _, err := OpenCheckpoint(make([]byte, MaxNote+1), testOrigin, v); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("too long: %v, want ErrCheckpoint", err)
	}
}

func TestFork(t *testing.T) {
	a := Checkpoint{testOrigin, 7, entry(1)}
	for _, c := range []struct {
		b    Checkpoint
		want bool
	}{
		{a, false},
		{Checkpoint{testOrigin, 7, entry(2)}, true},
		{Checkpoint{testOrigin, 8, entry(2)}, false},
		{Checkpoint{"saltby.gov.uk/stile", 7, entry(2)}, false},
	} {
		if got := Fork(a, c.b); got != c.want {
			t.Errorf("Fork(%v, %v) = %v, want %v", a, c.b, got, c.want)
		}
	}
}

// Notes of one text are joined up to what a note can have, and one that has so many is
// still read; notes of two texts are not joined.
func TestJoin(t *testing.T) {
	s, v := logKey(t, testOrigin)
	c := Checkpoint{testOrigin, 7, entry(1)}
	signed, err := SignCheckpoint(c, s)
	if err != nil {
		t.Fatal(err)
	}
	joined := signed
	for i := range MaxSignatures + 5 {
		w, _ := witnessKey(t, fmt.Sprintf("council-%d.gov.uk", i))
		line, _, err := Cosign(c, w)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // again does nothing
			if joined, err = Join(joined, append(bytes.Clone(signed), line...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, n, err := OpenCheckpoint(joined, testOrigin, v); err != nil || got != c || len(n.UnverifiedSigs) != MaxSignatures-1 {
		t.Fatalf("joined of %d: %v", MaxSignatures+5, err)
	}
	other, err := SignCheckpoint(Checkpoint{testOrigin, 8, entry(1)}, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(signed, other); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("two texts were joined: %v", err)
	}
}

// Two witnesses cosign, each at its own time; their lines arrive in any order,
// and twice; the log's key still opens the note for one who knows no witness.
func TestCosignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := logKey(t, testOrigin)
		ws1, w1 := witnessKey(t, "saltby.gov.uk")
		ws2, w2 := witnessKey(t, "auditor.example")
		c := Checkpoint{testOrigin, 7, entry(1)}
		signed, err := SignCheckpoint(c, s)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now().UTC().Truncate(time.Second)
		line1, at1, err := Cosign(c, ws1)
		if err != nil || at1 != start {
			t.Fatalf("cosigned at %v, %v, want %v", at1, err, start)
		}
		time.Sleep(90 * time.Second) // in the bubble
		line2, at2, err := Cosign(c, ws2)
		if err != nil || at2 != start.Add(90*time.Second) {
			t.Fatalf("cosigned at %v, %v", at2, err)
		}
		line1later, _, err := Cosign(c, ws1)
		if err != nil {
			t.Fatal(err)
		}
		both, err := AddCosignature(signed, line2, w2)
		if err != nil {
			t.Fatal(err)
		}
		if both, err = AddCosignature(both, line1, w1); err != nil {
			t.Fatal(err)
		}
		again, err := AddCosignature(both, line1later, w1)
		if err != nil || !bytes.Equal(again, both) {
			t.Errorf("added twice: %v\n%s", err, again)
		}
		got, n, err := OpenCheckpoint(both, testOrigin, v, w1, w2)
		if err != nil || got != c {
			t.Fatalf("opened %+v, %v", got, err)
		}
		want := []Cosignature{{"auditor.example", at2}, {"saltby.gov.uk", at1}}
		if cs := Cosignatures(n, w1, w2); !slices.Equal(cs, want) {
			t.Errorf("cosignatures %v, want %v", cs, want)
		}
		if cs := Cosignatures(n, w1); !slices.Equal(cs, want[1:]) {
			t.Errorf("of one witness %v, want %v", cs, want[1:])
		}
		if cs := Cosignatures(n, v); cs != nil {
			t.Errorf("the log's own signature counted as a cosignature: %v", cs)
		}
		if _, n, err = OpenCheckpoint(both, testOrigin, v); err != nil || len(n.UnverifiedSigs) != 2 {
			t.Errorf("without the witnesses' keys: %v", err)
		}

		other, _, _ := Cosign(Checkpoint{testOrigin, 8, entry(1)}, ws1)
		for name, line := range map[string][]byte{
			"of another checkpoint": other,
			"of another witness":    line2,
			"the log's own":         signed[bytes.Index(signed, []byte("— ")):],
			"two lines":             append(bytes.Clone(line1), line2...),
			"twice the same":        append(bytes.Clone(line1), line1...),
			"no newline":            line1[:len(line1)-1],
			"nothing":               nil,
			"another text":          append([]byte("x\n\n"), line1...),
		} {
			if got, err := AddCosignature(signed, line, w1); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: %v, want ErrSignature\n%s", name, err, got)
			}
		}
		if _, err := AddCosignature([]byte("x\n\n— y AAAAAAAA\n"), line1, w1); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("to a note that is no checkpoint: %v, want ErrCheckpoint", err)
		}
		if _, _, err := Cosign(c, s); !errors.Is(err, ErrSignature) {
			t.Errorf("by a plain signer: %v, want ErrSignature", err)
		}
		full := bytes.Clone(signed)
		for i := range MaxSignatures {
			full = fmt.Appendf(full, "— w%d.example AAAAAAAA\n", i)
		}
		if _, err := AddCosignature(full, line1, w1); err == nil {
			t.Error("one signature more than can be read was added")
		}
	})
}

func TestProofFile(t *testing.T) {
	tree, m := build(300)
	s, v := logKey(t, testOrigin)
	signed, err := SignCheckpoint(Checkpoint{testOrigin, 300, tree.Root()}, s)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProof(m, 41, signed)
	if err != nil {
		t.Fatal(err)
	}
	for _, extra := range [][]byte{nil, {}, []byte("anything"), make([]byte, MaxExtra)} {
		p.Extra = extra
		got, err := ParseProof(p.Marshal())
		if err != nil {
			t.Fatalf("%d bytes extra: %v", len(extra), err)
		}
		if !bytes.Equal(got.Extra, extra) || (got.Extra == nil) != (extra == nil) {
			t.Errorf("extra = %v, want %v", got.Extra, extra)
		}
		if c, _, err := got.Verify(entry(41), testOrigin, v); err != nil || c.Size != 300 {
			t.Errorf("verify = %+v, %v", c, err)
		}
	}
	p.Extra = nil
	file := string(p.Marshal())
	hash := "\n" + p.Path[0].String() + "\n"
	for name, bad := range map[string]string{
		"empty":              "",
		"version":            strings.Replace(file, "@v1", "@v2", 1),
		"carriage returns":   strings.ReplaceAll(file, "\n", "\r\n"),
		"leading zero":       strings.Replace(file, "index 41", "index 041", 1),
		"sign":               strings.Replace(file, "index 41", "index +41", 1),
		"no last newline":    file[:len(file)-1],
		"cut before the end": file[:strings.Index(file, "\n\n")+1],
		"hash not canonical": strings.Replace(file, hash, hash[:43]+"B=\n", 1),
		"hash too short":     strings.Replace(file, hash, "\nAAAA\n", 1),
		"index after hashes": strings.Replace(file, "index 41\n", "", 1),
		"64 hashes":          strings.Replace(file, hash, strings.Repeat(hash[1:], 64), 1),
		"extra after index":  strings.Replace(file, "index 41\n", "index 41\nextra AAAA\n", 1),
		"too long":           file + strings.Repeat("x", maxProof),
	} {
		if _, err := ParseProof([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
	if _, _, err := p.Verify(entry(42), testOrigin, v); !errors.Is(err, ErrProof) {
		t.Errorf("another entry: %v, want ErrProof", err)
	}
	if _, _, err := p.Verify(entry(41), "saltby.gov.uk/stile", v); !errors.Is(err, ErrSignature) {
		t.Errorf("another log: %v, want ErrSignature", err)
	}
	if _, err := NewProof(m, 300, signed); !errors.Is(err, ErrIndex) {
		t.Errorf("past the end: %v, want ErrIndex", err)
	}
	if _, err := NewProof(m, 0, []byte("x")); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("no checkpoint: %v, want ErrCheckpoint", err)
	}
}

func TestTilePath(t *testing.T) {
	for _, c := range []struct {
		level int
		index uint64
		width int
		path  string
	}{
		{0, 0, 256, "tile/0/000"},
		{0, 0, 1, "tile/0/000.p/1"},
		{1, 17, 255, "tile/1/017.p/255"},
		{0, 1234067, 256, "tile/0/x001/x234/067"}, // the example of tlog-tiles
		{7, 999, 256, "tile/7/999"},
		{0, 1000, 5, "tile/0/x001/000.p/5"},
		{0, maxIndex, 256, "tile/0/x036/x028/x797/x018/x963/967"},
	} {
		if got := TilePath(Tile{c.level, c.index, make([]byte, c.width*HashSize)}); got != c.path {
			t.Errorf("TilePath(%d, %d, %d) = %q, want %q", c.level, c.index, c.width, got, c.path)
		}
		l, i, w, err := ParseTilePath(c.path)
		if err != nil || l != c.level || i != c.index || w != c.width {
			t.Errorf("ParseTilePath(%q) = %d, %d, %d, %v", c.path, l, i, w, err)
		}
	}
	for _, bad := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/8/000", "tile/-1/000", "tile/00/000", "tile/+0/000",
		"tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000/000", "tile/0/001/000", "tile/0/x001/x000", "tile/0/xx01/000",
		"tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/000.p/1/", "tile/0/000/",
		"tile/0/../000", "tile/0/ 00", "/tile/0/000", "tile/0/000\n", "tile/entries/000",
		"tile/0/x036/x028/x797/x018/x963/968", "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		if l, i, w, err := ParseTilePath(bad); !errors.Is(err, ErrPath) {
			t.Errorf("ParseTilePath(%q) = %d, %d, %d, %v, want ErrPath", bad, l, i, w, err)
		}
	}
}

// A signature line has one spelling. The last letter of its base64 may hold bits
// that stand for nothing, and a carriage return is skipped by the decoder: with
// either, one signature would have many lines.
func TestSignatureHasOneSpelling(t *testing.T) {
	s, v := logKey(t, testOrigin)
	other, known := witnessKey(t, "saltby.gov.uk")
	c := Checkpoint{testOrigin, 7, entry(1)}
	signed, err := SignCheckpoint(c, s)
	if err != nil {
		t.Fatal(err)
	}
	line, _, err := Cosign(c, other)
	if err != nil {
		t.Fatal(err)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	slack := func(b []byte) []byte { // the last letter before the padding, with one bit more
		b = bytes.Clone(b)
		i := bytes.LastIndexByte(bytes.TrimRight(b, "=\n"), ' ')
		end := len(bytes.TrimRight(b, "=\n")) - 1
		if end <= i || b[end+1] != '=' {
			t.Fatalf("no padding in %q", b)
		}
		b[end] = letters[strings.IndexByte(letters, b[end])|1]
		return b
	}
	if b := slack(signed); bytes.Equal(b, signed) {
		t.Fatal("nothing was changed")
	} else if _, _, err := OpenCheckpoint(b, testOrigin, v); !errors.Is(err, ErrSignature) {
		t.Errorf("slack bits in the log's own signature: %v", err)
	}
	both := append(bytes.Clone(signed), slack(line)...)
	for what, verifiers := range map[string][]note.Verifier{"a witness's": {v, known}, "a stranger's": {v}} {
		if _, _, err := OpenCheckpoint(both, testOrigin, verifiers...); !errors.Is(err, ErrSignature) {
			t.Errorf("slack bits in %s signature: %v", what, err)
		}
	}
	if _, _, err := OpenCosigned(both, testOrigin, 1, known); !errors.Is(err, ErrSignature) {
		t.Errorf("slack bits in a majority's signature: %v", err)
	}
	if _, err := AddCosignature(signed, slack(line), known); !errors.Is(err, ErrSignature) {
		t.Errorf("a cosignature with slack bits was added: %v", err)
	}
	whole, err := AddCosignature(signed, line, known)
	if err != nil {
		t.Fatal(err)
	}
	if _, n, err := OpenCheckpoint(whole, testOrigin, v, known); err != nil || len(n.Sigs) != 2 {
		t.Errorf("the line as it was made: %v", err)
	}
}

// A point of low order is nobody's key: one signature would verify under it for
// many messages. The encodings are those of the eight points, with those that
// are no least residue (from the published lists of them).
func TestWeakKeys(t *testing.T) {
	for _, hex := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		var key []byte
		if _, err := fmt.Sscanf(hex, "%x", &key); err != nil {
			t.Fatal(err)
		}
		vkey, err := note.NewEd25519VerifierKey(testOrigin, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseLogKey(vkey); !errors.Is(err, ErrKey) {
			t.Errorf("%s as a log key: %v", hex, err)
		}
		if vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseWitnessKey(vkey); !errors.Is(err, ErrKey) {
			t.Errorf("%s as a witness key: %v", hex, err)
		}
	}
	for i := range 200 { // and none that somebody has
		logKey(t, fmt.Sprintf("council-%d.gov.uk/stile", i))
	}
}
