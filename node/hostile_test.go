package node_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// flooder runs a node and floods its own log; the other hostile members, one for each way,
// speak with a program of their own.
const flooder = name.Council("hexwell.gov.uk")

// A harm is what a member with whom nothing is agreed does at full speed.
type harm struct {
	name string
	kind quota.Kind // of what is refused to it
	do   func(ctx context.Context, w *siege, by name.Council)
}

// A siege is an honest pair, northmoor and saltby, and the hostile members.
type siege struct {
	t     testing.TB
	world *wire.Memory
	a, b  *running
	c     *running // flooder's node
	did   atomic.Int64
	n     int // records offered
}

// frame is a frame of which n bytes follow its length.
func frame(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

var harms = []harm{
	{"streams and hellos", quota.Requests, func(ctx context.Context, w *siege, by name.Council) {
		hello, _ := proto.Marshal(&wirepb.Frame{Kind: &wirepb.Frame_Hello{Hello: &wirepb.Hello{Version: wirepb.Version, Feed: "northmoor.gov.uk/planning-for-saltby"}}})
		w.flood(ctx, by, 4, wirepb.Protocol, func(st wire.Stream) {
			st.Write(wire.AppendFrame(nil, hello))
			io.Copy(io.Discard, st)
		})
	}},
	{"questions", quota.Requests, func(ctx context.Context, w *siege, by name.Council) {
		w.flood(ctx, by, 4, wirepb.LookupProtocol, func(st wire.Stream) {
			st.Write(wire.AppendFrame(nil, make([]byte, 1000)))
			io.Copy(io.Discard, st)
		})
	}},
	{"contributions", quota.Requests, func(ctx context.Context, w *siege, by name.Council) {
		w.flood(ctx, by, 4, wirepb.ContributeProtocol, func(st wire.Stream) {
			st.Write(wire.AppendFrame(nil, make([]byte, 30_000)))
			io.Copy(io.Discard, st)
		})
	}},
	{"large frames, slowly", quota.Frames, func(ctx context.Context, w *siege, by name.Council) {
		w.flood(ctx, by, 32, wirepb.Protocol, func(st wire.Stream) {
			st.Write(frame(8 << 20))
			for chunk := make([]byte, 16<<10); ctx.Err() == nil; {
				if _, err := st.Write(chunk); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}},
	{"frames of empty parts, to whoever asks", quota.Fetched, func(ctx context.Context, w *siege, by name.Council) {
		parts := make([]byte, 4<<20)
		for i := 0; i+1 < len(parts); i += 2 {
			parts[i] = 0x0a // items, of no bytes
		}
		w.world.Node(by).Handle(wirepb.Protocol, func(_ context.Context, _ name.Council, st wire.Stream) {
			defer st.Reset()
			w.did.Add(1)
			st.Write(wire.AppendFrame(nil, parts))
		})
		// Being dialled anew has it asked anew.
		for ctx.Err() == nil {
			w.world.Disconnect(by, northmoor)
			w.world.Node(by).Dial(ctx, northmoor)
			time.Sleep(20 * time.Millisecond)
		}
		w.world.Node(by).Handle(wirepb.Protocol, func(_ context.Context, _ name.Council, st wire.Stream) { st.Reset() })
	}},
	{"proposals", quota.Proposals, func(ctx context.Context, w *siege, by name.Council) {
		for i := 0; ctx.Err() == nil && i < 2000; i++ {
			to := strings.NewReplacer(
				"agreement: northmoor.gov.uk/planning-for-saltby", fmt.Sprintf("agreement: %s/flood-%d", flooder, w.did.Add(1)),
				"from: northmoor.gov.uk", "from: "+string(flooder), "[saltby.gov.uk]", "[northmoor.gov.uk]",
				"  northmoor.gov.uk: controller\n  saltby.gov.uk", "  northmoor.gov.uk: controller\n  "+string(flooder),
				"  northmoor.gov.uk: dpo@northmoor.gov.uk\n  saltby.gov.uk", "  northmoor.gov.uk: dpo@northmoor.gov.uk\n  "+string(flooder))
			if _, err := w.c.Agreements().Sign(ctx, node.AgreementRequest{Document: []byte(to.Replace(planningAgreement))}); err != nil && ctx.Err() == nil {
				w.t.Errorf("the hostile member's own node: %v", err)
				return
			}
		}
	}},
}

// flood opens streams to northmoor from several goroutines, one after another each.
func (w *siege) flood(ctx context.Context, by name.Council, at int, protocol string, do func(wire.Stream)) {
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for ctx.Err() == nil {
				st, err := w.world.Node(by).Open(ctx, northmoor, protocol)
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				w.did.Add(1)
				stop := context.AfterFunc(ctx, func() { st.Reset() })
				do(st)
				stop()
				st.Reset()
			}
		})
	}
	wg.Wait()
}

// member is the hostile member of a way.
func member(i int) name.Council { return name.Council(fmt.Sprintf("fenwick-%d.gov.uk", i)) }

// besiege makes the councils, of which the first two have an agreement.
func besiege(t testing.TB) *siege {
	m := wire.NewMemory()
	w := &siege{t: t, world: m}
	w.a, w.b, w.c = startIn(t, m, northmoor), startIn(t, m, saltby), startIn(t, m, flooder)
	introduce(t, w.a, w.b, w.c)
	for i := range len(harms) + 1 {
		c := member(i)
		ring, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		stranger := directory.FromRing(c, ring)
		stranger.Title, stranger.GSS, stranger.Role, stranger.ValidFrom = "Fenwick", fmt.Sprintf("E0700090%d", i), directory.RoleCouncil, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
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
	var took []time.Duration
	for range n {
		w.n++
		began := time.Now()
		offer(w.t, w.a, "planning-application", planning(w.n, "X"))
		awaitEvery(w.t, time.Millisecond, "the partner has it", func() bool { return w.b.Held() == w.n })
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
// partner is served meanwhile, and memory and streams are given back when it leaves.
//
// With STILE_HOSTILE, the number of writes for each way, it also prints how long an honest
// write takes until the partner has it, alone and under each (make hostile).
func TestHostileMember(t *testing.T) {
	w := besiege(t)
	writes := 5
	if n, err := strconv.Atoi(os.Getenv("STILE_HOSTILE")); err == nil {
		writes = n
	}
	measured := os.Getenv("STILE_HOSTILE") != ""
	p := func(d []time.Duration, of float64) time.Duration { return d[min(len(d)-1, int(of*float64(len(d))))] }
	alone := w.writes(writes)
	if measured {
		fmt.Printf("| %-42s | %8s | %8s | %5s |\n| %-42s | %8.1f | %8.1f | %5s |\n", "a hostile member does", "p50 ms", "p99 ms", "ratio", "nothing",
			float64(p(alone, .5).Microseconds())/1e3, float64(p(alone, .99).Microseconds())/1e3, "1")
	}
	before, streams := heap(), runtime.NumGoroutine()
	all := append(slices.Clone(harms), harm{name: "three at once", kind: quota.Requests, do: func(ctx context.Context, w *siege, by name.Council) {
		var wg sync.WaitGroup
		for _, i := range []int{0, 3, 5} {
			wg.Go(func() { harms[i].do(ctx, w, by) })
		}
		wg.Wait()
	}})
	for i, h := range all {
		by := member(i)
		w.did.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.do(ctx, w, by); close(ended) }()
		await(t, "it has begun: "+h.name, func() bool { return w.did.Load() > 2 })
		under := w.writes(writes)
		whose := by
		if h.kind == quota.Proposals {
			whose = flooder
		}
		await(t, "what is beyond its share is refused and counted: "+h.name, func() bool {
			for _, s := range get(t, w.a.Status).Shares {
				if s.Council == whose && s.Kind == string(h.kind) && s.Count > 0 {
					return true
				}
			}
			return false
		})
		if used, most := w.a.Quota().Used(by, quota.Held), quota.Of(quota.Held).Stranger; used > most {
			t.Errorf("%s: %d bytes of its frames are held, and its share is %d", h.name, used, most)
		}
		cancel()
		<-ended
		await(t, "what it held is given back: "+h.name, func() bool { return w.a.Quota().Used(by, quota.Held) == 0 })
		if measured {
			fmt.Printf("| %-42s | %8.1f | %8.1f | %5.1f |\n", h.name, float64(p(under, .5).Microseconds())/1e3, float64(p(under, .99).Microseconds())/1e3,
				float64(p(under, .99))/float64(p(alone, .99)))
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
	await(t, "its streams are over", func() bool { return runtime.NumGoroutine() < streams+50 })
	if after := heap(); after > before+64<<20 {
		t.Errorf("%d MB are in use, and %d were before it came", after>>20, before>>20)
	}
}
