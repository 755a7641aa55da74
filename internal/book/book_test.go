package book

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
	hexwell   = name.Council("hexwell.gov.uk")
	eastmere  = name.Council("eastmere.gov.uk")
	ironmoor  = name.Council("ironmoor.gov.uk")
	fens      = name.Council("fens.example")
)

// day is when everything here happens.
var day = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

// known is what a node knows of the one footprint there is: who keeps it, and
// whether the node itself does.
type known struct {
	members []name.Council
	ours    bool
}

func (k known) Is(c name.Council) bool  { return c == fens }
func (k known) Has(c name.Council) bool { return c == fens && k.ours }
func (k known) Members(c name.Council) []name.Council {
	if c == fens {
		return k.members
	}
	return nil
}
func (k known) Fellows() []name.Council {
	if k.ours {
		return k.members
	}
	return nil
}

// A house is one node's ledger, and the keys of whoever else speaks.
type house struct {
	t       testing.TB
	rings   map[name.Council]*keys.Ring
	ledger  *ledger.Ledger
	changed int
}

func newHouse(t testing.TB) *house {
	t.Helper()
	s := &house{t: t, rings: map[name.Council]*keys.Ring{}}
	l, err := ledger.Open(ledger.Options{InMemory: true, Council: northmoor, Keys: s.ring(northmoor), Now: func() time.Time { return day }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s.ledger = l
	return s
}

func (s *house) ring(c name.Council) *keys.Ring {
	if s.rings[c] == nil {
		r, err := keys.Generate(c)
		if err != nil {
			s.t.Fatal(err)
		}
		s.rings[c] = r
	}
	return s.rings[c]
}

// open opens the book of northmoor, as at a start of its node.
func (s *house) open(f Footprints) *Book {
	s.t.Helper()
	b, err := Open(Options{
		Self: northmoor, Ledger: s.ledger, Footprints: f, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return day },
		Changed: func() { s.changed++ },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// event signs an event, said seconds after the beginning of the day.
func (s *house) event(c name.Council, kind string, body map[string]any, seconds int) (*record.Event, []byte) {
	s.t.Helper()
	ring := s.ring(c)
	d, err := record.BuildEvent(record.Event{Council: c, IssuedAt: day.Add(-time.Hour).Unix() + int64(seconds), Kind: kind, Body: body}, ring.Record.ID())
	if err != nil {
		s.t.Fatal(err)
	}
	sig, err := ring.Record.Sign(d.SigningInput())
	if err != nil {
		s.t.Fatal(err)
	}
	jws := d.Seal(sig).Bytes()
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		s.t.Fatal(err)
	}
	return ev, jws
}

// parsed is event, without its bytes.
func (s *house) parsed(c name.Council, kind string, body map[string]any, seconds int) *record.Event {
	ev, _ := s.event(c, kind, body, seconds)
	return ev
}

// tell has a council's event arrive as a notice.
func (s *house) tell(b *Book, c name.Council, kind string, body map[string]any, seconds int) {
	s.t.Helper()
	_, jws := s.event(c, kind, body, seconds)
	b.Notice(c, 0, jws)
}

func (s *house) log(kind string, body map[string]any) {
	s.t.Helper()
	if _, _, err := s.ledger.AppendNotice(s.t.Context(), kind, body); err != nil {
		s.t.Fatal(err)
	}
}

// document returns the example of package agreement with councils in the place of
// its sender and its receiver.
func document(t testing.TB, from, to name.Council) *agreement.Agreement {
	t.Helper()
	b, err := os.ReadFile("../agreement/testdata/people-moving-to-saltby.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("northmoor.gov.uk", "SENDER", "saltby.gov.uk", string(to)).Replace(string(b))
	a, err := agreement.Parse([]byte(strings.ReplaceAll(text, "SENDER", string(from))))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func phase(t testing.TB, b *Book, a *agreement.Agreement) agreement.Phase {
	t.Helper()
	st, ok := b.Status(a.Name, day)
	if !ok {
		t.Fatalf("%s is not known", a.Name)
	}
	return st.Phase
}

func notice(a *agreement.Agreement, why string, at time.Time) map[string]any {
	return agreement.Notice{Ref: a.Ref(), Reason: why, At: at}.Body()
}

// What we said ourselves is known again at the next start, and what a partner says
// changes the state at once and is told to whoever waits.
func TestBookOfTwoCouncils(t *testing.T) {
	s := newHouse(t)
	a := document(t, northmoor, saltby)
	s.log(event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body())
	s.log(event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body())
	b := s.open(known{})
	if p := phase(t, b, a); p != agreement.Proposed {
		t.Fatalf("it is %v, and saltby has not signed", p)
	}
	if doc, why := b.InForce(a.Name, day); doc != nil || !strings.Contains(why, "saltby.gov.uk's signature") {
		t.Errorf("in force: %v, %q", doc, why)
	}
	news, before := b.Changed(), s.changed
	s.tell(b, saltby, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 1)
	select {
	case <-news:
	default:
		t.Error("who waits was not told")
	}
	if s.changed == before {
		t.Error("the exchange was not told")
	}
	if doc, why := b.InForce(a.Name, day); doc == nil {
		t.Errorf("not in force: %s", why)
	}
	if got := b.Related(); !slices.Equal(got, []name.Council{northmoor, saltby}) {
		t.Errorf("related to %v", got)
	}
	if in := b.Inbound(day); len(in) != 0 {
		t.Errorf("we receive nothing: %v", in)
	}
	// Somebody who is no party changes nothing.
	s.tell(b, hexwell, event.KindAgreementEnd, notice(a, "over", day.Add(-time.Minute)), 2)
	if p := phase(t, b, a); p != agreement.InForce {
		t.Errorf("a stranger ended it: %v", p)
	}
	// Nor does an event that comes in another council's stream.
	_, jws := s.event(saltby, event.KindAgreementEnd, notice(a, "over", day.Add(-time.Minute)), 3)
	b.Notice(hexwell, 0, jws)
	if p := phase(t, b, a); p != agreement.InForce {
		t.Errorf("ended by an event that hexwell brought: %v", p)
	}
	b.Notice(saltby, 0, jws)
	if p := phase(t, b, a); p != agreement.Ended {
		t.Errorf("saltby ended it, and it is %v", p)
	}
}

// A case is begun by a council with which we have signed that records go by hand, in that
// direction and of that sort; what anybody else says of one is nothing of ours.
func TestWhoBeginsACase(t *testing.T) {
	s := newHouse(t)
	from, to := document(t, saltby, northmoor), document(t, northmoor, saltby)
	from.Mode, to.Mode = agreement.Handover, agreement.BreakGlass
	unsigned := document(t, hexwell, northmoor)
	unsigned.Mode = agreement.Handover
	b := s.open(known{})
	begins := func(c name.Council, kind string) bool {
		return b.Concerns(s.parsed(c, kind, map[string]any{}, 9))
	}
	said := func(when string, offers, asks bool) {
		t.Helper()
		for kind, want := range map[string]bool{event.KindHandoverOffer: offers, event.KindUrgentAsked: asks, event.KindUrgentDecided: false, event.KindHandoverAnswer: true} {
			if got := begins(saltby, kind); got != want {
				t.Errorf("%s: %s of saltby: %v, want %v", when, kind, got, want)
			}
		}
		if begins(hexwell, event.KindHandoverOffer) || begins(hexwell, event.KindUrgentAsked) {
			t.Errorf("%s: hexwell begins one", when)
		}
	}
	said("nothing is signed", false, false)
	for _, a := range []*agreement.Agreement{from, unsigned} {
		s.tell(b, a.From, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 1)
		s.tell(b, a.From, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 2)
	}
	said("we have not signed", false, false)
	for i, e := range []struct {
		kind string
		body map[string]any
	}{
		{event.KindAgreementSignature, agreement.Signature{Ref: from.Ref()}.Body()},
		{event.KindAgreementProposal, agreement.Proposal{Agreement: to}.Body()},
		{event.KindAgreementSignature, agreement.Signature{Ref: to.Ref()}.Body()},
	} {
		s.tell(b, northmoor, e.kind, e.body, 3+i)
	}
	said("we have signed both", true, true)
	s.tell(b, saltby, event.KindAgreementEnd, notice(from, "over", day.Add(-time.Minute)), 8)
	said("the first is over, and words of before may come", true, true)
}

// A receiver may hear of an end before the sender does, and say at once that it deleted all:
// that counts as soon as the sender knows, unless something went between the two since.
func TestReceiptBeforeTheEnd(t *testing.T) {
	for _, since := range []bool{false, true} {
		s := newHouse(t)
		std, err := standard.Load(schemas.FS("housing-need/1.0.0"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.ledger.Adopt(t.Context(), std); err != nil {
			t.Fatal(err)
		}
		a := document(t, northmoor, saltby)
		a.To = []name.Council{hexwell, saltby}
		s.log(event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body())
		s.log(event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body())
		if err := s.ledger.OpenFeed(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		b := s.open(known{})
		s.tell(b, saltby, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 1)
		s.tell(b, hexwell, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 1)
		f, err := s.ledger.Feed(a.Name, a.Digest())
		if err != nil {
			t.Fatal(err)
		}
		holds := func(n int) {
			if err := s.ledger.Acknowledge(t.Context(), f, saltby, ledger.Ack{Cursor: uint64(n), Held: n}); err != nil {
				t.Fatal(err)
			}
		}
		holds(3)
		s.tell(b, saltby, event.KindReceipt, event.Receipt{Agreement: a.Name, From: northmoor, Size: 9, Cursor: 9, All: true, DeletedAll: 3, Reason: "ended by hexwell.gov.uk"}.Body(), 2)
		if since {
			holds(4)
		}
		s.tell(b, hexwell, event.KindAgreementEnd, notice(a, "over", day.Add(-time.Minute)), 3)
		if err := b.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, err := b.partner(f, saltby)
		if err != nil || p.Done == since || (p.Held == 0) == since {
			t.Errorf("something went since: %v: %+v, %v", since, p, err)
		}
		if len(b.early) != 0 {
			t.Error("a receipt is kept that counts no more")
		}
	}
}

// A footprint outside has no key: it has signed when a majority of those have whom
// the directory calls its members, each counted once.
func TestFootprintOutsideSigns(t *testing.T) {
	s := newHouse(t)
	b := s.open(known{members: []name.Council{saltby, hexwell, eastmere}})
	a := document(t, northmoor, fens)
	b.apply(s.parsed(northmoor, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 0))
	b.apply(s.parsed(northmoor, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 0))
	sign := agreement.Signature{Ref: a.Ref()}.Body()
	for i, step := range []struct {
		by   name.Council
		want agreement.Phase
	}{
		{saltby, agreement.Proposed},
		{saltby, agreement.Proposed},   // said twice, counted once
		{ironmoor, agreement.Proposed}, // no member
		{hexwell, agreement.InForce},
	} {
		s.tell(b, step.by, event.KindAgreementSignature, sign, i)
		if p := phase(t, b, a); p != step.want {
			t.Errorf("after %s, step %d, it is %v, want %v", step.by, i, p, step.want)
		}
	}
	if got := b.SignedBy(a.Ref(), []name.Council{saltby, hexwell, eastmere}); !slices.Equal(got, []name.Council{saltby, hexwell}) {
		t.Errorf("signed by %v", got)
	}
	// It is talked to by talking to its members.
	if got := b.Related(); !slices.Equal(got, []name.Council{eastmere, hexwell, northmoor, saltby}) {
		t.Errorf("related to %v", got)
	}
}

// One member suspends for its footprint, and a majority resumes.
func TestFootprintOutsideSuspends(t *testing.T) {
	s := newHouse(t)
	b := s.open(known{members: []name.Council{saltby, hexwell, eastmere}})
	a := document(t, northmoor, fens)
	b.apply(s.parsed(northmoor, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 0))
	b.apply(s.parsed(northmoor, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 0))
	for _, c := range []name.Council{saltby, hexwell} {
		s.tell(b, c, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 1)
	}
	at := day.Add(-time.Hour)
	step := func(by name.Council, kind string, minute int, want agreement.Phase) {
		t.Helper()
		s.tell(b, by, kind, notice(a, "because", at.Add(time.Duration(minute)*time.Minute)), 60*minute)
		if p := phase(t, b, a); p != want {
			t.Errorf("minute %d: %v after %s of %s, want %v", minute, p, kind, by, want)
		}
	}
	step(ironmoor, event.KindAgreementSuspend, 1, agreement.InForce)
	step(hexwell, event.KindAgreementSuspend, 2, agreement.Suspended)
	st, _ := b.Status(a.Name, day)
	if !strings.Contains(st.Why, "hexwell.gov.uk: because") {
		t.Errorf("it does not say which member: %q", st.Why)
	}
	step(hexwell, event.KindAgreementResume, 3, agreement.Suspended)
	step(hexwell, event.KindAgreementResume, 4, agreement.Suspended) // again, counted once
	step(saltby, event.KindAgreementResume, 5, agreement.InForce)
	step(eastmere, event.KindAgreementSuspend, 6, agreement.Suspended)
}

// What a footprint that we keep has decided is written into our own log once, and
// known again from there at the next start.
func TestFootprintOfOurs(t *testing.T) {
	s := newHouse(t)
	f := known{members: []name.Council{northmoor, hexwell, eastmere}, ours: true}
	b := s.open(f)
	a := document(t, fens, saltby)
	propose, _ := s.event(hexwell, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 0)
	first, _ := s.event(hexwell, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 1)
	second, _ := s.event(eastmere, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 2)
	sayings := []footprint.Saying{{Index: 3, Event: propose}, {Index: 4, Event: first}, {Index: 5, Event: second, Completes: true}}
	decided := func() (n int) {
		err := s.ledger.View(func(v *ledger.View) error {
			v.Events(event.KindFootprintDecided, 0, func(uint64) bool { n++; return true })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 { // what is told again changes nothing
		if n, err := b.Heard(t.Context(), fens, sayings); n != 3 || err != nil {
			t.Fatalf("heard %d: %v", n, err)
		}
		if n := decided(); n != 1 {
			t.Fatalf("%d decisions in our log, want 1", n)
		}
	}
	s.tell(b, saltby, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 3)
	if p := phase(t, b, a); p != agreement.InForce {
		t.Errorf("it is %v", p)
	}
	if got := b.Related(); !slices.Contains(got, eastmere) || slices.Contains(got, fens) {
		t.Errorf("related to %v", got)
	}
	again := s.open(f)
	if n, err := again.Heard(t.Context(), fens, sayings); n != 3 || err != nil {
		t.Fatalf("heard %d: %v", n, err)
	}
	if n := decided(); n != 1 {
		t.Errorf("%d decisions in our log after a new start, want 1", n)
	}
	st, _ := again.Status(a.Name, day)
	if _, signed := st.Signed[fens]; !signed {
		t.Error("the new start does not know that the footprint signed")
	}
}

// Only a member of the footprint proposes for it.
func TestProposedForAFootprint(t *testing.T) {
	s := newHouse(t)
	b := s.open(known{members: []name.Council{saltby, hexwell, eastmere}})
	a := document(t, fens, northmoor)
	s.tell(b, ironmoor, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 0)
	if _, ok := b.Find(a.Name, 1); ok {
		t.Error("a stranger proposed for the footprint")
	}
	s.tell(b, hexwell, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 1)
	if _, ok := b.Find(a.Name, 1); !ok {
		t.Error("a member's proposal is not known")
	}
}

// What one council can have us remember of documents that nobody proposed is
// bounded.
func TestVotesAreBounded(t *testing.T) {
	s := newHouse(t)
	b := s.open(known{})
	ev, _ := s.event(saltby, event.KindAgreementSignature, agreement.Signature{Ref: document(t, northmoor, saltby).Ref()}.Body(), 0)
	for i := range maxVotes + 100 {
		one := *ev
		one.Body = agreement.Signature{Ref: agreement.Ref{Agreement: "northmoor.gov.uk/nothing", Version: i + 1}}.Body()
		b.apply(&one)
	}
	if len(b.votes) > maxVotes {
		t.Errorf("%d votes of one council are remembered", len(b.votes))
	}
	if b.looked > maxVotes {
		t.Errorf("for %d events about as many documents %d votes were looked at: a start would take the square of them", maxVotes+100, b.looked)
	}
}

// The signature of who proposed follows the proposal; it is waited for, and nobody
// else's is.
func TestAwaitProposer(t *testing.T) {
	s := newHouse(t)
	b := s.open(known{})
	a := document(t, saltby, northmoor)
	// waits reports whether it waited until there was no time left.
	waits := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		b.AwaitProposer(ctx, a)
		return ctx.Err() != nil
	}
	s.tell(b, saltby, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), 0)
	if waits() {
		t.Error("waited, and northmoor has not signed either")
	}
	b.apply(s.parsed(northmoor, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 1))
	if !waits() {
		t.Error("did not wait for saltby's signature")
	}
	done := make(chan struct{})
	go func() {
		b.AwaitProposer(t.Context(), a)
		close(done)
	}()
	s.tell(b, saltby, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body(), 2)
	<-done
	if p := phase(t, b, a); p != agreement.InForce {
		t.Errorf("it is %v", p)
	}
	if waits() {
		t.Error("waited, and nothing is missing")
	}
}

// What we have said before is found in our own log, and by what it is about.
func TestSaidBefore(t *testing.T) {
	s := newHouse(t)
	b := s.open(known{})
	a, other := document(t, fens, saltby), document(t, fens, hexwell)
	sign := agreement.Signature{Ref: a.Ref()}.Body()
	if err := b.Vouch(t.Context(), event.KindAgreementSignature, sign, []name.Council{saltby}); err != nil {
		t.Fatal(err)
	}
	n := agreement.Notice{Ref: a.Ref(), Reason: "because", At: day}
	if err := b.Vouch(t.Context(), event.KindAgreementSuspend, n.Body(), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		got  func() (bool, error)
		want bool
	}{
		{"the signature", func() (bool, error) { return b.Vouched(event.KindAgreementSignature, a.Ref()) }, true},
		{"another document", func() (bool, error) { return b.Vouched(event.KindAgreementSignature, other.Ref()) }, false},
		{"another kind", func() (bool, error) { return b.Vouched(event.KindAgreementEnd, a.Ref()) }, false},
		{"the notice", func() (bool, error) { return b.Noticed(event.KindAgreementSuspend, n) }, true},
		{"another second", func() (bool, error) {
			return b.Noticed(event.KindAgreementSuspend, agreement.Notice{Ref: a.Ref(), Reason: "because", At: day.Add(time.Second)})
		}, false},
	} {
		if got, err := c.got(); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.what, got, err)
		}
	}
}

// Records of a standard go into a footprint under one agreement, which is found
// until it is over and nothing of it is left there.
func TestUnder(t *testing.T) {
	s := newHouse(t)
	std, err := standard.Load(schemas.FS("housing-need/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	a := document(t, northmoor, fens)
	s.log(event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body())
	s.log(event.KindAgreementSignature, agreement.Signature{Ref: a.Ref()}.Body())
	b := s.open(known{members: []name.Council{saltby, hexwell, eastmere}})
	if got, ok := b.Under(fens, a.Standard); ok {
		t.Errorf("nothing flows yet: %s", got)
	}
	// Signed, and its index not begun: as after a crash.
	if err := b.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, ok := b.Under(fens, a.Standard); !ok || got != a.Name {
		t.Errorf("under %q, %v", got, ok)
	}
	for _, c := range []struct {
		fp   name.Council
		line name.StandardLine
	}{{saltby, a.Standard}, {fens, name.StandardLine{Name: a.Standard.Name, Major: 2}}} {
		if got, ok := b.Under(c.fp, c.line); ok {
			t.Errorf("%s of %s: %s", c.line, c.fp, got)
		}
	}
	if err := b.Say(northmoor, event.KindAgreementEnd, notice(a, "over", day.Add(-time.Minute))); err != nil {
		t.Fatal(err)
	}
	if err := b.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, ok := b.Under(fens, a.Standard); ok {
		t.Errorf("it is over, and nothing was brought: %s", got)
	}
	if fs := s.ledger.Feeds(); len(fs) != 1 || !fs[0].Closed() {
		t.Errorf("the feed is open: %s", fmt.Sprint(fs))
	}
}

// Where who passes on to us gives withdrawals alone, an agreement before it is suspended: nothing
// goes on from here either, and what went stays.
func TestChainBehindASuspension(t *testing.T) {
	s := newHouse(t)
	second, ours := document(t, saltby, northmoor), document(t, northmoor, eastmere)
	second.Origin, ours.Origin = "hexwell.gov.uk/moves", second.Name
	b := s.open(known{})
	s.tell(b, saltby, event.KindAgreementProposal, agreement.Proposal{Agreement: second}.Body(), 1)
	s.tell(b, saltby, event.KindAgreementSignature, agreement.Signature{Ref: second.Ref()}.Body(), 2)
	b.apply(s.parsed(northmoor, event.KindAgreementSignature, agreement.Signature{Ref: second.Ref()}.Body(), 3))
	for _, alone := range []bool{false, true, false} {
		src, err := s.ledger.OpenSource(t.Context(), saltby, second.Name)
		if err == nil {
			_, err = s.ledger.Receive(t.Context(), src, &ledger.Delivery{Live: true, Suspended: alone})
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := b.Chain(ours, day)
		if err != nil {
			t.Fatal(err)
		}
		if is := strings.HasPrefix(c.Why, "saltby.gov.uk gives nothing new under "+string(second.Name)); is != alone || (c.Waits && !c.Logging) != alone {
			t.Errorf("withdrawals alone come: %t; and nothing goes on since %q: %+v", alone, c.Why, c)
		}
	}
}
