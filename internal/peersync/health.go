package peersync

import (
	"context"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// What partners let us know of themselves beside the records: how their clocks stand,
// and that they have no room.

// ClockSkew is how far the clocks of two honest councils may differ, as auditors see it.
const ClockSkew = 5 * time.Minute

// clockFor is how long what a partner signed tells of its clock.
const clockFor = 15 * time.Minute

// A clock is how far a partner's is ahead of ours, as far as what it cosigned says, and
// when it came.
type clock struct {
	ahead time.Duration
	at    time.Time
}

// cosignedNow takes the time that a partner put into a cosignature that it has just
// made, and that was verified.
func (s *Syncer) cosignedNow(by name.Council, line []byte) {
	at, ok := tlog.CosignedAt(line)
	if !ok {
		return
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clocks[by] = clock{at.Sub(now), now}
}

// Clocks returns how far the clocks of partners are ahead of ours, by what they cosigned
// within the last quarter of an hour; that a clock differs by more than [ClockSkew] is
// told for a day, since a node that signs nothing by a wrong clock hears no news of it.
// What was found before our clock was set is forgotten at once. A cosignature may be on
// its way for a minute or two, by which its council seems slow.
func (s *Syncer) Clocks() map[name.Council]time.Duration {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[name.Council]time.Duration{}
	for c, k := range s.clocks {
		most := clockFor
		if k.ahead.Abs() > ClockSkew {
			most = 24 * time.Hour
		}
		if since := now.Sub(k.at); since >= 0 && since < most && set(k.at, now).Abs() < time.Minute {
			out[c] = k.ahead
		}
	}
	return out
}

// set returns by how much the clock was set between two times that it told: how much
// longer they are apart on the wall than by the monotonic clock, 0 where that is not known.
func set(from, to time.Time) time.Duration {
	return to.Round(0).Sub(from.Round(0)) - to.Sub(from)
}

// codeFull is what a receiver refuses with that keeps nothing now.
const codeFull = "full"

// tellFull tells a sender that we keep nothing of what it has for us, since our disk is
// nearly full: without that it could not tell us from one who is away. It does so in
// place of the hello, so that nothing is sent in vain.
func (s *Syncer) tellFull(ctx context.Context, by name.Council) error {
	st, err := s.o.Network.Open(ctx, by, wirepb.Protocol)
	if err != nil {
		return err
	}
	defer st.Close()
	st.SetDeadline(s.o.Now().Add(helloWithin))
	if err := wirepb.NewWriter(st).Write(full()); err != nil {
		return err
	}
	return st.CloseWrite()
}

func full() *wirepb.Frame {
	return &wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: codeFull, Reason: "the disk here is nearly full, and nothing is kept"}}}
}

// heardFull notes whether a receiver keeps nothing now.
func (s *Syncer) heardFull(c name.Council, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is {
		s.full[c] = s.o.Now()
	} else {
		delete(s.full, c)
	}
}

// Full reports whether a council said last that it keeps nothing, since its disk is
// nearly full.
func (s *Syncer) Full(c name.Council) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, is := s.full[c]
	return is
}
