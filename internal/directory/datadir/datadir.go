// Package datadir knows where a node's data folder keeps what has to do with the
// directory: the tree that the node follows, what it publishes where it is the
// host, and the keys for that.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
)

// Files of a data folder that have to do with the directory.
const (
	// AuthorityName is the folder of what a host publishes, a
	// tufdir.Repository; there is none where another hosts the directory.
	AuthorityName = "authority"

	// JoiningName is where a directory is fetched into before it takes the
	// place of the one before.
	JoiningName = "directory.joining"

	// MirrorsName lists, in the directory's folder, addresses to fetch it from
	// beside those of its members.
	MirrorsName = "mirrors.txt"

	// SoleKeyName is the one key of a directory of one.
	SoleKeyName = "directory.key"
	// onlineKeyName signs snapshot and timestamp where this node is the host of
	// a federation.
	onlineKeyName = "directory-online.key"
	// registrarKeyName signs the list of members where it is kept on this node.
	registrarKeyName = "directory-registrar.key"
)

// Authority returns the folder of what the node publishes as the host of a
// directory, a tufdir.Repository. It is there only where it is a host.
func Authority(cfg *config.Config) string { return filepath.Join(cfg.Data, AuthorityName) }

// Hosts reports whether the node publishes the directory that it follows.
func Hosts(cfg *config.Config) bool {
	_, err := os.Stat(Authority(cfg))
	return err == nil
}

// Founding returns the folder in which a directory is prepared that this node
// is to host, a tufdir.Repository, until Directory.Follow puts it in its place.
func Founding(cfg *config.Config) string { return Authority(cfg) + ".next" }

// Mirror returns the tree of the directory that the node follows, verified:
// a tufdir.Repository can be loaded from it, and must not be saved to it.
func Mirror(cfg *config.Config) string { return filepath.Join(cfg.Directory, "mirror") }

// OnlineKey returns where the key is kept with which the host of a federation
// says every day that there is no news.
func OnlineKey(cfg *config.Config) string {
	return filepath.Join(cfg.Data, "keys", onlineKeyName)
}

// RegistrarKey returns where a registrar's key is kept on a node.
func RegistrarKey(cfg *config.Config) string {
	return filepath.Join(cfg.Data, "keys", registrarKeyName)
}

// Sole reports whether the data folder's directory is one of one, whose only
// key is in it.
func Sole(cfg *config.Config) bool {
	_, err := os.Stat(filepath.Join(cfg.Data, "keys", SoleKeyName))
	return err == nil && Hosts(cfg)
}

// Keys returns the directory keys that this node holds: the one that
// signs what is published, nil where it has none, and all of them, which sign
// whatever they count for. While a federation is being founded its keys are
// there beside that of the directory of one, which goes on being published.
func Keys(cfg *config.Config, passphrase []byte) (online *tufdir.Key, all []*tufdir.Key, err error) {
	for _, file := range []string{SoleKeyName, onlineKeyName, registrarKeyName} {
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

// FoundSole founds a directory of one: this node is holder, registrar and host,
// with one key, and members are in it.
func FoundSole(ctx context.Context, cfg *config.Config, pass []byte, now func() time.Time, members ...directory.Member) error {
	key, err := tufdir.CreateKey(filepath.Join(cfg.Data, "keys", SoleKeyName), pass)
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
	if err := r.Save(Authority(cfg)); err != nil {
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

// Mend finishes what a crash left half done, before anything is read:
// the exchange of one directory for another.
func Mend(cfg *config.Config) error {
	joining := filepath.Join(cfg.Data, JoiningName)
	if _, err := os.Stat(cfg.Directory); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(joining); err != nil {
		return nil // for config to say that the folder is missing
	}
	return os.Rename(joining, cfg.Directory)
}

// Open opens the directory that the data folder follows. A folder of
// plain member files, as nodes kept before directories were signed, becomes a
// directory of one with those members.
func Open(ctx context.Context, cfg *config.Config, pass []byte, now func() time.Time) (*tufdir.Client, error) {
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
	if err := FoundSole(ctx, cfg, pass, now, members...); err != nil {
		return nil, err
	}
	for _, m := range members {
		if err := os.Remove(filepath.Join(cfg.Directory, string(m.Council)+".yaml")); err != nil {
			return nil, err
		}
	}
	return tufdir.Open(cfg.Directory, tufdir.Options{Now: now})
}
