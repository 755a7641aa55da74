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
	r.asMany(len(t.Of), []string{"versions", "entries", "records", "at"}, len(t.Versions), len(t.Entries), len(t.Records), len(t.At))
	r.within(t.Entries, t.Size)
	return t, r.done()
}

// asMany checks that lists are as long as the list of what they tell something of, which is not empty.
func (r *reader) asMany(of int, fields []string, lengths ...int) {
	for i, n := range lengths {
		if n != of {
			r.wrong(fields[i], "has not as many elements as of")
		}
	}
	if of == 0 {
		r.wrong("of", "is empty")
	}
}

// within checks that entries are of a log of a size.
func (r *reader) within(entries []uint64, size uint64) {
	for i, e := range entries {
		if e >= size {
			r.wrong(fmt.Sprintf("entries/%d", i), "is beyond the size")
		}
	}
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
	r.asMany(len(t.Of), []string{"versions", "entries", "through", "records"}, len(t.Versions), len(t.Entries), len(t.Through), len(t.Records))
	if t.By == t.From {
		r.wrong("by", "is the council that it was taken over from")
	}
	r.within(t.Entries, t.Size)
	return t, r.done()
}

// A CarriedCase is a handover as it stood when one of its two councils ended, as it stands in a
// HandoverSucceeded and a HandoverCarried.
type CarriedCase struct {
	Case    CaseID
	Partner name.Council // the other council of the two, which goes on
	Sends   bool         // the council that ends offered it; else the partner
	State   string       // one of CarriedOffered, CarriedAccepted and CarriedClosed
	Ref     string       // as in the offer, as are Notice and Due
	Notice  string
	Due     string
}

// How a handover stands that is carried on. The sender is responsible for one that is offered,
// and the receiver for any other.
const (
	CarriedOffered  = "offered"  // it was not answered
	CarriedAccepted = "accepted" // its receipts had not all come
	CarriedClosed   = "closed"   // the council that ends had taken it over
)

func (c CarriedCase) body() map[string]any {
	return map[string]any{"case": c.Case.String(), "partner": string(c.Partner), "sends": c.Sends, "state": c.State, "ref": c.Ref, "notice": c.Notice, "due": c.Due}
}

func (r *reader) carriedCase() CarriedCase {
	return CarriedCase{
		Case: r.caseID(), Partner: r.council("partner"), Sends: r.flag("sends"), State: r.oneOf("state", CarriedOffered, CarriedAccepted, CarriedClosed),
		Ref: r.textOf("ref", 0, maxCaseRef), Notice: r.dateIf("notice"), Due: r.dateIf("due"),
	}
}

// A CarriedTo is one successor that carries a handover on, as it stands in a HandoverSucceeded:
//
//	{"council":"east.gov.uk","records":["…"]}
type CarriedTo struct {
	Council name.Council
	Records []name.Record // of the council that ends, which that successor takes; none where it is not decided
}

// A HandoverSucceeded says in the log of a council that ends who carries a handover on, by the
// plan, by which of its records go to whom. With more than one it is for people to decide
// between them. Body:
//
//	{"case":"<32 hex>","due":"2027-04-20","notice":"2027-03-29","partner":"saltby.gov.uk",
//	 "ref":"CP-7","sends":true,"state":"offered","to":[{…}]}
type HandoverSucceeded struct {
	CarriedCase
	To []CarriedTo // by council, each once, at least one
}

// Body returns the body of a [KindHandoverSucceeded].
func (h HandoverSucceeded) Body() map[string]any {
	to := make([]any, len(h.To))
	for i, x := range h.To {
		to[i] = map[string]any{"council": string(x.Council), "records": textList(x.Records)}
	}
	b := h.CarriedCase.body()
	b["to"] = to
	return b
}

// ParseHandoverSucceeded reads the body of a [KindHandoverSucceeded]. The error wraps [ErrBody].
func ParseHandoverSucceeded(body map[string]any) (HandoverSucceeded, error) {
	r := read(KindHandoverSucceeded, body)
	h := HandoverSucceeded{CarriedCase: r.carriedCase()}
	r.objects("to", MaxSuccessors, func(r *reader) {
		x := CarriedTo{Council: r.council("council"), Records: namesOf(r, "records", "the id of a record", MaxItems, name.ParseRecord)}
		if n := len(h.To); n > 0 && h.To[n-1].Council >= x.Council {
			r.wrong("council", "is not after the one before it")
		}
		h.To = append(h.To, x)
	})
	if len(h.To) == 0 {
		r.wrong("to", "is empty")
	}
	return h, r.done()
}

// A HandoverCarried says in the log of a successor that it carries a handover on: it is in the
// place of From, whose log says so in entry Entry. Body:
//
//	{"case":"<32 hex>","due":"2027-04-20","entry":88,"from":"northmoor.gov.uk","notice":"2027-03-29",
//	 "others":[],"partner":"saltby.gov.uk","records":["…"],"ref":"CP-7","sends":true,"state":"offered"}
type HandoverCarried struct {
	CarriedCase
	From    name.Council
	Entry   uint64
	Records []name.Record  // of this council, of the case
	Others  []name.Council // successors that carry it, too: people decide between them
}

// Body returns the body of a [KindHandoverCarried].
func (h HandoverCarried) Body() map[string]any {
	b := h.CarriedCase.body()
	b["from"], b["entry"], b["records"], b["others"] = string(h.From), Number(h.Entry), textList(h.Records), textList(h.Others)
	return b
}

// ParseHandoverCarried reads the body of a [KindHandoverCarried]. The error wraps [ErrBody].
func ParseHandoverCarried(body map[string]any) (HandoverCarried, error) {
	r := read(KindHandoverCarried, body)
	h := HandoverCarried{
		CarriedCase: r.carriedCase(), From: r.council("from"), Entry: r.index("entry"),
		Records: namesOf(r, "records", "the id of a record", MaxItems, name.ParseRecord), Others: namesOf(r, "others", "a council", MaxSuccessors, name.ParseCouncil),
	}
	if h.From == h.Partner {
		r.wrong("from", "is the partner")
	}
	return h, r.done()
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
