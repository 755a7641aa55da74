// Command stile runs a council's node and everything a person does with it: it
// takes records in, signs agreements, says how the exchange with each partner
// stands and why, and verifies what an auditor is handed.
//
// Results go to standard output and everything else to standard error, so that
// a result can be piped. The exit codes stand in the help of stile itself.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// env is the world that a command may touch besides the files it is told of.
type env struct {
	in       io.Reader
	out, err io.Writer
	exit     func(code int)   // ends the process; nil in tests, where nothing may
	now      func() time.Time // nil: the clock of this machine
}

// clock is what the time is.
func (e env) clock() time.Time {
	if e.now == nil {
		return time.Now()
	}
	return e.now()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; once it has come, a second
	// one ends the process the way the system does.
	context.AfterFunc(ctx, stop)
	closeToOthers(false)
	code := Main(ctx, env{in: os.Stdin, out: os.Stdout, err: os.Stderr, exit: os.Exit}, os.Args[1:])
	stop()
	os.Exit(code)
}
