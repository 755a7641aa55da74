package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// Transactions returns how many transactions the store has committed.
func (l *Ledger) Transactions() uint64 { return l.db.MaxVersion() }

// BreakStorage makes every later commit fail.
func (l *Ledger) BreakStorage() error { return l.db.Close() }

// Alter opens the store in dir, which no ledger may have open, and writes what
// f makes of every value: nil leaves one as it is. It returns how many changed.
func Alter(dir string, f func(key, value []byte) []byte) (n int, err error) {
	db, err := openBadger(Options{Dir: dir, Log: discard()})
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()
	return n, db.Update(func(txn *badger.Txn) error {
		return walk(txn, nil, func(k, v []byte) error {
			if w := f(k, v); w != nil {
				n++
				return txn.Set(k, w)
			}
			return nil
		})
	})
}

// OnDisk returns where in the files of the store in dir each of some texts
// stands: in the bytes of any file, or in a value of a table once that is read
// and decompressed, whether the store still counts that value or not. The
// store may be open.
func OnDisk(dir string, texts ...string) (map[string][]string, error) {
	for {
		found, err := onDisk(dir, texts)
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted away meanwhile: look at what came of it
		}
		return found, err
	}
}

func onDisk(dir string, texts []string) (map[string][]string, error) {
	found := map[string][]string{}
	look := func(b []byte, where string) {
		for _, t := range texts {
			if bytes.Contains(b, []byte(t)) && !slices.Contains(found[t], where) {
				found[t] = append(found[t], where)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		look(bytes.TrimRight(b, "\x00"), filepath.Base(path)) // most of a log file is a hole
		if !strings.HasSuffix(path, ".sst") {
			return nil
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
			look(it.ValueCopy().Value, filepath.Base(path)+", compressed")
		}
		return nil
	})
	return found, err
}
