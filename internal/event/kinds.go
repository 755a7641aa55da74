// Package event says what the events of a ledger are called and what the body of
// each holds: one home for whoever writes an event and whoever reads it, the
// auditor among them.
//
// An event is signed by the council in whose ledger it stands. Its body is a JSON
// object, here as package strictjson has it; members that are not known are passed
// over, since a later version may say more. A type of this package is what one
// kind of body says: Body writes it and Parse… reads it, and what Parse takes Body
// gives back. Indexes are of a log, counted from 0.
//
// The bodies about agreements and counts are documents of package agreement, those
// about a footprint's members its own; their kinds are declared here as all are.
package event

// The kinds of events. Comments name the members of the bodies that have no type
// here.
const (
	KindWithdrawal      = "withdrawal"       // see [Withdrawal]
	KindDisclosure      = "disclosure"       // see [Disclosure]
	KindReceipt         = "receipt"          // see [Receipt]
	KindStandardAdopted = "standard-adopted" // see [StandardAdopted]
	// Mapped says that records of a standard are made by the mapping it ships, from
	// those of an older major, or no longer: standard, from (the major), on.
	KindStandardMapped = "standard-mapped"

	// Agreements; the bodies are those of package agreement.
	KindAgreementProposal  = "agreement"
	KindAgreementSignature = "agreement-signature"
	KindAgreementSuspend   = "agreement-suspend"
	KindAgreementResume    = "agreement-resume"
	KindAgreementEnd       = "agreement-end"

	// Questions; none ever holds the value that was asked by. See package ledger.
	KindQuestion      = "question"
	KindAnswer        = "answer"
	KindAnswerReceipt = "answer-receipt"
	KindCounts        = "counts" // see package agreement

	// The log of another council; see package ledger.
	KindQuarantine      = "log-quarantine"
	KindQuarantineEnded = "log-quarantine-ended"

	// The members of a footprint, in its own ledger; see package footprint.
	KindFootprintFounded   = "footprint-founded"
	KindFootprintChange    = "footprint-change"
	KindFootprintAgreed    = "footprint-agreed"
	KindFootprintCancelled = "footprint-cancelled"
	KindFootprintJoined    = "footprint-joined"
	KindFootprintRecovered = "footprint-recovered"

	// What a council's own ledger says of a footprint.
	KindFootprintPut         = "footprint-put"         // footprint, entries (log indexes)
	KindFootprintContributed = "footprint-contributed" // see package peersync
	KindFootprintConfirmed   = "footprint-confirmed"   // see package peersync
	KindFootprintDisclosure  = "footprint-disclosure"  // see [Disclosure]
	KindFootprintReceipt     = "footprint-receipt"     // footprint, agreement, from, receipt (a partner's signed event)
	KindFootprintDecided     = "footprint-decided"     // footprint, kind, said (the body), entry (in the footprint's log)
	KindFootprintDiscarded   = "footprint-discarded"   // footprint, entries (how many)

	// DirectoryJoined says which directory is followed from here on: root (hex
	// SHA-256), root_version, left (that of the one before).
	KindDirectoryJoined = "directory-joined"
)

// Kinds returns every kind.
func Kinds() []string {
	return []string{
		KindWithdrawal, KindDisclosure, KindReceipt, KindStandardAdopted, KindStandardMapped,
		KindAgreementProposal, KindAgreementSignature, KindAgreementSuspend, KindAgreementResume, KindAgreementEnd,
		KindQuestion, KindAnswer, KindAnswerReceipt, KindCounts, KindQuarantine, KindQuarantineEnded,
		KindFootprintFounded, KindFootprintChange, KindFootprintAgreed, KindFootprintCancelled, KindFootprintJoined, KindFootprintRecovered,
		KindFootprintPut, KindFootprintContributed, KindFootprintConfirmed, KindFootprintDisclosure, KindFootprintReceipt, KindFootprintDecided, KindFootprintDiscarded,
		KindDirectoryJoined,
	}
}
