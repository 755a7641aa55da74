package footprint

import (
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// inspectPage is how many entries are looked at before applying gets its turn.
const inspectPage = 200

// inspect looks, behind applying, at what applying cannot decide: whether each
// record obeys its standard's schema. The leader asked that before it proposed
// the record. One that breaks it all the same was signed by its contributor and
// let in by a leader that did not ask, and is evidence; it stays in the ledger,
// since members must not differ about what is in it.
func (f *Footprint) inspect() {
	at := f.fsm.current().Checkpoint().Size
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.inspects:
		}
		for f.ctx.Err() == nil {
			next, err := f.inspectFrom(at)
			if err != nil {
				if !errors.Is(err, ledger.ErrClosed) {
					f.o.Log.Error("looking at what was let in", "footprint", f.o.Name, "error", err.Error())
				}
				break
			}
			if next == at {
				break
			}
			at = next
		}
	}
}

func (f *Footprint) inspectFrom(at uint64) (next uint64, err error) {
	next = at
	var found []Evidence
	err = f.Entries(at, func(e *Held) bool {
		next = e.Index + 1
		if e.View == nil || e.View.Op != record.Put {
			return next < at+inspectPage
		}
		std, err := f.standard(e.View.Standard)
		if err != nil {
			return next < at+inspectPage // adopted, or it would not be in
		}
		if bad := std.ValidateVisible(e.View.Body); len(bad) > 0 {
			found = append(found, Evidence{
				Council: e.View.Council, At: f.o.Now().Unix(), Signed: []string{signedPart(e.Token.Bytes())},
				What: fmt.Sprintf("signed entry %d, which breaks its standard: %s at %q", e.Index, bad[0].Rule, bad[0].Pointer),
			})
		}
		return next < at+inspectPage
	})
	for _, e := range found {
		f.keepEvidence(e)
	}
	return next, err
}
