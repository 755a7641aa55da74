package question

import (
	"errors"
	"slices"
	"sync"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// What a footprint's records may be asked for by is indexed in memory, for each
// text of an agreement that somebody asks under: made from the footprint's log at
// the first question, brought on from where it ended at each later one, and gone
// when the node stops. A stored index would be one more thing that members have to
// keep alike, or that outlives what was withdrawn. This one is believed in
// nothing, since every record is read again before it is answered with.

// maxValues bounds the values that a replica's indexes hold: some 100 MB.
const maxValues = 500_000

// errFull: there are more.
var errFull = errors.New("more values than can be indexed to ask by")

// indexes are those of one replica, by the text of an agreement.
type indexes struct {
	mu     sync.Mutex // guards what follows; held while one is made
	all    map[agreement.Digest]*index
	values int // in all of them
}

// An index finds the records of one replica by keyed digests of values.
type index struct {
	agreement name.Agreement
	next      uint64 // entry of the footprint's log that it is made up to
	find      map[[16]byte][]recordOf
	of        map[recordOf][][16]byte
	terms     map[name.Standard]*agreement.Terms // nil where a version has none
}

// A recordOf names a record in a footprint.
type recordOf struct {
	council name.Council
	record  [16]byte
}

// indexesOf returns the indexes of a replica, and forgets those of replicas that
// were closed.
func (w *Answerer) indexesOf(f *footprint.Footprint) *indexes {
	w.mu.Lock()
	defer w.mu.Unlock()
	for old := range w.indexes {
		if w.o.Footprints.Replica(old.Name()) != old {
			delete(w.indexes, old)
		}
	}
	x := w.indexes[f]
	if x == nil {
		x = &indexes{all: map[agreement.Digest]*index{}}
		w.indexes[f] = x
	}
	return x
}

// find returns the records that a value may find, which have to be read again, and
// how many entries of the footprint's log were searched.
func (x *indexes) find(w *Answerer, f *footprint.Footprint, doc *agreement.Agreement, asked agreement.Asked) (records []recordOf, searched uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	text := doc.Digest()
	i := x.all[text]
	if i == nil {
		for d, old := range x.all {
			if now, _, _ := w.o.inForce(old.agreement, w.o.Now()); now == nil || now.Digest() != d {
				x.drop(d)
			}
		}
		i = &index{
			agreement: doc.Name, find: map[[16]byte][]recordOf{}, of: map[recordOf][][16]byte{}, terms: map[name.Standard]*agreement.Terms{},
		}
		x.all[text] = i
	}
	var failed error
	councils := map[name.Council]name.Council{} // one copy of each name
	err = f.Entries(i.next, func(h *footprint.Held) bool {
		if failed = x.add(w, f, i, doc, h, councils); failed != nil {
			return false
		}
		i.next = h.Index + 1
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		x.drop(text)
		return nil, 0, err
	}
	return slices.Clone(i.find[w.o.Keys.BlindIndex(text[:], asked.Field, asked.Value)]), i.next, nil
}

func (x *indexes) drop(text agreement.Digest) {
	if i := x.all[text]; i != nil {
		for _, keys := range i.of {
			x.values -= len(keys)
		}
		delete(x.all, text)
	}
}

// add takes in one entry of the footprint's log.
func (x *indexes) add(w *Answerer, f *footprint.Footprint, i *index, doc *agreement.Agreement, h *footprint.Held, councils map[name.Council]name.Council) error {
	var p recordOf
	switch {
	case h.Erased:
		return nil // what erased it stands further on
	case h.Event != nil:
		gone, err := event.ParseWithdrawal(h.Event.Body)
		if h.Event.Kind != event.KindWithdrawal || err != nil {
			return nil
		}
		p = recordOf{h.Event.Council, gone.Record.Bytes()}
	default:
		p = recordOf{h.View.Council, h.View.Record.Bytes()}
	}
	for _, k := range i.of[p] {
		i.find[k] = slices.DeleteFunc(i.find[k], func(o recordOf) bool { return o == p })
		if len(i.find[k]) == 0 {
			delete(i.find, k)
		}
		x.values--
	}
	delete(i.of, p)
	if h.View == nil {
		return nil
	}
	terms, err := termsFor(f, i.terms, doc, h.View)
	if err != nil || terms == nil || h.View.Op != record.Put || !terms.Match(h.View.Body) {
		return err
	}
	if one, ok := councils[p.council]; ok {
		p.council = one
	} else {
		councils[p.council] = p.council
	}
	text := doc.Digest()
	for _, a := range terms.Asked(h.View.Body) {
		k := w.o.Keys.BlindIndex(text[:], a.Field, a.Value)
		i.find[k], i.of[p] = append(i.find[k], p), append(i.of[p], k)
		if x.values++; x.values > maxValues {
			return errFull
		}
	}
	return nil
}
