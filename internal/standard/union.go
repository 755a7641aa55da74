package standard

import (
	"maps"
	"slices"
)

// A union is the branches of an anyOf or a oneOf. Publishers tell the branches
// apart by a member with a fixed value, such as "applicationType", or by the
// value itself in a long list of codes. Where that is so, the value says which
// branches can hold, and the others are not tried: they are certain to fail.
type union struct {
	branches []*rule
	everyone []int32 // the indexes of all branches

	by     string // the member that tells, with isMember
	member bool
	itself bool               // the value itself tells
	fits   map[string][]int32 // by its text, the branches that can hold, in order
	open   []int32            // those that say nothing of it, in order
	codes  *node              // every text that fits, when no branch is open; for words
}

// maxUnionIndex bounds the index of a union of which many branches are open.
const maxUnionIndex = 100_000

func newUnion(branches []*rule) *union {
	if len(branches) == 0 {
		return nil
	}
	u := &union{branches: branches}
	for i := range branches {
		u.everyone = append(u.everyone, int32(i))
	}
	if len(branches) == 1 {
		return u
	}
	own := make([]map[string]bool, len(branches))
	of := map[string]int{} // how many branches fix each member
	fixed := make([]map[string]map[string]bool, len(branches))
	selves := 0
	for i, b := range branches {
		if own[i] = fixedTexts([]*rule{b}); own[i] != nil {
			selves++
		}
		fixed[i] = fixedMembers(b)
		for m := range fixed[i] {
			of[m]++
		}
	}
	best := ""
	for m, n := range of {
		if n > of[best] || n == of[best] && m < best {
			best = m
		}
	}
	switch {
	case selves > 1 && selves >= of[best]:
		u.itself = true
		u.index(func(i int) map[string]bool { return own[i] })
	case of[best] > 1:
		u.by, u.member = best, true
		u.index(func(i int) map[string]bool { return fixed[i][best] })
	}
	return u
}

func (u *union) index(texts func(i int) map[string]bool) {
	u.fits = map[string][]int32{}
	for i := range u.branches {
		set := texts(i)
		if set == nil {
			u.open = append(u.open, int32(i))
		}
		for t := range set {
			u.fits[t] = nil
		}
	}
	if len(u.open)*len(u.fits) > maxUnionIndex {
		u.fits, u.open, u.itself, u.member = nil, nil, false, false
		return
	}
	var list []any
	for i := range u.branches {
		set := texts(i)
		if set == nil {
			for t := range u.fits {
				u.fits[t] = append(u.fits[t], int32(i))
			}
			continue
		}
		for _, t := range slices.Sorted(maps.Keys(set)) {
			if len(u.fits[t]) == 0 {
				list = append(list, t)
			}
			u.fits[t] = append(u.fits[t], int32(i))
		}
	}
	if len(u.open) == 0 {
		u.codes = &node{values: &values{list: list}}
	}
}

// candidates returns the branches that can hold for p. With told, p's own text
// or that of a member ruled the others out; at is the place of that text.
func (u *union) candidates(p *place) (some []int32, at *place) {
	switch {
	case u.fits == nil:
	case u.itself:
		at = p
	case p.kind == isObject:
		at = p.member(u.by)
	}
	if at == nil || at.kind != isString {
		return u.everyone, nil
	}
	if some, ok := u.fits[at.raw.(string)]; ok {
		return some, at
	}
	return u.open, at
}

// closure returns the rules that judge whatever those given judge.
func closure(rs []*rule) []*rule {
	out := append([]*rule{}, rs...)
	seen := map[*rule]bool{}
	for _, r := range out {
		seen[r] = true
	}
	for i := 0; i < len(out) && i < 1000; i++ {
		next := out[i].allOf
		if out[i].ref != nil {
			next = append(next[:len(next):len(next)], out[i].ref)
		}
		for _, t := range next {
			if !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// fixedTexts returns the texts that a value may be, if it is a text, by an enum
// or const that always judges it; nil when there is none.
func fixedTexts(rs []*rule) map[string]bool {
	for _, r := range closure(rs) {
		if r.leaf == nil || r.refs && r.ref != nil {
			continue
		}
		for _, vs := range []*values{r.leaf.one, r.leaf.values} {
			if vs != nil {
				return vs.strings
			}
		}
	}
	return nil
}

// fixedMembers returns fixedTexts of every member that has any.
func fixedMembers(b *rule) map[string]map[string]bool {
	var out map[string]map[string]bool
	at := map[string][]*rule{}
	for _, r := range closure([]*rule{b}) {
		if r.obj != nil && !(r.refs && r.ref != nil) {
			for m, s := range r.obj.members {
				at[m] = append(at[m], s)
			}
		}
	}
	for m, rs := range at {
		if set := fixedTexts(rs); set != nil {
			if out == nil {
				out = map[string]map[string]bool{}
			}
			out[m] = set
		}
	}
	return out
}
