package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Bounds of counting: what is not shown in one way of counting may be narrowed by
// another, and what changes from week to week may be watched.
const (
	// MaxGroupings is how many ways of counting one partner is answered in a week under
	// one text of an agreement.
	MaxGroupings = 10
	// MaxCountsAgreement is how many times in a year, by UTC, records are counted anew
	// under an agreement, whatever its text: a way of counting in a week is one.
	MaxCountsAgreement = 150
	// MaxCountsPopulation is the same for all agreements on the records of a standard
	// together, so that receivers who work together have no more.
	MaxCountsPopulation = 600
)

// A countDay is what was counted in a week under one text of an agreement. Counts
// are made once for everybody; how many ways of counting each partner has asked
// for is counted apart, so that nobody uses up another's.
type countDay struct {
	Day   int64                     `json:"day"`             // since 1970, by UTC: the first of the week
	Made  map[string]uint64         `json:"made"`            // log index, by grouping
	Large map[string]bool           `json:"large,omitempty"` // groupings with too many groups
	Asked map[name.Council][]string `json:"asked,omitempty"` // groupings, by who asked for them
}

func countKey(text agreement.Digest) []byte { return append([]byte("b"), text[:]...) }

func grouping(q *Question) string {
	parts := make([]string, len(q.Groups))
	for i, f := range q.Groups {
		parts[i] = string(f)
	}
	for _, f := range q.Sums {
		parts = append(parts, "sum "+string(f)) // no field begins so
	}
	return strings.Join(parts, "\x00")
}

// A countYear is how many times records were counted in a year.
type countYear struct {
	Year  int `json:"year"`
	Spent int `json:"spent"`
}

// yearKey is where that is kept for a name: an agreement's or a standard's. It is longer
// than any countKey.
func yearKey(of string) []byte {
	sum := sha256.Sum256([]byte("counts of a year\x00" + of))
	return append(append([]byte("b"), sum[:]...), 'y')
}

func (l *Ledger) readYear(b []byte, err error) (y countYear, _ error) {
	if err == nil {
		err = unmarshal(b, &y)
	} else if errors.Is(err, ErrNotFound) {
		err = nil
	}
	if now := l.o.Now().UTC().Year(); err == nil && y.Year < now { // as for a day
		y = countYear{Year: now}
	}
	return y, err
}

// spend counts one more counting of a year, or returns a *Bound.
func (t *tx) spend(of string, most int, what string) error {
	y, err := t.l.readYear(t.lookup(yearKey(of)))
	if err != nil {
		return err
	}
	if y.Spent >= most {
		return &Bound{Most: most, What: what, In: "this year", Opens: time.Date(y.Year+1, 1, 1, 0, 0, 0, 0, time.UTC)}
	}
	y.Spent++
	b, err := marshal(y)
	t.set(yearKey(of), b)
	return err
}

// CountsThisYear returns how many times records were counted this year under an
// agreement, of MaxCountsAgreement.
func (v *View) CountsThisYear(a name.Agreement) (int, error) {
	y, err := v.l.readYear(v.value(yearKey(string(a))))
	return y.Spent, err
}

// readDay reads what was counted today.
func (l *Ledger) readDay(b []byte, err error) (d countDay, _ error) {
	if err == nil {
		err = unmarshal(b, &d)
	} else if errors.Is(err, ErrNotFound) {
		err = nil
	}
	// A clock that is set back must not count a day twice.
	if now := agreement.Period(l.o.Now()).Unix() / 86400; err == nil && d.Day < now {
		d = countDay{Day: now}
	}
	if d.Made == nil {
		d.Made = map[string]uint64{}
	}
	if d.Large == nil {
		d.Large = map[string]bool{}
	}
	if d.Asked == nil {
		d.Asked = map[name.Council][]string{}
	}
	return d, err
}

// changeDay changes what is kept of today, durably.
func (l *Ledger) changeDay(ctx context.Context, text agreement.Digest, change func(t *tx, d *countDay) error) error {
	return l.do(ctx, false, func(t *tx) error {
		d, err := l.readDay(t.lookup(countKey(text)))
		if err != nil {
			return err
		}
		if err := change(t, &d); err != nil {
			return err
		}
		b, err := marshal(d)
		t.set(countKey(text), b)
		return err
	})
}

// Counts returns the log index of the counts of this week that a charged question asks
// for, of which there is one event a week: who asks again is given the same. tally
// is called for the first, at most once a week for each way of counting. The way of
// counting is charged to the partner, and the first of a week to the budgets of the
// year, durably, before that.
//
// The error is agreement.ErrGroups, a *Bound when this partner has asked for too
// many ways of counting this week or a budget is spent, or what tally returns.
func (l *Ledger) Counts(ctx context.Context, a *agreement.Agreement, q *Question, tally func() (*agreement.Tally, error)) (index uint64, err error) {
	text, by, partner := a.Digest(), grouping(q), q.Partner()
	var made, large bool
	known := func(d *countDay) {
		index, made = d.Made[by]
		large = d.Large[by]
	}
	err = l.changeDay(ctx, text, func(t *tx, d *countDay) error {
		known(d)
		if slices.Contains(d.Asked[partner], by) {
			return nil
		}
		if len(d.Asked[partner]) >= MaxGroupings {
			return &Bound{Most: MaxGroupings, What: "ways of counting", In: "this week", Opens: time.Unix((d.Day+agreement.PeriodDays)*86400, 0).UTC()}
		}
		if !d.askedByAny(by) {
			err := t.spend(string(a.Name), MaxCountsAgreement, "ways of counting in a week")
			if err == nil {
				err = t.spend(a.Standard.String(), MaxCountsPopulation, "ways of counting the records of the standard in a week")
			}
			if err != nil {
				return err
			}
		}
		d.Asked[partner] = append(d.Asked[partner], by)
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case large:
		return 0, agreement.ErrGroups
	case made:
		return index, nil
	}
	l.counting.Lock() // one at a time: it keeps all cores busy
	defer l.counting.Unlock()
	err = l.View(func(v *View) error {
		d, err := l.readDay(v.value(countKey(text)))
		known(&d)
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case large:
		return 0, agreement.ErrGroups
	case made:
		return index, nil // by another, while this one waited
	}
	counted, tallied := tally()
	if tallied != nil && !errors.Is(tallied, agreement.ErrGroups) {
		return 0, tallied
	}
	err = l.changeDay(ctx, text, func(t *tx, d *countDay) error {
		if tallied != nil {
			d.Large[by] = true
			return nil
		}
		// The week of the event is that of the writing: midnight may have passed.
		y, err := l.readYear(t.lookup(yearKey(string(a.Name))))
		if err != nil {
			return err
		}
		budget := agreement.Budget{Spent: y.Spent, Of: MaxCountsAgreement}
		c, err := counted.Counts(a, agreement.Date(time.Unix(d.Day*86400, 0).UTC().Format(time.DateOnly)), budget)
		if err != nil {
			return err
		}
		index = t.event(event.KindCounts, c.Body()).index
		d.Made[by] = index
		return nil
	})
	return index, errors.Join(err, tallied)
}

// askedByAny reports whether a way of counting was charged in this week.
func (d *countDay) askedByAny(by string) bool {
	for _, list := range d.Asked {
		if slices.Contains(list, by) {
			return true
		}
	}
	return false
}

// NewTally returns a tally for counts under an agreement, see agreement.NewTally.
func (l *Ledger) NewTally(a *agreement.Agreement, q *Question) (*agreement.Tally, error) {
	std, err := l.StandardOf(a.Standard)
	if err != nil {
		return nil, err
	}
	t := agreement.NewTally(l.o.Keys.CountNoise, a.Least(std, q.Groups), q.Groups, q.Sums...)
	if len(std.Persons()) > 0 {
		t.About(func(record map[string]any) string {
			// The first whom it names is whom it is about.
			if in := std.PersonsIn(record); len(in) > 0 {
				return in[0].Scheme + "\x00" + in[0].Folded()
			}
			return ""
		})
	}
	return t, nil
}

// Whoever reads all records reads so many, of so many bytes, at a time.
const (
	readChunk = 2000
	readBytes = 16 << 20
)

// Tally counts the records of a feed of mode aggregate. It reads all of them, each
// checked against the log.
func (l *Ledger) Tally(ctx context.Context, f *Feed, q *Question) (*agreement.Tally, error) {
	t, err := l.NewTally(f.doc, q)
	if err != nil {
		return nil, err
	}
	second, err := l.SecondRows(ctx, f.doc, q.Partner(), slices.Concat(q.Groups, q.Sums)...)
	if err != nil {
		return nil, err
	}
	err = l.View(func(v *View) error {
		type candidate struct {
			index uint64
			raw   []byte
			leaf  tlog.Hash
			err   error
		}
		var chunk []*candidate
		size := 0
		flush := func() error {
			bodies, ids := make([]map[string]any, len(chunk)), make([]name.Record, len(chunk))
			onAllCores(len(chunk), 1, func(i int) {
				c := chunk[i]
				if c.err != nil {
					return
				}
				var ver *Version
				if ver, c.err = l.rebuild(c.index, c.raw, c.leaf); c.err == nil && f.takes(ver.Standard, ver.Body) {
					bodies[i], ids[i] = ver.Body, ver.Claims.Record
					c.err = second(c.index, ver.Body)
				}
			})
			for i, c := range chunk {
				if errors.Is(c.err, ErrStorage) || errors.Is(c.err, ErrDisagreed) {
					return c.err
				}
				if c.err != nil {
					l.o.Log.Error("record not counted", "agreement", f.Agreement, "error", c.err.Error())
				}
				if bodies[i] == nil {
					continue
				}
				if err := t.Add(string(ids[i]), bodies[i]); err != nil {
					return err
				}
			}
			chunk, size = chunk[:0], 0
			return ctx.Err()
		}
		it := v.list(numKey4('f', f.number), keysOnly)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			c := &candidate{index: indexAtEnd(it)}
			if c.raw, c.err = v.raw(c.index); c.err == nil {
				c.leaf, c.err = v.leaf(c.index)
			}
			size += len(c.raw)
			if chunk = append(chunk, c); len(chunk) == readChunk || size > readBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return flush()
	})
	return t, err
}

// AnswerCounts answers a question with the counts at a log index, as Answer does
// with records, a question that was charged. reply is q.Reply, and what is to be said
// beside it.
func (l *Ledger) AnswerCounts(ctx context.Context, a *agreement.Agreement, q *Question, counts uint64, reply event.Answer) (*Answer, error) {
	err := l.View(func(v *View) error {
		cp, _ := v.Checkpoint()
		reply.Result = event.Result{Outcome: event.OutcomeCounted, Counts: counts, Size: cp.Size, Root: cp.Root}
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, again, err := l.LogAnswer(ctx, q, reply)
	if err != nil {
		return nil, err
	}
	out := &Answer{Index: index}
	err = l.View(func(v *View) (err error) {
		if out.Content, out.Event, err = ReadEvent(v, index, event.KindAnswer, event.ParseAnswer); err != nil {
			return err
		}
		out.Checkpoint, out.Note = v.Checkpoint()
		switch content := out.Content; {
		case content.Outcome != event.OutcomeCounted || content.Agreement != a.Name || content.Version != uint64(a.Version):
			return ErrAnotherQuestion
		case again && content.Counts != counts:
			return ErrChanged // it was asked yesterday
		}
		_, jws, err := v.Event(out.Content.Counts)
		if err != nil {
			return err
		}
		out.Counts = &PageItem{Index: out.Content.Counts, Token: jws}
		out.Inclusion, err = tlog.ProveBatch(v, []uint64{out.Content.Counts, index}, out.Checkpoint.Size)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("answer under %s: %w", a.Name, err)
	}
	return out, nil
}
