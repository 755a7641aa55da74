package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

func adopted(t *testing.T, who name.Council, std string, records int) measure.Given {
	t.Helper()
	s, err := name.ParseStandard(std)
	if err != nil {
		t.Fatal(err)
	}
	return measure.Given{Issuer: who, Statement: &measure.Statement{
		Council: who, Standard: s, ComputedOn: "2026-11-22", ComputedAt: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Records: records,
		Offers: api.StatementOffers{Seen: 1000, Valid: 999}, Freshness: &api.StatementFreshness{Within: "P7D", Fresh: records}, Partners: api.StatementPartners{Served: 2},
	}}
}

// Councils by standards: a column for each, as long as they fit a screen.
func TestAdoptionMatrix(t *testing.T) {
	members := []measure.Member{{Council: "a.gov.uk", Title: "=A()", GSS: "E06000066", Counts: true}, {Council: "b.gov.uk", GSS: "E09000001", Counts: true}}
	list := []measure.Given{
		adopted(t, "a.gov.uk", "standards.example/pet@1.0.0", 1200), adopted(t, "a.gov.uk", "standards.example/pet@2.0.0", 3),
		adopted(t, "a.gov.uk", "standards.example/tree@1.0.0", 7), adopted(t, "b.gov.uk", "standards.example/tree@1.0.0", 0),
	}
	show := func(v *adoptionView, list []measure.Given, refused ...api.RefusedStatement) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		v.app = &app{env: env{out: &out, err: &errs}}
		r := measure.Adopt(list, members, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), nil)
		r.Refused = refused
		if err := v.print(r); err != nil {
			t.Fatal(err)
		}
		return out.String(), errs.String()
	}
	got, _ := show(&adoptionView{}, list)
	for _, line := range []string{
		"a.gov.uk  South West  1.0.0: 1,200, 99.9%, 100%, 2; 2.0.0: 3, 99.9%, 100%, 2  1.0.0: 7, 99.9%, 100%, 2\n",
		"b.gov.uk  London      -                                                       1.0.0: 0, 99.9%, -, 2\n",
		"standards.example/pet on 2026-11-22: 1 council has records\n  members   1 of 2 (50%)\n  England   1 of 317 (0.3%)\n    unitary                1 of 62 (1.6%)\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
	for i := range 6 {
		list = append(list, adopted(t, "b.gov.uk", fmt.Sprintf("standards.example/s%d@1.0.0", i), 1))
	}
	if got, _ = show(&adoptionView{}, list); !strings.Contains(got, "COUNCIL   REGION      STANDARD ") || !strings.Contains(got, "b.gov.uk  London      standards.example/s5@1.0.0 ") {
		t.Errorf("many standards:\n%s", got)
	}
	if got, _ = show(&adoptionView{csv: true}, list); !strings.Contains(got, "\na.gov.uk,'=A(),E06000066,South West,unitary,yes,standards.example/pet,1.0.0,2026-11-22T09:00:00Z,1200,1000,999,99.9,0,P7D,1200,100,2,") {
		t.Errorf("CSV:\n%s", got)
	}
	refused := make([]api.RefusedStatement, 30)
	if _, errs := show(&adoptionView{}, nil, refused...); strings.Count(errs, "refused: statement") != shownRows || !strings.Contains(errs, "and 20 more were refused") {
		t.Errorf("%s", errs)
	}
}

func TestSpans(t *testing.T) {
	for iso, want := range map[string]string{"P7D": "7 days", "P1Y6M": "1 year, 6 months", "PT12H": "12 hours", "P1W": "1 week", "soon": "soon"} {
		if got := span(iso); got != want {
			t.Errorf("%s: %q, want %q", iso, got, want)
		}
	}
}
