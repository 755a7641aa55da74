package tlog

import (
	"errors"
	"fmt"

	fproof "github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
)

// Limits on a proof file.
const (
	MaxExtra  = 48_000 // bytes of extra data, so that its line stays below 64 KiB
	maxProof  = MaxNote + 4*MaxExtra/3 + 4<<10
	maxHashes = 63 // levels of a tree of MaxSize
)

// A Proof is a c2sp.org/tlog-proof file, a receipt to keep: that an entry is in
// a log, with the log's checkpoint and whoever witnessed it. It is verified
// offline, from the entry and the keys alone.
type Proof struct {
	Index      uint64 // of the entry in the log
	Path       []Hash // RFC 6962 section 2.1.1, leaf to root
	Checkpoint []byte // the signed note, with all its cosignatures
	// Extra is for the application and vouched for by nobody. nil is no extra
	// line; empty is an empty one. At most MaxExtra bytes.
	Extra []byte
}

// ErrFormat is wrapped when bytes are not a proof file.
var ErrFormat = errors.New("not a c2sp.org/tlog-proof@v1 file")

// NewProof returns the proof that the log stood at signed, its checkpoint note,
// with the entry at index. It reads the tiles but verifies no signature. Errors
// are those of [Inclusion], or wrap [ErrCheckpoint].
func NewProof(r TileReader, index uint64, signed []byte) (Proof, error) {
	var unverified *note.UnverifiedNoteError
	_, err := note.Open(signed, note.VerifierList())
	if !errors.As(err, &unverified) {
		return Proof{}, fmt.Errorf("new proof: %w: %w", ErrCheckpoint, err)
	}
	c, err := parseBody(unverified.Note.Text)
	if err != nil {
		return Proof{}, fmt.Errorf("new proof: %w", err)
	}
	path, err := Inclusion(r, index, c.Size)
	if err != nil {
		return Proof{}, fmt.Errorf("new proof: %w", err)
	}
	return Proof{Index: index, Path: path, Checkpoint: signed}, nil
}

// Marshal returns the file, what [ParseProof] reads.
func (p Proof) Marshal() []byte {
	hs := make([][HashSize]byte, len(p.Path))
	for i, h := range p.Path {
		hs[i] = h
	}
	return fproof.TLogProof{Index: p.Index, Hashes: hs, Checkpoint: p.Checkpoint, ExtraData: p.Extra}.Marshal()
}

// ParseProof reads a proof file. It accepts only what Marshal prints: the same
// bytes and no other spelling of them. It verifies nothing, and does not look
// into the checkpoint. The error wraps [ErrFormat].
func ParseProof(b []byte) (Proof, error) {
	if len(b) > maxProof {
		return Proof{}, fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(b), maxProof)
	}
	var lp fproof.TLogProof
	if err := lp.Unmarshal(b); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(lp.Hashes) > maxHashes {
		return Proof{}, fmt.Errorf("%w: %d hashes, at most %d", ErrFormat, len(lp.Hashes), maxHashes)
	}
	p := Proof{Index: lp.Index, Path: make([]Hash, len(lp.Hashes)), Checkpoint: lp.Checkpoint, Extra: lp.ExtraData}
	for i, h := range lp.Hashes {
		p.Path[i] = h
	}
	// The library passes over carriage returns, missing last lines, leading
	// zeros and more; what it has lost does not print back.
	if string(p.Marshal()) != string(b) {
		return Proof{}, fmt.Errorf("%w: not in the one spelling", ErrFormat)
	}
	return p, nil
}

// Verify checks that entry is in the log named origin, by the proof's
// checkpoint. origin, v and what is returned are as in [OpenCheckpoint]; how
// many witnesses are enough is for the caller to say. The error wraps
// [ErrSignature], [ErrCheckpoint], [ErrIndex] or [ErrProof].
func (p Proof) Verify(entry Hash, origin string, v ...note.Verifier) (Checkpoint, *note.Note, error) {
	return p.verifyLeaf(Leaf(entry), origin, v...)
}

func (p Proof) verifyLeaf(leaf Hash, origin string, v ...note.Verifier) (Checkpoint, *note.Note, error) {
	c, n, err := OpenCheckpoint(p.Checkpoint, origin, v...)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if err := verifyLeaf(leaf, p.Index, c.Size, c.Root, p.Path); err != nil {
		return Checkpoint{}, nil, err
	}
	return c, n, nil
}
