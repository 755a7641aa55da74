package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A bubble's time begins on the first day of 2000.
const sharedOut = `
succession: northmoor-2000
on: 2000-01-02
begins: [east.gov.uk, west.gov.uk]
ends:
  - council: northmoor.gov.uk
    split:
      - standard: standards.stile.example/planning-application
        field: /district
        values: {east.gov.uk: [X], west.gov.uk: [Y]}
`

// codeOf is the reference code of some councils.
var codeOf = map[name.Council]string{northmoor: "E07000999", "east.gov.uk": "E06000998", "west.gov.uk": "E06000997"}

// inBubble founds a council, and runs it on a network in memory.
func inBubble(t *testing.T, m *wire.Memory, c name.Council) (*running, *config.Config) {
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: c, GSS: codeOf[c], Listen: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	little(t, cfg)
	cfg.AdminSocket = ""
	return reopened(t, m, cfg), cfg
}

func reopened(t *testing.T, m *wire.Memory, cfg *config.Config) *running {
	t.Helper()
	return reopenedAt(t, m, cfg, nil)
}

// reopenedAt is reopened, with a clock of the node's own.
func reopenedAt(t *testing.T, m *wire.Memory, cfg *config.Config, now func() time.Time) *running {
	t.Helper()
	n, err := node.Open(cfg, node.Options{Now: now, Fatal: func(err error) { t.Errorf("%v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	return runIn(t, wire.Among(context.Background(), m), n)
}

// TestACouncilIsSharedOut: a council ends and two follow it. What it held goes from its
// partner, its last entry is cosigned, and nothing is signed after it. Each successor takes
// what the plan gives it and nothing else; the id that a record had leads to the one it has;
// an auditor follows it from one log into the other, and notices what is not so.
func TestACouncilIsSharedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		old, cfg := inBubble(t, m, northmoor)
		partner, _ := inBubble(t, m, saltby)
		east, _ := inBubble(t, m, "east.gov.uk")
		west, _ := inBubble(t, m, "west.gov.uk")
		introduce(t, old, partner, east, west)
		plan := node.SuccessionRequest{Plan: []byte(sharedOut)}
		offer(t, old, "planning-application", planning(1, "X"), planning(2, "Y"), planning(3, "X"), planning(4, "Z"))
		agreed(t, strings.Replace(planningAgreement, "starts: 2026-01-01", "starts: 2000-01-01", 1), old, partner)
		await(t, "the partner holds two", func() bool { return get(t, partner.Status).Holdings == 2 })

		p := call(t, old.Successions().Preview, plan)
		if len(p.Nobody) != 1 || p.Nobody[0].Records != 1 || len(p.Agreements) != 1 || p.Successors[0].Records != 2 || p.Successors[1].Records != 1 || p.Sealed {
			t.Errorf("preview: %+v", p)
		}
		if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "the directory does not say yet that northmoor.gov.uk ends on 2000-01-02") {
			t.Errorf("preview warns of %q", p.Warnings)
		}
		if _, err := old.Successions().Seal(t.Context(), plan); !is(err, node.Invalid) {
			t.Errorf("sealed although a record goes to nobody: %v", err)
		}
		offer(t, old, "planning-application", func() map[string]any { r := planning(4, "Y"); return r }())
		early := node.SuccessionRequest{Plan: []byte(strings.Replace(sharedOut, "2000-01-02", "2000-02-02", 1))}
		if _, err := old.Successions().Seal(t.Context(), early); !is(err, node.Refused) {
			t.Errorf("sealed a month before the day: %v", err)
		}
		before := call(t, old.Records().Show, node.RecordRequest{Record: "26/0000001/PA", Standard: "planning-application"})
		unasked := call(t, old.Bundle, node.BundleRequest{Records: []string{string(before.Record)}, Full: true}).Bundle

		if _, err := east.Successions().TakeOver(t.Context(), node.TakeOverRequest{From: northmoor}); !is(err, node.Refused) || !strings.Contains(err.Error(), "it has not ended") {
			t.Errorf("fetched from a ledger that is not sealed: %v", err)
		}
		s := call(t, old.Successions().Seal, plan)
		if !s.Sealed || s.Entry != s.Size-1 || len(s.Successors) != 2 || s.Successors[0].KeyID == "" {
			t.Fatalf("sealed: %+v", s)
		}
		await(t, "the partner has deleted what it held, and cosigned the last entry", func() bool {
			s = get(t, old.Successions().Show)
			return get(t, partner.Status).Holdings == 0 && len(s.Witnesses) > 0 && len(s.Unreceived) == 0
		})
		r, err := old.Records().Put(t.Context(), node.PutRequest{Standard: "planning-application", Records: []node.Offered{{Record: marshal(t, planning(9, "X"))}}})
		if !is(err, node.Refused) {
			t.Errorf("a record was taken after the last entry: %+v %v", r, err)
		}
		old.stop()
		old = reopened(t, m, cfg)
		if now := get(t, old.Successions().Show); now.Size != s.Size || !now.Sealed {
			t.Errorf("after a new start: %+v", now)
		}
		gone := call(t, old.Records().Show, node.RecordRequest{Record: string(before.Record)})
		if gone.Succeeded == nil || gone.Succeeded.Council != "east.gov.uk" || gone.Succeeded.On != "2000-01-02" {
			t.Errorf("the old council says of a record: %+v", gone.Succeeded)
		}

		dir := t.TempDir()
		files := map[name.Council]string{}
		for _, c := range []name.Council{"east.gov.uk", "west.gov.uk"} {
			files[c] = filepath.Join(dir, string(c)+".stile")
			call(t, old.Successions().HandOver, node.HandOverRequest{To: c, File: files[c]})
		}
		if _, err := east.Successions().TakeOver(t.Context(), node.TakeOverRequest{File: files["west.gov.uk"]}); !is(err, node.Unverified) {
			t.Errorf("east took what is for west: %v", err)
		}
		if _, err := partner.Successions().TakeOver(t.Context(), node.TakeOverRequest{From: northmoor}); !is(err, node.Refused) || !strings.Contains(err.Error(), "names other successors than you") {
			t.Errorf("a partner was handed what successors take over: %v", err)
		}
		open := filepath.Join(dir, "open.stile")
		if err := os.WriteFile(open, unasked, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := east.Successions().TakeOver(t.Context(), node.TakeOverRequest{File: open}); !is(err, node.Unverified) {
			t.Errorf("east took from a ledger that was not sealed: %v", err)
		}
		offer(t, west, "planning-application", planning(2, "elsewhere")) // has the key of one that comes
		for _, x := range []struct {
			c                    name.Council
			n                    *running
			taken, left, already int
		}{{"east.gov.uk", east, 2, 0, 0}, {"east.gov.uk", east, 0, 0, 2}, {"west.gov.uk", west, 1, 1, 0}} {
			in := node.TakeOverRequest{File: files[x.c], Try: true}
			if x.c == "west.gov.uk" { // from the node that ended
				in.File, in.From = "", northmoor
			}
			try := call(t, x.n.Successions().TakeOver, in)
			in.Try = false
			got := call(t, x.n.Successions().TakeOver, in)
			if got.Taken != x.taken || len(got.Left) != x.left || got.Already != x.already || try.Taken != x.taken || len(got.Witnesses) == 0 {
				t.Errorf("%s took over %+v, and would have %+v", x.c, got, try)
			}
		}
		now := call(t, east.Records().Show, node.RecordRequest{Record: string(before.Record)})
		if now.Former == nil || now.Former.Council != northmoor || now.Former.Record != before.Record || now.Council != "east.gov.uk" || !bytes.Equal(now.Body, before.Body) {
			t.Errorf("east shows for the old id: %+v %+v", now, now.Former)
		}

		trust := audit.Trust{Members: membersOf(t, old, partner, east, west)}
		after := call(t, east.Bundle, node.BundleRequest{Records: []string{string(now.Record)}, Full: true}).Bundle
		origin, err := os.ReadFile(files["east.gov.uk"])
		if err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(bytes.NewReader(after), int64(len(after)), audit.Options{Trust: trust, Origins: []audit.OriginFile{{File: bytes.NewReader(origin), Size: int64(len(origin))}}})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := report.Check(audit.CheckSuccession)
		if !report.OK() || c.Result != audit.OK || !strings.Contains(c.Detail, "1 record is followed into the log of northmoor.gov.uk") {
			t.Errorf("the chain: %+v\n%+v", report.Checks, c)
		}
		other, err := os.ReadFile(files["west.gov.uk"])
		if err != nil {
			t.Fatal(err)
		}
		report, err = audit.Verify(bytes.NewReader(after), int64(len(after)), audit.Options{Trust: trust, Origins: []audit.OriginFile{{File: bytes.NewReader(unasked), Size: int64(len(unasked))}, {File: bytes.NewReader(other), Size: int64(len(other))}}})
		if c, _ := report.Check(audit.CheckSuccession); err != nil || report.OK() || c.Failed != 1 || c.NotDone != 1 {
			t.Errorf("a ledger that was not sealed passes as the origin: %+v %v", c, err)
		}
	})
}

func is(err error, k node.Kind) bool {
	e, ok := err.(*node.Error)
	return ok && e.Kind == k
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func membersOf(t testing.TB, nodes ...*running) (out []directory.Member) {
	t.Helper()
	for _, n := range nodes {
		m, err := directory.ParseMember([]byte(call(t, n.Councils().Show, node.MemberNameRequest{}).Document))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// TestTakeOverAfterTheDay: the directory says that a council has ended, so that its node is
// nobody's partner; its successor still fetches what it takes over, over a real network.
func TestTakeOverAfterTheDay(t *testing.T) {
	var day atomic.Int64
	clock := func() time.Time { return time.Date(2027, 3, 31, 20, 0, 0, 0, time.UTC).AddDate(0, 0, int(day.Load())) }
	old, east := startAt(t, northmoor, "E07000999", clock), startAt(t, "east.gov.uk", "E06000999", clock)
	introduce(t, old, east)
	offer(t, old, "planning-application", planning(1, "X"), planning(2, "X"))
	call(t, old.Successions().Seal, node.SuccessionRequest{Plan: []byte("succession: s\non: 2027-04-01\nbegins: [east.gov.uk]\nends: [{council: northmoor.gov.uk, to: east.gov.uk}]\n")})
	publishAt(t, east, clock(), func(r *tufdir.Repository) error {
		return r.Succeed(northmoor, "east.gov.uk", time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC), clock())
	})
	day.Store(1)
	in := node.TakeOverRequest{From: northmoor, Unwitnessed: true}
	r := call(t, east.Successions().TakeOver, in)
	if r.Taken != 2 || r.From != northmoor || r.File == "" {
		t.Errorf("took over %+v", r)
	}
	old.stop()
	in.From, in.File = "", r.File
	if r := call(t, east.Successions().TakeOver, in); r.Already != 2 {
		t.Errorf("the file that was kept: %+v", r)
	}
	in.From, in.File = northmoor, ""
	if _, err := east.Successions().TakeOver(t.Context(), in); !is(err, node.Behind) {
		t.Errorf("from a node that does not run: %v", err)
	}
}

// TestPartnerAwayAcrossTheDay: a partner is away when a council ends, and for a month. Back
// again, it is told by the directory who has taken over: nobody types anything, the agreements
// are over and what it held is deleted, since it has signed none with the successor. Nothing of
// its own is shared with the council that ended, though both run, and it goes on with the
// successor by a text that both sign.
func TestPartnerAwayAcrossTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		old, oldCfg := inBubble(t, m, northmoor)
		partner, partnerCfg := inBubble(t, m, saltby)
		east, eastCfg := inBubble(t, m, "east.gov.uk")
		introduce(t, old, partner, east)
		offer(t, old, "planning-application", planning(1, "X"))
		text := strings.Replace(planningAgreement, "starts: 2026-01-01", "starts: 2000-01-01", 1)
		const a, b = "northmoor.gov.uk", "saltby.gov.uk"
		back := strings.NewReplacer(a, b, b, a, "planning-for-saltby", "planning-for-northmoor").Replace(text)
		agreed(t, text, old, partner)
		agreed(t, back, partner, old)
		await(t, "the partner holds one", func() bool { return get(t, partner.Status).Holdings == 1 })

		for _, n := range []*running{old, partner, east} {
			publish(t, n, func(r *tufdir.Repository) error {
				return r.Succeed(northmoor, "east.gov.uk", time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC), time.Now())
			})
		}
		time.Sleep(time.Minute) // they look at their conditions now and then
		told := func(n *running, kind, words string) bool {
			for _, c := range get(t, n.Status).Conditions {
				if c.Name == kind && strings.Contains(c.Text+"; "+c.Cause, words) {
					return true
				}
			}
			return false
		}
		if !told(old, "council-ending", "2 agreements of ours end with it") {
			t.Errorf("the council that ends is told %+v", get(t, old.Status).Conditions)
		}
		if !told(partner, "partner-ending", "east.gov.uk takes over; not signed by us with each successor: northmoor.gov.uk/planning-for-saltby, saltby.gov.uk/planning-for-northmoor") {
			t.Errorf("before the day the partner is told %+v", get(t, partner.Status).Conditions)
		}
		partner.stop()
		s := call(t, old.Successions().Seal, node.SuccessionRequest{Plan: []byte("succession: s\non: 2000-01-02\nbegins: [east.gov.uk]\nends: [{council: northmoor.gov.uk, to: east.gov.uk}]\n")})
		if len(s.Unreceived) != 1 || told(old, "council-ending", "") {
			t.Errorf("sealed with the partner away: %+v", s)
		}
		if r := call(t, east.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true}); r.Taken != 1 {
			t.Errorf("took over %+v", r)
		}
		old.stop()
		east.stop()
		time.Sleep(30 * 24 * time.Hour)

		m.Cut(northmoor, saltby) // as a network does that asks the directory
		old, partner, east = reopened(t, m, oldCfg), reopened(t, m, partnerCfg), reopened(t, m, eastCfg)
		offer(t, partner, "planning-application", planning(2, "X"))
		time.Sleep(5 * time.Minute)
		await(t, "the agreements are over here by the directory alone", func() bool { return get(t, partner.Status).Holdings == 0 && !told(partner, "partner-ending", "") })
		m.Heal(northmoor, saltby) // and where it does not, the exchange asks it, too
		time.Sleep(5 * time.Minute)
		if h := get(t, old.Status).Holdings; h != 0 {
			t.Errorf("%d records were shared with a council that has ended", h)
		}
		agreed(t, strings.ReplaceAll(text, a, "east.gov.uk"), east, partner)
		await(t, "it has the successor's record", func() bool { return get(t, partner.Status).Holdings == 1 })
	})
}

// TestACouncilLeavesItsFootprintsFirst: what a council that ends has in a footprint is
// withdrawn and confirmed, the others let it go by themselves, and its receipt stands in the
// footprint's log, all before its ledger is sealed. While the others could not go on without
// it nothing is done at all. Stopped in the middle, with its node, it goes on from there when it
// is said again. Who is left goes on, with the successor.
func TestACouncilLeavesItsFootprintsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		old, oldCfg := inBubble(t, m, northmoor)
		b, _ := inBubble(t, m, saltby)
		c, cfg := inBubble(t, m, hexwell)
		east, _ := inBubble(t, m, "east.gov.uk")
		introduce(t, old, b, c, east)
		joinFens(t, old, b, c)
		call(t, old.Footprints().Adopt, node.FootprintAdoptRequest{Name: fens, Standard: "housing-need"})
		call(t, old.Footprints().Found, node.FootprintRequest{Name: "wolds.example"}) // where it is alone
		offer(t, old, "planning-application", planning(1, "A"), planning(2, "A"), planning(3, "B"))
		text := strings.ReplaceAll(intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"), "2020-01-01", "2000-01-01")
		call(t, old.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
		const into = "northmoor.gov.uk/plans"
		await(t, "saltby has the text", func() bool {
			return try(t.Context(), b.Agreements().Show, node.AgreementRequest{Name: into}, nil) == nil
		})
		call(t, b.Agreements().Sign, node.AgreementRequest{Name: into})
		byHand := offerHousing(t, old, housing("H-1", "AB123456C", "E07000999"))
		call(t, old.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: []string{string(byHand[0].Record)}})
		of := func(n *running, c name.Council) int {
			return len(call(t, n.Footprints().Records, node.FootprintListRequest{Name: fens, Of: string(c), Linearizable: true}).Records)
		}
		await(t, "three records of it stand there", func() bool { return of(b, northmoor) == 3 })

		plan := node.SuccessionRequest{Plan: []byte(sharedOutOne)}
		c.stop()
		p := call(t, old.Successions().Preview, plan)
		if len(p.Footprints) != 2 || p.Footprints[0].Records != 3 || len(p.Footprints[0].Members) != 2 || len(p.Footprints[1].Members) != 0 ||
			len(p.Faults) != 1 || !strings.Contains(p.Faults[0], "1 of 2 answer, and not hexwell.gov.uk") {
			t.Errorf("with a member away: %+v, %q", p.Footprints, p.Faults)
		}
		if _, err := old.Successions().Seal(t.Context(), plan); !is(err, node.Refused) {
			t.Errorf("sealed, or left a footprint that then stands still: %v", err)
		}
		if r := call(t, old.Agreements().Show, node.AgreementRequest{Name: into}); !r.InForce || of(b, northmoor) != 3 {
			t.Errorf("half of it was done: %+v", r)
		}
		c = reopened(t, m, cfg)
		await(t, "nothing is in the way", func() bool { return len(call(t, old.Successions().Preview, plan).Faults) == 0 })
		// Stopped later and later, each time together with its node.
		stoppedAt := map[string]bool{}
		for within := 10 * time.Millisecond; ; within += within / 2 {
			soon, cancel := context.WithTimeout(t.Context(), within)
			s, err := old.Successions().Seal(soon, plan)
			cancel()
			if err == nil {
				if !s.Sealed || len(get(t, old.Footprints().List)) != 0 {
					t.Errorf("sealed: %+v", s)
				}
				break
			}
			if within > time.Hour {
				t.Fatalf("it does not go on: %v", err)
			}
			there := call(t, b.Footprints().Records, node.FootprintListRequest{Name: fens, Of: string(northmoor)}).Records
			inForce := call(t, old.Agreements().Show, node.AgreementRequest{Name: into}).InForce
			stoppedAt[fmt.Sprintf("in force %t, %d records stand there, %d are members, in %d footprints", inForce, len(there), len(fensStatus(t, b).Status.Members), len(get(t, old.Footprints().List)))] = true
			old.stop()
			old = reopened(t, m, oldCfg)
		}
		if len(stoppedAt) < 2 {
			t.Errorf("it was stopped at %v alone", stoppedAt)
		}
		if r := call(t, old.Agreements().Show, node.AgreementRequest{Name: into}); len(r.Confirmed) != 1 || len(r.Confirmed[0].Members) != 3 || r.Confirmed[0].Withdrawn != 2 {
			t.Errorf("confirmed: %+v", r.Confirmed)
		}
		await(t, "the others have its receipt", func() bool {
			fs := fensStatus(t, b).Status.Former
			return len(fs) == 1 && fs[0].Council == northmoor && fs[0].By == northmoor && fs[0].Deleted != nil && len(fs[0].Orders) == 0
		})
		if st := fensStatus(t, c).Status; st.Formed || len(st.Members) != 2 || of(c, northmoor) != 0 {
			t.Errorf("left: %+v", st)
		}

		// Its successor takes over, joins, and brings the records under its own name.
		if r := call(t, east.Successions().TakeOver, node.TakeOverRequest{From: northmoor}); r.Taken != 4 {
			t.Errorf("taken over: %+v", r)
		}
		joins := node.FootprintRequest{Name: fens, Council: "east.gov.uk", Via: []string{string(saltby)}}
		call(t, b.Footprints().Invite, joins)
		call(t, c.Footprints().Agree, joins)
		call(t, east.Footprints().Join, joins)
		now := call(t, east.Records().Show, node.RecordRequest{Record: string(byHand[0].Record)})
		if r := call(t, east.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: []string{string(now.Record)}}); r.Results[0].Outcome != "taken" {
			t.Errorf("brought by the successor: %+v", r)
		}
	})
}

// TestTheEndIsSaidBeforeLeaving: that an agreement with a footprint has ended stands in its
// ledger before a council that ends leaves it, also when nothing of that council stands there,
// so that there is nothing else to wait for.
func TestTheEndIsSaidBeforeLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		old, _ := inBubble(t, m, northmoor)
		b, _ := inBubble(t, m, saltby)
		c, _ := inBubble(t, m, hexwell)
		east, _ := inBubble(t, m, "east.gov.uk")
		introduce(t, old, b, c, east)
		joinFens(t, old, b, c)
		text := strings.ReplaceAll(intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"), "2020-01-01", "2000-01-01")
		call(t, old.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
		into := node.AgreementRequest{Name: "northmoor.gov.uk/plans"}
		await(t, "saltby has the text", func() bool { return try(t.Context(), b.Agreements().Show, into, nil) == nil })
		call(t, b.Agreements().Sign, into)
		await(t, "it is in force", func() bool { return call(t, c.Agreements().Show, into).InForce })
		if s := call(t, old.Successions().Seal, node.SuccessionRequest{Plan: []byte(sharedOutOne)}); !s.Sealed {
			t.Fatalf("not sealed: %+v", s)
		}
		for _, n := range []*running{b, c} {
			await(t, "the others know that it has ended", func() bool { return !call(t, n.Agreements().Show, into).InForce })
		}
	})
}

// TestWhatIsBroughtFromOutsideIsWithdrawnFirst: a council that ends and is no member of a footprint
// has it let go of what it brought there before its ledger is sealed, since a withdrawal is an
// entry of that ledger. While no member answers it is not sealed, and said again it goes on.
func TestWhatIsBroughtFromOutsideIsWithdrawnFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, _ := inBubble(t, m, northmoor)
		b, inB := inBubble(t, m, saltby)
		c, inC := inBubble(t, m, hexwell)
		old, _ := inBubble(t, m, ironmoor)
		east, _ := inBubble(t, m, "east.gov.uk")
		introduce(t, a, b, c, old, east)
		joinFens(t, a, b, c)
		entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
		call(t, old.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
		offer(t, old, "planning-application", planning(1, "A"), planning(2, "A"), planning(3, "B"))
		const into = "ironmoor.gov.uk/plans"
		text := strings.NewReplacer("2020-01-01", "2000-01-01", string(northmoor), string(ironmoor)).Replace(
			intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"))
		call(t, old.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
		for _, n := range []*running{b, c} {
			await(t, "the text has arrived", func() bool {
				return try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: into}, nil) == nil
			})
			call(t, n.Agreements().Sign, node.AgreementRequest{Name: into})
		}
		of := func(n *running) int {
			return len(call(t, n.Footprints().Records, node.FootprintListRequest{Name: fens, Of: string(ironmoor), Linearizable: true}).Records)
		}
		plan := node.SuccessionRequest{Plan: []byte(strings.ReplaceAll(sharedOutOne, string(northmoor), string(ironmoor)))}
		await(t, "two records of it stand there", func() bool {
			p := call(t, old.Successions().Preview, plan)
			return of(b) == 2 && len(p.Footprints) == 1 && p.Footprints[0].Records == 2
		})
		if p := call(t, old.Successions().Preview, plan); !p.Footprints[0].Outside || p.Footprints[0].Footprint != fens || len(p.Footprints[0].Members) != 3 || len(p.Faults) != 0 {
			t.Errorf("preview: %+v", p)
		}
		b.stop()
		c.stop()
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := old.Successions().Seal(soon, plan)
		cancel()
		if _, no := old.Successions().Show(t.Context()); err == nil || !is(no, node.NotFound) {
			t.Errorf("sealed while nobody could withdraw: %v, %v", err, no)
		}
		b, _ = reopened(t, m, inB), reopened(t, m, inC)
		await(t, "it is sealed when it is said again", func() bool {
			s, err := old.Successions().Seal(t.Context(), plan)
			return err == nil && s.Sealed
		})
		if n := of(b); n != 0 {
			t.Errorf("%d records of it stand there for good", n)
		}
	})
}
