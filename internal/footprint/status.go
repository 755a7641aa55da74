package footprint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A Peer is what a member says of itself.
type Peer struct {
	Server  string `json:"server"`
	Applied uint64 `json:"applied"` // position in the replicated log
	Size    uint64 `json:"size"`    // entries in the ledger
	Speaks  int    `json:"speaks"`  // newest format of commands it understands
	Free    uint64 `json:"free"`    // bytes of free disk
	Full    bool   `json:"full,omitempty"`
	Stopped string `json:"stopped,omitempty"` // why it applies nothing any more
	Left    bool   `json:"left,omitempty"`    // what it has applied says that it is no member

	took time.Duration
}

func (f *Footprint) self() Peer {
	r := f.fsm.current()
	p := Peer{Server: f.server(), Applied: r.Applied(), Size: r.Checkpoint().Size, Speaks: f.o.newest(), Left: f.left()}
	if free, err := f.o.free(f.o.Dir); err == nil {
		p.Free, p.Full = free, free < f.o.MinFree
	}
	if err := f.fsm.failure(); err != nil {
		p.Stopped = err.Error()
	}
	return p
}

// left reports whether what was applied here says that this replica is no
// member's. One that has applied nothing yet does not know.
func (f *Footprint) left() bool {
	s := f.fsm.state.Load()
	m := s.members[f.o.Self]
	return len(s.members) > 0 && (m == nil || m.server() != f.server())
}

// A MemberStatus is one member of the footprint as this one sees it.
type MemberStatus struct {
	Council name.Council `json:"council"`
	Up      bool         `json:"up"` // it answers
	Leads   bool         `json:"leads,omitempty"`
	Votes   bool         `json:"votes"`
	Joined  bool         `json:"joined"` // false: invited
	Behind  uint64       `json:"behind"` // entries; of a machine, positions
	Because string       `json:"because,omitempty"`
	Size    uint64       `json:"size"`
	Applied uint64       `json:"position"`
	Free    uint64       `json:"free_bytes,omitempty"`
	Speaks  int          `json:"speaks,omitempty"` // newest format it understands, as it said last
}

// A Change is the change of membership under way.
type Change struct {
	Change  string         `json:"change"` // "admit", "contributor", "remove" or "keys": new keys
	Council name.Council   `json:"council"`
	By      name.Council   `json:"by"`
	Agreed  []name.Council `json:"agreed"`
	Waiting []name.Council `json:"waiting"` // members who have not agreed
	Needs   int            `json:"needs"`   // how many must
}

// A Status is how a footprint stands, as one member sees it.
type Status struct {
	Footprint name.Council   `json:"footprint"`
	Self      name.Council   `json:"self"`
	Words     string         `json:"words"` // all of it in a sentence or two
	Needs     int            `json:"needs"` // how many members must agree to anything
	Up        int            `json:"up"`
	Formed    bool           `json:"formed"`
	Decides   bool           `json:"decides"` // a majority answers and has a leader
	Leader    name.Council   `json:"leader,omitempty"`
	Members   []MemberStatus `json:"members"`
	// Contributors are no members and contribute under agreements.
	Contributors []name.Council `json:"contributors,omitempty"`
	Former       []Former       `json:"former,omitempty"`
	Change       *Change        `json:"change,omitempty"`
	Size         uint64         `json:"size"`       // entries here
	Position     uint64         `json:"position"`   // applied here
	Checkpoint   uint64         `json:"checkpoint"` // size of the newest checkpoint that counts
	Evidence     int            `json:"evidence"`
	DiskBytes    uint64         `json:"disk_bytes"`
	LogBytes     uint64         `json:"log_bytes"` // of raft's log, which is cut by files of 64 MiB
	Format       int            `json:"format"`    // of commands, in use: every member understands it
	Stopped      string         `json:"stopped,omitempty"`
}

// Status asks every member how it is, for at most two seconds, and says how the
// footprint stands.
func (f *Footprint) Status() Status {
	s := f.fsm.state.Load()
	councils := s.councils()
	for c := range s.invited {
		if s.members[c] == nil {
			councils = append(councils, c)
		}
	}
	slices.Sort(councils)
	peers := make([]Peer, len(councils))
	errs := make([]error, len(councils))
	var wg sync.WaitGroup
	for i, c := range councils {
		if c == f.o.Self {
			peers[i] = f.self()
			continue
		}
		wg.Go(func() { peers[i], errs[i] = f.peer(c, 2*time.Second) })
	}
	wg.Wait()
	st := Status{Footprint: f.o.Name, Self: f.o.Self, Needs: s.majority(), Formed: s.Formed, Format: s.format()}
	own := f.self()
	st.Size, st.Position, st.Stopped = own.Size, own.Applied, own.Stopped
	st.Contributors = slices.Sorted(maps.Keys(s.outside))
	if formers, err := f.Formers(); err == nil {
		st.Former = formers
	}
	_, id := f.raft.LeaderWithID()
	st.Leader, _, _ = parseServer(string(id))
	cp, _ := f.cosigned.best()
	st.Checkpoint = cp.Size
	if ev, err := f.Evidence(); err == nil {
		st.Evidence = len(ev)
	}
	if n, err := f.fsm.current().DiskBytes(); err == nil {
		st.DiskBytes = n
	}
	st.LogBytes = f.logBytes()
	var servers []raft.Server
	if c := f.raft.GetConfiguration(); c.Error() == nil {
		servers = c.Configuration().Servers
	}
	var newest Peer
	for _, p := range peers {
		if p.Applied > newest.Applied {
			newest = p
		}
	}
	for i, c := range councils {
		p, m := peers[i], s.members[c]
		ms := MemberStatus{Council: c, Joined: m != nil, Leads: c == st.Leader, Up: errs[i] == nil, Size: p.Size, Applied: p.Applied, Free: p.Free, Speaks: p.Speaks}
		if m != nil {
			ms.Votes = slices.ContainsFunc(servers, func(srv raft.Server) bool {
				return srv.ID == raft.ServerID(m.server()) && srv.Suffrage == raft.Voter
			})
		}
		f.mu.Lock()
		last := f.peers[c]
		f.mu.Unlock()
		if errs[i] != nil {
			ms.Size, ms.Applied, ms.Speaks = last.Size, last.Applied, last.Speaks
		}
		ms.Behind = f.behind(newest, ms.Size, ms.Applied)
		ms.Because = because(m, p, errs[i], ms)
		if ms.Up && m != nil && p.Speaks < st.Format || c == f.o.Self && f.outdated.Load() {
			ms.Because = becauseOlder
		}
		if ms.Up && m != nil {
			st.Up++
		}
		st.Members = append(st.Members, ms)
	}
	st.Decides = st.Leader != "" && st.Up >= st.Needs
	if o := s.Open; o != nil {
		ch := &Change{Change: o.Change, Council: o.Council, By: o.By, Agreed: o.Agreed, Needs: s.majority()}
		for _, c := range s.councils() {
			if !slices.Contains(o.Agreed, c) {
				ch.Waiting = append(ch.Waiting, c)
			}
		}
		st.Change = ch
	}
	st.Words = f.words(st)
	return st
}

// behind is how much a member lacks that another has: of entries, and among
// machines, whose writes are no entries, of positions.
func (f *Footprint) behind(newest Peer, size, applied uint64) uint64 {
	if f.Machines() {
		return newest.Applied - min(newest.Applied, applied)
	}
	return newest.Size - min(newest.Size, size)
}

// slowLink is how long an answer of a few bytes takes on a link called slow.
const slowLink = 300 * time.Millisecond

// justNow is how many entries a member may be behind without a word: the
// members are not asked all at one moment.
const justNow = 16

const becauseOlder = "it runs an older version of Stile than the footprint uses and must be upgraded before it can go on"

func because(m *member, p Peer, err error, ms MemberStatus) string {
	switch {
	case m == nil:
		return "it has been invited and has not joined yet"
	case saysNoMember(err):
		return "it says that we are no member"
	case err != nil:
		return "it does not answer"
	case p.Stopped != "":
		return "its replica has stopped: " + p.Stopped
	case p.Server != m.server():
		return "another replica answers there than the one that joined"
	case p.Full:
		return "its disk is nearly full"
	case ms.Behind > justNow && p.took > slowLink:
		return "its link is slow"
	case ms.Behind > 0 && !ms.Votes:
		return "it is being brought up to date"
	case ms.Behind > justNow:
		return "it is catching up"
	case !ms.Votes:
		return "it has no vote yet"
	}
	return ""
}

// words says the status in a sentence or two.
func (f *Footprint) words(st Status) string {
	var b strings.Builder
	members := 0
	for _, m := range st.Members {
		if m.Joined {
			members++
		}
	}
	switch {
	case members == 0:
		return "this replica has joined nothing yet: a majority of the members must have invited it"
	case !st.Formed && !f.Machines():
		fmt.Fprintf(&b, "%s joined; records are taken once three have", counted(members, "council has", "councils have"))
	default:
		fmt.Fprintf(&b, "%d of %d must agree; ", st.Needs, members)
		if members == 1 {
			b.WriteString("it is up")
		} else if st.Up == members {
			fmt.Fprintf(&b, "all %d are up", members)
		} else if st.Up == 1 {
			b.WriteString("1 is up")
		} else {
			fmt.Fprintf(&b, "%d are up", st.Up)
		}
	}
	for _, m := range st.Members {
		switch {
		case m.Because == "":
		case !m.Joined:
			fmt.Fprintf(&b, "; %s: %s", f.title(m.Council), m.Because)
		case m.Behind > 0:
			one, many := "entry", "entries"
			if f.Machines() {
				one, many = "write", "writes"
			}
			fmt.Fprintf(&b, "; %s is %s behind because %s", f.title(m.Council), counted(int(m.Behind), one, many), m.Because)
		default:
			fmt.Fprintf(&b, "; %s: %s", f.title(m.Council), m.Because)
		}
	}
	switch {
	case st.Up < st.Needs:
		fmt.Fprintf(&b, "; nothing can be written until %s", counted(st.Needs-st.Up, "more answers", "more answer"))
	case st.Leader == "":
		b.WriteString("; the members are choosing who leads")
	}
	if st.Change != nil {
		verb := "admitting"
		switch st.Change.Change {
		case event.ChangeRemove:
			verb = "removing"
		case event.ChangeContributor:
			verb = "taking in records of"
		case event.ChangeKeys:
			verb = "taking over the new keys of"
		}
		fmt.Fprintf(&b, "; %s %s waits for %s to agree", verb, f.title(st.Change.Council), f.titles(st.Change.Waiting, "or"))
	}
	if cs := older(st, f.o.newest()); len(cs) > 0 {
		verb := "run"
		if len(cs) == 1 {
			verb = "runs"
		}
		fmt.Fprintf(&b, "; %s still %s an older version of Stile, and new kinds of entries wait until every member is upgraded", f.titles(cs, "and"), verb)
	}
	if st.Evidence > 0 {
		fmt.Fprintf(&b, "; there is evidence against a council: see footprint evidence")
	}
	return b.String()
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// title is what people call a council.
func (f *Footprint) title(c name.Council) string {
	if m := f.fsm.state.Load().members[c]; m != nil && m.entry.Title != "" {
		return m.entry.Title
	}
	if m, ok := f.o.Directory.Member(c); ok && m.Title != "" {
		return m.Title
	}
	return string(c)
}

func (f *Footprint) titles(cs []name.Council, last string) string {
	var out []string
	for _, c := range cs {
		out = append(out, f.title(c))
	}
	if len(out) > 1 {
		return strings.Join(out[:len(out)-1], ", ") + " " + last + " " + out[len(out)-1]
	}
	return strings.Join(out, "")
}

// unavailable says why nothing can be decided, in words.
func (f *Footprint) unavailable(last error) error {
	s := f.fsm.state.Load()
	var away []string
	f.mu.Lock()
	for _, c := range s.councils() {
		if k := f.contact[c]; c != f.o.Self && k.err != nil {
			away = append(away, string(c))
		}
	}
	f.mu.Unlock()
	why := "no leader could be chosen"
	switch {
	case len(away) > 0:
		why = strings.Join(away, ", ") + " did not answer"
	case errors.Is(last, errUnsure):
		why = "the answer was lost; what was offered may still be taken"
	}
	return fmt.Errorf("%w: %d of %d members must agree, and %s", ErrUnavailable, s.majority(), len(s.members), why)
}

func sameKeys(m directory.Member, document string) bool {
	d, err := directory.ParseMember([]byte(document))
	if err != nil || d.Council != m.Council || d.WitnessKey != m.WitnessKey || d.Node != m.Node || len(d.RecordKeys) != len(m.RecordKeys) {
		return false
	}
	for i, k := range d.RecordKeys {
		if k.ID() != m.RecordKeys[i].ID() {
			return false
		}
	}
	return true
}
