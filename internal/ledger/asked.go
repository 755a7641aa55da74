package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/blind"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement of mode lookup a partner asks for one record by a value. The
// index that answers is written in the transaction of the record itself, like a
// feed: for each value at the agreement's match fields
//
//	a feed4 key16 record16   empty
//	A feed4 record16         key16 key16 …: what is to be taken away when it changes
//
// where key16 is keys.Ring.BlindIndex of the feed's number, the field and the
// value's text. So a question costs one seek however many records there are, and
// nobody who reads the disk learns a value. Where the value is hidden from us the first
// byte is blind.Bucket of it, which anybody can compute, so that a part of a long index
// can be named. The feed's number is of one text of an
// agreement: another text has other keys, and this one's are deleted with it.

const askedKeyLen = 16

// askedKeys returns the keys of all values that a record may be asked for by, one
// after the other; nil for none.
func (l *Ledger) askedKeys(f *Feed, std *standard.Standard, body map[string]any) (keys []byte) {
	if f.copied() {
		return nil
	}
	t := f.termsFor(std)
	if t == nil {
		return nil
	}
	for _, a := range t.Asked(body) {
		k := l.askedBy(f, a)
		keys = append(keys, k[:]...)
	}
	return keys
}

// askedBy returns the key of a value.
func (l *Ledger) askedBy(f *Feed, a agreement.Asked) [askedKeyLen]byte {
	k := l.o.Keys.BlindIndex(f.scope(), a.Field, a.Value)
	if f.doc.Way().Hidden {
		k[0] = blind.Bucket(f.Digest[:], a.Field, a.Value)
	}
	return k
}

func (f *Feed) scope() []byte { return binary.BigEndian.AppendUint32(nil, f.number) }

func askedKey(feed uint32, r [16]byte) []byte { return append(numKey4('A', feed), r[:]...) }

func findKey(feed uint32, key []byte, r [16]byte) []byte {
	return append(append(numKey4('a', feed), key...), r[:]...)
}

// askedUnder writes what changes when a record was found under some keys and is
// found under others from now on.
func askedUnder(f *Feed, r [16]byte, was, now []byte, set func(key, value []byte)) {
	for k := range slices.Chunk(was, askedKeyLen) {
		set(findKey(f.number, k, r), nil)
	}
	for k := range slices.Chunk(now, askedKeyLen) {
		set(findKey(f.number, k, r), []byte{})
	}
	switch {
	case len(now) > 0:
		set(askedKey(f.number, r), now)
	case len(was) > 0:
		set(askedKey(f.number, r), nil)
	}
}

// applyIndex is applyEffect for a feed that nobody copies: what leaves it leaves
// nothing behind, since no partner holds it.
func (l *Ledger) applyIndex(b *batch, e effect, p *pending) {
	f, d := e.feed.number, feedDelta{}
	switch {
	case e.enters && !e.had:
		d.records = 1
	case !e.enters && e.had:
		d.records = -1
	}
	if e.enters {
		b.set(feedItemKey(f, p.index), encodeItem(itemPut, p.stored.record))
		b.set(memberKey(f, p.stored.record), membership{itemPut, p.index}.encode())
		askedUnder(e.feed, p.stored.record, e.wasAsked, e.asked, b.set)
	} else {
		b.set(memberKey(f, p.stored.record), nil)
		askedUnder(e.feed, p.stored.record, e.wasAsked, nil, b.set)
	}
	l.moveFeed(b, e.feed.number, d)
}

// dropChunk is how many keys of an index are deleted in one transaction.
const dropChunk = 10_000

// DropIndexes deletes what is left of the indexes that questions were answered
// from, of agreements that are over. What a crash interrupts is done by the next
// call.
func (l *Ledger) DropIndexes(ctx context.Context) error {
	for _, f := range l.Feeds() {
		if !f.closed || f.copied() {
			continue
		}
		for {
			keys, err := l.indexKeys(f)
			if err != nil {
				return err
			}
			if len(keys) == 0 {
				break
			}
			err = l.do(ctx, false, func(t *tx) error {
				for _, k := range keys {
					t.remove(k)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("drop the index of %s: %w", f.Agreement, err)
			}
		}
	}
	return nil
}

// indexKeys returns some keys of a feed's index.
func (l *Ledger) indexKeys(f *Feed) (keys [][]byte, err error) {
	err = l.View(func(v *View) error {
		for _, letter := range []byte("aAfm") {
			it := v.list(numKey4(letter, f.number), keysOnly)
			for it.Rewind(); it.Valid() && len(keys) < dropChunk; it.Next() {
				keys = append(keys, it.Item().KeyCopy(nil))
			}
			it.Close()
		}
		return nil
	})
	return keys, err
}

// Find returns the newest versions of the records that a feed lets be asked for
// by a value, at most limit of them; more says that there are others. It believes
// no index: each record matches the agreement and has the value.
func (v *View) Find(f *Feed, asked agreement.Asked, limit int) (found []*Version, more bool, err error) {
	key := v.l.askedBy(f, asked)
	prefix := append(numKey4('a', f.number), key[:]...)
	it := v.list(prefix, keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if len(found) == limit {
			return found, true, nil
		}
		k := it.Item().Key()
		r := name.RecordFrom([16]byte(k[len(k)-16:]))
		ver, err := v.Current(r)
		if err != nil {
			return nil, false, err
		}
		t := f.termsFor(ver.Standard)
		if t == nil || !t.Match(ver.Body) || !slices.Contains(t.Asked(ver.Body), asked) {
			return nil, false, fmt.Errorf("record %s: %w: stands in an index it does not match", r, ErrDamaged)
		}
		found = append(found, ver)
	}
	return found, false, nil
}

// Copied reports whether the feed's records are copied to those who may read it,
// under an agreement; else they are there to be asked for or counted.
func (f *Feed) Copied() bool { return f.doc != nil && f.doc.Way().Copied }

// TermsFor returns what the feed's agreement means for one version of its
// standard; nil when it lets nothing of that version out, and for a notices feed.
func (f *Feed) TermsFor(std *standard.Standard) *agreement.Terms { return f.termsFor(std) }
