// Package footprint keeps a ledger that several councils share, on a raft
// cluster of their nodes (hashicorp/raft).
//
// The invariant: what was acknowledged is on the disks of a majority of member
// councils and is applied, once and at the same place, by every member; nothing
// is in the ledger that its contributor did not sign; and a checkpoint counts
// only once a majority has cosigned that exact tree. See DESIGN.md.
//
// Several machines of one council keep its own ledger alike by the same means: the
// one that leads opens it, and each of its transactions is on the disks of a
// majority of them before anybody is told yes. See machines.go.
package footprint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Errors of this package, to be checked with errors.Is.
var (
	// ErrUnavailable: too few members answer for anything to be decided. The
	// error says who is missing, in words. What was offered may still be
	// committed later; offering it again does no harm.
	ErrUnavailable = errors.New("the footprint cannot decide now")
	// ErrClosed: the footprint was closed.
	ErrClosed = errors.New("footprint is closed")
	// ErrStopped: this member's replica has stopped applying.
	ErrStopped = errors.New("this member's replica has stopped")
	// ErrLost: the folder's log is missing or another's, so it is not known how
	// this member voted. It must join again as a new replica.
	ErrLost = errors.New("this member's log was lost: it must join again as a new replica")
	// ErrFull: the disk is nearly full; nothing is written.
	ErrFull = errors.New("disk is nearly full")
)

// Options say how to open a member's replica of a footprint.
type Options struct {
	Dir           string       // folder of this footprint
	Name          name.Council // the footprint's
	Self          name.Council // the member
	Keys          *keys.Ring
	Hub           *Hub
	Directory     judge.Directory
	EncryptionKey []byte           // of the replica at rest; nil for none
	Now           func() time.Time // default time.Now
	Rand          io.Reader        // incarnations; default crypto/rand
	Log           *slog.Logger     // default discards
	MinFree       uint64           // bytes of free disk below which nothing is proposed; default 128 MiB

	// Sign makes an event signed by the council and is where a node also puts
	// it into the council's own ledger. Default signs with Keys alone.
	Sign func(ctx context.Context, kind string, body map[string]any) ([]byte, error)
	// Fatal is called once when the replica stops for good.
	Fatal func(error)

	// Left is called, again and again, when this council has left of its own will and the
	// members say so: what the others shared is to be deleted. It must not wait for the
	// replica to be closed. nil for nobody.
	Left func()

	// Machines has Found, Join and RestoreBackup make a footprint of machines of
	// one council that keep its ledger alike. Open goes by what was made.
	Machines bool
	// Ledger is the folder of a council's ledger, not open, that Found with
	// Machines takes as what the machines begin with: it is moved. "" for none.
	Ledger string

	// Heartbeat is how long members wait for a leader's word before they elect
	// another; up to twice as long, by chance. Default 0.8 seconds.
	Heartbeat time.Duration
	// MarkEvery is how often at most the members cosign the tree. Default half a
	// second.
	MarkEvery time.Duration
	// ForgetWithin is how long a withdrawn record may stay in raft's log after
	// it left the replica. Default 24 hours.
	ForgetWithin time.Duration

	// SnapshotAfter is how many commands the log grows by before it may be cut,
	// and KeepLog how many stay for members that are a little behind. Default:
	// as many as take 128 MiB.
	SnapshotAfter, KeepLog uint64

	speaks  int                              // newest format understood; 0 for newestFormat
	free    func(dir string) (uint64, error) // bytes of free disk
	segment int                              // bytes of a file of raft's log; 0 for 64 MiB. A log is cut by whole files
}

// A Footprint is one member's open replica. All methods may be called
// concurrently.
type Footprint struct {
	o      Options
	folder *folder
	fsm    *fsm
	judge  *judge.Judge // of what is brought, before it is proposed
	logs   *raftLog
	layer  *streamLayer
	trans  *raft.NetworkTransport
	raft   *raft.Raft
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	notify chan bool

	queue       chan *proposal
	sending     chan struct{}        // held while entries are sent to the leader
	ready       atomic.Pointer[term] // the term this member leads, once all before it is applied
	kick        chan struct{}        // something changed for the leader to look at
	marks       chan struct{}        // a tree to cosign
	upgrades    chan struct{}        // the members may understand more
	outdated    atomic.Bool          // something newer than this program understands was sent here
	eraser      chan struct{}        // something to erase
	inspections chan []inspection    // records to look at behind applying
	missed      missed
	leaders     leaderWatch
	opened      chan struct{} // closed once raft is there: members may ask before
	closed      atomic.Bool
	leaving     map[raft.ServerID]time.Time // since when a server waits to be removed; used by lead alone

	standards sync.Map // name.Standard to *standard.Standard
	lastPage  atomic.Pointer[openPage]

	cosigned cosigned
	fetching atomic.Bool // a checkpoint, from the other members
	letGo    atomic.Bool // the members say that this replica was let go
	saidLeft bool        // a former member has receipted all from before it left; used by obey alone
	tally    tally

	mu      sync.Mutex // guards what follows
	contact map[name.Council]contact
	peers   map[name.Council]Peer      // what each member last said of itself
	letGoAt map[name.Council]time.Time // when we last agreed to that a member leaves
	full    bool
}

type contact struct {
	at  time.Time // last heard from
	err error     // what went wrong last; nil when nothing did
}

// Found makes a footprint of one member, this one. It takes records once three
// councils have joined. member is this council's entry of the directory.
func Found(ctx context.Context, o Options, member directory.Member) (*Footprint, error) {
	if member.Council != o.Self {
		return nil, fmt.Errorf("found %s: the directory entry is not this council's", o.Name)
	}
	if err := makeFolder(o.Dir, identity{Footprint: o.Name, Council: o.Self, Machines: o.Machines}, o.Rand); err != nil {
		return nil, fmt.Errorf("found %s: %w", o.Name, err)
	}
	if o.Machines {
		if err := beginWith(o); err != nil {
			return nil, errors.Join(fmt.Errorf("found %s: %w", o.Name, err), os.RemoveAll(o.Dir))
		}
	}
	f, err := open(o, !o.Machines)
	if err != nil {
		return nil, fmt.Errorf("found %s: %w", o.Name, err)
	}
	founded := event.FootprintFounded{Footprint: o.Name, Member: string(member.Bare().YAML()), Incarnation: f.folder.id.Incarnation}
	if _, err := f.say(ctx, event.KindFootprintFounded, founded.Body()); err != nil {
		return nil, errors.Join(fmt.Errorf("found %s: %w", o.Name, err), f.Close())
	}
	return f, nil
}

// Join makes a new replica and asks the members, of whom contacts are some, to
// take it in. A majority must have agreed to that before. On return the replica
// is a member and is being brought up to date; it votes once it is.
func Join(ctx context.Context, o Options, contacts ...name.Council) (*Footprint, error) {
	if err := makeFolder(o.Dir, identity{Footprint: o.Name, Council: o.Self, Contacts: contacts, Machines: o.Machines}, o.Rand); err != nil {
		return nil, fmt.Errorf("join %s: %w", o.Name, err)
	}
	f, err := open(o, false)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", o.Name, err)
	}
	if err := f.Rejoin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("join %s: %w", o.Name, err), f.Close())
	}
	return f, nil
}

// Rejoin asks again what Join asks, for a replica whose joining did not get
// through. Asking again after it did changes nothing.
func (f *Footprint) Rejoin(ctx context.Context) error {
	jws, err := f.o.Sign(ctx, event.KindFootprintJoined, event.FootprintJoined{Footprint: f.o.Name, Incarnation: f.folder.id.Incarnation, Speaks: f.o.newest()}.Body())
	if err != nil {
		return err
	}
	r, err := f.contribute(ctx, group{contributor: f.o.Self, entries: []Entry{{Token: jws}}})
	if err != nil {
		return err
	}
	if o := r.Outcomes[0]; o.Code == Refused && o.Rule != "incarnation" {
		return &Refusal{o.Rule}
	}
	return nil
}

// Open opens a replica that Found or Join made.
func Open(o Options) (*Footprint, error) {
	f, err := open(o, false)
	if err != nil {
		return nil, fmt.Errorf("open footprint %s: %w", o.Name, err)
	}
	return f, nil
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MinFree == 0 {
		o.MinFree = 128 << 20
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	if o.ForgetWithin == 0 {
		o.ForgetWithin = 24 * time.Hour
	}
	if o.free == nil {
		o.free = ledger.FreeDisk
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 800 * time.Millisecond
	}
	if o.MarkEvery == 0 {
		o.MarkEvery = 500 * time.Millisecond
	}
	if o.Sign == nil {
		ring, self, now := o.Keys, o.Self, o.Now
		o.Sign = func(_ context.Context, kind string, body map[string]any) ([]byte, error) {
			d, err := record.BuildEvent(record.Event{Council: self, IssuedAt: now().Unix(), Kind: kind, Body: body}, ring.Record.ID())
			if err != nil {
				return nil, err
			}
			sig, err := ring.Record.Sign(d.SigningInput())
			if err != nil {
				return nil, err
			}
			return d.Seal(sig).Bytes(), nil
		}
	}
}

// stableIncarnation is the key in raft's stable store that ties it to the
// folder.
var stableIncarnation = []byte("stile incarnation")

func open(o Options, found bool) (_ *Footprint, err error) {
	o.defaults()
	fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
	if err != nil {
		return nil, err
	}
	f := &Footprint{
		o: o, folder: fold,
		notify: make(chan bool, 16), queue: make(chan *proposal, 256), sending: make(chan struct{}, 1),
		kick: make(chan struct{}, 1), marks: make(chan struct{}, 1), upgrades: make(chan struct{}, 1), eraser: make(chan struct{}, 1), inspections: make(chan []inspection, 8), missed: missed{wake: make(chan struct{}, 1)},
		leaving: map[raft.ServerID]time.Time{}, contact: map[name.Council]contact{}, peers: map[name.Council]Peer{}, letGoAt: map[name.Council]time.Time{},
	}
	f.judge = judge.New(judge.Options{Directory: o.Directory, Standards: f.standard, Now: o.Now})
	f.opened = make(chan struct{})
	f.ctx, f.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			f.cancel()
		}
	}()
	if f.fsm, err = openFSM(fold, &o); err != nil {
		return nil, err
	}
	f.fsm.onFail = f.stopped
	f.fsm.applied = f.didApply
	f.fsm.dropping = f.forgetLater
	defer func() {
		if err != nil {
			err = errors.Join(err, f.fsm.close())
		}
	}()
	if err := f.cosigned.load(fold); err != nil {
		return nil, err
	}
	if err := f.openLog(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.logs.Close())
		}
	}()
	if dir := f.fsm.replayed; dir != "" {
		first, err := f.logs.FirstIndex()
		if err != nil {
			return nil, err
		}
		if first != 1 {
			return nil, fmt.Errorf("%w: the replica, and the log begins at %d only", ledger.ErrDamaged, first)
		}
		if err := fold.adopt(dir); err != nil {
			return nil, err
		}
		o.Log.Error("the replica was damaged and is made anew from the log; look at the disk and the memory of this machine", "footprint", o.Name)
	}
	if err := f.openRaft(found); err != nil {
		return nil, err
	}
	f.wg.Go(f.propose)
	f.wg.Go(f.checkAhead)
	f.wg.Go(f.lead)
	f.wg.Go(f.cosign)
	f.wg.Go(f.upgrade)
	f.wg.Go(f.erase)
	f.wg.Go(f.inspect)
	f.wg.Go(f.trim)
	f.wg.Go(f.follow)
	f.wg.Go(f.obey)
	f.wg.Go(f.watchLeader)
	f.wake(f.marks)
	f.wake(f.eraser)
	return f, nil
}

// openLog opens raft's log and checks that it is the one that was made with
// the folder: a member whose log is gone does not know how it voted.
func (f *Footprint) openLog() error {
	dir, began := filepath.Join(f.o.Dir, "log"), filepath.Join(f.o.Dir, "began")
	if err := makeDir(dir); err != nil {
		return err
	}
	logs, err := openLog(dir, f.o.segment, f.o.EncryptionKey)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	f.logs = logs
	logs.noted = f.fsm.snaps.newest
	mark, err := logs.Get(stableIncarnation)
	_, berr := os.Stat(began)
	switch {
	case err != nil:
		err = fmt.Errorf("open log: %w", err)
	case len(mark) > 0 && string(mark) != f.folder.id.Incarnation, len(mark) == 0 && berr == nil:
		err = ErrLost
	default:
		// Both are there before the first vote can be.
		if len(mark) == 0 {
			err = logs.Set(stableIncarnation, []byte(f.folder.id.Incarnation))
		}
		if err == nil && berr != nil {
			err = writeFile(began, nil)
		}
		if err == nil {
			return nil
		}
	}
	return errors.Join(err, logs.Close())
}

func (f *Footprint) openRaft(found bool) error {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(f.server())
	c.HeartbeatTimeout, c.ElectionTimeout = f.o.Heartbeat, f.o.Heartbeat
	c.LeaderLeaseTimeout = f.o.Heartbeat / 2
	// Entries are whole batches: a few make a full message.
	c.MaxAppendEntries = 16
	c.CommitTimeout = 20 * time.Millisecond
	c.SnapshotThreshold, c.TrailingLogs = 1024, 1024 // see trim
	if f.o.KeepLog > 0 {
		c.SnapshotThreshold, c.TrailingLogs = f.o.SnapshotAfter, f.o.KeepLog
	}
	c.SnapshotInterval = 30 * time.Second
	c.NoSnapshotRestoreOnStart = true // the replica is on disk
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.NotifyCh = f.notify
	c.Logger = newLogger(f.o.Log)
	f.layer = newStreamLayer(f)
	f.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: f.layer, MaxPool: 3, Timeout: 10 * time.Second, Logger: c.Logger,
		// One message at a time to each member. With raft 1.8.0's pipeline, a
		// leader deposed while its window is full blocks for good: who reads
		// the answers has gone, who sends waits for room, and Shutdown for both.
		MaxRPCsInFlight: 1,
	})
	guard := newGuard(f, f.trans)
	if found {
		err := raft.BootstrapCluster(c, f.logs, f.logs, f.fsm.snaps, guard, raft.Configuration{
			Servers: []raft.Server{{Suffrage: raft.Voter, ID: c.LocalID, Address: raft.ServerAddress(f.server())}},
		})
		if err != nil {
			return errors.Join(fmt.Errorf("found the cluster: %w", err), f.trans.Close())
		}
	}
	if err := f.o.Hub.add(f); err != nil {
		return errors.Join(err, f.trans.Close())
	}
	var err error
	t := &f.tally
	if f.raft, err = raft.NewRaft(c, measured{f.fsm, t}, f.logs, f.logs, measuredStore{f.fsm.snaps, t}, guard); err != nil {
		f.o.Hub.remove(f)
		return errors.Join(fmt.Errorf("start raft: %w", err), f.trans.Close())
	}
	t.observe(f.raft)
	close(f.opened)
	f.wg.Go(guard.run)
	return nil
}

// newLogger hands raft's messages on from level warning. They name servers,
// terms and indexes, never entries.
func newLogger(l *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Warn, Output: lineWriter{l}, DisableTime: true})
}

type lineWriter struct{ l *slog.Logger }

func (w lineWriter) Write(b []byte) (int, error) {
	w.l.Info("raft", "message", string(b))
	return len(b), nil
}

// Close stops taking part and closes the replica. What was under way may or
// may not be committed.
func (f *Footprint) Close() error {
	if !f.closed.CompareAndSwap(false, true) {
		return nil
	}
	f.o.Hub.remove(f)
	f.cancel()
	err := f.raft.Shutdown().Error()
	err = errors.Join(err, f.trans.Close())
	f.wg.Wait()
	return errors.Join(err, f.logs.Close(), f.fsm.close())
}

// stopped takes the member out of the cluster when its replica can go no
// further: it must not lead, nor let the log be cut.
func (f *Footprint) stopped(err error) {
	select {
	case <-f.opened:
		f.raft.Shutdown()
	case <-f.ctx.Done():
	}
	f.o.Fatal(err)
}

// didApply is told after each batch, on the goroutine that applies.
func (f *Footprint) didApply(e effects) {
	if e.marked {
		f.wake(f.marks)
	}
	if e.members {
		f.wake(f.kick)
		f.wake(f.upgrades)
	}
	if e.erased {
		f.wake(f.eraser)
	}
	f.later(e.records)
}

func (f *Footprint) wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// erase takes withdrawn records off the disk.
func (f *Footprint) erase() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.eraser:
		}
		for {
			// Noted before it is done, so that a crash forgets nothing.
			err := f.forgetLaterIfAny()
			n := 0
			if err == nil {
				n, err = f.fsm.eraseSome()
			}
			if err != nil && f.ctx.Err() == nil {
				f.fsm.fail(err)
			}
			if n == 0 || err != nil {
				break
			}
		}
	}
}

func (f *Footprint) forgetLaterIfAny() error {
	if !f.fsm.current().Erasing() {
		return nil
	}
	return f.forgetLater()
}

func (m *fsm) eraseSome() (int, error) {
	m.swap.RLock()
	defer m.swap.RUnlock()
	return m.replica.Erase()
}

// server is the id by which raft knows this replica.
func (f *Footprint) server() string { return serverID(f.o.Self, f.folder.id.Incarnation) }

// Name returns the footprint's name.
func (f *Footprint) Name() name.Council { return f.o.Name }

// knows reports whether a council may talk to this replica: it is a member or
// invited, or this replica is too new to know and was told of it.
func (f *Footprint) knows(c name.Council) bool {
	s := f.fsm.state.Load()
	if s.members[c] != nil || s.invited[c] != nil || c == f.o.Self {
		return true
	}
	if len(s.members) > 0 {
		return false
	}
	// Not a word from the leader yet, who may be any of the members. It proved
	// its key to the network as a council of the directory; what it brings is
	// signed and must be cosigned by a majority to count.
	m, ok := f.o.Directory.Member(c)
	return ok && (m.Role == directory.RoleCouncil || m.Role == "")
}

func (f *Footprint) heard(c name.Council, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.contact[c]
	k.err = err
	if err == nil {
		k.at = f.o.Now()
	}
	f.contact[c] = k
}

// standard returns a standard that the footprint has adopted.
func (f *Footprint) standard(n name.Standard) (*standard.Standard, error) {
	if s, ok := f.standards.Load(n); ok {
		return s.(*standard.Standard), nil
	}
	var std *standard.Standard
	err := f.fsm.view(func(v *ledger.ReplicaView) (err error) {
		std, err = loadStandard(v, n)
		return err
	})
	if err == nil {
		f.standards.Store(n, std)
	}
	return std, err
}

// say signs an event and has it put into the ledger.
func (f *Footprint) say(ctx context.Context, kind string, body map[string]any) (Receipt, error) {
	jws, err := f.o.Sign(ctx, kind, body)
	if err != nil {
		return Receipt{}, err
	}
	r, err := f.contribute(ctx, group{contributor: f.o.Self, entries: []Entry{{Token: jws}}})
	if err == nil && r.Outcomes[0].Code == Refused {
		err = &Refusal{r.Outcomes[0].Rule}
	}
	return r, err
}

// A Refusal says why the footprint did not take an entry: a rule, in words,
// never a value.
type Refusal struct{ Rule string }

// Error returns the rule.
func (r *Refusal) Error() string { return "refused: " + r.Rule }
