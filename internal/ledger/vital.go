package ledger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/ledger/examine"
)

// The file VITAL, beside the store, holds once more what the ledger can neither be opened without nor make anew: every
// value under a letter that is vital (see losses). It is a copy of those values, and behind it what each
// transaction changed of them:
//
//	stile vital 1\n
//	length4 sum4 body, and so on
//
// The sum is CRC-32C of the body. Where the store is encrypted a body is nonce12 and what AES-256-GCM makes of it, under a
// key that HKDF (RFC 5869, SHA-256) derives from that of the store. In clear it is
//
//	commit8 version8 kind1, and then length key, 1+length value for each change
//
// with lengths as varints; a value of length 0 is a deletion. Commit is the number of the transaction (see signed.go), version
// is Badger's. Kind 1 is a part of the copy, 2 the last part of it, 0 a transaction.
//
// A transaction is added once it is on disk and before anybody is told so, and synced a second later at most, before
// SIGNED is. So after a killed process it is exact. It is believed only as a whole, and only when it has come as far as
// SIGNED. Once it is several times as long as the copy was, and whenever something is dropped for good, it is made anew from
// the store and takes the place of the one before.
const (
	vitalName = "VITAL"
	vitalHead = "stile vital 1\n"

	vitalPart = 1 << 20 // bytes of a part of the copy, about
	vitalMost = 8 << 20 // bytes of transactions behind the copy, and twice the copy, before it is made anew
)

const (
	vitalTransaction byte = iota
	vitalCopy
	vitalCopied
)

// isVital says of which letters the file holds the values.
var isVital = func() (is [256]bool) {
	for c, loss := range losses {
		is[c] = loss == vital && c != fileLetter // files stand only in a store that machines share
	}
	return is
}()

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A vitalFile is the open file. nil, of a store in memory or of a replica, does nothing.
type vitalFile struct {
	dir  string
	aead cipher.AEAD // nil where the store is not encrypted

	mu     sync.Mutex // guards what follows
	f      *os.File   // nil until there is a file
	size   int64      // up to which it can be read
	copied int64      // where the copy ends; 0 when it is not whole
	commit uint64     // of the last transaction in it
}

// openVital opens the file and reads how far it comes. What cannot be read is an error only of the disk.
func openVital(o Options) (*vitalFile, error) {
	v := &vitalFile{dir: o.Dir}
	if len(o.EncryptionKey) > 0 {
		key, err := hkdf.Key(sha256.New, o.EncryptionKey, nil, vitalHead, 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if v.aead, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	err := v.read(nil)
	return v, err
}

// read walks the file up to the first part that cannot be read, and calls f with each change.
func (v *vitalFile) read(f func(version uint64, key, value []byte)) error {
	b, err := os.ReadFile(filepath.Join(v.dir, vitalName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	v.size, v.copied, v.commit = 0, 0, 0
	rest, ok := bytes.CutPrefix(b, []byte(vitalHead))
	for ok && len(rest) >= 8 {
		n := uint64(binary.BigEndian.Uint32(rest))
		if n > uint64(len(rest)-8) || crc32.Checksum(rest[8:8+n], castagnoli) != binary.BigEndian.Uint32(rest[4:]) {
			break
		}
		body := rest[8 : 8+n]
		if v.aead != nil {
			if len(body) < v.aead.NonceSize() {
				break
			}
			if body, err = v.aead.Open(nil, body[:v.aead.NonceSize()], body[v.aead.NonceSize():], nil); err != nil {
				break
			}
		}
		if !readVital(body, f) {
			break
		}
		rest = rest[8+n:]
		v.size = int64(len(b) - len(rest))
		switch v.commit = binary.BigEndian.Uint64(body); body[16] {
		case vitalCopied:
			v.copied = v.size
		}
	}
	return nil
}

func readVital(b []byte, f func(version uint64, key, value []byte)) bool {
	if len(b) < 17 {
		return false
	}
	version := binary.BigEndian.Uint64(b[8:])
	for b = b[17:]; len(b) > 0; {
		var parts [2][]byte
		deleted := false
		for i := range parts {
			n, used := binary.Uvarint(b)
			if used <= 0 {
				return false
			}
			if i == 1 {
				if deleted = n == 0; !deleted {
					n--
				}
			}
			if n > uint64(len(b)-used) {
				return false
			}
			parts[i], b = b[used:used+int(n):used+int(n)], b[used+int(n):]
		}
		if deleted {
			parts[1] = nil
		}
		if f != nil {
			f(version, parts[0], parts[1])
		}
	}
	return true
}

// whole reports whether the file has all that was acknowledged by a commit.
func (v *vitalFile) whole(commit uint64) bool {
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.copied > 0 && v.commit >= commit
}

// changes returns what is to be added of a transaction; nil when it changes nothing vital.
func (v *vitalFile) changes(b []byte, groups ...map[string][]byte) []byte {
	for _, g := range groups {
		for k, value := range g {
			if k != "" && isVital[k[0]] {
				b = appendVital(b, []byte(k), value)
			}
		}
	}
	return b
}

func appendVital(b, key, value []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	if value == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(value))+1), value...)
}

func vitalBody(commit, version uint64, kind byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 512), commit)
	return append(binary.BigEndian.AppendUint64(b, version), kind)
}

// sealed returns a body as it stands in the file.
func (v *vitalFile) sealed(body []byte) ([]byte, error) {
	if v.aead != nil {
		nonce := make([]byte, v.aead.NonceSize())
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
		body = v.aead.Seal(nonce, nonce, body, nil)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 8+len(body)), uint32(len(body)))
	return append(binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli)), body...), nil
}

// wrote adds what a transaction changed, which is on disk in db.
func (v *vitalFile) wrote(db *badger.DB, commit uint64, groups ...map[string][]byte) error {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.copied == 0 || v.commit+1 != commit || v.size > vitalMost+3*v.copied {
		return v.anew(db, commit)
	}
	b, err := v.sealed(v.changes(vitalBody(commit, lastVersion(db), vitalTransaction), groups...))
	if err == nil {
		err = v.open()
	}
	if err == nil {
		_, err = v.f.WriteAt(b, v.size)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", vitalName, err)
	}
	v.size, v.commit = v.size+int64(len(b)), commit
	return nil
}

// lastVersion is the version of the newest transaction in a store.
func lastVersion(db *badger.DB) uint64 {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	return txn.ReadTs()
}

func (v *vitalFile) open() (err error) {
	if v.f != nil {
		return nil
	}
	if v.f, err = os.OpenFile(filepath.Join(v.dir, vitalName), os.O_RDWR, 0); err != nil {
		return err
	}
	// Behind what can be read may stand what was being written when the process was killed.
	return v.f.Truncate(v.size)
}

// ready makes the file when there is none that says all that the store has, up to a transaction.
func (v *vitalFile) ready(db *badger.DB, commit uint64) error {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.copied > 0 && v.commit == commit {
		return nil
	}
	return v.anew(db, commit)
}

// renew makes the file anew: what was in it and is not in the store any more is gone from it.
func (v *vitalFile) renew(db *badger.DB, commit uint64) error {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.anew(db, commit)
}

// anew writes the file anew, as the store stands. It is called with v.mu held, and nothing is written to the store meanwhile.
func (v *vitalFile) anew(db *badger.DB, commit uint64) (err error) {
	path := filepath.Join(v.dir, vitalName)
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", vitalName, err)
	}
	size := int64(0)
	put := func(b []byte, err error) error {
		if err == nil {
			_, err = f.WriteAt(b, size)
			size += int64(len(b))
		}
		return err
	}
	err = put([]byte(vitalHead), nil)
	if err == nil {
		err = db.View(func(txn *badger.Txn) error {
			body := vitalBody(commit, txn.ReadTs(), vitalCopy)
			for c, is := range isVital {
				if !is {
					continue
				}
				if err := walk(txn, []byte{byte(c)}, func(key, value []byte) error {
					body = appendVital(body, key, value)
					if len(body) < vitalPart {
						return nil
					}
					err := put(v.sealed(body))
					body = vitalBody(commit, txn.ReadTs(), vitalCopy)
					return err
				}); err != nil {
					return err
				}
			}
			body[16] = vitalCopied
			return put(v.sealed(body))
		})
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", vitalName, err), f.Close())
	}
	if v.f != nil {
		err = v.f.Close()
	}
	v.f, v.size, v.copied, v.commit = f, size, size, commit
	return err
}

// sync returns once all of it is on disk.
func (v *vitalFile) sync() error {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.f == nil {
		return nil
	}
	if err := v.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", vitalName, err)
	}
	return nil
}

func (v *vitalFile) close() error {
	if v == nil || v.f == nil {
		return nil
	}
	return v.f.Close()
}

// restoreVital writes into the store what stood in holes of it under vital letters. What the store has newer stays.
// The error wraps ErrDamaged when something may have stood there and the file VITAL cannot tell.
func (l *Ledger) restoreVital(holes []examine.Hole) error {
	v := l.beside.vital
	if needed(holes, false) == "" {
		return nil
	}
	if !v.whole(l.beside.now.commit) {
		return &DamageError{Lost: "a part of the store, and of its second place, the file " + vitalName}
	}
	type change struct {
		version uint64
		value   []byte
	}
	state := map[string]change{}
	newest := uint64(0)
	v.mu.Lock()
	err := v.read(func(version uint64, key, value []byte) {
		state[string(key)] = change{version, value}
		newest = max(newest, version)
	})
	v.mu.Unlock()
	if err != nil {
		return err
	}
	in := func(key []byte) bool {
		return slices.ContainsFunc(holes, func(h examine.Hole) bool { return h.Has(key) })
	}
	sets := map[string][]byte{}
	err = l.db.View(func(txn *badger.Txn) error {
		for _, k := range slices.Sorted(maps.Keys(state)) {
			key := []byte(k)
			if !in(key) || !isVital[key[0]] {
				continue
			}
			item, err := txn.Get(key)
			switch {
			case errors.Is(err, badger.ErrKeyNotFound):
				if state[k].value != nil {
					sets[k] = state[k].value
				}
			case err != nil:
				return fmt.Errorf("%w: %w", ErrStorage, err)
			case item.Version() < state[k].version:
				sets[k] = state[k].value
			}
		}
		// What stands there and was deleted since has come up again from an older table.
		for c, is := range isVital {
			if !is || !slices.ContainsFunc(holes, func(h examine.Hole) bool { return h.Meets([]byte{byte(c)}) }) {
				continue
			}
			o := badger.DefaultIteratorOptions
			o.Prefix, o.PrefetchValues = []byte{byte(c)}, false
			it := txn.NewIterator(o)
			for it.Rewind(); it.Valid(); it.Next() {
				if key := it.Item().Key(); in(key) && it.Item().Version() <= newest {
					if _, ok := state[string(key)]; !ok {
						sets[string(key)] = nil
					}
				}
			}
			it.Close()
		}
		return nil
	})
	if err != nil {
		return err
	}
	part, size := map[string][]byte{}, 0
	for k, value := range sets {
		part[k] = value
		if size += writeSize([]byte(k), value); size >= maxJobBytes/2 || len(part) == indexChunk {
			if err := l.storeAll(part); err != nil {
				return fmt.Errorf("%w: %w", ErrStorage, err)
			}
			clear(part)
			size = 0
		}
	}
	if err := l.storeAll(part); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}
