package web

import (
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/feed"
	"github.com/stile-exchange/stile/internal/sbom"
	"github.com/stile-exchange/stile/node"
)

// feedsFolder is where a data folder keeps how its feeds stand.
const feedsFolder = "feeds"

// A feedLine is a feed and how it stands.
type feedLine struct {
	config.Feed
	State feed.State
}

func (q *request) feedLines() (out []feedLine, err error) {
	for _, f := range q.Feeds {
		s, err := feed.ReadState(filepath.Join(q.Data, feedsFolder), f.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, feedLine{f, s})
	}
	return out, nil
}

func (q *request) feeds() error {
	lines, err := q.feedLines()
	if err != nil {
		return err
	}
	return q.render("feeds", page{Title: q.say("feeds.title"), Back: "/admin", Wide: true, Data: lines})
}

// feedRun asks the running node to take a feed in now.
func (q *request) feedRun() error {
	named := q.r.PathValue("name")
	if !slices.ContainsFunc(q.Feeds, func(f config.Feed) bool { return f.Name == named }) {
		return &node.Error{Kind: node.NotFound, Message: q.say("feeds.none-such")}
	}
	if err := feed.Want(filepath.Join(q.Data, feedsFolder), named); err != nil {
		return err
	}
	q.Log.Info("a person asked for a feed", "feed", named, "person", q.who.ID)
	return q.done("/admin/feeds", "feed-wanted")
}

// backups says when the last one was made and whether it was found good, and when the next
// is due.
func (q *request) backups() error {
	b, err := q.Node.Backups().List(q.ctx())
	if err != nil {
		return err
	}
	slices.Reverse(b.Kept) // the newest first
	var last, verified, next time.Time
	for _, k := range b.Kept {
		if k.Of != "keys" && k.Made.After(last) {
			last = k.Made
		}
		if k.Verified.After(verified) {
			verified = k.Verified
		}
	}
	if b.Folder != "" && b.Every > 0 {
		if next = last.Add(time.Duration(b.Every) * time.Hour); next.Before(q.Now()) {
			next = q.Now()
		}
	}
	return q.render("backups", page{Title: q.say("backups.title"), Back: "/admin", Wide: true, Data: map[string]any{"B": b, "Last": last, "Verified": verified, "Next": next, "Now": q.Now()}})
}

func (q *request) webhooks() error { return q.showWebhooks("", "", nil, nil) }

// showWebhooks lists the webhooks, says of the one that was tested why it failed, and shows
// the secret of one that was just made.
func (q *request) showWebhooks(tested, reason string, f faults, made *node.WebhookReply) error {
	all, err := q.Node.Webhooks().List(q.ctx())
	if err != nil {
		return err
	}
	keys, err := q.Node.Access().ListKeys(q.ctx())
	if err != nil {
		return err
	}
	var good []option
	for _, k := range keys {
		if k.State == "good" && k.Agreement == "" {
			good = append(good, opt(k.ID, k.Title+" ("+k.ID+")"))
		}
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("webhooks", page{Title: q.say("webhooks.title"), Back: "/admin", Wide: true, Faults: f, Status: status, Data: map[string]any{
		"All": all, "Tested": tested, "Reason": reason, "Made": made, "Keys": good, "Title": q.form("title"), "URL": q.form("url"), "Types": q.r.FormValue("types"), "Key": q.form("key"),
	}})
}

// webhookAdd makes a webhook, whose secret is shown on the page that answers, and never
// again.
func (q *request) webhookAdd() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	in := node.WebhookRequest{Title: q.form("title"), URL: q.form("url"), Types: fieldsOf(q.r.FormValue("types")), Key: q.form("key")}
	if in.Title == "" {
		return q.showWebhooks("", "", faults{{"title", q.say("keys.title-empty")}}, nil)
	}
	made, err := q.Node.Webhooks().Add(q.ctx(), in)
	if e, ok := asNode(err); ok && e.Kind != node.Failed {
		return q.showWebhooks("", "", faults{{"url", q.node(e.Message)}}, nil)
	}
	if err != nil {
		return err
	}
	q.Log.Info("a person made a webhook", "webhook", made.ID, "person", q.who.ID)
	return q.showWebhooks("", "", nil, &made)
}

// webhookDeliveries lists the last attempts to deliver to a webhook.
func (q *request) webhookDeliveries() error {
	id := q.r.PathValue("id")
	all, err := q.Node.Webhooks().List(q.ctx())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(w node.WebhookReply) bool { return w.ID == id })
	if i < 0 {
		return &node.Error{Kind: node.NotFound, Message: q.say("failure.not-found")}
	}
	tries, err := q.Node.Webhooks().Deliveries(q.ctx(), node.WebhookIDRequest{ID: id})
	if err != nil {
		return err
	}
	return q.render("deliveries", page{Title: q.say("webhooks.deliveries-of", all[i].Title), Back: "/admin/webhooks", Wide: true, Data: tries})
}

// webhookDo tests, resumes or removes a webhook.
func (q *request) webhookDo() error {
	id, verb := q.r.PathValue("id"), filepath.Base(q.r.URL.Path)
	q.Log.Info("a person did something with a webhook", "webhook", id, "what", verb, "person", q.who.ID)
	switch verb {
	case "test":
		tried, err := q.Node.Webhooks().Test(q.ctx(), node.WebhookIDRequest{ID: id})
		if err != nil {
			return err
		}
		if !tried.Taken {
			return q.showWebhooks(id, tried.Reason, nil, nil)
		}
		return q.done("/admin/webhooks", "webhook-tested")
	case "resume":
		if _, err := q.Node.Webhooks().Replay(q.ctx(), node.WebhookReplayRequest{ID: id}); err != nil {
			return err
		}
		return q.done("/admin/webhooks", "webhook-resumed")
	}
	if _, err := q.Node.Webhooks().Remove(q.ctx(), node.WebhookIDRequest{ID: id}); err != nil {
		return err
	}
	return q.done("/admin/webhooks", "webhook-removed")
}

// keys lists the keys of systems, and makes and ends them.
func (q *request) keys() error { return q.showKeys(nil, nil) }

func (q *request) showKeys(f faults, made *node.KeyReply) error {
	all, err := q.Node.Access().ListKeys(q.ctx())
	if err != nil {
		return err
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("keys", page{Title: q.say("admin.keys"), Back: "/admin", Wide: true, Faults: f, Status: status, Data: map[string]any{
		"Keys": all, "Made": made, "Title": q.form("title"), "Allow": q.r.FormValue("allow"), "Days": q.form("days"),
	}})
}

// keyAdd makes a key, whose secret is shown on the page that answers, and never again.
func (q *request) keyAdd() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	in := node.KeyRequest{Title: q.form("title"), Allow: fieldsOf(q.r.FormValue("allow"))}
	var f faults
	if in.Title == "" {
		f = append(f, fault{"title", q.say("keys.title-empty")})
	}
	if d := q.form("days"); d != "" {
		n, err := strconv.Atoi(d)
		if err != nil || n < 1 {
			f = append(f, fault{"days", q.say("keys.days-wrong")})
		}
		in.Days = n
	}
	if len(f) > 0 {
		return q.showKeys(f, nil)
	}
	made, err := q.Node.Access().AddKey(q.ctx(), in)
	if e, ok := asNode(err); ok && (e.Kind == node.Usage || e.Kind == node.Invalid || e.Kind == node.NotFound) {
		return q.showKeys(faults{{"allow", q.node(e.Message)}}, nil)
	}
	if err != nil {
		return err
	}
	q.Log.Info("a person made a key for a system", "key", made.ID, "person", q.who.ID)
	return q.showKeys(nil, &made)
}

func (q *request) keyRevoke() error {
	if _, err := q.Node.Access().RevokeKey(q.ctx(), node.KeyIDRequest{ID: q.r.PathValue("id")}); err != nil {
		return err
	}
	q.Log.Info("a person ended a key of a system", "key", q.r.PathValue("id"), "person", q.who.ID)
	return q.done("/admin/keys", "key-ended")
}

// about says what the program is made of.
func (q *request) about() error {
	parts, err := sbom.Parts()
	if err != nil {
		parts = nil // built without modules: the page says so
	}
	return q.render("about", page{Title: q.say("about.title"), Public: true, Data: map[string]any{"Parts": parts}})
}

func (q *request) billOfMaterials() error {
	b, err := sbom.Of()
	if err != nil {
		return &node.Error{Kind: node.NotFound, Message: err.Error()}
	}
	return q.download("application/vnd.cyclonedx+json", "stile-sbom.cdx.json", b)
}
