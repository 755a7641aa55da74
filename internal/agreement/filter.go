package agreement

import "fmt"

// A Filter chooses records by an expression in the language of an agreement's
// rows: CEL over the whole record, cut down to what ends soon on every record.
// It may be used concurrently.
type Filter struct{ rows *rows }

// ParseFilter checks and compiles an expression such as
// record.status == "open". The error is for the person who wrote it.
func ParseFilter(text string) (*Filter, error) {
	r, err := compileRows(text)
	if err != nil {
		return nil, fmt.Errorf("row filter: %w", err)
	}
	return &Filter{r}, nil
}

// Match reports whether a record, as strictjson decodes it, is one of those.
// sure is false where the expression has no answer for this record, as where it
// asks for a field that the record does not have, or costs too much; then the
// record does not match, as under an agreement.
func (f *Filter) Match(record map[string]any) (match, sure bool) {
	match, err := f.rows.eval(record)
	return match && err == nil, err == nil
}
