package agreement

import (
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Preview is what an agreement would do to the records a council has now.
type Preview struct {
	Records  int `json:"records"`
	Matched  int `json:"matched"`
	Unpicked int `json:"not_matched"` // the filter said no
	Failed   int `json:"errors"`      // the filter could not say; such a record does not travel

	// Errors counts the failed by what went wrong, in words without values.
	Errors map[string]int `json:"error_kinds,omitempty"`

	// Fields says of each field of the matched records how many of them have it
	// and it would be sent, or withheld; sorted by field.
	Fields []FieldCount `json:"fields"`

	// Unused are agreed fields that no matched record has, in the order agreed.
	Unused []name.Field `json:"unused,omitempty"`

	// Samples are matched records, the first ones offered, as the receiver
	// would see them. They are personal data: show them to whoever may see the
	// records, and log nothing.
	Samples []map[string]any `json:"samples,omitempty"`
}

// A FieldCount says what would become of one field.
type FieldCount struct {
	Field    name.Field     `json:"field"` // "*" for elements
	Class    standard.Class `json:"class"`
	Sent     int            `json:"sent"`     // records
	Withheld int            `json:"withheld"` // records
}

// Previewing is a Preview in the making. It may be used concurrently.
type Previewing struct {
	t       *Terms
	samples int

	mu     sync.Mutex // guards what follows
	p      Preview
	counts map[name.Field]*FieldCount
	first  []picked // by place, ascending
}

type picked struct {
	at     uint64
	record map[string]any
}

// NewPreview begins to count, and keeps at most samples records.
func (t *Terms) NewPreview(samples int) *Previewing {
	return &Previewing{t: t, samples: samples, p: Preview{Errors: map[string]int{}}, counts: map[name.Field]*FieldCount{}}
}

// Add counts a record as [strictjson.Canonical] prints it; at is its place among the
// others, which decides whose sample is kept. Of a record that the filter does not pick
// only what the filter reads is looked at. The error says that it is no such JSON; then it
// is not counted.
func (p *Previewing) Add(at uint64, canon []byte, lim strictjson.Limits) error {
	m, err := p.t.rows.members(canon, lim)
	if err != nil {
		return err
	}
	yes, failure := p.t.rows.eval(m)
	if failure != nil || !yes {
		kind := ""
		if failure != nil {
			kind = p.t.rows.kindOfError(m, failure)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.p.Records++
		if failure == nil {
			p.p.Unpicked++
			return nil
		}
		p.p.Failed++
		p.p.Errors[kind]++
		return nil
	}
	v, err := strictjson.Decode(canon, lim)
	if err != nil {
		return err
	}
	m, _ = v.(map[string]any)
	fates := p.t.fates(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p.Records++
	p.p.Matched++
	for _, f := range fates {
		c := p.counts[f.field]
		if c == nil {
			c = &FieldCount{Field: f.field, Class: p.t.std.Class(f.field)}
			p.counts[f.field] = c
		}
		if f.outcome == Withheld {
			c.Withheld++
		} else {
			c.Sent++
		}
	}
	i := sort.Search(len(p.first), func(i int) bool { return p.first[i].at > at })
	if i < p.samples {
		p.first = slices.Insert(p.first, i, picked{at, m})
		p.first = p.first[:min(len(p.first), p.samples)]
	}
	return nil
}

// Done returns what was counted. Nothing may be added any more.
func (p *Previewing) Done() *Preview {
	for _, f := range slices.Sorted(maps.Keys(p.counts)) {
		p.p.Fields = append(p.p.Fields, *p.counts[f])
	}
	for _, f := range p.t.agreement.Fields {
		if !slices.ContainsFunc(p.p.Fields, func(c FieldCount) bool {
			return c.Sent > 0 && (c.Field.Under(f) || f.Under(c.Field))
		}) {
			p.p.Unused = append(p.p.Unused, f)
		}
	}
	for _, s := range p.first {
		p.p.Samples = append(p.p.Samples, p.t.Present(s.record))
	}
	return &p.p
}
