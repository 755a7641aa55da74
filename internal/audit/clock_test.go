package audit

import (
	"fmt"
	"strings"
	"testing"
)

// What was honestly made by a clock that was an hour ahead does not fail, then or ever:
// it is noted with its entries, and so is the step back once the clock was put right.
func TestClockThatWasAhead(t *testing.T) {
	w := newTown(t)
	w.live(6)
	w.checkpoint(true)
	first := w.tree.Size()
	w.now += 3600
	w.event("notice", map[string]any{})
	w.event("notice", map[string]any{})
	w.now -= 3600 // of the witness, and of ours once it is right
	w.checkpoint(true)
	w.event("notice", map[string]any{})
	w.checkpoint(true)
	r := verify(t, w.bundle(4), Options{Trust: w.trust()})
	c, _ := r.Check(CheckTimes)
	if !r.OK() || c.Failed != 0 || c.NotDone != 2 {
		t.Errorf("times: %+v\n%s", c, text(r))
	}
	for _, want := range []string{
		fmt.Sprintf("2 entries claim times (entries %d to %d) later than a witness saw the log with it, by up to 60 minutes: the clock of northmoor.gov.uk was ahead", first, first+1),
		fmt.Sprintf("the times step back once, by up to 59 minutes, at entry %d", first+2),
	} {
		if !strings.Contains(c.Detail, want) {
			t.Errorf("it does not say %q:\n%s", want, c.Detail)
		}
	}
}
