package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// figures are what one lane of one system gave in one round, by the key of the
// row.
type figures map[string]float64

// A row is a line of the table.
type row struct {
	lane, key, what, unit string
	more                  bool // is more better?
}

var rows = []row{
	{"A", "A", "ingest, validated and durable: one writer", "records/s", true},
	{"A", "A.cpu", "the same, processor time a record", "µs", false},
	{"A", "A2", "ingest: PostgreSQL with two writers", "records/s", true},
	{"A", "A2.cpu", "the same, processor time a record", "µs", false},
	{"A", "import", "`stile import` into a `stile serve`", "records/s", true},
	{"A", "import.cpu", "the same, processor time a record, both programs", "µs", false},
	{"A", "memory", "peak memory of the server meanwhile", "MiB", false},
	{"A", "disk", "disk a record", "bytes", false},
	{"A", "start-version", "`stile version`, start to end", "ms", false},
	{"A", "start-status", "`stile status`, start to end", "ms", false},
	{"one", "one1.p50", "one put, 1 client, median", "ms", false},
	{"one", "one1.p99", "one put, 1 client, 99th percentile", "ms", false},
	{"one", "one1.cpu", "one put, 1 client, processor time", "µs", false},
	{"one", "one16.p50", "one put, 16 clients, median", "ms", false},
	{"one", "one16.p99", "one put, 16 clients, 99th percentile", "ms", false},
	{"one", "one16.rate", "16 clients together", "records/s", true},
	{"one", "one16.cpu", "16 clients, processor time a record", "µs", false},
	{"B", "live", "30% of rows, 12 of 18 fields, while all go in", "records/s", true},
	{"B", "live.cpu", "the same, processor time a record that arrives", "µs", false},
	{"B", "first30", "first copy of the 30% on a loaded node", "s", false},
	{"B", "first30.cpu", "the same, processor time a record", "µs", false},
	{"B", "first1", "first copy of 1%", "s", false},
	{"B", "first1.cpu", "the same, processor time a record", "µs", false},
	{"C", "visible.p50", "one record until the partner shows it, median", "ms", false},
	{"C", "visible.p99", "the same, 99th percentile", "ms", false},
	{"C", "visible.cpu", "the same, processor time", "µs", false},
	{"D", "three", "three members, batches of 1,000", "records/s", true},
	{"D", "three.cpu", "the same, processor time a record of all three", "µs", false},
	{"D", "flow", "from a council's ledger into a footprint of three", "records/s", true},
	{"D", "flow.cpu", "the same, processor time a record", "µs", false},
}

// rowsOfGrowth are the rows of one size of the lane growth.
func rowsOfGrowth(size int) []row {
	at := fmt.Sprintf("grow%d.", size)
	what := thousands(float64(size)) + " records in: "
	return []row{
		{"growth", at + "rate", what + "rate over all", "records/s", true},
		{"growth", at + "first", what + "processor time a record, first tenth", "µs", false},
		{"growth", at + "last", what + "processor time a record, last tenth", "µs", false},
		{"growth", at + "peak", what + "peak memory", "MiB", false},
		{"growth", at + "heap", what + "heap after a collection", "MiB", false},
		{"growth", at + "disk", what + "disk a record", "bytes", false},
	}
}

// A table holds what was measured, round by round, and where.
type table struct {
	size, rounds  int
	commit, place string
	began, ended  string // the load average
	day           string
	versions      []string
	notes         []string
	bad           map[string]int // "lane X of Y" to how many rounds failed
	got           map[string][]figures
	growth        []int
}

func newTable(ctx context.Context, size, rounds int) *table {
	return &table{size: size, rounds: rounds, commit: commitOf(ctx), place: machine(), began: load(),
		day: time.Now().UTC().Format(time.DateOnly), bad: map[string]int{}, got: map[string][]figures{}}
}

func (t *table) note(s string) { t.notes = append(t.notes, s) }
func (t *table) end()          { t.ended = load() }

func (t *table) failed(lane, who string) { t.bad["lane "+lane+" of "+who]++ }

// add adds the figures of a system in a round; a round has those of all lanes.
func (t *table) add(round int, who string, f figures) {
	for len(t.got[who]) <= round {
		t.got[who] = append(t.got[who], figures{})
	}
	for k, v := range f {
		t.got[who][round][k] = v
	}
}

// values returns the figures of a row in all rounds that have one.
func (t *table) values(who, key string) (all []float64) {
	for _, f := range t.got[who] {
		if v, ok := f[key]; ok {
			all = append(all, v)
		}
	}
	return all
}

// ratios returns, for each round that has a figure of both, how many times as
// good Stile was: over 1 it was ahead.
func (t *table) ratios(peer string, r row) (all []float64) {
	for i := range min(len(t.got["Stile"]), len(t.got[peer])) {
		a, okA := t.got["Stile"][i][r.key]
		b, okB := t.got[peer][i][r.key]
		if !okA || !okB || a == 0 || b == 0 {
			continue
		}
		if r.more {
			all = append(all, a/b)
		} else {
			all = append(all, b/a)
		}
	}
	return all
}

// spread returns the least, the median and the most of some figures, which are
// at least one.
func spread(v []float64) (least, median, most float64) {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return v[0], (v[(n-1)/2] + v[n/2]) / 2, v[n-1]
}

// cell prints the median of figures, and the least and most where they are
// several.
func cell(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	least, median, most := spread(v)
	if len(v) == 1 {
		return number(median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(median), number(least), number(most))
}

// number prints three digits that count, or all before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return thousands(math.Round(v))
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1 || a == 0:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.4f", v)
	}
}

func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

const (
	markBegin = "<!-- bench-peers begins: written by make bench-peers -->"
	markEnd   = "<!-- bench-peers ends -->"
)

// between puts a text in place of what stands between the two marks of another.
func between(doc, text string) (string, error) {
	before, rest, ok := strings.Cut(doc, markBegin+"\n")
	_, after, ok2 := strings.Cut(rest, markEnd)
	if !ok || !ok2 {
		return "", errors.New("the two marks of bench-peers are not there")
	}
	return before + markBegin + "\n" + text + markEnd + after, nil
}

// markdown returns the table: a row for each figure that Stile has, a dash where
// a peer has none.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s at commit %s.\n%s.\nLoad average (1, 5, 15 minutes) at the start %s, at the end %s.\n",
		t.day, t.commit, t.place, t.began, t.ended)
	if len(t.versions) > 0 {
		fmt.Fprintf(&b, "Peers: %s, both syncing every commit.\n", strings.Join(t.versions, ", "))
	}
	fmt.Fprintf(&b, `
%s records, %s. In each round every system takes its turn. A figure is the median (least–most) of the rounds. A ratio is
of two figures of one round: how many times as good Stile is, so **over 1 Stile is ahead**, for times, memory and disk as well.

| lane | what | unit | Stile | PostgreSQL | ratio | NATS | ratio | command |
|---|---|---|---|---|---|---|---|---|
`, thousands(float64(t.size)), inRounds(t.rounds))
	all := slices.Clone(rows)
	for _, n := range t.growth {
		all = append(all, rowsOfGrowth(n)...)
	}
	for _, r := range all {
		mine := t.values("Stile", r.key)
		if len(mine) == 0 {
			continue
		}
		command := fmt.Sprintf("`make bench-peers LANES=%s SIZE=%d ROUNDS=%d`", r.lane, t.size, t.rounds)
		if r.lane == "growth" {
			command = "`make bench-peers LANES=growth`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.lane, r.what, r.unit, cell(mine),
			cell(t.values("PostgreSQL", r.key)), cell(t.ratios("PostgreSQL", r)),
			cell(t.values("NATS", r.key)), cell(t.ratios("NATS", r)), command)
	}
	b.WriteString("\n")
	for _, n := range t.allNotes() {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	b.WriteString("\n")
	return b.String()
}

func inRounds(n int) string {
	if n == 1 {
		return "one round, so without a spread"
	}
	return fmt.Sprintf("%d rounds", n)
}

func (t *table) allNotes() []string {
	all := slices.Clone(t.notes)
	for _, k := range slices.Sorted(maps.Keys(t.bad)) {
		all = append(all, fmt.Sprintf("%s%s failed in %d of %d rounds, which have no figure of it.", strings.ToUpper(k[:1]), k[1:], t.bad[k], t.rounds))
	}
	return append(all,
		"Stile signs, logs and proves what it takes, and its partner checks the proof. PostgreSQL checks the whole standard as a constraint on jsonb (A, one put, D) "+
			"or on columns (B, C); NATS checks nothing, so its client validates by Stile's code. Neither signs or proves.",
		"Stile's lanes run client and nodes in one process. Processor time of a peer is of its servers and its client together.",
		"Peak memory is of the serving program alone (PostgreSQL: all its processes, shared memory once). Disk is the ledger of Stile, table and index of PostgreSQL "+
			"without its log, the store of NATS.",
		"PostgreSQL in B and C: logical replication with a row filter and a column list, synced at the subscriber, `wal_retrieve_retry_interval` 0.1 s (by default a first copy waits out 5 s). NATS cannot leave out fields: a relay between two servers "+
			"cuts each message down. D: a primary and two quorum standbys; a stream of three replicas.",
	)
}

// commitOf returns the commit that is measured.
func commitOf(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=7", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	c := strings.TrimSpace(string(out))
	if out, err = exec.CommandContext(ctx, "git", "status", "--porcelain").Output(); err != nil || len(out) > 0 {
		c += " with changes that are not committed"
	}
	return c
}

// machine says what this runs on.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			_, rest, _ = strings.Cut(rest, ":")
			line, _, _ := strings.Cut(rest, "\n")
			model = strings.TrimSpace(line)
		}
	}
	kernel := "unknown"
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(b))
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, %s", model, runtime.NumCPU(), kernel, fileSystem(string(mounts), os.TempDir()), runtime.Version())
}

// fileSystem returns the kind of the file system that holds a folder.
func fileSystem(mounts, dir string) string {
	kind, longest := "unknown file system", -1
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		rel, err := filepath.Rel(f[1], dir)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") && len(f[1]) >= longest {
			kind, longest = f[2], len(f[1])
		}
	}
	return kind
}

func load() string {
	var s syscall.Sysinfo_t
	if err := syscall.Sysinfo(&s); err != nil {
		return "unknown"
	}
	at := func(i int) float64 { return float64(s.Loads[i]) / (1 << 16) }
	return fmt.Sprintf("%.1f %.1f %.1f", at(0), at(1), at(2))
}
