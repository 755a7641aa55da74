package node_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
)

// TestTwoHistoriesByAnswers: a council that is set back to an old copy of its folder
// tells two histories by its answers alone. The second is not shown, and all exchange
// with it stops; after a restart, too.
func TestTwoHistoriesByAnswers(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: northmoor, GSS: "E07000998"})
	if err != nil {
		t.Fatal(err)
	}
	little(t, cfg)
	open := func() *running {
		n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Errorf("%v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		return runIn(t, wire.With(context.Background(), m.Node(northmoor)), n)
	}
	a, b := open(), startIn(t, m, saltby)
	introduce(t, a, b)
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"))
	agreed(t, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	ask := func(ref string) (node.LookupReply, error) {
		return b.Questions().Ask(t.Context(), node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/reference", Value: ref, Because: "case"})
	}
	if _, err := ask("HN-1"); err != nil {
		t.Fatal(err)
	}
	a.stop()
	old := t.TempDir() + "/old"
	copyFolder := func(from, to string) {
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	copyFolder(cfg.Data, old)
	// From now on nothing of its log comes by copies and notices, and it cannot ask what
	// others hold of its log.
	m.OnWrite(func(w wire.Write) wire.Fault {
		if w.Protocol == wirepb.Protocol || w.Protocol == wirepb.LogProtocol && w.From == northmoor && w.Opener {
			return wire.Lost
		}
		return wire.None
	})
	a = open()
	offerHousing(t, a, housing("HN-7", "AB123459C", "E07000999"))
	if r, err := ask("HN-7"); err != nil || len(r.Records) != 1 {
		t.Fatalf("the first history: %+v, %v", r, err)
	}
	a.stop()
	if err := os.RemoveAll(cfg.Data); err != nil {
		t.Fatal(err)
	}
	copyFolder(old, cfg.Data)
	a = open()
	if _, err := a.Records().Put(t.Context(), node.PutRequest{Standard: "housing-need", Records: []node.Offered{{Record: json.RawMessage(`{}`)}}}); err == nil {
		t.Error("a record is signed in a folder that may be an old copy")
	}
	if _, err := a.Log().Continue(t.Context(), node.ContinueRequest{Because: "a test", AcceptRisk: true}); err != nil {
		t.Fatal(err)
	}
	offerHousing(t, a, housing("HN-8", "AB123458C", "E07000999"))
	for range 2 {
		r, err := ask("HN-8")
		if err == nil || len(r.Records) > 0 {
			t.Fatalf("the second history is believed: %+v", r)
		}
		if !strings.Contains(err.Error(), "exchange is stopped with northmoor.gov.uk") {
			t.Errorf("what is said: %v", err)
		}
	}
	s, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	qs, err := b.Councils().Quarantines(t.Context())
	if err != nil || len(qs) != 1 || qs[0].Council != northmoor || qs[0].HeldRoot == "" || !strings.HasPrefix(qs[0].MetWith, "an answer under ") {
		t.Fatalf("%+v, %v", qs, err)
	}
	if c := s.Conditions[0]; c.Name != "partner-two-histories" || c.Council != northmoor || !c.Since.Equal(qs[0].Since) || c.Cause != qs[0].Reason {
		t.Errorf("%+v", c)
	}
	for _, p := range s.Partners {
		if p.InStep || !strings.Contains(p.Behind, "all exchange is stopped") {
			t.Errorf("%+v", p)
		}
	}
	// Nothing of it is answered for, either.
	for _, q := range call(t, b.Questions().List, node.LookupListRequest{}) {
		if q.Outcome != "" && q.Entry > qs[0].Entry {
			t.Errorf("answered after the stop: %+v", q)
		}
	}
}

// TestEmptyLedgerAsks: a node whose keys are old and whose ledger is gone, be it removed or replaced by an empty
// folder, signs nothing until every member of its directory was asked what it holds of its log, and nothing after that when one
// holds some. A node that was founded just now signs at once.
func TestEmptyLedgerAsks(t *testing.T) {
	m := wire.NewMemory()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: northmoor, GSS: "E07000998"})
	if err != nil {
		t.Fatal(err)
	}
	little(t, cfg)
	open := func() *running {
		n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Errorf("%v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		return runIn(t, wire.With(context.Background(), m.Node(northmoor)), n)
	}
	a, b := open(), startIn(t, m, saltby)
	introduce(t, a, b)
	offer(t, a, "planning-application", planning(1, "X"))
	agreed(t, planningAgreement, a, b)
	await(t, "the partner has it", func() bool { return b.Held() == 1 })
	a.stop()
	if err := os.RemoveAll(cfg.Data + "/ledger"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cfg.Data+"/ledger", 0o700); err != nil {
		t.Fatal(err)
	}
	refused := func(when, because string) {
		t.Helper()
		n, err := node.Open(cfg, node.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if err := n.Say(t.Context(), event.KindAgreementSuspend, map[string]any{}, saltby); err == nil || !strings.Contains(err.Error(), because) {
			t.Errorf("%s, an event is signed: %v", when, err)
		}
	}
	refused("before anybody was asked", "not the one that the node wrote last")
	a = open()
	await(t, "saltby says what it holds", func() bool { return named(get(t, a.Status).Conditions, "own-log-old-copy") })
	a.stop()
	refused("after saltby was asked", "saltby.gov.uk holds")
}
