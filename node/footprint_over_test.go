package node_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestOverBeforeItBroughtAnything: a footprint holds records under a text, the next begins on a
// day on which the footprint can decide nothing, and ends before it can: all that the first let
// in goes.
func TestOverBeforeItBroughtAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		var ahead atomic.Int64 // the clocks of all three
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		var all []*running
		for _, c := range []name.Council{northmoor, saltby, hexwell} {
			first, cfg := inBubble(t, m, c)
			first.stop()
			all = append(all, reopenedAt(t, m, cfg, now))
		}
		a, b := all[0], all[1]
		introduce(t, all...)
		joinFens(t, all[0], all[1], all[2])
		offerPlans(t, a, fmt.Sprintf(planDraft, "N/1", "one", "A"), fmt.Sprintf(planDraft, "N/2", "two", "A"))
		const agreed = "northmoor.gov.uk/plans"
		const few = "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"
		sign := func(version int, starts, fields string) {
			t.Helper()
			doc := strings.Replace(intoFens("plans", version, fens, fields), "starts: 2020-01-01", "starts: "+starts, 1)
			call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
			awaitEvery(t, time.Second, fmt.Sprintf("saltby has text %d", version), func() bool {
				r := node.AgreementReply{}
				return try(t.Context(), b.Agreements().Show, node.AgreementRequest{Name: agreed, Version: version}, &r) == nil && r.Version == version
			})
			call(t, b.Agreements().Sign, node.AgreementRequest{Name: agreed, Version: version})
		}
		inForce := func(version int) {
			t.Helper()
			awaitEvery(t, time.Second, fmt.Sprintf("text %d is in force", version), func() bool {
				return call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed, Version: version}).InForce
			})
		}
		sign(1, "2000-01-01", few+", /uprn")
		inForce(1)
		awaitEvery(t, time.Second, "the footprint has both", func() bool { return len(fensRecords(t, b, 0, true)) == 2 })
		sign(2, "2000-01-02", few)
		awaitEvery(t, time.Second, "northmoor knows that both signed", func() bool {
			return len(call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed, Version: 2}).Signed) == 2
		})

		m.OnWrite(func(w wire.Write) wire.Fault {
			if strings.HasPrefix(w.Protocol, "/stile/raft/") {
				return wire.Lost
			}
			return wire.None
		})
		time.Sleep(10 * time.Second) // nobody leads
		ahead.Add(int64(24 * time.Hour))
		inForce(2)
		time.Sleep(2 * time.Minute)
		call(t, a.Agreements().End, node.AgreementRequest{Name: agreed, Reason: "boundary moved"})
		m.OnWrite(nil)
		awaitEvery(t, time.Second, "nothing is left", func() bool { return len(fensRecords(t, b, 0, false)) == 0 })
		awaitEvery(t, time.Second, "nothing is outstanding", func() bool { return len(get(t, a.Status).Partners) == 0 })
	})
}
