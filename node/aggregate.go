package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/node/name"
)

func (n *Node) aggregate(ctx context.Context, in AggregateRequest) (*AggregateReply, error) {
	by, err := fieldsOf(in.By, "--by /district,/status")
	if err != nil {
		return nil, err
	}
	sums, err := fieldsOf(in.Sum, "--sum /amount")
	if err != nil {
		return nil, err
	}
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	got, err := n.asker.Count(ctx, n.network(), question.Request{Agreement: a, By: by, Sum: sums, Because: in.Because, Question: in.Question})
	if err != nil {
		return nil, err
	}
	c := got.Counts
	out := &AggregateReply{
		Agreement: a, From: got.Agreement.From, By: got.By, Groups: []Group{}, Question: got.Question.String(), Day: string(c.Day), Fields: append([]name.Field{}, by...), Total: c.Total,
		Sums: sums, Threshold: c.Threshold, Spent: c.Budget.Spent, Budget: c.Budget.Of, Rounded: c.Rounded, Counts: string(got.Token), Answer: string(got.Event),
		Entry: got.Index, Size: got.Checkpoint.Size, Root: got.Checkpoint.Root.String(), Receipt: got.Receipt,
		Checkpoint: string(got.Proof.Checkpoint), AnswerEntry: got.Proof.Answer, Inclusion: got.Proof.Inclusion,
	}
	for _, g := range c.Groups {
		out.Groups = append(out.Groups, Group{Of: g.Of, Count: g.Count, Sums: g.Sums})
	}
	return out, nil
}

// fieldsOf reads the fields of a request.
func fieldsOf(list []string, try string) (out []name.Field, err error) {
	for _, s := range list {
		f, err := name.ParseField(s)
		if err != nil {
			return nil, fail(Usage, try, "%v", err)
		}
		out = append(out, f)
	}
	return out, nil
}
