package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// LogQuestion logs that we are about to ask, and returns the signed event once that
// is durable. A question that was logged before is returned as it was, if it says the
// same; else the error is ErrAnotherQuestion.
func (l *Ledger) LogQuestion(ctx context.Context, q event.Question) (jws []byte, err error) {
	body, key := q.Body(), questionKey(l.o.Council, q.ID)
	var p *pending
	var before Answered
	err = l.do(ctx, false, func(t *tx) error {
		p, before = nil, Answered{}
		b, err := t.lookup(key)
		if err == nil {
			return unmarshal(b, &before)
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		p = t.event(event.KindQuestion, body)
		b, err = marshal(Answered{Index: &p.index})
		t.set(key, b)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("log question: %w", err)
	case p != nil:
		return p.token.Bytes(), nil
	}
	err = l.View(func(v *View) error {
		if before.Index == nil {
			return ErrAnotherQuestion // somebody else's under our name: never
		}
		ev, b, err := v.Event(*before.Index)
		if err == nil && !bytes.Equal(strictjson.Canonical(ev.Body), strictjson.Canonical(body)) {
			err = ErrAnotherQuestion
		}
		jws = bytes.Clone(b)
		return err
	})
	return jws, err
}

// LogReceipt logs what we were answered to a question of ours, and returns the signed
// event. What was logged before is returned as it was.
func (l *Ledger) LogReceipt(ctx context.Context, r event.AnswerReceipt) (jws []byte, err error) {
	key := questionKey(l.o.Council, r.ID)
	var p *pending
	var a Answered
	err = l.do(ctx, false, func(t *tx) error {
		p, a = nil, Answered{}
		b, err := t.lookup(key)
		if err == nil {
			err = unmarshal(b, &a)
		}
		if err != nil || a.ReceiptIndex != 0 {
			return err
		}
		p = t.event(event.KindAnswerReceipt, r.Body())
		a.ReceiptIndex = p.index
		b, err = marshal(a)
		t.set(key, b)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("log receipt: %w", err)
	case p != nil:
		return p.token.Bytes(), nil
	}
	err = l.View(func(v *View) error {
		_, b, err := v.Event(a.ReceiptIndex)
		jws = bytes.Clone(b)
		return err
	})
	return jws, err
}
