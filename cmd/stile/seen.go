package main

import (
	"fmt"
	"hash/maphash"

	"golang.org/x/text/unicode/norm"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A seenKeys remembers which records the files held, by a hash of the key, to
// tell of a record that stands there twice and of two records whose keys look
// alike. It takes some 80 bytes a record.
type seenKeys struct {
	seed  maphash.Seed
	last  map[uint64]place // by the twin of a key: where the first key with it stood last
	other map[uint64]place // by the key: those whose twin another key had first
	twice []twice
	more  int
}

// A place is where a key stood.
type place struct {
	file  string
	row   int
	exact uint64 // hash of the key
	nfc   uint64 // hash of the key in Unicode normalisation form C
}

// A twice is a row with the key of an earlier one, or with one that looks like
// it.
type twice struct {
	File      string `json:"file"`
	Row       int    `json:"row"`
	Reference string `json:"reference"`
	OldFile   string `json:"earlier_file"`
	OldRow    int    `json:"earlier_row"`
	Differs   string `json:"differs,omitempty"` // "case" or "composition": two records; "": one
}

func (t twice) String() string {
	old := fmt.Sprintf("row %d", t.OldRow)
	if t.OldFile != t.File {
		old += " of " + t.OldFile
	}
	switch t.Differs {
	case "case":
		return fmt.Sprintf("%s: row %d has a key that differs from that of %s in letter case alone (%s): they are two records", t.File, t.Row, old, t.Reference)
	case "composition":
		return fmt.Sprintf("%s: row %d has a key that looks like that of %s (%s) and is composed of other characters (they are equal after Unicode normalisation NFC): they are two records", t.File, t.Row, old, t.Reference)
	}
	return fmt.Sprintf("%s: row %d has the key of %s (%s): it counts as a later version", t.File, t.Row, old, t.Reference)
}

func newSeenKeys() *seenKeys {
	return &seenKeys{seed: maphash.MakeSeed(), last: map[uint64]place{}, other: map[uint64]place{}}
}

// again reports whether a record with the key of this row came before, and
// where it stood last. A key that only looks like an earlier one is noted.
func (s *seenKeys) again(file string, row intake.Row, key []name.Field) (place, bool) {
	values, nfc, twins := make([]any, 0, len(key)), make([]any, 0, len(key)), make([]any, 0, len(key))
	for _, f := range key {
		v, ok := fieldOf(row.Record, f)
		if !ok {
			return place{}, false // it will be refused
		}
		values = append(values, v)
		if t, ok := v.(string); ok {
			nfc, twins = append(nfc, norm.NFC.String(t)), append(twins, name.KeyTwin(t))
		} else {
			nfc, twins = append(nfc, v), append(twins, v)
		}
	}
	hash := func(v []any) uint64 { return maphash.Bytes(s.seed, strictjson.Canonical(v)) }
	now := place{file: file, row: row.Number, exact: hash(values), nfc: hash(nfc)}
	twin := hash(twins)
	before, known := s.last[twin]
	switch {
	case !known:
		s.last[twin] = now
		return place{}, false
	case before.exact == now.exact:
		s.last[twin] = now
		s.tell(row, now, before, "")
		return before, true
	}
	same, known := s.other[now.exact]
	s.other[now.exact] = now
	if known {
		s.tell(row, now, same, "")
		return same, true
	}
	differs := "case"
	if before.nfc == now.nfc {
		differs = "composition"
	}
	s.tell(row, now, before, differs)
	return place{}, false
}

// maxTwice is how many rows with the key of an earlier one are remembered for
// reports.
const maxTwice = 10_000

func (s *seenKeys) tell(row intake.Row, now, before place, differs string) {
	if len(s.twice) == maxTwice {
		s.more++
		return
	}
	s.twice = append(s.twice, twice{File: now.file, Row: now.row, Reference: row.Reference, OldFile: before.file, OldRow: before.row, Differs: differs})
}
