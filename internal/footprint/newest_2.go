//go:build stile_footprint_2

package footprint

const newestFormat = 2
