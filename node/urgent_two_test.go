package node_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/scrypt"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// cheapPassphrase gives a person a passphrase as people.SetPassphrase does, at the least cost that
// scrypt has: each of its tries takes a second under the race detector else.
func cheapPassphrase(t *testing.T, data, id, pass string) {
	t.Helper()
	const n, r, p = 2, 1, 1
	hash, err := scrypt.Key([]byte(pass), []byte("salt"), n, r, p, 32)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"version": 1, "n": n, "r": r, "p": p, "salt": []byte("salt"), "hash": hash})
	if err == nil {
		err = os.WriteFile(filepath.Join(data, people.Folder, id+".passphrase"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

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
			cheapPassphrase(t, cfg.Data, one.ID, who+" has odd words")
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
