package api

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
)

// A WebhookState is a webhook as people may see it: without its secret, and without the
// part of its URL that may be one.
type WebhookState struct {
	ID, Title, Host string
	Types           []string // none: all that its key may see
	State           string   // good, failing or parked
	Reason          string   // why the last attempt failed
	Attempts, Sent  int
	Made, LastAt    time.Time // LastAt: when something was taken; zero for never
	Next            time.Time // when it is tried again
}

// Webhooks lists the webhooks for whoever the context names.
func (a *API) Webhooks(ctx context.Context) ([]WebhookState, error) {
	if err := access.Allowed(access.From(ctx), "webhooks/list", access.On{}); err != nil {
		return nil, err
	}
	a.hooks.mu.Lock()
	defer a.hooks.mu.Unlock()
	var out []WebhookState
	for _, k := range a.hooks.list {
		r := a.hooks.reply(k)
		out = append(out, WebhookState{ID: r.ID, Title: r.Title, Host: r.Host, Types: r.Types, State: r.State, Reason: r.Reason, Attempts: r.Attempts, Sent: r.Sent, Made: r.Made, LastAt: r.LastAt, Next: r.Next})
	}
	return out, nil
}

// TestWebhook sends a webhook a test message now. It returns why it was not taken; "" where
// it was.
func (a *API) TestWebhook(ctx context.Context, id string) (reason string, err error) {
	if err := access.Allowed(access.From(ctx), "webhooks/test", access.On{}); err != nil {
		return "", err
	}
	k, err := a.hooks.find(access.From(ctx), id)
	if err != nil {
		return "", &node.Error{Kind: node.NotFound, Message: err.Error()}
	}
	if err := a.hooks.send(ctx, k, a.event(node.FeedChange{Type: "test", At: a.o.Now().UTC(), Cursor: "test-" + rand.Text()})); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

// ResumeWebhook takes a webhook out of parking: what it missed is sent from where it stopped.
func (a *API) ResumeWebhook(ctx context.Context, id string) error {
	if err := access.Allowed(access.From(ctx), "webhooks/replay", access.On{}); err != nil {
		return err
	}
	if _, err := a.hooks.change(access.From(ctx), id, func(k *hook) { k.Parked, k.Attempts, k.Reason, k.Next = false, 0, "", time.Time{} }); err != nil {
		return &node.Error{Kind: node.NotFound, Message: err.Error()}
	}
	return nil
}

// RemoveWebhook removes a webhook.
func (a *API) RemoveWebhook(ctx context.Context, id string) error {
	if err := access.Allowed(access.From(ctx), "webhooks/remove", access.On{}); err != nil {
		return err
	}
	if err := a.hooks.remove(access.From(ctx), id); err != nil {
		return &node.Error{Kind: node.NotFound, Message: err.Error()}
	}
	return nil
}
