package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/stile-exchange/stile/node"
)

// A service is a running node as a service manager sees it: told when the node is ready
// and that it still works (sd_notify(3)), and heard when the log is to say more or less.
// Without a manager that listens it tells nobody.
type service struct {
	app   *app
	node  *node.Node
	log   *slog.Logger
	level *slog.LevelVar
}

func (s *service) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("the service manager cannot be told", "because", err.Error())
	}
}

// run tells that the node is ready, and then, until ctx ends, that it works, and reads
// the log's level again at each SIGHUP.
func (s *service) run(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var beat <-chan time.Time
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("no watchdog: what the service manager asks for is not understood", "because", err.Error())
	}
	if every > 0 {
		t := time.NewTicker(every / 3)
		defer t.Stop()
		beat = t.C
	}
	s.tell(daemon.SdNotifyReady)
	for {
		select {
		case <-ctx.Done():
			s.tell(daemon.SdNotifyStopping)
			return
		case <-beat:
			if s.works(ctx, every/3) {
				s.tell(daemon.SdNotifyWatchdog)
			}
		case <-hup:
			s.reload()
		}
	}
}

// works reports whether the store answers within the time given. One that does not, time
// after time, is a node that the service manager should start anew.
func (s *service) works(ctx context.Context, within time.Duration) bool {
	answered := make(chan error, 1)
	go func() {
		_, err := s.node.Records().List(ctx, node.ListRequest{Limit: 1})
		answered <- err
	}()
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case err := <-answered:
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the watchdog is not told that the node works", "because", err.Error())
		}
		return err == nil
	case <-t.C:
		s.log.Warn("the watchdog is not told that the node works", "because", "the store did not answer")
		return false
	}
}

// reload takes the level of the log, and nothing else, from the configuration file as it
// is now. A file that cannot be read changes nothing.
func (s *service) reload() {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer s.tell(daemon.SdNotifyReady)
	cfg, err := s.app.load()
	if err != nil {
		s.log.Error("the log goes on as it was", "because", err.Error())
		return
	}
	was, now := s.level.Level(), levelOf(cfg, slog.LevelDebug)
	s.level.Set(now)
	s.log.Log(context.Background(), max(now, slog.LevelInfo), "the log's level was read again", "was", was.String(), "is", now.String())
}
