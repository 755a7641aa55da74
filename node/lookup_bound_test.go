package node_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
)

// A council that has asked as often as it may in a day learns nothing more by
// asking with other values under the id of a question that was answered.
func TestNoSearchBeyondTheBound(t *testing.T) {
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	a.Config().Limits.QuestionsPerDay = 3
	offerHousing(t, a, housing("HN-1", "AB000001C", "E07000999"), housing("HN-2", "AB000002C", "E07000999"))
	agreed(t, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	req := node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/nino", Value: "AB000001C", Because: "case 1"}
	p, err := b.Pose(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	probe := func(value string) string {
		m := proto.Clone(p.Msg).(*wirepb.Question)
		m.Value = value
		_, code := a.AnswerQuestion(t.Context(), saltby, m)
		return code
	}
	if code := probe("AB000001C"); code != "" {
		t.Fatal(code)
	}
	asked := func() int { return get(t, a.Status).Partners[0].Asked }
	for i := range 20 {
		// A record of the other council, and none, in turn.
		want := "question"
		if i >= 2 {
			want = "too-often"
		}
		if code := probe(fmt.Sprintf("AB00000%dC", 2+i%2)); code != want || asked() != min(2+i, 3) {
			t.Errorf("probe %d: %q, want %q; %d questions counted", i, code, want, asked())
		}
	}
	if code := probe("AB000001C"); code != "" {
		t.Errorf("the question itself, asked again: %q", code)
	}
	if n := len(call(t, a.Questions().List, node.LookupListRequest{})); n != 1 {
		t.Errorf("%d answers logged, want 1", n)
	}
}

// Counting by a field with too many values is charged as any question is.
func TestTooManyGroupsBeyondTheBound(t *testing.T) {
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	a.Config().Limits.QuestionsPerDay = 2
	var rows []map[string]any
	for i := range 1001 {
		rows = append(rows, planning(i, "X"))
	}
	offer(t, a, "planning-application", rows...)
	text := strings.Replace(intoFens("counts", 1, string(saltby), "/reference, /status"), "mode: replicate", "mode: aggregate", 1)
	text = strings.Replace(text, `record.district == "A"`, `"true"`, 1)
	agreed(t, text, a, b)
	for i := range 5 {
		p, err := b.PoseCounts(t.Context(), "northmoor.gov.uk/counts", "/reference")
		if err != nil {
			t.Fatal(err)
		}
		want := "too-many-groups"
		if i >= 2 {
			want = "too-often"
		}
		if _, code := a.AnswerQuestion(t.Context(), saltby, p.Msg); code != want {
			t.Errorf("question %d: %q, want %q", i+1, code, want)
		}
	}
}
