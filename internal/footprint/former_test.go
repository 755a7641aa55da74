package footprint

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// canaries returns which of some values stand in any file of a member's folder, which is stopped.
func (w *fens) canaries(dir string, values ...string) (found []string) {
	w.t.Helper()
	err := ledgertest.Raw(dir, func(b []byte, _ string) {
		for _, v := range values {
			for pad := range 3 {
				e := base64.RawURLEncoding.EncodeToString([]byte("___"[:pad] + v))
				if (bytes.Contains(b, []byte(e[4:len(e)-4])) || bytes.Contains(b, []byte(v))) && !slices.Contains(found, v) {
					found = append(found, v)
				}
			}
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// TestFormerMemberErases: what is withdrawn after a member was let go, and what was while it was away before that, is in no
// file of its replica once it has been told. Until it says so the order is outstanding, with its age, in the eyes of every
// member; orders about what it never held are not given, and nobody else gets any.
func TestFormerMemberErases(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.ForgetWithin = 40 * time.Second }
		w.form(5)
		up, away := places[3], places[4]
		c := places[1]
		const early, late, kept = "CANARY-ERASED-WHILE-AWAY", "CANARY-ERASED-AFTER-IT-LEFT", "CANARY-OF-WHAT-IS-KEPT"
		first := w.token(c, "late", 1, tlog.Hash{}, "name", late)
		w.put(c, w.token(c, "early", 1, tlog.Hash{}, "name", early), first, w.token(c, "kept", 1, tlog.Hash{}, "name", kept))
		w.put(c, w.token(c, "late", 2, check(first).token.Entry(), "name", late))
		w.same()
		withdraw := func(ref string) uint64 {
			t.Helper()
			rec := w.rings[c].RecordID(w.std.Name().Line(), ref)
			return w.put(c, w.event(c, event.KindWithdrawal, event.Withdrawal{Agreement: "saltby.gov.uk/items", Version: 1, Record: rec, Reason: "erased"}.Body())).Outcomes[0].Entry
		}
		dirs := map[name.Council]string{up: w.at(up).o.Dir, away: w.at(away).o.Dir}
		w.stop(away)
		if got := w.canaries(dirs[away], early, late, kept); len(got) != 3 {
			t.Fatalf("found in the folder: %v, so the test proves nothing", got)
		}
		withdraw("early")
		for _, gone := range []name.Council{up, away} {
			if _, err := w.at(places[0]).Remove(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			for _, o := range []name.Council{places[1], places[2]} {
				if w.at(o).catchUp(t.Context()) == nil && w.at(o).fsm.state.Load().Open != nil {
					if _, err := w.at(o).Agree(t.Context(), gone); err != nil {
						t.Fatal(err)
					}
				}
			}
			w.await("it is let go", func() bool {
				fs, err := w.at(c).Formers()
				return err == nil && slices.ContainsFunc(fs, func(f Former) bool { return f.Council == gone && f.By == places[0] })
			})
		}
		former := func(of name.Council) (out Former) {
			t.Helper()
			fs, err := w.at(places[2]).Formers()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fs {
				if f.Council == of {
					out = f
				}
			}
			return out
		}
		w.await("who is up knows it, and says that nothing of before is left", func() bool {
			return w.at(up).Out() && former(up).Left > 0 && len(former(up).Orders) == 0
		})
		w.put(c, w.token(c, "new", 1, tlog.Hash{}))
		withdraw("new") // which no former member ever held
		if f := former(up); len(f.Orders) != 0 {
			t.Errorf("ordered to erase what it never held: %+v", f)
		}
		ordered := withdraw("late")
		if err := w.at(places[2]).catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.await("who is up has receipted it", func() bool { return len(former(up).Orders) == 0 })
		if f := former(away); !slices.Equal(f.Orders, []uint64{f.Left, ordered}) || f.Oldest.IsZero() || f.Oldest.After(f.At) {
			t.Errorf("outstanding of who is away: %+v, want its leaving and %d", f, ordered)
		}
		if e, err := w.at(places[2]).Record(c, w.rings[c].RecordID(w.std.Name().Line(), "late")); err == nil {
			t.Errorf("a member still has it: %+v", e)
		}
		w.start(away)
		w.await("who was away has receipted everything", func() bool { return len(former(away).Orders) == 0 })
		said := map[name.Council][]uint64{}
		if err := w.at(c).Entries(0, func(e *Held) bool {
			if e.Event != nil && e.Event.Kind == event.KindFootprintErased {
				got, err := event.ParseFootprintErased(e.Event.Body)
				if err != nil {
					t.Error(err)
				}
				said[e.Event.Council] = append(said[e.Event.Council], got.Orders...)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for _, gone := range []name.Council{up, away} {
			if got := said[gone]; !slices.Equal(got, []uint64{former(gone).Left, ordered}) {
				t.Errorf("%s receipted %v", gone, got)
			}
			if _, err := w.at(gone).ask(t.Context(), places[0], askSelf, nil); err == nil {
				t.Errorf("%s is answered as a member", gone)
			}
		}
		if _, err := w.at(c).ask(t.Context(), places[0], askOrders, make([]byte, 8)); err == nil {
			t.Error("a member was given orders for former ones")
		}
		time.Sleep(time.Minute) // raft's log is cut in whole files, in ForgetWithin
		w.stop(up)
		w.stop(away)
		w.same()
		for _, gone := range []name.Council{up, away} {
			if got := w.canaries(dirs[gone], early, late, kept); !slices.Equal(got, []string{kept}) {
				t.Errorf("in the files of %s: %v", gone, got)
			}
		}
	})
}

// TestReceiptsOfStrangers: a former member puts nothing into the log but its receipts, nobody receipts for another, and a
// receipt for the whole replica ends the waiting.
func TestReceiptsOfStrangers(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(4)
		gone := places[3]
		if _, err := w.at(places[0]).Remove(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		for _, o := range []name.Council{places[1], places[2]} {
			if w.at(o).catchUp(t.Context()) == nil && w.at(o).fsm.state.Load().Open != nil {
				if _, err := w.at(o).Agree(t.Context(), gone); err != nil {
					t.Fatal(err)
				}
			}
		}
		var f Former
		w.await("it has said that nothing is left", func() bool {
			fs, err := w.at(places[2]).Formers()
			if err == nil && len(fs) == 1 {
				f = fs[0]
			}
			return f.Council == gone && len(f.Orders) == 0
		})
		hub := w.at(gone).o.Hub
		bring := func(by name.Council, kind string, body map[string]any) error {
			return hub.Bring(t.Context(), fensName, gone, places[:3], w.event(by, kind, body).Token)
		}
		erased := event.FootprintErased{Footprint: fensName, Orders: []uint64{1}}.Body()
		for what, err := range map[string]error{
			"an order that is not outstanding": bring(gone, event.KindFootprintErased, erased),
			"another council's receipt":        bring(places[0], event.KindFootprintErased, erased),
			"a member's event":                 bring(gone, event.KindFootprintCancelled, event.FootprintCancelled{Footprint: fensName}.Body()),
		} {
			if err == nil {
				t.Errorf("taken: %s", what)
			}
		}
		if r, err := w.at(places[0]).Put(t.Context(), w.event(places[0], event.KindFootprintDiscarded, event.FootprintDiscarded{Footprint: fensName}.Body())); err != nil || r.Outcomes[0].Rule != RuleMember {
			t.Errorf("a member says that it discarded: %+v, %v", r, err)
		}
		discarded := w.event(gone, event.KindFootprintDiscarded, event.FootprintDiscarded{Footprint: fensName, Entries: 3}.Body()).Token
		for range 2 { // the second time it stands there already
			if err := hub.Bring(t.Context(), fensName, gone, places[:3], discarded); err != nil {
				t.Error(err)
			}
		}
		w.await("all know that it deleted all", func() bool {
			fs, err := w.at(places[2]).Formers()
			return err == nil && len(fs) == 1 && fs[0].Deleted != nil
		})
		if hub.Bring(t.Context(), fensName, gone, places[:3], w.event(gone, event.KindFootprintErased, erased).Token) == nil {
			t.Error("it receipts what it has not any more")
		}
		w.stop(gone)
		w.same()
		// A replica opened again says the same.
		w.stop(places[2])
		w.start(places[2])
		if fs, err := w.at(places[2]).Formers(); err != nil || len(fs) != 1 || fs[0].Deleted == nil || fs[0].Left != f.Left {
			t.Errorf("after a restart: %+v, %v", fs, err)
		}
	})
}
