package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// TestEraseByRule: what a rule of the configuration says is due, live or deleted before,
// is erased here and at the partner; what is not due, or has no date, stays.
func TestEraseByRule(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	now := time.Now()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	received := func(i int, date string) map[string]any {
		r := planning(i, "X")
		r["receivedDate"] = date
		return r
	}
	offer(t, a, "planning-application",
		received(1, now.AddDate(-8, 0, 0).Format(time.DateOnly)),
		received(2, now.AddDate(-6, 0, -1).Format(time.DateOnly)),
		received(3, now.AddDate(-6, 0, 2).Format(time.DateOnly)),
		received(4, now.AddDate(-9, 0, 0).Format(time.DateOnly)),
	)
	agreed(t, planningAgreement, a, b)
	await(t, "saltby holds the records", func() bool { return get(t, b.Status).Holdings == 4 })
	call(t, a.Records().Delete, node.RecordRequest{Record: "26/0000004/PA"})
	a.stop()

	cfg := *a.Config()
	cfg.Erase = []config.EraseRule{{Name: "plans", Standard: "planning-application", Date: "/receivedDate", After: "P6Y", Reason: "schedule P-4", Most: "10%"}}
	bad := cfg
	bad.Erase = []config.EraseRule{{Name: "plans", Standard: "planning-application", After: "6 years", Reason: "r", Most: "1"}}
	if _, err := node.Open(&bad, node.Options{}); err == nil || !strings.Contains(err.Error(), "ISO 8601") {
		t.Errorf("a term that is none: %v", err)
	}
	n, err := node.Open(&cfg, node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	a = runIn(t, wire.With(t.Context(), m.Node(northmoor)), n)

	would := call(t, a.Records().EraseDue, node.EraseDueRequest{Rule: "plans", Try: true}).Rules[0]
	if would.Records != 4 || would.Due != 3 || would.Undated != 0 || len(would.Years) != 3 || would.Erased != 0 {
		t.Errorf("it would erase %+v", would)
	}
	if err := try(t.Context(), a.Records().EraseDue, node.EraseDueRequest{Rule: "other"}, nil); err == nil {
		t.Error("a rule that there is not was taken")
	}
	// By itself it erases no more than it may.
	n.RunRule(t.Context(), cfg.Erase[0])
	var stopped []node.Condition
	for _, c := range get(t, a.Status).Conditions {
		if c.Name == "erasure-rule-stopped" {
			stopped = append(stopped, c)
		}
	}
	if len(stopped) != 1 || !strings.Contains(stopped[0].Text, "3 records of 4 are due") {
		t.Errorf("conditions: %+v", stopped)
	}
	did := call(t, a.Records().EraseDue, node.EraseDueRequest{}).Rules[0]
	if did.Erased != 3 || did.Versions != 3 || did.Orders != 3 {
		t.Errorf("it erased %+v", did)
	}
	await(t, "saltby has erased what is due", func() bool { return get(t, b.Status).Holdings == 1 })
	n.RunRule(t.Context(), cfg.Erase[0])
	if again := call(t, a.Records().EraseDue, node.EraseDueRequest{Try: true}).Rules[0]; again.Records != 1 || again.Due != 0 {
		t.Errorf("then there is %+v", again)
	}
	for _, c := range get(t, a.Status).Conditions {
		if c.Name == "erasure-rule-stopped" {
			t.Errorf("still %+v", c)
		}
	}
	shown := call(t, a.Records().Show, node.RecordRequest{Record: "26/0000003/PA", Standard: "planning-application"})
	if shown.Op != "put" {
		t.Errorf("what is not due is %+v", shown)
	}
}
