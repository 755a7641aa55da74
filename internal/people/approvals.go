package people

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// An Approval is a first person's yes to something about an agreement, where two are wanted.
type Approval struct {
	Agreement name.Agreement `json:"agreement"`
	// Of is what was said yes to: the digest of a text, or words with whatever else counts,
	// such as the new day of review.
	Of     string    `json:"digest"`
	Person string    `json:"person"` // the id
	Name   string    `json:"name"`   // as it is logged
	At     time.Time `json:"at"`
}

// Approvals keeps what first persons have said, one for each agreement, in one file. One
// process may have it at a time: the one that has the data folder's ledger. Methods may be
// called concurrently.
type Approvals struct {
	people *Store
	file   string

	mu sync.Mutex
}

// Approvals returns what was said and waits for a second person.
func (p *Store) Approvals() *Approvals {
	return &Approvals{people: p, file: filepath.Join(p.dir, "approvals")}
}

// Say says yes for a person. Where another has said yes to the same before, and may still
// sign, it returns the names of both for the log, joined by "and"; until then it keeps what
// was said, in the place of anything else about that agreement, and returns that. It fails
// as Refused where the same person has said it before.
func (a *Approvals) Say(w Approval) (by string, first *Approval, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all, err := a.read()
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(all, func(o Approval) bool { return o.Agreement == w.Agreement })
	stands := i >= 0 && all[i].Of == w.Of
	if stands && all[i].Person == w.Person {
		return "", nil, api.Fail(api.Refused, "another signer says the same", "you have said yes to this already, and two persons must")
	}
	if stands {
		one, err := a.people.Show(all[i].Person)
		if _, gone := errors.AsType[*api.Error](err); err != nil && !gone {
			return "", nil, err
		}
		if err == nil && one.Principal().Is(access.Signer) {
			return all[i].Name + " and " + w.Name, nil, nil
		}
	}
	if i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	return "", &w, a.write(append(all, w))
}

// List returns what waits for a second person.
func (a *Approvals) List() ([]Approval, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.read()
}

// Drop forgets what was said yes to, of an agreement: it is done.
func (a *Approvals) Drop(n name.Agreement, of string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	all, err := a.read()
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(all), func(w Approval) bool { return w.Agreement == n && w.Of == of })
	if len(left) == len(all) {
		return nil
	}
	return a.write(left)
}

func (a *Approvals) read() (all []Approval, err error) {
	b, err := os.ReadFile(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what the first of two persons said: %w", err)
	}
	if json.Unmarshal(b, &all) != nil {
		return nil, nil // damaged: nobody has said yes
	}
	return all, nil
}

func (a *Approvals) write(all []Approval) error {
	b, err := json.Marshal(all)
	if err == nil {
		err = WriteFile(a.file, b)
	}
	if err != nil {
		return fmt.Errorf("keep what the first of two persons said: %w", err)
	}
	return nil
}
