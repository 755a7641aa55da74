package peersync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Whether a copy is all that its agreement permits is seen by counting on both sides, at
// one size of the sender's log: see ledger/permitted.go and ledger/copied.go. The sender
// says with a page that it counts there, does so behind, and commits in its log to what
// it came to; the receiver counts behind, too, and compares once that word has come,
// among the notices. Neither side waits for the other, and what is counted is of the
// moment of the page, whatever is sent meanwhile.

// A counting is the state of one stream that may count.
type counting struct {
	mu      sync.Mutex
	live    time.Time // since when the stream is at the end; zero before
	busy    bool
	look    time.Time // when it is asked again whether it is due
	failed  time.Time // when it last could not be done
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (c *counting) stop() {
	c.mu.Lock()
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	c.running.Wait()
}

// countAgain is how long after a failure counting is tried again.
const countAgain = time.Hour

// countLook is how often a stream asks whether it is due: a live record is not to wait for it.
const countLook = 15 * time.Second

func (o *ownFeed) countDue() time.Time {
	if o.f.Agreement == "" || o.suspended {
		return time.Time{}
	}
	c, now := &o.count, o.s.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live.IsZero() || c.busy || o.to == "" || now.Before(c.look) {
		return time.Time{}
	}
	c.look = now.Add(countLook)
	var p ledger.Partner
	err := o.s.o.Ledger.View(func(v *ledger.View) (err error) {
		p, err = v.Partner(o.f, o.to)
		return err
	})
	feed, found := o.s.o.Ledger.Feed(o.f.Agreement, o.f.Digest)
	if err != nil || found != nil || !feed.Ready {
		return time.Time{}
	}
	at := ledger.CheckpointDue(feed, p, c.live)
	if again := c.failed.Add(countAgain); !at.IsZero() && !c.failed.IsZero() && again.After(at) {
		at = again
	}
	return at
}

func (o *ownFeed) countWanted(to name.Council) <-chan struct{} {
	if o.f.Agreement == "" || o.suspended {
		return nil
	}
	return o.s.countWanted(serveKey{to, o.f.Agreement})
}

func (o *ownFeed) counted(ctx context.Context, to name.Council, cursor uint64) (*page, error) {
	o.to = to
	at := o.countDue()
	k := serveKey{to, o.f.Agreement}
	if asked := o.s.countAsked(k); !asked && (at.IsZero() || at.After(o.s.o.Now())) || o.suspended || o.below > 0 || o.f.Agreement == "" {
		p, err := o.page(cursor)
		if err == nil && p.Live {
			o.count.mu.Lock()
			if o.count.live.IsZero() {
				o.count.live = o.s.o.Now()
			}
			o.count.mu.Unlock()
		}
		return p, err
	}
	return o.countPage(ctx, to, cursor)
}

// countPage reads a page and counts, in the same view of the ledger, once the page was
// sent.
func (o *ownFeed) countPage(ctx context.Context, to name.Council, cursor uint64) (*page, error) {
	took, err := o.took()
	if err != nil {
		return nil, err
	}
	c := &o.count
	c.mu.Lock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(ctx)
	}
	if c.busy {
		c.mu.Unlock()
		return o.page(cursor)
	}
	c.busy = true
	c.mu.Unlock()
	got, sent := make(chan *ledger.Page, 1), make(chan bool, 1)
	failed := make(chan error, 1)
	c.running.Go(func() {
		counts := false
		err := o.s.o.Ledger.PageSummed(c.ctx, o.f, to, cursor, func(p *ledger.Page) bool {
			got <- p
			select {
			case counts = <-sent:
			case <-c.ctx.Done():
			}
			return counts
		})
		c.mu.Lock()
		c.busy = false
		if counts && err != nil {
			c.failed = o.s.o.Now()
		}
		c.mu.Unlock()
		switch {
		case err == nil && counts:
			o.s.countDone(serveKey{to, o.f.Agreement}, nil)
		case err != nil && c.ctx.Err() == nil && counts:
			o.s.o.Log.Error("what an agreement permits could not be counted", "agreement", o.f.Agreement, "receiver", to, "error", err.Error())
		}
		failed <- err
	})
	select {
	case p := <-got:
		read, err := o.formerly(&page{Page: *p, sent: sent, took: took})
		if err != nil {
			sent <- false
		}
		return read, err
	case err := <-failed:
		if err == nil {
			err = errors.New("internal error: a page was not handed on")
		}
		return nil, err
	}
}

// A countAsk is that a person wants a feed counted now.
type countAsk struct {
	asked chan struct{} // closed when it is
	done  chan struct{} // closed once it was counted, or cannot be
	want  bool
	err   error // why it cannot be, once done is closed
}

// countAskOf returns what is asked of a stream. It is called under s.mu.
func (s *Syncer) countAskOf(k serveKey) *countAsk {
	if s.counts == nil {
		s.counts = map[serveKey]*countAsk{}
	}
	a := s.counts[k]
	if a == nil {
		a = &countAsk{asked: make(chan struct{}), done: make(chan struct{})}
		s.counts[k] = a
	}
	return a
}

func (s *Syncer) countWanted(k serveKey) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.countAskOf(k)
	if a.want {
		return nil // it is known, and waits for a page at which it can be done
	}
	return a.asked
}

func (s *Syncer) countAsked(k serveKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countAskOf(k).want
}

func (s *Syncer) countDone(k serveKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.counts[k]; a != nil {
		a.err = err
		close(a.done)
		delete(s.counts, k)
	}
}

// Count has what an agreement permits a receiver counted, and committed to in our log,
// at the next page that brings the receiver to the end, and waits for it. The receiver
// must be connected and copy the agreement, of a footprint from us, or it waits until it is
// or ctx ends.
func (s *Syncer) Count(ctx context.Context, to name.Council, a name.Agreement) error {
	s.mu.Lock()
	ask := s.countAskOf(serveKey{to, a})
	if !ask.want {
		ask.want = true
		close(ask.asked)
	}
	s.mu.Unlock()
	select {
	case <-ask.done:
		return ask.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countCopy counts, behind, what came with a batch and before, if its sender says that
// it does the same.
func (s *Syncer) countCopy(ctx context.Context, p *job, src *ledger.Source, d *ledger.Delivery) {
	now := s.o.Now()
	if !d.Live || d.Suspended || d.Cursor != d.Checkpoint.Size || p.counting.Load() || now.Before(p.countNext) {
		return // a sender that asks for more than it should is not heeded
	}
	began := make(chan struct{})
	var once sync.Once
	p.counting.Store(true)
	p.counts.Go(func() {
		defer p.counting.Store(false)
		err := s.o.Ledger.CountCopy(ctx, src, d.Cursor, func() { once.Do(func() { close(began) }) })
		once.Do(func() { close(began) })
		switch {
		case err == nil:
			s.sayCompared(src)
		case ctx.Err() == nil && !errors.Is(err, ledger.ErrStale):
			s.o.Log.Warn("what came could not be counted", "from", src.From, "agreement", src.Agreement, "error", err.Error())
		}
		p.countTook.Store(int64(s.o.Now().Sub(now)))
	})
	<-began
	p.countNext = now.Add(countShare * time.Duration(p.countTook.Load()))
}

// countShare is how many times as long as counting took a receiver waits before it counts
// again.
const countShare = 50

// A commitment is what somebody says was permitted us, and where it stands.
type commitment struct {
	event.AgreementCheckpoint
	sender  name.Council // whose agreement it is: a council, or a footprint
	signers uint64       // of a footprint: see event.FootprintCheckpoint
	at      ledger.Words
	event   []byte
}

// committed takes the commitments out of a delivery of notices. What is said for a
// footprint that who says it does not keep, as far as we know, is left out.
func (s *Syncer) committed(k jobKey, d *ledger.Delivery) (out []commitment, err error) {
	if k.agreement != "" {
		return nil, nil
	}
	kept := d.Events[:0]
	for _, it := range d.Events {
		_, ev, err := record.ParseEvent(it.Token)
		if err != nil || ev.Kind != event.KindAgreementCheckpoint && ev.Kind != event.KindFootprintCheckpoint {
			kept = append(kept, it)
			continue
		}
		c := commitment{sender: k.council, at: ledger.Words{Entry: it.Index}, event: it.Token}
		beyond := false
		if ev.Kind == event.KindAgreementCheckpoint {
			c.AgreementCheckpoint, err = event.ParseAgreementCheckpoint(ev.Body)
			beyond = c.Size > it.Index
		} else {
			var told event.FootprintCheckpoint
			told, err = event.ParseFootprintCheckpoint(ev.Body)
			c.AgreementCheckpoint, c.sender, c.signers, c.at.By = told.AgreementCheckpoint, told.Footprint, told.Signers, k.council
		}
		if err != nil || c.To != s.o.Self || beyond {
			return nil, fmt.Errorf("entry %d: %w: it commits to nothing that can be compared", it.Index, judge.ErrLied)
		}
		if c.at.By != "" && !(s.o.Footprints.Is(c.sender) && slices.Contains(s.o.Footprints.Members(c.sender), c.at.By)) {
			s.o.Log.Info("a commitment of who is no member is left out", "footprint", c.sender, "from", c.at.By)
			continue
		}
		out = append(out, c)
	}
	clear(d.Events[len(kept):])
	d.Events = kept
	return out, nil
}

// compare compares commitments, of logs that were met with them, with what came.
func (s *Syncer) compare(ctx context.Context, list []commitment) error {
	for _, c := range list {
		src, err := s.o.Ledger.Source(c.sender, c.Agreement)
		if err != nil {
			continue // nothing came of it
		}
		doc, _ := s.o.Agreements.InForce(c.Agreement, s.o.Now())
		if doc == nil || doc.From != c.sender || uint64(doc.Version) != c.Version {
			continue // another text is in force by now
		}
		text := doc.Digest().String()
		if c.at.By != "" {
			text = fmt.Sprintf("%s/%d", text, c.signers)
		}
		if text != src.Digest {
			continue // the copy is not of it yet
		}
		if err := s.o.Ledger.Told(ctx, src, c.AgreementCheckpoint, c.at, c.event); err != nil && !errors.Is(err, ledger.ErrStale) {
			return err
		}
		s.sayCompared(src)
	}
	return nil
}

// sayCompared tells the log when what came is not what its sender committed to.
func (s *Syncer) sayCompared(src *ledger.Source) {
	now, err := s.o.Ledger.Source(src.From, src.Agreement)
	if err != nil {
		return
	}
	c := now.Compared
	if d := now.Differs; d != nil && d.Twice && d.By != "" {
		c = d
	}
	if c == nil || c.Equal() {
		return
	}
	s.o.Log.Error("a copy is not what its sender committed to", "from", src.From, "agreement", src.Agreement, "size", c.Sender.Size,
		"committed", c.Sender.Count, "came", c.Ours.Count, "by", c.By, "entry", c.Entry, "twice", c.Twice)
}
