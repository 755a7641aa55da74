package main

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"crypto/sha256"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/standard"
)

// A request is what is carried to somebody to sign, and back: a file of the
// directory, the version before it, and the new files that it signs for. It is a
// zip file with
//
//	file.json       what is signed, with the signatures it has
//	before.json     the version that is published; not always there
//	targets/…       what it adds, by their names in the directory
//
// Nothing of it is believed: what is signed says which bytes belong to it.
type request struct {
	file, before []byte
	targets      map[string][]byte
}

const (
	requestFile   = "file.json"
	requestBefore = "before.json"
	requestTarget = "targets/"

	maxRequestFile  = 96 << 20 // bytes, packed
	maxRequestParts = 10_000
)

// errRequest is wrapped by what is wrong with a request's form.
var errRequest = errors.New("not a file to be signed, or one that was signed, of a directory")

// pack prints the request; the same one is always the same bytes.
func (r *request) pack() ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	put := func(name string, content []byte) error {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(content)
		}
		return err
	}
	err := put(requestFile, r.file)
	if err == nil && r.before != nil {
		err = put(requestBefore, r.before)
	}
	for _, name := range slices.Sorted(keysOf(r.targets)) {
		if err == nil {
			err = put(requestTarget+name, r.targets[name])
		}
	}
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// openRequest reads a request, or a bare file of a directory.
func openRequest(b []byte) (*request, error) {
	if len(b) > 0 && b[0] == '{' {
		return &request{file: b}, nil
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) > maxRequestParts {
		return nil, errRequest
	}
	r := &request{targets: map[string][]byte{}}
	left := int64(maxRequestFile)
	for _, f := range z.File {
		target, isTarget := strings.CutPrefix(f.Name, requestTarget)
		if f.Method != zip.Store || !isTarget && f.Name != requestFile && f.Name != requestBefore || isTarget && r.targets[target] != nil {
			return nil, errRequest
		}
		rc, err := f.Open()
		if err != nil {
			return nil, errRequest
		}
		content, err := io.ReadAll(io.LimitReader(rc, left+1))
		rc.Close()
		if left -= int64(len(content)); err != nil || left < 0 {
			return nil, errRequest
		}
		switch {
		case isTarget:
			r.targets[target] = content
		case f.Name == requestFile && r.file == nil:
			r.file = content
		case f.Name == requestBefore && r.before == nil:
			r.before = content
		default:
			return nil, errRequest
		}
	}
	if r.file == nil {
		return nil, errRequest
	}
	return r, nil
}

// bytesOf lists the new files, for [tufdir.Repository.Import].
func (r *request) bytesOf() (out [][]byte) {
	for _, name := range slices.Sorted(keysOf(r.targets)) {
		out = append(out, r.targets[name])
	}
	return out
}

// review says in words what is asked, to somebody who signs with key, or to
// anybody when it is nil. before is the version before as the signer kept it, or
// nil. The one that came along is compared with only when it bears the signer's own
// signature, for otherwise whoever sent it could hide there what is new.
func (r *request) review(key *tufdir.Key, before []byte) ([]string, error) {
	var note string
	if before == nil && r.before != nil {
		if key != nil && tufdir.SignedBy(r.before, key.Public()) {
			before = r.before
		} else {
			note = "compared with nothing: the version before that came along does not bear this key's signature; give your own copy with --previous"
		}
	}
	lines, err := tufdir.ReviewRequest(r.file, before)
	if err != nil {
		return nil, err
	}
	if note != "" {
		lines = append(lines, note)
	}
	return append(lines, r.reviewTargets()...), nil
}

// reviewTargets says what stands in the new files, those that are what would be
// signed for.
func (r *request) reviewTargets() (lines []string) {
	var doc struct {
		Signed struct {
			Targets map[string]struct {
				Hashes map[string]string `json:"hashes"`
			} `json:"targets"`
		} `json:"signed"`
	}
	if json.Unmarshal(r.file, &doc) != nil {
		return nil
	}
	for _, target := range slices.Sorted(keysOf(r.targets)) {
		b := r.targets[target]
		sum := sha256.Sum256(b)
		if doc.Signed.Targets[target].Hashes["sha256"] != hex.EncodeToString(sum[:]) {
			lines = append(lines, fmt.Sprintf("%q came along and is not what would be signed for", target))
			continue
		}
		if strings.HasPrefix(target, "members/") {
			m, err := directory.ParseMember(b)
			if err != nil {
				lines = append(lines, fmt.Sprintf("%s: %v", target, err))
				continue
			}
			lines = append(lines, fmt.Sprintf("%s: %s, %s, a member from %s", m.Council, m.Title, m.Role, m.ValidFrom.Format("2006-01-02")))
			for _, k := range m.RecordKeys {
				lines = append(lines, "  record key "+k.ID())
			}
			for _, k := range m.LogKeys() {
				line := "  log key " + k.Key
				if k.To > 0 {
					line += fmt.Sprintf(", for a log of at most %d", k.To)
				}
				lines = append(lines, line)
			}
			if m.Node != "" {
				lines = append(lines, "  node "+m.Node+", reached at "+list(m.Addresses))
			}
			continue
		}
		s, err := standard.LoadArchive(b)
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s: %v", target, err))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s; schema %s", s.Name(), s.Manifest().Title, s.Integrity()))
	}
	return lines
}
