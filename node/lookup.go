package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement of mode lookup the receiver keeps no copies: it asks for one
// record by one value, and is answered with the agreed fields. The question stands
// in its log, signed, before it is asked, and the answer in the other's before it
// is given; the value that is asked by stands in neither. See docs/lookup.md and
// package question.

func (n *Node) lookup(ctx context.Context, in LookupRequest) (*LookupReply, error) {
	f, err := name.ParseField(in.Field)
	if err != nil {
		return nil, fail(Usage, "stile lookup AGREEMENT /field", "%v", err)
	}
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	got, err := n.asker.Lookup(ctx, n.network(), question.Request{Agreement: a, Field: f, Value: in.Value, Because: in.Because, Case: in.Case, Show: in.Show, Question: in.Question})
	if err != nil {
		return nil, err
	}
	out := &LookupReply{
		Agreement: a, From: got.Agreement.From, By: got.By, Question: got.Question.String(), Outcome: got.Outcome, Held: got.Held, Records: []RecordReply{},
		Answer: string(got.Event), Entry: got.Index, Size: got.Checkpoint.Size, Root: got.Checkpoint.Root.String(), Receipt: got.Receipt,
	}
	proof := "log"
	if got.By != got.Agreement.From {
		proof = "signature" // in a footprint's log nobody signs for what its members bring
	}
	for _, r := range got.Records {
		v := r.View
		out.Records = append(out.Records, RecordReply{
			Council: v.Council, Record: v.Record, Standard: v.Standard, Version: v.Version, Op: "put", Index: r.Index,
			IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Agreement: a, Withheld: v.Withheld, Disclosed: v.Disclosed,
			Body: json.RawMessage(strictjson.Canonical(v.Body)), Token: string(r.Token.Bytes()), Proof: proof,
		})
	}
	return out, nil
}

// network returns the network while the node runs, else nil.
func (n *Node) network() wire.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.net
}

// questions returns what asking and answering works with.
func (n *Node) questions() question.Options {
	return question.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Keys: n.keys, Directory: n.directory, Judge: n.judge, Agreements: n.book, Footprints: n.replicas,
		PerDay: func() int { return n.cfg.Limits.QuestionsPerDay }, PerHour: func() int { return n.cfg.Limits.QuestionsPerHour }, Log: n.log, Now: n.now, Quota: n.quota, Random: rand.Reader,
		Tell: func(ctx context.Context, v *ledger.View, doc *agreement.Agreement, asker name.Council, records []name.Record) ([]event.Told, uint64, error) {
			return n.register.Tell(ctx, v, doc, asker, records)
		},
		Refused: func(from name.Council, code string, a name.Agreement) {
			n.refusals.Note(from, event.RefusedQuestion, code, a)
		},
	}
}

func (n *Node) listQuestions(ctx context.Context, in LookupListRequest) ([]QuestionReply, error) {
	if in.Limit <= 0 {
		in.Limit = 100
	}
	out := []QuestionReply{}
	err := n.ledger.View(func(v *ledger.View) error {
		all, err := question.List(v, n.cfg.Council, name.Agreement(in.Agreement))
		for _, q := range all[max(0, len(all)-in.Limit):] {
			r := QuestionReply{
				At: q.At, Direction: "answered", Agreement: q.Agreement, Partner: q.Partner, For: q.For, Question: q.ID.String(),
				Field: string(q.Field), By: q.By, Because: q.Because, Case: q.Case, Outcome: q.Outcome, Records: q.Records, Entry: q.Index, Receipt: q.Receipt,
			}
			if q.Ours {
				r.Direction = "asked"
			}
			out = append(out, r)
		}
		return err
	})
	return out, err
}
