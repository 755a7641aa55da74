package intake

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// FillsDown reports whether a row can depend on the rows above it.
func (m *Mapping) FillsDown() bool {
	return slices.ContainsFunc(m.Columns, func(c Column) bool { return c.FillDown })
}

// above remembers, for each column with fill_down, the last cell that was not
// blank.
type above struct {
	last map[int]string
	mark map[int]trait // of that cell
	torn map[int]bool  // what stands above is not known
	size int
}

// fill fills the blank cells of a row from the rows above it, or marks them
// when that is not known. It is called row after row.
func (a *above) fill(p *plan, raw *Raw) {
	if a.last == nil {
		a.last, a.mark, a.torn = map[int]string{}, map[int]trait{}, map[int]bool{}
	}
	for _, col := range p.filled {
		i := col.index
		switch {
		case raw.bad != nil:
			a.torn[i] = true // the cell that could not be read may have held a value
		case i >= len(raw.cells):
		case strings.TrimSpace(raw.cells[i]) != "":
			a.size += len(raw.cells[i]) - len(a.last[i])
			// A copy, since a cell keeps all of its row in memory.
			a.last[i], a.torn[i] = strings.Clone(raw.cells[i]), false
			if raw.traits != nil {
				a.mark[i] = raw.traits[i]
			}
			if a.size > p.limits.Bytes {
				a.size -= len(a.last[i])
				a.last[i], a.torn[i] = "", true
			}
		case a.torn[i]:
			if !slices.Contains(raw.torn, i) {
				raw.torn = append(raw.torn, i)
			}
		default:
			raw.cells[i] = a.last[i]
			if raw.traits != nil {
				raw.traits[i] = a.mark[i]
			}
		}
	}
}

// identifierWords are the words that make a text an identifier, in its place
// or its heading.
var identifierWords = []string{"id", "ref", "reference", "number", "code", "uprn", "usrn", "toid", "urn"}

// identifies reports whether the text of a column tells one thing from
// another, so that a digit may not be lost.
func (col *column) identifies(key []name.Field, reference string) bool {
	if col.Identifier != nil || col.Type != typeString {
		return col.Identifier != nil && *col.Identifier
	}
	if slices.Contains(key, col.To) || reference != "" && fold(col.heading) == fold(reference) {
		return true
	}
	toks := col.To.Tokens()
	last := words(toks[len(toks)-1])
	of := words(col.heading)
	return slices.ContainsFunc(identifierWords, func(w string) bool { return last[w] || of[w] })
}

// notes tells of the texts of a file that a spreadsheet may have spoilt. It may
// be called on nil.
func (p *plan) notes() []string {
	if p == nil {
		return nil
	}
	var out []string
	for _, col := range p.columns {
		if col.powers == nil {
			continue
		}
		if n := int(col.powers.n.Load()); n > 0 {
			out = append(out, fmt.Sprintf("column %q: %s in powers of ten, first in row %d: a spreadsheet may have written a longer number so; if it did, digits are lost",
				visible(col.heading), count(n, "cell is", "cells are"), col.powers.first.Load()))
		}
	}
	return out
}
