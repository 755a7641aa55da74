package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// compare runs benchmarks of a commit and of the folder as it stands, by turns,
// and prints how they stand to each other.
func compare(ctx context.Context, args []string) (err error) {
	set := flag.NewFlagSet("compare", flag.ContinueOnError)
	base := set.String("base", "", "commit to compare with")
	pkg := set.String("pkg", "node", "folder of the benchmarks")
	pattern := set.String("bench", "IngestDurable", "benchmarks to run, a regular expression")
	times := set.String("times", "1x", "how long each runs, as -benchtime of go test")
	rounds := set.Int("rounds", 5, "rounds, in each of which both take their turn")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *base == "" || strings.HasPrefix(*base, "-") || *rounds < 1 {
		return errors.New("say which commit to compare with (make bench-compare BASE=commit), and at least one round")
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "stile-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	old, err := checkout(ctx, *base, dir)
	if err != nil {
		return err
	}
	var programs [2]program // of the commit, of the folder
	for i, at := range []string{old, root} {
		into := filepath.Join(dir, fmt.Sprint("built", i))
		if err := os.Mkdir(into, 0o700); err != nil {
			return err
		}
		if programs[i], err = buildTests(ctx, at, filepath.Clean(*pkg), into); err != nil {
			return err
		}
	}
	fmt.Printf("%s beside %s, benchmarks %s of %s, %s.\n%s; load at the start %s\n",
		commitOf(ctx), *base, *pattern, *pkg, inRounds(*rounds), machine(), load())
	var got [2][]map[string]float64 // by round
	for round := range *rounds {
		for turn := range 2 {
			who := (turn + round) % 2
			found, err := programs[who].bench(ctx, *pattern, *times)
			if err != nil {
				return err
			}
			got[who] = append(got[who], flat(found))
		}
		fmt.Fprintf(os.Stderr, "bench: round %d of %d\n", round+1, *rounds)
	}
	fmt.Printf("load at the end %s\n\n%s", load(), comparison(*base, got[0], got[1]))
	return nil
}

// checkout puts the files of a commit into a new folder under dir.
func checkout(ctx context.Context, commit, dir string) (string, error) {
	into := filepath.Join(dir, "base")
	if err := os.Mkdir(into, 0o700); err != nil {
		return "", err
	}
	archive := filepath.Join(dir, "base.tar")
	for _, c := range []*exec.Cmd{
		exec.CommandContext(ctx, "git", "archive", "-o", archive, commit),
		exec.CommandContext(ctx, "tar", "-x", "-f", archive, "-C", into),
	} {
		var stderr bytes.Buffer
		c.Stderr = &stderr
		if err := c.Run(); err != nil {
			return "", fmt.Errorf("take commit %q: %w\n%s", commit, err, &stderr)
		}
	}
	return into, os.Remove(archive)
}

// flat names each figure "benchmark unit".
func flat(found []result) map[string]float64 {
	out := map[string]float64{}
	for _, r := range found {
		for unit, v := range r.figures {
			out[r.name+" "+unit] = v
		}
	}
	return out
}

// comparison is the table of two commits' figures, round by round. A figure that
// only one of them has is named below it.
func comparison(base string, before, now []map[string]float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| benchmark and unit | %s | now | now ÷ %s |\n|---|---|---|---|\n", base, base)
	values := func(all []map[string]float64, key string) (out []float64) {
		for _, m := range all {
			if v, ok := m[key]; ok {
				out = append(out, v)
			}
		}
		return out
	}
	keys := map[string]bool{}
	for _, m := range slices.Concat(before, now) {
		for k := range m {
			keys[k] = true
		}
	}
	var alone []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		var ratios []float64
		for i := range min(len(before), len(now)) {
			x, okX := before[i][k]
			y, okY := now[i][k]
			if okX && okY && x != 0 {
				ratios = append(ratios, y/x)
			}
		}
		x, y := values(before, k), values(now, k)
		if len(x) == 0 || len(y) == 0 {
			alone = append(alone, k)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", k, cell(x), cell(y), cell(ratios))
	}
	if len(alone) > 0 {
		fmt.Fprintf(&b, "\nOnly one of the two has: %s\n", strings.Join(alone, ", "))
	}
	return b.String()
}
