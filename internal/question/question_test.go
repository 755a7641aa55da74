package question_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk") // answers
	saltby    = name.Council("saltby.gov.uk")    // asks
	hexwell   = name.Council("hexwell.gov.uk")   // a neighbour
)

// A world is three councils that ask and answer each other, without a node.
type world struct {
	net      *wire.Memory
	dir      *directory.Directory
	councils map[name.Council]*council
}

// A council is what one of them has.
type council struct {
	*question.Asker
	*question.Answerer
	t      testing.TB
	self   name.Council
	ledger *ledger.Ledger
	net    *wire.MemoryNode
	perDay int
	// perHour is 0 for none.
	perHour int
	told    int           // how often it was looked what may be told
	also    []name.Record // that it tells of beside those asked about

	mu      sync.Mutex // guards what follows
	status  map[name.Agreement]agreement.Status
	changed chan struct{}
	waits   chan struct{} // buffered: somebody took the channel
}

func (c *council) Status(a name.Agreement, _ time.Time) (agreement.Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st, ok := c.status[a]
	return st, ok
}

func (c *council) Texts(a name.Agreement, now time.Time) (out []agreement.Status) {
	if st, ok := c.Status(a, now); ok {
		out = append(out, st)
	}
	return out
}

func (c *council) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.waits <- struct{}{}:
	default:
	}
	return c.changed
}

// noFootprints is what a council knows that has nothing to do with any.
type noFootprints struct{}

func (noFootprints) Is(name.Council) bool                      { return false }
func (noFootprints) Members(name.Council) []name.Council       { return nil }
func (noFootprints) Replica(name.Council) *footprint.Footprint { return nil }
func (noFootprints) Signers(name.Council, agreement.Ref) ([]name.Council, error) {
	return nil, nil
}

func newWorld(t testing.TB) (a, b *council, w *world) {
	t.Helper()
	w = &world{net: wire.NewMemory(), councils: map[name.Council]*council{}}
	var members []directory.Member
	rings := map[name.Council]*keys.Ring{}
	for i, c := range []name.Council{northmoor, saltby, hexwell} {
		r, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		m := directory.FromRing(c, r)
		m.Title, m.GSS, m.Role = string(c), fmt.Sprintf("E0700099%d", i), directory.RoleCouncil
		m.ValidFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		rings[c], members = r, append(members, m)
	}
	var err error
	if w.dir, err = directory.New(members...); err != nil {
		t.Fatal(err)
	}
	for c, r := range rings {
		x := &council{t: t, self: c, net: w.net.Node(c), perDay: 50, status: map[name.Agreement]agreement.Status{}, changed: make(chan struct{}), waits: make(chan struct{}, 1)}
		l, err := ledger.Open(ledger.Options{InMemory: true, Council: c, Keys: r})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		o := question.Options{
			Self: c, Ledger: l, Keys: r, Directory: w.dir, Agreements: x, Footprints: noFootprints{},
			Judge: judge.New(judge.Options{
				Directory: w.dir, Ledger: l, Standards: l.Standard, Now: time.Now,
				Prove: func(_, c name.Council) ledger.Prover {
					return func(_ context.Context, first, second uint64) ([]tlog.Hash, error) {
						return w.councils[c].ledger.Consistency(first, second)
					}
				},
			}),
			Tell: func(_ context.Context, _ *ledger.View, _ *agreement.Agreement, _ name.Council, records []name.Record) (out []event.Told, _ uint64, _ error) {
				x.told++
				for _, r := range append(records, x.also...) {
					out = append(out, event.Told{Record: r, Says: event.ToldNot})
				}
				return out, 0, nil
			},
			PerDay: func() int { return x.perDay }, PerHour: func() int { return x.perHour }, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
		}
		x.ledger, x.Asker, x.Answerer = l, question.NewAsker(o), question.NewAnswerer(o)
		x.net.Handle(wirepb.LookupProtocol, func(ctx context.Context, from name.Council, st wire.Stream) { x.Serve(ctx, from, st) })
		if err := l.Adopt(t.Context(), caseStandard(t)); err != nil {
			t.Fatal(err)
		}
		w.councils[c] = x
	}
	return w.councils[northmoor], w.councils[saltby], w
}

// caseStandard returns a made-up standard with something of every class.
func caseStandard(t testing.TB) *standard.Standard {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte(`
name: standards.example/case
version: 1.0.0
title: Case
status: live
key: [/reference]
classes:
  /reference: open
  /status: internal
  /district: internal
  /moved: internal
`)},
		"schema.json": {Data: []byte(`{"type": "object", "required": ["reference"], "properties": {
			"reference": {"type": "string"}, "status": {"type": "string"}, "district": {"type": "string"}, "moved": {"type": "boolean"},
			"number": {"type": "string"}, "name": {"type": "string"}, "notes": {"type": "string"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// text returns a document by which saltby may ask northmoor.
func text(t testing.TB, nm string, mode agreement.Mode, edit func(*agreement.Agreement)) *agreement.Agreement {
	t.Helper()
	a := &agreement.Agreement{
		Name: name.Agreement(string(northmoor) + "/" + nm), Version: 1, From: northmoor, To: []name.Council{saltby}, Mode: mode,
		Standard: caseStandard(t).Name().Line(), Rows: "record.moved == true", Starts: "2000-01-01",
		Fields: []name.Field{"/reference", "/status", "/name"}, Match: []name.Field{"/number", "/reference"},
	}
	if mode == agreement.Aggregate {
		a.Rows, a.Match, a.Fields = "true", nil, []name.Field{"/reference", "/district", "/status"}
	}
	if edit != nil {
		edit(a)
	}
	again, err := agreement.ParseCanonical(a.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// agreed brings a document into force with everybody.
func (w *world) agreed(t testing.TB, doc *agreement.Agreement) name.Agreement {
	t.Helper()
	for _, c := range w.councils {
		c.stands(doc, agreement.InForce, "")
		if c.self == doc.From {
			if err := errors.Join(c.ledger.OpenFeed(t.Context(), doc), c.ledger.AwaitFeed(t.Context(), doc)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return doc.Name
}

// waitsFor says that a document waits for a party's signature.
func (c *council) waitsFor(doc *agreement.Agreement, party name.Council) {
	c.stands(doc, agreement.Proposed, "awaiting "+string(party)+"'s signature")
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.status[doc.Name]
	st.Awaiting = []name.Council{party}
	c.status[doc.Name] = st
}

// stands says where a document stands, as one council sees it.
func (c *council) stands(doc *agreement.Agreement, p agreement.Phase, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status[doc.Name] = agreement.Status{Agreement: doc, Digest: doc.Digest(), Phase: p, Why: why}
	close(c.changed)
	c.changed = make(chan struct{})
}

func person(ref, number string, moved bool) map[string]any {
	return map[string]any{"reference": ref, "number": number, "moved": moved, "name": "Tomos Whitfield", "status": "open", "district": "A", "notes": "CANARY"}
}

// put writes records and returns their ids.
func (c *council) put(bodies ...map[string]any) (out []name.Record) {
	c.t.Helper()
	var offers []*ledger.Offer
	for _, b := range bodies {
		o, err := c.ledger.Offer(caseStandard(c.t), b)
		if err != nil {
			c.t.Fatal(err)
		}
		offers = append(offers, o)
	}
	if err := c.ledger.Write(c.t.Context(), offers...); err != nil {
		c.t.Fatal(err)
	}
	for _, o := range offers {
		r, err := o.Result()
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, r.Record)
	}
	return out
}

// asked returns how many questions a council has counted today, and how many it
// has answered.
func (c *council) asked(doc *agreement.Agreement) (counted, answered int) {
	c.t.Helper()
	err := c.ledger.View(func(v *ledger.View) (err error) {
		all, err := question.List(v, c.self, doc.Name)
		if err != nil {
			return err
		}
		for _, q := range all {
			if !q.Ours {
				answered++
			}
		}
		counted, err = v.QuestionsToday(doc.Digest(), saltby)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return counted, answered
}

// What is found is what the agreement lets be found, with its fields and no other,
// and both sides have logged the question and not its value.
func TestLookup(t *testing.T) {
	a, b, w := newWorld(t)
	a.put(person("C-1", "AB123456C", true), person("C-2", "AB123457C", false))
	doc := text(t, "cases", agreement.Lookup, nil)
	w.agreed(t, doc)
	ask := func(field name.Field, value string) (*question.Answer, error) {
		return b.Lookup(t.Context(), b.net, question.Request{Agreement: doc.Name, Field: field, Value: value, Because: "case 1"})
	}
	got, err := ask("/number", "AB123456C")
	if err != nil || len(got.Records) != 1 || !got.Receipt || got.By != northmoor {
		t.Fatalf("%+v, %v", got, err)
	}
	if body := got.Records[0].View.Body; len(body) != 3 || body["name"] != "Tomos Whitfield" || body["reference"] != "C-1" {
		t.Errorf("shown: %v", body)
	}
	// A record outside the filter and one that is not are the same.
	_, outside := ask("/number", "AB123457C")
	_, none := ask("/number", "AB999999C")
	if kind(outside) != api.NotFound || kind(none) != api.NotFound || outside.Error() != none.Error() {
		t.Errorf("told apart: %v and %v", outside, none)
	}
	for what, c := range map[string]struct {
		field name.Field
		value string
		want  api.Kind
	}{
		"by a field that is not agreed": {"/name", "Tomos Whitfield", api.Refused},
		"by nothing":                    {"/number", "", api.Usage},
		"by no text":                    {"/number", "\xff", api.Usage},
	} {
		if _, err := ask(c.field, c.value); kind(err) != c.want {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range []*council{a, b} {
		err := c.ledger.View(func(v *ledger.View) error {
			all, err := question.List(v, c.self, doc.Name)
			if len(all) != 3 || !slices.IsSortedFunc(all, func(a, b question.Logged) int { return int(a.Index) - int(b.Index) }) {
				t.Errorf("%s logged %+v", c.self, all)
			}
			for _, q := range all {
				if q.Because != "case 1" || q.Outcome == "" || !q.Receipt || q.Ours != (c == b) {
					t.Errorf("%s logged %+v", c.self, q)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Who signs as the last knows first that an agreement is in force. A question that
// comes before the notice of it waits for that, and no other question does.
func TestQuestionWaitsForTheNotice(t *testing.T) {
	a, b, w := newWorld(t)
	a.put(person("C-1", "AB123456C", true))
	doc := text(t, "cases", agreement.Lookup, nil)
	w.agreed(t, doc)
	p, err := b.Pose(t.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/reference", Value: "C-1", Because: "case 1"})
	if err != nil {
		t.Fatal(err)
	}
	a.waitsFor(doc, saltby)
	got := make(chan *wirepb.Answer, 1)
	go func() { got <- a.answered(saltby, p) }()
	<-a.waits // it looks
	select {
	case out := <-got:
		t.Fatalf("answered before the signature was here: %q", out.GetCode())
	default:
	}
	a.stands(doc, agreement.InForce, "")
	if out := <-got; out.GetCode() != "" || len(out.GetEntries()) != 1 {
		t.Errorf("answered: %q", out.GetCode())
	}
	// Nobody is waited for but who asks; these come back at once.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	a.waitsFor(doc, hexwell)
	if out, _ := a.Answer(ctx, saltby, p.Message(0)); out.GetCode() != "not-in-force" || ctx.Err() != nil {
		t.Errorf("while another's signature is missing: %q", out.GetCode())
	}
	a.stands(doc, agreement.Suspended, "suspended by northmoor.gov.uk")
	if out, _ := a.Answer(ctx, saltby, p.Message(0)); out.GetCode() != "not-in-force" || ctx.Err() != nil {
		t.Errorf("while it is suspended: %q", out.GetCode())
	}
}

// kind returns what kind of failure an error is, "" for none that can be shown.
func kind(err error) api.Kind {
	if e, ok := err.(*api.Error); ok {
		return e.Kind
	}
	return ""
}
