package follow

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/api"
)

// Invite makes a code that leads a newcomer to the directory.
func (f *Follower) Invite(ctx context.Context, in api.InviteRequest) (*api.InviteReply, error) {
	if in.Address == "" {
		m, _ := f.members.Member(f.cfg.Council)
		if len(m.Addresses) == 0 {
			return nil, api.Fail(api.Usage, "give --address, such as https://stile.northmoor.gov.uk/directory or /dns4/stile.northmoor.gov.uk/tcp/7845/p2p/"+m.Node,
				"this node has no address in the directory that a newcomer could dial")
		}
		in.Address = m.Addresses[0] + "/p2p/" + m.Node
	}
	if in.Days == 0 {
		in.Days = 14
	}
	if in.Days < 1 || in.Days > 365 {
		return nil, api.Fail(api.Usage, "", "want 1 to 365 days")
	}
	now := f.o.Now()
	if err := f.View().Exchange(now); err != nil {
		return nil, api.Fail(api.Behind, "have the directory signed again first", "%v", err)
	}
	i, err := f.Client().Invite(in.Address, now.AddDate(0, 0, in.Days))
	if err != nil {
		return nil, api.Fail(api.Usage, "", "%v", err)
	}
	return &api.InviteReply{Code: i.String(), Words: i.Words(), Address: i.Address, Expires: i.Expires}, nil
}

// Join makes the node follow the directory that an invite leads to. What it
// logged, holds and agreed stays; whom it believes and talks to from then on is the
// new one's to say.
func (f *Follower) Join(ctx context.Context, in api.JoinRequest) (*api.DirectoryReply, error) {
	i, err := tufdir.ParseInvite(in.Code)
	if err != nil {
		return nil, api.Fail(api.Usage, "ask for the code again, and copy all of it", "%v", err)
	}
	defer f.alone()()
	if err := f.mayLeave(); err != nil {
		return nil, err
	}
	if was, _, err := f.Client().RootHash(); err != nil {
		return nil, err
	} else if was == i.Root {
		return nil, api.Fail(api.Conflict, "stile directory show", "this node follows that directory already")
	}
	fetch, done, err := f.fetcher(ctx, mirror{address: i.Address})
	if err != nil {
		return nil, api.Fail(api.Unreachable, "", "%v", err)
	}
	defer done()
	err = f.change(ctx, func(dir string) (*tufdir.Client, error) {
		c, err := tufdir.Join(ctx, dir, i, fetch, tufdir.Options{Now: f.o.Now})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, datadir.MirrorsName), []byte("# Whom to ask for news of the directory first; one address a line.\n"+i.Address+"\n"), 0o600)
		}
		return c, notJoined(err)
	})
	if err != nil {
		return nil, err
	}
	return f.stored(ctx)
}

// notJoined says what an error of [tufdir.Join] means to a person.
func notJoined(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tufdir.ErrInviteEnded):
		return api.Fail(api.Refused, "ask for another invite", "%v", err)
	case errors.Is(err, tufdir.ErrMismatch), errors.Is(err, tufdir.ErrRollback), errors.Is(err, tufdir.ErrSignatures), errors.Is(err, tufdir.ErrExpired):
		return api.Fail(api.Unverified, "read the six words to each other again; somebody may have changed the code, or the directory is not kept up", "%v", err)
	case errors.Is(err, tufdir.ErrMissing):
		return api.Fail(api.Unreachable, "ask for another invite; over HTTP the address of a node's directory ends in /directory", "the invite's address has not that directory, or not all of it: %v", err)
	}
	return api.Fail(api.Unreachable, "ask the directory's registrar whether this node has been admitted: stile council self prints what to send", "%v", err)
}

// FollowFounded makes the node follow the directory that was prepared here and has
// been published for the first time, and makes the node its host. Called again
// after a crash it finishes.
func (f *Follower) FollowFounded(ctx context.Context, _ api.Empty) (*api.DirectoryReply, error) {
	defer f.alone()()
	next := datadir.Founding(f.cfg)
	r, err := tufdir.Load(next)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, api.Fail(api.NotFound, "stile directory found", "no directory is being founded here")
	case err != nil:
		return nil, api.Fail(api.Failed, "stile directory discard --founding, and begin again", "%v", err)
	case !r.Published():
		return nil, api.Fail(api.Behind, "stile directory status", "the directory that is being founded has not been published yet")
	}
	if err := f.mayLeave(); err != nil {
		return nil, err
	}
	root, version, err := f.Client().Root()
	if err != nil {
		return nil, err
	}
	same, err := r.Fetch(ctx, rootPath(version), maxRoot)
	if err != nil || !bytes.Equal(same, root) {
		err := f.change(ctx, func(dir string) (*tufdir.Client, error) { return f.founded(ctx, dir, r) })
		if err != nil {
			return nil, err
		}
	} else if _, err := f.Client().Refresh(ctx, r.Fetch); err != nil {
		// Taken over from a host that is lost: what is followed stays.
		return nil, api.Fail(api.Unverified, "", "%v", err)
	}
	if err := os.Rename(next, datadir.Authority(f.cfg)); err != nil {
		return nil, err
	}
	if err := f.show(); err != nil {
		return nil, err
	}
	return f.stored(ctx)
}

const maxRoot = 1 << 20

func rootPath(version int64) string { return fmt.Sprintf("metadata/%d.root.json", version) }

// founded makes, in a folder, a directory of what r has published.
func (f *Follower) founded(ctx context.Context, dir string, r *tufdir.Repository) (*tufdir.Client, error) {
	var root []byte
	for v := int64(1); ; v++ {
		b, err := r.Fetch(ctx, rootPath(v), maxRoot)
		if err != nil {
			break
		}
		root = b
	}
	if root == nil {
		return nil, api.Fail(api.Failed, "", "the first root of the new directory is not there")
	}
	c, err := tufdir.Create(dir, root, tufdir.Options{Now: f.o.Now})
	if err == nil {
		_, err = c.Refresh(ctx, r.Fetch)
	}
	return c, err
}

// alone keeps everybody else from changing the directory until what it returns is
// called.
func (f *Follower) alone() (unlock func()) {
	f.hosting.Lock()
	f.refreshing.Lock()
	return func() {
		f.refreshing.Unlock()
		f.hosting.Unlock()
	}
}

// mayLeave reports why this node may not follow another directory.
func (f *Follower) mayLeave() error {
	if f.Hosts() && !datadir.Sole(f.cfg) {
		return api.Fail(api.Refused, "move the folder "+datadir.AuthorityName+"/ and its keys to another node first", "this node is the host of a federation's directory: others depend on it")
	}
	return nil
}

// change puts another directory, which build makes in a folder, in the place of the
// one that is followed, which is kept beside it. On an error everything is as it
// was, but for one of storage.
func (f *Follower) change(ctx context.Context, build func(dir string) (*tufdir.Client, error)) error {
	was, _, err := f.Client().RootHash()
	if err != nil {
		return err
	}
	joining := filepath.Join(f.cfg.Data, datadir.JoiningName)
	if err := os.RemoveAll(joining); err != nil {
		return err
	}
	c, err := build(joining)
	if err == nil {
		err = f.admitted(c)
	}
	var root [32]byte
	var version int64
	if err == nil {
		root, version, err = c.RootHash()
	}
	if c != nil {
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(joining))
	}
	// Said in the ledger before it is done: if it is then not done, the event
	// says no more than that it was to be, and joining again says it again.
	_, _, err = f.o.Ledger.AppendNotice(ctx, event.KindDirectoryJoined, event.DirectoryJoined{Root: root, RootVersion: uint64(version), Left: was}.Body())
	if err != nil {
		return err
	}
	return f.replace(joining, ".before-"+hex.EncodeToString(was[:4]))
}

// replace puts the folder of another directory in the place of the one before,
// whose name gets an ending.
func (f *Follower) replace(joining, ending string) error {
	// The authority goes first: without it the node would follow what it no
	// longer hosts, and with it alone it would publish what nobody follows.
	for _, p := range []string{datadir.Authority(f.cfg), filepath.Join(f.cfg.Data, "keys", datadir.SoleKeyName)} {
		if err := os.Rename(p, p+ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	old := f.Client()
	if err := os.Rename(f.cfg.Directory, f.cfg.Directory+ending); err != nil {
		return err
	}
	// A crash here leaves no directory; datadir.Mend does the next line.
	if err := os.Rename(joining, f.cfg.Directory); err != nil {
		return err
	}
	c, err := tufdir.Open(f.cfg.Directory, tufdir.Options{Now: f.o.Now})
	if err != nil {
		return err
	}
	f.client.Store(c)
	return errors.Join(f.show(), old.Close())
}

// admitted reports why a directory has not this node in it, as it is.
func (f *Follower) admitted(c *tufdir.Client) error {
	self, ring := f.cfg.Council, f.o.Keys
	e, ok := c.View().Member(self)
	if !ok {
		return api.Fail(api.Refused, "send what stile council self prints to the directory's registrar, and join when it has been admitted",
			"%s is not a member of that directory", self)
	}
	own, m := directory.FromRing(self, ring), e.Full()
	if _, err := m.RecordKeyAt(ring.Record.ID(), f.o.Ledger.Size()); err != nil || m.Node != own.Node || !m.HasLogKey(own.LogKey) || m.WitnessKey != own.WitnessKey {
		return api.Fail(api.Refused, "send what stile council self prints to the directory's registrar again",
			"that directory has other keys for %s than this node has", self)
	}
	if !m.ActiveAt(f.o.Now()) {
		return api.Fail(api.Refused, "ask the directory's registrar", "the membership of %s has not begun, or has ended", self)
	}
	return nil
}
