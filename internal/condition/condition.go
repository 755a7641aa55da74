// Package condition says what about a node somebody should know of: one list of
// conditions, each with a name that does not change, a severity, a sentence, a cause,
// what to try, and since when.
//
// Everything that tells how a node does tells these and no others: stile status, stile
// status --check, stile doctor, the metrics, /readyz, the log and the admin API. A
// condition is found by a pure function of [Facts], which whoever runs the node
// gathers.
//
// To add one: put what it is found by into [Facts], where it is not there yet, and a
// [Kind] into [Kinds]: its name, severity, what it means, and how it is found. The table
// in docs/operating.md is held against Kinds by a test, which prints what is missing.
package condition

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Facts are what conditions are found by, all of one moment. What is not known is left
// zero, and nothing is found by it.
type Facts struct {
	Now     time.Time
	Council name.Council
	Running bool      // the node exchanges
	Started time.Time // since when; zero while it does not run

	Keys   Keys
	Disk   Disk
	Clock  Clock
	Backup Backup
	// MetricsListen is where monitoring is served; "" for nowhere.
	MetricsListen string

	Self              Self
	Members           int // of the directory, ourselves included
	Directory         api.DirectoryHealth
	DirectoryDoubtful []string // what of the directory is not believed, and why

	Rehearsed   time.Time        // when the end of our council was last rehearsed with this folder; zero for never
	Ending      []Ending         // partners that end
	Sealed      *event.Sealed    // the last entry of our log, where our council has ended; nil else
	Damage      *api.DamageReply // what is damaged on disk and not served; nil for nothing
	Halt        *api.HaltReply   // why nothing is signed in our log; nil for nothing
	Quarantines []api.QuarantineReply
	Accusations []api.AccusationReply
	Twice       []Twice // councils of which two nodes speak with one key
	Published   *api.LogReply

	Partners   []api.PartnerReply
	Links      []api.Link
	Agreements []agreement.Status
	Counters   []agreement.Countered // what receivers propose instead
	Footprints []Footprint
	Late       []Late

	Hidden        []Hidden              // what others sent that is not shown, since this folder was set back
	Disagreements []ledger.Disagreement // texts under which nothing leaves, since two evaluators differ
	NotPassing    []NotPassing          // agreements in force under which nothing that we received goes on
	PassedOn      []PassedOn            // what others passed on to us
	Nearing       []Nearing
	Retired       []Retired // standards in use here that their publishers retired

	// More are conditions found by what runs beside the node, such as feeds.
	More []api.Condition
}

// NotPassing says why nothing that we received goes on under an agreement of ours.
type NotPassing struct {
	Agreement, Origin name.Agreement
	Why               string // in words
}

// PassedOn says how it stands with what a council passed on to us, of which the council that
// issued it is asked whether we may keep it.
type PassedOn struct {
	Agreement  name.Agreement // under which we hold it
	From, Of   name.Council   // who passed it on; who issued it
	Records    int            // held
	Unanswered time.Time      // since when its council has not answered of all of it; zero while it is not asked
	Quiet      int            // versions that From had known for a day to have to go, and did not take back
	QuietAt    time.Time      // when the last of them was deleted here
}

// Keys are how the private keys are kept.
type Keys struct {
	Clear   []string // files that are not encrypted
	Exposed []string // files and folders that others than their owner can reach
}

// Backup is what is known of the backups that the node makes by itself.
type Backup struct {
	Folder   string // "" where it makes none, and then nothing more is known
	Every    time.Duration
	Tried    time.Time // when one was last begun
	Failed   string    // why that did not succeed; "" when it did
	Made     time.Time // the newest
	Verified time.Time // when one was last verified
}

// Disk is the room that is left.
type Disk struct {
	Known      bool
	Free, Need uint64 // bytes; below Need no record is taken
}

// Clock is what the clock can be held against.
type Clock struct {
	Newest   time.Time // when the newest file of the data folder was written
	Unsynced bool      // the system says that nothing keeps its clock in time
	// Partners are how far the clocks of partners are ahead of ours, by what they
	// signed within the last quarter of an hour.
	Partners map[name.Council]time.Duration
}

// Self is what the directory says of us.
type Self struct {
	Known     bool // the directory could be read
	Listed    bool
	Member    bool      // now, by its dates
	Ends      time.Time // midnight UTC of the first day on which it is none; zero for none said
	Addresses []string
	RecordKey string // the id of the key that we sign with
	OtherKeys bool   // it names other keys than ours
	Revoked   bool   // it has revoked RecordKey,
	RevokedAt uint64 // from this entry of our log on
}

// Footprint is a replica of this node.
type Footprint struct {
	Name     name.Council
	Unopened string // why it is not open here; "" when it is
	Stopped  string // why it applies nothing any more
	Out      bool   // we are a member no longer
	Formed   bool
	Machines bool           // it is kept by machines of one council
	Leader   name.Council   // "" for none that is heard of
	Heard    time.Time      // when a leader was last heard of
	Needs    int            // members that must agree to anything
	Up       []name.Council // members that answered when last asked
	Down     []name.Council // and that did not
	Asked    bool           // all were asked
	Evidence int            // things that no honest member signs
	Unlisted bool           // the directory lists other members
	Former   []Former       // councils that were members and have not receipted all
}

// Hidden is what came by one feed and is not shown until that was read to its end.
type Hidden struct {
	From      name.Council
	Agreement name.Agreement
	Records   int
}

// A Former is a council that was a member of a footprint.
type Former struct {
	Council name.Council
	Orders  int       // that it has not receipted
	Oldest  time.Time // of them
}

// Ending is a council that ends, by the directory, or has ended, and with which we have
// agreements that are not over.
type Ending struct {
	Council    name.Council
	On         time.Time      // midnight UTC of the first day it is no member
	Successors []name.Council // as the directory names them; may be none
	Agreements []name.Agreement
	Unsigned   []name.Agreement // of them, those that no successor of it has with us in a text that we signed
	Shared     []name.Agreement // of them, those under which others receive besides the council
}

// Twice is a council with whose key two processes speak.
type Twice struct {
	Council name.Council
	Since   time.Time
}

// Late is a receiver of ours that has not said that it deleted what it may keep no longer.
type Late struct {
	Council   name.Council
	Agreement name.Agreement
	Records   int
	Since     time.Time // when the first of their terms was over
}

// Nearing is when the first of what we hold under an agreement may be kept no longer.
type Nearing struct {
	From      name.Council
	Agreement name.Agreement
	Term      string // as the agreement has it, such as P1Y
	First     time.Time
}

// Retired is a standard that its publisher has retired.
type Retired struct {
	Standard name.Standard
	On       time.Time
}

// A Kind is one sort of condition.
type Kind struct {
	Name     string
	Severity api.Severity
	Means    string // when it holds, for docs/operating.md
	// Inside: its cause may name records, or repeat what a database or a program said. It
	// is told here and not sent elsewhere.
	Inside bool
	// Stage names the date that the kind is a stage of, such as "review"; "" for none.
	// People are told of each stage, whatever its severity.
	Stage string
	// Blocks: while it holds the node takes no records, or would not start; a node that
	// runs answers 503 at /readyz.
	Blocks bool
	// find calls say for each condition of the kind; nil for what is found elsewhere,
	// see [New].
	find func(f *Facts, say func(api.Condition))
}

// Find returns the conditions that hold, the gravest first. Those that are accepted are
// notices; what is critical cannot be accepted.
func Find(f *Facts, accepted []string) (out []api.Condition) {
	for _, k := range Kinds {
		if k.find != nil {
			k.find(f, func(c api.Condition) {
				c.Name, c.Severity = k.Name, k.Severity
				out = append(out, c)
			})
		}
	}
	out = append(out, f.More...)
	for i, c := range out {
		if slices.Contains(accepted, c.Name) && c.Severity != api.Critical {
			out[i].Severity, out[i].Accepted = api.Notice, true
		}
	}
	Sort(out)
	return out
}

// Sort puts conditions in order, the gravest first.
func Sort(cs []api.Condition) {
	rank := map[api.Severity]int{api.Critical: 0, api.Warning: 1, api.Notice: 2}
	slices.SortStableFunc(cs, func(a, b api.Condition) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
}

// Of returns the kind of that name.
func Of(name string) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

// New makes a condition of a kind that is found elsewhere than here: by a feed, or by
// whoever cannot open the folder. The name must be one of [Kinds].
func New(name, text, cause, try string) api.Condition {
	k, ok := Of(name)
	if !ok {
		k.Severity, text = api.Critical, fmt.Sprintf("internal error: no condition is named %q: %s", name, text)
	}
	return api.Condition{Name: name, Severity: k.Severity, Text: text, Cause: cause, Try: try}
}

// Blocking returns the first of some conditions while which no records should be sent
// to this node; the zero Condition when there is none.
func Blocking(cs []api.Condition) api.Condition {
	for _, c := range cs {
		if k, _ := Of(c.Name); k.Blocks {
			return c
		}
	}
	return api.Condition{}
}

func state(f *Facts) tufdir.State { return tufdir.State(f.Directory.State) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// age says how long something lasts, as people do.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return count(int(d.Seconds()), "second", "seconds")
	case d < time.Hour:
		return count(int(d.Minutes()), "minute", "minutes")
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour", "hours")
	}
	return count(int(d.Hours()/24), "day", "days")
}

// day says on which day something is.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// A Count is how many conditions of one kind and severity hold.
type Count struct {
	Name     string
	Severity api.Severity
	N        int
}

// Counted returns each kind with how many conditions of it hold, 0 included; apart, those
// that are accepted.
func Counted(cs []api.Condition) (out []Count) {
	for _, k := range Kinds {
		n, accepted := Count{Name: k.Name, Severity: k.Severity}, Count{Name: k.Name, Severity: api.Notice}
		for _, c := range cs {
			switch {
			case c.Name != k.Name:
			case c.Accepted:
				accepted.N++
			default:
				n.N++
			}
		}
		if out = append(out, n); accepted.N > 0 {
			out = append(out, accepted)
		}
	}
	return out
}
