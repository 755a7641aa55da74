package node

import "github.com/stile-exchange/stile/node/api"

// Of every operation. They are those of package api, which says what each is; so are
// all below.
type (
	Kind              = api.Kind
	Error             = api.Error
	Cursor            = api.Cursor
	Problem           = api.Problem
	Empty             = api.Empty
	MemberRequest     = api.MemberRequest
	MemberReply       = api.MemberReply
	MemberNameRequest = api.MemberNameRequest
	FactsRequest      = api.FactsRequest
	FactsReply        = api.FactsReply
	CouncilFact       = api.CouncilFact
)

// The kinds of failure.
const (
	Failed      = api.Failed
	Usage       = api.Usage
	NotFound    = api.NotFound
	Refused     = api.Refused
	Invalid     = api.Invalid
	Unverified  = api.Unverified
	Unreachable = api.Unreachable
	Behind      = api.Behind
	Conflict    = api.Conflict
)

// The topics of what our ledger shows of another council, and what its facts are called.
const (
	FactAgreements     = api.FactAgreements
	FactSent           = api.FactSent
	FactReceived       = api.FactReceived
	FactRefusals       = api.FactRefusals
	FactQuestions      = api.FactQuestions
	FactLog            = api.FactLog
	FactStandards      = api.FactStandards
	FactInForce        = api.FactInForce
	FactSuspendedByIt  = api.FactSuspendedByIt
	FactAwaitsIt       = api.FactAwaitsIt
	FactSigned         = api.FactSigned
	FactHolds          = api.FactHolds
	FactItRefused      = api.FactItRefused
	FactGivenUp        = api.FactGivenUp
	FactReceipted      = api.FactReceipted
	FactLate           = api.FactLate
	FactOutstanding    = api.FactOutstanding
	FactHeld           = api.FactHeld
	FactCountedEqual   = api.FactCountedEqual
	FactCountedDiffers = api.FactCountedDiffers
	FactUncounted      = api.FactUncounted
	FactKeptQuiet      = api.FactKeptQuiet
	FactWeRefusedIt    = api.FactWeRefusedIt
	FactNotTaken       = api.FactNotTaken
	FactAskedUs        = api.FactAskedUs
	FactWeAsked        = api.FactWeAsked
	FactUnanswered     = api.FactUnanswered
	FactLogSize        = api.FactLogSize
	FactWeCosigned     = api.FactWeCosigned
	FactItCosigned     = api.FactItCosigned
	FactStopped        = api.FactStopped
	FactStoppedNow     = api.FactStoppedNow
	FactForsworn       = api.FactForsworn
	FactAccusesUs      = api.FactAccusesUs
	FactStates         = api.FactStates
	FactFirstOffers    = api.FactFirstOffers
)

// What was refused, and by whom, besides what the log's entries say.
const (
	RefusedNearMiss = api.RefusedNearMiss
	RefusedDelivery = api.RefusedDelivery
	RefusedByUs     = api.RefusedByUs
	RefusedFromThem = api.RefusedFromThem
)

// The outcomes of a record. All but NotJudged are of one that was taken.
const (
	Created   = api.Created
	Changed   = api.Changed
	Unchanged = api.Unchanged
	Valid     = api.Valid
	NotJudged = api.NotJudged
)

// Of operations on records.
type (
	Offered             = api.Offered
	PutRequest          = api.PutRequest
	PutReply            = api.PutReply
	PutResult           = api.PutResult
	Outcome             = api.Outcome
	RecordRequest       = api.RecordRequest
	RecordReply         = api.RecordReply
	ListRequest         = api.ListRequest
	ListReply           = api.ListReply
	HistoryReply        = api.HistoryReply
	DeleteReply         = api.DeleteReply
	CaseRequest         = api.CaseRequest
	CaseReply           = api.CaseReply
	CaseItem            = api.CaseItem
	CaseReview          = api.CaseReview
	CaseEvent           = api.CaseEvent
	GiveUpRequest       = api.GiveUpRequest
	GiveUpReply         = api.GiveUpReply
	EraseRequest        = api.EraseRequest
	EraseReply          = api.EraseReply
	ErasedRecord        = api.ErasedRecord
	EraseDueRequest     = api.EraseDueRequest
	EraseDueReply       = api.EraseDueReply
	RuleErasure         = api.RuleErasure
	ErasureOrder        = api.ErasureOrder
	ProofReply          = api.ProofReply
	Held                = api.Held
	HeldReply           = api.HeldReply
	BundleRequest       = api.BundleRequest
	BundleReply         = api.BundleReply
	Run                 = api.Run
	ImportRequest       = api.ImportRequest
	ImportRow           = api.ImportRow
	ImportReply         = api.ImportReply
	NotTaken            = api.NotTaken
	KeyDigest           = api.KeyDigest
	SourceRequest       = api.SourceRequest
	SourceReply         = api.SourceReply
	AbsentReply         = api.AbsentReply
	DeleteAbsentRequest = api.DeleteAbsentRequest
	DeleteAbsentReply   = api.DeleteAbsentReply
)

// Of successions.
type (
	SuccessionRequest = api.SuccessionRequest
	SuccessionReply   = api.SuccessionReply
	KeptReply         = api.KeptReply
	RefusedOrder      = api.RefusedOrder
	SuccessorReply    = api.SuccessorReply
	RehearsalReply    = api.RehearsalReply
	RehearsedReply    = api.RehearsedReply
	SharedStandard    = api.SharedStandard
	SharedToNobody    = api.SharedToNobody
	EndingAgreement   = api.EndingAgreement
	EndingFootprint   = api.EndingFootprint
	HandOverRequest   = api.HandOverRequest
	TakeOverRequest   = api.TakeOverRequest
	TakeOverReply     = api.TakeOverReply
	LeftBehind        = api.LeftBehind
	FormerReply       = api.FormerReply
	EndedReply        = api.EndedReply
	EndingHandover    = api.EndingHandover
	SucceededReply    = api.SucceededReply
)

// Of operations on standards.
type (
	StandardRequest      = api.StandardRequest
	StandardReply        = api.StandardReply
	Obligation           = api.Obligation
	DueInYear            = api.DueInYear
	StandardArchiveReply = api.StandardArchiveReply
	AdoptRequest         = api.AdoptRequest
	AdoptReply           = api.AdoptReply
	AdoptPreview         = api.AdoptPreview
	ExampleCost          = api.ExampleCost
	AgreementEffect      = api.AgreementEffect
	MappingPreview       = api.MappingPreview
	AgainstRequest       = api.AgainstRequest
	AgainstReply         = api.AgainstReply
	FaultCount           = api.FaultCount
	ServeRequest         = api.ServeRequest
	ServeReply           = api.ServeReply
	MappedReply          = api.MappedReply
	PublishedReply       = api.PublishedReply
	StatusStep           = api.StatusStep
	Level                = api.Level
	Difference           = api.Difference
	Change               = api.Change
)

// Of compliance statements.
type (
	MeasureRequest      = api.MeasureRequest
	MeasureReply        = api.MeasureReply
	CharterRequest      = api.CharterRequest
	CharterReply        = api.CharterReply
	CharterCount        = api.CharterCount
	Statement           = api.Statement
	StatementOffers     = api.StatementOffers
	StatementErrors     = api.StatementErrors
	StatementError      = api.StatementError
	StatementField      = api.StatementField
	StatementFreshness  = api.StatementFreshness
	StatementPartners   = api.StatementPartners
	StatementReceived   = api.StatementReceived
	StatementCheckpoint = api.StatementCheckpoint
	AdoptionRequest     = api.AdoptionRequest
	Adoption            = api.Adoption
	AdoptionRow         = api.AdoptionRow
	AdoptionShare       = api.AdoptionShare
	AdoptionGroup       = api.AdoptionGroup
	AdoptionPoint       = api.AdoptionPoint
	RefusedStatement    = api.RefusedStatement
)

// Of operations on agreements.
type (
	AgreementRequest = api.AgreementRequest
	AgreementReply   = api.AgreementReply
	SignedReply      = api.SignedReply
	ImpactReply      = api.ImpactReply
	FieldImpact      = api.FieldImpact
	RenewalReply     = api.RenewalReply
	Matching         = api.Matching
	PartnerReply     = api.PartnerReply
	AuditRequest     = api.AuditRequest
	AuditReply       = api.AuditReply
	CountReply       = api.CountReply
	CountRequest     = api.CountRequest
	ConfirmedReply   = api.ConfirmedReply
	ApprovalReply    = api.ApprovalReply
	CounterReply     = api.CounterReply
	PreviewReply     = api.PreviewReply
	FieldCount       = api.FieldCount
)

// The ways in which something is let out.
const (
	LetCopy         = api.LetCopy
	LetAnswer       = api.LetAnswer
	LetCounts       = api.LetCounts
	LetFootprint    = api.LetFootprint
	PartnerAnswered = api.PartnerAnswered
	PartnerRefused  = api.PartnerRefused
	PartnerSilent   = api.PartnerSilent
	PartnerFalse    = api.PartnerFalse
	PartnerEnded    = api.PartnerEnded
)

// Of disclosures.
type (
	DisclosureRequest    = api.DisclosureRequest
	DisclosureReply      = api.DisclosureReply
	Disclosure           = api.Disclosure
	DisclosureReceipt    = api.DisclosureReceipt
	DisclosureWithdrawal = api.DisclosureWithdrawal
	RefusedRequest       = api.RefusedRequest
	RefusedReply         = api.RefusedReply
	SeenRequest          = api.SeenRequest
	SeenReply            = api.SeenReply
	Seen                 = api.Seen
	DriftRequest         = api.DriftRequest
	DriftReply           = api.DriftReply
	Drift                = api.Drift
	DriftReceived        = api.DriftReceived
	SubjectRequest       = api.SubjectRequest
	SubjectReply         = api.SubjectReply
	SubjectRecord        = api.SubjectRecord
	SubjectVersion       = api.SubjectVersion
	SubjectHolding       = api.SubjectHolding
	SubjectAgreement     = api.SubjectAgreement
	SubjectHeading       = api.SubjectHeading
	SubjectPartner       = api.SubjectPartner
	SubjectTold          = api.SubjectTold
	SubjectCouncil       = api.SubjectCouncil
)

// Of questions, under agreements of which nothing is copied.
type (
	LookupRequest     = api.LookupRequest
	LookupReply       = api.LookupReply
	LookupListRequest = api.LookupListRequest
	QuestionReply     = api.QuestionReply
	AggregateRequest  = api.AggregateRequest
	AggregateReply    = api.AggregateReply
	Group             = api.Group
)

// Of what the node says of itself and of others.
type (
	StatusReply          = api.StatusReply
	Condition            = api.Condition
	Severity             = api.Severity
	Refusal              = api.Refusal
	SharePassed          = api.SharePassed
	Link                 = api.Link
	DirectoryHealth      = api.DirectoryHealth
	LogReply             = api.LogReply
	PolicyWitness        = api.PolicyWitness
	WitnessReply         = api.WitnessReply
	QuarantineReply      = api.QuarantineReply
	AccusationReply      = api.AccusationReply
	HaltReply            = api.HaltReply
	LastBackup           = api.LastBackup
	DamageReply          = api.DamageReply
	RepairRequest        = api.RepairRequest
	RepairReply          = api.RepairReply
	DamagedEntry         = api.DamagedEntry
	DamagedHolding       = api.DamagedHolding
	MissingHoldings      = api.MissingHoldings
	LostRequest          = api.LostRequest
	LostReply            = api.LostReply
	ReadRequest          = api.ReadRequest
	ReadsRequest         = api.ReadsRequest
	ReadReply            = api.ReadReply
	ContinueRequest      = api.ContinueRequest
	BackupRequest        = api.BackupRequest
	BackupReply          = api.BackupReply
	BackupsReply         = api.BackupsReply
	ContinueReply        = api.ContinueReply
	EvidenceReply        = api.EvidenceReply
	EndQuarantineRequest = api.EndQuarantineRequest
	WhyRequest           = api.WhyRequest
	WhyReply             = api.WhyReply
	WhyStep              = api.WhyStep
	WhyEvent             = api.WhyEvent
	WhyField             = api.WhyField
)

// The severities of a condition, the gravest first.
const (
	Critical = api.Critical
	Warning  = api.Warning
	Notice   = api.Notice
)

// Of operations on the directory.
type (
	DirectoryReply = api.DirectoryReply
	InviteRequest  = api.InviteRequest
	InviteReply    = api.InviteReply
	JoinRequest    = api.JoinRequest
)

// Of operations on footprints.
type (
	FootprintRequest         = api.FootprintRequest
	FootprintReply           = api.FootprintReply
	FootprintStatus          = api.FootprintStatus
	FootprintMember          = api.FootprintMember
	FormerMember             = api.FormerMember
	FootprintChange          = api.FootprintChange
	FootprintEvidence        = api.FootprintEvidence
	FootprintEvidenceReply   = api.FootprintEvidenceReply
	FootprintPutRequest      = api.FootprintPutRequest
	FootprintPutReply        = api.FootprintPutReply
	FootprintPutResult       = api.FootprintPutResult
	FootprintListRequest     = api.FootprintListRequest
	FootprintListReply       = api.FootprintListReply
	FootprintRecord          = api.FootprintRecord
	FootprintRecordRequest   = api.FootprintRecordRequest
	FootprintProofReply      = api.FootprintProofReply
	FootprintCheckpointReply = api.FootprintCheckpointReply
	FootprintAdoptRequest    = api.FootprintAdoptRequest
	FootprintAdoptReply      = api.FootprintAdoptReply
	FootprintBackupRequest   = api.FootprintBackupRequest
	FootprintBackupReply     = api.FootprintBackupReply
	FootprintRecoverRequest  = api.FootprintRecoverRequest
	ProposalReply            = api.ProposalReply
	MachinesReply            = api.MachinesReply
)

func fail(k Kind, try, format string, a ...any) *Error { return api.Fail(k, try, format, a...) }

// each returns f of every element; nil of nil.
func each[A, B any](in []A, f func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, len(in))
	for i, x := range in {
		out[i] = f(x)
	}
	return out
}

// DigestKey returns the digest of a key's values, strings, numbers and booleans, in the
// standard's order.
func DigestKey(values []any) KeyDigest { return api.DigestKey(values) }

// Of keys for systems, of changes and of our own log.
type (
	KeyRequest       = api.KeyRequest
	KeyReply         = api.KeyReply
	KeyIDRequest     = api.KeyIDRequest
	KeySecretRequest = api.KeySecretRequest
	ChangesRequest   = api.ChangesRequest
	ChangesReply     = api.ChangesReply
	FeedChange       = api.FeedChange
	ChangedRecord    = api.ChangedRecord
	CheckpointReply  = api.CheckpointReply
	EntryRequest     = api.EntryRequest
	EntryProofReply  = api.EntryProofReply
	CollectRequest   = api.CollectRequest
	CollectReply     = api.CollectReply
	Collected        = api.Collected
	CollectReceipt   = api.CollectReceipt
	SignatureReply   = api.SignatureReply
	SignatureRequest = api.SignatureRequest
)

// Of webhooks.
type (
	WebhookRequest       = api.WebhookRequest
	WebhookReply         = api.WebhookReply
	WebhookIDRequest     = api.WebhookIDRequest
	WebhookReplayRequest = api.WebhookReplayRequest
	WebhookTestReply     = api.WebhookTestReply
	DeliveryReply        = api.DeliveryReply
)

// The states of a webhook.
const (
	WebhookGood    = api.WebhookGood
	WebhookFailing = api.WebhookFailing
	WebhookParked  = api.WebhookParked
)

// The states of a key.
const (
	KeyGood    = api.KeyGood
	KeyExpired = api.KeyExpired
	KeyRevoked = api.KeyRevoked
)

// Of the feed of changes.
const (
	ChangePut         = api.ChangePut
	ChangeReceived    = api.ChangeReceived
	ChangeDeleted     = api.ChangeDeleted
	ChangeErased      = api.ChangeErased
	ChangeWithdrawn   = api.ChangeWithdrawn
	ChangeTakenBack   = api.ChangeTakenBack
	ChangeReceivedEnd = api.ChangeReceivedEnd
	ChangeAgreement   = api.ChangeAgreement
)

// Of what an auditor counts again.
type (
	AuditedCheckpoint = api.AuditedCheckpoint
	AuditedGone       = api.AuditedGone
	AuditedRecord     = api.AuditedRecord
	AuditedSum        = api.AuditedSum
)

// Why a record that was committed to is not what is permitted any more.
const (
	GoneNewer     = api.GoneNewer
	GoneDeleted   = api.GoneDeleted
	GoneTakenBack = api.GoneTakenBack
	GoneErased    = api.GoneErased
	GoneNotHeld   = api.GoneNotHeld
)
