package node

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// An outlet is where a bundle goes while it is made: the new file that a request
// names, since there may be gigabytes of it, or memory.
type outlet struct {
	io.Writer
	file *os.File // nil: memory
	buf  *bufio.Writer
	mem  *bytes.Buffer
}

// openOutlet makes the file, which must not be there yet.
func openOutlet(path string) (*outlet, error) {
	if path == "" {
		var mem bytes.Buffer
		return &outlet{Writer: &mem, mem: &mem}, nil
	}
	if !filepath.IsAbs(path) {
		return nil, fail(Usage, "", "the file must be named from the root of the disk")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fail(Conflict, "name another file, or move the old one away", "%q is there already", path)
	}
	if err != nil {
		return nil, fail(Failed, "look at the path again", "write bundle: %v", err)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	return &outlet{Writer: buf, file: f, buf: buf}, nil
}

// end finishes what was made, or with an error takes it away again.
func (o *outlet) end(entries int, err error) (*BundleReply, error) {
	r := &BundleReply{Entries: entries}
	switch {
	case o.file == nil && err == nil:
		r.Bundle, r.Bytes = o.mem.Bytes(), uint64(o.mem.Len())
	case o.file != nil:
		if err == nil {
			err = errors.Join(o.buf.Flush(), o.file.Sync())
		}
		if st, serr := o.file.Stat(); serr == nil {
			r.Bytes = uint64(st.Size())
		}
		if err = errors.Join(err, o.file.Close()); err != nil {
			os.Remove(o.file.Name())
		}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}
