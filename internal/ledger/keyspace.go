package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The Badger key space. Every key starts with one letter or digit; numbers are
// big-endian so that an iterator walks them in order. Letters are never given a
// second meaning: a new layout takes a new letter and raises layoutVersion.
//
//	V                        layout version, one byte: 1 had a signature in every entry of a record
//	e index8                 entry: see entry.go; or sixteen of them: see block.go
//	t level1 tile8           hash tile, 32 bytes a hash, the right-most may be partial
//	c                        signed checkpoint (a note), size and root equal to the tiles
//	C                        the checkpoint published last (a note): see published.go
//	R index8                 signature of a record's token, 64 bytes: see alone.go
//	W                        number of the transaction that was written last: see signed.go
//	w council                latest cosignature by a witness: see witness.go
//	h record16               head of one of our records
//	s standard4 index8       record16, for the current version of every live record
//	o standard4              count8: live records of the standard
//	k kind 0 index8          empty: events by kind
//	n standard4              "publisher/name@1.2.0 sha256-…": numbers used in entries
//	N "name@version"         archive of an adopted standard
//	K key4                   key id: numbers used in entries
//	F feed4                  feed: JSON, see feed.go
//	f feed4 index8           item of a feed: kind1 record16
//	g feed4                  counters of a feed: records8 end8
//	p feed4 council          how far a council has come in a feed: JSON, see partner.go
//	m feed4 record16         where a record stands in a feed: kind1 index8
//	B feed4                  how far a feed is matched: matched8 upto8 looked8 of8 again1, see matching.go
//	D index4                 index by the value at a field: JSON, see postings.go
//	v index4 value8 index8   records that have a value: see postings.go
//	a feed4 key16 record16   empty: a record may be asked for by a value: see asked.go
//	A feed4 record16         the key16 of all values that a record may be asked for by
//	q council 0 question16   a question that was answered: JSON, see answer.go
//	d digest32 council       day8 count4: questions of a day: see answer.go
//	b digest32               what was counted on a day: JSON, see counts.go
//	r feed4 cursor8          receipt (JWS) of the partner
//	L council                what is known of another council's log: JSON, see known.go
//	S source4                source: JSON, see source.go
//	H source4 record16       holding: a record another council sent us: index8 version8 entry32 and its
//	                         token, packed alone (package record) or as text; empty: erased, to be dropped;
//	                         before the token, of what was passed on, 0xff and the word of who did: passing.go
//	H source4+2³¹ record16   its second place: see holding.go
//	H source4 record16 n1    further parts of a long holding
//	P source4 index8         record16 generation4 and since when: holdings in the sender's log order, see retention.go
//	G source4 record16       version8 entry32 council: of a record that was withdrawn, see last.go
//	E source4 index8         event another council addressed to us (JWS)
//	7 source4 record16       index8 permitted32: an item that came and is not held, see copied.go
//	Q source4 index8         refusal: JSON, what a partner sent and we did not take
//	i I                      where our records come from: see origin.go
//	x standard4 reference    an offer held back at the gate: JSON
//	y z Y Z                  what the gate counted: see gate.go
//	u U                      what was looked at of what others sent, and when: see used.go
//	j line                   records made by a mapping: JSON, see mapped.go
//	J line 0 record16        a made record: record16 it was made from
//	l line 0 record16        record16 that was made in the line from one of ours
//	T …                      who was let have what, and about whom: see disclosed.go
//	M index8                 entry whose block was dropped: see erase.go
//	W index8                 what is left of an erased entry
//	O key                    empty: a key whose older bytes may still be on this disk
//	5 source4 index8         record16 that an entry of the sender's log withdrew: see last.go
//	1                        what others hold of our own log: JSON, see own.go
//	2 index8 council         a record of ours that was lost and given back: see lost.go
//	3 4                      orders to erase, and what is to be erased again: see again.go
//	6 c case16               a case in which people let out records: JSON, see cases.go
//	6 a agreement 0 record16 how a record is let out, and in which case
//	0 source4 entry8         event in which a sender commits to what it permits (JWS): see committed.go
//	0 source4 0xff by8 index8  what such a commitment counts and has gone: JSON, see gone.go
//	9 source4 record16       what is left of a record whose term was over: see retention.go
//	8 council … record16     that a receiver deleted a record of ours at the end of its term
//	0 o record16 council     index8: the event by which a record of a council that has ended became one of ours
//	0 r record16             index8: the same, by the record of ours: see seal.go
//	0 e record16             index8 …: the events that say where a record of ours was earlier: see seal.go
//	0 f record16 council     index8: the same, by the record of a council that had ended before
//	0 w record16             record16 council: what a record of ours was, once it is there: see seal.go
//	0 n feed4 index8 council an order of ours to erase that its receiver refused: JSON, see refusedorder.go
//	0 d council              empty: all that is taken over of a council that has ended is
//	0 source4 0xfd record16  what a record that was held of a council that has ended is now: see kept.go
//	0 source4 0xfc record16  record16 …: the ids that it had, by the one that it has now
//	0 g feed4 council 0 record16  empty: a record that has gone to a council under a bound: see most.go
//	X path                   a file beside the ledger that machines keep alike: see shared.go
const layoutVersion = 2

var (
	keyLayout     = []byte("V")
	keyCheckpoint = []byte("c")
	keyPublished  = []byte("C")
)

func numKey(letter byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{letter}, n)
}

func numKey4(letter byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{letter}, n)
}

func entryKey(index uint64) []byte { return numKey('e', index) }

func tileKey(level int, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{'t', byte(level)}, index)
}

func headKey(r [16]byte) []byte { return append([]byte{'h'}, r[:]...) }

func standardIndexKey(std uint32, index uint64) []byte {
	return binary.BigEndian.AppendUint64(numKey4('s', std), index)
}

func eventKindKey(kind string, index uint64) []byte {
	return binary.BigEndian.AppendUint64(eventKindPrefix(kind), index)
}

func eventKindPrefix(kind string) []byte {
	return append(append([]byte{'k'}, kind...), 0)
}

func feedItemKey(feed uint32, index uint64) []byte {
	return binary.BigEndian.AppendUint64(numKey4('f', feed), index)
}

func memberKey(feed uint32, r [16]byte) []byte { return append(numKey4('m', feed), r[:]...) }

func receiptKey(feed uint32, cursor uint64) []byte {
	return binary.BigEndian.AppendUint64(numKey4('r', feed), cursor)
}

func holdingKey(source uint32, r [16]byte) []byte { return append(numKey4('H', source), r[:]...) }

func positionKey(letter byte, source uint32, index uint64) []byte {
	return binary.BigEndian.AppendUint64(numKey4(letter, source), index)
}

// A head is what the ledger knows of the newest version of one of its records
// without reading the entry.
type head struct {
	index    uint64
	version  uint64
	standard uint32
	live     bool      // the newest version is a put
	digest   [16]byte  // of the canonical body and the standard; tells an unchanged offer
	entry    tlog.Hash // prev of the next version
}

func (h head) encode() []byte {
	b := make([]byte, 0, 8+8+4+1+16+32)
	b = binary.BigEndian.AppendUint64(b, h.index)
	b = binary.BigEndian.AppendUint64(b, h.version)
	b = binary.BigEndian.AppendUint32(b, h.standard)
	if h.live {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, h.digest[:]...)
	return append(b, h.entry[:]...)
}

func decodeHead(b []byte) (h head, err error) {
	if len(b) != 69 || b[20] > 1 {
		return h, fmt.Errorf("%w: head of %d bytes is none", ErrDamaged, len(b))
	}
	h.index = binary.BigEndian.Uint64(b)
	h.version = binary.BigEndian.Uint64(b[8:])
	h.standard = binary.BigEndian.Uint32(b[16:])
	h.live = b[20] == 1
	copy(h.digest[:], b[21:])
	copy(h.entry[:], b[37:])
	return h, nil
}

// The two kinds of feed item.
const (
	itemPut      byte = 1 // the entry is a record version
	itemWithdraw byte = 2 // the entry is a withdrawal event
	itemEvent    byte = 3 // the entry is an event addressed to a partner
)

// A membership says where a record stands in a feed.
type membership struct {
	kind  byte // itemPut or itemWithdraw
	index uint64
}

func (m membership) encode() []byte {
	return binary.BigEndian.AppendUint64([]byte{m.kind}, m.index)
}

func decodeMembership(b []byte) (membership, error) {
	if len(b) != 9 {
		return membership{}, fmt.Errorf("%w: feed membership has %d bytes", ErrDamaged, len(b))
	}
	return membership{b[0], binary.BigEndian.Uint64(b[1:])}, nil
}

func encodeItem(kind byte, r [16]byte) []byte { return append([]byte{kind}, r[:]...) }

func decodeItem(b []byte) (kind byte, r name.Record, err error) {
	if len(b) != 17 {
		return 0, "", fmt.Errorf("%w: feed item has %d bytes", ErrDamaged, len(b))
	}
	return b[0], name.RecordFrom([16]byte(b[1:])), nil
}
