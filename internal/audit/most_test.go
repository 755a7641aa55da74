package audit

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
)

// More than a text lets go, in all or in a day, is found from the logged disclosures; a version
// of a record that went before is no more in all, and is one more in a day.
func TestMoreThanTheBound(t *testing.T) {
	for _, x := range []struct {
		about  string
		most   agreement.Most
		want   Result
		broken string
	}{
		{"as many as may", agreement.Most{All: 2, Day: 2}, OK, ""},
		{"more in all", agreement.Most{All: 1}, Failed, "disclosures of 2 records to saltby.gov.uk under version 1, which lets 1 go in all"},
		{"more in a day", agreement.Most{Day: 1}, Failed, "disclosures of 2 versions to saltby.gov.uk on "},
	} {
		w := newTown(t)
		w.doc.Most = x.most
		w.now = w.now/86400*86400 + 12*3600 // no midnight is near
		w.agree()
		a, first := w.record("R-1", "E07000999")
		b, second := w.record("R-2", "E07000999")
		w.send(map[uint64][]byte{a: first, b: second})
		w.now += 86400
		c, again := w.record("R-1", "E07000999")
		w.send(map[uint64][]byte{c: again})
		w.receipt([]uint64{a, b, c}, nil)
		w.checkpoint(true)
		r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()})
		if x.want == OK {
			expect(t, r, CheckInForce, OK, "No more went to saltby.gov.uk under version 1 than it lets go (2 in all, 2 a day).")
			continue
		}
		got, _ := r.Check(CheckInForce)
		if got.Result != Failed || len(got.Failures) != 1 || !strings.Contains(got.Failures[0].Rule, x.broken) {
			t.Errorf("%s: %s, %+v", x.about, got.Result, got.Failures)
		}
	}
}
