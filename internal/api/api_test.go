package api_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/stile-exchange/stile/internal/api"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node"
)

const (
	need = "standards.stile.example/housing-need"
	ours = "northmoor.gov.uk"
)

// A world is a node and its API.
type world struct {
	t     testing.TB
	n     *node.Node
	api   *api.API
	srv   *httptest.Server
	check validator.Validator
	key   string
	ended chan struct{}
}

func open(t testing.TB, rate int) *world {
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: ours, GSS: "E07000998", Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, n: n, ended: make(chan struct{})}
	if w.api, err = api.New(api.Options{Node: n, Log: slog.New(slog.DiscardHandler), Now: time.Now, Ended: w.ended, Rate: rate}); err != nil {
		t.Fatal(err)
	}
	w.srv = httptest.NewServer(w.api)
	t.Cleanup(func() {
		close(w.ended)
		w.srv.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	w.key = w.newKey("read:both:*", "write:own:*", "delete:own:*", "status", "agreements", "sign", "disclosures", "webhooks", "cases")
	return w
}

func (w *world) newKey(allow ...string) string {
	w.t.Helper()
	k, err := w.n.Access().AddKey(w.t.Context(), node.KeyRequest{Title: "test", Allow: allow})
	if err != nil {
		w.t.Fatal(err)
	}
	return k.Secret
}

// described has every response checked against the API's own description.
func (w *world) described() *world {
	doc, err := libopenapi.NewDocument(w.api.Spec())
	if err != nil {
		w.t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		w.t.Fatal(errs)
	}
	w.check = v
	return w
}

// An answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

func (w *world) do(method, path, body string, header ...string) answer {
	w.t.Helper()
	return w.with(w.key, method, path, body, header...)
}

func (w *world) with(key, method, path, body string, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.srv.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.srv.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	// The validator knows one JSON document, and no lines of it.
	if w.check != nil && resp.Header.Get("Content-Type") != "application/x-ndjson" && path != "/openapi.json" {
		resp.Body = io.NopCloser(bytes.NewReader(b))
		if ok, errs := w.check.ValidateHttpResponse(r, resp); !ok {
			for _, e := range errs {
				w.t.Errorf("%s %s: %s: the answer is not as described: %s %s", method, path, resp.Status, e.Message, e.Reason)
				for _, s := range e.SchemaValidationErrors {
					w.t.Errorf("  %s: %s", s.FieldPath, s.Reason)
				}
			}
			w.t.Logf("%.2000s", b)
		}
	}
	return answer{resp, b}
}

func (w *world) want(a answer, status int) answer {
	w.t.Helper()
	if a.StatusCode != status {
		w.t.Fatalf("%s %s: %s, want %d: %s", a.Request.Method, a.Request.URL.Path, a.Status, status, a.body)
	}
	return a
}

func referral(ref, district string) string {
	return fmt.Sprintf(`{"reference":%q,"status":"received","referral":"duty-to-refer","referred_on":"2026-11-14","district":%q,"moved_to":"E07000999","consent":{"given_on":"2026-11-13","how":"in-writing"},"applicant":{"name":"Ffion Ashdown","contact":{"phone":"01632 960456"}}}`, ref, district)
}

func at(key string) string {
	return "/v1/standards/" + need + "/records/" + url.PathEscape(key)
}

// The description is OpenAPI 3.1 without a fault, and describes every call.
func TestDescribed(t *testing.T) {
	w := open(t, 0).described()
	if ok, errs := w.check.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Errorf("%s: %s", e.Message, e.Reason)
		}
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID string }
	}
	a := w.want(w.with("", "GET", "/openapi.json", ""), 200)
	a.into(t, &doc)
	if doc.OpenAPI != "3.1.0" || len(doc.Paths) < 30 {
		t.Errorf("version %s, %d paths", doc.OpenAPI, len(doc.Paths))
	}
	if strings.Contains(string(a.body), "$schema") {
		t.Error("bodies have $schema")
	}
	w.check = nil
	if got := w.do("GET", "/docs", ""); got.StatusCode != 404 || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("/docs: %s", got.Status)
	}
}

// A record is put, read back, changed only by who has seen it, and deleted.
func TestRecord(t *testing.T) {
	w := open(t, 0).described()
	a := w.want(w.do("PUT", at("HN/1"), referral("HN/1", "E07000998")), 201)
	if a.Header.Get("ETag") != `"1"` {
		t.Errorf("ETag %s", a.Header.Get("ETag"))
	}
	position := a.Header.Get("Stile-Position")
	var put node.PutResult
	a.into(t, &put)
	if position != strconv.FormatUint(put.Index+1, 10) {
		t.Errorf("position %s of entry %d", position, put.Index)
	}
	w.want(w.do("PUT", at("HN/1"), referral("HN/1", "E07000998")), 200)
	w.want(w.do("PUT", at("HN/1"), referral("HN/1", "E07000997"), "If-None-Match", "*"), 412)
	w.want(w.do("PUT", at("HN/1"), referral("HN/1", "E07000997"), "If-Match", `"7"`), 412)
	w.want(w.do("PUT", at("HN/1"), referral("HN/1", "E07000997"), "If-Match", `W/x`), 412)
	a = w.want(w.do("PUT", at("HN/1"), referral("HN/1", "E07000997"), "If-Match", `"1"`), 200)
	if a.Header.Get("ETag") != `"2"` {
		t.Errorf("ETag %s", a.Header.Get("ETag"))
	}
	w.want(w.do("PUT", at("HN/2"), referral("HN/1", "E07000997")), 422)

	a = w.want(w.do("GET", at("HN/1"), "", "Stile-Position", position), 200)
	var rec node.RecordReply
	a.into(t, &rec)
	if rec.Version != 2 || rec.Token != "" || !strings.Contains(string(rec.Body), "Ffion") {
		t.Errorf("%+v", rec)
	}
	w.want(w.do("GET", at("HN/1"), "", "If-None-Match", `"2"`), 304)
	id := "/v1/records/" + string(rec.Record)
	w.want(w.do("GET", id, ""), 200)
	// The token is the one that the node has, to the byte.
	tok := w.want(w.do("GET", id, "", "Accept", "application/sd-jwt"), 200)
	want, err := w.n.Records().Show(t.Context(), node.RecordRequest{Record: string(rec.Record), Token: true})
	if err != nil || string(tok.body) != want.Token || tok.Header.Get("Content-Type") != "application/sd-jwt" {
		t.Errorf("the token is another one: %v", err)
	}
	var versions struct{ Items []node.RecordReply }
	w.want(w.do("GET", id+"/versions", ""), 200).into(t, &versions)
	if len(versions.Items) != 2 {
		t.Errorf("%d versions", len(versions.Items))
	}
	var proof node.ProofReply
	w.want(w.do("GET", id+"/proof", ""), 200).into(t, &proof)
	if !strings.Contains(proof.Proof, "tlog-proof") {
		t.Errorf("%s", proof.Proof)
	}
	w.want(w.do("GET", fmt.Sprintf("/v1/log/entries/%d/proof", put.Index), ""), 200)
	w.want(w.do("GET", "/v1/log/entries/99999/proof", ""), 404)
	w.want(w.do("DELETE", id, "", "If-Match", `"1"`), 412)
	w.want(w.do("DELETE", id, "", "If-Match", `"2"`), 200)
	w.want(w.do("GET", id, ""), 404)
	w.want(w.do("GET", at("never"), ""), 404)
	w.want(w.do("GET", "/v1/records/aaaaaaaaaaaaaaaaaaaaaaaaaa", ""), 404)
	w.want(w.do("GET", "/v1/records/short", ""), 400)
	w.want(w.do("GET", id, "", "Stile-Position", "x"), 400)
}

// Pages show the list as it stood at the first, whatever changes meanwhile.
func TestListStandsStill(t *testing.T) {
	w := open(t, 0).described()
	for i := range 25 {
		w.want(w.do("PUT", at(fmt.Sprint("HN", i)), referral(fmt.Sprint("HN", i), "E07000998")), 201)
	}
	var seen []string
	cursor := ""
	for n := 0; ; n++ {
		var p struct {
			Items  []node.RecordReply
			Cursor string
		}
		w.want(w.do("GET", "/v1/records?bodies=true&limit=7&standard="+need+"&cursor="+url.QueryEscape(cursor), ""), 200).into(t, &p)
		for _, r := range p.Items {
			seen = append(seen, r.Reference)
			if !strings.Contains(string(r.Body), "E07000998") {
				t.Errorf("%s is of later", r.Reference)
			}
		}
		if cursor = p.Cursor; cursor == "" {
			break
		}
		// One that was shown and one that was not change, and a new one comes.
		for _, ref := range []string{seen[0], fmt.Sprint("HN", 24-n)} {
			w.want(w.do("PUT", at(ref), referral(ref, fmt.Sprintf("E0700000%d", n))), 200)
		}
		w.want(w.do("PUT", at(fmt.Sprint("NEW", n)), referral(fmt.Sprint("NEW", n), "E07000001")), 201)
	}
	slices.Sort(seen)
	if len(seen) != 25 || len(slices.Compact(seen)) != 25 {
		t.Errorf("saw %d: %v", len(seen), seen)
	}
	var p struct{ Items []node.RecordReply }
	w.want(w.do("GET", "/v1/records?standard="+need+"&where="+url.QueryEscape(`record.reference.startsWith("NEW")`), ""), 200).into(t, &p)
	if len(p.Items) != 3 {
		t.Errorf("found %d", len(p.Items))
	}
	w.want(w.do("GET", "/v1/records?standard=none.example/such", ""), 404)
	for _, bad := range []string{"where=record.x%3D%3D", "cursor=zz.zz.z", "cursor=../..", "limit=0", "limit=9999", "colour=red"} {
		if a := w.do("GET", "/v1/records?standard="+need+"&"+bad, ""); a.StatusCode < 400 || a.StatusCode >= 500 {
			t.Errorf("%s: %s", bad, a.Status)
		}
	}
}

// No problem says what the caller sent, whatever that is.
func TestProblemsHoldNoValue(t *testing.T) {
	w := open(t, 1000).described()
	const secret = "Zaphod-Beeblebrox-QQ123456C"
	for _, hostile := range []string{secret, `<script>` + secret, `"` + secret + "\x01", "../../" + secret, secret + "'--", strings.Repeat(secret, 50)} {
		q, p := url.QueryEscape(hostile), url.PathEscape(hostile)
		j, _ := json.Marshal(hostile)
		for _, c := range [][3]string{
			{"GET", at(hostile), ""}, {"GET", "/v1/records/" + p, ""}, {"GET", "/v1/records?standard=" + q, ""}, {"GET", "/v1/records?standard=" + need + "&where=" + q, ""},
			{"GET", "/v1/records?standard=" + need + "&from=" + q, ""}, {"GET", "/v1/records?standard=" + need + "&limit=" + q, ""}, {"GET", "/v1/records?standard=" + need + "&cursor=" + q, ""},
			{"GET", "/v1/standards/" + p + "/" + p, ""}, {"GET", "/v1/agreements/" + p + "/" + p, ""}, {"GET", "/v1/councils/" + p, ""},
			{"GET", "/v1/why?partner=" + q + "&record=" + p, ""}, {"GET", "/v1/disclosures?since=" + q, ""}, {"GET", "/v1/changes?after=" + q, ""}, {"GET", "/v1/changes?types=" + q, ""},
			{"GET", "/v1/exports?format=" + q, ""}, {"GET", "/v1/exports?format=csv&standard=" + need + "&where=" + q, ""}, {"GET", "/v1/held?standard=" + q, ""},
			{"PUT", at("HN1"), `{"reference":` + string(j) + `}`}, {"PUT", at(hostile), referral("HN1", "E07000998")}, {"PUT", at("HN1"), hostile},
			{"POST", "/v1/agreements", `{"document":` + string(j) + `}`}, {"POST", "/v1/agreements/preview", `{"document":` + string(j) + `}`}, {"POST", "/v1/agreements/draft", `{"name":` + string(j) + `,"to":[` + string(j) + `],"standard":` + string(j) + `}`},
			{"POST", "/v1/agreements/a.example/b/end", `{"reason":1,` + string(j) + `:` + string(j) + `}`}, {"POST", "/v1/subject-reports", `{"person":` + string(j) + `}`}, {"POST", "/v1/subject-reports", hostile},
			{"POST", "/v1/imports?standard=" + q, "{}"}, {"POST", "/v1/imports?after=" + q, "{}"}, {"POST", "/v1/imports?source=" + q + "&standard=" + need, `[{"reference":` + string(j) + `}]`},
		} {
			a := w.do(c[0], c[1], c[2])
			if a.StatusCode >= 500 || a.StatusCode < 400 && !strings.Contains(c[1], "/imports") && !strings.Contains(c[1], "/subject") {
				t.Errorf("%s %.60s: %s %s", c[0], c[1], a.Status, a.body)
			}
			text := string(a.body)
			if strings.Contains(c[1], "/imports") {
				continue // says the sender's own reference to the sender
			}
			if a.StatusCode < 400 {
				continue // a report about a person says whom it is about
			}
			if strings.Contains(text, "Zaphod") || strings.Contains(text, "QQ123456C") {
				t.Errorf("%s %.60s: says the value: %s", c[0], c[1], text)
			}
			if ct := a.Header.Get("Content-Type"); a.StatusCode >= 400 && ct != "application/problem+json" {
				t.Errorf("%s %.60s: %s %s", c[0], c[1], a.Status, ct)
			}
		}
	}
}

// A key of one scope does not reach what another is for, by any call.
func TestKeysReachNoFurther(t *testing.T) {
	w := open(t, 1000).described()
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998")), 201)
	var rec node.RecordReply
	w.want(w.do("GET", at("HN1"), ""), 200).into(t, &rec)
	id := "/v1/records/" + string(rec.Record)
	other := w.newKey("read:own:standards.stile.example/planning-application", "write:own:standards.stile.example/planning-application", "delete:own:standards.stile.example/planning-application")
	received := w.newKey("read:received:*")
	status := w.newKey("status")
	for _, c := range []struct {
		key, method, path, body string
		want                    []int
	}{
		{other, "GET", id, "", []int{404}}, {other, "GET", id + "/versions", "", []int{404}}, {other, "GET", id + "/proof", "", []int{404}}, {other, "GET", at("HN1"), "", []int{404}},
		{other, "DELETE", id, "", []int{404}}, {other, "PUT", at("HN1"), referral("HN1", "E07000001"), []int{403}}, {other, "GET", "/v1/records?standard=" + need, "", []int{403}},
		{other, "GET", "/v1/exports?format=ndjson&standard=" + need, "", []int{403}}, {other, "POST", "/v1/imports?standard=" + need, "[]", []int{403}}, {other, "GET", "/v1/held?standard=" + need, "", []int{403}},
		{received, "GET", id, "", []int{403}}, {received, "GET", "/v1/records?standard=" + need, "", []int{403}}, {received, "PUT", at("HN1"), referral("HN1", "E07000001"), []int{403}},
		{status, "GET", id, "", []int{403}}, {status, "GET", "/v1/changes", "", []int{403}}, {status, "GET", "/v1/agreements", "", []int{403}}, {status, "GET", "/v1/disclosures", "", []int{403}},
		{status, "POST", "/v1/subject-reports", `{"person":"QQ123456C"}`, []int{403}}, {status, "POST", "/v1/agreements", `{"document":"x"}`, []int{403}}, {status, "GET", "/v1/status", "", []int{200}},
		{status, "POST", "/v1/agreements/draft", `{"name":"a.example/b","to":["b.example"],"standard":"` + need + `"}`, []int{403}},
		{w.newKey("agreements"), "POST", "/v1/agreements/a.example/b/sign", "", []int{403}},
		{"", "GET", "/v1/status", "", []int{401}}, {"stile_x_y", "GET", "/v1/status", "", []int{401}}, {w.key + "x", "GET", "/v1/status", "", []int{401}},
	} {
		a := w.with(c.key, c.method, c.path, c.body)
		if !slices.Contains(c.want, a.StatusCode) {
			t.Errorf("%s %s: %s, want %d: %s", c.method, c.path, a.Status, c.want, a.body)
		}
		if c.want[0] >= 400 && strings.Contains(string(a.body), "Ffion") {
			t.Errorf("%s %s: says what the record holds", c.method, c.path)
		}
	}
	// A browser's cookie is no key, whatever page sends it and whoever signed in.
	for _, c := range []string{"session=" + w.key, "__Host-stile=" + w.key, "Authorization=Bearer " + w.key} {
		w.want(w.with("", "GET", "/v1/whoami", "", "Cookie", c, "Sec-Fetch-Site", "same-origin"), 401)
	}
	// The feed shows the other key none of it.
	var feed struct{ Events []json.RawMessage }
	w.want(w.with(other, "GET", "/v1/changes?types=record.put", ""), 200).into(t, &feed)
	if len(feed.Events) != 0 {
		t.Errorf("%s", feed.Events)
	}
	keys, err := w.n.Access().ListKeys(t.Context())
	if err != nil || keys[len(keys)-1].LastUsed.IsZero() {
		t.Errorf("%v, %+v", err, keys)
	}
	if _, err := w.n.Access().RevokeKey(t.Context(), node.KeyIDRequest{ID: keys[len(keys)-1].ID}); err != nil {
		t.Fatal(err)
	}
	w.want(w.do("GET", "/v1/status", ""), 401)
}

// Who calls too often is told when to come back, and an address that tries keys is shut out.
func TestRates(t *testing.T) {
	w := open(t, 1).described()
	last := 0
	for range 12 {
		a := w.do("GET", "/v1/whoami", "")
		if last = a.StatusCode; last == 429 && a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if last != 429 {
		t.Errorf("the twelfth call at once: %d", last)
	}
	for range 10 {
		w.want(w.with("stile_wrong_key", "GET", "/v1/whoami", ""), 401)
	}
	if a := w.with("stile_wrong_key", "GET", "/v1/whoami", ""); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("the eleventh wrong key: %s", a.Status)
	}
}

// A call with an Idempotency-Key is carried out once.
func TestIdempotency(t *testing.T) {
	w := open(t, 0).described()
	first := w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998"), "Idempotency-Key", "a"), 201)
	again := w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998"), "Idempotency-Key", "a"), 201)
	if !bytes.Equal(first.body, again.body) || again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Errorf("%s\n%s", first.body, again.body)
	}
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000001"), "Idempotency-Key", "a"), 422)
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000001"), "Idempotency-Key", strings.Repeat("k", 256)), 400)
	w.want(w.with(w.newKey("write:own:*"), "PUT", at("HN1"), referral("HN1", "E07000001"), "Idempotency-Key", "a"), 200)
}

// A line for each row says what became of it; an import that broke off goes on where it
// was.
func TestImport(t *testing.T) {
	w := open(t, 0)
	rows := referral("HN1", "E07000998") + "\n" + referral("HN2", "E07000998") + "\n{\"reference\":\"HN3\"}\nnot json\n" + referral("HN1", "E07000998") + "\n"
	dry := w.want(w.do("POST", "/v1/imports?dry_run=true&standard="+need, rows, "Content-Type", "application/x-ndjson"), 200).lines(t)
	if len(dry) != 6 || dry[0]["outcome"] != "valid" || dry[2]["errors"] == nil || dry[2]["reference"] != "HN3" || dry[3]["errors"] == nil {
		t.Errorf("%v", dry)
	}
	var p struct{ Items []node.RecordReply }
	w.want(w.do("GET", "/v1/records?standard="+need, ""), 200).into(t, &p)
	if len(p.Items) != 0 {
		t.Errorf("a dry run kept %d", len(p.Items))
	}
	wet := w.want(w.do("POST", "/v1/imports?standard="+need, rows, "Content-Type", "application/x-ndjson"), 200).lines(t)
	sum, _ := wet[len(wet)-1]["summary"].(map[string]any)
	if len(wet) != 6 || wet[0]["outcome"] != "created" || wet[4]["outcome"] != "unchanged" || sum["refused"] != 2.0 || sum["rows"] != 5.0 {
		t.Errorf("%v", wet)
	}
	rest := w.want(w.do("POST", "/v1/imports?after=4&standard="+need, rows, "Content-Type", "application/x-ndjson"), 200).lines(t)
	if len(rest) != 2 || rest[0]["row"] != 5.0 {
		t.Errorf("%v", rest)
	}
	var held struct{ Items []node.Held }
	w.want(w.do("GET", "/v1/held?standard="+need, ""), 200).into(t, &held)
	if len(held.Items) != 1 || held.Items[0].Reference != "HN3" {
		t.Errorf("%+v", held)
	}
	// A key that may be about a person, such as the number of a badge, is in no line.
	must(t, w.n.Standards().Adopt, node.AdoptRequest{Name: "blue-badge"})
	badge := w.want(w.do("POST", "/v1/imports?dry_run=true&standard="+url.QueryEscape("standards.stile.example/blue-badge@1"), `{"number":"K7L2N1"}`, "Content-Type", "application/x-ndjson"), 200).lines(t)
	if len(badge) != 2 || badge[0]["row"] != 1.0 || badge[0]["errors"] == nil || badge[0]["reference"] != nil {
		t.Errorf("%v", badge)
	}
	w.want(w.do("POST", "/v1/imports?standard="+need, rows, "Content-Type", "text/csv"), 415)
	w.want(w.do("POST", "/v1/imports?standard="+need, rows, "Content-Type", "application/x-ndjson", "Content-Encoding", "gzip"), 415)
}

// The feed tells what happened, once and in order, to who comes back too.
func TestChanges(t *testing.T) {
	w := open(t, 0).described()
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998")), 201)
	var feed struct {
		Events []struct {
			ID, Type, Subject, Specversion string
		}
		Cursor string
		Live   bool
	}
	w.want(w.do("GET", "/v1/changes?types=record.put,record.deleted", ""), 200).into(t, &feed)
	if len(feed.Events) != 1 || feed.Events[0].Type != "uk.stile.record.put" || feed.Events[0].Specversion != "1.0" || !feed.Live {
		t.Fatalf("%+v", feed)
	}
	// A long poll ends when something comes.
	got := make(chan answer, 1)
	go func() { got <- w.do("GET", "/v1/changes?wait=30&after="+feed.Cursor, "") }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", w.srv.URL+"/v1/changes", nil)
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", feed.Events[0].ID)
	resp, err := w.srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w.want(w.do("PUT", at("HN2"), referral("HN2", "E07000998")), 201)
	select {
	case a := <-got:
		a.into(t, &feed)
		if len(feed.Events) != 1 {
			t.Errorf("%s", a.body)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("the long poll did not end")
	}
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			if !strings.Contains(data, feed.Events[0].Subject) || !strings.Contains(data, "record.put") {
				t.Errorf("%s, want %s", data, feed.Events[0].Subject)
			}
			break
		}
	}
	cancel()
	w.want(w.do("GET", "/v1/changes?after=999999-x", ""), 400)
	w.want(w.do("GET", "/v1/changes?wait=61", ""), 400)
}

// An agreement is drafted, looked at, proposed, suspended, resumed and ended by calls.
func TestAgreement(t *testing.T) {
	w := open(t, 0).described()
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998")), 201)
	var draft struct{ Document string }
	w.want(w.do("POST", "/v1/agreements/draft", `{"name":"northmoor.gov.uk/people","to":["saltby.gov.uk"],"standard":"`+need+`@1"}`), 200).into(t, &draft)
	b, _ := json.Marshal(map[string]any{"document": draft.Document})
	w.want(w.do("POST", "/v1/agreements", string(b)), 422)
	w.want(w.do("POST", "/v1/agreements/preview", string(b)), 200)
	w.want(w.do("GET", "/v1/agreements", ""), 200)
	w.want(w.do("GET", "/v1/agreements/northmoor.gov.uk/people", ""), 404)
	for _, path := range []string{"/v1/status", "/v1/whoami", "/v1/standards", "/v1/standards/" + need, "/v1/councils", "/v1/councils/" + ours, "/v1/footprints", "/v1/log", "/v1/disclosures", "/v1/sources", "/v1/standards/" + need + "@1/archive", "/v1/exports?format=csv&standard=" + need} {
		w.want(w.do("GET", path, ""), 200)
	}
}

// events returns the bodies of the events of a kind that a bundle of an agreement holds, in
// the order of its log.
func (w *world) events(agreement, kind string) (out []map[string]any) {
	w.t.Helper()
	b, err := w.n.Bundle(w.t.Context(), node.BundleRequest{Agreement: agreement})
	if err != nil {
		w.t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bundle), int64(len(b.Bundle)))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			w.t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, part := range strings.FieldsFunc(string(b), func(r rune) bool { return strings.ContainsRune("\"~ \n", r) }) {
			if _, ev, err := record.ParseEvent([]byte(part)); err == nil && ev.Kind == kind {
				out = append(out, ev.Body)
			}
		}
		r.Close()
	}
	return out
}
