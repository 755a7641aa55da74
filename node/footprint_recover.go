package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/name"
)

// FootprintBackupRequest has the node write a backup of a footprint's ledger into
// a new file.
type FootprintBackupRequest struct {
	Name string `json:"name"`
	File string `json:"file"` // absolute
}

// FootprintBackupReply says what was written.
type FootprintBackupReply struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Position uint64 `json:"position"` // at least everything up to it is in the backup
	Entries  uint64 `json:"entries"`
}

func (n *Node) backupFootprint(ctx context.Context, in FootprintBackupRequest) (out *FootprintBackupReply, err error) {
	r, err := n.footprintNamed(in.Name)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(in.File) {
		return nil, fail(Usage, "", "the file must be named from the root of the disk")
	}
	f, err := os.OpenFile(in.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fail(Conflict, "name another file, or move the old one away", "%q is there already", in.File)
	}
	if err != nil {
		return nil, fail(Failed, "look at the path again", "write backup: %v", err)
	}
	out = &FootprintBackupReply{File: in.File, Position: r.f.Position(), Entries: r.f.Size()}
	bw := bufio.NewWriterSize(f, 1<<20)
	if out.Bytes, err = r.f.Backup(bw); err == nil {
		if err = bw.Flush(); err == nil {
			err = f.Sync()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(in.File)
		return nil, footprintError(r.name, err)
	}
	return out, nil
}

// FootprintRecoverRequest makes this node's replica a footprint of one, because a
// majority of the members is lost for good.
type FootprintRecoverRequest struct {
	Name    string   `json:"name"`
	Lost    []string `json:"lost"`             // who is lost: at least so many that the rest can decide nothing
	Because string   `json:"because"`          // in words; it stays in the ledger
	Backup  string   `json:"backup,omitempty"` // file of a backup to take instead of the replica; absolute
	Runs    string   `json:"runs,omitempty"`   // with Backup, of machines: see FootprintRequest
}

// recoverFootprint is deliberate and hard to do by mistake: whoever asks for it
// names those who are lost, and as long as a majority answers, or one of the lost
// does, it is refused.
func (n *Node) recoverFootprint(ctx context.Context, in FootprintRecoverRequest) (*FootprintReply, error) {
	c, err := name.ParseCouncil(strings.ToLower(in.Name))
	if err != nil {
		return nil, fail(Usage, "stile footprint list", "%v", err)
	}
	if strings.TrimSpace(in.Because) == "" {
		return nil, fail(Usage, "--because \"what happened\"", "say why: the reason stays in the ledger")
	}
	var lost []name.Council
	for _, s := range in.Lost {
		l, err := name.ParseCouncil(strings.ToLower(s))
		if err != nil {
			return nil, fail(Usage, "stile footprint status "+string(c), "%v", err)
		}
		lost = append(lost, l)
	}
	n.replicas.mu.Lock()
	running, r := n.replicas.hub != nil, n.replicas.all[c]
	n.replicas.mu.Unlock()
	switch {
	case !running:
		return nil, errNotServing()
	case r == nil && in.Backup == "":
		return nil, fail(NotFound, "stile footprint list", "this node keeps no footprint named %s", c)
	case r != nil && r.f != nil:
		if err := lostForGood(r, n.cfg.Council, lost); err != nil {
			return nil, err
		}
	}
	o, err := n.replicas.options(c)
	if err != nil {
		return nil, err
	}
	if in.Runs != "" && in.Backup != "" {
		cfg, store, err := n.machineFor(c, in.Runs)
		if err == nil && store != "" {
			err = fail(Conflict, "move it away: the backup takes its place", "%q has a ledger of its own", in.Runs)
		}
		if err == nil {
			err = n.noteMachine(c, cfg)
		}
		if err != nil {
			return nil, err
		}
	}
	if council, err := n.runs(c); err != nil {
		return nil, err
	} else if council != nil {
		o.Machines = true
	}
	if r != nil {
		n.replicas.drop(r)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	f, err := n.recovered(ctx, o, in)
	if err != nil {
		// What was there is opened again where it can be.
		if g, oerr := n.replicas.open(c); oerr == nil {
			n.replicas.keep(c, g, nil)
		} else if r != nil {
			n.replicas.keep(c, nil, oerr)
		}
		return nil, footprintError(c, err)
	}
	n.log.Warn("a footprint was recovered from this member alone", "footprint", c, "lost", fmt.Sprint(lost))
	return n.footprintReply(n.replicas.keep(c, f, nil)), nil
}

func (n *Node) recovered(ctx context.Context, o footprint.Options, in FootprintRecoverRequest) (*footprint.Footprint, error) {
	if in.Backup == "" {
		return footprint.Recover(ctx, o, in.Because)
	}
	file, err := os.Open(in.Backup)
	if err != nil {
		return nil, fail(NotFound, "look at the path again", "read backup: %v", err)
	}
	defer file.Close()
	if n.keepsFootprint(o.Name) {
		if err := footprint.SetAside(o.Dir); err != nil {
			return nil, err
		}
	}
	return footprint.RestoreBackup(ctx, o, bufio.NewReaderSize(file, 1<<20), in.Because)
}

// lostForGood returns what speaks against the word of whoever says that members
// are lost.
func lostForGood(r *replica, self name.Council, lost []name.Council) error {
	try := "stile footprint status " + string(r.name)
	st := r.f.Status()
	left := 0
	for _, m := range st.Members {
		switch {
		case !m.Joined:
		case !slices.Contains(lost, m.Council):
			left++
		case m.Council == self:
			return fail(Usage, try, "this council is not lost: it says so itself")
		case m.Up:
			return fail(Refused, try, "%s is not lost: it answers", m.Council)
		}
	}
	for _, l := range lost {
		if !slices.ContainsFunc(st.Members, func(m footprint.MemberStatus) bool { return m.Joined && m.Council == l }) {
			return fail(Usage, try, "%s is no member of %s", l, r.name)
		}
	}
	if st.Decides || left >= st.Needs {
		return fail(Refused, fmt.Sprintf("stile footprint remove %s COUNCIL, for each that is lost", r.name), "the members that are left can still decide: %d must agree, and %d are not lost", st.Needs, left)
	}
	return nil
}

// drop closes a replica and takes it from among those of the node.
func (p *replicas) drop(r *replica) {
	p.mu.Lock()
	if p.all[r.name] == r {
		delete(p.all, r.name)
	}
	p.mu.Unlock()
	r.stop()
	p.refresh()
	if r.f == nil {
		return
	}
	if err := r.f.Close(); err != nil {
		p.n.log.Error("close footprint", "footprint", r.name, "error", err.Error())
	}
}
