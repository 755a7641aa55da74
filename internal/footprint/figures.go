package footprint

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/node/name"
)

// Figures are how one member's replica does, for whoever watches it. They are
// what this member knows by itself: nobody is asked. What it knows of the
// others it was told the last time Look asked them.
type Figures struct {
	Leader name.Council // who leads; "" when nobody is known to
	Leads  bool         // this member does
	Needs  int          // how many members must agree to anything
	// Decides says that a leader is known and as many members as must agree
	// answered when they were last asked.
	Decides bool
	Members []MemberFigures // councils that have joined, sorted
	Invited int             // councils that have not joined yet

	Term        uint64    // raft's
	Position    uint64    // applied here
	Committed   uint64    // known to be decided; raft numbers some positions for itself
	Size        uint64    // entries in the ledger here
	Checkpoint  uint64    // size of the newest checkpoint that counts
	LeaderHeard time.Time // when the leader was last heard from; zero when never. Of the leader itself: now
	Evidence    int       // when Look last counted
	Stopped     bool      // the replica applies nothing any more

	LogBytes          uint64 // of raft's log on disk
	LogLimit          uint64 // about how many bytes it grows to before it is cut
	LogFirst, LogLast uint64 // positions that it holds; 0, 0 when it is empty

	// Offered counts the entries that were offered while this member led, by
	// what became of them. Those whose fate their contributor was not told are
	// Failed; they may be in the ledger nevertheless.
	Offered OfferedFigures
	Commit  Durations // from proposing a batch to its being applied, while this member led
	Apply   Durations // of applying what one or more batches hold

	Candidacies   uint64 // how often this member stood for election
	LeaderChanges uint64 // how often it heard of another leader than the one before
	Snapshots     SnapshotFigures
}

// OfferedFigures count entries.
type OfferedFigures struct{ Accepted, Duplicate, Refused, Failed uint64 }

// SnapshotFigures count snapshots since the replica was opened. One is noted
// when raft's log may be cut, sent when a member is behind what the log still
// holds, and installed by that member.
type SnapshotFigures struct {
	Noted           uint64
	Sent, SentBytes uint64
	Installed       uint64
	InstalledBytes  uint64
	InstallFailures uint64
}

// MemberFigures are what this member knows of one, itself included.
type MemberFigures struct {
	Council name.Council
	Votes   bool
	Up      bool      // it answered when it was last asked
	Asked   time.Time // when that was; zero when it never was
	Behind  uint64    // entries, at that time
	Heard   time.Time // when it last answered anything; zero when it never did
}

// Durations is a histogram of how long something took.
type Durations struct {
	Bounds []float64 // seconds, ascending; it must not be changed
	Counts []uint64  // how many took at most as long; as many as Bounds
	Count  uint64    // how many there were
	Sum    float64   // seconds
}

// durationBounds are the same for every histogram, in seconds.
var durationBounds = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

type durations struct {
	counts [len(durationBounds) + 1]atomic.Uint64
	nanos  atomic.Int64
}

func (d *durations) took(t time.Duration) {
	i, _ := slices.BinarySearch(durationBounds[:], t.Seconds())
	d.counts[i].Add(1)
	d.nanos.Add(int64(t))
}

func (d *durations) figures() Durations {
	out := Durations{Bounds: slices.Clone(durationBounds[:]), Sum: time.Duration(d.nanos.Load()).Seconds()}
	for i := range d.counts {
		out.Count += d.counts[i].Load()
		if i < len(durationBounds) {
			out.Counts = append(out.Counts, out.Count)
		}
	}
	return out
}

// tally counts what happens to one open replica.
type tally struct {
	outcomes                       [Refused + 1]atomic.Uint64 // by Code; 0 is failed
	commit, apply                  durations
	candidacies, changes           atomic.Uint64
	noted, sent, sentBytes         atomic.Uint64
	installed, installedBytes, bad atomic.Uint64

	mu       sync.Mutex // guards what follows
	members  map[name.Council]MemberFigures
	evidence int
}

// offered counts what became of the entries of a group.
func (t *tally) offered(entries int, r result) {
	if errors.Is(r.err, errNotLeader) {
		return // it is offered to another
	}
	if r.err != nil {
		t.outcomes[0].Add(uint64(entries))
		return
	}
	for _, o := range r.r.Outcomes {
		if o.Code <= Refused {
			t.outcomes[o.Code].Add(1)
		}
	}
}

// observe counts elections. It runs where raft does, so it must not wait.
func (t *tally) observe(r *raft.Raft) {
	r.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch d := o.Data.(type) {
		case raft.RaftState:
			if d == raft.Candidate {
				t.candidacies.Add(1)
			}
		case raft.LeaderObservation:
			if d.LeaderID != "" {
				t.changes.Add(1)
			}
		}
		return false
	}))
}

// logLimit is about what raft's log grows to: half as much again as is kept, in
// files of 64 MiB, of which the first and the last are held in part.
const logLimit = keepLogBytes*3/2 + 2*(64<<20)

// Look asks every other member how it is, for at most two seconds, and notes
// what it learns for Figures.
func (f *Footprint) Look(ctx context.Context) {
	cs := f.fsm.state.Load().councils()
	peers, up := make([]Peer, len(cs)), make([]bool, len(cs))
	var wg sync.WaitGroup
	for i, c := range cs {
		if c == f.o.Self {
			peers[i], up[i] = f.self(), true
			continue
		}
		wg.Go(func() {
			p, err := f.peer(c, 2*time.Second)
			peers[i], up[i] = p, err == nil
		})
	}
	wg.Wait()
	if ctx.Err() != nil || f.ctx.Err() != nil {
		return
	}
	var newest Peer
	for _, p := range peers {
		newest.Size, newest.Applied = max(newest.Size, p.Size), max(newest.Applied, p.Applied)
	}
	ev, err := f.Evidence()
	now := f.o.Now()
	t := &f.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	members := map[name.Council]MemberFigures{}
	for i, c := range cs {
		m := MemberFigures{Council: c, Up: up[i], Asked: now, Behind: f.behind(newest, peers[i].Size, peers[i].Applied)}
		if !up[i] {
			// It is at least as far as it was when it last said so.
			f.mu.Lock()
			m.Behind = f.behind(newest, f.peers[c].Size, f.peers[c].Applied)
			f.mu.Unlock()
		}
		members[c] = m
	}
	t.members = members
	if err == nil {
		t.evidence = len(ev)
	}
}

// Figures returns how the replica does. It asks nobody and reads no more than a
// few numbers.
func (f *Footprint) Figures() Figures {
	s, t := f.fsm.state.Load(), &f.tally
	replica := f.fsm.current()
	cp, _ := f.cosigned.best()
	out := Figures{
		Leads: f.raft.State() == raft.Leader, Needs: s.majority(),
		Term: f.raft.CurrentTerm(), Position: replica.Applied(), Committed: f.raft.CommitIndex(),
		Size: replica.Checkpoint().Size, Checkpoint: cp.Size,
		LeaderHeard: f.raft.LastContact(), Stopped: f.fsm.failure() != nil, LogBytes: f.logBytes(), LogLimit: logLimit,
		Offered: OfferedFigures{
			Accepted: t.outcomes[Accepted].Load(), Duplicate: t.outcomes[Duplicate].Load(),
			Refused: t.outcomes[Refused].Load(), Failed: t.outcomes[0].Load(),
		},
		Commit: t.commit.figures(), Apply: t.apply.figures(),
		Candidacies: t.candidacies.Load(), LeaderChanges: t.changes.Load(),
		Snapshots: SnapshotFigures{
			Noted: t.noted.Load(), Sent: t.sent.Load(), SentBytes: t.sentBytes.Load(),
			Installed: t.installed.Load(), InstalledBytes: t.installedBytes.Load(), InstallFailures: t.bad.Load(),
		},
	}
	_, id := f.raft.LeaderWithID()
	out.Leader, _, _ = parseServer(string(id))
	if out.Leads {
		out.LeaderHeard = f.o.Now()
	}
	if first, err := f.logs.FirstIndex(); err == nil {
		if last, err := f.logs.LastIndex(); err == nil {
			out.LogFirst, out.LogLast = first, last
		}
	}
	for c := range s.invited {
		if s.members[c] == nil {
			out.Invited++
		}
	}
	var servers []raft.Server
	if c := f.raft.GetConfiguration(); c.Error() == nil {
		servers = c.Configuration().Servers
	}
	up := 0
	t.mu.Lock()
	out.Evidence = t.evidence
	for _, c := range s.councils() {
		m := t.members[c]
		m.Council = c
		if c == f.o.Self {
			m.Up, m.Heard = !out.Stopped, f.o.Now()
		}
		m.Votes = slices.ContainsFunc(servers, func(srv raft.Server) bool {
			who, _, _ := parseServer(string(srv.ID))
			return who == c && srv.Suffrage == raft.Voter
		})
		if m.Up {
			up++
		}
		out.Members = append(out.Members, m)
	}
	t.mu.Unlock()
	f.mu.Lock()
	for i, m := range out.Members {
		if m.Council != f.o.Self {
			out.Members[i].Heard = f.contact[m.Council].at
		}
	}
	f.mu.Unlock()
	out.Decides = out.Leader != "" && up >= out.Needs
	return out
}

// measured counts and times what raft asks of the replica. It implements
// raft.BatchingFSM.
type measured struct {
	*fsm
	t *tally
}

// ApplyBatch implements raft.BatchingFSM.
func (m measured) ApplyBatch(logs []*raft.Log) []any {
	start := time.Now()
	out := m.fsm.ApplyBatch(logs)
	m.t.apply.took(time.Since(start))
	return out
}

// Snapshot implements raft.FSM.
func (m measured) Snapshot() (raft.FSMSnapshot, error) {
	s, err := m.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	return measuredSnapshot{s, m.t}, nil
}

// Restore implements raft.FSM.
func (m measured) Restore(r io.ReadCloser) error {
	c := &countedReader{ReadCloser: r}
	err := m.fsm.Restore(c)
	if err != nil {
		m.t.bad.Add(1)
		return err
	}
	m.t.installed.Add(1)
	m.t.installedBytes.Add(c.n)
	return nil
}

type measuredSnapshot struct {
	raft.FSMSnapshot
	t *tally
}

// Persist implements raft.FSMSnapshot.
func (s measuredSnapshot) Persist(to raft.SnapshotSink) error {
	err := s.FSMSnapshot.Persist(to)
	if err == nil {
		s.t.noted.Add(1)
	}
	return err
}

type countedReader struct {
	io.ReadCloser
	n uint64
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.n += uint64(n)
	return n, err
}

// measuredStore counts the snapshots that are sent to members.
type measuredStore struct {
	*snapshotStore
	t *tally
}

// Open implements raft.SnapshotStore. Raft opens one to send it, and to restore
// one it has just received: that is no sending.
func (s measuredStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.snapshotStore.Open(id)
	if file, ok := r.(*os.File); err == nil && ok && !strings.HasSuffix(file.Name(), ".stream") {
		s.t.sent.Add(1)
		s.t.sentBytes.Add(uint64(meta.Size))
	}
	return meta, r, err
}
