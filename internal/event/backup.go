package event

import "github.com/stile-exchange/stile/internal/tlog"

// What a backup is of.
const (
	BackupOfFolder = "folder"
	BackupOfKeys   = "keys"
)

// A Backup says that a backup was made, or that one was read whole and verified. Body:
//
//	{"bytes":1048576,"digest":"…","of":"folder","root":"…","size":118}
type Backup struct {
	Digest tlog.Hash // SHA-256 of the encrypted file
	Bytes  uint64    // that it has
	Of     string    // BackupOfFolder or BackupOfKeys
	Size   uint64    // of the log at the checkpoint that the backup is of
	Root   tlog.Hash // and its root
}

// Body returns the body of a [KindBackupMade], or a [KindBackupVerified].
func (b Backup) Body() map[string]any {
	return map[string]any{"digest": b.Digest.String(), "bytes": Number(b.Bytes), "of": b.Of, "size": Number(b.Size), "root": b.Root.String()}
}

func parseBackup(kind string, body map[string]any) (Backup, error) {
	r := read(kind, body)
	b := Backup{
		Digest: r.hash("digest"), Bytes: r.index("bytes"), Of: r.oneOf("of", BackupOfFolder, BackupOfKeys),
		Size: r.index("size"), Root: r.hash("root"),
	}
	return b, r.done()
}

// ParseBackupMade reads the body of a [KindBackupMade]. The error wraps [ErrBody].
func ParseBackupMade(body map[string]any) (Backup, error) { return parseBackup(KindBackupMade, body) }

// ParseBackupVerified reads the body of a [KindBackupVerified]. The error wraps [ErrBody].
func ParseBackupVerified(body map[string]any) (Backup, error) {
	return parseBackup(KindBackupVerified, body)
}
