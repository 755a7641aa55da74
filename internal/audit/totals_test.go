package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Counts that three councils signed add up to what the totals say, and to nothing else: an
// auditor finds a total, a group, a council or a signature that was changed.
func TestTotals(t *testing.T) {
	var members []directory.Member
	totals := &audit.Totals{Standard: name.StandardLine{Name: "standards.example/need", Major: 1}, Least: 3}
	a, b := "A", "B"
	for i := range 3 {
		c := name.Council(fmt.Sprintf("council%d.gov.uk", i))
		ring, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, directory.FromRing(c, ring))
		money := int64(100 * (i + 1))
		counts := agreement.Counts{
			Agreement: name.Agreement(c + "/counted"), Version: 1, Day: "2026-11-23", By: []name.Field{"/district"}, Sums: []name.Field{"/amount"},
			Threshold: agreement.CountThreshold, Rounded: 5, Groups: []agreement.Group{{Of: []*string{&a}, Count: 20 + 5*i, Sums: []*int64{&money}}},
			Total: 20 + 5*i, Budget: agreement.Budget{Spent: 1, Of: 150},
		}
		if i < 2 { // two councils alone have this group
			counts.Groups = append(counts.Groups, agreement.Group{Of: []*string{&b}, Count: 15, Sums: []*int64{nil}})
			counts.Total += 15
		}
		key := ring.Record
		tok, err := record.BuildEvent(record.Event{Council: c, IssuedAt: 1, Kind: event.KindCounts, Body: counts.Body()}, key.ID())
		if err != nil {
			t.Fatal(err)
		}
		sig, err := key.Sign(tok.SigningInput())
		if err != nil {
			t.Fatal(err)
		}
		totals.Answers = append(totals.Answers, audit.Answered{Council: c, Agreement: counts.Agreement, Counts: string(tok.Seal(sig).Bytes())})
	}
	totals.Missing = []audit.Missing{{Council: "council3.gov.uk", Why: "it does not answer"}}
	if err := totals.Add(); err != nil {
		t.Fatal(err)
	}
	if len(totals.Groups) != 1 || totals.Total != 75 || *totals.Groups[0].Sums[0] != 600 {
		t.Errorf("they add up to %+v, %d", totals.Groups, totals.Total)
	}
	file, err := json.Marshal(totals)
	if err != nil {
		t.Fatal(err)
	}
	check := func(file string, members []directory.Member) error {
		got, err := audit.ParseTotals([]byte(file))
		if err != nil {
			return err
		}
		return got.Check(members)
	}
	if err := check(string(file), members); err != nil {
		t.Fatal(err)
	}
	for what, changed := range map[string]string{
		"total":   strings.Replace(string(file), `"total":75`, `"total":80`, 1),
		"sum":     strings.Replace(string(file), `"sums":[600]`, `"sums":[601]`, 1),
		"least":   strings.Replace(string(file), `"least":3`, `"least":2`, 1),
		"council": strings.Replace(string(file), `"council":"council1.gov.uk"`, `"council":"council0.gov.uk"`, 1),
	} {
		if changed == string(file) {
			t.Fatalf("%s: nothing was changed", what)
		}
		if err := check(changed, members); !errors.Is(err, audit.ErrTotals) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if err := check(string(file), members[:2]); !errors.Is(err, audit.ErrTotals) {
		t.Errorf("without a key: %v", err)
	}
	other, err := keys.Generate(members[2].Council)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(string(file), append(members[:2:2], directory.FromRing(members[2].Council, other))); !errors.Is(err, audit.ErrTotals) {
		t.Errorf("signed by another key: %v", err)
	}
}

func FuzzTotals(f *testing.F) {
	f.Add([]byte(`{"standard":"s.example/n@1","least":3,"answers":[{"council":"a.gov.uk","agreement":"a.gov.uk/x","entry":1,"counts":"e.y.z"}],"by":[],"groups":[],"total":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := audit.ParseTotals(b); err == nil {
			got.Check(nil)
		}
	})
}
