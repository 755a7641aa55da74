package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Kinds of events that packages ledger and agreement write, and what of their
// bodies is read here. The ledger cannot be imported: an auditor's program does
// not link a database. Members that are not named here are passed over, since a
// later version of the ledger may say more.
const (
	// agreement, version, record, entry: log index of the newest version that
	// was let out
	kindWithdrawal = "withdrawal"
	// agreement, version, to, entries: log indexes of what is about to be sent
	kindDisclosure = "disclosure"
	// agreement, from, size and root of the sender's checkpoint, held, deleted:
	// log indexes at the sender; refused: objects with entry. Or, when the
	// agreement is over, deleted_all: a count.
	kindReceipt = "receipt"
	// agreement, version, to, records and entries: what a question is about to be
	// answered with, as a disclosure; footprint, when they are of its log
	kindAnswer = "answer"
	// agreement, from, entries, size and root: what the answer showed the asker, as
	// a receipt; for, when a footprint's member asked for it
	kindAnswered = "answer-receipt"
	// standard, integrity
	kindAdopted = "standard-adopted"

	unread = "" // an event that is not believed
)

// said is what an event says, as far as it matters here.
type said struct {
	index    uint64 // in the council's own log
	line     int    // or in the file of another's events, from 1
	by       name.Council
	kind     string
	issuedAt int64

	agreement name.Agreement
	version   uint64
	to        name.Council // disclosure
	from      name.Council // receipt
	record    name.Record  // withdrawal
	entry     uint64       // withdrawal
	entries   []uint64     // disclosure; receipt: held
	deleted   []uint64     // receipt
	refused   []uint64     // receipt
	all       bool         // receipt: everything was deleted
	size      uint64       // receipt
	root      tlog.Hash    // receipt; zero when it names none
	standard  name.Standard
	integrity string
	ref       agreement.Ref    // of an event about an agreement
	notice    agreement.Notice // agreement-suspend, -resume, -end
	hash      tlog.Hash        // the entry

	// of a footprint's receipt, see confirmed.go: to is the footprint, entries what
	// it holds and deleted the withdrawals it took
	heldAt, deletedAt []uint64 // in the footprint's log
	covers            []covered
}

var errBody = errors.New("says nothing that can be understood")

// readSaid reads an event's body. An error names the member that is wrong. What
// it returns holds on to no part of the event, which may be large.
func readSaid(ev *record.Event) (s said, err error) {
	s = said{by: name.Council(strings.Clone(string(ev.Council))), kind: strings.Clone(ev.Kind), issuedAt: ev.IssuedAt}
	bad := func(member string) error { return fmt.Errorf("%w: %s of a %s", errBody, member, ev.Kind) }
	text := func(member string) string {
		t, _ := ev.Body[member].(string)
		return strings.Clone(t[:min(len(t), maxPath)])
	}
	switch ev.Kind {
	case kindAnswer, kindAnswered:
		if text("footprint") != "" || ev.Kind == kindAnswered && text("for") != "" {
			// Its entries are of another log; or it was asked for a footprint, by
			// one that is not itself a receiver.
			return s, nil
		}
		s.kind = map[string]string{kindAnswer: kindDisclosure, kindAnswered: kindReceipt}[ev.Kind]
		fallthrough
	case kindWithdrawal, kindDisclosure, kindReceipt, kindConfirmed:
		if s.agreement, err = name.ParseAgreement(text("agreement")); err != nil {
			return s, bad("agreement")
		}
	case kindAdopted:
		s.integrity = text("integrity")
		if s.standard, err = name.ParseStandard(text("standard")); err != nil {
			return s, bad("standard")
		}
		return s, nil
	case agreement.KindProposal:
		p, err := agreement.ParseProposal(ev.Body)
		if err != nil {
			return s, bad("document")
		}
		s.refer(p.Agreement.Ref())
		return s, nil
	case agreement.KindSignature:
		sig, err := agreement.ParseSignature(ev.Body)
		s.refer(sig.Ref)
		return s, err
	case agreement.KindSuspend, agreement.KindResume, agreement.KindEnd:
		s.notice, err = agreement.ParseNotice(ev.Body)
		s.notice.Reason = strings.Clone(s.notice.Reason)
		s.refer(s.notice.Ref)
		s.notice.Ref = s.ref
		return s, err
	default:
		return s, nil
	}
	if s.kind == kindConfirmed {
		if !s.confirmed(ev) {
			return s, bad("body")
		}
		return s, nil
	}
	var ok bool
	if s.kind != kindReceipt {
		if s.version, ok = wholeNumber(ev.Body["version"]); !ok {
			return s, bad("version")
		}
	}
	switch s.kind {
	case kindWithdrawal:
		if s.record, err = name.ParseRecord(text("record")); err != nil {
			return s, bad("record")
		}
		if s.entry, ok = wholeNumber(ev.Body["entry"]); !ok {
			return s, bad("entry")
		}
	case kindDisclosure:
		if s.to, err = name.ParseCouncil(text("to")); err != nil {
			return s, bad("to")
		}
		if s.entries, ok = indexes(ev.Body["entries"]); !ok {
			return s, bad("entries")
		}
	case kindReceipt:
		if s.from, err = name.ParseCouncil(text("from")); err != nil {
			return s, bad("from")
		}
		if s.size, ok = wholeNumber(ev.Body["size"]); !ok {
			return s, bad("size")
		}
		if _, s.all = ev.Body["deleted_all"]; s.all {
			return s, nil
		}
		if s.root, err = tlog.ParseHash(text("root")); err != nil {
			return s, bad("root")
		}
		held := "held"
		if ev.Kind == kindAnswered {
			held = "entries"
		}
		if s.entries, ok = indexes(ev.Body[held]); !ok {
			return s, bad(held)
		}
		if s.deleted, ok = indexes(ev.Body["deleted"]); !ok {
			return s, bad("deleted")
		}
		list, _ := ev.Body["refused"].([]any)
		for _, v := range list {
			m, _ := v.(map[string]any)
			n, ok := wholeNumber(m["entry"])
			if !ok {
				return s, bad("refused")
			}
			s.refused = append(s.refused, n)
		}
	}
	return s, nil
}

func (s *said) refer(r agreement.Ref) {
	r.Agreement = name.Agreement(strings.Clone(string(r.Agreement)))
	s.ref, s.agreement, s.version = r, r.Agreement, uint64(r.Version)
}

// listed counts the log indexes that s keeps.
func (s *said) listed() int {
	return len(s.entries) + len(s.deleted) + len(s.refused) + len(s.heldAt) + len(s.deletedAt)
}

// indexes reads a list of log indexes; none is an empty list.
func indexes(v any) ([]uint64, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, v == nil
	}
	out := make([]uint64, len(list))
	for i, v := range list {
		if out[i], ok = wholeNumber(v); !ok {
			return nil, false
		}
	}
	return out, true
}

// checkOf says under which check the signature of another council's event is
// reported.
func checkOf(kind string) string {
	switch kind {
	case kindReceipt, kindAnswered:
		return CheckReceipts
	case agreement.KindSignature:
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
	s.line = n
	v.foreign = append(v.foreign, s)
}

// maxListed bounds the log indexes kept of all events together: each takes eight
// bytes here and as few as two in a file.
const maxListed = 16 << 20

const ruleTooMany = "is one event too many: together they name more entries than can be looked at"

// keep reports whether there is room for what s lists.
func (v *verifier) keep(s *said) bool {
	return v.listed.Add(int64(s.listed())) <= maxListed
}

func place(path string, line int) string { return path + " line " + strconv.Itoa(line) }
