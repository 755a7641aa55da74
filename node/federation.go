package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// followOwn makes the node follow the directory that was prepared here and has
// been published for the first time, and makes the node its host. Called again
// after a crash it finishes.
func (n *Node) followOwn(ctx context.Context, _ Empty) (*DirectoryReply, error) {
	n.hosting.Lock()
	defer n.hosting.Unlock()
	n.refreshing.Lock()
	defer n.refreshing.Unlock()
	next := datadir.Founding(n.cfg)
	r, err := tufdir.Load(next)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(NotFound, "stile directory found", "no directory is being founded here")
	case err != nil:
		return nil, fail(Failed, "stile directory discard --founding, and begin again", "%v", err)
	case !r.Published():
		return nil, fail(Behind, "stile directory status", "the directory that is being founded has not been published yet")
	}
	if n.hosts() && !n.sole() {
		return nil, fail(Refused, "move the folder "+datadir.AuthorityName+"/ and its keys to another node first", "this node is the host of a federation's directory: others depend on it")
	}
	root, version, err := n.client().Root()
	if err != nil {
		return nil, err
	}
	same, err := r.Fetch(ctx, fmt.Sprintf("metadata/%d.root.json", version), 1<<20)
	if err != nil || !bytes.Equal(same, root) {
		if err := n.enter(ctx, r); err != nil {
			return nil, err
		}
	} else if _, err := n.client().Refresh(ctx, r.Fetch); err != nil {
		// Taken over from a host that is lost: what is followed stays.
		return nil, fail(Unverified, "", "%v", err)
	}
	if err := os.Rename(next, datadir.Authority(n.cfg)); err != nil {
		return nil, err
	}
	if err := n.showEdition(); err != nil {
		return nil, err
	}
	return n.showKept(ctx)
}

// enter makes the node follow what r has published, in the place of what it
// follows.
func (n *Node) enter(ctx context.Context, r *tufdir.Repository) error {
	was, _, err := n.client().RootHash()
	if err != nil {
		return err
	}
	var root []byte
	for v := 1; ; v++ {
		b, err := r.Fetch(ctx, fmt.Sprintf("metadata/%d.root.json", v), 1<<20)
		if err != nil {
			break
		}
		root = b
	}
	if root == nil {
		return fail(Failed, "", "the first root of the new directory is not there")
	}
	joining := filepath.Join(n.cfg.Data, datadir.JoiningName)
	if err := os.RemoveAll(joining); err != nil {
		return err
	}
	c, err := tufdir.Create(joining, root, tufdir.Options{Now: n.now})
	if err != nil {
		return err
	}
	sum, version, err := c.RootHash()
	if err == nil {
		if _, err = c.Refresh(ctx, r.Fetch); err == nil {
			err = n.admitted(c)
		}
	}
	if err = errors.Join(err, c.Close()); err != nil {
		os.RemoveAll(joining)
		return err
	}
	_, _, err = n.ledger.AppendNotice(ctx, event.KindDirectoryJoined, map[string]any{
		"root": hex.EncodeToString(sum[:]), "root_version": fmt.Sprint(version), "left": hex.EncodeToString(was[:]),
	})
	if err != nil {
		return err
	}
	return n.follow(joining, hex.EncodeToString(was[:4]))
}

func (n *Node) listPublished(ctx context.Context, _ Empty) ([]PublishedReply, error) {
	out := []PublishedReply{}
	now := n.now()
	adopted := map[name.Standard]bool{}
	for _, s := range n.ledger.Standards() {
		adopted[s.Name()] = true
	}
	for _, p := range n.client().View().Standards() {
		r := PublishedReply{Name: p.Name, Body: p.Name.Name.Publisher(), Status: string(p.Extra.StatusOn(now)), Bytes: p.Length, Held: p.Held, Adopted: adopted[p.Name]}
		r.History = history(p)
		out = append(out, r)
	}
	return out, nil
}

// publishedArchive returns the archive of a published standard, as it was signed
// for.
func (n *Node) publishedArchive(ctx context.Context, in StandardRequest) (*StandardArchiveReply, error) {
	want, err := name.ParseStandard(in.Name)
	if err != nil {
		return nil, fail(Usage, "stile standard list --published", "%v", err)
	}
	b, err := n.client().Archive(want)
	if errors.Is(err, tufdir.ErrMissing) {
		return nil, fail(NotFound, "stile standard list --published", "%s is not in the directory, or its archive is not here yet", want)
	}
	if err != nil {
		return nil, fail(Unverified, "", "%v", err)
	}
	return &StandardArchiveReply{Archive: b}, nil
}
