package simtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestWorlds runs a few worlds that are the same each time, and one that is new.
func TestWorlds(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	seeds := []uint64{1, 2, 3, 4, 5, rand.Uint64()}
	if testing.Short() {
		seeds = seeds[:2]
	}
	for _, seed := range seeds {
		run(t, seed)
	}
}

// TestSoak runs new worlds for as long as STILE_SOAK says, such as 1h.
func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("STILE_SOAK"))
	if err != nil {
		t.Skip("STILE_SOAK is no duration; make soak runs this")
	}
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < d && !t.Failed(); {
		run(t, rand.Uint64())
	}
}

func run(t *testing.T, seed uint64) {
	t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, seed, 2+int(seed%3))
			for range 2 {
				for range 45 {
					w.Step()
				}
				w.Check()
			}
		})
	})
}
