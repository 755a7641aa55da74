package agreement_test

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
)

// A filter answers yes, no, or that it cannot tell; one that an agreement could
// not hold is refused.
func TestFilter(t *testing.T) {
	f, err := agreement.ParseFilter(`record.status == "open" && record.count > 2`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		record      map[string]any
		match, sure bool
	}{
		{map[string]any{"status": "open", "count": 3.0}, true, true},
		{map[string]any{"status": "shut", "count": 3.0}, false, true},
		{map[string]any{"status": "open"}, false, false},
		{map[string]any{"status": "open", "count": "x"}, false, false},
	} {
		if match, sure := f.Match(c.record); match != c.match || sure != c.sure {
			t.Errorf("%v: %v, %v", c.record, match, sure)
		}
	}
	for text, want := range map[string]string{
		`record.status`:                 "true or false",
		`record.`:                       "column",
		`record.a.replace("a","b")==""`: "replace",
		`"a" + "b"`:                     "true or false",
	} {
		if _, err := agreement.ParseFilter(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
