// Package people keeps who may sign in to a node's pages and speak for the council: what
// they are called and what they may do, their one-time links and their passphrases, and,
// where two must say the same before it counts, what the first of them has said.
//
// It is a folder in the data folder, and whoever can write it can be anybody.
package people

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Folder is where a data folder keeps who may sign in.
const Folder = "people"

// A Person may sign in to the pages.
type Person struct {
	ID    string        `json:"id"` // tells them from others for good, and says nothing of them: the pseudonym
	Name  string        `json:"name"`
	Email string        `json:"email,omitempty"` // what the identity provider calls them, in lower case; "" for local links alone
	Roles []access.Role `json:"roles"`
	// Account is the issuer and the identifier of the account that they signed in with
	// first at the identity provider; "" until then.
	Account string    `json:"account,omitempty"`
	Added   time.Time `json:"added"`
}

// Principal returns the person as who asks a node.
func (p *Person) Principal() *access.Principal {
	return &access.Principal{Kind: access.Person, ID: p.ID, Title: p.Name, Roles: p.Roles}
}

// A Store keeps those who may sign in: a folder with one file for each, so that commands
// and the server need no lock between them, and one for each one-time link, which is
// spent by deleting it. Who can write the folder can sign in as anybody.
// Methods may be called concurrently, from several processes.
type Store struct {
	dir    string
	random io.Reader
	now    func() time.Time
}

// Open returns the people of a data folder.
func Open(data string, random io.Reader, now func() time.Time) *Store {
	return &Store{filepath.Join(data, Folder), random, now}
}

// List lists them by name. A file that cannot be read is an error that names it.
func (p *Store) List() ([]Person, error) {
	files, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	var out []Person
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			continue
		}
		one, err := p.Show(id)
		if err != nil {
			return nil, err
		}
		out = append(out, *one)
	}
	slices.SortFunc(out, func(a, b Person) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return out, nil
}

// Show returns one of them by id. The error is an *api.Error where there is none.
func (p *Store) Show(id string) (*Person, error) {
	none := api.Fail(api.NotFound, "stile person list", "there is no such person")
	if !validID(id) {
		return nil, none
	}
	b, err := os.ReadFile(filepath.Join(p.dir, id+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, none
	} else if err != nil {
		return nil, fmt.Errorf("read person %s: %w", id, err)
	}
	var one Person
	if err := json.Unmarshal(b, &one); err != nil || one.ID != id {
		return nil, fmt.Errorf("read person %s: the file is damaged", id)
	}
	return &one, nil
}

func validID(id string) bool {
	return len(id) == 18 && strings.HasPrefix(id, "p-") && strings.Trim(id[2:], "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// ByEmail returns who an identity provider calls so.
func (p *Store) ByEmail(email string) (*Person, error) {
	all, err := p.List()
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Email != "" && strings.EqualFold(one.Email, email) {
			return &one, nil
		}
	}
	return nil, api.Fail(api.NotFound, "an operator adds people: stile person add", "nobody of that name may sign in here")
}

// Account returns whose account at the identity provider it is. One that nobody has
// becomes that of the person who is called so and has none yet.
func (p *Store) Account(account, called string) (*Person, error) {
	all, err := p.List()
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Account == account {
			return &one, nil
		}
	}
	one, err := p.ByEmail(called)
	if err != nil {
		return nil, err
	}
	if one.Account != "" {
		return nil, api.Fail(api.Refused, "an operator takes the person out and adds them again", "that person has another account")
	}
	one.Account = account
	return p.Put(*one)
}

// Find returns one by id, email or name; a name that two have is none.
func (p *Store) Find(text string) (*Person, error) {
	all, err := p.List()
	if err != nil {
		return nil, err
	}
	var found []Person
	for _, one := range all {
		if one.ID == text || one.Email != "" && strings.EqualFold(one.Email, text) || one.Name == text {
			found = append(found, one)
		}
	}
	switch len(found) {
	case 0:
		return nil, api.Fail(api.NotFound, "stile person list", "there is no person %q", text)
	case 1:
		return &found[0], nil
	}
	return nil, api.Fail(api.Usage, "name them by their id: stile person list", "%d people are called %q", len(found), text)
}

// Put adds a person, or with the id of one replaces them.
func (p *Store) Put(one Person) (*Person, error) {
	one.Name, one.Email = strings.TrimSpace(one.Name), strings.ToLower(strings.TrimSpace(one.Email))
	switch {
	case one.Name == "" || len(one.Name) > 100 || name.Line(one.Name) != one.Name:
		return nil, api.Fail(api.Usage, "", "the person's name must be a line of 1 to 100 bytes")
	case len(one.Email) > 200 || one.Email != "" && !strings.Contains(one.Email, "@"):
		return nil, api.Fail(api.Usage, "", "the email address must be one, of at most 200 bytes")
	case len(one.Roles) == 0:
		return nil, api.Fail(api.Usage, "name one or more of "+roleWords(), "the person has no role")
	}
	for _, r := range one.Roles {
		if !slices.Contains(access.Roles(), r) {
			return nil, api.Fail(api.Usage, "name one or more of "+roleWords(), "%q is no role", r)
		}
	}
	if one.Email != "" {
		if other, err := p.ByEmail(one.Email); err == nil && other.ID != one.ID {
			return nil, api.Fail(api.Conflict, "stile person list", "another person has that email address")
		}
	}
	if one.ID == "" {
		id, err := p.Code(10)
		if err != nil {
			return nil, err
		}
		one.ID, one.Added = "p-"+id, p.now().UTC().Truncate(time.Second)
	}
	b, err := json.MarshalIndent(one, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "links"), 0o700); err != nil {
		return nil, fmt.Errorf("write person: %w", err)
	}
	return &one, WriteFile(filepath.Join(p.dir, one.ID+".json"), append(b, '\n'))
}

func roleWords() string {
	var out []string
	for _, r := range access.Roles() {
		out = append(out, string(r))
	}
	return strings.Join(out, ", ")
}

// Remove takes a person out. Whoever is signed in as them is signed out.
func (p *Store) Remove(id string) error {
	if _, err := p.Show(id); err != nil {
		return err
	}
	if err := p.ForgetPassphrase(id); err != nil {
		return err
	}
	return os.Remove(filepath.Join(p.dir, id+".json"))
}

// Code draws a code of n random bytes, in lower-case letters and digits.
func (p *Store) Code(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.random, b); err != nil {
		return "", fmt.Errorf("draw a code: %w", err)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)), nil
}

type oneTime struct {
	Person string    `json:"person"`
	Until  time.Time `json:"until"`
}

// Link makes a code by which a person signs in once, within some time. Only its hash is
// kept.
func (p *Store) Link(id string, valid time.Duration) (code string, err error) {
	if _, err := p.Show(id); err != nil {
		return "", err
	}
	if code, err = p.Code(20); err != nil {
		return "", err
	}
	b, err := json.Marshal(oneTime{id, p.now().Add(valid).UTC()})
	if err != nil {
		return "", err
	}
	return code, WriteFile(p.link(code), b)
}

func (p *Store) link(code string) string {
	sum := sha256.Sum256([]byte(code))
	return filepath.Join(p.dir, "links", hex.EncodeToString(sum[:]))
}

// Spend returns whose code it is. A code is good once: whoever deletes its file has it.
func (p *Store) Spend(code string) (*Person, error) {
	spent := api.Fail(api.Refused, "ask for a new one: stile person link", "the link was used before, has expired, or is none")
	if len(code) > 100 {
		return nil, spent
	}
	b, err := os.ReadFile(p.link(code))
	if err != nil {
		return nil, spent
	}
	if err := os.Remove(p.link(code)); err != nil {
		return nil, spent
	}
	var l oneTime
	if err := json.Unmarshal(b, &l); err != nil || !p.now().Before(l.Until) {
		return nil, spent
	}
	return p.Show(l.Person)
}

// WriteFile writes a file whole or not at all, for its owner alone.
func WriteFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Chmod(0o600), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
