package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
)

// The file PLACES, beside the store, says of each entry of the log what stands in the log for it and of which record it is a
// version, so that a part of the store that is lost can be named, by entry and by record, and the tree of hashes be made anew.
// Each entry has 64 bytes, at 64 times its index:
//
//	entry32 record16 version4 standard4 kind1 zero3 sum4
//
// The sum is CRC-32C of the 60 bytes before it. Kind is 1 for a record, 2 for a deletion and 3 for an event, which has zeros
// for record, version and standard. It tells nothing of what an entry says: its hashes are in the tiles, too, and the id of a
// record tells nothing. What is behind the end of the log is not read.
//
// It is written before the transaction, and synced with SIGNED. What is not there, as in a folder of an earlier version, is
// written behind, from the store.
const (
	placesName = "PLACES"
	placeLen   = 64
	// placesChecked is how many of the last are looked at when a ledger is opened: more than are written in the second
	// that a power cut may take.
	placesChecked = 1 << 16
	placesChunk   = 1 << 10
)

const (
	placedPut byte = 1 + iota
	placedDelete
	placedEvent
)

// A placed says what an entry is.
type placed struct {
	entry    tlog.Hash
	record   [16]byte
	version  uint32
	standard uint32
	kind     byte
}

func (p placed) isRecord() bool { return p.kind == placedPut || p.kind == placedDelete }

// head is what the ledger knows of the record when the entry is its newest version; that an offer changes nothing is not
// seen by it.
func (p placed) head(index uint64) head {
	return head{index: index, version: uint64(p.version), standard: p.standard, live: p.kind == placedPut, entry: p.entry}
}

func (p placed) encode(b []byte) []byte {
	from := len(b)
	b = append(append(b, p.entry[:]...), p.record[:]...)
	b = binary.BigEndian.AppendUint32(b, p.version)
	b = binary.BigEndian.AppendUint32(b, p.standard)
	b = append(b, p.kind, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

func decodePlaced(b []byte) (p placed, ok bool) {
	if len(b) < placeLen || crc32.Checksum(b[:60], castagnoli) != binary.BigEndian.Uint32(b[60:]) {
		return p, false
	}
	p = placed{
		entry: tlog.Hash(b), record: [16]byte(b[32:]), version: binary.BigEndian.Uint32(b[48:]),
		standard: binary.BigEndian.Uint32(b[52:]), kind: b[56],
	}
	return p, p.kind >= placedPut && p.kind <= placedEvent
}

// placed returns what an entry that is about to be written is.
func (p *pending) placed() placed {
	out := placed{entry: p.entry, kind: placedEvent}
	if p.event == nil {
		out.record, out.version, out.standard, out.kind = p.stored.record, uint32(p.stored.version), p.stored.standard, placedPut
		if p.stored.op == record.Delete {
			out.kind = placedDelete
		}
	}
	return out
}

// A placesFile is the open file. nil, of a store in memory or of a replica, or whose files were not examined
// yet, knows nothing. It may be used concurrently.
type placesFile struct{ f *os.File }

// openPlaces opens the file in a store's folder, or makes it.
func openPlaces(dir string) (*placesFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, placesName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(err)
	}
	return &placesFile{f}, nil
}

// write writes what entries are that follow one another from an index on.
func (s *placesFile) write(from uint64, entries []placed) error {
	if s == nil || len(entries) == 0 {
		return nil
	}
	b := make([]byte, 0, placeLen*len(entries))
	for _, p := range entries {
		b = p.encode(b)
	}
	if _, err := s.f.WriteAt(b, int64(from)*placeLen); err != nil {
		return fmt.Errorf("write %s: %w", placesName, err)
	}
	return nil
}

// at returns what an entry is; ok is false when that is not known.
func (s *placesFile) at(index uint64) (p placed, ok bool) {
	if s == nil {
		return p, false
	}
	var b [placeLen]byte
	if _, err := s.f.ReadAt(b[:], int64(index)*placeLen); err != nil {
		return p, false
	}
	return decodePlaced(b[:])
}

func (s *placesFile) sync() error {
	if s == nil {
		return nil
	}
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", placesName, err)
	}
	return nil
}

func (s *placesFile) close() error {
	if s == nil {
		return nil
	}
	return s.f.Close()
}

// unknown returns the entries below size that the file lacks: all from its end on, and those of the last that cannot be read.
func (s *placesFile) unknown(size uint64) (out [][2]uint64, err error) {
	st, err := s.f.Stat()
	if err != nil {
		return nil, err
	}
	end := min(size, uint64(st.Size())/placeLen)
	from := end - min(end, placesChecked)
	b := make([]byte, (end-from)*placeLen)
	if _, err := s.f.ReadAt(b, int64(from)*placeLen); err != nil && err != io.EOF {
		return nil, err
	}
	for i := from; i < end; i++ {
		if _, ok := decodePlaced(b[(i-from)*placeLen:]); ok {
			continue
		}
		if n := len(out); n > 0 && out[n-1][1] == i {
			out[n-1][1]++
		} else {
			out = append(out, [2]uint64{i, i + 1})
		}
	}
	if end < size {
		out = append(out, [2]uint64{end, size})
	}
	return out, nil
}

// placesBehind writes what the file lacks, from the store: when that is little, before it returns, else the function that it returns
// does, until the ledger is closed. It runs beside the writer, which writes what comes.
func (l *Ledger) placesBehind() func() {
	lacks, err := l.beside.places.unknown(l.Size())
	fill := func() {
		for _, run := range lacks {
			for from := run[0]; from < run[1] && err == nil; from += placesChunk {
				err = l.fillPlaces(from, min(from+placesChunk, run[1]))
			}
		}
		if err != nil && !errors.Is(err, ErrClosed) {
			l.o.Log.Warn("what entries are cannot be kept in a second place", "error", err.Error())
		}
	}
	total := uint64(0)
	for _, run := range lacks {
		total += run[1] - run[0]
	}
	if total > 4*placesChunk {
		return fill
	}
	fill()
	return func() {}
}

// fillPlaces writes what entries are, except those that are damaged.
func (l *Ledger) fillPlaces(from, to uint64) error {
	found := make([]placed, to-from)
	if err := l.View(func(v *View) error {
		for i := range found {
			p, err := v.place(from + uint64(i))
			if errors.Is(err, ErrStorage) {
				return err
			}
			if err == nil {
				found[i] = p
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for i, p := range found {
		if p.kind != 0 {
			if err := l.beside.places.write(from+uint64(i), []placed{p}); err != nil {
				return err
			}
		}
	}
	return nil
}

// place reads from the store what an entry is.
func (v *View) place(index uint64) (p placed, err error) {
	raw, err := v.raw(index)
	if err != nil {
		return p, err
	}
	if p.entry, err = v.l.entryOf(raw); err != nil {
		return p, err
	}
	leaf, err := v.leaf(index)
	if err != nil {
		return p, err
	}
	if tlog.Leaf(p.entry) != leaf {
		return p, ErrDamaged
	}
	if raw[0] == kindEvent {
		p.kind = placedEvent
		return p, nil
	}
	at, err := placeOf(raw)
	if err != nil {
		return p, err
	}
	p.record, p.version, p.standard, p.kind = at.record, uint32(at.version), at.standard, placedPut
	if at.deletion || at.erased {
		p.kind = placedDelete
	}
	return p, nil
}
