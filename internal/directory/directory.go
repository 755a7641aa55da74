package directory

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/name"
)

// maxMembers bounds a directory; there are some 400 councils in the United Kingdom.
const maxMembers = 10_000

const suffix = ".yaml"

// A Directory answers who is a member. It may be used concurrently; every
// answer comes from one consistent view, replaced whole by Reload and Add.
type Directory struct {
	dir  string
	view atomic.Pointer[view]

	mu sync.Mutex // held while reading or writing the folder
}

// view is what was true at one reading. It never changes.
type view struct {
	members []Member // by Council
	council map[name.Council]int
	node    map[string]int
}

// Open reads the directory in the folder dir. The folder must exist, and may be
// empty. Files whose names do not end in ".yaml" or that begin with "." are
// passed over.
//
// The error joins a *[Problem] for everything wrong in any file, or is that of
// the file system.
func Open(dir string) (*Directory, error) {
	d := &Directory{dir: dir}
	if err := d.Reload(); err != nil {
		return nil, err
	}
	return d, nil
}

// Member returns the member that c names. One whose membership has yet to begin
// is returned too: see [Member.ValidAt].
func (d *Directory) Member(c name.Council) (Member, bool) {
	v := d.view.Load()
	i, ok := v.council[c]
	if !ok {
		return Member{}, false
	}
	return v.members[i], true
}

// ByNode returns the member whose node has the given peer id, as [NodeID]
// prints it. No two members share one.
func (d *Directory) ByNode(id string) (Member, bool) {
	v := d.view.Load()
	i, ok := v.node[id]
	if !ok {
		return Member{}, false
	}
	return v.members[i], true
}

// Members returns all members, sorted by council. The slice is the caller's.
func (d *Directory) Members() []Member { return slices.Clone(d.view.Load().members) }

// Reload reads the folder again. On any error, those of [Open], the members stay
// what they were: a file half edited shuts nobody out and lets nobody in.
func (d *Directory) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer root.Close()
	members, err := readAll(root)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	v, err := newView(members)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	d.view.Store(v)
	return nil
}

// Add writes m into the folder, in the place of the member of that council if
// there is one, and takes it and whatever else has changed there into view.
//
// When Add returns without error the file is on disk, whole; on an error the
// folder and the view are as before, unless syncing the folder itself failed. It refuses a
// member that does not pass Check or shares a key with another. Two programs
// that add at the same moment can still write two such members; then Reload
// refuses both.
func (d *Directory) Add(m Member) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := m.Check(); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	// What is kept is what was written, with every slice our own.
	m, err := ParseMember(m.YAML())
	if err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	defer root.Close()
	members, err := readAll(root)
	if err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	members = slices.DeleteFunc(members, func(o Member) bool { return o.Council == m.Council })
	v, err := newView(append(members, m))
	if err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	if err := write(root, string(m.Council)+suffix, m.YAML()); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	d.view.Store(v)
	return nil
}

// Write adds m to the directory in the folder dir, which it makes if need be.
// It is [Open] and [Directory.Add] for a program that does nothing else with it.
func Write(dir string, m Member) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	d, err := Open(dir)
	if err != nil {
		return err
	}
	return d.Add(m)
}

// readAll reads every member file. An [os.Root] keeps a symbolic link from
// leading out of the folder.
func readAll(root *os.Root) ([]Member, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var members []Member
	var errs []error
	for _, e := range entries {
		file := e.Name()
		if !strings.HasSuffix(file, suffix) || strings.HasPrefix(file, ".") {
			continue
		}
		if len(members) == maxMembers {
			errs = append(errs, &Problem{Rule: fmt.Sprintf("want at most %d members", maxMembers)})
			break
		}
		m, err := readFile(root, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		members = append(members, m)
	}
	return members, errors.Join(errs...)
}

func readFile(root *os.Root, file string) (Member, error) {
	c, err := name.ParseCouncil(strings.TrimSuffix(file, suffix))
	if err != nil {
		return Member{}, &Problem{File: file, Rule: "want a file named after its council, such as northmoor.gov.uk.yaml"}
	}
	// Opening a named pipe would wait for a writer for ever.
	if fi, err := root.Stat(file); err != nil {
		return Member{}, err
	} else if !fi.Mode().IsRegular() {
		return Member{}, &Problem{File: file, Rule: "want a regular file"}
	}
	f, err := root.Open(file)
	if err != nil {
		return Member{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Member{}, err
	}
	m, err := ParseMember(b)
	if err != nil {
		return Member{}, inFile(file, err)
	}
	if m.Council != c {
		return Member{}, &Problem{File: file, Field: "council", Rule: "is not the council the file is named after"}
	}
	return m, nil
}

// inFile puts the file's name into the problems that err joins.
func inFile(file string, err error) error {
	list := []error{err}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		list = j.Unwrap()
	}
	for i, e := range list {
		if p, ok := errors.AsType[*Problem](e); ok {
			q := *p
			q.File = file
			list[i] = &q
		}
	}
	return errors.Join(list...)
}

// newView indexes members, and refuses two that share a key: with one node id
// or record key it could not be said who spoke, and with one witness or log key
// one member would count as two.
func newView(members []Member) (*view, error) {
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(string(a.Council), string(b.Council)) })
	v := &view{members: members, council: make(map[name.Council]int), node: make(map[string]int)}
	var errs []error
	seen := make(map[string]name.Council)
	claim := func(m Member, field, key string) {
		if key == "" {
			return
		}
		if other, ok := seen[field+" "+key]; ok {
			errs = append(errs, &Problem{File: string(m.Council) + suffix, Field: field,
				Rule: "is also that of " + string(other)})
			return
		}
		seen[field+" "+key] = m.Council
	}
	for i, m := range members {
		v.council[m.Council] = i
		if m.Node != "" {
			v.node[m.Node] = i
		}
		claim(m, "keys.node", m.Node)
		for _, k := range m.RecordKeys {
			claim(m, "keys.record", k.ID())
		}
		// Under another name the same key has another hash, so the key itself,
		// the part after the last plus, is compared.
		claim(m, "keys.log", keyPart(m.LogKey))
		claim(m, "keys.witness", keyPart(m.WitnessKey))
	}
	return v, errors.Join(errs...)
}

// write replaces file with b in one step: whoever reads the folder, at any moment
// or after a crash, sees the old file or the new one.
func write(root *os.Root, file string, b []byte) (err error) {
	// Begins with a dot: a leftover of a crash is passed over by readAll.
	temp := "." + file + "." + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			root.Remove(temp)
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = root.Rename(temp, file); err != nil {
		return err
	}
	// Now the new file is what is read; a power cut may still bring the old one
	// back, until the folder is on disk too.
	return syncDir(root)
}

func syncDir(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync %s: %w", filepath.Base(root.Name()), err)
	}
	return nil
}

// keyPart returns the key of a verifier key NAME+HASH+KEY, "" for none. The
// key's base64 may hold a "+" of its own.
func keyPart(vkey string) string {
	_, rest, _ := strings.Cut(vkey, "+")
	_, key, _ := strings.Cut(rest, "+")
	return key
}
