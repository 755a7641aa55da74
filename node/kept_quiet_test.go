package node_test

import (
	"bytes"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// TestKeptQuiet: a council that passed a record on, signed that it deleted it when it was taken
// back, and says nothing to who was given it, is found out a day later: the record is gone, status
// and the facts about it say so, and who issued it has a receipt that an auditor reads.
func TestKeptQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		var ahead atomic.Int64 // the clocks of all three: days that are waited through cost much
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		found := func(c name.Council) (*running, *config.Config) {
			first, cfg := inBubble(t, m, c)
			first.stop()
			return reopenedAt(t, m, cfg, now), cfg
		}
		n, _ := found(northmoor)
		s, _ := found(saltby)
		c, cfg := found(castlebridge)
		introduce(t, n, s, c)
		offer(t, n, "planning-application", planning(1, "X"), planning(2, "X"))
		const open = "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"
		begun := func(doc string) string {
			return strings.Replace(doc, "starts: 2026-01-01", "starts: 2000-01-01", 1)
		}
		agreed(t, begun(moving(1, `"true"`, open, open)), n, s)
		agreed(t, begun(passing(1, open)), s, c)
		awaitEvery(t, 200*time.Millisecond, "both went on", func() bool { return len(passed(t, c)) == 2 })

		// What goes to castlebridge is held up, and then saltby is away, which to castlebridge is one.
		c.stop()
		call(t, n.Records().Delete, node.RecordRequest{Record: "26/0000001/PA", Standard: "planning-application"})
		awaitEvery(t, 200*time.Millisecond, "saltby has deleted it, and signed so", func() bool {
			f := map[string]node.CouncilFact{}
			for _, x := range call(t, n.Councils().Facts, node.FactsRequest{Council: string(saltby)}).Facts {
				f[x.Name] = x
			}
			return get(t, s.Status).Holdings == 1 && f[api.FactReceipted].Count == 1
		})
		s.stop()
		ahead.Add(int64(25 * time.Hour))
		c = reopenedAt(t, m, cfg, now)
		if len(passed(t, c)) != 2 {
			t.Fatalf("before it has asked castlebridge shows %v", passed(t, c))
		}
		time.Sleep(30 * time.Second) // it counts ten minutes from when it first looks
		ahead.Add(int64(11 * time.Minute))
		time.Sleep(70 * time.Second)
		awaitEvery(t, time.Second, "the record is gone", func() bool {
			return maps.Equal(passed(t, c), map[string]bool{"26/0000002/PA": false})
		})
		quiet := false
		for _, x := range get(t, c.Status).Conditions {
			quiet = quiet || x.Name == "onward-kept-quiet" && x.Council == saltby
		}
		if !quiet {
			t.Error("status says nothing of it")
		}
		for _, x := range call(t, c.Councils().Facts, node.FactsRequest{Council: string(saltby)}).Facts {
			if x.Name == api.FactKeptQuiet && x.Count == 1 && len(x.Entries) == 1 {
				quiet = false
			}
		}
		if quiet {
			t.Error("the facts say nothing of it")
		}

		var r *audit.Report
		awaitEvery(t, time.Second, "northmoor has the receipt", func() bool {
			b := call(t, n.Bundle, node.BundleRequest{Agreement: "northmoor.gov.uk/moving"}).Bundle
			var err error
			if r, err = audit.Verify(bytes.NewReader(b), int64(len(b)), audit.Options{Trust: audit.Trust{Members: membersOf(t, n, s, c)}}); err != nil {
				t.Fatal(err)
			}
			said, _ := r.Check(audit.CheckAgreements)
			return strings.Contains(said.Detail, "castlebridge.gov.uk deleted 1 version that saltby.gov.uk had passed on, by the signed word of northmoor.gov.uk.")
		})
		if said, _ := r.Check(audit.CheckAgreements); !r.OK() || !strings.Contains(said.Detail, "by the word of northmoor.gov.uk 1 version that was passed on to castlebridge.gov.uk under northmoor.gov.uk/moving has to be gone there") {
			t.Errorf("%s %+v", said.Detail, r.Checks)
		}
	})
}
