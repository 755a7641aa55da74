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
	Withdrawal = "withdrawal"       // see [Withdrawn]
	Disclosure = "disclosure"       // see [Disclosed]
	Receipt    = "receipt"          // see [Received]
	Adopted    = "standard-adopted" // see [Adoption]
	// Mapped says that records of a standard are made by the mapping it ships, from
	// those of an older major, or no longer: standard, from (the major), on.
	Mapped = "standard-mapped"

	// Agreements; the bodies are those of package agreement.
	AgreementProposal  = "agreement"
	AgreementSignature = "agreement-signature"
	AgreementSuspend   = "agreement-suspend"
	AgreementResume    = "agreement-resume"
	AgreementEnd       = "agreement-end"

	// Questions; none ever holds the value that was asked by. See package ledger.
	Question = "question"
	Answer   = "answer"
	Answered = "answer-receipt"
	Counts   = "counts" // see package agreement

	// The log of another council; see package ledger.
	Quarantine      = "log-quarantine"
	QuarantineEnded = "log-quarantine-ended"

	// The members of a footprint, in its own ledger; see package footprint.
	FootprintFounded   = "footprint-founded"
	FootprintChange    = "footprint-change"
	FootprintAgreed    = "footprint-agreed"
	FootprintCancelled = "footprint-cancelled"
	FootprintJoined    = "footprint-joined"
	FootprintRecovered = "footprint-recovered"

	// What a council's own ledger says of a footprint.
	FootprintPut         = "footprint-put"         // footprint, entries (log indexes)
	FootprintContributed = "footprint-contributed" // see package peersync
	FootprintConfirmed   = "footprint-confirmed"   // see package peersync
	FootprintDisclosure  = "footprint-disclosure"  // see [Disclosed]
	FootprintReceipt     = "footprint-receipt"     // footprint, agreement, from, receipt (a partner's signed event)
	FootprintDecided     = "footprint-decided"     // footprint, kind, said (the body), entry (in the footprint's log)
	FootprintDiscarded   = "footprint-discarded"   // footprint, entries (how many)

	// DirectoryJoined says which directory is followed from here on: root (hex
	// SHA-256), root_version, left (that of the one before).
	DirectoryJoined = "directory-joined"
)

// Kinds returns every kind.
func Kinds() []string {
	return []string{
		Withdrawal, Disclosure, Receipt, Adopted, Mapped,
		AgreementProposal, AgreementSignature, AgreementSuspend, AgreementResume, AgreementEnd,
		Question, Answer, Answered, Counts, Quarantine, QuarantineEnded,
		FootprintFounded, FootprintChange, FootprintAgreed, FootprintCancelled, FootprintJoined, FootprintRecovered,
		FootprintPut, FootprintContributed, FootprintConfirmed, FootprintDisclosure, FootprintReceipt, FootprintDecided, FootprintDiscarded,
		DirectoryJoined,
	}
}
