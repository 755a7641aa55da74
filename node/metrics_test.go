package node_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/stile-exchange/stile/node"
)

func fetch(t testing.TB, url string) (int, []byte) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, b
}

// watch scrapes a running node whose configuration has metrics_listen. It checks
// that the answer is as Prometheus wants it and holds none of the secrets, and
// returns the values by "name{labels in order}".
func watch(t testing.TB, n *node.Node, secrets ...string) map[string]float64 {
	t.Helper()
	at, err := n.Watched(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/livez": "alive\n", "/readyz": "ready\n"} {
		if code, b := fetch(t, at+path); code != http.StatusOK || string(b) != want {
			t.Errorf("%s: %d %s", path, code, b)
		}
	}
	if code, _ := fetch(t, at+"/directory/1.root.json"); code != http.StatusNotFound {
		t.Errorf("the directory is served where the monitoring is: %d", code)
	}
	code, b := fetch(t, at+"/metrics")
	if os.Getenv("STILE_TEST_LOG") != "" {
		t.Logf("%s", b)
	}
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", code, b)
	}
	for _, s := range secrets {
		if bytes.Contains(b, []byte(s)) {
			t.Errorf("/metrics holds %q", s)
		}
	}
	problems, err := promlint.New(bytes.NewReader(b)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("../config/packaging/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manual = append(manual, alerts...)
	told := map[string]bool{}
	for _, f := range regexp.MustCompile(`stile_[a-z_]*[a-z]`).FindAllString(string(manual), -1) {
		told[f] = true
		// A council that has one machine has no figures of several.
		if families[strings.TrimSuffix(f, "_bucket")] == nil && !strings.HasPrefix(f, "stile_machine_") {
			t.Errorf("docs/operating.md, or alerts.yaml, speaks of %s, which there is not", f)
		}
	}
	for f := range families {
		if strings.HasPrefix(f, "stile_") && !told[f] {
			t.Errorf("docs/operating.md does not speak of %s", f)
		}
	}
	out := map[string]float64{}
	for name, f := range families {
		if strings.HasPrefix(name, "stile_") && f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if h := m.GetHistogram(); h != nil {
				v = float64(h.GetSampleCount())
			}
			out[name+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return out
}
