package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/gate"
)

// Records are what councils know: our own, and those that partners sent.
type Records struct{ to Operations }

// Records returns the operations on records.
func (o Operations) Records() Records { return Records{o} }

// Put offers records of one standard, in order. Each is put through the gate
// alone: the reply says of each what became of it, and a record that is refused
// does not hold up the rest. When Put returns, what was taken is signed, logged
// and on disk.
func (r Records) Put(ctx context.Context, in PutRequest) (PutReply, error) {
	return do(ctx, r.to, (*gate.Gate).Put, in)
}

// List lists records of a standard, a page at a time, with what a partner
// disclosed of its own.
func (r Records) List(ctx context.Context, in ListRequest) (ListReply, error) {
	return do(ctx, r.to, (*Node).listRecords, in)
}

// Show returns the newest version of a record. It fails as NotFound where there
// is none.
func (r Records) Show(ctx context.Context, in RecordRequest) (RecordReply, error) {
	return do(ctx, r.to, (*Node).showRecord, in)
}

// History returns every version of a record of ours, newest first.
func (r Records) History(ctx context.Context, in RecordRequest) (HistoryReply, error) {
	return do(ctx, r.to, (*Node).recordHistory, in)
}

// Prove returns a record's token, and a proof that it stands in its council's
// log.
func (r Records) Prove(ctx context.Context, in RecordRequest) (ProofReply, error) {
	return do(ctx, r.to, (*Node).recordProof, in)
}

// Delete deletes a record of ours: it logs a version that says so, and
// withdraws it from every partner.
func (r Records) Delete(ctx context.Context, in RecordRequest) (DeleteReply, error) {
	return do(ctx, r.to, (*Node).deleteRecord, in)
}

// Erase takes all versions of a record of ours, or of all records about a person, out
// of every file of this node, and orders whoever was given something of them to do the
// same. What is left is the hash of each version in the log. It cannot be undone.
func (r Records) Erase(ctx context.Context, in EraseRequest) (EraseReply, error) {
	return do(ctx, r.to, (*Node).eraseRecords, in)
}

// EraseDue erases the records that are due by the rules of the configuration, as the
// running node does once a day, or says what is due.
func (r Records) EraseDue(ctx context.Context, in EraseDueRequest) (EraseDueReply, error) {
	return do(ctx, r.to, (*Node).eraseDue, in)
}

// Held lists the offers that were held back at the gate, with what is wrong
// with each.
func (r Records) Held(ctx context.Context, in ListRequest) (HeldReply, error) {
	return do(ctx, r.to, (*Node).listHeld, in)
}

// Begin begins a run of a source. The run goes with each [Records.Put] of it, and
// ends when the next begins.
func (r Records) Begin(ctx context.Context, in SourceRequest) (Run, error) {
	return do(ctx, r.to, (*gate.Gate).Begin, in)
}

// Sources lists the sources that records came from, by name.
func (r Records) Sources(ctx context.Context) ([]SourceReply, error) {
	return list(ctx, r.to, (*gate.Gate).Sources, Empty{})
}

// Absent counts the records that earlier runs of a source offered, and this one,
// which must be its newest, did not.
func (r Records) Absent(ctx context.Context, in Run) (AbsentReply, error) {
	return do(ctx, r.to, (*gate.Gate).Absent, in)
}

// DeleteAbsent deletes the records that Absent counted. It is refused where rows
// of the run could not be identified: one of them may be one of those.
func (r Records) DeleteAbsent(ctx context.Context, in DeleteAbsentRequest) (DeleteAbsentReply, error) {
	return do(ctx, r.to, (*gate.Gate).DeleteAbsent, in)
}
