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

// form makes a body of a mapping and a file.
func form(t *testing.T, mapping, file string, content []byte) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if err := m.WriteField("mapping", mapping); err != nil {
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

// A CSV file is tried and then taken in, with a line for each row; what goes out as a
// workbook comes back in as it was.
func TestImportFiles(t *testing.T) {
	w := open(t, 1000)
	must(t, w.n.Standards().Adopt, node.AdoptRequest{Name: tips})
	send := func(query, file string, content []byte) (lines []map[string]any) {
		t.Helper()
		body, typ := form(t, tipsMapping, file, content)
		a := w.want(w.do("POST", "/v1/imports?"+query, body, "Content-Type", typ), 200)
		for line := range bytes.Lines(a.body) {
			var l map[string]any
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			lines = append(lines, l)
		}
		return lines
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
		}
	}
	a := w.want(w.do("GET", "/v1/exports?format=xlsx&standard="+url.QueryEscape(tips), ""), 200)
	if a.Trailer.Get("Stile-Complete") != "true" {
		t.Error("the export is not whole")
	}
	if lines := send("", "tips.xlsx", a.body); len(lines) == 0 || lines[0]["outcome"] != "unchanged" {
		t.Errorf("the workbook that was exported: %v", lines)
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
