// Package event says what the events of a ledger are called and what the body of
// each holds: one home for whoever writes an event and whoever reads it, the
// auditor among them.
//
// An event is signed by the council in whose ledger it stands. Its body is a JSON
// object, here as package strictjson decodes it. A kind KindX has one type X, whose
// method Body writes the body and whose function ParseX reads it.
//
// Parse is strict: it refuses a body that holds a member which the kind does not
// have, that lacks one which it must have, or whose member is of another type or out
// of its bounds. What it accepts has one form: Body of what was parsed is, as
// canonical JSON, the bytes that were read. So a kind never grows a member: a later
// version that has more to say calls it another kind.
//
// The bodies about agreements and counts hold parts of an agreement's text, so that
// package agreement has their types (Proposal, Signature, Notice, Counts); their
// kinds are declared here as all are.
//
// An index is of an entry in a log, counted from 0.
package event

import "github.com/stile-exchange/stile/node/name"

// The kinds of events.
const (
	KindWithdrawal      = "withdrawal"
	KindDisclosure      = "disclosure"
	KindReceipt         = "receipt"
	KindReceiptByCall   = "receipt-by-call"
	KindErasure         = "erasure"
	KindErasureOrder    = "erasure-order"
	KindGivenUp         = "receipt-given-up"
	KindRetention       = "retention"
	KindStandardAdopted = "standard-adopted"
	KindStandardMapped  = "standard-mapped"

	// How much an agreement permits one receiver, and what exactly, at one size of the log.
	KindAgreementCheckpoint = "agreement-checkpoint"

	// Agreements and counts; see package agreement.
	KindAgreementProposal  = "agreement"
	KindAgreementSignature = "agreement-signature"
	KindAgreementSuspend   = "agreement-suspend"
	KindAgreementResume    = "agreement-resume"
	KindAgreementEnd       = "agreement-end"
	KindAgreementRenewal   = "agreement-renewal"
	KindAgreementCounter   = "agreement-counter"
	KindCounts             = "counts"

	// Questions. None ever holds the value that was asked by.
	KindQuestion      = "question"
	KindAnswer        = "answer"
	KindAnswerReceipt = "answer-receipt"

	// The log of another council, and our own.
	KindQuarantine      = "log-quarantine"
	KindQuarantineEnded = "log-quarantine-ended"
	KindContinued       = "log-continued"

	// The members of a footprint, in its own ledger.
	KindFootprintFounded   = "footprint-founded"
	KindFootprintChange    = "footprint-change"
	KindFootprintAgreed    = "footprint-agreed"
	KindFootprintCancelled = "footprint-cancelled"
	KindFootprintJoined    = "footprint-joined"
	KindFootprintRecovered = "footprint-recovered"

	// What a council's own ledger says of a footprint.
	KindFootprintPut         = "footprint-put"
	KindFootprintContributed = "footprint-contributed"
	KindFootprintConfirmed   = "footprint-confirmed"
	KindFootprintDisclosure  = "footprint-disclosure"
	KindFootprintReceipt     = "footprint-receipt"
	KindFootprintCheckpoint  = "footprint-checkpoint"
	KindFootprintDecided     = "footprint-decided"
	KindFootprintDiscarded   = "footprint-discarded"
	KindFootprintErased      = "footprint-erased"
	KindFootprintExpired     = "footprint-expired"

	KindDirectoryJoined = "directory-joined"

	// Backups of the data folder.
	KindBackupMade     = "backup-made"
	KindBackupVerified = "backup-verified"

	// What was asked for and refused.
	KindRefused = "refused"

	// Two evaluators of an agreement differed on what was about to leave.
	KindOpinionsDiffer = "opinions-differ"

	// Cases in which people let out single records.
	KindHandoverOffer     = "handover-offer"
	KindHandoverAnswer    = "handover-answer"
	KindHandoverWithdrawn = "handover-withdrawn"
	KindHandoverClosed    = "handover-closed"
	KindUrgentAsked       = "urgent-asked"
	KindUrgentGiven       = "urgent-given"
	KindUrgentDecided     = "urgent-decided"
	KindUrgentEnded       = "urgent-ended"
	KindUrgentReviewed    = "urgent-reviewed"

	// A council ends, and others take over what it had.
	KindSealed    = "council-sealed"
	KindTakenOver = "taken-over"
	// Where it was before it came to the council that it was taken over from.
	KindTakenEarlier = "taken-over-earlier"
	// What becomes of its handovers: said by the council that ends, and by one that follows it.
	KindHandoverSucceeded = "handover-succeeded"
	KindHandoverCarried   = "handover-carried"
	// What partners then hold: by whom it goes on, and that it is kept until then.
	KindAgreementSucceeded = "agreement-succeeded"
	KindHoldingsKept       = "holdings-kept"

	// What came from another council goes on under an agreement of one's own.
	KindOnward   = "onward"
	KindPassedOn = "passed-on"
	// Its own council says that it may be kept no longer, and who was given it deletes it.
	KindOnwardGone    = "onward-gone"
	KindOnwardDeleted = "onward-deleted"

	// What a person did at the pages, beside what an event says was done.
	KindPersonRead = "person-read"
)

// Kinds returns every kind.
func Kinds() []string {
	return []string{
		KindWithdrawal, KindDisclosure, KindReceipt, KindReceiptByCall, KindErasure, KindErasureOrder, KindGivenUp, KindRetention, KindStandardAdopted, KindStandardMapped,
		KindAgreementProposal, KindAgreementSignature, KindAgreementSuspend, KindAgreementResume, KindAgreementEnd, KindAgreementRenewal, KindAgreementCounter,
		KindQuestion, KindAnswer, KindAnswerReceipt, KindCounts, KindQuarantine, KindQuarantineEnded, KindContinued,
		KindFootprintFounded, KindFootprintChange, KindFootprintAgreed, KindFootprintCancelled, KindFootprintJoined, KindFootprintRecovered,
		KindFootprintPut, KindFootprintContributed, KindFootprintConfirmed, KindFootprintDisclosure, KindFootprintReceipt, KindFootprintCheckpoint, KindFootprintDecided, KindFootprintDiscarded, KindFootprintErased, KindFootprintExpired,
		KindDirectoryJoined, KindRefused, KindOpinionsDiffer, KindPersonRead, KindBackupMade, KindBackupVerified, KindAgreementCheckpoint,
		KindHandoverOffer, KindHandoverAnswer, KindHandoverWithdrawn, KindHandoverClosed,
		KindUrgentAsked, KindUrgentGiven, KindUrgentDecided, KindUrgentEnded, KindUrgentReviewed,
		KindSealed, KindTakenOver, KindTakenEarlier, KindHandoverSucceeded, KindHandoverCarried, KindAgreementSucceeded, KindHoldingsKept, KindOnward, KindPassedOn, KindOnwardGone, KindOnwardDeleted,
	}
}

// AgreementKinds returns the kinds of events that say where an agreement stands.
func AgreementKinds() []string {
	return []string{KindAgreementProposal, KindAgreementSignature, KindAgreementSuspend, KindAgreementResume, KindAgreementEnd, KindAgreementRenewal, KindAgreementCounter}
}

// AgreementOf returns the agreement that a body names, whatever its kind; "" when it
// names none. It reads nothing else.
func AgreementOf(body map[string]any) name.Agreement {
	s, _ := body["agreement"].(string)
	a, err := name.ParseAgreement(s)
	if err != nil {
		return ""
	}
	return a
}
