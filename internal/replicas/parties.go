package replicas

import (
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Parties returns the footprints that are parties of an agreement and that this node
// is a member of.
func (s *Set) Parties(a *agreement.Agreement) (out []*Replica, err error) {
	for _, p := range a.Parties() {
		if r := s.At(p); r != nil && slices.Contains(r.f.Councils(), s.self) {
			out = append(out, r)
		} else if s.Has(p) {
			return nil, api.Fail(api.Behind, "stile footprint status "+string(p), "the replica of %s is not open here", p)
		}
	}
	return out, nil
}

// MaySign returns what keeps an agreement from being signed here because of the
// footprints it names; ours are those of Parties.
func (s *Set) MaySign(a *agreement.Agreement, ours []*Replica) error {
	if s.Is(a.From) {
		members := s.Members(a.From)
		for _, p := range a.To {
			if s.Is(p) || slices.Contains(members, p) {
				return api.Fail(api.Refused, "name a council outside", "%s is a footprint, and %s is a member of it or a footprint itself", a.From, p)
			}
		}
	}
	for _, p := range a.To {
		if !s.Is(p) || !a.Way().Copied {
			continue // where nothing is copied its members ask, and nothing goes into it
		}
		if len(s.Members(p)) == 0 {
			return api.Fail(api.Refused, "ask a member for stile footprint entry "+string(p), "the directory does not say who the members of %s are, and they are whom records are brought to", p)
		}
		if a.From != s.self {
			continue
		}
		if other, ok := s.o.Under(p, a.Standard); ok && other != a.Name {
			return api.Fail(api.Conflict, "amend that one: give it the next version", "records of %s go into %s under %s already", a.Standard, p, other)
		}
	}
	for _, r := range ours {
		if !r.f.Formed() {
			return api.Fail(api.Behind, "stile footprint status "+string(r.name), "%s cannot sign yet: %s", r.name, footprint.RuleForming)
		}
	}
	return nil
}

// Addressees are the councils that what we say about an agreement is addressed to:
// the other parties, and for a footprint that we are not a member of, those who are.
func (s *Set) Addressees(a *agreement.Agreement) []name.Council {
	to := map[name.Council]bool{}
	for _, c := range a.Parties() {
		switch {
		case !s.Is(c):
			to[c] = true
		case !s.Has(c):
			for _, m := range s.Members(c) {
				to[m] = true
			}
		}
	}
	delete(to, s.self)
	return slices.Sorted(maps.Keys(to))
}
