// Package hooks keeps the webhooks of a node and delivers to them what changes, as
// CloudEvents signed as Standard Webhooks (package webhook).
//
// # The file
//
// webhooks.json in the data folder is for its owner alone, mode 0600:
//
//	{"version":2,"sealed":"…"}
//
// Sealed is the base64 of what [keys.Ring.Seal] makes, for the purpose "webhooks", of a
// JSON document with every webhook: URL, secret and where it stands. Who has the file and
// not the council's secret learns how long it is. A file of version 1 holds the webhooks
// in clear; it is read, and sealed at once.
//
// How far a webhook is is written down when something fails and at least every minute, so
// that after a crash a receiver may have an event again, under the same id.
package hooks

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	maxHooks = 50
	maxLast  = 50          // deliveries of each that are remembered
	stale    = time.Minute // how long what was delivered may wait to be written down
)

// A hook is a webhook. It is sent the events that its key may see, from its cursor on, in
// order and one at a time. One that is not taken is tried again for three days; then the
// hook is parked, with the reason, until somebody replays it.
type hook struct {
	ID     string    `json:"id"`
	Title  string    `json:"title"`
	URL    string    `json:"url"`
	Types  []string  `json:"types,omitempty"`
	Key    string    `json:"key"`   // id of the key that it is there for
	Allow  []string  `json:"allow"` // its scopes
	Made   time.Time `json:"made"`
	Secret string    `json:"secret"`

	Cursor   string              `json:"cursor"` // after what was taken
	Attempts int                 `json:"attempts,omitempty"`
	Next     time.Time           `json:"next,omitzero"`
	Reason   string              `json:"reason,omitempty"` // why the last attempt failed
	Parked   bool                `json:"parked,omitempty"`
	LastAt   time.Time           `json:"last_at,omitzero"` // when something was taken
	Sent     int                 `json:"sent,omitempty"`
	Last     []api.DeliveryReply `json:"last,omitempty"` // the oldest first
}

// Options say whose webhooks a [Keeper] keeps.
type Options struct {
	Council name.Council
	Data    string // the data folder
	Keys    *keys.Ring
	Access  *access.Store // the keys that webhooks are there for
	Guard   webhook.Guard // where they may go
	// Read reads the feed of changes, and Changed tells when there may be more of it.
	Read    func(context.Context, api.ChangesRequest) (*api.ChangesReply, error)
	Changed func(context.Context) <-chan struct{}
	Log     *slog.Logger
	Now     func() time.Time
}

// A Keeper keeps webhooks, and delivers while [Keeper.Run] runs. It may be used
// concurrently. Whoever asks stands in the context: a system sees the webhooks of its own
// key, and everybody else all. Errors are *api.Errors.
type Keeper struct {
	o      Options
	sender *webhook.Sender
	wake   chan struct{}

	mu      sync.Mutex
	list    []*hook
	running map[string]context.CancelFunc
	written time.Time
}

// Open reads the webhooks of a data folder.
func Open(o Options) (*Keeper, error) {
	h := &Keeper{o: o, sender: webhook.NewSender(o.Guard, "stile", nil), wake: make(chan struct{}, 1), running: map[string]context.CancelFunc{}}
	if err := h.read(); err != nil {
		return nil, fmt.Errorf("read webhooks in %s: %w", filepath.Join(o.Data, FileName), err)
	}
	return h, nil
}

func (h *Keeper) reply(k *hook) api.WebhookReply {
	r := api.WebhookReply{
		ID: k.ID, Title: k.Title, Types: slices.Clone(k.Types), Allow: slices.Clone(k.Allow), Key: k.Key, Made: k.Made, State: api.WebhookGood, Reason: k.Reason,
		Attempts: k.Attempts, Next: k.Next, LastAt: k.LastAt, Sent: k.Sent, Cursor: k.Cursor,
	}
	if u, err := h.o.Guard.URL(k.URL); err == nil {
		r.Host = u.Host
	}
	switch {
	case k.Parked:
		r.State = api.WebhookParked
	case k.Attempts > 0:
		r.State = api.WebhookFailing
	}
	return r
}

// List lists the webhooks, the oldest first.
func (h *Keeper) List(ctx context.Context, _ api.Empty) ([]api.WebhookReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []api.WebhookReply{}
	for _, k := range h.list {
		if k.isOf(access.From(ctx)) {
			out = append(out, h.reply(k))
		}
	}
	return out, nil
}

// Add makes a webhook.
func (h *Keeper) Add(ctx context.Context, in api.WebhookRequest) (*api.WebhookReply, error) {
	if in.Title = strings.TrimSpace(in.Title); in.Title == "" || utf8.RuneCountInString(in.Title) > 100 || strings.ContainsFunc(in.Title, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, api.Fail(api.Usage, "say what it is for, in up to 100 characters", "the webhook has no title that can be shown")
	}
	if p := access.From(ctx); p != nil && p.Kind == access.System {
		if in.Key != "" && in.Key != p.ID {
			return nil, api.Fail(api.Refused, "", "a system makes webhooks for its own key alone")
		}
		in.Key = p.ID
	}
	if in.Key == "" {
		return nil, api.Fail(api.Usage, "stile access key list", "a webhook sees what a key may see, and no key is named")
	}
	key, err := h.key(in.Key)
	if err != nil {
		return nil, err
	}
	if key.Agreement != "" {
		return nil, api.Fail(api.Refused, "a receiver without a node asks for changes under its agreement", "the key of a receiver has no webhooks")
	}
	if _, err := h.o.Guard.URL(in.URL); err != nil {
		return nil, api.Fail(api.Invalid, "name an address by https, or its network under web.webhook_networks", "%v", err)
	}
	for _, t := range in.Types {
		if !slices.Contains(api.ChangeTypes(), t) {
			return nil, api.Fail(api.Usage, "one of "+strings.Join(api.ChangeTypes(), ", "), "types names one that there is not")
		}
	}
	after := in.After
	if after == "" {
		after = "now"
	}
	at, err := h.o.Read(ctx, api.ChangesRequest{After: after, Limit: 1})
	if err != nil {
		return nil, err
	}
	if after == "now" {
		after = at.Cursor
	}
	secret, err := webhook.NewSecret(rand.Reader)
	if err != nil {
		return nil, err
	}
	id := make([]byte, 10)
	rand.Read(id)
	k := &hook{
		ID: "hook_" + strings.ToLower(base32.StdEncoding.EncodeToString(id)), Title: in.Title, URL: in.URL, Types: in.Types, Key: key.ID, Allow: key.Allow,
		Made: h.o.Now().UTC().Truncate(time.Second), Secret: secret.Reveal(), Cursor: after,
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) >= maxHooks {
		return nil, api.Fail(api.Conflict, "remove one that is not used", "there are %d webhooks already", maxHooks)
	}
	h.list = append(h.list, k)
	if err := h.write(); err != nil {
		h.list = h.list[:len(h.list)-1]
		return nil, err
	}
	h.stir()
	r := h.reply(k)
	r.Secret = k.Secret
	return &r, nil
}

// Remove removes a webhook, and returns how it stood.
func (h *Keeper) Remove(ctx context.Context, in api.WebhookIDRequest) (*api.WebhookReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.index(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	r := h.reply(h.list[i])
	h.list = slices.Delete(h.list, i, i+1)
	h.end(in.ID)
	return &r, h.write()
}

// Test sends a webhook a test message now. It is among the deliveries, of type test.
func (h *Keeper) Test(ctx context.Context, in api.WebhookIDRequest) (*api.WebhookTestReply, error) {
	k, err := h.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	e := NewEvent(h.o.Council, api.FeedChange{Type: "test", At: h.o.Now().UTC(), Cursor: "test-" + rand.Text()})
	reply := &api.WebhookTestReply{Taken: true}
	if err := h.send(ctx, k, e); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		reply = &api.WebhookTestReply{Reason: err.Error()}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, err := h.index(ctx, in.ID); err == nil { // unless it was removed meanwhile
		h.list[i].remember(&e, h.o.Now(), reply.Reason)
		h.note()
	}
	return reply, nil
}

// Replay sends a webhook what it missed, or all after a cursor, and takes it out of parking.
func (h *Keeper) Replay(ctx context.Context, in api.WebhookReplayRequest) (*api.WebhookReply, error) {
	if in.After != "" {
		if _, err := h.o.Read(ctx, api.ChangesRequest{After: in.After, Limit: 1}); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.index(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	k := h.list[i]
	if in.After != "" {
		k.Cursor = in.After
	}
	k.Parked, k.Attempts, k.Reason, k.Next = false, 0, "", time.Time{}
	h.end(in.ID)
	h.stir()
	r := h.reply(k)
	return &r, h.write()
}

// Deliveries lists the last attempts to deliver to a webhook, the newest first.
func (h *Keeper) Deliveries(ctx context.Context, in api.WebhookIDRequest) ([]api.DeliveryReply, error) {
	k, err := h.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := append([]api.DeliveryReply{}, k.Last...)
	slices.Reverse(out)
	return out, nil
}

// isOf reports whether a webhook is there for p: for a system when it is of its key, for
// anybody else always.
func (k *hook) isOf(p *access.Principal) bool {
	return p == nil || p.Kind != access.System || k.Key == p.ID
}

// index finds a webhook that is there for whoever asks. h.mu is held.
func (h *Keeper) index(ctx context.Context, id string) (int, error) {
	i := slices.IndexFunc(h.list, func(k *hook) bool { return k.ID == id && k.isOf(access.From(ctx)) })
	if i < 0 {
		return 0, api.Fail(api.NotFound, "stile webhook list", "there is no webhook of that id")
	}
	return i, nil
}

// find returns a copy of a webhook.
func (h *Keeper) find(ctx context.Context, id string) (hook, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.index(ctx, id)
	if err != nil {
		return hook{}, err
	}
	k := *h.list[i]
	k.Last = slices.Clone(k.Last)
	return k, nil
}

// end ends the delivery to a webhook, so that Run begins it anew. h.mu is held.
func (h *Keeper) end(id string) {
	if stop := h.running[id]; stop != nil {
		stop()
		delete(h.running, id)
	}
}

// stir makes Run look again.
func (h *Keeper) stir() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// key returns a key that is good. What a key may see its webhook may see, and nothing
// after it.
func (h *Keeper) key(id string) (*api.KeyReply, error) {
	for _, k := range h.o.Access.List() {
		if k.ID == id && k.State == api.KeyGood {
			return &k, nil
		}
	}
	return nil, api.Fail(api.NotFound, "stile access key list", "there is no good key of that id")
}

var errKeyOver = errors.New("the key that it is there for has ended: make the webhook again with another")

// Run delivers until ctx ends.
func (h *Keeper) Run(ctx context.Context) {
	ctx = access.With(ctx, nil)
	defer h.sender.Close()
	defer func() { // when the last has ended
		h.mu.Lock()
		defer h.mu.Unlock()
		clear(h.running)
		if len(h.list) > 0 {
			h.note()
		}
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		h.mu.Lock()
		for _, k := range h.list {
			if h.running[k.ID] == nil && !k.Parked {
				one, stop := context.WithCancel(ctx)
				h.running[k.ID] = stop
				wg.Go(func() { h.deliver(one, k.ID) })
			}
		}
		h.mu.Unlock()
		select {
		case <-h.wake:
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends one webhook what comes, until ctx ends or it is parked.
func (h *Keeper) deliver(ctx context.Context, id string) {
	for ctx.Err() == nil && h.round(ctx, id) {
	}
}

// round sends a webhook what there is and waits for more. It reports whether there is to
// be another.
func (h *Keeper) round(ctx context.Context, id string) bool {
	k, err := h.find(ctx, id)
	if err != nil || k.Parked {
		return false
	}
	if d := k.Next.Sub(h.o.Now()); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return false
		}
	}
	if _, err := h.key(k.Key); err != nil {
		h.failed(ctx, id, nil, errKeyOver, true)
		return false
	}
	p := &access.Principal{Kind: access.System, ID: k.ID}
	for _, text := range k.Allow {
		if s, err := access.ParseScope(text); err == nil {
			p.Scopes = append(p.Scopes, s)
		}
	}
	as := access.With(ctx, p)
	waiting, enough := context.WithCancel(ctx)
	defer enough()
	more := h.o.Changed(waiting)
	part, err := h.o.Read(ctx, api.ChangesRequest{After: k.Cursor})
	if err != nil {
		if ctx.Err() == nil {
			h.failed(ctx, id, nil, errors.New("the feed of changes cannot be read from its cursor"), true)
		}
		return false
	}
	for _, c := range part.Changes {
		if len(k.Types) > 0 && !slices.Contains(k.Types, c.Type) || !Sees(as, c) {
			continue
		}
		e := NewEvent(h.o.Council, c)
		if err := h.send(ctx, k, e); err != nil {
			return ctx.Err() == nil && !h.failed(ctx, id, &e, err, false)
		}
		h.took(ctx, id, e.ID, &e)
	}
	h.took(ctx, id, part.Cursor, nil)
	if part.Live {
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
	return true
}

// message is the id of the message that tells a webhook of an event: the same at each
// attempt.
func (k *hook) message(e CloudEvent) string {
	sum := sha256.Sum256([]byte(k.ID + "\n" + e.ID + "\n" + e.Type + "\n" + e.Subject))
	return "msg_" + hex.EncodeToString(sum[:12])
}

// send makes one attempt.
func (h *Keeper) send(ctx context.Context, k hook, e CloudEvent) error {
	secret, err := webhook.ParseSecret(k.Secret)
	if err != nil {
		return err
	}
	body, err := marshal(e)
	if err != nil {
		return err
	}
	return h.sender.Send(ctx, webhook.Target{URL: k.URL, Secrets: []webhook.Secret{secret}}, webhook.Message{ID: k.message(e), Body: body}, h.o.Now())
}

// remember keeps an attempt among the last.
func (k *hook) remember(e *CloudEvent, at time.Time, why string) {
	k.Last = append(k.Last, api.DeliveryReply{
		At: at.UTC().Truncate(time.Second), Message: k.message(*e), Event: e.ID, Type: strings.TrimPrefix(e.Type, TypePrefix), Attempt: k.Attempts + 1, Taken: why == "", Reason: why,
	})
	k.Last = k.Last[max(0, len(k.Last)-maxLast):]
}

// took moves a webhook's cursor on, over an event that was taken, if e is one.
func (h *Keeper) took(ctx context.Context, id, cursor string, e *CloudEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.index(ctx, id)
	if err != nil || ctx.Err() != nil {
		return // somebody has changed it meanwhile
	}
	k := h.list[i]
	was := k.Attempts
	if e != nil {
		k.remember(e, h.o.Now(), "")
		k.LastAt, k.Sent = h.o.Now().UTC().Truncate(time.Second), k.Sent+1
	}
	k.Cursor, k.Attempts, k.Reason, k.Next = cursor, 0, "", time.Time{}
	if was > 0 || h.o.Now().Sub(h.written) > stale {
		h.note()
	}
}

// failed notes an attempt that failed, and reports whether the webhook is parked.
func (h *Keeper) failed(ctx context.Context, id string, e *CloudEvent, why error, final bool) (parked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.index(ctx, id)
	if err != nil || ctx.Err() != nil {
		return false
	}
	k := h.list[i]
	if e != nil {
		k.remember(e, h.o.Now(), why.Error())
	}
	k.Attempts++
	k.Reason = why.Error()
	d, again := webhook.Next(k.Attempts, why, mathrand.Float64())
	if k.Next = h.o.Now().Add(d); !again || final {
		k.Parked, parked = true, true
		delete(h.running, id)
		h.o.Log.Warn("a webhook is parked", "webhook", k.ID, "because", k.Reason)
	}
	h.note()
	return parked
}
