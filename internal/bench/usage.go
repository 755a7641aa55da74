package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks is how many of the units that /proc counts processor time in are a
// second: the same on every Linux that Go runs on.
const ticks = 100

// cpuOf returns the seconds of processor time that processes and all that came
// of them have used, and what this program has.
func cpuOf(roots ...int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	for _, pid := range family(roots...) {
		if f := stat(pid); f != nil {
			for _, i := range []int{11, 12, 13, 14} { // utime, stime, and those of children that have ended
				n, _ := strconv.Atoi(f[i])
				used += float64(n) / ticks
			}
		}
	}
	return used
}

// stat returns the fields of /proc/pid/stat that follow the name, nil when the
// process has ended.
func stat(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 15 {
		return nil
	}
	return f
}

// family returns processes and their descendants that live.
func family(roots ...int) []int {
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := stat(pid); f != nil {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], pid)
		}
	}
	out := append([]int(nil), roots...)
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}

// memoryOf returns the MiB of memory that processes hold, what they share
// counted once.
func memoryOf(roots ...int) float64 {
	var kb int
	for _, pid := range family(roots...) {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
		kb += numberAfter(string(b), "\nPss:")
	}
	return float64(kb) / 1024
}

// numberAfter returns the number that follows a word, 0 when it is not there.
func numberAfter(s, word string) int {
	_, rest, ok := strings.Cut(s, word)
	if f := strings.Fields(rest); ok && len(f) > 0 {
		n, _ := strconv.Atoi(f[0])
		return n
	}
	return 0
}

// peakMemory looks at what processes hold every so often until stop is called,
// which returns the most it saw.
func peakMemory(roots ...int) (stop func() float64) {
	end, most := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		peak := 0.0
		for {
			peak = max(peak, memoryOf(roots...))
			select {
			case <-tick.C:
			case <-end:
				most <- max(peak, memoryOf(roots...))
				return
			}
		}
	}()
	return func() float64 { close(end); return <-most }
}

// diskOf returns the bytes that the files of a folder occupy.
func diskOf(dir string) float64 {
	var n int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if fi, err := d.Info(); err == nil {
				if st, ok := fi.Sys().(*syscall.Stat_t); ok {
					n += st.Blocks * 512
				}
			}
		}
		return nil // a file may go while we look
	})
	return float64(n)
}
