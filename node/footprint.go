package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/book"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// replicas holds the footprints that this node keeps a replica of, each in a
// folder of its own under footprints/ in the data folder. They are open while
// the node runs and at no other time: a replica takes part in votes.
type replicas struct {
	n *Node
	// serve runs the council's node of a machine that leads, until ctx ends.
	serve func(context.Context, *replica)

	mu  sync.Mutex // guards what follows
	ctx context.Context
	hub *footprint.Hub // nil while the node does not run
	all map[name.Council]*replica
	wg  sync.WaitGroup // what works for replicas
}

// A replica is this member's part of one footprint.
type replica struct {
	name name.Council
	f    *footprint.Footprint // nil when it could not be opened
	err  error                // why not
	stop context.CancelFunc
	// council is whose node this machine runs when it leads; nil in a footprint
	// of councils.
	council *councilHere
}

const footprintsName = "footprints"

func (n *Node) footprintDir(c name.Council) string {
	return filepath.Join(n.cfg.Data, footprintsName, string(c))
}

// footprintFolders lists the footprints that the data folder has, whether or
// not the node runs.
func (n *Node) footprintFolders() ([]name.Council, error) {
	es, err := os.ReadDir(filepath.Join(n.cfg.Data, footprintsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []name.Council
	for _, e := range es {
		if c, err := name.ParseCouncil(e.Name()); err == nil && e.IsDir() {
			out = append(out, c)
		}
	}
	return out, err
}

// begin opens the footprints that are there. One that cannot be opened does not
// keep the node from running: its status says why.
func (p *replicas) begin(ctx context.Context, net wire.Network) error {
	names, err := p.n.footprintFolders()
	if err != nil {
		return fmt.Errorf("open footprints: %w", err)
	}
	p.mu.Lock()
	p.ctx, p.hub, p.all = ctx, footprint.NewHub(net), map[name.Council]*replica{}
	p.mu.Unlock()
	for _, c := range names {
		f, err := p.open(c)
		if err != nil {
			p.n.log.Error("footprint not opened", "footprint", c, "error", err.Error())
		}
		p.keep(c, f, err)
	}
	return nil
}

// end closes the footprints. A member that leads hands the lead on first, so
// that the others need not wait until they miss it.
func (p *replicas) end() {
	p.mu.Lock()
	all := p.all
	p.hub, p.all = nil, nil
	p.mu.Unlock()
	for _, r := range all {
		r.stop()
	}
	p.wg.Wait()
	for _, r := range all {
		if r.f == nil {
			continue
		}
		if st := r.f.Councils(); len(st) > 1 {
			_ = r.f.Transfer("") // only the leader can, and only when somebody can take over
		}
		if err := r.f.Close(); err != nil {
			p.n.log.Error("close footprint", "footprint", r.name, "error", err.Error())
		}
	}
}

func (p *replicas) options(c name.Council) (footprint.Options, error) {
	n := p.n
	enc, err := n.cfg.EncryptionKey()
	if err != nil {
		return footprint.Options{}, err
	}
	p.mu.Lock()
	hub := p.hub
	p.mu.Unlock()
	if hub == nil {
		return footprint.Options{}, errNotServing()
	}
	return footprint.Options{
		Dir: n.footprintDir(c), Name: c, Self: n.cfg.Council, Keys: n.keys, Hub: hub, Directory: n.directory,
		EncryptionKey: enc, Now: n.now, Log: n.log, MinFree: n.cfg.Limits.MinFree(),
		// What the council says in a footprint it has said: it stands in its own
		// ledger too, before anybody else sees it.
		Sign: func(ctx context.Context, kind string, body map[string]any) ([]byte, error) {
			_, jws, err := n.ledger.AppendNotice(ctx, kind, body)
			return jws, err
		},
		Fatal: func(err error) {
			err = fmt.Errorf("footprint %s: %w", c, err)
			if n.o.Fatal != nil {
				n.o.Fatal(err)
			} else {
				n.log.Error("storage failed", "error", err.Error())
			}
		},
	}, nil
}

func errNotServing() *Error {
	return fail(Behind, "stile serve", "the node is not running: a footprint is kept by running nodes")
}

func (p *replicas) open(c name.Council) (*footprint.Footprint, error) {
	o, err := p.options(c)
	if err != nil {
		return nil, err
	}
	return footprint.Open(o)
}

// keep takes an open footprint, or why it is not open, among those of the node.
func (p *replicas) keep(c name.Council, f *footprint.Footprint, err error) *replica {
	defer p.refresh()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &replica{name: c, f: f, err: err}
	if p.all == nil { // the node stopped meanwhile
		r.stop = func() {}
		if f != nil {
			r.f, r.err = nil, errors.Join(errNotServing(), f.Close())
		}
		return r
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(p.ctx)
	p.all[c] = r
	if f != nil && f.Machines() {
		if r.council, err = p.n.runs(c); r.council == nil {
			r.council = &councilHere{}
			err = errors.Join(err, fmt.Errorf("the file %s is missing from %s", runsName, p.n.footprintDir(c)))
			r.council.err.Store(&err)
			return r
		}
		p.wg.Go(func() { p.n.checkCouncil(ctx, r) })
		p.wg.Go(func() { p.serve(ctx, r) })
	}
	return r
}

// refresh has the exchange look at which replicas are open.
func (p *replicas) refresh() {
	if s := p.n.exchange(); s != nil {
		s.Refresh()
	}
}

// Open implements peersync.Footprints.
func (p *replicas) Open() (out []*footprint.Footprint) {
	for _, r := range p.list() {
		if r.council == nil {
			out = append(out, r.f)
		}
	}
	return out
}

// Is implements peersync.Footprints.
func (p *replicas) Is(c name.Council) bool { return p.n.isFootprint(c) }

// related is the book as peersync sees it: the members of our footprints are talked
// to as those are whom an agreement is with.
type related struct {
	*book.Book
	replicas *replicas
}

// Related implements peersync.Agreements.
func (r related) Related() []name.Council {
	out := r.Book.Related()
	for _, own := range r.replicas.list() {
		out = append(out, own.f.Councils()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Kept implements peersync.Footprints.
func (p *replicas) Kept(c name.Council) bool { return p.n.keepsFootprint(c) }

// Members implements peersync.Footprints.
func (p *replicas) Members(c name.Council) []name.Council { return p.n.keepers(c) }

// Replica implements question.Footprints.
func (p *replicas) Replica(c name.Council) *footprint.Footprint {
	if r := p.at(c); r != nil {
		return r.f
	}
	return nil
}

// Signers implements question.Footprints: as the footprint's ledger says where we
// keep it, or else as its members told us.
func (p *replicas) Signers(c name.Council, ref agreement.Ref) ([]name.Council, error) {
	if r := p.at(c); r != nil {
		return r.f.Signers(ref)
	}
	return p.n.book.SignedBy(ref, p.n.keepers(c)), nil
}

// list returns the replicas that are open, by name.
func (p *replicas) list() []*replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*replica
	for _, r := range p.all {
		if r.f != nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *replica) int { return strings.Compare(string(a.name), string(b.name)) })
	return out
}

// at returns the replica of a footprint, nil when this node keeps none that is
// open.
func (p *replicas) at(c name.Council) *replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.all[c]; r != nil && r.f != nil {
		return r
	}
	return nil
}

// warnings says what somebody should look at, without asking any member.
func (p *replicas) warnings() (out []string) {
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.all))
	p.mu.Unlock()
	for _, r := range all {
		if r.f == nil {
			out = append(out, fmt.Sprintf("footprint %s is not open here: %v", r.name, r.err))
			continue
		}
		if ev, err := r.f.Evidence(); err == nil && len(ev) > 0 {
			out = append(out, fmt.Sprintf("a member of %s did what no honest member does: stile footprint evidence %s", r.name, r.name))
		}
		if m, ok := p.n.directory.Member(r.name); r.council == nil && r.f.Formed() && (!ok || !slices.Equal(m.Members, r.f.Councils())) {
			out = append(out, fmt.Sprintf("the directory does not list the members of %s as they are, so that nobody outside can tell what it has signed: stile footprint entry %s", r.name, r.name))
		}
		if c := r.f.Councils(); len(c) > 0 && !slices.Contains(c, p.n.cfg.Council) {
			out = append(out, fmt.Sprintf("we are no member of %s any more and still hold what others shared there: stile footprint discard %s", r.name, r.name))
		}
	}
	slices.Sort(out)
	return out
}

// isFootprint reports whether a party of an agreement is a footprint.
func (n *Node) isFootprint(c name.Council) bool {
	if _, err := os.Stat(n.footprintDir(c)); err == nil {
		return true
	}
	m, ok := n.directory.Member(c)
	return ok && m.Role == directory.RoleFootprint
}

// keepers returns the councils that keep a footprint: as its own ledger says
// where we are one of them, and otherwise as the directory does.
func (n *Node) keepers(c name.Council) []name.Council {
	if r := n.replicas.at(c); r != nil {
		return r.f.Councils()
	}
	m, _ := n.directory.Member(c)
	return m.Members
}

// footprintNamed finds the replica that a request means.
func (n *Node) footprintNamed(typed string) (*replica, error) {
	c, err := name.ParseCouncil(strings.ToLower(typed))
	if err != nil {
		return nil, fail(Usage, "stile footprint list", "%v", err)
	}
	n.replicas.mu.Lock()
	hub, r := n.replicas.hub, n.replicas.all[c]
	n.replicas.mu.Unlock()
	switch {
	case hub == nil:
		return nil, errNotServing()
	case r == nil:
		return nil, fail(NotFound, "stile footprint list", "this node keeps no footprint named %s", c)
	case r.f == nil:
		return nil, footprintError(c, r.err)
	}
	return r, nil
}

// footprintOfCouncils is footprintNamed for what machines of one council have no
// use for: they keep its ledger, and its own node answers for that.
func (n *Node) footprintOfCouncils(typed string) (*replica, error) {
	r, err := n.footprintNamed(typed)
	if err == nil && r.council != nil {
		return nil, fail(Refused, "the same without footprint, and --data "+r.council.data, "machines of one council keep %s: its own node takes records and answers for them", r.name)
	}
	return r, err
}

// footprintError says what a footprint's error means to a person.
func footprintError(c name.Council, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	status := "stile footprint status " + string(c)
	if r, ok := errors.AsType[*footprint.Refusal](err); ok {
		switch r.Rule {
		case footprint.RuleForming:
			return fail(Behind, status, "%s does not take it yet: %s", c, r.Rule)
		case footprint.RuleOneChange:
			return fail(Conflict, status, "%s refused: %s", c, r.Rule)
		case footprint.RuleNotInvited:
			return fail(Refused, fmt.Sprintf("ask a member for stile footprint invite %s, and the others to agree", c), "%s refused: %s", c, r.Rule)
		}
		return fail(Refused, status, "%s refused: %s", c, r.Rule)
	}
	switch {
	case errors.Is(err, footprint.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return fail(Behind, status, "%v", err)
	case errors.Is(err, footprint.ErrLost):
		return fail(Conflict, fmt.Sprintf("ask a member for stile footprint invite %s with our council, and then: stile footprint join %s --via COUNCIL", c, c), "%v", err)
	case errors.Is(err, footprint.ErrExists):
		return fail(Conflict, status, "%v", err)
	case errors.Is(err, footprint.ErrFull):
		return fail(Failed, "free some disk space", "%v", err)
	case errors.Is(err, footprint.ErrStopped), errors.Is(err, footprint.ErrClosed):
		return fail(Failed, "look at the node's log, check the disk, and start the node again", "%v", err)
	}
	return err
}

// pause waits for a time, or until a channel says something.
func pause(ctx context.Context, d time.Duration, until ...<-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	var wake <-chan struct{}
	if len(until) > 0 {
		wake = until[0]
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
