package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
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
func (n *Node) checkAnswered(doc *agreement.Agreement, q *ledger.Question, seen *ledger.Source, a *wirepb.Answer) (*answered, error) {
	m, ok := n.directory.Member(doc.From)
	if !ok {
		return nil, fmt.Errorf("%s has left the directory", doc.From)
	}
	v, err := m.LogVerifier()
	if err != nil {
		return nil, err
	}
	got := &answered{answer: a, records: []RecordReply{}}
	if got.cp, err = checkAnswerLog(doc.From.Origin(), v, seen, a); err != nil {
		return nil, err
	}
	if a.GetIndex() >= got.cp.Size {
		return nil, notProved("its answer is not in its log")
	}
	// The answer itself: said by them, of this question, under this agreement.
	t, ev, err := record.ParseEvent(a.GetEvent())
	if err != nil || ev.Council != doc.From || ev.Kind != ledger.KindAnswer {
		return nil, notProved("its answer is no event of its own")
	}
	key, err := m.RecordKeyAt(t.KeyID(), a.GetIndex())
	if err != nil || t.Verify(key) != nil {
		return nil, notProved("the signature of its answer does not hold")
	}
	if got.said, err = ledger.AnswerOf(ev); err != nil || !answers(got.said, doc, q) {
		return nil, notProved("its answer is to another question")
	}
	got.entry = t.Entry()
	var hashes []tlog.Hash
	var indexes []uint64
	if len(a.GetEntries()) != len(got.said.Entries) || (a.GetCounts() != nil) != (got.said.Outcome == ledger.Counted) {
		return nil, notProved("it sent something else than its answer says")
	}
	for i, e := range a.GetEntries() {
		if e.GetIndex() != got.said.Entries[i] || e.GetIndex() >= a.GetIndex() {
			return nil, notProved("it sent another record than its answer says")
		}
		token, r, err := n.checkFound(doc, q, e)
		if err != nil {
			return nil, err
		}
		if r.Record != got.said.Records[i] {
			return nil, notProved("it sent another record than its answer says")
		}
		if r.Council != doc.From {
			return nil, notProved("a record in it was issued by another council")
		}
		key, err := m.RecordKeyAt(token.KeyID(), e.GetIndex())
		if err != nil || token.Verify(key) != nil {
			return nil, notProved("the signature of a record does not hold")
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
	proof, err := tlog.SplitHashes(a.GetInclusion())
	if err != nil || tlog.VerifyBatch(append(hashes, got.entry), append(indexes, a.GetIndex()), got.cp.Size, got.cp.Root, proof) != nil {
		return nil, notProved("it has no proof that its answer stands in its log")
	}
	return got, nil
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
	if rule, pointer := beyond(terms, std, v); rule != "" {
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
