package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/node"
)

const fens = "fens.example"

// fensOf is three real processes that keep a footprint.
type fensOf [3]*process

func formFens(t *testing.T) fensOf {
	t.Helper()
	w := fensOf{
		newProcess(t, "northmoor.gov.uk", "E07000998"), newProcess(t, "saltby.gov.uk", "E07000999"), newProcess(t, "hexwell.gov.uk", "E07000997"),
	}
	for _, p := range w {
		p.serve()
	}
	know(t, w[0], w[1])
	know(t, w[0], w[2])
	know(t, w[1], w[2])
	w[0].must("footprint", "found", fens)
	w[0].must("footprint", "invite", fens, w[1].name)
	w[1].must("footprint", "join", fens, "--via", w[0].name)
	w[0].must("footprint", "invite", fens, w[2].name)
	w[1].must("footprint", "agree", "--yes", fens, w[2].name)
	w[2].must("footprint", "join", fens, "--via", w[0].name)
	w[0].must("footprint", "adopt", "--yes", fens, "planning-application")
	eventually(t, "all three vote", func() bool {
		n := 0
		for _, m := range w[0].footprint().Status.Members {
			if m.Votes {
				n++
			}
		}
		return n == 3
	})
	return w
}

func (p *process) footprint() (r node.FootprintReply) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.must("footprint", "status", fens, "--json")), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *process) checkpoint() (r node.FootprintCheckpointReply) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.must("footprint", "checkpoint", fens, "--json")), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// inFens lists what a process reads in the footprint, by council and reference.
func (p *process) inFens(more ...string) map[string]map[string]any {
	p.t.Helper()
	out := map[string]map[string]any{}
	text := p.must(append([]string{"footprint", "records", fens, "--all", "--bodies", "--json"}, more...)...)
	for line := range strings.Lines(text) {
		var r node.FootprintRecord
		var body map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			p.t.Fatalf("%v in %.200s", err, line)
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			p.t.Fatal(err)
		}
		key := fmt.Sprint(r.Council, " ", body["reference"])
		if out[key] != nil {
			p.t.Errorf("%s: %s stands there twice", p.name, key)
		}
		out[key] = body
	}
	return out
}

// plans writes a file of made-up planning applications.
func plans(t *testing.T, slug string, from, to int, change func(i int, rec map[string]any)) string {
	t.Helper()
	var text bytes.Buffer
	for i := from; i < to; i++ {
		var rec map[string]any
		if err := json.Unmarshal(generate.PlanningApplication(11, i), &rec); err != nil {
			t.Fatal(err)
		}
		rec["reference"], rec["caseOfficer"] = fmt.Sprintf("%s/%d", slug, i), "CANARY-officer"
		if change != nil {
			change(i, rec)
		}
		line, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	file := filepath.Join(t.TempDir(), "plans.ndjson")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFootprintProcesses: the leader's process is killed, writing goes on, and it
// catches up; every acknowledged record stands everywhere once.
func TestFootprintProcesses(t *testing.T) {
	t.Parallel()
	w := formFens(t)
	put := func(p *process, file string) {
		t.Helper()
		p.must("footprint", "import", fens, file, "--standard", "planning-application", "--json")
	}
	put(w[1], plans(t, "S", 0, 150, nil))
	// One at a time, read at another by the position it was told.
	w[2].must("import", plans(t, "H", 0, 1, nil), "--standard", "planning-application")
	var got node.FootprintPutReply
	if err := json.Unmarshal([]byte(w[2].must("footprint", "put", fens, "H/0", "--standard", "planning-application", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if n := len(w[0].inFens("--at", fmt.Sprint(got.Position))); n != 151 {
		t.Errorf("northmoor reads %d records at position %d, want 151", n, got.Position)
	}

	var leader *process
	var rest []*process
	lead := w[0].footprint().Status.Leader
	for _, p := range w {
		if p.name == string(lead) {
			leader = p
		} else {
			rest = append(rest, p)
		}
	}
	leader.kill()
	killed := time.Now()
	put(rest[0], plans(t, "A", 0, 1, nil))
	t.Logf("from the leader's kill to the next acknowledged write: %v, which is two commands too", time.Since(killed).Round(time.Millisecond))
	put(rest[0], plans(t, "A", 1, 100, nil))
	put(rest[1], plans(t, "B", 0, 50, nil))
	if s := rest[0].footprint().Status; s.Up != 2 || !strings.Contains(s.Words, "2 of 3 must agree; 2 are up") {
		t.Errorf("one is away: %s", s.Words)
	}
	leader.serve()
	put(leader, plans(t, "C", 0, 20, nil))
	const want = 150 + 1 + 100 + 50 + 20
	var first map[string]map[string]any
	for _, p := range w {
		all := p.inFens("--linearizable")
		if len(all) != want {
			t.Errorf("%s reads %d records, want %d", p.name, len(all), want)
		}
		if first == nil {
			first = all
		}
		for key, body := range all {
			if fmt.Sprint(first[key]) != fmt.Sprint(body) {
				t.Errorf("%s reads %s otherwise", p.name, key)
			}
			if body["caseOfficer"] != nil {
				t.Errorf("%s: a field that is not open is there", key)
			}
		}
	}
	// One tree, cosigned by a majority, at every member.
	size := w[0].footprint().Status.Size
	for _, p := range w {
		eventually(t, p.name+" has the last checkpoint", func() bool { return p.checkpoint().Size == size })
	}
	if a, b, c := w[0].checkpoint(), w[1].checkpoint(), w[2].checkpoint(); a.Root != b.Root || b.Root != c.Root {
		t.Errorf("roots %s, %s, %s", a.Root, b.Root, c.Root)
	}
	// A stop that is asked for hands the lead on.
	for _, p := range w {
		if e := p.must("footprint", "evidence", fens, "--json"); strings.TrimSpace(e) != "" {
			t.Errorf("%s has evidence: %s", p.name, e)
		}
	}
}

// fensAgreement is an agreement from Northmoor into the footprint.
func fensAgreement(to, roles string) string {
	text := agreementText("plans", "standards.stile.example/planning-application@1", `record.district == "X"`,
		"/reference", "/organisation", "/district", "/applicationType", "/status", "/decision", "/decisionDate", "/uprn")
	text = strings.Replace(text, "to: [saltby.gov.uk]", "to: ["+to+"]", 1)
	text = strings.Replace(text, "roles: {northmoor.gov.uk: controller, saltby.gov.uk: controller}", "roles: {northmoor.gov.uk: controller, "+roles+"}", 1)
	contacts := strings.ReplaceAll(roles, ": controller", ": dpo@council.gov.uk")
	return strings.Replace(text, "contacts: {northmoor.gov.uk: dpo@northmoor.gov.uk, saltby.gov.uk: dpo@saltby.gov.uk}",
		"contacts: {northmoor.gov.uk: dpo@northmoor.gov.uk, "+contacts+"}", 1)
}

// TestFlowAcrossProcesses: what an agreement with a footprint and a council
// permits goes to both by itself, over kills of every process, and comes out of
// both again.
func TestFlowAcrossProcesses(t *testing.T) {
	t.Parallel()
	w := formFens(t)
	a := w[0]
	districts := func(keep int) func(int, map[string]any) {
		return func(i int, rec map[string]any) {
			rec["uprn"] = json.Number(fmt.Sprint(100000000000 + i))
			if rec["district"] = "Y"; i%keep == 0 {
				rec["district"] = "X"
			}
		}
	}
	a.must("import", plans(t, "N", 0, 300, districts(2)), "--standard", "planning-application")
	file := filepath.Join(t.TempDir(), "agreement.yaml")
	text := fensAgreement("fens.example, saltby.gov.uk", "fens.example: controller, saltby.gov.uk: controller")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.must("agreement", "sign", "--yes", file)
	const agreed = "northmoor.gov.uk/plans"
	for _, p := range w[1:] {
		eventually(t, p.name+" has the agreement", func() bool {
			_, _, code := p.run("agreement", "show", agreed, "--json")
			return code == 0
		})
	}
	// Hexwell, no party itself, signs as a member; Saltby as both.
	w[2].must("agreement", "sign", "--yes", agreed)
	if out := w[2].must("agreement", "list"); !strings.Contains(out, "awaiting saltby.gov.uk's signature") {
		t.Errorf("before saltby signs: %s", out)
	}
	w[1].must("agreement", "sign", "--yes", agreed)
	partners := func(n int) func() bool {
		return func() bool {
			good := 0
			for _, p := range a.status().Partners {
				if string(p.Agreement) == agreed && p.InStep && p.Held == n && p.Outstanding == 0 {
					good++
				}
			}
			return good == 2
		}
	}
	eventually(t, "the footprint and saltby hold 150", partners(150))
	check := func(n int) {
		t.Helper()
		for _, p := range w {
			all := p.inFens("--linearizable")
			if len(all) != n {
				t.Errorf("%s reads %d records, want %d", p.name, len(all), n)
			}
			for key, body := range all {
				if body["uprn"] == nil || body["district"] != "X" || body["caseOfficer"] != nil || body["description"] != nil {
					t.Errorf("%s: other fields or rows than agreed", key)
				}
			}
		}
	}
	check(150)
	if out := a.must("why", fens, "N/0"); !strings.Contains(out, "fens.example has this record") {
		t.Errorf("why: %s", out)
	}
	// Changed while one after the other is killed.
	for round, victim := range []*process{w[2], w[1], a} {
		if victim != a {
			victim.kill()
		}
		keep := 3 + round
		a.must("import", plans(t, "N", 0, 300, districts(keep)), "--standard", "planning-application")
		victim.kill()
		victim.serve()
		want := (300 + keep - 1) / keep
		eventually(t, fmt.Sprintf("both hold %d", want), partners(want))
		check(want)
	}
	a.must("agreement", "end", agreed, "--yes", "--reason", "boundary moved")
	eventually(t, "nothing is left", func() bool { return len(w[2].inFens("--linearizable")) == 0 && len(a.status().Partners) == 0 })
}
