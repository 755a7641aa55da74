package footprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Backup writes the replica as it stands now to w: entries, tree and members, as
// ledger.Replica.WriteTo says. Any member's is as good as another's. It holds no
// key, no vote and no incarnation, so restoring it cannot make two of one member.
func (f *Footprint) Backup(w io.Writer) (int64, error) { return f.fsm.current().WriteTo(w) }

// OpenBackup opens the replica in the folder of a footprint that is not open, to be backed
// up: write writes what Backup does, and done closes it.
func OpenBackup(o Options) (write func(io.Writer) error, done func() error, err error) {
	fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
	if err != nil {
		return nil, nil, err
	}
	replica, err := fold.openReplica()
	if err != nil {
		return nil, nil, err
	}
	return func(w io.Writer) error { _, err := replica.WriteTo(w); return err }, replica.Close, nil
}

// Recover is for when a majority of the members is lost for good. It makes the
// replica in o.Dir a footprint of one member, this one, from what it holds, with
// an entry in the ledger that names the lost and says why, signed by this
// council. It takes records again once three councils have joined, who must be
// invited as at the beginning.
//
// Entries that only the lost members had are lost. Whoever verifies the
// footprint from outside must be told, since its checkpoints are cosigned by
// others from here on. If the lost members come back they are another
// footprint of the same name, whose checkpoints contradict this one's: so their
// councils must have said that they are gone. The replica must not be open.
func Recover(ctx context.Context, o Options, because string) (*Footprint, error) {
	f, err := recovered(ctx, o, because, func(o *Options) error {
		fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
		if err != nil {
			return err
		}
		if err := replayAll(fold, *o); err != nil {
			return err
		}
		// From here on the old replica can vote for nothing any more. A crash
		// leaves a folder without identity or with a new one; in both cases
		// Recover goes on from there.
		if err := setAside(o.Dir, fold.id.Incarnation, "log", "snapshots", "began", "checkpoint"); err != nil {
			return err
		}
		id := fold.id
		id.Contacts = nil
		return remakeFolder(o.Dir, id, o.Rand)
	})
	if err != nil {
		return nil, fmt.Errorf("recover %s: %w", o.Name, err)
	}
	return f, nil
}

// RestoreBackup is Recover from a backup, for when no member's replica is left
// or this member's is worse. o.Dir must hold none; see SetAside.
func RestoreBackup(ctx context.Context, o Options, backup io.Reader, because string) (*Footprint, error) {
	f, err := recovered(ctx, o, because, func(o *Options) error {
		if err := makeFolder(o.Dir, identity{Footprint: o.Name, Council: o.Self, Machines: o.Machines}, o.Rand); err != nil {
			return err
		}
		fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
		if err != nil {
			return err
		}
		replica, dir, err := fold.load(backup)
		if err != nil {
			return errors.Join(err, SetAside(o.Dir))
		}
		return errors.Join(replica.Close(), fold.adopt(dir))
	})
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", o.Name, err)
	}
	return f, nil
}

func recovered(ctx context.Context, o Options, because string, prepare func(*Options) error) (*Footprint, error) {
	if strings.TrimSpace(because) == "" {
		return nil, errors.New("say why: the reason stays in the ledger")
	}
	o.defaults()
	if err := prepare(&o); err != nil {
		return nil, err
	}
	fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
	if err != nil {
		return nil, err
	}
	lost, err := beginAlone(fold)
	if err != nil {
		return nil, err
	}
	f, err := open(o, false)
	if err != nil {
		return nil, err
	}
	recovered := event.FootprintRecovered{Footprint: o.Name, Lost: lost, Because: because, Incarnation: fold.id.Incarnation}
	if _, err := f.say(ctx, event.KindFootprintRecovered, recovered.Body()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// replayAll applies what is in the log and not in the replica. Not all of it
// need have been committed: a majority that could tell is gone.
func replayAll(fold *folder, o Options) error {
	dir := filepath.Join(o.Dir, "log")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // set aside by an earlier try
	}
	m, err := openFSM(fold, &o)
	if err != nil {
		return err
	}
	logs, err := openLog(dir, o.segment, o.EncryptionKey)
	if err != nil {
		return errors.Join(err, m.close())
	}
	first, err := logs.FirstIndex()
	last, lerr := logs.LastIndex()
	err = errors.Join(err, lerr)
	for i := max(first, m.replica.Applied()+1); err == nil && i <= last; i++ {
		var l raft.Log
		if err = logs.GetLog(i, &l); err == nil {
			m.Apply(&l)
			err = m.failure()
		}
	}
	return errors.Join(err, logs.Close(), m.close())
}

// beginAlone writes the note from which raft begins with this server alone, at
// the position the replica is at. It returns the other members.
func beginAlone(fold *folder) (lost []name.Council, err error) {
	replica, err := fold.openReplica()
	if err != nil {
		return nil, err
	}
	applied := replica.Applied()
	err = replica.View(func(v *ledger.ReplicaView) error {
		s, err := loadState(v)
		if err != nil {
			return err
		}
		if s.members[fold.id.Council] == nil {
			return fmt.Errorf("%s is not a member in this replica", fold.id.Council)
		}
		for _, c := range s.councils() {
			if c != fold.id.Council {
				lost = append(lost, c)
			}
		}
		return nil
	})
	if err := errors.Join(err, replica.Close()); err != nil {
		return nil, err
	}
	return lost, noteAlone(fold, applied, applied)
}

// noteAlone writes the note from which raft begins with this server alone: its
// log begins after index, and the replica has applied so much.
func noteAlone(fold *folder, index, applied uint64) error {
	id := raft.ServerID(serverID(fold.id.Council, fold.id.Incarnation))
	b, err := json.Marshal(snapshotMeta{SnapshotMeta: raft.SnapshotMeta{
		Version: 1, ID: fmt.Sprintf("%020d-%020d", index, 1), Index: index, Term: 1, ConfigurationIndex: index,
		Configuration: raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: id, Address: raft.ServerAddress(id)}}},
	}, Applied: applied})
	if err != nil {
		return err
	}
	if err := makeDir(filepath.Join(fold.dir, "snapshots")); err != nil {
		return err
	}
	return writeFile(filepath.Join(fold.dir, "snapshots", fmt.Sprintf("%020d-%020d.json", index, 1)), b)
}

// beginWith makes what machines begin with: the council's ledger, if there is
// one, which is in no log, so that whoever joins is sent the store and not a log
// from its beginning.
func beginWith(o Options) error {
	fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
	if err != nil {
		return err
	}
	if err := noteAlone(fold, 1, 0); err != nil {
		return err
	}
	current, err := fold.current()
	if err != nil || o.Ledger == "" {
		return err
	}
	// The last step, in one rename: before it the council's node is what it was.
	if err := moveStore(o.Ledger, filepath.Join(o.Dir, current)); err != nil {
		return fmt.Errorf("take the ledger: %w", err)
	}
	return nil
}

// moveStore moves a store, which is a folder, in one rename, durably.
func moveStore(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("%s is on another file system than %s; the folder of the council and that of the machine have to be on one", from, filepath.Dir(to))
	}
	return errors.Join(err, syncDir(filepath.Dir(from)), syncDir(filepath.Dir(to)))
}

// SetAside moves the replica in a folder into a folder of its own in it, so that
// Join or RestoreBackup can make another. What this member cosigned and the
// evidence it has stay, and bind the new replica.
func SetAside(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "identity.json"))
	if err != nil {
		return fmt.Errorf("set the replica aside: %w", err)
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil {
		return fmt.Errorf("set the replica aside: read identity.json: %w", err)
	}
	names := []string{"identity.json", "began", "log", "snapshots", "checkpoint", "CURRENT"}
	replicas, err := filepath.Glob(filepath.Join(dir, "replica-*"))
	if err != nil {
		return err
	}
	for _, r := range replicas {
		names = append(names, filepath.Base(r))
	}
	return setAside(dir, id.Incarnation, names...)
}

func setAside(dir, incarnation string, names ...string) error {
	if _, _, ok := parseServer(serverID(name.Council("set.aside"), incarnation)); !ok {
		return errors.New("set the replica aside: identity.json has no incarnation")
	}
	to := filepath.Join(dir, "set-aside-"+incarnation)
	if err := makeDir(to); err != nil {
		return err
	}
	for _, n := range names {
		err := os.Rename(filepath.Join(dir, n), filepath.Join(to, n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the replica aside: %w", err)
		}
	}
	return errors.Join(syncDir(to), syncDir(dir))
}
