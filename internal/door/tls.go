package door

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// looksAgain is how long a certificate is used before its file is looked at again.
const looksAgain = time.Minute

// A certificate is read again when its file has changed.
type certificate struct {
	file, key string
	now       func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // of the file, when it was read
	looked  time.Time
}

func loadCertificate(file, key string, now func() time.Time) (*certificate, error) {
	c := &certificate{file: file, key: key, now: now}
	return c, c.load()
}

func (c *certificate) load() error {
	st, err := os.Stat(c.file)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.file, c.key)
	if err != nil {
		return fmt.Errorf("read certificate_file and key_file: %w", err)
	}
	c.current, c.changed, c.looked = &pair, st.ModTime(), c.now()
	return nil
}

// get returns the newest certificate that could be read.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= looksAgain {
		c.looked = now
		if st, err := os.Stat(c.file); err == nil && !st.ModTime().Equal(c.changed) {
			old := c.current
			if c.load() != nil {
				c.current = old
			}
		}
	}
	return c.current, nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}

// autocertificates is what fetches certificates by itself.
type autocertificates interface{ TLSConfig() *tls.Config }

func fetchCertificates(folder string, hosts []string) autocertificates {
	return &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(folder), HostPolicy: autocert.HostWhitelist(hosts...)}
}
