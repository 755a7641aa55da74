package audit

import (
	"fmt"
	"slices"
	"testing"
)

// TestPick: the same seed picks the same names whatever their order, another picks others,
// and each name has about the same chance.
func TestPick(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("council-%d", i))
	}
	of := func(seed string, names []string) (picked []string) {
		for _, i := range (Sample{Size: 10, Seed: seed}).Pick(names) {
			picked = append(picked, names[i])
		}
		return slices.Sorted(slices.Values(picked))
	}
	first := of("a", names)
	turned := slices.Clone(names)
	slices.Reverse(turned)
	if len(first) != 10 || !slices.Equal(first, of("a", turned)) || slices.Equal(first, of("b", names)) {
		t.Errorf("%v, turned round %v, by another seed %v", first, of("a", turned), of("b", names))
	}
	times := map[string]int{}
	for i := range 1000 {
		for _, n := range of(fmt.Sprint(i), names) {
			times[n]++
		}
	}
	for _, n := range names {
		if times[n] < 60 || times[n] > 145 { // 100 in the mean, by a deviation of 9.5
			t.Errorf("%s was picked %d times of 1000", n, times[n])
		}
	}
	if all := (Sample{Size: 9, Seed: "a"}).Pick(names[:3]); !slices.Equal(all, []int{0, 1, 2}) {
		t.Errorf("of three: %v", all)
	}
}
