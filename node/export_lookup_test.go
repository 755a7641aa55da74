package node

import (
	"context"
	"crypto/rand"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A Posed is a question as it goes to another council.
type Posed struct {
	Doc *agreement.Agreement
	Q   *ledger.Question
	Msg *wirepb.Question
}

// Pose logs a question without asking it. change may alter what the signed event
// says.
func (n *Node) Pose(ctx context.Context, in LookupRequest, change func(body map[string]any)) (*Posed, error) {
	doc, q, err := n.newQuestion(in.Agreement, agreement.Lookup, in.Because, "")
	if err != nil {
		return nil, err
	}
	q.Asked = agreement.Asked{Field: name.Field(in.Field), Value: in.Value}
	body := q.Body(doc)
	delete(body, "asked")
	body["to"] = string(doc.From)
	if change != nil {
		change(body)
	}
	if q.Event, err = n.ledger.LogQuestion(ctx, q.ID, body); err != nil {
		return nil, err
	}
	if q.Entry, err = entryOf(q.Event); err != nil {
		return nil, err
	}
	d := doc.Digest()
	return &Posed{doc, q, &wirepb.Question{Version: 1, AgreementDigest: d[:], Event: q.Event, Value: in.Value}}, nil
}

// AnswerQuestion answers as a stream of the council would be answered; code says
// why not.
func (n *Node) AnswerQuestion(ctx context.Context, from name.Council, q *wirepb.Question) (a *wirepb.Answer, code string) {
	_, a, err := n.answerQuestion(ctx, from, q)
	if u, ok := err.(*unanswered); ok {
		return nil, u.code
	}
	if err != nil {
		return nil, err.Error()
	}
	return a, ""
}

// JudgeAnswer checks an answer as one that came from whom was asked.
func (n *Node) JudgeAnswer(p *Posed, a *wirepb.Answer) error {
	return n.JudgeAnswerBy(p.Doc.From, p, a)
}

// JudgeAnswerBy checks an answer as one that came from a member of a footprint.
func (n *Node) JudgeAnswerBy(by name.Council, p *Posed, a *wirepb.Answer) error {
	_, err := n.checkAnswered(by, p.Doc, p.Q, nil, proto.Clone(a).(*wirepb.Answer))
	return err
}

// Lie answers a question with any records, all fields of which keep lets out, and
// with a signed, logged and proved event that says what change makes of it.
func (n *Node) Lie(ctx context.Context, p *Posed, keep func(pointer string, shell bool) bool, records []name.Record, change func(body map[string]any)) (*wirepb.Answer, error) {
	q := *p.Q
	q.PerDay = 1 << 30
	if _, err := rand.Read(q.ID[:]); err != nil { // of the place it is kept under alone
		return nil, err
	}
	body := p.Q.Body(p.Doc)
	out := &wirepb.Answer{}
	var found []*ledger.Version
	err := n.ledger.View(func(v *ledger.View) error {
		for _, r := range records {
			ver, err := v.Current(r)
			if err != nil {
				return err
			}
			found = append(found, ver)
		}
		cp, _ := v.Checkpoint()
		ledger.DescribeAnswer(body, found, false, cp)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(body)
	}
	var indexes []uint64
	for _, ver := range found {
		t, err := ver.Token.Present(keep)
		if err != nil {
			return nil, err
		}
		out.Entries, indexes = append(out.Entries, &wirepb.Entry{Index: ver.Index, Token: t.Bytes()}), append(indexes, ver.Index)
	}
	if _, err := n.ledger.Charge(ctx, &q); err != nil {
		return nil, err
	}
	if out.Index, _, err = n.ledger.LogAnswer(ctx, &q, body); err != nil {
		return nil, err
	}
	return out, n.ledger.View(func(v *ledger.View) error {
		cp, note := v.Checkpoint()
		out.Checkpoint = note
		if _, out.Event, err = v.Event(out.Index); err != nil {
			return err
		}
		out.Event = slices.Clone(out.Event)
		proof, err := tlog.ProveBatch(v, append(indexes, out.Index), cp.Size)
		out.Inclusion = tlog.JoinHashes(proof)
		return err
	})
}

// PoseCounts logs a question for counts without asking it.
func (n *Node) PoseCounts(ctx context.Context, a string, by ...name.Field) (*Posed, error) {
	doc, q, err := n.newQuestion(a, agreement.Aggregate, "table 1", "")
	if err != nil {
		return nil, err
	}
	q.Groups = by
	body := q.Body(doc)
	delete(body, "asked")
	body["to"] = string(doc.From)
	if q.Event, err = n.ledger.LogQuestion(ctx, q.ID, body); err != nil {
		return nil, err
	}
	if q.Entry, err = entryOf(q.Event); err != nil {
		return nil, err
	}
	d := doc.Digest()
	return &Posed{doc, q, &wirepb.Question{Version: 1, AgreementDigest: d[:], Event: q.Event}}, nil
}

// LieCounts answers a question with counts that say what change makes of one group
// of fifteen, signed, logged and proved.
func (n *Node) LieCounts(ctx context.Context, p *Posed, change func(c *agreement.Counts)) (*wirepb.Answer, error) {
	q, name := *p.Q, "A"
	q.PerDay = 1 << 30
	if _, err := rand.Read(q.ID[:]); err != nil { // of the place it is kept under alone
		return nil, err
	}
	c := agreement.Counts{
		Agreement: p.Doc.Name, Version: p.Doc.Version, Day: agreement.Date(n.now().UTC().Format("2006-01-02")), By: p.Q.Groups,
		Threshold: agreement.CountThreshold, Rounded: agreement.CountRounding, Groups: []agreement.Group{{Of: []*string{&name}, Count: 15}}, Total: 15,
	}
	if change != nil {
		change(&c)
	}
	index, _, err := n.ledger.AppendNotice(ctx, agreement.KindCounts, c.Body())
	if err != nil {
		return nil, err
	}
	if _, err := n.ledger.Charge(ctx, &q); err != nil {
		return nil, err
	}
	a, err := n.ledger.AnswerCounts(ctx, p.Doc, &q, index, p.Q.Body(p.Doc))
	if err != nil {
		return nil, err
	}
	return n.wireAnswer(a, 0)
}
