package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A record is found by the number of a person that its standard says it names. Each
// version of a record of ours adds its persons to the disclosure index, in its own
// transaction, and only its erasure takes them away: who was named in an old version may
// ask who had it. The key is keys.Ring.BlindIndex of the scheme and the folded value, so that nobody
// who reads the disk learns a number.

// personKeyLen is the length of the key of a person.
const personKeyLen = 16

// personKeys returns the keys of the persons that a record names, one after the other;
// nil for none.
func (l *Ledger) personKeys(std *standard.Standard, body map[string]any) (keys []byte) {
	if len(std.Persons()) == 0 {
		return nil
	}
	for _, p := range std.PersonsIn(body) {
		k := l.personKey(p)
		keys = append(keys, k[:]...)
	}
	return keys
}

func (l *Ledger) personKey(p standard.Person) [personKeyLen]byte {
	// Longer than any other scope there is.
	return l.o.Keys.BlindIndex([]byte("person "+p.Scheme), "", p.Folded())
}

func personIndexKey(key []byte, r [16]byte) []byte {
	return append(append([]byte("Tn"), key...), r[:]...)
}

// indexPersons enters the persons that the record version at an index names.
func (v *View) indexPersons(at uint64, set func(k, val []byte)) error {
	raw, err := v.raw(at)
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, k := range v.l.personIndexKeys(raw) {
		set(k, []byte{})
	}
	return nil
}

// unname takes the persons of a record version that is about to be erased out of the
// index. Who has erased what named somebody is not to find it by the number any more.
func (t *tx) unname(at uint64) error {
	raw, err := t.stored(at)
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
		return nil // nor was it found when the index was built
	}
	if err != nil {
		return err
	}
	for _, k := range t.l.personIndexKeys(raw) {
		t.remove(k)
	}
	return nil
}

// personIndexKeys returns the keys under which a stored entry is found by the persons that
// it names. What is no record, or cannot be read, names none.
func (l *Ledger) personIndexKeys(raw []byte) (out [][]byte) {
	s, err := decodeStoredRecord(raw)
	if err != nil || s.op != record.Put {
		return nil
	}
	std, _, err := l.tables(s.standard, s.key)
	if err != nil || len(std.std.Persons()) == 0 {
		return nil
	}
	var tops []string
	for _, p := range std.std.Persons() {
		tops = append(tops, p.Field.Tokens()[0])
	}
	body, err := strictjson.Members(s.body, tops, bodyLimits)
	if err != nil {
		return nil
	}
	for k := range slices.Chunk(l.personKeys(std.std, body), personKeyLen) {
		out = append(out, personIndexKey(k, s.record))
	}
	return out
}

// RecordsAbout returns the ids of our records of which some version names a person,
// ascending. The index is not believed: whoever shows what is in a version looks at it.
func (v *View) RecordsAbout(p standard.Person) (out []name.Record, err error) {
	key := v.l.personKey(p)
	err = v.walk(append([]byte("Tn"), key[:]...), func(k, _ []byte) error {
		if len(k) != 2+personKeyLen+16 {
			return fmt.Errorf("%w: disclosure index", ErrDamaged)
		}
		out = append(out, name.RecordFrom([16]byte(k[2+personKeyLen:])))
		return nil
	})
	return out, err
}
