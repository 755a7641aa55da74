package generate_test

import (
	"bytes"
	"testing"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

// Every record made up is valid under the standard it is for, and the lane has
// the shape that the benchmarks speak of.
func TestRecordsAreValid(t *testing.T) {
	stds := map[string]*standard.Standard{}
	for _, f := range schemas.All() {
		s, err := standard.Load(f)
		if err != nil {
			t.Fatal(err)
		}
		stds[s.Name().Name.Slug()] = s
	}
	valid := func(std string, b []byte) map[string]any {
		t.Helper()
		v, err := strictjson.Decode(b, strictjson.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if ps := stds[std].Validate(v); len(ps) > 0 {
			t.Fatalf("%s: %+v\n%s", std, ps, b)
		}
		return v.(map[string]any)
	}
	const n = 2000
	size, x := 0, 0
	for i := range n {
		b := generate.PlanningApplication(7, i)
		if !bytes.Equal(b, generate.PlanningApplication(7, i)) {
			t.Fatal("the same seed and number gave another record")
		}
		size += len(b)
		if rec := valid("planning-application", b); rec["district"] == "X" {
			x++
			if len(rec) != 18 {
				t.Fatalf("%d fields, want 18", len(rec))
			}
		}
		valid("housing-need", generate.HousingNeed(7, i, "E07000998", []string{"E07000999", "E07000997"}))
	}
	if mean := size / n; mean < 790 || mean > 870 {
		t.Errorf("mean size is %d bytes, want about 830", mean)
	}
	if x < n/4 || x > n*35/100 {
		t.Errorf("%d of %d records are in district X, want about 30%%", x, n)
	}
}
