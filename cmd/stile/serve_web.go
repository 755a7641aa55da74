package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/door"
	"github.com/stile-exchange/stile/node"
)

// webServer is the door for people and systems; its zero value is that there is none.
type webServer struct{ door *door.Door }

// openWeb opens the door where the configuration wants one, with everything mounted.
func (a *app) openWeb(cfg *config.Config, n *node.Node, log *slog.Logger) (webServer, error) {
	if cfg.Web.Listen == "" {
		return webServer{}, nil
	}
	d, err := door.Open(door.Options{Web: cfg.Web, Log: log, Now: time.Now})
	if err != nil {
		return webServer{}, err
	}
	return webServer{d}, nil
}

// url returns where the door is; "" for none.
func (w webServer) url() string {
	if w.door == nil {
		return ""
	}
	return w.door.URL()
}

// serve answers until ctx ends.
func (w webServer) serve(ctx context.Context) error {
	if w.door == nil {
		<-ctx.Done()
		return nil
	}
	return w.door.Serve(ctx)
}

// close closes a door that was never served.
func (w webServer) close() error {
	if w.door == nil {
		return nil
	}
	return w.door.Close()
}
