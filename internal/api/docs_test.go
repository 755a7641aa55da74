package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
)

// Every line of curl in docs/api.md works, in the order of the page, and every call of
// the API has one.
func TestDocumentedCalls(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, 1000).described()
	receiver := w.signed()
	const shared = "aaaaaaaaaaaaaaaaaaaaaaaaaa" // there is no footprint here: TestFootprint makes those calls
	document, _ := json.Marshal(map[string]string{"document": agreementText})
	files := map[string]string{
		"record.json": referral("HN-2026-1", "E07000998"), "records.ndjson": referral("HN-2026-2", "E07000998") + "\n",
		"draft.json":    `{"name":"northmoor.gov.uk/new","to":["wold.example"],"standard":"` + need + `@1"}`,
		"document.json": string(document), "counter.json": strings.NewReplacer("version: 1", "version: 2", "accuracy: ", "accuracy: Newly said. ").Replace(string(document)), "reason.json": `{"reason":"a trial"}`, "review.json": `{"review":"2099-12-01"}`, "into.json": `{"records":["` + shared + `"]}`, "receipt.json": "", "webhook.json": `{"title":"ours","url":"https://hooks.northmoor.gov.uk/stile"}`, "replay.json": "{}", "person.json": `{"person":"QQ123456C"}`,
		// Of these there is no agreement here: TestHandoverByCalls and TestUrgentByCalls make those calls.
		"question.json": `{"agreement":"wold.example/none","field":"/reference","value":"HN-1","because":"a trial"}`, "count.json": `{"agreement":"wold.example/none","because":"a trial"}`,
		"offer.json": `{"partner":"wold.example","records":["` + shared + `"],"because":"a trial"}`, "say.json": `{"because":"a trial"}`, "ask.json": `{"partner":"wold.example","because":"a trial"}`, "give.json": `{"records":["` + shared + `"],"because":"a trial"}`,
		"standard.json": `{"standard":"` + need + `@1.0.0"}`,
	}
	called := map[string]bool{}
	mux := http.NewServeMux()
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(w.api.Spec(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for m := range methods {
			pattern := strings.ToUpper(m) + " " + path
			mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) { called[pattern] = true })
			called[pattern] = false
		}
	}
	noneHere := regexp.MustCompile(`^/v1/(subject|footprints/|questions|counts|handovers|urgent|published/|standards/preview|disclosures/seen)`)
	record, webhook, lines := "", "", 0
	for line := range strings.Lines(string(page)) {
		line, ok := strings.CutPrefix(line, "    curl ")
		if !ok {
			continue
		}
		lines++
		line = strings.NewReplacer("$KEY", w.key, "$RECEIVER_KEY", receiver, "$RECORD", record, "$WEBHOOK", webhook, "$SHARED", shared, "$CASE", "0123abcd", "$STILE", "").Replace(strings.TrimSpace(line))
		method, path, body := "GET", "", ""
		var header []string
		words := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1)
		for i := 0; i < len(words); i++ {
			word := strings.Trim(words[i], `"`)
			switch word {
			case "-X":
				i++
				method = words[i]
			case "-H":
				i++
				k, v, _ := strings.Cut(strings.Trim(words[i], `"`), ": ")
				header = append(header, k, v)
			case "--data":
				i++
				text, ok := files[strings.TrimPrefix(words[i], "@")]
				if !ok {
					t.Fatalf("%s: a file that the test has not", line)
				}
				if body = text; method == "GET" {
					method = "POST"
				}
			default:
				path = word
			}
		}
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
		a := w.with("", method, path, body, header...)
		if a.StatusCode >= 300 && !strings.HasSuffix(path, "/adoption") && !strings.Contains(string(a.body), "number of a person") && !(noneHere.MatchString(path) && (a.StatusCode < 500 || strings.HasPrefix(path, "/v1/footprints/"))) {
			t.Errorf("%s %s: %s %s", method, path, a.Status, a.body)
		}
		switch {
		case strings.HasSuffix(path, "/records/HN-2026-1") && method == "GET":
			var r node.RecordReply
			a.into(t, &r)
			record = string(r.Record)
		case strings.HasSuffix(path, "/webhooks") && method == "POST":
			var k struct{ ID string }
			a.into(t, &k)
			webhook = k.ID
		case strings.HasSuffix(path, "/collection"):
			var c node.CollectReply
			a.into(t, &c)
			files["receipt.json"] = fmt.Sprintf(`{"cursor":%q,"held":%d}`, c.Cursor, len(c.Items))
		}
	}
	for pattern, done := range called {
		if !done {
			t.Errorf("docs/api.md has no line for %s", pattern)
		}
	}
	if lines < 30 {
		t.Errorf("the page has %d lines of curl", lines)
	}
}
