package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// source returns what a backup is made of, and closes what was opened for it.
func (n *Node) source(keys bool) (s *backup.Source, left []name.Council, done func()) {
	s = &backup.Source{Config: n.cfg, Ledger: n.ledger, Program: n.o.Version, Now: n.now}
	done = func() {}
	if !keys {
		s.Footprints, left, done = n.replicas.Backups()
	}
	return s, left, done
}

func (n *Node) recipients(in BackupRequest) string {
	if in.Recipients != "" {
		return in.Recipients
	}
	return n.cfg.Backup.Recipient
}

// Backup writes a backup of the node to w, encrypted. Nothing is logged of it until
// [Backups.Note] says that it is safe where it was written. An error of kind Conflict means
// that something was erased meanwhile: what was written is to be thrown away, and asked for
// again.
func (n *Node) Backup(ctx context.Context, in BackupRequest, w io.Writer) (BackupReply, error) {
	to, err := backup.Recipients(n.recipients(in))
	if err != nil {
		return BackupReply{}, fail(Usage, "make one on another machine with age-keygen; docs/backup.md", "%v", err)
	}
	s, left, done := n.source(in.Keys)
	defer done()
	of := backup.OfFolder
	if in.Keys {
		of = backup.OfKeys
	}
	m, err := s.Write(writerUntil{ctx, w}, to, of, in.Hold)
	if err != nil {
		return BackupReply{}, backupError(err)
	}
	r := backupReply(m)
	r.LeftOut = left
	return r, nil
}

func backupError(err error) error {
	if errors.Is(err, ledger.ErrMoved) {
		return fail(Conflict, "make the backup again", "%v", err)
	}
	return asError(err)
}

func backupReply(m backup.Made) BackupReply {
	return BackupReply{
		Council: m.Council, Of: m.Of, Digest: m.Digest, Bytes: m.Bytes, Size: m.Size, Root: m.Root.String(), Made: m.Header.Made,
	}
}

type writerUntil struct {
	ctx context.Context
	w   io.Writer
}

func (u writerUntil) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// backupBody reads what a reply says into an event's body.
func backupBody(in BackupReply) (event.Backup, error) {
	b := event.Backup{Bytes: in.Bytes, Of: in.Of, Size: in.Size}
	d, err := hex.DecodeString(in.Digest)
	if err != nil || len(d) != len(b.Digest) || in.Of != backup.OfFolder && in.Of != backup.OfKeys {
		return b, fail(Usage, "", "the digest of a backup is SHA-256, in hexadecimal")
	}
	copy(b.Digest[:], d)
	if b.Root, err = tlog.ParseHash(in.Root); err != nil {
		return b, fail(Usage, "", "the root of a backup is none")
	}
	return b, nil
}

// noteBackup logs that a backup was made. Where nothing may be signed it is only remembered.
func (n *Node) noteBackup(ctx context.Context, in BackupReply) (*BackupReply, error) {
	b, err := backupBody(in)
	if err != nil {
		return nil, err
	}
	if in.Size > n.ledger.Size() {
		return nil, fail(Usage, "", "the backup is of a log that is longer than ours")
	}
	entry, _, err := n.ledger.AppendNotice(ctx, event.KindBackupMade, b.Body())
	switch {
	case err == nil:
		in.Entry = &entry
	case errors.Is(err, ledger.ErrForked), errors.Is(err, ledger.ErrUnsure):
		n.log.Warn("a backup was made, and the log does not say so: nothing is signed now", "digest", in.Digest)
	default:
		return nil, err
	}
	return &in, n.backups.Change(func(s *backup.State) {
		s.Kept = append(s.Kept, backup.Kept{
			File: in.File, Of: in.Of, Digest: in.Digest, Bytes: in.Bytes, Size: in.Size, Root: b.Root, Made: in.Made.UTC(), Entry: in.Entry,
		})
	})
}

// verifiedBackup logs that a backup was read whole.
func (n *Node) verifiedBackup(ctx context.Context, in BackupReply) (*BackupReply, error) {
	b, err := backupBody(in)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(n.backups.State().Kept, func(k backup.Kept) bool { return k.Digest == in.Digest })
	if at < 0 {
		return nil, fail(NotFound, "stile backup list", "this node does not know a backup of that digest")
	}
	entry, _, err := n.ledger.AppendNotice(ctx, event.KindBackupVerified, b.Body())
	switch {
	case err == nil:
		in.Entry = &entry
	case !errors.Is(err, ledger.ErrForked) && !errors.Is(err, ledger.ErrUnsure):
		return nil, err
	}
	in.Verified = n.now().UTC().Truncate(time.Second)
	return &in, n.backups.Change(func(s *backup.State) {
		for i := range s.Kept {
			if s.Kept[i].Digest == in.Digest {
				s.Kept[i].Verified = in.Verified
			}
		}
	})
}

// listBackups says what is known of backups.
func (n *Node) listBackups(context.Context, Empty) (*BackupsReply, error) {
	s := n.backups.State()
	out := &BackupsReply{Folder: n.cfg.Backup.Folder, Tried: s.Tried, Failed: s.Failed, Kept: []BackupReply{}}
	if out.Folder != "" {
		out.Every = n.cfg.Backup.Every
	}
	for _, k := range s.Kept {
		r := BackupReply{
			Council: n.cfg.Council, Of: k.Of, Digest: k.Digest, Bytes: k.Bytes, Size: k.Size, Root: k.Root.String(), Made: k.Made,
			File: k.File, Entry: k.Entry, Verified: k.Verified, Pruned: k.Pruned,
		}
		if k.File != "" && !k.Pruned {
			_, err := os.Stat(k.File)
			r.Missing = err != nil
		}
		out.Kept = append(out.Kept, r)
	}
	return out, nil
}

// lastBackup says how the newest backup stands; nil when there is none to speak of.
func (n *Node) lastBackup() *LastBackup {
	s := n.backups.State()
	made, verified := s.Last()
	if n.cfg.Backup.Folder == "" && made.Made.IsZero() {
		return nil
	}
	out := &LastBackup{Made: made.Made, File: made.File, Size: made.Size, Verified: verified.Verified, Failed: s.Failed}
	if n.cfg.Backup.Folder != "" {
		out.Every = n.cfg.Backup.Every
	}
	return out
}

// backupFacts are what the conditions of backups are found by.
func (n *Node) backupFacts() condition.Backup {
	b := n.cfg.Backup
	if b.Folder == "" {
		return condition.Backup{}
	}
	s := n.backups.State()
	made, verified := s.Last()
	return condition.Backup{
		Folder: b.Folder, Every: time.Duration(b.Every) * time.Hour, Tried: s.Tried, Failed: s.Failed, Made: made.Made, Verified: verified.Verified,
	}
}

// backupAgain is how long after a backup that failed the next is tried.
const backupAgain = 10 * time.Minute

// backupLook is how often it is looked whether a backup is due.
const backupLook = time.Minute

// keepBackups makes backups as the configuration says, until ctx ends.
func (n *Node) keepBackups(ctx context.Context) {
	b := n.cfg.Backup
	if b.Folder == "" {
		return
	}
	for {
		s := n.backups.State()
		made, _ := s.Last()
		next := made.Made.Add(time.Duration(b.Every) * time.Hour)
		if s.Failed != "" {
			if again := s.Tried.Add(min(backupAgain, time.Duration(b.Every)*time.Hour)); again.After(next) {
				next = again
			}
		}
		// By turns, since the clock may be set, and a machine may sleep.
		if wait := next.Sub(n.now()); wait > 0 {
			t := time.NewTimer(min(wait, backupLook))
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			continue
		}
		err := n.backUp(ctx)
		if ctx.Err() != nil {
			return
		}
		failed := ""
		if err != nil {
			failed = err.Error()
			n.log.Error("the backup was not made", "error", failed)
		}
		if err := n.backups.Change(func(s *backup.State) { s.Tried, s.Failed = n.now().UTC().Truncate(time.Second), failed }); err != nil {
			n.log.Error("it is not kept that a backup was made", "error", err.Error())
			// Without that memory the next would be made at once.
			select {
			case <-ctx.Done():
				return
			case <-time.After(backupAgain):
			}
		}
	}
}

// backUp makes one backup in the configured folder, and deletes those that are too many.
func (n *Node) backUp(ctx context.Context) error {
	b := n.cfg.Backup
	to, err := backup.Recipients(b.Recipient)
	if err != nil {
		return fmt.Errorf("backup.recipient: %w", err)
	}
	if st, err := os.Stat(b.Folder); err != nil || !st.IsDir() {
		return fmt.Errorf("backup.folder: %q is no folder that can be reached", b.Folder)
	}
	sorts := []string{backup.OfFolder}
	if b.Keys {
		// First, so that no backup stands there without its keys.
		sorts = []string{backup.OfKeys, backup.OfFolder}
	}
	for _, of := range sorts {
		s, left, done := n.source(of == backup.OfKeys)
		for _, c := range left {
			n.log.Warn("a footprint is left out of the backup: its replica cannot be read", "footprint", c)
		}
		path := filepath.Join(b.Folder, backup.FileName(n.cfg.Council, of, n.now()))
		m, err := s.ToFile(ctx, path, to, of)
		done()
		if err != nil {
			return err
		}
		r := backupReply(m)
		r.File = path
		if _, err := n.noteBackup(ctx, r); err != nil {
			return err
		}
		n.log.Info("a backup was made", "file", path, "of", of, "bytes", m.Bytes, "entries", m.Size, "sha256", m.Digest)
	}
	if err := backup.KeepErasures(n.cfg, b.Folder); err != nil {
		return err
	}
	gone, err := backup.Prune(b.Folder, n.cfg.Council, b.Keep, n.backups.State())
	for _, f := range gone {
		n.log.Info("an old backup was deleted", "file", f)
	}
	if len(gone) > 0 {
		err = errors.Join(err, n.backups.Change(func(s *backup.State) {
			for i := range s.Kept {
				if slices.Contains(gone, filepath.Base(s.Kept[i].File)) {
					s.Kept[i].Pruned = true
				}
			}
		}))
	}
	return err
}

// besideBackups returns where the list of erasures stands beside the backups.
func besideBackups(cfg *config.Config) []string {
	if cfg.Backup.Folder == "" {
		return nil
	}
	return []string{filepath.Join(cfg.Backup.Folder, ledger.ErasuresFile(cfg.Council))}
}

// keepErasures adds what was erased to the list beside the backups, which is to outlast this disk.
func (n *Node) keepErasures() {
	if n.cfg.Backup.Folder == "" {
		return
	}
	if err := backup.KeepErasures(n.cfg, n.cfg.Backup.Folder); err != nil {
		n.log.Warn("what was erased is not listed beside the backups yet; it is with the next backup", "error", err.Error())
	}
}

// On the admin socket a backup is one request, POST /backups/write, with a BackupRequest in
// JSON. The reply is frames as of an import, the first letter of each saying what it is: "b"
// and bytes of the backup; "r" and a BackupReply in JSON, the last; or "e" and an Error in
// JSON, the last.
const backupPath = "backups/write"

// backupChunk is how many bytes of a backup a frame has.
const backupChunk = 256 << 10

// answerBackup writes a backup to whoever asks at the admin socket.
func (n *Node) answerBackup(w http.ResponseWriter, r *http.Request) {
	var in BackupRequest
	quota.Steady(w, r)
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriter(w)
	if err != nil {
		err = fail(Usage, "", "request is not what the operation takes")
	} else {
		chunks := bufio.NewWriterSize(framed{out}, backupChunk)
		var reply BackupReply
		if reply, err = n.Backup(r.Context(), in, chunks); err == nil {
			err = chunks.Flush()
		}
		if err == nil {
			if b, err = json.Marshal(reply); err == nil {
				writeFrame(out, []byte("r"), b)
				return
			}
		}
	}
	if b, merr := json.Marshal(asError(err)); merr == nil {
		writeFrame(out, []byte("e"), b)
	}
}

// framed makes a frame of each Write.
type framed struct{ w *bufio.Writer }

func (f framed) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		k := min(len(rest), backupChunk)
		if err := writeFrame(f.w, []byte("b"), rest[:k]); err != nil {
			return 0, err
		}
		rest = rest[k:]
	}
	return len(p), nil
}

// Backup is [Node.Backup] at the node.
func (c *Client) Backup(ctx context.Context, in BackupRequest, w io.Writer) (BackupReply, error) {
	var r BackupReply
	raw, err := json.Marshal(in)
	if err != nil {
		return r, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://stile/"+backupPath, bytes.NewReader(raw))
	if err != nil {
		return r, fmt.Errorf("internal error: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return r, asError(ctx.Err())
		}
		return r, fail(Failed, "look at the node's log", "the node did not answer: %v", errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fail(Failed, "use the same version of Stile for the command and the node", "the node answered %s", resp.Status)
	}
	frames := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		b, err := readFrame(frames)
		if err != nil {
			if ctx.Err() != nil {
				return r, asError(ctx.Err())
			}
			return r, fail(Failed, "look at the node's log", "the connection to the node was lost")
		}
		unknown := fail(Failed, "use the same version of Stile for the command and the node", "the node's answer is not what was asked for")
		if len(b) == 0 {
			return r, unknown
		}
		switch b[0] {
		case 'b':
			if _, err := w.Write(b[1:]); err != nil {
				return r, err
			}
		case 'r':
			if json.Unmarshal(b[1:], &r) != nil {
				return r, unknown
			}
			return r, nil
		case 'e':
			e := &Error{}
			if json.Unmarshal(b[1:], e) != nil || e.Kind == "" {
				return r, unknown
			}
			return r, e
		default:
			return r, unknown
		}
	}
}
