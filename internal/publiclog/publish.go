package publiclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Timing of the publisher.
const (
	publishEvery  = 5 * time.Second  // a growing log is published so often, at most
	askAgainEvery = time.Minute      // a witness that is missing is asked again
	answerWithin  = 20 * time.Second // one request to a witness
)

// Options say what a [Publisher] works with. All are needed but Policy.
type Options struct {
	Council   name.Council
	Ledger    *ledger.Ledger
	LogKey    note.Verifier        // of this council's log
	Directory *directory.Directory // the witness keys of partners
	Policy    *tlog.Policy         // which cosignatures are wanted; nil for none
	Wait      time.Duration        // a checkpoint waits so long for them before it is published
	Client    *http.Client         // to ask witnesses by
	// Heard is told when a witness says that it has seen more of this log than stands here, or, with fork, another
	// history of it: what another node signed with our key. Size is the newest it has seen. nil for nobody.
	Heard func(ctx context.Context, witness string, size uint64, fork bool)
	Log   *slog.Logger
	Now   func() time.Time
}

// A Publisher publishes the checkpoints of this council's log: it takes the newest,
// asks the witnesses of the policy that have a URL to cosign it, adds what partners
// cosigned in the exchange, and serves it. Fewer cosignatures than the policy wants
// are a state that [Publisher.State] tells, and never keep a checkpoint back for
// longer than Options.Wait.
type Publisher struct {
	o Options

	mu    sync.Mutex // guards what follows
	cp    tlog.Checkpoint
	note  []byte
	met   bool
	at    time.Time
	asked map[string]*asked // by the witness's name in the policy
}

// asked is how a witness of the policy stands.
type asked struct {
	size uint64 // the newest size that it cosigned, as it says
	err  error  // why it did not cosign when last asked; nil when it did
}

// NewPublisher returns a publisher that serves what was published last. The error
// wraps ledger.ErrStorage.
func NewPublisher(o Options) (*Publisher, error) {
	p := &Publisher{o: o, asked: map[string]*asked{}}
	err := o.Ledger.View(func(v *ledger.View) (err error) {
		p.cp, p.note, err = v.Published()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what was published: %w", err)
	}
	p.met = p.note != nil && p.enough(p.note)
	return p, nil
}

// Checkpoint returns the note that is published, nil when none is.
func (p *Publisher) Checkpoint() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.note
}

// A State says what is published and who has cosigned it.
type State struct {
	Size      uint64 // 0: nothing is published
	At        time.Time
	Wanted    bool // a policy wants cosignatures
	Met       bool // and the published checkpoint has them
	Cosigned  []string
	Witnesses []WitnessState // of the policy, in its order
}

// A WitnessState says how a witness of the policy stands.
type WitnessState struct {
	Name     string
	URL      string // "" for one that cosigns in the exchange
	Cosigned bool   // the published checkpoint
	Problem  string // why not, when it was asked last
}

// State returns what is published.
func (p *Publisher) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Size: p.cp.Size, At: p.at, Met: p.met}
	n := p.open(p.note)
	for _, c := range p.cosignatures(n) {
		s.Cosigned = append(s.Cosigned, c.Witness)
	}
	if p.o.Policy == nil {
		return s
	}
	s.Wanted = p.o.Policy.Wants()
	for _, w := range p.o.Policy.Witnesses {
		ws := WitnessState{Name: w.Name, URL: w.URL, Cosigned: n != nil && len(tlog.Cosignatures(n, w.Verifier)) > 0}
		if a := p.asked[w.Name]; a != nil && a.err != nil && !ws.Cosigned {
			ws.Problem = a.err.Error()
		}
		s.Witnesses = append(s.Witnesses, ws)
	}
	return s
}

// Run publishes until ctx ends. It returns the error of the storage that stopped it.
func (p *Publisher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := p.o.Ledger.Changed()
		done, err := p.round(ctx)
		if errors.Is(err, ledger.ErrStorage) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			p.o.Log.Warn("the log's checkpoint could not be published", "error", err.Error())
		}
		var again <-chan time.Time
		if !done {
			t := time.NewTimer(askAgainEvery)
			defer t.Stop()
			again = t.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
			continue
		}
		// What else comes within the moment goes into the same checkpoint.
		t := time.NewTimer(publishEvery)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// round publishes the newest checkpoint. done is whether nothing is wanting: the
// log has to grow before there is more to do.
func (p *Publisher) round(ctx context.Context) (done bool, err error) {
	var cp tlog.Checkpoint
	var signed []byte
	if err := p.o.Ledger.View(func(v *ledger.View) error { cp, signed = v.Checkpoint(); return nil }); err != nil {
		return false, err
	}
	if cp.Size == 0 {
		return true, nil
	}
	p.mu.Lock()
	if p.cp == cp && p.note != nil {
		signed = p.note // with what it has already
	}
	p.mu.Unlock()

	g := &gathering{p: p, cp: cp, note: signed, news: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	if p.o.Policy != nil {
		for _, w := range p.o.Policy.Witnesses {
			if w.URL != "" && !g.has(w.Verifier) {
				wg.Go(func() { g.ask(ctx, w) })
			}
		}
	}
	asked := make(chan struct{})
	go func() { wg.Wait(); close(asked) }()

	late := time.NewTimer(p.o.Wait)
	defer late.Stop()
	for published := false; ; {
		changed := p.o.Ledger.Changed()
		if err := g.partners(); err != nil {
			return false, err
		}
		enough := p.enough(g.current())
		if published || enough {
			if err := p.publish(ctx, g); err != nil {
				return false, err
			}
			published = true
		}
		select {
		case <-asked:
			// Partners cosign when the exchange brings them the checkpoint.
			if enough || published {
				return enough, p.publish(ctx, g)
			}
			select {
			case <-late.C:
				return p.enough(g.current()), p.publish(ctx, g)
			case <-changed:
			case <-ctx.Done():
				return false, ctx.Err()
			}
		case <-late.C:
			published = true
		case <-g.news:
		case <-changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// publish makes what was gathered what is served, and keeps it.
func (p *Publisher) publish(ctx context.Context, g *gathering) error {
	signed := g.current()
	p.mu.Lock()
	same := bytes.Equal(signed, p.note)
	p.mu.Unlock()
	if same {
		return nil
	}
	if err := p.o.Ledger.Publish(ctx, g.cp, signed); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cp, p.note, p.met, p.at = g.cp, signed, p.enough(signed), p.o.Now().UTC()
	return nil
}

// enough reports whether a note has the cosignatures that are wanted.
func (p *Publisher) enough(signed []byte) bool {
	if p.o.Policy == nil || !p.o.Policy.Wants() {
		return true
	}
	n := p.open(signed)
	return n != nil && p.o.Policy.Met(n)
}

// open reads a note of our own log, nil if it is none.
func (p *Publisher) open(signed []byte) *note.Note {
	if signed == nil {
		return nil
	}
	_, n, err := tlog.OpenCheckpoint(signed, p.o.Council.Origin(), append(p.witnesses(), p.o.LogKey)...)
	if err != nil {
		return nil
	}
	return n
}

// witnesses returns every key whose cosignatures are known: those of the policy and
// those of the members of the directory.
func (p *Publisher) witnesses() (out []note.Verifier) {
	if p.o.Policy != nil {
		out = p.o.Policy.Verifiers()
	}
	for _, m := range p.o.Directory.Members() {
		v, err := m.WitnessVerifier()
		known := func(w note.Verifier) bool { return w.Name() == v.Name() && w.KeyHash() == v.KeyHash() }
		if err == nil && !slices.ContainsFunc(out, known) {
			out = append(out, v)
		}
	}
	return out
}

func (p *Publisher) cosignatures(n *note.Note) []tlog.Cosignature {
	if n == nil {
		return nil
	}
	return tlog.Cosignatures(n, p.witnesses()...)
}

// A gathering collects the cosignatures of one checkpoint.
type gathering struct {
	p    *Publisher
	cp   tlog.Checkpoint
	news chan struct{} // buffered: one was added

	mu   sync.Mutex
	note []byte
}

func (g *gathering) current() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.note
}

func (g *gathering) has(w note.Verifier) bool {
	n := g.p.open(g.current())
	return n != nil && len(tlog.Cosignatures(n, w)) > 0
}

// add adds a signature line by a witness, if it is one of this checkpoint.
func (g *gathering) add(line []byte, w note.Verifier) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	signed, err := tlog.AddCosignature(g.note, line, w)
	if err != nil {
		return err
	}
	g.note = signed
	select {
	case g.news <- struct{}{}:
	default:
	}
	return nil
}

// partners adds what partners have cosigned in the exchange: as many as the note has room
// for, and whoever the policy names.
func (g *gathering) partners() error {
	var all []ledger.Cosigned
	err := g.p.o.Ledger.View(func(v *ledger.View) (err error) { all, err = v.Cosigned(); return err })
	if err != nil {
		return err
	}
	type key struct {
		name string
		hash uint32
	}
	of := func(v note.Verifier) key { return key{v.Name(), v.KeyHash()} }
	there, wanted := map[key]bool{}, map[key]bool{}
	room := tlog.MaxSignatures
	if n := g.p.open(g.current()); n != nil {
		room -= len(n.Sigs) + len(n.UnverifiedSigs)
		for _, s := range n.Sigs {
			there[key{s.Name, s.Hash}] = true
		}
	}
	if g.p.o.Policy != nil {
		for _, w := range g.p.o.Policy.Verifiers() {
			if wanted[of(w)] = true; !there[of(w)] {
				room--
			}
		}
	}
	for _, c := range all {
		m, ok := g.p.o.Directory.Member(c.Witness)
		if !ok || c.Checkpoint != g.cp {
			continue
		}
		w, err := m.WitnessVerifier()
		if err != nil || there[of(w)] {
			continue
		}
		if !wanted[of(w)] {
			if room <= 0 {
				continue
			}
			room--
		}
		_, n, err := tlog.OpenCheckpoint(c.Note, g.cp.Origin, g.p.o.LogKey, w)
		if err != nil {
			continue // of a key that the directory no longer names
		}
		for _, s := range n.Sigs {
			if s.Name == w.Name() && s.Hash == w.KeyHash() {
				if err := g.add(fmt.Appendf(nil, "— %s %s\n", s.Name, s.Base64), w); err != nil {
					return fmt.Errorf("cosignature of %s: %w", c.Witness, err)
				}
			}
		}
	}
	return nil
}

// ask has a witness cosign over HTTP, and says in Publisher.asked how it went.
func (g *gathering) ask(ctx context.Context, w tlog.PolicyWitness) {
	p := g.p
	p.mu.Lock()
	if p.asked[w.Name] == nil {
		p.asked[w.Name] = &asked{}
	}
	a := p.asked[w.Name]
	old := a.size
	p.mu.Unlock()
	hctx := ctx
	cosigned := old > 0 // it has seen this size: it said so, or cosigned it
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	// Its answer to a size that is not its own tells its own; more than once only
	// if somebody else asks it at the same time.
	var lines []byte
	var err error
	for range 3 {
		var its uint64
		if lines, its, err = g.post(ctx, w, old); !errors.Is(err, errOtherSize) {
			break
		}
		old, cosigned = its, true
	}
	if other := errors.Is(err, errOtherHistory) || errors.Is(err, errProof); cosigned && p.o.Heard != nil && (old > g.cp.Size || other) {
		p.o.Heard(hctx, w.Name, old, other)
	}
	if err == nil {
		err = g.addAny(lines, w)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.err = err; err == nil {
		a.size = g.cp.Size
	} else if ctx.Err() == nil {
		a.size = min(old, g.cp.Size)
		p.o.Log.Info("a witness has not cosigned", "witness", w.Name, "because", err.Error())
	}
}

// addAny adds the witness's own among the lines of an answer, and passes over those
// by other keys.
func (g *gathering) addAny(lines []byte, w tlog.PolicyWitness) error {
	for line := range bytes.Lines(lines) {
		if bytes.HasPrefix(line, []byte("— "+w.Verifier.Name()+" ")) && g.add(line, w.Verifier) == nil {
			return nil
		}
	}
	return errors.New("its answer holds no cosignature by the key that the policy names")
}

// errOtherSize: the witness has seen another size than the one that was named.
var errOtherSize = errors.New("the witness has seen another size of the log")

var (
	errOtherHistory = errors.New("it says that this log has told it another history (409)")
	errNothingSeen  = errors.New("it has seen nothing of this log")
	errUnknownLog   = errors.New("it does not know this log (404)")
	errProof        = errors.New("it says that what it has seen is not a part of this log (422)")
)

// maxAnswer is the most bytes read of what a witness answers.
const maxAnswer = 64 << 10

// post sends add-checkpoint with the proof from size old. With errOtherSize comes the
// size that the witness has seen.
func (g *gathering) post(ctx context.Context, w tlog.PolicyWitness, old uint64) (lines []byte, its uint64, err error) {
	if old > g.cp.Size {
		return nil, 0, fmt.Errorf("it has seen %d entries of this log, and there are %d: was this node set back?", old, g.cp.Size)
	}
	q := addRequest{old: old, note: g.current()}
	if old > 0 && old < g.cp.Size {
		if q.proof, err = g.p.o.Ledger.Consistency(old, g.cp.Size); err != nil {
			return nil, 0, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/add-checkpoint", bytes.NewReader(appendAdd(q)))
	if err != nil {
		return nil, 0, err
	}
	res, err := g.p.o.Client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("it cannot be reached: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, 0, fmt.Errorf("its answer cannot be read: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK:
		return b, 0, nil
	case http.StatusConflict:
		kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
		its, err := strconv.ParseUint(strings.TrimSuffix(string(b), "\n"), 10, 63)
		switch {
		case kind == "text/x.tlog.size" && err == nil && its != old:
			return nil, its, errOtherSize
		case kind == "text/x.tlog.size" && err == nil && its == 0:
			return nil, 0, errNothingSeen
		}
		return nil, 0, errOtherHistory
	case http.StatusForbidden:
		return nil, 0, errors.New("it does not know the key of this log (403)")
	case http.StatusNotFound:
		return nil, 0, errUnknownLog
	case http.StatusUnprocessableEntity:
		return nil, 0, errProof
	}
	return nil, 0, fmt.Errorf("it answered %d", res.StatusCode)
}
