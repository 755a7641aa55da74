package audit

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
)

// A council has replaced its record key since the auditor got its member file. That is
// no failure: the report says of the later key that it comes from the file alone. What
// the auditor's log key did not sign for, and what an auditor excluded by giving keys
// one by one, fails.
func TestLaterRecordKey(t *testing.T) {
	w := newTown(t)
	w.header.Covers, w.doc = Covers{}, nil
	old := w.trust()
	i, tok := w.record("N/1", "E07000999")
	w.include[i] = tok
	w.checkpoint(false)

	next, err := keys.Generate(northmoor)
	if err != nil {
		t.Fatal(err)
	}
	w.former = append(w.former, w.rings[northmoor].Record.Public())
	w.rings[northmoor].Record = next.Record
	i, tok = w.record("N/2", "E07000999")
	w.include[i] = tok
	w.checkpoint(false)
	w.standards = append(w.standards, w.std)
	b := w.bundle(10)

	r := verify(t, b, Options{Trust: old})
	if c, _ := r.Check(CheckKeys); r.Result == Failed || c.NotDone != 1 || !strings.Contains(c.Detail, next.Record.ID()+" is not in the member file that you gave") {
		t.Errorf("an old member file: %s, %+v", r.Result, c)
	}
	if r := verify(t, b, Options{Trust: w.trust()}); r.Result == Failed {
		t.Errorf("the new member file: %s", r.Result)
	}
	var listed Trust
	for _, u := range verify(t, b, Options{Trust: w.trust()}).Keys {
		if u.ID != next.Record.ID() {
			listed.Keys = append(listed.Keys, u.Key)
		}
	}
	if r := verify(t, b, Options{Trust: listed}); r.Result != Failed {
		t.Errorf("keys one by one, without the later one: %s", r.Result)
	}

	// Somebody without the log key lists it beside a key of their own.
	m := w.member(northmoor)
	w.rings[northmoor].Log = next.Log
	w.notes = nil
	w.checkpoint(false)
	forged := w.bundleOf(10, func(directory.Member) directory.Member { return m })
	if r := verify(t, forged, Options{Trust: old}); r.Result != Failed {
		t.Errorf("a checkpoint by another log key: %s", r.Result)
	}
}
