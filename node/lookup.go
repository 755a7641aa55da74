package node

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement of mode lookup the receiver keeps no copies: it asks for one
// record by one value, and is answered with the agreed fields. The question stands
// in its log, signed, before it is asked, and the answer in the other's before it
// is given; the value that is asked by stands in neither. See docs/lookup.md.

// LookupRequest asks for a record.
type LookupRequest struct {
	Agreement string `json:"agreement"`
	Field     string `json:"field"` // one of the agreement's match fields
	Value     string `json:"value"` // see agreement.Text
	Because   string `json:"because"`
	// Question is the id of a question that was asked before and whose answer did
	// not arrive; "" for a new one.
	Question string `json:"question,omitempty"`
}

// LookupReply is the answer to a question: what was found, which nobody keeps.
type LookupReply struct {
	Agreement name.Agreement `json:"agreement"`
	From      name.Council   `json:"from"`
	By        name.Council   `json:"by"` // who answered: From, or a member of the footprint that it is
	Question  string         `json:"question"`
	Outcome   string         `json:"outcome"`
	Records   []RecordReply  `json:"records"`
	Answer    string         `json:"answer"` // the signed event of who answered
	Entry     uint64         `json:"entry"`  // of it in their log
	Size      uint64         `json:"size"`   // of the checkpoint that proves all of it; of a footprint's ledger, the records
	Root      string         `json:"root"`
	Receipt   bool           `json:"receipt"` // ours reached them
}

// tries is how often a question is asked when the answer does not arrive.
const tries = 3

func (n *Node) lookup(ctx context.Context, in LookupRequest) (*LookupReply, error) {
	f, err := name.ParseField(in.Field)
	if err != nil {
		return nil, fail(Usage, "stile lookup AGREEMENT /field", "%v", err)
	}
	doc, q, err := n.newQuestion(in.Agreement, agreement.Lookup, in.Because, in.Question)
	if err != nil {
		return nil, err
	}
	q.Asked = agreement.Asked{Field: f, Value: in.Value}
	switch {
	case !doc.MayAskBy(f):
		return nil, fail(Refused, "stile agreement show "+string(doc.Name), "%s lets records be asked for by %s", doc.Name, fieldWords(doc.Match))
	case in.Value == "":
		return nil, fail(Usage, "give the value on standard input", "there is no value to ask by")
	case len(in.Value) > agreement.MaxAsked || !utf8.ValidString(in.Value):
		return nil, fail(Usage, "", "the value is no text of at most %d bytes", agreement.MaxAsked)
	}
	if fault := name.KeyFault(in.Value); fault != "" {
		return nil, fail(Usage, "type the value without it", "the value to ask by %s", fault)
	}
	got, err := n.pose(ctx, doc, q)
	if err != nil {
		return nil, err
	}
	out := &LookupReply{
		Agreement: doc.Name, From: doc.From, By: got.by, Question: q.ID.String(), Outcome: got.said.Outcome, Records: got.records,
		Answer: string(got.answer.GetEvent()), Entry: got.answer.GetIndex(), Size: got.cp.Size, Root: got.cp.Root.String(), Receipt: got.receipt,
	}
	switch out.Outcome {
	case ledger.Nothing:
		return nil, fail(NotFound, "look at the value again: it must be written as the other council writes it",
			"%s knows of no record that may be asked for under %s by this %s; the question is logged on both sides", doc.From, doc.Name, f)
	case ledger.TooMany:
		return nil, fail(Refused, "ask by a field that one record has alone", "too many records of %s have this %s, more than %d: none is shown; the question is logged on both sides", doc.From, f, ledger.MaxFound)
	}
	return out, nil
}

// newQuestion finds the agreement that a request asks under, and for whom.
func (n *Node) newQuestion(typed string, mode agreement.Mode, because, id string) (*agreement.Agreement, *ledger.Question, error) {
	a, err := name.ParseAgreement(typed)
	if err != nil {
		return nil, nil, fail(Usage, "stile agreement list", "%v", err)
	}
	st, ok := n.book.status(a, n.now())
	if !ok {
		return nil, nil, fail(NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
	}
	doc := st.Agreement
	show := "stile agreement show " + string(a)
	if doc.Mode != mode {
		verb := map[agreement.Mode]string{agreement.Lookup: "stile lookup", agreement.Aggregate: "stile aggregate", agreement.Replicate: "stile record list --from " + string(doc.From)}
		return nil, nil, fail(Refused, verb[doc.Mode], "%s is of mode %s, not %s", a, doc.Mode, mode)
	}
	if !st.InForce() {
		return nil, nil, fail(Refused, show, "%s is not in force: %s", a, st.Why)
	}
	q := &ledger.Question{By: n.cfg.Council, Because: because, Text: doc.Digest()}
	switch {
	case doc.From == n.cfg.Council:
		return nil, nil, fail(Refused, show, "under %s others ask %s: it does not ask itself", a, doc.From)
	case !slices.Contains(doc.To, n.cfg.Council):
		if q.For = n.asksFor(doc); q.For == "" {
			return nil, nil, fail(Refused, show, "%s may not ask under %s: it is not a receiver, nor a member of one that has signed", n.cfg.Council, a)
		}
	}
	if err := checkBecause(because); err != nil {
		return nil, nil, fail(Usage, "--because \"case reference\"", "say why it is asked, which both councils log: %v", err)
	}
	if _, err := n.ledger.StandardOf(doc.Standard); err != nil {
		return nil, nil, fail(NotFound, "stile standard adopt "+doc.Standard.String(), "%v", err)
	}
	if err := n.directory.Exchange(n.now()); err != nil {
		return nil, nil, fail(Refused, "stile directory status", "%v", err)
	}
	if id == "" {
		_, err = rand.Read(q.ID[:])
	} else if q.ID, err = ledger.ParseQuestionID(id); err != nil {
		err = fail(Usage, "stile lookup list", "%v", err)
	}
	return doc, q, err
}

// asksFor returns the footprint that we may ask for under an agreement, once it is
// in force; "" for none.
func (n *Node) asksFor(doc *agreement.Agreement) name.Council {
	if doc.Mode == agreement.Replicate || slices.Contains(doc.To, n.cfg.Council) {
		return ""
	}
	for _, fp := range doc.To {
		if n.speaksFor(fp, doc, n.cfg.Council) {
			return fp
		}
	}
	return ""
}

// answered is an answer that holds.
type answered struct {
	by      name.Council
	answer  *wirepb.Answer
	said    ledger.AnswerSaid
	entry   tlog.Hash // of the answer's event
	cp      tlog.Checkpoint
	records []RecordReply
	counts  *agreement.Counts // in mode aggregate
	receipt bool
}

// pose logs a question, asks it and logs the answer. A question whose answer does
// not arrive is asked again, as the same.
func (n *Node) pose(ctx context.Context, doc *agreement.Agreement, q *ledger.Question) (*answered, error) {
	n.mu.Lock()
	net := n.net
	n.mu.Unlock()
	if net == nil {
		return nil, fail(Behind, "stile serve", "the node is not running: a question is asked by a running node")
	}
	if _, ok := n.directory.Member(doc.From); !ok && !n.isFootprint(doc.From) {
		return nil, fail(NotFound, "stile council list", "%s is not in the directory", doc.From)
	}
	body := q.Body(doc)
	delete(body, "asked")
	body["to"] = string(doc.From)
	var err error
	if q.Event, err = n.ledger.LogQuestion(ctx, q.ID, body); err != nil {
		if errors.Is(err, ledger.ErrAnotherQuestion) {
			return nil, fail(Conflict, "leave out --question", "the question %s asked something else, or for another reason", q.ID)
		}
		return nil, err
	}
	if q.Entry, err = entryOf(q.Event); err != nil {
		return nil, err
	}
	members := []name.Council{doc.From}
	if n.isFootprint(doc.From) {
		if members = n.keepersConnectedFirst(net, doc.From); len(members) == 0 {
			return nil, fail(NotFound, "ask a member for what stile footprint entry prints, and add it to the directory", "the directory lists no members of %s", doc.From)
		}
	}
	var last error
	for _, m := range members {
		got, err := n.poseTo(ctx, net, m, doc, q)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// Any member may answer, so that one that does not is no matter. What the
		// first said is told, unless another knew better.
		if e, ok := errors.AsType[*Error](err); last == nil || ok && e.Kind == Refused || ok && e.Kind == Unverified {
			last = err
		}
	}
	return nil, last
}

// keepersConnectedFirst returns the members of a footprint, those there is a
// connection to first: they are likely to answer.
func (n *Node) keepersConnectedFirst(net wire.Network, fp name.Council) []name.Council {
	members, connected := slices.Clone(n.keepers(fp)), net.Connected()
	slices.SortStableFunc(members, func(a, b name.Council) int {
		x, y := slices.Contains(connected, a), slices.Contains(connected, b)
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	return members
}

// poseTo asks one council's node, again when the answer does not arrive.
func (n *Node) poseTo(ctx context.Context, net wire.Network, to name.Council, doc *agreement.Agreement, q *ledger.Question) (*answered, error) {
	again := "the same command with --question " + q.ID.String() + ": it is logged as one question"
	for try := 1; ; try++ {
		got, err := n.poseOnce(ctx, net, to, doc, q)
		if err == nil {
			return got, nil
		}
		var u *unanswered
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &u):
			return nil, refusedQuestion(doc, to, u)
		case errors.Is(err, errNotProved):
			n.log.Error("an answer does not verify", "from", to, "agreement", doc.Name, "question", q.ID.String(), "because", err.Error())
			n.keepFalseAnswer(ctx, to, doc, err)
			return nil, fail(Unverified, "tell "+string(to)+": what was sent is not shown, and why is kept in stile status", "%s answered, and %v", to, err)
		case lost(err) && try < tries:
			continue
		case errors.Is(err, wire.ErrProtocol):
			return nil, fail(Unreachable, "ask "+string(to)+" to bring its node up to date", "the node of %s does not answer questions", to)
		case lost(err):
			return nil, fail(Unreachable, again, "%s was asked, and the answer did not arrive: %v", to, err)
		}
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, e
		}
		return nil, fail(Unreachable, again, "%s cannot be asked now: %v", to, err)
	}
}

// lost reports whether an error leaves open if the question arrived.
func lost(err error) bool {
	return errors.Is(err, wire.ErrReset) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded)
}

// refusedQuestion says to people what a refusal means.
func refusedQuestion(doc *agreement.Agreement, by name.Council, u *unanswered) error {
	reason := strings.ToValidUTF8(u.reason[:min(len(u.reason), 300)], "")
	kind, try := Refused, "stile agreement show "+string(doc.Name)
	switch u.code {
	case askNotReady, askElsewhere:
		kind, try = Behind, "ask again in a moment"
	case askChanged:
		kind, try = Conflict, "the same command without --question"
	case askBound:
		try = "wait until then; the bound is the answering council's"
	case askLarge:
		try = "count by fewer fields, or by fields with fewer values"
	}
	return fail(kind, try, "%s refused the question: %s", by, reason)
}

// poseOnce asks a council's node once and checks what it answers.
func (n *Node) poseOnce(ctx context.Context, net wire.Network, to name.Council, doc *agreement.Agreement, q *ledger.Question) (*answered, error) {
	st, err := net.Open(ctx, to, wirepb.LookupProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	in, out := bufio.NewReader(st), bufio.NewWriter(st)
	seen, _ := n.ledger.Source(to, "")
	digest := doc.Digest()
	m := &wirepb.Question{Version: wirepb.LookupVersion, AgreementDigest: digest[:], Event: q.Event, Value: q.Asked.Value}
	if seen != nil {
		m.TreeSize = seen.Size
	}
	st.SetDeadline(n.now().Add(questionWithin))
	if err := wirepb.WriteQuestion(out, m); err != nil {
		return nil, err
	}
	wait := questionWithin
	if doc.Mode == agreement.Aggregate {
		wait = countWithin
	}
	st.SetDeadline(n.now().Add(wait))
	a, err := wirepb.ReadAnswer(in)
	if err != nil {
		st.Reset()
		if errors.Is(err, wire.ErrFrame) {
			err = fmt.Errorf("%w: it is not of the protocol", errNotProved)
		}
		return nil, err
	}
	if a.GetCode() != "" {
		return nil, &unanswered{a.GetCode(), a.GetReason()}
	}
	got, err := n.checkAnswered(to, doc, q, seen, a)
	if err != nil {
		st.Reset()
		return nil, err
	}
	body := map[string]any{
		"agreement": string(doc.Name), "from": string(to), "question": q.ID.String(), "answer": got.entry.String(),
		"outcome": got.said.Outcome, "records": []any{}, "entries": []any{},
		"size": json.Number(fmt.Sprint(got.cp.Size)), "root": got.cp.Root.String(),
	}
	if q.For != "" {
		body["for"] = string(q.For)
	}
	if to != doc.From {
		body["footprint"] = string(doc.From)
	}
	var records, entries []any
	for i := range got.said.Records {
		records, entries = append(records, string(got.said.Records[i])), append(entries, json.Number(fmt.Sprint(got.said.Entries[i])))
	}
	if records != nil {
		body["records"], body["entries"] = records, entries
	}
	if got.said.Outcome == ledger.Counted {
		body["counts"] = json.Number(fmt.Sprint(got.said.Counts))
	}
	receipt, err := n.ledger.LogReceipt(ctx, q.ID, body)
	if err != nil {
		return nil, err
	}
	// The answer is logged and ours; that the receipt gets there too is a courtesy.
	st.SetDeadline(n.now().Add(questionWithin))
	if wirepb.WriteReceipt(out, &wirepb.Receipt{Event: receipt}) == nil && st.CloseWrite() == nil {
		_, err := in.ReadByte() // the other side has read it when it closes
		got.receipt = err == io.EOF
	}
	return got, nil
}

// keepFalseAnswer keeps what no honest council can have sent, for status to show.
func (n *Node) keepFalseAnswer(ctx context.Context, by name.Council, doc *agreement.Agreement, why error) {
	src, err := n.ledger.OpenSource(ctx, by, "")
	if err == nil {
		r := ledger.Refusal{From: by, Agreement: doc.Name, Rule: "answer: " + why.Error(), At: n.now().UTC()}
		if f := new(forkedAnswer); errors.As(why, &f) {
			r.Evidence = f.notes
		}
		err = n.ledger.Refuse(ctx, src, r)
	}
	if err != nil {
		n.log.Error("keep a refusal", "error", err.Error())
	}
}

// LookupListRequest lists questions that were asked or answered here.
type LookupListRequest struct {
	Agreement string `json:"agreement,omitempty"` // only of this agreement
	Limit     int    `json:"limit,omitempty"`     // the newest so many; default 100
}

// QuestionReply is one question as a log has it. The value that was asked by
// stands in no log.
type QuestionReply struct {
	At        time.Time      `json:"at"`
	Direction string         `json:"direction"` // "asked" by us, or "answered" by us
	Agreement name.Agreement `json:"agreement"`
	Partner   name.Council   `json:"partner"`
	For       name.Council   `json:"for,omitempty"` // the footprint it was asked for
	Question  string         `json:"question"`
	Field     string         `json:"field,omitempty"`
	By        []name.Field   `json:"by,omitempty"`
	Because   string         `json:"because"`
	Outcome   string         `json:"outcome"` // "" while there is no answer
	Records   []name.Record  `json:"records,omitempty"`
	Entry     uint64         `json:"entry"`   // in our log: of the question, or of our answer
	Receipt   bool           `json:"receipt"` // the asker's receipt is held
}

func (n *Node) listQuestions(ctx context.Context, in LookupListRequest) ([]QuestionReply, error) {
	if in.Limit <= 0 {
		in.Limit = 100
	}
	var all []QuestionReply
	err := n.ledger.View(func(v *ledger.View) error {
		var failed error
		for _, kind := range []string{ledger.KindQuestion, ledger.KindAnswer} {
			v.Events(kind, 0, func(i uint64) bool {
				var r QuestionReply
				if r, failed = n.question(v, i); failed == nil && (in.Agreement == "" || in.Agreement == string(r.Agreement)) {
					all = append(all, r)
				}
				return failed == nil
			})
		}
		return failed
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b QuestionReply) int { return int(int64(a.Entry) - int64(b.Entry)) })
	return append([]QuestionReply{}, all[max(0, len(all)-in.Limit):]...), nil
}

// question reads a question that was asked or answered here from our log.
func (n *Node) question(v *ledger.View, index uint64) (QuestionReply, error) {
	ev, _, err := v.Event(index)
	if err != nil {
		return QuestionReply{}, err
	}
	said, err := ledger.AnswerOf(ev)
	if err != nil {
		return QuestionReply{}, err
	}
	r := QuestionReply{
		At: time.Unix(ev.IssuedAt, 0).UTC(), Direction: "answered", Agreement: said.Agreement, Partner: said.Partner, For: said.For,
		Question: said.Question.String(), Field: string(said.Field), By: said.Groups, Because: said.Because, Outcome: said.Outcome,
		Records: said.Records, Entry: index,
	}
	by := said.Partner
	if ev.Kind == ledger.KindQuestion {
		r.Direction, by = "asked", n.cfg.Council
	}
	a, err := v.Answered(by, said.Question)
	if err != nil {
		return r, err
	}
	r.Receipt = a.Receipt != nil
	if a.ReceiptIndex != 0 {
		ev, _, err := v.Event(a.ReceiptIndex)
		if err != nil {
			return r, err
		}
		receipt, err := ledger.AnswerOf(ev)
		if err != nil {
			return r, err
		}
		r.Outcome, r.Records, r.Receipt = receipt.Outcome, receipt.Records, true
	}
	return r, nil
}
