package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// A Cosignature is the verified statement of a witness that, as of a time, a
// checkpoint was the largest it had seen of that log and consistent with all it
// saw before (c2sp.org/tlog-cosignature, cosignature/v1).
type Cosignature struct {
	Witness string    // name of the key: the domain of the council that cosigned
	Time    time.Time // by the witness's clock, UTC, whole seconds
}

// ErrKey is wrapped when text is not a verifier key of the kind wanted.
var ErrKey = errors.New("not a verifier key")

// The signature types of c2sp.org/signed-note that we use.
const (
	typeEd25519     = 1
	typeCosignature = 4 // cosignature/v1, Ed25519
	typeMLDSA       = 6 // cosignature by ML-DSA-44, which quantum computers do not break
)

// Sizes of ML-DSA-44 (FIPS 204, table 2), in bytes.
const (
	mldsaPublicSize    = 1312
	mldsaSignatureSize = 2420
)

// ParseLogKey reads the verifier key of a log, "origin+hash+key" with the
// Ed25519 type 1 (c2sp.org/signed-note). The error wraps [ErrKey].
func ParseLogKey(vkey string) (note.Verifier, error) {
	if err := checkKey(vkey, typeEd25519); err != nil {
		return nil, fmt.Errorf("read log key: %w", err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("read log key: %w: %w", ErrKey, err)
	}
	return v, nil
}

// ParseWitnessKey reads the verifier key of a witness, "name+hash+key" with the
// cosignature/v1 type 4, or type 6 for one that cosigns by ML-DSA-44
// (c2sp.org/tlog-cosignature). The error wraps [ErrKey].
func ParseWitnessKey(vkey string) (note.Verifier, error) {
	if keyType(vkey) == typeMLDSA {
		v, err := fnote.NewMLDSAVerifier(vkey)
		if err != nil || len(rawKey(vkey)) != 1+mldsaPublicSize || !spelt(vkey) {
			return nil, fmt.Errorf("read witness key: %w: want name+hash+key with an ML-DSA-44 key of type %d", ErrKey, typeMLDSA)
		}
		return v, nil
	}
	if err := checkKey(vkey, typeCosignature); err != nil {
		return nil, fmt.Errorf("read witness key: %w", err)
	}
	v, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("read witness key: %w: %w", ErrKey, err)
	}
	return v, nil
}

// rawKey returns the type and the bytes of the key in a verifier key; nil when there
// is none.
func rawKey(vkey string) []byte {
	_, rest, _ := strings.Cut(vkey, "+")
	_, key64, _ := strings.Cut(rest, "+")
	key, _ := base64.StdEncoding.DecodeString(key64)
	return key
}

func keyType(vkey string) byte {
	if key := rawKey(vkey); len(key) > 0 {
		return key[0]
	}
	return 0
}

// spelt reports whether a verifier key is in the one spelling of its base64 and its
// hash.
func spelt(vkey string) bool {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key64, _ := strings.Cut(rest, "+")
	key := rawKey(vkey)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return base64.StdEncoding.EncodeToString(key) == key64 && hex.EncodeToString(sum[:4]) == hash
}

// checkKey accepts the one spelling of an Ed25519 key of the given type. The
// libraries do not: one leaves the hash of a witness's key unread, so a typing
// slip would give a witness none of whose signatures are ever recognised, and
// both take several spellings.
func checkKey(vkey string, typ byte) error {
	name, rest, _ := strings.Cut(vkey, "+")
	_, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(key64)
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != typ {
		return fmt.Errorf("%w: want name+hash+key with an Ed25519 key of type %d", ErrKey, typ)
	}
	// For Ed25519 the hash covers name and type alike for every type.
	want, err := note.NewEd25519VerifierKey(name, key[1:])
	if err == nil && typ == typeCosignature {
		want, err = fnote.VKeyToCosignatureV1(want)
	}
	if err != nil || want != vkey {
		return fmt.Errorf("%w: the hash or the spelling is wrong", ErrKey)
	}
	if weak(key[1:]) {
		return fmt.Errorf("%w: it is a point of low order, whose signatures anybody can make", ErrKey)
	}
	return nil
}

// The field and the curve of Ed25519 (RFC 8032 section 5.1).
var (
	prime  = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD = func() *big.Int {
		d := new(big.Int).ModInverse(big.NewInt(121666), prime)
		return d.Mod(d.Mul(d, big.NewInt(-121665)), prime)
	}()
)

// weak reports whether an Ed25519 public key is a point of order 1, 2, 4 or 8,
// under which one signature verifies for many messages, or is not in the one
// encoding of its point.
//
// The points of order 1 and 2 have y = ±1, those of order 4 y = 0. One of order 8
// doubles to one of order 4, so x² = −y²; with the equation of the curve,
// −x² + y² = 1 + d·x²·y², that is d·y⁴ + 2y² − 1 = 0.
func weak(key []byte) bool {
	le := bytes.Clone(key)
	slices.Reverse(le)
	le[0] &= 0x7f // the sign of x
	y := new(big.Int).SetBytes(le)
	if y.Cmp(prime) >= 0 {
		return true
	}
	square := new(big.Int).Mul(y, y)
	square.Mod(square, prime)
	eighth := new(big.Int).Mul(curveD, square)
	eighth.Add(eighth, big.NewInt(2))
	eighth.Mul(eighth, square)
	eighth.Sub(eighth, big.NewInt(1))
	product := new(big.Int).Sub(square, big.NewInt(1))
	product.Mul(product, y).Mul(product, eighth).Mod(product, prime)
	return product.Sign() == 0
}

// Cosign returns the signature line by which s cosigns c, newline included, and
// the time it states. c must come from [OpenCheckpoint] and be known to be consistent
// with every checkpoint of that log cosigned before; that is what is being signed.
//
// The time is that of the signer, who has the clock and the key: s is a
// cosignature/v1 signer, such as keys.LogKey.Cosigner. The error wraps
// [ErrSignature] when what s made is not a cosignature/v1.
func Cosign(c Checkpoint, s note.Signer) (line []byte, at time.Time, err error) {
	body := c.Body()
	if _, err := parseBody(string(body)); err != nil {
		return nil, time.Time{}, fmt.Errorf("cosign: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: string(body)}, s)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cosign: %w", err)
	}
	line = signed[len(body)+1:]
	b64 := line[bytes.LastIndexByte(line, ' ')+1 : len(line)-1]
	sig, _ := base64.StdEncoding.DecodeString(string(b64)) // note.Sign has just encoded it
	at, ok := cosignedAt(sig)
	if !ok {
		// A plain signer has made a log signature, on a log that is not its own.
		return nil, time.Time{}, fmt.Errorf("cosign: %w: %q does not make cosignature/v1", ErrSignature, s.Name())
	}
	return line, at, nil
}

// AddCosignature returns the checkpoint note signed with the line that witness
// made by [Cosign] added at its end. If the witness has signed already the note
// is returned as it is, so a line that arrives twice does no harm, and the first
// time stated is the one kept: it is the stronger evidence of when entries existed.
//
// It does not verify the log's signature. The error wraps [ErrSignature] when
// line is not one signature by witness over this checkpoint, and [ErrCheckpoint]
// when the note would grow past [MaxNote].
func AddCosignature(signed, line []byte, witness note.Verifier) ([]byte, error) {
	known := note.VerifierList(witness)
	var unverified *note.UnverifiedNoteError
	if n, err := note.Open(signed, known); err == nil {
		if !spelledOnce(n) {
			return nil, fmt.Errorf("add cosignature: %w: not in the one spelling of base64", ErrSignature)
		}
		return signed, nil
	} else if !errors.As(err, &unverified) {
		return nil, fmt.Errorf("add cosignature: %w: %w", ErrSignature, err)
	}
	text := unverified.Note.Text
	if _, err := parseBody(text); err != nil {
		return nil, fmt.Errorf("add cosignature: %w", err)
	}
	n, err := note.Open(fmt.Appendf(nil, "%s\n%s", text, line), known)
	if err != nil {
		return nil, fmt.Errorf("add cosignature: %w: %w", ErrSignature, err)
	}
	if bytes.Count(line, []byte("\n")) != 1 || len(Cosignatures(n, witness)) != 1 || !spelledOnce(n) {
		return nil, fmt.Errorf("add cosignature: %w: want one cosignature/v1 line", ErrSignature)
	}
	if len(signed)+len(line) > MaxNote || len(unverified.Note.UnverifiedSigs) >= MaxSignatures {
		return nil, fmt.Errorf("add cosignature: %w: too many signatures", ErrCheckpoint)
	}
	return append(bytes.Clone(signed), line...), nil
}

// MaxSignatures is how many signatures a note can have: who reads one with more takes it
// for damaged (golang.org/x/mod/sumdb/note, Open). A log may well have more witnesses.
const MaxSignatures = 100

// Join returns the checkpoint note signed with those signature lines of another note of the
// same text that it lacks, in their order, as far as [MaxSignatures] and [MaxNote] let it.
// It verifies nothing. The error wraps [ErrCheckpoint] when the texts differ.
func Join(signed, other []byte) ([]byte, error) {
	text, has, ok := bytes.Cut(signed, []byte("\n\n"))
	same, lines, also := bytes.Cut(other, []byte("\n\n"))
	if !ok || !also || !bytes.Equal(text, same) {
		return nil, fmt.Errorf("join signatures: %w", ErrCheckpoint)
	}
	out, n := bytes.Clone(signed), bytes.Count(has, []byte("\n"))
	for line := range bytes.Lines(lines) {
		if n < MaxSignatures && len(out)+len(line) <= MaxNote && !bytes.Contains(out, line) {
			out = append(out, line...)
			n++
		}
	}
	return out, nil
}

// Cosignatures returns which of the witnesses have cosigned the checkpoint note
// n, and when, in the order of their lines. n must come from [OpenCheckpoint],
// which was given the same witnesses. Whether a time is believable is for the
// caller to say.
func Cosignatures(n *note.Note, witnesses ...note.Verifier) []Cosignature {
	var out []Cosignature
	for _, s := range n.Sigs {
		for _, w := range witnesses {
			if w.Name() != s.Name || w.KeyHash() != s.Hash {
				continue
			}
			sig, err := base64.StdEncoding.DecodeString(s.Base64)
			if err != nil {
				continue
			}
			if at, ok := cosignedAt(sig); ok {
				out = append(out, Cosignature{Witness: s.Name, Time: at})
			}
			break
		}
	}
	return out
}

// CosignedAt returns the time that a line made by [Cosign] states. It verifies nothing.
func CosignedAt(line []byte) (time.Time, bool) {
	b64 := bytes.TrimSuffix(line[bytes.LastIndexByte(line, ' ')+1:], []byte("\n"))
	sig, err := base64.StdEncoding.DecodeString(string(b64))
	if err != nil {
		return time.Time{}, false
	}
	return cosignedAt(sig)
}

// cosignedAt reads the time out of the bytes of a signature line: 4 of key
// hash, 8 of POSIX seconds big-endian, 64 of Ed25519 or 2420 of ML-DSA-44. A log's
// own signature lacks the middle part, so the length tells them apart.
func cosignedAt(sig []byte) (time.Time, bool) {
	if n := len(sig) - 4 - 8; n != ed25519.SignatureSize && n != mldsaSignatureSize {
		return time.Time{}, false
	}
	sec := binary.BigEndian.Uint64(sig[4:])
	if sec > 1<<63-1 {
		return time.Time{}, false // c2sp.org/tlog-cosignature, "Format"
	}
	return time.Unix(int64(sec), 0).UTC(), true
}
