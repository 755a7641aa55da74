package schemas_test

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// An agreement that a shipped standard offers can be signed as it is, a reviewer has nothing
// to ask, and all fields travel that have to: what is counted is open. Compliance statements
// and exchange cases have one.
func TestOfferedAgreements(t *testing.T) {
	offered := map[string]bool{}
	for _, n := range schemas.Names() {
		std, err := standard.Load(schemas.FS(n))
		if err != nil {
			t.Fatal(err)
		}
		if std.Agreement() == nil {
			continue
		}
		offered[n] = true
		a, err := agreement.Parse(std.Agreement())
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		for _, f := range a.Lint(std, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
			if f.Severity != standard.SeverityNote {
				t.Errorf("%s: %s %s: %s", n, f.Pointer, f.Rule, f.Detail)
			}
		}
		if classes := std.Manifest().Classes; len(a.Fields) != len(classes) {
			t.Errorf("%s: %d of its %d fields travel", n, len(a.Fields), len(classes))
		}
		again, err := standard.LoadArchive(std.Archive())
		if err != nil || string(again.Agreement()) != string(std.Agreement()) {
			t.Errorf("%s: its archive holds another agreement: %v", n, err)
		}
	}
	for _, n := range []string{"compliance-statement/1.0.0", "exchange-case/1.0.1", "exchange-case/1.1.0"} {
		if !offered[n] {
			t.Errorf("%s offers no agreement", n)
		}
	}
	if offered["exchange-case/1.0.0"] {
		t.Error("exchange-case 1.0.0 is not what it was when it was published")
	}
}
