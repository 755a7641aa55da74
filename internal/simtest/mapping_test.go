package simtest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/node"
)

// TestMadeRecords: records that a mapping makes of an older major go to whom an
// agreement over the newer one names, follow what is written and deleted, and the
// model notices a record of one major under an agreement over the other, one made of
// what was never written, and what the newer major does not have.
func TestMadeRecords(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 3, 2)
		from, to := w.councils[0], w.councils[1]
		x := w.agree(from, to, "cases-4", 3)
		w.write(from, 9)
		time.Sleep(time.Minute)
		w.write(from, 9)
		for range 4 {
			w.remove(from)
		}
		w.Check()
		holds := to.holdings(from.Name)
		if len(holds) == 0 || w.made < len(holds) {
			t.Fatalf("%d records held, %d sent", len(holds), w.made)
		}
		shown := call(to, to.node.Records().Show, node.RecordRequest{Record: string(holds[0].Record), From: from.Name})
		if shown.Standard.Version.Major != 2 {
			t.Fatalf("a record of %s", shown.Standard)
		}
		token := []byte(shown.Token)
		caught := func(want string) {
			t.Helper()
			if why := w.tapRecord(from.Name, to.Name, string(x.doc.Name), token); (want == "") != (why == "") || !strings.Contains(why, want) {
				t.Errorf("%q, want %q", why, want)
			}
		}
		caught("")
		x.major = 1
		caught("over that major")
		x.major = 2
		fields := x.fields
		x.fields = fields[:1]
		caught("it shows /")
		x.fields = fields
		facts := from.facts
		from.facts = map[string]*fact{}
		caught("never written")
		for ref := range facts { // other values than were written
			from.facts[ref] = &fact{versions: []map[string]any{w.body(ref)}}
		}
		caught("never written")
		from.facts = facts
		w.sound()
	})
}
