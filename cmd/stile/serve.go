package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/feed"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/internal/telemetry"
	"github.com/stile-exchange/stile/node"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the node until it is told to stop",
		Long: `Serve opens the data folder, listens for partners, keeps every exchange in step
and answers the other commands on the admin socket. It ends on SIGTERM or
SIGINT; what it was told yes about is on disk at every moment, so it may also
be killed.

The line "ready" on standard output says that partners and commands can reach
it. The log goes to standard error, as log in stile.yaml says; it never holds
the value of a field. At SIGHUP the log's level is read again from stile.yaml.
A service manager that listens (sd_notify) is told when the node is ready, and
for its watchdog that the store still answers.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.serve(cmd.Context()) },
	}
}

func (a *app) serve(ctx context.Context) (err error) {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer a.endOnceFailed(ctx)()
	a.private()
	level := new(slog.LevelVar)
	level.Set(levelOf(cfg, slog.LevelDebug))
	log := logger(cfg, a.err, level)
	if cfg.TelemetryEndpoint != "" {
		stop, err := telemetry.Start(ctx, cfg.TelemetryEndpoint, cfg.Council, release.Of().String())
		if err != nil {
			return err
		}
		defer stop()
	}
	n, err := node.Open(cfg, node.Options{
		Log:     log,
		Version: release.Of().String(),
		Fatal:   func(err error) { stop(err) },

		Conditions: feedConditions(cfg),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	web, err := a.openWeb(cfg, n, log)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	select {
	case err := <-done:
		return errors.Join(err, web.close())
	case <-n.Ready():
	}
	serving := make(chan error, 1)
	wctx, stopWeb := context.WithCancel(ctx)
	defer stopWeb()
	go func() {
		err := web.serve(wctx)
		if err != nil {
			stop(err)
		}
		serving <- err
	}()
	if a.json {
		a.emitLine(map[string]any{"ready": true, "council": cfg.Council, "addresses": n.Addresses(), "admin_socket": cfg.AdminSocket, "pid": os.Getpid(), "web": web.url()})
	} else {
		a.printf("%s listens on\n", cfg.Council)
		for _, addr := range n.Addresses() {
			a.printf("  %s\n", addr)
		}
		if len(n.Addresses()) == 0 {
			a.printf("  nothing: it only dials out\n")
		}
		if at := web.url(); at != "" {
			a.printf("people and systems reach it at\n  %s\n", at)
		}
		a.printf("ready\n")
	}
	feeding := make(chan error, 1)
	fctx, stopFeeds := context.WithCancel(ctx)
	go func() {
		feeding <- feed.Run(fctx, a.feeds(cfg, fixed(n), log))
	}()
	var told sync.WaitGroup
	told.Go(func() { (&service{a, n, log, level}).run(fctx) })
	err = <-done
	stopFeeds()
	stopWeb()
	err = errors.Join(err, <-feeding, <-serving)
	told.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // storage failed
	}
	if err == nil {
		a.say("stopped")
	}
	return err
}

// failedEndsWithin is how long a node may take to end once its storage has failed: the
// store then goes on trying to write what it cannot write.
const failedEndsWithin = 3 * time.Second

// endOnceFailed has the process end when storage has failed and the node does not end by
// itself, and returns what is called when it has. What was acknowledged is on disk at every
// moment, so nothing is lost by it.
func (a *app) endOnceFailed(ctx context.Context) (ended func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if a.exit == nil || !errors.Is(cause, ledger.ErrStorage) {
			return
		}
		t := time.NewTimer(failedEndsWithin)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			f := explain(nil, cause)
			a.complain(f)
			a.exit(exitCode(f.Kind))
		}
	})
	return func() { stop(); close(done) }
}
