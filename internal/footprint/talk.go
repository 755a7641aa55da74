package footprint

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// A stream of talkProtocol carries one request and its answer, a frame each. A
// request is
//
//	ask1 footprint rest
//
// footprint being a text as in a command. By ask, rest and answer are
//
//	1 put         a group → position8, number of outcomes, each code1 entry8 rule
//	2 read        nothing → position8: what a linearizable read waits for
//	3 cosignature JSON cosignature → nothing
//	4 self        nothing → JSON Peer: what the member says of itself
//	5 checkpoint  nothing → the newest checkpoint that counts, a note, or nothing
//	6 orders      from8 → JSON orders: what a former member is to erase; see former.go
//
// An answer begins with one byte: 0, or else 1 and an error, JSON talkError.
// Asks 1 to 4 are for members, 5 for every council of the directory, 6 for former
// members, and 1 with a receipt of theirs.
const (
	askPut        = 1
	askRead       = 2
	askCosign     = 3
	askSelf       = 4
	askCheckpoint = 5
	askOrders     = 6
)

const (
	maxRequest = MaxEntry + maxBatchBytes + 1024
	maxAnswer  = 1 << 20
	// talkTimeout is how long a request may take to come in, and an answer to
	// be written.
	talkTimeout = 20 * time.Second
	// serveTimeout bounds the work on one request.
	serveTimeout = 15 * time.Second
)

// A talkError is an error that crosses between members. It holds no value of a
// record.
type talkError struct {
	Code string `json:"code"` // "not-leader", "unsure", "full", "refused", "stopped"
	Text string `json:"text"`
	// Leader is who leads, for a council that is only joining. An older member
	// does not say.
	Leader name.Council `json:"leader,omitempty"`
}

// elsewhere says who leads. It is an errNotLeader.
type elsewhere struct{ leader name.Council }

func (e *elsewhere) Error() string { return string(e.leader) + " leads" }

func (e *elsewhere) Unwrap() error { return errNotLeader }

type request struct {
	ask       byte
	footprint name.Council
	rest      []byte
}

func (q request) encode() []byte {
	return append(appendBytes([]byte{q.ask}, []byte(q.footprint)), q.rest...)
}

// parseRequest reads a request; the result shares memory with b.
func parseRequest(b []byte) (request, error) {
	r := reader{b: b}
	q := request{ask: r.byte()}
	fp := r.bytes()
	c, err := name.ParseCouncil(string(fp))
	if r.bad || err != nil || q.ask < askPut || q.ask > askOrders {
		return request{}, errors.New("not a request")
	}
	q.footprint, q.rest = c, r.b
	return q, nil
}

func encodeReceipt(r Receipt) []byte {
	b := binary.BigEndian.AppendUint64(nil, r.Position)
	b = binary.AppendUvarint(b, uint64(len(r.Outcomes)))
	for _, o := range r.Outcomes {
		b = append(b, byte(o.Code))
		b = binary.BigEndian.AppendUint64(b, o.Entry)
		b = appendBytes(b, []byte(o.Rule))
	}
	return b
}

func parseReceipt(b []byte) (Receipt, error) {
	r := reader{b: b}
	out := Receipt{Position: r.uint64()}
	for range r.count(maxBatchGroup) {
		o := Outcome{Code: Code(r.byte()), Entry: r.uint64(), Rule: string(r.bytes())}
		if o.Code < Accepted || o.Code > Again || len(o.Rule) > 1024 {
			r.bad = true
		}
		if r.bad {
			break
		}
		out.Outcomes = append(out.Outcomes, o)
	}
	if r.bad || len(r.b) > 0 {
		return Receipt{}, errors.New("not a receipt")
	}
	return out, nil
}

// talk answers one request.
func (h *Hub) talk(ctx context.Context, from name.Council, s wire.Stream) {
	if s.SetDeadline(time.Now().Add(talkTimeout)) != nil {
		s.Reset()
		return
	}
	b, err := wire.ReadFrame(bufio.NewReader(s), maxRequest)
	if err != nil {
		s.Reset()
		return
	}
	var answer []byte
	q, err := parseRequest(b)
	if err == nil {
		f := h.footprint(q.footprint)
		if f == nil {
			err = fmt.Errorf("%w: no replica of that footprint is open here", errNotLeader) // it may be starting
		} else {
			wctx, cancel := context.WithTimeout(ctx, serveTimeout)
			answer, err = f.serve(wctx, from, q)
			cancel()
		}
	}
	if err != nil {
		e, merr := json.Marshal(toTalkError(err))
		if merr != nil {
			s.Reset()
			return
		}
		answer = append([]byte{1}, e...)
	} else {
		answer = append([]byte{0}, answer...)
	}
	bw := bufio.NewWriter(s)
	if s.SetDeadline(time.Now().Add(talkTimeout)) != nil || wire.WriteFrame(bw, answer) != nil || bw.Flush() != nil {
		s.Reset()
		return
	}
	s.Close()
}

func toTalkError(err error) talkError {
	e := talkError{Code: "refused", Text: err.Error()}
	switch {
	case errors.Is(err, errNotLeader), errors.Is(err, errNoLeader):
		e.Code = "not-leader"
		if to, ok := errors.AsType[*elsewhere](err); ok {
			e.Leader = to.leader
		}
	case errors.Is(err, errUnsure), errors.Is(err, context.DeadlineExceeded):
		e.Code = "unsure"
	case errors.Is(err, ErrFull):
		e.Code = "full"
	case errors.Is(err, ErrStopped), errors.Is(err, ErrClosed):
		e.Code = "not-leader"
	}
	return e
}

func (e talkError) err(from name.Council) error {
	text := e.Text
	if len(text) > 300 {
		text = text[:300]
	}
	switch e.Code {
	case "not-leader":
		if c, err := name.ParseCouncil(string(e.Leader)); err == nil {
			return fmt.Errorf("%s: %w", from, &elsewhere{c})
		}
		return fmt.Errorf("%s: %w", from, errNotLeader)
	case "unsure":
		return fmt.Errorf("%s: %w", from, errUnsure)
	case "full":
		return fmt.Errorf("%w at %s", ErrFull, from)
	case "refused":
		if e.Text == RuleMember {
			return fmt.Errorf("%s: %w", from, &Refusal{RuleMember})
		}
	}
	return fmt.Errorf("%s answered: %q", from, text)
}

func (f *Footprint) serve(ctx context.Context, from name.Council, q request) ([]byte, error) {
	select {
	case <-f.opened:
	case <-f.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, errNotLeader
	}
	if q.ask == askCheckpoint {
		_, signed := f.cosigned.best()
		return signed, nil
	}
	fm := f.fsm.state.Load().formers[from]
	if q.ask == askOrders {
		r := reader{b: q.rest}
		if index := r.uint64(); fm != nil && !r.bad && len(r.b) == 0 {
			return f.ordersFor(from, fm, index)
		}
		return nil, errors.New(RuleMember)
	}
	if known := f.knows(from); !known && (fm == nil || q.ask != askPut) {
		return nil, errors.New(RuleMember)
	}
	switch q.ask {
	case askPut:
		g, err := parseGroup(q.rest)
		if err != nil {
			return nil, err
		}
		if !f.knows(from) && !f.mayBring(fm, g) {
			return nil, errors.New(RuleMember)
		}
		if g.contributor != from && g.ofItsOwn() {
			// What of the contributor's standing each of us has applied may
			// differ, so that it is no evidence against who brings its page.
			if s := f.fsm.state.Load(); s.outside[g.contributor] == nil || s.members[from] == nil {
				return nil, errors.New(RuleMember)
			}
		} else if g.contributor != from {
			// No member passes another's entries on: the council that signed
			// them brings them itself.
			f.keepEvidence(Evidence{Council: from, At: f.o.Now().Unix(), What: "offered entries in another council's name"})
			return nil, errors.New("the entries are another council's")
		}
		if f.raft.State() != raft.Leader {
			if f.fsm.state.Load().members[from] != nil {
				return nil, errNotLeader
			}
			// A council that is only joining knows not whom to ask.
			_, id := f.raft.LeaderWithID()
			leader, _, ok := parseServer(string(id))
			if !ok || leader == f.o.Self || leader == from {
				return nil, errNoLeader
			}
			return nil, &elsewhere{leader}
		}
		r, err := f.enqueue(ctx, g)
		if err != nil {
			return nil, err
		}
		if g.contributor == from && slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Rule == RuleSeal }) {
			f.keepEvidence(Evidence{Council: from, At: f.o.Now().Unix(), What: "offered a page that it did not seal"})
		}
		for i, o := range r.Outcomes {
			if g.contributor == from && (o.Rule == "signature" || o.Rule == RuleIssuer) {
				f.keepEvidence(Evidence{Council: from, At: f.o.Now().Unix(), What: "offered an entry: " + o.Rule, Signed: []string{signedPart(g.entries[i].Token)}})
			}
		}
		return encodeReceipt(r), nil
	case askRead:
		p, err := f.readIndex()
		return binary.BigEndian.AppendUint64(nil, p), err
	case askCosign:
		c, err := parseCosignature(q.rest)
		if err != nil {
			return nil, err
		}
		return nil, f.addCosignature(from, c)
	case askSelf:
		return json.Marshal(f.self())
	}
	return nil, errors.New("not a request")
}

// ask sends one request to a council and returns its answer.
func (f *Footprint) ask(ctx context.Context, c name.Council, ask byte, rest []byte) (_ []byte, err error) {
	defer func() { f.heard(c, err) }()
	sent := func() {}
	if ask == askPut {
		// One after the other, since pages of an agreement that follow on each
		// other, sent side by side, would overtake each other and be refused.
		select {
		case f.sending <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("ask %s: %w: %w", c, errNotLeader, ctx.Err()) // nothing was sent
		}
		sent = sync.OnceFunc(func() { <-f.sending })
		defer sent()
	}
	return f.o.Hub.ask(ctx, f.o.Name, c, ask, rest, sent)
}

// ask sends one request about a footprint to a council and returns its answer. sent is
// called once the request is on its way.
func (h *Hub) ask(ctx context.Context, footprint, c name.Council, ask byte, rest []byte, sent func()) ([]byte, error) {
	s, err := h.net.Open(ctx, c, talkProtocol)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotLeader, err) // nothing was sent
	}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	bw := bufio.NewWriter(s)
	err = errors.Join(s.SetDeadline(time.Now().Add(2*talkTimeout)), wire.WriteFrame(bw, request{ask, footprint, rest}.encode()), bw.Flush())
	sent()
	var b []byte
	if err == nil {
		b, err = wire.ReadFrame(bufio.NewReader(s), maxAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w: %w", c, errUnsure, err)
	}
	if len(b) == 0 || b[0] > 1 {
		return nil, fmt.Errorf("ask %s: %w: not an answer", c, errUnsure)
	}
	if b[0] == 0 {
		return b[1:], nil
	}
	var e talkError
	if err := json.Unmarshal(b[1:], &e); err != nil {
		return nil, fmt.Errorf("ask %s: %w: not an answer", c, errUnsure)
	}
	return nil, e.err(c)
}

func (f *Footprint) forward(ctx context.Context, to name.Council, g group) (Receipt, error) {
	b, err := f.ask(ctx, to, askPut, g.append(nil))
	if err != nil {
		return Receipt{}, err
	}
	r, err := parseReceipt(b)
	if err != nil || len(r.Outcomes) != len(g.entries) {
		return Receipt{}, fmt.Errorf("%s: %w: not a receipt for what was offered", to, errUnsure)
	}
	return r, nil
}

// readIndex returns the position that a linearizable read must have applied:
// the leader's own, once it has shown that it is still the leader.
//
// Everything acknowledged before was either acknowledged by this leader, after
// it applied it, or by an earlier one, and then it is among what this leader
// applied before it took its first request (term.barrier).
func (f *Footprint) readIndex() (uint64, error) {
	t := f.ready.Load()
	if t == nil || f.raft.State() != raft.Leader {
		return 0, errNotLeader
	}
	p := f.fsm.current().Applied()
	if err := f.raft.VerifyLeader().Error(); err != nil || f.ready.Load() != t {
		return 0, errNotLeader
	}
	return p, nil
}

// Latest returns a position such that a read on this member, once it has
// Awaited it, sees everything that anybody was told yes about before the call.
// The error wraps ErrUnavailable when no majority answers.
func (f *Footprint) Latest(ctx context.Context) (uint64, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		p, err := f.readIndex()
		if err != nil {
			if _, id := f.raft.LeaderWithID(); id != "" {
				if c, _, ok := parseServer(string(id)); ok && c != f.o.Self {
					var b []byte
					lctx, cancel := f.whileLeads(ctx, c)
					b, err = f.ask(lctx, c, askRead, nil)
					cancel()
					if err == nil && len(b) == 8 {
						p = binary.BigEndian.Uint64(b)
					} else if err == nil {
						err = errors.New("not a position")
					}
				}
			}
		}
		if err == nil {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return 0, f.unavailable(err)
		case <-f.ctx.Done():
			return 0, ErrClosed
		case <-time.After(wait):
		}
	}
}

// Await returns once this member has applied everything up to a position.
func (f *Footprint) Await(ctx context.Context, position uint64) error {
	for {
		replica := f.fsm.current()
		changed := replica.Changed()
		if replica.Applied() >= position {
			return nil
		}
		if err := f.fsm.failure(); err != nil {
			return fmt.Errorf("%w: %w", ErrStopped, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for position %d: %w", position, ctx.Err())
		case <-f.ctx.Done():
			return ErrClosed
		case <-time.After(time.Second): // a snapshot may have taken its place
		}
	}
}

// AwaitJoined returns once what this member has applied says that it is a member.
func (f *Footprint) AwaitJoined(ctx context.Context) error {
	for {
		changed := f.fsm.current().Changed()
		if f.fsm.state.Load().members[f.o.Self] != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ctx.Done():
			return ErrClosed
		case <-time.After(time.Second): // a snapshot may have taken its place
		}
	}
}
