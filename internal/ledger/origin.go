package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// An origin is a register of the council's own that is offered as a whole, again
// and again: the planning system's nightly file, say. The ledger remembers which
// records each origin offered, and in which run last, so that what a complete
// run no longer holds can be deleted, and nothing that came from elsewhere.
//
//	i origin            run8 at8 standard: the newest run
//	I origin 0 id16     run8 keyed1 [bytes8]: what the origin offered, and in which run last
//
// The id is a record's where the offer had a key that could be read (keyed 1),
// and otherwise what the gate knows the offer by. Of an offer that was refused
// the first bytes of its SHA-256 stand with it. Both are written in the
// transaction of the offer itself.

// MaxOrigin is the longest name of an origin, in bytes.
const MaxOrigin = 64

// ErrOrigin is returned for a run that is not an origin's newest.
var ErrOrigin = errors.New("not the newest run of its source")

// A Run is one offering of an origin's records.
type Run struct {
	Origin string
	Number uint64 // from 1
}

// An Origin is where records of ours come from.
type Origin struct {
	Name     string
	Run      uint64    // the newest
	At       time.Time // when that began
	Standard name.StandardLine
}

func originKey(origin string) []byte { return append([]byte{'i'}, origin...) }

func offeredKey(origin string, id [16]byte) []byte {
	return append(offeredPrefix(origin), id[:]...)
}

func offeredPrefix(origin string) []byte {
	return append(append([]byte{'I'}, origin...), 0)
}

// Within says that the offer belongs to a run of an origin.
func (o *Offer) Within(r Run) *Offer { o.run = r; return o }

// remember writes down that an origin offered a record that was taken.
func (o *Offer) remember(b *batch) {
	if o.run.Origin != "" {
		b.set(offeredKey(o.run.Origin, o.record), append(binary.BigEndian.AppendUint64(nil, o.run.Number), 1))
	}
}

// repeated reports whether the origin was refused the very same bytes before.
func (l *Ledger) repeated(b *batch, o *Offer) (bool, error) {
	if o.run.Origin == "" {
		return false, nil
	}
	v, err := l.lookup(b, offeredKey(o.run.Origin, o.refused.ids[0]))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && len(v) == 17 && [8]byte(v[9:]) == o.refused.bytes, err
}

// rememberRefused writes down that an origin offered what was refused.
func (o *Offer) rememberRefused(b *batch) {
	if o.run.Origin == "" {
		return
	}
	v := append(binary.BigEndian.AppendUint64(make([]byte, 0, 17), o.run.Number), 0)
	if o.refused.keyed {
		v[8] = 1
	}
	b.set(offeredKey(o.run.Origin, o.refused.ids[0]), append(v, o.refused.bytes[:]...))
}

// BeginRun begins a new run of an origin. A name that is empty, too long or
// holds a NUL is an error.
func (l *Ledger) BeginRun(ctx context.Context, origin string, line name.StandardLine) (Run, error) {
	if origin == "" || len(origin) > MaxOrigin || bytes.IndexByte([]byte(origin), 0) >= 0 {
		return Run{}, fmt.Errorf("begin a run: the source's name must have 1 to %d bytes", MaxOrigin)
	}
	r := Run{Origin: origin}
	err := l.do(ctx, true, func(t *tx) error {
		v, err := t.lookup(originKey(origin))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil {
			was, err := decodeOrigin(origin, v)
			if err != nil {
				return err
			}
			if was.Standard != line {
				return fmt.Errorf("begin a run of %q: %w: it is a source of %s", origin, ErrConflict, was.Standard)
			}
			r.Number = was.Run
		}
		r.Number++
		v = binary.BigEndian.AppendUint64(nil, r.Number)
		v = binary.BigEndian.AppendUint64(v, uint64(l.o.Now().Unix()))
		t.set(originKey(origin), append(v, line.String()...))
		return nil
	})
	return r, err
}

func decodeOrigin(origin string, v []byte) (o Origin, err error) {
	if len(v) < 16 {
		return o, fmt.Errorf("%w: source has %d bytes", ErrDamaged, len(v))
	}
	o = Origin{Name: origin, Run: binary.BigEndian.Uint64(v), At: time.Unix(int64(binary.BigEndian.Uint64(v[8:])), 0).UTC()}
	if o.Standard, err = name.ParseStandardLine(string(v[16:])); err != nil {
		return o, fmt.Errorf("%w: source: %w", ErrDamaged, err)
	}
	return o, nil
}

// Origins returns every origin, by name.
func (v *View) Origins() (out []Origin, err error) {
	err = v.walk([]byte("i"), func(key, value []byte) error {
		o, err := decodeOrigin(string(key[1:]), value)
		out = append(out, o)
		return err
	})
	return out, err
}

// Absent is what an origin's newest run did not offer.
type Absent struct {
	Live         []name.Record // records that no origin offers any more, at most as many as were asked for
	Total        int           // of them, all
	Offered      int           // records that the run did offer
	Unidentified int           // offers of the run that had no key that could be read: any of Total may be one of them
	gone         [][]byte      // keys of what is not to be remembered any more
}

// Absent looks for the records that earlier runs of an origin offered and the
// run given did not, and that no other origin offers. It fails as ErrOrigin when
// a newer run has begun. It reads what the origin ever offered.
func (v *View) Absent(r Run, most int) (a Absent, err error) {
	raw, err := v.value(originKey(r.Origin))
	if err != nil {
		return a, fmt.Errorf("source %q: %w", r.Origin, err)
	}
	all, err := v.Origins()
	if err != nil {
		return a, err
	}
	if o, err := decodeOrigin(r.Origin, raw); err != nil {
		return a, err
	} else if o.Run != r.Number {
		return a, fmt.Errorf("run %d of %q: %w", r.Number, r.Origin, ErrOrigin)
	}
	err = v.offered(r.Origin, func(o offered) error {
		if o.run == r.Number {
			if o.keyed {
				a.Offered++
			} else {
				a.Unidentified++
			}
			return nil
		}
		live, err := v.liveFrom(o.id, o.keyed, r.Origin, all)
		if err != nil {
			return err
		}
		if !live {
			a.gone = append(a.gone, o.key)
			return nil
		}
		a.Total++
		if len(a.Live) < most {
			a.Live = append(a.Live, name.RecordFrom(o.id))
		}
		return nil
	})
	return a, err
}

// An offered is what is remembered of one offer of an origin.
type offered struct {
	key     []byte
	id      [16]byte
	run     uint64 // in which it was offered last
	keyed   bool   // the id is that of a record
	refused bool   // when it was offered last
}

// offered calls f with all that an origin ever offered and that was not forgotten.
func (v *View) offered(origin string, f func(offered) error) error {
	prefix := offeredPrefix(origin)
	return v.walk(prefix, func(key, val []byte) error {
		if len(val) != 9 && len(val) != 17 || len(key) != len(prefix)+16 {
			return fmt.Errorf("%w: what a source offered has %d bytes", ErrDamaged, len(val))
		}
		return f(offered{key, [16]byte(key[len(prefix):]), binary.BigEndian.Uint64(val), val[8] == 1, len(val) == 17})
	})
}

// OriginHeld is what is held of all that an origin offered.
type OriginHeld struct {
	Valid   int // live records that it offered and that were taken when it last did: each read here against its leaf
	Refused int // offers that were refused when it last made them, and that were not taken since
	Damaged int // records that would be valid and cannot be read on disk
}

// HeldFrom counts what is held of an origin. It fails as ErrNotFound where there is no
// such origin, and reads each record that it offered.
func (v *View) HeldFrom(ctx context.Context, origin string) (o Origin, h OriginHeld, err error) {
	raw, err := v.value(originKey(origin))
	if err != nil {
		return o, h, fmt.Errorf("source %q: %w", origin, err)
	}
	if o, err = decodeOrigin(origin, raw); err != nil {
		return o, h, err
	}
	err = v.offered(origin, func(x offered) error {
		if x.refused {
			h.Refused++
			return ctx.Err()
		}
		id := name.RecordFrom(x.id)
		head, err := v.head(id)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && !head.live:
			return ctx.Err()
		case err == nil:
			_, err = v.Current(id)
		}
		switch {
		case errors.Is(err, ErrStorage):
			return err
		case err != nil:
			h.Damaged++
		default:
			h.Valid++
		}
		return ctx.Err()
	})
	return o, h, err
}

// liveFrom reports whether an id is that of a live record that no other origin
// offers.
func (v *View) liveFrom(id [16]byte, keyed bool, origin string, all []Origin) (bool, error) {
	if !keyed {
		return false, nil
	}
	raw, err := v.value(headKey(id))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if h, err := decodeHead(raw); err != nil || !h.live {
		return false, err
	}
	for _, o := range all {
		if o.Name == origin {
			continue
		}
		if _, err := v.value(offeredKey(o.Name, id)); err == nil {
			return false, nil
		} else if !errors.Is(err, ErrNotFound) {
			return false, err
		}
	}
	return true, nil
}

// Forget drops what an Absent found that needs no deletion: offers that never
// became a record, records that are gone, and those that another origin offers.
func (l *Ledger) Forget(ctx context.Context, a Absent) error {
	for len(a.gone) > 0 {
		n := min(len(a.gone), 5000)
		err := l.do(ctx, true, func(t *tx) error {
			for _, k := range a.gone[:n] {
				t.remove(k)
			}
			return nil
		})
		if err != nil {
			return err
		}
		a.gone = a.gone[n:]
	}
	return nil
}
