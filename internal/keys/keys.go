// Package keys holds a council's keys: the ES256 key that signs its records,
// the Ed25519 keys of its log and of its witness, the Ed25519 key of its node,
// and the council secret from which record ids are made.
//
// # Files
//
// A [Ring] lives in one directory of mode 0700, in files of mode 0600:
//
//	record.pem   P-256 private key, PKCS #8 (RFC 5958); or, instead of it,
//	record.kms   one line, a sigstore KMS reference such as "name://key"
//	log.pem      Ed25519 private key, PKCS #8: signs checkpoints
//	witness.pem  Ed25519 private key, PKCS #8: cosigns the checkpoints of others
//	node.pem     Ed25519 private key, PKCS #8: the node's libp2p identity
//	secret.pem   the council secret, 32 bytes, PEM type "STILE SECRET"
//	digests      which keys these are, so that a damaged one is not used: see [Altered]
//
// While the record key is being replaced, record.next.pem holds the one that is to
// follow; and record-<kid>.pem is one that was used before, which is read only to sign
// a token that was logged under it: see [Ring.RecordKey]. See [Stage] and [Activate]. The log
// key is replaced in a like way: see [StageLog].
//
// With a passphrase the private keys are PEM of type "ENCRYPTED SIGSTORE
// PRIVATE KEY" as sigstore's cryptoutils writes them, so that cosign and this
// package read each other's, and the secret is "ENCRYPTED STILE SECRET" in the
// same envelope (scrypt and NaCl secretbox). Plain PKCS #8, SEC 1 ("EC PRIVATE
// KEY") and PKCS #8 with PBES2 ("ENCRYPTED PRIVATE KEY", what openssl writes)
// are read as well.
//
// The witness key is apart from the log key so that neither can be made to
// speak for the other, and so that a log can be re-keyed without losing the
// witness (c2sp.org/tlog-cosignature).
//
// A record key named by record.kms never enters the process: every signature
// is asked of the program sigstore-kms-name found on PATH, sigstore's plugin
// mechanism. No cloud provider's library is linked.
package keys

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/stile-exchange/stile/node/name"
)

// A Ring is every key of one council. All fields are set. The methods of a
// Ring and of its keys may be called concurrently.
type Ring struct {
	Record *RecordKey         // signs records and events
	Log    *LogKey            // signs and cosigns checkpoints
	Node   ed25519.PrivateKey // authenticates the node to other nodes
	Secret [32]byte           // makes record ids that tell nothing; never leaves the node

	local  bool                                 // the record key is in a file of its own
	former func(kid string) (*RecordKey, error) // opens a record key used before; nil for none
}

// ErrNoFormer says that a record key was used before and is not here any more.
var ErrNoFormer = errors.New("the record key that was in use then is not here any more")

// RecordKey returns the record key with the id kid: the one in use or, from its
// file, one that was used before. What was logged under a key can be given a
// signature by that key alone. The error wraps [ErrNoFormer] when there is none.
func (r *Ring) RecordKey(kid string) (*RecordKey, error) {
	if kid == r.Record.ID() {
		return r.Record, nil
	}
	if r.former == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoFormer, kid)
	}
	return r.former(kid)
}

// Generate makes a ring in memory, with keys that are gone when the process
// ends.
func Generate(c name.Council) (*Ring, error) {
	r := new(Ring)
	rec, err := newP256()
	if err != nil {
		return nil, fmt.Errorf("generate record key: %w", err)
	}
	if r.Record, err = newRecordKey(rec); err != nil {
		return nil, err
	}
	var seeds [3]ed25519.PrivateKey
	for i := range seeds {
		if _, seeds[i], err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, fmt.Errorf("generate Ed25519 key: %w", err)
		}
	}
	if r.Log, err = newLogKey(c, seeds[0], seeds[1]); err != nil {
		return nil, err
	}
	r.Node = seeds[2]
	if _, err = rand.Read(r.Secret[:]); err != nil {
		return nil, fmt.Errorf("generate council secret: %w", err)
	}
	return r, nil
}

// RecordID returns the opaque id of the council's record with the natural key
// key in a line of a standard: the first 16 bytes of HMAC-SHA256 (RFC 2104)
// under the council secret of the line, a zero byte and the key. The line is
// written publisher/name for major 1 and publisher/name@2 for any other.
//
// The same key always gives the same id, and without the secret the id says
// nothing about the key, however few keys there are to guess from. Two majors
// of one standard have ids of their own: a council may hold the same case in
// both, each as a record with versions of its own.
func (r *Ring) RecordID(l name.StandardLine, key string) name.Record {
	// A standard's name has no zero byte and no "@", so the parts cannot run
	// together.
	h := hmac.New(sha256.New, r.Secret[:])
	buf := make([]byte, 0, 256)
	buf = append(buf, l.Name...)
	if l.Major != 1 {
		buf = append(buf, '@')
		buf = strconv.AppendInt(buf, int64(l.Major), 10)
	}
	buf = append(buf, 0)
	buf = append(buf, key...)
	h.Write(buf)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return name.RecordFrom([16]byte(sum[:16]))
}

// BlindIndex returns the key under which a value is found again that is not to be
// kept in clear: the first 16 bytes of HMAC-SHA256 (RFC 2104) under the council
// secret of a byte 1, the length of scope as a byte, scope, field, a zero byte and
// value. scope says what the index is for, and has at most 255 bytes: the same
// value has unlike keys in two scopes.
//
// Who has the index and not the secret learns how many records share a value
// and no more, however few values there are to guess from.
func (r *Ring) BlindIndex(scope []byte, field name.Field, value string) [16]byte {
	// No line of a standard begins with a byte 1, so this is never what RecordID
	// hashes; and a field has no zero byte.
	h := hmac.New(sha256.New, r.Secret[:])
	buf := make([]byte, 0, 256)
	buf = append(buf, 1, byte(len(scope)))
	buf = append(buf, scope...)
	buf = append(buf, field...)
	buf = append(buf, 0)
	buf = append(buf, value...)
	h.Write(buf)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return [16]byte(sum[:16])
}

// QuestionSeed returns the seed of a key that is for one question: HMAC-SHA256 under
// the council secret of a byte 2 and scope, which names the question. The same
// question always has the same, and nobody else can make it.
func (r *Ring) QuestionSeed(scope []byte) (seed [32]byte) {
	h := hmac.New(sha256.New, r.Secret[:])
	h.Write([]byte{2})
	h.Write(scope)
	h.Sum(seed[:0])
	return seed
}

// CountNoise returns random-looking bytes of others: HMAC-SHA256 under the council
// secret of a byte 3 and b. The same bytes always have the same.
func (r *Ring) CountNoise(b []byte) (out [32]byte) {
	h := hmac.New(sha256.New, r.Secret[:])
	h.Write([]byte{3})
	h.Write(b)
	h.Sum(out[:0])
	return out
}

// ErrPassphrase says that a key is encrypted and that the passphrase given is
// missing or wrong.
var ErrPassphrase = errors.New("wrong or missing passphrase")
