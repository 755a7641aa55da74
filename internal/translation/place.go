package translation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A step of a place in their form.
type step struct {
	name       string
	kind       byte // 0: the member as it is; '1' the only element; 'f' the first; '=' and ':' the element, '(' the object, that has key and value
	key, value string
}

var stepForm = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(?:\[(?:(only)|(first)|([A-Za-z_]+)([=:])([^\]/]+))\]|\(([A-Za-z_]+)=([^)/]+)\))?$`)

// parse takes a place in their form apart. "." has no step.
func parse(place string) (steps []step, err error) {
	if place == "." {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(place, "/")
	if !ok {
		return nil, errors.New("want a place, such as /contracts[only]/title")
	}
	for _, text := range strings.Split(rest, "/") {
		p := stepForm.FindStringSubmatch(text)
		if p == nil {
			return nil, fmt.Errorf("%q is no step of a place", text)
		}
		s := step{name: p[1]}
		switch {
		case p[2] != "":
			s.kind = '1'
		case p[3] != "":
			s.kind = 'f'
		case p[4] != "":
			s.kind, s.key, s.value = p[5][0], p[4], p[6]
		case p[7] != "":
			s.kind, s.key, s.value = '(', p[7], p[8]
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// has reports whether an object is the one that a step means.
func (s step) has(v any) bool {
	m, _ := v.(map[string]any)
	switch s.kind {
	case '=', '(':
		return m[s.key] == any(s.value)
	case ':':
		list, _ := m[s.key].([]any)
		return slices.Contains(list, any(s.value))
	}
	return m != nil
}

// find returns what stands at a place, nil where nothing does. Where a list has more than the
// one element that is meant, it returns how many steps lead to that list, and else 0.
func find(v any, steps []step) (found any, several int) {
	for i, s := range steps {
		m, _ := v.(map[string]any)
		if v = m[s.name]; v == nil {
			return nil, 0
		}
		list, isList := v.([]any)
		switch s.kind {
		case 0:
			continue
		case '(':
			if !s.has(v) {
				return nil, 0
			}
			continue
		case '1', 'f':
			if len(list) == 0 {
				return nil, 0
			} else if len(list) > 1 && s.kind == '1' {
				return nil, i + 1
			}
			v = list[0]
			continue
		}
		v = nil
		if !isList {
			return nil, 0
		}
		for _, item := range list {
			if !s.has(item) {
				continue
			}
			if v != nil {
				return nil, i + 1
			}
			v = item
		}
	}
	return v, 0
}

// put writes a value at a place, and what is missing on the way to it. Where an object on the
// way is of another kind than the step says, nothing is written.
func put(root map[string]any, steps []step, value any) {
	for i, s := range steps {
		if i == len(steps)-1 && s.kind == 0 {
			root[s.name] = value
			return
		}
		next, ok := open(root, s, true)
		if !ok {
			return
		}
		root = next
	}
}

// open returns the object that a step leads to, which is made where it is missing and make
// says so.
func open(m map[string]any, s step, make bool) (map[string]any, bool) {
	fresh := map[string]any{}
	switch s.kind {
	case '=', '(':
		fresh[s.key] = s.value
	case ':':
		fresh[s.key] = []any{s.value}
	}
	v := m[s.name]
	if s.kind == 0 || s.kind == '(' {
		if v == nil && make {
			m[s.name] = fresh
			return fresh, true
		}
		o, ok := v.(map[string]any)
		return o, ok && s.has(o)
	}
	list, _ := v.([]any)
	for _, item := range list {
		if s.has(item) {
			o, ok := item.(map[string]any)
			return o, ok
		}
	}
	if make {
		m[s.name] = append(list, fresh)
	}
	return fresh, make
}
