package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A KnownLog is what this node knows of the log of another council, or of a
// footprint. There is one for each log, whatever it was met through: records,
// notices, answers, a footprint's pages. It is immutable; the ledger replaces it.
type KnownLog struct {
	Council name.Council `json:"council"`
	Size    uint64       `json:"size"` // of the newest checkpoint met; 0 for none
	Root    tlog.Hash    `json:"root"`
	Note    []byte       `json:"note,omitempty"` // that checkpoint, signed
	At      time.Time    `json:"at,omitzero"`    // when it was met first

	// Cosigned is the newest checkpoint that we cosigned, or were about to: it is
	// on disk before the cosignature is made (c2sp.org/tlog-witness). CosignedSize
	// is 0 for none.
	CosignedSize uint64    `json:"cosigned_size,omitempty"`
	CosignedRoot tlog.Hash `json:"cosigned_root,omitzero"`
	// Forsworn: a person let us follow a history that contradicts what we
	// cosigned. We cosign this log no more.
	Forsworn bool `json:"forsworn,omitempty"`

	Quarantine *Quarantine  `json:"quarantine,omitempty"` // nil while exchange is allowed
	Ended      []Quarantine `json:"ended,omitempty"`      // earlier ones, oldest first
	// Accusation is what the council says against our own log; nil for nothing.
	Accusation *Accusation `json:"accusation,omitempty"`
}

// Checkpoint returns the newest checkpoint that was met, of size 0 when none was.
func (k *KnownLog) Checkpoint() tlog.Checkpoint {
	c := tlog.Checkpoint{Origin: k.Council.Origin(), Size: k.Size, Root: k.Root}
	if k.Size == 0 {
		c.Root = tlog.EmptyRoot()
	}
	return c
}

// MayCosign reports whether a checkpoint may be cosigned: it is the newest that was
// met in order to cosign it, so that no two of one size are, nor one that is smaller
// than another (c2sp.org/tlog-witness).
func (k *KnownLog) MayCosign(cp tlog.Checkpoint) bool {
	return !k.Forsworn && k.Quarantine == nil && cp.Size > 0 && cp.Size == k.CosignedSize && cp.Root == k.CosignedRoot
}

// ErrUnplaced: nothing shows yet how a checkpoint stands to the newest one that
// is known. Nothing of what came with it may be believed; ask again, naming the
// size that is known now.
var ErrUnplaced = errors.New("the checkpoint is not proved to be of the history known here")

// ErrUnproved is what a [Prover] returns when the log answered and gave no proof
// that holds. From Met.Log itself it counts as a fork; from one of a footprint's
// members it is that member's failure alone.
var ErrUnproved = errors.New("no proof that two checkpoints are of one history")

// ErrShorter is what a [Prover] returns when the council itself says, in answer,
// that its log is shorter than what it signed: it was rolled back.
var ErrShorter = errors.New("its log is shorter than what it has signed")

// A Prover asks a log for the consistency proof (RFC 6962 section 2.1.2) between
// two of its sizes, 0 < first < second. It returns an error wrapping ErrShorter
// or ErrUnproved when the log answered so; any other error means that it could
// not be asked now.
type Prover func(ctx context.Context, first, second uint64) ([]tlog.Hash, error)

// A Met is a checkpoint of another log as it was met. Whoever met it has verified
// its signatures: those of the log's key or, for a footprint, of a majority of
// its members.
type Met struct {
	Log        name.Council
	Checkpoint tlog.Checkpoint
	Note       []byte // signed
	// MetWith says in a few words what it came with, "records under …": for people.
	MetWith string
	// Proof leads from the size ProofFrom, as the sender says, to Checkpoint. It
	// is used if that is the size known here, and else not looked at.
	ProofFrom uint64
	Proof     []tlog.Hash
	// Shared: any of several members told it, so that a proof which fails says
	// nothing of the log. Two checkpoints of one size still do.
	Shared bool
	// Cosign: the caller means to cosign it if it is the newest.
	Cosign bool // see [KnownLog.MayCosign]
}

// Meet takes a checkpoint of another council's log into the one state that is
// kept of that log. Everything that came with the checkpoint may be believed, and
// kept, only after Meet returned no error; what Meet learned is durable by then.
//
// A checkpoint of the size known must have the root known; a larger one must
// extend it, and becomes the one known; a smaller one must be a part of its
// history, as happens when two streams of one council overtake each other, and
// changes nothing. Where Met's own proof does not show it the log is asked by
// prove, which may be nil.
//
// On two histories, or when the log itself cannot prove that there is one, Meet
// keeps both heads as evidence, puts the council in quarantine and returns an
// error wrapping ErrQuarantined. It returns ErrUnplaced when it is not known yet,
// ErrUnproved when m.Shared and the proof fails, and the error of prove.
func (l *Ledger) Meet(ctx context.Context, m Met, prove Prover) error {
	if m.Checkpoint.Origin != m.Log.Origin() {
		return fmt.Errorf("internal error: a checkpoint of %q met as one of %s", m.Checkpoint.Origin, m.Log)
	}
	if k := l.Known(m.Log); k.Quarantine == nil && k.Size > 0 && k.Checkpoint() == m.Checkpoint && (!m.Cosign || k.CosignedSize == k.Size && !k.Forsworn) {
		return nil
	}
	var proved struct {
		first, second uint64
		proof         []tlog.Hash
	}
	// Other streams move the state on while the log is being asked; a few rounds
	// are far more than an honest council needs.
	for range 8 {
		var p placing
		err := l.do(ctx, false, func(t *tx) error {
			k, err := t.known(m.Log)
			if err != nil {
				return err
			}
			p = placing{}
			if k.Quarantine != nil {
				return k.stopped()
			}
			proof := m.Proof
			from, to := m.ProofFrom, m.Checkpoint.Size
			if proved.second != 0 {
				from, to, proof = proved.first, proved.second, proved.proof
			}
			p = k.compare(m.Checkpoint, from, to, proof)
			switch {
			case p.ask:
				return nil
			case p.against != "" && p.unproved && m.Shared:
				return fmt.Errorf("%s: %w of sizes %d and %d", m.Log, ErrUnproved, p.first, p.second)
			case p.against != "":
				q := Quarantine{Fault: event.FaultFork, Reason: p.against, MetWith: m.MetWith, Told: m.Note}
				if p.unproved {
					q.Fault, q.Proof = event.FaultUnproved, proof
				}
				return t.quarantine(k, q)
			}
			if !p.newest {
				return nil
			}
			return t.meet(k, &m)
		})
		switch {
		case err != nil:
			return err
		case p.against != "":
			return l.Known(m.Log).stopped()
		case !p.ask:
			return nil
		case prove == nil:
			return fmt.Errorf("%s: %w", m.Log, ErrUnplaced)
		}
		proof, err := prove(ctx, p.first, p.second)
		switch {
		case err == nil:
			proved.first, proved.second, proved.proof = p.first, p.second, proof
		case m.Shared || !errors.Is(err, ErrShorter) && !errors.Is(err, ErrUnproved):
			return err
		default:
			q := Quarantine{Fault: event.FaultUnproved, MetWith: m.MetWith, Told: m.Note,
				Reason: fmt.Sprintf("asked, it gave no proof that its sizes %d and %d are of one history", p.first, p.second)}
			if errors.Is(err, ErrShorter) {
				q.Fault, q.Reason = event.FaultRollback, fmt.Sprintf("its log shrank: it says that it has fewer than the %d entries that it has signed", p.second)
			}
			if err := l.Quarantine(ctx, m.Log, q); err != nil {
				return err
			}
			return l.Known(m.Log).stopped()
		}
	}
	return fmt.Errorf("%s: %w", m.Log, ErrUnplaced)
}

// Extends reports whether a checkpoint is the one known, or extends it by its own proof,
// so that nothing has to be asked: Receive may take it in with what came under it.
func (l *Ledger) Extends(m Met) bool {
	k := l.Known(m.Log)
	if k.Quarantine != nil || m.Checkpoint.Origin != m.Log.Origin() {
		return false
	}
	p := k.compare(m.Checkpoint, m.ProofFrom, m.Checkpoint.Size, m.Proof)
	return p.newest && p.against == "" && !p.ask
}

// extend takes in a checkpoint that [Ledger.Extends] was true of, if it still is.
func (t *tx) extend(k *KnownLog, m *Met) error {
	p := k.compare(m.Checkpoint, m.ProofFrom, m.Checkpoint.Size, m.Proof)
	if p.against != "" || p.ask {
		return fmt.Errorf("%s: %w", m.Log, ErrUnplaced) // another stream went on meanwhile
	}
	if !p.newest {
		return nil
	}
	return t.meet(k, m)
}

// A placing is how a checkpoint stands to the one that is known.
type placing struct {
	newest   bool   // it is the one known, or extends it
	against  string // why the two are not of one history; "" if they are
	unproved bool   // what speaks against is a proof that fails, nothing signed
	ask      bool   // nothing here shows it: the proof from first to second would
	first    uint64
	second   uint64
}

// compare compares a checkpoint with the one known, by the proof between two sizes.
func (k *KnownLog) compare(cp tlog.Checkpoint, from, to uint64, proof []tlog.Hash) placing {
	known := k.Checkpoint()
	older, newer := known, cp
	p := placing{newest: cp.Size >= known.Size}
	if !p.newest {
		older, newer = cp, known
	}
	p.first, p.second = older.Size, newer.Size
	switch {
	case older.Size == 0: // the empty log is the beginning of every history
	case tlog.Fork(older, newer):
		p.against = fmt.Sprintf("it has signed two histories of its log, both of %d entries", cp.Size)
	case older.Size == newer.Size:
	case len(proof) == 0 || from != older.Size || to != newer.Size:
		p.ask = true
	case tlog.VerifyConsistency(older.Size, older.Root, newer.Size, newer.Root, proof) != nil:
		p.against = fmt.Sprintf("its proof that its sizes %d and %d are of one history does not hold", older.Size, newer.Size)
		p.unproved = true
	}
	return p
}

// meet makes a checkpoint the newest known.
func (t *tx) meet(k *KnownLog, m *Met) error {
	next := *k
	cp := m.Checkpoint
	if cp.Size > k.Size {
		next.Size, next.Root, next.Note, next.At = cp.Size, cp.Root, m.Note, t.l.o.Now().UTC()
	}
	if m.Cosign && !k.Forsworn {
		next.CosignedSize, next.CosignedRoot = cp.Size, cp.Root
	}
	if cp.Size == k.Size && next.CosignedSize == k.CosignedSize {
		return nil
	}
	return t.keepKnown(&next)
}

// Known returns what is known of a council's log; of one that was never met, a
// KnownLog of size 0.
func (l *Ledger) Known(log name.Council) *KnownLog {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if k := l.logs[log]; k != nil {
		return k
	}
	return &KnownLog{Council: log}
}

// KnownLogs returns what is known of every log that was ever met, by council.
func (l *Ledger) KnownLogs() []*KnownLog {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]*KnownLog, 0, len(l.logs))
	for _, k := range l.logs {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *KnownLog) int { return strings.Compare(string(a.Council), string(b.Council)) })
	return out
}

func knownKey(log name.Council) []byte { return append([]byte{'L'}, log...) }

// known reads the state of a log as the batches under way leave it.
func (t *tx) known(log name.Council) (*KnownLog, error) {
	b, err := t.lookup(knownKey(log))
	if errors.Is(err, ErrNotFound) {
		return t.l.Known(log), nil // or as the folder of an older version had it
	}
	if err != nil {
		return nil, err
	}
	k := &KnownLog{}
	return k, unmarshal(b, k)
}

// keepKnown stores the state of a log and makes it the one readers see.
func (t *tx) keepKnown(k *KnownLog) error {
	b, err := marshal(k)
	if err != nil {
		return err
	}
	t.set(knownKey(k.Council), b)
	t.after = append(t.after, func() { t.l.logs[k.Council] = k })
	return nil
}

func (l *Ledger) loadKnown(txn *badger.Txn) error {
	l.logs = map[name.Council]*KnownLog{}
	return walk(txn, []byte("L"), func(_, value []byte) error {
		k := &KnownLog{}
		if err := unmarshal(value, k); err != nil {
			return err
		}
		l.logs[k.Council] = k
		return nil
	})
}

// An oldSource is a source as layout 1 had it first, with a checkpoint of its own.
type oldSource struct {
	From name.Council `json:"from"`
	Size uint64       `json:"size"`
	Root []byte       `json:"root"`
	Note []byte       `json:"note"`
}

// takeOver makes the newest checkpoint of a council's sources what is known of its
// log, where nothing is. Two roots of one size are a fork that was met before it
// could be seen.
func (l *Ledger) takeOver(ctx context.Context, old []oldSource) error {
	slices.SortStableFunc(old, func(a, b oldSource) int { return int(a.Size) - int(b.Size) })
	for _, s := range slices.Backward(old) {
		if s.Size == 0 || len(s.Root) != tlog.HashSize {
			continue
		}
		cp := tlog.Checkpoint{Origin: s.From.Origin(), Size: s.Size, Root: tlog.Hash(s.Root)}
		k := l.Known(s.From)
		if k.Size > 0 && !tlog.Fork(k.Checkpoint(), cp) || k.Quarantine != nil {
			continue // an older one cannot be placed without the council
		}
		if err := l.Meet(ctx, Met{Log: s.From, Checkpoint: cp, Note: s.Note, MetWith: "what an earlier version of this program kept", Shared: true}, nil); err != nil && !errors.Is(err, ErrQuarantined) {
			return err
		}
	}
	return nil
}
