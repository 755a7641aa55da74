package record

import (
	"errors"
	"fmt"
	"strings"
)

// Merge returns the token with every disclosure that one of some tokens has, which must be of one entry. What a holder
// of each may see the holder of the result may. The error wraps a [*Refusal] when a disclosure belongs to no digest.
func Merge(tokens ...*Token) (*Token, error) {
	if len(tokens) == 0 {
		return nil, errors.New("merge tokens: there are none")
	}
	first := tokens[0]
	seen := map[string]bool{}
	all := append([]byte(nil), first.raw[:first.end+1]...)
	for _, t := range tokens {
		if t.entry != first.entry {
			return nil, errors.New("merge tokens: they are of several entries")
		}
		for d := range strings.SplitSeq(string(t.raw[t.end+1:]), "~") {
			if d != "" && !seen[d] {
				seen[d] = true
				all = append(append(all, d...), '~')
			}
		}
	}
	t, err := Parse(all)
	if err != nil {
		return nil, fmt.Errorf("merge tokens: %w", err)
	}
	_, w, err := t.view()
	if err != nil {
		return nil, fmt.Errorf("merge tokens: %w", err)
	}
	// In the order in which their places are met.
	out := append([]byte(nil), first.raw[:first.end+1]...)
	for _, n := range w.nodes {
		s := w.c.texts[n.text]
		out = append(append(out, s.of(t.raw)...), '~')
	}
	return Parse(out)
}
