package audit

import (
	"archive/zip"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node/name"
)

// The paths of a bundle. Each has one spelling, which place reads back.
const (
	documentPath = "bundle.json"
	gonePath     = "gone.ndjson"
	maxPath      = 400
)

func chunkPath(n int) string      { return fmt.Sprintf("entries/%04d.ndjson", n) }
func proofPath(n int) string      { return fmt.Sprintf("proofs/%04d.bin", n) }
func notePath(size uint64) string { return fmt.Sprintf("checkpoints/%d.note", size) }
func historyPath(size uint64) string {
	return fmt.Sprintf("checkpoints/%d.proof", size)
}
func memberPath(c name.Council) string { return "directory/" + string(c) + ".yaml" }
func eventsPath(c name.Council) string { return "events/" + string(c) + ".ndjson" }
func standardPath(s name.Standard) string {
	return "standards/" + s.String() + ".zip"
}
func agreementPath(a name.Agreement, version int) string {
	return fmt.Sprintf("agreements/%s@%d.json", a, version)
}

// contents is an opened archive, its files sorted out by what their paths say.
type contents struct {
	doc        *document
	header     *zip.File
	numbered   map[string]map[int]*zip.File // chunks and proofs, by folder and number
	size       map[string]uint64            // bytes that a folder unpacks to
	chunks     []*zip.File                  // by number
	proofs     []*zip.File                  // by number
	agreements []named[agreementID]
	notes      []named[uint64] // by size
	histories  map[uint64]*zip.File
	members    []named[name.Council]
	events     []named[name.Council]
	standards  []named[name.Standard]
	tuf        map[string]*zip.File // by path in the directory's tree
	gone       *zip.File            // nil: there is none
}

// named is a file and what its path names.
type named[T any] struct {
	id   T
	file *zip.File
}

type agreementID struct {
	name    name.Agreement
	version int
}

// open reads the archive's table of contents and bundle.json, and refuses
// whatever could be read in two ways or would take more than its limits to read.
func open(r io.ReaderAt, size int64) (*contents, error) {
	zr, err := readDirectory(r, size)
	if err != nil {
		return nil, err
	}
	if err := checkShape(zr.File); err != nil {
		return nil, err
	}
	c := &contents{numbered: map[string]map[int]*zip.File{"entries": {}, "proofs": {}}, histories: map[uint64]*zip.File{}, tuf: map[string]*zip.File{}, size: map[string]uint64{}}
	for _, f := range zr.File {
		limit, ok := c.add(f)
		if !ok {
			return nil, fmt.Errorf("%w: %.80q is no file that a bundle of format %d has", ErrBundle, f.Name, Format)
		}
		if f.UncompressedSize64 > limit {
			return nil, fmt.Errorf("%w: %s would unpack to more than %d bytes", ErrBundle, f.Name, limit)
		}
	}
	switch {
	case c.header == nil:
		return nil, fmt.Errorf("%w: bundle.json is missing", ErrBundle)
	case len(c.members) > MaxMembers, len(c.standards) > MaxStandards, len(c.agreements) > MaxAgreements, len(c.notes) > MaxNotes:
		return nil, fmt.Errorf("%w: more members, standards, agreements or checkpoints than a bundle may hold", ErrBundle)
	case c.size["standards"] > maxStandards, c.size["events"] > MaxEvents, c.size["tuf"] > maxTUF:
		return nil, fmt.Errorf("%w: more bytes of standards, events or the directory than a bundle may hold", ErrBundle)
	}
	if c.chunks, err = inOrder(c.numbered["entries"], chunkPath); err != nil {
		return nil, err
	}
	// A proof that is missing is a check that fails, not a file that cannot be
	// read: proofs has a nil for it.
	c.proofs = make([]*zip.File, len(c.chunks))
	for n, f := range c.numbered["proofs"] {
		if n >= len(c.proofs) {
			return nil, fmt.Errorf("%w: %s proves nothing that is here", ErrBundle, f.Name)
		}
		c.proofs[n] = f
	}
	c.sort()
	b, err := readFile(c.header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if c.doc, err = decodeDocument(b); err != nil {
		return nil, err
	}
	if (c.gone != nil) != (c.doc.Sizes.Gone > 0) {
		return nil, fmt.Errorf("%w: %s is there, or is missing, and bundle.json says otherwise", ErrBundle, gonePath)
	}
	return c, nil
}

// add takes a file of the archive among the contents, by its path, and returns
// how many bytes it may unpack to. It is false for a path that no bundle has, or
// that could be spelt in another way.
func (c *contents) add(f *zip.File) (limit uint64, ok bool) {
	dir, rest, _ := strings.Cut(f.Name, "/")
	c.size[dir] += f.UncompressedSize64
	switch dir {
	case documentPath:
		c.header, limit, ok = f, maxHeader, rest == "" && f.Name == documentPath
	case gonePath:
		c.gone, limit, ok = f, MaxGone, f.Name == gonePath
	case "entries":
		n, e := strconv.Atoi(strings.TrimSuffix(rest, ".ndjson"))
		ok = e == nil && n >= 0 && n < MaxChunks && chunkPath(n) == f.Name
		c.numbered[dir][n], limit = f, MaxChunkBytes
	case "proofs":
		n, e := strconv.Atoi(strings.TrimSuffix(rest, ".bin"))
		ok = e == nil && n >= 0 && n < MaxChunks && proofPath(n) == f.Name
		c.numbered[dir][n], limit = f, maxProof
	case "checkpoints":
		text, isNote := strings.CutSuffix(rest, ".note")
		n, e := strconv.ParseUint(strings.TrimSuffix(text, ".proof"), 10, 63)
		if isNote {
			ok = e == nil && notePath(n) == f.Name
			c.notes, limit = append(c.notes, named[uint64]{n, f}), maxNote
		} else {
			ok = e == nil && historyPath(n) == f.Name
			c.histories[n], limit = f, maxHistory
		}
	case "directory":
		m, e := name.ParseCouncil(strings.TrimSuffix(rest, ".yaml"))
		ok = e == nil && memberPath(m) == f.Name
		c.members, limit = append(c.members, named[name.Council]{m, f}), maxMember
	case "tuf":
		var most int64
		most, ok = tufdir.EvidencePath(rest)
		c.tuf[rest], limit = f, uint64(most)
	case "events":
		m, e := name.ParseCouncil(strings.TrimSuffix(rest, ".ndjson"))
		ok = e == nil && eventsPath(m) == f.Name
		c.events, limit = append(c.events, named[name.Council]{m, f}), MaxEvents
	case "standards":
		s, e := name.ParseStandard(strings.TrimSuffix(rest, ".zip"))
		ok = e == nil && standardPath(s) == f.Name
		c.standards, limit = append(c.standards, named[name.Standard]{s, f}), maxArchive
	case "agreements":
		a, v, _ := strings.Cut(strings.TrimSuffix(rest, ".json"), "@")
		id, e := name.ParseAgreement(a)
		n, e2 := strconv.Atoi(v)
		ok = e == nil && e2 == nil && n > 0 && agreementPath(id, n) == f.Name
		c.agreements, limit = append(c.agreements, named[agreementID]{agreementID{id, n}, f}), maxAgreement
	}
	return limit, ok
}

// sort puts the files of each kind in the order in which they are verified.
func (c *contents) sort() {
	slices.SortFunc(c.agreements, func(a, b named[agreementID]) int {
		return cmp.Or(cmp.Compare(a.id.name, b.id.name), cmp.Compare(a.id.version, b.id.version))
	})
	slices.SortFunc(c.notes, func(a, b named[uint64]) int { return cmp.Compare(a.id, b.id) })
	for _, s := range [][]named[name.Council]{c.members, c.events} {
		slices.SortFunc(s, func(a, b named[name.Council]) int { return cmp.Compare(a.id, b.id) })
	}
	slices.SortFunc(c.standards, func(a, b named[name.Standard]) int { return cmp.Compare(a.file.Name, b.file.Name) })
}

// Limits of files whose format is another package's, in bytes.
const (
	maxProof     = MaxChunk * 64 * 32 // a batch proof of a chunk
	maxHistory   = 128 * 32           // a consistency proof
	maxNote      = 64 << 10           // tlog.MaxNote
	maxMember    = 64 << 10           // directory.MaxFile
	maxAgreement = 128 << 10          // agreement.MaxDocument
)

// inOrder lists numbered files from 0 on, without a gap.
func inOrder(files map[int]*zip.File, path func(int) string) ([]*zip.File, error) {
	out := make([]*zip.File, len(files))
	for i := range out {
		if out[i] = files[i]; out[i] == nil {
			return nil, fmt.Errorf("%w: %s is missing", ErrBundle, path(i))
		}
	}
	return out, nil
}

var errDirectory = errors.New("table of contents is too long")

var errAround = fmt.Errorf("%w: something stands before or behind the archive, which nobody would read", ErrBundle)

// endsAsArchive checks that the file ends with the record that ends a zip,
// without a comment, and that this one belongs to what stands before it.
func endsAsArchive(r io.ReaderAt, size int64) error {
	var last [22]byte
	if size < int64(len(last)) {
		return fmt.Errorf("%w: too short", ErrBundle)
	}
	if _, err := r.ReadAt(last[:], size-int64(len(last))); err != nil && err != io.EOF {
		return err
	}
	if string(last[:4]) != "PK\x05\x06" || last[20] != 0 || last[21] != 0 {
		return errAround
	}
	// The table of contents stands right before its end, unless the archive is
	// so large (zip64) that the numbers are written elsewhere.
	length, offset := binary.LittleEndian.Uint32(last[12:]), binary.LittleEndian.Uint32(last[16:])
	if length != 1<<32-1 && offset != 1<<32-1 && int64(length)+int64(offset)+int64(len(last)) != size {
		return errAround
	}
	return nil
}

// beginsAsArchive checks that the file begins with one of the archive's files:
// a zip may stand behind anything, another zip included.
func beginsAsArchive(r io.ReaderAt, zr *zip.Reader) error {
	var head [30]byte // local file header; name and extra field lengths at its end
	if _, err := r.ReadAt(head[:], 0); err != nil || string(head[:4]) != "PK\x03\x04" {
		return errAround
	}
	data := int64(len(head)) + int64(binary.LittleEndian.Uint16(head[26:])) + int64(binary.LittleEndian.Uint16(head[28:]))
	for _, f := range zr.File {
		if at, err := f.DataOffset(); err == nil && at == data {
			return nil
		}
	}
	return errAround
}

// readDirectory opens the zip. Reading the table of contents takes memory
// several times its size before the number of files can be looked at, so what
// is read of it is bounded from below.
func readDirectory(r io.ReaderAt, size int64) (*zip.Reader, error) {
	b := &bounded{r: r, left: 2*64<<10 + MaxFiles*(46+maxPath)}
	if err := endsAsArchive(r, size); err != nil {
		return nil, err
	}
	zr, err := zip.NewReader(b, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if len(zr.File) > MaxFiles {
		return nil, fmt.Errorf("%w: more than %d files", ErrBundle, MaxFiles)
	}
	b.left = -1 // the files themselves have limits of their own
	if err := beginsAsArchive(r, zr); err != nil {
		return nil, err
	}
	return zr, nil
}

// bounded stops giving after a number of bytes; -1 lifts the bound. It is used
// concurrently only once lifted.
type bounded struct {
	r    io.ReaderAt
	left int64
}

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			b.left = 0
			return 0, errDirectory
		}
	}
	return b.r.ReadAt(p, off)
}

// maxRatio is how far a file of over a mebibyte may be packed. Tokens pack to
// about two thirds; deflate reaches 1000 for nothing but a bomb.
const maxRatio = 100

// checkShape refuses an archive that two programs could unpack to two things,
// or that unpacks to far more than it is.
func checkShape(files []*zip.File) error {
	type extent struct {
		from, to int64
		name     string
	}
	seen := make(map[string]bool, len(files))
	places := make([]extent, 0, len(files))
	for _, f := range files {
		switch {
		case len(f.Name) > maxPath || strings.Contains(f.Name, `\`) || strings.HasPrefix(f.Name, "/") ||
			slices.Contains(strings.Split(f.Name, "/"), ".."):
			return fmt.Errorf("%w: a path that could lead out of the archive: %.80q", ErrBundle, f.Name)
		case seen[f.Name]:
			return fmt.Errorf("%w: %.80q is there twice", ErrBundle, f.Name)
		case !f.Mode().IsRegular():
			return fmt.Errorf("%w: %.80q is not a plain file", ErrBundle, f.Name)
		case f.Flags&1 != 0 || f.Method != zip.Store && f.Method != zip.Deflate:
			return fmt.Errorf("%w: %.80q is encrypted, or packed in a way that is not used", ErrBundle, f.Name)
		case f.UncompressedSize64 > 1<<20 && f.UncompressedSize64/maxRatio > f.CompressedSize64:
			return fmt.Errorf("%w: %.80q would unpack to over %d times its size", ErrBundle, f.Name, maxRatio)
		}
		seen[f.Name] = true
		at, err := f.DataOffset()
		if err != nil {
			return fmt.Errorf("%w: %.80q: %w", ErrBundle, f.Name, err)
		}
		places = append(places, extent{at, at + int64(f.CompressedSize64), f.Name})
	}
	// Files that share bytes are how a small archive unpacks to a huge one.
	slices.SortFunc(places, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(places); i++ {
		if places[i].from < places[i-1].to {
			return fmt.Errorf("%w: %.80q and %.80q overlap", ErrBundle, places[i-1].name, places[i].name)
		}
	}
	return nil
}

// readFile unpacks a file whose stated size was found within its limit. The
// library gives an error when the content is longer than stated or its
// checksum is wrong.
func readFile(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", f.Name, err)
	}
	defer r.Close()
	b := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", f.Name, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, fmt.Errorf("unpack %s: %w", f.Name, cmp.Or(err, zip.ErrFormat))
	}
	return b, nil
}
