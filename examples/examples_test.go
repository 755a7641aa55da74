package examples

import (
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/exchange"
)

// In every exchange a council takes in a file as its own system writes it, through a mapping.
func TestEachMapsASourceFile(t *testing.T) {
	all, err := Exchanges()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		files, err := e.Files()
		if err != nil {
			t.Fatal(err)
		}
		mapped := 0
		for _, s := range e.Steps {
			for _, turn := range e.Turns(s) {
				if turn.Run == "" || turn.Published {
					continue
				}
				words, err := exchange.Words(turn.Run)
				if err != nil {
					t.Fatal(err)
				}
				i := slices.Index(words, "--mapping")
				if i < 0 {
					continue
				}
				for _, word := range []string{words[1], words[i+1]} {
					if turn.File(word, files) == "" {
						t.Errorf("%s: %s: there is no file %q", e.ID, s.Say, word)
					}
				}
				mapped++
			}
		}
		if mapped == 0 {
			t.Errorf("%s: nothing is taken in through a mapping", e.ID)
		}
	}
}
