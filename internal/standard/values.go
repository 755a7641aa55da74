package standard

import (
	"hash/maphash"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A values is the content of an enum or a const.
type values struct {
	list    []any // in the schema's order
	strings map[string]bool
	numbers map[string]bool // decimal keys
	other   []any           // null, booleans and containers
	weight  int             // of comparing with other
	any     bool            // containers match unseen
}

func newValues(list []any, visible bool) *values {
	vs := &values{list: list, strings: map[string]bool{}, any: visible}
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

func (vs *values) has(v any, m *machine) bool {
	switch k := kindOf(v); k {
	case isString:
		return vs.strings[v.(string)]
	case isNumber:
		if vs.numbers == nil {
			return false
		}
		d, ok := decimalOf(v)
		return ok && vs.numbers[d.key()]
	case isArray, isObject:
		if vs.any {
			return true
		}
		m.spend(vs.weight / 4)
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

// unique stands for uniqueItems. The engine hashes items without saying where
// one ends, so that thousands of nested empty arrays share a hash and each is
// compared with all; here every container states its length.
type unique struct{ m *machine }

// maxUnique is the longest array that uniqueItems is asked of.
const maxUnique = 20_000

// Validate implements jsonschema.SchemaExt.
func (u unique) Validate(ctx *jsonschema.ValidatorContext, v any) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 {
		return
	}
	if len(list) > maxUnique {
		ctx.AddError(keyword("uniqueItems"))
		return
	}
	u.m.spend(size(list) / 2)
	seen := make(map[uint64][]int, len(list))
	var h maphash.Hash
	h.SetSeed(u.m.seed)
	for i, e := range list {
		h.Reset()
		hash(&h, e)
		sum := h.Sum64()
		for _, j := range seen[sum] {
			if equal(e, list[j]) {
				ctx.AddError(keyword("uniqueItems"))
				return
			}
		}
		seen[sum] = append(seen[sum], i)
	}
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
