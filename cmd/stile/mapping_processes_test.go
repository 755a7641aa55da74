package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
)

// A node that serves version 2 from version 1 is killed at random moments while
// records of version 1 come, change and go. In the end there is one record of
// version 2 for each, as it is now, at home and at the partner, and no other.
func TestServingKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	a, b := newProcess(t, "northmoor.gov.uk", "E07000998"), newProcess(t, "saltby.gov.uk", "E07000999")
	know(t, a, b)
	const site = "standards.stile.example/brownfield-site"
	two := filepath.Join("..", "..", "internal", "standard", "testdata", "mapped", "brownfield-site-2.0.0")
	a.must("standard", "adopt", two, "--yes")
	b.must("standard", "adopt", two, "--yes")
	a.must("standard", "serve", site+"@2", "--from", "1")
	a.serve()
	b.serve()
	fields := []string{
		"/organisation", "/reference", "/site", "/longitude", "/latitude", "/easting", "/northing", "/hectares", "/ownershipStatus", "/deliverable",
		"/planningStatus", "/permissionType", "/permissionDate", "/planningHistory", "/hazardousSubstances", "/dwellings", "/notes", "/country",
		"/firstAddedDate", "/lastUpdatedDate", "/endDate",
	}
	sign(t, a, b, "sites", agreementText("sites", site+"@2", `record.planningStatus == "none"`, fields...))

	model := map[string]string{} // reference to address; "" when it was deleted
	for round := range 8 {
		var text bytes.Buffer
		changes := map[string]string{}
		for range 300 {
			changes[fmt.Sprint("S", r.IntN(900))] = fmt.Sprintf("%d Mill Lane", round)
		}
		for ref, address := range changes {
			rec := map[string]any{
				"organisation": "http://opendatacommunities.org/id/district-council/northmoor", "reference": ref, "siteNameAddress": address,
				"longitude": -2.9, "latitude": 53.8, "hectares": 0.5, "ownershipStatus": "mixed ownership", "planningStatus": "not permissioned",
				"firstAddedDate": "2026-01-01", "workingNotes": "CANARY",
			}
			line, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(line, '\n'))
			model[ref] = address
		}
		file := filepath.Join(t.TempDir(), "batch.ndjson")
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(r.IntN(500)) * time.Millisecond
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			select {
			case <-time.After(after):
			case <-t.Context().Done():
			}
			a.kill()
		}()
		_, _, code := a.run("import", "--json", file, "--standard", site+"@1")
		<-killed
		a.serve()
		if code != 0 {
			a.must("import", "--json", file, "--standard", site+"@1")
		}
		for ref := range changes { // one goes
			a.must("record", "delete", ref, "--standard", site+"@1", "--yes")
			delete(model, ref)
			break
		}
	}
	list := func(p *process, more ...string) (map[string]string, bool) {
		out, _, code := p.run(append([]string{"record", "list", "--standard", site + "@2", "--all", "--bodies", "--json"}, more...)...)
		got := map[string]string{}
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			if line == "" {
				continue
			}
			var rec node.RecordReply
			var body struct {
				Reference string
				Site      struct{ Address string }
			}
			if json.Unmarshal([]byte(line), &rec) != nil || json.Unmarshal(rec.Body, &body) != nil {
				t.Fatalf("not understood: %s", line)
			}
			if strings.Contains(line, "CANARY") || rec.Standard.Version.Major != 2 {
				t.Errorf("%s: %s", body.Reference, line)
			}
			if _, twice := got[body.Reference]; twice {
				t.Errorf("%s is there twice", body.Reference)
			}
			got[body.Reference] = body.Site.Address
		}
		return got, code == 0
	}
	want := fmt.Sprint(model)
	for _, at := range []struct {
		p    *process
		more []string
	}{{a, nil}, {b, []string{"--from", "northmoor.gov.uk"}}} {
		eventually(t, fmt.Sprintf("%s has the %d records of version 2", at.p.name, len(model)), func() bool {
			got, ok := list(at.p, at.more...)
			return ok && fmt.Sprint(got) == want
		})
	}
	var std node.StandardReply
	if err := json.Unmarshal([]byte(a.must("standard", "show", site+"@2", "--json")), &std); err != nil {
		t.Fatal(err)
	}
	if std.Mapped == nil || std.Mapped.Made != len(model) || std.Mapped.Refused != 0 {
		t.Errorf("made %+v, want %d", std.Mapped, len(model))
	}
	if s := a.status(); len(s.Refusals) > 0 || s.Held > 0 {
		t.Errorf("refusals: %+v, %d held back", s.Refusals, s.Held)
	}
}
