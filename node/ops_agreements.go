package node

import "context"

// Agreements say who may have which rows and fields of which standard.
type Agreements struct{ to Operations }

// Agreements returns the operations on agreements.
func (o Operations) Agreements() Agreements { return Agreements{o} }

// Preview says what an agreement would let out of the records there are.
// Nothing is signed.
func (a Agreements) Preview(ctx context.Context, in AgreementRequest) (PreviewReply, error) {
	return do(ctx, a.to, (*Node).previewAgreement, in)
}

// Sign puts our signature under an agreement: a document, which proposes it, or
// one that has come, by its name. Where the configuration wants two persons, the first of
// them signs nothing, here as in Renew, Counter and Signature: the reply has an Approval.
func (a Agreements) Sign(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).signAgreement, in)
}

// Counter answers the newest text of an agreement with another, which we would sign
// instead. The sender proposes and signs it; a receiver's binds nobody until the sender
// signs it, and then the receiver.
func (a Agreements) Counter(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).counterAgreement, in)
}

// End ends an agreement; the receiver deletes what it holds under it.
func (a Agreements) End(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).endAgreement, in)
}

// Suspend stops what travels under an agreement until it is resumed.
func (a Agreements) Suspend(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).suspendAgreement, in)
}

// Resume takes our suspension of an agreement back.
func (a Agreements) Resume(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).resumeAgreement, in)
}

// Renew says that we have reviewed an agreement, which is to go on in the same words until
// a later date of review. It counts once every party has said so.
func (a Agreements) Renew(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).renewAgreement, in)
}

// GiveUp stops waiting for a council, which has left the directory, to say that it
// deleted what it was given, and logs that. It fails as Refused while the council is a
// member and can answer.
func (a Agreements) GiveUp(ctx context.Context, in GiveUpRequest) (GiveUpReply, error) {
	return do(ctx, a.to, (*Node).giveUp, in)
}

// Checkpoint has what an agreement of ours permits counted, and committed to in our log,
// once its receivers have everything; it waits for that, for a minute at most.
func (a Agreements) Checkpoint(ctx context.Context, in CountRequest) ([]PartnerReply, error) {
	return list(ctx, a.to, (*Node).checkpointAgreement, in)
}

// Audit counts again, from our records, what an agreement of ours permitted each receiver
// at the checkpoints that our log has of it, and what was sent. It reads the whole log.
func (a Agreements) Audit(ctx context.Context, in AuditRequest) (AuditReply, error) {
	return do(ctx, a.to, (*Node).auditAgreement, in)
}

// Approvals lists what first persons have said yes to, and waits for a second.
func (a Agreements) Approvals(ctx context.Context) ([]ApprovalReply, error) {
	return list(ctx, a.to, (*Node).approvals, Empty{})
}

// List lists the newest version of every agreement, without documents and
// partners.
func (a Agreements) List(ctx context.Context) ([]AgreementReply, error) {
	return list(ctx, a.to, (*Node).listAgreements, Empty{})
}

// Flows lists the agreements in force and those that are suspended, by name, each with its
// document and how the exchange under it stands, and without signatures.
func (a Agreements) Flows(ctx context.Context) ([]AgreementReply, error) {
	return list(ctx, a.to, (*Node).flows, Empty{})
}

// Show describes an agreement, with its document and how the exchange under it
// stands.
func (a Agreements) Show(ctx context.Context, in AgreementRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).showAgreement, in)
}

// Signature signs an agreement and returns the signature as a file, for a council that
// our node does not exchange with: we may be a receiver that runs none.
func (a Agreements) Signature(ctx context.Context, in AgreementRequest) (SignatureReply, error) {
	return do(ctx, a.to, (*Node).signature, in)
}

// Bring takes such a file of another party.
func (a Agreements) Bring(ctx context.Context, in SignatureRequest) (AgreementReply, error) {
	return do(ctx, a.to, (*Node).bring, in)
}
