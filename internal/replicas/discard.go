package replicas

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What becomes of a replica when we are a member no longer: it is deleted, by the node
// itself when we left of our own will, and by a person when the others let us go. The
// event that says so is the receipt that the members wait for. Until they have it in the
// footprint's log it stands in a file beside the replicas, and the node goes on bringing it.

// An owed is such a file, footprints/NAME.discarded.
type owed struct {
	Footprint name.Council   `json:"footprint"`
	Members   []name.Council `json:"members"` // whom to bring it to
	Receipt   []byte         `json:"receipt"` // the signed event
}

const owedSuffix = ".discarded"

// bringEvery is how often a receipt that the members have not taken yet is brought again.
const bringEvery = 2 * time.Second

// discard deletes a replica, and has the receipt brought to the members. The receipt is
// written down before it is gone from the data folder that there was one.
func (s *Set) discard(ctx context.Context, r *Replica) error {
	s.discarding.Lock()
	defer s.discarding.Unlock()
	o := owed{Footprint: r.name, Members: r.f.Councils()}
	entries := r.f.Size()
	if !s.drop(r) {
		return nil // somebody else does it
	}
	if err := os.RemoveAll(s.dir(r.name)); err != nil {
		return api.Fail(api.Failed, "delete the folder by hand", "delete replica: %v", err)
	}
	_, jws, err := s.o.Ledger.AppendNotice(ctx, event.KindFootprintDiscarded, event.FootprintDiscarded{Footprint: r.name, Entries: entries}.Body())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(o.Members, func(c name.Council) bool { return c != s.self }) {
		return nil // there is nobody to bring it to
	}
	o.Receipt = jws
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(s.dir(r.name)+owedSuffix, b, 0o600)
}

// discardLeft deletes the replica of a footprint that we left of our own will.
func (s *Set) discardLeft(c name.Council) {
	r := s.At(c)
	s.mu.Lock()
	ctx := s.ctx
	s.mu.Unlock()
	if r == nil || r.council != nil || ctx.Err() != nil || !r.f.Out() {
		return
	}
	if err := s.discard(ctx, r); err != nil {
		s.o.Log.Error("delete the replica of a footprint that we left", "footprint", c, "error", err.Error())
		return
	}
	s.o.Log.Warn("the replica of a footprint that we left is deleted", "footprint", c)
}

// bringReceipts brings what is owed until ctx ends.
func (s *Set) bringReceipts(ctx context.Context) {
	t := time.NewTicker(bringEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		files, err := filepath.Glob(filepath.Join(s.dir(""), "*"+owedSuffix))
		if err != nil {
			continue
		}
		for _, file := range files {
			if err := s.bring(ctx, file); err != nil {
				s.o.Log.Info("the receipt for a deleted replica is not taken yet", "footprint", strings.TrimSuffix(filepath.Base(file), owedSuffix), "error", err.Error())
			}
		}
	}
}

func (s *Set) bring(ctx context.Context, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var o owed
	if err := json.Unmarshal(b, &o); err != nil {
		return errors.Join(err, os.Remove(file)) // torn as it was written; the event stands in our log
	}
	s.mu.Lock()
	hub := s.hub
	s.mu.Unlock()
	if hub == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = hub.Bring(ctx, o.Footprint, s.self, o.Members, o.Receipt)
	if _, refused := errors.AsType[*footprint.Refusal](err); err != nil && !refused {
		return err
	}
	if err != nil {
		s.o.Log.Warn("the members do not take the receipt for a deleted replica", "footprint", o.Footprint, "because", err.Error())
	}
	return os.Remove(file)
}
