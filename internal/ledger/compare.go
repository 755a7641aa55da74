package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/blind"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A hidden value is compared with all values of an index at once, or with the part of
// it that the asker named: each gets a label under a key for this question, and what
// leaves is the labels, in their order, with others between them that stand for
// nothing. Nothing that is done here hangs on whether the value is there.

// Bounds of a comparison.
const (
	// MaxBits is how many bits of a value's public digest an asker may be asked to tell,
	// so that a long index need not be compared as a whole.
	MaxBits = 8
	// wantLabels is how many values a part of an index should have at most, and
	// leastLabels how many labels there always are.
	wantLabels  = 2048
	leastLabels = 64
)

// ErrLabels: more values would have to be compared than can be.
var ErrLabels = fmt.Errorf("more than %d values would have to be compared", event.MaxLabels)

// A Comparison is what leaves in answer to a hidden value.
type Comparison struct {
	Evaluated, Proof []byte
	Labels           []byte // ascending, without repeats
}

// BitsFor returns how many bits of a value's digest a question must tell, so that the
// part of a feed's index that it is compared with is not too long. It hangs on how many
// records the feed has, and on nothing that is asked.
func (f *Feed) BitsFor() int {
	values := f.Records * len(f.doc.Match)
	return min(MaxBits, bits.Len(uint(max(values-1, 0)/wantLabels)))
}

// Compare answers a question with a hidden value, that was charged, as Answer does one
// that tells it. The same question again is given the same, or ErrChanged.
func (l *Ledger) Compare(ctx context.Context, f *Feed, q *Question, before *uint64) (*Answer, error) {
	a, err := l.compare(ctx, f, q, before)
	if err != nil {
		return nil, fmt.Errorf("answer under %s: %w", f.Agreement, err)
	}
	return a, nil
}

func (l *Ledger) compare(ctx context.Context, f *Feed, q *Question, before *uint64) (*Answer, error) {
	seed := l.o.Keys.QuestionSeed(slices.Concat(q.Text[:], q.ID[:], []byte(q.By)))
	key, err := blind.NewKey(seed)
	if err != nil {
		return nil, err
	}
	c := &Comparison{}
	if c.Evaluated, c.Proof, err = key.Evaluate(q.Hidden); err != nil {
		return nil, err
	}
	reply := q.Reply(f.doc)
	err = l.View(func(v *View) error {
		values, err := v.valuesIn(ctx, f, q)
		if err != nil {
			return err
		}
		c.Labels, err = labels(ctx, seed, key, f.Digest[:], values)
		reply.Result = event.Result{Outcome: event.OutcomeCompared, Size: v.cp.Size, Root: v.cp.Root}
		return err
	})
	if err != nil {
		return nil, err
	}
	reply.Compared = &event.Compared{Key: [32]byte(key.Public()), Labels: uint64(len(c.Labels) / blind.LabelSize), Digest: sha256.Sum256(c.Labels)}
	var index uint64
	if before != nil {
		index = *before
	} else if index, _, err = l.LogAnswer(ctx, q, reply); err != nil {
		return nil, err
	}
	a := &Answer{Index: index, Compared: c}
	return a, l.View(func(v *View) (err error) {
		if a.Content, a.Event, err = ReadEvent(v, index, event.KindAnswer, event.ParseAnswer); err != nil {
			return err
		}
		switch said := a.Content.Compared; {
		case said == nil || a.Content.Agreement != f.Agreement:
			return ErrAnotherQuestion
		case *said != *reply.Compared:
			return ErrChanged
		}
		a.Checkpoint, a.Note = v.Checkpoint()
		a.Inclusion, err = tlog.ProveBatch(v, []uint64{index}, a.Checkpoint.Size)
		return err
	})
}

// valuesIn returns the values that a hidden one is compared with, each once. It
// believes no index: each is of a record that matches the agreement.
func (v *View) valuesIn(ctx context.Context, f *Feed, q *Question) ([]agreement.Asked, error) {
	prefix, shift := numKey4('a', f.number), 8-q.Bits
	in := func(bucket byte) bool { return bucket>>shift == q.Bucket }
	var records []name.Record
	seen := map[name.Record]bool{}
	it := v.list(prefix, keysOnly)
	defer it.Close()
	for it.Seek(append(bytes.Clone(prefix), q.Bucket<<shift)); it.Valid(); it.Next() {
		k := it.Item().Key()
		if len(k) != len(prefix)+askedKeyLen+16 || !in(k[len(prefix)]) {
			break
		}
		if r := name.RecordFrom([16]byte(k[len(k)-16:])); !seen[r] {
			seen[r], records = true, append(records, r)
		}
		if len(records) > event.MaxLabels {
			return nil, ErrLabels
		}
	}
	second, err := v.l.SecondRows(ctx, f.doc, q.Partner())
	if err != nil {
		return nil, err
	}
	var out []agreement.Asked
	had := map[agreement.Asked]bool{}
	for _, r := range records {
		ver, err := v.Current(r)
		if err != nil {
			return nil, err
		}
		t := f.termsFor(ver.Standard)
		if t == nil || !t.Match(ver.Body) {
			return nil, fmt.Errorf("record %s: %w: stands in an index it does not match", r, ErrDamaged)
		}
		if err := second(ver.Index, ver.Body); err != nil {
			return nil, err
		}
		for _, a := range t.Asked(ver.Body) {
			if a.Field == q.Asked.Field && in(blind.Bucket(f.Digest[:], a.Field, a.Value)) && !had[a] {
				had[a], out = true, append(out, a)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if len(out) > event.MaxLabels {
		return nil, ErrLabels
	}
	return out, nil
}

// labels returns the labels of values, and of nothing up to a power of two, so that how
// many there are says little of how many values.
func labels(ctx context.Context, seed [32]byte, key *blind.Key, scope []byte, values []agreement.Asked) ([]byte, error) {
	n := leastLabels
	for n < len(values) {
		n *= 2
	}
	all, errs := make([]blind.Label, n), make([]error, n)
	onAllCores(n, 16, func(i int) {
		switch {
		case ctx.Err() != nil:
			errs[i] = ctx.Err()
		case i < len(values):
			all[i], errs[i] = key.Label(scope, values[i].Field, values[i].Value)
		default:
			sum := sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte("stile private filler 1\n"), seed[:]...), uint32(i)))
			all[i] = blind.Label(sum[:blind.LabelSize])
		}
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b blind.Label) int { return bytes.Compare(a[:], b[:]) })
	out := make([]byte, 0, n*blind.LabelSize)
	for _, l := range all {
		out = append(out, l[:]...)
	}
	return out, nil
}
