package ledger

import (
	"fmt"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// Why a record was withdrawn from a partner.
const (
	WithdrawnNoMatch = "no longer matches the agreement"
	WithdrawnDeleted = "deleted by the council that holds it"
	WithdrawnErased  = "erased by the council that held it"
	WithdrawnByHand  = "its time is over, or it was taken back"
)

func withdrawalBody(f *Feed, r name.Record, reason string, was uint64) map[string]any {
	return event.Withdrawal{Agreement: f.Agreement, Version: uint64(f.Version), Record: r, Reason: reason, Entry: was}.Body()
}

// ReadEvent reads an event of our log that is of a kind, by the Parse function of
// that kind. It returns the signed event too. An event of another kind is an error.
func ReadEvent[C any](v *View, index uint64, kind string, parse func(map[string]any) (C, error)) (content C, jws []byte, err error) {
	ev, jws, err := v.Event(index)
	switch {
	case err != nil:
		return content, nil, err
	case ev.Kind != kind:
		return content, nil, fmt.Errorf("entry %d is not of the kind %s", index, kind)
	}
	if content, err = parse(ev.Body); err != nil {
		return content, nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return content, jws, nil
}
