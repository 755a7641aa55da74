package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/stile-exchange/stile/node/name"
)

// broughtPlace begins the places of events that came as files: beyond every index that a
// log of a council's reaches.
const broughtPlace = 1 << 52

// Bring keeps an event of another council that was checked and came as a file, since that
// council has no node, among those that it addressed to us. The same again changes
// nothing.
func (l *Ledger) Bring(ctx context.Context, from name.Council, jws []byte) (index uint64, err error) {
	s, err := l.OpenSource(ctx, from, "")
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(jws)
	index = broughtPlace | binary.BigEndian.Uint64(sum[:])>>24
	err = l.do(ctx, false, func(t *tx) error {
		t.set(positionKey('E', s.number, index), jws)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("keep an event of %s: %w", from, err)
	}
	return index, nil
}
