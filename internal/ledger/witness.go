package ledger

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Cosigned is a checkpoint of this log with a witness's cosignature.
type Cosigned struct {
	Witness    name.Council
	Checkpoint tlog.Checkpoint
	Note       []byte // signed by the log and cosigned
}

// Cosign keeps a checkpoint with a witness's cosignature that came without a receipt:
// cp and the note that says it, whose signatures the caller has verified.
func (l *Ledger) Cosign(ctx context.Context, witness name.Council, cp tlog.Checkpoint, signed []byte) error {
	return l.do(ctx, false, func(t *tx) error { return t.cosign(&Cosigned{witness, cp, signed}) })
}

// cosign keeps the newest checkpoint a witness has cosigned, with the note that says
// it, whose signatures the caller has verified.
func (t *tx) cosign(c *Cosigned) error {
	key := append([]byte("w"), c.Witness...)
	old, err := t.lookup(key)
	if err == nil {
		if was, _, err := decodeCheckpoint(c.Checkpoint.Origin, old); err == nil && was.Size > c.Checkpoint.Size {
			return nil
		}
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	t.set(key, encodeCheckpoint(c.Checkpoint, c.Note))
	return nil
}

// Cosigned returns the newest cosigned checkpoint of every witness.
func (v *View) Cosigned() (out []Cosigned, err error) {
	err = v.walk([]byte("w"), func(key, value []byte) error {
		cp, signed, err := decodeCheckpoint(v.cp.Origin, value)
		if err != nil {
			return err
		}
		out = append(out, Cosigned{name.Council(key[1:]), cp, signed})
		return nil
	})
	return out, err
}
