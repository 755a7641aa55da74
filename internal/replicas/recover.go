package replicas

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Backup writes a footprint's ledger to a new file.
func (s *Set) Backup(ctx context.Context, in api.FootprintBackupRequest) (out *api.FootprintBackupReply, err error) {
	r, err := s.named(in.Name)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(in.File) {
		return nil, api.Fail(api.Usage, "", "the file must be named from the root of the disk")
	}
	f, err := os.OpenFile(in.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, api.Fail(api.Conflict, "name another file, or move the old one away", "%q is there already", in.File)
	}
	if err != nil {
		return nil, api.Fail(api.Failed, "look at the path again", "write backup: %v", err)
	}
	out = &api.FootprintBackupReply{File: in.File, Position: r.f.Position(), Entries: r.f.Size()}
	bw := bufio.NewWriterSize(f, 1<<20)
	if out.Bytes, err = r.f.Backup(bw); err == nil {
		if err = bw.Flush(); err == nil {
			err = f.Sync()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(in.File)
		return nil, explained(r.name, err)
	}
	return out, nil
}

// Backups returns what writes the ledger of each footprint that the data folder has a
// replica of, by name, as Backup does, and the footprints whose replica cannot be read. done
// closes what was opened for it.
func (s *Set) Backups() (out map[string]func(io.Writer) error, left []name.Council, done func()) {
	out = map[string]func(io.Writer) error{}
	var opened []func() error
	names, err := s.folders()
	if err != nil {
		s.o.Log.Warn("the replicas of footprints are left out of a backup", "error", err.Error())
	}
	enc, _ := s.o.Config.EncryptionKey()
	for _, c := range names {
		r, running := s.get(c)
		switch {
		case r != nil && r.f != nil:
			out[string(c)] = func(w io.Writer) error { _, err := r.f.Backup(w); return err }
		case running:
			left = append(left, c)
		default:
			write, end, err := footprint.OpenBackup(footprint.Options{Dir: s.dir(c), Name: c, Self: s.self, EncryptionKey: enc, Log: s.o.Log})
			if err != nil {
				s.o.Log.Warn("a replica is left out of a backup", "footprint", c, "error", err.Error())
				left = append(left, c)
				continue
			}
			out[string(c)], opened = write, append(opened, end)
		}
	}
	return out, left, func() {
		for _, end := range opened {
			if err := end(); err != nil {
				s.o.Log.Warn("close a replica after a backup", "error", err.Error())
			}
		}
	}
}

// Recover makes this node's replica a footprint of one, because a majority of the
// members is lost for good. It is deliberate and hard to do by mistake: whoever asks for it
// names those who are lost, and as long as a majority answers, or one of the lost
// does, it is refused.
func (s *Set) Recover(ctx context.Context, in api.FootprintRecoverRequest) (*api.FootprintReply, error) {
	c, err := name.ParseCouncil(strings.ToLower(in.Name))
	if err != nil {
		return nil, api.Fail(api.Usage, "stile footprint list", "%v", err)
	}
	if strings.TrimSpace(in.Because) == "" {
		return nil, api.Fail(api.Usage, "--because \"what happened\"", "say why: the reason stays in the ledger")
	}
	var lost []name.Council
	for _, typed := range in.Lost {
		l, err := name.ParseCouncil(strings.ToLower(typed))
		if err != nil {
			return nil, api.Fail(api.Usage, "stile footprint status "+string(c), "%v", err)
		}
		lost = append(lost, l)
	}
	r, running := s.get(c)
	switch {
	case !running:
		return nil, notServing()
	case r == nil && in.Backup == "":
		return nil, api.Fail(api.NotFound, "stile footprint list", "this node keeps no footprint named %s", c)
	case r != nil && r.f != nil:
		if err := lostForGood(r, s.self, lost); err != nil {
			return nil, err
		}
	}
	o, err := s.options(c)
	if err != nil {
		return nil, err
	}
	if in.Runs != "" && in.Backup != "" {
		_, err := s.o.Machine.Claim(c, in.Runs, o.Dir, api.Fail(api.Conflict, "move it away: the backup takes its place", "%q has a ledger of its own", in.Runs))
		if err != nil {
			return nil, err
		}
	}
	runs, err := s.o.Machine.Of(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Machines = runs != nil
	if r != nil {
		s.drop(r)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	f, err := s.recovered(ctx, o, in)
	if err != nil {
		// What was there is opened again where it can be.
		if oerr := s.reopen(c); oerr != nil && r != nil {
			s.add(c, nil, oerr)
		}
		return nil, explained(c, err)
	}
	s.o.Log.Warn("a footprint was recovered from this member alone", "footprint", c, "lost", fmt.Sprint(lost))
	return s.reply(s.add(c, f, nil)), nil
}

func (s *Set) recovered(ctx context.Context, o footprint.Options, in api.FootprintRecoverRequest) (*footprint.Footprint, error) {
	if in.Backup == "" {
		return footprint.Recover(ctx, o, in.Because)
	}
	file, err := os.Open(in.Backup)
	if err != nil {
		return nil, api.Fail(api.NotFound, "look at the path again", "read backup: %v", err)
	}
	defer file.Close()
	if s.Has(o.Name) {
		if err := footprint.SetAside(o.Dir); err != nil {
			return nil, err
		}
	}
	return footprint.RestoreBackup(ctx, o, bufio.NewReaderSize(file, 1<<20), in.Because)
}

// lostForGood returns what speaks against the word of whoever says that members
// are lost.
func lostForGood(r *Replica, self name.Council, lost []name.Council) error {
	try := "stile footprint status " + string(r.name)
	st := r.f.Status()
	left := 0
	for _, m := range st.Members {
		switch {
		case !m.Joined:
		case !slices.Contains(lost, m.Council):
			left++
		case m.Council == self:
			return api.Fail(api.Usage, try, "this council is not lost: it says so itself")
		case m.Up:
			return api.Fail(api.Refused, try, "%s is not lost: it answers", m.Council)
		}
	}
	for _, l := range lost {
		if !slices.ContainsFunc(st.Members, func(m footprint.MemberStatus) bool { return m.Joined && m.Council == l }) {
			return api.Fail(api.Usage, try, "%s is no member of %s", l, r.name)
		}
	}
	if st.Decides || left >= st.Needs {
		return api.Fail(api.Refused, fmt.Sprintf("stile footprint remove %s COUNCIL, for each that is lost", r.name), "the members that are left can still decide: %d must agree, and %d are not lost", st.Needs, left)
	}
	return nil
}
