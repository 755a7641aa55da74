package ledger_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestDiskBytes: a record of 830 bytes costs at most 450 bytes on disk, in everything
// that the folder holds once the ledger is closed but the file of 1 MiB that Badger
// keeps counters in, however much there is.
func TestDiskBytes(t *testing.T) {
	const records = 4000
	dir := t.TempDir()
	l := open(t, dir, ring(t))
	adopt(t, l, planningStandard(t))
	load(t, l, 0, records)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var size int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "DISCARD" {
			return err
		}
		i, err := os.Stat(path)
		if err == nil {
			size += i.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if each := size / records; each > 450 {
		t.Errorf("%d bytes for each record", each)
	}
}
