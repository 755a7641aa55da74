package retention_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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
	under = "northmoor.gov.uk/planning"
	std   = "standards.stile.example/planning-application@1"
)

// A town is a council with a clock of its own in a world in memory.
type town struct {
	*node.Node
	t     testing.TB
	net   *wire.Memory
	name  name.Council
	dir   string
	ahead atomic.Int64 // by how much its clock is

	change func(*config.Config) // of its configuration, from its next start on

	at   *wire.MemoryNode
	stop context.CancelFunc
	done chan error
}

// world founds two councils that know each other. It must be called in a bubble.
func world(t *testing.T) (from, to *town) {
	t.Helper()
	net := wire.NewMemory()
	var towns []*town
	for i, c := range []name.Council{north, salt} {
		w := &town{t: t, net: net, name: c, dir: filepath.Join(t.TempDir(), "data")}
		_, err := node.Init(t.Context(), node.InitOptions{Dir: w.dir, Council: c, GSS: fmt.Sprintf("E0700099%d", i), Listen: []string{}})
		if err != nil {
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
	return towns[0], towns[1]
}

func (w *town) start() {
	w.t.Helper()
	cfg := config.Default(w.name, w.dir)
	cfg.Limits.MinFreeMiB, cfg.Limits.MemoryMiB = 16, 32
	cfg.AdminSocket = ""
	if w.change != nil {
		w.change(cfg)
	}
	w.at = w.net.Node(w.name)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("STILE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", w.name)
	}
	n, err := node.Open(cfg, node.Options{
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }, Log: log,
		Fatal: func(err error) { w.t.Errorf("%s: %v", w.name, err) },
	})
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

// await waits until something holds.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for range 600 {
		if f() {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("waited in vain until %s", what)
}

// later lets a day and a half go by on some clocks, and an hour in fact, in which every
// node looks.
func later(towns ...*town) {
	for _, w := range towns {
		w.ahead.Add(int64(36 * time.Hour))
	}
	time.Sleep(time.Hour + time.Minute)
}

// agree has both sign a text.
func agree(t testing.TB, from, to *town, version int, changes ...string) {
	t.Helper()
	doc := text
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(doc, changes[i]) {
			t.Fatalf("%q is not in the text", changes[i])
		}
		doc = strings.Replace(doc, changes[i], changes[i+1], 1)
	}
	doc = strings.Replace(doc, "version: 1", fmt.Sprintf("version: %d", version), 1)
	call(from, from.Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
	await(t, "the text has arrived", func() bool {
		_, err := to.Agreements().Show(t.Context(), node.AgreementRequest{Name: under, Version: version})
		return err == nil
	})
	call(to, to.Agreements().Sign, node.AgreementRequest{Name: under, Version: version})
}

// write has a council write records, whose description is a canary.
func write(w *town, records ...string) {
	w.t.Helper()
	in := node.PutRequest{Standard: std}
	for i, r := range records {
		ref, word, _ := strings.Cut(r, " ")
		date := "2000-01-02"
		if w, d, ok := strings.Cut(word, " "); ok {
			word, date = w, d
		}
		b, err := json.Marshal(map[string]any{
			"reference": ref, "organisation": "local-authority:NBR", "district": "X", "uprn": 100000000001, "address": "30 Station Road",
			"postcode": "SQ3 8CO", "longitude": -2.2, "latitude": 53.3, "applicationType": "reserved-matters", "status": "in-consultation",
			"description": word, "receivedDate": date, "validDate": date, "decision": nil, "decisionDate": nil,
			"caseOfficer": "officer-1", "applicantName": "A N Other", "applicantEmail": "a@example.org",
		})
		if err != nil {
			w.t.Fatal(err)
		}
		in.Records = append(in.Records, node.Offered{Row: i + 1, Record: b})
	}
	for _, r := range call(w, w.Records().Put, in).Results {
		if r.Outcome == "" {
			w.t.Fatalf("a record was held back: %+v", r)
		}
	}
}

// flow returns how the exchange stands as a council sees it.
func flow(w *town) (p node.PartnerReply) {
	w.t.Helper()
	r := call(w, w.Agreements().Show, node.AgreementRequest{Name: under})
	if len(r.Partners) > 0 {
		p = r.Partners[0]
	}
	return p
}

func has(w *town, n int) func() bool {
	return func() bool { return flow(w).Held == n }
}

// stands reports whether a word stands in a file of the folder of a council that is down.
func stands(w *town, word string) bool {
	w.t.Helper()
	var forms [][]byte
	for i := range 3 {
		b := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", i) + word))
		forms = append(forms, []byte(b[[]int{0, 2, 3}[i]:len(b)-2]))
	}
	forms = append(forms, []byte(word))
	found := false
	err := ledgertest.Raw(filepath.Join(w.dir, "ledger"), func(b []byte, _ string) {
		for _, f := range forms {
			found = found || bytes.Contains(b, f)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func bubble(t *testing.T, f func(t *testing.T)) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, f)
}

// At the end of the term the receiver deletes by itself, from its files too, and the
// sender learns of it; a new version is kept anew; the same is not, under whatever text,
// but under one that lets it be kept longer.
func TestDeletedAtTerm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		from, to := world(t)
		agree(t, from, to, 1)
		write(from, "aaa CANARYALPHA", "bbb CANARYBETA")
		await(t, "both are held", has(to, 2))
		later(from, to)
		if n := flow(to).Held; n != 2 {
			t.Fatalf("before its time %d are held", n)
		}
		to.halt()
		if !stands(to, "CANARYALPHA") {
			t.Fatal("what is held stands in no file, so that looking there proves nothing")
		}
		to.start()
		later(from, to)
		await(t, "both are deleted", has(to, 0))
		await(t, "the sender knows", func() bool { return flow(from).AtTerm == 2 })
		if p := flow(from); p.Held != 0 || p.AtTermAt.IsZero() || !p.InStep {
			t.Errorf("the sender says %+v", p)
		}
		if p := flow(to); p.AtTerm != 2 || !p.InStep {
			t.Errorf("the receiver says %+v", p)
		}
		r := call(from, from.Disclosures().List, node.DisclosureRequest{Record: "aaa", Standard: std})
		if len(r.Disclosures) != 1 || r.Disclosures[0].Withdrawal == nil || !r.Disclosures[0].Withdrawal.AtTerm || r.Disclosures[0].Withdrawal.Deleted == nil {
			t.Errorf("the sender lists %+v", r.Disclosures)
		}
		why := call(from, from.Why, node.WhyRequest{Record: "aaa", Standard: std, Partner: string(salt)})
		if why.Has || !strings.Contains(why.Answer, "does not have this record any more") || !strings.Contains(why.Answer, "the time for which it may be kept was over") {
			t.Errorf("why at the sender: %s", why.Answer)
		}
		why = call(to, to.Why, node.WhyRequest{Record: string(r.Disclosures[0].Record), Partner: string(north), From: true})
		if why.Has || !strings.Contains(why.Answer, "the time was over for which it may be kept") {
			t.Errorf("why at the receiver: %s", why.Answer)
		}
		to.halt()
		for _, word := range []string{"CANARYALPHA", "CANARYBETA"} {
			if stands(to, word) {
				t.Errorf("%s stands in a file still", word)
			}
		}
		to.start()

		// A new version renews the term.
		write(from, "aaa CANARYGAMMA")
		await(t, "the new version is held", has(to, 1))
		// Another text gives all anew: b is not taken in again, a is held as it was.
		agree(t, from, to, 2)
		await(t, "the copy is of the new text", func() bool { p := flow(from); return p.InStep && flow(to).InStep && p.Held == 1 })
		time.Sleep(2 * time.Minute)
		if n := flow(to).Held; n != 1 {
			t.Errorf("under the second text %d are held, want 1", n)
		}
		pass(36*time.Hour, from, to)
		pass(36*time.Hour, from, to)
		await(t, "the new version is deleted in its turn", has(to, 0))
		// A text that lets records be kept longer gives both again, and they are over
		// when that is, counted from when they came first.
		agree(t, from, to, 3, "retention: P3D", "retention: P10D")
		await(t, "both are held again", has(to, 2))
	})
}

// Nobody is needed: the sender is gone, the deletion is done, and the receipt waits for it.
func TestSenderGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		from, to := world(t)
		agree(t, from, to, 1)
		write(from, "aaa CANARYALPHA")
		await(t, "it is held", has(to, 1))
		from.halt()
		later(from, to)
		later(from, to)
		if n := flow(to).Held; n != 0 {
			t.Fatalf("%d are held after their time", n)
		}
		to.halt() // also what a restart comes between
		to.start()
		from.start()
		await(t, "the sender knows", func() bool { return flow(from).AtTerm == 1 })
	})
}

// A clock that jumps has nothing deleted until it has gone on for a day, and nothing at
// all if it is set right within that day.
func TestClockJump(t *testing.T) {
	bubble(t, func(t *testing.T) {
		from, to := world(t)
		agree(t, from, to, 1)
		write(from, "aaa CANARYALPHA")
		await(t, "it is held", has(to, 1))
		from.halt()
		later(to)
		to.ahead.Add(int64(20 * 365 * 24 * time.Hour))
		time.Sleep(time.Hour + time.Minute)
		if n := flow(to).Held; n != 1 {
			t.Fatal("a clock that jumped twenty years had everything deleted")
		}
		to.halt() // nor does a restart
		to.start()
		time.Sleep(time.Hour + time.Minute)
		if n := flow(to).Held; n != 1 {
			t.Fatal("a clock that jumped twenty years had everything deleted after a restart")
		}
		to.ahead.Add(int64(-20 * 365 * 24 * time.Hour))
		time.Sleep(time.Hour + time.Minute)
		later(to) // a day on, it is believed again
		if n := flow(to).Held; n != 0 {
			t.Error("it is held although its time is over and the clock has been right for a day")
		}
	})
}

const text = `
agreement: northmoor.gov.uk/planning
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: record.district == "X"
fields: [/reference, /organisation, /district, /address, /postcode, /longitude, /latitude, /applicationType, /status, /description, /decision, /decisionDate, /validDate]
purpose: To consult the neighbouring authority on applications near the boundary.
necessity: The neighbour cannot comment on what it does not know of.
data_items: The public register entry of each application; no applicant.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Town and Country Planning Act 1990, section 69
dpia: Screened 2026-10-01; a full assessment is not needed.
roles:
  northmoor.gov.uk: controller
  saltby.gov.uk: controller
contacts:
  northmoor.gov.uk: dpo@northmoor.gov.uk
  saltby.gov.uk: dpo@saltby.gov.uk
rights_contact: dpo@northmoor.gov.uk
accuracy: Corrections follow as new versions at once.
retention: P3D
disposal: Deleted by the node on withdrawal.
security: Planning officers only; breaches are told within a day.
review: 2000-09-01
starts: 2000-01-01
ends: 2090-01-01
exit: Either side ends it with a month's notice; copies are deleted.
`
