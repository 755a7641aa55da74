package event_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestKinds: Kinds names every constant KindX of kinds.go, each text once.
func TestKinds(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "kinds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Kind") {
			for _, x := range v.Values {
				s, err := strconv.Unquote(x.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				declared = append(declared, s)
			}
		}
		return true
	})
	got := event.Kinds()
	slices.Sort(got)
	slices.Sort(declared)
	if !slices.Equal(got, declared) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("got %q\nwant %q", got, declared)
	}
}

// content is what every type of a body has.
type content interface{ Body() map[string]any }

// reads says how a body of each kind is read, by this package or by agreement.
var reads = map[string]func(map[string]any) (content, error){
	event.KindWithdrawal:           reader(event.ParseWithdrawal),
	event.KindDisclosure:           reader(event.ParseDisclosure),
	event.KindReceipt:              reader(event.ParseReceipt),
	event.KindReceiptByCall:        reader(event.ParseReceiptByCall),
	event.KindErasure:              reader(event.ParseErasure),
	event.KindErasureOrder:         reader(event.ParseErasureOrder),
	event.KindGivenUp:              reader(event.ParseGivenUp),
	event.KindRetention:            reader(event.ParseRetention),
	event.KindStandardAdopted:      reader(event.ParseStandardAdopted),
	event.KindStandardMapped:       reader(event.ParseStandardMapped),
	event.KindQuestion:             reader(event.ParseQuestion),
	event.KindAnswer:               reader(event.ParseAnswer),
	event.KindAnswerReceipt:        reader(event.ParseAnswerReceipt),
	event.KindQuarantine:           reader(event.ParseQuarantine),
	event.KindQuarantineEnded:      reader(event.ParseQuarantineEnded),
	event.KindContinued:            reader(event.ParseContinued),
	event.KindBackupMade:           reader(event.ParseBackupMade),
	event.KindBackupVerified:       reader(event.ParseBackupVerified),
	event.KindFootprintFounded:     reader(event.ParseFootprintFounded),
	event.KindFootprintChange:      reader(event.ParseFootprintChange),
	event.KindFootprintAgreed:      reader(event.ParseFootprintAgreed),
	event.KindFootprintCancelled:   reader(event.ParseFootprintCancelled),
	event.KindFootprintJoined:      reader(event.ParseFootprintJoined),
	event.KindFootprintRecovered:   reader(event.ParseFootprintRecovered),
	event.KindFootprintPut:         reader(event.ParseFootprintPut),
	event.KindFootprintContributed: reader(event.ParseFootprintContributed),
	event.KindFootprintConfirmed:   reader(event.ParseFootprintConfirmed),
	event.KindFootprintDisclosure:  reader(event.ParseFootprintDisclosure),
	event.KindFootprintReceipt:     reader(event.ParseFootprintReceipt),
	event.KindFootprintCheckpoint:  reader(event.ParseFootprintCheckpoint),
	event.KindFootprintDecided:     reader(event.ParseFootprintDecided),
	event.KindFootprintDiscarded:   reader(event.ParseFootprintDiscarded),
	event.KindFootprintErased:      reader(event.ParseFootprintErased),
	event.KindFootprintExpired:     reader(event.ParseFootprintExpired),
	event.KindDirectoryJoined:      reader(event.ParseDirectoryJoined),
	event.KindRefused:              reader(event.ParseRefused),
	event.KindOpinionsDiffer:       reader(event.ParseOpinionsDiffer),
	event.KindAgreementCheckpoint:  reader(event.ParseAgreementCheckpoint),
	event.KindPersonRead:           reader(event.ParsePersonRead),
	event.KindSealed:               reader(event.ParseSealed),
	event.KindOnward:               reader(event.ParseOnward),
	event.KindPassedOn:             reader(event.ParsePassedOn),
	event.KindOnwardGone:           reader(event.ParseOnwardGone),
	event.KindOnwardDeleted:        reader(event.ParseOnwardDeleted),
	event.KindTakenOver:            reader(event.ParseTakenOver),
	event.KindTakenEarlier:         reader(event.ParseTakenEarlier),
	event.KindHandoverSucceeded:    reader(event.ParseHandoverSucceeded),
	event.KindHandoverCarried:      reader(event.ParseHandoverCarried),
	event.KindAgreementSucceeded:   reader(event.ParseSucceeded),
	event.KindHoldingsKept:         reader(event.ParseKept),

	event.KindHandoverOffer:     reader(event.ParseHandoverOffer),
	event.KindHandoverAnswer:    reader(event.ParseHandoverAnswer),
	event.KindHandoverWithdrawn: reader(event.ParseHandoverWithdrawn),
	event.KindHandoverClosed:    reader(event.ParseHandoverClosed),
	event.KindUrgentAsked:       reader(event.ParseUrgentAsked),
	event.KindUrgentGiven:       reader(event.ParseUrgentGiven),
	event.KindUrgentDecided:     reader(event.ParseUrgentDecided),
	event.KindUrgentEnded:       reader(event.ParseUrgentEnded),
	event.KindUrgentReviewed:    reader(event.ParseUrgentReviewed),

	event.KindAgreementProposal:  anyReader(agreement.ParseProposal),
	event.KindAgreementSignature: anyReader(agreement.ParseSignature),
	event.KindAgreementSuspend:   anyReader(agreement.ParseNotice),
	event.KindAgreementResume:    anyReader(agreement.ParseNotice),
	event.KindAgreementEnd:       anyReader(agreement.ParseNotice),
	event.KindAgreementRenewal:   anyReader(agreement.ParseRenewal),
	event.KindAgreementCounter:   anyReader(agreement.ParseCounter),
	event.KindCounts:             anyReader(agreement.ParseCounts),
}

func reader[C content](parse func(map[string]any) (C, error)) func(map[string]any) (content, error) {
	return func(b map[string]any) (content, error) { return parse(b) }
}

func anyReader[C content](parse func(any) (C, error)) func(map[string]any) (content, error) {
	return func(b map[string]any) (content, error) { return parse(b) }
}

// A sample is a body with everything in it that its kind may have, or another form
// of it.
type sample struct {
	kind string
	is   content
}

func samples(t testing.TB) []sample {
	rec, other := name.RecordFrom([16]byte{1, 2, 3}), name.RecordFrom([16]byte{4})
	std, err := name.ParseStandard("standards.example/item@2.1.0")
	if err != nil {
		t.Fatal(err)
	}
	const (
		agr   = name.Agreement("northmoor.gov.uk/items")
		north = name.Council("northmoor.gov.uk")
		salt  = name.Council("saltby.gov.uk")
		fens  = name.Council("fens.example")
	)
	id, hash, inc := event.QuestionID{7, 1}, tlog.Hash{4}, strings.Repeat("a7", 13)
	lookup := event.Question{Agreement: agr, Version: 2, To: north, For: fens, ID: id, Because: "case 1", Field: "/nino"}
	count := event.Question{Agreement: agr, Version: 2, To: north, ID: id, Because: "case 1", By: []name.Field{"/district", "/ward"}}
	sums := count
	sums.Sum = []name.Field{"/amount"}
	all := event.Question{Agreement: agr, Version: 2, To: north, ID: id, Because: "", By: []name.Field{}}
	found := event.Result{Outcome: event.OutcomeFound, Records: []name.Record{rec, other}, Entries: []uint64{3, 9}, Size: 12, Root: hash}
	compared := event.Result{Outcome: event.OutcomeCompared, Size: 12, Root: hash}
	hidden, shown := lookup, lookup
	hidden.Case, hidden.Hidden = "HN/7", tlog.Hash{9}
	shown.Case, shown.After = "HN/7", event.QuestionID{8}
	subjects := event.Question{Agreement: agr, Version: 2, To: north, ID: id, Because: "access request 7", Subjects: []name.Record{rec}}
	told := event.Result{Outcome: event.OutcomeTold, Size: 12, Root: hash}
	counted := event.Result{Outcome: event.OutcomeCounted, Counts: 8, Size: 12, Root: hash}
	stopped := event.Quarantine{Council: salt, Fault: event.FaultFork, Reason: "two roots", Held: &event.Head{Size: 20, Root: hash}, Told: &event.Head{Size: 20, Root: tlog.Hash{5}}}
	ref := agreement.Ref{Agreement: agr, Version: 2, Digest: agreement.Digest{9}}
	notice := agreement.Notice{Ref: ref, Reason: "over", At: time.Unix(1_796_083_200, 0).UTC()}
	some := "some"
	caseID := event.CaseID{3, 1}
	items := []event.Item{{Agreement: agr, Version: 2, Record: rec, Entry: 7}, {Agreement: agr, Version: 2, Record: other, Entry: 9}}
	return []sample{
		{event.KindWithdrawal, event.Withdrawal{Agreement: agr, Version: 2, Record: rec, Reason: "over", Entry: 7}},
		{event.KindErasure, event.Erasure{Record: rec, Entries: []uint64{3, 9}, Reason: "asked for"}},
		{event.KindErasureOrder, event.ErasureOrder{Withdrawal: event.Withdrawal{Agreement: agr, Version: 2, Record: rec, Reason: "erased", Entry: 7}}},
		{event.KindRetention, event.Retention{Agreement: agr, Version: 2, From: north, Entries: []uint64{3, 9}, Received: []uint64{1_764_547_200, 1_764_547_201}}},
		{event.KindDisclosure, event.Disclosure{Agreement: agr, Version: 1, To: salt, Entries: []uint64{1, 5}}},
		{event.KindReceipt, &event.Receipt{Agreement: agr, From: north, Size: 9, Root: hash, Since: 2, Cursor: 9, Held: []uint64{2}, Refused: []event.RefusedEntry{{Entry: 3, Rule: "required", Pointer: "/uprn"}}, Deleted: []uint64{4}, Suspended: true, Reason: "no"}},
		{event.KindReceipt, &event.Receipt{Agreement: agr, From: north, Size: 9, Cursor: 9, Reason: "ended", All: true, DeletedAll: 3}},
		{event.KindStandardAdopted, event.StandardAdopted{Standard: std, Integrity: "sha256-x", Waived: []string{"rule"}}},
		{event.KindStandardMapped, event.StandardMapped{Standard: std, From: 1, On: true}},
		{event.KindQuestion, lookup},
		{event.KindQuestion, count},
		{event.KindQuestion, all},
		{event.KindQuestion, sums},
		{event.KindQuestion, hidden},
		{event.KindQuestion, shown},
		{event.KindQuestion, subjects},
		{event.KindAnswer, event.Answer{Question: subjects, Asked: hash, Unsaid: 3, Result: told, Told: []event.Told{
			{Record: rec, Says: event.ToldGave, At: 1_764_547_200, Agreement: agr, Version: 2, To: salt, Way: "copy", Fields: []name.Field{"/name"}, Entry: 7},
			{Record: rec, Says: event.ToldGone, To: fens, Way: "footprint", Fields: nil},
			{Record: rec, Says: event.ToldHolds, At: 1_764_547_200, Agreement: agr, Version: 2},
			{Record: rec, Says: event.ToldNot, Agreement: agr, Version: 2},
		}}},
		{event.KindAnswer, event.Answer{Question: subjects, Asked: hash, Result: told, Told: []event.Told{}}},
		{event.KindAnswerReceipt, event.AnswerReceipt{Agreement: agr, From: north, ID: id, Answer: hash, Result: told}},
		{event.KindAnswer, event.Answer{Question: hidden, Asked: hash, Compared: &event.Compared{Key: [32]byte{5}, Labels: 64, Digest: tlog.Hash{6}}, Result: compared}},
		{event.KindAnswer, event.Answer{Question: shown, Asked: hash, Result: found}},
		{event.KindAnswerReceipt, event.AnswerReceipt{Agreement: agr, From: north, ID: id, Answer: hash, Result: compared}},
		{event.KindAnswer, event.Answer{Question: lookup, Asked: hash, Footprint: fens, Result: found}},
		{event.KindAnswer, event.Answer{Question: count, Asked: hash, Result: counted}},
		{event.KindAnswer, event.Answer{Question: lookup, Asked: hash, Result: event.Result{Outcome: event.OutcomeTooMany, Size: 3, Root: hash}}},
		{event.KindAnswerReceipt, event.AnswerReceipt{Agreement: agr, From: north, For: fens, Footprint: fens, ID: id, Answer: hash, Result: found}},
		{event.KindAnswerReceipt, event.AnswerReceipt{Agreement: agr, From: north, ID: id, Answer: hash, Result: counted}},
		{event.KindQuarantine, stopped},
		{event.KindQuarantine, event.Quarantine{Council: salt, Fault: event.FaultRollback, Reason: ""}},
		{event.KindQuarantineEnded, event.QuarantineEnded{Quarantine: stopped, Because: "repaired", Follow: event.FollowTold, Begun: 4}},
		{event.KindQuarantineEnded, event.QuarantineEnded{Quarantine: stopped, Because: "lost", Follow: event.FollowHeld, Begun: 0}},
		{event.KindContinued, event.Continued{Because: "the disk is lost", Lost: &event.Head{Size: 20, Root: hash}, LostNote: "northmoor.gov.uk/stile\n20\n…\n", Witnesses: []string{"w1"}, Agreed: []name.Council{salt}, Unasked: []name.Council{fens, north}}},
		{event.KindBackupMade, event.Backup{Digest: hash, Bytes: 1 << 20, Of: event.BackupOfFolder, Size: 118, Root: hash}},
		{event.KindBackupVerified, event.Backup{Digest: hash, Bytes: 4711, Of: event.BackupOfKeys, Size: 0, Root: hash}},
		{event.KindContinued, event.Continued{Because: "", Unasked: []name.Council{north}}},
		{event.KindFootprintFounded, event.FootprintFounded{Footprint: fens, Member: "council: x", Incarnation: inc}},
		{event.KindFootprintChange, event.FootprintChange{Footprint: fens, Number: 12, Change: event.ChangeAdmit, Council: salt, Member: "council: x"}},
		{event.KindFootprintChange, event.FootprintChange{Footprint: fens, Number: 1, Change: event.ChangeRemove, Council: salt}},
		{event.KindFootprintAgreed, event.FootprintAgreed{Footprint: fens, Entry: hash}},
		{event.KindFootprintCancelled, event.FootprintCancelled{Footprint: fens, Entry: hash}},
		{event.KindFootprintJoined, event.FootprintJoined{Footprint: fens, Incarnation: inc, Speaks: 2}},
		{event.KindFootprintRecovered, event.FootprintRecovered{Footprint: fens, Lost: []name.Council{north, salt}, Because: "a fire", Incarnation: inc}},
		{event.KindFootprintRecovered, event.FootprintRecovered{Footprint: fens, Because: "a fire", Incarnation: inc}},
		{event.KindFootprintPut, event.FootprintPut{Footprint: fens, Entries: []uint64{4}}},
		{event.KindFootprintContributed, event.FootprintContributed{
			Agreement: agr, Version: 2, Footprint: fens, Position: 5, Since: 1, Cursor: 9, Held: []uint64{3}, HeldAt: []uint64{7},
			Withdrawn: []uint64{4}, WithdrawnAt: []uint64{8}, Refused: []event.RefusedEntry{{Entry: 6, Rule: "standard"}}, Outside: true,
		}},
		{event.KindFootprintConfirmed, event.FootprintConfirmed{
			Agreement: agr, Footprint: fens, Members: []name.Council{north}, Last: 4, Held: []uint64{3}, HeldAt: []uint64{7},
			Withdrawn: []uint64{4}, WithdrawnAt: []uint64{8}, Checkpoints: []event.Cosigned{{Note: "note", HeldProof: []tlog.Hash{{1}}, WithdrawnProof: []tlog.Hash{{2}}}, {Note: "note"}},
		}},
		{event.KindFootprintDisclosure, event.FootprintDisclosure{Footprint: fens, Disclosure: event.Disclosure{Agreement: agr, Version: 1, To: salt, Entries: []uint64{1}}}},
		{event.KindFootprintReceipt, event.FootprintReceipt{Footprint: fens, Agreement: agr, From: salt, Receipt: []byte("a.b.c")}},
		{event.KindFootprintDecided, event.FootprintDecided{Footprint: fens, Kind: event.KindAgreementEnd, Statement: map[string]any{"reason": "over"}, Entry: 3}},
		{event.KindReceiptByCall, event.ReceiptByCall{Agreement: "northmoor.gov.uk/people", Version: 1, Receiver: "wold.example", Key: "k7n2wq4c", Since: 2, Cursor: 9, Held: 2}},
		{event.KindReceiptByCall, event.ReceiptByCall{Agreement: "northmoor.gov.uk/people", Version: 1, Receiver: "wold.example", Cursor: 9, Suspended: true}},
		{event.KindReceiptByCall, event.ReceiptByCall{Agreement: "northmoor.gov.uk/people", Version: 1, Receiver: "wold.example", Key: "k7n2wq4c", Cursor: 9, All: true}},
		{event.KindGivenUp, event.GivenUp{Agreement: "northmoor.gov.uk/people", Council: "saltby.gov.uk", Held: 20, Outstanding: 3, Reason: "its node was destroyed"}},
		{event.KindFootprintDiscarded, event.FootprintDiscarded{Footprint: fens, Entries: 3}},
		{event.KindFootprintExpired, event.FootprintExpired{Footprint: fens, Agreement: agr, Version: 2, Entries: []uint64{3, 9}}},
		{event.KindFootprintErased, event.FootprintErased{Footprint: fens, Orders: []uint64{3, 9}}},
		{event.KindRefused, event.Refused{By: "saltby.gov.uk", What: event.RefusedQuestion, Rule: "too-often", Agreement: "northmoor.gov.uk/people", Hour: 495_000, Times: 12}},
		{event.KindOpinionsDiffer, event.OpinionsDiffer{Agreement: "northmoor.gov.uk/people", Version: 2, To: "saltby.gov.uk", Entry: 17, Rule: "the rows do not pick the record"}},
		{event.KindRefused, event.Refused{By: "saltby.gov.uk", What: event.RefusedCopy, Rule: "not-agreed", Hour: 495_000, Times: 1}},
		{event.KindDirectoryJoined, event.DirectoryJoined{Root: [32]byte{1}, RootVersion: 3, Left: [32]byte{2}}},

		{event.KindAgreementCheckpoint, event.AgreementCheckpoint{Agreement: agr, Version: 2, To: salt, Size: 9, Count: 3, Root: hash}},
		{event.KindFootprintCheckpoint, event.FootprintCheckpoint{Footprint: fens, Signers: 2, AgreementCheckpoint: event.AgreementCheckpoint{Agreement: agr, Version: 2, To: salt, Size: 9, Count: 3, Root: hash}}},
		{event.KindOnward, event.Onward{Agreement: "saltby.gov.uk/on", Version: 2, Origin: agr, Texts: []string{"a.b.c", "d.e.f"}}},
		{event.KindPassedOn, event.PassedOn{Agreement: "saltby.gov.uk/on", Version: 2, Chain: 4, Origin: agr, Entry: 7, Record: rec, RecordVersion: 3, Hash: hash, Before: []string{"a.b.c"}}},
		{event.KindOnwardGone, event.OnwardGone{Agreement: agr, Version: 2, To: salt, Under: "saltby.gov.uk/on", Versions: []event.GoneVersion{{Record: rec, Hash: hash, Since: 9, Known: true}, {Record: other, Hash: hash, Since: 8}}}},
		{event.KindOnwardGone, event.OnwardGone{Agreement: agr, Version: 2, To: salt, Under: "saltby.gov.uk/on", Over: event.OverEnded, Since: 9, Known: true}},
		{event.KindOnwardDeleted, event.OnwardDeleted{Agreement: agr, Under: "saltby.gov.uk/on", From: salt, Word: "a.b.c", Entries: []uint64{3, 9}, Known: 1}},
		{event.KindPersonRead, event.PersonRead{Person: "Jo Smith", What: "record", Of: inc, Purpose: "a case"}},
		{event.KindSealed, event.Sealed{On: "2027-04-01", Plan: "{}", Successors: []event.Successor{{Council: fens, KeyID: "k7", Records: 2, Entries: event.EntriesDigest([]uint64{3, 9})}, {Council: salt, KeyID: "k8", Entries: hash}}}},
		{event.KindTakenOver, event.TakenOver{From: north, Size: 10, Root: hash, Of: []name.Record{rec, other}, Versions: []uint64{1, 4}, Entries: []uint64{3, 9}, Records: []name.Record{other, rec}, At: []uint64{5, 6}}},
		{event.KindTakenEarlier, event.TakenEarlier{From: north, Size: 10, Root: hash, By: salt, Said: 7, Of: []name.Record{rec, other}, Versions: []uint64{1, 4}, Entries: []uint64{3, 9}, Through: []name.Record{other, rec}, Records: []name.Record{rec, other}}},
		{event.KindHandoverSucceeded, event.HandoverSucceeded{
			CarriedCase: event.CarriedCase{Case: event.CaseID{7}, Partner: salt, Sends: true, State: event.CarriedOffered, Ref: "CP-7", Notice: "2027-03-29", Due: "2027-04-20"},
			To:          []event.CarriedTo{{Council: north, Records: []name.Record{rec}}, {Council: salt}},
		}},
		{event.KindHandoverCarried, event.HandoverCarried{
			CarriedCase: event.CarriedCase{Case: event.CaseID{7}, Partner: salt, State: event.CarriedClosed, Ref: "CP-7", Notice: "2027-03-29"},
			From:        north, Entry: 9, Records: []name.Record{rec, other}, Others: []name.Council{fens},
		}},
		{event.KindAgreementSucceeded, event.Succeeded{Agreement: "northmoor.gov.uk/people", Version: 2, On: "2027-04-01", End: 9, To: []name.Council{fens, salt}}},
		{event.KindAgreementSucceeded, event.Succeeded{Agreement: "northmoor.gov.uk/people", Version: 1, On: "2027-04-01"}},
		{event.KindHoldingsKept, event.Kept{Agreement: "northmoor.gov.uk/people", Version: 2, From: north, Cursor: 9, Records: 3, Entries: hash, Until: "2027-05-01", Under: []event.GoesOn{{Council: fens, Agreement: "fens.gov.uk/people", Version: 1}}}},

		{event.KindHandoverOffer, event.HandoverOffer{Case: caseID, To: salt, Ref: "CP-7", Because: "moved", By: "Jo Smith", Notice: "2026-12-01", Due: "2026-12-22", Items: items}},
		{event.KindHandoverAnswer, event.HandoverAnswer{Case: caseID, From: north, Offer: hash, Accepted: true, Taken: []uint64{0, 1}, By: "Sam Hill"}},
		{event.KindHandoverAnswer, event.HandoverAnswer{Case: caseID, From: north, Offer: hash, Because: "lives elsewhere"}},
		{event.KindHandoverWithdrawn, event.HandoverWithdrawn{Case: caseID, To: salt, Because: "stays", By: "Jo Smith"}},
		{event.KindHandoverClosed, event.HandoverClosed{Case: caseID, To: salt, Answer: hash, Passed: items[:1], Left: items[1:]}},
		{event.KindUrgentAsked, event.UrgentAsked{Case: caseID, To: north, Ref: "2026/77", Because: "in hospital", By: "Sam Hill"}},
		{event.KindUrgentGiven, event.UrgentGiven{Case: caseID, To: salt, Ref: "2026/77", Because: "in hospital", By: "Jo Smith", Items: items}},
		{event.KindUrgentDecided, event.UrgentDecided{Case: caseID, To: salt, Ref: "2026/77", Because: "in hospital", By: "Ann Lee", GivenBy: "Jo Smith", Approved: true, Until: 1_796_083_200, Items: items}},
		{event.KindUrgentDecided, event.UrgentDecided{Case: caseID, To: salt, Because: "no danger", By: "Ann Lee"}},
		{event.KindUrgentEnded, event.UrgentEnded{Case: caseID, To: salt, Because: "its time is over", Items: items}},
		{event.KindUrgentReviewed, event.UrgentReviewed{Case: caseID, Partner: salt, Because: "it was right", By: "Ann Lee"}},

		{event.KindAgreementProposal, agreement.Proposal{Agreement: document(t)}},
		{event.KindAgreementSignature, agreement.Signature{Ref: ref}},
		{event.KindAgreementSignature, agreement.Signature{Ref: ref, By: "Jo Smith"}},
		{event.KindAgreementEnd, agreement.Notice{Ref: ref, Reason: "over", At: time.Unix(1_796_083_200, 0).UTC(), By: "p-abc"}},
		{event.KindAgreementSuspend, notice},
		{event.KindAgreementResume, notice},
		{event.KindAgreementRenewal, agreement.Renewal{Ref: ref, Review: "2028-12-01", By: "Jo Smith"}},
		{event.KindAgreementEnd, notice},
		{event.KindAgreementCounter, counter(t)},
		{event.KindCounts, agreement.Counts{
			Agreement: agr, Version: 2, Day: "2026-11-22", By: []name.Field{"/district"}, Threshold: 10, Rounded: 5, Total: 15,
			Groups: []agreement.Group{{Of: []*string{&some}, Count: 15}},
		}},
		{event.KindCounts, agreement.Counts{
			Agreement: agr, Version: 2, Day: "2026-11-23", By: []name.Field{"/district"}, Sums: []name.Field{"/amount"}, Threshold: 10, Rounded: 5, Total: 15,
			Groups: []agreement.Group{{Of: []*string{&some}, Count: 15, Sums: []*int64{nil}}}, Budget: agreement.Budget{Spent: 1, Of: 150},
		}},
	}
}

// counter answers the example document with the next version of it.
func counter(t testing.TB) agreement.Counter {
	t.Helper()
	next := *document(t)
	next.Version++
	return agreement.Counter{Ref: document(t).Ref(), Agreement: &next, By: "Jo Smith"}
}

// decode returns a body as the strict reader has it.
func decode(t testing.TB, body map[string]any) map[string]any {
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.Limits{Bytes: 1 << 20, Depth: 16})
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// TestRoundTrip: every kind is read, and what Body writes Parse reads as it was.
func TestRoundTrip(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range samples(t) {
		seen[s.kind] = true
		got, err := reads[s.kind](decode(t, s.is.Body()))
		if err != nil {
			t.Errorf("%s: %v", s.kind, err)
			continue
		}
		if p, ok := got.(agreement.Proposal); ok {
			if p.Agreement.Ref() != s.is.(agreement.Proposal).Agreement.Ref() {
				t.Errorf("%s: another document", s.kind)
			}
		} else if !reflect.DeepEqual(got, s.is) {
			t.Errorf("%s:\n got %+v\nwant %+v", s.kind, got, s.is)
		}
	}
	for _, k := range event.Kinds() {
		if !seen[k] || reads[k] == nil {
			t.Errorf("%s has no sample or is not read here", k)
		}
	}
}

// TestStrict: a body with one thing changed at any depth is refused, with an error
// that names the place and not the value, or it says something else.
func TestStrict(t *testing.T) {
	const canary = "Ann Canary"
	for _, s := range samples(t) {
		was := strictjson.Canonical(s.is.Body())
		check := func(what, place string, body map[string]any) {
			t.Helper()
			got, err := reads[s.kind](body)
			if err == nil {
				if b := strictjson.Canonical(got.Body()); bytes.Equal(b, was) || !bytes.Equal(b, strictjson.Canonical(body)) {
					t.Errorf("%s: %s of %s passes without a word", s.kind, what, place)
				}
				return
			}
			if ours := errors.Is(err, event.ErrBody); ours && !strings.Contains(err.Error(), s.kind+": /") {
				t.Errorf("%s: %s of %s: error names no place: %v", s.kind, what, place, err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("%s: %s of %s: error holds a value: %v", s.kind, what, place, err)
			}
		}
		for place := range spots(decode(t, s.is.Body()), "") {
			if strings.HasPrefix(place, "/document/") || strings.HasPrefix(place, "/statement/") {
				continue // of package agreement, which has its own tests
			}
			for what, change := range map[string]func(m map[string]any, k string){
				"the lack":   func(m map[string]any, k string) { delete(m, k) },
				"a text":     func(m map[string]any, k string) { m[k] = canary },
				"a null":     func(m map[string]any, k string) { m[k] = nil },
				"a truth":    func(m map[string]any, k string) { m[k] = m[k] != true },
				"a number":   func(m map[string]any, k string) { m[k] = event.Number(uint64(1 << 53)) },
				"an array":   func(m map[string]any, k string) { m[k] = []any{canary} },
				"an object":  func(m map[string]any, k string) { m[k] = map[string]any{canary: canary} },
				"a neighbor": func(m map[string]any, k string) { m[canary] = canary },
			} {
				body := decode(t, s.is.Body())
				m, k := at(body, place)
				change(m, k)
				check(what, place, body)
			}
		}
	}
}

// spots returns the pointers of all members of objects.
func spots(v any, place string) map[string]bool {
	out := map[string]bool{}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			out[place+"/"+k] = true
			for p := range spots(e, place+"/"+k) {
				out[p] = true
			}
		}
	case []any:
		for i, e := range v {
			for p := range spots(e, place+"/"+strconv.Itoa(i)) {
				out[p] = true
			}
		}
	}
	return out
}

// at returns the object that holds a member, and its name.
func at(body map[string]any, place string) (map[string]any, string) {
	parts := strings.Split(place[1:], "/")
	var v any = body
	for _, p := range parts[:len(parts)-1] {
		if list, ok := v.([]any); ok {
			i, _ := strconv.Atoi(p)
			v = list[i]
		} else {
			v = v.(map[string]any)[p]
		}
	}
	return v.(map[string]any), parts[len(parts)-1]
}

// TestBounds: what is too long or too many is refused, and Body cuts words, so that
// whatever is written can be read.
func TestBounds(t *testing.T) {
	long := strings.Repeat("ä", event.MaxText)
	w := samples(t)[0].is.(event.Withdrawal)
	w.Reason = long
	got, err := event.ParseWithdrawal(decode(t, w.Body()))
	if err != nil || len(got.Reason) > event.MaxText || !strings.HasPrefix(long, got.Reason) || len(got.Reason) < event.MaxText-4 {
		t.Errorf("a long reason: %d bytes, %v", len(got.Reason), err)
	}
	for _, c := range []struct {
		kind, member string
		value        any
	}{
		{event.KindWithdrawal, "reason", long},
		{event.KindWithdrawal, "version", event.Number(event.MaxVersion + 1)},
		{event.KindQuestion, "because", strings.Repeat("x", event.MaxBecause+1)},
		{event.KindAnswer, "records", make([]any, event.MaxFound+1)},
		{event.KindStandardAdopted, "integrity", strings.Repeat("x", 101)},
		{event.KindStandardMapped, "from", event.Number(uint64(1 << 31))},
		{event.KindFootprintConfirmed, "members", make([]any, event.MaxMembers+1)},
		{event.KindFootprintConfirmed, "checkpoints", make([]any, event.MaxCosigned+1)},
		{event.KindFootprintConfirmed, "checkpoints", []any{}},
		{event.KindFootprintReceipt, "receipt", strings.Repeat("x", event.MaxSigned+1)},
		{event.KindFootprintRecovered, "because", ""},
		{event.KindFootprintRecovered, "lost", "saltby.gov.uk northmoor.gov.uk"},
		{event.KindFootprintChange, "number", "0"},
		{event.KindFootprintChange, "number", "012"},
		{event.KindFootprintDecided, "kind", event.KindReceipt},
		{event.KindUrgentDecided, "until", event.Number(uint64(event.MaxSeconds + 1))}, // no JSON can say when that is
	} {
		i := slices.IndexFunc(samples(t), func(s sample) bool { return s.kind == c.kind })
		body := decode(t, samples(t)[i].is.Body())
		body[c.member] = c.value
		if _, err := reads[c.kind](body); !errors.Is(err, event.ErrBody) || !strings.Contains(err.Error(), "/"+c.member) {
			t.Errorf("%s with another %s: %v", c.kind, c.member, err)
		}
	}
}

// FuzzBodies reads any body as any kind: nothing panics, and what is accepted is
// written as the bytes it was read from.
func FuzzBodies(f *testing.F) {
	kinds := event.Kinds()
	for _, s := range samples(f) {
		f.Add(byte(slices.Index(kinds, s.kind)), strictjson.Canonical(s.is.Body()))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 1 << 16, Depth: 16})
		body, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		k := kinds[int(kind)%len(kinds)]
		c, err := reads[k](body)
		if err != nil {
			return
		}
		if got, want := strictjson.Canonical(c.Body()), strictjson.Canonical(body); !bytes.Equal(got, want) {
			t.Errorf("%s\n  reads %s\n writes %s", k, want, got)
		}
	})
}

// document returns a text of an agreement.
func document(t testing.TB) *agreement.Agreement {
	b, err := os.ReadFile("../agreement/testdata/people-moving-to-saltby.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a, err := agreement.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
