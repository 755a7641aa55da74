package agreement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// Who subtracts the counts of one day by more fields from those by fewer never
// finds the exact size of a group of one to eight people that is not shown: the
// rounding leaves at least nine sizes to choose from, and only at the ends of what
// a hidden group can be, nobody and nine, can these shrink to one.
func TestMarginsHideSmallGroups(t *testing.T) {
	fine, coarse := []name.Field{"/d", "/s", "/k"}, []name.Field{"/d", "/s"}
	tried := 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		z := rand.NewZipf(r, 1.3, 2, 9)
		byFine, byCoarse := NewTally(fine), NewTally(coarse)
		for range 300 + r.IntN(3000) {
			body := map[string]any{"d": fmt.Sprint(z.Uint64()), "s": fmt.Sprint(z.Uint64() % 6), "k": fmt.Sprint(r.IntN(3))}
			for _, x := range []*Tally{byFine, byCoarse} {
				if err := x.Add(body); err != nil {
					t.Fatal(err)
				}
			}
		}
		shown := func(x *Tally) Counts {
			c, err := x.Counts(&Agreement{}, "2026-11-28")
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		below := CountRounding / 2
		parts := map[string][]int{} // what is shown of a coarse group, by fine ones
		for _, g := range shown(byFine).Groups {
			k := *g.Of[0] + " " + *g.Of[1]
			parts[k] = append(parts[k], g.Count)
		}
		for _, g := range shown(byCoarse).Groups {
			of := parts[*g.Of[0]+" "+*g.Of[1]]
			if len(of) != 2 {
				continue // not one single group is hidden
			}
			low, high := g.Count-below, g.Count+below
			for _, n := range of {
				low, high = low-(n+below), high-(n-below)
			}
			low, high = max(low, 0), min(high, CountThreshold-1)
			tried++
			if low > high || low == high && low > 0 && high < CountThreshold-1 {
				t.Errorf("seed %d: the hidden group of %s %s must be %d to %d", seed, *g.Of[0], *g.Of[1], low, high)
			}
		}
	}
	if tried < 20 {
		t.Errorf("%d hidden groups were tried, too few to say anything", tried)
	}
}
