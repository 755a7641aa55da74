package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/browsertest"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// run has the node of a house exchange, until the test ends.
func (h *house) run() {
	h.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.node.Run(ctx) }()
	select {
	case <-h.node.Ready():
	case err := <-ended:
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			h.t.Errorf("run: %v", err)
		}
	})
}

// Five journeys by the keyboard alone and without JavaScript, over two nodes that exchange:
// first set-up, an import with errors that are mended, an agreement drafted, previewed and
// signed from both sides, why a partner lacks a record, and verifying a bundle.
func TestJourneys(t *testing.T) {
	live := func(c name.Council, title string) *house { return openAt(t, c, title, "/ip4/127.0.0.1/tcp/0") }
	north, south := live(northmoor, "Northmoor District Council"), live(saltby, "Saltby City Council")
	north.run()
	south.run()
	dir := t.TempDir()
	write := func(file string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	us, err := south.node.Councils().Show(t.Context(), node.MemberNameRequest{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := directory.ParseMember([]byte(us.Document))
	if err != nil {
		t.Fatal(err)
	}
	m.Addresses = south.node.Addresses()
	if _, err := north.node.Standards().Adopt(t.Context(), node.AdoptRequest{Name: "service-directory"}); err != nil {
		t.Fatal(err)
	}

	record := func(i int, reference, to string) []byte {
		rec := generate.HousingNeed(3, i, "E07000998", []string{"E07000999"})
		return changed(t, rec, func(m map[string]any) { m["reference"], m["moved_to"] = reference, to })
	}
	lines := func(recs ...[]byte) []byte { return append(bytes.Join(recs, []byte("\n")), '\n') }
	goes, stays, wrong, mended := record(1, "HN-GOES", "E07000999"), record(2, "HN-STAYS", "E07000997"), record(3, "HN-WRONG", "Saltby"), record(3, "HN-WRONG", "E07000999")
	forged := []byte("PK\x03\x04 and nothing that is a bundle")

	_, one := north.person("Sam Example", access.Roles()...)
	_, two := south.person("Ann Lee", access.Roles()...)
	type side struct{ URL, Code string }
	in, err := json.Marshal(map[string]any{
		"north": side{north.url, one}, "south": side{south.url, two}, "downloads": dir,
		"files": map[string]string{
			"bad": write("bad.yaml", []byte("council: nobody\n")), "saltby": write("saltby.yaml", m.YAML()),
			"wrong": write("wrong.ndjson", lines(goes, stays, wrong)), "mended": write("mended.ndjson", lines(mended)), "services": write("services.json", []byte(services)), "forged": write("forged.stile", forged),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Said, Problems []string }
	browsertest.Run(t, "testdata/journeys.mjs", &out, string(in))
	for _, p := range out.Problems {
		t.Error(p)
	}
	if want := []string{"set-up", "import", "agreement", "why", "verify"}; !slices.Equal(out.Said, want) {
		t.Errorf("the journeys that came to their end: %v", out.Said)
	}
	// The rows to mend are the row that was wrong, as it came.
	if b, err := os.ReadFile(filepath.Join(dir, "to-mend.ndjson")); err != nil || !bytes.Equal(bytes.TrimSpace(b), wrong) {
		t.Errorf("the rows to mend: %s, %v", b, err)
	}
	// What the journeys did is done: both records that go are at the partner.
	list, err := south.node.Records().List(t.Context(), node.ListRequest{Standard: "standards.stile.example/housing-need", From: northmoor})
	if err != nil || len(list.Records) != 2 {
		t.Errorf("the partner has %d records, want 2: %v", len(list.Records), err)
	}
}
