package tlog

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// MaxNote is the longest checkpoint note read, in bytes: three lines and some
// hundred signatures.
const MaxNote = 64 << 10

// A Checkpoint names the head of a log: all its entries in one hash
// (c2sp.org/tlog-checkpoint). Checkpoints may be compared with ==.
type Checkpoint struct {
	Origin string // name of the log, such as "northmoor.gov.uk/stile"
	Size   uint64 // number of entries, at most MaxSize
	Root   Hash   // Merkle tree hash of all of them
}

// Body returns the text that is signed: three lines, origin, size and root,
// each ended by a newline.
func (c Checkpoint) Body() []byte {
	return log.Checkpoint{Origin: c.Origin, Size: c.Size, Hash: c.Root[:]}.Marshal()
}

// ErrCheckpoint is wrapped when a note is not a checkpoint of the log asked
// for, whoever signed it.
var ErrCheckpoint = errors.New("not a checkpoint of this log")

// ErrSignature is wrapped when a note is not signed by the keys it should be.
var ErrSignature = errors.New("signature does not verify")

// parseBody reads the text of a checkpoint. Extension lines are refused: the
// logs we read have none, and what no monitor checks should not be signed.
func parseBody(body string) (Checkpoint, error) {
	var lc log.Checkpoint
	rest, err := lc.Unmarshal([]byte(body))
	if err != nil || len(lc.Hash) != HashSize || lc.Size > MaxSize {
		return Checkpoint{}, fmt.Errorf("%w: want three lines, origin, size and root", ErrCheckpoint)
	}
	if len(rest) > 0 {
		return Checkpoint{}, fmt.Errorf("%w: extension lines are not used", ErrCheckpoint)
	}
	c := Checkpoint{Origin: lc.Origin, Size: lc.Size, Root: Hash(lc.Hash)}
	// The library reads sizes with leading zeros and signs, and several
	// spellings of base64. One meaning must have one spelling, or two notes
	// that differ would pass for two statements.
	if string(c.Body()) != body {
		return Checkpoint{}, fmt.Errorf("%w: not in the one spelling", ErrCheckpoint)
	}
	if c.Size == 0 && c.Root != EmptyRoot() {
		return Checkpoint{}, fmt.Errorf("%w: size 0 with a root of something", ErrCheckpoint)
	}
	return c, nil
}

// SignCheckpoint returns c as a note signed by s and then by others of the same
// council, in their order. The name of s must be the origin, as
// c2sp.org/tlog-checkpoint advises, since that is how [OpenCheckpoint] knows the
// log's own signature; of the others only other keys of the log have that name, so that
// who knows one of them alone believes the checkpoint, too.
func SignCheckpoint(c Checkpoint, s note.Signer, others ...note.Signer) ([]byte, error) {
	if s.Name() != c.Origin {
		return nil, fmt.Errorf("sign checkpoint: %w: key of %q, origin %q", ErrSignature, s.Name(), c.Origin)
	}
	if _, err := parseBody(string(c.Body())); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	for _, o := range others {
		if o.Name() == c.Origin && o.KeyHash() == s.KeyHash() {
			return nil, fmt.Errorf("sign checkpoint: %w: two keys of the name %q and one hash", ErrSignature, c.Origin)
		}
	}
	b, err := note.Sign(&note.Note{Text: string(c.Body())}, append([]note.Signer{s}, others...)...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return b, nil
}

// OpenCheckpoint reads a checkpoint of the log named origin and verifies its
// signatures.
//
// Among v must be a verifier with the name origin, the log's own key, and it
// must have signed; of the several keys of [ParseLogKeys] one must have that may sign for a
// log of this size. Others are record keys, see [SignedBy], and witnesses, see
// [Cosignatures]; what they signed is in the note's Sigs, and none has to have. Signatures by unknown
// keys are ignored and are in UnverifiedSigs. A signature by a known key that
// does not verify fails the whole note (c2sp.org/signed-note), as does any that
// is not spelt as an encoder of base64 spells it.
//
// The error wraps [ErrSignature] or [ErrCheckpoint]; the Checkpoint is then zero and
// the note nil. The checkpoint is not compared with any other: the caller asks
// for a consistency proof from the last one it saw.
func OpenCheckpoint(signed []byte, origin string, v ...note.Verifier) (Checkpoint, *note.Note, error) {
	if len(signed) > MaxNote {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: %d bytes, at most %d", ErrCheckpoint, len(signed), MaxNote)
	}
	v = eachKey(v)
	n, err := note.Open(signed, note.VerifierList(v...))
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: %w", ErrSignature, err)
	}
	if !spelledOnce(n) {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: a signature is not in the one spelling of base64", ErrSignature)
	}
	if !signedBy(n, origin) {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: none by %q", ErrSignature, origin)
	}
	c, err := parseBody(n.Text)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	if c.Origin != origin {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: origin is %q, want %q", ErrCheckpoint, c.Origin, origin)
	}
	if !counts(n, c, v) {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: the key that signed it counts for smaller logs alone", ErrSignature)
	}
	return c, n, nil
}

// spelledOnce reports whether every signature of n is base64 as an encoder
// writes it. The library takes bits in the last letter that stand for nothing,
// so that one signature would have many spellings, and one note many digests.
func spelledOnce(n *note.Note) bool {
	for _, sigs := range [][]note.Signature{n.Sigs, n.UnverifiedSigs} {
		for _, s := range sigs {
			b, err := base64.StdEncoding.DecodeString(s.Base64)
			if err != nil || base64.StdEncoding.EncodeToString(b) != s.Base64 {
				return false
			}
		}
	}
	return true
}

// SignedBy reports whether the note n, from [OpenCheckpoint], which was given v, is
// signed by it.
func SignedBy(n *note.Note, v note.Verifier) bool {
	for _, s := range n.Sigs {
		if s.Name == v.Name() && s.Hash == v.KeyHash() {
			return true
		}
	}
	return false
}

func signedBy(n *note.Note, name string) bool {
	for _, s := range n.Sigs {
		if s.Name == name {
			return true
		}
	}
	return false
}

// Fork reports whether a and b cannot both be true: the same log at the same
// size with different roots. Two signed checkpoints that fork are evidence
// against the log's key and need no further proof. For different sizes only a
// consistency proof can tell.
func Fork(a, b Checkpoint) bool {
	return a.Origin == b.Origin && a.Size == b.Size && a.Root != b.Root
}
