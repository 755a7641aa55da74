package standard

import "github.com/stile-exchange/stile/node/name"

// A Layout says, for one place in a record and all below it, what is said in
// clear and what can be withheld by itself.
//
// When Members and Elements are nil nothing below the place is named and its
// value goes or stays as one. When Members is not nil every member of the
// object is decided by itself, those that are not named like their parent.
// When Elements is not nil the same holds for every element of the array. The
// root object is always in clear and its members are decided one by one.
type Layout struct {
	Open     bool               // the value here is in clear
	Members  map[string]*Layout // by member name, unescaped
	Elements *Layout            // what the token "*" names

	rest *Layout // every child that is not named
	root bool
}

// newLayout lays out classes. They must have passed checkClasses.
func newLayout(classes map[name.Field]Class) *Layout {
	open, closed := &Layout{Open: true}, &Layout{}
	open.rest, closed.rest = open, closed
	place := func(f name.Field) *Layout {
		if classOf(classes, f) == Open {
			return &Layout{Open: true, rest: open}
		}
		return &Layout{rest: closed}
	}
	root := place("")
	root.root, root.Members = true, map[string]*Layout{}
	for f := range classes {
		at, l := name.Field(""), root
		for _, tok := range f.Tokens() {
			at = at.Child(tok)
			switch {
			case tok == "*":
				if l.Elements == nil {
					l.Elements = place(at)
				}
				l = l.Elements
			default:
				if l.Members == nil {
					l.Members = map[string]*Layout{}
				}
				if l.Members[tok] == nil {
					l.Members[tok] = place(at)
				}
				l = l.Members[tok]
			}
		}
	}
	return root
}

// Member returns the layout of the member named token, unescaped. It is never
// nil: a member that is not named is like its parent, as one value.
func (l *Layout) Member(token string) *Layout {
	if m := l.Members[token]; m != nil {
		return m
	}
	return l.unnamed()
}

// Element returns the layout of every element of an array. It is never nil.
func (l *Layout) Element() *Layout {
	if l.Elements != nil {
		return l.Elements
	}
	return l.unnamed()
}

func (l *Layout) unnamed() *Layout {
	if l.rest == nil { // a Layout written by hand, in a test
		return &Layout{Open: l.Open}
	}
	return l.rest
}

// Shell reports whether the object or array at this place appears in clear,
// be it emptied: it is open, or something named below it is, or it is the root.
func (l *Layout) Shell() bool {
	if l.Open || l.root || (l.Elements != nil && l.Elements.Shell()) {
		return true
	}
	for _, m := range l.Members {
		if m.Shell() {
			return true
		}
	}
	return false
}

// Separable reports whether f can be disclosed without disclosing more than f:
// no place above f goes as one value. l must be the layout of a whole record.
func (l *Layout) Separable(f name.Field) bool {
	for i, tok := range f.Tokens() {
		switch {
		case tok == "*" && l.Elements != nil:
			l = l.Elements
		case tok != "*" && (l.Members != nil || i == 0):
			l = l.Member(tok)
		default:
			return false
		}
	}
	return true
}

func classOf(classes map[name.Field]Class, f name.Field) Class {
	for {
		if c, ok := classes[f]; ok {
			return c
		}
		if f == "" {
			return Personal
		}
		f = parent(f)
	}
}

func parent(f name.Field) name.Field {
	i := len(f) - 1
	for f[i] != '/' {
		i--
	}
	return f[:i]
}
