package judge_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
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
	const (
		members, noLog = "its members decide, by what stands in their log", "it stands in no log yet"
		sealed         = "its page is sealed and it has no signature: see TestSpoiltPages"
	)
	judgetest.Run(t, judgetest.Path{
		Mode: agreement.Replicate, NoLog: true,
		New: func(t *testing.T, w *judgetest.World) judgetest.Give {
			l, j := newJudge(t, w, nil)
			return func(s *judgetest.Sent) judgetest.Verdict {
				switch why := j.Brought(w.Doc, l.Standard, broughtPage(t, w, s)); {
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
			"a malleated signature": sealed, "a signature of something else": sealed,
		},
	})
}

// broughtPage makes a page of one entry, sealed by whoever signed it.
func broughtPage(t *testing.T, w *judgetest.World, s *judgetest.Sent) judge.BroughtPage {
	t.Helper()
	token := s.Token
	if tok, err := record.Parse(token); err == nil {
		token = tok.Bare().Bytes()
	}
	return seal(t, w, s.By, judge.BroughtPage{Footprint: judgetest.Fens, Since: 2, Next: 5, Tokens: [][]byte{token}})
}

func seal(t *testing.T, w *judgetest.World, by *keys.Ring, p judge.BroughtPage) judge.BroughtPage {
	t.Helper()
	var entries []tlog.Hash
	for _, token := range p.Tokens {
		entry, err := judge.Entry(token)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	page := record.Page{Footprint: p.Footprint, Council: judgetest.Sender, Agreement: w.Doc.Name, Since: p.Since, Next: p.Next}.Over(entries)
	var err error
	if p.Seal, err = page.Sign(by.Record); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSpoiltPages: a page that is not as its council sealed it, or not with a key that it
// may use, is not passed on, and neither is a record that is signed twice.
func TestSpoiltPages(t *testing.T) {
	w := judgetest.New(t, false, agreement.Replicate)
	l, j := newJudge(t, w, nil)
	one, two := w.Filler(w.Log), w.Filler(w.Log)
	page := func() judge.BroughtPage {
		var tokens [][]byte
		for _, s := range []*judgetest.Sent{one, two} {
			tok, err := record.Parse(s.Token)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, tok.Bare().Bytes())
		}
		return seal(t, w, w.Second, judge.BroughtPage{Footprint: judgetest.Fens, Since: 2, Next: 5, Tokens: tokens})
	}
	if why := j.Brought(w.Doc, l.Standard, page()); why != "" {
		t.Errorf("an honest page: %s", why)
	}
	for what, c := range map[string]struct {
		want  string
		spoil func(*judge.BroughtPage)
	}{
		"another footprint":    {judge.RuleSignature, func(p *judge.BroughtPage) { p.Footprint = "wolds.example" }},
		"another beginning":    {judge.RuleSignature, func(p *judge.BroughtPage) { p.Since = 1 }},
		"another end":          {judge.RuleSignature, func(p *judge.BroughtPage) { p.Next = 6 }},
		"an entry less":        {judge.RuleSignature, func(p *judge.BroughtPage) { p.Tokens = p.Tokens[:1] }},
		"an entry more":        {judge.RuleSignature, func(p *judge.BroughtPage) { p.Tokens = append(p.Tokens, p.Tokens[0]) }},
		"another order":        {judge.RuleSignature, func(p *judge.BroughtPage) { slices.Reverse(p.Tokens) }},
		"another signature":    {judge.RuleSignature, func(p *judge.BroughtPage) { p.Seal.Signature[7] ^= 1 }},
		"no signature":         {judge.RuleSignature, func(p *judge.BroughtPage) { p.Seal.Signature = nil }},
		"another key":          {judge.RuleSignature, func(p *judge.BroughtPage) { p.Seal.Key = w.Rings[judgetest.Sender].Record.ID() }},
		"another council's":    {judge.RuleKey, func(p *judge.BroughtPage) { *p = seal(t, w, w.Rings[judgetest.Other], *p) }},
		"a key not known yet":  {judge.ErrWait.Error(), func(p *judge.BroughtPage) { *p = seal(t, w, w.Later, *p) }},
		"a record signed also": {judge.RuleSealedOnce, func(p *judge.BroughtPage) { p.Tokens[1] = two.Token }},
	} {
		p := page()
		c.spoil(&p)
		if why := j.Brought(w.Doc, l.Standard, p); !strings.Contains(why, c.want) {
			t.Errorf("%s: %q, want %q", what, why, c.want)
		}
	}
	// What held a moment ago holds no more once the key is revoked.
	m, _ := w.Directory.Member(judgetest.Sender)
	m.Revocations = []directory.Revocation{{KID: w.Second.Record.ID(), FromIndex: 100}}
	var all []directory.Member
	for _, o := range w.Directory.Members() {
		if o.Council == m.Council {
			o = m
		}
		all = append(all, o)
	}
	if err := w.Directory.Replace(all, nil); err != nil {
		t.Fatal(err)
	}
	if why := j.Brought(w.Doc, l.Standard, page()); !strings.Contains(why, judge.RuleRevoked) {
		t.Errorf("a revoked key: %q", why)
	}
}
