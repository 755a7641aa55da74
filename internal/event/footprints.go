package event

import (
	"encoding/base64"
	"errors"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A FootprintPut says that open fields of records are about to go into a footprint's
// ledger without an agreement. Body: footprint, entries.
type FootprintPut struct {
	Footprint name.Council
	Entries   []uint64 // log indexes
}

// Body returns the body of a [KindFootprintPut].
func (p FootprintPut) Body() map[string]any {
	return map[string]any{"footprint": string(p.Footprint), "entries": indexList(p.Entries)}
}

// ParseFootprintPut reads the body of a [KindFootprintPut]. The error wraps
// [ErrBody].
func ParseFootprintPut(body map[string]any) (FootprintPut, error) {
	r := read(KindFootprintPut, body)
	p := FootprintPut{Footprint: r.council("footprint"), Entries: r.indexes("entries")}
	return p, r.done()
}

// A FootprintContributed says what a footprint made of a page that a council
// brought, and so stands where a partner's receipt does. Body:
//
//	{"agreement":"saltby.gov.uk/items","at":[7],"cursor":9,"footprint":"fens.example","held":[3],"position":5,
//	 "refused":[{"entry":6,"rule":"standard"}],"since":1,"version":2,"withdrawn":[4],"withdrawn_at":[8]}
type FootprintContributed struct {
	Agreement name.Agreement
	Version   uint64 // of the agreement
	Footprint name.Council
	Position  uint64 // in the footprint's replicated log
	Since     uint64 // the cursor of our feed before the page, and
	Cursor    uint64 // the one after it
	// Held and Withdrawn are log indexes of ours; HeldAt and WithdrawnAt where each of
	// these stands in the footprint's log, in the same order.
	Held, HeldAt           []uint64
	Withdrawn, WithdrawnAt []uint64
	Refused                []RefusedEntry // Pointer is ""
	// Outside: brought by one that is no member, and so holds no replica and gets no
	// cosignatures of every member.
	Outside bool
}

// Body returns the body of a [KindFootprintContributed].
func (c FootprintContributed) Body() map[string]any {
	refused := make([]any, len(c.Refused))
	for i, e := range c.Refused {
		refused[i] = map[string]any{"entry": Number(e.Entry), "rule": words(e.Rule)}
	}
	body := map[string]any{
		"agreement": string(c.Agreement), "version": Number(c.Version), "footprint": string(c.Footprint),
		"position": Number(c.Position), "since": Number(c.Since), "cursor": Number(c.Cursor),
		"held": indexList(c.Held), "at": indexList(c.HeldAt), "withdrawn": indexList(c.Withdrawn), "withdrawn_at": indexList(c.WithdrawnAt),
		"refused": refused,
	}
	if c.Outside {
		body["outside"] = true
	}
	return body
}

// ParseFootprintContributed reads the body of a [KindFootprintContributed]. The
// error wraps [ErrBody].
func ParseFootprintContributed(body map[string]any) (FootprintContributed, error) {
	r := read(KindFootprintContributed, body)
	c := FootprintContributed{
		Agreement: r.agreement("agreement"), Version: r.version("version"), Footprint: r.council("footprint"),
		Position: r.index("position"), Since: r.index("since"), Cursor: r.index("cursor"), Outside: r.flagIf("outside"),
	}
	c.Held, c.HeldAt = r.pairs("held", "at")
	c.Withdrawn, c.WithdrawnAt = r.pairs("withdrawn", "withdrawn_at")
	r.objects("refused", maxNumber, func(o *reader) {
		c.Refused = append(c.Refused, RefusedEntry{Entry: o.index("entry"), Rule: o.text("rule")})
	})
	return c, r.done()
}

// Bounds of a footprint's receipt.
const (
	MaxMembers  = 32       // more than a footprint has
	MaxCosigned = 32       // checkpoints: one for each member suffices
	maxNote     = 64 << 10 // bytes of a signed note
	maxProof    = 1 << 20  // bytes of a batch proof
)

// A FootprintConfirmed is how a contributor keeps a footprint's receipt. A footprint
// has no key: its members cosign its checkpoints, each once it has applied what is
// below. Body: agreement, footprint, members, through, held, held_at, withdrawn,
// withdrawn_at, checkpoints (objects of note, held_proof and withdrawn_proof).
type FootprintConfirmed struct {
	Agreement              name.Agreement
	Footprint              name.Council
	Members                []name.Council // who are the footprint at that time
	Last                   uint64         // log index of the last [KindFootprintContributed] it confirms
	Held, HeldAt           []uint64       // as in FootprintContributed
	Withdrawn, WithdrawnAt []uint64       // as in FootprintContributed
	Checkpoints            []Cosigned     // at least one
}

// A Cosigned is a checkpoint of a footprint, and what shows that entries stand below
// it: batch proofs of package tlog, of HeldAt and of WithdrawnAt. A proof of no
// hashes is left out of the body.
type Cosigned struct {
	Note                      string
	HeldProof, WithdrawnProof []tlog.Hash
}

// Body returns the body of a [KindFootprintConfirmed].
func (c FootprintConfirmed) Body() map[string]any {
	notes := make([]any, len(c.Checkpoints))
	for i, cp := range c.Checkpoints {
		one := map[string]any{"note": cp.Note}
		if len(cp.HeldProof) > 0 {
			one["held_proof"] = base64.StdEncoding.EncodeToString(tlog.JoinHashes(cp.HeldProof))
		}
		if len(cp.WithdrawnProof) > 0 {
			one["withdrawn_proof"] = base64.StdEncoding.EncodeToString(tlog.JoinHashes(cp.WithdrawnProof))
		}
		notes[i] = one
	}
	return map[string]any{
		"agreement": string(c.Agreement), "footprint": string(c.Footprint), "members": textList(c.Members), "last": Number(c.Last),
		"held": indexList(c.Held), "held_at": indexList(c.HeldAt), "withdrawn": indexList(c.Withdrawn), "withdrawn_at": indexList(c.WithdrawnAt),
		"checkpoints": notes,
	}
}

// ParseFootprintConfirmed reads the body of a [KindFootprintConfirmed]. The error
// wraps [ErrBody].
func ParseFootprintConfirmed(body map[string]any) (FootprintConfirmed, error) {
	r := read(KindFootprintConfirmed, body)
	c := FootprintConfirmed{
		Agreement: r.agreement("agreement"), Footprint: r.council("footprint"), Last: r.index("last"),
		Members: namesOf(r, "members", aCouncil, MaxMembers, name.ParseCouncil),
	}
	c.Held, c.HeldAt = r.pairs("held", "held_at")
	c.Withdrawn, c.WithdrawnAt = r.pairs("withdrawn", "withdrawn_at")
	r.objects("checkpoints", MaxCosigned, func(o *reader) {
		c.Checkpoints = append(c.Checkpoints, Cosigned{
			Note: o.textOf("note", 1, maxNote), HeldProof: o.proofIf("held_proof"), WithdrawnProof: o.proofIf("withdrawn_proof"),
		})
	})
	if len(c.Checkpoints) == 0 {
		r.wrong("checkpoints", "is empty")
	}
	return c, r.done()
}

func (r *reader) proofIf(member string) []tlog.Hash {
	if !r.has(member) {
		return nil
	}
	return named(r, member, "the base64 of a proof that has hashes", parseProof)
}

func parseProof(s string) ([]tlog.Hash, error) {
	if len(s) > maxProof {
		return nil, ErrBody
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 || base64.StdEncoding.EncodeToString(b) != s {
		return nil, errors.New("no base64")
	}
	return tlog.SplitHashes(b)
}

// A FootprintDisclosure says what a member is about to send, of a footprint's
// records, to a partner outside. Body: that of a [Disclosure], and footprint.
type FootprintDisclosure struct {
	Footprint name.Council // whose log the entries are of
	Disclosure
}

// Body returns the body of a [KindFootprintDisclosure].
func (d FootprintDisclosure) Body() map[string]any {
	body := d.Disclosure.Body()
	body["footprint"] = string(d.Footprint)
	return body
}

// ParseFootprintDisclosure reads the body of a [KindFootprintDisclosure]. The error
// wraps [ErrBody].
func ParseFootprintDisclosure(body map[string]any) (FootprintDisclosure, error) {
	r := read(KindFootprintDisclosure, body)
	d := FootprintDisclosure{Footprint: r.council("footprint"), Disclosure: r.disclosure()}
	return d, r.done()
}

// A FootprintReceipt keeps a partner's receipt for records of a footprint. Body:
// footprint, agreement, from, receipt.
type FootprintReceipt struct {
	Footprint name.Council // whose records
	Agreement name.Agreement
	From      name.Council // the partner
	Receipt   []byte       // its signed [KindReceipt], at most MaxSigned bytes
}

// Body returns the body of a [KindFootprintReceipt].
func (f FootprintReceipt) Body() map[string]any {
	return map[string]any{"footprint": string(f.Footprint), "agreement": string(f.Agreement), "from": string(f.From), "receipt": string(f.Receipt)}
}

// ParseFootprintReceipt reads the body of a [KindFootprintReceipt]. The error wraps
// [ErrBody].
func ParseFootprintReceipt(body map[string]any) (FootprintReceipt, error) {
	r := read(KindFootprintReceipt, body)
	f := FootprintReceipt{
		Footprint: r.council("footprint"), Agreement: r.agreement("agreement"), From: r.council("from"),
		Receipt: []byte(r.textOf("receipt", 1, MaxSigned)),
	}
	return f, r.done()
}

// A FootprintDecided is how a node remembers that a footprint has signed, suspended,
// resumed or ended an agreement: a majority of its members said so. Body: footprint,
// kind, statement, entry.
type FootprintDecided struct {
	Footprint name.Council
	Kind      string         // of the event that completed the majority, one of AgreementKinds
	Statement map[string]any // the body of that event, for package agreement to read
	Entry     uint64         // of it in the footprint's log
}

// Body returns the body of a [KindFootprintDecided].
func (d FootprintDecided) Body() map[string]any {
	return map[string]any{"footprint": string(d.Footprint), "kind": d.Kind, "statement": d.Statement, "entry": Number(d.Entry)}
}

// ParseFootprintDecided reads the body of a [KindFootprintDecided]. The error wraps
// [ErrBody].
func ParseFootprintDecided(body map[string]any) (FootprintDecided, error) {
	r := read(KindFootprintDecided, body)
	d := FootprintDecided{Footprint: r.council("footprint"), Kind: r.oneOf("kind", AgreementKinds()...), Entry: r.index("entry")}
	var ok bool
	if d.Statement, ok = r.value("statement").(map[string]any); !ok {
		r.wrong("statement", "is not an object")
	}
	return d, r.done()
}

// A FootprintDiscarded says that a council deleted its replica of a footprint that
// it is no member of. Body: footprint, entries.
type FootprintDiscarded struct {
	Footprint name.Council
	Entries   uint64 // how many it held
}

// Body returns the body of a [KindFootprintDiscarded].
func (f FootprintDiscarded) Body() map[string]any {
	return map[string]any{"footprint": string(f.Footprint), "entries": Number(f.Entries)}
}

// ParseFootprintDiscarded reads the body of a [KindFootprintDiscarded]. The error
// wraps [ErrBody].
func ParseFootprintDiscarded(body map[string]any) (FootprintDiscarded, error) {
	r := read(KindFootprintDiscarded, body)
	f := FootprintDiscarded{Footprint: r.council("footprint"), Entries: r.index("entries")}
	return f, r.done()
}

// A FootprintErased says that a council that was a member of a footprint has erased from
// its replica what withdrawals in the footprint's log take back. Body: footprint, orders.
type FootprintErased struct {
	Footprint name.Council
	// Orders are log indexes of the footprint's log, ascending: of withdrawals, or of the entry by which
	// it left, for all withdrawals before.
	Orders []uint64
}

// Body returns the body of a [KindFootprintErased].
func (e FootprintErased) Body() map[string]any {
	return map[string]any{"footprint": string(e.Footprint), "orders": indexList(e.Orders)}
}

// ParseFootprintErased reads the body of a [KindFootprintErased]. The error wraps [ErrBody].
func ParseFootprintErased(body map[string]any) (FootprintErased, error) {
	r := read(KindFootprintErased, body)
	e := FootprintErased{Footprint: r.council("footprint"), Orders: r.indexes("orders")}
	return e, r.done()
}

// A FootprintExpired says that a member of a footprint finds that records may be kept there no longer, by
// its clock and an agreement's text. Body: footprint, agreement, version, entries.
type FootprintExpired struct {
	Footprint name.Council
	Agreement name.Agreement // that they came under
	Version   uint64         // of it, whose term is over
	Entries   []uint64       // log indexes of the footprint's log, ascending
}

// Body returns the body of a [KindFootprintExpired].
func (e FootprintExpired) Body() map[string]any {
	return map[string]any{"footprint": string(e.Footprint), "agreement": string(e.Agreement), "version": Number(e.Version), "entries": indexList(e.Entries)}
}

// ParseFootprintExpired reads the body of a [KindFootprintExpired]. The error wraps [ErrBody].
func ParseFootprintExpired(body map[string]any) (FootprintExpired, error) {
	r := read(KindFootprintExpired, body)
	e := FootprintExpired{Footprint: r.council("footprint"), Agreement: r.agreement("agreement"), Version: r.version("version"), Entries: r.indexes("entries")}
	return e, r.done()
}
