package publiclog

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
)

// Witnesses returns the witnesses of the policy that are asked over HTTP.
func (p *Publisher) Witnesses() (out []tlog.PolicyWitness) {
	if p.o.Policy == nil {
		return nil
	}
	for _, w := range p.o.Policy.Witnesses {
		if w.URL != "" {
			out = append(out, w)
		}
	}
	return out
}

// Knows asks a witness over HTTP which size of our log it has cosigned, 0 for none, and
// whether what it has is no part of the log that stands here. It is as much as
// c2sp.org/tlog-witness lets one ask: the witness is sent the checkpoint that stands here,
// which was signed before or is of no entries, as if it were to be cosigned; one that has seen more answers 409
// with the size. That size is the witness's word: with it comes no checkpoint signed by
// us. Nothing is signed for it. An error is that the witness gave no answer.
func (p *Publisher) Knows(ctx context.Context, w tlog.PolicyWitness) (size uint64, fork bool, err error) {
	var cp tlog.Checkpoint
	var signed []byte
	if err := p.o.Ledger.View(func(v *ledger.View) error { cp, signed = v.Checkpoint(); return nil }); err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	g := &gathering{p: p, cp: cp, note: signed, news: make(chan struct{}, 1)}
	old := cp.Size
	for range 3 {
		_, its, err := g.post(ctx, w, old)
		switch {
		case err == nil:
			return old, false, nil
		case errors.Is(err, errUnknownLog), errors.Is(err, errNothingSeen):
			return 0, false, nil
		case errors.Is(err, errOtherHistory), errors.Is(err, errProof):
			return old, true, nil
		case !errors.Is(err, errOtherSize):
			return 0, false, err
		case its > cp.Size || its == 0:
			return its, false, nil
		}
		// It has seen less: that this is a part of our log the next answer says.
		old = its
	}
	return 0, false, errors.New("it names another size each time it is asked")
}
