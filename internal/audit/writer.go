package audit

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An Entry is one entry of the council's log.
type Entry struct {
	Index uint64
	Token []byte // a record with the disclosures chosen, or an event
}

// A Writer writes a bundle. Entries are written as they are added and are not
// kept; all else is small and is written by Close. The same additions in the
// same order give the same bytes. Use it from one goroutine, and call Close
// once all is added. After an error, what was written is no bundle.
//
// A Writer checks that names and order are such that Verify can read them back.
// It verifies nothing: a council may want to hand over evidence that fails.
type Writer struct {
	zip    *zip.Writer
	doc    document
	chunks int
	next   uint64 // the least index that may follow
	notes  map[uint64][]byte
	events map[name.Council]*packer
	files  map[string]*packer // all else, by path
	err    error
}

// NewWriter begins a bundle on w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	if _, err := name.ParseCouncil(string(h.Council)); err != nil {
		return nil, fmt.Errorf("new bundle: %w", err)
	}
	if h.Holder != "" {
		if _, err := name.ParseCouncil(string(h.Holder)); err != nil || h.Holder == h.Council || h.Covers.Agreement == "" {
			return nil, errors.New("new bundle: a holder is another council, and its bundle covers an agreement")
		}
	}
	h.Created = h.Created.UTC().Truncate(time.Second)
	if len(h.Covers.Records) > MaxRecords {
		return nil, fmt.Errorf("new bundle: covers more than %d records", MaxRecords)
	}
	return &Writer{zip: zip.NewWriter(w), doc: document{Header: h}, notes: map[uint64][]byte{},
		events: map[name.Council]*packer{}, files: map[string]*packer{}}, nil
}

// AddEntries writes a chunk: up to MaxChunk entries by rising index, all above
// those added before, and the batch proof of their indices at the main
// checkpoint. A chunk of more than MaxChunkBytes is refused.
func (w *Writer) AddEntries(chunk []Entry, proof []tlog.Hash) error {
	if err := w.addChunk(chunk); err != nil {
		return err
	}
	if err := w.put(proofPath(w.chunks), packed(tlog.JoinHashes(proof))); err != nil {
		return err
	}
	w.chunks++
	return nil
}

// AddUnproved writes a chunk of which the holder that makes the bundle has no proof, as
// AddEntries does.
func (w *Writer) AddUnproved(chunk []Entry) error {
	if w.doc.Holder == "" {
		return w.fail(errors.New("add entries: a council proves what is in its own log"))
	}
	if err := w.addChunk(chunk); err != nil {
		return err
	}
	w.chunks++
	return nil
}

func (w *Writer) addChunk(chunk []Entry) error {
	if len(chunk) == 0 || len(chunk) > MaxChunk || w.chunks == MaxChunks {
		return w.fail(fmt.Errorf("add entries: %d in a chunk, %d chunks: want 1 to %d, and at most %d", len(chunk), w.chunks, MaxChunk, MaxChunks))
	}
	p := newPacker()
	for _, e := range chunk {
		if e.Index < w.next {
			return w.fail(fmt.Errorf("add entry %d: out of order", e.Index))
		}
		w.next = e.Index + 1
		p.write([]byte(entryStart + strconv.FormatUint(e.Index, 10) + entryMiddle))
		p.write(e.Token)
		p.write([]byte(lineEnd))
	}
	if p.size > MaxChunkBytes {
		return w.fail(fmt.Errorf("add entries from %d on: %d bytes in a chunk, at most %d", chunk[0].Index, p.size, MaxChunkBytes))
	}
	if err := w.put(chunkPath(w.chunks), p); err != nil {
		return err
	}
	w.doc.Sizes.Entries += len(chunk)
	return nil
}

// AddCheckpoint adds a signed checkpoint of the council's log, with such
// cosignatures as it has. The largest added is the main one, at which entries
// are proved; each other needs the consistency proof from itself to the main
// one, which is not looked at for the main one. Of several notes at one size
// the signatures are put together, those of the first first, and no more than a note can
// have: see [tlog.MaxSignatures].
func (w *Writer) AddCheckpoint(signed []byte, consistency []tlog.Hash) error {
	text, sigs, ok := bytes.Cut(signed, []byte("\n\n"))
	lines := strings.Split(string(text), "\n")
	if !ok || len(lines) != 3 || lines[0] != w.doc.Council.Origin() || !bytes.HasSuffix(sigs, []byte("\n")) {
		return w.fail(fmt.Errorf("add checkpoint: not a checkpoint of %s", w.doc.Council.Origin()))
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return w.fail(fmt.Errorf("add checkpoint: %w", err))
	}
	if old, ok := w.notes[size]; ok {
		if signed, err = tlog.Join(old, signed); err != nil {
			// Two truths at one size are the evidence of a fork, which a bundle,
			// made by the council that forked, is not the place for.
			return w.fail(fmt.Errorf("add checkpoint: another root at size %d", size))
		}
	}
	w.notes[size] = bytes.Clone(signed)
	if len(consistency) > 0 {
		w.files[historyPath(size)] = packed(tlog.JoinHashes(consistency))
	}
	w.doc.Checkpoint = max(w.doc.Checkpoint, size)
	return nil
}

// AddMember adds a member file as it stands. Adding it again does nothing.
func (w *Writer) AddMember(file []byte) error {
	m, err := directory.ParseMember(file)
	if err != nil {
		return w.fail(fmt.Errorf("add member: %w", err))
	}
	return w.add(memberPath(m.Council), file, &w.doc.Sizes.Members)
}

// AddDirectory adds files of the directory that vouch for the members, by their
// path in its tree, as tufdir.Client.Evidence returns them.
func (w *Writer) AddDirectory(files map[string][]byte) error {
	for path, b := range files {
		if limit, ok := tufdir.EvidencePath(path); !ok || int64(len(b)) > limit {
			return w.fail(fmt.Errorf("add directory: %q is none of its files", path))
		}
		w.files["tuf/"+path] = packed(b)
	}
	return nil
}

// AddStandard adds a standard. Adding it again does nothing.
func (w *Writer) AddStandard(s *standard.Standard) error {
	return w.add(standardPath(s.Name()), s.Archive(), &w.doc.Sizes.Standards)
}

// AddAgreement adds one version of an agreement. Adding it again does nothing.
func (w *Writer) AddAgreement(a *agreement.Agreement) error {
	return w.add(agreementPath(a.Name, a.Version), a.Canonical(), &w.doc.Sizes.Agreements)
}

// AddEvent adds an event of another council, in the order of that council's log.
func (w *Writer) AddEvent(by name.Council, jws []byte) error {
	if by == w.doc.Council {
		return w.fail(errors.New("add event: the council's own events are entries of its log"))
	}
	if _, ev, err := record.ParseEvent(jws); err != nil {
		return w.fail(fmt.Errorf("add event: %w", err))
	} else if ev.Council != by {
		return w.fail(fmt.Errorf("add event: it is by %s, not %s", ev.Council, by))
	}
	p := w.events[by]
	if p == nil {
		p = newPacker()
		w.events[by] = p
	}
	p.write([]byte(eventStart))
	p.write(jws)
	p.write([]byte(lineEnd))
	w.doc.Sizes.Events++
	return nil
}

// Close writes what was not written yet. It does not close the underlying
// writer. The bundle is whole when Close returns without error.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if len(w.notes) == 0 {
		return w.fail(errors.New("close bundle: no checkpoint was added"))
	}
	if w.next > w.doc.Checkpoint {
		return w.fail(fmt.Errorf("close bundle: entry %d is not below the checkpoint at %d", w.next-1, w.doc.Checkpoint))
	}
	delete(w.files, historyPath(w.doc.Checkpoint))
	for size, signed := range w.notes {
		w.files[notePath(size)] = packed(signed)
		if path := historyPath(size); size < w.doc.Checkpoint && w.files[path] == nil {
			if size > 0 {
				return w.fail(fmt.Errorf("close bundle: checkpoint at %d has no consistency proof", size))
			}
			w.files[path] = packed(nil)
		}
	}
	for c, p := range w.events {
		w.files[eventsPath(c)] = p
	}
	w.doc.Sizes.Checkpoints = len(w.notes)
	for _, path := range slices.Sorted(maps.Keys(w.files)) {
		if err := w.put(path, w.files[path]); err != nil {
			return err
		}
	}
	if err := w.put(documentPath, packed(w.doc.encode())); err != nil {
		return err
	}
	if err := w.zip.Close(); err != nil {
		return w.fail(fmt.Errorf("close bundle: %w", err))
	}
	return nil
}

func (w *Writer) add(path string, content []byte, count *int) error {
	p := packed(content)
	if old := w.files[path]; old != nil {
		if old.crc != p.crc || old.size != p.size || !bytes.Equal(old.Bytes(), p.Bytes()) {
			return w.fail(fmt.Errorf("add %s: it was added before with other content", path))
		}
		return nil
	}
	w.files[path] = p
	*count++
	return nil
}

func (w *Writer) put(path string, p *packer) error {
	if w.err != nil {
		return w.err
	}
	if p.deflate != nil {
		p.deflate.Close() // writes to memory: no error
	}
	// Sizes are known, so the header can say them: no data descriptors, and
	// any unzip program can read the file as a stream.
	h := &zip.FileHeader{Name: path, Method: zip.Deflate, ReaderVersion: 20, CRC32: p.crc,
		CompressedSize64: uint64(p.Len()), UncompressedSize64: p.size}
	h.SetMode(0o644)
	f, err := w.zip.CreateRaw(h)
	if err == nil {
		_, err = f.Write(p.Bytes())
	}
	if err != nil {
		return w.fail(fmt.Errorf("write %s: %w", path, err))
	}
	return nil
}

// fail keeps the first error, so that Close cannot end well after it.
func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return err
}

// A packer is a file as it will stand in the archive.
type packer struct {
	bytes.Buffer
	deflate *flate.Writer
	size    uint64 // unpacked
	crc     uint32
}

func newPacker() *packer {
	p := new(packer)
	// The level is one that exists. Half of a token is digests and signatures,
	// in which no level finds more than the base64 around them.
	p.deflate, _ = flate.NewWriter(&p.Buffer, flate.BestSpeed)
	return p
}

func packed(content []byte) *packer {
	p := newPacker()
	p.write(content)
	p.deflate.Close()
	return p
}

func (p *packer) write(b []byte) {
	p.deflate.Write(b)
	p.size += uint64(len(b))
	p.crc = crc32.Update(p.crc, crc32.IEEETable, b)
}
