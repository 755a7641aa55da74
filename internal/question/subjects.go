package question

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// When a person asks a council who was given their records, it asks its partners what they
// hold of those that went between them, and to whom they gave them. It asks by the ids of
// records, which both know: neither a number nor a value of the person travels, and a
// partner learns of no record that it has not sent or received.

// maySubjects reports whether one party of an agreement may ask another about records
// that went under it. A footprint is not asked, and does not ask: its members are parties
// of agreements of their own.
func (o *Options) maySubjects(doc *agreement.Agreement, from, to name.Council) bool {
	return from != to && doc.Party(from) && doc.Party(to) && !o.Footprints.Is(from) && !o.Footprints.Is(to)
}

// A SubjectRequest is what is to be asked of a partner for a person.
type SubjectRequest struct {
	Agreement name.Agreement
	To        name.Council
	Records   []name.Record // that went under the agreement; at most event.MaxSubjects
	Because   string        // why, in words that both councils log
}

// Subject asks a party of an agreement what it holds of some records, and to whom it gave
// them. net is nil when the node does not run. An error is an *[api.Error] when it can be
// shown; one of a partner whose agreement does not say that such questions are answered is
// made here, and nothing is logged or sent.
func (k *Asker) Subject(ctx context.Context, net wire.Network, r SubjectRequest) (*Answer, error) {
	st, ok := k.o.Agreements.Status(r.Agreement, k.o.Now())
	show := "stile agreement show " + string(r.Agreement)
	if !ok {
		return nil, api.Fail(api.NotFound, "stile agreement list", "no agreement named %s was proposed here", r.Agreement)
	}
	doc := st.Agreement
	switch {
	case !st.InForce():
		return nil, api.Fail(api.Refused, show, "%s is not in force: %s", r.Agreement, st.Why)
	case k.o.Footprints.Is(r.To):
		return nil, api.Fail(api.Refused, show, "%s is a footprint: ask its members at the contacts that the agreement names", r.To)
	case !k.o.maySubjects(doc, k.o.Self, r.To):
		return nil, api.Fail(api.Refused, show, "%s does not answer %s under %s", r.To, k.o.Self, r.Agreement)
	case !doc.AnswersSubjects():
		return nil, api.Fail(api.Refused, "agree on subject_questions in a new version, or ask at the contact that the agreement names",
			"%s does not say that questions about a person are answered", r.Agreement)
	}
	if err := checkReason(r.Because); err != nil {
		return nil, api.Fail(api.Usage, "--because \"case reference\"", "say why it is asked, which both councils log: %v", err)
	}
	if err := k.o.Directory.Exchange(k.o.Now()); err != nil {
		return nil, api.Fail(api.Refused, "stile directory status", "%v", err)
	}
	q := &ledger.Question{By: k.o.Self, To: r.To, Because: r.Because, Text: doc.Digest(), Subjects: slices.Clone(r.Records)}
	slices.Sort(q.Subjects)
	if q.Subjects = slices.Compact(q.Subjects); len(q.Subjects) == 0 || len(q.Subjects) > event.MaxSubjects {
		return nil, api.Fail(api.Usage, "", "a question is about 1 to %d records", event.MaxSubjects)
	}
	if _, err := io.ReadFull(k.o.Random, q.ID[:]); err != nil {
		return nil, err
	}
	return k.ask(ctx, net, &Posed{doc: doc, q: q})
}

// toldFault says what no honest council tells in an answer about some records; "" for
// nothing.
func (p *Posed) toldFault(a event.Answer) string {
	for _, t := range a.Told {
		if !slices.Contains(p.q.Subjects, t.Record) {
			return "it tells of a record that was not asked about"
		}
		if t.To != "" && strings.ContainsFunc(t.Way, func(r rune) bool { return r < 'a' || r > 'z' }) {
			return "it tells of a way in which nothing is given"
		}
	}
	return ""
}

// readSubjects reads a question about records. Nothing is looked for.
func (w *Answerer) readSubjects(doc *agreement.Agreement, q *ledger.Question, asked event.Question, in *wirepb.Question) error {
	switch {
	case !doc.AnswersSubjects() || w.o.Tell == nil:
		return refuse(codeSubjects, "the agreement does not say that questions about a person are answered")
	case in.GetValue() != "" || len(in.GetHidden()) > 0 || len(in.GetFactor()) > 0 || in.GetBits() != 0:
		return refuse(codeQuestion, "a question about records has no value")
	}
	q.Subjects, q.To = asked.Subjects, asked.To
	return nil
}

// subjects answers a charged question about records.
func (w *Answerer) subjects(ctx context.Context, doc *agreement.Agreement, q *ledger.Question, before *uint64, seen uint64) (*wirepb.Answer, *LoggedAnswer, error) {
	a, err := w.o.Ledger.AnswerTold(ctx, doc, q, before, func(v *ledger.View) ([]event.Told, uint64, error) {
		return w.o.Tell(ctx, v, doc, q.By, q.Subjects)
	})
	if err != nil {
		return nil, nil, err
	}
	return w.message(a, seen)
}
