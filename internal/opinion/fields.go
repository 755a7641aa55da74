package opinion

import (
	"slices"
	"strconv"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A place is where a field of the agreement stands, or above one.
type place struct {
	members map[string]*place
	each    *place // "*"
	// all: a field stands here that the standard withholds. clear: one that it leaves in
	// clear.
	all, clear bool
}

// lay lays out the fields of an agreement beside the layout of a standard.
func lay(fields []name.Field, layout *standard.Layout) *place {
	root := new(place)
	for _, f := range fields {
		p, l := root, layout
		for _, token := range f.Tokens() {
			var next **place
			if token == "*" {
				next, l = &p.each, l.Element()
			} else {
				l = l.Member(token)
				q := p.members[token]
				if q == nil {
					if p.members == nil {
						p.members = map[string]*place{}
					}
					q = new(place)
					p.members[token] = q
				}
				p = q
				continue
			}
			if *next == nil {
				*next = new(place)
			}
			p = *next
		}
		if l.Open {
			p.clear = true
		} else {
			p.all = true
		}
	}
	return root
}

// to returns the place one step below; nil when no field stands there or below. A field's
// "*" is every element of an array, and every member that has a number for a name.
func (p *place) to(token string) *place {
	if p == nil {
		return nil
	}
	if q := p.members[token]; q != nil {
		return q
	}
	if p.each != nil && number(token) {
		return p.each
	}
	return nil
}

// element is to for the element of an array at i.
func (p *place) element(i int) *place {
	if p == nil {
		return nil
	}
	if len(p.members) > 0 {
		return p.to(strconv.Itoa(i))
	}
	return p.each
}

func number(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s == "0" || s != "" && s[0] != '0'
}

// A walk goes through all that a token shows. What it says no to is named on the way back.
type walk struct {
	shown *shown
	rule  string   // why it stopped
	where []string // and where, the last step first
}

func (w *walk) pointer() string {
	out := ""
	for _, token := range w.where {
		out = "/" + name.Escape(token) + out
	}
	return out
}

func (w *walk) no(rule string) bool {
	w.rule = rule
	return false
}

// below notes a step on the way back.
func (w *walk) below(token string) bool {
	w.where = append(w.where, token)
	return false
}

// value judges a value that is shown, which the whole record says is whole. all: a field
// that is withheld stands at the value or above. open: one that is in clear does. apart: the
// value stands in a disclosure, or below one.
func (w *walk) value(v, whole any, p *place, all, open, apart bool) bool {
	if p != nil {
		all, open = all || p.all, open || p.clear
	}
	switch v := v.(type) {
	case map[string]any:
		return w.object(v, whole, p, all, open, apart)
	case []any:
		return w.array(v, whole, p, all, open, apart)
	}
	if !all && !(open && !apart) {
		return w.no(RuleField)
	}
	if list, ok := whole.(among); ok && slices.ContainsFunc(list, func(e any) bool { return same(v, e) }) || same(v, whole) {
		return true
	}
	return w.no(RuleOther)
}

// among is what the whole record says where it does not say which of several: it was
// itself put together from a token that withholds elements of the array.
type among []any

// memberOf returns what the whole record says one step below.
func memberOf(whole any, key string) (any, bool) {
	switch whole := whole.(type) {
	case map[string]any:
		v, ok := whole[key]
		return v, ok
	case among:
		var out among
		for _, e := range whole {
			if m, ok := e.(map[string]any); ok {
				if v, ok := m[key]; ok {
					out = append(out, v)
				}
			}
		}
		return out, len(out) > 0
	}
	return nil, false
}

// elementsOf returns what the whole record says of an array of n elements.
func elementsOf(whole any, n int) (at func(i int) any, ok bool) {
	switch whole := whole.(type) {
	case []any:
		if len(whole) == n {
			return func(i int) any { return whole[i] }, true
		}
		if len(whole) > n {
			return nil, false
		}
		return func(int) any { return among(whole) }, true
	case among:
		var out among
		for _, e := range whole {
			if a, ok := e.([]any); ok {
				out = append(out, a...)
			}
		}
		return func(int) any { return out }, true
	}
	return nil, false
}

// empty judges a container that shows nothing that is in it.
func (w *walk) empty(p *place, all, open, apart bool) bool {
	if all || open && !apart || p != nil && (len(p.members) > 0 || p.each != nil) {
		return true
	}
	return w.no(RuleField)
}

func (w *walk) object(m map[string]any, whole any, p *place, all, open, apart bool) bool {
	shows := false
	for key, v := range m {
		if key == "_sd" {
			continue
		}
		shows = true
		if !w.member(key, v, whole, p, all, open, apart) {
			return w.below(key)
		}
	}
	if hidden, ok := m["_sd"]; ok {
		digests, ok := hidden.([]any)
		if !ok {
			return w.no(RuleToken)
		}
		for _, d := range digests {
			key, v, ok, err := w.shown.member(d)
			if err != nil {
				return w.no(RuleToken)
			}
			if !ok {
				continue
			}
			if _, twice := m[key]; twice || key == "_sd" {
				return w.no(RuleToken)
			}
			shows = true
			if !w.member(key, v, whole, p, all, open, true) {
				return w.below(key)
			}
		}
	}
	return shows || w.empty(p, all, open, apart)
}

func (w *walk) member(key string, v, whole any, p *place, all, open, apart bool) bool {
	said, ok := memberOf(whole, key)
	if !ok {
		return w.no(RuleOther)
	}
	return w.value(v, said, p.to(key), all, open, apart)
}

func (w *walk) array(a []any, whole any, p *place, all, open, apart bool) bool {
	// What is withheld of an array leaves its digest there, so that places are as they were.
	said, ok := elementsOf(whole, len(a))
	if !ok {
		return w.no(RuleOther)
	}
	shows := false
	for i, v := range a {
		inner := apart
		if d, ok := digest(v); ok {
			e, ok, err := w.shown.element(d)
			if err != nil {
				return w.no(RuleToken)
			}
			if !ok {
				continue
			}
			v, inner = e, true
		}
		shows = true
		if !w.value(v, said(i), p.element(i), all, open, inner) {
			return w.below(strconv.Itoa(i))
		}
	}
	return shows || w.empty(p, all, open, apart)
}

// digest returns what stands in an array for an element that is disclosed by itself.
func digest(v any) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return nil, false
	}
	d, ok := m["..."]
	return d, ok
}

// Fields reports whether all of a list of fields are among the agreement's.
func (t *Text) Fields(list []name.Field) bool {
	return !slices.ContainsFunc(list, func(f name.Field) bool { return !slices.Contains(t.fields, f) })
}
