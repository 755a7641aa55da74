// Command faults does to running nodes what machines do, many times, and counts what became
// of what was acknowledged.
//
//	go run ./internal/faults -trials 100 -flips 200 -into docs/faults.md     (make faults)
//
// Each trial begins with a node's folder, runs the stile program in it as a process of its
// own, does it some harm, starts it again and reads everything back. A record counts as
// acknowledged when the program said that it is on disk. Of each kind of harm is told:
//
//	trials       how often it was done
//	acknowledged records
//	lost         acknowledged, and not there afterwards, without a word
//	doubled      there twice, or at a version that nobody wrote
//	silent wrong a wrong record, a shorter list or another key, with exit code 0
//	refused      the node did not open and said why, and the files were not touched
//	recovered    everything that was acknowledged is read as it was written
//
// What a machine does not have, such as strace or the right to mount, is skipped, and the table
// says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	trials := flag.Int("trials", 100, "how often a node is killed; other kinds of harm are done a part as often")
	flips := flag.Int("flips", 200, "how many bits are flipped in each kind of file")
	seed := flag.Uint64("seed", 1, "what is done where, and when")
	into := flag.String("into", "", "file whose table between the markers is written anew")
	only := flag.String("only", "", "do the kinds of harm whose name has this in it")
	flag.Parse()
	if err := run(ctx, *trials, *flips, *seed, *into, *only); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		stop()
		os.Exit(1)
	}
}

// A count is what came of one kind of harm.
type count struct {
	trials, acknowledged, lost, doubled, wrong, refused, recovered int

	skipped string // why it was not done
	notes   []string
}

func (c *count) note(format string, a ...any) {
	if len(c.notes) < 5 {
		c.notes = append(c.notes, fmt.Sprintf(format, a...))
	}
}

// A kind is a kind of harm.
type kind struct {
	name string
	do   func(ctx context.Context, w *world, c *count) error
}

func run(ctx context.Context, trials, flips int, seed uint64, into, only string) error {
	w, err := newWorld(ctx, trials, flips, seed)
	if err != nil {
		return err
	}
	defer w.remove()
	var rows []row
	bad := 0
	for _, k := range kinds {
		if !strings.Contains(k.name, only) {
			continue
		}
		w.rng = rand.New(rand.NewPCG(seed, uint64(len(k.name))))
		c, began := &count{}, time.Now()
		if err := k.do(ctx, w, c); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", k.name, err) // part of it was done
		}
		rows = append(rows, row{k.name, c, time.Since(began)})
		fmt.Println(rows[len(rows)-1])
		for _, n := range c.notes {
			fmt.Println("   ", n)
		}
		bad += c.lost + c.doubled + c.wrong
	}
	if into != "" {
		if err := write(ctx, into, rows, seed); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d times something was lost, doubled or wrong without a word", bad)
	}
	return nil
}

type row struct {
	name string
	*count
	took time.Duration
}

func (r row) String() string {
	if r.skipped != "" {
		return fmt.Sprintf("| %s | skipped: %s | | | | | | |", r.name, r.skipped)
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d |", r.name, r.trials, r.acknowledged, r.lost, r.doubled, r.wrong, r.refused, r.recovered)
}

const (
	begins = "<!-- faults: begins -->"
	ends   = "<!-- faults: ends -->"
)

// write puts the table between the markers of a file.
func write(ctx context.Context, path string, rows []row, seed uint64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), begins)
	_, after, ok2 := strings.Cut(rest, ends)
	if !ok || !ok2 {
		return errors.New(path + " has no markers for the table")
	}
	commit, _ := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	var t strings.Builder
	fmt.Fprintf(&t, "\nCommit %s, %s, %s/%s, %d cores, seed %d.\n\n", strings.TrimSpace(string(commit)), time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), seed)
	t.WriteString("| harm | trials | acknowledged | lost | doubled | silent wrong | refused in words | recovered |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintln(&t, r)
	}
	part := path + ".part"
	if err := os.WriteFile(part, []byte(before+begins+"\n"+t.String()+"\n"+ends+after), 0o644); err != nil {
		return err
	}
	return os.Rename(part, filepath.Clean(path))
}
