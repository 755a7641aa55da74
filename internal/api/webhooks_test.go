package api_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
)

// A webhook goes to no address of this machine, of a private network or of a cloud's own,
// however it is written, and shows its secret once.
func TestWebhookTargets(t *testing.T) {
	w := open(t, 1000).described()
	for _, url := range []string{
		"http://127.0.0.1/x", "https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.1/x", "https://192.168.1.1/x", "https://169.254.169.254/latest", "https://172.16.0.1/",
		"https://[::ffff:10.0.0.1]/", "https://[fd00::1]/", "https://0.0.0.0/", "http://hooks.example/x", "ftp://hooks.example/x", "file:///etc/passwd", "https://user:pw@hooks.example/", "https://hooks.example/#x", "x",
	} {
		b, _ := json.Marshal(map[string]string{"title": "t", "url": url})
		if a := w.do("POST", "/v1/webhooks", string(b)); a.StatusCode != 422 {
			t.Errorf("%s: %s", url, a.Status)
		}
	}
	var made, shown struct {
		ID, Secret, State, Host string
		Items                   []json.RawMessage
	}
	w.want(w.do("POST", "/v1/webhooks", `{"title":"ours","url":"https://localhost:1/secret-path"}`), 200).into(t, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") {
		t.Errorf("%+v", made)
	}
	a := w.want(w.do("GET", "/v1/webhooks", ""), 200)
	if s := string(a.body); strings.Contains(s, "whsec_") || strings.Contains(s, "secret-path") || !strings.Contains(s, made.ID) {
		t.Errorf("%s", s)
	}
	// A name that leads to this machine is found out when it is connected to.
	var tried struct {
		Taken  bool
		Reason string
	}
	w.want(w.do("POST", "/v1/webhooks/"+made.ID+"/test", ""), 200).into(t, &tried)
	if tried.Taken || !strings.Contains(tried.Reason, "this machine") {
		t.Errorf("%+v", tried)
	}
	w.want(w.with(w.newKey("read:both:*"), "GET", "/v1/webhooks", ""), 403)
	w.want(w.with(w.newKey("read:both:*"), "DELETE", "/v1/webhooks/"+made.ID, ""), 403)
	// To another key with the same scope it is not there.
	other := w.newKey("read:both:*", "webhooks")
	if a := w.want(w.with(other, "GET", "/v1/webhooks", ""), 200); strings.Contains(string(a.body), made.ID) {
		t.Errorf("another key is shown it: %s", a.body)
	}
	w.want(w.with(other, "POST", "/v1/webhooks/"+made.ID+"/test", ""), 404)
	w.want(w.with(other, "POST", "/v1/webhooks/"+made.ID+"/replay", "{}"), 404)
	w.want(w.with(other, "GET", "/v1/webhooks/"+made.ID+"/deliveries", ""), 404)
	w.want(w.with(other, "DELETE", "/v1/webhooks/"+made.ID, ""), 404)
	w.want(w.do("POST", "/v1/webhooks/none/replay", "{}"), 404)
	w.want(w.do("DELETE", "/v1/webhooks/"+made.ID, ""), 200)
	w.want(w.do("GET", "/v1/webhooks", ""), 200).into(t, &shown)
	if len(shown.Items) != 0 {
		t.Errorf("%s", shown.Items)
	}
}

// A webhook that may not be delivered is parked with its reason, and a replay takes it
// out and goes on from where it stopped.
func TestWebhookParked(t *testing.T) {
	w := open(t, 1000)
	running(t, w.n)
	var hook struct{ ID, State, Reason, Cursor string }
	w.want(w.do("POST", "/v1/webhooks", `{"title":"ours","url":"https://localhost:1/x","types":["record.put"]}`), 200).into(t, &hook)
	began := hook.Cursor
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998")), 201)
	parked := func() {
		t.Helper()
		for {
			var all struct {
				Items []struct{ ID, State, Reason, Cursor string }
			}
			w.want(w.do("GET", "/v1/webhooks", ""), 200).into(t, &all)
			if hook = all.Items[0]; hook.State == "parked" {
				return
			}
			w.do("GET", "/v1/changes?after=now&wait=1&types=record.erased", "") // a pause that is no sleep
		}
	}
	parked()
	if !strings.Contains(hook.Reason, "this machine") {
		t.Errorf("%+v", hook)
	}
	if p, _, _ := strings.Cut(hook.Cursor, "-"); p != strings.Split(began, "-")[0] {
		t.Errorf("it was parked at %s and began at %s: what was not taken is lost", hook.Cursor, began)
	}
	w.want(w.do("POST", "/v1/webhooks/"+hook.ID+"/replay", "{}"), 200).into(t, &hook)
	if hook.State != "good" {
		t.Errorf("%+v", hook)
	}
	parked()
	var tries struct{ Items []node.DeliveryReply }
	w.want(w.do("GET", "/v1/webhooks/"+hook.ID+"/deliveries", ""), 200).into(t, &tries)
	if d := tries.Items; len(d) != 2 || d[0].Type != "record.put" || d[0].Taken || d[0].Message != d[1].Message || !strings.Contains(d[0].Reason, "this machine") {
		t.Errorf("%+v", d)
	}

	// What its key may not see any more it is not sent.
	admin := access.With(t.Context(), access.Admin())
	k, err := w.n.Access().Authenticate(admin, node.KeySecretRequest{Secret: w.key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.n.Access().RevokeKey(admin, node.KeyIDRequest{ID: k.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.n.Webhooks().Replay(admin, node.WebhookReplayRequest{ID: hook.ID}); err != nil {
		t.Fatal(err)
	}
	w.key = w.newKey("read:both:*")
	for {
		all, err := w.n.Webhooks().List(admin)
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		if all[0].State == "parked" {
			if !strings.Contains(all[0].Reason, "the key that it is there for has ended") {
				t.Errorf("%+v", all[0])
			}
			break
		}
		w.do("GET", "/v1/changes?after=now&wait=1&types=record.erased", "")
	}
}

// A workbook that unfolds to more than anybody has, one that is none, and a form that
// breaks off are refused; the node answers as before.
func TestBombs(t *testing.T) {
	w := open(t, 1000)
	var bomb bytes.Buffer
	z := zip.NewWriter(&bomb)
	z.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestSpeed) })
	for _, name := range []string{"[Content_Types].xml", "xl/workbook.xml", "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"} {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		zeros := make([]byte, 1<<20)
		for range 64 {
			f.Write(zeros)
		}
	}
	z.Close()
	const mapping = "standard: standards.stile.example/housing-need@1\ncolumns:\n  Reference: /reference\n"
	for what, file := range map[string][]byte{"a bomb": bomb.Bytes(), "no workbook": []byte("hello"), "half of one": bomb.Bytes()[:bomb.Len()/2], "nothing": nil} {
		var form bytes.Buffer
		m := multipart.NewWriter(&form)
		part, _ := m.CreateFormField("mapping")
		io.WriteString(part, mapping)
		part, _ = m.CreateFormFile("file", "../../etc/register.xlsx")
		part.Write(file)
		m.Close()
		for _, body := range [][]byte{form.Bytes(), form.Bytes()[:form.Len()-20]} {
			a := w.do("POST", "/v1/imports", string(body), "Content-Type", m.FormDataContentType())
			if a.StatusCode >= 500 || a.StatusCode < 400 && !strings.Contains(string(a.body), `"problem"`) {
				t.Errorf("%s: %s %.300s", what, a.Status, a.body)
			}
		}
	}
	deep := strings.Repeat("[", 100_000)
	for _, body := range []string{deep, `{"reference":` + deep, `{"a":1e999999999}`, strings.Repeat("x", 2<<20)} {
		if a := w.do("PUT", at("HN1"), body); a.StatusCode < 400 || a.StatusCode >= 500 {
			t.Errorf("%.20s: %s", body, a.Status)
		}
	}
	w.want(w.do("GET", "/v1/status", ""), http.StatusOK)
}

// What a record holds comes back as it was, whatever that is.
func TestHostileText(t *testing.T) {
	w := open(t, 1000)
	for i, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "=cmd|' /C calc'!A0", "'; DROP TABLE people;--", "\u202egnp.exe", "{{7*7}}", "ÅÖ́🏳️‍🌈"} {
		ref := fmt.Sprint("HX", i)
		j, _ := json.Marshal(name)
		body := strings.Replace(referral(ref, "E07000998"), `"Ffion Ashdown"`, string(j), 1)
		if a := w.do("PUT", at(ref), body); a.StatusCode == 422 {
			continue // the standard takes no such name, and says so without it
		} else if a.StatusCode != 201 {
			t.Fatalf("%q: %s %s", name, a.Status, a.body)
		}
		a := w.want(w.do("GET", at(ref), ""), 200)
		var got struct {
			Body struct{ Applicant struct{ Name string } }
		}
		if a.into(t, &got); got.Body.Applicant.Name != name {
			t.Errorf("%q came back as %q", name, got.Body.Applicant.Name)
		}
		if ct := a.Header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s", ct)
		}
	}
}
