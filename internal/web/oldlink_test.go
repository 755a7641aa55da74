package web_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestOldLink: a link to the page of a record of a council that has ended leads to the page of
// what the record is now, with its history, by the id and the council that it names.
func TestOldLink(t *testing.T) {
	t.Parallel()
	h, old := open(t, false, nil), found(t, saltby, "Saltby", node.InitOptions{Listen: []string{}})
	for _, x := range []*house{h, old} {
		other := map[*house]*house{h: old, old: h}[x]
		m, err := other.node.Councils().Show(t.Context(), node.MemberNameRequest{})
		if err == nil {
			_, err = x.node.Councils().Add(t.Context(), node.MemberRequest{Document: []byte(m.Document)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rec := []byte(`{"reference":"26/00001/HH","organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":"Fell one ash.","receivedDate":"2026-02-16","district":"X","uprn":100000000001}`)
	put, err := old.node.Records().Put(t.Context(), node.PutRequest{Standard: "planning-application", Records: []node.Offered{{Record: rec}}})
	if err != nil || len(put.Results) != 1 || put.Results[0].Record == "" {
		t.Fatalf("%+v %v", put, err)
	}
	plan := fmt.Sprintf("succession: s\non: %s\nbegins: [%s]\nends: [{council: %s, to: %s}]\n", time.Now().UTC().Format(time.DateOnly), northmoor, saltby, northmoor)
	if _, err := old.node.Successions().Seal(t.Context(), node.SuccessionRequest{Plan: []byte(plan)}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "saltby.stile")
	if _, err := old.node.Successions().HandOver(t.Context(), node.HandOverRequest{To: northmoor, File: file}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Successions().TakeOver(t.Context(), node.TakeOverRequest{File: file, Unwitnessed: true}); err != nil {
		t.Fatal(err)
	}
	was := string(put.Results[0].Record)
	now, err := h.node.Records().Show(t.Context(), node.RecordRequest{Record: was})
	if err != nil || string(now.Record) == was {
		t.Fatalf("%+v %v", now, err)
	}
	v := h.enter("Jo Smith", access.Viewer)
	v.because()
	for _, c := range []name.Council{saltby, northmoor} {
		r, err := v.Get(h.url + "/records/" + string(c) + "/" + was)
		if err != nil {
			t.Fatal(err)
		}
		if status, page := v.read(r, nil); status != 200 || !strings.Contains(page, "26/00001/HH") || !strings.HasSuffix(r.Request.URL.Path, "/records/northmoor.gov.uk/"+string(now.Record)) {
			t.Errorf("the link of %s leads to %s: %d", c, r.Request.URL.Path, status)
		}
	}
}
