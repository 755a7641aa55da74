package ledger

import (
	"encoding/json"
	"fmt"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Kinds of events this package writes; the body of each is an object.
const (
	// KindWithdrawal takes a record back from those an agreement let it go to.
	// Body: agreement, version, record, reason, entry (log index of the newest
	// version that was let out).
	KindWithdrawal = "withdrawal"
	// KindDisclosure says what was about to be sent. Body: agreement, version,
	// to, entries (log indexes, ascending).
	KindDisclosure = "disclosure"
	// KindReceipt says what became of a delivery. Body: agreement, from, size
	// and root of the sender's checkpoint, since and cursor (where the delivery
	// began and ended), held, deleted (log indexes at the sender), refused
	// (objects of entry, rule, pointer); or, when the
	// agreement is over, deleted_all (a count) and reason.
	KindReceipt = "receipt"
	// KindAdopted says that a standard was taken into use. Body: standard,
	// integrity, waived (names of lint's rules that its publisher broke and the
	// council took no offence at; absent when none).
	KindAdopted = "standard-adopted"
	// KindMapped says that records of a standard are made by the mapping it
	// ships, from those of an older major, or no longer. Body: standard, from
	// (the major), on.
	KindMapped = "standard-mapped"
)

// Why a record was withdrawn from a partner.
const (
	WithdrawnNoMatch = "no longer matches the agreement"
	WithdrawnDeleted = "deleted by the council that holds it"
)

func withdrawalBody(f *Feed, r name.Record, reason string, was uint64) map[string]any {
	return map[string]any{
		"agreement": string(f.Agreement), "version": decimal(f.Version),
		"record": string(r), "reason": reason, "entry": decimal(was),
	}
}

// WithdrawalOf reads which record a withdrawal takes back from which
// agreement; both are empty when the event is no withdrawal.
func WithdrawalOf(e *record.Event) (name.Agreement, name.Record) {
	a, ok := e.Body["agreement"].(string)
	r, ok2 := e.Body["record"].(string)
	if e.Kind != KindWithdrawal || !ok || !ok2 {
		return "", ""
	}
	agr, err := name.ParseAgreement(a)
	rec, err2 := name.ParseRecord(r)
	if err != nil || err2 != nil {
		return "", ""
	}
	return agr, rec
}

// A Receipt is what a receipt event says.
type Receipt struct {
	Agreement  name.Agreement
	From       name.Council // whose log the indexes are of
	Size       uint64       // of the checkpoint of that log it is about
	Root       string       // of that checkpoint, as tlog prints it; "" with DeletedAll
	Since      uint64       // the cursor of the delivery, and
	Cursor     uint64       // the one after it
	Held       []uint64
	Deleted    []uint64
	Refused    int
	DeletedAll int // everything held under an agreement that is over
	// Suspended: it answers to a page of withdrawals, of an agreement that was
	// suspended, and says nothing of the records between Since and Cursor.
	Suspended bool

	RefusedEntries []uint64
}

// ReceiptOf reads a receipt event.
func ReceiptOf(e *record.Event) (*Receipt, error) {
	if e.Kind != KindReceipt {
		return nil, fmt.Errorf("read receipt: event is a %q", e.Kind)
	}
	r := &Receipt{}
	var err error
	a, _ := e.Body["agreement"].(string)
	if r.Agreement, err = name.ParseAgreement(a); err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	f, _ := e.Body["from"].(string)
	if r.From, err = name.ParseCouncil(f); err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	for _, field := range []struct {
		key  string
		into *[]uint64
	}{{"held", &r.Held}, {"deleted", &r.Deleted}} {
		list, _ := e.Body[field.key].([]any)
		for _, v := range list {
			n, ok := number(v)
			if !ok {
				return nil, fmt.Errorf("read receipt: %q holds something that is no log index", field.key)
			}
			*field.into = append(*field.into, n)
		}
	}
	refused, _ := e.Body["refused"].([]any)
	r.Refused = len(refused)
	for _, v := range refused {
		o, _ := v.(map[string]any)
		n, ok := number(o["entry"])
		if !ok {
			return nil, fmt.Errorf("read receipt: \"refused\" holds something without an entry")
		}
		r.RefusedEntries = append(r.RefusedEntries, n)
	}
	r.Since, _ = number(e.Body["since"])
	r.Size, _ = number(e.Body["size"])
	r.Root, _ = e.Body["root"].(string)
	r.Suspended, _ = e.Body["suspended"].(bool)
	var ok bool
	if r.Cursor, ok = number(e.Body["cursor"]); !ok {
		return nil, fmt.Errorf("read receipt: no cursor")
	}
	all, _ := number(e.Body["deleted_all"])
	r.DeletedAll = int(min(all, 1<<40))
	return r, nil
}

// decimal returns a number as the strict reader would.
func decimal[N int | uint64](n N) json.Number { return json.Number(fmt.Sprint(n)) }

func number(v any) (uint64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return uint64(i), err == nil && i >= 0
}
