package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/node"
)

// A hookCall asks for a webhook.
type hookCall struct {
	Body struct {
		Title string   `json:"title" minLength:"1" maxLength:"100"`
		URL   string   `json:"url" minLength:"1" maxLength:"2048" doc:"https, and of the public internet or of a network that web.webhook_networks names"`
		Types []string `json:"types,omitempty" maxItems:"20" doc:"only these; absent: all that the key may see"`
		After string   `json:"after,omitempty" maxLength:"200" doc:"begin after this cursor; absent: from now on"`
	}
}

// HookID names a webhook.
type HookID struct {
	ID string `path:"id" maxLength:"40"`
}

// A replayCall sends what was sent before anew.
type replayCall struct {
	HookID
	Body struct {
		After string `json:"after,omitempty" maxLength:"200" doc:"from after this cursor; absent: from where it stopped"`
	}
}

func (a *API) webhooks() {
	get(a, "changes", "list-webhooks", "/v1/webhooks", "List the webhooks of this key, and how each stands", func(ctx context.Context, _ *empty) (page[node.WebhookReply], error) {
		all, err := a.n.Webhooks().List(ctx)
		return pageOf(all, ""), err
	})
	post(a, "changes", "add-webhook", "/v1/webhooks", "Make a webhook, which sees what this key may see; its secret is shown once", func(ctx context.Context, in *hookCall) (node.WebhookReply, error) {
		b := in.Body
		return a.n.Webhooks().Add(ctx, node.WebhookRequest{Title: b.Title, URL: b.URL, Types: b.Types, After: b.After})
	})
	call(a, huma.Operation{Method: http.MethodDelete, Path: "/v1/webhooks/{id}", OperationID: "remove-webhook", Tags: []string{"changes"}, Summary: "Remove a webhook", DefaultStatus: http.StatusOK}, func(ctx context.Context, in *HookID) (*reply[accepted], error) {
		_, err := a.n.Webhooks().Remove(ctx, node.WebhookIDRequest{ID: in.ID})
		return &reply[accepted]{Body: accepted{true}}, err
	})
	post(a, "changes", "test-webhook", "/v1/webhooks/{id}/test", "Send a webhook a test message now", func(ctx context.Context, in *HookID) (node.WebhookTestReply, error) {
		return a.n.Webhooks().Test(ctx, node.WebhookIDRequest{ID: in.ID})
	})
	post(a, "changes", "replay-webhook", "/v1/webhooks/{id}/replay", "Send a webhook what it missed, or all after a cursor, and take it out of parking", func(ctx context.Context, in *replayCall) (node.WebhookReply, error) {
		return a.n.Webhooks().Replay(ctx, node.WebhookReplayRequest{ID: in.ID, After: in.Body.After})
	})
	get(a, "changes", "list-deliveries", "/v1/webhooks/{id}/deliveries", "List the last 50 attempts to deliver to a webhook, the newest first", func(ctx context.Context, in *HookID) (page[node.DeliveryReply], error) {
		all, err := a.n.Webhooks().Deliveries(ctx, node.WebhookIDRequest{ID: in.ID})
		return pageOf(all, ""), err
	})
}
