package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const site = "standards.stile.example/brownfield-site"

// siteTwo is the made-up second major of the brownfield register.
func siteTwo(t testing.TB) []byte {
	t.Helper()
	s, err := standard.Load(os.DirFS("../internal/standard/testdata/mapped/brownfield-site-2.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Archive()
}

func entry(ref, status string) map[string]any {
	e := map[string]any{
		"organisation": "http://opendatacommunities.org/id/district-council/northmoor", "reference": ref,
		"siteNameAddress": "1 Mill Lane", "longitude": -2.9, "latitude": 53.8, "hectares": 0.5, "ownershipStatus": "mixed ownership",
		"planningStatus": status, "firstAddedDate": "2026-01-01", "workingNotes": "CANARY " + ref,
	}
	if status == "permissioned" {
		e["permissionType"], e["permissionDate"] = "other", "2026-02-01"
	}
	return e
}

func entryTwo(ref string) map[string]any {
	return map[string]any{
		"organisation": "http://opendatacommunities.org/id/district-council/northmoor", "reference": ref,
		"site": map[string]any{"address": "by hand"}, "longitude": -2.9, "latitude": 53.8, "hectares": 0.5, "ownershipStatus": "mixed ownership",
		"planningStatus": "none", "firstAddedDate": "2026-01-01", "country": "England",
	}
}

// siteAgreement is an agreement over one major of the brownfield register.
func siteAgreement(major int, fields string) node.AgreementRequest {
	text := strings.ReplaceAll(planningAgreement, "planning-for-saltby", fmt.Sprintf("sites-%d", major))
	text = strings.ReplaceAll(text, "standards.stile.example/planning-application@1", fmt.Sprintf("%s@%d", site, major))
	text = strings.ReplaceAll(text, `rows: record.district == "X"`, `rows: record.hectares > 0.0`)
	at := strings.Index(text, "fields: [")
	text = text[:at] + "fields: [" + fields + text[at+strings.Index(text[at:], "]"):]
	return node.AgreementRequest{Document: []byte(text)}
}

const (
	openOne = "/organisation, /reference, /siteNameAddress, /sitePlanURL, /longitude, /latitude, /easting, /northing, /hectares, /ownershipStatus, /deliverable, /planningStatus, /permissionType, /permissionDate, /planningHistory, /hazardousSubstances, /minNetDwellings, /netDwellingsRangeFrom, /netDwellingsRangeTo, /notes, /firstAddedDate, /lastUpdatedDate, /endDate"
	openTwo = "/organisation, /reference, /site, /longitude, /latitude, /easting, /northing, /hectares, /ownershipStatus, /deliverable, /planningStatus, /permissionType, /permissionDate, /planningHistory, /hazardousSubstances, /dwellings, /notes, /country, /firstAddedDate, /lastUpdatedDate, /endDate"
)

// serveAll asks for the mapping until it is done.
func serveAll(t testing.TB, n face, in node.ServeRequest) (sum node.ServeReply) {
	t.Helper()
	for first := true; ; first = false {
		var r node.ServeReply
		err := try(t.Context(), n.Standards().Serve, in, &r)
		if err != nil && in.Stop && !first && err.(*node.Error).Kind == node.NotFound {
			return sum // the running node has done the rest
		}
		if err != nil {
			t.Fatal(err)
		}
		sum.Made, sum.Deleted, sum.Refused = sum.Made+r.Made, sum.Deleted+r.Deleted, sum.Refused+r.Refused
		if sum.Done, sum.Ended, sum.Advice = r.Done, r.Ended, append(sum.Advice, r.Advice...); r.Done {
			return sum
		}
	}
}

// refs returns the references of the records of a standard, as list shows them.
func refs(t testing.TB, n face, from name.Council, major int) map[string]string {
	t.Helper()
	out := map[string]string{}
	l := call(t, n.Records().List, node.ListRequest{Standard: site, From: from, Bodies: true, Limit: 1000})
	for _, r := range l.Records {
		if r.Standard.Version.Major == major {
			body := string(r.Body)
			at := strings.Index(body, `"reference":"`) + 13
			out[body[at:at+strings.IndexByte(body[at:], '"')]] = body
		}
	}
	return out
}

// TestServeNewerMajor: a node that holds version 1 serves version 2. A partner
// with an agreement over version 2 gets signed records of it, one over version 1
// those of version 1, and neither anything of the other's.
func TestServeNewerMajor(t *testing.T) {
	t.Parallel()
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	for _, n := range []face{a, b} {
		call(t, n.Standards().Adopt, node.AdoptRequest{Archive: siteTwo(t)})
	}
	accepted := func(r node.PutReply) {
		t.Helper()
		for _, x := range r.Results {
			if len(x.Problems) > 0 {
				t.Fatalf("refused: %+v", x.Problems)
			}
		}
	}
	accepted(offer(t, a, site+"@1", entry("S1", "permissioned"), entry("S2", "not permissioned"), entry("S3", "pending decision")))
	accepted(offer(t, a, site+"@2", entryTwo("H1"), entryTwo("S3")))

	two := 2
	one := 1
	for _, bad := range []node.ServeRequest{{Standard: site + "@1"}, {Standard: site + "@2", From: &two}, {Standard: "standards.example/none@2"}, {Standard: site + "@2", Stop: true}} {
		if err := try(t.Context(), a.Standards().Serve, bad, nil); err == nil || err.(*node.Error).Kind != node.NotFound {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	r := serveAll(t, a, node.ServeRequest{Standard: site + "@2", From: &one})
	if len(r.Advice) > 0 {
		t.Errorf("advice: %+v", r.Advice)
	}
	await(t, "both are made", func() bool { return len(refs(t, a, "", 2)) == 4 })
	got := refs(t, a, "", 2)
	if !strings.Contains(got["S1"], `"planningStatus":"granted"`) || !strings.Contains(got["S1"], `"site":{"address":"1 Mill Lane"}`) || strings.Contains(got["S1"], "CANARY") {
		t.Errorf("S1 was made into %s", got["S1"])
	}
	if !strings.Contains(got["S3"], "by hand") {
		t.Errorf("what was written by hand was overwritten: %s", got["S3"])
	}
	held := call(t, a.Records().Held, node.ListRequest{Standard: site})
	if len(held.Held) != 1 || !strings.HasPrefix(held.Held[0].Reference, "made from ") || !strings.Contains(held.Held[0].Problems[0].Detail, "there already, written by hand") {
		t.Errorf("held: %+v", held.Held)
	}
	std := call(t, a.Standards().Show, node.StandardRequest{Name: site + "@2"})
	if std.Mapped == nil || std.Mapped.Made != 2 || std.Mapped.Refused != 1 || std.Mapped.Behind {
		t.Errorf("shown as %+v", std.Mapped)
	}

	// Two agreements, one over each major.
	for major, fields := range map[int]string{1: openOne, 2: openTwo} {
		doc := siteAgreement(major, fields)
		call(t, a.Agreements().Sign, doc)
		byName := node.AgreementRequest{Name: fmt.Sprintf("northmoor.gov.uk/sites-%d", major)}
		await(t, "the proposal has come", func() bool {
			return try(t.Context(), b.Agreements().Show, byName, nil) == nil
		})
		call(t, b.Agreements().Sign, byName)
	}
	step := func(what string, one, two []string) {
		t.Helper()
		same := func(got map[string]string, want []string) bool {
			if len(got) != len(want) {
				return false
			}
			for _, w := range want {
				if got[w] == "" {
					return false
				}
			}
			return true
		}
		await(t, what, func() bool { return same(refs(t, b, northmoor, 1), one) && same(refs(t, b, northmoor, 2), two) })
	}
	await(t, "something is held", func() bool {
		var l node.ListReply
		return try(t.Context(), b.Records().List, node.ListRequest{From: northmoor}, &l) == nil && len(l.Records) == 7
	})
	step("both majors have arrived", []string{"S1", "S2", "S3"}, []string{"S1", "S2", "S3", "H1"})
	for ref, body := range refs(t, b, northmoor, 2) {
		if strings.Contains(body, "CANARY") || strings.Contains(body, "siteNameAddress") {
			t.Errorf("%s in version 2 holds what is version 1's: %s", ref, body)
		}
	}

	// What changes follows; what is deleted goes; what a mapping keeps is not
	// deleted by hand.
	changed := entry("S2", "not permissioned")
	changed["siteNameAddress"] = "2 Mill Lane"
	accepted(offer(t, a, site+"@1", changed, entry("S4", "not permissioned")))
	step("a new one is made", []string{"S1", "S2", "S3", "S4"}, []string{"S1", "S2", "S3", "S4", "H1"})
	await(t, "the change has come", func() bool { return strings.Contains(refs(t, b, northmoor, 2)["S2"], "2 Mill Lane") })
	err := try(t.Context(), a.Records().Delete, node.RecordRequest{Record: "S1", Standard: site + "@2"}, nil)
	if err == nil || err.(*node.Error).Kind != node.Conflict || !strings.Contains(err.Error(), "a mapping keeps it") {
		t.Errorf("delete what is made: %v", err)
	}
	call(t, a.Records().Delete, node.RecordRequest{Record: "S1", Standard: site + "@1"})
	step("what is deleted is gone", []string{"S2", "S3", "S4"}, []string{"S2", "S3", "S4", "H1"})

	// A council that comes to write version 2 itself takes its records over.
	accepted(offer(t, a, site+"@2", entryTwo("S4")))
	await(t, "it is taken over", func() bool { return strings.Contains(refs(t, b, northmoor, 2)["S4"], "by hand") })
	if h := call(t, a.Records().History, node.RecordRequest{Record: "S4", Standard: site + "@2"}); len(h.Versions) != 2 {
		t.Errorf("taken over as %d versions of one record, want 2", len(h.Versions))
	}

	// Stopped, what was made goes and what was written stays.
	serveAll(t, a, node.ServeRequest{Standard: site + "@2", Stop: true})
	await(t, "all that was made is gone", func() bool {
		return call(t, a.Standards().Show, node.StandardRequest{Name: site + "@2"}).Mapped == nil
	})
	step("served no longer", []string{"S2", "S3", "S4"}, []string{"S3", "S4", "H1"})
	if held := call(t, a.Records().Held, node.ListRequest{Standard: site}); len(held.Held) != 0 {
		t.Errorf("still held: %+v", held.Held)
	}
}

// TestServeSurvivesRestart: what changed while the node was down is made when
// it runs again, and nothing twice.
func TestServeSurvivesRestart(t *testing.T) {
	t.Parallel()
	cfg, err := node.Init(t.Context(), node.InitOptions{
		Dir: filepath.Join(t.TempDir(), "data"), Council: northmoor, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	reopen := func() *node.Node {
		n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a := reopen()
	call(t, a.Standards().Adopt, node.AdoptRequest{Archive: siteTwo(t)})
	var first []map[string]any
	for i := range 1300 {
		first = append(first, entry(fmt.Sprint("S", i), "not permissioned"))
	}
	offer(t, a, site+"@1", first...)
	if r := serveAll(t, a, node.ServeRequest{Standard: site + "@2"}); r.Made != 1300 || r.Refused != 0 {
		t.Fatalf("served: %+v", r)
	}
	size := get(t, a.Status).LogSize
	if r := serveAll(t, a, node.ServeRequest{Standard: site + "@2"}); r.Made+r.Refused+r.Deleted != 0 {
		t.Errorf("said again: %+v", r)
	}
	// Everything once more, as after a crash between the records and the cursor:
	// nothing changes.
	if err := a.Rewind(t.Context(), name.StandardLine{Name: site, Major: 2}); err != nil {
		t.Fatal(err)
	}
	if r := serveAll(t, a, node.ServeRequest{Standard: site + "@2"}); r.Made+r.Refused+r.Deleted != 0 {
		t.Errorf("done twice: %+v", r)
	}
	if now := get(t, a.Status).LogSize; now != size {
		t.Errorf("done twice, the log grew by %d entries", now-size)
	}
	offer(t, a, site+"@1", entry("late", "not permissioned"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = reopen()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	await(t, "the late one is made", func() bool {
		return call(t, a.Standards().Show, node.StandardRequest{Name: site + "@2"}).Mapped.Made == 1301
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if now := get(t, a.Status).LogSize; now != size+2 {
		t.Errorf("the log grew by %d entries, want 2", now-size)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestServeNewVersion: a newer version of the line, once served, makes what was
// made anew in itself; adopting it alone changes nothing.
func TestServeNewVersion(t *testing.T) {
	a := alone(t, northmoor)
	call(t, a.Standards().Adopt, node.AdoptRequest{Archive: siteTwo(t)})
	offer(t, a, site+"@1", entry("S1", "permissioned"), entry("S2", "not permissioned"))
	serveAll(t, a, node.ServeRequest{Standard: site + "@2"})
	later := fstest.MapFS{}
	dir := os.DirFS("../internal/standard/testdata/mapped/brownfield-site-2.0.0")
	err := fs.WalkDir(dir, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(dir, p)
		b = bytes.Replace(b, []byte("version: 2.0.0"), []byte("version: 2.1.0"), 1)
		if p == "mappings/1.yaml" {
			b = append(b, "  - add: /notes\n    value: by 2.1.0\n"...)
		}
		later[p] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	std, err := standard.Load(later)
	if err != nil {
		t.Fatal(err)
	}
	in := node.AdoptRequest{Archive: std.Archive()}
	if p := call(t, a.Standards().Preview, in); p.Mapped == nil || p.Mapped.Made != 2 || p.Older.Version.String() != "2.0.0" {
		t.Errorf("preview: %+v", p)
	}
	call(t, a.Standards().Adopt, in)
	offer(t, a, site+"@1", entry("S3", "not permissioned"))
	made := func() map[string]int {
		out := map[string]int{}
		for _, r := range call(t, a.Records().List, node.ListRequest{Standard: site, Limit: 1000}).Records {
			out[r.Standard.Version.String()]++
		}
		return out
	}
	if got := fmt.Sprint(made()); got != "map[1.0.0:3 2.0.0:2]" {
		t.Errorf("once 2.1.0 is adopted: %s", got)
	}
	serveAll(t, a, node.ServeRequest{Standard: site + "@2"})
	if got := fmt.Sprint(made()); got != "map[1.0.0:3 2.1.0:3]" {
		t.Errorf("once 2.1.0 is served: %s", got)
	}
	if b := refs(t, a, "", 2)["S1"]; !strings.Contains(b, `"notes":"by 2.1.0"`) {
		t.Errorf("made as %s", b)
	}
}

// BenchmarkServe is how fast a node makes records of a newer major of those it
// has: mapped, validated, signed, logged and synced.
func BenchmarkServe(b *testing.B) {
	const records = 20_000
	for b.Loop() {
		b.StopTimer()
		n := alone(b, northmoor)
		call(b, n.Standards().Adopt, node.AdoptRequest{Archive: siteTwo(b)})
		for i := 0; i < records; i += 1000 {
			var page []map[string]any
			for j := range 1000 {
				page = append(page, entry(fmt.Sprint("S", i+j), "not permissioned"))
			}
			offer(b, n, site+"@1", page...)
		}
		b.StartTimer()
		if r := serveAll(b, n, node.ServeRequest{Standard: site + "@2"}); r.Made != records {
			b.Fatalf("made %d", r.Made)
		}
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
