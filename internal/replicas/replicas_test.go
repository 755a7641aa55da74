package replicas

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/machines"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
	hexwell   = name.Council("hexwell.gov.uk")
	eastmere  = name.Council("eastmere.gov.uk")
	ironmoor  = name.Council("ironmoor.gov.uk")
	fens      = name.Council("fens.example")   // kept by saltby, hexwell and eastmere
	moors     = name.Council("moors.example")  // nobody says who keeps it
	levels    = name.Council("levels.example") // what we found ourselves
)

// A house is a council's data folder and its Set.
type house struct {
	*Set
	t       testing.TB
	world   *wire.Memory
	ledger  *ledger.Ledger
	dir     *directory.Directory
	changed int
	under   name.Agreement // under which our records go into any footprint
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, world: wire.NewMemory()}
	var ms []directory.Member
	var own *keys.Ring
	for i, c := range []name.Council{northmoor, saltby, hexwell, eastmere, ironmoor} {
		r, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		if own == nil {
			own = r
		}
		m := directory.FromRing(c, r)
		m.Title, m.GSS, m.Role, m.ValidFrom = string(c), fmt.Sprintf("E0700099%d", i), directory.RoleCouncil, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		ms = append(ms, m)
	}
	for fp, members := range map[name.Council][]name.Council{fens: {eastmere, hexwell, saltby}, moors: nil} {
		ms = append(ms, directory.Member{Council: fp, Title: string(fp), Role: directory.RoleFootprint, Members: members, ValidFrom: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
	var err error
	if h.dir, err = directory.New(); err != nil {
		t.Fatal(err)
	}
	if err := h.dir.Replace(ms, nil); err != nil {
		t.Fatal(err)
	}
	if h.ledger, err = ledger.Open(ledger.Options{InMemory: true, Council: northmoor, Keys: own}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := config.Default(northmoor, t.TempDir())
	log := slog.New(slog.DiscardHandler)
	h.Set = New(Options{
		Config: cfg, Keys: own, Ledger: h.ledger, Directory: h.dir, Log: log, Now: time.Now,
		Machine:  &machines.Machine{Config: cfg, Log: log, Now: time.Now},
		Fatal:    func(err error) { t.Errorf("storage failed: %v", err) },
		Changed:  func() { h.changed++ },
		Record:   func(typed, _ string) (name.Record, error) { return name.ParseRecord(typed) },
		Standard: func(string) (*standard.Standard, error) { return nil, api.Fail(api.NotFound, "", "no standard") },
		SignedBy: func(_ agreement.Ref, members []name.Council) []name.Council { return members[:1] },
		Under:    func(name.Council, name.StandardLine) (name.Agreement, bool) { return h.under, h.under != "" },
		Flows:    func(fp name.Council) []api.PartnerReply { return []api.PartnerReply{{Council: fp}} },
		Relay:    func(context.Context, *footprint.Footprint) error { return nil },
	})
	return h
}

// begin runs the node until what it returns is called.
func (h *house) begin() (end func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	n := h.world.Node(northmoor)
	if err := h.Begin(ctx, n); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		h.End()
		cancel()
		n.Close()
	}
}

func kindOf(err error) api.Kind {
	e, _ := errors.AsType[*api.Error](err)
	if e == nil {
		return ""
	}
	return e.Kind
}

func (h *house) logged(kind string) (n int) {
	err := h.ledger.View(func(v *ledger.View) error {
		v.Events(kind, 0, func(uint64) bool { n++; return true })
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// Replicas are open while the node runs and at no other time; what a person asks of
// one that is not open is answered with what to do.
func TestOpenWhileTheNodeRuns(t *testing.T) {
	h := newHouse(t)
	ctx, in := t.Context(), api.FootprintRequest{Name: string(levels)}
	if _, err := h.Found(ctx, in); kindOf(err) != api.Behind {
		t.Errorf("founded while the node does not run: %v", err)
	}
	if _, err := h.Status(ctx, api.FootprintRequest{}); kindOf(err) != api.Behind {
		t.Errorf("status while the node does not run: %v", err)
	}
	end := h.begin()
	for _, c := range []struct {
		in   api.FootprintRequest
		kind api.Kind
	}{
		{api.FootprintRequest{Name: "levels"}, api.Usage},
		{api.FootprintRequest{Name: string(saltby)}, api.Conflict},
		{api.FootprintRequest{Name: string(levels), Runs: t.TempDir()}, api.NotFound},
	} {
		if _, err := h.Found(ctx, c.in); kindOf(err) != c.kind {
			t.Errorf("%+v: %v, want %s", c.in, err, c.kind)
		}
	}
	if _, err := h.Entry(ctx, in); kindOf(err) != api.NotFound {
		t.Errorf("an entry of what is not here: %v", err)
	}
	got, err := h.Found(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Open || got.Status == nil || got.Status.Formed || len(got.Flows) != 1 || got.Machines != nil || h.changed == 0 {
		t.Errorf("founded: %+v", got)
	}
	if !h.Is(levels) || !h.Has(levels) || h.Replica(levels) == nil || !slices.Equal(h.Members(levels), []name.Council{northmoor}) || len(h.Open()) != 1 {
		t.Errorf("it is not among ours: %v", h.Members(levels))
	}
	if n := h.logged(event.KindFootprintFounded); n != 1 {
		t.Errorf("our own log says %d times that it was founded, want 1", n)
	}
	if _, err := h.Found(ctx, in); kindOf(err) != api.Conflict {
		t.Errorf("founded again: %v", err)
	}
	end()
	if h.Replica(levels) != nil || len(h.All()) != 0 || !h.Has(levels) {
		t.Error("it is open, and the node does not run")
	}
	if all, err := h.Describe(ctx, api.Empty{}); err != nil || len(all) != 1 || all[0].Open || all[0].Problem == "" {
		t.Errorf("listed while the node does not run: %+v, %v", all, err)
	}

	// One that cannot be opened does not keep the others closed, nor the node.
	if err := os.MkdirAll(h.Set.dir("broken.example"), 0o700); err != nil {
		t.Fatal(err)
	}
	end = h.begin()
	defer end()
	if h.Replica(levels) == nil || h.Replica("broken.example") != nil || len(h.All()) != 2 || len(h.List()) != 1 {
		t.Errorf("open: %d of %d", len(h.List()), len(h.All()))
	}
	if r := h.All()[0]; r.Name() != "broken.example" || r.Err() == nil {
		t.Errorf("%s: %v", r.Name(), r.Err())
	}
	all, err := h.Status(ctx, api.FootprintRequest{})
	if err != nil || len(all) != 2 || all[0].Open || !all[1].Open {
		t.Errorf("status: %+v, %v", all, err)
	}
}

// What a footprint of one refuses, it refuses in words; its only member cannot leave it,
// since there is nobody to leave it to, and discards it.
func TestRefusals(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	end := h.begin()
	defer end()
	in := api.FootprintRequest{Name: string(levels)}
	if _, err := h.Found(ctx, in); err != nil {
		t.Fatal(err)
	}
	about := func(c name.Council) api.FootprintRequest {
		return api.FootprintRequest{Name: string(levels), Council: string(c)}
	}
	got, err := h.Invite(ctx, about(saltby))
	if err != nil || got.Proposal == nil || !got.Proposal.Decided || got.Proposal.Council != saltby {
		t.Fatalf("invited: %+v, %v", got, err)
	}
	no := func(_ any, err error) error { return err }
	put := api.FootprintPutRequest{Name: string(levels), Records: []string{"aaaaaaaaaaaaaaaaaaaaaaaaaa"}}
	backup := filepath.Join(t.TempDir(), "backup")
	for _, c := range []struct {
		what string
		err  error
		kind api.Kind
	}{
		{"invite who is not in the directory", no(h.Invite(ctx, about("unknown.gov.uk"))), api.NotFound},
		{"invite nobody", no(h.Invite(ctx, in)), api.Usage},
		{"agree to what is not proposed", no(h.Agree(ctx, about(hexwell))), api.Refused},
		{"remove who is no member", no(h.Remove(ctx, about(hexwell))), api.Refused},
		{"cancel nothing", no(h.Cancel(ctx, in)), api.Refused},
		{"hand the lead to who is no member", no(h.Transfer(ctx, about(hexwell))), api.Refused},
		{"hand the lead to nobody there is", no(h.Transfer(ctx, about("hexwell"))), api.Usage},
		{"recover, and say no reason", no(h.Recover(ctx, api.FootprintRecoverRequest{Name: string(levels)})), api.Usage},
		{"recover while the rest decides", no(h.Recover(ctx, api.FootprintRecoverRequest{Name: string(levels), Because: "fire"})), api.Refused},
		{"recover without ourselves", no(h.Recover(ctx, api.FootprintRecoverRequest{Name: string(levels), Because: "fire", Lost: []string{string(northmoor)}})), api.Usage},
		{"recover what is not here", no(h.Recover(ctx, api.FootprintRecoverRequest{Name: "other.example", Because: "fire"})), api.NotFound},
		{"put nothing", no(h.Put(ctx, api.FootprintPutRequest{Name: string(levels)})), api.Usage},
		{"put what is no record", no(h.Put(ctx, put)), ""},
		{"take back what is not there", no(h.Withdraw(ctx, put)), api.NotFound},
		{"show what is not there", no(h.Show(ctx, api.FootprintRecordRequest{Name: string(levels), Record: put.Records[0]})), api.NotFound},
		{"show another's by a key", no(h.Show(ctx, api.FootprintRecordRequest{Name: string(levels), Council: string(saltby), Record: "A/1"})), api.NotFound},
		{"list of no council", no(h.Records(ctx, api.FootprintListRequest{Name: string(levels), Of: "saltby"})), api.Usage},
		{"list from a cursor that is none", no(h.Records(ctx, api.FootprintListRequest{Name: string(levels), Cursor: "?"})), api.Usage},
		{"adopt what we have not adopted", no(h.Adopt(ctx, api.FootprintAdoptRequest{Name: string(levels), Standard: "none"})), api.NotFound},
		{"back up into nowhere in particular", no(h.Backup(ctx, api.FootprintBackupRequest{Name: string(levels), File: "backup"})), api.Usage},
		{"back up", no(h.Backup(ctx, api.FootprintBackupRequest{Name: string(levels), File: backup})), ""},
		{"back up over it", no(h.Backup(ctx, api.FootprintBackupRequest{Name: string(levels), File: backup})), api.Conflict},
	} {
		if kindOf(c.err) != c.kind {
			t.Errorf("%s: %v (%q), want %q", c.what, c.err, kindOf(c.err), c.kind)
		}
	}
	if n := h.logged(event.KindFootprintPut) + h.logged(event.KindWithdrawal); n != 0 {
		t.Errorf("our log speaks of %d puts and withdrawals, and there was none", n)
	}
	if l, err := h.Records(ctx, api.FootprintListRequest{Name: string(levels), Linearizable: true}); err != nil || len(l.Records) != 0 || l.Position == 0 {
		t.Errorf("records: %+v, %v", l, err)
	}
	if _, err := h.Records(within(t, 50*time.Millisecond), api.FootprintListRequest{Name: string(levels), At: 1 << 40}); kindOf(err) != api.Behind {
		t.Errorf("read at a position that is not here: %v", err)
	}
	entry, err := h.Entry(ctx, in)
	if err != nil || entry.Role != string(directory.RoleFootprint) || !strings.Contains(entry.Document, string(northmoor)) {
		t.Errorf("entry: %+v, %v", entry, err)
	}
	if _, err := h.Remove(ctx, about(northmoor)); kindOf(err) != api.Refused || !strings.Contains(err.Error(), footprint.RuleLast) {
		t.Errorf("the last member left: %v", err)
	}
	if _, err := h.Discard(ctx, in); err != nil || h.Has(levels) || h.logged(event.KindFootprintDiscarded) != 1 {
		t.Errorf("the last member discarded it: %v", err)
	}
	if owed, _ := filepath.Glob(filepath.Join(h.Set.dir(""), "*"+owedSuffix)); len(owed) != 0 {
		t.Errorf("a receipt is owed to nobody: %v", owed)
	}
	if _, err := h.Discard(ctx, in); kindOf(err) != api.NotFound {
		t.Errorf("discarded twice: %v", err)
	}
	// Where a replica is lost our log says that it may be there, until a person says no.
	if _, err := h.Found(ctx, in); err != nil {
		t.Fatal(err)
	}
	r, _ := h.get(levels)
	h.drop(r)
	if err := os.RemoveAll(h.Set.dir(levels)); err != nil {
		t.Fatal(err)
	}
	if _, faults, err := h.Ending(); err != nil || len(faults) != 1 || !strings.Contains(faults[0], "by its log the council joined the footprint "+string(levels)) {
		t.Errorf("a replica that is not here: %q, %v", faults, err)
	}
	if _, err := h.Discard(ctx, in); err != nil {
		t.Errorf("what is lost is discarded: %v", err)
	}
	if in, faults, err := h.Ending(); err != nil || len(in) != 0 || len(faults) != 0 {
		t.Errorf("nothing is left: %+v %q, %v", in, faults, err)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// document is an agreement as far as its parties matter.
func document(t testing.TB, from, to name.Council) *agreement.Agreement {
	t.Helper()
	b, err := os.ReadFile("../agreement/testdata/people-moving-to-saltby.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("northmoor.gov.uk", "SENDER", "saltby.gov.uk", string(to)).Replace(string(b))
	a, err := agreement.Parse([]byte(strings.ReplaceAll(text, "SENDER", string(from))))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Whether we may sign, and to whom we say it, follows from who keeps the footprints
// that an agreement names.
func TestParties(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		why      string
		from, to name.Council
		under    name.Agreement
		kind     api.Kind
		tell     []name.Council
	}{
		{"no footprint", northmoor, saltby, "", "", []name.Council{saltby}},
		{"into a footprint", northmoor, fens, "", "", []name.Council{eastmere, hexwell, saltby}},
		{"into one of which nobody says who keeps it", northmoor, moors, "", api.Refused, nil},
		{"into one where the records go under another", northmoor, fens, "northmoor.gov.uk/other", api.Conflict, nil},
		{"another's, under whatever", ironmoor, fens, "northmoor.gov.uk/other", "", []name.Council{eastmere, hexwell, ironmoor, saltby}},
		{"out of a footprint", fens, ironmoor, "", "", []name.Council{eastmere, hexwell, ironmoor, saltby}},
		{"out of a footprint to a member", fens, hexwell, "", api.Refused, nil},
		{"out of a footprint into one", fens, moors, "", api.Refused, nil},
	} {
		h.under = c.under
		a := document(t, c.from, c.to)
		ours, err := h.Parties(a)
		if err != nil || len(ours) != 0 {
			t.Errorf("%s: %d of ours, %v", c.why, len(ours), err)
		}
		if err := h.MaySign(a, ours); kindOf(err) != c.kind || err != nil && c.kind == "" {
			t.Errorf("%s: %v, want %q", c.why, err, c.kind)
		}
		if got := h.Addressees(a); c.kind == "" && !slices.Equal(got, c.tell) {
			t.Errorf("%s: told to %v, want %v", c.why, got, c.tell)
		}
	}
	h.under = ""
	end := h.begin()
	if _, err := h.Found(t.Context(), api.FootprintRequest{Name: string(levels)}); err != nil {
		t.Fatal(err)
	}
	a := document(t, levels, saltby)
	ours, err := h.Parties(a)
	if err != nil || len(ours) != 1 || ours[0].Name() != levels {
		t.Fatalf("ours: %v, %v", ours, err)
	}
	if err := h.MaySign(a, ours); kindOf(err) != api.Behind {
		t.Errorf("a footprint of one signs: %v", err)
	}
	if got := h.Addressees(a); !slices.Equal(got, []name.Council{saltby}) {
		t.Errorf("told to %v: what we say reaches our own footprint by its ledger", got)
	}
	end()
	if _, err := h.Parties(a); kindOf(err) != api.Behind {
		t.Errorf("the replica is not open: %v", err)
	}
	if got, err := h.Signers(fens, agreement.Ref{}); err != nil || !slices.Equal(got, []name.Council{eastmere}) {
		t.Errorf("signers: %v, %v", got, err)
	}
}

// Each error of a footprint says what to do about it.
func TestExplained(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind api.Kind
	}{
		{nil, ""},
		{errors.New("else"), ""},
		{api.Fail(api.Usage, "", "typed wrongly"), api.Usage},
		{&footprint.Refusal{Rule: footprint.RuleForming}, api.Behind},
		{&footprint.Refusal{Rule: footprint.RuleOneChange}, api.Conflict},
		{notInvited(&footprint.Refusal{Rule: footprint.RuleMember}), api.Refused},
		{footprint.ErrUnavailable, api.Behind},
		{context.DeadlineExceeded, api.Behind},
		{footprint.ErrLost, api.Conflict},
		{footprint.ErrExists, api.Conflict},
		{footprint.ErrFull, api.Failed},
		{footprint.ErrStopped, api.Failed},
		{footprint.ErrClosed, api.Failed},
	} {
		wrapped := c.err
		if c.err != nil {
			wrapped = fmt.Errorf("offer: %w", c.err)
		}
		got := explained(levels, wrapped)
		if kindOf(got) != c.kind || (got == nil) != (c.err == nil) {
			t.Errorf("%v: %v, want %q", c.err, got, c.kind)
		}
		if e, ok := errors.AsType[*api.Error](got); ok && c.kind != api.Usage && e.Try == "" {
			t.Errorf("%v: nothing to do", c.err)
		}
	}
}
