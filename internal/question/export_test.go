package question

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// PoseAs is Pose with change altering what the signed event says, and by without a
// look at what may be counted by.
func (k *Asker) PoseAs(ctx context.Context, mode agreement.Mode, r Request, change func(*event.Question)) (*Posed, error) {
	doc, q, err := k.newQuestion(mode.Way().Answers, r)
	if err != nil {
		return nil, err
	}
	q.Asked, q.Groups = agreement.Asked{Field: r.Field, Value: r.Value}, r.By
	p := &Posed{doc: doc, q: q}
	content := q.Content(doc)
	if change != nil {
		change(&content)
	}
	return p, k.sign(ctx, p, content)
}

// Reply returns what an answer says of a question.
func (p *Posed) Reply() event.Answer { return p.q.Reply(p.doc) }

// another returns a question as it would be charged under an id of its own.
func another(ctx context.Context, l *ledger.Ledger, p *Posed) (*ledger.Question, error) {
	q := *p.q
	q.PerDay = 1 << 30
	if _, err := rand.Read(q.ID[:]); err != nil {
		return nil, err
	}
	_, err := l.Charge(ctx, &q)
	return &q, err
}

// Lie answers a question with any records, all fields of which keep lets out, and
// with a signed, logged and proved event that says what change makes of it.
func (w *Answerer) Lie(ctx context.Context, p *Posed, keep func(pointer string, shell bool) bool, records []name.Record, change func(*event.Answer)) (*wirepb.Answer, error) {
	l := w.o.Ledger
	q, err := another(ctx, l, p)
	if err != nil {
		return nil, err
	}
	reply := p.q.Reply(p.doc)
	out := &wirepb.Answer{}
	var found []*ledger.Version
	err = l.View(func(v *ledger.View) error {
		for _, r := range records {
			ver, err := v.Current(r)
			if err != nil {
				return err
			}
			found = append(found, ver)
		}
		slices.SortFunc(found, func(a, b *ledger.Version) int { return cmp.Compare(a.Index, b.Index) })
		cp, _ := v.Checkpoint()
		reply.Result = event.Result{Outcome: event.OutcomeNothing, Size: cp.Size, Root: cp.Root}
		for _, ver := range found {
			reply.Outcome, reply.Records, reply.Entries = event.OutcomeFound, append(reply.Records, ver.Claims.Record), append(reply.Entries, ver.Index)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(&reply)
	}
	var indexes []uint64
	for _, ver := range found {
		t, err := ver.Token.Present(keep)
		if err != nil {
			return nil, err
		}
		out.Entries, indexes = append(out.Entries, &wirepb.Entry{Index: ver.Index, Token: t.Bytes()}), append(indexes, ver.Index)
	}
	if out.Index, _, err = l.LogAnswer(ctx, q, reply); err != nil {
		return nil, err
	}
	return out, l.View(func(v *ledger.View) error {
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

// LieCounts answers a question with counts that say what change makes of one group
// of fifteen, signed, logged and proved.
func (w *Answerer) LieCounts(ctx context.Context, p *Posed, change func(c *agreement.Counts)) (*wirepb.Answer, error) {
	l := w.o.Ledger
	q, err := another(ctx, l, p)
	if err != nil {
		return nil, err
	}
	district := "A"
	c := agreement.Counts{
		Agreement: p.doc.Name, Version: p.doc.Version, Day: agreement.Date(w.o.Now().UTC().Format("2006-01-02")), By: p.q.Groups,
		Threshold: agreement.CountThreshold, Rounded: agreement.CountRounding, Groups: []agreement.Group{{Of: []*string{&district}, Count: 15}}, Total: 15,
	}
	if change != nil {
		change(&c)
	}
	index, _, err := l.AppendNotice(ctx, event.KindCounts, c.Body())
	if err != nil {
		return nil, err
	}
	a, err := l.AnswerCounts(ctx, p.doc, q, index, p.q.Reply(p.doc))
	if err != nil {
		return nil, err
	}
	out, _, err := w.message(a, 0)
	return out, err
}

// Narrow has a question tell more bits of its bucket, if it may.
func (p *Posed) Narrow(bits int) bool { return p.narrow(bits) }

// PoseShow logs a question that follows one which hid its value, or says so of an id.
func (k *Asker) PoseShow(ctx context.Context, first *Posed, r Request, value string, after *event.QuestionID) (*Posed, error) {
	doc, q, err := k.newQuestion(agreement.AnswersRecords, r)
	if err != nil {
		return nil, err
	}
	q.Asked, q.After = agreement.Asked{Field: r.Field, Value: value}, first.q.ID
	if after != nil {
		q.After = *after
	}
	p := &Posed{doc: doc, q: q, factor: first.hidden.Factor()}
	return p, k.sign(ctx, p, q.Content(doc))
}

// PoseSubjects logs a question about records, without a look at whether it may be asked.
func (k *Asker) PoseSubjects(ctx context.Context, doc *agreement.Agreement, r SubjectRequest) (*Posed, error) {
	q := &ledger.Question{By: k.o.Self, To: r.To, Because: r.Because, Text: doc.Digest(), Subjects: r.Records}
	if _, err := rand.Read(q.ID[:]); err != nil {
		return nil, err
	}
	p := &Posed{doc: doc, q: q}
	return p, k.sign(ctx, p, q.Content(doc))
}
