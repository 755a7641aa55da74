package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/hooks"
	"github.com/stile-exchange/stile/internal/webhook"
)

// Webhooks are what is sent to other systems when something changes. A running node
// delivers; docs/api.md says how.
type Webhooks struct{ to Operations }

// Webhooks returns the operations on webhooks.
func (o Operations) Webhooks() Webhooks { return Webhooks{o} }

// List lists the webhooks, the oldest first, without their secrets.
func (w Webhooks) List(ctx context.Context) ([]WebhookReply, error) {
	return list(ctx, w.to, (*hooks.Keeper).List, Empty{})
}

// Add makes a webhook. The reply alone holds its secret in clear.
func (w Webhooks) Add(ctx context.Context, in WebhookRequest) (WebhookReply, error) {
	return do(ctx, w.to, (*hooks.Keeper).Add, in)
}

// Remove removes a webhook, and returns how it stood.
func (w Webhooks) Remove(ctx context.Context, in WebhookIDRequest) (WebhookReply, error) {
	return do(ctx, w.to, (*hooks.Keeper).Remove, in)
}

// Test sends a webhook a test message now.
func (w Webhooks) Test(ctx context.Context, in WebhookIDRequest) (WebhookTestReply, error) {
	return do(ctx, w.to, (*hooks.Keeper).Test, in)
}

// Replay has a webhook sent what it missed, or all after a cursor, and takes it out of
// parking.
func (w Webhooks) Replay(ctx context.Context, in WebhookReplayRequest) (WebhookReply, error) {
	return do(ctx, w.to, (*hooks.Keeper).Replay, in)
}

// Deliveries lists the last 50 attempts to deliver to a webhook, the newest first.
func (w Webhooks) Deliveries(ctx context.Context, in WebhookIDRequest) ([]DeliveryReply, error) {
	return list(ctx, w.to, (*hooks.Keeper).Deliveries, in)
}

func (n *Node) openHooks() (err error) {
	networks, err := webhook.ParseAllow(n.cfg.Web.WebhookNetworks)
	if err != nil {
		return err
	}
	n.hooks, err = hooks.Open(hooks.Options{
		Council: n.cfg.Council, Data: n.cfg.Data, Keys: n.keys, Access: n.access, Guard: webhook.Guard{Allow: networks},
		Read: n.readChanges, Changed: n.Changed, Log: n.log, Now: n.now,
	})
	return err
}
