package footprint

import (
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestGreedyMessage: a member that announces gigabytes gets no memory for them
// before they come.
func TestGreedyMessage(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		liar, victim := w.at(places[1]), w.at(places[2])
		for what, b := range map[string][]byte{
			"bytes":    {0, 0x81, 0xa6, 'L', 'e', 'a', 'd', 'e', 'r', 0xc6, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3},
			"text":     {0, 0x81, 0xdb, 0x7f, 0xff, 0xff, 0xff, 'L', 'e'},
			"entries":  {0, 0x81, 0xa7, 'E', 'n', 't', 'r', 'i', 'e', 's', 0xdd, 0x7f, 0xff, 0xff, 0xff, 0x80},
			"members":  {0, 0xdf, 0x7f, 0xff, 0xff, 0xff, 0xa1, 'x'},
			"snapshot": {2, 0x81, 0xad, 'C', 'o', 'n', 'f', 'i', 'g', 'u', 'r', 'a', 't', 'i', 'o', 'n', 0xc6, 0x7f, 0xff, 0xff, 0xff},
		} {
			c, err := liar.layer.Dial(raft.ServerAddress(victim.server()), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
				t.Errorf("%s: %d MiB were reserved", what, got>>20)
			}
			if err := c.Close(); err != nil {
				t.Log(err)
			}
		}
	})
}
