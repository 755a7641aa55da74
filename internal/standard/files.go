package standard

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Caps on what a standard is made of. The largest published schema we know of
// has 826 KB.
const (
	maxFile    = 4 << 20  // bytes of one file
	maxTotal   = 32 << 20 // bytes of all files, unpacked
	maxFiles   = 2000
	maxArchive = 32 << 20 // bytes of an archive, packed
)

// blanketFile is the text of an agreement that a publisher offers; see Standard.Agreement.
const blanketFile = "agreement.yaml"

var errSize = errors.New("is larger than a standard may be")

// readDir reads what a standard is made of from a directory.
func readDir(fsys fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{}
	total := 0
	read := func(p string) error {
		// The listing, not Open, tells a symbolic link from a file.
		list, err := fs.ReadDir(fsys, path.Dir(p))
		if err != nil {
			return fmt.Errorf("read %q: %w", clip(p), err)
		}
		i := slices.IndexFunc(list, func(e fs.DirEntry) bool { return e.Name() == path.Base(p) })
		if i < 0 {
			return fmt.Errorf("read %q: %w", clip(p), fs.ErrNotExist)
		}
		return readFile(fsys, p, list[i], files, &total)
	}
	for _, p := range []string{"standard.yaml", "schema.json"} {
		if err := read(p); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"schemas", "examples/valid", "examples/invalid"} {
		list, err := fs.ReadDir(fsys, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			if path.Ext(e.Name()) != ".json" {
				continue
			}
			if err := readFile(fsys, dir+"/"+e.Name(), e, files, &total); err != nil {
				return nil, err
			}
		}
	}
	if _, err := fs.Stat(fsys, blanketFile); err == nil {
		if err := read(blanketFile); err != nil {
			return nil, err
		}
	}
	list, err := fs.ReadDir(fsys, "mappings")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if p := "mappings/" + e.Name(); path.Ext(p) == ".yaml" {
			if err := readFile(fsys, p, e, files, &total); err != nil {
				return nil, err
			}
		}
	}
	// The manifest is read again, whole, by load; here only for its file names.
	if m, err := parseManifest(files["standard.yaml"]); err == nil {
		for _, p := range m.Resources {
			if err := checkPath(p); err != nil {
				return nil, fmt.Errorf("resource: %w", err)
			}
			if files[p] == nil {
				if err := read(p); err != nil {
					return nil, err
				}
			}
		}
	}
	return files, nil
}

func readFile(fsys fs.FS, p string, e fs.DirEntry, files map[string][]byte, total *int) error {
	if !e.Type().IsRegular() {
		return fmt.Errorf("read %q: is not a regular file", clip(p))
	}
	f, err := fsys.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	return take(p, f, files, total)
}

// take reads one file into files within the caps.
func take(p string, r io.Reader, files map[string][]byte, total *int) error {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return fmt.Errorf("read %q: %w", clip(p), err)
	}
	if *total += len(b); len(b) > maxFile || *total > maxTotal || len(files) >= maxFiles {
		return fmt.Errorf("read %q: %w", clip(p), errSize)
	}
	files[p] = b
	return nil
}

// checkPath refuses every name that could mean a place outside the standard,
// on any system.
func checkPath(p string) error {
	if !fs.ValidPath(p) || p == "." || len(p) > 255 || strings.ContainsAny(p, "\\:\x00") {
		return fmt.Errorf("path %q: want a plain relative path", clip(p))
	}
	return nil
}

// Archive returns the standard as a zip file: the files it was loaded from,
// sorted by name, stored without compression and without times, so that the
// same standard is always the same bytes.
func (s *Standard) Archive() []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	names := make([]string, 0, len(s.files))
	for n := range s.files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Store})
		if err == nil {
			_, err = f.Write(s.files[n])
		}
		if err != nil {
			panic("internal error: zip to memory: " + err.Error())
		}
	}
	if err := w.Close(); err != nil {
		panic("internal error: zip to memory: " + err.Error())
	}
	return buf.Bytes()
}

// LoadArchive reads a standard from a zip file, such as [Standard.Archive]
// makes, or from a gzipped tar file. If every file stands in one folder, as
// code hosts pack a release, that folder is the standard.
//
// It refuses names that leave the archive, the same name twice, anything but
// regular files and folders, and more than 32 MiB, packed or unpacked.
func LoadArchive(b []byte) (*Standard, error) {
	files, err := unpack(b)
	if err != nil {
		return nil, fmt.Errorf("load standard: open archive: %w", err)
	}
	s, err := load(files)
	if err != nil {
		return nil, fmt.Errorf("load standard: %w", err)
	}
	return s, nil
}

func unpack(b []byte) (map[string][]byte, error) {
	if len(b) > maxArchive {
		return nil, errSize
	}
	files := map[string][]byte{}
	var err error
	if bytes.HasPrefix(b, []byte("\x1f\x8b")) {
		err = untar(b, files)
	} else {
		err = unzip(b, files)
	}
	if err != nil {
		return nil, err
	}
	return partsOf(stripFolder(files))
}

func unzip(b []byte, files map[string][]byte) error {
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	if len(r.File) > maxFiles {
		return errSize
	}
	total := 0
	for _, f := range r.File {
		dir := f.Mode().IsDir()
		if err := admit(f.Name, dir, f.Mode().IsRegular(), files); err != nil {
			return err
		}
		if dir {
			continue
		}
		rc, err := f.Open()
		if err != nil {
			return fmt.Errorf("read %q: %w", clip(f.Name), err)
		}
		err = take(f.Name, rc, files, &total)
		rc.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func untar(b []byte, files map[string][]byte) error {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	// One limit on the whole stream: a tar holds padding and headers that no
	// file's size accounts for.
	r := tar.NewReader(io.LimitReader(z, maxTotal+maxFiles*1024))
	total := 0
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n > maxFiles {
			return errSize
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // what git archive writes first
			continue
		}
		dir := h.Typeflag == tar.TypeDir
		if err := admit(h.Name, dir, h.Typeflag == tar.TypeReg, files); err != nil {
			return err
		}
		if dir {
			continue
		}
		if err := take(h.Name, r, files, &total); err != nil {
			return err
		}
	}
}

func admit(name string, dir, regular bool, files map[string][]byte) error {
	p := name
	if dir {
		p = strings.TrimSuffix(p, "/")
		if p == "." {
			return nil
		}
	}
	if err := checkPath(p); err != nil {
		return err
	}
	if !dir && !regular {
		return fmt.Errorf("read %q: is not a regular file", clip(name))
	}
	if _, ok := files[p]; ok {
		return fmt.Errorf("read %q: is in the archive twice", clip(name))
	}
	return nil
}

func stripFolder(files map[string][]byte) map[string][]byte {
	if files["standard.yaml"] != nil {
		return files
	}
	folder := ""
	for p := range files {
		top, _, ok := strings.Cut(p, "/")
		if !ok || (folder != "" && folder != top) {
			return files
		}
		folder = top
	}
	out := make(map[string][]byte, len(files))
	for p, b := range files {
		out[p[len(folder)+1:]] = b
	}
	return out
}

// partsOf keeps the files that are part of the standard, as readDir does, so
// that a directory and its archive are the same standard.
func partsOf(files map[string][]byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for p, b := range files {
		dir, base := path.Split(p)
		part := p == "standard.yaml" || p == "schema.json" || p == blanketFile
		if dir == "schemas/" || dir == "examples/valid/" || dir == "examples/invalid/" {
			part = path.Ext(base) == ".json"
		}
		if dir == "mappings/" {
			part = path.Ext(base) == ".yaml"
		}
		if part {
			out[p] = b
		}
	}
	if m, err := parseManifest(files["standard.yaml"]); err == nil {
		for _, p := range m.Resources {
			if err := checkPath(p); err != nil {
				return nil, fmt.Errorf("resource: %w", err)
			}
			if files[p] == nil {
				return nil, fmt.Errorf("read %q: %w", clip(p), fs.ErrNotExist)
			}
			out[p] = files[p]
		}
	}
	return out, nil
}
