package feed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
)

// A desk takes files down instead of in.
type desk struct {
	mu    sync.Mutex
	files []string // name and text of what was taken
	err   error    // what to answer
}

func (d *desk) load(_ context.Context, l Load) (Summary, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := os.ReadFile(l.File)
	if err != nil {
		return Summary{}, err
	}
	if d.err == nil {
		d.files = append(d.files, filepath.Base(l.File)+"="+string(b))
		os.WriteFile(l.Report, []byte("{}"), 0o600)
	}
	return Summary{Rows: 1}, d.err
}

func (d *desk) taken() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.files)
}

func write(t *testing.T, path, text string, mod time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, mod, mod); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

// A file is taken when it has not changed for a while, in the order of names, and
// moves with its report.
func TestFolder(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() {
			stopped <- Run(ctx, Options{Feeds: []config.Feed{{Name: "gis", Folder: dir, KeepDays: 2}}, Dir: state, Load: d.load, Poll: true})
		}()
		synctest.Wait()
		in := filepath.Join(dir, "in")
		start := time.Now()
		write(t, filepath.Join(in, "b.csv"), "half", start)
		write(t, filepath.Join(in, "a.csv"), "a", start)
		write(t, filepath.Join(in, ".hidden.csv"), "x", start)
		write(t, filepath.Join(in, "c.csv.PART"), "x", start)
		time.Sleep(pollEvery + time.Second) // seen once
		write(t, filepath.Join(in, "b.csv"), "whole", time.Now())
		time.Sleep(pollEvery)
		if got := d.taken(); !slices.Equal(got, []string{"a.csv=a"}) {
			t.Errorf("taken while b.csv was being written: %q", got)
		}
		time.Sleep(2 * pollEvery)
		if got := d.taken(); !slices.Equal(got, []string{"a.csv=a", "b.csv=whole"}) {
			t.Errorf("taken: %q", got)
		}
		if got := names(t, in); !slices.Equal(got, []string{".hidden.csv", "c.csv.PART"}) {
			t.Errorf("left in in/: %q", got)
		}
		done := names(t, filepath.Join(dir, "done"))
		if len(done) != 4 || !strings.HasSuffix(done[0], "-a.csv") || !strings.HasSuffix(done[1], "-a.csv.report.json") {
			t.Errorf("in done/: %q", done)
		}

		// A file that cannot be read goes to failed/; what may be well later stays.
		d.mu.Lock()
		d.err = fmt.Errorf("the node is not there: %w", ErrLater)
		d.mu.Unlock()
		write(t, filepath.Join(in, "d.csv"), "d", time.Now())
		time.Sleep(time.Minute)
		s, err := ReadState(state, "gis")
		if err != nil || s.Waiting != 1 || !strings.Contains(s.Problem, "the node is not there") || s.Since.IsZero() {
			t.Errorf("while the node is not there: %+v, %v", s, err)
		}
		d.mu.Lock()
		d.err = errors.New("not CSV")
		d.mu.Unlock()
		time.Sleep(2 * pauseMost)
		if got := names(t, filepath.Join(dir, "failed")); len(got) != 1 || !strings.HasSuffix(got[0], "-d.csv") {
			t.Errorf("in failed/: %q", got)
		}

		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}

		// What was taken long ago is deleted.
		later := func() time.Time { return time.Now().Add(73 * time.Hour) }
		if _, err := Once(t.Context(), Options{Feeds: []config.Feed{{Name: "gis", Folder: dir, KeepDays: 2}}, Dir: state, Load: d.load, Now: later}, "gis"); err != nil {
			t.Error(err)
		}
		if got := append(names(t, filepath.Join(dir, "done")), names(t, filepath.Join(dir, "failed"))...); len(got) != 0 {
			t.Errorf("kept too long: %q", got)
		}
	})
}

// A wish that a feed runs now does not wait for a file to settle.
func TestWanted(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	d := &desk{}
	o := Options{Feeds: []config.Feed{{Name: "gis", Folder: dir}}, Dir: state, Load: d.load}
	if err := os.MkdirAll(filepath.Join(dir, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "in", "a.csv"), "a", time.Now())
	s, err := Once(t.Context(), o, "gis")
	if err != nil || s.Last.Rows != 1 || s.What != "a.csv" || len(d.taken()) != 1 {
		t.Errorf("state %+v, error %v, taken %q", s, err, d.taken())
	}
	if _, err := Once(t.Context(), o, "other"); err == nil {
		t.Error("a feed that there is not was run")
	}
}

// A connection string that others can read is not used.
func TestSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(path, []byte("postgres://x\nmore"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := secret(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by all: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := secret(path); err != nil || s != "postgres://x" {
		t.Errorf("got %q, %v", s, err)
	}
}
