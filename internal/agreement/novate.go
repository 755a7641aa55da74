package agreement

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

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

// LeaveOut returns the next version of the agreement, without one of several receivers, which
// ends: among the parties, roles and contacts. The others go on by it once all of them have
// signed. The headings in which its name still stands are returned for a person to look at. The
// error wraps [ErrNovate].
func (a *Agreement) LeaveOut(old name.Council) (*Agreement, []string, error) {
	switch {
	case !slices.Contains(a.To, old):
		return nil, nil, fmt.Errorf("%w: %s does not receive under %s", ErrNovate, old, a.Name)
	case len(a.To) == 1:
		return nil, nil, fmt.Errorf("%w: nobody receives under %s but %s", ErrNovate, a.Name, old)
	}
	b := *a
	b.Version++
	b.To = slices.DeleteFunc(slices.Clone(a.To), func(c name.Council) bool { return c == old })
	b.Roles, b.Contacts = maps.Clone(a.Roles), maps.Clone(a.Contacts)
	delete(b.Roles, old)
	delete(b.Contacts, old)
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

// A Follows reports whether one text is the name or the reference code of a council that has
// ended, and the other the same of a council that took over from it.
type Follows func(old, successor string) bool

// Holds reports whether who receives under a may hold what it was given under b, a text of
// another sender that a goes on from: the same rows and fields of the same standard, copied, as
// long. It is the one place where the two are compared. Rows are the same where they are byte
// for byte or, with follows, where b names councils that have ended and a their successors:
//
//   - what stands outside of quotes is the same byte for byte;
//   - each text in quotes is the same, or follows that of b in its place;
//   - the texts of a list behind the word in are a set: each of a is one of b, or follows one,
//     and each of b is one of a, or is followed by one. So two districts may become one unitary.
//
// Rows with a comment, an escape, or quotes of another kind (raw, bytes, three in a row) are
// the same byte for byte or not at all. follows may be nil.
func (a *Agreement) Holds(b *Agreement, follows Follows) bool {
	return a.Standard == b.Standard && a.Mode == b.Mode && sameRows(a.Rows, b.Rows, follows) &&
		slices.Equal(slices.Sorted(slices.Values(a.Fields)), slices.Sorted(slices.Values(b.Fields))) &&
		a.Retention == b.Retention && a.RetentionFrom == b.RetentionFrom && a.Origin == b.Origin
}

func sameRows(a, b string, follows Follows) bool {
	if a == b || follows == nil {
		return a == b
	}
	x, okx := splitRows(a)
	y, oky := splitRows(b)
	if !okx || !oky {
		return false
	}
	goesOn := func(now, was string) bool { return now == was || follows(was, now) }
	return slices.EqualFunc(x, y, func(p, q rowPart) bool {
		if p.code != q.code || p.list != q.list {
			return false
		}
		if !p.list {
			return slices.EqualFunc(p.texts, q.texts, goesOn)
		}
		return !slices.ContainsFunc(p.texts, func(now string) bool {
			return !slices.ContainsFunc(q.texts, func(was string) bool { return goesOn(now, was) })
		}) && !slices.ContainsFunc(q.texts, func(was string) bool {
			return !slices.ContainsFunc(p.texts, func(now string) bool { return goesOn(now, was) })
		})
	})
}

// A rowPart is a piece of a row filter: what stands before quotes, and what is in them. Of a
// list it is all that is in it, without what parts it.
type rowPart struct {
	code  string
	texts []string // one, of a list any number; none at the end of the filter
	list  bool
}

// splitRows cuts a row filter where texts in quotes stand; false where that is not certain.
func splitRows(rows string) (out []rowPart, ok bool) {
	if strings.Contains(rows, `\`) || strings.Contains(rows, "//") {
		return nil, false
	}
	for rest := rows; ; {
		i := strings.IndexAny(rest, `"'`)
		if i < 0 {
			return append(out, rowPart{code: rest}), true
		}
		code, quote := rest[:i], rest[i:i+1]
		text, after, closed := strings.Cut(rest[i+1:], quote)
		if !closed || i > 0 && isWord(code[i-1]) || strings.HasPrefix(after, quote) {
			return nil, false // a prefix such as r"…", or three quotes in a row
		}
		rest = after
		if n := len(out) - 1; n >= 0 && out[n].list && strings.TrimSpace(code) == "," {
			out[n].texts = append(out[n].texts, text)
			continue
		}
		out = append(out, rowPart{code: code, texts: []string{text}, list: opensList(code) && listOfTexts(quote+text+quote+after)})
	}
}

// opensList reports whether what stands before a text ends with "in [".
func opensList(code string) bool {
	before, opened := strings.CutSuffix(strings.TrimRightFunc(code, unicode.IsSpace), "[")
	before = strings.TrimRightFunc(before, unicode.IsSpace)
	before, in := strings.CutSuffix(before, "in")
	return opened && in && before != "" && !isWord(before[len(before)-1])
}

// listOfTexts reports whether nothing but texts parted by commas stands before the next "]".
func listOfTexts(s string) bool {
	for {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
		if s == "" || s[0] != '"' && s[0] != '\'' {
			return false
		}
		_, after, closed := strings.Cut(s[1:], s[:1])
		s = strings.TrimLeftFunc(after, unicode.IsSpace)
		switch {
		case !closed || s == "":
			return false
		case s[0] == ']':
			return true
		case s[0] != ',':
			return false
		}
		s = s[1:]
	}
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}
