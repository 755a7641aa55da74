package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// batch is how many records the peers take in one transaction.
const batch = 1000

// natsVersion is the server that is built when it is not in the cache. It is no
// part of this module.
const natsVersion = "v2.15.3"

// A world is what the lanes of one run share.
type world struct {
	dir       string // of this run, removed at its end
	bin       string // the command stile
	node      program
	footprint program // the benchmarks of a footprint
	postgres  *postgres
	natsBin   string

	schemaFS fs.FS // the standard of the lane, in three shapes
	standard *standard.Standard
	rule     *rule

	records     [][]byte
	fields      []string // what the partner gets
	thirty, one int      // how many records the two agreements let out
	ones        int      // how many are put one by one
	three       int      // how many go to three members
	growth      []int
	round       int
}

// partnerFields are those of the agreement in the node's benchmarks.
var partnerFields = []string{"reference", "organisation", "district", "address", "postcode", "longitude", "latitude",
	"applicationType", "status", "description", "decision", "decisionDate"}

// A lane is one thing to measure: how each system does it.
type lane struct {
	name string
	once bool // in the first round alone
	by   map[string]func(context.Context) (figures, error)
}

func (w *world) lanes() []lane {
	type run = map[string]func(context.Context) (figures, error)
	return []lane{
		{"A", false, run{"Stile": w.stileIngest, "PostgreSQL": w.postgresIngest, "NATS": w.natsIngest}},
		{"one", false, run{"Stile": w.stileOne, "PostgreSQL": w.postgresOne, "NATS": w.natsOne}},
		{"B", false, run{"Stile": w.stileShare, "PostgreSQL": w.postgresShare, "NATS": w.natsShare}},
		{"C", false, run{"Stile": w.stileVisible, "PostgreSQL": w.postgresVisible, "NATS": w.natsVisible}},
		{"D", false, run{"Stile": w.stileThree, "PostgreSQL": w.postgresThree, "NATS": w.natsThree}},
		{"growth", true, run{"Stile": w.stileGrowth}},
	}
}

// peers measures, prints the table, and writes it between the marks of a file.
func peers(ctx context.Context, args []string) (err error) {
	set := flag.NewFlagSet("peers", flag.ContinueOnError)
	size := set.Int("size", 100_000, "records of the lane")
	rounds := set.Int("rounds", 5, "rounds, in each of which every system takes its turn")
	only := set.String("lanes", "A,one,B,C,D,growth", "lanes to run")
	growth := set.String("growth", "10000,100000,500000", "sizes of the lane growth")
	into := set.String("into", "", "file to write the table into, between its marks")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *size < 2000 || *rounds < 1 {
		return errors.New("size is at least 2000 and rounds at least 1")
	}
	w := &world{fields: partnerFields, ones: min(1000, *size/4), three: min(20_000, *size)}
	for s := range strings.SplitSeq(*growth, ",") {
		var n int
		if _, err := fmt.Sscan(s, &n); err != nil || n < 10 {
			return fmt.Errorf("growth: %q is no size", s)
		}
		w.growth = append(w.growth, n)
	}
	wanted := strings.Split(*only, ",")
	for _, x := range wanted {
		if !slices.ContainsFunc(w.lanes(), func(l lane) bool { return l.name == x }) {
			return fmt.Errorf("there is no lane %q", x)
		}
	}
	t := newTable(ctx, *size, *rounds)
	t.growth = w.growth
	if err := w.prepare(ctx, *size, t); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	systems := []string{"Stile", "PostgreSQL", "NATS"}
	for w.round = range *rounds {
		for _, l := range w.lanes() {
			if !slices.Contains(wanted, l.name) || l.once && w.round > 0 {
				continue
			}
			// Who begins changes from round to round, so that nobody always comes
			// after the same one.
			for i := range systems {
				who := systems[(i+w.round)%len(systems)]
				run := l.by[who]
				if run == nil || who == "NATS" && w.natsBin == "" || who == "PostgreSQL" && w.postgres == nil {
					continue
				}
				at := time.Now()
				f, err := run(ctx)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				fmt.Fprintf(os.Stderr, "bench: round %d, lane %s, %s: %s\n", w.round+1, l.name, who, time.Since(at).Round(time.Millisecond))
				if err != nil {
					fmt.Fprintln(os.Stderr, "bench:", err)
					t.failed(l.name, who)
					continue
				}
				t.add(w.round, who, f)
			}
		}
	}
	t.end()
	text := t.markdown()
	fmt.Print(text)
	if *into == "" {
		return nil
	}
	old, err := os.ReadFile(*into)
	if err != nil {
		return err
	}
	new, err := between(string(old), text)
	if err != nil {
		return fmt.Errorf("%s: %w", *into, err)
	}
	return os.WriteFile(*into, []byte(new), 0o644)
}

// prepare makes the records, builds the programs and finds the servers. A peer
// that is not to be had is left out, and t says so.
func (w *world) prepare(ctx context.Context, size int, t *table) (err error) {
	if w.dir, err = os.MkdirTemp("", "stile-bench-"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(w.dir)
		}
	}()
	if err = os.Chmod(w.dir, 0o755); err != nil { // the user of PostgreSQL has a folder in it
		return err
	}
	w.schemaFS = schemas.FS("planning-application/1.0.0")
	if w.standard, err = standard.Load(w.schemaFS); err != nil {
		return err
	}
	schema, err := fs.ReadFile(w.schemaFS, "schema.json")
	if err != nil {
		return err
	}
	if w.rule, err = parseRule(schema); err != nil {
		return fmt.Errorf("the standard uses what the lanes of the peers do not check: %w", err)
	}
	w.records = laneRecords(size)
	for _, r := range w.records {
		if bytes.Contains(r, []byte(`"district":"X"`)) {
			w.thirty++
		}
		if bytes.Contains(r, []byte("local-authority:NBX")) {
			w.one++
		}
	}
	w.bin = filepath.Join(w.dir, "stile")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", w.bin, "./cmd/stile").CombinedOutput(); err != nil {
		return fmt.Errorf("build stile: %w\n%s", err, out)
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if w.node, err = buildTests(ctx, root, "node", w.dir); err != nil {
		return err
	}
	if w.footprint, err = buildTests(ctx, root, "internal/footprint", w.dir); err != nil {
		return err
	}
	var absent error
	if w.postgres, absent = findPostgres(filepath.Join(w.dir, "postgres")); absent != nil {
		w.postgres = nil
		t.note("PostgreSQL was not measured: " + absent.Error() + ".")
	} else {
		t.versions = append(t.versions, "PostgreSQL "+w.postgres.version)
	}
	if w.natsBin, absent = findNATS(ctx); absent != nil {
		w.natsBin = ""
		fmt.Fprintln(os.Stderr, "bench:", absent)
		t.note("NATS was not measured: its server could not be built.")
	} else {
		t.versions = append(t.versions, "NATS server "+natsVersion)
	}
	return nil
}

// laneRecords makes the records that the node's benchmarks make.
func laneRecords(size int) (all [][]byte) {
	for i := range size {
		r := generate.PlanningApplication(1, i)
		if i%100 == 0 {
			r = bytes.Replace(r, []byte("local-authority:NBR"), []byte("local-authority:NBX"), 1)
		}
		all = append(all, r)
	}
	return all
}

// findNATS returns the server, which it builds into the user's cache when it is
// not there.
func findNATS(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "stile-bench", "nats-"+natsVersion)
	bin := filepath.Join(dir, "nats-server")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	c := exec.CommandContext(ctx, "go", "install", "github.com/nats-io/nats-server/v2@"+natsVersion)
	c.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the NATS server: %w\n%s", err, out)
	}
	return bin, nil
}

// waits are how long callers waited.
type waits []time.Duration

// report adds the median and the 99th percentile, in ms.
func (t waits) report(out figures, id string) {
	slices.Sort(t)
	out[id+".p50"] = float64(t[len(t)/2].Microseconds()) / 1000
	out[id+".p99"] = float64(t[len(t)*99/100].Microseconds()) / 1000
}

// oneByOne has clients put records, each one after its last was taken, and adds
// how long they waited and how many went in in a second.
func oneByOne(out figures, id string, clients []func(rec []byte) error, records [][]byte) error {
	offers := make(chan []byte)
	stop := make(chan struct{})
	took, errs := make([]waits, len(clients)), make([]error, len(clients))
	var once sync.Once
	var wg sync.WaitGroup
	at := time.Now()
	for i, put := range clients {
		wg.Go(func() {
			for r := range offers {
				began := time.Now()
				if err := put(r); err != nil {
					errs[i] = err
					once.Do(func() { close(stop) })
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	for _, r := range records {
		select {
		case offers <- r:
			continue
		case <-stop:
		}
		break
	}
	close(offers)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	out[id+".rate"] = float64(len(records)) / time.Since(at).Seconds()
	slices.Concat(took...).report(out, id)
	return nil
}
