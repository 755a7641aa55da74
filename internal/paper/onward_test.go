package paper

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/name"
)

// The printed agreement says in words what may be passed on: nothing, unless the text says so.
func TestOnwardIsPrinted(t *testing.T) {
	text := func(a *agreement.Agreement) string {
		var b strings.Builder
		for _, bl := range Write(a, nil, Evidence{}).Blocks {
			b.WriteString(bl.Text + "\n")
		}
		return b.String()
	}
	a := &agreement.Agreement{Name: "saltby.gov.uk/on", Version: 1, From: "saltby.gov.uk", To: []name.Council{"castlebridge.gov.uk"}, Mode: agreement.Replicate, Fields: []name.Field{"/status", "/nino"}}
	if got := text(a); !strings.Contains(got, "What a receiver may pass on: nothing of it: onward sharing is forbidden") {
		t.Errorf("without the heading:\n%s", got)
	}
	a.Origin = "northmoor.gov.uk/people"
	a.Onward = agreement.Onward{To: []agreement.Reach{"any regulator"}, Fields: []name.Field{"/status", "/nino"}}
	for _, want := range []string{"What a receiver may pass on: to any regulator", "What travels: records that saltby.gov.uk itself holds under northmoor.gov.uk/people", "Fields that may be passed on at most"} {
		if got := text(a); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	filled := Fill(Write(a, nil, Evidence{}))
	if filled.Texts["onward/to"] != "any regulator" || filled.Texts["origin"] != "northmoor.gov.uk/people" || filled.Texts["onward/fields"] != "/status\n/nino" {
		t.Errorf("read back: %v", filled.Texts)
	}
}
