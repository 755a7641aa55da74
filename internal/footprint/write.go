package footprint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A Receipt says where entries ended up. Everything in it is committed and
// applied: Await with its Position on any member, and that member sees it.
type Receipt struct {
	Position uint64 // in the replicated log
	Outcomes []Outcome
}

// A proposal waits for its turn at the leader.
type proposal struct {
	g       group
	checked *checkedGroup
	early   []Outcome // by entry; Code 0 where it goes on to be proposed
	done    chan result
}

type result struct {
	r   Receipt
	err error
}

// Put offers entries signed by this council, in order, and returns when each
// stands in the ledger or was refused: committed by a majority and applied by
// the leader. It may be called again with the same entries when its outcome is
// not known; what is in already is a duplicate.
//
// The error wraps ErrUnavailable when no majority answers before ctx ends, or
// within ten seconds if it has no end.
func (f *Footprint) Put(ctx context.Context, entries ...Entry) (Receipt, error) {
	var all Receipt
	for len(entries) > 0 {
		n := page(entries)
		r, err := f.contributeOwn(ctx, group{contributor: f.o.Self, entries: entries[:n]})
		if err != nil {
			return all, err
		}
		all.Position = max(all.Position, r.Position)
		all.Outcomes = append(all.Outcomes, r.Outcomes...)
		entries = entries[n:]
	}
	return all, nil
}

// Contribute offers a page of an agreement's feed: entries from the cursor
// since up to cursor. A page that does not start where the one before ended is
// refused as a whole with RuleOrder and changes nothing. A page already taken
// is answered with duplicates.
func (f *Footprint) Contribute(ctx context.Context, a name.Agreement, since, cursor uint64, entries ...Entry) (Receipt, error) {
	if len(entries) > maxBatchGroup {
		return Receipt{}, fmt.Errorf("internal error: page of %d entries", len(entries))
	}
	return f.contributeOwn(ctx, group{contributor: f.o.Self, agreement: a, since: since, cursor: cursor, entries: entries})
}

// contributeOwn seals a group of this council and brings it to the leader.
func (f *Footprint) contributeOwn(ctx context.Context, g group) (Receipt, error) {
	return Offer(g.entries, func(es []Entry) (Receipt, error) {
		page := g
		page.entries = es
		if page.needsSeal() {
			var err error
			if page.seal, err = page.sign(f.o.Name, f.o.Keys.Record, &f.fsm.seals); err != nil {
				return Receipt{}, err
			}
		}
		return f.contribute(ctx, page)
	})
}

// Contributed returns how far this council's feed of an agreement has come.
func (f *Footprint) Contributed(a name.Agreement) (cursor uint64, err error) {
	return f.ContributedBy(f.o.Self, a)
}

// page returns how many entries make one group.
func page(entries []Entry) int {
	size := 0
	for i, e := range entries {
		if size += e.size(); i > 0 && size > maxBatchBytes || i == maxBatchGroup {
			return i
		}
	}
	return len(entries)
}

// contribute brings a group to the leader, wherever it is, until it is
// answered or ctx ends.
func (f *Footprint) contribute(ctx context.Context, g group) (Receipt, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	sent := false
	var last error
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		if f.closed.Load() {
			return Receipt{}, ErrClosed
		}
		if err := f.fsm.failure(); err != nil {
			return Receipt{}, fmt.Errorf("%w: %w", ErrStopped, err)
		}
		r, err := f.offer(ctx, g)
		if err == nil {
			if sent {
				f.settleRepeat(g, &r)
			}
			return r, nil
		}
		full := errors.Is(err, ErrFull) // who leads hands the lead on, if anybody can take it
		if !retriable(err) && !full {
			return r, err
		}
		if full {
			last = err
		} else if !errors.Is(err, errNotLeader) && !errors.Is(err, errNoLeader) {
			sent = true
			last = err
		} else if last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if full {
				return Receipt{}, last
			}
			return Receipt{}, f.unavailable(last)
		case <-f.ctx.Done():
			return Receipt{}, ErrClosed
		case <-time.After(wait):
		}
	}
}

// settleRepeat turns the refusal of a page that an earlier try, whose answer
// was lost, had brought in.
func (f *Footprint) settleRepeat(g group, r *Receipt) {
	if g.agreement == "" || !slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Rule == RuleOrder }) {
		return
	}
	if c, err := f.ContributedBy(g.contributor, g.agreement); err == nil && c == g.cursor {
		for i := range r.Outcomes {
			r.Outcomes[i] = Outcome{Code: Duplicate}
		}
	}
}

var (
	errNotLeader = errors.New("not the leader")
	errNoLeader  = errors.New("no leader is known")
	errUnsure    = errors.New("the answer was lost")
)

func retriable(err error) bool {
	return errors.Is(err, errNotLeader) || errors.Is(err, errNoLeader) || errors.Is(err, errUnsure)
}

// offer brings a group to the leader once.
func (f *Footprint) offer(ctx context.Context, g group) (Receipt, error) {
	if f.raft.State() == raft.Leader {
		return f.enqueue(ctx, g)
	}
	_, id := f.raft.LeaderWithID()
	if id != "" {
		c, _, ok := parseServer(string(id))
		if !ok || c == f.o.Self {
			return Receipt{}, errNoLeader
		}
		ctx, cancel := f.whileLeads(ctx, c)
		defer cancel()
		return f.forward(ctx, c, g)
	}
	if len(f.fsm.state.Load().members) == 0 {
		// A new replica that nobody has spoken to: whoever it was told of
		// passes it on.
		err := errNoLeader
		for _, c := range f.folder.id.Contacts {
			var r Receipt
			if r, err = f.forward(ctx, c, g); err == nil || !retriable(err) {
				return r, err
			}
			if to, ok := errors.AsType[*elsewhere](err); ok && to.leader != c && to.leader != f.o.Self {
				if r, err = f.forward(ctx, to.leader, g); err == nil || !retriable(err) {
					return r, err
				}
			}
		}
		return Receipt{}, err
	}
	return Receipt{}, errNoLeader
}

// enqueue hands a group to the proposing goroutine and waits.
func (f *Footprint) enqueue(ctx context.Context, g group) (Receipt, error) {
	p := &proposal{g: g, done: make(chan result, 1)}
	select {
	case f.queue <- p:
	case <-ctx.Done():
		return Receipt{}, errNotLeader
	case <-f.ctx.Done():
		return Receipt{}, ErrClosed
	}
	select {
	case r := <-p.done:
		f.tally.offered(len(g.entries), r)
		return r.r, r.err
	case <-ctx.Done():
		f.tally.offered(len(g.entries), result{err: errUnsure})
		return Receipt{}, errUnsure
	case <-f.ctx.Done():
		return Receipt{}, ErrClosed
	}
}

// inflight is how many batches are proposed before the first is committed: one
// on its way to the members' disks, one being checked and encoded, and some for
// links that are long.
const inflight = 4

// propose gathers what waits into batches, checks each entry and proposes.
func (f *Footprint) propose() {
	slots := make(chan struct{}, inflight)
	var held *proposal
	for {
		var ps []*proposal
		if held != nil {
			ps, held = append(ps, held), nil
		} else {
			select {
			case p := <-f.queue:
				ps = append(ps, p)
			case <-f.ctx.Done():
				return
			}
		}
		// A slot first: while the batches before are on their way, more come in
		// to share the next.
		select {
		case slots <- struct{}{}:
		case <-f.ctx.Done():
			return
		}
		size, count := ps[0].g.size(), len(ps[0].g.entries)
	gather:
		for len(ps) < maxGroupsBatch {
			select {
			case p := <-f.queue:
				if size+p.g.size() > maxBatchBytes || count+len(p.g.entries) > maxBatchCount {
					held = p
					break gather
				}
				size, count = size+p.g.size(), count+len(p.g.entries)
				ps = append(ps, p)
			default:
				break gather
			}
		}
		f.proposeBatch(ps, func() { <-slots })
	}
}

// proposeBatch answers what can be answered at once, proposes the rest as one
// command, and calls free when that is decided.
func (f *Footprint) proposeBatch(ps []*proposal, free func()) {
	fail := func(err error) {
		for _, p := range ps {
			p.done <- result{err: err}
		}
		free()
	}
	if f.raft.State() != raft.Leader {
		fail(errNotLeader)
		return
	}
	if err := f.roomOnDisk(); err != nil {
		fail(err)
		return
	}
	f.checkBefore(ps)
	c := command{version: byte(f.speaks()), kind: commandBatch, at: f.o.Now().Unix()}
	var going []*proposal
	var groups []*checkedGroup
	for _, p := range ps {
		if p.answered() {
			p.done <- result{r: Receipt{f.fsm.current().Applied(), p.early}}
			continue
		}
		c.groups = append(c.groups, p.g)
		going = append(going, p)
		groups = append(groups, p.checked)
	}
	ps = going
	if len(ps) == 0 {
		free()
		return
	}
	proposed := time.Now()
	known := &prepared{c.encode(), c, groups}
	f.fsm.ahead.propose(known)
	future := f.raft.Apply(known.data, 0)
	f.wg.Go(func() {
		defer free()
		err := future.Error()
		f.fsm.ahead.decided(known)
		if err == nil {
			f.tally.commit.took(time.Since(proposed))
		}
		rep, ok := future.Response().(reply)
		for i, p := range ps {
			if err != nil || !ok {
				p.done <- result{err: f.applyError(err, future.Response())}
				continue
			}
			p.done <- result{r: Receipt{rep.position, rep.outcomes[i]}}
		}
	})
}

// answered reports whether what the leader checked decides about a group, so that it is
// not proposed: something in it is refused, or all of it is there already. A page is
// taken as it was sealed, so that what is not refused of it comes again.
func (p *proposal) answered() bool {
	known, bad := 0, false
	for _, o := range p.early {
		if o.Code != 0 {
			known++
		}
		bad = bad || o.Code == Refused
	}
	if bad {
		for i, o := range p.early {
			if o.Code != Refused {
				p.early[i] = Outcome{Code: Again}
			}
		}
	}
	return bad || known == len(p.early) && p.g.agreement == ""
}

func (f *Footprint) applyError(err error, response any) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errNotLeader
	case err != nil:
		return fmt.Errorf("%w: %w", errUnsure, err)
	}
	if rerr, ok := response.(error); ok {
		return fmt.Errorf("%w: %w", ErrStopped, rerr)
	}
	return fmt.Errorf("%w: nothing was applied", errUnsure)
}

// checkBefore is what the leader asks of an entry before it proposes it:
// everything that applying asks as far as it can be told now, and what applying
// cannot ask, because it takes time or the directory: whether the signing key is
// still the directory's and the record obeys its standard.
func (f *Footprint) checkBefore(ps []*proposal) {
	s := f.fsm.state.Load()
	for _, p := range ps {
		p.checked = newCheckedGroup(p.g, &f.fsm.seals)
		p.early = make([]Outcome, len(p.g.entries))
		rule := ""
		p.checked.once.Do(func() {
			each(len(p.early), func(i int) {
				c := p.checked.entries[i]
				c.parse()
				if rule := f.ruleBefore(s, p.g, c); rule != "" {
					p.early[i] = refused(rule)
				}
			})
			p.checked.finish()
			rule = f.sealBefore(s, p.checked)
		})
		if rule != "" {
			for i, o := range p.early {
				if o.Code == 0 || p.checked.entries[i].rule == "" {
					p.early[i] = refused(rule)
				}
			}
		}
	}
	err := f.fsm.view(func(v *ledger.ReplicaView) error {
		for _, p := range ps {
			if p.g.agreement != "" {
				continue // its cursor tells
			}
			for i, c := range p.checked.entries {
				if p.early[i].Code != 0 || c.view == nil {
					break
				}
				n, ok := inLog(v, c)
				if !ok {
					break // one that is not all there is applied as any is
				}
				p.early[i] = Outcome{Code: Duplicate, Entry: n}
			}
		}
		return nil
	})
	if err != nil {
		f.o.Log.Warn("looking for duplicates", "footprint", f.o.Name, "error", err.Error())
	}
}

// sealBefore asks about the seal of a page. Which key a record in it names does not
// matter: it may be one that its council has no more.
func (f *Footprint) sealBefore(s *state, k *checkedGroup) string {
	m := s.signer(k.g)
	switch {
	case !k.g.needsSeal(), k.leaves == nil && len(k.entries) > 0:
		return "" // or an entry of it cannot be read, and is refused for that
	case m == nil:
		return RuleMember
	}
	if rule := k.verify(f.o.Name, m); rule != "" {
		return rule
	}
	return f.keyBefore(k.g.contributor, k.g.seal.Key)
}

// RuleKeyNot refuses a key that the directory has, but not for this.
const RuleKeyNot = "another council's key, or a revoked one"

func (f *Footprint) keyBefore(c name.Council, kid string) string {
	switch _, rule, err := f.judge.Key(c, kid, directory.AnyPlace); {
	case err != nil:
		return RuleKeyLater
	case rule != "":
		return RuleKeyNot
	}
	return ""
}

func (f *Footprint) ruleBefore(s *state, g group, c *checked) string {
	if c.rule != "" {
		return c.rule
	}
	if c.signer() != g.contributor {
		return RuleIssuer
	}
	if e, ok := f.o.Directory.Member(g.contributor); !ok || !e.ActiveAt(f.o.Now()) {
		return "not in the directory"
	}
	if c.event != nil {
		// Few, and the rest is decided when they are applied.
		return f.keyBefore(g.contributor, c.token.KeyID())
	}
	if s.signer(g) == nil {
		return RuleMember
	}
	if rule, err := f.judge.Issued(c.view.IssuedAt); rule != "" || err != nil {
		return RuleClock // its clock is fast or ours slow: one of them is set right
	}
	if s.standards[c.view.Standard] == "" {
		return RuleStandard
	}
	if s.standards[c.view.Standard] != c.view.Integrity {
		return RuleSchema
	}
	if c.view.Op == record.Put {
		std, err := f.standard(c.view.Standard)
		if err != nil {
			return RuleStandard
		}
		if bad := std.ValidateVisible(c.view.Body); len(bad) > 0 {
			return "standard: " + bad[0].Rule + " at " + bad[0].Pointer
		}
		c.asked = true
	}
	return ""
}

// inLog returns the log index of a record version that is the newest in the log and
// was not withdrawn.
func inLog(v *ledger.ReplicaView, c *checked) (uint64, bool) {
	raw, err := v.Lookup(headKey(c.view.Council, c.view.Record))
	if err != nil {
		return 0, false
	}
	h, err := decodeHead(raw)
	return h.index, err == nil && h.entry == c.token.Entry() && h.state != headWithdrawn
}

func viewNumber(v *ledger.ReplicaView, key string) (uint64, error) {
	b, err := v.Lookup(key)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(b) != 8 {
		err = ledger.ErrDamaged
	}
	if err != nil {
		return 0, err
	}
	r := reader{b: b}
	return r.uint64(), nil
}

// roomOnDisk refuses what would fill the disk. A leader whose disk is nearly
// full hands the lead on, if it can.
func (f *Footprint) roomOnDisk() error {
	free, err := f.o.free(f.o.Dir)
	if err != nil {
		return fmt.Errorf("read free space: %w", err)
	}
	full := free < f.o.MinFree
	f.mu.Lock()
	f.full = full
	f.mu.Unlock()
	if full {
		f.wake(f.kick)
		return fmt.Errorf("%w at %s: %d MiB free, want %d MiB", ErrFull, f.o.Self, free>>20, f.o.MinFree>>20)
	}
	return nil
}
