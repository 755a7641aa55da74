package standard

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// What is called harmless is: over the schemas of the JSON Schema test suite,
// each against its neighbours and against damaged copies of itself, a record
// that was valid and is not means that the difference was called major, and one
// that was not and is means that it was called minor at least.
func TestCompareIsSound(t *testing.T) {
	cases, _ := suite(t)
	type group struct {
		schemas []string
		data    []any
	}
	groups := map[string]*group{}
	for _, c := range cases {
		file, _, _ := strings.Cut(c.key, " | ")
		if strings.Contains(string(c.schema), "localhost:1234") || strings.Contains(file, "/format/") {
			continue
		}
		g := groups[file]
		if g == nil {
			g = &group{}
			groups[file] = g
		}
		if s := string(c.schema); !slices.Contains(g.schemas, s) && len(g.schemas) < 17 {
			g.schemas = append(g.schemas, s)
		}
		if v, err := strictjson.Decode(c.data, strictjson.Limits{}); err == nil && len(g.data) < 120 {
			g.data = append(g.data, v)
		}
	}
	files := make([]string, 0, len(groups))
	for f := range groups {
		files = append(files, f)
	}
	slices.Sort(files)
	pairs, breaking, loosening, patches := 0, 0, 0, 0
	for _, file := range files {
		g := groups[file]
		r := rand.New(rand.NewPCG(7, uint64(len(file))))
		var stds []*Standard
		var texts []string
		load := func(text string) {
			if s, err := Load(pack(text)); err == nil {
				stds, texts = append(stds, s), append(texts, text)
			}
		}
		for _, text := range g.schemas {
			load(text)
			v, err := strictjson.Decode([]byte(text), schemaLimits())
			if err != nil {
				continue
			}
			for _, m := range mutants(r, v, 6) {
				if b, err := json.Marshal(m); err == nil {
					load(string(b))
				}
			}
		}
		data := slices.Clone(g.data)
		for _, v := range g.data[:min(len(g.data), 20)] {
			data = append(data, mutants(r, v, 2)...)
		}
		verdicts := make([][]bool, len(stds))
		for i, s := range stds {
			for _, v := range data {
				got := s.engine.judge(v, false)
				verdicts[i] = append(verdicts[i], got.valid && !got.spent && !got.broken)
			}
		}
		for i := range stds {
			for _, j := range []int{i - 1, i + 1, i + 2, (i + 7) % len(stds), r.IntN(len(stds))} {
				if j < 0 || j >= len(stds) {
					continue
				}
				pairs++
				d := Compare(stds[i], stds[j])
				if d.Needs == Patch {
					patches++
				}
				for k := range data {
					was, is := verdicts[i][k], verdicts[j][k]
					if was && !is {
						breaking++
						// A new field where any field was taken is counted as
						// minor, and says why.
						tolerated := slices.ContainsFunc(d.Changes, func(c Change) bool { return strings.HasPrefix(c.Why, "a record that already used this name") })
						if d.Needs != Major && !tolerated {
							t.Errorf("%s: %s for\n\t%s\n\t%s\n\twhich refuses %s\n\t%+v", file, d.Needs, texts[i], texts[j], strictjson.Canonical(data[k]), d.Changes)
							break
						}
					}
					if is && !was {
						loosening++
						if d.Needs == Patch {
							t.Errorf("%s: patch for\n\t%s\n\t%s\n\twhich takes %s\n\t%+v", file, texts[i], texts[j], strictjson.Canonical(data[k]), d.Changes)
							break
						}
					}
				}
			}
		}
	}
	t.Logf("%d pairs, %d called patch; %d records newly refused, %d newly taken", pairs, patches, breaking, loosening)
	if pairs < 1000 || breaking < 1000 || patches < 50 {
		t.Error("too little was tried")
	}
}
