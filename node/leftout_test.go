package node_test

import (
	"fmt"
	"strings"
	"testing"

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
