//go:build !stile_footprint_2

package footprint

// newestFormat is the newest format of commands that this program understands;
// command.go says what each holds. The build tag stile_footprint_2 makes the
// program of the format before, for the test that upgrades one member after
// another.
const newestFormat = 3
