package node_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A machine is one of those on which a council's node runs.
type machine struct {
	*running
	cfg *config.Config
	of  name.Council
}

// runs returns the council's node, once this machine runs it.
func (m *machine) runs() *running {
	if m.running == nil {
		return nil
	}
	if n := m.Runs(m.of); n != nil {
		return &running{Node: n}
	}
	return nil
}

// onMachines has a council whose node is stopped go on over three machines, and returns
// them and the folder of the council on the first.
func onMachines(t *testing.T, m *wire.Memory, council *config.Config) (out [3]*machine) {
	t.Helper()
	c := council.Council
	var all []*running
	dirs := [3]string{council.Data}
	for i, label := range []string{"one", "two", "three"} {
		r, cfg := inBubble(t, m, name.Council(label)+"."+c)
		out[i] = &machine{r, cfg, c}
		all = append(all, r)
		if i > 0 {
			dirs[i] = filepath.Join(t.TempDir(), "council")
			if err := os.CopyFS(dirs[i], os.DirFS(council.Data)); err != nil {
				t.Fatal(err)
			}
			err := filepath.WalkDir(dirs[i], func(p string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				return os.Chmod(p, 0o600) // as keys must be, and CopyFS does not leave them
			})
			if err := errors.Join(err, os.RemoveAll(filepath.Join(dirs[i], "ledger"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	introduce(t, all...)
	in := func(i int) node.FootprintRequest {
		return node.FootprintRequest{Name: string(c), Council: string(out[i].cfg.Council), Runs: dirs[i], Via: []string{string(out[0].cfg.Council)}}
	}
	call(t, out[0].Footprints().Found, in(0))
	call(t, out[0].Footprints().Invite, in(1))
	call(t, out[1].Footprints().Join, in(1))
	call(t, out[0].Footprints().Invite, in(2))
	call(t, out[1].Footprints().Agree, in(2))
	call(t, out[2].Footprints().Join, in(2))
	await(t, "all three vote", func() bool {
		n := 0
		for _, x := range call(t, out[0].Footprints().Status, in(0))[0].Status.Members {
			if x.Votes {
				n++
			}
		}
		return n == 3
	})
	return out
}

// here waits until one of some machines runs the council's node.
func here(t *testing.T, among ...*machine) (at *machine, n *running) {
	t.Helper()
	await(t, "a machine runs the council's node", func() bool {
		for _, x := range among {
			if n = x.runs(); n == nil {
				continue
			}
			if _, err := n.Status(t.Context()); err == nil {
				at = x
				return true
			}
		}
		return false
	})
	return at, n
}

func others(all [3]*machine, but *machine) []*machine {
	return slices.DeleteFunc(all[:], func(x *machine) bool { return x == but })
}

const sharedOutOne = "succession: s\non: 2000-01-02\nbegins: [east.gov.uk]\nends: [{council: northmoor.gov.uk, to: east.gov.uk}]\n"

// TestSealedOnMachines: a council whose node runs on three machines ends. The seal is a
// write like any other: a machine that was down has it when it is back, and whichever leads
// afterwards serves the sealed ledger, signs nothing, and hands over.
func TestSealedOnMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		old, cfg := inBubble(t, m, northmoor)
		partner, _ := inBubble(t, m, saltby)
		east, _ := inBubble(t, m, "east.gov.uk")
		introduce(t, old, partner, east)
		offer(t, old, "planning-application", planning(1, "X"), planning(2, "X"), planning(3, "X"))
		agreed(t, strings.Replace(planningAgreement, "starts: 2026-01-01", "starts: 2000-01-01", 1), old, partner)
		old.stop()

		all := onMachines(t, m, cfg)
		first, council := here(t, all[:]...)
		await(t, "the partner holds three", func() bool { return get(t, partner.Status).Holdings == 3 })
		plan := node.SuccessionRequest{Plan: []byte(sharedOutOne)}
		if p := call(t, council.Successions().Preview, plan); len(p.Faults) > 0 || p.Successors[0].Records != 3 {
			t.Errorf("preview: %+v", p)
		}
		// Cut off while it seals, it has sealed nothing: another machine does it.
		for _, x := range all {
			m.Cut(first.cfg.Council, x.cfg.Council)
		}
		if _, err := council.Successions().Seal(t.Context(), plan); err == nil {
			t.Error("a machine that was cut off has sealed the ledger")
		}
		cut := first
		first, council = here(t, others(all, cut)...)
		for _, x := range all {
			m.Heal(cut.cfg.Council, x.cfg.Council)
		}
		if _, err := council.Successions().Show(t.Context()); !is(err, node.NotFound) {
			t.Errorf("sealed by a machine that was cut off: %v", err)
		}
		away := others(all, first)[0]
		away.stop()
		away.running = nil
		s := call(t, council.Successions().Seal, plan)
		await(t, "the partner has deleted what it held, and cosigned the last entry", func() bool {
			s = get(t, council.Successions().Show)
			return len(s.Witnesses) > 0 && len(s.Unreceived) == 0
		})
		signsNothing := func(n *running) {
			t.Helper()
			_, err := n.Records().Put(t.Context(), node.PutRequest{Standard: "planning-application", Records: []node.Offered{{Record: marshal(t, planning(9, "X"))}}})
			if !is(err, node.Refused) {
				t.Errorf("a record was taken after the last entry: %v", err)
			}
			if now := get(t, n.Successions().Show); !now.Sealed || now.Size != s.Size || now.Root != s.Root || len(now.Witnesses) == 0 {
				t.Errorf("sealed as %+v, want %+v", now, s)
			}
		}
		signsNothing(council)

		// The one that was away has to take part, since the one that sealed is gone.
		first.stop()
		first.running = nil
		away.running = reopened(t, m, away.cfg)
		second, council := here(t, all[:]...)
		signsNothing(council)
		if r := call(t, east.Successions().TakeOver, node.TakeOverRequest{From: northmoor}); r.Taken != 3 || len(r.Witnesses) == 0 {
			t.Errorf("taken over from the second: %+v", r)
		}
		// What the directory says goes on to reach all: it is no entry of the log.
		introduce(t, council, east)
		first.running = reopened(t, m, first.cfg)
		await(t, "the lead is handed on", func() bool {
			return try(t.Context(), second.Footprints().Transfer, node.FootprintRequest{Name: string(northmoor)}, nil) == nil
		})
		_, council = here(t, others(all, second)...)
		signsNothing(council)
		if r := call(t, east.Successions().TakeOver, node.TakeOverRequest{From: northmoor}); r.Already != 3 {
			t.Errorf("taken over from the third: %+v", r)
		}
		if _, err := node.Rehearse(t.Context(), cfg, plan.Plan, "", node.Options{}); !is(err, node.Refused) {
			t.Errorf("rehearsed in a folder that has no ledger: %v", err)
		}
	})
}
