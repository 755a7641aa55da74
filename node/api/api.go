// Package api is what a node can be asked and what it answers: requests, replies
// and failures, as plain structs that are the same in JSON.
//
// Package node carries the operations out and has every one of these types under
// its own name, so that a program needs to import node alone. They stand apart from
// it so that the rooms below it speak of the same things in the same words.
//
// Nothing here holds a field's value but what a reply is asked to show: records and
// counts. The names in JSON are what the admin socket speaks; the node and the
// command that asks it are of one version.
package api

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/stile-exchange/stile/node/name"
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

// Fail returns a failure with a message, which must hold no field's value, and what
// to do about it; "" where nothing is.
func Fail(k Kind, try, format string, a ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, a...), Try: try}
}

// IsNotFound reports whether an error is that something is not there.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == NotFound
}

// A Cursor says where the next page of a list begins: a reply gives it, and the
// next request takes it. What it looks like is the node's own business and may
// change with its version. Empty, it means the first page in a request, and in a
// reply that there is no other.
type Cursor string

// CursorOf returns the cursor of a position; 0 is the first page, or none.
func CursorOf(at uint64) Cursor {
	if at == 0 {
		return ""
	}
	return Cursor(strconv.FormatUint(at, 36))
}

// CursorAt returns the position of a cursor that [CursorOf] made, and 0 for none.
// For any other text the error is an *[Error].
func CursorAt(c Cursor) (uint64, error) {
	if c == "" {
		return 0, nil
	}
	at, err := strconv.ParseUint(string(c), 36, 64)
	if err != nil {
		return 0, Fail(Usage, "begin at the first page, without a cursor", "the cursor is none that this node gave")
	}
	return at, nil
}

// A Problem is one thing wrong with a record or a document, in words for the
// person who keeps the data. It never holds a value.
type Problem struct {
	Pointer string `json:"pointer"` // RFC 6901 pointer to the place; "" is the whole
	Rule    string `json:"rule"`    // the JSON Schema keyword, or "key", "budget", "engine"
	Detail  string `json:"detail"`  // such as "is required"
	Fix     string `json:"fix"`     // what to do, such as "fill it in"
}

// Error makes a Problem usable as an error.
func (p *Problem) Error() string {
	return fmt.Sprintf("check record: place %q: %s: %s", p.Pointer, p.Rule, p.Detail)
}

// Empty is the request or reply of an operation that has none.
type Empty struct{}

// MemberRequest adds or replaces a member in the directory folder.
type MemberRequest struct {
	Document []byte `json:"document"` // member file, YAML
}

// MemberReply describes a member of the directory.
type MemberReply struct {
	Council   name.Council `json:"council"`
	Title     string       `json:"title,omitempty"`
	GSS       string       `json:"gss,omitempty"`
	Role      string       `json:"role"`
	Addresses []string     `json:"addresses,omitempty"`
	Self      bool         `json:"self,omitempty"`
	Document  string       `json:"document,omitempty"` // member file, YAML
}

// MemberNameRequest names a council of the directory.
type MemberNameRequest struct {
	Council string `json:"council"`
}
