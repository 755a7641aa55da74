package node_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// flooder runs a node and floods its own log; the other hostile members, one for each way,
// speak with a program of their own.
const flooder = name.Council("hexwell.gov.uk")

// A siege is an honest pair, northmoor and saltby, and the hostile members.
type siege struct {
	t       testing.TB
	world   *wire.Memory
	a, b, c *running // northmoor, saltby and flooder
	rings   []*keys.Ring
	n       int // records offered
}

// assault is the hostile member of a way.
func (w *siege) assault(i int) *assault {
	x := &assault{self: member(i), net: w.world.Node(member(i)), ring: w.rings[i], log: invent(member(i), w.rings[i])}
	x.again = func(ctx context.Context) {
		w.world.Disconnect(x.self, northmoor)
		x.net.Dial(ctx, northmoor)
	}
	if harms[i].by == whole {
		x.self, x.node = flooder, w.c.Node
	}
	return x
}

// member is the hostile member of a way.
func member(i int) name.Council { return name.Council(fmt.Sprintf("fenwick-%d.gov.uk", i)) }

// besiege makes the councils, of which the first two have an agreement.
func besiege(t testing.TB) *siege {
	m := wire.NewMemory()
	w := &siege{t: t, world: m}
	w.a, w.b, w.c = startIn(t, m, northmoor), startIn(t, m, saltby), startIn(t, m, flooder)
	introduce(t, w.a, w.b, w.c)
	for i := range harms {
		c := member(i)
		ring, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		w.rings = append(w.rings, ring)
		stranger := directory.FromRing(c, ring)
		stranger.Title, stranger.GSS, stranger.Role, stranger.ValidFrom = "Fenwick", fmt.Sprintf("E070009%02d", i), directory.RoleCouncil, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, n := range []*running{w.a, w.b} {
			call(t, n.Councils().Add, node.MemberRequest{Document: stranger.YAML()})
		}
	}
	call(t, w.a.Agreements().Sign, node.AgreementRequest{Document: []byte(planningAgreement)})
	await(t, "the proposal arrives", func() bool { return len(get(t, w.b.Agreements().List)) == 1 })
	call(t, w.b.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})
	w.writes(1)
	return w
}

// writes offers so many records, one after another, and returns how long each took until
// the partner had it, ascending.
func (w *siege) writes(n int) []time.Duration {
	w.t.Helper()
	return writes(w.t, w.a, w.b, &w.n, n)
}

func writes(t testing.TB, a face, b *running, done *int, n int) []time.Duration {
	t.Helper()
	var took []time.Duration
	for range n {
		*done++
		began := time.Now()
		offer(t, a, "planning-application", planning(*done, "X"))
		awaitEvery(t, time.Millisecond, "the partner has it", func() bool { return b.Held() == *done })
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// heap is what is in use once nothing is left lying about.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// TestHostileMember: whatever a member with whom nothing is agreed does at full speed, and
// three of the ways at once, what is beyond its share is refused and counted, an honest
// partner is served meanwhile, and memory and streams are given back when it leaves. What
// needs addresses is in TestHostileProcesses, which also measures.
func TestHostileMember(t *testing.T) {
	w := besiege(t)
	before, streamsBefore := heap(), runtime.NumGoroutine()
	type way struct {
		name string
		of   []int
	}
	var ways []way
	for i, h := range harms {
		if h.by == streams || h.by == whole {
			ways = append(ways, way{h.name, []int{i}})
		}
	}
	ways = append(ways, way{"three at once", []int{0, 6, 9}})
	for _, way := range ways {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var xs []*assault
		for _, i := range way.of {
			x := w.assault(i)
			xs = append(xs, x)
			wg.Go(func() { harms[i].do(ctx, x) })
			await(t, "it has begun: "+harms[i].name, func() bool { return x.did.Load() > 2 })
		}
		w.writes(5)
		for at, i := range way.of {
			x, h := xs[at], harms[i]
			await(t, "what is beyond its share is refused and counted: "+h.name, func() bool {
				return slices.ContainsFunc(get(t, w.a.Status).Shares, func(s api.SharePassed) bool {
					return s.Council == x.self && (h.kind == "" || s.Kind == string(h.kind)) && s.Count > 0
				})
			})
			if used, most := w.a.Quota().Used(x.self, quota.Held), quota.Of(quota.Held).Stranger; used > most {
				t.Errorf("%s: %d bytes of its frames are held, and its share is %d", h.name, used, most)
			}
		}
		cancel()
		wg.Wait()
		for _, x := range xs {
			await(t, "what it held is given back: "+way.name, func() bool { return w.a.Quota().Used(x.self, quota.Held) == 0 })
		}
	}
	most := quota.Of(quota.Proposals).Stranger
	waiting := 0
	for _, x := range get(t, w.a.Agreements().List) {
		if strings.HasPrefix(string(x.Name), string(flooder)) {
			waiting++
		}
	}
	if waiting > most {
		t.Errorf("%d proposals of a stranger are kept, and %d may wait", waiting, most)
	}
	if n := len(get(t, w.b.Agreements().List)); n != 1 {
		t.Errorf("saltby keeps %d agreements, and is party to one", n)
	}
	await(t, "its streams are over", func() bool { return runtime.NumGoroutine() < streamsBefore+50 })
	if after := heap(); after > before+64<<20 {
		t.Errorf("%d MB are in use, and %d were before it came", after>>20, before>>20)
	}
}
