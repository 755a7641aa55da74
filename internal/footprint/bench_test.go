package footprint

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// onLoopback makes a footprint of three councils whose nodes are joined by
// libp2p over TCP on this machine, on its disk.
func onLoopback(b *testing.B) *fens {
	b.Helper()
	w := loopback(b)
	w.form(3)
	return w
}

// loopback makes the world of it, in which three listen.
func loopback(b *testing.B) *fens {
	b.Helper()
	w := newFens(b)
	w.dir = b.TempDir()
	book := &addressBook{w: w, at: map[name.Council][]string{}}
	w.open = func(c name.Council) wire.Network {
		h, err := wire.Open(wire.Options{Key: w.rings[c].Node, Self: c, Directory: book, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
		if err != nil {
			b.Fatal(err)
		}
		book.mu.Lock()
		defer book.mu.Unlock()
		book.at[c] = h.Addresses()
		return h
	}
	b.Cleanup(w.close)
	for _, c := range places[:3] {
		w.options(c) // listens
	}
	return w
}

// addressBook is a directory for wire whose members say where they listen.
type addressBook struct {
	w  *fens
	mu sync.Mutex // guards at
	at map[name.Council][]string
}

func (a *addressBook) Member(c name.Council) (wire.Member, bool) {
	m, ok := a.w.book[c]
	a.mu.Lock()
	defer a.mu.Unlock()
	return wire.Member{Node: m.Node, Addresses: a.at[c]}, ok
}

func (a *addressBook) ByNode(id string) (name.Council, bool) {
	for c, m := range a.w.book {
		if m.Node == id {
			return c, true
		}
	}
	return "", false
}

// records makes n signed records of a council; from numbers them.
func (w *fens) records(c name.Council, from, n int) []Entry {
	out := make([]Entry, n)
	each(n, func(i int) {
		out[i] = w.token(c, fmt.Sprint("record-", from+i), 1, tlog.Hash{}, "name", fmt.Sprintf("%0600d", from+i))
	})
	return out
}

// BenchmarkCheck: what is the least that a record costs, whatever else is done
// with it? Each member takes it apart and verifies the seal of its page. of-three is
// how many records a second three members could check on this machine's cores if
// they did nothing else.
func BenchmarkCheck(b *testing.B) {
	w := newFens(b)
	m := &member{entry: w.book[places[0]]}
	const page = 1000
	g := w.sealed(group{contributor: places[0], entries: w.records(places[0], 0, page)})
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		k := newCheckedGroup(g, new(seals))
		each(page, func(i int) { k.entries[i].parse() })
		k.finish()
		if rule := k.verify(fensName, m); rule != "" {
			b.Error(rule)
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*page), "cpu-µs/record")
	b.ReportMetric(float64(b.N*page)/3/b.Elapsed().Seconds(), "of-three/s")
}

// BenchmarkPutBatch: how many records a second can be put into a footprint in
// pages of a thousand, checked by every member, synced by a majority?
func BenchmarkPutBatch(b *testing.B) {
	w := onLoopback(b)
	leader, from := w.leader(), w.at(other(w.leader().o.Self))
	for _, at := range []struct {
		what string
		f    *Footprint
	}{{"leader", leader}, {"member", from}} {
		b.Run(at.what, func(b *testing.B) {
			const page = 1000
			serial := int(time.Now().UnixNano() / 1000)
			pages := make(chan []Entry, b.N)
			for i := range b.N {
				pages <- w.records(at.f.o.Self, serial+i*page, page)
			}
			close(pages)
			b.ResetTimer()
			before := cpu(b)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for es := range pages {
						r, err := at.f.Put(b.Context(), es...)
						if err != nil || slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Code == Refused }) {
							b.Errorf("put: %v", err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*page)/b.Elapsed().Seconds(), "records/s")
			b.StopTimer()
			w.await("all have applied it", func() bool {
				return !slices.ContainsFunc(w.up(), func(c name.Council) bool {
					return w.at(c).fsm.current().Applied() < w.leader().fsm.current().Applied()
				})
			})
			// Of all three members and the network between them, however busy the
			// machine is with other things.
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*page), "cpu-µs/record")
		})
	}
}

// cpu returns the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPutOne: how long does a council wait for the yes to one record?
func BenchmarkPutOne(b *testing.B) {
	w := onLoopback(b)
	leader, from := w.leader(), w.at(other(w.leader().o.Self))
	for _, at := range []struct {
		what string
		f    *Footprint
	}{{"leader", leader}, {"member", from}} {
		b.Run(at.what, func(b *testing.B) {
			es := w.records(at.f.o.Self, int(time.Now().UnixNano()/1000), b.N)
			var took []time.Duration
			b.ResetTimer()
			for i := range b.N {
				start := time.Now()
				if _, err := at.f.Put(b.Context(), es[i]); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
		})
	}
}

// BenchmarkGrowth: do records cost more as the footprint grows? The metrics are
// of the first and the last tenth of STILE_GROW records.
func BenchmarkGrowth(b *testing.B) {
	total := 100_000
	if n, err := strconv.Atoi(os.Getenv("STILE_GROW")); err == nil {
		total = n
	}
	w := onLoopback(b)
	f := w.leader()
	for range b.N {
		var at [11]time.Duration
		at[0] = cpu(b)
		var signing time.Duration
		for part := range 10 {
			for i := range total / 10_000 {
				before := cpu(b)
				es := w.records(f.o.Self, int(time.Now().UnixNano()/1000)+i*1000, 1000)
				signing += cpu(b) - before
				w.put(f.o.Self, es...)
			}
			at[part+1] = cpu(b) - signing
		}
		tenth := float64(total) / 10
		b.ReportMetric(float64((at[1]-at[0]).Microseconds())/tenth, "cpu-µs/first")
		b.ReportMetric(float64((at[10]-at[9]).Microseconds())/tenth, "cpu-µs/last")
		s := f.Status()
		b.ReportMetric(float64(s.DiskBytes)/float64(s.Size), "bytes/record")
	}
}

// BenchmarkFailover: how long is nothing acknowledged when the leader is gone
// from one moment to the next?
func BenchmarkFailover(b *testing.B) {
	w := onLoopback(b)
	var took []time.Duration
	for i := range b.N {
		leader := w.leader().o.Self
		c := other(leader)
		w.put(c, w.records(c, i*10, 1)...)
		es := w.records(c, i*10+5, 1)
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		start := time.Now()
		go w.stop(leader)
		for w.at(leader) != nil {
			time.Sleep(time.Millisecond)
		}
		if _, err := w.at(c).Put(ctx, es...); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		cancel()
		b.StopTimer()
		time.Sleep(2 * time.Second)
		w.start(leader)
		w.await("all are level", func() bool {
			l := w.leader()
			return l != nil && w.at(leader).fsm.current().Applied() >= l.fsm.current().Applied()
		})
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "s-p50")
	b.ReportMetric(took[len(took)-1].Seconds(), "s-max")
}

// BenchmarkCatchUp: how fast does a member that was away come level, from the
// log and from a snapshot? STILE_BEHIND says by how many records.
func BenchmarkCatchUp(b *testing.B) {
	behind := 20_000
	if n, err := strconv.Atoi(os.Getenv("STILE_BEHIND")); err == nil {
		behind = n
	}
	w := onLoopback(b)
	away := other(w.leader().o.Self)
	leader := w.leader()
	serial := 0
	fill := func() {
		for range behind / 1000 {
			w.put(leader.o.Self, w.records(leader.o.Self, serial, 1000)...)
			serial += 1000
		}
	}
	level := func() bool {
		return w.at(away).fsm.current().Applied() >= leader.fsm.current().Applied()
	}
	for _, how := range []string{"log", "snapshot"} {
		b.Run(how, func(b *testing.B) {
			var took, began, used time.Duration
			for range b.N {
				b.StopTimer()
				w.stop(away)
				fill()
				if how == "snapshot" {
					// Its disk is lost: everything there is has to come.
					w.gen[away]++
					w.admitBack(away)
				} else {
					w.start(away)
				}
				// raft asks a member that was away for long every ten seconds at
				// most whether it is back.
				b.StartTimer()
				start, was := time.Now(), w.at(away).fsm.current().Applied()
				w.await("it begins", func() bool { return w.at(away).fsm.current().Applied() > was })
				began += time.Since(start)
				start, before := time.Now(), cpu(b)
				w.await("level", level)
				took += time.Since(start)
				used += cpu(b) - before
			}
			n := behind
			if how == "snapshot" {
				n = int(leader.fsm.current().Checkpoint().Size)
			}
			b.ReportMetric(float64(n*b.N)/took.Seconds(), "records/s")
			b.ReportMetric(float64(used.Microseconds())/float64(n*b.N), "cpu-µs/record")
			b.ReportMetric(began.Seconds()/float64(b.N), "s-until-it-begins")
		})
	}
}

// admitBack has the members agree that a council joins again, and it join.
func (w *fens) admitBack(c name.Council) {
	w.t.Helper()
	for _, by := range w.up() {
		if err := w.at(by).raft.Snapshot().Error(); err != nil {
			w.t.Log(err)
		}
	}
	w.admit(c)
}
