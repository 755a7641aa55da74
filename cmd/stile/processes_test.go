package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/node"
)

// The tests in this file run the program itself: each council's node is a
// process of its own with its own folder and configuration, reached as a user
// would reach it, and killed as a machine would fail.

// built is the folder that all programs are built below; it goes when the tests end.
var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "stile-programs-") })

func buildFolder() (string, error) {
	dir, err := built()
	if err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "")
}

// program builds the command once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := buildFolder()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "stile")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is packed
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// A process is one council's node and its folder.
type process struct {
	t    *testing.T
	bin  string
	dir  string
	name string

	mu    sync.Mutex
	cmd   *exec.Cmd
	errs  *bytes.Buffer // log of every run, for a failed test
	ended chan struct{}
}

// newProcess founds a council's node that runs the program as it stands here.
func newProcess(t *testing.T, council, gss string, more ...string) *process {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return newProcessOf(t, bin, council, gss, more...)
}

// newProcessOf founds one that runs a given program.
func newProcessOf(t *testing.T, bin, council, gss string, more ...string) *process {
	t.Helper()
	listen, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// Unix sockets have short names.
	dir, err := os.MkdirTemp("", "st-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &process{t: t, bin: bin, dir: filepath.Join(dir, "n"), name: council, errs: &bytes.Buffer{}}
	p.must(append([]string{"init", "--council", council, "--gss", gss, "--listen", listen}, more...)...)
	config := filepath.Join(p.dir, "stile.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// The test writes little; do not ask for a large disk.
	if err := os.WriteFile(config, append(b, "limits: {min_free_mib: 16}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			tail := p.errs.Bytes()
			t.Logf("log of %s:\n%s", council, tail[max(0, len(tail)-4000):])
		}
	})
	return p
}

// run runs a command against the folder and returns what it printed.
func (p *process) run(args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, p.bin, append(args, "--data", p.dir)...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	if err := c.Run(); err != nil && c.ProcessState == nil {
		p.t.Fatalf("run %v: %v", args, err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

func (p *process) must(args ...string) string {
	p.t.Helper()
	out, errs, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("%s: stile %s: exit %d\n%s%s", p.name, strings.Join(args, " "), code, out, errs)
	}
	return out
}

// serve starts the node and waits until it says that it is ready.
func (p *process) serve() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	c := exec.Command(p.bin, "serve", "--data", p.dir)
	out, err := c.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	c.Stderr = p.errs
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd, p.ended = c, make(chan struct{})
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if strings.HasPrefix(line, "ready") {
			break
		}
		if err != nil {
			c.Wait()
			p.t.Fatalf("%s: serve ended: %v\n%s", p.name, err, p.errs)
		}
	}
	go func() {
		io.Copy(io.Discard, r)
		c.Wait()
		close(p.ended)
	}()
}

// kill ends the node as a power cut would: without a word.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.ended
	p.cmd = nil
}

func (p *process) status() (s node.StatusReply) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.must("status", "--json")), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// know puts each council's member file into the other's directory.
func know(t *testing.T, a, b *process) {
	t.Helper()
	for _, pair := range [][2]*process{{a, b}, {b, a}} {
		f := filepath.Join(t.TempDir(), "member.yaml")
		if err := os.WriteFile(f, []byte(pair[0].must("council", "self")), 0o600); err != nil {
			t.Fatal(err)
		}
		pair[1].must("council", "add", f)
	}
}

// eventually polls until f says true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if !untilYes(ctx, f) {
		t.Fatalf("waited in vain until %s", what)
	}
}

// agreementText returns a complete agreement from Northmoor to Saltby.
func agreementText(slug, standard, rows string, fields ...string) string {
	return fmt.Sprintf(`agreement: northmoor.gov.uk/%s
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: %s
rows: %q
fields: [%s]
purpose: To test the exchange on published data.
necessity: Nothing less than records tests the exchange of records.
data_items: What the fields say.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Localism Act 2011, section 1
dpia: Not required; the data is published or made up.
roles: {northmoor.gov.uk: controller, saltby.gov.uk: controller}
contacts: {northmoor.gov.uk: dpo@northmoor.gov.uk, saltby.gov.uk: dpo@saltby.gov.uk}
rights_contact: dpo@northmoor.gov.uk
accuracy: Corrections follow as new versions.
retention: P1Y
disposal: Deleted when withdrawn.
security: The test's folder.
review: 2034-11-01
starts: 2026-01-01
ends: 2035-01-01
exit: At once.
`, slug, standard, rows, strings.Join(fields, ", "))
}

// sign has both councils sign an agreement and waits until it is in force.
func sign(t *testing.T, from, to *process, slug, text string) {
	t.Helper()
	f := filepath.Join(t.TempDir(), "agreement.yaml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	from.must("agreement", "sign", "--yes", f)
	name := "northmoor.gov.uk/" + slug
	eventually(t, slug+" has arrived", func() bool {
		_, _, code := to.run("agreement", "show", name, "--json")
		return code == 0
	})
	to.must("agreement", "sign", "--yes", name)
}

// partner returns how an agreement stands at a node.
func (p *process) partner(slug string) node.PartnerReply {
	p.t.Helper()
	for _, q := range p.status().Partners {
		if string(q.Agreement) == "northmoor.gov.uk/"+slug {
			return q
		}
	}
	return node.PartnerReply{}
}

// holdings returns every record Saltby holds, by id, with its body.
func (p *process) holdings() map[string]node.RecordReply {
	p.t.Helper()
	all := map[string]node.RecordReply{}
	out := p.must("record", "list", "--from", "northmoor.gov.uk", "--all", "--bodies", "--json")
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if line == "" {
			continue
		}
		var r node.RecordReply
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			p.t.Fatalf("%v in %.200s", err, line)
		}
		key := string(r.Agreement) + " " + string(r.Record)
		if _, twice := all[key]; twice {
			p.t.Errorf("record %s is held twice", key)
		}
		all[key] = r
	}
	return all
}

// published returns a folder of published data, or skips the test.
func published(t *testing.T, folder string) string {
	t.Helper()
	root := os.Getenv("STILE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, folder)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("published data is not here (%s): see STILE_DATA in CONTRIBUTING", folder)
	}
	return dir
}

// Published data of four kinds goes in at one process and comes out at
// another, counted from the files by other means than ours.
func TestPublishedDataCrosses(t *testing.T) {
	t.Parallel()
	planning, brownfield := published(t, "planning-lane"), published(t, "brownfield-land")
	digital, grants := published(t, "digital-planning"), published(t, "360giving")
	a, b := newProcess(t, "northmoor.gov.uk", "E07000998"), newProcess(t, "saltby.gov.uk", "E07000999")
	a.serve()
	b.serve()
	know(t, a, b)

	// Third-party schemas, unmodified, adopted through a manifest alone.
	adopt := func(manifest, schema string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "standard")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for from, to := range map[string]string{filepath.Join("..", "..", "examples", manifest, "standard.yaml"): "standard.yaml", schema: "schema.json"} {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, to), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a.must("standard", "adopt", dir)
		b.must("standard", "adopt", dir)
	}
	adopt("digital-planning/application", filepath.Join(digital, "schemas", "application.json"))
	adopt("digital-planning/pre-application", filepath.Join(digital, "schemas", "preApplication.json"))
	adopt("digital-planning/enforcement", filepath.Join(digital, "schemas", "enforcement.json"))
	adopt("grants", filepath.Join(grants, "schema", "360-giving-schema.json"))

	want := map[string]int{} // records that should cross, by agreement
	imported := func(code int, args ...string) (taken, refused int) {
		t.Helper()
		out, errs, got := a.run(append([]string{"import", "--json"}, args...)...)
		if got != code {
			t.Fatalf("import %v: exit %d, want %d\n%s%s", args, got, code, out, errs)
		}
		r := reported(t, out)
		return r.Counts["created"], r.Counts["refused"]
	}

	// The planning rows: those of district X, counted from the text.
	lane := filepath.Join(planning, "sample-2000.ndjson")
	text, err := os.ReadFile(lane)
	if err != nil {
		t.Fatal(err)
	}
	if taken, refused := imported(0, lane, "--standard", "planning-application"); taken != bytes.Count(text, []byte("\n")) || refused != 0 {
		t.Errorf("planning rows: %d taken, %d refused of %d lines", taken, refused, bytes.Count(text, []byte("\n")))
	}
	want["planning"] = bytes.Count(text, []byte(`"district":"X"`))

	// The registers: rows counted by another reader.
	rows, taken := 0, 0
	registers, err := filepath.Glob(filepath.Join("..", "..", "examples", "04-brownfield-land", "published", "*.mapping.yaml"))
	if err != nil || len(registers) != 9 {
		t.Fatalf("%d mapping files, want 9: %v", len(registers), err)
	}
	for _, m := range registers {
		file := filepath.Join(brownfield, strings.TrimSuffix(filepath.Base(m), ".mapping.yaml")+".csv")
		n := csvRows(t, file)
		out, errs, code := a.run("import", "--json", file, "--mapping", m)
		if code != 0 && code != 5 {
			t.Fatalf("import %s: exit %d\n%s%s", file, code, out, errs)
		}
		r := reported(t, out)
		if r.Rows != n {
			t.Errorf("%s: %d rows reported, the file has %d", filepath.Base(file), r.Rows, n)
		}
		rows, taken = rows+r.Rows, taken+r.Counts["created"]
		t.Logf("%s: %d rows, %v", filepath.Base(file), r.Rows, r.Counts)
	}
	if taken == 0 || rows == 0 {
		t.Errorf("brownfield: %d of %d rows taken", taken, rows)
	}
	want["brownfield"] = taken

	// Whole submissions under their own schemas.
	for folder, std := range map[string]string{
		"application": "digital-application", "preApplication": "digital-pre-application", "enforcement": "digital-enforcement",
	} {
		filepath.WalkDir(filepath.Join(digital, "examples", folder), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if taken, refused := imported(0, path, "--standard", std); taken != 1 || refused != 0 {
					t.Errorf("%s: %d taken, %d refused", filepath.Base(path), taken, refused)
				}
				want[std]++
			}
			return nil
		})
	}
	// And the grants of one funder.
	var file struct{ Grants []struct{ ID string } }
	if text, err = os.ReadFile(filepath.Join(grants, "grants", "wolfson-379.json")); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, g := range file.Grants {
		ids[g.ID] = true
	}
	if taken, refused := imported(0, filepath.Join(grants, "grants", "wolfson-379.json"), "--at", "/grants", "--standard", "grant"); taken != len(ids) || refused != 0 {
		t.Errorf("grants: %d taken, %d refused of %d", taken, refused, len(ids))
	}
	want["grants"] = len(ids)

	sign(t, a, b, "planning", agreementText("planning", "standards.stile.example/planning-application@1", `record.district == "X"`,
		"/reference", "/organisation", "/district", "/address", "/postcode", "/longitude", "/latitude", "/applicationType", "/status", "/description", "/decision", "/decisionDate"))
	sign(t, a, b, "brownfield", agreementText("brownfield", "standards.stile.example/brownfield-site@1", "true", brownfieldFields...))
	sign(t, a, b, "grants", agreementText("grants", "northmoor.gov.uk/grant@1", "true",
		"/id", "/title", "/description", "/currency", "/amountAwarded", "/awardDate", "/fundingOrganization"))
	for _, kind := range []string{"application", "pre-application", "enforcement"} {
		sign(t, a, b, "digital-"+kind, agreementText("digital-"+kind, "northmoor.gov.uk/digital-"+kind+"@1", "true", "/metadata", "/data/application", "/data/property", "/data/proposal"))
	}
	for slug, n := range want {
		if n == 0 {
			t.Errorf("nothing to share under %s", slug)
		}
		eventually(t, fmt.Sprintf("saltby holds %d of %s", n, slug), func() bool {
			p, q := b.partner(slug), a.partner(slug)
			return p.InStep && p.Held == n && p.Proved == n && q.InStep && q.Held == n
		})
	}
	for key, r := range b.holdings() {
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		if data, ok := body["data"].(map[string]any); ok {
			maps.Copy(body, data)
		}
		for _, hidden := range []string{
			"applicant", "applicantName", "applicantEmail", "caseOfficer", "uprn", "workingNotes", "responses", "files", "recipientOrganization",
		} {
			if _, there := body[hidden]; there {
				t.Errorf("%s: /%s was shared", key, hidden)
			}
		}
		if r.Proof != "log" {
			t.Errorf("%s: proof %s", key, r.Proof)
		}
	}
	// An auditor, offline, from one file.
	bundle, trust := filepath.Join(t.TempDir(), "planning.stile"), filepath.Join(a.dir, "directory")
	a.must("export", "bundle", "--agreement", "northmoor.gov.uk/planning", "--out", bundle)
	a.kill()
	b.kill()
	out, errs, code := a.run("verify", bundle, "--trust", trust)
	if code != 0 {
		t.Errorf("verify: exit %d\n%s%s", code, out, errs)
	}
}

// A report is what import --json says, as far as these tests ask.
type importReport struct {
	Rows   int
	Counts map[string]int
}

// reported reads the report of an import, whose counts must add up to its rows.
func reported(t *testing.T, out string) (r importReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %.300s", err, out)
	}
	sum := 0
	for _, n := range r.Counts {
		sum += n
	}
	if sum != r.Rows {
		t.Errorf("import: %d rows, but the counts are %v", r.Rows, r.Counts)
	}
	return r
}

var brownfieldFields = strings.Fields(`/organisation /reference /siteNameAddress /sitePlanURL /longitude /latitude /easting /northing
	/hectares /ownershipStatus /deliverable /planningStatus /permissionType /permissionDate /planningHistory /hazardousSubstances
	/minNetDwellings /netDwellingsRangeFrom /netDwellingsRangeTo /notes /firstAddedDate /lastUpdatedDate /endDate`)

func csvRows(t *testing.T, file string) int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return len(all) - 1
}

// Either node is killed at random moments while records come in, change, leave
// the filter and are deleted. In the end nothing is lost, doubled or
// over-shared.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	a, b := newProcess(t, "northmoor.gov.uk", "E07000998"), newProcess(t, "saltby.gov.uk", "E07000999")
	know(t, a, b)
	a.serve()
	b.serve()
	fields := []string{"/reference", "/organisation", "/district", "/address", "/postcode", "/longitude", "/latitude", "/applicationType", "/status", "/description", "/decision", "/decisionDate"}
	sign(t, a, b, "planning", agreementText("planning", "standards.stile.example/planning-application@1", `record.district == "X"`, fields...))

	const records, rounds, batch = 4000, 12, 700
	model := map[int]map[string]any{} // what Northmoor was told yes about, by number
	for round := range rounds {
		// Some new, some changed, some moved over the boundary.
		file := filepath.Join(t.TempDir(), "batch.ndjson")
		var text bytes.Buffer
		changes := map[int]map[string]any{}
		for range batch {
			i := r.IntN(records)
			var rec map[string]any
			if err := json.Unmarshal(generate.PlanningApplication(seed, i), &rec); err != nil {
				t.Fatal(err)
			}
			rec["reference"] = fmt.Sprintf("R/%d", i)
			rec["uprn"] = json.Number(fmt.Sprint(100000000000 + i))
			rec["caseOfficer"] = "CANARY-officer"
			rec["description"] = fmt.Sprintf("round %d", round)
			rec["district"] = []string{"X", "X", "Y"}[r.IntN(3)]
			changes[i] = rec
		}
		for i, rec := range changes {
			line, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(line, '\n'))
			model[i] = rec
		}
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		victim := a
		if r.IntN(2) == 0 {
			victim = b
		}
		// The kill falls somewhere into the import and the copying behind it.
		after := time.Duration(r.IntN(400)) * time.Millisecond
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			select {
			case <-time.After(after):
			case <-t.Context().Done():
			}
			victim.kill()
		}()
		_, _, code := a.run("import", "--json", file, "--standard", "planning-application")
		<-killed
		victim.serve()
		if code != 0 {
			// It broke off: what was not told yes about is offered again, as an
			// officer would. The same record again makes no new version.
			a.must("import", "--json", file, "--standard", "planning-application")
		}
	}
	want := 0
	for _, rec := range model {
		if rec["district"] == "X" {
			want++
		}
	}
	eventually(t, fmt.Sprintf("saltby holds %d", want), func() bool {
		p, q := b.partner("planning"), a.partner("planning")
		return p.InStep && p.Held == want && p.Proved == want && q.InStep && q.Held == want && q.Outstanding == 0
	})
	held := b.holdings()
	if len(held) != want {
		t.Errorf("%d records held, want %d", len(held), want)
	}
	seen := map[string]bool{}
	for _, h := range held {
		var body map[string]any
		if err := json.Unmarshal(h.Body, &body); err != nil {
			t.Fatal(err)
		}
		ref, _ := body["reference"].(string)
		if seen[ref] {
			t.Errorf("%s is held twice", ref)
		}
		seen[ref] = true
		var i int
		fmt.Sscanf(ref, "R/%d", &i)
		m := model[i]
		if m == nil || m["district"] != "X" || body["description"] != m["description"] {
			t.Errorf("%s: holds %q, want %q in district %v", ref, body["description"], m["description"], m["district"])
		}
		if len(body) != len(fields) || bytes.Contains(h.Body, []byte("CANARY")) {
			t.Errorf("%s: other fields than agreed are held", ref)
		}
	}
	if n := a.status().Records["standards.stile.example/planning-application@1.0.0"]; n != len(model) {
		t.Errorf("northmoor has %d records, was told yes about %d", n, len(model))
	}
	if len(b.status().Refusals)+len(a.status().Refusals) > 0 {
		t.Errorf("refusals: %+v %+v", a.status().Refusals, b.status().Refusals)
	}
}
