package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A program is the benchmarks of a package, built, or a command.
type program struct {
	path string
	dir  string // where it runs: the folder of its package
}

// buildTests builds the benchmarks of a package of the module in root.
func buildTests(ctx context.Context, root, pkg, into string) (program, error) {
	p := program{path: filepath.Join(into, strings.ReplaceAll(pkg, "/", "-")+".test"), dir: filepath.Join(root, pkg)}
	c := exec.CommandContext(ctx, "go", "test", "-c", "-o", p.path, "./"+pkg)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return p, fmt.Errorf("build the benchmarks of %s: %w\n%s", pkg, err, out)
	}
	return p, nil
}

// A result is one line that a benchmark printed: its figures by unit.
type result struct {
	name    string // without "Benchmark" and the number of cores
	figures map[string]float64
}

// bench runs benchmarks once each and returns what they printed.
func (p program) bench(ctx context.Context, pattern, times string, env ...string) ([]result, error) {
	c := exec.CommandContext(ctx, p.path, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", times, "-test.timeout", "60m")
	c.Dir, c.Env = p.dir, append(os.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(p.path), pattern, err, out)
	}
	found := parseBench(string(out), runtime.GOMAXPROCS(0))
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no benchmark %s\n%s", filepath.Base(p.path), pattern, out)
	}
	return found, nil
}

// parseBench reads the lines that the testing package prints for benchmarks that
// run on so many cores.
func parseBench(out string, cores int) (all []result) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		name, ok := strings.CutPrefix(line, "Benchmark")
		if !ok || len(f) < 4 || len(f)%2 != 0 {
			continue
		}
		if name, _, _ = strings.Cut(name, " "); strings.ContainsRune(name, '\t') {
			name, _, _ = strings.Cut(name, "\t")
		}
		if cores > 1 { // with one the name has no number
			name = strings.TrimSuffix(name, "-"+strconv.Itoa(cores))
		}
		r := result{name: name, figures: map[string]float64{}}
		for i := 2; i < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				r.figures[f[i+1]] = v
			}
		}
		all = append(all, r)
	}
	return all
}

// stile runs benchmarks of the node for the lane, or those of another package, and
// returns their figures under the names that the rows use: "unit" of the
// benchmark, or "sub-benchmark unit", to the name here.
func (w *world) stile(ctx context.Context, p program, pattern, times string, names map[string]string, env ...string) (figures, error) {
	found, err := p.bench(ctx, pattern, times, append([]string{fmt.Sprintf("STILE_BENCH_RECORDS=%d", len(w.records))}, env...)...)
	if err != nil {
		return nil, err
	}
	out := figures{}
	for _, r := range found {
		_, sub, _ := strings.Cut(r.name, "/")
		for unit, v := range r.figures {
			if to, ok := names[strings.TrimSpace(sub+" "+unit)]; ok {
				out[to] = v
			}
		}
	}
	for _, to := range names {
		if _, ok := out[to]; !ok {
			return nil, fmt.Errorf("%s: no figure %s", pattern, to)
		}
	}
	return out, nil
}

func (w *world) stileIngest(ctx context.Context) (figures, error) {
	out, err := w.stile(ctx, w.node, "^BenchmarkIngestDurable$", "1x", map[string]string{
		"records/s": "A", "cpu-us/record": "A.cpu", "disk-B/record": "disk"})
	if err != nil {
		return nil, err
	}
	out["A2"], out["A2.cpu"] = out["A"], out["A.cpu"]
	more, err := w.stileImport(ctx)
	for k, v := range more {
		out[k] = v
	}
	return out, err
}

// stileImport is lane A as an officer does it: the file is imported into a node
// that runs. The processor time is of both programs.
func (w *world) stileImport(ctx context.Context) (out figures, err error) {
	dir, err := os.MkdirTemp(w.dir, "s-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file, data := filepath.Join(dir, "lane.ndjson"), filepath.Join(dir, "n")
	var b []byte
	for _, r := range w.records {
		b = append(append(b, r...), '\n')
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, err
	}
	b = nil
	serve, err := w.serve(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() {
		serve.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, serve.Wait())
	}()
	pid := serve.Process.Pid
	peak, cpu, at := peakMemory(pid), cpuOf(pid), time.Now()
	c := exec.CommandContext(ctx, w.bin, "import", file, "--standard", "planning-application", "--data", data)
	text, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("stile import: %w\n%s", err, text)
	}
	took, n := time.Since(at).Seconds(), float64(len(w.records))
	used := cpuOf(pid) - cpu + (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	out = figures{"import": n / took, "import.cpu": used * 1e6 / n, "memory": peak()}
	if w.round == 0 { // how fast commands start does not change from round to round
		version, err := w.startTime(ctx, "version")
		if err != nil {
			return nil, err
		}
		status, err := w.startTime(ctx, "status", "--data", data)
		if err != nil {
			return nil, err
		}
		out["start-version"], out["start-status"] = version, status
	}
	return out, nil
}

// serve founds a node and runs it.
func (w *world) serve(ctx context.Context, data string) (*exec.Cmd, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	init := exec.CommandContext(ctx, w.bin, "init", "--data", data, "--council", "northmoor.gov.uk", "--gss", "E07000998",
		"--listen", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0]))
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("stile init: %w\n%s", err, out)
	}
	c := exec.Command(w.bin, "serve", "--data", data)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	ready, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(ready)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready") {
			return c, nil
		}
	}
	return nil, errors.Join(errors.New("stile serve ended before it was ready"), c.Wait())
}

// startTime returns the median of how long a command takes, in ms.
func (w *world) startTime(ctx context.Context, args ...string) (float64, error) {
	var took []time.Duration
	for range 21 {
		at := time.Now()
		if out, err := exec.CommandContext(ctx, w.bin, args...).CombinedOutput(); err != nil {
			// A node that is behind or warns exits so too; it ran all the same.
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.ExitCode() != 8 {
				return 0, fmt.Errorf("stile %s: %w\n%s", args[0], err, out)
			}
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Microseconds()) / 1000, nil
}

func (w *world) stileOne(ctx context.Context) (figures, error) {
	return w.stile(ctx, w.node, "^BenchmarkPutOne$", fmt.Sprintf("%dx", w.ones), map[string]string{
		"clients-1 p50-ms": "one1.p50", "clients-1 p99-ms": "one1.p99", "clients-1 records/s": "one1.rate", "clients-1 cpu-us/record": "one1.cpu",
		"clients-16 p50-ms": "one16.p50", "clients-16 p99-ms": "one16.p99", "clients-16 records/s": "one16.rate", "clients-16 cpu-us/record": "one16.cpu",
	})
}

func (w *world) stileShare(ctx context.Context) (figures, error) {
	out, err := w.stile(ctx, w.node, "^BenchmarkLiveCopy$", "1x", map[string]string{"proved/s": "live", "cpu-us/record": "live.cpu"})
	if err != nil {
		return nil, err
	}
	more, err := w.stile(ctx, w.node, "^BenchmarkFirstCopy$", "1x", map[string]string{
		"30%-s": "first30", "30%-cpu-us/record": "first30.cpu", "1%-s": "first1", "1%-cpu-us/record": "first1.cpu"})
	for k, v := range more {
		out[k] = v
	}
	return out, err
}

func (w *world) stileVisible(ctx context.Context) (figures, error) {
	return w.stile(ctx, w.node, "^BenchmarkWriteToVisible$", fmt.Sprintf("%dx", w.ones), map[string]string{
		"p50-ms": "visible.p50", "p99-ms": "visible.p99", "cpu-us/record": "visible.cpu"})
}

func (w *world) stileThree(ctx context.Context) (figures, error) {
	out, err := w.stile(ctx, w.footprint, "^BenchmarkPutBatch$/^leader$", fmt.Sprintf("%dx", max(1, w.three/batch)), map[string]string{
		"leader records/s": "three", "leader cpu-µs/record": "three.cpu"})
	if err != nil {
		return nil, err
	}
	more, err := w.stile(ctx, w.node, "^BenchmarkFootprintFlow$/^leader$", "1x", map[string]string{
		"leader records/s": "flow", "leader cpu-us/record": "flow.cpu"})
	for k, v := range more {
		out[k] = v
	}
	return out, err
}

// stileGrowth is what records cost and what the node holds at three sizes.
func (w *world) stileGrowth(ctx context.Context) (figures, error) {
	out := figures{}
	for _, n := range w.growth {
		at := fmt.Sprintf("grow%d.", n)
		more, err := w.stile(ctx, w.node, "^BenchmarkMemory$", "1x", map[string]string{
			"peak-MiB": at + "peak", "heap-MiB": at + "heap", "records/s": at + "rate",
			"cpu-us/first": at + "first", "cpu-us/last": at + "last", "disk-B/record": at + "disk",
		}, fmt.Sprintf("STILE_BENCH_RECORDS=%d", n))
		if err != nil {
			return nil, err
		}
		for k, v := range more {
			out[k] = v
		}
	}
	return out, nil
}
