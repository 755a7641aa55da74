package peersync_test

import (
	"fmt"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
)

// TestSignedTokens: a record travels without a signature, and with one, made then and
// kept, to who asks for it. Either way it is held as proved.
func TestSignedTokens(t *testing.T) {
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprint(signed), func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				const n = 1200 // more than a page
				a := terms(t, northmoor, "items", 1, nil, saltby)
				from := w.run(northmoor, a)
				w.signed = signed
				to := w.run(saltby, a)
				var many []map[string]any
				for i := range n {
					many = append(many, item(fmt.Sprintf("ref-%04d", i), "X"))
				}
				from.put(many...)
				w.await("all are held", func() bool { return to.holds(planning, n) })
				key, carry := w.rings[northmoor].Record.Public(), 0
				err := to.ledger.View(func(v *ledger.View) error {
					return v.Holdings(to.source(planning), 0, func(h *ledger.Holding, err error) bool {
						if err == nil && h.Token.Signed() {
							carry++
							err = h.Token.Verify(key)
						}
						if err != nil {
							t.Errorf("entry %d: %v", h.Index, err)
						}
						return true
					})
				})
				if err != nil {
					t.Fatal(err)
				}
				made := 0
				err = from.ledger.View(func(v *ledger.View) error { made = v.Signatures(); return nil })
				if want := map[bool]int{true: n}[signed]; err != nil || carry != want || made != want {
					t.Errorf("%d carry a signature and %d were made, want %d: %v", carry, made, want, err)
				}
			})
		})
	}
}
