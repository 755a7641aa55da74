package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/api"
	"github.com/stile-exchange/stile/internal/door"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/internal/web"
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
	served, err := api.New(api.Options{Node: n, Version: release.Of().String(), Log: log, Now: time.Now, Ended: d.Ended()})
	if err != nil {
		return webServer{}, errors.Join(err, d.Close())
	}
	pages, err := a.peoplesPages(cfg, n, log, d.URL())
	if err != nil {
		return webServer{}, errors.Join(err, d.Close())
	}
	d.HandleLong("/", pages)
	d.HandleLong("/v1/", served)
	d.HandleLong("/openapi.json", served)
	return webServer{d}, nil
}

// peoplesPages returns the pages for people, at the address at.
func (a *app) peoplesPages(cfg *config.Config, n *node.Node, log *slog.Logger, at string) (http.Handler, error) {
	ctx := context.Background()
	us, err := n.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return nil, err
	}
	postcodes, err := readPostcodes(cfg.Web.Postcodes)
	if err != nil {
		return nil, err
	}
	o := web.Options{
		Node: n.Operations, Council: cfg.Council, Title: us.Title, Postcodes: postcodes, Data: cfg.Data, People: people.Open(cfg.Data, rand.Reader, time.Now),
		Version: release.Of().String(), Secure: cfg.Web.Secure(), Contact: cfg.Web.Contact, Pseudonyms: cfg.Web.Pseudonyms, Registers: cfg.Web.Registers, Licence: registers.Licence{Address: cfg.Web.LicenceAddress(), Title: cfg.Web.LicenceTitle()},
		MadeUp: a.madeUp, Feeds: cfg.Feeds, Log: log, Now: time.Now, Random: rand.Reader,
	}
	if c := cfg.Web.OIDC; c.Issuer != "" {
		secret, err := c.Secret()
		if err != nil {
			return nil, err
		}
		o.Provider = web.NewProvider(web.ProviderOptions{Issuer: c.Issuer, ClientID: c.ClientID, Secret: secret, Claim: c.Claim, Callback: at + "sign-in/callback"})
	}
	return web.New(o)
}

// readPostcodes reads the file of web.postcodes; nil where none is named.
func readPostcodes(file string) (*registers.Postcodes, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("web.postcodes: %w", err)
	}
	defer f.Close()
	p, err := registers.ReadPostcodes(f)
	if err != nil {
		return nil, fmt.Errorf("web.postcodes: %s: %w", file, err)
	}
	return p, nil
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
