package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// natsServer is one JetStream server that syncs every write to its disk.
type natsServer struct {
	cmd     *exec.Cmd
	dir     string
	address string
}

func (s *natsServer) pid() int { return s.cmd.Process.Pid }

func (s *natsServer) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// startNATS starts servers, joined to a cluster when there are several.
func (w *world) startNATS(ctx context.Context, names ...string) (servers []*natsServer, err error) {
	defer func() {
		if err != nil {
			for _, s := range servers {
				s.stop()
			}
		}
	}()
	ports, err := freePorts(2 * len(names))
	if err != nil {
		return nil, err
	}
	var routes []string
	for i := range names {
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", ports[2*i+1]))
	}
	for i, name := range names {
		s := &natsServer{address: fmt.Sprintf("127.0.0.1:%d", ports[2*i])}
		if s.dir, err = os.MkdirTemp(w.dir, "nats-"); err != nil {
			return servers, err
		}
		config := fmt.Sprintf("server_name: %s\nlisten: %q\njetstream { store_dir: %q, sync_interval: always }\n", name, s.address, s.dir)
		if len(names) > 1 {
			config += fmt.Sprintf("cluster { name: fens, listen: \"127.0.0.1:%d\", routes: [%s] }\n", ports[2*i+1], strings.Join(routes, ", "))
		}
		file := filepath.Join(s.dir, "nats.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return servers, err
		}
		s.cmd = exec.Command(w.natsBin, "-c", file, "-l", filepath.Join(s.dir, "log"))
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		if err := s.cmd.Start(); err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func freePorts(n int) (ports []int, err error) {
	var open []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range open {
		err = errors.Join(err, l.Close())
	}
	return ports, err
}

// stream connects to a server and makes the stream there.
func (s *natsServer) stream(ctx context.Context, subjects string, replicas int) (*natsConn, error) {
	config, err := json.Marshal(map[string]any{
		"name": strings.TrimSuffix(subjects, ".>"), "subjects": []string{subjects}, "storage": "file",
		"num_replicas": replicas, "allow_atomic": true, "allow_direct": true,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := dialNATS(ctx, s.address)
		if err == nil {
			try, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, err = c.ask(try, "$JS.API.STREAM.CREATE."+strings.TrimSuffix(subjects, ".>"), config)
			cancel()
			if err == nil {
				return c, nil
			}
			c.close()
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("NATS at %s: %w", s.address, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// A natsRecord is a record under the subject it is published at.
type natsRecord struct {
	subject string
	data    []byte
}

// subjects gives each record a subject of its own, by which one can be asked for,
// and which holds what the agreements choose by.
func subjects(records [][]byte) []natsRecord {
	var out []natsRecord
	for i, r := range records {
		var f struct{ District, Organisation string }
		json.Unmarshal(r, &f)
		_, org, _ := strings.Cut(f.Organisation, ":")
		out = append(out, natsRecord{fmt.Sprintf("plan.%s.%s.%d", f.District, org, i), r})
	}
	return out
}

// validate judges records by the standard, on all cores.
func (w *world) validate(part []natsRecord) error {
	var wg sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for i := range errs {
		wg.Go(func() {
			for j := i; j < len(part); j += len(errs) {
				v, err := strictjson.Decode(part[j].data, strictjson.DefaultLimits())
				if err == nil && len(w.standard.Validate(v)) > 0 {
					err = errors.New("a record of the lane is not valid")
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// publishBatch sends records as one atomic batch, which is synced once. The
// answer says that it is stored.
func publishBatch(c *natsConn, id string, part []natsRecord) (<-chan natsMsg, error) {
	var done <-chan natsMsg
	var err error
	for i, r := range part {
		h := []string{"Nats-Batch-Id: " + id, fmt.Sprintf("Nats-Batch-Sequence: %d", i+1)}
		if i < len(part)-1 {
			c.send(r.subject, "", r.data, h...)
			continue
		}
		if done, err = c.call(r.subject, r.data, append(h, "Nats-Batch-Commit: 1")...); err != nil {
			return nil, err
		}
	}
	return done, c.flush()
}

// publishAll validates and publishes records in batches, up to four under way.
func (w *world) publishAll(ctx context.Context, c *natsConn, records []natsRecord) error {
	var waiting []<-chan natsMsg
	settle := func(most int) error {
		for len(waiting) > most {
			if _, err := c.answer(ctx, waiting[0]); err != nil {
				return err
			}
			waiting = waiting[1:]
		}
		return nil
	}
	n := 0
	for part := range slices.Chunk(records, batch) {
		if err := w.validate(part); err != nil {
			return err
		}
		n++
		done, err := publishBatch(c, fmt.Sprintf("in-%d", n), part)
		if err != nil {
			return err
		}
		waiting = append(waiting, done)
		if err := settle(3); err != nil {
			return err
		}
	}
	return settle(0)
}

// natsIngest is lane A.
func (w *world) natsIngest(ctx context.Context) (figures, error) {
	servers, err := w.startNATS(ctx, "alone")
	if err != nil {
		return nil, err
	}
	s := servers[0]
	defer s.stop()
	c, err := s.stream(ctx, "plan.>", 1)
	if err != nil {
		return nil, err
	}
	defer c.close()
	records, n := subjects(w.records), float64(len(w.records))
	peak, cpu, at := peakMemory(s.pid()), cpuOf(s.pid()), time.Now()
	err = w.publishAll(ctx, c, records)
	out := figures{"A": n / time.Since(at).Seconds(), "A.cpu": (cpuOf(s.pid()) - cpu) * 1e6 / n, "memory": peak(), "disk": diskOf(s.dir) / n}
	return out, err
}

// natsOne is one record at a time.
func (w *world) natsOne(ctx context.Context) (figures, error) {
	servers, err := w.startNATS(ctx, "alone")
	if err != nil {
		return nil, err
	}
	s := servers[0]
	defer s.stop()
	c, err := s.stream(ctx, "plan.>", 1)
	if err != nil {
		return nil, err
	}
	defer c.close()
	out, next := figures{}, 0
	for _, clients := range []int{1, 16} {
		var put []func([]byte) error
		for i := range clients {
			mine, err := dialNATS(ctx, s.address)
			if err != nil {
				return nil, err
			}
			defer mine.close()
			k := 0
			put = append(put, func(rec []byte) error {
				k++
				r := natsRecord{fmt.Sprintf("plan.one.%d.%d.%d", clients, i, k), rec}
				if err := w.validate([]natsRecord{r}); err != nil {
					return err
				}
				_, err := mine.ask(ctx, r.subject, r.data)
				return err
			})
		}
		cpu := cpuOf(s.pid())
		if err := oneByOne(out, fmt.Sprintf("one%d", clients), put, w.records[next:next+w.ones]); err != nil {
			return nil, err
		}
		out[fmt.Sprintf("one%d.cpu", clients)] = (cpuOf(s.pid()) - cpu) * 1e6 / float64(w.ones)
		next += w.ones
	}
	return out, nil
}

// A relay is the program that NATS needs between two councils, since it cannot
// leave out a field: it takes what a partner may have from one server, cuts it
// down to the agreed fields, stores it at the partner's, and remembers how far it
// is.
type relay struct {
	w        *world
	from, to *natsConn
	consumer string
	prefix   string // of the subjects at the partner
	took     <-chan natsMsg
}

func (w *world) newRelay(ctx context.Context, from, to *natsConn, name, filter, prefix string) (*relay, error) {
	config, err := json.Marshal(map[string]any{
		"stream_name": "plan", "action": "create",
		"config": map[string]any{"durable_name": name, "ack_policy": "all", "filter_subject": filter, "max_ack_pending": 4 * batch},
	})
	if err != nil {
		return nil, err
	}
	if _, err := from.ask(ctx, fmt.Sprintf("$JS.API.CONSUMER.CREATE.plan.%s.%s", name, filter), config); err != nil {
		return nil, err
	}
	r := &relay{w: w, from: from, to: to, consumer: name, prefix: prefix}
	r.took, err = from.subscribe("relay." + name)
	return r, err
}

// run relays until the partner has so many records; stored is called after each
// batch that is, with how many.
func (r *relay) run(ctx context.Context, want int, stored func(n int)) error {
	have, id := 0, 0
	for have < want {
		r.from.send("$JS.API.CONSUMER.MSG.NEXT.plan."+r.consumer, "relay."+r.consumer, fmt.Appendf(nil, `{"batch":%d,"expires":1000000000}`, batch))
		if err := r.from.flush(); err != nil {
			return err
		}
		asked := true
		for got := 0; asked && got < batch && have < want; {
			part, last, over, err := r.next(ctx, batch-got)
			if err != nil {
				return err
			}
			asked = !over
			if len(part) == 0 {
				continue
			}
			id++
			done, err := publishBatch(r.to, fmt.Sprintf("%s-%d", r.consumer, id), part)
			if err != nil {
				return err
			}
			if _, err := r.to.answer(ctx, done); err != nil {
				return err
			}
			got, have = got+len(part), have+len(part)
			if stored != nil {
				stored(len(part))
			}
			r.from.send(last, "", []byte("+ACK"))
			if err := r.from.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// next returns what has arrived: at least one message, or that the server's
// answer is over.
func (r *relay) next(ctx context.Context, most int) (part []natsRecord, last string, over bool, err error) {
	for len(part) < most {
		var m natsMsg
		var ok bool
		if len(part) == 0 {
			select {
			case m, ok = <-r.took:
			case <-ctx.Done():
				return nil, "", false, ctx.Err()
			}
		} else {
			select {
			case m, ok = <-r.took:
			default:
				return part, last, false, nil
			}
		}
		if !ok {
			return nil, "", false, errors.New("the connection ended")
		}
		if m.status != "" { // 404 or 408: nothing more for now
			return part, last, true, nil
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(m.data, &fields); err != nil {
			return nil, "", false, err
		}
		for f := range fields {
			if !slices.Contains(r.w.fields, f) {
				delete(fields, f)
			}
		}
		cut, err := json.Marshal(fields)
		if err != nil {
			return nil, "", false, err
		}
		part, last = append(part, natsRecord{r.prefix + strings.TrimPrefix(m.subject, "plan"), cut}), m.reply
	}
	return part, last, false, nil
}

// twoNATS runs f at two servers.
func (w *world) twoNATS(ctx context.Context, f func(servers []*natsServer, north, saltby *natsConn) error) error {
	var servers []*natsServer
	var conns []*natsConn
	for i, stream := range []string{"plan.>", "got.>"} {
		s, err := w.startNATS(ctx, []string{"north", "saltby"}[i])
		if err != nil {
			return err
		}
		defer s[0].stop()
		c, err := s[0].stream(ctx, stream, 1)
		if err != nil {
			return err
		}
		defer c.close()
		servers, conns = append(servers, s[0]), append(conns, c)
	}
	return f(servers, conns[0], conns[1])
}

// natsShare is lane B.
func (w *world) natsShare(ctx context.Context) (figures, error) {
	out := figures{}
	err := w.twoNATS(ctx, func(servers []*natsServer, north, saltby *natsConn) error {
		pids := []int{servers[0].pid(), servers[1].pid()}
		for _, x := range []struct {
			id, filter string
			want       int
		}{{"live", "plan.X.>", w.thirty}, {"first30", "plan.X.>", w.thirty}, {"first1", "plan.*.NBX.>", w.one}} {
			cpu, at := cpuOf(pids...), time.Now()
			r, err := w.newRelay(ctx, north, saltby, x.id, x.filter, "got."+x.id)
			if err != nil {
				return err
			}
			done := make(chan error, 1)
			go func() { done <- r.run(ctx, x.want, nil) }()
			if x.id == "live" {
				if err := w.publishAll(ctx, north, subjects(w.records)); err != nil {
					return err
				}
			}
			if err := <-done; err != nil {
				return err
			}
			took := time.Since(at).Seconds()
			out[x.id] = took
			if x.id == "live" {
				out[x.id] = float64(x.want) / took
			}
			out[x.id+".cpu"] = (cpuOf(pids...) - cpu) * 1e6 / float64(x.want)
		}
		return nil
	})
	return out, err
}

// natsVisible is lane C.
func (w *world) natsVisible(ctx context.Context) (figures, error) {
	out := figures{}
	err := w.twoNATS(ctx, func(servers []*natsServer, north, saltby *natsConn) error {
		r, err := w.newRelay(ctx, north, saltby, "visible", "plan.X.>", "got.visible")
		if err != nil {
			return err
		}
		stored, done := make(chan int, w.ones), make(chan error, 1)
		go func() { done <- r.run(ctx, w.ones, func(n int) { stored <- n }) }()
		pids := []int{servers[0].pid(), servers[1].pid()}
		var took waits
		cpu := cpuOf(pids...)
		for i := range w.ones {
			one := natsRecord{fmt.Sprintf("plan.X.NBR.%d", i), w.records[i]}
			at := time.Now()
			if err := w.validate([]natsRecord{one}); err != nil {
				return err
			}
			if _, err := north.ask(ctx, one.subject, one.data); err != nil {
				return err
			}
			select {
			case <-stored:
			case err := <-done:
				if err != nil {
					return err
				}
			}
			took = append(took, time.Since(at))
		}
		out["visible.cpu"] = (cpuOf(pids...) - cpu) * 1e6 / float64(w.ones)
		took.report(out, "visible")
		return nil
	})
	return out, err
}

// natsThree is lane D: a stream of three replicas.
func (w *world) natsThree(ctx context.Context) (figures, error) {
	servers, err := w.startNATS(ctx, "first", "second", "third")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, s := range servers {
		defer s.stop()
		pids = append(pids, s.pid())
	}
	c, err := servers[0].stream(ctx, "plan.>", 3)
	if err != nil {
		return nil, err
	}
	defer c.close()
	records := subjects(w.records[:w.three])
	n := float64(len(records))
	cpu, at := cpuOf(pids...), time.Now()
	if err := w.publishAll(ctx, c, records); err != nil {
		return nil, err
	}
	return figures{"three": n / time.Since(at).Seconds(), "three.cpu": (cpuOf(pids...) - cpu) * 1e6 / n}, nil
}
