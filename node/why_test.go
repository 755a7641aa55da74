package node_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// TestWhyThenAndNow asks both sides why a record is held, through the life of an
// agreement: never sent, in force, suspended, the record deleted, amended to fewer
// fields, ended.
func TestWhyThenAndNow(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	const under = "northmoor.gov.uk/planning-for-saltby"
	r := offer(t, a, "planning-application", planning(1, "X"), planning(2, "X"), planning(3, "elsewhere"))
	ids := make([]string, 3)
	for i := range ids {
		ids[i] = string(r.Results[i].Record)
	}
	sender := func(i int) node.WhyReply {
		t.Helper()
		return call(t, a.Why, node.WhyRequest{Partner: string(saltby), Record: ids[i]})
	}
	receiver := func(i int) node.WhyReply {
		t.Helper()
		return call(t, b.Why, node.WhyRequest{Partner: string(northmoor), Record: ids[i], From: true})
	}
	said := func(what string, r node.WhyReply, has bool, answer ...string) {
		t.Helper()
		for _, w := range answer {
			if r.Has != has || !strings.Contains(r.Answer, w) {
				t.Errorf("%s: has %v, want %v: %q, want %q", what, r.Has, has, r.Answer, w)
			}
		}
	}
	happened := func(what string, r node.WhyReply, words ...string) {
		t.Helper()
		for _, w := range words {
			if !slices.ContainsFunc(r.Events, func(e node.WhyEvent) bool { return strings.Contains(e.What, w) }) {
				t.Errorf("%s: nothing says %q: %+v", what, w, r.Events)
			}
		}
	}
	state := func(r node.WhyReply, field string) (out []string) {
		for _, f := range r.Fields {
			if f.Field == field {
				out = append(out, f.State)
			}
		}
		return out
	}

	said("before any agreement", sender(0), false, "saltby.gov.uk does not have this record: an agreement covers this standard: no")
	agreed(t, textFor(1, saltby), a, b)
	holds := func() int { return get(t, b.Status).Holdings }
	await(t, "saltby holds two", func() bool { return holds() == 2 })
	await(t, "northmoor has the receipt", func() bool { return sender(0).Has })
	now := sender(0)
	said("in force", now, true, "saltby.gov.uk has this record: it was sent on ", " under version 1 of "+under+" (entry ", "and received on ")
	happened("in force", now, "version 1 was sent", "saltby.gov.uk said that it received version 1")
	if got := state(now, "/reference"); !slices.Equal(got, []string{"sent"}) {
		t.Errorf("in force: /reference %q", got)
	}
	said("never sent", sender(2), false, "does not have this record: row filter: ")
	here := receiver(0)
	said("in force, at the receiver", here, true, "we hold this record, version 1, under version 1 of "+under+", which is in force, received on ")
	happened("in force, at the receiver", here, "version 1 was received from northmoor.gov.uk, as entry ")
	said("never sent, at the receiver", receiver(2), false, "we do not hold this record, and remember none of that id")

	call(t, b.Agreements().Suspend, node.AgreementRequest{Name: under, Reason: "a move"})
	await(t, "northmoor knows", func() bool {
		return slices.ContainsFunc(get(t, a.Status).Conditions, func(c node.Condition) bool { return c.Name == "exchange-suspended" && c.Agreement == under })
	})
	said("suspended", sender(0), true, "has this record: it was sent on ")
	said("suspended, at the receiver", receiver(0), true, "which is suspended by saltby.gov.uk")
	call(t, b.Agreements().Resume, node.AgreementRequest{Name: under})

	call(t, a.Records().Delete, node.RecordRequest{Record: ids[1]})
	await(t, "saltby has deleted it", func() bool { return holds() == 1 })
	await(t, "northmoor has the receipt of that", func() bool { return strings.Contains(sender(1).Answer, "any more") })
	gone := sender(1)
	said("deleted", gone, false, "does not have this record any more: it was sent on ", ", and withdrawn on ", "that it deleted it")
	happened("deleted", gone, "it was withdrawn: ", "saltby.gov.uk said that it deleted it")
	gone = receiver(1)
	said("deleted, at the receiver", gone, false, "we held this record under "+under+", received on ", " and deleted it on ", "northmoor.gov.uk withdrew it by entry ")
	happened("deleted, at the receiver", gone, "northmoor.gov.uk withdrew it", "it was deleted here, and that was receipted")

	narrower := strings.Replace(textFor(2, saltby), "/address, ", "", 1)
	if narrower == textFor(2, saltby) {
		t.Fatal("the text has no /address to leave out")
	}
	agreed(t, narrower, a, b)
	await(t, "saltby has it under the narrower text", func() bool {
		return strings.Contains(sender(0).Answer, "under version 2 of") && sender(0).Has
	})
	if got := state(sender(0), "/address"); len(got) != 2 || got[1] != "was sent" {
		t.Errorf("amended: /address %q", got)
	}
	said("amended, at the receiver", receiver(0), true, "under version 2 of "+under+", which is in force")

	call(t, a.Agreements().End, node.AgreementRequest{Name: under, Reason: "the project is over"})
	await(t, "saltby has deleted all", func() bool { return holds() == 0 })
	await(t, "northmoor has the last receipt", func() bool { return !sender(0).Has })
	over := sender(0)
	said("ended", over, false, "does not have this record any more: it was sent on ", "that it deleted it")
	if got := state(over, "/reference"); !slices.Equal(got, []string{"was sent"}) {
		t.Errorf("ended: /reference %q", got)
	}
	if !slices.ContainsFunc(over.Steps, func(s node.WhyStep) bool { return s.Past && s.Rule == "the agreement is in force still" && !s.Holds }) {
		t.Errorf("ended: %+v", over.Steps)
	}
	said("ended, at the receiver", receiver(0), false, "we do not hold this record: everything held under "+under+" was deleted on ")
}
