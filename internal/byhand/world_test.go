package byhand_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/simtest"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const (
	north = name.Council("northmoor.gov.uk")
	salt  = name.Council("saltby.gov.uk")
	std   = "standards.stile.example/planning-application@1"
)

// A town is a council in a world in memory.
type town struct {
	*node.Node
	t    testing.TB
	net  *wire.Memory
	name name.Council
	dir  string

	at   *wire.MemoryNode
	stop context.CancelFunc
	done chan error
}

func world(t *testing.T) (net *wire.Memory, from, to *town) {
	t.Helper()
	net, all := worldOf(t, north, salt)
	return net, all[0], all[1]
}

func worldOf(t *testing.T, councils ...name.Council) (net *wire.Memory, towns []*town) {
	t.Helper()
	net = wire.NewMemory()
	for i, c := range councils {
		w := &town{t: t, net: net, name: c, dir: filepath.Join(t.TempDir(), "data")}
		if _, err := node.Init(t.Context(), node.InitOptions{Dir: w.dir, Council: c, GSS: fmt.Sprintf("E0700099%d", i), Listen: []string{}}); err != nil {
			t.Fatal(err)
		}
		w.start()
		t.Cleanup(w.halt)
		towns = append(towns, w)
	}
	for _, a := range towns {
		for _, b := range towns {
			m := call(b, b.Councils().Show, node.MemberNameRequest{})
			call(a, a.Councils().Add, node.MemberRequest{Document: []byte(m.Document)})
		}
	}
	return net, towns
}

func (w *town) start() {
	w.t.Helper()
	cfg := config.Default(w.name, w.dir)
	cfg.Limits.MinFreeMiB, cfg.AdminSocket = 16, ""
	w.at = w.net.Node(w.name)
	n, err := node.Open(cfg, node.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Fatal: func(err error) { w.t.Errorf("%s: %v", w.name, err) }})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(wire.With(context.Background(), w.at))
	w.Node, w.stop, w.done = n, cancel, make(chan error, 1)
	go func() { w.done <- n.Run(ctx) }()
	<-n.Ready()
}

func (w *town) halt() {
	if w.Node == nil {
		return
	}
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Errorf("%s: run: %v", w.name, err)
	}
	w.at.Close()
	if err := w.Close(); err != nil {
		w.t.Errorf("%s: close: %v", w.name, err)
	}
	w.Node = nil
}

func call[In, Out any](w *town, f func(context.Context, In) (Out, error), in In) Out {
	w.t.Helper()
	out, err := f(w.t.Context(), in)
	if err != nil {
		w.t.Fatalf("%s: %T: %v", w.name, in, err)
	}
	return out
}

func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for range 900 {
		if f() {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("waited in vain until %s", what)
}

func text(mode, nm, kept string) string {
	return fmt.Sprintf(`agreement: northmoor.gov.uk/%s
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: %s
standard: %s
rows: record.district == "X"
fields: [/reference, /organisation, /district, /status, /applicationType, /decision, /decisionDate]
purpose: To take over what has moved.
necessity: It cannot be taken over unseen.
data_items: Reference, district and status of applications.
lawful_basis: {article_6: 6(1)(e) public task, legal_power: "Town and Country Planning Act 1990, section 70"}
dpia: DPIA-2026-7, 1 October 2026
roles: {northmoor.gov.uk: controller, saltby.gov.uk: controller}
contacts: {northmoor.gov.uk: dpo@northmoor.gov.uk, saltby.gov.uk: dpo@saltby.gov.uk}
rights_contact: dpo@northmoor.gov.uk answers for both.
accuracy: Corrections are sent as new versions.
retention: %s
disposal: Shredded.
security: Officers only; breaches are told within 24 hours.
review: 2999-01-01
starts: 2000-01-01
exit: At once.
`, nm, mode, std, kept)
}

const canary = "CANARY-withheld-9c1f"

func write(w *town, ref, district string) string {
	w.t.Helper()
	b, err := json.Marshal(map[string]any{
		"reference": ref, "organisation": "local-authority:NBR", "district": district, "uprn": 100000000001, "address": "30 Station Road",
		"postcode": "SQ3 8CO", "longitude": -2.2, "latitude": 53.3, "applicationType": "reserved-matters", "status": "in-consultation",
		"description": canary, "receivedDate": "2000-01-02", "validDate": "2000-01-02", "decision": nil, "decisionDate": nil,
		"caseOfficer": "officer-1", "applicantName": canary, "applicantEmail": "a@example.org",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	r := call(w, w.Records().Put, node.PutRequest{Standard: std, Records: []node.Offered{{Row: 1, Record: b}}}).Results[0]
	if r.Outcome == "" {
		w.t.Fatalf("held back: %+v", r)
	}
	return string(r.Record)
}

func state(w *town, id string, urgent bool) (r node.CaseReply) {
	show := w.Handovers().Show
	if urgent {
		show = w.Urgent().Show
	}
	r, _ = show(w.t.Context(), node.CaseRequest{Case: id})
	return r
}

// held returns what a town holds under both agreements.
func held(w *town) (out []string) {
	w.t.Helper()
	r := call(w, w.Records().List, node.ListRequest{From: north})
	for _, x := range r.Records {
		out = append(out, string(x.Record))
	}
	slices.Sort(out)
	return out
}

// Over random offers, answers, urgent disclosures, restarts and cut links: a withheld field
// never reaches the partner; nothing is taken twice; and what was accepted is closed and held
// there, or is named as left, once both can reach each other.
func TestCasesInWeather(t *testing.T) {
	simtest.Warm()
	seeds := []uint64{2}
	if s := os.Getenv("STILE_SEEDS"); s != "" { // more of them, for a soak
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		seeds = nil
		for i := range n {
			seeds = append(seeds, i)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { weather(t, seed) }) })
	}
}

func weather(t *testing.T, seed uint64) {
	time.Sleep(time.Until(time.Date(2000, 1, 2, 12, 0, 0, 0, time.UTC)))
	r := rand.New(rand.NewPCG(seed, 7))
	net, a, b := world(t)
	for _, x := range [][2]string{{"handover", "moves"}, {"break-glass", "urgent"}} {
		kept := map[string]string{"moves": "P5Y", "urgent": "P1D"}[x[1]]
		call(a, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text(x[0], x[1], kept))})
		nm := "northmoor.gov.uk/" + x[1]
		await(t, "the text has come", func() bool {
			_, err := b.Agreements().Show(t.Context(), node.AgreementRequest{Name: nm})
			return err == nil
		})
		call(b, b.Agreements().Sign, node.AgreementRequest{Name: nm})
		await(t, "it is in force", func() bool { return call(a, a.Agreements().Show, node.AgreementRequest{Name: nm}).InForce })
	}
	var ids []string
	for i := range 6 {
		ids = append(ids, write(a, fmt.Sprintf("26/%d", i), "X"))
	}
	beyond := write(a, "26/99", "Y")
	if got := held(b); len(got) > 0 {
		t.Fatalf("seed %d: records came unasked: %v", seed, got)
	}
	accepted := map[string]bool{} // cases
	var open, out []string
	for range 14 {
		switch r.IntN(8) {
		case 0, 1:
			x, y := ids[r.IntN(6)], ids[r.IntN(6)]
			c, err := a.Handovers().Offer(t.Context(), node.CaseRequest{Partner: salt, Records: []string{x, y, beyond}, Because: "moved", By: "Jo"})
			if err == nil {
				open = append(open, c.Case)
			}
		case 2, 3:
			if len(open) > 0 {
				id := open[r.IntN(len(open))]
				_, err := b.Handovers().Accept(t.Context(), node.CaseRequest{Case: id, By: "Sam"})
				if err == nil {
					accepted[id] = true
					if _, err := b.Handovers().Accept(t.Context(), node.CaseRequest{Case: id, By: "Sam"}); err == nil {
						t.Errorf("seed %d: %s is accepted twice", seed, id)
					}
				}
			}
		case 4:
			if len(open) > 0 {
				_, _ = a.Handovers().Withdraw(t.Context(), node.CaseRequest{Case: open[r.IntN(len(open))], Because: "stays"})
			}
		case 5:
			c, err := a.Urgent().Give(t.Context(), node.CaseRequest{Partner: salt, Records: []string{ids[r.IntN(6)]}, Because: "night", By: "Jo"})
			if err == nil {
				if _, err := a.Urgent().Approve(t.Context(), node.CaseRequest{Case: c.Case, By: "JO"}); err == nil {
					t.Errorf("seed %d: one person gave and approved", seed)
				}
				if _, err := a.Urgent().Approve(t.Context(), node.CaseRequest{Case: c.Case, By: "Ann"}); err == nil {
					out = append(out, c.Case)
				}
			}
		case 6:
			w := []*town{a, b}[r.IntN(2)]
			w.halt()
			w.start()
		case 7:
			if r.IntN(2) == 0 {
				net.Cut(north, salt)
			} else {
				net.Heal(north, salt)
			}
		}
		time.Sleep(time.Duration(r.IntN(40)) * time.Second)
	}
	net.Heal(north, salt)
	// Whatever is still open is answered now.
	for _, id := range open {
		await(t, "the offer has come", func() bool { return state(b, id, false).State != "" })
		if _, err := b.Handovers().Accept(t.Context(), node.CaseRequest{Case: id, By: "Sam"}); err == nil {
			accepted[id] = true
		}
	}
	// A withdrawn offer beats an acceptance that crossed it, on both sides.
	for id := range accepted {
		await(t, "the case "+id+" is closed on both sides, or was withdrawn", func() bool {
			x, y := state(a, id, false), state(b, id, false)
			return x.State == y.State && (x.State == "closed" || x.State == "withdrawn")
		})
	}
	by := map[string]string{}
	var want []string
	for id := range accepted {
		c := state(b, id, false)
		for _, it := range c.Items {
			if it.State != "passed" {
				continue
			}
			if other := by[string(it.Record)]; other != "" {
				t.Errorf("seed %d: %s passed in %s and in %s", seed, it.Record, other, id)
			}
			by[string(it.Record)] = id
			want = append(want, string(it.Record))
		}
		if c.State == "closed" && len(want) == 0 {
			t.Errorf("seed %d: %s closed with nothing passed", seed, id)
		}
	}
	// One of the two, or both, are away when the time of what is out urgently is over. When
	// they are back it has ended on both sides, and a person of each is to review it.
	away := [][]*town{{a}, {b}, {a, b}}[r.IntN(3)]
	for _, w := range []*town{a, b} {
		w.halt() // the days cost nothing while no node counts the minutes
	}
	time.Sleep(49 * time.Hour)
	for _, w := range []*town{a, b} {
		if len(away) == 2 || w != away[0] {
			w.start()
		}
	}
	time.Sleep(2 * time.Minute)
	for _, w := range []*town{a, b} {
		if w.Node == nil {
			w.start()
		}
	}
	for _, id := range out {
		await(t, "the urgent case has ended and waits for both reviews", func() bool {
			x, y := state(a, id, true), state(b, id, true)
			return x.State == "ended" && y.State == "ended" && x.ToReview && y.ToReview
		})
	}
	slices.Sort(want)
	await(t, "what was taken over is held, and nothing else", func() bool { return slices.Equal(held(b), want) })
	b.halt()
	err := ledgertest.Raw(b.dir, func(raw []byte, where string) {
		if bytes.Contains(raw, []byte(canary)) || bytes.Contains(raw, []byte(strings.ToLower(canary))) {
			t.Errorf("seed %d: a withheld field stands in %s of the partner", seed, where)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %d offers, %d accepted, %d records taken over, %d urgent", seed, len(open), len(accepted), len(want), len(out))
}
