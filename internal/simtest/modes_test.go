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
	seeds := []uint64{6}
	if n, err := strconv.ParseUint(os.Getenv("STILE_SEEDS"), 10, 32); err == nil {
		seeds = nil
		for i := range n {
			seeds = append(seeds, i+1)
		}
	} else if n, err := strconv.ParseUint(os.Getenv("STILE_SEED"), 10, 64); err == nil {
		seeds = []uint64{n}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newWhole(t, seed, plant{})
				for range 2 {
					for range 45 {
						l.step()
						l.sound()
					}
					l.check()
				}
				l.succeed()
				places := []string{"wire", "answers", "files", "backup"}
				if seed == 6 { // in which every mode lets something out
					places = append(places, "by replicate", "by lookup", "by private-lookup", "by aggregate", "by handover", "by break-glass")
				}
				for _, where := range places {
					if l.seen[where] == 0 {
						t.Errorf("no value was ever found (%s), so that to look there proves nothing", where)
					}
				}
				t.Log("done:", l.deeds, "values found:", l.seen)
			})
		})
	}
}

// TestWholeFails: for each mode, a gate that lets out one field, or rows, that the oracle
// withholds is noticed, in every place where the mode brings a value to.
func TestWholeFails(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	kept := []string{"answers", "backup", "files", "wire"}
	shown := []string{"answers", "wire"}
	for i, x := range []struct {
		mode  string
		where []string
	}{
		{"replicate", kept}, {"lookup", shown}, {"private-lookup", shown}, {"aggregate", shown}, {"handover", kept}, {"break-glass", kept},
	} {
		for _, rows := range []bool{false, true} {
			if os.Getenv("STILE_SEEDS") == "" && rows != (i%2 == 0) {
				continue // the other half is tried by make worlds
			}
			t.Run(fmt.Sprint(x.mode, " rows=", rows), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newWhole(t, uint64(100+i), plant{x.mode, rows})
					l.press(x.mode)
					if slices.Contains(x.where, "files") {
						l.check()
					}
					for _, where := range x.where {
						if l.wrong[where] == 0 {
							t.Errorf("what the gate lets out is not noticed in %s: %v of %v", where, l.wrong, l.seen)
						}
					}
				})
			})
		}
	}
}
