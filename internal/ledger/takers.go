package ledger

import (
	"errors"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Takers finds the feeds that may take a record without asking the filter of each: by
// what it has at the fields that filters compare with constants. A hundred agreements
// that each pick a ward cost a record one look in a table. What is found is asked.
//
// It is made anew when a feed is opened or closed, and does not change.
type takers map[name.StandardLine]*lineTakers

type lineTakers struct {
	always []uint32 // numbers of feeds that are asked of every record
	fields []name.Field
	by     []map[agreement.Scalar][]uint32 // by field
	all    []uint32                        // every feed of the line
}

func newTakers(feeds []*Feed) takers {
	out := takers{}
	for _, f := range feeds {
		if f.terms == nil || f.closed || f.onward() {
			continue
		}
		lt := out[f.line]
		if lt == nil {
			lt = new(lineTakers)
			out[f.line] = lt
		}
		lt.all = append(lt.all, f.number)
		guards := f.terms.Guards()
		if len(guards) == 0 {
			lt.always = append(lt.always, f.number)
			continue
		}
		// The narrowest, of which the first.
		g := slices.MinFunc(guards, func(a, b agreement.Guard) int { return len(a) - len(b) })
		for _, p := range g {
			i := slices.Index(lt.fields, p.Field)
			if i < 0 {
				i = len(lt.fields)
				lt.fields, lt.by = append(lt.fields, p.Field), append(lt.by, map[agreement.Scalar][]uint32{})
			}
			lt.by[i][p.Value] = append(lt.by[i][p.Value], f.number)
		}
	}
	return out
}

// of returns the numbers of the feeds that may take a record: sorted, each once.
func (t takers) of(line name.StandardLine, body map[string]any) []uint32 {
	lt := t[line]
	if lt == nil {
		return nil
	}
	if len(lt.fields) == 0 {
		return lt.always
	}
	out := lt.always
	for i, f := range lt.fields {
		if v, ok := agreement.ScalarAt(body, f); ok {
			if found := lt.by[i][v]; len(found) > 0 {
				out = append(slices.Clip(out), found...)
			}
		}
	}
	if len(out) > len(lt.always) {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// holders returns the numbers of the feeds that a record may stand in whose newest
// version is old, sorted: it stands in none whose filter that version did not match.
func (l *Ledger) holders(b *batch, old head) ([]uint32, error) {
	l.mu.RLock()
	t, std := l.takers, l.standards.list[old.standard]
	l.mu.RUnlock()
	lt := t[std.name.Line()]
	if lt == nil || !old.live {
		return nil, nil
	}
	if len(lt.fields) == 0 {
		return lt.all, nil
	}
	raw, err := l.entry(b, old.index)
	if errors.Is(err, ErrStorage) {
		return nil, err
	}
	if err == nil {
		var s *storedRecord
		if s, err = decodeStoredRecord(raw); err == nil {
			var body map[string]any
			if body, err = strictjson.Members(s.body, tops(lt.fields), bodyLimits); err == nil {
				return t.of(std.name.Line(), body), nil
			}
		}
	}
	return lt.all, nil // damaged: then by looking
}

// tops returns the members of a record that fields begin with.
func tops(fields []name.Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Tokens()[0]
	}
	slices.Sort(out)
	return slices.Compact(out)
}
