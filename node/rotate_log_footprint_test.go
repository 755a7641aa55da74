package node_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node"
)

// TestLogKeyOfFootprintMember: a member of a footprint replaces the key of its log, in the steps of docs/operating.md. At each
// of them it writes into the footprint, cosigns with the others, who find nothing against it, and reads what they write.
func TestLogKeyOfFootprintMember(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	dir, council := filepath.Join(b.Config().Data, "keys"), b.Config().Council
	again := func() {
		t.Helper()
		n, err := node.Open(b.Config(), node.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		b = runAgain(t, n)
		introduce(t, a, b, c)
	}
	mine := func() directory.Member {
		t.Helper()
		me, err := directory.ParseMember([]byte(call(t, b.Councils().Show, node.MemberNameRequest{}).Document))
		if err != nil {
			t.Fatal(err)
		}
		return me
	}
	tell := func(me directory.Member) {
		t.Helper()
		for _, n := range []*running{a, b, c} {
			call(t, n.Councils().Add, node.MemberRequest{Document: me.YAML()})
		}
	}
	records := 0
	goesOn := func(when string) {
		t.Helper()
		for _, n := range []*running{b, a} {
			records++
			r := offerPlans(t, n, fmt.Sprintf(planDraft, fmt.Sprintf("R/%d", records), "one", "A"))[0]
			await(t, when+": it is put", func() bool {
				return try(t.Context(), n.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: []string{string(r.Record)}}, nil) == nil
			})
		}
		for _, n := range []*running{a, b, c} {
			await(t, when+": everybody reads all", func() bool { return len(fensRecords(t, n, 0, false)) == records })
		}
		size := fensStatus(t, a).Status.Size
		await(t, when+": all three cosign", func() bool {
			_, missing, err := a.FootprintCovers(t.Context(), fens, size)
			return err == nil && len(missing) == 0
		})
		for _, n := range []*running{a, b, c} {
			if s := fensStatus(t, n).Status; s.Evidence != 0 {
				t.Errorf("%s: %s has evidence: %s", when, n.Config().Council, s.Words)
			}
		}
	}
	goesOn("before")
	old := mine().LogKey
	next, err := keys.StageLog(dir, council, nil)
	if err != nil {
		t.Fatal(err)
	}
	me := mine()
	me.LogAlso = []tlog.OtherKey{{Key: next}}
	tell(me)
	b.stop()
	if err := keys.ActivateLog(dir, council, nil); err != nil {
		t.Fatal(err)
	}
	again()
	goesOn("while both keys sign")
	b.stop()
	if err := keys.FinishLog(dir, council, nil); err != nil {
		t.Fatal(err)
	}
	again()
	size := get(t, b.Log().Show).Size
	me = mine()
	me.LogKey, me.LogAlso = next, []tlog.OtherKey{{Key: old, To: size}}
	tell(me)
	goesOn("with the new key")
}
