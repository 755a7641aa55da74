package node

import (
	"fmt"
	"strconv"
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
	Kind     Kind      `json:"kind"`
	Message  string    `json:"message"`
	Try      string    `json:"try,omitempty"` // what to do about it
	Problems []Problem `json:"problems,omitempty"`
}

func (e *Error) Error() string { return e.Message }

func fail(k Kind, try, format string, a ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, a...), Try: try}
}

// A Cursor says where the next page of a list begins: a reply gives it, and the
// next request takes it. What it looks like is the node's own business and may
// change with its version. Empty, it means the first page in a request, and in a
// reply that there is no other.
type Cursor string

func cursorOf(at uint64) Cursor {
	if at == 0 {
		return ""
	}
	return Cursor(strconv.FormatUint(at, 36))
}

func (c Cursor) at() (uint64, error) {
	if c == "" {
		return 0, nil
	}
	at, err := strconv.ParseUint(string(c), 36, 64)
	if err != nil {
		return 0, fail(Usage, "begin at the first page, without a cursor", "the cursor is none that this node gave")
	}
	return at, nil
}

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
