package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/stile-exchange/stile/node/name"
)

// ErrBody is wrapped by every error of a Parse function, which names the member
// that is wrong and never its value.
var ErrBody = errors.New("says nothing that can be understood")

// Number returns a number as it stands in a body.
func Number[N int | uint64](n N) json.Number { return json.Number(fmt.Sprint(n)) }

// ParseNumber reads a whole number from 0 to 2^53−1, as Number writes it.
func ParseNumber(v any) (uint64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseUint(string(n), 10, 64)
	return i, err == nil && i < 1<<53 && strconv.FormatUint(i, 10) == string(n)
}

// Indexes returns log indexes as they stand in a body.
func Indexes(list []uint64) []any {
	out := make([]any, len(list))
	for i, n := range list {
		out[i] = Number(n)
	}
	return out
}

// ParseIndexes reads a list of log indexes; a member that is not there is an
// empty one.
func ParseIndexes(v any) ([]uint64, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, v == nil
	}
	out := make([]uint64, len(list))
	for i, v := range list {
		if out[i], ok = ParseNumber(v); !ok {
			return nil, false
		}
	}
	return out, true
}

// A reader reads the members of a body; err is of the first that is wrong.
type reader struct {
	kind string
	body map[string]any
	err  error
}

func (r *reader) wrong(member string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s of a %s", ErrBody, member, r.kind)
	}
}

func (r *reader) text(member string) string {
	t, _ := r.body[member].(string)
	return t
}

func (r *reader) number(member string) uint64 {
	n, ok := ParseNumber(r.body[member])
	if !ok {
		r.wrong(member)
	}
	return n
}

// counter is number for one that may be left out, and is 0 then.
func (r *reader) counter(member string) uint64 {
	if r.body[member] == nil {
		return 0
	}
	return r.number(member)
}

func (r *reader) indexes(member string) []uint64 {
	list, ok := ParseIndexes(r.body[member])
	if !ok {
		r.wrong(member)
	}
	return list
}

// named reads a member by the grammar of a name.
func named[N ~string](r *reader, member string, parse func(string) (N, error)) N {
	n, err := parse(r.text(member))
	if err != nil {
		r.wrong(member)
	}
	return n
}

func (r *reader) council(member string) name.Council { return named(r, member, name.ParseCouncil) }
func (r *reader) agreement(member string) name.Agreement {
	return named(r, member, name.ParseAgreement)
}
