package agreement

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

const (
	from = name.Council("northmoor.gov.uk")
	to   = name.Council("saltby.gov.uk")
)

func day(t testing.TB, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wired sends a body through the bytes it has in a ledger.
func wired(t testing.TB, body map[string]any) any {
	t.Helper()
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type said struct {
	by   name.Council
	kind string
	body map[string]any
	at   string
}

func (s said) apply(t testing.TB, st *State) error {
	t.Helper()
	return st.Apply(s.by, s.kind, wired(t, s.body), day(t, s.at))
}

func propose(a *Agreement) said {
	return said{a.From, event.KindAgreementProposal, Proposal{a}.Body(), "2026-11-01"}
}
func sign(by name.Council, a *Agreement) said {
	return said{by, event.KindAgreementSignature, Signature{Ref: a.Ref()}.Body(), "2026-11-02"}
}
func notify(t testing.TB, by name.Council, kind string, a *Agreement, at string) said {
	return said{by, kind, Notice{a.Ref(), "because", day(t, at), ""}.Body(), at}
}

func TestStateOfOneAgreement(t *testing.T) {
	a := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2028-01-01")
	for _, c := range []struct {
		why    string
		said   []said
		now    string
		phase  Phase
		reason string
	}{
		{"proposed", []said{propose(a)}, "2027-01-01", Proposed, "awaiting the signatures of northmoor.gov.uk and saltby.gov.uk"},
		{"one signature", []said{propose(a), sign(from, a)}, "2027-01-01", Proposed, "awaiting saltby.gov.uk's signature"},
		{"signed twice by one", []said{propose(a), sign(from, a), sign(from, a)}, "2027-01-01", Proposed, "awaiting saltby.gov.uk's signature"},
		{"signed", []said{propose(a), sign(from, a), sign(to, a)}, "2027-01-01", InForce, ""},
		{"signature before the document", []said{sign(to, a), propose(a), sign(from, a)}, "2027-01-01", InForce, ""},
		{"too early", []said{propose(a), sign(from, a), sign(to, a)}, "2026-11-30", Waiting, "starts 2026-12-01"},
		{"too late", []said{propose(a), sign(from, a), sign(to, a)}, "2028-01-01", Ended, "ended 2028-01-01"},
		{"ended", []said{propose(a), sign(from, a), sign(to, a), notify(t, to, event.KindAgreementEnd, a, "2027-02-01")}, "2027-02-01", Ended, "ended 2027-02-01 by saltby.gov.uk: because"},
		{"end to come", []said{propose(a), sign(from, a), sign(to, a), notify(t, to, event.KindAgreementEnd, a, "2027-02-01")}, "2027-01-31", InForce, ""},
		{"end before the document", []said{notify(t, to, event.KindAgreementEnd, a, "2027-02-01"), propose(a), sign(from, a), sign(to, a)}, "2027-02-01", Ended, "ended 2027-02-01 by saltby.gov.uk: because"},
		{"declined", []said{propose(a), sign(from, a), notify(t, to, event.KindAgreementEnd, a, "2026-11-05")}, "2027-02-01", Ended, "ended 2026-11-05 by saltby.gov.uk: because"},
		{"suspended", []said{propose(a), sign(from, a), sign(to, a), notify(t, from, event.KindAgreementSuspend, a, "2027-02-01")}, "2027-02-02", Suspended, "suspended by northmoor.gov.uk since 2027-02-01: because"},
		{"suspended by both, resumed by one", []said{propose(a), sign(from, a), sign(to, a), notify(t, from, event.KindAgreementSuspend, a, "2027-02-01"), notify(t, to, event.KindAgreementSuspend, a, "2027-02-02"), notify(t, from, event.KindAgreementResume, a, "2027-02-03")},
			"2027-02-04", Suspended, "suspended by saltby.gov.uk since 2027-02-02: because"},
		{"resumed", []said{propose(a), sign(from, a), sign(to, a), notify(t, from, event.KindAgreementSuspend, a, "2027-02-01"), notify(t, from, event.KindAgreementResume, a, "2027-02-03")}, "2027-02-03", InForce, ""},
		{"resumed, but not yet", []said{propose(a), sign(from, a), sign(to, a), notify(t, from, event.KindAgreementSuspend, a, "2027-02-01"), notify(t, from, event.KindAgreementResume, a, "2027-02-03")}, "2027-02-02", Suspended, "suspended by northmoor.gov.uk since 2027-02-01: because"},
		{"ended while suspended", []said{propose(a), sign(from, a), sign(to, a), notify(t, from, event.KindAgreementSuspend, a, "2027-02-01"), notify(t, from, event.KindAgreementEnd, a, "2027-02-03"), notify(t, from, event.KindAgreementResume, a, "2027-02-04")},
			"2027-02-05", Ended, "ended 2027-02-03 by northmoor.gov.uk: because"},
	} {
		s := NewState()
		for _, e := range c.said {
			if err := e.apply(t, s); err != nil {
				t.Errorf("%s: %v", c.why, err)
			}
		}
		st, ok := s.Status(a.Name, day(t, c.now))
		if !ok || st.Phase != c.phase || st.Why != c.reason || st.InForce() != (c.phase == InForce) {
			t.Errorf("%s: %v %q, want %v %q", c.why, st.Phase, st.Why, c.phase, c.reason)
		}
		if got := s.InForce(day(t, c.now)); (len(got) == 1) != (c.phase == InForce) {
			t.Errorf("%s: InForce returns %d", c.why, len(got))
		}
	}
}

func TestStateRefuses(t *testing.T) {
	a := parsed(t)
	other := parsed(t, "retention: P2Y", "retention: P9Y")
	second := parsed(t, "version: 1", "version: 2")
	empty := parsed(t, "retention: P2Y", "retention:")
	wrong := Signature{Ref: Ref{a.Name, 1, other.Digest()}}.Body()
	for _, c := range []struct {
		why    string
		before []said
		event  said
		want   error
	}{
		{"proposed by the receiver", nil, said{to, event.KindAgreementProposal, Proposal{a}.Body(), "2026-11-01"}, ErrNotParty},
		{"another document of that version", []said{propose(a)}, propose(other), ErrConflict},
		{"a version that came before", []said{propose(second)}, propose(a), ErrConflict},
		{"signed by a stranger", []said{propose(a)}, sign("whinfell.gov.uk", a), ErrNotParty},
		{"another digest", []said{propose(a)}, said{to, event.KindAgreementSignature, wrong, "2026-11-02"}, ErrConflict},
		{"an incomplete document", []said{propose(empty)}, sign(to, empty), ErrUnsignable},
		{"ended by a stranger", []said{propose(a)}, notify(t, "whinfell.gov.uk", event.KindAgreementEnd, a, "2026-11-03"), ErrNotParty},
		{"ended under another digest", []said{propose(a)}, notify(t, to, event.KindAgreementEnd, other, "2026-11-03"), ErrConflict},
		{"resumed by one who did not suspend", []said{propose(a), notify(t, from, event.KindAgreementSuspend, a, "2026-11-03")}, notify(t, to, event.KindAgreementResume, a, "2026-11-04"), ErrConflict},
		{"an unknown kind", nil, said{to, "agreement-forget", Signature{Ref: a.Ref()}.Body(), "2026-11-02"}, ErrEvent},
		{"a signature for a notice", []said{propose(a)}, said{to, event.KindAgreementEnd, Signature{Ref: a.Ref()}.Body(), "2026-11-02"}, ErrEvent},
	} {
		s := NewState()
		for _, e := range c.before {
			if err := e.apply(t, s); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
		}
		before := picture(s, a.Name)
		if err := c.event.apply(t, s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.why, err, c.want)
		}
		if after := picture(s, a.Name); after != before {
			t.Errorf("%s: a refused event changed the state:\n%s\n%s", c.why, before, after)
		}
	}
	// What was kept for a document that then does not fit is dropped.
	s := NewState()
	for _, e := range []said{{to, event.KindAgreementSignature, wrong, "2026-11-02"}, sign("whinfell.gov.uk", a), propose(a)} {
		if err := e.apply(t, s); err != nil {
			t.Fatal(err)
		}
	}
	if st, _ := s.Status(a.Name, day(t, "2027-01-01")); len(st.Signed) != 0 || len(s.waiting[a.Name]) != 0 || s.waits[to] != 0 {
		t.Errorf("signed %v", st.Signed)
	}
}

func TestStateBoundsWhatWaits(t *testing.T) {
	s := NewState()
	var err error
	n := 0
	for ; err == nil && n < 10_000; n++ {
		ref := Ref{Agreement: name.Agreement(fmt.Sprintf("x.example/a%d", n)), Version: 1}
		err = said{to, event.KindAgreementSignature, Signature{Ref: ref}.Body(), "2026-11-02"}.apply(t, s)
	}
	if !errors.Is(err, ErrTooMany) || n != maxWaiting+1 {
		t.Errorf("after %d: %v", n, err)
	}
	if err := (said{from, event.KindAgreementSignature, Signature{Ref: Ref{Agreement: "x.example/a", Version: 1}}.Body(), "2026-11-02"}).apply(t, s); err != nil {
		t.Errorf("one council's events shut out another's: %v", err)
	}
}

func TestSupersession(t *testing.T) {
	one := parsed(t)
	two := parsed(t, "version: 1", "version: 2", "starts: 2026-12-01", "starts: 2027-03-01")
	three := parsed(t, "version: 1", "version: 3", "starts: 2026-12-01", "starts: 2027-05-01")
	base := []said{propose(one), sign(from, one), sign(to, one), propose(two)}
	both := append(slices.Clone(base), sign(from, two), sign(to, two))
	for _, c := range []struct {
		why  string
		said []said
		now  string
		want string // version: phase of each, highest first
	}{
		{"an amendment that nobody signed", base, "2027-04-01", "2 proposed, 1 in force"},
		{"signed by one", append(slices.Clone(base), sign(from, two)), "2027-04-01", "2 proposed, 1 in force"},
		{"signed, not started", both, "2027-02-28", "2 waiting, 1 in force"},
		{"in force", both, "2027-03-01", "2 in force, 1 superseded"},
		{"ended after it took over", append(slices.Clone(both), notify(t, to, event.KindAgreementEnd, two, "2027-04-01")), "2027-04-02", "2 ended, 1 superseded"},
		{"suspended after it took over", append(slices.Clone(both), notify(t, to, event.KindAgreementSuspend, two, "2027-04-01")), "2027-04-02", "2 suspended, 1 superseded"},
		{"withdrawn by the sender before it started", append(slices.Clone(both), notify(t, from, event.KindAgreementEnd, two, "2027-02-01")), "2027-04-02", "2 ended, 1 in force"},
		{"ended by the receiver before it started", append(slices.Clone(both), notify(t, to, event.KindAgreementEnd, two, "2027-02-01")), "2027-02-02", "2 ended, 1 in force"},
		{"ended by the receiver, and the day came", append(slices.Clone(both), notify(t, to, event.KindAgreementEnd, two, "2027-02-01")), "2027-04-02", "2 ended, 1 superseded"},
		{"ended by the receiver with a false date", append(slices.Clone(both), notify(t, to, event.KindAgreementEnd, two, "1970-01-01")), "2027-04-02", "2 ended, 1 superseded"},
		{"withdrawn before it was signed by all", append(slices.Clone(base), sign(from, two), notify(t, from, event.KindAgreementEnd, two, "2026-11-01"), sign(to, two)), "2027-04-02", "2 ended, 1 in force"},
		{"the first ended, then the second came", append(slices.Clone(both), notify(t, to, event.KindAgreementEnd, one, "2027-01-15")), "2027-03-02", "2 in force, 1 ended"},
		{"a third", append(slices.Clone(both), propose(three), sign(from, three), sign(to, three)), "2027-05-02", "3 in force, 2 superseded, 1 superseded"},
		{"a third to come", append(slices.Clone(both), propose(three), sign(from, three), sign(to, three)), "2027-04-02", "3 waiting, 2 in force, 1 superseded"},
	} {
		s := NewState()
		for _, e := range c.said {
			if err := e.apply(t, s); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
		}
		var got []string
		for _, st := range s.Versions(one.Name, day(t, c.now)) {
			got = append(got, fmt.Sprintf("%d %s", st.Agreement.Version, st.Phase))
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%s: %s, want %s", c.why, g, c.want)
		}
	}
}

// However the ledgers of the parties are interleaved, the state is the same.
// What waits does not hide what stands, or what ended last.
func TestCurrent(t *testing.T) {
	one := parsed(t)
	two := parsed(t, "version: 1", "version: 2", "starts: 2026-12-01", "starts: 2027-03-01")
	three := parsed(t, "version: 1", "version: 3", "starts: 2026-12-01", "starts: 2027-05-01")
	first := []said{propose(one), sign(from, one), sign(to, one)}
	second := append(slices.Clone(first), propose(two), sign(from, two), sign(to, two))
	for _, c := range []struct {
		why    string
		said   []said
		now    string
		want   string
		stands string
	}{
		{"suspended, an amendment proposed", append(slices.Clone(first), notify(t, to, event.KindAgreementSuspend, one, "2027-01-01"), propose(two)), "2027-02-01", "2 proposed, 1 suspended", "1 suspended"},
		{"ended, an amendment proposed", append(slices.Clone(first), notify(t, to, event.KindAgreementEnd, one, "2027-01-01"), propose(two)), "2027-02-01", "2 proposed, 1 ended", "2 proposed"},
		{"in force, an amendment to come", second, "2027-02-01", "2 waiting, 1 in force", "1 in force"},
		{"in force, an amendment withdrawn", append(slices.Clone(second), notify(t, from, event.KindAgreementEnd, two, "2027-01-01")), "2027-02-01", "1 in force", "1 in force"},
		{"superseded", append(slices.Clone(second), propose(three)), "2027-04-01", "3 proposed, 2 in force", "2 in force"},
		{"all over", append(slices.Clone(second), notify(t, from, event.KindAgreementEnd, two, "2027-04-01")), "2027-04-02", "2 ended", "2 ended"},
	} {
		s := NewState()
		for _, e := range c.said {
			if err := e.apply(t, s); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
		}
		var got []string
		for _, st := range s.Current(one.Name, day(t, c.now)) {
			got = append(got, fmt.Sprintf("%d %s", st.Agreement.Version, st.Phase))
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%s: %s, want %s", c.why, g, c.want)
		}
		st, _ := s.Status(one.Name, day(t, c.now))
		if g := fmt.Sprintf("%d %s", st.Agreement.Version, st.Phase); g != c.stands {
			t.Errorf("%s: %s stands, want %s", c.why, g, c.stands)
		}
	}
}

func TestStateInterleaves(t *testing.T) {
	three := []string{"to: [saltby.gov.uk]", "to: [saltby.gov.uk, whinfell.gov.uk]", "roles:\n", "roles:\n  whinfell.gov.uk: controller\n", "contacts:\n", "contacts:\n  whinfell.gov.uk: dpo@whinfell.gov.uk\n"}
	one := parsed(t, three...)
	two := parsed(t, append(three, "version: 1", "version: 2")...)
	const third = name.Council("whinfell.gov.uk")
	ledgers := map[name.Council][]said{
		from:  {propose(one), sign(from, one), notify(t, from, event.KindAgreementSuspend, one, "2026-12-05"), propose(two), notify(t, from, event.KindAgreementResume, one, "2026-12-09"), sign(from, two)},
		to:    {sign(to, one), sign(to, two), notify(t, to, event.KindAgreementEnd, two, "2027-06-01")},
		third: {sign(third, two), sign(third, one), notify(t, third, event.KindAgreementSuspend, two, "2027-02-01"), notify(t, third, event.KindAgreementResume, two, "2027-03-01"), {third, event.KindAgreementSignature, Signature{Ref: Ref{one.Name, 2, one.Digest()}}.Body(), "2026-11-09"}},
	}
	var want string
	r := newRand(11)
	for range rounds(150) {
		s := NewState()
		left := maps.Clone(ledgers)
		for len(left) > 0 {
			cs := slices.Sorted(maps.Keys(left))
			c := cs[r.IntN(len(cs))]
			// A refusal depends on what was known then; the state must not.
			_ = left[c][0].apply(t, s)
			if left[c] = left[c][1:]; len(left[c]) == 0 {
				delete(left, c)
			}
		}
		got := picture(s, one.Name)
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
	if !strings.Contains(want, "in force") || !strings.Contains(want, "suspended") {
		t.Errorf("the picture is too plain:\n%s", want)
	}
}

// picture says how every version stands over a year and more.
func picture(s *State, n name.Agreement) string {
	var b strings.Builder
	for now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC); now.Year() < 2028; now = now.AddDate(0, 0, 9) {
		for _, st := range s.Versions(n, now) {
			fmt.Fprintf(&b, "%s %d %s %s %v\n", now.Format(time.DateOnly), st.Agreement.Version, st.Phase, st.Why, st.Signed)
		}
	}
	return b.String()
}

func TestNextChange(t *testing.T) {
	a := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2028-01-01")
	s := NewState()
	for _, e := range []said{propose(a), sign(from, a), sign(to, a), notify(t, to, event.KindAgreementSuspend, a, "2027-02-01")} {
		if err := e.apply(t, s); err != nil {
			t.Fatal(err)
		}
	}
	now := day(t, "2026-11-01")
	for _, want := range []string{"2026-12-01", "2027-02-01", "2027-06-01", "2028-01-01"} {
		next, ok := s.NextChange(now)
		if !ok || !next.Equal(day(t, want)) {
			t.Fatalf("after %v: %v %v, want %s", now, next, ok, want)
		}
		now = next
	}
	if _, ok := s.NextChange(now); ok {
		t.Error("something changes after the end")
	}
}

func TestEventBodies(t *testing.T) {
	a := parsed(t)
	if got := string(strictjson.Canonical(Signature{Ref: a.Ref()}.Body())); got != `{"agreement":"northmoor.gov.uk/people-moving-to-saltby","digest":"`+a.Digest().String()+`","version":1}` {
		t.Errorf("signature %s", got)
	}
	n := Notice{a.Ref(), "Breach of 3 May", day(t, "2027-05-04"), ""}
	if got := string(strictjson.Canonical(n.Body())); got != `{"agreement":"northmoor.gov.uk/people-moving-to-saltby","at":1809388800,"digest":"`+a.Digest().String()+`","reason":"Breach of 3 May","version":1}` {
		t.Errorf("notice %s", got)
	}
	if got, err := ParseNotice(wired(t, n.Body())); err != nil || !reflect.DeepEqual(got, n) {
		t.Errorf("%+v, %v", got, err)
	}
	p := strictjson.Canonical(Proposal{a}.Body())
	if !strings.Contains(string(p), `"document":`+string(a.Canonical())) {
		t.Errorf("the proposal does not contain the canonical bytes: %s", p)
	}
	if got, err := ParseProposal(wired(t, Proposal{a}.Body())); err != nil || got.Agreement.Digest() != a.Digest() {
		t.Error(err)
	}
	// Bodies come straight from Body as well as from bytes.
	if _, err := ParseProposal(Proposal{a}.Body()); err != nil {
		t.Error(err)
	}
	if _, err := ParseNotice(n.Body()); err != nil {
		t.Error(err)
	}

	edit := func(m map[string]any, k string, v any) map[string]any {
		m = maps.Clone(m)
		if m[k] = v; v == nil {
			delete(m, k)
		}
		return m
	}
	for _, b := range []map[string]any{
		edit(n.Body(), "at", nil), edit(n.Body(), "at", "1"), edit(n.Body(), "at", json.Number("253402300800")), edit(n.Body(), "reason", ""), edit(n.Body(), "reason", "a\u202eb"),
		edit(n.Body(), "more", "x"), edit(n.Body(), "digest", "00"), edit(n.Body(), "digest", strings.ToUpper(a.Digest().String())),
		edit(n.Body(), "version", "1"), edit(n.Body(), "agreement", "x"), nil,
	} {
		if _, err := ParseNotice(b); !errors.Is(err, ErrEvent) {
			t.Errorf("%v: %v", b, err)
		}
	}
	doc := a.document()
	doc["ends"] = ""
	for _, b := range []map[string]any{
		edit(Proposal{a}.Body(), "document", nil), edit(Proposal{a}.Body(), "document", "x"), edit(Proposal{a}.Body(), "document", doc),
		edit(Proposal{a}.Body(), "document", parsed(t, "retention: P2Y", "retention: P3Y").document()),
	} {
		if _, err := ParseProposal(b); !errors.Is(err, ErrEvent) {
			t.Errorf("%v: %v", b, err)
		}
	}
}

func FuzzEvents(f *testing.F) {
	a := parsed(f)
	f.Add(strictjson.Canonical(Proposal{a}.Body()))
	f.Add(strictjson.Canonical(Signature{Ref: a.Ref()}.Body()))
	f.Add(strictjson.Canonical(Notice{a.Ref(), "x", time.Unix(5, 0), ""}.Body()))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := strictjson.Decode(b, strictjson.Limits{})
		if err != nil {
			return
		}
		canon := string(strictjson.Canonical(v))
		if p, err := ParseProposal(v); err == nil && string(strictjson.Canonical(p.Body())) != canon {
			t.Errorf("%s\nprints as\n%s", canon, strictjson.Canonical(p.Body()))
		}
		if s, err := ParseSignature(v); err == nil && string(strictjson.Canonical(s.Body())) != canon {
			t.Errorf("%s\nprints as\n%s", canon, strictjson.Canonical(s.Body()))
		}
		if n, err := ParseNotice(v); err == nil && string(strictjson.Canonical(n.Body())) != canon {
			t.Errorf("%s\nprints as\n%s", canon, strictjson.Canonical(n.Body()))
		}
		st := NewState()
		for _, k := range []string{event.KindAgreementSignature, event.KindAgreementSuspend, event.KindAgreementProposal, event.KindAgreementEnd, event.KindAgreementResume} {
			_ = st.Apply("northmoor.gov.uk", k, v, time.Unix(0, 0))
		}
		for _, n := range st.Names() {
			st.Versions(n, time.Unix(1<<31, 0))
		}
	})
}
