package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger/examine"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A survey finds out what was lost in holes of the store, and makes anew what follows from the
// log. What stands under a key in a hole may be older than what was lost, so nothing that is made
// anew is believed there.
type survey struct {
	l     *Ledger
	holes []examine.Hole

	lost     map[uint64]DamagedEntry
	holdings []DamagedHolding
	missing  []MissingHoldings
	notes    []string

	sets    map[string][]byte
	deletes map[string]bool // keys in holes that stand there now
	unknown bool            // it is not known which records some of the lost entries are versions of
}

// placed returns what a lost entry is, when a second place says so.
func (s *survey) placed(v *View, index uint64) (placed, bool) {
	if s.l.beside == nil {
		return placed{}, false
	}
	p, ok := s.l.beside.places.at(index)
	leaf, err := v.leaf(index)
	return p, ok && err == nil && tlog.Leaf(p.entry) == leaf
}

func (s *survey) in(key []byte) bool {
	return slices.ContainsFunc(s.holes, func(h examine.Hole) bool { return h.Has(key) })
}

func (s *survey) meets(prefixes ...[]byte) bool {
	return slices.ContainsFunc(prefixes, func(p []byte) bool {
		return slices.ContainsFunc(s.holes, func(h examine.Hole) bool { return h.Meets(p) })
	})
}

func (s *survey) letter(letters string) bool {
	return slices.ContainsFunc([]byte(letters), func(c byte) bool { return s.meets([]byte{c}) })
}

func (s *survey) view(f func(*View) error) error {
	l := s.l
	return l.db.View(func(txn *badger.Txn) error {
		return f(&View{l: l, txn: txn, cp: tlog.Checkpoint{Origin: l.o.Council.Origin(), Size: l.tree.Size(), Root: l.tree.Root()}})
	})
}

func (s *survey) run() error {
	if err := s.view(s.entries); err != nil {
		return err
	}
	if s.letter("hsok") {
		if err := s.standing("hk"); err != nil {
			return err
		}
		if err := s.view(s.index); err != nil {
			return err
		}
		if err := s.write(); err != nil {
			return err
		}
		if err := s.view(s.current); err != nil {
			return err
		}
		if err := s.write(); err != nil {
			return err
		}
	}
	if s.letter("fmgaA") {
		if err := s.feeds(); err != nil {
			return err
		}
	}
	if err := s.drops(); err != nil {
		return err
	}
	if len(s.lost) > 0 && s.letter("T") {
		s.notes = append(s.notes, "whom the lost entries are about: what is found by a person's number, and the list of what was disclosed, may leave them out until they are put back")
	}
	if s.letter("HP") {
		if err := s.view(s.received); err != nil {
			return err
		}
		if err := s.write(); err != nil {
			return err
		}
	}
	return s.nameLost()
}

// entries reads every entry that may be lost against its leaf.
func (s *survey) entries(v *View) error {
	for _, h := range s.holes {
		for _, letter := range []byte{'e', 'M'} {
			if !h.Meets([]byte{letter}) {
				continue
			}
			from, to := uint64(0), v.cp.Size
			if len(h.From) >= 9 && h.From[0] == letter {
				from = binary.BigEndian.Uint64(h.From[1:]) &^ (blockSize - 1)
			}
			if len(h.To) >= 9 && h.To[0] == letter {
				to = min(to, binary.BigEndian.Uint64(h.To[1:])+1)
			}
			for i := from; i < to; i++ {
				if _, _, err := v.Entry(i); errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
					s.lost[i] = DamagedEntry{Index: i}
				} else if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// standing notes the keys under letters that stand in holes now, to be deleted unless they
// are made anew.
func (s *survey) standing(letters string) error {
	return s.view(func(v *View) error {
		for _, c := range []byte(letters) {
			for _, h := range s.holes {
				if !h.Meets([]byte{c}) {
					continue
				}
				it := v.list([]byte{c}, keysOnly)
				from := []byte{c}
				if bytes.HasPrefix(h.From, from) {
					from = h.From
				}
				for it.Seek(from); it.Valid() && h.Has(it.Item().Key()); it.Next() {
					s.deletes[string(it.Item().Key())] = true
				}
				it.Close()
			}
		}
		return nil
	})
}

func (s *survey) set(key, value []byte) {
	if s.in(key) {
		s.sets[string(key)] = value
	}
}

// index walks the log once and makes anew what is in holes of the heads and of the events by kind.
func (s *survey) index(v *View) error {
	l := s.l
	heads := map[[16]byte]uint64{}
	wantHeads, wantEvents := s.letter("h"), s.letter("k")
	for i := range v.cp.Size {
		raw, err := v.raw(i)
		if errors.Is(err, ErrDamaged) {
			s.lost[i] = DamagedEntry{Index: i}
			p, ok := s.placed(v, i)
			s.unknown = s.unknown || !ok
			if ok && p.isRecord() && wantHeads && s.in(headKey(p.record)) {
				heads[p.record] = i
			}
			continue
		}
		if err != nil {
			return err
		}
		switch raw[0] {
		case kindEvent:
			if !wantEvents {
				continue
			}
			_, ev, err := record.ParseEvent(raw[1:])
			if err != nil {
				s.lost[i] = DamagedEntry{Index: i}
				continue
			}
			s.set(eventKindKey(ev.Kind, i), []byte{})
		default:
			p, err := placeOf(raw)
			if err != nil {
				s.lost[i] = DamagedEntry{Index: i}
				continue
			}
			if wantHeads && s.in(headKey(p.record)) {
				heads[p.record] = i
			}
		}
	}
	for r, i := range heads {
		raw, err := v.raw(i)
		if errors.Is(err, ErrStorage) {
			return err
		}
		var h head
		if err == nil {
			h, err = l.headOf(i, raw)
		}
		if err != nil {
			s.lost[i] = DamagedEntry{Index: i, Record: name.RecordFrom(r)}
			p, ok := s.placed(v, i)
			if !ok {
				s.unknown = true
				continue
			}
			h = p.head(i)
		}
		s.set(headKey(r), h.encode())
	}
	if wantHeads && s.unknown {
		s.notes = append(s.notes, "which records the lost entries are versions of: a record of ours may be shown as it was before one of them")
	}
	return nil
}

// current makes anew where the current versions stand, and how many there are. The heads are right by now.
func (s *survey) current(v *View) error {
	if s.letter("s") {
		if err := v.walk([]byte("h"), func(key, value []byte) error {
			h, err := decodeHead(value)
			if err != nil {
				return err
			}
			if h.live {
				s.set(standardIndexKey(h.standard, h.index), bytes.Clone(key[1:17]))
			}
			return nil
		}); err != nil {
			return err
		}
		if err := s.standing("s"); err != nil {
			return err
		}
	}
	if s.letter("so") {
		// Of lost heads nothing is known, so what is counted is what can be listed.
		counts := map[uint32]uint64{}
		if err := v.walk([]byte("h"), func(_, value []byte) error {
			h, err := decodeHead(value)
			if err == nil && h.live {
				counts[h.standard]++
			}
			return err
		}); err != nil {
			return err
		}
		for n := range s.l.standardList() {
			s.sets[string(numKey4('o', uint32(n)))] = binary.BigEndian.AppendUint64(nil, counts[uint32(n)])
		}
	}
	return nil
}

// write writes what was made anew, and deletes what stands in its place.
func (s *survey) write() error {
	for k := range s.deletes {
		if _, ok := s.sets[k]; !ok {
			s.sets[k] = nil
		}
	}
	part := map[string][]byte{}
	flush := func() error {
		err := s.l.store(s.l.tree, part)
		clear(part)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return nil
	}
	for k, v := range s.sets {
		part[k] = v
		if len(part) == indexChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	clear(s.sets)
	clear(s.deletes)
	if len(part) == 0 {
		return nil
	}
	return flush()
}

// headOf makes the head of a record from its newest version.
func (l *Ledger) headOf(index uint64, raw []byte) (head, error) {
	p, err := placeOf(raw)
	if err != nil {
		return head{}, err
	}
	h := head{index: index, version: p.version, standard: p.standard, live: !p.deletion && !p.erased}
	if h.entry, err = l.entryOf(raw); err != nil || p.erased {
		return h, err
	}
	r, err := decodeStoredRecord(raw)
	if err != nil {
		return head{}, err
	}
	std, _, err := l.tables(r.standard, r.key)
	if err != nil {
		return head{}, err
	}
	if h.live {
		d := sha256.New()
		d.Write([]byte(std.integrity))
		d.Write([]byte{0})
		d.Write(r.body)
		copy(h.digest[:], d.Sum(nil))
	}
	return h, nil
}

// entryOf returns what stands in the log for a stored entry, without asking the log.
func (l *Ledger) entryOf(raw []byte) (tlog.Hash, error) {
	if len(raw) == 0 {
		return tlog.Hash{}, ErrDamaged
	}
	switch raw[0] {
	case kindEvent:
		t, _, err := record.ParseEvent(raw[1:])
		if err != nil {
			return tlog.Hash{}, err
		}
		return t.Entry(), nil
	case kindErased:
		s, err := decodeStub(raw)
		return s.entry, err
	}
	s, err := decodeStoredRecord(raw)
	if err != nil {
		return tlog.Hash{}, err
	}
	if s.token != nil {
		t, err := record.ParseAlone(s.token)
		if err != nil {
			return tlog.Hash{}, err
		}
		return t.Entry(), nil
	}
	std, kid, err := l.tables(s.standard, s.key)
	if err != nil {
		return tlog.Hash{}, err
	}
	var body map[string]any
	if s.op == record.Put {
		v, err := strictjson.Decode(s.body, bodyLimits)
		if err != nil {
			return tlog.Hash{}, err
		}
		body, _ = v.(map[string]any)
	}
	return record.EntryOf(record.Claims{
		Council: l.o.Council, IssuedAt: s.issuedAt, Standard: std.name, Integrity: std.integrity,
		Record: name.RecordFrom(s.record), Version: s.version, Prev: s.prev, Op: s.op,
	}, kid, std.std.Layout(), body, s.seed)
}

// feeds makes anew what stands in the feeds that may have lost something: where a record stands
// follows from its newest version and from the newest event that takes it back.
func (s *survey) feeds() error {
	l := s.l
	if err := s.standing("f"); err != nil {
		return err
	}
	for _, f := range l.feeds {
		if f.closed || !s.meets(numKey4('f', f.number), numKey4('m', f.number), numKey4('g', f.number), numKey4('a', f.number), numKey4('A', f.number)) {
			continue
		}
		if err := s.feed(f); err != nil {
			return err
		}
	}
	// Of closed feeds nothing leaves.
	clear(s.deletes)
	return s.write()
}

func (s *survey) feed(f *Feed) error {
	l := s.l
	if f.doc == nil {
		return s.notices(f)
	}
	want := map[[16]byte]membership{}
	asked := map[[16]byte][]byte{}
	return s.view(func(v *View) error {
		if f.copied() {
			for _, kind := range []string{event.KindWithdrawal, event.KindErasureOrder} {
				var failed error
				v.Events(kind, 0, func(i uint64) bool {
					ev, _, err := v.Event(i)
					if errors.Is(err, ErrDamaged) {
						return true // it is named
					}
					if err != nil {
						failed = err
						return false
					}
					if w, err := event.ParseTakenBack(kind, ev.Body); err == nil && w.Agreement == f.Agreement {
						if id := w.Record.Bytes(); want[id].index <= i {
							want[id] = membership{itemWithdraw, i}
						}
					}
					return true
				})
				if failed != nil {
					return failed
				}
			}
		}
		var all []uint64
		limit := uint64(math.MaxUint64)
		if !f.Ready {
			limit = f.mark.matched // the rest is still to be matched
		}
		v.current(l.numbersOf(f.line), 0, func(i uint64) bool {
			if i < limit || i >= f.mark.upTo {
				all = append(all, i)
			}
			return true
		})
		for _, i := range all {
			r, std, err := v.storedRecord(i)
			if errors.Is(err, ErrStorage) {
				return err
			}
			if err != nil {
				// It is named. Whether it was to be sent is not known; it stands where it is found
				// to be damaged, not as an older version.
				if p, ok := s.placed(v, i); ok && f.copied() && want[p.record].index <= i {
					want[p.record] = membership{itemPut, i}
				}
				continue
			}
			c, err := l.candidate(f, i, r, std)
			if err == nil && c != nil {
				lets, lerr := f.lets(v.value, name.RecordFrom(r.record))
				if lerr != nil {
					return lerr
				}
				if !lets {
					c = nil
				}
			}
			if err == nil && c != nil && want[r.record].index <= i {
				want[r.record], asked[r.record] = membership{itemPut, i}, c.asked
			}
		}
		end := uint64(0)
		for r, m := range want {
			b, err := v.value(memberKey(f.number, r))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if was, err := decodeMembership(b); err == nil && was != m {
				s.deletes[string(feedItemKey(f.number, was.index))] = true
			}
			s.sets[string(memberKey(f.number, r))] = m.encode()
			s.sets[string(feedItemKey(f.number, m.index))] = encodeItem(m.kind, r)
			if !f.copied() {
				askedUnder(f, r, nil, asked[r], func(k, v []byte) { s.sets[string(k)] = v })
			} else {
				end = max(end, m.index+1)
			}
		}
		// What stands there of records whose newest version cannot be read stays.
		puts := 0
		if err := v.walk(numKey4('m', f.number), func(key, value []byte) error {
			m, err := decodeMembership(value)
			if _, ok := want[[16]byte(key[5:])]; err == nil && !ok && m.kind == itemPut {
				puts++
				s.sets[string(feedItemKey(f.number, m.index))] = encodeItem(m.kind, [16]byte(key[5:]))
				end = max(end, m.index+1)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, m := range want {
			if m.kind == itemPut {
				puts++
			}
		}
		g := *f
		g.Records, g.End = puts, max(end, f.End)
		s.sets[string(numKey4('g', f.number))] = g.counters()
		l.feeds[f.number] = &g
		return nil
	})
}

// notices makes anew the feed of what was addressed to a council.
func (s *survey) notices(f *Feed) error {
	if !s.meets(numKey4('f', f.number)) {
		return nil
	}
	s.notes = append(s.notes, fmt.Sprintf("which notices are for %s: some may not have been sent", councils(f.To)))
	for k := range s.deletes {
		if bytes.HasPrefix([]byte(k), numKey4('f', f.number)) {
			delete(s.deletes, k)
		}
	}
	return nil
}

// drops drops the indexes that are made anew as a whole when they are missing.
func (s *survey) drops() error {
	var drop [][]byte
	if s.letter("vD") {
		drop = append(drop, []byte("v"), []byte("D"))
		s.l.indexes = nil
	}
	if s.letter("T") {
		drop = append(drop, []byte("T"))
	}
	if len(drop) == 0 {
		return nil
	}
	return s.l.dropPrefixes(drop...)
}

// received finds the records of others that are lost.
func (s *survey) received(v *View) error {
	for _, src := range s.l.sources {
		if src.Ended || src.Ending || !s.meets(numKey4('H', src.number), numKey4('H', src.number|secondSlot), numKey4('P', src.number)) {
			continue
		}
		if s.meets(numKey4('P', src.number)) && s.meets(numKey4('H', src.number), numKey4('H', src.number|secondSlot)) {
			if err := s.doubted(v, src); err != nil {
				return err
			}
			continue
		}
		places := map[[16]byte]uint64{}
		if err := v.walk(numKey4('P', src.number), func(key, value []byte) error {
			if isPosition(value) {
				places[[16]byte(value[:16])] = binary.BigEndian.Uint64(key[5:])
			}
			return nil
		}); err != nil {
			return err
		}
		have := 0
		for r, at := range places {
			b, err := holdingOf(v.txn, src, r)
			if err == nil {
				var h *Holding
				if h, err = decodeHolding(b); err == nil && h.Index != at {
					err = ErrNotFound
				}
			}
			if errors.Is(err, ErrStorage) {
				return err
			}
			if err != nil {
				s.holdings = append(s.holdings, DamagedHolding{src.From, src.Agreement, at, name.RecordFrom(r)})
			}
			have++
		}
		for _, half := range []uint32{src.number, src.number | secondSlot} {
			if err := v.walk(numKey4('H', half), func(key, value []byte) error {
				if len(key) != 21 || len(value) < 48 {
					return nil
				}
				r := [16]byte(key[5:])
				at := binary.BigEndian.Uint64(value)
				place := positionKey('P', src.number, at)
				if _, ok := places[r]; !ok && s.in(place) {
					s.set(place, binary.BigEndian.AppendUint32(r[:], src.Generation))
					places[r] = at
					have++
				}
				return nil
			}); err != nil {
				return err
			}
		}
		if have < src.Records {
			s.missing = append(s.missing, MissingHoldings{src.From, src.Agreement, src.Records - have})
		}
	}
	return nil
}

// doubted has a source be copied anew from its beginning, where both a holding and its place may be older than what
// was lost, so that nothing here can tell. Until its feed was read to the end nothing of it is shown: see unread.go.
func (s *survey) doubted(v *View, src *Source) error {
	had := 0
	at := map[[16]byte]uint64{}
	for _, half := range []uint32{src.number, src.number | secondSlot} {
		if err := v.walk(numKey4('H', half), func(key, value []byte) error {
			if len(key) == 21 && len(value) >= 48 {
				r := [16]byte(key[5:])
				at[r] = max(at[r], binary.BigEndian.Uint64(value))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	// A place is right when the holding stands at it.
	if err := v.walk(numKey4('P', src.number), func(key, value []byte) error {
		if isPosition(value) {
			r := [16]byte(value[:16])
			if i, ok := at[r]; ok && i == binary.BigEndian.Uint64(key[5:]) {
				had++
				delete(at, r)
				return nil
			}
		}
		s.sets[string(key)] = nil
		return nil
	}); err != nil {
		return err
	}
	for r, i := range at {
		s.sets[string(positionKey('P', src.number, i))] = binary.BigEndian.AppendUint32(bytes.Clone(r[:]), src.Generation)
		had++
	}
	c := *src
	if lost := src.Records - had; lost > 0 {
		s.missing = append(s.missing, MissingHoldings{src.From, src.Agreement, lost})
	}
	c.Records = had
	if c.Agreement != "" {
		c.restart(c.Digest)
		c.Unread = true
	}
	b, err := marshal(&c)
	if err != nil {
		return err
	}
	s.sets[string(numKey4('S', src.number))] = b
	s.l.sources[src.number] = &c
	return nil
}

// nameLost finds which records the lost entries are the current versions of.
func (s *survey) nameLost() error {
	if len(s.lost) == 0 {
		return nil
	}
	return s.view(func(v *View) error {
		return v.walk([]byte("h"), func(key, value []byte) error {
			h, err := decodeHead(value)
			if err != nil {
				return nil
			}
			if e, ok := s.lost[h.index]; ok {
				e.Record = name.RecordFrom([16]byte(key[1:17]))
				s.lost[h.index] = e
			}
			return nil
		})
	})
}

// mendTiles makes anew the tiles that stand in holes, each from what stands below it, before the log is opened. It
// returns in words what could not be made, "" for nothing.
func (l *Ledger) mendTiles(txn *badger.Txn, holes []examine.Hole) (broken string, err error) {
	in := func(key []byte) bool {
		return slices.ContainsFunc(holes, func(h examine.Hole) bool { return h.Has(key) })
	}
	stored, err := valueOf(txn, keyCheckpoint)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	cp, _, err := decodeCheckpoint(l.o.Council.Origin(), stored)
	if err != nil {
		return "", err
	}
	sets := map[string][]byte{}
	made := map[[2]uint64][]byte{}
	tile := func(level int, index uint64) ([]byte, error) {
		if b, ok := made[[2]uint64{uint64(level), index}]; ok {
			return b, nil
		}
		return valueOf(txn, tileKey(level, index))
	}
	v := &View{l: l, txn: txn, cp: cp}
	for level, n := 0, cp.Size; n > 0; level, n = level+1, n>>tlog.TileHeight {
		for index := uint64(0); index<<tlog.TileHeight < n; index++ {
			key := tileKey(level, index)
			if !in(key) {
				continue
			}
			width := min(n-index<<tlog.TileHeight, tlog.TileWidth)
			var b []byte
			for i := index << tlog.TileHeight; i < index<<tlog.TileHeight+width; i++ {
				var h tlog.Hash
				if level == 0 {
					p, ok := placed{}, false
					if l.beside != nil {
						p, ok = l.beside.places.at(i)
					}
					var err error
					if h = tlog.Leaf(p.entry); !ok {
						var raw []byte
						if raw, err = v.stored(i); err == nil {
							h, err = l.entryOf(raw)
							h = tlog.Leaf(h)
						}
					}
					if errors.Is(err, ErrStorage) {
						return "", err
					}
					if err != nil {
						b = nil
						break
					}
				} else {
					below, err := tile(level-1, i)
					if err != nil || len(below) != tlog.TileBytes {
						b = nil
						break
					}
					h = tlog.TileRoot(below)
				}
				b = append(b, h[:]...)
			}
			if b == nil {
				// It may be there still, in another table; what is older is shorter.
				if was, err := tile(level, index); err != nil || uint64(len(was)) < width*tlog.HashSize {
					broken = fmt.Sprintf("the hashes of entries %d to %d", index<<(tlog.TileHeight*(level+1)), min((index+1)<<(tlog.TileHeight*(level+1)), cp.Size)-1)
				}
				continue
			}
			sets[string(key)], made[[2]uint64{uint64(level), index}] = b, b
		}
	}
	// Each is held against the one above it, and the highest against the signed root when the log is opened.
	for k, b := range sets {
		level, index := int(k[1]), binary.BigEndian.Uint64([]byte(k[2:]))
		if len(b) < tlog.TileBytes {
			continue
		}
		above, err := tile(level+1, index>>tlog.TileHeight)
		at := int(index&(tlog.TileWidth-1)) * tlog.HashSize
		if root := tlog.TileRoot(b); err == nil && len(above) >= at+tlog.HashSize && !bytes.Equal(above[at:at+tlog.HashSize], root[:]) {
			broken = fmt.Sprintf("the hashes below tile %d/%d do not give what stands in the tile above", level, index)
		}
	}
	if len(sets) == 0 {
		return broken, nil
	}
	if err := l.storeAll(sets); err != nil {
		return "", fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return broken, nil
}
