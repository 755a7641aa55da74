package peersync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A node that starts may have been set back: its folder was restored from a backup, or
// copied. Before it signs anything it asks those who may know its log for the newest
// checkpoint that they hold of it. What follows from the answers the ledger decides: see
// ledger.Halt and docs/quarantine.md.

// Timing of the questions about our own log.
const (
	settleWithin = 3 * time.Second // the first round, before anything is signed
	askOwnEvery  = 5 * time.Second // those who have not answered, while nothing is signed
	askAtOnce    = 16              // councils asked at a time
)

// haltedWords is what others are told while nothing is signed here.
const haltedWords = "our own log may be an old copy; nothing is exchanged until that is settled"

// acquainted returns the members that may know our log.
func (s *Syncer) acquainted() []name.Council {
	list, err := s.o.Ledger.Acquainted()
	if err != nil {
		s.o.Log.Error("read who may know our log", "error", err.Error())
	}
	list = append(list, s.o.Agreements.Related()...)
	if s.o.Everybody && s.o.Ledger.Halted() != nil {
		for _, m := range s.o.Directory.Members() {
			list = append(list, m.Council)
		}
	}
	if h := s.o.Ledger.Halted(); h != nil {
		for _, e := range h.Elsewhere {
			list = append(list, e.By)
		}
	}
	for _, c := range list {
		if s.o.Footprints.Is(c) {
			list = append(list, s.o.Footprints.Members(c)...)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	list = slices.DeleteFunc(list, func(c name.Council) bool {
		m, ok := s.o.Directory.Member(c)
		return c == s.o.Self || !ok || m.Node == "" || !m.ActiveAt(s.o.Now())
	})
	for _, c := range s.o.Strangers {
		if !slices.Contains(list, c) && !s.o.Ledger.PassedOver(c) {
			list = append(list, c)
		}
	}
	return list
}

// settle asks everybody once, and waits for the answers as long as that may take at a
// start. Who cannot be reached is asked again later.
func (s *Syncer) settle(ctx context.Context) {
	list := s.acquainted()
	s.o.Ledger.AskFirst(list)
	if len(list) == 0 || s.o.Agreed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	s.askAll(ctx, list)
	if h := s.o.Ledger.Halted(); h != nil {
		s.o.Log.Error("nothing is signed", "because", h.Reason())
	}
}

func (s *Syncer) askAll(ctx context.Context, list []name.Council) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, askAtOnce)
	for _, c := range list {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-free }()
			if err := s.askOwn(ctx, c); err != nil && ctx.Err() == nil {
				s.o.Log.Debug("ask what it holds of our log", "council", c, "error", err.Error())
			}
		})
	}
}

// askOn goes on asking: who connects at once and, while nothing is signed, those who have
// not answered or hold more than we, every few seconds.
func (s *Syncer) askOn(ctx context.Context) {
	fetched := map[name.Council]bool{}
	t := time.NewTimer(askOwnEvery)
	defer t.Stop()
	for {
		released := s.o.Ledger.Released()
		was := s.o.Ledger.Halted()
		if was == nil {
			released = nil
		}
		var ask []name.Council
		select {
		case <-ctx.Done():
			return
		case <-released: // a person let the log go on
		case c := <-s.asking:
			list := s.acquainted()
			if c == "" {
				ask = list
			} else if slices.Contains(list, c) {
				ask = []name.Council{c}
			}
			s.o.Ledger.AskFirst(list)
		case c := <-s.doubled:
			ask = []name.Council{c}
		case <-t.C:
			s.o.Ledger.AskFirst(s.acquainted())
			if h := s.o.Ledger.Halted(); h != nil {
				ask = slices.Clone(h.Waiting)
				for _, n := range h.Newer {
					ask = append(ask, n.By)
				}
				for _, e := range h.Elsewhere {
					ask = append(ask, e.By)
				}
				slices.Sort(ask)
				ask = slices.Compact(ask)
			}
		}
		if len(ask) > 0 {
			actx, cancel := context.WithTimeout(ctx, proofWithin)
			s.askAll(actx, ask)
			cancel()
		}
		if s.o.Ledger.Halted() != nil {
			t.Reset(askOwnEvery)
		} else {
			t.Reset(time.Minute)
		}
		if h := s.o.Ledger.Halted(); h != nil {
			for _, n := range h.Newer {
				if _, member := s.o.Directory.Member(n.By); fetched[n.By] || !member {
					continue
				}
				count, err := s.fetchBack(ctx, n.By)
				if err != nil {
					s.o.Log.Info("records of ours that another holds were not all given back", "by", n.By, "error", err.Error())
					continue
				}
				fetched[n.By] = true
				s.o.Log.Info("records of ours that are not in our log any more were given back", "by", n.By, "records", count)
			}
		}
		if is := s.o.Ledger.Halted(); (is == nil) != (was == nil) {
			if is == nil {
				s.o.Log.Info("our log is the newest that is known, or a person let it go on: entries are signed again")
			}
			s.Refresh()
			s.again(func(jobKey) bool { return true })
		}
	}
}

// askOwn asks a council which checkpoints of our log it holds, and whether it hears another
// process with our key.
func (s *Syncer) askOwn(ctx context.Context, c name.Council) error {
	if _, member := s.o.Directory.Member(c); !member && slices.Contains(s.o.Strangers, c) {
		return s.o.AskStranger(ctx, c)
	}
	q := &wirepb.ProofRequest{
		Version: wirepb.LogVersion, Log: string(s.o.Self), Heads: true, Instance: s.o.Instance.bytes(), Checkpoint: s.newest(),
	}
	for vouched := (Instance{}); ; {
		p, err := s.question(ctx, c, q)
		if err != nil {
			return err
		}
		if p.GetCode() != proofHeads {
			return fmt.Errorf("%s does not say what it holds of our log: %s", c, limit(p.GetReason(), 300))
		}
		other, err := s.toldOfOther(ctx, c, p)
		if err == nil {
			// While another may run, and it matters, this is no answer.
			_, err = s.o.Ledger.Heard(ctx, c, p.GetHeads(), other == Instance{} || s.o.Ledger.Halted() == nil)
		}
		if errors.Is(err, ledger.ErrStorage) {
			s.o.Log.Error("keep what is held of our log", "error", err.Error())
		}
		if err != nil || other == (Instance{}) {
			return err
		}
		if other != vouched {
			// It is told of us, and proves by its own answer that it runs.
			if q.Vouch, err = Vouch(s.o.Keys.Log.Signer(), s.o.Self, s.o.Instance, other); err != nil {
				return err
			}
			vouched = other
			continue
		}
		select {
		case <-s.settled:
			return nil // asked again by turns
		default:
		}
		// At a start a little patience spares two histories: the other answers within a
		// round trip if it runs. If it is our own former process it does not.
		if other == s.o.Previous || s.o.Ledger.Halted() != nil {
			return nil
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// question asks one question of /stile/log/1.
func (s *Syncer) question(ctx context.Context, c name.Council, q *wirepb.ProofRequest) (*wirepb.Proof, error) {
	st, err := s.o.Network.Open(ctx, c, wirepb.LogProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(s.o.Now().Add(proofWithin))
	if err := wirepb.WriteProofRequest(bufio.NewWriter(st), q); err != nil {
		st.Reset()
		return nil, err
	}
	p, err := wirepb.ReadProof(bufio.NewReader(st))
	if err != nil {
		st.Reset()
	}
	return p, err
}

// heads returns every checkpoint of a council's log that is held here: what is known of
// it and, while exchange with it is stopped, the two that it was stopped for.
func (s *Syncer) heads(c name.Council) (out [][]byte) {
	k := s.o.Ledger.Known(c)
	list := [][]byte{k.Note}
	if k.Quarantine != nil {
		list = append(list, k.Quarantine.Held, k.Quarantine.Told)
	}
	for _, h := range list {
		if len(h) > 0 && len(h) <= wirepb.MaxNote {
			out = append(out, h)
		}
	}
	return out
}
