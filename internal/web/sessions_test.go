package web_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
)

// sessionFiles returns the files of sessions and what they hold.
func (h *house) sessionFiles() (names []string, all string) {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.data, "people", "sessions", "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			h.t.Fatal(err)
		}
		all += string(b)
	}
	return files, all
}

// Whoever is signed in stays so when the node is started anew, by the purpose they gave too;
// what is on disk lets nobody in and says nothing; and it ends at its time all the same.
func TestSessionOutlivesRestart(t *testing.T) {
	h := open(t, false, nil)
	stranger := h.visitor()
	stranger.get("/sign-in?next=/records")
	if files, _ := h.sessionFiles(); len(files) != 0 {
		t.Errorf("a stranger wrote %d files", len(files))
	}
	v := h.enter("Jo Smith", access.Viewer)
	v.post("/records/purpose", url.Values{"why": {"other"}, "words": {"the-case-of-somebody"}})
	files, content := h.sessionFiles()
	if len(files) != 1 {
		t.Fatalf("%d sessions on disk, want 1", len(files))
	}
	u, _ := url.Parse(h.url)
	token := v.Jar.Cookies(u)[0].Value
	for _, secret := range []string{"the-case-of-somebody", "p-", token} {
		if strings.Contains(content, secret) || strings.Contains(files[0], token) {
			t.Errorf("the file holds %q", secret)
		}
	}
	h.serve()
	if _, page := v.get("/records"); !strings.Contains(page, "the-case-of-somebody") {
		t.Error("the session did not outlive a restart")
	}
	// What stands on disk is no number that a browser could send.
	r, _ := http.NewRequest("GET", h.url+"/home", nil)
	r.AddCookie(&http.Cookie{Name: "stile", Value: filepath.Base(files[0])})
	if resp, err := http.DefaultTransport.RoundTrip(r); err != nil || resp.StatusCode != 303 {
		t.Errorf("the name of the file: %v, %v", resp.StatusCode, err)
	}
	// A file that was altered is no session.
	if err := os.WriteFile(files[0], []byte("altered, and long enough to have a nonce and a tag"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, page := v.get("/home"); !strings.Contains(page, "Code of the link") {
		t.Error("an altered file was a session")
	}
	v = h.enter("Ann Lee", access.Viewer)
	h.now.Add(31 * 60)
	h.serve()
	if _, page := v.get("/home"); !strings.Contains(page, "Code of the link") {
		t.Error("a session outlived its time")
	}
	h.enter("Bo Yi", access.Viewer)
	if files, _ := h.sessionFiles(); len(files) != 1 {
		t.Errorf("%d files of sessions, of which all but one are over", len(files))
	}
	v.post("/sign-out", nil)
}

// A renewal wants a day, and the word that the agreement was reviewed, of a signer who
// signed in lately; and its event names them.
func TestRenew(t *testing.T) {
	h := open(t, true, nil)
	at := "/agreements/" + moving
	v := h.enter("Ann Lee", access.Signer)
	day := h.clock().AddDate(3, 0, 0)
	form := url.Values{"until-day": {"31"}, "until-month": {"2"}, "until-year": {day.Format("2006")}, "reviewed": {"yes"}}
	if status, page := v.post(at+"/renew", form); status != 422 || !strings.Contains(page, "Enter a real day") {
		t.Errorf("a day that is none: %d", status)
	}
	form.Set("until-day", "1")
	form.Set("until-year", "2020")
	if status, page := v.post(at+"/renew", form); status != 422 || !strings.Contains(page, "has passed") {
		t.Errorf("a day that has passed: %d", status)
	}
	form.Set("until-year", day.Format("2006"))
	form.Del("reviewed")
	if status, _ := v.post(at+"/renew", form); status != 422 {
		t.Errorf("nobody said that it was reviewed: %d", status)
	}
	form.Set("reviewed", "yes")
	h.now.Add(11 * 60)
	if _, page := v.post(at+"/renew", form); !strings.Contains(page, "Sign in again") {
		t.Error("somebody renewed who had signed in eleven minutes ago")
	}
	v = h.enter("Bo Yi", access.Signer)
	if status, page := v.post(at+"/renew", form); status != 200 || !strings.Contains(page, "You have renewed the agreement") {
		t.Fatalf("the renewal: %d", status)
	}
	b, err := h.node.Bundle(t.Context(), node.BundleRequest{Agreement: moving})
	if err != nil {
		t.Fatal(err)
	}
	if !signedBy(t, b.Bundle, "Bo Yi") {
		t.Error("no event in the log names who renewed it")
	}
}

// Where two persons are wanted, one renews nothing, and neither does the same one twice or
// another to another day.
func TestRenewByTwo(t *testing.T) {
	h := open(t, true, nil)
	h.cfg.Web.TwoPersons = true
	at := "/agreements/" + moving
	day := h.clock().AddDate(3, 0, 0)
	form := url.Values{"until-day": {"1"}, "until-month": {"2"}, "until-year": {day.Format("2006")}, "reviewed": {"yes"}}
	reviewed := func() string {
		a, err := h.node.Agreements().Show(t.Context(), node.AgreementRequest{Name: moving})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(a.Renewals)
	}
	before := reviewed()
	ann, bo := h.enter("Ann Lee", access.Signer), h.enter("Bo Yi", access.Signer)
	if status, _ := ann.post(at+"/renew", form); status != 200 {
		t.Errorf("the first yes: %d", status)
	}
	if status, _ := ann.post(at+"/renew", form); status != 403 {
		t.Errorf("the same person twice: %d", status)
	}
	form.Set("until-day", "2")
	if status, page := bo.post(at+"/renew", form); status != 200 || strings.Contains(page, "You have renewed") {
		t.Errorf("another day is a first yes: %d", status)
	}
	if now := reviewed(); now != before {
		t.Fatalf("one person renewed it: %s", now)
	}
	if status, page := ann.post(at+"/renew", form); status != 200 || !strings.Contains(page, "You have renewed the agreement") {
		t.Fatalf("the second yes: %d", status)
	}
	b, err := h.node.Bundle(t.Context(), node.BundleRequest{Agreement: moving})
	if err != nil {
		t.Fatal(err)
	}
	if !signedBy(t, b.Bundle, "Bo Yi and Ann Lee") {
		t.Error("the event does not name both")
	}

	// One at the page and one at the command line, both ways round.
	for i, c := range []struct{ first, want string }{{"page", "Bo Yi and Ann Lee"}, {"command", "Ann Lee and Bo Yi"}} {
		month := fmt.Sprint(3 + i)
		page := func() (int, string) {
			return bo.post(at+"/renew", url.Values{"until-day": {"1"}, "until-month": {month}, "until-year": {day.Format("2006")}, "reviewed": {"yes"}})
		}
		command := func(name string) (node.AgreementReply, error) {
			return h.node.Agreements().Renew(t.Context(), node.AgreementRequest{Name: moving, Review: day.Format("2006") + "-0" + month + "-01", As: name, Passphrase: []byte(name + " says so")})
		}
		if i == 0 {
			all, err := h.people.List()
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range all {
				if err := h.people.SetPassphrase(one.ID, []byte(one.Name+" says so")); err != nil {
					t.Fatal(err)
				}
			}
			page()
			if r, err := command("Ann Lee"); err != nil || r.Approval != nil {
				t.Errorf("the second yes, at the command line: %+v, %v", r.Approval, err)
			}
		} else {
			if r, err := command("Ann Lee"); err != nil || r.Approval == nil || r.Approval.By != "Ann Lee" {
				t.Errorf("the first yes, at the command line: %+v, %v", r.Approval, err)
			}
			if _, err := command("Ann Lee"); err == nil {
				t.Error("the same person twice")
			}
			if status, text := page(); status != 200 || !strings.Contains(text, "You have renewed the agreement") {
				t.Errorf("the second yes, on the page: %d", status)
			}
		}
		if b, err = h.node.Bundle(t.Context(), node.BundleRequest{Agreement: moving}); err != nil || !signedBy(t, b.Bundle, c.want) {
			t.Errorf("first at the %s: the event does not name both: %v", c.first, err)
		}
	}
}

// An agreement is answered with another text on its page: what differs is shown first, what is
// wrong is said beside the text, and two persons say yes to one text, where two must.
func TestCounter(t *testing.T) {
	h := open(t, true, nil)
	h.cfg.Web.TwoPersons = true
	at := "/agreements/" + moving + "/counter"
	ann, bo := h.enter("Ann Lee", access.Signer), h.enter("Bo Yi", access.Signer)
	_, page := ann.get(at)
	text := html.UnescapeString(cut(t, page, "name=\"text\" rows=\"30\"", "</textarea>"))
	_, text, _ = strings.Cut(text, ">\n")
	if !strings.Contains(text, "\nversion: 2\n") {
		t.Fatalf("the text has no next version: %s", text)
	}
	wrong := func(text, why string) {
		t.Helper()
		if status, page := ann.post(at, url.Values{"text": {text}}); status != 422 || !strings.Contains(page, why) {
			t.Errorf("%d, want %q", status, why)
		}
	}
	wrong("no: [agreement", "text-error")
	wrong(text, "says the same")
	wrong(strings.Replace(text, moving, "northmoor.gov.uk/another", 1), "of another agreement")
	before := "\nretention: P2Y\n"
	if !strings.Contains(text, before) {
		t.Fatalf("the text has another retention: %s", text)
	}
	other := strings.ReplaceAll(strings.Replace(text, before, "\nretention: P1Y\n", 1), "\n", "\r\n")
	status, page := ann.post(at, url.Values{"text": {other}})
	if status != 200 || !strings.Contains(page, "retention is now P1Y, was P2Y") {
		t.Fatalf("the difference is not shown: %d", status)
	}
	form := url.Values{"text": {other}, "digest": {cut(t, page, `name="digest" value="`, `"`)}}
	if status, _ := ann.post(at, form); status != 422 {
		t.Errorf("nobody said that they had seen it: %d", status)
	}
	form.Set("sure", "yes")
	if _, page := ann.post(at, form); !strings.Contains(page, "A second person must sign") {
		t.Error("one person answered alone")
	}
	if status, _ := ann.post(at, form); status != 403 {
		t.Errorf("the same person twice: %d", status)
	}
	if _, page := bo.get(at); !strings.Contains(page, form.Get("digest")) || !strings.Contains(page, "retention is now P1Y") {
		t.Error("the second person does not see what the first said yes to")
	}
	if _, page := bo.post(at, form); !strings.Contains(page, "You have answered with another text") {
		t.Error("two persons did not answer")
	}
	a, err := h.node.Agreements().Show(t.Context(), node.AgreementRequest{Name: moving})
	if err != nil || a.Version != 2 || a.Digest != form.Get("digest") || len(a.Signatures) == 0 || a.Signatures[0].By != "Ann Lee and Bo Yi" {
		t.Errorf("got version %d, %+v, %v", a.Version, a.Signatures, err)
	}
}
