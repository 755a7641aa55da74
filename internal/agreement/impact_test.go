package agreement_test

import (
	"os"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// What a receiver gains and loses is counted over the records, field by field; one that
// comes new gains all, and one that goes loses all.
func TestImpact(t *testing.T) {
	b, err := os.ReadFile("../../examples/people/agreement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	std, err := standard.Load(schemas.FS("housing-need/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	terms := func(rows string, fields ...string) *agreement.Terms {
		a, err := agreement.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		a.Rows, a.Fields = rows, nil
		for _, f := range fields {
			a.Fields = append(a.Fields, name.Field(f))
		}
		c, err := a.Compile(std)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := terms(`record.district == "A"`, "/reference", "/district", "/status")
	new := terms(`record.status == "open"`, "/reference", "/status", "/applicant/name")
	records := []string{
		`{"applicant":{"name":"x"},"district":"A","reference":"1","status":"open"}`,   // stays: loses district, gains a name
		`{"applicant":{"name":"x"},"district":"A","reference":"2","status":"closed"}`, // lost
		`{"district":"B","reference":"3","status":"open"}`,                            // gained, without a name
		`{"district":"B","reference":"4","status":"closed"}`,                          // neither
	}
	for _, c := range []struct {
		old, new *agreement.Terms
		want     agreement.Impact
	}{
		{old, new, agreement.Impact{Before: 2, After: 2, Gained: 1, Lost: 1, Fields: []agreement.FieldImpact{
			{Field: "/applicant/name", Class: standard.Personal, Gained: 1}, {Field: "/district", Class: standard.Personal, Lost: 2},
			{Field: "/reference", Class: standard.Internal, Gained: 1, Lost: 1}, {Field: "/status", Class: standard.Personal, Gained: 1, Lost: 1}}}},
		{nil, new, agreement.Impact{After: 2, Gained: 2, Fields: []agreement.FieldImpact{
			{Field: "/applicant/name", Class: standard.Personal, Gained: 1}, {Field: "/reference", Class: standard.Internal, Gained: 2}, {Field: "/status", Class: standard.Personal, Gained: 2}}}},
		{old, nil, agreement.Impact{Before: 2, Lost: 2, Fields: []agreement.FieldImpact{
			{Field: "/district", Class: standard.Personal, Lost: 2}, {Field: "/reference", Class: standard.Internal, Lost: 2}, {Field: "/status", Class: standard.Personal, Lost: 2}}}},
		{old, old, agreement.Impact{Before: 2, After: 2}},
	} {
		cmp := agreement.Compare(c.old, c.new)
		for i, r := range records {
			if err := cmp.Add(uint64(i), []byte(r), strictjson.DefaultLimits()); err != nil {
				t.Fatal(err)
			}
		}
		if c.old != nil && c.new != nil {
			// Of the records of two councils nothing stays: all of the one go, all of the other come.
			apart := agreement.Compare(c.old, c.new)
			before, after := apart.Apart()
			for i, r := range records[:3] {
				add := after
				if i < 2 {
					add = before
				}
				if err := add(uint64(i), []byte(r), strictjson.DefaultLimits()); err != nil {
					t.Fatal(err)
				}
			}
			if d := apart.Done(); d.Before != 2 || d.Lost != 2 || d.After != d.Gained || d.Gained != map[bool]int{true: 1}[c.new == new] {
				t.Errorf("apart: %+v", d)
			}
		}
		got := cmp.Done()
		if got.Before != c.want.Before || got.After != c.want.After || got.Gained != c.want.Gained || got.Lost != c.want.Lost || !slices.Equal(got.Fields, c.want.Fields) {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
}
