package simtest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
)

// TestWhole: whatever a council and its partners do, in every mode at once, no value that an
// oracle written apart withholds is ever at a partner. STILE_SEEDS says how many worlds, and
// STILE_SEED which one.
func TestWhole(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	seeds := []uint64{28, 3} // in which every mode lets something out; the second with a footprint
	if n, err := strconv.ParseUint(os.Getenv("STILE_SEEDS"), 10, 32); err == nil {
		seeds = nil
		for i := range n {
			seeds = append(seeds, i+1)
		}
	} else if n, err := strconv.ParseUint(os.Getenv("STILE_SEED"), 10, 64); err == nil {
		seeds = []uint64{n}
	}
	found, worlds := map[string]int{}, 0 // values, by where, in all worlds
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newWhole(t, seed, plant{})
				l.live(45)
				if !l.fens { // which takes as long as twice without
					l.live(45)
				}
				l.succeed()
				if seed == 3 {
					l.poolFails()
				}
				worlds++
				for where, n := range l.seen {
					found[where] += n
				}
				for _, where := range []string{"wire", "answers", "files", "backup"} {
					if l.seen[where] == 0 {
						t.Errorf("no value was ever found (%s), so that to look there proves nothing", where)
					}
				}
				t.Log("done:", l.deeds, "values found:", l.seen)
			})
		})
	}
	if worlds < len(seeds) || len(seeds) == 1 {
		return // not every mode lets something out in every world
	}
	for _, mode := range []string{"replicate", "lookup", "private-lookup", "aggregate", "handover", "break-glass", "origin", "onward", "footprint", "contribute"} {
		if found["by "+mode] == 0 {
			t.Errorf("no value was found by %s in any world, so that to look there proves nothing", mode)
		}
	}
}

// TestWholeFails: for each mode, a gate that lets out one field, or rows, that the oracle
// withholds is noticed, in every place where the mode brings a value to.
func TestWholeFails(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	notices := func(t *testing.T, seed uint64, p plant, modes []string, where ...string) {
		synctest.Test(t, func(t *testing.T) {
			l := newWhole(t, seed, p)
			for _, mode := range modes {
				l.press(mode)
				where = append(where, "by "+mode)
			}
			if slices.Contains(where, "files") {
				l.check()
			}
			for _, where := range where {
				if l.wrong[where] == 0 {
					t.Errorf("what the gate lets out is not noticed (%s): %v of %v", where, l.wrong, l.seen)
				}
			}
		})
	}
	modes := []string{"replicate", "lookup", "private-lookup", "aggregate", "handover", "break-glass", "onward", "footprint"}
	if os.Getenv("STILE_SEEDS") == "" {
		notices(t, 100, plant{mode: everyMode}, modes, "answers", "wire", "backup", "files")
		return
	}
	t.Run(byFirst, func(t *testing.T) {
		notices(t, 110, plant{mode: byFirst}, []string{"onward"}, "answers", "wire", "backup", "files")
	})
	for i, mode := range modes { // each alone, so that the place is that of the mode
		where := []string{"answers", "wire"}
		if mode == "replicate" || mode == "handover" || mode == "break-glass" || mode == "onward" || mode == "footprint" {
			where = append(where, "backup", "files")
		}
		for _, rows := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, " rows=", rows), func(t *testing.T) {
				notices(t, uint64(120+i), plant{mode: mode, rows: rows}, modes[i:i+1], where...)
			})
		}
	}
}
