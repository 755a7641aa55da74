package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Timing of /stile/lookup/1.
const (
	questionWithin = 30 * time.Second // the question, and the receipt
	answerWithin   = 30 * time.Second // the answer, once it is there
	countWithin    = 10 * time.Minute // counting walks all records of an agreement
)

// Codes of a refusal of a question. The reason beside it is for people.
const (
	askVersion   = "protocol-version"
	askDirectory = "directory"
	askNoAgree   = "not-agreed" // no such agreement with you; also said when there is one with somebody else
	askNotNow    = "not-in-force"
	askOther     = "other-version"
	askEvent     = "question" // the signed question does not hold
	askField     = "field"    // the agreement does not let you ask by that
	askBound     = "too-often"
	askChanged   = "changed"
	askNotReady  = "not-ready"
	askLarge     = "too-many-groups"
	askElsewhere = "ask-another" // a footprint's member that does not answer this question
)

// An unanswered question, and what the asker is told.
type unanswered struct{ code, reason string }

func (u *unanswered) Error() string { return u.reason }

func unanswer(code, format string, a ...any) error {
	return &unanswered{code, fmt.Sprintf(format, a...)}
}

// serveLookup answers one stream of /stile/lookup/1: one question.
func (n *Node) serveLookup(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	in, out := bufio.NewReader(st), bufio.NewWriter(st)
	st.SetDeadline(n.now().Add(questionWithin))
	q, err := wirepb.ReadQuestion(in)
	if err != nil {
		n.log.Warn("question refused", "from", from, "because", "it cannot be read")
		st.Reset()
		return
	}
	st.SetDeadline(time.Time{})
	said, answer, err := n.answerQuestion(ctx, from, q)
	if err != nil {
		u := &unanswered{askNotReady, "it cannot be answered here now"}
		if !errors.As(err, &u) {
			n.log.Error("question not answered", "from", from, "error", err.Error())
		} else {
			n.log.Info("question refused", "from", from, "because", u.code)
		}
		answer = &wirepb.Answer{Code: u.code, Reason: u.reason}
	}
	st.SetDeadline(n.now().Add(answerWithin))
	if err := wirepb.WriteAnswer(out, answer); err != nil {
		st.Reset()
		return
	}
	if answer.GetCode() != "" {
		st.CloseWrite()
		return
	}
	st.SetDeadline(n.now().Add(questionWithin))
	r, err := wirepb.ReadReceipt(in)
	if err == nil {
		err = n.keepAnswerReceipt(ctx, from, said, r.GetEvent())
	}
	if err != nil {
		// That it was sent stands in our log; that it came does not.
		n.log.Info("an answer without a receipt", "to", from, "question", said.Question.String(), "because", err.Error())
		st.Reset()
	}
}

// A saidAnswer is what a receipt for an answer is checked against.
type saidAnswer struct {
	ledger.AnswerSaid
	entry tlog.Hash
}

// answerQuestion answers a question of a council, or says in an *unanswered why not.
func (n *Node) answerQuestion(ctx context.Context, from name.Council, in *wirepb.Question) (*saidAnswer, *wirepb.Answer, error) {
	if in.GetVersion() < wirepb.LookupVersion {
		return nil, nil, unanswer(askVersion, "this node speaks version %d", wirepb.LookupVersion)
	}
	q, said, doc, err := n.readQuestion(from, in)
	if err != nil {
		return nil, nil, err
	}
	// From here on the question is charged, whatever becomes of it. Nothing is
	// looked for before.
	before, err := n.ledger.Charge(ctx, q)
	if err != nil {
		return nil, nil, answerError(err)
	}
	if n.isFootprint(doc.From) {
		r := n.replicas.at(doc.From)
		if r == nil || !slices.Contains(r.f.Councils(), n.cfg.Council) {
			return nil, nil, unanswer(askElsewhere, "no replica of that footprint is open here")
		}
		s, out, err := n.answerFor(ctx, r, doc, q, in.GetTreeSize())
		if err != nil {
			return nil, nil, answerError(err)
		}
		return s, out, n.stillAgreed(doc)
	}
	f, err := n.ledger.Feed(doc.Name, doc.Digest())
	if err != nil || !f.Ready {
		return nil, nil, unanswer(askNotReady, "the agreement's index is being made")
	}
	var a *ledger.Answer
	if doc.Mode == agreement.Lookup {
		a, err = n.ledger.Answer(ctx, f, q, before)
	} else {
		a, err = n.countedAnswer(ctx, doc, q, func() (*agreement.Tally, error) { return n.ledger.Tally(ctx, f, q.Groups) })
	}
	if err != nil {
		return nil, nil, answerError(err)
	}
	if err := n.stillAgreed(doc); err != nil {
		return nil, nil, err
	}
	out, err := n.wireAnswer(a, in.GetTreeSize())
	if err != nil {
		return nil, nil, err
	}
	s, _, err := n.loggedAnswer(a.Index)
	if err != nil {
		return nil, nil, err
	}
	n.log.Info("question answered", "from", from, "agreement", doc.Name, "question", said.Question.String(), "outcome", s.Outcome)
	return s, out, nil
}

// wireAnswer puts an answer of our ledger into its message, for an asker that has
// seen our log at a size.
func (n *Node) wireAnswer(a *ledger.Answer, seen uint64) (*wirepb.Answer, error) {
	out := &wirepb.Answer{Event: a.Event, Index: a.Index, Checkpoint: a.Note, Inclusion: tlog.JoinHashes(a.Inclusion)}
	for _, it := range a.Items {
		out.Entries = append(out.Entries, &wirepb.Entry{Index: it.Index, Token: it.Token})
	}
	if a.Counts != nil {
		out.Counts = &wirepb.Entry{Index: a.Counts.Index, Token: a.Counts.Token}
	}
	if seen > 0 && seen < a.Checkpoint.Size {
		proof, err := n.ledger.Consistency(seen, a.Checkpoint.Size)
		if err != nil {
			return nil, err
		}
		out.Consistency = tlog.JoinHashes(proof)
	}
	return out, nil
}

// stillAgreed refuses what took a moment to log, in which the agreement may have
// ended.
func (n *Node) stillAgreed(doc *agreement.Agreement) error {
	if now, why := n.book.InForce(doc.Name, n.now()); now == nil || now.Digest() != doc.Digest() {
		return unanswer(askNotNow, "%s", why)
	}
	return nil
}

// countedAnswer answers with the counts of today, which are made once.
func (n *Node) countedAnswer(ctx context.Context, doc *agreement.Agreement, q *ledger.Question, tally func() (*agreement.Tally, error)) (*ledger.Answer, error) {
	counts, err := n.ledger.Counts(ctx, doc, q, tally)
	if err != nil {
		return nil, err
	}
	return n.ledger.AnswerCounts(ctx, doc, q, counts, q.Body(doc))
}

// answerError says what may be told of why there is no answer.
func answerError(err error) error {
	var b *ledger.Bound
	switch {
	case errors.As(err, &b):
		return unanswer(askBound, "%s", b.Error())
	case errors.Is(err, ledger.ErrChanged):
		return unanswer(askChanged, "%s", ledger.ErrChanged)
	case errors.Is(err, ledger.ErrRepeats):
		return unanswer(askChanged, "%s", ledger.ErrRepeats)
	case errors.Is(err, agreement.ErrGroups):
		return unanswer(askLarge, "%s", agreement.ErrGroups)
	case errors.Is(err, ledger.ErrAnotherQuestion):
		return unanswer(askEvent, "%s", ledger.ErrAnotherQuestion)
	}
	return err
}

// readQuestion checks a question against the directory and the agreements: who
// asks, for whom, under which text, and by what.
func (n *Node) readQuestion(from name.Council, in *wirepb.Question) (*ledger.Question, ledger.AnswerSaid, *agreement.Agreement, error) {
	no := func(err error) (*ledger.Question, ledger.AnswerSaid, *agreement.Agreement, error) {
		return nil, ledger.AnswerSaid{}, nil, err
	}
	now := n.now()
	if err := n.directory.Exchange(now); err != nil {
		return no(unanswer(askDirectory, "%s", err))
	}
	m, ok := n.directory.Member(from)
	if !ok || !m.ActiveAt(now) {
		return no(unanswer(askNoAgree, "you are no member of our directory"))
	}
	said, entry, err := signedQuestion(m, in.GetEvent())
	if err != nil {
		return no(unanswer(askEvent, "the question's signed event does not hold"))
	}
	doc, why := n.book.InForce(said.Agreement, now)
	if doc == nil || !n.mayAsk(doc, from, said.For) {
		// The same is said of an agreement that does not exist and of one with others.
		if doc, ok := n.newestText(said.Agreement); ok && why != "" && n.mayAsk(doc, from, said.For) {
			return no(unanswer(askNotNow, "%s", why))
		}
		return no(unanswer(askNoAgree, "no such agreement with you"))
	}
	text := doc.Digest()
	if !bytes.Equal(text[:], in.GetAgreementDigest()) || said.Version != doc.Version {
		return no(unanswer(askOther, "version %d of the agreement is in force", doc.Version))
	}
	if said.Partner != doc.From {
		return no(unanswer(askEvent, "the question is addressed to another"))
	}
	q := &ledger.Question{
		ID: said.Question, By: from, For: said.For, Event: in.GetEvent(), Entry: entry, Because: said.Because,
		Text: text, PerDay: n.cfg.Limits.QuestionsPerDay,
	}
	switch doc.Mode {
	case agreement.Lookup:
		q.Asked = agreement.Asked{Field: said.Field, Value: in.GetValue()}
		if !doc.MayAskBy(said.Field) || in.GetValue() == "" {
			return no(unanswer(askField, "the agreement lets you ask by %s", fieldWords(doc.Match)))
		}
	case agreement.Aggregate:
		std, err := n.ledger.StandardOf(doc.Standard)
		if err != nil {
			return no(err)
		}
		if ps := doc.GroupedBy(std, said.Groups); len(ps) > 0 {
			return no(unanswer(askField, "%s", ps[0].Detail))
		}
		if !slices.IsSorted(said.Groups) || len(slices.Compact(slices.Clone(said.Groups))) < len(said.Groups) {
			return no(unanswer(askField, "the fields to count by are not in order, each once"))
		}
		q.Groups = said.Groups
	default:
		return no(unanswer(askNoAgree, "no questions are answered under this agreement: records are copied"))
	}
	return q, said, doc, nil
}

// signedQuestion reads an asker's event and checks its signature.
func signedQuestion(m directory.Member, jws []byte) (said ledger.AnswerSaid, entry tlog.Hash, err error) {
	t, ev, err := record.ParseEvent(jws)
	if err != nil {
		return said, entry, err
	}
	if ev.Council != m.Council || ev.Kind != ledger.KindQuestion {
		return said, entry, errNotProved
	}
	// Where it stands in the asker's log we cannot tell.
	key, err := m.RecordKeyAt(t.KeyID(), directory.AnyPlace)
	if err != nil {
		return said, entry, err
	}
	if err := t.Verify(key); err != nil {
		return said, entry, err
	}
	if said, err = ledger.AnswerOf(ev); err == nil {
		err = checkBecause(said.Because)
	}
	return said, t.Entry(), err
}

// mayAsk reports whether a council may ask under an agreement, once it is in
// force: as its receiver, or for a footprint that is one.
func (n *Node) mayAsk(doc *agreement.Agreement, from, fp name.Council) bool {
	if fp == "" {
		return slices.Contains(doc.To, from) && doc.From != from
	}
	return slices.Contains(doc.To, fp) && n.speaksFor(fp, doc, from)
}

// speaksFor reports whether a council is a member of a footprint that is party to
// an agreement and has itself signed it.
func (n *Node) speaksFor(fp name.Council, doc *agreement.Agreement, c name.Council) bool {
	if !n.isFootprint(fp) || !slices.Contains(n.keepers(fp), c) {
		return false
	}
	signers, err := n.signersOf(fp, doc.Ref())
	return err == nil && slices.Contains(signers, c)
}

// signersOf returns the members of a footprint that have signed a document: as
// its ledger says where we keep it, or else as they told us.
func (n *Node) signersOf(fp name.Council, ref agreement.Ref) (out []name.Council, err error) {
	if r := n.replicas.at(fp); r != nil {
		return r.f.Signers(ref)
	}
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	for _, c := range n.keepers(fp) {
		if n.book.votes[vote{kind: agreement.KindSignature, ref: ref}][c] != nil {
			out = append(out, c)
		}
	}
	return out, nil
}

// keepAnswerReceipt keeps what an asker says of our answer, once it holds.
func (n *Node) keepAnswerReceipt(ctx context.Context, from name.Council, said *saidAnswer, jws []byte) error {
	m, ok := n.directory.Member(from)
	if !ok {
		return fmt.Errorf("%s has left the directory", from)
	}
	t, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Council != from || ev.Kind != ledger.KindAnswered {
		return fmt.Errorf("receipt: %w", errNotProved)
	}
	key, err := m.RecordKeyAt(t.KeyID(), directory.AnyPlace)
	if err != nil || t.Verify(key) != nil {
		return fmt.Errorf("receipt: %w", errNotProved)
	}
	r, err := ledger.AnswerOf(ev)
	if err != nil || r.Question != said.Question || r.Asked != said.entry.String() || r.Agreement != said.Agreement {
		return fmt.Errorf("receipt: %w: it is for something else", errNotProved)
	}
	return n.ledger.KeepReceipt(ctx, from, r.Question, jws)
}

// checkBecause holds a reason to what may stand in two councils' logs.
func checkBecause(s string) error {
	if s == "" || len(s) > ledger.MaxBecause || !utf8.ValidString(s) {
		return fmt.Errorf("a reason is a text of at most %d bytes", ledger.MaxBecause)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return errors.New("a reason is one line of text")
		}
	}
	return nil
}

func fieldWords(fs []name.Field) string {
	out := ""
	for i, f := range fs {
		switch {
		case i == 0:
		case i == len(fs)-1:
			out += " or "
		default:
			out += ", "
		}
		out += string(f)
	}
	if out == "" {
		return "nothing"
	}
	return out
}
