package peersync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// What a council's log told us is one state in our ledger, ledger.KnownLog, and
// this file is how two nodes speak of it: one asks the other to prove that two
// sizes are of one history, and one tells the other that it was shown two.

// Codes of an answer to a ProofRequest that has no proof.
const (
	proofVersion  = "protocol-version"
	proofStranger = "not-agreed"
	proofShorter  = "shorter" // the log has fewer entries than the second size
	proofNotHere  = "not-here"
	proofHeads    = "heads"
)

// proofWithin is how long one question of /stile/log/1 may take.
const proofWithin = 30 * time.Second

// Prove returns a function that asks a member for the proof between two sizes of
// a log: its own, or that of a footprint it is a member of.
func Prove(net wire.Network, now func() time.Time, log, member name.Council) ledger.Prover {
	// Status shows it, and since when: nothing of the log is believed meanwhile, and
	// nothing refused for good.
	silent := func(err error) error {
		return fmt.Errorf("%s does not answer when it is asked to prove that what it has signed is one history: %w", member, err)
	}
	return func(ctx context.Context, first, second uint64) ([]tlog.Hash, error) {
		p, err := askProof(ctx, net, now, member, &wirepb.ProofRequest{Version: wirepb.LogVersion, Log: string(log), First: first, Second: second})
		switch {
		case errors.Is(err, wirepb.ErrFrame):
			return nil, fmt.Errorf("%w: %w", ledger.ErrUnproved, err)
		case err != nil:
			return nil, silent(err)
		}
		switch p.GetCode() {
		case "":
		case proofShorter:
			return nil, fmt.Errorf("%s: %w", member, ledger.ErrShorter)
		default:
			return nil, fmt.Errorf("%s did not prove its log: %s", member, limit(p.GetReason(), 300))
		}
		proof, err := tlog.SplitHashes(p.GetConsistency())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ledger.ErrUnproved, err)
		}
		return proof, nil
	}
}

// askProof asks a council one question of /stile/log/1.
func askProof(ctx context.Context, net wire.Network, now func() time.Time, member name.Council, q *wirepb.ProofRequest) (*wirepb.Proof, error) {
	st, err := net.Open(ctx, member, wirepb.LogProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(now().Add(proofWithin))
	p := new(wirepb.Proof)
	if err = wirepb.WriteProofRequest(bufio.NewWriter(st), q); err == nil {
		p, err = wirepb.ReadProof(bufio.NewReader(st))
	}
	if err != nil {
		st.Reset()
		return nil, err
	}
	return p, nil
}

// MaxProved is how many entries [Syncer.ProveEntries] proves at once.
const MaxProved = wirepb.MaxProved

// ProveEntries asks a council, or of a footprint's log each member in turn, for the batch
// proof that entries with these hashes stand at their indexes, ascending, in a log at a
// checkpoint that was met, and returns it once it was checked.
func (s *Syncer) ProveEntries(ctx context.Context, log name.Council, at tlog.Checkpoint, entries []tlog.Hash, indexes []uint64) ([]tlog.Hash, error) {
	members := []name.Council{log}
	if s.o.Footprints.Is(log) {
		members = s.o.Footprints.Members(log)
	}
	last := fmt.Errorf("nobody keeps the log of %s", log)
	for _, m := range members {
		if m == s.o.Self {
			continue
		}
		p, err := askProof(ctx, s.o.Network, s.o.Now, m, &wirepb.ProofRequest{Version: wirepb.LogVersion, Log: string(log), Second: at.Size, Indexes: indexes})
		if err == nil && p.GetCode() != "" {
			err = errors.New(limit(p.GetReason(), 300))
		}
		var proof []tlog.Hash
		if err == nil {
			proof, err = tlog.SplitHashes(p.GetInclusion())
		}
		if err == nil {
			err = tlog.VerifyBatch(entries, indexes, at.Size, at.Root, proof)
		}
		if err == nil {
			return proof, nil
		}
		if last = fmt.Errorf("%s does not prove its log: %w", m, err); ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// serveProof answers one stream of /stile/log/1.
func (s *Syncer) serveProof(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(s.o.Now().Add(proofWithin))
	begun := s.instances.begun()
	q, err := wirepb.ReadProofRequest(bufio.NewReader(st))
	if err != nil {
		st.Reset()
		return
	}
	if err := wirepb.WriteProof(bufio.NewWriter(st), s.proof(ctx, from, q, begun)); err != nil {
		st.Reset()
		return
	}
	st.CloseWrite()
}

// proof answers a request, or says why not.
func (s *Syncer) proof(ctx context.Context, from name.Council, q *wirepb.ProofRequest, begun uint64) *wirepb.Proof {
	no := func(code, reason string) *wirepb.Proof { return &wirepb.Proof{Code: code, Reason: reason} }
	if q.GetVersion() < wirepb.LogVersion { // a later one has only more to say
		return no(proofVersion, fmt.Sprintf("this node speaks version %d", wirepb.LogVersion))
	}
	if q.GetHeads() {
		if q.GetLog() != string(from) {
			return no(proofStranger, "it is not your log")
		}
		other, vouch := s.questioned(ctx, from, q, begun)
		return &wirepb.Proof{Code: proofHeads, Heads: s.heads(from), Other: other.bytes(), Vouch: vouch}
	}
	if m, ok := s.o.Directory.Member(from); !ok || !m.ActiveAt(s.o.Now()) {
		return no(proofStranger, "you are no member of our directory")
	}
	if err := s.o.Ledger.Allowed(from); err != nil {
		return no(codeQuarantine, "all exchange with you is stopped")
	}
	prove, proveEntries := s.o.Ledger.Consistency, s.o.Ledger.ProveEntries
	size, err := s.o.Ledger.Shown()
	if err != nil {
		return no(proofNotHere, "the log cannot be read now")
	}
	if q.GetLog() != string(s.o.Self) {
		r := s.open(name.Council(q.GetLog()))
		if r == nil {
			return no(proofNotHere, "that log is not kept here")
		}
		size, prove, proveEntries = r.f.Size(), r.f.Consistency, r.f.ProveEntries
	}
	if q.GetSecond() > size {
		p := no(proofShorter, "the log has fewer entries than that")
		if q.GetLog() == string(s.o.Self) {
			p.Checkpoint = s.newest()
		}
		return p
	}
	if n := len(q.GetIndexes()); n > 0 {
		if err := s.o.Quota.Take(from, quota.Proved, n); err != nil {
			return no(codeNotNow, err.Error())
		}
		hashes, err := proveEntries(q.GetIndexes(), q.GetSecond())
		if err != nil {
			s.o.Log.Error("prove entries of a log", "log", q.GetLog(), "error", err.Error())
			return no(proofNotHere, "the log cannot be read now")
		}
		return &wirepb.Proof{Inclusion: tlog.JoinHashes(hashes), Included: true}
	}
	hashes, err := prove(q.GetFirst(), q.GetSecond())
	if err != nil {
		s.o.Log.Error("prove sizes of a log", "log", q.GetLog(), "error", err.Error())
		return no(proofNotHere, "the log cannot be read now")
	}
	return &wirepb.Proof{Consistency: tlog.JoinHashes(hashes)}
}

// newest returns our newest signed checkpoint, nil if it cannot be read.
func (s *Syncer) newest() (signed []byte) {
	s.o.Ledger.View(func(v *ledger.View) error {
		_, signed = v.Checkpoint()
		return nil
	})
	return signed
}

// accused keeps that a council says our log told two histories, with the heads it
// shows for that.
func (s *Syncer) accused(ctx context.Context, by name.Council, reason string, heads [][]byte) {
	a := &ledger.Accusation{Reason: limit(reason, 300)}
	for i, h := range heads {
		if i == 0 {
			a.Held = h
		} else {
			a.Told = h
		}
		a.Proven = a.Proven || s.o.Ledger.Contradicts(h)
	}
	// Before anything more is signed.
	if _, err := s.o.Ledger.Heard(ctx, by, heads, false); err != nil {
		s.o.Log.Error("keep what was shown of our log", "by", by, "error", err.Error())
	}
	select {
	case s.asking <- by:
	default:
	}
	if err := s.o.Ledger.Accused(ctx, by, a); err != nil {
		s.o.Log.Error("keep an accusation", "by", by, "error", err.Error())
	}
	s.o.Log.Error("a partner says that we told it another history", "partner", by, "proven", a.Proven, "because", a.Reason)
}

// rolledBack stops exchange with a council that says itself, in answer to what we
// have seen of its log, that its log is shorter, with the newest checkpoint it
// shows.
func (s *Syncer) rolledBack(ctx context.Context, from name.Council, heads [][]byte) error {
	known := s.o.Ledger.Known(from)
	q := ledger.Quarantine{Fault: event.FaultRollback, MetWith: "its refusal to go on",
		Reason: fmt.Sprintf("its log was rolled back: it says itself that it does not hold the %d entries that it has signed", known.Size)}
	m, ok := s.o.Directory.Member(from)
	if !ok || known.Size == 0 {
		return errors.New("it refused for what we do not hold against it")
	}
	if v, err := m.LogVerifier(); err == nil && len(heads) > 0 {
		if cp, _, err := tlog.OpenCheckpoint(heads[0], from.Origin(), v); err == nil {
			q.Told = heads[0]
			if tlog.Fork(cp, known.Checkpoint()) {
				q.Fault, q.Reason = event.FaultFork, fmt.Sprintf("it has signed two histories of its log, both of %d entries", cp.Size)
			}
		}
	}
	if err := s.o.Ledger.Quarantine(ctx, from, q); err != nil {
		return err
	}
	s.look()
	return s.o.Ledger.Allowed(from)
}

// quarantined returns the refusal for a council in quarantine, with the evidence;
// nil for others.
func (s *Syncer) quarantined(c name.Council) *wirepb.Refuse {
	q := s.o.Ledger.Known(c).Quarantine
	if q == nil {
		return nil
	}
	r := &wirepb.Refuse{Code: codeQuarantine, Reason: "we have stopped all exchange with you: " + limit(q.Reason, 800)}
	for _, n := range [][]byte{q.Held, q.Told} {
		if len(n) > 0 && len(n) <= wirepb.MaxNote {
			r.Checkpoints = append(r.Checkpoints, slices.Clone(n))
		}
	}
	return r
}
