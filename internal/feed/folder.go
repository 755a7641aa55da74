package feed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The folders below that of a feed.
const (
	in     = "in"
	done   = "done"
	failed = "failed"
)

// seen is what a file was like when it was looked at.
type seen struct {
	size int64
	mod  time.Time
	at   time.Time // since when it has been so
}

// unfinished are the endings that programs give to a file while they write it.
var unfinished = []string{".tmp", ".part", ".partial", ".filepart", ".crdownload"}

// folder takes in the files that are ready, in the order of their names.
func (r *runner) folder(ctx context.Context, now bool) time.Duration {
	for _, d := range []string{in, done, failed} {
		if err := os.MkdirAll(filepath.Join(r.f.Folder, d), 0o700); err != nil {
			r.begin("")
			r.end(Summary{}, fmt.Errorf("make the feed's folders: %w", err))
			return r.later()
		}
	}
	r.prune()
	ready, waiting, err := r.ready(now)
	if err != nil {
		r.begin("")
		r.end(Summary{}, err)
		return r.later()
	}
	if waiting != r.state.Waiting {
		r.state.Waiting = waiting
		r.keep()
	}
	for _, name := range ready {
		if ctx.Err() != nil {
			return 0
		}
		if err := r.take(ctx, name); errors.Is(err, ErrLater) {
			return r.later()
		}
		waiting--
		r.state.Waiting = waiting
		r.keep()
	}
	return pollEvery
}

// ready lists the files of in/ that have not changed for a while, and counts all
// that are there. A file that somebody asks for now is ready as it is.
func (r *runner) ready(now bool) (names []string, waiting int, err error) {
	es, err := os.ReadDir(filepath.Join(r.f.Folder, in))
	if err != nil {
		return nil, 0, fmt.Errorf("look into the feed's folder: %w", err)
	}
	was := r.seen
	r.seen = map[string]seen{}
	for _, e := range es {
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") ||
			slices.ContainsFunc(unfinished, func(s string) bool { return strings.HasSuffix(strings.ToLower(e.Name()), s) }) {
			continue
		}
		waiting++
		at := seen{st.Size(), st.ModTime(), r.o.Now()}
		if old, ok := was[e.Name()]; ok && old.size == at.size && old.mod.Equal(at.mod) {
			at.at = old.at
		}
		r.seen[e.Name()] = at
		if now || r.o.Now().Sub(at.at) >= settled {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, waiting, nil
}

// take takes one file in and moves it to where it belongs then.
func (r *runner) take(ctx context.Context, name string) error {
	from := filepath.Join(r.f.Folder, in, name)
	// The same name comes every night: the time tells one from the other.
	to := r.o.Now().UTC().Format("20060102T150405Z") + "-" + name
	report := filepath.Join(r.o.Dir, r.f.Name+".report.json")
	os.Remove(report)
	r.begin(name)
	sum, err := r.o.Load(ctx, Load{Feed: r.f, File: from, Report: report})
	where := done
	switch {
	case errors.Is(err, ErrLater) || ctx.Err() != nil:
		os.Remove(report)
		err = fmt.Errorf("%s: %w", name, errors.Join(err, ErrLater))
		r.end(sum, err)
		return err
	case err != nil:
		where = failed
		err = fmt.Errorf("%s: %w; it lies in %s now", name, err, filepath.Join(failed, to))
	}
	if merr := move(from, filepath.Join(r.f.Folder, where, to)); merr != nil {
		// Left where it is, it would be taken again and again.
		err = errors.Join(err, fmt.Errorf("%s: move it to %s: %w", name, where, merr), ErrLater)
	} else if merr := move(report, filepath.Join(r.f.Folder, where, to+".report.json")); merr != nil && !os.IsNotExist(merr) {
		err = errors.Join(err, fmt.Errorf("%s: keep its report: %w", name, merr))
	}
	r.end(sum, err)
	return err
}

// move renames a file, or copies it where the two folders are on different disks.
func move(from, to string) error {
	err := os.Rename(from, to)
	if err == nil || os.IsNotExist(err) {
		return err
	}
	b, rerr := os.ReadFile(from)
	if rerr != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		return err
	}
	return os.Remove(from)
}

// prune deletes files that were taken long ago: they hold records, and nobody
// else would.
func (r *runner) prune() {
	if r.f.KeepDays == 0 {
		return
	}
	limit := r.o.Now().AddDate(0, 0, -r.f.KeepDays).UTC().Format("20060102T150405Z")
	for _, d := range []string{done, failed} {
		es, err := os.ReadDir(filepath.Join(r.f.Folder, d))
		if err != nil {
			continue
		}
		for _, e := range es {
			at, _, ok := strings.Cut(e.Name(), "-")
			if _, err := time.Parse("20060102T150405Z", at); ok && err == nil && at < limit {
				os.Remove(filepath.Join(r.f.Folder, d, e.Name()))
			}
		}
	}
}
