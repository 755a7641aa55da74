package agreement

import (
	"iter"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/standard"
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

// Preview goes through records, as strictjson decodes them, and counts. It
// keeps at most samples of them. A record that is not an object is not counted.
func (t *Terms) Preview(records iter.Seq[any], samples int) *Preview {
	p := &Preview{Errors: make(map[string]int)}
	counts := make(map[name.Field]*FieldCount)
	for r := range records {
		m, ok := r.(map[string]any)
		if !ok || m == nil {
			continue
		}
		p.Records++
		yes, err := t.rows.eval(m)
		switch {
		case err != nil:
			p.Failed++
			p.Errors[t.rows.kindOfError(m, err)]++
			continue
		case !yes:
			p.Unpicked++
			continue
		}
		p.Matched++
		for _, f := range t.fates(m) {
			c := counts[f.field]
			if c == nil {
				c = &FieldCount{Field: f.field, Class: t.std.Class(f.field)}
				counts[f.field] = c
			}
			if f.outcome == Withheld {
				c.Withheld++
			} else {
				c.Sent++
			}
		}
		if len(p.Samples) < samples {
			p.Samples = append(p.Samples, t.Present(m))
		}
	}
	for _, f := range slices.Sorted(maps.Keys(counts)) {
		p.Fields = append(p.Fields, *counts[f])
	}
	for _, f := range t.agreement.Fields {
		if !slices.ContainsFunc(p.Fields, func(c FieldCount) bool {
			return c.Sent > 0 && (c.Field.Under(f) || f.Under(c.Field))
		}) {
			p.Unused = append(p.Unused, f)
		}
	}
	return p
}
