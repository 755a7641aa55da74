package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A command that goes on after it was told to stop is ended within a second, and says
// so; one that returns in time is left alone; a node has time to say goodbye.
func TestLeash(t *testing.T) {
	for _, c := range []struct {
		args  []string
		takes time.Duration // that the command goes on after it was told
		ends  time.Duration // when the process was ended from outside; 0 is never
	}{
		{[]string{"check", "x.csv"}, time.Hour, time.Second},
		{[]string{"standard", "lint", "x"}, time.Hour, time.Second},
		{[]string{"import", "x.csv"}, time.Second / 2, 0},
		{[]string{"serve"}, 10 * time.Second, 0},
		{[]string{"serve"}, time.Hour, 20 * time.Second},
		{[]string{"exchange", "run", "06"}, 10 * time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var talk bytes.Buffer
			var told time.Time
			ended, code := time.Duration(0), 0
			a := &app{env: env{err: &talk, exit: func(c int) { ended, code = time.Since(told), c }}}
			ctx, stop := context.WithCancel(t.Context())
			off := a.leash(ctx, patience(a.root(), c.args))
			time.Sleep(time.Minute)
			if ended != 0 {
				t.Fatal("ended before anybody told it to stop")
			}
			told = time.Now()
			stop()
			time.Sleep(c.takes)
			off()
			synctest.Wait()
			if ended != c.ends {
				t.Errorf("%s: ended after %v, want %v", c.args, ended, c.ends)
			}
			if (code == 1 && strings.Contains(talk.String(), "stopped before it was done\n")) != (c.ends > 0) {
				t.Errorf("%s: exit code %d, %q", c.args, code, &talk)
			}
		})
	}
}
