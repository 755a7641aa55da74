package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// gauges reads the node's figures when it is scraped.
type gauges struct{ m *Monitor }

// Describe implements prometheus.Collector. It describes nothing in advance:
// which councils and standards there are changes.
func (g gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	m, p := g.m, sheet{ch}
	p.gauge("stile_build_info", "The version of Stile that runs. The value is always 1.", 1, "version", m.o.Version)
	if held := m.o.Conditions(); held != nil { // nobody has looked yet
		p.conditions(held)
	}
	passed := map[quota.Kind]float64{}
	for _, r := range m.o.Passed() {
		passed[r.Kind] += float64(r.Count)
	}
	for _, kind := range quota.Kinds() {
		p.counter("stile_quota_refused_total", "What was refused to councils that had used their share of it; docs/quotas.md has the kinds.", passed[kind], "kind", string(kind))
	}
	p.gauge("stile_ledger_entries", "Entries in the council's own ledger.", float64(m.o.Ledger.Size()))
	if free, err := ledger.FreeDisk(m.o.Data); err == nil {
		p.gauge("stile_disk_free_bytes", "Free disk space in the data folder.", float64(free))
	}
	p.gauge("stile_disk_needed_bytes", "Free disk space below which no more records are taken.", float64(m.o.MinFree))
	h := m.o.View().Health(m.o.Now())
	p.gauge("stile_directory_up_to_date", "1 while the directory can be relied upon; 0 when it has expired or was never fetched, and nothing is exchanged.", truth(m.o.Directory.Exchange(m.o.Now()) == nil))
	if !h.Expires.IsZero() {
		p.gauge("stile_directory_expiry_timestamp_seconds", "When the first of the directory's files expires, in Unix time.", unix(h.Expires))
	}
	if c := m.counted.Load(); c != nil {
		c.collect(p)
	}
	for _, r := range m.o.Replicas.All() {
		p.gauge("stile_footprint_open", "1 while the replica of the footprint is open here, 0 when it could not be opened.", truth(r.Footprint() != nil), "footprint", string(r.Name()))
	}
	for _, r := range m.o.Replicas.List() {
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
	all := map[key]*api.PartnerReply{}
	for _, r := range c.partners {
		if r.Footprint != "" {
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

// conditions shows each kind of condition that there is, so that an alert need not
// tell what does not hold from what was not looked at.
func (p sheet) conditions(held []api.Condition) {
	for _, k := range condition.Counted(held) {
		p.gauge("stile_condition", "How many conditions of the kind hold; docs/operating.md says what each means. Those that the configuration accepts are notices.", float64(k.N), "name", k.Name, "severity", string(k.Severity))
	}
}
