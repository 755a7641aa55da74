package intake

import (
	"slices"
	"strings"
)

var (
	pointThousands = onDemand(`^[^0-9]*[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?[^0-9]*$`)
	commaDecimals  = onDemand(`^[^0-9]*[0-9]{1,3}(?:\.[0-9]{3})*,[0-9]{1,2}[^0-9]*$`)
	commaThousands = onDemand(`^[^0-9]*[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?[^0-9]*$`)
	plainPoint     = onDemand(`^[^0-9]*[0-9]+\.[0-9]+[^0-9]*$`)
)

// marks guesses how the file writes numbers, from the columns that are named
// like a number of the standard: all of a file are written one way.
func (d *draft) marks() {
	var point, comma, thousands, dots int
	used := map[string]bool{}
	for _, p := range d.places {
		if p.Type != typeNumber && p.Type != typeInteger {
			continue
		}
		for _, h := range d.heads {
			if d.alike(p, h.text) < 0.85 {
				continue
			}
			for _, cell := range h.cells {
				switch {
				case pointThousands().MatchString(cell):
					thousands++
				case plainPoint().MatchString(cell) && !commaThousands().MatchString(cell):
					point++
				case commaDecimals().MatchString(cell):
					comma++
					if strings.Contains(cell, ".") {
						dots++
					}
				case commaThousands().MatchString(cell):
					dots++
				}
				for _, c := range currencies {
					if strings.Contains(cell, c) {
						used[c] = true
					}
				}
			}
		}
	}
	switch {
	case comma > 0 && point == 0 && thousands == 0:
		d.m.Decimal = ","
		if dots > 0 {
			d.m.Thousands = "."
		}
	case thousands > 0 && comma == 0:
		d.m.Thousands = ","
	}
	// One sign of a currency can be declared; of several each amount would
	// have to say which is meant.
	signs := sortedKeys(used)
	if len(signs) == 1 && signs[0] != "£" || len(signs) == 2 && slices.Contains(signs, "£") && slices.Contains(signs, "GBP") {
		d.m.Currency = Headings(signs)
	}
}
