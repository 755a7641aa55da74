package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/client"
)

const tips = "standards.stile.example/fly-tipping@1"

const tipsMapping = `mapping: 1
standard: standards.stile.example/fly-tipping@1
columns:
  - {to: /reference, from: reference, required: true}
  - {to: /found_on, from: found_on, type: date}
  - {to: /land, from: land}
  - {to: /waste, from: waste}
  - {to: /size, from: size}
constants:
  /council: E07000998
`

// form makes a body of a part that says how a file is to be read, and the file.
func form(t *testing.T, how, text, file string, content []byte) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if err := m.WriteField(how, text); err != nil {
		t.Fatal(err)
	}
	f, err := m.CreateFormFile("file", file)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(content)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), m.FormDataContentType()
}

// lines are the lines of JSON of a reply.
func (a answer) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(a.body) {
		var l map[string]any
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// A CSV file is tried and then taken in, with a line for each row; what goes out as a
// workbook comes back in as it was.
func TestImportFiles(t *testing.T) {
	w := open(t, 1000)
	must(t, w.n.Standards().Adopt, node.AdoptRequest{Name: tips})
	send := func(query, file string, content []byte) (lines []map[string]any) {
		t.Helper()
		body, typ := form(t, "mapping", tipsMapping, file, content)
		return w.want(w.do("POST", "/v1/imports?"+query, body, "Content-Type", typ), 200).lines(t)
	}
	csv := []byte("reference,found_on,land,waste,size,extra\nFT-1,2026-11-02,highway,tyres,car-boot,x\nFT-2,2 Nov,highway,tyres,car-boot,x\n")
	if lines := send("dry_run=true", "tips.csv", csv); len(lines) != 3 || lines[2]["summary"].(map[string]any)["notes"] == nil {
		t.Errorf("nobody is told of a column that the mapping does not name: %v", lines)
	}
	csv = bytes.ReplaceAll(bytes.ReplaceAll(csv, []byte(",extra"), nil), []byte(",x"), nil)
	for _, dry := range []string{"true", "false"} {
		lines := send("dry_run="+dry, "tips.csv", csv)
		if len(lines) != 3 || lines[0]["outcome"] != map[string]string{"true": "valid", "false": "created"}[dry] || lines[1]["errors"] == nil || lines[2]["summary"].(map[string]any)["refused"] != 1.0 {
			t.Errorf("dry run %s: %v", dry, lines)
		} else if wrong := lines[1]["errors"].([]any)[0].(map[string]any); wrong["pointer"] != "/found_on" || wrong["column"] != "found_on" {
			t.Errorf("dry run %s: the error does not say where in the file: %v", dry, wrong)
		}
	}
	a := w.want(w.do("GET", "/v1/exports?format=xlsx&standard="+url.QueryEscape(tips), ""), 200)
	if a.Trailer.Get("Stile-Complete") != "true" {
		t.Error("the export is not whole")
	}
	if lines := send("", "tips.xlsx", a.body); len(lines) == 0 || lines[0]["outcome"] != "unchanged" {
		t.Errorf("the workbook that was exported: %v", lines)
	}
	w.importTranslated(t)
}

// importTranslated: contracts are taken in from OCDS releases, services from an Open Referral
// UK list, and either by a translation of one's own; what does not fit is told with both
// places and without its value.
func (w *world) importTranslated(t *testing.T) {
	const contract, services = "standards.stile.example/contract@1", "standards.stile.example/service-directory@1"
	for _, std := range []string{contract, services} {
		must(t, w.n.Standards().Adopt, node.AdoptRequest{Name: std})
	}
	release := func(ocid, buyer, more string) string {
		return `{"ocid":"` + ocid + `","parties":[{"roles":["buyer"],"identifier":{"scheme":"GB-LAC","id":"` + buyer + `"}},{"roles":["supplier"],"name":"Moor Bins"}],` + more +
			`"contracts":[{"title":"Secret bins","value":{"amount":5,"currency":"GBP"},"period":{"startDate":"2026-04-01T00:00:00Z","endDate":"2027-03-31T23:59:59Z"}}]}`
	}
	good := release("ocds-h6vhtk-1", "E07000998", `"tender":{"mainProcurementCategory":"goods"},`)
	several := strings.Replace(good, `"contracts":[`, `"contracts":[{"title":"Secret"},`, 1)
	pack := `{"version":"1.1","releases":[` + good + `,` + release("ocds-h6vhtk-2", "E07000998", "") + `,` + strings.Replace(several, "vhtk-1", "vhtk-3", 1) + `]}`
	for _, dry := range []bool{true, false} {
		var rows []client.Row
		sum, err := w.client(w.key).ImportTranslated(t.Context(), "ocds", nil, strings.NewReader(pack), 0, dry, func(r client.Row) error { rows = append(rows, r); return nil })
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]node.Outcome{true: node.Valid, false: node.Created}[dry]
		if sum.Rows != 3 || sum.Refused != 2 || rows[0].Outcome != want || rows[0].Reference != "ocds-h6vhtk-1" {
			t.Fatalf("dry run %t: %+v, %+v", dry, sum, rows)
		}
		if e := rows[1].Errors; len(e) != 1 || e[0].Pointer != "/kind" || e[0].Rule != "required" || e[0].Column != "/tender/mainProcurementCategory" {
			t.Errorf("a release without a kind: %+v", e)
		}
		if e := rows[2].Errors; len(e) != 1 || e[0].Pointer != "/title" || e[0].Rule != "several" || e[0].Column != "/contracts[only]" {
			t.Errorf("a release of two contracts: %+v", e)
		}
	}
	asJSON := []string{"Content-Type", "application/json"}
	const at = "/v1/imports?"
	list := `{"contents":[{"id":"6f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12","name":"Debt advice","status":"active","organization":{"name":"Moor Advice"}}]}`
	if l := w.want(w.do("POST", at+"translation=open-referral-uk", list, asJSON...), 200).lines(t)[0]; l["outcome"] != nil || l["errors"].([]any)[0].(map[string]any)["pointer"] != "/council" {
		t.Errorf("a service without a council: %v", l)
	}
	if l := w.want(w.do("POST", at+"translation=open-referral-uk&set=/council%3DE07000998&standard="+url.QueryEscape(services), list, asJSON...), 200).lines(t)[0]; l["outcome"] != "created" {
		t.Errorf("a service with what the list does not say: %v", l)
	}
	const own = "translation: 1\nstandard: " + services + "\nlist: /all\nfields:\n  - {ours: /id, theirs: /number}\n  - {ours: /name, theirs: /what}\n  - {ours: /status, theirs: /state}\n  - {ours: /organisation/name, theirs: /by}\n"
	send := func(query, how, text, file, content string, status int) answer {
		t.Helper()
		body, typ := form(t, how, text, file, []byte(content))
		a := w.want(w.do("POST", at+query, body, "Content-Type", typ), status)
		if strings.Contains(string(a.body), "Secret") {
			t.Errorf("%s: a value is told: %s", query, a.body)
		}
		return a
	}
	const row = `{"number":"7f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12","what":"Secret","state":"active","by":"Secret"}`
	if l := send("set=/council%3DE07000998", "translation", own, "all.ndjson", row+"\n", 200).lines(t)[0]; l["outcome"] != "created" {
		t.Errorf("a translation of one's own: %v", l)
	}
	send("", "translation", "translation: 2", "all.json", "[]", 422)
	send("translation=ocds", "translation", own, "all.json", "[]", 400)
	send("translation=ocds", "mapping", tipsMapping, "all.csv", "a\n", 400)
	send("", "translation", own, "all.csv", "a\nSecret\n", 400)
	for query, status := range map[string]int{"translation=odcs": 404, "translation=../ocds": 404, "translation=ocds&set=/council": 400, "translation=ocds&set=council%3DSecret": 400, "set=/council%3DE07000998&standard=" + url.QueryEscape(contract): 400, "translation=ocds&standard=" + url.QueryEscape(services): 400} {
		if a := w.want(w.do("POST", at+query, pack, asJSON...), status); strings.Contains(string(a.body), "Secret") {
			t.Errorf("%s: a value is told: %s", query, a.body)
		}
	}
}

// A read that names a position waits for it: it sees a record that is put only after it was
// asked. One that is never come to is told so.
func TestReadsWaitForTheirPosition(t *testing.T) {
	w := open(t, 1000)
	var log node.CheckpointReply
	w.want(w.do("GET", "/v1/log", ""), 200).into(t, &log)
	asked := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(asked)
		w.api.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/v1/records?standard="+need, nil)
	r.Header.Set("Authorization", "Bearer "+w.key)
	position, _ := json.Marshal(log.Size + 1)
	r.Header.Set("Stile-Position", string(position))
	got := make(chan string, 1)
	go func() {
		resp, err := srv.Client().Do(r)
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		got <- resp.Status + " " + b.String()
	}()
	<-asked
	select {
	case early := <-got:
		t.Fatalf("it did not wait: %s", early)
	default:
	}
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998")), 201)
	if text := <-got; !strings.HasPrefix(text, "200") || !strings.Contains(text, `"HN1"`) {
		t.Errorf("%s", text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	late := httptest.NewRequest("GET", "/v1/status", nil).WithContext(ctx)
	late.Header.Set("Authorization", "Bearer "+w.key)
	late.Header.Set("Stile-Position", "999999")
	rec := httptest.NewRecorder()
	if w.api.ServeHTTP(rec, late); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("a position that is not come to: %d %s", rec.Code, rec.Body)
	}
	w.want(w.do("GET", "/v1/status", "", "Stile-Position", "first"), 400)
}

// A receiver without a node collects with the client, says what it has, and is given nothing
// twice.
func TestClientCollects(t *testing.T) {
	w := open(t, 1000)
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000998")), 201)
	c := w.client(w.signed())
	var page node.CollectReply
	for ctx := t.Context(); len(page.Items) == 0; {
		var err error
		if page, err = c.Collect(ctx, ""); err != nil {
			t.Fatal(err)
		}
	}
	if len(page.Items) != 1 || strings.Contains(string(page.Items[0].Body), "Ffion") {
		t.Errorf("%+v", page.Items)
	}
	if err := c.Receipt(t.Context(), page.Cursor, 1); err != nil {
		t.Fatal(err)
	}
	if again, err := c.Collect(t.Context(), ""); err != nil || len(again.Items) != 0 {
		t.Errorf("after the receipt: %+v, %v", again.Items, err)
	}
	if err := c.Receipt(t.Context(), "none", 1); !client.IsStatus(err, http.StatusBadRequest) {
		t.Errorf("a cursor that is none: %v", err)
	}
}
