package footprint

import (
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestTermsInFootprint: a record is erased on every member once a majority of them has said that its term is over, and not
// before, whatever one member says, nor under another agreement, nor in an older version than the newest.
func TestTermsInFootprint(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := places[1]
		const by, other = name.Agreement("saltby.gov.uk/items"), name.Agreement("saltby.gov.uk/others")
		first := w.token(c, "over", 1, tlog.Hash{}, "name", "Ada")
		put := func(a name.Agreement, since, cursor uint64, es ...Entry) Receipt {
			t.Helper()
			r, err := w.at(c).Contribute(t.Context(), a, since, cursor, es...)
			if err != nil || r.Outcomes[0].Code != Accepted {
				t.Fatalf("%+v, %v", r, err)
			}
			return r
		}
		start := time.Now().Truncate(time.Second)
		old := put(by, 0, 1, first).Outcomes[0].Entry
		over := put(by, 1, 3, w.token(c, "over", 2, check(first).token.Entry(), "name", "Ada"), w.token(c, "stays", 1, tlog.Hash{})).Outcomes[0].Entry
		elsewhere := put(other, 0, 1, w.token(c, "elsewhere", 1, tlog.Hash{})).Outcomes[0].Entry
		taken := func(m name.Council) (out []Taken) {
			t.Helper()
			if err := w.at(m).catchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := w.at(m).TakenUnder(c, by, func(k Taken) bool { out = append(out, k); return true }); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got := taken(places[0]); len(got) != 2 || got[0].Received.Before(start) || got[0].Received.After(time.Now()) || got[0].Body["reference"] == nil || got[0].Said {
			t.Errorf("taken: %+v", got)
		}
		if fs, err := w.at(places[0]).Flows(); err != nil || !slices.Equal(fs, []Flow{{c, by}, {c, other}}) {
			t.Errorf("flows: %v, %v", fs, err)
		}
		say := func(m name.Council, entries ...uint64) {
			t.Helper()
			if err := w.at(m).Expire(t.Context(), by, 1, entries); err != nil {
				t.Fatal(err)
			}
		}
		say(places[0], over)
		say(places[0], old, over, elsewhere)
		if got := taken(places[0]); len(got) != 2 || !slices.ContainsFunc(got, func(k Taken) bool { return k.Index == over && k.Said }) {
			t.Errorf("after one member said so: %+v", got)
		}
		say(places[2], over)
		w.same()
		for _, m := range places[:3] {
			if got := taken(m); len(got) != 1 || got[0].Index == over {
				t.Errorf("%s holds %+v", m, got)
			}
			for ref, kept := range map[string]bool{"over": false, "stays": true, "elsewhere": true} {
				if _, err := w.at(m).Record(c, w.rings[c].RecordID(w.std.Name().Line(), ref)); (err == nil) != kept {
					t.Errorf("%s: %s: %v", m, ref, err)
				}
			}
			if counts, err := w.at(m).Counts(); err != nil || counts[c][w.std.Name()] != 2 {
				t.Errorf("%s counts %v, %v", m, counts, err)
			}
		}
		size := w.leader().Size()
		say(places[1], over) // too late: there is nothing to say
		if got := w.leader().Size(); got != size {
			t.Errorf("the log went on from %d to %d", size, got)
		}
		if r, err := w.at(c).Put(t.Context(), first); err != nil || r.Outcomes[0].Rule != RuleGone {
			t.Errorf("an old version comes back: %+v, %v", r, err)
		}
	})
}
