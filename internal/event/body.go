package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrBody is wrapped by every error of a Parse function. Its text names the kind,
// the place as a JSON Pointer and the rule that is broken, never a value.
var ErrBody = errors.New("event body is malformed")

// Bounds of what bodies hold.
const (
	MaxVersion = 999_999 // of an agreement
	MaxText    = 4096    // bytes of a text for people; Body cuts a longer one
	MaxSigned  = 1 << 20 // bytes of what another council signed, kept whole
	maxNumber  = 1<<53 - 1
	// MaxSeconds is the end of the year 9999, in seconds since 1970: a later time has no form in
	// RFC 3339, and nothing that shows it can be written as JSON.
	MaxSeconds = 253_402_300_799
)

// Number returns a number as it stands in a body.
func Number[N int | uint64](n N) json.Number { return json.Number(fmt.Sprint(n)) }

// ParseNumber reads a whole number from 0 to 2^53−1, as Number writes it.
func ParseNumber(v any) (uint64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseUint(string(n), 10, 64)
	return i, err == nil && i <= maxNumber && strconv.FormatUint(i, 10) == string(n)
}

// indexList returns indexes as they stand in a body.
func indexList(list []uint64) []any {
	out := make([]any, len(list))
	for i, n := range list {
		out[i] = Number(n)
	}
	return out
}

// textList returns texts as they stand in a body.
func textList[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// words returns a text for people, cut to MaxText bytes.
func words(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
		for !utf8.ValidString(s) && len(s) > MaxText-utf8.UTFMax {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// A reader reads the members of one object, each once. It keeps the first thing
// that is wrong.
type reader struct {
	kind string
	at   string // JSON Pointer to the object; "" is the body
	m    map[string]any
	read int // members that were there and were asked for
	err  *error
}

func read(kind string, body map[string]any) *reader {
	return &reader{kind: kind, m: body, err: new(error)}
}

// wrong notes that a member breaks a rule.
func (r *reader) wrong(member, rule string) {
	if *r.err == nil {
		*r.err = fmt.Errorf("%w: %s: %s/%s %s", ErrBody, r.kind, r.at, member, rule)
	}
}

// done returns the first error, among them that there are members that nobody asked
// for.
func (r *reader) done() error {
	if *r.err == nil && r.read != len(r.m) {
		*r.err = fmt.Errorf("%w: %s: %s/ has a member that is not known", ErrBody, r.kind, r.at)
	}
	return *r.err
}

func (r *reader) has(member string) bool {
	_, ok := r.m[member]
	return ok
}

// value returns a member; nil, which is wrong, when there is none.
func (r *reader) value(member string) any {
	v, ok := r.m[member]
	if !ok {
		r.wrong(member, "is missing")
		return nil
	}
	r.read++
	return v
}

func (r *reader) textOf(member string, least, most int) string {
	s, ok := r.value(member).(string)
	switch {
	case !ok:
		r.wrong(member, "is not a text")
	case len(s) < least || len(s) > most:
		r.wrong(member, fmt.Sprintf("is not a text of %d to %d bytes", least, most))
	default:
		return s
	}
	return ""
}

// text reads a text for people.
func (r *reader) text(member string) string { return r.textOf(member, 0, MaxText) }

// textIf is text for a member that is left out when it would be empty.
func (r *reader) textIf(member string) string {
	if !r.has(member) {
		return ""
	}
	return r.textOf(member, 1, MaxText)
}

// oneOf reads a text that is one of some.
func (r *reader) oneOf(member string, known ...string) string {
	s, _ := r.value(member).(string)
	for _, k := range known {
		if s == k {
			return k
		}
	}
	r.wrong(member, "is none of the texts that it may be")
	return ""
}

func (r *reader) number(member string, most uint64) uint64 {
	n, ok := ParseNumber(r.value(member))
	if !ok || n > most {
		r.wrong(member, fmt.Sprintf("is not a whole number from 0 to %d", most))
		return 0
	}
	return n
}

func (r *reader) index(member string) uint64   { return r.number(member, maxNumber) }
func (r *reader) seconds(member string) uint64 { return r.number(member, MaxSeconds) }
func (r *reader) version(member string) uint64 { return r.number(member, MaxVersion) }

func (r *reader) flag(member string) bool {
	b, ok := r.value(member).(bool)
	if !ok {
		r.wrong(member, "is not true or false")
	}
	return b
}

// flagIf is flag for a member that is left out when it would be false.
func (r *reader) flagIf(member string) bool {
	if !r.has(member) {
		return false
	}
	if !r.flag(member) {
		r.wrong(member, "is not true, and must be left out then")
	}
	return true
}

// list reads an array of at most so many elements.
func (r *reader) list(member string, most int) []any {
	list, ok := r.value(member).([]any)
	if !ok || len(list) > most {
		r.wrong(member, fmt.Sprintf("is not an array of at most %d elements", most))
		return nil
	}
	return list
}

// indexes reads an array of indexes; nil for an empty one.
func (r *reader) indexes(member string) (out []uint64) {
	for i, v := range r.list(member, maxNumber) {
		n, ok := ParseNumber(v)
		if !ok {
			r.wrong(member+"/"+strconv.Itoa(i), "is not a whole number from 0 to 9007199254740991")
			return nil
		}
		out = append(out, n)
	}
	return out
}

// pairs reads two arrays of indexes of which each has as many as the other.
func (r *reader) pairs(own, at string) (_, _ []uint64) {
	a, b := r.indexes(own), r.indexes(at)
	if len(a) != len(b) {
		r.wrong(at, "has not as many elements as "+own)
	}
	return a, b
}

// objects calls f with each element of an array of objects.
func (r *reader) objects(member string, most int, f func(*reader)) {
	for i, v := range r.list(member, most) {
		place := member + "/" + strconv.Itoa(i)
		m, ok := v.(map[string]any)
		if !ok {
			r.wrong(place, "is not an object")
			return
		}
		o := &reader{kind: r.kind, at: r.at + "/" + place, m: m, err: r.err}
		f(o)
		if o.done() != nil {
			return
		}
	}
}

func (r *reader) hash(member string) tlog.Hash {
	s, _ := r.value(member).(string)
	h, err := tlog.ParseHash(s)
	if err != nil {
		r.wrong(member, "is not the base64 of 32 bytes")
	}
	return h
}

// named reads a member by the grammar of a name.
func named[N any](r *reader, member, what string, parse func(string) (N, error)) N {
	s, ok := r.value(member).(string)
	n, err := parse(s)
	if !ok || err != nil {
		r.wrong(member, "is not "+what)
		var none N
		return none
	}
	return n
}

// namesOf reads an array of names.
func namesOf[N any](r *reader, member, what string, most int, parse func(string) (N, error)) (out []N) {
	for i, v := range r.list(member, most) {
		s, ok := v.(string)
		n, err := parse(s)
		if !ok || err != nil {
			r.wrong(member+"/"+strconv.Itoa(i), "is not "+what)
			return nil
		}
		out = append(out, n)
	}
	return out
}

const aCouncil = "the name of a council"

// date reads a day, YYYY-MM-DD.
func (r *reader) date(member string) string {
	s := r.textOf(member, len(time.DateOnly), len(time.DateOnly))
	if t, err := time.Parse(time.DateOnly, s); err != nil || t.Format(time.DateOnly) != s {
		r.wrong(member, "is not a date")
	}
	return s
}

func (r *reader) council(member string) name.Council {
	return named(r, member, aCouncil, name.ParseCouncil)
}

// councilIf is council for a member that may be left out, and is "" then.
func (r *reader) councilIf(member string) name.Council {
	if !r.has(member) {
		return ""
	}
	return r.council(member)
}

func (r *reader) agreement(member string) name.Agreement {
	return named(r, member, "the name of an agreement", name.ParseAgreement)
}

func (r *reader) standard(member string) name.Standard {
	return named(r, member, "the name of a standard with its version", name.ParseStandard)
}
