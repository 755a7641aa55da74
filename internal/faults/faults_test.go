package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestFewFaults does some of the kinds of harm a few times: nothing that was
// acknowledged is lost, doubled or wrong without a word.
func TestFewFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs the program")
	}
	w, err := newWorld(t.Context(), 1, 1, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer w.remove()
	w.rng = rand.New(rand.NewPCG(7, 7))
	for _, k := range kinds {
		if !strings.Contains(k.name, "random moment") && !strings.Contains(k.name, "(.mem)") && !strings.Contains(k.name, "(.sst)") && !strings.Contains(k.name, "private keys") {
			continue
		}
		var c count
		if err := k.do(t.Context(), w, &c); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		if c.trials == 0 || c.lost+c.doubled+c.wrong > 0 {
			t.Errorf("%s\n%s", row{name: k.name, count: &c}, strings.Join(c.notes, "\n"))
		}
	}
}

// TestCompareSees holds lists that leave out, double and alter a record against what was
// written: each is seen.
func TestCompareSees(t *testing.T) {
	t.Parallel()
	f := &folder{wrote: map[string]string{"a": "1", "b": "2"}, tried: map[string]string{"c": "3"}}
	for list, want := range map[string][3]int{
		`{"reference":"a","description":"1"}` + "\n" + `{"reference":"b","description":"2"}`:                                                {0, 0, 0},
		`{"reference":"a","description":"1"}` + "\n" + `{"reference":"b","description":"2"}` + "\n" + `{"reference":"c","description":"3"}`: {0, 0, 0},
		`{"reference":"a","description":"1"}`: {1, 0, 0},
		`{"reference":"a","description":"1"}` + "\n" + `{"reference":"b","description":"2"}` + "\n" + `{"reference":"b","description":"2"}`: {0, 1, 0},
		`{"reference":"a","description":"1"}` + "\n" + `{"reference":"b","description":"1"}`:                                                {0, 0, 1},
		`{"reference":"a","description":"1"}` + "\n" + `{"reference":"b","description":"2"}` + "\n" + `{"reference":"d","description":"4"}`: {0, 0, 1},
	} {
		if lost, doubled, wrong := f.compare([]byte(list)); [3]int{lost, doubled, wrong} != want {
			t.Errorf("%s\nlost %d, doubled %d, wrong %d, want %v", list, lost, doubled, wrong, want)
		}
	}
}
