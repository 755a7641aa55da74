// Package blind compares a value that one council asks about with those that another
// holds, without the first telling the value or the second its list: the verifiable
// oblivious pseudorandom function of RFC 9497 (VOPRF mode), with the suite
// ristretto255-SHA512.
//
// The asker hides its value under a random factor, [Hide]. The holder has a [Key] that
// is for this one question; it evaluates what it was sent, and gives a [Label] to each
// value of its own. The asker takes its factor away, checks the proof that the holder
// used the key it named, and has the label of its own value and of no other:
// [Hidden.Label]. If the list has it, the holder has the value.
//
// What the asker sends is a random element whatever the value is, so the holder learns
// nothing from it, however much it can compute. A label says nothing about its value
// without the key; with one evaluation under each key the asker can test one value.
package blind

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"github.com/stile-exchange/stile/node/name"
)

// Sizes in bytes of what travels.
const (
	ElementSize = 32 // of a hidden value, of one that was evaluated, and of a public key
	ProofSize   = 64
	FactorSize  = 32
	LabelSize   = 16
)

var suite = oprf.SuiteRistretto255

// ErrProof: what was sent was not evaluated under the key that was named, or is no
// message of the protocol.
var ErrProof = errors.New("it was not evaluated under the key that was named")

// A Label stands for a value in the answer to one question.
type Label [LabelSize]byte

// input is what the function is of. The parts cannot run together: a field has no zero
// byte.
func input(scope []byte, f name.Field, value string) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "stile private question 1\n%x\n%s\x00%s", scope, f, value)
	return h.Sum(nil)
}

// Bucket returns a byte that anybody can compute of a value: its first bits name the
// part of a long list that an answer is taken from. scope is as for [Hide].
func Bucket(scope []byte, f name.Field, value string) byte {
	h := sha256.New()
	fmt.Fprintf(h, "stile private bucket 1\n%x\n%s\x00%s", scope, f, value)
	return h.Sum(nil)[0]
}

func label(output []byte) Label {
	sum := sha256.Sum256(append([]byte("stile private label 1\n"), output...))
	return Label(sum[:LabelSize])
}

// A Hidden is a value with the factor that hides it, which the asker keeps.
type Hidden struct {
	data    *oprf.FinalizeData
	factor  group.Scalar
	element []byte
}

// Hide hides a value that stands at a field. scope says what it is asked under; the
// same value has unlike labels under two. random must give random bytes.
func Hide(random io.Reader, scope []byte, f name.Field, value string) (*Hidden, error) {
	var seed [64]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("hide a value: %w", err)
	}
	return hide(scope, f, value, suite.Group().HashToScalar(seed[:], []byte("stile private factor 1")))
}

func hide(scope []byte, f name.Field, value string, factor group.Scalar) (*Hidden, error) {
	// The key of a client is needed to check the proof, which comes with the answer.
	data, req, err := oprf.NewVerifiableClient(suite, placeholder()).DeterministicBlind([][]byte{input(scope, f, value)}, []oprf.Blind{factor})
	if err != nil {
		return nil, fmt.Errorf("hide a value: %w", err)
	}
	b, err := req.Elements[0].MarshalBinaryCompress()
	return &Hidden{data, factor, b}, err
}

// placeholder is a public key that nothing is checked against.
func placeholder() *oprf.PublicKey {
	k := new(oprf.PrivateKey)
	one, err := suite.Group().NewScalar().SetUint64(1).MarshalBinary()
	if err == nil {
		err = k.UnmarshalBinary(suite, one)
	}
	if err != nil {
		panic("internal error: the number one is no key")
	}
	return k.Public()
}

// Element returns the hidden value as it is sent.
func (h *Hidden) Element() []byte { return bytes.Clone(h.element) }

// Factor returns what hides the value. Who is given it and the value can see that the
// element was of this value: see [Opens].
func (h *Hidden) Factor() []byte {
	b, err := h.factor.MarshalBinary()
	if err != nil {
		panic("internal error: a factor cannot be written")
	}
	return b
}

// Opens reports whether a value with a factor gives a hidden value whose digest is
// sum, see [Sum].
func Opens(sum [32]byte, scope []byte, f name.Field, value string, factor []byte) bool {
	s := suite.Group().NewScalar()
	if len(factor) != FactorSize || s.UnmarshalBinary(factor) != nil || s.IsZero() {
		return false
	}
	h, err := hide(scope, f, value, s)
	return err == nil && Sum(h.element) == sum
}

// Sum returns the digest of a hidden value, which may stand in logs.
func Sum(element []byte) [32]byte {
	return sha256.Sum256(append([]byte("stile private element 1\n"), element...))
}

// Label returns the label of the value under a key of the holder, which evaluated it
// and proves so. The error wraps ErrProof when that is not so.
func (h *Hidden) Label(public, evaluated, proof []byte) (l Label, err error) {
	key := new(oprf.PublicKey)
	e, ok := parse(evaluated)
	p := new(dleq.Proof)
	if !ok || !Valid(public) || len(proof) != ProofSize || key.UnmarshalBinary(suite, public) != nil || p.UnmarshalBinary(suite.Group(), proof) != nil {
		return l, ErrProof
	}
	out, err := oprf.NewVerifiableClient(suite, key).Finalize(h.data, &oprf.Evaluation{Elements: []oprf.Evaluated{e}, Proof: p})
	if err != nil {
		return l, ErrProof
	}
	return label(out[0]), nil
}

// A Key is a holder's key for one question. It may be used concurrently.
type Key struct {
	server oprf.VerifiableServer
	public []byte
}

// NewKey returns the key that belongs to a seed of 32 bytes, which is secret: always
// the same (RFC 9497 section 3.2.1).
func NewKey(seed [32]byte) (*Key, error) {
	k, err := oprf.DeriveKey(suite, oprf.VerifiableMode, seed[:], []byte("stile private question 1"))
	if err != nil {
		return nil, fmt.Errorf("derive a question's key: %w", err)
	}
	pub, err := k.Public().MarshalBinary()
	return &Key{oprf.NewVerifiableServer(suite, k), pub}, err
}

// Public returns the public key.
func (k *Key) Public() []byte { return bytes.Clone(k.public) }

// Valid reports whether bytes are a hidden value, of whatever it may be.
func Valid(element []byte) bool {
	_, ok := parse(element)
	return ok
}

// parse reads an element that is spelt in the one way.
func parse(b []byte) (group.Element, bool) {
	e := suite.Group().NewElement()
	if len(b) != ElementSize || e.UnmarshalBinary(b) != nil || e.IsIdentity() {
		return nil, false
	}
	again, err := e.MarshalBinaryCompress()
	return e, err == nil && bytes.Equal(again, b)
}

// Evaluate evaluates a hidden value, and proves that it was done under this key. The
// error says that it is none.
func (k *Key) Evaluate(element []byte) (evaluated, proof []byte, err error) {
	e, ok := parse(element)
	if !ok {
		return nil, nil, errors.New("it is no hidden value")
	}
	out, err := k.server.Evaluate(&oprf.EvaluationRequest{Elements: []oprf.Blinded{e}})
	if err != nil {
		return nil, nil, err
	}
	if evaluated, err = out.Elements[0].MarshalBinaryCompress(); err != nil {
		return nil, nil, err
	}
	proof, err = out.Proof.MarshalBinary()
	return evaluated, proof, err
}

// Label returns the label of a value of the holder's own.
func (k *Key) Label(scope []byte, f name.Field, value string) (Label, error) {
	out, err := k.server.FullEvaluate(input(scope, f, value))
	if err != nil {
		return Label{}, fmt.Errorf("label a value: %w", err)
	}
	return label(out), nil
}
