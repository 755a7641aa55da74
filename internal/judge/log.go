package judge

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Log is a log that deliveries stand in, and by whose signatures its
// checkpoints are believed: its council's own or, of a footprint, those of more
// than half of its members.
type Log struct {
	j         *Judge
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
	l := &Log{j: j, council: c, shared: m.Role == directory.RoleFootprint}
	if !l.shared {
		var err error
		l.signer, err = m.LogVerifier()
		return l, err
	}
	for _, k := range j.o.Members(c) {
		m, ok := j.o.Directory.Member(k)
		if !ok {
			return nil, fmt.Errorf("%s keeps %s and is not in the directory", k, c)
		}
		w, err := m.WitnessVerifier()
		if err != nil {
			return nil, fmt.Errorf("%s keeps %s and has no key to cosign with", k, c)
		}
		l.witnesses = append(l.witnesses, w)
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

// A Told is a checkpoint as it was handed to us.
type Told struct {
	Checkpoint  []byte // signed
	Consistency []byte // hashes: that it extends the log's size From
	From        uint64
	By          name.Council // who handed it: the log's council or, of a footprint, one of its members
	Through     string       // what it came with, for people: "records under …"
	Cosign      bool         // it is to be cosigned if it is the newest: see [ledger.KnownLog.MayCosign]
}

// Extend reads a signed checkpoint as Open does and takes it into what is known of
// the log, see [ledger.Ledger.Meet]: the log is one history, whatever it is met
// through. A checkpoint that another stream has overtaken is believed, too.
//
// The error wraps [ledger.ErrQuarantined] when the log has told two histories, now
// or before, and [ErrWait] while it is not known; of a footprint it wraps [ErrLied]
// for a proof that fails, which is the fault of the member that answered.
func (l *Log) Extend(ctx context.Context, t Told) (cp tlog.Checkpoint, err error) {
	if cp, err = l.Open(t.Checkpoint); err != nil {
		return cp, err
	}
	proof, err := tlog.SplitHashes(t.Consistency)
	if err != nil {
		return cp, fmt.Errorf("consistency proof: %w: %w", ErrLied, err)
	}
	m := ledger.Met{
		Log: l.council, Checkpoint: cp, Note: l.clean(t.Checkpoint), Through: t.Through,
		ProofFrom: t.From, Proof: proof, Shared: l.Shared(), Cosign: t.Cosign,
	}
	var prove ledger.Prover
	if l.j.o.Prove != nil {
		prove = l.j.o.Prove(l.council, t.By)
	}
	switch err = l.j.o.Ledger.Meet(ctx, m, prove); {
	case err == nil:
	case errors.Is(err, ledger.ErrQuarantined):
		l.j.o.Stopped(l.council)
	case errors.Is(err, ledger.ErrUnproved):
		err = fmt.Errorf("%w: %w", ErrLied, err)
	case errors.Is(err, ledger.ErrUnplaced), errors.Is(err, ledger.ErrShorter):
		err = fmt.Errorf("%w: %w", ErrWait, err) // a member may be behind the others
	}
	return cp, err
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
