package opinion

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A value is a string, int64, float64, bool, nil, map[string]any, *mapping, []any,
// time.Time or time.Duration. Numbers of a record are read when they are met.

// A mapping is a map that an expression writes.
type mapping struct{ keys, values []any }

// plain reads a number as a record has it; any other value is as it is.
func plain(v any) (any, error) {
	n, ok := v.(json.Number)
	if !ok {
		return v, nil
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return nil, errNone
	}
	return f, nil
}

func apply1(f func(any) (any, error), a node) node {
	return func(r *run) (any, error) {
		x, err := a(r)
		if err != nil {
			return nil, err
		}
		if err := r.step(); err != nil {
			return nil, err
		}
		return f(x)
	}
}

func apply(f func(a, b any) (any, error), a, b node) node {
	return func(r *run) (any, error) {
		x, err := a(r)
		if err != nil {
			return nil, err
		}
		y, err := b(r)
		if err != nil {
			return nil, err
		}
		if err := r.step(); err != nil {
			return nil, err
		}
		return f(x, y)
	}
}

// logic is || where decides is true, and && where it is false. What decides, on either
// side, is the outcome, whatever the other is.
func logic(a, b node, decides bool) node {
	return func(r *run) (any, error) {
		x, err := a(r)
		if err == nil && x == decides {
			return decides, nil
		}
		y, other := b(r)
		if other == nil && y == decides {
			return decides, nil
		}
		_, isX := x.(bool)
		_, isY := y.(bool)
		if err != nil || other != nil || !isX || !isY || r.steps > maxSteps {
			return nil, errNone
		}
		return !decides, nil
	}
}

func choose(t, yes, no node) node {
	return func(r *run) (any, error) {
		v, err := t(r)
		if err != nil {
			return nil, err
		}
		switch v {
		case true:
			return yes(r)
		case false:
			return no(r)
		}
		return nil, errNone
	}
}

func selects(of node, key string) node {
	return func(r *run) (any, error) {
		v, err := of(r)
		if err != nil {
			return nil, err
		}
		if err := r.step(); err != nil {
			return nil, err
		}
		return index(v, key)
	}
}

func has(of node, key string) node {
	return func(r *run) (any, error) {
		v, err := of(r)
		if err != nil {
			return nil, err
		}
		switch m := v.(type) {
		case map[string]any:
			_, ok := m[key]
			return ok, nil
		case *mapping:
			return m.find(key) >= 0, nil
		}
		return nil, errNone
	}
}

func (m *mapping) find(key any) int {
	return slices.IndexFunc(m.keys, func(k any) bool { return equal(k, key) })
}

func index(of, by any) (any, error) {
	switch of := of.(type) {
	case map[string]any:
		if key, ok := by.(string); ok {
			if v, ok := of[key]; ok {
				return plain(v)
			}
		}
	case *mapping:
		if i := of.find(by); i >= 0 {
			return of.values[i], nil
		}
	case []any:
		i, ok := by.(int64)
		if f, is := by.(float64); is && whole(f) {
			i, ok = int64(f), true
		}
		if ok && i >= 0 && i < int64(len(of)) {
			return plain(of[i])
		}
	}
	return nil, errNone
}

func makeList(items []node) node {
	return func(r *run) (any, error) {
		out := make([]any, len(items))
		for i, n := range items {
			v, err := n(r)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, r.step()
	}
}

func makeMap(keys, values []node) node {
	return func(r *run) (any, error) {
		m := new(mapping)
		for i, n := range keys {
			k, err := n(r)
			if err != nil {
				return nil, err
			}
			v, err := values[i](r)
			if err != nil {
				return nil, err
			}
			if m.find(k) >= 0 {
				return nil, errNone
			}
			m.keys, m.values = append(m.keys, k), append(m.values, v)
		}
		return m, r.step()
	}
}

// each goes through the elements of a list, or the names of an object in their order.
func (r *run) each(over node, slot int, do func() (more bool, err error)) error {
	v, err := over(r)
	if err != nil {
		return err
	}
	var list []any
	switch v := v.(type) {
	case []any:
		list = v
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			list = append(list, k)
		}
	case *mapping:
		list = v.keys
	default:
		return errNone
	}
	for len(r.names) <= slot {
		r.names = append(r.names, nil)
	}
	was := r.names[slot]
	defer func() { r.names[slot] = was }()
	for _, e := range list {
		if err := r.step(); err != nil {
			return err
		}
		if r.names[slot], err = plain(e); err != nil {
			return err
		}
		if more, err := do(); err != nil || !more {
			return err
		}
	}
	return nil
}

// quantifier is exists where decides is true, and all where it is false: one element that
// decides is enough, whatever the others are.
func quantifier(over node, slot int, test node, decides bool) node {
	return func(r *run) (any, error) {
		out, failed := !decides, false
		err := r.each(over, slot, func() (bool, error) {
			v, err := test(r)
			if b, ok := v.(bool); err == nil && ok {
				out = b
			} else {
				failed, out = true, !decides
			}
			return out != decides, nil
		})
		if err != nil || out != decides && failed {
			return nil, errNone
		}
		return out, nil
	}
}

func one(over node, slot int, test node) node {
	return func(r *run) (any, error) {
		n := 0
		err := r.each(over, slot, func() (bool, error) {
			v, err := test(r)
			b, ok := v.(bool)
			if err != nil || !ok {
				return false, errNone
			}
			if b {
				n++
			}
			return true, nil
		})
		return n == 1, err
	}
}

// gather is filter without a what, and map with one.
func gather(over node, slot int, test, what node) node {
	return func(r *run) (any, error) {
		out := []any{}
		err := r.each(over, slot, func() (bool, error) {
			if test != nil {
				v, err := test(r)
				b, ok := v.(bool)
				if err != nil || !ok {
					return false, errNone
				}
				if !b {
					return true, nil
				}
			}
			v := r.names[slot]
			if what != nil {
				var err error
				if v, err = what(r); err != nil {
					return false, err
				}
			}
			out = append(out, v)
			return true, nil
		})
		return out, err
	}
}

var operators = map[string]func(a, b any) (any, error){
	"==": func(a, b any) (any, error) { return equal(a, b), nil },
	"!=": func(a, b any) (any, error) { return !equal(a, b), nil },
	"<":  ordered(func(c int) bool { return c < 0 }),
	"<=": ordered(func(c int) bool { return c <= 0 }),
	">":  ordered(func(c int) bool { return c > 0 }),
	">=": ordered(func(c int) bool { return c >= 0 }),
	"in": within, "+": add, "-": subtract, "*": multiply, "/": divide, "%": modulo,
}

type function struct {
	one func(any) (any, error)
	two func(a, b any) (any, error)
}

var functions = map[string]function{
	"size":       {one: size},
	"contains":   {two: texts(func(a, b string) any { return strings.Contains(a, b) })},
	"startsWith": {two: texts(func(a, b string) any { return strings.HasPrefix(a, b) })},
	"endsWith":   {two: texts(func(a, b string) any { return strings.HasSuffix(a, b) })},
	"lowerAscii": {one: ascii('A', 'Z')},
	"upperAscii": {one: ascii('a', 'z')},
	"trim": {one: func(v any) (any, error) {
		if s, ok := v.(string); ok {
			return strings.TrimSpace(s), nil
		}
		return nil, errNone
	}},
	"substring": {two: func(s, from any) (any, error) {
		text, ok := s.(string)
		if !ok {
			return nil, errNone
		}
		return substring(s, from, int64(utf8.RuneCountInString(text)))
	}},
	"int": {one: toInt}, "double": {one: toDouble}, "string": {one: toText}, "bool": {one: toBool},
	"timestamp": {one: toTime}, "duration": {one: toDuration},
	"dyn": {one: func(v any) (any, error) { return v, nil }},
}

func texts(f func(a, b string) any) func(a, b any) (any, error) {
	return func(a, b any) (any, error) {
		s, ok := a.(string)
		t, is := b.(string)
		if !ok || !is {
			return nil, errNone
		}
		return f(s, t), nil
	}
}

// ascii turns the letters from a to z into the other case.
func ascii(a, z byte) func(any) (any, error) {
	return func(v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, errNone
		}
		b := []byte(s)
		for i, c := range b {
			if c >= a && c <= z {
				b[i] = c ^ 0x20
			}
		}
		return string(b), nil
	}
}

func size(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), nil
	case []any:
		return int64(len(v)), nil
	case map[string]any:
		return int64(len(v)), nil
	case *mapping:
		return int64(len(v.keys)), nil
	}
	return nil, errNone
}

func substring(s, from, to any) (any, error) {
	text, ok := s.(string)
	i, isFrom := from.(int64)
	j, isTo := to.(int64)
	if !ok || !isFrom || !isTo {
		return nil, errNone
	}
	runes := []rune(text)
	if i < 0 || j < i || j > int64(len(runes)) {
		return nil, errNone
	}
	return string(runes[i:j]), nil
}

func not(v any) (any, error) {
	if b, ok := v.(bool); ok {
		return !b, nil
	}
	return nil, errNone
}

func negate(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		if v != math.MinInt64 {
			return -v, nil
		}
	case float64:
		return -v, nil
	case time.Duration:
		if v != math.MinInt64 {
			return -v, nil
		}
	}
	return nil, errNone
}

// equal compares any two values: unlike types differ, but for numbers.
func equal(a, b any) bool {
	a, errA := plain(a)
	b, errB := plain(b)
	if errA != nil || errB != nil {
		return false
	}
	switch a := a.(type) {
	case int64, float64:
		c, ok := compare(a, b)
		return ok && c == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		return equalMaps(a, b)
	case *mapping:
		return equalMaps(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	case nil:
		return b == nil
	}
	switch b.(type) {
	case []any, map[string]any, *mapping:
		return false
	}
	return a == b
}

func equalMaps(a, b any) bool {
	n, _ := size(a)
	m, err := size(b)
	if _, text := b.(string); err != nil || text || n != m {
		return false
	}
	if _, list := b.([]any); list {
		return false
	}
	var keys []any
	if m, ok := a.(*mapping); ok {
		keys = m.keys
	} else {
		for k := range a.(map[string]any) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		v, err := index(a, k)
		w, other := index(b, k)
		if err != nil || other != nil || !equal(v, w) {
			return false
		}
	}
	return true
}

// compare orders two values of one kind; ok is false where there is no order.
func compare(a, b any) (c int, ok bool) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), true
		}
	case bool:
		if b, ok := b.(bool); ok {
			switch {
			case a == b:
				return 0, true
			case b:
				return -1, true
			}
			return 1, true
		}
	case int64:
		switch b := b.(type) {
		case int64:
			switch {
			case a < b:
				return -1, true
			case a > b:
				return 1, true
			}
			return 0, true
		case float64:
			return floats(float64(a), b)
		}
	case float64:
		switch b := b.(type) {
		case int64:
			return floats(a, float64(b))
		case float64:
			return floats(a, b)
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b), true
		}
	case time.Duration:
		if b, ok := b.(time.Duration); ok {
			return compare(int64(a), int64(b))
		}
	}
	return 0, false
}

func floats(a, b float64) (int, bool) {
	switch {
	case a < b:
		return -1, true
	case a > b:
		return 1, true
	}
	return 0, a == b
}

func ordered(is func(int) bool) func(a, b any) (any, error) {
	return func(a, b any) (any, error) {
		c, ok := compare(a, b)
		if !ok {
			return nil, errNone
		}
		return is(c), nil
	}
}

func within(a, b any) (any, error) {
	switch b := b.(type) {
	case []any:
		return slices.ContainsFunc(b, func(e any) bool { return equal(a, e) }), nil
	case map[string]any:
		key, ok := a.(string)
		if ok {
			_, ok = b[key]
		}
		return ok, nil
	case *mapping:
		return b.find(a) >= 0, nil
	}
	return nil, errNone
}

func add(a, b any) (any, error) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return a + b, nil
		}
	case []any:
		if b, ok := b.([]any); ok {
			return slices.Concat(a, b), nil
		}
	case int64:
		if b, ok := b.(int64); ok {
			if s := a + b; (s > a) == (b > 0) {
				return s, nil
			}
		}
	case float64:
		if b, ok := b.(float64); ok {
			return a + b, nil
		}
	case time.Duration:
		switch b := b.(type) {
		case time.Duration:
			s, err := add(int64(a), int64(b))
			if err != nil {
				return nil, err
			}
			return time.Duration(s.(int64)), nil
		case time.Time:
			return moment(b.Add(a))
		}
	case time.Time:
		if b, ok := b.(time.Duration); ok {
			return moment(a.Add(b))
		}
	}
	return nil, errNone
}

func subtract(a, b any) (any, error) {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			if d := a - b; (d < a) == (b > 0) {
				return d, nil
			}
		}
	case float64:
		if b, ok := b.(float64); ok {
			return a - b, nil
		}
	case time.Duration:
		if b, ok := b.(time.Duration); ok {
			d, err := subtract(int64(a), int64(b))
			if err != nil {
				return nil, err
			}
			return time.Duration(d.(int64)), nil
		}
	case time.Time:
		switch b := b.(type) {
		case time.Duration:
			if b == math.MinInt64 {
				return nil, errNone
			}
			return moment(a.Add(-b))
		case time.Time:
			d := a.Sub(b)
			if !b.Add(d).Equal(a) { // it has come to the end of its range
				return nil, errNone
			}
			return d, nil
		}
	}
	return nil, errNone
}

func multiply(a, b any) (any, error) {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return product(a, b)
		}
	case float64:
		if b, ok := b.(float64); ok {
			return a * b, nil
		}
	}
	return nil, errNone
}

func product(a, b int64) (any, error) {
	magnitude := func(i int64) uint64 {
		if i < 0 {
			return -uint64(i)
		}
		return uint64(i)
	}
	minus := (a < 0) != (b < 0)
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	switch {
	case high != 0 || low > 1<<63 || low == 1<<63 && !minus:
		return nil, errNone
	case minus:
		return -int64(low), nil
	}
	return int64(low), nil
}

func divide(a, b any) (any, error) {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok && b != 0 && !(a == math.MinInt64 && b == -1) {
			return a / b, nil
		}
	case float64:
		if b, ok := b.(float64); ok {
			return a / b, nil
		}
	}
	return nil, errNone
}

func modulo(a, b any) (any, error) {
	if a, ok := a.(int64); ok {
		if b, ok := b.(int64); ok && b != 0 && !(a == math.MinInt64 && b == -1) {
			return a % b, nil
		}
	}
	return nil, errNone
}

// Years that a timestamp may have, and so their seconds since 1970.
var (
	firstMoment = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
)

func moment(t time.Time) (any, error) {
	if t.Before(firstMoment) || t.After(lastMoment) {
		return nil, errNone
	}
	return t, nil
}

func toTime(v any) (any, error) {
	switch v := v.(type) {
	case time.Time:
		return v, nil
	case int64:
		if v >= firstMoment.Unix() && v <= lastMoment.Unix() {
			return time.Unix(v, 0).UTC(), nil
		}
	case string:
		// Two digits each, as RFC 3339 has them.
		if len(v) < len("2006-01-02T15:04:05Z") || v[4] != '-' || v[10] != 'T' || v[13] != ':' || v[16] != ':' {
			break
		}
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return moment(t)
		}
	}
	return nil, errNone
}

func toDuration(v any) (any, error) {
	switch v := v.(type) {
	case time.Duration:
		return v, nil
	case string:
		if d, err := time.ParseDuration(v); err == nil {
			return d, nil
		}
	}
	return nil, errNone
}

func toInt(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		if v > math.MinInt64 && v < math.MaxInt64 {
			return int64(v), nil
		}
	case string:
		if i, err := strconv.ParseInt(v, 10, 64); err == nil {
			return i, nil
		}
	case time.Time:
		return v.Unix(), nil
	case time.Duration:
		return int64(v), nil
	}
	return nil, errNone
}

func toDouble(v any) (any, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f, nil
		}
	}
	return nil, errNone
}

func toText(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return fmt.Sprint(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case time.Duration:
		return strconv.FormatFloat(v.Seconds(), 'f', -1, 64) + "s", nil
	}
	return nil, errNone
}

func toBool(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	}
	return nil, errNone
}
