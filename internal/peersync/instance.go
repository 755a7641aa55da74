package peersync

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// An Instance is one process of a council: 16 bytes drawn at its start. The zero Instance
// is of a council that runs on several machines, which agree on their log without this.
//
// A node is moved, restarted or comes back from a backup under another instance, and the
// former speaks no more. Two nodes that run with one key speak by turns. That is how they are
// told apart, see log.proto.
type Instance [wirepb.InstanceSize]byte

// goneAfter is how long an instance that has no stream open, and did not say that it
// leaves, still counts as running: it dials again within seconds if it does.
const goneAfter = 15 * time.Second

// codeInstance: two processes speak with your key.
const codeInstance = "another-instance"

// maxSpeakers is how many instances of one council are remembered.
const maxSpeakers = 8

// A speaker is one instance of a council, as it was heard here.
type speaker struct {
	id      Instance
	first   uint64 // the count of instances when it was first heard
	at      time.Time
	streams int
	left    bool
	vouches map[Instance][]byte // what it signed about others
}

func (p *speaker) running(now time.Time) bool {
	return !p.left && (p.streams > 0 || now.Sub(p.at) < goneAfter)
}

// instances is what was heard of the processes of each council. It is in memory alone: who
// runs now is heard again after a restart.
type instances struct {
	now func() time.Time

	mu      sync.Mutex
	count   uint64 // of instances met, all councils together
	of      map[name.Council][]*speaker
	twice   map[name.Council]Twice
	changed chan struct{} // closed when an instance is met that is not the council's only one, or two are known to run
}

// Twice says that two processes of one council were heard at once.
type Twice struct {
	Council name.Council
	Since   time.Time
	a, b    Instance
}

func newInstances(now func() time.Time) *instances {
	return &instances{now: now, of: map[name.Council][]*speaker{}, twice: map[name.Council]Twice{}, changed: make(chan struct{})}
}

// begun returns what to hand to heard later: what is heard then was said after now.
func (x *instances) begun() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

// awake returns a channel that is closed when some stream has to be looked at.
func (x *instances) awake() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.changed
}

func (x *instances) wake() {
	close(x.changed)
	x.changed = make(chan struct{})
}

func (x *instances) speaker(c name.Council, id Instance) *speaker {
	for _, p := range x.of[c] {
		if p.id == id {
			return p
		}
	}
	return nil
}

// heard notes that an instance of a council said something after begun. streams is by how
// many streams more, or less, it has open.
func (x *instances) heard(c name.Council, id Instance, begun uint64, streams int) {
	if id == (Instance{}) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	now, p := x.now(), x.speaker(c, id)
	if p == nil {
		x.count++
		p = &speaker{id: id, first: x.count, vouches: map[Instance][]byte{}}
		list := append(x.of[c], p)
		if len(list) > maxSpeakers { // the one that has been silent for longest
			i := slices.IndexFunc(list, func(q *speaker) bool { return q.streams == 0 && !q.running(now) })
			list = slices.Delete(list, max(i, 0), max(i, 0)+1)
		}
		x.of[c] = list
		if len(list) > 1 {
			x.wake() // streams of the others are ended, so that whoever is there says so
		}
	}
	p.streams += streams
	if streams < 0 {
		return // the end of a stream says nothing
	}
	p.at, p.left = now, false
	for _, q := range x.of[c] {
		if q.first > p.first && q.first <= begun && q.running(now) {
			if _, known := x.twice[c]; !known {
				x.twice[c] = Twice{Council: c, Since: now.UTC(), a: p.id, b: q.id}
				x.wake()
			}
		}
	}
}

// leaves notes that an instance stops.
func (x *instances) leaves(c name.Council, id Instance) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.speaker(c, id); p != nil {
		p.left = true
	}
}

// isTwice reports whether two processes of a council run, as far as was heard.
func (x *instances) isTwice(c name.Council) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.twiceNow(c)
}

func (x *instances) twiceNow(c name.Council) bool {
	t, ok := x.twice[c]
	if !ok {
		return false
	}
	for _, id := range []Instance{t.a, t.b} {
		if p := x.speaker(c, id); p == nil || !p.running(x.now()) {
			delete(x.twice, c)
			return false
		}
	}
	return true
}

// all returns the councils of which two processes run.
func (x *instances) all() (out []Twice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c, t := range x.twice {
		if x.twiceNow(c) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b Twice) int { return strings.Compare(string(a.Council), string(b.Council)) })
	return out
}

// older reports whether another instance of the council was heard after this one, so that
// its streams are to be ended: if it is still there it says so.
func (x *instances) older(c name.Council, id Instance) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.speaker(c, id)
	return p != nil && slices.ContainsFunc(x.of[c], func(q *speaker) bool { return q.first > p.first && q.running(x.now()) })
}

// other returns the instance of a council, beside one, that was heard last and runs as far
// as is known, and what it vouched about that one; zero for none.
func (x *instances) other(c name.Council, id Instance) (other Instance, vouch []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var last *speaker
	for _, p := range x.of[c] {
		if p.id != id && p.running(x.now()) && (last == nil || p.at.After(last.at)) {
			last = p
		}
	}
	if last == nil {
		return Instance{}, nil
	}
	return last.id, last.vouches[id]
}

// vouched keeps what an instance signed about another.
func (x *instances) vouched(c name.Council, id, other Instance, signed []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.speaker(c, id); p != nil && x.speaker(c, other) != nil {
		p.vouches[other] = signed
	}
}

// Vouch signs that an instance of a council knows of another; see log.proto.
func Vouch(signer note.Signer, c name.Council, id, other Instance) ([]byte, error) {
	return note.Sign(&note.Note{Text: vouchText(c, id, other)}, signer)
}

func vouchText(c name.Council, id, other Instance) string {
	return fmt.Sprintf("stile instance 1\n%s\n%x\n%x\n", c, id, other)
}

var errVouch = errors.New("it is no vouch of the council's log key")

// ParseVouch returns which instance of a council signed about which.
func ParseVouch(signed []byte, c name.Council, key note.Verifier) (id, other Instance, err error) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return id, other, fmt.Errorf("%w: %w", errVouch, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 5 {
		return id, other, errVouch
	}
	for i, to := range []*Instance{&id, &other} {
		b, err := hex.DecodeString(lines[2+i])
		if err != nil || len(b) != len(to) {
			return id, other, errVouch
		}
		copy(to[:], b)
	}
	if vouchText(c, id, other) != n.Text { // one meaning, one encoding
		return id, other, errVouch
	}
	return id, other, nil
}

func instanceOf(b []byte) (id Instance) {
	copy(id[:], b)
	return id
}

// bytes is the instance as messages have it.
func (id Instance) bytes() []byte {
	if id == (Instance{}) {
		return nil
	}
	return id[:]
}

// questioned takes in what a council says of itself in a question for what is held of its
// log, and returns what it is told of its other processes.
func (s *Syncer) questioned(ctx context.Context, from name.Council, q *wirepb.ProofRequest, begun uint64) (other Instance, vouch []byte) {
	id := instanceOf(q.GetInstance())
	if q.GetLeaving() {
		s.instances.leaves(from, id)
		return Instance{}, nil
	}
	s.instances.heard(from, id, begun, 0)
	if m, ok := s.o.Directory.Member(from); ok && len(q.GetVouch()) > 0 {
		if key, err := m.LogVerifier(); err == nil {
			if who, of, err := ParseVouch(q.GetVouch(), from, key); err == nil && who == id {
				s.instances.vouched(from, id, of, q.GetVouch())
			}
		}
	}
	s.shown(ctx, from, q.GetCheckpoint())
	if id == (Instance{}) {
		return Instance{}, nil
	}
	return s.instances.other(from, id)
}

// shown holds the checkpoint that a council shows unasked against what is known of its
// log. An older one says nothing: a node that was restored shows one before it signs.
func (s *Syncer) shown(ctx context.Context, from name.Council, signed []byte) {
	known := s.o.Ledger.Known(from)
	if len(signed) == 0 || known.Size == 0 || known.Quarantine != nil {
		return
	}
	l, err := s.o.Judge.Log(from)
	if err != nil || l.Shared() {
		return
	}
	h, err := l.Open(signed)
	if err != nil || !tlog.Fork(h.Checkpoint, known.Checkpoint()) {
		return // a longer one comes with its proof when its entries are copied
	}
	if err := s.o.Ledger.Meet(ctx, ledger.Met{Log: from, Checkpoint: h.Checkpoint, Note: signed, MetWith: "its question about its log"}, nil); err != nil {
		s.o.Log.Error("what a council shows of its log", "council", from, "error", err.Error())
		s.look()
	}
}

// toldOfOther takes in what a council says of another process with our key, and returns
// that process if it may still run.
func (s *Syncer) toldOfOther(ctx context.Context, by name.Council, p *wirepb.Proof) (other Instance, err error) {
	other = instanceOf(p.GetOther())
	if s.o.Instance == (Instance{}) || other == s.o.Instance {
		return Instance{}, nil
	}
	if len(p.GetVouch()) > 0 {
		key, err := note.NewVerifier(s.o.Keys.Log.Verifier())
		if err != nil {
			return other, err
		}
		id, of, err := ParseVouch(p.GetVouch(), s.o.Self, key)
		if err == nil && of == s.o.Instance && id != s.o.Instance {
			return other, s.o.Ledger.HeardElsewhere(ctx, by, p.GetVouch(), s.acquainted())
		}
	}
	return other, nil
}

// Twice returns the councils of which two processes run, as was heard here.
func (s *Syncer) Twice() []Twice { return s.instances.all() }

// leave tells those who are connected that this process stops, so that nobody waits to
// see whether it comes back.
func (s *Syncer) leave() {
	if s.o.Instance == (Instance{}) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range s.o.Network.Connected() {
		wg.Go(func() {
			_, err := s.question(ctx, c, &wirepb.ProofRequest{Version: wirepb.LogVersion, Log: string(s.o.Self), Heads: true, Instance: s.o.Instance.bytes(), Leaving: true})
			if err != nil {
				s.o.Log.Debug("say that we stop", "to", c, "error", err.Error())
			}
		})
	}
}

// leaveWithin is how long a node that stops waits for others to hear it.
const leaveWithin = time.Second
