package main

import (
	"fmt"

	"github.com/stile-exchange/stile/node"
)

// A seenKeys remembers which records the files held, by a digest of the key, to
// tell of a record that stands there twice and of two records whose keys look
// alike. It takes some 80 bytes a record.
type seenKeys struct {
	last  map[[8]byte]place // by the twin of a key: where the first key with it stood last
	other map[[8]byte]place // by the key: those whose twin another key had first
	twice []twice
	more  int
}

// A place is where a key stood.
type place struct {
	file  string
	row   int
	exact [8]byte // digest of the key
	nfc   [8]byte // digest of the key in Unicode normalisation form C
}

// A twice is a row with the key of an earlier one, or with one that looks like
// it.
type twice struct {
	File      string `json:"file"`
	Row       int    `json:"row"`
	Reference string `json:"reference,omitempty"`
	OldFile   string `json:"earlier_file"`
	OldRow    int    `json:"earlier_row"`
	Differs   string `json:"differs,omitempty"` // "case" or "composition": two records; "": one
}

func (t twice) String() string {
	old, called := fmt.Sprintf("row %d", t.OldRow), ""
	if t.OldFile != t.File {
		old += " of " + t.OldFile
	}
	if t.Reference != "" {
		called = " (" + t.Reference + ")"
	}
	switch t.Differs {
	case "case":
		return fmt.Sprintf("%s: row %d has a key that differs from that of %s in letter case alone%s: they are two records", t.File, t.Row, old, called)
	case "composition":
		return fmt.Sprintf("%s: row %d has a key that looks like that of %s%s and is composed of other characters (they are equal after Unicode normalisation NFC): they are two records", t.File, t.Row, old, called)
	}
	return fmt.Sprintf("%s: row %d has the key of %s%s: it counts as a later version", t.File, t.Row, old, called)
}

func newSeenKeys() *seenKeys {
	return &seenKeys{last: map[[8]byte]place{}, other: map[[8]byte]place{}}
}

// again notes a row whose key came before, or only looks like an earlier one.
// reference is asked what the row is called when it is to be told.
func (s *seenKeys) again(file string, row int, key node.KeyDigest, reference func() string) {
	now := place{file: file, row: row, exact: key.Exact, nfc: key.NFC}
	before, known := s.last[key.Twin]
	switch {
	case !known:
		s.last[key.Twin] = now
		return
	case before.exact == now.exact:
		s.last[key.Twin] = now
		s.tell(reference, now, before, "")
		return
	}
	same, known := s.other[now.exact]
	s.other[now.exact] = now
	if known {
		s.tell(reference, now, same, "")
		return
	}
	differs := "case"
	if before.nfc == now.nfc {
		differs = "composition"
	}
	s.tell(reference, now, before, differs)
}

// maxTwice is how many rows with the key of an earlier one are remembered for
// reports.
const maxTwice = 10_000

func (s *seenKeys) tell(reference func() string, now, before place, differs string) {
	if len(s.twice) == maxTwice {
		s.more++
		return
	}
	s.twice = append(s.twice, twice{File: now.file, Row: now.row, Reference: reference(), OldFile: before.file, OldRow: before.row, Differs: differs})
}
