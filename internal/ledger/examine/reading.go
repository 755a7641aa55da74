package examine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// Reading makes, in the empty folder to, what Badger opens for reading alone as the store in from,
// which the report is of: links to its files, and of each log of writes, which Badger would have to cut off
// at its end first, a copy that ends there. Nothing in from is written, now or later. A store with a flaw that is
// fatal is not opened so: see [Report.Fatal]; nor is one with a flipped bit in anything but a log of writes.
func (r *Report) Reading(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	link := func(name string) error {
		err := os.Symlink(filepath.Join(from, name), filepath.Join(to, name))
		if err != nil {
			return fmt.Errorf("open %s for reading: %w", name, err)
		}
		return nil
	}
	for _, name := range []string{badger.ManifestFilename, badger.KeyRegistryFileName} {
		if _, err := os.Stat(filepath.Join(from, name)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := link(name); err != nil {
			return err
		}
	}
	for id := range r.tables {
		if err := link(tableName(id)); err != nil {
			return err
		}
	}
	for _, l := range r.logs {
		switch {
		case len(l.runs) == 0: // nothing was written to it
		case !l.txns:
			if err := link(l.name); err != nil {
				return err
			}
		case len(l.runs) > 1 || l.runs[0].from != logHead:
			return fmt.Errorf("internal error: %s is not whole", l.name)
		default:
			if err := os.WriteFile(filepath.Join(to, l.name), l.data[:l.runs[0].to], 0o600); err != nil {
				return fmt.Errorf("open %s for reading: %w", l.name, err)
			}
		}
	}
	return nil
}
