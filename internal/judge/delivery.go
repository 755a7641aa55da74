package judge

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Page is what a sender answers to a cursor: the entries that follow it, and
// the proof that they stand in the log.
type Page struct {
	Told
	Inclusion []byte // of all items
	Items     []Item
	Table     []byte // that the records among them are read with; see [record.ReadTable]
	Cursor    uint64 // where the next page begins
	Offered   uint64 // records that the sender says there are
	Live      bool   // there is no more now
	// Withdrawals: the agreement is suspended, the page holds withdrawals alone, and
	// follows Source.WithdrawnTo.
	Withdrawals bool
	// Ahead: the page goes ahead of the copy, from AheadFrom on, which the pages of the copy
	// do not pass; 0 while nothing goes ahead.
	Ahead     bool
	AheadFrom uint64
}

// An Item is one entry of a page: an event, a compact JWS, or a record, packed.
type Item struct {
	Index         uint64
	Event, Record []byte
	// Former is what its sender says that the record was which it is, or takes back, at a
	// council that has ended; "" for nothing.
	Former name.Record
}

// Delivery decides about a page that follows a source's cursor. The result holds
// what may be kept and, for each item that may not, a refusal. An error refuses
// the page as a whole, or has it wait; it wraps [ErrLied] or [ErrWait], or is that
// of [Log.Extend], which is asked first: two heads are evidence whatever came with
// them.
func (c *Case) Delivery(ctx context.Context, src *ledger.Source, p Page) (*ledger.Delivery, error) {
	head, met, err := c.log.extends(ctx, p.Told)
	if err != nil {
		return nil, err
	}
	d, err := c.delivery(head, src, p)
	if err == nil {
		d.Met = met
		return d, nil
	}
	if met != nil {
		// What it came with is refused. The head is kept all the same.
		if err := c.log.meet(ctx, *met, p.By); err != nil {
			return nil, err
		}
	}
	return nil, err
}

func (c *Case) delivery(head *Head, src *ledger.Source, p Page) (*ledger.Delivery, error) {
	d := &ledger.Delivery{Cursor: p.Cursor, Live: p.Live, Offered: int(min(p.Offered, 1<<40)), Suspended: p.Withdrawals, Ahead: p.Ahead, AheadFrom: p.AheadFrom}
	if c.doc != nil {
		d.Most = c.doc.Most
	}
	d.Checkpoint = head.Checkpoint
	if p.Withdrawals && (c.doc == nil || slices.ContainsFunc(p.Items, func(it Item) bool { return len(it.Record) > 0 })) {
		return nil, fmt.Errorf("batch: %w: a record among withdrawals", ErrLied)
	}
	if err := c.ahead(src, d); err != nil {
		return nil, err
	}
	indexes, err := order(src.Wants(d), d.Checkpoint.Size, p)
	if err != nil {
		return nil, err
	}
	if len(p.Items) == 0 {
		return d, nil
	}
	found, err := c.each(head, src, p)
	if err != nil {
		return nil, err
	}
	entries := make([]tlog.Hash, len(found))
	for i := range found {
		entries[i] = found[i].leaf
	}
	if err := Proved(d.Checkpoint, entries, indexes, p.Inclusion); err != nil {
		return nil, err
	}
	return d, c.sort(src, d, p.Items, found)
}

// ahead checks what a page says of what goes ahead of a copy: that it is beyond the copy, and
// that nothing but what follows a copy in order is the end of it. A footprint's log is
// given in order, and so are notices.
func (c *Case) ahead(src *ledger.Source, d *ledger.Delivery) error {
	switch {
	case !d.Ahead && d.AheadFrom == 0:
		return nil
	case c.doc == nil || c.log.Shared() || d.Suspended || d.Live:
		return fmt.Errorf("batch: %w: of what goes in order, it goes ahead", ErrLied)
	case d.AheadFrom <= src.Cursor || d.AheadFrom > d.Checkpoint.Size:
		return fmt.Errorf("batch: %w: what goes ahead begins at %d", ErrLied, d.AheadFrom)
	case !d.Ahead && d.Cursor > d.AheadFrom:
		return fmt.Errorf("batch: %w: cursor %d is beyond what goes ahead", ErrLied, d.Cursor)
	}
	return nil
}

// order checks a page's bounds and that its items ascend from a cursor, within
// the log. It returns their indexes.
func order(from, size uint64, p Page) ([]uint64, error) {
	if len(p.Items) > ledger.MaxPageItems {
		return nil, fmt.Errorf("batch of %d items: %w: more than %d", len(p.Items), ErrLied, ledger.MaxPageItems)
	}
	indexes := make([]uint64, len(p.Items))
	at := from
	for i, it := range p.Items {
		if it.Index < at || it.Index >= size {
			return nil, fmt.Errorf("item %d of the batch: %w: entry %d is out of order", i, ErrLied, it.Index)
		}
		indexes[i], at = it.Index, it.Index+1
	}
	if p.Cursor < at || p.Cursor > size {
		return nil, fmt.Errorf("batch: %w: cursor %d", ErrLied, p.Cursor)
	}
	return indexes, nil
}

// A finding is what one item turned out to be.
type finding struct {
	Verdict
	final     bool      // it takes back what was passed on, since its own council did
	leaf      tlog.Hash // what stands in the log: of what is passed on, the event and not the record
	withdrawn name.Record
	packed    []byte    // a record that may be kept
	hash      tlog.Hash // of a record, as a member of what is permitted; zero where that is not counted
	err       error
}

// each decides about every item, on as many cores as there are.
func (c *Case) each(head *Head, src *ledger.Source, p Page) ([]finding, error) {
	items := p.Items
	var table *record.Table
	if slices.ContainsFunc(items, func(it Item) bool { return len(it.Record) > 0 }) {
		var err error
		if table, err = record.ReadTable(p.Table); err != nil {
			return nil, fmt.Errorf("batch: %w: table: %w", ErrLied, err)
		}
	}
	var passages map[uint64]*passage
	if c.onward() {
		var err error
		if passages, err = c.passages(src, items); err != nil {
			return nil, err
		}
	}
	found := make([]finding, len(items))
	var next, bytes atomic.Int64
	decide := func(i int) error {
		f, it := &found[i], items[i]
		if len(it.Record) == 0 {
			if err := fits(&bytes, len(it.Event), len(items)); err != nil {
				return err
			}
			var err error
			f.Verdict, f.withdrawn, err = c.Event(it.Index, it.Event)
			f.leaf = f.Entry
			if f.withdrawn != "" {
				w, _ := event.ParseTakenBack(f.Event.Kind, f.Event.Body)
				f.final = ledger.TakenBackForGood(w.Reason)
			}
			return err
		}
		t, err := table.Token(it.Record)
		if err != nil {
			return fmt.Errorf("%w: token: %w", ErrLied, err)
		}
		if err := fits(&bytes, len(t.Bytes()), len(items)); err != nil {
			return err
		}
		switch said := len(it.Event) > 0; {
		case said && !c.onward():
			return fmt.Errorf("%w: an item is an event and a record", ErrLied)
		case said:
			var word Verdict
			f.Verdict, word, err = c.passed(passages, it, t)
			f.leaf = word.Entry
		case c.onward():
			f.Token, f.Entry, f.leaf = t, t.Entry(), t.Entry()
			f.refuse(RuleOnwardOwn, "")
			return nil
		default:
			f.Verdict, err = c.Record(head, it.Index, t)
			f.leaf = f.Entry
		}
		if err == nil && f.Rule == "" {
			f.packed, err = record.PackAlone(t)
		}
		if c.counted() && f.View != nil {
			f.hash = f.permitted(it.Index)
		}
		return err
	}
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
			if found[i].err = decide(i); errors.Is(found[i].err, errPageBytes) {
				next.Store(int64(len(items))) // nothing more is read of it
			}
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(items)+7)/8) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	for i := range found {
		if found[i].err != nil {
			return nil, fmt.Errorf("entry %d: %w", items[i].Index, found[i].err)
		}
	}
	return found, nil
}

var errPageBytes = fmt.Errorf("%w: more than %d bytes of tokens in a batch", ErrLied, ledger.MaxPageBytes)

// fits counts the bytes of a token of a page. An honest page is cut so that one token,
// or all together, are within the limit; a longer one would not fit one commit.
func fits(all *atomic.Int64, token, items int) error {
	if all.Add(int64(token)) > ledger.MaxPageBytes && items > 1 {
		return errPageBytes
	}
	return nil
}

// counted reports whether what comes is counted, to be held against what its sender
// commits to: a council, or the members of a footprint.
func (c *Case) counted() bool { return c.doc != nil && !c.onward() }

// given reports whether a record that is refused counts all the same: an honest sender
// has it to give. Of a footprint that is not so of what an honest member finds overtaken;
// and of two councils' records with one id only one can be counted here.
func (c *Case) given(f *finding) bool {
	if !c.counted() || f.View == nil || !c.mayIssue(f.View.Council) {
		return false
	}
	return !c.log.Shared() || f.Rule != RuleOld && f.Rule != RuleOtherID
}

// permitted returns the hash of a record as a member of what is permitted.
func (f *finding) permitted(index uint64) tlog.Hash {
	return agreement.Permitted{
		Index: index, Record: f.View.Record, Version: f.View.Version, Entry: f.Entry, Fields: agreement.FieldsOf(f.View.Disclosed),
	}.Hash()
}

// byHand refuses what people have not let out, of an agreement in which records go by hand.
// The word of an urgent disclosure comes on another stream: it is waited for. withdrawn is
// the record that an event withdraws.
func (c *Case) byHand(f *finding, withdrawn name.Record) error {
	if c.doc == nil || !c.doc.Way().ByHand || f.Rule != "" {
		return nil
	}
	moves := c.doc.Way().Moves
	about := withdrawn
	if f.View != nil {
		about = f.View.Record
	}
	if about == "" {
		return nil
	}
	if c.j.o.Let == nil || c.log.Shared() {
		f.refuse(RuleByHand, "")
		return nil
	}
	known, travels, taken, err := c.j.o.Let(c.doc.Name, about, moves)
	switch {
	case err != nil:
		return err
	case withdrawn != "" && taken && f.Event.Kind != event.KindErasureOrder:
		f.refuse(RuleTaken, "")
	case withdrawn != "":
	case !known && !moves:
		return fmt.Errorf("%w: the word of who let record %s out has not come", ErrWait, about)
	case !travels:
		f.refuse(RuleByHand, "")
	}
	return nil
}

// word returns the event that a record which was passed on came with; nil for any other.
func (c *Case) word(it Item) []byte {
	if !c.onward() {
		return nil
	}
	return it.Event
}

// sort puts what was found where it belongs in a delivery.
func (c *Case) sort(src *ledger.Source, d *ledger.Delivery, items []Item, found []finding) error {
	seen := make(map[name.Record]name.Council, len(items))
	var term agreement.Term
	if c.doc != nil {
		term = c.doc.Term()
	}
	for i := range found {
		f, index := &found[i], items[i].Index
		about, by := f.withdrawn, c.from
		if err := c.byHand(f, about); err != nil {
			return err
		}
		switch {
		case f.Rule != "":
		case about != "" && c.log.Shared():
			by = f.Event.Council
			// The members of a footprint answer one at a time, and one may show
			// again what has been overtaken.
			switch last, err := c.j.o.Last(src, about); {
			case err != nil || !last.Held:
			case last.Council != by:
				f.refuse(RuleOtherID, "")
			case last.Index >= index:
				f.refuse(RuleOld, "")
			}
		case f.View != nil:
			about, by = f.View.Record, f.View.Council
			if err := c.follows(src, index, &f.Verdict); err != nil {
				return err
			}
		}
		if other, twice := seen[about]; about != "" && f.Rule == "" && twice {
			// A feed holds one item of a record: that of its newest state.
			if other == by {
				return fmt.Errorf("entry %d: %w: the batch has an item of the same record already", index, ErrLied)
			}
			f.refuse(RuleOtherID, "")
		}
		switch {
		case f.Rule != "":
			d.Refused = append(d.Refused, c.Refusal(index, f.Verdict))
			if c.given(f) {
				d.Given = append(d.Given, ledger.Given{Index: index, Record: f.View.Record, Hash: f.hash})
			}
			continue
		case f.View != nil:
			d.Puts = append(d.Puts, ledger.Put{Index: index, Record: about, Version: f.View.Version, Entry: f.Entry, Hash: f.hash, Token: f.packed, Term: term, Counted: term.Counted(f.View.Body), Passed: c.word(items[i]), Former: items[i].Former})
		case about != "":
			w := ledger.Withdrawal{Index: index, Record: about, Former: items[i].Former}
			if c.counted() {
				w.Event = items[i].Event
			}
			w.Final = c.onward() && f.final
			if f.Event != nil && f.Event.Kind == event.KindErasureOrder && f.Event.Council == src.From {
				w.Order = items[i].Event
			}
			d.Withdrawn = append(d.Withdrawn, w)
		default:
			d.Events = append(d.Events, ledger.PageItem{Index: index, Token: items[i].Event})
		}
		if about != "" {
			seen[about] = by
		}
	}
	return nil
}
