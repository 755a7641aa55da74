package node

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// auditAgreement counts again, from our own records, what an agreement of ours permitted
// at each size of our log at which we committed to it.
func (n *Node) auditAgreement(ctx context.Context, in AuditRequest) (*AuditReply, error) {
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	texts := n.book.Texts(a, n.now())
	switch {
	case len(texts) == 0:
		return nil, fail(NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
	case texts[0].Agreement.From != n.cfg.Council:
		return nil, fail(Refused, "run it there: what may be sent is seen in the records of who sends", "%s is of %s, whose records are not here", a, texts[0].Agreement.From)
	}
	run := audit.RunOf{Agreement: a, All: in.All, Standards: n.ledger.Standards()}
	for _, st := range texts {
		run.Texts = append(run.Texts, st.Agreement)
	}
	var out *AuditReply
	err = n.ledger.View(func(v *ledger.View) (err error) {
		run.Walk = func(ctx context.Context, f func(audit.Walked) error) error {
			return v.Whole(ctx, func(index uint64, token []byte, erased name.Record) error {
				return f(audit.Walked{Index: index, Token: token, Record: erased})
			})
		}
		out, err = audit.Run(ctx, run)
		return err
	})
	if errors.Is(err, ledger.ErrDamaged) {
		return nil, fail(Unverified, "stile doctor", "count again: %v", err)
	}
	if err != nil {
		return nil, err
	}
	if len(out.Checkpoints) == 0 {
		return nil, fail(NotFound, "stile agreement checkpoint "+string(a), "our log commits to nothing under %s yet", a)
	}
	return out, nil
}
