package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Files of a data folder that have to do with the directory.
const (
	// authorityName is the folder of what a host publishes, a
	// tufdir.Repository; there is none where another hosts the directory.
	authorityName = "authority"

	// joiningName is where a directory is fetched into before it takes the
	// place of the one before.
	joiningName = "directory.joining"

	// mirrorsName lists, in the directory's folder, addresses to fetch it from
	// beside those of its members.
	mirrorsName = "mirrors.txt"

	// soleKeyName is the one key of a directory of one.
	soleKeyName = "directory.key"
	// onlineKeyName signs snapshot and timestamp where this node is the host of
	// a federation.
	onlineKeyName = "directory-online.key"
	// registrarKeyName signs the list of members where it is kept on this node.
	registrarKeyName = "directory-registrar.key"
)

// AuthorityDir returns the folder of what the node publishes as the host of a
// directory, a tufdir.Repository. It is there only where it is a host.
func AuthorityDir(cfg *config.Config) string { return filepath.Join(cfg.Data, authorityName) }

// DirectoryKeys returns the directory keys that this node holds: the one that
// signs what is published, nil where it has none, and all of them, which sign
// whatever they count for. While a federation is being founded its keys are
// there beside that of the directory of one, which goes on being published.
func DirectoryKeys(cfg *config.Config, passphrase []byte) (online *tufdir.Key, all []*tufdir.Key, err error) {
	for _, file := range []string{soleKeyName, onlineKeyName, registrarKeyName} {
		k, err := tufdir.OpenKey(filepath.Join(cfg.Data, "keys", file), passphrase)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if online == nil && file != registrarKeyName {
			online = k
		}
		all = append(all, k)
	}
	return online, all, nil
}

// foundSole founds a directory of one: this node is holder, registrar and host,
// with one key, and members are in it.
func foundSole(ctx context.Context, cfg *config.Config, pass []byte, now func() time.Time, members ...directory.Member) error {
	key, err := tufdir.CreateKey(filepath.Join(cfg.Data, "keys", soleKeyName), pass)
	if err != nil {
		return err
	}
	all := []tufdir.Public{key.Public()}
	r, err := tufdir.Found(tufdir.Founding{Holders: all, Threshold: 1, Online: key.Public(), Members: all}, now())
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := r.Admit(m, now()); err != nil {
			return err
		}
	}
	if _, err := r.Sign(key); err != nil {
		return err
	}
	if _, err := r.Publish(key, now()); err != nil {
		return err
	}
	if err := r.Save(AuthorityDir(cfg)); err != nil {
		return err
	}
	root, err := r.Fetch(ctx, "metadata/1.root.json", 1<<20)
	if err != nil {
		return err
	}
	c, err := tufdir.Create(cfg.Directory, root, tufdir.Options{Now: now})
	if err != nil {
		return err
	}
	_, err = c.Refresh(ctx, r.Fetch)
	return errors.Join(err, c.Close())
}

// mendDirectory finishes what a crash left half done, before anything is read:
// the exchange of one directory for another.
func mendDirectory(cfg *config.Config) error {
	joining := filepath.Join(cfg.Data, joiningName)
	if _, err := os.Stat(cfg.Directory); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(joining); err != nil {
		return nil // for config to say that the folder is missing
	}
	return os.Rename(joining, cfg.Directory)
}

// openDirectory opens the directory that the data folder follows. A folder of
// plain member files, as nodes kept before directories were signed, becomes a
// directory of one with those members.
func openDirectory(ctx context.Context, cfg *config.Config, pass []byte, now func() time.Time) (*tufdir.Client, error) {
	c, err := tufdir.Open(cfg.Directory, tufdir.Options{Now: now})
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	members, err := directory.Read(cfg.Directory)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(members, func(m directory.Member) bool { return m.Council == cfg.Council }) {
		return nil, fmt.Errorf("open directory: our own member file is not in %s", filepath.Base(cfg.Directory))
	}
	if err := foundSole(ctx, cfg, pass, now, members...); err != nil {
		return nil, err
	}
	for _, m := range members {
		if err := os.Remove(filepath.Join(cfg.Directory, string(m.Council)+".yaml")); err != nil {
			return nil, err
		}
	}
	return tufdir.Open(cfg.Directory, tufdir.Options{Now: now})
}

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
	_, err := os.Stat(AuthorityDir(n.cfg))
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
	r, err := tufdir.Load(AuthorityDir(n.cfg))
	if err != nil {
		return nil, fail(Failed, "restore the folder "+authorityName+"/, or take it from any mirror of the directory", "%v", err)
	}
	now := n.now()
	if edit != nil {
		if err := edit(r, now); err != nil {
			return nil, err
		}
	}
	online, all, err := DirectoryKeys(n.cfg, pass)
	if err != nil {
		return nil, err
	}
	if online == nil {
		return nil, fail(Failed, "restore keys/"+onlineKeyName, "this node hosts the directory and has no key to publish it with")
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
	if err := r.Save(AuthorityDir(n.cfg)); err != nil {
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
	_, err := os.Stat(filepath.Join(n.cfg.Data, "keys", soleKeyName))
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
	b, err := os.ReadFile(filepath.Join(n.cfg.Directory, mirrorsName))
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
