// Package metrics shows a node's figures to its operators' monitoring, in Prometheus'
// text format, and whether the node lives and is ready.
//
// Labels are councils, footprints and standards, never an agreement, a record, a field
// or a value. What it costs to count is counted beside the scrapes, by [Monitor.Run]; a
// scrape reads a few numbers that are there and asks nobody.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Agreements say which agreements there are.
type Agreements interface {
	Standing(now time.Time) []agreement.Status
}

// Replicas are those of footprints that this node has open, and with All those that
// could not be opened.
type Replicas interface {
	List() []*replicas.Replica
	All() []*replicas.Replica
}

// Options say what a Monitor works with. All are needed but Version.
type Options struct {
	Listen  string // TCP address to serve at
	Version string // of the program
	Data    string // the data folder
	MinFree uint64 // bytes of disk below which no more records are taken

	Ledger     *ledger.Ledger
	Directory  *directory.Directory
	View       func() *tufdir.View // of the directory, as it stands
	Agreements Agreements
	Replicas   Replicas
	Partners   func() ([]api.PartnerReply, error)
	// Conditions are those that held when it was last looked; nil before. Blocked is
	// that for which no records should be sent to this node now; none: the zero
	// Condition.
	Conditions func() []api.Condition
	Blocked    func() api.Condition
	Passed     func() []quota.Refused // what was refused to councils beyond their shares
	Ready      <-chan struct{}        // closed once the node can be reached
	Log        *slog.Logger
	Now        func() time.Time
}

// A Monitor shows the figures of one node. Its methods may be called concurrently.
type Monitor struct {
	o       Options
	counted atomic.Pointer[counted] // nil before the first count
	address atomic.Pointer[string]  // nil while it does not serve
}

// New returns a Monitor, which does nothing by itself.
func New(o Options) *Monitor { return &Monitor{o: o} }

// Address returns where it serves, "" before it does.
func (m *Monitor) Address() string {
	if a := m.address.Load(); a != nil {
		return *a
	}
	return ""
}

// countEvery is how often what must be counted is counted.
const countEvery = 15 * time.Second

// countShare bounds what counting may take: one part in so many of the time.
const countShare = 100

// counted is what was counted last.
type counted struct {
	at        time.Time
	records   map[name.Standard]int
	gates     map[name.Standard]ledger.Gate
	partners  []api.PartnerReply
	standards map[name.Agreement]name.StandardLine
	disk      uint64
	waiting   int // agreements that are not in force
}

// Run counts what cannot be read off at once, until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		start := time.Now()
		if err := m.Count(ctx); err != nil {
			m.o.Log.Warn("counting for monitoring", "error", err.Error())
		}
		t := time.NewTimer(max(countEvery, countShare*time.Since(start)))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// Count counts once.
func (m *Monitor) Count(context.Context) error {
	c, err := m.count()
	if err == nil {
		m.counted.Store(c)
	}
	return err
}

func (m *Monitor) count() (*counted, error) {
	c := &counted{at: m.o.Now(), gates: map[name.Standard]ledger.Gate{}, standards: map[name.Agreement]name.StandardLine{}}
	err := m.o.Ledger.View(func(v *ledger.View) (err error) {
		if c.records, err = v.Count(); err != nil {
			return err
		}
		for _, s := range m.o.Ledger.Standards() {
			if c.gates[s.Name()], err = v.Gate(s.Name()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.partners, err = m.o.Partners(); err != nil {
		return nil, err
	}
	for _, st := range m.o.Agreements.Standing(c.at) {
		c.standards[st.Agreement.Name] = st.Agreement.Standard
		if !st.InForce() {
			c.waiting++
		}
	}
	c.disk, err = m.o.Ledger.DiskBytes()
	return c, err
}

// Serve serves /metrics, /livez and /readyz to whoever watches the node,
// until ctx ends.
func (m *Monitor) Serve(ctx context.Context) error {
	l, err := net.Listen("tcp", m.o.Listen)
	if err != nil {
		return fmt.Errorf("open the address for monitoring: %w", err)
	}
	at := l.Addr().String()
	m.address.Store(&at)
	h, err := m.Handler()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	text := func(w http.ResponseWriter, code int, s string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		if _, err := fmt.Fprintln(w, s); err != nil {
			m.o.Log.Debug("answer to monitoring", "error", err.Error())
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := m.unready(); why != "" {
			text(w, http.StatusServiceUnavailable, "not ready: "+why)
			return
		}
		text(w, http.StatusOK, "ready")
	})
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	m.o.Log.Info("serving figures for monitoring", "address", l.Addr().String())
	if err := srv.Serve(quota.Limit(l, 32)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve monitoring: %w", err)
	}
	return nil
}

// unready says why records should not be sent to this node now; "" when they
// may be. What only keeps partners waiting is no reason: the node takes records
// all the same.
func (m *Monitor) unready() string {
	select {
	case <-m.o.Ready:
	default:
		return "the node is starting"
	}
	if c := m.o.Blocked(); c.Name != "" {
		return c.Name + ": " + c.Text
	}
	return ""
}

// Handler returns what answers /metrics. The registry is this node's own: what
// libraries put into the global one is not shown.
func (m *Monitor) Handler() (http.Handler, error) {
	reg := prometheus.NewRegistry()
	err := errors.Join(
		reg.Register(collectors.NewGoCollector()),
		reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		reg.Register(gauges{m}),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.o.Log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: 30 * time.Second,
	}), err
}
