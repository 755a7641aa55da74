package keys

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/node/name"
)

// A council signs each checkpoint of its log with its record key, too, so that
// every record below it is signed by one signature. The line is specified in
// package tlog: type 2 of c2sp.org/signed-note, an ECDSA signature in ASN.1.

const typeECDSA = 2

// CheckpointKeyName returns the name under which a council's record keys sign
// its checkpoints.
func CheckpointKeyName(c name.Council) string { return c.Origin() + "/record" }

// checkpointHash returns the key hash of p: the first four bytes of the SHA-256
// of its SubjectPublicKeyInfo in DER, without the name.
func (p *RecordPublic) checkpointHash() uint32 {
	sum := sha256.Sum256(p.der())
	return binary.BigEndian.Uint32(sum[:])
}

func (p *RecordPublic) der() []byte {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		panic("internal error: a checked P-256 key does not marshal: " + err.Error())
	}
	return der
}

// CheckpointSigner returns what signs the checkpoints of council c with this
// key. A key that is held elsewhere is asked once for each.
func (k *RecordKey) CheckpointSigner(c name.Council) note.Signer {
	return &checkpointSigner{k, CheckpointKeyName(c), k.public.checkpointHash()}
}

type checkpointSigner struct {
	key  *RecordKey
	name string
	hash uint32
}

func (s *checkpointSigner) Name() string    { return s.name }
func (s *checkpointSigner) KeyHash() uint32 { return s.hash }

func (s *checkpointSigner) Sign(text []byte) ([]byte, error) {
	raw, err := s.key.Sign(text)
	if err != nil {
		return nil, err
	}
	return appendDER(nil, raw), nil
}

// CheckpointVerifier returns what verifies the checkpoints that council c signed
// with this key. It takes a signature in the one form that CheckpointSigner makes:
// the lesser s, and DER without a byte more than it needs.
func (p *RecordPublic) CheckpointVerifier(c name.Council) note.Verifier {
	return &checkpointVerifier{p, CheckpointKeyName(c), p.checkpointHash()}
}

// CheckpointVerifierKey returns the verifier key of the same, "name+hash+key"
// with key type 2, for other programs that read notes.
func (p *RecordPublic) CheckpointVerifierKey(c name.Council) string {
	return fmt.Sprintf("%s+%08x+%s", CheckpointKeyName(c), p.checkpointHash(), base64.StdEncoding.EncodeToString(append([]byte{typeECDSA}, p.der()...)))
}

type checkpointVerifier struct {
	key  *RecordPublic
	name string
	hash uint32
}

func (v *checkpointVerifier) Name() string    { return v.name }
func (v *checkpointVerifier) KeyHash() uint32 { return v.hash }

func (v *checkpointVerifier) Verify(text, sig []byte) bool {
	raw, err := rawSignature(sig)
	if err != nil || !bytes.Equal(appendDER(nil, raw), sig) {
		return false // what rawSignature makes has the lesser s
	}
	return v.key.Verify(text, raw) == nil
}

// appendDER appends r || s as SEQUENCE { INTEGER r, INTEGER s } (RFC 3279
// section 2.2.3).
func appendDER(dst, raw []byte) []byte {
	at := len(dst)
	dst = append(dst, 0x30, 0)
	dst = appendDERInteger(dst, raw[:32])
	dst = appendDERInteger(dst, raw[32:])
	dst[at+1] = byte(len(dst) - at - 2)
	return dst
}
