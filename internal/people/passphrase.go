package people

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/scrypt"

	"github.com/stile-exchange/stile/node/api"
)

// A person who has no browser at hand says who they are by a passphrase. Of it the folder
// has what scrypt (RFC 7914) makes of it, in ID.passphrase beside the person. The costs are
// those that the RFC's author gives for logging in: some 50 ms and 32 MiB for each try.
const (
	scryptN     = 1 << 15
	scryptR     = 8
	scryptP     = 1
	saltBytes   = 16
	hashBytes   = 32
	leastLetter = 12
	maxPass     = 1000
)

// How often one may try in vain, and within what time.
const (
	maxTries = 10
	triesFor = 15 * time.Minute
)

// A hashed passphrase is the file, which is JSON. The costs stand in it, so that a later
// Stile may take higher ones for new passphrases.
type hashed struct {
	Version int    `json:"version"` // 1
	N       int    `json:"n"`
	R       int    `json:"r"`
	P       int    `json:"p"`
	Salt    []byte `json:"salt"`
	Hash    []byte `json:"hash"`
}

// SetPassphrase gives a person a passphrase, in the place of one that they had.
func (p *Store) SetPassphrase(id string, pass []byte) error {
	if _, err := p.Show(id); err != nil {
		return err
	}
	if utf8.RuneCount(pass) < leastLetter || len(pass) > maxPass {
		return api.Fail(api.Usage, "such as four words that belong to nobody else", "a passphrase has at least %d letters, and at most %d bytes", leastLetter, maxPass)
	}
	h := hashed{Version: 1, N: scryptN, R: scryptR, P: scryptP, Salt: make([]byte, saltBytes)}
	if _, err := io.ReadFull(p.random, h.Salt); err != nil {
		return fmt.Errorf("draw a salt: %w", err)
	}
	var err error
	if h.Hash, err = scrypt.Key(pass, h.Salt, h.N, h.R, h.P, hashBytes); err != nil {
		return fmt.Errorf("hash passphrase: %w", err)
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return WriteFile(p.passphrase(id), append(b, '\n'))
}

// ForgetPassphrase takes a person's passphrase away; where there is none it does nothing.
func (p *Store) ForgetPassphrase(id string) error {
	if err := os.Remove(p.passphrase(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget passphrase: %w", err)
	}
	return nil
}

func (p *Store) passphrase(id string) string { return filepath.Join(p.dir, id+".passphrase") }

// A Door lets people in by their passphrases. One process may have one to a folder at a
// time. It counts what was tried in vain in a file, since a node that does not run is opened
// anew for every command. Methods may be called concurrently.
type Door struct {
	people *Store

	mu sync.Mutex
}

// Door returns the door to the people.
func (p *Store) Door() *Door { return &Door{people: p} }

// Enter returns who is called so, by id, email address or name, and has the passphrase. It
// says the same, after the same work, of a wrong passphrase, of a person who has none and of
// one who does not exist: an *api.Error of kind Refused. After 10 in vain within 15 minutes
// it refuses that person unheard.
func (d *Door) Enter(called string, pass []byte) (*Person, error) {
	p := d.people
	one, err := p.Find(called)
	if _, none := errors.AsType[*api.Error](err); err != nil && !none {
		return nil, err
	}
	h := hashed{Version: 1, N: scryptN, R: scryptR, P: scryptP, Salt: make([]byte, saltBytes)}
	// Those who are nobody share a few counters, so that asking for many fills nothing.
	key := fmt.Sprintf("nobody-%02x", sha256.Sum256([]byte(strings.ToLower(called)))[0]&0x3f)
	if one != nil {
		key = one.ID
		b, err := os.ReadFile(p.passphrase(one.ID))
		if err == nil {
			var kept hashed
			if err := json.Unmarshal(b, &kept); err != nil || kept.Version != 1 || len(kept.Hash) != hashBytes || kept.N > 1<<20 || kept.R > 32 || kept.P > 16 {
				return nil, fmt.Errorf("read the passphrase of %s: the file is damaged", one.ID)
			}
			h = kept
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the passphrase of %s: %w", one.ID, err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tries, err := d.tries()
	if err != nil {
		return nil, err
	}
	if len(tries[key]) >= maxTries {
		return nil, api.Fail(api.Refused, "wait until they are over", "that person was tried in vain %d times within %d minutes", maxTries, int(triesFor.Minutes()))
	}
	// Counted before it is looked at: whoever stops the process in between has tried.
	tries[key] = append(tries[key], p.now().UTC())
	if err := d.keep(tries); err != nil {
		return nil, err
	}
	got, err := scrypt.Key(pass, h.Salt, h.N, h.R, h.P, hashBytes)
	if err != nil {
		return nil, fmt.Errorf("hash passphrase: %w", err)
	}
	if one == nil || len(pass) == 0 || subtle.ConstantTimeCompare(got, h.Hash) != 1 {
		return nil, api.Fail(api.Refused, "stile person passphrase PERSON sets one; a name that two have is nobody's: name them by their id", "no person of that name has that passphrase")
	}
	delete(tries, key)
	return one, d.keep(tries)
}

// tries returns when each was tried in vain, of the last minutes.
func (d *Door) tries() (map[string][]time.Time, error) {
	all := map[string][]time.Time{}
	b, err := os.ReadFile(d.file())
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read who was tried in vain: %w", err)
	}
	since := d.people.now().Add(-triesFor)
	for key, times := range all {
		var late []time.Time
		for _, t := range times {
			if t.After(since) {
				late = append(late, t)
			}
		}
		if all[key] = late; len(late) == 0 {
			delete(all, key)
		}
	}
	return all, nil
}

func (d *Door) keep(tries map[string][]time.Time) error {
	b, err := json.Marshal(tries)
	if err == nil {
		err = os.MkdirAll(d.people.dir, 0o700)
	}
	if err == nil {
		err = WriteFile(d.file(), b)
	}
	if err != nil {
		return fmt.Errorf("keep who was tried in vain: %w", err)
	}
	return nil
}

func (d *Door) file() string { return filepath.Join(d.people.dir, "tries") }
