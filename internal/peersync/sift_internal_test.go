package peersync

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// about is the agreements of a council that is party to those with "ours" in their events,
// and has so many proposals waiting.
type about struct {
	Agreements
	waiting int
}

func (a about) Concerns(ev *record.Event) bool                                   { return ev.Body["ours"] == true }
func (a about) Waiting(name.Council, time.Time) int                              { return a.waiting }
func (a about) InForce(name.Agreement, time.Time) (*agreement.Agreement, string) { return nil, "" }

// Of the notices of a council with whom nothing is agreed nothing is kept that is about
// others, and no more proposals than may wait: what is beyond is refused with a reason, and counted.
func TestSift(t *testing.T) {
	const stranger = name.Council("hexwell.gov.uk")
	ring, err := keys.Generate(stranger)
	if err != nil {
		t.Fatal(err)
	}
	item := func(i uint64, kind string, ours bool) ledger.PageItem {
		tok, err := record.BuildEvent(record.Event{Council: stranger, IssuedAt: 1, Kind: kind, Body: map[string]any{"ours": ours}}, ring.Record.ID())
		if err != nil {
			t.Fatal(err)
		}
		sig, err := ring.Record.Sign(tok.SigningInput())
		if err != nil {
			t.Fatal(err)
		}
		return ledger.PageItem{Index: i, Token: tok.Seal(sig).Bytes()}
	}
	for _, tt := range []struct {
		what                    string
		waiting, ours, others   int
		kept, refused, passedBy int
	}{
		{"all about others", 0, 0, 500, 0, 0, 500},
		{"a first proposal", 0, 1, 0, 1, 0, 0},
		{"more than may wait", 0, 80, 10, 50, 30, 10},
		{"when all wait already", 50, 3, 0, 0, 3, 0},
		{"room for two", 48, 3, 0, 2, 1, 0},
	} {
		k, err := quota.Open(quota.Options{Partner: func(name.Council) bool { return false }, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		s := &Syncer{o: Options{Quota: k, Agreements: about{waiting: tt.waiting}, Now: time.Now}}
		d := &ledger.Delivery{}
		for i := range tt.ours + tt.others {
			d.Events = append(d.Events, item(uint64(i), event.KindAgreementProposal, i < tt.ours))
		}
		s.sift(jobKey{council: stranger}, d)
		counts := map[quota.Kind]int{}
		for _, r := range k.Refused() {
			counts[r.Kind] += int(r.Count)
		}
		if len(d.Events) != tt.kept || len(d.Refused) != tt.refused || counts[quota.Others] != tt.passedBy || counts[quota.Proposals] != tt.refused {
			t.Errorf("%s: kept %d, refused %d, counted %v", tt.what, len(d.Events), len(d.Refused), counts)
		}
		for i, r := range d.Refused {
			if r.Rule != ruleProposals || r.From != stranger || r.Index != uint64(tt.kept+i) {
				t.Errorf("%s: refusal %+v", tt.what, r)
			}
		}
		// What goes out under an agreement is not notices, and is left alone.
		d = &ledger.Delivery{Events: []ledger.PageItem{item(0, event.KindAgreementProposal, false)}}
		s.sift(jobKey{council: stranger, agreement: "hexwell.gov.uk/x"}, d)
		if len(d.Events) != 1 {
			t.Errorf("%s: an event under an agreement was taken out", tt.what)
		}
	}
}

// A partner begins so many cases a day, and then nothing more of it is fetched until the next.
func TestSiftCases(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const partner = name.Council("saltby.gov.uk")
	ring, err := keys.Generate(partner)
	if err != nil {
		t.Fatal(err)
	}
	k, err := quota.Open(quota.Options{Partner: func(name.Council) bool { return true }, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s := &Syncer{o: Options{Quota: k, Agreements: about{}, Now: func() time.Time { return now }}}
	d := &ledger.Delivery{}
	for i, kind := range []string{event.KindHandoverOffer, event.KindUrgentAsked, event.KindUrgentDecided, event.KindHandoverAnswer, event.KindHandoverOffer} {
		tok, err := record.BuildEvent(record.Event{Council: partner, IssuedAt: 1, Kind: kind, Body: map[string]any{"ours": i < 4}}, ring.Record.ID())
		if err != nil {
			t.Fatal(err)
		}
		sig, err := ring.Record.Sign(tok.SigningInput())
		if err != nil {
			t.Fatal(err)
		}
		d.Events = append(d.Events, ledger.PageItem{Index: uint64(i), Token: tok.Seal(sig).Bytes()})
	}
	s.sift(jobKey{council: partner}, d)
	if used := k.Used(partner, quota.Cases); len(d.Events) != 4 || used != 3 {
		t.Errorf("%d events are kept, and %d cases counted", len(d.Events), used)
	}
	k.Use(partner, quota.Cases, quota.Of(quota.Cases).Partner-4)
	if err := s.roomFor(jobKey{council: partner}, partner); err != nil {
		t.Errorf("one case is left: %v", err)
	}
	k.Use(partner, quota.Cases, 1)
	if s.roomFor(jobKey{council: partner}, partner) == nil || s.roomFor(jobKey{council: partner, agreement: "saltby.gov.uk/x"}, partner) != nil {
		t.Error("its cases of the day are used up, and its notices are fetched, or its records are not")
	}
	if now = now.Add(24 * time.Hour); s.roomFor(jobKey{council: partner}, partner) != nil {
		t.Error("a day later nothing more is fetched")
	}
}

// Once its notices of the day, or those that are kept at all, are used up, no more are
// fetched of a stranger; of a partner they still are.
func TestRoomFor(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const stranger, partner = name.Council("hexwell.gov.uk"), name.Council("saltby.gov.uk")
	k, err := quota.Open(quota.Options{Partner: func(c name.Council) bool { return c == partner }, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s := &Syncer{o: Options{Quota: k, Now: func() time.Time { return now }}}
	for _, c := range []name.Council{stranger, partner} {
		k.Use(c, quota.Notices, quota.Of(quota.Notices).Stranger)
	}
	room := func(k jobKey) bool { return s.roomFor(k, k.council) == nil }
	if room(jobKey{council: stranger}) || !room(jobKey{council: partner}) || !room(jobKey{council: stranger, agreement: "hexwell.gov.uk/x"}) {
		t.Error("the notices of the day are used up, by a stranger")
	}
	now = now.Add(24 * time.Hour)
	if !room(jobKey{council: stranger}) {
		t.Error("a day later nothing more is fetched")
	}
	k.Use(stranger, quota.Kept, quota.Of(quota.Kept).Stranger)
	if now = now.Add(48 * time.Hour); room(jobKey{council: stranger}) {
		t.Error("all that may be kept of it is kept, and more is fetched")
	}
	// Pages are counted for whoever sends them, which of a footprint's log is one of its members.
	for _, c := range []name.Council{stranger, partner} {
		k.Use(c, quota.Pages, quota.Of(quota.Pages).Stranger)
	}
	under := jobKey{council: "fens.stile.example", agreement: "fens.stile.example/x"}
	if s.roomFor(under, stranger) == nil || s.roomFor(under, partner) != nil {
		t.Error("the pages of the minute are used up, by a stranger")
	}
	if now = now.Add(time.Minute); s.roomFor(under, stranger) != nil {
		t.Error("a minute later no page is fetched")
	}
}
