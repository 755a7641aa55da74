package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A town is made-up councils whose nodes run in this process, each with a data folder of
// its own, and an auditor. They speak libp2p with each other over loopback.
type town struct {
	*app
	dir   string
	nodes map[name.Council]*townNode
}

func newTown(a *app) *town { return &town{app: a, nodes: map[name.Council]*townNode{}} }

// A townNode is a council's node running in this process.
type townNode struct {
	*node.Node
	cfg   *config.Config
	stop  context.CancelFunc
	ended chan error
}

// newFolder returns the folder to keep everything in, which must be empty or new, or a
// temporary one when none is named. The verb is the command's.
func newFolder(verb, keep string) (string, error) {
	if keep == "" {
		return os.MkdirTemp("", "stile-"+verb+"-")
	}
	if es, err := os.ReadDir(keep); err == nil && len(es) > 0 {
		return "", &node.Error{Kind: node.Conflict, Message: fmt.Sprintf("%s is not empty", keep), Try: "name a new folder with --keep"}
	}
	if err := os.MkdirAll(keep, 0o700); err != nil {
		return "", err
	}
	return filepath.Abs(keep)
}

func (t *town) folder(c name.Council) string {
	return filepath.Join(t.dir, firstLabel(c))
}

// trust is the folder with the public keys that the auditor has asked each council for.
func (t *town) trust() string { return filepath.Join(t.dir, "auditor", "trust") }

// at returns a council's node.
func (t *town) at(c name.Council) *node.Node { return t.nodes[c].Node }

// await polls until f says true, or three minutes have gone by.
func (t *town) await(whole context.Context, what string, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(whole, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := f()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if err := whole.Err(); err != nil {
				return err
			}
			return fmt.Errorf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

// found makes the councils' nodes, starts them and lets them know each other.
func (t *town) found(ctx context.Context, councils []node.InitOptions) error {
	for _, c := range councils {
		listen, err := freeAddress()
		if err != nil {
			return err
		}
		c.Dir, c.Listen, c.Addresses, c.Now = t.folder(c.Council), []string{listen}, []string{listen}, t.now
		if _, err := node.Init(ctx, c); err != nil {
			return err
		}
		if err := t.start(ctx, c.Council); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(t.trust(), 0o700); err != nil {
		return err
	}
	for c := range t.nodes {
		m, err := t.at(c).Councils().Show(ctx, node.MemberNameRequest{})
		if err != nil {
			return err
		}
		for other := range t.nodes {
			if _, err := t.at(other).Councils().Add(ctx, node.MemberRequest{Document: []byte(m.Document)}); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(t.trust(), string(c)+".yaml"), []byte(m.Document), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freeAddress finds a loopback port that nobody listens on.
func freeAddress() (string, error) {
	port, err := freePort()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port), err
}

// Free ports are looked for below those that systems give to whoever dials out: one of
// those may be taken before a node listens on it.
const firstPort, ports = 10240, 32768 - 10240

var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(ports)) }

// freePort finds a loopback port that nobody listens on, another one at each call.
func freePort() (port int, err error) {
	for range 100 {
		port = firstPort + int(nextPort.Add(1)%ports)
		var l net.Listener
		if l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

func (t *town) start(ctx context.Context, c name.Council) error {
	cfg, err := config.Load(filepath.Join(t.folder(c), config.FileName))
	if err != nil {
		return err
	}
	// The demonstration writes some tens of megabytes; let it run on a small disk.
	cfg.Limits.MinFreeMiB = 16
	n, err := node.Open(cfg, node.Options{Version: release.Of().String(), Now: t.now})
	if err != nil {
		return err
	}
	rctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	dn := &townNode{Node: n, cfg: cfg, stop: stop, ended: make(chan error, 1)}
	go func() { dn.ended <- n.Run(rctx) }()
	t.nodes[c] = dn
	select {
	case <-n.Ready():
		return nil
	case err := <-dn.ended:
		dn.ended <- err
		return fmt.Errorf("start %s: %w", c, err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *townNode) close() error {
	n.stop()
	return errors.Join(<-n.ended, n.Close())
}

// written returns the text of an example's agreement, and in words how much later than its
// file says it was written: its parties are made up, nobody reviews it, and what travels
// stops with the day of review. See [agreement.Agreement.Later].
func (t *town) written(doc []byte) (text []byte, moved string, err error) {
	a, err := agreement.Parse(doc)
	if err != nil {
		return nil, "", err
	}
	later, years := a.Later(t.clock())
	if years == 0 {
		return doc, "", nil
	}
	return later.YAML(), fmt.Sprintf("Its dates are %s later than in the example, where it is to be reviewed on %s: it is now on %s.", plural(years, "year", "years"), a.Review, later.Review), nil
}

// close stops every node: all are told first, so that they say goodbye at the same time.
func (t *town) close() (err error) {
	for _, n := range t.nodes {
		n.stop()
	}
	for _, n := range t.nodes {
		err = errors.Join(err, n.close())
	}
	return err
}
