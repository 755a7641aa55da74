package question_test

import (
	"bufio"
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

// FuzzAnswer reads answers as a partner may send any, and checks those that have
// the form. None but the honest one is believed.
func FuzzAnswer(f *testing.F) {
	a, b, w := newWorld(f)
	made := a.put(person("C-1", "AB123456C", true))
	doc := text(f, "cases", agreement.Lookup, nil)
	w.agreed(f, doc)
	p, err := b.Pose(f.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/reference", Value: "C-1", Because: "case 1"})
	if err != nil {
		f.Fatal(err)
	}
	honest := a.answered(saltby, p)
	more, err := a.Lie(f.Context(), p, func(string, bool) bool { return true }, made, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []*wirepb.Answer{honest, more, {Code: "no", Reason: "because"}} {
		var out bytes.Buffer
		if err := wirepb.WriteAnswer(bufio.NewWriter(&out), m); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := wirepb.ReadAnswer(bufio.NewReader(bytes.NewReader(data)))
		if err != nil || got.GetCode() != "" {
			return
		}
		var out bytes.Buffer
		if err := wirepb.WriteAnswer(bufio.NewWriter(&out), got); err != nil {
			t.Fatalf("accepted and not writable: %v", err)
		}
		if b.Check(t.Context(), northmoor, p, 0, got) == nil && (!bytes.Equal(got.Event, honest.Event) || len(got.Entries) != 1 || !bytes.Equal(got.Entries[0].Token, honest.Entries[0].Token)) {
			t.Error("believed what was not answered")
		}
	})
}

// FuzzComparison reads answers to a question that hides its value.
func FuzzComparison(f *testing.F) {
	a, b, w := newWorld(f)
	a.put(person("C-1", "AB123456C", true))
	doc := text(f, "private", agreement.PrivateLookup, nil)
	w.agreed(f, doc)
	p, err := b.Pose(f.Context(), agreement.PrivateLookup, hiddenRequest(doc, "AB123456C"))
	if err != nil {
		f.Fatal(err)
	}
	honest := a.answered(saltby, p)
	var out bytes.Buffer
	if err := wirepb.WriteAnswer(bufio.NewWriter(&out), honest); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := wirepb.ReadAnswer(bufio.NewReader(bytes.NewReader(data)))
		if err != nil || got.GetCode() != "" {
			return
		}
		if b.Check(t.Context(), northmoor, p, 0, got) == nil && (!bytes.Equal(got.Event, honest.Event) || !bytes.Equal(got.Labels, honest.Labels) || !bytes.Equal(got.Evaluated, honest.Evaluated)) {
			t.Error("believed what was not answered")
		}
	})
}

// FuzzQuestion answers questions as a partner may send any.
func FuzzQuestion(f *testing.F) {
	a, b, w := newWorld(f)
	a.put(person("C-1", "AB123456C", true))
	doc := text(f, "cases", agreement.Lookup, nil)
	w.agreed(f, doc)
	p, err := b.Pose(f.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/reference", Value: "C-1", Because: "case 1"})
	if err != nil {
		f.Fatal(err)
	}
	body, err := proto.Marshal(p.Message(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire.AppendFrame(nil, body))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := wirepb.ReadQuestion(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if got, _ := a.Answer(t.Context(), saltby, q); got.GetCode() == "" && !bytes.Equal(q.GetEvent(), p.Message(0).GetEvent()) {
			t.Error("answered what was not asked")
		}
		if got, _ := a.Answer(t.Context(), northmoor, q); got.GetCode() == "" {
			t.Error("answered itself")
		}
	})
}
