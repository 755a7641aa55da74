package agreement

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// LeastCouncils is how many councils a group of counts that are added up is of, at the
// least: what fewer counted can be found by one of them.
const LeastCouncils = 3

// Together adds up counts of several councils, by the same fields and of the same sums. A
// group that fewer than least councils show is left out, as is a sum that one of them does
// not show. The groups come in one order, and total is of the counts there are. The error
// says what does not fit together.
func Together(list []Counts, least int) (groups []Group, total int, err error) {
	if least < LeastCouncils {
		return nil, 0, fmt.Errorf("want groups of %d councils at the least", LeastCouncils)
	}
	type sum struct {
		Group
		councils int
	}
	all := map[string]*sum{}
	for _, c := range list {
		if !slices.Equal(c.By, list[0].By) || !slices.Equal(c.Sums, list[0].Sums) {
			return nil, 0, errors.New("they are counted by other fields")
		}
		for _, g := range c.Groups {
			key, err := json.Marshal(g.Of)
			if err != nil {
				return nil, 0, err
			}
			s := all[string(key)]
			if s == nil {
				s = &sum{Group: Group{Of: g.Of, Sums: make([]*int64, len(c.Sums))}}
				for i := range s.Sums {
					s.Sums[i] = new(int64)
				}
				all[string(key)] = s
			}
			s.Count, s.councils = s.Count+g.Count, s.councils+1
			for i := range s.Sums {
				if i >= len(g.Sums) || g.Sums[i] == nil || s.Sums[i] == nil {
					s.Sums[i] = nil
				} else {
					n := *s.Sums[i] + *g.Sums[i]
					s.Sums[i] = &n
				}
			}
		}
	}
	groups = []Group{}
	for _, key := range slices.SortedFunc(maps.Keys(all), cmp.Compare[string]) {
		if s := all[key]; s.councils >= least {
			groups, total = append(groups, s.Group), total+s.Count
		}
	}
	return groups, total, nil
}
