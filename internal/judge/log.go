package judge

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Log is a log that deliveries stand in, and by whose signatures its
// checkpoints are believed: its council's own or, of a footprint, those of more
// than half of its members.
type Log struct {
	council   name.Council
	shared    bool            // a footprint's
	signer    note.Verifier   // of a council's
	witnesses []note.Verifier // of a footprint's
}

// Log returns the log of a council or of a footprint, as the directory has it
// now. The error is of a directory that does not say by whom it is signed.
func (j *Judge) Log(c name.Council) (*Log, error) {
	m, ok := j.o.Directory.Member(c)
	if !ok {
		return nil, fmt.Errorf("%s is not in the directory", c)
	}
	l := &Log{council: c, shared: m.Role == directory.RoleFootprint}
	if !l.shared {
		var err error
		l.signer, err = m.LogVerifier()
		return l, err
	}
	var err error
	if l.witnesses, err = j.o.Directory.Witnesses(j.o.Members(c)); err != nil {
		return nil, fmt.Errorf("the members of %s: %w", c, err)
	}
	return l, nil
}

// Shared reports whether several councils keep the log: a footprint's.
func (l *Log) Shared() bool { return l.shared }

// Open reads a signed checkpoint of the log. The error wraps [ErrLied]; of a
// footprint it wraps [ErrWait] instead, since its members may have changed and
// the directory not know it yet.
func (l *Log) Open(signed []byte) (tlog.Checkpoint, error) {
	if l.Shared() {
		cp, _, err := tlog.VerifyMajority(signed, l.council.Origin(), l.witnesses...)
		if err != nil {
			return cp, fmt.Errorf("%w: its checkpoint is not cosigned by a majority of the members that the directory lists: %w", ErrWait, err)
		}
		return cp, nil
	}
	cp, _, err := tlog.OpenCheckpoint(signed, l.council.Origin(), l.signer)
	if err != nil {
		return cp, fmt.Errorf("checkpoint: %w: %w", ErrLied, err)
	}
	return cp, nil
}

// A Head is the newest checkpoint of a log that is known; the zero Head is of
// one of which nothing is.
type Head struct {
	Size uint64
	Root []byte
	Note []byte
}

// Extend reads a signed checkpoint as Open does and decides whether it is of one
// history with the head that is known. If not the error is a [*Fork].
func (l *Log) Extend(known Head, signed, consistency []byte) (tlog.Checkpoint, error) {
	cp, err := l.Open(signed)
	if err != nil {
		return cp, err
	}
	forked := func(what string) error { return &Fork{what, [][]byte{known.Note, l.clean(signed)}} }
	switch {
	case known.Size == 0:
		return cp, nil
	case len(known.Root) != tlog.HashSize:
		return cp, fmt.Errorf("internal error: stored root of %s has %d bytes", l.council, len(known.Root))
	case cp.Size < known.Size && l.Shared():
		// Its members answer for it one at a time, and one may be behind.
		return cp, fmt.Errorf("%w: it is behind what others have shown us", ErrWait)
	case cp.Size < known.Size:
		return cp, forked(fmt.Sprintf("its log shrank from %d to %d entries", known.Size, cp.Size))
	case cp.Size == known.Size:
		if !bytes.Equal(cp.Root[:], known.Root) {
			return cp, forked(fmt.Sprintf("it told us of another history before at size %d", cp.Size))
		}
		return cp, nil
	}
	proof, err := tlog.SplitHashes(consistency)
	if err != nil {
		return cp, fmt.Errorf("consistency proof: %w: %w", ErrLied, err)
	}
	if err := tlog.VerifyConsistency(known.Size, tlog.Hash(known.Root), cp.Size, cp.Root, proof); err != nil {
		if l.Shared() {
			// The fault of the member that answered, and not of the majority.
			return cp, fmt.Errorf("%w: no proof that sizes %d and %d are of one history", ErrLied, known.Size, cp.Size)
		}
		return cp, forked(fmt.Sprintf("it told us of another history before, or has no proof that sizes %d and %d are of one", known.Size, cp.Size))
	}
	return cp, nil
}

// clean returns a note without signatures of keys unknown, which could be any
// number.
func (l *Log) clean(signed []byte) []byte {
	verifiers := l.witnesses
	if !l.Shared() {
		verifiers = []note.Verifier{l.signer}
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return nil
	}
	told, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
	if err != nil {
		return nil
	}
	return told
}

// A Fork is two checkpoints of one log, both signed, that it has not shown to be
// of one history. It wraps [ErrLied].
type Fork struct {
	What  string
	Notes [][]byte // the one we hold, the one we were sent
}

func (f *Fork) Error() string { return "checkpoint: " + ErrLied.Error() + ": " + f.What }

// Unwrap returns [ErrLied].
func (f *Fork) Unwrap() error { return ErrLied }

// Proved checks that entries stand at ascending indexes of the log that a
// checkpoint is of. The error wraps [ErrLied].
func Proved(cp tlog.Checkpoint, entries []tlog.Hash, indexes []uint64, inclusion []byte) error {
	proof, err := tlog.SplitHashes(inclusion)
	if err == nil {
		err = tlog.VerifyBatch(entries, indexes, cp.Size, cp.Root, proof)
	}
	if err != nil {
		return fmt.Errorf("batch proof: %w: %w", ErrLied, err)
	}
	return nil
}
