package node_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// TestUrgentTakesTwoWhoShowIt: where the configuration wants two persons, names that somebody
// types are none: both show by a passphrase who they are, and one person is not two.
func TestUrgentTakesTwoWhoShowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, cfg := inBubble(t, m, northmoor)
		b, _ := inBubble(t, m, saltby)
		introduce(t, a, b)
		id := offer(t, a, "planning-application", planning(1, "X")).Results[0].Record
		agreed(t, strings.NewReplacer("starts: 2026-01-01", "starts: 2000-01-01", "planning-for-saltby", "urgent",
			"mode: replicate", "mode: break-glass", "retention: P2Y", "retention: P1D").Replace(planningAgreement), a, b)
		store, ids := people.Open(cfg.Data, rand.Reader, time.Now), map[string]string{}
		for who, role := range map[string]access.Role{"Jo Smith": access.Steward, "Ann Lee": access.Governance} {
			one, err := store.Put(people.Person{Name: who, Roles: []access.Role{role}})
			if err != nil {
				t.Fatal(err)
			}
			if err := store.SetPassphrase(one.ID, []byte(who+" has odd words")); err != nil {
				t.Fatal(err)
			}
			ids[who] = one.ID
		}
		cfg.Web.TwoPersons = true
		says := func(in node.CaseRequest, as string) node.CaseRequest {
			in.Partner, in.Records, in.Because = saltby, []string{string(id)}, "child in hospital"
			if as != "" {
				in.As, in.Passphrase = as, []byte(as+" has odd words")
			}
			return in
		}
		refused := func(what, why string, err error) {
			t.Helper()
			if !is(err, node.Refused) || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v, want %q", what, err, why)
			}
		}
		_, err := a.Urgent().Give(t.Context(), says(node.CaseRequest{By: "Jo Smith"}, ""))
		refused("given by a name", "nobody said who they are", err)
		given := call(t, a.Urgent().Give, says(node.CaseRequest{By: "Somebody Else"}, "Jo Smith"))
		if given.By != ids["Jo Smith"] {
			t.Errorf("it was given by %q", given.By)
		}
		in := node.CaseRequest{Case: given.Case, By: "Ann Lee"}
		_, err = a.Urgent().Approve(t.Context(), in)
		refused("approved by a name", "nobody said who they are", err)
		_, err = a.Urgent().Approve(t.Context(), says(in, "Jo Smith"))
		refused("approved by who gave it", "another person has to approve", err)
		if out := call(t, a.Urgent().Approve, says(in, "Ann Lee")); out.State != "out" || out.DecidedBy != ids["Ann Lee"] {
			t.Errorf("approved: %s by %q", out.State, out.DecidedBy)
		}

		// Before it ends for good a council is told of what is out, and of what is held back.
		bad := node.PutRequest{Standard: "planning-application", Hold: true, Records: []node.Offered{{Row: 1, Reference: "26/9", Record: []byte(`{"reference":"26/9"}`)}}}
		if r := call(t, a.Records().Put, bad).Results[0]; len(r.Problems) == 0 {
			t.Fatalf("it is not held back: %+v", r)
		}
		plan := "{succession: x, on: 2000-02-01, begins: [saltby.gov.uk], ends: [{council: northmoor.gov.uk, to: saltby.gov.uk}]}"
		got := call(t, a.Successions().Preview, node.SuccessionRequest{Plan: []byte(plan)}).Warnings
		for i, want := range []string{"the urgent disclosure " + given.Case[:8] + " to saltby.gov.uk is out", "offers held back at the gate: 1.", "the directory does not say yet"} {
			if i >= len(got) || !strings.Contains(got[i], want) {
				t.Errorf("before the end it warns of %q, want %q", got, want)
			}
		}
	})
}
