package agreement

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What an agreement permits at one size of its sender's log is a set of records: of each
// record whose newest version below that size the rows pick, that version, with the
// fields of it that travel. The set has one spelling, so that two who have it can see
// that it is the same without showing it. Each member is one line, a canonical JSON array
// (package strictjson) without anything after it:
//
//	[INDEX,"RECORD",VERSION,"ENTRY",["FIELD",…]]
//
// INDEX is where the version stands in the log, from 0; RECORD the id; VERSION its
// number; ENTRY the base64 of the entry, the SHA-256 of the token's signing input
// (package record); and the fields are the places that are disclosed, RFC 6901 pointers
// in ascending order of their bytes, none twice, a part of a pointer that consists of
// digits written as "*". A field that is said in clear is not among them. For example
//
//	[7,"aaaaaaaaaaaaaaaaaaaaaaaaaa",2,"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",["/applicant/name","/items/*/code"]]
//
// The SHA-256 of a line is what a log's entry is: the lines by rising INDEX are the
// entries of a tree as RFC 6962 section 2.1 has it, so that the leaf is the SHA-256 of a
// zero byte and that hash. Its size and root are what an agreement-checkpoint says
// (package event). TestPermittedVector has an example that another program made.

// A Permitted is one member of that set.
type Permitted struct {
	Index   uint64
	Record  name.Record
	Version uint64
	Entry   tlog.Hash
	Fields  []string // as [FieldsOf] spells them
}

// Line returns the one spelling.
func (p Permitted) Line() []byte {
	fields := make([]any, len(p.Fields))
	for i, f := range p.Fields {
		fields[i] = f
	}
	return strictjson.Canonical([]any{p.Index, string(p.Record), p.Version, p.Entry.String(), fields})
}

// Hash returns the SHA-256 of the line.
func (p Permitted) Hash() tlog.Hash { return sha256.Sum256(p.Line()) }

// FieldsOf spells the places of disclosures as a Permitted does. It changes nothing in
// its argument.
func FieldsOf(disclosed []string) []string {
	out := make([]string, len(disclosed))
	for i, p := range disclosed {
		out[i] = place(p)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// place writes the parts of a pointer that are digits as "*".
func place(pointer string) string {
	if !strings.ContainsAny(pointer, "0123456789") {
		return pointer
	}
	parts := strings.Split(pointer, "/")
	for i, part := range parts {
		if part != "" && strings.Trim(part, "0123456789") == "" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}
