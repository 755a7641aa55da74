package simtest

import (
	"errors"
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
