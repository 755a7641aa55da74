package event

import (
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Withdrawal takes a record back from those an agreement let it go to.
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
		"record": string(w.Record), "reason": w.Reason, "entry": Number(w.Entry),
	}
}

// ParseWithdrawal reads the body of a [KindWithdrawal]. The error wraps [ErrBody].
func ParseWithdrawal(body map[string]any) (Withdrawal, error) {
	r := reader{kind: KindWithdrawal, body: body}
	w := Withdrawal{
		Agreement: r.agreement("agreement"), Version: r.number("version"),
		Record: named(&r, "record", name.ParseRecord), Reason: r.text("reason"), Entry: r.number("entry"),
	}
	return w, r.err
}

// A Disclosure says what is about to be sent to whom.
type Disclosure struct {
	Footprint name.Council // whose log the entries are of; "" for our own
	Agreement name.Agreement
	Version   uint64 // of the agreement
	To        name.Council
	Entries   []uint64 // log indexes, ascending
}

// Body returns the body of a [KindDisclosure] or, with a footprint, of a
// [KindFootprintDisclosure].
func (d Disclosure) Body() map[string]any {
	body := map[string]any{"agreement": string(d.Agreement), "version": Number(d.Version), "to": string(d.To), "entries": Indexes(d.Entries)}
	if d.Footprint != "" {
		body["footprint"] = string(d.Footprint)
	}
	return body
}

// ParseDisclosure reads the body of a [KindDisclosure] or [KindFootprintDisclosure],
// whichever kind says. The error wraps [ErrBody].
func ParseDisclosure(kind string, body map[string]any) (Disclosure, error) {
	r := reader{kind: kind, body: body}
	d := Disclosure{Agreement: r.agreement("agreement"), Version: r.number("version"), To: r.council("to"), Entries: r.indexes("entries")}
	if kind == KindFootprintDisclosure {
		d.Footprint = r.council("footprint")
	}
	return d, r.err
}

// A Receipt says what became of a delivery: which entries of whose log were kept,
// refused or deleted, at which checkpoint of that log; or, with All set, that
// everything was deleted that was held under an agreement that is over.
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
		body["reason"] = r.Reason
	}
	if r.All {
		body["deleted_all"] = Number(r.DeletedAll)
		return body
	}
	refused := make([]any, len(r.Refused))
	for i, e := range r.Refused {
		refused[i] = map[string]any{"entry": Number(e.Entry), "rule": e.Rule, "pointer": e.Pointer}
	}
	body["root"], body["since"] = r.Root.String(), Number(r.Since)
	if r.Suspended {
		body["suspended"] = true
	}
	body["held"], body["refused"], body["deleted"] = Indexes(r.Held), refused, Indexes(r.Deleted)
	return body
}

// ParseReceipt reads the body of a [KindReceipt]. The error wraps [ErrBody].
func ParseReceipt(body map[string]any) (*Receipt, error) {
	r := reader{kind: KindReceipt, body: body}
	out := &Receipt{Agreement: r.agreement("agreement"), From: r.council("from"), Size: r.number("size"), Cursor: r.number("cursor"), Reason: r.text("reason")}
	if _, out.All = body["deleted_all"]; out.All {
		out.DeletedAll = r.number("deleted_all")
		return out, r.err
	}
	var err error
	if out.Root, err = tlog.ParseHash(r.text("root")); err != nil {
		r.wrong("root")
	}
	out.Suspended, _ = body["suspended"].(bool)
	out.Since, out.Held, out.Deleted = r.counter("since"), r.indexes("held"), r.indexes("deleted")
	list, ok := body["refused"].([]any)
	if !ok && body["refused"] != nil {
		r.wrong("refused")
	}
	for _, v := range list {
		m, _ := v.(map[string]any)
		n, ok := ParseNumber(m["entry"])
		if !ok {
			r.wrong("refused")
		}
		rule, _ := m["rule"].(string)
		pointer, _ := m["pointer"].(string)
		out.Refused = append(out.Refused, RefusedEntry{n, rule, pointer})
	}
	return out, r.err
}

// ParseAnswered reads the body of an [KindAnswerReceipt] as the receipt that it is: what an
// answer showed counts as held.
func ParseAnswered(body map[string]any) (*Receipt, error) {
	r := reader{kind: KindAnswerReceipt, body: body}
	out := &Receipt{Agreement: r.agreement("agreement"), From: r.council("from"), Size: r.number("size"), Held: r.indexes("entries")}
	var err error
	if out.Root, err = tlog.ParseHash(r.text("root")); err != nil {
		r.wrong("root")
	}
	return out, r.err
}

// A StandardAdopted says that a standard was taken into use.
type StandardAdopted struct {
	Standard  name.Standard
	Integrity string // "sha256-" and the base64 of the SHA-256 of its schema
	// Waived are names of lint's rules that its publisher broke and the council took
	// no offence at.
	Waived []string
}

// Body returns the body of a [KindStandardAdopted].
func (a StandardAdopted) Body() map[string]any {
	body := map[string]any{"standard": a.Standard.String(), "integrity": a.Integrity}
	if len(a.Waived) > 0 {
		list := make([]any, len(a.Waived))
		for i, w := range a.Waived {
			list[i] = w
		}
		body["waived"] = list
	}
	return body
}

// ParseStandardAdopted reads the body of a [KindStandardAdopted]. The error wraps [ErrBody].
func ParseStandardAdopted(body map[string]any) (a StandardAdopted, err error) {
	r := reader{kind: KindStandardAdopted, body: body}
	if a.Standard, err = name.ParseStandard(r.text("standard")); err != nil {
		r.wrong("standard")
	}
	a.Integrity = r.text("integrity")
	list, ok := body["waived"].([]any)
	if !ok && body["waived"] != nil {
		r.wrong("waived")
	}
	for _, v := range list {
		w, ok := v.(string)
		if !ok {
			r.wrong("waived")
		}
		a.Waived = append(a.Waived, w)
	}
	return a, r.err
}
