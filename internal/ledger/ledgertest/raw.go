// Package ledgertest reads what stands in the files of a ledger's folder, for tests
// that look for what must not be there.
package ledgertest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// Outside has the store make now what it makes once for the whole process, to compress and to
// read what was compressed. Those hold channels: made in a bubble of virtual time (package
// testing/synctest) they could not be used outside of it. It panics where that cannot be.
func Outside() {
	level := badger.DefaultOptions("").ZSTDCompressionLevel
	small, err := y.ZSTDCompress(nil, []byte("stile"), level)
	if err == nil {
		_, err = y.ZSTDDecompress(nil, small)
	}
	if err != nil {
		panic(err)
	}
}

// Raw calls look with all bytes of all files under dir, and with every value in
// every table of a Badger store once it is decompressed, whether the store still
// counts that value or not; where names the file. The store may be open. When a
// file goes meanwhile, Raw looks at all of them once more.
func Raw(dir string, look func(b []byte, where string)) error {
	for {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			return rawFile(path, look)
		})
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

func rawFile(path string, look func(b []byte, where string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	base := filepath.Base(path)
	err = Extents(f, func(at, size int64) error {
		b := make([]byte, size)
		n, err := f.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		look(b[:n], base)
		return nil
	})
	if err != nil || !strings.HasSuffix(path, ".sst") {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return nil // a store empties a table before it removes it
	}
	id, ok := table.ParseFileID(path)
	if !ok {
		return fmt.Errorf("%s is not named like a table", path)
	}
	t, err := table.OpenInMemoryTable(b, id, &table.Options{
		Compression: options.ZSTD, BlockSize: 16 << 10, ChkMode: options.OnTableAndBlockRead,
	})
	if err != nil {
		return err
	}
	defer t.DecrRef()
	it := t.NewIterator(table.NOCACHE)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		look(it.ValueCopy().Value, base+", compressed")
	}
	return nil
}

// Extents calls do with every part of a file that is not hole, in order. Badger's
// log files are long and mostly hole.
func Extents(f *os.File, do func(at, size int64) error) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < st.Size(); {
		data, end := at, st.Size()
		// lseek(2): 3 is SEEK_DATA, 4 SEEK_HOLE, on Linux and elsewhere; where
		// they are not known everything is data.
		if p, err := f.Seek(at, 3); err == nil {
			data = p
			if end, err = f.Seek(data, 4); err != nil {
				return err
			}
		} else if errors.Is(err, syscall.ENXIO) {
			return nil // hole to the end
		}
		if err := do(data, end-data); err != nil {
			return err
		}
		at = end
	}
	return nil
}
