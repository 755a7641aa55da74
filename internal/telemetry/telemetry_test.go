package telemetry_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/telemetry"
)

// TestSpans: a collector is told of a span's name, partner, agreement, entries and kind
// of failure; before Start, and after stop, nobody is told anything.
func TestSpans(t *testing.T) {
	told := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		told <- r.URL.Path + " " + string(b)
	}))
	defer collector.Close()
	begin := func(what string) {
		_, s := telemetry.Begin(context.Background(), what, "saltby.gov.uk", "northmoor.gov.uk/moves")
		s.End("refused", 12)
	}
	begin("too/early")
	stop, err := telemetry.Start(t.Context(), collector.URL+"/v1/traces", "northmoor.gov.uk", "v9")
	if err != nil {
		t.Fatal(err)
	}
	begin("page/send")
	stop()
	begin("too/late")
	got := <-told
	if !strings.HasPrefix(got, "/v1/traces ") {
		t.Errorf("told at %q", strings.Fields(got)[0])
	}
	for _, want := range []string{"page/send", "stile.partner", "saltby.gov.uk", "northmoor.gov.uk/moves", "stile.entries", "refused", "service.instance.id"} {
		if !strings.Contains(got, want) {
			t.Errorf("the collector was not told %q", want)
		}
	}
	if len(told) > 0 || strings.Contains(got, "too/") {
		t.Error("more was told")
	}
}
