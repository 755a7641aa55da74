// Package people is an example: households that leave one council's district
// are referred to the council they have chosen, with the fields it needs. The
// demonstration runs it.
package people

import _ "embed"

//go:embed agreement.yaml
var agreement string

// Agreement returns the agreement, a YAML document, under which Northmoor
// (E07000998) refers households to Saltby (E07000999).
func Agreement() []byte { return []byte(agreement) }
