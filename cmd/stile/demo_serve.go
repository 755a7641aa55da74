package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// serve shows the pages of the three councils until ctx ends, each with a person who has
// every role and a link that signs them in.
func (d *demo) serve(ctx context.Context) error {
	d.madeUp = true
	if _, err := d.at(northmoor).Standards().Measure(ctx, node.MeasureRequest{Publish: true}); err != nil {
		return err
	}
	served := make(chan error, 3)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	first := ""
	d.printf("\nThe pages of the three councils, and a link that signs you in once at each:\n\n")
	for _, c := range []name.Council{northmoor, saltby, wetherholm} {
		n := d.nodes[c]
		n.cfg.Web.Listen = "127.0.0.1:0"
		n.cfg.Web.Registers = []string{web.AllRegisters}
		w, err := d.openWeb(n.cfg, n.Node, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		go func() { served <- w.serve(ctx) }()
		who := people.Open(n.cfg.Data, rand.Reader, time.Now)
		one, err := who.Put(people.Person{Name: "Sam Example", Roles: access.Roles()})
		if err != nil {
			return err
		}
		code, err := who.Link(one.ID, 24*time.Hour)
		if err != nil {
			return err
		}
		d.printf("   %-20s %s\n   %-20s %ssign-in/link?code=%s\n\n", c, w.url(), "", w.url(), code)
		if first == "" {
			first = w.url()
		}
	}
	d.printf("Stop with Ctrl+C. Begin at %s\n", first)
	var err error
	for range 3 {
		failed := <-served
		stop()
		err = errors.Join(err, failed)
	}
	return err
}
