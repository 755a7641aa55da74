package condition

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Kinds are all sorts of conditions there are. A name is never given another meaning.
var Kinds = slices.Concat(folderKinds, backupKinds, logKinds, directoryKinds, partnerKinds, agreementKinds, caseKinds, footprintKinds)

// NotifyFailing is the name of the condition that a target is not told of conditions.
const NotifyFailing = "notify-failing"

// folderKinds are about the machine and the data folder.
var folderKinds = []Kind{
	{Name: "configuration-wrong", Severity: api.Critical, Blocks: true, Means: "`stile.yaml` cannot be read, so that the node would not start"},
	{Name: "folder-wrong", Severity: api.Critical, Blocks: true, Means: "part of the data folder is missing, or cannot be written"},
	{Name: "folder-unreadable", Severity: api.Critical, Blocks: true, Means: "the data folder cannot be opened, and no node runs"},
	{Name: "keys-unreadable", Severity: api.Critical, Blocks: true, Means: "the private keys cannot be read"},
	{Name: "ports-taken", Severity: api.Critical, Means: "no node runs, and another program uses the port that it would listen on"},
	{Name: "node-not-running", Severity: api.Notice, Means: "nothing is exchanged: what is told was read from the folder"},
	{
		Name: "keys-exposed", Severity: api.Critical, Means: "others than their owner can reach files of the private keys",
		find: func(f *Facts, say func(api.Condition)) {
			if all := f.Keys.Exposed; len(all) > 0 {
				say(api.Condition{Text: strings.Join(all, ", ") + " can be reached by others", Cause: "the permissions let them", Try: "chmod go= " + strings.Join(all, " ")})
			}
		},
	},
	{
		Name: "keys-in-clear", Severity: api.Warning, Means: "the private keys are not encrypted: whoever reads the folder, or a copy of it, can speak for the council",
		find: func(f *Facts, say func(api.Condition)) {
			if len(f.Keys.Clear) > 0 {
				say(api.Condition{
					Text:  "the keys are not encrypted: whoever can read the folder keys/ can speak for the council",
					Cause: "in clear: " + strings.Join(f.Keys.Clear, ", "),
					Try:   "stile key encrypt --passphrase-file FILE",
				})
			}
		},
	},
	{
		Name: "store-damaged", Severity: api.Critical, Inside: true, Means: "part of the store cannot be read: what of it does not follow from the log is named, is not served, and waits to be fetched back (docs/faults.md)",
		find: func(f *Facts, say func(api.Condition)) {
			if d := f.Damage; d != nil {
				say(api.Condition{
					Since: d.Since, Text: "DAMAGED: " + d.Text + " cannot be read; all else is served" + map[bool]string{true: ", and nothing is signed"}[d.Tree != ""],
					Cause: strings.Join(d.Files, ", ") + " could not be read whole" + named(d), Try: "stile doctor --repair; and look at the disk and the memory of this machine",
				})
			}
		},
	},
	{
		Name: "disk-full", Severity: api.Critical, Blocks: true, Means: "so little disk is free that no record is taken, neither ours nor a partner's",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Disk.Known && f.Disk.Free < f.Disk.Need {
				say(api.Condition{
					Text:  "the disk is nearly full, and no record is taken",
					Cause: fmt.Sprintf("%d MiB are free, and %d MiB are needed (limits: min_free_mib)", f.Disk.Free>>20, f.Disk.Need>>20),
					Try:   "free some disk space",
				})
			}
		},
	},
	{
		Name: "disk-low", Severity: api.Warning, Means: "less than ten times as much disk is free as is needed",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Disk.Known && f.Disk.Free >= f.Disk.Need && f.Disk.Free < 10*f.Disk.Need {
				say(api.Condition{
					Text:  "the disk will soon be full",
					Cause: fmt.Sprintf("%d MiB are free, and below %d MiB no record is taken", f.Disk.Free>>20, f.Disk.Need>>20),
					Try:   "free some disk space, or give the folder a larger disk",
				})
			}
		},
	},
	{
		Name: "clock-off", Severity: api.Critical, Means: "the clock is more than five minutes off, by what partners signed just now or, where none did, by the files of the folder; it is over once the clock is right",
		find: func(f *Facts, say func(api.Condition)) {
			if cause := f.clockOff(); cause != "" {
				say(api.Condition{Text: "the clock of this machine is wrong: it says " + stamp(f.Now), Cause: cause, Try: "set the clock, and keep it set with NTP"})
			}
		},
	},
	{
		Name: "clock-unsynchronised", Severity: api.Notice, Means: "the system does not say that anything keeps its clock in time",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Clock.Unsynced && f.clockOff() == "" {
				say(api.Condition{Text: "the system does not say that its clock is kept in time", Cause: "no NTP service has set it", Try: "keep it set with NTP; agreements begin and end by it"})
			}
		},
	},
	{
		Name: "metrics-open", Severity: api.Notice, Means: "monitoring is served at an address that others may reach, and there is no login",
		find: func(f *Facts, say func(api.Condition)) {
			host, _, err := net.SplitHostPort(f.MetricsListen)
			if ip := net.ParseIP(host); f.MetricsListen == "" || err == nil && (host == "localhost" || ip.IsLoopback()) {
				return
			}
			say(api.Condition{
				Text:  "whoever reaches " + f.MetricsListen + " sees, without login, with whom we exchange and how much",
				Cause: "metrics_listen names it",
				Try:   "name a loopback address under metrics_listen, or see that only the monitoring reaches this one",
			})
		},
	},
	{Name: "feed-not-taken-in", Severity: api.Warning, Inside: true, Means: "a register that the node takes in by itself could not be taken in when it was last tried"},
	{Name: "erasure-rule-stopped", Severity: api.Warning, Inside: true, Means: "a rule by which records are erased when they are due did not run, or found more than it may erase by itself"},
	{Name: NotifyFailing, Severity: api.Warning, Means: "a target under `notify` could not be told what somebody should know of, for a quarter of an hour or longer"},
}

// named says which records are damaged, the first of them.
func named(d *api.DamageReply) string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, e := range d.Entries {
		if e.Record != "" {
			add(fmt.Sprintf("record %s (entry %d)", e.Record, e.Entry))
		} else {
			add(fmt.Sprintf("entry %d", e.Entry))
		}
	}
	for _, h := range d.Holdings {
		add(fmt.Sprintf("record %s of %s", h.Record, h.From))
	}
	for _, m := range d.Missing {
		add(fmt.Sprintf("%s of %s that cannot be named", count(m.Records, "record", "records"), m.From))
	}
	if d.Tree != "" {
		add(d.Tree)
	}
	for _, n := range d.Notes {
		add("it is not known " + n)
	}
	switch n := len(out); {
	case n == 0:
		return ""
	case n > 5:
		out = append(out[:5], fmt.Sprintf("and %d more, which stile status --json lists", n-5))
	}
	return "; missing: " + strings.Join(out, ", ")
}

// clockOff says by what the clock is wrong; "" when nothing says so.
func (f *Facts) clockOff() string {
	why, _, agree := byPartners(f.Clock.Partners)
	switch {
	case why != "":
		return why
	case agree > 0:
		return "" // a file from a time when it was wrong says nothing any more
	case f.Now.Add(time.Minute).Before(f.Clock.Newest):
		return "a file of the data folder was written later, at " + stamp(f.Clock.Newest)
	}
	return ""
}

// skew is how far the clocks of two honest councils may differ, as auditors see it.
const skew = peersync.ClockSkew

func list[T ~string](of []T) string {
	out := make([]string, len(of))
	for i, x := range of {
		out[i] = string(x)
	}
	return strings.Join(out, ", ")
}

// byPartners says by what the clock is wrong as partners have it, how many say so and
// how many agree with it.
func byPartners(clocks map[name.Council]time.Duration) (why string, off, agree int) {
	var ahead, behind []string
	for c, d := range clocks {
		switch {
		case d > skew:
			ahead = append(ahead, fmt.Sprintf("%s by %s", c, age(d)))
		case d < -skew:
			behind = append(behind, fmt.Sprintf("%s by %s", c, age(-d)))
		default:
			agree++
		}
	}
	slices.Sort(ahead)
	slices.Sort(behind)
	switch {
	case len(ahead) > agree:
		return "it is slow: what partners signed just now is later, of " + strings.Join(ahead, ", of "), len(ahead), agree
	case len(behind) > agree:
		return "it is fast: what partners signed just now is earlier, of " + strings.Join(behind, ", of "), len(behind), agree
	}
	return "", 0, agree
}

// ClockRefusal says why nothing may be signed by a clock, "" when something may: what
// one signs by a wrong clock stands in the log for good. A clock is plainly off when it
// differs by more than five minutes from those of more partners than it agrees with, and
// either two partners say so or, with one, the machine does too: nothing keeps its clock
// in time, or newest, the time of the newest entry of our own log, is more than five
// minutes later. So no single partner stops a node whose clock is kept in time, and a
// log that was written by a clock ahead stops nobody once the clock is right.
func ClockRefusal(now time.Time, partners map[name.Council]time.Duration, unsynced func() bool, newest time.Time) string {
	why, off, _ := byPartners(partners)
	if why == "" || off < 2 && !newest.After(now.Add(skew)) && !unsynced() {
		return ""
	}
	return why
}

// ClockUnsynced reports whether the system says that nothing keeps its clock in time.
func ClockUnsynced() bool { return clockUnsynchronised() }

// logKinds are about our own log and those who watch it.
var logKinds = []Kind{
	{
		Name: "council-ending", Severity: api.Warning, Means: "by the directory our council ends within sixty days, or has ended, and our ledger is not sealed (docs/succession.md)",
		find: func(f *Facts, say func(api.Condition)) {
			on := f.Self.Ends
			if on.IsZero() || f.Sealed != nil || f.Now.Before(on.Add(-endingSoon)) {
				return
			}
			c := api.Condition{Text: "our council ends on " + day(on) + in(f.Now, on) + ", and its ledger is not sealed", Try: "stile council succeed PLAN --preview; then --rehearse, on a copy"}
			if f.Rehearsed.IsZero() {
				c.Cause = "not rehearsed with this folder, as far as it shows: a rehearsal on a copy of it elsewhere leaves nothing here"
			} else {
				c.Cause = "rehearsed on " + day(f.Rehearsed)
				c.Try = "stile council succeed PLAN --preview; from 36 hours before the day, stile council succeed PLAN"
			}
			n := 0
			for _, st := range f.Agreements {
				if st.Agreement.Party(f.Council) && st.Phase != agreement.Ended && st.Phase != agreement.Superseded {
					n++
				}
			}
			c.Cause += "; " + count(n, "agreement of ours ends", "agreements of ours end") + " with it, and each goes on only where the other party signs it with a successor"
			say(c)
		},
	},
	{
		Name: "council-ended", Severity: api.Notice, Blocks: true, Means: "our council has ended and its ledger is sealed: it takes nothing, and everything in it is read and proved (docs/succession.md)",
		find: func(f *Facts, say func(api.Condition)) {
			if s := f.Sealed; s != nil {
				var to []string
				for _, x := range s.Successors {
					to = append(to, string(x.Council))
				}
				say(api.Condition{
					Text:  fmt.Sprintf("our ledger is sealed: %s take over on %s", strings.Join(to, ", "), s.On),
					Cause: "stile council succeed wrote the last entry; nothing is signed after it",
					Try:   "stile council succeed PLAN says what is still to be done; keep this folder: it is the proof of what the council said",
				})
			}
		},
	},
	{
		Name: "own-log-old-copy", Severity: api.Critical, Blocks: true, Means: "our folder is an old copy, or another node uses our keys: others hold what our key signed and is not in our log; nothing is signed (docs/quarantine.md)",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Halt != nil && f.Halt.Behind {
				c := api.Condition{
					Text:  "STOPPED: nothing is signed in our own log: " + f.Halt.Reason,
					Cause: fmt.Sprintf("the folder was set back, to a backup or a copy, or our keys are used elsewhere; here are %d entries, and %d were signed", f.Halt.Size, max(f.Halt.Newest, f.Halt.Size)),
					Try:   "stop the node and bring the newest copy of its folder back; stile log status says what else can be done",
				}
				if len(f.Halt.Holders) > 0 {
					c.Council = f.Halt.Holders[0]
				}
				say(c)
			}
		},
	},
	{
		Name: "key-in-use-elsewhere", Severity: api.Critical, Blocks: true, Means: "a partner heard another node speak with our key while this one ran; neither signs anything until one of them is stopped (docs/quarantine.md)",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Halt != nil && !f.Halt.Behind && len(f.Halt.Elsewhere) > 0 {
				say(api.Condition{
					Council: f.Halt.Elsewhere[0],
					Text:    "STOPPED: nothing is signed in our own log: " + f.Halt.Reason,
					Cause:   "two nodes run with one key: a copy of the folder was started, or the key is in other hands",
					Try:     "stop the one that should not run, for good; the other goes on by itself once the partner hears it alone. If you know of no other: stile log status",
				})
			}
		},
	},
	{
		Name: "partner-key-twice", Severity: api.Critical, Means: "two nodes of one council speak to us with one key, and nothing is sent to either until one of them is stopped (docs/quarantine.md)",
		find: func(f *Facts, say func(api.Condition)) {
			for _, t := range f.Twice {
				say(api.Condition{
					Council: t.Council, Since: t.Since,
					Text:  fmt.Sprintf("STOPPED: two nodes speak with the key of %s", t.Council),
					Cause: "each has said something after the other was heard, so both run",
					Try:   fmt.Sprintf("tell %s: both its nodes say so in stile status, and it goes on once one of them is stopped", t.Council),
				})
			}
		},
	},
	{
		Name: "own-log-not-asked", Severity: api.Critical, Blocks: true, Means: "our folder is not the one that was written last, and somebody who may know our log has not said yet what they hold of it; nothing is signed until then (docs/quarantine.md)",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Halt != nil && !f.Halt.Behind && len(f.Halt.Elsewhere) == 0 {
				say(api.Condition{
					Text:  "STOPPED: nothing is signed in our own log: " + f.Halt.Reason,
					Cause: "the folder was restored, copied or moved; it goes on by itself once all have answered",
					Try:   "stile serve asks them; stile log status says what can be done if they never answer",
				})
			}
		},
	},
	{
		Name: "told-another-history", Severity: api.Critical, Means: "a partner says that we told it another history, and has stopped all exchange with us",
		find: func(f *Facts, say func(api.Condition)) {
			for _, a := range f.Accusations {
				c := api.Condition{
					Council: a.Council, Since: a.Since,
					Text:  fmt.Sprintf("STOPPED: %s says that we told it another history, and exchanges nothing with us", a.Council),
					Cause: "what it showed is not signed by us, or is of the log that stands here; its words: " + a.Reason,
					Try:   fmt.Sprintf("ask %s for its evidence: stile council quarantine show, there", a.Council),
				}
				switch {
				case a.Proven && f.Halt != nil && f.Halt.Behind:
					continue // own-log-old-copy says it
				case a.Proven:
					c.Cause = "our folder was set back; that is settled here, and it has not ended its own stop yet"
					c.Try = fmt.Sprintf("ask %s to run: stile council quarantine end %s --follow told", a.Council, f.Council)
				}
				say(c)
			}
		},
	},
	{
		Name: "partner-two-histories", Severity: api.Critical, Means: "a council's log told us two histories or was rolled back, and all exchange with it is stopped (docs/quarantine.md)",
		find: func(f *Facts, say func(api.Condition)) {
			for _, q := range f.Quarantines {
				say(api.Condition{
					Council: q.Council, Since: q.Since,
					Text:  fmt.Sprintf("STOPPED: all exchange with %s, because of its log", q.Council),
					Cause: q.Reason,
					Try:   fmt.Sprintf("stile council quarantine show %s, which has its signed heads", q.Council),
				})
			}
		},
	},
	{
		Name: "own-key-revoked", Severity: api.Critical, Blocks: true, Means: "the directory has revoked the key that we sign records with, so that nobody believes what it signs from then on",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Self.Revoked {
				say(api.Condition{
					Text:  "our own record key is revoked: no partner believes what it signs from now on",
					Cause: fmt.Sprintf("the directory has revoked %s from entry %d of our log on", f.Self.RecordKey, f.Self.RevokedAt),
					Try:   "stop the node, then: stile key rotate, and once the directory has the new key: stile key rotate --activate",
				})
			}
		},
	},
	{
		Name: "witnesses-short", Severity: api.Warning, Means: "our published log has fewer cosignatures than the witness policy wants",
		find: func(f *Facts, say func(api.Condition)) {
			p := f.Published
			if p == nil || p.Size == 0 || !p.Wanted || p.Met {
				return
			}
			var missing []string
			for _, w := range p.Witnesses {
				switch {
				case w.Cosigned:
				case w.Problem != "":
					missing = append(missing, w.Name+": "+w.Problem)
				default:
					missing = append(missing, w.Name)
				}
			}
			say(api.Condition{
				Text:  "fewer witnesses have cosigned our log than the witness policy wants",
				Cause: "not cosigned: " + strings.Join(missing, "; "),
				Try:   "speak with those witnesses; nothing stops meanwhile",
			})
		},
	},
}

// endingSoon is how long before the day people are told that a council ends.
const endingSoon = 60 * 24 * time.Hour

// in says how far off a day is, as the end of a sentence.
func in(now, on time.Time) string {
	switch left := on.Sub(now); {
	case left <= 0:
		return ", which is past"
	case left <= 48*time.Hour:
		return ", in " + count(int(left.Hours())+1, "hour", "hours")
	default:
		return ", in " + count(int(left.Hours()/24), "day", "days")
	}
}

// directoryKinds are about who is a member, and we among them.
var directoryKinds = []Kind{
	{
		Name: "not-in-directory", Severity: api.Critical, Means: "the directory does not list us as a member now, so that nobody exchanges with us",
		find: func(f *Facts, say func(api.Condition)) {
			switch s := f.Self; {
			case !s.Known:
			case f.Sealed != nil && f.Sealed.On <= day(f.Now): // as it should be
			case !s.Listed:
				say(api.Condition{Text: "we are not in the directory", Cause: "it lists no member " + string(f.Council), Try: "ask the directory's registrar; or restore the folder directory/ from a backup"})
			case !s.Member:
				say(api.Condition{Text: "our membership has ended, or has not begun", Cause: "so the directory says", Try: "ask the directory's registrar"})
			}
		},
	},
	{
		Name: "other-keys-listed", Severity: api.Critical, Means: "the directory names other keys for us than the folder has, so that nobody believes us",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Self.OtherKeys {
				say(api.Condition{
					Text: "the directory names other keys for us than keys/ holds", Cause: "keys/ and directory/ are of different times, or a new key was not admitted",
					Try: "restore directory/ and keys/ from the same backup, or send what stile council self prints to the directory's registrar",
				})
			}
		},
	},
	{
		Name: "no-address", Severity: api.Warning, Means: "our member file names no address, so that nobody can dial this node: it can exchange only with those that it can dial itself",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Self.Listed && len(f.Self.Addresses) == 0 {
				say(api.Condition{
					Text: "no partner can dial this node", Cause: "our member file names no address",
					Try: "stile council self --address /dns4/HOST/tcp/7845 > us.yaml; then stile council add us.yaml, or have the registrar of a shared directory run stile directory amend us.yaml",
				})
			}
		},
	},
	{
		Name: "no-other-member", Severity: api.Notice, Means: "the directory has no member but ourselves",
		find: func(f *Facts, say func(api.Condition)) {
			if f.Self.Listed && f.Members == 1 {
				say(api.Condition{
					Text: "there is nobody to exchange with", Cause: "the directory has no member but ourselves",
					Try: "stile council add FILE adds a partner's member file, stile council join one directory for many",
				})
			}
		},
	},
	{
		Name: "directory-expired", Severity: api.Critical, Means: "the directory has expired or was never fetched: nothing is exchanged, and local work goes on",
		find: func(f *Facts, say func(api.Condition)) {
			if s := state(f); s == tufdir.Expired || s == tufdir.Empty {
				say(api.Condition{
					Text: f.Directory.Text + "; local work goes on", Cause: "no newer signed file of it was fetched; the clock here says " + stamp(f.Now), Since: f.Directory.Expires,
					Try: "stile directory refresh; if that brings no news, ask whom it names",
				})
			}
		},
	},
	{
		Name: "directory-ageing", Severity: api.Warning, Means: "part of the directory expires within fourteen days",
		find: func(f *Facts, say func(api.Condition)) {
			if state(f) == tufdir.Expiring {
				say(api.Condition{
					Text: f.Directory.Text, Cause: "no newer signed file of it was fetched",
					Try: "stile directory refresh; if that brings no news, ask whom it names",
				})
			}
		},
	},
	{
		Name: "directory-doubtful", Severity: api.Warning, Means: "part of the directory is not believed, since it breaks a rule",
		find: func(f *Facts, say func(api.Condition)) {
			if len(f.DirectoryDoubtful) > 0 {
				say(api.Condition{
					Text: "part of the directory is not believed: " + f.DirectoryDoubtful[0], Cause: count(len(f.DirectoryDoubtful), "part breaks", "parts break") + " a rule",
					Try: "tell the directory's registrar; stile directory show",
				})
			}
		},
	},
	{Name: "directory-unreadable", Severity: api.Critical, Means: "the files of the directory cannot be read"},
	{Name: "authority-wrong", Severity: api.Critical, Means: "this node hosts the directory and cannot publish it"},
	{Name: "authority-waits", Severity: api.Notice, Means: "this node hosts the directory, and something waits there to be signed or published, or has to be signed anew soon"},
	{
		Name: "standard-retired", Severity: api.Notice, Means: "a standard that is used here was retired by its publisher",
		find: func(f *Facts, say func(api.Condition)) {
			for _, r := range f.Retired {
				say(api.Condition{
					Text: fmt.Sprintf("%s was retired by its publisher on %s", r.Standard, day(r.On)), Cause: "the directory says so", Since: r.On,
					Try: "stile standard list shows what has taken its place",
				})
			}
		},
	},
}
