// Package release says which release of Stile a program is.
package release

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Version is the number of this release, "v0.1.0"; of what is written after one and before
// the next, the next number with "-dev": "v0.2.0-dev". It stands in the source and is not
// read from a tag, so that a program, its packages and its list of parts say the same
// wherever they were built: a copy of the source has no tags, and a shallow clone has few.
// The Makefile reads this line. The commit that is tagged is the one that has a number
// without "-dev"; CONTRIBUTING.md says how a release is cut.
const Version = "v0.2.0-dev"

// A Build says which program this is.
type Build struct {
	Version  string `json:"version"`            // [Version]
	Commit   string `json:"commit,omitempty"`   // 12 hexadecimal digits; "" where the source came without its history
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes of its own
	Go       string `json:"go"`                 // "go1.26.8"
	Platform string `json:"platform"`           // "linux/amd64"
}

// Of returns it for the running program: what the Go tool wrote into it, beside [Version].
func Of() Build {
	b := Build{Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is the version; where that alone does not say what the program was built from,
// with the commit: "v0.1.0", "v0.2.0-dev at 873be2b1c9aa, changed".
func (b Build) String() string {
	s := b.Version
	if b.Commit == "" || !b.Modified && !strings.HasSuffix(s, "-dev") {
		return s
	}
	s += " at " + b.Commit
	if b.Modified {
		s += ", changed"
	}
	return s
}
