package ledger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/name"
)

// A valueIndex finds the records of a line of standards by the value at one field. There
// is one for each field that the filter of an agreement compares with constants: it is
// built when the first such agreement is matched, and kept at write from then on.
//
//	D index4                the index: JSON
//	v index4 value8 first8  postings: log indexes, in uvarints, each the distance from the
//	                        one before; the first is in the key
//
// where value8 begins keys.Ring.BlindIndex of the index's number, the field and the value.
// So it says of a record on disk no more than that it shares a value with others, and a
// batch adds one key for each value that is new to it, however many records have it.
//
// Nothing is ever taken out. A log index that is no current version's any more is passed
// over by whoever reads it, as is a record that came under another value's key: what is
// found is looked up and matched, so that the index decides nothing.
type valueIndex struct {
	number uint32
	line   name.StandardLine
	field  name.Field
	// from is the first log index that was written with the index kept; of records
	// before it those below built are in.
	from, built uint64
}

type storedIndex struct {
	Line  name.StandardLine `json:"line"`
	Field name.Field        `json:"field"`
	From  uint64            `json:"from"`
	Built uint64            `json:"built"`
}

// ready: every record is in the index.
func (x *valueIndex) ready() bool { return x.built >= x.from }

func (x *valueIndex) store() ([]byte, error) {
	return marshal(storedIndex{x.line, x.field, x.from, x.built})
}

func (l *Ledger) loadIndexes(txn *badger.Txn) error {
	return walk(txn, []byte("D"), func(key, value []byte) error {
		var s storedIndex
		if err := unmarshal(value, &s); err != nil {
			return err
		}
		l.indexes = append(l.indexes, &valueIndex{binary.BigEndian.Uint32(key[1:]), s.Line, s.Field, s.From, s.Built})
		return nil
	})
}

// index stores an index and makes it the one that is kept and read. It runs in a job that
// is alone when the index is new, so that no record is written that knows nothing of it.
func (t *tx) index(x *valueIndex) error {
	b, err := x.store()
	if err != nil {
		return err
	}
	t.set(numKey4('D', x.number), b)
	t.after = append(t.after, func() {
		t.l.indexes = slices.Clone(t.l.indexes)
		if int(x.number) == len(t.l.indexes) {
			t.l.indexes = append(t.l.indexes, x)
		} else {
			t.l.indexes[x.number] = x
		}
	})
	return nil
}

func (l *Ledger) indexList() []*valueIndex {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.indexes
}

// indexFor returns the index of a field, nil when there is none.
func (l *Ledger) indexFor(line name.StandardLine, f name.Field) *valueIndex {
	for _, x := range l.indexList() {
		if x.line == line && x.field == f {
			return x
		}
	}
	return nil
}

// A posting is a value under an index.
type posting struct {
	index *valueIndex
	value agreement.Scalar
}

// postings gathers where values stand: log indexes that ascend.
type postings map[posting][]uint64

func (p postings) add(x *valueIndex, record map[string]any, at uint64) {
	if v, ok := agreement.ScalarAt(record, x.field); ok {
		k := posting{x, v}
		p[k] = append(p[k], at)
	}
}

// write stores the postings.
func (p postings) write(l *Ledger, set func(key, value []byte)) {
	for k, at := range p {
		var b []byte
		for i, n := range at[1:] {
			b = binary.AppendUvarint(b, n-at[i])
		}
		if b == nil {
			b = []byte{}
		}
		set(binary.BigEndian.AppendUint64(l.postingsOf(k.index, k.value), at[0]), b)
	}
}

func (l *Ledger) postingsOf(x *valueIndex, v agreement.Scalar) []byte {
	prefix := numKey4('v', x.number)
	// A scope of six bytes is no feed's.
	d := l.o.Keys.BlindIndex(append([]byte("v "), prefix[1:]...), x.field, string(v.Bytes()))
	return append(prefix, d[:8]...)
}

// picked returns the log indexes, from one on, of all records that hold one of a guard's
// pins, ascending, and some more; false when it needs an index that is not there.
func (v *View) picked(line name.StandardLine, g agreement.Guard, from uint64) ([]uint64, bool, error) {
	found := map[uint64]bool{}
	for _, p := range g {
		x := v.l.indexFor(line, p.Field)
		if x == nil || !x.ready() {
			return nil, false, nil
		}
		err := v.walk(v.l.postingsOf(x, p.Value), func(key, value []byte) error {
			at := binary.BigEndian.Uint64(key[len(key)-8:])
			for {
				if at >= from {
					found[at] = true
				}
				if len(value) == 0 {
					return nil
				}
				d, n := binary.Uvarint(value)
				if n <= 0 || d > math.MaxUint64-at {
					return fmt.Errorf("%w: postings of index %d", ErrDamaged, x.number)
				}
				at, value = at+d, value[n:]
			}
		})
		if err != nil {
			return nil, false, err
		}
	}
	return slices.Sorted(maps.Keys(found)), true, nil
}
