package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
)

// A clock that is set a day ahead is named by a condition as soon as partners have signed
// what was made by it, and signs nothing more; once it is right the node works again by
// itself. What was honestly signed meanwhile verifies, with a note.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	a := startAt(t, northmoor, "E07000998", func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	a.Unsynced()
	b := start(t, saltby, "E07000999")
	introduce(t, a, b)
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(planningAgreement)})
	nm := node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"}
	await(t, "the proposal arrives", func() bool { return len(get(t, b.Agreements().List)) == 1 })
	call(t, b.Agreements().Sign, nm)
	const std = "planning-application"
	offer(t, a, std, planning(1, "X"))
	held := func(n int) func() bool {
		return func() bool {
			s := get(t, a.Status)
			return len(s.Partners) == 1 && s.Partners[0].Held == n && s.Partners[0].InStep
		}
	}
	await(t, "they are in step", held(1))

	ahead.Store(int64(23 * time.Hour))
	offer(t, a, std, planning(2, "X")) // nobody has said yet that the clock is wrong
	await(t, "a condition names the clock", func() bool {
		for _, c := range get(t, a.Status).Conditions {
			if c.Name == "clock-off" {
				return strings.Contains(c.Cause, "it is fast") && strings.Contains(c.Cause, "saltby.gov.uk by ")
			}
		}
		return false
	})
	body, err := json.Marshal(planning(3, "X"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Records().Put(t.Context(), node.PutRequest{Standard: std, Records: []node.Offered{{Record: body}}})
	var e *node.Error
	if !errors.As(err, &e) || e.Kind != node.Refused || !strings.Contains(e.Message, "the clock of this machine is wrong, and nothing is signed by it") {
		t.Errorf("by a wrong clock: %v", err)
	}

	ahead.Store(0)
	offer(t, a, std, planning(3, "X"))
	await(t, "they are in step again", held(3))
	for _, c := range get(t, a.Status).Conditions {
		if c.Name == "clock-off" {
			t.Errorf("the clock is right: %+v", c)
		}
	}
	members := t.TempDir()
	for _, n := range []*running{a, b} {
		m := call(t, n.Councils().Show, node.MemberNameRequest{})
		if err := os.WriteFile(filepath.Join(members, string(m.Council)+".yaml"), []byte(m.Document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust, err := audit.ReadTrust(members)
	if err != nil {
		t.Fatal(err)
	}
	bundle := call(t, a.Bundle, node.BundleRequest{Agreement: nm.Name}).Bundle
	r, err := audit.Verify(bytes.NewReader(bundle), int64(len(bundle)), audit.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := r.Check(audit.CheckTimes); !r.OK() || !strings.Contains(c.Detail, "the clock of northmoor.gov.uk was ahead") {
		t.Errorf("the bundle: %s\n%+v", r.Result, c)
	}
}
