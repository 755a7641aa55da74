package event

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The events by which a council's ledger is closed, its records go on in another's, and
// partners keep what they hold meanwhile. Of the first two one is the last entry of the ledger of the council that ends; the
// other stands in the ledger of the council that begins.

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
	s := Sealed{On: r.date("on"), Plan: r.textOf("plan", 2, MaxPlan)}
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

// A TakenEarlier says of records that were taken over where they stood before they came to the
// council that they were taken over from: a council that ended earlier, and that the other
// followed. The log of By says so itself, in entry Said; this council took its word, and an
// auditor who has the bundles of both goes the way step by step. Body:
//
//	{"by":"north.gov.uk","entries":[204],"from":"northmoor.gov.uk","of":["…"],"records":["…"],
//	 "root":"…","said":88,"size":982,"through":["…"],"versions":[3]}
//
// The lists are of one length: the record that was of[i] in the log of From, in version
// versions[i] at entry entries[i], became through[i] at By, and is records[i] here. size and
// root are of the checkpoint under which the log of From was sealed, as By says.
type TakenEarlier struct {
	From     name.Council
	Size     uint64
	Root     tlog.Hash
	By       name.Council
	Said     uint64
	Of       []name.Record
	Versions []uint64
	Entries  []uint64
	Through  []name.Record
	Records  []name.Record
}

// Body returns the body of a [KindTakenEarlier].
func (t TakenEarlier) Body() map[string]any {
	return map[string]any{
		"from": string(t.From), "size": Number(t.Size), "root": t.Root.String(), "by": string(t.By), "said": Number(t.Said), "of": textList(t.Of),
		"versions": indexList(t.Versions), "entries": indexList(t.Entries), "through": textList(t.Through), "records": textList(t.Records),
	}
}

// ParseTakenEarlier reads the body of a [KindTakenEarlier]. The error wraps [ErrBody].
func ParseTakenEarlier(body map[string]any) (TakenEarlier, error) {
	r := read(KindTakenEarlier, body)
	t := TakenEarlier{
		From: r.council("from"), Size: r.index("size"), Root: r.hash("root"), By: r.council("by"), Said: r.index("said"),
		Of:       namesOf(r, "of", "the id of a record", MaxTaken, name.ParseRecord),
		Versions: r.indexes("versions"), Entries: r.indexes("entries"),
		Through: namesOf(r, "through", "the id of a record", MaxTaken, name.ParseRecord), Records: namesOf(r, "records", "the id of a record", MaxTaken, name.ParseRecord),
	}
	for i, n := range []int{len(t.Versions), len(t.Entries), len(t.Through), len(t.Records)} {
		if n != len(t.Of) {
			r.wrong([]string{"versions", "entries", "through", "records"}[i], "has not as many elements as of")
		}
	}
	if len(t.Of) == 0 {
		r.wrong("of", "is empty")
	}
	if t.By == t.From {
		r.wrong("by", "is the council that it was taken over from")
	}
	for i, e := range t.Entries {
		if e >= t.Size {
			r.wrong(fmt.Sprintf("entries/%d", i), "is beyond the size")
		}
	}
	return t, r.done()
}

// A Succeeded says of an agreement, just before its sender ends it, that it ends because that
// council does, and which of its successors take over what went under it. It is addressed to
// the receivers. Body:
//
//	{"agreement":"northmoor.gov.uk/people","end":831,"on":"2027-04-01","to":["east.gov.uk"],
//	 "version":1}
type Succeeded struct {
	Agreement name.Agreement
	Version   uint64
	On        string // the first day of the successors, YYYY-MM-DD
	// End is one past the last entry of the log that goes under the agreement: who has read
	// so far holds nothing that was withdrawn.
	End uint64
	To  []name.Council // sorted, each once; none where nothing goes under it
}

// Body returns the body of a [KindAgreementSucceeded].
func (s Succeeded) Body() map[string]any {
	return map[string]any{"agreement": string(s.Agreement), "version": Number(s.Version), "on": s.On, "end": Number(s.End), "to": textList(s.To)}
}

// ParseSucceeded reads the body of a [KindAgreementSucceeded]. The error wraps [ErrBody].
func ParseSucceeded(body map[string]any) (Succeeded, error) {
	r := read(KindAgreementSucceeded, body)
	s := Succeeded{
		Agreement: r.agreement("agreement"), Version: r.version("version"), On: r.date("on"), End: r.index("end"),
		To: namesOf(r, "to", "the name of a council", MaxSuccessors, name.ParseCouncil),
	}
	for i := range s.To {
		if i > 0 && s.To[i] <= s.To[i-1] {
			r.wrong("to", "does not ascend")
		}
	}
	return s, r.done()
}

// A GoesOn is an agreement with one successor, as it stands in a Kept:
//
//	{"agreement":"east.gov.uk/people","council":"east.gov.uk","version":1}
type GoesOn struct {
	Council   name.Council
	Agreement name.Agreement
	Version   uint64
}

// A Kept says that a receiver keeps what it holds under an agreement whose sender has ended,
// as it is, until the same has come from the successors or the day Until begins. It is
// addressed to that sender. What is deleted of it is in receipts of the receiver. Body:
//
//	{"agreement":"northmoor.gov.uk/people","cursor":831,"entries":"…","from":"northmoor.gov.uk",
//	 "records":117,"under":[{…}],"until":"2027-05-01","version":1}
type Kept struct {
	Agreement name.Agreement
	Version   uint64
	From      name.Council
	Cursor    uint64    // how far the receiver has read
	Records   uint64    // that it keeps
	Entries   tlog.Hash // of their log indexes: see EntriesDigest
	Until     string    // YYYY-MM-DD
	Under     []GoesOn  // by council, each once, at least one
}

// Body returns the body of a [KindHoldingsKept].
func (k Kept) Body() map[string]any {
	under := make([]any, len(k.Under))
	for i, g := range k.Under {
		under[i] = map[string]any{"council": string(g.Council), "agreement": string(g.Agreement), "version": Number(g.Version)}
	}
	return map[string]any{
		"agreement": string(k.Agreement), "version": Number(k.Version), "from": string(k.From), "cursor": Number(k.Cursor),
		"records": Number(k.Records), "entries": k.Entries.String(), "until": k.Until, "under": under,
	}
}

// ParseKept reads the body of a [KindHoldingsKept]. The error wraps [ErrBody].
func ParseKept(body map[string]any) (Kept, error) {
	r := read(KindHoldingsKept, body)
	k := Kept{
		Agreement: r.agreement("agreement"), Version: r.version("version"), From: r.council("from"), Cursor: r.index("cursor"),
		Records: r.index("records"), Entries: r.hash("entries"), Until: r.date("until"),
	}
	r.objects("under", MaxSuccessors, func(r *reader) {
		g := GoesOn{Council: r.council("council"), Agreement: r.agreement("agreement"), Version: r.version("version")}
		if n := len(k.Under); n > 0 && k.Under[n-1].Council >= g.Council {
			r.wrong("council", "is not after the one before it")
		}
		k.Under = append(k.Under, g)
	})
	if len(k.Under) == 0 {
		r.wrong("under", "is empty")
	}
	return k, r.done()
}
