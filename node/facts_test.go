package node_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// TestFactsAreOfTheLedger: what a council reads of its partner is what the two signed: how
// many records it holds, which withdrawals it receipted and how late, which it has not, and
// how its log stands; each with the entry that shows it.
func TestFactsAreOfTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		var ahead atomic.Int64 // the clocks of both; days that are waited through cost as many of a processor's minutes
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		found := func(c name.Council) (*running, *config.Config) {
			first, cfg := inBubble(t, m, c)
			first.stop()
			return reopenedAt(t, m, cfg, now), cfg
		}
		us, _ := found(northmoor)
		it, cfg := found(saltby)
		introduce(t, us, it)
		offer(t, us, "planning-application", planning(1, "X"), planning(2, "X"), planning(3, "X"))
		agreed(t, strings.Replace(planningAgreement, "starts: 2026-01-01", "starts: 2000-01-01", 1), us, it)
		await(t, "it holds three", func() bool { return get(t, it.Status).Holdings == 3 })
		facts := func(days int) map[string]node.CouncilFact {
			out := map[string]node.CouncilFact{}
			for _, f := range call(t, us.Councils().Facts, node.FactsRequest{Council: string(saltby), Days: days}).Facts {
				out[f.Name] = f
			}
			return out
		}
		withdraw := func(reference string) {
			call(t, us.Records().Delete, node.RecordRequest{Record: reference, Standard: "planning-application"})
		}
		withdraw("26/0000001/PA")
		await(t, "the withdrawal is receipted", func() bool { return facts(0)[api.FactReceipted].Count == 1 })
		f := facts(0)
		if f[api.FactInForce].Count != 1 || f[api.FactHolds].Count != 2 || f[api.FactSigned].Count != 1 || f[api.FactLate].Count != 0 || f[api.FactOutstanding].Count != 0 {
			t.Errorf("while all is well: %+v", f)
		}
		for _, none := range []string{api.FactItRefused, api.FactLate, api.FactOutstanding, api.FactStopped} {
			if said, ok := f[none]; !ok || said.Count != 0 {
				t.Errorf("that there is none of %s is not said: %+v", none, said)
			}
		}
		if f[api.FactItCosigned].Count == 0 || f[api.FactItCosigned].Out < f[api.FactItCosigned].Count || f[api.FactLogSize].Count == 0 {
			t.Errorf("of the logs: %+v", f)
		}

		it.stop()
		withdraw("26/0000002/PA")
		ahead.Add(int64(72 * time.Hour))
		f = facts(0)
		if w := f[api.FactOutstanding]; w.Count != 1 || len(w.Entries) != 1 || f[api.FactReceipted].Count != 1 {
			t.Fatalf("while it is away: %+v", f)
		} else if e := call(t, us.Log().Prove, node.EntryRequest{Entry: w.Entries[0]}); e.Entry != w.Entries[0] {
			t.Errorf("entry %d is proved as %d", w.Entries[0], e.Entry)
		}
		it = reopenedAt(t, m, cfg, now)
		await(t, "it is back, and receipts", func() bool { return facts(0)[api.FactReceipted].Count == 2 })
		f = facts(0)
		if l := f[api.FactLate]; l.Count != 1 || f[api.FactOutstanding].Count != 0 || f[api.FactReceipted].Longest < 72*3600 || f[api.FactReceipted].Median > 3600 || f[api.FactHolds].Count != 1 {
			t.Errorf("when it was back: %+v", f)
		}
		ahead.Add(int64(30 * 24 * time.Hour))
		if f := facts(7); f[api.FactReceipted].Count != 0 || f[api.FactLate].Count != 0 || f[api.FactHolds].Count != 1 {
			t.Errorf("of the last seven days: %+v", f)
		}
		for council, want := range map[string]node.Kind{"hexwell.gov.uk": node.NotFound, string(northmoor): node.Usage, "x": node.Usage} {
			if _, err := us.Councils().Facts(t.Context(), node.FactsRequest{Council: council}); !is(err, want) {
				t.Errorf("%s: %v, want %v", council, err, want)
			}
		}
	})
}
