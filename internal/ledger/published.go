package ledger

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/tlog"
)

// Publish keeps the checkpoint of this log that was published last: cp and the note
// that says it, with the cosignatures it had then. The caller has verified them.
func (l *Ledger) Publish(ctx context.Context, cp tlog.Checkpoint, signed []byte) error {
	return l.do(ctx, false, func(t *tx) error {
		t.set(keyPublished, encodeCheckpoint(cp, signed))
		return nil
	})
}

// Published returns the checkpoint that was published last, a nil note when none was.
func (v *View) Published() (tlog.Checkpoint, []byte, error) {
	b, err := v.value(keyPublished)
	if errors.Is(err, ErrNotFound) {
		return tlog.Checkpoint{}, nil, nil
	}
	if err != nil {
		return tlog.Checkpoint{}, nil, err
	}
	return decodeCheckpoint(v.cp.Origin, b)
}
