// Command bench measures Stile beside its peers, and one commit beside another.
//
//	go run ./internal/bench peers     Stile, PostgreSQL and NATS JetStream, by turns in one run (make bench-peers)
//	go run ./internal/bench compare   the benchmarks of two commits, by turns (make bench-compare)
//
// Figures of a machine drift with what else it does, so what counts is the ratio
// of two figures measured one after the other, round by round, and its spread.
// Stile's own lanes are the benchmarks of its packages, built once and run as
// programs, so that a lane is written in one place.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := errors.New("say what to do: peers or compare")
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "peers":
			err = peers(ctx, os.Args[2:])
		case "compare":
			err = compare(ctx, os.Args[2:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}
