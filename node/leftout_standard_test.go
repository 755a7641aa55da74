package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// TestStandardRetired: a standard is retired, and the next version of an agreement is of the one that takes its place. What the
// receiver holds of the old one is outstanding while it is away, and is withdrawn, receipted and gone once it is back.
func TestStandardRetired(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	offer(t, a, "planning-application", planning(0, "X"), planning(1, "X"), planning(2, "X"))
	offerHousing(t, a, housing("HN/1", "", "E07000999"))
	agreed(t, planningAgreement, a, b)
	await(t, "the sender has the receipts", func() bool {
		for _, p := range get(t, a.Status).Partners {
			if p.Held == 3 {
				return true
			}
		}
		return false
	})
	next := strings.Replace(textFor(2, saltby), "standards.stile.example/planning-application@1", "standards.stile.example/housing-need@1", 1)
	next = strings.Replace(next, `rows: record.district == "X"`, `rows: record.moved_to == "E07000999"`, 1)
	from := strings.Index(next, "fields: [")
	next = next[:from] + "fields: [/reference, /status]" + next[from+strings.Index(next[from:], "]")+1:]
	next = strings.Replace(next, "starts: 2026-01-01", "starts: "+time.Now().AddDate(0, 0, 2).Format(time.DateOnly), 1)
	const agreement = "northmoor.gov.uk/planning-for-saltby"
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(next)})
	await(t, "saltby can sign", func() bool {
		return try(t.Context(), b.Agreements().Sign, node.AgreementRequest{Name: agreement, Version: 2}, nil) == nil
	})
	await(t, "northmoor has saltby's signature", func() bool {
		return len(call(t, a.Agreements().Show, node.AgreementRequest{Name: agreement, Version: 2}).Signed) == 2
	})
	b.stop()
	a.stop()
	a = again(t, m, a, northmoor, 3)
	await(t, "what saltby holds of the old standard is outstanding", func() bool {
		o := owed(t, a, saltby)
		return len(o) == 1 && o[0].Outstanding == 3
	})
	b = again(t, m, b, saltby, 3)
	await(t, "saltby has deleted it", func() bool {
		l := call(t, b.Records().List, node.ListRequest{From: northmoor, Standard: "planning-application"})
		return len(l.Records) == 0
	})
	await(t, "and northmoor has its receipt", func() bool { return len(owed(t, a, saltby)) == 0 })
}
