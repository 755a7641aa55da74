package question_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/blind"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
)

func hiddenRequest(doc *agreement.Agreement, value string) question.Request {
	return question.Request{Agreement: doc.Name, Field: "/number", Value: value, Because: "a new application", Case: "LIC/7"}
}

// entries returns everything that a council has in its log, as it is signed.
func (c *council) entries() (out []byte) {
	c.t.Helper()
	err := c.ledger.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		for i := range cp.Size {
			if _, b, err := v.Event(i); err == nil {
				out = append(append(out, b...), '\n')
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// TestHiddenQuestion: the asker learns whether there is a record. The holder is sent no
// value, and nothing that it sees, sends or logs tells a hit from a miss.
func TestHiddenQuestion(t *testing.T) {
	a, b, w := newWorld(t)
	a.put(person("C-1", "AB123456C", true), person("C-2", "AB123457C", false), person("C-3", "AB123456C", true))
	doc := text(t, "private", agreement.PrivateLookup, nil)
	w.agreed(t, doc)
	var mu sync.Mutex
	var sent [][]byte
	w.net.OnWrite(func(x wire.Write) wire.Fault {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, bytes.Clone(x.Data))
		return wire.None
	})
	for what, c := range map[string]struct {
		value string
		held  bool
	}{
		"a hit":                     {"AB123456C", true},
		"a record that is not open": {"AB123457C", false},
		"a miss":                    {"ZZ999999Z", false},
	} {
		mu.Lock()
		sent = nil
		mu.Unlock()
		got, err := b.Lookup(t.Context(), b.net, hiddenRequest(doc, c.value))
		if c.held && (err != nil || !got.Held || len(got.Records) != 0 || got.Outcome != event.OutcomeCompared || !got.Receipt) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if !c.held && kind(err) != api.NotFound {
			t.Errorf("%s: %v", what, err)
		}
		mu.Lock()
		for _, m := range sent {
			if bytes.Contains(m, []byte(c.value)) {
				t.Errorf("%s: the value was sent", what)
			}
		}
		if len(sent) == 0 {
			t.Errorf("%s: nothing was sent: the test has looked in vain", what)
		}
		mu.Unlock()
		for _, x := range []*council{a, b} {
			if bytes.Contains(x.entries(), []byte(c.value)) {
				t.Errorf("%s: the value stands in the log of %s", what, x.self)
			}
		}
	}
	for _, x := range []*council{a, b} {
		err := x.ledger.View(func(v *ledger.View) error {
			all, err := question.List(v, x.self, doc.Name)
			if len(all) != 3 {
				t.Errorf("%s logged %d questions", x.self, len(all))
			}
			for _, q := range all {
				if q.Outcome != event.OutcomeCompared || len(q.Records) != 0 || q.Case != "LIC/7" || !q.Receipt {
					t.Errorf("%s logged %+v", x.self, q)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	labels := map[int]bool{}
	for _, v := range []string{"AB123456C", "ZZ999999Z"} {
		p, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, v))
		if err != nil {
			t.Fatal(err)
		}
		m := p.Message(0)
		if m.GetValue() != "" || len(m.GetHidden()) != blind.ElementSize || m.GetBits() != 0 || m.GetBucket() != 0 {
			t.Errorf("the question says %v", m)
		}
		labels[len(a.answered(saltby, p).GetLabels())] = true
	}
	if len(labels) != 1 {
		t.Errorf("a hit and a miss are answered with unlike numbers of labels: %v", labels)
	}
}

// TestShowHidden: who has a hit can be shown the record by a second question, which
// says about whom, is logged like any other, and cannot be about somebody else.
func TestShowHidden(t *testing.T) {
	a, b, w := newWorld(t)
	made := a.put(person("C-1", "AB123456C", true), person("C-4", "AB123459C", true))
	doc := text(t, "private", agreement.PrivateLookup, nil)
	w.agreed(t, doc)
	r := hiddenRequest(doc, "AB123456C")
	r.Show = true
	got, err := b.Lookup(t.Context(), b.net, r)
	if err != nil || len(got.Records) != 1 || got.Records[0].View.Record != made[0] || len(got.Records[0].View.Body) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if counted, answered := a.asked(doc); counted != 2 || answered != 2 {
		t.Errorf("%d counted, %d answered: the second question counts, too", counted, answered)
	}
	// Somebody else's value under the question that was answered, and under none.
	first, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB123456C"))
	if err != nil {
		t.Fatal(err)
	}
	if out := a.answered(saltby, first); out.GetCode() != "" {
		t.Fatal(out.GetCode(), out.GetReason())
	}
	honest, err := b.PoseShow(t.Context(), first, hiddenRequest(doc, "AB123456C"), "AB123456C", nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string]func() (*question.Posed, error){
		"another value": func() (*question.Posed, error) {
			return b.PoseShow(t.Context(), first, hiddenRequest(doc, "AB123459C"), "AB123459C", nil)
		},
		"another case": func() (*question.Posed, error) {
			r := hiddenRequest(doc, "AB123456C")
			r.Case = "LIC/8"
			return b.PoseShow(t.Context(), first, r, "AB123456C", nil)
		},
		"a question that is not": func() (*question.Posed, error) {
			return b.PoseShow(t.Context(), first, hiddenRequest(doc, "AB123456C"), "AB123456C", &event.QuestionID{1})
		},
	} {
		p, err := p()
		if err != nil {
			t.Fatal(err)
		}
		if out := a.answered(saltby, p); out.GetCode() != "question" || len(out.GetEntries()) > 0 {
			t.Errorf("%s: %q, %d records", what, out.GetCode(), len(out.GetEntries()))
		}
	}
	if out := a.answered(saltby, honest); len(out.GetEntries()) != 1 {
		t.Errorf("the same value: %q", out.GetCode())
	}
	// Not by saying the value at once, nor without a case.
	m := proto.Clone(first.Message(0)).(*wirepb.Question)
	m.Hidden, m.Value = nil, "AB123456C"
	if out, _ := a.Answer(t.Context(), saltby, m); out.GetCode() != "question" {
		t.Errorf("a value that is not hidden: %q", out.GetCode())
	}
	r = hiddenRequest(doc, "AB123456C")
	r.Case = ""
	if _, err := b.Lookup(t.Context(), b.net, r); kind(err) != api.Usage {
		t.Errorf("without a case: %v", err)
	}
	// Under mode lookup nothing is hidden.
	plain := text(t, "plain", agreement.Lookup, nil)
	w.agreed(t, plain)
	r = hiddenRequest(plain, "AB123456C")
	r.Show = true
	if _, err := b.Lookup(t.Context(), b.net, r); kind(err) != api.Usage {
		t.Errorf("to be shown in mode lookup: %v", err)
	}
	p, err := b.PoseAs(t.Context(), agreement.Lookup, hiddenRequest(plain, "AB123456C"), func(q *event.Question) { q.Hidden = blindSum(first) })
	if err != nil {
		t.Fatal(err)
	}
	if out := a.answered(saltby, p); out.GetCode() != "question" {
		t.Errorf("a hidden value in mode lookup: %q", out.GetCode())
	}
}

func blindSum(p *question.Posed) [32]byte { return blind.Sum(p.Message(0).GetHidden()) }

// TestHiddenBounds: a hidden question counts before anything is compared, in the hour
// and in the day; another hidden value under the id of an earlier one counts and is
// not evaluated, so one question tests one value.
func TestHiddenBounds(t *testing.T) {
	a, b, w := newWorld(t)
	a.put(person("C-1", "AB123456C", true))
	a.perHour = 2
	doc := text(t, "private", agreement.PrivateLookup, nil)
	w.agreed(t, doc)
	p, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB123456C"))
	if err != nil {
		t.Fatal(err)
	}
	one := a.answered(saltby, p)
	if one.GetCode() != "" {
		t.Fatal(one.GetReason())
	}
	again := a.answered(saltby, p)
	if !bytes.Equal(one.GetLabels(), again.GetLabels()) || !bytes.Equal(one.GetEvaluated(), again.GetEvaluated()) || !bytes.Equal(one.GetEvent(), again.GetEvent()) {
		t.Error("the same question is answered in two ways")
	}
	if counted, answered := a.asked(doc); counted != 1 || answered != 1 {
		t.Errorf("%d counted, %d answered", counted, answered)
	}
	// A second value under the id: signed anew, since the digest of the first is signed.
	other, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB999999C"))
	if err != nil {
		t.Fatal(err)
	}
	swapped := proto.Clone(p.Message(0)).(*wirepb.Question)
	swapped.Hidden = other.Message(0).GetHidden()
	if out, _ := a.Answer(t.Context(), saltby, swapped); out.GetCode() != "question" || out.GetEvaluated() != nil {
		t.Errorf("another value under the same signature: %q", out.GetCode())
	}
	for _, bad := range [][]byte{nil, make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)} {
		swapped.Hidden = bad
		if out, _ := a.Answer(t.Context(), saltby, swapped); out.GetCode() != "question" {
			t.Errorf("no element: %q", out.GetCode())
		}
	}
	if out := a.answered(saltby, other); out.GetCode() != "" {
		t.Errorf("the second of the hour: %q", out.GetCode())
	}
	third, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB123456C"))
	if err != nil {
		t.Fatal(err)
	}
	if out := a.answered(saltby, third); out.GetCode() != "too-often" || !strings.Contains(out.GetReason(), "in this hour") {
		t.Errorf("the third of the hour: %q, %s", out.GetCode(), out.GetReason())
	}
}

// TestLyingComparison: what is not the evaluation under the key that the signed answer
// names, or not the labels that it counts, is not believed.
func TestLyingComparison(t *testing.T) {
	a, b, w := newWorld(t)
	a.put(person("C-1", "AB123456C", true))
	doc := text(t, "private", agreement.PrivateLookup, nil)
	w.agreed(t, doc)
	p, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB123456C"))
	if err != nil {
		t.Fatal(err)
	}
	honest := a.answered(saltby, p)
	if err := b.Check(t.Context(), northmoor, p, 0, honest); err != nil {
		t.Fatal("an honest answer is refused: ", err)
	}
	other, err := blind.NewKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	evaluated, proof, err := other.Evaluate(p.Message(0).GetHidden())
	if err != nil {
		t.Fatal(err)
	}
	plain := text(t, "plain", agreement.Lookup, nil)
	w.agreed(t, plain)
	asked, err := b.Pose(t.Context(), agreement.Lookup, question.Request{Agreement: plain.Name, Field: "/number", Value: "AB123456C", Because: "case 1"})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		answer *wirepb.Answer
		want   string
	}{
		"another key":          {edit(honest, func(x *wirepb.Answer) { x.Evaluated, x.Proof = evaluated, proof }), "not evaluated under the key"},
		"no proof":             {edit(honest, func(x *wirepb.Answer) { x.Proof = nil }), "not evaluated under the key"},
		"a label less":         {edit(honest, func(x *wirepb.Answer) { x.Labels = x.Labels[blind.LabelSize:] }), "other labels"},
		"a label changed":      {edit(honest, func(x *wirepb.Answer) { x.Labels[3] ^= 1 }), "other labels"},
		"an answer to another": {a.answered(saltby, asked), "another question"},
	} {
		err := b.Check(t.Context(), northmoor, p, 0, c.answer)
		if err == nil || !errors.Is(err, judge.ErrLied) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestHiddenAmongMany: of a long index the asker tells as few bits of the bucket as are
// needed, never more than it may, and finds what is there.
func TestHiddenAmongMany(t *testing.T) {
	a, b, w := newWorld(t)
	var bodies []map[string]any
	for i := range 1100 {
		bodies = append(bodies, person(fmt.Sprintf("C-%d", i), fmt.Sprintf("AB%06dC", i), true))
	}
	a.put(bodies...)
	doc := text(t, "private", agreement.PrivateLookup, nil)
	w.agreed(t, doc)
	f, err := a.ledger.Feed(doc.Name, doc.Digest())
	if err != nil || f.BitsFor() != 1 {
		t.Fatalf("%d bits for 1100 records and two fields: %v", f.BitsFor(), err)
	}
	for i := range 4 {
		value := fmt.Sprintf("AB%06dC", 7*i)
		got, err := b.Lookup(t.Context(), b.net, hiddenRequest(doc, value))
		if err != nil || !got.Held {
			t.Errorf("value %d of those there are: %v", i, err)
		}
	}
	if _, err := b.Lookup(t.Context(), b.net, hiddenRequest(doc, "AB999999C")); kind(err) != api.NotFound {
		t.Errorf("one that is not: %v", err)
	}
	if counted, answered := a.asked(doc); counted != 5 || answered != 5 {
		t.Errorf("%d counted, %d answered: to be told how many bits counts nothing", counted, answered)
	}
	// A holder that wants to know more than may be told is told no more.
	p, err := b.Pose(t.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB000001C"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bits := range []int{0, 9, 64} {
		if p.Narrow(bits) {
			t.Errorf("%d bits are told", bits)
		}
	}
	if !p.Narrow(3) || p.Message(0).GetBits() != 3 || p.Narrow(2) {
		t.Error("three bits are not told, or fewer after them")
	}
}

// TestLabelOfNobody: a holder that labels a value which it only guesses is found out
// when it is asked to show the record.
func TestLabelOfNobody(t *testing.T) {
	a, b, w := newWorld(t)
	made := a.put(person("C-1", "AB123456C", true))
	doc := text(t, "private", agreement.PrivateLookup, nil)
	w.agreed(t, doc)
	var once sync.Once
	w.net.OnWrite(func(x wire.Write) wire.Fault {
		// Between the two questions the record goes: to the asker the same.
		if x.From == saltby && bytes.Contains(x.Data, []byte("AB123456C")) {
			once.Do(func() { a.put(person("C-1", "AB123456C", false)) })
		}
		return wire.None
	})
	r := hiddenRequest(doc, "AB123456C")
	r.Show = true
	_, err := b.Lookup(t.Context(), b.net, r)
	if kind(err) != api.Unverified || !strings.Contains(err.Error(), "and then that it has none") || strings.Contains(err.Error(), string(made[0])) {
		t.Errorf("%v", err)
	}
}
