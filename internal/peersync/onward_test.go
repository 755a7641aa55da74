package peersync_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/opinion"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// complete fills in the headings that a signature needs.
func complete(a *agreement.Agreement) {
	for _, at := range []*string{&a.Purpose, &a.Necessity, &a.DataItems, &a.LawfulBasis.Article6, &a.LawfulBasis.LegalPower, &a.DPIA, &a.RightsContact, &a.Accuracy, &a.Disposal, &a.Security, &a.Exit} {
		*at = "said"
	}
	a.Retention, a.Review = "P2Y", "2030-01-01"
	a.Roles, a.Contacts = map[name.Council]agreement.Role{}, map[name.Council]string{}
	for _, c := range a.Parties() {
		a.Roles[c], a.Contacts[c] = agreement.Controller, "officer"
	}
}

// proved returns what the parties of a text sign to put it in force, as B shows it to C.
func (w *town) proved(a *agreement.Agreement) (texts []string) {
	body := func(m map[string]any) map[string]any { return m }
	jws, _ := signedEvent(w.t, event.KindAgreementProposal, body(agreement.Proposal{Agreement: a}.Body()), a.From, w.rings[a.From], w.rings[a.From])
	texts = append(texts, string(jws))
	for _, c := range a.Parties() {
		jws, _ := signedEvent(w.t, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), c, w.rings[c], w.rings[c])
		texts = append(texts, string(jws))
	}
	return texts
}

// passing are the two agreements of a chain: a council lets the middle have reference, ward
// and phone, and reference and ward go on to the last.
func passing(t testing.TB, from, middle, last name.Council, edit func(first, second *agreement.Agreement)) (first, second *agreement.Agreement) {
	var a, b *agreement.Agreement
	a = terms(t, from, "items", 1, func(a *agreement.Agreement) {
		complete(a)
		a.Fields = []name.Field{"/reference", "/ward", "/phone"}
		a.Onward = agreement.Onward{To: []agreement.Reach{agreement.Reach(last)}, Fields: []name.Field{"/reference", "/ward"}}
		if edit != nil {
			edit(a, nil)
		}
	}, middle)
	b = terms(t, middle, "on", 1, func(b *agreement.Agreement) {
		complete(b)
		b.Origin, b.Rows = a.Name, "true"
		if edit != nil {
			edit(nil, b)
		}
	}, last)
	return a, b
}

// goneOn returns what a council holds that was passed on: version by reference.
func (h *house) goneOn(a name.Agreement, of name.Council) map[string]uint64 {
	h.w.t.Helper()
	out := map[string]uint64{}
	src := h.source(a)
	if src.From == "" {
		return out
	}
	err := h.ledger.View(func(v *ledger.View) error {
		return v.Holdings(src, 0, func(hd *ledger.Holding, err error) bool {
			if err != nil {
				h.w.t.Errorf("holding: %v", err)
				return true
			}
			if hd.View.Council != of || hd.View.Body["name"] != nil || hd.View.Body["phone"] != nil || len(hd.Passed) == 0 {
				h.w.t.Errorf("%s holds entry %d of %s with %v", h.self, hd.Index, hd.View.Council, hd.View.Disclosed)
			}
			out[hd.View.Body["reference"].(string)] = hd.View.Version
			return true
		})
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	return out
}

// TestPassedOn: what a council holds goes on where the agreement says so, as its own council
// signed it; and comes back from the last when it does from the middle.
func TestPassedOn(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a, b := passing(t, northmoor, saltby, hexwell, nil)
		n, s, x := w.run(northmoor, a), w.run(saltby, a), w.run(hexwell)
		n.put(item("one", "X"), item("two", "X"), item("far", "Y"))
		w.await("the middle has them", func() bool { return s.source(a.Name).Records == 2 })
		if err := s.ledger.OpenFeed(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.book.set(b)
		s.put(item("its own", "X"))
		feed := func() *ledger.Feed {
			f, err := s.ledger.Feed(b.Name, b.Digest())
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		pass := func() {
			t.Helper()
			if err := s.ledger.PassOn(t.Context(), feed(), agreement.Chain{a, b}, w.proved(a), "first", nil); err != nil {
				t.Fatal(err)
			}
		}
		pass()
		pass() // does nothing
		x.agree(b)
		s.Refresh()
		same := func(what string, want map[string]uint64) {
			t.Helper()
			w.await(what, func() bool { return maps.Equal(x.goneOn(b.Name, northmoor), want) })
		}
		same("what was held goes on", map[string]uint64{"one": 1, "two": 1})

		n.put(map[string]any{"reference": "one", "ward": "X", "phone": "1"}, item("three", "X"))
		same("what comes goes on", map[string]uint64{"one": 2, "two": 1, "three": 1})
		n.put(item("two", "Y"))
		same("what is taken back is", map[string]uint64{"one": 2, "three": 1})
		outstanding := func() (open int) {
			err := s.ledger.View(func(v *ledger.View) error {
				p, err := v.Partner(feed(), hexwell)
				if err != nil {
					return err
				}
				return v.Outstanding(feed(), p, func(uint64, name.Record) bool { open++; return true })
			})
			if err != nil {
				t.Fatal(err)
			}
			return open
		}
		w.await("the last has receipted it", func() bool { return outstanding() == 0 })

		// The origin is suspended, as the middle knows: nothing goes on meanwhile, and what has
		// to come back does.
		s.book.suspend(a, true)
		s.book.set(b)
		s.Refresh()
		time.Sleep(time.Minute)
		n.put(item("four", "X"), item("three", "Y"))
		n.book.suspend(a, true)
		n.Refresh()
		same("what has to come back does while it is suspended", map[string]uint64{"one": 2})
		for _, h := range []*house{n, s} {
			h.book.suspend(a, false)
			h.book.set(b)
			h.Refresh()
		}
		same("it goes on again", map[string]uint64{"one": 2, "four": 1})

		if err := s.ledger.StopPassing(t.Context(), feed()); err != nil {
			t.Fatal(err)
		}
		same("what may not be passed on any more is taken back", map[string]uint64{})
		n.put(item("five", "X"))
		w.await("the middle has it", func() bool { return s.source(a.Name).Records == 3 })
		pass()
		same("and may again", map[string]uint64{"one": 2, "four": 1, "five": 1})
		if src := s.source(a.Name); src.Records != 3 {
			t.Errorf("the middle holds %d", src.Records)
		}
		if err := s.ledger.End(t.Context(), s.source(a.Name), "over"); err != nil {
			t.Fatal(err)
		}
		same("with what it came under ends what was passed on", map[string]uint64{})
		if got := x.refusals(saltby, b.Name); len(got) > 0 {
			t.Errorf("refused: %v", got)
		}
		// The log of the middle says what went on and to whom, and nothing of what it says.
		err := s.ledger.View(func(v *ledger.View) error {
			said := 0
			v.Events(event.KindPassedOn, 0, func(i uint64) bool {
				_, jws, err := v.Event(i)
				if err != nil || strings.Contains(string(jws), "CANARY") {
					t.Errorf("entry %d: %v", i, err)
				}
				said++
				if out, err := v.LetOut(i); err != nil || len(out) == 0 {
					t.Errorf("entry %d went on and no disclosure says so: %v", i, err)
				}
				return true
			})
			if said < 7 {
				t.Errorf("%d words of passing on", said)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A middle is a council that passes on whatever the test wants: northmoor, to hexwell, of
// what saltby let it have.
type middle struct {
	w           *town
	f           *forger
	a, b        *agreement.Agreement
	texts       []string
	chain       uint64
	version     uint64
	body        map[string]any
	keep        []string
	signer      *keys.Ring
	edit        func(*event.PassedOn)
	spoil       func(*record.Token) *record.Token
	bare, naked bool // without the word of who passes on; without the signature
}

// token makes saltby's record.
func (m *middle) token(ref string) *record.Token {
	std := parish(m.w.t, "parish-item", "1.0.0")
	key, _ := json.Marshal([]string{ref})
	body := maps.Clone(m.body)
	body["reference"] = ref
	var prev tlog.Hash
	if m.version > 1 {
		prev[0] = 1
	}
	d, err := record.Build(record.Claims{Prev: prev, Council: saltby, IssuedAt: 1, Standard: std.Name(), Integrity: std.Integrity(), Version: m.version, Op: record.Put,
		Record: m.w.rings[saltby].RecordID(std.Name().Line(), string(key))}, m.signer.Record.ID(), std.Layout(), body, record.Seed{2})
	if err != nil {
		m.w.t.Fatal(err)
	}
	if !m.naked {
		sig, err := m.signer.Record.Sign(d.SigningInput())
		if err != nil {
			m.w.t.Fatal(err)
		}
		d = d.Seal(sig)
	}
	t, err := d.Present(func(p string, _ bool) bool { return slices.Contains(m.keep, p) })
	if err != nil {
		m.w.t.Fatal(err)
	}
	return t
}

// pass logs that a record goes on, and returns its index.
func (m *middle) pass(ref string) (uint64, *record.Token) {
	t := m.token(ref)
	if m.spoil != nil {
		t = m.spoil(t)
	}
	v, err := t.View()
	if err != nil {
		m.w.t.Fatal(err)
	}
	p := event.PassedOn{Agreement: m.b.Name, Version: 1, Chain: m.chain, Origin: m.a.Name, Record: v.Record, RecordVersion: v.Version, Hash: t.Entry()}
	if m.edit != nil {
		m.edit(&p)
	}
	return m.f.event(event.KindPassedOn, p.Body(), northmoor, m.f.ring), t
}

// TestHostileMiddle: who receives what was passed on refuses, by a rule in words, whatever the
// agreements before do not permit, and goes on with the rest.
func TestHostileMiddle(t *testing.T) {
	day := func(y int) agreement.Date { return agreement.Date(fmt.Sprintf("%d-01-01", y)) }
	onFirst := func(f func(a *agreement.Agreement)) func(a, b *agreement.Agreement) {
		return func(a, _ *agreement.Agreement) {
			if a != nil {
				f(a)
			}
		}
	}
	for _, c := range []struct {
		what  string
		agree func(a, b *agreement.Agreement)
		lie   func(m *middle)
		rule  string
	}{
		{what: "nothing is wrong"},
		{"the chain is left out", nil, func(m *middle) { m.chain = 9 }, judge.RuleOnwardChain},
		{"the word of who passes on is left out", nil, func(m *middle) { m.bare = true }, judge.RuleOnwardOwn},
		{"the first agreement is altered", nil, func(m *middle) {
			_, other := *m.a, *m.a
			other.Onward.Fields = append(slices.Clone(other.Onward.Fields), "/phone")
			jws, _ := signedEvent(m.w.t, event.KindAgreementProposal, agreement.Proposal{Agreement: &other}.Body(), saltby, m.w.rings[saltby], m.f.ring)
			m.texts[0] = string(jws)
		}, judge.RuleOnwardText},
		{"a signature under the first agreement is missing", nil, func(m *middle) { m.texts = m.texts[:2] }, agreement.RuleOnwardInForce},
		{"a signature is its own instead of the council's", nil, func(m *middle) {
			jws, _ := signedEvent(m.w.t, event.KindAgreementSignature, agreement.Signature{Ref: m.a.Ref()}.Body(), saltby, m.w.rings[saltby], m.f.ring)
			m.texts[1] = string(jws)
		}, judge.RuleOnwardText},
		{"the chain is of another agreement", nil, func(m *middle) { m.texts = m.w.proved(m.b) }, judge.RuleOnwardChain},
		{"onward sharing is not permitted", onFirst(func(a *agreement.Agreement) { a.Onward = agreement.Onward{} }), nil, agreement.RuleOnwardNone},
		{"the receiver is not named", onFirst(func(a *agreement.Agreement) { a.Onward.To = []agreement.Reach{"other.gov.uk", "any regulator"} }), nil, agreement.RuleOnwardTo},
		{"another agreement is named", onFirst(func(a *agreement.Agreement) { a.Onward.Under = []name.Agreement{"northmoor.gov.uk/other"} }), nil, agreement.RuleOnwardUnder},
		{"a field more is agreed than may go on", func(_, b *agreement.Agreement) {
			if b != nil {
				b.Fields = append(b.Fields, "/phone")
			}
		}, nil, agreement.RuleOnwardField},
		{"a field goes that may not", nil, func(m *middle) { m.keep = append(m.keep, "/phone") }, "field beyond the agreement"},
		{"a row goes that the first agreement does not pick", nil, func(m *middle) { m.body["ward"] = "Y" }, agreement.RuleOnwardRow},
		{"the first agreement is not in force yet", onFirst(func(a *agreement.Agreement) { a.Starts = day(2040); a.Review = day(2041) }), nil, agreement.RuleOnwardInForce},
		{"the record is its own", nil, func(m *middle) { m.signer = m.f.ring }, judge.RuleKey},
		{"the signature is left out", nil, func(m *middle) { m.naked = true }, judge.RuleOnwardPlain},
		{"its word is about another version", nil, func(m *middle) { m.edit = func(p *event.PassedOn) { p.RecordVersion = 7 } }, judge.RuleOnwardWord},
		{"its word is about another record", nil, func(m *middle) { m.edit = func(p *event.PassedOn) { p.Hash[0] ^= 1 } }, judge.RuleOnwardWord},
		{"a step more than there is", nil, func(m *middle) { m.edit = func(p *event.PassedOn) { p.Before = []string{"a.b.c"} } }, judge.RuleOnwardChain},
	} {
		t.Run(c.what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a, b := passing(t, saltby, northmoor, hexwell, c.agree)
				m := &middle{w: w, f: newForger(t, w.rings[northmoor]), a: a, b: b, texts: w.proved(a), version: 1, body: map[string]any{"ward": "X", "phone": "1", "name": "CANARY"}, keep: []string{"/ward"}, signer: w.rings[saltby]}
				honest := *m
				if c.lie != nil {
					honest.body = maps.Clone(m.body)
					honest.texts = slices.Clone(m.texts)
					c.lie(m)
				}
				proof := m.f.event(event.KindOnward, event.Onward{Agreement: b.Name, Version: 1, Origin: a.Name, Texts: m.texts}.Body(), northmoor, m.f.ring)
				good := m.f.event(event.KindOnward, event.Onward{Agreement: b.Name, Version: 1, Origin: a.Name, Texts: honest.texts}.Body(), northmoor, m.f.ring)
				if m.chain == 0 {
					m.chain = proof
				}
				honest.chain = good
				bad, token := m.pass("bad")
				rest, after := honest.pass("good")
				w.perform(northmoor, func(x *exchange) {
					batch := m.f.batch(0, m.f.from(0)...)
					for i, tok := range map[uint64]*record.Token{bad: token, rest: after} {
						p, err := m.f.packer.pack(tok)
						if err != nil {
							t.Error(err)
						}
						batch.Items[i].Record = p
					}
					if m.bare {
						// The record itself, in the place of the word: a log may hold anything.
						m.f = m.f.fork(int(bad))
						m.f.add(token.Bytes(), token.Entry())
						rest, after = honest.again(m.f, "good")
						batch = m.f.batch(0, m.f.from(0)...)
						p, _ := m.f.packer.pack(after)
						batch.Items[rest].Record = p
					}
					batch.Table = m.f.packer.table()
					if err := x.send(batch); err != nil {
						t.Error(err)
					}
				})
				x := w.run(hexwell, b)
				want := map[string]uint64{"good": 1}
				switch {
				case c.rule == "":
					want["bad"] = 1
				case c.agree != nil:
					want = map[string]uint64{} // the agreements themselves do not permit it
				}
				w.await("it is judged", func() bool { synctest.Wait(); return x.source(b.Name).Cursor > 0 })
				if got := x.goneOn(b.Name, saltby); !maps.Equal(got, want) {
					t.Errorf("holds %v, want %v", got, want)
				}
				rules := x.refusals(northmoor, b.Name)
				if (c.rule == "") != (len(rules) == 0) || c.rule != "" && !slices.Contains(rules, c.rule) {
					t.Errorf("refused by %q, want %q", rules, c.rule)
				}
			})
		})
	}
}

// again passes a record on in another log.
func (m *middle) again(f *forger, ref string) (uint64, *record.Token) {
	m.f = f
	return m.pass(ref)
}

// TestPassedOnAfterItWasTakenBack: a version that its own council took back is not kept when
// it comes again, and a later one is.
func TestPassedOnAfterItWasTakenBack(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a, b := passing(t, saltby, northmoor, hexwell, nil)
		m := &middle{w: w, f: newForger(t, w.rings[northmoor]), a: a, b: b, version: 1, body: map[string]any{"ward": "X"}, keep: []string{"/ward"}, signer: w.rings[saltby]}
		m.chain = m.f.event(event.KindOnward, event.Onward{Agreement: b.Name, Version: 1, Origin: a.Name, Texts: w.proved(a)}.Body(), northmoor, m.f.ring)
		step := 0
		stage := w.perform(northmoor, nil)
		stage.proveBy(m.f.prove)
		send := func(index uint64, token *record.Token) func(*exchange) {
			return func(x *exchange) {
				from := x.hello.GetCursor()
				if from == m.f.tree.Size() {
					x.Stream.Reset()
					return // it has all
				}
				batch := m.f.batch(x.hello.GetTreeSize(), m.f.from(from)...)
				if token != nil {
					p, err := m.f.packer.pack(token)
					if err != nil {
						t.Error(err)
					}
					batch.Items[index-from].Record, batch.Table = p, m.f.packer.table()
				}
				if err := x.send(batch); err != nil {
					t.Error(err)
				}
				x.in.Read() // its answer
				x.Stream.Reset()
			}
		}
		one, token := m.pass("one")
		stage.set(send(one, token))
		x := w.run(hexwell, b)
		next := func(want uint64, play func(*exchange)) {
			t.Helper()
			step++
			size := m.f.tree.Size()
			stage.set(play)
			w.await(fmt.Sprint("step ", step), func() bool { return x.source(b.Name).Cursor == size })
			if got := x.goneOn(b.Name, saltby)["one"]; got != want {
				t.Errorf("step %d: held at version %d, want %d", step, got, want)
			}
		}
		next(1, send(one, token))
		v, err := token.View()
		if err != nil {
			t.Fatal(err)
		}
		m.f.event(event.KindWithdrawal, event.Withdrawal{Agreement: b.Name, Version: 1, Record: v.Record, Reason: ledger.WithdrawnAtOrigin, Entry: one}.Body(), northmoor, m.f.ring)
		next(0, send(0, nil))
		again, token := m.pass("one")
		next(0, send(again, token))
		if rules := x.refusals(northmoor, b.Name); !slices.Contains(rules, judge.RuleOnwardGone) {
			t.Errorf("refused by %q", rules)
		}
		m.version = 2
		later, token := m.pass("one")
		next(2, send(later, token))
	})
}

const fenwick name.Council = "fenwick.gov.uk"

// passOn has a council pass on what it holds, by the chain.
func (h *house) passOn(chain agreement.Chain, proof string) *ledger.Feed {
	h.w.t.Helper()
	doc := chain[len(chain)-1]
	var texts []string
	for _, a := range chain[:len(chain)-1] {
		texts = append(texts, h.w.proved(a)...)
	}
	err := h.ledger.OpenFeed(h.w.t.Context(), doc)
	h.book.set(doc)
	var f *ledger.Feed
	if err == nil {
		f, err = h.ledger.Feed(doc.Name, doc.Digest())
	}
	if err == nil {
		err = h.ledger.PassOn(h.w.t.Context(), f, chain, texts, proof, nil)
	}
	if err == nil {
		f, err = h.ledger.Feed(doc.Name, doc.Digest())
	}
	if err != nil {
		h.w.t.Fatal(err)
	}
	h.Refresh()
	return f
}

// orders returns how many orders to erase of a council this one keeps.
func (h *house) orders(from name.Council) (n int) {
	h.w.t.Helper()
	err := h.ledger.View(func(v *ledger.View) error {
		return v.OrdersFrom(from, 0, func(uint64, []byte) bool { n++; return true })
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	return n
}

// twoSteps are the three agreements by which records of northmoor go by saltby and hexwell to
// fenwick.
func twoSteps(t testing.TB, steps int) agreement.Chain {
	return stepsBy(t, steps, northmoor, saltby, hexwell, fenwick)
}

// stepsBy are the agreements by which records of the first of some councils go from each to
// the next; the first of them lets them go so many further steps.
func stepsBy(t testing.TB, steps int, councils ...name.Council) (all agreement.Chain) {
	for i, to := range councils[1:] {
		all = append(all, terms(t, councils[i], []string{"items", "on", "further", "beyond"}[i], 1, func(a *agreement.Agreement) {
			complete(a)
			if i == 0 {
				a.Fields = append(a.Fields, "/phone")
			} else {
				a.Origin, a.Rows = all[i-1].Name, "true"
			}
			for _, c := range councils[i+2:] {
				a.Onward.To = append(a.Onward.To, agreement.Reach(c))
			}
			if len(a.Onward.To) > 0 {
				a.Onward.Fields, a.Onward.Steps = []name.Field{"/reference", "/ward"}, max(steps-i, 1)
			}
		}, to))
	}
	return all
}

// TestPassedOnTwice: what its council lets go two steps goes two steps, and what it erases is
// erased at the end of them; so ends what the one in the middle keeps no longer.
func TestPassedOnTwice(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		all := twoSteps(t, 2)
		a, b, c := all[0], all[1], all[2]
		n, s, x, d := w.run(northmoor, a), w.run(saltby, a), w.run(hexwell), w.run(fenwick)
		put := n.put(item("one", "X"), item("two", "X"))
		w.await("the second has them", func() bool { return s.source(a.Name).Records == 2 })
		s.passOn(all[:2], "first")
		x.agree(b)
		w.await("the third has them", func() bool { return len(x.goneOn(b.Name, northmoor)) == 2 })
		x.passOn(all, "second")
		d.agree(c)
		w.await("the fourth has them", func() bool { return maps.Equal(d.goneOn(c.Name, northmoor), map[string]uint64{"one": 1, "two": 1}) })

		if err := n.ledger.Write(t.Context(), n.ledger.OfferDelete(put[0].Record)); err != nil {
			t.Fatal(err)
		}
		w.await("what is taken back is, everywhere", func() bool {
			return s.source(a.Name).Records == 1 && len(x.goneOn(b.Name, northmoor)) == 1 && maps.Equal(d.goneOn(c.Name, northmoor), map[string]uint64{"two": 1})
		})
		if _, err := n.ledger.Erase(t.Context(), put[0].Record, "a person asked", false); err != nil {
			t.Fatal(err)
		}
		// By the order that each keeps: a cursor may be beyond the end of a feed, since a page
		// that comes to the end of it leads to the end of the log.
		w.await("the order to erase it goes on, too", func() bool {
			return s.orders(northmoor) == 1 && x.orders(saltby) == 1 && d.orders(hexwell) == 1
		})

		src := s.source(a.Name)
		var kept []ledger.Kept
		if err := s.ledger.View(func(v *ledger.View) error {
			return v.Kept(src, func(k ledger.Kept) bool { kept = append(kept, k); return true })
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.ledger.Expire(t.Context(), src, 1, kept, northmoor); err != nil {
			t.Fatal(err)
		}
		w.await("what the second keeps no longer the others do not either", func() bool {
			return len(x.goneOn(b.Name, northmoor)) == 0 && len(d.goneOn(c.Name, northmoor)) == 0
		})
		if got := append(x.refusals(saltby, b.Name), d.refusals(hexwell, c.Name)...); len(got) > 0 {
			t.Errorf("refused: %v", got)
		}
	}, fenwick)
}

// TestSuspendedBeforeTheSecond: who was given what was passed on learns from who gives it that the
// first agreement is suspended, since withdrawals alone come: it passes on nothing either while
// that lasts, what is there stays, and what has to come back does.
func TestSuspendedBeforeTheSecond(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		all := twoSteps(t, 2)
		a, b, c := all[0], all[1], all[2]
		n, s, x, d := w.run(northmoor, a), w.run(saltby, a), w.run(hexwell), w.run(fenwick)
		n.put(item("one", "X"), item("two", "X"))
		w.await("the second has them", func() bool { return s.source(a.Name).Records == 2 })
		s.passOn(all[:2], "first")
		x.agree(b)
		w.await("the third has them", func() bool { return len(x.goneOn(b.Name, northmoor)) == 2 })

		s.book.suspend(a, true)
		s.Refresh()
		w.await("withdrawals alone come to the third", func() bool { return x.source(b.Name).Stopped })
		x.passOn(all, "second")
		d.agree(c)
		w.await("and to the fourth", func() bool { return d.source(c.Name).Stopped })
		if third, fourth := x.goneOn(b.Name, northmoor), d.goneOn(c.Name, northmoor); len(third) != 2 || len(fourth) != 0 {
			t.Errorf("while the first agreement is suspended the third holds %v, and %v went on", third, fourth)
		}
		n.put(item("two", "Y"))
		n.book.suspend(a, true)
		n.Refresh()
		w.await("what has to come back does", func() bool { return maps.Equal(x.goneOn(b.Name, northmoor), map[string]uint64{"one": 1}) })

		for _, h := range []*house{n, s} {
			h.book.suspend(a, false)
			h.Refresh()
		}
		w.await("once it is resumed the rest goes on", func() bool { return maps.Equal(d.goneOn(c.Name, northmoor), map[string]uint64{"one": 1}) })
		if x.source(b.Name).Stopped || d.source(c.Name).Stopped {
			t.Error("they are thought to give withdrawals alone still")
		}
	}, fenwick)
}

// TestTooManySteps: where its council lets a record go one step, the second goes by neither
// the receiver, which judges the agreements that it is shown, nor the second opinion of who
// would pass it on.
func TestTooManySteps(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		for steps, want := range map[int]string{1: agreement.RuleOnwardSteps, 2: ""} {
			all := twoSteps(t, steps)
			texts := append(w.proved(all[0]), w.proved(all[1])...)
			j := judge.New(judge.Options{Directory: w.dir, Now: time.Now})
			if _, rule, err := j.Onward(all[2], fenwick, texts); rule != want || err != nil {
				t.Errorf("%d steps: %q, %v, want %q", steps, rule, err, want)
			}
		}
		all := twoSteps(t, 1)
		n, s, x, d := w.run(northmoor, all[0]), w.run(saltby, all[0]), w.run(hexwell), w.run(fenwick)
		n.put(item("one", "X"))
		w.await("the second has it", func() bool { return s.source(all[0].Name).Records == 1 })
		s.passOn(all[:2], "first")
		x.agree(all[1])
		w.await("the third has it", func() bool { return len(x.goneOn(all[1].Name, northmoor)) == 1 })
		x.passOn(all, "beyond")
		d.agree(all[2])
		w.await("it is noticed", func() bool { return x.ledger.Disagreement(all[2].Digest()) != nil })
		if got := x.ledger.Disagreement(all[2].Digest()); got.Rule != opinion.RuleOnward || got.To != fenwick {
			t.Errorf("the disagreement is %+v", got)
		}
		if got := d.goneOn(all[2].Name, northmoor); len(got) > 0 {
			t.Errorf("went on: %v", got)
		}
	}, fenwick)
}

// TestSecondOpinionOnward: a fault in what decides first which fields go on lets nothing out.
func TestSecondOpinionOnward(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a, b := passing(t, northmoor, saltby, hexwell, nil)
		n, s, x := w.run(northmoor, a), w.run(saltby, a), w.run(hexwell)
		n.put(item("one", "X"))
		w.await("the middle has it", func() bool { return s.source(a.Name).Records == 1 })
		f := s.passOn(agreement.Chain{a, b}, "first")
		x.agree(b)
		w.await("the first goes on", func() bool { return len(x.goneOn(b.Name, northmoor)) == 1 })
		byStd := *(**sync.Map)(unsafe.Pointer(reflect.ValueOf(f).Elem().FieldByName("byStd").UnsafeAddr()))
		planted := 0
		byStd.Range(func(_, compiled any) bool {
			p, is := compiled.(*agreement.Passage)
			if !is {
				return true
			}
			earlier := reflect.ValueOf(p).Elem().FieldByName("earlier")
			reflect.NewAt(earlier.Type(), unsafe.Pointer(earlier.UnsafeAddr())).Elem().SetZero()
			all := reflect.ValueOf(p).Elem().FieldByName("last").Elem().FieldByName("tree").Elem().FieldByName("all")
			*(*bool)(unsafe.Pointer(all.UnsafeAddr())) = true
			planted++
			return true
		})
		if planted == 0 {
			t.Fatal("nothing was planted")
		}
		n.put(map[string]any{"reference": "two", "ward": "X", "phone": "CANARY"})
		w.await("it is noticed", func() bool { return s.ledger.Disagreement(b.Digest()) != nil })
		if got := s.ledger.Disagreement(b.Digest()); got.Rule != opinion.RuleField || got.To != hexwell {
			t.Errorf("the disagreement is %+v", got)
		}
		if got := x.goneOn(b.Name, northmoor); len(got) != 1 {
			t.Errorf("went on: %v", got)
		}
	})
}
