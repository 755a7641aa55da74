package audit

import (
	"encoding/base64"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The body of an [event.FootprintConfirmed], how the contributor keeps a
// footprint's receipt: agreement,
// footprint; held and withdrawn: log indexes of the council's own log, held_at and
// withdrawn_at: where these stand in the footprint's; checkpoints: objects of note
// and the proofs held_proof and withdrawn_proof. A footprint has no key: its
// members cosign its checkpoints, each once it has applied what is below.

// maxCovers bounds the checkpoints of one receipt: one for each member suffices.
const maxCovers = 32

// A covered is one checkpoint of a footprint and the proofs below it.
type covered struct {
	note            string
	held, withdrawn []tlog.Hash
}

// confirmed reads the body of such an event.
func (s *claimed) confirmed(ev *record.Event) error {
	bad := fmt.Errorf("%w: body of a %s", errBody, ev.Kind)
	a, _ := ev.Body["agreement"].(string)
	agr, err := name.ParseAgreement(a)
	if err != nil {
		return fmt.Errorf("%w: agreement of a %s", errBody, ev.Kind)
	}
	s.under(agr)
	var ok [5]bool
	fp, _ := ev.Body["footprint"].(string)
	c, err := name.ParseCouncil(fp)
	s.to, ok[0] = c, err == nil
	s.entries, ok[1] = event.ParseIndexes(ev.Body["held"])
	s.deleted, ok[2] = event.ParseIndexes(ev.Body["withdrawn"])
	s.heldAt, ok[3] = event.ParseIndexes(ev.Body["held_at"])
	s.deletedAt, ok[4] = event.ParseIndexes(ev.Body["withdrawn_at"])
	list, _ := ev.Body["checkpoints"].([]any)
	if slices.Contains(ok[:], false) || len(s.entries) != len(s.heldAt) || len(s.deleted) != len(s.deletedAt) || len(list) > maxCovers {
		return bad
	}
	for _, e := range list {
		m, _ := e.(map[string]any)
		signed, _ := m["note"].(string)
		c := covered{note: signed}
		for member, into := range map[string]*[]tlog.Hash{"held_proof": &c.held, "withdrawn_proof": &c.withdrawn} {
			text, _ := m[member].(string)
			b, err := base64.StdEncoding.DecodeString(text)
			if err == nil {
				*into, err = tlog.SplitHashes(b)
			}
			if err != nil {
				return bad
			}
		}
		s.covers = append(s.covers, c)
	}
	if len(s.covers) == 0 {
		return bad
	}
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
			if w := v.eventAt(index); w != nil && w.kind == event.Withdrawal && what == "withdrawn" {
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
		cp, sigs, err := tlog.OpenCosigned([]byte(c.note), e.to.Origin(), 1, keys...)
		if err == nil && allHeld {
			err = tlog.VerifyBatch(held, e.heldAt, cp.Size, cp.Root, c.held)
		}
		if err == nil && allGone {
			err = tlog.VerifyBatch(gone, e.deletedAt, cp.Size, cp.Root, c.withdrawn)
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
