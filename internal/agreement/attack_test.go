package agreement

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// What somebody learns who compares counts: over weeks, between ways of counting, and
// between agreements. Each attack knows the rules, the speed at which records come,
// and everything but the council's secret and the records. An attack says a size when it is
// sure of it by nineteen to one. Beside each stands the same attack on counts
// that are only rounded, as they were, so that one sees that it would work.

func mixed(seed uint64) Mix {
	key := binary.BigEndian.AppendUint64(nil, seed)
	return func(b []byte) (out [32]byte) {
		h := hmac.New(sha256.New, key)
		h.Write(b)
		h.Sum(out[:0])
		return out
	}
}

// A town is records that fall into groups, some large and some small.
type town struct {
	r    *rand.Rand
	recs []map[string]any
}

func newTown(seed uint64, n int) *town {
	x := &town{r: rand.New(rand.NewPCG(1, seed))}
	z := rand.NewZipf(x.r, 1.3, 2, 9)
	for range n {
		x.recs = append(x.recs, map[string]any{"d": fmt.Sprint(z.Uint64()), "s": fmt.Sprint(z.Uint64() % 6), "k": fmt.Sprint(x.r.IntN(3))})
	}
	return x
}

// tallied counts those that pick picks, by fields.
func (x *town) tallied(t testing.TB, mix Mix, by []name.Field, pick func(int) bool) *Tally {
	t.Helper()
	out := NewTally(mix, CountThreshold, by)
	for i, b := range x.recs {
		if pick != nil && !pick(i) {
			continue
		}
		if err := out.Add(fmt.Sprint(i), b); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func everything() *Agreement { return &Agreement{Rows: "true"} }

// seenOf returns what leaves, by the group's values.
func seenOf(t testing.TB, x *Tally, a *Agreement) map[string]int {
	t.Helper()
	c, err := x.Counts(a, "2026-11-23", Budget{1, 150})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, g := range c.Groups {
		out[cellName(g.Of)] = g.Count
	}
	return out
}

func cellName(of []*string) (s string) {
	for _, v := range of {
		s += *v + " "
	}
	return s
}

// rounded returns what left before: rounded, and without small groups.
func rounded(sizes map[string]int) map[string]int {
	out := map[string]int{}
	for k, n := range sizes {
		if n >= CountThreshold {
			out[k] = (n + CountRounding/2) / CountRounding * CountRounding
		}
	}
	return out
}

func (x *town) sizes(by []name.Field) map[string]int {
	out := map[string]int{}
	for _, b := range x.recs {
		k := ""
		for _, f := range by {
			k += b[string(f[1:])].(string) + " "
		}
		out[k]++
	}
	return out
}

// A watcher believes of one group how many records there are and by how much the count
// is moved, each pair with a weight, and learns from what is shown.
type watcher struct {
	noise int // at most
	came  []float64
	low   int         // the smallest size it thinks possible
	p     [][]float64 // by size from low, and by noise
}

func newWatcher(noise int, rate float64) *watcher {
	w := &watcher{noise: noise, came: []float64{math.Exp(-rate)}, low: CountThreshold}
	for k := 1; k < 60 && (float64(k) < rate+1 || w.came[k-1] > 1e-9); k++ {
		w.came = append(w.came, w.came[k-1]*rate/float64(k))
	}
	for range 900 {
		row := make([]float64, 2*noise+1)
		for e := range row {
			row[e] = 1
		}
		w.p = append(w.p, row)
	}
	return w
}

// pass has some time go by, in which records came at the rate.
func (w *watcher) pass() {
	next := make([][]float64, len(w.p)+len(w.came)-1)
	for n := range next {
		next[n] = make([]float64, 2*w.noise+1)
	}
	for n, row := range w.p {
		sum := 0.0
		for e, p := range row {
			sum += p
			next[n][e] += p * w.came[0]
		}
		for k := 1; k < len(w.came); k++ {
			for e := range next[n+k] {
				next[n+k][e] += sum * w.came[k] / float64(2*w.noise+1)
			}
		}
	}
	w.p = next
}

// see learns from a count that is shown. It reports whether the size is known by
// nineteen to one, and which it is.
func (w *watcher) see(count int) (size int, sure bool) {
	total, best := 0.0, 0.0
	first, last := -1, 0
	for i, row := range w.p {
		sum := 0.0
		for e := range row {
			if v := w.low + i + e - w.noise; v < CountThreshold || (v+CountRounding/2)/CountRounding*CountRounding != count {
				row[e] = 0
			}
			sum += row[e]
		}
		if sum > 0 {
			if last = i; first < 0 {
				first = i
			}
		}
		total += sum
		if sum > best {
			size, best = w.low+i, sum
		}
	}
	if total == 0 {
		return 0, false // what it thought cannot be: it learns nothing more
	}
	w.low, w.p = w.low+first, w.p[first:last+1]
	for _, row := range w.p {
		for e := range row {
			row[e] /= total
		}
	}
	return size, best/total >= 0.95
}

// TestWatchingForAYear: one record comes a day, and somebody asks whenever an answer is new.
func TestWatchingForAYear(t *testing.T) {
	by := []name.Field{"/d", "/s", "/k"}
	for _, n := range []int{300, 1000, 3000} {
		if raceEnabled && n > 300 {
			continue // there is nothing to race: the figures are of a build without
		}
		read := map[string]int{}
		cells := 0
		for _, way := range []string{"rounded, each day", "as now, each week"} {
			x := newTown(uint64(n), n)
			start := x.sizes(by)
			every, noise := 1, 0
			if way != "rounded, each day" {
				every, noise = PeriodDays, CountNoise
			}
			watchers, exact, ever := map[string]*watcher{}, map[string]bool{}, map[string]bool{}
			for day := range 365 {
				x.recs = append(x.recs, x.recs[x.r.IntN(len(x.recs))])
				if day%every != 0 {
					continue
				}
				sizes := x.sizes(by)
				out := rounded(sizes)
				if noise > 0 {
					out = seenOf(t, x.tallied(t, mixed(7), by, nil), everything())
				}
				for k, n := range sizes {
					w := watchers[k]
					if w == nil && out[k] == 0 {
						continue // it is not watched before it is there
					}
					if w == nil {
						w = newWatcher(noise, float64(every)*float64(start[k])/float64(len(x.recs)))
						watchers[k] = w
					} else {
						w.pass()
					}
					if out[k] == 0 {
						continue // left out, which may have two reasons
					}
					ever[k] = true
					if size, sure := w.see(out[k]); sure && size == n {
						exact[k] = true
					}
				}
			}
			read[way], cells = len(exact), len(ever)
			t.Logf("%d records and one more a day for a year, %s: the exact size of %d of %d shown groups was read", n, way, len(exact), len(ever))
		}
		if n == 3000 && read["rounded, each day"]*4 < cells {
			t.Errorf("the attack reads %d of %d groups of counts that are only rounded: it proves nothing", read["rounded, each day"], cells)
		}
		if got := read["as now, each week"]; got*50 > cells {
			t.Errorf("%d records: the exact size of %d of %d groups was read", n, got, cells)
		}
	}
}

// TestOverlappingWaysOfCounting: somebody asks in one week by all fields and by each of
// their subsets, and narrows down what one way leaves out of another.
func TestOverlappingWaysOfCounting(t *testing.T) {
	fine, coarse := []name.Field{"/d", "/s", "/k"}, []name.Field{"/d", "/s"}
	for _, c := range []struct {
		way   string
		slack int
	}{{"rounded", CountRounding / 2}, {"as now", CountRounding/2 + CountNoise}} {
		tried, exact, there := 0, 0, 0
		for seed := range uint64(towns()) {
			x := newTown(seed, 300+int(seed)*70)
			sizes := x.sizes(fine)
			f, g := rounded(sizes), rounded(x.sizes(coarse))
			if c.way == "as now" {
				f, g = seenOf(t, x.tallied(t, mixed(seed), fine, nil), everything()), seenOf(t, x.tallied(t, mixed(seed), coarse, nil), everything())
			}
			for k, n := range g {
				low, high, hidden := n-c.slack, n+c.slack, ""
				missing := 0
				for _, v := range []string{"0 ", "1 ", "2 "} {
					if m, ok := f[k+v]; ok {
						low, high = low-(m+c.slack), high-(m-c.slack)
					} else {
						missing, hidden = missing+1, k+v
					}
				}
				if missing != 1 {
					continue // two or three are left out: there is nothing to subtract
				}
				low, high = max(low, 0), min(high, CountThreshold-1)
				tried++
				if low == high && sizes[hidden] == low {
					exact++
				}
				if low > 0 && sizes[hidden] > 0 && sizes[hidden] < CountThreshold {
					there++
				}
			}
		}
		t.Logf("%d towns, %s: %d places where one group alone is left out; the exact size of %d was read, and of %d that there is somebody", towns(), c.way, tried, exact, there)
		if c.way == "rounded" && (tried < 20 || there == 0) {
			t.Error("the attack finds nothing in counts that are only rounded: it proves nothing")
		}
		if c.way == "as now" && exact+there > 0 {
			t.Errorf("%d exact sizes, %d groups known to be there", exact, there)
		}
	}
}

func towns() int {
	if raceEnabled {
		return 20
	}
	return 40
}

// TestDifferencing: two agreements differ by one person, and receivers who work together
// ask under both for what differs. They guess from the difference whether she is in a group.
func TestDifferencing(t *testing.T) {
	for _, way := range []string{"rounded, when a count steps", "as now"} {
		right, sure, tried := 0, 0, 0
		for seed := range uint64(400) {
			x := newTown(seed, 60)
			by := []name.Field{}
			in := seed%2 == 0 // she is among those who are counted
			pick := func(i int) bool { return i != 0 || in }
			without := func(i int) bool { return i != 0 }
			a, b := everything(), &Agreement{Rows: `record.reference != "HN-1"`}
			var with, wo int
			if way == "as now" {
				with, wo = seenOf(t, x.tallied(t, mixed(seed), by, pick), a)[""], seenOf(t, x.tallied(t, mixed(seed), by, without), b)[""]
			} else {
				// Counts that are only rounded: the attack waits until the one steps.
				n := 59
				for ; (n+CountRounding/2)%CountRounding != 0; n++ {
				}
				m := n - 1
				if in {
					m = n
				}
				with, wo = (m+CountRounding/2)/CountRounding*CountRounding, (n-1+CountRounding/2)/CountRounding*CountRounding
			}
			tried++
			if (with > wo) == in {
				right++
			}
			// What is certain whatever the secret is: more than the noise can explain.
			if way == "as now" && (with-wo > 2*(CountNoise+CountRounding/2) || wo-with > 2*(CountNoise+CountRounding/2)) {
				sure++
			}
		}
		t.Logf("%s: the guess whether one person is counted is right in %d of %d (chance is half), certain in %d", way, right, tried, sure)
		if way == "as now" && (right > tried*60/100 || sure > 0) {
			t.Errorf("%d of %d right, %d certain", right, tried, sure)
		}
		if way != "as now" && right != tried {
			t.Error("the attack on counts that are only rounded does not work: it proves nothing")
		}
	}
}

// TestColludingReceivers: receivers with agreements of one rule are given the same and
// learn nothing together. Under rules that are written in unlike ways and pick the same they
// have as many draws as agreements: ten together still read few sizes.
func TestColludingReceivers(t *testing.T) {
	x, by := newTown(3, 3000), []name.Field{"/d", "/s", "/k"}
	tally := x.tallied(t, mixed(3), by, nil)
	first := seenOf(t, tally, everything())
	if second := seenOf(t, tally, &Agreement{Name: "northmoor.gov.uk/other", Version: 4, Rows: "true"}); !maps.Equal(first, second) {
		t.Error("two agreements with one rule are told two things of the same records")
	}
	sizes := x.sizes(by)
	for _, agreements := range []int{2, 4, 10} {
		low, high := map[string]int{}, map[string]int{}
		for i := range agreements {
			for k, n := range seenOf(t, tally, &Agreement{Rows: fmt.Sprintf("true || %d == 0", i)}) {
				l, h := n-CountNoise-2, n+CountNoise+2
				if _, ok := low[k]; !ok {
					low[k], high[k] = l, h
				}
				low[k], high[k] = max(low[k], l), min(high[k], h)
			}
		}
		exact := 0
		for k := range low {
			if low[k] == high[k] && sizes[k] == low[k] {
				exact++
			}
		}
		t.Logf("%d agreements that pick the same by unlike rules: the exact size of %d of %d groups", agreements, exact, len(low))
		if agreements == 2 && exact > 0 {
			t.Errorf("two receivers read %d of %d exact sizes", exact, len(low))
		}
	}
}

// TestSums: a sum that one record makes up, or that a second could reckon, is not
// shown; the others are near, and not the sum.
func TestSums(t *testing.T) {
	by := []name.Field{"/d"}
	add := func(x *Tally, d string, amounts ...float64) {
		for i, a := range amounts {
			if err := x.Add(fmt.Sprint(d, i), map[string]any{"d": d, "amount": amountOf(a)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	even, dominated, pair := slices.Repeat([]float64{100}, 60), slices.Repeat([]float64{1}, 60), slices.Repeat([]float64{1}, 60)
	dominated[7], pair[7], pair[8] = 1000, 500, 510
	near, seen := 0, map[int64]bool{}
	for seed := range uint64(60) {
		x := NewTally(mixed(seed), CountThreshold, by, "/amount")
		add(x, "even", even...)
		add(x, "one", dominated...)
		add(x, "two", pair...)
		c, err := x.Counts(everything(), "2026-11-23", Budget{1, 150})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range c.Groups {
			s := g.Sums[0]
			if hidden := *g.Of[0] != "even"; hidden != (s == nil) {
				t.Fatalf("group %s: the sum is shown %t", *g.Of[0], s != nil)
			}
			if s != nil {
				seen[*s] = true
				if *s < 5900 || *s > 6100 || *s == 6000 {
					t.Errorf("a sum of 6000 is shown as %d", *s)
				}
				near++
			}
		}
	}
	if near != 60 || len(seen) < 5 {
		t.Errorf("%d sums were shown, of %d sizes", near, len(seen))
	}
}

// TestRecordsOfOnePerson: what one person has in many records is no group, and no sum of many.
// Records that name nobody are each taken for somebody's.
func TestRecordsOfOnePerson(t *testing.T) {
	x := NewTally(mixed(3), CountThreshold, []name.Field{"/d"}, "/amount")
	x.About(func(record map[string]any) string { s, _ := record["who"].(string); return s })
	id := 0
	add := func(d, who string, n int, amount float64) {
		for range n {
			id++
			if err := x.Add(fmt.Sprint(id), map[string]any{"d": d, "who": who, "amount": amountOf(amount)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add("one", "Ann", 40, 10)
	for i := range 9 {
		add("nine", fmt.Sprint(i), 5, 10)
	}
	for i := range 30 {
		add("many", fmt.Sprint(i), 2, 10)
		add("most", fmt.Sprint(i), 1, 10) // and one has more than all others, in small sums
		add("nobody", "", 1, 10)
	}
	add("most", "Ann", 40, 10)
	c, err := x.Counts(everything(), "2026-11-23", Budget{1, 150})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, g := range c.Groups {
		got[*g.Of[0]] = g.Sums[0] != nil
	}
	if want := map[string]bool{"many": true, "most": false, "nobody": true}; !maps.Equal(got, want) {
		t.Errorf("groups, and whether their sums are shown: %v, want %v", got, want)
	}
}

// TestOneValueChanges: the records of a group stay the same from week to week, and one of them has
// another amount. Who subtracts the two sums does not know by how much it changed.
func TestOneValueChanges(t *testing.T) {
	const seeds, change = 300, 300.0
	right := 0
	for seed := range uint64(seeds) {
		var shown []float64
		for _, amount := range []float64{100, 100 + change} {
			x := NewTally(mixed(seed), CountThreshold, nil, "/amount")
			for i := range 62 {
				a := 100.0
				switch i {
				case 0:
					a = 1000 // the largest, which stays
				case 7:
					a = amount
				}
				if err := x.Add(fmt.Sprint(i), map[string]any{"amount": amountOf(a)}); err != nil {
					t.Fatal(err)
				}
			}
			c, err := x.Counts(everything(), "2026-11-23", Budget{1, 150})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Groups) != 1 || c.Groups[0].Sums[0] == nil {
				t.Fatal("no sum is shown")
			}
			shown = append(shown, float64(*c.Groups[0].Sums[0]))
		}
		if d := shown[1] - shown[0] - change; d > -30 && d < 30 {
			right++
		}
	}
	t.Logf("within a tenth of the change %d times of %d", right, seeds)
	if right > seeds/5 {
		t.Errorf("who subtracts is within a tenth of the change %d times of %d", right, seeds)
	}
}

// TestSumsBeyondNumbers: records whose numbers add up to more than a number can be have a count
// and no sum, and what is counted is still within the rules of who asked.
func TestSumsBeyondNumbers(t *testing.T) {
	for _, amount := range []string{"1e308", "-1e308", "1e300"} {
		x := NewTally(mixed(1), CountThreshold, nil, "/amount")
		for i := range 30 {
			if err := x.Add(fmt.Sprint(i), map[string]any{"amount": json.Number(amount)}); err != nil {
				t.Fatal(err)
			}
		}
		c, err := x.Counts(everything(), "2026-11-23", Budget{1, 150})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Groups) != 1 || c.Groups[0].Sums[0] != nil {
			t.Errorf("30 times %s: %d groups, and a sum is shown", amount, len(c.Groups))
		}
		c.Agreement, c.Version = "northmoor.gov.uk/plans", 1
		if _, err := ParseCounts(c.Body()); err != nil {
			t.Errorf("30 times %s: who asked cannot read it: %v", amount, err)
		}
	}
}

func amountOf(x float64) any { return json.Number(fmt.Sprint(x)) }
