package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
)

// TestPace: how long the exchange took for each version of a record, of those alone for which
// the receiver has signed that it keeps them.
func TestPace(t *testing.T) {
	second := func(n int) time.Time { return time.Date(2026, 11, 1, 9, 0, n, 0, time.UTC) }
	held := func(n int) *node.DisclosureReceipt { return &node.DisclosureReceipt{At: second(n), Says: "held"} }
	copied := func(version, entry uint64, committed, at int, r *node.DisclosureReceipt) node.Disclosure {
		d := node.Disclosure{Way: node.LetCopy, To: "saltby.gov.uk", Version: version, RecordEntry: entry, At: second(at), Receipt: r}
		if committed >= 0 {
			d.Committed = second(committed)
		}
		return d
	}
	called := held(60)
	called.ByCall = true
	answer := copied(1, 9, 20, 20, held(50))
	answer.Way = node.LetAnswer
	elsewhere := copied(1, 3, 30, 33, held(37))
	elsewhere.To = "wetherholm.gov.uk"
	for _, x := range []struct {
		about string
		flow  []node.Disclosure
		want  []int // seconds
	}{
		{"nothing was let out", nil, nil},
		{"it waited for the receiver, and then to be signed for", []node.Disclosure{copied(1, 1, 0, 0, held(1)), copied(1, 2, 10, 15, held(19))}, []int{1, 9}},
		{"it was there before the agreement", []node.Disclosure{copied(1, 1, 0, 20, held(22))}, []int{2}},
		{"and before a version of it that widened it", []node.Disclosure{copied(1, 2, 5, 5, held(6)), copied(2, 1, 5, 30, held(33)), copied(2, 3, 31, 32, held(35))}, []int{1, 3, 4}},
		{"our log does not say since when", []node.Disclosure{copied(1, 1, -1, 20, held(22))}, []int{2}},
		{"the receiver's clock is slow", []node.Disclosure{copied(1, 1, 20, 20, held(18))}, []int{0}},
		{"sent again, and to another", []node.Disclosure{copied(1, 3, 30, 30, held(31)), elsewhere, copied(1, 3, 30, 40, held(41))}, []int{1, 7}},
		{"nobody signed that it is kept", []node.Disclosure{copied(1, 1, 0, 0, nil), copied(1, 2, 1, 1, called), copied(1, 3, 2, 2, &node.DisclosureReceipt{At: second(3), Says: "refused"}), answer}, nil},
	} {
		var p pace
		for _, d := range x.flow {
			p.add(d)
		}
		var got []int
		for _, d := range p.took {
			got = append(got, int(d.Seconds()))
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", x.about, got, x.want)
		}
		if n := len(x.flow); n > 0 && (!p.first.Equal(x.flow[0].At) || !p.last.Equal(x.flow[n-1].At)) {
			t.Errorf("%s: from %v to %v", x.about, p.first, p.last)
		}
	}
	for _, x := range []struct {
		took []time.Duration
		want int64 // ms; -1 is none
	}{
		{nil, -1},
		{[]time.Duration{3 * time.Second}, 3000},
		{[]time.Duration{9 * time.Second, time.Second, 2 * time.Second}, 2000},
		{[]time.Duration{9 * time.Second, time.Second}, 1000},
		{[]time.Duration{0}, 0},
	} {
		got := int64(-1)
		if ms := (&pace{took: x.took}).median(); ms != nil {
			got = *ms
		}
		if got != x.want {
			t.Errorf("the median of %v is %d ms, want %d", x.took, got, x.want)
		}
	}
}

// TestInSeconds: a time that is known to the second is not told as if it were known better.
func TestInSeconds(t *testing.T) {
	for ms, want := range map[int64]string{0: "less than 1 s", 1000: "1 s, give or take 1 s", 3_600_000: "3,600 s, give or take 1 s"} {
		if got := inSeconds(ms); got != want {
			t.Errorf("%d ms: %q, want %q", ms, got, want)
		}
	}
}
