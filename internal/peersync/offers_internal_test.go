package peersync

import (
	"bytes"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// TestWithdrawnOnce: what a footprint did not take is begun once more, and within a second a
// withdrawal would be signed in the same words. It stands in the log once; a later one is
// another.
func TestWithdrawnOnce(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	now := func() time.Time { return at }
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Options{InMemory: true, Council: "northmoor.gov.uk", Keys: ring, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &contributor{s: &Syncer{o: Options{Ledger: l, Now: now}}}
	f := &ledger.Feed{Agreement: "northmoor.gov.uk/tools", Version: 2}
	take := func(r byte) (uint64, []byte) {
		t.Helper()
		at, jws, err := c.withdrawal(t.Context(), f, name.Record(bytes.Repeat([]byte{r}, 26)), WithdrawnFields, 7)
		if err != nil {
			t.Fatal(err)
		}
		return at, jws
	}
	first, signed := take('a')
	if other, _ := take('b'); other == first {
		t.Error("two records have one withdrawal")
	}
	if again, same := take('a'); again != first || !bytes.Equal(same, signed) {
		t.Errorf("within a second it is entry %d again, want %d", again, first)
	}
	at = at.Add(time.Second)
	if later, _ := take('a'); later == first {
		t.Error("a second later it is not signed anew")
	}
}
