package web_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/examples/generate"
	madeup "github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/browsertest"
	"github.com/stile-exchange/stile/internal/door"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
	moving    = "northmoor.gov.uk/people-moving-to-saltby"

	// hostile is what a stranger may have written into a field.
	hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{.Title}}&amp;%s`
)

// A house is one council's node with its pages behind a door.
type house struct {
	t      testing.TB
	node   *node.Node
	data   string
	people *people.Store
	cfg    *config.Config // which the node reads, and has from when it was opened
	url    string

	council name.Council
	title   string
	change  func(*web.Options)
	flows   int          // that the register has, in the place of those of the node
	now     atomic.Int64 // seconds added to the clock of the pages
}

func (h *house) clock() time.Time {
	return time.Now().Add(time.Duration(h.now.Load()) * time.Second)
}

// open makes a node; with records and an agreement where full says so.
func open(t testing.TB, full bool, change func(*web.Options)) *house {
	t.Helper()
	h := found(t, northmoor, "Northmoor District Council", node.InitOptions{Listen: []string{}, Addresses: []string{"/ip4/127.0.0.1/tcp/1"}})
	if full {
		h.fill(t.Context())
	}
	h.change = change
	h.serve()
	return h
}

// openAt makes an empty node that can be run.
func openAt(t testing.TB, c name.Council, title, listen string) *house {
	t.Helper()
	h := found(t, c, title, node.InitOptions{Listen: []string{listen}})
	h.serve()
	return h
}

func found(t testing.TB, c name.Council, title string, o node.InitOptions) *house {
	t.Helper()
	h := &house{t: t, council: c, title: title, data: filepath.Join(t.TempDir(), string(c))}
	o.Dir, o.Council, o.Title = h.data, c, title
	cfg, err := node.Init(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	if h.node, err = node.Open(cfg, node.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.node.Close() })
	h.cfg = cfg
	h.people = people.Open(h.data, rand.Reader, h.clock)
	return h
}

// serve shows the pages at a new address, as after a start.
func (h *house) serve() {
	t := h.t
	t.Helper()
	o := web.Options{Node: h.node.Operations, Council: h.council, Title: h.title, Data: h.data, People: h.people, Version: "test", Now: h.clock, Random: rand.Reader}
	if h.change != nil {
		h.change(&o)
	}
	pages, err := web.New(o)
	if h.flows > 0 {
		pages, err = web.NewOfFlows(o, h.flows)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := config.Default(h.council, h.data).Web
	w.Listen = "127.0.0.1:0"
	d, err := door.Open(door.Options{Web: w, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d.HandleLong("/", pages)
	sctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- d.Serve(sctx) }()
	t.Cleanup(func() { stop(); <-done })
	h.url = strings.TrimSuffix(d.URL(), "/")
}

func (h *house) fill(ctx context.Context) {
	t := h.t
	t.Helper()
	other, err := node.Init(ctx, node.InitOptions{Dir: filepath.Join(t.TempDir(), "saltby"), Council: saltby, Title: hostile, Listen: []string{}, Addresses: []string{"/ip4/127.0.0.1/tcp/2"}})
	if err != nil {
		t.Fatal(err)
	}
	other.Limits.MinFreeMiB = 16
	n, err := node.Open(other, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := n.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		t.Fatal(err)
	}
	us, err := h.node.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Councils().Add(ctx, node.MemberRequest{Document: []byte(us.Document)}); err != nil {
		t.Fatal(err)
	}
	apart, err := n.Agreements().Signature(ctx, node.AgreementRequest{Document: madeup.Agreement()})
	if err != nil {
		t.Fatal(err)
	}
	bad := spoiled(t)
	badApart, err := n.Agreements().Signature(ctx, node.AgreementRequest{Document: bad})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Councils().Add(ctx, node.MemberRequest{Document: []byte(m.Document)}); err != nil {
		t.Fatal(err)
	}
	var offers []node.Offered
	for i := range 60 {
		rec := generate.HousingNeed(1, i, "E07000998", []string{"E07000999", "E07000997"})
		if i == 0 {
			rec = changed(t, rec, func(m map[string]any) { m["applicant"].(map[string]any)["name"] = hostile })
		}
		offers = append(offers, node.Offered{Row: i + 1, Record: rec})
	}
	offers = append(offers, node.Offered{Row: 61, Reference: hostile, Record: changed(t, offers[1].Record, func(m map[string]any) { delete(m, "consent"); m["reference"] = "HN-BAD" })})
	r, err := h.node.Records().Put(ctx, node.PutRequest{Standard: "housing-need", Records: offers, Hold: true})
	if err != nil {
		t.Fatal(err)
	}
	if ps := r.Results[0].Problems; len(ps) > 0 {
		t.Fatalf("the hostile record was refused: %+v", ps)
	}
	if len(r.Results[60].Problems) == 0 {
		t.Fatal("the broken record was taken")
	}
	if _, err := h.node.Agreements().Sign(ctx, node.AgreementRequest{Document: madeup.Agreement()}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Agreements().Bring(ctx, node.SignatureRequest{Signature: apart.Signature}); err != nil {
		t.Fatal(err)
	}
	// What partners and publishers write is hostile, too.
	if _, err := h.node.Agreements().Sign(ctx, node.AgreementRequest{Document: bad, By: hostile}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Agreements().Bring(ctx, node.SignatureRequest{Signature: badApart.Signature}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Agreements().Suspend(ctx, node.AgreementRequest{Name: spoilt, Reason: hostile, By: hostile}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Standards().Adopt(ctx, node.AdoptRequest{Archive: spoiledStandard(t)}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Access().AddKey(ctx, node.KeyRequest{Title: hostile, Allow: []string{"status"}}); err != nil {
		t.Fatal(err)
	}
	if err := h.node.Log().Read(ctx, node.ReadRequest{Person: hostile, What: "record", Of: hostile, Purpose: hostile}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Standards().Measure(ctx, node.MeasureRequest{Publish: true}); err != nil {
		t.Fatal(err)
	}
}

func changed(t testing.TB, rec []byte, f func(map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(rec, &m); err != nil {
		t.Fatal(err)
	}
	f(m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// long opens a node whose lists are long: n records, lines of an open register and flows.
func long(t testing.TB, n int) *house {
	t.Helper()
	h := open(t, false, func(o *web.Options) { o.Registers = []string{web.AllRegisters} })
	const std = "digital-tool"
	if _, err := h.node.Standards().Adopt(t.Context(), node.AdoptRequest{Name: std}); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 1000 {
		put := node.PutRequest{Standard: std}
		for i := from; i < min(n, from+1000); i++ {
			put.Records = append(put.Records, node.Offered{Row: i + 1, Record: fmt.Appendf(nil, `{"reference":"T-%d","council":"E07000998","product":"Acre %d","supplier":"Acre %d Ltd","function":"planning","status":"in-use","contract_ends_on":"20%d-06-30"}`, i, i%40, i%9, 27+i%4)})
		}
		r, err := h.node.Records().Put(t.Context(), put)
		if err != nil {
			t.Fatal(err)
		}
		if ps := r.Results[0].Problems; len(ps) > 0 {
			t.Fatalf("%+v", ps)
		}
	}
	h.flows = n
	h.serve()
	return h
}

// person adds somebody and returns a link for them.
func (h *house) person(called string, roles ...access.Role) (*people.Person, string) {
	h.t.Helper()
	p, err := h.people.Put(people.Person{Name: called, Roles: roles})
	if err != nil {
		h.t.Fatal(err)
	}
	code, err := h.people.Link(p.ID, time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	return p, code
}

// A visitor is a browser without JavaScript.
type visitor struct {
	t testing.TB
	h *house
	http.Client
}

func (h *house) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &visitor{t: h.t, h: h, Client: http.Client{Jar: jar}}
}

// enter signs a new person in.
func (h *house) enter(called string, roles ...access.Role) *visitor {
	h.t.Helper()
	v := h.visitor()
	_, code := h.person(called, roles...)
	if at, _ := v.post("/sign-in/link", url.Values{"code": {code}}); at != 200 {
		h.t.Fatalf("%s was not signed in: %d", called, at)
	}
	return v
}

func (v *visitor) read(r *http.Response, err error) (int, string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func (v *visitor) get(path string) (int, string) { v.t.Helper(); return v.read(v.Get(v.h.url + path)) }

func (v *visitor) post(path string, form url.Values) (int, string) {
	v.t.Helper()
	return v.read(v.PostForm(v.h.url+path, form))
}

func (v *visitor) upload(path, file string, content []byte, form url.Values) (int, string) {
	v.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k := range form {
		w.WriteField(k, form.Get(k))
	}
	part, _ := w.CreateFormFile("file", file)
	part.Write(content)
	w.Close()
	return v.read(v.Post(v.h.url+path, w.FormDataContentType(), &b))
}

// because says what the visitor reads records for.
func (v *visitor) because() { v.post("/records/purpose", url.Values{"why": {"case"}}) }

// cut returns what stands between two texts.
func cut(t testing.TB, s, after, before string) string {
	t.Helper()
	_, s, ok := strings.Cut(s, after)
	if s, _, ok2 := strings.Cut(s, before); ok && ok2 {
		return s
	}
	t.Fatalf("the page does not hold %q and then %q", after, before)
	return ""
}

// A link signs in once, at a new session, and not after its time; the session ends with
// the sign-out, and with the person.
func TestSignIn(t *testing.T) {
	h := open(t, false, nil)
	p, code := h.person("Jo Smith", access.Viewer)
	v := h.visitor()
	v.get("/sign-in?next=/records") // a session begins before anybody signed in
	u, _ := url.Parse(h.url)
	before := ""
	for _, c := range v.Jar.Cookies(u) {
		if c.Name == "stile" {
			before = c.Value
		}
	}
	if status, page := v.get("/sign-in/link?code=" + code); status != 200 || !strings.Contains(page, "signs you in once") {
		t.Fatalf("the link: %d", status)
	}
	if status, _ := v.post("/sign-in/link", url.Values{"code": {code}}); status != 200 {
		t.Fatalf("sign in: %d", status)
	}
	after := ""
	for _, c := range v.Jar.Cookies(u) {
		if c.Name == "stile" {
			after = c.Value
		}
	}
	if before == "" || after == "" || before == after {
		t.Errorf("the session before was %q and after %q: a session that a stranger knew would be signed in", before, after)
	}
	// Whoever knew the session before has nothing.
	r, _ := http.NewRequest("GET", h.url+"/home", nil)
	r.AddCookie(&http.Cookie{Name: "stile", Value: before})
	if resp, err := http.DefaultTransport.RoundTrip(r); err != nil || resp.StatusCode != 303 {
		t.Errorf("the session of before: %v, %v", resp.StatusCode, err)
	}
	if status, _ := h.visitor().post("/sign-in/link", url.Values{"code": {code}}); status != 403 {
		t.Errorf("the link again: %d", status)
	}
	late, err := h.people.Link(p.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	h.now.Add(61)
	if status, _ := h.visitor().post("/sign-in/link", url.Values{"code": {late}}); status != 403 {
		t.Errorf("a link after its time: %d", status)
	}
	if status, page := v.get("/home"); status != 200 || !strings.Contains(page, "Jo Smith") {
		t.Errorf("home: %d", status)
	}
	if err := h.people.Remove(p.ID); err != nil {
		t.Fatal(err)
	}
	if _, page := v.get("/home"); strings.Contains(page, "Jo Smith") {
		t.Error("a person who was taken out is signed in still")
	}
}

// Ten failures from one address lock it out for a quarter of an hour.
func TestLockOut(t *testing.T) {
	h := open(t, false, nil)
	v := h.visitor()
	for i := range 10 {
		if status, _ := v.post("/sign-in/link", url.Values{"code": {"guess"}}); status != 403 {
			t.Fatalf("guess %d: %d", i, status)
		}
	}
	_, code := h.person("Jo Smith", access.Viewer)
	if status, _ := v.post("/sign-in/link", url.Values{"code": {code}}); status != 429 {
		t.Errorf("locked out: %d", status)
	}
	h.now.Add(15 * 60)
	if status, _ := v.post("/sign-in/link", url.Values{"code": {code}}); status != 200 {
		t.Errorf("a quarter of an hour later: %d", status)
	}
}

// A role reaches its own pages and no other's, by address or by form, and whoever is not
// signed in reaches none.
func TestRoles(t *testing.T) {
	h := open(t, true, nil)
	agreement, adopting := "/agreements/"+moving, "/standards/standards.stile.example/spend@1.0.0/adopt"
	reach := map[string][]access.Role{
		"/home": access.Roles(), "/records": {access.Viewer, access.Steward, access.Governance, access.Signer, access.Auditor},
		"/imports": {access.Steward}, "/held": {access.Steward}, "/agreements": access.Roles(), agreement: access.Roles(),
		agreement + "/check": {access.Steward, access.Governance, access.Signer}, "/drafts/new": {access.Steward, access.Governance, access.Signer},
		"/disclosures": {access.Steward, access.Governance, access.Signer, access.Auditor}, "/subject": {access.Governance}, "/councils": access.Roles(), "/admin": {access.Operator}, "/setup": {access.Operator},
		"POST " + agreement + "/sign": {access.Signer}, "POST " + agreement + "/end": {access.Signer}, "POST /admin/retry": {access.Operator}, "POST /subject": {access.Governance}, "POST /drafts/new": {access.Steward, access.Governance, access.Signer},
		"/admin/keys": {access.Operator}, "POST /admin/keys": {access.Operator}, "POST /admin/keys/x/end": {access.Operator}, "/admin/feeds": {access.Operator}, "POST /admin/feeds/x/run": {access.Operator},
		"/admin/backups": {access.Operator, access.Auditor}, adopting: {access.Steward, access.Governance}, "POST " + adopting: {access.Steward, access.Governance}, "POST " + agreement + "/renew": {access.Signer}, agreement + "/counter": {access.Signer}, "POST " + agreement + "/counter": {access.Signer},
		"POST " + agreement + "/suspend": {access.Signer, access.Governance}, "POST " + agreement + "/resume": {access.Signer}, "/why": {access.Steward, access.Governance, access.Auditor, access.Signer},
	}
	// Every page that the router has and that is not for everybody is refused to whoever may
	// not do what it is for, whatever the path names.
	named := regexp.MustCompile(`\{([a-z]+)\}`)
	routes := web.Routes(t)
	for pattern, op := range routes {
		if op != "" && !access.Known(op) {
			t.Errorf("%s is for an operation that there is not: %s", pattern, op)
		}
	}
	if len(routes) < 60 {
		t.Errorf("the router has %d such pages: the test has looked in vain", len(routes))
	}
	ask := func(v *visitor, at string) int {
		if path, ok := strings.CutPrefix(at, "POST "); ok {
			status, _ := v.post(path, url.Values{})
			return status
		}
		status, _ := v.get(at)
		return status
	}
	for _, role := range access.Roles() {
		v := h.enter("A "+string(role), role)
		for pattern, op := range routes {
			if op == "" || access.Allowed(&access.Principal{Kind: access.Person, Roles: []access.Role{role}}, op, access.On{AnySide: true}) == nil {
				continue
			}
			at := strings.TrimPrefix(named.ReplaceAllString(pattern, "x"), "GET ")
			if status := ask(v, at); status != 403 {
				t.Errorf("%s at %s, which is for %s: %d", role, at, op, status)
			}
		}
		for at, roles := range reach {
			may := false
			for _, r := range roles {
				may = may || r == role
			}
			if status := ask(v, at); (status == 403) == may {
				t.Errorf("%s at %s: %d", role, at, status)
			}
		}
	}
	stranger := h.visitor()
	for pattern := range routes {
		reach[strings.TrimPrefix(named.ReplaceAllString(pattern, "x"), "GET ")] = nil
	}
	for at := range reach {
		if path, ok := strings.CutPrefix(at, "POST "); ok {
			at = path
			if _, page := stranger.post(at, url.Values{}); !strings.Contains(page, "Code of the link") {
				t.Errorf("a stranger posted to %s", at)
			}
		} else if _, page := stranger.get(at); !strings.Contains(page, "Code of the link") {
			t.Errorf("a stranger reached %s", at)
		}
	}
	// What one person uploaded is nobody else's.
	one, two := h.enter("One", access.Steward), h.enter("Two", access.Steward)
	_, page := one.upload("/imports", "a.ndjson", []byte("{}\n"), url.Values{"standard": {"standards.stile.example/housing-need@1"}})
	file := cut(t, page, `action="/imports/`, "/forget")
	if status, _ := one.get("/imports/" + file); status != 200 {
		t.Errorf("one's own file: %d", status)
	}
	if status, _ := two.get("/imports/" + file); status != 404 {
		t.Errorf("another's file: %d", status)
	}
}

// A form of another site's page is refused, and no page can be framed or run what is not
// of this server.
func TestStrangersPages(t *testing.T) {
	h := open(t, false, nil)
	v := h.enter("Jo Smith", access.Operator)
	r, _ := http.NewRequest("POST", h.url+"/admin/retry", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://stranger.example")
	if status, _ := v.read(v.Do(r)); status != 403 {
		t.Errorf("another site's form: %d", status)
	}
	resp, err := v.Get(h.url + "/home")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "style-src 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || resp.Header.Get("X-Frame-Options") != "DENY" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", resp.Header)
	}
	for _, at := range []string{"/sign-in?next=//stranger.example", "/sign-in?next=https://stranger.example/", `/sign-in?next=/\stranger.example`} {
		w := h.visitor()
		w.get(at)
		_, code := h.person("Next", access.Viewer)
		w.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host != strings.TrimPrefix(h.url, "http://") {
				t.Errorf("%s led to %s", at, r.URL.Host)
			}
			return nil
		}
		w.post("/sign-in/link", url.Values{"code": {code}})
	}
}

// Whoever opens a record says what for first, and the log has it before the page is
// shown.
func TestReadsAreLogged(t *testing.T) {
	h := open(t, true, nil)
	v := h.enter("Jo Smith", access.Viewer)
	if _, page := v.get("/records"); !strings.Contains(page, "Why do you need to see records?") {
		t.Fatal("records were shown to somebody who has not said what for")
	}
	if reads, err := h.node.Log().Reads(t.Context(), node.ReadsRequest{}); err != nil || len(reads) != 1 { // that of fill

		t.Fatalf("%v, %v", reads, err)
	}
	v.because()
	_, page := v.get("/records?standard=standards.stile.example/housing-need")
	at := "/records/northmoor.gov.uk/" + cut(t, page, `href="/records/northmoor.gov.uk/`, `"`)
	if status, _ := v.get(at); status != 200 {
		t.Fatalf("%s: %d", at, status)
	}
	reads, err := h.node.Log().Reads(t.Context(), node.ReadsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	last := reads[0]
	if last.Person != "Jo Smith" || last.What != "record" || !strings.HasSuffix(at, last.Of) || last.Purpose != "A case that I work on" {
		t.Errorf("got %+v", last)
	}
}

// An agreement is drafted, previewed and signed without JavaScript; what binds the
// council wants a recent sign-in, the text that was seen, and a second person; and the
// event names both.
func TestDraftAndSign(t *testing.T) {
	h := open(t, true, nil)
	h.cfg.Web.TwoPersons = true
	v := h.enter("Jo Smith", access.Signer)
	if status, page := v.post("/drafts/new", url.Values{"name": {"Not A Name"}}); status != 422 || !strings.Contains(page, "There is a problem") {
		t.Errorf("a wrong name: %d", status)
	}
	_, page := v.post("/drafts/new", url.Values{"name": {"planning"}, "to": {string(saltby)}, "standard": {"standards.stile.example/planning-application@1"}})
	if !strings.Contains(page, "of 8 done") {
		t.Fatal("the draft has no task list")
	}
	const at = "/drafts/northmoor.gov.uk/planning"
	long := "Said in plain words, for a test."
	for part, form := range map[string]url.Values{
		"purpose": {"purpose": {long}, "necessity": {long}},
		"data":    {"mode": {"replicate"}, "rows": {"true"}, "fields": {"/reference"}, "data_items": {long}},
		"law":     {"lawful_basis-article_6": {"6(1)(e)"}, "lawful_basis-legal_power": {long}, "dpia": {long}},
		"parties": {"roles-northmoor.gov.uk": {"controller"}, "roles-saltby.gov.uk": {"controller"}, "contacts-northmoor.gov.uk": {"dpo"}, "contacts-saltby.gov.uk": {"dpo"}},
		"rights":  {"rights_contact": {long}, "accuracy": {long}},
		"keeping": {"retention": {"P2Y"}, "disposal": {long}, "security": {long}},
		"time":    {"starts": {"2026-01-01"}, "review": {"2036-01-01"}, "exit": {long}},
	} {
		if status, page := v.post(at+"/part/"+part, form); status != 200 {
			t.Errorf("part %s: %d, %s", part, status, page[strings.Index(page, "<main"):][:600])
		}
	}
	if status, page := v.post(at+"/part/keeping", url.Values{"retention": {"two years"}, "disposal": {long}, "security": {long}}); status != 422 || !strings.Contains(page, `id="retention-error"`) {
		t.Errorf("a retention that is none: %d", status)
	}
	on := url.Values{"onward-to": {"castlebridge.gov.uk\r\nany regulator"}, "onward-under": {"saltby.gov.uk/on"}, "onward-fields": {"/applicant/name, /reference"}, "onward-steps": {"9"}}
	if status, page := v.post(at+"/part/onward", on); status != 422 || !strings.Contains(page, "1 to 5") {
		t.Errorf("nine steps: %d", status)
	}
	on.Set("onward-steps", "2")
	if status, page := v.post(at+"/part/onward", on); status != 422 || !strings.Contains(page, `id="onward-fields-error"`) {
		t.Errorf("a field goes on that does not travel: %d", status)
	}
	on.Set("onward-fields", "/reference")
	if status, page := v.post(at+"/part/onward", on); status != 200 {
		t.Errorf("what may be passed on: %d, %s", status, page[strings.Index(page, "<main"):][:600])
	}
	if status, page := v.post(at+"/part/purpose", url.Values{"purpose": {long}, "necessity": {long}}); status != 200 {
		t.Errorf("another part, after it: %d, %s", status, page)
	}
	_, page = v.get(at + "/preview")
	if want := "to castlebridge.gov.uk or any regulator, under saltby.gov.uk/on, in at most 2 further steps"; strings.Count(page, want) < 2 {
		t.Errorf("what may be passed on is not told in words: no %q", want)
	}
	digest := cut(t, page, `name="digest" value="`, `"`)
	if status, _ := v.post(at+"/sign", url.Values{"digest": {strings.Repeat("0", 64)}, "sure": {"yes"}}); status != 409 {
		t.Errorf("another text was signed: %d", status)
	}
	h.now.Add(11 * 60)
	if _, page := v.post(at+"/sign", url.Values{"digest": {digest}, "sure": {"yes"}}); !strings.Contains(page, "Sign in again") {
		t.Error("somebody signed who had signed in eleven minutes ago")
	}
	v = h.enter("Ann Lee", access.Signer)
	if _, page := v.post(at+"/sign", url.Values{"digest": {digest}, "sure": {"yes"}}); !strings.Contains(page, "A second person must sign") {
		t.Error("one person signed alone")
	}
	if status, _ := v.post(at+"/sign", url.Values{"digest": {digest}, "sure": {"yes"}}); status != 403 {
		t.Errorf("the same person signed twice: %d", status)
	}
	w := h.enter("Bo Yi", access.Signer)
	if _, page := w.post(at+"/sign", url.Values{"digest": {digest}, "sure": {"yes"}}); !strings.Contains(page, "The council has signed") {
		t.Errorf("the second person did not sign: %s", page[strings.Index(page, "<main"):][:600])
	}
	b, err := h.node.Bundle(t.Context(), node.BundleRequest{Agreement: "northmoor.gov.uk/planning"})
	if err != nil {
		t.Fatal(err)
	}
	if !signedBy(t, b.Bundle, "Ann Lee and Bo Yi") {
		t.Error("no event in the log names who signed")
	}
}

// A file is brought, what is wrong with it is told by row, rule and fix, and the good
// rows are taken in.
func TestImport(t *testing.T) {
	h := open(t, true, nil)
	v := h.enter("Jo Smith", access.Steward)
	good := changed(t, generate.HousingNeed(2, 500, "E07000998", []string{"E07000999"}), func(m map[string]any) { m["reference"] = "HN-NEW-1" })
	bad := changed(t, good, func(m map[string]any) { m["reference"] = "HN-NEW-2"; m["moved_to"] = hostile })
	file := append(append(append([]byte{}, good...), '\n'), bad...)
	_, page := v.upload("/imports", "new.ndjson", file, url.Values{"standard": {"standards.stile.example/housing-need@1"}})
	for _, want := range []string{"HN-NEW-2", "/moved_to", "pattern"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	at := "/imports/" + cut(t, page, `action="/imports/`, "/")
	if _, mend := v.get(at + "/mend"); strings.TrimSpace(mend) != string(bad) {
		t.Errorf("the rows to mend are\n%s\nwant\n%s", mend, bad)
	}
	if _, page := v.post(at+"/take", url.Values{}); !strings.Contains(page, "The records are taken in") {
		t.Error("nothing was taken in")
	}
	if _, err := h.node.Records().Show(t.Context(), node.RecordRequest{Standard: "housing-need", Record: "HN-NEW-1"}); err != nil {
		t.Error(err)
	}
	h.importTranslated(v)
	// A row is not called by a key that may be about a person, such as the number of a badge.
	if _, err := h.node.Standards().Adopt(t.Context(), node.AdoptRequest{Name: "blue-badge"}); err != nil {
		t.Fatal(err)
	}
	if _, page = v.upload("/imports", "badges.ndjson", []byte(`{"number":"K7L2N1"}`), url.Values{"standard": {"standards.stile.example/blue-badge@1"}}); strings.Contains(page, "K7L2N1") || !strings.Contains(page, "row 1") {
		t.Errorf("a badge is not called by its row: %s", page[strings.Index(page, "<main"):][:900])
	}
	// A table is mapped on the page.
	_, page = v.upload("/imports", "t.csv", []byte("Ref;Where\nA1;x\nA2;y\n"), url.Values{"standard": {"standards.stile.example/housing-need@1"}})
	if !strings.Contains(page, `name="column-1"`) || !strings.Contains(page, "A1 · A2") {
		t.Error("no columns to map")
	}
	at = "/imports/" + cut(t, page, `action="/imports/`, "/columns")
	if _, page := v.post(at+"/columns", url.Values{"column-0": {"/reference"}, "column-1": {""}}); !strings.Contains(page, "would be refused") {
		t.Errorf("the columns were not kept: %s", page[strings.Index(page, "<main"):][:900])
	}
}

// services is a list of two services as Open Referral UK has it, the second of a state that
// it does not know.
const services = `{"contents":[{"id":"6f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12","name":"Debt advice","status":"active","organization":{"name":"Moor Advice"}},` +
	`{"id":"7f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12","name":"Night school","status":"dormant","organization":{"name":"Moor Advice"}}]}`

// importing brings a list of services for somebody who is signed in by a link, and returns the
// page where it is looked at.
func (h *house) importing(code string) string {
	t := h.t
	t.Helper()
	v := h.visitor()
	v.post("/sign-in/link", url.Values{"code": {code}})
	const std = "standards.stile.example/service-directory@1"
	if _, err := h.node.Standards().Adopt(t.Context(), node.AdoptRequest{Name: std}); err != nil {
		t.Fatal(err)
	}
	_, page := v.upload("/imports", "services.json", []byte(services), url.Values{"standard": {std}})
	return "/imports/" + cut(t, page, `action="/imports/`, "/")
}

// importTranslated: a list of services in somebody else's form is seen to be one, the page asks
// for what it does not say, and shows what would happen before it is taken in.
func (h *house) importTranslated(v *visitor) {
	t := h.t
	t.Helper()
	const std = "standards.stile.example/service-directory@1"
	if _, err := h.node.Standards().Adopt(t.Context(), node.AdoptRequest{Name: std}); err != nil {
		t.Fatal(err)
	}
	_, page := v.upload("/imports", "services.json", []byte(services), url.Values{"standard": {std}})
	at := "/imports/" + cut(t, page, `action="/imports/`, "/")
	for _, want := range []string{`<option value="open-referral-uk" selected>`, "Check again in this form", "/council", "required", "/status (/status)", "a value that the translation does not name", "7f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a list of services does not say %q", want)
		}
	}
	if strings.Contains(page, "dormant") {
		t.Error("a value that was refused stands on the page")
	}
	// Records of the standard they are not.
	_, page = v.post(at+"/form", url.Values{"form": {""}})
	if !strings.Contains(page, "<strong>1</strong>rows") || strings.Contains(page, "/take") {
		t.Errorf("the list as a record of ours: %s", page[strings.Index(page, "<main"):][:900])
	}
	_, page = v.post(at+"/form", url.Values{"form": {"open-referral-uk"}, "set-0": {"E07000998"}})
	if !strings.Contains(page, "<strong>1</strong>good") || !strings.Contains(page, `value="E07000998"`) {
		t.Errorf("the list with its council: %s", page[strings.Index(page, "<main"):][:900])
	}
	if _, err := h.node.Records().Show(t.Context(), node.RecordRequest{Standard: std, Record: "6f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12"}); err == nil {
		t.Error("it was taken in before anybody said so")
	}
	if status, _ := v.post(at+"/form", url.Values{"form": {"ocds"}}); status != 422 {
		t.Errorf("a form of another standard: %d", status)
	}
	if _, page := v.post(at+"/take", url.Values{}); !strings.Contains(page, "The records are taken in") {
		t.Error("nothing was taken in")
	}
	r, err := h.node.Records().Show(t.Context(), node.RecordRequest{Standard: std, Record: "6f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12"})
	if err != nil || !bytes.Contains(r.Body, []byte(`"council":"E07000998"`)) {
		t.Errorf("the service came in as %s, %v", r.Body, err)
	}
	if _, mend := v.get(at + "/mend"); !strings.Contains(mend, "dormant") || strings.Contains(mend, "Debt advice") {
		t.Errorf("the services to mend are %s", mend)
	}
}

// Every page, empty and full and with errors, in both languages, at two widths: no
// violation of WCAG 2.2 AA that axe-core finds, no error that html-validate finds, no
// word from the browser's policy, nothing wider than the screen, and what strangers
// wrote as text.
func TestPages(t *testing.T) {
	full, empty := open(t, true, nil), open(t, false, nil)
	list, err := full.node.Records().List(t.Context(), node.ListRequest{Standard: "standards.stile.example/housing-need", Bodies: true, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	record := ""
	for _, r := range list.Records {
		if bytes.Contains(r.Body, []byte("onerror")) {
			record = "/records/northmoor.gov.uk/" + string(r.Record)
		}
	}
	if record == "" {
		t.Fatal("there is no hostile record")
	}
	v := full.enter("Draft", access.Signer)
	v.post("/drafts/new", url.Values{"name": {"planning"}, "to": {string(saltby)}, "standard": {"standards.stile.example/planning-application@1"}})
	everybody := []string{"/", "/register", "/standards", "/adoption", "/verify", "/accessibility", "/privacy", "/about", "/sign-in", "/sign-in/link?code=x", "/sign-in/again"}
	inside := []string{"/home", "/setup", "/admin", "/admin/people", "/admin/keys", "/admin/feeds", "/admin/backups", "/admin/webhooks", "/records/purpose", "/records", "/why", "/imports", "/held", "/agreements", "/drafts/new", "/disclosures", "/subject", "/councils", "/footprints"}
	type side struct {
		URL, Code   string
		Pages, Fail []string
	}
	sam, one := full.person("Sam Example", access.Roles()...)
	upload := full.importing(one)
	if one, err = full.people.Link(sam.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	other, _ := full.person(hostile, access.Viewer)
	_, two := empty.person("Sam Example", access.Roles()...)
	byHand := open(t, false, nil)
	urgent, offer := byHand.byHand()
	_, three := byHand.person("Sam Example", access.Roles()...)
	registers := openly(t, web.AllRegisters)
	_, four := registers.person("Sam Example", access.Roles()...)
	lists := long(t, 10_000)
	_, five := lists.person("Sam Example", access.Roles()...)
	agreement := "/agreements/" + moving
	draft := "/drafts/northmoor.gov.uk/planning"
	in, err := json.Marshal(map[string]any{
		"hostile": hostile, "record": record,
		"sides": []side{
			{full.url, one, append(append(append([]string{}, everybody...), inside...), record, "/records?standard=standards.stile.example/housing-need", agreement, agreement+"/check", agreement+"/counter", draft, draft+"/part/purpose", draft+"/part/data", draft+"/part/parties", draft+"/part/time", draft+"/preview", upload,
				"/admin/people/"+sam.ID, "/admin/people/"+other.ID, "/councils/saltby.gov.uk", "/standards/standards.stile.example/housing-need@1.0.0", "/standards/standards.stile.example/spend@1.0.0/adopt", "/register/"+moving, "/agreements/"+spoilt, "/standards/publisher.example/spend@1.0.0", "/why?partner=saltby.gov.uk&record="+filepath.Base(record)),
				[]string{"/no-such-page", "/register/northmoor.gov.uk/none", "/standards/no/such", "/records?standard=&reference=x"}},
			// Forms that look the same in an empty node are not looked at twice.
			{empty.url, two, append([]string{"/", "/register", "/adoption"}, slices.DeleteFunc(slices.Clone(inside), func(at string) bool {
				return slices.Contains([]string{"/records/purpose", "/subject", "/why", "/admin/keys", "/admin/webhooks"}, at)
			})...), nil},
			{byHand.url, three, []string{"/home", "/urgent", urgent, "/handovers", offer, "/register/northmoor.gov.uk/urgent"}, nil},
			{lists.url, five, []string{"/records?standard=standards.stile.example/digital-tool", "/open/city-tools", "/register"}, nil},
			{registers.url, four, []string{"/open", "/open/city-tools", "/open/improvement", "/open/obligations", "/open/charter", "/open/adoption"}, []string{"/open/none"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Pages    int
		Problems []string
	}
	browsertest.Run(t, "testdata/pages.mjs", &out, string(in))
	for _, p := range out.Problems {
		t.Error(p)
	}
	if out.Pages < 90 {
		t.Errorf("%d pages were looked at: the test has looked in vain", out.Pages)
	}
	t.Logf("%d pages", out.Pages)
}
