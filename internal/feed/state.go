package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A State says how a feed stands. It holds no value of a record.
type State struct {
	Name    string    `json:"name"`
	Running bool      `json:"running,omitempty"`
	What    string    `json:"what,omitempty"`    // file, or "query", that was taken last
	Began   time.Time `json:"began,omitzero"`    // of the last run
	Ended   time.Time `json:"ended,omitzero"`    // of the last run
	Good    time.Time `json:"good,omitzero"`     // when a run last succeeded
	Next    time.Time `json:"next,omitzero"`     // when a database is asked next
	Last    Summary   `json:"last"`              // of the last run
	Problem string    `json:"problem,omitempty"` // why the last run did not succeed
	Since   time.Time `json:"since,omitzero"`    // since when runs have not succeeded
	Waiting int       `json:"waiting,omitempty"` // files in in/
	Cursor  string    `json:"cursor,omitempty"`  // what a database's next run is given
}

const stateSuffix = ".json"

// ReadState reads how a feed stands; the zero State when it never ran.
func ReadState(dir, name string) (s State, err error) {
	b, err := os.ReadFile(filepath.Join(dir, name+stateSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return State{Name: name}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the state of feed %s: %w", name, err)
	}
	return s, nil
}

// writeState replaces the state, whole or not at all.
func writeState(dir string, s State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	path := filepath.Join(dir, s.Name+stateSuffix)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Want asks the node that runs the feeds in dir to run one now.
func Want(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("run feed: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name+".run"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("run feed: %w", err)
	}
	return f.Close()
}
