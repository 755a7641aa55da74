package england

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A Cost is what a run took, in this process.
type Cost struct {
	Councils  int
	Days      int
	Offers    int           // records written, changed and deleted
	Messages  int64         // writes to a stream between two nodes
	Bytes     int64         // in them
	Processor time.Duration // user and system time
	Memory    int64         // bytes of the process in memory at the end
	Disk      int64         // bytes of all folders at the end
	Took      time.Duration // by the wall clock outside of the bubble
	Lines     int64         // logged at level warn or above
}

// Processor returns the processor time that this process has used.
func Processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident returns the bytes of this process in memory, 0 where the system does not say.
func resident() int64 {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Cost returns what the run took since the processor time before.
func (c *Country) Cost(before time.Duration) Cost {
	out := Cost{
		Councils: len(c.councils), Days: c.day, Offers: c.offers, Messages: c.messages.Load(), Bytes: c.bytes.Load(),
		Processor: Processor() - before, Memory: resident(), Lines: c.logged.Load(),
	}
	out.Disk = onDisk(c.dir)
	return out
}

// Story returns what happened, a line each.
func (c *Country) Story() string { return strings.Join(c.told, "\n") }

// Seventy returns the first day on which 70 in 100 of the councils that run had adopted the
// new standard, as the standards body counted and in truth; 0 for never.
func (c *Country) Seventy() (counted, truth int) {
	for i, r := range c.Adoption {
		if counted == 0 && 10*r.Counted >= 7*len(c.councils) {
			counted = i + 1
		}
		if truth == 0 && 10*r.Truth >= 7*len(c.councils) {
			truth = i + 1
		}
	}
	return counted, truth
}

// Table prints costs of runs beside each other, with what one council takes on a day.
func Table(runs ...Cost) string {
	var b strings.Builder
	row := func(what string, f func(Cost) string) {
		fmt.Fprintf(&b, "%-34s", what)
		for _, r := range runs {
			fmt.Fprintf(&b, "%14s", f(r))
		}
		b.WriteByte('\n')
	}
	each := func(n int64, c Cost) string { return fmt.Sprint(n / int64(c.Councils*c.Days)) }
	row("councils", func(c Cost) string { return fmt.Sprint(c.Councils) })
	row("days", func(c Cost) string { return fmt.Sprint(c.Days) })
	row("records written", func(c Cost) string { return fmt.Sprint(c.Offers) })
	row("messages", func(c Cost) string { return fmt.Sprint(c.Messages) })
	row("  a council and day", func(c Cost) string { return each(c.Messages, c) })
	row("bytes", func(c Cost) string { return fmt.Sprint(c.Bytes) })
	row("  a council and day", func(c Cost) string { return each(c.Bytes, c) })
	row("processor", func(c Cost) string { return c.Processor.Round(time.Second).String() })
	row("  a council and day", func(c Cost) string {
		return (c.Processor / time.Duration(c.Councils*c.Days)).Round(time.Microsecond).String()
	})
	row("memory, MiB", func(c Cost) string { return fmt.Sprint(c.Memory >> 20) })
	row("  a council, KiB", func(c Cost) string { return fmt.Sprint(c.Memory >> 10 / int64(c.Councils)) })
	row("disk, MiB", func(c Cost) string { return fmt.Sprint(c.Disk >> 20) })
	row("lines logged, warn and above", func(c Cost) string { return fmt.Sprint(c.Lines) })
	row("took", func(c Cost) string { return c.Took.Round(time.Second).String() })
	return b.String()
}

// Tenfold says what ten times as many councils as the larger of two runs would take. It is
// an extrapolation and no measurement, and says so: of each cost it takes the exponent k
// with which it grew between the two, cost ~ councils^k over the same number of days, and
// goes on with that. It returns "" where the two are of one size, or of different lengths.
func Tenfold(a, b Cost) string {
	if a.Councils > b.Councils {
		a, b = b, a
	}
	if a.Councils == b.Councils || a.Councils == 0 || a.Days != b.Days {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "An extrapolation, not measured: %d councils, ten times the larger run, if each cost grows on as it grew from %d to %d,\nas councils^k over %d days\n",
		10*b.Councils, a.Councils, b.Councils, b.Days)
	row := func(what string, of func(Cost) int64, show func(int64) string) {
		x, y := of(a), of(b)
		if x <= 0 || y <= 0 {
			return
		}
		k := math.Log(float64(y)/float64(x)) / math.Log(float64(b.Councils)/float64(a.Councils))
		fmt.Fprintf(&out, "%-34s%14s   k = %.2f\n", what, show(int64(float64(y)*math.Pow(10, k))), k)
	}
	mib := func(n int64) string { return fmt.Sprint(n>>20, " MiB") }
	row("messages", func(c Cost) int64 { return c.Messages }, func(n int64) string { return fmt.Sprint(n) })
	row("bytes", func(c Cost) int64 { return c.Bytes }, mib)
	row("processor", func(c Cost) int64 { return int64(c.Processor) }, func(n int64) string { return time.Duration(n).Round(time.Minute).String() })
	row("memory", func(c Cost) int64 { return c.Memory }, mib)
	row("disk", func(c Cost) int64 { return c.Disk }, mib)
	return out.String()
}

// onDisk returns how many bytes the files below a folder take on disk; a hole takes none.
func onDisk(dir string) (n int64) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				n += st.Blocks * 512
			}
		}
		return nil
	})
	return n
}
