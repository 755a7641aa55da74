package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/feed"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node"
)

func (a *app) feedCommand() *cobra.Command {
	return noun("feed", "List and run the registers that the node takes in by itself", `A feed is a register of the council's own that the running node takes in by
itself: files that are put into a folder, or the answers of a database that it
asks now and then. Feeds stand in stile.yaml; docs/feeds.md says how.`,
		&cobra.Command{
			Use:   "list",
			Short: "List the feeds and how each stands",
			Args:  takes(0, 0, "nothing"),
			RunE:  func(cmd *cobra.Command, args []string) error { return a.listFeeds() },
		},
		&cobra.Command{
			Use:   "run NAME",
			Short: "Take a feed in now",
			Long: `Run takes in what lies in the feed's folder, or asks its database, now and not
when it would be due. Where the node is running it does so, and this command waits
until it has.`,
			Args: takes(1, 1, "the name of a feed"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.runFeed(cmd.Context(), args[0]) },
		},
	)
}

const feedsFolder = "feeds"

// fixed returns a node that is not closed by who uses it.
func fixed(n *node.Node) func(context.Context) (*connection, error) {
	return func(context.Context) (*connection, error) {
		return &connection{n.Operations, io.NopCloser(nil), n}, nil
	}
}

// feeds says how the feeds of a configuration are run.
func (a *app) feeds(cfg *config.Config, connect func(context.Context) (*connection, error), log *slog.Logger) feed.Options {
	return feed.Options{
		Feeds: cfg.Feeds, Dir: filepath.Join(cfg.Data, feedsFolder), Log: log,
		Load: func(ctx context.Context, l feed.Load) (feed.Summary, error) { return a.loadFeed(ctx, connect, l) },
	}
}

// loadFeed takes one file of a feed in, as stile import does.
func (a *app) loadFeed(ctx context.Context, connect func(context.Context) (*connection, error), l feed.Load) (feed.Summary, error) {
	var told bytes.Buffer
	quiet := &app{env: env{in: strings.NewReader(""), out: &told, err: io.Discard}, data: a.data, config: a.config}
	im := &importer{
		app:      quiet,
		reading:  reading{standard: l.Feed.Standard, mapping: l.Feed.Mapping, form: l.Feed.Translation, sets: l.Feed.Set},
		register: register{source: l.Feed.Name, complete: l.Feed.Complete, most: l.Feed.MostDeleted},
		report:   l.Report,
		door: func(ctx context.Context) (gate, error) {
			c, err := connect(ctx)
			return nodeGate{c}, err
		},
	}
	err := im.run(ctx, []string{l.File})
	t := im.tally
	if t == nil {
		return feed.Summary{}, feedError(ctx, err)
	}
	s := feed.Summary{
		Rows: t.rows, Created: t.counts[node.Created], Changed: t.counts[node.Changed], Unchanged: t.counts[node.Unchanged],
		Refused: t.refused, Before: t.repeated, Deleted: t.deleted,
	}
	if e, ok := errors.AsType[*node.Error](err); ok && e.Kind == node.Invalid && t.broken == 0 {
		err = nil // rows were refused, and the report says which
	}
	return s, feedError(ctx, err)
}

// feedError tells what may be well later from what is wrong with the file.
func feedError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	f := explain(nil, err)
	switch f.Kind {
	case node.Failed, node.Behind, node.Conflict, node.Unreachable:
		return fmt.Errorf("%s: %w", f.Message, feed.ErrLater)
	}
	if ctx.Err() != nil {
		return feed.ErrLater
	}
	return errors.New(f.Message)
}

// feedStates reads how the feeds of a configuration stand.
func feedStates(cfg *config.Config) ([]feed.State, error) {
	out := make([]feed.State, len(cfg.Feeds))
	for i, f := range cfg.Feeds {
		var err error
		if out[i], err = feed.ReadState(filepath.Join(cfg.Data, feedsFolder), f.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *app) listFeeds() error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	states, err := feedStates(cfg)
	if err != nil {
		return err
	}
	if a.json {
		for _, s := range states {
			if err := a.emitLine(s); err != nil {
				return err
			}
		}
		return nil
	}
	if len(states) == 0 {
		a.say("there is no feed in %s", config.FileName)
		return nil
	}
	feedTable(cfg, states).write(a.out, "")
	return nil
}

func feedTable(cfg *config.Config, states []feed.State) *table {
	t := newTable("FEED", "FROM", "LAST TAKEN", "#ROWS", "#REFUSED", "#DELETED", "STATE")
	for i, s := range states {
		from := cfg.Feeds[i].Database
		if from == "" {
			from = "folder"
		}
		last := "never"
		if !s.Good.IsZero() {
			last = at(s.Good)
		}
		t.add(s.Name, from, last, number(s.Last.Rows), number(s.Last.Refused), number(s.Last.Deleted), feedWords(s))
	}
	return t
}

// feedWords says how a feed stands.
func feedWords(s feed.State) string {
	switch {
	case s.Problem != "":
		return "not taken in since " + at(s.Since) + ", because " + s.Problem
	case s.Running:
		return "being taken in"
	case s.Waiting > 0:
		return plural(s.Waiting, "file waits", "files wait")
	case !s.Next.IsZero():
		return "good; asked again " + at(s.Next)
	case s.Good.IsZero():
		return "nothing has come yet"
	}
	return "good"
}

func (a *app) runFeed(ctx context.Context, name string) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Feeds, func(f config.Feed) bool { return f.Name == name })
	if i < 0 {
		return failure(node.NotFound, "stile feed list", "there is no feed %q in %s", name, config.FileName)
	}
	dir := filepath.Join(cfg.Data, feedsFolder)
	var s feed.State
	if c, derr := node.Dial(ctx, cfg.AdminSocket); derr == nil {
		c.Close()
		if s, err = awaitFeed(ctx, dir, name); err != nil {
			return err
		}
	} else {
		n, err := a.open(cfg, a.err, slog.LevelWarn)
		if errors.Is(err, ledger.ErrInUse) {
			return failure(node.Conflict, "run it again when that is done", "another command has the data folder")
		}
		if err != nil {
			return err
		}
		s, err = feed.Once(ctx, a.feeds(cfg, fixed(n), nil), name)
		if err = errors.Join(err, n.Close()); err != nil {
			return err
		}
	}
	if a.json {
		err = a.emit(s)
	} else {
		feedTable(&config.Config{Feeds: cfg.Feeds[i : i+1]}, []feed.State{s}).write(a.out, "")
	}
	if err == nil && s.Problem != "" {
		return failure(node.Failed, "stile doctor", "feed %s was not taken in: %s", name, s.Problem)
	}
	return err
}

// awaitFeed asks the running node to run a feed and waits until it has.
func awaitFeed(ctx context.Context, dir, name string) (feed.State, error) {
	before, err := feed.ReadState(dir, name)
	if err != nil {
		return before, err
	}
	if err := feed.Want(dir, name); err != nil {
		return before, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := feed.ReadState(dir, name)
		if err != nil || !s.Running && s.Ended.After(before.Ended) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}
