package node_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// TestSetBackReceiverHides: a receiver whose folder was set back does not show what its partner had taken back meanwhile, nor
// anything else that came from it, and says how much that is; once it has read the feed it shows what it may.
func TestSetBackReceiverHides(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	for i := range 2 {
		offer(t, a, "planning-application", planning(i, "X"))
	}
	agreed(t, planningAgreement, a, b)
	await(t, "saltby holds both", func() bool { return get(t, b.Status).Holdings == 2 })
	data := b.Config().Data
	old := filepath.Join(t.TempDir(), "old")
	copyTo := func(from, to string) {
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	b.stop()
	copyTo(data, old)
	b = again(t, m, b, saltby, 0)
	call(t, a.Records().Erase, node.EraseRequest{Record: "26/0000000/PA", Standard: "planning-application", Reason: "request 2026/17"})
	await(t, "it is erased at saltby, and receipted", func() bool {
		for _, p := range get(t, a.Status).Partners {
			if p.Council == saltby && p.Held == 1 && p.Outstanding == 0 {
				return get(t, b.Status).Holdings == 1
			}
		}
		return false
	})
	a.stop()
	b.stop()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	copyTo(old, data)

	b = again(t, m, b, saltby, 0)
	list := func() node.ListReply { return call(t, b.Records().List, node.ListRequest{From: northmoor, Limit: 10}) }
	if got := list(); len(got.Records) != 0 || len(got.Hidden) != 1 || !strings.HasPrefix(got.Hidden[0], "2 records: ") {
		t.Errorf("while northmoor has not answered: %+v", got)
	}
	var e *node.Error
	err := try(t.Context(), b.Records().Show, node.RecordRequest{From: northmoor, Record: "26/0000001/PA"}, nil)
	if e, _ = err.(*node.Error); e == nil || e.Kind != node.Behind {
		t.Errorf("a record is shown: %v", err)
	}
	if !slices.ContainsFunc(get(t, b.Status).Conditions, func(c node.Condition) bool { return c.Name == "holdings-hidden" && c.Council == northmoor }) {
		t.Error("status does not say so")
	}
	b.stop() // it stays so over a restart
	b = again(t, m, b, saltby, 0)
	if got := list(); len(got.Records) != 0 || len(got.Hidden) != 1 {
		t.Errorf("after a restart: %+v", got)
	}
	a = again(t, m, a, northmoor, 0)
	await(t, "northmoor lets saltby's log begin anew, and saltby goes on", func() bool {
		_ = try(t.Context(), a.Councils().EndQuarantine, node.EndQuarantineRequest{Council: string(saltby), Follow: "told", Because: "its folder was set back"}, nil)
		_ = try(t.Context(), b.Log().Continue, node.ContinueRequest{Because: "the disk was lost"}, nil)
		return get(t, b.Status).Halt == nil
	})
	await(t, "what is left is shown", func() bool { got := list(); return len(got.Records) == 1 && len(got.Hidden) == 0 })
	want := call(t, a.Records().Show, node.RecordRequest{Record: "26/0000001/PA", Standard: "planning-application"}).Record
	if r := list().Records[0].Record; r != want {
		t.Errorf("shown is %s, want %s", r, want)
	}
}
