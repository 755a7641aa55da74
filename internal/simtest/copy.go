package simtest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
)

// copyTree copies a folder of plain files. Badger's log files are long and
// mostly hole; what is hole is not read.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		return copyFile(dst, path)
	})
}

// sameHead makes the copy of a folder pass for the folder itself: a node takes a copy
// for what it is by its file ledger/SIGNED (package ledger, place.go), and asks its partners
// before it signs. The file stays the one it was, with what it said when it was copied,
// and says when it was last changed.
func sameHead(to, from string) error {
	at := filepath.Join(to, "ledger", "SIGNED")
	said, err := os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Rename(filepath.Join(from, "ledger", "SIGNED"), at)
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(at, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(said, 0)
	st, statErr := f.Stat()
	if err = errors.Join(err, statErr); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%020d\n", st.ModTime().UnixNano()), int64(len(said)-21))
	}
	return errors.Join(err, f.Close())
}

func copyFile(to, from string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := dst.Truncate(st.Size()); err != nil {
		return err
	}
	return ledgertest.Extents(src, func(at, size int64) error {
		_, err := io.Copy(io.NewOffsetWriter(dst, at), io.NewSectionReader(src, at, size))
		return err
	})
}
