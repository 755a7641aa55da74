package blind

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"
)

var scope = bytes.Repeat([]byte{7}, 32)

func key(t testing.TB, seed byte) *Key {
	t.Helper()
	k, err := NewKey([32]byte{seed})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestVectors: what this package is built from does what RFC 9497 says, by the vectors
// of its authors: the keys, what is blinded and evaluated, the proofs and the outputs.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/rfc9497/voprf-ristretto255-sha512.json")
	if err != nil {
		t.Fatal(err)
	}
	var suites []struct {
		KeyInfo, PkSm, Seed, SkSm string
		Vectors                   []struct {
			Batch                                                   int
			Blind, BlindedElement, EvaluationElement, Input, Output string
			Proof                                                   struct{ Proof, R string }
		}
	}
	if err := json.Unmarshal(b, &suites); err != nil || len(suites) != 1 || len(suites[0].Vectors) != 3 {
		t.Fatalf("vectors: %v, %d suites", err, len(suites))
	}
	list := func(s string) (out [][]byte) {
		for p := range strings.SplitSeq(s, ",") {
			b, err := hex.DecodeString(p)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b)
		}
		return out
	}
	one := func(s string) []byte { return list(s)[0] }
	s := suites[0]
	k, err := oprf.DeriveKey(suite, oprf.VerifiableMode, one(s.Seed), one(s.KeyInfo))
	if err != nil {
		t.Fatal(err)
	}
	private, _ := k.MarshalBinary()
	public, _ := k.Public().MarshalBinary()
	if !bytes.Equal(private, one(s.SkSm)) || !bytes.Equal(public, one(s.PkSm)) {
		t.Fatalf("key %x, %x", private, public)
	}
	server := &Key{oprf.NewVerifiableServer(suite, k), public}
	for i, v := range s.Vectors {
		var blinds []oprf.Blind
		for _, b := range list(v.Blind) {
			f := suite.Group().NewScalar()
			if err := f.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			blinds = append(blinds, f)
		}
		client := oprf.NewVerifiableClient(suite, k.Public())
		data, req, err := client.DeterministicBlind(list(v.Input), blinds)
		if err != nil {
			t.Fatal(err)
		}
		eval := &oprf.Evaluation{Proof: new(dleq.Proof)}
		if err := eval.Proof.UnmarshalBinary(suite.Group(), one(v.Proof.Proof)); err != nil {
			t.Fatal(err)
		}
		for j, e := range req.Elements {
			b, _ := e.MarshalBinaryCompress()
			if want := list(v.BlindedElement)[j]; !bytes.Equal(b, want) {
				t.Errorf("vector %d: blinded %x, want %x", i, b, want)
			}
			got, _, err := server.Evaluate(b)
			if want := list(v.EvaluationElement)[j]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("vector %d: evaluated %x, want %x: %v", i, got, want, err)
			}
			el := suite.Group().NewElement()
			if err := el.UnmarshalBinary(got); err != nil {
				t.Fatal(err)
			}
			eval.Elements = append(eval.Elements, el)
		}
		out, err := client.Finalize(data, eval)
		if err != nil {
			t.Fatalf("vector %d: the proof of the RFC does not hold: %v", i, err)
		}
		for j, want := range list(v.Output) {
			if !bytes.Equal(out[j], want) {
				t.Errorf("vector %d: output %x, want %x", i, out[j], want)
			}
		}
		if v.Batch == 1 { // what the package itself does with the proof of the RFC
			h := &Hidden{data, blinds[0], one(v.BlindedElement)}
			l, err := h.Label(public, one(v.EvaluationElement), one(v.Proof.Proof))
			if err != nil || l != label(one(v.Output)) {
				t.Errorf("vector %d: label %x: %v", i, l, err)
			}
		}
	}
}

// TestOneValue: the asker has the label of its own value, and the holder gives that
// label to this value alone.
func TestOneValue(t *testing.T) {
	k := key(t, 1)
	h, err := Hide(rand.Reader, scope, "/nino", "AB123456C")
	if err != nil {
		t.Fatal(err)
	}
	evaluated, proof, err := k.Evaluate(h.Element())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := h.Label(k.Public(), evaluated, proof)
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := k.Label(scope, "/nino", "AB123456C"); err != nil || theirs != mine {
		t.Errorf("the same value has two labels: %v", err)
	}
	for what, l := range map[string]func() (Label, error){
		"another value":     func() (Label, error) { return k.Label(scope, "/nino", "AB123457C") },
		"another field":     func() (Label, error) { return k.Label(scope, "/reference", "AB123456C") },
		"another agreement": func() (Label, error) { return k.Label(scope[1:], "/nino", "AB123456C") },
		"another question":  func() (Label, error) { return key(t, 2).Label(scope, "/nino", "AB123456C") },
	} {
		if l, err := l(); err != nil || l == mine {
			t.Errorf("%s has the same label: %v", what, err)
		}
	}
	// The same value hidden twice has nothing in common.
	again, err := Hide(rand.Reader, scope, "/nino", "AB123456C")
	if err != nil || bytes.Equal(again.Element(), h.Element()) {
		t.Errorf("a value is hidden in one way: %v", err)
	}
	sum := Sum(h.Element())
	if !Opens(sum, scope, "/nino", "AB123456C", h.Factor()) {
		t.Error("what was hidden cannot be shown")
	}
	if Opens(sum, scope, "/nino", "AB123457C", h.Factor()) || Opens(sum, scope, "/nino", "AB123456C", again.Factor()) || Opens(sum, scope, "/nino", "AB123456C", nil) {
		t.Error("another value is shown for the one that was hidden")
	}
}

// TestAnotherKey: a holder that evaluates under another key than it named is found out.
func TestAnotherKey(t *testing.T) {
	k, other := key(t, 1), key(t, 2)
	h, err := Hide(rand.Reader, scope, "/nino", "AB123456C")
	if err != nil {
		t.Fatal(err)
	}
	evaluated, proof, err := k.Evaluate(h.Element())
	if err != nil {
		t.Fatal(err)
	}
	wrong, itsProof, err := other.Evaluate(h.Element())
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(proof)
	flipped[5] ^= 1
	zero := make([]byte, ElementSize)
	for what, c := range map[string][3][]byte{
		"another key":         {k.Public(), wrong, itsProof},
		"the proof of ours":   {k.Public(), wrong, proof},
		"another's public":    {other.Public(), evaluated, proof},
		"a flipped bit":       {k.Public(), evaluated, flipped},
		"no proof":            {k.Public(), evaluated, nil},
		"nothing evaluated":   {k.Public(), zero, proof},
		"no key":              {zero, evaluated, proof},
		"what was sent to it": {k.Public(), h.Element(), proof},
	} {
		if _, err := h.Label(c[0], c[1], c[2]); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzEvaluate: a holder is sent anything; it evaluates elements that are spelt in the
// one way, and refuses all else.
func FuzzEvaluate(f *testing.F) {
	h, err := Hide(rand.Reader, scope, "/nino", "AB123456C")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h.Element())
	f.Add(make([]byte, ElementSize))
	f.Add(bytes.Repeat([]byte{0xff}, ElementSize))
	k := key(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		out, proof, err := k.Evaluate(b)
		if err != nil {
			return
		}
		if len(out) != ElementSize || len(proof) != ProofSize {
			t.Errorf("%d and %d bytes", len(out), len(proof))
		}
	})
}

// FuzzLabel: an asker is sent anything, and believes what is proved.
func FuzzLabel(f *testing.F) {
	h, err := Hide(rand.Reader, scope, "/nino", "AB123456C")
	if err != nil {
		f.Fatal(err)
	}
	k := key(f, 1)
	e, p, err := k.Evaluate(h.Element())
	if err != nil {
		f.Fatal(err)
	}
	want, err := h.Label(k.Public(), e, p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Public(), e, p)
	f.Fuzz(func(t *testing.T, public, e, p []byte) {
		if l, err := h.Label(public, e, p); err == nil && bytes.Equal(public, k.Public()) && l != want {
			t.Error("another label under the same key")
		}
	})
}

// BenchmarkLabel: what a holder pays for each value that it compares with.
func BenchmarkLabel(b *testing.B) {
	k := key(b, 1)
	for b.Loop() {
		if _, err := k.Label(scope, "/nino", "AB123456C"); err != nil {
			b.Fatal(err)
		}
	}
}
