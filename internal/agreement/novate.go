package agreement

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// ErrNovate is wrapped when an agreement cannot go on with a successor.
var ErrNovate = errors.New("the agreement cannot be novated")

// Novate returns the agreement with a successor in the place of a party that ends, from a
// day on: among the parties, roles and contacts, and in the name where the party is the
// sender. It is a new agreement, at version 1, and binds whoever signs it. The headings in
// which the name of the old party still stands, such as an address, are returned for a
// person to look at. The error wraps [ErrNovate].
func (a *Agreement) Novate(old, successor name.Council, starts Date) (*Agreement, []string, error) {
	no := func(format string, args ...any) (*Agreement, []string, error) {
		return nil, nil, fmt.Errorf("%w: %s", ErrNovate, fmt.Sprintf(format, args...))
	}
	switch {
	case !a.Party(old):
		return no("%s is not a party to %s", old, a.Name)
	case old == successor:
		return no("the successor is the party itself")
	case a.From == old && slices.Contains(a.To, successor) && len(a.To) == 1, a.From == successor:
		return no("it would be between %s and itself", successor)
	case a.Ends != "" && a.Ends <= starts:
		return no("it ends on %s, before it would start", a.Ends)
	}
	b, slug := *a, strings.TrimPrefix(string(a.Name), string(a.Name.Council())+"/")
	b.Version, b.Starts = 1, starts
	if b.From == old {
		n, err := name.ParseAgreement(string(successor) + "/" + slug)
		if err != nil {
			return no("%v", err)
		}
		b.From, b.Name = successor, n
	} else {
		n, err := name.ParseAgreement(string(a.From) + "/" + slug + "-" + strings.ReplaceAll(string(successor), ".", "-"))
		if err != nil {
			return no("%v", err)
		}
		b.Name = n
	}
	b.To = nil
	for _, c := range a.To {
		if c == old {
			c = successor
		}
		if c != b.From && !slices.Contains(b.To, c) {
			b.To = append(b.To, c)
		}
	}
	b.Roles, b.Contacts = maps.Clone(a.Roles), maps.Clone(a.Contacts)
	if r, ok := b.Roles[old]; ok {
		delete(b.Roles, old)
		b.Roles[successor] = r
	}
	if c, ok := b.Contacts[old]; ok {
		delete(b.Contacts, old)
		b.Contacts[successor] = c
	}
	return &b, b.naming(old), nil
}

// naming returns the headings in which the name of a council stands.
func (a *Agreement) naming(c name.Council) (out []string) {
	for line := range strings.Lines(string(a.YAML())) {
		if key, rest, ok := strings.Cut(line, ":"); ok && strings.Contains(rest, string(c)) {
			out = append(out, strings.TrimSpace(key))
		}
	}
	return out
}

// Holds reports whether who receives under a may hold what it was given under another text,
// of another sender: the same rows and fields of the same standard, copied, as long.
func (a *Agreement) Holds(b *Agreement) bool {
	return a.Standard == b.Standard && a.Mode == b.Mode && a.Rows == b.Rows &&
		slices.Equal(slices.Sorted(slices.Values(a.Fields)), slices.Sorted(slices.Values(b.Fields))) &&
		a.Retention == b.Retention && a.RetentionFrom == b.RetentionFrom && a.Origin == b.Origin
}
