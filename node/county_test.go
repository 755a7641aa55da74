package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// TestACountyAndElevenDistrictsEnd: twelve councils end, and two follow them: each district
// goes to one of the two, and the county is shared out by district. Everything that
// the twelve had is at one of the two, once, and an auditor follows each record from before
// the day through to after it.
func TestACountyAndElevenDistrictsEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 31, 20, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	dir := t.TempDir()
	found := func(c name.Council) (*config.Config, *node.Node, directory.Member) {
		return foundBelow(t, dir, c, clock)
	}
	east, west := name.Council("east.gov.uk"), name.Council("west.gov.uk")
	plan := fmt.Sprintf("succession: shire-2027\non: 2027-04-01\nbegins: [%s, %s]\nends:\n", east, west)
	var values [2][]string
	districts := make([]name.Council, 11)
	for i := range districts {
		districts[i] = name.Council(fmt.Sprintf("district%02d.gov.uk", i))
		to, side := east, 0
		if i >= 5 {
			to, side = west, 1
		}
		plan += fmt.Sprintf("  - {council: %s, to: %s}\n", districts[i], to)
		values[side] = append(values[side], fmt.Sprintf("D%02d", i))
	}
	plan += fmt.Sprintf("  - council: shire.gov.uk\n    split:\n      - standard: standards.stile.example/planning-application\n        field: /district\n        values:\n          %s: [%s]\n          %s: [%s]\n",
		east, strings.Join(values[0], ", "), west, strings.Join(values[1], ", "))
	in := node.SuccessionRequest{Plan: []byte(plan)}

	trust := audit.Trust{}
	begun := map[name.Council]*node.Node{}
	var begins []directory.Member
	for _, c := range []name.Council{east, west} {
		_, n, m := found(c)
		begun[c], begins, trust.Members = n, append(begins, m), append(trust.Members, m)
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	type file struct {
		to   name.Council
		path string
	}
	var files []file
	var before []byte // of a record of the county's, from before the day
	var id name.Record
	total := 0
	for i, c := range append(districts, "shire.gov.uk") {
		_, n, m := found(c)
		trust.Members = append(trust.Members, m)
		for _, b := range begins {
			call(t, n.Councils().Add, node.MemberRequest{Document: b.YAML()})
			call(t, begun[b.Council].Councils().Add, node.MemberRequest{Document: m.YAML()})
		}
		records := []map[string]any{planning(100+i, fmt.Sprintf("D%02d", i))}
		if c == "shire.gov.uk" {
			records = nil
			for d := range districts {
				records = append(records, planning(200+d, fmt.Sprintf("D%02d", d)))
			}
		}
		got := offer(t, n, "planning-application", records...)
		total += len(records)
		if c == "shire.gov.uk" {
			id = got.Results[7].Record
			before = call(t, n.Bundle, node.BundleRequest{Records: []string{string(id)}, Full: true}).Bundle
		}
		s := call(t, n.Successions().Seal, in)
		for _, x := range s.Successors {
			f := file{x.Council, filepath.Join(dir, string(c)+"-"+string(x.Council)+".stile")}
			call(t, n.Successions().HandOver, node.HandOverRequest{To: f.to, File: f.path})
			files = append(files, f)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) != 13 {
		t.Fatalf("%d files, want one of each district and two of the county", len(files))
	}

	now = time.Date(2027, 4, 1, 7, 0, 0, 0, time.UTC)
	taken := 0
	origins := map[name.Council][]audit.OriginFile{}
	for _, f := range files {
		if _, err := begun[f.to].Successions().TakeOver(t.Context(), node.TakeOverRequest{File: f.path}); !is(err, node.Refused) {
			t.Errorf("%s was taken over with no witness: %v", f.path, err)
		}
		r := call(t, begun[f.to].Successions().TakeOver, node.TakeOverRequest{File: f.path, Unwitnessed: true})
		if r.Taken != r.Records || len(r.Left) > 0 {
			t.Errorf("%s: %+v", f.path, r)
		}
		taken += r.Taken
		b, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		origins[f.to] = append(origins[f.to], audit.OriginFile{File: bytes.NewReader(b), Size: int64(len(b))})
	}
	if taken != total {
		t.Errorf("%d records of %d are at a successor", taken, total)
	}
	for c, n := range begun {
		want := len(values[0]) * 2
		if c == west {
			want = len(values[1]) * 2
		}
		after := call(t, n.Bundle, node.BundleRequest{Standard: "planning-application", Full: true}).Bundle
		r, err := audit.Verify(bytes.NewReader(after), int64(len(after)), audit.Options{Trust: trust, Origins: origins[c]})
		if err != nil {
			t.Fatal(err)
		}
		check, _ := r.Check(audit.CheckSuccession)
		// Each is counted where the event stands, and once more where it came from.
		if !r.OK() || check.NotDone > 0 || r.Counts.Records != want || check.Count != 2*want {
			t.Errorf("%s: %d records, want %d: %+v", c, r.Counts.Records, want, check)
		}
	}
	now = now.AddDate(5, 0, 0)
	r, err := audit.Verify(bytes.NewReader(before), int64(len(before)), audit.Options{Trust: trust})
	if err != nil || !r.OK() {
		t.Errorf("what was shown before the day does not verify any more: %v %+v", err, r)
	}
	show := call(t, begun[west].Records().Show, node.RecordRequest{Record: string(id)})
	if show.Former == nil || show.Former.Council != "shire.gov.uk" || show.Former.Record != id {
		t.Errorf("west shows for the county's id: %+v", show)
	}
	if _, err := begun[east].Records().Show(t.Context(), node.RecordRequest{Record: string(id)}); !is(err, node.NotFound) {
		t.Errorf("east shows what went to west: %v", err)
	}
}

// foundBelow founds a council that has one standard and serves nobody, in a folder below dir.
func foundBelow(t *testing.T, dir string, c name.Council, clock func() time.Time) (*config.Config, *node.Node, directory.Member) {
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(dir, string(c)), Council: c, Listen: []string{}, NoStandards: true, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB, cfg.AdminSocket = 16, ""
	n, err := node.Open(cfg, node.Options{Now: clock, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	call(t, n.Standards().Adopt, node.AdoptRequest{Archive: shippedArchive(t, "planning-application")})
	return cfg, n, membersOf(t, &running{Node: n})[0]
}

// shippedArchive returns a standard that comes with Stile as an archive.
func shippedArchive(t *testing.T, slug string) []byte {
	t.Helper()
	s, err := standard.Load(schemas.FS(slug + "/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Archive()
}
