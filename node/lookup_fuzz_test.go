package node_test

import (
	"bufio"
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// FuzzLookupAnswer reads answers as a partner may send any, and checks those that
// have the form. None but the honest one is believed.
func FuzzLookupAnswer(f *testing.F) {
	a, b := start(f, northmoor, "E07000998"), start(f, saltby, "E07000999")
	introduce(f, a, b)
	made := offerHousing(f, a, housing("HN-1", "AB123456C", "E07000999"))
	agreed(f, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	p, err := b.Pose(f.Context(), node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/reference", Value: "HN-1", Because: "case 1"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	honest, _ := a.AnswerQuestion(f.Context(), saltby, p.Msg)
	more, err := a.Lie(f.Context(), p, func(string, bool) bool { return true }, []name.Record{made[0].Record}, nil)
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
		if b.JudgeAnswer(p, got) == nil && (!bytes.Equal(got.Event, honest.Event) || len(got.Entries) != 1 || !bytes.Equal(got.Entries[0].Token, honest.Entries[0].Token)) {
			t.Error("believed what was not answered")
		}
	})
}

// FuzzLookupQuestion answers questions as a partner may send any.
func FuzzLookupQuestion(f *testing.F) {
	a, b := start(f, northmoor, "E07000998"), start(f, saltby, "E07000999")
	introduce(f, a, b)
	offerHousing(f, a, housing("HN-1", "AB123456C", "E07000999"))
	agreed(f, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	p, err := b.Pose(f.Context(), node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/reference", Value: "HN-1", Because: "case 1"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	body, err := proto.Marshal(p.Msg)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire.AppendFrame(nil, body))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := wirepb.ReadQuestion(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if got, _ := a.AnswerQuestion(t.Context(), saltby, q); got != nil && !bytes.Equal(q.GetEvent(), p.Msg.GetEvent()) {
			t.Error("answered what was not asked")
		}
		if got, _ := a.AnswerQuestion(t.Context(), northmoor, q); got != nil {
			t.Error("answered itself")
		}
	})
}
