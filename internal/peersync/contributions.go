package peersync

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
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
	ok := len(q.Records) <= 2*partItems && len(q.Tokens) <= 2*partItems && q.Cursor >= q.Since
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
		ok = ok && len(q.Indexes) > 0 && len(q.Indexes) <= 2*partItems
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
	ok := a.Held >= 0 && len(a.Records) <= partItems
	for _, h := range a.Holds {
		ok = ok && slices.Contains(q.Records, h.Record) && len(h.Token) == 32
	}
	for _, r := range a.Records {
		_, err := name.ParseRecord(string(r))
		ok = ok && err == nil
	}
	for _, std := range a.Standards {
		_, err := name.ParseStandard(std)
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
func (s *Syncer) serveInward(ctx context.Context, from name.Council, st wire.Stream) {
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
	answer, err := s.inward(work, from, q)
	cancel()
	if err != nil {
		s.o.Log.Info("records for a footprint not passed on", "footprint", q.Footprint, "from", from, "because", err.Error())
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
func (s *Syncer) inward(ctx context.Context, from name.Council, q inwardAsk) (*inwardAnswer, error) {
	refuse := func(why string) (*inwardAnswer, error) { return &inwardAnswer{Refused: why}, nil }
	r := s.open(q.Footprint)
	if r == nil || !r.member() {
		return refuse("no replica of that footprint is open here")
	}
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return refuse(err.Error())
	}
	if m, ok := s.o.Directory.Member(from); !ok || !m.ActiveAt(s.o.Now()) {
		return refuse("you are no member of our directory")
	}
	doc := s.textFrom(from, q, r.name)
	if doc == nil {
		return refuse("no such agreement with you")
	}
	if !slices.Contains(r.f.Contributors(), from) {
		return refuse("you may not bring records yet: a majority of the members has to take you in, which their nodes do by themselves")
	}
	o := ownReplica{r.f, from}
	if err := o.catchUp(ctx); err != nil {
		return nil, err
	}
	out := &inwardAnswer{}
	var err error
	switch q.Ask {
	case inwardState:
		var st destinationState
		if st, err = o.stateHere(q.Agreement, doc.Standard); err == nil {
			out.Held, err = o.countHere(doc.Standard)
		}
		out.Cursor = st.sequence
		for _, std := range st.standards {
			out.Standards = append(out.Standards, std.String())
		}
	case inwardHolds:
		var there map[name.Record]holding
		there, err = o.holdings(ctx, nil, q.Records)
		for _, rec := range q.Records {
			if h, ok := there[rec]; ok {
				out.Holds = append(out.Holds, inwardHeld{rec, h.entry, h.token[:]})
			}
		}
	case inwardList:
		out.Records, err = o.recordsHere(doc.Standard)
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
		if why := s.beyondPage(r, doc, q); why != "" {
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
func (s *Syncer) textFrom(from name.Council, q inwardAsk, fp name.Council) *agreement.Agreement {
	for _, st := range s.o.Book.Texts(q.Agreement, s.o.Now()) {
		a := st.Agreement
		if st.Digest.String() == q.Digest && a.From == from && slices.Contains(a.To, fp) && a.Mode == agreement.Replicate {
			return a
		}
	}
	return nil
}

// beyondPage says why a page is not passed on; "" for one that is. Withdrawals are
// passed on whatever has become of the agreement.
func (s *Syncer) beyondPage(r *replica, doc *agreement.Agreement, q inwardAsk) string {
	var entries [][]byte
	records := false
	for _, t := range q.Tokens {
		entries, records = append(entries, []byte(t)), records || strings.Contains(t, "~")
	}
	if records {
		if now, why := s.o.Agreements.InForce(doc.Name, s.o.Now()); now == nil {
			return why
		} else if now.Digest() != doc.Digest() {
			return fmt.Sprintf("version %d of the agreement is in force", now.Version)
		}
	}
	return s.o.Judge.Brought(doc, r.f.Standard, entries)
}
