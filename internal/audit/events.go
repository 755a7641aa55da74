package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const unread = "" // the kind of an event that is not believed

// unaudited are the kinds of events that a bundle holds and nothing is made of but
// their signature and their place in the log, each with the reason. Every other
// kind of package event is read, and judged.
var unaudited = map[string]string{
	event.KindStandardMapped:  "what a mapping made is a record, and judged as one",
	event.KindQuestion:        "the answer names it by its entry; what was asked is for the council that answers to show",
	event.KindCounts:          "the counts went in answers, which are judged; that they were counted right only the records show",
	event.KindQuarantine:      "it is about the log of another council, and carries its own evidence",
	event.KindQuarantineEnded: "a person's decision about another council's log",

	event.KindFootprintFounded:   "it stands in a footprint's log, which is no council's own",
	event.KindFootprintChange:    "it stands in a footprint's log",
	event.KindFootprintAgreed:    "it stands in a footprint's log",
	event.KindFootprintCancelled: "it stands in a footprint's log",
	event.KindFootprintJoined:    "it stands in a footprint's log",
	event.KindFootprintRecovered: "it stands in a footprint's log",

	event.KindReceiptByCall:        "the sender's own word for what a receiver without a node said by a call, which proves neither that it has anything nor that it deleted it",
	event.KindGivenUp:              "a person's decision to wait for a receipt no longer, which proves no deletion",
	event.KindFootprintPut:         "open fields alone, which need no agreement",
	event.KindFootprintContributed: "one member's word; what the members cosigned is in the receipt that follows",
	event.KindFootprintReceipt:     "a partner's receipt for entries of a footprint's log, which a council's bundle does not hold",
	event.KindFootprintDecided:     "the members' own signatures count, and are judged",
	event.KindFootprintDiscarded:   "a replica was deleted, which nothing here can show",
	event.KindFootprintExpired:     "the council's word as one member of a footprint; it counts when a majority says it in the footprint's log",
	event.KindFootprintErased:      "the council's own word that a withdrawal was carried out in its replica, which a bundle does not hold",
	event.KindRefused:              "nothing left",
	event.KindOpinionsDiffer:       "nothing left",
	event.KindBackupMade:           "the file is encrypted and kept by the council; its digest is there to hold it against",
	event.KindBackupVerified:       "the council's word that it read the backup whole",
	event.KindPersonRead:           "the council's own word about its own staff",
	event.KindDirectoryJoined:      "the directory is what the auditor was given to trust",
}

// said is what an event says, as far as it matters here.
type claimed struct {
	index    uint64 // in the council's own log
	line     int    // or in the file of another's events, from 1
	by       name.Council
	kind     string
	issuedAt int64

	agreement name.Agreement
	version   uint64
	to        name.Council // disclosure, agreement-checkpoint, onward-gone
	from      name.Council // receipt; footprint-checkpoint: the footprint
	signers   uint64       // footprint-checkpoint
	record    name.Record  // withdrawal, erasure
	entry     uint64       // withdrawal; agreement-checkpoint: how many records; onward-gone: how many versions
	entries   []uint64     // disclosure; receipt: held; erasure
	deleted   []uint64     // receipt, onward-deleted
	refused   []uint64     // receipt
	all       bool         // receipt: everything was deleted; onward-gone: everything has to be
	erases    bool         // withdrawal: it orders an erasure
	size      uint64       // receipt, agreement-checkpoint
	root      tlog.Hash    // of the log, in a receipt, zero when it names none; of the records, in an agreement-checkpoint
	standard  name.Standard
	integrity string
	ref       agreement.Ref            // of an event about an agreement
	notice    agreement.Notice         // agreement-suspend, -resume, -end
	review    agreement.Date           // agreement-renewal
	lost      *part                    // log-continued
	sealed    *event.Sealed            // council-sealed
	goesOn    *event.Succeeded         // agreement-succeeded
	keeps     *event.Kept              // holdings-kept
	taken     *event.TakenOver         // taken-over
	earlier   *event.TakenEarlier      // taken-over-earlier
	left      *event.HandoverSucceeded // handover-succeeded
	word      *caseWord                // of a case
	person    string                   // agreement-signature: who had the council sign; "" where nobody is named
	texts     []string                 // onward: what the parties of earlier agreements signed; onward-deleted: by whose word
	chain     uint64                   // passed-on: the onward that proves that it may go
	hash      tlog.Hash                // the entry

	// of a footprint's receipt, see confirmed.go: to is the footprint, entries what
	// it holds and deleted the withdrawals it took
	heldAt, deletedAt []uint64 // in the footprint's log
	receivedAt        []uint64 // retention: when each of entries came, Unix seconds
	covers            []event.Cosigned
}

var errBody = event.ErrBody

// readSaid reads an event's body. An error names the member that is wrong. What
// it returns holds on to no part of the event, which may be large.
func readSaid(ev *record.Event) (s claimed, err error) {
	s = claimed{by: name.Council(strings.Clone(string(ev.Council))), kind: strings.Clone(ev.Kind), issuedAt: ev.IssuedAt}
	switch ev.Kind {
	case event.KindWithdrawal, event.KindErasureOrder:
		w, err := event.ParseTakenBack(ev.Kind, ev.Body)
		s.kind, s.erases = event.KindWithdrawal, ev.Kind == event.KindErasureOrder // which is one, and more
		s.under(w.Agreement)
		s.version, s.record, s.entry = w.Version, name.Record(strings.Clone(string(w.Record))), w.Entry
		return s, err
	case event.KindRetention:
		r, err := event.ParseRetention(ev.Body)
		s.under(r.Agreement)
		s.version, s.from, s.entries = r.Version, name.Council(strings.Clone(string(r.From))), r.Entries
		s.receivedAt = r.Received
		return s, err
	case event.KindOnward:
		o, err := event.ParseOnward(ev.Body)
		s.under(o.Agreement)
		s.version = o.Version
		for _, text := range o.Texts {
			s.texts = append(s.texts, strings.Clone(text))
		}
		return s, err
	case event.KindPassedOn:
		p, err := event.ParsePassedOn(ev.Body)
		s.under(p.Agreement)
		s.version, s.record, s.chain = p.Version, name.Record(strings.Clone(string(p.Record))), p.Chain
		return s, err
	case event.KindOnwardGone:
		o, err := event.ParseOnwardGone(ev.Body)
		s.under(o.Agreement)
		s.version, s.to, s.entry, s.all = o.Version, name.Council(strings.Clone(string(o.To))), uint64(len(o.Versions)), o.Over != ""
		return s, err
	case event.KindOnwardDeleted:
		o, err := event.ParseOnwardDeleted(ev.Body)
		s.under(o.Agreement)
		s.from, s.deleted, s.texts = name.Council(strings.Clone(string(o.From))), o.Entries, []string{strings.Clone(o.Word)}
		return s, err
	case event.KindAgreementSucceeded:
		w, err := event.ParseSucceeded(ev.Body)
		s.under(w.Agreement)
		w.Agreement, w.On, w.To = s.agreement, strings.Clone(w.On), cloned(w.To)
		s.version, s.goesOn = w.Version, &w
		return s, err
	case event.KindHoldingsKept:
		k, err := event.ParseKept(ev.Body)
		s.under(k.Agreement)
		k.Agreement, k.From, k.Until = s.agreement, name.Council(strings.Clone(string(k.From))), strings.Clone(k.Until)
		for i, g := range k.Under {
			k.Under[i].Agreement, k.Under[i].Council = name.Agreement(strings.Clone(string(g.Agreement))), name.Council(strings.Clone(string(g.Council)))
		}
		s.version, s.from, s.keeps = k.Version, k.From, &k
		return s, err
	case event.KindErasure:
		e, err := event.ParseErasure(ev.Body)
		s.record, s.entries = name.Record(strings.Clone(string(e.Record))), e.Entries
		return s, err
	case event.KindDisclosure:
		d, err := event.ParseDisclosure(ev.Body)
		s.disclosed(d)
		return s, err
	case event.KindFootprintDisclosure:
		// Its entries are of a footprint's log, so they are not compared with ours.
		_, err := event.ParseFootprintDisclosure(ev.Body)
		return s, err
	case event.KindAgreementCheckpoint:
		c, err := event.ParseAgreementCheckpoint(ev.Body)
		s.under(c.Agreement)
		s.version, s.to, s.size, s.entry, s.root = c.Version, name.Council(strings.Clone(string(c.To))), c.Size, c.Count, c.Root
		return s, err
	case event.KindFootprintCheckpoint:
		c, err := event.ParseFootprintCheckpoint(ev.Body)
		s.under(c.Agreement)
		s.from, s.signers = name.Council(strings.Clone(string(c.Footprint))), c.Signers
		s.version, s.to, s.size, s.entry, s.root = c.Version, name.Council(strings.Clone(string(c.To))), c.Size, c.Count, c.Root
		return s, err
	case event.KindReceipt:
		r, err := event.ParseReceipt(ev.Body)
		s.under(r.Agreement)
		s.from, s.size, s.root, s.all = name.Council(strings.Clone(string(r.From))), r.Size, r.Root, r.All
		s.entries, s.deleted, s.refused = r.Held, r.Deleted, r.RefusedIndexes()
		return s, err
	case event.KindAnswer:
		return s, s.answer(ev)
	case event.KindAnswerReceipt:
		return s, s.answerReceipt(ev)
	case event.KindFootprintConfirmed:
		return s, s.confirmed(ev)
	case event.KindContinued:
		return s, s.continued(ev)
	case event.KindSealed:
		return s, s.sealing(ev)
	case event.KindTakenOver:
		return s, s.takes(ev)
	case event.KindTakenEarlier:
		return s, s.takesEarlier(ev)
	case event.KindHandoverSucceeded:
		return s, s.leavesCase(ev)
	case event.KindHandoverCarried:
		_, err := event.ParseHandoverCarried(ev.Body)
		return s, err
	case event.KindStandardAdopted:
		a, err := event.ParseStandardAdopted(ev.Body)
		s.standard, s.integrity = a.Standard, strings.Clone(a.Integrity)
		return s, err
	case event.KindHandoverOffer, event.KindHandoverAnswer, event.KindHandoverWithdrawn, event.KindHandoverClosed,
		event.KindUrgentAsked, event.KindUrgentGiven, event.KindUrgentDecided, event.KindUrgentEnded, event.KindUrgentReviewed:
		return s, s.inCase(ev)
	case event.KindAgreementProposal:
		p, err := agreement.ParseProposal(ev.Body)
		if err != nil {
			return s, fmt.Errorf("%w: document of a %s", errBody, ev.Kind)
		}
		s.refer(p.Agreement.Ref())
		return s, nil
	case event.KindAgreementSignature:
		sig, err := agreement.ParseSignature(ev.Body)
		s.refer(sig.Ref)
		s.person = strings.Clone(sig.By)
		return s, err
	case event.KindAgreementSuspend, event.KindAgreementResume, event.KindAgreementEnd:
		s.notice, err = agreement.ParseNotice(ev.Body)
		s.notice.Reason = strings.Clone(s.notice.Reason)
		s.refer(s.notice.Ref)
		s.notice.Ref = s.ref
		return s, err
	case event.KindAgreementRenewal:
		r, err := agreement.ParseRenewal(ev.Body)
		s.review = agreement.Date(strings.Clone(string(r.Review)))
		s.refer(r.Ref)
		return s, err
	case event.KindAgreementCounter:
		c, err := agreement.ParseCounter(ev.Body)
		s.refer(c.Ref)
		return s, err // it binds nobody
	}
	return s, nil // unaudited, or of a later version
}

func cloned(cs []name.Council) []name.Council {
	out := make([]name.Council, len(cs))
	for i, c := range cs {
		out[i] = name.Council(strings.Clone(string(c)))
	}
	return out
}

func (s *claimed) under(a name.Agreement) { s.agreement = name.Agreement(strings.Clone(string(a))) }

func (s *claimed) disclosed(d event.Disclosure) {
	s.under(d.Agreement)
	s.version, s.to, s.entries = d.Version, name.Council(strings.Clone(string(d.To))), d.Entries
}

// answer reads an answer as the disclosure that it is.
func (s *claimed) answer(ev *record.Event) error {
	a, err := event.ParseAnswer(ev.Body)
	if err != nil || a.Footprint != "" {
		return err // of a footprint's answer the entries are of another log
	}
	s.kind = event.KindDisclosure
	s.disclosed(event.Disclosure{Agreement: a.Agreement, Version: a.Version, To: a.To, Entries: a.Entries})
	return nil
}

// answerReceipt reads an asker's receipt as one for what it was shown.
func (s *claimed) answerReceipt(ev *record.Event) error {
	a, err := event.ParseAnswerReceipt(ev.Body)
	if err != nil || a.Footprint != "" || a.For != "" {
		return err // its entries are of another log, or it was asked for one that is itself no receiver
	}
	s.kind = event.KindReceipt
	s.under(a.Agreement)
	s.from, s.size, s.root, s.entries = name.Council(strings.Clone(string(a.From))), a.Size, a.Root, a.Entries
	return nil
}

func (s *claimed) refer(r agreement.Ref) {
	r.Agreement = name.Agreement(strings.Clone(string(r.Agreement)))
	s.ref, s.agreement, s.version = r, r.Agreement, uint64(r.Version)
}

// listed counts the log indexes that s keeps.
func (s *claimed) listed() int {
	return len(s.entries) + len(s.deleted) + len(s.refused) + len(s.heldAt) + len(s.deletedAt) + len(s.receivedAt) + s.word.weight()
}

// checkOf says under which check the signature of another council's event is
// reported.
func checkOf(kind string) string {
	switch kind {
	case event.KindReceipt, event.KindAnswerReceipt, event.KindRetention:
		return CheckReceipts
	case event.KindAgreementSignature:
		return CheckAgreementSignatures
	}
	return CheckEventSignatures
}

// maxLine is the longest line of an events file that is read.
const maxLine = record.MaxToken + 64

// readEvents verifies what other councils said, a file and a line at a time.
func (v *verifier) readEvents() {
	for _, f := range v.contents.events {
		if f.id == v.council {
			v.on(CheckContents).fail(f.file.Name, "holds events of the council itself, which belong into its log", "")
			continue
		}
		r, err := f.file.Open()
		if err != nil {
			v.on(CheckContents).fail(f.file.Name, "is damaged", "")
			continue
		}
		in := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			line, err := readLine(in)
			if err == io.EOF && len(line) == 0 {
				break
			}
			if err != nil {
				v.on(CheckContents).fail(place(f.file.Name, n), "is damaged, cut off or too long", "")
				break
			}
			v.counts.Events++
			v.readForeign(f.id, place(f.file.Name, n), n, line)
		}
		r.Close()
	}
}

// readLine returns a line with its line feed. It holds at most maxLine bytes.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, bufio.ErrTooLong
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

func (v *verifier) readForeign(by name.Council, at string, n int, line []byte) {
	b, ok := cutEvent(line)
	if !ok {
		v.on(CheckContents).fail(at, "is not "+eventStart+"…"+lineEnd[:2], "")
		return
	}
	t, ev, err := record.ParseEvent(bytes.Clone(b))
	if err != nil {
		r := refusal(err)
		v.on(CheckTokens).fail(at, r.Error(), "")
		return
	}
	if ev.Council != by {
		v.on(CheckTokens).fail(at, "is an event of another council", "")
		return
	}
	v.on(CheckTokens).pass(1)
	// Where it stands in the log of its council the file does not say.
	key, rule := v.ring.record(by, t.KeyID(), directory.AnyPlace)
	if rule == "" && t.Verify(key) != nil {
		rule = ruleNoSuchSign
	}
	if rule != "" {
		v.on(checkOf(ev.Kind)).fail(at, rule, "")
		return
	}
	v.used[Key{by, UseRecord, t.KeyID()}] = true
	if checkOf(ev.Kind) == CheckEventSignatures {
		v.on(CheckEventSignatures).pass(1)
	}
	s, err := readSaid(ev)
	if err != nil {
		v.on(CheckTokens).fail(at, err.Error(), "")
		return
	}
	if !v.keep(&s) {
		v.on(CheckContents).fail(at, ruleTooMany, "")
		return
	}
	s.line, s.hash = n, t.Entry()
	v.foreign = append(v.foreign, s)
}

// maxListed bounds the log indexes kept of all events together: each takes eight
// bytes here and as few as two in a file.
const maxListed = 16 << 20

const ruleTooMany = "is one event too many: together they name more entries than can be looked at"

// keep reports whether there is room for what s lists.
func (v *verifier) keep(s *claimed) bool {
	return v.listed.Add(int64(s.listed())) <= maxListed
}

func place(path string, line int) string { return path + " line " + strconv.Itoa(line) }
