package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Sample is the beginning of a table as Look found it, for a person who is
// about to write its mapping. All but the cells is a guess.
type Sample struct {
	Encoding  string     // as in a Mapping; "" where a file has none
	Delimiter string     // as in a Mapping; "" where a file has none
	Sheet     string     // of a workbook with several: the one that was looked at
	HeaderRow int        // from 1
	Headings  []string   // as they stand in the file
	Rows      [][]string // the rows below
	Whole     bool       // Rows are all of them
}

// How much of a file Look reads.
const (
	maxSample     = 8 << 20 // bytes
	maxSampleRows = 50_000
	maxLookAt     = 256 << 10 // bytes that encoding and delimiter are guessed from
)

// Look reads a CSV file, at most its first 8 MiB, and guesses how it is
// written: the encoding by its bytes, the delimiter that gives the most cells,
// and for headings the first of the fullest rows. Reading a file never guesses;
// this is for drafting a mapping, which a person checks.
//
// Of a workbook the sheet is read that sheet names, as in [Options]; there only
// the headings are guessed. The error is a [*FileError] when the file is no
// table, and else that of r.
func Look(r io.Reader, sheet string) (*Sample, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSample+1))
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	format, foreign := Recognise(b, CSV, false)
	switch {
	case foreign != nil:
		return nil, foreign
	case format == JSON:
		return nil, &FileError{Rule: RuleFormat, Detail: "the file is JSON, which takes no mapping", Fix: "check it without one"}
	case format != CSV:
		return lookAtSheet(io.MultiReader(bytes.NewReader(b), r), r, sheet)
	}
	if m := sepLine().FindIndex(b); m != nil { // no row; the delimiter shows in what follows
		b = b[m[1]:]
	}
	s := &Sample{Encoding: string(encUTF8), Whole: len(b) <= maxSample}
	if !s.Whole { // the last line may be torn
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		s.Encoding = string(encUTF16)
	case bytes.IndexByte(b, 0) == 1:
		s.Encoding = string(encUTF16LE)
	case bytes.IndexByte(b, 0) == 0:
		s.Encoding = string(encUTF16BE)
	case !utf8.Valid(b):
		s.Encoding = string(enc1252)
	}
	head := b
	if len(head) > maxLookAt {
		if i := bytes.LastIndexByte(head[:maxLookAt], '\n'); i >= 0 {
			head = head[:i+1]
		}
	}
	best := 0
	for _, delim := range []string{",", ";", "\t", "|"} {
		rows, err := sampleRows(head, encoding(s.Encoding), delim[0], 20)
		if err != nil {
			return nil, err
		}
		if i, filled := fullest(rows); filled > best {
			best = filled
			s.Delimiter, s.HeaderRow, s.Headings = delim, i+1, rows[i]
		}
	}
	if best == 0 {
		return nil, &FileError{Rule: RuleHeadings, Detail: "the file has no row that could be headings"}
	}
	rows, err := sampleRows(b, encoding(s.Encoding), s.Delimiter[0], maxSampleRows+s.HeaderRow)
	if err != nil {
		return nil, err
	}
	s.Whole = s.Whole && len(rows) < maxSampleRows+s.HeaderRow
	s.Rows = rows[min(s.HeaderRow, len(rows)):]
	return s, nil
}

// fullest returns the first of the rows with the most cells that are not blank,
// and how many those are.
func fullest(rows [][]string) (at, best int) {
	for i, row := range rows {
		filled := 0
		for _, c := range row {
			if strings.TrimSpace(c) != "" {
				filled++
			}
		}
		if filled > best {
			at, best = i, filled
		}
	}
	return at, best
}

// sampleRows takes the first rows of a sample apart; a row that cannot be is
// nil.
func sampleRows(b []byte, enc encoding, delim byte, most int) ([][]string, error) {
	src, err := newSource(bytes.NewReader(b), enc, maxSample)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for t := newTable(src, delim); len(rows) < most; {
		raw, err := t.take()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if raw.bad != nil {
			raw.cells = nil
		}
		rows = append(rows, raw.cells)
	}
	return rows, nil
}
