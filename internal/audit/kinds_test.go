package audit

import (
	"errors"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
)

// TestEveryKind: each kind of event is read, so that an empty body of it is a fault,
// or is listed as not audited with a reason; never both, and none is forgotten.
func TestEveryKind(t *testing.T) {
	for _, k := range event.Kinds() {
		_, err := readSaid(&record.Event{Council: northmoor, Kind: k, Body: map[string]any{}})
		why, listed := unaudited[k]
		switch {
		case err == nil && !listed:
			t.Errorf("%s is not audited, and no reason is given", k)
		case err != nil && listed:
			t.Errorf("%s is audited, and listed as not: %v", k, err)
		case listed && why == "":
			t.Errorf("%s is listed without a reason", k)
		}
	}
	for k := range unaudited {
		if !slices.Contains(event.Kinds(), k) {
			t.Errorf("%s is listed and is no kind of event", k)
		}
	}
	if _, err := readSaid(&record.Event{Council: northmoor, Kind: event.KindFootprintDisclosure, Body: map[string]any{}}); !errors.Is(err, event.ErrBody) {
		t.Errorf("a footprint's disclosure that says nothing: %v", err)
	}
}
