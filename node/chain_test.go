package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestCouncilsEndOneAfterTheOther: a council ends, the one that followed it ends, and so does
// the next. At the last each id that a record ever had leads to it, also where it was changed on
// the way; it says through whom it came; and an auditor who has the file of each follows it to
// the first. Who lacks one, or is given a forged way, is told.
func TestCouncilsEndOneAfterTheOther(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 31, 20, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	dir := t.TempDir()
	councils := []name.Council{northmoor, "shire.gov.uk", "east.gov.uk", "newshire.gov.uk"}
	var nodes []*node.Node
	trust := audit.Trust{}
	for _, c := range councils {
		_, n, m := foundBelow(t, dir, c, clock)
		nodes, trust.Members = append(nodes, n), append(trust.Members, m)
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for _, n := range nodes {
		for _, m := range trust.Members {
			if m.Council != n.Config().Council {
				call(t, n.Councils().Add, node.MemberRequest{Document: m.YAML()})
			}
		}
	}
	ids := [][]name.Record{nil, nil, nil, nil} // at each council, of two records
	for _, r := range offer(t, nodes[0], "planning-application", planning(1, "X"), planning(2, "X")).Results {
		ids[0] = append(ids[0], r.Record)
	}
	origins := map[name.Council][]byte{}
	for i, c := range councils[:3] {
		next := councils[i+1]
		plan := fmt.Sprintf("succession: s\non: %s\nbegins: [%s]\nends: [{council: %s, to: %s}]\n", now.AddDate(0, 0, 1).Format(time.DateOnly), next, c, next)
		call(t, nodes[i].Successions().Seal, node.SuccessionRequest{Plan: []byte(plan)})
		file := filepath.Join(dir, string(c)+".stile")
		call(t, nodes[i].Successions().HandOver, node.HandOverRequest{To: next, File: file})
		now = now.AddDate(0, 0, 1)
		for _, taken := range []int{2, 0} {
			if r := call(t, nodes[i+1].Successions().TakeOver, node.TakeOverRequest{File: file, Unwitnessed: true}); r.Taken != taken || taken == 0 && len(r.Events) > 0 {
				t.Errorf("%s took over %+v", next, r)
			}
		}
		for _, was := range ids[0] {
			ids[i+1] = append(ids[i+1], call(t, nodes[i+1].Records().Show, node.RecordRequest{Record: string(was)}).Record)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		origins[c] = b
		now = now.AddDate(1, 0, 0)
		if i == 1 { // changed after it was taken over: the file to the next has not the version that came
			changed := planning(2, "X")
			changed["description"] = "Fell two."
			offer(t, nodes[2], "planning-application", changed)
		}
	}

	last := nodes[3]
	for i, c := range councils {
		for j, id := range ids[i] {
			for _, in := range []node.RecordRequest{{Record: string(id)}, {Record: string(id), From: c}} {
				r := call(t, last.Records().Show, in)
				if r.Record != ids[3][j] || r.Former == nil || r.Former.Council != councils[2] || len(r.Earlier) != 2 ||
					r.Earlier[0].Council != councils[1] || r.Earlier[0].Record != ids[1][j] || r.Earlier[1].Council != councils[0] || r.Earlier[1].Record != ids[0][j] {
					t.Errorf("%s shows for %v: %+v", councils[3], in, r)
				}
			}
			if h := call(t, last.Records().History, node.RecordRequest{Record: string(id)}); len(h.Versions) != 1 || h.Versions[0].Record != ids[3][j] {
				t.Errorf("history of %s: %+v", id, h)
			}
		}
	}
	if _, err := last.Records().Show(t.Context(), node.RecordRequest{Record: string(ids[0][0]), From: councils[1]}); !is(err, node.NotFound) {
		t.Errorf("the id of one council is found as that of another: %v", err)
	}

	after := call(t, last.Bundle, node.BundleRequest{Records: []string{string(ids[0][0]), string(ids[1][1])}, Full: true}).Bundle
	verify := func(of ...name.Council) (*audit.Report, audit.Check) {
		t.Helper()
		o := audit.Options{Trust: trust}
		for _, c := range of {
			o.Origins = append(o.Origins, audit.OriginFile{File: bytes.NewReader(origins[c]), Size: int64(len(origins[c]))})
		}
		r, err := audit.Verify(bytes.NewReader(after), int64(len(after)), o)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := r.Check(audit.CheckSuccession)
		return r, c
	}
	r, c := verify(councils[0], councils[2], councils[1])
	for _, want := range []string{
		"2 records are followed into the log of east.gov.uk",
		"2 records are followed on, by way of the log of east.gov.uk, into the log of shire.gov.uk",
		"2 records are followed on, by way of the log of shire.gov.uk, into the log of northmoor.gov.uk",
	} {
		if !strings.Contains(c.Detail, want) {
			t.Errorf("the chain does not say %q", want)
		}
	}
	if !r.OK() || c.Result != audit.OK || c.NotDone > 0 {
		t.Errorf("the chain: %+v", c)
	}
	if r, c := verify(councils[0], councils[2]); !r.OK() || c.NotDone != 1 || !strings.Contains(c.Detail, "is followed only with the file of shire.gov.uk, too") {
		t.Errorf("without the file of one between: %+v", c)
	}
	origins[councils[1]] = origins[councils[2]]
	delete(origins, councils[2])
	if r, c := verify(councils[0], councils[1]); !r.OK() || c.NotDone == 0 {
		t.Errorf("with another file in the place of it: %+v", c)
	}

	first := &running{Node: nodes[0]}
	publishAt(t, first, now, func(r *tufdir.Repository) error {
		for i, c := range councils[:3] {
			if err := r.Succeed(c, councils[i+1], now.AddDate(i-3, 0, 0).Truncate(24*time.Hour), now); err != nil {
				return err
			}
		}
		return nil
	})
	s := call(t, nodes[0].Records().Show, node.RecordRequest{Record: string(ids[0][0])}).Succeeded
	if s == nil || s.Council != councils[1] || len(s.Then) != 2 || s.Then[0].Council != councils[1] || s.Then[1].Council != councils[2] || s.Then[1].Successors[0] != councils[3] {
		t.Errorf("the first council says that the record is now %+v", s)
	}
}
