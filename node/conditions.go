package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/notify"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/internal/retention"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/webhook"
)

// lookEvery is how often a running node looks at its conditions.
const lookEvery = 15 * time.Second

// walkEvery is how often a running node reads the times of all files of its folder: it
// may have many.
const walkEvery = 10 * time.Minute

// A seenClock is what was last seen of the clock by walking through the folder.
type seenClock struct {
	mu    sync.Mutex
	at    time.Time
	clock condition.Clock
}

func (s *seenClock) of(cfg *config.Config) condition.Clock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.at.IsZero() || now.Sub(s.at) >= walkEvery {
		s.at, s.clock = now, condition.ClockOf(cfg)
	}
	c := s.clock
	c.Unsynced = condition.ClockUnsynced()
	return c
}

// facts gathers what conditions are found by. It asks no other node.
func (n *Node) facts(partners []PartnerReply, clock condition.Clock) *condition.Facts {
	f := n.ownFacts()
	n.mu.Lock()
	s := n.sync
	f.Running, f.Started = s != nil, n.since
	n.mu.Unlock()
	now, view := f.Now, n.follower.View()
	h := view.Health(now)
	f.Directory = DirectoryHealth{State: string(h.State), Expires: h.Expires, Days: h.DaysLeft, Text: h.String()}
	for _, r := range view.Refused() {
		f.DirectoryDoubtful = append(f.DirectoryDoubtful, r.Error())
	}
	f.Clock = clock
	f.Counters = n.book.AllCounters()
	f.NotPassing, f.PassedOn = n.notPassing(f.Now), n.passedOn()
	f.Ending, f.Rehearsed = n.partnersEnding(), lastRehearsed(n.cfg.Data)
	f.Published, f.Partners, f.Agreements = n.logPublished(), partners, n.book.Current(now)
	f.Nearing = each(n.terms.Nearing(), func(k retention.Nearing) condition.Nearing { return condition.Nearing(k) })
	f.Late = each(n.terms.Late(), func(l retention.Late) condition.Late { return condition.Late(l) })
	if s != nil {
		f.Links = each(s.Pulling(), func(l peersync.Link) Link { return Link(l) })
		f.Clock.Partners = s.Clocks()
	} else {
		f.More = append(f.More, condition.New("node-not-running", "the node is not running, and exchanges nothing", "no process serves this folder", "stile serve"))
	}
	if n.o.Reading {
		f.More = append(f.More, condition.New("folder-wrong", "nothing can be written in the data folder, and it is only read", "its disk is read-only or full",
			"free some disk space, or have the disk mounted so that it can be written to"))
	}
	for _, r := range n.replicas.All() {
		f.Footprints = append(f.Footprints, footprintFacts(n.directory, r))
	}
	for _, s := range n.ledger.Standards() {
		if p, ok := view.Standard(s.Name()); ok && p.Extra.StatusOn(now) == standard.Retired {
			f.Retired = append(f.Retired, condition.Retired{Standard: s.Name(), On: p.Extra.History[len(p.Extra.History)-1].On})
		}
	}
	f.More = append(f.More, n.rules.all()...)
	f.More = append(f.More, n.caseConditions(now)...)
	f.More = append(f.More, n.notifier.Failing(now)...)
	if n.o.Conditions != nil {
		f.More = append(f.More, n.o.Conditions()...)
	}
	return f
}

// clocks are those of partners, for a ledger that is opened before they are known.
type clocks struct {
	of       atomic.Pointer[peersync.Syncer]
	unsynced atomic.Bool // for tests: as if nothing kept the clock in time
}

// refusal says why nothing may be signed by the clock; "" when something may. It waits
// for no lock of the node.
func (c *clocks) refusal(now, newest time.Time) string {
	if s := c.of.Load(); s != nil {
		return condition.ClockRefusal(now, s.Clocks(), func() bool { return c.unsynced.Load() || condition.ClockUnsynced() }, newest)
	}
	return ""
}

// ownFacts gathers those facts that decide whether records should be sent here, which
// costs little.
func (n *Node) ownFacts() *condition.Facts {
	f := &condition.Facts{Now: n.now(), Council: n.cfg.Council, MetricsListen: n.cfg.MetricsListen, Keys: condition.KeysOf(n.cfg), Disk: condition.DiskOf(n.cfg)}
	f.Halt, f.Damage = n.halted(), n.damaged()
	f.Quarantines, f.Accusations = n.stops()
	f.Disagreements = n.ledger.Disagreements()
	if n.ledger.IsSealed() {
		_ = n.ledger.View(func(v *ledger.View) error {
			if s, _, ok, err := v.Sealed(); ok && err == nil {
				f.Sealed = &s
			}
			return nil
		})
	}
	f.Hidden = n.hidden()
	f.Twice = n.twice()
	f.Backup = n.backupFacts()
	members := n.directory.Members()
	f.Members, f.Self = len(members), condition.SelfOf(members, directory.FromRing(n.cfg.Council, n.keys), f.Now)
	return f
}

// someHeld is of how many records it is looked at whether they can be passed on, where none is.
const someHeld = 20

// notPassing says under which agreements of ours nothing of what we received goes on, and why.
func (n *Node) notPassing(now time.Time) (out []condition.NotPassing) {
	for _, st := range n.book.Current(now) {
		a := st.Agreement
		if a.Origin == "" || a.From != n.cfg.Council || !st.InForce() {
			continue
		}
		why, err := n.book.PassesNothing(a, now)
		if err == nil && why == "" {
			why, err = n.unsignedUnder(st)
		}
		if err != nil {
			n.log.Error("look why nothing is passed on", "agreement", a.Name, "error", err.Error())
			continue
		}
		if why != "" {
			out = append(out, condition.NotPassing{Agreement: a.Name, Origin: a.Origin, Why: why})
		}
	}
	return out
}

// passedOn says how it stands with what others passed on to us.
func (n *Node) passedOn() (out []condition.PassedOn) {
	for _, s := range n.ledger.Sources() {
		t := s.Tracing
		if t == nil {
			continue
		}
		p := condition.PassedOn{Agreement: s.Agreement, From: s.From, Of: t.Of, Records: s.Records, Unanswered: t.Since, Quiet: t.Quiet, QuietAt: t.QuietAt}
		if !t.At.IsZero() {
			p.Unanswered = t.At
		}
		out = append(out, p)
	}
	return out
}

// unsignedUnder says in words that what is held under the origin of an agreement has no
// signatures; "" where some goes on, or something else keeps it.
func (n *Node) unsignedUnder(st agreement.Status) (string, error) {
	a := st.Agreement
	f, err := n.ledger.Feed(a.Name, st.Digest)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && f.Records > 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	src, err := n.ledger.Source(a.Origin.Council(), a.Origin)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && src.Records == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	seen, signed := 0, false
	err = n.ledger.View(func(v *ledger.View) error {
		return v.HiddenToo(src, 0, func(h *ledger.Holding, err error) bool {
			signed = signed || err == nil && h.PassesAlone()
			seen++
			return !signed && seen < someHeld
		})
	})
	if err != nil || signed || seen == 0 {
		return "", err
	}
	return fmt.Sprintf("what %s sent under %s has no signature of its own by itself: it has to send it anew", a.Origin.Council(), a.Origin), nil
}

// hidden says what others sent that is not shown, since this folder was set back.
func (n *Node) hidden() (out []condition.Hidden) {
	_ = n.ledger.View(func(v *ledger.View) error { // of a ledger that is closing nothing is told
		for _, s := range n.ledger.Sources() {
			if v.Hides(s) {
				out = append(out, condition.Hidden{From: s.From, Agreement: s.Agreement, Records: s.Records})
			}
		}
		return nil
	})
	return out
}

func footprintFacts(d *directory.Directory, r *replicas.Replica) condition.Footprint {
	out := condition.Footprint{Name: r.Name(), Machines: r.Council() != nil}
	f := r.Footprint()
	if f == nil {
		out.Unopened = fmt.Sprint(r.Err())
		return out
	}
	g := f.Figures()
	out.Out, out.Formed, out.Leader, out.Heard, out.Needs, out.Evidence, out.Asked = f.Out(), f.Formed(), g.Leader, g.LeaderHeard, g.Needs, g.Evidence, len(g.Members) > 0
	if g.Stopped {
		out.Stopped = "its storage failed, or what was decided cannot be applied here"
	}
	for _, m := range g.Members {
		out.Asked = out.Asked && !m.Asked.IsZero()
		if m.Up {
			out.Up = append(out.Up, m.Council)
		} else {
			out.Down = append(out.Down, m.Council)
		}
	}
	if formers, err := f.Formers(); err == nil {
		for _, m := range formers {
			out.Former = append(out.Former, condition.Former{Council: m.Council, Orders: len(m.Orders), Oldest: m.Oldest})
		}
	}
	m, listed := d.Member(r.Name())
	out.Unlisted = !out.Machines && out.Formed && (!listed || !slices.Equal(m.Members, f.Councils()))
	return out
}

// look finds the conditions that hold, and tells the log of what is new.
func (n *Node) look() error {
	partners, err := n.explain.Partners(false)
	if err != nil {
		return err
	}
	f := n.facts(partners, n.seenClock.of(n.cfg))
	n.conditions.Keep(condition.Find(f, n.cfg.Accepted), f.Now)
	n.notifier.Take(n.conditions.Last(), f.Now)
	return nil
}

// openNotifier opens what tells people outside of what [Node.look] finds.
func (n *Node) openNotifier() error {
	networks, err := webhook.ParseAllow(n.cfg.Web.WebhookNetworks)
	if err != nil {
		return err
	}
	sender := notify.NewSender(n.cfg.Council, networks, nil)
	n.notifier = notify.Open(notify.Options{
		Council: n.cfg.Council, Targets: n.cfg.Notify, File: filepath.Join(n.cfg.Data, notify.FileName), Sender: sender, Log: n.log, Now: n.now,
		Jitter: mathrand.Float64, ID: func() (string, error) { return webhook.NewID(rand.Reader) },
	})
	return nil
}

// keepLooking looks at the conditions now and then, until ctx ends.
func (n *Node) keepLooking(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		for _, r := range n.replicas.List() {
			r.Footprint().Look(ctx)
		}
		if err := n.look(); err != nil && ctx.Err() == nil {
			n.log.Warn("look at how the node does", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// blocked returns the condition for which no records should be sent to this node now.
func (n *Node) blocked() Condition {
	return condition.Blocking(condition.Find(n.ownFacts(), nil))
}

// Conditions returns what can be said of a data folder without opening it: of its
// keys, disk, clock and monitoring. [Operations.Status] says that and all else.
func Conditions(cfg *config.Config, now time.Time) []Condition {
	f := &condition.Facts{Now: now, Council: cfg.Council, MetricsListen: cfg.MetricsListen, Keys: condition.KeysOf(cfg), Disk: condition.DiskOf(cfg), Clock: condition.ClockOf(cfg)}
	return condition.Find(f, cfg.Accepted)
}

// NewCondition makes a condition of a kind that is found beside the node; the kinds
// are listed in docs/operating.md.
func NewCondition(kind, text, cause, try string) Condition {
	return condition.New(kind, text, cause, try)
}
