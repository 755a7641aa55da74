// Package notify tells people outside of a node what somebody should know of: conditions
// that begin, get worse or end, and dates that come near, by webhook or by a command such
// as a mail program.
//
// # What is told, and when
//
// Each target of the configuration is told by itself. A condition has begun for it once it
// has held for a minute, and is over once it has not held for ten, so that what comes and
// goes is told once. Each stage is told once: a review that is thirty days away, the same
// seven days away, and its day, are conditions of their own. What was told is kept in a
// file, so that a restart repeats nothing; only a process that dies between a delivery and
// the writing down of it sends a message twice, under the same id.
//
// What waits goes as one message. One that is not taken is tried again by
// [webhook.Next], for three days; then the target is parked, and tried once a day and when
// the node starts. Meanwhile what is new waits behind it, at most [maxWaiting] changes. That
// is a condition itself, notify-failing, which the other targets are told.
//
// A message never holds a value of a record, nor the cause of a condition whose cause may
// name one ([condition.Kind.Inside]).
package notify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// FileName is the file of a data folder that keeps what each target was told and what
// waits. Whoever alters it has something told twice, or not at all.
const FileName = "notify.json"

const (
	// begun is how long a condition must hold before it is told.
	begun = time.Minute
	// over is for how long it must not hold before its end is told.
	over = 10 * time.Minute
	// failing is for how long a target may not be reached before that is a condition.
	failing = 15 * time.Minute
	// parked is how often a target that is parked is tried.
	parked = 24 * time.Hour
	// maxWaiting is how many changes may wait for a target; the oldest go before.
	maxWaiting = 500
	// maxChanges is how many changes one message holds.
	maxChanges = 100
)

// The ways in which a condition changes.
const (
	Began = "began"
	Worse = "worse"
	Ended = "ended"
)

// A Change is what one target is told of one condition. Its members are part of the
// message, see [document].
type Change struct {
	Change    string         `json:"change"` // Began, Worse or Ended
	At        time.Time      `json:"at"`
	Name      string         `json:"name"`
	Severity  api.Severity   `json:"severity"`
	Council   name.Council   `json:"council,omitempty"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Text      string         `json:"text"`
	Cause     string         `json:"cause,omitempty"`
	Try       string         `json:"try,omitempty"`
	Since     time.Time      `json:"since,omitzero"`
}

// A Message is a batch of changes on its way to a target. It does not change between
// attempts.
type Message struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Changes []Change  `json:"changes"`
	LeftOut int       `json:"left_out,omitempty"` // older changes that could not be kept
}

// A State is how a target stands.
type State struct {
	Target string `json:"target"`
	// Told is what the target knows to hold, or will once what waits has gone.
	Told    []Change `json:"told,omitempty"`
	Message *Message `json:"message,omitempty"` // on its way
	Waiting []Change `json:"waiting,omitempty"` // behind it
	LeftOut int      `json:"left_out,omitempty"`

	Sent     int       `json:"sent,omitempty"` // messages that were taken
	SentAt   time.Time `json:"sent_at,omitzero"`
	Attempts int       `json:"attempts,omitempty"` // in vain, since then
	Since    time.Time `json:"since,omitzero"`     // the first of them
	Problem  string    `json:"problem,omitempty"`  // why the last was in vain
	Next     time.Time `json:"next,omitzero"`      // when it is tried again
	Parked   bool      `json:"parked,omitempty"`
	Final    bool      `json:"final,omitempty"` // not tried again before the node starts anew
}

// Outstanding returns how many changes the target has not been told yet.
func (s State) Outstanding() int {
	n := len(s.Waiting)
	if s.Message != nil {
		n += len(s.Message.Changes)
	}
	return n
}

// Options say what a Notifier works with.
type Options struct {
	Council name.Council
	Targets []config.Notify
	File    string // FileName in the data folder
	Sender  Sender
	Log     *slog.Logger
	Now     func() time.Time
	// Jitter returns a number from 0 to 1, and ID one for a message that no other has.
	Jitter func() float64
	ID     func() (string, error)
}

// A Notifier tells the targets. Its methods may be called concurrently.
type Notifier struct {
	o       Options
	targets []*target

	mu sync.Mutex // guards the state of every target, and the file
}

// A target is one of the configuration. The mutex of the Notifier guards it.
type target struct {
	config.Notify
	State
	seen map[key]time.Time // conditions that hold and were not told: since when they are seen
	gone map[key]time.Time // and that were told and do not hold
	kick chan struct{}
}

// key is what makes a condition the same at two times; see [api.Condition.Same].
type key struct {
	name      string
	council   name.Council
	agreement name.Agreement
}

// Open returns the Notifier of a data folder, which sends nothing before Run. What the file
// has of targets that the configuration does not have is forgotten.
func Open(o Options) *Notifier {
	known, err := Read(o.File)
	if err != nil {
		o.Log.Warn("what was told to whom cannot be read, and is told again", "error", err.Error())
	}
	n := &Notifier{o: o}
	for _, c := range o.Targets {
		t := &target{Notify: c, State: State{Target: c.Name}, seen: map[key]time.Time{}, gone: map[key]time.Time{}, kick: make(chan struct{}, 1)}
		if i := slices.IndexFunc(known, func(s State) bool { return s.Target == c.Name }); i >= 0 {
			t.State = known[i]
		}
		n.targets = append(n.targets, t)
	}
	return n
}

// Read returns what a file has of each target; none where there is no file.
func Read(file string) (out []State, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return out, nil
}

// States returns how each target stands, in the order of the configuration.
func (n *Notifier) States() (out []State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stateList()
}

// Take takes in all the conditions that hold at now, and has what is new told. It waits for
// no target.
func (n *Notifier) Take(found []api.Condition, now time.Time) {
	if len(n.targets) == 0 {
		return
	}
	n.mu.Lock()
	changed := n.wanted(now)
	for _, t := range n.targets {
		changed = t.take(found, now.UTC()) || changed
	}
	if changed {
		n.save()
	}
	n.mu.Unlock()
	for _, t := range n.targets {
		select {
		case t.kick <- struct{}{}:
		default:
		}
	}
}

// wanted has every target tried at once when somebody asked for that, see [TryAll].
func (n *Notifier) wanted(now time.Time) bool {
	if os.Remove(n.o.File+trySuffix) != nil {
		return false
	}
	for _, t := range n.targets {
		t.Next, t.Final = now, false
	}
	return true
}

const trySuffix = ".try"

// TryAll asks the running node whose file that is to try all targets again within a few
// seconds, also those that are parked.
func TryAll(file string) error { return os.WriteFile(file+trySuffix, nil, 0o600) }

// take puts what a target should be told behind what waits, and reports whether there is
// anything.
func (t *target) take(found []api.Condition, now time.Time) (changed bool) {
	holds := map[key]bool{}
	for _, c := range found {
		k := key{c.Name, c.Council, c.Agreement}
		if holds[k] {
			continue // the gravest of several came before
		}
		holds[k] = true
		delete(t.gone, k)
		kind, _ := condition.Of(c.Name)
		if c.Accepted || !t.wants(kind, c) {
			continue
		}
		ch := Change{At: now, Name: c.Name, Severity: c.Severity, Council: c.Council, Agreement: c.Agreement, Text: c.Text, Cause: c.Cause, Try: c.Try, Since: c.Since}
		if kind.Inside {
			ch.Cause = ""
		}
		switch i := slices.IndexFunc(t.Told, k.of); {
		case i < 0 && t.seen[k].IsZero():
			t.seen[k] = now
		case i < 0 && now.Sub(t.seen[k]) >= begun:
			ch.Change = Began
			t.Told = append(t.Told, ch)
			t.say(ch)
			changed = true
		case i >= 0 && rank(c.Severity) < rank(t.Told[i].Severity):
			ch.Change = Worse
			t.Told[i] = ch
			t.say(ch)
			changed = true
		}
	}
	for k, at := range t.seen {
		if !holds[k] || slices.ContainsFunc(t.Told, k.of) || at.After(now) { // a clock that was set back
			delete(t.seen, k)
		}
	}
	was := len(t.Told)
	t.Told = slices.DeleteFunc(t.Told, func(ch Change) bool {
		k := key{ch.Name, ch.Council, ch.Agreement}
		at := t.gone[k]
		switch {
		case holds[k]:
			return false
		case at.IsZero() || at.After(now):
			t.gone[k] = now
			return false
		case now.Sub(at) < over:
			return false
		}
		delete(t.gone, k)
		if !nextStage(ch, found) {
			ch.Change, ch.At, ch.Cause, ch.Try = Ended, now, "", ""
			t.say(ch)
		}
		return true
	})
	return changed || len(t.Told) != was
}

// of reports whether a change is of the condition.
func (k key) of(ch Change) bool {
	return k == key{ch.Name, ch.Council, ch.Agreement}
}

// wants reports whether a target is told of conditions such as c.
func (t *target) wants(kind condition.Kind, c api.Condition) bool {
	switch {
	case c.Name == condition.NotifyFailing && t.Problem != "":
		return false // it would hear of itself, when it is over
	case kind.Stage != "":
		return t.Tells != "conditions"
	}
	return t.Tells != "dates" && rank(c.Severity) <= rank(api.Severity(t.Severity))
}

// nextStage reports whether a condition is over only since the next of its stages has come,
// such as the last seven days before a date after the last thirty.
func nextStage(ch Change, found []api.Condition) bool {
	kind, _ := condition.Of(ch.Name)
	return kind.Stage != "" && slices.ContainsFunc(found, func(c api.Condition) bool {
		next, _ := condition.Of(c.Name)
		return next.Stage == kind.Stage && c.Agreement == ch.Agreement && c.Council == ch.Council
	})
}

func rank(s api.Severity) int {
	return slices.Index([]api.Severity{api.Critical, api.Warning, api.Notice}, s)
}

func (t *target) say(ch Change) {
	t.Waiting = append(t.Waiting, ch)
	if more := len(t.Waiting) - maxWaiting; more > 0 {
		t.Waiting = slices.Delete(t.Waiting, 0, more)
		t.LeftOut += more
	}
}

// Failing returns the condition that targets are not told, none while all are.
func (n *Notifier) Failing(now time.Time) []api.Condition {
	n.mu.Lock()
	defer n.mu.Unlock()
	return FailingOf(n.stateList(), now)
}

// FailingOf is [Notifier.Failing] of states that were read.
func FailingOf(states []State, now time.Time) []api.Condition {
	var names, causes []string
	var since time.Time
	for _, s := range states {
		if s.Problem == "" || !s.Parked && now.Sub(s.Since) < failing {
			continue
		}
		names = append(names, s.Target)
		cause := fmt.Sprintf("%s: %s (%d attempts, %d changes wait)", s.Target, s.Problem, s.Attempts, s.Outstanding())
		if s.Parked {
			cause += "; it is parked"
		}
		causes = append(causes, cause)
		if since.IsZero() || s.Since.Before(since) {
			since = s.Since
		}
	}
	if len(names) == 0 {
		return nil
	}
	c := condition.New(condition.NotifyFailing, "not told what somebody should know of: "+strings.Join(names, ", "), strings.Join(causes, "; "), "mend the cause, then: stile notify test "+names[0])
	c.Since = since
	return []api.Condition{c}
}

func (n *Notifier) stateList() (out []State) {
	for _, t := range n.targets {
		out = append(out, t.State)
	}
	return out
}

// save writes the file; n.mu is held. That it cannot be written, on a full disk for one,
// stops no message: that disk is what they may be about.
func (n *Notifier) save() {
	b, err := json.MarshalIndent(n.stateList(), "", " ")
	if err == nil {
		if err = os.WriteFile(n.o.File+".part", append(b, '\n'), 0o600); err == nil {
			err = os.Rename(n.o.File+".part", n.o.File)
		}
	}
	if err != nil {
		n.o.Log.Warn("what was told to whom is not kept", "error", err.Error())
	}
}

// gravest returns the change that matters most, what began before what ended.
func gravest(cs []Change) Change {
	return slices.MinFunc(cs, func(a, b Change) int {
		ended := func(c Change) int { return map[bool]int{true: 1}[c.Change == Ended] }
		return cmp.Or(cmp.Compare(ended(a), ended(b)), cmp.Compare(rank(a.Severity), rank(b.Severity)))
	})
}
