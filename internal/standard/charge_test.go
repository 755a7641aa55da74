package standard

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A chargeCase is a record at an engine.
type chargeCase struct {
	name   string
	engine *engine
	record any
}

// chargeCases are all we have that a council might meet: the suite, the shipped
// standards with their examples and damaged copies, the published schemas with
// their publishers' own.
func chargeCases(t testing.TB) (out []chargeCase) {
	cases, remotes := suite(t)
	engines := map[string]*engine{}
	for _, c := range cases {
		v, err := strictjson.Decode(c.data, strictjson.Limits{})
		if err != nil {
			continue
		}
		id := c.draft + string(c.schema)
		if _, ok := engines[id]; !ok {
			engines[id], _ = suiteEngine(c, remotes)
		}
		if e := engines[id]; e != nil {
			out = append(out, chargeCase{c.key, e, v})
		}
	}
	for _, s := range shipped(t) {
		valid, invalid := s.Examples()
		for i, e := range append(valid, invalid...) {
			for _, x := range append([]any{e.Record}, mutants(rand.New(rand.NewPCG(5, uint64(i))), e.Record, 5)...) {
				out = append(out, chargeCase{s.Name().String(), s.engine, x})
			}
		}
	}
	root := filepath.Dir(data(t, "digital-planning"))
	for _, o := range offers(t) {
		if o.Key == nil {
			continue
		}
		s, err := Load(o.dir(t, root))
		if err != nil {
			continue
		}
		for i, r := range o.records(t, root) {
			if i < 15 {
				out = append(out, chargeCase{o.File, s.engine, r})
			}
		}
	}
	return out
}

// A verdict, its words and its cost are a function of record and standard: two
// hundred times over, from many goroutines at once, with the record's members
// put together in another order each time, they are the same. Under the race detector,
// which is to see two that meet, it is three times.
func TestVerdictIsAFunctionAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	all := chargeCases(t)
	repeats := 200
	if raceEnabled {
		repeats = 3
	}
	// Every one some times, and some of each kind two hundred times.
	sample := func(i int, c chargeCase) int {
		switch {
		case size(c.record) > 3000:
			return 3
		case i%20 == 0 || !strings.Contains(c.name, "|") && i%3 == 0:
			return repeats
		}
		return 3
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, 2))
			for i := range next {
				c := all[i]
				var first verdict
				var words string
				for n := range sample(i, c) {
					got := c.engine.judge(reordered(r, c.record), false)
					told := ""
					if got.err != nil {
						told = fmt.Sprintf("%+v", explain(got.err))
					}
					got.err = nil
					if n == 0 {
						first, words = got, told
					} else if got != first || told != words {
						t.Errorf("%s: %+v, then %+v\n%s\n%s", c.name, first, got, words, told)
						break
					}
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("%d records", len(all))
}

// reordered returns a copy of v whose members were put in, and so come out, in
// another order.
func reordered(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		keys := sortedKeys(v)
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, k := range keys {
			m[k] = reordered(r, v[k])
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i, e := range v {
			a[i] = reordered(r, e)
		}
		return a
	}
	return v
}

// BenchmarkCharge asks what a step is: how long judging takes for each step that
// it charges, over the suite, the shipped standards and the published schemas.
// The figures of the dearest tell whether any work is charged too little.
func BenchmarkCharge(b *testing.B) {
	all := chargeCases(b)
	type figure struct {
		name  string
		steps int
		took  time.Duration
	}
	for b.Loop() {
		var figures []figure
		var steps int
		var took time.Duration
		for _, c := range all {
			best := time.Duration(1 << 62)
			n := 0
			for range 5 { // the quickest: others are using the machine
				start := time.Now()
				got := c.engine.judge(c.record, false)
				best, n = min(best, time.Since(start)), got.steps
				if !got.valid {
					best = 0 // telling why is another walk, with a budget of its own
					break
				}
			}
			if best == 0 {
				continue
			}
			figures = append(figures, figure{c.name, n, best})
			steps, took = steps+n, took+best
		}
		perStep := func(f figure) float64 { return float64(f.took.Nanoseconds()) / float64(f.steps) }
		large := slices.DeleteFunc(slices.Clone(figures), func(f figure) bool { return f.steps < 300 })
		slices.SortFunc(large, func(x, y figure) int { return int(1000 * (perStep(y) - perStep(x))) })
		b.ReportMetric(float64(took.Nanoseconds())/float64(steps), "ns/step")
		b.ReportMetric(perStep(large[0]), "ns/step-dearest")
		b.ReportMetric(perStep(large[len(large)-1]), "ns/step-cheapest")
		for _, f := range large[:5] {
			b.Logf("%6.1f ns a step: %d steps, %v: %s", perStep(f), f.steps, f.took, clipText(f.name, 90))
		}
		for _, f := range large[len(large)-5:] {
			b.Logf("%6.1f ns a step: %d steps, %v: %s", perStep(f), f.steps, f.took, clipText(f.name, 90))
		}
		slices.SortFunc(figures, func(x, y figure) int { return y.steps - x.steps })
		for _, f := range figures[:5] {
			b.Logf("%8d steps, %v: %s", f.steps, f.took, clipText(f.name, 90))
		}
	}
}

// BenchmarkPublishedCost asks what the publishers' own examples cost, every one
// of every published schema that can be adopted, and what the planning records
// among them do, of some 40 kB each.
func BenchmarkPublishedCost(b *testing.B) {
	root := filepath.Dir(data(b, "digital-planning"))
	type figure struct {
		steps int
		took  time.Duration
	}
	var all, planning []figure
	for b.Loop() {
		all, planning = nil, nil
		for _, o := range offers(b) {
			if o.Key == nil {
				continue
			}
			s, err := Load(o.dir(b, root))
			if err != nil {
				continue
			}
			for _, r := range o.records(b, root) {
				f := figure{took: time.Hour}
				for range 5 {
					start := time.Now()
					got := s.engine.judge(r, false)
					f.steps, f.took = got.steps, min(f.took, time.Since(start))
					if got.spent {
						b.Fatalf("%s: not judged", o.File)
					}
				}
				all = append(all, f)
				if strings.HasPrefix(o.File, "digital-planning/") {
					planning = append(planning, f)
				}
			}
		}
	}
	tell := func(what string, fs []figure) {
		steps, took := make([]int, len(fs)), make([]time.Duration, len(fs))
		for i, f := range fs {
			steps[i], took[i] = f.steps, f.took
		}
		slices.Sort(steps)
		slices.Sort(took)
		at := func(p int) int { return min(len(fs)-1, len(fs)*p/100) }
		b.Logf("%s: %d examples; steps p50 %d p95 %d p99 %d max %d; time p50 %v p95 %v p99 %v max %v", what, len(fs),
			steps[at(50)], steps[at(95)], steps[at(99)], steps[len(steps)-1], took[at(50)], took[at(95)], took[at(99)], took[len(took)-1])
	}
	tell("all", all)
	tell("planning", planning)
}
