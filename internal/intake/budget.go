package intake

import (
	"fmt"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A spend counts what one row has cost so far: bytes put into its record, bytes
// of cells looked at, and values. A mapping may name the same column two
// thousand times and join it to itself; without the count a short file and a
// short mapping could make a record of gigabytes before its size is asked for.
type spend struct {
	bytes, looked, values int
	limits                strictjson.Limits
	over                  bool
}

// maxLooked is how often the longest row may be looked at for one record.
const maxLooked = 16

// take counts a text that goes into the record, and reports whether the record
// is still within its limits.
func (s *spend) take(bytes, values int) bool {
	s.bytes += bytes
	s.values += values
	s.over = s.over || s.bytes > s.limits.Bytes || s.values > s.limits.Values
	return !s.over
}

// look counts a cell that is read.
func (s *spend) look(bytes int) bool {
	s.looked += bytes + 16
	s.over = s.over || s.looked > maxLooked*s.limits.Bytes
	return !s.over
}

// problem says which limit the record would be over.
func (s *spend) problem() Problem {
	p := Problem{Rule: RuleSize, Fix: "map each column once, and send large texts by address",
		Detail: fmt.Sprintf("the mapping reads the cells of this row over and over, to more than %d bytes", maxLooked*s.limits.Bytes)}
	switch {
	case s.values > s.limits.Values:
		p.Rule, p.Detail = strictjson.RuleValues, fmt.Sprintf("the mapping makes more than %d values of this row", s.limits.Values)
	case s.bytes > s.limits.Bytes:
		p.Detail = fmt.Sprintf("the mapping makes more than %d bytes of this row", s.limits.Bytes)
	}
	return p
}

// A tallied counts cells of a column that a person should know of. It may be
// used concurrently.
type tallied struct {
	n     atomic.Int64
	first atomic.Int64 // row
}

func (t *tallied) at(row int) {
	t.n.Add(1)
	for {
		old := t.first.Load()
		if old != 0 && old <= int64(row) || t.first.CompareAndSwap(old, int64(row)) {
			return
		}
	}
}
