package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A bar shows on a terminal how far the reading of files is, once it has taken
// longer than a second. Its zero value shows nothing.
type bar struct {
	read  atomic.Int64
	total int64
	quit  chan struct{}
	wg    sync.WaitGroup
}

// start begins a bar over files, on w when that is a terminal.
func (b *bar) start(w io.Writer, files []string, check bool) {
	b.read.Store(0)
	if !isTerminal(w) {
		return
	}
	b.total = 0
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil || !st.Mode().IsRegular() {
			b.total = 0 // unknown
			break
		}
		b.total += st.Size()
	}
	what := "importing"
	if check {
		what = "checking"
	}
	b.quit = make(chan struct{})
	b.wg.Go(func() { b.run(w, what, b.quit) })
}

func (b *bar) add(n int64) { b.read.Add(n) }

func (b *bar) run(w io.Writer, what string, quit chan struct{}) {
	const pause, every, width = time.Second, 200 * time.Millisecond, 30
	wait := time.NewTimer(pause)
	defer wait.Stop()
	shown := false
	for {
		select {
		case <-quit:
			if shown {
				name.Fprintf(w, "\r%s\r", strings.Repeat(" ", 78))
			}
			return
		case <-wait.C:
		}
		wait.Reset(every)
		shown = true
		done := b.read.Load()
		if b.total == 0 {
			name.Fprintf(w, "\r%s  %s read ", what, size(uint64(done)))
			continue
		}
		part := min(1, float64(done)/float64(b.total))
		full := int(part * width)
		name.Fprintf(w, "\r%s  [%s%s] %3.0f%%  %s of %s ", what, strings.Repeat("#", full), strings.Repeat(".", width-full),
			part*100, size(uint64(done)), size(uint64(b.total)))
	}
}

// stop takes the bar away; more than once does no harm.
func (b *bar) stop() {
	if b.quit != nil {
		close(b.quit)
		b.quit = nil
		b.wg.Wait()
	}
}
