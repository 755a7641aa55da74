package question

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// An Answerer answers questions of other councils, from our ledger and from our
// replicas of footprints. Its methods may be called concurrently.
type Answerer struct {
	o Options

	mu      sync.Mutex // guards what follows
	indexes map[*footprint.Footprint]*indexes
}

// NewAnswerer returns an Answerer.
func NewAnswerer(o Options) *Answerer {
	return &Answerer{o: o, indexes: map[*footprint.Footprint]*indexes{}}
}

// Timing of /stile/lookup/1.
const (
	questionWithin = 30 * time.Second // the question, and the receipt
	answerWithin   = 30 * time.Second // the answer, once it is there
	countWithin    = 10 * time.Minute // counting reads all records of an agreement
)

// Codes of a refusal of a question. The reason beside it is for people.
const (
	codeVersion      = "protocol-version"
	codeDirectory    = "directory"
	codeNotAgreed    = "not-agreed" // no such agreement with you; also said when there is one with somebody else
	codeNotInForce   = "not-in-force"
	codeOtherVersion = "other-version"
	codeQuestion     = "question" // the signed question does not hold
	codeField        = "field"    // the agreement does not let you ask by that
	codeBound        = "too-often"
	codeChanged      = "changed"
	codeNotReady     = "not-ready"
	codeLarge        = "too-many-groups"
	codeQuarantine   = "quarantine"  // all exchange with you is stopped
	codeElsewhere    = "ask-another" // a footprint's member that does not answer this question
	codeNarrow       = "narrow"      // a hidden value must tell more of its bucket
	codeSecond       = "second-opinion"
	codeSubjects     = "subject-questions" // the agreement does not say that they are answered
)

// A refusal is why a question is not answered, as the asker is told.
type refusal struct {
	code, reason string
	bits         int // of codeNarrow
}

func (r *refusal) Error() string { return r.reason }

func refuse(code, format string, a ...any) error {
	return &refusal{code: code, reason: fmt.Sprintf(format, a...)}
}

// Serve answers one stream of /stile/lookup/1: one question, one answer, and the
// receipt for it. It closes the stream.
func (w *Answerer) Serve(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	in, out := bufio.NewReader(st), bufio.NewWriter(st)
	st.SetDeadline(w.o.Now().Add(questionWithin))
	q, err := wirepb.ReadQuestion(in)
	if err != nil {
		w.o.Log.Warn("question refused", "from", from, "because", "it cannot be read")
		st.Reset()
		return
	}
	st.SetDeadline(time.Time{})
	answer, logged := w.Answer(ctx, from, q)
	st.SetDeadline(w.o.Now().Add(answerWithin))
	if err := wirepb.WriteAnswer(out, answer); err != nil {
		st.Reset()
		return
	}
	if answer.GetCode() != "" {
		st.CloseWrite()
		return
	}
	st.SetDeadline(w.o.Now().Add(questionWithin))
	r, err := wirepb.ReadReceipt(in)
	if err == nil {
		err = w.keepReceipt(ctx, from, logged, r.GetEvent())
	}
	if err != nil {
		// That it was sent stands in our log; that it came does not.
		w.o.Log.Info("an answer without a receipt", "to", from, "question", logged.ID.String(), "because", err.Error())
		st.Reset()
	}
}

// A LoggedAnswer is an answer as it stands in our log.
type LoggedAnswer struct {
	event.Answer
	Entry tlog.Hash // of its event
}

// Answer answers a question that came from a council. A question that is not
// answered has an answer with a code and a reason, and logged is nil.
func (w *Answerer) Answer(ctx context.Context, from name.Council, in *wirepb.Question) (out *wirepb.Answer, logged *LoggedAnswer) {
	out, logged, err := w.answer(ctx, from, in)
	if err == nil {
		w.o.Log.Info("question answered", "from", from, "agreement", logged.Agreement, "question", logged.ID.String(), "outcome", logged.Outcome)
		return out, logged
	}
	r := &refusal{code: codeNotReady, reason: "it cannot be answered here now"}
	if errors.As(err, &r) {
		if r.code == codeBound {
			w.o.Quota.Refuse(from, quota.Questions, 1)
		}
		w.o.Log.Info("question refused", "from", from, "because", r.code)
		w.refused(from, r.code, in)
	} else {
		w.o.Log.Error("question not answered", "from", from, "error", err.Error())
	}
	return &wirepb.Answer{Code: r.code, Reason: r.reason, Bits: uint32(r.bits)}, nil
}

// refused tells of a refusal that has to do with the asker, and not with our node.
func (w *Answerer) refused(from name.Council, code string, in *wirepb.Question) {
	if w.o.Refused == nil || code == codeNotReady || code == codeSecond || code == codeVersion || code == codeElsewhere || code == codeNarrow {
		return
	}
	var of name.Agreement
	switch code {
	case codeNotInForce, codeOtherVersion, codeField, codeSubjects, codeBound, codeChanged, codeLarge: // it is with the asker
		if _, ev, err := record.ParseEvent(in.GetEvent()); err == nil {
			of = event.AgreementOf(ev.Body)
		}
	}
	w.o.Refused(from, code, of)
}

// answer answers a question, or says in a *refusal why not.
func (w *Answerer) answer(ctx context.Context, from name.Council, in *wirepb.Question) (*wirepb.Answer, *LoggedAnswer, error) {
	if w.o.Ledger.Allowed(from) != nil {
		return nil, nil, refuse(codeQuarantine, "all exchange with you is stopped: your node's status says why")
	}
	done, err := w.o.Quota.Turn(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	q, doc, err := w.readInTime(ctx, from, in)
	if err != nil {
		return nil, nil, err
	}
	// From here on the question is charged, whatever becomes of it. Nothing was
	// looked for before.
	before, err := w.o.Ledger.Charge(ctx, q)
	if err != nil {
		return nil, nil, told(err)
	}
	var out *wirepb.Answer
	var logged *LoggedAnswer
	if q.Subjects != nil {
		out, logged, err = w.subjects(ctx, doc, q, before, in.GetTreeSize())
	} else if w.o.Footprints.Is(doc.From) {
		out, logged, err = w.fromReplica(ctx, doc, q, in.GetTreeSize())
	} else {
		out, logged, err = w.fromLedger(ctx, doc, q, before, in.GetTreeSize())
	}
	if err != nil {
		return nil, nil, told(err)
	}
	// It took a moment to log, in which the agreement may have ended, or more.
	if w.o.Ledger.Allowed(from) != nil {
		return nil, nil, refuse(codeQuarantine, "all exchange with you is stopped: your node's status says why")
	}
	if now, why, _ := w.o.inForce(doc.Name, w.o.Now()); now == nil || now.Digest() != doc.Digest() {
		return nil, nil, refuse(codeNotInForce, "%s", why)
	}
	return out, logged, nil
}

// readyWithin is how long a question waits for the index of an agreement that was just
// signed.
const readyWithin = 10 * time.Second

// ready waits, for a moment, until the records there were are matched.
func (w *Answerer) ready(ctx context.Context, doc *agreement.Agreement) error {
	within, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	// Why it is not ready is said by who looks for the feed next.
	if err := w.o.Ledger.AwaitFeed(within, doc); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// fromLedger answers a charged question from our own ledger, for an asker that has
// seen our log at a size.
func (w *Answerer) fromLedger(ctx context.Context, doc *agreement.Agreement, q *ledger.Question, before *uint64, seen uint64) (*wirepb.Answer, *LoggedAnswer, error) {
	if err := w.ready(ctx, doc); err != nil {
		return nil, nil, err
	}
	f, err := w.o.Ledger.Feed(doc.Name, doc.Digest())
	if err != nil || !f.Ready {
		return nil, nil, refuse(codeNotReady, "the agreement's index is being made")
	}
	if doc.Way().Answers == agreement.AnswersCounts {
		tally := func() (*agreement.Tally, error) { return w.o.Ledger.Tally(ctx, f, q) }
		return w.counted(ctx, doc, q, q.Reply(doc), tally, seen)
	}
	answer := w.o.Ledger.Answer
	if q.Hidden != nil {
		answer = w.o.Ledger.Compare
	}
	a, err := answer(ctx, f, q, before)
	if err != nil {
		return nil, nil, err
	}
	return w.message(a, seen)
}

// counted answers a charged question with the counts of today, which are made once.
func (w *Answerer) counted(ctx context.Context, doc *agreement.Agreement, q *ledger.Question, reply event.Answer, tally func() (*agreement.Tally, error), seen uint64) (*wirepb.Answer, *LoggedAnswer, error) {
	counts, err := w.o.Ledger.Counts(ctx, doc, q, tally)
	if err != nil {
		return nil, nil, err
	}
	a, err := w.o.Ledger.AnswerCounts(ctx, doc, q, counts, reply)
	if err != nil {
		return nil, nil, err
	}
	return w.message(a, seen)
}

// message puts an answer of our ledger into its message.
func (w *Answerer) message(a *ledger.Answer, seen uint64) (*wirepb.Answer, *LoggedAnswer, error) {
	out := &wirepb.Answer{Event: a.Event, Index: a.Index, Checkpoint: a.Note, Inclusion: tlog.JoinHashes(a.Inclusion)}
	for _, it := range a.Items {
		out.Entries = append(out.Entries, &wirepb.Entry{Index: it.Index, Token: it.Token})
	}
	if a.Counts != nil {
		out.Counts = &wirepb.Entry{Index: a.Counts.Index, Token: a.Counts.Token}
	}
	if c := a.Compared; c != nil {
		out.Evaluated, out.Proof, out.Labels = c.Evaluated, c.Proof, c.Labels
	}
	if seen > 0 && seen < a.Checkpoint.Size {
		proof, err := w.o.Ledger.Consistency(seen, a.Checkpoint.Size)
		if err != nil {
			return nil, nil, err
		}
		out.Consistency = tlog.JoinHashes(proof)
	}
	logged, _, err := w.logged(a.Index)
	return out, logged, err
}

// logged reads an answer of ours from our log.
func (w *Answerer) logged(index uint64) (a *LoggedAnswer, jws []byte, err error) {
	a = &LoggedAnswer{}
	err = w.o.Ledger.View(func(v *ledger.View) error {
		var b []byte
		if a.Answer, b, err = ledger.ReadEvent(v, index, event.KindAnswer, event.ParseAnswer); err != nil {
			return err
		}
		jws = bytes.Clone(b)
		t, _, err := record.ParseEvent(jws)
		if err == nil {
			a.Entry = t.Entry()
		}
		return err
	})
	return a, jws, err
}

// told says what may be told of why there is no answer.
func told(err error) error {
	var b *ledger.Bound
	switch {
	case errors.As(err, &b):
		return refuse(codeBound, "%s", b.Error())
	case errors.Is(err, ledger.ErrChanged):
		return refuse(codeChanged, "%s", ledger.ErrChanged)
	case errors.Is(err, ledger.ErrRepeats):
		return refuse(codeChanged, "%s", ledger.ErrRepeats)
	case errors.Is(err, ledger.ErrLabels):
		return refuse(codeNotReady, "%s: the agreement covers too many records to be asked privately", ledger.ErrLabels)
	case errors.Is(err, ledger.ErrDisagreed):
		return refuse(codeSecond, "nothing is answered under the agreement: a second opinion on what it lets out differs")
	case errors.Is(err, agreement.ErrGroups):
		return refuse(codeLarge, "%s", agreement.ErrGroups)
	case errors.Is(err, ledger.ErrAnotherQuestion):
		return refuse(codeQuestion, "%s", ledger.ErrAnotherQuestion)
	}
	return err
}

// noticeWithin is how long a question waits for a notice of who asks that is on
// its way to us.
const noticeWithin = 10 * time.Second

// readInTime reads a question. Who has signed or resumed an agreement as the last
// sees it in force before we can, and may ask at once: then the question waits for
// the notice that says so.
func (w *Answerer) readInTime(ctx context.Context, from name.Council, in *wirepb.Question) (*ledger.Question, *agreement.Agreement, error) {
	ctx, cancel := context.WithTimeout(ctx, noticeWithin)
	defer cancel()
	for {
		changed := w.o.Agreements.Changed()
		q, doc, err := w.read(from, in)
		if err == nil {
			return q, doc, nil
		}
		if !w.early(from, in, err) {
			select {
			case <-changed:
				// The notice came between the two looks.
				if ctx.Err() == nil {
					continue
				}
			default:
			}
			return q, doc, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return q, doc, err
		}
	}
}

// early reports whether a refusal may become none by what the asker has said and
// we have not heard: of the text that it asks under nothing else is missing.
func (w *Answerer) early(from name.Council, in *wirepb.Question, err error) bool {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.code != codeNotInForce && r.code != codeOtherVersion {
		return false
	}
	asked, _, err := signed(w, from, in.GetEvent(), event.KindQuestion, event.ParseQuestion)
	if err != nil {
		return false
	}
	for _, st := range w.o.Agreements.Texts(asked.Agreement, w.o.Now()) {
		if !bytes.Equal(st.Digest[:], in.GetAgreementDigest()) {
			continue
		}
		for _, c := range st.Awaiting {
			if c != from && c != asked.For {
				return false
			}
		}
		for _, s := range st.Suspensions {
			if s.By != from && s.By != asked.For {
				return false
			}
		}
		return len(st.Awaiting) > 0 || len(st.Suspensions) > 0
	}
	return false
}

// read checks a question against the directory and the agreements: who asks, for
// whom, under which text, and by what. It reads no record, so that what it refuses
// costs a signature and says nothing of records.
func (w *Answerer) read(from name.Council, in *wirepb.Question) (*ledger.Question, *agreement.Agreement, error) {
	if in.GetVersion() < wirepb.LookupVersion {
		return nil, nil, refuse(codeVersion, "this node speaks version %d", wirepb.LookupVersion)
	}
	now := w.o.Now()
	if err := w.o.Directory.Exchange(now); err != nil {
		return nil, nil, refuse(codeDirectory, "%s", err)
	}
	m, ok := w.o.Directory.Member(from)
	if !ok || !m.ActiveAt(now) {
		return nil, nil, refuse(codeNotAgreed, "you are no member of our directory")
	}
	asked, entry, err := signed(w, from, in.GetEvent(), event.KindQuestion, event.ParseQuestion)
	switch {
	case judge.Waits(err):
		return nil, nil, refuse(codeNotReady, "the question's signed event cannot be checked yet")
	case err != nil, checkReason(asked.Because) != nil:
		return nil, nil, refuse(codeQuestion, "the question's signed event does not hold")
	}
	doc, why, newest := w.o.inForce(asked.Agreement, now)
	mayAsk := func(doc *agreement.Agreement) bool {
		if asked.Subjects != nil {
			return w.o.maySubjects(doc, from, w.o.Self)
		}
		return w.o.mayAsk(doc, from, asked.For)
	}
	if doc == nil || !mayAsk(doc) {
		// The same is said of an agreement that does not exist and of one with others.
		if doc == nil && newest != nil && mayAsk(newest) {
			return nil, nil, refuse(codeNotInForce, "%s", why)
		}
		return nil, nil, refuse(codeNotAgreed, "no such agreement with you")
	}
	text := doc.Digest()
	if !bytes.Equal(text[:], in.GetAgreementDigest()) || asked.Version != uint64(doc.Version) {
		return nil, nil, refuse(codeOtherVersion, "version %d of the agreement is in force", doc.Version)
	}
	if to := doc.From; asked.To != to && asked.Subjects == nil || asked.Subjects != nil && asked.To != w.o.Self {
		return nil, nil, refuse(codeQuestion, "the question is addressed to another")
	}
	q := &ledger.Question{
		ID: asked.ID, By: from, For: asked.For, Event: in.GetEvent(), Entry: entry, Because: asked.Because,
		Case: asked.Case, After: asked.After, Text: text, PerDay: w.o.PerDay(),
	}
	if most := doc.Most.Day; most > 0 {
		q.PerDay = min(q.PerDay, most)
	}
	if w.o.PerHour != nil {
		q.PerHour = w.o.PerHour()
	}
	return q, doc, w.readAsked(doc, q, asked, in)
}

// readAsked reads by what is asked.
func (w *Answerer) readAsked(doc *agreement.Agreement, q *ledger.Question, asked event.Question, in *wirepb.Question) error {
	value, way := in.GetValue(), doc.Way()
	if asked.Subjects != nil {
		return w.readSubjects(doc, q, asked, in)
	}
	if way.Hidden {
		return w.readHidden(doc, q, asked, in)
	}
	if asked.Hidden != (tlog.Hash{}) || asked.After != (event.QuestionID{}) || len(in.GetHidden()) > 0 {
		return refuse(codeQuestion, "the agreement has no questions that hide their value")
	}
	switch way.Answers {
	case agreement.AnswersRecords:
		if !doc.MayAskBy(asked.Field) || value == "" {
			return refuse(codeField, "the agreement lets you ask by %s", FieldWords(doc.Match))
		}
		q.Asked = agreement.Asked{Field: asked.Field, Value: value}
	case agreement.AnswersCounts:
		std, err := w.o.Ledger.StandardOf(doc.Standard)
		if err != nil {
			return err
		}
		if ps := doc.GroupedBy(std, asked.By); len(ps) > 0 {
			return refuse(codeField, "%s", ps[0].Detail)
		}
		if ps := doc.SummedBy(std, asked.Sum); len(ps) > 0 {
			return refuse(codeField, "%s", ps[0].Detail)
		}
		for _, list := range [][]name.Field{asked.By, asked.Sum} {
			if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) < len(list) {
				return refuse(codeField, "the fields to count by are not in order, each once")
			}
		}
		q.Groups, q.Sums = asked.By, asked.Sum
	default:
		return refuse(codeNotAgreed, "no questions are answered under this agreement: records are copied")
	}
	return nil
}

// signed reads an event of another council about a question and checks who signed
// it. Where it stands in their log we cannot tell. The error is of the judge, and
// wraps judge.ErrLied for what breaks a rule.
func signed[C any](w *Answerer, from name.Council, jws []byte, kind string, parse func(map[string]any) (C, error)) (content C, entry tlog.Hash, err error) {
	t, ev, rule, err := w.o.Judge.Event(from, jws, directory.AnyPlace)
	switch {
	case err != nil:
		return content, entry, err
	case rule != "":
		return content, entry, lied(rule)
	case ev.Kind != kind:
		return content, entry, lied("another kind of event")
	}
	if content, err = parse(ev.Body); err != nil {
		return content, entry, lied(err.Error())
	}
	return content, t.Entry(), nil
}

// keepReceipt keeps what an asker says of our answer, once it holds.
func (w *Answerer) keepReceipt(ctx context.Context, from name.Council, answer *LoggedAnswer, jws []byte) error {
	r, _, err := signed(w, from, jws, event.KindAnswerReceipt, event.ParseAnswerReceipt)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	if r.ID != answer.ID || r.Answer != answer.Entry || r.Agreement != answer.Agreement {
		return fmt.Errorf("receipt: %w", lied("it is for something else"))
	}
	return w.o.Ledger.KeepReceipt(ctx, from, r.ID, jws)
}
