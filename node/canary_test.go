package node_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// canaries makes values that stand nowhere else.
func canaries(n int) (out []string) {
	for range n {
		out = append(out, "CANARY-"+rand.Text())
	}
	return out
}

// inFolder says in which files of a data folder values stand: in all bytes of all files,
// and in every value of every table, whether the store counts it or not.
func inFolder(t *testing.T, dir string, values []string) (found []string) {
	t.Helper()
	err := ledgertest.Raw(dir, func(b []byte, where string) {
		for i, v := range values {
			if bytes.Contains(b, []byte(v)) {
				found = append(found, fmt.Sprintf("value %d in %s", i, where))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// size is how many records a test that looks for canaries has: a few in the suite, as many
// as STILE_CANARY says by hand.
func canaryRecords(t *testing.T) int {
	n := 8
	if s := os.Getenv("STILE_CANARY"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 8 {
			t.Fatalf("STILE_CANARY is %q: want a number from 8", s)
		}
	}
	return n
}

// TestNoCanaryInAnyFile: what an erased record said is in no file of the council or of the
// partner: after the receipt, after a restart, and after the council's folder was set back
// to a copy from before, where the partner shows what was ordered and it is erased again
// before anything is signed or sent. What a correction replaced is in no file of the partner after the
// next purge, which a node does every hour. (Four of eight records are erased; of the others
// half are corrected.)
func TestNoCanaryInAnyFile(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: northmoor, GSS: "E07000998"})
	if err != nil {
		t.Fatal(err)
	}
	little(t, cfg)
	open := func() *running {
		n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		return runIn(t, wire.With(t.Context(), m.Node(northmoor)), n)
	}
	a, b := open(), startIn(t, m, saltby)
	introduce(t, a, b)
	n := canaryRecords(t)
	first, second := canaries(n), canaries(n)
	said := func(i int, value string) map[string]any {
		r := planning(i, "X")
		r["description"] = value
		return r
	}
	for i := range n {
		offer(t, a, "planning-application", said(i, first[i])) // each alone, so that its bytes can be found
	}
	agreed(t, planningAgreement, a, b)
	holds := func(want int) {
		t.Helper()
		await(t, fmt.Sprintf("saltby holds %d and northmoor knows", want), func() bool {
			if get(t, b.Status).Holdings != want {
				return false
			}
			for _, p := range get(t, a.Status).Partners {
				if p.Council == saltby && p.InStep && p.Held == want && p.Outstanding == 0 {
					return true
				}
			}
			return false
		})
	}
	holds(n)
	a.stop()
	old := filepath.Join(t.TempDir(), "old")
	if out, err := exec.Command("cp", "-a", cfg.Data, old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a = open()

	// Corrected: every other one of the second half.
	var corrected []string
	for i := n / 2; i < n; i += 2 {
		offer(t, a, "planning-application", said(i, second[i]))
		corrected = append(corrected, first[i])
	}
	holds(n)
	if got := inFolder(t, b.Config().Data, corrected); len(got) == 0 {
		t.Fatal("no corrected value is found at the partner, so the test proves nothing")
	}
	if err := b.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := inFolder(t, b.Config().Data, corrected); len(got) > 0 {
		t.Errorf("after the purge the partner still has corrected values: %v", got)
	}

	gone := first[:n/2]
	for _, x := range []*running{a, b} {
		if got := inFolder(t, x.Config().Data, gone); len(got) < len(gone) {
			t.Fatalf("only %v are found in %s before the erasure, so the test proves nothing", got, x.Config().Council)
		}
	}
	for i := range gone {
		call(t, a.Records().Erase, node.EraseRequest{Record: fmt.Sprintf("26/%07d/PA", i), Standard: "planning-application", Reason: "request 2026/17"})
	}
	holds(n - len(gone))
	clean := func(when string) {
		t.Helper()
		for _, x := range []*running{a, b} {
			if got := inFolder(t, x.Config().Data, gone); len(got) > 0 {
				t.Errorf("%s, in %s: %v", when, x.Config().Council, got)
			}
		}
	}
	clean("after the receipt")
	a.stop()
	b.stop()
	a, b = open(), again(t, m, b, saltby, 0)
	holds(n - len(gone))
	clean("after a restart")

	// The folder is set back to the copy, in which all of it stands.
	a.stop()
	if err := os.RemoveAll(cfg.Data); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", old, cfg.Data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := inFolder(t, cfg.Data, gone); len(got) < len(gone) {
		t.Fatal("the copy does not hold what was erased, so the test proves nothing")
	}
	a = open()
	await(t, "it is known that the folder is an old copy", func() bool { h := get(t, a.Status).Halt; return h != nil && h.Behind })
	await(t, "what was erased is shown no more, though nothing may be signed yet", func() bool {
		for i := range gone {
			if try(t.Context(), a.Records().Show, node.RecordRequest{Record: fmt.Sprintf("26/%07d/PA", i), Standard: "planning-application"}, nil) == nil {
				return false
			}
		}
		return true
	})
	var last error
	await(t, "saltby lets go of what it held, and our log goes on", func() bool {
		_ = try(t.Context(), b.Councils().EndQuarantine, node.EndQuarantineRequest{Council: string(northmoor), Follow: "told", Because: "its folder was set back"}, nil)
		last = try(t.Context(), a.Log().Continue, node.ContinueRequest{Because: "the disk was lost"}, nil)
		return last == nil
	})
	holds(n - len(gone))
	clean("after the folder was set back")
	for i := range gone {
		h := call(t, a.Records().History, node.RecordRequest{Record: fmt.Sprintf("26/%07d/PA", i), Standard: "planning-application"})
		if v := h.Versions[len(h.Versions)-1]; v.Op != "erased" {
			t.Errorf("record %d is %q", i, v.Op)
		}
	}
}
