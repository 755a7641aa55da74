package audit

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
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

// A council has replaced its log key since the auditor got its member file. That is no
// failure where a record key that the auditor gave signed the checkpoint, too; whoever lists
// the auditor's keys beside a log key and a record key of their own fails, and so does an old log key
// beyond the size up to which it counts.
func TestLaterLogKey(t *testing.T) {
	w := newTown(t)
	w.header.Covers, w.doc = Covers{}, nil
	old := w.trust()
	first := w.rings[northmoor].Log
	for _, ref := range []string{"N/0", "N/1"} {
		i, tok := w.record(ref, "E07000999")
		w.include[i] = tok
	}
	w.checkpoint(false)
	bound := w.tree.Size()

	next, err := keys.Generate(northmoor)
	if err != nil {
		t.Fatal(err)
	}
	w.rings[northmoor].Log = next.Log
	i, tok := w.record("N/2", "E07000999")
	w.include[i] = tok
	w.checkpoint(false)
	w.standards = append(w.standards, w.std)
	listed := func(to uint64) func(directory.Member) directory.Member {
		return func(m directory.Member) directory.Member {
			if m.Council == northmoor {
				m.LogAlso = []tlog.OtherKey{{Key: first.Verifier(), To: to}}
				m.WitnessKey = first.CosignerVerifier()
			}
			return m
		}
	}
	b := w.bundleOf(10, listed(bound))
	r := verify(t, b, Options{Trust: old})
	if c, _ := r.Check(CheckKeys); r.Result == Failed || !strings.Contains(c.Detail, "The log key "+next.Log.Verifier()+" is not in the member file that you gave") {
		t.Errorf("an old member file: %s\n%s", r.Result, text(r))
	}
	m := listed(bound)(w.member(northmoor))
	now := Trust{Members: []directory.Member{m, w.member(saltby)}}
	if r := verify(t, b, Options{Trust: now}); r.Result == Failed {
		t.Errorf("the new member file: %s\n%s", r.Result, text(r))
	}
	m.LogAlso = []tlog.OtherKey{{Key: first.Verifier(), To: bound - 1}}
	if r := verify(t, b, Options{Trust: Trust{Members: []directory.Member{m, w.member(saltby)}}}); r.Result != Failed {
		t.Errorf("the old key signed a larger log than it may: %s", r.Result)
	}

	// Somebody with neither key lists both beside their own.
	w.former = append(w.former, w.rings[northmoor].Record.Public())
	w.rings[northmoor].Record = next.Record
	w.notes = nil
	w.checkpoint(false)
	if r := verify(t, w.bundleOf(10, listed(bound)), Options{Trust: old}); r.Result != Failed {
		t.Errorf("another log key and another record key: %s", r.Result)
	}
}
