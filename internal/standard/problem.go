package standard

import "fmt"

// A Problem is one thing wrong with a record, in words for the person who
// keeps the data. It comes from the standard alone and never holds a value of
// the record.
type Problem struct {
	Pointer string `json:"pointer"` // RFC 6901 pointer; "" is the whole record
	Rule    string `json:"rule"`    // the JSON Schema keyword, or "key", "budget"
	Detail  string `json:"detail"`  // such as "is required"
	Fix     string `json:"fix"`     // what to do, such as "add it"
}

// Error makes a Problem usable as an error.
func (p *Problem) Error() string {
	return fmt.Sprintf("check record: place %q: %s: %s", p.Pointer, p.Rule, p.Detail)
}
