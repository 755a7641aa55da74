// Package feed takes registers of the council's own in by itself, while the node
// runs: files that are put into a folder, and answers of a database.
//
// A feed that is done is seen in its state, a file beside the others in the
// folder that [Options] names:
//
//	NAME.json    how it stands: [State]
//	NAME.run     made by somebody who wants it to run now; taken away when it does
//	NAME.csv     what a database answered, while it is being taken in
//
// A file of a feed's folder is taken from in/ and moves to done/ when it was read
// to its end, even if rows of it were refused, and to failed/ when it was not; a
// report of the same name with .report.json at its end lies beside it. It stays in
// in/ while the node cannot take it, and is tried again.
package feed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/stile-exchange/stile/config"
)

// A Load is one file to be taken in.
type Load struct {
	Feed   *config.Feed
	File   string
	Report string // new file for what was refused, and why
}

// A Summary says what became of a file's rows.
type Summary struct {
	Rows      int `json:"rows"`
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	Refused   int `json:"refused"`
	Before    int `json:"refused_before"` // of the refused, those that were in the same bytes
	Deleted   int `json:"deleted"`
}

// ErrLater is wrapped by the error of a Loader that may succeed later as it is:
// the node was busy, or stopped. Any other error is of the file.
var ErrLater = errors.New("try again later")

// A Loader takes a file in. Rows that are refused are no error.
type Loader func(context.Context, Load) (Summary, error)

// Options say what the feeds work with. All but Log, Now and Open are needed.
type Options struct {
	Feeds []config.Feed
	Dir   string // of the feeds' state; made when missing
	Load  Loader
	Log   *slog.Logger                                   // default discards
	Now   func() time.Time                               // default time.Now
	Open  func(kind, connection string) (*sql.DB, error) // default by the drivers of PostgreSQL and SQL Server
	// Poll alone, and do not ask the system to be told of changes. For tests.
	Poll bool
}

// fill puts the defaults where nothing is said.
func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Open == nil {
		o.Open = open
	}
}

// How often a folder is looked at though nobody said that it has changed, and how
// long a file must have stayed as it is.
const (
	pollEvery = 5 * time.Second
	settled   = 5 * time.Second
)

// Bounds of the pause before what failed for now is tried again.
const (
	pauseLeast = 5 * time.Second
	pauseMost  = 10 * time.Minute
)

// Run runs the feeds until ctx ends. It returns an error when their state cannot
// be kept.
func Run(ctx context.Context, o Options) error {
	o.fill()
	if len(o.Feeds) == 0 {
		return nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("run feeds: %w", err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range o.Feeds {
		r, err := newRunner(&o, &o.Feeds[i])
		if err != nil {
			return err
		}
		wg.Go(func() { r.run(ctx) })
	}
	return nil
}

// Once runs one feed now, whether or not it is due, and returns how it stands
// then.
func Once(ctx context.Context, o Options, name string) (State, error) {
	o.Poll = true
	o.fill()
	for i := range o.Feeds {
		if o.Feeds[i].Name != name {
			continue
		}
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return State{}, fmt.Errorf("run feed: %w", err)
		}
		r, err := newRunner(&o, &o.Feeds[i])
		if err != nil {
			return State{}, err
		}
		r.turn(ctx, true)
		return r.state, nil
	}
	return State{}, fmt.Errorf("run feed: there is none named %q", name)
}

// A runner runs one feed.
type runner struct {
	o     *Options
	f     *config.Feed
	state State
	seen  map[string]seen // files in in/, as they were when last looked at
	pause time.Duration
}

func newRunner(o *Options, f *config.Feed) (*runner, error) {
	s, err := ReadState(o.Dir, f.Name)
	if err != nil {
		return nil, err
	}
	s.Name, s.Running = f.Name, false
	return &runner{o: o, f: f, state: s, seen: map[string]seen{}, pause: pauseLeast}, nil
}

func (r *runner) run(ctx context.Context) {
	woken, stop := r.watch()
	defer stop()
	for ctx.Err() == nil {
		wait := r.turn(ctx, r.wanted())
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-woken:
		}
		t.Stop()
	}
}

// turn does what is due, or everything when it is asked for, and returns how long
// to wait for the next.
func (r *runner) turn(ctx context.Context, now bool) time.Duration {
	if r.f.Folder != "" {
		return r.folder(ctx, now)
	}
	return r.database(ctx, now)
}

// wanted reports whether somebody wants the feed to run now.
func (r *runner) wanted() bool {
	return os.Remove(filepath.Join(r.o.Dir, r.f.Name+".run")) == nil
}

// watch tells of changes in the feed's folder and of the wish that it runs. Where
// the system cannot, the folder is looked at now and then all the same.
func (r *runner) watch() (<-chan struct{}, func()) {
	woken := make(chan struct{}, 1)
	if r.o.Poll {
		return woken, func() {}
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		r.o.Log.Info("folders are looked at every few seconds, for the system does not tell of changes", "feed", r.f.Name, "because", err.Error())
		return woken, func() {}
	}
	dirs := []string{r.o.Dir}
	if r.f.Folder != "" {
		dirs = append(dirs, filepath.Join(r.f.Folder, in))
	}
	for _, dir := range dirs {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = w.Add(dir)
		}
		if err != nil {
			r.o.Log.Info("a folder is looked at every few seconds, for the system does not tell of changes in it", "feed", r.f.Name, "because", err.Error())
		}
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case e, ok := <-w.Events:
				if !ok {
					return
				}
				if filepath.Dir(e.Name) == r.o.Dir && filepath.Base(e.Name) != r.f.Name+".run" {
					continue // our own state
				}
				select {
				case woken <- struct{}{}:
				default:
				}
			case _, ok := <-w.Errors:
				if !ok {
					return
				}
			}
		}
	})
	return woken, func() { w.Close(); done.Wait() }
}

// begin and end keep what the feed is doing.
func (r *runner) begin(what string) {
	r.state.Running, r.state.What, r.state.Began = true, what, r.o.Now().UTC()
	r.keep()
}

func (r *runner) end(s Summary, err error) {
	now := r.o.Now().UTC()
	r.state.Running, r.state.Ended = false, now
	switch {
	case err == nil:
		r.state.Last, r.state.Problem, r.state.Good = s, "", now
		r.pause = pauseLeast
		r.o.Log.Info("a feed was taken in", "feed", r.f.Name, "rows", s.Rows, "created", s.Created, "changed", s.Changed, "refused", s.Refused, "deleted", s.Deleted)
	default:
		if r.state.Problem == "" {
			r.state.Since = now
		}
		r.state.Last, r.state.Problem = s, err.Error()
		r.o.Log.Warn("a feed was not taken in", "feed", r.f.Name, "because", err.Error())
	}
	r.keep()
}

func (r *runner) keep() {
	if err := writeState(r.o.Dir, r.state); err != nil {
		r.o.Log.Error("keep the state of a feed", "feed", r.f.Name, "error", err.Error())
	}
}

// later returns how long to wait before what failed for now is tried again: twice
// as long each time, half of it random.
func (r *runner) later() time.Duration {
	p := r.pause
	r.pause = min(2*r.pause, pauseMost)
	return p/2 + rand.N(p/2+1)
}
