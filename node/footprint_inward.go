package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// A council outside brings records into a footprint through a member, whichever
// answers. What it brings it has signed, and the members check that as they do one
// another's; the member that passes it on answers for the agreement being in force.
//
// A stream of this protocol carries one question and its answer, a frame of JSON
// each. Before it answers, the member has applied what the footprint had decided
// when it was asked, and what it was asked to pass on.
const inwardProtocol = "/stile/footprint-in/1"

const (
	maxInward       = 4 << 20
	maxInwardAnswer = 1 << 20
	inwardTimeout   = 30 * time.Second // for a frame
	inwardWithin    = 15 * time.Second // for the work
)

// What may be asked.
const (
	inwardState = "state" // how things stand
	inwardHolds = "holds" // which of the records named are there
	inwardList  = "list"  // some of the asker's live records of the agreement's line
	inwardPage  = "page"  // pass a page on
	inwardProof = "proof" // that entries stand in the log, once a majority has cosigned that
)

// inwardAsk is a question of a council outside.
type inwardAsk struct {
	Footprint name.Council   `json:"footprint"`
	Agreement name.Agreement `json:"agreement"`
	Digest    string         `json:"digest"` // of the text, as in its signature
	Ask       string         `json:"ask"`
	Records   []name.Record  `json:"records,omitempty"` // holds
	Since     uint64         `json:"since,omitempty"`   // page
	Cursor    uint64         `json:"cursor,omitempty"`  // page
	Tokens    []string       `json:"tokens,omitempty"`  // page
	Indexes   []uint64       `json:"indexes,omitempty"` // proof: of the footprint's log, ascending
}

// inwardAnswer is what a member says, or why it does not.
type inwardAnswer struct {
	Refused   string          `json:"refused,omitempty"`
	Cursor    uint64          `json:"cursor,omitempty"`    // state
	Held      int             `json:"held,omitempty"`      // state: live records of the line
	Standards []string        `json:"standards,omitempty"` // state: of the line, adopted
	Holds     []inwardHeld    `json:"holds,omitempty"`     // holds, in the order asked
	Records   []name.Record   `json:"records,omitempty"`   // list
	Position  uint64          `json:"position,omitempty"`  // page
	Outcomes  []inwardOutcome `json:"outcomes,omitempty"`  // page, in the order offered
	// Checkpoint is the note and Inclusion the batch proof, of a proof.
	Checkpoint string `json:"checkpoint,omitempty"`
	Inclusion  []byte `json:"inclusion,omitempty"`
}

type inwardHeld struct {
	Record name.Record `json:"record"`
	Entry  tlog.Hash   `json:"entry"`
	Token  []byte      `json:"token"` // its SHA-256
}

type inwardOutcome struct {
	Code  footprint.Code `json:"code"`
	Entry uint64         `json:"entry,omitempty"`
	Rule  string         `json:"rule,omitempty"`
}

var errInward = errors.New("not a message of " + inwardProtocol)

// parseInwardAsk reads a question, within its bounds.
func parseInwardAsk(b []byte) (q inwardAsk, err error) {
	if json.Unmarshal(b, &q) != nil {
		return q, errInward
	}
	if _, err := name.ParseCouncil(string(q.Footprint)); err != nil {
		return q, errInward
	}
	if _, err := name.ParseAgreement(string(q.Agreement)); err != nil {
		return q, errInward
	}
	if _, err := agreement.ParseDigest(q.Digest); err != nil {
		return q, errInward
	}
	ok := len(q.Records) <= 2*flowItems && len(q.Tokens) <= 2*flowItems && q.Cursor >= q.Since
	for _, r := range q.Records {
		_, err := name.ParseRecord(string(r))
		ok = ok && err == nil
	}
	for _, t := range q.Tokens {
		ok = ok && t != ""
	}
	switch q.Ask {
	case inwardProof:
		for i, at := range q.Indexes {
			ok = ok && at < tlog.MaxSize && (i == 0 || at > q.Indexes[i-1])
		}
		ok = ok && len(q.Indexes) > 0 && len(q.Indexes) <= 2*flowItems
	case inwardState, inwardHolds, inwardList, inwardPage:
	default:
		ok = false
	}
	if !ok {
		return q, errInward
	}
	return q, nil
}

// parseInwardAnswer reads the answer to a question, within its bounds.
func parseInwardAnswer(b []byte, q inwardAsk) (a inwardAnswer, err error) {
	if json.Unmarshal(b, &a) != nil {
		return a, errInward
	}
	a.Refused = strings.ToValidUTF8(a.Refused[:min(len(a.Refused), 300)], "")
	if a.Refused != "" {
		return inwardAnswer{Refused: a.Refused}, nil
	}
	ok := a.Held >= 0 && len(a.Records) <= flowItems
	for _, h := range a.Holds {
		ok = ok && slices.Contains(q.Records, h.Record) && len(h.Token) == 32
	}
	for _, r := range a.Records {
		_, err := name.ParseRecord(string(r))
		ok = ok && err == nil
	}
	for _, s := range a.Standards {
		_, err := name.ParseStandard(s)
		ok = ok && err == nil
	}
	for _, o := range a.Outcomes {
		ok = ok && o.Code >= footprint.Accepted && o.Code <= footprint.Refused && len(o.Rule) <= 1024
	}
	if !ok || q.Ask == inwardPage && len(a.Outcomes) != len(q.Tokens) {
		return inwardAnswer{}, errInward
	}
	return a, nil
}

// serveInward answers one question of a council outside.
func (n *Node) serveInward(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	st.SetDeadline(time.Now().Add(inwardTimeout))
	b, err := wire.ReadFrame(bufio.NewReader(st), maxInward)
	if err != nil {
		st.Reset()
		return
	}
	q, err := parseInwardAsk(b)
	if err != nil {
		st.Reset()
		return
	}
	work, cancel := context.WithTimeout(ctx, inwardWithin)
	answer, err := n.inward(work, from, q)
	cancel()
	if err != nil {
		n.log.Info("records for a footprint not passed on", "footprint", q.Footprint, "from", from, "because", err.Error())
		answer = &inwardAnswer{Refused: "it cannot be passed on now"}
		if errors.Is(err, footprint.ErrUnavailable) {
			answer.Refused = "no majority of the members answers"
		}
	}
	if b, err = json.Marshal(answer); err != nil {
		st.Reset()
		return
	}
	bw := bufio.NewWriter(st)
	st.SetDeadline(time.Now().Add(inwardTimeout))
	if wire.WriteFrame(bw, b) != nil || bw.Flush() != nil {
		st.Reset()
	}
}

// inward answers a question as a member of the footprint.
func (n *Node) inward(ctx context.Context, from name.Council, q inwardAsk) (*inwardAnswer, error) {
	refuse := func(why string) (*inwardAnswer, error) { return &inwardAnswer{Refused: why}, nil }
	r := n.prints.at(q.Footprint)
	if r == nil || r.council != nil || !slices.Contains(r.f.Councils(), n.cfg.Council) {
		return refuse("no replica of that footprint is open here")
	}
	if err := n.directory.Exchange(n.now()); err != nil {
		return refuse(err.Error())
	}
	if m, ok := n.directory.Member(from); !ok || !m.ActiveAt(n.now()) {
		return refuse("you are no member of our directory")
	}
	doc := n.textFrom(from, q, r.name)
	if doc == nil {
		return refuse("no such agreement with you")
	}
	if !slices.Contains(r.f.Contributors(), from) {
		return refuse("you may not bring records yet: a majority of the members has to take you in, which their nodes do by themselves")
	}
	k := kept{r.f, from}
	if err := k.level(ctx); err != nil {
		return nil, err
	}
	out := &inwardAnswer{}
	var err error
	switch q.Ask {
	case inwardState:
		for _, s := range r.f.Standards() {
			if s.Line() == doc.Standard {
				out.Standards = append(out.Standards, s.String())
			}
		}
		if out.Held, err = k.count(doc.Standard); err == nil {
			out.Cursor, err = r.f.ContributedBy(from, q.Agreement)
		}
	case inwardHolds:
		var there map[name.Record]holding
		there, err = k.holds(ctx, nil, q.Records)
		for _, rec := range q.Records {
			if h, ok := there[rec]; ok {
				out.Holds = append(out.Holds, inwardHeld{rec, h.entry, h.token[:]})
			}
		}
	case inwardList:
		out.Records, err = k.list(doc.Standard)
	case inwardProof:
		last := q.Indexes[len(q.Indexes)-1]
		cp, signed := r.f.Checkpoint()
		for ; cp.Size <= last && ctx.Err() == nil; cp, signed = r.f.Checkpoint() {
			pause(ctx, 100*time.Millisecond)
		}
		if cp.Size <= last {
			return refuse("no majority has cosigned it yet")
		}
		var proof []tlog.Hash
		proof, err = r.f.ProveEntries(q.Indexes, cp.Size)
		out.Checkpoint, out.Inclusion = string(signed), tlog.JoinHashes(proof)
	case inwardPage:
		if why := n.beyondPage(r, doc, q); why != "" {
			return refuse(why)
		}
		var entries []footprint.Entry
		for _, t := range q.Tokens {
			entries = append(entries, footprint.Entry{Token: []byte(t)})
		}
		var got footprint.Receipt
		if got, err = r.f.ContributeFor(ctx, from, q.Agreement, q.Since, q.Cursor, entries...); err == nil {
			err = r.f.Await(ctx, got.Position)
		}
		out.Position = got.Position
		for _, o := range got.Outcomes {
			out.Outcomes = append(out.Outcomes, inwardOutcome{o.Code, o.Entry, o.Rule})
		}
	}
	if rule, ok := errors.AsType[*footprint.Refusal](err); ok {
		return refuse(rule.Rule)
	}
	return out, err
}

// textFrom finds the text of an agreement by which a council may ask about a
// footprint. It need not be in force: what is over is withdrawn.
func (n *Node) textFrom(from name.Council, q inwardAsk, fp name.Council) *agreement.Agreement {
	for _, st := range n.book.versions(q.Agreement, n.now()) {
		a := st.Agreement
		if st.Digest.String() == q.Digest && a.From == from && slices.Contains(a.To, fp) && a.Mode == agreement.Replicate {
			return a
		}
	}
	return nil
}

// beyondPage says what of a page is beyond the agreement; "" for nothing.
// Withdrawals are passed on whatever has become of it.
func (n *Node) beyondPage(r *replica, doc *agreement.Agreement, q inwardAsk) string {
	terms := map[name.Standard]*agreement.Terms{}
	stds := map[name.Standard]*standard.Standard{}
	for i, token := range q.Tokens {
		if !strings.Contains(token, "~") {
			_, ev, err := record.ParseEvent([]byte(token))
			if err != nil || ev.Kind != ledger.KindWithdrawal {
				return fmt.Sprintf("entry %d of the page is neither a record nor a withdrawal", i)
			}
			continue
		}
		if now, why := n.book.InForce(doc.Name, n.now()); now == nil {
			return why
		} else if now.Digest() != doc.Digest() {
			return fmt.Sprintf("version %d of the agreement is in force", now.Version)
		}
		t, err := record.Parse([]byte(token))
		var v *record.View
		if err == nil {
			v, err = t.View()
		}
		if err != nil || v.Standard.Line() != doc.Standard {
			return fmt.Sprintf("entry %d of the page is no record of %s", i, doc.Standard)
		}
		if v.Op != record.Put {
			continue
		}
		if _, ok := stds[v.Standard]; !ok {
			std, err := r.f.Standard(v.Standard)
			if err != nil {
				return footprint.RuleStandard
			}
			stds[v.Standard] = std
			terms[v.Standard], _ = doc.Compile(std) // nil lets nothing through
		}
		if rule, _ := beyond(terms[v.Standard], stds[v.Standard], v); rule != "" {
			return fmt.Sprintf("entry %d of the page: %s", i, rule)
		}
	}
	return ""
}

// letIn has the footprint take in councils outside by whose agreements, in force
// and signed by us, their records are to come in. Whoever leads proposes it; when
// it has not signed, another that has, in the order of their signatures, if it does
// not come about by itself.
func (n *Node) letIn(ctx context.Context, r *replica) error {
	members := r.f.Councils()
	if !r.f.Formed() || !slices.Contains(members, n.cfg.Council) {
		return nil
	}
	var errs []error
	proposed := r.f.Proposed()
	for _, st := range n.book.all(n.now()) {
		a := st.Agreement
		if a.From == proposed && st.InForce() && slices.Contains(a.To, r.name) {
			proposed = ""
		}
		if !st.InForce() || a.Mode != agreement.Replicate || !slices.Contains(a.To, r.name) || slices.Contains(members, a.From) || slices.Contains(r.f.Contributors(), a.From) {
			continue
		}
		signers, err := r.signers(a.Ref())
		if err != nil {
			return err
		}
		turn := slices.Index(signers, n.cfg.Council)
		if turn < 0 {
			continue
		}
		r.mu.Lock()
		if r.since[a.From].IsZero() {
			r.since[a.From] = n.now()
		}
		waited := n.now().Sub(r.since[a.From]) > time.Duration(turn+2)*listenMost
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, listenMost)
		_, err = r.f.LetIn(ctx, a.From, waited)
		cancel()
		errs = append(errs, err)
	}
	if proposed != "" {
		// The agreement ended before a majority could agree: other changes wait.
		ctx, cancel := context.WithTimeout(ctx, listenMost)
		_, err := r.f.Cancel(ctx)
		cancel()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// through is the inlet of a footprint that others keep.
type through struct {
	n    *Node
	name name.Council
	turn atomic.Uint32 // moves who is asked first
}

// ask puts a question to the members, one after the other, until one answers it.
func (t *through) ask(ctx context.Context, f *ledger.Feed, q inwardAsk) (a inwardAnswer, err error) {
	n := t.n
	if err := n.directory.Exchange(n.now()); err != nil {
		return a, err
	}
	n.mu.Lock()
	net := n.net
	n.mu.Unlock()
	if net == nil {
		return a, errNotServing()
	}
	q.Footprint, q.Agreement, q.Digest = t.name, f.Agreement, f.Digest.String()
	b, err := json.Marshal(q)
	if err != nil || len(b) > maxInward {
		return a, errors.Join(err, fmt.Errorf("internal error: a page of %d bytes", len(b)))
	}
	members := n.keepers(t.name)
	if len(members) == 0 {
		return a, fmt.Errorf("the directory lists no members of %s", t.name)
	}
	var errs []string
	for _, m := range inTurn(members, net.Connected(), int(t.turn.Load())) {
		a, err := t.askMember(ctx, net, m, b, q)
		if err == nil && a.Refused == "" {
			return a, nil
		}
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		if err == nil {
			err = errors.New(a.Refused)
		}
		errs = append(errs, fmt.Sprintf("%s: %v", m, err))
	}
	return a, errors.New(strings.Join(errs, "; "))
}

func (t *through) askMember(ctx context.Context, net wire.Network, m name.Council, b []byte, q inwardAsk) (a inwardAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, inwardWithin+inwardTimeout)
	defer cancel()
	st, err := net.Open(ctx, m, inwardProtocol)
	if err != nil {
		return a, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	bw := bufio.NewWriter(st)
	st.SetDeadline(time.Now().Add(inwardWithin + inwardTimeout))
	if err := errors.Join(wire.WriteFrame(bw, b), bw.Flush()); err != nil {
		st.Reset()
		return a, err
	}
	if b, err = wire.ReadFrame(bufio.NewReader(st), maxInwardAnswer); err != nil {
		st.Reset()
		return a, err
	}
	return parseInwardAnswer(b, q)
}

func (t *through) number(ctx context.Context, f *ledger.Feed) (uint64, error) {
	a, err := t.ask(ctx, f, inwardAsk{Ask: inwardState})
	return a.Cursor, err
}

func (t *through) standards(ctx context.Context, f *ledger.Feed) (out []name.Standard, err error) {
	a, err := t.ask(ctx, f, inwardAsk{Ask: inwardState})
	for _, s := range a.Standards {
		std, err := name.ParseStandard(s)
		if err != nil {
			return nil, err
		}
		out = append(out, std)
	}
	return out, err
}

func (t *through) holds(ctx context.Context, f *ledger.Feed, rs []name.Record) (map[name.Record]holding, error) {
	a, err := t.ask(ctx, f, inwardAsk{Ask: inwardHolds, Records: rs})
	out := map[name.Record]holding{}
	for _, h := range a.Holds {
		out[h.Record] = holding{h.Entry, [32]byte(h.Token)}
	}
	return out, err
}

func (t *through) held(ctx context.Context, f *ledger.Feed) (int, error) {
	a, err := t.ask(ctx, f, inwardAsk{Ask: inwardState})
	return a.Held, err
}

func (t *through) ours(ctx context.Context, f *ledger.Feed) ([]name.Record, error) {
	a, err := t.ask(ctx, f, inwardAsk{Ask: inwardList})
	return a.Records, err
}

func (t *through) contribute(ctx context.Context, f *ledger.Feed, since, cursor uint64, entries []footprint.Entry) (footprint.Receipt, error) {
	q := inwardAsk{Ask: inwardPage, Since: since, Cursor: cursor}
	for _, e := range entries {
		q.Tokens = append(q.Tokens, string(bytes.Clone(e.Token)))
	}
	a, err := t.ask(ctx, f, q)
	out := footprint.Receipt{Position: a.Position}
	for _, o := range a.Outcomes {
		out.Outcomes = append(out.Outcomes, footprint.Outcome{Code: o.Code, Entry: o.Entry, Rule: o.Rule})
	}
	return out, err
}

// settled believes no member alone: what it said was taken must stand in the log
// under a checkpoint that more than half of the members, by the directory, cosigned.
func (t *through) settled(ctx context.Context, f *ledger.Feed, entries []footprint.Entry, got footprint.Receipt) error {
	at := map[uint64]tlog.Hash{}
	for i, o := range got.Outcomes {
		if o.Code == footprint.Refused {
			continue
		}
		entry, err := loggedAs(entries[i].Token)
		if err != nil {
			return fmt.Errorf("internal error: %w", err)
		}
		if was, ok := at[o.Entry]; ok && was != entry {
			return fmt.Errorf("%w: two entries at one place", errNotProved)
		}
		at[o.Entry] = entry
	}
	if len(at) == 0 {
		return nil
	}
	q := inwardAsk{Ask: inwardProof, Indexes: slices.Sorted(maps.Keys(at))}
	var hashes []tlog.Hash
	for _, i := range q.Indexes {
		hashes = append(hashes, at[i])
	}
	a, err := t.ask(ctx, f, q)
	if err != nil {
		return err
	}
	return t.n.checkInward(t.name, a, hashes, q.Indexes)
}

// checkInward checks the proof that entries stand in a footprint's log.
func (n *Node) checkInward(fp name.Council, a inwardAnswer, entries []tlog.Hash, indexes []uint64) error {
	ws, err := n.witnessesOf(fp)
	if err != nil {
		return err
	}
	cp, _, err := tlog.VerifyMajority([]byte(a.Checkpoint), fp.Origin(), ws...)
	if err != nil {
		return fmt.Errorf("its checkpoint is not cosigned by a majority of the members that the directory lists: %w", err)
	}
	proof, err := tlog.SplitHashes(a.Inclusion)
	if err != nil || tlog.VerifyBatch(entries, indexes, cp.Size, cp.Root, proof) != nil {
		return fmt.Errorf("%w: entries without proof that they stand in the log", errNotProved)
	}
	return nil
}

// loggedAs returns the hash by which a log knows a token.
func loggedAs(token []byte) (tlog.Hash, error) {
	if bytes.IndexByte(token, '~') < 0 {
		t, _, err := record.ParseEvent(token)
		if err != nil {
			return tlog.Hash{}, err
		}
		return t.Entry(), nil
	}
	t, err := record.Parse(token)
	if err != nil {
		return tlog.Hash{}, err
	}
	return t.Entry(), nil
}
