package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
)

// A record is proved by its place in the log, and its token has no signature of
// its own until somebody needs one that stands alone: other SD-JWT tools, a
// partner that asks for it. Then it is made, and kept from then on:
//
//	R index8   the ES256 signature of the token of the entry, 64 bytes

func signatureKey(index uint64) []byte { return numKey('R', index) }

// SignTokens gives every record token among items of this log its own signature;
// events have theirs. One that was made before is used again. It returns once the new
// ones are durable.
//
// The error wraps [keys.ErrNoFormer] for a record that was logged under a record key
// that is not here any more; the others have their signatures all the same.
func (l *Ledger) SignTokens(ctx context.Context, items []PageItem) error {
	tokens, stored := make([]*record.Token, len(items)), make([][]byte, len(items))
	err := l.View(func(v *View) error {
		for i, it := range items {
			var err error
			if !it.IsRecord() || it.Passed != nil { // that has its own council's
				continue
			}
			if tokens[i], err = it.Record(); err != nil {
				return fmt.Errorf("entry %d: %w", it.Index, err)
			}
			if stored[i], err = v.value(signatureKey(it.Index)); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sign tokens: %w", err)
	}
	made, errs := make([][]byte, len(items)), make([]error, len(items))
	onAllCores(len(items), 2, func(i int) {
		if tokens[i] != nil {
			tokens[i], made[i], errs[i] = l.signToken(tokens[i], stored[i])
		}
	})
	var missing error
	for i, err := range errs {
		switch {
		case errors.Is(err, keys.ErrNoFormer):
			if tokens[i] = nil; missing == nil {
				missing = fmt.Errorf("sign tokens: entry %d: %w", items[i].Index, err)
			}
		case err != nil:
			return fmt.Errorf("sign tokens: entry %d: %w", items[i].Index, err)
		}
	}
	if err := l.keepSignatures(ctx, items, made); err != nil {
		return fmt.Errorf("sign tokens: %w", err)
	}
	for i, t := range tokens {
		if t != nil {
			items[i].Token, items[i].built = t.Bytes(), t
		}
	}
	return missing
}

// signToken returns a token with its signature, and that signature if it is not the
// one stored.
func (l *Ledger) signToken(t *record.Token, stored []byte) (signed *record.Token, made []byte, err error) {
	key, err := l.o.Keys.RecordKey(t.KeyID())
	if err != nil {
		return nil, nil, err
	}
	if len(stored) == 64 {
		// What is on disk is not believed: a signature that does not hold would be
		// held against this council.
		if signed = t.Seal(stored); signed.Verify(key.Public()) == nil {
			return signed, nil, nil
		}
	}
	if made, err = key.Sign(t.SigningInput()); err != nil {
		return nil, nil, err
	}
	return t.Seal(made), made, nil
}

func (l *Ledger) keepSignatures(ctx context.Context, items []PageItem, made [][]byte) error {
	n := 0
	for _, sig := range made {
		if sig != nil {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return l.do(ctx, false, func(t *tx) error {
		for i, sig := range made {
			if sig != nil {
				t.set(signatureKey(items[i].Index), sig)
			}
		}
		return nil
	})
}

// SignToken is SignTokens for a version that was read.
func (l *Ledger) SignToken(ctx context.Context, ver *Version) (*record.Token, error) {
	items := []PageItem{{Index: ver.Index, Token: ver.Token.Bytes()}}
	if err := l.SignTokens(ctx, items); err != nil {
		return nil, err
	}
	return record.Parse(items[0].Token)
}

// Signatures counts the tokens that were given a signature of their own.
func (v *View) Signatures() (n int) {
	it := v.list([]byte{'R'}, keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}
