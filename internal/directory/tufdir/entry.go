package tufdir

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node/name"
)

// An Entry is one member as the directory has it: its file, and what the
// directory says about it. Its slices are shared and must not be changed.
type Entry struct {
	Member directory.Member
	Extra  MemberExtra
}

// Full returns the member with what the directory says of it, as those who
// verify and exchange need it.
func (e Entry) Full() directory.Member {
	m := e.Member
	m.Ended, m.Predecessors, m.Successors = e.Extra.Ended, e.Extra.Predecessors, e.Extra.Successors
	m.Revocations = e.Extra.Revocations
	return m
}

// parseEntry reads a member's file and custom, and checks one against the other.
func parseEntry(c name.Council, file, custom []byte) (Entry, error) {
	m, err := directory.ParseMember(file)
	if err != nil {
		return Entry{}, err
	}
	x, err := ParseMemberExtra(custom)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{m, x}
	return e, e.check(c)
}

func (e Entry) check(c name.Council) error {
	m, x := e.Member, e.Extra
	if m.Council != c {
		return errors.New("the member file is that of another council")
	}
	if !m.Ended.IsZero() || len(m.Predecessors)+len(m.Successors)+len(m.Revocations) > 0 {
		return errors.New("the member file says what is for the directory to say: its end, its successors or what is revoked")
	}
	if x.Role != m.Role || x.GSS != m.GSS || !x.ValidFrom.Equal(m.ValidFrom) {
		return errors.New("role, gss or valid_from is not what the member file says")
	}
	for _, r := range x.Revocations {
		if _, ok := m.RecordKey(r.KID); !ok {
			// The key must stay, or what it signed before could not be verified.
			return errors.New("a revoked key is not in the member file")
		}
	}
	if slices.Contains(x.Successors, c) || slices.Contains(x.Predecessors, c) {
		return errors.New("it succeeds itself")
	}
	return nil
}

// clashes returns, for each member that has a key in common with another, what
// it is, in words.
func clashes(members []Entry) map[name.Council]string {
	seen := map[string]name.Council{}
	bad := map[name.Council]string{}
	for _, e := range members {
		m := e.Member
		claim := func(field, key string) {
			if key == "" {
				return
			}
			key = field + " " + key
			if other, ok := seen[key]; ok {
				bad[m.Council] = field + " is also that of " + string(other)
				bad[other] = cmp.Or(bad[other], field+" is also that of "+string(m.Council))
				return
			}
			seen[key] = m.Council
		}
		claim("keys.node", m.Node)
		for _, k := range m.RecordKeys {
			claim("keys.record", k.ID())
		}
		for _, k := range m.LogKeys() {
			claim("keys.log", bareKey(k.Key))
		}
		claim("keys.witness", bareKey(m.WitnessKey))
	}
	return bad
}

// bareKey returns the key of a verifier key, "name+hash+key": under another name
// the same key has another hash. The key is base64, in which there may be a
// plus too; in the name there is none.
func bareKey(verifier string) string {
	p := strings.SplitN(verifier, "+", 3)
	return p[len(p)-1]
}
