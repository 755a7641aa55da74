package simtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/node"
)

// TestSetBackWorlds: in the middle of a faulty world a council's node comes up on an older
// copy of its folder. Whatever the weather, and whoever can be reached, it signs nothing.
// Once its newest folder is back everybody is in step, and its log is one history.
func TestSetBackWorlds(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	for _, seed := range []uint64{1} {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, seed, 3)
				c := w.councils[int(seed)%3]
				for _, other := range w.councils {
					if other != c {
						w.agree(c, other, "to-"+string(other.Name)[:3], 6)
						w.agree(other, c, "from-"+string(c.Name)[:3], 6)
					}
				}
				w.write(c, 3)
				w.Fair()
				w.await("all are in step", func() bool { return w.restless() == "" })
				old := w.copied(c)
				for range 15 {
					w.Step()
				}
				w.write(c, 2)
				w.Fair()
				w.await("all are in step", func() bool { return w.restless() == "" })

				w.weather()
				newest := w.setBack(c, old)
				for range 16 {
					other := w.councils[w.rng.IntN(len(w.councils))]
					switch w.rng.IntN(4) {
					case 0:
						w.link(other)
					case 1:
						w.weather()
					case 2:
						if other != c {
							w.write(other, 2)
						}
					case 3:
						if other != c && w.rng.IntN(3) == 0 {
							w.crash(other)
						}
					}
					time.Sleep(time.Duration(w.rng.IntN(20)) * time.Second)
					w.refuses(c)
					w.sound()
				}
				w.Fair()
				w.await("it is known to be an old copy", func() bool { w.refuses(c); return c.has("own-log-old-copy") })

				c.halt()
				c.dir = newest
				w.tell("%s comes up with its newest folder", c.Name)
				c.start()
				for _, other := range w.councils {
					if other != c {
						// Whoever was shown the old copy has stopped.
						_, err := try(other, other.node.Councils().EndQuarantine, node.EndQuarantineRequest{Council: string(c.Name), Follow: "held", Because: "it was an old copy"})
						var e *node.Error
						if err != nil && (!errors.As(err, &e) || e.Kind != node.Conflict && e.Kind != node.NotFound) {
							w.fail("%s: %v", other.Name, err)
						}
					}
				}
				w.write(c, 3)
				w.Check()
				t.Log(w.count())
			})
		})
	}
}

// copied returns a copy of a council's folder as it is now.
func (w *World) copied(c *Council) string {
	w.t.Helper()
	w.tell("%s is copied", c.Name)
	c.halt()
	c.lives++
	to := filepath.Join(w.dir, fmt.Sprint(c.Name, "-copy-", c.lives))
	if err := copyTree(to, c.dir); err != nil {
		w.t.Fatal(err)
	}
	c.up()
	return to
}

// setBack has a council come up on an older copy. It returns the newest folder.
func (w *World) setBack(c *Council, old string) string {
	w.t.Helper()
	w.tell("%s is set back", c.Name)
	c.halt()
	newest := c.dir
	c.dir = old
	clear(c.newest)
	c.start()
	return newest
}

// refuses checks that a council's node signs nothing.
func (w *World) refuses(c *Council) {
	w.t.Helper()
	body, err := json.Marshal(w.body("case-1"))
	if err != nil {
		panic(err)
	}
	r, err := try(c, c.node.Records().Put, node.PutRequest{Standard: string(caseName) + "@1", Records: []node.Offered{{Row: 1, Record: body}}})
	if err == nil {
		w.fail("%s signs on an old copy: %+v", c.Name, r)
	}
}
