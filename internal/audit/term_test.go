package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What was deleted when its term was over is in order, and what is missing is named once
// the term of that is over too: by its entry, and as no fault of who made the file.
func TestDeletedAtTerm(t *testing.T) {
	w := newTown(t)
	second := w.atTerm(0)
	w.header.Created = time.Unix(w.now, 0).UTC().AddDate(0, 11, 0)
	r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()})
	expect(t, r, CheckReceipts, OK, "saltby.gov.uk signed that it deleted 1 record, since the time was over")
	for _, c := range r.Checks {
		if c.Name == CheckReceipts && strings.Contains(c.Detail, "no word by") {
			t.Errorf("a record is missed before its term was over: %s", c.Detail)
		}
	}
	w.header.Created = time.Unix(w.now, 0).UTC().AddDate(1, 0, 4)
	r = verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()})
	expect(t, r, CheckReceipts, OK, fmt.Sprintf("For 1 record the term of the agreement was over, and no word by saltby.gov.uk that it deleted them is in the file: entries %d.", second))
}
