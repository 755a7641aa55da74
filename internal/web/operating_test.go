package web_test

import (
	"bytes"
	"html"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/schemas/councils"
)

// A key is made and shown once, is listed with what it may do, and ends on the page; a feed
// is asked for; a backup is listed with what became of it.
func TestAdminPages(t *testing.T) {
	h := open(t, false, func(o *web.Options) { o.Feeds = []config.Feed{{Name: "housing", Folder: "/none"}} })
	v := h.enter("Ola Perera", access.Operator)
	if status, page := v.post("/admin/keys", url.Values{"title": {""}, "days": {"x"}}); status != 422 || !strings.Contains(page, `id="days-error"`) || !strings.Contains(page, `id="title-error"`) {
		t.Errorf("a key for nothing: %d", status)
	}
	if status, page := v.post("/admin/keys", url.Values{"title": {"Housing"}, "allow": {"own everything"}}); status != 422 || !strings.Contains(page, "begins with no verb") {
		t.Errorf("a scope that is none: %d", status)
	}
	_, page := v.post("/admin/keys", url.Values{"title": {"Housing"}, "allow": {"status\r\nread:own:*"}, "days": {"30"}})
	secret := cut(t, cut(t, page, "shown this once", "</dl>"), `<span class="stile-mono">`, "</span>")
	who, err := h.node.Access().Authenticate(t.Context(), node.KeySecretRequest{Secret: secret})
	if err != nil || strings.Join(who.Allow, " ") != "status read:own:*" {
		t.Fatalf("the key that was shown: %+v, %v", who, err)
	}
	if _, page := v.get("/admin/keys"); strings.Contains(page, secret) || !strings.Contains(page, "read:own:*") {
		t.Error("the list shows the secret, or not what the key may do")
	}
	if _, page := v.post("/admin/keys/"+who.ID+"/end", nil); !strings.Contains(page, "The key has ended") {
		t.Error("the key did not end")
	}
	if _, err := h.node.Access().Authenticate(t.Context(), node.KeySecretRequest{Secret: secret}); err == nil {
		t.Error("a key that has ended is good")
	}

	if _, page := v.get("/admin/feeds"); !strings.Contains(page, "housing") || !strings.Contains(page, "Nothing yet") {
		t.Error("the feed is not listed")
	}
	if status, _ := v.post("/admin/feeds/other/run", nil); status != 404 {
		t.Errorf("a feed that there is not: %d", status)
	}
	v.post("/admin/feeds/housing/run", nil)
	if _, err := os.Stat(filepath.Join(h.data, "feeds", "housing.run")); err != nil {
		t.Error(err)
	}

	if _, page := v.get("/admin/backups"); !strings.Contains(page, "No backup was ever made") {
		t.Error("an empty list of backups says nothing")
	}
	st, err := h.node.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made := node.BackupReply{Root: st.LogRoot, Council: northmoor, Of: "folder", Digest: strings.Repeat("ab", 32), Bytes: 4_200_000, Size: st.LogSize, Made: h.clock().Add(-time.Hour).UTC().Truncate(time.Second), File: filepath.Join(t.TempDir(), "a.stile-backup")}
	if err := os.WriteFile(made.File, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Backups().Note(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if _, page := v.get("/admin/backups"); !strings.Contains(page, "4.2 MB") || !strings.Contains(page, "Not verified") {
		t.Error("the backup is not listed")
	}
	if _, err := h.node.Backups().Verified(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if _, page := v.get("/admin/backups"); !strings.Contains(page, ">Verified<") {
		t.Error("the page does not say that the backup was verified")
	}
}

// A standard is adopted by what was shown, and by nobody who did not say so.
func TestAdopt(t *testing.T) {
	h := open(t, true, nil)
	v := h.enter("Gil Moran", access.Governance)
	const spend = "/standards/standards.stile.example/spend@1.0.0"
	if _, page := v.get("/standards"); !strings.Contains(page, `href="`+spend+`/adopt"`) {
		t.Fatal("what comes with Stile is not offered")
	}
	if _, page := h.visitor().get("/standards"); strings.Contains(page, `/adopt"`) {
		t.Error("a stranger is offered to adopt")
	}
	_, page := v.get(spend + "/adopt")
	integrity := html.UnescapeString(cut(t, page, `name="integrity" value="`, `"`))
	if status, _ := v.post(spend+"/adopt", url.Values{"integrity": {"another"}, "sure": {"yes"}}); status != 409 {
		t.Errorf("another text was adopted: %d", status)
	}
	if status, _ := v.post(spend+"/adopt", url.Values{"integrity": {integrity}}); status != 422 {
		t.Errorf("nobody said so: %d", status)
	}
	if _, page := v.post(spend+"/adopt", url.Values{"integrity": {integrity}, "sure": {"yes"}}); !strings.Contains(page, "The standard is adopted") {
		t.Error("it was not adopted")
	}
	if _, err := h.node.Standards().Show(t.Context(), node.StandardRequest{Name: "standards.stile.example/spend@1.0.0"}); err != nil {
		t.Error(err)
	}
}

// The map has a hexagon for each council of England on that day, once, and the table says
// the same; the bill of materials is one.
func TestHexesAndParts(t *testing.T) {
	h := open(t, true, nil)
	v := h.visitor()
	want := len(councils.At(h.clock()))
	_, page := v.get("/adoption")
	drawn, table := strings.Count(page, "<polygon "), strings.Count(cut(t, page, "English councils by region", "</table>"), "<tr class")
	if drawn != want || table != want+1 { // one row is the heading
		t.Errorf("%d hexagons and %d rows, want %d of each", drawn, table-1, want)
	}
	for _, name := range []string{"<title>Adur: ", "<title>Isles of Scilly: ", "<title>City of London: "} {
		if strings.Count(page, name) != 1 {
			t.Errorf("%s is there %d times", name, strings.Count(page, name))
		}
	}
	if _, page := v.get("/about"); !strings.Contains(page, `<span class="stile-mono">std</span>`) {
		t.Error("the page does not say what the program is made of")
	}
	if status, bom := v.get("/about/sbom.json"); status != 200 || !strings.Contains(bom, `"CycloneDX"`) {
		t.Errorf("the bill of materials: %d", status)
	}
}

// A webhook shows how it stands; a test that was not taken says why; and each button does
// what it says, for an operator alone.
func TestWebhookPages(t *testing.T) {
	h := open(t, false, nil)
	v := h.enter("Ola Perera", access.Operator)
	k, err := h.node.Access().AddKey(t.Context(), node.KeyRequest{Title: "ours", Allow: []string{"status"}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := h.node.Webhooks().Add(t.Context(), node.WebhookRequest{Title: hostile, URL: "https://localhost:1/secret-path", Key: k.ID})
	if err != nil {
		t.Fatal(err)
	}
	_, page := v.get("/admin/webhooks")
	if !strings.Contains(page, html.EscapeString(hostile)) || strings.Contains(page, "<img") || !strings.Contains(page, "localhost:1") || strings.Contains(page, "secret-path") || strings.Contains(page, made.Secret) {
		t.Error("the page does not say how the webhook stands, or not as text, or more than it may")
	}
	at := "/admin/webhooks/" + made.ID
	// One is made on the page: its secret is shown once, and a wrong address is told.
	form := url.Values{"title": {"second"}, "url": {"https://hooks.example/x"}, "key": {k.ID}, "types": {"record.put"}}
	if _, page := v.post("/admin/webhooks", form); !strings.Contains(page, "whsec_") || !strings.Contains(page, "hooks.example") {
		t.Error("the secret of a webhook that was just made is not shown")
	}
	if _, page := v.get("/admin/webhooks"); strings.Contains(page, "whsec_") || !strings.Contains(page, "second") {
		t.Error("the webhook is not listed, or its secret is shown again")
	}
	form.Set("url", "http://hooks.example/x")
	if status, page := v.post("/admin/webhooks", form); status != 422 || !strings.Contains(page, "https") {
		t.Errorf("an address without TLS: %d", status)
	}
	if all, err := h.node.Webhooks().List(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	} else if _, err := h.node.Webhooks().Remove(t.Context(), node.WebhookIDRequest{ID: all[1].ID}); err != nil {
		t.Error(err)
	}
	if _, page := v.post(at+"/test", nil); !strings.Contains(page, "The test message was not taken") || !strings.Contains(page, "this machine") {
		t.Error("a test that was not taken is not told")
	}
	if _, page := v.get(at); !strings.Contains(page, "Not taken") || !strings.Contains(page, "this machine") {
		t.Error("the attempt is not among the deliveries")
	}
	if status, _ := v.get("/admin/webhooks/none"); status != 404 {
		t.Errorf("deliveries to none: %d", status)
	}
	other := h.enter("Vi Ewer", access.Viewer, access.Steward, access.Governance, access.Signer, access.Auditor)
	for _, verb := range []string{"test", "resume", "remove"} {
		if status, _ := other.post(at+"/"+verb, nil); status != 403 {
			t.Errorf("somebody else may %s: %d", verb, status)
		}
	}
	if _, page := v.post(at+"/resume", nil); !strings.Contains(page, "The webhook goes on") {
		t.Error("it does not go on")
	}
	v.post(at+"/remove", nil)
	if all, err := h.node.Webhooks().List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// People are added, given roles, let in by a link that is shown once, and taken out, on
// pages for an operator alone; who did it stands in the node's log, and no link does; and
// nobody gives roles to themselves.
func TestPeoplePages(t *testing.T) {
	var log bytes.Buffer
	h := open(t, false, func(o *web.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	v := h.enter("Ola Perera", access.Operator)
	if status, page := v.post("/admin/people", url.Values{"name": {""}}); status != 422 || !strings.Contains(page, `id="name-error"`) || !strings.Contains(page, `id="roles-error"`) {
		t.Errorf("nobody was added: %d", status)
	}
	if status, page := v.post("/admin/people", url.Values{"name": {"Vi Ewer"}, "roles": {"king"}}); status != 422 || !strings.Contains(page, "is no role") {
		t.Errorf("a role that there is not: %d", status)
	}
	if _, page := v.post("/admin/people", url.Values{"name": {hostile}, "email": {"Vi@northmoor.gov.uk"}, "roles": {"viewer", "steward"}}); !strings.Contains(page, "The person may sign in") || strings.Contains(page, "<img") {
		t.Fatal("the person was not added, or their name is no text")
	}
	one, err := h.people.Find("vi@northmoor.gov.uk")
	if err != nil || len(one.Roles) != 2 {
		t.Fatalf("%+v, %v", one, err)
	}
	at := "/admin/people/" + one.ID
	if _, page := v.get("/admin/people"); !strings.Contains(page, `href="`+at+`"`) || !strings.Contains(page, "steward") {
		t.Error("the person is not listed with their roles")
	}
	_, page := v.post(at+"/link", nil)
	link := html.UnescapeString(cut(t, page, `<pre class="stile-pre">`, "</pre>"))
	code := link[strings.LastIndex(link, "=")+1:]
	if !strings.HasPrefix(link, h.url+"/sign-in/link?code=") || strings.Contains(log.String(), code) {
		t.Errorf("the link is %s, or stands in the log", link)
	}
	if _, page := v.get(at); strings.Contains(page, code) {
		t.Error("the link is shown again")
	}
	w := h.visitor()
	if _, page := w.post("/sign-in/link", url.Values{"code": {code}}); !strings.Contains(page, html.EscapeString(hostile)) {
		t.Error("the link signs nobody in")
	}
	if status, _ := w.get("/admin/people"); status != 403 {
		t.Errorf("somebody else sees who may sign in: %d", status)
	}
	if status, _ := v.post(at+"/roles", nil); status != 422 {
		t.Errorf("no role: %d", status)
	}
	if _, page := v.post(at+"/roles", url.Values{"roles": {"auditor"}}); !strings.Contains(page, "The roles are changed") {
		t.Error("the roles were not changed")
	}
	if status, _ := w.get("/imports"); status != 403 {
		t.Errorf("a role that was taken holds still: %d", status)
	}
	self, err := h.people.Find("Ola Perera")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"roles", "remove"} {
		if status, _ := v.post("/admin/people/"+self.ID+"/"+verb, url.Values{"roles": {"operator", "signer"}, "sure": {"yes"}}); status != 403 {
			t.Errorf("an operator's own %s: %d", verb, status)
		}
	}
	if status, _ := v.post(at+"/remove", nil); status != 422 {
		t.Errorf("nobody said so: %d", status)
	}
	if _, page := v.post(at+"/remove", url.Values{"sure": {"yes"}}); !strings.Contains(page, "The person is taken out") {
		t.Error("the person was not taken out")
	}
	if _, page := w.get("/home"); strings.Contains(page, "onerror") {
		t.Error("a person who was taken out is signed in still")
	}
	if status, _ := v.get(at); status != 404 {
		t.Errorf("a person who was taken out: %d", status)
	}
	for _, want := range []string{"let another sign in", "made a link", "changed the roles", "took another out"} {
		if !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "person="+self.ID) {
			t.Errorf("the log does not say who %s", want)
		}
	}
	h.now.Add(11 * 60)
	if _, page := v.post("/admin/people", url.Values{"name": {"Late"}, "roles": {"signer"}}); !strings.Contains(page, "Sign in again") {
		t.Error("somebody was added by one who signed in eleven minutes ago")
	}
}
