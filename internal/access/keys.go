package access

import (
	"crypto/sha256"
	"crypto/subtle"
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
	"sync"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A key as a system shows it is
//
//	stile_ID_SECRET
//
// ID is 8 letters and digits that name the key, and SECRET 52: 256 random bits in
// base32. The file of the store holds, of the whole text, its SHA-256 and nothing else:
// a text of 256 random bits is not found from its hash by trying, so that a slow hash
// would protect nothing and cost every call.
const (
	keyPrefix  = "stile_"
	idBytes    = 5
	keyBytes   = 32
	maxKeys    = 1000
	maxScopes  = 50
	defaultFor = 90 * 24 * time.Hour
	longestFor = 730 * 24 * time.Hour
	usedEvery  = time.Minute // how exactly the last use is known
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// A stored key is one element of the file, which is JSON:
//
//	{"version":1,"keys":[{"id":"…","title":"…","allow":["…"],"sha256":"…",…}]}
type stored struct {
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Allow     []string       `json:"allow,omitempty"`
	Council   name.Council   `json:"receiver,omitempty"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	SHA256    string         `json:"sha256"`
	Created   time.Time      `json:"created"`
	Expires   time.Time      `json:"expires"`
	LastUsed  time.Time      `json:"last_used,omitzero"`
	Revoked   time.Time      `json:"revoked,omitzero"`
}

type file struct {
	Version int      `json:"version"`
	Keys    []stored `json:"keys"`
}

// A Store keeps the keys of systems in one file that only its owner may read. Whoever
// can write the file can let systems in. It is for one process and may be used
// concurrently.
type Store struct {
	path   string
	random io.Reader
	now    func() time.Time

	mu   sync.Mutex
	keys []stored
}

// OpenStore reads the keys in the file at path; a file that is not there holds none.
func OpenStore(path string, random io.Reader, now func() time.Time) (*Store, error) {
	s := &Store{path: path, random: random, now: now}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var f file
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.Version != 1 {
		err = fmt.Errorf("it is of version %d, and this Stile reads 1", f.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("read keys of systems in %s: %w", path, err)
	}
	s.keys = f.Keys
	return s, nil
}

// Add makes a key. The reply alone holds its secret. What is wrong with a request is an
// *api.Error. That an agreement is there, and to whom, the caller has found out.
func (s *Store) Add(in api.KeyRequest) (*api.KeyReply, error) {
	if in.Title = strings.TrimSpace(in.Title); in.Title == "" || utf8.RuneCountInString(in.Title) > 100 || strings.ContainsFunc(in.Title, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, api.Fail(api.Usage, "say what the key is for, in up to 100 characters", "the key has no title that can be shown")
	}
	k := stored{Title: in.Title, Council: name.Council(in.Receiver), Agreement: name.Agreement(in.Agreement), Created: s.now().UTC().Truncate(time.Second)}
	switch {
	case k.Agreement != "" && len(in.Allow) > 0:
		return nil, api.Fail(api.Usage, "make two keys", "a key for a receiver is for what comes under its agreement, and has no scopes")
	case k.Agreement == "" && len(in.Allow) == 0:
		return nil, api.Fail(api.Usage, "such as read:own:standards.example/housing-need", "the key has no scope, and would be for nothing")
	case len(in.Allow) > maxScopes:
		return nil, api.Fail(api.Usage, "make two keys", "a key has at most %d scopes", maxScopes)
	}
	for _, text := range in.Allow {
		sc, err := ParseScope(text)
		if err != nil {
			return nil, err
		}
		if k.Allow = append(k.Allow, sc.String()); slices.Contains(k.Allow[:len(k.Allow)-1], sc.String()) {
			return nil, api.Fail(api.Usage, "", "a scope stands there twice")
		}
	}
	lasts := defaultFor
	if in.Days != 0 {
		lasts = time.Duration(in.Days) * 24 * time.Hour
	}
	if in.Days < 0 || in.Days > int(longestFor/(24*time.Hour)) {
		return nil, api.Fail(api.Usage, "make a new key before the old one ends", "a key lasts 1 to %d days", longestFor/(24*time.Hour))
	}
	k.Expires = k.Created.Add(lasts)
	var raw [idBytes + keyBytes]byte
	if _, err := io.ReadFull(s.random, raw[:]); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	k.ID = encoding.EncodeToString(raw[:idBytes])
	secret := keyPrefix + k.ID + "_" + encoding.EncodeToString(raw[idBytes:])
	sum := sha256.Sum256([]byte(secret))
	k.SHA256 = hex.EncodeToString(sum[:])

	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) >= maxKeys {
		return nil, api.Fail(api.Refused, "revoke keys that are not used", "there are %d keys already", maxKeys)
	}
	if slices.ContainsFunc(s.keys, func(o stored) bool { return o.ID == k.ID }) {
		return nil, api.Fail(api.Conflict, "ask again", "the key's id is taken")
	}
	if err := s.write(append(slices.Clone(s.keys), k)); err != nil {
		return nil, err
	}
	r := s.reply(k)
	r.Secret = secret
	return r, nil
}

// List returns every key, the newest first, without secrets.
func (s *Store) List() []api.KeyReply {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]api.KeyReply, 0, len(s.keys))
	for _, k := range slices.Backward(s.keys) {
		out = append(out, *s.reply(k))
	}
	return out
}

// Revoke ends a key now. One that is revoked stays so, and stays in the list.
func (s *Store) Revoke(id string) (*api.KeyReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.Clone(s.keys)
	i := slices.IndexFunc(keys, func(k stored) bool { return k.ID == id })
	if i < 0 {
		return nil, api.Fail(api.NotFound, "stile access key list", "there is no key of that id")
	}
	if keys[i].Revoked.IsZero() {
		keys[i].Revoked = s.now().UTC().Truncate(time.Second)
		if err := s.write(keys); err != nil {
			return nil, err
		}
	}
	return s.reply(keys[i]), nil
}

// Authenticate finds the key that a caller shows, and notes that it was used. It says
// the same of a key that never was, one that has ended and one that was revoked.
func (s *Store) Authenticate(secret string) (*api.KeyReply, error) {
	no := api.Fail(api.Refused, "ask an operator for a key that is good: stile access key list", "the key is none of this node, or not good any more")
	id, _, ok := strings.Cut(strings.TrimPrefix(secret, keyPrefix), "_")
	if !ok || !strings.HasPrefix(secret, keyPrefix) || len(secret) > 200 {
		return nil, no
	}
	sum := sha256.Sum256([]byte(secret))
	shown := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys, func(k stored) bool { return k.ID == id })
	if i < 0 || subtle.ConstantTimeCompare([]byte(shown), []byte(s.keys[i].SHA256)) != 1 {
		return nil, no
	}
	r := s.reply(s.keys[i])
	if r.State != api.KeyGood {
		return nil, no
	}
	if now := s.now().UTC(); now.Sub(s.keys[i].LastUsed) >= usedEvery {
		s.keys[i].LastUsed = now.Truncate(time.Minute)
		if err := s.write(s.keys); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (s *Store) reply(k stored) *api.KeyReply {
	r := &api.KeyReply{
		ID: k.ID, Title: k.Title, Allow: slices.Clone(k.Allow), Receiver: k.Council, Agreement: k.Agreement, Created: k.Created,
		Expires: k.Expires, LastUsed: k.LastUsed, Revoked: k.Revoked, State: api.KeyGood,
	}
	switch {
	case !k.Revoked.IsZero():
		r.State = api.KeyRevoked
	case !s.now().Before(k.Expires):
		r.State = api.KeyExpired
	}
	return r
}

// write puts the keys on disk and then into memory. s.mu is held.
func (s *Store) write(keys []stored) error {
	b, err := json.MarshalIndent(file{1, keys}, "", " ")
	if err == nil {
		err = writeFile(s.path, b)
	}
	if err != nil {
		return fmt.Errorf("keep keys of systems: %w", err)
	}
	s.keys = keys
	return nil
}

// writeFile writes a file for its owner alone, whole or not at all.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".access")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// PrincipalOf returns the principal that a good key stands for.
func PrincipalOf(k *api.KeyReply) (*Principal, error) {
	p := &Principal{Kind: System, ID: k.ID, Title: k.Title, Until: k.Expires}
	if k.Agreement != "" {
		p.Kind, p.Council, p.Agreement = Receiver, k.Receiver, k.Agreement
		return p, nil
	}
	for _, text := range k.Allow {
		s, err := ParseScope(text)
		if err != nil {
			return nil, err
		}
		p.Scopes = append(p.Scopes, s)
	}
	return p, nil
}
