package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Page is part of a feed, with what proves it.
type Page struct {
	Items      []PageItem
	Since      uint64 // the cursor it was read from
	Cursor     uint64 // where the next page starts
	Live       bool   // there was no more when the page was read
	Records    int    // live records in the feed
	Checkpoint tlog.Checkpoint
	Note       []byte      // signed checkpoint
	Inclusion  []tlog.Hash // tlog batch proof of every item at Checkpoint
	Damaged    []uint64    // entries left out because they are damaged on disk
	Suspended  bool        // it holds withdrawals alone
	Most       bool        // it ends where the agreement's bound does, see [agreement.Most]
}

// A PageItem is one entry of a page.
type PageItem struct {
	Index uint64
	Token []byte // a record token with the agreed disclosures, or an event

	// Of a record: all of it, and its version of its standard. They do not leave; the
	// second opinion is formed by them.
	Whole    map[string]any
	Standard *standard.Standard

	// Passed is the record of another council that goes on with the event in Token; nil for
	// anything else. Of it Whole is what we hold.
	Passed *record.Token
	by     string // names the proof by which it goes on

	built *record.Token // what Token was made as, if it was
}

// Record returns the token of an item that is a record.
func (it *PageItem) Record() (*record.Token, error) {
	if it.Passed != nil {
		return it.Passed, nil
	}
	if it.built != nil {
		return it.built, nil
	}
	return record.Parse(it.Token)
}

// IsRecord tells a record from an event.
func (it *PageItem) IsRecord() bool { return it.Passed != nil || bytes.IndexByte(it.Token, '~') >= 0 }

// shown is the token of the record that leaves.
func (it *PageItem) shown() []byte {
	if it.Passed != nil {
		return it.Passed.Bytes()
	}
	return it.Token
}

// Limits of a page, so that it fits one message and one commit of the partner.
const (
	MaxPageItems = 1000
	MaxPageBytes = 2 << 20 // of tokens; one that is longer makes a page of its own
)

// signatureRoom is how much longer SignTokens makes a token.
const signatureRoom = 86

// itemRoom is what an entry takes in a message besides its bytes.
const itemRoom = 24

// Page reads a feed from a cursor on.
func (l *Ledger) Page(f *Feed, cursor uint64) (*Page, error) {
	return l.page(f, "", cursor, span{most: MaxPageBytes})
}

// PageOf is Page for one receiver, that takes so many bytes at once, proofs included. An entry that
// is longer makes a page of its own. No other reads a feed of an agreement that bounds how
// much goes to each.
func (l *Ledger) PageOf(f *Feed, to name.Council, cursor uint64, bytes int) (*Page, error) {
	return l.page(f, to, cursor, span{most: min(bytes, MaxPageBytes)})
}

// PageBelow is PageOf for what stands before an index of the log: a page that has no more
// of it has that index as its cursor, and is not live.
func (l *Ledger) PageBelow(f *Feed, to name.Council, cursor, below uint64, bytes int) (*Page, error) {
	return l.page(f, to, cursor, span{most: min(bytes, MaxPageBytes), below: below})
}

// PageAhead is PageOf for what goes ahead of the rest of a feed: from a cursor on that the
// log had come to when the feed had been opened. It is read though records of before are
// still being matched, and the page is not live.
func (l *Ledger) PageAhead(f *Feed, to name.Council, cursor uint64, bytes int) (*Page, error) {
	return l.page(f, to, cursor, span{most: min(bytes, MaxPageBytes), ahead: true})
}

// Withdrawals reads the withdrawals of a feed from a cursor on, which travel while
// its agreement is suspended and nothing else does.
func (l *Ledger) Withdrawals(f *Feed, cursor uint64) (*Page, error) {
	return l.page(f, "", cursor, span{most: MaxPageBytes, withdrawals: true})
}

// A span says what of a feed a page is read of, from its cursor on.
type span struct {
	most        int    // bytes
	below       uint64 // entries before this one; 0 for all
	ahead       bool   // from where nothing is still to be matched
	withdrawals bool   // withdrawals alone
}

func (l *Ledger) page(f *Feed, to name.Council, cursor uint64, of span) (p *Page, err error) {
	err = l.View(func(v *View) error {
		p, err = v.page(f, to, cursor, of)
		return err
	})
	return p, err
}

func (v *View) page(f *Feed, to name.Council, cursor uint64, of span) (*Page, error) {
	l, most, withdrawals := v.l, of.most, of.withdrawals
	if !f.copied() {
		return nil, fmt.Errorf("read feed of %s: records are not copied under it: %w", f.Agreement, ErrNotFound)
	}
	p := &Page{Since: cursor, Suspended: withdrawals}
	if f.onward() {
		f = l.Feeds()[f.number] // under which agreements it passes on may have changed since
	}
	err := func() error {
		p.Checkpoint, p.Note = v.Checkpoint()
		room := signatureRoom
		if most < MaxPageBytes {
			// Below the most that a page ever has, its proofs are reckoned with: those that the checkpoint
			// extends another, and a path of hashes for each entry.
			path := bits.Len64(p.Checkpoint.Size) * tlog.HashSize
			most, room = most-len(p.Note)-2*path, room+path+itemRoom
		}
		type want struct {
			index uint64
			kind  byte
			raw   []byte
			leaf  tlog.Hash
			held  []byte // of what is passed on
			item  PageItem
			err   error
		}
		var wants []*want
		it := v.list(numKey4('f', f.number))
		defer it.Close()
		size := 0
		p.Live = true
		p.Cursor = max(cursor, p.Checkpoint.Size)
		// While records are still being matched nothing is read beyond what is: see
		// matching.go. That brings no withdrawals, so those are all there.
		horizon, err := v.horizon(f)
		if err != nil {
			return err
		}
		if withdrawals || of.ahead {
			horizon = math.MaxUint64
		}
		if of.below > 0 {
			horizon = min(horizon, of.below)
		}
		if horizon != math.MaxUint64 {
			p.Live, p.Cursor = false, max(cursor, horizon)
		}
		var bound *headroom
		if !withdrawals {
			if bound, err = v.roomFor(f, to); err != nil {
				return err
			}
		}
		for it.Seek(feedItemKey(f.number, cursor)); it.Valid(); it.Next() {
			index := indexAtEnd(it)
			if index >= horizon {
				break
			}
			if len(wants) == MaxPageItems || len(wants) > 0 && size >= most {
				p.Live, p.Cursor = false, index
				break
			}
			val, err := it.Item().ValueCopy(nil)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrStorage, err)
			}
			kind, rec, err := decodeItem(val)
			if err != nil {
				return err
			}
			if withdrawals && kind != itemWithdraw {
				continue
			}
			if kind == itemPut && f.onward() && f.passing == nil {
				continue // it is being taken back
			}
			w := &want{index: index, kind: kind}
			if kind == itemPut {
				if takes, err := bound.takes(rec); err != nil {
					return err
				} else if !takes {
					p.Live, p.Cursor, p.Most = false, index, true
					break
				}
				// As the filter below: asked of the decision, not of what is stored beside it.
				if lets, err := f.lets(v.value, rec); err != nil {
					return err
				} else if !lets {
					w.err = fmt.Errorf("entry %d: %w: nobody let it out", index, ErrDamaged)
				}
			}
			if w.err == nil {
				w.raw, w.err = v.raw(index)
			}
			if w.err == nil {
				w.leaf, w.err = v.leaf(index)
			}
			if w.err == nil && kind == itemPut && f.onward() {
				w.held, w.err = v.heldToPass(f, rec)
				if errors.Is(w.err, ErrNotFound) {
					continue // erased since: its withdrawal stands further on
				}
			}
			if errors.Is(w.err, ErrStorage) {
				return w.err
			}
			size += 2 * (len(w.raw) + len(w.held)) // what the token grows to
			wants = append(wants, w)
		}
		onAllCores(len(wants), 16, func(i int) {
			if w := wants[i]; w.err == nil {
				w.item, w.err = l.present(f, w.index, w.kind, w.raw, w.leaf)
				if w.err == nil && w.held != nil {
					if w.item, w.err = l.passedItem(f, w.item, w.held); w.err != nil {
						w.err = fmt.Errorf("entry %d: %w", w.index, w.err)
					}
				}
			}
		})
		// A record of many small fields grows by more than was reckoned with
		// above. What goes beyond the limit is left to the next page.
		size = 0
		for i, w := range wants {
			if size += len(w.item.Token) + w.item.passedLen() + room; i > 0 && size > most {
				p.Live, p.Cursor, p.Most, wants = false, w.index, false, wants[:i]
				break
			}
		}
		var indices []uint64
		for _, w := range wants {
			if errors.Is(w.err, errNotPassed) {
				continue
			}
			if w.err != nil {
				l.o.Log.Error("entry left out of an exchange", "agreement", f.Agreement, "error", w.err.Error())
				p.Damaged = append(p.Damaged, w.index)
				continue
			}
			p.Items = append(p.Items, w.item)
			indices = append(indices, w.index)
		}
		l.noteEntries(p.Damaged, func(e *DamagedEntry) { e.Passed = true })
		p.Live = p.Live && !of.ahead
		p.Records = f.Records
		if b, err := v.value(numKey4('g', f.number)); err == nil {
			p.Records = f.withCounters(b).Records
		}
		if len(indices) == 0 {
			return nil
		}
		p.Inclusion, err = tlog.ProveBatch(v, indices, p.Checkpoint.Size)
		return err
	}()
	if err != nil {
		return nil, fmt.Errorf("read feed of %s: %w", f.Agreement, err)
	}
	return p, nil
}

// present returns an entry as the feed lets it out.
func (l *Ledger) present(f *Feed, index uint64, kind byte, raw []byte, leaf tlog.Hash) (PageItem, error) {
	if kind != itemPut || f.onward() {
		if raw[0] != kindEvent {
			return PageItem{}, fmt.Errorf("entry %d: %w: is not an event", index, ErrDamaged)
		}
		if _, _, err := checkEvent(raw[1:], leaf); err != nil {
			return PageItem{}, fmt.Errorf("entry %d: %w", index, err)
		}
		return PageItem{Index: index, Token: raw[1:]}, nil
	}
	if f.terms == nil {
		return PageItem{}, fmt.Errorf("entry %d: %w: a record in a notices feed", index, ErrDamaged)
	}
	// The index said that it matched. Ask the filter again: what leaves is
	// decided by the agreement, not by what is stored beside it.
	ver, err := l.rebuildPart(index, raw, leaf, func(ver *Version) (keeper, error) {
		terms := f.termsFor(ver.Standard)
		if terms == nil || !terms.Match(ver.Body) {
			return nil, fmt.Errorf("%w: stands in a feed it does not match", ErrDamaged)
		}
		return terms.Keep, nil
	})
	if err != nil {
		return PageItem{}, err
	}
	return PageItem{Index: index, Token: ver.Token.Bytes(), Whole: ver.Body, Standard: ver.Standard, built: ver.Token}, nil
}

// ProveEntries returns the batch proof of entries, at ascending indexes, in the log at a
// size.
func (l *Ledger) ProveEntries(indexes []uint64, size uint64) (proof []tlog.Hash, err error) {
	err = l.View(func(v *View) error {
		proof, err = tlog.ProveBatch(v, indexes, size)
		return err
	})
	return proof, err
}

// Consistency proves that the log at a later size extends the log at an
// earlier one.
func (l *Ledger) Consistency(from, to uint64) (proof []tlog.Hash, err error) {
	err = l.View(func(v *View) error {
		proof, err = tlog.Consistency(v, from, to)
		return err
	})
	return proof, err
}
