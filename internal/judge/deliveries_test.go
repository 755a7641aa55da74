package judge_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
	"github.com/stile-exchange/stile/internal/ledger"
)

// receiving returns a receiver that keeps a feed or notices, pages of one entry each;
// when the agreement is suspended the last is one of withdrawals.
func receiving(t *testing.T, w *judgetest.World, notices, suspended bool) judgetest.Give {
	var last *judgetest.Log
	l, j := newJudge(t, w, func() *judgetest.Log { return last })
	a := w.Doc.Name
	if notices {
		a = ""
	}
	src, err := l.OpenSource(t.Context(), w.Doc.From, a)
	if err != nil {
		t.Fatal(err)
	}
	return func(s *judgetest.Sent) judgetest.Verdict {
		last = s.Log
		c, err := j.Notices(w.Doc.From)
		if !notices {
			c, err = j.Under(w.Doc)
		}
		if err == nil {
			src, err = l.Source(w.Doc.From, a)
		}
		if err != nil {
			t.Fatal(err)
		}
		known := l.Known(w.Doc.From).Size
		items, table := judgetest.Packed(s)
		p := judge.Page{
			Told:      judge.Told{Checkpoint: s.Log.Checkpoint(), Consistency: s.Log.Consistency(known), From: known, By: w.Doc.From},
			Inclusion: s.Log.Inclusion(s.Index), Cursor: s.Log.Size(), Items: items, Table: table,
			Withdrawals: suspended && s.Last,
		}
		d, err := c.Delivery(t.Context(), src, p)
		switch {
		case errors.Is(err, judge.ErrWait):
			return judgetest.Waits
		case errors.Is(err, judge.ErrLied), errors.Is(err, ledger.ErrQuarantined):
			return judgetest.Denied
		case err != nil:
			t.Fatal(err)
		}
		if _, err := l.Receive(t.Context(), src, d); err != nil {
			t.Fatal(err)
		}
		if len(d.Refused) > 0 {
			return judgetest.Denied
		}
		return judgetest.Kept
	}
}

func newJudge(t *testing.T, w *judgetest.World, last func() *judgetest.Log) (*ledger.Ledger, *judge.Judge) {
	l, err := ledger.Open(ledger.Options{Council: judgetest.Receiver, Keys: w.Rings[judgetest.Receiver], InMemory: true, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Adopt(t.Context(), w.Standard); err != nil {
		t.Fatal(err)
	}
	return l, judge.New(judge.Options{Directory: w.Directory, Ledger: l, Standards: l.Standard, Last: l.Last, Now: w.Now, Prove: w.Prove(last)})
}

func TestFeed(t *testing.T) {
	judgetest.Run(t, judgetest.Path{Mode: agreement.Replicate, New: func(t *testing.T, w *judgetest.World) judgetest.Give {
		return receiving(t, w, false, false)
	}})
}

func TestNotices(t *testing.T) {
	judgetest.Run(t, judgetest.Path{Events: true, Mode: agreement.Replicate, New: func(t *testing.T, w *judgetest.World) judgetest.Give {
		return receiving(t, w, true, false)
	}})
}

func TestOutOfFootprint(t *testing.T) {
	judgetest.Run(t, judgetest.Path{Shared: true, Mode: agreement.Replicate, New: func(t *testing.T, w *judgetest.World) judgetest.Give {
		return receiving(t, w, false, false)
	}})
}

// TestSuspended: a record among withdrawals is refused whatever it is, and a
// withdrawal is judged as ever.
func TestSuspended(t *testing.T) {
	suspended := func(t *testing.T, w *judgetest.World) judgetest.Give { return receiving(t, w, false, true) }
	judgetest.Run(t, judgetest.Path{Suspended: true, Mode: agreement.Replicate, New: suspended, Other: map[string]judgetest.Verdict{"a checkpoint with a record key that comes later": judgetest.Waits}})
	// The log is asked first, and one that a member shows shorter is waited for.
	judgetest.Run(t, judgetest.Path{Shared: true, Suspended: true, Mode: agreement.Replicate, New: suspended, Other: map[string]judgetest.Verdict{"rollback": judgetest.Waits}})
}

// TestIntoFootprint: what a council brings into a footprint. It stands in no log yet,
// and whether it follows on what is there its members decide, by their log.
func TestIntoFootprint(t *testing.T) {
	const members, noLog = "its members decide, by what stands in their log", "it stands in no log yet"
	judgetest.Run(t, judgetest.Path{
		Mode: agreement.Replicate, NoLog: true,
		New: func(t *testing.T, w *judgetest.World) judgetest.Give {
			l, j := newJudge(t, w, nil)
			return func(s *judgetest.Sent) judgetest.Verdict {
				switch why := j.Brought(w.Doc, l.Standard, [][]byte{s.Token}); {
				case why == "":
					return judgetest.Kept
				case strings.Contains(why, judge.ErrWait.Error()):
					return judgetest.Waits
				}
				return judgetest.Denied
			}
		},
		Skip: map[string]string{
			"an old version": members, "another version of the same number": members, "replay": members, "an earlier version after its withdrawal": members,
			"the same version, let out again after its withdrawal": members, "fork": noLog, "rollback": noLog,
			"replay of a withdrawal": members, "fork with a withdrawal": noLog,
			"a revoked key, from an index on": noLog, "a revoked key, before the index": noLog,
		},
		Other: map[string]judgetest.Verdict{"a record without a signature of its own": judgetest.Denied},
	})
}
