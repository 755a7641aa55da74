package peersync_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

// A lie is what a sender does after an honest first batch of one record,
// "good-0", at entry 0.
type lie struct {
	name string
	// tell sends it. Entries may be added to the log.
	tell func(w *town, f *forger, x *exchange) error
	// rule is part of the rule that the refusal names, "" when nothing is to be
	// recorded; stops, when all exchange stops.
	rule string
	held string // references, sorted
}

// altered sends a batch of the good records added since, changed in some way.
func altered(change func(f *forger, b *wirepb.Batch)) func(*town, *forger, *exchange) error {
	return func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		f.record("good-2", nil)
		b := f.batch(1, f.from(1)...)
		change(f, b)
		return x.send(b)
	}
}

// among sends a bad record, honestly logged and proved, among good ones.
func among(edit func(w *town, x *forgery)) func(*town, *forger, *exchange) error {
	return func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		f.record("bad", func(x *forgery) { edit(w, x) })
		f.record("good-2", nil)
		return x.send(f.batch(1, f.from(1)...))
	}
}

// said sends an event, honestly logged and proved, among good records.
func said(event func(w *town, f *forger) uint64) func(*town, *forger, *exchange) error {
	return func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		event(w, f)
		f.record("good-2", nil)
		return x.send(f.batch(1, f.from(1)...))
	}
}

func raw(frame []byte) func(*town, *forger, *exchange) error {
	return func(_ *town, _ *forger, x *exchange) error {
		_, err := x.Write(frame)
		return err
	}
}

func framed(body string) []byte { return append(binary.AppendUvarint(nil, uint64(len(body))), body...) }

const (
	good = "good-0 good-1 good-2"
	none = "good-0" // the batch is refused whole

	stops = "quarantine"
)

var lies = []lie{
	// The checkpoint.
	{"checkpoint signed by another log", func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		b := f.batch(1, f.from(1)...)
		other, err := note.NewSigner(newSignerFor(f, northmoor.Origin()))
		if err != nil {
			return err
		}
		b.Checkpoint = f.note(other)
		return x.send(b)
	}, "checkpoint", none},
	{"checkpoint altered", altered(func(f *forger, b *wirepb.Batch) {
		b.Checkpoint = bytes.Replace(b.Checkpoint, []byte("\n3\n"), []byte("\n9\n"), 1)
	}), "checkpoint", none},
	{"checkpoint of another origin", altered(func(f *forger, b *wirepb.Batch) {
		b.Checkpoint = bytes.Replace(b.Checkpoint, []byte("northmoor"), []byte("southmoor"), 1)
	}), "checkpoint", none},
	{"no checkpoint", altered(func(f *forger, b *wirepb.Batch) { b.Checkpoint = nil }), "checkpoint", none},
	{"garbage for a checkpoint", altered(func(f *forger, b *wirepb.Batch) { b.Checkpoint = bytes.Repeat([]byte("\n"), 100_000) }), "checkpoint", none},
	{"fork at the same size", func(w *town, f *forger, x *exchange) error {
		g := f.fork(0)
		g.record("other", nil)
		b := g.batch(1)
		return x.send(b)
	}, stops, none},
	{"a cursor beyond an older checkpoint", func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		f.record("good-2", nil)
		if err := x.send(f.batch(1, 1, 2)); err != nil {
			return err
		}
		g := f.fork(2)
		b := g.batch(1)
		b.Cursor = 3
		return x.send(b)
	}, "cursor", good},
	{"its own word that its log is shorter", func(w *town, f *forger, x *exchange) error {
		g := f.fork(0)
		g.record("other", nil)
		g.record("another", nil)
		return x.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: "rollback", Reason: "lost", Checkpoints: [][]byte{g.note(g.ring.Log.Signer())}}}})
	}, stops, none},
	{"inconsistent extension", func(w *town, f *forger, x *exchange) error {
		g := f.fork(0)
		g.record("other", nil)
		g.record("good-1", nil)
		g.record("good-2", nil)
		return x.send(g.batch(1, 1, 2))
	}, stops, none},
	{"no consistency proof, until it is asked for one", altered(func(f *forger, b *wirepb.Batch) { b.Consistency = nil }), "", good},
	{"a consistency proof from where we are not", altered(func(f *forger, b *wirepb.Batch) { b.ConsistencyFrom = 2 }), "", good},
	{"consistency proof too long", altered(func(f *forger, b *wirepb.Batch) {
		b.Consistency = append(b.Consistency, make([]byte, 32)...)
	}), stops, none},
	{"consistency proof torn", altered(func(f *forger, b *wirepb.Batch) {
		b.Consistency = b.Consistency[:len(b.Consistency)-1]
	}), "", none}, // not a frame: the writer below refuses it

	// The batch proof and the order.
	{"proof altered", altered(func(f *forger, b *wirepb.Batch) { b.Inclusion[0] ^= 1 }), "batch proof", none},
	{"proof too long", altered(func(f *forger, b *wirepb.Batch) { b.Inclusion = append(b.Inclusion, make([]byte, 32)...) }), "batch proof", none},
	{"no proof", altered(func(f *forger, b *wirepb.Batch) { b.Inclusion = nil }), "batch proof", none},
	{"a token that is not at its index", altered(func(f *forger, b *wirepb.Batch) {
		b.Items[0].Record, b.Items[1].Record = b.Items[1].Record, b.Items[0].Record
	}), "batch proof", none},
	{"a token that is in no log", altered(func(f *forger, b *wirepb.Batch) {
		g := f.fork(1)
		g.record("smuggled", nil)
		b.Items[0] = f.item(1, g.tokens[1])
	}), "batch proof", none},
	{"replayed batch", func(w *town, f *forger, x *exchange) error { return x.send(f.batch(1, 0)) }, "out of order", none},
	{"index beyond the log", altered(func(f *forger, b *wirepb.Batch) { b.Items[1].Index, b.Cursor = 77, 78 }), "out of order", none},
	{"cursor beyond the log", altered(func(f *forger, b *wirepb.Batch) { b.Cursor = 1 << 40 }), "cursor", none},
	{"cursor goes back", func(w *town, f *forger, x *exchange) error {
		b := f.batch(1)
		b.Cursor = 0
		return x.send(b)
	}, "cursor", none},
	{"the same record twice", func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		f.record("good-1", func(x *forgery) { x.claims.Version, x.claims.Prev = 2, f.entries[1] })
		return x.send(f.batch(1, f.from(1)...))
	}, "same record", none},
	{"put and withdrawn in one", func(w *town, f *forger, x *exchange) error {
		f.record("good-1", nil)
		f.event(event.KindWithdrawal, f.withdrawal(planning, "good-1"), northmoor, f.ring)
		return x.send(f.batch(1, f.from(1)...))
	}, "same record", none},
	{"more items than a batch may have", func(w *town, f *forger, x *exchange) error {
		for i := range ledger.MaxPageItems + 1 {
			f.event("filler", map[string]any{"n": fmt.Sprint(i)}, northmoor, f.ring)
		}
		return x.send(f.batch(1, f.from(1)...))
	}, "more than 1000", none},
	{"more bytes than a batch may have", func(w *town, f *forger, x *exchange) error {
		for i := range 3 {
			f.record(fmt.Sprint("big-", i), func(x *forgery) {
				x.body["reference"] = fmt.Sprint("big-", i, strings.Repeat("-", 900<<10))
			})
		}
		return x.send(f.batch(1, f.from(1)...))
	}, "bytes of tokens", none},
	{"an event and a record in one", altered(func(f *forger, b *wirepb.Batch) { b.Items[1].Event = []byte("a.b.c") }), "an event and a record", none},
	{"a record that is none", altered(func(f *forger, b *wirepb.Batch) { b.Items[1].Record = []byte("~~") }), "token", none},
	{"a record cut short", altered(func(f *forger, b *wirepb.Batch) { b.Items[1].Record = b.Items[1].Record[:40] }), "token", none},
	{"a record with something behind it", altered(func(f *forger, b *wirepb.Batch) { b.Items[1].Record = append(b.Items[1].Record, 0) }), "token", none},
	{"a record with another value", altered(func(f *forger, b *wirepb.Batch) {
		b.Items[1].Record = bytes.Replace(b.Items[1].Record, []byte(`"X"`), []byte(`"Y"`), 1)
	}), "batch proof", none},
	{"a record of another origin than the table has", altered(func(f *forger, b *wirepb.Batch) { b.Items[1].Record[0] = 9 }), "token", none},
	{"a table with another name for a field", altered(func(f *forger, b *wirepb.Batch) {
		b.Table = bytes.Replace(b.Table, []byte("ward"), []byte("wand"), 1)
	}), "batch proof", none},
	{"a table with another council", altered(func(f *forger, b *wirepb.Batch) {
		b.Table = bytes.Replace(b.Table, []byte(northmoor), []byte("southmoor.gov.uk"), 1)
	}), "batch proof", none},
	{"a table cut short", altered(func(f *forger, b *wirepb.Batch) { b.Table = b.Table[:len(b.Table)-1] }), "table", none},
	{"no table", altered(func(f *forger, b *wirepb.Batch) { b.Table = nil }), "table", none},
	{"a record in the place of an event", altered(func(f *forger, b *wirepb.Batch) {
		b.Items[1] = &wirepb.Item{Index: b.Items[1].Index, Event: f.tokens[b.Items[1].Index]}
	}), "event", none},
	{"an event that is none", altered(func(f *forger, b *wirepb.Batch) {
		b.Items[1] = &wirepb.Item{Index: b.Items[1].Index, Event: []byte("a.b.c")}
	}), "event", none},
	{"an item that is nothing", altered(func(f *forger, b *wirepb.Batch) { b.Items[1] = &wirepb.Item{Index: b.Items[1].Index} }), "event", none},

	// One record among good ones.
	{"another council's record", among(func(w *town, x *forgery) {
		x.claims.Council, x.signer = hexwell, w.rings[hexwell]
	}), "issuer", good},
	{"another council's name, own key", among(func(w *town, x *forgery) { x.claims.Council = hexwell }), "issuer", good},
	{"own name, another council's key", among(func(w *town, x *forgery) { x.signer = w.rings[hexwell] }), "signing key", good},
	{"more fields than agreed", among(func(w *town, x *forgery) { x.keep = func(string, bool) bool { return true } }), "field beyond", good},
	{"row outside the filter", among(func(w *town, x *forgery) { x.body["ward"] = "Y" }), "row beyond", good},
	{"the field the filter reads is withheld", among(func(w *town, x *forgery) { x.keep = func(string, bool) bool { return false } }), "row beyond", good},
	{"another standard", among(func(w *town, x *forgery) {
		x.std = parish(w.t, "other-item", "1.0.0")
		x.claims.Standard, x.claims.Integrity = x.std.Name(), x.std.Integrity()
	}), "standard", good},
	{"another schema under the standard's name", among(func(w *town, x *forgery) {
		x.claims.Integrity = "sha256-" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	}), "standard's schema", good},
	{"a value the standard forbids", among(func(w *town, x *forgery) { x.body["reference"] = []any{"bad"} }), "standard: type", good},
	{"a deletion among records", among(func(w *town, x *forgery) { x.claims.Op, x.body = record.Delete, nil }), "operation", good},
	{"bad signature", among(func(w *town, x *forgery) {
		x.spoil = func(b []byte) []byte {
			i := bytes.IndexByte(b, '~') - 20
			b[i] = 'A' + (b[i]-'A'+1)%26
			return b
		}
	}), "signature", good},
	{"a disclosure twice", among(func(w *town, x *forgery) {
		x.spoil = func(b []byte) []byte {
			parts := strings.Split(string(b), "~")
			return []byte(strings.Join(slices.Insert(parts, 1, parts[1]), "~"))
		}
	}), "disclosures", good},
	{"a disclosure of something else", among(func(w *town, x *forgery) {
		x.spoil = func(b []byte) []byte {
			parts := strings.Split(string(b), "~")
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(`["AAAAAAAAAAAAAAAAAAAAAA","ward","X"]`))
			return []byte(strings.Join(parts, "~"))
		}
	}), "disclosures", good},

	// Events.
	{"withdrawal signed by another", said(func(w *town, f *forger) uint64 {
		return f.event(event.KindWithdrawal, f.withdrawal(planning, "good-0"), northmoor, w.rings[hexwell])
	}), "signing key", good},
	{"withdrawal by another council", said(func(w *town, f *forger) uint64 {
		return f.event(event.KindWithdrawal, f.withdrawal(planning, "good-0"), hexwell, w.rings[hexwell])
	}), "signing key", good},
	{"withdrawal with a bad signature", said(func(w *town, f *forger) uint64 {
		b, entry := signedEvent(w.t, event.KindWithdrawal, f.withdrawal(planning, "good-0"), northmoor, f.ring, w.rings[hexwell])
		return f.add(b, entry)
	}), "signature", good},
	{"withdrawal in another council's name", said(func(w *town, f *forger) uint64 {
		return f.event(event.KindWithdrawal, f.withdrawal(planning, "good-0"), hexwell, f.ring)
	}), "issuer", good},
	{"withdrawal from another agreement", said(func(w *town, f *forger) uint64 {
		return f.event(event.KindWithdrawal, f.withdrawal("hexwell.gov.uk/items", "good-0"), northmoor, f.ring)
	}), "withdrawal", good},
	{"withdrawal of nothing that has a name", said(func(w *town, f *forger) uint64 {
		return f.event(event.KindWithdrawal, cloned(f.withdrawal(planning, "good-0"), "record", "everything"), northmoor, f.ring)
	}), "withdrawal", good},
	{"another event among records", said(func(w *town, f *forger) uint64 {
		return f.event("agreement-end", f.withdrawal(planning, "good-0"), northmoor, f.ring)
	}), "kind of event", good},

	// Frames.
	{"garbage", raw(framed("\xff\xfe\xfd garbage")), "bad frame", none},
	{"an empty frame", raw([]byte{0}), "bad frame", none},
	{"a frame of great length", raw(binary.AppendUvarint(nil, 1<<40)), "bad frame", none},
	{"indexes that do not ascend", raw(framed(descending())), "bad frame", none},
	{"a hello for an answer", func(w *town, f *forger, x *exchange) error {
		return x.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Hello{Hello: x.hello}})
	}, "neither batch nor refusal", none},
	{"an acknowledgement for an answer", func(w *town, f *forger, x *exchange) error {
		return x.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Ack{Ack: &wirepb.Ack{Cursor: 1}}})
	}, "neither batch nor refusal", none},
	{"a refusal of great length", raw(framed("\x22\x88\x10\x0a\x85\x10" + strings.Repeat("x", 0x805))), "bad frame", none},

	// No lie, but no help either.
	{"silence", func(w *town, f *forger, x *exchange) error { return nil }, "", none},
	{"half a frame and silence", raw([]byte{200, 1, 'x'}), "", none},
	{"a byte now and then", func(w *town, f *forger, x *exchange) error {
		for _, c := range append(binary.AppendUvarint(nil, 1<<20), make([]byte, 1000)...) {
			if _, err := x.Write([]byte{c}); err != nil {
				return err
			}
			time.Sleep(20 * time.Second)
		}
		return nil
	}, "", none},
	{"refusal", func(w *town, f *forger, x *exchange) error {
		return x.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: "no", Reason: strings.Repeat("because ", 100)}}})
	}, "", none},
}

func newSignerFor(f *forger, origin string) string {
	skey, _, err := note.GenerateKey(nil, origin)
	if err != nil {
		f.t.Fatal(err)
	}
	return skey
}

// descending is a batch of two items in the wrong order, which the Writer of
// package wirepb would not write.
func descending() string {
	return "\x12\x0c\x0a\x02\x08\x05\x0a\x02\x08\x04\x28\x09\x38\x00"
}

// TestLyingSender: whatever a sender does, what it sent is refused by a rule
// that is recorded, nothing of it is kept, the good items of a batch with a bad
// one are, and the copy from an honest partner goes on as if nothing were.
func TestLyingSender(t *testing.T) {
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a, b := terms(t, northmoor, "items", 1, nil, saltby), terms(t, hexwell, "items", 1, nil, saltby)
				s, h := w.run(saltby, a, b), w.run(hexwell, b)
				f := newForger(t, w.rings[northmoor])
				f.record("good-0", nil)
				var told atomic.Int32
				stage := w.perform(northmoor, func(x *exchange) {
					if told.Load() > 0 {
						return // once is enough; then silence
					}
					if err := x.send(f.batch(0, 0)); err != nil {
						t.Error(err)
					}
					if _, err := x.in.Read(); err != nil {
						t.Errorf("the honest batch was not acknowledged: %v", err)
						return
					}
					told.Add(1)
					if err := l.tell(w, f, x); err != nil && l.rule != "" {
						t.Logf("telling it: %v", err)
					}
				})
				stage.proveBy(f.prove)
				w.await("it is told", func() bool { return told.Load() > 0 })
				synctest.Wait()

				start := time.Now()
				h.put(item("honest", "X"))
				w.await("the honest partner's record is there", func() bool { return keysOf(s.held(b.Name)) == "honest" })
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("the honest partner's record took %v", d)
				}
				if l.rule == stops {
					w.await("all exchange stops", func() bool { return s.ledger.Allowed(northmoor) != nil })
				} else if l.rule != "" {
					w.await("the refusal is recorded", func() bool {
						return slices.ContainsFunc(s.refusals(northmoor, planning), func(r string) bool { return strings.Contains(r, l.rule) })
					})
				} else if got := s.refusals(northmoor, planning); len(got) > 0 {
					t.Errorf("recorded as a lie: %v", got)
				}
				time.Sleep(4 * time.Minute) // several tries, at most a minute apart
				if got := keysOf(s.held(planning)); got != l.held {
					t.Errorf("held %q, want %q", got, l.held)
				}
				if got := s.refusals(northmoor, planning); l.rule != "" && l.rule != stops && len(got) != 1 {
					t.Errorf("recorded %d times: %v", len(got), got)
				}
				for _, link := range s.Pulling() {
					if link.Council == northmoor && link.Agreement == planning && link.Connected && link.Problem == "" && link.Live && l.rule != "" {
						t.Errorf("it shows as if all were well: %+v", link)
					}
				}

				if l.rule == stops {
					checkEvidence(t, w, s)
					if err := s.ledger.EndQuarantine(t.Context(), northmoor, event.FollowHeld, "they have put it right"); err != nil {
						t.Fatal(err)
					}
				}

				// Once it is honest again the copy goes on from where it was. Its
				// log is what it is by now, the bad entries in it.
				var at uint64
				stage.set(func(x *exchange) {
					if at = x.hello.GetTreeSize(); at > f.tree.Size() {
						return
					}
					f.record("late", nil)
					if err := x.send(f.batch(at, f.tree.Size()-1)); err != nil {
						t.Logf("late: %v", err)
					}
				})
				s.Retry()
				w.world.ResetStreams()
				w.await("it goes on", func() bool { return s.held(planning)["late"] == 1 })
			})
		})
	}
}

// checkEvidence: of what stops all exchange two checkpoints are kept that the log
// has signed, and our own log says so.
func checkEvidence(t *testing.T, w *town, s *house) {
	t.Helper()
	m, _ := w.dir.Member(northmoor)
	v, err := m.LogVerifier()
	if err != nil {
		t.Fatal(err)
	}
	q := s.ledger.Known(northmoor).Quarantine
	var cps []tlog.Checkpoint
	for _, n := range [][]byte{q.Held, q.Told} {
		cp, _, err := tlog.OpenCheckpoint(n, northmoor.Origin(), v)
		if err != nil {
			t.Errorf("evidence: %v", err)
		}
		cps = append(cps, cp)
	}
	if cps[0] == cps[1] || q.Fault == event.FaultFork != tlog.Fork(cps[0], cps[1]) {
		t.Errorf("evidence of %q: %v", q.Fault, cps)
	}
	err = s.ledger.View(func(v *ledger.View) error {
		ev, _, err := v.Event(q.Entry)
		if err == nil && (ev.Kind != event.KindQuarantine || ev.Body["council"] != string(northmoor)) {
			t.Errorf("entry %d of our log is %s %v", q.Entry, ev.Kind, ev.Body)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBadSignatureInBulk: a record is proved by its place in the log, and one that
// carries a signature which does not hold is refused all the same, by a refusal
// that is recorded; the others are kept.
func TestBadSignatureInBulk(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		s := w.run(saltby, a)
		f := newForger(t, w.rings[northmoor])
		for i := range 300 {
			f.record(fmt.Sprintf("ref-%03d", i), func(x *forgery) {
				if i%100 == 50 {
					x.spoil = func(b []byte) []byte {
						at := bytes.IndexByte(b, '~') - 20
						b[at] = 'A' + (b[at]-'A'+1)%26
						return b
					}
				}
			})
		}
		w.perform(northmoor, func(x *exchange) {
			b := f.batch(0, f.from(0)...)
			b.Live = false // a liar may say so for ever
			if err := x.send(b); err != nil {
				t.Error(err)
			}
		})
		w.await("the others are kept", func() bool { return s.source(planning).Records == 297 })
		held := s.held(planning)
		for i := range 300 {
			if _, ok := held[fmt.Sprintf("ref-%03d", i)]; ok == (i%100 == 50) {
				t.Errorf("record %d: held %v", i, ok)
			}
		}
		if got := s.refusals(northmoor, planning); len(got) != 3 || got[0] != "signature" {
			t.Errorf("refusals: %v", got)
		}
	})
}

// TestMissingStandard: records in a version that is not adopted here wait
// until it is.
func TestMissingStandard(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, func(a *agreement.Agreement) { a.Fields = append(a.Fields, "/phone") }, saltby)
		s := w.run(saltby)
		next := parish(t, "parish-item", "1.1.0")
		s.agree(a)
		f := newForger(t, w.rings[northmoor])
		f.record("one", func(x *forgery) {
			x.std = next
			x.claims.Standard, x.claims.Integrity = next.Name(), next.Integrity()
		})
		w.perform(northmoor, func(x *exchange) {
			if err := x.send(f.batch(0, f.from(0)...)); err != nil {
				t.Error(err)
			}
		})
		w.await("it says what it waits for", func() bool {
			return slices.ContainsFunc(s.Pulling(), func(l peersync.Link) bool { return strings.Contains(l.Problem, "parish-item@1.1.0") })
		})
		if got := s.refusals(northmoor, planning); len(got) > 0 {
			t.Errorf("refused: %v", got)
		}
		if err := s.ledger.Adopt(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		s.Retry()
		w.await("it is there", func() bool { return s.held(planning)["one"] == 1 })
	})
}

// TestLyingNotices: among notices, too, only what the council signed is kept,
// and records are not.
func TestLyingNotices(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		s := w.run(saltby, a)
		f := newForger(t, w.rings[northmoor])
		f.event("news", nil, northmoor, f.ring)
		f.event("forged", nil, northmoor, w.rings[hexwell])
		f.event("foreign", nil, hexwell, f.ring)
		f.record("record", nil)
		f.event("more", nil, northmoor, f.ring)
		w.noticesFrom(northmoor, func(x *exchange) {
			if err := x.send(f.batch(0, f.from(0)...)); err != nil {
				t.Error(err)
			}
		})
		w.await("the good ones are told", func() bool {
			s.book.mu.Lock()
			defer s.book.mu.Unlock()
			return strings.Join(s.book.notices, ", ") == "northmoor.gov.uk 0 news, northmoor.gov.uk 4 more"
		})
		rules := s.refusals(northmoor, "")
		slices.Sort(rules)
		if got := strings.Join(rules, ", "); got != "a record among notices, issuer, signing key" {
			t.Errorf("refusals: %s", got)
		}
	})
}
