//go:build !linux

package ledger

import (
	"fmt"
	"os"
)

// statPlace reads what tells a file from its copy: here only when it was written.
func statPlace(f *os.File) (fileTimes, error) {
	st, err := f.Stat()
	if err != nil {
		return fileTimes{}, err
	}
	at := st.ModTime().UnixNano()
	return fileTimes{id: fmt.Sprintf("%062d", 0), mtime: at, ctime: at}, nil
}
