package examine

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
)

// The first eight bytes: a name, the version of who uses Badger, which is 0, and
// Badger's.
var manifestMagic = [8]byte{'B', 'd', 'g', 'r', 0, 0, 0, 8}

func tableName(id uint64) string { return fmt.Sprintf("%06d.sst", id) }

func tableID(name string) (id uint64, ok bool) {
	n, err := fmt.Sscanf(name, "%d.sst", &id)
	return id, err == nil && n == 1 && name == tableName(id)
}

// examineManifest reads the list of tables. others says that there are files which it
// should name.
func (r *Report) examineManifest(dir string, others bool) error {
	flaw := func(fatal bool, p *Patch, format string, a ...any) {
		r.Flaws = append(r.Flaws, Flaw{File: badger.ManifestFilename, What: fmt.Sprintf(format, a...), Patch: p, Fatal: fatal})
	}
	r.tables = map[uint64]badger.TableManifest{}
	b, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if os.IsNotExist(err) {
		if others {
			flaw(true, nil, "it is missing, and without it Badger would remove every table")
		}
		return nil
	}
	if err != nil {
		return err
	}
	if len(b) < len(manifestMagic) {
		flaw(true, nil, "it has %d bytes, which is less than its head", len(b))
		return nil
	}
	for i, want := range manifestMagic {
		if b[i] != want {
			p := &Patch{int64(i), want}
			if d := b[i] ^ want; d&(d-1) != 0 {
				p = nil
			}
			flaw(true, p, "byte %d of its head is not as it was written", i)
			b[i] = want
		}
	}
	at0 := len(manifestMagic)
	for at0 < len(b) {
		set, next, p, ok := manifestSet(b, at0)
		if !ok {
			if next < 0 {
				// Cut off, as a power cut leaves it, or a length that is wrong: whether
				// anything is lost is told by what the tables hold.
				r.cut = true
				flaw(false, nil, "its last %d bytes are no whole change", len(b)-at0)
				return nil
			}
			flaw(true, nil, "the changes at byte %d cannot be read", at0)
			return nil
		}
		if p != nil {
			flaw(true, p, "one bit at byte %d is not as it was written", p.Offset)
		}
		for _, c := range set.Changes {
			if c.Op == pb.ManifestChange_DELETE {
				delete(r.tables, c.Id)
			} else {
				r.tables[c.Id] = badger.TableManifest{Level: uint8(c.Level), KeyID: c.KeyId, Compression: options.CompressionType(c.Compression)}
			}
		}
		at0 = next
	}
	return nil
}

// manifestSet reads the set of changes at an offset, with one bit put right if need
// be. next is where the following begins, negative when the file ends before this one does.
func manifestSet(b []byte, from int) (set *pb.ManifestChangeSet, next int, p *Patch, ok bool) {
	read := func() (*pb.ManifestChangeSet, int) {
		if len(b)-from < 8 {
			return nil, -1
		}
		n := int(binary.BigEndian.Uint32(b[from:]))
		// Zeros have a checksum that holds. Only the first set may be empty: that of a new store.
		if n == 0 && from > len(manifestMagic) || n > len(b)-from-8 {
			return nil, -1
		}
		data := b[from+8 : from+8+n]
		if crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(b[from+4:]) {
			return nil, from + 8 + n
		}
		s := new(pb.ManifestChangeSet)
		if proto.Unmarshal(data, s) != nil {
			return nil, from + 8 + n
		}
		return s, from + 8 + n
	}
	if set, next = read(); set != nil {
		return set, next, nil, true
	}
	if len(b)-from < 8 {
		return nil, next, nil, false
	}
	if n := int(binary.BigEndian.Uint32(b[from:])); n <= len(b)-from-8 {
		if bit, inSum, found := flipped(b[from+8:from+8+n], binary.BigEndian.Uint32(b[from+4:])); found && !inSum {
			p = at(b, from+8, bit)
		} else if found {
			p = at(b, from+4+3-bit/8, bit%8)
		}
	}
	if p == nil {
		var found bool
		if p, found = anyBit(b, from, from+4, func() bool { s, _ := read(); return s != nil }); !found {
			return nil, next, nil, false
		}
	}
	p.apply(b)
	set, next = read()
	return set, next, p, set != nil
}
