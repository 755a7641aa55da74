package tlog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// Vectors from elsewhere; testdata/README.md says from where and when.

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, path), v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func mustHex(t *testing.T, ss ...string) (out []Hash) {
	t.Helper()
	for _, s := range ss {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != HashSize {
			t.Fatalf("%q is not a hash", s)
		}
		out = append(out, Hash(b))
	}
	return out
}

func TestKnownAnswers(t *testing.T) {
	var v struct {
		Inputs, Roots []string
		Paths         []struct {
			Leaf, Size uint64
			Path       []string
		}
		Consistency []struct {
			From, To uint64
			Path     []string
		}
	}
	readJSON(t, "rfc6962/known-answers.json", &v)
	if len(v.Inputs) != 8 || len(v.Roots) != 9 || len(v.Paths) != 5 || len(v.Consistency) != 4 {
		t.Fatalf("the file is not whole: %d inputs, %d roots, %d paths, %d consistency proofs",
			len(v.Inputs), len(v.Roots), len(v.Paths), len(v.Consistency))
	}
	// The inputs are not 32 bytes, so the one tile is written by hand.
	var leaves []Hash
	for _, in := range v.Inputs {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, Hash(rfc6962.DefaultHasher.HashLeaf(b)))
	}
	roots := mustHex(t, v.Roots...)
	m := newMemory()
	m.write([]Tile{{Data: JoinHashes(leaves)}})
	for size, want := range roots {
		tree, err := OpenTree(uint64(size), m)
		if err != nil || tree.Root() != want {
			t.Errorf("root at %d = %v, %v, want %v", size, tree.Root(), err, want)
		}
	}
	for _, p := range v.Paths {
		want := mustHex(t, p.Path...)
		got, err := Inclusion(m, p.Leaf-1, p.Size)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("path of leaf %d in %d = %v, %v, want %v", p.Leaf, p.Size, got, err, want)
		}
		if err := verifyLeaf(leaves[p.Leaf-1], p.Leaf-1, p.Size, roots[p.Size], want); err != nil {
			t.Errorf("path of leaf %d in %d: %v", p.Leaf, p.Size, err)
		}
	}
	for _, p := range v.Consistency {
		want := mustHex(t, p.Path...)
		got, err := Consistency(m, p.From, p.To)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("consistency %d to %d = %v, %v, want %v", p.From, p.To, got, err, want)
		}
		if err := VerifyConsistency(p.From, roots[p.From], p.To, roots[p.To], want); err != nil {
			t.Errorf("consistency %d to %d: %v", p.From, p.To, err)
		}
	}
}

// hashes turns the byte strings of a vector into hashes; false when one is not
// 32 bytes, which our types cannot hold and so refuse before any check.
func hashes(bs ...[]byte) (out []Hash, ok bool) {
	for _, b := range bs {
		if len(b) != HashSize {
			return nil, false
		}
		out = append(out, Hash(b))
	}
	return out, true
}

func TestPublishedInclusionProofs(t *testing.T) {
	var cases []struct {
		File              string
		LeafIdx, TreeSize uint64
		Root, LeafHash    []byte
		Proof             [][]byte
		WantErr           bool
	}
	readJSON(t, "rfc6962/inclusion.json", &cases)
	good := 0
	for _, c := range cases {
		err := errors.New("not 32 bytes")
		path, ok := hashes(c.Proof...)
		if heads, ok2 := hashes(c.Root, c.LeafHash); ok && ok2 {
			err = verifyLeaf(heads[1], c.LeafIdx, c.TreeSize, heads[0], path)
		}
		if (err != nil) != c.WantErr {
			t.Errorf("%s: %v, want error %v", c.File, err, c.WantErr)
		}
		if err == nil {
			good++
		}
	}
	if len(cases) != 98 || good != 6 {
		t.Errorf("%d cases with %d good ones, want 98 with 6", len(cases), good)
	}
}

func TestPublishedConsistencyProofs(t *testing.T) {
	var cases []struct {
		File         string
		Size1, Size2 uint64
		Root1, Root2 []byte
		Proof        [][]byte
		WantErr      bool
	}
	readJSON(t, "rfc6962/consistency.json", &cases)
	good := 0
	for _, c := range cases {
		err := errors.New("not 32 bytes")
		path, ok := hashes(c.Proof...)
		if heads, ok2 := hashes(c.Root1, c.Root2); ok && ok2 {
			err = VerifyConsistency(c.Size1, heads[0], c.Size2, heads[1], path)
		}
		// One case holds for good a root of 10 bytes, equal to itself.
		notMet := c.File == "consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"
		if (err != nil) != (c.WantErr || notMet) {
			t.Errorf("%s: %v, want error %v", c.File, err, c.WantErr)
		}
		if err == nil {
			good++
		}
	}
	if len(cases) != 98 || good != 5 {
		t.Errorf("%d cases with %d good ones, want 98 with 5", len(cases), good)
	}
}

func TestC2SPExamples(t *testing.T) {
	v, err := ParseLogKey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(readFile(t, "c2sp/note.txt"), note.VerifierList(v)); err != nil {
		t.Errorf("signed note: %v", err)
	}
	// Signed well, and still no checkpoint.
	if _, _, err := OpenCheckpoint(readFile(t, "c2sp/note.txt"), "example.com/foo", v); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("a note that is not a checkpoint: %v, want ErrCheckpoint", err)
	}

	signed := readFile(t, "c2sp/cosigned-checkpoint.txt")
	_, err = note.Open(signed, note.VerifierList())
	var n *note.UnverifiedNoteError
	if !errors.As(err, &n) {
		t.Fatal(err)
	}
	c, err := parseBody(n.Note.Text)
	if err != nil || c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 ||
		c.Root.String() != "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=" {
		t.Errorf("checkpoint = %+v, %v", c, err)
	}
	// The specification prints the signed message too, with its time.
	w := acceptAll{"witness.example.com/w1", 0x8d66cf3f}
	got := Cosignatures(&note.Note{Sigs: n.Note.UnverifiedSigs}, w)
	want := []Cosignature{{"witness.example.com/w1", time.Unix(1679315147, 0).UTC()}}
	if !slices.Equal(got, want) {
		t.Errorf("cosignatures = %v, want %v", got, want)
	}
}

// A proof file that another implementation made: a log's signature, a witness's
// cosignature and the path all verify; with a byte changed, none does.
func TestOakProof(t *testing.T) {
	file := readFile(t, "oak/test.tlog-proof")
	const origin = "fake.log.origin/log"
	log, err := ParseLogKey("fake.log.origin/log+527eabb8+AddT9PtBhhNAsDYZ0V0euiRbXuvrLsw4L6vKARfipnmz")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := ParseWitnessKey("test-witness+26349ef0+BIQDFTUlktisMqJzWn8qhteWrRr4dLcQ9R37T+8LQyQF")
	if err != nil {
		t.Fatal(err)
	}
	leaf := Hash(rfc6962.DefaultHasher.HashLeaf([]byte("test entry data")))
	p, err := ParseProof(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(p.Marshal()); got != string(file) {
		t.Errorf("printed back:\n%s\nwant:\n%s", got, file)
	}
	c, n, err := p.verifyLeaf(leaf, origin, log, witness)
	if err != nil || c.Size != 4 || p.Index != 3 {
		t.Fatalf("verify = %+v, %v", c, err)
	}
	got := Cosignatures(n, witness)
	// The eight bytes after the key's hash, read off the file by hand.
	want := []Cosignature{{"test-witness", time.Unix(0x69988f3e, 0).UTC()}}
	if !slices.Equal(got, want) {
		t.Errorf("cosignatures = %v, want %v", got, want)
	}
	for i := range file {
		bad := slices.Clone(file)
		bad[i] ^= 1
		p, err := ParseProof(bad)
		if err != nil {
			continue
		}
		if _, n, err := p.verifyLeaf(leaf, origin, log, witness); err == nil && len(Cosignatures(n, witness)) == 1 {
			t.Errorf("byte %d (%q) altered and all still verifies", i, file[i])
		}
	}
}

// A log kept by tessera: its checkpoints of sizes 0 to 15 open with its key,
// are the roots we compute from its tile, and our proofs join each to each.
func TestTesseraLog(t *testing.T) {
	const origin = "example.com/log/testdata"
	v, err := ParseLogKey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	m.write([]Tile{{Data: readFile(t, "tessera/tile-0-000.p-15")}})
	var heads []Checkpoint
	for size := range uint64(16) {
		signed := readFile(t, fmt.Sprintf("tessera/checkpoint.%d", size))
		c, _, err := OpenCheckpoint(signed, origin, v)
		if err != nil || c.Size != size {
			t.Fatalf("checkpoint %d = %+v, %v", size, c, err)
		}
		tree, err := OpenTree(size, m)
		if err != nil || tree.Root() != c.Root {
			t.Errorf("size %d: root %v, %v, want %v", size, tree.Root(), err, c.Root)
		}
		for _, old := range heads {
			path, err := Consistency(m, old.Size, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyConsistency(old.Size, old.Root, size, c.Root, path); err != nil {
				t.Errorf("%d to %d: %v", old.Size, size, err)
			}
		}
		heads = append(heads, c)
	}
	// The fourth entry of that log is the text "four".
	p, err := NewProof(m, 3, readFile(t, "tessera/checkpoint.15"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.verifyLeaf(Hash(rfc6962.DefaultHasher.HashLeaf([]byte("four"))), origin, v); err != nil {
		t.Error(err)
	}
}

// acceptAll is a verifier that believes anything, so that tests and fuzzing get
// past the signature to what lies behind it.
type acceptAll struct {
	name string
	hash uint32
}

func (a acceptAll) Name() string                { return a.name }
func (a acceptAll) KeyHash() uint32             { return a.hash }
func (a acceptAll) Verify(msg, sig []byte) bool { return true }

func TestKeysAreRefused(t *testing.T) {
	const log = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
	witness, err := fnote.VKeyToCosignatureV1(log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseWitnessKey(witness); err != nil {
		t.Errorf("witness key: %v", err)
	}
	for name, c := range map[string]struct {
		key   string
		parse func(string) (note.Verifier, error)
	}{
		"empty log key":           {"", ParseLogKey},
		"empty witness key":       {"", ParseWitnessKey},
		"witness's key for a log": {witness, ParseLogKey},
		"log's key for a witness": {log, ParseWitnessKey},
		"hash in capitals":        {strings.Replace(log, "530d903a", "530D903A", 1), ParseLogKey},
		"another name":            {strings.Replace(log, "foo", "bar", 1), ParseLogKey},
		"another name, witness":   {strings.Replace(witness, "foo", "bar", 1), ParseWitnessKey},
		"wrong hash, witness":     {"example.com/foo+00000000+" + witness[strings.LastIndex(witness, "+")+1:], ParseWitnessKey},
		"line end":                {log + "\n", ParseLogKey},
		"line end, witness":       {witness + "\n", ParseWitnessKey},
		"space in the name":       {"example.com/a b" + log[len("example.com/foo"):], ParseLogKey},
		"short":                   {log[:len(log)-4], ParseLogKey},
	} {
		if _, err := c.parse(c.key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
}

// seed makes a test key's seed out of a word.
func seed(word string) []byte {
	s := sha256.Sum256([]byte(word))
	return s[:]
}
