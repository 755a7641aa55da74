package ledger

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/node/name"
)

// Whole calls f with every entry of our log, in order, checked against the log: an event
// or a record with every disclosure; or of what was erased nil, and the record's id. It
// shows everything that the council has, and is for whoever may see that.
func (v *View) Whole(ctx context.Context, f func(index uint64, token []byte, erased name.Record) error) error {
	for i := range v.cp.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		var token []byte
		var erased name.Record
		ver, err := v.Version(i)
		switch {
		case err == nil:
			token = ver.Token.Bytes()
		case errors.Is(err, ErrErased):
			var g Logged
			if g, err = v.Logged(i); err == nil {
				erased = g.Record
			}
		case errors.Is(err, ErrNotFound):
			_, token, err = v.Event(i)
		}
		if err != nil {
			return err
		}
		if err := f(i, token, erased); err != nil {
			return err
		}
	}
	return nil
}
