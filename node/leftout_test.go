package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// textFor is a version of the planning agreement with some receivers.
func textFor(version int, to ...name.Council) string {
	var names, roles, contacts string
	for i, c := range to {
		if i > 0 {
			names += ", "
		}
		names += string(c)
		roles += fmt.Sprintf("  %s: controller\n", c)
		contacts += fmt.Sprintf("  %s: dpo@%s\n", c, c)
	}
	return strings.TrimSpace(strings.NewReplacer(
		"\nversion: 1\n", fmt.Sprintf("\nversion: %d\n", version),
		"to: [saltby.gov.uk]", "to: ["+names+"]",
		"  saltby.gov.uk: controller\n", roles,
		"  saltby.gov.uk: dpo@saltby.gov.uk\n", contacts,
	).Replace(planningAgreement))
}

// TestReceiverLeftOut: an agreement of two receivers is amended to one. The one left
// out learns that its version is over, deletes what it holds, also of records that
// change afterwards, and receipts it; until then it is listed at the sender.
func TestReceiverLeftOut(t *testing.T) {
	t.Parallel()
	const hexwell = name.Council("hexwell.gov.uk")
	m := wire.NewMemory()
	a, b, c := startIn(t, m, northmoor), startIn(t, m, saltby), startIn(t, m, hexwell)
	introduce(t, a, b, c)
	var rs []map[string]any
	for i := range 5 {
		rs = append(rs, planning(i, "X"))
	}
	offer(t, a, "planning-application", rs...)
	agreed(t, textFor(1, saltby, hexwell), a, b, c)
	holds := func(n *running) int { return get(t, n.Status).Holdings }
	await(t, "both hold the records", func() bool { return holds(b) == 5 && holds(c) == 5 })
	theirs := func() *node.PartnerReply {
		for _, p := range get(t, a.Status).Partners {
			if p.Council == hexwell {
				return &p
			}
		}
		return nil
	}
	await(t, "the sender has both receipts", func() bool { p := theirs(); return p != nil && p.Held == 5 })

	// While hexwell is away its five records are outstanding.
	c.stop()
	agreed(t, textFor(2, saltby), a, b)
	await(t, "the sender lists what hexwell holds", func() bool {
		p := theirs()
		return p != nil && p.Outstanding == 5 && !p.InStep && strings.Contains(p.Behind, "version 2 leaves it out")
	})
	call(t, a.Records().Delete, node.RecordRequest{Record: "26/0000003/PA"})

	n, err := node.Open(c.Config(), node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	c = runIn(t, wire.With(t.Context(), m.Node(hexwell)), n)
	await(t, "hexwell has deleted all of it", func() bool { return holds(c) == 0 })
	await(t, "hexwell's version is over, and it is told why", func() bool {
		r := call(t, c.Agreements().Show, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})
		return !r.InForce && r.Version == 1 && strings.Contains(r.Why, "version 2 leaves hexwell.gov.uk out")
	})
	await(t, "the sender has its receipt", func() bool { return theirs() == nil })
	await(t, "saltby goes on", func() bool { return holds(b) == 4 })
}

// again opens a node's folder once more, with its clock some days on.
func again(t *testing.T, m *wire.Memory, r *running, c name.Council, days int) *running {
	t.Helper()
	n, err := node.Open(r.Config(), node.Options{
		Fatal: func(err error) { t.Error(err) },
		Now:   func() time.Time { return time.Now().AddDate(0, 0, days) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return runIn(t, wire.With(t.Context(), m.Node(c)), n)
}

// owed is what a node waits for from a council that receives.
func owed(t *testing.T, n *running, c name.Council) (out []node.PartnerReply) {
	t.Helper()
	for _, p := range get(t, n.Status).Partners {
		if p.Council == c && p.Direction == "to" && p.Outstanding > 0 {
			out = append(out, p)
		}
	}
	return out
}

// TestModeChangedLeavesReceiverOut: the next version of an agreement lets the receiver ask
// and hold nothing. It is away when that comes into force: what it holds is outstanding
// until it says that it deleted it.
func TestModeChangedLeavesReceiverOut(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	var rs []map[string]any
	for i := range 5 {
		rs = append(rs, planning(i, "X"))
	}
	offer(t, a, "planning-application", rs...)
	agreed(t, planningAgreement, a, b)
	await(t, "the sender has the receipts", func() bool {
		for _, p := range get(t, a.Status).Partners {
			if p.Held == 5 {
				return true
			}
		}
		return false
	})
	asks := strings.Replace(textFor(2, saltby), "mode: replicate", "mode: lookup\nmatch: [/reference]", 1)
	asks = strings.Replace(asks, "starts: 2026-01-01", "starts: "+time.Now().AddDate(0, 0, 2).Format(time.DateOnly), 1)
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(asks)})
	await(t, "saltby can sign", func() bool {
		return try(t.Context(), b.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby", Version: 2}, nil) == nil
	})
	await(t, "northmoor has saltby's signature", func() bool {
		r := call(t, a.Agreements().Show, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby", Version: 2})
		return len(r.Signed) == 2
	})
	b.stop()
	a.stop()
	a = again(t, m, a, northmoor, 3)
	await(t, "what saltby holds is outstanding", func() bool {
		o := owed(t, a, saltby)
		return len(o) == 1 && o[0].Outstanding == 5 && o[0].Over && strings.Contains(o[0].Behind, "version 2 lets nothing be copied")
	})
	b = again(t, m, b, saltby, 3)
	await(t, "saltby has deleted all of it", func() bool { return get(t, b.Status).Holdings == 0 })
	await(t, "and northmoor has its receipt", func() bool { return len(owed(t, a, saltby)) == 0 })
}
