package peersync

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// What a partner's cosignature told of the clocks is told for a quarter of an hour, and
// for a day where they differ; once our own clock was set back it is told no more.
func TestClocksAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		s := &Syncer{o: Options{Now: func() time.Time { return time.Now().Add(ahead) }}, clocks: map[name.Council]clock{}}
		agree, off := name.Council("a.gov.uk"), name.Council("b.gov.uk")
		s.clocks[agree], s.clocks[off] = clock{time.Second, s.o.Now()}, clock{-time.Hour, s.o.Now()}
		told := func(want ...name.Council) {
			t.Helper()
			got := s.Clocks()
			if len(got) != len(want) {
				t.Errorf("told of %v, want %v", got, want)
			}
			for _, c := range want {
				if _, ok := got[c]; !ok {
					t.Errorf("%s is forgotten", c)
				}
			}
		}
		told(agree, off)
		time.Sleep(clockFor)
		told(off)
		ahead = -time.Hour
		told()
		ahead = 0
		time.Sleep(24 * time.Hour)
		told()
	})
	// A clock that was set: the two times are an hour apart on the wall, and not by the
	// monotonic clock, which a time without it stands for here.
	now := time.Now()
	if d := set(now, now.Add(time.Minute)); d != 0 {
		t.Errorf("nobody has set it: %v", d)
	}
}
