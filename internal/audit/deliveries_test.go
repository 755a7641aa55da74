package audit_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
	"github.com/stile-exchange/stile/internal/tlog"
)

// An auditor is given a bundle after every entry: all entries of the log so far that
// it was given before, what makes an honest bundle of them, and every checkpoint that
// the log has signed. Of a fork those of the other history are among them.
type auditor struct {
	w       *judgetest.World
	events  bool // nothing in it went to anybody
	given   []*judgetest.Sent
	support map[*judgetest.Log][]*judgetest.Sent
	notes   map[uint64][]byte
}

// log puts an event of the council that a good key has signed into a log.
func (a *auditor) log(l *judgetest.Log, kind string, body map[string]any) {
	a.support[l] = append(a.support[l], a.w.Event(l, judgetest.Sender, a.w.Second, kind, body))
}

func (a *auditor) give(s *judgetest.Sent) judgetest.Verdict {
	w, l := a.w, s.Log
	if slices.Contains(a.given, s) { // it stands in the log once more
		entry, err := judge.Entry(s.Token)
		a.must(err)
		s = l.Add(s.Token, entry)
	}
	a.given = append(a.given, s)
	if a.support[l] == nil {
		a.log(l, event.KindStandardAdopted, event.StandardAdopted{Standard: w.Standard.Name(), Integrity: w.Standard.Integrity()}.Body())
		a.log(l, event.KindAgreementProposal, agreement.Proposal{Agreement: w.Doc}.Body())
		a.log(l, event.KindAgreementSignature, agreement.Signature{Ref: w.Doc.Ref()}.Body())
	}
	if !a.events {
		a.log(l, event.KindDisclosure, event.Disclosure{Agreement: w.Doc.Name, Version: 1, To: judgetest.Receiver, Entries: []uint64{s.Index}}.Body())
	}
	return a.judge(l)
}

func (a *auditor) must(err error) {
	a.w.T.Helper()
	if err != nil {
		a.w.T.Fatal(err)
	}
}

// judge writes the bundle of a log and has it verified.
func (a *auditor) judge(l *judgetest.Log) judgetest.Verdict {
	w := a.w
	var out bytes.Buffer
	b, err := audit.NewWriter(&out, audit.Header{Council: judgetest.Sender, Created: w.Now(), Covers: audit.Covers{Agreement: w.Doc.Name}})
	a.must(err)
	var entries []audit.Entry
	var indexes []uint64
	for _, s := range slices.SortedFunc(slices.Values(append(slices.Clone(a.given), a.support[l]...)), func(x, y *judgetest.Sent) int { return int(x.Index) - int(y.Index) }) {
		if s.Log == l {
			entries, indexes = append(entries, audit.Entry{Index: s.Index, Token: s.Token}), append(indexes, s.Index)
		}
	}
	proof, err := tlog.SplitHashes(l.Inclusion(indexes...))
	a.must(err)
	a.must(b.AddEntries(entries, proof))
	a.notes[l.Size()] = l.Checkpoint()
	for size, note := range a.notes {
		consistency, err := tlog.SplitHashes(l.Consistency(size))
		a.must(err)
		a.must(b.AddCheckpoint(note, consistency))
	}
	members := w.Directory.Members()
	for _, m := range members {
		if m.Council == judgetest.Sender || m.Council == judgetest.Receiver {
			a.must(b.AddMember(m.YAML()))
		}
	}
	a.must(b.AddStandard(w.Standard))
	a.must(b.AddAgreement(w.Doc))
	theirs := w.Event(w.NewLog(judgetest.Receiver), judgetest.Receiver, w.Rings[judgetest.Receiver], event.KindAgreementSignature, agreement.Signature{Ref: w.Doc.Ref()}.Body())
	a.must(b.AddEvent(judgetest.Receiver, theirs.Token))
	a.must(b.Close())
	r, err := audit.Verify(bytes.NewReader(out.Bytes()), int64(out.Len()), audit.Options{Trust: audit.Trust{Members: members}})
	a.must(err)
	if r.OK() {
		return judgetest.Kept
	}
	for _, c := range r.Checks {
		for _, f := range c.Failures {
			w.T.Logf("%s: %+v", c.Name, f)
		}
	}
	return judgetest.Denied
}

// TestDeliveries: what no path may take fails in a bundle, and what was honest does
// not. An auditor comes after: it waits for nothing, what it cannot check fails.
func TestDeliveries(t *testing.T) {
	auditing := func(events bool) func(t *testing.T, w *judgetest.World) judgetest.Give {
		return func(t *testing.T, w *judgetest.World) judgetest.Give {
			return (&auditor{w: w, events: events, support: map[*judgetest.Log][]*judgetest.Sent{}, notes: map[uint64][]byte{}}).give
		}
	}
	const denied, gone = judgetest.Denied, "who has gone back has no checkpoint of before to put into its bundle: its partners have, see TestEvidence"
	judgetest.Run(t, judgetest.Path{
		Mode: agreement.Replicate, New: auditing(false),
		Skip: map[string]string{"rollback": gone},
		Other: map[string]judgetest.Verdict{
			"an unknown key that comes later": denied, "no signature, and a key that comes later in the header": denied, "a checkpoint with a record key that comes later": denied, "a withdrawal with an unknown key that comes later": denied,
			// That the clock was ahead is a note.
			"issued in a week, or our clock is slow": judgetest.Kept,
			// What stands behind the record, its disclosure among it, the revoked key said.
			"a checkpoint with a record key that is revoked from the next entry on": denied,
			// A log holds what goes out under every agreement.
			"a withdrawal under another agreement": judgetest.Kept,
			// The case has the entry in the log a second time, which its council never does.
			"the same version, let out again after its withdrawal": denied,
		},
	})
	judgetest.Run(t, judgetest.Path{
		Mode: agreement.Replicate, Events: true, New: auditing(true),
		Skip:  map[string]string{"rollback of a log of events": gone},
		Other: map[string]judgetest.Verdict{"an event with an unknown key that comes later": denied},
	})
}
