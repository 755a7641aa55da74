package agreement

import (
	"maps"
	"slices"
	"sync"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// An Impact is what a receiver would gain or lose, of the records that a council has now,
// if one text took the place of another.
type Impact struct {
	Before, After int // records under the old text, and under the new
	Gained, Lost  int // records under the new alone, and under the old alone
	Fields        []FieldImpact
}

// A FieldImpact says in how many records a field would come or go. It counts the records
// that are gained or lost, too. Only fields with a difference are told.
type FieldImpact struct {
	Field  name.Field // "*" for elements
	Class  standard.Class
	Gained int
	Lost   int
}

// Comparing is an Impact in the making. It may be used concurrently.
type Comparing struct {
	old, new *Terms // nil: the receiver is no party to that text

	mu     sync.Mutex // guards what follows
	out    Impact
	fields map[name.Field]*FieldImpact
}

// Compare begins to count what a receiver gains or loses from one text to another. Either
// is nil for a text that the receiver is no party to.
func Compare(old, new *Terms) *Comparing {
	return &Comparing{old: old, new: new, fields: map[name.Field]*FieldImpact{}}
}

// Add counts a record as [Previewing.Add] does.
func (c *Comparing) Add(_ uint64, canon []byte, lim strictjson.Limits) error {
	return c.add(canon, lim, c.old, c.new)
}

// Apart returns, where the texts are about the records of different councils, how those of
// the old one are counted, and those of the new.
func (c *Comparing) Apart() (old, new func(at uint64, canon []byte, lim strictjson.Limits) error) {
	return func(_ uint64, canon []byte, lim strictjson.Limits) error { return c.add(canon, lim, c.old, nil) },
		func(_ uint64, canon []byte, lim strictjson.Limits) error { return c.add(canon, lim, nil, c.new) }
}

func (c *Comparing) add(canon []byte, lim strictjson.Limits, old, new *Terms) error {
	v, err := strictjson.Decode(canon, lim)
	if err != nil {
		return err
	}
	m, _ := v.(map[string]any)
	before, after := old.sent(m), new.sent(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case before != nil && after == nil:
		c.out.Before++
		c.out.Lost++
	case before == nil && after != nil:
		c.out.After++
		c.out.Gained++
	case before != nil:
		c.out.Before++
		c.out.After++
	}
	count := func(in, of map[name.Field]bool, n func(*FieldImpact) *int, t *Terms) {
		for f := range in {
			if of[f] {
				continue
			}
			if c.fields[f] == nil {
				c.fields[f] = &FieldImpact{Field: f, Class: t.std.Class(f)}
			}
			*n(c.fields[f])++
		}
	}
	count(after, before, func(f *FieldImpact) *int { return &f.Gained }, c.new)
	count(before, after, func(f *FieldImpact) *int { return &f.Lost }, c.old)
	return nil
}

// sent returns the fields of a record that would travel: nil when the record would not.
func (t *Terms) sent(record map[string]any) map[name.Field]bool {
	if t == nil || record == nil {
		return nil
	}
	if yes, err := t.rows.eval(record); err != nil || !yes {
		return nil
	}
	out := map[name.Field]bool{}
	for _, f := range t.fates(record) {
		if f.outcome != Withheld {
			out[f.field] = true
		}
	}
	return out
}

// Done returns what was counted, fields sorted. Nothing may be added any more.
func (c *Comparing) Done() Impact {
	for _, f := range slices.Sorted(maps.Keys(c.fields)) {
		c.out.Fields = append(c.out.Fields, *c.fields[f])
	}
	return c.out
}
