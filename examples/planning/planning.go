// Package planning is an example: a council lets its neighbour see the public
// part of the planning applications near their boundary. The demonstration and
// the benchmarks run it.
package planning

import _ "embed"

//go:embed agreement.yaml
var agreement string

// Agreement returns the agreement, a YAML document, under which Northmoor
// shows Saltby its planning applications of ward X.
func Agreement() []byte { return []byte(agreement) }
