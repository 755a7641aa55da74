package schemas_test

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// An agreement that a shipped standard offers can be signed as it is, and a reviewer has
// nothing to ask. Compliance statements have one.
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
		again, err := standard.LoadArchive(std.Archive())
		if err != nil || string(again.Agreement()) != string(std.Agreement()) {
			t.Errorf("%s: its archive holds another agreement: %v", n, err)
		}
	}
	if !offered["compliance-statement/1.0.0"] {
		t.Error("compliance-statement offers no agreement")
	}
}
