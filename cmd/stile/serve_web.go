package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/api"
	"github.com/stile-exchange/stile/internal/door"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node"
)

// webServer is the door for people and systems; its zero value is that there is none.
type webServer struct {
	door *door.Door
	api  *api.API
}

// openWeb opens the door where the configuration wants one, with everything mounted.
func (a *app) openWeb(cfg *config.Config, n *node.Node, log *slog.Logger) (webServer, error) {
	if cfg.Web.Listen == "" {
		return webServer{}, nil
	}
	d, err := door.Open(door.Options{Web: cfg.Web, Log: log, Now: time.Now})
	if err != nil {
		return webServer{}, err
	}
	networks, err := webhook.ParseAllow(cfg.Web.WebhookNetworks)
	if err != nil {
		return webServer{}, errors.Join(err, d.Close())
	}
	served, err := api.New(api.Options{HookNetworks: networks, Node: n, Version: version().String(), Log: log, Now: time.Now, Ended: d.Ended()})
	if err != nil {
		return webServer{}, errors.Join(err, d.Close())
	}
	pages, err := a.peoplesPages(cfg, n, log, d.URL(), hooks{served})
	if err != nil {
		return webServer{}, errors.Join(err, d.Close())
	}
	d.HandleLong("/", pages)
	d.HandleLong("/v1/", served)
	d.HandleLong("/openapi.json", served)
	return webServer{d, served}, nil
}

// hooks shows the webhooks of the API to the pages.
type hooks struct{ of *api.API }

func (h hooks) List(ctx context.Context) (out []web.Webhook, err error) {
	all, err := h.of.Webhooks(ctx)
	for _, w := range all {
		out = append(out, web.Webhook{ID: w.ID, Title: w.Title, Host: w.Host, Types: w.Types, State: w.State, Reason: w.Reason, Sent: w.Sent, LastAt: w.LastAt, Next: w.Next})
	}
	return out, err
}

func (h hooks) Test(ctx context.Context, id string) (string, error) {
	return h.of.TestWebhook(ctx, id)
}

func (h hooks) Resume(ctx context.Context, id string) error { return h.of.ResumeWebhook(ctx, id) }

func (h hooks) Remove(ctx context.Context, id string) error { return h.of.RemoveWebhook(ctx, id) }

// peoplesPages returns the pages for people, at the address at.
func (a *app) peoplesPages(cfg *config.Config, n *node.Node, log *slog.Logger, at string, h web.Webhooks) (http.Handler, error) {
	ctx := context.Background()
	us, err := n.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return nil, err
	}
	o := web.Options{
		Node: n.Operations, Council: cfg.Council, Title: us.Title, Data: cfg.Data, People: web.OpenPeople(cfg.Data, rand.Reader, time.Now),
		Version: version().String(), Secure: cfg.Web.Secure(), Contact: cfg.Web.Contact, Pseudonyms: cfg.Web.Pseudonyms, TwoPersons: cfg.Web.TwoPersons,
		MadeUp: a.madeUp, Feeds: cfg.Feeds, Webhooks: h, Log: log, Now: time.Now, Random: rand.Reader,
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
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { w.api.Run(ctx) })
	err := w.door.Serve(ctx)
	stop()
	wg.Wait()
	return err
}

// close closes a door that was never served.
func (w webServer) close() error {
	if w.door == nil {
		return nil
	}
	return w.door.Close()
}
