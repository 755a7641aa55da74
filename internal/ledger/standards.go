package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// knownStandard is an adopted standard and the number entries name it by.
type knownStandard struct {
	number    uint32
	name      name.Standard
	integrity string
	std       *standard.Standard
	waived    []string

	once  sync.Once
	where *measure.Places // see places
}

// standardTable is guarded by Ledger.mu; its slices are replaced, not changed.
type standardTable struct {
	list []*knownStandard // by number
	keys []string         // record key ids by number
	key  uint32           // number of the key that signs now; set before the writer starts
	gen  int              // grows with every feed opened or closed
}

func (l *Ledger) loadStandards(txn *badger.Txn) error {
	return walk(txn, []byte("n"), func(key, value []byte) error {
		nm, rest, _ := strings.Cut(string(value), " ")
		integrity, waived, _ := strings.Cut(rest, " ")
		archive, err := valueOf(txn, append([]byte("N"), nm...))
		if err != nil {
			return fmt.Errorf("read standard %q: %w", nm, err)
		}
		std, err := standard.LoadArchive(archive)
		if err != nil {
			return fmt.Errorf("read standard %q: %w: %w", nm, ErrDamaged, err)
		}
		if std.Name().String() != nm || std.Integrity() != integrity {
			return fmt.Errorf("read standard %q: %w: archive is another standard's", nm, ErrDamaged)
		}
		l.standards.list = append(l.standards.list, &knownStandard{
			number: binary.BigEndian.Uint32(key[1:]), name: std.Name(), integrity: integrity, std: std, waived: strings.Fields(waived),
		})
		return nil
	})
}

// loadKeyIDs reads which record keys there were.
func (l *Ledger) loadKeyIDs(txn *badger.Txn) error {
	l.standards.keys = nil
	return walk(txn, []byte("K"), func(_, value []byte) error {
		l.standards.keys = append(l.standards.keys, string(value))
		return nil
	})
}

// loadKeys finds the number of the record key, giving it one when it is new.
func (l *Ledger) loadKeys(txn *badger.Txn) error {
	if err := l.loadKeyIDs(txn); err != nil {
		return err
	}
	if i := slices.Index(l.standards.keys, l.key); i >= 0 {
		l.standards.key = uint32(i)
		return nil
	}
	l.standards.key = uint32(len(l.standards.keys))
	l.standards.keys = append(l.standards.keys, l.key)
	if err := l.store(l.tree, map[string][]byte{string(numKey4('K', l.standards.key)): []byte(l.key)}); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// walk calls f with each key and value under a prefix.
func walk(txn *badger.Txn, prefix []byte, f func(key, value []byte) error) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		v, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		if err := f(it.Item().KeyCopy(nil), v); err != nil {
			return err
		}
	}
	return nil
}

// Adopt takes a standard into use and logs that, with the names of the flaws
// that were waived. Adopting the same bytes again does nothing; other bytes under
// a version already adopted are ErrConflict.
func (l *Ledger) Adopt(ctx context.Context, std *standard.Standard, waived ...string) error {
	return l.do(ctx, true, func(t *tx) error {
		list := l.standardList()
		for _, s := range list {
			if s.name == std.Name() {
				if s.integrity != std.Integrity() {
					return fmt.Errorf("adopt %s: %w: this version was adopted with another schema (%s)", s.name, ErrConflict, s.integrity)
				}
				return nil
			}
		}
		archive := std.Archive()
		if len(archive) > 4<<20 {
			return fmt.Errorf("adopt %s: archive has %d bytes, more than 4 MiB", std.Name(), len(archive))
		}
		k := &knownStandard{number: uint32(len(list)), name: std.Name(), integrity: std.Integrity(), std: std, waived: waived}
		t.set(append([]byte("N"), k.name.String()...), archive)
		t.set(numKey4('n', k.number), []byte(strings.Join(append([]string{k.name.String(), k.integrity}, waived...), " ")))
		t.event(event.KindStandardAdopted, event.StandardAdopted{Standard: k.name, Integrity: k.integrity, Waived: waived}.Body())
		t.after = append(t.after, func() {
			l.standards.list = append(slices.Clone(l.standards.list), k)
		})
		return nil
	})
}

// Waived returns the names of the flaws that were waived when a standard was
// adopted.
func (l *Ledger) Waived(n name.Standard) []string {
	k, err := l.known(n)
	if err != nil {
		return nil
	}
	return slices.Clone(k.waived)
}

// Standards returns the adopted standards, by name and version.
func (l *Ledger) Standards() []*standard.Standard {
	var out []*standard.Standard
	for _, s := range l.standardList() {
		out = append(out, s.std)
	}
	slices.SortFunc(out, func(a, b *standard.Standard) int {
		if c := strings.Compare(string(a.Name().Name), string(b.Name().Name)); c != 0 {
			return c
		}
		return a.Name().Version.Compare(b.Name().Version)
	})
	return out
}

// Standard returns an adopted standard, or ErrNotFound.
func (l *Ledger) Standard(n name.Standard) (*standard.Standard, error) {
	k, err := l.known(n)
	if err != nil {
		return nil, err
	}
	return k.std, nil
}

// StandardOf returns the newest adopted version of a line, or ErrNotFound.
func (l *Ledger) StandardOf(line name.StandardLine) (*standard.Standard, error) {
	var best *standard.Standard
	for _, s := range l.standardList() {
		if s.name.Line() == line && (best == nil || best.Name().Version.Compare(s.name.Version) < 0) {
			best = s.std
		}
	}
	if best == nil {
		return nil, fmt.Errorf("standard %s is not adopted here: %w", line, ErrNotFound)
	}
	return best, nil
}

func (l *Ledger) standardList() []*knownStandard {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.standards.list
}

func (l *Ledger) known(n name.Standard) (*knownStandard, error) {
	for _, s := range l.standardList() {
		if s.name == n {
			return s, nil
		}
	}
	return nil, fmt.Errorf("standard %s is not adopted here: %w", n, ErrNotFound)
}

func (l *Ledger) standardNumbers(n name.StandardName) (out []uint32) {
	for _, s := range l.standardList() {
		if s.name.Name == n {
			out = append(out, s.number)
		}
	}
	return out
}

// tables returns the standard and key id that an entry names by number.
func (l *Ledger) tables(std, key uint32) (*knownStandard, string, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if int(std) >= len(l.standards.list) || int(key) >= len(l.standards.keys) {
		return nil, "", fmt.Errorf("names standard %d and key %d, which are not there", std, key)
	}
	return l.standards.list[std], l.standards.keys[key], nil
}

// A Held is an offer the gate did not take, kept until the same reference is
// offered again and taken, or somebody discards it.
type Held struct {
	Standard  name.Standard      `json:"standard"`
	Reference string             `json:"reference"` // the sender's own
	At        int64              `json:"at"`        // unix seconds
	Problems  []standard.Problem `json:"problems"`
	Offered   []byte             `json:"offered,omitempty"` // the bytes as offered; stays in this node
}

// Hold keeps refused offers and drops those whose reference was taken since.
func (l *Ledger) Hold(ctx context.Context, std name.Standard, held []Held, taken []string) error {
	if len(held)+len(taken) == 0 {
		return nil
	}
	k, err := l.known(std)
	if err != nil {
		return err
	}
	return l.do(ctx, false, func(t *tx) error {
		some, err := t.holdsSome(k.number)
		if err != nil {
			return err
		}
		for _, ref := range taken {
			if !some {
				break
			}
			key := heldKey(k.number, ref)
			if was, err := t.lookup(key); err == nil && len(was) > 0 {
				if err := t.purge(key); err != nil {
					return err
				}
			}
		}
		for _, h := range held {
			b, err := marshal(h)
			if err != nil {
				return err
			}
			t.set(heldKey(k.number, h.Reference), b)
			t.l.w.held[k.number] = true
		}
		return nil
	})
}

// holdsSome reports whether offers in a standard may be held back. Once there was one it
// says so until the ledger is opened again: an import into a standard of which
// nothing was ever held looks for none.
func (t *tx) holdsSome(std uint32) (bool, error) {
	w := &t.l.w
	if some, known := w.held[std]; known {
		return some, nil
	}
	if w.held == nil {
		w.held = map[uint32]bool{}
	}
	err := t.l.db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues, o.Prefix = false, numKey4('x', std)
		it := txn.NewIterator(o)
		defer it.Close()
		it.Rewind()
		w.held[std] = it.Valid()
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return w.held[std], nil
}

func heldKey(std uint32, reference string) []byte {
	if len(reference) > 256 { // somebody else's text: keep the key short
		reference = reference[:256]
	}
	return append(numKey4('x', std), reference...)
}

// Held calls f with the offers held back, by standard and reference, until f
// returns false.
func (v *View) Held(f func(Held) bool) error {
	err := v.walk([]byte("x"), func(_, value []byte) error {
		if len(value) == 0 { // gone, and to leave the disk
			return nil
		}
		var h Held
		if err := unmarshal(value, &h); err != nil {
			return err
		}
		if !f(h) {
			return errStopWalk
		}
		return nil
	})
	if err == errStopWalk {
		return nil
	}
	return err
}

// HeldCount returns how many offers are held back.
func (v *View) HeldCount() int { return v.countHeld([]byte("x")) }

func (v *View) countHeld(prefix []byte) (n int) {
	it := v.list(prefix, keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if it.Item().ValueSize() > 0 {
			n++
		}
	}
	return n
}

// EraseHeld takes offers that were held back out of the store and its files: those that
// which says are to go. It returns how many.
func (l *Ledger) EraseHeld(ctx context.Context, which func(Held) bool) (n int, err error) {
	var keys [][]byte
	err = l.View(func(v *View) error {
		return v.walk([]byte("x"), func(key, value []byte) error {
			var h Held
			if len(value) == 0 {
				return nil
			}
			if err := unmarshal(value, &h); err != nil {
				return err
			}
			if which(h) {
				keys = append(keys, key)
			}
			return nil
		})
	})
	for chunk := range slices.Chunk(keys, 1000) {
		err = errors.Join(err, l.do(ctx, false, func(t *tx) error {
			for _, k := range chunk {
				if err := t.purge(k); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	if err == nil {
		err = l.Purge(ctx)
	}
	return len(keys), err
}

func (l *Ledger) numbersOf(line name.StandardLine) (out []uint32) {
	for _, s := range l.standardList() {
		if s.name.Line() == line {
			out = append(out, s.number)
		}
	}
	return out
}
