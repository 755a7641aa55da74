// Package schemas is the first published standards as data: one directory for
// each standard and version, in the form that package standard loads.
//
// Their publisher, standards.stile.example, is made up. A node may load them to
// have something to start with; nothing else in Stile knows them by name.
package schemas

import (
	"embed"
	"io/fs"
)

//go:embed planning-application brownfield-site housing-need compliance-statement
var files embed.FS

// Names lists the standards, sorted, each as "name/version", which is also its
// directory.
func Names() []string {
	return []string{"brownfield-site/1.0.0", "compliance-statement/1.0.0", "housing-need/1.0.0", "planning-application/1.0.0"}
}

// FS returns the directory of one of [Names]. Any other name panics.
func FS(name string) fs.FS {
	if _, err := files.ReadDir(name); err != nil {
		panic("internal error: no such standard: " + name)
	}
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return sub
}

// All returns the directories of every standard, in the order of [Names].
func All() []fs.FS {
	var out []fs.FS
	for _, n := range Names() {
		out = append(out, FS(n))
	}
	return out
}
