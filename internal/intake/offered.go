package intake

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
)

// Offered returns a row as a node is offered it: its record, and what is wrong with one of
// which no record could be made. Of such a row the record is what could be read of it; where
// that is nothing and it has no reference, a digest of its bytes, which need not be JSON, by
// which it is told from others; and else null. It may be called concurrently.
func (r *Reader) Offered(row Row) (json.RawMessage, []standard.Problem) {
	if len(row.Problems) == 0 {
		if row.Text != nil && r.o.Translation == nil {
			return row.Text, nil
		}
		return strictjson.Canonical(row.Record), nil
	}
	var problems []standard.Problem
	for _, p := range row.Problems {
		problems = append(problems, standard.Problem{Pointer: p.Pointer, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix})
	}
	switch {
	case row.Partial != nil:
		return strictjson.Canonical(row.Partial), problems
	case row.Reference == "":
		text := append([]byte(strings.Join(row.Cells, "\x00")), row.Text...)
		return fmt.Appendf(nil, "%q", fmt.Sprintf("sha256-%x", sha256.Sum256(text))), problems
	}
	return json.RawMessage("null"), problems
}

// InForm reports whether a JSON text has its records where files in somebody else's form have
// them. It reads as far as the first of them.
func InForm(text io.Reader, t *translation.Translation) (bool, error) {
	r, err := Open(text, Options{Format: JSON, Translation: t})
	if err == nil {
		_, err = r.Scan()
	}
	if _, other := errors.AsType[*FileError](err); other {
		return false, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return true, nil
}
