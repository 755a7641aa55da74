package footprint

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestSpoiltPages: a page that is not as its contributor sealed it, whoever spoilt it on
// its way, the leader among them, is refused as a whole by every member alike, and moves
// nothing.
func TestSpoiltPages(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		a, b := places[0], places[1]
		const agreed = "northmoor.gov.uk/items"
		var es []Entry
		for i := range 4 {
			es = append(es, w.token(a, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		own := func() group { return w.sealed(group{contributor: a, entries: slices.Clone(es[:3])}) }
		page := func() group {
			return w.sealed(group{contributor: a, agreement: agreed, since: 0, cursor: 7, entries: slices.Clone(es[:3])})
		}
		signed := func(e Entry) Entry {
			tok := check(e).token
			sig, err := w.rings[a].Record.Sign(tok.SigningInput())
			if err != nil {
				t.Fatal(err)
			}
			return Entry{Token: tok.Seal(sig).Bytes()}
		}
		sealedFor := func(fp name.Council, g group) group {
			var err error
			if g.seal, err = SealPage(w.rings[a].Record, fp, g.contributor, g.agreement, g.since, g.cursor, g.entries); err != nil {
				t.Fatal(err)
			}
			return g
		}
		before := w.leader().Size()
		for what, c := range map[string]struct {
			g     group
			spoil func(*group)
		}{
			"a byte of an entry": {own(), func(g *group) {
				tok := bytes.Clone(g.entries[1].Token)
				at := bytes.IndexByte(tok, '.') + 8
				tok[at] = map[bool]byte{true: 'A', false: 'B'}[tok[at] != 'A']
				g.entries[1].Token = tok
			}},
			"another record":            {own(), func(g *group) { g.entries[1] = es[3] }},
			"a record less":             {own(), func(g *group) { g.entries = g.entries[:2] }},
			"a record more":             {own(), func(g *group) { g.entries = append(g.entries, es[3]) }},
			"a record twice":            {own(), func(g *group) { g.entries[2] = g.entries[1] }},
			"another order":             {page(), func(g *group) { slices.Reverse(g.entries) }},
			"another beginning":         {page(), func(g *group) { g.cursor, g.since = 8, 1 }},
			"another end":               {page(), func(g *group) { g.cursor = 8 }},
			"another agreement":         {page(), func(g *group) { g.agreement = "northmoor.gov.uk/others" }},
			"no agreement":              {page(), func(g *group) { g.agreement, g.cursor = "", 0 }},
			"an agreement":              {own(), func(g *group) { g.agreement, g.cursor = agreed, 7 }},
			"another's page":            {own(), func(g *group) { g.contributor = b }},
			"another signature":         {own(), func(g *group) { g.seal.Signature[5] ^= 1 }},
			"another key":               {own(), func(g *group) { g.seal.Key = w.rings[b].Record.ID() }},
			"another's seal":            {own(), func(g *group) { *g = w.sealedBy(b, *g) }},
			"no seal":                   {own(), func(g *group) { g.seal = record.PageSeal{} }},
			"no seal of an empty page":  {page(), func(g *group) { g.entries, g.seal = []Entry{w.withdrawal(a, agreed)}, record.PageSeal{} }},
			"another footprint's":       {sealedFor("wolds.example", own()), func(*group) {}},
			"a record that is signed":   {own(), func(g *group) { g.entries[1] = signed(g.entries[1]); *g = w.sealed(*g) }},
			"a seal where none belongs": {w.sealed(group{contributor: a, entries: []Entry{w.withdrawal(a, agreed)}}), func(*group) {}},
			"what is no record": {own(), func(g *group) {
				g.entries[1].Token = []byte("a.b.c~")
				*g = w.sealed(*g)
			}},
		} {
			c.spoil(&c.g)
			for i, o := range w.propose(c.g).outcomes[0] {
				if o.Code != Refused || o.Rule != RuleSeal && o.Rule != RuleKey {
					t.Errorf("%s: entry %d: %+v", what, i, o)
				}
			}
		}
		w.same()
		if n := w.leader().Size(); n != before {
			t.Errorf("the log grew by %d", n-before)
		}
		if n, err := w.at(b).ContributedBy(a, agreed); err != nil || n != 0 {
			t.Errorf("the cursor moved to %d, %v", n, err)
		}
		// An honest member says so too, and keeps it against who offers it.
		from := other(w.leader().o.Self)
		g := w.sealed(group{contributor: from, entries: []Entry{w.token(from, "x", 1, tlog.Hash{}), w.token(from, "y", 1, tlog.Hash{})}})
		g.entries = g.entries[:1]
		r, err := w.at(from).forward(t.Context(), w.leader().o.Self, g)
		if err != nil || r.Outcomes[0].Rule != RuleSeal {
			t.Errorf("offered to an honest leader: %+v, %v", r, err)
		}
		if ev, err := w.leader().Evidence(); err != nil || !slices.ContainsFunc(ev, func(e Evidence) bool { return e.Council == from }) {
			t.Errorf("evidence: %+v, %v", ev, err)
		}
		for _, g := range []group{page(), own()} {
			if out := w.propose(g).outcomes[0]; slices.ContainsFunc(out, func(o Outcome) bool { return o.Code == Refused }) {
				t.Errorf("an honest page: %+v", out)
			}
		}
		w.same()
	})
}

func (w *fens) withdrawal(c name.Council, a name.Agreement) Entry {
	rec := w.rings[c].RecordID(w.std.Name().Line(), "item-0")
	return w.event(c, event.KindWithdrawal, event.Withdrawal{Agreement: a, Version: 1, Record: rec, Reason: "over"}.Body())
}

// TestRevokedKey: a page that is sealed with a key that the directory has revoked goes
// nowhere, whatever keys its records name; and one that is sealed with a good key is
// taken, although its records name a key that is no more.
func TestRevokedKey(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		c := places[1]
		next, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		m := w.book[c]
		m.RecordKeys = append(slices.Clone(m.RecordKeys), next.Record.Public())
		w.book[c] = m
		w.form(3)
		old := w.rings[c].Record.ID()
		w.put(c, w.token(c, "before", 1, tlog.Hash{}))
		w.same() // nobody looks into the book while it is changed
		m.Revocations = []directory.Revocation{{KID: old, FromIndex: 1 << 40}}
		w.book[c] = m
		if r, err := w.at(c).Put(t.Context(), w.token(c, "after", 1, tlog.Hash{})); err != nil || r.Outcomes[0].Rule != RuleKeyNot {
			t.Errorf("sealed with a revoked key: %+v, %v", r, err)
		}
		rotated := *w.rings[c]
		rotated.Record = next.Record
		w.tune = func(o *Options) {
			if o.Self == c {
				o.Keys = &rotated
			}
		}
		w.stop(c)
		w.start(c)
		w.put(c, w.token(c, "after", 1, tlog.Hash{}))
		w.same()
	})
}

// TestShownAlone: each record of the ledger, on every member, verifies for whoever has
// its contributor's key alone, however its page was made up: with duplicates, with what
// was refused, of one record or a thousand; after a restart and out of a snapshot, too.
func TestShownAlone(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		a, b := places[0], places[1]
		var es []Entry
		for i := range 1300 {
			es = append(es, w.token(a, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		w.put(a, es[:2]...)
		w.put(b, w.token(b, "theirs", 1, tlog.Hash{}))
		// The first two are there; the one that breaks its standard the leader refuses,
		// and what is left goes in as another page; the others not even applying takes.
		bad := w.token(a, "bad", 1, tlog.Hash{}, "ward", "far too long a ward")
		first := check(es[5]).token.Entry()
		mixed := slices.Concat(es[:9], []Entry{bad, w.token(a, "item-5", 2, first), w.token(a, "item-6", 1, tlog.Hash{}, "ward", "Y")}, es[9:20], es[5:6])
		r, err := w.at(a).Put(t.Context(), mixed...)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range r.Outcomes {
			want := Accepted
			switch {
			case i < 2:
				want = Duplicate
			case i == 9, i == 11:
				want = Refused
			case i == len(mixed)-1:
				want = Duplicate
			}
			if o.Code != want {
				t.Errorf("entry %d: %+v, want %d", i, o, want)
			}
		}
		w.put(a, es[20:]...)
		shown := func(c name.Council) (n int) {
			f := w.at(c)
			if err := f.Entries(0, func(h *Held) bool {
				tok, err := f.Sealed(h, h.Token)
				if err != nil {
					t.Errorf("%s: entry %d: %v", c, h.Index, err)
					return false
				}
				if h.View == nil {
					return true
				}
				n++
				again, err := record.Parse(tok.Bytes())
				if err != nil || again.Verify(w.rings[h.View.Council].Record.Public()) != nil || again.Page().Footprint != fensName {
					t.Errorf("%s: entry %d does not verify, %v", c, h.Index, err)
				}
				return true
			}); err != nil {
				t.Error(err)
			}
			return n
		}
		w.same()
		want := len(es) + 2 // and theirs, and the second version
		for _, c := range places[:3] {
			if n := shown(c); n != want {
				t.Errorf("%s holds %d records, want %d", c, n, want)
			}
		}
		away := other(w.leader().o.Self)
		w.stop(away)
		w.gen[away]++
		w.admitBack(away)
		w.same()
		if n := shown(away); n != want {
			t.Errorf("out of a snapshot: %d records, want %d", n, want)
		}
		w.stop(away)
		time.Sleep(time.Second)
		w.start(away)
		w.same()
		if n := shown(away); n != want {
			t.Errorf("after a restart: %d records, want %d", n, want)
		}
		ev, err := w.at(b).Evidence()
		if err != nil || len(ev) != 1 {
			t.Fatalf("evidence: %+v, %v", ev, err)
		}
		w.signed(ev[0])
	})
}

// TestOffer: what is not refused comes again without what is, until something became of
// each, in its place.
func TestOffer(t *testing.T) {
	var sent [][]Entry
	es := []Entry{{Token: []byte("a")}, {Token: []byte("b")}, {Token: []byte("c")}, {Token: []byte("d")}}
	got, err := Offer(es, func(page []Entry) (Receipt, error) {
		sent = append(sent, page)
		out := make([]Outcome, len(page))
		for i, e := range page {
			switch {
			case e.Token[0] == 'b' || e.Token[0] == 'd' && len(sent) > 1:
				out[i] = refused("x")
			case len(sent) < 3:
				out[i] = Outcome{Code: Again}
			default:
				out[i] = Outcome{Code: Accepted, Entry: uint64(e.Token[0])}
			}
		}
		return Receipt{Position: uint64(len(sent)), Outcomes: out}, nil
	})
	want := []Outcome{{Code: Accepted, Entry: 'a'}, refused("x"), {Code: Accepted, Entry: 'c'}, refused("x")}
	if err != nil || got.Position != 3 || !slices.Equal(got.Outcomes, want) || len(sent) != 3 || len(sent[2]) != 2 {
		t.Errorf("%+v, %v after %d pages", got, err, len(sent))
	}
	_, err = Offer(es, func(page []Entry) (Receipt, error) {
		return Receipt{Outcomes: slices.Repeat([]Outcome{{Code: Again}}, len(page))}, nil
	})
	if err == nil {
		t.Error("a page that is to come again for nothing goes on for ever")
	}
}
