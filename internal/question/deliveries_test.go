package question_test

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// fens knows of one footprint, that of a World.
type fens struct{ noFootprints }

func (fens) Is(c name.Council) bool { return c == judgetest.Fens }
func (fens) Members(c name.Council) []name.Council {
	if c != judgetest.Fens {
		return nil
	}
	return []name.Council{judgetest.Third, judgetest.Other, judgetest.Sender}
}

// An asked is one question with the answer to it.
type asked struct {
	posed  *question.Posed
	answer *wirepb.Answer
}

// asking returns an asker to whom every entry comes in an answer that is itself good:
// signed by who answers, of the question and, but of a footprint, logged and proved.
// What was answered before is sent again as the answer to another question.
func asking(t *testing.T, w *judgetest.World) judgetest.Give {
	var last *judgetest.Log
	l, err := ledger.Open(ledger.Options{Council: judgetest.Receiver, Keys: w.Rings[judgetest.Receiver], InMemory: true, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Adopt(t.Context(), w.Standard); err != nil {
		t.Fatal(err)
	}
	book := &council{t: t, status: map[name.Agreement]agreement.Status{}, changed: make(chan struct{}), waits: make(chan struct{}, 1)}
	book.stands(w.Doc, agreement.InForce, "")
	k := question.NewAsker(question.Options{Random: rand.Reader,
		Self: judgetest.Receiver, Ledger: l, Keys: w.Rings[judgetest.Receiver], Directory: w.Directory, Agreements: book, Footprints: fens{},
		Judge: judge.New(judge.Options{
			Directory: w.Directory, Ledger: l, Standards: l.Standard, Now: w.Now, Prove: w.Prove(func() *judgetest.Log { return last }),
		}),
		PerDay: func() int { return 50 }, Log: slog.New(slog.DiscardHandler), Now: w.Now,
	})
	by := w.Doc.From
	if w.Shared {
		by = judgetest.Other
	}
	sent := map[*judgetest.Sent]*asked{}
	return func(s *judgetest.Sent) judgetest.Verdict {
		last = s.Log
		a := sent[s]
		if a == nil {
			a = &asked{}
			sent[s] = a
		}
		if a.posed == nil {
			a.posed, err = k.PoseAs(t.Context(), w.Doc.Mode, request(w, s), nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		seen := l.Known(w.Doc.From).Size
		if a.answer == nil {
			a.answer = answer(w, a.posed, by, s)
			a.answer.Consistency = s.Log.Consistency(seen)
		}
		switch err := k.Check(t.Context(), by, a.posed, seen, a.answer); {
		case err == nil:
			a.posed = nil // the next is another question
			return judgetest.Kept
		case errors.Is(err, judge.ErrLied), errors.Is(err, ledger.ErrQuarantined):
			return judgetest.Denied
		case errors.Is(err, judge.ErrWait), errorKind(err) == api.Unverified: // the other members are asked
			return judgetest.Waits
		default:
			t.Fatal(err)
		}
		return ""
	}
}

func errorKind(err error) api.Kind {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Kind
	}
	return ""
}

// request asks for the record that will be answered, or for counts.
func request(w *judgetest.World, s *judgetest.Sent) question.Request {
	r := question.Request{Agreement: w.Doc.Name, Because: "case 1"}
	if w.Doc.Way().Answers == agreement.AnswersCounts {
		r.By = []name.Field{"/ward"}
		return r
	}
	r.Field, r.Value = "/reference", "A/1"
	if view := viewOf(s.Token); view != nil {
		if ref, ok := view.Body["reference"].(string); ok {
			r.Value = ref
		}
	}
	return r
}

func viewOf(token []byte) *record.View {
	t, err := record.Parse(token)
	if err != nil {
		return nil
	}
	view, err := t.View()
	if err != nil {
		return nil
	}
	return view
}

// answer makes the answer that an entry comes in.
func answer(w *judgetest.World, p *question.Posed, by name.Council, s *judgetest.Sent) *wirepb.Answer {
	reply := p.Reply()
	reply.Size = s.Log.Size()
	a := &wirepb.Answer{Footprint: w.Shared}
	if e := (&wirepb.Entry{Index: s.Index, Token: s.Token}); w.Doc.Way().Answers == agreement.AnswersCounts {
		a.Counts, reply.Outcome, reply.Counts = e, event.OutcomeCounted, s.Index
	} else {
		id := w.Record("A/1")
		if view := viewOf(s.Token); view != nil {
			id = view.Record
		}
		a.Entries, reply.Outcome, reply.Records, reply.Entries = []*wirepb.Entry{e}, event.OutcomeFound, []name.Record{id}, []uint64{s.Index}
	}
	if w.Shared {
		reply.Footprint = w.Doc.From
		own := w.NewLog(by)
		a.Event = w.Event(own, by, w.Rings[by], event.KindAnswer, reply.Body()).Token
		a.Checkpoint, a.Inclusion = s.Log.Checkpoint(), s.Log.Inclusion(s.Index)
		return a
	}
	said := w.Event(s.Log, by, w.Second, event.KindAnswer, reply.Body())
	a.Event, a.Index, a.Checkpoint, a.Inclusion = said.Token, said.Index, s.Log.Checkpoint(), s.Log.Inclusion(s.Index, said.Index)
	return a
}

const (
	keepsNothing = "an asker keeps nothing of what it was answered, so that there is nothing to compare it with"
	noEvent      = "no event is ever an answer to a lookup"
)

var notOfLookups = map[string]string{
	"an old version": keepsNothing, "another version of the same number": keepsNothing, "an earlier version after its withdrawal": keepsNothing,
	"the same version, let out again after its withdrawal": keepsNothing,

	"an honest withdrawal": noEvent, "a withdrawal with an unknown key that comes later": noEvent, "a withdrawal under another agreement": noEvent,
	"replay of a withdrawal": noEvent,
}

// TestLookups: the record that is answered, by a council and by a footprint's member.
func TestLookups(t *testing.T) {
	judgetest.Run(t, judgetest.Path{Mode: agreement.Lookup, New: asking, Skip: notOfLookups})
	judgetest.Run(t, judgetest.Path{Mode: agreement.Lookup, Shared: true, New: asking, Skip: notOfLookups})
}

// TestCounts: the counts that are answered.
func TestCounts(t *testing.T) {
	judgetest.Run(t, judgetest.Path{Mode: agreement.Aggregate, Events: true, New: asking})
}
