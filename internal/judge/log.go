package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Log is a log that deliveries stand in, and by whose signatures its
// checkpoints are believed: those of its council's log key and record key or, of
// a footprint, those of more than half of its members.
type Log struct {
	j         *Judge
	council   name.Council
	member    directory.Member // of a council's, as is what follows
	shared    bool             // a footprint's
	signer    note.Verifier
	records   []note.Verifier // in the order of member.RecordKeys
	witnesses []note.Verifier // of a footprint's
}

// A Head is a checkpoint whose signatures hold. Of a council's own log it says
// with which record keys the council signed it, and so whose word every entry below
// it is: see Vouches.
type Head struct {
	tlog.Checkpoint
	log  *Log
	note *note.Note // with the signatures that hold; nil of a footprint's
	kids []string
}

// Vouches decides whether the council's signature under the checkpoint is one for an
// entry at an index: a key that is revoked from an earlier index on says nothing of
// it. The rule is "" when it is. Of a footprint's log it always is, since nobody
// signs for its entries but those who brought them.
func (h *Head) Vouches(index uint64) (rule string) {
	if h.log.shared {
		return ""
	}
	for _, kid := range h.kids {
		if _, err := h.log.member.RecordKeyAt(kid, index); err == nil {
			return ""
		}
	}
	return RuleRevoked
}

// Log returns the log of a council or of a footprint, as the directory has it
// now. The error is of a directory that does not say by whom it is signed.
func (j *Judge) Log(c name.Council) (*Log, error) {
	m, ok := j.o.Directory.Member(c)
	if !ok {
		return nil, fmt.Errorf("%s is not in the directory", c)
	}
	l := &Log{j: j, council: c, member: m, shared: m.Role == directory.RoleFootprint}
	if !l.shared {
		for _, k := range m.RecordKeys {
			l.records = append(l.records, k.CheckpointVerifier(c))
		}
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

// Open reads a signed checkpoint of the log. The error wraps [ErrLied] for one that
// the log key or no record key has signed, and [ErrKeyMissing] when the directory has
// the record key of nobody: it may still come. Of a footprint it wraps [ErrWait],
// since its members may have changed and the directory not know it yet.
func (l *Log) Open(signed []byte) (*Head, error) {
	if l.Shared() {
		cp, _, err := tlog.VerifyMajority(signed, l.council.Origin(), l.witnesses...)
		if err != nil {
			return nil, fmt.Errorf("%w: its checkpoint is not cosigned by a majority of the members that the directory lists: %w", ErrWait, err)
		}
		return &Head{Checkpoint: cp, log: l}, nil
	}
	cp, n, err := tlog.OpenCheckpoint(signed, l.council.Origin(), append([]note.Verifier{l.signer}, l.records...)...)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w: %w", ErrLied, err)
	}
	h := &Head{Checkpoint: cp, log: l, note: n}
	for i, v := range l.records {
		if tlog.SignedBy(n, v) {
			h.kids = append(h.kids, l.member.RecordKeys[i].ID())
		}
	}
	if len(h.kids) == 0 {
		return nil, l.noRecordKey(signed, n)
	}
	return h, nil
}

// noRecordKey says why a checkpoint that none of the council's record keys has
// signed is not believed.
func (l *Log) noRecordKey(signed []byte, n *note.Note) error {
	of := keys.CheckpointKeyName(l.council)
	if !slices.ContainsFunc(n.UnverifiedSigs, func(s note.Signature) bool { return s.Name == of }) {
		return fmt.Errorf("checkpoint: %w: no record key has signed it", ErrLied)
	}
	for _, m := range l.j.o.Directory.Members() {
		for _, k := range m.RecordKeys {
			if _, err := note.Open(signed, note.VerifierList(k.CheckpointVerifier(l.council))); err == nil {
				return fmt.Errorf("checkpoint: %w: it is signed with a record key of %s", ErrLied, m.Council)
			}
		}
	}
	l.j.o.Ask()
	return fmt.Errorf("checkpoint: %w", ErrKeyMissing)
}

// A Told is a checkpoint as it was handed to us.
type Told struct {
	Checkpoint  []byte // signed
	Consistency []byte // hashes: that it extends the log's size From
	From        uint64
	By          name.Council // who handed it: the log's council or, of a footprint, one of its members
	MetWith     string       // what it came with, for people: "records under …"
	Cosign      bool         // it is to be cosigned if it is the newest: see [ledger.KnownLog.MayCosign]
}

// Extend reads a signed checkpoint as Open does and takes it into what is known of
// the log, see [ledger.Ledger.Meet]: the log is one history, whatever it is met
// through. A checkpoint that another stream has overtaken is believed, too.
//
// The error wraps [ledger.ErrQuarantined] when the log has told two histories, now
// or before, and [ErrWait] while it is not known; of a footprint it wraps [ErrLied]
// for a proof that fails, which is the fault of the member that answered.
func (l *Log) Extend(ctx context.Context, t Told) (*Head, error) {
	h, m, err := l.told(t)
	if err == nil {
		err = l.meet(ctx, m, t.By)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// extends is Extend for what came with a delivery. A checkpoint that by its own proof
// extends the one known is not taken in yet: it is returned, for [ledger.Ledger.Receive]
// to take in with the delivery, in one transaction. nil: it is taken in.
func (l *Log) extends(ctx context.Context, t Told) (*Head, *ledger.Met, error) {
	h, m, err := l.told(t)
	if err != nil {
		return nil, nil, err
	}
	if !l.Shared() && l.j.o.Ledger.Extends(m) {
		return h, &m, nil
	}
	if err := l.meet(ctx, m, t.By); err != nil {
		return nil, nil, err
	}
	return h, nil, nil
}

func (l *Log) told(t Told) (*Head, ledger.Met, error) {
	h, err := l.Open(t.Checkpoint)
	if err != nil {
		return nil, ledger.Met{}, err
	}
	proof, err := tlog.SplitHashes(t.Consistency)
	if err != nil {
		return nil, ledger.Met{}, fmt.Errorf("consistency proof: %w: %w", ErrLied, err)
	}
	return h, ledger.Met{
		Log: l.council, Checkpoint: h.Checkpoint, Note: h.clean(t.Checkpoint), MetWith: t.MetWith,
		ProofFrom: t.From, Proof: proof, Shared: l.Shared(), Cosign: t.Cosign,
	}, nil
}

func (l *Log) meet(ctx context.Context, m ledger.Met, by name.Council) error {
	var prove ledger.Prover
	if l.j.o.Prove != nil {
		prove = l.j.o.Prove(l.council, by)
	}
	err := l.j.o.Ledger.Meet(ctx, m, prove)
	switch {
	case errors.Is(err, ledger.ErrQuarantined):
		l.j.o.Stopped(l.council)
	case errors.Is(err, ledger.ErrUnproved):
		err = fmt.Errorf("%w: %w", ErrLied, err)
	case errors.Is(err, ledger.ErrUnplaced), errors.Is(err, ledger.ErrShorter):
		err = fmt.Errorf("%w: %w", ErrWait, err) // a member may be behind the others
	}
	return err
}

// clean returns the note that says the head, without signatures of keys unknown, which
// could be any number.
func (h *Head) clean(signed []byte) []byte {
	n := h.note
	if n == nil {
		var err error
		if n, err = note.Open(signed, note.VerifierList(h.log.witnesses...)); err != nil {
			return nil
		}
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

// A Leaf is an entry that is said to stand in a council's log: a token's place,
// [record.Token.Entry] and [record.Token.KeyID].
type Leaf struct {
	Index uint64
	Entry tlog.Hash
	Key   string
}

// Sealed decides about entries, in ascending order of their indexes, that are said
// to stand in a council's own log under a signed checkpoint, with a batch proof of
// all of them. Whoever holds them needs no signature of each: the council signed the
// checkpoint with the key that signs its records.
//
// With no error all of them stand there, and rules holds for each why it may not be
// believed all the same, "" for one that is proved. The error wraps [ErrLied] for
// what no honest council can have made and [ErrWait] for what may still become
// right; then nothing is known of any. What the checkpoint has to do with others of
// that log is not asked: see [Log.Extend].
func (j *Judge) Sealed(c name.Council, checkpoint []byte, leaves []Leaf, inclusion []byte) (h *Head, rules []string, err error) {
	l, err := j.Log(c)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrWait, err)
	}
	if l.Shared() {
		return nil, nil, fmt.Errorf("%w: %s has no log of its own", ErrLied, c)
	}
	if h, err = l.Open(checkpoint); err != nil {
		return nil, nil, err
	}
	entries, indexes := make([]tlog.Hash, len(leaves)), make([]uint64, len(leaves))
	for i, f := range leaves {
		entries[i], indexes[i] = f.Entry, f.Index
	}
	if err := Proved(h.Checkpoint, entries, indexes, inclusion); err != nil {
		return nil, nil, err
	}
	rules = make([]string, len(leaves))
	for i, f := range leaves {
		if rules[i] = h.Vouches(f.Index); rules[i] != "" {
			continue
		}
		if _, rules[i], err = j.Key(c, f.Key, f.Index); err != nil {
			return nil, nil, err
		}
	}
	return h, rules, nil
}
