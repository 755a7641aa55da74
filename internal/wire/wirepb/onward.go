package wirepb

import "bufio"

// OnwardProtocol is what the messages of onward.proto are spoken in.
const OnwardProtocol = "/stile/onward/1"

// OnwardVersion is what this release knows of it, for OnwardQuestion.
const OnwardVersion = 1

// Limits of /stile/onward/1; see onward.proto.
const (
	MaxOnwardQuestion = 60 << 10  // bytes
	MaxOnwardAnswer   = 256 << 10 // bytes
	MaxOnwardFields   = 1000
	MaxOnwardVersions = 1000

	// OnwardVersionSize is how many bytes name a version: a record and a hash.
	OnwardVersionSize = 16 + 32
)

// Field number of onward.proto that countField looks for.
const onwardFields = 5

// ReadOnwardQuestion reads a question. Errors are as for [Reader.Read].
func ReadOnwardQuestion(r *bufio.Reader) (*OnwardQuestion, error) {
	q := new(OnwardQuestion)
	return q, readMessage(r, MaxOnwardQuestion, q)
}

// ReadOnwardAnswer reads an answer. Errors are as for [Reader.Read].
func ReadOnwardAnswer(r *bufio.Reader) (*OnwardAnswer, error) {
	a := new(OnwardAnswer)
	return a, readMessage(r, MaxOnwardAnswer, a)
}

// WriteOnwardQuestion writes a question; see [WriteQuestion].
func WriteOnwardQuestion(w *bufio.Writer, q *OnwardQuestion) error {
	return writeMessage(w, MaxOnwardQuestion, q)
}

// WriteOnwardAnswer writes an answer; see [WriteQuestion].
func WriteOnwardAnswer(w *bufio.Writer, a *OnwardAnswer) error {
	return writeMessage(w, MaxOnwardAnswer, a)
}

func (*OnwardQuestion) bounded(body []byte) bool {
	return countField(body, onwardFields) <= MaxOnwardFields
}

func (q *OnwardQuestion) check() error {
	n := len(q.GetVersions())
	switch {
	case q.GetVersion() == 0:
		return bad("question about what was passed on: no version")
	case len(q.GetAgreement()) > MaxText || len(q.GetUnder()) > MaxText:
		return bad("question about what was passed on: text longer than %d bytes", MaxText)
	case q.GetSteps() == 0:
		return bad("question about what was passed on: no steps")
	case len(q.GetFields()) > MaxOnwardFields:
		return bad("question about what was passed on: more than %d fields", MaxOnwardFields)
	case n == 0 || n%OnwardVersionSize != 0 || n > MaxOnwardVersions*OnwardVersionSize:
		return bad("question about what was passed on: versions of %d bytes, want 1 to %d of %d each", n, MaxOnwardVersions, OnwardVersionSize)
	}
	for _, f := range q.GetFields() {
		if len(f) > MaxText {
			return bad("question about what was passed on: text longer than %d bytes", MaxText)
		}
	}
	return nil
}

func (a *OnwardAnswer) check() error {
	switch {
	case len(a.GetCode()) > MaxText || len(a.GetReason()) > MaxText:
		return bad("answer about what was passed on: text longer than %d bytes", MaxText)
	case a.GetCode() != "" && (len(a.GetEvent()) > 0 || a.GetLooked() > 0):
		return bad("answer about what was passed on: a refusal, and something else")
	case a.GetCode() == "" && (a.GetLooked() == 0 || a.GetLooked() > MaxOnwardVersions):
		return bad("answer about what was passed on: %d versions looked at, want 1 to %d", a.GetLooked(), MaxOnwardVersions)
	}
	return nil
}
