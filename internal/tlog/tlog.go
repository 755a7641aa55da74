// Package tlog is a council's transparency log: its tiles, checkpoints,
// cosignatures and proofs.
//
// A log is a list of entries that only grows. An entry is 32 bytes, the SHA-256
// of what a council signed, so that tiles tell counts and times and nothing
// else. Over the entries stands the Merkle tree of RFC 6962 section 2.1:
//
//	leaf  = SHA-256(0x00 ‖ entry)
//	node  = SHA-256(0x01 ‖ left ‖ right)
//	empty = SHA-256()
//
// where the left child of a subtree over n > 1 leaves covers the largest power
// of two below n. The tree is stored as c2sp.org/tlog-tiles hash tiles of
// height 8, its head is signed as a c2sp.org/tlog-checkpoint note, witnesses
// add c2sp.org/tlog-cosignature lines (cosignature/v1), and one entry's
// inclusion travels as a c2sp.org/tlog-proof file. Those formats are the
// public ones, unchanged. One more is ours, the batch proof.
//
// # A council's checkpoint
//
// A council signs each of its checkpoints twice: its log key says that this is the
// one history of its log, and the key that signs its records says that all that
// stands in it is said by the council. With a batch proof, the second signature is
// that of every record below it. The note, of c2sp.org/signed-note, is
//
//	<origin>                            northmoor.gov.uk/stile
//	<size>                              decimal
//	<root>                              base64, 44 characters
//	                                    an empty line
//	— <origin> <base64>                 Ed25519, type 1
//	— <origin>/record <base64>          ECDSA, type 2
//
// and the lines of witnesses may follow. Each base64 is four bytes of key hash and
// then the signature of the first three lines, their newlines included. For type 1
// the key hash is of name, newline, the byte 1 and the key; for type 2 it is the
// first four bytes of the SHA-256 of the key's SubjectPublicKeyInfo (RFC 5280
// section 4.1) in DER, without the name. Of type 2 the key is on P-256, the digest
// is SHA-256, and the signature is the DER of SEQUENCE { INTEGER r, INTEGER s }
// with s at most half of the order of the curve, no byte longer than it must be;
// another form of it does not verify. Package keys makes and verifies that line.
//
// Example, which other programs made (testdata/README.md): an Ed25519 key with the
// seed 9d61b19d…7f60 of RFC 8032 section 7.1 test 1, the P-256 key of RFC 6979
// appendix A.2.5, and one entry, the SHA-256 of "abc":
//
//	northmoor.gov.uk/stile
//	1
//	in3qssxe4AO2OUM3U4pSsxmPGm3esQx9r2L+HJg0tDs=
//
//	— northmoor.gov.uk/stile lyvIOwG+foa7Wnd3sipdhBLT6GyhJcnAu09Fxnn56JFQxW+kyCTDQE8Cl2qD191cJrgpojIyHW3RgY2smgOknSMlmQY=
//	— northmoor.gov.uk/stile/record Wnp4zDBFAiEAiaY40dLRicmyr+crdWTvyrC/fdfhVwhHWpiVLvkOHCwCIFjPWuXdf6sufZvDyWuYbMSY/u7kpKQIkf4qmSf6FQj5
//
// A footprint's log has no key of its own: see [VerifyMajority].
//
// # Batch proofs
//
// A batch proof shows that k entries stand at k given indices of a tree of a
// given size with a given root, for less than k inclusion proofs would take.
// It is a sequence of 32-byte hashes, nothing before, between or after them;
// the indices, size, root and entries are the verifier's own or travel beside
// it. It is defined by recursion over ranges of leaves, from [0, size):
//
//	PROOF(lo, hi):
//	  no asked index in [lo, hi):  the Merkle tree hash of leaves [lo, hi), 32 bytes
//	  hi - lo = 1:                 nothing; the verifier hashes the entry itself
//	  otherwise:                   PROOF(lo, mid) then PROOF(mid, hi)
//
// with mid = lo + the largest power of two below hi - lo. Indices are strictly
// increasing and there is at least one, at most [MaxBatch]. Nothing in it is
// optional, so a set of indices and a size have exactly one length of proof and
// a tree has exactly one proof of that length: hashes left over or missing are
// an error. For k = 1 it holds the hashes of the RFC 6962 audit path, but in
// the order of the leaves they cover, not from leaf to root.
//
// Example: indices 1, 4, 5 of a tree of size 7. Writing [a,b) for the hash of
// those leaves, the whole tree is
//
//	           [0,7)
//	      ┌──────┴──────┐
//	    [0,4)         [4,7)
//	  ┌───┴───┐      ┌──┴──┐
//	[0,2)   [2,4)  [4,6)  [6,7)
//	┌─┴─┐           ┌┴┐
//	0   1*         4* 5*
//
// and the proof is the 96 bytes [0,1) ‖ [2,4) ‖ [6,7). The asked leaves, marked
// *, and all that is drawn above them are computed by the verifier.
//
// All functions may be called concurrently; a [Tree] may not.
package tlog

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/rfc6962"
)

// HashSize is the length of a Hash in bytes.
const HashSize = sha256.Size

// MaxSize is the largest size of a log, 2^63-1 entries: what a signed 64-bit
// number holds, so that every other implementation can count it too.
const MaxSize = 1<<63 - 1

// A Hash is a SHA-256 digest: an entry, a leaf, a node or a root.
type Hash [HashSize]byte

// ErrHash is wrapped when text or bytes are not a hash.
var ErrHash = errors.New("not a hash")

// ParseHash reads the 44 characters that String prints. It accepts no other
// spelling of the same bytes. The error wraps [ErrHash].
func ParseHash(s string) (Hash, error) {
	var h Hash
	// Strict makes the decoder refuse set bits past the last byte, but line
	// ends are still skipped; the length and the print-back catch those.
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != HashSize || len(s) != base64.StdEncoding.EncodedLen(HashSize) {
		return Hash{}, fmt.Errorf("%w: want %d bytes in base64", ErrHash, HashSize)
	}
	copy(h[:], b)
	if h.String() != s {
		return Hash{}, fmt.Errorf("%w: want %d bytes in base64", ErrHash, HashSize)
	}
	return h, nil
}

// String prints h in standard base64 (RFC 4648 section 4), as checkpoints do.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// MarshalText prints h as String does; it never fails.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads h as ParseHash does.
func (h *Hash) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHash(string(b))
	return err
}

// JoinHashes returns the hashes end to end, 32 bytes each: how a batch proof,
// and the data of a tile, are spelled.
func JoinHashes(hs []Hash) []byte {
	b := make([]byte, 0, len(hs)*HashSize)
	for i := range hs {
		b = append(b, hs[i][:]...)
	}
	return b
}

// SplitHashes reads what JoinHashes wrote. The result does not share memory
// with b. The error wraps [ErrHash].
func SplitHashes(b []byte) ([]Hash, error) {
	if len(b)%HashSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes do not divide into hashes of %d", ErrHash, len(b), HashSize)
	}
	hs := make([]Hash, len(b)/HashSize)
	for i := range hs {
		copy(hs[i][:], b[i*HashSize:])
	}
	return hs, nil
}

// Leaf returns the leaf hash of an entry (RFC 6962 section 2.1).
func Leaf(entry Hash) Hash {
	var b [1 + HashSize]byte
	b[0] = rfc6962.RFC6962LeafHashPrefix
	copy(b[1:], entry[:])
	return sha256.Sum256(b[:])
}

// EmptyRoot returns the root of a log without entries, the SHA-256 of nothing.
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// node returns the hash of the node above l and r, both 32 bytes.
//
// This and Leaf do what rfc6962.DefaultHasher does, and a test holds them to
// it; that one takes four allocations a node, and a batch proof over a large
// log hashes some 200,000 of them.
func node(l, r []byte) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], l)
	copy(b[1+HashSize:], r)
	return sha256.Sum256(b[:])
}

// nodeSlice is node in the shape that the merkle packages call.
func nodeSlice(l, r []byte) []byte {
	h := node(l, r)
	return h[:]
}

// TileRoot returns what stands for a full tile in the tile above it: the root over its hashes,
// [TileBytes] bytes.
func TileRoot(tile []byte) Hash { return perfect(tile) }

// perfect returns the root over the hashes in b, whose number is a power of two.
func perfect(b []byte) Hash {
	if len(b) == HashSize {
		return Hash(b)
	}
	half := len(b) / 2
	l, r := perfect(b[:half]), perfect(b[half:])
	return node(l[:], r[:])
}

// byteSlices returns hs as the merkle packages take hashes. It shares memory.
func byteSlices(hs []Hash) [][]byte {
	out := make([][]byte, len(hs))
	for i := range hs {
		out[i] = hs[i][:]
	}
	return out
}
