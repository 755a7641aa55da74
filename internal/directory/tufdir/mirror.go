package tufdir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Mirror hands on the edition that a Client has in view, the one before it, so
// that a newcomer in the middle of it can end, and the roots since the one
// the Client began with. It may be used concurrently.
//
// It is a [net/http.Handler] of the tree, and Lookup is the same for any other
// wire.
type Mirror struct {
	c *Client
}

// Mirror returns the mirror of what c has.
func (c *Client) Mirror() *Mirror { return &Mirror{c} }

// Lookup returns the file at a path of the tree. The error is a *[Refusal]
// wrapping [ErrMissing] for whatever is not part of a verified edition, paths
// that are none among them, and [ErrMismatch] for a target that the disk has
// changed.
func (m *Mirror) Lookup(path string) ([]byte, error) {
	p, ok := parsePath(path)
	if !ok {
		return nil, refuse("path", ErrMissing, "not a path of a directory")
	}
	served := p.role == metadata.ROOT || m.c.View().files[path]
	if last := m.c.last.Load(); !served && last != nil {
		served = last.files[path]
	}
	if !served {
		return nil, refuse(path, ErrMissing, "")
	}
	return m.c.cache.read(p)
}

// ServeHTTP answers GET and HEAD for the tree under "/". All but the timestamp
// never change under their names, and say so to caches.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	b, err := m.Lookup(path)
	if err != nil {
		http.Error(w, "no such file of the directory", http.StatusNotFound)
		return
	}
	h := w.Header()
	sum := sha256.Sum256(b)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h.Set("ETag", etag)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if path == "metadata/timestamp.json" {
		h.Set("Cache-Control", "no-cache")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case strings.HasSuffix(path, ".json"):
		h.Set("Content-Type", "application/json")
	case strings.HasSuffix(path, ".zip"):
		h.Set("Content-Type", "application/zip")
	default:
		h.Set("Content-Type", "application/yaml")
	}
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(b) // whoever hung up is not told
	}
}

// Fetch is [Mirror.Lookup] as a [Fetcher].
func (m *Mirror) Fetch(ctx context.Context, path string, max int64) ([]byte, error) {
	b, err := m.Lookup(path)
	if err == nil && int64(len(b)) > max {
		return nil, ErrTooLong
	}
	return b, err
}
