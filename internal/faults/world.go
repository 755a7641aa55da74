package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/ledger/examine"
	"github.com/stile-exchange/stile/node"
)

// A world has the program and a folder that each trial begins with a copy of.
type world struct {
	bin, dir, base string
	trials, flips  int
	rng            *rand.Rand
	n              int // folders made
}

const council = "northmoor.gov.uk"

func newWorld(ctx context.Context, trials, flips int, seed uint64) (*world, error) {
	dir, err := os.MkdirTemp("", "sf-") // Unix sockets have short names
	if err != nil {
		return nil, err
	}
	w := &world{bin: filepath.Join(dir, "stile"), dir: dir, base: filepath.Join(dir, "base"), trials: trials, flips: flips}
	if out, err := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", w.bin, "github.com/stile-exchange/stile/cmd/stile").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	cfg, err := node.Init(ctx, node.InitOptions{Dir: w.base, Council: council, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(w.base, config.FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("limits: {min_free_mib: 16}\n")
	return w, errors.Join(err, f.Close(), os.RemoveAll(cfg.AdminSocket))
}

func (w *world) remove() { os.RemoveAll(w.dir) }

// A folder is a node's data folder and what it acknowledged.
type folder struct {
	w   *world
	dir string
	// wrote is what was acknowledged, by reference; tried what was offered and of which it
	// is not known.
	mu    sync.Mutex
	wrote map[string]string
	tried map[string]string
}

// folder makes a folder as it is after stile init, in the world's or another place.
func (w *world) folder(in string) (*folder, error) {
	w.n++
	if in == "" {
		in = w.dir
	}
	f := &folder{w: w, dir: filepath.Join(in, fmt.Sprint(w.n)), wrote: map[string]string{}, tried: map[string]string{}}
	return f, copyTree(w.base, f.dir)
}

// copy copies a folder as it is, whose process does not run.
func (f *folder) copy() (*folder, error) {
	f.w.n++
	c := &folder{w: f.w, dir: filepath.Join(f.w.dir, fmt.Sprint(f.w.n)), wrote: f.wrote, tried: f.tried}
	return c, copyTree(f.dir, c.dir)
}

func (f *folder) remove() { os.RemoveAll(f.dir) }

// copyTree copies regular files, and leaves holes where there are zeros at their ends.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(dst, b[:examine.Used(b)], 0o600), os.Truncate(dst, int64(len(b))))
	})
}

// A process is a node that serves.
type process struct {
	cmd    *exec.Cmd
	client *node.Client
	errs   bytes.Buffer
	ended  chan struct{}
}

// serve starts the node, under a wrapping command if one is given, and waits until it is ready. When it
// ends before, the error is what it said.
func (f *folder) serve(ctx context.Context, env []string, wrap ...string) (*process, error) {
	args := append(wrap, f.w.bin, "serve", "--data", f.dir)
	p := &process{cmd: exec.CommandContext(ctx, args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			p.cmd.Wait()
			return nil, &refusal{p.errs.String(), p.cmd.ProcessState.String()}
		}
		if strings.HasPrefix(line, "ready") {
			break
		}
	}
	go func() { io.Copy(io.Discard, r); p.cmd.Wait(); close(p.ended) }()
	if p.client, err = node.Dial(ctx, filepath.Join(f.dir, "admin.sock")); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// A refusal is a node that does not start.
type refusal struct{ said, state string }

func (r *refusal) Error() string { return r.state + ": " + r.said }

// inWords reports whether the node ended by itself and said why.
func (r *refusal) inWords() bool {
	return strings.Contains(r.state, "exit status") && strings.Contains(r.said, "stile: ") && !strings.Contains(r.said, "goroutine ")
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// within reports whether the process has ended within a time.
func (p *process) within(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

func body(ref, text string) []byte {
	b, _ := json.Marshal(map[string]string{
		"reference": ref, "organisation": "local-authority:NBR", "district": "Saltby", "address": "14 Albert Terrace, Saltby",
		"applicationType": "householder", "status": "received", "description": text, "receivedDate": "2026-10-05",
	})
	return b
}

// put offers n records in one request and notes what was acknowledged.
func (f *folder) put(ctx context.Context, c interface{ Records() node.Records }, n int) error {
	req := node.PutRequest{Standard: "planning-application"}
	var refs []string
	f.mu.Lock()
	for range n {
		ref := fmt.Sprintf("26/%05d/%d", len(f.wrote)+len(f.tried), f.w.rng.IntN(1e6))
		text := fmt.Sprintf("An extension, number %d.", f.w.rng.IntN(1e9))
		f.tried[ref] = text
		refs = append(refs, ref)
		req.Records = append(req.Records, node.Offered{Record: body(ref, text)})
	}
	f.mu.Unlock()
	reply, err := c.Records().Put(ctx, req)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range reply.Results {
		if r.Outcome != "" && len(r.Problems) == 0 {
			f.wrote[refs[i]] = f.tried[refs[i]]
			delete(f.tried, refs[i])
		}
	}
	return nil
}

// check lists every record by the program, whose node does not run, and holds the list against what
// was acknowledged. It reports whether all was well. A trial that was interrupted counts as none.
func (f *folder) check(whole context.Context, c *count) bool {
	ctx, cancel := context.WithTimeout(whole, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.w.bin, "export", "records", "planning-application", "--format", "ndjson", "--out", "-", "--data", f.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if whole.Err() != nil {
			c.trials--
			c.acknowledged -= len(f.wrote)
			return false
		}
		if r := (&refusal{errs.String(), cmd.ProcessState.String()}); !r.inWords() {
			c.wrong++
			c.note("ended without words: %v", r)
			return false
		}
		c.refused++
		return false
	}
	lost, doubled, wrong := f.compare(out.Bytes())
	c.lost, c.doubled, c.wrong = c.lost+lost, c.doubled+doubled, c.wrong+wrong
	if lost+doubled+wrong > 0 {
		c.note("lost %d, doubled %d, wrong %d; it said: %s", lost, doubled, wrong, errs.String())
		return false
	}
	c.recovered++
	return true
}

func (f *folder) compare(list []byte) (lost, doubled, wrong int) {
	seen := map[string]int{}
	for line := range bytes.Lines(list) {
		var r struct{ Reference, Description string }
		if err := json.Unmarshal(line, &r); err != nil {
			wrong++
			continue
		}
		seen[r.Reference]++
		want, ok := f.wrote[r.Reference]
		if !ok {
			want, ok = f.tried[r.Reference]
		}
		if !ok || want != r.Description {
			wrong++
		}
	}
	for ref := range f.wrote {
		if seen[ref] == 0 {
			lost++
		}
	}
	for _, n := range seen {
		if n > 1 {
			doubled++
		}
	}
	return lost, doubled, wrong
}
