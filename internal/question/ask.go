package question

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/blind"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// An Asker asks other councils and footprints, for one council. Its methods may be
// called concurrently.
type Asker struct{ o Options }

// NewAsker returns an Asker.
func NewAsker(o Options) *Asker { return &Asker{o} }

// A Request is what is to be asked.
type Request struct {
	Agreement name.Agreement
	Field     name.Field   // of mode lookup: one of the agreement's match fields
	Value     string       // of mode lookup: see agreement.Text
	By        []name.Field // of mode aggregate: fields to count by; none counts all together
	Sum       []name.Field // of mode aggregate: fields whose numbers are summed in each group
	Because   string       // why, in words that both councils log
	Case      string       // a case reference, which both councils log; needed where the value is hidden
	// Show asks, where the value is hidden and there is a record with it, to be shown the
	// record, which says about whom.
	Show bool
	// Question is the id of a question that was asked before and whose answer did
	// not arrive; "" for a new one.
	Question string
}

// An Answer is an answer that holds: everything in it was checked.
type Answer struct {
	Agreement  *agreement.Agreement
	By         name.Council // who answered: the agreement's sender, or a member of the footprint that it is
	Question   event.QuestionID
	Outcome    string       // event.OutcomeFound, event.OutcomeCounted or event.OutcomeCompared
	Held       bool         // of OutcomeCompared: there is a record, and only the asker knows
	Told       []event.Told // of OutcomeTold
	Unsaid     uint64       // of OutcomeTold: see event.Answer
	Records    []Record     // what was found, which nobody keeps
	Counts     *agreement.Counts
	Token      []byte // the signed event that holds the counts
	Event      []byte // the signed event of who answered
	Index      uint64 // of that event in their log, or of that of the counts
	Checkpoint tlog.Checkpoint
	Proof      CountsProof // of OutcomeCounted
	Receipt    bool        // ours reached them
}

// A CountsProof shows, with the keys of who counted alone, that the events of the counts
// and of the answer stand in its log: what [tlog.VerifyBatch] takes of those two.
type CountsProof struct {
	Checkpoint []byte // the signed note
	Answer     uint64 // entry of the answer's event
	Inclusion  []byte // hashes, joined
}

// A Record is one record of an answer.
type Record struct {
	Index uint64 // in the log that the answer's checkpoint is of
	Token *record.Token
	View  *record.View
}

// tries is how often a question is asked when the answer does not arrive.
const tries = 3

// Lookup asks for a record by a value under an agreement of mode lookup. net is nil
// when the node does not run. An error is an *[api.Error] when it can be shown.
func (k *Asker) Lookup(ctx context.Context, net wire.Network, r Request) (*Answer, error) {
	p, err := k.prepare(agreement.AnswersRecords, r)
	if err != nil {
		return nil, err
	}
	if p.hidden != nil {
		return k.lookupHidden(ctx, net, p, r)
	}
	got, err := k.ask(ctx, net, p)
	if err != nil {
		return nil, err
	}
	switch from := p.doc.From; got.Outcome {
	case event.OutcomeNothing:
		return nil, api.Fail(api.NotFound, "look at the value again: it must be written as the other council writes it",
			"%s knows of no record that may be asked for under %s by this %s; the question is logged on both sides", from, r.Agreement, r.Field)
	case event.OutcomeTooMany:
		return nil, tooMany(from, r.Field)
	}
	return got, nil
}

// Count asks for counts under an agreement of mode aggregate, as Lookup does for a
// record. The groups of the answer name their values in the order of r.By.
func (k *Asker) Count(ctx context.Context, net wire.Network, r Request) (*Answer, error) {
	p, err := k.prepare(agreement.AnswersCounts, r)
	if err != nil {
		return nil, err
	}
	got, err := k.ask(ctx, net, p)
	if err != nil {
		return nil, err
	}
	for i, g := range got.Counts.Groups {
		of := make([]*string, len(r.By))
		for j, f := range r.By {
			of[j] = g.Of[slices.Index(p.q.Groups, f)]
		}
		got.Counts.Groups[i].Of = of
		sums := make([]*int64, len(r.Sum))
		for j, f := range r.Sum {
			sums[j] = g.Sums[slices.Index(p.q.Sums, f)]
		}
		got.Counts.Groups[i].Sums = sums
	}
	return got, nil
}

// A Posed is a question that may be asked, under the text of an agreement.
type Posed struct {
	doc *agreement.Agreement
	q   *ledger.Question

	hidden *blind.Hidden // of a question that hides its value
	factor []byte        // of the one that follows it: what hid the value
}

// Pose logs the question that a request asks, and does not ask it.
func (k *Asker) Pose(ctx context.Context, mode agreement.Mode, r Request) (*Posed, error) {
	p, err := k.prepare(mode.Way().Answers, r)
	if err != nil {
		return nil, err
	}
	return p, k.sign(ctx, p, p.q.Content(p.doc))
}

// Message returns a question as it goes to a council, when the newest checkpoint
// known of the log that the answer will be of has a size; 0 for none.
func (p *Posed) Message(seen uint64) *wirepb.Question {
	return p.message(seen)
}

// logOf returns whose log the checkpoint of an answer is of: of a footprint's
// records its ledger's, and else that of the council which answers.
func (p *Posed) logOf(by name.Council) name.Council {
	if p.shared(by) {
		return p.doc.From
	}
	return by
}

// answersFor returns the footprint that a council answers for; "" for none.
func (p *Posed) answersFor(by name.Council) name.Council {
	if by != p.doc.From && p.q.Subjects == nil {
		return p.doc.From
	}
	return ""
}

// shared reports whether the records of an answer stand in a footprint's ledger.
func (p *Posed) shared(by name.Council) bool {
	return p.answersFor(by) != "" && p.doc.Way().Answers == agreement.AnswersRecords
}

// prepare makes the question that a request asks, if it may be asked.
func (k *Asker) prepare(want agreement.Answers, r Request) (*Posed, error) {
	doc, q, err := k.newQuestion(want, r)
	if err != nil {
		return nil, err
	}
	p := &Posed{doc: doc, q: q}
	if want == agreement.AnswersRecords {
		err = withValue(doc, q, r)
	} else {
		err = k.withGroups(doc, q, r)
	}
	if err == nil && doc.Way().Hidden {
		switch {
		case r.Question != "":
			err = api.Fail(api.Usage, "leave out --question", "a question that hides its value is not asked again: each hides it in another way")
		case k.o.Footprints.Is(doc.From):
			err = api.Fail(api.Refused, "agree on mode lookup, or with the members one by one", "%s is a footprint, which does not answer questions that hide their value", doc.From)
		default:
			err = k.hide(p)
		}
	} else if err == nil && r.Show {
		err = api.Fail(api.Usage, "leave it out", "under %s the first answer shows the record", doc.Name)
	}
	return p, err
}

// withValue gives a question the value to ask by.
func withValue(doc *agreement.Agreement, q *ledger.Question, r Request) error {
	q.Asked = agreement.Asked{Field: r.Field, Value: r.Value}
	switch {
	case !doc.MayAskBy(r.Field):
		return api.Fail(api.Refused, "stile agreement show "+string(doc.Name), "%s lets records be asked for by %s", doc.Name, FieldWords(doc.Match))
	case r.Value == "":
		return api.Fail(api.Usage, "give the value on standard input", "there is no value to ask by")
	case len(r.Value) > agreement.MaxAsked || !utf8.ValidString(r.Value):
		return api.Fail(api.Usage, "", "the value is no text of at most %d bytes", agreement.MaxAsked)
	}
	if fault := name.KeyFault(r.Value); fault != "" {
		return api.Fail(api.Usage, "type the value without it", "the value to ask by %s", fault)
	}
	return nil
}

// withGroups gives a question the fields to count by.
func (k *Asker) withGroups(doc *agreement.Agreement, q *ledger.Question, r Request) error {
	for _, list := range [][]name.Field{r.By, r.Sum} {
		for i, f := range list {
			if slices.Contains(list[:i], f) {
				return api.Fail(api.Usage, "name each field once", "%s is named twice", f)
			}
		}
	}
	if len(r.By) > agreement.MaxGroupFields || len(r.Sum) > agreement.MaxGroupFields {
		return api.Fail(api.Usage, "count by fewer fields", "records are counted by at most %d fields", agreement.MaxGroupFields)
	}
	std, err := k.o.Ledger.StandardOf(doc.Standard)
	if err != nil {
		return err
	}
	if ps := doc.GroupedBy(std, r.By); len(ps) > 0 {
		return api.Fail(api.Refused, fmt.Sprintf("count by %s, or by none", FieldWords(doc.Fields)), "%s", ps[0].Detail)
	}
	if ps := doc.SummedBy(std, r.Sum); len(ps) > 0 {
		return api.Fail(api.Refused, "sum fields of numbers that the agreement lists", "%s", ps[0].Detail)
	}
	q.Groups, q.Sums = slices.Clone(r.By), slices.Clone(r.Sum) // what is counted does not hang on the order
	slices.Sort(q.Groups)
	slices.Sort(q.Sums)
	return nil
}

// newQuestion finds the agreement that a request asks under, and for whom.
func (k *Asker) newQuestion(want agreement.Answers, r Request) (*agreement.Agreement, *ledger.Question, error) {
	a, self := r.Agreement, k.o.Self
	st, ok := k.o.Agreements.Status(a, k.o.Now())
	if !ok {
		return nil, nil, api.Fail(api.NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
	}
	doc := st.Agreement
	show := "stile agreement show " + string(a)
	if way := doc.Way(); way.Answers != want {
		return nil, nil, api.Fail(api.Refused, strings.Replace(way.Command, "COUNCIL", string(doc.From), 1), "%s is of mode %s, under which no %s are asked for", a, doc.Mode, want)
	}
	if !st.InForce() {
		return nil, nil, api.Fail(api.Refused, show, "%s is not in force: %s", a, st.Why)
	}
	q := &ledger.Question{By: self, Because: r.Because, Case: r.Case, Text: doc.Digest()}
	switch {
	case doc.From == self:
		return nil, nil, api.Fail(api.Refused, show, "under %s others ask %s: it does not ask itself", a, doc.From)
	case !slices.Contains(doc.To, self):
		if q.For = k.AsksFor(doc); q.For == "" {
			return nil, nil, api.Fail(api.Refused, show, "%s may not ask under %s: it is not a receiver, nor a member of one that has signed", self, a)
		}
	}
	if err := checkReason(r.Because); err != nil {
		return nil, nil, api.Fail(api.Usage, "--because \"case reference\"", "say why it is asked, which both councils log: %v", err)
	}
	if r.Case != "" || doc.Way().Hidden {
		if err := checkCase(r.Case); err != nil {
			return nil, nil, api.Fail(api.Usage, "--case \"HN/2026/77\"", "say which case it is asked for, which both councils log: %v", err)
		}
	}
	if _, err := k.o.Ledger.StandardOf(doc.Standard); err != nil {
		return nil, nil, api.Fail(api.NotFound, "stile standard adopt "+doc.Standard.String(), "%v", err)
	}
	if err := k.o.Directory.Exchange(k.o.Now()); err != nil {
		return nil, nil, api.Fail(api.Refused, "stile directory status", "%v", err)
	}
	var err error
	if r.Question == "" {
		_, err = io.ReadFull(k.o.Random, q.ID[:])
	} else if q.ID, err = event.ParseQuestionID(r.Question); err != nil {
		err = api.Fail(api.Usage, "stile lookup list", "%v", err)
	}
	return doc, q, err
}

// AsksFor returns the footprint that this council may ask for under an agreement,
// once it is in force; "" for none.
func (k *Asker) AsksFor(doc *agreement.Agreement) name.Council {
	if doc.Way().Answers == agreement.AnswersNothing || slices.Contains(doc.To, k.o.Self) {
		return ""
	}
	for _, fp := range doc.To {
		if k.o.speaksFor(fp, doc, k.o.Self) {
			return fp
		}
	}
	return ""
}

// sign logs a question, before it is asked, and gives it its signed event.
func (k *Asker) sign(ctx context.Context, p *Posed, content event.Question) (err error) {
	if p.q.Event, err = k.o.Ledger.LogQuestion(ctx, content); err != nil {
		if errors.Is(err, ledger.ErrAnotherQuestion) {
			return api.Fail(api.Conflict, "leave out --question", "the question %s asked something else, or for another reason", p.q.ID)
		}
		return err
	}
	t, _, err := record.ParseEvent(p.q.Event)
	if err == nil {
		p.q.Entry = t.Entry()
	}
	return err
}

// ask logs a question, asks it and logs the answer. A question whose answer does
// not arrive is asked again, as the same.
func (k *Asker) ask(ctx context.Context, net wire.Network, p *Posed) (*Answer, error) {
	if net == nil {
		return nil, api.Fail(api.Behind, "stile serve", "the node is not running: a question is asked by a running node")
	}
	from := p.doc.From
	if p.q.Subjects != nil {
		from = p.q.To
	}
	shared := k.o.Footprints.Is(from)
	if _, ok := k.o.Directory.Member(from); !ok && !shared {
		return nil, api.Fail(api.NotFound, "stile council list", "%s is not in the directory", from)
	}
	if err := k.o.Ledger.Allowed(from); err != nil {
		return nil, api.Fail(api.Refused, "stile council quarantine show "+string(from), "%v", err)
	}
	if err := k.sign(ctx, p, p.q.Content(p.doc)); err != nil {
		return nil, err
	}
	members := []name.Council{from}
	if shared {
		if members = k.connectedFirst(net, from); len(members) == 0 {
			return nil, api.Fail(api.NotFound, "ask a member for what stile footprint entry prints, and add it to the directory", "the directory lists no members of %s", from)
		}
	}
	var last error
	for _, m := range members {
		got, err := k.askOf(ctx, net, m, p)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// Any member may answer, so that one that does not is no matter. What the
		// first said is told, unless another knew better.
		if e, ok := errors.AsType[*api.Error](err); last == nil || ok && e.Kind == api.Refused || ok && e.Kind == api.Unverified {
			last = err
		}
	}
	return nil, last
}

// connectedFirst returns the members of a footprint, those there is a connection
// to first: they are likely to answer.
func (k *Asker) connectedFirst(net wire.Network, fp name.Council) []name.Council {
	members, connected := slices.Clone(k.o.Footprints.Members(fp)), net.Connected()
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

// askOf asks one council's node, again when the answer does not arrive.
func (k *Asker) askOf(ctx context.Context, net wire.Network, to name.Council, p *Posed) (*Answer, error) {
	again := "the same command with --question " + p.q.ID.String() + ": it is logged as one question"
	for try := 1; ; try++ {
		got, err := k.askOnce(ctx, net, to, p)
		if err == nil {
			return got, nil
		}
		var r *refusal
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &r) && r.code == codeNarrow && p.narrow(r.bits):
			continue // it was not charged
		case errors.As(err, &r):
			return nil, explain(p.doc, to, r)
		case errors.Is(err, ledger.ErrQuarantined):
			return nil, api.Fail(api.Refused, "stile council quarantine list", "%v", err)
		case errors.Is(err, judge.ErrLied):
			k.o.Log.Error("an answer does not verify", "from", to, "agreement", p.doc.Name, "question", p.q.ID.String(), "because", err.Error())
			k.keepFalseAnswer(ctx, to, p.doc, err)
			return nil, api.Fail(api.Unverified, "tell "+string(to)+": what was sent is not shown, and why is kept in stile status", "%s answered with what cannot be believed: %v", to, err)
		case errors.Is(err, judge.ErrWait):
			return nil, api.Fail(api.Behind, "stile directory refresh, and then "+again, "the answer of %s cannot be checked yet: %v", to, err)
		case lost(err) && try < tries:
			continue
		case errors.Is(err, wire.ErrProtocol):
			return nil, api.Fail(api.Unreachable, "ask "+string(to)+" to bring its node up to date", "the node of %s does not answer questions", to)
		case lost(err):
			return nil, api.Fail(api.Unreachable, again, "%s was asked, and the answer did not arrive: %v", to, err)
		}
		if e, ok := errors.AsType[*api.Error](err); ok {
			return nil, e
		}
		return nil, api.Fail(api.Unreachable, again, "%s cannot be asked now: %v", to, err)
	}
}

// lost reports whether an error leaves open if the question arrived.
func lost(err error) bool {
	return errors.Is(err, wire.ErrReset) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded)
}

// explain says to people what a refusal means.
func explain(doc *agreement.Agreement, by name.Council, r *refusal) error {
	reason := strings.ToValidUTF8(r.reason[:min(len(r.reason), 300)], "")
	kind, try := api.Refused, "stile agreement show "+string(doc.Name)
	switch r.code {
	case codeNotReady, codeElsewhere:
		kind, try = api.Behind, "ask again in a moment"
	case codeChanged:
		kind, try = api.Conflict, "the same command without --question"
	case codeSubjects:
		try = "agree on subject_questions in a new version, or ask at the contact that the agreement names"
	case codeBound:
		try = "wait until then; the bound is the answering council's"
	case codeLarge:
		try = "count by fewer fields, or by fields with fewer values"
	}
	return api.Fail(kind, try, "%s refused the question: %s", by, reason)
}

// askOnce asks a council's node once and checks what it answers.
func (k *Asker) askOnce(ctx context.Context, net wire.Network, to name.Council, p *Posed) (*Answer, error) {
	if err := k.o.Ledger.Allowed(to); err != nil {
		return nil, err
	}
	st, err := net.Open(ctx, to, wirepb.LookupProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	in, out := bufio.NewReader(st), bufio.NewWriter(st)
	seen := k.o.Ledger.Known(p.logOf(to)).Size
	st.SetDeadline(k.o.Now().Add(questionWithin))
	if err := wirepb.WriteQuestion(out, p.Message(seen)); err != nil {
		return nil, err
	}
	wait := questionWithin
	if p.doc.Way().Answers == agreement.AnswersCounts {
		wait = countWithin
	}
	st.SetDeadline(k.o.Now().Add(wait))
	a, err := wirepb.ReadAnswer(in)
	if err != nil {
		st.Reset()
		if errors.Is(err, wire.ErrFrame) {
			err = lied("it is not of the protocol")
		}
		return nil, err
	}
	if a.GetCode() != "" {
		return nil, &refusal{a.GetCode(), a.GetReason(), int(a.GetBits())}
	}
	got, err := k.check(ctx, to, p, seen, a)
	if err != nil {
		st.Reset()
		return nil, err
	}
	receipt, err := k.o.Ledger.LogReceipt(ctx, p.receipt(to, got))
	if err != nil {
		return nil, err
	}
	// The answer is logged and ours; that the receipt gets there too is a courtesy.
	st.SetDeadline(k.o.Now().Add(questionWithin))
	if wirepb.WriteReceipt(out, &wirepb.Receipt{Event: receipt}) == nil && st.CloseWrite() == nil {
		_, err := in.ReadByte() // the other side has read it when it closes
		got.Receipt = err == io.EOF
	}
	return &got.Answer, nil
}

// receipt returns what our receipt for an answer says.
func (p *Posed) receipt(to name.Council, got *checked) event.AnswerReceipt {
	r := event.AnswerReceipt{Agreement: p.doc.Name, From: to, For: p.q.For, ID: p.q.ID, Answer: got.entry, Result: got.content.Result}
	r.Footprint = p.answersFor(to)
	r.Size, r.Root = got.Checkpoint.Size, got.Checkpoint.Root
	return r
}

// keepFalseAnswer keeps what no honest council can have sent, for status to show.
func (k *Asker) keepFalseAnswer(ctx context.Context, by name.Council, doc *agreement.Agreement, why error) {
	src, err := k.o.Ledger.OpenSource(ctx, by, "")
	if err == nil {
		r := ledger.Refusal{From: by, Agreement: doc.Name, Rule: "answer: " + why.Error(), At: k.o.Now().UTC()}
		err = k.o.Ledger.Refuse(ctx, src, r)
	}
	if err != nil {
		k.o.Log.Error("keep a refusal", "error", err.Error())
	}
}
