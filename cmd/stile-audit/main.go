// Command stile-audit verifies what a council hands to an auditor, offline: an
// audit bundle, or a single token. It is the same check as "stile verify" in a
// program that has no node, database or network in it.
package main

import (
	"io"
	"os"
)

// env is the world that a command may touch besides the files it is told of.
type env struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(Main(env{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}
