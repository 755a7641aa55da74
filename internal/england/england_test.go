package england

import (
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/simtest"
	"github.com/stile-exchange/stile/node/name"
)

// TestEngland runs a small country for a few days. STILE_ENGLAND names others by their
// number of councils, which live for a month, one after another: make england.
func TestEngland(t *testing.T) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	sizes := strings.Fields(os.Getenv("STILE_ENGLAND"))
	if len(sizes) == 0 {
		live(t, Size{Councils: least, Footprints: 1, Days: 4, Daily: 2, Workday: time.Minute})
		return
	}
	// Most of the memory is tables that hold no pointers: to collect oftener costs little.
	defer debug.SetGCPercent(debug.SetGCPercent(75))
	var costs []Cost
	for _, s := range sizes {
		n, err := strconv.Atoi(s)
		if err != nil || n < least {
			t.Fatalf("STILE_ENGLAND: %q is no number of councils, from %d on", s, least)
		}
		costs = append(costs, live(t, Size{Councils: n, Footprints: (n + 31) / 32, Days: 30, Daily: 3}))
	}
	t.Logf("\n%s", Table(costs...))
	if n := len(costs); n > 1 {
		t.Logf("\n%s", Tenfold(costs[n-2], costs[n-1]))
	}
}

// TestEnglandProcesses runs a day with as many processes as STILE_PROCESSES says, two of
// them standards bodies: make england PROCESSES=20.
func TestEnglandProcesses(t *testing.T) {
	text := os.Getenv("STILE_PROCESSES")
	if text == "" {
		t.Skip("STILE_PROCESSES is not set; make england PROCESSES=20")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < keepers+3 {
		t.Fatalf("STILE_PROCESSES: %q is no number of processes, from %d on", text, keepers+3)
	}
	bin := Program(t)
	packets, bytes := Loopback()
	began := time.Now()
	c := FoundProcesses(t, 1, bin, Size{Councils: n - 2, Footprints: (n + 29) / 30, Days: 1, Daily: 3})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", c.Story(), c.logTail())
		}
	})
	founded := time.Since(began)
	c.Day()
	if !slices.Equal(c.Found, []name.Council{c.liar.Name}) {
		t.Errorf("an auditor finds %v to say what their records do not bear out, and it is %s", c.Found, c.liar.Name)
	}
	last := c.Adoption[len(c.Adoption)-1]
	if last.Counted != last.Truth || last.Truth == 0 {
		t.Errorf("the standards body counts %d councils, and it is %d", last.Counted, last.Truth)
	}
	verified := c.Audit(5)
	names, used := c.End()
	p, b := Loopback()
	t.Logf("%d processes, founded in %s, a day in %s; %d records written; %d packets and %d bytes over loopback, of whatever runs on this machine\n"+
		"%d bundles of a draw verify; adopting are %d by the standards body's count, %d in truth\n%s\n%s",
		len(names), founded.Round(time.Second), (time.Since(began) - founded).Round(time.Second), c.offers, p-packets, b-bytes, verified, last.Counted, last.Truth, c.Story(), UsageTable(names, used))
}

// TestTenfold: what doubled with the councils is ten times as much, and what grew with
// their square a hundred times.
func TestTenfold(t *testing.T) {
	a := Cost{Councils: 4, Days: 2, Messages: 100, Bytes: 1 << 20, Processor: time.Minute, Memory: 2 << 20, Disk: 1 << 20}
	b := Cost{Councils: 8, Days: 2, Messages: 200, Bytes: 4 << 20, Processor: 2 * time.Minute, Memory: 2 << 20, Disk: 2 << 20}
	got := strings.Join(strings.Fields(Tenfold(b, a)), " ")
	for _, want := range []string{"extrapolation, not measured: 80 councils", "messages 2000 k = 1.00", "bytes 400 MiB k = 2.00", "processor 20m0s k = 1.00", "memory 2 MiB k = 0.00"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
	if a.Days = 3; Tenfold(a, b) != "" {
		t.Error("runs of different lengths are compared")
	}
}

func live(t *testing.T, size Size) (cost Cost) {
	began, before := time.Now(), Processor()
	synctest.Test(t, func(t *testing.T) {
		c := Found(t, 1, size)
		c.Live()
		cost = c.Cost(before)
		cost.Took = time.Since(began)
		if os.Getenv("STILE_ENGLAND") != "" {
			t.Logf("before the auditor comes:\n%s", Table(cost)) // of a run that fails, too
		}
		verified := c.Audit(20)
		if c.liar == nil {
			t.Error("nobody lied, so nobody could be found")
		} else if !slices.Equal(c.Found, []name.Council{c.liar.Name}) {
			t.Errorf("an auditor finds %v to say what their records do not bear out, and it is %s", c.Found, c.liar.Name)
		}
		if day := c.ends.day; c.Adoption[day-2].England <= c.Adoption[day-1].England {
			t.Errorf("England has %d councils before the day on which some end, and %d on it", c.Adoption[day-2].England, c.Adoption[day-1].England)
		}
		last := c.Adoption[len(c.Adoption)-1]
		if last.Counted != last.Truth {
			t.Errorf("the standards body counts %d councils, and it is %d", last.Counted, last.Truth)
		}
		counted, truth := c.Seventy()
		t.Logf("%d bundles of a draw verify; adopting are %d by the standards body's count, %d in truth; 70 in 100 on day %d by its count, day %d in truth\n%s",
			verified, last.Counted, last.Truth, counted, truth, c.Story())
	})
	cost.Took = time.Since(began)
	return cost
}
