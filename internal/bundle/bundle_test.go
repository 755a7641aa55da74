package bundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/simtest"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
	agreed    = "northmoor.gov.uk/planning-for-saltby"
)

// agreement is a text with a version and the fields of it that are not open.
func agreement(version int, fields string) []byte {
	return fmt.Appendf(nil, `
agreement: northmoor.gov.uk/planning-for-saltby
version: %d
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: record.district == "X"
fields: [/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate%s]
purpose: To consult the neighbouring authority on applications near the boundary.
necessity: The neighbour cannot comment on what it does not know of.
data_items: The public register entry of each application.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Town and Country Planning Act 1990, section 69
dpia: Screened; a full assessment is not needed.
roles:
  northmoor.gov.uk: controller
  saltby.gov.uk: controller
contacts:
  northmoor.gov.uk: dpo@northmoor.gov.uk
  saltby.gov.uk: dpo@saltby.gov.uk
rights_contact: dpo@northmoor.gov.uk
accuracy: Corrections follow as new versions at once.
retention: P2Y
disposal: Deleted by the node on withdrawal.
security: Planning officers only.
review: 2001-06-01
starts: 2000-01-01
ends: 2030-01-01
exit: Either side ends it with a month's notice; copies are deleted.
`, version, fields)
}

// A pair is two councils on a network in memory. It lives in a bubble of package
// testing/synctest, where time passes at once.
type pair struct {
	t    *testing.T
	from *node.Node
	to   *node.Node
}

func start(t *testing.T) *pair {
	t.Helper()
	net := wire.NewMemory()
	open := func(c name.Council, gss string) *node.Node {
		cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: c, GSS: gss, Listen: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Limits.MinFreeMiB, cfg.Limits.MemoryMiB = 16, 32
		return run(t, net, cfg)
	}
	p := &pair{t, open(northmoor, "E07000998"), open(saltby, "E07000999")}
	for _, n := range []*node.Node{p.from, p.to} {
		for _, other := range []*node.Node{p.from, p.to} {
			m := call(t, other.Councils().Show, node.MemberNameRequest{})
			call(t, n.Councils().Add, node.MemberRequest{Document: []byte(m.Document)})
		}
	}
	return p
}

func run(t *testing.T, net *wire.Memory, cfg *config.Config) *node.Node {
	t.Helper()
	mem := net.Node(cfg.Council)
	n, err := node.Open(cfg, node.Options{Now: time.Now, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(wire.With(context.Background(), mem))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	<-n.Ready()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		mem.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func call[In, Out any](t *testing.T, f func(context.Context, In) (Out, error), in In) Out {
	t.Helper()
	out, err := f(t.Context(), in)
	if err != nil {
		t.Fatalf("%T: %v", in, err)
	}
	return out
}

// offer writes a record with values of its own for what only some texts let out.
func (p *pair) offer(ref, district string) {
	p.t.Helper()
	b, err := json.Marshal(map[string]any{
		"reference": ref, "organisation": "local-authority:NBR", "district": district, "uprn": 100000000001,
		"address": "value of address of " + ref + ".", "postcode": "SQ3 8CO", "longitude": -2.203408, "latitude": 53.379509,
		"applicationType": "reserved-matters", "status": "in-consultation", "description": "A wall.",
		"receivedDate": "2000-02-16", "validDate": "2000-02-23", "decision": nil, "decisionDate": nil,
		"caseOfficer": "value of officer of " + ref + ".", "applicantName": "value of applicant of " + ref + ".", "applicantEmail": "a@example.org",
	})
	if err != nil {
		p.t.Fatal(err)
	}
	r := call(p.t, p.from.Records().Put, node.PutRequest{Standard: "planning-application", Records: []node.Offered{{Row: 1, Record: b}}})
	if len(r.Results) != 1 || len(r.Results[0].Problems) > 0 {
		p.t.Fatalf("%+v", r)
	}
}

// sign has northmoor sign a text, and saltby too where both is set, and lets the
// exchange come to rest.
func (p *pair) sign(version int, fields string, both bool) {
	p.t.Helper()
	call(p.t, p.from.Agreements().Sign, node.AgreementRequest{Document: agreement(version, fields)})
	time.Sleep(time.Minute)
	if both {
		call(p.t, p.to.Agreements().Sign, node.AgreementRequest{Name: agreed, Version: version})
		time.Sleep(time.Minute)
	}
}

// held is how many records saltby holds.
func (p *pair) held() int {
	p.t.Helper()
	time.Sleep(time.Minute)
	return len(call(p.t, p.to.Records().List, node.ListRequest{From: northmoor, Limit: 100}).Records)
}

var value = regexp.MustCompile(`value of ([a-z]+ of [a-z]+)\.`)

// shown makes the bundle of the agreement, and returns what values stand in it. The
// auditor, who trusts the keys that the two councils show, must find it in order.
func (p *pair) shown() []string {
	p.t.Helper()
	b := call(p.t, p.from.Bundle, node.BundleRequest{Agreement: agreed}).Bundle
	p.verify(b)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			p.t.Fatal(err)
		}
		raw, err := io.ReadAll(in)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, part := range regexp.MustCompile(`[A-Za-z0-9_-]{20,}`).FindAll(raw, -1) {
			if text, err := base64.RawURLEncoding.DecodeString(string(part)); err == nil {
				raw = append(append(raw, '\n'), text...)
			}
		}
		for _, m := range value.FindAllSubmatch(raw, -1) {
			out = append(out, string(m[1]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// verify audits a bundle as one who was given the keys of both councils.
func (p *pair) verify(b []byte) *audit.Report {
	p.t.Helper()
	r := p.audited(b)
	if !r.OK() {
		var text strings.Builder
		r.WriteText(&text)
		p.t.Errorf("an honest bundle fails its audit:\n%s", &text)
	}
	return r
}

func (p *pair) audited(b []byte) *audit.Report {
	p.t.Helper()
	var trust audit.Trust
	for _, n := range []*node.Node{p.from, p.to} {
		m, err := directory.ParseMember([]byte(call(p.t, n.Councils().Show, node.MemberNameRequest{}).Document))
		if err != nil {
			p.t.Fatal(err)
		}
		trust.Members = append(trust.Members, m)
	}
	r, err := audit.Verify(bytes.NewReader(b), int64(len(b)), audit.Options{Trust: trust})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *pair) want(when string, want ...string) {
	p.t.Helper()
	slices.Sort(want)
	if got := p.shown(); !slices.Equal(got, want) {
		p.t.Errorf("%s: the bundle shows %q, want %q", when, got, want)
	}
}

// TestOnlyWhatWasLetOut: whatever texts there are later, a bundle shows of a record
// version the fields that it was disclosed with, and nothing of one that never left.
func TestOnlyWhatWasLetOut(t *testing.T) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		p.offer("first", "X")
		p.offer("second", "X")
		p.offer("elsewhere", "Y") // no text picks it
		p.sign(1, ", /address", true)
		if n := p.held(); n != 2 {
			t.Fatalf("%d records are held, want 2", n)
		}
		call(t, p.from.Records().Delete, node.RecordRequest{Record: "first"})
		if n := p.held(); n != 1 {
			t.Fatalf("%d records are held after one was deleted", n)
		}
		narrow := []string{"address of first", "address of second"}
		p.want("the narrow text in force", narrow...)

		wide := ", /address, /applicantName"
		p.sign(2, wide, false)
		p.want("a wider text only proposed", narrow...)
		call(t, p.from.Agreements().Suspend, node.AgreementRequest{Name: agreed, Reason: "a question"})
		p.want("suspended", narrow...)
		call(t, p.from.Agreements().Resume, node.AgreementRequest{Name: agreed})
		call(t, p.to.Agreements().Sign, node.AgreementRequest{Name: agreed, Version: 2})
		p.held()
		both := append([]string{"applicant of second"}, narrow...)
		p.want("the wider text in force", both...)

		p.sign(3, ", /address", true)
		p.want("narrow again", both...)
		p.offer("third", "X")
		p.held()
		p.want("a new record under the narrow text", append([]string{"address of third"}, both...)...)
	})
}

// TestSample: of what went under an agreement a bundle shows as many records as the
// auditor asked for, those that the auditor's seed draws; another choice fails. It can
// be of a time, and then what went at another is not in it.
func TestSample(t *testing.T) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := start(t)
		for i := range 8 {
			p.offer(fmt.Sprint("early ", i), "X")
		}
		p.sign(1, ", /address", true)
		call(t, p.from.Records().Delete, node.RecordRequest{Record: "early 3"})
		p.held()
		time.Sleep(time.Hour)
		between := time.Now()
		for i := range 4 {
			p.offer(fmt.Sprint("late ", i), "X")
		}
		if n := p.held(); n != 11 {
			t.Fatalf("%d records are held, want 11", n)
		}
		records := func(req node.BundleRequest) (int, []byte) {
			req.Agreement = agreed
			b := call(t, p.from.Bundle, req).Bundle
			return p.verify(b).Counts.Records, b
		}
		if n, _ := records(node.BundleRequest{}); n != 12 {
			t.Errorf("the whole has %d records, want 12", n)
		}
		if n, _ := records(node.BundleRequest{Since: between}); n != 4 {
			t.Errorf("the late time has %d records, want 4", n)
		}
		if n, _ := records(node.BundleRequest{Until: between}); n != 8 {
			t.Errorf("the early time has %d records, want 8", n)
		}
		n, one := records(node.BundleRequest{Sample: 5, Seed: "one"})
		if n != 5 {
			t.Errorf("the sample has %d records, want 5", n)
		}
		if n, _ := records(node.BundleRequest{Sample: 500, Seed: "one"}); n != 12 {
			t.Errorf("a sample of more than there are has %d records, want 12", n)
		}
		// The records of one seed under the name of another.
		if r := p.audited(swapped(t, one, `"seed":"one"`, `"seed":"two"`)); r.OK() {
			t.Error("records that the seed does not draw pass")
		}
		// Fewer than the seed draws.
		if r := p.audited(swapped(t, one, `"sample":5`, `"sample":7`)); r.OK() {
			t.Error("a sample with too few records passes")
		}
		for name, req := range map[string]node.BundleRequest{
			"no seed": {Agreement: agreed, Sample: 3}, "no size": {Agreement: agreed, Seed: "x"},
			"no agreement": {Standard: "planning-application", Sample: 3, Seed: "x"}, "negative": {Agreement: agreed, Sample: -1, Seed: "x"},
		} {
			if _, err := p.from.Bundle(t.Context(), req); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

// swapped returns a bundle whose bundle.json says another thing.
func swapped(t *testing.T, b []byte, old, new string) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range r.File {
		if f.Name != "bundle.json" {
			if err := w.Copy(f); err != nil {
				t.Fatal(err)
			}
			continue
		}
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil || !bytes.Contains(text, []byte(old)) {
			t.Fatalf("%v: %s", err, text)
		}
		to, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Deflate})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(bytes.Replace(text, []byte(old), []byte(new), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
