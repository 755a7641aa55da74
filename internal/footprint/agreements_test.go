package footprint

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestSigning: the footprint has said what a majority of its members have said
// of one document, once, and all members see it at the same place.
func TestSigning(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		body := func(digest string) map[string]any {
			return map[string]any{"agreement": "northmoor.gov.uk/items", "version": json.Number("1"), "digest": strings.Repeat(digest, 64)}
		}
		w.put(places[0], w.event(places[0], event.KindAgreementProposal, body("a")))
		w.put(places[0], w.event(places[0], event.KindAgreementSignature, body("a")))
		w.put(places[1], w.event(places[1], event.KindAgreementSignature, body("b"))) // of another text
		last := w.put(places[2], w.event(places[2], event.KindAgreementSignature, body("a")))
		again := w.put(places[2], w.event(places[2], event.KindAgreementSignature, body("a")))
		if again.Outcomes[0].Code != Duplicate || again.Outcomes[0].Entry != last.Outcomes[0].Entry {
			t.Errorf("the same signature again: %+v", again.Outcomes[0])
		}
		w.put(places[1], w.event(places[1], event.KindAgreementSignature, body("a")))
		w.put(places[1], w.event(places[1], event.KindAgreementEnd, body("a")))
		bad := body("a")
		delete(bad, "digest")
		if r, err := w.at(places[0]).Put(t.Context(), w.event(places[0], event.KindAgreementEnd, bad)); err != nil || r.Outcomes[0].Rule != RuleAgreement {
			t.Errorf("an end of no document: %+v, %v", r, err)
		}
		w.same()
		want := fmt.Sprint([]string{
			"agreement northmoor.gov.uk", "agreement-signature northmoor.gov.uk", "agreement-signature saltby.gov.uk",
			"agreement-signature hexwell.gov.uk completes", "agreement-signature saltby.gov.uk", "agreement-end saltby.gov.uk",
		})
		for _, c := range places[:3] {
			var got []string
			err := w.at(c).Sayings(0, func(s Saying) bool {
				line := s.Event.Kind + " " + string(s.Event.Council)
				if s.Completes {
					line += " completes"
				}
				got = append(got, line)
				return true
			})
			if err != nil || fmt.Sprint(got) != want {
				t.Errorf("%s heard %v, %v, want %s", c, got, err, want)
			}
		}
	})
}

// TestSuspending: one member suspends for the footprint, a majority resumes, and
// the sender speaks for itself.
func TestSuspending(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		w.await("the format is 2", func() bool { return w.leader().speaks() >= 2 })
		at := 0
		say := func(c name.Council, kind string) {
			at++ // each is another event
			w.put(c, w.event(c, kind, map[string]any{
				"agreement": "northmoor.gov.uk/items", "version": json.Number("1"), "digest": strings.Repeat("a", 64),
				"reason": "because", "at": json.Number(fmt.Sprint(at)),
			}))
		}
		north, salt, hex := places[0], places[1], places[2]
		say(salt, event.KindAgreementResume) // of nothing
		say(north, event.KindAgreementSuspend)
		say(salt, event.KindAgreementSuspend)
		say(hex, event.KindAgreementResume)
		say(north, event.KindAgreementResume) // its own
		say(hex, event.KindAgreementSuspend)
		say(salt, event.KindAgreementResume)
		say(hex, event.KindAgreementResume)
		say(salt, event.KindAgreementResume)
		say(salt, event.KindAgreementSuspend)
		w.same()
		want := "resume saltby, suspend northmoor, suspend saltby completes, resume hexwell, resume northmoor, suspend hexwell completes, " +
			"resume saltby, resume hexwell completes, resume saltby, suspend saltby completes"
		for _, c := range places[:3] {
			var got []string
			err := w.at(c).Sayings(0, func(s Saying) bool {
				line := strings.TrimPrefix(s.Event.Kind, "agreement-") + " " + strings.TrimSuffix(string(s.Event.Council), ".gov.uk")
				if s.Completes {
					line += " completes"
				}
				got = append(got, line)
				return true
			})
			if err != nil || strings.Join(got, ", ") != want {
				t.Errorf("%s heard %s, %v, want %s", c, strings.Join(got, ", "), err, want)
			}
		}
	})
}

// TestRecords: a list shows each live record once, in its newest version.
func TestRecords(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		for _, c := range places[:2] {
			for i := range 5 {
				w.put(c, w.token(c, fmt.Sprint("item-", i), 1, tlog.Hash{}))
			}
		}
		f := w.at(places[0])
		var got []name.Council
		from, pages := uint64(0), 0
		for {
			l, err := f.Records(from, 3, func(h *Held) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, h := range l.Records {
				got = append(got, h.View.Council)
			}
			if from = l.Next; from == 0 {
				break
			}
		}
		if len(got) != 10 || pages != 4 {
			t.Errorf("%d records on %d pages, want 10 on 4", len(got), pages)
		}
		if n := len(f.Councils()); n != 3 || !f.Formed() || len(f.Standards()) != 1 || f.Standards()[0] != w.std.Name() {
			t.Errorf("%d members, standards %v", n, f.Standards())
		}
	})
}

// TestJoinViaAnyMember: who joins need not know who leads.
func TestJoinViaAnyMember(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		leader := w.leader().o.Self
		c, via := places[3], other(leader)
		if _, err := w.at(leader).Invite(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := w.at(via).catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at(via).Agree(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		f, err := Join(t.Context(), w.options(c), via)
		if err != nil {
			t.Fatal(err)
		}
		w.set(c, f)
		w.await("it votes", func() bool { return w.voters() == 4 })
		w.same()
	})
}
