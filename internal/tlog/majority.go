package tlog

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// ErrMajority is wrapped when fewer witnesses have cosigned a checkpoint than
// must.
var ErrMajority = errors.New("too few have cosigned the checkpoint")

// Assemble returns the note of a checkpoint with the given signature lines, each
// made by [Cosign], newline included. Without lines it is no note that verifies,
// but says what would be signed. It verifies nothing.
func Assemble(c Checkpoint, lines ...[]byte) ([]byte, error) {
	if _, err := parseBody(string(c.Body())); err != nil {
		return nil, fmt.Errorf("assemble checkpoint: %w", err)
	}
	signed := append(c.Body(), '\n')
	for _, l := range lines {
		signed = append(signed, l...)
	}
	if len(signed) > MaxNote {
		return nil, fmt.Errorf("assemble checkpoint: %w: %d bytes, at most %d", ErrCheckpoint, len(signed), MaxNote)
	}
	return signed, nil
}

// ParseUnsigned reads the checkpoint in a note of the log named origin, whoever
// signed it or not. The error wraps [ErrCheckpoint]. It is for reading back what was
// verified before.
func ParseUnsigned(signed []byte, origin string) (Checkpoint, error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok || len(signed) > MaxNote {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", ErrCheckpoint)
	}
	c, err := parseBody(string(text) + "\n")
	if err != nil || c.Origin != origin {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", ErrCheckpoint)
	}
	return c, nil
}

// OpenCosigned reads a checkpoint of a log that has no key of its own: the
// shared log of several councils, a footprint, whose checkpoint counts when
// enough of them have cosigned it (c2sp.org/tlog-cosignature). It returns the
// checkpoint and who cosigned it.
//
// At least need of the witnesses must have cosigned, each counted once; for a
// footprint that is a majority of its members, see [VerifyMajority]. Signatures by
// others are ignored; one by a known key that does not verify fails the whole
// note. The error wraps [ErrSignature], [ErrCheckpoint] or [ErrMajority], and the
// Checkpoint is then zero.
func OpenCosigned(signed []byte, origin string, need int, witnesses ...note.Verifier) (Checkpoint, []Cosignature, error) {
	if len(signed) > MaxNote {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: %d bytes, at most %d", ErrCheckpoint, len(signed), MaxNote)
	}
	if need < 1 {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: asked for %d", ErrMajority, need)
	}
	n, err := note.Open(signed, note.VerifierList(witnesses...))
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: %w", ErrSignature, err)
	}
	if !spelledOnce(n) {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: a signature is not in the one spelling of base64", ErrSignature)
	}
	c, err := parseBody(n.Text)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	if c.Origin != origin {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: origin is %q, want %q", ErrCheckpoint, c.Origin, origin)
	}
	by := Cosignatures(n, witnesses...)
	seen := map[string]bool{}
	for _, w := range by {
		seen[w.Witness] = true
	}
	if len(seen) < need {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: %d of %d", ErrMajority, len(seen), need)
	}
	return c, by, nil
}

// VerifyMajority is [OpenCosigned] for a footprint whose members are exactly the
// given: more than half of them must have cosigned. Each member has one verifier.
func VerifyMajority(signed []byte, origin string, members ...note.Verifier) (Checkpoint, []Cosignature, error) {
	names := map[string]bool{}
	for _, m := range members {
		if names[m.Name()] {
			return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w: member %q is given twice", ErrMajority, m.Name())
		}
		names[m.Name()] = true
	}
	return OpenCosigned(signed, origin, len(members)/2+1, members...)
}
