package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A View reads the ledger as it stood at one commit. It is good until the
// function it was handed to returns, and for one goroutine.
type View struct {
	l    *Ledger
	txn  *badger.Txn
	cp   tlog.Checkpoint
	note []byte

	forgotten uint64 // see blockCache
	err       error  // of a list; see View.list
}

// View calls f with the ledger as it stands now. It returns f's error; when f has none, an error
// wrapping ErrDamaged if a list that f walked could not be read as a whole.
func (l *Ledger) View(f func(*View) error) error {
	// The lock cannot be had only when Close has it or waits for it.
	if !l.viewing.TryRLock() {
		return ErrClosed
	}
	defer l.viewing.RUnlock()
	select {
	case <-l.closed:
		return ErrClosed
	default:
	}
	forgotten := l.blocks.forgotten.Load()
	return l.db.View(func(txn *badger.Txn) error {
		v := &View{l: l, txn: txn, forgotten: forgotten, cp: tlog.Checkpoint{Origin: l.o.Council.Origin()}}
		stored, err := v.value(keyCheckpoint)
		if errors.Is(err, ErrNotFound) { // nothing was ever written
			if l.empty == nil {
				return fmt.Errorf("%w: no checkpoint", ErrDamaged)
			}
			v.cp.Root = tlog.EmptyRoot()
			v.note = l.empty
			return v.called(f)
		}
		if err != nil {
			return err
		}
		if v.cp, v.note, err = decodeCheckpoint(l.o.Council.Origin(), stored); err != nil {
			return err
		}
		return v.called(f)
	})
}

// called returns what f, or a list that it walked, did not read.
func (v *View) called(f func(*View) error) error {
	if err := f(v); err != nil {
		return err
	}
	return v.err
}

// Checkpoint returns the log's checkpoint and the signed note that says it.
func (v *View) Checkpoint() (tlog.Checkpoint, []byte) { return v.cp, v.note }

// Tile implements tlog.TileReader at the view's checkpoint.
func (v *View) Tile(level int, index uint64, width int) ([]byte, error) {
	if width == tlog.TileWidth {
		if t, ok := v.l.tiles.lookup(level, index); ok {
			return t, nil
		}
	}
	t, err := txnTiles{txn: v.txn}.Tile(level, index, width)
	if err == nil && width == tlog.TileWidth {
		v.l.tiles.add(level, index, t)
	}
	return t, err
}

// txnTiles reads tiles whose keys begin with before.
type txnTiles struct {
	txn    *badger.Txn
	before []byte
}

func (t txnTiles) Tile(level int, index uint64, width int) ([]byte, error) {
	key := tileKey(level, index)
	if len(t.before) > 0 {
		key = slices.Concat(t.before, key)
	}
	b, err := valueOf(t.txn, key)
	if err != nil {
		return nil, fmt.Errorf("read tile %d/%d: %w", level, index, err)
	}
	if len(b) < width*32 {
		return nil, fmt.Errorf("read tile %d/%d: %w: %d hashes, want %d", level, index, ErrDamaged, len(b)/32, width)
	}
	return b[:width*32], nil
}

// leaf returns the leaf hash of an entry from the tiles.
func (v *View) leaf(index uint64) (h tlog.Hash, err error) {
	tile, at := index/tlog.TileWidth, int(index%tlog.TileWidth)
	width := tlog.TileWidth
	if (tile+1)*tlog.TileWidth > v.cp.Size {
		width = int(v.cp.Size % tlog.TileWidth)
	}
	b, err := v.Tile(0, tile, width)
	if err != nil {
		return h, err
	}
	copy(h[:], b[at*32:])
	return h, nil
}

// A Version is one version of one of the council's own records.
type Version struct {
	Index    uint64 // in the log
	Claims   record.Claims
	Body     map[string]any // nil for a delete
	Token    *record.Token  // every disclosure present, without a signature: see [Ledger.SignTokens]
	Standard *standard.Standard
	previous uint64 // log index of the version before
}

// Version reads the record version at a log index, rebuilds its token and
// checks that against the leaf. It returns ErrNotFound when the entry is no
// record, ErrErased when it was erased, ErrDamaged when it is not what was logged.
func (v *View) Version(index uint64) (*Version, error) {
	raw, err := v.raw(index)
	if err != nil {
		return nil, err
	}
	switch raw[0] {
	case kindRecord, kindRestored:
	case kindErased:
		return nil, fmt.Errorf("entry %d: %w", index, ErrErased)
	default:
		return nil, fmt.Errorf("entry %d is not a record: %w", index, ErrNotFound)
	}
	leaf, err := v.leaf(index)
	if err != nil {
		return nil, err
	}
	return v.l.rebuild(index, raw, leaf)
}

func (v *View) raw(index uint64) ([]byte, error) {
	if index >= v.cp.Size {
		return nil, fmt.Errorf("entry %d: %w", index, ErrNotFound)
	}
	raw, err := v.stored(index)
	if errors.Is(err, ErrNotFound) || (err == nil && len(raw) == 0) {
		// The log counts it, so it was there.
		return nil, fmt.Errorf("entry %d: %w: missing", index, ErrDamaged)
	}
	return raw, err
}

// rebuild makes the token of a stored record again. It needs no transaction,
// so that several can be rebuilt at once.
func (l *Ledger) rebuild(index uint64, raw []byte, leaf tlog.Hash) (*Version, error) {
	return l.rebuildPart(index, raw, leaf, func(*Version) (keeper, error) { return nil, nil })
}

// A keeper says which disclosures a token is made with, as [record.Token.Present]
// asks; nil is all.
type keeper func(pointer string, shell bool) bool

// rebuildPart is rebuild for who needs only part of the token: which, it asks once
// all but the token is known.
func (l *Ledger) rebuildPart(index uint64, raw []byte, leaf tlog.Hash, part func(*Version) (keeper, error)) (*Version, error) {
	damaged := func(err error) error { return fmt.Errorf("entry %d: %w: %w", index, ErrDamaged, err) }
	s, err := decodeStoredRecord(raw)
	if err != nil {
		return nil, damaged(err)
	}
	if l.isHidden(s.record) {
		return nil, fmt.Errorf("entry %d: %w", index, ErrErased)
	}
	std, kid, err := l.tables(s.standard, s.key)
	if err != nil {
		return nil, damaged(err)
	}
	ver := &Version{
		Index: index,
		Claims: record.Claims{
			Council: l.o.Council, IssuedAt: s.issuedAt, Standard: std.name, Integrity: std.integrity,
			Record: name.RecordFrom(s.record), Version: s.version, Prev: s.prev, Op: s.op,
		},
		Standard: std.std,
		previous: s.prevIndex,
	}
	if s.op == record.Put {
		body, err := strictjson.Decode(s.body, bodyLimits)
		if err != nil {
			return nil, damaged(errors.New("body is not the JSON that was written"))
		}
		m, ok := body.(map[string]any)
		if !ok {
			return nil, damaged(errors.New("body is not an object"))
		}
		ver.Body = m
	}
	keep, err := part(ver)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	if s.token != nil {
		ver.Token, err = restoredToken(s, keep)
	} else {
		ver.Token, err = record.BuildPart(ver.Claims, kid, std.std.Layout(), ver.Body, s.seed, keep)
	}
	if err != nil {
		return nil, damaged(err)
	}
	if tlog.Leaf(ver.Token.Entry()) != leaf {
		return nil, damaged(errors.New("does not hash to its leaf in the log"))
	}
	return ver, nil
}

// restoredToken returns the token that partners gave back, with the disclosures that keep lets through.
func restoredToken(s *storedRecord, keep keeper) (*record.Token, error) {
	t, err := record.ParseAlone(s.token)
	if err != nil || keep == nil {
		return t, err
	}
	return t.Present(keep)
}

// bodyLimits let through every body that a token was made of: what passed the
// gate once must be read back whatever the gate's limits are now.
var bodyLimits = strictjson.Limits{Bytes: record.MaxToken, Depth: 96, Values: 200_000, StringLen: record.MaxToken}

// Current returns the newest version of a record, which may be a delete.
func (v *View) Current(r name.Record) (*Version, error) {
	h, err := v.head(r)
	if err != nil {
		return nil, err
	}
	ver, err := v.Version(h.index)
	if err == nil && ver.Claims.Record != r {
		return nil, fmt.Errorf("entry %d: %w: is another record's", h.index, ErrDamaged)
	}
	return ver, err
}

func (v *View) head(r name.Record) (head, error) {
	b, err := v.value(headKey(r.Bytes()))
	if err != nil {
		return head{}, fmt.Errorf("record %s: %w", r, err)
	}
	return decodeHead(b)
}

// Before returns the version before ver, ErrNotFound at version 1.
func (v *View) Before(ver *Version) (*Version, error) {
	if ver.Claims.Version <= 1 {
		return nil, ErrNotFound
	}
	p, err := v.Version(ver.previous)
	if err == nil && (p.Claims.Record != ver.Claims.Record || p.Token.Entry() != ver.Claims.Prev) {
		return nil, fmt.Errorf("entry %d: %w: is not the version that entry %d follows", ver.previous, ErrDamaged, ver.Index)
	}
	return p, err
}

// Scan calls f with the current version of every live record of a standard
// whose newest entry is at from or later, in log order, until f returns false.
// A damaged record is handed to f as an error with a nil version.
func (v *View) Scan(std name.StandardName, from uint64, f func(*Version, error) bool) error {
	v.current(v.l.standardNumbers(std), from, func(index uint64) bool { return f(v.Version(index)) })
	return nil
}

// current calls f with the log index of the current version of every live
// record of standards, in order from an index on, until f returns false. One that is to be
// erased again is left out.
func (v *View) current(standards []uint32, from uint64, f func(index uint64) bool) {
	type place struct {
		it    *list
		index uint64
	}
	// A standard's versions have numbers of their own: merge their indexes.
	var open []*place
	defer func() {
		for _, p := range open {
			p.it.Close()
		}
	}()
	for _, n := range standards {
		prefix := numKey4('s', n)
		it := v.list(prefix, keysOnly)
		it.Seek(standardIndexKey(n, from))
		if !it.Valid() {
			it.Close()
			continue
		}
		open = append(open, &place{it, indexAtEnd(it)})
	}
	for len(open) > 0 {
		low := 0
		for i, p := range open {
			if p.index < open[low].index {
				low = i
			}
		}
		p := open[low]
		if !v.hiddenAt(p.it) && !f(p.index) {
			return
		}
		if p.it.Next(); p.it.Valid() {
			p.index = indexAtEnd(p.it)
		} else {
			p.it.Close()
			open = append(open[:low], open[low+1:]...)
		}
	}
}

// hiddenAt reports whether the record that stands under the iterator is to be erased again.
func (v *View) hiddenAt(it *list) (hidden bool) {
	set := v.l.hidden.Load()
	if set == nil || len(*set) == 0 {
		return false
	}
	err := it.Item().Value(func(b []byte) error {
		hidden = len(b) == 16 && (*set)[[16]byte(b)]
		return nil
	})
	return err == nil && hidden
}

// indexAtEnd reads the eight bytes that end the key under the iterator.
func indexAtEnd(it interface{ Item() *badger.Item }) uint64 {
	k := it.Item().Key()
	return binary.BigEndian.Uint64(k[len(k)-8:])
}

// Event returns the event at a log index, checked against its leaf, and the
// JWS that says it.
func (v *View) Event(index uint64) (*record.Event, []byte, error) {
	raw, err := v.raw(index)
	if err != nil {
		return nil, nil, err
	}
	if raw[0] != kindEvent {
		return nil, nil, fmt.Errorf("entry %d is not an event: %w", index, ErrNotFound)
	}
	leaf, err := v.leaf(index)
	if err != nil {
		return nil, nil, err
	}
	_, ev, err := checkEvent(raw[1:], leaf)
	if err != nil {
		return nil, nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return ev, raw[1:], nil
}

// Events calls f with the log index of every event of a kind, in order from an
// index on, until f returns false.
func (v *View) Events(kind string, from uint64, f func(index uint64) bool) {
	it := v.list(eventKindPrefix(kind), keysOnly)
	defer it.Close()
	for it.Seek(eventKindKey(kind, from)); it.Valid(); it.Next() {
		if !f(indexAtEnd(it)) {
			return
		}
	}
}

// EventsBack calls f with the log index of every event of a kind, the newest first, until
// f returns false.
func (v *View) EventsBack(kind string, f func(index uint64) bool) {
	it := v.list(eventKindPrefix(kind), keysOnly, backward)
	defer it.Close()
	for it.Seek(eventKindKey(kind, math.MaxUint64)); it.Valid(); it.Next() {
		if !f(indexAtEnd(it)) {
			return
		}
	}
}

// Entry returns the 32 bytes that stand in the log at an index and the JWS
// (events) or full token without a signature (records) that hashes to them; of a
// version that was erased, nothing but the 32 bytes.
func (v *View) Entry(index uint64) (tlog.Hash, []byte, error) {
	raw, err := v.raw(index)
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	if raw[0] == kindRecord || raw[0] == kindRestored {
		ver, err := v.Version(index)
		if err != nil {
			return tlog.Hash{}, nil, err
		}
		return ver.Token.Entry(), ver.Token.Bytes(), nil
	}
	leaf, err := v.leaf(index)
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	if raw[0] == kindErased {
		s, err := decodeStub(raw)
		if err == nil && tlog.Leaf(s.entry) != leaf {
			err = fmt.Errorf("%w: what is left of it does not hash to its leaf in the log", ErrDamaged)
		}
		if err != nil {
			return tlog.Hash{}, nil, fmt.Errorf("entry %d: %w", index, err)
		}
		return s.entry, nil, nil
	}
	t, _, err := checkEvent(raw[1:], leaf)
	if err != nil {
		return tlog.Hash{}, nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return t.Entry(), raw[1:], nil
}

// Count returns how many live records of each adopted standard there are.
func (v *View) Count() (map[name.Standard]int, error) {
	n := map[name.Standard]int{}
	for num, s := range v.l.standardList() {
		b, err := v.value(numKey4('o', uint32(num)))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(b) == 8 {
			n[s.name] = int(binary.BigEndian.Uint64(b))
		}
	}
	return n, nil
}

// valueOf returns a copy of the value under key, ErrNotFound when there is none.
func valueOf(txn *badger.Txn, key []byte) ([]byte, error) {
	it, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	b, err := it.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return b, nil
}

// tileCache keeps full tiles, which never change. It forgets in the order of
// arrival, which suits readers that walk the log.
type tileCache struct {
	mu   sync.Mutex
	have map[[2]uint64][]byte
	ring [][2]uint64
	at   int
}

const tileCacheSize = 512 // tiles of 8 KiB

func (c *tileCache) lookup(level int, index uint64) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.have[[2]uint64{uint64(level), index}]
	return t, ok
}

func (c *tileCache) add(level int, index uint64, t []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := [2]uint64{uint64(level), index}
	if _, ok := c.have[k]; ok {
		return
	}
	if c.have == nil {
		c.have = make(map[[2]uint64][]byte, tileCacheSize)
	}
	if len(c.ring) < tileCacheSize {
		c.ring = append(c.ring, k)
	} else {
		delete(c.have, c.ring[c.at])
		c.ring[c.at] = k
		c.at = (c.at + 1) % tileCacheSize
	}
	c.have[k] = t
}
