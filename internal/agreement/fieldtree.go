package agreement

import (
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A fieldTree is a node in the tree of what an agreement lets travel. It follows
// records the way their pointers do, whatever container stands there: the
// token "*" of a field also meets a member whose name is a plain number, and
// both sides apply the same rule.
type fieldTree struct {
	// all: an agreed field that the standard withholds; it travels with all
	// that is below it.
	all bool
	// open: an agreed field that the standard leaves open; what is in clear
	// below it travels, but not what the standard withholds there.
	open bool
	// closed: withheld by the standard, below an open place.
	closed bool
	// leads: all stands here or somewhere below; holds: all or open does.
	leads, holds bool

	members map[string]*fieldTree
	element *fieldTree // "*"
}

// newFieldTree lays out the agreed fields of records laid out as l.
func newFieldTree(fields []name.Field, l *standard.Layout) *fieldTree {
	root := new(fieldTree)
	for _, f := range fields {
		p, at := root, l
		for _, tok := range f.Tokens() {
			p, at = p.child(tok), child(at, tok)
		}
		if at.Open {
			p.open = true
			p.close(at)
		} else {
			p.all = true
		}
	}
	root.sum()
	return root
}

func child(l *standard.Layout, tok string) *standard.Layout {
	if tok == "*" {
		return l.Element()
	}
	return l.Member(tok)
}

func (p *fieldTree) child(tok string) *fieldTree {
	if tok == "*" {
		if p.element == nil {
			p.element = new(fieldTree)
		}
		return p.element
	}
	if p.members == nil {
		p.members = make(map[string]*fieldTree)
	}
	if p.members[tok] == nil {
		p.members[tok] = new(fieldTree)
	}
	return p.members[tok]
}

// close marks what the standard withholds below an open place.
func (p *fieldTree) close(l *standard.Layout) {
	mark := func(tok string, l *standard.Layout) {
		if !l.Open {
			p.child(tok).closed = true
		} else if l.Members != nil || l.Elements != nil {
			p.child(tok).close(l)
		}
	}
	for tok, m := range l.Members {
		mark(tok, m)
	}
	if l.Elements != nil {
		mark("*", l.Elements)
	}
}

// sum works out leads and holds from the leaves up.
func (p *fieldTree) sum() {
	p.leads, p.holds = p.all, p.all || p.open
	add := func(m *fieldTree) {
		m.sum()
		p.leads, p.holds = p.leads || m.leads, p.holds || m.holds
	}
	for _, m := range p.members {
		add(m)
	}
	if p.element != nil {
		add(p.element)
	}
}

// next returns the place of the member or element that token, of a concrete
// pointer, names below p; nil when nothing there is agreed. A member that is
// named goes before "*".
func (p *fieldTree) next(token string) *fieldTree {
	if m := p.members[token]; m != nil {
		return m
	}
	if p.element != nil && index(token) {
		return p.element
	}
	return nil
}

// keeps reports whether the disclosure at pointer travels: it or something
// above it is agreed, or it is a mere container and something below it is.
func (p *fieldTree) keeps(pointer string, shell bool) bool {
	for p != nil && !p.all {
		if pointer == "" {
			return shell && p.leads
		}
		var tok string
		tok, pointer = cut(pointer)
		p = p.next(tok)
	}
	return p != nil
}

// covers reports whether all that a record can hold at f travels.
func (p *fieldTree) covers(f name.Field) bool {
	open := false
	for _, tok := range f.Tokens() {
		if p.all {
			return true
		}
		open = (open && !p.closed) || p.open
		if tok == "*" {
			p = p.element
		} else {
			p = p.next(tok)
		}
		if p == nil {
			return open
		}
	}
	return p.all || (((open && !p.closed) || p.open) && !p.anyClosed())
}

// anyClosed reports whether something below p stays behind though p is open.
func (p *fieldTree) anyClosed() bool {
	return p.any(func(q *fieldTree) bool { return q != p && q.closed && !q.all })
}

// walks reports whether every element named by f, which ends in "*", is
// visible, at the least as a container.
func (p *fieldTree) walks(f name.Field) bool {
	if p.covers(f) {
		return true
	}
	for _, tok := range f.Tokens() {
		if tok == "*" {
			p = p.element
		} else {
			p = p.members[tok]
		}
		if p == nil {
			return false
		}
	}
	return p.holds
}

func (p *fieldTree) any(is func(*fieldTree) bool) bool {
	if is(p) || (p.element != nil && p.element.any(is)) {
		return true
	}
	for _, m := range p.members {
		if m.any(is) {
			return true
		}
	}
	return false
}

// clash returns an agreed field that names one member of an object by a number
// beside one that names every element of an array there; next would hide one.
func clash(fields []name.Field) (name.Field, bool) {
	every := make(map[string]bool)
	for _, f := range fields {
		at := ""
		for _, tok := range f.Tokens() {
			if tok == "*" {
				every[at] = true
			}
			at += "/" + name.Escape(tok)
		}
	}
	for _, f := range fields {
		at := ""
		for _, tok := range f.Tokens() {
			if every[at] && index(tok) {
				return f, true
			}
			at += "/" + name.Escape(tok)
		}
	}
	return "", false
}

// cut splits a pointer that is not empty into its first token and the rest.
func cut(pointer string) (token, rest string) {
	token = pointer[1:]
	if i := strings.IndexByte(token, '/'); i >= 0 {
		token, rest = token[:i], token[i:]
	}
	if strings.IndexByte(token, '~') >= 0 {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return token, rest
}

// index reports whether a token may be the place of an element of an array
// (RFC 6901 section 4).
func index(token string) bool {
	return token != "" && strings.Trim(token, "0123456789") == "" && (token == "0" || token[0] != '0')
}
