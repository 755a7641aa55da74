package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/tlog"
)

// ErrMoved: something was erased from the store while it was copied, so that the copy is of
// no one moment. Copy it again.
var ErrMoved = errors.New("something was erased from the ledger while it was copied")

// Copy calls begin with the checkpoint of one commit, and then pair with every key and
// value of the store as they stood at it, in the order of the keys. key and value are pair's until it
// returns. Writing goes on meanwhile. Where something is erased the error wraps [ErrMoved], and
// what was copied is to be thrown away; with hold, whatever is to be erased waits for the copy
// instead, and whatever is written after it.
func (l *Ledger) Copy(hold bool, begin func(tlog.Checkpoint) error, pair func(key, value []byte) error) error {
	if hold {
		l.copying.RLock()
		defer l.copying.RUnlock()
	}
	dropped := l.dropped.Load()
	return l.View(func(v *View) error {
		if err := begin(v.cp); err != nil {
			return err
		}
		it := v.txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if l.dropped.Load() != dropped {
				return ErrMoved
			}
			key := it.Item().Key()
			if !IsKey(key) || key[0] == fileLetter {
				continue // of the replica that the ledger stands in
			}
			if err := it.Item().Value(func(value []byte) error { return pair(key, value) }); err != nil {
				return fmt.Errorf("copy the ledger: %w", err)
			}
		}
		if l.dropped.Load() != dropped {
			return ErrMoved
		}
		return nil
	})
}

// LogKey returns the verifier of the log key (golang.org/x/mod/sumdb/note).
func (l *Ledger) LogKey() string { return l.o.Keys.Log.Verifier() }

// Fill makes a store in o.Dir of the keys and values that next returns, until it returns
// false. There must be no store yet. Nothing of it is checked; see [CheckStore].
func Fill(o Options, next func() (key, value []byte, ok bool, err error)) (err error) {
	if o.Log == nil {
		o.Log = discard()
	}
	db, err := openBadger(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w := db.NewWriteBatch()
	defer w.Cancel()
	for {
		key, value, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			return w.Flush()
		}
		if len(key) == 0 || !IsKey(key) || key[0] == fileLetter {
			return fmt.Errorf("%w: a key that no ledger has", ErrDamaged)
		}
		if err := w.Set(bytes.Clone(key), bytes.Clone(value)); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
}

// Checked says what [CheckStore] read.
type Checked struct {
	Checkpoint tlog.Checkpoint
	Records    uint64 // versions of our records
	Events     uint64
	Erased     uint64 // versions that were erased, of which the log keeps the hash
	Holdings   uint64 // records of other councils
}

// CheckStore reads the store in o.Dir, a ledger of o.Council whose log is signed with the
// log key that is named, such as "northmoor.gov.uk/stile+…", and holds every entry against
// its leaf in the log and every record of others against what was proved when it came. Of
// o it takes Dir, Council and EncryptionKey. It needs no private key and signs nothing. The
// error wraps [ErrDamaged] for what is not what was logged.
func CheckStore(o Options, logKey string) (c Checked, err error) {
	if o.Log == nil {
		o.Log = discard()
	}
	v, err := note.NewVerifier(logKey)
	if err != nil {
		return c, fmt.Errorf("log key: %w", err)
	}
	db, err := openBadger(o)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l := &Ledger{o: o, db: db, reader: v, closed: make(chan struct{})}
	if _, err := l.load(); err != nil {
		return c, err
	}
	err = l.View(func(v *View) error {
		c.Checkpoint = v.cp
		for i := range v.cp.Size {
			_, err := v.Version(i)
			switch {
			case err == nil:
				c.Records++
			case errors.Is(err, ErrErased):
				c.Erased++
			case errors.Is(err, ErrNotFound):
				if _, _, err := v.Event(i); err != nil {
					return fmt.Errorf("entry %d: %w", i, err)
				}
				c.Events++
			default:
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
		for _, s := range l.Sources() {
			var bad error
			err := v.HiddenToo(s, 0, func(_ *Holding, err error) bool {
				bad = err
				c.Holdings++
				return err == nil
			})
			if err = errors.Join(err, bad); err != nil {
				return fmt.Errorf("what %s sent: %w", s.From, err)
			}
		}
		return nil
	})
	return c, err
}
