package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node"
	nodeapi "github.com/stile-exchange/stile/node/api"
)

const (
	maxHooks   = 50
	hooksFile  = "webhooks.json"
	hooksStale = time.Minute // how long what was delivered may wait to be written down
)

// A hook is a webhook. It is sent the events that the key which made it may see, from its
// cursor on, in order and one at a time, each signed as Standard Webhooks say. One that is
// not taken is tried again for three days; then the hook is parked, with the reason, until
// somebody replays it.
type hook struct {
	ID     string    `json:"id"`
	Title  string    `json:"title"`
	URL    string    `json:"url"`
	Types  []string  `json:"types,omitempty"`
	Key    string    `json:"key"`   // id of the key that made it
	Allow  []string  `json:"allow"` // its scopes
	Made   time.Time `json:"made"`
	Secret string    `json:"secret"`

	Cursor   string    `json:"cursor"` // after what was taken
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Reason   string    `json:"reason,omitempty"` // why the last attempt failed
	Parked   bool      `json:"parked,omitempty"`
	LastAt   time.Time `json:"last_at,omitzero"` // when something was taken
	Sent     int       `json:"sent,omitempty"`
}

// A hookReply shows a webhook. Its secret is in the reply to whoever made it, once.
type hookReply struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Host     string    `json:"host" doc:"where it goes; the rest of the URL may be a secret"`
	Types    []string  `json:"types,omitempty"`
	Allow    []string  `json:"allow"`
	Made     time.Time `json:"made"`
	State    string    `json:"state" enum:"good,failing,parked"`
	Reason   string    `json:"reason,omitempty"`
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	LastAt   time.Time `json:"last_at,omitzero"`
	Sent     int       `json:"sent"`
	Cursor   string    `json:"cursor"`
	Secret   string    `json:"secret,omitempty"`
}

// hooks keeps the webhooks in one file that only its owner may read, since it holds their
// secrets, and delivers.
type hooks struct {
	a      *API
	path   string
	sender *webhook.Sender
	guard  webhook.Guard
	wake   chan struct{}

	mu      sync.Mutex
	list    []*hook
	running map[string]context.CancelFunc
	written time.Time
}

func openHooks(a *API, guard webhook.Guard) (*hooks, error) {
	h := &hooks{a: a, path: filepath.Join(a.n.Config().Data, hooksFile), guard: guard, sender: webhook.NewSender(guard, "stile", nil), wake: make(chan struct{}, 1), running: map[string]context.CancelFunc{}}
	b, err := os.ReadFile(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	var f struct {
		Version int     `json:"version"`
		Hooks   []*hook `json:"hooks"`
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.Version != 1 {
		err = fmt.Errorf("it is of version %d, and this Stile reads 1", f.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("read webhooks in %s: %w", h.path, err)
	}
	h.list = f.Hooks
	return h, nil
}

// write puts the webhooks on disk. h.mu is held.
func (h *hooks) write() error {
	b, err := json.MarshalIndent(map[string]any{"version": 1, "hooks": h.list}, "", " ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(h.path), ".webhooks")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	h.written = h.a.o.Now()
	return os.Rename(tmp.Name(), h.path)
}

func (h *hooks) reply(k *hook) hookReply {
	r := hookReply{ID: k.ID, Title: k.Title, Types: k.Types, Allow: k.Allow, Made: k.Made, State: "good", Reason: k.Reason, Attempts: k.Attempts, Next: k.Next, LastAt: k.LastAt, Sent: k.Sent, Cursor: k.Cursor}
	if u, err := h.guard.URL(k.URL); err == nil {
		r.Host = u.Host
	}
	switch {
	case k.Parked:
		r.State = "parked"
	case k.Attempts > 0:
		r.State = "failing"
	}
	return r
}

// A hookCall asks for a webhook.
type hookCall struct {
	Body struct {
		Title string   `json:"title" minLength:"1" maxLength:"100"`
		URL   string   `json:"url" minLength:"1" maxLength:"2048" doc:"https, and of the public internet or of a network that web.webhook_networks names"`
		Types []string `json:"types,omitempty" maxItems:"20" doc:"only these; absent: all that the key may see"`
		After string   `json:"after,omitempty" maxLength:"200" doc:"begin after this cursor; absent: from now on"`
	}
}

// A HookID names a webhook.
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

// A tried reply says how a test message was taken.
type tried struct {
	Taken  bool   `json:"taken"`
	Reason string `json:"reason,omitempty"`
}

func (a *API) webhooks() {
	get(a, "changes", "list-webhooks", "/v1/webhooks", "List the webhooks, and how each stands", func(ctx context.Context, _ *empty) (page[hookReply], error) {
		if err := may(ctx, "webhooks/list", access.On{}); err != nil {
			return page[hookReply]{}, err
		}
		a.hooks.mu.Lock()
		defer a.hooks.mu.Unlock()
		var out []hookReply
		for _, k := range a.hooks.list {
			if k.isOf(access.From(ctx)) {
				out = append(out, a.hooks.reply(k))
			}
		}
		return pageOf(out, ""), nil
	})
	post(a, "changes", "add-webhook", "/v1/webhooks", "Make a webhook, which sees what this key may see; its secret is shown once", a.addHook)
	call(a, huma.Operation{Method: http.MethodDelete, Path: "/v1/webhooks/{id}", OperationID: "remove-webhook", Tags: []string{"changes"}, Summary: "Remove a webhook", DefaultStatus: http.StatusOK}, func(ctx context.Context, in *HookID) (*reply[accepted], error) {
		if err := may(ctx, "webhooks/remove", access.On{}); err != nil {
			return nil, err
		}
		return &reply[accepted]{Body: accepted{true}}, a.hooks.remove(access.From(ctx), in.ID)
	})
	post(a, "changes", "test-webhook", "/v1/webhooks/{id}/test", "Send a webhook a test message now", func(ctx context.Context, in *HookID) (tried, error) {
		if err := may(ctx, "webhooks/test", access.On{}); err != nil {
			return tried{}, err
		}
		k, err := a.hooks.find(access.From(ctx), in.ID)
		if err != nil {
			return tried{}, err
		}
		e := a.event(node.FeedChange{Type: "test", At: a.o.Now().UTC(), Cursor: "test-" + rand.Text()})
		if err := a.hooks.send(ctx, k, e); err != nil {
			return tried{Reason: err.Error()}, nil
		}
		return tried{Taken: true}, nil
	})
	post(a, "changes", "replay-webhook", "/v1/webhooks/{id}/replay", "Send a webhook what it missed, or all after a cursor, and take it out of parking", func(ctx context.Context, in *replayCall) (hookReply, error) {
		if err := may(ctx, "webhooks/replay", access.On{}); err != nil {
			return hookReply{}, err
		}
		if in.Body.After != "" {
			if _, err := a.n.Changes().Read(access.With(ctx, nil), node.ChangesRequest{After: in.Body.After, Limit: 1}); err != nil {
				return hookReply{}, err
			}
		}
		return a.hooks.change(access.From(ctx), in.ID, func(k *hook) {
			if in.Body.After != "" {
				k.Cursor = in.Body.After
			}
			k.Parked, k.Attempts, k.Reason, k.Next = false, 0, "", time.Time{}
		})
	})
}

func (a *API) addHook(ctx context.Context, in *hookCall) (hookReply, error) {
	p := access.From(ctx)
	if err := may(ctx, "webhooks/add", access.On{}); err != nil {
		return hookReply{}, err
	}
	if p.Kind != access.System {
		return hookReply{}, &Problem{Status: http.StatusForbidden, Kind: string(node.Refused), Detail: "a webhook sees what the key that makes it may see: make it with a key"}
	}
	if _, err := a.hooks.guard.URL(in.Body.URL); err != nil {
		return hookReply{}, &Problem{Status: http.StatusUnprocessableEntity, Kind: string(node.Invalid), Detail: err.Error()}
	}
	for _, t := range in.Body.Types {
		if !slices.Contains(nodeapi.ChangeTypes(), t) {
			return hookReply{}, misused("types names one that there is not")
		}
	}
	after := in.Body.After
	if after == "" {
		after = "now"
	}
	at, err := a.n.Changes().Read(access.With(ctx, nil), node.ChangesRequest{After: after, Limit: 1})
	if err != nil {
		return hookReply{}, err
	}
	if after == "now" {
		after = at.Cursor
	}
	secret, err := webhook.NewSecret(rand.Reader)
	if err != nil {
		return hookReply{}, err
	}
	id := make([]byte, 10)
	rand.Read(id)
	k := &hook{ID: "hook_" + strings.ToLower(base32.StdEncoding.EncodeToString(id)), Title: in.Body.Title, URL: in.Body.URL, Types: in.Body.Types, Key: p.ID, Made: a.o.Now().UTC().Truncate(time.Second), Secret: secret.Reveal(), Cursor: after}
	for _, s := range p.Scopes {
		k.Allow = append(k.Allow, s.String())
	}
	h := a.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) >= maxHooks {
		return hookReply{}, &Problem{Status: http.StatusConflict, Detail: fmt.Sprintf("there are %d webhooks already", maxHooks)}
	}
	h.list = append(h.list, k)
	if err := h.write(); err != nil {
		h.list = h.list[:len(h.list)-1]
		return hookReply{}, err
	}
	h.stir()
	r := h.reply(k)
	r.Secret = k.Secret
	return r, nil
}

// stir makes Run look again.
func (h *hooks) stir() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

var errNoHook = &Problem{Status: http.StatusNotFound, Kind: string(node.NotFound), Detail: "there is no webhook of that id"}

// isOf reports whether a webhook is there for p: for a system when its key made it, for
// anybody else always.
func (k *hook) isOf(p *access.Principal) bool {
	return p == nil || p.Kind != access.System || k.Key == p.ID
}

// find returns a copy, for whom it is there for: see isOf.
func (h *hooks) find(p *access.Principal, id string) (hook, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.list {
		if k.ID == id && k.isOf(p) {
			return *k, nil
		}
	}
	return hook{}, errNoHook
}

// change changes a webhook, writes it down and has it begin anew.
func (h *hooks) change(p *access.Principal, id string, f func(*hook)) (hookReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.list {
		if k.ID == id && k.isOf(p) {
			f(k)
			if stop := h.running[id]; stop != nil {
				stop()
				delete(h.running, id)
			}
			h.stir()
			return h.reply(k), h.write()
		}
	}
	return hookReply{}, errNoHook
}

func (h *hooks) remove(p *access.Principal, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.list, func(k *hook) bool { return k.ID == id && k.isOf(p) })
	if i < 0 {
		return errNoHook
	}
	h.list = slices.Delete(h.list, i, i+1)
	if stop := h.running[id]; stop != nil {
		stop()
		delete(h.running, id)
	}
	return h.write()
}

// Run delivers webhooks until ctx ends.
func (a *API) Run(ctx context.Context) {
	h := a.hooks
	defer h.sender.Close()
	defer func() { // when the last has ended
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.list) == 0 {
			return
		}
		if err := h.write(); err != nil {
			a.o.Log.Error("webhooks could not be written down", "error", err.Error())
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
func (h *hooks) deliver(ctx context.Context, id string) {
	for ctx.Err() == nil && h.round(ctx, id) {
	}
}

// round sends a webhook what there is and waits for more. It reports whether there is to
// be another.
func (h *hooks) round(ctx context.Context, id string) bool {
	k, err := h.find(nil, id)
	if err != nil || k.Parked {
		return false
	}
	if d := k.Next.Sub(h.a.o.Now()); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return false
		}
	}
	if err := h.keyHolds(ctx, k.Key); err != nil {
		h.failed(ctx, id, err, true)
		return false
	}
	p := &access.Principal{Kind: access.System, ID: k.ID}
	for _, text := range k.Allow {
		if s, err := access.ParseScope(text); err == nil {
			p.Scopes = append(p.Scopes, s)
		}
	}
	waiting, enough := context.WithCancel(ctx)
	defer enough()
	more := h.a.n.Changed(waiting)
	part, err := h.a.read(access.With(ctx, p), k.Cursor, k.Types)
	if err != nil {
		if ctx.Err() == nil {
			h.failed(ctx, id, errors.New("the feed of changes cannot be read from its cursor"), true)
		}
		return false
	}
	for _, e := range part.Events {
		if err := h.send(ctx, k, e); err != nil {
			return ctx.Err() == nil && !h.failed(ctx, id, err, false)
		}
		h.took(ctx, id, e.ID, true)
	}
	h.took(ctx, id, part.Cursor, false)
	if part.Live {
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
	return true
}

// errKeyOver: what a key may see its webhook may see, and nothing after it.
var errKeyOver = errors.New("the key that made it has ended: make the webhook again with another")

// keyHolds reports whether a key is still good.
func (h *hooks) keyHolds(ctx context.Context, id string) error {
	all, err := h.a.n.Access().ListKeys(access.With(ctx, access.Admin()))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(k node.KeyReply) bool { return k.ID == id && k.State == nodeapi.KeyGood }) {
		return errKeyOver
	}
	return nil
}

// send makes one attempt. The id of the message is the same at each.
func (h *hooks) send(ctx context.Context, k hook, e cloudEvent) error {
	secret, err := webhook.ParseSecret(k.Secret)
	if err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(k.ID + "\n" + e.ID + "\n" + e.Type + "\n" + e.Subject))
	return h.sender.Send(ctx, webhook.Target{URL: k.URL, Secrets: []webhook.Secret{secret}}, webhook.Message{ID: "msg_" + hex.EncodeToString(sum[:12]), Body: body}, h.a.o.Now())
}

// took moves a webhook's cursor on. What is not written down yet is sent again after a
// crash.
func (h *hooks) took(ctx context.Context, id, cursor string, event bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return // somebody has changed it meanwhile
	}
	for _, k := range h.list {
		if k.ID != id {
			continue
		}
		was := k.Attempts
		k.Cursor, k.Attempts, k.Reason, k.Next = cursor, 0, "", time.Time{}
		if event {
			k.LastAt, k.Sent = h.a.o.Now().UTC().Truncate(time.Second), k.Sent+1
		}
		if was > 0 || h.a.o.Now().Sub(h.written) > hooksStale {
			if err := h.write(); err != nil {
				h.a.o.Log.Error("webhooks could not be written down", "error", err.Error())
			}
		}
	}
}

// failed notes an attempt that failed, and reports whether the webhook is parked.
func (h *hooks) failed(ctx context.Context, id string, why error, final bool) (parked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.list {
		if k.ID != id || ctx.Err() != nil {
			continue
		}
		k.Attempts++
		k.Reason = why.Error()
		d, again := webhook.Next(k.Attempts, why, mathrand.Float64())
		if k.Next = h.a.o.Now().Add(d); !again || final {
			k.Parked, parked = true, true
			delete(h.running, id)
			h.a.o.Log.Warn("a webhook is parked", "webhook", k.Title, "because", k.Reason)
		}
		if err := h.write(); err != nil {
			h.a.o.Log.Error("webhooks could not be written down", "error", err.Error())
		}
	}
	return parked
}
