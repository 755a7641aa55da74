package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// SignatureSize is the length in bytes of an ES256 signature: r and s, each 32
// bytes, big-endian (RFC 7518 section 3.4).
const SignatureSize = 64

// kmsTimeout bounds one question to a key that lives elsewhere.
const kmsTimeout = 30 * time.Second

// A RecordKey signs records and events with ES256 (RFC 7518 section 3.4). The
// private key is in memory or behind a sigstore KMS reference. A RecordKey may
// be used concurrently.
type RecordKey struct {
	signer signature.Signer
	remote bool // the private key is not ours to see
	public *RecordPublic
}

// NewRecordKey returns the record key that signs through s, whatever holds the
// private key. The public key of s must be on P-256. Every signature s makes is
// verified before it is passed on.
func NewRecordKey(s signature.Signer) (*RecordKey, error) {
	var pub crypto.PublicKey
	err := ask(func(ctx context.Context) (err error) {
		pub, err = s.PublicKey(options.WithContext(ctx))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read record key's public key: %w", err)
	}
	p, err := newRecordPublic(pub)
	if err != nil {
		return nil, err
	}
	return &RecordKey{signer: s, remote: true, public: p}, nil
}

// openKMS returns the record key that a sigstore KMS reference names.
func openKMS(ref string) (*RecordKey, error) {
	// A deadline given here would not bound this call but be handed to the plugin
	// with every later one, and so end the key's life.
	sv, err := kms.Get(context.Background(), ref, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("open record key %q: %w", ref, err)
	}
	k, err := NewRecordKey(sv)
	if err != nil {
		return nil, fmt.Errorf("open record key %q: %w", ref, err)
	}
	return k, nil
}

// ask puts one question to whatever holds a key elsewhere. sigstore's plugin
// client dereferences a nil pointer when a plugin's answer is not to the
// question; that must not end the node.
func ask(question func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), kmsTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the answer was not understood: %v", r)
		}
	}()
	return question(ctx)
}

// newP256 makes a record key whose id does not begin with "-": an officer types it
// after a command, where it would be read as a flag.
func newP256() (*ecdsa.PrivateKey, error) {
	for {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		p, err := newRecordPublic(&k.PublicKey)
		if err != nil || p.id[0] != '-' {
			return k, err
		}
	}
}

// newRecordKey returns the record key that holds priv in memory.
func newRecordKey(priv *ecdsa.PrivateKey) (*RecordKey, error) {
	p, err := newRecordPublic(&priv.PublicKey)
	if err != nil {
		return nil, err
	}
	sv, err := signature.LoadECDSASignerVerifier(priv, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("load record key: %w", err)
	}
	return &RecordKey{signer: sv, public: p}, nil
}

// ID returns the key's id, as in [RecordPublic.ID].
func (k *RecordKey) ID() string { return k.public.id }

// Public returns the public half.
func (k *RecordKey) Public() *RecordPublic { return k.public }

// Sign returns the ES256 signature of signingInput: [SignatureSize] bytes, r
// then s, s at most half of the order of the curve. Two signatures of the same input differ.
func (k *RecordKey) Sign(signingInput []byte) ([]byte, error) {
	if !k.remote {
		// Handing the digest over spares sigstore's reader and its copy.
		sum := sha256.Sum256(signingInput)
		der, err := k.signer.SignMessage(nil, options.WithDigest(sum[:]))
		if err != nil {
			return nil, fmt.Errorf("sign with record key: %w", err)
		}
		return rawSignature(der)
	}
	var der []byte
	err := ask(func(ctx context.Context) (err error) {
		der, err = k.signer.SignMessage(bytes.NewReader(signingInput), options.WithContext(ctx))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign with record key: %w", err)
	}
	raw, err := rawSignature(der)
	if err != nil {
		return nil, err
	}
	// What a program outside hands us must not reach the log unchecked: an
	// entry with a bad signature could never be taken back.
	if err := k.public.Verify(signingInput, raw); err != nil {
		return nil, fmt.Errorf("check record key's signature: %w", err)
	}
	return raw, nil
}

var errSignatureForm = errors.New("read signature: not an ASN.1 ECDSA signature over P-256")

// rawSignature turns SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 section
// 2.2.3) into r || s. Both integers fit 33 bytes, so every length is one byte.
func rawSignature(der []byte) ([]byte, error) {
	if len(der) < 8 || len(der) > 72 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errSignatureForm
	}
	out := make([]byte, SignatureSize)
	rest := der[2:]
	for i := range 2 {
		if len(rest) < 3 || rest[0] != 0x02 || rest[1] == 0 || int(rest[1]) > len(rest)-2 {
			return nil, errSignatureForm
		}
		v := rest[2 : 2+int(rest[1])]
		rest = rest[2+int(rest[1]):]
		if v[0]&0x80 != 0 {
			return nil, errSignatureForm // negative
		}
		for len(v) > 0 && v[0] == 0 {
			v = v[1:]
		}
		if len(v) > 32 {
			return nil, errSignatureForm
		}
		copy(out[32*(i+1)-len(v):], v)
	}
	if len(rest) != 0 {
		return nil, errSignatureForm
	}
	lower(out)
	return out, nil
}

// For a signature (r, s) anybody can make a second, (r, n-s), that verifies as
// well, n being the order of P-256.
var (
	order     = elliptic.P256().Params().N
	halfOrder = new(big.Int).Rsh(order, 1).FillBytes(make([]byte, 32))
)

// OneForm reports whether a signature is of the form that Sign makes, with the
// lesser s of the two that hold. What may have one form alone asks it beside Verify.
func OneForm(sig []byte) bool {
	return len(sig) == SignatureSize && bytes.Compare(sig[32:], halfOrder) <= 0
}

// lower turns r || s into the form with the lesser s.
func lower(sig []byte) {
	if s := sig[32:]; bytes.Compare(s, halfOrder) > 0 {
		new(big.Int).Mod(new(big.Int).Sub(order, new(big.Int).SetBytes(s)), order).FillBytes(s)
	}
}

// A RecordPublic is the public half of a record key. It is immutable.
type RecordPublic struct {
	key *ecdsa.PublicKey
	id  string
	x   string // base64url, 43 characters
	y   string
}

var errNotP256 = errors.New("read public key: not an ECDSA key on P-256")

func newRecordPublic(pub crypto.PublicKey) (*RecordPublic, error) {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errNotP256
	}
	point, err := key.Bytes() // refuses a point off the curve
	if err != nil || len(point) != 65 {
		return nil, errNotP256
	}
	p := &RecordPublic{
		key: key,
		x:   base64.RawURLEncoding.EncodeToString(point[1:33]),
		y:   base64.RawURLEncoding.EncodeToString(point[33:]),
	}
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + p.x + `","y":"` + p.y + `"}`))
	p.id = base64.RawURLEncoding.EncodeToString(sum[:])
	return p, nil
}

// ParseRecordPublic reads a P-256 public key: PEM of type "PUBLIC KEY"
// (RFC 7468 section 13) or a JWK (RFC 7517). It refuses anything before or
// after the PEM block but white space, a JWK that holds a private key, and a JWK whose "kid",
// "alg", "use" or "key_ops" says that the key is another or for something else
// than verifying.
func ParseRecordPublic(b []byte) (*RecordPublic, error) {
	if s := bytes.TrimSpace(b); len(s) > 0 && s[0] == '{' {
		return parseJWK(s)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" || len(block.Headers) != 0 ||
		len(bytes.TrimSpace(rest)) != 0 || !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
		return nil, errors.New("read public key: want one PEM block of type PUBLIC KEY, or a JWK")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return newRecordPublic(pub)
}

func parseJWK(b []byte) (*RecordPublic, error) {
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 8 << 10, Depth: 4})
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errNotP256
	}
	if m["kty"] != "EC" || m["crv"] != "P-256" {
		return nil, errNotP256
	}
	if _, ok := m["d"]; ok {
		return nil, errors.New("read public key: the JWK holds a private key")
	}
	point := []byte{4} // uncompressed form, SEC 1 section 2.3.3
	for _, c := range []string{"x", "y"} {
		s, _ := m[c].(string)
		b, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil || len(b) != 32 || len(s) != 43 {
			return nil, fmt.Errorf("read public key: %q is not 32 bytes in base64url", c)
		}
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errNotP256
	}
	p, err := newRecordPublic(key)
	if err != nil {
		return nil, err
	}
	for k, want := range map[string]string{"kid": p.id, "alg": "ES256", "use": "sig"} {
		if got, ok := m[k]; ok && got != want {
			return nil, fmt.Errorf("read public key: the JWK's %q is not %q", k, want)
		}
	}
	if ops, ok := m["key_ops"]; ok && !verifies(ops) {
		return nil, errors.New("read public key: the JWK's \"key_ops\" does not let it verify")
	}
	return p, nil
}

// verifies reports whether a JWK's key_ops (RFC 7517 section 4.3), a list of
// texts none of which stands twice, holds "verify".
func verifies(ops any) bool {
	list, ok := ops.([]any)
	seen := map[string]bool{}
	for _, o := range list {
		s, isText := o.(string)
		ok = ok && isText && !seen[s]
		seen[s] = true
	}
	return ok && seen["verify"]
}

// ID returns the key's id, the "kid" of what it signs: the SHA-256 JWK
// thumbprint (RFC 7638) in base64url, 43 characters.
func (p *RecordPublic) ID() string { return p.id }

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("signature does not verify")

// Verify checks the ES256 signature sig, [SignatureSize] bytes, of signingInput.
// It returns [ErrSignature] when it does not hold. Of the two forms that every
// signature has it takes both, as RFC 7518 does: see [OneForm].
func (p *RecordPublic) Verify(signingInput, sig []byte) error {
	if len(sig) != SignatureSize {
		return ErrSignature
	}
	// sigstore's verifier is passed by: it takes a signature in either of two
	// encodings, where one meaning must have one, and re-parses key and signature
	// through big integers each time.
	var buf [72]byte
	der := appendDER(buf[:0], sig)
	sum := sha256.Sum256(signingInput)
	if !ecdsa.VerifyASN1(p.key, sum[:], der) {
		return ErrSignature
	}
	return nil
}

// appendDERInteger appends the unsigned big-endian v as an ASN.1 INTEGER in the
// fewest bytes (X.690 section 8.3.2).
func appendDERInteger(dst, v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	n := len(v)
	if v[0]&0x80 != 0 {
		dst = append(dst, 0x02, byte(n+1), 0)
	} else {
		dst = append(dst, 0x02, byte(n))
	}
	return append(dst, v...)
}

// JWK returns the key as a JSON Web Key (RFC 7517) with "alg", "kid" and "use",
// members in order, no white space.
func (p *RecordPublic) JWK() []byte {
	return []byte(`{"alg":"ES256","crv":"P-256","kid":"` + p.id + `","kty":"EC","use":"sig","x":"` + p.x + `","y":"` + p.y + `"}`)
}

// PEM returns the key as PEM of type "PUBLIC KEY", what cosign verify-blob
// reads.
func (p *RecordPublic) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.der()})
}
