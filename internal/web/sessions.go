package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

// sessionFiles keeps sessions, so that whoever is signed in stays so when the node is
// started anew.
//
// The session of a person is a file of the data folder. Its name is a hash of the number
// that the browser has, and it is encrypted under another hash of it: who reads the folder,
// or a backup of it, can neither enter with what it holds nor read what somebody read
// records for. A file is the nonce of AES-256-GCM and what was sealed: eight bytes that say
// when the session ends, in nanoseconds since 1970, and the session as scs encodes it.
//
// A session of nobody, such as that of a browser on its way to sign in, stays in memory, so
// that strangers write nothing to disk.
type sessionFiles struct {
	dir string
	now func() time.Time

	mu      sync.Mutex           // guards what follows
	nobody  map[string]held      // by token
	written map[string]time.Time // by file: when the session on disk ends, of an unchanged session
	content map[string][32]byte  // by file: the hash of the session on disk
	swept   time.Time
}

type held struct {
	b     []byte
	until time.Time
}

// Bounds of what is kept: sessions of nobody, how often files that are over are looked for,
// and how much later a session must end before an unchanged one is written again.
const (
	nobodyMost   = 10000
	sweepEvery   = 10 * time.Minute
	writtenLater = time.Minute
)

func newSessionFiles(dir string, now func() time.Time) *sessionFiles {
	return &sessionFiles{dir: dir, now: now, nobody: map[string]held{}, written: map[string]time.Time{}, content: map[string][32]byte{}}
}

func (s *sessionFiles) file(token string) string {
	sum := sha256.Sum256([]byte("stile session name\n" + token))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:]))
}

func seal(token string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte("stile session key\n" + token))
	b, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(b)
}

// Find returns a session. One that is over, or whose file is not what it was, is none.
func (s *sessionFiles) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.nobody[token]; ok {
		return h.b, s.now().Before(h.until), nil
	}
	sealed, err := os.ReadFile(s.file(token))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	aead, err := seal(token)
	if err != nil {
		return nil, false, err
	}
	b, err := aead.Open(nil, nil, sealed, nil)
	if err != nil || len(b) < 8 || !s.now().Before(time.Unix(0, int64(binary.BigEndian.Uint64(b)))) {
		return nil, false, nil
	}
	return b[8:], true, nil
}

// Commit keeps a session until some instant.
func (s *sessionFiles) Commit(token string, b []byte, until time.Time) error {
	_, values, err := scs.GobCodec{}.Decode(b)
	if err != nil {
		return err
	}
	// scs reckons by its own clock.
	until = s.now().Add(time.Until(until))
	s.mu.Lock()
	defer s.mu.Unlock()
	if who, _ := values["person"].(string); who == "" {
		if len(s.nobody) >= nobodyMost {
			for t, h := range s.nobody {
				if len(s.nobody) >= nobodyMost || !s.now().Before(h.until) {
					delete(s.nobody, t)
				}
			}
		}
		s.nobody[token] = held{b, until}
		return nil
	}
	delete(s.nobody, token)
	s.sweep()
	file, sum := s.file(token), sha256.Sum256(b)
	if was, ok := s.written[file]; ok && s.content[file] == sum && until.Sub(was) < writtenLater {
		return nil
	}
	aead, err := seal(token)
	if err != nil {
		return err
	}
	sealed := aead.Seal(nil, nil, append(binary.BigEndian.AppendUint64(nil, uint64(until.UnixNano())), b...), nil)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// A session that a crash loses is one sign-in more, so that nothing waits for the disk.
	tmp, err := os.CreateTemp(s.dir, ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(sealed)
	if err = errors.Join(err, tmp.Chmod(0o600), tmp.Close()); err != nil {
		return err
	}
	// The time of the file is when the session ends, so that a sweep need open none.
	if err := os.Chtimes(tmp.Name(), until, until); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	s.written[file], s.content[file] = until, sum
	return nil
}

// Delete ends a session.
func (s *sessionFiles) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nobody, token)
	return s.drop(s.file(token))
}

func (s *sessionFiles) drop(file string) error {
	delete(s.written, file)
	delete(s.content, file)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweep deletes sessions that are over. s.mu is held.
func (s *sessionFiles) sweep() {
	if s.now().Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = s.now()
	files, _ := os.ReadDir(s.dir)
	for _, f := range files {
		if st, err := f.Info(); err == nil && !s.now().Before(st.ModTime()) {
			_ = s.drop(filepath.Join(s.dir, f.Name())) // it is looked for again
		}
	}
}

var _ scs.Store = (*sessionFiles)(nil)
