package node

import "context"

// Backups are what was backed up of the node. A backup itself is written by
// [Node.Backup] or [Client.Backup].
type Backups struct{ to Operations }

// Backups returns the operations on backups.
func (o Operations) Backups() Backups { return Backups{o} }

// List says what is known of the node's backups.
func (b Backups) List(ctx context.Context) (BackupsReply, error) {
	return do(ctx, b.to, (*Node).listBackups, Empty{})
}

// Note logs that a backup was made, and stands where its File says, once it is safe there.
func (b Backups) Note(ctx context.Context, in BackupReply) (BackupReply, error) {
	return do(ctx, b.to, (*Node).noteBackup, in)
}

// Verified logs that a backup which this node knows was read whole and found good.
func (b Backups) Verified(ctx context.Context, in BackupReply) (BackupReply, error) {
	return do(ctx, b.to, (*Node).verifiedBackup, in)
}
