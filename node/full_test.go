package node_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// A receiver whose disk is full is shown at the sender as what it is, and not as one that
// has not asked; both say so in a condition or in words, and once there is room it goes on by itself.
func TestReceiverFull(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	a := startIn(t, m, northmoor)
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: saltby})
	if err != nil {
		t.Fatal(err)
	}
	run := func(minFree int) *running {
		t.Helper()
		c := *cfg
		c.Limits.MinFreeMiB = minFree
		n, err := node.Open(&c, node.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		return runIn(t, wire.With(context.Background(), m.Node(saltby)), n)
	}
	b := run(16)
	introduce(t, a, b)
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(planningAgreement)})
	await(t, "the proposal arrives", func() bool { return len(get(t, b.Agreements().List)) == 1 })
	call(t, b.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})
	offer(t, a, "planning-application", planning(1, "X"))
	partner := func() node.PartnerReply {
		if s := get(t, a.Status); len(s.Partners) == 1 {
			return s.Partners[0]
		}
		return node.PartnerReply{}
	}
	await(t, "they are in step", func() bool { p := partner(); return p.Held == 1 && p.InStep })

	b.stop()
	b = run(1 << 40) // no disk has so much room
	offer(t, a, "planning-application", planning(2, "X"))
	await(t, "the sender says that its disk is full", func() bool {
		p := partner()
		return p.Full && strings.Contains(p.Behind, "its disk is nearly full, and it keeps nothing that we send")
	})
	if !named(get(t, b.Status).Conditions, "disk-full") || !named(get(t, a.Status).Conditions, "receiver-full") {
		t.Errorf("conditions: %+v\n%+v", get(t, b.Status).Conditions, get(t, a.Status).Conditions)
	}
	if p := partner(); p.InStep || p.Held != 1 {
		t.Errorf("on a full disk: %+v", p)
	}

	b.stop()
	b = run(16)
	await(t, "they are in step again", func() bool { p := partner(); return p.Held == 2 && p.InStep && !p.Full })
}

func named(cs []node.Condition, name string) bool {
	for _, c := range cs {
		if c.Name == name {
			return true
		}
	}
	return false
}
