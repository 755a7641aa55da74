package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/machines"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A stand is what makes a node the copy of one on which a succession is tried: the day
// does not matter, and councils that are no members yet have these entries.
type stand map[name.Council]directory.Member

func (n *Node) standIn(c name.Council) (directory.Member, bool) {
	if m, ok := n.o.stand[c]; ok {
		return m, true
	}
	return n.directory.Member(c)
}

func (n *Node) standIns() []directory.Member {
	return slices.Concat(n.directory.Members(), slices.Collect(maps.Values(n.o.stand)))
}

// Rehearse tries a plan of succession on a copy of a data folder, which no process may have
// open: the copy is sealed, what goes to each successor is written, and a node founded for
// the purpose takes it over. All that is made stands in a new folder below scratch, which is
// removed again, with the records in it, before Rehearse returns. Nothing is changed in the
// folder of cfg but the file rehearsed, which says that it was done, and nobody is told.
func Rehearse(ctx context.Context, cfg *config.Config, plan []byte, scratch string, o Options) (out *RehearsalReply, err error) {
	if m, err := machines.ReadOwner(cfg.Data); err != nil {
		return nil, err
	} else if m != nil {
		return nil, fail(Refused, "restore a backup into a folder of its own, and rehearse there", "the ledger of %s stands on several machines, and not in this folder", cfg.Council)
	}
	if scratch == "" {
		scratch = os.TempDir()
	}
	if scratch, err = filepath.Abs(scratch); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(scratch, "rehearsal-")
	if err != nil {
		return nil, fail(Failed, "name a folder that is there with --scratch", "rehearse: %v", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.Now == nil {
		o.Now = time.Now
	}
	// Opened and closed, so that no other process has it and all that was written stands in its files.
	n, err := Open(cfg, o)
	if err != nil {
		return nil, err
	}
	if err := n.Close(); err != nil {
		return nil, err
	}
	c := *cfg
	c.Data, c.AdminSocket = filepath.Join(dir, "copy"), ""
	if err := copyFolder(cfg.Data, c.Data); err != nil {
		return nil, err
	}
	out = &RehearsalReply{}
	o.stand = stand{}
	if out.Preview, err = previewed(ctx, &c, plan, o); err != nil {
		return nil, err
	}
	successors := map[name.Council]*config.Config{}
	for _, x := range out.Preview.Successors {
		to, err := Init(ctx, InitOptions{Dir: filepath.Join(dir, string(x.Council)), Council: x.Council, Listen: []string{}, Now: o.Now, NoStandards: true})
		if err != nil {
			return nil, err
		}
		to.AdminSocket, to.Limits = "", cfg.Limits
		successors[x.Council] = to
		if o.stand[x.Council], err = self(to, o); err != nil {
			return nil, err
		}
	}
	if out.Preview, err = previewed(ctx, &c, plan, o); err != nil || len(out.Preview.Nobody)+len(out.Preview.Faults) > 0 || out.Preview.Sealed {
		return out, err
	}
	if n, err = Open(&c, o); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if _, err = n.Successions().Seal(ctx, SuccessionRequest{Plan: plan}); err != nil {
		return nil, err
	}
	us, ok := n.directory.Member(c.Council)
	if !ok {
		return nil, fail(Failed, "stile directory status", "%s is not in its own directory", c.Council)
	}
	stands := n.ledger.Standards()
	for _, x := range out.Preview.Successors {
		r := RehearsedReply{Council: x.Council}
		file := filepath.Join(dir, string(x.Council)+".stile")
		b, err := n.Successions().HandOver(ctx, HandOverRequest{To: x.Council, File: file})
		if err != nil {
			return nil, err
		}
		began := time.Now()
		to := o
		to.stand = stand{c.Council: us}
		if r.TakeOverReply, err = rehearsed(ctx, successors[x.Council], stands, file, to); err != nil {
			return nil, fmt.Errorf("%s takes over: %w", x.Council, err)
		}
		r.Bytes, r.Milliseconds = b.Bytes, time.Since(began).Milliseconds()
		out.Successors = append(out.Successors, r)
	}
	err = os.WriteFile(filepath.Join(cfg.Data, rehearsedName), []byte(o.Now().UTC().Format(time.DateOnly)+"\n"), 0o600)
	return out, err
}

// rehearsedName is the file of a data folder that holds the day on which its end was last
// rehearsed in full.
const rehearsedName = "rehearsed"

// lastRehearsed returns the day that the file says; zero when there is none.
func lastRehearsed(data string) time.Time {
	b, err := os.ReadFile(filepath.Join(data, rehearsedName))
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(string(b)))
	if err != nil {
		return time.Time{}
	}
	return t
}

func previewed(ctx context.Context, cfg *config.Config, plan []byte, o Options) (r SuccessionReply, err error) {
	n, err := Open(cfg, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	return n.Successions().Preview(ctx, SuccessionRequest{Plan: plan})
}

// self returns the entry of a node in its own directory.
func self(cfg *config.Config, o Options) (m directory.Member, err error) {
	o.stand = nil
	n, err := Open(cfg, o)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	m, ok := n.directory.Member(cfg.Council)
	if !ok {
		return m, fail(Failed, "", "%s is not in its own directory", cfg.Council)
	}
	return m, nil
}

// rehearsed has a node take over from a file.
func rehearsed(ctx context.Context, cfg *config.Config, stands []*standard.Standard, file string, o Options) (r TakeOverReply, err error) {
	n, err := Open(cfg, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	for _, s := range stands {
		if err := n.ledger.Adopt(ctx, s); err != nil {
			return r, err
		}
	}
	return n.Successions().TakeOver(ctx, TakeOverRequest{File: file, Unwitnessed: true})
}

// copyFolder copies the files of a data folder, with their modes, and no backups.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		info, err := e.Info()
		switch {
		case err != nil:
			return err
		case e.IsDir() && rel == "backups":
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(at, 0o700)
		case !info.Mode().IsRegular(): // such as the admin socket
			return nil
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}
