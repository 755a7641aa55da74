package standard

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/node/name"
)

// Caps on what a manifest may say of other names.
const (
	maxAliases = 5000 // headings and words, in all
	maxAlias   = 200  // bytes of one
)

// parseAliases reads the headings under which sources are known to hold a
// place, and the words they are known to write there: "" stands for nothing.
func (m *Manifest) parseAliases(aliases map[string]oneOrMany, synonyms map[string]map[string]string, fault func(at string, err error)) {
	left := maxAliases
	place := func(key, p string) (name.Field, string) {
		at := "/" + key + "/" + name.Escape(p)
		f, err := name.ParseField(p)
		if err == nil && f == "" {
			err = fmt.Errorf("%s names the whole record: want a place in it", key)
		}
		fault(at, err)
		return f, at
	}
	count := func(at string, words ...string) {
		for _, w := range words {
			if left--; len(w) > maxAlias {
				fault(at, fmt.Errorf("a name is over %d bytes", maxAlias))
			}
		}
	}
	if len(aliases) > 0 {
		m.Aliases = make(map[name.Field][]string, len(aliases))
	}
	for _, p := range slices.Sorted(maps.Keys(aliases)) {
		f, at := place("aliases", p)
		count(at, aliases[p]...)
		m.Aliases[f] = aliases[p]
	}
	if len(synonyms) > 0 {
		m.Synonyms = make(map[name.Field]map[string]string, len(synonyms))
	}
	for _, p := range slices.Sorted(maps.Keys(synonyms)) {
		f, at := place("synonyms", p)
		for _, w := range slices.Sorted(maps.Keys(synonyms[p])) {
			count(at, w, synonyms[p][w])
		}
		m.Synonyms[f] = synonyms[p]
	}
	if left < 0 {
		fault("/aliases", fmt.Errorf("aliases and synonyms hold over %d names", maxAliases))
	}
}
