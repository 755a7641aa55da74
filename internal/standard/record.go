package standard

import (
	"encoding/json"
	"slices"
)

// A place is one value of a record where it stands. A record is laid out in
// places once, before it is judged: members are in one order, so that a verdict
// and its cost are the same each time, and each place has a number, by which a
// verdict on it is remembered.
type place struct {
	raw   any
	kind  kinds    // 0: not a value of JSON
	id    int32    // from 0 on, the record itself first
	names []string // of members, sorted
	kids  []place  // members by names, or elements
}

// layOut makes places of v. It returns what the record's size is measured by:
// the number of its values and the bytes of its texts.
func layOut(v any) (root *place, values, text int) {
	var members int
	values, members, text = extent(v)
	b := layer{places: make([]place, values), names: make([]string, members)}
	root = &b.take(1)[0]
	b.fill(root, v)
	return root, values, text
}

// extent counts v's values, members and bytes of text.
func extent(v any) (values, members, text int) {
	values = 1
	switch v := v.(type) {
	case string:
		text = len(v)
	case []any:
		for _, e := range v {
			n, m, t := extent(e)
			values, members, text = values+n, members+m, text+t
		}
	case map[string]any:
		members = len(v)
		for k, e := range v {
			n, m, t := extent(e)
			values, members, text = values+n, members+m, text+t+len(k)
		}
	}
	return values, members, text
}

// A layer lays places out in one stretch of memory.
type layer struct {
	places []place
	names  []string
	next   int32
}

func (b *layer) take(n int) []place {
	out := b.places[:n:n]
	b.places = b.places[n:]
	for i := range out {
		out[i].id = b.next
		b.next++
	}
	return out
}

func (b *layer) fill(p *place, v any) {
	p.raw, p.kind = v, kindOf(v)
	switch v := v.(type) {
	case json.Number, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
	case float32, float64:
		if _, ok := decimalOf(v); !ok {
			p.kind = 0
		}
	case []any:
		p.kids = b.take(len(v))
		for i, e := range v {
			b.fill(&p.kids[i], e)
		}
	case map[string]any:
		p.names = b.names[:len(v):len(v)]
		b.names = b.names[len(v):]
		i := 0
		for k := range v {
			p.names[i] = k
			i++
		}
		slices.Sort(p.names)
		p.kids = b.take(len(v))
		for i, k := range p.names {
			b.fill(&p.kids[i], v[k])
		}
	default:
		if p.kind == isNumber {
			p.kind = 0
		}
	}
}

// member returns the member called name, nil if there is none.
func (p *place) member(name string) *place {
	if i, ok := slices.BinarySearch(p.names, name); ok {
		return &p.kids[i]
	}
	return nil
}
