package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/node/name"
)

// Tamper alters the newest record held from another council, as somebody with
// access to the disk could: it changes one character of what was disclosed and
// leaves the store itself in order, checksums included. It is for showing that
// reading it back detects that. The ledger must not be open. Tamper returns
// which record it altered, ErrNotFound when none is held.
func Tamper(dir string, encryptionKey []byte) (from name.Council, r name.Record, err error) {
	db, beside, err := openStore(Options{Dir: dir, EncryptionKey: encryptionKey, Log: discard()})
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, closeStore(db, beside)) }()
	err = db.Update(func(txn *badger.Txn) error {
		var key, value []byte
		if err := walk(txn, []byte("H"), func(k, v []byte) error {
			if len(v) > 0 { // else emptied
				key, value = k, v
			}
			return nil
		}); err != nil {
			return err
		}
		if key == nil {
			return fmt.Errorf("tamper: no record is held: %w", ErrNotFound)
		}
		h, err := decodeHolding(value)
		if err != nil {
			return err
		}
		if err := h.see(); err != nil {
			return err
		}
		from, r = h.View.Council, h.View.Record
		// The last character but one before the final "~" is inside a
		// disclosed value.
		i := bytes.LastIndexByte(value[:len(value)-1], '~') + 1
		at := i + (len(value)-1-i)/2
		if value[at] == 'A' {
			value[at] = 'B'
		} else {
			value[at] = 'A'
		}
		return txn.Set(key, value)
	})
	return from, r, err
}
