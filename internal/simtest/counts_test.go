package simtest

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

// TestCountsFail: counts that are not what there is to tell are noticed, and so are
// a small group and a record that leave under an agreement that lets counts leave.
func TestCountsFail(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 3, 2)
		from, to := w.councils[0], w.councils[1]
		x := w.agree(from, to, "cases-3", 1)
		w.write(from, 120)
		time.Sleep(time.Minute)
		if err := w.count1(to, x, x.fields); err != nil || w.counted != 3 {
			t.Fatalf("%d groups counted, %v", w.counted, err)
		}
		w.sound()
		clear(w.tallies)
		written := maps.Clone(from.facts)
		for ref := range written { // fewer in the model
			if strings.HasPrefix(ref, "bulk-") {
				delete(from.facts, ref)
			}
			if len(w.tally(x, x.fields)) < 3 {
				break
			}
		}
		if err := w.count1(to, x, x.fields); err != nil || len(w.broken) != 1 {
			t.Errorf("counts of more than there is: %q, %v", w.broken, err)
		}
		w.broken, from.facts = nil, written

		for count, ok := range map[int]bool{3: false, 9: false, 12: false, 10: true, 15: true} {
			c := agreement.Counts{By: x.fields, Groups: []agreement.Group{{Of: make([]*string, 1), Count: count}}}
			if why := small(c.Body()); (why == "") != ok {
				t.Errorf("a group of %d: %q", count, why)
			}
		}
		if small(map[string]any{"groups": []any{map[string]any{"count": json.Number("x")}}}) == "" || small(nil) == "" {
			t.Error("what is no count passes")
		}

		y := w.agree(from, to, "cases-0", 6)
		w.write(from, 3)
		time.Sleep(time.Minute)
		holds := to.holdings(from.Name)
		if len(holds) == 0 || w.broken != nil {
			t.Fatalf("%d records held, %q", len(holds), w.broken)
		}
		shown := call(to, to.node.Records().Show, node.RecordRequest{Record: string(holds[0].Record), From: from.Name})
		w.texts[x.doc.Name][0].fields = y.fields // even of fields that it lists
		if why := w.tapRecord(from.Name, to.Name, string(x.doc.Name), []byte(shown.Token)); !strings.Contains(why, "nothing but counts") {
			t.Errorf("a record under an agreement on counts: %q", why)
		}
	})
}
