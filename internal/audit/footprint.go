package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A footprint has no key: it has signed an agreement, or ended it, once a majority
// of its members has. Who they are, the directory says; members here are those of
// its entry that the auditor gave, or of the one in the file where he gave none.

// footprint is a footprint's entry in the directory.
type footprint struct {
	members []name.Council
	given   bool // by the auditor, or vouched for by the directory he trusts
}

// footprint takes in the entry of a footprint.
func (r *keyring) footprint(m directory.Member, given bool) {
	if m.Role != directory.RoleFootprint || len(m.Members) == 0 || !given && r.footprints[m.Council].given {
		return
	}
	r.footprints[m.Council] = footprint{m.Members, given}
}

// saidFor is one thing that members say for a footprint.
type claimedFor struct {
	footprint name.Council
	kind      string
	review    agreement.Date // of a renewal: to when
}

// vote keeps what a council says of p as a member of footprints that are parties.
// It reports whether it is one.
func (v *verifier) vote(p *paper, s *claimed) bool {
	if s.kind == event.KindAgreementProposal || s.ref.Digest != p.doc.Digest() {
		return false
	}
	halts := s.kind == event.KindAgreementSuspend || s.kind == event.KindAgreementResume
	if halts && p.doc.Party(s.by) {
		return false // it speaks for itself
	}
	member := false
	for _, c := range p.doc.Parties() {
		if !slices.Contains(v.ring.footprints[c].members, s.by) {
			continue
		}
		member = true
		k := claimedFor{c, s.kind, s.review}
		if p.votes == nil {
			p.votes = map[claimedFor][]claimed{}
		}
		if halts {
			k.kind = event.KindAgreementSuspend
		}
		if halts || !slices.ContainsFunc(p.votes[k], func(o claimed) bool { return o.by == s.by }) {
			p.votes[k] = append(p.votes[k], *s)
		}
	}
	return member
}

// carry lets what a majority of a footprint's members said count for it: from when
// the last that it took said so, by their own clocks.
func (v *verifier) carry(p *paper) {
	for k, claimed := range p.votes {
		fp := v.ring.footprints[k.footprint]
		need := len(fp.members)/2 + 1
		if k.kind == event.KindAgreementSuspend {
			p.halted(k.footprint, claimed, need)
			continue
		}
		if len(claimed) < need {
			continue
		}
		sortSaid(claimed)
		last := claimed[need-1]
		body := agreement.Signature{Ref: last.ref}.Body
		switch k.kind {
		case event.KindAgreementEnd:
			body = last.notice.Body
		case event.KindAgreementRenewal:
			body = agreement.Renewal{Ref: last.ref, Review: last.review}.Body
		}
		if p.state.Apply(k.footprint, k.kind, body(), time.Unix(last.issuedAt, 0)) != nil {
			continue
		}
		if k.kind == event.KindAgreementSignature {
			var by []name.Council
			for _, s := range claimed {
				by = append(by, s.by)
			}
			slices.Sort(by)
			from := "the directory that you trust"
			if !fp.given {
				from = "this file alone"
			}
			v.say(CheckAgreementSignatures, "For %s signed %s, a majority of its %d members; who these are, %s says.", k.footprint, councils(by), len(fp.members), from)
		}
	}
}

// halted folds what members said about suspending and resuming: one has it
// suspended for the footprint, and as many as need it resumed, each after the last
// suspension.
func (p *paper) halted(fp name.Council, all []claimed, need int) {
	slices.SortFunc(all, func(a, b claimed) int {
		// In one second the suspension comes last.
		return cmp.Or(a.notice.At.Compare(b.notice.At), cmp.Compare(a.kind, b.kind), cmp.Compare(a.by, b.by))
	})
	suspended := false
	var resumed []name.Council
	for _, s := range all {
		switch {
		case s.kind == event.KindAgreementSuspend:
			suspended, resumed = true, nil
		case !suspended || slices.Contains(resumed, s.by):
			continue
		default:
			if resumed = append(resumed, s.by); len(resumed) < need {
				continue
			}
			suspended = false
		}
		// What does not hold leaves it as it was, as on a node.
		_ = p.state.Apply(fp, s.kind, s.notice.Body(), time.Unix(s.issuedAt, 0))
	}
}

func sortSaid(list []claimed) {
	slices.SortFunc(list, func(a, b claimed) int { return cmp.Or(cmp.Compare(a.issuedAt, b.issuedAt), cmp.Compare(a.by, b.by)) })
}
