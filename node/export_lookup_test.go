package node

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Pose logs a question without asking it.
func (n *Node) Pose(ctx context.Context, in LookupRequest) (*question.Posed, error) {
	return n.asker.Pose(ctx, agreement.Lookup, question.Request{
		Agreement: name.Agreement(in.Agreement), Field: name.Field(in.Field), Value: in.Value, Because: in.Because,
	})
}

// AnswerQuestion answers as a stream of the council would be answered; code says
// why not.
func (n *Node) AnswerQuestion(ctx context.Context, from name.Council, p *question.Posed) (a *wirepb.Answer, code string) {
	a, _ = n.answerer.Answer(ctx, from, p.Message(0))
	return a, a.GetCode()
}

// JudgeAnswerBy checks an answer as one that came from a council.
func (n *Node) JudgeAnswerBy(by name.Council, p *question.Posed, a *wirepb.Answer) error {
	return n.asker.Check(context.Background(), by, p, 0, proto.Clone(a).(*wirepb.Answer))
}
