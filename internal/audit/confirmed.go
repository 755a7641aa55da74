package audit

import (
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// confirmed reads an [event.KindFootprintConfirmed], how the contributor keeps a
// footprint's receipt.
func (s *claimed) confirmed(ev *record.Event) error {
	c, err := event.ParseFootprintConfirmed(ev.Body)
	if err != nil {
		return err
	}
	s.under(c.Agreement)
	s.to, s.covers = name.Council(strings.Clone(string(c.Footprint))), c.Checkpoints
	s.entries, s.heldAt, s.deleted, s.deletedAt = c.Held, c.HeldAt, c.Withdrawn, c.WithdrawnAt
	return nil
}

// confirm takes in the receipt of a footprint: that its members cosigned
// checkpoints of a ledger in which the entries stand.
func (s *sharing) confirm(e *claimed) {
	v, t := s.v, s.v.on(CheckReceipts)
	if !v.mayReceive(e.agreement, e.to) {
		t.failEntry(e.index, "keeps a receipt of a footprint that the agreement does not let receive", "")
		return
	}
	v.counts.Receipts++
	members := v.ring.footprints[e.to].members
	if len(members) == 0 {
		t.skip(1)
		s.strangers = true
		return
	}
	var keys []note.Verifier
	used := map[string]Key{}
	for _, m := range members {
		for _, k := range v.ring.verifiers(m, UseWitness) {
			keys = append(keys, k.v)
			used[string(m)] = k.Key
		}
	}
	hashes := func(list []uint64, what string) (out []tlog.Hash, all bool) {
		for _, index := range list {
			if w := v.eventAt(index); w != nil && w.kind == event.KindWithdrawal && what == "withdrawn" {
				out = append(out, w.hash)
			} else if i, ok := v.recordAt(index); ok && what == "held" {
				out = append(out, v.records[i].entry)
			} else if w := v.eventAt(index); w != nil && what == "held" {
				out = append(out, w.hash)
			}
		}
		return out, len(out) == len(list) && len(out) > 0
	}
	held, allHeld := hashes(e.entries, "held")
	gone, allGone := hashes(e.deleted, "withdrawn")
	by := map[name.Council]bool{}
	for _, c := range e.covers {
		cp, sigs, err := tlog.OpenCosigned([]byte(c.Note), e.to.Origin(), 1, keys...)
		if err == nil && allHeld {
			err = tlog.VerifyBatch(held, e.heldAt, cp.Size, cp.Root, c.HeldProof)
		}
		if err == nil && allGone {
			err = tlog.VerifyBatch(gone, e.deletedAt, cp.Size, cp.Root, c.WithdrawnProof)
		}
		if err != nil {
			t.failEntry(e.index, fmt.Sprintf("keeps a checkpoint of %s that does not show what it says", e.to), "")
			return
		}
		for _, sig := range sigs {
			by[name.Council(sig.Witness)] = true
			if k, ok := used[sig.Witness]; ok {
				v.used[k] = true
			}
		}
	}
	r := s.receiver(e.to)
	var missing []name.Council
	for _, m := range members {
		if !by[m] {
			missing = append(missing, m)
		}
	}
	if len(missing) > 0 {
		t.skip(1)
		if s.without == nil {
			s.without = map[name.Council]int{}
		}
		for _, m := range missing {
			s.without[m]++
		}
		return
	}
	t.pass(1)
	if r == nil {
		return
	}
	r.members = members
	if allHeld {
		for _, index := range e.entries {
			if i, ok := v.recordAt(index); ok {
				set(r.held, i)
			}
		}
	}
	if allGone {
		for _, index := range e.deleted {
			r.deleted[index] = true
		}
	}
}

// sayConfirmed says of a footprint what its members cosigned.
func (s *sharing) sayConfirmed(r *receiver, held, sent int) {
	v := s.v
	if sent > 0 || len(r.deleted) > 0 {
		v.say(CheckReceipts, "%s each cosigned a ledger of %s that holds %s of %s that went to it.", councils(r.members), r.council, number(held), count(sent, "record"))
	}
	if len(r.deleted) > 0 {
		v.say(CheckReceipts, "They each cosigned one with %s in it, and so had erased what that takes back from their replicas.", count(len(r.deleted), "withdrawal"))
	}
}
