package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const saltby name.Council = "saltby.gov.uk"

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// well are the facts of a node that nothing is the matter with.
func well() *Facts {
	return &Facts{
		Now: noon, Council: "northmoor.gov.uk", Running: true, Started: noon.Add(-time.Hour), Members: 3,
		Disk:      Disk{Known: true, Free: 1 << 40, Need: 1 << 27},
		Clock:     Clock{Newest: noon, Partners: map[name.Council]time.Duration{saltby: time.Second}},
		Self:      Self{Known: true, Listed: true, Member: true, Addresses: []string{"/ip4/192.0.2.1/tcp/7845"}, RecordKey: "kid"},
		Directory: api.DirectoryHealth{State: "fresh"},
		Partners:  []api.PartnerReply{{Council: saltby, Agreement: "northmoor.gov.uk/huts", Direction: "to", InStep: true, Connected: true}},
	}
}

func huts(change string) *agreement.Agreement {
	a, err := agreement.Parse([]byte("agreement: northmoor.gov.uk/huts\nversion: 1\nfrom: northmoor.gov.uk\nto: [saltby.gov.uk]\nmode: replicate\nstandard: standards.example/hut@1\nfields: [/id]\n" + change))
	if err != nil {
		panic(err)
	}
	return a
}

// TestFind makes each kind that is found by facts hold, and no other, from a node that
// is well: so each is found, and by nothing else.
func TestFind(t *testing.T) {
	behind := func(why string, change func(*api.PartnerReply)) func(*Facts) {
		return func(f *Facts) {
			p := &f.Partners[0]
			p.InStep, p.Behind = false, why
			change(p)
		}
	}
	under := func(text string, phase agreement.Phase, change func(*agreement.Status)) func(*Facts) {
		return func(f *Facts) {
			st := agreement.Status{Agreement: huts(text), Phase: phase, Why: "so it is"}
			change(&st)
			f.Agreements = append(f.Agreements, st)
		}
	}
	as := func(*agreement.Status) {}
	reviewed := func(st *agreement.Status) { st.Review = st.Agreement.Review }
	in := func(change func(*Footprint)) func(*Facts) {
		return func(f *Facts) {
			p := Footprint{Name: "fens.example", Formed: true, Leader: saltby, Heard: noon, Needs: 2, Asked: true, Up: []name.Council{"northmoor.gov.uk", saltby, "fenwick.gov.uk"}}
			change(&p)
			f.Footprints = append(f.Footprints, p)
		}
	}
	cases := []struct {
		name  string
		alter func(*Facts)
		words string // in the text, the cause or what to try
	}{
		{"keys-exposed", func(f *Facts) { f.Keys.Exposed = []string{"keys/log.pem"} }, "chmod go= keys/log.pem"},
		{"keys-in-clear", func(f *Facts) { f.Keys.Clear = []string{"log.pem"} }, "stile key encrypt"},
		{"disk-full", func(f *Facts) { f.Disk.Free = f.Disk.Need - 1 }, "min_free_mib"},
		{"store-damaged", func(f *Facts) {
			f.Damage = &api.DamageReply{Text: "1 entry of our log", Files: []string{"000003.sst"}, Entries: []api.DamagedEntry{{Entry: 7, Record: "4ff2"}}}
		}, "missing: record 4ff2 (entry 7)"},
		{"disk-low", func(f *Facts) { f.Disk.Free = f.Disk.Need }, "below 128 MiB"},
		{"backup-failed", func(f *Facts) {
			f.Backup = Backup{Folder: "/mnt", Every: 24 * time.Hour, Failed: "the folder is not there", Made: noon, Verified: noon}
		}, "the folder is not there"},
		{"backup-overdue", func(f *Facts) {
			f.Backup = Backup{Folder: "/mnt", Every: 24 * time.Hour, Made: noon.Add(-37 * time.Hour), Verified: noon}
		}, "the newest backup is 37 hours old"},
		{"backup-overdue", func(f *Facts) {
			f.Backup, f.Started = Backup{Folder: "/mnt", Every: 24 * time.Hour}, noon.Add(-2*time.Hour)
		}, "no backup was ever made"},
		{"backup-unverified", func(f *Facts) {
			f.Backup = Backup{Folder: "/mnt", Every: 24 * time.Hour, Made: noon}
		}, "stile backup verify"},
		{"backup-unverified", func(f *Facts) {
			f.Backup = Backup{Folder: "/mnt", Every: 24 * time.Hour, Made: noon, Verified: noon.Add(-91 * 24 * time.Hour)}
		}, "for 91 days"},
		{"clock-off", func(f *Facts) { f.Clock.Partners[saltby] = 26 * time.Hour }, "it is slow: what partners signed just now is later, of saltby.gov.uk by 26 hours"},
		{"clock-off", func(f *Facts) { f.Clock.Partners[saltby] = -24 * time.Hour }, "it is fast"},
		{"clock-off", func(f *Facts) { f.Clock.Partners, f.Clock.Newest = nil, noon.Add(time.Hour) }, "2026-11-28 13:00 UTC"},
		{"clock-unsynchronised", func(f *Facts) { f.Clock.Unsynced = true }, "NTP"},
		{"metrics-open", func(f *Facts) { f.MetricsListen = "0.0.0.0:7847" }, "without login"},
		{"own-log-old-copy", func(f *Facts) {
			f.Accusations = []api.AccusationReply{{Council: saltby, Since: noon, Proven: true}}
			f.Halt = &api.HaltReply{Reason: "this is an old copy", Behind: true, Size: 5, Newest: 9, Holders: []name.Council{saltby}}
		}, "here are 5 entries, and 9 were signed"},
		{"own-log-not-asked", func(f *Facts) { f.Halt = &api.HaltReply{Reason: "saltby.gov.uk did not answer"} }, "saltby.gov.uk did not answer"},
		{"key-in-use-elsewhere", func(f *Facts) {
			f.Halt = &api.HaltReply{Reason: "another node speaks with our key", Elsewhere: []name.Council{saltby}}
		}, "stop the one that should not run"},
		{"partner-key-twice", func(f *Facts) { f.Twice = []Twice{{Council: saltby, Since: noon}} }, "tell saltby.gov.uk"},
		{"told-another-history", func(f *Facts) { f.Accusations = []api.AccusationReply{{Council: saltby, Reason: "a fork"}} }, "a fork"},
		{"told-another-history", func(f *Facts) {
			f.Accusations = []api.AccusationReply{{Council: saltby, Proven: true}}
		}, "that is settled here"},
		{"partner-two-histories", func(f *Facts) { f.Quarantines = []api.QuarantineReply{{Council: saltby, Reason: "a fork"}} }, "quarantine show saltby.gov.uk"},
		{"own-key-revoked", func(f *Facts) { f.Self.Revoked, f.Self.RevokedAt = true, 17 }, "from entry 17"},
		{"witnesses-short", func(f *Facts) {
			f.Published = &api.LogReply{Size: 4, Wanted: true, Witnesses: []api.PolicyWitness{{Name: "auditor", Problem: "it cannot be reached"}}}
		}, "auditor: it cannot be reached"},
		{"council-ending", func(f *Facts) { f.Self.Ends = noon.AddDate(0, 0, 30) }, "in 30 days, and its ledger is not sealed"},
		{"council-ending", func(f *Facts) { f.Self.Ends, f.Rehearsed = noon.AddDate(0, 0, 1), noon.AddDate(0, 0, -9) }, "rehearsed on 2026-11-19"},
		{"partner-ending", func(f *Facts) {
			f.Ending = []Ending{{Council: saltby, On: noon.AddDate(0, 0, 3), Successors: []name.Council{"east.gov.uk"}, Agreements: []name.Agreement{"saltby.gov.uk/huts", "saltby.gov.uk/moves"}, Unsigned: []name.Agreement{"saltby.gov.uk/moves"}}}
		}, "not signed by us with each successor: saltby.gov.uk/moves"},
		{"partner-ending", func(f *Facts) {
			f.Ending = []Ending{{Council: saltby, On: noon.AddDate(0, 0, -3), Agreements: []name.Agreement{"saltby.gov.uk/huts"}}}
		}, "not over here: saltby.gov.uk/huts"},
		{"partner-ending", func(f *Facts) {
			f.Ending = []Ending{{Council: saltby, On: noon.AddDate(0, 0, -3), Agreements: []name.Agreement{"northmoor.gov.uk/huts"}, Shared: []name.Agreement{"northmoor.gov.uk/huts"}}}
		}, "stile agreement novate northmoor.gov.uk/huts --old saltby.gov.uk --out FILE"},
		{"council-ended", func(f *Facts) {
			f.Sealed = &event.Sealed{On: "2026-11-01", Successors: []event.Successor{{Council: "east.gov.uk"}, {Council: "west.gov.uk"}}}
			f.Self.Member = false // as it should be, from that day on
		}, "east.gov.uk, west.gov.uk take over on 2026-11-01"},
		{"not-in-directory", func(f *Facts) { f.Self = Self{Known: true} }, "lists no member northmoor.gov.uk"},
		{"not-in-directory", func(f *Facts) { f.Self.Member = false }, "has ended"},
		{"other-keys-listed", func(f *Facts) { f.Self.OtherKeys = true }, "keys/"},
		{"no-address", func(f *Facts) { f.Self.Addresses = nil }, "stile council self --address"},
		{"no-other-member", func(f *Facts) { f.Members = 1 }, "stile council join"},
		{"directory-expired", func(f *Facts) { f.Directory = api.DirectoryHealth{State: "expired", Text: "it expired"} }, "the clock here says"},
		{"directory-ageing", func(f *Facts) { f.Directory = api.DirectoryHealth{State: "expiring", Text: "it expires"} }, "stile directory refresh"},
		{"directory-doubtful", func(f *Facts) { f.DirectoryDoubtful = []string{"members: a rule"} }, "a rule"},
		{"standard-retired", func(f *Facts) { f.Retired = []Retired{{On: noon}} }, "2026-11-28"},
		{"link-failing", func(f *Facts) {
			f.Links = []api.Link{{Council: saltby, Problem: "it refused", Since: noon.Add(-3 * time.Hour)}}
		}, "for 3 hours"},
		{"receiver-full", behind("its disk is nearly full", func(p *api.PartnerReply) { p.Full = true }), "keeps nothing"},
		{"holdings-hidden", func(f *Facts) {
			f.Hidden = []Hidden{{From: "saltby.gov.uk", Agreement: "saltby.gov.uk/items", Records: 20}}
		}, "20 records that saltby.gov.uk sent under saltby.gov.uk/items are not shown"},
		{"partner-behind", behind("it is not connected", func(p *api.PartnerReply) {}), "it is not connected"},
		{"partner-behind", behind("entry 5: cannot be checked yet: standard is not adopted here: s.example/trees@1.1.0", func(p *api.PartnerReply) {}), "stile standard adopt s.example/trees@1.1.0"},
		{"partner-behind", behind("records are on their way", func(p *api.PartnerReply) { p.Moving = true }), "on their way"},
		{"bound-reached", behind("the agreement lets 5 go in a day", func(p *api.PartnerReply) { p.Bounded = true }), "another bound"},
		{"countings-running-out", func(f *Facts) { f.Partners[0].Spent, f.Partners[0].CountBudget = 135, 150 }, "135 of the 150 countings of this year under northmoor.gov.uk/huts are used"},
		{"withdrawals-waiting", func(f *Facts) { f.Partners[0].Outstanding, f.Partners[0].OldestHours = 2, 75 }, "2 withdrawn records under northmoor.gov.uk/huts, the oldest withdrawn 3 days ago"},
		{"withdrawals-overdue", func(f *Facts) { f.Partners[0].Outstanding, f.Partners[0].OldestHours = 1, 200 }, "8 days ago"},
		{"erasure-refused", func(f *Facts) {
			f.Partners[0].Refusals, f.Partners[0].RefusedOrders = 2, []api.RefusedOrder{{Record: "aaaaaaaaaaaaaaaaaaaaaaaaaa", Entry: 7, Rule: "not handed over", At: noon}}
		}, "of record aaaaaaaaaaaaaaaaaaaaaaaaaa it says: not handed over"},
		{"copy-differs", func(f *Facts) { f.Partners[0].Differs = &api.CountReply{Size: 9, Count: 3, Entry: 11, Came: 2} }, "entry 11 of its log says 3 records at 9 entries, and 2 records came"},
		{"copy-differs", func(f *Facts) {
			f.Partners[0].Differs = &api.CountReply{Size: 9, Count: 3, Entry: 11, By: "hexwell.gov.uk", Came: 2}
		}, "entry 11 of the log of hexwell.gov.uk says 3 records at 9 entries"},
		{"copy-differs", func(f *Facts) { f.Partners[0].Differs = &api.CountReply{Size: 9, Count: 3, Entry: 11, Twice: true} }, "two counts or roots at 9 entries"},
		{"copy-not-counted", func(f *Facts) { f.Partners[0].UncountedSince = noon.Add(-30 * time.Hour) }, "for 30 hours"},
		{"retention-late", func(f *Facts) {
			f.Late = []Late{{Council: saltby, Agreement: "northmoor.gov.uk/huts", Records: 3, Since: noon.Add(-10 * 24 * time.Hour)}}
		}, "may keep 3 records under northmoor.gov.uk/huts no longer"},
		{"retention-near", func(f *Facts) {
			f.Nearing = []Nearing{{From: saltby, Agreement: "northmoor.gov.uk/huts", Term: "P1Y", First: noon.Add(6 * 24 * time.Hour)}}
		}, "the first on 2026-12-04"},
		{"partner-clock-off", func(f *Facts) { f.Clock.Partners["fenwick.gov.uk"] = -time.Hour }, "the clock of fenwick.gov.uk is slow by 1 hour"},
		{"second-opinion", func(f *Facts) {
			f.Disagreements = []ledger.Disagreement{{
				OpinionsDiffer: event.OpinionsDiffer{Agreement: "northmoor.gov.uk/huts", Version: 2, To: saltby, Entry: 7, Rule: "a field that is not agreed"},
				Place:          "/keeper", Since: noon,
			}}
		}, "a field that is not agreed, at /keeper, which the first evaluator let through"},
		{"onward-nothing", func(f *Facts) {
			f.NotPassing = []NotPassing{{"northmoor.gov.uk/on", "saltby.gov.uk/moves", "saltby.gov.uk/moves is not in force: it is suspended"}}
		}, "speak with saltby.gov.uk: stile agreement show saltby.gov.uk/moves"},
		{"onward-kept-quiet", func(f *Facts) {
			f.PassedOn = []PassedOn{{Agreement: "saltby.gov.uk/on", From: saltby, Of: "hexwell.gov.uk", Quiet: 2, QuietAt: noon.Add(-29 * 24 * time.Hour)}, {Agreement: "saltby.gov.uk/past", From: saltby, Of: "hexwell.gov.uk", Quiet: 2, QuietAt: noon.Add(-31 * 24 * time.Hour)}}
		}, "saltby.gov.uk kept quiet that 2 versions under saltby.gov.uk/on had to go: deleted by the word of hexwell.gov.uk"},
		{"onward-unanswered", func(f *Facts) {
			f.PassedOn = []PassedOn{{Agreement: "saltby.gov.uk/on", From: saltby, Of: "hexwell.gov.uk", Records: 2, Unanswered: noon.Add(-8 * 24 * time.Hour)}, {Agreement: "saltby.gov.uk/new", From: saltby, Of: "hexwell.gov.uk", Records: 2, Unanswered: noon.Add(-6 * 24 * time.Hour)}}
		}, "hexwell.gov.uk has not said for 8 days whether we may keep what saltby.gov.uk passed on under saltby.gov.uk/on"},
		{"exchange-suspended", under("", agreement.Suspended, func(st *agreement.Status) { st.Suspensions = []agreement.Suspension{{By: saltby, Since: noon}} }), "nothing is shared"},
		{"agreement-waits-for-us", under("", agreement.Proposed, func(st *agreement.Status) { st.Awaiting = []name.Council{"northmoor.gov.uk"} }), "stile agreement sign northmoor.gov.uk/huts"},
		{"agreement-waits-for-others", under("", agreement.Proposed, func(st *agreement.Status) { st.Awaiting = []name.Council{saltby} }), "signature of saltby.gov.uk"},
		{"counter-proposal-waits", func(f *Facts) {
			f.Counters = []agreement.Countered{{By: saltby, Answers: 1, Agreement: &agreement.Agreement{Name: "northmoor.gov.uk/huts", From: "northmoor.gov.uk"}, At: noon}}
		}, "--counter saltby.gov.uk"},
		{"review-past", under("review: 2026-11-01\n", agreement.Suspended, reviewed), "was due for review on 2026-11-01"},
		{"review-close", under("review: 2026-12-05\n", agreement.InForce, reviewed), "in 7 days"},
		{"review-close", under("review: 2026-12-05\n", agreement.InForce, func(st *agreement.Status) {
			reviewed(st)
			st.Renewals = []agreement.Renewed{{By: saltby, Review: "2027-12-05"}}
		}), "renewed by saltby.gov.uk alone"},
		{"review-near", under("review: 2026-12-20\n", agreement.InForce, reviewed), "in 22 days"},
		{"end-close", under("ends: 2026-12-05\n", agreement.InForce, as), "then deleted"},
		{"end-near", under("ends: 2026-12-20\n", agreement.InForce, as), "then deleted"},
		{"agreement-over", under("", agreement.Ended, as), "is over"},
		{"footprint-not-open", in(func(p *Footprint) { p.Unopened = "its disk failed" }), "its disk failed"},
		{"footprint-stopped", in(func(p *Footprint) { p.Stopped = "its disk failed" }), "its disk failed"},
		{"footprint-cut-us-out", in(func(p *Footprint) { p.Out = true }), "stile footprint discard fens.example"},
		{"footprint-without-quorum", in(func(p *Footprint) { p.Up, p.Down = p.Up[:1], p.Up[1:] }), "1 of its members answer, and 2 must agree; not heard from: saltby.gov.uk, fenwick.gov.uk"},
		{"footprint-without-quorum", in(func(p *Footprint) { p.Leader, p.Heard = "", noon.Add(-time.Minute) }), "no member is heard of that leads"},
		{"footprint-without-reserve", in(func(p *Footprint) { p.Up, p.Down = p.Up[:2], p.Up[2:] }), "not heard from: fenwick.gov.uk"},
		{"footprint-evidence", in(func(p *Footprint) { p.Evidence = 2 }), "2 such things"},
		{"former-member-waiting", in(func(p *Footprint) {
			p.Former = []Former{{Council: "wold.example", Orders: 2, Oldest: noon.Add(-2 * time.Hour)}, {Council: "fenwick.gov.uk"}}
		}), "wold.example, which was a member of footprint fens.example, has not said that it erased what was taken back: 2 orders, the oldest 2 hours ago"},
		{"former-member-overdue", in(func(p *Footprint) {
			p.Former = []Former{{Council: "wold.example", Orders: 1, Oldest: noon.Add(-8 * 24 * time.Hour)}}
		}), "1 order, the oldest 8 days ago"},
		{"footprint-unlisted", in(func(p *Footprint) { p.Unlisted = true }), "stile footprint entry fens.example"},
	}
	if got := Find(well(), nil); len(got) != 0 {
		t.Fatalf("of a node that is well: %+v", got)
	}
	seen := map[string]bool{}
	for _, c := range cases {
		f := well()
		c.alter(f)
		got := Find(f, nil)
		if len(got) != 1 || got[0].Name != c.name {
			t.Errorf("%s: found %+v", c.name, got)
			continue
		}
		seen[c.name] = true
		if all := got[0].Text + "\n" + got[0].Cause + "\n" + got[0].Try; !strings.Contains(all, c.words) || got[0].Text == "" || got[0].Cause == "" || got[0].Try == "" {
			t.Errorf("%s: %q does not say %q", c.name, all, c.words)
		}
	}
	for _, k := range Kinds {
		if k.find != nil && !seen[k.Name] {
			t.Errorf("%s is found by no case", k.Name)
		}
	}
}

// What passes by itself is no condition: an election, records that have just set out, a
// link that fails for minutes, a file from a time when the clock was wrong.
func TestPasses(t *testing.T) {
	for what, alter := range map[string]func(*Facts){
		"records on their way": func(f *Facts) {
			p := &f.Partners[0]
			p.InStep, p.Moving, p.LastAt = false, true, noon.Add(-time.Minute)
		},
		"a link that has just gone":      func(f *Facts) { f.Links = []api.Link{{Council: saltby, Problem: "x", Since: noon.Add(-time.Minute)}} },
		"the clock was set right":        func(f *Facts) { f.Clock.Newest = noon.Add(24 * time.Hour) },
		"a term that is over in a month": func(f *Facts) { f.Nearing = []Nearing{{From: saltby, First: noon.Add(30 * 24 * time.Hour)}} },
		"an election": func(f *Facts) {
			f.Footprints = []Footprint{{Name: "fens.example", Needs: 2, Heard: noon.Add(-time.Second)}}
		},
	} {
		f := well()
		alter(f)
		if got := Find(f, nil); len(got) != 0 {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// What is accepted is a notice and says so; what is critical is not accepted.
func TestAccepted(t *testing.T) {
	f := well()
	f.Keys.Clear, f.Disk.Free = []string{"log.pem"}, 0
	got := Find(f, []string{"keys-in-clear", "disk-full"})
	if len(got) != 2 || got[0].Name != "disk-full" || got[0].Severity != api.Critical || got[1].Severity != api.Notice || !got[1].Accepted {
		t.Errorf("%+v", got)
	}
	if c := Blocking(got); c.Name != "disk-full" {
		t.Errorf("blocked by %+v", c)
	}
	if got := New("unheard-of", "x", "", ""); got.Severity != api.Critical || !strings.Contains(got.Text, "internal error") {
		t.Errorf("%+v", got)
	}
}

// The log tells once that a condition appeared and once that it cleared, and since when
// it holds outlives the process.
func TestKeeper(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	open := func() *Keeper { return OpenKeeper(dir, slog.New(slog.NewJSONHandler(&log, nil))) }
	said := func() (out []string) {
		for l := range strings.Lines(log.String()) {
			var line struct{ Level, Msg, Condition, Council string }
			if err := json.Unmarshal([]byte(l), &line); err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", line.Level, line.Condition, line.Msg, line.Council)))
		}
		log.Reset()
		return out
	}
	full := New("disk-full", "no room", "", "")
	behind := New("partner-behind", "behind", "", "")
	behind.Council = saltby
	k := open()
	if k.Last() != nil {
		t.Error("it knows before it looked")
	}
	k.Keep(nil, noon)
	k.Keep([]api.Condition{full}, noon)
	k.Keep([]api.Condition{full, behind}, noon.Add(time.Hour))
	k.Keep([]api.Condition{behind}, noon.Add(2*time.Hour))
	want := []string{"ERROR disk-full no room", "WARN partner-behind behind saltby.gov.uk", "INFO disk-full no longer: no room"}
	if got := said(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	k = open()
	k.Keep([]api.Condition{behind}, noon.Add(3*time.Hour))
	if got := k.Last(); len(got) != 1 || !got[0].Since.Equal(noon.Add(time.Hour)) {
		t.Errorf("after a restart: %+v", got)
	}
	if got := said(); len(got) != 1 {
		t.Errorf("a new process says what holds once: %q", got)
	}
	// Another process, such as stile status beside a node that is down, reads it.
	if got := open().Dated([]api.Condition{behind, full}); !got[0].Since.Equal(noon.Add(time.Hour)) || !got[1].Since.IsZero() {
		t.Errorf("%+v", got)
	}
}

// TestManual holds the table in docs/operating.md against Kinds.
func TestManual(t *testing.T) {
	b, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	names := map[string]bool{}
	for _, k := range Kinds {
		if names[k.Name] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`).MatchString(k.Name) || k.Means == "" {
			t.Errorf("kind %q: want a name of its own, in small letters and hyphens, and what it means", k.Name)
		}
		names[k.Name] = true
		blocks := ""
		if k.Blocks && k.find != nil {
			blocks = "; `/readyz` answers 503"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s%s |\n", k.Name, k.Severity, k.Means, blocks)
	}
	const begin, end = "<!-- conditions -->\n", "<!-- end of conditions -->\n"
	_, rest, ok := strings.Cut(string(b), begin)
	got, _, ok2 := strings.Cut(rest, end)
	if head := "| name | severity | when |\n|---|---|---|\n"; !ok || !ok2 || got != head+want.String() {
		t.Errorf("docs/operating.md has another table than there are kinds. Put between %q and %q:\n%s%s", begin, end, head, &want)
	}
}

// By a clock that is plainly wrong nothing is signed; no single partner stops a node
// whose clock is kept in time, and none stops it against the word of another.
func TestClockRefusal(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	for _, tt := range []struct {
		what     string
		partners map[name.Council]time.Duration
		unsynced func() bool
		newest   time.Time
		refused  bool
	}{
		{"nobody says anything", nil, yes, time.Time{}, false},
		{"one says so, and nothing keeps the clock", map[name.Council]time.Duration{saltby: -time.Hour}, yes, time.Time{}, true},
		{"one says so, and the clock is kept", map[name.Council]time.Duration{saltby: -time.Hour}, no, time.Time{}, false},
		{"one says so, and our log is later", map[name.Council]time.Duration{saltby: time.Hour}, no, noon.Add(time.Hour), true},
		{"our log alone is later", nil, yes, noon.Add(time.Hour), false},
		{"two say so", map[name.Council]time.Duration{saltby: time.Hour, "fenwick.gov.uk": time.Hour}, no, time.Time{}, true},
		{"one says so and one not", map[name.Council]time.Duration{saltby: time.Hour, "fenwick.gov.uk": 0}, yes, time.Time{}, false},
		{"within five minutes", map[name.Council]time.Duration{saltby: 5 * time.Minute}, yes, time.Time{}, false},
	} {
		if why := ClockRefusal(noon, tt.partners, tt.unsynced, tt.newest); (why != "") != tt.refused {
			t.Errorf("%s: %q", tt.what, why)
		}
	}
}
