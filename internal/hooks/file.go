package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FileName is the file with the webhooks in a data folder.
const FileName = "webhooks.json"

// purpose is what the file is sealed for.
const purpose = "webhooks"

type file struct {
	Version int     `json:"version"`
	Sealed  []byte  `json:"sealed,omitempty"`
	Hooks   []*hook `json:"hooks,omitempty"` // of version 1
}

// read reads the webhooks, and seals a file that has them in clear.
func (h *Keeper) read() error {
	b, err := os.ReadFile(filepath.Join(h.o.Data, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, sealed, err := parse(b, func(b []byte) ([]byte, error) { return h.o.Keys.Open(purpose, b) })
	if err != nil {
		return err
	}
	h.list = list
	if !sealed {
		return h.write()
	}
	return nil
}

// parse reads a file.
func parse(b []byte, open func([]byte) ([]byte, error)) (list []*hook, sealed bool, err error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, false, errors.New("it is not the JSON that it should be")
	}
	switch f.Version {
	case 1:
		list = f.Hooks
	case 2:
		sealed = true
		if b, err = open(f.Sealed); err != nil {
			return nil, false, err
		}
		if err := json.Unmarshal(b, &list); err != nil {
			return nil, false, errors.New("what was sealed is not the JSON that it should be")
		}
	default:
		return nil, false, fmt.Errorf("it is of version %d, and this Stile reads 1 and 2", f.Version)
	}
	seen := map[string]bool{}
	for _, k := range list {
		if k == nil || k.ID == "" || seen[k.ID] {
			return nil, false, errors.New("a webhook has no id, or one that another has")
		}
		seen[k.ID] = true
	}
	return list, sealed, nil
}

// write puts the webhooks on disk, whole or not at all. h.mu is held.
func (h *Keeper) write() error {
	b, err := marshal(h.list)
	if err != nil {
		return err
	}
	if b, err = h.o.Keys.Seal(purpose, b); err != nil {
		return err
	}
	if b, err = marshal(file{Version: 2, Sealed: b}); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(h.o.Data, ".webhooks") // for its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	h.written = h.o.Now()
	return os.Rename(tmp.Name(), filepath.Join(h.o.Data, FileName))
}

// note writes where the webhooks stand; what fails is logged, since it is tried again. h.mu
// is held.
func (h *Keeper) note() {
	if err := h.write(); err != nil {
		h.o.Log.Error("webhooks could not be written down", "error", err.Error())
	}
}

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write webhooks: %w", err)
	}
	return b, nil
}
