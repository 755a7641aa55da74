package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// client returns the directory that is followed now.
func (n *Node) client() *tufdir.Client { return n.tuf.Load() }

// showEdition puts what the directory says into view of everybody who asks.
func (n *Node) showEdition() error {
	v := n.client().View()
	var members []directory.Member
	for _, e := range v.Members() {
		members = append(members, e.Full())
	}
	if err := n.directory.Replace(members, v.Exchange); err != nil {
		return err
	}
	n.changed()
	return nil
}

// hosts reports whether this node publishes the directory it follows.
func (n *Node) hosts() bool {
	_, err := os.Stat(datadir.Authority(n.cfg))
	return err == nil
}

// published returns a standard that the directory has, whole. The error is
// NotFound when it has none of that name, or its archive is not here.
func (n *Node) published(want name.Standard) (*standard.Standard, error) {
	s, err := n.client().Standard(want)
	if errors.Is(err, tufdir.ErrMissing) {
		return nil, fail(NotFound, "stile standard list --published", "%s is not in the directory", want)
	}
	if err != nil {
		return nil, fail(Unverified, "ask the standards body to publish it again", "%v", err)
	}
	return s, nil
}

// publish changes what this node publishes and publishes it, as far as the keys
// that are here can sign; edit may be nil. It returns the roles that wait for
// signatures of others.
func (n *Node) publish(ctx context.Context, edit func(r *tufdir.Repository, now time.Time) error) (waiting []string, err error) {
	n.hosting.Lock()
	defer n.hosting.Unlock()
	pass, err := n.cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	r, err := tufdir.Load(datadir.Authority(n.cfg))
	if err != nil {
		return nil, fail(Failed, "restore the folder "+datadir.AuthorityName+"/, or take it from any mirror of the directory", "%v", err)
	}
	now := n.now()
	if edit != nil {
		if err := edit(r, now); err != nil {
			return nil, err
		}
	}
	online, all, err := datadir.Keys(n.cfg, pass)
	if err != nil {
		return nil, err
	}
	if online == nil {
		return nil, fail(Failed, "restore keys/"+filepath.Base(datadir.OnlineKey(n.cfg)), "this node hosts the directory and has no key to publish it with")
	}
	if n.sole() {
		// Nobody but this node can sign it anew, and nobody else has to look
		// at what is signed.
		for role, left := range r.Left(now) {
			if left < renewSole {
				if err := r.Renew(role, now); err != nil {
					return nil, err
				}
			}
		}
	}
	if edit != nil || n.sole() {
		// What a person prepared and did not want out yet is not signed for them.
		for _, k := range all {
			if _, err := r.Sign(k); err != nil {
				return nil, err
			}
		}
	}
	if _, err := r.Publish(online, now); err != nil {
		return nil, err
	}
	if err := r.Save(datadir.Authority(n.cfg)); err != nil {
		return nil, err
	}
	if _, err := n.client().Refresh(ctx, r.Fetch); err != nil {
		return nil, err
	}
	for _, w := range r.Waiting() {
		waiting = append(waiting, w.Role)
	}
	return waiting, n.showEdition()
}

// renewSole is how long before its end a directory of one is signed anew.
const renewSole = 60 * 24 * time.Hour

// sole reports whether the directory is one of one, whose only key is here.
func (n *Node) sole() bool {
	_, err := os.Stat(filepath.Join(n.cfg.Data, "keys", datadir.SoleKeyName))
	return err == nil && n.hosts()
}

// How often the directory is looked after.
const (
	publishEvery = 24 * time.Hour   // a host vouches that there is no news
	refreshEvery = time.Hour        // everybody else asks for news
	refreshLeast = 30 * time.Second // between two askings, however many partners connect
	askAtMost    = 3                // mirrors in one asking: one of them may hide the news
)

// keepDirectory publishes the directory where this node is its host, and asks
// others for news of it where it is not, until ctx ends.
func (n *Node) keepDirectory(ctx context.Context) {
	var published, asked time.Time
	t := time.NewTicker(refreshEvery)
	defer t.Stop()
	for {
		var err error
		switch now := n.now(); {
		case n.hosts() && now.Sub(published) >= publishEvery:
			if _, err = n.publish(ctx, nil); err == nil {
				published = now
			}
		case !n.hosts() && now.Sub(asked) >= refreshLeast:
			asked = now
			err = n.askMirrors(ctx)
		}
		if err != nil && ctx.Err() == nil {
			n.log.Warn("directory not brought up to date", "because", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-n.asking:
		}
	}
}

// ask has the directory refreshed soon.
func (n *Node) ask() {
	select {
	case n.asking <- struct{}{}:
	default:
	}
}

// askMirrors refreshes the directory from up to askAtMost others. It returns an
// error when none of them gave an edition that is believed.
func (n *Node) askMirrors(ctx context.Context) error {
	n.refreshing.Lock()
	defer n.refreshing.Unlock()
	var errs []error
	good := 0
	for _, m := range n.mirrors() {
		if good == askAtMost || ctx.Err() != nil {
			break
		}
		actx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		rep, err := n.refreshFrom(actx, m)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m, err))
			continue
		}
		good++
		if rep.Changed {
			n.log.Info("directory refreshed", "from", m.String(), "version", rep.Version, "files", rep.Files, "bytes", rep.Bytes, "refused", len(rep.Refused))
			if err := n.showEdition(); err != nil {
				return err
			}
		}
		for _, r := range rep.Refused {
			n.log.Warn("part of the directory refused", "from", m.String(), "because", r.Error())
		}
	}
	if good > 0 {
		return nil
	}
	if len(errs) == 0 {
		return errors.New("no mirror of the directory is known")
	}
	return errors.Join(errs...)
}

// A mirror is somebody to fetch the directory from: a member, or an address.
type mirror struct {
	council name.Council
	address string
}

func (m mirror) String() string {
	if m.council != "" {
		return string(m.council)
	}
	return m.address
}

// mirrors returns whom to ask, in order: the addresses that were written down
// when the node joined, who is connected, and then members by chance.
func (n *Node) mirrors() (out []mirror) {
	b, err := os.ReadFile(filepath.Join(n.cfg.Directory, datadir.MirrorsName))
	if err == nil {
		for l := range strings.Lines(string(b)) {
			if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
				out = append(out, mirror{address: l})
			}
		}
	}
	n.mu.Lock()
	net := n.net
	n.mu.Unlock()
	if net == nil {
		return out
	}
	connected := net.Connected()
	for _, c := range connected {
		out = append(out, mirror{council: c})
	}
	members := n.directory.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	now := n.now()
	for _, m := range members {
		if len(m.Addresses) > 0 && m.Council != n.cfg.Council && m.ActiveAt(now) && !slices.Contains(connected, m.Council) {
			out = append(out, mirror{council: m.Council})
		}
	}
	return out
}

func (n *Node) refreshFrom(ctx context.Context, m mirror) (*tufdir.Report, error) {
	fetch, done, err := n.fetcher(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	return n.client().Refresh(ctx, fetch)
}
