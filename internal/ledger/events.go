package ledger

import (
	"encoding/json"
	"fmt"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Why a record was withdrawn from a partner.
const (
	WithdrawnNoMatch = "no longer matches the agreement"
	WithdrawnDeleted = "deleted by the council that holds it"
)

func withdrawalBody(f *Feed, r name.Record, reason string, was uint64) map[string]any {
	return event.Withdrawal{Agreement: f.Agreement, Version: uint64(f.Version), Record: r, Reason: reason, Entry: was}.Body()
}

// WithdrawalOf reads which record a withdrawal takes back from which
// agreement; both are empty when the event is no withdrawal.
func WithdrawalOf(e *record.Event) (name.Agreement, name.Record) {
	w, err := event.ParseWithdrawal(e.Body)
	if e.Kind != event.KindWithdrawal || err != nil {
		return "", ""
	}
	return w.Agreement, w.Record
}

// A Receipt is what a receipt event says.
type Receipt = event.Receipt

// ReceiptOf reads a receipt event.
func ReceiptOf(e *record.Event) (*Receipt, error) {
	if e.Kind != event.KindReceipt {
		return nil, fmt.Errorf("read receipt: event is a %q", e.Kind)
	}
	r, err := event.ParseReceipt(e.Body)
	if err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	return r, nil
}

// decimal and number are those of package event.
func decimal[N int | uint64](n N) json.Number { return event.Number(n) }
func number(v any) (uint64, bool)             { return event.ParseNumber(v) }
