package ledger

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/ledger/examine"
)

// ErrReading: the ledger was opened with Options.Reading, and takes no writes.
var ErrReading = errors.New("the data folder is open for reading alone")

// ErrReadOnly: nothing can be written in the data folder, since its disk is read-only. With
// Options.Reading it may be read.
var ErrReadOnly = errors.New("the disk of the data folder is read-only")

// memoryDir is where Linux keeps files in memory.
const memoryDir = "/dev/shm"

// openReading opens the store in o.Dir without writing anything there: on a disk that is read-only,
// or full. What a killed process left in its logs of writes is copied, into memory where there is a place for it, and is gone
// when the store is closed with closeStore.
func openReading(o Options, beside *signedFile) (*badger.DB, error) {
	r, d, err := examineFiles(o, beside, false)
	if err != nil {
		return nil, err
	}
	for _, f := range r.Flaws {
		if f.Patch != nil && !strings.HasSuffix(f.File, ".mem") {
			d.Flaws = append(d.Flaws, examine.Flaw{File: f.File, What: f.What + "; it is put right once the disk can be written to", Fatal: true})
		}
	}
	if len(d.Flaws) > 0 || d.Lost != "" {
		return nil, d
	}
	if r.New {
		return nil, fmt.Errorf("%w: there is no store yet", ErrReading)
	}
	dir, err := os.MkdirTemp(memoryDir, "stile-reading")
	if err != nil {
		if dir, err = os.MkdirTemp("", "stile-reading"); err != nil {
			return nil, fmt.Errorf("open ledger for reading: %w", err)
		}
	}
	beside.gone = func() error { return os.RemoveAll(dir) }
	if err := r.Reading(o.Dir, dir); err != nil {
		return nil, err
	}
	o.Dir = dir
	return openBadger(o)
}

// unwritable makes of an error of a file that could not be opened for writing ErrReadOnly, where it was that.
func unwritable(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return ErrReadOnly
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
