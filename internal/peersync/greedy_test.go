package peersync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// ask opens a stream from a council that the test plays to northmoor.
func (w *town) ask(from name.Council, frame *wirepb.Frame) *exchange {
	w.t.Helper()
	synctest.Wait() // northmoor is up
	st, err := w.world.Node(from).Open(w.t.Context(), northmoor, wirepb.Protocol)
	if err != nil {
		w.t.Fatal(err)
	}
	x := &exchange{Stream: st, in: wirepb.NewReader(st), out: wirepb.NewWriter(st)}
	if frame != nil {
		if err := x.out.Write(frame); err != nil {
			w.t.Fatal(err)
		}
	}
	return x
}

func hello(feed string, d agreement.Digest, edit func(*wirepb.Hello)) *wirepb.Frame {
	h := &wirepb.Hello{Version: wirepb.Version, Feed: feed, AgreementDigest: d[:]}
	if edit != nil {
		edit(h)
	}
	return &wirepb.Frame{Kind: &wirepb.Frame_Hello{Hello: h}}
}

// TestAskingForMore: a council gets nothing of what is not agreed with it, and
// a stranger cannot tell an agreement that exists from one that does not.
func TestAskingForMore(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		over := terms(t, northmoor, "over", 1, nil, saltby)
		counts := terms(t, northmoor, "counts", 1, func(a *agreement.Agreement) { a.Mode = agreement.Aggregate }, saltby)
		lookup := terms(t, northmoor, "lookup", 1, func(a *agreement.Agreement) {
			a.Mode, a.Match = agreement.Lookup, []name.Field{"/reference"}
		}, saltby)
		waits := terms(t, northmoor, "waits", 1, nil, saltby)
		n := w.run(northmoor, a, over, counts, lookup)
		n.book.set(waits) // without a feed
		n.put(item("one", "X"))
		n.book.end(over.Name)

		for _, c := range []struct {
			what, code string
			frame      *wirepb.Frame
		}{
			{"earlier version of the protocol", "protocol-version", hello(string(a.Name), a.Digest(), func(h *wirepb.Hello) { h.Version = 1 })},
			{"agreement that is over", "not-in-force", hello(string(over.Name), over.Digest(), nil)},
			{"another text", "other-version", hello(string(a.Name), over.Digest(), nil)},
			{"no digest", "other-version", hello(string(a.Name), a.Digest(), func(h *wirepb.Hello) { h.AgreementDigest = nil })},
			{"more of the log than there is", "rollback", hello(string(a.Name), a.Digest(), func(h *wirepb.Hello) { h.TreeSize = 1 << 40 })},
			{"from beyond the log", "beyond", hello(string(a.Name), a.Digest(), func(h *wirepb.Hello) { h.Cursor = 1 << 60 })},
			{"counts only", "not-agreed", hello(string(counts.Name), counts.Digest(), nil)},
			{"one question at a time", "not-agreed", hello(string(lookup.Name), lookup.Digest(), nil)},
			{"index being made", "not-ready", hello(string(waits.Name), waits.Digest(), nil)},
			{"no such agreement", "not-agreed", hello("northmoor.gov.uk/nothing", a.Digest(), nil)},
			{"our own side of one that the other sends", "not-agreed", hello("saltby.gov.uk/items", a.Digest(), nil)},
		} {
			x := w.ask(saltby, c.frame)
			f, err := x.in.Read()
			if f.GetRefuse().GetCode() != c.code {
				t.Errorf("%s: %v, %v; want refusal %q", c.what, f, err, c.code)
			}
			if _, err := x.in.Read(); err == nil {
				t.Errorf("%s: something follows the refusal", c.what)
			}
		}

		// A later version of the protocol has fields that are not known here, and is answered.
		x := w.ask(saltby, hello(string(a.Name), a.Digest(), func(h *wirepb.Hello) {
			h.Version = 9
			h.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 500, protowire.VarintType), 1))
		}))
		if f, err := x.in.Read(); len(f.GetBatch().GetItems()) != 1 {
			t.Errorf("who speaks a later version is told %v, %v", f, err)
		}
		x.Close()

		var first []byte
		for _, c := range []struct {
			feed string
			d    agreement.Digest
			edit func(*wirepb.Hello)
		}{
			{"northmoor.gov.uk/nothing", a.Digest(), nil},
			{string(a.Name), a.Digest(), nil},
			{string(a.Name), over.Digest(), nil},
			{string(over.Name), over.Digest(), nil},
			{string(counts.Name), counts.Digest(), nil},
			{string(waits.Name), waits.Digest(), nil},
			{string(a.Name), a.Digest(), func(h *wirepb.Hello) { h.TreeSize, h.Cursor = 1<<40, 1<<40 }},
			{string(a.Name), a.Digest(), func(h *wirepb.Hello) { h.TreeSize = 1 }},
			{"not a name", a.Digest(), nil},
			{"", a.Digest(), nil},
		} {
			f, err := w.ask(hexwell, hello(c.feed, c.d, c.edit)).in.Read()
			if err != nil || f.GetRefuse() == nil {
				t.Fatalf("stranger asking for %q: %v, %v", c.feed, f, err)
			}
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b
			}
			if !bytes.Equal(b, first) {
				t.Errorf("a stranger asking for %q is told %v", c.feed, f)
			}
		}

		for what, frame := range map[string][]byte{
			"garbage": framed("\xff\xfe"), "nothing": nil, "half a frame": {9, 1},
			"a batch":             framed(marshal(t, &wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: &wirepb.Batch{}}})),
			"an acknowledgement":  framed(marshal(t, &wirepb.Frame{Kind: &wirepb.Frame_Ack{Ack: &wirepb.Ack{}}})),
			"a hello without end": framed(marshal(t, hello(strings.Repeat("x", 2000), a.Digest(), nil))),
		} {
			x := w.ask(saltby, nil)
			if len(frame) > 0 {
				if _, err := x.Write(frame); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			if b, err := io.ReadAll(x); len(b) > 0 || err == nil {
				t.Errorf("%s: answered with %q, %v", what, b, err)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("%s: held the stream for %v", what, d)
			}
		}
	})
}

func marshal(t testing.TB, m proto.Message) string {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A greedy is a receiver played by the test, that can answer honestly.
type greedy struct {
	*exchange
	w     *town
	ring  *keys.Ring
	name  name.Agreement
	since uint64 // cursor of the batch before
}

// receipt returns the honest answer to a batch, with its receipt's body as
// edit leaves it.
func (g *greedy) ack(b *wirepb.Batch, edit func(body map[string]any)) *wirepb.Ack {
	g.w.t.Helper()
	cp := checkpointOf(g.w.t, b)
	held, deleted := []any{}, []any{}
	for _, it := range b.GetItems() {
		n := json.Number(fmt.Sprint(it.GetIndex()))
		if len(it.GetEvent()) > 0 {
			deleted = append(deleted, n)
		} else {
			held = append(held, n)
		}
	}
	body := map[string]any{
		"agreement": string(g.name), "from": string(northmoor), "size": json.Number(fmt.Sprint(cp.Size)), "root": cp.Root.String(),
		"since": json.Number(fmt.Sprint(g.since)), "cursor": json.Number(fmt.Sprint(b.GetCursor())), "held": held, "refused": []any{}, "deleted": deleted,
	}
	if edit != nil {
		edit(body)
	}
	jws, _ := signedEvent(g.w.t, event.KindReceipt, body, saltby, g.ring, g.ring)
	line, _, err := tlog.Cosign(cp, g.ring.Log.Cosigner())
	if err != nil {
		g.w.t.Fatal(err)
	}
	return &wirepb.Ack{Cursor: b.GetCursor(), Receipt: jws, Cosignature: line, Held: 77}
}

func checkpointOf(t testing.TB, b *wirepb.Batch) (cp tlog.Checkpoint) {
	t.Helper()
	var root string
	lines := strings.Split(string(b.GetCheckpoint()), "\n")
	if _, err := fmt.Sscan(lines[1], &cp.Size); err != nil {
		t.Fatal(err)
	}
	root, cp.Origin = lines[2], lines[0]
	var err error
	if cp.Root, err = tlog.ParseHash(root); err != nil {
		t.Fatal(err)
	}
	return cp
}

func (g *greedy) answer(a *wirepb.Ack) error {
	return g.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Ack{Ack: a}})
}

// batch reads the next batch, and sees that no more than agreed is in it.
func (g *greedy) batch() *wirepb.Batch {
	g.w.t.Helper()
	f, err := g.in.Read()
	if err != nil || f.GetBatch() == nil {
		g.w.t.Fatalf("no batch: %v, %v", f, err)
	}
	for _, it := range f.GetBatch().GetItems() {
		if len(it.GetEvent()) > 0 {
			continue
		}
		table, err := record.ReadTable(f.GetBatch().GetTable())
		if err != nil {
			g.w.t.Fatal(err)
		}
		tok, err := table.Token(it.GetRecord())
		if err != nil {
			g.w.t.Fatal(err)
		}
		if v, err := tok.View(); err != nil || v.Body["name"] != nil || v.Body["ward"] != "X" {
			g.w.t.Errorf("entry %d leaves with %v, %v", it.GetIndex(), v.Body, err)
		}
	}
	return f.GetBatch()
}

// falsehoods are answers to a batch that holds one withdrawal.
var falsehoods = map[string]func(g *greedy, b *wirepb.Batch) error{
	"no receipt": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, nil)
		a.Receipt = nil
		return g.answer(a)
	},
	"another cursor": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, nil)
		a.Cursor++
		return g.answer(a)
	},
	"a cursor far beyond": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, func(m map[string]any) { m["cursor"] = json.Number("1000000") })
		a.Cursor = 1000000
		return g.answer(a)
	},
	"receipt under another agreement":        edited("agreement", "hexwell.gov.uk/items"),
	"receipt for another council's log":      edited("from", "hexwell.gov.uk"),
	"receipt at another cursor":              edited("cursor", json.Number("1")),
	"receipt from another cursor":            edited("since", json.Number("0")),
	"receipt at another size":                edited("size", json.Number("1")),
	"receipt at another root":                edited("root", tlog.Hash{}.String()),
	"receipt of what was not sent":           edited("held", []any{json.Number("9999")}),
	"receipt for deleting what was not sent": edited("deleted", []any{json.Number("9999")}),
	"receipt silent about the withdrawal":    edited("deleted", []any{}),
	"receipt that holds it instead": func(g *greedy, b *wirepb.Batch) error {
		return g.answer(g.ack(b, func(m map[string]any) { m["held"], m["deleted"] = m["deleted"], []any{} }))
	},
	"receipt without lists":     edited("cursor", nil),
	"receipt of something else": edited("held", []any{map[string]any{}}),
	"receipt signed by another": signed(func(g *greedy, body map[string]any) []byte {
		b, _ := signedEvent(g.w.t, event.KindReceipt, body, saltby, g.w.rings[hexwell], g.w.rings[hexwell])
		return b
	}),
	"receipt with a bad signature": signed(func(g *greedy, body map[string]any) []byte {
		b, _ := signedEvent(g.w.t, event.KindReceipt, body, saltby, g.ring, g.w.rings[hexwell])
		return b
	}),
	"receipt in another's name": signed(func(g *greedy, body map[string]any) []byte {
		b, _ := signedEvent(g.w.t, event.KindReceipt, body, hexwell, g.ring, g.ring)
		return b
	}),
	"another event for a receipt": signed(func(g *greedy, body map[string]any) []byte {
		b, _ := signedEvent(g.w.t, "agreement-signature", body, saltby, g.ring, g.ring)
		return b
	}),
	"garbage for a receipt": signed(func(*greedy, map[string]any) []byte { return []byte("a.b.c") }),
	"a receipt of megabytes": signed(func(g *greedy, body map[string]any) []byte {
		body["padding"] = strings.Repeat("x", 200<<10)
		for i := range 5 {
			body[fmt.Sprint("padding", i)] = body["padding"]
		}
		b, _ := signedEvent(g.w.t, event.KindReceipt, body, saltby, g.ring, g.ring)
		return b
	}),
	"cosigned by another": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, nil)
		line, _, err := tlog.Cosign(checkpointOf(g.w.t, b), g.w.rings[hexwell].Log.Cosigner())
		if err != nil {
			return err
		}
		a.Cosignature = line
		return g.answer(a)
	},
	"cosigned something else": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, nil)
		cp := checkpointOf(g.w.t, b)
		cp.Size++
		line, _, err := tlog.Cosign(cp, g.ring.Log.Cosigner())
		if err != nil {
			return err
		}
		a.Cosignature = line
		return g.answer(a)
	},
	"garbage for a cosignature": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, nil)
		a.Cosignature = []byte("— saltby.gov.uk AAAA\n")
		return g.answer(a)
	},
	"answered twice": func(g *greedy, b *wirepb.Batch) error {
		a := g.ack(b, nil)
		a.Receipt = nil // neither is true
		g.answer(a)
		return g.answer(a)
	},
	"a hello": func(g *greedy, b *wirepb.Batch) error { return g.out.Write(hello("notices", agreement.Digest{}, nil)) },
	"a refusal": func(g *greedy, b *wirepb.Batch) error {
		return g.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: "no"}}})
	},
	"a batch": func(g *greedy, b *wirepb.Batch) error { return g.send(b) },
	"garbage": func(g *greedy, b *wirepb.Batch) error { _, err := g.Write(framed("\xff\xff")); return err },
	"the end": func(g *greedy, b *wirepb.Batch) error { return g.CloseWrite() },
	"silence": func(g *greedy, b *wirepb.Batch) error { return nil },
}

func edited(k string, v any) func(*greedy, *wirepb.Batch) error {
	return func(g *greedy, b *wirepb.Batch) error {
		return g.answer(g.ack(b, func(m map[string]any) {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}))
	}
}

func signed(make func(g *greedy, body map[string]any) []byte) func(*greedy, *wirepb.Batch) error {
	return func(g *greedy, b *wirepb.Batch) error {
		var body map[string]any
		a := g.ack(b, func(m map[string]any) { body = maps.Clone(m) })
		a.Receipt = make(g, body)
		return g.answer(a)
	}
}

// TestLyingReceiver: an answer that does not hold moves nothing: the
// withdrawal stays outstanding, no receipt and no witness is recorded, the
// stream ends, and an honest receiver is served as if nothing were.
func TestLyingReceiver(t *testing.T) {
	for _, what := range slices.Sorted(maps.Keys(falsehoods)) {
		t.Run(what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a := terms(t, northmoor, "items", 1, nil, saltby)
				b := terms(t, northmoor, "neighbours", 1, nil, hexwell)
				n, h := w.run(northmoor, a, b), w.run(hexwell, b)
				n.put(item("one", "X"), item("two", "X"))
				g := &greedy{w.ask(saltby, hello(string(planning), a.Digest(), nil)), w, w.rings[saltby], planning, 0}
				first := g.batch()
				if err := g.answer(g.ack(first, nil)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				f, err := n.ledger.Feed(planning, a.Digest())
				if err != nil {
					t.Fatal(err)
				}
				state := func() string {
					t.Helper()
					var s strings.Builder
					err := n.ledger.View(func(v *ledger.View) error {
						p, err := v.Partner(f, saltby)
						if err != nil {
							return err
						}
						fmt.Fprintf(&s, "cursor %d, held %d, outstanding", p.Cursor, p.Held)
						if err := v.Outstanding(f, p, func(i uint64, _ name.Record) bool { fmt.Fprintf(&s, " %d", i); return true }); err != nil {
							return err
						}
						receipts := 0
						if err := v.Receipts(f, saltby, func([]byte) bool { receipts++; return true }); err != nil {
							return err
						}
						list, err := v.Cosigned()
						for _, c := range list {
							if c.Witness == saltby {
								fmt.Fprintf(&s, ", witnessed at %d", c.Checkpoint.Size)
							}
						}
						fmt.Fprintf(&s, ", %d receipts", receipts)
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
					return s.String()
				}
				if got := state(); !strings.Contains(got, "held 77") || !strings.Contains(got, "1 receipts") || !strings.Contains(got, "witnessed at") {
					t.Fatalf("the honest answer was not kept: %s", got)
				}
				n.put(item("one", "Y"))
				g.since = first.GetCursor()
				second := g.batch()
				if len(second.GetItems()) != 1 {
					t.Fatalf("%d items", len(second.GetItems()))
				}
				before := state()
				if err := falsehoods[what](g, second); err != nil {
					t.Logf("telling it: %v", err)
				}
				start := time.Now()
				n.put(item("honest", "X"))
				w.await("the honest receiver has it", func() bool { return h.held(b.Name)["honest"] == 1 })
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("the honest receiver waited %v", d)
				}
				time.Sleep(5 * time.Minute)
				after := state()
				if strings.HasPrefix(what, "cosigned") || strings.Contains(what, "cosignature") {
					// The receipt is good and counts; the cosignature does not.
					_, was, _ := strings.Cut(before, ", witnessed")
					_, is, _ := strings.Cut(after, ", witnessed")
					if is != strings.Replace(was, "1 receipts", "2 receipts", 1) || !strings.Contains(after, "outstanding, ") {
						t.Errorf("it moved from %s to %s", before, after)
					}
				} else if after != before {
					t.Errorf("it moved from %s to %s", before, after)
				}
				g.SetDeadline(time.Now().Add(time.Second))
				for {
					if _, err := g.in.Read(); err != nil {
						if strings.Contains(err.Error(), "deadline") {
							t.Error("the stream is still open")
						}
						break
					}
				}
				if n.Serving(saltby, planning) {
					t.Error("it is still being served")
				}
			})
		})
	}
}

// TestSkippingWithdrawals: a receiver that goes on from beyond a withdrawal
// does not get it off the list; the receipt that was lost does.
func TestSkippingWithdrawals(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n := w.run(northmoor, a)
		n.put(item("one", "X"), item("two", "X"))
		f, err := n.ledger.Feed(planning, a.Digest())
		if err != nil {
			t.Fatal(err)
		}
		open := func() (count int) {
			err := n.ledger.View(func(v *ledger.View) error {
				p, err := v.Partner(f, saltby)
				if err != nil {
					return err
				}
				return v.Outstanding(f, p, func(uint64, name.Record) bool { count++; return true })
			})
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
		ask := func(cursor uint64) *greedy {
			x := w.ask(saltby, hello(string(planning), a.Digest(), func(h *wirepb.Hello) { h.Cursor = cursor }))
			return &greedy{x, w, w.rings[saltby], planning, cursor}
		}
		g := ask(0)
		first := g.batch()
		if err := g.answer(g.ack(first, nil)); err != nil {
			t.Fatal(err)
		}
		n.put(item("one", "Y"))
		g.since = first.GetCursor()
		second := g.batch()
		lost := g.ack(second, nil) // stored there, and never sent
		lost.Cosignature = nil
		lying := g.ack(second, func(m map[string]any) { m["deleted"] = []any{} })
		lying.Cosignature = nil
		g.Reset()

		for _, late := range []*wirepb.Ack{nil, lying} {
			g = ask(second.GetCursor())
			if late != nil {
				if err := g.answer(late); err != nil {
					t.Fatal(err)
				}
			}
			n.put(item(fmt.Sprint("more", late == nil), "X"))
			for {
				b := g.batch()
				if err := g.answer(g.ack(b, nil)); err != nil {
					t.Fatal(err)
				}
				if g.since = b.GetCursor(); len(b.GetItems()) > 0 {
					break
				}
			}
			synctest.Wait()
			if open() != 1 {
				t.Errorf("%d are outstanding, want 1", open())
			}
			g.Reset()
		}
		g = ask(second.GetCursor())
		if err := g.answer(lost); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if open() != 0 {
			t.Errorf("%d are outstanding after the receipt", open())
		}
		// One for another history is none.
		g.Reset()
		g = ask(second.GetCursor())
		forged := g.ack(second, func(m map[string]any) { m["root"] = tlog.Hash{}.String() })
		if err := g.answer(forged); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n.Serving(saltby, planning) {
			t.Error("a late receipt for another history was taken")
		}
	})
}

// TestNeverAnswering: a receiver that does not answer gets two batches, not the
// whole feed, and is dropped.
func TestNeverAnswering(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n := w.run(northmoor, a)
		var many []map[string]any
		for i := range 6000 {
			many = append(many, item(fmt.Sprint("ref-", i), "X"))
		}
		n.put(many...)
		x := w.ask(saltby, hello(string(planning), a.Digest(), nil))
		batches, start := 0, time.Now()
		for {
			f, err := x.in.Read()
			if err != nil {
				break
			}
			if f.GetBatch() != nil {
				batches++
			}
		}
		if batches != 2 || time.Since(start) > 5*time.Minute {
			t.Errorf("it got %d batches in %v", batches, time.Since(start))
		}
	})
}

// TestAgreementEndsMidway: between two batches of one stream the agreement
// ends; nothing is sent after that.
func TestAgreementEndsMidway(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n := w.run(northmoor, a)
		n.put(item("one", "X"))
		g := &greedy{w.ask(saltby, hello(string(planning), a.Digest(), nil)), w, w.rings[saltby], planning, 0}
		if err := g.answer(g.ack(g.batch(), nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.book.end(planning)
		if err := n.ledger.CloseFeed(context.Background(), planning, a.Digest()); err != nil {
			t.Fatal(err)
		}
		n.put(item("two", "X"))
		f, err := g.in.Read()
		if f.GetRefuse().GetCode() != "not-in-force" {
			t.Errorf("got %v, %v", f, err)
		}
		if f, err := g.in.Read(); err == nil {
			t.Errorf("and then %v", f)
		}
	})
}
