package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/event"
)

// DirectoryReply says what directory the node follows and how it stands.
type DirectoryReply struct {
	Root        string    `json:"root"` // SHA-256 of the newest root, hex
	RootVersion int64     `json:"root_version"`
	Version     int64     `json:"version"` // of the edition; grows with every publication
	State       string    `json:"state"`   // fresh, expiring, expired or empty
	Expires     time.Time `json:"expires,omitzero"`
	Health      string    `json:"health"`         // in a sentence
	Host        bool      `json:"host,omitempty"` // this node publishes it
	Sole        bool      `json:"sole,omitempty"` // it is a directory of one
	Members     int       `json:"members"`
	Ended       int       `json:"ended,omitempty"`
	Standards   int       `json:"standards"`
	Mirrors     []string  `json:"mirrors,omitempty"` // written down when the node joined
	Refused     []string  `json:"refused,omitempty"` // parts of it that were not accepted, and why
	Waiting     []string  `json:"waiting,omitempty"` // roles that wait for signatures, where this node is the host
}

// InviteRequest asks for a code that leads a newcomer to the directory.
type InviteRequest struct {
	Address string `json:"address,omitempty"` // default: this node's own
	Days    int    `json:"days,omitempty"`    // until it expires; default 14
}

// InviteReply is an invite.
type InviteReply struct {
	Code    string    `json:"code"`
	Words   string    `json:"words"` // both sides read them out
	Address string    `json:"address"`
	Expires time.Time `json:"expires"`
}

// JoinRequest follows an invite. What its words are, and that the other side
// has the same, is for a person to see to before.
type JoinRequest struct {
	Code string `json:"code"`
}

func (n *Node) showDirectory(ctx context.Context, _ Empty) (*DirectoryReply, error) {
	c := n.client()
	sum, version, err := c.RootHash()
	if err != nil {
		return nil, err
	}
	v, now := c.View(), n.now()
	h := v.Health(now)
	r := &DirectoryReply{
		Root: hex.EncodeToString(sum[:]), RootVersion: version, Version: v.Version(), State: string(h.State), Expires: h.Expires,
		Health: h.String(), Host: n.hosts(), Sole: n.sole(), Standards: len(v.Standards()),
	}
	for _, e := range v.Members() {
		if e.Full().ActiveAt(now) {
			r.Members++
		} else {
			r.Ended++
		}
	}
	for _, refused := range v.Refused() {
		r.Refused = append(r.Refused, refused.Error())
	}
	for _, m := range n.mirrors() {
		if m.address != "" {
			r.Mirrors = append(r.Mirrors, m.address)
		}
	}
	if r.Host {
		repo, err := tufdir.Load(datadir.Authority(n.cfg))
		if err != nil {
			return nil, err
		}
		for _, w := range repo.Waiting() {
			r.Waiting = append(r.Waiting, w.Role)
		}
	}
	return r, nil
}

// refresh brings the directory up to date now, from what this node publishes or
// from others.
func (n *Node) refresh(ctx context.Context) error {
	if n.hosts() {
		_, err := n.publish(ctx, nil)
		return err
	}
	return n.askMirrors(ctx)
}

func (n *Node) refreshDirectory(ctx context.Context, in Empty) (*DirectoryReply, error) {
	if err := n.refresh(ctx); err != nil {
		return nil, fail(Unreachable, "name another mirror in directory/"+datadir.MirrorsName+", or try again later", "%v", err)
	}
	return n.showKept(ctx)
}

// showKept shows the directory, once the council's other machines have what was
// changed of it.
func (n *Node) showKept(ctx context.Context) (*DirectoryReply, error) {
	if err := n.keepFiles(); err != nil {
		return nil, err
	}
	return n.showDirectory(ctx, Empty{})
}

func (n *Node) invite(ctx context.Context, in InviteRequest) (*InviteReply, error) {
	if in.Address == "" {
		m, _ := n.directory.Member(n.cfg.Council)
		if len(m.Addresses) == 0 {
			return nil, fail(Usage, "give --address, such as https://stile.northmoor.gov.uk/directory or /dns4/stile.northmoor.gov.uk/tcp/7845/p2p/"+m.Node,
				"this node has no address in the directory that a newcomer could dial")
		}
		in.Address = m.Addresses[0] + "/p2p/" + m.Node
	}
	if in.Days == 0 {
		in.Days = 14
	}
	if in.Days < 1 || in.Days > 365 {
		return nil, fail(Usage, "", "want 1 to 365 days")
	}
	if err := n.client().View().Exchange(n.now()); err != nil {
		return nil, fail(Behind, "have the directory signed again first", "%v", err)
	}
	i, err := n.client().Invite(in.Address, n.now().AddDate(0, 0, in.Days))
	if err != nil {
		return nil, fail(Usage, "", "%v", err)
	}
	return &InviteReply{Code: i.String(), Words: i.Words(), Address: i.Address, Expires: i.Expires}, nil
}

// join makes the node follow another directory. What it logged, holds and
// agreed stays; whom it believes and talks to from then on is the new one's
// to say.
func (n *Node) join(ctx context.Context, in JoinRequest) (*DirectoryReply, error) {
	i, err := tufdir.ParseInvite(in.Code)
	if err != nil {
		return nil, fail(Usage, "ask for the code again, and copy all of it", "%v", err)
	}
	n.hosting.Lock()
	defer n.hosting.Unlock()
	n.refreshing.Lock()
	defer n.refreshing.Unlock()
	if n.hosts() && !n.sole() {
		return nil, fail(Refused, "move the folder "+datadir.AuthorityName+"/ and its keys to another node first", "this node is the host of a federation's directory: others depend on it")
	}
	was, _, err := n.client().RootHash()
	if err != nil {
		return nil, err
	}
	if was == i.Root {
		return nil, fail(Conflict, "stile directory show", "this node follows that directory already")
	}
	fetch, done, err := n.fetcher(ctx, mirror{address: i.Address})
	if err != nil {
		return nil, fail(Unreachable, "", "%v", err)
	}
	defer done()
	joining := filepath.Join(n.cfg.Data, datadir.JoiningName)
	if err := os.RemoveAll(joining); err != nil {
		return nil, err
	}
	c, err := tufdir.Join(ctx, joining, i, fetch, tufdir.Options{Now: n.now})
	if err != nil {
		if c != nil {
			c.Close()
		}
		os.RemoveAll(joining)
		switch {
		case errors.Is(err, tufdir.ErrInviteEnded):
			return nil, fail(Refused, "ask for another invite", "%v", err)
		case errors.Is(err, tufdir.ErrMismatch), errors.Is(err, tufdir.ErrRollback), errors.Is(err, tufdir.ErrSignatures), errors.Is(err, tufdir.ErrExpired):
			return nil, fail(Unverified, "read the six words to each other again; somebody may have changed the code, or the directory is not kept up", "%v", err)
		case errors.Is(err, tufdir.ErrMissing):
			return nil, fail(Unreachable, "ask for another invite; over HTTP the address of a node's directory ends in /directory", "the invite's address has not that directory, or not all of it: %v", err)
		}
		return nil, fail(Unreachable, "ask the directory's registrar whether this node has been admitted: stile council self prints what to send", "%v", err)
	}
	if err := n.admitted(c); err != nil {
		c.Close()
		os.RemoveAll(joining)
		return nil, err
	}
	err = os.WriteFile(filepath.Join(joining, datadir.MirrorsName), []byte("# Whom to ask for news of the directory first; one address a line.\n"+i.Address+"\n"), 0o600)
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, err
	}

	// Said in the ledger before it is done: if it is then not done, the event
	// says no more than that it was to be, and joining again says it again.
	_, _, err = n.ledger.AppendNotice(ctx, event.KindDirectoryJoined, map[string]any{
		"root": hex.EncodeToString(i.Root[:]), "root_version": fmt.Sprint(i.RootVersion), "left": hex.EncodeToString(was[:]),
	})
	if err != nil {
		return nil, err
	}
	if err := n.follow(joining, hex.EncodeToString(was[:4])); err != nil {
		return nil, err
	}
	done()
	return n.showKept(ctx)
}

// follow puts the folder of another directory in the place of the one before,
// which is kept beside it under a name that ends in tag.
func (n *Node) follow(joining, tag string) error {
	// The authority goes first: without it the node would follow what it no
	// longer hosts, and with it alone it would publish what nobody follows.
	for _, f := range []string{datadir.Authority(n.cfg), filepath.Join(n.cfg.Data, "keys", datadir.SoleKeyName)} {
		if err := os.Rename(f, f+".before-"+tag); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	old := n.client()
	if err := os.Rename(n.cfg.Directory, n.cfg.Directory+".before-"+tag); err != nil {
		return err
	}
	// A crash here leaves no directory; datadir.Mend does the next line.
	if err := os.Rename(joining, n.cfg.Directory); err != nil {
		return err
	}
	c, err := tufdir.Open(n.cfg.Directory, tufdir.Options{Now: n.now})
	if err != nil {
		return err
	}
	n.tuf.Store(c)
	return errors.Join(n.showEdition(), old.Close())
}

// admitted reports why a directory has not this node in it, as it is.
func (n *Node) admitted(c *tufdir.Client) error {
	e, ok := c.View().Member(n.cfg.Council)
	if !ok {
		return fail(Refused, "send what stile council self prints to the directory's registrar, and join when it has been admitted",
			"%s is not a member of that directory", n.cfg.Council)
	}
	own, m := directory.FromRing(n.cfg.Council, n.keys), e.Full()
	if _, err := m.RecordKeyAt(n.keys.Record.ID(), n.ledger.Size()); err != nil || m.Node != own.Node || m.LogKey != own.LogKey || m.WitnessKey != own.WitnessKey {
		return fail(Refused, "send what stile council self prints to the directory's registrar again",
			"that directory has other keys for %s than this node has", n.cfg.Council)
	}
	if !m.ActiveAt(n.now()) {
		return fail(Refused, "ask the directory's registrar", "the membership of %s has not begun, or has ended", n.cfg.Council)
	}
	return nil
}
