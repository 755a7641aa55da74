package wirepb

import (
	"bufio"
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire"
)

// LookupProtocol is what the messages of lookup.proto are spoken in.
const LookupProtocol = "/stile/lookup/1"

// LookupVersion is what this release knows of it, for Question.
const LookupVersion = 1

// Limits of /stile/lookup/1; see lookup.proto.
const (
	MaxQuestion      = 16 << 10 // bytes of a Question or a Receipt
	MaxQuestionValue = 512      // bytes
	MaxEntries       = 10       // of an Answer
	MaxLabels        = 8192     // of an Answer
	MaxBits          = 8        // of a Question, and of an Answer

	labelSize = 16
)

// A message is one of lookup.proto or log.proto whose form can be checked.
type message interface {
	proto.Message
	check() error
}

// ReadQuestion reads a question. Errors are as for [Reader.Read].
func ReadQuestion(r *bufio.Reader) (*Question, error) {
	q := new(Question)
	return q, readMessage(r, MaxQuestion, q)
}

// ReadAnswer reads an answer. Errors are as for [Reader.Read].
func ReadAnswer(r *bufio.Reader) (*Answer, error) {
	a := new(Answer)
	return a, readMessage(r, MaxFrame, a)
}

// ReadReceipt reads a receipt. Errors are as for [Reader.Read].
func ReadReceipt(r *bufio.Reader) (*Receipt, error) {
	m := new(Receipt)
	return m, readMessage(r, MaxQuestion, m)
}

// WriteQuestion writes a question and flushes. One that would be refused is not
// written; the error wraps [ErrFrame].
func WriteQuestion(w *bufio.Writer, q *Question) error { return writeMessage(w, MaxQuestion, q) }

// WriteAnswer writes an answer; see [WriteQuestion].
func WriteAnswer(w *bufio.Writer, a *Answer) error { return writeMessage(w, MaxFrame, a) }

// WriteReceipt writes a receipt; see [WriteQuestion].
func WriteReceipt(w *bufio.Writer, r *Receipt) error { return writeMessage(w, MaxQuestion, r) }

func readMessage(r *bufio.Reader, limit int, m message) error {
	body, err := wire.ReadFrame(r, limit)
	if err != nil {
		return err
	}
	// Before it is read: entries cost memory however short they are.
	if b, ok := m.(interface{ bounded(body []byte) bool }); ok && !b.bounded(body) {
		return bad("more entries than there may be")
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
		return bad("not a message of the protocol") // the cause may quote bytes of it
	}
	return m.check()
}

func writeMessage(w *bufio.Writer, limit int, m message) error {
	if err := m.check(); err != nil {
		return err
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return bad("text is not UTF-8")
	}
	if len(b) > limit {
		return bad("longer than %d bytes", limit)
	}
	if err := wire.WriteFrame(w, b); err != nil {
		return err
	}
	return w.Flush()
}

// Field number of lookup.proto that countField looks for.
const answerEntries protowire.Number = 5

// countField counts a field's occurrences in a message, or as many as there are
// before something that Unmarshal will refuse.
func countField(b []byte, want protowire.Number) (n int) {
	for len(b) > 0 {
		number, _, size := protowire.ConsumeField(b)
		if size < 0 {
			return n
		}
		if number == want {
			n++
		}
		b = b[size:]
	}
	return n
}

func (q *Question) check() error {
	switch {
	case q.GetVersion() == 0:
		return bad("question: no version")
	case len(q.GetAgreementDigest()) != 32:
		return bad("question: agreement digest of %d bytes, want 32", len(q.GetAgreementDigest()))
	case len(q.GetValue()) > MaxQuestionValue:
		return bad("question: value longer than %d bytes", MaxQuestionValue)
	case len(q.GetEvent()) == 0:
		return bad("question: no event")
	case len(q.GetHidden()) != 0 && len(q.GetHidden()) != 32, len(q.GetFactor()) != 0 && len(q.GetFactor()) != 32:
		return bad("question: a hidden value or its factor is not of 32 bytes")
	case q.GetBits() > MaxBits, q.GetBucket()>>q.GetBits() != 0:
		return bad("question: a bucket of more bits than it says, or than %d", MaxBits)
	}
	return nil
}

func (*Answer) bounded(body []byte) bool { return countField(body, answerEntries) <= MaxEntries }

func (a *Answer) check() error {
	if len(a.GetCode()) > MaxText || len(a.GetReason()) > MaxText {
		return bad("answer: text longer than %d bytes", MaxText)
	}
	if a.GetBits() > MaxBits {
		return bad("answer: more than %d bits", MaxBits)
	}
	if a.GetCode() != "" {
		return nil
	}
	if len(a.GetEvent()) == 0 {
		return bad("answer: neither an event nor a refusal")
	}
	if len(a.GetConsistency())%32 != 0 || len(a.GetInclusion())%32 != 0 {
		return bad("answer: proof is not a whole number of hashes")
	}
	if len(a.GetLabels()) > MaxLabels*labelSize || len(a.GetLabels())%labelSize != 0 {
		return bad("answer: labels are not a whole number, or more than %d", MaxLabels)
	}
	for i := labelSize; i < len(a.GetLabels()); i += labelSize {
		if bytes.Compare(a.GetLabels()[i-labelSize:i], a.GetLabels()[i:i+labelSize]) >= 0 {
			return bad("answer: labels do not ascend")
		}
	}
	if len(a.GetEntries()) > MaxEntries {
		return bad("answer: more than %d entries", MaxEntries)
	}
	for i, e := range a.GetEntries() {
		if i > 0 && e.GetIndex() <= a.GetEntries()[i-1].GetIndex() {
			return bad("answer: indexes do not ascend")
		}
	}
	return nil
}

func (r *Receipt) check() error {
	if len(r.GetEvent()) == 0 {
		return bad("receipt: no event")
	}
	return nil
}
