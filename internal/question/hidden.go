package question

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/blind"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement whose way is Hidden a value is asked about in two questions. The
// first hides it: who answers compares it with all values of an index, or of a named
// part of it, without learning which it is or whether it is there. The asker alone
// sees that. The second, if there is one, says the value and is answered like any
// other, once it is seen to be the same.

// showWithin is how long after the question that hid a value it can be asked to be
// shown the record.
const showWithin = 24 * time.Hour

// readHidden reads a question under an agreement whose way is Hidden.
func (w *Answerer) readHidden(doc *agreement.Agreement, q *ledger.Question, asked event.Question, in *wirepb.Question) error {
	if w.o.Footprints.Is(doc.From) {
		return refuse(codeNotAgreed, "a footprint does not answer questions that hide their value")
	}
	if asked.Case == "" || checkCase(asked.Case) != nil {
		return refuse(codeQuestion, "a question under this agreement gives a case reference")
	}
	if !doc.MayAskBy(asked.Field) {
		return refuse(codeField, "the agreement lets you ask by %s", FieldWords(doc.Match))
	}
	q.Asked.Field = asked.Field
	if asked.After != (event.QuestionID{}) {
		return w.readShow(doc, q, asked, in)
	}
	hidden := in.GetHidden()
	if in.GetValue() != "" || len(in.GetFactor()) > 0 || !blind.Valid(hidden) || asked.Hidden != tlog.Hash(blind.Sum(hidden)) {
		return refuse(codeQuestion, "the question does not hide its value, or another than it was signed for")
	}
	f, err := w.o.Ledger.Feed(doc.Name, doc.Digest())
	if err != nil || !f.Ready {
		return refuse(codeNotReady, "the agreement's index is being made")
	}
	// Before it is charged, and by the number of records alone.
	if need := f.BitsFor(); int(in.GetBits()) < need {
		return &refusal{codeNarrow, fmt.Sprintf("there are so many records that %d bits of the bucket must be told", need), need}
	}
	q.Hidden, q.Bits, q.Bucket = hidden, int(in.GetBits()), byte(in.GetBucket())
	return nil
}

// readShow reads the question to be shown the record that an earlier one asked about
// without saying so.
func (w *Answerer) readShow(doc *agreement.Agreement, q *ledger.Question, asked event.Question, in *wirepb.Question) error {
	other := refuse(codeQuestion, "it does not follow a question of today that hid this value")
	if in.GetValue() == "" || len(in.GetHidden()) > 0 {
		return other
	}
	q.Asked.Value = in.GetValue()
	return w.o.Ledger.View(func(v *ledger.View) error {
		before, err := v.Answered(q.By, asked.After)
		if errors.Is(err, ledger.ErrNotFound) || err == nil && before.Index == nil {
			return other
		}
		if err != nil {
			return err
		}
		ev, _, err := v.Event(*before.Index)
		if err != nil {
			return err
		}
		first, err := event.ParseAnswer(ev.Body)
		if err != nil {
			return err
		}
		text := doc.Digest()
		switch {
		case first.Outcome != event.OutcomeCompared, first.Agreement != doc.Name, first.Version != uint64(doc.Version),
			first.Field != asked.Field, first.Case != asked.Case, first.For != asked.For,
			w.o.Now().Sub(time.Unix(ev.IssuedAt, 0)) > showWithin,
			!blind.Opens(first.Hidden, text[:], asked.Field, in.GetValue(), in.GetFactor()):
			return other
		}
		return nil
	})
}

// hide makes a question that hides its value, told apart by nothing from one with
// another.
func (k *Asker) hide(p *Posed) (err error) {
	text := p.doc.Digest()
	if p.hidden, err = blind.Hide(k.o.Random, text[:], p.q.Asked.Field, p.q.Asked.Value); err == nil {
		p.q.Hidden = p.hidden.Element()
	}
	return err
}

// narrow has a question tell the bits of its bucket that are needed, at most
// ledger.MaxBits. It reports whether there are more than before.
func (p *Posed) narrow(bits int) bool {
	if p.q.Hidden == nil || bits <= p.q.Bits || bits > ledger.MaxBits {
		return false
	}
	text := p.doc.Digest()
	p.q.Bits, p.q.Bucket = bits, blind.Bucket(text[:], p.q.Asked.Field, p.q.Asked.Value)>>(8-bits)
	return true
}

// checkCompared checks the answer to a hidden value and says whether there is a record
// with it, which nobody else learns.
func (p *Posed) checkCompared(a *wirepb.Answer, c *event.Compared) (held bool, err error) {
	labels := a.GetLabels()
	if c == nil || uint64(len(labels)/blind.LabelSize) != c.Labels || sha256.Sum256(labels) != c.Digest {
		return false, lied("it sent other labels than its answer says")
	}
	mine, err := p.hidden.Label(c.Key[:], a.GetEvaluated(), a.GetProof())
	if err != nil {
		return false, lied(err.Error())
	}
	for i := 0; i < len(labels); i += blind.LabelSize {
		held = held || blind.Label(labels[i:i+blind.LabelSize]) == mine
	}
	return held, nil
}

// lookupHidden asks whether there is a record with a value, without saying so, and to
// be shown it if there is one and the request wants that.
func (k *Asker) lookupHidden(ctx context.Context, net wire.Network, p *Posed, r Request) (*Answer, error) {
	first, err := k.ask(ctx, net, p)
	if err != nil {
		return nil, err
	}
	if !first.Held {
		return nil, api.Fail(api.NotFound, "look at the value again: it must be written as the other council writes it",
			"%s has no record that may be asked for under %s by this %s. It does not know whom you asked about; that a question was asked is logged on both sides", p.doc.From, r.Agreement, r.Field)
	}
	if !r.Show {
		return first, nil
	}
	r.Question = ""
	doc, q, err := k.newQuestion(agreement.AnswersRecords, r)
	if err != nil {
		return nil, err
	}
	if doc.Digest() != p.doc.Digest() {
		return nil, api.Fail(api.Refused, "ask again", "the agreement was changed between the two questions")
	}
	q.Asked, q.After = p.q.Asked, p.q.ID
	got, err := k.ask(ctx, net, &Posed{doc: doc, q: q, factor: p.hidden.Factor()})
	if err != nil {
		return nil, err
	}
	got.Held = true
	switch got.Outcome {
	case event.OutcomeNothing:
		// It gave this value a label, which it can do for any that it guesses.
		why := fmt.Sprintf("%s said of a value that it has a record with it, in its answer to question %s, and then that it has none (question %s)", doc.From, p.q.ID, q.ID)
		k.o.Log.Error("two answers that do not go together", "from", doc.From, "agreement", doc.Name, "question", p.q.ID.String(), "then", q.ID.String())
		k.keepFalseAnswer(ctx, doc.From, doc, lied("it has a record, and then none"))
		return nil, api.Fail(api.Unverified, "ask "+string(doc.From)+" what became of it: a record that was changed in between explains it, and both signed answers are kept", "%s", why)
	case event.OutcomeTooMany:
		return nil, tooMany(doc.From, r.Field)
	}
	return got, nil
}

// tooMany says that more records than may be told of have a value.
func tooMany(from name.Council, f name.Field) error {
	return api.Fail(api.Refused, "ask by a field that one record has alone", "too many records of %s have this %s, more than %d: none is shown; the question is logged on both sides", from, f, event.MaxFound)
}

// message returns a question as it goes to a council.
func (p *Posed) message(seen uint64) *wirepb.Question {
	digest := p.doc.Digest()
	m := &wirepb.Question{Version: wirepb.LookupVersion, AgreementDigest: digest[:], Event: p.q.Event, TreeSize: seen, Factor: p.factor}
	if p.q.Hidden == nil {
		m.Value = p.q.Asked.Value
	} else {
		m.Hidden, m.Bits, m.Bucket = p.q.Hidden, uint32(p.q.Bits), uint32(p.q.Bucket)
	}
	return m
}
