package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/ledger/examine"
	"github.com/stile-exchange/stile/internal/tlog"
)

// The file SIGNED, beside Badger's own, says what was signed and acknowledged last, so
// that a store which has lost some of it is known before it is written to:
//
//	stile signed 1
//	write 4713
//	commit 4711
//	size 2132
//	root BASE64
//	manifest BASE64, or - while the store is open
//	sum BASE64
//
// and zeros, in each of two places of 512 bytes that are written by turns. The sum is
// SHA-256 of the lines before it. A commit is a transaction of the ledger; each writes its number under
// keyCommit, too. The digest of Badger's list of tables is there once the store was closed.
// Behind both stand two lines that tell the folder from a copy of it: see place.go.
//
// It is written after a transaction is on disk and before anybody is told so, and synced
// a second later at most, not with each transaction. So after a killed process it says
// what the store must hold, and after a power cut what it must hold at least.
const (
	signedName = "SIGNED"
	signedSlot = 512
	syncAfter  = time.Second
)

// signed is what the file says.
type signed struct {
	write    uint64 // of the file: which of the two places is the newer
	commit   uint64
	size     uint64
	root     tlog.Hash
	manifest string // digest of MANIFEST; "" while the store is open
}

func (s signed) encode() []byte {
	m := s.manifest
	if m == "" {
		m = "-"
	}
	b := fmt.Appendf(nil, "stile signed 1\nwrite %d\ncommit %d\nsize %d\nroot %s\nmanifest %s\n", s.write, s.commit, s.size, base64.StdEncoding.EncodeToString(s.root[:]), m)
	sum := sha256.Sum256(b)
	b = fmt.Appendf(b, "sum %s\n", base64.StdEncoding.EncodeToString(sum[:]))
	return append(b, make([]byte, signedSlot-len(b))...)
}

func decodeSigned(b []byte) (s signed, ok bool) {
	b = bytes.TrimRight(b, "\x00")
	i := bytes.LastIndex(b, []byte("sum "))
	if i < 0 {
		return s, false
	}
	sum := sha256.Sum256(b[:i])
	if string(b[i:]) != "sum "+base64.StdEncoding.EncodeToString(sum[:])+"\n" {
		return s, false
	}
	f := strings.Fields(string(b[:i]))
	if len(f) != 13 || string(b[:i]) != fmt.Sprintf("stile signed 1\nwrite %s\ncommit %s\nsize %s\nroot %s\nmanifest %s\n", f[4], f[6], f[8], f[10], f[12]) {
		return s, false
	}
	var errs [4]error
	var root []byte
	s.write, errs[0] = strconv.ParseUint(f[4], 10, 64)
	s.commit, errs[1] = strconv.ParseUint(f[6], 10, 64)
	s.size, errs[2] = strconv.ParseUint(f[8], 10, 64)
	root, errs[3] = base64.StdEncoding.DecodeString(f[10])
	if errors.Join(errs[:]...) != nil || len(root) != len(s.root) {
		return s, false
	}
	copy(s.root[:], root)
	if f[12] != "-" {
		s.manifest = f[12]
	}
	return s, true
}

// A signedFile is the open file. The zero value, of a store in memory or of a
// replica, does nothing.
type signedFile struct {
	dir  string
	f    *os.File
	own  bool         // when it was opened, the folder was the one that was written last
	read bool         // nothing is written: see Options.Reading
	gone func() error // removes what was made elsewhere for that; nil for nothing

	// Other second places, which are synced before this one; nil for nothing.
	vital  *vitalFile
	places *placesFile

	mu    sync.Mutex // guards what follows
	place string     // what the file system calls the file; "" while the folder is not ours
	now   signed
	had   bool // the file said something when it was opened
	turn  int64
	timer *time.Timer // set while what was written is not synced
	err   error       // of a sync
}

// openSigned opens the file in a store's folder, or makes it, and holds the folder for this
// process. With read, nothing is made or written.
func openSigned(dir string, read bool) (*signedFile, error) {
	flags := os.O_RDWR | os.O_CREATE
	if read {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(filepath.Join(dir, signedName), flags, 0o600)
	if err != nil {
		return nil, unwritable(err)
	}
	for try := 0; ; try++ {
		// Another program that this process is starting holds a copy of the lock until it has
		// become that program.
		if err = lockFile(f); err == nil {
			break
		}
		if try == 5 {
			return nil, errors.Join(fmt.Errorf("%w: %s", ErrInUse, filepath.Clean(dir)), f.Close())
		}
		time.Sleep(20 * time.Millisecond)
	}
	s := &signedFile{dir: dir, f: f, read: read}
	s.own = s.readPlace() // before anything is written
	b := make([]byte, 2*signedSlot)
	n, _ := f.ReadAt(b, 0)
	for i := range int64(2) {
		if at := i * signedSlot; at < int64(n) {
			if v, ok := decodeSigned(b[at:min(at+signedSlot, int64(n))]); ok && (!s.had || v.write > s.now.write) {
				s.now, s.had, s.turn = v, true, 1-i
			}
		}
	}
	return s, nil
}

// write writes what was signed last.
func (s *signedFile) write(v signed) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(v)
}

func (s *signedFile) put(v signed) error {
	if s.read {
		return nil
	}
	if s.err != nil {
		return s.err
	}
	v.write = s.now.write + 1
	if _, err := s.f.WriteAt(v.encode(), s.turn*signedSlot); err != nil {
		return fmt.Errorf("write %s: %w", signedName, err)
	}
	s.now, s.had, s.turn = v, true, 1-s.turn
	if err := s.stamp(); err != nil {
		return err
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(syncAfter, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.timer == nil {
				return
			}
			s.timer = nil
			if s.err = errors.Join(s.places.sync(), s.vital.sync()); s.err != nil {
				return
			}
			if err := s.f.Sync(); err != nil {
				s.err = fmt.Errorf("sync %s: %w", signedName, err)
			}
		})
	}
	return nil
}

// next returns the number of the next transaction.
func (s *signedFile) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.commit + 1
}

// opening notes that the store is about to be opened.
func (s *signedFile) opening() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.manifest == "" {
		return nil
	}
	v := s.now
	v.manifest = ""
	if err := s.put(v); err != nil {
		return err
	}
	// Until this is on disk the digest of the list of tables stands there.
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", signedName, err)
	}
	return nil
}

// close lets the folder go. whole says that the store was closed as it should be.
func (s *signedFile) close(whole bool) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	var err error
	if s.gone != nil {
		err = s.gone()
	}
	if whole && s.had && !s.read {
		v := s.now
		if v.manifest, err = digestOf(filepath.Join(s.dir, badger.ManifestFilename)); err == nil {
			err = s.put(v)
			s.timer.Stop()
			s.timer = nil
		}
		if err == nil {
			err = errors.Join(s.places.sync(), s.vital.sync())
		}
		if err == nil {
			err = s.f.Sync()
		}
	}
	return errors.Join(err, s.places.close(), s.vital.close(), s.f.Close())
}

func digestOf(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// keyCommit is where each transaction of a ledger writes its number.
var keyCommit = []byte("W")

// A DamageError says that files of the store are damaged, or that something is missing which was
// acknowledged. Nothing was written. It wraps ErrDamaged.
type DamageError struct {
	Flaws []examine.Flaw // what cannot be put right from checksums alone, by file
	Lost  string         // in words, what is known to be missing; "" for nothing
	Why   string         // in words, why all else is not served; "" where Lost says enough
}

func (e *DamageError) Error() string {
	var b strings.Builder
	b.WriteString(ErrDamaged.Error())
	if e.Lost != "" {
		b.WriteString(": " + e.Lost)
	}
	for i, f := range e.Flaws {
		if i == 5 {
			fmt.Fprintf(&b, "\nand %d more", len(e.Flaws)-i)
			break
		}
		b.WriteString("\n" + f.String())
	}
	if e.Why != "" {
		b.WriteString("\n" + e.Why)
	}
	return b.String()
}

func (e *DamageError) Unwrap() error { return ErrDamaged }

// examineStore looks at the files in o.Dir before Badger opens them. What one flipped bit explains it
// puts right. It returns a *DamageError when anything else that was
// acknowledged cannot be read or is missing.
func examineStore(o Options, s *signedFile) error {
	r, d, err := examineFiles(o, s, false)
	if err != nil {
		return err
	}
	// Where the list of tables is what is wrong, the tables themselves say what is in the store.
	relist := slices.ContainsFunc(d.Flaws, func(f examine.Flaw) bool { return f.File == badger.ManifestFilename })
	if relist {
		was := d
		if r, d, err = examineFiles(o, s, true); err != nil {
			return err
		}
		if d.Lost != "" {
			d.Flaws = append(was.Flaws, d.Flaws...)
		}
	}
	covered := s.had && s.vital.whole(s.now.commit)
	var gone []examine.Hole
	if d.Lost != "" && covered && !r.New {
		// The last transactions are not there, and it is not known what they wrote.
		gone = append(gone, examine.Anything("the end of what was written"))
	}
	if (len(d.Flaws) > 0 || len(gone) > 0) && (d.Lost == "" || len(gone) > 0) {
		if done, err := salvage(o, r, relist, covered, gone...); done || err != nil {
			return err
		}
	}
	if len(d.Flaws) > 0 || d.Lost != "" {
		d.Why = whyRefused(r, covered)
		return d
	}
	for _, f := range r.Flaws {
		if f.Patch != nil {
			o.Log.Warn("a file of the store was damaged: one bit was not as it was written and is put right; look at the disk and the memory of this machine", "file", f.File, "byte", f.Patch.Offset)
		}
	}
	if err := r.Mend(o.Dir); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if relist {
		return relisted(o, r)
	}
	return nil
}

// relisted makes the list of tables anew, and keeps the files as they were until the ledger that is opened
// from them was held against what was signed: see [Ledger.findDamage].
func relisted(o Options, r *examine.Report) error {
	if err := r.Relist(o.Dir, filepath.Join(o.Dir, asideName)); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	o.Log.Error("the store's list of tables was damaged and is made anew from the tables; look at the disk and the memory of this machine", "file", badger.ManifestFilename)
	return nil
}

// examineFiles examines the store, and holds what is in it against what was signed.
func examineFiles(o Options, s *signedFile, relist bool) (*examine.Report, *DamageError, error) {
	r, err := examine.Folder(examine.Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey, Counter: keyCommit, Relist: relist})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return nil, nil, errWrongKey
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	d := &DamageError{Flaws: r.Fatal()}
	if !s.had {
		return r, d, nil
	}
	switch {
	case r.New && s.now.commit > 0:
		d.Lost = fmt.Sprintf("the store is gone, and %d entries were signed", s.now.size)
	case s.now.manifest != "" && !relist:
		// Closed as it should be, and so MANIFEST is as it was then.
		if got, err := digestPatched(o.Dir, r); err != nil || got != s.now.manifest {
			d.Flaws = append(d.Flaws, examine.Flaw{File: badger.ManifestFilename, What: "it is not as it was when the store was closed", Fatal: true})
		}
	}
	if r.Commits < s.now.commit && d.Lost == "" {
		d.Lost = fmt.Sprintf("of %d transactions that were acknowledged the last is missing", s.now.commit)
		if len(d.Flaws) == 0 {
			d.Lost = fmt.Sprintf("of %d transactions that were acknowledged, up to entry %d, the files hold %d", s.now.commit, s.now.size, r.Commits)
		}
		if r.LooseCommits >= s.now.commit {
			d.Flaws = append(d.Flaws, examine.Flaw{File: badger.ManifestFilename, What: "it does not name " + strings.Join(r.Loose, ", ") + ", which hold what was acknowledged last", Fatal: true})
		}
	}
	return r, d, nil
}

var errWrongKey = errors.New("the encryption key is not the one this folder was written with")

// digestPatched is digestOf MANIFEST as it will be once it is put right.
func digestPatched(dir string, r *examine.Report) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return "", err
	}
	for _, f := range r.Flaws {
		if f.File == badger.ManifestFilename && f.Patch != nil {
			b[f.Patch.Offset] = f.Patch.Byte
		}
	}
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// holdAgainst holds the log that was read from the store against what was signed.
func (l *Ledger) holdAgainst(txn *badger.Txn) error {
	if l.beside == nil {
		return nil
	}
	if !l.beside.had {
		// A new store, or one that an earlier version wrote.
		at := signed{size: l.tree.Size(), root: l.tree.Root()}
		v, err := valueOf(txn, keyCommit)
		switch {
		case err == nil && len(v) == 8:
			at.commit = binary.BigEndian.Uint64(v)
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		}
		return l.beside.write(at)
	}
	was := l.beside.now
	if v, err := valueOf(txn, keyCommit); err == nil && len(v) == 8 {
		// Killed before it said so, the store may have one more, which keeps its number.
		l.beside.now.commit = max(was.commit, binary.BigEndian.Uint64(v))
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if l.tree.Size() < was.size {
		return &DamageError{Lost: fmt.Sprintf("the log has %d entries, and %d were signed", l.tree.Size(), was.size)}
	}
	then, err := tlog.OpenTree(was.size, txnTiles{txn: txn})
	if err != nil {
		return fmt.Errorf("%w: log: %w", ErrDamaged, err)
	}
	if then.Root() != was.root {
		return &DamageError{Lost: fmt.Sprintf("the log is not the one that was signed at %d entries", was.size)}
	}
	return nil
}
