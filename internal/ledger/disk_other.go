//go:build !unix

package ledger

import (
	"math"
	"os"
)

func freeDisk(string) (uint64, error) { return math.MaxUint64, nil }

func diskUse(d os.DirEntry) (uint64, error) {
	fi, err := d.Info()
	if err != nil {
		return 0, err
	}
	return uint64(fi.Size()), nil
}
