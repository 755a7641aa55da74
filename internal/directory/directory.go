package directory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// maxMembers bounds a directory; there are some 400 councils in the United Kingdom.
const maxMembers = 10_000

const suffix = ".yaml"

// A Directory answers who is a member. It may be used concurrently; every
// answer comes from one consistent view, replaced whole by Replace.
type Directory struct {
	view atomic.Pointer[view]
}

// view is what was true at one reading. It never changes.
type view struct {
	members []Member // by Council
	council map[name.Council]int
	node    map[string]int
	good    func(now time.Time) error // nil: always
}

// New returns a Directory of members, on whose word exchange may always go on.
// Errors are those of [Directory.Replace].
func New(members ...Member) (*Directory, error) {
	d := new(Directory)
	d.view.Store(&view{})
	if err := d.Replace(members, nil); err != nil {
		return nil, err
	}
	return d, nil
}

// Replace takes members into view, in the place of all there were. good says
// at any instant whether exchange may go on, on the word of this edition; nil is
// always. Each member must have passed Check.
//
// It refuses, with a *[Problem] for each, members that share a key; the view is
// then what it was.
func (d *Directory) Replace(members []Member, good func(now time.Time) error) error {
	v, err := newView(slices.Clone(members))
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	v.good = good
	d.view.Store(v)
	return nil
}

// Exchange returns nil while records may be exchanged on the word of this
// directory, and otherwise why not, in words: nobody has vouched for it lately.
// What was exchanged before goes on being verified.
func (d *Directory) Exchange(now time.Time) error {
	if good := d.view.Load().good; good != nil {
		return good(now)
	}
	return nil
}

// Member returns the member that c names. One whose membership has yet to begin,
// or has ended, is returned too: see [Member.ActiveAt].
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

// Read reads a folder of member files, as an auditor may keep one. The folder
// must exist, and may be empty. Files whose names do not end in ".yaml" or that
// begin with "." are passed over. Members come sorted by council.
//
// The error joins a *[Problem] for everything wrong in any file, two that share a
// key included, or is that of the file system.
func Read(dir string) ([]Member, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	defer root.Close()
	members, err := readAll(root)
	if err == nil {
		_, err = newView(members)
	}
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	return members, nil
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
		for _, k := range m.LogKeys() {
			claim(m, "keys.log", keyPart(k.Key))
		}
		claim(m, "keys.witness", keyPart(m.WitnessKey))
	}
	return v, errors.Join(errs...)
}

// keyPart returns the key of a verifier key NAME+HASH+KEY, "" for none. The
// key's base64 may hold a "+" of its own.
func keyPart(vkey string) string {
	_, rest, _ := strings.Cut(vkey, "+")
	_, key, _ := strings.Cut(rest, "+")
	return key
}
