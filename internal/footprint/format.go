package footprint

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Members are upgraded one at a time, so for a while some run an older program.
// What they do not understand is not proposed. The format in use is a number in
// the replica: it moves on by a command that names every server of the footprint,
// each of which said, just before, that it understands the next one. From there
// on the number is as durable as an entry, and no leader forgets it. A member
// that is away holds it up, since nobody knows what it will run when it comes
// back; it is removed, or it comes back.
//
// After it has moved on, an older program opens that replica no more, is not
// admitted, is not sent a snapshot that it would take, and takes nothing newer
// into its log. It never skips.

// What a format holds that the one before does not: 2, this command, councils outside that
// contribute, former members; 3, that a council leaves of its own will also where fewer than
// three are left, and that what was withdrawn comes again under an agreement as whichever version.

var errNewer = errors.New("written by a newer version of Stile: this node must be upgraded before it can go on")

// RuleOlder refuses a council that joins with a program that does not understand
// what the footprint writes.
const RuleOlder = "this node runs an older version of Stile than the footprint uses: upgrade it first"

// RuleWaits refuses a new kind of entry.
const RuleWaits = "a member still runs an older version of Stile that does not understand this kind of entry: see footprint status"

// upgradeEvery is how often the leader asks whether all members understand a
// newer format, while there is one.
const upgradeEvery = 2 * time.Second

// newest is the newest format that this member understands.
func (o *Options) newest() int {
	if o.speaks != 0 {
		return o.speaks
	}
	return newestFormat
}

// format is the format in use.
func (s *stored) format() int { return max(s.Format, 1) }

// speaks returns the newest format that every member understands, now and from
// here on: what is proposed may be of it, and nothing newer.
func (f *Footprint) speaks() int { return f.fsm.state.Load().format() }

// servers returns the ids of the members' servers, sorted.
func (s *state) servers() []string {
	var out []string
	for _, m := range s.members {
		out = append(out, m.server())
	}
	slices.Sort(out)
	return out
}

// upgrade moves the format on while this member leads.
func (f *Footprint) upgrade() {
	tick := time.NewTicker(upgradeEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.upgrades:
		case <-tick.C:
		}
		if f.ready.Load() == nil || f.speaks() >= f.o.newest() {
			continue
		}
		next, servers := f.understood()
		if next <= f.speaks() {
			continue
		}
		c := command{version: byte(next), kind: commandFormat, at: f.o.Now().Unix(), servers: servers}
		if err := f.raft.Apply(c.encode(), time.Second).Error(); err != nil {
			f.o.Log.Debug("moving the format on", "footprint", f.o.Name, "error", err.Error())
		}
	}
}

// understood asks every member what it understands. It returns the newest format
// that all do, and the servers that said so; 0 when one does not answer or raft's
// servers are not the members yet.
func (f *Footprint) understood() (int, []string) {
	s := f.fsm.state.Load()
	future := f.raft.GetConfiguration()
	if future.Error() != nil {
		return 0, nil
	}
	var servers []string
	for _, srv := range future.Configuration().Servers {
		servers = append(servers, string(srv.ID))
	}
	slices.Sort(servers)
	if len(servers) == 0 || !slices.Equal(servers, s.servers()) {
		return 0, nil
	}
	speaks := make([]int, len(servers))
	var wg sync.WaitGroup
	for i, id := range servers {
		c, _, _ := parseServer(id)
		if c == f.o.Self {
			speaks[i] = f.o.newest()
			continue
		}
		wg.Go(func() {
			if p, err := f.peer(c, upgradeEvery); err == nil && p.Server == id && p.Stopped == "" {
				speaks[i] = p.Speaks
			}
		})
	}
	wg.Wait()
	return min(slices.Min(speaks), f.o.newest()), servers
}

// moveFormat applies the command that a new format begins with. It does nothing
// when the members are others than were asked.
func (a *applier) moveFormat(c command) {
	if int(c.version) > a.s.format() && slices.Equal(c.servers, a.s.servers()) {
		a.s.Format = int(c.version)
	}
}

// stateOf reads the state that goes with a replica, and refuses one of a newer
// format.
func (m *fsm) stateOf(r *ledger.Replica) (s *state, err error) {
	err = r.View(func(v *ledger.ReplicaView) error {
		if s, err = loadState(v); err == nil && s.format() > m.newest {
			err = errNewer
		}
		return err
	})
	return s, err
}

// older returns the members that are known to run an older program than some
// other does, and so hold a newer format up.
func older(st Status, own int) (out []name.Council) {
	newest := own
	for _, m := range st.Members {
		newest = max(newest, m.Speaks)
	}
	if newest <= st.Format {
		return nil // Because says it of whoever is older than what is in use
	}
	for _, m := range st.Members {
		if m.Joined && m.Speaks > 0 && m.Speaks < newest && m.Because != becauseOlder {
			out = append(out, m.Council)
		}
	}
	return out
}
