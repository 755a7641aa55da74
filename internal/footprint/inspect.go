package footprint

import (
	"errors"
	"fmt"
	"sync"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// An inspection is a record that was let in and is still to be looked at.
type inspection struct {
	index uint64
	view  *record.View
}

// inspectPage is how many entries are read from the replica at one time.
const inspectPage = 200

// inspect looks, behind applying, at what applying cannot decide: whether each
// record obeys its standard's schema. The leader asked that before it proposed
// the record. One that breaks it all the same was signed by its contributor and
// let in by a leader that did not ask, and is evidence; it stays in the ledger,
// since members must not differ about what is in it.
func (f *Footprint) inspect() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case batch := <-f.inspections:
			for _, i := range batch {
				f.inspectRecord(i)
			}
			continue
		case <-f.missed.wake:
		}
		from, to := f.missed.drain()
		for at := from; at < to && f.ctx.Err() == nil; {
			next, err := f.inspectFrom(at, to)
			if err != nil {
				if !errors.Is(err, ledger.ErrClosed) {
					f.o.Log.Error("looking at what was let in", "footprint", f.o.Name, "error", err.Error())
				}
				break
			}
			at = next
		}
	}
}

// later hands on what was applied; what there is no room for is read again from
// the replica when there is time.
func (f *Footprint) later(batch []inspection) {
	if len(batch) == 0 {
		return
	}
	select {
	case f.inspections <- batch:
	default:
		f.missed.add(batch[0].index, batch[len(batch)-1].index+1)
	}
}

func (f *Footprint) inspectRecord(i inspection) {
	if i.view.Op != record.Put {
		return
	}
	std, err := f.standard(i.view.Standard)
	if err != nil {
		return // it is adopted, or the record would not be in
	}
	if bad := std.ValidateVisible(i.view.Body); len(bad) > 0 {
		f.keepEvidence(Evidence{
			Council: i.view.Council, At: f.o.Now().Unix(), Signed: f.signedAt(i.index),
			What: fmt.Sprintf("signed entry %d, which breaks its standard: %s at %q", i.index, bad[0].Rule, bad[0].Pointer),
		})
	}
}

// signedAt returns what a council signed that stands at an index, none when it was
// withdrawn since.
func (f *Footprint) signedAt(index uint64) (out []string) {
	err := f.Entries(index, func(h *Held) bool {
		if h.Erased {
			return false
		}
		t, err := f.Sealed(h, h.Token)
		if err != nil {
			f.o.Log.Error("proving who signed an entry", "footprint", f.o.Name, "entry", index, "error", err.Error())
			return false
		}
		out = []string{signedPart(t.Bytes())}
		return false
	})
	if err != nil {
		f.o.Log.Error("reading what was let in", "footprint", f.o.Name, "entry", index, "error", err.Error())
	}
	return out
}

func (f *Footprint) inspectFrom(at, to uint64) (next uint64, err error) {
	var page []inspection
	next = to
	err = f.Entries(at, func(e *Held) bool {
		if e.Index >= to {
			return false
		}
		next = e.Index + 1
		if e.View != nil {
			page = append(page, inspection{e.Index, e.View})
		}
		return next < at+inspectPage
	})
	for _, i := range page {
		f.inspectRecord(i)
	}
	return next, err
}

// A missed is a range of the log that is still to be looked at.
type missed struct {
	wake chan struct{}

	mu       sync.Mutex // guards what follows
	from, to uint64
}

func (m *missed) add(from, to uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to == 0 {
		m.from = from
	}
	m.from, m.to = min(m.from, from), max(m.to, to)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *missed) drain() (from, to uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = m.from, m.to
	m.from, m.to = 0, 0
	return from, to
}
