package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/node/name"
)

// The figures a node shows to its operators' monitoring, in Prometheus'
// text format. Labels are councils, footprints and standards, never an
// agreement, a record, a field or a value. What it costs to count is counted
// beside the scrapes, see keepCounting; a scrape reads a few numbers that are
// there and asks nobody.

// countEvery is how often what must be counted is counted, and members of
// footprints are asked how they are.
const countEvery = 15 * time.Second

// countShare bounds what counting may take: one part in so many of the time.
const countShare = 100

// counted is what was counted last.
type counted struct {
	at        time.Time
	records   map[name.Standard]int
	gates     map[name.Standard]ledger.Gate
	partners  []PartnerReply
	standards map[name.Agreement]name.StandardLine
	disk      uint64
	waiting   int // agreements that are not in force
}

// keepCounting counts what cannot be read off at once, until ctx ends.
func (n *Node) keepCounting(ctx context.Context) {
	for ctx.Err() == nil {
		start := time.Now()
		if c, err := n.count(); err == nil {
			n.counted.Store(c)
		} else {
			n.log.Warn("counting for monitoring", "error", err.Error())
		}
		took := time.Since(start)
		for _, r := range n.replicas.List() {
			r.Footprint().Look(ctx)
		}
		pause(ctx, max(countEvery, countShare*took))
	}
}

func (n *Node) count() (*counted, error) {
	c := &counted{at: n.now(), gates: map[name.Standard]ledger.Gate{}, standards: map[name.Agreement]name.StandardLine{}}
	err := n.ledger.View(func(v *ledger.View) (err error) {
		if c.records, err = v.Count(); err != nil {
			return err
		}
		for _, s := range n.ledger.Standards() {
			if c.gates[s.Name()], err = v.Gate(s.Name()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.partners, err = n.explain.Partners(false); err != nil {
		return nil, err
	}
	for _, st := range n.book.Standing(c.at) {
		c.standards[st.Agreement.Name] = st.Agreement.Standard
		if !st.InForce() {
			c.waiting++
		}
	}
	c.disk, err = n.ledger.DiskBytes()
	return c, err
}

// serveMetrics serves /metrics, /livez and /readyz to whoever watches the node,
// until ctx ends.
func (n *Node) serveMetrics(ctx context.Context) error {
	l, err := net.Listen("tcp", n.cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("open the address for monitoring: %w", err)
	}
	n.mu.Lock()
	n.watched = l.Addr().String()
	n.mu.Unlock()
	h, err := n.metrics()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	text := func(w http.ResponseWriter, code int, s string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		if _, err := fmt.Fprintln(w, s); err != nil {
			n.log.Debug("answer to monitoring", "error", err.Error())
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := n.unready(); why != "" {
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
	n.log.Info("serving figures for monitoring", "address", l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve monitoring: %w", err)
	}
	return nil
}

// unready says why records should not be sent to this node now; "" when they
// may be. What only keeps partners waiting is no reason: the node takes records
// all the same.
func (n *Node) unready() string {
	select {
	case <-n.ready:
	default:
		return "the node is starting"
	}
	free, err := ledger.FreeDisk(n.cfg.Data)
	switch {
	case err != nil:
		return "the free disk space cannot be read"
	case free < n.cfg.Limits.MinFree():
		return "the disk is nearly full"
	}
	return ""
}

// metrics returns what answers /metrics. The registry is this node's own: what
// libraries put into the global one is not shown.
func (n *Node) metrics() (http.Handler, error) {
	reg := prometheus.NewRegistry()
	err := errors.Join(
		reg.Register(collectors.NewGoCollector()),
		reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		reg.Register(gauges{n}),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: 30 * time.Second,
	}), err
}

// gauges reads the node's figures when it is scraped.
type gauges struct{ n *Node }

// Describe implements prometheus.Collector. It describes nothing in advance:
// which councils and standards there are changes.
func (g gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	n, p := g.n, sheet{ch}
	p.gauge("stile_build_info", "The version of Stile that runs. The value is always 1.", 1, "version", n.o.Version)
	quarantined, accusers := n.stops()
	p.gauge("stile_quarantines", "Councils with which all exchange is stopped because their logs told two histories or were rolled back.", float64(len(quarantined)))
	for _, q := range quarantined {
		p.gauge("stile_council_quarantined", "1 for a council with which all exchange is stopped.", 1, "council", string(q.Council), "fault", q.Fault)
	}
	p.gauge("stile_accusations", "Councils that stopped all exchange with this one because its own log told them two histories or was rolled back.", float64(len(accusers)))
	for _, a := range accusers {
		p.gauge("stile_council_accuses", "1 for a council that stopped all exchange with this one.", 1, "council", string(a.Council))
	}
	p.gauge("stile_ledger_entries", "Entries in the council's own ledger.", float64(n.ledger.Size()))
	if free, err := ledger.FreeDisk(n.cfg.Data); err == nil {
		p.gauge("stile_disk_free_bytes", "Free disk space in the data folder.", float64(free))
	}
	p.gauge("stile_disk_needed_bytes", "Free disk space below which no more records are taken.", float64(n.cfg.Limits.MinFree()))
	h := n.follower.View().Health(n.now())
	p.gauge("stile_directory_up_to_date", "1 while the directory can be relied upon; 0 when it has expired or was never fetched, and nothing is exchanged.", truth(n.directory.Exchange(n.now()) == nil))
	if !h.Expires.IsZero() {
		p.gauge("stile_directory_expiry_timestamp_seconds", "When the first of the directory's files expires, in Unix time.", unix(h.Expires))
	}
	if c := n.counted.Load(); c != nil {
		c.collect(p)
	}
	for _, r := range n.replicas.All() {
		p.gauge("stile_footprint_open", "1 while the replica of the footprint is open here, 0 when it could not be opened.", truth(r.Footprint() != nil), "footprint", string(r.Name()))
	}
	for _, r := range n.replicas.List() {
		p.footprint(r)
	}
}

func (c *counted) collect(p sheet) {
	p.gauge("stile_counted_timestamp_seconds", "When what takes time to count was last counted, in Unix time: records, offers and partners.", unix(c.at))
	p.gauge("stile_ledger_disk_bytes", "Disk space that the ledger takes.", float64(c.disk))
	p.gauge("stile_agreements_not_in_force", "Agreements known here that are not in force: not signed by all yet, not begun, suspended, ended or expired.", float64(c.waiting))
	for std, g := range c.gates {
		l := []string{"standard", std.String()}
		p.gauge("stile_records", "The council's own records that are live.", float64(c.records[std]), l...)
		p.gauge("stile_offers_held", "Offered records that broke the standard's rules and wait to be mended.", float64(g.Held), l...)
		p.counter("stile_offers_total", "Records offered for the first time, by whether they were taken at once or broke the standard's rules.", float64(g.Valid), append(l, "outcome", "taken")...)
		p.counter("stile_offers_total", "Records offered for the first time, by whether they were taken at once or broke the standard's rules.", float64(g.Seen-g.Valid), append(l, "outcome", "refused")...)
	}
	// Agreements are not told apart: their names are no label. Those with one
	// partner about one standard in one direction are shown together.
	type key struct {
		council   name.Council
		standard  name.StandardLine
		direction string
	}
	all := map[key]*PartnerReply{}
	for _, r := range c.partners {
		if r.Through != "" {
			continue // it asks whichever member it likes
		}
		if r.Suspended {
			r.InStep = true // the others tell
		}
		k := key{r.Council, c.standards[r.Agreement], map[string]string{"to": "out", "from": "in"}[r.Direction]}
		t := all[k]
		if t == nil {
			first := r
			all[k] = &first
			continue
		}
		t.Suspended = t.Suspended && r.Suspended
		t.InStep, t.Connected = t.InStep && r.InStep, t.Connected || r.Connected
		t.Held, t.Refused, t.Outstanding, t.BehindEntries = t.Held+r.Held, t.Refused+r.Refused, t.Outstanding+r.Outstanding, t.BehindEntries+r.BehindEntries
		t.OldestHours = max(t.OldestHours, r.OldestHours)
		t.Asked += r.Asked
		if r.LastAt.After(t.LastAt) {
			t.LastAt = r.LastAt
		}
	}
	for k, r := range all {
		l := []string{"partner", string(k.council), "direction", k.direction, "standard", k.standard.String()}
		p.gauge("stile_partner_suspended", "1 while a party has the agreements suspended; then nothing says whether the partner is in step.", truth(r.Suspended), l...)
		if !r.Suspended {
			p.gauge("stile_partner_in_step", "1 while the partner has all that the agreements let it have, or we all that they let us have; 0 while not.", truth(r.InStep), l...)
		}
		p.gauge("stile_partner_connected", "1 while there is a connection to the partner.", truth(r.Connected), l...)
		p.gauge("stile_partner_records", "Records the receiver holds under the agreements.", float64(r.Held), l...)
		p.gauge("stile_partner_refused", "Records the receiver refused.", float64(r.Refused), l...)
		p.gauge("stile_partner_behind_entries", "How far behind the receiver is, at most: outward in entries of our log that it has not acknowledged, inward in records offered and not held.", float64(r.BehindEntries), l...)
		if k.direction == "out" {
			p.gauge("stile_partner_questions_today", "Questions the partner has asked today, by UTC, under agreements that let it ask.", float64(r.Asked), l...)
			p.gauge("stile_partner_outstanding_withdrawals", "Withdrawals for which there is no receipt yet.", float64(r.Outstanding), l...)
			p.gauge("stile_partner_oldest_withdrawal_age_seconds", "How long the oldest withdrawal without a receipt has waited; 0 when there is none.", r.OldestHours*3600, l...)
		}
		if !r.LastAt.IsZero() {
			p.gauge("stile_partner_last_contact_timestamp_seconds", "When the partner last acknowledged, or last sent, something, in Unix time.", unix(r.LastAt), l...)
		}
	}
}

func (p sheet) footprint(r *replicas.Replica) {
	g := r.Footprint().Figures()
	who := []string{"footprint", string(r.Name())}
	with := func(more ...string) []string { return slices.Concat(who, more) }
	votes, up := 0, 0
	for _, m := range g.Members {
		l := with("council", string(m.Council))
		votes, up = votes+int(truth(m.Votes)), up+int(truth(m.Up))
		p.gauge("stile_footprint_member_up", "1 when the member answered when it was last asked.", truth(m.Up), l...)
		p.gauge("stile_footprint_member_votes", "1 when the member has a vote.", truth(m.Votes), l...)
		p.gauge("stile_footprint_member_behind_entries", "Entries of the footprint's ledger that the member lacked when it was last asked.", float64(m.Behind), l...)
		if !m.Heard.IsZero() {
			p.gauge("stile_footprint_member_last_contact_timestamp_seconds", "When the member last answered this one, in Unix time.", unix(m.Heard), l...)
		}
	}
	p.gauge("stile_footprint_members", "Councils that have joined the footprint.", float64(len(g.Members)), who...)
	p.gauge("stile_footprint_invited", "Councils that are invited and have not joined.", float64(g.Invited), who...)
	p.gauge("stile_footprint_members_voting", "Members that have a vote.", float64(votes), who...)
	p.gauge("stile_footprint_members_up", "Members that answered when they were last asked, this one included.", float64(up), who...)
	p.gauge("stile_footprint_members_needed", "How many members must agree to anything.", float64(g.Needs), who...)
	p.gauge("stile_footprint_has_leader", "1 while a leader is known here.", truth(g.Leader != ""), who...)
	p.gauge("stile_footprint_leads", "1 while this member leads.", truth(g.Leads), who...)
	if c := r.Council(); c != nil {
		p.gauge("stile_machine_runs_council", "1 while this machine runs its council's node.", truth(c.Running()), who...)
	}
	p.gauge("stile_footprint_decides", "1 while something can be decided, as far as is known here: there is a leader, and enough members are up.", truth(g.Decides), who...)
	p.gauge("stile_footprint_stopped", "1 when this member's replica applies nothing any more.", truth(g.Stopped), who...)
	p.gauge("stile_footprint_term", "The term of the leader, which grows with each election.", float64(g.Term), who...)
	p.gauge("stile_footprint_applied_position", "The last position of the replicated log that is applied here.", float64(g.Position), who...)
	p.gauge("stile_footprint_committed_position", "The last position of the replicated log that is known here to be decided. Some positions hold nothing to apply.", float64(g.Committed), who...)
	p.gauge("stile_footprint_entries", "Entries in the footprint's ledger here.", float64(g.Size), who...)
	p.gauge("stile_footprint_checkpoint_entries", "Entries that the newest checkpoint covers which a majority has cosigned.", float64(g.Checkpoint), who...)
	if !g.LeaderHeard.IsZero() {
		p.gauge("stile_footprint_leader_contact_timestamp_seconds", "When this member last heard from the leader, in Unix time; now when it leads itself.", unix(g.LeaderHeard), who...)
	}
	p.gauge("stile_footprint_evidence", "Things that members signed and no honest member signs.", float64(g.Evidence), who...)
	p.gauge("stile_footprint_raft_log_bytes", "Disk space that the replicated log takes.", float64(g.LogBytes), who...)
	p.gauge("stile_footprint_raft_log_limit_bytes", "About how much disk space the replicated log takes before it is cut.", float64(g.LogLimit), who...)
	p.gauge("stile_footprint_raft_log_first_position", "The first position that the replicated log still holds.", float64(g.LogFirst), who...)
	p.gauge("stile_footprint_raft_log_last_position", "The last position that the replicated log holds.", float64(g.LogLast), who...)
	p.gauge("stile_footprint_raft_log_entries", "How many positions the replicated log holds.", float64(g.LogLast-g.LogFirst+min(g.LogLast, 1)), who...)
	for _, o := range []struct {
		outcome string
		n       uint64
	}{{"accepted", g.Offered.Accepted}, {"duplicate", g.Offered.Duplicate}, {"refused", g.Offered.Refused}, {"failed", g.Offered.Failed}} {
		p.counter("stile_footprint_offered_entries_total", "Entries offered by members while this one led, by what became of them; failed: their fate was not told, and they are offered again.", float64(o.n), with("outcome", o.outcome)...)
	}
	p.histogram("stile_footprint_commit_seconds", "How long a batch of entries took from being proposed until a majority had it on disk and it was applied, while this member led.", g.Commit.Bounds, g.Commit.Counts, g.Commit.Count, g.Commit.Sum, who...)
	p.histogram("stile_footprint_apply_seconds", "How long applying took, each time one or more decided batches were applied here.", g.Apply.Bounds, g.Apply.Counts, g.Apply.Count, g.Apply.Sum, who...)
	p.counter("stile_footprint_elections_total", "How often this member stood for election.", float64(g.Candidacies), who...)
	p.counter("stile_footprint_leader_changes_total", "How often this member heard of a new leader.", float64(g.LeaderChanges), who...)
	for _, s := range []struct {
		kind string
		n    uint64
	}{{"noted", g.Snapshots.Noted}, {"sent", g.Snapshots.Sent}, {"installed", g.Snapshots.Installed}, {"not installed", g.Snapshots.InstallFailures}} {
		p.counter("stile_footprint_snapshots_total", "Snapshots: noted, so that the replicated log may be cut; sent to a member that is far behind; installed here, or not because it did not hold.", float64(s.n), with("kind", s.kind)...)
	}
	p.counter("stile_footprint_snapshot_sent_bytes_total", "Bytes of the snapshots sent.", float64(g.Snapshots.SentBytes), who...)
	p.counter("stile_footprint_snapshot_installed_bytes_total", "Bytes of the snapshots installed here.", float64(g.Snapshots.InstalledBytes), who...)
	if counts, err := r.Footprint().Counts(); err == nil {
		for c, by := range counts {
			for std, k := range by {
				p.gauge("stile_footprint_records", "Live records in the footprint's ledger, by the council that contributed them.", float64(k), with("council", string(c), "standard", std.String())...)
			}
		}
	}
}

// A sheet takes figures, one a line. Labels are pairs of name and value.
type sheet struct{ ch chan<- prometheus.Metric }

func (p sheet) gauge(metric, help string, v float64, labels ...string) {
	p.value(prometheus.GaugeValue, metric, help, v, labels)
}

func (p sheet) counter(metric, help string, v float64, labels ...string) {
	p.value(prometheus.CounterValue, metric, help, v, labels)
}

func (p sheet) value(kind prometheus.ValueType, metric, help string, v float64, labels []string) {
	names, values := pairs(labels)
	p.send(prometheus.NewConstMetric(prometheus.NewDesc(metric, help, names, nil), kind, v, values...))
}

func (p sheet) histogram(metric, help string, bounds []float64, counts []uint64, count uint64, sum float64, labels ...string) {
	names, values := pairs(labels)
	buckets := map[float64]uint64{}
	for i, b := range bounds {
		buckets[b] = counts[i]
	}
	p.send(prometheus.NewConstHistogram(prometheus.NewDesc(metric, help, names, nil), count, sum, buckets, values...))
}

func (p sheet) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc("stile_internal_error", "A figure that could not be shown.", nil, nil), err)
	}
	p.ch <- m
}

func pairs(labels []string) (names, values []string) {
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "?"))
	}
	return names, values
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
