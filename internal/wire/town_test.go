package wire_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// town is a directory that several hosts share.
type town struct {
	mu      sync.Mutex
	members map[name.Council]wire.Member
	hosts   []*wire.Host
}

func newTown() *town { return &town{members: make(map[name.Council]wire.Member)} }

// Member implements wire.Members.
func (w *town) Member(c name.Council) (wire.Member, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.members[c]
	return m, ok
}

// ByNode implements wire.Members.
func (w *town) ByNode(node string) (name.Council, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, m := range w.members {
		if m.Node == node {
			return c, true
		}
	}
	return "", false
}

// enrol enters a council with a node id and addresses; it replaces an entry.
func (w *town) enrol(c name.Council, node string, addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[c] = wire.Member{Node: node, Addresses: addresses}
}

// forget takes a council out and tells nobody.
func (w *town) forget(c name.Council) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, c)
}

// remove takes a council out and tells every host.
func (w *town) remove(c name.Council) {
	w.forget(c)
	w.mu.Lock()
	hosts := append([]*wire.Host(nil), w.hosts...)
	w.mu.Unlock()
	for _, h := range hosts {
		h.Refresh()
	}
}

// key returns the node key of a council, always the same.
func key(c name.Council) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(c))
	return ed25519.NewKeyFromSeed(seed[:])
}

func node(c name.Council) string { return wire.PeerID(key(c).Public().(ed25519.PublicKey)) }

// open starts a host for a council and enrols it where it listens.
func (w *town) open(t testing.TB, c name.Council, open func(wire.Options) (*wire.Host, error), listen ...string) *wire.Host {
	t.Helper()
	h := w.openUnlisted(t, c, open, listen...)
	w.enrol(c, node(c), h.Addresses()...)
	return h
}

func (w *town) openUnlisted(t testing.TB, c name.Council, open func(wire.Options) (*wire.Host, error), listen ...string) *wire.Host {
	t.Helper()
	h, err := open(wire.Options{Key: key(c), Self: c, Directory: w, Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	w.mu.Lock()
	w.hosts = append(w.hosts, h)
	w.mu.Unlock()
	return h
}
