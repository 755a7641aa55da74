package event

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The two events by which a council's ledger is closed and its records go on in
// another's. The first is the last entry of the ledger of the council that ends; the
// second stands in the ledger of the council that begins.

// Bounds of both.
const (
	MaxSuccessors = 64
	MaxTaken      = 500     // records of one TakenOver
	MaxPlan       = 1 << 20 // bytes of a plan
)

// A Successor is one council that takes over, as it stands in a Sealed:
//
//	{"council":"newmoor.gov.uk","entries":"…","kid":"…","records":117}
type Successor struct {
	Council name.Council
	KeyID   string    // of the record key that the directory had of it on that day
	Records uint64    // that it takes over
	Entries tlog.Hash // of the log indexes of these records' newest versions: see EntriesDigest
}

// A Sealed is the last entry of a council's ledger. Nothing is signed after it. Body:
//
//	{"on":"2027-04-01","plan":"{…}","successors":[…]}
type Sealed struct {
	On         string      // the first day of the successors, YYYY-MM-DD
	Plan       string      // canonical JSON of the plan by which the records were shared out: package succession
	Successors []Successor // by name, each once, at least one
}

// Body returns the body of a [KindSealed].
func (s Sealed) Body() map[string]any {
	list := make([]any, len(s.Successors))
	for i, x := range s.Successors {
		list[i] = map[string]any{"council": string(x.Council), "kid": x.KeyID, "records": Number(x.Records), "entries": x.Entries.String()}
	}
	return map[string]any{"on": s.On, "plan": s.Plan, "successors": list}
}

// ParseSealed reads the body of a [KindSealed]. The error wraps [ErrBody].
func ParseSealed(body map[string]any) (Sealed, error) {
	r := read(KindSealed, body)
	s := Sealed{On: r.textOf("on", len(time.DateOnly), len(time.DateOnly)), Plan: r.textOf("plan", 2, MaxPlan)}
	if t, err := time.Parse(time.DateOnly, s.On); err != nil || t.Format(time.DateOnly) != s.On {
		r.wrong("on", "is not a date")
	}
	r.objects("successors", MaxSuccessors, func(r *reader) {
		x := Successor{Council: r.council("council"), KeyID: r.textOf("kid", 1, 128), Records: r.index("records"), Entries: r.hash("entries")}
		if n := len(s.Successors); n > 0 && s.Successors[n-1].Council >= x.Council {
			r.wrong("council", "is not after the one before it")
		}
		s.Successors = append(s.Successors, x)
	})
	if len(s.Successors) == 0 {
		r.wrong("successors", "is empty")
	}
	return s, r.done()
}

// To returns what a council takes over; false when it is no successor.
func (s Sealed) To(c name.Council) (Successor, bool) {
	i := slices.IndexFunc(s.Successors, func(x Successor) bool { return x.Council == c })
	if i < 0 {
		return Successor{}, false
	}
	return s.Successors[i], true
}

// EntriesDigest returns the SHA-256 of log indexes, each as eight bytes, big-endian, in
// ascending order. It changes nothing in entries, in which none stands twice.
func EntriesDigest(entries []uint64) tlog.Hash {
	b := make([]byte, 0, 8*len(entries))
	for _, e := range slices.Sorted(slices.Values(entries)) {
		b = binary.BigEndian.AppendUint64(b, e)
	}
	return sha256.Sum256(b)
}

// A TakenOver says that records of a council that has ended go on here, and where each
// comes from. Body:
//
//	{"at":[17],"entries":[204],"from":"northmoor.gov.uk","of":["…"],"records":["…"],
//	 "root":"…","size":982,"versions":[3]}
//
// The lists are of one length: the record that was of[i] there, in version versions[i] at
// entry entries[i] of that log, is records[i] here, in the version at entry at[i] of this
// log. size and root are of the checkpoint under which that log was sealed: its last entry
// is the [Sealed].
type TakenOver struct {
	From     name.Council
	Size     uint64
	Root     tlog.Hash
	Of       []name.Record
	Versions []uint64
	Entries  []uint64
	Records  []name.Record
	At       []uint64
}

// Body returns the body of a [KindTakenOver].
func (t TakenOver) Body() map[string]any {
	return map[string]any{
		"from": string(t.From), "size": Number(t.Size), "root": t.Root.String(), "of": textList(t.Of), "versions": indexList(t.Versions),
		"entries": indexList(t.Entries), "records": textList(t.Records), "at": indexList(t.At),
	}
}

// ParseTakenOver reads the body of a [KindTakenOver]. The error wraps [ErrBody].
func ParseTakenOver(body map[string]any) (TakenOver, error) {
	r := read(KindTakenOver, body)
	t := TakenOver{
		From: r.council("from"), Size: r.index("size"), Root: r.hash("root"),
		Of:       namesOf(r, "of", "the id of a record", MaxTaken, name.ParseRecord),
		Versions: r.indexes("versions"), Entries: r.indexes("entries"),
		Records: namesOf(r, "records", "the id of a record", MaxTaken, name.ParseRecord), At: r.indexes("at"),
	}
	for i, n := range []int{len(t.Versions), len(t.Entries), len(t.Records), len(t.At)} {
		if n != len(t.Of) {
			r.wrong([]string{"versions", "entries", "records", "at"}[i], "has not as many elements as of")
		}
	}
	if len(t.Of) == 0 {
		r.wrong("of", "is empty")
	}
	for i, e := range t.Entries {
		if e >= t.Size {
			r.wrong(fmt.Sprintf("entries/%d", i), "is beyond the size")
		}
	}
	return t, r.done()
}
