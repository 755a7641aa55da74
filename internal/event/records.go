package event

import (
	"fmt"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Withdrawal takes a record back from those an agreement let it go to. Body:
//
//	{"agreement":"northmoor.gov.uk/people","entry":7,"reason":"…","record":"…","version":1}
type Withdrawal struct {
	Agreement name.Agreement
	Version   uint64 // of the agreement
	Record    name.Record
	Reason    string // in words
	Entry     uint64 // log index of the newest version that was let out
}

// Body returns the body of a [KindWithdrawal].
func (w Withdrawal) Body() map[string]any {
	return map[string]any{
		"agreement": string(w.Agreement), "version": Number(w.Version),
		"record": string(w.Record), "reason": words(w.Reason), "entry": Number(w.Entry),
	}
}

// ParseWithdrawal reads the body of a [KindWithdrawal]. The error wraps [ErrBody].
func ParseWithdrawal(body map[string]any) (Withdrawal, error) {
	return parseTakenBack(KindWithdrawal, body)
}

func parseTakenBack(kind string, body map[string]any) (Withdrawal, error) {
	r := read(kind, body)
	w := Withdrawal{
		Agreement: r.agreement("agreement"), Version: r.version("version"),
		Record: named(r, "record", "the id of a record", name.ParseRecord), Reason: r.text("reason"), Entry: r.index("entry"),
	}
	return w, r.done()
}

// An ErasureOrder takes a record back as a Withdrawal does, and says that its council
// has erased it. It has the body of a [KindWithdrawal].
type ErasureOrder struct{ Withdrawal }

// ParseErasureOrder reads the body of a [KindErasureOrder]. The error wraps [ErrBody].
func ParseErasureOrder(body map[string]any) (ErasureOrder, error) {
	w, err := parseTakenBack(KindErasureOrder, body)
	return ErasureOrder{w}, err
}

// TakesBack reports whether events of a kind take a record back from those an agreement
// let it go to.
func TakesBack(kind string) bool { return kind == KindWithdrawal || kind == KindErasureOrder }

// ParseTakenBack reads the body of an event that takes a record back. The error wraps
// [ErrBody], also for any other kind.
func ParseTakenBack(kind string, body map[string]any) (Withdrawal, error) {
	if !TakesBack(kind) {
		return Withdrawal{}, fmt.Errorf("%w: the kind takes no record back", ErrBody)
	}
	return parseTakenBack(kind, body)
}

// maxErased bounds what one event says that was erased; who erases more logs more.
const maxErased = 10_000

// An Erasure says that of versions of a record nothing is kept by the council any more
// but what stands in its log: the hash of each. Body:
//
//	{"entries":[3,7],"reason":"…","record":"…"}
type Erasure struct {
	Record  name.Record
	Entries []uint64 // log indexes, ascending
	Reason  string   // in words
}

// Body returns the body of a [KindErasure].
func (e Erasure) Body() map[string]any {
	return map[string]any{"record": string(e.Record), "entries": indexList(e.Entries), "reason": words(e.Reason)}
}

// ParseErasure reads the body of a [KindErasure]. The error wraps [ErrBody].
func ParseErasure(body map[string]any) (Erasure, error) {
	r := read(KindErasure, body)
	e := Erasure{Record: named(r, "record", "the id of a record", name.ParseRecord), Entries: r.indexes("entries"), Reason: r.text("reason")}
	for i, n := range e.Entries {
		if i > 0 && n <= e.Entries[i-1] {
			r.wrong("entries", "does not ascend")
		}
	}
	if len(e.Entries) > maxErased {
		r.wrong("entries", fmt.Sprintf("has more than %d elements", maxErased))
	}
	return e, r.done()
}

// A GivenUp says that a person has stopped waiting for a council to say that it deleted
// what it was given under an agreement. It says nothing of whether it did. Body:
// agreement, council, held, outstanding, reason.
type GivenUp struct {
	Agreement   name.Agreement
	Council     name.Council
	Held        uint64 // records that the council held by its own last word
	Outstanding uint64 // of them, or of their withdrawals, those that were waited for
	Reason      string // in words
}

// Body returns the body of a [KindGivenUp].
func (g GivenUp) Body() map[string]any {
	return map[string]any{
		"agreement": string(g.Agreement), "council": string(g.Council), "held": Number(g.Held),
		"outstanding": Number(g.Outstanding), "reason": words(g.Reason),
	}
}

// ParseGivenUp reads the body of a [KindGivenUp]. The error wraps [ErrBody].
func ParseGivenUp(body map[string]any) (GivenUp, error) {
	r := read(KindGivenUp, body)
	g := GivenUp{Agreement: r.agreement("agreement"), Council: r.council("council"), Held: r.index("held"), Outstanding: r.index("outstanding"), Reason: r.text("reason")}
	return g, r.done()
}

// A Disclosure says what is about to be sent to whom. Body:
//
//	{"agreement":"northmoor.gov.uk/people","entries":[3,7],"to":"saltby.gov.uk","version":1}
type Disclosure struct {
	Agreement name.Agreement
	Version   uint64 // of the agreement
	To        name.Council
	Entries   []uint64 // log indexes
}

// Body returns the body of a [KindDisclosure].
func (d Disclosure) Body() map[string]any {
	return map[string]any{"agreement": string(d.Agreement), "version": Number(d.Version), "to": string(d.To), "entries": indexList(d.Entries)}
}

// ParseDisclosure reads the body of a [KindDisclosure]. The error wraps [ErrBody].
func ParseDisclosure(body map[string]any) (Disclosure, error) {
	r := read(KindDisclosure, body)
	d := r.disclosure()
	return d, r.done()
}

func (r *reader) disclosure() Disclosure {
	return Disclosure{Agreement: r.agreement("agreement"), Version: r.version("version"), To: r.council("to"), Entries: r.indexes("entries")}
}

// A Receipt says what became of a delivery: which entries of whose log were kept,
// refused or deleted, at which checkpoint of that log; or, with All set, that
// everything was deleted that was held under an agreement that is over. Bodies:
//
//	{"agreement":"northmoor.gov.uk/people","cursor":9,"deleted":[4],"from":"northmoor.gov.uk","held":[2],
//	 "refused":[{"entry":3,"pointer":"/uprn","rule":"required"}],"root":"…","since":2,"size":9}
//	{"agreement":"northmoor.gov.uk/people","cursor":9,"deleted_all":3,"from":"northmoor.gov.uk","reason":"…","size":9}
type Receipt struct {
	Agreement name.Agreement
	From      name.Council // whose log the indexes are of
	Size      uint64       // of the checkpoint
	Root      tlog.Hash    // of the checkpoint; zero with All
	Since     uint64       // the cursor of the delivery, and
	Cursor    uint64       // the one after it
	Held      []uint64
	Refused   []RefusedEntry
	Deleted   []uint64
	Reason    string // in words; "" but for what was deleted without being withdrawn

	// Suspended: it answers to a page of withdrawals, of an agreement that was
	// suspended, and says nothing of the records between Since and Cursor.
	Suspended bool

	All        bool
	DeletedAll uint64 // how many records
}

// A RefusedEntry is one entry that was not kept. It never holds a value.
type RefusedEntry struct {
	Entry         uint64
	Rule, Pointer string
}

// RefusedIndexes returns the log indexes of what was refused.
func (r *Receipt) RefusedIndexes() []uint64 {
	out := make([]uint64, len(r.Refused))
	for i, e := range r.Refused {
		out[i] = e.Entry
	}
	return out
}

// Body returns the body of a [KindReceipt].
func (r Receipt) Body() map[string]any {
	body := map[string]any{"agreement": string(r.Agreement), "from": string(r.From), "size": Number(r.Size), "cursor": Number(r.Cursor)}
	if r.Reason != "" {
		body["reason"] = words(r.Reason)
	}
	if r.All {
		body["deleted_all"] = Number(r.DeletedAll)
		return body
	}
	refused := make([]any, len(r.Refused))
	for i, e := range r.Refused {
		refused[i] = map[string]any{"entry": Number(e.Entry), "rule": words(e.Rule), "pointer": words(e.Pointer)}
	}
	body["root"], body["since"] = r.Root.String(), Number(r.Since)
	if r.Suspended {
		body["suspended"] = true
	}
	body["held"], body["refused"], body["deleted"] = indexList(r.Held), refused, indexList(r.Deleted)
	return body
}

// ParseReceipt reads the body of a [KindReceipt]. The error wraps [ErrBody].
func ParseReceipt(body map[string]any) (*Receipt, error) {
	r := read(KindReceipt, body)
	out := &Receipt{
		Agreement: r.agreement("agreement"), From: r.council("from"), Size: r.index("size"), Cursor: r.index("cursor"), Reason: r.textIf("reason"),
		All: r.has("deleted_all"),
	}
	if out.All {
		out.DeletedAll = r.index("deleted_all")
		return out, r.done()
	}
	out.Root, out.Since, out.Suspended = r.hash("root"), r.index("since"), r.flagIf("suspended")
	out.Held, out.Deleted = r.indexes("held"), r.indexes("deleted")
	r.objects("refused", maxNumber, func(o *reader) {
		out.Refused = append(out.Refused, RefusedEntry{o.index("entry"), o.text("rule"), o.text("pointer")})
	})
	return out, r.done()
}

// A ReceiptByCall is what a receiver that has no node said by a call: that it has
// everything from Since up to Cursor, and has deleted what was taken back there; or, with
// All set, that it has deleted everything. It is plainly weaker than a [Receipt]: the
// sender writes it and the sender alone signs it, and Key, the id of the sender's own key
// with which the call came, says who was let call and not who did. Body:
//
//	{"agreement":"northmoor.gov.uk/people","cursor":9,"held":2,"key":"k7n2wq4c","receiver":"wold.example","since":2,"version":1}
//	{"agreement":"northmoor.gov.uk/people","cursor":9,"deleted_all":true,"key":"k7n2wq4c","receiver":"wold.example","version":1}
type ReceiptByCall struct {
	Agreement name.Agreement
	Version   uint64 // of the agreement
	Receiver  name.Council
	Key       string // "", and then left out, where no key was shown: at the node's own machine
	Since     uint64
	Cursor    uint64 // in the sender's log
	Held      uint64 // how many records the receiver says that it holds; 0 with All
	Suspended bool   // it is of what was taken back alone, while the agreement was suspended
	All       bool
}

// Body returns the body of a [KindReceiptByCall].
func (c ReceiptByCall) Body() map[string]any {
	body := map[string]any{"agreement": string(c.Agreement), "version": Number(c.Version), "receiver": string(c.Receiver), "cursor": Number(c.Cursor)}
	if c.Key != "" {
		body["key"] = words(c.Key)
	}
	if c.All {
		body["deleted_all"] = true
		return body
	}
	if c.Suspended {
		body["suspended"] = true
	}
	body["since"], body["held"] = Number(c.Since), Number(c.Held)
	return body
}

// ParseReceiptByCall reads the body of a [KindReceiptByCall]. The error wraps [ErrBody].
func ParseReceiptByCall(body map[string]any) (ReceiptByCall, error) {
	r := read(KindReceiptByCall, body)
	c := ReceiptByCall{Agreement: r.agreement("agreement"), Version: r.version("version"), Receiver: r.council("receiver"), Cursor: r.index("cursor"), Key: r.textIf("key"), All: r.flagIf("deleted_all")}
	if !c.All {
		c.Suspended, c.Since, c.Held = r.flagIf("suspended"), r.index("since"), r.index("held")
	}
	return c, r.done()
}

// maxWaived bounds the rules of lint: there are not as many.
const maxWaived = 1000

// A StandardAdopted says that a standard was taken into use. Body:
//
//	{"integrity":"sha256-…","standard":"standards.example/housing-need@1.2.0","waived":["required-twice"]}
type StandardAdopted struct {
	Standard  name.Standard
	Integrity string // "sha256-" and the base64 of the SHA-256 of its schema
	// Waived are names of lint's rules that its publisher broke and the council took
	// no offence at; the member is left out when there are none.
	Waived []string
}

// Body returns the body of a [KindStandardAdopted].
func (a StandardAdopted) Body() map[string]any {
	body := map[string]any{"standard": a.Standard.String(), "integrity": a.Integrity}
	if len(a.Waived) > 0 {
		body["waived"] = textList(a.Waived)
	}
	return body
}

// ParseStandardAdopted reads the body of a [KindStandardAdopted]. The error wraps
// [ErrBody].
func ParseStandardAdopted(body map[string]any) (StandardAdopted, error) {
	r := read(KindStandardAdopted, body)
	a := StandardAdopted{Standard: r.standard("standard"), Integrity: r.textOf("integrity", 1, 100)}
	if r.has("waived") {
		a.Waived = namesOf(r, "waived", "the name of a rule", maxWaived, shortText)
		if len(a.Waived) == 0 {
			r.wrong("waived", "is empty, and must be left out then")
		}
	}
	return a, r.done()
}

func shortText(s string) (string, error) {
	if s == "" || len(s) > 100 {
		return "", ErrBody
	}
	return s, nil
}

// A StandardMapped says that records of a standard are made by the mapping that it
// ships, from those of an older major, or no longer. Body:
//
//	{"from":1,"on":true,"standard":"standards.example/housing-need@2.0.0"}
type StandardMapped struct {
	Standard name.Standard
	From     int // the major, at most 2^31−1
	On       bool
}

// Body returns the body of a [KindStandardMapped].
func (m StandardMapped) Body() map[string]any {
	return map[string]any{"standard": m.Standard.String(), "from": Number(m.From), "on": m.On}
}

// ParseStandardMapped reads the body of a [KindStandardMapped]. The error wraps
// [ErrBody].
func ParseStandardMapped(body map[string]any) (StandardMapped, error) {
	r := read(KindStandardMapped, body)
	m := StandardMapped{Standard: r.standard("standard"), From: int(r.number("from", 1<<31-1)), On: r.flag("on")}
	return m, r.done()
}

// A DirectoryJoined says which directory the council follows from here on. Body:
//
//	{"left":"<64 hex>","root":"<64 hex>","root_version":3}
type DirectoryJoined struct {
	Root        [32]byte // SHA-256 of the root file that was begun with
	RootVersion uint64   // of that file
	Left        [32]byte // SHA-256 of the root of the directory that was followed before
}

// Body returns the body of a [KindDirectoryJoined].
func (d DirectoryJoined) Body() map[string]any {
	return map[string]any{"root": hexOf(d.Root[:]), "root_version": Number(d.RootVersion), "left": hexOf(d.Left[:])}
}

// ParseDirectoryJoined reads the body of a [KindDirectoryJoined]. The error wraps
// [ErrBody].
func ParseDirectoryJoined(body map[string]any) (DirectoryJoined, error) {
	r := read(KindDirectoryJoined, body)
	const what = "64 hexadecimal digits"
	d := DirectoryJoined{Root: named(r, "root", what, parseSHA), RootVersion: r.index("root_version"), Left: named(r, "left", what, parseSHA)}
	return d, r.done()
}
