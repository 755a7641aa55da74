package england

import (
	"os"
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
		live(t, Size{Councils: 4, Footprints: 1, Days: 4, Daily: 2})
		return
	}
	var costs []Cost
	for _, s := range sizes {
		n, err := strconv.Atoi(s)
		if err != nil || n < keepers {
			t.Fatalf("STILE_ENGLAND: %q is no number of councils", s)
		}
		costs = append(costs, live(t, Size{Councils: n, Footprints: (n + 31) / 32, Days: 30, Daily: 3}))
	}
	t.Logf("\n%s", Table(costs...))
}

func live(t *testing.T, size Size) (cost Cost) {
	began, before := time.Now(), Processor()
	synctest.Test(t, func(t *testing.T) {
		c := Found(t, 1, size)
		c.Live()
		cost = c.Cost(before)
		verified := c.Audit(20)
		if c.liar == nil {
			t.Error("nobody lied, so nobody could be found")
		} else if !slices.Equal(c.Found, []name.Council{c.liar.Name}) {
			t.Errorf("an auditor finds %v to say what their records do not bear out, and it is %s", c.Found, c.liar.Name)
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
