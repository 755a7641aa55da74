package standard

import "hash/maphash"

// A values is the content of an enum or a const.
type values struct {
	list    []any // in the schema's order
	strings map[string]bool
	numbers map[string]bool // decimal keys
	other   []any           // null, booleans and containers
	weight  int             // of comparing with other
}

func newValues(list []any) *values {
	vs := &values{list: list, strings: map[string]bool{}}
	for _, v := range list {
		switch kindOf(v) {
		case isString:
			vs.strings[v.(string)] = true
		case isNumber:
			if vs.numbers == nil {
				vs.numbers = map[string]bool{}
			}
			if d, ok := decimalOf(v); ok {
				vs.numbers[d.key()] = true
			}
		default:
			vs.other = append(vs.other, v)
			vs.weight += size(v)
		}
	}
	return vs
}

// has reports whether p is one of the values. Of a container of which parts may
// be withheld nothing is certain.
func (vs *values) has(j *judging, p *place) bool {
	v := p.raw
	switch p.kind {
	case isString:
		j.spend(1)
		return vs.strings[v.(string)]
	case isNumber:
		if vs.numbers == nil {
			return false
		}
		d, ok := decimalOf(v)
		return ok && vs.numbers[d.key()]
	case isArray, isObject:
		if j.visible {
			return true
		}
		j.spend(vs.weight)
	}
	for _, o := range vs.other {
		if equal(v, o) {
			return true
		}
	}
	return false
}

func size(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += size(e)
		}
	case map[string]any:
		for _, e := range v {
			n += 1 + size(e)
		}
	}
	return n
}

// equal is JSON Schema's equality: numbers by value, objects without order.
func equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		c, ok := b.(bool)
		return ok && a == c
	case string:
		c, ok := b.(string)
		return ok && a == c
	case []any:
		c, ok := b.([]any)
		if !ok || len(a) != len(c) {
			return false
		}
		for i := range a {
			if !equal(a[i], c[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		c, ok := b.(map[string]any)
		if !ok || len(a) != len(c) {
			return false
		}
		for k, v := range a {
			w, ok := c[k]
			if !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	d, ok := decimalOf(a)
	e, ok2 := decimalOf(b)
	return ok && ok2 && d == e
}

// maxUnique is the longest array that uniqueItems is asked of.
const maxUnique = 20_000

// unique reports whether no element of p is there twice. Every container states
// its length in its hash: thousands of nested empty arrays would else share one,
// and each be compared with all.
func (j *judging) unique(p *place) bool {
	list := p.raw.([]any)
	if len(list) < 2 {
		return true
	}
	if len(list) > maxUnique {
		return false
	}
	values, _, text := extent(list)
	j.spend(4*values + text/8)
	seen := make(map[uint64][]int, len(list))
	var h maphash.Hash
	for i, e := range list {
		h.Reset()
		hash(&h, e)
		sum := h.Sum64()
		for _, k := range seen[sum] {
			if equal(e, list[k]) {
				return false
			}
		}
		seen[sum] = append(seen[sum], i)
	}
	return true
}

func hash(h *maphash.Hash, v any) {
	switch v := v.(type) {
	case nil:
		h.WriteByte('0')
	case bool:
		if v {
			h.WriteByte('t')
		} else {
			h.WriteByte('f')
		}
	case string:
		hashLen(h, 's', len(v))
		h.WriteString(v)
	case []any:
		hashLen(h, 'a', len(v))
		for _, e := range v {
			hash(h, e)
		}
	case map[string]any:
		hashLen(h, 'o', len(v))
		// Without order: the sum of the members' own hashes.
		var sum uint64
		for k, e := range v {
			var g maphash.Hash
			g.SetSeed(h.Seed())
			hashLen(&g, 'k', len(k))
			g.WriteString(k)
			hash(&g, e)
			sum += g.Sum64()
		}
		hashLen(h, 'S', int(sum))
	default:
		d, _ := decimalOf(v)
		k := d.key()
		hashLen(h, 'n', len(k))
		h.WriteString(k)
	}
}

func hashLen(h *maphash.Hash, tag byte, n int) {
	var b [9]byte
	b[0] = tag
	for i := range 8 {
		b[1+i] = byte(uint64(n) >> (8 * i))
	}
	h.Write(b[:])
}
