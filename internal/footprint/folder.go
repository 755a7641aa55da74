package footprint

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A folder is where one member keeps its replica of one footprint:
//
//	identity.json   whose replica of which footprint it is, and its incarnation
//	began           empty; there once the log has been made
//	CURRENT         which of the replica folders is the replica
//	replica-N/      the Badger store
//	log/            raft's log and its vote
//	snapshots/      what raft may forget the log before: see snapshotStore
//	cosigned.json   the largest tree this member has cosigned
//	checkpoint      the newest checkpoint that counts, a note
//	forget.json     since when raft's log may hold something withdrawn
//	evidence.ndjson what other members signed that no honest member signs
//
// The incarnation is made with the folder and never copied into another: a
// member that lost its folder comes back as a new server to raft, so a vote
// given before the loss cannot be given again.
type folder struct {
	dir string
	id  identity
	o   ledger.ReplicaOptions // without Dir

	mu sync.Mutex // guards the files other than identity.json
}

type identity struct {
	Version     int            `json:"version"` // 3; of machines 2. 1 had no sealed pages
	Footprint   name.Council   `json:"footprint"`
	Council     name.Council   `json:"council"`
	Incarnation string         `json:"incarnation"`
	Contacts    []name.Council `json:"contacts,omitempty"` // members known when it was made
	// Machines: the members are machines of one council, whose ledger stands in
	// the replica's store.
	Machines bool `json:"machines,omitempty"`
}

func newIncarnation(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make an incarnation: %w", err)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])), nil
}

// ErrExists says that there is a replica in the folder already.
var ErrExists = errors.New("a replica of the footprint is in the folder already")

// makeFolder makes a new folder with a new incarnation.
func makeFolder(dir string, id identity, random io.Reader) error {
	if _, err := os.Stat(filepath.Join(dir, "identity.json")); err == nil {
		return ErrExists
	}
	return remakeFolder(dir, id, random)
}

// remakeFolder gives the replica in a folder, if there is one, a new
// incarnation. Its log and vote must be gone already.
func remakeFolder(dir string, id identity, random io.Reader) error {
	var err error
	if id.Incarnation, err = newIncarnation(random); err != nil {
		return err
	}
	id.Version = 3
	if id.Machines {
		id.Version = 2 // who knows of none must not open it
	}
	if err := os.MkdirAll(filepath.Join(dir, "snapshots"), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "identity.json"), b)
}

var errUnsealed = errors.New("identity.json: the replica is of a version of Stile in which each record was signed by itself: move the folder away, " +
	"and found the footprint anew or join it again")

// openFolder reads the folder of a footprint.
func openFolder(dir string, o ledger.ReplicaOptions, self name.Council) (*folder, error) {
	b, err := os.ReadFile(filepath.Join(dir, "identity.json"))
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, o: o}
	if err := json.Unmarshal(b, &f.id); err != nil {
		return nil, fmt.Errorf("read identity.json: %w", err)
	}
	_, _, ok := parseServer(serverID(f.id.Council, f.id.Incarnation))
	switch {
	case f.id.Version == 1:
		return nil, errUnsealed
	case f.id.Version != 2 && f.id.Version != 3:
		return nil, fmt.Errorf("identity.json: %w", ledger.ErrNewer)
	case !ok || f.id.Council != self || f.id.Footprint != o.Name || f.id.Machines != (f.id.Version == 2):
		return nil, fmt.Errorf("identity.json is not that of %s in %s", self, o.Name)
	}
	f.o.Council = f.id.Machines
	return f, nil
}

// replay begins an empty replica beside the one that CURRENT names, which is damaged, to be
// filled by raft's log; it counts once it is adopted. ok is false where the log no longer
// has everything from its first entry on, and for machines, whose council's ledger stands there, too.
func (f *folder) replay(s *snapshotStore) (r *ledger.Replica, dir string, ok bool, err error) {
	ms, err := s.metas()
	if err != nil || len(ms) > 0 || f.id.Machines {
		return nil, "", false, err
	}
	current, err := f.current()
	if err != nil {
		return nil, "", false, err
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(current, "replica-"), 10, 63)
	dir = fmt.Sprint("replica-", n+1)
	o := f.o
	o.Dir = filepath.Join(f.dir, dir)
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, "", false, err
	}
	r, err = ledger.OpenReplica(o)
	return r, dir, err == nil, err
}

// openReplica opens the replica that CURRENT names and removes others, which a
// crash while installing a snapshot left.
func (f *folder) openReplica() (*ledger.Replica, error) {
	current, err := f.current()
	if err != nil {
		return nil, err
	}
	if err := f.tidy(current); err != nil {
		return nil, err
	}
	o := f.o
	o.Dir = filepath.Join(f.dir, current)
	return ledger.OpenReplica(o)
}

// tidy removes every replica but the current one.
func (f *folder) tidy(current string) error {
	es, err := filepath.Glob(filepath.Join(f.dir, "replica-*"))
	if err != nil {
		return err
	}
	for _, e := range es {
		if filepath.Base(e) != current {
			if err := os.RemoveAll(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *folder) current() (string, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, "CURRENT"))
	if errors.Is(err, fs.ErrNotExist) {
		return "replica-1", writeFile(filepath.Join(f.dir, "CURRENT"), []byte("replica-1\n"))
	}
	s := strings.TrimSuffix(string(b), "\n")
	if n, nerr := strconv.ParseUint(strings.TrimPrefix(s, "replica-"), 10, 63); err == nil && (nerr != nil || s != fmt.Sprint("replica-", n)) {
		err = errors.New("CURRENT does not name a replica")
	}
	return s, err
}

// load makes a replica of a stream beside the current one. The current one
// stays what it is until adopt.
func (f *folder) load(r io.Reader) (*ledger.Replica, string, error) {
	current, err := f.current()
	if err != nil {
		return nil, "", err
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(current, "replica-"), 10, 63)
	next := fmt.Sprint("replica-", n+1)
	o := f.o
	o.Dir = filepath.Join(f.dir, next)
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, "", err
	}
	replica, err := ledger.LoadReplica(o, r)
	if err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(o.Dir))
	}
	return replica, next, nil
}

// adopt makes a loaded replica the current one: one rename, so that a crash
// leaves either. The folder of the one before is removed by the next open at
// the latest.
func (f *folder) adopt(next string) error {
	return writeFile(filepath.Join(f.dir, "CURRENT"), []byte(next+"\n"))
}

// writeFile writes a file whole or not at all: synced, renamed, synced.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readJSON reads a file of the folder; a missing one leaves v as it is.
func (f *folder) readJSON(file string, v any) error {
	b, err := os.ReadFile(filepath.Join(f.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

func (f *folder) writeJSON(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(f.dir, file), b)
}

// A snapshotStore tells raft from where on the log is needed. The replica is
// on disk whole after every batch, so a snapshot taken here is only a note of
// how far it is; the bytes are made when another member needs them, from the
// replica as it then stands. That may be further on than the snapshot says:
// what raft then sends again is at positions already applied and changes
// nothing.
//
// A snapshot received from the leader is kept as it came, ID.stream, until it
// has been installed.
type snapshotStore struct {
	f       *folder
	replica func() *ledger.Replica
}

type snapshotMeta struct {
	raft.SnapshotMeta
	Applied uint64 // what the replica must have applied at least; 0 for a received one
}

func (s *snapshotStore) dir() string { return filepath.Join(s.f.dir, "snapshots") }

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, ci uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("snapshot version %d is not known", version)
	}
	return &snapshotWriter{s: s, meta: snapshotMeta{SnapshotMeta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%020d-%020d", index, term), Index: index, Term: term,
		Configuration: c, ConfigurationIndex: ci,
	}}}, nil
}

// List implements raft.SnapshotStore: newest first.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	ms, err := s.metas()
	if err != nil {
		return nil, err
	}
	var out []*raft.SnapshotMeta
	for _, m := range ms {
		out = append(out, &m.SnapshotMeta)
	}
	return out, nil
}

func (s *snapshotStore) metas() ([]*snapshotMeta, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir(), "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	slices.Reverse(paths)
	var out []*snapshotMeta
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		m := &snapshotMeta{}
		if err := json.Unmarshal(b, m); err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(p), err)
		}
		out = append(out, m)
	}
	return out, nil
}

// newest returns the position and term of the newest snapshot that was taken or
// installed here; zeros when there is none.
func (s *snapshotStore) newest() (position, term uint64, err error) {
	ms, err := s.metas()
	for _, m := range ms {
		if m.Applied > 0 {
			return m.Index, m.Term, nil
		}
	}
	return 0, 0, err
}

// Open implements raft.SnapshotStore.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	ms, err := s.metas()
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(ms, func(m *snapshotMeta) bool { return m.ID == id })
	if i < 0 {
		return nil, nil, fmt.Errorf("snapshot %q: %w", id, fs.ErrNotExist)
	}
	meta := ms[i].SnapshotMeta
	if f, err := os.Open(filepath.Join(s.dir(), id+".stream")); err == nil {
		r, err := spoolReader(f, s.f.o.EncryptionKey)
		return &meta, r, err
	}
	tmp, err := os.CreateTemp(s.dir(), ".serve-*")
	if err != nil {
		return nil, nil, err
	}
	// Nobody else needs its name; the bytes go with the last reader.
	if err := os.Remove(tmp.Name()); err != nil {
		return nil, nil, errors.Join(err, tmp.Close())
	}
	var n int64
	w, err := spoolWriter(tmp, s.f.o.EncryptionKey)
	if err == nil {
		if n, err = s.replica().WriteTo(w); err == nil {
			_, err = tmp.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, tmp.Close())
	}
	meta.Size = n
	r, err := spoolReader(tmp, s.f.o.EncryptionKey)
	return &meta, r, err
}

// installed forgets the streams of received snapshots, and all but the newest
// note.
func (s *snapshotStore) installed(applied uint64) error {
	ms, err := s.metas()
	if err != nil {
		return err
	}
	for i, m := range ms {
		base := filepath.Join(s.dir(), m.ID)
		if i == 0 {
			m.Applied, m.Size = max(m.Applied, applied), 0
			b, err := json.Marshal(m)
			if err != nil {
				return err
			}
			if err := writeFile(base+".json", b); err != nil {
				return err
			}
		} else if err := os.Remove(base + ".json"); err != nil {
			return err
		}
		if err := os.Remove(base + ".stream"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// resume finishes or undoes what a crash interrupted: parts of received
// snapshots are removed, and one that was received whole but not installed is
// installed, or, if it does not load, forgotten; raft's log is then still
// there, for it is cut only after installing.
func (s *snapshotStore) resume(old *ledger.Replica) (*ledger.Replica, error) {
	left, err := filepath.Glob(filepath.Join(s.dir(), ".*"))
	if err != nil {
		return old, err
	}
	for _, p := range left {
		if err := os.Remove(p); err != nil {
			return old, err
		}
	}
	ms, err := s.metas()
	if err != nil || len(ms) == 0 {
		return old, err
	}
	file, err := os.Open(filepath.Join(s.dir(), ms[0].ID+".stream"))
	if errors.Is(err, fs.ErrNotExist) {
		if old.Applied() < ms[0].Applied {
			return old, fmt.Errorf("%w: the replica is at position %d, and the log before %d is gone", ledger.ErrDamaged, old.Applied(), ms[0].Applied)
		}
		return old, nil
	}
	if err != nil {
		return old, err
	}
	var next *ledger.Replica
	var dir string
	stream, err := spoolReader(file, s.f.o.EncryptionKey)
	if err == nil {
		next, dir, err = s.f.load(stream)
		err = errors.Join(err, stream.Close())
	}
	if err != nil {
		base := filepath.Join(s.dir(), ms[0].ID)
		return old, errors.Join(os.Remove(base+".json"), os.Remove(base+".stream"))
	}
	if err := s.f.adopt(dir); err != nil {
		return old, errors.Join(err, next.Close())
	}
	return next, errors.Join(old.Close(), s.installed(next.Applied()), s.f.tidy(dir))
}

// A snapshotWriter is a snapshot in the making.
type snapshotWriter struct {
	s    *snapshotStore
	meta snapshotMeta
	file *os.File // nil: nothing but a note
	w    io.Writer
}

// ID implements raft.SnapshotSink.
func (k *snapshotWriter) ID() string { return k.meta.ID }

// Write implements raft.SnapshotSink, for a snapshot being received.
func (k *snapshotWriter) Write(b []byte) (n int, err error) {
	if k.file == nil {
		if k.file, err = os.CreateTemp(k.s.dir(), ".received-*"); err != nil {
			return 0, err
		}
		if k.w, err = spoolWriter(k.file, k.s.f.o.EncryptionKey); err != nil {
			return 0, err
		}
	}
	n, err = k.w.Write(b)
	k.meta.Size += int64(n)
	return n, err
}

// Close implements raft.SnapshotSink: on return the snapshot is on disk.
func (k *snapshotWriter) Close() error {
	base := filepath.Join(k.s.dir(), k.meta.ID)
	if k.file != nil {
		err := errors.Join(k.file.Sync(), k.file.Close())
		if err == nil {
			err = os.Rename(k.file.Name(), base+".stream")
		}
		if err != nil {
			return err
		}
	}
	b, err := json.Marshal(k.meta)
	if err != nil {
		return err
	}
	if err := writeFile(base+".json", b); err != nil {
		return err
	}
	if k.file == nil {
		return k.s.installed(k.meta.Applied)
	}
	return nil
}

// Cancel implements raft.SnapshotSink.
func (k *snapshotWriter) Cancel() error {
	if k.file == nil {
		return nil
	}
	return errors.Join(k.file.Close(), os.Remove(k.file.Name()))
}
