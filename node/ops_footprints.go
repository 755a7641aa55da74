package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/replicas"
)

// Footprints are the ledgers that several councils keep together.
type Footprints struct{ to Operations }

// Footprints returns the operations on footprints.
func (o Operations) Footprints() Footprints { return Footprints{o} }

// Found begins a footprint with our council as its first member.
func (f Footprints) Found(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Found, in)
}

// Join joins a footprint that has invited us.
func (f Footprints) Join(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Join, in)
}

// Invite proposes a council as a member.
func (f Footprints) Invite(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Invite, in)
}

// Agree agrees to the change of members that is proposed.
func (f Footprints) Agree(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Agree, in)
}

// Remove proposes that a member leaves; our own council leaves by it.
func (f Footprints) Remove(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Remove, in)
}

// Cancel takes back a change of members that is proposed.
func (f Footprints) Cancel(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Cancel, in)
}

// Transfer has another member lead.
func (f Footprints) Transfer(ctx context.Context, in FootprintRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Transfer, in)
}

// Status says how footprints stand; all of them where none is named.
func (f Footprints) Status(ctx context.Context, in FootprintRequest) ([]FootprintReply, error) {
	return list(ctx, f.to, (*replicas.Set).Status, in)
}

// List lists the footprints that this node keeps a replica of.
func (f Footprints) List(ctx context.Context) ([]FootprintReply, error) {
	return list(ctx, f.to, (*replicas.Set).Describe, Empty{})
}

// Entry returns a footprint as a member of the directory.
func (f Footprints) Entry(ctx context.Context, in FootprintRequest) (MemberReply, error) {
	return do(ctx, f.to, (*replicas.Set).Entry, in)
}

// Put puts records of ours into a footprint, with their open fields.
func (f Footprints) Put(ctx context.Context, in FootprintPutRequest) (FootprintPutReply, error) {
	return do(ctx, f.to, (*replicas.Set).Put, in)
}

// Withdraw takes records of ours back from a footprint.
func (f Footprints) Withdraw(ctx context.Context, in FootprintPutRequest) (FootprintPutReply, error) {
	return do(ctx, f.to, (*replicas.Set).Withdraw, in)
}

// Records lists what is in a footprint, a page at a time.
func (f Footprints) Records(ctx context.Context, in FootprintListRequest) (FootprintListReply, error) {
	return do(ctx, f.to, (*replicas.Set).Records, in)
}

// Show returns a record of a footprint.
func (f Footprints) Show(ctx context.Context, in FootprintRecordRequest) (FootprintRecord, error) {
	return do(ctx, f.to, (*replicas.Set).Show, in)
}

// Prove returns a proof that a record stands in a footprint's log.
func (f Footprints) Prove(ctx context.Context, in FootprintRecordRequest) (FootprintProofReply, error) {
	return do(ctx, f.to, (*replicas.Set).Prove, in)
}

// Checkpoint returns the newest checkpoint that a majority of the members has
// cosigned.
func (f Footprints) Checkpoint(ctx context.Context, in FootprintRequest) (FootprintCheckpointReply, error) {
	return do(ctx, f.to, (*replicas.Set).Checkpoint, in)
}

// Evidence returns what this node keeps about members whose replicas differ.
func (f Footprints) Evidence(ctx context.Context, in FootprintRequest) (FootprintEvidenceReply, error) {
	return do(ctx, f.to, (*replicas.Set).Evidence, in)
}

// Adopt adopts a standard in a footprint, on every member.
func (f Footprints) Adopt(ctx context.Context, in FootprintAdoptRequest) (FootprintAdoptReply, error) {
	return do(ctx, f.to, (*replicas.Set).Adopt, in)
}

// Backup writes a footprint's ledger to a file.
func (f Footprints) Backup(ctx context.Context, in FootprintBackupRequest) (FootprintBackupReply, error) {
	return do(ctx, f.to, (*replicas.Set).Backup, in)
}

// Recover goes on with the members that are left, where a majority is lost for
// good.
func (f Footprints) Recover(ctx context.Context, in FootprintRecoverRequest) (FootprintReply, error) {
	return do(ctx, f.to, (*replicas.Set).Recover, in)
}

// Discard deletes our replica of a footprint that we are no longer a member of.
func (f Footprints) Discard(ctx context.Context, in FootprintRequest) error {
	_, err := do(ctx, f.to, (*replicas.Set).Discard, in)
	return err
}
