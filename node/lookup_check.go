package node

import (
	"encoding/json"
	"fmt"
	"golang.org/x/mod/sumdb/note"
	"math"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A forkedAnswer is two checkpoints of one log that it has not shown to be of one
// history.
type forkedAnswer struct {
	what  string
	notes [][]byte // the one we hold, the one we were sent
}

func (f *forkedAnswer) Error() string { return errNotProved.Error() + ": " + f.what }

func (f *forkedAnswer) Unwrap() error { return errNotProved }

// entryOf returns the 32 bytes that stand for an event in a log.
func entryOf(jws []byte) (tlog.Hash, error) {
	t, _, err := record.ParseEvent(jws)
	if err != nil {
		return tlog.Hash{}, err
	}
	return t.Entry(), nil
}

// checkAnswered checks an answer of a council against its log, the question, the
// agreement and the standards. The error wraps errNotProved when no honest council
// can have sent it. Nothing of an answer is shown that does not hold as a whole.
func (n *Node) checkAnswered(by name.Council, doc *agreement.Agreement, q *ledger.Question, seen *ledger.Source, a *wirepb.Answer) (*answered, error) {
	m, ok := n.directory.Member(by)
	if !ok {
		return nil, fmt.Errorf("%s has left the directory", by)
	}
	// Of a footprint a member answers: its records stand in the footprint's ledger,
	// and what the member itself says in the member's.
	shared := by != doc.From && doc.Mode == agreement.Lookup
	got, err := &answered{by: by, answer: a, records: []RecordReply{}}, error(nil)
	switch {
	case a.GetFootprint() != shared:
		return nil, notProved("it answers from another log")
	case shared:
		got.cp, err = n.footprintCheckpointOf(doc.From, a.GetCheckpoint())
	default:
		var v note.Verifier
		if v, err = m.LogVerifier(); err == nil {
			got.cp, err = checkAnswerLog(by.Origin(), v, seen, a)
		}
		if err == nil && a.GetIndex() >= got.cp.Size {
			err = notProved("its answer is not in its log")
		}
	}
	if err != nil {
		return nil, err
	}
	place := a.GetIndex()
	if shared {
		place = directory.AnyPlace // nothing here proves it
	}
	// The answer itself: said by them, of this question, under this agreement.
	t, ev, err := record.ParseEvent(a.GetEvent())
	if err != nil || ev.Council != by || ev.Kind != ledger.KindAnswer {
		return nil, notProved("its answer is no event of its own")
	}
	key, err := m.RecordKeyAt(t.KeyID(), place)
	if err != nil || t.Verify(key) != nil {
		return nil, notProved("the signature of its answer does not hold")
	}
	if got.said, err = ledger.AnswerOf(ev); err != nil || !answers(got.said, doc, q) || (got.said.Footprint == doc.From) != (by != doc.From) {
		return nil, notProved("its answer is to another question")
	}
	got.entry = t.Entry()
	var hashes []tlog.Hash
	var indexes []uint64
	if len(a.GetEntries()) != len(got.said.Entries) || (a.GetCounts() != nil) != (got.said.Outcome == ledger.Counted) {
		return nil, notProved("it sent something else than its answer says")
	}
	for i, e := range a.GetEntries() {
		if e.GetIndex() != got.said.Entries[i] || e.GetIndex() >= got.cp.Size || !shared && e.GetIndex() >= a.GetIndex() {
			return nil, notProved("it sent another record than its answer says")
		}
		token, r, err := n.checkFound(doc, q, e)
		if err != nil {
			return nil, err
		}
		if r.Record != got.said.Records[i] {
			return nil, notProved("it sent another record than its answer says")
		}
		if err := n.checkIssuer(doc, shared, token, r); err != nil {
			return nil, err
		}
		got.records = append(got.records, *r)
		hashes, indexes = append(hashes, token.Entry()), append(indexes, e.GetIndex())
	}
	if e := a.GetCounts(); e != nil {
		if e.GetIndex() != got.said.Counts || e.GetIndex() >= a.GetIndex() {
			return nil, notProved("it sent other counts than its answer says")
		}
		h, err := n.checkCounts(doc, q, m, e, got)
		if err != nil {
			return nil, err
		}
		hashes, indexes = append(hashes, h), append(indexes, e.GetIndex())
	}
	if !shared {
		hashes, indexes = append(hashes, got.entry), append(indexes, a.GetIndex())
	}
	if len(indexes) == 0 {
		return got, nil
	}
	proof, err := tlog.SplitHashes(a.GetInclusion())
	if err != nil || tlog.VerifyBatch(hashes, indexes, got.cp.Size, got.cp.Root, proof) != nil {
		return nil, notProved("it has no proof that its answer stands in its log")
	}
	return got, nil
}

// checkIssuer checks who signed a record: the council that answers or, in a
// footprint, the member that contributed it.
func (n *Node) checkIssuer(doc *agreement.Agreement, shared bool, t *record.Token, r *RecordReply) error {
	place := r.Index
	switch {
	case !shared && r.Council != doc.From:
		return notProved("a record in it was issued by another council")
	case shared && !slices.Contains(n.keepers(doc.From), r.Council):
		return notProved("a record in it was issued by a council that is no member")
	case shared:
		place = math.MaxInt64 // its place in its issuer's own log is not known
	}
	m, ok := n.directory.Member(r.Council)
	if !ok {
		return notProved("a record in it was issued by a council that is not in the directory")
	}
	key, err := m.RecordKeyAt(t.KeyID(), place)
	if err != nil || t.Verify(key) != nil {
		return notProved("the signature of a record does not hold")
	}
	return nil
}

// footprintCheckpointOf reads a checkpoint of a footprint that more than half of
// its members cosigned.
func (n *Node) footprintCheckpointOf(fp name.Council, signed []byte) (tlog.Checkpoint, error) {
	ws, err := n.directory.Witnesses(n.keepers(fp))
	if err != nil {
		return tlog.Checkpoint{}, fail(Unverified, "stile council list", "%v", err)
	}
	cp, _, err := tlog.VerifyMajority(signed, fp.Origin(), ws...)
	if err != nil {
		// The members may have changed and the directory not know it yet.
		return cp, fail(Unverified, "stile council show "+string(fp), "the checkpoint is not cosigned by a majority of the members that the directory lists for %s", fp)
	}
	return cp, nil
}

// checkCounts checks the counts that were sent as an answer: said by the council,
// today, of what was asked, and as the agreement's mode lets them be.
func (n *Node) checkCounts(doc *agreement.Agreement, q *ledger.Question, m directory.Member, e *wirepb.Entry, got *answered) (tlog.Hash, error) {
	t, ev, err := record.ParseEvent(e.GetToken())
	if err != nil || ev.Council != m.Council || ev.Kind != agreement.KindCounts {
		return tlog.Hash{}, notProved("its counts are no event of its own")
	}
	key, err := m.RecordKeyAt(t.KeyID(), e.GetIndex())
	if err != nil || t.Verify(key) != nil {
		return tlog.Hash{}, notProved("the signature of its counts does not hold")
	}
	c, err := agreement.ParseCounts(ev.Body)
	if err != nil {
		return tlog.Hash{}, notProved(err.Error())
	}
	if c.Agreement != doc.Name || c.Version != doc.Version || !slices.Equal(c.By, q.Groups) {
		return tlog.Hash{}, notProved("its counts are of something else")
	}
	// A day and a half: two clocks that are an hour apart may see two days.
	if age := n.now().Sub(c.Day.Time()); age < -12*time.Hour || age > 36*time.Hour {
		return tlog.Hash{}, notProved("its counts are of another day")
	}
	got.counts = &c
	return t.Entry(), nil
}

func notProved(what string) error { return fmt.Errorf("%w: %s", errNotProved, what) }

// answers reports whether an answer is to a question.
func answers(said ledger.AnswerSaid, doc *agreement.Agreement, q *ledger.Question) bool {
	counted := doc.Mode == agreement.Aggregate
	return said.Agreement == doc.Name && said.Version == doc.Version && said.Partner == q.By && said.For == q.For &&
		said.Question == q.ID && said.Asked == q.Entry.String() && said.Because == q.Because &&
		said.Field == q.Asked.Field && slices.Equal(said.Groups, q.Groups) && counted == (said.Outcome == ledger.Counted)
}

// checkAnswerLog checks the checkpoint of an answer: signed by the log, and of one
// history with the newest that we hold.
func checkAnswerLog(origin string, v note.Verifier, seen *ledger.Source, a *wirepb.Answer) (tlog.Checkpoint, error) {
	cp, _, err := tlog.OpenCheckpoint(a.GetCheckpoint(), origin, v)
	if err != nil {
		return cp, notProved("its checkpoint is not signed by its log")
	}
	if seen == nil || seen.Size == 0 || len(seen.Root) != tlog.HashSize {
		return cp, nil
	}
	forked := func(what string) error {
		return &forkedAnswer{what, [][]byte{seen.Note, a.GetCheckpoint()}}
	}
	switch {
	case cp.Size < seen.Size:
		return cp, forked(fmt.Sprintf("its log shrank from %d to %d entries", seen.Size, cp.Size))
	case cp.Size == seen.Size:
		if cp.Root != tlog.Hash(seen.Root) {
			return cp, forked(fmt.Sprintf("it told us of another history before at size %d", cp.Size))
		}
		return cp, nil
	}
	proof, err := tlog.SplitHashes(a.GetConsistency())
	if err != nil || tlog.VerifyConsistency(seen.Size, tlog.Hash(seen.Root), cp.Size, cp.Root, proof) != nil {
		return cp, forked(fmt.Sprintf("it has no proof that sizes %d and %d are of one history", seen.Size, cp.Size))
	}
	return cp, nil
}

// checkFound checks a record that was sent as an answer, all but who signed it.
func (n *Node) checkFound(doc *agreement.Agreement, q *ledger.Question, e *wirepb.Entry) (*record.Token, *RecordReply, error) {
	t, err := record.Parse(e.GetToken())
	if err != nil {
		return nil, nil, notProved("a record in it cannot be read")
	}
	v, err := t.View()
	if err != nil {
		return nil, nil, notProved("a record in it discloses what was not signed")
	}
	if v.Standard.Line() != doc.Standard || v.Op != record.Put {
		return nil, nil, notProved("a record in it is of another standard")
	}
	std, err := n.ledger.Standard(v.Standard)
	if err != nil {
		return nil, nil, fail(NotFound, "stile standard adopt "+v.Standard.String(), "the answer is in %s, which is not adopted here, so it cannot be checked", v.Standard)
	}
	if std.Integrity() != v.Integrity {
		return nil, nil, notProved("a record in it is of another schema")
	}
	terms, _ := doc.Compile(std) // nil lets nothing through
	if rule, pointer := terms.Beyond(std, v.Body); rule != "" {
		// More than was agreed is not shown, not even the part that was.
		if pointer != "" {
			rule += " at " + pointer[:min(len(pointer), 200)]
		}
		return nil, nil, notProved(rule)
	}
	if terms.AskedCheckable(q.Asked.Field) && !slices.Contains(terms.Asked(v.Body), q.Asked) {
		return nil, nil, notProved("a record in it is not the one that was asked for")
	}
	return t, &RecordReply{
		Council: v.Council, Record: v.Record, Standard: v.Standard, Version: v.Version, Op: "put", Index: e.GetIndex(),
		IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Agreement: doc.Name, Withheld: v.Withheld, Disclosed: v.Disclosed,
		Body: json.RawMessage(strictjson.Canonical(v.Body)), Token: string(t.Bytes()), Signature: "checked",
	}, nil
}
