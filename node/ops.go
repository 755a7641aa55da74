package node

import (
	"context"
	"encoding/json"
	"fmt"
)

// Kind says what kind of failure an Error is; commands turn it into their exit
// code.
type Kind string

// The kinds of failure.
const (
	Failed      Kind = "failed"
	Usage       Kind = "usage"
	NotFound    Kind = "not-found"
	Refused     Kind = "refused" // by an agreement or policy
	Invalid     Kind = "invalid" // data
	Unverified  Kind = "unverified"
	Unreachable Kind = "unreachable"
	Behind      Kind = "behind"
	Conflict    Kind = "conflict"
)

// An Error is a failed operation, fit to be shown: it holds no field's value.
type Error struct {
	Kind     Kind   `json:"kind"`
	Message  string `json:"message"`
	Try      string `json:"try,omitempty"` // what to do about it
	Problems any    `json:"problems,omitempty"`
}

func (e *Error) Error() string { return e.Message }

func fail(k Kind, try, format string, a ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, a...), Try: try}
}

// The operations of a node, by the name they are called by on the admin
// socket. Each takes the request and gives the reply named beside it.
const (
	OpStatus           = "status"            // Empty → StatusReply
	OpOffer            = "record.offer"      // OfferRequest → OfferReply
	OpRecordList       = "record.list"       // ListRequest → ListReply
	OpRecordShow       = "record.show"       // RecordRequest → RecordReply
	OpRecordHistory    = "record.history"    // RecordRequest → HistoryReply
	OpRecordProof      = "record.proof"      // RecordRequest → ProofReply
	OpRecordDelete     = "record.delete"     // RecordRequest → DeleteReply
	OpRecordHeld       = "record.held"       // ListRequest → HeldReply
	OpStandardAdopt    = "standard.adopt"    // AdoptRequest → AdoptReply
	OpStandardPreview  = "standard.preview"  // AdoptRequest → AdoptPreview
	OpStandardAgainst  = "standard.against"  // AgainstRequest → AgainstReply
	OpStandardServe    = "standard.serve"    // ServeRequest → ServeReply: a page of the work
	OpStandardList     = "standard.list"     // Empty → []StandardReply
	OpStandardShow     = "standard.show"     // StandardRequest → StandardReply
	OpStandardArchive  = "standard.archive"  // StandardRequest → StandardArchiveReply
	OpAgreementPreview = "agreement.preview" // AgreementRequest → PreviewReply
	OpAgreementSign    = "agreement.sign"    // AgreementRequest (document or name) → AgreementReply
	OpAgreementEnd     = "agreement.end"     // AgreementRequest → AgreementReply
	OpAgreementSuspend = "agreement.suspend" // AgreementRequest → AgreementReply
	OpAgreementResume  = "agreement.resume"  // AgreementRequest → AgreementReply
	OpAgreementList    = "agreement.list"    // Empty → []AgreementReply
	OpAgreementShow    = "agreement.show"    // AgreementRequest → AgreementReply
	OpWhy              = "why"               // WhyRequest → WhyReply
	OpBundle           = "export.bundle"     // BundleRequest → BundleReply
	OpMemberAdd        = "council.add"       // MemberRequest → MemberReply
	OpMemberList       = "council.list"      // Empty → []MemberReply
	OpMemberShow       = "council.show"      // MemberNameRequest → MemberReply
	OpDirectoryShow    = "directory.show"    // Empty → DirectoryReply
	OpDirectoryRefresh = "directory.refresh" // Empty → DirectoryReply: ask for news of it now
	OpDirectoryInvite  = "directory.invite"  // InviteRequest → InviteReply
	OpDirectoryJoin    = "directory.join"    // JoinRequest → DirectoryReply
	OpDirectoryFollow  = "directory.follow"  // Empty → DirectoryReply: host the directory that was prepared here, and follow it
	OpPublishedList    = "published.list"    // Empty → []PublishedReply: what the directory has
	OpPublishedArchive = "published.archive" // StandardRequest (publisher/name@version) → StandardArchiveReply
	OpStandardMeasure  = "standard.measure"  // MeasureRequest → MeasureReply
	OpStandardAdoption = "standard.adoption" // AdoptionRequest → measure.Adoption
	OpRetry            = "sync.retry"        // Empty → Empty: waiting copies try again now
	OpLookup           = "lookup.ask"        // LookupRequest → LookupReply
	OpAggregate        = "aggregate.ask"     // AggregateRequest → AggregateReply
	OpLookupList       = "lookup.list"       // LookupListRequest → []QuestionReply

	OpFootprintFound      = "footprint.found"      // FootprintRequest → FootprintReply
	OpFootprintJoin       = "footprint.join"       // FootprintRequest → FootprintReply
	OpFootprintInvite     = "footprint.invite"     // FootprintRequest → FootprintReply
	OpFootprintAgree      = "footprint.agree"      // FootprintRequest → FootprintReply
	OpFootprintRemove     = "footprint.remove"     // FootprintRequest → FootprintReply; our own council: leave
	OpFootprintCancel     = "footprint.cancel"     // FootprintRequest → FootprintReply
	OpFootprintTransfer   = "footprint.transfer"   // FootprintRequest → FootprintReply
	OpFootprintStatus     = "footprint.status"     // FootprintRequest (no name: all) → []FootprintReply
	OpFootprintList       = "footprint.list"       // Empty → []FootprintReply
	OpFootprintEntry      = "footprint.entry"      // FootprintRequest → MemberReply: for the directory
	OpFootprintPut        = "footprint.put"        // FootprintPutRequest → FootprintPutReply
	OpFootprintWithdraw   = "footprint.withdraw"   // FootprintPutRequest → FootprintPutReply
	OpFootprintRecords    = "footprint.records"    // FootprintListRequest → FootprintListReply
	OpFootprintShow       = "footprint.show"       // FootprintRecordRequest → FootprintRecord
	OpFootprintProof      = "footprint.proof"      // FootprintRecordRequest → FootprintProofReply
	OpFootprintCheckpoint = "footprint.checkpoint" // FootprintRequest → FootprintCheckpointReply
	OpFootprintEvidence   = "footprint.evidence"   // FootprintRequest → FootprintEvidenceReply
	OpFootprintAdopt      = "footprint.adopt"      // FootprintAdoptRequest → FootprintAdoptReply
	OpFootprintBackup     = "footprint.backup"     // FootprintBackupRequest → FootprintBackupReply
	OpFootprintRecover    = "footprint.recover"    // FootprintRecoverRequest → FootprintReply
	OpFootprintDiscard    = "footprint.discard"    // FootprintRequest → Empty
)

// StandardRequest names an adopted standard: publisher/name@version, or a
// line publisher/name@1, or publisher/name for the newest.
type StandardRequest struct {
	Name string `json:"name"`
}

// StandardArchiveReply is a standard as its archive.
type StandardArchiveReply struct {
	Archive []byte `json:"archive"`
}

// MemberNameRequest names a council of the directory.
type MemberNameRequest struct {
	Council string `json:"council"`
}

// WhyRequest asks why a partner has or lacks a record; see RecordRequest.
type WhyRequest struct {
	Partner  string `json:"partner"`
	Record   string `json:"record"`
	Standard string `json:"standard,omitempty"`
}

// A Caller carries out operations: a Node in this process, or a Client on the
// admin socket of a running one.
type Caller interface {
	// Call carries out an operation. out may be nil. A failure of the
	// operation is an *Error.
	Call(ctx context.Context, op string, in, out any) error
	Close() error
}

// op is one operation: it decodes the request, does the work and returns the
// reply.
type op func(ctx context.Context, n *Node, in json.RawMessage) (any, error)

func oldOperation[In, Out any](f func(*Node, context.Context, In) (Out, error)) op {
	return func(ctx context.Context, n *Node, raw json.RawMessage) (any, error) {
		var in In
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &in); err != nil {
				return nil, fail(Usage, "", "request is not what the operation takes: %v", err)
			}
		}
		return f(n, ctx, in)
	}
}
