//go:build stile_footprint_1

package footprint

const newestFormat = 1
